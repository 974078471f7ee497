"""What `decode` prints of a transaction: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sensetrail.cli.output import print_table, say
from sensetrail.core.batch import Format
from sensetrail.core.events import Accepted, Event, Rejected
from sensetrail.core.explain import (
    Explanation,
    Item,
    Piece,
    Reading,
    exception_pieces,
    flag_names,
    header_pieces,
    reason_name,
)
from sensetrail.core.primitives import Address, hex_word
from sensetrail.core.text import printable
from sensetrail.core.transaction import Transaction
from sensetrail.report.section import Table

if TYPE_CHECKING:
    from sensetrail.chain.answers import Receipt

FIRST, LAST = 5, 2
"""How many of a long batch's readings are shown, unless all are asked for."""
FORMATS = {
    0: "temperature (2 bytes, signed), humidity (2)",
    1: "each reading: seconds since the reading before (2 bytes), temperature (2, signed), humidity (2)",
    2: "each reading: temperature (2 bytes, signed), humidity (2)",
    3: "the first reading: temperature (2 bytes, signed), humidity (2); each other: their changes (1 each, signed)",
}
"""What the readings' bytes are, by format."""
HEAD = "keccak256 of the head before (20 bytes), the header (32) and the data digest (32); its first 20 bytes"


def print_explanation(
    explanation: Explanation, transaction: Transaction, receipt: Receipt, registry: Address, *, show_all: bool
) -> None:
    """Print it for people; of a long batch only the ends, unless `show_all`."""
    call = explanation.call
    say(f"transaction  {hex_word(receipt.transaction_hash)}, says the node: in block {receipt.block_number}")
    say(f"signed by    {explanation.sender}")
    if call is not None:
        say(f"calls        {call.function} of {registry}")
        if not call.is_canonical:
            say("             laid out otherwise than an ABI encoder does it; read as the registry reads it")
    elif transaction.to == registry:
        say(f"calls        selector 0x{transaction.data[:4].hex()} of {registry}: a function that brings no readings")
    else:
        say(f"calls        {transaction.to}, through which the registry {registry} was called: its events tell of what")
    if not receipt.succeeded:
        say("FAILED       nothing of it counts")
    for number, item in enumerate(explanation.items, 1):
        say(f"\n{'reading' if item.header.format == 0 else 'batch'} {number} of {len(explanation.items)}")
        _print_item(item, show_all=show_all)
    for event in explanation.others:
        say(f"\nevent {type(event).__name__}: {printable(str(_plain_event(event)))}")
    if explanation.items:
        say("\nnot proven here: that the receipt is the chain's, verdicts, heads: they depend on the state before.")
        say("`sensetrail audit` replays the whole history.")


def _print_item(item: Item, *, show_all: bool) -> None:
    meanings = _header_meanings(item)
    say(f"header {hex_word(item.header.pack().to_bytes(32, 'big'))}")
    rows = [_row(piece, meanings[piece.meaning]) for piece in header_pieces(item.header)]
    print_table(Table(("byte", "hex", "meaning"), rows, frozenset({0})))
    if item.readings is not None:
        what = "data, which the head commits to" if item.signature is None else "payload, readings and signature"
        say(f"\n{what}, {len(item.payload or b'')} bytes; {FORMATS[item.header.format]}")
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
    verdicts = item.outcome.verdicts.tolist() if isinstance(item.outcome, Accepted) else [None] * len(readings)
    rows: list[tuple[str, ...]] = []
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
    digest = hex_word(item.data_digest)
    match item.outcome:
        case Accepted() as accepted:
            pieces = exception_pieces(accepted)
            say(f"\naccepted: {len(accepted.verdicts) - len(pieces)} legal, {len(pieces)} not")
            if pieces and item.signature is not None:
                rows = [_row(piece, piece.meaning) for piece in pieces]
                print_table(Table(("byte", "hex", "exception: index (2), verdict (1)"), rows, frozenset({0})))
            say(f"data digest       {digest}")
            say(f"head after        {HEAD}")
        case Rejected() as rejected:
            say(f"\nREJECTED: {reason_name(rejected.reason)}; the device's state is as before")
            say(f"sender            {rejected.sender}")
            say(f"data digest       {digest}")
        case None:
            say("\nno event tells what became of it")
            say(f"data digest       {digest}")


def _header_meanings(item: Item) -> dict[str, str]:
    header = item.header
    format_name = Format(header.format).name.lower() if header.format in set(Format) else "which there is none of"
    return {
        "device": f"device {header.device}",
        "start": f"start {_iso(header.start)} ({header.start})",
        "period": f"period {header.period} s" + ("" if header.format in (2, 3) else ", without meaning in this format"),
        "first sequence number": f"first sequence number {header.first_sequence}",
        "count": f"count {header.count}",
        "format": f"format {header.format}, {format_name}",
    }


def _row(piece: Piece, meaning: str) -> tuple[str, str, str]:
    return str(piece.offset), piece.data.hex(), meaning


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain_event(event: Event) -> dict[str, Any]:
    """Give an event's fields as JSON takes them."""
    return {name: hex_word(value) if isinstance(value, bytes) else value for name, value in asdict(event).items()}


def explanation_json(
    explanation: Explanation, transaction: Transaction, receipt: Receipt, registry: Address, chain_id: int
) -> dict[str, Any]:
    """Give all of it as JSON."""
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
    header = item.header
    meanings = _header_meanings(item)
    fields = [{**_json_piece(piece), "meaning": meanings[piece.meaning]} for piece in header_pieces(header)]
    verdicts = item.outcome.verdicts.tolist() if isinstance(item.outcome, Accepted) else None
    return {
        "header": {"word": hex_word(header.pack().to_bytes(32, "big")), **asdict(header), "fields": fields},
        "payload": None if item.payload is None else hex_word(item.payload),
        "readings": None if item.readings is None else list(_json_readings(item.readings, verdicts)),
        "signature": _json_signature(item),
        "head": {"data_digest": hex_word(item.data_digest), "after": HEAD},
        "outcome": _json_outcome(item),
        "findings": list(item.findings),
    }


def _json_readings(readings: Sequence[Reading], verdicts: Sequence[int] | None) -> Iterable[dict[str, Any]]:
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
