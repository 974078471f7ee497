"""What a node says of some contracts' logs, on its word alone: `eth_getLogs`, many blocks at a time.

Nothing here is proven, and every row says so. Answers that do not fit together are refused all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from sensetrail.chain.line import parse
from sensetrail.chain.wire import Pace, Wire, call, result_of
from sensetrail.core.header import json_bytes, json_integer
from sensetrail.core.logs import BlockLogs, Log
from sensetrail.core.primitives import Address, address
from sensetrail.core.receipt import MOST_TOPICS
from sensetrail.errors import AnswerError, ProofError, VerificationError
from sensetrail.indexer.answers import asking, lacks, reading, spans
from sensetrail.indexer.headers import ReorganisedError, get_header
from sensetrail.indexer.scan import Strings, UnscannableError, scan_logs


def read_trusting(
    wire: Wire, headers_wire: Wire, contracts: Sequence[Address], first: int, last: int
) -> Iterator[tuple[Sequence[int], list[BlockLogs]]]:
    """Read logs by `eth_getLogs`, on the node's word.

    Args:
        wire: The node.
        headers_wire: Another line to it, for the times of blocks where logs do not tell them.
        contracts: Whose logs.
        first: First height.
        last: Last height.

    Yields:
        Spans of heights in order, each with its blocks that have logs.

    Raises:
        AnswerError: The node's answer makes no sense.
        LimitedNodeError: The node does not have a block that has logs.
        ProofError: What the node says does not fit together.
        RefusedError: The node answers with an error.
    """
    pace = Pace(size=50)
    awaited = first

    def question(span: Sequence[int]) -> bytes:
        wanted = {"address": list(contracts), "fromBlock": hex(span[0]), "toBlock": hex(span[-1])}
        return json.dumps(call(1, "eth_getLogs", wanted)).encode()

    with asking(lambda: f"logs from block {awaited} on"):
        for span, answer in wire.stream(question, spans(first, last, pace), pace):
            try:
                blocks = _logs_fast(answer)
            except UnscannableError:
                blocks = _logs_plainly(headers_wire, answer)
            numbers = [block.number for block in blocks]
            if any(a >= b for a, b in pairwise(numbers)) or any(n not in span for n in numbers):
                raise ProofError("logs", f"asked for the logs of blocks {span[0]} to {span[-1]}, the node gives others")
            awaited = span[-1] + 1
            yield span, blocks


def _logs_fast(answer: memoryview) -> list[BlockLogs]:
    """Read logs of nodes that give each its block's time (Anvil, Geth since 1.16), whole blocks at a time."""
    strings = Strings(answer)
    logs = scan_logs(strings)
    # Nothing here is hashed afterwards: what the strings are part of is looked at too.
    strings.require_logs_alone(logs.topic_count)
    if not logs.data:
        return []
    numbers, indices, transactions, times = (
        strings.quantities(_all(strings.find(key), len(logs.data)) + 1)
        for key in (b"blockNumber", b"logIndex", b"transactionIndex", b"blockTimestamp")
    )
    hashes = strings.fixed(_all(strings.find(b"blockHash"), len(logs.data)) + 1, 32)
    if any((column >= 2**31).any() for column in (numbers, indices, transactions)):
        raise UnscannableError
    place = np.diff(numbers * 2**32 + indices)
    if (place <= 0).any() or (strings.behind(b"removed") != ord("f")).any():
        raise UnscannableError
    entries = logs.entries(transactions, indices)
    starts = np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()
    topic_end = logs.topic_start + logs.topic_count
    blocks = []
    for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
        block_hash = hashes[32 * start : 32 * start + 32]
        if hashes[32 * start : 32 * end] != block_hash * (end - start) or (times[start:end] != times[start]).any():
            raise UnscannableError
        blocks.append(
            BlockLogs(
                int(numbers[start]),
                block_hash,
                int(times[start]),
                None,
                entries[start:end].tobytes(),
                logs.topics[32 * int(logs.topic_start[start]) : 32 * int(topic_end[end - 1])],
                b"".join(logs.data[start:end]),
            )
        )
    return blocks


def _logs_plainly(wire: Wire, answer: memoryview) -> list[BlockLogs]:
    """Read logs by a JSON parser, and ask for the times of their blocks."""
    listed = result_of(parse(answer))
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise AnswerError("the node's answer to eth_getLogs makes no sense: it is not a list of logs")
    with reading(lambda: "logs"):
        found = [_log(entry) for entry in listed if entry.get("removed") is not True]
    found.sort(key=lambda log: (log.block_number, log.log_index))
    if any((a.block_number, a.log_index) == (b.block_number, b.log_index) for a, b in pairwise(found)):
        raise ProofError("logs", "the same log twice")
    blocks = []
    for number, group in groupby(found, key=lambda log: log.block_number):
        logs = list(group)
        header = get_header(wire, number, believed=True)
        if header is None:
            raise lacks(f"block {number}, of which it gives logs")
        if any(log.block_hash != header.hash for log in logs):
            raise ReorganisedError
        blocks.append(BlockLogs.of(number, header.hash, header.timestamp, None, logs))
    return blocks


def _log(entry: Mapping[str, Any]) -> Log:
    topics = entry.get("topics")
    if not isinstance(topics, list) or len(topics) > MOST_TOPICS:
        raise _malformed("topics")
    return Log(
        json_integer(entry.get("blockNumber"), "blockNumber"),
        _sized(entry, "blockHash", 32),
        json_integer(entry.get("transactionIndex"), "transactionIndex", 4),
        json_integer(entry.get("logIndex"), "logIndex", 4),
        address(_sized(entry, "address", 20)),
        tuple(_sized({"topic": topic}, "topic", 32) for topic in topics),
        json_bytes(entry.get("data"), "data"),
    )


def _sized(entry: Mapping[str, Any], name: str, size: int) -> bytes:
    value = json_bytes(entry.get(name), name)
    if len(value) != size:
        raise _malformed(name)
    return value


def _malformed(name: str) -> VerificationError:
    return VerificationError(f"a log's {name} is malformed", "use another node")


def _all(found: np.ndarray[Any, np.dtype[np.int64]], count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    if len(found) != count:
        raise UnscannableError
    return found
