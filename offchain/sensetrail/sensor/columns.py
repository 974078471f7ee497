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
OFFERED = 60
"""The most characters of a name that is offered."""
_OFFSET = re.compile(r"\b(?:gmt|utc)\s*(?P<sign>[+\-\u2212])\s*(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?")
_LOCAL = re.compile(
    r"\b(?:local|cet|cest|mez|mesz|eet|eest|bst|ist|jst|aest|aedt|nzst|nzdt|est|edt|cst|cdt|mst|mdt|pst|pdt)\b"
)
"""What names of columns say of zones besides UTC."""
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
        elif part == "device" and not needs_device:
            places[part] = None
        else:
            missing.append(part)
    if missing:
        raise _missing(file, header, missing, mapped)
    taken = [place for place in places.values() if place is not None]
    twice_used = next((place for place in taken if taken.count(place) > 1), None)
    if twice_used is not None:
        raise InputError(
            f"{file}: column {printable(header[twice_used], 40)!r} cannot be two parts of a reading",
            "name another column for one of them: --column PART=NAME",
        )
    names = {part: "" if place is None else header[place] for part, place in places.items()}
    return Columns(places, names, found_units)


def require_no_header(
    where: str, cells: Mapping[str, str], names: Mapping[str, str], units: Mapping[str, Unit]
) -> None:
    """Refuse a row that gives the columns below it other names or units: it cannot be just left out.

    Args:
        where: The row, for messages.
        cells: Its texts, by the part that their column holds.
        names: The columns' names.
        units: Of temperature and humidity, as they are taken.

    Raises:
        InputError: It is such a row.
    """
    texts = {part: text.strip() for part, text in cells.items()}
    said = {part: spelt_unit(texts[part], part) for part in UNITS if not re.search(r"\d", texts.get(part, "0"))}
    other = [f"--unit {part}={unit}" for part, unit in said.items() if unit not in (None, units[part])]
    if other:
        raise InputError(f"{where} names the units of the columns", f"say them, and remove the row: {' '.join(other)}")
    is_header = any(
        text in names.values() or any(_fitting([text], held) for held in COLUMNS)
        for part, text in texts.items()
        if part != "device" and text
    )
    if is_header and any(_plain(text) != _plain(names[part]) for part, text in texts.items() if names[part]):
        raise InputError(
            f"{where} is a second header, and its columns are others than the first one's",
            "divide the file there into two",
        )


def require_zone(file: str, name: str, zone: str | None) -> None:
    """Make sure that local times are not taken for another zone's than their column's name says.

    Args:
        file: The table's name, for messages.
        name: The column's.
        zone: That of times without an offset, as the user says; None for UTC.

    Raises:
        InputError: The name says an offset or a zone, and the user none; or it says UTC, and the user another.
    """
    plain = _plain(name).replace("_", " ")
    offset = _OFFSET.search(plain)
    column = f"{file}: column {printable(name, 40)!r}"
    if offset is not None and (hours := int(offset["hours"])) + int(offset["minutes"] or 0):
        if zone is None:
            # The names of these zones have the sign the other way round.
            whole = f"Etc/GMT{'-' if offset['sign'] == '+' else '+'}{hours}"
            to_do = (
                "name a zone that has it" if int(offset["minutes"] or 0) or hours > 12 else f"say so: --zone {whole}"
            )
            raise InputError(f"{column} says an offset from UTC", to_do)
    elif _LOCAL.search(plain):
        if zone is None:
            raise InputError(f"{column} says that its times are local", "say which zone's: --zone Europe/Berlin")
    elif re.search(r"\b(?:utc|gmt)\b", plain) and zone not in (None, "UTC", "GMT", "Etc/UTC", "Etc/GMT"):
        raise InputError(f"{column} says UTC, and --zone says {zone}", "leave out --zone")


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
    alike = [i for i, name in enumerate(header) if _plain(name) == _plain(wanted)]
    # A name that no terminal can show is given as it was offered.
    return exact or alike or [i for i, name in enumerate(header) if printable(name, OFFERED) == wanted]


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
    # A number behind a name counts columns, and says no unit.
    if found["bare"] is not None and found["bare"].isdigit():
        return plain, None
    return found["name"], next(unit for unit in (found["round"], found["square"], found["bare"]) if unit is not None)


def _unit_in_name(file: str, name: str, part: str) -> Unit:
    """Give the unit that a column's name says, or the one that is stored where it says none."""
    _, said = _split(_plain(name))
    unit = None if said is None else spelt_unit(said, part)
    if unit is None and (_plain(name).endswith((")", "]")) or _hints_at_unit(_plain(name), part)):
        raise InputError(
            f"{file}: column {printable(name, 40)!r} does not say clearly what the unit of {part} is",
            f"say it: --unit {part}=UNIT, where UNIT is one of {', '.join(UNITS[part])}",
        )
    return unit or UNITS[part][0]


def _hints_at_unit(plain: str, part: str) -> bool:
    """Whether a name has a unit that is converted somewhere in it, as `Temp (°F) kitchen` or `tempf`."""
    if part == "temperature" and re.search(r"[°º˚]\s*[fk]|[℉]|\btemp[a-z0-9]*[fk]\b", plain.replace("_", " ")):
        return True
    words = [word for word in re.split(r"[^\w°º˚%]+|_", plain) if word and not word.isdigit()]
    return any(spelt_unit(word, part) not in (None, UNITS[part][0]) for word in words)


def _missing(file: str, header: Sequence[str], missing: Sequence[str], mapped: Mapping[str, str]) -> InputError:
    shown = ", ".join(printable(name, 24) or "(no name)" for name in header[:8]) + (", ..." if len(header) > 8 else "")
    what = f"{file} has no column {', '.join(mapped.get(part, part) for part in missing)}"
    what += f"; its first row is: {shown}" if any(header) else ""
    if {"entity_id", "state"} <= set(map(_plain, header)) or {"variable", "value"} <= set(map(_plain, header)):
        return InputError(what, "it has one value a row: pivot it first, as docs/readings.md shows")
    free = [name for name in header if not any(_fitting([name], part) for part in COLUMNS)]
    offers = [
        f"--column {part}={shlex.quote(names[0])}" + (f" (or {', '.join(map(repr, names[1:4]))})" if names[1:] else "")
        for part in missing
        if part not in mapped
        and (names := [printable(name, OFFERED) for name in free if any(hint in _plain(name) for hint in _HINTS[part])])
    ]
    if offers:
        also = " (or --device NAME, if all rows are one device's)" if "device" in missing else ""
        return InputError(what, f"if these are the ones, say so: {' '.join(offers)}{also}")
    if list(missing) == ["device"]:
        return InputError(what, "name the device of all rows: --device NAME")
    return InputError(what, f"name the columns {', '.join(COLUMNS)} in its first row, or map them: --column time=NAME")
