"""The three nodes that the end-to-end suite runs on: how each is started, and what each lacks.

What a node lacks is asserted in tests/compat/test_lacks.py, and so is that it has all the rest: the tables cannot rot.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import IO

from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import DEVNET_MNEMONIC, free_port, running_devnet
from sensetrail.errors import NodeUnreachableError

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT = 60
START = 1_767_225_600
"""When Anvil's chain begins, Unix seconds; the others' begin now."""


class Lack(Enum):
    """What a node may lack, or do otherwise than Ethereum and the other nodes do."""

    P256 = "no P256VERIFY at 0x100 (EIP-7951): the registry verifies P-256 in Solidity, at many times the gas"
    DELEGATION = "no transactions of type 4 (EIP-7702)"
    NEWER_OPCODES = "no opcodes after Shanghai's: contracts are compiled for Shanghai"
    CALLDATA_FLOOR = "no floor of 40 gas a byte of calldata (EIP-7623): gas figures are not Ethereum's"
    GAS_CAP = "no cap of 16,777,216 gas a transaction (EIP-7825)"
    FINALITY = "no finality as it is started here: the newest block is the finalized one"
    PENDING_BLOCK = "no pending block: the newest one stands in, and its time falls behind the clock"
    SAME_SECOND = "no two blocks in one second: its time runs ahead of the clock"
    ANSWER_OF_A_FAILURE = "no hash in answer to a transaction that fails: an error, though a block has it"
    BLOCK_RECEIPTS = "no eth_getBlockReceipts"
    NEXT_BLOCK_TIME = "no evm_setNextBlockTimestamp: evm_increaseTime stands in"
    AUTOMINE = "no evm_setAutomine: miner_stop and miner_start stand in"
    REORG = "no anvil_reorg: evm_snapshot and evm_revert stand in"


@dataclass(frozen=True)
class Node:
    """A kind of node.

    Attributes:
        name: What it is called.
        running: Runs one on a free loopback port and ends it on leaving; all fund the devnet's accounts.
        lacks: What it lacks.
    """

    name: str
    running: Callable[[], AbstractContextManager[Chain]]
    lacks: frozenset[Lack]


def running_ganache() -> AbstractContextManager[Chain]:
    port = free_port()
    options = {
        "server.host": "127.0.0.1",
        "server.port": port,
        "wallet.mnemonic": DEVNET_MNEMONIC,
        "chain.hardfork": "shanghai",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return _running("ganache/dist/node/cli.js", arguments, port)


def running_hardhat() -> AbstractContextManager[Chain]:
    """Run Hardhat's node as hardhat.config.js sets its default network, whose mnemonic is the devnet's by itself.

    It has no option for the first block's time: that is a setting of the network, `initialDate`.
    """
    port = free_port()
    return _running("hardhat/dist/src/cli.js", ["node", "--hostname", "127.0.0.1", "--port", str(port)], port)


@contextmanager
def _running(script: str, arguments: Sequence[str], port: int) -> Iterator[Chain]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [ROOT / ".venv/bin/node", ROOT / "node_modules" / script, *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield _connect(process, port, output)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _connect(process: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> Chain:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return Chain(f"http://127.0.0.1:{port}")
        except NodeUnreachableError:
            time.sleep(0.05)
    output.seek(0)
    raise AssertionError(f"the node did not start: {output.read()[-2000:].decode(errors='replace')}")


ANVIL = Node("anvil", partial(running_devnet, timestamp=START), frozenset({Lack.GAS_CAP, Lack.FINALITY}))
HARDHAT = Node(
    "hardhat",
    running_hardhat,
    frozenset({Lack.FINALITY, Lack.SAME_SECOND, Lack.ANSWER_OF_A_FAILURE, Lack.BLOCK_RECEIPTS, Lack.REORG}),
)
GANACHE = Node(
    "ganache",
    running_ganache,
    frozenset(Lack) - {Lack.SAME_SECOND, Lack.ANSWER_OF_A_FAILURE},
)
NODES = (ANVIL, HARDHAT, GANACHE)
