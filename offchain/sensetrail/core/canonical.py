"""Canonical JSON, and digests that name their algorithm."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

from sensetrail.core.nesting import require_shallow
from sensetrail.core.primitives import hex_word, keccak256
from sensetrail.errors import ManifestError

LONGEST_INTEGER = 100
"""Characters; no integer that the package reads has more than eighty."""
_WORD = re.compile(r"0x[0-9a-fA-F]{64}")


def canonical_json(value: Any) -> bytes:
    """Write a JSON value in its one canonical form: keys sorted, no white space, UTF-8, no NaN or infinity."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def json_digest(value: Any) -> bytes:
    """Hash a JSON value's canonical form with keccak256."""
    return keccak256(canonical_json(value))


def parse_json(data: bytes, what: str) -> Any:
    """Parse JSON that came from outside.

    Stricter than `json`: UTF-8 only, at most `nesting.MAX_DEPTH` levels, every key once, every number finite, no half
    surrogates. What passes has a canonical form.

    Args:
        data: UTF-8.
        what: What it is, for the message.

    Raises:
        ManifestError: It is none of that kind.
    """
    try:
        require_shallow(data)
        value = json.loads(
            data.decode(), object_pairs_hook=_once, parse_constant=_refuse, parse_int=_integer, parse_float=_finite
        )
        canonical_json(value)
        return value
    except ValueError as error:
        raise ManifestError(f"{what} is not valid JSON: {error}", "restore the original file") from error


def fault(error: Exception) -> str:
    """Say what is wrong with a JSON value that a reader could not take apart, in words that are not Python's."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, TypeError | AttributeError):
        return "a value is not of the type that it should be"
    return str(error)


def named_digest(algorithm: str, digest: bytes) -> str:
    """Write a digest with the name of its algorithm, such as `sensetrail-keras-v1:keccak256:0x...`."""
    return f"{algorithm}:{hex_word(digest)}"


def parse_named_digest(text: str, algorithm: str) -> bytes:
    """Read a named digest of this algorithm.

    Raises:
        ManifestError: It is of another algorithm, or not 32 bytes of hexadecimal.
    """
    name, _, value = text.rpartition(":")
    if name != algorithm:
        raise ManifestError(f"a digest of {name or 'no algorithm'}, expected {algorithm}", "use a matching version")
    return parse_word(value)


def parse_word(text: str) -> bytes:
    """Read 32 bytes of 0x hexadecimal.

    Raises:
        ManifestError: It is something else.
    """
    if isinstance(text, str) and _WORD.fullmatch(text):
        return bytes.fromhex(text[2:])
    raise ManifestError(f"{text!r:.80} is not 32 bytes of hexadecimal", "restore the original file")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _integer(text: str) -> int:
    if len(text) > LONGEST_INTEGER:
        raise ValueError(f"{text[:20]}... is too large")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is too large")
    return value
