from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account import Account

from sensetrail.core.batch import Batch, Format, Header, decode
from sensetrail.core.dataset import LEAF_TYPES
from sensetrail.core.events import Accepted, decode_log
from sensetrail.core.merkle import MerkleTree, standard_leaf, verify_inclusion
from sensetrail.core.rules import DeviceState, Profile, judge
from story import BATCH_ACCEPTED, BATCH_FIELDS, SIGNATURE, log_of, word

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
JUDGE = json.loads((VECTORS / "judge.json").read_text())
MERKLE = json.loads((VECTORS / "merkle.json").read_text())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def state_of(given: dict[str, Any]) -> DeviceState:
    fields = {key: value for key, value in given.items() if key != "slot"}
    return DeviceState(**{**fields, "head": unhex(given["head"])})


@pytest.mark.parametrize("vector", JUDGE["vectors"], ids=lambda vector: vector["name"])
def test_judge_vector(vector: dict[str, Any]) -> None:
    profile = Profile(**vector["profile"])
    before, after = state_of(vector["before"]), state_of(vector["after"])
    assert before.pack() == unhex(vector["before"]["slot"])
    header = Header.unpack(int(vector["header"], 16))
    assert header.pack().to_bytes(32, "big") == unhex(vector["header"])
    assert header.device == Account.from_key(JUDGE["device_key"]).address
    batch = Batch(header, unhex(vector["data"]))

    verdicts, state = judge(decode(batch), before, profile, vector["block_time"])
    assert verdicts.tolist() == vector["verdicts"]
    state = replace(state, head=batch.commit(state.head))
    assert state == after
    assert state.pack() == unhex(vector["after"]["slot"])


BATCHES = [vector for vector in JUDGE["vectors"] if int(vector["header"], 16) & 0xFF != Format.OWN]


@pytest.mark.parametrize("vector", BATCHES, ids=lambda vector: vector["name"])
def test_exceptions_of_judge_vector(vector: dict[str, Any]) -> None:
    header = Header.unpack(int(vector["header"], 16))
    values = [header.pack(), unhex(vector["data"]) + SIGNATURE, unhex(vector["exceptions"])]
    event = decode_log(log_of(BATCH_ACCEPTED, [word(header.device)], abi_encode(BATCH_FIELDS, values)))
    assert isinstance(event, Accepted)
    assert event.verdicts.tolist() == vector["verdicts"]


def test_judge_vectors_cover_every_flag_and_format() -> None:
    verdicts = {verdict for vector in JUDGE["vectors"] for verdict in vector["verdicts"]}
    assert 0 in verdicts
    for flag in (1, 2, 4, 8, 16, 32):
        assert any(verdict & flag for verdict in verdicts), flag
        assert flag in verdicts, f"{flag} never stands alone"
    assert {int(vector["header"], 16) & 0xFF for vector in JUDGE["vectors"]} == {0, 1, 2, 3}
    assert JUDGE["count"] == len(JUDGE["vectors"])


@pytest.mark.parametrize("vector", MERKLE["vectors"], ids=lambda vector: f"{len(vector['rows'])} rows")
def test_merkle_vector(vector: dict[str, Any]) -> None:
    leaves = [standard_leaf(abi_encode(LEAF_TYPES, row)) for row in vector["rows"]]
    assert leaves == [unhex(each["leaf"]) for each in vector["proofs"]]
    tree = MerkleTree(leaves)
    assert tree.root == unhex(vector["root"])
    for leaf, expected in zip(leaves, vector["proofs"], strict=True):
        proof = [unhex(node) for node in expected["proof"]]
        assert tree.inclusion_proof(leaf) == proof
        verify_inclusion(leaf, proof, tree.root)


def test_merkle_vectors_are_of_the_datasets_leaves() -> None:
    assert MERKLE["leaf_types"] == LEAF_TYPES
    assert MERKLE["count"] == len(MERKLE["vectors"])


def test_generating_again_gives_the_same_files() -> None:
    done = subprocess.run([sys.executable, VECTORS / "generate.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
