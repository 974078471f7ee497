"""What commands share of the index: opening it, bringing it up to the chain, and reading from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sensetrail.cli.output import note, progress_bar
from sensetrail.core.primitives import hex_word
from sensetrail.errors import InputError, WorkspaceError

if TYPE_CHECKING:
    from sensetrail.chain.client import Chain
    from sensetrail.chain.deployment import Deployment
    from sensetrail.core.dataset import Provenance
    from sensetrail.core.events import Event
    from sensetrail.core.history import History
    from sensetrail.indexer.index import Indexed
    from sensetrail.indexer.store import Cursor, Store
    from sensetrail.indexer.sync import Terms
    from sensetrail.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Believed:
    """What a user says may be believed, as given to a command.

    Attributes:
        trust_node: The node's word.
        block_hash: A block of this hash, 0x hexadecimal.
        second_node: A second node's URL.
        depth: That blocks so far below the newest are final.
    """

    trust_node: bool = False
    block_hash: str | None = None
    second_node: str | None = None
    depth: int | None = None


NOTHING = Believed()


def open_store(workspace: Workspace, deployment: Deployment, url: str | None, *, reading: bool = False) -> Store:
    """Open the index where it is: PostgreSQL by its URL, or the workspace's file.

    Args:
        workspace: Where the file is.
        deployment: Whose index it is.
        url: PostgreSQL's; None for the file.
        reading: Only to read: then it must be there, and may lie on a disk that cannot be written to.
    """
    contracts = (deployment.sensor_registry, deployment.model_registry)
    if url is not None:
        from sensetrail.indexer.postgres import open_postgres

        return open_postgres(url, deployment.genesis_hash, contracts, reading=reading)
    from sensetrail.indexer.sqlite import open_sqlite

    return open_sqlite(workspace.index, deployment.genesis_hash, contracts, reading=reading)


@contextmanager
def writable(workspace: Workspace, store_url: str | None) -> Iterator[Workspace]:
    """Give a workspace whose index can be brought up to date: this one, or, where it is read-only, a temporary one.

    The temporary one holds a copy of the index and nothing else. So what reads it sees the newest blocks, as it would
    with a workspace that can be written to.

    Raises:
        DiskError: There is no room for the copy.
    """
    from sensetrail.disk import is_writable, temporary_folder
    from sensetrail.indexer.sqlite import copy_sqlite

    if store_url is not None or (
        is_writable(workspace.root) and (not workspace.index.exists() or is_writable(workspace.index))
    ):
        yield workspace
        return
    with temporary_folder() as folder:
        temporary = type(workspace)(folder)
        if workspace.index.exists():
            copy_sqlite(workspace.index, temporary.index)
        note(f"{workspace.root} cannot be written to: its index is brought up to date in a temporary copy")
        yield temporary


@contextmanager
def synchronised(
    workspace: Workspace,
    chain: Chain,
    deployment: Deployment,
    believed: Believed = NOTHING,
    store_url: str | None = None,
    *,
    rebuild: bool = False,
    derive: bool = False,
    quiet: bool = False,
) -> Iterator[tuple[Store, Indexed]]:
    """Open the index and bring it up to the chain, with a progress bar.

    Raises:
        ProofError: The node does not tell the truth.
        StoreHeldError: Another indexer is at it.
    """
    from sensetrail.chain.artifact import SENSOR_REGISTRY, load_artifact
    from sensetrail.indexer.index import index

    _require_depth_is_ours(chain, believed.depth)
    terms = terms_of(believed, deployment)
    with (
        open_store(workspace, deployment, store_url) as store,
        closing(terms.second) if terms.second else nullcontext(),
    ):
        store.hold()
        if rebuild:
            store.clear()
        elif derive:
            store.forget_derived()
        with progress_bar(quiet) as progress:
            task = progress.add_task("indexing", total=None)
            indexed = index(
                chain.url,
                store,
                terms,
                deployment.sensor_registry,
                load_artifact(SENSOR_REGISTRY).storage,
                tell=note,
                on_progress=lambda step: progress.update(task, completed=step.block_number, total=step.target),
            )
        yield store, indexed


def _require_depth_is_ours(chain: Chain, depth: int | None) -> None:
    if depth is None or chain.is_devnet:
        return
    from sensetrail.chain.wire import Wire
    from sensetrail.errors import RefusedError
    from sensetrail.indexer.headers import get_header

    with closing(Wire(chain.url)) as wire:
        try:
            known = get_header(wire, "finalized")
        except RefusedError:
            return
    if known is not None:
        raise InputError(f"chain {chain.chain_id} says itself which block is final", "omit --depth")


def terms_of(believed: Believed, deployment: Deployment) -> Terms:
    """Give the indexer's terms; whoever asks closes the line to the second node.

    Raises:
        InputError: The block hash is none.
    """
    from sensetrail.chain.wire import Wire
    from sensetrail.cli.node import endpoint_of
    from sensetrail.indexer.sync import Terms

    second = believed.second_node
    return Terms(
        contracts=(deployment.sensor_registry, deployment.model_registry),
        first_block=deployment.block_number,
        trust_node=believed.trust_node,
        block_hash=None if believed.block_hash is None else word_of(believed.block_hash),
        second=None if second is None else Wire(endpoint_of(second, "--second-node"), tell=note),
        depth=believed.depth,
    )


def word_of(text: str) -> bytes:
    """Read a block hash.

    Raises:
        InputError: It is none.
    """
    if not re.fullmatch("0x[0-9a-fA-F]{64}", text):
        raise InputError(f"{text!r} is no block hash", "give 0x and 64 hexadecimal digits")
    return bytes.fromhex(text[2:])


def standing(cursor: Cursor) -> str:
    """Say in one line what the index is worth."""
    if cursor.unproven_through is not None:
        return f"UNPROVEN through block {cursor.unproven_through}: taken on the node's word (index --rebuild proves it)"
    return (
        f"proven, every event, up to block {cursor.anchor_number} {hex_word(cursor.anchor_hash or b'')}, "
        f"which stands on {cursor.anchor_source}"
    )


def provenance(cursor: Cursor) -> Provenance:
    """Say of a dataset what the index is worth."""
    from sensetrail.core.dataset import Provenance

    return Provenance(cursor.unproven_through is None, cursor.anchor_source, cursor.anchor_number, cursor.anchor_hash)


def final_block(cursor: Cursor, first_block: int) -> tuple[int, bytes]:
    """Give number and hash of the newest final block: datasets take nothing after it.

    Raises:
        WorkspaceError: There is none.
    """
    if cursor.final_number is None or cursor.final_hash is None:
        raise WorkspaceError(
            "this chain does not say which block is final",
            "say how deep a reorganisation can reach: --depth BLOCKS",
        )
    if cursor.final_number < first_block:
        raise WorkspaceError(
            f"only blocks through {cursor.final_number} are final, and the deployment begins at block {first_block}",
            "wait for more blocks; on a local devnet, mine some or give --depth 0",
        )
    return cursor.final_number, cursor.final_hash


def histories(store: Store, deployment: Deployment) -> Callable[[int], History]:
    """Give the sensor registry's history through a block, by its number; each is replayed once."""
    from sensetrail.core.history import replay

    @cache
    def history_through(block_number: int) -> History:
        return replay(store.blocks(block_number), deployment.sensor_registry)

    return history_through


def model_events(store: Store, deployment: Deployment, block_number: int) -> Iterator[Event]:
    """Give the model registry's events through a block, in the order of the chain."""
    from sensetrail.core.events import decode_log

    for block in store.blocks(block_number):
        for log in block.logs():
            event = decode_log(log) if log.address == deployment.model_registry else None
            if event is not None:
                yield event
