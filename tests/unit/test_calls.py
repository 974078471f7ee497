"""Calls are decoded as Solidity decodes them; tests/e2e/test_decode.py holds that against the contract itself."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from eth_abi.abi import encode as abi_encode

from sensetrail.core.batch import Header
from sensetrail.core.calls import FUNCTIONS, MAX_PAYLOAD_BYTES, Post, Submission, decode_call
from sensetrail.core.primitives import address, keccak256
from sensetrail.errors import VerificationError
from story import word
from unit.test_events import abi_type

HEADER = Header(address("0x" + "11" * 20), 1000, 30, 5, 2, 2)
PAYLOAD = bytes(range(72))
SELECTORS = {signature.partition("(")[0]: selector for selector, signature in FUNCTIONS.items()}
POST = SELECTORS["post"] + abi_encode(["uint24", "uint32", "int16", "uint16"], [2**24 - 1, 2**32 - 1, -5, 2**16 - 1])
BATCH = SELECTORS["submitBatch"] + abi_encode(["uint256", "bytes"], [HEADER.pack(), PAYLOAD])
BATCHES = SELECTORS["submitBatches"] + abi_encode(
    ["(uint256,bytes)[]"], [[(HEADER.pack(), PAYLOAD), (2**256 - 1, b""), (HEADER.pack(), b"\xff")]]
)


def put(data: bytes, place: int, value: int) -> bytes:
    """Write a word into a call's arguments."""
    return data[: 4 + place] + word(value % 2**256) + data[4 + place + 32 :]


def test_the_functions_are_the_contract_s() -> None:
    artifact = json.loads(resources.files("sensetrail.chain").joinpath("artifacts/SensorRegistry.json").read_text())
    signatures = {
        f"{item['name']}({','.join(abi_type(field) for field in item['inputs'])})"
        for item in artifact["abi"]
        if item["type"] == "function"
    }
    assert set(FUNCTIONS.values()) < signatures
    bring_readings = {signature for signature in signatures if signature.startswith(("post", "submit"))}
    assert bring_readings == set(FUNCTIONS.values())


def test_what_an_encoder_writes() -> None:
    posted, batch, batches = (decode_call(data) for data in (POST, BATCH, BATCHES))
    assert posted is not None
    assert posted.sent == (Post(2**24 - 1, 2**32 - 1, -5, 2**16 - 1),)
    assert batch is not None
    assert batch.sent == (Submission(HEADER, PAYLOAD),)
    assert batches is not None
    assert [(each.header.pack(), each.payload) for each in batches.sent if isinstance(each, Submission)] == [
        (HEADER.pack(), PAYLOAD),
        (2**256 - 1, b""),
        (HEADER.pack(), b"\xff"),
    ]
    assert posted.is_canonical
    assert batch.is_canonical
    assert batches.is_canonical
    empty = decode_call(SELECTORS["submitBatches"] + abi_encode(["(uint256,bytes)[]"], [[]]))
    assert empty is not None
    assert (empty.sent, empty.is_canonical) == ((), True)


@pytest.mark.parametrize("data", [b"", b"\x00", POST[:3], keccak256(b"registerDevice(address,uint8,bytes32)")[:4]])
def test_other_calls_are_none_of_these(data: bytes) -> None:
    assert decode_call(data) is None


@pytest.mark.parametrize("data", [POST, BATCH, BATCHES], ids=["post", "submitBatch", "submitBatches"])
def test_every_truncation_is_refused_or_only_lacks_padding(data: bytes) -> None:
    """An encoder pads the last payload with zeros, which the contract does not miss."""
    whole = decode_call(data)
    assert whole is not None
    padding = {POST: 0, BATCH: -len(PAYLOAD) % 32, BATCHES: 31}[data]
    for length in range(4, len(data)):
        if length < len(data) - padding:
            with pytest.raises(VerificationError, match="reverts"):
                decode_call(data[:length])
        else:
            cut = decode_call(data[:length])
            assert cut is not None
            assert (cut.sent, cut.is_canonical) == (whole.sent, False)


def test_a_length_that_is_cut_is_none() -> None:
    """All but its last byte: where it is 0, nothing else would be missing."""
    for data in (
        SELECTORS["submitBatch"] + abi_encode(["uint256", "bytes"], [5, b""]),
        SELECTORS["submitBatches"] + abi_encode(["(uint256,bytes)[]"], [[]]),
        SELECTORS["submitBatches"] + abi_encode(["(uint256,bytes)[]"], [[(5, b"")]]),
    ):
        assert decode_call(data) is not None
        with pytest.raises(VerificationError, match="reverts"):
            decode_call(data[:-1])


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 2**24), (32, 2**32), (64, 2**15), (64, -(2**15) - 1), (96, 2**16), (96, -1), (0, 2**255)],
)
def test_an_argument_beyond_its_type_is_refused(place: int, value: int) -> None:
    with pytest.raises(VerificationError, match="beyond its type"):
        decode_call(put(POST, place, value))


@pytest.mark.parametrize("value", [2**64 - 1, 2**64, 2**255, 2**256 - 1, len(BATCH), len(BATCH) - 4 - 31])
def test_a_pointer_or_length_out_of_the_data_is_refused(value: int) -> None:
    for data, places in ((BATCH, (32, 64)), (BATCHES, (0, 32))):
        for place in places:
            with pytest.raises(VerificationError, match="reverts"):
                decode_call(put(data, place, value + (len(data) - len(BATCH) if value == len(BATCH) else 0)))


def test_bytes_behind_and_between_are_passed_over_and_told() -> None:
    for data in (POST, BATCH, BATCHES):
        whole, longer = decode_call(data), decode_call(data + b"junk")
        assert whole is not None
        assert longer is not None
        assert (longer.sent, longer.is_canonical) == (whole.sent, False)
    apart = BATCH[:4] + word(HEADER.pack()) + word(96) + b"junk" * 8 + BATCH[68:]
    found = decode_call(apart)
    assert found is not None
    assert (found.sent, found.is_canonical) == ((Submission(HEADER, PAYLOAD),), False)


def test_pointers_may_lead_back_and_to_the_same_batch() -> None:
    # Three structs, all pointing to the first; and a struct whose payload is the array's own length word, 3.
    shared = BATCHES
    for i in range(3):
        shared = put(shared, 64 + 32 * i, 96)
    found = decode_call(shared)
    assert found is not None
    assert (found.sent, found.is_canonical) == ((Submission(HEADER, PAYLOAD),) * 3, False)
    struct = 64 + 96
    back = put(BATCHES, struct + 32, 32 - struct)
    found = decode_call(back)
    assert found is not None
    assert found.sent[0] == Submission(HEADER, back[4 + 64 : 4 + 67])


def test_the_same_bytes_again_and_again_do_not_fill_the_memory() -> None:
    size = 2**16
    count = MAX_PAYLOAD_BYTES // size
    for extra, fits in ((0, True), (1, False)):
        structs = word(32) + word(count + extra) + word(32 * (count + extra)) * (count + extra)
        data = SELECTORS["submitBatches"] + structs + word(HEADER.pack()) + word(64) + word(size) + bytes(size)
        if fits:
            assert decode_call(data) is not None
        else:
            with pytest.raises(VerificationError, match="same bytes"):
                decode_call(data)
