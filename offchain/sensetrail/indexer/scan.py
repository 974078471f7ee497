"""A node's answers read in columns: the JSON's hexadecimal is found by its quotes, not by building objects.

An answer of a megabyte holds a thousand logs; a JSON parser makes some twenty objects of each. Here one pass of numpy
finds every quote, the strings between them are told apart by their first letter and length, and the values behind the
few keys that matter are taken out together. Where the answer has not the form that this takes for granted (keys, their
number and order), `UnscannableError` is raised, and the caller takes the plain way: `json` and `core.receipt`.

Nothing is proven here, and nothing has to be: what the receipts say is hashed afterwards, and a misread one hashes
wrong.
"""

from __future__ import annotations

from binascii import Error as HexError
from binascii import unhexlify
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.logs import ENTRY
from sensetrail.core.receipt import LAST_TYPE
from sensetrail.indexer.prove import list_prefix, string_prefix

QUOTE = ord('"')
_DIGITS = np.full(256, 255, np.uint8)
for _value, _digit in enumerate(b"0123456789abcdef"):
    _DIGITS[_digit] = _value
_BRACKETS = np.zeros(256, bool)
_BRACKETS[list(b"{}[]")] = True


class UnscannableError(Exception):
    """The answer has another form than is taken for granted here."""


