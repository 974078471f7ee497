"""The fuzz itself: rounds of random batches before four judges, and what to do where they differ.

The judges are the registry's (`BatchJudge`, a word at a time), the plain one in Solidity (`PlainJudge`), the Python
twin (`sensetrail.core.rules`) and the plain Python reference (`reference_judge`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from differential.bench import GENESIS_TIME, Bench, running_bench
from differential.cases import Case, make_case, profiles
from differential.twins import Outcome, paths, reference, twin
from sensetrail.core.batch import MAX_SEQUENCE, Format
from sensetrail.core.primitives import Address
from sensetrail.core.rules import DeviceState

ROUND = 56
"""About how many batches a block holds."""
ERAS = (
    (0.10, 1_000, 200_000),
    (0.60, 1_000_000_000, 2_000_000_000),
    (0.85, 2**32 - 100_000, 2**32 + 2),
    (1.00, 2**32 + 1_000, 2**33),
)
"""Up to which part of a run its blocks' times lie between what, Unix seconds: before, about and beyond 32 bits."""
MAX_TRIALS = 400

Outcomes = dict[str, Outcome]


class DifferenceError(Exception):
    """Two judges differ; the text says on what."""


@dataclass(slots=True)
class Tally:
    """What was run so far."""

    batches: int = 0
    readings: int = 0
    illegal: int = 0
    differences: int = 0
    paths: Counter[str] = field(default_factory=Counter)

    def add(self, case: Case, outcomes: Outcomes) -> None:
        """Count a case."""
        exceptions = outcomes["reference"].exceptions
        self.batches += 1
        self.readings += case.count
        self.illegal += len(exceptions) // 3
        self.paths += paths(case, exceptions)

    def __str__(self) -> str:
        share = round(100 * self.illegal / max(self.readings, 1))
        return (
            f"{self.batches} batches, {self.readings} readings ({share} % illegal), "
            f"{self.differences} difference{'' if self.differences == 1 else 's'}"
        )


class Fuzz:
    """A run.

    Attributes:
        tally: What was run so far.
    """

    def __init__(self, batches: int, seed: int, artifact: Path | None = None) -> None:
        """Prepare.

        Args:
            batches: How many to judge at least.
            seed: Where chance begins: the same one gives the same run, but for blocks whose times the node chooses.
            artifact: Whose code to judge by, if not by the shipped one's.
        """
        self.tally = Tally()
        self._batches = batches
        self._random = Random(seed)  # noqa: S311 - to be repeated
        self._profiles = profiles(self._random)
        self._artifact = artifact
        self._states: dict[Address, DeviceState] = {}
        self._time = GENESIS_TIME

    def run(self, on_round: Callable[[Tally], None] = lambda tally: None) -> None:
        """Run to the end.

        Args:
            on_round: Told after each block.

        Raises:
            DifferenceError: Two judges differ.
        """
        with running_bench(self._profiles, self._artifact) as bench:
            while self.tally.batches < self._batches:
                self._round(bench)
                on_round(self.tally)

    def _round(self, bench: Bench) -> None:
        self._time = max(self._planned_time(), self._time)
        is_set = self._random.random() < 0.9
        groups = self._groups(bench.devices, self._time, chained=is_set)
        judged = bench.judge(groups, self._time if is_set else None)
        for index, (case, outcomes) in enumerate(judged):
            outcomes["twin"], state = twin(case)
            outcomes["reference"] = reference(case)
            self._states[case.device] = state
            self._time = case.block_time
            self.tally.add(case, outcomes)
            if not agree(outcomes):
                self.tally.differences += 1
                raise DifferenceError(self._report(groups, index, case, outcomes))

    def _planned_time(self) -> int:
        done = self.tally.batches / self._batches
        begin = 0.0
        for end, first, last in ERAS:
            if done < end:
                return first + int((last - first) * (done - begin) / (end - begin))
            begin = end
        return ERAS[-1][2]

    def _groups(self, devices: list[Address], block_time: int, *, chained: bool) -> list[list[Case]]:
        """Choose a block's transactions: of most devices one batch, of some several that follow each other."""
        pending = self._random.sample(devices, ROUND)
        groups = []
        while pending:
            size = self._random.choice((1, 1, 1, 1, 1, 1, 2, 3, 5))
            taken, pending = pending[:size], pending[size:]
            group = []
            for device in taken:
                known = self._states.get(device) if self._random.random() < 0.25 else None
                group.append(make_case(self._random, self._profiles, device, known, block_time))
                if chained and size > 1 and self._random.random() < 0.3:
                    _, after = twin(group[-1])
                    follower = make_case(self._random, self._profiles, device, after, block_time)
                    if follower.state == after:
                        group.append(follower)
            groups.append(group)
        return groups

    def _report(self, groups: list[list[Case]], index: int, case: Case, outcomes: Outcomes) -> str:
        found = describe("Found", case, outcomes)
        # The mistake may be an earlier one of the same transaction's, whose slot was not seen.
        transaction = next(group for group in groups if (index := index - len(group)) < 0)
        transaction = [replace(other, block_time=case.block_time) for other in transaction]
        with running_bench(self._profiles, self._artifact) as bench:
            for other in transaction:
                small = Shrinker(bench).shrink(other)
                if small is not None:
                    return f"{describe('The smallest found', *small)}\n\n{found}"
        together = "\n".join(str(other) for other in transaction)
        return f"{found}\n\nOnly together with the transaction's other batches:\n{together}"


