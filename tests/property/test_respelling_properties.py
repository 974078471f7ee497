"""However a node spells an answer, it is read as a JSON parser reads it: by the fast scans, or by the plain way."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from property.test_scan_properties import ANVIL, LOG_ANVIL, blocks, headers_of, reader
from property.test_scan_properties import answer as plain_answer
from respelling import Spelling, alter, answer, mutate, respell
from sensetrail.chain.wire import result_of
from sensetrail.core.header import header_rlp
from sensetrail.core.logs import BlockLogs
from sensetrail.core.primitives import hex_word, keccak256
from sensetrail.core.receipt import TransactionReceipt
from sensetrail.errors import SensetrailError
from sensetrail.indexer.answers import responses
from sensetrail.indexer.headers import ReorganisedError, read_header
from sensetrail.indexer.scan import UnscannableError
from sensetrail.indexer.trusting import _logs_fast, _logs_plainly

chances = st.integers(0, 2**32 - 1).map(random.Random)
"""Seeds: what is drawn from them is no matter of Hypothesis, which would need too many choices."""
KEYS = [b'"address":', b'"topics":[', b'"data":"0x"', b'"result":', b'"logs":[]', b"null,", b'"removed":true,', b"{}"]


@settings(max_examples=300)
@given(blocks, chances)
def test_receipts(listed: list[list[TransactionReceipt]], chance: random.Random) -> None:
    wanted = headers_of(listed)
    genuine = json.loads(plain_answer(listed, (ANVIL, LOG_ANVIL, None, True)))
    honest = reader()._prove_plainly(wanted, memoryview(json.dumps(genuine).encode()))
    if len(genuine) > 1 and chance.random() < 0.3:
        chance.shuffle(genuine)
    if chance.random() < 0.3:
        genuine = [{**each, "id": str(each["id"])} for each in genuine]
    text = memoryview(answer(genuine, chance))
    assert reader()._prove(wanted, text) == honest
    with suppress(UnscannableError):
        assert reader()._prove_fast(wanted, text) in (None, honest)


entries = st.builds(
    lambda block, topics, data: {"block": block, "topics": topics, "data": data},
    st.integers(0, 5),
    st.lists(st.binary(min_size=32, max_size=32), max_size=4),
    st.binary(max_size=80),
)


def logs_of(drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    drawn = sorted(drawn, key=lambda each: each["block"])
    return [
        {
            "address": "0x" + "ab" * 20,
            "topics": [hex_word(topic) for topic in each["topics"]],
            "data": "0x" + each["data"].hex(),
            "blockHash": hex_word(bytes([each["block"]]) * 32),
            "blockNumber": hex(each["block"]),
            "blockTimestamp": hex(1_700_000_000 + each["block"]),
            "transactionHash": hex_word(bytes(32)),
            "transactionIndex": hex(i),
            "logIndex": hex(i),
            "removed": False,
        }
        for i, each in enumerate(drawn)
    ]


class Blocks:
    """Stands for a node that is asked for the times of blocks."""

    def ask(self, _: str, number: str, *__: object) -> dict[str, str]:
        n = int(number, 16)
        return {
            "number": number,
            "hash": hex_word(bytes([n % 256]) * 32),
            "parentHash": hex_word(bytes(32)),
            "timestamp": hex(1_700_000_000 + n),
        }


def read(text: memoryview) -> Sequence[BlockLogs]:
    try:
        return _logs_fast(text)
    except UnscannableError:
        return _logs_plainly(Blocks(), text)  # type: ignore[arg-type]


OPTIONAL = ["blockTimestamp", "removed", "transactionHash"]


@settings(max_examples=300)
@given(st.lists(entries, max_size=6), chances)
def test_logs(drawn: list[dict[str, Any]], chance: random.Random) -> None:
    logs = logs_of(drawn)
    honest = _logs_plainly(Blocks(), memoryview(json.dumps({"id": 1, "result": logs}).encode()))  # type: ignore[arg-type]
    left_out = chance.sample(OPTIONAL, chance.randint(0, 3))
    listed = [{name: value for name, value in log.items() if name not in left_out} for log in logs]
    members = [("jsonrpc", "2.0"), ("id", 1), ("result", listed)]
    chance.shuffle(members)
    assert read(memoryview(answer(dict(members), chance))) == honest


@settings(max_examples=1000)
@given(st.lists(entries, max_size=4), chances)
def test_what_is_read_fast_of_altered_logs_is_what_a_parser_reads(
    drawn: list[dict[str, Any]], chance: random.Random
) -> None:
    response: Any = {"id": 1, "result": logs_of(drawn)}
    if chance.random() < 0.5:
        response["jsonrpc"] = "2.0"
    for _ in range(chance.randint(1, 2)):
        response = alter(response, chance)
    text = memoryview(respell(response, Spelling(shuffled=chance.choice([0.0, 1.0])), chance).encode())
    fast: Sequence[BlockLogs] | None = None
    with suppress(UnscannableError):
        fast = _logs_fast(text)
    try:
        plain: Sequence[BlockLogs] | None = _logs_plainly(Blocks(), text)  # type: ignore[arg-type]
    except ReorganisedError:
        return  # the plain way asks for the blocks, and these logs are of others
    except SensetrailError as error:
        assert error.exit_code in (4, 5)
        plain = None
    assert fast is None or untimed(fast) == untimed(plain or ()), bytes(text)


def untimed(blocks: Sequence[BlockLogs]) -> list[BlockLogs]:
    """Leave out the times: the fast way takes them from the logs, the plain way from the blocks."""
    return [replace(block, timestamp=0) for block in blocks]


@settings(max_examples=1000)
@given(blocks, chances)
def test_what_is_read_of_altered_receipts_is_the_truth_or_refused(
    listed: list[list[TransactionReceipt]], chance: random.Random
) -> None:
    wanted = headers_of(listed)
    response = json.loads(plain_answer(listed, (ANVIL, LOG_ANVIL, None, True)))
    honest = reader()._prove_plainly(wanted, memoryview(json.dumps(response).encode()))
    for _ in range(chance.randint(1, 2)):
        response = alter(response, chance)
    text = memoryview(respell(response, Spelling(shuffled=chance.choice([0.0, 1.0])), chance).encode())
    with suppress(UnscannableError):
        assert reader()._prove_fast(wanted, text) in (None, honest)
    with suppress(SensetrailError, AssertionError):  # the latter: a lie, of which the node would be asked
        assert reader()._prove_plainly(wanted, text) == honest


@settings(max_examples=300)
@given(st.lists(entries, max_size=6), chances)
def test_logs_that_are_altered_anywhere_cause_no_other_error(
    drawn: list[dict[str, Any]], chance: random.Random
) -> None:
    text = bytearray(json.dumps({"id": 1, "result": logs_of(drawn)}, separators=(",", ":")).encode())
    mutate(text, chance, KEYS)
    with suppress(UnscannableError):
        _logs_fast(memoryview(bytes(text)))
    with suppress(SensetrailError):
        _logs_plainly(Blocks(), memoryview(bytes(text)))  # type: ignore[arg-type]


@settings(max_examples=300)
@given(blocks, chances)
def test_receipts_that_are_altered_anywhere_cause_no_other_error(
    listed: list[list[TransactionReceipt]], chance: random.Random
) -> None:
    wanted, text = headers_of(listed), bytearray(plain_answer(listed, (ANVIL, LOG_ANVIL, None, True)))
    honest = reader()._prove_plainly(wanted, memoryview(bytes(text)))
    mutate(text, chance, KEYS)
    with suppress(UnscannableError):
        assert reader()._prove_fast(wanted, memoryview(bytes(text))) in (None, honest)


BLOCK: dict[str, Any] = {
    "number": "0x1f",
    "parentHash": "0x" + "a1" * 32,
    "sha3Uncles": "0x" + "b2" * 32,
    "miner": "0x" + "c3" * 20,
    "stateRoot": "0x" + "d4" * 32,
    "transactionsRoot": "0x" + "e5" * 32,
    "receiptsRoot": "0x" + "f6" * 32,
    "logsBloom": "0x" + "0a" * 256,
    "difficulty": "0x0",
    "gasLimit": "0x1c9c380",
    "gasUsed": "0x5208",
    "timestamp": "0x6553f100",
    "extraData": "0xabcdef",
    "mixHash": "0x" + "17" * 32,
    "nonce": "0x0000000000000000",
    "baseFeePerGas": "0x3b9aca00",
    "transactions": ["0x" + "28" * 32],
    "uncles": [],
}


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=4, unique=True), chances)
def test_headers(numbers: list[int], chance: random.Random) -> None:
    found = []
    for i, number in enumerate(numbers):
        block = {**BLOCK, "number": hex(number)}
        block["hash"] = hex_word(keccak256(header_rlp(block)))
        found.append({"jsonrpc": "2.0", "id": i, "result": block})
    honest = [read_header(each["result"]) for each in found]
    order = list(found)
    chance.shuffle(order)
    text = memoryview(answer(order if len(order) > 1 else order[0], chance))
    read = [read_header(result_of(each)) for each in responses(text, range(len(numbers)), "headers")]
    assert [each.header for each in read if each] == [each.header for each in honest if each]


@pytest.mark.parametrize(
    "text",
    [
        b'{"jsonrpc":"2.0","id":1,"result":[]}',
        b'{"jsonrpc":"2.0","result":[],"id":1}',
        b'{"result":[],"id":1,"jsonrpc":"2.0"}\n',
        b'{"jsonrpc": "2.0", "id": 1, "result": []}',
        b'{"jsonrpc":"2.0","id":1,"result":[ ]}',
        b'{\n  "jsonrpc": "2.0",\n  "id": 1,\n  "result": []\n}\n',
        b'\r\n{"id":1,"result":[\n]}',
        b'{"id":1,"r\\u0065sult":[]}',
        b'{"error":null,"id":1,"result":[]}',
        b'{"id":1,"result":[],"note":"}{"}',
    ],
)
def test_an_empty_list_of_logs_in_any_spelling_says_that_there_are_none(text: bytes) -> None:
    assert read(memoryview(text)) == []
