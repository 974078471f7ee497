from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from eth_account import Account
from eth_utils.crypto import keccak

from sensetrail.core.primitives import Address, address
from sensetrail.core.signature import (
    P256_ORDER,
    SECP256K1_ORDER,
    DeviceKey,
    P256Key,
    Secp256k1Key,
    verify,
)

DIGEST = keccak(text="digest")
SECRETS = [keccak(text=f"key {number}") for number in range(8)]
ORDERS = {Secp256k1Key: SECP256K1_ORDER, P256Key: P256_ORDER}
KINDS = [Secp256k1Key, P256Key]
NOBODY = Address("0x" + "00" * 20)


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_key_signs_is_its_own_and_nobody_else_s(kind: type[DeviceKey], secret: bytes) -> None:
    key: DeviceKey = kind(secret)  # type: ignore[call-arg]
    signature = key.sign(DIGEST)
    assert signature == key.sign(DIGEST)
    assert len(signature) == (64 if kind is Secp256k1Key else 128)
    assert number(signature[32:64]) & (2**255 - 1) <= ORDERS[kind] // 2
    assert verify(DIGEST, signature, key.address)
    assert not verify(keccak(DIGEST), signature, key.address)
    assert not verify(DIGEST, signature, NOBODY)
    for bit in range(0, 8 * len(signature), 37):
        altered = (number(signature) ^ 1 << bit).to_bytes(len(signature), "big")
        assert not verify(DIGEST, altered, key.address)


def test_ids_are_the_last_20_bytes_of_the_public_key_s_hash() -> None:
    secret = SECRETS[0]
    assert Secp256k1Key(secret).address == Account.from_key(secret).address
    numbers = ec.derive_private_key(number(secret), ec.SECP256R1()).public_key().public_numbers()
    public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    assert P256Key(secret).address == address(keccak(public)[12:])
    assert P256Key(secret).public_key == public


def test_a_key_shows_its_id_and_not_its_secret() -> None:
    for kind in KINDS:
        assert SECRETS[0].hex() not in repr(kind(SECRETS[0]))
        assert repr(SECRETS[0]) not in repr(kind(SECRETS[0]))


def test_the_higher_s_is_no_signature() -> None:
    secp = Secp256k1Key(SECRETS[0])
    signature = secp.sign(DIGEST)
    # The only higher s that the compact form can hold: above half the order, below 2^255.
    for s in (SECP256K1_ORDER // 2 + 1, 2**255 - 1):
        assert not verify(DIGEST, signature[:32] + s.to_bytes(32, "big"), secp.address)
    key = P256Key(SECRETS[0])
    signature = key.sign(DIGEST)
    high = (P256_ORDER - number(signature[32:64])).to_bytes(32, "big")
    assert not verify(DIGEST, signature[:32] + high + signature[64:], key.address)


@pytest.mark.parametrize("r", [0, 5, SECP256K1_ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, 2**255, 2**256 - 1])
def test_what_is_no_signature_is_nobody_s(r: int, s: int) -> None:
    # 5 is the x of no point on secp256k1.
    assert not verify(DIGEST, r.to_bytes(32, "big") + s.to_bytes(32, "big"), NOBODY)
    key = P256Key(SECRETS[0])
    assert not verify(DIGEST, r.to_bytes(32, "big") + s.to_bytes(32, "big") + key.public_key, key.address)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 127, 129, 192])
def test_other_lengths_are_no_signature(length: int) -> None:
    key = Secp256k1Key(SECRETS[0])
    assert not verify(DIGEST, (key.sign(DIGEST) * 3)[:length], key.address)


def test_a_public_key_that_is_no_point_is_nobody_s() -> None:
    public = bytes(31) + b"\x05" + bytes(31) + b"\x07"
    signature = P256Key(SECRETS[0]).sign(DIGEST)[:64] + public
    assert not verify(DIGEST, signature, address(keccak(public)[12:]))
