from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from property.strategies import judgements, measurements_of
from reference_judge import Reading, judge_all
from sensetrail.core.rules import DeviceState, Profile, judge

Judgement = tuple[list[Reading], DeviceState, Profile, int]


@settings(max_examples=1000)
@given(judgements())
def test_the_twin_judges_as_the_scalar_reference(judgement: Judgement) -> None:
    readings, state, profile, now = judgement
    verdicts, after = judge(measurements_of(readings), state, profile, now)
    expected, expected_after = judge_all(readings, state, profile, now)
    assert verdicts.tolist() == expected
    assert after == expected_after
    assert verdicts.dtype == np.uint8


@given(judgements(), st.data())
def test_judging_in_two_parts_is_judging_in_one(judgement: Judgement, data: st.DataObject) -> None:
    readings, state, profile, now = judgement
    whole, after = judge(measurements_of(readings), state, profile, now)
    if len(readings) > 1:
        middle = data.draw(st.integers(1, len(readings) - 1))
        first, between = judge(measurements_of(readings[:middle]), state, profile, now)
        second, end = judge(measurements_of(readings[middle:]), between, profile, now)
        assert first.tolist() + second.tolist() == whole.tolist()
        assert end == after


@given(judgements())
def test_what_the_judge_never_does(judgement: Judgement) -> None:
    readings, state, profile, now = judgement
    _, after = judge(measurements_of(readings), state, profile, now)
    assert after.last_time >= state.last_time
    assert after.last_time <= max(state.last_time, min(now + profile.future_tolerance, 2**32 - 1))
    assert after.sequence == state.sequence + len(readings)
    assert (after.head, after.profile) == (state.head, state.profile)
