"""Connections to nodes: TCP or TLS, straight or through the environment's proxy, and always against a clock.

`http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` are obeyed, in small or capital letters. A node on this machine
is reached without a proxy. TLS trusts the system's certificates, or those that SSL_CERT_FILE and SSL_CERT_DIR name.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.request import getproxies_environment

from sensetrail.chain.endpoint import PORTS, Endpoint, parse_endpoint
from sensetrail.errors import ChainError, InputError, NodeUnreachableError

CONNECT_SECONDS = 15.0
"""The most for one of a host's addresses, so that the next one gets its turn."""
LEAST_RATE = 1 << 16
"""Bytes a second that a long answer must have on average: for each so many, it may take a second longer."""
MOST_EXTENSION = 240.0
"""Seconds that an answer may take longer in all, whatever its bytes: a flood of spaces would last for an hour."""
LONGEST_HEAD = 1 << 18
"""Bytes before an answer's body: status line and headers, and those of every `100 Continue` before them."""


class Clock:
    """How long something may take.

    Attributes:
        ends: When the time is over, of `time.monotonic`.
        latest: What `ends` may become.
    """

    def __init__(self, seconds: float) -> None:
        """Start now."""
        self.ends = time.monotonic() + seconds
        self.latest = self.ends + MOST_EXTENSION

    def extend(self, seconds: float) -> None:
        """Give more time, up to `latest`."""
        self.ends = min(self.ends + seconds, self.latest)

    def left(self) -> float:
        """Give the seconds that are left.

        Raises:
            TimeoutError: There are none.
        """
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left


class Stream:
    """An open connection. Every byte is sent and received against a clock."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over an open socket; hang up when nobody holds the stream any more."""
        self._socket = connection
        self._finalizer = weakref.finalize(self, connection.close)

    def send(self, data: bytes, clock: Clock) -> None:
        """Send all of it in time."""
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(clock.left())
            rest = rest[self._socket.send(rest) :]

    def reader(self, clock: Clock) -> Reader:
        """Give a reader of one answer."""
        return Reader(self._socket, clock)

    def is_dropped(self) -> bool:
        """Whether the other side has hung up, or said something unasked."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Hang up."""
        self._finalizer()


class Reader(io.RawIOBase):
    """One answer's bytes: at most `limit`, and in time. It stands in for the socket of `http.client.HTTPResponse`.

    Attributes:
        limit: The most bytes that may still come.
    """

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        """Begin with an answer's head."""
        self._socket = connection
        self._clock = clock
        self.limit = LONGEST_HEAD

    def makefile(self, _: str) -> io.BufferedReader:
        """Give the file that `HTTPResponse` reads."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Whether this can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive what is there, or wait for it.

        Raises:
            TimeoutError: It takes too long.
            ChainError: It is too much.
        """
        self._socket.settimeout(self._clock.left())
        count = self._socket.recv_into(buffer)
        self._clock.extend(count / LEAST_RATE)
        self.limit -= count
        if self.limit < 0:
            raise ChainError("the node's answer does not end", "use another node")
        return count


def proxy_for(endpoint: Endpoint) -> Endpoint | None:
    """Give the proxy that the environment names for a node; None to connect straight.

    Raises:
        InputError: It is none that can be used.
    """
    if endpoint.is_loopback:
        return None
    proxies = getproxies_environment()
    key = endpoint.scheme if proxies.get(endpoint.scheme) else "all"
    url = proxies.get(key, "")
    if not url or _is_excepted(endpoint, proxies.get("no", "")):
        return None
    what = f"the proxy that {key}_proxy names"
    if url.lower().startswith("socks"):
        raise InputError(f"{what} is a SOCKS proxy", "name an HTTP proxy, or except the node with no_proxy")
    proxy = parse_endpoint(url if "://" in url else f"http://{url}", what, "give one such as http://127.0.0.1:3128")
    if proxy.scheme == endpoint.scheme == "https":
        raise InputError(f"{what} is reached by TLS, as the node is", "give the proxy as http://")
    return proxy


