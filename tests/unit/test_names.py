"""The one rule for names: what may be a device's name, what may not, and what is said of it."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensetrail.core.names import MAX_BYTES, device_name, new_device_name, plain_text
from sensetrail.core.text import printable
from sensetrail.errors import InputError

GOOD = (
    "A",
    "kitchen",
    "Küche",
    "台所",
    "cold room 2",
    "=1+1",
    "-A",
    "+A",
    "@A",
    "a" * 64,
    "\U0001f321" * 62,
    "a.b",
    "[bold]x",
    "'quoted'",
    'say "hi"',
    "50%",
    "0",
    "0x0",
)
BAD = {
    "": "it is empty",
    "a" * 65: "it has 65 characters",
    "\U0001f321" * 63: f"it takes 252 bytes, and a file's name holds {MAX_BYTES}",
    " A": "a space",
    "A ": "a space",
    " ": "a space",
    ".A": "a dot",
    "..": "a dot",
    "a/b": "contains /",
    "a\\b": "contains /",
    "a\0b": "U+0000",
    "a\nb": "U+000A",
    "a\x1b[31m": "U+001B",
    "a\x7f": "U+007F",
    "a\x85b": "U+0085",
    "a\u2028b": "U+2028 (line separator)",
    "a\u2029b": "U+2029",
    "a\u202eb": "U+202E (right-to-left override)",
    "a\u2066b": "U+2066",
    "a\u200fb": "U+200F",
    "a\u061cb": "U+061C",
    "a\u200bb": "U+200B",
    "\ufeffA": "U+FEFF",
    "a\xa0b": "U+00A0",
    "\u3164": "U+3164",
    "A\ufe0f": "U+FE0F",
    "\udcff": "bytes that are not UTF-8",
    "\ue000": "U+E000",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_name_is_taken_as_it_is(name: str) -> None:
    assert device_name(name) == name


@pytest.mark.parametrize(("name", "why"), BAD.items(), ids=ascii)
def test_what_cannot_be_a_name_is_refused_with_its_reason_and_shown_harmless(name: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        device_name(name)
    assert why in caught.value.what
    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 250


def test_names_that_differ_by_normalisation_alone_are_one_name() -> None:
    assert device_name("Ku\u0308che") == device_name("K\u00fcche") == "K\u00fcche"
    assert device_name("\u212b") == "\u00c5"


@pytest.mark.parametrize("name", ["0x", "0xabc", "0XABC", "0x" + "1" * 40])
def test_a_new_device_is_not_called_like_an_address(name: str) -> None:
    assert device_name(name) == name
    with pytest.raises(InputError, match="as an address"):
        new_device_name(name)


def test_text_that_is_not_utf8_is_refused_and_other_text_stays() -> None:
    assert plain_text("Müller & Söhne\n", "--make") == "Müller & Söhne\n"
    with pytest.raises(InputError, match=r"--make '\\udcff' is not UTF-8 text"):
        plain_text("\udcff", "--make")


def test_a_name_that_breaks_the_rule_is_shown_escaped() -> None:
    assert printable("a\x1b[31m\u202eb\udcff\u3164") == r"a\x1b[31m\u202eb\udcff\u3164"
    assert printable("Küche \\ 2") == "Küche \\ 2"


@given(st.text(st.characters(), max_size=80))
def test_whatever_passes_is_safe_everywhere(text: str) -> None:
    try:
        name = device_name(text)
    except InputError as error:
        assert error.what.isprintable()
        return
    assert device_name(name) == name == unicodedata.normalize("NFC", text)
    assert name.isprintable()
    assert len(f"{name}.json".encode()) <= 255
    assert json.loads(json.dumps(name)) == name
