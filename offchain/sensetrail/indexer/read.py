"""What a node says of some blocks, proven block by block; `indexer.trusting` takes its word.

The steps by which a node that does not tell the truth is caught; each error names its own:

    headers    every header hashes to the hash that the node gives it, and to its child's parent hash
    receipts   a block whose header's bloom filter may hold our contracts: its receipts hash to its header's receipts
               root. Any other block has no log of ours: its bloom filter shows that
    logs       are taken from those receipts, in their order; nothing else that a node says of logs is looked at

`indexer.sync` adds the steps `anchor`, `finality` and `heads`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensetrail.chain.line import parse
from sensetrail.chain.wire import Pace, Wire, call, result_of
from sensetrail.core.header import BlockHeader, header_from_rpc, json_bytes, may_contain
from sensetrail.core.logs import BlockLogs
from sensetrail.core.primitives import Address, address_bytes, hex_word
from sensetrail.core.receipt import logs_of, receipt_from_rpc
from sensetrail.errors import ChainError, ProofError, RefusedError, VerificationError
from sensetrail.indexer.prove import receipts_root
from sensetrail.indexer.scan import Strings, UnscannableError, scan_receipts

MOST = 2**63
"""What heights and times stay below in every store; a header that says more is forged."""
BLOCKS_AT_ONCE = 2000
"""The most blocks without logs that are stored as one step."""


class ReorganisedError(Exception):
    """The chain is not what it was a moment ago: look where it parts, and read again from there."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some blocks, one after the other.

    Attributes:
        hashes: Number and hash of each that is known.
        blocks: Those that have logs of ours.
        through: Number of the last of them.
        through_hash: Its hash, 32 bytes.
    """

    hashes: Sequence[tuple[int, bytes]]
    blocks: Sequence[BlockLogs]
    through: int
    through_hash: bytes


@dataclass(frozen=True, slots=True)
class FullHeader:
    """A header, and the hashes that the node says its transactions have."""

    header: BlockHeader
    transactions: Sequence[object]


def read_header(answer: object, step: str = "headers") -> FullHeader | None:
    """Read a header from what a node answers; None where it has no such block.

    Raises:
        ProofError: It does not hash to its hash.
    """
    if answer is None:
        return None
    if not isinstance(answer, dict):
        raise ProofError(step, "a block that is no object")
    try:
        header = header_from_rpc(answer)
        claimed = json_bytes(answer.get("hash"), "hash")
    except VerificationError as error:
        raise ProofError(step, error.what) from error
    if max(header.number, header.timestamp) >= MOST:
        raise ProofError(step, f"a block of height {header.number} and time {header.timestamp}")
    if header.hash != claimed:
        raise ProofError(
            step,
            f"the header of block {header.number} hashes to {hex_word(header.hash)}, not to {hex_word(claimed)}",
            expected=claimed,
            actual=header.hash,
        )
    transactions = answer.get("transactions")
    return FullHeader(header, transactions if isinstance(transactions, list) else [])


def get_header(wire: Wire, which: int | str, step: str = "headers") -> BlockHeader | None:
    """Ask for one header: by height, or by tag ("latest", "finalized").

    Args:
        wire: The node.
        which: The height or tag.
        step: What it is asked for, as errors name it.

    Raises:
        ProofError: The node gives another block.
    """
    found = read_header(wire.ask("eth_getBlockByNumber", hex(which) if isinstance(which, int) else which, False), step)
    if found is not None and isinstance(which, int) and found.header.number != which:
        raise ProofError(step, f"asked for block {which}, the node gives block {found.header.number}")
    return None if found is None else found.header


def get_header_by_hash(wire: Wire, block_hash: bytes, step: str) -> BlockHeader | None:
    """Ask for the header of a hash, 32 bytes; as `get_header`."""
    found = read_header(wire.ask("eth_getBlockByHash", hex_word(block_hash), False), step)
    if found is not None and found.header.hash != block_hash:
        raise ProofError(
            step,
            f"asked for block {hex_word(block_hash)}, the node gives block {hex_word(found.header.hash)}",
            expected=block_hash,
            actual=found.header.hash,
        )
    return None if found is None else found.header


def read_proven(
    wire: Wire, headers_wire: Wire, contracts: Sequence[Address], first: int, last: int, parent_hash: bytes | None
) -> Iterator[Stretch]:
    """Read blocks and prove all of it.

    Args:
        wire: For the receipts.
        headers_wire: For the headers: another line to the same node.
        contracts: Whose logs.
        first: First height.
        last: Last height.
        parent_hash: The hash that the first block's parent has, 32 bytes; None where it is not known.

    Yields:
        Stretch after stretch, from first to last.

    Raises:
        ProofError: The node does not tell the truth.
        ReorganisedError: The blocks do not follow on each other, or are not there any more.
    """
    reader = _ProvenReader(wire, [address_bytes(contract) for contract in contracts])
    headers = read_headers(headers_wire, first, last, parent_hash)
    yield from reader.stretches(headers) if has_block_receipts(wire, first) else reader.stretches_one_by_one(headers)


def read_headers(wire: Wire, first: int, last: int, parent_hash: bytes | None) -> Iterator[list[FullHeader]]:
    """Read headers that follow on each other, a few at a time; arguments and errors as for `read_proven`."""
    pace = Pace(size=50)
    expected = parent_hash
    for span, answer in wire.stream(_header_questions, spans(first, last, pace), pace):
        found = []
        for number, response in zip(span, responses(answer, span, "headers"), strict=True):
            full = read_header(result_of(response))
            if full is None:
                raise ReorganisedError
            if full.header.number != number:
                raise ProofError("headers", f"asked for block {number}, the node gives block {full.header.number}")
            if expected is not None and full.header.parent_hash != expected:
                raise ReorganisedError
            expected = full.header.hash
            found.append(full)
        yield found


@dataclass(slots=True)
class _Unit:
    """Headers in a row, and those among them whose receipts are needed."""

    headers: deque[FullHeader]
    wanted: list[FullHeader]


class _ProvenReader:
    """Receipts for those headers that need them, asked for while the headers keep coming."""

    def __init__(self, wire: Wire, contracts: Sequence[bytes]) -> None:
        self._wire = wire
        self._contracts = contracts
        self._waiting: deque[_Unit] = deque()
        self._pace = Pace(size=10)

    def stretches(self, headers: Iterable[list[FullHeader]]) -> Iterator[Stretch]:
        """Read by `eth_getBlockReceipts`, many blocks at a time."""
        for span, answer in self._wire.stream(_receipt_questions, self._spans(headers), self._pace):
            unit = self._waiting[0]
            wanted, unit.wanted = unit.wanted[: len(span)], unit.wanted[len(span) :]
            blocks = self._prove(wanted, answer)
            # A span that was too much comes in parts: the rest of its unit's headers wait for the last one.
            through = wanted[-1].header.number if unit.wanted else None
            passed = []
            while unit.headers and (through is None or unit.headers[0].header.number <= through):
                passed.append(unit.headers.popleft().header)
            if not unit.headers:
                self._waiting.popleft()
            hashes = [(header.number, header.hash) for header in passed]
            yield Stretch(hashes, blocks, passed[-1].number, passed[-1].hash)

    def stretches_one_by_one(self, headers: Iterable[list[FullHeader]]) -> Iterator[Stretch]:
        """Read receipt by receipt, from nodes without `eth_getBlockReceipts`."""
        for _ in self._spans(headers):
            unit = self._waiting.popleft()
            blocks = []
            for full in unit.wanted:
                hashes = full.transactions
                receipts: list[object] = []
                pace = Pace(size=50)

                def questions(span: Sequence[int], hashes: Sequence[object] = hashes) -> bytes:
                    return _batch([call(i, "eth_getTransactionReceipt", hashes[i]) for i in span])

                for span, answer in self._wire.stream(questions, spans(0, len(hashes) - 1, pace), pace):
                    receipts += [result_of(response) for response in responses(answer, span, "receipts")]
                if None in receipts:
                    raise ReorganisedError
                blocks.append(self._prove_one(full.header, receipts))
            last = unit.headers[-1].header
            hashes_passed = [(full.header.number, full.header.hash) for full in unit.headers]
            yield Stretch(hashes_passed, [block for block in blocks if len(block)], last.number, last.hash)

    def _spans(self, headers: Iterable[list[FullHeader]]) -> Iterator[Sequence[int]]:
        unit = _Unit(deque(), [])
        for found in headers:
            for full in found:
                unit.headers.append(full)
                if any(may_contain(full.header.logs_bloom, contract) for contract in self._contracts):
                    unit.wanted.append(full)
                if len(unit.wanted) >= self._pace.size or len(unit.headers) >= BLOCKS_AT_ONCE:
                    yield self._put(unit)
                    unit = _Unit(deque(), [])
        if unit.headers:
            yield self._put(unit)

    def _put(self, unit: _Unit) -> Sequence[int]:
        self._waiting.append(unit)
        return [full.header.number for full in unit.wanted]

    def _prove(self, wanted: Sequence[FullHeader], answer: memoryview) -> list[BlockLogs]:
        if not wanted:
            return []
        try:
            blocks = self._prove_fast(wanted, answer)
        except UnscannableError:
            blocks = None
        return self._prove_plainly(wanted, answer) if blocks is None else blocks

    def _prove_fast(self, wanted: Sequence[FullHeader], answer: memoryview) -> list[BlockLogs] | None:
        """Prove what numpy read; None where it does not hold, which may be the reading's fault."""
        scanned = scan_receipts(Strings(answer), len(wanted))
        bounds = np.searchsorted(scanned.block, np.arange(len(wanted) + 1)).tolist()
        for i, full in enumerate(wanted):
            if receipts_root(scanned.encoded[bounds[i] : bounds[i + 1]]) != full.header.receipts_root:
                return None
        logs = scanned.logs
        block = scanned.block[scanned.receipt]
        log_start = np.searchsorted(block, np.arange(len(wanted) + 1))
        log_index = np.arange(len(block)) - log_start[block]
        transaction_index = scanned.receipt - np.asarray(bounds)[block]
        entries = logs.entries(transaction_index, log_index)
        where = entries["address"]
        ours = np.zeros(len(entries), bool)
        for contract in self._contracts:
            ours |= (where == np.frombuffer(contract, np.uint8)).all(axis=1)
        blocks = []
        topic_end = logs.topic_start + logs.topic_count
        for i, full in enumerate(wanted):
            start, end = int(log_start[i]), int(log_start[i + 1])
            if not ours[start:end].any():
                continue
            if ours[start:end].all():
                topics = logs.topics[32 * int(logs.topic_start[start]) : 32 * int(topic_end[end - 1])]
                data = b"".join(logs.data[start:end])
                kept = entries[start:end]
            else:
                mine = (start + np.flatnonzero(ours[start:end])).tolist()
                topics = b"".join(logs.topics[32 * int(logs.topic_start[k]) : 32 * int(topic_end[k])] for k in mine)
                data = b"".join(logs.data[k] for k in mine)
                kept = entries[mine]
            header = full.header
            blocks.append(
                BlockLogs(header.number, header.hash, header.timestamp, header.rlp, kept.tobytes(), topics, data)
            )
        return blocks

    def _prove_plainly(self, wanted: Sequence[FullHeader], answer: memoryview) -> list[BlockLogs]:
        blocks = []
        numbers = [full.header.number for full in wanted]
        for full, response in zip(wanted, responses(answer, numbers, "receipts"), strict=True):
            listed = result_of(response)
            if listed is None:
                raise ReorganisedError
            blocks.append(self._prove_one(full.header, listed))
        return [block for block in blocks if len(block)]

    def _prove_one(self, header: BlockHeader, listed: Any) -> BlockLogs:
        try:
            return prove_receipts(header, listed, self._contracts)
        except ProofError:
            # Receipts are asked for by height: those of a block that took this one's place are no lie.
            now = get_header(self._wire, header.number)
            if now is None or now.hash != header.hash:
                raise ReorganisedError from None
            raise


