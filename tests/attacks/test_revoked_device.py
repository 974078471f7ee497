"""A device's key goes on signing after the device was revoked, or tries to come back."""

import pytest

from conftest import Site
from sensetrail.core.dataset import Selection, select
from sensetrail.core.events import Rejected, Rejection
from sensetrail.core.history import replay
from sensetrail.core.logs import gather
from sensetrail.errors import SensorRegistryDeviceExistsError


def test_nothing_gets_in_after_revocation(site: Site) -> None:
    site.submit(*site.batch(site.measurements(4)))
    site.registry.revoke_device(site.admin, site.device_address, site.now)
    before = site.registry.state_slot(site.device_address)
    for outcome in (site.submit(*site.batch(site.measurements(4))), site.post(4, site.now, 25_00, 60_00)):
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Rejection.REVOKED_DEVICE
    assert site.registry.state_slot(site.device_address) == before


def test_it_never_comes_back_under_the_same_key(site: Site) -> None:
    site.registry.revoke_device(site.admin, site.device_address, 0)
    with pytest.raises(SensorRegistryDeviceExistsError):
        site.registry.register_device(site.admin, site.device_address, 1, bytes(32))


def test_what_it_measured_since_is_in_no_dataset(site: Site) -> None:
    measurements = site.measurements(10)
    site.submit(*site.batch(measurements))
    site.registry.revoke_device(site.admin, site.device_address, int(measurements.measured_at[6]))
    logs = site.chain.logs([site.registry.address], site.deployment.block_number, site.chain.latest_block().number)
    times = {log.block_number: block.timestamp for log in logs if (block := site.chain.block(log.block_number))}
    rows = select(replay(gather(logs, times), site.registry.address), Selection())
    assert rows.sequence.tolist() == [0, 1, 2, 3, 4, 5]
