from __future__ import annotations

import numpy as np
import pytest

from sensetrail.core.dataset import Rows, Selection, select
from sensetrail.core.history import History, replay
from sensetrail.core.primitives import address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.core.taint import (
    Descent,
    Touched,
    descendants,
    summarise,
    touched_readings,
    touched_rows,
    untrusted_since,
    utc,
    verify_untainted,
)
from sensetrail.errors import AuditError
from story import REGISTRY, Story

# In canonical order: the lower address first, whatever the case that the checksum gives its letters (a..., then B...).
LOW, HIGH = address("0xa000000000000000000000000000000000000000"), address("0xb000000000000000000000000000000000000000")
TIME = 1_790_000_000


def told(**revoked: int) -> History:
    """Two devices with four legal readings each, 30 s apart; HIGH's second and third reading are not legal."""
    story = Story(TIME + 1000)
    story.add_profile(INDOOR)
    story.register(HIGH)
    story.register(LOW)
    times = [TIME + 30 * i for i in range(6)]
    story.submit(HIGH, Measurements.of(times, [20_00, 60_00, 20_00, 20_50, 20_40, 20_30], [50_00] * 6))
    story.submit(LOW, Measurements.of(times[:3], [25_00] * 3, [40_00] * 3))
    story.post(LOW, TIME + 90, 25_00, 40_00)
    for name, since in revoked.items():
        story.revoke({"low": LOW, "high": HIGH}[name], since)
    return replay(story.blocks, REGISTRY)


def readings(rows: Rows) -> list[tuple[str, int]]:
    return list(zip(rows.device.tolist(), rows.sequence.tolist(), strict=True))


def test_nothing_is_touched_while_nobody_is_revoked() -> None:
    history = told()
    assert untrusted_since(history) == {}
    assert readings(touched_readings(history)) == []
    verify_untainted(history, select(history, Selection()))


@pytest.mark.parametrize(
    ("since", "sequences"),
    [
        (0, [0, 3, 4, 5]),
        (TIME, [0, 3, 4, 5]),
        (TIME + 1, [3, 4, 5]),
        (TIME + 120, [4, 5]),
        (TIME + 121, [5]),
        (TIME + 151, []),
        (2**32 - 1, []),
    ],
)
def test_touched_is_what_is_legal_of_a_revoked_device_from_then_on(since: int, sequences: list[int]) -> None:
    history = told(high=since)
    assert readings(touched_readings(history)) == [(HIGH, sequence) for sequence in sequences]
    before = select(told(), Selection())
    touched = touched_rows(before, untrusted_since(history))
    assert readings(touched) == readings(touched_readings(history))
    if sequences:
        with pytest.raises(AuditError):
            verify_untainted(history, before)
    else:
        verify_untainted(history, before)
    verify_untainted(history, select(history, Selection()))


def test_the_history_itself_is_left_as_it_is() -> None:
    history = told(high=TIME)
    touched_readings(history)
    assert history.devices[HIGH].untrusted_since == TIME
    assert readings(select(history, Selection())) == [(LOW, sequence) for sequence in range(4)]


def test_what_is_touched_is_summed_up_by_device() -> None:
    history = told(high=TIME + 90, low=TIME + 60)
    untrusted = untrusted_since(history)
    assert summarise(touched_readings(history), untrusted) == (
        Touched(LOW, TIME + 60, 2, TIME + 60, TIME + 90, 2, 3),
        Touched(HIGH, TIME + 90, 3, TIME + 90, TIME + 150, 3, 5),
    )
    assert summarise(touched_readings(told(low=TIME + 91)), {LOW: TIME + 91}) == ()


def test_an_audit_names_the_device_how_many_rows_and_since_when() -> None:
    rows = select(told(), Selection(since=TIME + 30))
    with pytest.raises(AuditError) as raised:
        verify_untainted(told(high=TIME + 100), rows)
    assert raised.value.what == (
        f"device {HIGH} is revoked and not trusted since {utc(TIME + 100)}: "
        "2 of the dataset's 6 rows are its since then"
    )
    assert "sensetrail renew" in raised.value.to_do
    with pytest.raises(AuditError) as both:
        verify_untainted(told(high=TIME, low=TIME), rows)
    assert all(device in both.value.what for device in (LOW, HIGH))
    assert both.value.actual == 6


def test_a_dataset_that_ends_before_is_not_touched() -> None:
    rows = select(told(), Selection(until=TIME + 90))
    verify_untainted(told(high=TIME + 90, low=TIME + 90), rows)
    one_more = select(told(), Selection(until=TIME + 91))
    with pytest.raises(AuditError):
        verify_untainted(told(high=TIME + 90), one_more)
    verify_untainted(told(high=TIME + 90), one_more.take(one_more.device == LOW))


def word(number: int) -> bytes:
    return bytes([number]) * 32


def descent(model: int, parent: int = 0) -> Descent:
    return Descent(word(model), word(100 + model), word(parent))


def test_successors_inherit_however_far_down() -> None:
    models = [descent(4, 3), descent(1), descent(2, 1), descent(3, 2), descent(5), descent(6, 5), descent(7, 1)]
    assert descendants(models, {word(1)}) == {word(2), word(3), word(4), word(7)}
    assert descendants(models, {word(3)}) == {word(4)}
    assert descendants(models, {word(4)}) == set()
    assert descendants(models, {word(1), word(3)}) == {word(2), word(4), word(7)}
    assert descendants(models, set()) == set()
    assert descendants(models, {word(9)}) == set()


def test_models_that_claim_to_succeed_each_other_do_not_hang_it() -> None:
    models = [descent(1, 2), descent(2, 1), descent(3, 3)]
    assert descendants(models, {word(1)}) == {word(2)}
    assert descendants(models, {word(3)}) == set()


def test_no_row_at_all_is_not_touched() -> None:
    history = told(high=0)
    empty = select(history, Selection()).take(np.zeros(4, dtype=np.bool_))
    verify_untainted(history, empty)
    assert len(touched_readings(told(low=TIME + 500))) == 0


def test_moments_are_written_for_people() -> None:
    assert utc(1_767_225_600) == "2026-01-01 00:00:00 UTC"
    assert utc(2**32 - 1) == "2106-02-07 06:28:15 UTC"
