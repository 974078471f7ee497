"""The demo's run: chain, stream, index, dataset, both experiments, anchoring, audit, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrail.audit.steps import Audit, Finding, Status, compare_rows
from sensetrail.chain.artifact import SENSOR_REGISTRY, load_artifact
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import Deployment, deploy
from sensetrail.chain.devnet import devnet_account
from sensetrail.chain.model_registry import ModelRegistry
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.canonical import json_digest
from sensetrail.core.dataset import Provenance, Rows, Selection, describe, select
from sensetrail.core.history import History, replay
from sensetrail.core.manifest import Manifest
from sensetrail.core.primitives import address
from sensetrail.dataset.folder import Dataset, write_dataset
from sensetrail.demo import sections
from sensetrail.demo.room import Room
from sensetrail.demo.send import ADMIN, DEVICE_ETHER, DemoSender, Outcome, count_attacks, count_clean, demo_key
from sensetrail.demo.stream import Attack, Message, build_stream
from sensetrail.disk import temporary_folder, write_whole
from sensetrail.errors import AuditError
from sensetrail.indexer.evidence import NodeEvidence
from sensetrail.indexer.index import index
from sensetrail.indexer.sqlite import open_sqlite
from sensetrail.indexer.sync import Terms
from sensetrail.report.page import render_page
from sensetrail.report.section import Section
from sensetrail.sensor.room import PAPER_POINTS, law
from sensetrail.workspace import Workspace, read_model

PAPER_ACCURACY = 0.9239
"""The paper's validation accuracy of the traceability experiment."""
SEEDS = (0, 1, 2, 3, 4)
HELD_OUT = 0.2
"""Of the clean legal readings, kept from both of the validity experiment's sources to measure their error on."""
SETUP_TIME = 3600
"""Seconds before the first reading at which the demo's chain begins."""

