"""What every layer needs: to run a command into its log, and to count."""

import os
import re
import subprocess

from harness import lifetime
from harness.paths import ROOT, TARGET

ENVIRONMENT = {"CARGO_TARGET_DIR": str(TARGET), "CARGO_TERM_COLOR": "never"}


class Failed(Exception):
    """A layer failed; the text says at what."""


class Running:
    """A command whose output goes to the end of a log."""

    def __init__(self, log, command, environment):
        self.log, self.command = log, command
        with open(log.path, "a", encoding="utf-8") as output:
            output.write(f"$ {' '.join(command)}\n")
            output.flush()
            self.start = output.tell()
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        lifetime.stop_at_exit(self.stop)

    def stop(self):
        lifetime.end(self.process)

    def wait(self, must_pass=True):
        """Its status, and what it printed."""
        status = self.process.wait()
        lifetime.cancel_stop(self.stop)
        with open(self.log.path, encoding="utf-8", errors="replace") as log:
            log.seek(self.start)
            output = log.read()
        if status != 0:
            self.log.failures.append(f"$ {' '.join(self.command)}\n{output}")
        if status != 0 and must_pass:
            raise Failed(f"`{' '.join(self.command[:4])}` ended with {status}")
        return status, output


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
        return self.start(*command, environment=environment).wait(must_pass)

    def start(self, *command, environment=None):
        """The same, without waiting."""
        return Running(self, [str(part) for part in command], {**os.environ, **ENVIRONMENT, **(environment or {})})

    def note(self, line):
        """Writes a line of our own."""
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(line + "\n")

    def check(self, *command, environment=None):
        """Runs a command that is one test: it passes or fails as a whole."""
        status, output = self.run(*command, environment=environment, must_pass=False)
        self.count(1 if status == 0 else 0, 0 if status == 0 else 1)
        return output

    def expect(self, holds, otherwise):
        """Counts a test of our own, and tells what is wrong."""
        self.count(int(holds), int(not holds))
        if not holds:
            self.note(otherwise)
            self.failures.append(otherwise)

    def count(self, passed, failed, skipped=0):
        """Adds to the counts. A test that was skipped has shown nothing: it counts as one that failed."""
        self.passed += passed
        self.failed += failed + skipped
        if skipped:
            self.failures.append(f"{skipped} skipped: what a server cannot run is left out by name, and everything else runs")

    def add(self, other):
        """Adds what another log has counted; what was left out is left out of each."""
        self.passed += other.passed
        self.failed += other.failed
        self.failures += other.failures
        self.left_out = sorted({*self.left_out, *other.left_out})

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
