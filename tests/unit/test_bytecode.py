from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = ROOT / ".venv" / "bin"


def test_committed_artifacts_are_what_py_solc_x_builds() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "compile.py", "--check"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def hardhat_artifacts() -> Path:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        [BIN / "node", ROOT / "node_modules" / ".bin" / "hardhat", "build", "--no-tests"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return ROOT / "artifacts" / "contracts"


@pytest.mark.parametrize("name", ["SensorRegistry", "ModelRegistry"])
def test_hardhat_builds_the_same_bytecode(hardhat_artifacts: Path, name: str) -> None:
    committed = ROOT / "offchain" / "sensetrail" / "chain" / "artifacts" / f"{name}.json"
    ours = json.loads(committed.read_text())
    theirs = json.loads((hardhat_artifacts / f"{name}.sol" / f"{name}.json").read_text())
    assert ours["bytecode"] == theirs["bytecode"]
    assert ours["deployed_bytecode"] == theirs["deployedBytecode"]
    assert ours["abi"] == theirs["abi"]
    assert len(ours["deployed_bytecode"]) > 1000
