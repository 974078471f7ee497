"""What the property tests draw from: values crowd around the boundaries, where judges differ if they do."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from reference_judge import Reading
from sensetrail.core.primitives import Address, address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState, Profile

# No test of ours is timed: a slow machine is no failure.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("untimed")

LOWEST, HIGHEST = -(2**15), 2**15 - 1
TEMPERATURES = st.integers(LOWEST, HIGHEST)
HUMIDITIES = st.integers(0, 2**16 - 1)
TIMES = st.integers(0, 2**32 - 1)
GAPS = st.integers(0, 2**16 - 1)
"""Seconds that one batch can hold between two readings."""
WORDS = st.binary(min_size=32, max_size=32)


def devices() -> SearchStrategy[Address]:
    return st.binary(min_size=20, max_size=20).map(address)


@st.composite
def profiles(draw: DrawFn) -> Profile:
    low_t, high_t = sorted(draw(st.tuples(TEMPERATURES, TEMPERATURES)))
    low_h, high_h = sorted(draw(st.tuples(HUMIDITIES, HUMIDITIES)))
    tolerance = draw(st.sampled_from([0, 1, 60, 2**32 - 1]) | TIMES)
    return Profile(low_t, high_t, draw(HUMIDITIES), low_h, high_h, draw(HUMIDITIES), tolerance)


@st.composite
def states(draw: DrawFn) -> DeviceState:
    sequence = draw(st.sampled_from([0, 1, 2**24 - 40]))
    return DeviceState(1, draw(HUMIDITIES), draw(TEMPERATURES), sequence, draw(TIMES), draw(WORDS)[:20])


@st.composite
def judgements(draw: DrawFn) -> tuple[list[Reading], DeviceState, Profile, int]:
    """Draw readings, a state, a profile and a block time: nearly every reading a step away from some boundary."""
    profile, state, now = draw(profiles()), draw(states()), draw(TIMES)
    near = st.sampled_from([-1, 0, 1])
    readings: list[Reading] = []
    last_t, last_h, last_time = state.temperature, state.humidity, state.last_time
    for _ in range(draw(st.integers(1, 12))):
        anchors_t = [profile.temperature_min, profile.temperature_max, last_t]
        anchors_t += [last_t - profile.temperature_step, last_t + profile.temperature_step]
        anchors_h = [profile.humidity_min, profile.humidity_max, last_h]
        anchors_h += [last_h - profile.humidity_step, last_h + profile.humidity_step]
        anchors_time = [last_time, state.last_time, now, now + profile.future_tolerance, 2**32]
        temperature = draw(TEMPERATURES | st.sampled_from(anchors_t).flatmap(lambda at: near.map(lambda d: at + d)))
        humidity = draw(HUMIDITIES | st.sampled_from(anchors_h).flatmap(lambda at: near.map(lambda d: at + d)))
        measured_at = draw(TIMES | st.sampled_from(anchors_time).flatmap(lambda at: near.map(lambda d: at + d)))
        last_t = min(max(temperature, LOWEST), HIGHEST)
        last_h = min(max(humidity, 0), 2**16 - 1)
        last_time = max(measured_at, 0)
        readings.append((last_time, last_t, last_h))
    return readings, state, profile, now


@st.composite
def measurements(draw: DrawFn) -> Measurements:
    """Draw measurements that fit one batch, evenly spaced or not."""
    size = draw(st.integers(1, 20))
    if draw(st.booleans()):
        steps = [draw(GAPS)] * (size - 1)
    else:
        steps = draw(st.lists(GAPS, min_size=size - 1, max_size=size - 1))
    times = [draw(st.integers(0, 2**32 - 1 - 20 * 2**16))]
    for step in steps:
        times.append(times[-1] + step)
    values = draw(st.lists(st.tuples(TEMPERATURES, HUMIDITIES), min_size=size, max_size=size))
    return Measurements.of(times, *zip(*values, strict=True))


def measurements_of(readings: list[Reading]) -> Measurements:
    return Measurements.of(*zip(*readings, strict=True))
