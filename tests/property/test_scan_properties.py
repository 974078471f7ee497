"""The scan of answers and its plain twin: the same bytes of every receipt, the same logs, whatever a node writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sensetrail.core.header import BlockHeader
from sensetrail.core.primitives import hex_word
from sensetrail.core.receipt import ReceiptLog, TransactionReceipt, bloom, logs_of
from sensetrail.core.trie import ordered_root
from sensetrail.errors import SensetrailError
from sensetrail.indexer.headers import FullHeader, ReorganisedError
from sensetrail.indexer.prove import receipts_root
from sensetrail.indexer.read import _ProvenReader, prove_receipts
from sensetrail.indexer.scan import Strings, scan_receipts

OURS, OTHER = bytes([1]) * 20, bytes([2]) * 20
ANVIL = (
    "type",
    "status",
    "cumulativeGasUsed",
    "logs",
    "logsBloom",
    "transactionHash",
    "blockNumber",
    "contractAddress",
)
GETH = ("blockNumber", "contractAddress", "cumulativeGasUsed", "logs", "logsBloom", "status", "transactionHash", "type")
LOG_ANVIL = ("address", "topics", "data", "blockHash", "logIndex", "removed")
LOG_REVERSED = ("removed", "logIndex", "address", "blockHash", "topics", "data")

logs = st.builds(
    ReceiptLog,
    st.sampled_from([OURS, OTHER]),
    st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple),
    st.one_of(
        st.binary(max_size=300), st.sampled_from([b"", b"\0", b"\x7f", b"\x80", bytes(55), bytes(56), bytes(256)])
    ),
)
receipts = st.builds(
    TransactionReceipt, st.integers(0, 4), st.booleans(), st.integers(0, 2**59), st.lists(logs, max_size=4).map(tuple)
)
blocks = st.lists(st.lists(receipts, max_size=5), min_size=1, max_size=4)
styles = st.tuples(
    st.sampled_from([ANVIL, GETH]),
    st.sampled_from([LOG_ANVIL, LOG_REVERSED]),
    st.sampled_from([None, 1]),
    st.booleans(),
)
Style = tuple[Sequence[str], Sequence[str], int | None, bool]


def answer(listed: Sequence[Sequence[TransactionReceipt]], style: Style) -> bytes:
    """Give a batch's answer as nodes write it: keys in their order, with spaces or without."""
    order, log_order, indent, id_first = style

    def of_log(log: ReceiptLog, number: int) -> dict[str, Any]:
        fields = {
            "address": "0x" + log.address.hex(),
            "topics": [hex_word(topic) for topic in log.topics],
            "data": "0x" + log.data.hex(),
            "blockHash": hex_word(bytes(32)),
            "logIndex": hex(number),
            "removed": False,
        }
        return {name: fields[name] for name in log_order}

    def of_receipt(receipt: TransactionReceipt) -> dict[str, Any]:
        fields = {
            "type": hex(receipt.type),
            "status": hex(receipt.succeeded),
            "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
            "logs": [of_log(log, i) for i, log in enumerate(receipt.logs)],
            "logsBloom": "0x" + bloom(receipt.logs).hex(),
            "transactionHash": hex_word(bytes(32)),
            "blockNumber": "0x7",
            "contractAddress": None,
        }
        return {name: fields[name] for name in order}

    responses = []
    for number, block in enumerate(listed):
        result = [of_receipt(receipt) for receipt in block]
        around = {"jsonrpc": "2.0", "id": number}
        responses.append({**around, "result": result} if id_first else {"result": result, **around})
    separators = (",", ":") if indent is None else None
    return json.dumps(responses, indent=indent, separators=separators).encode()


def headers_of(listed: Sequence[Sequence[TransactionReceipt]]) -> list[FullHeader]:
    found = []
    for number, block in enumerate(listed):
        root = ordered_root([receipt.encode() for receipt in block])
        word = number.to_bytes(32, "big")
        header = BlockHeader(number, word, word, 7, word, word, root, bytes(256), b"\xc0")
        found.append(FullHeader(header, []))
    return found


