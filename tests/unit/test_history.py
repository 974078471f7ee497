from __future__ import annotations

from dataclasses import replace

import pytest

from plain_columns import batch_log, in_columns, plainly, reading_log, require_the_same
from sensetrail.core.batch import MAX_COUNT, Format, Header
from sensetrail.core.events import Rejected, Rejection
from sensetrail.core.history import Replayer, replay
from sensetrail.core.logs import Log, gather
from sensetrail.core.primitives import address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.errors import MalformedEventError
from story import BATCH_ACCEPTED, BATCH_FIELDS, REGISTRY, SIGNATURE, Story, word

ALICE, BOB = address("0x" + "a1" * 20), address("0x" + "b0" * 20)
TIME = 1_790_000_000


@pytest.fixture
def story() -> Story:
    told = Story(TIME, seconds=60)
    told.add_profile(INDOOR)
    told.register(ALICE, identity_digest=b"\x07" * 32)
    told.register(BOB)
    told.submit(ALICE, Measurements.of([TIME, TIME + 30], [20_00, 20_10], [50_00, 50_10]))
    told.post(BOB, TIME + 5, 21_00, 55_00)
    told.submit(ALICE, Measurements.of([TIME + 60, TIME + 91], [40_00, 20_00], [50_00, 50_00]))
    return told


def test_replay_arrives_at_the_registrys_states(story: Story) -> None:
    history = replay(story.blocks, REGISTRY)
    assert history.profiles == {1: INDOOR}
    assert {device: each.state for device, each in history.devices.items()} == story.states
    assert history.devices[ALICE].identity_digest == b"\x07" * 32
    assert [each.gap for each in history.devices.values()] == [None, None]
    assert (history.reading_count, history.legal_count) == (5, 3)
    alice, bob = history.runs
    assert (alice.device, bob.device) == (ALICE, BOB)
    assert (alice.verdicts.tolist(), bob.verdicts.tolist()) == ([0, 0, 16, 16], [0])
    assert (alice.sequence.tolist(), bob.sequence.tolist()) == ([0, 1, 2, 3], [0])
    assert (alice.event.tolist(), bob.event.tolist()) == ([0, 0, 1, 1], [0])
    assert (alice.block_number.tolist(), bob.block_number.tolist()) == ([4, 6], [5])
    assert (alice.block_time.tolist(), bob.block_time.tolist()) == ([TIME + 240, TIME + 360], [TIME + 300])


def test_a_replay_in_pieces_gives_what_one_in_one_go_gives(story: Story) -> None:
    story.post(ALICE, TIME + 120, 20_00, 50_00)
    story.submit(BOB, Measurements.of([TIME + 121, TIME + 122], [90_00, 20_00], [1, 2]))
    whole = replay(story.blocks, REGISTRY)
    for cut in range(1, len(story.blocks)):
        replayer = Replayer(REGISTRY)
        for part in (story.blocks[:cut], story.blocks[cut:]):
            assert len(list(replayer.feed(part))) == 1
        assert (replayer.devices, replayer.profiles) == (whole.devices, whole.profiles)


def test_the_contracts_verdicts_stand_beside_the_twins_not_in_their_place(story: Story) -> None:
    header = Header(BOB, TIME + 6, 30, 1, 1, 2)
    values = [header.pack(), bytes.fromhex("083415e0") + SIGNATURE, bytes.fromhex("00003f")]
    story.emit(BATCH_ACCEPTED, [word(BOB)], BATCH_FIELDS, values)
    run = replay(story.blocks, REGISTRY).runs[-1]
    assert run.device == BOB
    assert run.claimed.tolist() == [0, 63]
    assert run.verdicts.tolist() == [0, 0]


def test_a_missing_event_shows_as_gap_and_wrong_head(story: Story) -> None:
    story.submit(ALICE, Measurements.of(TIME + 200, 20_00, 50_00))
    honest = story.states[ALICE]
    missing = story.logs.pop(3)
    history = replay(story.blocks, REGISTRY)
    assert missing.block_number not in {number for run in history.runs for number in run.block_number.tolist()}
    assert history.devices[ALICE].gap == story.logs[4]
    assert history.devices[ALICE].state.head != honest.head
    assert history.devices[BOB].gap is None
    assert history.devices[BOB].state == story.states[BOB]


def test_a_missing_last_event_shows_as_wrong_state(story: Story) -> None:
    honest = story.states[ALICE]
    history = replay(story.blocks[:-1], REGISTRY)
    assert history.devices[ALICE].gap is None
    assert history.devices[ALICE].state != honest


