"""keccak256, addresses and 32-byte words: the few primitives that everything else is made of."""

from __future__ import annotations

from functools import lru_cache
from typing import NewType

import sha3
from eth_utils.address import to_checksum_address

from sensetrail.errors import InputError

Address = NewType("Address", str)
"""An account, contract or device: EIP-55 checksummed hexadecimal."""

ZERO_WORD = bytes(32)


def keccak256(data: bytes) -> bytes:
    """Hash with Ethereum's keccak256.

    Args:
        data: Any bytes.

    Returns:
        32 bytes.
    """
    return bytes(sha3.keccak_256(data).digest())


def address(value: str | bytes) -> Address:
    """Take an address from its 20 bytes or its hexadecimal.

    Args:
        value: 20 bytes, or hexadecimal in any case.

    Returns:
        The checksummed address (EIP-55).

    Raises:
        InputError: It is not an address.
    """
    try:
        return _checksummed(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{value!r} is not an address", "give 0x and 40 hexadecimal digits") from error


@lru_cache(maxsize=1 << 14)
def _checksummed(value: str | bytes) -> Address:
    """An index names few addresses very often."""
    return Address(str(to_checksum_address(value)))


def address_bytes(value: Address) -> bytes:
    """Give an address's 20 bytes."""
    return bytes.fromhex(value[2:])


def hex_word(value: bytes) -> str:
    """Write bytes as 0x hexadecimal."""
    return "0x" + value.hex()
