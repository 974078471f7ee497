"""The same JSON, spelled otherwise: key order, white space, case of hexadecimal, escapes, members that nobody knows."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LURES: list[Any] = [
    None,
    0,
    -1.5,
    True,
    [],
    {},
    "",
    "0x",
    "0xFF",
    "address",
    "topics",
    'quote " and backslash \\',
    "}{][,:",
    '{"address":"0x12","topics":[],"data":"0x"}',
    ["result", {"logs": []}],
    {"address": "0x" + "ab" * 20, "topics": ["0x" + "01" * 32], "data": "0x1234"},
    {"result": [], "logs": [{"address": "0x", "topics": None, "data": None}], "error": None},
    "küche \u202e \u2028",
]
"""Values of members that nobody knows, some of which look like what is read."""


JUNK: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "0x",
    "0x0",
    "0x1",
    "0xzz",
    "0X1",
    "zz" + "11" * 20,
    "zz" + "11" * 32,
    "0x1 ",
    "-0x1",
    "latest",
    "1",
    "17",
    "false",
    "null",
    "0x" + "f" * 16,
    "0x" + "f" * 64,
    "0x" + "f" * 65,
    "0x" + "1" * 600,
    "0x" + "11" * 20,
    "\u0660x1",
    "\ud800",
    "\x1b[31m",
    [],
    [None],
    [[]],
    ["0x"],
    {},
    {"hash": None},
    [{}],
]
"""Values that a node may put where something else belongs."""


@dataclass(frozen=True)
class Spelling:
    """What may differ; the chance of each, 0 to 1, is drawn once for a whole answer."""

    shuffled: float = 0.0
    spaced: float = 0.0
    upper: float = 0.0
    escaped: float = 0.0
    members: float = 0.0


def draw(chance: random.Random) -> Spelling:
    """Draw a spelling: most of the differences are off, so that each comes alone too."""
    return Spelling(*(chance.choice([0.0, 0.0, 0.05, 1.0]) for _ in range(5)))


def respell(value: Any, spelling: Spelling, chance: random.Random) -> str:
    """Write a JSON value, and the same value each time."""
    match value:
        case dict():
            members = list(value.items())
            if chance.random() < spelling.members:
                name = chance.choice(["note", "x", "l1Fee", "address2", "Result", "\u00e9"])
                members.insert(chance.randint(0, len(members)), (name, chance.choice(LURES)))
            if chance.random() < spelling.shuffled:
                chance.shuffle(members)
            written = [
                f"{_text(name, spelling, chance)}{_space(spelling, chance)}:{_space(spelling, chance)}"
                f"{respell(each, spelling, chance)}"
                for name, each in members
            ]
            return _around("{", written, "}", spelling, chance)
        case list():
            return _around("[", [respell(each, spelling, chance) for each in value], "]", spelling, chance)
        case str():
            if value.startswith("0x") and chance.random() < spelling.upper:
                value = "0x" + value[2:].upper()
            return _text(value, spelling, chance)
    return json.dumps(value)


def answer(responses: Any, chance: random.Random) -> bytes:
    """Write what a node answers, in a spelling of its own, with white space around it."""
    spelling = draw(chance)
    return f"{_space(spelling, chance)}{respell(responses, spelling, chance)}{_space(spelling, chance)}".encode()


def _around(before: str, parts: list[str], after: str, spelling: Spelling, chance: random.Random) -> str:
    inside = ",".join(f"{_space(spelling, chance)}{part}{_space(spelling, chance)}" for part in parts)
    return f"{before}{inside or _space(spelling, chance)}{after}"


def _space(spelling: Spelling, chance: random.Random) -> str:
    return chance.choice([" ", "\n", "\t", "\r\n", "  "]) if chance.random() < spelling.spaced else ""


def _text(value: str, spelling: Spelling, chance: random.Random) -> str:
    is_half = any("\ud800" <= character <= "\udfff" for character in value)
    written = json.dumps(value, ensure_ascii=is_half or chance.random() < 0.5)
    if value and not set(value) & set('"\\') and written.isascii() and chance.random() < spelling.escaped:
        at = chance.randrange(len(value))
        written = f'"{value[:at]}\\u{ord(value[at]):04x}{value[at + 1 :]}"'
    return written


def mutate(text: bytearray, chance: random.Random, keys: list[bytes]) -> None:
    """Alter an answer somewhere, so that it is JSON no more, or says something else."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text)) if text else 0
        match chance.randrange(5):
            case 0:
                text[at : at + 1] = bytes([chance.choice(b'0123456789abcdefgX"{}[],:xn \\\xff\x00')])
            case 1:
                del text[at : at + chance.randint(1, 200)]
            case 2:
                text[at:at] = text[at : at + chance.randint(1, 200)]
            case 3:
                text[at:at] = chance.choice(keys)
            case _:
                del text[at:]


def alter(value: Any, chance: random.Random) -> Any:
    """Alter a JSON value in one place: something else in a value's place, one more, one less, one twice."""
    holders = [each for each in _inside(value) if isinstance(each, dict | list) and each]
    if not holders:
        return copy.deepcopy(chance.choice(JUNK))
    # The deepest holders are many: the outer ones are taken as often.
    holder = chance.choice(holders[:3]) if chance.random() < 0.3 else chance.choice(holders)
    key: Any = chance.choice(list(holder)) if isinstance(holder, dict) else chance.randrange(len(holder))
    match chance.randrange(4):
        case 0:
            holder[key] = copy.deepcopy(chance.choice(JUNK))
        case 1:
            del holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(chance.choice([*JUNK, holder[key]])))
        case _:
            holder[key] = copy.deepcopy(chance.choice(holders))
    return value


def _inside(value: Any) -> Iterator[Any]:
    yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _inside(each)
