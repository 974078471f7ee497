"""The command `decode`: a transaction's readings, byte by byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensetrail.cli.output import note, print_json, print_table, say, warn
from sensetrail.cli.session import DEFAULT_FOLDER, DEFAULT_RPC, Folder, Json, Rpc, connect_deployment
from sensetrail.core.primitives import hex_word
from sensetrail.errors import InputError, RetryableError, VerificationError
from sensetrail.report.section import Table
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    from sensetrail.chain.client import Chain, Receipt
    from sensetrail.core.events import Accepted, Event
    from sensetrail.core.explain import Explanation, Item, Piece, Reading
    from sensetrail.core.primitives import Address
    from sensetrail.core.transaction import Transaction

FIRST, LAST = 5, 2
"""How many of a long batch's readings are shown, unless all are asked for."""
FORMATS = {
    0: "own",
    1: "timed: 6 bytes a reading: seconds since the reading before (2), temperature (2, signed), humidity (2)",
    2: "regular: 4 bytes a reading: temperature (2, signed), humidity (2)",
    3: "delta: the first reading 4 bytes, temperature (2, signed), humidity (2); each other 2: their changes (1, signed)",
}
PREIMAGE = "keccak256(head before, 20 bytes . header, 32 bytes . data digest, 32 bytes), its first 20 bytes"


