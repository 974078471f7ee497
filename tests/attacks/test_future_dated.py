"""An accepted device claims a time that has not come."""

from conftest import Site
from sensetrail.core.events import Accepted
from sensetrail.core.rules import INDOOR, Verdict


def test_a_time_beyond_the_tolerance_is_illegal_and_does_not_block_later_readings(site: Site) -> None:
    outcome = site.post(0, site.now + INDOOR.future_tolerance + 3600, 25_00, 60_00)
    assert isinstance(outcome, Accepted)
    assert outcome.verdicts.tolist() == [Verdict.TIME_IN_FUTURE]
    assert site.registry.state(site.device_address).last_time == 0
    later = site.post(1, site.now, 25_00, 60_00)
    assert isinstance(later, Accepted)
    assert later.verdicts.tolist() == [Verdict.LEGAL]


def test_the_last_second_there_is_does_not_wrap(site: Site) -> None:
    outcome = site.post(0, 2**32 - 1, 25_00, 60_00)
    assert isinstance(outcome, Accepted)
    assert outcome.verdicts.tolist() == [Verdict.TIME_IN_FUTURE]
