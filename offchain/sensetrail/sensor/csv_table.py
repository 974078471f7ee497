"""Tables of text: CSV with its delimiters, quotes, encodings, and what a power failure leaves of a file.

The header's number of fields holds for every row. A row's number is the one of the line where it begins, as an editor
shows it.
"""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from sensetrail.core.text import printable
from sensetrail.errors import InputError, ReadingError

LONGEST_LINE = 1 << 20
"""Characters: a longer line is no row of a table."""
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
"""Those that are looked for, by their names."""


if TYPE_CHECKING:
    from _csv import Reader as CsvReader


class LastLine(StrEnum):
    """What to do with a last line that has no line end."""

    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text file is written, as far as the user says; None to find out.

    Attributes:
        delimiter: Between two fields, one character.
        encoding: Of the text; without a word of the user, UTF-8, or what a byte order mark says.
        last_line: What to do with a last line that has no line end; None to refuse it.
    """

    delimiter: str | None = None
    encoding: str | None = None
    last_line: LastLine | None = None


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text.

    Attributes:
        header: Its columns' names.
        delimiter: Between two fields.
        encoding: Of the text.
        rows: Each row's number and fields, or the error that it is.
    """

    header: tuple[str, ...]
    delimiter: str
    encoding: str
    rows: Iterator[tuple[int, Sequence[str] | ReadingError]]


Fits = Callable[[Sequence[str]], bool]
"""Says of a header whether it has the columns that are needed."""


def parse_delimiter(text: str) -> str:
    r"""Read a delimiter that a user gives: one character, or its name.

    Raises:
        InputError: It cannot be one.
    """
    found = DELIMITERS.get(text.casefold(), {"space": " ", "\\t": "\t"}.get(text.casefold(), text))
    if len(found) != 1 or found in '"\r\n' or (not found.isprintable() and found != "\t") or found.isalnum():
        raise InputError(
            f"{printable(text, 20)!r} cannot be a delimiter", f"give one sign, or its name: {', '.join(DELIMITERS)}"
        )
    return found


@contextmanager
def open_table(stream: BinaryIO, file: str, dialect: Dialect, fits: Fits) -> Iterator[TextTable]:
    """Read a table's header, and prepare to read its rows.

    Args:
        stream: The file's bytes.
        file: Its name, for messages.
        dialect: How it is written.
        fits: Tells the delimiter by the header that it gives.

    Yields:
        The table; the stream stays open, and the caller's to close.

    Raises:
        InputError: It is not a table of text.
    """
    encoding = dialect.encoding or _marked_encoding(stream)
    lines = _Lines(stream, file, encoding)
    try:
        yield _read_header(lines, dialect, fits)
    finally:
        lines.let_go()


def _read_header(lines: _Lines, dialect: Dialect, fits: Fits) -> TextTable:
    file, encoding = lines.file, lines.encoding
    first = next(lines, "")
    if first[:4].casefold() == "sep=" and len(first.rstrip("\r\n")) == 5:
        # A spreadsheet's own note of its delimiter.
        dialect = Dialect(first[4], dialect.encoding, dialect.last_line)
        first = next(lines, "")
    delimiter = dialect.delimiter or _find_delimiter(first, fits)
    reader = _reader(chain([first], lines), delimiter)
    # Bytes that are no text are named by their row before anything is made of it.
    _require_text(first, lines.count, file, encoding)
    try:
        header = tuple(name.strip() for name in next(reader, []))
    except csv.Error as error:
        raise _no_csv(file, lines.count, str(error)) from error
    rows = _Rows(
        reader, lines, file, encoding, header, delimiter, dialect.last_line, before=lines.count - reader.line_num
    )
    return TextTable(header, delimiter, encoding, iter(rows))


