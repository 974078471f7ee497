from __future__ import annotations

import pytest

from sensetrail.core.batch import Header
from sensetrail.core.events import Block, Rejected, Rejection
from sensetrail.core.history import block_times, replay
from sensetrail.core.primitives import address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.errors import MalformedEventError
from story import BATCH_ACCEPTED, BATCH_FIELDS, SIGNATURE, Story, word

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
    history = replay(story.logs, story.block_times)
    assert history.profiles == {1: INDOOR}
    assert {device: each.state for device, each in history.devices.items()} == story.states
    assert history.devices[ALICE].identity_digest == b"\x07" * 32
    assert [each.gap for each in history.devices.values()] == [None, None]
    assert (history.reading_count, history.legal_count) == (5, 3)
    assert [entry.verdicts.tolist() for entry in history.entries] == [[0, 0], [0], [16, 16]]
    assert [entry.block_time for entry in history.entries] == [TIME + 240, TIME + 300, TIME + 360]


def test_the_contracts_verdicts_stand_beside_the_twins_not_in_their_place(story: Story) -> None:
    header = Header(BOB, TIME + 6, 30, 1, 1, 2)
    values = [header.pack(), bytes.fromhex("083415e0") + SIGNATURE, bytes.fromhex("00003f")]
    story.emit(BATCH_ACCEPTED, [word(BOB)], BATCH_FIELDS, values)
    entry = replay(story.logs, story.block_times).entries[-1]
    assert entry.event.verdicts.tolist() == [63]
    assert entry.verdicts.tolist() == [0]


def test_a_missing_event_shows_as_gap_and_wrong_head(story: Story) -> None:
    story.submit(ALICE, Measurements.of(TIME + 200, 20_00, 50_00))
    honest = story.states[ALICE]
    missing = story.logs.pop(3)
    history = replay(story.logs, story.block_times)
    assert missing.block_number not in {entry.log.block_number for entry in history.entries}
    assert history.devices[ALICE].gap == story.logs[4]
    assert history.devices[ALICE].state.head != honest.head
    assert history.devices[BOB].gap is None
    assert history.devices[BOB].state == story.states[BOB]


def test_a_missing_last_event_shows_as_wrong_state(story: Story) -> None:
    honest = story.states[ALICE]
    history = replay(story.logs[:-1], story.block_times)
    assert history.devices[ALICE].gap is None
    assert history.devices[ALICE].state != honest


def test_a_repeated_event_shows_as_gap(story: Story) -> None:
    story.logs.append(story.logs[-1])
    assert replay(story.logs, story.block_times).devices[ALICE].gap == story.logs[-1]


def test_revocation(story: Story) -> None:
    story.revoke(ALICE, TIME + 30)
    history = replay(story.logs, story.block_times)
    assert history.devices[ALICE].untrusted_since == TIME + 30
    assert history.devices[ALICE].state == story.states[ALICE]
    assert history.devices[ALICE].state.profile == 0
    assert history.devices[ALICE].profile == 1
    assert history.devices[BOB].untrusted_since is None


def test_rejections_change_no_device(story: Story) -> None:
    before = replay(story.logs, story.block_times)
    header = Header(ALICE, TIME, 30, 0, 2, 2)
    story.emit(
        "Rejected(address,uint8,address,uint256,bytes32)",
        [word(ALICE), word(Rejection.WRONG_SIGNATURE)],
        ["address", "uint256", "bytes32"],
        [BOB, header.pack(), bytes(32)],
    )
    after = replay(story.logs, story.block_times)
    rejected = Rejected(ALICE, Rejection.WRONG_SIGNATURE, BOB, header, bytes(32))
    assert after.rejections == [(story.logs[-1], rejected)]
    assert after.devices == before.devices
    assert len(after.entries) == len(before.entries)


def test_other_events_pass_by(story: Story) -> None:
    story.emit("RoleGranted(bytes32,address,address)", [bytes(32), word(ALICE), word(BOB)], [], [])
    assert replay(story.logs, story.block_times).reading_count == 5


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
            replay(logs, story.block_times)


def test_a_batch_that_cannot_have_been_accepted() -> None:
    story = Story(TIME)
    story.add_profile(INDOOR)
    story.register(ALICE)
    header = Header(ALICE, TIME, 30, 0, 2, 2)
    story.emit(BATCH_ACCEPTED, [word(ALICE)], BATCH_FIELDS, [header.pack(), bytes(12) + SIGNATURE, b""])
    with pytest.raises(MalformedEventError):
        replay(story.logs, story.block_times)


def test_block_times() -> None:
    blocks = [Block(number, bytes(32), bytes(32), TIME + number) for number in (3, 9)]
    assert block_times(blocks) == {3: TIME + 3, 9: TIME + 9}
