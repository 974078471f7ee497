"""The nesting of JSON, bounded before it is parsed: exact for JSON, and never less strict than a parser is deep."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensetrail.core import nesting
from sensetrail.core.nesting import MAX_DEPTH, require_shallow

PIECES = st.sampled_from(
    [
        b"[",
        b"{",
        b"]",
        b"}",
        b'"',
        b"\\",
        b'\\"',
        b"\\\\",
        b"y",
        b"Y",
        b"_",
        b"\x7f",
        "ü".encode(),
        b"[" * 30,
        b"]" * 20,
    ]
)


def read(data: bytes) -> tuple[int, bool]:
    """Give the deepest level that a parser reaches, byte by byte, and whether it gets to the end."""
    deepest = depth = 0
    in_string = is_escaped = False
    for byte in data:
        if in_string:
            in_string = is_escaped or byte != ord('"')
            is_escaped = not is_escaped and byte == ord("\\")
        elif byte == ord("\\"):
            return deepest, False
        else:
            in_string = byte == ord('"')
            depth += (byte in b"[{") - (byte in b"]}")
            deepest = max(deepest, depth)
    return deepest, True


def is_refused(data: bytes) -> bool:
    try:
        require_shallow(data)
    except ValueError as error:
        assert str(error) == "nested deeper than 64 levels"
        return True
    return False


@given(st.lists(PIECES, max_size=60).map(b"".join), st.integers(1, 64))
def test_it_follows_the_nesting_as_a_reader_does_byte_by_byte(data: bytes, chunk: int) -> None:
    deepest, is_whole = read(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nesting, "_CHUNK", chunk)
        refused = is_refused(data)
    if deepest > MAX_DEPTH:
        assert refused
    elif is_whole:
        assert not refused


JSON: st.SearchStrategy[object] = st.deferred(
    lambda: st.text() | st.integers() | st.lists(JSON) | st.dictionaries(st.text(), JSON)
)


@given(JSON, st.integers(0, 70), st.booleans())
def test_exactly_what_is_too_deep_is_refused(value: object, wraps: int, ascii_only: bool) -> None:
    for _ in range(wraps):
        value = [value]
    data = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert is_refused(data) == (read(data)[0] > MAX_DEPTH)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'["\\"",', b'["]]]]",', b'["\\\\",'])
def test_one_level_more_than_the_limit_is_refused(opening: bytes) -> None:
    assert not is_refused(opening * MAX_DEPTH)
    assert is_refused(opening * (MAX_DEPTH + 1))


def test_nothing_is_shallow() -> None:
    require_shallow(b"")
    require_shallow(memoryview(b""))
