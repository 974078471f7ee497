"""How often a sensor measured: its interval, and the gaps in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensetrail.core.reading import Measurements

GAP = 3
"""How many times the usual interval a gap takes at least."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often a sensor measured.

    Attributes:
        first: The first reading's time, Unix seconds.
        last: The last one's.
        interval: The median time between two readings, seconds; 0 for a single reading.
        gaps: How many times more than `GAP` intervals passed.
        longest_gap: The longest time between two readings, seconds.
    """

    first: int
    last: int
    interval: int
    gaps: int
    longest_gap: int


def cadence(measurements: Measurements) -> Cadence:
    """Tell how often a sensor measured.

    Args:
        measurements: At least one reading, in the order of time.
    """
    times = measurements.measured_at
    steps = np.diff(times)
    if not len(steps):
        return Cadence(int(times[0]), int(times[0]), 0, 0, 0)
    interval = int(np.median(steps))
    gaps = int((steps > GAP * max(1, interval)).sum())
    return Cadence(int(times[0]), int(times[-1]), interval, gaps, int(steps.max()))
