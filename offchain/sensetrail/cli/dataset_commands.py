"""Commands for datasets: build, prove, verify."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensetrail.cli.indexed import Believed, final_block, histories, provenance, standing, synchronised
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
    device_address,
    parse_time,
)
from sensetrail.core.primitives import hex_word
from sensetrail.disk import explained, read_whole, write_new
from sensetrail.errors import InputError, ManifestError, VerificationError, WorkspaceError
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    from sensetrail.core.dataset import Rows

dataset = typer.Typer(help="Datasets: build them, prove a row of them.", no_args_is_help=True)

DATASET_NAME = Annotated[
    str, typer.Argument(metavar="NAME", help="The dataset's name in this workspace, or its folder.")
]
PROOF_LIMIT = 1 << 16
"""Bytes: a longer proof is none of ours."""
ROW_LIMITS = {
    "sequence": (0, 2**24 - 1),
    "measured_at": (0, 2**32 - 1),
    "temperature": (-(2**15), 2**15 - 1),
    "humidity": (0, 2**16 - 1),
}
"""Least and greatest value of a leaf's integers: uint24, uint32 (Unix s), int16 (0.01 degC), uint16 (0.01 %RH)."""


@dataset.command("build")
def dataset_build(
    name: DATASET_NAME,
    devices: Annotated[
        list[str] | None, typer.Option("--device", help="Only this device (name or address); may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only readings measured at or after this (time).")] = None,
    until: Annotated[str | None, typer.Option(help="Only readings measured before this (time).")] = None,
    through: Annotated[
        int | None, typer.Option(help="The last block to take from (default: the newest final one).", min=0)
    ] = None,
    trust_node: TrustNode = False,
    block_hash: BlockHash = None,
    second_node: SecondNode = None,
    depth: Depth = None,
    store_url: StoreUrl = None,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Assemble the legal readings into a dataset with its Merkle root.

    Example: sensetrail dataset build night --since 2026-01-31 --until 2026-02-01
    """
    from sensetrail.core.dataset import Selection, describe, select
    from sensetrail.dataset.folder import Dataset, read_dataset, write_dataset

    place = Workspace(workspace)
    chosen = None if not devices else tuple(device_address(place, device) for device in devices)
    selection = Selection(
        chosen, None if since is None else parse_time(since), None if until is None else parse_time(until)
    )
    chain, deployment = connect_deployment(rpc, place)
    believed = Believed(trust_node, block_hash, second_node, depth)
    with synchronised(place, chain, deployment, believed, store_url, quiet=as_json) as (store, indexed):
        cursor = indexed.cursor
        number, last_hash = final_block(cursor, deployment.block_number)
        if through is not None:
            block = chain.block(through) if through <= number else None
            if block is None:
                raise InputError(
                    f"block {through} is not final: {number} is the newest that is", "give an earlier block"
                )
            number, last_hash = block.number, block.hash
        history = histories(store, deployment)(number)
    rows = select(history, selection)
    record = describe(rows, selection, number, last_hash)
    folder = place.dataset(name)
    if (folder / "dataset.json").exists() and read_dataset(folder, verify=False).record != record:
        raise WorkspaceError(
            f"there is another dataset in {folder} already", "choose another name: it is not overwritten"
        )
    write_dataset(folder, Dataset(rows, selection, record, provenance(cursor)))
    result = {
        "folder": str(folder),
        "rows": len(rows),
        "root": hex_word(record.root),
        "id": hex_word(record.dataset_id),
        "through_block": number,
        "proven": cursor.unproven_through is None,
    }
    if as_json:
        print_json(result)
    else:
        say(f"{len(rows)} rows through block {number} in {folder}\nroot {hex_word(record.root)}\n{standing(cursor)}")


@dataset.command("prove")
def dataset_prove(
    name: DATASET_NAME,
    row: Annotated[
        str, typer.Argument(metavar="ROW", help="The row: its number from 0 in canonical order, or DEVICE:SEQUENCE.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write the proof into this file.")] = None,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Prove that a row is in a dataset: `dataset verify`, the contract and npm's @openzeppelin/merkle-tree accept it.

    Temperature and humidity in the proof are what the leaf holds: hundredths of degC and %RH.

    Example: sensetrail dataset prove night 0 --out proof.json
    """
    from sensetrail.dataset.folder import read_dataset

    place = Workspace(workspace)
    found = read_dataset(place.dataset(name))
    number = _row_number(place, found.rows, row)
    leaf = found.rows.leaf(number)
    proof = Proof(
        found.record.root,
        found.record.row_count,
        found.record.dataset_id,
        _row(found.rows, number),
        leaf,
        tuple(found.rows.tree().inclusion_proof(leaf)),
    )
    if out is not None:
        _write_once(out, json.dumps(proof.to_json(), indent=2) + "\n")
    if as_json:
        print_json(proof.to_json())
        return
    say(f"row {number} of {name}: {proof.sentence}\nleaf {hex_word(leaf)}\nroot {hex_word(proof.root)}")
    siblings = f"{len(proof.siblings)} hashes lead from the leaf to the root of {proof.row_count} rows"
    if out is None:
        say("\n".join((siblings, *map(hex_word, proof.siblings))))
    else:
        say(f"{siblings}, in {out}")


@dataset.command("verify")
def dataset_verify(
    file: Annotated[Path, typer.Argument(metavar="PROOF_FILE", help="What `dataset prove --out` wrote.")],
    root: Annotated[str | None, typer.Option(help="The root that you trust, 0x and 64 digits.")] = None,
    on_chain: Annotated[
        bool, typer.Option("--on-chain", help="Ask the contract, too: is the dataset anchored, and this row in it?")
    ] = False,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Verify a row's proof. Exit code 5 if it does not hold.

    Example: sensetrail dataset verify proof.json --on-chain
    """
    from sensetrail.core.merkle import verify_inclusion

    with explained(file):
        if file.stat().st_size > PROOF_LIMIT:
            raise ManifestError(f"{file.name} is too large for a proof", "ask for the proof again")
    proof = parse_proof(read_whole(file, PROOF_LIMIT), file.name)
    if root is not None and _trusted_root(root) != proof.root:
        raise VerificationError(
            f"the proof is for the root {hex_word(proof.root)}, not for {root}",
            "ask for a proof of the dataset with your root",
            expected=root,
            actual=proof.root,
        )
    verify_inclusion(proof.leaf, proof.siblings, proof.root)
    if on_chain:
        _verify_on_chain(proof, rpc, Workspace(workspace))
    trusted = ["root"] * (root is not None) + ["chain"] * on_chain
    if as_json:
        print_json({"valid": True, "held_against": trusted, **proof.to_json()})
        return
    say(f"{proof.sentence}\nis in the dataset of {proof.row_count} rows with root {hex_word(proof.root)}")
    if on_chain:
        say(f"the contract says so, too: dataset {hex_word(proof.dataset_id)} is anchored")
    if not trusted:
        say("that root is the proof's own: hold it against one that you trust with --root or --on-chain")


@dataclass(frozen=True, slots=True)
class Proof:
    """That a row is in a dataset.

    Attributes:
        root: The dataset's Merkle root, 32 bytes.
        row_count: How many rows the dataset has; only the chain can say so.
        dataset_id: The dataset's key in the model registry, 32 bytes.
        row: The row by the leaf's fields; temperature in 0.01 degC, humidity in 0.01 %RH.
        leaf: The row's leaf, 32 bytes.
        siblings: From the leaf up to the root, 32 bytes each.
    """

    root: bytes
    row_count: int
    dataset_id: bytes
    row: dict[str, Any]
    leaf: bytes
    siblings: tuple[bytes, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the proof as JSON."""
        return {
            "root": hex_word(self.root),
            "row_count": self.row_count,
            "dataset_id": hex_word(self.dataset_id),
            "row": self.row,
            "leaf": hex_word(self.leaf),
            "proof": [hex_word(sibling) for sibling in self.siblings],
        }

    @property
    def sentence(self) -> str:
        """What the row says, for people."""
        from sensetrail.core.taint import utc

        row = self.row
        return (
            f"reading {row['sequence']} of {row['device']}, {utc(row['measured_at'])}, "
            f"{row['temperature'] / 100:.2f} degC, {row['humidity'] / 100:.2f} %RH"
        )


def parse_proof(data: bytes, what: str) -> Proof:
    """Read a proof that came from outside.

    Raises:
        ManifestError: It is none, or its leaf is not its row's.
    """
    from sensetrail.core.canonical import fault, parse_json, parse_word
    from sensetrail.core.primitives import address

    value = parse_json(data, what)
    to_do = "ask for the proof again"
    try:
        row = value["row"]
        proof = Proof(
            parse_word(value["root"]),
            value["row_count"],
            parse_word(value["dataset_id"]),
            row,
            parse_word(value["leaf"]),
            tuple(parse_word(sibling) for sibling in value["proof"]),
        )
        is_row = row.keys() == {"device", *ROW_LIMITS} and address(row["device"]) == row["device"]
        is_typed = type(proof.row_count) is int and all(
            type(row[name]) is int and least <= row[name] <= greatest for name, (least, greatest) in ROW_LIMITS.items()
        )
        same = is_row and is_typed and proof.to_json() == value
    except (TypeError, KeyError, AttributeError, InputError) as error:
        raise ManifestError(f"{what} is no proof: {fault(error)}", to_do) from error
    if not same:
        raise ManifestError(f"{what} is no proof: it has fields that no proof has", to_do)
    leaf = _leaf(row)
    if leaf != proof.leaf:
        raise ManifestError(
            f"the leaf {hex_word(proof.leaf)} is not the row's: that is {hex_word(leaf)}",
            to_do,
            expected=leaf,
            actual=proof.leaf,
        )
    return proof


def _row(rows: Rows, number: int) -> dict[str, Any]:
    return {name: getattr(rows, name)[number].item() for name in ("device", *ROW_LIMITS)}


def _leaf(row: dict[str, Any]) -> bytes:
    import numpy as np

    from sensetrail.core.dataset import Rows

    device, *numbers = (row[name] for name in ("device", *ROW_LIMITS))
    return Rows(np.array([device]), *(np.array([number], dtype=np.int64) for number in numbers)).leaf(0)


def _row_number(place: Workspace, rows: Rows, text: str) -> int:
    """Find a row by its number, or by its device (name or address) and sequence number.

    Raises:
        InputError: There is none.
    """
    import numpy as np

    name, colon, digits = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,18}", digits) or (colon and not name):
        raise InputError(f"{text!r} is no row", "give its number from 0, or DEVICE:SEQUENCE, such as kitchen:17")
    number = int(digits)
    if not colon:
        if number >= len(rows):
            raise InputError(f"there is no row {number}", f"give a number from 0 to {len(rows) - 1}")
        return number
    device = device_address(place, name)
    found = np.flatnonzero((rows.device == device) & (rows.sequence == number))
    if not len(found):
        raise InputError(
            f"reading {number} of {device} is not in the dataset",
            "see which are in its dataset.parquet: only legal readings that its selection takes",
        )
    return int(found[0])


def _write_once(path: Path, text: str) -> None:
    data = text.encode()
    try:
        write_new(path, data)
    except FileExistsError as error:
        if not path.is_file() or path.stat().st_size != len(data) or read_whole(path, len(data)) != data:
            raise WorkspaceError(
                f"there is another file at {path} already", "choose another name: it is not overwritten"
            ) from error


def _trusted_root(text: str) -> bytes:
    if not re.fullmatch("0x[0-9a-fA-F]{64}", text):
        raise InputError(f"{text!r} is no root", "give 0x and 64 hexadecimal digits")
    return bytes.fromhex(text[2:])


def _verify_on_chain(proof: Proof, rpc: str | None, place: Workspace) -> None:
    """Verify that the model registry has the proof's dataset under its root, and that the contract accepts the proof.

    Raises:
        VerificationError: It has another, or does not accept it.
    """
    from sensetrail.chain.deployment import verify_code
    from sensetrail.chain.model_registry import ModelRegistry

    chain, deployment = connect_deployment(rpc, place)
    verify_code(chain, deployment)
    registry = ModelRegistry(chain, deployment.model_registry)
    anchored = registry.dataset(proof.dataset_id)
    if not anchored.row_count:
        raise VerificationError(
            f"no dataset {hex_word(proof.dataset_id)} is anchored",
            "anchor a model of it (sensetrail anchor MODEL), or ask for a proof of an anchored dataset",
        )
    if (anchored.root, anchored.row_count) != (proof.root, proof.row_count):
        raise VerificationError(
            f"anchored are {anchored.row_count} rows under {hex_word(anchored.root)}, "
            f"the proof is for {proof.row_count} under {hex_word(proof.root)}",
            "ask for the proof again",
            expected=anchored.root,
            actual=proof.root,
        )
    if not registry.includes_row(proof.dataset_id, proof.leaf, proof.siblings):
        raise VerificationError(
            "the contract does not accept the proof", "this node does not tell the truth: use another"
        )
