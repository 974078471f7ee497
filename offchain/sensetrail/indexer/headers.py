"""Headers from a node: each hashes to the hash that the node gives it, and to its child's parent hash.

On the node's word (`believed`), the hash is what the node says; that suits chains whose hashes follow from more than
their headers' known fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensetrail.chain.wire import Pace, Wire, call, result_of
from sensetrail.core.header import BlockHeader, header_from_rpc, json_bytes, json_integer
from sensetrail.core.primitives import hex_word
from sensetrail.core.seals import ISTANBUL
from sensetrail.core.text import printable
from sensetrail.errors import (
    AnswerError,
    ChainError,
    ProofError,
    RetryableError,
    SensetrailError,
    VerificationError,
)
from sensetrail.indexer.answers import asking, batch, lacks, responses, spans

MOST = 2**63
"""What heights and times stay below in every store."""
KNOWN_MEMBERS = frozenset(
    {
        "hash",
        "parentHash",
        "sha3Uncles",
        "miner",
        "stateRoot",
        "transactionsRoot",
        "receiptsRoot",
        "logsBloom",
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "extraData",
        "mixHash",
        "nonce",
        "baseFeePerGas",
        "withdrawalsRoot",
        "blobGasUsed",
        "excessBlobGas",
        "parentBeaconBlockRoot",
        "requestsHash",
        "blockAccessListHash",
        "slotNumber",
        "author",
        "size",
        "totalDifficulty",
        "transactions",
        "uncles",
        "withdrawals",
    }
)
"""The members of a block that Ethereum's nodes give. A chain with others hashes its headers by rules of its own."""

_ISTANBUL = "0x" + ISTANBUL.hex()
"""`mixHash` of the chains whose validators seal blocks in `extraData`: IBFT and QBFT."""


class ReorganisedError(RetryableError):
    """The chain is not what it was a moment ago: look where it parts, and read again from there."""

    def __init__(self) -> None:
        super().__init__("the chain changed while it was read", "run the command again")


@dataclass(frozen=True, slots=True)
class FullHeader:
    """A header, and the hashes that the node says its transactions have."""

    header: BlockHeader
    transactions: Sequence[object]


def read_header(answer: object, step: str = "headers", *, believed: bool = False) -> FullHeader | None:
    """Read a header from what a node answers; None where it has no such block.

    Args:
        answer: The node's, from JSON.
        step: What the header is asked for, as errors name it.
        believed: Whether to take the node's word for its hash.

    Raises:
        AnswerError: The answer makes no sense.
        ChainError: The header's hash follows from more than is known of this chain.
        ProofError: The header does not hash to its hash.
    """
    if answer is None:
        return None
    if not isinstance(answer, dict):
        raise AnswerError("the node's answer for a block makes no sense: it is not an object")
    try:
        claimed = _word(answer, "hash")
        header = _believed_header(answer) if believed else header_from_rpc(answer)
    except VerificationError as error:
        raise AnswerError(f"the node's answer for a block makes no sense: {error.what}") from error
    if max(header.number, header.timestamp) >= MOST:
        raise AnswerError(f"the node gives a block of height {header.number} and time {header.timestamp}")
    if header.hash != claimed:
        raise _mismatch(answer, header, claimed, step)
    transactions = answer.get("transactions")
    return FullHeader(header, transactions if isinstance(transactions, list) else [])


def get_header(wire: Wire, which: int | str, step: str = "headers", *, believed: bool = False) -> BlockHeader | None:
    """Ask for one header: by height, or by tag ("latest", "finalized").

    Args:
        wire: The node.
        which: The height or tag.
        step: What it is asked for, as errors name it.
        believed: Whether to take the node's word for its hash.

    Raises:
        AnswerError: The answer makes no sense.
        ProofError: The node gives another block.
        RefusedError: The node answers with an error.
    """
    with asking(lambda: f"block {which}"):
        answer = wire.ask("eth_getBlockByNumber", hex(which) if isinstance(which, int) else which, False)
    found = read_header(answer, step, believed=believed)
    if found is not None and isinstance(which, int) and found.header.number != which:
        raise ProofError(step, f"asked for block {which}, the node gives block {found.header.number}")
    return None if found is None else found.header


