"""What each node lacks, as tests/nodes.py says, it really lacks; and everything else it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from eth_account.signers.local import LocalAccount

from nodes import NODES, Lack, Node
from sensetrail.chain.client import TRANSACTION_GAS_CAP, Chain
from sensetrail.chain.devnet import devnet_account
from sensetrail.core.primitives import address, keccak256
from sensetrail.core.signature import P256Key
from sensetrail.errors import ChainError, ContractError, SensetrailError

P256VERIFY = address("0x" + "100".rjust(40, "0"))
P256_SIGNED = keccak256(b"message") + P256Key(keccak256(b"test P-256 key")).sign(keccak256(b"message"))
"""The precompile's input: digest, r, s, x, y."""
BLOCKS = 20
COUNT_LEADING_ZEROS = bytes.fromhex("60011e5f5260205ff3")
"""Returns CLZ(1) (EIP-7939, Osaka)."""
ALWAYS_REVERT = bytes.fromhex("5f5ffd")
SOMEBODY = address("0x" + "5e" * 20)


@pytest.fixture(scope="module", params=NODES, ids=[node.name for node in NODES])
def running(request: pytest.FixtureRequest) -> Iterator[tuple[Node, Chain]]:
    node: Node = request.param
    with node.running() as chain:
        yield node, chain


def raw_transaction(chain: Chain, payer: LocalAccount, **changed: Any) -> str:
    """Sign a transaction without asking the node what it would do."""
    nonce = int(chain.request("eth_getTransactionCount", payer.address, "latest"), 16)
    fields = {"type": 2, "chainId": chain.chain_id, "nonce": nonce, "gas": 200_000, "value": 0, "to": SOMEBODY}
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
    signed = payer.sign_transaction(cast(Any, {**fields, **fees, **changed}))
    return "0x" + signed.raw_transaction.hex()


def send(chain: Chain, payer: LocalAccount, **changed: Any) -> bytes:
    answer = chain.request("eth_sendRawTransaction", raw_transaction(chain, payer, **changed))
    return bytes.fromhex(answer[2:])


def answers(chain: Chain, method: str, *parameters: Any) -> bool:
    try:
        chain.request(method, *parameters)
    except ChainError:
        return False
    return True


def has_p256(chain: Chain) -> bool:
    return chain.call(P256VERIFY, P256_SIGNED) == (1).to_bytes(32, "big")


def has_delegation(chain: Chain) -> bool:
    payer = devnet_account(2)
    nonce = int(chain.request("eth_getTransactionCount", payer.address, "latest"), 16)
    authorization = payer.sign_authorization({"chainId": chain.chain_id, "address": SOMEBODY, "nonce": nonce + 1})
    try:
        chain.wait(send(chain, payer, type=4, accessList=[], authorizationList=[authorization]))
    except ChainError:
        return False
    return chain.code(address(payer.address)) == bytes.fromhex("ef0100" + "5e" * 20)


def has_newer_opcodes(chain: Chain) -> bool:
    return answers(chain, "eth_call", {"data": "0x" + COUNT_LEADING_ZEROS.hex()}, "latest")


def has_calldata_floor(chain: Chain) -> bool:
    gas_used = chain.wait(send(chain, devnet_account(3), data=b"\x01" * 1000)).gas_used
    assert gas_used in (21_000 + 40 * 1000, 21_000 + 16 * 1000)
    return gas_used == 21_000 + 40 * 1000


def has_gas_cap(chain: Chain) -> bool:
    payer = devnet_account(4)
    chain.wait(send(chain, payer, gas=TRANSACTION_GAS_CAP))
    try:
        chain.wait(send(chain, payer, gas=TRANSACTION_GAS_CAP + 1))
    except ChainError as error:
        assert str(TRANSACTION_GAS_CAP) in str(error)
        return True
    return False


def has_finality(chain: Chain) -> bool:
    chain.request("evm_mine")
    finalized = chain.block("finalized")
    assert finalized is not None
    return finalized.number < chain.latest_block().number


def has_pending_block(chain: Chain) -> bool:
    pending = chain.request("eth_getBlockByNumber", "pending", False)
    return bool(pending["hash"] != "0x" + chain.latest_block().hash.hex())


def has_same_second(chain: Chain) -> bool:
    times = set()
    for _ in range(BLOCKS):
        chain.request("evm_mine")
        times.add(chain.latest_block().timestamp)
    return len(times) < BLOCKS


def has_answer_of_a_failure(chain: Chain) -> bool:
    payer = devnet_account(5)
    creation = bytes.fromhex("62") + ALWAYS_REVERT + bytes.fromhex("5f526003601df3")
    contract = chain.wait(send(chain, payer, to=None, data=creation)).contract_address
    raw = raw_transaction(chain, payer, to=contract)
    answered = answers(chain, "eth_sendRawTransaction", raw)
    with pytest.raises(ContractError, match="failed"):
        chain.wait(keccak256(bytes.fromhex(raw[2:])))
    return answered


def has_next_block_time(chain: Chain) -> bool:
    moment = chain.latest_block().timestamp + 1000
    try:
        chain.set_next_block_time(moment)
    except ChainError:
        chain.request("evm_increaseTime", 2000)
        chain.request("evm_mine")
        assert chain.latest_block().timestamp > moment
        return False
    chain.request("evm_mine")
    return chain.latest_block().timestamp == moment


def has_automine(chain: Chain) -> bool:
    if answers(chain, "evm_setAutomine", True):
        return True
    assert answers(chain, "miner_stop")
    assert answers(chain, "miner_start")
    return False


def has_reorg(chain: Chain) -> bool:
    snapshot = chain.request("evm_snapshot")
    chain.request("evm_mine")
    replaced = chain.latest_block()
    reorganised = answers(chain, "anvil_reorg", 1, [])
    if not reorganised:
        assert chain.request("evm_revert", snapshot)
        chain.request("evm_increaseTime", 10)
        chain.request("evm_mine")
    assert chain.latest_block().number == replaced.number
    assert chain.latest_block().hash != replaced.hash
    return reorganised


PROBES: dict[Lack, Callable[[Chain], bool]] = {
    Lack.P256: has_p256,
    Lack.DELEGATION: has_delegation,
    Lack.NEWER_OPCODES: has_newer_opcodes,
    Lack.CALLDATA_FLOOR: has_calldata_floor,
    Lack.GAS_CAP: has_gas_cap,
    Lack.FINALITY: has_finality,
    Lack.PENDING_BLOCK: has_pending_block,
    Lack.SAME_SECOND: has_same_second,
    Lack.ANSWER_OF_A_FAILURE: has_answer_of_a_failure,
    Lack.BLOCK_RECEIPTS: lambda chain: answers(chain, "eth_getBlockReceipts", "latest"),
    Lack.NEXT_BLOCK_TIME: has_next_block_time,
    Lack.AUTOMINE: has_automine,
    Lack.REORG: has_reorg,
}


@pytest.mark.parametrize("lack", Lack, ids=[lack.name for lack in Lack])
def test_it_lacks_what_the_table_says_and_nothing_else(running: tuple[Node, Chain], lack: Lack) -> None:
    node, chain = running
    assert PROBES[lack](chain) == (lack not in node.lacks), f"{node.name}: {lack.value}"


def test_a_node_that_lacks_a_method_is_an_error_of_ours(running: tuple[Node, Chain]) -> None:
    _, chain = running
    with pytest.raises(SensetrailError, match="no_such_method"):
        chain.request("no_such_method")
