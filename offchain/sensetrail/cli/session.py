"""What commands share: their options, the connection, accounts and passwords."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensetrail.cli.output import note
from sensetrail.errors import InputError, KeystoreError, UnknownDeviceError
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from sensetrail.chain.client import Chain
    from sensetrail.chain.deployment import Deployment
    from sensetrail.core.primitives import Address

PASSWORD_VARIABLE = "SENSETRAIL_PASSWORD"  # noqa: S105 - a variable's name
ACCOUNT_PASSWORD_VARIABLE = "SENSETRAIL_ACCOUNT_PASSWORD"  # noqa: S105 - a variable's name

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Rpc = Annotated[
    str | None,
    typer.Option(
        "--rpc",
        metavar="URL",
        help="The node's JSON-RPC, or file:PATH of a file of mode 0600 that holds its URL "
        "(default: $SENSETRAIL_RPC, then the workspace's node, then http://127.0.0.1:8545).",
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        envvar="SENSETRAIL_WORKSPACE",
        help="Folder for keys, outbox, index and models.",
        # Typer's own check knows one cause only.
        readable=False,
    ),
]
AccountFile = Annotated[
    Path | None,
    typer.Option(
        "--account",
        envvar="SENSETRAIL_ACCOUNT",
        readable=False,
        help="Keystore of the account that pays; its password is asked for, or in SENSETRAIL_ACCOUNT_PASSWORD "
        "(default: on a local devnet, its throw-away account).",
    ),
]
TrustNode = Annotated[
    bool,
    typer.Option("--trust-node", help="Take the node's word for everything: faster; every row then says unproven."),
]
BlockHash = Annotated[
    str | None,
    typer.Option(
        "--block-hash", metavar="HASH", help="A block that you vouch for: all is followed to it, and no further."
    ),
]
SecondNode = Annotated[
    str | None, typer.Option("--second-node", metavar="URL", help="Another node, which must have the same last block.")
]
Depth = Annotated[
    int | None,
    typer.Option(min=0, help="Blocks this far below the newest are final, on a chain that does not say it itself."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="SENSETRAIL_STORE",
        metavar="URL",
        help="The index's store: postgresql://host/database (default: index.sqlite in the workspace).",
    ),
]
DEFAULT_RPC = None
"""The node as `cli.node` finds it."""
DEFAULT_FOLDER = Path("sensetrail-workspace")


def connect(rpc: str | None, workspace: Workspace) -> Chain:
    """Connect to a node: the one given, or the workspace's."""
    from sensetrail.cli.node import open_node

    return open_node(rpc, workspace)[0]


def connect_deployment(rpc: str | None, workspace: Workspace) -> tuple[Chain, Deployment]:
    """Connect to the node of a workspace's deployment, and make sure that it serves that chain."""
    from sensetrail.chain.deployment import require_chain
    from sensetrail.cli.node import open_node, remember

    deployment = workspace.deployment()
    chain, node = open_node(rpc, workspace)
    require_chain(chain, deployment)
    if node.is_named:
        remember(node, workspace)
    return chain, deployment


def paying_account(chain: Chain, keystore: Path | None) -> LocalAccount:
    """Give the account that pays: a keystore's, or a devnet's throw-away one.

    Raises:
        KeystoreError: Neither is there.
    """
    from sensetrail.chain.devnet import devnet_account
    from sensetrail.sensor.keystore import open_account

    if keystore is not None:
        return open_account(keystore, password(f"Password of {keystore}", ACCOUNT_PASSWORD_VARIABLE))
    if not chain.is_devnet:
        raise KeystoreError(
            f"chain {chain.chain_id} is no local devnet, so an account is needed to pay",
            "name its keystore file with --account",
        )
    account = devnet_account(0)
    note(f"paying with the devnet's throw-away account {account.address}")
    return account


def password(prompt: str, variable: str = PASSWORD_VARIABLE, *, confirm: bool = False) -> str:
    """Ask for a password, unless the environment has it: under its own variable, or the common one.

    Returns:
        A `Password`, which knows where it came from.

    Raises:
        KeystoreError: There is no one to ask.
    """
    from sensetrail.sensor.keystore import Password

    for name in (variable, PASSWORD_VARIABLE):
        if name in os.environ:
            return Password(os.environ[name], name)
    if sys.stdin is None or not sys.stdin.isatty():
        raise KeystoreError("no password given", f"set {variable}, or run the command at a terminal")
    return Password(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))


def device_keystore(workspace: Workspace, name: str) -> Path:
    """Find a device's keystore by its name.

    Raises:
        UnknownDeviceError: There is none.
    """
    path = workspace.key(name)
    if not path.is_file():
        raise UnknownDeviceError(
            f"device {name!r} has no key in {workspace.root}", f"make one: sensetrail device new {name!r}"
        )
    return path


def device_address(workspace: Workspace, name: str) -> Address:
    """Give a device's address: by its name in this workspace, or as it stands."""
    from sensetrail.core.primitives import address
    from sensetrail.sensor.keystore import key_address

    if name.startswith("0x"):
        return address(name)
    return key_address(device_keystore(workspace, name), lambda: password(f"Password of {name}"))


def parse_range(text: str, name: str) -> tuple[float, float]:
    """Read `LEAST:GREATEST`.

    Raises:
        InputError: It is something else.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise InputError(f"{name} {text!r} is no range", "give LEAST:GREATEST, such as 0:50") from error
    return low, high


def parse_time(text: str) -> int:
    """Read a moment: ISO 8601 (without a zone: UTC) or Unix seconds.

    Raises:
        InputError: It is neither.
    """
    from sensetrail.sensor.moments import unix_seconds

    return unix_seconds(text)
