from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from sensetrail.core.primitives import Address, address
from sensetrail.core.transaction import Transaction, decode_transaction, transaction_from_rpc
from sensetrail.errors import VerificationError

KEY = keccak(text="a sender")
SENDER = address(Account.from_key(KEY).address)
TO = address("0x" + "5e" * 20)
STORAGE_KEY = b"\x07" * 32
COMMON: dict[str, Any] = {"nonce": 7, "gas": 90_000, "to": TO, "value": 5, "data": "0x" + "ab" * 100}
ACCESS_LIST = [{"address": TO, "storageKeys": ["0x" + STORAGE_KEY.hex(), "0x" + "00" * 32]}]
OUR_ACCESS_LIST = ((b"\x5e" * 20, (STORAGE_KEY, bytes(32))),)
NEW_FEES: dict[str, Any] = {"maxPriorityFeePerGas": 3, "maxFeePerGas": 10**10, "chainId": 31337}
BLOB_HASHES = (b"\x01" + b"\x2b" * 31, b"\x01" + bytes(31))
AUTHORIZATIONS = [
    Account.from_key(keccak(text=f"account {nonce}")).sign_authorization({"chainId": 0, "address": TO, "nonce": nonce})
    for nonce in (0, 300)
]

CASES: dict[str, dict[str, Any]] = {
    "type 0": {**COMMON, "gasPrice": 10**9, "chainId": 31337},
    "type 0, large chain id": {**COMMON, "gasPrice": 10**9, "chainId": 2**40},
    "type 0, no replay protection": {**COMMON, "gasPrice": 10**9},
    "type 0, creation": {**COMMON, "to": "", "gasPrice": 10**9, "chainId": 1},
    "type 0, all zero": {**COMMON, "nonce": 0, "value": 0, "data": "0x", "gasPrice": 0, "chainId": 1},
    "type 1": {**COMMON, "gasPrice": 10**9, "chainId": 31337, "accessList": ACCESS_LIST, "type": 1},
    "type 1, no access list": {**COMMON, "gasPrice": 10**9, "chainId": 31337, "accessList": [], "type": 1},
    "type 2": {**COMMON, "maxPriorityFeePerGas": 3, "maxFeePerGas": 10**10, "chainId": 31337, "type": 2},
    "type 2, access list": {
        **COMMON,
        "maxPriorityFeePerGas": 0,
        "maxFeePerGas": 10**10,
        "chainId": 1,
        "accessList": ACCESS_LIST,
        "type": 2,
    },
    "type 2, creation": {
        **COMMON,
        "to": "",
        "maxPriorityFeePerGas": 3,
        "maxFeePerGas": 10**10,
        "chainId": 1,
        "type": 2,
    },
    "type 3": {**COMMON, **NEW_FEES, "maxFeePerBlobGas": 11, "blobVersionedHashes": BLOB_HASHES, "type": 3},
    "type 3, access list": {
        **COMMON,
        **NEW_FEES,
        "accessList": ACCESS_LIST,
        "maxFeePerBlobGas": 0,
        "blobVersionedHashes": BLOB_HASHES[:1],
        "type": 3,
    },
    "type 4": {**COMMON, **NEW_FEES, "authorizationList": AUTHORIZATIONS, "type": 4},
    "type 4, access list": {
        **COMMON,
        **NEW_FEES,
        "accessList": ACCESS_LIST,
        "authorizationList": AUTHORIZATIONS[:1],
        "type": 4,
    },
}


def our_extra(fields: dict[str, Any]) -> tuple[object, ...]:
    if fields.get("type") == 3:
        return fields["maxFeePerBlobGas"], fields["blobVersionedHashes"]
    if fields.get("type") == 4:
        listed = fields["authorizationList"]
        return ([(each.chain_id, each.address, each.nonce, each.y_parity, each.r, each.s) for each in listed],)
    return ()


def signed(fields: dict[str, Any], key: bytes = KEY) -> tuple[Transaction, bytes]:
    """Sign with eth_account; give our view of it, and the hash that eth_account computes."""
    theirs = Account.sign_transaction(fields, key)
    kind = fields.get("type", 0)
    chain_id = fields.get("chainId")
    unprotected, protected = theirs.v - 27, theirs.v - 35 - 2 * (chain_id or 0)
    parity = theirs.v if kind else unprotected if chain_id is None else protected
    fees = (fields["maxPriorityFeePerGas"], fields["maxFeePerGas"]) if kind >= 2 else (fields["gasPrice"],)
    to: Address | None = fields["to"] or None
    data = bytes.fromhex(fields["data"][2:])
    access_list = OUR_ACCESS_LIST if fields.get("accessList") else ()
    transaction = Transaction(
        kind,
        chain_id,
        fields["nonce"],
        fees,
        fields["gas"],
        to,
        fields["value"],
        data,
        access_list,
        parity,
        theirs.r,
        theirs.s,
        our_extra(fields),
    )
    return transaction, bytes(theirs.hash)


