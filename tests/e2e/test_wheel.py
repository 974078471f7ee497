"""The wheel alone suffices: with it, its dependencies and a node, no checkout is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from command import ROOT, Terminal
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import Deployment, verify_code

UV = str(Path(sys.executable).parent / "uv")
FILES = {
    "sensetrail/chain/artifacts/SensorRegistry.json",
    "sensetrail/chain/artifacts/ModelRegistry.json",
    "sensetrail/report/page.html.j2",
    "sensetrail/py.typed",
}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    uv("build", "--wheel", "--no-build-isolation", "--out-dir", str(tmp_path / "dist"), str(ROOT))
    (path,) = (tmp_path / "dist").glob("*.whl")
    return path


def uv(*arguments: str) -> None:
    environment = {**os.environ, "VIRTUAL_ENV": str(Path(sys.executable).parent.parent), "UV_OFFLINE": "1"}
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr


def test_it_works_without_a_checkout(wheel: Path, devnet: Chain, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert names >= FILES
    assert all(name.startswith(("sensetrail/", "sensetrail-")) for name in names)
    target, folder = tmp_path / "site-packages", tmp_path / "elsewhere"
    folder.mkdir()
    uv("pip", "install", "--no-deps", "--target", str(target), str(wheel))
    terminal = Terminal(folder, {"SENSETRAIL_RPC": devnet.url, "PYTHONPATH": str(target)})
    where = replace(terminal, command=(sys.executable, "-c", "import sensetrail; print(sensetrail.__file__)"))
    assert Path(where.done().strip()) == target / "sensetrail" / "__init__.py"
    # The console script that the wheel installed, under the Python that has its dependencies.
    installed = replace(terminal, command=(sys.executable, str(target / "bin" / "sensetrail")))
    deployed = installed.json("deploy")
    verify_code(devnet, Deployment.parse((folder / "sensetrail-workspace" / "deployment.json").read_bytes()))
    assert deployed["chain_id"] == devnet.chain_id
    assert installed.done("profile", "add") == "profile 1\n"
    assert "Example: sensetrail post" in installed.done("post", "--help")
