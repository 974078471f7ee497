"""Answers read in columns: what the scan takes, what it leaves to the plain way, and that both say the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sensetrail.core.receipt import receipt_from_rpc
from sensetrail.core.trie import ordered_root
from sensetrail.indexer.prove import receipts_root
from sensetrail.indexer.scan import Strings, UnscannableError, scan_logs, scan_receipts

BLOOM = "0x" + "00" * 256
LOG: dict[str, Any] = {"address": "0x" + "ab" * 20, "topics": ["0x" + "cd" * 32], "data": "0x0102"}
RECEIPT = {
    "type": "0x2",
    "status": "0x1",
    "cumulativeGasUsed": "0x5208",
    "logs": [LOG],
    "logsBloom": BLOOM,
    "transactionHash": "0x" + "12" * 32,
}


def strings(value: object) -> Strings:
    return Strings(memoryview(json.dumps(value).encode()))


def answer(*blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"jsonrpc": "2.0", "id": i, "result": block} for i, block in enumerate(blocks)]


def test_strings_are_found_by_their_quotes() -> None:
    found = strings({"address": "0x12", "": "address"})
    assert found.find(b"address").tolist() == [0, 3]
    assert found.find(b"nothing").tolist() == []
    assert found.length.tolist() == [7, 4, 0, 7]


@pytest.mark.parametrize("text", [b"", b"7", b'"', b'{"a":"b}', b'{"a":"\\u0062"}'])
def test_what_has_no_plain_strings_is_left_to_the_plain_way(text: bytes) -> None:
    with pytest.raises(UnscannableError):
        Strings(memoryview(text))


def test_quantities_are_read_from_the_right() -> None:
    found = strings(["something before", "0x0", "0x1", "0xff", "0xabcdef012345678", "0x00ff"])
    assert found.quantities(np.arange(1, 6)).tolist() == [0, 1, 255, 0xABCDEF012345678, 255]
    assert found.quantities(np.arange(0)).tolist() == []


@pytest.mark.parametrize("text", ["0x", "", "0xg", "0x1 ", "0xFF", "0x1234567812345678"])
def test_what_is_no_quantity_is_left_to_the_plain_way(text: str) -> None:
    with pytest.raises(UnscannableError):
        strings([text]).quantities(np.arange(1))


def test_blocks_without_receipts_and_receipts_without_logs() -> None:
    scanned = scan_receipts(strings(answer([], [{**RECEIPT, "logs": []}], [])), 3)
    assert scanned.block.tolist() == [1]
    assert len(scanned.logs.data) == 0
    assert scanned.encoded == [receipt_from_rpc({**RECEIPT, "logs": []}).encode()]
    assert scan_receipts(strings(answer([], [])), 2).encoded == []


def changed(**fields: object) -> list[dict[str, Any]]:
    return answer([{name: value for name, value in {**RECEIPT, **fields}.items() if value is not None}])


@pytest.mark.parametrize(
    "value",
    [
        changed(status=None),
        changed(type=None),
        changed(type="0x5"),
        changed(type="0x1ff"),
        changed(status="0x2"),
        changed(cumulativeGasUsed="0x" + "f" * 16),
        changed(logsBloom="0x00"),
        changed(logs=[{**LOG, "topics": ["0x12"]}]),
        changed(logs=[{**LOG, "topics": LOG["topics"] * 5}]),
        changed(logs=[{**LOG, "address": "0x12"}]),
        changed(logs=[{**LOG, "data": "0x1"}]),
        changed(logs=[{**LOG, "data": "0xzz"}]),
        changed(logs=[{"topics": [], "data": "0x"}]),
        changed(logs=[{"data": "0x", "topics": ["0x" + "cd" * 32], "address": "0x" + "ab" * 20}]),
        [*answer([RECEIPT]), *answer([RECEIPT]), *answer([RECEIPT])],
        [{"logs": [LOG], **answer([RECEIPT])[0]}],
        [],
    ],
)
def test_another_form_is_left_to_the_plain_way(value: object) -> None:
    with pytest.raises(UnscannableError):
        scan_receipts(strings(value), 1)


@pytest.mark.parametrize("key", ["type", "status", "cumulativeGasUsed", "logsBloom"])
@pytest.mark.parametrize("value", [None, 7, True])
def test_a_last_key_without_a_string_behind_it_is_left_to_the_plain_way(key: str, value: object) -> None:
    rest = {name: each for name, each in RECEIPT.items() if name != key}
    with pytest.raises(UnscannableError):
        scan_receipts(strings([{"result": [{**rest, key: value}]}]), 1)


@pytest.mark.parametrize("log", [{**LOG, "data": None}, {**LOG, "data": 7}])
def test_a_last_log_without_data_is_left_to_the_plain_way(log: dict[str, Any]) -> None:
    with pytest.raises(UnscannableError):
        scan_logs(strings({"result": [log]}))


@pytest.mark.parametrize("text", ["", "0", "zz12", "0X12", "zzcd"])
def test_data_without_its_prefix_is_left_to_the_plain_way(text: str) -> None:
    with pytest.raises(UnscannableError):
        scan_logs(strings([{**LOG, "data": text}]))


def test_keys_in_values_are_no_keys_that_matter() -> None:
    with pytest.raises(UnscannableError):
        scan_logs(strings([{**LOG, "note": "topics"}]))


@pytest.mark.parametrize("count", [*range(20), 55, 56, 127, 128, 129, 130, 255, 256, 257, 300])
@pytest.mark.parametrize("length", [64, 200, 5])
def test_the_root_of_receipts_is_the_plain_trie_s(count: int, length: int) -> None:
    values = [bytes([i % 251 + 1]) * (length + i % 3) for i in range(count)]
    assert receipts_root(values) == ordered_root(values)
