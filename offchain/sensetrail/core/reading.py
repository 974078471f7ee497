"""Readings: units, and what a reading can hold.

A reading's values are integers in the contract's units: temperature in 0.01 degC in a signed 16-bit field, humidity
in 0.01 %RH in an unsigned one, time in whole Unix seconds in an unsigned 32-bit one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensetrail.errors import ReadingError

HUNDREDTHS = 100
TEMPERATURE_LIMITS = (-(2**15), 2**15 - 1)
"""What the format can hold, 0.01 degC."""
HUMIDITY_LIMITS = (0, 2**16 - 1)
"""What the format can hold, 0.01 %RH."""
TIME_LIMITS = (0, 2**32 - 1)
"""What the format can hold, Unix seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """What one sensor measured, `n` times, in the order of measuring.

    Attributes:
        measured_at: Unix seconds, shape `(n,)`.
        temperature: 0.01 degC, shape `(n,)`.
        humidity: 0.01 %RH, shape `(n,)`.
    """

    measured_at: NDArray[np.int64]
    temperature: NDArray[np.int64]
    humidity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.measured_at)

    def __getitem__(self, index: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Measurements:
        return Measurements(self.measured_at[index], self.temperature[index], self.humidity[index])

    @classmethod
    def of(cls, measured_at: object, temperature: object, humidity: object) -> Measurements:
        """Make measurements of anything array-like, already in the contract's units."""
        columns = (np.atleast_1d(np.asarray(column, dtype=np.int64)) for column in (measured_at, temperature, humidity))
        return cls(*columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Measurements]) -> Measurements:
        """Join measurements, one or more."""
        return cls(
            np.concatenate([part.measured_at for part in parts]),
            np.concatenate([part.temperature for part in parts]),
            np.concatenate([part.humidity for part in parts]),
        )


def quantise(value: float, limits: tuple[int, int], name: str) -> int:
    """Bring a physical value into the contract's unit.

    Args:
        value: degC or %RH.
        limits: What the format can hold, in hundredths.
        name: "temperature" or "humidity", for the message.

    Returns:
        The nearest hundredth.

    Raises:
        ReadingError: It is not a finite number, or outside what the format can hold.
    """
    if not math.isfinite(value * HUNDREDTHS):
        raise ReadingError(f"{name} is {value}", "give a finite number")
    hundredths = round(value * HUNDREDTHS)
    if not limits[0] <= hundredths <= limits[1]:
        low, high = (limit / HUNDREDTHS for limit in limits)
        raise ReadingError(
            f"{name} {value} is outside what a reading can hold ({low} to {high})", "give a value inside"
        )
    return hundredths
