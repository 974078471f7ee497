"""Answers that make no sense: junk in place of a whole result, of each of its members, and members left out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from respelling import JUNK

Path = tuple[str | int, ...]


def spoiled(result: Any) -> Iterator[tuple[str, Any]]:
    """Give a result spoiled in every way, with a name for each: from nothing left of it to one member changed."""
    for junk in JUNK:
        yield f"all: {junk!r:.30}", copy.deepcopy(junk)
    for path in paths(result):
        where = ".".join(map(str, path))
        yield f"without {where}", without(result, path)
        for junk in JUNK:
            yield f"{where}: {junk!r:.30}", replaced(result, path, junk)


def paths(value: Any, depth: int = 4) -> Iterator[Path]:
    """Give where each member stands; of a list's elements, only the first's, for the others are like it."""
    if depth == 0:
        return
    members: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list) and value:
        members = [(0, value[0])]
    for key, each in members:
        yield (key,)
        for path in paths(each, depth - 1):
            yield (key, *path)


def replaced(value: Any, path: Path, junk: Any) -> Any:
    """Give a copy with junk in a member's place."""
    changed = copy.deepcopy(value)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = copy.deepcopy(junk)
    return changed


def without(value: Any, path: Path) -> Any:
    """Give a copy without a member."""
    changed = copy.deepcopy(value)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return changed


def some(cases: list[tuple[str, Any]], number: int) -> list[tuple[str, Any]]:
    """Give about so many of the cases, spread evenly, and the whole-result ones all."""
    whole = [case for case in cases if case[0].startswith("all: ")]
    rest = cases[len(whole) :]
    step = max(1, len(rest) // number)
    # A step that shares no divisor with the number of junk values goes through all of these.
    while step > 1 and len(JUNK) % step == 0:
        step += 1
    return whole + rest[::step]
