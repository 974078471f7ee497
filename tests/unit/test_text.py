"""Foreign text on its way to a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensetrail.core.text import printable


def test_a_terminal_shows_foreign_text_and_does_not_obey_it() -> None:
    for text, shown in {
        "plain, küche 厨房 25 °C": "plain, küche 厨房 25 °C",
        "\x1b]0;title\x07": "\\x1b]0;title\\x07",
        "one\r\ntwo\ttabs": "one\\x0d\\x0atwo\\x09tabs",
        "\x9b31m": "\\x9b31m",
        "abc\u202egnp.exe": "abc\\u202egnp.exe",
        "a\u2028b\u2029c\x85d": "a\\u2028b\\u2029c\\x85d",
        "zero\u200bwidth\ufeff": "zero\\u200bwidth\\ufeff",
        "\udcff": "\\udcff",
        "\U000e0001": "\\U000e0001",
    }.items():
        assert printable(text) == shown


def test_long_text_is_cut() -> None:
    assert printable("x" * 300, 200) == "x" * 197 + "..."
    assert printable("x" * 200, 200) == "x" * 200
    assert len(printable("\x1b" * 10**6, 200)) == 200


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_is_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
