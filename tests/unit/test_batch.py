from __future__ import annotations

from dataclasses import replace

import pytest

from sensetrail.core.batch import Batch, Format, Header, decode, encode, encode_own, formats
from sensetrail.core.primitives import address, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.errors import MalformedEventError, ReadingError

DEVICE = address("0x" + "11" * 20)
TIME = 0x6AB00000


def columns(measurements: Measurements) -> list[list[int]]:
    return [column.tolist() for column in (measurements.measured_at, measurements.temperature, measurements.humidity)]


def test_header_word_is_laid_out_as_documented() -> None:
    header = Header(DEVICE, 0x22222222, 0x3333, 0x444444, 0x5555, 0x66)
    word = int("11" * 20 + "22222222" + "3333" + "444444" + "5555" + "66", 16)
    assert header.pack() == word
    assert Header.unpack(word) == header


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": -1},
        {"start": 2**32},
        {"period": 2**16},
        {"first_sequence": 2**24},
        {"count": 2**16},
        {"format": 2**8},
    ],
)
def test_header_refuses_what_its_fields_cannot_hold(wrong: dict[str, int]) -> None:
    with pytest.raises(ReadingError, match="cannot hold"):
        replace(Header(DEVICE, 0, 0, 0, 1, 1), **wrong).pack()  # type: ignore[arg-type]


def test_evenly_spaced_readings_become_a_regular_batch() -> None:
    batch = encode(DEVICE, 7, Measurements.of([TIME, TIME + 30, TIME + 60], [-1, 0, 1], [0, 1, 65535]))
    assert batch.header == Header(DEVICE, TIME, 30, 7, 3, Format.REGULAR)
    assert batch.data.hex(" ", 4) == "ffff0000 00000001 0001ffff"


def test_evenly_spaced_readings_of_small_changes_become_a_delta_batch() -> None:
    batch = encode(DEVICE, 7, Measurements.of([TIME, TIME + 30, TIME + 60], [-1, 126, -2], [255, 127, 254]))
    assert batch.header == Header(DEVICE, TIME, 30, 7, 3, Format.DELTA)
    assert batch.data.hex(" ", 2) == "ffff 00ff 7f80 807f"
    assert columns(decode(batch)) == [[TIME, TIME + 30, TIME + 60], [-1, 126, -2], [255, 127, 254]]


def test_a_delta_batch_wraps_at_16_bits() -> None:
    header = Header(DEVICE, TIME, 0, 0, 3, Format.DELTA)
    assert columns(decode(Batch(header, bytes.fromhex("7fff 0000 01ff ff01"))))[1:] == [
        [32767, -32768, 32767],
        [0, 65535, 0],
    ]


@pytest.mark.parametrize("kind", [Format.TIMED, Format.REGULAR, Format.DELTA])
def test_readings_that_fit_every_format_decode_alike_from_each(kind: Format) -> None:
    given = Measurements.of([TIME, TIME + 30], [1, 2], [3, 4])
    assert formats(given) == [Format.DELTA, Format.REGULAR, Format.TIMED]
    assert columns(decode(encode(DEVICE, 0, given, kind))) == columns(given)


def test_a_format_that_readings_do_not_fit_is_refused() -> None:
    with pytest.raises(ReadingError, match="do not fit the delta format"):
        encode(DEVICE, 0, Measurements.of([TIME, TIME + 30], [1, 130], [3, 4]), Format.DELTA)


def test_jitter_becomes_a_timed_batch() -> None:
    batch = encode(DEVICE, 7, Measurements.of([TIME, TIME + 30, TIME + 61], [-(2**15), 0, 2**15 - 1], [0, 1, 2]))
    assert batch.header == Header(DEVICE, TIME, 0, 7, 3, Format.TIMED)
    assert batch.data.hex(" ", 6) == "000080000000 001e00000001 001f7fff0002"


def test_equal_times_are_timed_not_regular() -> None:
    batch = encode(DEVICE, 0, Measurements.of([TIME, TIME], [0, 0], [0, 0]))
    assert batch.header.format == Format.TIMED
    assert columns(decode(batch))[0] == [TIME, TIME]


def test_own_reading_is_committed_as_the_contract_does() -> None:
    batch = encode_own(DEVICE, 5, TIME, -2, 9000)
    assert batch == Batch(Header(DEVICE, TIME, 0, 5, 1, Format.OWN), bytes.fromhex("fffe2328"))
    assert columns(decode(batch)) == [[TIME], [-2], [9000]]
    head = bytes(range(20))
    expected = keccak256(head + batch.header.pack().to_bytes(32, "big") + keccak256(batch.data))[:20]
    assert batch.commit(head) == expected


@pytest.mark.parametrize(
    ("measurements", "message"),
    [
        (Measurements.of([], [], []), "a batch of 0 readings"),
        (Measurements.of(range(10_001), [0] * 10_001, [0] * 10_001), "a batch of 10001 readings"),
        (Measurements.of([5, 4], [0, 0], [0, 0]), "fall back"),
        (Measurements.of([0, 2**16], [0, 0], [0, 0]), "gap above"),
        (Measurements.of(-1, 0, 0), "time outside"),
        (Measurements.of(2**32, 0, 0), "time outside"),
        (Measurements.of(0, 2**15, 0), "temperature outside"),
        (Measurements.of(0, -(2**15) - 1, 0), "temperature outside"),
        (Measurements.of(0, 0, -1), "humidity outside"),
        (Measurements.of(0, 0, 2**16), "humidity outside"),
    ],
)
def test_encode_refuses(measurements: Measurements, message: str) -> None:
    with pytest.raises(ReadingError, match=message):
        encode(DEVICE, 0, measurements)


def test_the_largest_batch() -> None:
    measurements = Measurements.of(range(10_000), [0] * 10_000, [0] * 10_000)
    assert columns(decode(encode(DEVICE, 0, measurements))) == columns(measurements)


@pytest.mark.parametrize(
    ("count", "kind", "length"),
    [
        (1, 4, 4),
        (1, 3, 2),
        (2, 3, 4),
        (10_001, 2, 40_004),
        (1, 255, 4),
        (0, 1, 0),
        (0, 2, 0),
        (1, 1, 4),
        (1, 2, 6),
        (2, 2, 4),
        (1, 2, 0),
        (1, 0, 3),
        (2, 1, 13),
    ],
)
def test_decode_refuses_what_does_not_agree(count: int, kind: int, length: int) -> None:
    with pytest.raises(MalformedEventError):
        decode(Batch(Header(DEVICE, TIME, 1, 0, count, kind), bytes(length)))


def test_hostile_times_go_beyond_32_bits_without_wrapping() -> None:
    timed = decode(Batch(Header(DEVICE, 2**32 - 1, 0, 0, 2, Format.TIMED), b"\xff\xff" + bytes(4) + b"\xff" * 6))
    assert columns(timed) == [[2**32 - 1 + 65535, 2**32 - 1 + 2 * 65535], [0, -1], [0, 65535]]
    regular = decode(Batch(Header(DEVICE, 2**32 - 1, 65535, 0, 10_000, Format.REGULAR), bytes(4 * 10_000)))
    assert regular.measured_at[-1] == 2**32 - 1 + 65535 * 9_999
