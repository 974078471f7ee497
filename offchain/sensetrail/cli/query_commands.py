"""The commands `query`: what the index says, for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensetrail.cli.indexed import open_store, standing
from sensetrail.cli.output import give_up_stdout, line_width, note, print_json, say
from sensetrail.cli.session import DEFAULT_FOLDER, Folder, Json, StoreUrl, device_address, parse_time
from sensetrail.errors import InputError, WorkspaceError
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from sensetrail.chain.deployment import Deployment
    from sensetrail.core.primitives import Address
    from sensetrail.indexer.formats import RowFormat
    from sensetrail.indexer.query import Wanted
    from sensetrail.indexer.store import Cursor, Store

query = typer.Typer(
    help="Readings, rejections, devices and models, as the index has them: no node is asked.", no_args_is_help=True
)

FORMATS = ("table", "csv", "json", "jsonl", "parquet")
SHOWN = {
    "readings": ("measured_at", "device", "sequence", "temperature", "humidity", "flags", "block_number", "proven"),
    "rejections": ("block_time", "device", "reason", "sender", "count", "block_number", "proven"),
    "devices": ("address", "profile", "readings", "legal", "last_time", "untrusted_since", "proven"),
    "models": ("block_time", "task", "weights_digest", "recalled", "reason", "proven"),
}
"""What a table shows; the other formats have every column."""

Devices = Annotated[
    list[str] | None, typer.Option("--device", help="Only this device (name or address); may be repeated.")
]
Since = Annotated[str | None, typer.Option(help="Only what is at or after this (time).")]
Until = Annotated[str | None, typer.Option(help="Only what is before this (time).")]
Limit = Annotated[int | None, typer.Option(min=0, help="So many rows at the most.")]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="table, csv, json, jsonl or parquet (default: what --out ends in, else table).",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Write into this file, which appears, or is replaced, when all is written.")
]


@dataclass(frozen=True, slots=True)
class _Output:
    """Where rows go.

    Attributes:
        form: How.
        file: None for standard output.
        as_json: Whether what is said of a file is JSON.
        limit: How many at the most.
    """

    form: RowFormat
    file: Path | None
    as_json: bool
    limit: int | None


@query.command("readings")
def query_readings(
    devices: Devices = None,
    since: Since = None,
    until: Until = None,
    verdict: Annotated[
        list[str] | None,
        typer.Option(help="Only legal or illegal ones, or those with a flag such as humidity_step; may be repeated."),
    ] = None,
    limit: Limit = None,
    form: FormatName = None,
    out: Out = None,
    store: StoreUrl = None,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Give the readings accepted, with the verdicts as judged here again. Times are the readings' own.

    Example: sensetrail query readings --device A --verdict illegal --since 2030-01-01 --out illegal.parquet
    """
    from sensetrail.indexer import query as asked

    output = _output(form, out, as_json, limit)
    place = Workspace(workspace)
    wanted = _wanted(place, devices, since, until, verdict)
    asked.verdict_mask(wanted.verdicts)
    _answer(
        "readings",
        asked.READINGS,
        place,
        store,
        output,
        lambda found, deployment, cursor: asked.readings(
            found.blocks(cursor.number), deployment.sensor_registry, wanted
        ),
    )


