"""What `post` prints: what is understood of a file, what would become of its readings, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sensetrail.cli.output import print_json, print_table, say, warn
from sensetrail.core.text import printable
from sensetrail.report.section import Table

if TYPE_CHECKING:
    from sensetrail.core.reading import Measurements
    from sensetrail.gateway.forecast import DeviceForecast, Forecast
    from sensetrail.gateway.sender import Sent
    from sensetrail.sensor.source import Source

GWEI, ETHER = 10**9, 10**18
"""Wei."""


def say_briefly(source: Source, ahead: Forecast) -> None:
    """Say in two lines what is understood and what it would become; more is what --check says."""
    understood = source.understood
    readings = list(source.measurements.values())
    degrees = _span(min(r.temperature.min() for r in readings), max(r.temperature.max() for r in readings))
    humidity = _span(min(r.humidity.min() for r in readings), max(r.humidity.max() for r in readings))
    units = [f"{part} converted from {unit}" for part, unit in understood.converted().items()]
    notes = "".join(f", {text}" for text in (*units, *understood.time_words()))
    say(
        f"{understood.file}: {understood.form}; {_counted(len(readings), 'device')}, "
        f"{degrees} degC, {humidity} %RH{notes}"
    )
    first, last = min(int(r.measured_at[0]) for r in readings), max(int(r.measured_at[-1]) for r in readings)
    say(
        f"{_utc(first)} to {_utc(last)}; {_counted(ahead.readings, 'reading')} to send in "
        f"{_counted(ahead.transactions, 'transaction')}, about {ahead.gas:,} gas; {ahead.illegal} would be illegal"
    )


def print_understood(source: Source) -> None:
    """Say what was understood of a file: it needs no node, no key and no registered device."""
    from sensetrail.core.cadence import cadence

    for line in source.understood.lines():
        say(line)
    rows = []
    for name, readings in source.measurements.items():
        found = cadence(readings)
        rows.append(
            (
                printable(name),
                str(len(readings)),
                _utc(found.first).removesuffix(" UTC"),
                _utc(found.last).removesuffix(" UTC"),
                str(found.interval),
                str(found.gaps),
                str(found.longest_gap),
                _span(readings.temperature.min(), readings.temperature.max()),
                _span(readings.humidity.min(), readings.humidity.max()),
            )
        )
    columns = ("device", "readings", "first (UTC)", "last (UTC)", "every, s", "gaps", "longest, s", "degC", "%RH")
    say("")
    print_table(Table(columns, rows, frozenset({1, 4, 5, 6})))


def print_forecast(ahead: Forecast, gas_price: int | None) -> None:
    """Say what would become of readings, and what it would cost."""
    say("\nWhat the registry would say")
    judged = [
        (
            printable(name),
            str(len(each.readings)),
            str(each.known),
            str(len(each.readings) - each.illegal),
            str(each.illegal),
            ", ".join(f"{count} {reason}" for reason, count in each.reasons().items()) or "-",
        )
        for name, each in ahead.devices.items()
    ]
    heading = ("device", "to send", "sent or queued before", "legal", "illegal", "why")
    print_table(Table(heading, judged, frozenset({1, 2, 3, 4})))
    for name, each in ahead.devices.items():
        if each.illegal:
            say(f"the first illegal one of {printable(name)}: {_first_illegal(each)}")
    say(f"\n{_cost(ahead, gas_price)}")
    for each in ahead.devices.values():
        if (hint := each.unit_hint()) is not None:
            warn(hint)
    if 2 * ahead.illegal > ahead.readings:
        warn("more than half would be illegal, for good: `post` refuses that without --anyway")
    say("checked only: nothing was signed or sent")


def check_json(source: Source, ahead: Forecast, gas_price: int | None) -> dict[str, Any]:
    """Give a dry run's result for programs; times in Unix seconds, gas price in wei."""
    from dataclasses import asdict

    from sensetrail.core.cadence import cadence

    return {
        "understood": source.understood.to_json(),
        "devices": {
            name: {
                "device": each.device,
                "readings": len(source.measurements[name]),
                **asdict(cadence(source.measurements[name])),
                "to_send": len(each.readings),
                "known": each.known,
                "legal": len(each.readings) - each.illegal,
                "illegal": each.illegal,
                "reasons": each.reasons(),
                "hint": each.unit_hint(),
            }
            for name, each in ahead.devices.items()
        },
        "transactions": ahead.transactions,
        "batches": {kind.name.lower(): count for kind, count in ahead.batches.items()},
        "gas": ahead.gas,
        "gas_price": gas_price,
        "mostly_illegal": 2 * ahead.illegal > ahead.readings,
        "sent": False,
    }


