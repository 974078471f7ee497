"""An accepted device claims an earlier time than before."""

from conftest import Site
from sensetrail.core.events import Accepted
from sensetrail.core.rules import Verdict


def test_an_earlier_or_equal_time_is_illegal_and_leaves_the_latest_time(site: Site) -> None:
    latest = site.now
    site.post(0, latest, 25_00, 60_00)
    for sequence, moment in ((1, latest), (2, latest - 600), (3, 0)):
        outcome = site.post(sequence, moment, 25_00, 60_00)
        assert isinstance(outcome, Accepted)
        assert outcome.verdicts.tolist() == [Verdict.TIME_NOT_AFTER]
    state = site.registry.state(site.device_address)
    assert (state.last_time, state.sequence) == (latest, 4)
