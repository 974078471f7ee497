"""Readings to measure with: a quiet room, read every half minute by one good sensor.

Noise is a Sensirion SHT45's repeatability at high precision as its data sheet gives it (three standard deviations:
0.04 degC, 0.08 %RH), about a slow swing of 1 degC and 3 %RH. How large the changes are decides what call data costs: a
zero byte costs a quarter of another.
"""

from __future__ import annotations

import numpy as np

from sensetrail.core.reading import Measurements

TEMPERATURE_NOISE, HUMIDITY_NOISE = 4 / 3, 8 / 3
"""Standard deviations, 0.01 degC and 0.01 %RH."""
EVERY = 30


def quiet_room(count: int, start: int, *, jitter: bool = False, illegal: float = 0.0) -> Measurements:
    """Give readings, the same ones for the same arguments.

    Args:
        count: How many.
        start: The first one's time, Unix seconds.
        jitter: Whether times are off by up to 2 s, as a radio's are: they fit the timed format only.
        illegal: Which part of them a jump of 1.10 degC and back makes illegal: each costs two readings. The indoor
            profile allows steps of 1 degC; the delta format holds 1.27.
    """
    generator = np.random.default_rng(20)
    index = np.arange(count)
    swing = np.sin(index / 420)
    temperature = 2600 - 100 * swing + generator.normal(0, TEMPERATURE_NOISE, count)
    humidity = 5500 + 300 * swing + generator.normal(0, HUMIDITY_NOISE, count)
    times = start + EVERY * index + (generator.integers(0, 3, count) if jitter else 0)
    jumps = generator.choice(np.arange(1, count - 1, 2), round(count * illegal / 2), replace=False)
    hundredths = np.rint(temperature).astype(np.int64)
    hundredths[jumps] += 110
    return Measurements.of(times, hundredths, np.rint(humidity).astype(np.int64))
