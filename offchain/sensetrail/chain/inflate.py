"""Answers that come compressed, made long again without becoming longer than allowed."""

from __future__ import annotations

import http.client
import zlib

from sensetrail.errors import ChainError

ACCEPTED = "gzip, deflate"
_AUTOMATIC, _RAW = 47, -15
"""`wbits` of zlib: gzip or zlib by its header, and deflate without any, which some servers send."""


def inflate(data: bytes, coding: str, limit: int) -> bytes:
    """Decode an answer's content.

    Args:
        data: As it came.
        coding: Its `Content-Encoding`.
        limit: The most bytes to give.

    Returns:
        The content.

    Raises:
        ChainError: It would be too long, is damaged, or has another coding.
        IncompleteRead: It is cut short.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return data
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ChainError("the node's answer is compressed in a way that nobody asked for", "use another node")
    # The first byte of deflate data without a header never looks like zlib's.
    wbits = _RAW if coding == "deflate" and data[:1] and data[0] & 15 != 8 else _AUTOMATIC
    found = bytearray()
    try:
        while data:
            member = zlib.decompressobj(wbits)
            found += member.decompress(data, limit + 1 - len(found))
            if len(found) > limit:
                raise ChainError(f"the node's answer has more than {limit} bytes, uncompressed", "use another node")
            if not member.eof:
                raise http.client.IncompleteRead(b"")
            data = member.unused_data
    except zlib.error as error:
        raise ChainError("the node's compressed answer is damaged", "use another node") from error
    return bytes(found)