if TYPE_CHECKING:
    from sensetrail.training.configuration import Configuration
    from sensetrail.training.fit import Trained

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Demo:
    """One run.

    Attributes:
        chain: A fresh devnet whose clock is before the room's first reading.
        room: The readings.
        workspace: Where everything is written.
        seed: Of the attacks.
        on_section: Told each part of the report as soon as it is there.
        on_progress: Told of what takes time: description, done, total.
        models: Name to manifest of what was anchored.
        results: The report's figures for programs, as JSON.
        missing: Which attacks could not be hidden among the readings.
    """

    chain: Chain
    room: Room
    workspace: Workspace
    seed: int
    on_section: Callable[[Section], None] = lambda _: None
    on_progress: Progress = lambda *_: None
    sections: list[Section] = field(default_factory=list)
    models: dict[str, Manifest] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    missing: Sequence[str] = ()

    def run(self) -> Path:
        """Run everything.

        Returns:
            The report page's path; `report.json` lies beside it.

        Raises:
            AuditError: An audit step failed; the report is written all the same.
        """
        self.results["room"] = {"name": self.room.name, "simulated": self.room.simulated}
        self._tell(sections.room(self.room.name, self.room.sensors, self.room.simulated, self.room.notes))
        deployment = self._deploy()
        outcomes = self._send(deployment)
        history, dataset = self._index(deployment, outcomes)
        attacks, clean = count_attacks(outcomes), count_clean(outcomes)
        self.results["attacks"] = [asdict(count) for count in attacks]
        self.results["clean"] = asdict(clean)
        self.results["not_hidden"] = list(self.missing)
        self._tell(sections.chain(attacks, clean, history, outcomes, self.missing))
        self._tell(sections.dataset(dataset))
        self._validity(dataset.rows, outcomes)
        self._humidity(dataset)
        self._traceability(dataset)
        self._anchor(deployment, dataset)
        failed = self._audit(deployment, dataset)
        page = self.workspace.root / "report.html"
        write_whole(page, render_page("Sensetrail demo", sections.LEAD, self.sections).encode())
        write_whole(self.workspace.root / "report.json", f"{json.dumps(self.results, indent=2)}\n".encode())
        if failed:
            raise AuditError(f"audit step {failed[0].number} ({failed[0].name}) failed", f"see {page}")
        return page

    def _tell(self, section: Section) -> None:
        self.sections.append(section)
        self.on_section(section)

    def _deploy(self) -> Deployment:
        admin = devnet_account(ADMIN)
        deployment = deploy(self.chain, admin)
        self.workspace.write_deployment(deployment)
        registry = SensorRegistry(self.chain, deployment.sensor_registry)
        profile = registry.add_profile(admin, self.room.profile)
        revoked = self.room.attackers[Attack.REVOKED_DEVICE]
        for name in (*self.room.sensors, revoked):
            device = address(demo_key(name).address)
            registry.register_device(admin, device, profile, json_digest({"demo device": name}))
            self.chain.wait(self.chain.send(admin, device, value=DEVICE_ETHER))
        registry.revoke_device(admin, address(demo_key(revoked).address), 0)
        return deployment

    def _send(self, deployment: Deployment) -> list[Outcome]:
        stream = build_stream(self.room.sensors, self.room.profile, self.room.attackers, self.seed)
        self.missing = stream.missing
        messages = stream.messages
        done = 0

        def sent(_: Outcome) -> None:
            nonlocal done
            done += 1
            self.on_progress("sending", done, len(messages))

        return DemoSender(SensorRegistry(self.chain, deployment.sensor_registry)).send(messages, sent)

    def _index(self, deployment: Deployment, outcomes: list[Outcome]) -> tuple[History, Dataset]:
        contracts = (deployment.sensor_registry, deployment.model_registry)
        layout = load_artifact(SENSOR_REGISTRY).storage
        with open_sqlite(self.workspace.index, deployment.genesis_hash, contracts) as store:
            terms = Terms(contracts, deployment.block_number)
            cursor = index(self.chain.url, store, terms, deployment.sensor_registry, layout).cursor
            history = replay(store.blocks(cursor.number), deployment.sensor_registry)
        selection = Selection()
        rows = select(history, selection)
        provenance = Provenance(True, cursor.anchor_source, cursor.anchor_number, cursor.anchor_hash)
        dataset = Dataset(rows, selection, describe(rows, selection, cursor.number, cursor.hash), provenance)
        write_dataset(self.workspace.dataset("legal"), dataset)
        return history, dataset

    def _validity(self, rows: Rows, outcomes: list[Outcome]) -> None:
        from sensetrail.training.configuration import DEFAULT_HUMIDITY
        from sensetrail.training.validity import run_validity

        generator = np.random.default_rng(self.seed)
        is_held_out = np.zeros(len(rows), dtype=np.bool_)
        is_held_out[generator.choice(len(rows), round(len(rows) * HELD_OUT), replace=False)] = True
        held_out = rows.take(is_held_out)
        temperatures, truth = self._table_1_points(held_out)
        steps = _counted(self.on_progress, "validity experiment", 2 * len(SEEDS))
        direct = direct_rows((outcome.message for outcome in outcomes), held_out)
        with temporary_folder() as folder:
            result = run_validity(
                rows.take(~is_held_out),
                direct,
                held_out,
                temperatures,
                DEFAULT_HUMIDITY,
                SEEDS,
                steps,
                folder,
            )
        self.results["validity"] = {
            "temperatures": temperatures,
            "truth": truth,
            **{
                name: {
                    "predictions": source.predictions.tolist(),
                    "mae": source.mae.tolist(),
                    "rmse": source.rmse.tolist(),
                }
                for name, source in (("chain", result.chain), ("direct", result.direct))
            },
        }
        self._tell(sections.validity(result, truth, self.room.simulated))

    def _table_1_points(self, held_out: Rows) -> tuple[list[float], list[float]]:
        """Give the five temperatures of Table 1 and the clean humidity there: the law's, or of held-out readings."""
        if self.room.simulated:
            points = list(PAPER_POINTS)
            return points, law(np.array(points)).tolist()
        temperature, humidity = held_out.temperature / 100, held_out.humidity / 100
        points = [round(float(q), 2) for q in np.quantile(temperature, (0.95, 0.75, 0.5, 0.25, 0.05))]
        nearest = [np.argsort(np.abs(temperature - point))[:15] for point in points]
        return points, [float(np.mean(humidity[index])) for index in nearest]

    def _traceability(self, dataset: Dataset) -> None:
        from sensetrail.training.configuration import DEFAULT_DEVICE
        from sensetrail.training.traceability import run_traceability

        if len(np.unique(dataset.rows.device)) < 2:
            self.results["traceability"] = None
            self._tell(sections.no_traceability())
            return
        steps = _counted(self.on_progress, "traceability experiment", len(SEEDS) + 1)
        result = run_traceability(dataset.rows, DEFAULT_DEVICE, steps, SEEDS[1:])
        self.results["traceability"] = {
            "shuffled": result.accuracies.tolist(),
            "chronological": result.chronological_accuracy,
            "paper": PAPER_ACCURACY,
            "history": result.shuffled.history,
        }
        section = sections.traceability(result, PAPER_ACCURACY, self.room.simulated)
        self._tell(section)
        if section.figure is not None:
            write_whole(self.workspace.root / "figure-4.png", section.figure.png)
        self._keep("device", result.shuffled, dataset, DEFAULT_DEVICE)

    def _humidity(self, dataset: Dataset) -> None:
        from sensetrail.training.configuration import DEFAULT_HUMIDITY
        from sensetrail.training.fit import train

        _counted(self.on_progress, "humidity model on the whole dataset", 1)
        self._keep("humidity", train(dataset.rows, DEFAULT_HUMIDITY), dataset, DEFAULT_HUMIDITY)

    def _keep(self, name: str, trained: Trained, dataset: Dataset, configuration: Configuration) -> None:
        from sensetrail.training.make import write_model

        folder = self.workspace.model(name)
        self.models[name] = write_model(folder, trained, dataset.selection, dataset.record, configuration)

    def _anchor(self, deployment: Deployment, dataset: Dataset) -> None:
        registry = ModelRegistry(self.chain, deployment.model_registry)
        gas = sum(
            receipt.gas_used
            for manifest in self.models.values()
            for receipt in registry.anchor(devnet_account(ADMIN), manifest)
        )
        self.results["models"] = {name: manifest.to_json() for name, manifest in self.models.items()}
        self._tell(sections.anchoring(dataset.record, self.models, gas))

    def _audit(self, deployment: Deployment, dataset: Dataset) -> list[Finding]:
        from sensetrail.training.make import retrain

        failed: list[Finding] = []
        for name in self.models:
            manifest, model_file = read_model(self.workspace.model(name))
            findings = []
            terms = Terms((deployment.sensor_registry, deployment.model_registry), deployment.block_number)
            evidence = NodeEvidence(self.chain, deployment, terms)
            check_rows = partial(compare_rows, dataset.rows)
            for finding in Audit(evidence, manifest, model_file, retrain, check_rows).run():
                findings.append(finding)
                self.on_progress(f"audit of model {name}", finding.number, 10)
            self.results.setdefault("audits", {})[name] = [
                dict(zip(("step", "name", "result", "detail"), finding.row(), strict=True)) for finding in findings
            ]
            self._tell(sections.audit(name, findings))
            failed += [finding for finding in findings if finding.status is Status.FAILED]
        return failed


