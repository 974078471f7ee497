"""Someone sends again what a device has signed: here, on another deployment, or on another chain."""

from dataclasses import replace

from conftest import Site, device_key, make_site
from sensetrail.core.batch import Batch
from sensetrail.core.events import Accepted, Rejected, Rejection
from sensetrail.core.typed_data import batch_digest, domain_separator


def test_the_same_batch_again_has_the_wrong_sequence(site: Site) -> None:
    batch, signature = site.batch(site.measurements(5))
    assert isinstance(site.submit(batch, signature), Accepted)
    before = site.registry.state_slot(site.device_address)
    outcome = site.submit(batch, signature)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SEQUENCE
    assert site.registry.state_slot(site.device_address) == before


def test_a_batch_from_the_future_of_the_history_too(site: Site) -> None:
    first, signature = site.batch(site.measurements(5))
    assert isinstance(site.submit(first, signature), Accepted)
    later, _ = site.batch(site.measurements(5))
    skipped = Batch(replace(later.header, first_sequence=99), later.data)
    outcome = site.submit(skipped, site.sign(skipped))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SEQUENCE


def test_on_another_deployment_the_signature_is_wrong(site: Site) -> None:
    batch, signature = site.batch(site.measurements(5))
    elsewhere = make_site(site.chain)
    outcome = elsewhere.submit(batch, signature)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE


def test_signed_for_another_chain_the_signature_is_wrong(site: Site) -> None:
    batch, _ = site.batch(site.measurements(5))
    separator = domain_separator(1, site.deployment.sensor_registry)
    outcome = site.submit(batch, device_key(site.device).sign(batch_digest(batch, separator)))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE
