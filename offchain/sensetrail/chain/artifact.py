"""The compiled contracts that the package ships (written by scripts/compile.py)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from sensetrail.core.primitives import keccak256

SENSOR_REGISTRY = "SensorRegistry"
MODEL_REGISTRY = "ModelRegistry"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract.

    Attributes:
        name: The contract's name.
        abi: Its ABI.
        bytecode: Creation code, without constructor arguments.
        deployed_bytecode: The code at its address: no immutables, so the same everywhere.
        storage: Each state variable's slot.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes
    storage: dict[str, int]

    @property
    def code_digest(self) -> bytes:
        """keccak256 of the deployed code, 32 bytes."""
        return keccak256(self.deployed_bytecode)


@cache
def load_artifact(name: str) -> Artifact:
    """Load a shipped artifact by its contract's name."""
    text = resources.files("sensetrail.chain").joinpath("artifacts", f"{name}.json").read_text("utf-8")
    value = json.loads(text)
    return Artifact(
        name,
        value["abi"],
        bytes.fromhex(value["bytecode"][2:]),
        bytes.fromhex(value["deployed_bytecode"][2:]),
        value["storage"],
    )
