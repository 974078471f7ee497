"""The demo on real readings, which are not part of the project: $SENSETRAIL_DATA, or else ../shared/data, has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from e2e.test_demo import ATTACKS, ROOT, mean, run_demo

DATA = Path(os.environ.get("SENSETRAIL_DATA", ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"there are no real readings at {DATA}")


@pytest.mark.parametrize(
    ("file", "shuffled", "chronological"),
    [
        ("intel-night-22-23.csv", (0.90, 0.96), (0.40, 0.65)),
        ("suthaharan-indoor-3-4.csv", (0.89, 0.96), (0.85, 1.0)),
    ],
)
def test_two_real_sensors(
    tmp_path: Path, file: str, shuffled: tuple[float, float], chronological: tuple[float, float]
) -> None:
    run = run_demo(tmp_path / "out", "--readings", str(DATA / file))
    assert "SIMULATED" not in run.output
    assert f"Real readings from {file}" in run.output
    assert {count["attack"] for count in run.results["attacks"]} == ATTACKS
    assert all(count["caught"] == count["messages"] for count in run.results["attacks"])
    traceability = run.results["traceability"]
    assert shuffled[0] <= mean(traceability["shuffled"]) <= shuffled[1]
    assert chronological[0] <= traceability["chronological"] <= chronological[1]
    validity = run.results["validity"]
    assert min(validity["direct"]["mae"]) > max(validity["chain"]["mae"])
    for steps in run.results["audits"].values():
        assert {step["result"] for step in steps} == {"passed"}
