"""What commands print: results to standard output (tables, or JSON for programs), everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from sensetrail.report.section import Section, Table

WIDTH_WITHOUT_TERMINAL = 120
STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow", "not reached": "dim"}

out = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print a result for programs: one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """Print a line of a result for people."""
    out.print(text, soft_wrap=True, markup=False)


def note(text: str) -> None:
    """Print a line that is no result: what is going on, or a warning."""
    err.print(text, soft_wrap=True, markup=False)


def warn(text: str) -> None:
    """Print a warning that nobody should miss."""
    err.print(text, soft_wrap=True, markup=False, style="bold red")


def print_table(table: Table) -> None:
    """Print a table."""
    rich = RichTable(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(table.columns):
        rich.add_column(Text(column), justify="right" if number in table.numeric else "left", overflow="fold")
    for row in table.rows:
        rich.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    out.print(rich)


def print_section(section: Section) -> None:
    """Print a part of a report."""
    out.print(f"\n{section.title}", markup=False, style="bold")
    for paragraph in section.paragraphs:
        say(paragraph)
    if section.table is not None:
        print_table(section.table)
    for text in section.notes:
        say(text)


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Progress]:
    """Show progress on standard error, where that is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
        yield progress
