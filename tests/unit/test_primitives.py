from __future__ import annotations

import pytest

from sensetrail.core.primitives import address, address_bytes, hex_word, keccak256
from sensetrail.errors import InputError

# The checksum examples of EIP-55.
CHECKSUMMED = ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"]


@pytest.mark.parametrize("expected", CHECKSUMMED)
def test_address_in_any_case(expected: str) -> None:
    assert address(expected.lower()) == expected
    assert address("0x" + expected[2:].upper()) == expected
    assert address(bytes.fromhex(expected[2:])) == expected
    assert address_bytes(address(expected)).hex() == expected[2:].lower()


@pytest.mark.parametrize("bad", ["", "0x", "0x12", "0x" + "g" * 40, "0x" + "1" * 41, bytes(19), bytes(32)])
def test_what_is_not_an_address(bad: str | bytes) -> None:
    with pytest.raises(InputError, match="is not an address"):
        address(bad)


def test_keccak256_is_not_sha3() -> None:
    assert hex_word(keccak256(b"")) == "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
