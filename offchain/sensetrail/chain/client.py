"""A node, spoken to by JSON-RPC.

What it answers is the node's word: callers that verify take `Log`, `Block` and `Transaction` from here and check them.
That an answer has the shape it must have is made sure of here (`chain.answers`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from eth_account.signers.local import LocalAccount

from sensetrail.chain import answers
from sensetrail.chain.answers import Receipt
from sensetrail.chain.endpoint import Endpoint, parse_endpoint
from sensetrail.chain.reverts import contract_error
from sensetrail.chain.rpc import AnsweredWithError, Rpc
from sensetrail.core.logs import Block, Log
from sensetrail.core.primitives import Address, address, hex_word
from sensetrail.core.transaction import Transaction, transaction_from_rpc
from sensetrail.errors import (
    ChainError,
    ContractError,
    SensetrailError,
    UnfundedAccountError,
    VerificationError,
)

if TYPE_CHECKING:
    from web3 import Web3

DEVNET_CHAIN_IDS = frozenset({1337, 31337})
"""Chains whose accounts are throw-away by their nature: Ganache's and Anvil's (and Hardhat's) defaults."""
RECEIPT_TIMEOUT = 120
FIRST_LOOK, LONGEST_LOOK = 0.02, 1.0
"""Seconds between two looks for a receipt: a local node has it at once."""
PRIORITY_FEE = 10**9
TRANSACTION_GAS_CAP = 2**24
"""The most gas that a transaction may name (EIP-7825)."""

_NO_BLOCK = re.compile(r"(block|header).*not found|unknown block", re.IGNORECASE)
_INDEXING = re.compile(r"index.*progress|progress.*index", re.IGNORECASE)
_PRUNED = re.compile(
    r"missing trie node|prun|historical|archiv|"
    r"(state|block|header|receipts?|data|logs?)\b.*(not available|unavailable|not found)",
    re.IGNORECASE,
)
"""How nodes say that they no longer have what is old."""

T = TypeVar("T")


class Chain:
    """A connection to one node.

    Attributes:
        chain_id: The chain it serves.
    """

    def __init__(self, url: str | Endpoint) -> None:
        """Connect.

        Args:
            url: http(s) URL of the node's JSON-RPC.

        Raises:
            InputError: It is no such URL.
            NodeUnreachableError: No node answers there.
        """
        self._rpc = Rpc(parse_endpoint(url) if isinstance(url, str) else url)
        self._nonces: dict[Address, int] = {}
        self.chain_id = self._ask(answers.quantity, "eth_chainId")

    @property
    def endpoint(self) -> Endpoint:
        """Where the node is; its `name` is for messages."""
        return self._rpc.endpoint

    @property
    def url(self) -> str:
        """The node's whole URL, which may hold secrets: for connections, not for messages."""
        return self.endpoint.url

    @property
    def is_devnet(self) -> bool:
        """Whether this is a local throw-away chain, by its chain id."""
        return self.chain_id in DEVNET_CHAIN_IDS

    def block(self, number: int | str = "latest") -> Block | None:
        """Give a block's header; None where the chain has none at this height.

        Args:
            number: Height, or "latest".
        """

        def read(answer: object) -> Block | None:
            return None if answer is None else answers.block(answer, number if isinstance(number, int) else None)

        try:
            return self._ask(read, "eth_getBlockByNumber", _height(number), False)
        except AnsweredWithError as error:
            if _NO_BLOCK.search(error.message):
                return None
            raise

    def latest_block(self) -> Block:
        """Give the newest block's header."""
        block = self.block("latest")
        if block is None:
            raise ChainError("the node has no blocks", "use another node")
        return block

    def clock(self) -> int:
        """Give the chain's time, Unix seconds: that of the block being built where the node has one."""
        latest = self.latest_block().timestamp
        try:
            pending = self._ask(answers.timestamp, "eth_getBlockByNumber", "pending", False)
        except ChainError:
            return latest
        return max(pending, latest)

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
            addresses: The contracts; none for all.
            from_block: First height.
            to_block: Last height.
            topics: What the first topics must be; None for any.
        """
        wanted = {
            "address": list(addresses),
            "fromBlock": hex(from_block),
            "toBlock": hex(to_block),
            "topics": [None if topic is None else hex_word(topic) for topic in topics],
        }

        def read(answer: object) -> list[Log]:
            found = answers.logs(answer)
            for log in found:
                is_ours = not addresses or log.address in addresses
                is_wanted = is_ours and from_block <= log.block_number <= to_block
                if not is_wanted or not _match(log.topics, topics):
                    raise ValueError(f"a log of block {log.block_number} that was not asked for")
            return sorted(found, key=lambda log: (log.block_number, log.log_index))

        return self._ask(read, "eth_getLogs", wanted)

    def code(self, contract: Address, block_number: int | str = "latest") -> bytes:
        """Give the code at an address."""
        return self._ask(answers.data, "eth_getCode", contract, _height(block_number))

    def storage(self, contract: Address, slot: int, block_number: int | str = "latest") -> bytes:
        """Give a storage slot's 32 bytes."""
        return self._ask(answers.word, "eth_getStorageAt", contract, hex(slot), _height(block_number))

    def balance(self, account: Address) -> int:
        """Give an account's balance, wei."""
        return self._ask(_wei, "eth_getBalance", account, "latest")

    def transaction(self, transaction_hash: bytes) -> Transaction | None:
        """Give a signed transaction; None where the node has none under this hash."""
        return self._ask(_transaction, "eth_getTransactionByHash", hex_word(transaction_hash))

    def block_of(self, transaction_hash: bytes) -> int | None:
        """Give the height of the block that a transaction is in; None where the node knows of none."""

        def read(answer: object) -> int | None:
            number = None if answer is None else answers.mapping(answer, "the transaction").get("blockNumber")
            return None if number is None else answers.quantity(number, "the transaction's blockNumber", answers.UINT63)

        return self._ask(read, "eth_getTransactionByHash", hex_word(transaction_hash))

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Give a transaction's receipt; None while it is not in a block."""

        def read(answer: object) -> Receipt | None:
            return None if answer is None else answers.receipt(answer, transaction_hash)

        try:
            return self._ask(read, "eth_getTransactionReceipt", hex_word(transaction_hash))
        except AnsweredWithError as error:
            # A node that is still looking through old blocks says so; new ones it finds at once.
            if _INDEXING.search(error.message):
                return None
            raise

    def call(self, contract: Address, data: bytes, block_number: int | str = "latest") -> bytes:
        """Call a contract's function without a transaction.

        Raises:
            ContractError: It reverted.
        """
        return self._ask(answers.data, "eth_call", {"to": contract, "data": hex_word(data)}, _height(block_number))

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
        draft: dict[str, Any] = {"data": hex_word(data), "value": hex(value), "chainId": hex(self.chain_id)}
        if to is not None:
            draft["to"] = to
        gas = self._ask(answers.quantity, "eth_estimateGas", {"from": sender, **draft}, "latest", sender=sender)
        base_fee = self._ask(answers.base_fee, "eth_getBlockByNumber", "latest", False)
        if sender not in self._nonces:
            self._nonces[sender] = self._ask(answers.quantity, "eth_getTransactionCount", sender, "pending")
        fields = {
            **draft,
            "type": 2,
            "chainId": self.chain_id,
            "gas": max(gas, min(gas + gas // 4, TRANSACTION_GAS_CAP)),
            "maxFeePerGas": 2 * base_fee + PRIORITY_FEE,
            "maxPriorityFeePerGas": PRIORITY_FEE,
            "nonce": self._nonces[sender],
        }
        signed = account.sign_transaction(fields)
        transaction_hash = bytes(signed.hash)
        if on_signed is not None:
            on_signed(transaction_hash)

        def read(answer: object) -> None:
            if answers.data(answer, "the hash", 32) != transaction_hash:
                raise ValueError("the hash is not the transaction's")

        try:
            self._ask(read, "eth_sendRawTransaction", hex_word(bytes(signed.raw_transaction)), sender=sender)
        except (ChainError, KeyboardInterrupt):
            # Whether the node took it is not known: ask for the nonce again next time.
            del self._nonces[sender]
            raise
        self._nonces[sender] += 1
        return transaction_hash

    def wait(self, transaction_hash: bytes) -> Receipt:
        """Wait until a transaction is in a block.

        Raises:
            ChainError: It is in none within two minutes, or it failed.
        """
        pause, deadline = FIRST_LOOK, time.monotonic() + RECEIPT_TIMEOUT
        while (receipt := self.receipt(transaction_hash)) is None:
            if time.monotonic() + pause > deadline:
                raise self._overdue(transaction_hash)
            time.sleep(pause)
            pause = min(1.2 * pause, LONGEST_LOOK)
        if not receipt.succeeded:
            raise ContractError(f"transaction 0x{transaction_hash.hex()} failed", "look at it with a block explorer")
        return receipt

    def _overdue(self, transaction_hash: bytes) -> ChainError:
        number, name = self.block_of(transaction_hash), hex_word(transaction_hash)
        if number is not None:
            return ChainError(
                f"{self.endpoint.name} has transaction {name} in block {number}, but not its receipt",
                "run the command again with a node that gives receipts: what was sent is known",
            )
        return ChainError(
            f"transaction {name} is in no block after {RECEIPT_TIMEOUT} s",
            "run the command again later: what was sent is known",
        )

    def request(self, method: str, *parameters: Any) -> Any:
        """Ask for anything else, such as a devnet's own methods; give what the node answers, unread.

        Raises:
            ChainError: The node refused.
        """
        try:
            return self._rpc.ask(method, *parameters)
        except AnsweredWithError as error:
            raise ChainError(f"{method}: {error.message}", "use a node that has this method") from error

    def set_next_block_time(self, timestamp: int) -> None:
        """Set a devnet's next block's time, Unix seconds; it must not fall back."""
        self.request("evm_setNextBlockTimestamp", timestamp)

    def web3(self) -> Web3:
        """Give web3.py at this node, for what is not offered here: over the same kind of connection, with its limits.

        Example:
            >>> Chain("http://127.0.0.1:8545").web3().eth.gas_price  # doctest: +SKIP
            1000000000
        """
        # Not before it is needed: web3.py takes most of a second to load.
        from sensetrail.chain.provider import open_web3

        return open_web3(self.endpoint)

    def close(self) -> None:
        """Hang up."""
        self._rpc.close()

    def _ask(self, read: Callable[[Any], T], method: str, *parameters: object, sender: Address | None = None) -> T:
        """Ask the node, and read its answer; `sender` pays, if anyone does.

        Raises:
            ChainError: The node refuses, or its answer has not the shape that it must have.
        """
        try:
            answer = self._rpc.ask(method, *parameters)
        except AnsweredWithError as error:
            raise _refusal(error, method, sender) from None
        try:
            return read(answer)
        except ValueError as error:
            raise ChainError(f"the node's answer to {method} makes no sense: {error}", "use another node") from error


def _refusal(error: AnsweredWithError, method: str, sender: Address | None) -> SensetrailError:
    """Say what a node's error means to the user."""
    message = error.message
    if "nsufficient funds" in message or "enough funds" in message:
        return UnfundedAccountError(
            f"{sender or 'the account'} cannot pay for its transaction",
            "send it ether (on a devnet, a device: sensetrail device fund NAME)",
        )
    data = _revert_data(error.data)
    if method in ("eth_call", "eth_estimateGas", "eth_sendRawTransaction") and (
        error.code == 3 or data or "revert" in message.lower()
    ):
        return contract_error(data, message)
    if sender is not None and "nonce" in message.lower():
        return ChainError(
            f"the node refused: {message}", "another command uses this account: run this one again after it"
        )
    if sender is None and _PRUNED.search(message) and not _NO_BLOCK.search(message):
        return ChainError(
            f"the node no longer has what was asked for ({message})", "use a node that keeps the whole history"
        )
    return error


def _revert_data(data: object) -> str:
    """Give a revert's data: nodes put it at the top (Anvil) or into an object (Hardhat, Ganache)."""
    if isinstance(data, dict):
        data = data.get("result") or data.get("data")
    return data if isinstance(data, str) and data.startswith("0x") else ""


def _height(number: int | str) -> str:
    return hex(number) if isinstance(number, int) else number


def _match(found: Sequence[bytes], wanted: Sequence[bytes | None]) -> bool:
    """Tell whether a log's topics begin with those that were asked for."""
    return len(found) >= len(wanted) and all(
        topic is None or topic == other for topic, other in zip(wanted, found, strict=False)
    )


def _wei(answer: object) -> int:
    return answers.quantity(answer, "the balance", answers.UINT256)


def _transaction(answer: Any) -> Transaction | None:
    if answer is None:
        return None
    try:
        return transaction_from_rpc(answer)
    except VerificationError as error:
        raise ValueError(error.what) from error
