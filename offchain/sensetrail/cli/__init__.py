"""The command `sensetrail`: the only place for printing, the environment, the clock and exit codes."""

import sys


def run() -> None:
    """Run the command; interrupted while it still loads, it ends as quietly as later."""
    try:
        from sensetrail.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    main.run()
