"""A demo that was left running: how the next command finds and ends it."""

import json
import os
import shutil
import signal

from harness import wait_until
from harness.paths import TARGET

NOTE = TARGET / "demo" / "kept.json"


def remember(processes, directories):
    """Notes the processes (in the order to stop them, each with its signal) and what to remove."""
    NOTE.parent.mkdir(parents=True, exist_ok=True)
    NOTE.write_text(
        json.dumps(
            {
                "processes": [[process.pid, _started(process.pid), int(number)] for process, number in processes],
                "directories": [str(directory) for directory in directories],
            }
        )
    )


def stop():
    """Ends the demo that was left running; whether there was one."""
    if not NOTE.exists():
        return False
    note = json.loads(NOTE.read_text())
    ended = False
    for pid, started, number in note["processes"]:
        if _started(pid) != started:  # gone, and the number may be another program's by now
            continue
        os.kill(pid, number)
        wait_until(lambda: _started(pid) != started, 30, what=f"process {pid} to end")
        ended = True
    for directory in note["directories"]:
        shutil.rmtree(directory, ignore_errors=True)
    NOTE.unlink()
    return ended


def _started(pid):
    """When a process started, in clock ticks since boot: with its id, that names it for good."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


STOP_SERVER = signal.SIGINT
STOP = signal.SIGTERM
