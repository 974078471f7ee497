"""What commands print: results to standard output (tables, or JSON for programs), everything else to standard error.

All text goes through `core.text.printable`, whoever it is from: a terminal shows it and does not obey it. What the
output's encoding lacks is escaped.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from sensetrail.core.text import printable, printable_json
from sensetrail.report.section import Section, Table

WIDTH_WITHOUT_TERMINAL = 120
NARROWEST_COLUMN = 12
"""Characters: where a table's columns would be narrower, each row is given as lines of its own."""
STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow", "not reached": "dim"}


def prepare_streams() -> None:
    """Make output safe to write to: what is closed goes nowhere, and what an encoding lacks is escaped."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole run
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - for the whole run


def give_up_stdout() -> None:
    """Let whatever is still to be written go nowhere: whoever read it has enough, `head` for one."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def line_width() -> int | None:
    """Give how many characters a line of the terminal has; None where standard output is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


class _Console(Console):
    """Goes on where nobody reads any more: what a command does matters more than what it says."""

    def on_broken_pipe(self) -> None:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


out = _Console(width=line_width() or WIDTH_WITHOUT_TERMINAL, highlight=False)
err = _Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print a result for programs: one JSON value."""
    text = json.dumps(value, indent=2, ensure_ascii=not is_unicode(sys.stdout))
    # Outside strings JSON has no character that is not printable but line ends; inside, an escape means the same.
    print("\n".join(printable_json(line) for line in text.split("\n")))


def is_unicode(stream: IO[str]) -> bool:
    """Whether a stream can take every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def say(text: str) -> None:
    """Print lines of a result for people."""
    out.print(_lines(text), soft_wrap=True, markup=False)


def note(text: str) -> None:
    """Print lines that are no result: what is going on, or a warning."""
    err.print(_lines(text), soft_wrap=True, markup=False)


def warn(text: str) -> None:
    """Print a warning that nobody should miss."""
    err.print(_lines(text), soft_wrap=True, markup=False, style="bold red")


def print_table(table: Table) -> None:
    """Print a table; where the lines are too short for its columns, each row as lines of their own."""
    columns = [printable(column) for column in table.columns]
    rows = [[printable(cell) for cell in row] for row in table.rows]
    wanted = [min(NARROWEST_COLUMN, max(map(len, cells))) for cells in zip(*([columns, *rows]), strict=True)]
    if sum(wanted) + 2 * (len(columns) - 1) > out.width:
        _print_records(columns, rows)
        return
    rich = RichTable(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        rich.add_column(Text(column), justify="right" if number in table.numeric else "left", overflow="fold")
    for row in rows:
        rich.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    out.print(rich)


def print_section(section: Section) -> None:
    """Print a part of a report."""
    out.print(f"\n{printable(section.title)}", markup=False, style="bold")
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
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
        yield progress


def _lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _print_records(columns: list[str], rows: list[list[str]]) -> None:
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            out.print(Text.assemble((f"{column}: ", "bold"), (cell, STYLES.get(cell, ""))), overflow="fold")
        out.print("")
