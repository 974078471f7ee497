"""The second verifier as a program: whatever becomes of its output, it ends with a documented code, not a traceback."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import verify_bundle
from bundles.archives import MADE_UP, Archive, write_with_holes
from sensetrail.core.bundle import Place
from sensetrail.core.canonical import canonical_json
from sensetrail.core.primitives import address

HASH = "0x" + "11" * 32
PLACE = Place(1, address("0x" + "5e" * 20), address("0x" + "7c" * 20), 1, 2, b"\x11" * 32)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-I", verify_bundle.__file__, *map(str, arguments)]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A sound archive that fails at step 0, so that the other ten are not reached."""
    path = tmp_path / "it.bundle"
    path.write_bytes(Archive.of(MADE_UP).build())
    return path


def shell(line: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-c", line], capture_output=True, timeout=60)


@pytest.mark.parametrize("more", [(), ("--json",), ("--help",)])
def test_a_pipe_that_nobody_reads(bundle: Path, more: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    given = command(bundle, "--block-hash", HASH, *more)
    done = subprocess.run(given, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, b"")


@pytest.mark.parametrize("more", [(), ("--json",), ("--help",)])
def test_a_full_disk_for_the_output(bundle: Path, more: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        given = command(bundle, "--block-hash", HASH, *more)
        done = subprocess.run(given, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (2, b"standard output: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "2> /dev/full"])
def test_closed_outputs(bundle: Path, closed: str) -> None:
    line = shlex.join(command(bundle, "--block-hash", HASH))
    done = shell(f"{{ {line} {closed}; }} 2>&1 >/dev/null; echo code $?")
    assert done.stdout == b"code 1\n"
    line = shlex.join(command(bundle.with_name("none"), "--block-hash", HASH))
    done = shell(f"{{ {line} {closed}; }} 2>/dev/null; echo code $?")
    assert done.stdout == b"code 2\n"


HOSTILE = "k\u00fcche\x1b[31m\u202e\u2028\x07\x9b"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_bundle_does_not_write_to_the_terminal_what_it_likes(tmp_path: Path, encoding: str) -> None:
    place = {**json.loads(PLACE.encode()), "sensor_registry": HOSTILE}
    path = tmp_path / "k\u00fcche\x1b[31m.bundle"
    path.write_bytes(Archive.of({**MADE_UP, "bundle.json": canonical_json(place)}).build())
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    program = [sys.executable, verify_bundle.__file__]
    for arguments in ((path,), (tmp_path / f"{HOSTILE}.bundle",)):
        done = subprocess.run(
            [*program, *map(str, arguments), "--block-hash", HASH], capture_output=True, timeout=60, env=environment
        )
        text = (done.stdout + done.stderr).decode(encoding)
        assert "Traceback" not in text
        assert r"\x1b[31m\u202e\u2028\x07\x9b" in text
        assert all(sign.isprintable() or sign == "\n" for sign in text)
        assert ("k\u00fcche" in text) == (encoding != "ascii")
        assert done.returncode == (1 if arguments == (path,) else 2)


def test_ctrl_c(tmp_path: Path) -> None:
    # Two GiB of holes take seconds to check.
    path = tmp_path / "large"
    write_with_holes(path, {"headers": 2 << 30})
    process = subprocess.Popen(
        command(path, "--block-hash", HASH), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    files = Path(f"/proc/{process.pid}/fd")
    deadline = time.monotonic() + 60
    while str(path) not in [str(link.readlink()) for link in files.iterdir() if link.is_symlink()]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
