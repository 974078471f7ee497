"""The audit passes on what is true, and fails with the right step on each thing that is not."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from eth_abi.abi import decode, encode

from command import anchor_without_training
from conftest import Site, make_site
from sensetrail.audit.self_test import self_test
from sensetrail.audit.steps import Audit, Finding, Retrain, Status, compare_rows
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.canonical import json_digest
from sensetrail.core.dataset import DatasetRecord, Rows, Selection, describe, select
from sensetrail.core.events import TOPICS, ProfileAdded, decode_log
from sensetrail.core.evidence import Evidence
from sensetrail.core.history import replay
from sensetrail.core.logs import BlockLogs, Log, gather
from sensetrail.core.manifest import Manifest
from sensetrail.core.model_file import read_model_file
from sensetrail.core.primitives import Address, address_bytes, hex_word
from sensetrail.core.signature import P256Key
from sensetrail.core.transaction import Transaction, transaction_from_rpc
from sensetrail.indexer.evidence import NodeEvidence
from sensetrail.indexer.sync import Terms
from sensetrail.sensor.room import simulate
from sensetrail.training.configuration import DEFAULT_HUMIDITY
from sensetrail.training.make import make_model, retrain
from sensetrail.workspace import read_model, write_manifest

CONFIGURATION = replace(DEFAULT_HUMIDITY, epochs=4)
STEPS = [
    "code",
    "events",
    "heads",
    "verdicts",
    "signatures",
    "dataset",
    "manifest",
    "weights",
    "retraining",
    "standing",
]


@dataclass
class World:
    """A site with readings of both kinds, an attack, another device without legal readings, and an anchored model."""

    site: Site
    folder: Path
    rows: Rows
    record: DatasetRecord
    other: Address

    def audit(
        self,
        folder: Path | None = None,
        *,
        evidence: Evidence | None = None,
        with_retraining: bool = False,
        rows: Rows | None = None,
    ) -> list[Finding]:
        manifest, model_file = read_model(folder or self.folder)
        again: Retrain | None = retrain if with_retraining else None
        check_rows = None if rows is None else partial(compare_rows, rows)
        return list(Audit(evidence or self.evidence(), manifest, model_file, again, check_rows).run())

    def evidence(self) -> NodeEvidence:
        return NodeEvidence(self.site.chain, self.site.deployment, terms(self.site))

    def lying(self, edit: Callable[[list[Log]], list[Log]] = lambda logs: logs) -> Lying:
        lying = Lying(self.site.chain, self.site.deployment, terms(self.site))
        lying.edit = edit
        return lying

    def copy(self, target: Path) -> Path:
        shutil.copytree(self.folder, target)
        return target

    def make(self, folder: Path, rows: Rows, record: DatasetRecord, seed: int) -> Manifest:
        """Train and anchor another model."""
        _, manifest = make_model(folder, rows, Selection(), record, CONFIGURATION.with_seed(seed))
        self.site.models.anchor(self.site.admin, manifest)
        return manifest


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_devnet(timestamp=1_767_225_600) as chain:
        site = make_site(chain)
        night = simulate(chain.latest_block().timestamp - 30 * 200, seed=3)["A"][:200]
        site.submit(*site.batch(night[:120]))
        site.submit(*site.batch(night[:120]))  # accepted and illegal: its times lie behind
        batch, signature = site.batch(night[120:])
        site.submit(batch, signature[32:] + signature[:32])  # rejected
        site.submit(batch, signature)
        sequence = site.registry.state(site.device_address).sequence
        site.post(sequence, site.now, int(night.temperature[-1]), int(night.humidity[-1]))
        other = P256Key(bytes(31) + b"\x01")
        site.registry.register_device(site.admin, other.address, 1, bytes(32))
        site.submit(*site.batch(site.measurements(3, temperature=90_00), other))  # accepted and illegal
        newest = chain.latest_block()
        logs = chain.logs([site.registry.address], site.deployment.block_number, newest.number)
        times = {log.block_number: block.timestamp for log in logs if (block := chain.block(log.block_number))}
        rows = select(replay(gather(logs, times), site.registry.address), Selection())
        made = World(
            site,
            tmp_path_factory.mktemp("model"),
            rows,
            describe(rows, Selection(), newest.number, newest.hash),
            other.address,
        )
        made.make(made.folder, rows, made.record, seed=0)
        yield made


def outcome(findings: list[Finding]) -> tuple[list[str], str | None]:
    """Give the steps' names in order, and the one that failed; every step before it passed, none after it ran."""
    failed = [finding for finding in findings if finding.status is Status.FAILED]
    if not failed:
        assert {finding.status for finding in findings} <= {Status.PASSED, Status.SKIPPED}
        return [finding.name for finding in findings], None
    assert len(failed) == 1
    assert failed[0].detail
    assert failed[0].to_do
    for finding in findings[failed[0].number :]:
        assert finding.status is Status.NOT_REACHED
    for finding in findings[: failed[0].number - 1]:
        assert finding.status in (Status.PASSED, Status.SKIPPED)
    return [finding.name for finding in findings], failed[0].name


