"""The whole way of a reading, from deployment to audit, on Anvil, Hardhat's node and Ganache alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from command import Terminal, anchor_without_training, readings_csv
from conftest import Site, make_site, throw_away_key
from indexes import contracts_of, dump, history, honest, index, open_index
from nodes import NODES, Node
from sensetrail.audit.steps import Audit, Status, compare_rows
from sensetrail.chain.client import TRANSACTION_GAS_CAP, Chain
from sensetrail.chain.deployment import require_chain, verify_code
from sensetrail.chain.model_registry import ModelRegistry
from sensetrail.core.batch import Batch, Format, encode
from sensetrail.core.dataset import DatasetRecord, Rows, Selection, select
from sensetrail.core.events import Accepted, Rejected, Rejection
from sensetrail.core.primitives import ZERO_WORD, address, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR, Profile, Verdict
from sensetrail.core.signature import P256Key
from sensetrail.core.typed_data import batch_digest
from sensetrail.errors import (
    AccessControlUnauthorizedAccountError,
    ChainError,
    ContractError,
    FinalityError,
    ModelRegistryAlreadyRecalledError,
    ModelRegistryDatasetExistsError,
    ModelRegistryEmptyDatasetError,
    ModelRegistryModelExistsError,
    ModelRegistryUnknownDatasetError,
    ModelRegistryUnknownModelError,
    ModelRegistryWrongBlockHashError,
    ModelRegistryZeroDigestError,
    RejectedError,
    SensorRegistryDeviceExistsError,
    SensorRegistryInvalidProfileError,
    SensorRegistryNotActiveError,
    SensorRegistryUnknownProfileError,
    SensorRegistryZeroDeviceError,
    UnfundedAccountError,
    VerificationError,
    WrongChainError,
)
from sensetrail.gateway.outbox import Outbox
from sensetrail.gateway.sender import send_batches, send_own
from sensetrail.indexer.evidence import NodeEvidence
from sensetrail.indexer.sync import Terms
from sensetrail.workspace import read_model

WEIGHTS_DIGEST, MANIFEST_DIGEST = bytes([1]) * 32, bytes([2]) * 32


@pytest.fixture(scope="module", params=NODES, ids=[node.name for node in NODES])
def running(request: pytest.FixtureRequest) -> Iterator[Chain]:
    node: Node = request.param
    with node.running() as chain:
        yield chain


@pytest.fixture
def site(running: Chain) -> Site:
    """Registries of the test's own; a connection of its own, too: one test's reorganisation is not another's."""
    return make_site(Chain(running.url))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite") as opened:
        yield opened


def accepted(outcome: Accepted | Rejected) -> Accepted:
    assert isinstance(outcome, Accepted), outcome
    return outcome


def reason(outcome: Accepted | Rejected) -> Rejection:
    assert isinstance(outcome, Rejected), outcome
    return outcome.reason


def streams(site: Site) -> list[Measurements]:
    """Give readings for every format there is, each stream later than the one before; the last ones jump."""
    end = site.now
    evenly, unevenly = 10 * np.arange(6), np.cumsum([0, 10, 11, 9, 300, 1])
    small, large = np.array([0, 3, -4, 10, 9, 9]), np.array([0, 10_00, -30_00, 5, 7_00, 0])
    return [
        Measurements.of(end - 4000 + evenly, 25_00 + small, 60_00 - small),
        Measurements.of(end - 3000 + unevenly, 25_00 + small, 60_00 - small),
        Measurements.of(end - 2000 + evenly, 25_00 + large, 60_00 - large),
    ]


def test_what_is_deployed_is_this_package_s_code_on_this_chain(site: Site) -> None:
    verify_code(site.chain, site.deployment)
    require_chain(site.chain, site.deployment)
    assert site.chain.is_devnet
    assert site.registry.profile(1) == INDOOR
    exchanged = replace(site.deployment, model_registry=site.deployment.sensor_registry)
    with pytest.raises(VerificationError):
        verify_code(site.chain, exchanged)
    with pytest.raises(WrongChainError):
        require_chain(site.chain, replace(site.deployment, genesis_hash=bytes(32)))


