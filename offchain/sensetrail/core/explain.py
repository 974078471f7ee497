"""What a transaction brought to the registry, byte by byte, and what its events say became of it.

The steps, each on what the ones before left:

    (1)  the transaction is the one of this hash, computed from its fields; its signer is recovered
    (2)  its data is decoded as the registry decodes it (`calls`); of another contract's call, only the events are known
    (3)  each batch is taken apart into header, readings, signature; the digest is computed, the signature checked
    (4)  the receipt's events are decoded, and each is held against what was sent: whatever differs is a finding

A receipt is the node's word. A finding says that it cannot be the registry's doing. That there is none does not prove
it: verdicts and heads depend on the device's state before, which only a replay of its history gives (`history`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Self

from sensetrail.core.batch import MAX_COUNT, Batch, Format, Header, decode, encode_own
from sensetrail.core.calls import Call, Post, Submission, decode_call
from sensetrail.core.events import Accepted, Event, Rejected, Rejection, decode_log
from sensetrail.core.logs import Log
from sensetrail.core.primitives import Address, keccak256
from sensetrail.core.rules import Verdict
from sensetrail.core.signature import P256_LENGTH, SECP256K1_LENGTH, verify
from sensetrail.core.text import printable
from sensetrail.core.transaction import Transaction
from sensetrail.core.typed_data import batch_digest, domain_separator, struct_hash
from sensetrail.errors import MalformedEventError, VerificationError

HEADER_FIELDS = (("device", 20), ("start", 4), ("period", 2), ("first sequence number", 3), ("count", 2), ("format", 1))
"""The header word's fields and their bytes, highest first."""
WIDTHS = {Format.OWN: 4, Format.TIMED: 6, Format.REGULAR: 4, Format.DELTA: 2}
"""Bytes a reading; a delta batch's first takes 4."""
LONGEST_FINDING = 500
"""Characters: what does not decode may be repeated in the reason why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes and their meaning.

    Attributes:
        offset: Where they begin, from the first byte of what they are part of.
        data: They.
        meaning: In words.
    """

    offset: int
    data: bytes
    meaning: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading and its bytes.

    Attributes:
        offset: Where they begin in the payload.
        data: They.
        sequence: Its number in the device's history, if the batch is accepted.
        measured_at: Unix seconds; in a hostile batch, beyond 32 bits.
        temperature: 0.01 degC.
        humidity: 0.01 %RH.
        change: What its bytes say where that is not the values: the gap of a timed one, the changes of a delta one.
    """

    offset: int
    data: bytes
    sequence: int
    measured_at: int
    temperature: int
    humidity: int
    change: str


@dataclass(frozen=True, slots=True)
class Signature:
    """A batch's signature.

    Attributes:
        kind: "secp256k1" or "P-256".
        pieces: Its parts; offsets in the payload.
        domain_separator: 32 bytes, like the two below.
        struct_hash: Of `Batch(header, data)`.
        digest: What is signed.
        verifies: Whether it is the device's.
    """

    kind: str
    pieces: tuple[Piece, ...]
    domain_separator: bytes
    struct_hash: bytes
    digest: bytes
    verifies: bool


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A batch, or a reading of the sender's own (format 0), and its outcome.

    Attributes:
        header: Taken apart.
        payload: Readings and signature as they came, whatever they are; of an own reading, the 4 bytes that its head
            commits to. None where only its digest is known.
        readings: None where the payload is not what the header announces, or not known.
        signature: None likewise, and for an own reading.
        data_digest: keccak256 of the readings' bytes; of a malformed payload, of all of it.
        outcome: The registry's event; None where there is none.
        findings: What cannot be.
    """

    header: Header
    payload: bytes | None
    readings: tuple[Reading, ...] | None
    signature: Signature | None
    data_digest: bytes
    outcome: Accepted | Rejected | None
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A transaction, taken apart.

    Attributes:
        sender: Who signed it, recovered.
        call: Its call of the registry; None for another function's or another contract's.
        items: What it brought, in order.
        others: The registry's events that are of no reading.
        findings: What cannot be, of the transaction as a whole and then of each item.
    """

    sender: Address
    call: Call | None
    items: tuple[Item, ...]
    others: tuple[Event, ...]
    findings: tuple[str, ...]


def explain(
    transaction: Transaction,
    transaction_hash: bytes,
    logs: Sequence[Log],
    registry: Address,
    chain_id: int,
    *,
    succeeded: bool,
) -> Explanation:
    """Take a transaction apart.

    Args:
        transaction: From anywhere.
        transaction_hash: The one that was asked for, 32 bytes.
        logs: Its receipt's, from anywhere; other contracts' may be among them.
        registry: The sensor registry.
        chain_id: The chain's, EIP-155.
        succeeded: Whether its receipt says so.

    Returns:
        The explanation. An inconsistent receipt is no error: it is told in the findings.

    Raises:
        VerificationError: It is not the transaction of this hash, or the registry reverts on its data.
    """
    sender = _verified_sender(transaction, transaction_hash)
    separator = domain_separator(chain_id, registry)
    findings = list(_receipt_findings(transaction, logs, chain_id, succeeded=succeeded))
    events: list[Event] = []
    for log in logs:
        try:
            event = decode_log(log) if log.address == registry else None
        except MalformedEventError as error:
            findings.append(printable(error.what, LONGEST_FINDING))
        else:
            events += [] if event is None else [event]
    outcomes = [event for event in events if isinstance(event, Accepted | Rejected)]
    others = tuple(event for event in events if not isinstance(event, Accepted | Rejected))
    if transaction.to == registry:
        call = _call(transaction.data, succeeded=succeeded)
        sent = [] if call is None else [_Sent.by_call(each, sender) for each in call.sent]
        # A failed call changes nothing and leaves no event: there is nothing to hold it against.
        if succeeded and len(sent) != len(outcomes):
            findings.append(f"the call brings {len(sent)}, and the receipt has {len(outcomes)} events of readings")
        pairs = zip_longest(sent, outcomes)
        items = tuple(_item(batch, outcome, separator, sender) for batch, outcome in pairs)
    else:
        call = None
        items = tuple(_item(None, outcome, separator, None) for outcome in outcomes)
    findings += [f"{i}: {finding}" for i, item in enumerate(items, 1) for finding in item.findings]
    return Explanation(sender, call, items, others, tuple(findings))


@dataclass(frozen=True, slots=True)
class _Sent:
    """Header and payload; of an own reading, those that its head commits to."""

    header: Header
    payload: bytes
    is_own: bool

    @classmethod
    def by_call(cls, sent: Post | Submission, sender: Address) -> Self:
        if isinstance(sent, Submission):
            return cls(sent.header, sent.payload, is_own=False)
        own = encode_own(sender, sent.sequence, sent.measured_at, sent.temperature, sent.humidity)
        return cls(own.header, own.data, is_own=True)

    @classmethod
    def by_event(cls, event: Accepted) -> Self:
        return cls(event.batch.header, event.batch.data + (event.signature or b""), event.signature is None)

    def divided(self) -> tuple[bytes, bytes] | None:
        """Divide the payload into readings and signature; None where they are not what the header announces."""
        header, payload = self.header, self.payload
        if self.is_own:
            return payload, b""
        if header.format not in set(Format) - {Format.OWN} or not 1 <= header.count <= MAX_COUNT:
            return None
        length = Format(header.format).length(header.count)
        if len(payload) - length not in (SECP256K1_LENGTH, P256_LENGTH):
            return None
        return payload[:length], payload[length:]


def header_pieces(header: Header) -> tuple[Piece, ...]:
    """Give the header word's bytes, field by field."""
    word = header.pack().to_bytes(32, "big")
    pieces: list[Piece] = []
    offset = 0
    for name, length in HEADER_FIELDS:
        pieces.append(Piece(offset, word[offset : offset + length], name))
        offset += length
    return tuple(pieces)


