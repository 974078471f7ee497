"""Accepted readings decoded in columns: all events of many blocks together, for there can be one event a reading.

An event says a header word, data, and which verdicts are not 0; an own reading is brought into the same form.
`events.decode_log` and `batch.decode` are the plain twins, one event at a time: an event that is not exactly what they
take is given to them, and they raise the error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count as counting

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.batch import MAX_COUNT, Format, decode
from sensetrail.core.events import Accepted, decode_log
from sensetrail.core.logs import LogTable
from sensetrail.core.primitives import Address, address
from sensetrail.core.reading import Measurements
from sensetrail.core.signature import P256_LENGTH, SECP256K1_LENGTH

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

_WORD = 32
_OWN_DATA = 4
"""Bytes of an own reading's data: temperature, humidity."""
_BATCH_HEAD = 4 * _WORD
"""What stands before a batch's payload: header word, where payload and exceptions begin, the payload's length."""
_EXCEPTION = 3
"""Bytes of an exception: index 2, verdict 1."""


@dataclass(frozen=True, slots=True, eq=False)
class AcceptedColumns:
    """Some blocks' accepted readings: `e` events in the order of the chain, `x` exceptions among them.

    Attributes:
        at: The events' logs, as indices into the table, shape `(e,)`.
        header: The header words, shape `(e, 32)`.
        data: All events' data, among other bytes.
        data_start: Where each event's begins in it, shape `(e,)`.
        data_end: Where it ends, shape `(e,)`.
        exception_event: The event that each verdict other than 0 is in, never falling, shape `(x,)`.
        exception_index: Of which of its readings, shape `(x,)`.
        exception: The verdict, uint8, shape `(x,)`.
        names: The devices.
        device: Whose each event is, as an index into `names`, shape `(e,)`.
        first_sequence: Its first reading's sequence number, shape `(e,)`.
        count: How many readings it brings, shape `(e,)`.
    """

    at: Integers
    header: Bytes
    data: bytes
    data_start: Integers
    data_end: Integers
    exception_event: Integers
    exception_index: Integers
    exception: Bytes
    names: Sequence[Address]
    device: Integers
    first_sequence: Integers
    count: Integers

    def __len__(self) -> int:
        return len(self.at)

    @classmethod
    def of(cls, table: LogTable, own: Integers, batches: Integers) -> AcceptedColumns:
        """Decode accepted readings.

        Args:
            table: All logs.
            own: Those that are `ReadingPosted` by their topic, as indices into the table.
            batches: Those that are `BatchAccepted`.

        Raises:
            MalformedEventError: There is one that the registry cannot have emitted.
        """
        for found in (own, batches):
            _require(table, found, table.entries["topic_count"][found] == 2)
        parts = [_read_own(table, own), _read_batches(table, batches)]
        # In the order of the chain again.
        at = np.concatenate([own, batches])
        order = np.argsort(at)
        place = np.argsort(order)
        header = np.concatenate([part.header for part in parts])[order]
        exception_event = np.concatenate([place[: len(own)][parts[0].event], place[len(own) :][parts[1].event]])
        by_event = np.argsort(exception_event, kind="stable")
        names, device = _number(header)
        return cls(
            at[order],
            header,
            table.data + parts[0].data,
            np.concatenate([part.start for part in parts])[order],
            np.concatenate([part.end for part in parts])[order],
            exception_event[by_event],
            np.concatenate([part.index for part in parts])[by_event],
            np.concatenate([part.verdict for part in parts])[by_event],
            names,
            device,
            _unsigned(header[:, 26:29]),
            _unsigned(header[:, 29:31]),
        )

    def headers_of(self, events: Integers) -> list[bytes]:
        """Give some events' header words, 32 bytes each."""
        joined = self.header[events].tobytes()
        return [joined[i : i + _WORD] for i in range(0, len(joined), _WORD)]

    def data_of(self, events: Integers) -> list[bytes]:
        """Give some events' data."""
        bounds = zip(self.data_start[events].tolist(), self.data_end[events].tolist(), strict=True)
        return [self.data[start:end] for start, end in bounds]

    def measurements_of(self, events: Integers, data: Sequence[bytes]) -> Measurements:
        """Give some events' readings.

        Args:
            events: One or more, `n` readings together.
            data: Theirs.
        """
        header, count = self.header[events], self.count[events]
        kinds = header[:, 31]
        if (kinds == kinds[0]).all():
            return _decode(Format(int(kinds[0])), header, count, data)
        columns = np.empty((3, int(count.sum())), np.int64)
        for kind in np.unique(kinds).tolist():
            chosen = kinds == kind
            part = _decode(
                Format(kind), header[chosen], count[chosen], [data[i] for i in np.flatnonzero(chosen).tolist()]
            )
            columns[:, np.repeat(chosen, count)] = part.measured_at, part.temperature, part.humidity
        return Measurements(*columns)

    def verdicts_of(self, events: Integers) -> Bytes:
        """Give the contract's verdicts on some events' readings, shape `(n,)`; the events in the order of the chain."""
        count = self.count[events]
        verdicts = np.zeros(int(count.sum()), np.uint8)
        low, high = (np.searchsorted(self.exception_event, events, side) for side in ("left", "right"))
        found = high - low
        chosen = np.repeat(low - (np.cumsum(found) - found), found) + np.arange(int(found.sum()))
        begin = np.repeat(np.cumsum(count) - count, found)
        verdicts[begin + self.exception_index[chosen]] = self.exception[chosen]
        return verdicts


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Events of one kind, as above; `event` is an index among them."""

    header: Bytes
    data: bytes
    start: Integers
    end: Integers
    event: Integers
    index: Integers
    verdict: Bytes


def _read_own(table: LogTable, logs: Integers) -> _Part:
    """Decode own readings: their data is put together here, to stand behind the table's."""
    _require(table, logs, table.entries["data_length"][logs] == 5 * _WORD)
    words = _take(table.data, table.data_start[logs], 5 * _WORD).reshape(-1, 5, _WORD)
    device = table.topics[table.topic_start[logs] + 1]
    high, low = _parts(words[:, 2])
    _require(
        table,
        logs,
        (_small(words[:, 0]) >> 24 == 0)
        & (_small(words[:, 1]) >= 0)
        & (high == low >> 63).all(axis=0)
        & (low >> 15 == low >> 63)
        & (_small(words[:, 3]) >> 16 == 0)
        & (_small(words[:, 4]) >> 8 == 0)
        & ~device[:, :12].any(axis=1),
    )
    header = np.zeros((len(logs), _WORD), np.uint8)
    header[:, :20] = device[:, 12:]
    header[:, 20:24] = words[:, 1, 28:]
    header[:, 26:29] = words[:, 0, 29:]
    header[:, 30] = 1
    header[:, 31] = Format.OWN
    data = np.concatenate([words[:, 2, 30:], words[:, 3, 30:]], axis=1).tobytes()
    start = len(table.data) + _OWN_DATA * np.arange(len(logs))
    illegal = np.flatnonzero(words[:, 4, 31])
    return _Part(
        header, data, start, start + _OWN_DATA, illegal, np.zeros(len(illegal), np.int64), words[illegal, 4, 31]
    )


