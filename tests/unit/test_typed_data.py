from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from sensetrail.core.batch import Batch, Header
from sensetrail.core.primitives import address
from sensetrail.core.signature import Secp256k1Key, verify
from sensetrail.core.typed_data import batch_digest, domain_separator

REGISTRY = address("0x" + "5e" * 20)
KEYS = [keccak(text=f"key {number}") for number in range(8)]


def batch_of(key: bytes) -> Batch:
    return Batch(Header(address(Account.from_key(key).address), 5, 30, 0, 2, 2), bytes(range(8)))


def as_typed_data(batch: Batch, chain_id: int) -> SignableMessage:
    domain = {"name": "Sensetrail", "version": "1", "chainId": chain_id, "verifyingContract": REGISTRY}
    types = {"Batch": [{"name": "header", "type": "uint256"}, {"name": "data", "type": "bytes"}]}
    return encode_typed_data(domain, types, {"header": batch.header.pack(), "data": batch.data})


@pytest.mark.parametrize("chain_id", [1, 31337, 2**64])
@pytest.mark.parametrize("key", KEYS)
def test_digest_and_signature_are_eth_accounts(key: bytes, chain_id: int) -> None:
    batch = batch_of(key)
    message = as_typed_data(batch, chain_id)
    separator = domain_separator(chain_id, REGISTRY)
    digest = batch_digest(batch, separator)
    assert separator == message.header
    assert digest == keccak(b"\x19" + message.version + message.header + message.body)

    signature = Secp256k1Key(key).sign(digest)
    theirs = Account.sign_message(message, key)
    assert int.from_bytes(signature[:32], "big") == theirs.r
    assert int.from_bytes(signature[32:], "big") == theirs.s | (theirs.v - 27) << 255
    assert verify(digest, signature, batch.header.device)


def test_a_signature_holds_on_one_chain_and_one_deployment() -> None:
    batch = batch_of(KEYS[0])
    signature = Secp256k1Key(KEYS[0]).sign(batch_digest(batch, domain_separator(1, REGISTRY)))
    for separator in (domain_separator(2, REGISTRY), domain_separator(1, address(bytes(20)))):
        assert not verify(batch_digest(batch, separator), signature, batch.header.device)
