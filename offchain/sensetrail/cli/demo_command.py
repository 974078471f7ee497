"""The command `demo`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from sensetrail.cli.output import note, print_json, print_section, progress_bar, say
from sensetrail.cli.reading_options import (
    AnyTime,
    ColumnNames,
    DecimalSign,
    DelimiterName,
    EncodingName,
    LastLineName,
    OneDevice,
    TimeForm,
    TimeUnitName,
    UnitNames,
    ZoneName,
    read_file,
    read_options,
)
from sensetrail.cli.session import Json
from sensetrail.errors import WorkspaceError
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    from sensetrail.demo.room import Room
    from sensetrail.sensor.source import ReadOptions

SIMULATED_START = 1_767_225_600
"""2026-01-01 00:00 UTC: the simulated night."""
SEED = 0


def demo(
    readings: Annotated[
        Path | None, typer.Option(help="Real readings (CSV or Parquet) instead of the simulated room.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for what it makes; a workspace.")] = Path("sensetrail-demo"),
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave the chain up until Ctrl-C, to try other commands on it.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The chain's port (default: any free one).")
    ] = None,
    columns: ColumnNames = None,
    units: UnitNames = None,
    device: OneDevice = None,
    zone: ZoneName = None,
    time_unit: TimeUnitName = None,
    time_format: TimeForm = None,
    any_time: AnyTime = False,
    delimiter: DelimiterName = None,
    decimal: DecimalSign = None,
    encoding: EncodingName = None,
    last_line: LastLineName = None,
    skip_invalid: Annotated[
        bool, typer.Option(help="Leave out rows that hold no reading, and say how many: nothing here is for good.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Run the paper's two experiments on a local chain, anchor and audit the models, and write a report page.

    Example: sensetrail demo --readings readings.csv --out my-demo
    """
    from sensetrail.chain.devnet import running_devnet
    from sensetrail.cli.chain_commands import wait_for_signal
    from sensetrail.demo.run import SETUP_TIME, Demo

    options = read_options(
        columns,
        units,
        device,
        zone,
        time_unit,
        time_format,
        any_time,
        delimiter,
        decimal,
        encoding,
        last_line,
        skip_invalid,
    )
    room = _room(readings, options)
    workspace = _fresh(out)
    with running_devnet(port, room.start - SETUP_TIME) as chain:
        with progress_bar(quiet=as_json) as progress:
            demonstration = Demo(chain, room, workspace, SEED, on_progress=_Bars(progress).update)
            if not as_json:
                demonstration.on_section = print_section
            page = demonstration.run()
        print_json(demonstration.results) if as_json else say(f"\nreport: {page}")
        if keep_running:
            note(f"try: sensetrail predict humidity --temperature 28.3 --workspace {out} --rpc {chain.endpoint.name}")
            note("Ctrl-C ends the chain")
            wait_for_signal()


class _Bars:
    """A progress bar for each description."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._name = ""
        self._task = progress.add_task("", visible=False)

    def update(self, description: str, done: int, total: int) -> None:
        if description != self._name:
            self._progress.remove_task(self._task)
            self._name, self._task = description, self._progress.add_task(description, total=total)
        self._progress.update(self._task, completed=done)


def _room(readings: Path | None, options: ReadOptions) -> Room:
    from sensetrail.demo.room import Room
    from sensetrail.sensor.room import simulate

    if readings is None:
        return Room("the simulated room", simulate(SIMULATED_START, SEED), simulated=True)
    source = read_file(readings, options)
    return Room.of(source.understood.file, source.measurements, source.understood.remarks())


def _fresh(out: Path) -> Workspace:
    """Empty the folder of an earlier demo; refuse one that holds anything else."""
    marker = out / "demo-workspace"
    if out.exists():
        if not marker.is_file() and any(out.iterdir()):
            raise WorkspaceError(f"{out} holds something else than a demo", "name another folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    marker.write_text("Made by `sensetrail demo`, which replaces this folder's contents when it runs again.\n")
    return Workspace(out)
