"""Questions to a node, many at once, and what may be wrong with its answers.

Three things may be wrong, and each is an error of its own:

    AnswerError       the answer makes no sense: another type, a field missing, text that is not hexadecimal
    LimitedNodeError  an honest node does not have what was asked for, such as pruned history
    ProofError        the answer contradicts a hash, or itself: the node is proven to lie
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sensetrail.chain.line import parse
from sensetrail.chain.wire import Pace
from sensetrail.errors import AnswerError, LimitedNodeError, RefusedError, VerificationError

TRIES = 5
"""How often a node is asked for what it does not have, or for a chain that changes, without coming any further."""
PAUSE = 0.25
"""Seconds between these tries: a node that is several machines may have one that is behind."""

FULL_HISTORY = "use a node that keeps its whole history, or wait until this one has caught up"
_LACKS_HISTORY = re.compile(
    r"prun|missing trie node|not found|not available|unavailable|unknown block|histor|archive|no state|old block",
    re.IGNORECASE,
)

T = TypeVar("T")


class NamedRefusalError(RefusedError):
    """A refusal that says what was asked for."""


def spans(first: int, last: int, pace: Pace) -> Iterator[range]:
    """Divide heights into spans, each of the size that the pace has by then."""
    while first <= last:
        span = range(first, min(first + pace.size, last + 1))
        yield span
        first = span.stop


def batch(calls: Sequence[object]) -> bytes:
    """Give a batch's JSON; a single call is not made a batch, so that nodes without batches work call by call."""
    return json.dumps(calls[0] if len(calls) == 1 else calls).encode()


def responses(answer: memoryview, span: Sequence[int], what: str) -> list[Any]:
    """Give a batch's responses in the order of its questions, which a node need not keep.

    Args:
        answer: The node's, JSON.
        span: The questions' ids.
        what: What was asked for, in the plural, for the error.

    Raises:
        AnswerError: They are not these questions' answers.
    """
    parsed = parse(answer)
    listed = [parsed] if isinstance(parsed, dict) else parsed
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise AnswerError(f"the node's answer makes no sense: no responses where those for {what} belong")
    by_id = {_number(each.get("id")): each for each in listed}
    if len(listed) != len(span) or by_id.keys() != set(span):
        raise AnswerError(
            f"the node's answer makes no sense: {len(listed)} responses to {len(span)} questions for {what}, and not "
            "to these questions"
        )
    return [by_id[number] for number in span]


@contextmanager
def reading(what: Callable[[], str]) -> Iterator[None]:
    """Turn what cannot be read of an answer into one sentence about what was asked for.

    Args:
        what: Names what was asked for; called when there is an error.

    Raises:
        AnswerError: In place of the error that a malformed value causes.
    """
    try:
        yield
    except VerificationError as error:
        raise AnswerError(f"the node's answer for {what()} makes no sense: {error.what}") from error


@contextmanager
def asking(what: Callable[[], str]) -> Iterator[None]:
    """Say of a refusal what was asked for, and whether a node with more history would have it.

    Args:
        what: Names what was asked for; called when there is an error.

    Raises:
        NamedRefusalError: In place of the node's bare refusal.
    """
    try:
        yield
    except NamedRefusalError:
        raise
    except RefusedError as error:
        to_do = FULL_HISTORY if _LACKS_HISTORY.search(error.what) else error.to_do
        raise NamedRefusalError(f"{what()}: {error.what}", to_do, code=error.code) from error


def insist(ask: Callable[[], T | None], what: str) -> T:
    """Ask until there is an answer, `TRIES` times at the most.

    Raises:
        LimitedNodeError: The node has none.
    """
    for left in reversed(range(TRIES)):
        found = ask()
        if found is not None:
            return found
        if left:
            time.sleep(PAUSE)
    raise lacks(what)


def lacks(what: str) -> LimitedNodeError:
    """Give the error for what a node does not have; `what` goes after "the node does not have"."""
    return LimitedNodeError(f"the node does not have {what}", FULL_HISTORY)


def _number(value: object) -> object:
    """Read a response's id; some servers give a number back as a string."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value[:20])
    # Not True for 1, nor anything that cannot be a key.
    return value if type(value) is int else None
