"""A local throw-away chain: Anvil, as a child process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount

from sensetrail.chain.client import Chain
from sensetrail.chain.endpoint import LONGEST_FOREIGN_TEXT
from sensetrail.core.text import printable
from sensetrail.errors import ChainError, NodeUnreachableError, WorkspaceError

DEVNET_MNEMONIC = "test test test test test test test test test test test junk"
"""Everyone knows this phrase: it is what local nodes start with. Its keys are worth nothing and guard nothing."""
START_TIMEOUT = 20


@cache
def devnet_account(index: int) -> LocalAccount:
    """Give one of a local chain's throw-away accounts, which hold its play money.

    Args:
        index: 0 to 9: Anvil, Hardhat and Ganache fund ten.
    """
    Account.enable_unaudited_hdwallet_features()
    account: LocalAccount = Account.from_mnemonic(DEVNET_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return account


def find_anvil() -> str:
    """Find Anvil: $ANVIL, then PATH, then the nearest node_modules above this folder or the working directory.

    Raises:
        WorkspaceError: There is none.
    """
    named = os.environ.get("ANVIL") or shutil.which("anvil")
    if named:
        return named
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            for binary in sorted(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil")):
                return str(binary)
    raise WorkspaceError("Anvil is not installed", "npm install @foundry-rs/anvil, or name it with ANVIL=/path")


def free_port(wanted: int = 0) -> int:
    """Find a free TCP port on loopback, or make sure that the wanted one is.

    Raises:
        ChainError: The wanted one is taken.
    """
    with socket.socket() as probe:
        # As servers do: a port whose last connection is still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise ChainError(f"port {wanted} is taken: {error.strerror}", "give another with --port") from error
        return int(probe.getsockname()[1])


@contextmanager
def running_devnet(
    port: int | None = None, timestamp: int | None = None, hardfork: str | None = None, finality: int = 0
) -> Iterator[Chain]:
    """Run Anvil on loopback, and end it on leaving.

    Args:
        port: Where to listen; None for any free port.
        timestamp: The first block's time, Unix seconds; None for now.
        hardfork: Whose rules, such as "prague"; None for Anvil's newest.
        finality: How many blocks below the newest the `finalized` one is; an even number. Mined at once and by no one
            else, a local chain's blocks are final at once.

    Yields:
        A connection to it.

    Raises:
        ChainError: It did not start.
    """
    port = free_port(port or 0)
    command = [find_anvil(), "--host", "127.0.0.1", "--port", str(port), "--mnemonic", DEVNET_MNEMONIC, "--silent"]
    command += ["--slots-in-an-epoch", str(finality // 2)]
    if timestamp is not None:
        command += ["--timestamp", str(timestamp)]
    if hardfork is not None:
        command += ["--hardfork", hardfork]
    # Its own session: Ctrl-C at the terminal is for us, and we end it when we are done.
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        yield _connect(process, port)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _connect(process: subprocess.Popen[bytes], port: int) -> Chain:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
            shown = printable(said, LONGEST_FOREIGN_TEXT)
            raise ChainError(f"Anvil ended at once: {shown}", f"is port {port} taken? give another with --port")
        try:
            return Chain(f"http://127.0.0.1:{port}")
        except NodeUnreachableError:
            time.sleep(0.05)
    raise ChainError(f"Anvil does not answer on port {port} after {START_TIMEOUT} s", "try again")
