"""Both Solidity judges on a real Anvil: the registry by transactions, the plain judge by calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import requests
import solcx
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_account.signers.local import LocalAccount

from compile import CONTRACTS, ROOT, import_paths
from differential.cases import Case
from differential.twins import Outcome, head_after
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import ADMIN_DELAY
from sensetrail.chain.devnet import devnet_account, running_devnet
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.primitives import Address, address, address_bytes, keccak256
from sensetrail.core.rules import DeviceState, Profile
from sensetrail.core.signature import DeviceKey, P256Key, Secp256k1Key
from sensetrail.core.typed_data import batch_digest

DEVICE_COUNT = 64
GENESIS_TIME = 1
BLOCK_GAS = 10**10
TRANSACTION_GAS = 2**24
FEE = 10**10
DATA_TYPES = ["uint256", "bytes", "bytes"]
STATE = "(uint8,uint16,int16,uint24,uint32,bytes20)"
PROFILE = "(int16,int16,uint16,uint16,uint16,uint16,uint32)"
JUDGE_TYPES = ["uint256", "bytes", STATE, PROFILE, "uint256"]
JUDGE_SELECTOR = keccak256(f"judge({','.join(JUDGE_TYPES)})".encode())[:4]
ACCEPTED = keccak256(b"BatchAccepted(address,uint256,bytes,bytes)")

Call = tuple[str, list[Any]]


@cache
def plain_judge_code() -> str:
    """Compile `PlainJudgeCaller` with the compiler and settings of the contracts; give its deployed code as hex."""
    path = ROOT / "tests" / "contracts" / "PlainJudgeCaller.sol"
    pending, sources = [path], {}
    while pending:
        source = pending.pop()
        sources[source.relative_to(ROOT).as_posix()] = {"content": source.read_text()}
        pending += import_paths(source)
    settings = json.loads((CONTRACTS / "solc.json").read_text())["settings"]
    selection = {"*": {"PlainJudgeCaller": ["evm.deployedBytecode.object"]}}
    output = solcx.compile_standard(
        {"language": "Solidity", "sources": sources, "settings": {**settings, "outputSelection": selection}},
        solc_binary=ROOT / "scripts" / "solc-launcher",
    )
    compiled = output["contracts"][path.relative_to(ROOT).as_posix()]["PlainJudgeCaller"]
    return "0x" + str(compiled["evm"]["deployedBytecode"]["object"])


class Rpc:
    """JSON-RPC in batches over one connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Ask all at once: the node may answer them in any order, but gives the answers in ours."""
        if not calls:
            return []
        body: Any = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": parameters}
            for index, (method, parameters) in enumerate(calls)
        ]
        answers = self._session.post(self._url, json=body, timeout=120).json()
        found: dict[int, Any] = {}
        for answer in answers:
            if "error" in answer:
                raise AssertionError(f"{calls[answer['id']][0]}: {answer['error']}")
            found[answer["id"]] = answer["result"]
        return [found[index] for index in range(len(calls))]

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


class Bench:
    """A registry with devices and profiles, the plain judge beside it, and a block mined for every round.

    Attributes:
        devices: The devices' ids, the first of them P-256's.
    """

    def __init__(self, chain: Chain, profiles: Sequence[Profile], code: str | None) -> None:
        self._rpc = Rpc(chain.url)
        self._admin: LocalAccount = devnet_account(0)
        admin = address(self._admin.address)
        where, _ = SensorRegistry.deploy(chain, self._admin, admin, ADMIN_DELAY)
        self._registry = SensorRegistry(chain, where)
        self._plain = address(b"plain judge".rjust(20, b"\0"))
        keys: list[DeviceKey] = []
        for index in range(DEVICE_COUNT):
            secret = keccak256(f"differential device {index}".encode())
            keys.append(P256Key(secret) if index < DEVICE_COUNT // 8 else Secp256k1Key(secret))
        self._keys = {key.address: key for key in keys}
        self.devices = list(self._keys)
        self._slots: dict[Address, bytes] = {}
        self._nonces = count(int(self._rpc.ask([("eth_getTransactionCount", [admin, "latest"])])[0], 16))
        setup: list[Call] = [
            ("evm_setAutomine", [False]),
            ("evm_setBlockGasLimit", [hex(BLOCK_GAS)]),
            ("anvil_setBalance", [admin, hex(10**30)]),
            ("anvil_setCode", [self._plain, plain_judge_code()]),
        ]
        self._rpc.ask(setup + ([("anvil_setCode", [where, code])] if code else []))
        receipts = self._mine(
            [self._registry.encode("addProfile", rules.as_tuple()) for rules in profiles]
            + [self._registry.encode("registerDevice", device, 1, bytes(32)) for device in self.devices]
        )
        assert all(int(receipt["status"], 16) for receipt in receipts)
        self._separator = self._registry.domain_separator()

    def judge(self, groups: Sequence[Sequence[Case]], block_time: int | None) -> list[tuple[Case, dict[str, Outcome]]]:
        """Judge cases in one block.

        Args:
            groups: Each a transaction's cases: one by `submitBatch`, more by `submitBatches`. Of two cases of a device,
                the second one's state is what the first one leaves.
            block_time: Unix seconds, not before the block before; None to let the node's clock run.

        Returns:
            Each case, with the time that its block had, and what both judges say.
        """
        cases = [case for group in groups for case in group]
        self._set_slots(cases)
        if block_time is not None:
            self._rpc.ask([("evm_setNextBlockTimestamp", [block_time])])
        receipts = self._mine([self._transaction(group) for group in groups])
        actual = int(self._rpc.ask([("eth_getBlockByNumber", ["latest", False])])[0]["timestamp"], 16)
        cases = [replace(case, block_time=actual) for case in cases]
        slots = self._read_slots(list({case.device: None for case in cases}))
        plain = self._rpc.ask([self._plain_call(case) for case in cases])
        lanes = [
            outcome for group, receipt in zip(groups, receipts, strict=True) for outcome in self._heard(group, receipt)
        ]
        last = {case.device: index for index, case in enumerate(cases)}
        judged = []
        for index, case in enumerate(cases):
            slot = slots[case.device] if last[case.device] == index else None
            outcomes = {"lanes": replace(lanes[index], slot=slot), "plain": _plain_outcome(case, plain[index])}
            judged.append((case, outcomes))
        return judged

    def close(self) -> None:
        """Close the connection."""
        self._rpc.close()

    def snapshot(self) -> str:
        """Remember the chain; `revert` goes back to it once, clock and all."""
        return str(self._rpc.ask([("evm_snapshot", [])])[0])

    def revert(self, snapshot: str) -> None:
        """Go back."""
        self._rpc.ask([("evm_revert", [snapshot])])
        self._slots.clear()
        admin = address(self._admin.address)
        self._nonces = count(int(self._rpc.ask([("eth_getTransactionCount", [admin, "latest"])])[0], 16))

    def _place(self, device: Address) -> str:
        base = self._registry.artifact.storage["_states"].to_bytes(32, "big")
        return "0x" + keccak256(address_bytes(device).rjust(32, b"\0") + base).hex()

    def _set_slots(self, cases: Sequence[Case]) -> None:
        """Give each device the state of its first case."""
        before = {case.device: case.state.pack() for case in reversed(cases)}
        self._rpc.ask(
            [
                ("anvil_setStorageAt", [self._registry.address, self._place(device), "0x" + slot.hex()])
                for device, slot in before.items()
                if slot != self._slots.get(device)
            ]
        )

    def _read_slots(self, devices: list[Address]) -> dict[Address, bytes]:
        calls: list[Call] = [
            ("eth_getStorageAt", [self._registry.address, self._place(device), "latest"]) for device in devices
        ]
        words = [bytes.fromhex(word[2:]).rjust(32, b"\0") for word in self._rpc.ask(calls)]
        found = dict(zip(devices, words, strict=True))
        self._slots.update(found)
        return found

    def _transaction(self, group: Sequence[Case]) -> bytes:
        signed = []
        for case in group:
            batch = case.batch
            signature = self._keys[case.device].sign(batch_digest(batch, self._separator))
            signed.append((batch.header.pack(), batch.data + signature))
        if len(signed) == 1:
            return self._registry.encode("submitBatch", *signed[0])
        return self._registry.encode("submitBatches", signed)

    def _mine(self, transactions: Sequence[bytes]) -> list[Any]:
        """Send transactions to the registry and mine them into one block; give their receipts."""
        sender, to = self._admin.address, self._registry.address
        calls: list[Call] = []
        for data in transactions:
            fields = {"from": sender, "to": to, "data": "0x" + data.hex(), "nonce": hex(next(self._nonces))}
            calls.append(("eth_sendTransaction", [fields | {"gas": hex(TRANSACTION_GAS), "gasPrice": hex(FEE)}]))
        sent = self._rpc.ask(calls)
        self._rpc.ask([("evm_mine", [])])
        receipts = {
            entry["transactionHash"]: entry for entry in self._rpc.ask([("eth_getBlockReceipts", ["latest"])])[0]
        }
        return [receipts[transaction] for transaction in sent]

    def _heard(self, group: Sequence[Case], receipt: Any) -> Iterator[Outcome]:
        logs = receipt["logs"]
        for index, case in enumerate(group):
            if len(logs) != len(group):
                yield Outcome(b"", None, f"{len(logs)} events for {len(group)} batches, status {receipt['status']}")
            else:
                yield self._event_outcome(case, logs[index])

    def _event_outcome(self, case: Case, log: Any) -> Outcome:
        batch = case.batch
        data = bytes.fromhex(log["data"][2:])
        topics = ["0x" + ACCEPTED.hex(), "0x" + address_bytes(case.device).rjust(32, b"\0").hex()]
        if log["topics"] != topics or len(data) < 96:
            return Outcome(b"", None, f"another event: topics {log['topics']}, data 0x{data.hex()}")
        payload_length = int.from_bytes(data[96:128], "big")
        payload = data[128 : 128 + payload_length]
        place = int.from_bytes(data[64:96], "big")
        exceptions = data[place + 32 : place + 32 + int.from_bytes(data[place : place + 32], "big")]
        # Byte for byte what Solidity would have encoded, the padding too.
        if payload[: len(case.data)] != case.data or data != abi_encode(
            DATA_TYPES, [batch.header.pack(), payload, exceptions]
        ):
            return Outcome(b"", None, f"an event ill encoded: 0x{data.hex()}")
        return Outcome(exceptions, None)

    def _plain_call(self, case: Case) -> Call:
        state = case.state
        fields = (state.profile, state.humidity, state.temperature, state.sequence, state.last_time, state.head)
        arguments = [case.batch.header.pack(), case.data, fields, case.profile.as_tuple(), case.block_time]
        data = JUDGE_SELECTOR + abi_encode(JUDGE_TYPES, arguments)
        return ("eth_call", [{"to": self._plain, "data": "0x" + data.hex()}, "latest"])


def _plain_outcome(case: Case, answer: str) -> Outcome:
    exceptions, fields = abi_decode(["bytes", STATE], bytes.fromhex(answer[2:]))
    return Outcome(exceptions, replace(DeviceState(*fields), head=head_after(case)).pack())


@contextmanager
def running_bench(profiles: Sequence[Profile], artifact: Path | None = None) -> Iterator[Bench]:
    """Run a bench on an Anvil of its own.

    Args:
        profiles: Added to the registry, the first as number 1.
        artifact: Whose code to judge by, if not by the shipped one's: how a mutant is tried.
    """
    code = str(json.loads(artifact.read_text())["deployed_bytecode"]) if artifact else None
    with running_devnet(timestamp=GENESIS_TIME) as chain:
        bench = Bench(chain, profiles, code)
        try:
            yield bench
        finally:
            bench.close()