def test_it_passes_on_what_is_true(world: World) -> None:
    findings = world.audit(with_retraining=True, rows=world.rows)
    assert outcome(findings) == (STEPS, None)
    assert [finding.number for finding in findings] == list(range(1, 11))
    assert "bit for bit" in findings[8].detail


def test_skipping_retraining_is_said(world: World) -> None:
    findings = world.audit()
    assert outcome(findings)[1] is None
    assert findings[8].status is Status.SKIPPED
    assert "not proven" in findings[8].detail


def test_a_flipped_weight_fails_step_8(world: World, tmp_path: Path) -> None:
    folder = world.copy(tmp_path / "model")
    flip_a_weight(folder / "model.keras")
    assert outcome(world.audit(folder))[1] == "weights"


def test_an_edited_manifest_fails_step_7(world: World, tmp_path: Path) -> None:
    folder = world.copy(tmp_path / "model")
    manifest, _ = read_model(folder)
    write_manifest(folder, replace(manifest, metrics={**manifest.metrics, "validation_mae": 0.0}))
    assert outcome(world.audit(folder))[1] == "manifest"


def test_a_changed_row_in_the_dataset_file_fails_step_6_and_is_named(world: World) -> None:
    changed = world.rows.take(np.arange(len(world.rows)))
    changed.humidity[17] += 1
    findings = world.audit(rows=changed)
    assert outcome(findings)[1] == "dataset"
    assert "row 17 of the dataset file" in findings[5].detail


def test_an_anchored_dataset_with_a_changed_row_fails_step_6(world: World, tmp_path: Path) -> None:
    changed = world.rows.take(np.arange(len(world.rows)))
    changed.humidity[17] += 1
    record = describe(changed, Selection(), world.record.through_block, world.record.block_hash)
    world.make(tmp_path / "model", changed, record, seed=1)
    assert outcome(world.audit(tmp_path / "model"))[1] == "dataset"


def test_an_anchored_dataset_with_a_dropped_reading_fails_step_6(world: World, tmp_path: Path) -> None:
    kept = world.rows.take(np.arange(len(world.rows)) != 17)
    record = describe(kept, Selection(), world.record.through_block, world.record.block_hash)
    world.make(tmp_path / "model", kept, record, seed=2)
    findings = world.audit(tmp_path / "model", rows=kept)
    assert outcome(findings)[1] == "dataset"


def test_a_model_trained_on_another_dataset_fails_step_9(world: World, tmp_path: Path) -> None:
    half = world.rows.take(np.arange(len(world.rows)) % 2 == 0)
    world.make(tmp_path / "model", half, world.record, seed=3)
    assert outcome(world.audit(tmp_path / "model", with_retraining=True))[1] == "retraining"


