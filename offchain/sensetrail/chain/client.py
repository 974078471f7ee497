"""A node, spoken to by JSON-RPC.

What it answers is the node's word: callers that verify take `Log`, `Block` and `Transaction` from here and check them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import requests
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.exceptions import (
    BlockNotFound,
    ContractCustomError,
    ContractLogicError,
    TimeExhausted,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)

from sensetrail.chain.reverts import contract_error
from sensetrail.core.logs import Block, Log
from sensetrail.core.primitives import Address, address, hex_word
from sensetrail.core.transaction import Transaction, transaction_from_rpc
from sensetrail.errors import (
    ChainError,
    ContractError,
    InputError,
    NodeUnreachableError,
    UnfundedAccountError,
    VerificationError,
)

DEVNET_CHAIN_IDS = frozenset({1337, 31337})
"""Chains whose accounts are throw-away by their nature: Ganache's and Anvil's (and Hardhat's) defaults."""
REQUEST_TIMEOUT = 30
RECEIPT_TIMEOUT = 120
PRIORITY_FEE = 10**9
TRANSACTION_GAS_CAP = 2**24
"""The most gas that a transaction may name (EIP-7825)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction did.

    Attributes:
        transaction_hash: 32 bytes.
        block_number: Where it stands.
        succeeded: Whether it did not revert.
        gas_used: Gas.
        contract_address: What it created, if anything.
        logs: What it emitted.
    """

    transaction_hash: bytes
    block_number: int
    succeeded: bool
    gas_used: int
    contract_address: Address | None
    logs: tuple[Log, ...]


class Chain:
    """A connection to one node.

    Attributes:
        url: The node's URL.
        chain_id: The chain it serves.
    """

    def __init__(self, url: str) -> None:
        """Connect.

        Args:
            url: http(s) URL of the node's JSON-RPC.

        Raises:
            InputError: It is no such URL.
            NodeUnreachableError: No node answers there.
        """
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{url!r} is not an http URL", "give the node's JSON-RPC, such as http://127.0.0.1:8545")
        self.url = url
        self._web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": REQUEST_TIMEOUT}))
        self._nonces: dict[Address, int] = {}
        self.chain_id = self._ask(lambda: self._web3.eth.chain_id)

    @property
    def is_devnet(self) -> bool:
        """Whether this is a local throw-away chain, by its chain id."""
        return self.chain_id in DEVNET_CHAIN_IDS

    def block(self, number: int | str = "latest") -> Block | None:
        """Give a block's header; None where the chain has none at this height.

        Args:
            number: Height, or "latest".
        """
        try:
            found = self._ask(lambda: self._web3.eth.get_block(cast(Any, number)))
        except BlockNotFound:
            return None
        return Block(found["number"], bytes(found["hash"]), bytes(found["parentHash"]), found["timestamp"])

    def latest_block(self) -> Block:
        """Give the newest block's header."""
        block = self.block("latest")
        if block is None:
            raise ChainError("the node has no blocks", "use another node")
        return block

    def clock(self) -> int:
        """Give the chain's time, Unix seconds: that of the block being built where the node has one."""
        try:
            pending = self._ask(lambda: self._web3.eth.get_block("pending"))
        except (BlockNotFound, ChainError):
            return self.latest_block().timestamp
        return max(int(pending["timestamp"]), self.latest_block().timestamp)

    def genesis_hash(self) -> bytes:
        """Give the hash of block 0, 32 bytes: what tells one local chain from another."""
        block = self.block(0)
        if block is None:
            raise ChainError("the node has no block 0", "use a node that serves the whole chain")
        return block.hash

    def logs(
        self, addresses: Sequence[Address], from_block: int, to_block: int, topics: Sequence[bytes | None] = ()
    ) -> list[Log]:
        """Give the logs of some contracts in a range of blocks, both ends included, in the order of the chain.

        Args:
            addresses: The contracts.
            from_block: First height.
            to_block: Last height.
            topics: What the first topics must be; None for any.
        """
        wanted = {"address": list(addresses), "fromBlock": from_block, "toBlock": to_block, "topics": list(topics)}
        logs = [_log(entry) for entry in self._ask(lambda: self._web3.eth.get_logs(cast(Any, wanted)))]
        return sorted(logs, key=lambda log: (log.block_number, log.log_index))

    def code(self, contract: Address, block_number: int | str = "latest") -> bytes:
        """Give the code at an address."""
        return bytes(self._ask(lambda: self._web3.eth.get_code(cast(Any, contract), cast(Any, block_number))))

    def storage(self, contract: Address, slot: int, block_number: int | str = "latest") -> bytes:
        """Give a storage slot's 32 bytes."""
        value = self._ask(lambda: self._web3.eth.get_storage_at(cast(Any, contract), slot, cast(Any, block_number)))
        return bytes(value).rjust(32, b"\0")

    def balance(self, account: Address) -> int:
        """Give an account's balance, wei."""
        return int(self._ask(lambda: self._web3.eth.get_balance(cast(Any, account))))

    def transaction(self, transaction_hash: bytes) -> Transaction | None:
        """Give a signed transaction; None where the node has none under this hash."""
        return _transaction(self.request("eth_getTransactionByHash", hex_word(transaction_hash)))

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Give a transaction's receipt; None while it is not in a block."""
        try:
            return _receipt(self._ask(lambda: self._web3.eth.get_transaction_receipt(cast(Any, transaction_hash))))
        except TransactionNotFound:
            return None

    def call(self, contract: Address, data: bytes, block_number: int | str = "latest") -> bytes:
        """Call a contract's function without a transaction.

        Raises:
            ContractError: It reverted.
        """
        return bytes(
            self._ask(
                lambda: self._web3.eth.call(
                    {"to": cast(Any, contract), "data": cast(Any, data)}, cast(Any, block_number)
                )
            )
        )

    def send(
        self,
        account: LocalAccount,
        to: Address | None,
        data: bytes = b"",
        value: int = 0,
        on_signed: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """Sign a transaction here and send it.

        Args:
            account: Who pays and signs.
            to: The contract; None to create one.
            data: Call data, or creation code.
            value: Wei.
            on_signed: Told the hash before the transaction leaves, so that it is known whatever happens next.

        Returns:
            The transaction's hash, 32 bytes.

        Raises:
            ContractError: It would revert.
            UnfundedAccountError: The account cannot pay.
        """
        sender = address(account.address)
        draft: dict[str, Any] = {"from": sender, "data": data, "value": value, "chainId": self.chain_id}
        if to is not None:
            draft["to"] = to
        gas = self._ask(lambda: self._web3.eth.estimate_gas(cast(Any, draft)), sender)
        base_fee = self._ask(lambda: self._web3.eth.get_block("latest")).get("baseFeePerGas", 0)
        if sender not in self._nonces:
            self._nonces[sender] = self._ask(lambda: self._web3.eth.get_transaction_count(cast(Any, sender), "pending"))
        del draft["from"]
        signed = account.sign_transaction(
            {
                **draft,
                "type": 2,
                "gas": max(gas, min(gas + gas // 4, TRANSACTION_GAS_CAP)),
                "maxFeePerGas": 2 * base_fee + PRIORITY_FEE,
                "maxPriorityFeePerGas": PRIORITY_FEE,
                "nonce": self._nonces[sender],
            }
        )
        if on_signed is not None:
            on_signed(bytes(signed.hash))
        try:
            self._ask(lambda: self._web3.eth.send_raw_transaction(signed.raw_transaction), sender)
        except (ChainError, KeyboardInterrupt):
            # Whether the node took it is not known: ask for the nonce again next time.
            del self._nonces[sender]
            raise
        self._nonces[sender] += 1
        return bytes(signed.hash)

    def wait(self, transaction_hash: bytes) -> Receipt:
        """Wait until a transaction is in a block.

        Raises:
            ChainError: It is in none within two minutes, or it failed.
        """
        try:
            # A local node has the receipt at once: ask before sleeping.
            receipt = self._ask(
                lambda: self._web3.eth.wait_for_transaction_receipt(
                    cast(Any, transaction_hash), timeout=RECEIPT_TIMEOUT, poll_latency=0.02
                )
            )
        except TimeExhausted as error:
            raise ChainError(
                f"transaction 0x{transaction_hash.hex()} is in no block after {RECEIPT_TIMEOUT} s",
                "run the command again later: what was sent is known",
            ) from error
        if receipt["status"] != 1:
            raise ContractError(f"transaction 0x{transaction_hash.hex()} failed", "look at it with a block explorer")
        return _receipt(receipt)

    def request(self, method: str, *parameters: Any) -> Any:
        """Ask for anything else, such as a devnet's own methods.

        Raises:
            ChainError: The node refused.
        """
        response = self._ask(lambda: self._web3.provider.make_request(cast(Any, method), list(parameters)))
        if "error" in response:
            raise ChainError(f"{method}: {response['error']}", "use a node that has this method")
        return response["result"]

    def set_next_block_time(self, timestamp: int) -> None:
        """Set a devnet's next block's time, Unix seconds; it must not fall back."""
        self.request("evm_setNextBlockTimestamp", timestamp)

    def _ask(self, question: Callable[[], T], sender: Address | None = None) -> T:
        """Ask the node, and put its failures into this package's errors; `sender` pays, if anyone does."""
        try:
            return question()
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise NodeUnreachableError(
                f"no node answers at {self.url}", "start one (`sensetrail devnet`), or give its URL with --rpc"
            ) from error
        except requests.exceptions.RequestException as error:
            raise NodeUnreachableError(f"{self.url} answers, but not as a node: {error}", "check --rpc") from error
        except (ContractCustomError, ContractLogicError) as error:
            raise contract_error(_revert_data(error.data), str(error.message)) from error
        except (BlockNotFound, TransactionNotFound, TimeExhausted):
            raise
        except Web3RPCError as error:
            message = _message(error)
            if "nsufficient funds" in message or "enough funds" in message:
                raise UnfundedAccountError(
                    f"{sender or 'the account'} cannot pay for its transaction",
                    "send it ether (on a devnet, a device: sensetrail device fund NAME)",
                ) from error
            if "nonce" in message:
                raise ChainError(
                    f"the node refused: {message}", "another command uses this account: run this one again after it"
                ) from error
            raise ChainError(f"the node refused: {message}", "check the arguments, or use another node") from error
        except (Web3Exception, ValueError, KeyError) as error:
            raise ChainError(f"the node's answer makes no sense: {error}", "use another node") from error


def _message(error: Web3RPCError) -> str:
    """Give what the node said, without the JSON around it."""
    said = (error.rpc_response or {}).get("error")
    return str(said.get("message", said)) if isinstance(said, dict) else str(error.message)


def _revert_data(data: object) -> str:
    """Give a revert's data: nodes put it at the top (Anvil) or into an object (Ganache)."""
    if isinstance(data, dict):
        data = data.get("result") or data.get("data")
    return data if isinstance(data, str) else ""


def _log(entry: Any) -> Log:
    return Log(
        int(entry["blockNumber"]),
        bytes(entry["blockHash"]),
        int(entry["transactionIndex"]),
        int(entry["logIndex"]),
        address(entry["address"]),
        tuple(bytes(topic) for topic in entry["topics"]),
        bytes(entry["data"]),
    )


def _receipt(entry: Any) -> Receipt:
    created = entry["contractAddress"]
    return Receipt(
        bytes(entry["transactionHash"]),
        int(entry["blockNumber"]),
        entry["status"] == 1,
        int(entry["gasUsed"]),
        address(created) if created else None,
        tuple(_log(log) for log in entry["logs"]),
    )


def _transaction(entry: Any) -> Transaction | None:
    if entry is None:
        return None
    try:
        return transaction_from_rpc(entry)
    except VerificationError as error:
        raise ChainError(f"the node's answer makes no sense: {error}", "use another node") from error
