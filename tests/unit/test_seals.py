"""Headers of proof-of-authority chains: longer extra data than Ethereum's, and not always all of it hashed."""

from __future__ import annotations

from typing import Any

import pytest
import rlp

from sensetrail.core.header import header_from_rpc, header_rlp, parse_header
from sensetrail.core.primitives import keccak256
from sensetrail.core.seals import ISTANBUL, hashed_extra_data
from unit.test_header import GENESIS, plainly

EMPTY_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
EMPTY_TRIE = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
GENESIS_OF_CLIQUE: dict[str, Any] = {
    "parentHash": "0x" + "00" * 32,
    "sha3Uncles": EMPTY_UNCLES,
    "miner": "0x" + "00" * 20,
    "transactionsRoot": EMPTY_TRIE,
    "receiptsRoot": EMPTY_TRIE,
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x1",
    "number": "0x0",
    "gasUsed": "0x0",
    "mixHash": "0x" + "00" * 32,
    "nonce": "0x0000000000000000",
}
GOERLI = {
    **GENESIS_OF_CLIQUE,
    "stateRoot": "0x5d6cded585e73c4e322c30c2f782a336316f17dd85a4863b9d838d2d4b8b3008",
    "gasLimit": "0xa00000",
    "timestamp": "0x5c51a607",
    "extraData": "0x22466c6578692069732061207468696e6722202d204166726900000000000000"
    "e0a2bd4258d2768837baa26a28fe71dc079f84c7" + "00" * 65,
}
RINKEBY = {
    **GENESIS_OF_CLIQUE,
    "stateRoot": "0x53580584816f617295ea26c0e17641e0120cab2f0a8ffb53a866fd53aa8e8c2d",
    "gasLimit": "0x47b760",
    "timestamp": "0x58ee40ba",
    "extraData": "0x52657370656374206d7920617574686f7269746168207e452e436172746d616e"
    "42eb768f2244c8811c63729a21a3569731535f067ffc57839b00206d1ad20c69a1981b489f772031b279182d99e65703f0076e4812653aab85fca0f0"
    + "00"
    * 65,
}
VANITY, SIGNERS, SEAL = bytes(range(32)), [b"\x01" * 20, b"\x02" * 20], b"\x03" * 65
VOTE = [b"\x04" * 20, b"\xff"]


@pytest.mark.parametrize(
    ("block", "its_hash"),
    [
        (GOERLI, "bf7e331f7f7c1dd2e05159666b3bf8bc7a8a3a9eb1d518969eab529dd9b88c1a"),
        (RINKEBY, "6341fd3daf94b748c72ced5a5b26028f2474f5f00d824504e4fa37a75767e177"),
    ],
    ids=["Görli", "Rinkeby"],
)
def test_headers_of_public_clique_chains_hash_to_what_these_chains_said(block: dict[str, Any], its_hash: str) -> None:
    assert header_from_rpc(block).hash.hex() == its_hash
    assert parse_header(header_rlp(block)).hash.hex() == its_hash


@pytest.mark.parametrize("vote", [[], VOTE])
@pytest.mark.parametrize("round_number", [b"", b"\x07", b"\x01\x02"])
def test_qbft_hashes_neither_seals_nor_round(vote: list[bytes], round_number: bytes) -> None:
    served = rlp.encode([VANITY, SIGNERS, vote, round_number, [SEAL, SEAL]])
    assert hashed_extra_data(served) == rlp.encode([VANITY, SIGNERS, vote, b"", []])


@pytest.mark.parametrize("vote", [b"", VOTE])
def test_ibft_2_leaves_both_out(vote: object) -> None:
    served = rlp.encode([VANITY, SIGNERS, vote, b"\0\0\0\x01", [SEAL]])
    assert hashed_extra_data(served) == rlp.encode([VANITY, SIGNERS, vote])


def test_ibft_keeps_the_proposer_s_seal_and_no_other() -> None:
    served = VANITY + rlp.encode([SIGNERS, SEAL, [SEAL, SEAL]])
    assert hashed_extra_data(served) == VANITY + rlp.encode([SIGNERS, SEAL, []])


@pytest.mark.parametrize(
    "other",
    [b"", b"\xc0", VANITY, VANITY + b"\xff" * 65, rlp.encode([VANITY]), b"\xf8", VANITY + rlp.encode([SIGNERS])],
)
def test_other_extra_data_is_hashed_as_it_is(other: bytes) -> None:
    assert hashed_extra_data(other) == other


def test_a_block_of_the_istanbul_family_hashes_without_its_seals() -> None:
    served, hashed = (rlp.encode([VANITY, SIGNERS, [], n, seals]) for n, seals in ((b"\x01", [SEAL]), (b"", [])))
    block = {**GENESIS, "mixHash": "0x" + ISTANBUL.hex(), "extraData": "0x" + served.hex()}
    without = plainly({**block, "extraData": "0x" + hashed.hex()})
    assert header_from_rpc(block).hash == keccak256(without)
    assert header_rlp(block) == without
    # Any other mixHash, and all of it counts.
    other = {**block, "mixHash": "0x" + "00" * 32}
    assert header_from_rpc(other).hash == keccak256(plainly(other))
