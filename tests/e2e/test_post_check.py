"""`post --check` says what sending would do, and does nothing; `post` refuses what would be mostly illegal."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import INDOOR_START, Terminal, readings_csv, terminal_at
from conftest import Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.gateway.outbox import Outbox
from sensetrail.sensor.source import ReadOptions, read_source

HEADER = "device,time,temperature,humidity\n"
INPUT = 2


@pytest.fixture
def site(fresh_devnet: Chain) -> Site:
    return make_site(fresh_devnet)


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    return terminal_at(site, tmp_path, "A", "B")


def rows(values: list[tuple[str, float, float]], every: int = 30) -> str:
    return HEADER + "".join(
        f"{device},{INDOOR_START + every * i},{temperature},{humidity}\n"
        for i, (device, temperature, humidity) in enumerate(values)
    )


def write(terminal: Terminal, text: str, name: str = "r.csv") -> str:
    (terminal.folder / name).write_text(text)
    return name


def test_a_check_tells_what_sending_does_then(terminal: Terminal, site: Site) -> None:
    """Its verdicts are the registry's, its batches those that are sent, and its gas is near what is paid."""
    values = [("A" if i % 3 else "B", 20 + 0.1 * (i % 9), 50.0) for i in range(240)]
    values[100] = ("A", 85.0, 50.0)
    values[200] = ("A", 20.0, 4.0)
    file = write(terminal, rows(values))
    before = site.chain.latest_block().number
    checked = terminal.json("post", file, "--check", "--devnet-clock", SENSETRAIL_PASSWORD=None)
    assert site.chain.latest_block().number == before
    assert not terminal.workspace.outbox.exists()
    assert checked["sent"] is False
    sent = terminal.json("post", file, "--devnet-clock")
    assert sum(device["illegal"] for device in checked["devices"].values()) == sent["illegal"] > 0
    reasons = [reason for device in checked["devices"].values() for reason in device["reasons"]]
    assert {reason.replace(" ", "_") for reason in reasons} == set(sent["flags"])
    assert checked["transactions"] == sent["transactions"]
    assert checked["batches"] == {kind: entry["batches"] for kind, entry in sent["formats"].items()}
    assert abs(checked["gas"] - sent["gas_used"]) < 0.2 * sent["gas_used"]
    again = terminal.json("post", file, "--check", "--devnet-clock")
    assert again["transactions"] == 0
    assert {device["known"] for device in again["devices"].values()} == {80, 160}


def test_own_transactions_are_forecast_too(terminal: Terminal) -> None:
    readings_csv(terminal.folder / "r.csv", ["A"], 5)
    for name in ("A",):
        terminal.done("device", "fund", name)
    checked = terminal.json("post", "r.csv", "--check", "--own", "--devnet-clock")
    sent = terminal.json("post", "r.csv", "--own", "--devnet-clock")
    assert checked["transactions"] == sent["transactions"] == 5
    assert abs(checked["gas"] - sent["gas_used"]) < 0.2 * sent["gas_used"]


def test_a_check_says_what_is_understood(terminal: Terminal) -> None:
    text = "device;time;Temperature (°F);humidity\n" + "".join(
        f"A;2026-01-01 0{1 + i}:00:00;70,{i};50,1\n" for i in range(4)
    )
    said = terminal.done("post", write(terminal, text, "f.csv"), "--check", "--zone", "Europe/Berlin", "--devnet-clock")
    for part in (
        "f.csv: CSV, semicolons between columns, decimal commas",
        "temperature from 'Temperature (°F)'",
        "CONVERTED: temperature from F",
        "4 times without an offset taken as Europe/Berlin",
        "2026-01-01 00:00:00",
        "3600",
        "21.11 to 21.28",
        "nothing was signed or sent",
    ):
        assert part in said, part


def test_a_mostly_illegal_file_is_not_sent_unless_asked_for(terminal: Terminal, site: Site) -> None:
    file = write(terminal, rows([("A", 70.7, 50.1), ("A", 70.9, 50.2)]))
    before = site.chain.latest_block().number
    said, to_do = terminal.fails(INPUT, "post", file, "--devnet-clock")
    assert "2 of 2 readings would be illegal" in said
    assert "--unit temperature=F" in said
    assert "--anyway" in to_do
    assert site.chain.latest_block().number == before
    assert "refuses that without --anyway" in terminal.run("post", file, "--check", "--devnet-clock").err
    assert terminal.json("post", file, "--unit", "temperature=F", "--devnet-clock")["illegal"] == 0


