"""A row's inclusion proof: Python, the contract and npm's @openzeppelin/merkle-tree accept it, and nothing but it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command import INDOOR_START, ROOT, Terminal, anchor_without_training, readings_csv, terminal_at
from conftest import Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.cli.dataset_commands import parse_proof
from sensetrail.core.dataset import LEAF_TYPES
from sensetrail.core.merkle import verify_inclusion
from sensetrail.core.primitives import hex_word
from sensetrail.errors import ModelRegistryUnknownDatasetError, VerificationError
from sensetrail.sensor.keystore import key_address

EACH = 20
VERIFY = """
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";
import { readFileSync } from "node:fs";
const { leafTypes, proofs } = JSON.parse(readFileSync(0, "utf8"));
const fields = ["device", "sequence", "measured_at", "temperature", "humidity"];
const verify = ({ root, row, proof }) => StandardMerkleTree.verify(root, leafTypes, fields.map((f) => row[f]), proof);
console.log(JSON.stringify(proofs.map(verify)));
"""
"""What anyone with npm would write; it hashes the row itself."""


@dataclass(frozen=True)
class World:
    """A terminal with an anchored dataset of 40 rows and a later one that nobody anchored."""

    site: Site
    terminal: Terminal

    def prove(self, row: object, name: str = "night") -> dict[str, Any]:
        made: dict[str, Any] = self.terminal.json("dataset", "prove", name, row)
        return made

    def write(self, proof: object) -> str:
        text = proof if isinstance(proof, str) else json.dumps(proof)
        (self.terminal.folder / "given.json").write_text(text)
        return "given.json"

    def contract_accepts(self, proof: dict[str, Any]) -> bool:
        siblings = [unhex(sibling) for sibling in proof["proof"]]
        try:
            return self.site.models.includes_row(unhex(proof["dataset_id"]), unhex(proof["leaf"]), siblings)
        except ModelRegistryUnknownDatasetError:
            return False


@pytest.fixture
def world(fresh_devnet: Chain, tmp_path: Path) -> World:
    site = make_site(fresh_devnet)
    terminal = terminal_at(site, tmp_path, "A", "B")
    readings_csv(tmp_path / "night.csv", ["A", "B"], EACH)
    terminal.done("post", "night.csv", "--devnet-clock")
    assert terminal.json("dataset", "build", "night")["rows"] == 2 * EACH
    anchor_without_training(site, terminal.workspace.model("model"))
    terminal.done("dataset", "build", "later", "--until", INDOOR_START + 60)
    return World(site, terminal)


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def python_accepts(proof: dict[str, Any]) -> bool:
    try:
        verify_inclusion(unhex(proof["leaf"]), [unhex(sibling) for sibling in proof["proof"]], unhex(proof["root"]))
    except VerificationError:
        return False
    return True


def npm_accepts(proofs: list[dict[str, Any]]) -> list[bool]:
    node = ROOT / ".venv" / "bin" / "node"
    given = json.dumps({"leafTypes": LEAF_TYPES, "proofs": proofs})
    command = [str(node), "--input-type=module", "--eval", VERIFY]
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    answers: list[bool] = json.loads(done.stdout)
    return answers


def flipped(word: str) -> str:
    return hex_word(bytes([unhex(word)[0] ^ 1]) + unhex(word)[1:])


def flip_sibling(proof: dict[str, Any]) -> None:
    proof["proof"][2] = flipped(proof["proof"][2])


def drop_sibling(proof: dict[str, Any]) -> None:
    proof["proof"].pop()


def repeat_sibling(proof: dict[str, Any]) -> None:
    proof["proof"].append(proof["proof"][-1])


def flip_root(proof: dict[str, Any]) -> None:
    proof["root"] = flipped(proof["root"])


def flip_leaf(proof: dict[str, Any]) -> None:
    proof["leaf"] = flipped(proof["leaf"])


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "sibling": flip_sibling,
    "missing": drop_sibling,
    "repeated": repeat_sibling,
    "root": flip_root,
    "leaf": flip_leaf,
    **{
        name: lambda proof, name=name: proof["row"].update({name: proof["row"][name] + 1})  # type: ignore[misc]
        for name in ("sequence", "measured_at", "temperature", "humidity")
    },
}
OF_THE_FILE_ALONE = {"leaf": {"npm"}, "root": {"contract"}}
"""Who does not look at what was changed: npm hashes the row, the contract has the root."""


def test_python_the_contract_and_npm_accept_every_row(world: World) -> None:
    devices = sorted((key_address(world.terminal.workspace.key(name)) for name in ("A", "B")), key=str.lower)
    table = world.terminal.workspace.dataset("night") / "dataset.json"
    root = json.loads(table.read_text())["root"]
    proofs = [world.prove(row) for row in range(2 * EACH)]
    for number, proof in enumerate(proofs):
        assert (proof["row"]["device"], proof["row"]["sequence"]) == (devices[number // EACH], number % EACH)
        assert (proof["root"], proof["row_count"]) == (root, 2 * EACH)
        assert python_accepts(proof)
        assert world.contract_accepts(proof)
    assert npm_accepts(proofs) == [True] * len(proofs)


def test_each_refuses_what_was_changed(world: World) -> None:
    honest = world.prove(17)
    for name, change in CHANGES.items():
        proof = deepcopy(honest)
        change(proof)
        blind = OF_THE_FILE_ALONE.get(name, set())
        if name in honest["row"]:
            # Whoever hashes the row finds another leaf; the others are shown that leaf.
            with pytest.raises(VerificationError):
                parse_proof(json.dumps(proof).encode(), name)
            other = world.prove(18)
            proof["leaf"] = other["leaf"]
        assert not python_accepts(proof), name
        assert world.contract_accepts(proof) == ("contract" in blind), name
        assert npm_accepts([proof]) == ["npm" in blind], name
        world.terminal.fails(5, "dataset", "verify", world.write(proof))
        world.terminal.fails(5, "dataset", "verify", world.write(proof), "--on-chain")
    other_dataset = {**honest, "dataset_id": flipped(honest["dataset_id"])}
    assert not world.contract_accepts(other_dataset)
    assert "anchored" in world.terminal.fails(5, "dataset", "verify", world.write(other_dataset), "--on-chain")[0]


def test_a_row_is_named_by_its_number_or_its_device_and_sequence(world: World) -> None:
    terminal = world.terminal
    addresses = {name: key_address(terminal.workspace.key(name)) for name in ("A", "B")}
    first = min(addresses, key=lambda name: addresses[name].lower())
    by_number = world.prove(3)
    assert world.prove(f"{first}:3") == world.prove(f"{addresses[first]}:3") == by_number
    assert world.prove(f"{addresses[first].lower()}:3") == by_number
    for row in ("40", "99999999"):
        assert "no row" in terminal.fails(2, "dataset", "prove", "night", row)[0]
        assert "0 to 39" in terminal.fails(2, "dataset", "prove", "night", row)[1]
    for row in ("x", ":3", "A:", "A:x", "1.0", "", "٣", "1" * 30):
        assert "is no row" in terminal.fails(2, "dataset", "prove", "night", row)[0], row
    assert "'Z' has no key" in terminal.fails(2, "dataset", "prove", "night", "Z:0")[0]
    assert "is not in the dataset" in terminal.fails(2, "dataset", "prove", "night", "A:20")[0]
    assert "is not in the dataset" in terminal.fails(2, "dataset", "prove", "later", "A:2")[0]
    assert "there is no dataset" in terminal.fails(2, "dataset", "prove", "none", "0")[0]


def test_people_are_told_what_programs_are(world: World) -> None:
    terminal = world.terminal
    made = world.prove(0)
    text = terminal.done("dataset", "prove", "night", "0")
    assert made["leaf"] in text
    assert made["root"] in text
    assert all(sibling in text for sibling in made["proof"])
    assert f"reading 0 of {made['row']['device']}, 2026-01-01 00:10:00 UTC" in text
    assert f"{made['row']['temperature'] / 100:.2f} degC, {made['row']['humidity'] / 100:.2f} %RH" in text
    assert "in proof.json" in terminal.done("dataset", "prove", "night", "0", "--out", "proof.json")
    assert json.loads((terminal.folder / "proof.json").read_text()) == made
    terminal.done("dataset", "prove", "night", "0", "--out", "proof.json")
    wrong, _ = terminal.fails(2, "dataset", "prove", "night", "1", "--out", "proof.json")
    assert "another file" in wrong
    assert json.loads((terminal.folder / "proof.json").read_text()) == made


def test_a_proof_is_held_against_what_its_reader_trusts(world: World) -> None:
    terminal = world.terminal
    terminal.done("dataset", "prove", "night", "5", "--out", "proof.json")
    root = world.prove(5)["root"]
    alone = terminal.done("dataset", "verify", "proof.json", SENSETRAIL_RPC="http://127.0.0.1:1")
    assert root in alone
    assert "the proof's own" in alone
    trusting = terminal.done("dataset", "verify", "proof.json", "--root", root)
    assert "the proof's own" not in trusting
    on_chain = terminal.done("dataset", "verify", "proof.json", "--on-chain")
    assert "the contract says so, too" in on_chain
    both = terminal.json("dataset", "verify", "proof.json", "--on-chain", "--root", root.upper().replace("X", "x"))
    assert (both["valid"], both["held_against"]) == (True, ["root", "chain"])
    wrong, _ = terminal.fails(5, "dataset", "verify", "proof.json", "--root", flipped(root))
    assert root in wrong
    assert "is no root" in terminal.fails(2, "dataset", "verify", "proof.json", "--root", "0x12")[0]
    terminal.done("dataset", "prove", "later", "1", "--out", "later.json")
    terminal.done("dataset", "verify", "later.json")
    wrong, to_do = terminal.fails(5, "dataset", "verify", "later.json", "--on-chain")
    assert "no dataset" in wrong
    assert "sensetrail anchor" in to_do
    # The one dataset's proof under the other's name.
    mixed = {**world.prove(1, "later"), "dataset_id": world.prove(5)["dataset_id"]}
    wrong, _ = terminal.fails(5, "dataset", "verify", world.write(mixed), "--on-chain")
    assert "anchored are 40 rows" in wrong


def test_what_is_no_proof_is_refused(world: World) -> None:
    honest = world.prove(5)
    row = honest["row"]
    bad: list[object] = [
        "",
        "[]",
        "null",
        "{",
        "0x12",
        {},
        {**honest, "more": 1},
        {name: value for name, value in honest.items() if name != "leaf"},
        {**honest, "row_count": "40"},
        {**honest, "row_count": True},
        {**honest, "root": honest["root"][:-1]},
        {**honest, "root": honest["root"].upper()},
        {**honest, "proof": "0x"},
        {**honest, "proof": [1]},
        {**honest, "proof": None},
        {**honest, "proof": [honest["proof"][0][:64]]},
        {**honest, "row": []},
        {**honest, "row": {**row, "more": 1}},
        {**honest, "row": {**row, "device": row["device"].lower()}},
        {**honest, "row": {**row, "device": "A"}},
        {**honest, "row": {**row, "device": 1}},
        {**honest, "row": {**row, "sequence": -1}},
        {**honest, "row": {**row, "sequence": 2**24}},
        {**honest, "row": {**row, "measured_at": 2**300}},
        {**honest, "row": {**row, "temperature": 25.5}},
        {**honest, "row": {**row, "temperature": None}},
        {**honest, "row": {**row, "humidity": True}},
        " " * (1 << 16) + json.dumps(honest),
    ]
    for value in bad:
        wrong, _ = world.terminal.fails(5, "dataset", "verify", world.write(value))
        assert len(wrong) < 300, value
    (world.terminal.folder / "given.json").write_bytes(b"\xff\xfe")
    world.terminal.fails(5, "dataset", "verify", "given.json")
    assert "there is no file" in world.terminal.fails(2, "dataset", "verify", "missing.json")[0]
