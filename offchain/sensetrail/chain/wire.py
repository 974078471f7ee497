"""Much from a node, fast: JSON-RPC over kept connections, answers as raw bytes, and whatever a node may do meanwhile.

Two connections take turns, so that the node works on the next answer while this one is processed; their buffers are
used again and again. `chain.rpc` is for everything else.

A node that is away, slow, busy (429) or cuts an answer short is waited for, longer each time. One that finds an answer
too large is asked for less, and for more again later. Each such event is told.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sensetrail.chain.endpoint import Endpoint, parse_endpoint
from sensetrail.chain.line import Line, error_message, parse, status_error
from sensetrail.chain.transport import trouble as trouble_with
from sensetrail.errors import ChainError, NodeUnreachableError, RefusedError

TARGET_BYTES = 1_500_000
"""The size of answer at which local nodes are fastest."""
TIMEOUT = 60.0
PATIENCE = 120.0
"""Seconds without any answer before giving up."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0

TOO_MUCH = re.compile(
    r"too (large|many|big|much)|limit(ed)? (exceeded|to)|exceed|response size|block range|range is|"
    r"query returned more|\bbatch|payload|timed? ?out",
    re.IGNORECASE,
)
TOO_OFTEN = re.compile(
    r"\brate\b|too many requests|compute units|capacity|throughput|per second|try again", re.IGNORECASE
)
TOO_MUCH_STATUS = frozenset({413, 504})
UNKNOWN_METHOD = -32601
BUSY_STATUS = frozenset({408, 425, 429, 500, 502, 503})
TRIES_WHOLE = 2
"""How often a question breaks off before less is asked for: too large an answer may be why."""
TRIES_REFUSED = 4
"""How often a node may refuse one block of many that it gives before it is believed."""

Encode = Callable[[Sequence[int]], bytes]
Tell = Callable[[str], None]


