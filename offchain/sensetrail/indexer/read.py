"""What a node says of some blocks, proven block by block; `indexer.trusting` takes its word.

The steps by which a node that does not tell the truth is caught; each error names its own:

    headers    every header hashes to the hash that the node gives it, and to its child's parent hash
    receipts   a block whose header's bloom filter may hold our contracts: its receipts hash to its header's receipts
               root. Any other block has no log of ours: its bloom filter shows that
    logs       are taken from those receipts, in their order; nothing else that a node says of logs is looked at

`indexer.sync` adds the steps `anchor`, `finality` and `heads`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sensetrail.chain.wire import Pace, Wire, call, result_of
from sensetrail.core.header import BlockHeader, may_contain
from sensetrail.core.logs import BlockLogs
from sensetrail.core.primitives import Address, address_bytes, hex_word
from sensetrail.core.receipt import (
    ContradictionError,
    TransactionReceipt,
    UnknownTypeError,
    logs_of,
    receipt_from_rpc,
)
from sensetrail.errors import AnswerError, ChainError, ProofError, RefusedError, VerificationError
from sensetrail.indexer.answers import asking, batch, lacks, responses, spans
from sensetrail.indexer.headers import FullHeader, ReorganisedError, get_header, read_headers
from sensetrail.indexer.prove import receipts_root
from sensetrail.indexer.scan import Strings, UnscannableError, scan_receipts

BLOCKS_AT_ONCE = 2000
"""The most blocks without logs that are stored as one step."""
NOBODY = "0x" + "00" * 20
"""The zero address, in JSON."""


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
        AnswerError: The node's answer makes no sense.
        LimitedNodeError: The node does not have a block, or its receipts.
        ProofError: The node does not tell the truth.
        RefusedError: The node answers with an error.
        ReorganisedError: The blocks do not follow on each other.
    """
    reader = _ProvenReader(wire, [address_bytes(contract) for contract in contracts])
    headers = read_headers(headers_wire, first, last, parent_hash)
    yield from reader.stretches(headers) if has_block_receipts(wire, first) else reader.stretches_one_by_one(headers)


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
        with asking(self._awaited):
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
            blocks = [self._prove_one(full.header, receipts_one_by_one(self._wire, full)) for full in unit.wanted]
            last = unit.headers[-1].header
            hashes_passed = [(full.header.number, full.header.hash) for full in unit.headers]
            yield Stretch(hashes_passed, [block for block in blocks if len(block)], last.number, last.hash)

    def _awaited(self) -> str:
        """Name what is asked for."""
        return next((f"receipts of block {unit.wanted[0].header.number}" for unit in self._waiting if unit.wanted), "")

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
                raise lacks(f"the receipts of block {full.header.number}")
            blocks.append(self._prove_one(full.header, listed))
        return [block for block in blocks if len(block)]

    def _prove_one(self, header: BlockHeader, listed: object) -> BlockLogs:
        try:
            return prove_receipts(header, listed, self._contracts)
        except ProofError:
            # Receipts are asked for by height: those of a block that took this one's place are no lie.
            now = get_header(self._wire, header.number)
            if now is None or now.hash != header.hash:
                raise ReorganisedError from None
            raise


def receipts_one_by_one(wire: Wire, full: FullHeader) -> list[object]:
    """Ask for a block's receipts by its transactions' hashes.

    Raises:
        AnswerError: The node's answer makes no sense.
        LimitedNodeError: The node does not have one of them.
    """
    hashes = [each.get("hash") if isinstance(each, dict) else each for each in full.transactions]
    receipts: list[object] = []
    pace = Pace(size=50)

    def questions(span: Sequence[int]) -> bytes:
        return batch([call(i, "eth_getTransactionReceipt", hashes[i]) for i in span])

    with asking(lambda: f"receipt {len(receipts)} of block {full.header.number}"):
        for span, answer in wire.stream(questions, spans(0, len(hashes) - 1, pace), pace):
            receipts += [result_of(response) for response in responses(answer, span, "receipts")]
    if None in receipts:
        raise lacks(f"receipt {receipts.index(None)} of block {full.header.number}")
    return receipts


def read_receipts(number: int, listed: object) -> list[TransactionReceipt]:
    """Read a block's receipts; that they are its own is not proven yet.

    Args:
        number: The block's height, for the errors.
        listed: The receipts as a node gives them, from JSON.

    Raises:
        AnswerError: They make no sense.
        ChainError: One is of a type that this chain has and Ethereum does not.
        ProofError: One contradicts itself.
    """
    if not isinstance(listed, list):
        raise AnswerError(f"the node's answer for the receipts of block {number} makes no sense: it is not a list")
    try:
        return [receipt_from_rpc(receipt) for receipt in listed]
    except ContradictionError as error:
        raise ProofError(
            "receipts", f"block {number}: {error.what}", expected=error.expected, actual=error.actual
        ) from error
    except UnknownTypeError as error:
        raise ChainError(
            f"block {number} has a transaction of type {error.actual}, which Ethereum does not have: its receipts "
            "cannot be proven",
            "take the node's word with --trust-node",
        ) from error
    except VerificationError as error:
        raise AnswerError(
            f"the node's answer for the receipts of block {number} makes no sense: {error.what}"
        ) from error


def prove_receipts(header: BlockHeader, listed: object, contracts: Sequence[bytes]) -> BlockLogs:
    """Prove a block's receipts, and take some contracts' logs out of them.

    Args:
        header: The block's, proven.
        listed: The receipts as a node gives them, from JSON.
        contracts: Addresses, 20 bytes each.

    Raises:
        AnswerError: They make no sense.
        LimitedNodeError: There are none, though the block has some.
        ProofError: They are not the block's.
    """
    receipts = read_receipts(header.number, listed)
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
    if (
        root != header.receipts_root
        and _is_outside_the_block(listed)
        and receipts_root(encoded[:-1]) == (header.receipts_root)
    ):
        return logs_of(header, receipts[:-1], contracts)
    if root != header.receipts_root and not receipts:
        # Nodes that pruned a block's receipts, or its transactions, give an empty list.
        raise lacks(f"the receipts of block {header.number}")
    if root != header.receipts_root:
        raise ProofError(
            "receipts",
            f"block {header.number}: the receipts hash to {hex_word(root)}, the header says "
            f"{hex_word(header.receipts_root)}",
            expected=header.receipts_root,
            actual=root,
        )
    return logs_of(header, receipts, contracts)


def _is_outside_the_block(listed: object) -> bool:
    """Whether the last receipt is one that Polygon's nodes add: of the chain's own doing, and in no header's root."""
    last = listed[-1] if isinstance(listed, list) and listed else None
    return isinstance(last, dict) and last.get("from") == last.get("to") == NOBODY


def _with_zero_byte(encoded: bytes) -> bytes:
    """Give a failed transaction's receipt with its status as the byte 0x00: of the same length as none, 0x80."""
    start = int(encoded[0] < 0xC0)
    status = start + (1 if encoded[start] < 0xF8 else encoded[start] - 0xF6)
    return encoded[:status] + b"\0" + encoded[status + 1 :]


def has_block_receipts(wire: Wire, number: int) -> bool:
    """Tell whether a node answers `eth_getBlockReceipts` for a block with a list, as it should."""
    try:
        return isinstance(wire.ask("eth_getBlockReceipts", hex(number)), list)
    except RefusedError:
        return False


def _receipt_questions(span: Sequence[int]) -> bytes:
    return batch([call(n, "eth_getBlockReceipts", hex(n)) for n in span])
