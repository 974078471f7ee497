"""The command at every kind of terminal: closed, full, narrow, ASCII only; its version, its completion, its doctor."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from command import COMMAND, Terminal, readings_csv, terminal_at
from conftest import Site, make_site
from sensetrail import __version__
from sensetrail.chain.client import Chain

PLAIN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def site(fresh_devnet: Chain) -> Site:
    return make_site(fresh_devnet)


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    """A workspace whose devices have names that not every terminal can show."""
    made = terminal_at(site, tmp_path, "A")
    made.done("device", "new", "küche")
    made.done("device", "register", "küche")
    return made


def shell(terminal: Terminal, line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    variables = {**os.environ, "SENSETRAIL_PASSWORD": "x", **terminal.environment, **environment}
    command = line.replace("sensetrail", COMMAND[0])
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=terminal.folder,
        env=variables,
        capture_output=True,
        timeout=120,
    )


def at_a_screen(terminal: Terminal, columns: int, *arguments: str) -> str:
    """Run a command at a terminal with so many columns; give what stands on it, without colours."""
    master, slave = pty.openpty()
    variables = {**os.environ, **terminal.environment, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "40"}
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=terminal.folder, env=variables, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL
    )
    os.close(slave)
    parts = []
    try:
        while part := os.read(master, 1 << 16):
            parts.append(part)
    except OSError:
        pass
    os.close(master)
    assert process.wait(timeout=60) == 0
    return PLAIN.sub("", b"".join(parts).decode())


def test_the_version_and_short_help(terminal: Terminal) -> None:
    assert terminal.done("--version") == f"sensetrail {__version__}\n"
    for group in ((), ("post",), ("device",), ("device", "new"), ("query", "readings")):
        assert terminal.done(*group, "-h") == terminal.done(*group, "--help")


def test_a_shell_completes_commands_and_options(terminal: Terminal) -> None:
    assert b"complete" in shell(terminal, "sensetrail --show-completion", SHELL="/bin/bash").stdout
    words = shell(
        terminal, "sensetrail", _SENSETRAIL_COMPLETE="complete_bash", COMP_WORDS="sensetrail de", COMP_CWORD="1"
    )
    assert set(words.stdout.decode().split()) >= {"deploy", "device", "decode", "demo", "devnet"}
    options = shell(
        terminal, "sensetrail", _SENSETRAIL_COMPLETE="complete_bash", COMP_WORDS="sensetrail post --ti", COMP_CWORD="2"
    )
    assert set(options.stdout.decode().split()) == {"--time-unit", "--time-format"}


@pytest.mark.parametrize("command", ["device list", "device list --json", "--help", "doctor", "query readings --help"])
def test_output_that_nobody_reads_is_no_traceback(terminal: Terminal, command: str) -> None:
    for line in (
        f"sensetrail {command} | true",
        f"sensetrail {command} | head -c 1",
        f"sensetrail {command} >&-",
        f"sensetrail {command} >&- 2>&-",
        f"sensetrail {command} <&-",
    ):
        result = shell(terminal, line)
        assert b"Traceback" not in result.stderr, (line, result.stderr)
        assert b"Exception ignored" not in result.stderr, (line, result.stderr)
    full = shell(terminal, f"sensetrail {command} > /dev/full")
    assert full.returncode == 2
    assert b"Traceback" not in full.stderr
    assert b"full" in full.stderr or b"No space left" in full.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_escaped(terminal: Terminal, encoding: str) -> None:
    environment = {"PYTHONIOENCODING": encoding}
    for line in ("sensetrail device list", "sensetrail device list --json", "sensetrail post x.csv --device küche"):
        result = shell(terminal, line, **environment)
        assert b"Traceback" not in result.stderr, (encoding, line, result.stderr)
    listed = json.loads(shell(terminal, "sensetrail device list --json", **environment).stdout.decode(encoding))
    assert "küche" in {entry["name"] for entry in listed}
    table = shell(terminal, "sensetrail device list", **environment).stdout.decode(encoding)
    assert ("k\\xfcche" if encoding == "ascii" else "küche") in table


def test_rows_are_utf_8_whatever_the_terminal_is(terminal: Terminal, site: Site) -> None:
    readings_csv(terminal.folder / "r.csv", ["küche"], 2)
    terminal.done("post", "r.csv", "--devnet-clock")
    terminal.done("index")
    for form in ("csv", "json", "jsonl"):
        line = f"sensetrail query readings --format {form}"
        assert "küche" in shell(terminal, line, PYTHONIOENCODING="ascii").stdout.decode("utf-8")


def test_tables_fit_a_narrow_terminal(terminal: Terminal, site: Site) -> None:
    readings_csv(terminal.folder / "r.csv", ["A"], 3)
    terminal.done("post", "r.csv", "--devnet-clock")
    terminal.done("index")
    for arguments in (
        ("query", "readings"),
        ("query", "devices"),
        ("device", "list"),
        ("profile", "list"),
        ("post", "r.csv", "--check", "--devnet-clock"),
    ):
        for columns in (30, 60, 100):
            said = at_a_screen(terminal, columns, *arguments)
            tables = [line for line in said.splitlines() if "without an offset" not in line and "columns:" not in line]
            long = [line for line in tables if len(line.rstrip()) > columns and "   " in line.strip()]
            assert not long, (arguments, columns, long)
    readings = at_a_screen(terminal, 60, "query", "readings").split()
    assert "legal" in readings


def test_a_doctor_says_ten_lines_without_secrets(terminal: Terminal) -> None:
    lines = terminal.done("doctor").splitlines()
    assert [line.split()[0] for line in lines] == [
        "sensetrail",
        "packages",
        "node",
        "contracts",
        "workspace",
        "keys",
        "outbox",
        "index",
        "clock",
        "disk",
    ]
    found = terminal.json("doctor")
    assert "anvil" in found["node"]
    assert found["contracts"].count("this version") == 2
    assert found["keys"] == "2 device keys"
    assert "PROBLEM" not in json.dumps(found)


def test_a_doctor_works_where_nothing_does(tmp_path: Path) -> None:
    empty = Terminal(tmp_path)
    secret = "http://user:hunter2@127.0.0.1:1/v3/0123456789abcdef0123456789abcdef?key=sesame"  # noqa: S105
    result = empty.run("doctor", "--rpc", secret)
    assert result.code == 0
    assert len(result.out.splitlines()) == 10
    for word in ("hunter2", "0123456789abcdef", "sesame"):
        assert word not in result.out + result.err
    workspace = tmp_path / "sensetrail-workspace"
    (workspace / "keys").mkdir(parents=True)
    (workspace / "keys" / "broken.json").write_bytes(b"")
    (workspace / "deployment.json").write_bytes(b"")
    (workspace / "outbox.sqlite").write_bytes(b"not a database" * 100)
    found = empty.json("doctor", "--rpc", "http://127.0.0.1:1")
    assert "ADDRESS: broken" in found["keys"]
    assert "PROBLEM" in found["contracts"]
    assert "PROBLEM" in found["outbox"]
