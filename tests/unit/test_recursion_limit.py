"""The interpreter's recursion limit stays as it was, whatever the package and its libraries import."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = ["eth_account", "web3", "sensetrail.chain.client", "sensetrail.sensor.keystore", "sensetrail.cli.main"]


@pytest.mark.parametrize("module", MODULES)
def test_no_import_raises_the_recursion_limit(module: str) -> None:
    code = f"import sys; sys.setrecursionlimit(777); import sensetrail, {module}; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "777\n"


def test_a_limit_that_is_higher_already_is_left_as_it_is() -> None:
    code = "import sys; sys.setrecursionlimit(200_000); import sensetrail; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "200000\n"
