"""The command `decode`: a transaction's readings, byte by byte."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from sensetrail.cli.output import print_json
from sensetrail.cli.session import DEFAULT_FOLDER, DEFAULT_RPC, Folder, Json, Rpc, connect_deployment
from sensetrail.core.primitives import hex_word
from sensetrail.errors import ChainError, InputError, RetryableError, VerificationError
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    from sensetrail.chain.answers import Receipt
    from sensetrail.chain.client import Chain
    from sensetrail.core.transaction import Transaction


def decode(
    transaction: Annotated[str, typer.Argument(metavar="TXHASH", help="The transaction's hash.")],
    show_all: Annotated[bool, typer.Option("--all", help="Show every reading of a long batch.")] = False,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Decode what a transaction brought to the registry, byte by byte, and hold its events against it.

    Example: sensetrail decode 0x8a3f6c1e5b7d9024c6e8f1a3b5d7092c4e6f8a1b3d5c7e9f0a2b4c6d8e1f3a57
    """
    # Not before it is needed: they load what a first look at --help need not wait for.
    from sensetrail.cli.decoded import explanation_json, print_explanation
    from sensetrail.core.explain import explain

    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", transaction):
        raise InputError(f"{transaction!r} is no transaction's hash", "give 0x and 64 hexadecimal digits")
    transaction_hash = bytes.fromhex(transaction[-64:])
    chain, deployment = connect_deployment(rpc, Workspace(workspace))
    registry = deployment.sensor_registry
    found, receipt = _fetch(chain, transaction_hash)
    if found.to != registry and not any(log.address == registry for log in receipt.logs):
        raise InputError(
            f"transaction {hex_word(transaction_hash)} neither calls the registry {registry} nor left an event of it",
            "give a transaction of this workspace's deployment, or that deployment's --workspace",
        )
    explanation = explain(found, transaction_hash, receipt.logs, registry, chain.chain_id, succeeded=receipt.succeeded)
    if as_json:
        print_json(explanation_json(explanation, found, receipt, registry, chain.chain_id))
    else:
        print_explanation(explanation, found, receipt, registry, show_all=show_all)
    if explanation.findings:
        raise VerificationError(
            f"the receipt cannot be the registry's doing: {'; '.join(explanation.findings)}",
            "this node is not telling the truth: read the transaction from another",
        )


def _fetch(chain: Chain, transaction_hash: bytes) -> tuple[Transaction, Receipt]:
    """Give a transaction that is in a block, and its receipt.

    Raises:
        InputError: There is none.
        RetryableError: It is in no block yet.
        ChainError: It is in a block, and the node no longer has its receipt.
    """
    name = hex_word(transaction_hash)
    transaction = chain.transaction(transaction_hash)
    if transaction is None:
        raise InputError(f"{chain.endpoint.name} has no transaction {name}", "check the hash, and --rpc")
    receipt = chain.receipt(transaction_hash)
    if receipt is None and (number := chain.block_of(transaction_hash)) is not None:
        raise ChainError(
            f"{chain.endpoint.name} has transaction {name} in block {number}, but not its receipt",
            "use a node that keeps the whole history",
        )
    if receipt is None:
        raise RetryableError(f"transaction {name} is pending: it is in no block yet", "run the command again later")
    return transaction, receipt
