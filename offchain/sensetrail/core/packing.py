"""Packing: which batches bring given readings to the chain for the least gas.

A batch costs a fixed amount, and each of its readings an amount that depends on the format; delta and regular take only
readings that are evenly spaced, delta only small changes. So readings may be cheaper as one batch in a roomier format,
or as several in tighter ones. `pack` finds the cheapest way, by dynamic programming over the readings.
"""

from __future__ import annotations

from dataclasses import dataclass

from sensetrail.core.batch import MAX_COUNT, MAX_GAP, Format, changes
from sensetrail.core.reading import Measurements

BATCH_GAS = 17_000
"""What one more batch in a transaction costs, about; `make bench-gas` measures it."""
READING_GAS = {Format.DELTA: 75, Format.REGULAR: 155, Format.TIMED: 205}
"""What one more reading in a batch costs, about."""


@dataclass(frozen=True, slots=True)
class Part:
    """Readings that go into one batch.

    Attributes:
        start: The first one's index.
        stop: The index behind the last.
        kind: The batch's format.
    """

    start: int
    stop: int
    kind: Format


def pack(measurements: Measurements) -> list[Part]:
    """Divide readings into batches, for the least gas.

    Args:
        measurements: 1 to 10,000 readings, in the order of measuring.

    Returns:
        The batches, in order; a new one begins at least where time falls back and after a gap too long for a batch.
    """
    if not 1 <= len(measurements) <= MAX_COUNT:
        raise ValueError(f"{len(measurements)} readings at once")
    gaps = measurements.measured_at[1:] - measurements.measured_at[:-1]
    small = [
        -128 <= t <= 127 and -128 <= h <= 127 for t, h in zip(*(c.tolist() for c in changes(measurements)), strict=True)
    ]
    cost: dict[Format | None, int] = {None: BATCH_GAS + READING_GAS[Format.REGULAR]}
    """Of the cheapest way to pack all readings so far, by the format of the last batch; None: it has one reading."""
    came: list[dict[Format | None, Format | None]] = [{None: None}]
    before = None
    for gap, is_small in zip(gaps.tolist(), small, strict=True):
        cheapest = min(cost, key=lambda kind: cost[kind])
        step: dict[Format | None, int] = {None: cost[cheapest] + BATCH_GAS + READING_GAS[Format.REGULAR]}
        origin: dict[Format | None, Format | None] = {None: cheapest}
        for kind in (Format.DELTA, Format.REGULAR, Format.TIMED):
            fits = 0 <= gap <= MAX_GAP and (kind is Format.TIMED or gap > 0) and (kind is not Format.DELTA or is_small)
            ways: list[Format | None] = [None] if fits else []
            if fits and kind in cost and (kind is Format.TIMED or gap == before):
                ways.append(kind)
            if ways:
                origin[kind] = min(ways, key=lambda way: cost[way])
                step[kind] = cost[origin[kind]] + READING_GAS[kind]
        cost, before = step, gap
        came.append(origin)
    return _trace_back(came, min(cost, key=lambda kind: cost[kind]))


def _trace_back(came: list[dict[Format | None, Format | None]], last: Format | None) -> list[Part]:
    parts: list[Part] = []
    kind, batch, stop = last, last, len(came)
    for index in range(len(came) - 1, -1, -1):
        previous = came[index][kind]
        if kind is None:
            parts.append(Part(index, stop, Format.REGULAR if batch is None else batch))
            batch, stop = previous, index
        kind = previous
    return parts[::-1]
