"""Which columns of a table are a reading's: by their names, or as the user maps them.

Spaces, case, and a unit behind the name are forgiven: `Temperature (°F)` and `humidity_percent` are found. Any other
name is offered, never guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sensetrail.core.text import printable
from sensetrail.errors import InputError
from sensetrail.sensor.quantities import UNITS, Unit, spelt_unit

COLUMNS = ("device", "time", "temperature", "humidity")
_SYNONYMS = {"time": ("time", "measured_at")}
"""`measured_at` is what `sensetrail query` calls it."""
_HINTS = {
    "device": ("device", "sensor", "node", "mote", "station", "location", "room", "name", "id"),
    "time": ("time", "date", "stamp", "ts", "when", "clock", "last_changed", "created_at"),
    "temperature": ("temp", "tmp", "t_c", "°c", "celsius"),
    "humidity": ("hum", "rh", "moisture", "feuchte"),
}
"""What other names for these columns contain."""
_WITH_UNIT = re.compile(
    r"(?P<name>.*?)\s*(?:\((?P<round>[^()]*)\)|\[(?P<square>[^\[\]]*)\]|[_,/ ]+(?P<bare>[^\s()\[\]]+))"
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a table has a reading's parts.

    Attributes:
        places: Each part's column, counted from 0; None for a device that the user names.
        names: Each part's column as the table calls it.
        units: Of temperature and humidity.
    """

    places: Mapping[str, int | None]
    names: Mapping[str, str]
    units: Mapping[str, Unit]


def find_columns(
    file: str, header: Sequence[str], mapped: Mapping[str, str], units: Mapping[str, Unit], *, needs_device: bool = True
) -> Columns:
    """Find a reading's columns.

    Args:
        file: The table's name, for messages.
        header: The columns' names as they stand in the table.
        mapped: What the user calls for: a column's name by the part that it holds.
        units: What the user says of units; else the column's name may say it, else they are degC and %RH.
        needs_device: Whether there has to be a column for it.

    Raises:
        InputError: A column is missing, or two could be meant, or a unit is not one.
    """
    places: dict[str, int | None] = {}
    found_units: dict[str, Unit] = {}
    missing = []
    for part in COLUMNS:
        if part == "device" and not needs_device:
            places[part] = None
            continue
        candidates = _named(header, mapped[part]) if part in mapped else _fitting(header, part)
        if len(candidates) > 1:
            twice = ", ".join(printable(header[i], 30) or "(no name)" for i in candidates)
            raise InputError(
                f"{file} has {len(candidates)} columns that could be the {part}: {twice}",
                f"rename or remove all but one, or name it: --column {part}=NAME",
            )
        if candidates:
            places[part] = candidates[0]
            if part in UNITS:
                found_units[part] = units.get(part) or _unit_in_name(file, header[candidates[0]], part)
        else:
            missing.append(part)
    if missing:
        raise _missing(file, header, missing, mapped)
    names = {part: "" if place is None else header[place] for part, place in places.items()}
    return Columns(places, names, found_units)


def parse_pairs(options: Sequence[str], option: str, known: Sequence[str]) -> dict[str, str]:
    """Read options such as `temperature=Temp (°C)`.

    Raises:
        InputError: One is not of this form, or a name is unknown or stands twice.
    """
    pairs: dict[str, str] = {}
    for text in options:
        name, equals, value = text.partition("=")
        name = name.strip().casefold()
        if not equals or not value.strip() or name not in known:
            raise InputError(
                f"{option} {printable(text, 60)!r} is not NAME=VALUE", f"NAME is one of {', '.join(known)}"
            )
        if name in pairs:
            raise InputError(f"{option} names {name} twice", "give it once")
        pairs[name] = value
    return pairs


def _plain(name: str) -> str:
    return " ".join(name.lstrip("\ufeff").split()).casefold()


def _named(header: Sequence[str], wanted: str) -> list[int]:
    exact = [i for i, name in enumerate(header) if name == wanted]
    return exact or [i for i, name in enumerate(header) if _plain(name) == _plain(wanted)]


def _fitting(header: Sequence[str], part: str) -> list[int]:
    fitting = []
    for i, name in enumerate(header):
        plain = _plain(name)
        stem, unit = _split(plain)
        names = _SYNONYMS.get(part, (part,))
        with_unit = stem in names and unit is not None and _is_unit(unit, part)
        if plain in names or with_unit:
            fitting.append(i)
    return fitting


def _is_unit(text: str, part: str) -> bool:
    if part == "time":
        return text in ("utc", "gmt", "z")
    return part in UNITS and spelt_unit(text, part) is not None


def _split(plain: str) -> tuple[str, str | None]:
    found = _WITH_UNIT.fullmatch(plain)
    if found is None:
        return plain, None
    return found["name"], next(unit for unit in (found["round"], found["square"], found["bare"]) if unit is not None)


def _unit_in_name(file: str, name: str, part: str) -> Unit:
    """Give the unit that a column's name says, or the one that is stored where it says none."""
    _, said = _split(_plain(name))
    unit = None if said is None else spelt_unit(said, part)
    is_bracketed = _plain(name).endswith((")", "]"))
    if unit is None and is_bracketed:
        raise InputError(
            f"{file}: column {printable(name, 40)!r} names no unit of {part} that is known",
            f"say it: --unit {part}={UNITS[part][0]}, or one of {', '.join(UNITS[part])}",
        )
    return unit or UNITS[part][0]


def _missing(file: str, header: Sequence[str], missing: Sequence[str], mapped: Mapping[str, str]) -> InputError:
    shown = ", ".join(printable(name, 24) or "(no name)" for name in header[:8]) + (", ..." if len(header) > 8 else "")
    what = f"{file} has no column {', '.join(mapped.get(part, part) for part in missing)}"
    what += f"; its first row is: {shown}" if any(header) else ""
    if {"entity_id", "state"} <= set(map(_plain, header)) or {"variable", "value"} <= set(map(_plain, header)):
        return InputError(what, "it has one value a row: pivot it first, as docs/readings.md shows")
    offers = [
        f"--column {part}={shlex.quote(printable(name, 60))}"
        for part in missing
        for name in header
        if part not in mapped and any(hint in _plain(name) for hint in _HINTS[part])
    ]
    if offers:
        also = " (or --device NAME, if all rows are one device's)" if "device" in missing else ""
        return InputError(what, f"if these are the ones, say so: {' '.join(offers[:6])}{also}")
    if list(missing) == ["device"]:
        return InputError(what, "name the device of all rows: --device NAME")
    return InputError(what, f"name the columns {', '.join(COLUMNS)} in its first row, or map them: --column time=NAME")
