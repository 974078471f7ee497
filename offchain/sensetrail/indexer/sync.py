"""Indexing: from where the store stands to the anchor, through reorganisations, and again as often as it takes.

The steps by which a node that does not tell the truth is caught, besides those of `indexer.read`:

    anchor     the block that everything is followed to is one that someone else vouches for: the user by its hash, or
               a second node. Without either it is the node's own newest block, and the index says so
    finality   the final block is one of those read, and no later answer takes it back
    heads      every device's head, recomputed from the stored logs, equals its storage slot (`indexer.heads`)

Blocks are stored while the chain of hashes is followed: until it has led to the anchor, they are the node's word. Where
it turns out not to lead there, they go again. `Cursor.anchor_number` says up to where it did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sensetrail.chain.wire import Tell, Wire
from sensetrail.core.header import BlockHeader
from sensetrail.core.logs import BlockLogs
from sensetrail.core.primitives import Address, hex_word
from sensetrail.errors import (
    AnswerError,
    ChainError,
    FinalityError,
    LimitedNodeError,
    ProofError,
    RefusedError,
    SensetrailError,
)
from sensetrail.indexer.answers import FULL_HISTORY, PAUSE, TRIES, lacks
from sensetrail.indexer.headers import FullHeader, ReorganisedError, get_header, get_header_by_hash, read_headers
from sensetrail.indexer.read import read_proven
from sensetrail.indexer.store import RECENT_LIMIT, Cursor, Store
from sensetrail.indexer.trusting import read_trusting


class Word(StrEnum):
    """On whose word the last block stands."""

    GIVEN = "a block hash that the user gave"
    SECOND_NODE = "a second node"
    OWN = "the indexed node's own word"


@dataclass(frozen=True, slots=True)
class Terms:
    """What to index, and what to believe.

    Attributes:
        contracts: Whose logs.
        first_block: The first block that can have one.
        trust_node: Take the node's word for everything: faster, and said of every row.
        block_hash: A block that the user vouches for, 32 bytes; nothing after it is read.
        second: Another node, which must have the last block too.
        depth: How many blocks below the newest are not final, on chains that do not say it themselves; None to ask.
    """

    contracts: Sequence[Address]
    first_block: int
    trust_node: bool = False
    block_hash: bytes | None = None
    second: Wire | None = None
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far indexing came.

    Attributes:
        block_number: Everything through this block is stored.
        target: The block it goes to.
        blocks: How many blocks with logs this run stored.
    """

    block_number: int
    target: int
    blocks: int


