"""Runs the command `sensetrail` as a stranger does: in a process of its own, in a folder of its own, at no terminal."""

from __future__ import annotations

import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from conftest import START, Site
from sensetrail.chain.client import Chain
from sensetrail.chain.model_registry import ModelRegistry
from sensetrail.cli.main import run as entry_point
from sensetrail.core.dataset import Rows, Selection, describe, select
from sensetrail.core.history import replay
from sensetrail.core.logs import gather
from sensetrail.core.manifest import Manifest
from sensetrail.core.model_file import read_model_file
from sensetrail.workspace import Workspace, write_manifest
from unit.test_model_file import keras_file

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (str(Path(sys.executable).parent / "sensetrail"),)
PASSWORD = "correct horse"  # noqa: S105 - of the tests' keystores
TIMEOUT = 120
INDOOR_START = START + 600
"""When the tests' readings begin, Unix seconds: a while after their chain."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Terminal:
    """A folder to work in, and the environment there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = COMMAND
    in_process: bool = False
    """Whether commands run inside the test's own process, through the console entry point: two seconds less each."""

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder / "sensetrail-workspace")

    def start(self, *arguments: object, **environment: str | None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *map(str, arguments)],
            cwd=self.folder,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, **environment: str | None) -> Result:
        if not self.in_process:
            return finish(self.start(*arguments, **environment))
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["sensetrail", *map(str, arguments)])
            patch.setattr(sys, "stdin", io.StringIO())
            wanted = self._environment(environment)
            for name in os.environ.keys() - wanted.keys():
                patch.delenv(name)
            for name, value in wanted.items():
                patch.setenv(name, value)
            try:
                entry_point()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Result(code, out.getvalue(), err.getvalue())

    def done(self, *arguments: object, **environment: str | None) -> str:
        """Run a command that has to work; give what it printed."""
        result = self.run(*arguments, **environment)
        assert result.code == 0, result
        assert "Traceback" not in result.err
        return result.out

    def json(self, *arguments: object, **environment: str | None) -> Any:
        """Run a command that has to work; give the one JSON value it printed."""
        return json.loads(self.done(*arguments, "--json", **environment))

    def fails(self, code: int, *arguments: object, **environment: str | None) -> tuple[str, str]:
        """Run a command that has to fail; give its one line of what is wrong and its one line of what to do."""
        return refusal(self.run(*arguments, **environment), code)

    def _environment(self, changes: dict[str, str | None]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SENSETRAIL_")}
        wanted = {**inherited, "SENSETRAIL_PASSWORD": PASSWORD, **self.environment, **changes}
        return {name: value for name, value in wanted.items() if value is not None}


def finish(process: subprocess.Popen[str], timeout: float = TIMEOUT) -> Result:
    """Wait for a command's end; one that does not end is killed, and fails the test."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args!r} did not end in {timeout} s; said {out!r}, {err!r}") from None
    return Result(process.returncode, out, err)


def refusal(result: Result, code: int) -> tuple[str, str]:
    """Hold a failure against the promise: an exit code, one line of what is wrong, one of what to do, no traceback."""
    assert "Traceback" not in result.err + result.out, result
    assert result.code == code, result
    lines = result.err.splitlines()
    wrong = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    to_do = [line.removeprefix("to do: ") for line in lines if line.startswith("to do: ")]
    rest = [line for line in lines if not line.startswith(("error: ", "to do: ", "paying with "))]
    assert (len(wrong), len(to_do), rest) == (1, 1, []), result
    assert wrong[0].strip(), result
    assert to_do[0].strip(), result
    return wrong[0], to_do[0]


def poll(condition: Callable[[], bool], process: subprocess.Popen[str], what: str, timeout: float = 60) -> None:
    """Wait until something is so, while a process runs."""
    deadline = time.monotonic() + timeout
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended before {what}: {process.communicate()}")
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"not {what} after {timeout} s: {process.communicate()}")
        time.sleep(0.01)


@contextmanager
def devnet_command(terminal: Terminal, port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `sensetrail devnet` until it says that it is up; Ctrl-C at the end, unless the test ended it."""
    log = terminal.folder / f"devnet-{port}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*terminal.command, "devnet", "--port", str(port), *arguments],
            cwd=terminal.folder,
            env=terminal._environment({}),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            text=True,
        )
    try:
        poll(lambda: "Ctrl-C ends it" in log.read_text(), process, "up")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


def terminal_at(site: Site, folder: Path, *devices: str, in_process: bool = True) -> Terminal:
    """Give a terminal whose workspace knows a site's deployment, with registered and funded devices in it."""
    terminal = Terminal(folder, {"SENSETRAIL_RPC": site.chain.url}, in_process=in_process)
    terminal.workspace.write_deployment(site.deployment)
    for name in devices:
        write_keystore(terminal.workspace.key(name), site.register(name))
    return terminal


def write_keystore(path: Path, key: LocalAccount, password: str = PASSWORD) -> Path:
    """Write a keystore that opens fast: its one round of PBKDF2 guards nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(Account.encrypt(key.key, password, kdf="pbkdf2", iterations=1)))
    return path


def anchor_without_training(site: Site, folder: Path) -> tuple[Manifest, Rows]:
    """Write and anchor a model that nobody trained, of all that the chain holds; give its manifest and rows."""
    chain = Chain(site.chain.url)  # the site's own connection may be behind with its accounts' nonces
    newest = chain.latest_block()
    logs = chain.logs([site.registry.address], site.deployment.block_number, newest.number)
    times = {log.block_number: block.timestamp for log in logs if (block := chain.block(log.block_number))}
    rows = select(replay(gather(logs, times), site.registry.address), Selection())
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(keras_file())
    manifest = Manifest(
        weights_digest=read_model_file(keras_file()).digest,
        task="humidity-from-temperature",
        dataset=describe(rows, Selection(), newest.number, newest.hash),
        selection=Selection(),
        configuration={"seed": 0},
        labels=(),
        environment={},
        metrics={"validation_mae": 0.5},
    )
    write_manifest(folder, manifest)
    ModelRegistry(chain, site.deployment.model_registry).anchor(site.admin, manifest)
    return manifest, rows


def readings_csv(path: Path, devices: list[str], count: int, start: int = INDOOR_START, every: int = 30) -> Path:
    """Write legal readings: warm and dry swings to cool and damp and back, each device a little off the other."""
    lines = ["device,time,temperature,humidity,battery"]
    for i in range(count):
        warmth = math.cos(i / 30)
        for off, device in enumerate(devices):
            temperature, humidity = 28 + 3 * warmth + 0.3 * off, 75 - 12 * warmth + 2 * off
            lines.append(f"{device},{start + every * i},{temperature:.2f},{humidity:.2f},97")
    path.write_text("\n".join(lines) + "\n")
    return path


def address_in(text: str) -> str:
    found = re.search(r"0x[0-9a-fA-F]{40}\b", text)
    assert found, text
    return found[0]
