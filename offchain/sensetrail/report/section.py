"""What a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Attributes:
        columns: Headings.
        rows: As many texts each as there are headings.
        numeric: Which columns are aligned right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture.

    Attributes:
        png: The file's bytes.
        alternative: What it shows, for who cannot see it.
    """

    png: bytes
    alternative: str


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a report.

    Attributes:
        title: Its heading.
        paragraphs: Before the table.
        table: If it has one.
        figure: If it has one.
        notes: After the table and figure.
    """

    title: str
    paragraphs: Sequence[str] = ()
    table: Table | None = None
    figure: Figure | None = None
    notes: Sequence[str] = field(default=())
