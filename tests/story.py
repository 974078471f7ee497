"""A registry told in Python: what it would emit, log by log, judged by the scalar reference judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace

from eth_abi.abi import encode as abi_encode

from reference_judge import Reading, exceptions_of, judge_all
from sensetrail.core.batch import Batch, encode, encode_own
from sensetrail.core.logs import BlockLogs, Log, gather
from sensetrail.core.primitives import Address, address, address_bytes, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState, Profile

REGISTRY = address("0x" + "5e" * 20)
SIGNATURE = bytes([1]) * 32 + bytes([2]) * 32
"""Stands for a batch's signature where nobody looks at it."""

PROFILE_ADDED = "ProfileAdded(uint8,(int16,int16,uint16,uint16,uint16,uint16,uint32))"
DEVICE_REGISTERED = "DeviceRegistered(address,uint8,bytes32)"
DEVICE_REVOKED = "DeviceRevoked(address,uint32)"
READING_POSTED = "ReadingPosted(address,uint24,uint32,int16,uint16,uint8)"
BATCH_ACCEPTED = "BatchAccepted(address,uint256,bytes,bytes)"
BATCH_FIELDS = ["uint256", "bytes", "bytes"]


def word(value: int | Address) -> bytes:
    """Give a topic's 32 bytes."""
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return bytes(12) + address_bytes(value)


def log_of(signature: str, indexed: Sequence[bytes], data: bytes, block_number: int = 1) -> Log:
    """Give a log that bears an event's signature."""
    topics = (keccak256(signature.encode()), *indexed)
    return Log(block_number, word(block_number), 0, 0, REGISTRY, topics, data)


class Story:
    """An honest registry: one block an event, `seconds` apart."""

    def __init__(self, time: int, seconds: int = 0) -> None:
        self.time = time
        self.seconds = seconds
        self.logs: list[Log] = []
        self.block_times: dict[int, int] = {}
        self.profiles: list[Profile] = []
        self.states: dict[Address, DeviceState] = {}

    @property
    def blocks(self) -> list[BlockLogs]:
        """What a block after another holds."""
        return gather(self.logs, self.block_times)

    def emit(self, signature: str, indexed: Sequence[bytes], types: Sequence[str], values: Sequence[object]) -> Log:
        number = len(self.logs) + 1
        self.time += self.seconds
        log = log_of(signature, indexed, abi_encode(types, values), number)
        self.logs.append(log)
        self.block_times[number] = self.time
        return log

    def add_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        fields = "(int16,int16,uint16,uint16,uint16,uint16,uint32)"
        self.emit(PROFILE_ADDED, [word(len(self.profiles))], [fields], [astuple(profile)])
        return len(self.profiles)

    def register(self, device: Address, profile: int = 1, identity_digest: bytes = bytes(32)) -> None:
        self.emit(DEVICE_REGISTERED, [word(device), word(profile)], ["bytes32"], [identity_digest])
        self.states[device] = DeviceState(profile)

    def revoke(self, device: Address, untrusted_since: int) -> None:
        self.emit(DEVICE_REVOKED, [word(device)], ["uint32"], [untrusted_since])
        self.states[device] = replace(self.states[device], profile=0)

    def post(self, device: Address, measured_at: int, temperature: int, humidity: int) -> Log:
        sequence = self.states[device].sequence
        batch = encode_own(device, sequence, measured_at, temperature, humidity)
        (verdict,) = self._accept(device, batch, [(measured_at, temperature, humidity)])
        types = ["uint24", "uint32", "int16", "uint16", "uint8"]
        return self.emit(READING_POSTED, [word(device)], types, [sequence, measured_at, temperature, humidity, verdict])

    def submit(self, device: Address, measurements: Measurements) -> Log:
        batch = encode(device, self.states[device].sequence, measurements)
        columns = (measurements.measured_at, measurements.temperature, measurements.humidity)
        readings: list[Reading] = list(zip(*(column.tolist() for column in columns), strict=True))
        exceptions = exceptions_of(self._accept(device, batch, readings))
        values = [batch.header.pack(), batch.data + SIGNATURE, exceptions]
        return self.emit(BATCH_ACCEPTED, [word(device)], BATCH_FIELDS, values)

    def _accept(self, device: Address, batch: Batch, readings: list[Reading]) -> list[int]:
        state = self.states[device]
        profile = self.profiles[state.profile - 1]
        verdicts, after = judge_all(readings, state, profile, self.time + self.seconds)
        header = batch.header.pack().to_bytes(32, "big")
        self.states[device] = replace(after, head=keccak256(state.head + header + keccak256(batch.data))[:20])
        return verdicts
