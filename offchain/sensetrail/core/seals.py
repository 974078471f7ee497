"""Headers of chains whose validators sign each block: what of `extraData` a block's hash leaves out.

Validators sign a block's hash, so their seals cannot be part of it. In Clique, Parlia and Bor the proposer's seal is
part of the hash, and the header hashes as any other does. In IBFT and QBFT the hash is that of a header whose
`extraData` has no seals:

    QBFT (Besu)             RLP [vanity, validators, vote, round, seals]; the hash has round 0 and no seals
    IBFT 2.0, QBFT (Quorum) the same list; the hash has vanity, validators and vote alone, or round 0 in 4 bytes too
    IBFT (Quorum)           32 bytes, then RLP [validators, proposer's seal, seals]; the hash has no seals

A header that is encoded without them hashes to the block's hash, so it proves as much as any other.
"""

from __future__ import annotations

from collections.abc import Iterator

import rlp

from sensetrail.core.strict_rlp import RlpItem, decode_rlp
from sensetrail.errors import VerificationError

_VANITY = 32
_DEPTH = 3
"""How deep the lists nest: the whole, validators or vote, and what is in them."""


def without_seals(extra_data: bytes) -> Iterator[bytes]:
    """Give what a header's `extraData` may be in its block's hash; nothing where it holds no seals in RLP.

    Args:
        extra_data: As the node gives it; from anywhere.
    """
    items = _items(extra_data)
    if items is not None and len(items) == 5 and isinstance(items[4], list):
        signed = items[:3]
        yield rlp.encode([*signed, b"", []])
        yield rlp.encode(signed)
        yield rlp.encode([*signed, bytes(4)])
    items = _items(extra_data[_VANITY:])
    if items is not None and len(items) == 3 and isinstance(items[2], list):
        yield extra_data[:_VANITY] + rlp.encode([*items[:2], []])


def _items(data: bytes) -> list[RlpItem] | None:
    try:
        items = decode_rlp(data, _DEPTH)
    except VerificationError:
        return None
    return items if isinstance(items, list) else None
