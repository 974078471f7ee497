#!/usr/bin/env python3
"""Run a command and say what it took: measure.py RESULT_JSON COMMAND...

A process of its own, and a small one: Linux counts into a process's peak memory what its parent had when it forked.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
    _, status, used = os.wait4(pid, 0)
    took = {"cpu_s": used.ru_utime + used.ru_stime, "rss_mb": used.ru_maxrss / 1024}
    Path(sys.argv[1]).write_text(json.dumps(took))
    sys.exit(os.waitstatus_to_exitcode(status))
