"""The store in PostgreSQL, on a real server: what SQLite holds, byte for byte; who has it; what goes wrong with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from command import Terminal, readings_csv, terminal_at
from conftest import Site
from postgres import PASSWORD, PostgresServer
from postgres import postgres_server as postgres_server
from postgres import postgres_url as postgres_url
from sensetrail.core.logs import BlockLogs
from sensetrail.core.primitives import address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.errors import (
    InputError,
    MissingExtraError,
    StoreHeldError,
    StoreUnreachableError,
    WorkspaceError,
    WrongChainError,
)
from sensetrail.indexer import postgres
from sensetrail.indexer.derive import derive
from sensetrail.indexer.postgres import PostgresDatabase, open_postgres
from sensetrail.indexer.sqlite import SqliteDatabase, open_sqlite
from sensetrail.indexer.store import SCHEMA, Cursor, Database, Store
from story import REGISTRY, Story, word

CONTRACTS = (REGISTRY, address("0x" + "77" * 20))
GENESIS = b"\x6e" * 32
TABLES = [statement.split()[5] for statement in SCHEMA]
TIME = 1_790_000_000
DEVICE = address("0x" + "a1" * 20)


def told() -> list[BlockLogs]:
    story = Story(TIME, seconds=60)
    story.add_profile(INDOOR)
    story.register(DEVICE)
    for i in range(5):
        story.submit(DEVICE, Measurements.of([TIME + 90 * i, TIME + 90 * i + 30], [20_00, -20_10], [50_00, 50_10]))
    story.revoke(DEVICE, TIME)
    return story.blocks


def opened(url: str) -> Store:
    return open_postgres(url, GENESIS, CONTRACTS)


def content(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Give all that a database holds, table by table, and close it."""
    with closing(database):
        return {table: sorted(map(tuple, database.rows(f"SELECT * FROM {table}"))) for table in TABLES}  # noqa: S608


def in_both(url: str, path: Path) -> tuple[Store, Store]:
    return open_sqlite(path, GENESIS, CONTRACTS), opened(url)


def test_whatever_is_done_both_hold_the_same(postgres_url: str, tmp_path: Path) -> None:
    blocks = told()
    one, other = in_both(postgres_url, tmp_path / "index.sqlite")

    def hold_the_same() -> dict[str, list[tuple[object, ...]]]:
        found = content(SqliteDatabase(tmp_path / "index.sqlite"))
        assert content(PostgresDatabase(postgres_url)) == found
        assert one.cursor() == other.cursor()
        assert one.derived() == other.derived()
        assert one.recent() == other.recent()
        assert list(one.blocks(99)) == list(other.blocks(99))
        assert list(one.blocks(5, 3)) == list(other.blocks(5, 3))
        assert [one.hash_at(n) for n in range(11)] == [other.hash_at(n) for n in range(11)]
        return found

    with one, other:
        assert hold_the_same()["origin"] == [(2, GENESIS, " ".join(CONTRACTS))]
        proven = BlockLogs(blocks[0].number, word(1), TIME, b"\xc0\x00\xff", b"", b"", bytes(range(256)))
        steps: list[Callable[[Store], object]] = [
            lambda store: store.hold(),
            lambda store: store.append([proven, *blocks[1:6]], [(n, word(n)) for n in range(4, 7)], Cursor(6, word(6))),
            lambda store: store.write_derived(derive(store, REGISTRY, 0)[0]),
            lambda store: store.append(blocks[6:], [(7, word(7)), (8, word(8))], Cursor(8, word(8), 5, word(5))),
            lambda store: store.move(Cursor(9, word(9), 6, word(6), 9, word(9), "someone's word", 9)),
            lambda store: store.roll_back(Cursor(6, word(6))),
            lambda store: store.clear(),
            lambda store: store.append(blocks, [], Cursor(8, word(8))),
            lambda store: store.write_derived(derive(store, REGISTRY, 8)[0]),
            lambda store: store.forget_derived(),
        ]
        seen = []
        for step in steps:
            step(one)
            step(other)
            seen.append(hold_the_same())
        assert list(other.blocks(5, 3)) == blocks[3:5]
        assert [i for i, (before, after) in enumerate(pairwise(seen)) if before == after] == []
        assert len(seen[-2]["devices"]) == 1


