"""Every command says what it does, with an example that can be typed as it stands."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from sensetrail.cli.main import app

APP: Any = typer.main.get_command(app)
WANTED = {
    "devnet",
    "deploy",
    "device",
    "profile",
    "post",
    "index",
    "dataset",
    "train",
    "anchor",
    "predict",
    "audit",
    "taint",
    "renew",
    "decode",
    "demo",
}
STATEFUL = {"devnet", "demo"}
"""Commands that bring a chain of their own."""
ONLINE = {
    "deploy",
    "profile",
    "post",
    "index",
    "dataset",
    "anchor",
    "recall",
    "audit",
    "predict",
    "taint",
    "renew",
}
OFFLINE = {("dataset", "prove")}
"""Of the commands of a group that asks the chain, those that do not."""


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give every command that does something, by the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = dict(leaves(APP))
by_command = pytest.mark.parametrize("path", LEAVES, ids=" ".join)


def examples(command: Any) -> list[str]:
    return [
        line.removeprefix("Example: ") for line in inspect.cleandoc(command.help).splitlines() if "Example: " in line
    ]


def test_the_commands_are_those_that_are_promised() -> None:
    assert set(APP.commands) >= WANTED
    for group in ("device", "profile", "dataset"):
        assert APP.commands[group].help
    assert {path[1] for path in LEAVES if path[0] == "device"} >= {"new", "register", "fund", "revoke", "list"}
    assert {path[1] for path in LEAVES if path[0] == "profile"} >= {"add", "list"}
    assert {path[1] for path in LEAVES if path[0] == "dataset"} >= {"build", "prove", "verify"}


@by_command
def test_its_help_shows_one_example_of_itself(path: tuple[str, ...]) -> None:
    (example,) = examples(LEAVES[path])
    assert shlex.split(example)[: len(path) + 1] == ["sensetrail", *path]


@by_command
def test_its_example_is_accepted(path: tuple[str, ...]) -> None:
    """The parser takes the example: its options exist, its values are of their types, nothing required is missing."""
    words = shlex.split(examples(LEAVES[path])[0])
    context = LEAVES[path].make_context("sensetrail " + " ".join(path), words[len(path) + 1 :])
    given = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}
    options = [word for word in words if re.match(r"--\w", word)]
    assert len(given) >= len(options)


@by_command
def test_it_explains_every_option(path: tuple[str, ...]) -> None:
    for parameter in LEAVES[path].params:
        assert parameter.help, parameter.name


@by_command
def test_it_takes_a_workspace_and_a_node_where_there_is_state(path: tuple[str, ...]) -> None:
    options = {option for parameter in LEAVES[path].params for option in parameter.opts}
    if path[0] not in STATEFUL:
        assert "--workspace" in options
    if path[0] in ONLINE and path not in OFFLINE:
        assert "--rpc" in options