@pytest.mark.parametrize("name", CASES)
def test_hash_and_sender_are_eth_accounts(name: str) -> None:
    transaction, expected_hash = signed(CASES[name])
    assert transaction.hash == expected_hash
    assert transaction.sender == SENDER


@pytest.mark.parametrize("seed", range(16))
def test_both_parities(seed: int) -> None:
    key = keccak(text=f"sender {seed}")
    for name in ("type 0", "type 1", "type 2", "type 3", "type 4"):
        transaction, expected_hash = signed(CASES[name], key)
        assert (transaction.hash, transaction.sender) == (expected_hash, address(Account.from_key(key).address))


@pytest.mark.parametrize("name", CASES)
def test_decoding_is_inverse_to_encoding(name: str) -> None:
    transaction, expected_hash = signed(CASES[name])
    decoded = decode_transaction(transaction.encoded)
    assert decoded.encoded == transaction.encoded
    assert (decoded.hash, decoded.sender) == (expected_hash, SENDER)
    for field in ("type", "chain_id", "nonce", "fees", "gas", "to", "value", "data", "parity", "r", "s"):
        assert getattr(decoded, field) == getattr(transaction, field)


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_transaction_is_refused(name: str) -> None:
    encoded = signed(CASES[name])[0].encoded
    for broken in (b"", encoded[:-1], encoded + b"\0", b"\x05" + encoded, b"\0" + encoded, encoded[1:], b"\xc0"):
        with pytest.raises(VerificationError):
            decode_transaction(broken)
    for place in range(len(encoded)):
        flipped = encoded[:place] + bytes([encoded[place] ^ 0x80]) + encoded[place + 1 :]
        try:
            decoded = decode_transaction(flipped)
        except VerificationError:
            continue
        assert decoded.sender != SENDER


@pytest.mark.parametrize(
    "edit",
    [
        {"v": None},
        {"v": "0x" + "ff" * 10},
        {"nonce": "7"},
        {"gas": None},
        {"to": "0x12"},
        {"input": "0x1"},
        {"r": 5},
        {"type": "0x7e"},
        {"accessList": {}},
        {"accessList": [{"address": TO}]},
        {"accessList": [5]},
    ],
    ids=str,
)
def test_json_that_is_no_transaction_is_refused(edit: dict[str, object]) -> None:
    honest: dict[str, object] = {
        **{"type": "0x1", "chainId": "0x1", "nonce": "0x7", "gasPrice": "0x1", "gas": "0x5208", "to": TO},
        **{"value": "0x0", "input": "0x", "accessList": [], "v": "0x1", "r": "0x1", "s": "0x2"},
    }
    assert transaction_from_rpc(honest).nonce == 7
    with pytest.raises(VerificationError):
        transaction_from_rpc({**honest, **edit})


@pytest.mark.parametrize("name", ["type 0", "type 1", "type 2", "type 3", "type 4"])
@pytest.mark.parametrize(
    "edit",
    [
        {"nonce": 8},
        {"fees": (1, 2)},
        {"gas": 90_001},
        {"to": None},
        {"to": SENDER},
        {"value": 6},
        {"data": b""},
        {"chain_id": 31338},
        {"r": 5},
        {"s": 5},
    ],
    ids=str,
)
def test_an_edited_field_changes_the_hash(name: str, edit: dict[str, Any]) -> None:
    transaction, transaction_hash = signed(CASES[name])
    edited = replace(transaction, **edit)
    assert edited.hash != transaction_hash
    # Who edits a field and its hash alike does not have the sender's signature on it.
    assert edited.sender != SENDER


def test_the_access_list_is_signed() -> None:
    transaction, transaction_hash = signed(CASES["type 1"])
    for access_list in ((), ((b"\x5e" * 20, (STORAGE_KEY,)),), ((b"\x5f" * 20, (STORAGE_KEY, bytes(32))),)):
        assert replace(transaction, access_list=access_list).hash != transaction_hash
        assert replace(transaction, access_list=access_list).sender != SENDER


@pytest.mark.parametrize("name", ["type 3", "type 4"])
def test_what_newer_types_add_is_signed(name: str) -> None:
    transaction, transaction_hash = signed(CASES[name])
    without_last = transaction.extra[-1][:-1]  # type: ignore[index]
    for extra in ((), (*transaction.extra[:-1], without_last), (*transaction.extra, 0)):
        edited = replace(transaction, extra=extra)
        assert edited.hash != transaction_hash
        assert edited.sender != SENDER


def test_a_signature_that_is_none_has_no_sender() -> None:
    transaction, _ = signed(CASES["type 2"])
    for edit in ({"r": 0}, {"s": 0}, {"r": 2**256}, {"parity": 2}, {"parity": -1}):
        assert replace(transaction, **edit).sender is None  # type: ignore[arg-type]
