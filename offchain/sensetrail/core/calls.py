"""The calls that bring readings to the registry, decoded from a transaction's data as Solidity decodes them.

Call data is hostile: whoever relays a batch writes it. The contract follows pointers wherever they lead and ignores
what lies between and behind, so this does the same, and says where the data is not what an encoder would have written.
What the contract reverts on is a `VerificationError`.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode

from sensetrail.core.batch import Header
from sensetrail.core.primitives import keccak256
from sensetrail.errors import VerificationError

POST = "post(uint24,uint32,int16,uint16)"
SUBMIT_BATCH = "submitBatch(uint256,bytes)"
SUBMIT_BATCHES = "submitBatches((uint256,bytes)[])"
FUNCTIONS = {keccak256(signature.encode())[:4]: signature for signature in (POST, SUBMIT_BATCH, SUBMIT_BATCHES)}
"""Each function's selector, 4 bytes, and its signature."""

MAX_PAYLOAD_BYTES = 2**26
"""Of all batches of a call, whose pointers may lead to the same bytes again and again: to copy and hash more would cost
more than a transaction's 2^24 gas (EIP-7825)."""

HEAD = 4
"""Where the arguments begin, behind the selector; an argument's pointer counts from here."""

_WORD = 2**256


@dataclass(frozen=True, slots=True)
class Post:
    """A reading of the sender's own: Unix seconds, 0.01 degC, 0.01 %RH."""

    sequence: int
    measured_at: int
    temperature: int
    humidity: int


@dataclass(frozen=True, slots=True)
class Submission:
    """A batch as it was sent: its header word taken apart, and its payload, whatever is in it."""

    header: Header
    payload: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A call that brings readings.

    Attributes:
        function: Its signature.
        sent: What it brings, in order.
        is_canonical: Whether its data is what an ABI encoder writes: no gap, no overlap, nothing behind.
    """

    function: str
    sent: tuple[Post | Submission, ...]
    is_canonical: bool


def decode_call(data: bytes) -> Call | None:
    """Decode a call of the registry.

    Args:
        data: A transaction's data, from anywhere.

    Returns:
        The call; None for any other function.

    Raises:
        VerificationError: The registry reverts on such data.
    """
    function = FUNCTIONS.get(data[:4])
    if function is None:
        return None
    words = _Words(data)
    if function == POST:
        return Call(function, (_post(words),), len(data) == HEAD + 128)
    if function == SUBMIT_BATCH:
        words.require(64)
        place, length = words.array(HEAD + 32, 1)
        submission = Submission(Header.unpack(words.at(HEAD)), words.cut(place, length))
        encoded = abi_encode(["uint256", "bytes"], [submission.header.pack(), submission.payload])
        return Call(function, (submission,), encoded == data[HEAD:])
    words.require(32)
    submissions = _submissions(words)
    structs = [(each.header.pack(), each.payload) for each in submissions]
    return Call(function, submissions, abi_encode(["(uint256,bytes)[]"], [structs]) == data[HEAD:])


class _Words:
    """A call's data, the selector with it; a place counts from its first byte, modulo 2^256."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._cut = 0

    def at(self, place: int) -> int:
        """Read 32 bytes; what lies behind the end is 0."""
        return int.from_bytes(self.data[place : place + 32].ljust(32, b"\0"), "big") if place < len(self.data) else 0

    def require(self, length: int) -> None:
        """Make sure that the arguments' own words are there."""
        if len(self.data) < HEAD + length:
            raise _reverted(f"{len(self.data) - HEAD} bytes of arguments where {length} are needed")

    def array(self, pointer: int, width: int) -> tuple[int, int]:
        """Follow an argument's pointer; give where its elements of `width` bytes begin, and how many there are."""
        place = HEAD + self.at(pointer)
        length = self.at(place)
        if place + 32 + width * length > len(self.data):
            raise _reverted(f"{length} elements of {width} bytes behind byte {place + 32} of {len(self.data)}")
        return place + 32, length

    def tail(self, base: int, pointer: int, needed: int) -> int:
        """Follow a pointer inside the array, which counts from `base` and is signed: it may lead back."""
        distance = _signed(self.at(pointer % _WORD))
        if distance >= _signed(len(self.data) - base - (needed - 1)):
            raise _reverted(f"a pointer {distance} bytes on from byte {_signed(base)} of {len(self.data)}")
        return (base + distance) % _WORD

    def cut(self, place: int, length: int) -> bytes:
        """Give some bytes, which lie inside the data."""
        self._cut += length
        if self._cut > MAX_PAYLOAD_BYTES:
            raise _reverted(f"more than {MAX_PAYLOAD_BYTES} bytes of payload by pointers to the same bytes")
        return self.data[place : place + length] if length else b""


def _post(words: _Words) -> Post:
    words.require(128)
    sequence, measured_at, temperature, humidity = (words.at(HEAD + place) for place in (0, 32, 64, 96))
    fits = sequence < 2**24 and measured_at < 2**32 and -(2**15) <= _signed(temperature) < 2**15 and humidity < 2**16
    if not fits:
        raise _reverted("an argument beyond its type")
    return Post(sequence, measured_at, _signed(temperature), humidity)


def _submissions(words: _Words) -> tuple[Submission, ...]:
    base, count = words.array(HEAD, 32)
    found = []
    for i in range(count):
        struct = words.tail(base, base + 32 * i, 64)
        place = words.tail(struct, struct + 32, 32)
        length = words.at(place)
        place = (place + 32) % _WORD
        # Compared as signed numbers, like the contract does: a place before the first byte has no length and no bytes.
        if _signed(place) > len(words.data) - length:
            raise _reverted(f"batch {i + 1}: {length} bytes of payload in {len(words.data)} of call data")
        found.append(Submission(Header.unpack(words.at(struct)), words.cut(place, length)))
    return tuple(found)


def _signed(value: int) -> int:
    """Read a word as two's complement."""
    return (value + _WORD // 2) % _WORD - _WORD // 2


def _reverted(what: str) -> VerificationError:
    return VerificationError(
        f"call data that the registry reverts on: {what}", "nothing of it counts: look for what was sent instead of it"
    )
