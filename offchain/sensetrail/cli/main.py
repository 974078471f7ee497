"""The command's entry: subcommands, and what errors become.

Exit codes: 0 done; 1 a bug; 2 input that cannot be used; 3 keys and passwords; 4 node, chain or contract;
5 evidence that does not hold; 6 an optional part is missing; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from sensetrail import __version__
from sensetrail.cli import (
    audit_commands,
    chain_commands,
    dataset_commands,
    demo_command,
    doctor_command,
    index_command,
    inspect_commands,
    model_commands,
    post_command,
    query_commands,
    renew_command,
    taint_commands,
)
from sensetrail.cli.output import give_up_stdout, note, prepare_streams, say, warn
from sensetrail.disk import disk_error
from sensetrail.errors import SensetrailError

INTERRUPTED = 130
"""Typer's exit code after Ctrl-C."""
CONTEXT = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="Machine learning on sensor data, provable from the reading to the model.",
    no_args_is_help=True,
    context_settings=CONTEXT,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda wanted: _print_version(wanted),
            help="Say which version this is.",
        ),
    ] = False,
) -> None:
    """Machine learning on sensor data, provable from the reading to the model."""


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"sensetrail {__version__}")
        raise typer.Exit


for command in (
    chain_commands.devnet,
    chain_commands.deploy,
    post_command.post,
    index_command.index,
    model_commands.train,
    model_commands.anchor,
    model_commands.recall,
    audit_commands.audit,
    audit_commands.bundle,
    model_commands.predict,
    taint_commands.taint,
    renew_command.renew,
    inspect_commands.decode,
    demo_command.demo,
    doctor_command.doctor,
):
    app.command()(command)
for name, group in (
    ("profile", chain_commands.profile),
    ("device", chain_commands.device),
    ("dataset", dataset_commands.dataset),
    ("query", query_commands.query),
):
    app.add_typer(group, name=name, context_settings=CONTEXT)


def run() -> None:
    """Run the command; every expected error is one line of what is wrong and one of what to do."""
    prepare_streams()
    try:
        app()
    except SensetrailError as error:
        _fail(error)
    except BrokenPipeError:
        give_up_stdout()
        sys.exit(0)
    except OSError as error:
        _fail(disk_error(error))
    except SystemExit as end:
        if end.code == INTERRUPTED:
            warn("interrupted")
            note("to do: run the same command again; sending and indexing go on from where they were")
        _flush()
        raise


def _fail(error: SensetrailError) -> NoReturn:
    # One line each, whatever a library's message inside looks like.
    warn(f"error: {' '.join(error.what.split())}")
    note(f"to do: {' '.join(error.to_do.split())}")
    sys.exit(error.exit_code)


def _flush() -> None:
    """Write what is left, here: at the interpreter's end a reader that has gone would be a traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        give_up_stdout()
    except OSError as error:
        give_up_stdout()
        _fail(disk_error(error))
