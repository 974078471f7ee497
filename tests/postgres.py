"""A real PostgreSQL of the tests' own: Debian's, on a free loopback port, in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sensetrail.chain.devnet import free_port

OWNER = "sensetrail"
PASSWORD = "postgres's own"  # noqa: S105 - of the tests' server
START_TIMEOUT = 60
UNPRIVILEGED = "postgres"
"""Who runs the server where the tests run as root, whom it refuses; Debian's package makes the account."""
_databases = count()


@dataclass(frozen=True)
class PostgresServer:
    """A server that runs.

    Attributes:
        port: On 127.0.0.1.
    """

    port: int

    def url(self, database: str, user: str = OWNER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), password=PASSWORD, autocommit=True)

    def new_database(self) -> str:
        """Make an empty database, and give its URL."""
        name = f"index_{next(_databases)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


def programs() -> Path | None:
    """Find the folder of the server's programs; Debian's are not on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    candidates = [*(path.parent for path in reversed(debian)), *([Path(found).resolve().parent] if found else [])]
    return next((path for path in candidates if (path / "postgres").exists()), None)


@contextmanager
def running_postgres(bin_folder: Path) -> Iterator[PostgresServer]:
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    # Not pytest's folder: only its owner can look into that.
    folder = Path(tempfile.mkdtemp(prefix="sensetrail-postgres-"))
    process = None
    try:
        (folder / "password").write_text(PASSWORD)
        if user is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, user, user)
        options: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, "user": user, "group": user}
        options |= {"extra_groups": []} if user else {}
        initdb: list[Any] = [bin_folder / "initdb", "-D", folder / "data", "-U", OWNER, "-E", "UTF8", "--locale=C"]
        arguments = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync"]
        subprocess.run([*initdb, *arguments], check=True, capture_output=True, timeout=START_TIMEOUT, **options)
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            command: list[Any] = [bin_folder / "postgres", "-D", folder / "data", *flags]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **options)
        server = PostgresServer(port)
        _wait(server, process, folder / "log")
        yield server
    finally:
        if process is not None:
            process.send_signal(2)  # the fast way to end: it disconnects everyone
            process.wait(timeout=START_TIMEOUT)
        shutil.rmtree(folder)


def _wait(server: PostgresServer, process: subprocess.Popen[Any], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.connect().close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise AssertionError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    found = programs()
    if found is None:
        why = "there is no PostgreSQL on this machine: apt-get install postgresql"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(why)
        pytest.skip(why)
    with running_postgres(found) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of an empty database; its password is in the environment."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return postgres_server.new_database()