@dataclass(slots=True)
class Indexer:
    """An indexer of one store.

    Attributes:
        wire: The node.
        headers_wire: Another line to the same node.
        store: Where to; held.
        terms: What to index, and what to believe.
        tell: Told what happens on the way, one line each.
        on_progress: Told after every step.
    """

    wire: Wire
    headers_wire: Wire
    store: Store
    terms: Terms
    tell: Tell = lambda _: None
    on_progress: Callable[[Progress], None] = lambda _: None
    stored: int = 0
    _anchor: tuple[BlockHeader, Word] | None = None

    def run(self) -> Cursor:
        """Store everything that the chain says of our contracts and the store does not have.

        Interrupted anywhere, it goes on from there: blocks and cursor are stored in one transaction.

        Returns:
            Where the store stands now.

        Raises:
            AnswerError: The node's answer makes no sense.
            FinalityError: The chain no longer has a block that was final.
            LimitedNodeError: The node does not have what was asked for, each of `TRIES` times.
            ProofError: The node does not tell the truth; nothing false is stored.
            RefusedError: The node answers with an error.
        """
        furthest, tries = -1, 0
        while True:
            try:
                return self._run()
            except (ReorganisedError, LimitedNodeError) as error:
                cursor = self.store.cursor()
                reached = -1 if cursor is None else cursor.number
                tries = 1 if reached > furthest else tries + 1
                furthest = max(furthest, reached)
                if tries == TRIES:
                    self._forget_unlinked()
                    if isinstance(error, LimitedNodeError):
                        raise
                    raise ProofError(
                        "headers", f"the blocks do not follow on each other, or change, {TRIES} times in a row"
                    ) from error
                is_limit = isinstance(error, LimitedNodeError)
                self.tell(f"{error.what}: {'asking again' if is_limit else 'looking where it parts'}")
                time.sleep(PAUSE)
            except (ProofError, AnswerError):
                self._forget_unlinked()
                raise

    def _run(self) -> Cursor:
        self._anchor = None
        target, word = find_target(self.wire, self.terms)
        if target.number < self.terms.first_block:
            raise ChainError(
                f"the chain ends at block {target.number}, before this deployment's first block", "check --rpc"
            )
        self._anchor = target, word
        cursor = self._rejoin(target, word)
        final = self._final(target, word)
        # Found before the blocks are read: from the final one on, all hashes are kept.
        keep_from = max(0, target.number - RECENT_LIMIT) if final is None else final.number
        if cursor is None or cursor.number < target.number:
            cursor = self._read(cursor, target, keep_from)
        return self._settle(cursor, target, word, final)

    def _rejoin(self, target: BlockHeader, word: Word) -> Cursor | None:
        """Go back to the last stored block that the chain still has."""
        cursor = self.store.cursor()
        if cursor is None:
            return None
        found = self._header(cursor.number)
        if found is not None and found.hash == cursor.hash:
            return cursor
        # A block that someone else vouches for may be below the node's newest.
        return self._roll_back(cursor, target, target.number if word is Word.OWN else cursor.number)

    def _roll_back(self, cursor: Cursor, target: BlockHeader, newest: int) -> Cursor | None:
        for number, block_hash in self.store.recent():
            found = self._header(number) if number <= newest else None
            if found is None and number <= target.number:
                raise lacks(f"block {number}, below its newest")
            if found is not None and found.hash == block_hash:
                self.tell(f"the chain was reorganised: {cursor.number - number} blocks are rolled back, to {number}")
                kept = _moved_back(cursor, number, block_hash)
                self.store.roll_back(kept)
                return kept
        if cursor.final_number is None or cursor.final_number < self.terms.first_block:
            self.tell("the chain was reorganised below all that is stored: everything is read again")
            self.store.clear()
            return None
        final = cursor.final_number
        below = "its newest block is" if target.number < final else "it has another block"
        raise FinalityError(
            f"block {final} was final, and the node no longer has it: {below} at {min(final, target.number)}",
            "nothing was changed. Is this another node, or one that is behind? If the chain was rewritten, and you "
            "accept it: sensetrail index --rebuild",
        )

    def _final(self, target: BlockHeader, word: Word) -> BlockHeader | None:
        """Give the newest final block up to the target; None where neither chain nor user says."""
        if word is Word.GIVEN:
            return target
        if self.terms.depth is not None:
            number = max(0, target.number - self.terms.depth)
            header = self._header(number, "finality")
            if header is None:
                raise lacks(f"block {number}, below its newest")
        else:
            try:
                header = self._header("finalized", "finality")
                if self.terms.second is not None and header is not None:
                    # What one of them does not call final is not, whoever is behind.
                    theirs = get_header(self.terms.second, "finalized", "finality", believed=self.terms.trust_node)
                    header = theirs if theirs is None or theirs.number < header.number else header
            except RefusedError:
                return None
        return target if header is not None and header.number > target.number else header

    def _read(self, cursor: Cursor | None, target: BlockHeader, keep_from: int) -> Cursor:
        terms = self.terms
        first = terms.first_block if cursor is None else cursor.number + 1
        before = cursor or Cursor(first - 1, b"")
        if terms.trust_node:
            return self._read_trusting(before, target, keep_from)
        parent = None if cursor is None else cursor.hash
        now = before
        for stretch in read_proven(self.wire, self.headers_wire, terms.contracts, first, target.number, parent):
            recent = [(number, value) for number, value in stretch.hashes if number >= keep_from]
            if stretch.through == target.number and stretch.through_hash != target.hash:
                # Before it is stored: what leads to another last block is another chain.
                raise ReorganisedError
            now = _at(now, stretch.through, stretch.through_hash)
            self._append(stretch.blocks, recent, now, target)
        return now

    def _read_trusting(self, before: Cursor, target: BlockHeader, keep_from: int) -> Cursor:
        now = before
        spans = read_trusting(self.wire, self.headers_wire, self.terms.contracts, before.number + 1, target.number)
        for span, blocks in spans:
            first = max(keep_from, span[0])
            recent = self._hashes(first, span[-1], now.hash if first == now.number + 1 else b"")
            by_number = dict(recent)
            if any(by_number.get(block.number, block.hash) != block.hash for block in blocks):
                raise ReorganisedError
            # Where hashes are not kept, the last log's block is as good a place to stand, and costs no question.
            known = [*((block.number, block.hash) for block in blocks[-1:]), *recent[-1:]]
            if span[-1] == target.number:
                if by_number.get(target.number, target.hash) != target.hash:
                    raise ReorganisedError
                known.append((target.number, target.hash))
            if known:
                now = _at(now, *known[-1])
                now = replace(now, unproven_through=now.number)
                self._append(blocks, recent, now, target)
        return now

    def _header(self, which: int | str, step: str = "headers") -> BlockHeader | None:
        return get_header(self.wire, which, step, believed=self.terms.trust_node)

    def _headers(self, first: int, last: int, parent: bytes | None) -> Iterator[list[FullHeader]]:
        return read_headers(self.headers_wire, first, last, parent, believed=self.terms.trust_node)

    def _hashes(self, first: int, last: int, parent: bytes) -> list[tuple[int, bytes]]:
        return [
            (full.header.number, full.header.hash)
            for headers in self._headers(first, last, parent or None)
            for full in headers
        ]

    def _append(
        self, blocks: Sequence[BlockLogs], recent: Sequence[tuple[int, bytes]], now: Cursor, target: BlockHeader
    ) -> None:
        self.store.append(blocks, recent, now)
        self.stored += len(blocks)
        self.on_progress(Progress(now.number, target.number, self.stored))

    def _forget_unlinked(self) -> None:
        """Forget blocks that the chain of hashes does not lead from to the anchor: the node's word, which is broken."""
        cursor = self.store.cursor()
        if cursor is None or self._anchor is None or self.terms.trust_node:
            return
        settled = [
            (number, block_hash)
            for number, block_hash in (
                (cursor.anchor_number, cursor.anchor_hash),
                (cursor.final_number, cursor.final_hash),
            )
            if number is not None and block_hash is not None and self.terms.first_block <= number
        ]
        if settled and max(settled)[0] >= cursor.number:
            return
        if self._leads(cursor, self._anchor[0]):
            word = str(self._anchor[1])
            self.store.move(replace(cursor, anchor_number=cursor.number, anchor_hash=cursor.hash, anchor_source=word))
            self.tell(f"what was read before is kept: it is proven through block {cursor.number}")
        elif settled:
            number, block_hash = max(settled)
            self.store.roll_back(_moved_back(cursor, number, block_hash))
            self.tell(f"what was read is not kept: it does not lead to the anchor; back to block {number}")
        else:
            self.store.clear()
            self.tell("what was read is not kept: it does not lead to the anchor")

    def _leads(self, cursor: Cursor, anchor: BlockHeader) -> bool:
        try:
            hashes = self._hashes(cursor.number + 1, anchor.number, cursor.hash)
        except SensetrailError:
            return False
        return cursor.number <= anchor.number and (hashes[-1][1] if hashes else cursor.hash) == anchor.hash

    def _settle(self, cursor: Cursor, target: BlockHeader, word: Word, final: BlockHeader | None) -> Cursor:
        """Make sure that anchor and final block are of the stored chain, and note them."""
        if target.number <= cursor.number:
            self._link(target, cursor)
        settled = replace(cursor, anchor_number=target.number, anchor_hash=target.hash, anchor_source=str(word))
        known = None if final is None else self.store.hash_at(final.number)
        if final is not None and (known is not None or final.number < self.terms.first_block):
            if known is not None and known != final.hash:
                raise ProofError(
                    "finality",
                    f"the node calls block {final.number} {hex_word(final.hash)} final, and gave another one before",
                    expected=known,
                    actual=final.hash,
                )
            if cursor.final_number is None or final.number > cursor.final_number:
                settled = replace(settled, final_number=final.number, final_hash=final.hash)
        self.store.move(settled)
        return settled

    def _link(self, anchor: BlockHeader, cursor: Cursor) -> None:
        """Follow the chain from an anchor below the cursor up to a block whose hash is stored."""
        known = self.store.hash_at(anchor.number)
        if anchor.number == cursor.number:
            known = cursor.hash
        if known is None:
            expected = anchor.hash
            for headers in self._headers(anchor.number + 1, cursor.number, anchor.hash):
                for full in headers:
                    known = self.store.hash_at(full.header.number)
                    if full.header.number == cursor.number:
                        known = cursor.hash
                    if known is not None:
                        if known != full.header.hash:
                            raise self._not_ours(anchor)
                        return
                    expected = full.header.hash
            raise ProofError("anchor", f"nothing stored follows on {hex_word(expected)}")
        if known != anchor.hash:
            raise self._not_ours(anchor)

    @staticmethod
    def _not_ours(anchor: BlockHeader) -> ProofError:
        return ProofError(
            "anchor",
            f"block {anchor.number} {hex_word(anchor.hash)} is not of the chain that is stored: index --rebuild, from "
            "a node that has it",
        )


