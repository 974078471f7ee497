"""The settings of the contracts' compiler stand in two files, what ships' and Forge's: they are to agree."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_forge_compiles_as_what_ships() -> None:
    """Slither and Halmos look at what Forge builds; a setting that only one side has would show here too."""
    profile = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    package = json.loads((ROOT / "package.json").read_text())
    forge = {
        "version": package["devDependencies"]["solc"],
        "settings": {
            "evmVersion": profile["evm_version"],
            "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
            "viaIR": profile["via_ir"],
            "metadata": {"bytecodeHash": profile["bytecode_hash"]},
        },
    }
    assert profile["solc"] == "scripts/solc-launcher"
    assert forge == json.loads((ROOT / "contracts" / "solc.json").read_text())
