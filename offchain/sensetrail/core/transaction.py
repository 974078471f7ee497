"""Transactions' own signatures: who sent a device's `post`.

A node serves a transaction as JSON; its fields are encoded again, so that its hash and its signer are computed, not
believed. Types 0 (EIP-155), 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844) and 4 (EIP-7702).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import rlp

from sensetrail.core.primitives import Address, address_bytes, keccak256
from sensetrail.core.signature import recover_parts
from sensetrail.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction.

    Attributes:
        type: 0 to 4.
        chain_id: None for a type 0 transaction without replay protection.
        fees: Gas price (types 0 and 1), or priority fee and fee cap (types 2 to 4), wei.
        access_list: Pairs of address (20 bytes) and storage keys (32 bytes each).
        to: None for a creation.
        parity: Of the signature, 0 or 1.
        extra: What the type signs after the access list, as RLP takes it. Type 3: fee cap for blob gas, and the list of
            blob hashes. Type 4: the list of authorisations (chain id, address, nonce, parity, r, s).
    """

    type: int
    chain_id: int | None
    nonce: int
    fees: tuple[int, ...]
    gas: int
    to: Address | None
    value: int
    data: bytes
    access_list: Sequence[tuple[bytes, Sequence[bytes]]]
    parity: int
    r: int
    s: int
    extra: tuple[object, ...] = ()

    @property
    def hash(self) -> bytes:
        """The transaction's hash, 32 bytes."""
        if self.type == 0:
            v = 27 + self.parity if self.chain_id is None else 35 + 2 * self.chain_id + self.parity
            return keccak256(rlp.encode([*self._body(), v, self.r, self.s]))
        return keccak256(bytes([self.type]) + rlp.encode([*self._body(), self.parity, self.r, self.s]))

    @property
    def sender(self) -> Address | None:
        """Who signed it; None where the signature is none."""
        if self.type == 0:
            replay_protection = [] if self.chain_id is None else [self.chain_id, 0, 0]
            digest = keccak256(rlp.encode([*self._body(), *replay_protection]))
        else:
            digest = keccak256(bytes([self.type]) + rlp.encode(self._body()))
        return recover_parts(digest, self.r, self.s, self.parity)

    def _body(self) -> list[object]:
        to = b"" if self.to is None else address_bytes(self.to)
        common = [self.nonce, *self.fees, self.gas, to, self.value, self.data]
        if self.type == 0:
            return common
        return [self.chain_id, *common, self.access_list, *self.extra]


def verify_sender(transaction: Transaction, transaction_hash: bytes, sender: Address) -> None:
    """Verify that a transaction is the one of this hash, and that this account signed it.

    Raises:
        VerificationError: It is not.
    """
    if transaction.hash != transaction_hash:
        raise VerificationError(
            f"the node's transaction does not hash to 0x{transaction_hash.hex()}",
            "use another node",
            expected=transaction_hash,
            actual=transaction.hash,
        )
    if transaction.sender != sender:
        raise VerificationError(
            f"transaction 0x{transaction_hash.hex()} is signed by {transaction.sender}, not by {sender}",
            "the reading is not the device's: revoke what posted it",
            expected=sender,
            actual=transaction.sender,
        )