def test_batches_of_every_format_are_judged_as_the_twin_judges(site: Site, tmp_path: Path) -> None:
    formats, verdicts = set(), []
    for measurements in streams(site):
        batch, signature = site.batch(measurements)
        taken = accepted(site.submit(batch, signature))
        assert taken.batch == batch
        verdicts.append(taken.verdicts.any())
        formats.add(batch.header.format)
    assert verdicts == [False, False, True]
    assert formats == set(Format) - {Format.OWN}
    with open_index(site, tmp_path / "index.sqlite") as store:
        index(site, store)
        found = history(site, store)
    assert found.reading_count == 18
    for run in found.runs:
        assert (run.verdicts == run.claimed).all()
        assert run.proven.all()
    assert found.devices[site.device_address].state.pack() == site.registry.state_slot(site.device_address)


def test_batches_of_several_devices_go_in_one_transaction(site: Site) -> None:
    other = site.batch(site.measurements(2), site.register("other"))
    sent = [site.batch(site.measurements(3)), other, site.batch(site.measurements(2), throw_away_key("stranger"))]
    receipt = site.chain.wait(site.registry.submit_batches(site.relayer, sent))
    *taken, refused = site.registry.outcomes(receipt)
    assert [len(accepted(one).verdicts) for one in taken] == [3, 2]
    assert reason(refused) is Rejection.UNKNOWN_DEVICE


def test_a_p256_device_s_batch_is_accepted_and_no_other_key_s(site: Site) -> None:
    key, forger = P256Key(keccak256(b"test P-256 key")), P256Key(keccak256(b"another P-256 key"))
    site.registry.register_device(site.admin, key.address, 1, bytes(32))
    batch = encode(key.address, 0, site.measurements(3))
    digest = batch_digest(batch, site.registry.domain_separator())
    assert reason(site.submit(batch, forger.sign(digest))) is Rejection.WRONG_SIGNATURE
    assert reason(site.submit(batch, key.sign(keccak256(digest)))) is Rejection.WRONG_SIGNATURE
    assert not accepted(site.submit(batch, key.sign(digest))).verdicts.any()


def test_an_own_transaction_is_judged_and_signed_by_its_device(site: Site) -> None:
    sent = site.registry.post(site.device, 0, site.now, 99_00, 60_00)
    assert accepted(site.registry.outcome(site.chain.wait(sent))).verdicts.tolist() == [Verdict.TEMPERATURE_RANGE]
    transaction = site.chain.transaction(sent)
    assert transaction is not None
    assert (transaction.hash, transaction.sender) == (sent, site.device_address)


def test_what_is_not_the_device_s_is_rejected_with_its_reason(site: Site) -> None:
    batch, signature = site.batch(site.measurements(3))
    altered = Batch(batch.header, batch.data[:-1] + bytes([batch.data[-1] ^ 1]))
    stranger = throw_away_key("stranger")
    assert reason(site.submit(batch, site.sign(batch, stranger))) is Rejection.WRONG_SIGNATURE
    assert reason(site.submit(altered, signature)) is Rejection.WRONG_SIGNATURE
    assert reason(site.submit(Batch(batch.header, batch.data + b"\0"), signature)) is Rejection.MALFORMED
    assert reason(site.submit(*site.batch(site.measurements(3), stranger))) is Rejection.UNKNOWN_DEVICE
    assert site.registry.state(site.device_address).head == bytes(20)
    accepted(site.submit(batch, signature))
    before = site.registry.state_slot(site.device_address)
    assert reason(site.submit(batch, signature)) is Rejection.WRONG_SEQUENCE
    assert reason(site.post(7, site.now, 25_00, 60_00)) is Rejection.WRONG_SEQUENCE
    assert site.registry.state_slot(site.device_address) == before


def test_a_revoked_device_is_rejected_and_its_late_readings_are_in_no_dataset(site: Site, tmp_path: Path) -> None:
    measurements = site.measurements(6)
    accepted(site.submit(*site.batch(measurements)))
    site.registry.revoke_device(site.admin, site.device_address, int(measurements.measured_at[4]))
    assert reason(site.submit(*site.batch(site.measurements(2)))) is Rejection.REVOKED_DEVICE
    assert reason(site.post(6, site.now, 25_00, 60_00)) is Rejection.REVOKED_DEVICE
    with open_index(site, tmp_path / "index.sqlite") as store:
        index(site, store)
        found = history(site, store)
    assert len(found.rejections) == 2
    assert select(found, Selection()).sequence.tolist() == [0, 1, 2, 3]