def decode(
    transaction: Annotated[str, typer.Argument(metavar="TXHASH", help="The transaction's hash.")],
    show_all: Annotated[bool, typer.Option("--all", help="Show every reading of a long batch.")] = False,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Decode what a transaction brought to the registry, byte by byte, and hold its events against it.

    Example: sensetrail decode 0x8a3f6c1e5b7d9024c6e8f1a3b5d7092c4e6f8a1b3d5c7e9f0a2b4c6d8e1f3a57
    """
    from sensetrail.core.explain import explain

    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", transaction):
        raise InputError(f"{transaction!r} is no transaction's hash", "give 0x and 64 hexadecimal digits")
    transaction_hash = bytes.fromhex(transaction[-64:])
    chain, deployment = connect_deployment(rpc, Workspace(workspace))
    registry = deployment.sensor_registry
    found, receipt = _fetch(chain, transaction_hash)
    if found.to != registry and not any(log.address == registry for log in receipt.logs):
        raise InputError(
            f"transaction {hex_word(transaction_hash)} neither calls the registry {registry} nor left an event of it",
            "give a transaction of this workspace's deployment, or that deployment's --workspace",
        )
    explanation = explain(found, transaction_hash, receipt.logs, registry, chain.chain_id, succeeded=receipt.succeeded)
    if as_json:
        print_json(_json(explanation, found, receipt, registry, chain.chain_id))
    else:
        _print(explanation, found, receipt, registry, show_all=show_all)
    if explanation.findings:
        raise VerificationError(
            f"the receipt cannot be the registry's doing: {'; '.join(explanation.findings)}",
            "this node is not telling the truth: read the transaction from another",
        )


def _fetch(chain: Chain, transaction_hash: bytes) -> tuple[Transaction, Receipt]:
    """Give a transaction that is in a block, and its receipt.

    Raises:
        InputError: There is none.
        RetryableError: It is in no block yet.
        VerificationError: The receipt is another transaction's.
    """
    name = hex_word(transaction_hash)
    transaction = chain.transaction(transaction_hash)
    if transaction is None:
        raise InputError(f"the node at {chain.url} has no transaction {name}", "check the hash, and --rpc")
    receipt = chain.receipt(transaction_hash)
    if receipt is None:
        raise RetryableError(f"transaction {name} is pending: it is in no block yet", "run the command again later")
    if receipt.transaction_hash != transaction_hash:
        raise VerificationError(f"the node's receipt for {name} is another transaction's", "use another node")
    return transaction, receipt


def _print(
    explanation: Explanation, transaction: Transaction, receipt: Receipt, registry: Address, *, show_all: bool
) -> None:
    call = explanation.call
    say(f"transaction  {hex_word(receipt.transaction_hash)}, in block {receipt.block_number}")
    say(f"signed by    {explanation.sender}")
    if call is not None:
        say(f"calls        {call.function} of {registry}")
        if not call.is_canonical:
            note("the call data is laid out otherwise than an ABI encoder does; it is read as the registry reads it")
    elif transaction.to == registry:
        say(f"calls        selector 0x{transaction.data[:4].hex()} of {registry}: a function that brings no readings")
    else:
        say(f"calls        {transaction.to}, through which the registry {registry} was called: its events tell of what")
    if not receipt.succeeded:
        warn("the transaction failed: nothing of it counts")
    for number, item in enumerate(explanation.items, 1):
        say(f"\n{'reading' if item.header.format == 0 else 'batch'} {number} of {len(explanation.items)}")
        _print_item(item, show_all=show_all)
    for event in explanation.others:
        say(f"\nevent {type(event).__name__}: {_plain_event(event)}")
    if explanation.items:
        say(
            "\nnot proven here: that the receipt is the chain's, and verdicts and heads, which depend on the device's state "
            "before; `sensetrail audit` replays its whole history"
        )


def _print_item(item: Item, *, show_all: bool) -> None:
    from sensetrail.core.explain import header_pieces

    meanings = _header_meanings(item)
    say(f"header {hex_word(item.header.pack().to_bytes(32, 'big'))}")
    rows = [_row(piece, meanings[piece.meaning]) for piece in header_pieces(item.header)]
    print_table(Table(("byte", "hex", "meaning"), rows, frozenset({0})))
    if item.readings is not None:
        what = "data, to which the head commits" if item.signature is None else "payload: readings, then signature"
        say(f"\n{what}, {len(item.payload or b'')} bytes")
        _print_readings(item, item.readings, show_all=show_all)
    elif item.payload is not None:
        say(f"\npayload, {len(item.payload)} bytes: not as long as the header announces with a signature of 64 or 128")
        say(f"0x{item.payload.hex()}" if show_all or len(item.payload) <= 256 else f"0x{item.payload[:256].hex()}...")
    if item.signature is not None:
        signature = item.signature
        rows = [_row(piece, piece.meaning) for piece in signature.pieces]
        print_table(Table(("byte", "hex", f"signature ({signature.kind}, by its length)"), rows, frozenset({0})))
        say(f"\ndomain separator  {hex_word(signature.domain_separator)}")
        say(f"struct hash       {hex_word(signature.struct_hash)}")
        say(f"digest            {hex_word(signature.digest)}")
        verdict = "verifies: the device signed this" if signature.verifies else "is NOT the device's"
        say(f"signature         {verdict}")
    elif item.readings is not None:
        say("signature         the transaction's own")
    _print_outcome(item)


def _print_readings(item: Item, readings: Sequence[Reading], *, show_all: bool) -> None:
    from sensetrail.core.events import Accepted
    from sensetrail.core.explain import flag_names

    verdicts = item.outcome.verdicts.tolist() if isinstance(item.outcome, Accepted) else [None] * len(readings)
    rows = []
    for reading, verdict in zip(readings, verdicts, strict=True):
        rows.append(
            (
                str(reading.offset),
                reading.data.hex(),
                str(reading.sequence),
                reading.change,
                _iso(reading.measured_at),
                str(reading.measured_at),
                f"{reading.temperature / 100:.2f}",
                f"{reading.humidity / 100:.2f}",
                "" if verdict is None else ", ".join(flag_names(verdict)) or "legal",
            )
        )
    if not show_all and len(rows) > FIRST + LAST:
        left_out = ("...", f"{len(rows) - FIRST - LAST} more (--all)", *[""] * 7)
        rows = [*rows[:FIRST], left_out, *rows[-LAST:]]
    columns = ("byte", "hex", "sequence", "says", "measured at", "Unix s", "degC", "%RH", "verdict")
    print_table(Table(columns, rows, frozenset({0, 2, 5, 6, 7})))


def _print_outcome(item: Item) -> None:
    from sensetrail.core.events import Accepted, Rejected
    from sensetrail.core.explain import exception_pieces, reason_name

    digest = hex_word(item.data_digest)
    match item.outcome:
        case Accepted() as accepted:
            pieces = exception_pieces(accepted)
            say(f"\naccepted: {len(accepted.verdicts) - len(pieces)} legal, {len(pieces)} not")
            if pieces and item.signature is not None:
                rows = [_row(piece, piece.meaning) for piece in pieces]
                print_table(Table(("byte", "hex", "exception: index (2), verdict (1)"), rows, frozenset({0})))
            say(f"data digest       {digest}")
            say(f"head after        {PREIMAGE}")
        case Rejected() as rejected:
            say(f"\nREJECTED: {reason_name(rejected.reason)}; the device's state is as before")
            say(f"sender            {rejected.sender}")
            say(f"data digest       {digest}")
        case None:
            say("\nno event tells what became of it")
            say(f"data digest       {digest}")


def _header_meanings(item: Item) -> dict[str, str]:
    header = item.header
    return {
        "device": f"device {header.device}",
        "start": f"start {_iso(header.start)} ({header.start})",
        "period": f"period {header.period} s" + ("" if header.format in (2, 3) else ", without meaning in this format"),
        "first sequence number": f"first sequence number {header.first_sequence}",
        "count": f"count {header.count}",
        "format": f"format {header.format}, {FORMATS.get(header.format, 'which there is none of')}",
    }


def _row(piece: Piece, meaning: str) -> tuple[str, str, str]:
    return str(piece.offset), piece.data.hex(), meaning


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain_event(event: Event) -> dict[str, Any]:
    """Give an event's fields as JSON takes them."""
    return {name: hex_word(value) if isinstance(value, bytes) else value for name, value in asdict(event).items()}


def _json(
    explanation: Explanation, transaction: Transaction, receipt: Receipt, registry: Address, chain_id: int
) -> dict[str, Any]:
    call = explanation.call
    return {
        "transaction": hex_word(receipt.transaction_hash),
        "block_number": receipt.block_number,
        "succeeded": receipt.succeeded,
        "chain_id": chain_id,
        "sender": explanation.sender,
        "to": transaction.to,
        "registry": registry,
        "function": None if call is None else call.function,
        "is_canonical": None if call is None else call.is_canonical,
        "items": [_json_item(item) for item in explanation.items],
        "events": [{"event": type(event).__name__, **_plain_event(event)} for event in explanation.others],
        "findings": list(explanation.findings),
    }


def _json_item(item: Item) -> dict[str, Any]:
    from sensetrail.core.events import Accepted
    from sensetrail.core.explain import header_pieces

    header = item.header
    meanings = _header_meanings(item)
    fields = [{**_json_piece(piece), "meaning": meanings[piece.meaning]} for piece in header_pieces(header)]
    verdicts = item.outcome.verdicts.tolist() if isinstance(item.outcome, Accepted) else None
    return {
        "header": {"word": hex_word(header.pack().to_bytes(32, "big")), **asdict(header), "fields": fields},
        "payload": None if item.payload is None else hex_word(item.payload),
        "readings": None if item.readings is None else list(_json_readings(item.readings, verdicts)),
        "signature": _json_signature(item),
        "head": {"data_digest": hex_word(item.data_digest), "after": PREIMAGE},
        "outcome": _json_outcome(item),
        "findings": list(item.findings),
    }


def _json_readings(readings: Sequence[Reading], verdicts: Sequence[int] | None) -> Iterable[dict[str, Any]]:
    from sensetrail.core.explain import flag_names

    for i, reading in enumerate(readings):
        verdict = None if verdicts is None else verdicts[i]
        yield {
            "offset": reading.offset,
            "bytes": hex_word(reading.data),
            "sequence": reading.sequence,
            "says": reading.change,
            "time": _iso(reading.measured_at),
            "measured_at": reading.measured_at,
            "temperature": reading.temperature / 100,
            "humidity": reading.humidity / 100,
            "verdict": verdict,
            "flags": None if verdict is None else flag_names(verdict),
        }


def _json_signature(item: Item) -> dict[str, Any] | None:
    signature = item.signature
    if signature is None:
        return None
    return {
        "kind": signature.kind,
        "pieces": [_json_piece(piece) for piece in signature.pieces],
        "domain_separator": hex_word(signature.domain_separator),
        "struct_hash": hex_word(signature.struct_hash),
        "digest": hex_word(signature.digest),
        "verifies": signature.verifies,
    }


def _json_outcome(item: Item) -> dict[str, Any] | None:
    from sensetrail.core.events import Accepted, Rejected
    from sensetrail.core.explain import exception_pieces, reason_name

    match item.outcome:
        case Accepted() as accepted:
            return {"accepted": True, "exceptions": [_json_piece(piece) for piece in exception_pieces(accepted)]}
        case Rejected() as rejected:
            return {
                "accepted": False,
                "reason": reason_name(rejected.reason),
                "sender": rejected.sender,
                "data_digest": hex_word(rejected.data_digest),
            }
    return None


def _json_piece(piece: Piece) -> dict[str, Any]:
    return {"offset": piece.offset, "bytes": hex_word(piece.data), "meaning": piece.meaning}
