"""The one HTTP client: whatever a server does, an answer is bounded in bytes and in time."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from raw_server import Request, answer, honest, raw_server, response, say
from sensetrail.chain import line as line_module
from sensetrail.chain import transport
from sensetrail.chain.endpoint import parse_endpoint
from sensetrail.chain.rpc import Rpc
from sensetrail.chain.wire import Wire
from sensetrail.errors import ChainError, InputError, NodeUnreachableError, SensetrailError

Ask = Callable[[str], object]


def by_rpc(url: str, timeout: float = 20) -> object:
    rpc = Rpc(parse_endpoint(url), timeout)
    try:
        return rpc.ask("eth_chainId")
    finally:
        rpc.close()


def by_wire(url: str) -> object:
    wire = Wire(url, patience=0)
    try:
        return wire.ask("eth_chainId")
    finally:
        wire.close()


@pytest.fixture(params=[by_rpc, by_wire])
def ask(request: pytest.FixtureRequest) -> Ask:
    asked: Ask = request.param
    return asked


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# --- what never ends ------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def drip(start: bytes, again: bytes) -> Callable[[socket.socket, Request], None]:
    """Say something, and then something else again and again, slowly enough to last for ever."""

    def handle(connection: socket.socket, _: Request) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(again)
            threading.Event().wait(0.02)

    return handle


SLOW = {
    "nothing": (b"", b""),
    "a byte at a time of the status line": (b"HTTP/1.1 200 ", b"x"),
    "headers": (HEAD, b"X-More: 1\r\n"),
    "a header": (HEAD + b"X-More: ", b"1"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body of a length": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "a body of no length": (HEAD + b"Connection: close\r\n\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "a chunk's extension": (CHUNKED + b"1;", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"X-More: 1\r\n"),
}
FAST = {
    "headers": (HEAD, b"X-More: 1\r\n" * 50),
    "a header": (HEAD + b"X-More: ", b"1" * 10_000),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "100 Continue with headers": (b"", b"HTTP/1.1 100 Continue\r\nX: 1\r\nY: 2\r\n\r\n" * 1000),
    "a body of no length": (HEAD + b"Connection: close\r\n\r\n", b" " * (1 << 20)),
    "chunks": (CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n"),
    "chunks of a byte": (CHUNKED, b"1\r\n \r\n" * 1000),
    "a chunk's extension": (CHUNKED + b"1;", b"x" * 10_000),
    "trailers": (CHUNKED + b"0\r\n", b"X-More: 1\r\n" * 1000),
}


@pytest.mark.parametrize("kind", SLOW)
def test_an_answer_that_comes_too_slowly_is_given_up(kind: str) -> None:
    with raw_server(drip(*SLOW[kind])) as server, pytest.raises(NodeUnreachableError) as caught:
        by_rpc(server.url, timeout=0.4)
    assert caught.value.what == f"no node answers at {server.url}: it does not answer in time"


def test_the_wire_gives_up_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensetrail.chain.wire.TIMEOUT", 0.4)
    for start, again in SLOW.values():
        with raw_server(drip(start, again)) as server, pytest.raises(NodeUnreachableError, match="answer in time"):
            by_wire(server.url)


@pytest.mark.parametrize("kind", FAST)
def test_an_answer_without_end_is_given_up(ask: Ask, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "MAX_ANSWER_BYTES", 1 << 20)

    def handle(connection: socket.socket, _: Request) -> None:
        start, again = FAST[kind]
        connection.sendall(start)
        while True:
            connection.sendall(again)

    with raw_server(handle) as server, pytest.raises(ChainError):
        ask(server.url)


def test_a_node_that_does_not_take_the_question_is_given_up() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    # The queue is full: further connections are not answered at all.
    waiting = [socket.socket() for _ in range(3)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", port))
    try:
        with pytest.raises(NodeUnreachableError, match="does not answer in time"):
            by_rpc(f"http://127.0.0.1:{port}", timeout=0.4)
    finally:
        for each in (*waiting, listener):
            each.close()


def test_a_long_answer_may_take_its_time() -> None:
    """Slow, but steady: what comes at the least rate is waited for, however long it takes."""
    body = b" " * 400_000

    def handle(connection: socket.socket, request: Request) -> None:
        whole = answer(request) + body
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole))
        for start in range(0, len(whole), 20_000):
            threading.Event().wait(0.05)
            connection.sendall(whole[start : start + 20_000])

    with raw_server(handle) as server:
        assert by_rpc(server.url, timeout=0.5) == "0x7a69"


# --- what makes no sense --------------------------------------------------------------------------------------------

NONSENSE = [
    b"",
    b"\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/9.9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00" * 100,
    b"\xff" * 1000,
    HEAD + b"Content-Length: 5\r\n\r\nab",
    HEAD + b"Content-Length: -5\r\n\r\nab",
    HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    CHUNKED + b"-5\r\nabcde\r\n",
    CHUNKED + b"-1\r\nabcde\r\n",
    CHUNKED + b"zz\r\nabcde\r\n",
    CHUNKED + b"ffffffffffffffffff\r\nabc",
    CHUNKED + b"5\r\nabc",
    response(b"", "204 No Content"),
    response(b"<html>hello</html>"),
    response(b"[" * 200_000),
    response(b'{"a":' * 200_000),
    response(b"\xff\xfe{\x00}\x00"),
    response(b"[\x00" * 200_000),
    response(b'{"jsonrpc":"2.0","id":1,"result":NaN}'),
    response(b'{"jsonrpc":"2.0","id":1,"result":' + b"1" * 5000 + b"}"),
    response(b"null"),
    response(b"[]"),
    response(b"{}"),
    response(b'"text"'),
]


@pytest.mark.parametrize("said", NONSENSE, ids=[repr(said[:60]) for said in NONSENSE])
def test_nonsense_is_one_error_of_ours(ask: Ask, said: bytes) -> None:
    with raw_server(say(said)) as server, pytest.raises(ChainError) as caught:
        ask(server.url)
    assert caught.value.exit_code == 4
    assert "\n" not in caught.value.what


def test_a_flood_of_spaces_ends_in_time(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_EXTENSION", 0.0)
    monkeypatch.setattr("sensetrail.chain.wire.TIMEOUT", 0.5)
    monkeypatch.setattr("sensetrail.chain.rpc.REQUEST_TIMEOUT", 0.5)
    is_over = threading.Event()

    def flood(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while not is_over.wait(0.01):
            connection.sendall(b" " * 100_000)

    with raw_server(flood) as server, pytest.raises(NodeUnreachableError, match="in time"):
        try:
            by_rpc(server.url, 0.5) if ask is by_rpc else ask(server.url)
        finally:
            is_over.set()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"code": 1, "message": None, "data": ["a"]}, '{"code": 1, "message": null, "data": ["a"]}'),
        ("no key", "no key"),
        ({"message": ["no"]}, '{"message": ["no"]}'),
    ],
)
def test_whatever_a_node_says_in_place_of_a_message_is_shown(ask: Ask, error: object, said: str) -> None:
    answered = response(json.dumps({"id": 1, "error": error}).encode())
    with raw_server(say(answered)) as server, pytest.raises(ChainError) as caught:
        ask(server.url)
    assert caught.value.what.endswith(f": {said}")


# --- compression ----------------------------------------------------------------------------------------------------


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def in_two(data: bytes) -> bytes:
    return gzip.compress(data[:9]) + gzip.compress(data[9:])


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "in two members": ("GZIP", in_two),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
}


@pytest.mark.parametrize("kind", CODINGS)
def test_compressed_answers_are_read(ask: Ask, kind: str) -> None:
    coding, pack = CODINGS[kind]

    def handle(connection: socket.socket, request: Request) -> None:
        connection.sendall(response(pack(answer(request)), Content_Encoding=coding))

    with raw_server(handle) as server:
        assert ask(server.url) == "0x7a69"


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("br", b"\x8b\x02\x80{}\x03"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
        ("gzip", b"{}"),
        ("gzip", gzip.compress(b"{}")[:-3]),
        ("gzip", gzip.compress(b"{}") + b"\x00garbage"),
        ("deflate", b"\x00\xff\xff"),
        ("gzip", gzip.compress(b" " * (1 << 22))),
        ("gzip", in_two(b" " * (1 << 22))),
    ],
    ids=["unknown", "twice", "not at all", "cut short", "more behind", "damaged", "bomb", "bomb in two"],
)
def test_bad_compression_and_bombs_are_refused(
    ask: Ask, coding: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "MAX_ANSWER_BYTES", 1 << 20)
    with raw_server(say(response(data, Content_Encoding=coding))) as server, pytest.raises(ChainError):
        ask(server.url)


# --- redirects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_question_is_asked_again_where_the_node_redirects_to(ask: Ask, status: int) -> None:
    def handle(connection: socket.socket, request: Request) -> None:
        if request.line.split()[1] == "/there?x=1":
            return honest(connection, request)
        return connection.sendall(response(b"moved", f"{status} Moved", Location="/there?x=1"))

    with raw_server(handle) as server:
        login = server.url.replace("//", "//me:p%40ss%2Fw@")
        assert ask(login) == "0x7a69"
    first, second = server.requests
    assert second.body == first.body
    assert second.line == "POST /there?x=1 HTTP/1.1"
    # "me:p@ss/w"
    assert first.headers["authorization"] == second.headers["authorization"] == "Basic bWU6cEBzcy93"


def test_credentials_stay_with_their_origin(ask: Ask) -> None:
    with raw_server(honest) as other, raw_server(say(response(b"", "307 X", Location=f"{other.url}/a"))) as server:
        assert ask(server.url.replace("//", "//me:secret@")) == "0x7a69"
    assert "authorization" in server.requests[0].headers
    assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize(
    ("location", "what"),
    [
        ("/again", "redirects more than 5 times"),
        ("", "redirects more than 5 times"),
        ("ftp://127.0.0.1/", "redirects to no http URL"),
        ("http://[::1/", "redirects to no http URL"),
        ("http://127.0.0.1:99999/", "redirects to no http URL"),
        ("file:///etc/passwd", "redirects to no http URL"),
        ("//", "redirects"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_refused(ask: Ask, location: str, what: str) -> None:
    with raw_server(say(response(b"", "302 X", Location=location))) as server, pytest.raises(ChainError, match=what):
        ask(server.url)


@pytest.mark.parametrize("key", ["/v3/f00dbeef1234", "/eth?key=geheim", "//me:geheim@HOST/eth"])
def test_the_secrets_of_where_a_node_redirects_to_are_not_shown(ask: Ask, key: str) -> None:
    def handle(connection: socket.socket, request: Request) -> None:
        if request.line.startswith("POST / "):
            location = key.replace("HOST", request.headers["host"])
            connection.sendall(response(b"", "307 Temporary Redirect", Location=location))
        else:
            login = request.headers.get("authorization", "")
            message = f"bad key in {request.line} {key} {login}"
            connection.sendall(response(json.dumps({"id": 1, "error": {"message": message}}).encode()))

    with raw_server(handle) as server, pytest.raises(ChainError) as caught:
        ask(server.url)
    assert "bad key in POST" in caught.value.what
    assert "f00dbeef1234" not in caught.value.what
    assert "geheim" not in caught.value.what


@pytest.mark.parametrize("host", ["127.0.0.1:1", "f00dbeef1234.invalid"])
def test_a_redirect_to_where_nobody_answers_is_said_without_the_place(host: str) -> None:
    location = f"http://{host}/v3/f00dbeef1234"
    with (
        raw_server(say(response(b"", "307 Temporary Redirect", Location=location))) as server,
        pytest.raises(NodeUnreachableError) as caught,
    ):
        by_rpc(server.url)
    assert caught.value.what.startswith(f"no node answers at {server.url} (which redirects)")
    assert "f00dbeef1234" not in caught.value.what


def test_a_redirect_that_would_ask_otherwise_is_refused(ask: Ask) -> None:
    """303 and 300 are answered by GET, or by choosing: no node means that."""
    for status in ("303 See Other", "300 Multiple Choices", "304 Not Modified"):
        with (
            raw_server(say(response(b"", status, Location="/x"))) as server,
            pytest.raises(ChainError, match=status[:3]),
        ):
            ask(server.url)


# --- TLS ------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, days: int = 1, name: str = "localhost") -> Path:
    """Make a key and a certificate that it signs itself, for a name and for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(days=2)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=2 + days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}-{days}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Has a certificate trusted as the environment names it."""

    def trust(path: Path) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        transport._tls.cache_clear()

    yield trust
    transport._tls.cache_clear()


def serving(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_tls_with_a_certificate_that_the_environment_names(
    ask: Ask, tmp_path: Path, trusting: Callable[[Path], None]
) -> None:
    path = certificate(tmp_path)
    trusting(path)
    with raw_server(honest, serving(path)) as server:
        assert ask(f"https://localhost:{server.port}") == "0x7a69"


@pytest.mark.parametrize(
    ("days", "name", "is_trusted", "why"),
    [
        (1, "localhost", False, "self-signed certificate"),
        (-1, "localhost", True, "certificate has expired"),
        (1, "elsewhere", True, "Hostname mismatch"),
    ],
)
def test_a_certificate_that_does_not_hold_is_named_as_such(
    ask: Ask, tmp_path: Path, trusting: Callable[[Path], None], days: int, name: str, is_trusted: bool, why: str
) -> None:
    path = certificate(tmp_path, days, name)
    if is_trusted:
        trusting(path)
    with raw_server(honest, serving(path)) as server, pytest.raises(ChainError, match=why) as caught:
        ask(f"https://me:secret@localhost:{server.port}/v3/0123456789abcdef")
    assert caught.value.what.startswith(f"the TLS certificate of https://localhost:{server.port} is not accepted: ")
    assert not server.requests


def test_a_node_without_tls_is_told_apart(ask: Ask) -> None:
    def handle() -> None:
        with listener.accept()[0] as connection:
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with suppress(ConnectionError):
                while connection.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=handle)
        thread.start()
        with pytest.raises(ChainError, match="does not speak TLS"):
            ask(f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_a_redirect_from_https_to_http_is_refused(ask: Ask, tmp_path: Path, trusting: Callable[[Path], None]) -> None:
    path = certificate(tmp_path)
    trusting(path)
    with raw_server(honest) as plain:
        moved = say(response(b"", "308 X", Location=plain.url))
        with raw_server(moved, serving(path)) as server, pytest.raises(ChainError, match="from https to http"):
            ask(f"https://localhost:{server.port}")
    assert not plain.requests


# --- proxies --------------------------------------------------------------------------------------------------------


def relay(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)


def proxying(port: int, needs: str | None = None) -> Callable[[socket.socket, Request], None]:
    """Give a handler that is a proxy whose every host is this machine's port."""

    def handle(connection: socket.socket, request: Request) -> None:
        if needs is not None and request.headers.get("proxy-authorization") != needs:
            return connection.sendall(response(b"", "407 Proxy Authentication Required"))
        with socket.create_connection(("127.0.0.1", port)) as node:
            if request.line.startswith("CONNECT "):
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                threading.Thread(target=relay, args=(node, connection), daemon=True).start()
                return relay(connection, node)
            node.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(request.body), request.body))
            return connection.sendall(node.recv(65536))

    return handle