@pytest.mark.parametrize("change", ["metrics", "environment"])
def test_weights_of_one_s_own_beside_invented_claims_fail_step_9(world: World, tmp_path: Path, change: str) -> None:
    seed = 6 if change == "metrics" else 7
    folder = tmp_path / "model"
    _, manifest = make_model(folder, world.rows, Selection(), world.record, CONFIGURATION.with_seed(seed))
    if change == "metrics":
        claimed = replace(manifest, metrics={**manifest.metrics, "validation_mae": 0.0})
    else:
        flip_a_weight(folder / "model.keras")
        digest = read_model_file((folder / "model.keras").read_bytes()).digest
        claimed = replace(manifest, weights_digest=digest, environment={**manifest.environment, "python": "3.99"})
    write_manifest(folder, claimed)
    world.site.models.anchor(world.site.admin, claimed)
    assert outcome(world.audit(folder, with_retraining=True))[1] == "retraining"


def test_a_manifest_that_claims_another_dataset_fails_step_7(world: World, tmp_path: Path) -> None:
    folder = world.copy(tmp_path / "model")
    selection = Selection(until=int(world.rows.measured_at[-1]))
    rows = world.rows.take(world.rows.measured_at < int(world.rows.measured_at[-1]))
    record = describe(rows, selection, world.record.through_block, world.record.block_hash)
    world.site.models.register_dataset(world.site.admin, record)
    manifest, _ = read_model(folder)
    write_manifest(folder, replace(manifest, dataset=record, selection=selection))
    assert outcome(world.audit(folder))[1] == "manifest"


def test_other_code_at_an_address_fails_step_1(world: World) -> None:
    deployment = replace(world.site.deployment, model_registry=world.site.deployment.sensor_registry)
    other = NodeEvidence(world.site.chain, deployment, terms(world.site))
    assert outcome(world.audit(evidence=other))[1] == "code"
    trusting = NodeEvidence(world.site.chain, deployment, replace(terms(world.site), trust_node=True))
    assert outcome(world.audit(evidence=trusting))[1] == "code"


@pytest.mark.parametrize("dropped", [0, 1, 2, 3])
def test_an_event_that_the_node_leaves_out_fails_step_3(world: World, dropped: int) -> None:
    evidence = world.lying(lambda logs: [log for i, log in enumerate(logs) if i != accepted(logs)[dropped]])
    findings = world.audit(evidence=evidence)
    assert outcome(findings)[1] == "heads"


def test_an_event_that_the_node_alters_fails_step_3(world: World) -> None:
    evidence = world.lying(
        lambda logs: edited(
            logs, accepted(logs)[0], lambda fields: (fields[0], flipped(fields[1][:4]) + fields[1][4:], fields[2])
        )
    )
    assert outcome(world.audit(evidence=evidence))[1] == "heads"


def test_a_profile_that_the_node_widens_fails_step_3(world: World) -> None:
    def widened(logs: list[Log]) -> list[Log]:
        place = next(i for i, log in enumerate(logs) if isinstance(decode_log(log), ProfileAdded))
        rules = [int.from_bytes(logs[place].data[at : at + 32], "big") for at in range(0, 7 * 32, 32)]
        rules[4] += 1
        return [
            *logs[:place],
            replace(logs[place], data=b"".join(rule.to_bytes(32, "big") for rule in rules)),
            *logs[place + 1 :],
        ]

    evidence = world.lying(widened)
    findings = world.audit(evidence=evidence)
    assert outcome(findings)[1] == "heads"
    assert "profile 1: its event has other rules" in findings[2].detail


def test_a_profile_that_the_node_adds_fails_step_3(world: World) -> None:
    def added(logs: list[Log]) -> list[Log]:
        place = next(i for i, log in enumerate(logs) if isinstance(decode_log(log), ProfileAdded))
        invented = replace(logs[place], topics=(logs[place].topics[0], (2).to_bytes(32, "big")))
        return [*logs[: place + 1], invented, *logs[place + 1 :]]

    evidence = world.lying(added)
    findings = world.audit(evidence=evidence)
    assert outcome(findings)[1] == "heads"
    assert "the profiles [1, 2], the registry has 1" in findings[2].detail


