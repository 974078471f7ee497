"""A gateway changes what a device signed before it sends it."""

from dataclasses import replace

import pytest

from conftest import Site
from sensetrail.core.batch import Batch, Header
from sensetrail.core.events import Accepted, Rejected, Rejection


def test_any_changed_byte_of_the_data_makes_the_signature_wrong(site: Site) -> None:
    batch, signature = site.batch(site.measurements(2))
    for position in range(len(batch.data)):
        data = bytearray(batch.data)
        data[position] ^= 1
        outcome = site.submit(Batch(batch.header, bytes(data)), signature)
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Rejection.WRONG_SIGNATURE
    assert isinstance(site.submit(batch, signature), Accepted)


@pytest.mark.parametrize("bit", [64, 48, 24], ids=["start", "period", "first sequence number"])
def test_any_changed_field_of_the_header_too(site: Site, bit: int) -> None:
    batch, signature = site.batch(site.measurements(2))
    header = Header.unpack(batch.header.pack() + (1 << bit))
    outcome = site.submit(Batch(header, batch.data), signature)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.WRONG_SIGNATURE


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * 9, b"\0" * 12])
def test_data_that_is_not_what_the_header_announces_is_malformed(site: Site, data: bytes) -> None:
    batch, signature = site.batch(site.measurements(2))
    outcome = site.submit(Batch(batch.header, data), signature)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.MALFORMED


@pytest.mark.parametrize(("kind", "count"), [(0, 1), (4, 1), (255, 1), (2, 0)])
def test_formats_that_do_not_exist_and_empty_batches_are_malformed(site: Site, kind: int, count: int) -> None:
    batch, _ = site.batch(site.measurements(1))
    crooked = Batch(replace(batch.header, format=kind, count=count), batch.data if count else b"")
    outcome = site.submit(crooked, site.sign(crooked))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.MALFORMED
