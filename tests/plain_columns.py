"""Accepted readings decoded one by one, by `decode_log` and `decode`, to hold the decoding in columns against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from eth_abi.abi import encode as abi_encode

from sensetrail.core.batch import Header, decode
from sensetrail.core.columns import AcceptedColumns
from sensetrail.core.events import Accepted, decode_log
from sensetrail.core.logs import Log, LogTable, gather
from sensetrail.core.primitives import Address
from sensetrail.errors import MalformedEventError
from story import BATCH_ACCEPTED, BATCH_FIELDS, READING_POSTED, SIGNATURE, log_of, word

Row = tuple[object, ...]
"""An event: device, header word, data, and each reading's number, time, temperature, humidity, contract's verdict."""

_READING_FIELDS = ["uint24", "uint32", "int16", "uint16", "uint8"]


def batch_log(header: Header, data: bytes, exceptions: bytes = b"", signature: bytes = SIGNATURE) -> Log:
    """Give the log of an accepted batch."""
    fields = abi_encode(BATCH_FIELDS, [header.pack(), data + signature, exceptions])
    return log_of(BATCH_ACCEPTED, [word(header.device)], fields)


def reading_log(device: Address, sequence: int, time: int, temperature: int, humidity: int, verdict: int) -> Log:
    """Give the log of an own reading."""
    fields = abi_encode(_READING_FIELDS, [sequence, time, temperature, humidity, verdict])
    return log_of(READING_POSTED, [word(device)], fields)


def plainly(logs: Sequence[Log]) -> list[Row]:
    """Decode them one by one.

    Raises:
        MalformedEventError: One is none.
    """
    rows: list[Row] = []
    for log in logs:
        event = decode_log(log)
        assert isinstance(event, Accepted)
        header = event.batch.header
        readings = decode(event.batch)
        columns = (readings.measured_at, readings.temperature, readings.humidity, event.verdicts)
        numbers = range(header.first_sequence, header.first_sequence + header.count)
        each = list(zip(numbers, *(column.tolist() for column in columns), strict=True))
        rows.append((event.device, header.pack().to_bytes(32, "big"), event.batch.data, each))
    return rows


def in_columns(logs: Sequence[Log]) -> list[Row]:
    """Decode them together.

    Raises:
        MalformedEventError: One is none.
    """
    table = LogTable.of(gather(logs, dict.fromkeys(range(100), 0)))
    is_own = np.array([log.topics[0] == reading_log(_ANY, 0, 0, 0, 0, 0).topics[0] for log in logs], bool)
    found = AcceptedColumns.of(table, np.flatnonzero(is_own), np.flatnonzero(~is_own))
    events = np.arange(len(logs))
    assert found.at.tolist() == events.tolist()
    data = found.data_of(events)
    readings = found.measurements_of(events, data)
    columns = (readings.measured_at, readings.temperature, readings.humidity, found.verdicts_of(events))
    number = np.repeat(found.first_sequence - np.cumsum(found.count) + found.count, found.count)
    each = list(zip((number + np.arange(len(number))).tolist(), *(c.tolist() for c in columns), strict=True))
    ends = np.cumsum(found.count).tolist()
    names = [found.names[device] for device in found.device.tolist()]
    parts = [each[end - count : end] for end, count in zip(ends, found.count.tolist(), strict=True)]
    return list(zip(names, found.headers_of(events), data, parts, strict=True))


def require_the_same(logs: Sequence[Log]) -> None:
    """Both ways decode the same, or refuse."""
    try:
        expected = plainly(logs)
    except MalformedEventError:
        expected = None
    try:
        found = in_columns(logs)
    except MalformedEventError:
        found = None
    assert found == expected


_ANY = Address("0x" + "00" * 20)