def exception_pieces(outcome: Accepted) -> tuple[Piece, ...]:
    """Give the event's list of exceptions: 3 bytes for each reading that is not legal."""
    pieces: list[Piece] = []
    for index, verdict in enumerate(outcome.verdicts.tolist()):
        if verdict:
            entry = index.to_bytes(2, "big") + bytes([verdict])
            pieces.append(Piece(3 * len(pieces), entry, f"reading {index}: {', '.join(flag_names(verdict))}"))
    return tuple(pieces)


def flag_names(verdict: int) -> list[str]:
    """Name a verdict's flags; those that no rule has, by their number."""
    names = [(flag.name or "").lower().replace("_", " ") for flag in Verdict if verdict & flag]
    unknown = verdict & ~sum(Verdict)
    return names + ([f"unknown flag {unknown}"] if unknown else [])


def _verified_sender(transaction: Transaction, transaction_hash: bytes) -> Address:
    if transaction.hash != transaction_hash:
        raise VerificationError(
            f"the node's transaction does not hash to 0x{transaction_hash.hex()}",
            "use another node",
            expected=transaction_hash,
            actual=transaction.hash,
        )
    if transaction.sender is None:
        raise VerificationError("the transaction's signature is none", "use another node")
    return transaction.sender


def _call(data: bytes, *, succeeded: bool) -> Call | None:
    try:
        return decode_call(data)
    except VerificationError as error:
        if succeeded:
            raise VerificationError(f"{error.what}; yet its receipt says it succeeded", "use another node") from error
        raise


