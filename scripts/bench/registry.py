"""What readings cost in the registry: each format, own transactions, several devices, P-256 keys, illegal readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from eth_account import Account
from eth_account.signers.local import LocalAccount

from bench.figure import Figure
from bench.readings import EVERY, quiet_room
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import deploy
from sensetrail.chain.devnet import devnet_account
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import MAX_COUNT, Batch, Format, encode
from sensetrail.core.events import Accepted
from sensetrail.core.primitives import keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.core.signature import DeviceKey, P256Key, Secp256k1Key
from sensetrail.core.typed_data import batch_digest

SIZES = (1, 10, 60, 120, 500, 840, 2000)
OWN_TRANSACTIONS = 10
DEVICES = 10
BATCH = 120
ILLEGAL_AT = 840


@dataclass
class Bench:
    """A registry on a devnet, and devices that have one reading behind them.

    Attributes:
        chain: A fresh devnet.
        start: When measuring begins, Unix seconds.
    """

    chain: Chain
    start: int
    registry: SensorRegistry = field(init=False)
    count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        admin = devnet_account(0)
        self.registry = SensorRegistry(self.chain, deploy(self.chain, admin).sensor_registry)
        self.registry.add_profile(admin, INDOOR)

    def device(self, kind: type[Secp256k1Key] | type[P256Key] = Secp256k1Key) -> DeviceKey:
        """Register a device and send its first reading, so that its slot is not empty."""
        self.count += 1
        key: DeviceKey = kind(keccak256(f"bench device {self.count}".encode()))
        self.registry.register_device(devnet_account(0), key.address, 1, bytes(32))
        first = quiet_room(1, self.start - EVERY)
        self.submit([(key, encode(key.address, 0, first))])
        return key

    def submit(self, batches: Sequence[tuple[DeviceKey, Batch]]) -> tuple[bytes, int]:
        """Send batches in one transaction; give its call data and the gas it used.

        Raises:
            AssertionError: The registry rejected one: what it cost says nothing.
        """
        separator = self.registry.domain_separator()
        signed = [(batch, key.sign(batch_digest(batch, separator))) for key, batch in batches]
        if len(signed) == 1:
            batch, signature = signed[0]
            data = self.registry.encode("submitBatch", batch.header.pack(), batch.data + signature)
            sent = self.registry.submit_batch(devnet_account(1), batch, signature)
        else:
            structs = [(batch.header.pack(), batch.data + signature) for batch, signature in signed]
            data = self.registry.encode("submitBatches", structs)
            sent = self.registry.submit_batches(devnet_account(1), signed)
        receipt = self.chain.wait(sent)
        outcomes = self.registry.outcomes(receipt)
        if [type(outcome) for outcome in outcomes] != [Accepted] * len(batches):
            raise AssertionError(f"not accepted: {outcomes}")
        return data, receipt.gas_used

    def batch(
        self,
        case: str,
        kind: Format,
        readings: Measurements,
        key_kind: type[Secp256k1Key] | type[P256Key] = Secp256k1Key,
    ) -> Figure:
        """Measure one batch of a fresh device."""
        key = self.device(key_kind)
        self._advance(int(readings.measured_at[-1]))
        spent = self.submit([(key, encode(key.address, 1, readings, kind))])
        return Figure.of(case, len(readings), [spent])

    def own(self) -> Figure:
        """Measure transactions of a device's own, the first one's aside."""
        key: LocalAccount = Account.from_key(keccak256(b"bench device with ether"))
        admin = devnet_account(0)
        self.registry.register_device(admin, Secp256k1Key(bytes(key.key)).address, 1, bytes(32))
        self.chain.wait(self.chain.send(admin, Secp256k1Key(bytes(key.key)).address, value=10**18))
        readings = quiet_room(OWN_TRANSACTIONS + 1, self.start)
        spent = []
        for sequence in range(len(readings)):
            fields = (
                sequence,
                int(readings.measured_at[sequence]),
                int(readings.temperature[sequence]),
                int(readings.humidity[sequence]),
            )
            self._advance(fields[1])
            receipt = self.chain.wait(self.registry.post(key, *fields))
            spent.append((self.registry.encode("post", *fields), receipt.gas_used))
        return Figure.of("own", 1, spent[1:])

    def devices(self) -> Figure:
        """Measure several devices' batches in one transaction; `n` is the readings of each."""
        readings = quiet_room(BATCH, self.start)
        keys = [self.device() for _ in range(DEVICES)]
        self._advance(int(readings.measured_at[-1]))
        data, gas = self.submit([(key, encode(key.address, 1, readings, Format.REGULAR)) for key in keys])
        whole = Figure.of("devices10", BATCH * DEVICES, [(data, gas)])
        return Figure("devices10", BATCH, whole.gas_per_reading, whole.floor_ratio)

    def worst(self, kind: Format) -> Figure:
        """Measure the largest batch, all of it illegal and judged reading by reading."""
        index = np.arange(MAX_COUNT)
        # Below what a lane holds, and jumping by more than the profile allows.
        temperature = np.where(index % 2, -9000, -9110)
        gaps = np.where(index % 9, 1, 2) if kind is Format.TIMED else np.ones(MAX_COUNT, dtype=np.int64)
        readings = Measurements.of(self.start + np.cumsum(gaps), temperature, 20_000 + 0 * index)
        return self.batch(f"{kind.name.lower()}-worst", kind, readings)

    def _advance(self, moment: int) -> None:
        self.chain.set_next_block_time(max(self.chain.latest_block().timestamp, moment) + 1)


def measure(chain: Chain, start: int) -> list[Figure]:
    """Measure all of it.

    Args:
        chain: A fresh devnet, whose clock stands before `start`.
        start: Unix seconds.
    """
    bench = Bench(chain, start)
    figures = [bench.own()]
    for kind in (Format.TIMED, Format.REGULAR, Format.DELTA):
        for size in SIZES:
            # One reading has no changes: as a delta batch it is a regular one under another number.
            if kind is not Format.DELTA or size > 1:
                readings = quiet_room(size, start, jitter=kind is Format.TIMED)
                figures.append(bench.batch(kind.name.lower(), kind, readings))
    figures.append(bench.devices())
    for kind in (Format.TIMED, Format.REGULAR, Format.DELTA):
        readings = quiet_room(ILLEGAL_AT, start, jitter=kind is Format.TIMED, illegal=0.05)
        figures.append(bench.batch(f"{kind.name.lower()}-illegal", kind, readings))
    figures.append(bench.batch("regular-p256", Format.REGULAR, quiet_room(BATCH, start), P256Key))
    figures += [bench.worst(kind) for kind in (Format.TIMED, Format.REGULAR, Format.DELTA)]
    return figures