def direct_rows(messages: Iterator[Message], held_out: Rows) -> Rows:
    """Give all that was sent, attacks included, as the rows of a training that asks no chain.

    Args:
        messages: The stream.
        held_out: Clean readings to leave out, wherever they appear.

    Returns:
        Rows in canonical order; sequence numbers only count them.
    """
    kept_back = set(
        zip(held_out.measured_at.tolist(), held_out.temperature.tolist(), held_out.humidity.tolist(), strict=True)
    )
    parts = []
    count = 0
    for message in messages:
        readings = message.measurements
        values = zip(
            readings.measured_at.tolist(), readings.temperature.tolist(), readings.humidity.tolist(), strict=True
        )
        index = np.array([i for i, value in enumerate(values) if value not in kept_back], dtype=np.int64)
        taken = readings[index]
        device = np.full(len(index), address(demo_key(message.device).address), dtype="<U42")
        sequence = count + np.arange(len(index), dtype=np.int64)
        parts.append(Rows(device, sequence, taken.measured_at, taken.temperature, taken.humidity))
        count += len(index)
    return Rows.concatenate(parts)


def _counted(on_progress: Progress, description: str, total: int) -> Callable[[str], None]:
    done = 0
    on_progress(description, 0, total)

    def step(_: str) -> None:
        nonlocal done
        done += 1
        on_progress(description, done, total)

    return step
