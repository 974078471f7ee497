"""One connection to a node, kept open, with a buffer that is used again: what comes back, and whether it is whole."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from sensetrail.errors import ChainError, RefusedError

MAX_ANSWER_BYTES = 1 << 28
LONGEST_ERROR = 1 << 16
"""Bytes at an answer's end in which an error stands, where a result comes first."""
_RESULT = re.compile(rb'"result":[\[{]')


def parse(answer: memoryview) -> Any:
    """Read an answer as JSON.

    Raises:
        ChainError: It is none.
    """
    try:
        return json.loads(bytes(answer))
    except (ValueError, RecursionError) as error:
        raise ChainError("the node's answer is no JSON", "use another node") from error


@dataclass(slots=True)
class Line:
    """One kept connection and its buffer.

    Attributes:
        url: The node's.
        timeout: Seconds without a byte before the connection is given up.
        room: Bytes that the buffer has at first.
        is_asked: Whether an answer is still to be received.
        was_kept: Whether the last question went over a connection that was open before.
    """

    url: str
    timeout: float
    room: int
    is_asked: bool = False
    was_kept: bool = False
    _connection: http.client.HTTPConnection | None = None
    _buffer: bytearray = field(init=False)
    _length: int = 0

    def __post_init__(self) -> None:
        self._buffer = bytearray(self.room)

    @property
    def answer(self) -> memoryview:
        """The last answer's bytes, valid until the next is received."""
        return memoryview(self._buffer)[: self._length]

    def send(self, body: bytes) -> None:
        """Send a question, over a new connection where none is open."""
        parts = urlsplit(self.url)
        self.was_kept = self._connection is not None
        if self._connection is None:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(parts.hostname or "", parts.port, timeout=self.timeout)
        headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            headers["Authorization"] = _basic(parts.username, parts.password or "")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection.request("POST", path, body, headers)
        self.is_asked = True

    def try_to_send(self, body: bytes) -> None:
        """Send ahead; where that fails, the answer is asked for in its turn, with patience."""
        try:
            self.send(body)
        except (OSError, http.client.HTTPException):
            self.close()

    def receive(self) -> tuple[int, float]:
        """Read an answer into the buffer; give its status, and how long to wait as it says, seconds."""
        if self._connection is None:
            raise ConnectionResetError
        self.is_asked = False
        response = self._connection.getresponse()
        length = response.length
        if length is None:
            data = response.read(MAX_ANSWER_BYTES + 1)
            self._keep(len(data))
            self._buffer[: len(data)] = data
        else:
            self._keep(length)
            view, got = memoryview(self._buffer)[:length], 0
            while got < length:
                count = response.readinto(view[got:])
                if not count:
                    raise http.client.IncompleteRead(b"", length - got)
                got += count
            response.read()
        after = response.headers.get("Retry-After", "")
        return response.status, min(float(after), 60.0) if after.isdecimal() else 0.0

    def _keep(self, length: int) -> None:
        if length > MAX_ANSWER_BYTES:
            raise RefusedError(f"the node's answer has {length} bytes", "use another node")
        if length > len(self._buffer):
            # Not grown in place: views of the last answer may still be held.
            self._buffer = bytearray(length)
        self._length = length

    def is_whole(self) -> bool:
        """Whether nothing of the answer is cut off: it ends as it begins, and as many braces are closed as opened."""
        ends = bytes(self.answer[:16]).lstrip()[:1] + bytes(self.answer[-16:]).rstrip()[-1:]
        if ends not in (b"{}", b"[]"):
            return False
        answer = np.frombuffer(self.answer, np.uint8)
        if np.count_nonzero(answer == ord("{")) == np.count_nonzero(answer == ord("}")):
            return True
        # Braces in a message, or JSON that is not whole.
        try:
            parse(self.answer)
        except ChainError:
            return False
        return True

    def has_error(self) -> bool:
        """Whether the answer may have an error in it: a key or a value says so."""
        start = 0
        if self._buffer[:1] == b"{" and _RESULT.search(self._buffer, 0, min(64, self._length)):
            # One call's result: an error can stand only behind it.
            start = max(0, self._length - LONGEST_ERROR)
        return self._buffer.find(b'"error"', start, self._length) >= 0

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self.is_asked = None, False


def _basic(user: str, password: str) -> str:
    from base64 import b64encode

    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
