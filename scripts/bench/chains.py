"""Three chains to index, each built on an Anvil of its own.

    S  40,000 single readings, each its device's own transaction, 20 a block
    M  200,000 batches of one reading, 100 a transaction, one transaction a block
    R  10,000,000 readings in regular batches of 2,000, each its own transaction, 4 a block

Everything is real: the registry, profiles, devices, signatures, blocks' times; about 1 reading in 100 is illegal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import coincurve
import numpy as np
import requests
import rlp

from bench.readings import EVERY, quiet_room
from sensetrail.chain.client import TRANSACTION_GAS_CAP, Chain
from sensetrail.chain.deployment import Deployment, deploy
from sensetrail.chain.devnet import DEVNET_MNEMONIC, devnet_account, find_anvil, free_port
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import Format, encode
from sensetrail.core.primitives import Address, address_bytes, hex_word, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.core.signature import Secp256k1Key
from sensetrail.core.typed_data import batch_digest
from sensetrail.errors import NodeUnreachableError

CHAIN_START = 1_767_225_600
START = CHAIN_START + 86_400
ILLEGAL = 0.01
START_TIMEOUT = 20
PRIORITY_FEE, FEE_CAP = 10**9, 10**11
RELAYERS = 4
PROGRESS_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a chain holds.

    Attributes:
        devices: How many.
        rounds: How many times each device's readings arrive.
        readings: In one arrival of one device.
        arrivals: Of how many devices a block holds one each.
        function: By which registry function they arrive: "submitBatches" takes a block's all in one transaction.
        gas: What a transaction names.
    """

    devices: int
    rounds: int
    readings: int
    arrivals: int
    function: str
    gas: int

    @property
    def events(self) -> int:
        """How many events the chain's arrivals leave."""
        return self.devices * self.rounds

    @property
    def total(self) -> int:
        """How many readings the chain holds."""
        return self.events * self.readings

    @property
    def blocks(self) -> int:
        """How many blocks the arrivals take."""
        return self.events // self.arrivals

    @property
    def event(self) -> str:
        """The event that each arrival leaves."""
        return READING_POSTED if self.function == "post" else BATCH_ACCEPTED


READING_POSTED = (
    "event ReadingPosted(address indexed device, uint24 sequence, uint32 measuredAt, int16 temperature,"
    " uint16 humidity, uint8 verdict)"
)
BATCH_ACCEPTED = "event BatchAccepted(address indexed device, uint256 header, bytes payload, bytes exceptions)"
PLANS = {
    "S": Plan(devices=20, rounds=2000, readings=1, arrivals=20, function="post", gas=100_000),
    "M": Plan(devices=100, rounds=2000, readings=1, arrivals=100, function="submitBatches", gas=10_000_000),
    "R": Plan(devices=20, rounds=250, readings=2000, arrivals=4, function="submitBatch", gas=2_000_000),
}


@dataclass(frozen=True, slots=True)
class Built:
    """A chain that stands, as the cases' processes are told of it.

    Attributes:
        chain: "S", "M" or "R".
        url: Its node's.
        pid: Its node's process.
        registry: The registry's address.
        deployment: Path of the deployment file.
        first_block: The first that can hold an event of the registry.
        last_block: The newest.
        events: How many events arrivals left.
        readings: How many readings they brought.
        event: Their signature.
        topic: Their first topic.
    """

    chain: str
    url: str
    pid: int
    registry: str
    deployment: str
    first_block: int
    last_block: int
    events: int
    readings: int
    event: str
    topic: str


