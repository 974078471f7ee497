"""Answers taken on the node's word: what is read fast is what a JSON parser reads, and what is odd is not read fast."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sensetrail.chain.endpoint import parse_endpoint
from sensetrail.chain.line import LONGEST_ERROR, Line
from sensetrail.indexer.scan import UnscannableError
from sensetrail.indexer.trusting import _logs_fast

LOG: dict[str, Any] = {
    "address": "0x" + "ab" * 20,
    "topics": ["0x" + "01" * 32],
    "data": "0x1234",
    "blockHash": "0x" + "cd" * 32,
    "blockNumber": "0x7",
    "blockTimestamp": "0x6553f100",
    "transactionHash": "0x" + "ef" * 32,
    "transactionIndex": "0x0",
    "logIndex": "0x0",
    "removed": False,
}


def answer(*logs: dict[str, Any], separators: tuple[str, str] = (",", ":")) -> memoryview:
    return memoryview(json.dumps({"jsonrpc": "2.0", "id": 1, "result": logs}, separators=separators).encode())


def test_logs_are_read_fast() -> None:
    (block,) = _logs_fast(answer(LOG, LOG | {"logIndex": "0x1"}))
    assert (block.number, block.hash, block.data) == (7, b"\xcd" * 32, b"\x12\x34" * 2)


@pytest.mark.parametrize("removed", [True, None, 0, "false"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_log_that_may_be_removed_is_left_to_the_plain_way(removed: object, place: int) -> None:
    logs = [LOG, LOG | {"logIndex": "0x1"}]
    logs[place] = logs[place] | {"removed": removed}
    with pytest.raises(UnscannableError):
        _logs_fast(answer(*logs))


def test_with_spaces_the_fast_way_does_not_say_what_is_removed() -> None:
    with pytest.raises(UnscannableError):
        _logs_fast(answer(LOG, separators=(", ", ": ")))


RESULT = {"jsonrpc": "2.0", "id": 1, "result": [LOG]}
ERROR = {"error": {"code": -32000, "message": "it broke off"}}


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [
        (RESULT, False),
        (RESULT | ERROR, True),  # streamed, and broken off behind the result
        ({"jsonrpc": "2.0", "id": 1, "result": None} | ERROR, True),
        ({"jsonrpc": "2.0", "id": 1} | ERROR, True),
        (ERROR | RESULT, True),
        ([RESULT, {"jsonrpc": "2.0", "id": 2} | ERROR], True),
        ([RESULT, RESULT], False),
    ],
)
@pytest.mark.parametrize("logs", [1, 2 * LONGEST_ERROR // len(json.dumps(LOG))])
def test_errors_are_found_wherever_they_stand(parsed: Any, expected: bool, logs: int) -> None:
    text = json.dumps(parsed, separators=(",", ":"))
    one = json.dumps(LOG, separators=(",", ":"))
    data = text.replace(one, ",".join([one] * logs)).encode()
    line = Line(parse_endpoint("http://localhost"), 1.0, len(data))
    line._buffer[:] = data
    line._length = len(data)
    assert line.has_error() is expected
