"""The command `sensetrail`: the only place for printing, the environment, the clock and exit codes."""