def queue(site: Site, outbox: Outbox, measurements: Measurements) -> int:
    return outbox.queue(site.device_address, measurements, site.registry.state(site.device_address))


def test_the_outbox_brings_every_reading_once_in_both_ways(site: Site, outbox: Outbox) -> None:
    measurements = site.measurements(24)
    queue(site, outbox, measurements[:20])
    sending = send_batches(site.registry, outbox, [site.key], site.relayer, size=8)
    assert len(next(sending).verdicts) == 8
    sending.close()  # interrupted: the next run goes on from there
    rest = list(send_batches(site.registry, outbox, [site.key], site.relayer, size=8))
    assert [len(one.verdicts) for one in rest] == [8, 4]
    assert queue(site, outbox, measurements) == 4
    own = list(send_own(site.registry, outbox, site.device))
    assert [one.verdicts.tolist() for one in own] == [[0]] * 4
    assert all(one.gas_used > 21_000 for one in own)
    assert site.registry.state(site.device_address).sequence == 24
    assert outbox.pending(site.device_address) is None


def test_a_transaction_that_failed_loses_no_reading(site: Site, outbox: Outbox) -> None:
    queue(site, outbox, site.measurements(5))
    call = {"from": site.relayer.address, "to": site.registry.address, "data": "0xdeadbeef", "gas": hex(100_000)}
    with pytest.raises(ChainError):
        site.chain.wait(bytes.fromhex(site.chain.request("eth_sendTransaction", call)[2:]))
    block = site.chain.request("eth_getBlockByNumber", "latest", False)
    failed = bytes.fromhex(block["transactions"][-1][2:])
    outbox.mark_sent([(site.device_address, 0, 5)], failed)
    assert [len(one.verdicts) for one in send_batches(site.registry, outbox, [site.key], site.relayer)] == [5]


def test_what_the_gateway_cannot_send_it_names(site: Site, outbox: Outbox) -> None:
    queue(site, outbox, site.measurements(3))
    with pytest.raises(UnfundedAccountError):
        list(send_batches(site.registry, outbox, [site.key], throw_away_key("pauper")))
    site.registry.revoke_device(site.admin, site.device_address, 0)
    with pytest.raises(RejectedError, match="revoked device"):
        list(send_batches(site.registry, outbox, [site.key], site.relayer))


def test_an_account_that_another_command_uses_is_named(site: Site) -> None:
    site.fund(site.device)
    make_site(Chain(site.chain.url))
    with pytest.raises(ChainError, match="nonce") as caught:
        site.fund(site.device)
    assert "another command uses this account" in caught.value.to_do
    site.fund(site.device)


def test_a_transaction_that_uses_most_of_ethereum_s_gas_cap_is_sent(site: Site) -> None:
    far = (86_000 * 32).to_bytes(3, "big")  # the memory up to there costs 14.7 million gas
    creation = bytes.fromhex("5f62") + far + bytes.fromhex("5200")
    gas_used = site.chain.wait(site.chain.send(site.admin, None, creation)).gas_used
    assert gas_used < TRANSACTION_GAS_CAP < gas_used + gas_used // 4


def test_the_index_grows_and_follows_a_reorganisation(site: Site, tmp_path: Path) -> None:
    accepted(site.submit(*site.batch(site.measurements(4))))
    # All of these mine at once: what a node of theirs calls final is its newest block. A depth says otherwise.
    with open_index(site, tmp_path / "index.sqlite") as store:
        grown = index(site, store, depth=20)
        assert grown.stored > 0
        assert grown.heads_proven == 1
        assert index(site, store, depth=20).stored == 0
        snapshot = site.chain.request("evm_snapshot")
        accepted(site.submit(*site.batch(site.measurements(2, start=site.now))))
        assert index(site, store, depth=20).stored == 1
        assert history(site, store).reading_count == 6
        assert site.chain.request("evm_revert", snapshot)
        site.chain.request("evm_increaseTime", 10)
        site.chain.request("evm_mine")
        index(site, store, depth=20)
        assert history(site, store).reading_count == 4
        assert dump(tmp_path / "index.sqlite") == honest(site, tmp_path / "new.sqlite", depth=20)


