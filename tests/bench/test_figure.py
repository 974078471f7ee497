"""A benchmark's figure: the call data floor, means over transactions, and the cap."""

from __future__ import annotations

from bench.figure import Figure, calldata_floor
from sensetrail.chain.client import TRANSACTION_GAS_CAP


def test_the_floor_is_that_of_eip_7623() -> None:
    assert calldata_floor(b"") == 21_000
    assert calldata_floor(b"\0\0\x01\xff\x80") == 21_000 + 2 * 10 + 3 * 40


def test_a_figure_is_the_mean_of_its_transactions() -> None:
    figure = Figure.of("case", 10, [(b"", 42_000), (b"\0", 42_020)])
    assert (figure.case, figure.n, figure.gas_per_reading) == ("case", 10, 4201.0)
    assert figure.floor_ratio == 84_020 / 42_010


def test_what_fits_is_what_eip_7825_allows() -> None:
    assert TRANSACTION_GAS_CAP == 16_777_216
    for n in (1, 3, 7, 60, 120):
        assert Figure.of("case", n, [(b"", TRANSACTION_GAS_CAP)]).fits
        assert not Figure.of("case", n, [(b"", TRANSACTION_GAS_CAP + 1)]).fits
