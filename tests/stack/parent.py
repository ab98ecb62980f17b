"""A parent process to kill: `parent.py LOG KIND ARGV…` runs ARGV and prints the pids as JSON.

KIND is `plain`, or `fork`: then a fork of the parent, without exec, outlives it and keeps every
pipe of the parent open until the file LOG.over exists.
"""

import json
import os
import sys
import time
from pathlib import Path

from homma.stack.processes.process import Process, Program

log, kind, *argv = sys.argv[1:]
process = Process(Program("server", argv, Path(log), stop_within_s=1.0))
process.start()
child = process._child
assert child is not None
print(json.dumps({"server": child.pid, "guard": child.guard_pid}), flush=True)
if kind == "fork" and os.fork() == 0:
    while not Path(f"{log}.over").exists():
        time.sleep(0.05)
    os._exit(0)
time.sleep(600)
