"""One line to a node: a kept connection, and a buffer that is used again. Whatever goes to a node goes over one.

Whatever a node does, an answer is bounded: in bytes (`MAX_ANSWER_BYTES`, inflated or not; `transport.LONGEST_HEAD`
before its body) and in time (`Line.timeout`, and a second more for each `transport.LEAST_RATE` bytes that came, up to
`transport.MOST_EXTENSION`).
"""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urljoin

import numpy as np

from sensetrail import __version__
from sensetrail.chain.endpoint import Endpoint, parse_endpoint
from sensetrail.chain.inflate import ACCEPTED, inflate
from sensetrail.chain.transport import Clock, Stream, host_header, open_stream, proxy_for
from sensetrail.core.nesting import require_shallow
from sensetrail.errors import ChainError, InputError, RefusedError

MAX_ANSWER_BYTES = 1 << 28
LONGEST_ERROR = 1 << 16
"""Bytes at an answer's end in which an error stands, where a result comes first."""
REDIRECTS = frozenset({301, 302, 307, 308})
MOST_REDIRECTS = 5
_FRAMING = 1 << 20
"""Bytes of an answer's body that are not its content: the sizes of chunks."""
_RESULT = re.compile(rb'"result":[\[{]')


def parse(answer: memoryview) -> Any:
    """Read an answer as JSON.

    Raises:
        ChainError: It is no JSON: UTF-8, not nested too deep, every number one that JSON has.
    """
    try:
        require_shallow(answer)
        return json.loads(str(answer, "utf-8"), parse_constant=_no_number)
    except ValueError as error:
        raise ChainError("the node's answer is not valid JSON", "use another node") from error


