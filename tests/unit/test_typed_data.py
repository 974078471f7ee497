from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from sensetrail.core.batch import Batch, Header
from sensetrail.core.primitives import address
from sensetrail.core.typed_data import SECP256K1_HALF_ORDER, batch_digest, domain_separator, recover, sign

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
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

    r, vs = sign(digest, key)
    theirs = Account.sign_message(message, key)
    assert int.from_bytes(r, "big") == theirs.r
    assert int.from_bytes(vs, "big") == theirs.s | (theirs.v - 27) << 255
    assert recover(digest, (r, vs)) == batch.header.device


def test_a_signature_holds_on_one_chain_and_one_deployment() -> None:
    batch = batch_of(KEYS[0])
    signature = sign(batch_digest(batch, domain_separator(1, REGISTRY)), KEYS[0])
    for separator in (domain_separator(2, REGISTRY), domain_separator(1, address(bytes(20)))):
        assert recover(batch_digest(batch, separator), signature) != batch.header.device


def test_the_higher_s_is_no_signature() -> None:
    digest = keccak(text="digest")
    # The only higher s that the compact form can hold: above half the order, below 2^255.
    for s in (SECP256K1_HALF_ORDER + 1, 2**255 - 1):
        assert recover(digest, (sign(digest, KEYS[0])[0], s.to_bytes(32, "big"))) is None
    assert recover(digest, (sign(digest, KEYS[0])[0], SECP256K1_HALF_ORDER.to_bytes(32, "big"))) is not None


@pytest.mark.parametrize("r", [0, 5, ORDER, 2**256 - 1])
def test_what_is_no_signature_has_no_signer(r: int) -> None:
    # 5 is the x of no point on the curve.
    assert recover(keccak(text="digest"), (r.to_bytes(32, "big"), (1).to_bytes(32, "big"))) is None


def test_s_of_zero_has_no_signer() -> None:
    digest = keccak(text="digest")
    assert recover(digest, (sign(digest, KEYS[0])[0], bytes(32))) is None
    assert recover(digest, (sign(digest, KEYS[0])[0], b"\x80" + bytes(31))) is None
