"""What a broken or hostile node may answer in place of a result: the kinds, and what they do to a command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from proxy import Call, Reply, Response

HUGE = 10**30
TEXTS = [
    "",
    "0x",
    "0xzz",
    "zebra",
    "0x1 ",
    " 0x1",
    "1",
    "-0x1",
    "0x-1",
    "0x1\n",
    "0X1",
    "\u0660x1",
    "\ud800",
    "\x1b[31m",
]
NUMBERS = [0, 1, -1, 1.5, HUGE, -HUGE, True, False]
QUANTITIES = ["0x0", "0x0000", "0x" + "0" * 5000, "0x" + "f" * 16, "0x" + "f" * 17, "0x" + "f" * 64, "0x" + "f" * 65]
DATA = ["0x0", "0x00", "0x" + "00" * 32, "0x" + "ff" * 32, "0x" + "00" * 31, "0x" + "ff" * 320, "0x" + "00" * 320]
OFFSETS = ["0x" + "00" * 31 + "20" + "ff" * 32, "0x" + "00" * 31 + "20" + "00" * 31 + "40" + "00" * 64]
NESTED: list[Any] = [None, [], {}, [[]], [{}], [None], {"a": 1}, {"error": None}, [1, 2, 3], {"result": {}}]
JUNK: list[Any] = [*NESTED, *NUMBERS, *TEXTS, *QUANTITIES, *DATA, *OFFSETS]
"""Values in place of a result, or of one of its fields."""

FIELDS: list[Any] = [None, [], 7, "0x", "zebra", "0x" + "ff" * 33]
"""Values in place of a field of a result."""

DEEP = b"[" * 200_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"<html>it works</html>",
    "half": b'{"jsonrpc":"2.0","id":1,"res',
    "null": b"null",
    "a number": b"7",
    "a batch": b'[{"jsonrpc":"2.0","id":1,"result":"0x1"}]',
    "an empty batch": b"[]",
    "an empty object": b"{}",
    "nested deep": DEEP,
    "nested deep inside": b'{"jsonrpc":"2.0","id":1,"result":' + DEEP,
    "nested deep and whole": b'{"id":1,"result":' + DEEP + b"]" * 200_000 + b"}",
    "nested deep in objects": b'{"a":' * 200_000,
    "NaN": b'{"jsonrpc":"2.0","id":1,"result":NaN}',
    "Infinity": b'{"jsonrpc":"2.0","id":1,"result":-Infinity}',
    "a number of many digits": b'{"jsonrpc":"2.0","id":1,"result":' + b"9" * 5000 + b"}",
    "UTF-16": '{"jsonrpc":"2.0","id":1,"result":"0x1"}'.encode("utf-16"),
    "not UTF-8": b'{"jsonrpc":"2.0","id":1,"result":"\xff\xfe"}',
    "half a surrogate": b'{"jsonrpc":"2.0","id":1,"result":"\\ud800"}',
    "a key twice": b'{"jsonrpc":"2.0","id":1,"result":"0x1","result":"0x2"}',
    "no id": b'{"jsonrpc":"2.0","result":"0x1"}',
    "another id": b'{"jsonrpc":"2.0","id":987654321,"result":"0x1"}',
    "error: text": b'{"jsonrpc":"2.0","id":1,"error":"no"}',
    "error: list": b'{"jsonrpc":"2.0","id":1,"error":[]}',
    "error: number": b'{"jsonrpc":"2.0","id":1,"error":7}',
    "error: empty": b'{"jsonrpc":"2.0","id":1,"error":{}}',
    "error: message of another type": b'{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":{"a":[1]},"data":[1]}}',
    "error: escapes": b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"\\u001b[31mred\\u202e\\n\\u2028x"}}',
    "error: revert of nothing": b'{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"reverted","data":"0x"}}',
    "error: revert of junk": b'{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"revert","data":"0x08c379a0zz"}}',
    "error: another host to ask": b'{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"revert","data":"0x556f1830"}}',
    "error: panic": b'{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"","data":"0x4e487b71' + b"77" * 32 + b'"}}',
}
"""Whole answers."""


def mutations(result: Any) -> Iterator[Any]:
    """Give a result with one of its fields, or one of its first entry's, missing or replaced by junk."""
    if isinstance(result, dict):
        for name in result:
            yield {key: value for key, value in result.items() if key != name}
            for junk in (*FIELDS, *mutations(result[name])):
                yield {**result, name: junk}
    elif isinstance(result, list) and result:
        for junk in (None, [], 7, "zebra", *mutations(result[0])):
            yield [junk, *result[1:]]
        yield [*result, *result]


NOTHING = object()


@dataclass
class Spoiler:
    """Spoils a method's answers from the `nth` call on.

    Attributes:
        method: The method.
        result: What to give in place of the node's result.
        body: The whole answer in place of the node's.
        nth: How many calls are answered honestly first.
        honest: The results that the node gave.
    """

    method: str
    result: Any = NOTHING
    body: bytes | None = None
    nth: int = 0
    honest: list[Any] = field(default_factory=list)
    _seen: int = 0

    def change(self, call: Call, response: Response) -> Response:
        """Change an answer's result, as `Proxy.change`."""
        if self._is_it(call) and "result" in response:
            self.honest.append(response["result"])
            response["result"] = response["result"] if self.result is NOTHING else self.result
        return response

    def reply(self, calls: list[Call]) -> Reply | None:
        """Answer in the node's place, as `Proxy.on_request`."""
        return Reply(self.body) if self.body is not None and self._is_it(calls[0]) else None

    def _is_it(self, call: Call) -> bool:
        self._seen += call["method"] == self.method
        return call["method"] == self.method and self._seen > self.nth


def described(junk: Any) -> str:
    """Name junk in a failure."""
    return json.dumps(junk)[:80] if not isinstance(junk, bytes) else repr(junk[:80])
