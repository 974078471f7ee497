"""What sending would do: the batches, the registry's verdicts, the gas. Nothing is signed, sent or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import Format
from sensetrail.core.packing import BATCH_GAS, READING_GAS
from sensetrail.core.primitives import Address
from sensetrail.core.reading import HUNDREDTHS, Measurements
from sensetrail.core.rules import Profile, Verdict, judge
from sensetrail.gateway.outbox import Outbox, Pending
from sensetrail.gateway.sender import DEFAULT_BATCH, plan, settle

TRANSACTION_GAS = 24_000
"""What a transaction costs before its batches, about."""
OWN_GAS = 34_000
"""What a reading by its device's own transaction costs, about."""
P256_GAS = 6_200
"""What a batch of a P-256 key costs more, about, where the chain has EIP-7951's precompile."""
ILLEGAL_GAS = 400
"""What an illegal reading costs more than a legal one, about."""


MOST = 0.9
"""The share of values in range by which a unit is told."""
OTHER_UNITS: Mapping[str, Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "temperature": {"F": lambda value: (value - 32.0) / 1.8, "K": lambda value: value - 273.15},
    "humidity": {"fraction": lambda value: value * 100.0},
}
"""Units that files have too: what they make of a value, degC and %RH."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceForecast:
    """What would become of one device's readings.

    Attributes:
        device: Whose.
        readings: What would be sent: what is new, and what is queued from before.
        known: How many of the given readings are queued or sent already.
        profile: The rules that they are judged by.
        verdicts: The registry's of each reading, shape `(n,)`; 0 is legal.
    """

    device: Address
    readings: Measurements
    known: int
    profile: Profile
    verdicts: NDArray[np.uint8]

    @property
    def illegal(self) -> int:
        """How many would be illegal."""
        return int((self.verdicts != 0).sum())

    def reasons(self) -> dict[str, int]:
        """Count the readings by what is wrong with them, such as "temperature range"."""
        counts = {flag: int((self.verdicts & flag != 0).sum()) for flag in Verdict if flag}
        return {flag.reasons()[0]: count for flag, count in counts.items() if count}

    def unit_hint(self) -> str | None:
        """Say in which other unit most values would be legal, where most are out of range; None where in none."""
        profile, readings = self.profile, self.readings
        values = {
            "temperature": (readings.temperature / HUNDREDTHS, profile.temperature_min, profile.temperature_max),
            "humidity": (readings.humidity / HUNDREDTHS, profile.humidity_min, profile.humidity_max),
        }
        for quantity, (column, low, high) in values.items():
            if not len(column) or _share(column, low, high) >= MOST:
                continue
            for unit, convert in OTHER_UNITS[quantity].items():
                if _share(convert(column), low, high) >= MOST:
                    return f"{quantity} seems to be in another unit: --unit {quantity}={unit}"
        return None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What sending would do.

    Attributes:
        devices: By the device's name.
        transactions: How many would be sent.
        batches: How many of each format; none where devices send their own transactions.
        gas: What it would cost, about.
    """

    devices: Mapping[str, DeviceForecast]
    transactions: int
    batches: Mapping[Format, int]
    gas: int

    @property
    def readings(self) -> int:
        """How many readings would be sent."""
        return sum(len(each.readings) for each in self.devices.values())

    @property
    def illegal(self) -> int:
        """How many of them would be illegal, for good."""
        return sum(each.illegal for each in self.devices.values())


def forecast(
    registry: SensorRegistry,
    outbox: Path,
    measurements: Mapping[str, tuple[Address, Measurements]],
    *,
    size: int = DEFAULT_BATCH,
    own: bool = False,
    now: int | None = None,
    p256: Collection[Address] = (),
) -> Forecast:
    """Tell what sending some readings would do.

    Args:
        registry: Where they would be sent.
        outbox: The outbox's file; it is read, and stays as it is.
        measurements: Each device's address and readings, by its name.
        size: The most readings of one device that a transaction would take.
        own: Whether each device would send its own transactions.
        now: The time of the block that takes them, Unix seconds; None where the chain's clock follows the readings.
        p256: The devices whose keys are on P-256.

    Raises:
        InputError: A new reading is not after the device's latest on the chain or in the queue.
    """
    devices = {}
    pending: list[tuple[Address, Pending]] = []
    with Outbox.rehearsal(outbox) as rehearsal:
        for name, (device, readings) in measurements.items():
            state = registry.state(device)
            fresh = rehearsal.queue(device, readings, state)
            found = settle(registry, rehearsal, device)
            profile = registry.profile(state.profile)
            to_send = found.measurements if found else readings[:0]
            verdicts = np.zeros(0, np.uint8)
            if found:
                pending.append((device, found))
                block_time = to_send.measured_at if now is None else now
                verdicts, _ = judge(to_send, state, profile, block_time)
            devices[name] = DeviceForecast(device, to_send, len(readings) - fresh, profile, verdicts)
    illegal = sum(each.illegal for each in devices.values())
    if own:
        count = sum(len(each.readings) for each in devices.values())
        return Forecast(devices, count, {}, OWN_GAS * count + ILLEGAL_GAS * illegal)
    rounds = list(plan(pending, size))
    headers = [batch.header for batches in rounds for batch, _ in batches]
    gas = TRANSACTION_GAS * len(rounds) + ILLEGAL_GAS * illegal
    gas += sum(BATCH_GAS + READING_GAS[Format(header.format)] * header.count for header in headers)
    gas += P256_GAS * sum(header.device in p256 for header in headers)
    return Forecast(devices, len(rounds), Counter(Format(header.format) for header in headers), gas)


def _share(values: NDArray[np.float64], low: int, high: int) -> float:
    """Give the share of values, degC or %RH, within a range of hundredths."""
    return float(((values >= low / HUNDREDTHS) & (values <= high / HUNDREDTHS)).mean())
