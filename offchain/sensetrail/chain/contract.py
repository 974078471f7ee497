"""A contract at an address: its ABI's functions as calls and transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_account.signers.local import LocalAccount

from sensetrail.chain.answers import Receipt
from sensetrail.chain.artifact import load_artifact
from sensetrail.chain.client import Chain
from sensetrail.core.primitives import Address, keccak256
from sensetrail.errors import ChainError


def abi_type(item: dict[str, Any]) -> str:
    """Give an ABI item's type with its tuples spelt out."""
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    inner = ",".join(abi_type(component) for component in item["components"])
    return f"({inner}){item['type'][len('tuple') :]}"


class Contract:
    """One of our contracts on a chain.

    Attributes:
        chain: The node.
        address: Where it is.
        artifact: What it is.
    """

    NAME = ""

    def __init__(self, chain: Chain, where: Address) -> None:
        """Bind the contract.

        Args:
            chain: The node.
            where: Its address; that the code there is ours is for the caller to verify.
        """
        self.chain = chain
        self.address = where
        self.artifact = load_artifact(self.NAME)

    @classmethod
    def deploy(
        cls,
        chain: Chain,
        account: LocalAccount,
        admin: Address,
        admin_delay: int,
        on_signed: Callable[[bytes], None] | None = None,
    ) -> tuple[Address, int]:
        """Deploy it.

        Args:
            chain: The node.
            account: Who pays.
            admin: Who gets the admin role and, to begin with, all others.
            admin_delay: Seconds between the two steps of handing the admin role over.
            on_signed: Told the transaction's hash before it leaves.

        Returns:
            Its address and the block it stands in.
        """
        arguments = abi_encode(["uint48", "address"], [admin_delay, admin])
        receipt = chain.wait(
            chain.send(account, None, load_artifact(cls.NAME).bytecode + arguments, on_signed=on_signed)
        )
        if receipt.contract_address is None:
            raise ChainError("the deployment created no contract", "use another node")
        return receipt.contract_address, receipt.block_number

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Give a call's data."""
        item = self._function(function)
        types = [abi_type(entry) for entry in item["inputs"]]
        return keccak256(f"{function}({','.join(types)})".encode())[:4] + abi_encode(types, arguments)

    def read(self, function: str, *arguments: Any, block_number: int | str = "latest") -> Any:
        """Call a view function; give its value, or a tuple of its values."""
        types = [abi_type(entry) for entry in self._function(function)["outputs"]]
        answer = self.chain.call(self.address, self.encode(function, *arguments), block_number)
        try:
            values = abi_decode(types, answer)
        except (DecodingError, ValueError, OverflowError) as error:
            raise ChainError(
                f"{self.address} does not answer as a {self.NAME}", "check the deployment and --rpc"
            ) from error
        return values[0] if len(values) == 1 else values

    def send(
        self,
        account: LocalAccount,
        function: str,
        *arguments: Any,
        on_signed: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """Send a transaction; give its hash, which `on_signed` is told before it leaves."""
        return self.chain.send(account, self.address, self.encode(function, *arguments), on_signed=on_signed)

    def transact(self, account: LocalAccount, function: str, *arguments: Any) -> Receipt:
        """Send a transaction and wait until it is in a block."""
        return self.chain.wait(self.send(account, function, *arguments))

    def _function(self, name: str) -> dict[str, Any]:
        return next(item for item in self.artifact.abi if item["type"] == "function" and item["name"] == name)
