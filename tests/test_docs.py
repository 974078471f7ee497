"""What the documents say is so: the map, the commands, the rules."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from sensetrail.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_map_names_every_folder_and_no_other() -> None:
    mapped = set(re.findall(r"^\| `([^`]+)/` \|", README.split("<!-- map -->")[1], re.MULTILINE))
    package = ROOT / "offchain" / "sensetrail"
    stages = {f"offchain/sensetrail/{path.parent.name}" for path in package.glob("*/__init__.py")}
    assert mapped == {"contracts", "scripts", "tests", "docs"} | stages


def test_the_test_folders_named_are_those_there_are() -> None:
    named = re.search(r"\| `tests/` \| `([^`]+)` \|", README)
    assert named is not None
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name[0] not in "_."}
    assert {name.rstrip("/") for name in named[1].split()} == folders


COMMANDS = re.findall(r"^    (?:\.venv/bin/)?sensetrail (.*?)(?:\s+#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_in_the_readme_parses(line: str) -> None:
    command = typer.main.get_command(app)
    arguments = shlex.split(line)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context("sensetrail", arguments)


def test_every_link_leads_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), (document, target)


def test_the_audit_s_steps_are_the_documented_ones() -> None:
    from sensetrail.audit import steps

    documented = re.findall(r"^\| (\d+) \| (\w+) \|", (ROOT / "docs/design.md").read_text(), re.MULTILINE)
    named = re.findall(r"^    (\d+) +(\w+)  ", steps.__doc__ or "", re.MULTILINE)
    assert documented[-10:] == named
    assert [int(number) for number, _ in named] == list(range(1, 11))


def test_the_readme_shows_how_make_test_ends() -> None:
    shown = re.search(r"<!-- output: make test -->\n+```\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    solidity = sum(map(len, solidity_tests().values()))
    assert f"  {solidity} passing\n" in shown[1]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    collected = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=True).stdout
    count = sum(int(found) for found in re.findall(r"^tests/\S+: (\d+)$", collected, re.MULTILINE))
    assert re.search(rf"^{count} passed in ", shown[1], re.MULTILINE), count


def solidity_tests() -> dict[str, set[str]]:
    """Name the tests of each contract that Hardhat runs, those that it inherits among them."""
    contracts: dict[str, tuple[bool, list[str], set[str]]] = {}
    for path in (ROOT / "tests" / "contracts").glob("*.sol"):
        form = r"^(abstract )?contract (\w+)(?: is ([\w, ]+))? \{$(.*?)^\}$"
        for abstract, name, parents, body in re.findall(form, path.read_text(), re.MULTILINE | re.DOTALL):
            own = set(re.findall(r"^    function ((?:test|invariant)\w*)", body, re.MULTILINE))
            contracts[name] = (bool(abstract), parents.split(", ") if parents else [], own)

    def tests(name: str) -> set[str]:
        _, parents, own = contracts.get(name, (True, [], set()))
        return own.union(*map(tests, parents))

    return {name: tests(name) for name, (abstract, _, _) in contracts.items() if not abstract}