def agree(outcomes: Outcomes) -> bool:
    """Tell whether all judges say the same."""
    said = list(outcomes.values())
    return all(one.agrees(another) for one in said for another in said)


def describe(what: str, case: Case, outcomes: Outcomes) -> str:
    """Say what each judge says of a case, with all that it takes to judge it again."""
    return "\n".join([f"{what}:", str(case), *(f"  {name:<12}{outcome}" for name, outcome in outcomes.items())])


class Shrinker:
    """Makes a case that judges differ on smaller, by trying."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._left = MAX_TRIALS

    def shrink(self, case: Case) -> tuple[Case, Outcomes] | None:
        """Give the smallest case found, and what the judges say of it; None if they agree on it when it is alone."""
        outcomes = self._difference(case)
        if outcomes is None:
            return None
        improved = True
        while improved:
            improved = False
            for smaller in candidates(case):
                if self._left == 0:
                    return case, outcomes
                if weight(smaller) < weight(case) and (found := self._difference(smaller)) is not None:
                    case, outcomes, improved = smaller, found, True
                    break
        return case, outcomes

    def _difference(self, case: Case) -> Outcomes | None:
        self._left -= 1
        snapshot = self._bench.snapshot()
        ((case, outcomes),) = self._bench.judge([[case]], case.block_time)
        self._bench.revert(snapshot)
        outcomes["twin"], _ = twin(case)
        outcomes["reference"] = reference(case)
        return None if agree(outcomes) else outcomes


def weight(case: Case) -> tuple[int, ...]:
    """Give what makes a case smaller than another, first things first."""
    slot = case.state.pack()
    return (
        len(case.data),
        len(case.data) - case.data.count(0),
        len(slot) - slot.count(0),
        case.state.sequence,
        case.state.last_time,
        case.period,
        case.start,
    )


def candidates(case: Case) -> Iterator[Case]:
    """Give cases that may be smaller, the boldest first."""
    for data in _shorter(case):
        yield replace(case, data=data)
    state = case.state
    for change in (
        {"head": bytes(20)},
        {"sequence": 0},
        {"sequence": 1},
        {"last_time": 0},
        {"last_time": max(case.start - 1, 0)},
        {"temperature": 0},
        {"humidity": 0},
    ):
        after = replace(state, **change)
        if after.sequence + case.count <= MAX_SEQUENCE:
            yield replace(case, state=after)
    for period in (0, 1, 60):
        yield replace(case, period=period)
    for start in (0, 1, state.last_time, state.last_time + 1):
        yield replace(case, start=min(start, 2**32 - 1))
    for at in range(len(case.data)):
        if case.data[at]:
            yield replace(case, data=case.data[:at] + b"\0" + case.data[at + 1 :])


def _shorter(case: Case) -> Iterator[bytes]:
    head = 4 if case.kind is Format.DELTA else 0
    width = {Format.TIMED: 6, Format.DELTA: 2}.get(case.kind, 4)
    first, rest = case.data[:head], case.data[head:]
    count = len(rest) // width
    least = 0 if head else 1
    for size in (count // 2, count // 4, 16, 8, 5, 1):
        if size > 0 and count - size >= least:
            yield first + rest[: -size * width]
            yield first + rest[size * width :]
    if count > least:
        for at in range(0, len(rest), width):
            yield first + rest[:at] + rest[at + width :]