@query.command("rejections")
def query_rejections(
    devices: Devices = None,
    since: Since = None,
    until: Until = None,
    verdict: Annotated[
        list[str] | None,
        typer.Option("--verdict", "--reason", help="Only for this reason, such as wrong_signature; may be repeated."),
    ] = None,
    limit: Limit = None,
    form: FormatName = None,
    out: Out = None,
    store: StoreUrl = None,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Give the attempts that never entered a device's history. Times are the blocks'.

    Example: sensetrail query rejections --reason wrong_signature --format csv
    """
    from sensetrail.indexer import query as asked

    output = _output(form, out, as_json, limit)
    place = Workspace(workspace)
    wanted = _wanted(place, devices, since, until, verdict)
    asked.reasons(wanted.verdicts)
    _answer(
        "rejections",
        asked.REJECTIONS,
        place,
        store,
        output,
        lambda found, deployment, cursor: asked.rejections(
            found.blocks(cursor.number), deployment.sensor_registry, wanted
        ),
    )


@query.command("devices")
def query_devices(
    devices: Devices = None,
    limit: Limit = None,
    form: FormatName = None,
    out: Out = None,
    store: StoreUrl = None,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Give the devices: how many readings, how many of them legal, the hash chain's head, since when not trusted.

    Example: sensetrail query devices --json
    """
    from sensetrail.indexer import query as asked

    output = _output(form, out, as_json, limit)
    place = Workspace(workspace)
    wanted = _wanted(place, devices, None, None, None)
    _answer(
        "devices",
        asked.DEVICES,
        place,
        store,
        output,
        lambda found, deployment, cursor: asked.devices(found, deployment.sensor_registry, cursor, wanted),
    )


@query.command("models")
def query_models(
    since: Since = None,
    until: Until = None,
    verdict: Annotated[list[str] | None, typer.Option(help="Only standing ones, or only recalled ones.")] = None,
    limit: Limit = None,
    form: FormatName = None,
    out: Out = None,
    store: StoreUrl = None,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Give the models anchored, and whether they are recalled. Times are those of their blocks.

    Example: sensetrail query models --verdict standing --format jsonl
    """
    from sensetrail.indexer import query as asked

    output = _output(form, out, as_json, limit)
    wanted = _wanted(Workspace(workspace), None, since, until, verdict)
    asked.standings(wanted.verdicts)
    _answer(
        "models",
        asked.MODELS,
        Workspace(workspace),
        store,
        output,
        lambda found, deployment, cursor: asked.models(found.blocks(cursor.number), deployment.model_registry, wanted),
    )


def _wanted(
    place: Workspace, devices: list[str] | None, since: str | None, until: str | None, verdict: list[str] | None
) -> Wanted:
    from sensetrail.indexer.query import Wanted

    return Wanted(
        frozenset(device_address(place, device) for device in devices) if devices else None,
        None if since is None else parse_time(since),
        None if until is None else parse_time(until),
        tuple(verdict or ()),
        _names(place),
    )


def _names(place: Workspace) -> dict[Address, str]:
    """Say what devices are called that have a key in this workspace."""
    from sensetrail.sensor.keystore import names_of

    return names_of(place.keys())


def _output(form: str | None, out: Path | None, as_json: bool, limit: int | None) -> _Output:
    """Settle where rows go and how.

    Raises:
        InputError: That is no way.
    """
    from sensetrail.indexer.formats import RowFormat

    chosen = form
    if chosen is None and out is not None:
        chosen = out.suffix.removeprefix(".").lower()
        if chosen not in FORMATS[1:]:
            raise InputError(
                f"{out.name} does not say its format", "name it .csv, .json, .jsonl or .parquet, or give --format"
            )
    if chosen is None:
        chosen = "json" if as_json else "table"
    if chosen not in FORMATS:
        raise InputError(f"there is no format {chosen!r}", f"give one of: {', '.join(FORMATS)}")
    if as_json and out is None and chosen != "json":
        raise InputError(f"--json and --format {chosen} do not go together", "give one of them")
    if chosen == "parquet" and out is None:
        raise InputError("Parquet is written into a file", "name one: --out FILE.parquet")
    return _Output(RowFormat(chosen), out, as_json, limit)


def _answer(
    kind: str,
    schema: pa.Schema,
    place: Workspace,
    store_url: str | None,
    output: _Output,
    ask: Callable[[Store, Deployment, Cursor], Iterator[pa.RecordBatch]],
) -> None:
    """Read the index as it is, of one moment, and give what was asked for."""
    from sensetrail.disk import replacing
    from sensetrail.indexer.query import limited

    deployment = place.deployment()
    if store_url is None and not place.index.is_file():
        raise WorkspaceError(f"there is no index in {place.root}", "make it: sensetrail index")
    with open_store(place, deployment, store_url, reading=True) as store, store.snapshot():
        cursor = store.cursor()
        if cursor is None:
            raise WorkspaceError("nothing is indexed yet", "index first: sensetrail index")
        rows = _Counted(limited(ask(store, deployment, cursor), output.limit))
        if output.file is None:
            _print(kind, schema, rows, output.form)
        else:
            with replacing(output.file) as partial:
                _write(partial, kind, schema, rows, output.form)
    if output.file is not None:
        _say_written(kind, rows.count, output, cursor)
    elif output.form == "table":
        note(f"{rows.count} {kind} through block {cursor.number}; {_standing(cursor)}")


class _Counted:
    """Rows, counted as they go by."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.count = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.count += len(batch)
            yield batch


def _print(kind: str, schema: pa.Schema, rows: _Counted, form: RowFormat) -> None:
    from sensetrail.indexer.formats import text

    pieces = text(form, schema, rows, SHOWN[kind], width=line_width(), for_terminal=sys.stdout.isatty())
    try:
        # A table is for people, and escapes what their terminal lacks. The others are data: always UTF-8.
        binary = None if form == "table" else getattr(sys.stdout, "buffer", None)
        for piece in pieces:
            if binary is None:
                sys.stdout.write(piece)
            else:
                binary.write(piece.encode())
        sys.stdout.flush()
    except BrokenPipeError:
        give_up_stdout()
        raise typer.Exit from None


def _write(path: Path, kind: str, schema: pa.Schema, rows: _Counted, form: RowFormat) -> None:
    from sensetrail.indexer.formats import text, write_parquet

    if form == "parquet":
        write_parquet(path, schema, rows)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(text(form, schema, rows, SHOWN[kind]))


def _say_written(kind: str, count: int, output: _Output, cursor: Cursor) -> None:
    if output.as_json:
        print_json(
            {
                "file": str(output.file),
                "format": output.form.value,
                "rows": count,
                "through_block": cursor.number,
                "proven": cursor.unproven_through is None,
                "unproven_through": cursor.unproven_through,
            }
        )
        return
    say(f"{count} {kind} through block {cursor.number} in {output.file}\n{_standing(cursor)}")


def _standing(cursor: Cursor) -> str:
    if cursor.unproven_through is None and cursor.anchor_number is None:
        return (
            "proven, every event; the last run of the indexer has not ended: `sensetrail index` says what it stands on"
        )
    return standing(cursor)
