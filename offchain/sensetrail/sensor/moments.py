"""Moments as files write them, and the instants that they mean.

Text is ISO 8601, extended or basic, also with a space or a slash, with or without an offset. A bare number is a time
only where it can be one: Unix seconds from 2000 to 2080. Other numbers are refused and named as what they seem to be; a
`TimeUnit` says how to read them. Fractions of a second are cut off, because the chain's clock counts whole seconds.

A moment without an offset is local time: of `Clock.zone`, or UTC where none is given. Local time falls back at the end
of summer time, and then an hour stands twice in a file. `settle` tells the two apart by the order of the readings, and
refuses where that does not decide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from zoneinfo import ZoneInfo

from sensetrail.core.reading import TIME_LIMITS
from sensetrail.core.text import printable
from sensetrail.errors import InputError, ReadingError

EARLIEST = 946_684_800
"""2000-01-01: sensors with an unset clock write earlier times. Unix seconds."""
LATEST_NUMBER = 3_471_292_800
"""2080-01-01: a greater number is hardly Unix seconds."""
LONGEST_JUMP = 5 * 365 * 86_400
"""Seconds between two readings of a device after which its clock is rather being set than running."""
LONGEST_FALL = 2 * 3600
"""Seconds by which local time may fall back."""
_EPOCH_DAY = datetime(1970, 1, 1).toordinal()


class TimeUnit(StrEnum):
    """What bare numbers count."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"
    EXCEL = "excel"


SCALES = {
    TimeUnit.SECONDS: 1,
    TimeUnit.MILLISECONDS: 10**3,
    TimeUnit.MICROSECONDS: 10**6,
    TimeUnit.NANOSECONDS: 10**9,
}
"""How many of each since 1970 make a second."""
EXCEL_EPOCH = 25_569
"""1970-01-01 as Excel counts days."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment as a file says it.

    Attributes:
        seconds: Unix seconds; for a local one, those that UTC would have at the same reading of the clock.
        is_local: Whether the file says no offset.
    """

    seconds: int
    is_local: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """How a file writes its times.

    Attributes:
        zone: Of moments without an offset; None for UTC.
        unit: What bare numbers count; None for Unix seconds, if they can be that.
        form: For text that is not ISO 8601: its form, as `datetime.strptime` takes it.
        any_time: Take times before 2000, and jumps of years, instead of refusing them.
    """

    zone: ZoneInfo | None = None
    unit: TimeUnit | None = None
    form: str | None = None
    any_time: bool = False