def _receipt_findings(
    transaction: Transaction, logs: Sequence[Log], chain_id: int, *, succeeded: bool
) -> Iterator[str]:
    if transaction.chain_id not in (None, chain_id):
        yield f"the transaction is signed for chain {transaction.chain_id}, the node serves {chain_id}"
    if len({(log.block_number, log.block_hash, log.transaction_index) for log in logs}) > 1:
        yield "the receipt's events are of several transactions"
    if logs and not succeeded:
        yield "the receipt has events, and says that the transaction failed"


def _item(sent: _Sent | None, outcome: Accepted | Rejected | None, separator: bytes, sender: Address | None) -> Item:
    """Take apart what was sent or, where that is not known, what its event says was."""
    findings: list[str] = []
    if sent is not None:
        findings += _differences(sent, outcome, sender)
    elif isinstance(outcome, Accepted):
        sent = _Sent.by_event(outcome)
        if sent.is_own:
            findings.append("an accepted own reading that no call of `post` brought")
    elif outcome is not None:
        findings += _device_findings(outcome)
        return Item(outcome.header, None, None, None, outcome.data_digest, outcome, tuple(findings))
    if sent is None:
        raise AssertionError("neither sent nor told")
    divided = sent.divided()
    if divided is None:
        if isinstance(outcome, Rejected) and outcome.reason is not Rejection.MALFORMED:
            findings.append(f"rejected as {reason_name(outcome.reason)}, though it is malformed")
        return Item(sent.header, sent.payload, None, None, keccak256(sent.payload), outcome, tuple(findings))
    batch = Batch(sent.header, divided[0])
    signature = None if sent.is_own else _signature(batch, divided[1], separator)
    findings += _judgement_findings(signature, outcome)
    readings, data_digest = tuple(_readings(batch)), keccak256(batch.data)
    return Item(sent.header, sent.payload, readings, signature, data_digest, outcome, tuple(findings))


