#!/usr/bin/env python3
"""Compile the contracts with py-solc-x and write what the package ships: offchain/sensetrail/chain/artifacts/*.json.

    scripts/compile.py            write the artifacts
    scripts/compile.py --check    exit 1 if the committed ones differ from what the sources give

The compiler is the one that package.json pins (npm's solc, run by scripts/solc-launcher) unless SOLC names a native
binary of the same version. Source names and remappings are Hardhat's, so that both builds give the same bytecode.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import solcx

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
ARTIFACTS = ROOT / "offchain" / "sensetrail" / "chain" / "artifacts"
OPENZEPPELIN = ROOT / "node_modules" / "@openzeppelin" / "contracts"
SHIPPED = ("SensorRegistry", "ModelRegistry")
OUTPUTS = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "storageLayout"]


def standard_input() -> dict[str, Any]:
    """Give the compiler's standard JSON input: our sources and what they import."""
    version = json.loads((OPENZEPPELIN / "package.json").read_text())["version"]
    library = f"npm/@openzeppelin/contracts@{version}/"
    sources = {f"project/{path.relative_to(ROOT).as_posix()}": path for path in sorted(CONTRACTS.rglob("*.sol"))}
    wanted = json.loads((CONTRACTS / "solc.json").read_text())["settings"]
    return {
        "language": "Solidity",
        "sources": {
            name: {"content": path.read_text()} for name, path in {**sources, **imported(sources, library)}.items()
        },
        "settings": {
            **wanted,
            "remappings": [f"project/:@openzeppelin/contracts/={library}"],
            "outputSelection": {"*": {"*": OUTPUTS}},
        },
    }


def imported(sources: dict[str, Path], library: str) -> dict[str, Path]:
    """Find the library files that sources import, and those that these import."""
    found: dict[str, Path] = {}
    pending = list(sources.values())
    while pending:
        for target in import_paths(pending.pop()):
            if target.is_relative_to(OPENZEPPELIN):
                name = library + target.relative_to(OPENZEPPELIN).as_posix()
                if name not in found:
                    found[name] = target
                    pending.append(target)
    return found


def import_paths(path: Path) -> list[Path]:
    """Give the files that a Solidity file imports."""
    targets = []
    for statement in path.read_text().split("import ")[1:]:
        quoted = statement.split(";")[0].split('"')
        if len(quoted) == 3:
            target = quoted[1]
            prefix = "@openzeppelin/contracts/"
            is_library = target.startswith(prefix)
            targets.append(OPENZEPPELIN / target[len(prefix) :] if is_library else (path.parent / target).resolve())
    return [target for target in targets if target.is_file()]


def compiled() -> dict[str, str]:
    """Compile, and give each shipped artifact's file name and text.

    Raises:
        SystemExit: The compiler warns: warnings are errors.
    """
    launcher = os.environ.get("SOLC", str(ROOT / "scripts" / "solc-launcher"))
    output = solcx.compile_standard(standard_input(), solc_binary=launcher)
    messages = [error["formattedMessage"] for error in output.get("errors", [])]
    if messages:
        raise SystemExit("\n".join(messages))
    files = {}
    for name in SHIPPED:
        contract = output["contracts"][f"project/contracts/{name}.sol"][name]
        artifact = {
            "contract": name,
            "compiler": json.loads((CONTRACTS / "solc.json").read_text()),
            "abi": contract["abi"],
            "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
            "deployed_bytecode": "0x" + contract["evm"]["deployedBytecode"]["object"],
            "storage": {entry["label"]: int(entry["slot"]) for entry in contract["storageLayout"]["storage"]},
        }
        files[f"{name}.json"] = json.dumps(artifact, indent=1, sort_keys=True) + "\n"
    return files


def main() -> int:
    """Write the artifacts, or check them."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    ARTIFACTS.mkdir(exist_ok=True)
    for name, text in compiled().items():
        path = ARTIFACTS / name
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        elif not check:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    if stale:
        print(f"stale: {', '.join(stale)}; run `make artifacts` and commit the result", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
