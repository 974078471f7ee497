"""Gas, against the committed snapshot: what grew is noticed here, and `make gas-snapshot` says that it is meant."""

from __future__ import annotations

import json
from pathlib import Path

from bench import registry
from bench.figure import Figure
from bench_gas import CHAIN_START, SNAPSHOT, START, snapshot_of
from sensetrail.chain.client import TRANSACTION_GAS_CAP
from sensetrail.chain.devnet import running_devnet

GROWTH = 1.01
README = (SNAPSHOT.parents[2] / "README.md").read_text()


def test_no_figure_grew_by_more_than_one_percent() -> None:
    with running_devnet(timestamp=CHAIN_START) as chain:
        figures = registry.measure(chain, START)
    measured, before = snapshot_of(figures), json.loads(Path(SNAPSHOT).read_text())
    assert set(measured) == set(before)
    grown = {case: (before[case], gas) for case, gas in measured.items() if gas > GROWTH * before[case]}
    assert not grown, "gas grew; if that is meant: make gas-snapshot"
    assert [figure for figure in figures if not figure.fits] == []


def test_the_readme_s_table_shows_the_snapshot() -> None:
    before = json.loads(Path(SNAPSHOT).read_text())
    table = README.split("<!-- figures: make bench-gas -->")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    shown = {
        (row[0].split(",")[0], size): int(cell.split()[0].replace(",", ""))
        for row in rows[2:5]
        for size, cell in zip(map(int, rows[0][1:]), row[1:], strict=True)
        if cell
    }
    assert len(shown) == 20
    assert shown == {(case, size): round(before[f"{case} {size}"] / size) for case, size in shown}
    assert f"own transaction: {before['own 1']:,}" in README


def test_a_figure_that_does_not_fit_is_seen() -> None:
    assert not Figure("x", 2, TRANSACTION_GAS_CAP / 2 + 1, 1.0).fits
