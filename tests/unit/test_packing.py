from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensetrail.core import packing
from sensetrail.core.batch import MAX_COUNT, MAX_GAP, Format, encode, formats
from sensetrail.core.packing import READING_GAS, Part, pack
from sensetrail.core.primitives import address
from sensetrail.core.reading import Measurements

DEVICE = address("0x" + "11" * 20)


def cost(measurements: Measurements, parts: list[Part]) -> int:
    total = 0
    for part in parts:
        encode(DEVICE, 0, measurements[part.start : part.stop], part.kind)  # raises where they do not fit
        total += packing.BATCH_GAS + READING_GAS[Format.REGULAR] + READING_GAS[part.kind] * (part.stop - part.start - 1)
    return total


def every_way(measurements: Measurements) -> list[list[Part]]:
    """Give every division into batches that fit, each in its cheapest format."""
    count = len(measurements)
    ways = []
    for cuts in product([False, True], repeat=count - 1):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [count]
        parts = []
        for start, stop in zip([0, *ends], ends, strict=False):
            gaps = np.diff(measurements.measured_at[start:stop])
            if len(gaps) and not 0 <= gaps.min() <= gaps.max() <= MAX_GAP:
                break
            kind = min(formats(measurements[start:stop]), key=lambda kind: READING_GAS[kind])
            parts.append(Part(start, stop, Format.REGULAR if stop - start == 1 else kind))
        else:
            ways.append(parts)
    return ways


@given(
    st.lists(
        st.tuples(st.sampled_from([-5, 0, 30, 30, 30, 31, MAX_GAP, MAX_GAP + 1]), st.sampled_from([0, 1, -128, 128])),
        max_size=7,
    ),
    st.sampled_from([100, 17_000]),
)
def test_no_other_way_is_cheaper(steps: list[tuple[int, int]], batch_gas: int) -> None:
    times, values = np.cumsum([(10**6, 0), *steps], axis=0).T
    measurements = Measurements.of(times, values, 5000 + 0 * values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BATCH_GAS", batch_gas)
        parts = pack(measurements)
        assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
        assert parts[-1].stop == len(measurements)
        assert cost(measurements, parts) == min(cost(measurements, way) for way in every_way(measurements))


def test_a_gap_in_a_long_series_splits_it_and_one_in_a_short_series_does_not() -> None:
    def with_a_gap(count: int) -> Measurements:
        times = 30 * np.arange(count) + np.where(np.arange(count) < count // 2, 0, 7)
        return Measurements.of(times, np.arange(count) % 5, 5000 + np.arange(count) % 7)

    assert pack(with_a_gap(100)) == [Part(0, 100, Format.TIMED)]
    assert pack(with_a_gap(1000)) == [Part(0, 500, Format.DELTA), Part(500, 1000, Format.DELTA)]


@pytest.mark.parametrize("count", [0, MAX_COUNT + 1])
def test_more_or_less_than_a_batch_holds_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} readings"):
        pack(Measurements.of(range(count), [0] * count, [0] * count))
