"""Batches: many readings under one header word, in the formats the registry takes.

    header   device 160 bits | start 32 | period 16 | first sequence number 24 | count 16 | format 8
    own      one reading of the device's own transaction: temperature 2 bytes, humidity 2
    timed    6 bytes a reading: seconds since the reading before (the first: since start), temperature, humidity
    regular  4 bytes a reading: temperature, humidity; reading i was measured at start + i * period
    delta    the first reading as regular, each other 2 bytes: what temperature and humidity changed by (values wrap at
             16 bits); times as regular

All big-endian, temperature in two's complement. `encode` and `decode` are inverse to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.primitives import Address, address, address_bytes, keccak256
from sensetrail.core.reading import HUMIDITY_LIMITS, TEMPERATURE_LIMITS, TIME_LIMITS, Measurements
from sensetrail.errors import MalformedEventError, ReadingError

MAX_COUNT = 10_000
"""The most readings a batch may have, as in the contract."""
MAX_GAP = 2**16 - 1
"""Seconds: the longest gap inside one batch."""
MAX_SEQUENCE = 2**24 - 1


class Format(IntEnum):
    """How a batch's data is laid out."""

    OWN = 0
    TIMED = 1
    REGULAR = 2
    DELTA = 3

    def length(self, count: int) -> int:
        """Give how many bytes this many readings take."""
        match self:
            case Format.TIMED:
                return 6 * count
            case Format.DELTA:
                return 2 * count + 2
            case _:
                return 4 * count


