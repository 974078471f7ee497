"""What a node says of some contracts' logs, on its word alone: `eth_getLogs`, many blocks at a time.

Nothing here is proven, and every row says so. What does not fit together is refused all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sensetrail.chain.line import parse
from sensetrail.chain.wire import Pace, Wire, call, result_of
from sensetrail.core.header import json_bytes, json_integer
from sensetrail.core.logs import BlockLogs, Log
from sensetrail.core.primitives import Address, address
from sensetrail.errors import ProofError, VerificationError
from sensetrail.indexer.read import ReorganisedError, get_header, spans
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
        ProofError: What the node says does not fit together.
    """
    pace = Pace(size=50)

    def question(span: Sequence[int]) -> bytes:
        wanted = {"address": list(contracts), "fromBlock": hex(span[0]), "toBlock": hex(span[-1])}
        return json.dumps(call(1, "eth_getLogs", wanted)).encode()

    for span, answer in wire.stream(question, spans(first, last, pace), pace):
        try:
            blocks = _logs_fast(answer)
        except UnscannableError:
            blocks = _logs_plainly(headers_wire, answer)
        numbers = [block.number for block in blocks]
        if any(a >= b for a, b in pairwise(numbers)) or any(n not in span for n in numbers):
            raise ProofError("logs", f"asked for the logs of blocks {span[0]} to {span[-1]}, the node gives others")
        yield span, blocks


def _logs_fast(answer: memoryview) -> list[BlockLogs]:
    """Read logs of nodes that give each its block's time (Anvil, Geth since 1.16), whole blocks at a time."""
    if bytes(answer[-32:]).rstrip().endswith(b'"result":[]}'):
        return []
    strings = Strings(answer)
    logs = scan_logs(strings)
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
    try:
        found = [_log(entry) for entry in listed if entry.get("removed") is not True]
    except ProofError:
        raise
    except (TypeError, AttributeError, VerificationError) as error:
        raise ProofError("logs", f"an entry that is no log: {error}") from error
    found.sort(key=lambda log: (log.block_number, log.log_index))
    if any((a.block_number, a.log_index) == (b.block_number, b.log_index) for a, b in pairwise(found)):
        raise ProofError("logs", "the same log twice")
    blocks = []
    for number in sorted({log.block_number for log in found}):
        logs = [log for log in found if log.block_number == number]
        header = get_header(wire, number)
        if header is None or any(log.block_hash != header.hash for log in logs):
            raise ReorganisedError
        blocks.append(BlockLogs.of(number, header.hash, header.timestamp, None, logs))
    return blocks


def _log(entry: Any) -> Log:
    topics = tuple(json_bytes(topic, "topic") for topic in entry.get("topics"))
    where = json_bytes(entry.get("address"), "address")
    if len(where) != 20 or len(topics) > 4 or any(len(topic) != 32 for topic in topics):
        raise ProofError("logs", "an entry whose address or topics are none")
    return Log(
        json_integer(entry.get("blockNumber"), "blockNumber"),
        json_bytes(entry.get("blockHash"), "blockHash"),
        json_integer(entry.get("transactionIndex"), "transactionIndex", 4),
        json_integer(entry.get("logIndex"), "logIndex", 4),
        address(where),
        topics,
        json_bytes(entry.get("data"), "data"),
    )


def _all(found: np.ndarray[Any, np.dtype[np.int64]], count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    if len(found) != count:
        raise UnscannableError
    return found
