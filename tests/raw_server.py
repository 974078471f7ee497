"""A server that says over TCP or TLS just what a test tells it, byte by byte: what no honest HTTP server would say."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Handle = Callable[[socket.socket, "Request"], None]
"""Answers one request on a connection; the connection is kept until it returns and the client hangs up."""


@dataclass
class Request:
    """An HTTP request as it came.

    Attributes:
        line: Its first line.
        headers: By name in lower case.
        body: Its body.
    """

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RawServer:
    """A running server.

    Attributes:
        port: Where it listens, on loopback.
        requests: What came, in order.
    """

    port: int
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def raw_server(handle: Handle, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[RawServer]:
    """Run a server on a free loopback port; end it, and every connection, on leaving."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)
    server = RawServer(listener.getsockname()[1])
    is_over = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError):
            opened = connection if tls is None else tls.wrap_socket(connection, server_side=True)
            connections.append(opened)
            with opened:
                while not is_over.is_set() and (request := read_request(opened)) is not None:
                    server.requests.append(request)
                    handle(opened, request)

    def accept() -> None:
        while not is_over.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(20)
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    listener.settimeout(0.05)
    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        is_over.set()
        acceptor.join()
        listener.close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(20)


def read_request(connection: socket.socket) -> Request | None:
    """Read a request; None where the client hangs up."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Request(line, headers, body)


def answer(request: Request, result: object = "0x7a69") -> bytes:
    """Give a JSON-RPC answer to a request."""
    return json.dumps({"jsonrpc": "2.0", "id": json.loads(request.body)["id"], "result": result}).encode()


def response(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """Give an HTTP response; an underscore in a header's name stands for a hyphen."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def say(data: bytes) -> Handle:
    """Give a handler that answers every request with the same bytes, and hangs up."""

    def handle(connection: socket.socket, _: Request) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return handle


def honest(connection: socket.socket, request: Request) -> None:
    """Answer as a node of chain 31337 would."""
    connection.sendall(response(answer(request)))
