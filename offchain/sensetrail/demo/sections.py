"""The parts of the demo's report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sensetrail.audit.steps import COLUMNS, Finding
from sensetrail.core.dataset import DatasetRecord
from sensetrail.core.events import Rejection
from sensetrail.core.history import History
from sensetrail.core.manifest import Manifest
from sensetrail.core.primitives import hex_word
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import Verdict
from sensetrail.core.text import printable
from sensetrail.dataset.folder import Dataset
from sensetrail.demo.send import AttackCount, CleanCount, Outcome
from sensetrail.report.figures import figure_4
from sensetrail.report.section import Section, Table
from sensetrail.sensor.room import PAPER_POINTS

if TYPE_CHECKING:
    from sensetrail.training.traceability import TraceabilityResult
    from sensetrail.training.validity import ValidityResult

LEAD = "From two sensors in a room to audited models, on a local throw-away chain, with attackers on the way."
NONE = "-"


def room(name: str, sensors: Mapping[str, Measurements], simulated: bool, notes: Sequence[str] = ()) -> Section:
    """Say where the readings come from, and what is simulated."""
    rows: list[tuple[str, ...]] = []
    for device, readings in sorted(sensors.items()):
        moments = [np.datetime64(int(moment), "s") for moment in readings.measured_at[[0, -1]]]
        rows.append((printable(device), str(len(readings)), *(str(moment).replace("T", " ") for moment in moments)))
    if simulated:
        said = (
            "SIMULATED: no sensor measured these readings. The paper never published its own, so a room is simulated: "
            "two sensors, midnight to 07:00, every 30 s, the clean relation drawn through the paper's five points.",
        )
    else:
        said = (f"Real readings from {name}, as they were recorded.",)
    also = "The attackers, all keys and the chain (a local devnet) are the demo's own; its clock follows the readings."
    columns = ("device", "readings", "first (UTC)", "last (UTC)")
    return Section("The room", (*said, *notes, also), Table(columns, rows, frozenset({1})))


def chain(
    attacks: Sequence[AttackCount],
    clean: CleanCount,
    history: History,
    outcomes: Sequence[Outcome],
    missing: Sequence[str] = (),
) -> Section:
    """Say how many of each attack the contract caught, and what it said of the rest."""
    rows: list[tuple[str, ...]] = [(str(c.attack), str(c.messages), str(c.readings), str(c.caught)) for c in attacks]
    total = [sum(values) for values in zip(*((c.messages, c.readings, c.caught) for c in attacks), strict=True)]
    rows.append(("all attacks", *(str(value) for value in total)))
    lost = clean.readings - clean.legal
    verdicts = Counter(int(verdict) for run in history.runs for verdict in run.verdicts if verdict)
    reasons = Counter(rejected.reason for _, rejected in history.rejections)
    gas = sum(outcome.gas_used for outcome in outcomes)
    return Section(
        "What the contract caught",
        (f"{len(outcomes)} transactions brought {history.reading_count} readings into the devices' histories.",),
        Table(("attack", "messages", "readings", "caught"), rows, frozenset({1, 2, 3})),
        notes=(
            f"clean readings: {clean.readings} sent, {clean.legal} legal, {lost} lost "
            f"({clean.after_attack} the one after a jump or out-of-range value, {clean.by_themselves} by themselves)",
            "verdicts: " + ", ".join([f"{history.legal_count} legal", *_flags(verdicts)]),
            "rejections: " + ", ".join(f"{reasons[r]} {_words(r.name)}" for r in Rejection if reasons[r]),
            f"gas: {gas} in all, {gas / max(1, history.reading_count):.0f} a reading accepted",
            *(f"not hidden: {sentence}" for sentence in missing),
        ),
    )


def dataset(found: Dataset) -> Section:
    """Say what the dataset is."""
    record = found.record
    return Section(
        "The dataset",
        (
            f"{record.row_count} legal readings through block {record.through_block}, in canonical order.",
            f"Merkle root {hex_word(record.root)}",
        ),
    )


def validity(result: ValidityResult, truth: Sequence[float], simulated: bool) -> Section:
    """Give Table 1 and the error of both models on clean held-out data."""
    rows = []
    for i, temperature in enumerate(result.temperatures.tolist()):
        paper = PAPER_POINTS.get(temperature)
        of_chain, of_direct = result.chain.predictions[:, i], result.direct.predictions[:, i]
        rows.append(
            (
                f"{temperature:g}",
                NONE if paper is None else f"{paper:.2f}",
                f"{truth[i]:.2f}",
                _spread(of_chain),
                _spread(of_direct),
                f"{of_direct.mean() - truth[i]:+.2f}",
            )
        )
    clean = "clean law" if simulated else "held-out mean"
    columns = ("degC", "paper, chain", clean, "chain model", "direct model", "direct off by")
    farthest = np.abs(result.chain.predictions.mean(axis=0) - np.asarray(truth)).max()
    errors = [
        f"error on clean held-out data, {name}: MAE {_spread(source.mae)}, RMSE {_spread(source.rmse)} %RH"
        for name, source in (("chain model", result.chain), ("direct model", result.direct))
    ]
    seeds = len(result.chain.mae)
    return Section(
        "Table 1: humidity (%RH) predicted from temperature",
        ("The same stream twice: through the chain, illegal data removed; and straight into training, unjudged.",),
        Table(columns, rows, frozenset(range(len(columns)))),
        notes=(
            f"mean and standard deviation over {seeds} seeds; the paper's figures are its model's from blockchain data",
            f"chain model: at most {farthest:.2f} %RH from the {clean} at these temperatures",
            *errors,
        ),
    )


def traceability(result: TraceabilityResult, paper_accuracy: float, simulated: bool) -> Section:
    """Give Figure 4, and the validation accuracy on both splits."""
    tuned = "The network and the room's noise were set" if simulated else "The network was chosen"
    rows = [
        ("shuffled 80/20, as the paper's; mean of the seeds", f"{result.accuracies.mean():.2%}"),
        ("paper", f"{paper_accuracy:.2%}"),
        ("chronological: first 80 % of the time trains", f"{result.chronological_accuracy:.2%}"),
    ]
    return Section(
        "Figure 4: which device made a reading",
        (),
        Table(("validation", "accuracy"), rows, frozenset({1})),
        figure_4(result.shuffled.history, paper_accuracy),
        notes=(
            f"shuffled: {result.accuracies.std(ddof=1):.2%} standard deviation over {len(result.accuracies)} seeds; "
            f"the figure shows the first, {result.accuracy:.2%}, which is the model that is anchored",
            f"{tuned} by looking at this figure: it is no independent confirmation of the paper's.",
            "A shuffled split leaks: a reading's neighbours in time are in the training part. Only the chronological "
            "figure tells how well the device would be known tomorrow.",
        ),
    )


def no_traceability() -> Section:
    """Say why there is no Figure 4."""
    return Section(
        "Figure 4: which device made a reading",
        ("Skipped: the dataset has the readings of one device, and telling devices apart takes two.",),
    )


def anchoring(record: DatasetRecord, models: Mapping[str, Manifest], gas: int) -> Section:
    """Say what was registered on the chain."""
    rows = [("dataset", "id", hex_word(record.dataset_id)), ("dataset", "root", hex_word(record.root))]
    for name, manifest in models.items():
        rows.append((f"model {name}", "weights", hex_word(manifest.weights_digest)))
        rows.append((f"model {name}", "manifest", hex_word(manifest.digest)))
    return Section("On the chain", (), Table(("what", "digest", "keccak256"), rows), notes=(f"gas: {gas}",))


def audit(name: str, findings: Sequence[Finding]) -> Section:
    """Give an audit's findings."""
    return Section(f"Audit of model {name}", (), Table(COLUMNS, [finding.row() for finding in findings]))


def _spread(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"


def _flags(verdicts: Mapping[int, int]) -> list[str]:
    counts = {flag: sum(count for value, count in verdicts.items() if value & flag) for flag in Verdict if flag}
    return [f"{count} {_words(flag.name or '')}" for flag, count in counts.items() if count]


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