def test_what_fails_in_the_middle_is_undone(postgres_url: str) -> None:
    blocks = told()
    with opened(postgres_url) as store:
        store.append(blocks[:2], [], Cursor(2, word(2)))
        with pytest.raises(WorkspaceError):
            store.append([*blocks[2:], blocks[0]], [], Cursor(8, word(8)))
        assert store.cursor() == Cursor(2, word(2))
        assert list(store.blocks(99)) == blocks[:2]
        store.append(blocks[2:], [], Cursor(8, word(8)))
        assert list(store.blocks(99)) == blocks


def test_reading_streams_side_by_side_and_a_snapshot_is_of_one_moment(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "ROWS_AT_ONCE", 2)
    blocks = told()
    with opened(postgres_url) as writer, opened(postgres_url) as reader:
        writer.append(blocks[:6], [], Cursor(6, word(6)))
        pairs = [(a, b) for a in reader.blocks(99) for b in reader.blocks(99) if a.number < b.number]
        assert len(pairs) == 15
        with reader.snapshot():
            half = reader.blocks(99)
            assert next(half) == blocks[0]
            writer.append(blocks[6:], [], Cursor(8, word(8)))
            writer.roll_back(Cursor(2, word(2)))
            assert reader.cursor() == Cursor(6, word(6))
            assert [next(half), *half] == blocks[1:6]
            assert list(reader.blocks(99)) == blocks[:6]
        assert reader.cursor() == Cursor(2, word(2))
        assert list(reader.blocks(99)) == blocks[:2]


def test_the_second_who_holds_it_is_told_who_does(postgres_url: str) -> None:
    with opened(postgres_url) as one, opened(postgres_url) as two:
        one.hold()
        one.hold()
        with pytest.raises(StoreHeldError) as caught:
            two.hold()
        who = f"sensetrail, process {os.getpid()} on "
        assert who in caught.value.what
        assert "user sensetrail, from 127.0.0.1, server process " in caught.value.what
        assert ", since 20" in caught.value.what
        assert PASSWORD not in caught.value.what
        one.close()
        two.hold()


def test_a_holder_who_may_not_be_looked_at_is_named_all_the_same(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    with opened(postgres_url) as holder:
        holder.hold()
        database = postgres_url.rpartition("/")[2]
        with postgres_server.connect(database) as connection:
            connection.execute(f"CREATE ROLE second LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'".encode())
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO second")
        with opened(postgres_server.url(database, "second")) as reader:
            assert reader.cursor() is None
            with pytest.raises(StoreHeldError, match=f"sensetrail, process {os.getpid()} on .*, server process "):
                reader.hold()
            with pytest.raises(InputError, match="permission denied"):
                reader.clear()


def test_a_schema_is_a_store(postgres_url: str, postgres_server: PostgresServer) -> None:
    plant = f"{postgres_url}?options=-csearch_path%3Dplant"
    with pytest.raises(InputError, match="no schema") as caught:
        opened(plant)
    assert "CREATE SCHEMA" in caught.value.to_do
    with postgres_server.connect(postgres_url.rpartition("/")[2]) as connection:
        connection.execute("CREATE SCHEMA plant")
    with opened(postgres_url) as one, open_postgres(plant, b"\x6f" * 32, CONTRACTS) as other:
        one.hold()
        other.hold()
        one.append(told(), [], Cursor(8, word(8)))
        assert other.cursor() is None
        with (
            pytest.raises(StoreHeldError, match=r"\(schema plant\)"),
            open_postgres(plant, b"\x6f" * 32, CONTRACTS) as x,
        ):
            x.hold()


def test_another_deployment_s_store_is_refused(postgres_url: str) -> None:
    opened(postgres_url).close()
    with pytest.raises(WrongChainError, match="another deployment"):
        open_postgres(postgres_url, bytes(32), CONTRACTS)
    with pytest.raises(WrongChainError, match="another deployment"):
        open_postgres(postgres_url, GENESIS, CONTRACTS[:1])


def test_another_program_s_tables_are_refused(postgres_url: str, postgres_server: PostgresServer) -> None:
    with postgres_server.connect(postgres_url.rpartition("/")[2]) as connection:
        connection.execute("CREATE TABLE origin (country TEXT)")
    with pytest.raises(WorkspaceError, match="is not an index"):
        opened(postgres_url)


SECRET = "hunter2"  # noqa: S105 - stands for a password


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1/db",
        f"postgres://me:{SECRET}@127.0.0.1/db",
        f"postgresql://127.0.0.1/db?user=me&password={SECRET}",
        f"postgresql://127.0.0.1/db?sslpassword={SECRET}",
        f"postgresql://me:{SECRET}%zz@127.0.0.1/db",
        f"postgresql://127.0.0.1/db?passwort={SECRET}",
        f"postgresql://127.0.0.1/db?options=-csearch_path={SECRET}",
        f"mysql://me:{SECRET}@127.0.0.1/db",
        f"/home/{SECRET}",
        "",
    ],
)
def test_a_url_with_a_password_or_none_at_all_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError) as caught:
        PostgresDatabase(url)
    assert SECRET not in caught.value.what + caught.value.to_do


