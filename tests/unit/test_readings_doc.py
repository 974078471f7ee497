"""docs/readings.md: its recipe runs, and every option that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
import typer.main

from sensetrail.cli.main import app
from sensetrail.sensor.source import read_source

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "readings.md").read_text()


def test_the_recipe_for_one_value_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        "entity_id,state,last_changed",
        "sensor.a_temperature,21.5,2026-06-02T08:00:00.000Z",
        "sensor.a_humidity,50.1,2026-06-02T07:59:58.123Z",
        "sensor.a_temperature,unavailable,2026-06-02T08:00:30.000Z",
        "sensor.a_temperature,21.6,2026-06-02T08:01:00.000Z",
        "sensor.a_temperature,22.6,2026-06-02T09:01:00.000Z",
        "light.a,on,2026-06-02T08:00:00.000Z",
    ]
    Path("history.csv").write_text("\n".join(rows) + "\n")
    found = re.search(r"<!-- run: duckdb -->\n```sql\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    with duckdb.connect() as connection:
        connection.execute(found[1])
    (a,) = read_source(Path("readings.parquet")).measurements.values()
    assert a.measured_at.tolist() == [1_780_387_200, 1_780_387_260]
    assert a.temperature.tolist() == [2150, 2160]
    assert a.humidity.tolist() == [5010, 5010]


def test_every_option_it_names_is_one_of_post_s() -> None:
    command = typer.main.get_command(app).commands["post"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"(--[a-z][a-z-]+)", PAGE)) - {"--format", "--readings"}
    assert named <= known
    assert {"--column", "--unit", "--zone", "--time-unit", "--last-line", "--anyway", "--check"} <= named
