"""`post` at its edges: readers that leave, damaged outboxes, one device under two names, folders nobody may list."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from command import INDOOR_START, Terminal, readings_csv, terminal_at
from conftest import Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.sensor.keystore import key_address

INPUT = 2


@pytest.fixture
def site(fresh_devnet: Chain) -> Site:
    return make_site(fresh_devnet)


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    return terminal_at(site, tmp_path, "A")


def test_sending_goes_on_when_nobody_reads_what_it_says(terminal: Terminal, site: Site) -> None:
    """`post readings.csv | head -0`: what is sent matters more than what is said."""
    readings_csv(terminal.folder / "r.csv", ["A"], 20)
    read, write = os.pipe()
    os.close(read)
    command = [*terminal.command, "post", "r.csv", "--devnet-clock"]
    environment = terminal._environment({})
    result = subprocess.run(
        command, cwd=terminal.folder, env=environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert result.returncode == 0, result
    assert "Traceback" not in result.stderr
    device = key_address(terminal.workspace.key("A"))
    assert site.registry.state(device).sequence == 20


def test_a_damaged_outbox_is_named_by_its_own_path(terminal: Terminal) -> None:
    readings_csv(terminal.folder / "r.csv", ["A"], 500)
    terminal.done("post", "r.csv", "--devnet-clock")
    outbox = terminal.workspace.outbox
    sound = outbox.read_bytes()
    outbox.write_bytes(sound[:100] + b"\xff" * 300 + sound[400:])
    wrong, _ = terminal.fails(INPUT, "post", "r.csv", "--check", "--devnet-clock")
    assert "sensetrail-workspace/outbox.sqlite is damaged" in wrong


def test_one_device_under_two_names_is_refused(terminal: Terminal) -> None:
    device = key_address(terminal.workspace.key("A"))
    rows = f"A,{INDOOR_START},21,50\n{device},{INDOOR_START + 60},21,50\n"
    (terminal.folder / "r.csv").write_text(f"device,time,temperature,humidity\n{rows}")
    wrong, _ = terminal.fails(INPUT, "post", "r.csv", "--check", "--devnet-clock")
    assert "are the same device" in wrong


def test_a_name_that_is_none_is_the_options_fault_and_no_rows(terminal: Terminal) -> None:
    readings_csv(terminal.folder / "r.csv", ["A"], 2)
    wrong, to_do = terminal.fails(INPUT, "post", "r.csv", "--check", "--device", "a/b")
    assert "row" not in wrong
    assert "--skip-invalid" not in to_do


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run as somebody who may do less")
def test_a_folder_that_nobody_may_list_is_not_left_out() -> None:
    """Its readings would be missing, and nobody would know."""
    code = (
        "import os, tempfile; from pathlib import Path; from sensetrail.sensor.parquet_table import parquet_files\n"
        "os.setuid(65534)\n"
        "with tempfile.TemporaryDirectory() as name:\n"
        "    Path(name, 'x.parquet').touch(); Path(name, 'hidden').mkdir(mode=0)\n"
        "    try: print(parquet_files(Path(name)))\n"
        "    except PermissionError: print('refused')\n"
    )
    python = Path(Terminal(Path()).command[0]).with_name("python")
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert said.stdout == "refused\n"


def test_a_check_refuses_own_transactions_of_a_key_that_signs_none(terminal: Terminal) -> None:
    terminal.done("device", "new", "chip", "--p256")
    terminal.done("device", "register", "chip")
    readings_csv(terminal.folder / "r.csv", ["chip"], 2)
    wrong, _ = terminal.fails(3, "post", "r.csv", "--check", "--own", "--devnet-clock")
    assert "signs batches but no transactions" in wrong
    terminal.done("post", "r.csv", "--check", "--devnet-clock")