def test_a_repeated_event_shows_as_gap(story: Story) -> None:
    story.logs.append(story.logs[-1])
    assert replay(story.blocks, REGISTRY).devices[ALICE].gap == story.logs[-1]


def test_revocation(story: Story) -> None:
    story.revoke(ALICE, TIME + 30)
    history = replay(story.blocks, REGISTRY)
    assert history.devices[ALICE].untrusted_since == TIME + 30
    assert history.devices[ALICE].state == story.states[ALICE]
    assert history.devices[ALICE].state.profile == 0
    assert history.devices[ALICE].profile == 1
    assert history.devices[BOB].untrusted_since is None


def test_rejections_change_no_device(story: Story) -> None:
    before = replay(story.blocks, REGISTRY)
    header = Header(ALICE, TIME, 30, 0, 2, 2)
    story.emit(
        "Rejected(address,uint8,address,uint256,bytes32)",
        [word(ALICE), word(Rejection.WRONG_SIGNATURE)],
        ["address", "uint256", "bytes32"],
        [BOB, header.pack(), bytes(32)],
    )
    after = replay(story.blocks, REGISTRY)
    rejected = Rejected(ALICE, Rejection.WRONG_SIGNATURE, BOB, header, bytes(32))
    assert after.rejections == [(story.logs[-1], rejected)]
    assert after.devices == before.devices
    assert len(after.runs) == len(before.runs)


def test_other_events_pass_by(story: Story) -> None:
    story.emit("RoleGranted(bytes32,address,address)", [bytes(32), word(ALICE), word(BOB)], [], [])
    assert replay(story.blocks, REGISTRY).reading_count == 5


def test_what_no_honest_node_serves() -> None:
    story = Story(TIME)
    story.add_profile(INDOOR)
    story.register(ALICE)
    story.post(ALICE, TIME, 20_00, 50_00)
    story.revoke(ALICE, TIME)
    added, registered, posted, revoked = story.logs
    for logs, message in (
        ([added, posted], "never registered"),
        ([added, revoked], "never registered"),
        ([registered, posted], "never added"),
    ):
        with pytest.raises(MalformedEventError, match=message):
            replay(gather(logs, story.block_times), REGISTRY)


P256_SIGNATURE = bytes(range(128))
LOGS = {
    "timed": batch_log(
        Header(ALICE, TIME, 0, 7, 3, Format.TIMED),
        bytes.fromhex("0005 07d0 1388  ffff fe0c 1389  0000 7fff ffff"),
        bytes.fromhex("000004 00023f"),
    ),
    "regular": batch_log(
        Header(ALICE, TIME, 30, 0xFFFFFF, 2, Format.REGULAR),
        bytes.fromhex("07d0 1388  8000 0000"),
        signature=P256_SIGNATURE,
    ),
    "regular, one": batch_log(Header(BOB, 2**32 - 1, 2**16 - 1, 0, 1, Format.REGULAR), bytes.fromhex("07d0 1388")),
    "delta": batch_log(
        Header(ALICE, TIME, 30, 2, 4, Format.DELTA),
        bytes.fromhex("7ff0 fff0  7f7f 8080 00ff"),
        bytes.fromhex("000001 000102 000204 000308"),
        P256_SIGNATURE,
    ),
    "delta, one": batch_log(Header(BOB, TIME, 30, 2, 1, Format.DELTA), bytes.fromhex("7ff0 fff0"), b"\0\0\x01"),
    "own": reading_log(BOB, 0xFFFFFF, 2**32 - 1, -(2**15), 2**16 - 1, 255),
    "own, warm": reading_log(BOB, 3, TIME, 2**15 - 1, 0, 0),
}


def test_columns_are_what_the_plain_twins_decode() -> None:
    logs = list(LOGS.values())
    assert in_columns(logs) == plainly(logs)
    for log in logs:
        assert in_columns([log]) == plainly([log])
    for some in (logs * 3, logs[::-1], [logs[5], logs[0], logs[6], logs[0]]):
        assert in_columns(some) == plainly(some)


def test_deltas_wrap_at_16_bits() -> None:
    ((_, _, _, readings),) = in_columns([LOGS["delta"]])
    assert readings == [
        (2, TIME, 0x7FF0, 0xFFF0, 1),
        (3, TIME + 30, 0x7FF0 + 127 - 2**16, 0x006F, 2),
        (4, TIME + 60, 0x7FF0 + 127 - 128, 0xFFEF, 4),
        (5, TIME + 90, 0x7FF0 + 127 - 128, 0xFFEE, 8),
    ]