def test_the_environment_s_proxy_is_used(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(honest) as node, raw_server(proxying(node.port, "Basic cDpxL3I=")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//p:q%2Fr@"))
        assert ask("http://me:secret@node.example:8545/x?y") == "0x7a69"
    (request,) = proxy.requests
    assert request.line == "POST http://node.example:8545/x?y HTTP/1.1"
    assert request.headers["host"] == "node.example:8545"
    assert "proxy-authorization" not in node.requests[0].headers


def test_a_tunnel_through_the_proxy(
    ask: Ask, tmp_path: Path, trusting: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path, name="node.example")
    trusting(path)
    with (
        raw_server(honest, serving(path)) as node,
        raw_server(proxying(node.port, "Basic cDpxL3I=")) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"p:q%2Fr@127.0.0.1:{proxy.port}")
        assert ask("https://me:secret@node.example/") == "0x7a69"
    assert proxy.requests[0].line == "CONNECT node.example:443 HTTP/1.1"
    assert "authorization" not in proxy.requests[0].headers
    assert "proxy-authorization" not in node.requests[0].headers


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_s_troubles_are_named_without_its_password(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("all_proxy", "http://p:geheim@127.0.0.1:1")
    with pytest.raises(ChainError, match=r"^the proxy http://127.0.0.1:1 refuses the connection$"):
        ask(f"{scheme}://node.example")
    with raw_server(say(response(b"", "407 X"))) as proxy, pytest.raises(ChainError, match="407") as caught:
        monkeypatch.setenv("all_proxy", proxy.url.replace("//", "//p:geheim@"))
        ask(f"{scheme}://node.example")
    assert "geheim" not in caught.value.what + caught.value.to_do


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("all_proxy", "socks5://p:geheim@127.0.0.1:1080", "SOCKS"),
        ("http_proxy", "http://p:geheim@:99999999", "not an http URL"),
        ("http_proxy", "p:gehe/im@proxy", "not an http URL"),
        ("http_proxy", "ftp://p:geheim@proxy", "not an http URL"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, what: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=what) as caught:
        ask("http://node.example")
    assert "gehe" not in caught.value.what + caught.value.to_do


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_straight"),
    [
        ("http://127.0.0.1", "", True),
        ("http://localhost:1", "", True),
        ("http://[::1]:1", "", True),
        ("http://127.8.8.8", "", True),
        ("http://node.example", "", False),
        ("http://node.example", "*", True),
        ("http://node.example", "example", True),
        ("http://node.example", ".example", True),
        ("http://node.example", "*.example", True),
        ("http://node.example", "other, node.example", True),
        ("http://node.example:8545", "node.example:8545", True),
        ("http://node.example:8545", "node.example:1", False),
        ("http://node.example", "ode.example", False),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://[fd00::1]", "[fd00::1]", True),
        ("http://[fd00::1]", "fd00::/8", True),
    ],
)
def test_which_nodes_are_reached_without_the_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str, is_straight: bool
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (transport.proxy_for(parse_endpoint(url)) is None) == is_straight


# --- the rest -------------------------------------------------------------------------------------------------------


def test_ipv6(ask: Ask) -> None:
    with raw_server(honest, host="::1") as server:
        assert ask(f"http://[::1]:{server.port}") == "0x7a69"
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


def test_a_connection_is_kept_and_one_that_was_dropped_is_opened_again(ask: Ask) -> None:
    del ask
    count = itertools.count()

    def handle(connection: socket.socket, request: Request) -> None:
        honest(connection, request)
        if next(count) == 1:
            connection.shutdown(socket.SHUT_RDWR)

    with raw_server(handle) as server:
        rpc, wire = Rpc(parse_endpoint(server.url)), Wire(server.url)
        for _ in range(4):
            assert rpc.ask("eth_chainId") == wire.ask("eth_chainId") == "0x7a69"
        rpc.close()
        wire.close()


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("401 Unauthorized", "refuses the password or key (401)"),
        ("403 Forbidden", "refuses the password or key (403)"),
        ("404 Not Found", "answers with HTTP status 404"),
        ("405 Method Not Allowed", "answers with HTTP status 405"),
        ("429 Too Many Requests", "is busy (429)"),
        ("503 Service Unavailable", "is busy (503)"),
    ],
)
def test_what_a_status_says_is_told_with_host_and_port_only(
    ask: Ask, status: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensetrail.chain.rpc.FIRST_PAUSE", 0.01)
    refusing = say(response(b"me:pass123456 /v3/0123456789abcdef", status))
    with raw_server(refusing) as server, pytest.raises(SensetrailError) as caught:
        ask(f"http://me:pass123456@127.0.0.1:{server.port}/v3/0123456789abcdef?key=geheim")
    assert caught.value.what.startswith(f"{server.url} {what}")
    assert caught.value.exit_code == 4
    for secret in ("pass123456", "0123456789abcdef", "geheim", "me:"):
        assert secret not in caught.value.what + caught.value.to_do


def test_an_error_that_repeats_the_url_is_shown_without_its_secrets(ask: Ask) -> None:
    def handle(connection: socket.socket, request: Request) -> None:
        said = f"\x1b[31mno access for http://me:p%40ss@{request.headers['host']}{request.line.split()[1]}: p@ss\u202e"
        error = {"code": -32601, "message": said + "x" * 1000}
        connection.sendall(response(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()))

    with raw_server(handle) as server, pytest.raises(ChainError) as caught:
        ask(f"http://me:p%40ss@127.0.0.1:{server.port}/v3/0123456789abcdef?key=geheim")
    what = caught.value.what
    assert r"\x1b[31mno access for http://127.0.0.1" in what
    assert r"***\u202e" in what
    assert len(what) < 300
    for secret in ("p%40ss", "p@ss", "0123456789abcdef", "geheim", "\x1b", "\u202e"):
        assert secret not in what


def test_a_node_that_is_busy_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensetrail.chain.rpc.FIRST_PAUSE", 0.01)
    count = itertools.count()

    def handle(connection: socket.socket, request: Request) -> None:
        if next(count) < 2:
            return connection.sendall(response(b"", "429 Too Many Requests"))
        return honest(connection, request)

    with raw_server(handle) as server:
        assert by_rpc(server.url) == "0x7a69"


def test_a_transaction_is_not_sent_twice() -> None:
    def handle(connection: socket.socket, _: Request) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    with raw_server(handle) as server, pytest.raises(NodeUnreachableError, match="breaks off"):
        Rpc(parse_endpoint(server.url)).ask("eth_sendRawTransaction", "0x00")
    assert len(server.requests) == 1


@pytest.mark.parametrize("changed", [{"id": 2}, {"id": "1"}, {"id": True}, {"id": None}, {"id": 1.0}])
def test_an_answer_to_another_question_is_refused(changed: dict[str, object]) -> None:
    def handle(connection: socket.socket, request: Request) -> None:
        connection.sendall(response(json.dumps({**json.loads(answer(request)), **changed}).encode()))

    with raw_server(handle) as server, pytest.raises(ChainError, match="another question's"):
        by_rpc(server.url)