@dataclass(slots=True)
class Line:
    """One kept connection and its buffer.

    Attributes:
        endpoint: The node's URL; messages name it as it is here, also where it redirects.
        timeout: Seconds for sending a question; seconds for an answer, besides those that its bytes may take.
        room: Bytes that the buffer has at first.
        is_asked: Whether an answer is still to be received.
        was_kept: Whether the last question went over a connection that was open before.
    """

    endpoint: Endpoint
    timeout: float
    room: int
    is_asked: bool = False
    was_kept: bool = False
    _asked: Endpoint = field(init=False)
    _place: Endpoint = field(init=False)
    _stream: Stream | None = None
    _head: bytes = field(default=b"", repr=False)
    _body: bytes = field(default=b"", repr=False)
    _buffer: bytearray = field(init=False, repr=False)
    _length: int = 0

    def __post_init__(self) -> None:
        self._buffer = bytearray(self.room)
        self._asked = self._place = self.endpoint

    @property
    def answer(self) -> memoryview:
        """The last answer's bytes, valid until the next is received."""
        return memoryview(self._buffer)[: self._length]

    def send(self, body: bytes) -> None:
        """Send a question, over a new connection where none is open."""
        self._body = body
        if self._place is self._asked:
            self.endpoint = self._asked
        self._send(Clock(self.timeout))
        self.is_asked = True

    def try_to_send(self, body: bytes) -> None:
        """Send ahead; where that fails, the answer is asked for in its turn, with patience."""
        try:
            self.send(body)
        except (OSError, http.client.HTTPException):
            self.close()

    def receive(self) -> tuple[int, float]:
        """Read an answer into the buffer; follow where the node sends us.

        Returns:
            Its HTTP status, and how long to wait as it says, seconds.

        Raises:
            ChainError: It is too long, or leads where we must not go.
            OSError: The connection breaks off, or the time is over.
            HTTPException: It is not HTTP.
        """
        self.is_asked = False
        is_done = False
        try:
            response = self._response(Clock(self.timeout))
            is_done = not response.will_close
        finally:
            # What is left of an answer would be taken for the beginning of the next one.
            if not is_done:
                self._hang_up()
        after = response.headers.get("Retry-After", "")
        return response.status, min(float(after), 60.0) if after.isdecimal() else 0.0

    def _response(self, clock: Clock) -> http.client.HTTPResponse:
        for _ in range(MOST_REDIRECTS + 1):
            if self._stream is None:
                raise ConnectionResetError
            reader = self._stream.reader(clock)
            response = http.client.HTTPResponse(reader, method="POST")  # type: ignore[arg-type]
            try:
                response.begin()
                if response.status not in REDIRECTS:
                    reader.limit = MAX_ANSWER_BYTES + _FRAMING
                    self._read_body(response)
                    return response
            except ValueError as error:
                # http.client takes the size of a chunk as it comes, such as -5.
                raise http.client.HTTPException("no HTTP") from error
            self._follow(response.headers.get("Location", ""), clock)
        raise ChainError(f"{self.endpoint.name} redirects more than {MOST_REDIRECTS} times", "check the node's URL")

    def _send(self, clock: Clock) -> None:
        if self._stream is not None and self._stream.is_dropped():
            self._hang_up()
        self.was_kept = self._stream is not None
        if self._stream is None:
            proxy = proxy_for(self._place)
            self._stream = open_stream(self._place, proxy, clock)
            self._head = _request_head(self._place, proxy, self._asked)
        self._stream.send(b"%s%d\r\n\r\n%s" % (self._head, len(self._body), self._body), clock)

    def _follow(self, location: str, clock: Clock) -> None:
        """Ask again where the node redirects to, and stay there as long as the line is open."""
        name = self.endpoint.name
        here = f"{self._place.scheme}://{host_header(self._place)}{self._place.target}"
        try:
            # What comes in HTTP's headers was read as Latin-1, whatever it is.
            there = parse_endpoint(urljoin(here, location.encode("latin-1").decode("utf-8", "replace")))
        except (InputError, ValueError) as error:
            raise ChainError(f"{name} redirects to no http URL", "check the node's URL") from error
        if self._place.scheme == "https" != there.scheme:
            raise ChainError(f"{name} redirects from https to http, which anyone can read", "check the node's URL")
        self._hang_up()
        self.endpoint = self._asked.leading_to(self._place, there)
        self._place = there
        self._send(clock)

    def _read_body(self, response: http.client.HTTPResponse) -> None:
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
        coding = response.headers.get("Content-Encoding")
        if coding:
            data = inflate(bytes(self.answer), coding, MAX_ANSWER_BYTES)
            self._keep(len(data))
            self._buffer[: len(data)] = data

    def _keep(self, length: int) -> None:
        if length > MAX_ANSWER_BYTES:
            raise RefusedError(f"the node's answer has more than {MAX_ANSWER_BYTES} bytes", "use another node")
        if length > len(self._buffer):
            # Not grown in place: views of the last answer may still be held.
            self._buffer = bytearray(length)
        self._length = length

    def is_whole(self) -> bool:
        """Whether nothing of the answer is cut off: it ends as it begins, and as many braces are closed as opened."""
        ends = bytes(self.answer[:16]).lstrip()[:1] + bytes(self.answer[-16:]).rstrip()[-1:]
        answer = np.frombuffer(self.answer, np.uint8)
        is_even = np.count_nonzero(answer == ord("{")) == np.count_nonzero(answer == ord("}"))
        if ends in (b"{}", b"[]") and is_even:
            return True
        # Braces in a message, white space, or JSON that is not whole.
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
        """Hang up; the next question goes to the node's own URL again."""
        self._hang_up()
        self._place, self.is_asked = self._asked, False

    def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None


def error_message(error: object) -> str:
    """Give what a JSON-RPC error says; some gateways in front of nodes put a string in its place."""
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else json.dumps(error)


def status_error(endpoint: Endpoint, status: int) -> ChainError:
    """Give the error that an answer's HTTP status stands for."""
    if status in (401, 403):
        return RefusedError(
            f"{endpoint.name} refuses the password or key ({status})", "check the user, password or key in its URL"
        )
    if status == 407:
        return RefusedError("the proxy asks for a password, or refuses it (407)", "check the variable http_proxy")
    return RefusedError(f"{endpoint.name} answers with HTTP status {status}", "check the node's URL")


def _request_head(place: Endpoint, proxy: Endpoint | None, asked: Endpoint) -> bytes:
    """Give a request up to the number of its body's bytes; passwords are only for whom they were given for."""
    host = host_header(place)
    is_forwarded = proxy is not None and place.scheme == "http"
    lines = [
        f"POST {f'http://{host}' if is_forwarded else ''}{place.target} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: sensetrail/{__version__}",
        "Content-Type: application/json",
        # On one machine, compressing costs more than it saves.
        f"Accept-Encoding: {'identity' if place.is_loopback else ACCEPTED}",
    ]
    if asked.authorization is not None and place.origin == asked.origin:
        lines.append(f"Authorization: {asked.authorization}")
    if proxy is not None and is_forwarded and proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "Content-Length: "]).encode("ascii")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
