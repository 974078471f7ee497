"""Reverts, each custom error of the contracts as its Python class."""

from __future__ import annotations

from functools import cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from sensetrail import errors
from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.core.primitives import keccak256
from sensetrail.core.text import printable
from sensetrail.errors import ContractError

LONGEST_TEXT = 200
"""Characters of an argument in a message."""
ROLES = {
    bytes(32): "admin",
    **{keccak256(f"{name.upper()}_ROLE".encode()): name for name in ("registrar", "publisher", "recaller")},
}


def contract_error(data: str, message: str) -> ContractError:
    """Give the error that a revert stands for.

    Args:
        data: The revert's data, 0x hexadecimal; may be empty.
        message: What the node said, for reverts that are none of ours.

    Returns:
        The subclass named after the Solidity error, or a plain `ContractError`.
    """
    definition = _definitions().get(data[:10])
    if definition is None:
        return ContractError(f"the transaction would revert: {message}", "check the arguments")
    inputs = definition["inputs"]
    try:
        values = abi_decode([item["type"] for item in inputs], bytes.fromhex(data[10:]))
    except (DecodingError, ValueError, OverflowError):
        return ContractError(f"the transaction would revert: {message}", "use another node")
    arguments = {item["name"]: value for item, value in zip(inputs, values, strict=True)}
    shown = ", ".join(f"{name} {_shown(value)}" for name, value in arguments.items())
    kind: type[ContractError] = getattr(errors, f"{definition['name']}Error", ContractError)
    summary = (kind.__doc__ or "").strip().rstrip(".") if kind is not ContractError else definition["name"]
    return kind(f"{summary} ({shown})" if shown else summary, arguments=arguments)


@cache
def _definitions() -> dict[str, dict[str, Any]]:
    found = {}
    for name in (SENSOR_REGISTRY, MODEL_REGISTRY):
        for item in load_artifact(name).abi:
            if item["type"] == "error":
                signature = f"{item['name']}({','.join(entry['type'] for entry in item['inputs'])})"
                found["0x" + keccak256(signature.encode())[:4].hex()] = item
    return found


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return ROLES.get(value, "0x" + value.hex())
    return printable(str(value), LONGEST_TEXT)