def _differences(sent: _Sent, outcome: Accepted | Rejected | None, sender: Address | None) -> Iterator[str]:
    """Hold an event against what was sent."""
    if outcome is None:
        return
    told = outcome.batch.header if isinstance(outcome, Accepted) else outcome.header
    if told != sent.header:
        yield "the event's header is not the one that was sent"
    if isinstance(outcome, Accepted):
        if _Sent.by_event(outcome).payload != sent.payload:
            yield "the event's payload is not the one that was sent"
        return
    divided = sent.divided()
    if outcome.data_digest != keccak256(divided[0] if divided else sent.payload):
        yield "the event's data digest is not of what was sent"
    yield from _device_findings(outcome)
    if outcome.sender != sender:
        yield f"the event's sender is {outcome.sender}, the transaction's {sender}"


def _device_findings(outcome: Rejected) -> Iterator[str]:
    if outcome.device != outcome.header.device:
        yield "the event's device is not its header's"


def _judgement_findings(signature: Signature | None, outcome: Accepted | Rejected | None) -> Iterator[str]:
    """Hold the outcome of what is well formed against its signature."""
    if isinstance(outcome, Accepted):
        if signature is not None and not signature.verifies:
            yield "accepted, though the signature is not the device's"
        if any(verdict & ~sum(Verdict) for verdict in set(outcome.verdicts.tolist())):
            yield "a verdict with flags that no rule has"
    elif isinstance(outcome, Rejected):
        name = reason_name(outcome.reason)
        own = {Rejection.SENDER_IS_CODE, Rejection.UNKNOWN_DEVICE, Rejection.REVOKED_DEVICE, Rejection.WRONG_SEQUENCE}
        if outcome.reason is Rejection.MALFORMED or (signature is None and outcome.reason not in own):
            yield f"rejected as {name}, though it is well formed"
        elif signature is not None and outcome.reason is Rejection.SENDER_IS_CODE:
            yield f"rejected as {name}, which a batch never is"
        elif signature is not None and signature.verifies and outcome.reason is Rejection.WRONG_SIGNATURE:
            yield f"rejected as {name}, though the signature is the device's"
        elif signature is not None and not signature.verifies and outcome.reason is Rejection.WRONG_SEQUENCE:
            yield f"rejected as {name}, though its wrong signature is looked at first"


def reason_name(reason: Rejection) -> str:
    """Name a reason in words."""
    return reason.name.lower().replace("_", " ")


def _readings(batch: Batch) -> Iterator[Reading]:
    kind = Format(batch.header.format)
    found = decode(batch)
    columns = (column.tolist() for column in (found.measured_at, found.temperature, found.humidity))
    offset = 0
    for i, (measured_at, temperature, humidity) in enumerate(zip(*columns, strict=True)):
        width = 4 if kind is Format.DELTA and i == 0 else WIDTHS[kind]
        data = batch.data[offset : offset + width]
        change = ""
        if kind is Format.TIMED:
            change = f"{int.from_bytes(data[:2], 'big'):+} s"
        elif kind is Format.DELTA and i:
            warmer, damper = (int.from_bytes(data[at : at + 1], "big", signed=True) for at in (0, 1))
            change = f"{warmer / 100:+.2f} degC, {damper / 100:+.2f} %RH"
        yield Reading(offset, data, batch.header.first_sequence + i, measured_at, temperature, humidity, change)
        offset += width


def _signature(batch: Batch, signature: bytes, separator: bytes) -> Signature:
    digest = batch_digest(batch, separator)
    names: Iterable[str] = ("r", "vs: s, top bit R's parity (EIP-2098)")
    kind = "secp256k1"
    if len(signature) == P256_LENGTH:
        kind, names = "P-256", ("r", "s", "x of the public key", "y of the public key")
    start = len(batch.data)
    pieces = tuple(Piece(start + 32 * i, signature[32 * i : 32 * i + 32], name) for i, name in enumerate(names))
    verifies = verify(digest, signature, batch.header.device)
    return Signature(kind, pieces, separator, struct_hash(batch), digest, verifies)
