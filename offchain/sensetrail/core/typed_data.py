"""EIP-712 signatures of batches: `Batch(uint256 header,bytes data)` in the domain ("Sensetrail", "1", chain, registry).

The domain binds a signature to one chain and one deployment; the header, to one place in one device's history.
"""

from __future__ import annotations

import coincurve
from eth_abi.abi import encode as abi_encode

from sensetrail.core.batch import Batch
from sensetrail.core.primitives import Address, address, keccak256

DOMAIN_TYPEHASH = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
BATCH_TYPEHASH = keccak256(b"Batch(uint256 header,bytes data)")
NAME_HASH = keccak256(b"Sensetrail")
VERSION_HASH = keccak256(b"1")

SECP256K1_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0

Signature = tuple[bytes, bytes]
"""EIP-2098: `r`, and `s` with the parity in its highest bit; 32 bytes each."""


def domain_separator(chain_id: int, registry: Address) -> bytes:
    """Give the domain separator (EIP-712, "Definition of domainSeparator")."""
    return keccak256(
        abi_encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, chain_id, registry],
        )
    )


def batch_digest(batch: Batch, separator: bytes) -> bytes:
    """Give the digest that the device signs (EIP-712, "Specification of the eth_signTypedData").

    Args:
        batch: The batch.
        separator: The domain separator, 32 bytes.

    Returns:
        32 bytes.
    """
    word = batch.header.pack().to_bytes(32, "big")
    struct_hash = keccak256(BATCH_TYPEHASH + word + keccak256(batch.data))
    return keccak256(b"\x19\x01" + separator + struct_hash)


def sign(digest: bytes, private_key: bytes) -> Signature:
    """Sign a digest with a secp256k1 key, deterministically (RFC 6979) and with the lower s.

    Args:
        digest: 32 bytes.
        private_key: 32 bytes.

    Returns:
        The compact signature (EIP-2098).
    """
    signature = coincurve.PrivateKey(private_key).sign_recoverable(digest, hasher=None)
    s = bytearray(signature[32:64])
    s[0] |= signature[64] << 7
    return signature[:32], bytes(s)


def recover(digest: bytes, signature: Signature) -> Address | None:
    """Recover the signer's address.

    Args:
        digest: 32 bytes.
        signature: Compact (EIP-2098).

    Returns:
        The address; None where it is no signature, or has the higher s (as the registry refuses it).
    """
    r, vs = signature
    parity, s = vs[0] >> 7, bytes([vs[0] & 0x7F]) + vs[1:]
    if int.from_bytes(s, "big") > SECP256K1_HALF_ORDER:
        return None
    return recover_parts(digest, int.from_bytes(r, "big"), int.from_bytes(s, "big"), parity)


def recover_parts(digest: bytes, r: int, s: int, parity: int) -> Address | None:
    """Recover the signer's address from a signature's three numbers; None where they are no signature."""
    if not (0 < r < 2**256 and 0 < s < 2**256 and parity in (0, 1)):
        return None
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity]), digest, hasher=None
        )
    except ValueError:
        return None
    return address(keccak256(key.format(compressed=False)[1:])[12:])