class Strings:
    """An answer's JSON strings, `n` of them, in order: keys and values alike.

    Attributes:
        start: Where each begins, after its quote, shape `(n,)`.
        end: Where each ends, before its quote, shape `(n,)`.
    """

    def __init__(self, answer: memoryview) -> None:
        """Find the strings.

        Raises:
            UnscannableError: There are none, or escaped characters among them.
        """
        self._bytes = np.frombuffer(answer, np.uint8)
        quotes = np.flatnonzero(self._bytes == QUOTE)
        if len(quotes) == 0 or len(quotes) % 2 or (self._bytes == ord("\\")).any():
            raise UnscannableError
        self._answer = answer
        self.start, self.end = quotes[0::2] + 1, quotes[1::2]
        self.length = self.end - self.start
        # The first letter and the length tell most keys from each other; no key begins as a hexadecimal value does.
        first = self._bytes[self.start]
        self._keys = np.flatnonzero(first != ord("0"))
        self._code = self.length[self._keys] * 256 + first[self._keys]

    def find(self, key: bytes) -> NDArray[np.int64]:
        """Give where a key stands: indices of strings."""
        found = self._keys[self._code == len(key) * 256 + key[0]]
        text = self._windows(len(key))[self.start[found]]
        where: NDArray[np.int64] = found[(text == np.frombuffer(key, np.uint8)).all(axis=1)]
        return where

    def behind(self, key: bytes) -> NDArray[np.uint8]:
        """Give the first character of each value behind a key: of numbers, lists and words too; without spaces."""
        # A colon is behind a key, and a value behind that; where the answer ends before, it is cut off.
        where = self.end[self.find(key)] + 2
        if len(where) and where[-1] >= len(self._bytes):
            raise UnscannableError
        return self._bytes[where]

    def outside(self) -> NDArray[np.uint8]:
        """Give all characters that are not in strings, one after the other."""
        before = np.append(0, self.end + 1)
        length = np.append(self.start - 1, len(self._bytes)) - before
        end = np.cumsum(length)
        outside: NDArray[np.uint8] = self._bytes[np.repeat(before - end + length, length) + np.arange(end[-1])]
        return outside

    def require_logs_alone(self, topic_count: NDArray[np.int64]) -> None:
        """Make sure that an answer is one response, whose result is a list of logs and nothing else.

        Each log is an object with one list in it, its topics.

        Args:
            topic_count: How many topics each log has, shape `(n,)`.

        Raises:
            UnscannableError: It is another one, or has white space between logs or topics.
        """
        count = len(topic_count)
        text = self.outside()
        place = np.flatnonzero(_BRACKETS[text])
        if text[place].tobytes() != b"{[" + b"{[]}" * count + b"]}":
            raise UnscannableError
        opened, closed = place[2:-2:4], place[5:-2:4]
        # Between the list's brackets and the logs is nothing, and between two logs a comma: no null, no number.
        gaps = np.append(opened, place[-2]) - np.append(place[1], closed)
        inner = np.full(count + 1, 2)
        inner[[0, -1]] = 1
        if (gaps != inner).any() or (text[closed[:-1] + 1] != ord(",")).any():
            raise UnscannableError
        # Between topics there is a comma, and nothing but strings.
        if (place[4:-2:4] - place[3:-2:4] != np.maximum(topic_count, 1)).any():
            raise UnscannableError

    def fixed(self, strings: NDArray[np.int64], size: int) -> bytes:
        """Give the values of strings that are hexadecimal of `size` bytes each, one behind the other."""
        if not len(strings):
            return b""
        self._require_hexadecimal(strings)
        if (self.length[strings] != 2 * size + 2).any():
            raise UnscannableError
        return self._unhex(np.ascontiguousarray(self._windows(2 * size)[self.start[strings] + 2]))

    def data(self, strings: NDArray[np.int64]) -> list[bytes]:
        """Give the values of strings that are hexadecimal of any length."""
        self._require_hexadecimal(strings)
        bounds = zip((self.start[strings] + 2).tolist(), self.end[strings].tolist(), strict=True)
        try:
            return [unhexlify(self._answer[start:end]) for start, end in bounds]
        except (HexError, ValueError) as error:
            raise UnscannableError from error

    def quantities(self, strings: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the integers that strings say in hexadecimal, below 2^60."""
        if not len(strings):
            return np.zeros(0, np.int64)
        self._require_hexadecimal(strings)
        digits = self.length[strings] - 2
        widest = int(digits.max())
        if digits.min() < 1 or widest > 15 or (self.end[strings] < widest).any():
            raise UnscannableError
        # Read from the right: what stands left of a shorter number is not its own.
        text = _DIGITS[self._windows(widest)[self.end[strings] - widest]].astype(np.int64)
        text[np.arange(widest) < (widest - digits)[:, None]] = 0
        if (text > 15).any():
            raise UnscannableError
        values: NDArray[np.int64] = text @ (np.int64(1) << 4 * np.arange(widest - 1, -1, -1))
        return values

    def _require_hexadecimal(self, strings: NDArray[np.int64]) -> None:
        """Make sure that some strings are there, and begin with 0x; their digits are for the caller to check."""
        if not len(strings):
            return
        # What is behind the last string is a key without a value that is a string.
        if strings.max() >= len(self.start):
            raise UnscannableError
        start = self.start[strings]
        if (
            self.length[strings].min() < 2
            or (self._bytes[start] != ord("0")).any()
            or (self._bytes[start + 1] != ord("x")).any()
        ):
            raise UnscannableError

    def _windows(self, size: int) -> NDArray[np.uint8]:
        if size > len(self._bytes):
            raise UnscannableError
        return np.lib.stride_tricks.sliding_window_view(self._bytes, size)

    @staticmethod
    def _unhex(text: NDArray[np.uint8]) -> bytes:
        try:
            return unhexlify(text.data.cast("B") if text.size else b"")
        except (HexError, ValueError, TypeError) as error:
            raise UnscannableError from error


@dataclass(frozen=True, slots=True, eq=False)
class ScannedLogs:
    """`n` logs in the order of the answer.

    Attributes:
        address: 20 bytes each.
        topic_count: Shape `(n,)`.
        topics: All topics, 32 bytes each.
        topic_start: Each log's first topic, shape `(n,)`.
        data: Each log's.
        key: Where each log's first string stands.
    """

    address: bytes
    topic_count: NDArray[np.int64]
    topics: bytes
    topic_start: NDArray[np.int64]
    data: list[bytes]
    key: NDArray[np.int64]

    def entries(self, transaction_index: NDArray[np.int64], log_index: NDArray[np.int64]) -> NDArray[np.void]:
        """Give the logs' stored form, shape `(n,)`, dtype `ENTRY`."""
        entries = np.zeros(len(self.data), ENTRY)
        entries["transaction_index"], entries["log_index"] = transaction_index, log_index
        entries["data_length"] = np.fromiter(map(len, self.data), np.int64, len(self.data))
        entries["topic_count"] = self.topic_count
        entries["address"] = np.frombuffer(self.address, np.uint8).reshape(-1, 20)
        return entries


def scan_logs(strings: Strings) -> ScannedLogs:
    """Read all logs in an answer.

    Raises:
        UnscannableError: See above.
    """
    where, topics, data = (strings.find(key) for key in (b"address", b"topics", b"data"))
    if not len(where) == len(topics) == len(data):
        raise UnscannableError
    counts = data - topics - 1
    if len(counts) and (counts.min() < 0 or counts.max() > 4):
        raise UnscannableError
    start = np.cumsum(counts) - counts
    topic = np.repeat(topics + 1 - start, counts) + np.arange(int(counts.sum()))
    return ScannedLogs(
        strings.fixed(where + 1, 20),
        counts,
        strings.fixed(topic, 32),
        start,
        strings.data(data + 1),
        np.minimum(where, topics),
    )


@dataclass(frozen=True, slots=True, eq=False)
class ScannedReceipts:
    """The receipts of some blocks, in the order of the answer.

    Attributes:
        block: Each receipt's block, as an index into the questions, shape `(n,)`.
        encoded: As they stand in the receipts trie.
        logs: All their logs.
        receipt: Each log's receipt, shape `(number of logs,)`.
    """

    block: NDArray[np.int64]
    encoded: list[bytes]
    logs: ScannedLogs
    receipt: NDArray[np.int64]


def scan_receipts(strings: Strings, count: int) -> ScannedReceipts:
    """Read and encode the receipts that a batch of `eth_getBlockReceipts` answers.

    Args:
        strings: The answer's; its responses in the order of the questions, or what comes of it does not prove.
        count: How many blocks were asked for.

    Raises:
        UnscannableError: See above.
    """
    logs = scan_logs(strings)
    results = strings.find(b"result")
    listed = strings.find(b"logs")
    gas, status, kind, blooms = (strings.find(key) for key in (b"cumulativeGasUsed", b"status", b"type", b"logsBloom"))
    if not len(listed) == len(gas) == len(status) == len(kind) == len(blooms) or len(results) != count:
        raise UnscannableError
    if len(listed) and (len(results) == 0 or listed[0] < results[0]):
        raise UnscannableError
    receipt = np.searchsorted(listed, logs.key) - 1
    bounds = np.searchsorted(receipt, np.arange(len(listed) + 1)).tolist()
    if len(receipt) and receipt[0] < 0:
        raise UnscannableError
    encoded_logs = _encode_logs(logs)
    bloom = strings.fixed(blooms + 1, 256)
    types, statuses, gas_used_until = (strings.quantities(each + 1) for each in (kind, status, gas))
    if (types > LAST_TYPE).any() or (statuses > 1).any():
        raise UnscannableError
    columns = (types.tolist(), statuses.tolist(), gas_used_until.tolist())
    encoded = []
    for i, (type_, succeeded, gas_used) in enumerate(zip(*columns, strict=True)):
        inside = b"".join(encoded_logs[bounds[i] : bounds[i + 1]])
        used = gas_used.to_bytes((gas_used.bit_length() + 7) // 8)
        fields = b"".join(
            (
                b"\x01" if succeeded else b"\x80",
                string_prefix(used),
                used,
                b"\xb9\x01\x00",
                bloom[256 * i : 256 * i + 256],
                list_prefix(len(inside)),
                inside,
            )
        )
        encoded.append(b"".join((bytes([type_]) if type_ else b"", list_prefix(len(fields)), fields)))
    return ScannedReceipts(np.searchsorted(results, listed) - 1, encoded, logs, receipt)


def _encode_logs(logs: ScannedLogs) -> list[bytes]:
    """Encode logs as receipts hold them: address, topics, data."""
    prefixed = np.full((len(logs.topics) // 32, 33), 0xA0, np.uint8)
    prefixed[:, 1:] = np.frombuffer(logs.topics, np.uint8).reshape(-1, 32)
    topics = prefixed.tobytes()
    encoded = []
    spans = zip((33 * logs.topic_start).tolist(), (33 * logs.topic_count).tolist(), logs.data, strict=True)
    for i, (start, length, data) in enumerate(spans):
        before, between = list_prefix(length), string_prefix(data)
        size = 21 + len(before) + length + len(between) + len(data)
        encoded.append(
            b"".join(
                (
                    list_prefix(size),
                    b"\x94",
                    logs.address[20 * i : 20 * i + 20],
                    before,
                    topics[start : start + length],
                    between,
                    data,
                )
            )
        )
    return encoded
