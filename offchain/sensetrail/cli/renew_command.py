"""The command `renew`: a touched model's successor, made without what is not trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensetrail.cli.indexed import Believed, final_block, histories, provenance, synchronised
from sensetrail.cli.output import err, print_json, say
from sensetrail.cli.session import (
    DEFAULT_FOLDER,
    DEFAULT_RPC,
    AccountFile,
    BlockHash,
    Depth,
    Folder,
    Json,
    Rpc,
    SecondNode,
    StoreUrl,
    TrustNode,
    connect_deployment,
    paying_account,
)
from sensetrail.cli.taint_commands import touched_json
from sensetrail.core.primitives import hex_word
from sensetrail.disk import new_folder
from sensetrail.errors import InputError, VerificationError, WorkspaceError
from sensetrail.workspace import Workspace, read_model

if TYPE_CHECKING:
    from sensetrail.chain.client import Chain
    from sensetrail.chain.deployment import Deployment
    from sensetrail.core.manifest import Manifest
    from sensetrail.core.taint import Touched
    from sensetrail.dataset.folder import Dataset
    from sensetrail.indexer.store import Cursor, Store


def renew(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The touched model: its name here, or its folder.")],
    new_name: Annotated[
        str, typer.Argument(metavar="NEW_NAME", help="Its successor's name in this workspace, and its dataset's.")
    ],
    recall: Annotated[
        bool, typer.Option("--recall/--no-recall", help="Recall the touched model, naming the devices.")
    ] = True,
    trust_node: TrustNode = False,
    block_hash: BlockHash = None,
    second_node: SecondNode = None,
    depth: Depth = None,
    store_url: StoreUrl = None,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Succeed a touched model: rebuild its dataset without what is not trusted, retrain, anchor, recall the old one.

    The successor has the old model's selection, through the newest final block, and its configuration; it is anchored
    with the old model as its parent. Interrupted, it goes on where it was when run again. Needs `pip install
    'sensetrail[train]'`.

    Example: sensetrail renew night-humidity night-humidity-2
    """
    from sensetrail.audit.anchored import verify_manifest, verify_weights
    from sensetrail.chain.model_registry import ModelRegistry

    place = Workspace(workspace)
    if "/" in new_name:
        raise InputError(f"{new_name!r} is a folder", "give the successor a name in this workspace")
    old, model_file = read_model(place.model(model))
    verify_weights(old, model_file)
    chain, deployment = connect_deployment(rpc, place)
    registry = ModelRegistry(chain, deployment.model_registry)
    verify_manifest(registry.model(old.weights_digest), old)
    believed = Believed(trust_node, block_hash, second_node, depth)
    with synchronised(place, chain, deployment, believed, store_url, quiet=as_json) as (store, indexed):
        touched, dataset = _successor_dataset(place.dataset(new_name), old, chain, store, indexed.cursor, deployment)
    payer = paying_account(chain, account)
    new = _successor(place, new_name, old, dataset)
    receipts = registry.anchor(payer, new)
    # Not before: until its successor is anchored, whoever uses the old model has nothing to go to.
    if recall and not registry.model(old.weights_digest).recalled_at:
        receipts.append(registry.recall_model(payer, old.weights_digest, _reason(touched, old, new)))
    result = {
        "model": str(place.model(new_name)),
        "dataset": str(place.dataset(new_name)),
        "weights_digest": hex_word(new.weights_digest),
        "parent": hex_word(new.parent),
        "rows": new.dataset.row_count,
        "root": hex_word(new.dataset.root),
        "through_block": new.dataset.through_block,
        "left_out": [touched_json(each) for each in touched],
        "metrics": new.metrics,
        "transactions": [hex_word(receipt.transaction_hash) for receipt in receipts],
        "gas_used": sum(receipt.gas_used for receipt in receipts),
        "recalled": bool(registry.model(old.weights_digest).recalled_at),
    }
    if as_json:
        print_json(result)
        return
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in new.metrics.items())
    count = sum(each.count for each in touched)
    say(f"{new_name}: {new.dataset.row_count} rows without {count} that are not trusted; {metrics}")
    done = f"{len(receipts)} transactions, {result['gas_used']} gas" if receipts else "it was done before"
    state = "is recalled" if result["recalled"] else "is NOT recalled"
    say(f"anchored as the successor of {model}, which {state}; {done}")
    say(f"weights digest {result['weights_digest']}")