def _at(cursor: Cursor, number: int, block_hash: bytes) -> Cursor:
    return replace(cursor, number=number, hash=block_hash)


def _moved_back(cursor: Cursor, number: int, block_hash: bytes) -> Cursor:
    """Give a cursor that stands at a block before; what led to its anchor leads there through that block."""
    moved = _at(cursor, number, block_hash)
    if cursor.anchor_number is not None and cursor.anchor_number > number:
        moved = replace(moved, anchor_number=number, anchor_hash=block_hash)
    if cursor.unproven_through is not None and cursor.unproven_through > number:
        moved = replace(moved, unproven_through=number)
    return moved


def find_target(wire: Wire, terms: Terms) -> tuple[BlockHeader, Word]:
    """Give the block to go to, and on whose word it stands.

    Raises:
        AnswerError: A node's answer makes no sense.
        LimitedNodeError: A node does not have the block.
        ProofError: The node's chain has another block there.
    """
    believed = terms.trust_node
    if terms.block_hash is not None:
        given = terms.block_hash
        header = get_header_by_hash(wire, given, "anchor", believed=believed)
        if header is None:
            raise LimitedNodeError(
                f"the node does not have block {hex_word(given)}",
                f"check --block-hash; if it is right, {FULL_HISTORY}",
            )
        theirs = get_header(wire, header.number, "anchor", believed=believed)
        if theirs is None:
            raise lacks(f"block {header.number} in its chain")
        if theirs.hash != given:
            raise ProofError(
                "anchor", f"block {header.number} is {hex_word(theirs.hash)} in the node's chain, not {hex_word(given)}"
            )
        return header, Word.GIVEN
    newest = _newest(wire, believed)
    if terms.second is None:
        return newest, Word.OWN
    # The newest block that both can have: one of them may be a little behind.
    theirs = _newest(terms.second, believed)
    number = min(newest.number, theirs.number)
    header = newest if number == newest.number else get_header(wire, number, "anchor", believed=believed)
    vouched = theirs if number == theirs.number else get_header(terms.second, number, "anchor", believed=believed)
    if header is None or vouched is None:
        raise lacks(f"block {number}, below its newest" + ("" if header is None else " (the second node)"))
    if header.hash != vouched.hash:
        raise ProofError(
            "anchor", f"block {number} is {hex_word(header.hash)} here, and {hex_word(vouched.hash)} at the second node"
        )
    return header, Word.SECOND_NODE


def _newest(wire: Wire, believed: bool) -> BlockHeader:
    header = get_header(wire, "latest", believed=believed)
    if header is None:
        raise ChainError("the node has no blocks", "use another node")
    return header
