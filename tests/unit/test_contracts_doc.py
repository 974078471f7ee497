"""docs/contracts.md says what is so: its worked example computed again, its tables held against code and artifact.

`tests/e2e/test_decode.py` sends the example to a real registry and finds the same event and the same storage.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

import contracts_example as example
from sensetrail.chain.artifact import SENSOR_REGISTRY, load_artifact
from sensetrail.core.batch import MAX_COUNT, MAX_GAP, Format, Header, encode
from sensetrail.core.events import Accepted, Rejection, decode_log
from sensetrail.core.explain import HEADER_FIELDS, header_pieces
from sensetrail.core.primitives import address, hex_word
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR, DeviceState, Verdict, judge
from sensetrail.core.signature import Secp256k1Key
from sensetrail.core.typed_data import batch_digest, domain_separator
from story import BATCH_ACCEPTED, log_of

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/contracts.md").read_text()
SHOWN = dict(re.findall(r"<!-- example: (\w+) -->\n```\n(.*?)```", DOCUMENT, re.DOTALL))
DEVICE, REGISTRY = address(example.DEVICE), address(example.REGISTRY)


def table(first_cell: str) -> list[list[str]]:
    """Give the rows of the table whose heading begins with this cell, its heading first."""
    text = DOCUMENT[DOCUMENT.index(f"\n| {first_cell} |") + 1 :].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return [rows[0], *rows[2:]]


@pytest.mark.parametrize("name", example.BLOCKS)
def test_the_document_shows_what_is_computed(name: str) -> None:
    assert SHOWN[name] == example.BLOCKS[name]


def test_nothing_else_is_shown() -> None:
    assert list(SHOWN) == list(example.BLOCKS)
    assert DOCUMENT.count("```") == 2 * len(example.BLOCKS)


def test_the_example_is_what_this_package_and_eth_account_make_of_it() -> None:
    temperature, humidity = zip(*example.READINGS, strict=True)
    times = [example.START + example.PERIOD * i for i in range(3)]
    measurements = Measurements.of(times, temperature, humidity)
    batch = encode(DEVICE, 0, measurements)
    assert batch.header.format == Format.DELTA
    assert (batch.header.pack(), batch.data) == (int.from_bytes(example.HEADER, "big"), example.DATA)
    assert domain_separator(example.CHAIN_ID, REGISTRY) == example.SEPARATOR
    assert batch_digest(batch, example.SEPARATOR) == example.DIGEST
    key = Secp256k1Key(example.SECRET)
    assert (key.address, key.sign(example.DIGEST)) == (DEVICE, example.R + example.VS)
    domain = {
        "name": "Sensetrail",
        "version": "1",
        "chainId": example.CHAIN_ID,
        "verifyingContract": hex_word(example.REGISTRY),
    }
    types = {"Batch": [{"name": "header", "type": "uint256"}, {"name": "data", "type": "bytes"}]}
    message = encode_typed_data(domain, types, {"header": batch.header.pack(), "data": batch.data})
    assert (message.header, message.body) == (example.SEPARATOR, example.STRUCT_HASH)
    assert Account.sign_message(message, example.SECRET).r == int.from_bytes(example.R, "big")
    told = decode_log(log_of(BATCH_ACCEPTED, example.EVENT_TOPICS[1:], example.EVENT_DATA))
    assert isinstance(told, Accepted)
    assert (told.batch, told.signature) == (batch, example.R + example.VS)
    verdicts, state = judge(measurements, DeviceState(1), INDOOR, example.START)
    assert told.verdicts.tolist() == verdicts.tolist() == [0, 0, Verdict.TEMPERATURE_STEP]
    assert batch.commit(bytes(20)) == example.HEAD
    packed = state.pack()
    assert example.HEAD + packed[20:] == b"".join(field for field, _ in example.STATE_FIELDS)


def test_the_header_s_fields_are_at_the_documented_bytes() -> None:
    names, lengths, offsets = (row[1:] for row in table("field"))
    pieces = header_pieces(Header(DEVICE, 1, 2, 3, 4, 5))
    assert names == [name for name, _ in HEADER_FIELDS] == [piece.meaning for piece in pieces]
    assert [int(length.split(",")[0]) for length in lengths] == [len(piece.data) for piece in pieces]
    assert list(map(int, offsets)) == [piece.offset for piece in pieces]


def test_the_formats_take_the_documented_bytes() -> None:
    for name, data, *_ in table("format")[1:]:
        number, word = name.split()
        assert Format(int(number)).name.lower() == word
        n = 5 if number != "0" else 1
        assert Format(int(number)).length(n) == eval(data.replace("n", f"*{n}"))  # noqa: S307 - of our own document


def test_the_storage_slots_are_the_artifact_s() -> None:
    told: dict[str, list[int]] = {}
    for slots, what in table("slot")[1:]:
        for name in re.findall(r"`(\w+)`", what):
            told[name] = [int(slot) for slot in slots.split(", ")]
    storage = load_artifact(SENSOR_REGISTRY).storage
    for name, places in told.items():
        assert storage[name] in places, name
    assert set(storage.values()) == {place for places in told.values() for place in places}
    assert {"_roles", "_states", "_records", "_profiles", "profileCount", "deviceCount"} <= told.keys()


def test_every_rejection_and_every_flag_is_named() -> None:
    order = DOCUMENT.split("**Order of checks.**")[1].split("\n\n")[0]
    for reason in set(Rejection) - {Rejection.NONE}:
        assert f"`{reason.name.title().replace('_', '')}`" in order
    verdicts = DOCUMENT.split("**Verdicts.**")[1].split("\n\n")[0]
    for number, flag in enumerate((flag for flag in Verdict if flag), 1):
        assert re.search(rf"\b{int(flag)} [^.]*?\(J{number}\)", " ".join(verdicts.split()))
    limits = " ".join(DOCUMENT.split("**Limits.**")[1].split("\n\n")[0].split())
    assert f"{MAX_COUNT:,} readings a batch" in limits
    assert f"{MAX_GAP:,} s from one reading to the next" in limits


def test_every_promise_names_a_test() -> None:
    promises = table("promise")[1:]
    assert len(promises) >= 9
    for promise, tests in promises:
        paths = re.findall(r"\]\(\.\./(tests/[^)]+)\)", tests)
        assert paths, promise
        assert all((ROOT / path).is_file() for path in paths), promise


def test_it_is_short() -> None:
    assert len(DOCUMENT.splitlines()) <= 240