def test_a_server_that_does_not_answer_or_does_not_let_us_in(
    postgres_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("postgresql://127.0.0.1:1/db", postgres_server.url("no_such_database")):
        with pytest.raises(StoreUnreachableError):
            PostgresDatabase(url)
    for wrong in ("wrong", None):
        monkeypatch.setenv("PGPASSWORD", wrong) if wrong else monkeypatch.delenv("PGPASSWORD")
        with pytest.raises(StoreUnreachableError) as caught:
            PostgresDatabase(postgres_url)
        assert "PGPASSWORD" in caught.value.to_do
        assert "wrong" not in caught.value.what


def test_a_connection_that_is_lost_is_an_error_of_one_line(postgres_url: str, postgres_server: PostgresServer) -> None:
    blocks = told()
    with opened(postgres_url) as store:
        store.hold()
        store.append(blocks, [], Cursor(8, word(8)))
        with postgres_server.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^sense'"
            )
        with pytest.raises(StoreUnreachableError):
            store.clear()
        with pytest.raises(StoreUnreachableError):
            store.cursor()
    with opened(postgres_url) as store:
        store.hold()
        assert list(store.blocks(99)) == blocks


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError) as caught:
        PostgresDatabase("postgresql://127.0.0.1/db")
    assert caught.value.to_do == "pip install 'sensetrail[postgres]'"


# The command.


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    terminal = terminal_at(site, tmp_path, "A", "B")
    readings = readings_csv(tmp_path / "readings.csv", ["A", "B"], 40, site.now - 4000)
    terminal.done("post", readings, "--batch", "15")
    return terminal


def database_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    return content(PostgresDatabase(url))


@pytest.mark.parametrize("trust", [(), ("--trust-node",)])
def test_an_index_in_postgresql_is_the_one_in_sqlite(
    terminal: Terminal, postgres_url: str, trust: tuple[str, ...]
) -> None:
    one = terminal.json("index", "--depth", "0", *trust)
    other = terminal.json("index", "--depth", "0", *trust, "--store", postgres_url)
    assert (one["readings"], one["proven"]) == (80, not trust)
    assert other == one
    assert database_of(postgres_url) == content(SqliteDatabase(terminal.workspace.index))
    for kind in ("readings", "rejections", "devices", "models"):
        rows: list[dict[str, Any]] = terminal.json("query", kind, "--store", postgres_url)
        assert rows == terminal.json("query", kind)
        assert {row["proven"] for row in rows} <= {not trust}
    derived = database_of(postgres_url)
    terminal.done("index", "--derive", "--depth", "0", *trust, SENSETRAIL_STORE=postgres_url)
    assert database_of(postgres_url) == derived


def test_a_command_that_finds_it_held_says_by_whom_and_a_query_does_not_care(
    site: Site, terminal: Terminal, postgres_url: str
) -> None:
    terminal.done("index", "--store", postgres_url)
    contracts = (site.deployment.sensor_registry, site.deployment.model_registry)
    with open_postgres(postgres_url, site.deployment.genesis_hash, contracts) as store:
        store.hold()
        wrong, to_do = terminal.fails(4, "index", "--store", postgres_url)
        assert f"sensetrail, process {os.getpid()} on " in wrong
        assert "wait until it is done" in to_do
        assert len(terminal.json("query", "readings", "--store", postgres_url)) == 80


def test_a_command_refuses_a_password_in_the_url_and_never_shows_one(terminal: Terminal, postgres_url: str) -> None:
    given = postgres_url.replace("sensetrail@", f"sensetrail:{SECRET}@")
    for command in (("index",), ("query", "readings")):
        result = terminal.run(*command, "--store", given)
        assert result.code == 2
        assert SECRET not in result.out + result.err
        terminal.fails(2, *command, "--store", given)
    wrong, _ = terminal.fails(4, "query", "devices", "--store", postgres_url, PGPASSWORD=SECRET)
    assert SECRET not in wrong


def test_the_server_is_a_real_one(postgres_url: str, postgres_server: PostgresServer) -> None:
    with postgres_server.connect() as connection:
        assert connection.info.server_version >= 150000
        assert connection.info.hostaddr == "127.0.0.1"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url, password=SECRET)
