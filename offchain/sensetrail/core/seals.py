"""Which part of a block's extra data counts for its hash, on chains whose validators seal blocks there.

Clique, BSC and Polygon hash all of it. Chains of the Istanbul family (IBFT, IBFT 2.0, QBFT), which are known by one
value of `mixHash`, leave out what is only known after the block is hashed: the validators' seals and the round.
"""

from __future__ import annotations

import rlp

from sensetrail.core.strict_rlp import decode_rlp
from sensetrail.errors import VerificationError

ISTANBUL = b"ctical byzantine fault tolerance"
"""`mixHash` of every block of these chains."""
_VANITY = 32
"""Bytes that the proposer may choose, before what is RLP in IBFT's extra data."""
_IBFT2_ROUND = 4
"""Bytes of IBFT 2.0's round; QBFT writes it as an integer of as many bytes as it needs."""


def hashed_extra_data(extra_data: bytes) -> bytes:
    """Give what counts for the hash of an Istanbul block.

    Args:
        extra_data: As a node serves it.

    Returns:
        The extra data to hash: of QBFT `[vanity, validators, vote, 0, []]`, of IBFT 2.0 `[vanity, validators, vote]`,
        of IBFT the 32 bytes of vanity and `[validators, seal, []]`; what is none of these as it is.
    """
    try:
        items = decode_rlp(extra_data, 2)
        if isinstance(items, list) and len(items) == 5:
            is_ibft2 = isinstance(items[3], bytes) and len(items[3]) == _IBFT2_ROUND
            return bytes(rlp.encode(items[:3] if is_ibft2 else [*items[:3], b"", []]))
    except VerificationError:
        pass
    try:
        items = decode_rlp(extra_data[_VANITY:], 2)
        if isinstance(items, list) and len(items) == 3:
            return extra_data[:_VANITY] + bytes(rlp.encode([*items[:2], []]))
    except VerificationError:
        pass
    return extra_data