def test_a_registration_that_the_node_alters_fails_step_3(world: World) -> None:
    def another_identity(logs: list[Log]) -> list[Log]:
        place = next(i for i, log in enumerate(logs) if TOPICS.get(log.topics[0], "").startswith("DeviceRegistered"))
        return [*logs[:place], replace(logs[place], data=bytes(32)), *logs[place + 1 :]]

    evidence = world.lying(another_identity)
    findings = world.audit(evidence=evidence)
    assert outcome(findings)[1] == "heads"
    assert "record of it differ" in findings[2].detail


def test_a_device_that_the_node_hides_fails_step_3(world: World) -> None:
    topic = address_bytes(world.other).rjust(32, b"\0")
    evidence = world.lying(lambda logs: [log for log in logs if topic not in log.topics])
    findings = world.audit(evidence=evidence)
    assert outcome(findings)[1] == "heads"
    assert "register 1 devices, the registry has 2" in findings[2].detail


def test_verdicts_that_the_node_alters_fail_step_4(world: World) -> None:
    evidence = world.lying(lambda logs: edited(logs, accepted(logs)[0], lambda fields: (*fields[:2], b"\x00\x05\x04")))
    assert outcome(world.audit(evidence=evidence))[1] == "verdicts"


def test_a_signature_that_the_node_alters_fails_step_5(world: World) -> None:
    evidence = world.lying(
        lambda logs: edited(logs, accepted(logs)[0], lambda fields: (fields[0], flipped(fields[1]), *fields[2:]))
    )
    assert outcome(world.audit(evidence=evidence))[1] == "signatures"


def test_a_p256_signature_that_the_node_alters_fails_step_5(world: World) -> None:
    # The last batch's r, s, x, y: the public key stays.
    evidence = world.lying(
        lambda logs: edited(
            logs, accepted(logs)[-1], lambda fields: (fields[0], flipped(fields[1][:-64]) + fields[1][-64:], fields[2])
        )
    )
    assert outcome(world.audit(evidence=evidence))[1] == "signatures"


def test_a_transaction_that_is_not_the_device_s_fails_step_5(world: World) -> None:
    evidence = world.lying()
    evidence.transaction_of = world.site.chain.logs([world.site.registry.address], 0, 5)[0]
    assert outcome(world.audit(evidence=evidence))[1] == "signatures"


def test_an_event_that_does_not_decode_fails_step_2(world: World) -> None:
    evidence = world.lying(
        lambda logs: [
            replace(log, data=log.data + bytes(32)) if i in accepted(logs) else log for i, log in enumerate(logs)
        ]
    )
    assert outcome(world.audit(evidence=evidence))[1] == "events"


def test_an_audit_that_trusts_its_node_says_so(world: World) -> None:
    trusting = replace(world.evidence(), terms=replace(terms(world.site), trust_node=True))
    findings = world.audit(evidence=trusting)
    assert outcome(findings)[1] is None
    assert findings[1].detail.startswith("UNPROVEN")
    assert "the indexed node's own word" in world.audit()[1].detail


def test_of_each_step_the_self_test_sees_that_it_can_fail(world: World) -> None:
    manifest, model_file = read_model(world.folder)
    trials = list(self_test(world.evidence(), manifest, model_file, retrain))
    assert [trial.number for trial in trials] == list(range(1, 11))
    assert [trial.name for trial in trials] == STEPS
    assert [trial for trial in trials if not trial.caught] == []


