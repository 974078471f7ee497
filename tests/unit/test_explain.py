"""What a transaction brought, and what an event that is not of it gives away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account import Account

from conftest import throw_away_key
from sensetrail.core.batch import Batch, Format, encode, encode_own
from sensetrail.core.calls import FUNCTIONS
from sensetrail.core.events import Accepted, DeviceRevoked, Rejection
from sensetrail.core.explain import Explanation, exception_pieces, explain, flag_names, header_pieces
from sensetrail.core.logs import Log
from sensetrail.core.primitives import address, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.signature import DeviceKey, P256Key, Secp256k1Key
from sensetrail.core.transaction import Transaction
from sensetrail.core.typed_data import batch_digest, domain_separator
from sensetrail.errors import VerificationError
from story import BATCH_ACCEPTED, BATCH_FIELDS, DEVICE_REVOKED, READING_POSTED, REGISTRY, log_of, word
from unit.test_events import REJECTED

CHAIN_ID = 31337
SEPARATOR = domain_separator(CHAIN_ID, REGISTRY)
SELECTORS = {signature.partition("(")[0]: selector for selector, signature in FUNCTIONS.items()}
RELAYER = throw_away_key("relayer")
SENDER = address(RELAYER.address)
KEYS: list[DeviceKey] = [Secp256k1Key(keccak256(b"one")), P256Key(keccak256(b"two"))]
TIME = 1_767_225_600
READINGS = Measurements.of([TIME + 60 * i for i in range(3)], [-5, 0, 120], [60_00, 59_98, 59_98])
OTHER = address("0x" + "77" * 20)


def transaction(data: bytes, to: str = REGISTRY) -> Transaction:
    fields: dict[str, Any] = {"maxPriorityFeePerGas": 1, "maxFeePerGas": 10**9, "chainId": CHAIN_ID, "type": 2}
    fields |= {"nonce": 3, "gas": 10**6, "to": to, "value": 0, "data": "0x" + data.hex()}
    signed = Account.sign_transaction(fields, RELAYER.key)
    return Transaction(
        2, CHAIN_ID, 3, (1, 10**9), 10**6, address(to), 0, data, [], signed.v, int(signed.r), int(signed.s)
    )


def signed(batch: Batch, key: DeviceKey) -> bytes:
    return key.sign(batch_digest(batch, SEPARATOR))


def batch_of(key: DeviceKey, kind: Format | None = None) -> Batch:
    return encode(key.address, 7, READINGS, kind)


def submit(*batches: tuple[Batch, bytes]) -> bytes:
    structs = [(batch.header.pack(), batch.data + signature) for batch, signature in batches]
    return SELECTORS["submitBatches"] + abi_encode(["(uint256,bytes)[]"], [structs])


def accepted(batch: Batch, signature: bytes, exceptions: bytes = b"") -> Log:
    data = abi_encode(BATCH_FIELDS, [batch.header.pack(), batch.data + signature, exceptions])
    return log_of(BATCH_ACCEPTED, [word(batch.header.device)], data)


def rejected(batch: Batch, reason: Rejection, digest: bytes | None = None, sender: str = SENDER) -> Log:
    values = [sender, batch.header.pack(), digest or keccak256(batch.data)]
    data = abi_encode(["address", "uint256", "bytes32"], values)
    return log_of(REJECTED, [word(batch.header.device), word(reason)], data)


def explained(sent: Transaction, *logs: Log, succeeded: bool = True) -> Explanation:
    return explain(sent, sent.hash, logs, REGISTRY, CHAIN_ID, succeeded=succeeded)


def test_every_byte_has_its_meaning() -> None:
    for key in KEYS:
        for kind, offsets in ((Format.TIMED, [0, 6, 12]), (Format.REGULAR, [0, 4, 8]), (Format.DELTA, [0, 4, 6])):
            batch = batch_of(key, kind)
            (item,) = explained(
                transaction(submit((batch, signed(batch, key)))), accepted(batch, signed(batch, key))
            ).items
            assert item.readings is not None
            assert item.signature is not None
            assert [reading.offset for reading in item.readings] == offsets
            assert b"".join(reading.data for reading in item.readings) == batch.data
            pieces = item.signature.pieces
            assert pieces[0].offset == len(batch.data)
            assert b"".join(piece.data for piece in pieces) == signed(batch, key)
            assert b"".join(piece.data for piece in header_pieces(item.header)) == batch.header.pack().to_bytes(
                32, "big"
            )
            assert [(r.sequence, r.measured_at, r.temperature, r.humidity) for r in item.readings] == [
                (7, TIME, -5, 60_00),
                (8, TIME + 60, 0, 59_98),
                (9, TIME + 120, 120, 59_98),
            ]
            assert item.signature.digest == batch_digest(batch, SEPARATOR)
            assert item.signature.digest == keccak256(b"\x19\x01" + SEPARATOR + item.signature.struct_hash)
            assert item.signature.verifies
            assert item.findings == ()


def test_what_a_reading_s_bytes_say() -> None:
    def says(kind: Format) -> list[str]:
        batch = batch_of(KEYS[0], kind)
        (item,) = explained(transaction(submit((batch, bytes(64)))), rejected(batch, Rejection.WRONG_SIGNATURE)).items
        return [reading.change for reading in item.readings or ()]

    assert says(Format.TIMED) == ["+0 s", "+60 s", "+60 s"]
    assert says(Format.REGULAR) == ["", "", ""]
    assert says(Format.DELTA) == ["", "+0.05 degC, -0.02 %RH", "+1.20 degC, +0.00 %RH"]


def test_exceptions_by_name() -> None:
    batch = batch_of(KEYS[0])
    log = accepted(batch, signed(batch, KEYS[0]), bytes.fromhex("000003") + bytes.fromhex("00023c"))
    explanation = explained(transaction(submit((batch, signed(batch, KEYS[0])))), log)
    outcome = explanation.items[0].outcome
    assert isinstance(outcome, Accepted)
    pieces = exception_pieces(outcome)
    assert [(piece.offset, piece.data.hex()) for piece in pieces] == [(0, "000003"), (3, "00023c")]
    assert pieces[0].meaning == "reading 0: time not after, time in future"
    assert flag_names(60) == ["temperature range", "humidity range", "temperature step", "humidity step"]
    assert flag_names(0) == []
    assert flag_names(192 + 1) == ["time not after", "unknown flag 192"]
    assert explanation.findings == ()


def test_an_own_reading() -> None:
    own = encode_own(SENDER, 4, TIME, -273_15 // 2, 100_00)
    call = SELECTORS["post"] + abi_encode(["uint24", "uint32", "int16", "uint16"], [4, TIME, -273_15 // 2, 100_00])
    fields = ["uint24", "uint32", "int16", "uint16", "uint8"]
    told = abi_encode(fields, [4, TIME, -273_15 // 2, 100_00, 0])
    explanation = explained(transaction(call), log_of(READING_POSTED, [word(SENDER)], told))
    (item,) = explanation.items
    assert (item.header, item.payload, item.signature) == (own.header, own.data, None)
    assert item.data_digest == keccak256(own.data)
    assert explanation.findings == ()
    for other in ([5, TIME, -273_15 // 2, 100_00, 0], [4, TIME, 1, 100_00, 0]):
        assert explained(transaction(call), log_of(READING_POSTED, [word(SENDER)], abi_encode(fields, other))).findings
    assert explained(transaction(call), log_of(READING_POSTED, [word(OTHER)], told)).findings
    assert explained(transaction(call), rejected(own, Rejection.WRONG_SEQUENCE)).findings == ()
    for reason in (Rejection.MALFORMED, Rejection.WRONG_SIGNATURE):
        assert explained(transaction(call), rejected(own, reason)).findings
    # Never through another contract: `post` wants the key's own transaction.
    assert explained(transaction(call, OTHER), log_of(READING_POSTED, [word(SENDER)], told)).findings


def test_a_malformed_batch_is_shown_as_it_came() -> None:
    batch = batch_of(KEYS[0])
    sent = transaction(submit((batch, bytes(63))))
    digest = keccak256(batch.data + bytes(63))
    (item,) = explained(sent, rejected(batch, Rejection.MALFORMED, digest)).items
    assert (item.readings, item.signature, item.payload) == (None, None, batch.data + bytes(63))
    assert (item.data_digest, item.findings) == (digest, ())
    assert explained(sent, rejected(batch, Rejection.WRONG_SIGNATURE, digest)).findings
    for kind, count in ((0, 1), (4, 1), (255, 1), (2, 0), (2, 10_001)):
        # As long as its readings and a signature would be.
        strange = Batch(replace(batch.header, format=kind, count=count), bytes(4 * count + 64))
        told = rejected(strange, Rejection.MALFORMED)
        explanation = explained(transaction(submit((strange, b""))), told)
        assert explanation.items[0].readings is None
        assert explanation.findings == ()


BATCH = batch_of(KEYS[0])
SIGNATURE = signed(BATCH, KEYS[0])
FLIPPED = bytes([SIGNATURE[0] ^ 1]) + SIGNATURE[1:]
LATER = Batch(replace(BATCH.header, start=TIME + 1), BATCH.data)
ANOTHERS = log_of(REJECTED, [word(OTHER), word(5)], rejected(BATCH, Rejection.WRONG_SEQUENCE).data)
WARMER = Batch(BATCH.header, BATCH.data[:-1] + b"\x01")


@pytest.mark.parametrize(
    ("signature", "logs", "finding"),
    [
        (SIGNATURE, [accepted(BATCH, FLIPPED)], "payload is not the one"),
        (SIGNATURE, [accepted(WARMER, SIGNATURE)], "payload is not the one"),
        (SIGNATURE, [accepted(LATER, SIGNATURE)], "header is not the one"),
        (SIGNATURE, [accepted(BATCH, SIGNATURE, b"\x00\x00\x40")], "flags that no rule has"),
        (SIGNATURE, [accepted(BATCH, SIGNATURE, b"\x00\x03\x01")], "out of order or beyond"),
        (SIGNATURE, [], "brings 1, and the receipt has 0"),
        (SIGNATURE, [accepted(BATCH, SIGNATURE)] * 2, "brings 1, and the receipt has 2"),
        (FLIPPED, [accepted(BATCH, FLIPPED)], "accepted, though the signature"),
        (SIGNATURE, [rejected(BATCH, Rejection.WRONG_SIGNATURE)], "though the signature is the device's"),
        (FLIPPED, [rejected(BATCH, Rejection.WRONG_SEQUENCE)], "wrong signature is looked at first"),
        (SIGNATURE, [rejected(BATCH, Rejection.MALFORMED)], "though it is well formed"),
        (SIGNATURE, [rejected(BATCH, Rejection.SENDER_IS_CODE)], "which a batch never is"),
        (SIGNATURE, [rejected(LATER, Rejection.WRONG_SEQUENCE)], "header is not the one"),
        (SIGNATURE, [rejected(BATCH, Rejection.WRONG_SEQUENCE, bytes(32))], "data digest is not of what"),
        (SIGNATURE, [ANOTHERS], "device is not its header's"),
        (SIGNATURE, [rejected(BATCH, Rejection.WRONG_SEQUENCE, sender=OTHER)], f"event's sender is {OTHER}"),
    ],
)
def test_an_event_that_is_not_of_what_was_sent_is_a_finding(
    signature: bytes, logs: Sequence[Log], finding: str
) -> None:
    findings = explained(transaction(submit((BATCH, signature))), *logs).findings
    assert any(finding in each for each in findings), findings


@pytest.mark.parametrize(
    ("signature", "log"),
    [
        (SIGNATURE, accepted(BATCH, SIGNATURE)),
        (SIGNATURE, rejected(BATCH, Rejection.WRONG_SEQUENCE)),
        (SIGNATURE, rejected(BATCH, Rejection.REVOKED_DEVICE)),
        (FLIPPED, rejected(BATCH, Rejection.UNKNOWN_DEVICE)),
        (FLIPPED, rejected(BATCH, Rejection.WRONG_SIGNATURE)),
    ],
)
def test_what_the_registry_does_is_none(signature: bytes, log: Log) -> None:
    assert explained(transaction(submit((BATCH, signature))), log).findings == ()


def test_findings_of_the_whole_receipt() -> None:
    sent = transaction(submit((BATCH, SIGNATURE)))
    log = accepted(BATCH, SIGNATURE)

    def findings(*logs: Log, chain_id: int = CHAIN_ID, succeeded: bool = True) -> tuple[str, ...]:
        return explain(sent, sent.hash, logs, REGISTRY, chain_id, succeeded=succeeded).findings

    assert findings(log) == ()
    assert "of several transactions" in findings(log, replace(log, transaction_index=1, address=OTHER))[0]
    assert "says that the transaction failed" in findings(log, succeeded=False)[0]
    assert findings(succeeded=False) == ()
    assert any("signed for chain 31337" in each for each in findings(log, chain_id=1))
    strangers = replace(log, address=OTHER)
    assert findings(log, strangers) == ()
    assert "of several transactions" in findings(log, replace(strangers, block_number=99))[0]


def test_through_another_contract_only_events_are_known() -> None:
    sent = transaction(b"\x12\x34\x56\x78", OTHER)
    revoked = log_of(DEVICE_REVOKED, [word(SENDER)], word(5))
    told = (accepted(BATCH, SIGNATURE), rejected(BATCH, Rejection.WRONG_SEQUENCE, sender=OTHER), revoked)
    explanation = explained(sent, *told)
    assert (explanation.call, explanation.sender, explanation.findings) == (None, SENDER, ())
    first, second = explanation.items
    assert first.readings is not None
    assert first.signature is not None
    assert first.signature.verifies
    assert (second.payload, second.readings, second.data_digest) == (None, None, keccak256(BATCH.data))
    assert explanation.others == (DeviceRevoked(SENDER, 5),)
    assert explained(sent, accepted(BATCH, FLIPPED)).findings
    assert explained(sent, ANOTHERS).findings == ("1: the event's device is not its header's",)


@pytest.mark.parametrize(
    "lie",
    [
        lambda sent: replace(sent, data=sent.data[:-1] + b"\x01"),
        lambda sent: replace(sent, to=OTHER),
        lambda sent: replace(sent, r=sent.r + 1),
        lambda sent: replace(sent, type=9),
    ],
)
def test_a_transaction_that_is_not_the_one_asked_for_is_refused(lie: Callable[[Transaction], Transaction]) -> None:
    sent = transaction(submit((BATCH, SIGNATURE)))
    with pytest.raises(VerificationError, match="does not hash to"):
        explain(lie(sent), sent.hash, [], REGISTRY, CHAIN_ID, succeeded=True)


def test_a_transaction_that_nobody_signed_is_refused() -> None:
    sent = replace(transaction(b""), r=0)
    with pytest.raises(VerificationError, match="signature is none"):
        explain(sent, sent.hash, [], REGISTRY, CHAIN_ID, succeeded=True)


def test_call_data_cut_short_is_refused() -> None:
    sent = transaction(submit((BATCH, SIGNATURE))[:-40])
    for succeeded, to_do in ((False, "nothing of it counts"), (True, "use another node")):
        with pytest.raises(VerificationError, match="reverts") as caught:
            explain(sent, sent.hash, [], REGISTRY, CHAIN_ID, succeeded=succeeded)
        assert to_do in caught.value.to_do
