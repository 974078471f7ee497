"""Temperature and humidity as files write them: numbers, their decimal sign, and their units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sensetrail.core.reading import HUMIDITY_LIMITS, TEMPERATURE_LIMITS, quantise
from sensetrail.core.text import printable
from sensetrail.errors import InputError, ReadingError

LIMITS = {"temperature": TEMPERATURE_LIMITS, "humidity": HUMIDITY_LIMITS}
"""What the format can hold, hundredths of degC and of %RH."""


class Unit(StrEnum):
    """A unit that a column may be in."""

    CELSIUS = "C"
    FAHRENHEIT = "F"
    KELVIN = "K"
    PERCENT = "percent"
    FRACTION = "fraction"


UNITS = {
    "temperature": (Unit.CELSIUS, Unit.FAHRENHEIT, Unit.KELVIN),
    "humidity": (Unit.PERCENT, Unit.FRACTION),
}
"""Each quantity's units; the first is the one that is stored."""
_SPELLINGS = {
    Unit.CELSIUS: ("c", "celsius", "centigrade", "cel"),
    Unit.FAHRENHEIT: ("f", "fahrenheit"),
    Unit.KELVIN: ("k", "kelvin"),
    Unit.PERCENT: ("%", "%rh", "rh", "rh%", "%r.h.", "%relativehumidity", "percent", "pct"),
    Unit.FRACTION: ("fraction", "1", "0-1", "0..1", "0to1", "ratio"),
}


def spelt_unit(text: str, quantity: str) -> Unit | None:
    """Find a quantity's unit by how people write it, such as `°C` or `%RH`; None for no unit of it."""
    plain = re.sub(r"[\s°º˚_]|deg(?:rees?)?\.?", "", text.casefold().replace("℃", "c").replace("℉", "f"))
    return next((unit for unit in UNITS[quantity] if plain in _SPELLINGS[unit]), None)


def parse_unit(text: str, quantity: str) -> Unit:
    """Read a unit that a user gives.

    Raises:
        InputError: The quantity has no such unit.
    """
    unit = spelt_unit(text, quantity)
    if unit is None:
        known = ", ".join(UNITS[quantity])
        raise InputError(f"{quantity} in {printable(text, 40)!r}: no such unit", f"give one of {known}")
    return unit


def to_stored(value: float, unit: Unit) -> float:
    """Convert a value to degC or %RH."""
    match unit:
        case Unit.FAHRENHEIT:
            return (value - 32.0) * 5.0 / 9.0
        case Unit.KELVIN:
            return value - 273.15
        case Unit.FRACTION:
            return value * 100.0
        case _:
            return value


_POINT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
_MISSING = frozenset(
    {"", "-", "--", "?", "na", "n/a", "#n/a", "null", "none", "nil", "missing", "unavailable", "unknown"}
)


@dataclass(slots=True)
class Numbers:
    """Reads numbers as text; a file has one decimal sign, the first that it shows.

    Attributes:
        decimal: The decimal sign, "." or ","; None until it is known.
        may_group: Whether a comma may also group thousands: in a file with commas between its columns.
    """

    decimal: str | None = None
    may_group: bool = True

    def parse(self, cell: str, quantity: str) -> float:
        """Read a number.

        Raises:
            ReadingError: It is missing, or not a number.
        """
        text = cell.strip()
        if text.casefold() in _MISSING:
            raise ReadingError(f"{quantity} is missing", "repair the file")
        if _NOT_FINITE.fullmatch(text):
            return float(text)
        sign = "," if "," in text else "." if "." in text else None
        if sign is not None and self.decimal is None:
            if sign == "," and self.may_group and _THOUSANDS.fullmatch(text):
                raise ReadingError(
                    f"{quantity} {text!r:.40}: does the comma mark decimals or thousands?", "say it: --decimal , or ."
                )
            if _COMMA.fullmatch(text) or _POINT.fullmatch(text):
                self.decimal = sign
        form = _COMMA if self.decimal == "," else _POINT
        if not form.fullmatch(text):
            raise ReadingError(f"{quantity} {printable(text, 40)!r} is not a number", self._why(text))
        return float(text.replace(",", "."))

    def _why(self, text: str) -> str:
        other = {",": ".", ".": ","}.get(self.decimal or "")
        if other is not None and other in text:
            return f"the numbers before have the decimal sign {self.decimal!r}: use one in the whole file"
        return "repair the file"


def hundredths(value: float, quantity: str, unit: Unit) -> int:
    """Give a value in the contract's unit: hundredths of degC or of %RH.

    Raises:
        ReadingError: It is not finite, or outside what the format can hold.
    """
    return quantise(to_stored(value, unit), LIMITS[quantity], quantity)
