"""A deployment: which contracts, on which chain."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from eth_account.signers.local import LocalAccount

from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.chain.client import Chain
from sensetrail.chain.model_registry import ModelRegistry
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.canonical import fault, parse_json, parse_word
from sensetrail.core.primitives import Address, address, hex_word, keccak256
from sensetrail.errors import (
    ChainError,
    ContractError,
    InputError,
    ManifestError,
    VerificationError,
    WorkspaceError,
    WrongChainError,
)

ADMIN_DELAY = 24 * 3600
"""Seconds between the two steps of handing the admin role over."""
RESTORE = (
    "restore it from a backup, or write it again with the addresses that `deploy` printed (a block explorer lists what "
    "the account created); else delete it and deploy again, which costs the gas again"
)


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
            WorkspaceError: It is damaged.
        """
        try:
            value = parse_json(data, "it")
            deployment = cls(
                value["chain_id"],
                parse_word(value["genesis_hash"]),
                address(value["sensor_registry"]),
                address(value["model_registry"]),
                value["block_number"],
            )
            for name in ("chain_id", "block_number"):
                if type(value[name]) is not int or value[name] < 0:
                    raise ValueError(f"{name} {value[name]!r:.80} is not a whole number")
            return deployment
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WorkspaceError(f"it is not a deployment's record: {fault(error)}", RESTORE) from error
        except (InputError, ManifestError) as error:
            raise WorkspaceError(error.what, RESTORE) from error


class Notes(Protocol):
    """Where it is noted what was sent for a deployment, for a run that is interrupted."""

    lines: list[str]

    def append(self, line: str) -> None:
        """Add a line; it is on the disk when this returns."""


def deploy(
    chain: Chain, account: LocalAccount, notes: Notes | None = None, tell: Callable[[str], None] = lambda _: None
) -> Deployment:
    """Deploy both registries, or go on with a deployment that was interrupted.

    Args:
        chain: The node.
        account: Pays, and gets the admin role and, to begin with, all others.
        notes: What was sent before, and where each transaction is noted before it leaves; None to note nothing.
        tell: Told what happens on the way, one line each.

    Returns:
        Where they are.

    Raises:
        WorkspaceError: The notes are of another chain or account.
        DiskError: A note cannot be written; that transaction was not sent.
    """
    admin = address(account.address)
    genesis_hash = chain.genesis_hash()
    sent = {} if notes is None else _begun(notes, chain.chain_id, genesis_hash, admin)
    if sent:
        tell("going on with a deployment that was interrupted: what is on the chain is not paid for again")
    places = []
    for registry in (SensorRegistry, ModelRegistry):

        def note(transaction_hash: bytes, name: str = registry.NAME) -> None:
            if notes is not None:
                notes.append(json.dumps({"contract": name, "transaction": hex_word(transaction_hash)}))

        place = _created(chain, sent.get(registry.NAME, ()))
        places.append(place or registry.deploy(chain, account, admin, ADMIN_DELAY, note))
    (sensor_registry, block_number), (model_registry, _) = places
    return Deployment(chain.chain_id, genesis_hash, sensor_registry, model_registry, block_number)


def _begun(notes: Notes, chain_id: int, genesis_hash: bytes, admin: Address) -> dict[str, list[bytes]]:
    """Read what was sent before, by the contract's name; begin the notes where nothing was.

    Raises:
        WorkspaceError: That was on another chain, or by another account.
    """
    ours = {"chain_id": chain_id, "genesis_hash": hex_word(genesis_hash), "account": admin}
    sent: dict[str, list[bytes]] = {}
    begun: dict[str, Any] = ours
    try:
        for line in notes.lines:
            value = parse_json(line.encode(), "a line")
            if "transaction" in value:
                # What was sent before counts for the chain and account that stand before it.
                sent.setdefault(value["contract"], []).append(parse_word(value["transaction"]))
            elif not sent:
                begun = value
        if not sent:
            notes.append(json.dumps(ours))
            return {}
        differing = [name for name, expected in ours.items() if begun[name] != expected]
    except (KeyError, TypeError, ManifestError) as error:
        raise WorkspaceError(
            f"the notes of a deployment that was begun here are damaged: {error}",
            "choose another --workspace, or delete deployment.begun to deploy and pay again",
        ) from error
    if differing:
        name = differing[0]
        raise WorkspaceError(
            f"a deployment was begun here with another {name.replace('_', ' ')}: {begun[name]}, now {ours[name]}",
            "go on with the same --rpc and --account; for a new deployment choose another --workspace, or delete "
            "deployment.begun",
        )
    return sent


def _created(chain: Chain, transaction_hashes: Sequence[bytes]) -> tuple[Address, int] | None:
    """Give what one of these transactions created, and its block; None where none did, or reached the chain."""
    for transaction_hash in transaction_hashes:
        if chain.transaction(transaction_hash) is None:
            continue
        # One that failed created nothing: it is sent anew.
        with suppress(ContractError):
            receipt = chain.wait(transaction_hash)
            if receipt.contract_address is not None:
                return receipt.contract_address, receipt.block_number
    return None


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
        code = chain.code(where)
        if not code:
            raise ChainError(
                f"{chain.endpoint.name} has no contract at {where}, where {name} should be",
                "wait until the node is up to date, or use another; check that deployment.json is this chain's",
            )
        expected, actual = load_artifact(name).code_digest, keccak256(code)
        if expected != actual:
            raise VerificationError(
                f"the code at {where} is not {name}: keccak256 {hex_word(actual)}, expected {hex_word(expected)}",
                "do not trust this deployment; check the addresses and the package's version",
                expected=expected,
                actual=actual,
            )
