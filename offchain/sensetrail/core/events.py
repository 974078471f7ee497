"""The contracts' events, decoded from logs by their ABI types alone.

A log is hostile: whatever does not decode exactly is a `MalformedEventError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from numpy.typing import NDArray

from sensetrail.core.batch import Batch, Format, Header, encode_own
from sensetrail.core.logs import Log
from sensetrail.core.primitives import Address, address, keccak256
from sensetrail.core.rules import Profile
from sensetrail.core.signature import P256_LENGTH, SECP256K1_LENGTH
from sensetrail.errors import MalformedEventError, SensetrailError


class Rejection(IntEnum):
    """Why something never entered a device's history, as in the contract."""

    NONE = 0
    MALFORMED = 1
    UNKNOWN_DEVICE = 2
    REVOKED_DEVICE = 3
    WRONG_SIGNATURE = 4
    WRONG_SEQUENCE = 5
    SENDER_IS_CODE = 6


@dataclass(frozen=True, slots=True)
class ProfileAdded:
    """A profile was added."""

    profile: int
    rules: Profile


@dataclass(frozen=True, slots=True)
class DeviceRegistered:
    """A device was registered."""

    device: Address
    profile: int
    identity_digest: bytes


@dataclass(frozen=True, slots=True)
class DeviceRevoked:
    """A device was revoked; what it measured at or after `untrusted_since` (Unix s) is not to be trusted."""

    device: Address
    untrusted_since: int


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """Readings entered a device's history: one of its own transaction, or a batch.

    Attributes:
        device: Whose.
        batch: Header and data.
        verdicts: As the contract gave them, uint8, shape `(count,)`.
        signature: The batch's signature; None for an own transaction, which its sender's signature covers.
    """

    device: Address
    batch: Batch
    verdicts: NDArray[np.uint8]
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something was sent in a device's name and did not enter its history."""

    device: Address
    reason: Rejection
    sender: Address
    header: Header
    data_digest: bytes


@dataclass(frozen=True, slots=True)
class DatasetRegistered:
    """A dataset was registered."""

    dataset_id: bytes
    root: bytes
    row_count: int
    selection_digest: bytes
    through_block: int
    block_hash: bytes
    block_hash_checked: bool


@dataclass(frozen=True, slots=True)
class ModelRegistered:
    """A model was registered under its weights digest."""

    weights_digest: bytes
    dataset_id: bytes
    parent: bytes
    manifest_digest: bytes
    task: str


@dataclass(frozen=True, slots=True)
class ModelRecalled:
    """A model was recalled."""

    weights_digest: bytes
    reason: str


Event = (
    ProfileAdded
    | DeviceRegistered
    | DeviceRevoked
    | Accepted
    | Rejected
    | DatasetRegistered
    | ModelRegistered
    | ModelRecalled
)

_PROFILE = "(int16,int16,uint16,uint16,uint16,uint16,uint32)"
_DATASET = "(bytes32,uint64,bytes32,uint64,bytes32)"


def _profile_added(indexed: list[bytes], data: bytes) -> ProfileAdded:
    (rules,) = _decode([_PROFILE], data)
    return ProfileAdded(_uint(indexed[0], 8), Profile(*rules))


def _device_registered(indexed: list[bytes], data: bytes) -> DeviceRegistered:
    (digest,) = _decode(["bytes32"], data)
    return DeviceRegistered(_address(indexed[0]), _uint(indexed[1], 8), digest)


def _device_revoked(indexed: list[bytes], data: bytes) -> DeviceRevoked:
    (since,) = _decode(["uint32"], data)
    return DeviceRevoked(_address(indexed[0]), since)


def _reading_posted(indexed: list[bytes], data: bytes) -> Accepted:
    if len(data) != 160:
        raise _malformed(f"{len(data)} bytes instead of 160")
    words = (data[i : i + 32] for i in range(0, 160, 32))
    sequence, measured_at, temperature, humidity, verdict = map(int.from_bytes, words)
    temperature = temperature - 2**256 if temperature >> 255 else temperature
    if sequence >> 24 or measured_at >> 32 or not -(2**15) <= temperature < 2**15 or humidity >> 16 or verdict >> 8:
        raise _malformed("a field beyond its type")
    device = _address(indexed[0])
    batch = encode_own(device, sequence, measured_at, temperature, humidity)
    return Accepted(device, batch, np.array([verdict], dtype=np.uint8), None)


def _batch_accepted(indexed: list[bytes], data: bytes) -> Accepted:
    word, payload, exceptions = _batch_fields(data)
    header = Header.unpack(word)
    if header.format == Format.OWN or header.format not in set(Format):
        raise _malformed(f"a batch in format {header.format}")
    if header.device != _address(indexed[0]):
        raise _malformed("a batch whose header names another device than its topic")
    length = Format(header.format).length(header.count)
    readings, signature = payload[:length], payload[length:]
    if len(signature) not in (SECP256K1_LENGTH, P256_LENGTH):
        raise _malformed(f"{header.count} readings and a signature in {len(payload)} bytes")
    return Accepted(header.device, Batch(header, readings), _verdicts(exceptions, header.count), signature)


def _rejected(indexed: list[bytes], data: bytes) -> Rejected:
    sender, word, digest = _decode(["address", "uint256", "bytes32"], data)
    reason = Rejection(_uint(indexed[1], 8))
    if reason is Rejection.NONE:
        raise _malformed("a rejection for no reason")
    return Rejected(_address(indexed[0]), reason, address(sender), Header.unpack(word), digest)