def test_an_index_of_a_final_block_that_is_gone_is_not_changed(site: Site, tmp_path: Path) -> None:
    snapshot = site.chain.request("evm_snapshot")
    accepted(site.submit(*site.batch(site.measurements(4))))
    with open_index(site, tmp_path / "index.sqlite") as store:
        index(site, store, depth=0)
        before = dump(tmp_path / "index.sqlite")
        assert site.chain.request("evm_revert", snapshot)
        site.chain.request("evm_increaseTime", 10)
        site.chain.request("evm_mine")
        with pytest.raises(FinalityError):
            index(site, store, depth=0)
        assert dump(tmp_path / "index.sqlite") == before


def test_a_block_with_a_failed_transaction_among_ours_is_proven(site: Site, tmp_path: Path) -> None:
    """Ganache writes its status otherwise than Ethereum, and its receipts root with it."""
    pauses, goes_on = (
        (("miner_stop", ()), ("miner_start", ()))
        if "ganache" in site.chain.request("web3_clientVersion").lower()
        else (("evm_setAutomine", (False,)), ("evm_setAutomine", (True,)))
    )
    batch, signature = site.batch(site.measurements(3))
    site.chain.request(pauses[0], *pauses[1])
    sent = site.registry.submit_batch(site.relayer, batch, signature)
    call = {"from": site.admin.address, "to": site.registry.address, "data": "0xdeadbeef", "gas": hex(100_000)}
    site.chain.request("eth_sendTransaction", call)
    site.chain.request("evm_mine")
    site.chain.request(goes_on[0], *goes_on[1])
    number = site.chain.wait(sent).block_number
    block = site.chain.request("eth_getBlockByNumber", hex(number), False)
    receipts = [site.chain.request("eth_getTransactionReceipt", each) for each in block["transactions"]]
    assert {int(receipt["status"], 16) for receipt in receipts} == {0, 1}
    with open_index(site, tmp_path / "index.sqlite") as store:
        index(site, store)
        assert history(site, store).reading_count == 3
        assert next(found for found in store.blocks(number) if found.number == number).proven


def audit(site: Site, folder: Path, rows: Rows) -> dict[str, Status]:
    """Audit a model but for its training."""
    terms = Terms(contracts_of(site), site.deployment.block_number)
    evidence = NodeEvidence(site.chain, site.deployment, terms)
    findings = Audit(evidence, *read_model(folder), None, partial(compare_rows, rows)).run()
    return {finding.name: finding.status for finding in findings}


def test_an_audit_passes_until_the_model_is_recalled(site: Site, tmp_path: Path) -> None:
    accepted(site.submit(*site.batch(site.measurements(20))))
    accepted(site.post(20, site.now, 25_00, 60_00))
    accepted(site.submit(*site.batch(site.measurements(5), site.register("other"))))
    stranger = throw_away_key("stranger")
    assert reason(site.submit(*site.batch(site.measurements(3), stranger))) is Rejection.UNKNOWN_DEVICE
    manifest, rows = anchor_without_training(site, tmp_path / "model")
    assert len(rows) == 26
    passed = audit(site, tmp_path / "model", rows)
    assert passed.pop("retraining") is Status.SKIPPED
    assert set(passed.values()) == {Status.PASSED}
    leaf, other = rows.leaf(17), rows.leaf(18)
    proof = rows.tree().inclusion_proof(leaf)
    assert site.models.includes_row(manifest.dataset.dataset_id, leaf, proof)
    assert not site.models.includes_row(manifest.dataset.dataset_id, other, proof)
    recaller = ModelRegistry(Chain(site.chain.url), site.models.address)
    recaller.recall_model(site.admin, manifest.weights_digest, "sensor A was near the stove")
    assert audit(site, tmp_path / "model", rows) == {**passed, "retraining": Status.SKIPPED, "standing": Status.FAILED}


