"""The simulated room: its law, its two sensors, and what the attackers claim."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrail.core.reading import HUNDREDTHS
from sensetrail.sensor.room import INTERVAL, PAPER_POINTS, READINGS, false_measurements, law, simulate

MIDNIGHT = 1_767_225_600
SEEDS = range(25)


def test_the_law_passes_the_papers_points() -> None:
    temperature = np.array(list(PAPER_POINTS))
    residuals = law(temperature) - np.array(list(PAPER_POINTS.values()))
    assert np.abs(residuals).max() <= 0.3, dict(zip(PAPER_POINTS, residuals.round(3), strict=True))


def test_the_law_falls_everywhere_and_without_a_corner() -> None:
    slope = np.diff(law(np.arange(20.0, 36.0, 0.01))) / 0.01
    assert slope.max() < 0
    assert slope.min() > -20, "%RH a degree: steeper than a small network learns within 1.5 %RH"


@pytest.mark.parametrize("seed", SEEDS)
def test_every_reading_and_step_of_a_night_is_legal(seed: int) -> None:
    night = simulate(MIDNIGHT, seed)
    assert list(night) == ["A", "B"]
    for measurements in night.values():
        assert measurements.measured_at.tolist() == [MIDNIGHT + INTERVAL * number for number in range(READINGS)]
        for column in (measurements.measured_at, measurements.temperature, measurements.humidity):
            assert column.dtype == np.int64
            assert column.shape == (840,)
        assert measurements.humidity.min() > 40_00
        assert measurements.humidity.max() < 98_00
        assert np.abs(np.diff(measurements.temperature)).max() < 90
        assert np.abs(np.diff(measurements.humidity)).max() < 4_50


@pytest.mark.parametrize("seed", SEEDS)
def test_the_night_spans_the_papers_temperatures(seed: int) -> None:
    for measurements in simulate(MIDNIGHT, seed).values():
        assert measurements.temperature[:20].mean() > 31_20
        assert measurements.temperature[-20:].mean() < 24_80


def test_the_sensors_differ_about_the_law() -> None:
    offsets = {"A": [], "B": []}  # type: dict[str, list[float]]
    for seed in SEEDS:
        for name, measurements in simulate(MIDNIGHT, seed).items():
            expected = law(measurements.temperature / HUNDREDTHS)
            offsets[name].append(float(np.mean(measurements.humidity / HUNDREDTHS - expected)))
    assert min(offsets["A"]) > 0.5
    assert max(offsets["B"]) < -0.5
    assert abs(np.mean(offsets["A"] + offsets["B"])) < 0.1


def test_noise_is_correlated_in_time() -> None:
    lags = []
    for seed in SEEDS:
        measurements = simulate(MIDNIGHT, seed)["A"]
        early = slice(0, 300)  # before the steep part, where humidity noise is nearly all of the residual
        residual = measurements.humidity[early] / HUNDREDTHS - law(measurements.temperature[early] / HUNDREDTHS)
        lags.append(np.corrcoef(residual[:-1], residual[1:])[0, 1])
    assert 0.45 < np.mean(lags) < 0.75


def test_a_night_repeats_by_its_seed() -> None:
    once, again, other = simulate(MIDNIGHT, 1), simulate(MIDNIGHT, 1), simulate(MIDNIGHT, 2)
    assert np.array_equal(once["A"].humidity, again["A"].humidity)
    assert not np.array_equal(once["A"].humidity, other["A"].humidity)
    assert not np.array_equal(once["A"].humidity, once["B"].humidity)


def test_false_measurements_are_legal_by_their_values_and_wrong_by_the_law() -> None:
    temperature, humidity = false_measurements(350, seed=0)
    assert temperature.shape == humidity.shape == (350,)
    assert temperature.dtype == humidity.dtype == np.int64
    assert temperature.min() >= 0
    assert temperature.max() <= 50_00
    assert humidity.min() >= 5_00
    assert humidity.max() <= 98_00
    assert (law(temperature / HUNDREDTHS) - humidity / HUNDREDTHS).min() > 10
    assert np.array_equal(false_measurements(350, seed=0)[1], humidity)
    assert not np.array_equal(false_measurements(350, seed=1)[1], humidity)
