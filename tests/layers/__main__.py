"""Runs the layers of tests, all of them without arguments; `make test` starts it, and names the server.

A line per layer on the terminal, the full output of each in target/test-logs/pgNN/LAYER.log, and the end
of what failed here too. The last line counts the tests.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.installation import PG_CONFIG, server_version  # noqa: E402
from harness.paths import TARGET, ask  # noqa: E402
from layers.layer import Failed, Log  # noqa: E402
from layers.database import e2e, regress, server, update  # noqa: E402
from layers.fresh import makefile  # noqa: E402
from layers.packages import package  # noqa: E402
from layers.source import format_, lint, unit  # noqa: E402

# Cheap before dear, and those that share build artifacts after one another.
LAYERS = {"format": format_, "lint": lint, "unit": unit, "server": server, "regress": regress, "e2e": e2e, "update": update, "package": package, "makefile": makefile}
TAIL = 60


def main(names):
    unknown = [name for name in names if name not in LAYERS]
    if unknown:
        print(f"no such layer: {', '.join(unknown)}; there are {', '.join(LAYERS)}", file=sys.stderr)
        return 2
    logs = TARGET / "test-logs" / f"pg{server_version()}"
    logs.mkdir(parents=True, exist_ok=True)
    print(ask(PG_CONFIG, "version"), flush=True)
    passed = failed = 0
    for name in LAYERS:
        if names and name not in names:
            continue
        log = Log(logs / f"{name}.log")
        started = time.monotonic()
        print(f"layer {name:<8}", end=" ", flush=True)
        try:
            LAYERS[name](log)
            verdict = "FAILED" if log.failed else "ok"
        except Failed as failure:
            verdict = f"FAILED: {failure}"
            log.failed = max(log.failed, 1)
        seconds = time.monotonic() - started
        left_out = f", {len(log.left_out)} left out" if log.left_out else ""
        print(f"{verdict} ({seconds:.0f} s; {log.passed} passed, {log.failed} failed{left_out})", flush=True)
        for reason in log.left_out:
            print(f"  left out: {reason}")
        if log.failed:
            print(f"  what failed ends like this; all of it is in {log.path}")
            for output in log.failures:
                for line in output.splitlines()[-TAIL:]:
                    print("  | " + line)
        passed += log.passed
        failed += log.failed
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