def prove_receipts(header: BlockHeader, listed: Any, contracts: Sequence[bytes]) -> BlockLogs:
    """Prove a block's receipts, and take some contracts' logs out of them.

    Args:
        header: The block's, proven.
        listed: The receipts as a node gives them, in JSON.
        contracts: Addresses, 20 bytes each.

    Raises:
        ProofError: They are not the block's.
    """
    try:
        if not isinstance(listed, list):
            raise ProofError("receipts", f"block {header.number}: no list of receipts")
        receipts = [receipt_from_rpc(receipt) for receipt in listed]
    except ProofError:
        raise
    except VerificationError as error:
        raise ProofError("receipts", f"block {header.number}: {error.what}") from error
    encoded = [receipt.encode() for receipt in receipts]
    root = receipts_root(encoded)
    if root != header.receipts_root and not all(receipt.succeeded for receipt in receipts):
        # Ganache writes a failed transaction's status as the byte 0x00, where Ethereum has the empty string.
        root = receipts_root(
            [
                data if receipt.succeeded else _with_zero_byte(data)
                for data, receipt in zip(encoded, receipts, strict=True)
            ]
        )
    if root != header.receipts_root:
        raise ProofError(
            "receipts",
            f"block {header.number}: the receipts hash to {hex_word(root)}, the header says "
            f"{hex_word(header.receipts_root)}",
            expected=header.receipts_root,
            actual=root,
        )
    return logs_of(header, receipts, contracts)


