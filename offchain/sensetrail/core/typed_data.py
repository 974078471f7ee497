"""What a device signs of a batch: EIP-712 typed data, in the domain ("Sensetrail", "1", chain, registry).

The domain binds a signature to one chain and one deployment; the header, to one place in one device's history.
"""

from __future__ import annotations

from eth_abi.abi import encode as abi_encode

from sensetrail.core.batch import Batch
from sensetrail.core.primitives import Address, keccak256

DOMAIN_TYPEHASH = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
BATCH_TYPEHASH = keccak256(b"Batch(uint256 header,bytes data)")
NAME_HASH = keccak256(b"Sensetrail")
VERSION_HASH = keccak256(b"1")


def domain_separator(chain_id: int, registry: Address) -> bytes:
    """Give the domain separator (EIP-712, "Definition of domainSeparator")."""
    return keccak256(
        abi_encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, chain_id, registry],
        )
    )


def struct_hash(batch: Batch) -> bytes:
    """Give the struct's hash (EIP-712, "Definition of hashStruct"), 32 bytes."""
    return keccak256(BATCH_TYPEHASH + batch.header.pack().to_bytes(32, "big") + keccak256(batch.data))


def batch_digest(batch: Batch, separator: bytes) -> bytes:
    """Give the digest that the device signs (EIP-712, "Specification of the eth_signTypedData").

    Args:
        batch: The batch.
        separator: The domain separator, 32 bytes.

    Returns:
        32 bytes.
    """
    return keccak256(b"\x19\x01" + separator + struct_hash(batch))