@given(blocks, styles)
def test_the_scan_encodes_receipts_as_the_plain_way_does(listed: list[list[TransactionReceipt]], style: Style) -> None:
    scanned = scan_receipts(Strings(memoryview(answer(listed, style))), len(listed))
    assert scanned.encoded == [receipt.encode() for block in listed for receipt in block]
    assert scanned.block.tolist() == [i for i, block in enumerate(listed) for _ in block]
    every = [log for block in listed for receipt in block for log in receipt.logs]
    assert scanned.logs.data == [log.data for log in every]
    assert scanned.logs.address == b"".join(log.address for log in every)
    assert scanned.logs.topics == b"".join(topic for log in every for topic in log.topics)
    assert scanned.logs.topic_count.tolist() == [len(log.topics) for log in every]


class Unasked:
    """Stands for a node that is asked whether it stands by its headers."""

    def ask(self, *_: object) -> None:
        raise AssertionError("nobody asks")


def reader() -> _ProvenReader:
    return _ProvenReader(Unasked(), [OURS])  # type: ignore[arg-type]


@given(blocks, styles)
def test_the_logs_are_those_that_the_plain_way_takes(listed: list[list[TransactionReceipt]], style: Style) -> None:
    wanted = headers_of(listed)
    text = memoryview(answer(listed, style))
    fast = reader()._prove_fast(wanted, text)
    assert fast == reader()._prove_plainly(wanted, text)
    plain = [logs_of(full.header, block, [OURS]) for full, block in zip(wanted, listed, strict=True)]
    assert fast == [block for block in plain if len(block)]


@settings(max_examples=300)
@given(blocks, styles, st.data())
def test_an_answer_that_is_altered_anywhere_says_the_same_or_is_refused(
    listed: list[list[TransactionReceipt]], style: Style, data: st.DataObject
) -> None:
    wanted, text = headers_of(listed), bytearray(answer(listed, style))
    honest = reader()._prove_plainly(wanted, memoryview(bytes(text)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                text[at] = data.draw(st.sampled_from(b'0123456789abcdef"{}[],:x \\'))
            case 1:
                del text[at : at + data.draw(st.integers(1, 200))]
            case 2:
                text[at:at] = text[at : at + data.draw(st.integers(1, 200))]
            case _:
                key = data.draw(st.sampled_from([b'"result"', b'"logs"', b'"data"', b'"topics"', b'"type":"0x1ff"']))
                text[at:at] = key
        if not text:
            return
    with suppress(SensetrailError, ReorganisedError):
        assert Lenient(reader())._prove(wanted, memoryview(bytes(text))) == honest


class Lenient:
    """A reader whose node does not stand by its headers."""

    def __init__(self, of: _ProvenReader) -> None:
        self._reader = of

    def _prove(self, wanted: Sequence[FullHeader], text: memoryview) -> object:
        try:
            return self._reader._prove(wanted, text)
        except AssertionError as error:
            raise ReorganisedError from error


@given(st.integers(0, 300), st.integers(1, 120), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_root_is_the_plain_trie_s(count: int, length: int, chance: Any) -> None:
    values = [chance.randbytes(chance.randint(length, 2 * length)) for _ in range(count)]
    assert receipts_root(values) == ordered_root(values)


@given(st.lists(receipts, min_size=1, max_size=5))
def test_ganache_s_status_of_a_failure_is_proven_too_and_nothing_else(listed: list[TransactionReceipt]) -> None:
    encoded = [receipt.encode() for receipt in listed]
    zeroed = []
    for receipt, value in zip(listed, encoded, strict=True):
        start = value.index(b"\xf9" if len(value) < 65_000 else b"\xfa") + 3
        zeroed.append(value if receipt.succeeded else value[:start] + b"\0" + value[start + 1 :])
    full = headers_of([listed])[0].header
    fields = {name: getattr(full, name) for name in full.__slots__}
    header = BlockHeader(**{**fields, "receipts_root": ordered_root(zeroed)})
    parsed = json.loads(answer([listed], (ANVIL, LOG_ANVIL, None, True)))[0]["result"]
    assert prove_receipts(header, parsed, [OURS]) == logs_of(header, listed, [OURS])
    assert np.frombuffer(header.receipts_root, np.uint8).shape == (32,)
