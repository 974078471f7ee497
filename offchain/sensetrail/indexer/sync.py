"""Indexing: from where the store stands to the chain's newest block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sensetrail.core.events import Block, Log
from sensetrail.core.primitives import Address, hex_word
from sensetrail.errors import ReorganisedError
from sensetrail.indexer.store import Store

BLOCKS_A_REQUEST = 2000


class LogSource(Protocol):
    """What the indexer needs of a node; `sensetrail.chain.client.Chain` is one."""

    def latest_block(self) -> Block:
        """Give the newest block's header."""

    def block(self, number: int) -> Block | None:
        """Give a block's header; None where the chain has none at this height."""

    def logs(self, addresses: Sequence[Address], from_block: int, to_block: int) -> list[Log]:
        """Give the logs of some contracts in a range of blocks, both ends included, in the order of the chain."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far indexing came.

    Attributes:
        block_number: Everything through this block is stored.
        target: The newest block.
        logs: How many logs this run stored.
    """

    block_number: int
    target: int
    logs: int


def synchronise(
    source: LogSource,
    store: Store,
    contracts: Sequence[Address],
    first_block: int,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Store everything that the chain says of our contracts and the store does not have.

    Interrupted anywhere, it goes on from there: logs and cursor are stored in one transaction.

    Args:
        source: The node.
        store: Where to.
        contracts: Whose logs.
        first_block: The first block that can have one.
        on_progress: Told after every step.

    Returns:
        Where it stands now.

    Raises:
        ReorganisedError: The chain no longer has the block where the store stands.
    """
    target = source.latest_block()
    cursor = store.cursor()
    if cursor is not None:
        _require_same_chain(source, cursor)
    number = first_block - 1 if cursor is None else cursor.number
    progress = Progress(number, target.number, 0)
    while number < target.number:
        end = min(number + BLOCKS_A_REQUEST, target.number)
        logs = source.logs(contracts, number + 1, end)
        blocks = [_block(source, wanted) for wanted in sorted({log.block_number for log in logs})]
        by_number = {block.number: block.hash for block in blocks}
        if any(by_number[log.block_number] != log.block_hash for log in logs):
            raise _reorganised(end)
        store.append(blocks, logs, _block(source, end))
        number = end
        progress = Progress(number, target.number, progress.logs + len(logs))
        on_progress(progress)
    return progress


def _require_same_chain(source: LogSource, cursor: Block) -> None:
    found = source.block(cursor.number)
    if found is None or found.hash != cursor.hash:
        raise ReorganisedError(
            f"the chain no longer has block {cursor.number} {hex_word(cursor.hash)}, through which the index goes",
            "build the index again: sensetrail index --rebuild",
        )


def _block(source: LogSource, number: int) -> Block:
    block = source.block(number)
    if block is None:
        raise _reorganised(number)
    return block


def _reorganised(number: int) -> ReorganisedError:
    return ReorganisedError(f"the chain changed at or before block {number} while it was read", "run the command again")
