"""Someone signs a batch in a device's name with another key, or malleates the device's signature."""

from conftest import Site, throw_away_key
from sensetrail.core.events import Accepted, Rejected, Rejection
from sensetrail.core.signature import P256_ORDER, P256Key

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_another_key_s_signature_is_wrong(site: Site) -> None:
    batch, _ = site.batch(site.measurements(3))
    before = site.registry.state_slot(site.device_address)
    outcome = site.submit(batch, site.sign(batch, throw_away_key("forger")))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE
    assert site.registry.state_slot(site.device_address) == before


def test_another_registered_device_s_signature_is_wrong(site: Site) -> None:
    other = site.register("other")
    batch, _ = site.batch(site.measurements(3))
    outcome = site.submit(batch, site.sign(batch, other))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE


def test_the_signature_with_the_higher_s_is_wrong(site: Site) -> None:
    batch, signature = site.batch(site.measurements(3))
    parity, s = signature[32] >> 7, int.from_bytes(signature[32:], "big") & (2**255 - 1)
    # The pair's other half does not fit beside the parity bit (EIP-2098): what arrives is another number.
    high = (ORDER - s) | (parity ^ 1) << 255
    outcome = site.submit(batch, signature[:32] + high.to_bytes(32, "big"))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE


def test_a_p256_signature_by_another_key_is_wrong(site: Site) -> None:
    forger = P256Key(bytes(31) + b"\x07")
    batch, _ = site.batch(site.measurements(3))
    outcome = site.submit(batch, site.sign(batch, forger))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE


def test_the_p256_signature_with_the_higher_s_is_wrong(site: Site) -> None:
    key = P256Key(bytes(31) + b"\x08")
    site.registry.register_device(site.admin, key.address, 1, bytes(32))
    batch, signature = site.batch(site.measurements(3), key)
    high = P256_ORDER - int.from_bytes(signature[32:64], "big")
    outcome = site.submit(batch, signature[:32] + high.to_bytes(32, "big") + signature[64:])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE
    assert isinstance(site.submit(batch, signature), Accepted)


def test_an_all_zero_signature_is_wrong_even_for_the_device(site: Site) -> None:
    batch, signature = site.batch(site.measurements(3))
    outcome = site.submit(batch, bytes(64))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE
    assert isinstance(site.submit(batch, signature), Accepted)
