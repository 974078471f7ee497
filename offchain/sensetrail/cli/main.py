"""The command's entry: subcommands, and what errors become.

Exit codes: 0 done; 1 a bug; 2 input that cannot be used; 3 keys and passwords; 4 node, chain or contract;
5 evidence that does not hold; 6 an optional part is missing; 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from sensetrail.cli import (
    audit_commands,
    chain_commands,
    dataset_commands,
    demo_command,
    index_command,
    inspect_commands,
    model_commands,
    post_command,
    query_commands,
    renew_command,
    taint_commands,
)
from sensetrail.cli.output import note, warn
from sensetrail.errors import InputError, SensetrailError

INTERRUPTED = 130
"""Typer's exit code after Ctrl-C."""

app = typer.Typer(
    help="Machine learning on sensor data, provable from the reading to the model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
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
):
    app.command()(command)
app.add_typer(chain_commands.profile, name="profile")
app.add_typer(chain_commands.device, name="device")
app.add_typer(dataset_commands.dataset, name="dataset")
app.add_typer(query_commands.query, name="query")


def run() -> None:
    """Run the command; every expected error is one line of what is wrong and one of what to do."""
    try:
        app()
    except SensetrailError as error:
        # One line each, whatever a library's message inside looks like.
        warn(f"error: {' '.join(error.what.split())}")
        note(f"to do: {' '.join(error.to_do.split())}")
        sys.exit(error.exit_code)
    except OSError as error:
        warn(f"error: {error.filename or 'a file'}: {error.strerror or error}")
        note("to do: check the path and its permissions")
        sys.exit(InputError.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            warn("interrupted")
            note("to do: run the same command again; sending and indexing go on from where they were")
        raise
