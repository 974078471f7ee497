"""A stranger sends readings under a key that was never registered."""

from conftest import Site, throw_away_key
from sensetrail.core.events import Rejected, Rejection
from sensetrail.core.primitives import address
from sensetrail.core.rules import DeviceState


def test_a_stranger_s_batch_is_recorded_and_enters_no_history(site: Site) -> None:
    stranger = throw_away_key("stranger")
    batch, signature = site.batch(site.measurements(3), stranger)
    outcome = site.submit(batch, signature)
    assert isinstance(outcome, Rejected)
    assert (outcome.device, outcome.reason) == (address(stranger.address), Rejection.UNKNOWN_DEVICE)
    assert (outcome.sender, outcome.header) == (address(site.relayer.address), batch.header)
    assert site.registry.state(address(stranger.address)) == DeviceState(0)


def test_a_stranger_s_own_transaction_too(site: Site) -> None:
    stranger = throw_away_key("stranger")
    site.fund(stranger)
    outcome = site.post(0, site.now, 25_00, 60_00, key=stranger)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.UNKNOWN_DEVICE
    assert site.registry.state(address(stranger.address)) == DeviceState(0)
