from __future__ import annotations

import math

import numpy as np
import pytest

from sensetrail.core.reading import HUMIDITY_LIMITS, TEMPERATURE_LIMITS, Measurements, quantise
from sensetrail.errors import ReadingError


@pytest.mark.parametrize(
    ("value", "expected"), [(31.2, 3120), (0.29, 29), (-0.29, -29), (-327.68, -32768), (327.67, 32767), (21.3449, 2134)]
)
def test_quantise(value: float, expected: int) -> None:
    assert quantise(value, TEMPERATURE_LIMITS, "temperature") == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_quantise_refuses_what_is_not_finite(value: float) -> None:
    with pytest.raises(ReadingError, match="temperature is"):
        quantise(value, TEMPERATURE_LIMITS, "temperature")


@pytest.mark.parametrize("value", [-0.01, 655.36, 1e300])
def test_quantise_refuses_what_does_not_fit(value: float) -> None:
    with pytest.raises(ReadingError, match=r"humidity .* outside what a reading can hold \(0.0 to 655.35\)"):
        quantise(value, HUMIDITY_LIMITS, "humidity")


def test_measurements_slice_all_columns() -> None:
    measurements = Measurements.of([1, 2, 3], [10, 20, 30], [100, 200, 300])
    for part in (measurements[1:], measurements[np.array([1, 2])], measurements[np.array([False, True, True])]):
        columns = (part.measured_at, part.temperature, part.humidity)
        assert [column.tolist() for column in columns] == [[2, 3], [20, 30], [200, 300]]
        assert len(part) == 2


def test_measurements_of_single_numbers() -> None:
    assert len(Measurements.of(5, -1, 2)) == 1
