"""Chains whose validators seal blocks in `extraData` are indexed and proven as any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp

from conftest import START, Site, make_site
from indexes import index, open_index, stored
from proxy import Call, Response, running_proxy
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.header import header_rlp
from sensetrail.core.primitives import hex_word, keccak256
from sensetrail.errors import ProofError

VANITY, SEAL = bytes(range(32)), b"\x5e" * 65
VALIDATORS = [bytes([n]) * 20 for n in (1, 2, 3, 4)]
MIX_HASH = "0x" + b"ctical byzantine fault tolerance".hex()
OTHER_MIX_HASH = "0x" + "7c" * 32
"""Of a header that is hashed as it is: the encoding under test must not treat it as a sealed one."""

Seals = Callable[[int], tuple[bytes, bytes]]
"""Gives a block's `extraData` by its height, and what of it is hashed."""


def clique(number: int) -> tuple[bytes, bytes]:
    validators = b"".join(VALIDATORS) if number % 5 == 0 else b""
    return (VANITY + validators + SEAL,) * 2


def qbft(number: int) -> tuple[bytes, bytes]:
    said = rlp.encode([VANITY, VALIDATORS, [], number % 3, [SEAL] * 3])
    return said, rlp.encode([VANITY, VALIDATORS, [], b"", []])


def ibft2(number: int) -> tuple[bytes, bytes]:
    said = rlp.encode([VANITY, VALIDATORS, b"", number.to_bytes(4, "big"), [SEAL] * 3])
    return said, rlp.encode([VANITY, VALIDATORS, b""])


def ibft(_: int) -> tuple[bytes, bytes]:
    said, hashed = (rlp.encode([VALIDATORS, SEAL, seals]) for seals in ([SEAL] * 3, []))
    return VANITY + said, VANITY + hashed


class Sealed:
    """Serves Anvil's blocks as such a chain would: sealed, and each with the hash of what is hashed."""

    def __init__(self, chain: Chain, seals: Seals) -> None:
        self.blocks: dict[str, dict[str, Any]] = {}
        mix_hash = OTHER_MIX_HASH if seals is clique else MIX_HASH
        parent = chain.request("eth_getBlockByNumber", "0x0", False)["hash"]
        for number in range(1, chain.latest_block().number + 1):
            said, hashed = seals(number)
            block = chain.request("eth_getBlockByNumber", hex(number), False)
            block |= {"parentHash": parent, "mixHash": mix_hash, "extraData": hex_word(said)}
            # Encoded as any header, and given its mixHash afterwards.
            encoded = header_rlp({**block, "mixHash": OTHER_MIX_HASH, "extraData": hex_word(hashed)})
            encoded = encoded.replace(bytes.fromhex(OTHER_MIX_HASH[2:]), bytes.fromhex(mix_hash[2:]))
            block["hash"] = parent = hex_word(keccak256(encoded))
            self.blocks[hex(number)] = self.newest = block

    def __call__(self, call: Call, response: Response) -> Response:
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] != "0x0":
            which = call["params"][0]
            response["result"] = self.newest if which in ("latest", "finalized") else self.blocks.get(which)
        return response


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_devnet(timestamp=START) as chain:
        made = make_site(chain)
        made.submit(*made.batch(made.measurements(3)))
        chain.request("anvil_mine", hex(5))
        yield made


@pytest.mark.parametrize("seals", [clique, qbft, ibft2, ibft])
def test_every_event_is_proven(site: Site, tmp_path: Path, seals: Seals) -> None:
    with running_proxy(site.chain.url) as proxy, open_index(site, tmp_path / "index.sqlite") as store:
        proxy.change = Sealed(site.chain, seals)
        indexed = index(site, store, proxy.url)
        assert indexed.cursor.unproven_through is None
        assert indexed.heads_proven == 1
        assert all(block.proven for block in store.blocks(2**62))
        assert len(stored(store)) > 3


def test_a_sealed_header_that_is_altered_is_a_lie(site: Site, tmp_path: Path) -> None:
    with running_proxy(site.chain.url) as proxy, open_index(site, tmp_path / "index.sqlite") as store:
        sealed = Sealed(site.chain, clique)
        sealed.blocks[hex(3)]["gasUsed"] = "0x1"
        proxy.change = sealed
        with pytest.raises(ProofError, match="hashes to 0x"):
            index(site, store, proxy.url)