@dataclass(slots=True)
class Pace:
    """How many blocks to ask for at once: as many as make an answer of `TARGET_BYTES`, and never more than went well.

    Attributes:
        size: Blocks in the next question.
        ceiling: What the node takes, as far as known.
    """

    size: int = 20
    ceiling: int = 10_000
    _good: int = 0

    def grow(self, blocks: int, length: int) -> bool:
        """Take note of an answer.

        Args:
            blocks: How many were asked for.
            length: The answer's bytes.

        Returns:
            Whether more will be tried than what was too much before.
        """
        self._good += 1
        higher = self._good >= 16 and self.ceiling < 10_000
        if higher:
            self._good, self.ceiling = 0, min(2 * self.ceiling, 10_000)
        self.size = max(1, min(TARGET_BYTES * blocks // max(1, length), 4 * max(blocks, 1), self.ceiling))
        return higher

    def shrink(self, blocks: int) -> None:
        """Take note that an answer for so many blocks was too much."""
        self._good = 0
        self.size = self.ceiling = max(1, blocks // 2)


def call(number: int, method: str, *parameters: object) -> dict[str, object]:
    """Give a JSON-RPC call as an object."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}


class Wire:
    """A line of two connections to a node."""

    def __init__(self, url: str | Endpoint, *, tell: Tell = lambda _: None, patience: float = PATIENCE) -> None:
        """Prepare the line; nothing is sent yet.

        Args:
            url: http(s) URL of the node's JSON-RPC.
            tell: Told of every trouble, one line.
            patience: Seconds without any answer before giving up.

        Raises:
            InputError: It is no such URL.
        """
        self.endpoint = parse_endpoint(url) if isinstance(url, str) else url
        self.name = self.endpoint.name
        self._tell = tell
        self._patience = patience
        self._lines = tuple(Line(self.endpoint, TIMEOUT, 2 * TARGET_BYTES) for _ in range(2))

    def close(self) -> None:
        """Hang up."""
        for line in self._lines:
            line.close()

    def ask(self, method: str, *parameters: object) -> Any:
        """Ask one small question.

        Raises:
            RefusedError: The node answered with an error.
            NodeUnreachableError: It does not answer.
        """
        body = json.dumps(call(1, method, *parameters)).encode()
        ((_, answer),) = self.stream(lambda _: body, [(0,)], tries=1)
        return result_of(parse(answer))

    def stream(
        self,
        encode: Encode,
        spans: Iterable[Sequence[int]],
        pace: Pace | None = None,
        tries: int = TRIES_REFUSED,
    ) -> Iterator[tuple[Sequence[int], memoryview]]:
        """Ask a question after another, each sent before the answer to the one before is processed.

        Args:
            encode: Makes the question for a span of blocks: one call, or a batch of one call a block.
            spans: The spans; for an empty one nothing is asked.
            pace: Told of what goes well and what is too much.
            tries: How often a question that the node refuses is asked, once it cannot be made smaller.

        Yields:
            Each span with its answer, in order; an answer is valid until the next. A span that was too much comes in
            parts.

        Raises:
            RefusedError: The node answered with an error that waiting or asking for less does not cure.
            NodeUnreachableError: It does not answer.
        """
        pace = pace or Pace()
        pending: _Question | None = None
        turn = 0
        try:
            for span in spans:
                question = _Question(span, self._lines[turn])
                turn = 1 - turn
                if len(span):
                    question.line.try_to_send(encode(span))
                if pending is not None:
                    yield from self._answers(encode, pending, pace, tries)
                pending = question
            if pending is not None:
                yield from self._answers(encode, pending, pace, tries)
        finally:
            # An answer that nobody waits for any more would be taken for the next question's.
            for line in self._lines:
                if line.is_asked:
                    line.close()

    def _answers(
        self, encode: Encode, question: _Question, pace: Pace, tries: int
    ) -> Iterator[tuple[Sequence[int], memoryview]]:
        rest, size = question.span, len(question.span)
        if not size:
            yield rest, memoryview(b"")
            return
        deadline = time.monotonic() + self._patience
        while len(rest):
            part = rest[:size]
            answer = self._answer(encode, _Question(part, question.line), tries, deadline)
            if answer is None:
                # What was too much once is not asked for again before a while; the time to give up stays.
                pace.shrink(len(part))
                size = len(part) // 2
                continue
            if pace.grow(len(part), len(answer)):
                self._tell(f"{self.name}: asking for up to {pace.ceiling} blocks at once again")
            yield part, answer
            rest, size = rest[len(part) :], pace.size
            deadline = time.monotonic() + self._patience

    def _answer(self, encode: Encode, question: _Question, tries: int, deadline: float) -> memoryview | None:
        """Get an answer, however long it takes; None where less must be asked for."""
        span, line = question.span, question.line
        pause, tried = FIRST_PAUSE, 0
        while True:
            trouble = _attempt(encode, question)
            if trouble is None:
                return line.answer
            tried += 1
            if len(span) > 1 and (trouble.is_too_much or (trouble.may_be_too_much and tried >= TRIES_WHOLE)):
                self._tell(f"{self.name} {trouble.what}: asking for {len(span) // 2} blocks at once, not {len(span)}")
                return None
            if trouble.refusal is not None and tried >= tries:
                raise trouble.refusal
            wait = max(pause, trouble.retry_after)
            if time.monotonic() + wait > deadline:
                raise NodeUnreachableError(
                    f"{self.name} {trouble.what}, for {self._patience:.0f} s now",
                    "run the command again later: it goes on",
                )
            self._tell(f"{self.name} {trouble.what}: trying again in {wait:.1f} s")
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)


@dataclass(slots=True)
class _Question:
    span: Sequence[int]
    line: Line


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why there is no answer.

    Attributes:
        what: The node does this.
        is_too_much: Asking for less cures it.
        may_be_too_much: Asking for less may cure it, if asking again does not.
        refusal: What to raise where neither does; None where only waiting helps.
        retry_after: How long to wait, as the node says, seconds.
    """

    what: str
    is_too_much: bool = False
    may_be_too_much: bool = False
    refusal: RefusedError | None = None
    retry_after: float = 0.0


def _attempt(encode: Encode, question: _Question) -> _Trouble | None:
    """Ask, if that was not done yet, and receive the answer; None for no trouble."""
    span, line = question.span, question.line
    while True:
        try:
            if not line.is_asked:
                line.send(encode(span))
            status, retry_after = line.receive()
        except TimeoutError:
            line.close()
            return _Trouble("does not answer in time", is_too_much=True)
        except (OSError, http.client.HTTPException) as error:
            was_kept = line.was_kept and isinstance(error, ConnectionError)
            line.close()
            if was_kept:
                # Nodes hang up on connections that were idle for a while, by right: asked again at once on a new one.
                continue
            return _Trouble(trouble_with(error), may_be_too_much=True)
        return _trouble(status, retry_after, line)


def _trouble(status: int, retry_after: float, line: Line) -> _Trouble | None:
    """Say what is wrong with an answer; None for nothing.

    Raises:
        RefusedError: It is one that neither waiting nor asking for less cures.
    """
    if status in BUSY_STATUS - {500}:
        return _Trouble(f"is busy ({status})", may_be_too_much=status == 502, retry_after=retry_after)
    if status in TOO_MUCH_STATUS:
        refusal = RefusedError(f"the node answers with HTTP status {status}", "use another node")
        return _Trouble(f"finds it too much ({status})", is_too_much=True, refusal=refusal if status == 413 else None)
    if status == 200:
        if not line.is_whole():
            return _Trouble("cuts its answer short", may_be_too_much=True)
        if not line.has_error():
            return None
    try:
        error = _first_error(parse(line.answer))
    except ChainError:
        error = None
    if error is not None:
        return _judge(error, retry_after, line.endpoint)
    if status == 200:
        return None
    if status == 500:
        return _Trouble("is busy (500)", may_be_too_much=True, retry_after=retry_after)
    raise status_error(line.endpoint, status)


def _judge(error: dict[str, Any], retry_after: float, endpoint: Endpoint) -> _Trouble:
    code, message = error.get("code"), endpoint.foreign_text(error_message(error))
    if code == 429 or TOO_OFTEN.search(message):
        return _Trouble(f"is busy ({message[:80]})", retry_after=retry_after)
    refusal = RefusedError(f"the node refused: {message}", "use another node", code=code)
    if code == UNKNOWN_METHOD:
        raise refusal
    if code == -32005 or TOO_MUCH.search(message):
        return _Trouble(f"finds it too much ({message[:80]})", is_too_much=True, refusal=refusal)
    # What is wrong with one of many is no reason not to read the others: it is asked for alone.
    return _Trouble(f"refuses ({message[:80]})", is_too_much=True, refusal=refusal)


def result_of(response: Any) -> Any:
    """Give a response's result.

    Raises:
        ChainError: It has none.
    """
    if not isinstance(response, dict) or "result" not in response:
        raise ChainError("the node's answer makes no sense", "use another node")
    return response["result"]


def _first_error(response: Any) -> dict[str, Any] | None:
    for each in response if isinstance(response, list) else [response]:
        error = each.get("error") if isinstance(each, dict) else None
        if error is not None:
            return error if isinstance(error, dict) else {"message": error}
    return None
