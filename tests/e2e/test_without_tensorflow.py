"""Without TensorFlow: everything but training and predicting works, and what does not says what to install."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from command import INDOOR_START, Terminal, anchor_without_training, readings_csv, terminal_at
from conftest import make_site
from sensetrail.chain.client import Chain

BARE = """
import sys
sys.modules["keras"] = sys.modules["tensorflow"] = None
from sensetrail.cli.main import run
run()
"""
"""The command in a Python in which importing either raises ModuleNotFoundError, as where they are not installed."""
LOADED = """
import sys
{}
print(" ".join(sorted({{"web3", "keras", "tensorflow", "matplotlib"}} & sys.modules.keys())), file=sys.stderr)
"""


@pytest.fixture
def bare(fresh_devnet: Chain, tmp_path: Path) -> Terminal:
    """A terminal without TensorFlow, at a chain with a few readings and an anchored model."""
    site = make_site(fresh_devnet)
    terminal = terminal_at(site, tmp_path, "A")
    readings_csv(tmp_path / "a.csv", ["A"], 6)
    terminal.done("post", "a.csv", "--devnet-clock")
    anchor_without_training(site, terminal.workspace.model("model"))
    return replace(terminal, command=(sys.executable, "-c", BARE), in_process=False)


def test_indexing_and_auditing_need_no_tensorflow(bare: Terminal) -> None:
    assert bare.json("index")["readings"] == 6
    assert bare.json("dataset", "build", "night")["rows"] == 6
    audited = bare.json("audit", "model", "--no-retrain", "--dataset", "night")
    assert audited["passed"] is True
    assert [step["number"] for step in audited["steps"] if step["status"] == "skipped"] == [9]


def test_training_predicting_and_retraining_say_what_to_install(bare: Terminal) -> None:
    bare.done("dataset", "build", "night")
    for command in (
        ("train", "night", "new", "--task", "humidity"),
        ("predict", "model", "--temperature", "28"),
        ("audit", "model"),
    ):
        wrong, to_do = bare.fails(6, *command)
        assert "is not installed" in wrong
        assert to_do == "pip install 'sensetrail[train]'"
    bare.done("device", "revoke", "A", "--since", INDOOR_START + 60)
    assert bare.run("taint", "--check").code == 5
    assert "is not installed" in bare.fails(6, "renew", "model", "new")[0]
    assert not bare.workspace.model("new").exists()
    assert not bare.workspace.dataset("new").exists()


def loaded_after(code: str, folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", LOADED.format(code)], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done
    return done.stderr.split()


def test_the_package_and_its_help_load_neither_web3_nor_tensorflow(tmp_path: Path) -> None:
    assert loaded_after("import sensetrail", tmp_path) == []
    for words in (["--help"], ["train", "--help"], ["device", "new", "--help"]):
        code = f"""
sys.argv = {json.dumps(["sensetrail", *words])}
from sensetrail.cli.main import run
try:
    run()
except SystemExit as end:
    assert not end.code
"""
        assert loaded_after(code, tmp_path) == []