def test_the_command_line_goes_the_whole_way(running: Chain, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, {"SENSETRAIL_RPC": running.url}, in_process=True)
    assert terminal.json("deploy")["chain_id"] == running.chain_id
    terminal.done("profile", "add", "--temperature", "0:50")
    terminal.done("device", "new", "A")
    terminal.done("device", "register", "A")
    terminal.done("device", "fund", "A")
    start = running.latest_block().timestamp - 3000
    readings_csv(tmp_path / "night.csv", ["A"], 40, start)
    assert terminal.json("post", "night.csv", "--batch", "20")["transactions"] == 2
    readings_csv(tmp_path / "night.csv", ["A"], 42, start)
    assert terminal.json("post", "night.csv", "--own")["transactions"] == 2
    assert terminal.json("dataset", "build", "night")["rows"] == 42
    terminal.done("train", "night", "model", "--task", "humidity")
    terminal.done("anchor", "model")
    audited = terminal.json("audit", "model", "--dataset", "night", "--no-retrain")
    assert [step["name"] for step in audited["steps"] if step["status"] != "passed"] == ["retraining"]
    assert audited["passed"] is True
    assert terminal.json("predict", "model", "--temperature", "28")["verified"] is True
    terminal.done("recall", "model", "--reason", "sensor A was near the stove")
    assert "recalled" in terminal.fails(5, "predict", "model", "--temperature", "28")[0]


def reverts(site: Site) -> dict[type[ContractError], Callable[[], object]]:
    """Give every revert that one call brings about, after a dataset and a recalled model were registered."""
    registry, models, admin, device = site.registry, site.models, site.admin, site.device_address
    newest = site.chain.latest_block()
    dataset = DatasetRecord(bytes([3]) * 32, 1, bytes(32), newest.number, newest.hash)
    models.register_dataset(admin, dataset)
    models.register_model(admin, WEIGHTS_DIGEST, dataset.dataset_id, MANIFEST_DIGEST, "task")
    models.recall_model(admin, WEIGHTS_DIGEST, "reason")
    nobody, stranger = address("0x" + "0" * 40), address(throw_away_key("stranger").address)
    other = bytes([9]) * 32

    def model(weights_digest: bytes, dataset_id: bytes, parent: bytes = ZERO_WORD) -> object:
        return models.register_model(admin, weights_digest, dataset_id, MANIFEST_DIGEST, "task", parent)

    return {
        AccessControlUnauthorizedAccountError: lambda: registry.revoke_device(site.relayer, device, 0),
        SensorRegistryInvalidProfileError: lambda: registry.add_profile(admin, Profile(1, 0, 0, 0, 0, 0, 0)),
        SensorRegistryUnknownProfileError: lambda: registry.register_device(admin, stranger, 9, bytes(32)),
        SensorRegistryDeviceExistsError: lambda: registry.register_device(admin, device, 1, bytes(32)),
        SensorRegistryNotActiveError: lambda: registry.revoke_device(admin, stranger, 0),
        SensorRegistryZeroDeviceError: lambda: registry.register_device(admin, nobody, 1, bytes(32)),
        ModelRegistryEmptyDatasetError: lambda: models.register_dataset(admin, replace(dataset, row_count=0)),
        ModelRegistryDatasetExistsError: lambda: models.register_dataset(admin, dataset),
        ModelRegistryWrongBlockHashError: lambda: models.register_dataset(admin, replace(dataset, block_hash=other)),
        ModelRegistryUnknownDatasetError: lambda: model(other, other),
        ModelRegistryZeroDigestError: lambda: model(bytes(32), dataset.dataset_id),
        ModelRegistryModelExistsError: lambda: model(WEIGHTS_DIGEST, dataset.dataset_id),
        ModelRegistryUnknownModelError: lambda: model(other, dataset.dataset_id, other),
        ModelRegistryAlreadyRecalledError: lambda: models.recall_model(admin, WEIGHTS_DIGEST, "again"),
    }


def test_every_revert_is_its_own_error_with_its_arguments(site: Site) -> None:
    for kind, call in reverts(site).items():
        with pytest.raises(ContractError) as caught:
            call()
        assert type(caught.value) is kind
    with pytest.raises(SensorRegistryDeviceExistsError) as caught:
        site.registry.register_device(site.admin, site.device_address, 1, bytes(32))
    assert address(caught.value.arguments["device"]) == site.device_address


def test_a_second_deployment_s_readings_are_not_the_first_s(site: Site) -> None:
    batch, signature = site.batch(site.measurements(2))
    elsewhere = make_site(site.chain)
    assert reason(elsewhere.submit(batch, signature)) is Rejection.WRONG_SIGNATURE
    accepted(site.submit(batch, signature))
