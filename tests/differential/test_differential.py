"""Four judges on random batches: a run short enough for every `make test`; `make fuzz` is the long one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

import fuzz_judge
from differential.bench import Bench, running_bench
from differential.cases import Case, make_case, profiles
from differential.fuzz import DifferenceError, Fuzz, Shrinker, agree, candidates, weight
from differential.twins import Outcome, reference, twin
from sensetrail.core.batch import MAX_SEQUENCE, Format, decode
from sensetrail.core.primitives import Address
from sensetrail.core.rules import INDOOR, DeviceState

BATCHES = 600
SEED = 20
DEVICE = Address("0x" + "11" * 20)
WORDS = ("all legal", "listed", "reading by reading")
PATHS = {
    *(
        f"{kind}: {part} {way}"
        for kind in ("timed", "regular", "delta")
        for part in ("words", "part words")
        for way in WORDS
    ),
    *(f"delta: first reading {way}" for way in WORDS),
    *(f"{kind}: words all legal after another" for kind in ("timed", "regular", "delta")),
    *(f"{kind}: batches reading by reading" for kind in ("timed", "regular", "delta")),
    "timed: batches begun by words, then reading by reading",
}


def test_the_judges_agree_and_every_way_through_the_lane_judge_was_taken() -> None:
    fuzz = Fuzz(BATCHES, SEED)
    fuzz.run()
    assert fuzz.tally.batches >= BATCHES
    assert fuzz.tally.differences == 0
    assert 0.5 < fuzz.tally.illegal / fuzz.tally.readings < 0.95
    assert set(fuzz.tally.paths) == PATHS


def test_cases_are_what_a_device_can_send() -> None:
    random = Random(SEED)  # noqa: S311 - to be repeated
    rules = profiles(random)
    for _ in range(200):
        case = make_case(random, rules, DEVICE, None, 2**31)
        assert case.profile == rules[case.state.profile - 1]
        assert len(decode(case.batch)) == case.count
        assert case.state.sequence + case.count <= MAX_SEQUENCE


@pytest.mark.parametrize("kind", [Format.TIMED, Format.REGULAR, Format.DELTA])
def test_smaller_cases_are_whole_and_some_weigh_less(kind: Format) -> None:
    random = Random(SEED)  # noqa: S311 - to be repeated
    cases = (make_case(random, profiles(random), DEVICE, None, 2**31) for _ in range(100))
    case = next(case for case in cases if case.kind is kind and 20 < case.count < 40)
    smaller = list(candidates(case))
    assert any(weight(other) < weight(case) for other in smaller)
    for other in smaller:
        assert len(decode(other.batch)) == other.count
        assert twin(other)[0].agrees(reference(other))


def test_a_difference_is_seen_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(case: Case) -> Outcome:
        # Takes every temperature above 20 degC for legal.
        return reference(replace(case, profile=replace(case.profile, temperature_max=32767)))

    monkeypatch.setattr("differential.fuzz.reference", mistaken)
    data = b"".join((2000 + 150 * (index % 30)).to_bytes(2, "big") + (5000).to_bytes(2, "big") for index in range(60))
    with running_bench([INDOOR]) as bench:
        case = Case(bench.devices[-1], Format.REGULAR, 1000, 60, data, DeviceState(1), INDOOR, 10_000)
        found = Shrinker(bench).shrink(case)
        assert found is not None
        small, outcomes = found
        assert small.count == 1
        assert not agree(outcomes)
        assert outcomes["lanes"].agrees(outcomes["plain"])
        assert not outcomes["lanes"].agrees(outcomes["reference"])
        agreed_on = replace(case, data=data[:4])
        assert Shrinker(bench).shrink(agreed_on) is None
        assert_trouble_is_a_difference(bench, agreed_on)


def assert_trouble_is_a_difference(bench: Bench, case: Case) -> None:
    """The registry rejects a batch of a revoked device."""
    ((_, outcomes),) = bench.judge([[replace(case, state=DeviceState(0))]], None)
    assert "another event" in outcomes["lanes"].trouble
    assert not outcomes["lanes"].agrees(outcomes["lanes"])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (None, 0, "0 batches, 0 readings (0 % illegal), 0 differences, seed 7"),
        (DifferenceError("they differ"), 1, "they differ"),
        (KeyboardInterrupt(), 130, "0 batches, 0 readings (0 % illegal), 0 differences, seed 7"),
    ],
)
def test_the_command_says_how_it_ended(
    error: BaseException | None,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(fuzz: Fuzz, on_round: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(Fuzz, "run", run)
    assert fuzz_judge.main(20, 7, None) == code
    assert said in capsys.readouterr().out.splitlines()