def _with_zero_byte(encoded: bytes) -> bytes:
    """Give a failed transaction's receipt with its status as the byte 0x00: of the same length as none, 0x80."""
    start = int(encoded[0] < 0xC0)
    status = start + (1 if encoded[start] < 0xF8 else encoded[start] - 0xF6)
    return encoded[:status] + b"\0" + encoded[status + 1 :]


def has_block_receipts(wire: Wire, number: int) -> bool:
    """Tell whether a node answers `eth_getBlockReceipts` for a block."""
    try:
        wire.ask("eth_getBlockReceipts", hex(number))
    except RefusedError:
        return False
    return True


def spans(first: int, last: int, pace: Pace) -> Iterator[range]:
    """Divide heights into spans, each of the size that the pace has by then."""
    while first <= last:
        span = range(first, min(first + pace.size, last + 1))
        yield span
        first = span.stop


def _header_questions(span: Sequence[int]) -> bytes:
    return _batch([call(n, "eth_getBlockByNumber", hex(n), False) for n in span])


def _receipt_questions(span: Sequence[int]) -> bytes:
    return _batch([call(n, "eth_getBlockReceipts", hex(n)) for n in span])


def _batch(calls: Sequence[object]) -> bytes:
    """Give a batch's JSON; one call alone is none, so that nodes without batches are asked call by call."""
    return json.dumps(calls[0] if len(calls) == 1 else calls).encode()


def responses(answer: memoryview, span: Sequence[int], step: str) -> list[Any]:
    """Give a batch's responses in the order of its questions, which a node need not keep.

    Raises:
        ProofError: They are not these questions' answers.
    """
    parsed = parse(answer)
    responses = [parsed] if isinstance(parsed, dict) else parsed
    if not isinstance(responses, list) or not all(isinstance(each, dict) for each in responses):
        raise ChainError("the node's answer makes no sense", "use another node")
    by_id = {each["id"]: each for each in responses if isinstance(each.get("id"), int)}
    if len(responses) != len(span) or set(by_id) != set(span):
        raise ProofError(step, f"{len(span)} questions, {len(responses)} answers, and not to these questions")
    return [by_id[number] for number in span]