@pytest.mark.parametrize("name", LOGS)
def test_every_changed_byte_is_told_as_the_plain_twins_tell_it(name: str) -> None:
    log, data = LOGS[name], LOGS[name].data
    neighbours = [LOGS["regular"], LOGS["own"]]
    for place in range(len(data)):
        for change in (0x01, 0x20, 0x80, 0xFF):
            changed = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            require_the_same([neighbours[0], replace(log, data=changed), neighbours[1]])
    for length in range(len(data)):
        require_the_same([replace(log, data=data[:length])])
        require_the_same([neighbours[0], replace(log, data=data[:length]), neighbours[1]])
    for more in (b"\0", bytes(32), b"\x01"):
        require_the_same([replace(log, data=data + more)])


@pytest.mark.parametrize("name", LOGS)
def test_topics_of_other_devices_or_numbers(name: str) -> None:
    log = LOGS[name]
    first, device = log.topics
    for topics in ((first,), (first, device, device), (first, word(ALICE)), (first, b"\x01" + device[1:])):
        require_the_same([replace(log, topics=topics)])
        require_the_same([LOGS["delta"], replace(log, topics=topics), log])
        require_the_same([LOGS["delta"], replace(log, topics=topics)])


@pytest.mark.parametrize("name", ["timed", "delta", "own"])
def test_words_beyond_what_is_expected(name: str) -> None:
    log, data = LOGS[name], LOGS[name].data
    values = [0, 1, 31, 32, 64, 96, 97, 128, 160, 2**16, 2**24, 2**31, 2**32 - 1, 2**32, 2**63, 2**64, 2**64 - 1]
    for place in range(0, len(data), 32):
        here = int.from_bytes(data[place : place + 32], "big")
        near = [here - 1, here + 1, here + 32, here + 2**32, here + 2**64, here + 2**128]
        for value in (*values, *near, 2**255, 2**256 - 1, 2**256 - 2**15, 2**256 - 2**15 - 1):
            changed = data[:place] + (value % 2**256).to_bytes(32, "big") + data[place + 32 :]
            require_the_same([LOGS["regular"], replace(log, data=changed), LOGS["own"]])


@pytest.mark.parametrize("kind", [Format.TIMED, Format.REGULAR, Format.DELTA])
def test_the_most_readings_and_none(kind: Format) -> None:
    for count in (0, MAX_COUNT, MAX_COUNT + 1):
        header = Header(ALICE, TIME, 1, 0, count, kind)
        log = batch_log(header, bytes(kind.length(count)), (count - 1).to_bytes(2, "big") + b"\x3f" if count else b"")
        require_the_same([log, LOGS["delta"]])
        if count == MAX_COUNT:
            assert len(in_columns([log])[0][3]) == MAX_COUNT  # type: ignore[arg-type]
        else:
            with pytest.raises(MalformedEventError):
                in_columns([log])


@pytest.mark.parametrize(
    "exceptions",
    [
        "000001 000001",
        "000101 000001",
        "000201",
        "000000",
        "0000",
        "00000100",
        "000001 000100",
        "000001 ffff01",
        "0001",
    ],
)
def test_a_list_of_exceptions_that_is_none(exceptions: str) -> None:
    log = batch_log(Header(ALICE, TIME, 30, 0, 2, Format.REGULAR), bytes(8), bytes.fromhex(exceptions))
    require_the_same([log])
    for logs in ([log], [LOGS["timed"], log], [LOGS["own"], log, LOGS["timed"]]):
        with pytest.raises(MalformedEventError):
            in_columns(logs)


def test_the_first_reading_of_the_next_event_may_be_an_exception_too() -> None:
    log = batch_log(Header(ALICE, TIME, 30, 0, 2, Format.REGULAR), bytes(8), bytes.fromhex("000101"))
    other = batch_log(Header(ALICE, TIME, 30, 2, 2, Format.REGULAR), bytes(8), bytes.fromhex("000002"))
    assert [[row[4] for row in readings] for *_, readings in in_columns([log, other])] == [[0, 1], [2, 0]]  # type: ignore[attr-defined]


def test_a_log_without_topics_passes_by(story: Story) -> None:
    story.logs.append(Log(9, word(9), 0, 0, REGISTRY, (), b""))
    story.block_times[9] = TIME
    assert replay(story.blocks, REGISTRY).reading_count == 5


def test_a_batch_that_cannot_have_been_accepted() -> None:
    story = Story(TIME)
    story.add_profile(INDOOR)
    story.register(ALICE)
    header = Header(ALICE, TIME, 30, 0, 2, 2)
    story.emit(BATCH_ACCEPTED, [word(ALICE)], BATCH_FIELDS, [header.pack(), bytes(12) + SIGNATURE, b""])
    with pytest.raises(MalformedEventError):
        replay(story.blocks, REGISTRY)
