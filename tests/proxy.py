"""A proxy between an indexer and its node, that lies, or makes trouble, as a test tells it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Call = dict[str, Any]
Response = dict[str, Any]
Change = Callable[[Call, Response], Response | None]
"""Gives a response in place of the node's, or None to leave it out; may change it in place."""


@dataclass
class Reply:
    """An HTTP answer, and how it goes over the line.

    Attributes:
        body: As it would be.
        status: HTTP's.
        headers: Besides Content-Length.
        chunked: In chunks, without Content-Length.
        sent: How many of its bytes are sent before the connection is closed; None for all.
        claimed: Content-Length where it is not the body's; -1 for none.
    """

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    sent: int | None = None
    claimed: int | None = None


@dataclass
class Proxy:
    """A running proxy; what is set here takes effect with the next request.

    Attributes:
        url: Where it listens.
        on_request: Told each request's calls before the node is asked; may give a reply in the node's place.
        change: Changes each response.
        on_reply: Changes the whole answer, or drops the connection by giving None.
        calls: The methods that were called, in order.
        largest: The most calls of one request.
    """

    url: str
    on_request: Callable[[list[Call]], Reply | None] = lambda _: None
    change: Change = lambda _, response: response
    on_reply: Callable[[list[Call], Reply], Reply | None] = lambda _, reply: reply
    calls: list[str] = field(default_factory=list)
    largest: int = 0

    def reset(self) -> None:
        """Tell the truth again, and make no trouble."""
        self.on_request = lambda _: None
        self.change = lambda _, response: response
        self.on_reply = lambda _, reply: reply
        self.calls, self.largest = [], 0


@contextmanager
def running_proxy(node: str) -> Iterator[Proxy]:
    """Run a proxy before a node, on a free loopback port, and end it on leaving."""

    class Handler(_Handler):
        upstream = node

    server = _Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    Handler.proxy = proxy
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that was killed says nothing worth printing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str
    proxy: Proxy
    wbufsize = -1

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parsed = json.loads(body)
        calls = parsed if isinstance(parsed, list) else [parsed]
        self.proxy.calls += [call["method"] for call in calls]
        self.proxy.largest = max(self.proxy.largest, len(calls))
        reply = self.proxy.on_request(calls) or self._ask(calls, body, isinstance(parsed, list))
        changed = self.proxy.on_reply(calls, reply)
        if changed is None:
            self.close_connection = True
            return
        self._send(changed)

    def _ask(self, calls: list[Call], body: bytes, is_batch: bool) -> Reply:
        parts = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        by_id = {call["id"]: call for call in calls}
        listed = answer if isinstance(answer, list) else [answer]
        changed = [self.proxy.change(by_id[each["id"]], each) for each in listed]
        kept = [each for each in changed if each is not None]
        return Reply(json.dumps(kept if is_batch else kept[0], separators=(",", ":")).encode())

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.claimed != -1:
            self.send_header("Content-Length", str(len(reply.body) if reply.claimed is None else reply.claimed))
        if reply.sent is not None or reply.claimed == -1:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        body = reply.body if reply.sent is None else reply.body[: reply.sent]
        if reply.chunked:
            for start in range(0, len(body), 1000):
                chunk = body[start : start + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if reply.sent is None:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body)
        self.wfile.flush()


def error(call: Call, message: str, code: int = -32000) -> Response:
    """Give a JSON-RPC error in answer to a call."""
    return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}


def refusal(calls: list[Call], message: str, code: int = -32000, status: int = 200) -> Reply:
    """Give one error in answer to a whole request."""
    return Reply(json.dumps(error(calls[0], message, code)).encode(), status)
