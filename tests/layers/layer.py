"""What every layer needs: to run a command into its log, and to count."""

import os
import re
import subprocess

from harness import lifetime
from harness.paths import ROOT, TARGET

ENVIRONMENT = {"CARGO_TARGET_DIR": str(TARGET), "CARGO_TERM_COLOR": "never"}


class Failed(Exception):
    """A layer failed; the text says at what."""


class Log:
    """The output of one layer, and its counts."""

    def __init__(self, path):
        self.path = path
        self.path.write_text("")
        self.passed = self.failed = 0
        self.left_out = []
        self.failures = []

    def run(self, *command, environment=None, must_pass=True):
        """Runs a command from the project's root and returns what it printed."""
        command = [str(part) for part in command]
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            start = log.tell()
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT, **(environment or {})},
            )

            def stop():
                lifetime.end(process)

            lifetime.stop_at_exit(stop)
            status = process.wait()
            lifetime.cancel_stop(stop)
        with open(self.path, encoding="utf-8", errors="replace") as log:
            log.seek(start)
            output = log.read()
        if status != 0:
            self.failures.append(f"$ {' '.join(command)}\n{output}")
        if status != 0 and must_pass:
            raise Failed(f"`{' '.join(command[:4])}` ended with {status}")
        return status, output

    def note(self, line):
        """Writes a line of our own."""
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(line + "\n")

    def check(self, *command, environment=None):
        """Runs a command that is one test: it passes or fails as a whole."""
        status, output = self.run(*command, environment=environment, must_pass=False)
        self.count(1 if status == 0 else 0, 0 if status == 0 else 1)
        return output

    def count(self, passed, failed, skipped=0):
        """Adds to the counts. A test that was skipped has shown nothing: it counts as one that failed."""
        self.passed += passed
        self.failed += failed + skipped
        if skipped:
            self.failures.append(f"{skipped} skipped: what a server cannot run is left out by name, and everything else runs")

    def leave_out(self, reason):
        """Counts a test that this server cannot run."""
        self.left_out.append(reason)
        self.note(f"left out: {reason}")

    def cargo_test(self, *command, environment=None):
        """Runs a command that ends in `cargo test`, and counts the tests of all its binaries."""
        status, output = self.run(*command, environment=environment, must_pass=False)
        results = re.findall(r"^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored", output, re.M)
        self.count(*(sum(int(result[column]) for result in results) for column in range(3)))
        if status != 0 and not self.failed:
            raise Failed(f"`{' '.join(command[:4])}` ended with {status}")
        if not results:
            raise Failed("no test ran")