def _read_batches(table: LogTable, logs: Integers) -> _Part:
    """Decode batches."""
    begin, length = table.data_start[logs], table.entries["data_length"][logs].astype(np.int64)
    _require(table, logs, length >= _BATCH_HEAD + _WORD)
    words = _take(table.data, begin, _BATCH_HEAD).reshape(-1, 4, _WORD)
    header = np.ascontiguousarray(words[:, 0])
    payload_length = _small(words[:, 3])
    after_payload = _BATCH_HEAD + _padded(payload_length)
    regular = (payload_length >= SECP256K1_LENGTH) & (after_payload + _WORD <= length)
    _require(table, logs, regular)
    payload_end = begin + after_payload
    exceptions_length = _small(_take(table.data, payload_end, _WORD))
    count = _unsigned(header[:, 29:31])
    data_length = _length(header[:, 31], count)
    _require(
        table,
        logs,
        (_small(words[:, 1]) == 3 * _WORD)
        & (_small(words[:, 2]) == after_payload)
        & (length == after_payload + _WORD + _padded(exceptions_length))
        & (exceptions_length >= 0)
        & (exceptions_length % _EXCEPTION == 0)
        & (data_length > 0)
        & np.isin(payload_length - data_length, (SECP256K1_LENGTH, P256_LENGTH))
        & _is_padding_zero(table.data, payload_end, payload_length)
        & _is_padding_zero(table.data, begin + length, exceptions_length)
        & (count >= 1)
        & (count <= MAX_COUNT)
        & (table.topics[table.topic_start[logs] + 1, 12:] == header[:, :20]).all(axis=1)
        & ~table.topics[table.topic_start[logs] + 1, :12].any(axis=1),
    )
    start = begin + _BATCH_HEAD
    event, index, verdict = _read_exceptions(table.data, payload_end + _WORD, exceptions_length)
    fits = (index < count[event]) & (verdict > 0)
    fits[1:] &= (np.diff(index) > 0) | (np.diff(event) > 0)
    _require(table, logs[event], fits)
    return _Part(header, b"", start, start + data_length, event, index, verdict)


