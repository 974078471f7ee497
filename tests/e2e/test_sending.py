"""From files to the chain: both ways of sending, and what an interruption leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Site, device_key
from sensetrail.chain.devnet import devnet_account
from sensetrail.core.batch import encode, formats
from sensetrail.core.reading import Measurements
from sensetrail.core.signature import P256Key
from sensetrail.errors import ContractError, InputError, RejectedError, UnfundedAccountError
from sensetrail.gateway import sender
from sensetrail.gateway.outbox import Outbox
from sensetrail.gateway.sender import send_batches, send_own


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite")


def queue(site: Site, outbox: Outbox, measurements: Measurements) -> int:
    return outbox.queue(site.device_address, measurements, site.registry.state(site.device_address))


def test_batches_bring_every_reading_once(site: Site, outbox: Outbox) -> None:
    measurements = site.measurements(50)
    assert queue(site, outbox, measurements) == 50
    sent = list(send_batches(site.registry, outbox, [site.key], site.relayer, size=20))
    assert [len(one.verdicts) for one in sent] == [20, 20, 10]
    assert not np.concatenate([one.verdicts for one in sent]).any()
    assert site.registry.state(site.device_address).sequence == 50
    assert queue(site, outbox, measurements) == 0
    assert list(send_batches(site.registry, outbox, [site.key], site.relayer)) == []


def test_several_devices_readings_go_in_one_transaction(site: Site, outbox: Outbox) -> None:
    other = P256Key(bytes(31) + b"\x09")
    site.registry.register_device(site.admin, other.address, 1, bytes(32))
    measurements = site.measurements(50)
    for key, count in ((site.key, 50), (other, 30)):
        outbox.queue(key.address, measurements[:count], site.registry.state(key.address))
    sent = list(send_batches(site.registry, outbox, [site.key, other], site.relayer, size=20))
    assert [[(one.device, len(one.verdicts)) for one in transaction.deliveries] for transaction in sent] == [
        [(site.key.address, 20), (other.address, 20)],
        [(site.key.address, 20), (other.address, 10)],
        [(site.key.address, 10)],
    ]
    assert [site.registry.state(key.address).sequence for key in (site.key, other)] == [50, 30]


def test_a_revoked_device_does_not_sink_the_others_batches(site: Site, outbox: Outbox) -> None:
    other = site.register("revoked")
    measurements = site.measurements(30)
    for key in (device_key(other), site.key):
        outbox.queue(key.address, measurements, site.registry.state(key.address))
    site.registry.revoke_device(site.admin, device_key(other).address, 0)
    with pytest.raises(RejectedError, match="revoked device"):
        list(send_batches(site.registry, outbox, [device_key(other), site.key], site.relayer))
    assert site.registry.state(site.device_address).sequence == 30
    assert outbox.pending(site.device_address) is None
    assert outbox.pending(device_key(other).address) is not None


@pytest.mark.parametrize("jitter", [False, True])
def test_no_other_format_would_have_been_cheaper(site: Site, outbox: Outbox, jitter: bool) -> None:
    measurements = site.measurements(60)
    if jitter:
        times = measurements.measured_at + np.arange(60) % 2
        measurements = Measurements(times, measurements.temperature, measurements.humidity)
    queue(site, outbox, measurements)
    (sent,) = send_batches(site.registry, outbox, [site.key], site.relayer)
    chosen = sent.deliveries[0].kind
    costs = {}
    for kind in formats(measurements):
        key = site.register(f"in format {kind}")
        batch = encode(device_key(key).address, 0, measurements, kind)
        receipt = site.chain.wait(site.registry.submit_batch(site.relayer, batch, site.sign(batch, key)))
        costs[kind] = receipt.gas_used
    assert min(costs, key=lambda kind: costs[kind]) is chosen
    assert len(costs) == (1 if jitter else 3)


def test_what_would_not_fit_a_transaction_at_worst_goes_in_two(
    site: Site, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [site.key, *(device_key(site.register(f"one of many {i}")) for i in range(3))]
    measurements = site.measurements(3)
    for key in keys:
        outbox.queue(key.address, measurements, site.registry.state(key.address))
    monkeypatch.setattr(sender, "TRANSACTION_GAS_CAP", 2 * (300_000 + 3 * 1_450))
    sent = list(send_batches(site.registry, outbox, keys, site.relayer))
    assert [[len(one.verdicts) for one in transaction.deliveries] for transaction in sent] == [[3, 3], [3, 3]]


def test_failing_sensors_fill_a_transaction_and_still_fit(site: Site, outbox: Outbox) -> None:
    count = 5_000
    index = np.arange(count)
    # Below what the contract judges a word at a time, and jumping: each is judged by itself, and illegal.
    broken = Measurements.of(site.now - count + index, np.where(index % 2, -9000, -9110), 20_000 + 0 * index)
    other = device_key(site.register("broken too"))
    for key in (site.key, other):
        outbox.queue(key.address, broken, site.registry.state(key.address))
    (sent,) = send_batches(site.registry, outbox, [site.key, other], site.relayer, size=count)
    assert (sent.verdicts != 0).all()
    assert 10_000_000 < sent.gas_used < 2**24


def test_a_long_series_is_split_over_transactions_that_nodes_relay(site: Site, outbox: Outbox) -> None:
    count = 12_000
    times = site.now - 40 * count + 30 * np.arange(count) + np.arange(count) % 2
    measurements = Measurements.of(times, 2500 + np.arange(count) % 7, 6000 + np.arange(count) % 11)
    other = site.register("long series too")
    for key in (site.key, device_key(other)):
        outbox.queue(key.address, measurements, site.registry.state(key.address))
    sent = list(send_batches(site.registry, outbox, [site.key, device_key(other)], site.relayer, size=10_000))
    assert [[len(one.verdicts) for one in transaction.deliveries] for transaction in sent] == [
        [10_000],
        [10_000],
        [2000, 2000],
    ]
    assert not any(transaction.verdicts.any() for transaction in sent)


def test_own_transactions_bring_every_reading_once(site: Site, outbox: Outbox) -> None:
    queue(site, outbox, site.measurements(5))
    assert [len(one.verdicts) for one in send_own(site.registry, outbox, site.device)] == [1] * 5
    assert list(send_own(site.registry, outbox, site.device)) == []
    assert site.registry.state(site.device_address).sequence == 5


@pytest.mark.parametrize("sent_before", [1, 2])
def test_after_an_interruption_only_the_rest_is_sent(site: Site, outbox: Outbox, sent_before: int) -> None:
    queue(site, outbox, site.measurements(30))
    sending = send_batches(site.registry, outbox, [site.key], site.relayer, size=10)
    for _ in range(sent_before):
        next(sending)
    sending.close()
    rest = list(send_batches(site.registry, outbox, [site.key], site.relayer, size=10))
    assert len(rest) == 3 - sent_before
    assert site.registry.state(site.device_address).sequence == 30


def test_interrupted_while_a_transaction_is_on_its_way_nothing_is_sent_twice(
    site: Site, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(site, outbox, site.measurements(20))
    site.chain.request("evm_setAutomine", False)
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(site.chain, "wait", interrupt)
            list(send_batches(site.registry, outbox, [site.key], site.relayer, size=10))
        assert site.registry.state(site.device_address).sequence == 0
    finally:
        # The transaction is mined while the second run waits for it.
        site.chain.request("evm_setAutomine", True)
        site.chain.request("evm_mine")
    sent = list(send_batches(site.registry, outbox, [site.key], site.relayer, size=10))
    assert [len(one.verdicts) for one in sent] == [10]
    logs = site.chain.logs([site.registry.address], site.deployment.block_number, site.chain.latest_block().number)
    assert sum(log.topics[0] == BATCH_ACCEPTED for log in logs) == 2
    assert not any(log.topics[0] == REJECTED for log in logs)


def test_readings_that_another_workspace_overtook_are_numbered_anew(site: Site, outbox: Outbox, tmp_path: Path) -> None:
    measurements = site.measurements(20)
    queue(site, outbox, measurements[10:])
    with Outbox(tmp_path / "other.sqlite") as other:
        queue(site, other, measurements[:10])
        list(send_batches(site.registry, other, [site.key], site.relayer))
    sent = list(send_batches(site.registry, outbox, [site.key], site.relayer))
    assert [verdict for one in sent for verdict in one.verdicts.tolist()] == [0] * 10
    assert site.registry.state(site.device_address).sequence == 20


def test_readings_that_come_too_late_are_kept_and_said(site: Site, outbox: Outbox, tmp_path: Path) -> None:
    measurements = site.measurements(20)
    queue(site, outbox, measurements[:10])
    with Outbox(tmp_path / "other.sqlite") as other:
        queue(site, other, measurements[10:])
        list(send_batches(site.registry, other, [site.key], site.relayer))
    with pytest.raises(InputError, match="10 queued readings of device"):
        list(send_batches(site.registry, outbox, [site.key], site.relayer))
    pending = outbox.pending(site.device_address)
    assert pending is not None
    assert len(pending.measurements) == 10


def test_a_failed_transaction_is_sent_again(site: Site, outbox: Outbox) -> None:
    queue(site, outbox, site.measurements(5))
    wrong = {"from": devnet_account(5).address, "to": site.registry.address, "data": "0xdeadbeef", "gas": hex(100_000)}
    failed = bytes.fromhex(site.chain.request("eth_sendTransaction", wrong)[2:])
    with pytest.raises(ContractError):
        site.chain.wait(failed)
    outbox.mark_sent([(site.device_address, 0, 5)], failed)
    assert [len(one.verdicts) for one in send_batches(site.registry, outbox, [site.key], site.relayer)] == [5]


def test_a_batch_that_somebody_else_brought_first_counts_as_sent(
    site: Site, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(site, outbox, site.measurements(20))
    submit = site.registry.submit_batch

    def overtaken(relayer: Any, batch: Any, signature: Any, on_signed: Any = None) -> bytes:
        site.chain.wait(submit(site.admin, batch, signature))
        return submit(relayer, batch, signature, on_signed)

    monkeypatch.setattr(site.registry, "submit_batch", overtaken)
    sent = list(send_batches(site.registry, outbox, [site.key], site.relayer, size=10))
    assert [len(one.verdicts) for one in sent] == [10, 10]
    assert site.registry.state(site.device_address).sequence == 20
    assert outbox.pending(site.device_address) is None


def test_two_gateways_on_one_outbox_take_turns(site: Site, tmp_path: Path) -> None:
    with Outbox(tmp_path / "shared.sqlite") as one, Outbox(tmp_path / "shared.sqlite") as two:
        measurements = site.measurements(20)
        assert queue(site, one, measurements[:10]) == 10
        assert queue(site, two, measurements) == 10
        list(send_batches(site.registry, two, [site.key], site.relayer))
        assert list(send_batches(site.registry, one, [site.key], site.relayer)) == []
    assert site.registry.state(site.device_address).sequence == 20


def interrupt(_: bytes) -> None:
    raise KeyboardInterrupt


def test_readings_that_lie_behind_the_chain_s_are_refused_before_anything_is_sent(site: Site, outbox: Outbox) -> None:
    measurements = site.measurements(10)
    queue(site, outbox, measurements[5:])
    list(send_batches(site.registry, outbox, [site.key], site.relayer))
    with pytest.raises(InputError, match="the new ones begin at"):
        queue(site, outbox, measurements[:5])
    assert outbox.pending(site.device_address) is None


def test_a_rejection_says_why_and_what_to_do(site: Site, outbox: Outbox) -> None:
    queue(site, outbox, site.measurements(3))
    site.registry.revoke_device(site.admin, site.device_address, 0)
    with pytest.raises(RejectedError, match="revoked device") as caught:
        list(send_batches(site.registry, outbox, [site.key], site.relayer))
    assert "new key" in caught.value.to_do


def test_an_account_without_means_is_named_as_such(site: Site, outbox: Outbox) -> None:
    from conftest import throw_away_key

    queue(site, outbox, site.measurements(3))
    with pytest.raises(UnfundedAccountError):
        list(send_batches(site.registry, outbox, [site.key], throw_away_key("pauper")))
    assert len(list(send_batches(site.registry, outbox, [site.key], site.relayer))) == 1


def _topic(signature: str) -> bytes:
    from sensetrail.core.primitives import keccak256

    return keccak256(signature.encode())


BATCH_ACCEPTED = _topic("BatchAccepted(address,uint256,bytes,bytes)")
REJECTED = _topic("Rejected(address,uint8,address,uint256,bytes32)")