def report(sent: list[Sent], source: Source, as_json: bool) -> None:
    """Say what was sent, and what the registry said of it."""
    import numpy as np

    from sensetrail.core.rules import Verdict

    verdicts = np.concatenate([np.zeros(0, np.uint8), *(transaction.verdicts for transaction in sent)])
    flags = {(flag.name or "").lower(): int((verdicts & flag != 0).sum()) for flag in Verdict if flag}
    gas_used = sum(transaction.gas_used for transaction in sent)
    formats = _formats(sent)
    result = {
        "readings": len(verdicts),
        "transactions": len(sent),
        "gas_used": gas_used,
        "gas_per_reading": round(gas_used / len(verdicts), 2) if len(verdicts) else None,
        "formats": formats,
        "illegal": int((verdicts != 0).sum()),
        "flags": {name: count for name, count in flags.items() if count},
        "skipped_rows": source.skipped,
        "understood": source.understood.to_json(),
    }
    if as_json:
        print_json(result)
        return
    why = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in flags.items() if count)
    say(
        f"{_counted(len(verdicts), 'reading')} sent in {_counted(len(sent), 'transaction')} for {gas_used} gas; "
        f"{result['illegal']} judged illegal{f' ({why})' if why else ''}, {source.skipped} rows skipped"
    )
    if formats:
        chosen = ", ".join(
            f"{entry['readings']} as {name} in {entry['batches']} batch{'es' * (entry['batches'] > 1)}"
            for name, entry in formats.items()
        )
        say(f"chosen for the least gas: {chosen}; {result['gas_per_reading']} gas a reading")


def _formats(sent: list[Sent]) -> dict[str, dict[str, int]]:
    """Count batches and readings by format; own transactions, which have no choice, are left out."""
    from sensetrail.core.batch import Format

    counts: dict[str, dict[str, int]] = {}
    for delivery in (delivery for transaction in sent for delivery in transaction.deliveries):
        if delivery.kind is not Format.OWN:
            entry = counts.setdefault(delivery.kind.name.lower(), {"batches": 0, "readings": 0})
            entry["batches"] += 1
            entry["readings"] += len(delivery.verdicts)
    return counts


def _cost(ahead: Forecast, gas_price: int | None) -> str:
    if not ahead.readings:
        return "nothing to send: every reading was sent or queued before"
    batches = ", ".join(f"{count} {kind.name.lower()}" for kind, count in ahead.batches.items())
    how = f" with {_counted(sum(ahead.batches.values()), 'batch', 'batches')} ({batches})" if batches else ""
    said = f"{_counted(ahead.readings, 'reading')} in {_counted(ahead.transactions, 'transaction')}{how}, "
    said += f"about {ahead.gas:,} gas, {ahead.gas / ahead.readings:,.0f} a reading"
    if gas_price is not None:
        said += f"; at {gas_price / GWEI:.2f} gwei about {ahead.gas * gas_price / ETHER:.6f} ether"
    return said


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _first_illegal(each: DeviceForecast) -> str:
    from sensetrail.core.rules import Verdict

    index = int((each.verdicts != 0).argmax())
    flags = ", ".join(Verdict(int(each.verdicts[index])).reasons())
    readings: Measurements = each.readings
    return (
        f"{_utc(int(readings.measured_at[index]))}, {readings.temperature[index] / 100:.2f} degC, "
        f"{readings.humidity[index] / 100:.2f} %RH: {flags}"
    )


def _span(low: int, high: int) -> str:
    return f"{low / 100:.2f} to {high / 100:.2f}"


def _utc(seconds: int) -> str:
    from sensetrail.core.taint import utc

    return utc(seconds)
