"""A deployment: which contracts, on which chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount

from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.chain.client import Chain
from sensetrail.chain.model_registry import ModelRegistry
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.canonical import parse_json, parse_word
from sensetrail.core.primitives import Address, address, hex_word, keccak256
from sensetrail.errors import InputError, ManifestError, VerificationError, WorkspaceError, WrongChainError

ADMIN_DELAY = 24 * 3600
"""Seconds between the two steps of handing the admin role over."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the registries are.

    Attributes:
        chain_id: EIP-155.
        genesis_hash: Hash of block 0, 32 bytes: local chains share their chain id, not this.
        sensor_registry: Address.
        model_registry: Address.
        block_number: The first block that can hold an event of theirs.
    """

    chain_id: int
    genesis_hash: bytes
    sensor_registry: Address
    model_registry: Address
    block_number: int

    def to_json(self) -> dict[str, Any]:
        """Give the deployment as JSON."""
        return {
            "chain_id": self.chain_id,
            "genesis_hash": hex_word(self.genesis_hash),
            "sensor_registry": self.sensor_registry,
            "model_registry": self.model_registry,
            "block_number": self.block_number,
        }

    @classmethod
    def parse(cls, data: bytes) -> Deployment:
        """Read a deployment file.

        Raises:
            WorkspaceError: It is none.
        """
        try:
            value = parse_json(data, "deployment.json")
            return cls(
                int(value["chain_id"]),
                parse_word(value["genesis_hash"]),
                address(value["sensor_registry"]),
                address(value["model_registry"]),
                int(value["block_number"]),
            )
        except (KeyError, TypeError, ValueError, InputError, ManifestError) as error:
            raise WorkspaceError(f"deployment.json is damaged: {error}", "restore it, or deploy again") from error


def deploy(chain: Chain, account: LocalAccount) -> Deployment:
    """Deploy both registries.

    Args:
        chain: The node.
        account: Pays, and gets the admin role and, to begin with, all others.

    Returns:
        Where they are.
    """
    admin = address(account.address)
    sensor_registry, block_number = SensorRegistry.deploy(chain, account, admin, ADMIN_DELAY)
    model_registry, _ = ModelRegistry.deploy(chain, account, admin, ADMIN_DELAY)
    return Deployment(chain.chain_id, chain.genesis_hash(), sensor_registry, model_registry, block_number)


def require_chain(chain: Chain, deployment: Deployment) -> None:
    """Make sure that the node serves the deployment's chain.

    Raises:
        WrongChainError: It serves another one.
    """
    for name, expected, actual in (
        ("chain id", deployment.chain_id, chain.chain_id),
        ("genesis block", hex_word(deployment.genesis_hash), hex_word(chain.genesis_hash())),
    ):
        if expected != actual:
            raise WrongChainError(
                f"the deployment is on another chain: {name} {expected}, {chain.endpoint.name} has {actual}",
                "give the right node with --rpc, or deploy again in a new --workspace",
                expected=expected,
                actual=actual,
            )


def verify_code(chain: Chain, deployment: Deployment) -> None:
    """Verify that the code at both addresses is the code this package ships, byte for byte.

    Raises:
        VerificationError: It is not.
    """
    for name, where in ((SENSOR_REGISTRY, deployment.sensor_registry), (MODEL_REGISTRY, deployment.model_registry)):
        expected, actual = load_artifact(name).code_digest, keccak256(chain.code(where))
        if expected != actual:
            raise VerificationError(
                f"the code at {where} is not {name}: keccak256 {hex_word(actual)}, expected {hex_word(expected)}",
                "do not trust this deployment; check the addresses and the package's version",
                expected=expected,
                actual=actual,
            )