def get_header_by_hash(wire: Wire, block_hash: bytes, step: str, *, believed: bool = False) -> BlockHeader | None:
    """Ask for the header of a hash, 32 bytes; as `get_header`."""
    with asking(lambda: f"block {hex_word(block_hash)}"):
        answer = wire.ask("eth_getBlockByHash", hex_word(block_hash), False)
    found = read_header(answer, step, believed=believed)
    if found is not None and found.header.hash != block_hash:
        raise ProofError(
            step,
            f"asked for block {hex_word(block_hash)}, the node gives block {hex_word(found.header.hash)}",
            expected=block_hash,
            actual=found.header.hash,
        )
    return None if found is None else found.header


def read_headers(
    wire: Wire, first: int, last: int, parent_hash: bytes | None, *, believed: bool = False
) -> Iterator[list[FullHeader]]:
    """Read headers that follow on each other, a few at a time.

    Args:
        wire: The node.
        first: First height.
        last: Last height.
        parent_hash: The hash that the first block's parent has, 32 bytes; None where it is not known.
        believed: Whether to take the node's word for their hashes.

    Raises:
        AnswerError: The answer makes no sense.
        LimitedNodeError: The node does not have one of the blocks.
        ProofError: A header does not hash to its hash, or is another block's.
        ReorganisedError: The blocks do not follow on each other.
    """
    pace = Pace(size=50)
    expected, awaited = parent_hash, first
    with asking(lambda: f"block {awaited}"):
        for span, answer in wire.stream(_questions, spans(first, last, pace), pace):
            found = []
            for number, response in zip(span, responses(answer, span, "headers"), strict=True):
                full = read_header(result_of(response), believed=believed)
                if full is None:
                    raise lacks(f"block {number}, below its newest")
                if full.header.number != number:
                    raise ProofError("headers", f"asked for block {number}, the node gives block {full.header.number}")
                if expected is not None and full.header.parent_hash != expected:
                    raise ReorganisedError
                expected = full.header.hash
                found.append(full)
            awaited = span[-1] + 1
            yield found


def _questions(span: Sequence[int]) -> bytes:
    return batch([call(n, "eth_getBlockByNumber", hex(n), False) for n in span])


def _mismatch(answer: Mapping[str, Any], header: BlockHeader, claimed: bytes, step: str) -> SensetrailError:
    """Say of a header that does not hash to its hash whether the node is proven to lie.

    It is not where the chain may hash its headers by rules of its own: the block has members that Ethereum's do not
    have, or its `mixHash` says that validators' seals, which no hash covers, are in `extraData`.
    """
    said = f"the header of block {header.number} hashes to {hex_word(header.hash)}, not to {hex_word(claimed)}"
    unknown = sorted(answer.keys() - KNOWN_MEMBERS)
    if not unknown and str(answer.get("mixHash")).lower() != _ISTANBUL:
        return ProofError(step, said, expected=claimed, actual=header.hash)
    why = f"its blocks have members unknown to Ethereum ({', '.join(unknown)})" if unknown else "its blocks are sealed"
    return ChainError(
        f"{said}; {printable(why, 200)}, so this chain may hash its headers by rules of its own",
        "nothing of such a chain can be proven: take the node's word with --trust-node, or use another node",
    )


def _believed_header(answer: Mapping[str, Any]) -> BlockHeader:
    """Give what the node says of a block, without anything that could be proven by it."""
    number, timestamp = (json_integer(answer.get(name), name) for name in ("number", "timestamp"))
    nothing = bytes(32)
    return BlockHeader(
        number,
        _word(answer, "hash"),
        _word(answer, "parentHash"),
        timestamp,
        state_root=nothing,
        transactions_root=nothing,
        receipts_root=nothing,
        logs_bloom=b"",
        rlp=b"",
    )


def _word(answer: Mapping[str, Any], name: str) -> bytes:
    word = json_bytes(answer.get(name), name)
    if len(word) != 32:
        raise VerificationError(f"{name} of {len(word)} bytes", "use another node")
    return word
