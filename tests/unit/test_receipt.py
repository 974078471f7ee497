from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from sensetrail.core.header import may_contain
from sensetrail.core.receipt import ReceiptLog, TransactionReceipt, bloom, decode_receipt, receipt_from_rpc
from sensetrail.errors import VerificationError

LOG = ReceiptLog(b"\x5e" * 20, (b"\x01" * 32, b"\x02" * 32), b"data")
RECEIPT = TransactionReceipt(2, True, 21_000, (LOG, ReceiptLog(b"\x5f" * 20, (), b"")))
RPC: dict[str, Any] = {
    "type": "0x2",
    "status": "0x1",
    "cumulativeGasUsed": "0x5208",
    "logsBloom": "0x" + bloom(RECEIPT.logs).hex(),
    "logs": [
        {
            "address": "0x" + log.address.hex(),
            "topics": ["0x" + t.hex() for t in log.topics],
            "data": "0x" + log.data.hex(),
        }
        for log in RECEIPT.logs
    ],
    "transactionHash": "0x" + "00" * 32,
}

LOGS = st.builds(
    ReceiptLog,
    st.binary(min_size=20, max_size=20),
    st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple),
    st.binary(max_size=80),
)
RECEIPTS = st.builds(
    TransactionReceipt,
    st.integers(0, 4),
    st.booleans(),
    st.integers(0, 2**64 - 1),
    st.lists(LOGS, max_size=4).map(tuple),
)


@given(RECEIPTS)
def test_a_receipt_is_read_as_it_was_written(receipt: TransactionReceipt) -> None:
    assert decode_receipt(receipt.encode()) == receipt


@given(RECEIPTS, st.data())
def test_one_changed_byte_is_refused_or_another_receipt(receipt: TransactionReceipt, data: st.DataObject) -> None:
    changed = bytearray(receipt.encode())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_receipt(bytes(changed))
    except VerificationError:
        return
    assert read != receipt
    assert read.encode() == bytes(changed)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    with contextlib.suppress(VerificationError):
        assert decode_receipt(data).encode() == data


@pytest.mark.parametrize("kind", range(5))
def test_the_envelope(kind: int) -> None:
    encoded = replace(RECEIPT, type=kind).encode()
    assert encoded[0] == (kind or 0xF9)
    status, gas, filter_, logs = rlp.decode(encoded[1:] if kind else encoded)
    assert (status, gas, filter_) == (b"\x01", (21_000).to_bytes(2, "big"), bloom(RECEIPT.logs))
    assert [tuple(log) for log in logs] == [(log.address, list(log.topics), log.data) for log in RECEIPT.logs]
    assert rlp.decode(replace(RECEIPT, type=0, succeeded=False).encode())[0] == b""


def test_the_bloom_filter_is_of_addresses_and_topics() -> None:
    found = bloom([LOG])
    assert all(may_contain(found, value) for value in (LOG.address, *LOG.topics))
    assert not may_contain(found, LOG.data)
    assert bloom([]) == bytes(256)


def parts(**changes: Any) -> bytes:
    logs = [[log.address, list(log.topics), log.data] for log in RECEIPT.logs]
    fields = {"status": b"\x01", "gas": 21_000, "bloom": bloom(RECEIPT.logs), "logs": logs, **changes}
    return b"\x02" + bytes(rlp.encode(list(fields.values())))


def test_what_the_wrong_ones_are_made_from_is_right() -> None:
    assert decode_receipt(parts()) == RECEIPT


