"""What was understood of a file of readings, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sensetrail.core.text import printable
from sensetrail.sensor.quantities import UNITS, Unit


@dataclass(slots=True)
class Understood:
    """What was understood of a file.

    Attributes:
        file: Its name.
        form: What kind of table it is.
        columns: The column of each part, as the file calls it.
        units: Of temperature and humidity, as the file has them.
        times: How many moments were written how: "local", "with an offset".
        zone: Of local times.
        decimal: The decimal sign of numbers in text; None where none showed.
        skipped: How many rows were left out, by the reason.
        repeated: How many rows say the same as the one before of their device; each reading is taken once.
    """

    file: str
    form: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    zone: str = "UTC"
    decimal: str | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    repeated: int = 0

    def converted(self) -> dict[str, str]:
        """Give the units that were converted, by the quantity."""
        return {part: str(unit) for part, unit in self.units.items() if unit is not UNITS[part][0]}

    def time_words(self) -> list[str]:
        """Say how times are written, and how they were taken."""
        local, exact = self.times["local"], self.times["with an offset"]
        said = [f"{_times(local)} without an offset taken as {self.zone}"] if local else []
        return said + ([f"{_times(exact)} with an offset, or counted from 1970"] if exact else [])

    def lines(self) -> list[str]:
        """Say it for people, a line each."""
        said = [f"{self.file}: {self.form}"]
        if self.columns:
            named = ", ".join(f"{part} from {printable(name, 40)!r}" for part, name in self.columns.items() if name)
            said.append(f"columns: {named}")
        return said + self.time_words() + self.remarks()

    def remarks(self) -> list[str]:
        """Say what was done to the file's rows besides reading them."""
        said = []
        if self.converted():
            converted = " and ".join(f"{part} from {unit}" for part, unit in self.converted().items())
            said.append(f"CONVERTED: {converted}, to degC and %RH")
        for reason, count in self.skipped.most_common():
            said.append(f"skipped: {count} rows, {reason}")
        if self.repeated:
            said.append(f"repeated: {self.repeated} rows say what the row before says; each reading is taken once")
        return said

    def to_json(self) -> dict[str, Any]:
        """Give it for programs."""
        return {
            "file": self.file,
            "form": self.form,
            "columns": dict(self.columns),
            "units": {part: str(unit) for part, unit in self.units.items()},
            "times": dict(self.times),
            "zone": self.zone,
            "decimal": self.decimal,
            "skipped": dict(self.skipped),
            "repeated": self.repeated,
        }


def _times(count: int) -> str:
    return f"{count} time{'s' * (count != 1)}"
