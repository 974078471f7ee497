"""A device's account runs code (EIP-7702): a transaction of its own no longer proves the device's key."""

from __future__ import annotations

from typing import Any, cast

from eth_account.signers.local import LocalAccount

from conftest import Site, throw_away_key
from nodes import Lack
from sensetrail.core.events import Accepted, Rejected, Rejection
from sensetrail.core.primitives import address

NEEDS = frozenset({Lack.DELEGATION})
SEQUENCE = 0


def post_delegating(site: Site, device: LocalAccount, delegating: LocalAccount, nonce: int) -> bytes:
    """Send a device's `post` in a type 4 transaction in which an account delegates to the registry's code."""
    chain = site.chain
    authorization = delegating.sign_authorization(
        {"chainId": chain.chain_id, "address": site.registry.address, "nonce": nonce}
    )
    signed = device.sign_transaction(
        cast(
            Any,
            {
                "type": 4,
                "chainId": chain.chain_id,
                "nonce": 0,
                "gas": 500_000,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 10**9,
                "to": site.registry.address,
                "value": 0,
                "data": site.registry.encode("post", SEQUENCE, site.now, 25_00, 60_00),
                "accessList": [{"address": site.registry.address, "storageKeys": ["0x" + "07" * 32]}],
                "authorizationList": [authorization],
            },
        )
    )
    return bytes.fromhex(chain.request("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())[2:])


def test_a_device_that_delegates_its_account_cannot_post(site: Site) -> None:
    key = site.register("delegating")
    device = address(key.address)
    before = site.registry.state_slot(device)
    outcome = site.registry.outcome(site.chain.wait(post_delegating(site, key, key, 1)))
    assert site.chain.code(device)
    assert isinstance(outcome, Rejected)
    assert (outcome.device, outcome.reason) == (device, Rejection.SENDER_IS_CODE)
    # Nor later, in a plain transaction; its batches bear the key's signature and are accepted.
    outcome = site.post(SEQUENCE, site.now, 25_00, 60_00, key)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Rejection.SENDER_IS_CODE
    assert site.registry.state_slot(device) == before
    assert isinstance(site.submit(*site.batch(site.measurements(3), key)), Accepted)


def test_a_device_that_sends_another_account_s_delegation_posts(site: Site) -> None:
    device, other = site.register("undelegated"), throw_away_key("delegated by another")
    transaction_hash = post_delegating(site, device, other, 0)
    assert isinstance(site.registry.outcome(site.chain.wait(transaction_hash)), Accepted)
    assert site.chain.code(address(other.address))
    transaction = site.chain.transaction(transaction_hash)
    assert transaction is not None
    assert transaction.type == 4
    assert (transaction.hash, transaction.sender) == (transaction_hash, address(device.address))