def _read_exceptions(data: bytes, start: Integers, length: Integers) -> tuple[Integers, Integers, Bytes]:
    """Give, for each exception of some events, the event, the reading's index and the verdict."""
    some = np.flatnonzero(length)
    bounds = zip(start[some].tolist(), (start + length)[some].tolist(), strict=True)
    entries = np.frombuffer(b"".join([data[low:high] for low, high in bounds]), np.uint8).reshape(-1, _EXCEPTION)
    return np.repeat(some, length[some] // _EXCEPTION), _unsigned(entries[:, :2]), entries[:, 2]


def _decode(kind: Format, header: Bytes, count: Integers, data: Sequence[bytes]) -> Measurements:
    """Decode batches of one format, as `batch.decode` does one."""
    start, period = _unsigned(header[:, 20:24]), _unsigned(header[:, 24:26])
    begin = np.cumsum(count) - count
    size = int(count.sum())
    if kind is Format.DELTA:
        values = np.empty((size, 2), np.int64)
        is_step = np.ones(size, bool)
        is_step[begin] = False
        values[begin] = np.frombuffer(b"".join([each[:4] for each in data]), ">u2").reshape(-1, 2)
        values[is_step] = np.frombuffer(b"".join([each[4:] for each in data]), "i1").reshape(-1, 2)
        fields = _running_sum(values, begin, count).astype(np.uint16)
    else:
        fields = np.frombuffer(b"".join(data), ">u2").reshape(size, -1)
    if kind is Format.TIMED:
        measured_at = np.repeat(start, count) + _running_sum(fields[:, :1].astype(np.int64), begin, count)[:, 0]
    else:
        measured_at = np.repeat(start - begin * period, count) + np.repeat(period, count) * np.arange(size)
    temperature = fields[:, -2].view(fields.dtype.str.replace("u", "i")).astype(np.int64)
    return Measurements(measured_at, temperature, fields[:, -1].astype(np.int64))


def _running_sum(values: Integers, begin: Integers, count: Integers) -> Integers:
    """Sum columns up, shape `(n, k)`, from 0 again at each event's first row."""
    total = np.cumsum(values, axis=0)
    return total - np.repeat(total[begin] - values[begin], count, axis=0)


def _number(header: Bytes) -> tuple[list[Address], Integers]:
    """Number the devices in the order in which they come; give them, and each event's number."""
    joined = header[:, :20].tobytes()
    numbers: defaultdict[bytes, int] = defaultdict(counting().__next__)
    device = [numbers[joined[i : i + 20]] for i in range(0, len(joined), 20)]
    return [address(name) for name in numbers], np.array(device, np.int64)


def _require(table: LogTable, logs: Integers, regular: NDArray[np.bool_]) -> None:
    """Have the plain twins raise the error of the first log that is not regular."""
    if regular.all():
        return
    event = decode_log(table.log(int(logs[np.argmin(regular)])))
    if isinstance(event, Accepted):
        decode(event.batch)
    raise AssertionError("the plain twins refuse this log")


def _length(kind: Bytes, count: Integers) -> Integers:
    """Give how many bytes so many readings take, as `Format.length`; -1 in a format that no batch has."""
    length = np.full(len(kind), -1)
    for each in (Format.TIMED, Format.REGULAR, Format.DELTA):
        first = each.length(0)
        length[kind == each] = first + (each.length(1) - first) * count[kind == each]
    return length


def _take(data: bytes, start: Integers, size: int) -> Bytes:
    """Take `size` bytes from each place, shape `(n, size)`."""
    if not len(start):
        return np.zeros((0, size), np.uint8)
    return np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), size)[start]


def _is_padding_zero(data: bytes, end: Integers, length: Integers) -> NDArray[np.bool_]:
    """Tell whether bytes of some length are filled up with zeros to whole words, which end at `end`."""
    padding = _padded(length) - length
    last = np.where(np.arange(_WORD) < _WORD - padding[:, None], 0, _take(data, end - _WORD, _WORD))
    return np.asarray((last == 0).all(axis=1))


def _padded(length: Integers) -> Integers:
    return -(-length // _WORD) * _WORD


def _small(words: Bytes) -> Integers:
    """Read 256-bit integers, shape `(n, 32)`; -1 for those of 2^32 and above."""
    high, low = _parts(words)
    return np.where((high == 0).all(axis=0) & (low >= 0) & (low < 2**32), low, -1)


def _parts(words: Bytes) -> tuple[Integers, Integers]:
    """Cut 256-bit integers into signed ones of 64 bits: the three high ones, shape `(3, n)`, and the low one."""
    parts = np.ascontiguousarray(words).view(">i8").astype(np.int64).T
    return parts[:3], parts[3]


def _unsigned(columns: Bytes) -> Integers:
    """Read big-endian integers of a few bytes, shape `(n, bytes)`."""
    value = np.zeros(len(columns), np.int64)
    for column in columns.T:
        value = value << 8 | column
    return value
