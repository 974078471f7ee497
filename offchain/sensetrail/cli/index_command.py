"""The command `index`."""

from __future__ import annotations

from typing import Annotated

import typer

from sensetrail.cli.indexed import Believed, standing, synchronised
from sensetrail.cli.output import print_json, say
from sensetrail.cli.session import (
    DEFAULT_FOLDER,
    DEFAULT_RPC,
    BlockHash,
    Depth,
    Folder,
    Json,
    Rpc,
    SecondNode,
    StoreUrl,
    TrustNode,
    connect_deployment,
)
from sensetrail.core.primitives import hex_word
from sensetrail.workspace import Workspace


def index(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Forget the index and read everything again.")] = False,
    derive: Annotated[
        bool, typer.Option("--derive", help="Derive profiles, devices and counts again from what is stored verbatim.")
    ] = False,
    trust_node: TrustNode = False,
    block_hash: BlockHash = None,
    second_node: SecondNode = None,
    depth: Depth = None,
    store: StoreUrl = None,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Read the registries' events into the index, from where it stands, and prove every one of them.

    Interrupted, it goes on from there when run again. Exit code 5 if the node does not tell the truth.

    Example: sensetrail index
    """
    place = Workspace(workspace)
    chain, deployment = connect_deployment(rpc, place)
    believed = Believed(trust_node, block_hash, second_node, depth)
    with synchronised(place, chain, deployment, believed, store, rebuild=rebuild, derive=derive, quiet=as_json) as (
        _,
        indexed,
    ):
        cursor, derived = indexed.cursor, indexed.derived
    readings, legal = (
        (sum(column) for column in zip(*((d.readings, d.legal) for d in derived.devices), strict=True))
        if (derived.devices)
        else (0, 0)
    )
    result = {
        "block_number": cursor.number,
        "block_hash": hex_word(cursor.hash),
        "readings": readings,
        "legal": legal,
        "rejected": derived.rejections,
        "devices": len(derived.devices),
        "proven": cursor.unproven_through is None,
        "unproven_through": cursor.unproven_through,
        "heads_proven": indexed.heads_proven,
        "anchor": {
            "block_number": cursor.anchor_number,
            "block_hash": hex_word(cursor.anchor_hash or b""),
            "word": cursor.anchor_source,
        },
        "final_block": cursor.final_number,
    }
    if as_json:
        print_json(result)
        return
    say(f"through block {cursor.number}: {readings} readings, {legal} legal; {derived.rejections} attempts rejected")
    say(standing(cursor))
    final = (
        "the chain does not say which block is final"
        if cursor.final_number is None
        else (f"blocks through {cursor.final_number} are final: datasets take these")
    )
    say(final)
