"""The benchmark's EAS side: its attestations are stored, its signatures checked, its figures the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from eth_abi.abi import decode as abi_decode

from bench.eas import ATTESTED, FIRST_SEQUENCE, SINGLES, Eas, deploy, measure, requests_for
from conftest import START, throw_away_key
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import devnet_account
from sensetrail.core.primitives import address
from sensetrail.core.reading import Measurements
from sensetrail.errors import ContractError

STEPS = np.arange(SINGLES)
READINGS = Measurements.of(START + 30 * STEPS, -2 + STEPS, 60_00 + 7 * STEPS)
"""Below and above 0 degC: the temperature's sign must come through."""


def test_every_figure_is_of_attestations_that_the_chain_holds(fresh_devnet: Chain) -> None:
    device = throw_away_key("device")
    figures = measure(fresh_devnet, devnet_account(0), device, READINGS, [1, 10])

    logs = fresh_devnet.logs((), 0, fresh_devnet.latest_block().number, [ATTESTED])
    eas = Eas(fresh_devnet, logs[0].address)
    stored = [eas.read("getAttestation", log.data) for log in logs]
    assert len({attestation[0] for attestation in stored}) == len(logs)
    assert {address(attestation[7]) for attestation in stored} == {address(device.address)}
    # Each transaction at a time of its own, so that no reading pays for a UID that is taken.
    transactions = {(log.block_number, log.transaction_index) for log in logs}
    assert len({attestation[2] for attestation in stored}) == len(transactions) == SINGLES + 5
    types = ["address", "uint32", "int16", "uint16", "uint24"]
    warm_up, one, ten = [0], [0], list(range(10))
    assert [abi_decode(types, attestation[9]) for attestation in stored] == [
        (device.address.lower(), START + 30 * i, -2 + i, 60_00 + 7 * i, FIRST_SEQUENCE + i)
        for i in warm_up + ten + one + one + ten + ten
    ]

    gas = {(figure.case, figure.n): figure.gas_per_reading for figure in figures}
    multi, delegated = "eas-multi-attest", "eas-multi-attest-by-delegation"
    assert list(gas) == [("eas-attest", 1), (multi, 1), (delegated, 1), (multi, 10), (delegated, 10)]
    # Ten storage slots a reading that were zero before, at 22,100 gas, whatever else it costs.
    assert min(gas.values()) > 221_000
    assert gas[multi, 10] < gas["eas-attest", 1] < gas[multi, 1] < gas[delegated, 1]
    assert gas[multi, 10] < gas[delegated, 10] < gas[delegated, 1]
    assert all(figure.floor_ratio > 1 and figure.fits for figure in figures)


def test_what_is_measured_does_not_depend_on_what_was_before(fresh_devnet: Chain) -> None:
    first, again = (
        measure(fresh_devnet, devnet_account(0), throw_away_key(name), READINGS, [10])[1:] for name in ("one", "other")
    )
    for figure, other in zip(first, again, strict=True):
        assert figure.gas_per_reading == pytest.approx(other.gas_per_reading, rel=0.001)


def test_only_the_device_can_delegate(fresh_devnet: Chain) -> None:
    payer, device, thief = devnet_account(0), throw_away_key("device"), throw_away_key("thief")
    eas, schema = deploy(fresh_devnet, payer)
    requests = requests_for(address(device.address), READINGS[:2])
    with pytest.raises(ContractError):
        forged = (schema, requests, eas.sign(thief, schema, requests), device.address, 0)
        eas.spend(payer, "multiAttestByDelegation", [forged], 2)
    signed = (schema, requests, eas.sign(device, schema, requests), device.address, 0)
    eas.spend(payer, "multiAttestByDelegation", [signed], 2)
    with pytest.raises(ContractError):
        eas.spend(payer, "multiAttestByDelegation", [signed], 2)
