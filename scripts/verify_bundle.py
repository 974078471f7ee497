#!/usr/bin/env python3
"""The second verifier of bundles: docs/bundle.md in one file, sharing no code with the package.

    scripts/verify_bundle.py BUNDLE --block-hash 0x... [--registry 0x...] [--limit BYTES] [--json]

Needs Python 3.11 and nothing else; with `safe-pysha3` installed it hashes faster. Written from docs/bundle.md and
docs/contracts.md, so that an error of the package shows as a difference. A bundle is hostile: its members are read in
pieces, nothing is unpacked to disk, and what takes memory was checked to be what the chain holds.

Exits with 0 if the evidence holds, with 1 if it does not, with 2 if the file cannot be read or the findings cannot be
written, with 130 if interrupted. That the weights come of the dataset (step 9) takes a training run, which `sensetrail
audit` does.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import TextIOWrapper
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

# The contracts of this version: keccak256 of the code at their addresses, and of their ABIs' canonical JSON.
SENSOR_CODE = bytes.fromhex("ec8caeb1a2a5f854278bb41d8842ef5a43eaa51b97acbaf231815265101b50f5")
MODEL_CODE = bytes.fromhex("1aecc44cbe9ae0a6f7449f374e1c21cad06bc4498a4f20cbe424943133590846")
SENSOR_ABI = bytes.fromhex("6f3c98bf73930adb2da907aec210600acef63f41ebe92363e20d49f81c929507")
MODEL_ABI = bytes.fromhex("a1215d09e5b66290a99f5ef71f5d94b5e4be51d98b9e62ef45b72c0399f8a9fd")

MEMBERS = {
    "bundle.json": 64 << 10,
    "SensorRegistry.abi.json": 1 << 20,
    "ModelRegistry.abi.json": 1 << 20,
    "headers": 4 << 30,
    "receipts": 4 << 30,
    "proofs": 1 << 30,
    "transactions": 4 << 30,
    "dataset.csv": 4 << 30,
    "manifest.json": 1 << 20,
    "model": 4 << 30,
}
"""A bundle's members in their order, and the most bytes of each."""

BUNDLE_VERSION = "sensetrail-bundle-v1"
MANIFEST_VERSION = "sensetrail-manifest-v1"
SELECTION_VERSION = "sensetrail-legal-v1"
WEIGHTS_ALGORITHM = "sensetrail-keras-v1:keccak256"

CHUNK = 1 << 16
SWOLLEN = 400
"""How many times the bytes that it takes a member above 1 MiB may have: headers of empty blocks reach some 30."""
NO_NUMBER = 0xFFFFFFFF
"""Of four bytes; elsewhere, it announces ZIP64."""
JSON_DEPTH = 64
# What no block can hold more of, so that a bomb ends early: a header has some 700 bytes and at most 32 KiB of extra
# data, a trie's node less than 600, and each byte of a log costs 8 gas.
HEADER_LIMIT = 34 << 10
NODE_LIMIT = 2 << 10
PROOF_LIMIT = 65
RECEIPTS_LIMIT = 1 << 28
TRANSACTION_LIMIT = 1 << 24


class Refused(Exception):  # noqa: N818 -- it says what became of the bundle
    """The evidence does not hold; the message says where."""


class Unreadable(Exception):  # noqa: N818
    """The bundle cannot be read here, whatever it is; the message says why."""


def require(holds: object, what: str) -> None:
    """Refuse the bundle unless something holds."""
    if not holds:
        raise Refused(what)


# --- keccak256 --------------------------------------------------------------------------------------------------------


class Hash(Protocol):
    """As in hashlib."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """Give the hash of all bytes so far."""


_MASK = (1 << 64) - 1
_RATE = 136


def _round_constants() -> list[int]:
    """Give the 24 rounds' constants: bits of a linear feedback shift register (FIPS 202, 3.2.5)."""
    state, constants = 1, []
    for _ in range(24):
        constant = 0
        for j in range(7):
            constant |= (state & 1) << ((1 << j) - 1)
            state = (state << 1) ^ (0x171 if state & 0x80 else 0)
        constants.append(constant)
    return constants


_ROUND_CONSTANTS = _round_constants()


def _moves() -> list[tuple[int, int]]:
    """Give where each lane comes from, and by how many bits it turns on its way (FIPS 202, 3.2.2 and 3.2.3)."""
    moves = [(0, 0)] * 25
    x, y = 1, 0
    for t in range(24):
        # From (x, y) to (y, 2 x + 3 y), by the t-th triangular number.
        moves[5 * ((2 * x + 3 * y) % 5) + y] = (5 * y + x, (t + 1) * (t + 2) // 2 % 64)
        x, y = y, (2 * x + 3 * y) % 5
    return moves


_MOVES = _moves()
_NEIGHBOURS = [(i, i - i % 5 + (i + 1) % 5, i - i % 5 + (i + 2) % 5) for i in range(25)]


def _permute(a: list[int]) -> list[int]:
    """Keccak-f[1600] on 25 lanes, lane (x, y) at 5 y + x."""
    for constant in _ROUND_CONSTANTS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[x - 1] ^ (c[x - 4] << 1 & _MASK | c[x - 4] >> 63) for x in range(5)] * 5
        turned = [((lane := a[i] ^ d[i]) << turn | lane >> (64 - turn)) & _MASK for i, turn in _MOVES]
        a = [turned[i] ^ (~turned[j] & turned[k]) for i, j, k in _NEIGHBOURS]
        a[0] ^= constant
    return a


class PlainKeccak:
    """Keccak-256 as Ethereum has it (padding 0x01, not SHA-3's 0x06), in plain Python."""

    def __init__(self, data: bytes = b"") -> None:
        """Begin."""
        self._lanes, self._rest = [0] * 25, b""
        self.update(data)

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        self._rest += data
        whole = len(self._rest) // _RATE * _RATE
        for at in range(0, whole, _RATE):
            self._lanes = self._absorbed(self._rest[at : at + _RATE])
        self._rest = self._rest[whole:]

    def digest(self) -> bytes:
        """Give the hash of all bytes so far."""
        block = bytearray(self._rest.ljust(_RATE, b"\0"))
        block[len(self._rest)] ^= 0x01
        block[-1] ^= 0x80
        return struct.pack("<4Q", *self._absorbed(bytes(block))[:4])

    def _absorbed(self, block: bytes) -> list[int]:
        words = (*struct.unpack("<17Q", block), *[0] * 8)
        return _permute([lane ^ word for lane, word in zip(self._lanes, words, strict=True)])


try:
    from sha3 import keccak_256
except ImportError:
    keccak_256 = PlainKeccak

hasher: Callable[[bytes], Hash] = keccak_256


def keccak256(data: bytes) -> bytes:
    """Hash with Ethereum's keccak256."""
    return hasher(data).digest()


