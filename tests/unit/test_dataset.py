from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eth_abi.abi import encode as abi_encode

from sensetrail.core.dataset import DatasetRecord, Rows, Selection, describe, select
from sensetrail.core.history import History, replay
from sensetrail.core.primitives import address, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.errors import InputError, ManifestError
from story import REGISTRY, Story

# In canonical order: the lower address first, whatever the case that the checksum gives its letters (a..., then B...).
LOW, HIGH = address("0xa000000000000000000000000000000000000000"), address("0xb000000000000000000000000000000000000000")
TIME = 1_790_000_000


def told(revoked_since: int | None = None) -> History:
    story = Story(TIME + 1000)
    story.add_profile(INDOOR)
    story.register(HIGH)
    story.register(LOW)
    times = [TIME, TIME + 30, TIME + 60, TIME + 90]
    story.submit(HIGH, Measurements.of(times, [20_00, 60_00, 20_00, 20_50], [50_00] * 4))
    story.post(LOW, TIME + 10, 25_00, 40_00)
    story.post(HIGH, TIME + 120, 20_60, 50_00)
    if revoked_since is not None:
        story.revoke(HIGH, revoked_since)
    return replay(story.blocks, REGISTRY)


def as_tuples(rows: Rows) -> list[tuple[str, int, int, int, int]]:
    columns = (rows.device, rows.sequence, rows.measured_at, rows.temperature, rows.humidity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


ALL = [
    (LOW, 0, TIME + 10, 25_00, 40_00),
    (HIGH, 0, TIME, 20_00, 50_00),
    (HIGH, 3, TIME + 90, 20_50, 50_00),
    (HIGH, 4, TIME + 120, 20_60, 50_00),
]
"""The legal ones: the jump and the reading after it are not."""


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), ALL),
        (Selection(devices=(HIGH,)), ALL[1:]),
        (Selection(devices=(LOW, HIGH)), ALL),
        (Selection(since=TIME + 10), [ALL[0], *ALL[2:]]),
        (Selection(until=TIME + 90), ALL[:2]),
        (Selection(devices=(HIGH,), since=TIME + 1, until=TIME + 120), [ALL[2]]),
    ],
)
def test_select(selection: Selection, expected: list[tuple[str, int, int, int, int]]) -> None:
    assert as_tuples(select(told(), selection)) == expected


def test_select_leaves_out_what_is_untrusted() -> None:
    assert as_tuples(select(told(revoked_since=TIME + 90), Selection())) == ALL[:2]
    assert as_tuples(select(told(revoked_since=TIME + 91), Selection())) == ALL[:3]
    assert as_tuples(select(told(revoked_since=0), Selection())) == ALL[:1]


def test_nothing_to_select() -> None:
    for selection in (Selection(until=TIME), Selection(devices=()), Selection(devices=(address(bytes(20)),))):
        with pytest.raises(InputError, match="no legal reading"):
            select(told(), selection)
    with pytest.raises(InputError):
        select(History(), Selection())


def test_describe() -> None:
    rows = select(told(), Selection())
    selection = Selection(devices=(HIGH, LOW))
    record = describe(rows, selection, 77, b"\x07" * 32)
    assert record == DatasetRecord(rows.tree().root, 4, selection.digest, 77, b"\x07" * 32)
    encoded = record.root + (4).to_bytes(32, "big") + selection.digest + (77).to_bytes(32, "big") + b"\x07" * 32
    assert record.dataset_id == keccak256(encoded)


def test_leaf_is_the_double_hash_of_the_abi_encoding() -> None:
    rows = select(told(), Selection())
    encoded = abi_encode(["address", "uint24", "uint32", "int16", "uint16"], list(ALL[2]))
    assert rows.leaf(2) == keccak256(keccak256(encoded))
    assert rows.leaf(2) in {rows.leaf(row) for row in range(4)}
    assert rows.tree().inclusion_proof(rows.leaf(2))


def test_the_canonical_order_looks_past_the_checksums_case() -> None:
    assert HIGH < LOW
    assert LOW.lower() < HIGH.lower()
    assert select(told(), Selection()).device.tolist() == [LOW, HIGH, HIGH, HIGH]


def test_rows_take_and_concatenate() -> None:
    rows = select(told(), Selection())
    parts = [rows.take(np.array([3, 1])), rows.take(np.array([True, False, True, False]))]
    assert as_tuples(Rows.concatenate(parts)) == ALL
    assert len(Rows.concatenate([])) == 0


def test_selection_digest_ignores_order_and_repetition() -> None:
    assert Selection(devices=(HIGH, LOW, HIGH)).digest == Selection(devices=(LOW, HIGH)).digest
    digests = {
        selection.digest
        for selection in (
            Selection(),
            Selection(devices=()),
            Selection(devices=(LOW,)),
            Selection(since=1),
            Selection(until=1),
            Selection(since=0),
        )
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    "selection", [Selection(), Selection(devices=(LOW, HIGH), since=1, until=2), Selection(devices=())]
)
def test_selection_json_round_trip(selection: Selection) -> None:
    assert Selection.from_json(selection.to_json()) == selection


GOOD: dict[str, Any] = Selection(devices=(LOW, HIGH), since=1, until=2).to_json()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "selection",
        5,
        {},
        {**GOOD, "more": 1},
        {key: value for key, value in GOOD.items() if key != "until"},
        {**GOOD, "selection": "sensetrail-legal-v2"},
        {**GOOD, "since": "1"},
        {**GOOD, "since": 1.0},
        {**GOOD, "since": True},
        {**GOOD, "until": False},
        {**GOOD, "devices": LOW},
        {**GOOD, "devices": {LOW: HIGH}},
        {**GOOD, "devices": [HIGH, LOW]},
        {**GOOD, "devices": [LOW, LOW]},
        {**GOOD, "devices": [HIGH.lower()]},
        {**GOOD, "devices": [LOW[:-1]]},
        {**GOOD, "devices": [5]},
        {**GOOD, "devices": [None]},
    ],
)
def test_what_is_not_a_selection(value: Any) -> None:
    with pytest.raises(ManifestError):
        Selection.from_json(value)