WRONG = {
    "nothing": b"",
    "a type alone": b"\x02",
    "type 0 in an envelope": b"\x00" + parts()[1:],
    "an unknown type": b"\x05" + parts()[1:],
    "a string": rlp.encode(b"receipt"),
    "bytes behind it": parts() + b"\x00",
    "cut off": parts()[:-1],
    "status 2": parts(status=b"\x02"),
    "status zero as a byte": parts(status=b"\x00"),
    "a state root, of before EIP-658": parts(status=b"\x11" * 32),
    "a list for a status": parts(status=[]),
    "gas with a leading zero": parts(gas=b"\x00\x01"),
    "gas beyond 64 bits": parts(gas=2**64),
    "a filter of no logs": parts(bloom=bytes(256)),
    "a filter with one bit more": parts(bloom=(int.from_bytes(bloom(RECEIPT.logs), "big") ^ 1).to_bytes(256, "big")),
    "a short filter": parts(bloom=bloom(RECEIPT.logs)[1:]),
    "a list for a filter": parts(bloom=[]),
    "a string for logs": parts(logs=b""),
    "a dropped log": parts(logs=[[LOG.address, list(LOG.topics), LOG.data]]),
    "a log of two": parts(logs=[[LOG.address, list(LOG.topics)]]),
    "a log that is a string": parts(logs=[b"log"]),
    "topics that are a string": parts(logs=[[LOG.address, b"", LOG.data]]),
    "data that is a list": parts(logs=[[LOG.address, [], []]]),
    "a topic that is a list": parts(logs=[[LOG.address, [[]], b""]]),
    "one field more": parts(more=b""),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_receipt_is_refused(name: str) -> None:
    with pytest.raises(VerificationError):
        decode_receipt(WRONG[name])


@pytest.mark.parametrize(
    "log",
    [
        ReceiptLog(b"\x5e" * 19, (), b""),
        ReceiptLog(b"\x5e" * 21, (), b""),
        ReceiptLog(b"\x5e" * 20, (b"\x01" * 31,), b""),
        ReceiptLog(b"\x5e" * 20, (b"\x01" * 33,), b""),
        ReceiptLog(b"\x5e" * 20, (b"\x01" * 32,) * 5, b""),
    ],
)
def test_a_log_that_no_contract_can_emit_is_refused(log: ReceiptLog) -> None:
    receipt = replace(RECEIPT, logs=(log,))
    with pytest.raises(VerificationError):
        decode_receipt(receipt.encode())
    entry = {"address": "0x" + log.address.hex(), "topics": ["0x" + t.hex() for t in log.topics], "data": "0x"}
    with pytest.raises(VerificationError):
        receipt_from_rpc({**RPC, "logs": [entry], "logsBloom": "0x" + bloom(receipt.logs).hex()})


def test_a_receipt_from_json() -> None:
    assert receipt_from_rpc(RPC) == RECEIPT
    assert receipt_from_rpc({**RPC, "status": "0x0"}) == replace(RECEIPT, succeeded=False)
    untyped = {name: value for name, value in RPC.items() if name != "type"}
    assert receipt_from_rpc(untyped) == replace(RECEIPT, type=0)


JUNK: list[Any] = [None, 0, 1, True, 1.5, "", "0x", "0xzz", "1", [], {}, [None], [7], ["0x"], [[]], "0x" + "1" * 600]


@pytest.mark.parametrize("name", ["type", "status", "cumulativeGasUsed", "logsBloom", "logs"])
def test_a_field_that_is_none_is_refused(name: str) -> None:
    for junk in JUNK:
        with pytest.raises(VerificationError):
            receipt_from_rpc({**RPC, name: junk})


@pytest.mark.parametrize("name", ["address", "topics", "data"])
def test_a_log_s_field_that_is_none_is_refused(name: str) -> None:
    for junk in JUNK:
        if name == "data" and isinstance(junk, str) and junk in ("0x", JUNK[-1]):
            continue
        with pytest.raises(VerificationError):
            receipt_from_rpc({**RPC, "logs": [{**RPC["logs"][0], name: junk}, RPC["logs"][1]]})


@pytest.mark.parametrize("name", ["status", "cumulativeGasUsed", "logsBloom", "logs"])
def test_a_receipt_without_a_field_is_refused(name: str) -> None:
    with pytest.raises(VerificationError):
        receipt_from_rpc({key: value for key, value in RPC.items() if key != name})


@pytest.mark.parametrize("change", [{"type": "0x5"}, {"type": "0x7e"}, {"status": "0x2"}, {"logs": RPC["logs"][1:]}])
def test_json_that_no_receipt_has_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(VerificationError):
        receipt_from_rpc({**RPC, **change})


@pytest.mark.parametrize("receipt", [None, [], "receipt", 7, {}])
def test_what_is_no_receipt(receipt: Any) -> None:
    with pytest.raises(VerificationError):
        receipt_from_rpc(receipt)