# --- the file: a ZIP archive in its one form --------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A member of the archive; nothing is read before it is asked for.

    Attributes:
        name: Its name.
        file: The archive.
        start: Where in the file its data begins.
        packed: How many bytes it takes there.
        size: How many bytes it has.
        deflated: Whether it is deflated; else it is stored.
        crc: Of its bytes.
    """

    name: str
    file: BinaryIO
    start: int
    packed: int
    size: int
    deflated: bool
    crc: int

    def chunks(self) -> Iterator[bytes]:
        """Give its bytes in pieces, never more than its size says."""
        size = 0
        try:
            for piece in self._inflated() if self.deflated else self._packed():
                size += len(piece)
                require(size <= self.size, f"{self.name} is longer than it says")
                yield piece
        except zlib.error as error:
            raise Refused(f"{self.name} is damaged: {error}") from error
        require(size == self.size, f"{self.name} is shorter than it says")

    def _packed(self) -> Iterator[bytes]:
        for at in range(0, self.packed, CHUNK):
            data = _read(self.file, self.start + at, min(CHUNK, self.packed - at))
            require(data, f"{self.name} is cut off")
            yield data

    def _inflated(self) -> Iterator[bytes]:
        inflate = zlib.decompressobj(-15)
        for data in self._packed():
            require(not inflate.eof, f"{self.name} goes on behind its end")
            yield inflate.decompress(data, CHUNK)
            # What follows a stream's end counts as unconsumed, too.
            while inflate.unconsumed_tail and not inflate.eof:
                yield inflate.decompress(inflate.unconsumed_tail, CHUNK)
        while not inflate.eof:
            # The last of what it holds back.
            piece = inflate.decompress(b"", CHUNK)
            require(piece or inflate.eof, f"{self.name} is cut off")
            yield piece
        require(not inflate.unused_data, f"{self.name} goes on behind its end")

    def read(self) -> bytes:
        """Give all its bytes; for members with a low limit."""
        return b"".join(self.chunks())

    def check(self) -> None:
        """Unpack it once, for its size and its checksum."""
        crc = 0
        for piece in self.chunks():
            crc = zlib.crc32(piece, crc)
        require(crc == self.crc, f"{self.name} does not have its checksum")


def open_archive(file: BinaryIO, limit: int) -> dict[str, Member]:
    """Read an archive from its end: the end record, the directory, and each member's header.

    A member's method, checksum and sizes are taken from the directory. All bytes but the members' own data follow from
    them, and are compared.

    Args:
        file: The bundle.
        limit: The most bytes that all members may have together.
    """
    length = file.seek(0, 2)
    directory_size = sum(46 + len(name) for name in MEMBERS)
    start = length - directory_size - 22
    require(start > 0, f"a file of {length} bytes is too short for a bundle")
    require(start < NO_NUMBER, "a file beyond 4 GiB is too long for a bundle")
    count = _little((len(MEMBERS), 2))
    end = b"PK\5\6" + bytes(4) + count + count + _little((directory_size, 4), (start, 4), (0, 2))
    require(_read(file, length - 22, 22) == end, "it does not end with the end record of a bundle")
    members: dict[str, Member] = {}
    at, place = start, 0
    for name, most in MEMBERS.items():
        entry = _read(file, at, 46 + len(name))
        members[name] = _member(file, name, entry, place, most)
        at, place = at + len(entry), members[name].start + members[name].packed
        require(place <= start, f"{name} is cut off")
    require(place == start, "there is something between the members and the directory")
    total = sum(member.size for member in members.values())
    if total > limit:
        raise Unreadable(f"the members have {total} bytes, more than --limit {limit}")
    return members


def _member(file: BinaryIO, name: str, entry: bytes, place: int, most: int) -> Member:
    """Read a member's entry in the directory; its local header at `place` must be made of the same bytes."""
    method, crc, packed, size = (_number(entry[i:j]) for i, j in ((10, 12), (16, 20), (20, 24), (24, 28)))
    # From "version needed" to the extra field's length: version 2.0, no flags; 1 January 1980, 0 o'clock.
    same = _little((20, 2), (0, 2), (method, 2), (0, 2), (0x21, 2), (crc, 4), (packed, 4), (size, 4))
    same += _little((len(name), 2), (0, 2))
    # Made by version 2.0 on Unix; no comment, disk 0; a regular file (0100644).
    expected = b"PK\1\2\x14\3" + same + bytes(6) + b"\0\0\xa4\x81" + _little((place, 4)) + name.encode()
    require(entry == expected, f"{name}: its entry in the directory is not a bundle's")
    header = b"PK\3\4" + same + name.encode()
    require(_read(file, place, len(header)) == header, f"{name}: its header is not what the directory makes it")
    require(method in (0, 8), f"{name} is packed by method {method}")
    require(size <= most and size < NO_NUMBER, f"{name} would have {size} bytes")
    require(size <= 1 << 20 or size <= SWOLLEN * packed, f"{name} would swell from {packed} to {size} bytes")
    least = size if method == 0 else 0
    require(least <= packed <= (size + size // 1000 + 64 if method else size), f"{name} is packed into {packed} bytes")
    require(place + len(header) + packed < NO_NUMBER, f"{name} ends beyond 4 GiB")
    return Member(name, file, place + len(header), packed, size, method == 8, crc)


def _little(*numbers: tuple[int, int]) -> bytes:
    """Give numbers of so many bytes each, little-endian."""
    return b"".join(number.to_bytes(length, "little") for number, length in numbers)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


# --- JSON -------------------------------------------------------------------------------------------------------------


def canonical_json(value: Any) -> bytes:
    """Write JSON in its canonical form: keys sorted, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse_json(data: bytes, name: str) -> Any:
    """Read JSON that must be canonical."""
    try:
        text = data.decode()
        _require_shallow(text)
        value = json.loads(text, object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite)
        require(canonical_json(value) == data, f"{name} is not canonical")
    except ValueError as error:
        raise Refused(f"{name} is not JSON: {error}") from error
    return value


def _require_shallow(text: str) -> None:
    """Refuse deep nesting before the parser, which calls itself at each level, comes upon it."""
    depth = 0
    plain = text.replace("\\\\", "").replace('\\"', "")
    for sign in re.findall(r"[\[\]{}]", "".join(plain.split('"')[::2])):
        depth += 1 if sign in "[{" else -1
        if depth > JSON_DEPTH:
            raise ValueError("nested too deep")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _finite(text: str) -> float:
    if not isfinite(float(text)):
        raise ValueError(f"{text} is not finite")
    return float(text)


@lru_cache(maxsize=1 << 16)
def checksummed(address: bytes) -> str:
    """Write an address in EIP-55's form: a letter is upper case where its digit of the hash is 8 or more."""
    digits = address.hex()
    cases = keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if case >= "8" else d for d, case in zip(digits, cases, strict=False))


def parse_address(text: object) -> bytes:
    """Read an address in EIP-55's form."""
    require(isinstance(text, str) and re.fullmatch("0x[0-9a-fA-F]{40}", text), f"{text!r:.60} is no address")
    address = bytes.fromhex(str(text)[2:])
    require(checksummed(address) == text, f"{text} is not in EIP-55's form")
    return address


def parse_word(text: object) -> bytes:
    """Read 32 bytes of lower case hexadecimal."""
    require(isinstance(text, str) and re.fullmatch("0x[0-9a-f]{64}", text), f"{text!r:.60} is no hash")
    return bytes.fromhex(str(text)[2:])


def parse_object(value: object, *keys: str) -> dict[str, Any]:
    """Read an object that has these keys and no others."""
    require(isinstance(value, dict) and set(value) == set(keys), f"no object of {', '.join(keys)}")
    return dict(value) if isinstance(value, dict) else {}


def parse_number(value: object) -> int:
    """Read a number of at most 64 bits; True and False are none."""
    require(type(value) is int and 0 <= value < 1 << 64, f"{value!r:.60} is no number of 64 bits")
    return value if isinstance(value, int) else 0


class Bundle(NamedTuple):
    """What bundle.json says; nothing of it is believed before it is proven."""

    chain_id: int
    first_block: int
    anchor_number: int
    anchor_hash: bytes
    sensor_registry: bytes
    model_registry: bytes


def parse_bundle(data: bytes) -> Bundle:
    """Read bundle.json."""
    keys = ("anchor", "bundle", "chain_id", "first_block", "model_registry", "sensor_registry")
    value = parse_object(parse_json(data, "bundle.json"), *keys)
    anchor = parse_object(value["anchor"], "hash", "number")
    require(value["bundle"] == BUNDLE_VERSION, "bundle.json is of another version")
    return Bundle(
        parse_number(value["chain_id"]),
        parse_number(value["first_block"]),
        parse_number(anchor["number"]),
        parse_word(anchor["hash"]),
        parse_address(value["sensor_registry"]),
        parse_address(value["model_registry"]),
    )


class Selection(NamedTuple):
    """Which legal readings a dataset takes: of these devices, measured from `since` to before `until`; None for all."""

    devices: frozenset[bytes] | None
    since: int | None
    until: int | None
    digest: bytes


class Manifest(NamedTuple):
    """What is needed of manifest.json."""

    digest: bytes
    weights_digest: bytes
    task: str
    parent: bytes
    dataset_id: bytes
    root: bytes
    row_count: int
    selection: Selection
    through_block: int
    block_hash: bytes


_MANIFEST_KEYS = (
    *("manifest", "weights_digest", "task", "dataset", "configuration"),
    *("labels", "environment", "metrics", "parent"),
)


def parse_manifest(data: bytes) -> Manifest:
    """Read manifest.json, as strictly as the package: no key too many, every type, and the dataset's id computed."""
    value = parse_object(parse_json(data, "manifest.json"), *_MANIFEST_KEYS)
    given = parse_object(value["dataset"], "block_hash", "id", "root", "row_count", "selection", "through_block")
    require(value["manifest"] == MANIFEST_VERSION, "manifest.json is of another version")
    algorithm, _, weights = str(value["weights_digest"]).rpartition(":")
    require(algorithm == WEIGHTS_ALGORITHM, "manifest.json names the weights by another algorithm")
    require(isinstance(value["labels"], list) and isinstance(value["configuration"], dict), "a manifest of other types")
    require(isinstance(value["environment"], dict) and isinstance(value["metrics"], dict), "a manifest of other types")
    texts = (value["task"], *value["labels"], *value["environment"].values())
    require(all(isinstance(text, str) for text in texts), "manifest.json has something else where a text belongs")
    require(all(type(metric) in (int, float) for metric in value["metrics"].values()), "a metric that is no number")
    selection = parse_selection(given["selection"])
    words = (
        parse_word(given["root"]),
        parse_number(given["row_count"]).to_bytes(32, "big"),
        selection.digest,
        parse_number(given["through_block"]).to_bytes(32, "big"),
        parse_word(given["block_hash"]),
    )
    require(keccak256(b"".join(words)) == parse_word(given["id"]), "the dataset's id is not the dataset's")
    return Manifest(
        keccak256(data),
        parse_word(weights),
        value["task"],
        parse_word(value["parent"]),
        parse_word(given["id"]),
        words[0],
        given["row_count"],
        selection,
        given["through_block"],
        words[4],
    )


def parse_selection(given: object) -> Selection:
    """Read a selection; its devices are sorted by address, each once."""
    value = parse_object(given, "devices", "selection", "since", "until")
    require(value["selection"] == SELECTION_VERSION, "a selection of another version")
    require(all(value[key] is None or type(value[key]) is int for key in ("since", "until")), "a time that is none")
    devices = None
    if value["devices"] is not None:
        require(isinstance(value["devices"], list), "a selection without a list of devices")
        listed = [parse_address(device) for device in value["devices"]]
        require(listed == sorted(set(listed)), "a selection's devices out of order")
        devices = frozenset(listed)
    return Selection(devices, value["since"], value["until"], keccak256(canonical_json(value)))


# --- RLP (Yellow Paper, appendix B) -----------------------------------------------------------------------------------


class Rlp:
    """A strict reader of RLP that comes in pieces.

    It follows what is expected instead of building what it finds: lists of millions of empty lists cost nothing.
    """

    def __init__(self, chunks: Iterable[bytes], size: int) -> None:
        """Begin before the first item of some pieces that have `size` bytes together."""
        self._chunks, self._chunk, self._at = iter(chunks), b"", 0
        self._place, self._ends = 0, [size]

    @classmethod
    def of(cls, data: bytes) -> Rlp:
        """Read from bytes that are there."""
        return cls((data,), len(data))

    def more(self) -> bool:
        """Tell whether another item follows in the list that was entered, or at the top."""
        return self._place < self._ends[-1]

    def enter(self, most: int | None = None) -> None:
        """Go into a list, of at most so many bytes."""
        _, is_list, length = self._head()
        require(is_list, "RLP: a string where a list belongs")
        require(most is None or length <= most, f"RLP: a list of {length} bytes")
        self._ends.append(self._place + length)

    def leave(self) -> None:
        """Go out of a list, of which nothing may be left."""
        require(not self.more(), "RLP: more items than belong")
        self._ends.pop()

    def end(self) -> None:
        """Make sure that nothing is left at the top."""
        require(len(self._ends) == 1 and not self.more(), "RLP: more items than belong")

    def string(self, most: int) -> bytes:
        """Read a string of at most so many bytes."""
        return self._string(most)[1]

    def word(self, size: int = 32) -> bytes:
        """Read a string of exactly so many bytes."""
        data = self.string(size)
        require(len(data) == size, f"RLP: {len(data)} bytes where {size} belong")
        return data

    def integer(self, size: int) -> int:
        """Read an unsigned integer of at most so many bytes: big-endian, without leading zeros."""
        data = self.string(size)
        require(data[:1] != b"\0", "RLP: an integer with a leading zero")
        return int.from_bytes(data, "big")

    def item(self, most: int) -> bytes:
        """Read an item of at most so many bytes, and give its encoding; what a list holds is not looked at."""
        if self._peek() < 0xC0:
            head, data = self._string(most)
            return head + data
        head, _, length = self._head()
        require(length <= most, f"RLP: an item of {length} bytes")
        return head + self._take(length)

    def skip(self) -> None:
        """Pass over a list."""
        _, is_list, length = self._head()
        require(is_list, "RLP: a string where a list belongs")
        for start in range(0, length, CHUNK):
            self._take(min(CHUNK, length - start))

    def strings(self, most: int, count: int) -> list[bytes]:
        """Read a list of at most so many strings of at most so many bytes."""
        self.enter()
        found: list[bytes] = []
        while self.more():
            require(len(found) < count, f"RLP: more than {count} items")
            found.append(self.string(most))
        self.leave()
        return found

    def _string(self, most: int) -> tuple[bytes, bytes]:
        """Read a string; give the head of its encoding, and the string."""
        head, is_list, length = self._head()
        require(not is_list, "RLP: a list where a string belongs")
        require(length <= most, f"RLP: a string of {length} bytes, at most {most} belong")
        data = self._take(length)
        require(not (len(head) == length == 1 and data < b"\x80"), "RLP: a single byte longer than need be")
        return head, data

    def _head(self) -> tuple[bytes, bool, int]:
        """Read an item's head: the head, whether the item is a list, and how many bytes follow."""
        require(self.more(), "RLP: it is cut off")
        first = self._peek()
        if first < 0x80:
            return b"", False, 1
        head = self._take(1)
        is_list = first >= 0xC0
        length = first - (0xC0 if is_list else 0x80)
        if length > 55:
            digits = self._take(length - 55)
            head, length = head + digits, int.from_bytes(digits, "big")
            require(digits[0] and length > 55, "RLP: a length longer than need be")
        require(self._place + length <= self._ends[-1], "RLP: it is cut off")
        return head, is_list, length

    def _peek(self) -> int:
        require(self.more(), "RLP: it is cut off")
        while self._at == len(self._chunk):
            self._chunk, self._at = self._next(), 0
        return self._chunk[self._at]

    def _take(self, count: int) -> bytes:
        require(self._place + count <= self._ends[-1], "RLP: it is cut off")
        self._place += count
        if self._at + count <= len(self._chunk):
            self._at += count
            return self._chunk[self._at - count : self._at]
        parts, have = [self._chunk[self._at :]], len(self._chunk) - self._at
        while have < count:
            self._chunk = self._next()
            self._at = min(count - have, len(self._chunk))
            parts.append(self._chunk[: self._at])
            have += self._at
        return b"".join(parts)

    def _next(self) -> bytes:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise Refused("RLP: it is cut off")
        return chunk


def rlp_string(data: bytes) -> bytes:
    """Encode a string."""
    return data if len(data) == 1 and data < b"\x80" else _rlp_head(0x80, len(data)) + data


def rlp_list(items: Iterable[bytes]) -> bytes:
    """Encode a list of items that are encoded."""
    body = b"".join(items)
    return _rlp_head(0xC0, len(body)) + body


def rlp_integer(value: int) -> bytes:
    """Encode an unsigned integer."""
    return rlp_string(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _rlp_head(base: int, length: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(digits)]) + digits


def rlp_items(data: bytes, count: int) -> list[bytes]:
    """Give the encodings of the items of a list that is all of `data` and has at most so many."""
    reader, found = Rlp.of(data), list[bytes]()
    reader.enter()
    while reader.more():
        require(len(found) < count, f"RLP: more than {count} items")
        found.append(reader.item(len(data)))
    reader.leave()
    reader.end()
    return found


def rlp_string_of(item: bytes) -> bytes:
    """Give the string that an encoding is of."""
    reader = Rlp.of(item)
    data = reader.string(len(item))
    reader.end()
    return data


# --- Merkle Patricia tries (appendix D) -------------------------------------------------------------------------------

EMPTY_ROOT = keccak256(b"\x80")


def nibbles(key: bytes) -> bytes:
    """Give a key's nibbles, one a byte."""
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def ordered_root(values: Sequence[bytes]) -> bytes:
    """Give the root of the trie in which value `i` stands under RLP(`i`): a block's receipts."""
    if not values:
        return EMPTY_ROOT
    return keccak256(_node(sorted((nibbles(rlp_integer(i)), value) for i, value in enumerate(values)), 0))


def _node(pairs: list[tuple[bytes, bytes]], depth: int) -> bytes:
    """Encode the node above pairs, in order, that share `depth` nibbles; no key begins another."""
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return rlp_list((rlp_string(_hex_prefix(first[depth:], 2)), rlp_string(pairs[0][1])))
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        path = _hex_prefix(first[depth:shared], 0)
        return rlp_list((rlp_string(path), _reference(_node(pairs, shared))))
    children = [b"\x80"] * 17
    for nibble, group in groupby(pairs, lambda pair: pair[0][depth]):
        children[nibble] = _reference(_node(list(group), depth + 1))
    return rlp_list(children)


def _reference(node: bytes) -> bytes:
    return node if len(node) < 32 else rlp_string(keccak256(node))


def _hex_prefix(path: bytes, kind: int) -> bytes:
    padded = bytes([kind + 1]) + path if len(path) % 2 else bytes([kind, 0]) + path
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _read_hex_prefix(packed: bytes) -> tuple[bytes, bool]:
    """Give the nibbles that were packed, and whether their node is a leaf."""
    path = nibbles(packed)
    require(path and path[0] < 4 and (path[0] % 2 or not path[1]), "a trie's node with a path that is none")
    return path[2 - path[0] % 2 :], path[0] >= 2


def prove(root: bytes, key: bytes, proof: list[bytes]) -> bytes:
    """Follow a proof (EIP-1186) from a trie's root to what stands under a key.

    Args:
        root: 32 bytes.
        key: As the trie has it, after its hashing; keys of one trie have one length.
        proof: The nodes from the root down, but those that others hold.

    Returns:
        The value; nothing where the proof shows that there is none.
    """
    if root == EMPTY_ROOT and proof in ([], [b"\x80"]):
        return b""
    nodes = iter(proof)
    path, reference, after_extension, is_root = nibbles(key), rlp_string(root), False, True
    while True:
        items = rlp_items(_resolve(reference, nodes, is_root), 17)
        is_root = False
        if len(items) == 17 and path:
            reference, path, after_extension = items[path[0]], path[1:], False
            if reference == b"\x80":
                value = b""
                break
            continue
        require(len(items) == 2 and not after_extension, "a trie's node that is none")
        part, is_leaf = _read_hex_prefix(rlp_string_of(items[0]))
        if is_leaf or path[: len(part)] != part:
            value = rlp_string_of(items[1]) if is_leaf and part == path else b""
            break
        require(part, "a trie's extension by nothing")
        reference, path, after_extension = items[1], path[len(part) :], True
    require(next(nodes, None) is None, "a proof with nodes left over")
    return value


def _resolve(reference: bytes, nodes: Iterator[bytes], is_root: bool) -> bytes:
    """Give the node that another refers to by its hash, or holds where it has less than 32 bytes."""
    if reference[0] >= 0xC0:
        require(len(reference) < 32, "a trie's node that holds another too large for it")
        return reference
    node = next(nodes, None)
    if node is None:
        raise Refused("a proof that lacks a node")
    require(keccak256(node) == rlp_string_of(reference), "a proof's node is not the one referred to")
    require(len(node) >= 32 or is_root, "a trie's node by its hash that fits into the one before")
    return node


class Account(NamedTuple):
    """What is needed of an account."""

    storage_root: bytes
    code_hash: bytes


def prove_account(state_root: bytes, address: bytes, proof: list[bytes]) -> Account:
    """Follow an account's proof."""
    value = prove(state_root, keccak256(address), proof)
    require(value, f"there is no account {checksummed(address)}")
    reader = Rlp.of(value)
    reader.enter()
    reader.integer(8)
    reader.integer(32)
    account = Account(reader.word(), reader.word())
    reader.leave()
    reader.end()
    return account


def prove_word(storage_root: bytes, slot: bytes, proof: list[bytes]) -> bytes:
    """Follow a storage slot's proof; zeros where nothing stands there, or (Anvil leaves them) an empty string."""
    value = prove(storage_root, keccak256(slot), proof)
    if not value:
        return bytes(32)
    reader = Rlp.of(value)
    word = reader.integer(32)
    reader.end()
    return word.to_bytes(32, "big")


# --- headers and receipts (4.3) ---------------------------------------------------------------------------------------

# h: bytes of this length; i: an integer of at most this length; x: at most so many bytes.
_HEADER_FIELDS = (
    *("h32", "h32", "h20", "h32", "h32", "h32", "h256", "i32", "i8", "i8", "i8", "i8", "x32768", "h32", "h8"),
    *("i32", "h32", "i8", "i8", "h32", "h32", "h32", "i8"),
)
_HEADER_LENGTHS = (15, 16, 17, 20, 21, 23)
"""Frontier, London, Shanghai, Cancun, Prague, Amsterdam: a fork appends fields."""


class Header(NamedTuple):
    """What is needed of a block's header."""

    hash: bytes
    parent: bytes
    state_root: bytes
    receipts_root: bytes
    bloom: int
    number: int
    time: int


def parse_header(data: bytes) -> Header:
    """Read a header of any fork from its RLP."""
    reader = Rlp.of(data)
    reader.enter()
    found: list[bytes] = []
    for kind in _HEADER_FIELDS:
        if not reader.more():
            break
        size = int(kind[1:])
        found.append(reader.word(size) if kind[0] == "h" else reader.string(size))
        require(kind[0] != "i" or found[-1][:1] != b"\0", "a header with a number that has leading zeros")
    reader.leave()
    reader.end()
    require(len(found) in _HEADER_LENGTHS, f"a header with {len(found)} fields, which no fork has")
    bloom, number, time = (int.from_bytes(found[i], "big") for i in (6, 8, 11))
    return Header(keccak256(data), found[0], found[3], found[5], bloom, number, time)


@lru_cache(maxsize=1 << 12)
def bloom_bits(value: bytes) -> int:
    """Give the bits of a bloom filter that an address or a topic sets."""
    digest = keccak256(value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


class Log(NamedTuple):
    """A log as its receipt holds it."""

    address: bytes
    topics: list[bytes]
    data: bytes


def parse_receipt(data: bytes) -> list[Log]:
    """Read a receipt (EIP-658, EIP-2718); give its logs."""
    reader = Rlp.of(data[1:] if data[:1] in (b"\1", b"\2", b"\3", b"\4") else data)
    reader.enter()
    require(reader.integer(1) < 2, "a receipt with a status that is none")
    reader.integer(8)
    bloom, bits = reader.word(256), 0
    reader.enter()
    logs = []
    while reader.more():
        reader.enter()
        logs.append(Log(reader.word(20), reader.strings(32, 4), reader.string(len(data))))
        reader.leave()
        require(all(len(topic) == 32 for topic in logs[-1].topics), "a log with a topic that is none")
        for value in (logs[-1].address, *logs[-1].topics):
            bits |= bloom_bits(value)
    for _ in range(2):
        reader.leave()
    reader.end()
    require(bits == int.from_bytes(bloom, "big"), "a receipt whose bloom filter is not its logs'")
    return logs


# --- events (the contracts' ABI) --------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """An event's name and its fields' types, in the order of its declaration."""

    name: str
    types: tuple[str, ...]
    indexed: tuple[bool, ...]


def _kinds(*declarations: str) -> dict[bytes, Kind]:
    """Give events by their first topic; a struct's fields stand in their event as if they were its own."""
    found = {}
    for declaration in declarations:
        name, _, rest = declaration.partition("(")
        fields = [item.split() for item in re.sub("[()]", "", rest).split(",")]
        kind = Kind(name, tuple(item[0] for item in fields), tuple(len(item) > 1 for item in fields))
        found[keccak256(declaration.replace(" indexed", "").encode())] = kind
    return found


SENSOR_EVENTS = _kinds(
    "ProfileAdded(uint8 indexed,(int16,int16,uint16,uint16,uint16,uint16,uint32))",
    "DeviceRegistered(address indexed,uint8 indexed,bytes32)",
    "DeviceRevoked(address indexed,uint32)",
    "ReadingPosted(address indexed,uint24,uint32,int16,uint16,uint8)",
    "BatchAccepted(address indexed,uint256,bytes,bytes)",
    "Rejected(address indexed,uint8 indexed,address,uint256,bytes32)",
)
MODEL_EVENTS = _kinds(
    "DatasetRegistered(bytes32 indexed,(bytes32,uint64,bytes32,uint64,bytes32),bool)",
    "ModelRegistered(bytes32 indexed,bytes32 indexed,bytes32,bytes32 indexed,string)",
    "ModelRecalled(bytes32 indexed,string)",
)


class Event(NamedTuple):
    """An event of one of the registries.

    Attributes:
        name: Its name.
        values: Its fields, in the order of its declaration.
        block: Its block's number.
        time: Its block's time, Unix seconds.
    """

    name: str
    values: tuple[Any, ...]
    block: int
    time: int


def decode_event(log: Log, kinds: dict[bytes, Kind], header: Header) -> Event | None:
    """Decode a log, strictly; None for events that the registries inherit (roles)."""
    kind = kinds.get(log.topics[0]) if log.topics else None
    if kind is None:
        return None
    require(len(log.topics) == 1 + sum(kind.indexed), f"{kind.name} with {len(log.topics)} topics")
    plain = [name for name, is_indexed in zip(kind.types, kind.indexed, strict=True) if not is_indexed]
    topics, data = iter(log.topics[1:]), iter(decode_abi(plain, log.data))
    values = tuple(
        decode_static(name, next(topics)) if is_indexed else next(data)
        for name, is_indexed in zip(kind.types, kind.indexed, strict=True)
    )
    require(kind.name != "Rejected" or 1 <= values[1] <= 6, "a rejection for no reason that there is")
    return Event(kind.name, values, header.number, header.time)


def decode_abi(types: Sequence[str], data: bytes) -> list[Any]:
    """Decode ABI data that is exactly what Solidity writes: tails end to end, padded with zeros, nothing behind."""
    tail = 32 * len(types)
    require(len(data) >= tail, "an event that is cut off")
    values: list[Any] = []
    for i, name in enumerate(types):
        word = data[32 * i : 32 * i + 32]
        if name not in ("bytes", "string"):
            values.append(decode_static(name, word))
            continue
        length = int.from_bytes(data[tail : tail + 32], "big")
        require(int.from_bytes(word, "big") == tail and length <= len(data), "an event's bytes are out of place")
        start, tail = tail + 32, tail + 32 + (length + 31) // 32 * 32
        require(tail <= len(data) and not any(data[start + length : tail]), "an event's bytes are not padded by zeros")
        values.append(data[start : start + length])
    require(tail == len(data), "an event with something behind its fields")
    return values


def decode_static(name: str, word: bytes) -> Any:
    """Decode a word; what its type cannot hold is refused."""
    if name == "bytes32":
        return word
    value = int.from_bytes(word, "big")
    if name.startswith("int"):
        value = value - (1 << 256) if value >> 255 else value
        half = 1 << int(name[3:]) - 1
        require(-half <= value < half, f"an event's {name} beyond its type")
        return value
    bits = {"address": 160, "bool": 1}.get(name) or int(name[4:])
    require(value >> bits == 0, f"an event's {name} beyond its type")
    return word[12:] if name == "address" else value


# --- readings, and their judge (docs/contracts.md) --------------------------------------------------------------------

OWN, TIMED, REGULAR, DELTA = range(4)
MAX_COUNT = 10_000
MAX_SEQUENCE = (1 << 24) - 1


class Reading(NamedTuple):
    """A reading: Unix seconds, 0.01 degC, 0.01 %RH."""

    measured_at: int
    temperature: int
    humidity: int


_NONE = Reading(0, 0, 0)


class Accepted(NamedTuple):
    """Readings that entered a device's history.

    Attributes:
        device: Whose, 20 bytes.
        header: The batch's header word.
        data: The readings, as the head commits to them.
        verdicts: As the contract gave them, by the reading's index; those that are legal are not in it.
        signature: Of the batch; empty for an own transaction.
        block: The block's number.
        time: The block's time, Unix seconds.
    """

    device: bytes
    header: int
    data: bytes
    verdicts: dict[int, int]
    signature: bytes
    block: int
    time: int


def accepted(event: Event) -> Accepted:
    """Read `ReadingPosted` or `BatchAccepted`."""
    if event.name == "ReadingPosted":
        device, sequence, measured_at, temperature, humidity, verdict = event.values
        header = int.from_bytes(device, "big") << 96 | measured_at << 64 | sequence << 24 | 1 << 8 | OWN
        data = (temperature & 0xFFFF).to_bytes(2, "big") + humidity.to_bytes(2, "big")
        return Accepted(device, header, data, {0: verdict} if verdict else {}, b"", event.block, event.time)
    device, header, payload, exceptions = event.values
    count, layout = header >> 8 & 0xFFFF, header & 0xFF
    require(header >> 96 == int.from_bytes(device, "big"), "a batch whose header names another device")
    require(1 <= count <= MAX_COUNT and layout in (TIMED, REGULAR, DELTA), "a batch that the registry does not accept")
    length = {TIMED: 6 * count, REGULAR: 4 * count, DELTA: 2 * count + 2}[layout]
    require(len(payload) - length in (64, 128), "a batch whose payload has not the length of its readings")
    require(len(exceptions) % 3 == 0, "a batch with exceptions that are cut off")
    verdicts: dict[int, int] = {}
    last = -1
    for at in range(0, len(exceptions), 3):
        index, verdict = int.from_bytes(exceptions[at : at + 2], "big"), exceptions[at + 2]
        require(verdict and last < index < count, "a batch with exceptions out of order")
        verdicts[index], last = verdict, index
    return Accepted(device, header, payload[:length], verdicts, payload[length:], event.block, event.time)


def readings_of(header: int, data: bytes) -> Iterator[Reading]:
    """Read a batch's readings."""
    start, period, count, layout = header >> 64 & 0xFFFFFFFF, header >> 48 & 0xFFFF, header >> 8 & 0xFFFF, header & 0xFF
    temperature = humidity = 0
    for i in range(count):
        if layout == TIMED:
            gap, temperature, humidity = struct.unpack_from(">3H", data, 6 * i)
            start += gap
        elif layout == DELTA and i:
            warming, wetting = struct.unpack_from(">2b", data, 2 + 2 * i)
            temperature, humidity = temperature + warming & 0xFFFF, humidity + wetting & 0xFFFF
        else:
            temperature, humidity = struct.unpack_from(">2H", data, 4 * i)
        measured_at = start if layout == TIMED else start + i * period
        yield Reading(measured_at, (temperature ^ 0x8000) - 0x8000, humidity)


class Profile(NamedTuple):
    """A profile's rules, in the order of the contract's struct."""

    temperature_min: int
    temperature_max: int
    temperature_step: int
    humidity_min: int
    humidity_max: int
    humidity_step: int
    future_tolerance: int

    def word(self) -> int:
        """Give the storage word: the rules, and above them what the contract's lanes compare with."""
        least, most = self.temperature_min + 0x1000, self.temperature_max + 0x1000
        lower = 0x8000 - min(max(least, 0), 0x4000), 0x8000 - min(self.humidity_min, 0x4000)
        upper = 0x8000 + min(max(most, -1), 0x3FFF), 0x8000 + min(self.humidity_max, 0x3FFF)
        step = 0x8000 + min(self.temperature_step, 0x3FFF), 0x8000 + min(self.humidity_step, 0x3FFF)
        fields = (*step, *upper, *lower, self.future_tolerance >> 16, self.future_tolerance & 0xFFFF)
        rules = (self.humidity_step, self.humidity_max, self.humidity_min)
        warmth = (self.temperature_step, self.temperature_max & 0xFFFF, self.temperature_min & 0xFFFF)
        return int.from_bytes(struct.pack(">14H", *fields, *rules, *warmth), "big")


@dataclass
class Device:
    """A device as its events left it; times in Unix seconds, 0 for never."""

    number: int
    identity: bytes
    registered_at: int
    rules: Profile
    profile: int = 0
    revoked_at: int = 0
    revoked_block: int = 0
    untrusted_since: int | None = None
    head: bytes = bytes(20)
    last_time: int = 0
    sequence: int = 0
    before: Reading = _NONE

    def word(self) -> bytes:
        """Give the state's storage word."""
        values = struct.pack(">hHB", self.before.temperature, self.before.humidity, self.profile)
        return self.head + self.last_time.to_bytes(4, "big") + self.sequence.to_bytes(3, "big") + values

    def record(self) -> tuple[bytes, bytes]:
        """Give the record's two storage words."""
        times = (self.untrusted_since or 0) << 64 | self.revoked_at << 32 | self.registered_at
        return self.identity, times.to_bytes(32, "big")

    def judge(self, reading: Reading, block_time: int) -> int:
        """Judge the next reading by J1 to J6, and move past it; give its flags, 0 if it is legal."""
        rules, before, flags = self.rules, self.before, 0
        # A time in the future becomes no latest time, nor could one beyond 32 bits.
        latest = min(block_time + rules.future_tolerance, 0xFFFFFFFF)
        flags |= 1 if reading.measured_at <= self.last_time else 0
        flags |= 2 if reading.measured_at > latest else 0
        if not flags:
            self.last_time = reading.measured_at
        flags |= 0 if rules.temperature_min <= reading.temperature <= rules.temperature_max else 4
        flags |= 0 if rules.humidity_min <= reading.humidity <= rules.humidity_max else 8
        if self.sequence:
            flags |= 16 if abs(reading.temperature - before.temperature) > rules.temperature_step else 0
            flags |= 32 if abs(reading.humidity - before.humidity) > rules.humidity_step else 0
        self.before = reading
        self.sequence += 1
        return flags


class Row(NamedTuple):
    """A legal reading; sorts by device and sequence number."""

    device: bytes
    sequence: int
    reading: Reading
    block: int

    def line(self) -> str:
        """Give its line of dataset.csv."""
        measured_at, temperature, humidity = self.reading
        return f"{checksummed(self.device)},{self.sequence},{measured_at},{temperature},{humidity}\n"

    def leaf(self) -> bytes:
        """Give its leaf in the dataset's tree: hashed twice, so that none is mistaken for a pair."""
        numbers = (self.sequence, *self.reading)
        words = [self.device.rjust(32, b"\0"), *(number.to_bytes(32, "big", signed=True) for number in numbers)]
        return keccak256(keccak256(b"".join(words)))


@dataclass
class History:
    """What the sensor registry's events say, replayed.

    Attributes:
        profiles: Number i + 1 at i.
        devices: By address, in the order of their registration.
        legal: The legal readings.
        batches: All that was accepted, in the order of the chain.
        gap: Where readings are missing, if they are: the device's head then is not in storage.
        wrong: The first verdict that is not the rules', if any.
        readings: How many were accepted.
    """

    profiles: list[Profile] = field(default_factory=list)
    devices: dict[bytes, Device] = field(default_factory=dict)
    legal: list[Row] = field(default_factory=list)
    batches: list[Accepted] = field(default_factory=list)
    gap: str = ""
    wrong: str = ""
    readings: int = 0

    def take(self, event: Event) -> None:
        """Replay one more event; what the registry cannot have emitted is refused."""
        if event.name in ("ReadingPosted", "BatchAccepted"):
            self._accept(accepted(event))
        elif event.name == "ProfileAdded":
            require(event.values[0] == len(self.profiles) + 1, f"profile {event.values[0]} is added out of order")
            self.profiles.append(Profile(*event.values[1:]))
        elif event.name == "DeviceRegistered":
            address, number, identity = event.values
            require(address not in self.devices, f"device {checksummed(address)} is registered twice")
            require(1 <= number <= len(self.profiles), f"device {checksummed(address)} has a profile that there is not")
            self.devices[address] = Device(number, identity, event.time, self.profiles[number - 1], number)
        elif event.name == "DeviceRevoked":
            device = self._active(event.values[0])
            device.profile, device.untrusted_since = 0, event.values[1]
            device.revoked_at, device.revoked_block = event.time, event.block

    def _active(self, address: bytes) -> Device:
        device = self.devices.get(address)
        if device is None or not device.profile:
            raise Refused(f"device {checksummed(address)} is not registered, or revoked, and yet in an event")
        return device

    def _accept(self, batch: Accepted) -> None:
        device = self._active(batch.device)
        first, count = batch.header >> 24 & 0xFFFFFF, batch.header >> 8 & 0xFFFF
        name = f"block {batch.block}, device {checksummed(batch.device)}, reading {first}"
        require(first + count <= MAX_SEQUENCE, f"{name}: it has no such number")
        if first != device.sequence and not self.gap:
            self.gap = f"{name}: the readings before it are missing"
        device.head = keccak256(device.head + batch.header.to_bytes(32, "big") + keccak256(batch.data))[:20]
        for i, reading in enumerate(readings_of(batch.header, batch.data)):
            flags = device.judge(reading, batch.time)
            if flags != batch.verdicts.get(i, 0) and not self.wrong:
                self.wrong = f"{name} + {i}: the verdict is {flags}, its event says {batch.verdicts.get(i, 0)}"
            if not flags:
                self.legal.append(Row(batch.device, first + i, reading, batch.block))
        self.readings += count
        self.batches.append(batch)


# --- signatures -------------------------------------------------------------------------------------------------------


class Point(NamedTuple):
    """A point in Jacobian coordinates; z = 0 is the neutral one."""

    x: int
    y: int
    z: int


class Curve(NamedTuple):
    """y^2 = x^3 + a x + b over the integers modulo p, with a generator of prime order n."""

    p: int
    a: int
    b: int
    n: int
    generator: Point

    def has(self, x: int, y: int) -> bool:
        """Tell whether a point is on the curve."""
        return x < self.p and y < self.p and (y * y - x * x * x - self.a * x - self.b) % self.p == 0

    def double(self, q: Point) -> Point:
        """Add a point to itself."""
        p = self.p
        yy = q.y * q.y % p
        s = 4 * q.x * yy % p
        zz = q.z * q.z % p
        m = (3 * q.x * q.x + self.a * zz * zz) % p
        x = (m * m - 2 * s) % p
        return Point(x, (m * (s - x) - 8 * yy * yy) % p, 2 * q.y * q.z % p)

    def add(self, q: Point, r: Point) -> Point:
        """Add two points."""
        if not q.z or not r.z:
            return q if q.z else r
        p = self.p
        qq, rr = q.z * q.z % p, r.z * r.z % p
        u, s = q.x * rr % p, q.y * rr * r.z % p
        h, t = (r.x * qq - u) % p, (r.y * qq * q.z - s) % p
        if not h:
            return Point(1, 1, 0) if t else self.double(q)
        hh = h * h % p
        hhh, v = h * hh % p, u * hh % p
        x = (t * t - hhh - 2 * v) % p
        return Point(x, (t * (v - x) - s * hhh) % p, h * q.z * r.z % p)

    def combine(self, u: int, v: int, q: Point) -> tuple[int, int] | None:
        """Give `u` times the generator plus `v` times a point, as x and y; None for the neutral point."""
        both = self.add(self.generator, q)
        total = Point(1, 1, 0)
        for bit in range(max(u.bit_length(), v.bit_length()) - 1, -1, -1):
            total = self.double(total)
            chosen = (u >> bit & 1) + 2 * (v >> bit & 1)
            if chosen:
                total = self.add(total, (self.generator, q, both)[chosen - 1])
        if not total.z:
            return None
        inverse = pow(total.z, -1, self.p)
        return total.x * inverse**2 % self.p, total.y * inverse**3 % self.p


SECP256K1 = Curve(
    2**256 - 2**32 - 977,
    0,
    7,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    Point(
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
        1,
    ),
)
P256 = Curve(
    2**256 - 2**224 + 2**192 + 2**96 - 1,
    -3,
    0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    Point(
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
        1,
    ),
)


def address_of(x: int, y: int) -> bytes:
    """Give a public key's address: the last 20 bytes of the key's keccak256."""
    return keccak256(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:]


def recover(digest: bytes, r: int, s: int, parity: int) -> bytes | None:
    """Give the address whose secp256k1 key made a signature; None where it is none, or has the higher s."""
    curve = SECP256K1
    if not (0 < r < curve.n and 0 < s <= curve.n // 2 and parity in (0, 1)):
        return None
    # R's x could also be r + n; neither Ethereum's precompile nor its transactions can say so.
    y = pow(r**3 + curve.b, (curve.p + 1) // 4, curve.p)
    if not curve.has(r, y):
        return None
    y = y if y & 1 == parity else curve.p - y
    inverse = pow(r, -1, curve.n)
    found = curve.combine(-int.from_bytes(digest, "big") * inverse % curve.n, s * inverse % curve.n, Point(r, y, 1))
    return address_of(*found) if found else None


def verify_p256(digest: bytes, r: int, s: int, x: int, y: int) -> bool:
    """Tell whether a P-256 signature is a key's; of the two values of s, only the lower is taken."""
    curve = P256
    if not (0 < r < curve.n and 0 < s <= curve.n // 2 and curve.has(x, y)):
        return False
    inverse = pow(s, -1, curve.n)
    found = curve.combine(int.from_bytes(digest, "big") * inverse % curve.n, r * inverse % curve.n, Point(x, y, 1))
    return found is not None and found[0] % curve.n == r


def is_signed_by(device: bytes, digest: bytes, signature: bytes) -> bool:
    """Tell whether a batch's signature is its device's: 64 bytes of secp256k1 (EIP-2098), or 128 of P-256."""
    numbers = [int.from_bytes(signature[at : at + 32], "big") for at in range(0, len(signature), 32)]
    if len(signature) == 64:
        return recover(digest, numbers[0], numbers[1] & (1 << 255) - 1, numbers[1] >> 255) == device
    return address_of(*numbers[2:]) == device and verify_p256(digest, *numbers)


def domain_separator(chain_id: int, registry: bytes) -> bytes:
    """Give what binds signatures to a chain and a registry (EIP-712)."""
    kind = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    names = keccak256(b"Sensetrail") + keccak256(b"1")
    return keccak256(kind + names + chain_id.to_bytes(32, "big") + registry.rjust(32, b"\0"))


def batch_digest(separator: bytes, header: int, data: bytes) -> bytes:
    """Give what a device signs of a batch (EIP-712)."""
    kind = keccak256(b"Batch(uint256 header,bytes data)")
    return keccak256(b"\x19\x01" + separator + keccak256(kind + header.to_bytes(32, "big") + keccak256(data)))


class Transaction(NamedTuple):
    """What is needed of a transaction.

    Attributes:
        sender: Who signed it; None where the signature is none.
        chain_id: None where it says none (type 0 from before EIP-155).
        to: 20 bytes; none for a creation.
        data: The call data.
    """

    sender: bytes | None
    chain_id: int | None
    to: bytes
    data: bytes


# By type: how many fields, and which of them is `to`, behind which stand value and data.
_TRANSACTIONS = {0: (9, 3), 1: (11, 4), 2: (12, 5), 3: (14, 5), 4: (13, 5)}


def parse_transaction(raw: bytes) -> Transaction:
    """Read a signed transaction of type 0 to 4 (EIP-155, 2930, 1559, 4844, 7702) and recover who sent it."""
    kind = raw[0] if raw and raw[0] < 0xC0 else 0
    require(raw and kind in _TRANSACTIONS and (kind or raw[0] >= 0xC0), "a transaction of no type that is known")
    count, to = _TRANSACTIONS[kind]
    fields = rlp_items(raw[1:] if kind else raw, count)
    require(len(fields) == count, f"a transaction of type {kind} with {len(fields)} fields")
    numbers = {i: Rlp.of(fields[i]).integer(32) for i in (*range(to), to + 1, count - 3, count - 2, count - 1)}
    parity, r, s = (numbers[i] for i in (count - 3, count - 2, count - 1))
    chain_id, body = (numbers[0] if kind else None), fields[:-3]
    if kind == 0:
        require(parity in (27, 28) or parity >= 35, "a transaction with a signature that is none")
        if parity >= 35:
            chain_id, parity = divmod(parity - 35, 2)
            body += [rlp_integer(chain_id), b"\x80", b"\x80"]
        else:
            parity -= 27
    digest = keccak256((bytes([kind]) if kind else b"") + rlp_list(body))
    where, data = rlp_string_of(fields[to]), rlp_string_of(fields[to + 2])
    return Transaction(recover(digest, r, s, parity), chain_id, where, data)


POST = keccak256(b"post(uint24,uint32,int16,uint16)")[:4]


def posted(batch: Accepted) -> bytes:
    """Give the call data that posts an own reading."""
    (reading,) = readings_of(batch.header, batch.data)
    numbers = (batch.header >> 24 & 0xFFFFFF, *reading)
    return POST + b"".join(number.to_bytes(32, "big", signed=True) for number in numbers)


# --- datasets ---------------------------------------------------------------------------------------------------------


def select(history: History, selection: Selection, through_block: int) -> list[Row]:
    """Take the legal readings of a selection through a block, in canonical order.

    A device that was revoked by then gives what it measured before it became untrusted.
    """
    rows = []
    for row in history.legal:
        device, time = history.devices[row.device], row.reading.measured_at
        revoked = device.untrusted_since is not None and device.revoked_block <= through_block
        if (
            row.block <= through_block
            and (selection.devices is None or row.device in selection.devices)
            and (selection.since is None or time >= selection.since)
            and (selection.until is None or time < selection.until)
            and not (revoked and is_untrusted(device, time))
        ):
            rows.append(row)
    return sorted(rows)


def is_untrusted(device: Device, time: int) -> bool:
    """Tell whether a device's revocation takes trust from what it measured at a time."""
    return device.untrusted_since is not None and time >= device.untrusted_since


def merkle_root(leaves: list[bytes]) -> bytes:
    """Give the root of OpenZeppelin's standard tree: leaves sorted, each pair sorted."""
    nodes = sorted(leaves, reverse=True)
    nodes = [b""] * (len(nodes) - 1) + nodes
    for i in range(len(leaves) - 2, -1, -1):
        nodes[i] = keccak256(b"".join(sorted(nodes[2 * i + 1 : 2 * i + 3])))
    return nodes[0]


def slot_of(key: bytes, base: int, offset: int = 0) -> bytes:
    """Give the slot of a mapping's value, `offset` words on."""
    first = int.from_bytes(keccak256(key.rjust(32, b"\0") + base.to_bytes(32, "big")), "big")
    return ((first + offset) % (1 << 256)).to_bytes(32, "big")


# --- the steps --------------------------------------------------------------------------------------------------------


class Finding(NamedTuple):
    """What became of a step; `result` is ok, failed, skipped or not reached."""

    step: int
    name: str
    result: str
    detail: str

    def __str__(self) -> str:
        shown = {"ok": f"ok: {self.detail}", "failed": f"FAILED: {self.detail}"}.get(self.result, self.result)
        return f"{self.step:2} {self.name:10} {shown}"


class Verifier:
    """Takes a bundle through the steps of docs/bundle.md; what a step proves is there for those after it."""

    def __init__(self, file: BinaryIO, block_hash: bytes, registry: bytes | None, limit: int) -> None:
        """Begin; nothing is read yet.

        Args:
            file: The bundle.
            block_hash: The anchor's, from someone who is trusted, 32 bytes.
            registry: The sensor registry that is meant; None for the bundle's.
            limit: The most bytes that all members may have together.
        """
        self.file, self.block_hash, self.registry, self.limit = file, block_hash, registry, limit
        self.members: dict[str, Member] = {}
        self.accounts: list[Account] = []
        self.history = History()
        self.event_count = 0
        self.through_hash = b""
        self.rows: list[Row] = []
        self.recalled_at = 0

    def run(self) -> Iterator[Finding]:
        """Run the steps in order, to the first that fails; give each one's finding as soon as it is there."""
        steps: dict[str, Callable[[], str] | None] = {
            "file": self.check_file,
            "code": self.check_code,
            "events": self.check_events,
            "heads": self.check_heads,
            "verdicts": self.check_verdicts,
            "signatures": self.check_signatures,
            "dataset": self.check_dataset,
            "manifest": self.check_manifest,
            "weights": self.check_weights,
            "retraining": None,
            "standing": self.check_standing,
        }
        failed = False
        for number, (name, step) in enumerate(steps.items()):
            if failed or step is None:
                yield Finding(number, name, "not reached" if failed else "skipped", "")
                continue
            try:
                yield Finding(number, name, "ok", step())
            except Refused as refusal:
                failed = True
                yield Finding(number, name, "failed", printable(str(refusal)))

    def check_file(self) -> str:
        """Step 0: members, sizes, JSON."""
        self.members = open_archive(self.file, self.limit)
        for member in self.members.values():
            member.check()
        self.bundle = parse_bundle(self.members["bundle.json"].read())
        self.abis = [self.members[f"{name}.abi.json"].read() for name in ("SensorRegistry", "ModelRegistry")]
        for abi in self.abis:
            parse_json(abi, "an ABI")
        self.manifest = parse_manifest(self.members["manifest.json"].read())
        return f"{sum(member.size for member in self.members.values())} bytes in {len(MEMBERS)} members"

    def check_code(self) -> str:
        """Step 1: the anchor is the block that is trusted, and both contracts' code is this version's there."""
        bundle, last = self.bundle, b""
        require(self.registry in (None, bundle.sensor_registry), "the bundle is of another registry")
        reader = self._rlp("headers")
        while reader.more():
            last = reader.item(HEADER_LIMIT)
        require(keccak256(last) == self.block_hash, "the last header is not that of the block whose hash was given")
        require(self.block_hash == bundle.anchor_hash, "bundle.json names another block than was given")
        anchor = parse_header(last)
        require(anchor.number == bundle.anchor_number, "bundle.json gives the block another number than its header")
        proofs = self._rlp("proofs")
        proofs.enter()
        for address, code in ((bundle.sensor_registry, SENSOR_CODE), (bundle.model_registry, MODEL_CODE)):
            proofs.enter()
            require(proofs.word(20) == address, "a proof of another account")
            account = prove_account(anchor.state_root, address, proofs.strings(NODE_LIMIT, PROOF_LIMIT))
            require(account.code_hash == code, f"the code at {checksummed(address)} is not this version's")
            self.accounts.append(account)
            proofs.skip()
            proofs.leave()
        proofs.leave()
        proofs.end()
        for abi, digest in zip(self.abis, (SENSOR_ABI, MODEL_ABI), strict=True):
            require(keccak256(abi) == digest, "an ABI is not this version's")
        return f"both contracts at block {anchor.number} are this version's"

    def check_events(self) -> str:
        """Step 2: headers lead from first_block to the anchor, and every log of ours in between is here."""
        bundle, before = self.bundle, b""
        wanted = [bloom_bits(address) for address in (bundle.sensor_registry, bundle.model_registry)]
        headers, receipts = self._rlp("headers"), self._rlp("receipts")
        number = bundle.first_block
        while headers.more():
            header = parse_header(headers.item(HEADER_LIMIT))
            require(header.number == number, f"block {header.number} where block {number} belongs")
            require(not before or header.parent == before, f"block {number} is not the child of the block before")
            if number == self.manifest.through_block:
                self.through_hash = header.hash
            if any(header.bloom & bits == bits for bits in wanted):
                self._read_block(header, receipts)
            number, before = number + 1, header.hash
        require(before == self.block_hash, "the headers changed while they were read")
        receipts.end()
        return f"{self.event_count} events in blocks {bundle.first_block} to {bundle.anchor_number}"

    def check_heads(self) -> str:
        """Step 3: what the events lead to is what the sensor registry's storage holds: none is missing or altered."""
        history = self.history
        require(not history.gap, history.gap)
        storage = self._storage(0)
        counts = len(history.devices) << 8 | len(history.profiles)
        self._expect(storage, 0, (6).to_bytes(32, "big"), counts.to_bytes(32, "big"), "the number of devices")
        for number, rules in enumerate(history.profiles, start=1):
            word = rules.word().to_bytes(32, "big")
            self._expect(storage, 0, slot_of(bytes([number]), 5), word, f"profile {number}")
        for address, device in history.devices.items():
            name = f"device {checksummed(address)}"
            self._expect(storage, 0, slot_of(address, 3), device.word(), f"{name}: its state and head")
            for offset, word in enumerate(device.record()):
                self._expect(storage, 0, slot_of(address, 4, offset), word, f"{name}: its record")
        storage.leave()
        return f"{len(history.devices)} devices' events give their storage: none is missing or altered"

    def check_verdicts(self) -> str:
        """Step 4: every verdict is the rules'."""
        require(not self.history.wrong, self.history.wrong)
        return f"{self.history.readings} readings judged again, {len(self.history.legal)} of them legal"

    def check_signatures(self) -> str:
        """Step 5: every batch and every own transaction is signed by its device."""
        bundle = self.bundle
        separator = domain_separator(bundle.chain_id, bundle.sensor_registry)
        transactions = self._rlp("transactions")
        transactions.enter()
        for batch in self.history.batches:
            name = f"block {batch.block}, device {checksummed(batch.device)}"
            if batch.signature:
                digest = batch_digest(separator, batch.header, batch.data)
                require(is_signed_by(batch.device, digest, batch.signature), f"{name}: the signature is not its own")
                continue
            require(transactions.more(), f"{name}: its transaction is missing")
            sent = parse_transaction(transactions.string(TRANSACTION_LIMIT))
            require(sent.sender == batch.device, f"{name}: its transaction is not its own")
            require(sent.chain_id in (None, bundle.chain_id), f"{name}: its transaction is of another chain")
            require(sent.to == bundle.sensor_registry, f"{name}: its transaction goes elsewhere")
            # Solidity passes over what stands behind the arguments: whoever wrote it there must not spoil the bundle.
            require(sent.data.startswith(posted(batch)), f"{name}: its transaction posts something else")
        transactions.leave()
        transactions.end()
        return f"{len(self.history.batches)} batches and own transactions are signed by their devices"

    def check_dataset(self) -> str:
        """Step 6: the dataset is what its selection takes of the chain, and is anchored."""
        manifest = self.manifest
        require(self.through_hash == manifest.block_hash, f"block {manifest.through_block} is not the manifest's")
        self.rows = select(self.history, manifest.selection, manifest.through_block)
        require(self.rows, "the selection takes nothing")
        self._compare_rows()
        require(len(self.rows) == manifest.row_count, f"the manifest counts {manifest.row_count} rows")
        require(merkle_root([row.leaf() for row in self.rows]) == manifest.root, "the manifest has another root")
        words = (
            manifest.root,
            manifest.row_count.to_bytes(32, "big"),
            manifest.selection.digest,
            manifest.through_block.to_bytes(32, "big"),
            manifest.block_hash,
        )
        self.model_storage = self._storage(1)
        for offset, word in enumerate(words):
            self._expect(self.model_storage, 1, slot_of(manifest.dataset_id, 3, offset), word, "the dataset")
        return f"{len(self.rows)} rows taken again from the chain have the root that is anchored"

    def check_manifest(self) -> str:
        """Step 7: the manifest is anchored, for these weights, this dataset, this task."""
        manifest, storage = self.manifest, self.model_storage
        words = {0: manifest.dataset_id, 1: manifest.digest, 2: manifest.parent, 4: keccak256(manifest.task.encode())}
        for offset in range(5):
            slot = slot_of(manifest.weights_digest, 4, offset)
            if offset == 3:
                self.recalled_at = int.from_bytes(self._stored(storage, 1, slot), "big") >> 32
            else:
                self._expect(storage, 1, slot, words[offset], "the model")
        storage.leave()
        return f"manifest 0x{manifest.digest.hex()} is anchored"

    def check_weights(self) -> str:
        """Step 8: the model is the manifest's."""
        digest = hasher(b"")
        for chunk in self.members["model"].chunks():
            digest.update(chunk)
        require(digest.digest() == self.manifest.weights_digest, "the model is not the manifest's")
        return f"model 0x{digest.digest().hex()} is the manifest's"

    def check_standing(self) -> str:
        """Step 10: nothing that happened since speaks against the model."""
        require(not self.recalled_at, f"the model is recalled, since Unix second {self.recalled_at}")
        for row in self.rows:
            device = self.history.devices[row.device]
            require(
                not is_untrusted(device, row.reading.measured_at),
                f"reading {row.sequence} of {checksummed(row.device)} is in the dataset, and not trusted any more",
            )
        return "the model is not recalled, and no device of its rows lost trust in them"

    def _rlp(self, name: str) -> Rlp:
        return Rlp(self.members[name].chunks(), self.members[name].size)

    def _read_block(self, header: Header, receipts: Rlp) -> None:
        """Read the receipts of a block that may hold logs of ours, and take those logs."""
        kinds = {self.bundle.sensor_registry: SENSOR_EVENTS, self.bundle.model_registry: MODEL_EVENTS}
        values: list[bytes] = []
        receipts.enter(RECEIPTS_LIMIT)
        while receipts.more():
            values.append(receipts.string(RECEIPTS_LIMIT))
            require(values[-1], f"block {header.number} has an empty receipt")
        receipts.leave()
        require(ordered_root(values) == header.receipts_root, f"block {header.number} has other receipts")
        for value in values:
            for log in parse_receipt(value):
                event = decode_event(log, kinds[log.address], header) if log.address in kinds else None
                if event is not None:
                    self.history.take(event)
                    self.event_count += 1

    def _storage(self, which: int) -> Rlp:
        """Give a reader of the proofs, before the first slot of the sensor registry (0) or the model registry (1)."""
        reader = self._rlp("proofs")
        reader.enter()
        for _ in range(which):
            reader.skip()
        reader.enter()
        reader.word(20)
        reader.skip()
        reader.enter()
        return reader

    def _stored(self, reader: Rlp, which: int, slot: bytes) -> bytes:
        """Read the next slot's proof, which must be of this slot; give its word."""
        reader.enter()
        require(reader.word() == slot, "a proof of another slot")
        word = prove_word(self.accounts[which].storage_root, slot, reader.strings(NODE_LIMIT, PROOF_LIMIT))
        reader.leave()
        return word

    def _expect(self, reader: Rlp, which: int, slot: bytes, word: bytes, name: str) -> None:
        stored = self._stored(reader, which, slot)
        require(stored == word, f"{name}: storage holds 0x{stored.hex()}, not 0x{word.hex()}")

    def _compare_rows(self) -> None:
        """Hold dataset.csv against the rows, as it comes: a bomb ends at its first wrong byte."""
        lines = [b"device,sequence,measured_at,temperature,humidity\n", *(row.line().encode() for row in self.rows)]
        expected = b"".join(lines)
        at = 0
        for chunk in self.members["dataset.csv"].chunks():
            if expected[at : at + len(chunk)] != chunk:
                wrong = next((i for i in range(len(chunk)) if expected[at + i : at + i + 1] != chunk[i : i + 1]), 0)
                raise Refused(f"dataset.csv: line {1 + expected[: at + wrong].count(10)} is not what the chain gives")
            at += len(chunk)
        require(at == len(expected), "dataset.csv: lines are missing")


def printable(text: str) -> str:
    """Escape what is not to be printed as it is: a bundle must not write to a terminal what it likes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


# --- the command ------------------------------------------------------------------------------------------------------

UNREADABLE, INTERRUPTED = 2, 130


class OutputError(Exception):
    """What is printed cannot be written; the cause is an OSError."""


def _hexadecimal(size: int) -> Callable[[str], bytes]:
    def parse(text: str) -> bytes:
        if not re.fullmatch(f"0x[0-9a-fA-F]{{{2 * size}}}", text):
            raise argparse.ArgumentTypeError(f"{text!r} is not 0x and {2 * size} hexadecimal digits")
        return bytes.fromhex(text[2:])

    return parse


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Verify a Sensetrail bundle by docs/bundle.md.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--block-hash", type=_hexadecimal(32), required=True, help="of the block that you trust")
    parser.add_argument("--registry", type=_hexadecimal(20), help="the sensor registry that you mean")
    parser.add_argument("--limit", type=int, default=4 << 30, help="most bytes, unpacked (default: 4 GiB)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    try:
        return parser.parse_args(arguments)
    except SystemExit:
        # After --help: was it written?
        show("", end="")
        raise


def open_bundle(path: Path) -> BinaryIO:
    """Open a bundle's file; a pipe would wait for its writer, and no device holds a bundle."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise Unreadable("it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
    return path.open("rb")


def show(text: str, end: str = "\n") -> None:
    """Print a line at once."""
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        # Python would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise OutputError from error


def complain(text: str) -> None:
    """Print a line to standard error, if there is one."""
    if sys.stderr is not None:
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def verify(given: argparse.Namespace) -> bool:
    """Verify a bundle, and print what each step finds; tell whether all hold."""
    findings: list[Finding] = []
    with open_bundle(given.bundle) as file:
        for finding in Verifier(file, given.block_hash, given.registry, given.limit).run():
            findings.append(finding)
            if not given.json:
                show(str(finding))
    failed = next((finding.step for finding in findings if finding.result == "failed"), None)
    if given.json:
        steps = [finding._asdict() for finding in findings]
        show(json.dumps({"passed": failed is None, "failed_step": failed, "steps": steps}))
    return failed is None


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a bundle; give the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        # What its encoding lacks is escaped.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        given = _arguments(arguments)
        try:
            return 0 if verify(given) else 1
        except OSError as error:
            reason = error.strerror or str(error)
        except Unreadable as error:
            reason = str(error)
        except MemoryError:
            reason = "it does not fit into this machine's memory"
        complain(f"{printable(str(given.bundle))}: {reason}")
    except OutputError as error:
        # Who closed a pipe has read enough.
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, BrokenPipeError):
            complain(f"standard output: {error.__cause__.strerror}")
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    return UNREADABLE


if __name__ == "__main__":
    sys.exit(main())