def _successor_dataset(
    folder: Path, old: Manifest, chain: Chain, store: Store, cursor: Cursor, deployment: Deployment
) -> tuple[tuple[Touched, ...], Dataset]:
    """Tell what is touched of a model's dataset, and give its successor: an earlier run's, or a new one.

    Raises:
        InputError: Nothing is touched, or nothing would be left.
        WorkspaceError: The folder holds something else.
        VerificationError: The old dataset is not what the chain holds.
    """
    from sensetrail.core.dataset import describe, select
    from sensetrail.core.taint import summarise, touched_rows, untrusted_since
    from sensetrail.dataset.folder import Dataset, read_dataset

    def built(number: int, block_hash: bytes) -> Dataset:
        rows = select(history_through(number), old.selection)
        return Dataset(rows, old.selection, describe(rows, old.selection, number, block_hash), provenance(cursor))

    newest, newest_hash = final_block(cursor, deployment.block_number)
    history_through = histories(store, deployment)
    if old.dataset.through_block > newest:
        raise InputError(f"block {old.dataset.through_block} of its dataset is not indexed yet", "run it again later")
    was = built(old.dataset.through_block, old.dataset.block_hash)
    if was.record != old.dataset:
        raise VerificationError("its dataset is not what the chain holds", "audit it: sensetrail audit MODEL")
    untrusted = untrusted_since(history_through(newest))
    touched = summarise(touched_rows(was.rows, untrusted), untrusted)
    if not touched:
        raise InputError(
            f"through the final block {newest} no device of the model's dataset is revoked for a time that it covers: "
            "there is nothing to renew",
            "see what is touched: sensetrail taint; a revocation counts here once its block is final",
        )
    if (folder / "dataset.json").exists():
        found = read_dataset(folder)
        block = chain.block(found.record.through_block)
        is_ours = (
            found.record.through_block <= newest
            and block is not None
            and found.selection == old.selection
            and {each.device for each in touched} <= untrusted_since(history_through(block.number)).keys()
            and found.record == built(block.number, block.hash).record
            and not len(touched_rows(found.rows, untrusted))
        )
        if not is_ours:
            raise _occupied(folder)
        return touched, found
    _require_empty(folder)
    return touched, built(newest, newest_hash)


def _successor(place: Workspace, name: str, old: Manifest, dataset: Dataset) -> Manifest:
    """Write the successor's dataset and train it, unless an earlier run did.

    Raises:
        WorkspaceError: The model's folder holds something else.
    """
    from sensetrail.audit.anchored import verify_weights
    from sensetrail.dataset.folder import write_dataset

    folder = place.model(name)
    if (folder / "manifest.json").exists():
        new, model_file = read_model(folder)
        verify_weights(new, model_file)
        wanted = (old.weights_digest, dataset.record, old.task, old.configuration)
        if (new.parent, new.dataset, new.task, new.configuration) != wanted:
            raise _occupied(folder)
        return new
    _require_empty(folder)
    # Before anything is written: TensorFlow may not be installed, or the manifest's configuration be none.
    with err.status("loading TensorFlow"):
        from sensetrail.training.configuration import Configuration
        from sensetrail.training.make import make_model
    configuration = Configuration.from_json(old.configuration)
    if not (place.dataset(name) / "dataset.json").exists():
        with new_folder(place.dataset(name)) as partial:
            write_dataset(partial, dataset)
    with err.status("training"), new_folder(folder) as partial:
        make_model(partial, dataset.rows, dataset.selection, dataset.record, configuration, old.weights_digest)
    return read_model(folder)[0]


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise _occupied(folder)


def _occupied(folder: Path) -> WorkspaceError:
    return WorkspaceError(f"{folder} holds something else already", "choose another name: it is not overwritten")


def _reason(touched: tuple[Touched, ...], old: Manifest, new: Manifest) -> str:
    from sensetrail.core.taint import utc

    devices = "; ".join(
        f"device {each.device} is not trusted since {utc(each.untrusted_since)} "
        f"({each.count} of {old.dataset.row_count} rows)"
        for each in touched
    )
    return f"{devices}; its successor is {hex_word(new.weights_digest)}"
