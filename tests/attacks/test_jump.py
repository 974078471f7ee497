"""An accepted device's values jump within the legal range."""

from conftest import Site
from sensetrail.core.events import Accepted
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import Verdict


def test_the_jump_and_the_reading_after_it_are_illegal_and_no_other(site: Site) -> None:
    first = site.now - 150
    times = [first + 30 * i for i in range(5)]
    jump = Measurements.of(times, [25_00, 25_10, 31_00, 25_20, 25_30], [60_00, 60_00, 40_00, 60_00, 60_00])
    outcome = site.submit(*site.batch(jump))
    assert isinstance(outcome, Accepted)
    steps = Verdict.TEMPERATURE_STEP | Verdict.HUMIDITY_STEP
    assert outcome.verdicts.tolist() == [0, 0, steps, steps, 0]


def test_a_step_as_large_as_allowed_is_legal_and_a_hundredth_more_is_not(site: Site) -> None:
    times = [site.now - 60, site.now - 30, site.now]
    outcome = site.submit(*site.batch(Measurements.of(times, [20_00, 21_00, 22_01], [50_00, 55_00, 49_99])))
    assert isinstance(outcome, Accepted)
    assert outcome.verdicts.tolist() == [0, 0, Verdict.TEMPERATURE_STEP | Verdict.HUMIDITY_STEP]


def test_the_step_is_taken_across_batches(site: Site) -> None:
    site.submit(*site.batch(Measurements.of(site.now - 30, 20_00, 50_00)))
    outcome = site.submit(*site.batch(Measurements.of(site.now, 30_00, 50_00)))
    assert isinstance(outcome, Accepted)
    assert outcome.verdicts.tolist() == [Verdict.TEMPERATURE_STEP]
