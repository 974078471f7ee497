"""The scripts: a deployment, a sensor and an auditor's query on the public API, on a running devnet."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from command import ROOT, Result
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import Deployment, verify_code
from sensetrail.chain.devnet import running_devnet
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.primitives import address
from sensetrail.core.rules import INDOOR

READING = re.compile(r"(0x[0-9a-fA-F]{40}) (\d+) (\d+) (-?\d+\.\d\d) degC (\d+\.\d\d) %RH: (\w+)")


def script(name: str, *arguments: object, folder: Path) -> Result:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_deployment_a_sensor_and_an_audit_of_its_events(fresh_devnet: Chain, tmp_path: Path) -> None:
    deployed = script("deploy.py", fresh_devnet.url, folder=tmp_path)
    assert deployed.code == 0
    file = tmp_path / "deployment.json"
    file.write_text(deployed.out)
    deployment = Deployment.parse(file.read_bytes())
    verify_code(fresh_devnet, deployment)
    registry = SensorRegistry(fresh_devnet, deployment.sensor_registry)
    assert registry.profile(1) == INDOOR

    lines = script("sensor.py", file, 12, fresh_devnet.url, folder=tmp_path).out.splitlines()
    readings = [match.groups() for line in lines if (match := READING.fullmatch(line))]
    assert len(readings) == len(lines) == 12
    assert [int(reading[1]) for reading in readings] == list(range(12))
    assert {reading[5] for reading in readings} == {"LEGAL"}
    (sensor,) = {address(reading[0]) for reading in readings}
    state = registry.state(sensor)
    assert (state.sequence, state.last_time) == (12, int(readings[-1][2]))

    audited = script("audit_events.py", file, fresh_devnet.url, folder=tmp_path)
    assert (audited.code, audited.out) == (0, f"{sensor}: 12 LEGAL; verdicts are the rules'; head equals storage\n")


def test_they_say_what_is_wrong(fresh_devnet: Chain, tmp_path: Path) -> None:
    file = tmp_path / "deployment.json"
    file.write_text(script("deploy.py", fresh_devnet.url, folder=tmp_path).out)
    with running_devnet(timestamp=1) as other:
        for name, arguments in (("audit_events.py", (file, other.url)), ("sensor.py", (file, 1, other.url))):
            refused = script(name, *arguments, folder=tmp_path)
            assert refused.code == 1
            assert len(refused.err.splitlines()) == 2
            assert "another chain" in refused.err
    assert "no node answers" in script("deploy.py", "http://127.0.0.1:1", folder=tmp_path).err
    value = json.loads(file.read_text())
    value["sensor_registry"], value["model_registry"] = value["model_registry"], value["sensor_registry"]
    file.write_text(json.dumps(value))
    refused = script("audit_events.py", file, fresh_devnet.url, folder=tmp_path)
    assert refused.code == 1
    assert "is not SensorRegistry" in refused.err


def test_no_reading_is_an_answer_too(fresh_devnet: Chain, tmp_path: Path) -> None:
    file = tmp_path / "deployment.json"
    file.write_text(script("deploy.py", fresh_devnet.url, folder=tmp_path).out)
    audited = script("audit_events.py", file, fresh_devnet.url, folder=tmp_path)
    assert (audited.code, audited.out) == (0, "")
