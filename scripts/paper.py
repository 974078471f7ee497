#!/usr/bin/env python3
"""The paper's two experiments on a local chain: prints Table 1 and the traceability figures, draws Figure 4.

    scripts/paper.py OUT-FOLDER [READINGS-FILE]        (default: the simulated room)

The same as `sensetrail demo`, which prints everything; here for the public API's sake.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sensetrail.chain.devnet import running_devnet
from sensetrail.demo.room import Room
from sensetrail.demo.run import SETUP_TIME, Demo
from sensetrail.errors import SensetrailError
from sensetrail.report.section import Section
from sensetrail.sensor.room import simulate
from sensetrail.sensor.source import read_source
from sensetrail.workspace import Workspace

MIDNIGHT = 1_767_225_600


def main(out: Path, readings: Path | None) -> None:
    """Run both experiments and print their sections."""
    if readings is None:
        room = Room("the simulated room", simulate(MIDNIGHT, seed=0), simulated=True)
    else:
        room = Room.of(readings.name, read_source(readings).measurements)
    workspace = Workspace(out)
    workspace.root.mkdir(parents=True, exist_ok=False)
    with running_devnet(timestamp=room.start - SETUP_TIME) as chain:
        Demo(chain, room, workspace, seed=0, on_section=show).run()
    print(f"Figure 4: {workspace.root / 'figure-4.png'}")


def show(section: Section) -> None:
    """Print a section if it is one of the paper's."""
    if section.table is None or not section.title.startswith(("Table 1", "Figure 4")):
        return
    print(section.title)
    for row in (section.table.columns, *section.table.rows):
        print("  " + "  ".join(f"{cell:>14}" for cell in row))
    for note in section.notes:
        print(note)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder that does not exist yet")
    parser.add_argument("readings", nargs="?", type=Path, help="CSV or Parquet instead of the simulated room")
    try:
        main(**vars(parser.parse_args()))
    except SensetrailError as error:
        sys.exit(f"{error.what}\n{error.to_do}")
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