@dataclass(slots=True)
class _Rows:
    """A table's rows behind its header."""

    reader: CsvReader
    lines: _Lines
    file: str
    encoding: str
    header: Sequence[str]
    delimiter: str
    last_line: LastLine | None
    before: int

    def __iter__(self) -> Iterator[tuple[int, Sequence[str] | ReadingError]]:
        while True:
            number = self.before + self.reader.line_num + 1
            self.lines.read.clear()
            try:
                fields = next(self.reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise _no_csv(self.file, number, str(error)) from error
            if not any(field.strip() for field in fields):
                continue
            if not self.lines.is_ended:
                if self.last_line is None:
                    raise InputError(
                        f"{self.file}, row {number}: the last line has no line end, so nobody can tell whether it is "
                        "whole",
                        "look at it, then say --last-line keep or --last-line drop",
                    )
                if self.last_line is LastLine.DROP:
                    return
            for offset, line in enumerate(self.lines.read):
                _require_text(line, number + offset, self.file, self.encoding)
            yield number, self._checked(number, fields)

    def _named(self) -> int:
        """Give how many columns there are up to the last one that has a name."""
        return max((i for i, name in enumerate(self.header, start=1) if name), default=0)

    def _checked(self, number: int, fields: list[str]) -> Sequence[str] | ReadingError:
        if any(line.count(self.delimiter) + 1 >= len(self.header) for line in self.lines.read[1:]):
            raise InputError(
                f"{self.file}, row {number}: a quotation mark opens here and closes rows later: rows would be lost",
                "close or remove the quotation mark",
            )
        zeros = sum(field.count("\0") for field in fields)
        if zeros:
            return ReadingError(
                f"{zeros} zero bytes: the file was damaged, as by a power failure while it was written",
                "remove the row",
            )
        if len(fields) == len(self.header) and any(field.strip() for field in fields[self._named() :]):
            return ReadingError(
                "a field behind the last column that has a name: are there decimal commas?",
                "use another delimiter than the comma, or name the column",
            )
        if len(fields) != len(self.header):
            more = len(fields) > len(self.header)
            return ReadingError(
                f"{len(fields)} fields, and the header has {len(self.header)}"
                + (
                    ": are there decimal commas?"
                    if more and self.delimiter == ","
                    else ", as of a row that was cut off"
                    if not more
                    else ""
                ),
                "use another delimiter than the comma, or quotation marks" if more else "repair or remove the row",
            )
        return fields


@dataclass(slots=True)
class _Lines:
    """A file's lines, one at a time; `count` of them so far, `read` since it was last cleared."""

    stream: BinaryIO
    file: str
    encoding: str
    count: int = 0
    is_ended: bool = True
    read: list[str] = field(default_factory=list)
    _text: io.TextIOWrapper = field(init=False)

    def __post_init__(self) -> None:
        # Undecodable bytes become half surrogates, which _require_text finds in their row.
        try:
            self._text = io.TextIOWrapper(self.stream, encoding=self.encoding, errors=UNDECODABLE, newline="")
        except (LookupError, ValueError) as error:
            raise InputError(
                f"no encoding is named {printable(self.encoding, 40)!r}", "give one such as utf-8 or cp1252"
            ) from error

    def let_go(self) -> None:
        """Leave the stream to whoever opened it."""
        self._text.detach()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = self._text.readline(LONGEST_LINE)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(f"{self.file} cannot be read to its end: {error}", "is it cut off, or damaged?") from error
        except ValueError as error:
            raise _no_csv(self.file, self.count + 1, f"not {self.encoding}") from error
        if not line:
            raise StopIteration
        self.count += 1
        self.is_ended = line.endswith(("\n", "\r"))
        if not self.is_ended and len(line) == LONGEST_LINE:
            raise _no_csv(self.file, self.count, f"longer than {LONGEST_LINE} characters")
        self.read.append(line)
        return line


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    """Decode a byte that is not text as a half surrogate, as `surrogateescape` does, but in UTF-16 too."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(0xDC00 + error.object[error.start]), error.end


UNDECODABLE = "sensetrail.undecodable"
codecs.register_error(UNDECODABLE, _mark_undecodable)


def _marked_encoding(stream: BinaryIO) -> str:
    start = stream.peek(4)[:4]  # type: ignore[attr-defined]
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-8-sig"


def _find_delimiter(line: str, fits: Fits) -> str:
    """Find the delimiter under which a header has the columns needed, or else the most columns."""
    headers = {delimiter: _split(line, delimiter) for delimiter in DELIMITERS.values()}
    for delimiter, header in headers.items():
        if fits(header):
            return delimiter
    return max(headers, key=lambda delimiter: len(headers[delimiter]))


def _reader(lines: Iterable[str], delimiter: str) -> CsvReader:
    return csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(_reader([line], delimiter), [])]
    except csv.Error:
        return []


def _require_text(line: str, number: int, file: str, encoding: str) -> None:
    if line.isascii():
        return
    bad = next((character for character in line if "\udc00" <= character <= "\udcff"), None)
    if bad is not None:
        raise InputError(
            f"{file} is not a CSV file: row {number} has the byte 0x{ord(bad) - 0xDC00:02x}, which is not "
            f"{printable(encoding, 40)}",
            "save it as UTF-8, or name its encoding, such as --encoding cp1252",
        )


def _no_csv(file: str, number: int, why: str) -> InputError:
    if "unexpected end of data" in why:
        why = "a quotation mark opens here and is never closed"
    elif "expected after" in why:
        why = "a quotation mark closes inside a field"
    elif "field limit" in why or "new-line" in why:
        why = "a field without an end; is a quotation mark open?"
    return InputError(f"{file} is not a CSV file: row {number}: {why}", "repair the row")
