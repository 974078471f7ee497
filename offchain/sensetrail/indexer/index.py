"""One run of the indexer, from opening the line to the node to the heads of the devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from sensetrail.chain.wire import PATIENCE, Tell, Wire
from sensetrail.core.primitives import Address
from sensetrail.core.storage import device_state_slot
from sensetrail.errors import ProofError
from sensetrail.indexer.derive import derive
from sensetrail.indexer.headers import get_header
from sensetrail.indexer.heads import prove_states
from sensetrail.indexer.store import Cursor, Derived, Store
from sensetrail.indexer.sync import Indexer, Progress, Terms


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a run left.

    Attributes:
        cursor: How far the index goes, and on whose word.
        derived: What follows from it.
        stored: How many blocks with logs this run stored.
        heads_proven: How many devices' heads were proven against storage; None where the node gives no proofs, or its
            word was taken.
    """

    cursor: Cursor
    derived: Derived
    stored: int
    heads_proven: int | None


def index(
    url: str,
    store: Store,
    terms: Terms,
    registry: Address,
    layout: Mapping[str, int],
    *,
    tell: Tell = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    patience: float = PATIENCE,
) -> Indexed:
    """Bring a store up to the chain.

    Args:
        url: The node.
        store: Where to.
        terms: What to index, and what to believe.
        registry: The sensor registry.
        layout: Its state variables' slots by name.
        tell: Told what happens on the way, one line each.
        on_progress: Told after every step.
        patience: Seconds without any answer from the node before giving up.

    Raises:
        AnswerError: The node's answer makes no sense.
        LimitedNodeError: The node does not have what was asked for.
        ProofError: The node does not tell the truth; nothing false is stored.
        RefusedError: The node answers with an error.
        StoreHeldError: Another indexer holds the store.
    """
    store.hold()
    with closing(Wire(url, tell=tell, patience=patience)) as wire:
        with closing(Wire(url, tell=tell, patience=patience)) as headers_wire:
            indexer = Indexer(wire, headers_wire, store, terms, tell, on_progress)
            cursor = indexer.run()
        derived, changed = derive(store, registry, cursor.number)
        heads = None
        if not terms.trust_node:
            states = {
                device_state_slot(layout, row.address): row.state for row in derived.devices if row.address in changed
            }
            heads = _prove_heads(wire, cursor, registry, states, tell)
    # Not before: a head that does not hold is looked at again, by every run.
    if derived != store.derived():
        store.write_derived(derived)
    return Indexed(cursor, derived, indexer.stored, heads)


def _prove_heads(
    wire: Wire, cursor: Cursor, registry: Address, states: Mapping[bytes, bytes], tell: Tell
) -> int | None:
    """Give how many heads are proven; None where the node has no proofs of the last block's state."""
    try:
        header = get_header(wire, cursor.number, "heads")
        if header is not None and header.hash == cursor.hash and prove_states(wire, header, registry, states):
            return len(states)
    except ProofError:
        # The node proves by height: a block that was exchanged meanwhile is no lie, and the next run rolls it back.
        now = get_header(wire, cursor.number, "heads")
        if now is not None and now.hash == cursor.hash:
            raise
    tell("the node gives no storage proofs of the last block: heads are proven by receipts alone")
    return None
