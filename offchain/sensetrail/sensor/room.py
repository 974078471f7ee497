"""A simulated room with two sensors, because the paper never published its readings.

One night, midnight to 07:00: the room cools, and its humidity follows the temperature by a law through the paper's five
points (Table 1, the figures from the blockchain). Two sensors measure it every half minute. As with real ones their
calibrations differ (temperature: offset and gain; humidity: offset and a slow drift), their noise is correlated in
time, and they quantise to hundredths. The calibrations are opposite, so the two sensors' mean is the law.

Everything here is simulated and seeded; nothing is a measurement.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.reading import HUNDREDTHS, Measurements

PAPER_POINTS = MappingProxyType({31.2: 62.4, 28.3: 73.15, 27.7: 81.21, 26.5: 84.4, 24.8: 87.32})
"""The paper's Table 1, model from blockchain data: temperature, degC, to humidity, %RH."""

READINGS = 840
"""Of one sensor in the night."""
INTERVAL = 30
"""Between two readings, s."""
WARMEST, COOLEST = 31.5, 24.5
"""The night's first and last temperature, degC."""
WANDER = 0.12
"""How far the temperature wanders from its smooth fall, degC."""

TEMPERATURE_OFFSET = 0.05
"""Half of what the sensors' temperatures differ by at `MIDDLE`, degC."""
TEMPERATURE_GAIN = 0.005
"""Half of what the sensors' gains differ by."""
MIDDLE = 28.0
"""Where the gains pivot, degC."""
HUMIDITY_OFFSET = 0.9
"""Half of what the sensors' humidities differ by on the mean of the night, %RH."""
HUMIDITY_DRIFT = 0.3
"""How much of that difference is lost from the night's start to its end, %RH."""
TEMPERATURE_NOISE = 0.03
"""Standard deviation, degC."""
HUMIDITY_NOISE = 0.69
"""Standard deviation, %RH."""
CORRELATION = 0.6
"""Of a sensor's noise with its noise at the reading before."""


def law(temperature: NDArray[np.float64]) -> NDArray[np.float64]:
    """The clean relation of the room: a straight line, and a logistic fall where the ventilation sets in.

    Its constants are the least-squares fit to `PAPER_POINTS` at the width 0.25 degC. A width of 0.22 would pass the
    points within 0.04 %RH instead of 0.16, with a steeper fall than a room has reason for.

    Args:
        temperature: degC, any shape.

    Returns:
        Humidity, %RH, same shape, falling everywhere.
    """
    fall = 1.0 / (1.0 + np.exp(-(temperature - 28.23) / 0.25))
    return 82.233 - 1.556 * (temperature - 28.0) - 14.913 * fall


def simulate(start: int, seed: int) -> dict[str, Measurements]:
    """Simulate the night.

    Args:
        start: Of the night, Unix seconds.
        seed: Of the wander and the noise.

    Returns:
        The measurements of sensor "A" and of sensor "B", `READINGS` each, at the same times. No step between two
        readings reaches 0.9 degC or 4.5 %RH.
    """
    generator = np.random.default_rng(seed)
    elapsed = np.linspace(0.0, 1.0, READINGS)
    temperature = WARMEST + (COOLEST - WARMEST) * elapsed + _wander(elapsed, generator)
    measured_at = start + INTERVAL * np.arange(READINGS, dtype=np.int64)
    return {
        name: Measurements.of(measured_at, *_measure(temperature, elapsed, sign, generator))
        for name, sign in (("A", 1.0), ("B", -1.0))
    }


def false_measurements(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Make up what the attackers claim: that it is dry where the room's humidity falls.

    Every value is one the room's profile allows. Only who signed it, or did not, gives it away.

    Args:
        count: How many.
        seed: Of the values.

    Returns:
        Temperature, 0.01 degC, and humidity, 0.01 %RH, shape `(count,)` each.
    """
    generator = np.random.default_rng(seed)
    temperature = generator.uniform(27.2, 28.8, count)
    humidity = generator.uniform(44.0, 52.0, count)
    return _hundredths(temperature), _hundredths(humidity)


def _wander(elapsed: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """A slow wander about the smooth fall, degC, nothing at both ends: three waves of random height."""
    waves = np.sin(np.pi * np.outer(np.array([2.0, 3.0, 5.0]), elapsed))
    return np.asarray(generator.uniform(-WANDER, WANDER, 3) @ waves)


def _measure(
    temperature: NDArray[np.float64], elapsed: NDArray[np.float64], sign: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Measure the room by one sensor.

    Args:
        temperature: The room's, degC, shape `(n,)`.
        elapsed: Part of the night that is over, 0 to 1, shape `(n,)`.
        sign: 1 or -1: which way its calibration is off.
        generator: Of the noise.

    Returns:
        Temperature, 0.01 degC, and humidity, 0.01 %RH.
    """
    count = len(temperature)
    temperature_error = sign * (TEMPERATURE_OFFSET + TEMPERATURE_GAIN * (temperature - MIDDLE))
    humidity_error = sign * (HUMIDITY_OFFSET - HUMIDITY_DRIFT * (elapsed - 0.5))
    return (
        _hundredths(temperature + temperature_error + _noise(count, TEMPERATURE_NOISE, generator)),
        _hundredths(law(temperature) + humidity_error + _noise(count, HUMIDITY_NOISE, generator)),
    )


def _noise(count: int, deviation: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """First-order autoregressive noise of this standard deviation, shape `(count,)`."""
    innovations = generator.normal(0.0, deviation * np.sqrt(1.0 - CORRELATION**2), count)
    noise = np.empty(count)
    previous = generator.normal(0.0, deviation)
    for index, innovation in enumerate(innovations):
        previous = CORRELATION * previous + innovation
        noise[index] = previous
    return noise


def _hundredths(value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Quantise degC or %RH to hundredths."""
    return np.rint(value * HUNDREDTHS).astype(np.int64)