def test_a_model_of_readings_that_are_not_trusted_any_more_fails_step_10(tmp_path: Path) -> None:
    with running_devnet(timestamp=1_767_225_600) as chain:
        site = make_site(chain)
        measurements = site.measurements(20)
        site.submit(*site.batch(measurements))
        anchor_without_training(site, tmp_path / "model")
        fresh = NodeEvidence(site.chain, site.deployment, terms(site))
        assert outcome(list(Audit(fresh, *read_model(tmp_path / "model"), None).run()))[1] is None
        # By a connection of its own: the site's is behind with the admin's nonces.
        registry = SensorRegistry(Chain(site.chain.url), site.registry.address)
        registry.revoke_device(site.admin, site.device_address, int(measurements.measured_at[15]))
        later = NodeEvidence(site.chain, site.deployment, terms(site))
        findings = list(Audit(later, *read_model(tmp_path / "model"), None).run())
        assert outcome(findings)[1] == "standing"
        assert site.device_address in findings[9].detail
        assert "5 of the dataset's 20 rows" in findings[9].detail


def test_a_recalled_model_fails_step_10_with_its_reason(world: World, tmp_path: Path) -> None:
    manifest = world.make(tmp_path / "model", world.rows, world.record, seed=4)
    assert outcome(world.audit(tmp_path / "model"))[1] is None
    world.site.models.recall_model(world.site.admin, manifest.weights_digest, "sensor A was near the stove")
    findings = world.audit(tmp_path / "model")
    assert outcome(findings)[1] == "standing"
    assert "near the stove" in findings[9].detail


def test_a_model_that_was_never_anchored_fails_step_7(world: World, tmp_path: Path) -> None:
    make_model(tmp_path / "model", world.rows, Selection(), world.record, CONFIGURATION.with_seed(5))
    assert outcome(world.audit(tmp_path / "model"))[1] == "manifest"


def test_the_manifest_on_disk_is_what_its_digest_is_of(world: World) -> None:
    value = json.loads((world.folder / "manifest.json").read_text())
    manifest, _ = read_model(world.folder)
    assert json_digest(value) == manifest.digest == world.site.models.model(manifest.weights_digest).manifest_digest
    assert value["dataset"]["root"] == hex_word(world.record.root)


def terms(site: Site) -> Terms:
    contracts = (site.deployment.sensor_registry, site.deployment.model_registry)
    return Terms(contracts, site.deployment.block_number)


class Lying(NodeEvidence):
    """Evidence that says something else than the chain has, past all proofs: what the later steps are there for."""

    edit: Callable[[list[Log]], list[Log]]
    transaction_of: Log | None = None

    def blocks(self) -> list[BlockLogs]:
        honest = {block.number: block for block in super().blocks()}
        changed = self.edit([log for block in honest.values() for log in block.logs()])
        return gather(changed, {number: block.timestamp for number, block in honest.items()})

    def transactions(self, places: Sequence[tuple[BlockLogs, int]]) -> Sequence[Transaction | None]:
        if self.transaction_of is None:
            return super().transactions(places)
        log = self.transaction_of
        method = "eth_getTransactionByBlockHashAndIndex"
        found = self.chain.request(method, hex_word(log.block_hash), hex(log.transaction_index))
        return [transaction_from_rpc(found) for _ in places]


def accepted(logs: list[Log]) -> list[int]:
    """Give the places of the batches and posts among logs."""
    signatures = ("BatchAccepted", "ReadingPosted")
    return [i for i, log in enumerate(logs) if TOPICS.get(log.topics[0], "").startswith(signatures)]


def edited(logs: list[Log], place: int, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> list[Log]:
    """Change the fields of a batch's log: header, payload (the readings, then the signature), exceptions."""
    types = ["uint256", "bytes", "bytes"]
    changed = replace(logs[place], data=encode(types, change(decode(types, logs[place].data))))
    return [*logs[:place], changed, *logs[place + 1 :]]


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def flip_a_weight(path: Path) -> None:
    """Flip the lowest bit of one weight, and leave everything else as it was."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        kernel = file["layers/dense/vars/0"]
        values = kernel[()]
        values.view(np.uint32)[0, 0] ^= 1
        kernel[...] = values
    members["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
