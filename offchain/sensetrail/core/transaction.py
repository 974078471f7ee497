"""Transactions' own signatures: who sent a device's `post`.

A node serves a transaction as JSON; its fields are encoded again, so that its hash and its signer are computed, not
believed. Types 0 (EIP-155), 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844) and 4 (EIP-7702).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp

from sensetrail.core.header import json_bytes, json_integer
from sensetrail.core.primitives import Address, address, address_bytes, keccak256
from sensetrail.core.signature import SECP256K1_ORDER, recover_parts
from sensetrail.core.strict_rlp import RlpItem, decode_integer, decode_rlp
from sensetrail.errors import VerificationError

_DEPTH = 4
"""How deep a transaction's lists nest: transaction, access list, entry, keys."""


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
    def encoded(self) -> bytes:
        """The signed transaction as it travels (EIP-2718)."""
        if self.type == 0:
            v = 27 + self.parity if self.chain_id is None else 35 + 2 * self.chain_id + self.parity
            return bytes(rlp.encode([*self._body(), v, self.r, self.s]))
        return bytes([self.type]) + bytes(rlp.encode([*self._body(), self.parity, self.r, self.s]))

    @property
    def hash(self) -> bytes:
        """The transaction's hash, 32 bytes."""
        return keccak256(self.encoded)

    @property
    def sender(self) -> Address | None:
        """Who signed it; None where the signature is none, or has the higher s (EIP-2)."""
        if self.s > SECP256K1_ORDER // 2:
            return None
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


def decode_transaction(data: bytes) -> Transaction:
    """Decode a signed transaction of types 0 to 4.

    Args:
        data: From anywhere.

    Returns:
        The transaction, whose `encoded` is `data`.

    Raises:
        VerificationError: It is none.
    """
    kind = data[0] if data[:1] and data[0] in (1, 2, 3, 4) else 0
    fields = decode_rlp(data[1:] if kind else data, _DEPTH)
    length = {0: 9, 1: 11, 2: 12, 3: 14, 4: 13}[kind]
    if not isinstance(fields, list) or len(fields) != length:
        raise _malformed(f"no transaction of type {kind}")
    transaction = _legacy(fields) if kind == 0 else _typed(kind, fields)
    if transaction.encoded != data:
        raise _malformed("it is not in its one encoding")
    return transaction


def transaction_from_rpc(fields: Mapping[str, Any]) -> Transaction:
    """Read a signed transaction of types 0 to 4 from a node's JSON.

    Args:
        fields: What `eth_getTransactionByHash` answers.

    Raises:
        VerificationError: It is none.
    """
    if not isinstance(fields, Mapping):
        raise _malformed("no object")

    def integer(name: str, size: int = 32) -> int:
        return json_integer(fields.get(name), name, size)

    kind = json_integer(fields.get("type", "0x0"), "type", 1)
    if kind > 4:
        raise _malformed(f"a transaction of type {kind}")
    v = json_integer(fields.get("v", fields.get("yParity")), "v", 9)
    protected = kind == 0 and v >= 35
    parity = (v - 35) % 2 if protected else v - 27 if kind == 0 else v
    to, access_list = fields.get("to"), fields.get("accessList")
    return Transaction(
        type=kind,
        chain_id=(v - 35) // 2 if protected else None if kind == 0 else integer("chainId", 8),
        nonce=integer("nonce", 8),
        fees=(integer("maxPriorityFeePerGas"), integer("maxFeePerGas")) if kind >= 2 else (integer("gasPrice"),),
        gas=integer("gas", 8),
        to=None if to is None else _address(json_bytes(to, "to")),
        value=integer("value"),
        data=json_bytes(fields.get("input"), "input"),
        access_list=[
            (json_bytes(entry.get("address"), "address"), [json_bytes(key, "key") for key in entry["storageKeys"]])
            for entry in _listed([] if access_list is None else access_list, "storageKeys")
        ],
        parity=parity,
        r=integer("r"),
        s=integer("s"),
        extra=_extra_from_rpc(kind, fields),
    )


def _extra_from_rpc(kind: int, fields: Mapping[str, Any]) -> tuple[object, ...]:
    """Give what a transaction of this type signs after its access list."""
    if kind == 3:
        hashes = fields.get("blobVersionedHashes")
        if not isinstance(hashes, list):
            raise _malformed("no list of blob hashes")
        return json_integer(fields.get("maxFeePerBlobGas"), "fee", 32), [json_bytes(each, "hash") for each in hashes]
    if kind == 4:
        names = ("nonce", "yParity", "r", "s")
        return (
            [
                [
                    json_integer(entry.get("chainId"), "chainId", 32),
                    json_bytes(entry.get("address"), "address"),
                    *(json_integer(entry.get(name), name, 32) for name in names),
                ]
                for entry in _listed(fields.get("authorizationList"), None)
            ],
        )
    return ()


def _listed(value: object, inside: str | None) -> list[Mapping[str, Any]]:
    """Give a list of objects, each of which has a list under a name."""
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise _malformed("no list of objects")
    if inside is not None and not all(isinstance(entry.get(inside), list) for entry in value):
        raise _malformed(f"an entry without {inside}")
    return value


def _legacy(fields: list[RlpItem]) -> Transaction:
    nonce, price, gas, to, value, data, v, r, s = (_string(field) for field in fields)
    recovery = decode_integer(v, 9)
    protected = recovery >= 35
    return Transaction(
        type=0,
        chain_id=(recovery - 35) // 2 if protected else None,
        nonce=decode_integer(nonce, 8),
        fees=(decode_integer(price, 32),),
        gas=decode_integer(gas, 8),
        to=_address(to),
        value=decode_integer(value, 32),
        data=data,
        access_list=(),
        parity=(recovery - 35) % 2 if protected else recovery - 27,
        r=decode_integer(r, 32),
        s=decode_integer(s, 32),
    )


def _typed(kind: int, fields: list[RlpItem]) -> Transaction:
    fee_count = 1 if kind == 1 else 2
    chain_id, nonce, *rest = fields
    fees, (gas, to, value, data, access_list, *extra) = rest[:fee_count], rest[fee_count:-3]
    parity, r, s = fields[-3:]
    return Transaction(
        type=kind,
        chain_id=decode_integer(_string(chain_id), 8),
        nonce=decode_integer(_string(nonce), 8),
        fees=tuple(decode_integer(_string(fee), 32) for fee in fees),
        gas=decode_integer(_string(gas), 8),
        to=_address(_string(to)),
        value=decode_integer(_string(value), 32),
        data=_string(data),
        # Encoded again as they are: what is wrong inside them does not hash to anything that was signed.
        access_list=access_list,  # type: ignore[arg-type]
        parity=decode_integer(_string(parity), 1),
        r=decode_integer(_string(r), 32),
        s=decode_integer(_string(s), 32),
        extra=tuple(extra),
    )


def _address(data: bytes) -> Address | None:
    if len(data) not in (0, 20):
        raise _malformed("a receiver that is no address")
    return address(data) if data else None


def _string(item: RlpItem) -> bytes:
    if isinstance(item, list):
        raise _malformed("a list where a field belongs")
    return item


def _malformed(what: str) -> VerificationError:
    return VerificationError(f"a transaction does not hold: {what}", "use another source of it")
