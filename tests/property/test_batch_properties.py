from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from property.strategies import HUMIDITIES, TEMPERATURES, TIMES, WORDS, devices, measurements
from sensetrail.core.batch import Batch, Format, Header, decode, encode, encode_own, formats
from sensetrail.core.events import Accepted, decode_log
from sensetrail.core.primitives import Address
from sensetrail.core.reading import Measurements
from story import BATCH_ACCEPTED, log_of, word


def columns(given: Measurements) -> list[list[int]]:
    return [column.tolist() for column in (given.measured_at, given.temperature, given.humidity)]


@given(devices(), st.integers(0, 2**24 - 1), measurements())
def test_decode_is_the_inverse_of_encode(device: Address, first: int, given: Measurements) -> None:
    batch = encode(device, first, given)
    assert columns(decode(batch)) == columns(given)
    assert (batch.header.device, batch.header.first_sequence, batch.header.count) == (device, first, len(given))
    assert len(batch.data) == Format(batch.header.format).length(len(given))


@given(devices(), st.integers(0, 2**24 - 1), TIMES, TEMPERATURES, HUMIDITIES)
def test_an_own_reading_decodes(device: Address, sequence: int, time: int, temperature: int, humidity: int) -> None:
    assert columns(decode(encode_own(device, sequence, time, temperature, humidity))) == [
        [time],
        [temperature],
        [humidity],
    ]


@given(st.integers(0, 2**256 - 1))
def test_every_word_is_a_header_and_packs_to_itself(value: int) -> None:
    assert Header.unpack(value).pack() == value


@given(devices(), measurements())
def test_every_format_that_fits_says_the_same(device: Address, given: Measurements) -> None:
    for kind in formats(given):
        assert columns(decode(encode(device, 0, given, kind))) == columns(given)


@given(devices(), measurements(), WORDS, st.data())
def test_the_head_commits_to_every_bit(device: Address, given: Measurements, head: bytes, data: st.DataObject) -> None:
    batch = encode(device, 0, given)
    committed = batch.commit(head[:20])
    bit = data.draw(st.integers(0, 8 * len(batch.data) - 1))
    altered = (int.from_bytes(batch.data, "big") ^ 1 << bit).to_bytes(len(batch.data), "big")
    assert Batch(batch.header, altered).commit(head[:20]) != committed
    header_bit = data.draw(st.integers(0, 255))
    assert Batch(Header.unpack(batch.header.pack() ^ 1 << header_bit), batch.data).commit(head[:20]) != committed
    head_bit = data.draw(st.integers(0, 159))
    assert batch.commit((int.from_bytes(head[:20], "big") ^ 1 << head_bit).to_bytes(20, "big")) != committed


@given(devices(), measurements(), WORDS, WORDS)
def test_a_batch_survives_its_log(device: Address, given: Measurements, r: bytes, vs: bytes) -> None:
    batch = encode(device, 0, given)
    padding = bytes(-len(batch.data) % 32)
    payload = batch.data + r + vs
    # The ABI encoding by hand: a word, two pointers, then the two byte strings.
    fields = [word(batch.header.pack()), word(96), word(128 + len(payload) + len(padding))]
    fields += [word(len(payload)), payload, padding, word(0)]
    event = decode_log(log_of(BATCH_ACCEPTED, [word(device)], b"".join(fields)))
    assert isinstance(event, Accepted)
    assert (event.batch, event.signature) == (batch, r + vs)
    assert event.verdicts.tolist() == [0] * len(given)
