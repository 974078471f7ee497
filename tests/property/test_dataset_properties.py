from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from plain_columns import batch_log, in_columns, plainly, reading_log, require_the_same
from property.strategies import measurements_of
from sensetrail.core.batch import Format, Header
from sensetrail.core.dataset import Rows, Selection, describe, select
from sensetrail.core.history import replay
from sensetrail.core.logs import Log
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


@st.composite
def accepted_logs(draw: DrawFn) -> list[Log]:
    """Draw what a registry may have emitted: own readings, and batches of all formats and both kinds of signature."""
    logs = []
    for kind in draw(st.lists(st.sampled_from(Format), min_size=1, max_size=6)):
        device, time, sequence = (
            draw(st.sampled_from(DEVICES)),
            draw(st.integers(0, 2**32 - 1)),
            draw(st.integers(0, 2**24 - 1)),
        )
        if kind is Format.OWN:
            values = draw(st.integers(-(2**15), 2**15 - 1)), draw(st.integers(0, 2**16 - 1)), draw(st.integers(0, 255))
            logs.append(reading_log(device, sequence, time, *values))
            continue
        count = draw(st.integers(1, 40))
        size = kind.length(count)
        data = draw(st.binary(min_size=size, max_size=size))
        exceptions = draw(st.dictionaries(st.integers(0, count - 1), st.integers(1, 255), max_size=count))
        entries = b"".join(index.to_bytes(2, "big") + bytes([exceptions[index]]) for index in sorted(exceptions))
        header = Header(device, time, draw(st.integers(0, 2**16 - 1)), sequence, count, kind)
        logs.append(batch_log(header, data, entries, bytes(draw(st.sampled_from([64, 128])))))
    return logs


@settings(max_examples=200)
@given(accepted_logs())
def test_columns_are_what_the_plain_twins_decode(logs: list[Log]) -> None:
    assert in_columns(logs) == plainly(logs)


@settings(max_examples=400)
@given(accepted_logs(), st.data())
def test_a_changed_log_is_told_as_the_plain_twins_tell_it(logs: list[Log], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(logs) - 1))
    log = logs[place]
    for _ in range(data.draw(st.integers(1, 3))):
        match data.draw(st.sampled_from(["byte", "word", "cut", "more", "device", "topics"])):
            case "byte" if log.data:
                at = data.draw(st.integers(0, len(log.data) - 1))
                log = replace(
                    log, data=log.data[:at] + data.draw(st.binary(min_size=1, max_size=1)) + log.data[at + 1 :]
                )
            case "word":
                at = 32 * data.draw(st.integers(0, len(log.data) // 32))
                value = data.draw(st.integers(0, 400) | st.integers(0, 2**256 - 1)).to_bytes(32, "big")
                log = replace(log, data=log.data[:at] + value + log.data[at + 32 :])
            case "cut":
                log = replace(log, data=log.data[: data.draw(st.integers(0, len(log.data)))])
            case "more":
                log = replace(log, data=log.data + data.draw(st.binary(max_size=40)))
            case "device":
                device = data.draw(st.binary(min_size=32, max_size=32))
                log = replace(log, topics=(log.topics[0], device))
            case _:
                log = replace(log, topics=log.topics[:1] + log.topics[1:2] * data.draw(st.integers(0, 3)))
    require_the_same([*logs[:place], log, *logs[place + 1 :]])