def _dataset_registered(indexed: list[bytes], data: bytes) -> DatasetRegistered:
    fields, checked = _decode([_DATASET, "bool"], data)
    root, row_count, selection_digest, through_block, block_hash = fields
    return DatasetRegistered(indexed[0], root, row_count, selection_digest, through_block, block_hash, checked)


def _model_registered(indexed: list[bytes], data: bytes) -> ModelRegistered:
    manifest_digest, task = _decode(["bytes32", "bytes"], data)
    weights_digest, dataset_id, parent = indexed
    return ModelRegistered(weights_digest, dataset_id, parent, manifest_digest, _text(task))


def _model_recalled(indexed: list[bytes], data: bytes) -> ModelRecalled:
    (reason,) = _decode(["bytes"], data)
    return ModelRecalled(indexed[0], _text(reason))


_DECODERS: dict[str, tuple[int, Callable[[list[bytes], bytes], Event]]] = {
    f"ProfileAdded(uint8,{_PROFILE})": (1, _profile_added),
    "DeviceRegistered(address,uint8,bytes32)": (2, _device_registered),
    "DeviceRevoked(address,uint32)": (1, _device_revoked),
    "ReadingPosted(address,uint24,uint32,int16,uint16,uint8)": (1, _reading_posted),
    "BatchAccepted(address,uint256,bytes,bytes)": (1, _batch_accepted),
    "Rejected(address,uint8,address,uint256,bytes32)": (2, _rejected),
    f"DatasetRegistered(bytes32,{_DATASET},bool)": (1, _dataset_registered),
    "ModelRegistered(bytes32,bytes32,bytes32,bytes32,string)": (3, _model_registered),
    "ModelRecalled(bytes32,string)": (1, _model_recalled),
}
"""By signature: how many fields are indexed, and the decoder."""

READING_POSTED = keccak256(b"ReadingPosted(address,uint24,uint32,int16,uint16,uint8)")
BATCH_ACCEPTED = keccak256(b"BatchAccepted(address,uint256,bytes,bytes)")

TOPICS = {keccak256(signature.encode()): signature for signature in _DECODERS}
"""Each event's first topic (its signature's hash) and its signature."""


def decode_log(log: Log) -> Event | None:
    """Decode a log of one of the registries.

    Args:
        log: From anywhere; the caller has checked that its address is the registry's.

    Returns:
        The event; None for one that is not the registries' own (roles, by AccessControl).

    Raises:
        MalformedEventError: It bears an event's signature but does not decode as one.
    """
    signature = TOPICS.get(log.topics[0]) if log.topics else None
    if signature is None:
        return None
    indexed_count, decoder = _DECODERS[signature]
    name = signature.partition("(")[0]
    if len(log.topics) != indexed_count + 1:
        raise _malformed(f"{name} with {len(log.topics)} topics in block {log.block_number}")
    try:
        return decoder(list(log.topics[1:]), log.data)
    except (DecodingError, ValueError, OverflowError, SensetrailError) as error:
        raise _malformed(f"{name} in block {log.block_number}, log {log.log_index}: {error}") from error


def _text(data: bytes) -> str:
    """Read a string: Solidity lets its sender put any bytes into one."""
    return data.decode(errors="replace")


def _decode(types: list[str], data: bytes) -> tuple[Any, ...]:
    """Decode ABI data that is exactly what Solidity writes: no gaps, nothing after the last field."""
    values = abi_decode(types, data)
    if abi_encode(types, values) != data:
        raise _malformed("data that Solidity would have encoded otherwise")
    return values


def _batch_fields(data: bytes) -> tuple[int, bytes, bytes]:
    """Decode `(uint256, bytes, bytes)` as `_decode` does, at a tenth of its time: there is one for each batch."""
    payload_length = int.from_bytes(data[96:128])
    after_payload = 128 + -(-payload_length // 32) * 32
    exceptions_length = int.from_bytes(data[after_payload : after_payload + 32])
    after_exceptions = after_payload + 32 + -(-exceptions_length // 32) * 32
    offsets = int.from_bytes(data[32:64]), int.from_bytes(data[64:96])
    padding = data[128 + payload_length : after_payload] + data[after_payload + 32 + exceptions_length :]
    if offsets != (96, after_payload) or len(data) != after_exceptions or any(padding):
        raise _malformed("data that Solidity would have encoded otherwise")
    exceptions = data[after_payload + 32 : after_payload + 32 + exceptions_length]
    return int.from_bytes(data[:32]), data[128 : 128 + payload_length], exceptions


def _verdicts(exceptions: bytes, count: int) -> NDArray[np.uint8]:
    verdicts = np.zeros(count, dtype=np.uint8)
    if not exceptions:
        return verdicts
    entries = np.frombuffer(exceptions, dtype=[("index", ">u2"), ("verdict", "u1")])
    index = entries["index"].astype(np.int64)
    if len(index) and (index[-1] >= count or (np.diff(index) <= 0).any() or (entries["verdict"] == 0).any()):
        raise _malformed("a list of exceptions out of order or beyond the batch")
    verdicts[index] = entries["verdict"]
    return verdicts


def _uint(topic: bytes, bits: int) -> int:
    value = int.from_bytes(topic, "big")
    if value >> bits:
        raise _malformed(f"an indexed field beyond {bits} bits")
    return value


def _address(topic: bytes) -> Address:
    if any(topic[:12]):
        raise _malformed("an indexed address beyond 160 bits")
    return address(topic[12:])


def _malformed(what: str) -> MalformedEventError:
    return MalformedEventError(what, "the node is not telling the truth: use another")