class Node:
    """An Anvil, and a connection that is kept.

    Attributes:
        chain: The package's own connection.
        pid: The process.
    """

    def __init__(self, chain: Chain, pid: int) -> None:
        self.chain = chain
        self.pid = pid
        self._session = requests.Session()

    def ask(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Make several calls in one request; give their results.

        Raises:
            AssertionError: The node refused one.
        """
        body: Any = [
            {"jsonrpc": "2.0", "id": i, "method": name, "params": given} for i, (name, given) in enumerate(calls)
        ]
        answers = self._session.post(self.chain.url, json=body, timeout=120).json()
        refused = [answer["error"] for answer in answers if "error" in answer]
        if refused:
            raise AssertionError(f"the node refused: {refused[0]}")
        return [answer["result"] for answer in answers]

    def cpu_seconds(self) -> float:
        """Give what the node has used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def memory(self) -> float:
        """Give the node's resident memory, MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def running_node(keep: bool = False) -> Iterator[Node]:
    """Run Anvil on loopback, and end it on leaving unless it is to be kept.

    The package's `running_devnet` neither tells the process's id, by which its CPU time and memory are read, nor leaves
    a node behind.
    """
    port = free_port()
    command = [find_anvil(), "--host", "127.0.0.1", "--port", str(port), "--mnemonic", DEVNET_MNEMONIC, "--silent"]
    command += ["--timestamp", str(CHAIN_START)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    kept = False
    try:
        yield Node(_connect(f"http://127.0.0.1:{port}"), _innermost(process.pid))
        kept = keep
    finally:
        if not kept:
            # npm's `anvil` is a script that starts the real one: end both, and nothing else is in this group.
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _innermost(pid: int) -> int:
    """Follow first children: the process itself, or what a script that was started instead of it runs."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid


def _connect(url: str) -> Chain:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            return Chain(url)
        except NodeUnreachableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def build(name: str, node: Node, folder: Path) -> Built:
    """Build a chain.

    Args:
        name: "S", "M" or "R".
        node: A fresh one.
        folder: Where to write `deployment.json` and `chain.json`.

    Raises:
        AssertionError: The registry did not accept all of it.
    """
    plan = PLANS[name]
    admin = devnet_account(0)
    deployment = deploy(node.chain, admin)
    registry = SensorRegistry(node.chain, deployment.sensor_registry)
    registry.add_profile(admin, INDOOR)
    keys = [Secp256k1Key(keccak256(f"bench index {name} {i}".encode())) for i in range(plan.devices)]
    for key in keys:
        registry.register_device(admin, key.address, 1, bytes(32))
    node.ask([("evm_setAutomine", [False])])
    writer = Writer(plan, registry, keys)
    node.ask([("anvil_setBalance", [sender, hex(10**22)]) for sender in writer.senders])
    _mine(node, name, plan, writer)
    _require_accepted(registry, keys, plan)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "deployment.json"
    path.write_text(json.dumps(deployment.to_json(), indent=1) + "\n")
    built = _built(name, node, deployment, path)
    (folder / "chain.json").write_text(json.dumps(asdict(built), indent=1) + "\n")
    return built


def _built(name: str, node: Node, deployment: Deployment, path: Path) -> Built:
    plan = PLANS[name]
    declared = plan.event.removeprefix("event ").replace(" indexed", "")
    types = ",".join(argument.split()[0] for argument in declared.partition("(")[2].rstrip(")").split(","))
    return Built(
        chain=name,
        url=node.chain.url,
        pid=node.pid,
        registry=deployment.sensor_registry,
        deployment=str(path),
        first_block=deployment.block_number,
        last_block=node.chain.latest_block().number,
        events=plan.events,
        readings=plan.total,
        event=plan.event,
        topic=hex_word(keccak256(f"{declared.partition('(')[0]}({types})".encode())),
    )


class Writer:
    """Writes a chain's transactions.

    Attributes:
        senders: The accounts that pay: the devices themselves on S, else relayers.
    """

    def __init__(self, plan: Plan, registry: SensorRegistry, keys: list[Secp256k1Key]) -> None:
        self._plan = plan
        self._registry = registry
        self._keys = keys
        self._separator = registry.domain_separator()
        self._rooms = list(_rooms(plan))
        relayers = [Secp256k1Key(keccak256(f"bench relayer {i}".encode())) for i in range(RELAYERS)]
        self._payers = keys if plan.function == "post" else relayers
        self._nonces = [0] * len(self._payers)

    @property
    def senders(self) -> list[Address]:
        """The accounts that pay."""
        return [key.address for key in self._payers]

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        """Give each block's time and its signed transactions."""
        plan = self._plan
        span = EVERY * plan.readings
        for number in range(plan.rounds):
            for first in range(0, plan.devices, plan.arrivals):
                devices = range(first, first + plan.arrivals)
                # The devices of one round measured in the same time; its blocks follow each other by a second.
                yield START + span * (number + 1) + first, self._transactions(number, devices)

    def _transactions(self, number: int, devices: range) -> list[str]:
        function, encode_call = self._plan.function, self._registry.encode
        if function == "post":
            return [self._sign(device, encode_call(function, *self._post(number, device))) for device in devices]
        batches = [self._batch(number, device) for device in devices]
        if function == "submitBatches":
            return [self._sign(0, encode_call(function, batches))]
        return [self._sign(i % RELAYERS, encode_call(function, *batch)) for i, batch in enumerate(batches)]

    def _post(self, number: int, device: int) -> tuple[int, ...]:
        room = self._rooms[device]
        return number, *(int(column[number]) for column in (room.measured_at, room.temperature, room.humidity))

    def _batch(self, number: int, device: int) -> tuple[int, bytes]:
        count = self._plan.readings
        readings = self._rooms[device][number * count : (number + 1) * count]
        key = self._keys[device]
        batch = encode(key.address, number * count, readings, Format.REGULAR)
        return batch.header.pack(), batch.data + key.sign(batch_digest(batch, self._separator))

    def _sign(self, payer: int, data: bytes) -> str:
        """Write a type 2 transaction; `eth_account` takes thirty times as long."""
        nonce = self._nonces[payer]
        self._nonces[payer] += 1
        chain_id, to = self._registry.chain.chain_id, address_bytes(self._registry.address)
        body = [chain_id, nonce, PRIORITY_FEE, FEE_CAP, self._plan.gas, to, 0, data, []]
        key = coincurve.PrivateKey(self._payers[payer].secret)
        signature = key.sign_recoverable(keccak256(b"\x02" + rlp.encode(body)), hasher=None)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return "0x02" + bytes(rlp.encode([*body, signature[64], r, s])).hex()


def _rooms(plan: Plan) -> Iterator[Measurements]:
    """Cut one long series into the devices' own, which begin at one time: no two have the same values."""
    each = plan.rounds * plan.readings
    whole = quiet_room(plan.total, START, illegal=ILLEGAL)
    for first in range(0, plan.total, each):
        part = whole[first : first + each]
        yield Measurements(START + EVERY * np.arange(each), part.temperature, part.humidity)


def _mine(node: Node, name: str, plan: Plan, writer: Writer) -> None:
    if plan.gas > TRANSACTION_GAS_CAP:
        raise AssertionError(f"a transaction of {plan.gas} gas")
    started = said = time.monotonic()
    for i, (moment, transactions) in enumerate(writer.blocks()):
        node.ask([("eth_sendRawTransaction", [transaction]) for transaction in transactions])
        node.ask([("evm_mine", [moment])])
        if time.monotonic() - said > PROGRESS_EVERY:
            said = time.monotonic()
            print(f"{name}: {i + 1} of {plan.blocks} blocks, {said - started:.0f} s", file=sys.stderr, flush=True)


def _require_accepted(registry: SensorRegistry, keys: list[Secp256k1Key], plan: Plan) -> None:
    for key in keys:
        accepted = registry.state(key.address).sequence
        if accepted != plan.rounds * plan.readings:
            raise AssertionError(f"{key.address}: {accepted} readings accepted of {plan.rounds * plan.readings}")
