from __future__ import annotations

import math
from typing import Any

import pytest

from sensetrail.core.canonical import (
    canonical_json,
    json_digest,
    named_digest,
    parse_json,
    parse_named_digest,
    parse_word,
)
from sensetrail.core.primitives import keccak256
from sensetrail.errors import ManifestError

WORD = bytes(range(32))


def test_canonical_form() -> None:
    value = {"b": [1, 2.5, None, True], "a": {"ü": "°", "A": ""}, "é": -0.0}
    assert canonical_json(value) == '{"a":{"A":"","ü":"°"},"b":[1,2.5,null,true],"é":-0.0}'.encode()
    assert json_digest(value) == keccak256(canonical_json(value))


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf]])
def test_no_form_for_what_is_not_finite(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{'a':1}",
        b'{"a":1}x',
        b'{"a":1,"a":1}',
        b'[{"b":{"a":1,"c":2,"a":3}}]',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"[-Infinity]",
        b'{"a":"\xff"}',
        b"9" * 5000,
        b"\x00",
    ],
)
def test_hostile_json_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError, match="the file is not valid JSON"):
        parse_json(data, "the file")


def test_parse_json() -> None:
    assert parse_json('{"a": [1, {"a": "ü"}]}'.encode(), "the file") == {"a": [1, {"a": "ü"}]}


def test_named_digest_says_its_algorithm() -> None:
    text = named_digest("sensetrail-x-v1:keccak256", WORD)
    assert text == "sensetrail-x-v1:keccak256:0x" + WORD.hex()
    assert parse_named_digest(text, "sensetrail-x-v1:keccak256") == WORD


@pytest.mark.parametrize(
    "text",
    [
        "0x" + WORD.hex(),
        "sensetrail-x-v2:keccak256:0x" + WORD.hex(),
        "sensetrail-x-v1:0x" + WORD.hex(),
        "sensetrail-x-v1:keccak256:" + WORD.hex(),
        "sensetrail-x-v1:keccak256:0x" + WORD.hex()[2:],
        "sensetrail-x-v1:keccak256:",
        "",
    ],
)
def test_a_digest_of_another_algorithm_or_none(text: str) -> None:
    with pytest.raises(ManifestError):
        parse_named_digest(text, "sensetrail-x-v1:keccak256")


@pytest.mark.parametrize(
    "text", ["", "0x", WORD.hex(), "0x" + WORD.hex() + "00", "0x" + "g" * 64, "0X" + WORD.hex(), None, 5, b"0x", []]
)
def test_what_is_not_a_word(text: Any) -> None:
    with pytest.raises(ManifestError, match="is not 32 bytes"):
        parse_word(text)


def test_brackets_inside_strings_do_not_nest() -> None:
    text = "[{" * 100 + '\\"' + "]" * 3
    assert parse_json(canonical_json([text]), "it") == [text]
    with pytest.raises(ManifestError, match="nested deeper"):
        parse_json(b'["\\"",' + b"[" * 100 + b"]" * 101, "it")


def test_a_string_that_does_not_end_is_read_once() -> None:
    # Looked for anew behind each quote, a mebibyte of these would take most of an hour.
    with pytest.raises(ManifestError):
        parse_json(b'"' + b'\\"' * (1 << 19), "it")


def test_an_integer_of_many_digits_is_refused_in_our_own_words() -> None:
    assert parse_json(b"[-%d]" % 2**256, "it") == [-(2**256)]
    with pytest.raises(ManifestError, match=r"^it is not valid JSON: 99999999999999999999\.\.\. is too large$"):
        parse_json(b"9" * 5000, "it")
