"""The judge's twin: the contract's verdicts, recomputed bit for bit.

The rules, as in the contract's `Judge` library. A reading is judged in the order of the history; "before" means the
accepted reading before it, legal or not.

    J1  time not after the latest time accepted before              flag  1
    J2  time after the block's time plus the profile's tolerance    flag  2
    J3  temperature outside the profile's range                     flag  4
    J4  humidity outside the profile's range                        flag  8
    J5  temperature further from the reading before than allowed    flag 16
    J6  humidity further from the reading before than allowed       flag 32

J5 and J6 are QARTOD's rate-of-change test. A device's first reading has nothing before it: J5 and J6 do not apply.
A time that breaks J1 or J2 does not become the latest time.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.reading import Measurements


class Verdict(IntFlag):
    """What is wrong with a reading; 0 is legal."""

    LEGAL = 0
    TIME_NOT_AFTER = 1
    TIME_IN_FUTURE = 2
    TEMPERATURE_RANGE = 4
    HUMIDITY_RANGE = 8
    TEMPERATURE_STEP = 16
    HUMIDITY_STEP = 32

    def reasons(self) -> list[str]:
        """Name each thing that is wrong, in words: "temperature range"; nothing for a legal reading."""
        return [(flag.name or "").lower().replace("_", " ") for flag in self]


@dataclass(frozen=True, slots=True)
class Profile:
    """The rules for one kind of device, in the order of the contract's struct.

    Attributes:
        temperature_min: 0.01 degC.
        temperature_max: 0.01 degC.
        temperature_step: Largest legal change from one reading to the next, 0.01 degC.
        humidity_min: 0.01 %RH.
        humidity_max: 0.01 %RH.
        humidity_step: Largest legal change from one reading to the next, 0.01 %RH.
        future_tolerance: How far after the block's time a time may lie, seconds.
    """

    temperature_min: int
    temperature_max: int
    temperature_step: int
    humidity_min: int
    humidity_max: int
    humidity_step: int
    future_tolerance: int

    def as_tuple(self) -> tuple[int, ...]:
        """Give the struct's fields in the contract's order."""
        return astuple(self)


INDOOR = Profile(
    temperature_min=0,
    temperature_max=50_00,
    temperature_step=1_00,
    humidity_min=5_00,
    humidity_max=98_00,
    humidity_step=5_00,
    future_tolerance=60,
)
"""A profile for sensors in rooms, read about twice a minute."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device's state between two readings, as in its storage slot.

    Attributes:
        profile: Its profile's number; 0 while it may not post.
        humidity: Of the last accepted reading, 0.01 %RH.
        temperature: Of the last accepted reading, 0.01 degC.
        sequence: The next reading's sequence number.
        last_time: The latest time accepted, Unix seconds.
        head: Hash chain over all accepted, 20 bytes.
    """

    profile: int
    humidity: int = 0
    temperature: int = 0
    sequence: int = 0
    last_time: int = 0
    head: bytes = bytes(20)

    def pack(self) -> bytes:
        """Give the storage slot's 32 bytes: the struct's first field in the lowest bits."""
        return (
            self.head
            + self.last_time.to_bytes(4, "big")
            + self.sequence.to_bytes(3, "big")
            + (self.temperature & 0xFFFF).to_bytes(2, "big")
            + self.humidity.to_bytes(2, "big")
            + self.profile.to_bytes(1, "big")
        )


def judge(
    measurements: Measurements, state: DeviceState, profile: Profile, block_time: int | NDArray[np.int64]
) -> tuple[NDArray[np.uint8], DeviceState]:
    """Judge measurements as the registry does, and move the state past them.

    Args:
        measurements: `n >= 1` readings of one device, in order.
        state: The device's state before them.
        profile: Its profile's rules.
        block_time: The timestamp of the readings' block, Unix seconds; of each reading's, shape `(n,)`, where they
            stand in several.

    Returns:
        Verdicts, shape `(n,)`, 0 = legal, else the OR of `Verdict` flags; and the state after them, its head unchanged.
    """
    times, temperature, humidity = measurements.measured_at, measurements.temperature, measurements.humidity
    in_future = times > np.minimum(block_time + profile.future_tolerance, 2**32 - 1)
    # Times that are not in the future move the latest time; those that fall back leave the maximum where it is.
    latest = np.maximum.accumulate(np.concatenate(([state.last_time], np.where(in_future, 0, times))))
    verdicts = (
        np.where(times <= latest[:-1], Verdict.TIME_NOT_AFTER, 0)
        | np.where(in_future, Verdict.TIME_IN_FUTURE, 0)
        | np.where(
            _outside(temperature, profile.temperature_min, profile.temperature_max), Verdict.TEMPERATURE_RANGE, 0
        )
        | np.where(_outside(humidity, profile.humidity_min, profile.humidity_max), Verdict.HUMIDITY_RANGE, 0)
        | np.where(_steps(temperature, state.temperature) > profile.temperature_step, Verdict.TEMPERATURE_STEP, 0)
        | np.where(_steps(humidity, state.humidity) > profile.humidity_step, Verdict.HUMIDITY_STEP, 0)
    ).astype(np.uint8)
    if state.sequence == 0:
        verdicts[0] &= ~np.uint8(Verdict.TEMPERATURE_STEP | Verdict.HUMIDITY_STEP)
    after = replace(
        state,
        humidity=int(humidity[-1]),
        temperature=int(temperature[-1]),
        sequence=state.sequence + len(measurements),
        last_time=int(latest[-1]),
    )
    return verdicts, after


def _outside(values: NDArray[np.int64], low: int, high: int) -> NDArray[np.bool_]:
    return (values < low) | (values > high)


def _steps(values: NDArray[np.int64], before: int) -> NDArray[np.int64]:
    return np.abs(np.diff(values, prepend=before))