def parse_zone(name: str) -> ZoneInfo:
    """Find a time zone by its IANA name, such as Europe/Berlin.

    Raises:
        InputError: No zone has this name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"no time zone is named {printable(name, 60)!r}", "give an IANA name, such as Europe/Berlin or UTC"
        ) from error


def parse_form(form: str) -> str:
    """Take a form of times that a user gives, if it tells a moment.

    Raises:
        InputError: `datetime.strptime` does not take it, or what it reads is not one moment.
    """
    signs = set(re.findall(r"%(.)", form.replace("%%", ""), re.DOTALL))
    fault = None
    if "Z" in signs:
        fault = "the name of a zone (%Z) does not tell its offset: write the name itself, and say --zone"
    elif ("p" in signs) != ("I" in signs):
        fault = "%I and %p, the hour of half a day and AM or PM, go together"
    elif not signs & set("Yycx") or not (signs & set("dcxj") and signs & set("mbBhcxj")):
        fault = "it has to tell the year, the month and the day"
    else:
        try:
            datetime.strptime(datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC).strftime(form), form)
        except (ValueError, re.error) as error:
            fault = printable(str(error), 80)
    if fault is not None:
        raise InputError(
            f"--time-format {printable(form, 60)!r} cannot be read by: {fault}", "give one such as '%d.%m.%Y %H:%M:%S'"
        )
    return form


def parse_moment(cell: str, clock: Clock) -> Moment:
    """Read a moment.

    Args:
        cell: Text, or a number's digits.
        clock: How the file writes times.

    Raises:
        ReadingError: It is not a time, or not a plausible one.
    """
    text = cell.strip()
    if not text:
        raise ReadingError("time is missing", "repair the file")
    if clock.form is not None:
        moment = _by_form(text, clock.form)
    elif _NUMBER.fullmatch(text):
        moment = _of_number(text, clock)
    else:
        moment = _of_text(text)
    return require_plausible(moment, text, clock)


def require_plausible(moment: Moment, text: str, clock: Clock) -> Moment:
    """Give a moment back if a reading can have been made at it.

    Raises:
        ReadingError: It lies outside what a reading can hold, or before 2000, unless the clock takes any time.
    """
    shown = printable(text, 40)
    if not TIME_LIMITS[0] <= moment.seconds <= TIME_LIMITS[1]:
        raise ReadingError(f"time {shown} is outside what a reading can hold (1970 to 2106)", "repair the file")
    if moment.seconds < EARLIEST and not clock.any_time:
        raise ReadingError(
            f"time {shown} is before 2000: was the sensor's clock not set yet?",
            "remove such rows, or take them all the same with --any-time",
        )
    return moment


def unix_seconds(text: str) -> int:
    """Read a moment that a person gives: ISO 8601 (without an offset: UTC) or Unix seconds; fractions are cut off.

    Zero stands for the beginning of time; every other bare number has to be plausible as Unix seconds.

    Raises:
        ReadingError: It is neither, or outside what a reading can hold.

    Example:
        >>> unix_seconds("2026-01-31T06:00+01:00")
        1769835600
    """
    if text.strip() == "0":
        return 0
    is_number = _NUMBER.fullmatch(text.strip()) is not None
    return parse_moment(text, Clock(any_time=not is_number)).seconds


def settle(moments: Sequence[Moment], rows: Sequence[str], device: str, clock: Clock) -> list[int]:
    """Give the instants of one device's moments.

    Args:
        moments: In the order of the file.
        rows: Where each stands, for messages.
        device: Whose they are, for messages.
        clock: How the file writes times.

    Returns:
        Unix seconds, in the same order; that they rise is for the caller to verify.

    Raises:
        InputError: A local time does not exist, or the order does not tell which of two instants it means.
    """
    zone = clock.zone
    if zone is None or not any(moment.is_local for moment in moments):
        return [moment.seconds for moment in moments]
    both = [_instants(moment, zone, row) for moment, row in zip(moments, rows, strict=True)]
    instants: list[int] = []
    start = 0
    while start < len(both):
        stop = start
        while stop < len(both) and both[stop][0] != both[stop][1]:
            stop += 1
        if stop > start:
            instants += _twice(both[start:stop], rows[start], device, zone)
            start = stop
        else:
            instants.append(both[start][0])
            start += 1
    return instants


def _twice(both: Sequence[tuple[int, int]], row: str, device: str, zone: ZoneInfo) -> list[int]:
    """Divide local times that the clock shows twice: those before the step back come first."""
    falls = [i for i in range(1, len(both)) if both[i][0] < both[i - 1][0]]
    if len(falls) != 1:
        why = "steps back more than once" if falls else "does not step back"
    elif 2 * (both[falls[0]][1] - both[falls[0] - 1][0]) > both[0][1] - both[0][0]:
        # Rows that are out of order look like this, too.
        why = f"steps back by only {both[falls[0] - 1][0] - both[falls[0]][0]} s"
    else:
        return [earlier for earlier, _ in both[: falls[0]]] + [later for _, later in both[falls[0] :]]
    raise InputError(
        f"{row}: {zone.key} has this hour twice, and device {device}'s time {why} in it: which one is meant?",
        "write these rows' times with an offset, such as 02:30:00+02:00",
    )


def _instants(moment: Moment, zone: ZoneInfo, row: str) -> tuple[int, int]:
    """Give the instants that a moment may mean: the earlier and the later, mostly the same."""
    if not moment.is_local:
        return moment.seconds, moment.seconds
    local = datetime(1970, 1, 1) + timedelta(seconds=moment.seconds)
    earlier, later = (int(local.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    if later < earlier:
        raise InputError(
            f"{row}: {local} does not exist in {zone.key}: clocks were put forward over it",
            "check --zone: are the times perhaps UTC, or without summer time?",
        )
    if not TIME_LIMITS[0] <= earlier <= later <= TIME_LIMITS[1]:
        raise InputError(
            f"{row}: {local} in {zone.key} is outside what a reading can hold (1970 to 2106)", "repair the file"
        )
    return earlier, later


_NUMBER = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_TEXT = re.compile(
    r"""
    (?P<year>\d{4})
    (?: (?P<mark>[-/]) (?P<month>\d\d) (?P=mark) (?P<day>\d\d) | (?P<month_>\d\d) (?P<day_>\d\d) )
    (?: [Tt ]
        (?: (?P<hour>\d\d) : (?P<minute>\d\d) (?: : (?P<second>\d\d) (?: [.,] \d{1,30} )? )?
          | (?P<hour_>\d\d) (?P<minute_>\d\d) (?: (?P<second_>\d\d) (?: [.,] \d{1,30} )? )? )
        \s* (?: (?P<utc> Z | z | UTC | GMT ) | (?P<sign>[+-]) (?P<hours>\d\d) (?: :? (?P<minutes>\d\d) )? (?:\s*UTC)? )?
    )?
    """,
    re.ASCII | re.VERBOSE,
)


def _of_text(text: str) -> Moment:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ReadingError(
            f"time {printable(text, 40)!r} is no time",
            "write ISO 8601 or Unix seconds, or say how it is written: --time-format '%d.%m.%Y %H:%M:%S'",
        )
    part = {name: value for name, value in found.groupdict().items() if value is not None}
    numbers = [
        int(part.get(name) or part.get(f"{name}_") or 0)
        for name in ("year", "month", "day", "hour", "minute", "second")
    ]
    try:
        local = _seconds(datetime(*numbers))  # type: ignore[arg-type]
    except ValueError as error:
        raise ReadingError(f"time {printable(text, 40)!r} is no time: {error}", "repair the file") from error
    if "sign" not in part:
        return Moment(local, is_local="utc" not in part)
    hours, minutes = int(part["hours"]), int(part.get("minutes", 0))
    if hours > 15 or minutes > 59:
        raise ReadingError(f"time {printable(text, 40)!r} has an offset that no place has", "repair the file")
    offset = 3600 * hours + 60 * minutes
    return Moment(local + (offset if part["sign"] == "-" else -offset), is_local=False)


def _seconds(local: datetime) -> int:
    day = local.toordinal() - _EPOCH_DAY
    return 86_400 * day + 3600 * local.hour + 60 * local.minute + local.second


_UNDIVIDED = re.compile(r"(?:%[YymdHIMSj]){2,}")


def _by_form(text: str, form: str) -> Moment:
    try:
        found = datetime.strptime(text, form)
        # Where no sign divides two numbers, one that is a digit short takes a digit of the next.
        if any(found.strftime(group) not in text for group in _UNDIVIDED.findall(form)):
            raise ValueError
    except (ValueError, re.error, OverflowError) as error:
        raise ReadingError(
            f"time {printable(text, 40)!r} is not written as {printable(form, 40)}", "repair the file or --time-format"
        ) from error
    if found.tzinfo is None:
        return Moment(_seconds(found), is_local=True)
    return Moment(_seconds(found.astimezone(UTC)), is_local=False)


def _of_number(text: str, clock: Clock) -> Moment:
    if "e" in text.lower():
        raise ReadingError(
            f"time {text} is rounded: in this notation its last digits are lost",
            "write the numbers out; a spreadsheet does that in the number format 0",
        )
    # Its eight digits would be a day in 1970 as seconds: nobody means that.
    if clock.unit is None and re.fullmatch(r"(?:19|20|21)\d{6}", text, re.ASCII):
        return _of_text(text)
    number = _decimal(text)
    unit = clock.unit or TimeUnit.SECONDS
    if unit is TimeUnit.EXCEL:
        # Excel shows a day's fraction with five digits, which are up to 0.43 s off: the nearest second is meant.
        moment = Moment(max(round((number - EXCEL_EPOCH) * 86_400), -1), is_local=True)
    else:
        exact = number / SCALES[unit]
        moment = Moment(int(exact) if exact >= 0 else -1, is_local=False)
    if clock.any_time or EARLIEST <= moment.seconds < LATEST_NUMBER:
        return moment
    seems, to_do = _seems(number)
    raise ReadingError(f"time {text} cannot be {_COUNTED[unit]}: {seems}", to_do)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ReadingError(f"time {text} is no time", "repair the file") from error


_COUNTED = {
    TimeUnit.SECONDS: "Unix seconds",
    TimeUnit.MILLISECONDS: "milliseconds since 1970",
    TimeUnit.MICROSECONDS: "microseconds since 1970",
    TimeUnit.NANOSECONDS: "nanoseconds since 1970",
    TimeUnit.EXCEL: "Excel's days",
}


def _seems(number: Decimal) -> tuple[str, str]:
    """Say what a number that is no plausible time seems to be, and what to do about it."""
    for unit, scale in SCALES.items():
        if EARLIEST * scale <= number < LATEST_NUMBER * scale:
            return f"it seems to be {_COUNTED[unit]}", f"read it so: --time-unit {unit}"
    if 36_526 <= number < 65_746:
        return "it seems to be a day as Excel counts them", "read it so: --time-unit excel"
    if Decimal("19700101000000") <= number < Decimal("21060101000000"):
        return "it seems to be date and time without marks", "read it so: --time-format %Y%m%d%H%M%S"
    others = {
        (LATEST_NUMBER, 2**32): "it seems to be seconds since 1900 or 1904",
        (630 * 10**15, 660 * 10**15): "it seems to be .NET ticks",
        (125 * 10**15, 160 * 10**15): "it seems to be a Windows file time",
        (10**8, EARLIEST): "it would be before 2000",
        (0, 10**8): "it seems to be the time since the sensor was switched on, or a count",
    }
    for (low, high), seems in others.items():
        if low <= number < high:
            return seems, "give each row its date and time; to take it as Unix seconds all the same: --any-time"
    return "it is no date that a sensor can have", "write ISO 8601 or Unix seconds"
