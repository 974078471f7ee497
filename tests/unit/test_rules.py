from __future__ import annotations

from dataclasses import replace

import pytest

from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR, DeviceState, Verdict, judge

NOW = 1_790_000_000
BEFORE = DeviceState(1, humidity=50_00, temperature=20_00, sequence=9, last_time=NOW - 30, head=b"\x07" * 20)


@pytest.mark.parametrize(
    ("measured_at", "temperature", "humidity", "expected"),
    [
        (NOW, 20_00, 50_00, Verdict.LEGAL),
        (NOW - 29, 20_00, 50_00, Verdict.LEGAL),
        (NOW - 30, 20_00, 50_00, Verdict.TIME_NOT_AFTER),
        (NOW + 60, 20_00, 50_00, Verdict.LEGAL),
        (NOW + 61, 20_00, 50_00, Verdict.TIME_IN_FUTURE),
        (NOW, 21_00, 55_00, Verdict.LEGAL),
        (NOW, 21_01, 50_00, Verdict.TEMPERATURE_STEP),
        (NOW, 18_99, 50_00, Verdict.TEMPERATURE_STEP),
        (NOW, 20_00, 55_01, Verdict.HUMIDITY_STEP),
        (NOW, 20_00, 44_99, Verdict.HUMIDITY_STEP),
        (NOW, 50_01, 50_00, Verdict.TEMPERATURE_RANGE | Verdict.TEMPERATURE_STEP),
        (NOW, -1, 50_00, Verdict.TEMPERATURE_RANGE | Verdict.TEMPERATURE_STEP),
        (NOW, 20_00, 98_01, Verdict.HUMIDITY_RANGE | Verdict.HUMIDITY_STEP),
        (NOW, 20_00, 4_99, Verdict.HUMIDITY_RANGE | Verdict.HUMIDITY_STEP),
        (0, -(2**15), 2**16 - 1, 1 + 4 + 8 + 16 + 32),
        (2**33, -(2**15), 2**16 - 1, 2 + 4 + 8 + 16 + 32),
    ],
)
def test_one_reading(measured_at: int, temperature: int, humidity: int, expected: int) -> None:
    verdicts, after = judge(Measurements.of(measured_at, temperature, humidity), BEFORE, INDOOR, NOW)
    assert verdicts.tolist() == [expected]
    last_time = BEFORE.last_time if expected & 3 else measured_at
    assert after == DeviceState(1, humidity, temperature, 10, last_time, BEFORE.head)


def test_a_first_reading_has_no_step() -> None:
    verdicts, _ = judge(Measurements.of([NOW, NOW + 1], [40_00, 20_00], [90_00, 20_00]), DeviceState(1), INDOOR, NOW)
    assert verdicts.tolist() == [0, Verdict.TEMPERATURE_STEP | Verdict.HUMIDITY_STEP]


def test_a_future_time_does_not_make_later_ones_late() -> None:
    times = [NOW - 20, NOW + 1000, NOW - 10, NOW - 10]
    verdicts, after = judge(Measurements.of(times, [20_00] * 4, [50_00] * 4), BEFORE, INDOOR, NOW)
    assert verdicts.tolist() == [0, 2, 0, 1]
    assert after.last_time == NOW - 10


def test_a_step_is_measured_from_the_reading_before_legal_or_not() -> None:
    readings = Measurements.of([NOW - 20, NOW - 10, NOW], [20_00, 60_00, 20_00], [50_00] * 3)
    assert judge(readings, BEFORE, INDOOR, NOW)[0].tolist() == [0, 4 + 16, 16]


def test_an_endless_tolerance_ends_at_32_bits() -> None:
    profile = replace(INDOOR, future_tolerance=2**32 - 1)
    readings = Measurements.of([2**32 - 1, 2**32], [20_00] * 2, [50_00] * 2)
    verdicts, after = judge(readings, BEFORE, profile, NOW)
    assert verdicts.tolist() == [0, 2]
    assert after.last_time == 2**32 - 1


def test_state_packs_as_its_storage_slot() -> None:
    state = DeviceState(0x66, 0x5555, -2, 0x333333, 0x22222222, b"\x11" * 20)
    assert state.pack().hex() == "11" * 20 + "22222222" + "333333" + "fffe" + "5555" + "66"