def test_what_is_asked_for_is_sent_and_half_is_not_most(terminal: Terminal) -> None:
    half = write(terminal, rows([("A", 20.0, 50.0), ("A", 90.0, 50.0)]))
    assert terminal.json("post", half, "--devnet-clock")["illegal"] == 1
    most = write(terminal, rows([("B", 90.0, 50.0), ("B", 90.0, 50.0), ("B", 90.0, 50.0)]))
    assert terminal.json("post", most, "--devnet-clock", "--anyway")["illegal"] == 3


def test_a_pipe_and_options_that_cannot_be(terminal: Terminal) -> None:
    file = write(terminal, rows([("A", 20.0, 50.0)]))
    for options, said in (
        (("--zone", "Mars/Phobos"), "no time zone is named 'Mars/Phobos'"),
        (("--unit", "temperature=R"), "temperature in 'R': no such unit"),
        (("--unit", "pressure=Pa"), "is not NAME=VALUE"),
        (("--column", "temperature"), "is not NAME=VALUE"),
        (("--column", "time=time", "--column", "time=humidity"), "names time twice"),
        (("--time-unit", "h"), "is not one of s, ms, us, ns, excel"),
        (("--last-line", "guess"), "is not one of keep, drop"),
        (("--decimal", "x"), "is not a decimal sign"),
        (("--delimiter", "ab"), "cannot be a delimiter"),
        (("--encoding", "klingon"), "no encoding is named"),
        (("--device", "a/b"), "cannot be a name"),
    ):
        assert said in terminal.fails(INPUT, "post", file, "--check", *options)[0], options


def test_an_export_is_read_back_as_it_was_written(terminal: Terminal) -> None:
    """Negative numbers stay numbers, and a name that a spreadsheet would calculate comes back as the name."""
    terminal.done("device", "new", "=A")
    terminal.done("device", "register", "=A")
    sent = [("=A", -40.0, 0.0), ("B", -0.01, 50.25), ("=A", -39.99, 100.5), ("B", 0.0, 50.0)]
    terminal.done("post", write(terminal, rows(sent)), "--devnet-clock", "--anyway")
    terminal.done("index")
    terminal.done("query", "readings", "--out", "export.csv")
    text = (terminal.folder / "export.csv").read_text()
    assert ",-40," in text
    assert '"\'=A"' in text
    named = ReadOptions(columns={"device": "name"})
    found = {
        (name, *values)
        for name, m in read_source(terminal.folder / "export.csv", named).measurements.items()
        for values in zip(m.measured_at.tolist(), m.temperature.tolist(), m.humidity.tolist(), strict=True)
    }
    assert found == {
        (name, INDOOR_START + 30 * i, round(100 * temperature), round(100 * humidity))
        for i, (name, temperature, humidity) in enumerate(sent)
    }
    again = terminal.json("post", "export.csv", "--check", "--devnet-clock")
    assert again["transactions"] == 0


def test_a_rehearsal_leaves_the_outbox_as_it_is(tmp_path: Path, site: Site) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path) as outbox:
        outbox.queue(site.device_address, site.measurements(3), site.registry.state(site.device_address))
    before = path.read_bytes()
    with Outbox.rehearsal(path) as copy:
        found = copy.pending(site.device_address)
        assert found is not None
        assert len(found.measurements) == 3
        copy.mark_accepted(site.device_address, [0, 1, 2])
        assert copy.pending(site.device_address) is None
    assert path.read_bytes() == before


def test_a_p256_key_s_batches_are_forecast(terminal: Terminal) -> None:
    terminal.done("device", "new", "meter", "--p256")
    terminal.done("device", "register", "meter")
    readings_csv(terminal.folder / "r.csv", ["meter"], 30)
    checked = terminal.json("post", "r.csv", "--check", "--batch", 5, "--devnet-clock")
    sent = terminal.json("post", "r.csv", "--batch", 5, "--devnet-clock")
    assert checked["transactions"] == sent["transactions"] == 6
    assert abs(checked["gas"] - sent["gas_used"]) < 0.05 * sent["gas_used"]


def test_what_is_understood_is_said_before_there_is_a_key_or_a_node(tmp_path: Path) -> None:
    alone = Terminal(tmp_path)
    file = write(alone, rows([("nobody", 20.0, 50.0)]))
    result = alone.run("post", file, "--check")
    assert result.code == INPUT
    assert "r.csv: CSV, commas between columns" in result.out
    assert "20.00 to 20.00" in result.out
    assert "'nobody' has no key" in result.err
