from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from property.strategies import measurements_of
from sensetrail.core.dataset import Rows, Selection, describe, select
from sensetrail.core.history import replay
from sensetrail.core.primitives import Address, address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import Profile
from sensetrail.errors import InputError
from story import REGISTRY, Story

DEVICES = [address("0x" + digits * 20) for digits in ("1f", "f1", "a0")]
LENIENT = Profile(0, 50_00, 3_00, 0, 100_00, 10_00, 60)
TIME = 1_790_000_000


@st.composite
def streams(draw: DrawFn) -> dict[Address, list[Measurements]]:
    """Draw for each device what it sends, batch by batch: legal and illegal."""
    sent: dict[Address, list[Measurements]] = {}
    values = st.tuples(st.sampled_from([20_00, 22_00, 24_00, 90_00]), st.sampled_from([50_00, 55_00, 70_00]))
    for device in DEVICES:
        now, batches = TIME, []
        for _ in range(draw(st.integers(1, 4))):
            pairs = draw(st.lists(values, min_size=1, max_size=5))
            start = now + draw(st.sampled_from([-40, 10, 30]))
            times = [start + 30 * i for i in range(len(pairs))]
            now = times[-1]
            batches.append(measurements_of([(time, *pair) for time, pair in zip(times, pairs, strict=True)]))
        sent[device] = batches
    return sent


def tell(sent: dict[Address, list[Measurements]], order: Sequence[Address]) -> Story:
    """Tell a story in which the devices' batches come in this order of devices."""
    story = Story(TIME + 10_000)
    story.add_profile(LENIENT)
    for device in DEVICES:
        story.register(device)
    batches = {device: iter(each) for device, each in sent.items()}
    for device in order:
        story.submit(device, next(batches[device]))
    return story


def select_or_none(story: Story, selection: Selection) -> Rows | None:
    try:
        return select(replay(story.blocks, REGISTRY), selection)
    except InputError:
        return None


@settings(max_examples=60)
@given(streams(), st.data())
def test_rows_do_not_depend_on_how_devices_interleave(
    sent: dict[Address, list[Measurements]], data: st.DataObject
) -> None:
    turns = [device for device, batches in sent.items() for _ in batches]
    order = data.draw(st.permutations(turns))
    since = data.draw(st.sampled_from([None, TIME, TIME + 60]))
    selection = Selection(devices=data.draw(st.sampled_from([None, tuple(DEVICES[:2])])), since=since)
    one, other = (select_or_none(tell(sent, each), selection) for each in (turns, order))
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        for name in ("device", "sequence", "measured_at", "temperature", "humidity"):
            assert getattr(one, name).tolist() == getattr(other, name).tolist()
        assert describe(one, selection, 1, bytes(32)) == describe(other, selection, 1, bytes(32))
        canonical = list(zip((device.lower() for device in one.device.tolist()), one.sequence.tolist(), strict=True))
        assert canonical == sorted(set(canonical))


@settings(max_examples=60)
@given(streams(), st.data())
def test_replay_arrives_at_the_registrys_states(sent: dict[Address, list[Measurements]], data: st.DataObject) -> None:
    turns = [device for device, batches in sent.items() for _ in batches]
    story = tell(sent, data.draw(st.permutations(turns)))
    history = replay(story.blocks, REGISTRY)
    assert {device: each.state for device, each in history.devices.items()} == story.states
    for run in history.runs:
        assert run.claimed.tolist() == run.verdicts.tolist()


@settings(max_examples=60)
@given(streams(), st.data())
def test_a_changed_row_changes_the_root(sent: dict[Address, list[Measurements]], data: st.DataObject) -> None:
    rows = select_or_none(tell(sent, [device for device, batches in sent.items() for _ in batches]), Selection())
    if rows is None:
        return
    root = rows.tree().root
    place = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(["sequence", "measured_at", "temperature", "humidity"]))
    getattr(rows, name)[place] += 1
    assert rows.tree().root != root
    getattr(rows, name)[place] -= 1
    assert rows.tree().root == root
    if len(rows) > 1:
        assert rows.take(np.arange(len(rows)) != place).tree().root != root