def _is_excepted(endpoint: Endpoint, no_proxy: str) -> bool:
    """Tell whether `no_proxy` has a host: by name, by the name of its domain, or by its address or network."""
    host, _, _ = endpoint.host.partition("%")
    try:
        numeric = ip_address(host)
    except ValueError:
        numeric = None
    for entry in no_proxy.lower().replace(",", " ").split():
        excepted = entry.removesuffix(f":{endpoint.port}").strip("[]")
        if excepted == "*" or host == excepted or (not numeric and host.endswith("." + excepted.lstrip("*."))):
            return True
        with suppress(ValueError):
            if numeric and numeric in ip_network(excepted, strict=False):
                return True
    return False


def open_stream(endpoint: Endpoint, proxy: Endpoint | None, clock: Clock) -> Stream:
    """Connect to a node.

    Args:
        endpoint: The node's URL.
        proxy: Where the connection goes through, as `proxy_for` gives it.
        clock: The time for it.

    Raises:
        ChainError: The node's certificate is not accepted, or the proxy makes trouble.
        OSError: Nobody answers.
    """
    connection = _connect(endpoint, clock) if proxy is None else _connect_through(proxy, endpoint, clock)
    return Stream(_with_tls(connection, endpoint, clock) if endpoint.scheme == "https" else connection)


def trouble(error: Exception) -> str:
    """Say in a few words what is wrong with a connection; nothing of a URL is in them."""
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    if isinstance(error, socket.gaierror):
        return f"is not known by that name ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return "refuses the connection"
    if isinstance(error, ConnectionError | http.client.IncompleteRead | ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "breaks off"
    if isinstance(error, OSError):
        return f"cannot be reached ({error.strerror or type(error).__name__})"
    return f"does not speak HTTP ({type(error).__name__})"


def host_header(endpoint: Endpoint, *, with_port: bool = False) -> str:
    """Give a host as HTTP's `Host` header names it: with its port where that is not the scheme's own."""
    host, _, _ = endpoint.host.partition("%")
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{endpoint.port}" if with_port or endpoint.port != PORTS[endpoint.scheme] else shown


def _connect(endpoint: Endpoint, clock: Clock) -> socket.socket:
    """Connect to one of a host's addresses, the first that answers."""
    failure: OSError = ConnectionRefusedError()
    for family, kind, protocol, _, place in socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            with _closed_on_failure(connection):
                connection.settimeout(min(CONNECT_SECONDS, clock.left()))
                connection.connect(place)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
        except OSError as error:
            failure = error
    raise failure


def _connect_through(proxy: Endpoint, endpoint: Endpoint, clock: Clock) -> socket.socket:
    """Connect to a proxy, and have it pass everything through to a node that is reached by TLS."""
    try:
        connection = _connect(proxy, clock)
        if proxy.scheme == "https":
            connection = _with_tls(connection, proxy, clock)
        if endpoint.scheme == "https":
            with _closed_on_failure(connection):
                _ask_for_tunnel(connection, endpoint, proxy, clock)
        return connection
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NodeUnreachableError(
            f"the proxy {proxy.name} {trouble(error)}", "check the variables http_proxy, https_proxy and no_proxy"
        ) from error


@contextmanager
def _closed_on_failure(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _with_tls(connection: socket.socket, endpoint: Endpoint, clock: Clock) -> ssl.SSLSocket:
    try:
        with _closed_on_failure(connection):
            connection.settimeout(clock.left())
            return _tls().wrap_socket(connection, server_hostname=endpoint.host.partition("%")[0])
    except ssl.SSLCertVerificationError as error:
        raise ChainError(
            f"the TLS certificate of {endpoint.name} is not accepted: {endpoint.foreign_text(error.verify_message)}",
            "check the URL; name the certificate of an authority of your own with SSL_CERT_FILE",
        ) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        raise
    except ssl.SSLError as error:
        raise ChainError(
            f"{endpoint.name} does not speak TLS ({error.reason or type(error).__name__})",
            "check the URL: http:// or https://",
        ) from error


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _ask_for_tunnel(connection: socket.socket, endpoint: Endpoint, proxy: Endpoint, clock: Clock) -> None:
    """Have a proxy pass everything through to a node."""
    place = host_header(endpoint, with_port=True)
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connection.settimeout(clock.left())
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    response = http.client.HTTPResponse(Reader(connection, clock), method="CONNECT")  # type: ignore[arg-type]
    response.begin()
    if response.status != 200:
        refuses = "asks for a password, or refuses it" if response.status == 407 else "does not connect to the node"
        raise NodeUnreachableError(
            f"the proxy {proxy.name} {refuses} ({response.status})", "check the variables https_proxy and no_proxy"
        )