@dataclass(frozen=True, slots=True)
class Header:
    """A batch's header word.

    Attributes:
        device: Whose readings they are.
        start: Unix seconds.
        period: Seconds between two readings of a regular batch, else 0.
        first_sequence: The first reading's sequence number.
        count: How many readings.
        format: The data's layout, as its number: a hostile header may hold any.
    """

    device: Address
    start: int
    period: int
    first_sequence: int
    count: int
    format: int

    def pack(self) -> int:
        """Give the header word, an unsigned 256-bit integer."""
        word = int.from_bytes(address_bytes(self.device), "big")
        for value, bits in (
            (self.start, 32),
            (self.period, 16),
            (self.first_sequence, 24),
            (self.count, 16),
            (self.format, 8),
        ):
            if not 0 <= value < 1 << bits:
                raise ReadingError(f"a header field of {bits} bits cannot hold {value}", "split the batch")
            word = word << bits | value
        return word

    @classmethod
    def unpack(cls, word: int) -> Header:
        """Take a header word apart; every word is some header."""
        return cls(
            device=address((word >> 96).to_bytes(20, "big")),
            start=word >> 64 & 0xFFFFFFFF,
            period=word >> 48 & 0xFFFF,
            first_sequence=word >> 24 & 0xFFFFFF,
            count=word >> 8 & 0xFFFF,
            format=word & 0xFF,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it travels: header and data."""

    header: Header
    data: bytes

    def commit(self, head: bytes) -> bytes:
        """Extend a device's head by this batch.

        Args:
            head: The head before, 20 bytes.

        Returns:
            The head after, 20 bytes.
        """
        return keccak256(head + self.header.pack().to_bytes(32, "big") + keccak256(self.data))[:20]


def encode(device: Address, first_sequence: int, measurements: Measurements, kind: Format | None = None) -> Batch:
    """Lay measurements out as one batch.

    Args:
        device: Whose they are.
        first_sequence: The first one's sequence number.
        measurements: 1 to 10,000 of them, times not falling and no gap above 65,535 s.
        kind: The format; None for the one that takes the fewest bytes.

    Returns:
        The batch.

    Raises:
        ReadingError: They do not fit one batch, or not this format.
    """
    _require_fit(measurements)
    possible = formats(measurements)
    kind = possible[0] if kind is None else kind
    if kind not in possible:
        raise ReadingError(f"these readings do not fit the {kind.name.lower()} format", "encode them as timed")
    times = measurements.measured_at
    gaps = np.diff(times)
    period = int(gaps[0]) if kind is not Format.TIMED and len(gaps) else 0
    header = Header(device, int(times[0]), period, first_sequence, len(times), kind)
    values = np.stack([measurements.temperature & 0xFFFF, measurements.humidity], axis=1)
    if kind is Format.TIMED:
        values = np.column_stack([np.concatenate(([0], gaps)), values])
    data = values.astype(">u2").tobytes()
    if kind is Format.DELTA:
        data = data[:4] + np.stack(changes(measurements), axis=1).astype("i1").tobytes()
    return Batch(header, data)


def formats(measurements: Measurements) -> list[Format]:
    """Give the formats that fit measurements which fit a batch, the shortest first."""
    gaps = np.diff(measurements.measured_at)
    if len(gaps) and not ((gaps == gaps[0]).all() and gaps[0] > 0):
        return [Format.TIMED]
    small = all(((change >= -128) & (change <= 127)).all() for change in changes(measurements))
    delta = [Format.DELTA] if small and len(gaps) else []
    return [*delta, Format.REGULAR, Format.TIMED]


def changes(measurements: Measurements) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give what temperature and humidity changed by from each reading to the next, shape `(n - 1,)` each."""
    return np.diff(measurements.temperature), np.diff(measurements.humidity)


def encode_own(device: Address, sequence: int, measured_at: int, temperature: int, humidity: int) -> Batch:
    """Lay out one reading of the device's own transaction, as its head commits to it."""
    data = (temperature & 0xFFFF).to_bytes(2, "big") + humidity.to_bytes(2, "big")
    return Batch(Header(device, measured_at, 0, sequence, 1, Format.OWN), data)


def decode(batch: Batch) -> Measurements:
    """Read a batch's measurements.

    Args:
        batch: From anywhere.

    Returns:
        Its measurements; a hostile batch's times may lie beyond 32 bits.

    Raises:
        MalformedEventError: Format, count and length do not agree.
    """
    header, data = batch.header, batch.data
    if header.format not in set(Format) or not 1 <= header.count <= MAX_COUNT:
        raise MalformedEventError(
            f"a batch of format {header.format} with {header.count} readings cannot have been accepted",
            "the node is not telling the truth: use another",
        )
    kind = Format(header.format)
    if len(data) != kind.length(header.count):
        raise MalformedEventError(
            f"{header.count} {kind.name.lower()} readings in {len(data)} bytes of data",
            "the node is not telling the truth: use another",
        )
    start = header.start
    if kind is Format.DELTA:
        first = np.frombuffer(data[:4], dtype=">u2").astype(np.int64)
        steps = np.frombuffer(data[4:], dtype="i1").reshape(-1, 2).astype(np.int64)
        values = np.concatenate(([first], first + np.cumsum(steps, axis=0))) & 0xFFFF
    else:
        values = np.frombuffer(data, dtype=">u2").reshape(header.count, -1).astype(np.int64)
    if kind is Format.TIMED:
        measured_at = start + np.cumsum(values[:, 0])
    else:
        measured_at = start + header.period * np.arange(header.count, dtype=np.int64)
    temperature = (values[:, -2] ^ 0x8000) - 0x8000
    return Measurements(measured_at, temperature, values[:, -1])


def _require_fit(measurements: Measurements) -> None:
    if not 1 <= len(measurements) <= MAX_COUNT:
        raise ReadingError(f"a batch of {len(measurements)} readings", f"send 1 to {MAX_COUNT} at a time")
    for name, column, (low, high) in (
        ("time", measurements.measured_at, TIME_LIMITS),
        ("temperature", measurements.temperature, TEMPERATURE_LIMITS),
        ("humidity", measurements.humidity, HUMIDITY_LIMITS),
    ):
        if column.min() < low or column.max() > high:
            raise ReadingError(f"a {name} outside {low} to {high}", "repair the readings")
    gaps = np.diff(measurements.measured_at)
    if len(gaps) and (gaps.min() < 0 or gaps.max() > MAX_GAP):
        raise ReadingError("times that fall back, or a gap above 65,535 s, inside a batch", "split the batch there")
