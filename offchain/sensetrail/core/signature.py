"""Devices' keys and signatures, on two curves: secp256k1 (Ethereum's own) and P-256 (secure elements, TPMs, phones).

A device's id is `keccak256(x || y)[12:]` of its public key, on either curve. A signature says which by its length:

    secp256k1   64 bytes   r, s with the parity of R's y in its highest bit (EIP-2098): the key is recovered from it
    P-256      128 bytes   r, s, and the public key's x, y

Of the two values of s that are valid, only the lower one is taken, here as by the registry: a signature has one form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import coincurve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from sensetrail.core.primitives import Address, address, keccak256

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SECP256K1_LENGTH = 64
P256_LENGTH = 128

# "SHA256" only says how long the digest is: it is signed as it comes.
_DIGEST = Prehashed(SHA256())


class DeviceKey(Protocol):
    """A device's private key, of whatever kind."""

    @property
    def secret(self) -> bytes:
        """The private key, 32 bytes."""

    @property
    def address(self) -> Address:
        """The device's id."""

    def sign(self, digest: bytes) -> bytes:
        """Sign a digest of 32 bytes; give the signature as the registry takes it."""


@dataclass(frozen=True)
class Secp256k1Key:
    """A secp256k1 key; signs deterministically (RFC 6979).

    Attributes:
        secret: 32 bytes.
    """

    secret: bytes

    def __repr__(self) -> str:
        return f"Secp256k1Key({self.address})"

    @cached_property
    def address(self) -> Address:
        """The device's id: its Ethereum address."""
        return _id(coincurve.PublicKey.from_secret(self.secret).format(compressed=False)[1:])

    def sign(self, digest: bytes) -> bytes:
        """Sign a digest of 32 bytes: 64 bytes (EIP-2098)."""
        signature = coincurve.PrivateKey(self.secret).sign_recoverable(digest, hasher=None)
        return signature[:32] + bytes([signature[32] | signature[64] << 7]) + signature[33:64]


@dataclass(frozen=True)
class P256Key:
    """A P-256 key; signs deterministically (RFC 6979).

    Attributes:
        secret: 32 bytes.
    """

    secret: bytes

    def __repr__(self) -> str:
        return f"P256Key({self.address})"

    @cached_property
    def address(self) -> Address:
        """The device's id."""
        return _id(self.public_key)

    @cached_property
    def public_key(self) -> bytes:
        """The public key's x and y, 64 bytes."""
        numbers = self._key.public_key().public_numbers()
        return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    def sign(self, digest: bytes) -> bytes:
        """Sign a digest of 32 bytes: 128 bytes, the public key among them."""
        r, s = decode_dss_signature(self._key.sign(digest, ec.ECDSA(_DIGEST, deterministic_signing=True)))
        s = min(s, P256_ORDER - s)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big") + self.public_key

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(self.secret, "big"), ec.SECP256R1())


def verify(digest: bytes, signature: bytes, device: Address) -> bool:
    """Tell whether a signature is the device's, as the registry does.

    Args:
        digest: 32 bytes.
        signature: From anywhere.
        device: The device's id.

    Returns:
        Whether it is; False for what is no signature, and for one with the higher s.
    """
    if len(signature) == SECP256K1_LENGTH:
        return _recover(digest, signature) == device
    if len(signature) == P256_LENGTH:
        return _id(signature[64:]) == device and _verify_p256(digest, signature)
    return False


def recover_parts(digest: bytes, r: int, s: int, parity: int) -> Address | None:
    """Recover the signer's address from a secp256k1 signature's numbers; None where they are no signature."""
    if not (0 < r < 2**256 and 0 < s < 2**256 and parity in (0, 1)):
        return None
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity]), digest, hasher=None
        )
    except ValueError:
        return None
    return _id(key.format(compressed=False)[1:])


def _recover(digest: bytes, signature: bytes) -> Address | None:
    r, vs = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    s = vs & (1 << 255) - 1
    return None if s > SECP256K1_ORDER // 2 else recover_parts(digest, r, s, vs >> 255)


def _verify_p256(digest: bytes, signature: bytes) -> bool:
    r, s, x, y = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32, 64, 96))
    if not (0 < r < P256_ORDER and 0 < s <= P256_ORDER // 2):
        return False
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(_DIGEST))
    except (ValueError, InvalidSignature):
        return False
    return True


def _id(public_key: bytes) -> Address:
    return address(keccak256(public_key)[12:])
