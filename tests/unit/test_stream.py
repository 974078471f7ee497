"""The demo's stream: attacks as many as the readings hide, each of which the rules catch, whatever the readings are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensetrail.core.batch import encode, formats
from sensetrail.core.primitives import address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR, DeviceState, Verdict, judge
from sensetrail.demo.room import FEWEST_READINGS, MOST_READINGS, Room
from sensetrail.demo.send import SIGNS
from sensetrail.demo.stream import OUTSIDE, WITH_KEY, Attack, Stream, build_stream
from sensetrail.errors import InputError

START = 1_772_323_200
DEVICE = address("0x" + "5e" * 20)


def sensor(count: int, every: int, warm: float = 22.0, gap: int = 0, jitter: int = 0) -> Measurements:
    generator = np.random.default_rng(count + every)
    times = START + every * np.arange(count, dtype=np.int64)
    times[count // 2 :] += gap
    if jitter:
        times += generator.integers(0, jitter, count)
    temperature = 100 * warm + 40 * np.sin(np.arange(count) / 30)
    humidity = 4500 - 60 * np.sin(np.arange(count) / 30)
    return Measurements.of(times, np.rint(temperature), np.rint(humidity))


def room(devices: int = 2, **shape: float) -> Room:
    return Room.of("a file", {f"sensor {i}": sensor(**shape) for i in range(devices)})  # type: ignore[arg-type]


def stream_of(made: Room) -> Stream:
    return build_stream(made.sensors, made.profile, made.attackers, seed=0)


def hold(made: Room, stream: Stream) -> None:
    """Send a stream to the judge's twin: every attack with a device's key is caught for what it is."""
    states = {name: DeviceState(1) for name in made.sensors}
    now = made.start - 3600
    for message in stream.messages:
        now = max(now + 1, message.sent_at)
        if message.own:
            assert len(message.measurements) == 1
        else:
            for kind in formats(message.measurements):
                encode(DEVICE, 0, message.measurements, kind)
        if message.attack in (*OUTSIDE, Attack.ALTERED, Attack.REPLAY):
            continue
        verdicts, states[message.device] = judge(
            message.measurements, states[message.device], made.profile, np.full(len(message.measurements), now)
        )
        if message.attack is not None:
            sign = SIGNS[message.attack]
            assert isinstance(sign, Verdict)
            assert (verdicts & sign).all(), message


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(FEWEST_READINGS, 1200),
    st.sampled_from([1, 2, 4, 30, 31, 300, 3600]),
    st.sampled_from([-18.0, 4.2, 22.0, 38.0]),
    st.sampled_from([0, 600, 65_536, 72_000, 252_000]),
)
def test_attacks_scale_with_the_readings_and_are_caught(
    devices: int, count: int, every: int, warm: float, gap: int
) -> None:
    made = room(devices, count=count, every=every, warm=warm, gap=gap)
    stream = stream_of(made)
    hold(made, stream)
    assert [m.sent_at for m in stream.messages] == sorted(m.sent_at for m in stream.messages)
    clean = sum(len(m.measurements) for m in stream.messages if m.attack is None)
    assert clean == sum(map(len, made.sensors.values()))
    singles = sum(m.attack in WITH_KEY for m in stream.messages)
    assert singles <= clean // 35
    false = sum(len(m.measurements) for m in stream.messages if m.attack in OUTSIDE)
    assert 15 <= false <= clean / 4


def test_a_long_file_hides_all_and_a_short_one_says_what_it_does_not(tmp_path: object) -> None:
    assert stream_of(room(count=840, every=30)).missing == []
    short = stream_of(room(count=200, every=30))
    assert "device sensor 0: 5 of 24 attacks with its own key: its 200 readings hide no more" in short.missing
    dense = stream_of(room(count=1000, every=1))
    assert "jump: not one could be hidden" in dense.missing
    assert {m.attack for m in dense.messages} == {None, *OUTSIDE, Attack.ALTERED, Attack.REPLAY}


def test_one_device_sends_batches_so_that_they_can_be_attacked() -> None:
    stream = stream_of(room(1, count=500, every=30))
    assert not any(message.own for message in stream.messages)
    assert {message.attack for message in stream.messages} == {None, *Attack}


def test_a_gap_longer_than_a_batch_holds_begins_the_next_batch() -> None:
    stream = stream_of(room(count=400, every=30, gap=72_000))
    for message in stream.messages:
        if message.attack not in OUTSIDE:
            assert (np.diff(message.measurements.measured_at) < 65_536).all()


def test_a_file_with_too_few_readings_is_refused() -> None:
    with pytest.raises(InputError, match="a file has 20 readings: too few to hide attacks among"):
        room(count=10, every=30)


def test_of_a_very_long_file_the_first_readings_are_taken() -> None:
    made = room(count=MOST_READINGS, every=30)
    assert sum(map(len, made.sensors.values())) == MOST_READINGS
    assert "The file has 80000 readings; the demo takes the first 40000." in made.notes


def test_rules_are_fitted_only_where_a_room_s_would_call_most_illegal() -> None:
    assert room(count=400, every=30).profile is INDOOR
    assert room(count=400, every=300, warm=4.2).profile is INDOOR
    cold = room(count=400, every=30, warm=-18.0)
    assert (cold.profile.temperature_min, cold.profile.temperature_max) == (-1900, -1700)
    assert cold.profile.temperature_step == INDOOR.temperature_step
    assert "fitted to them: -19 to -17 degC" in cold.notes[-1]


def test_attackers_have_names_that_no_sensor_has() -> None:
    sensors = {name: sensor(200, 30) for name in ("stranger", "revoked sensor", "A")}
    made = Room.of("a file", sensors)
    assert made.attackers == {Attack.UNKNOWN_DEVICE: "stranger'", Attack.REVOKED_DEVICE: "revoked sensor'"}
    hold(made, stream_of(made))


@pytest.mark.parametrize("degrees", [-327.68, 327.67])
def test_jumps_stay_inside_what_a_reading_can_hold(degrees: float) -> None:
    """A sensor that is stuck at the end of its scale is a sensor, too."""
    count = 1500
    times = START + 60 * np.arange(count)
    stuck = Measurements.of(times, np.full(count, round(100 * degrees)), np.full(count, 100_00))
    made = Room.of("a file", {"sensor": stuck})
    hold(made, stream_of(made))
