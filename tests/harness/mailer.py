"""marketing-mailer, as the real program."""

import signal
import subprocess

import requests

from . import lifetime
from .paths import TARGET
from .web_program import WebProgram

BINARY = "marketing-mailer"


class Mailer(WebProgram):
    """Runs a mailer until the program ends; /readyz and /metrics are on a free port of 127.0.0.1.

    `program`: another one than that of `profile`. Without a database or a name, a file among the arguments says it.
    """

    def __init__(self, database_url, name="mailer-1", profile="debug", detached=False, arguments=(), environment=None, program=None):
        self.port = lifetime.free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        super().__init__("mailer", self.base + "/readyz", detached)
        self._program = program or TARGET / profile / BINARY
        self._arguments = [*(("--name", name) if name else ()), *arguments]
        # The URL holds a password, and a command line is readable by everybody.
        self._environment = {**(environment or {}), **({"MARKETING_MAILER_DATABASE_URL": database_url} if database_url else {})}

    def start(self, wait=True):
        """Starts it; with `wait`, returns when it could send."""
        return self.spawn([self._program, "--listen", f"127.0.0.1:{self.port}", *self._arguments], self._environment, wait)

    def check(self):
        """What `--check` says; its exit code and its lines."""
        # As `spawn` does: no library of the machine's environment but what it names.
        ended = subprocess.run(
            [self._program, "--check", *self._arguments], env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        return ended.returncode, ended.stdout + ended.stderr

    def kill(self):
        """Kills it as a power failure would."""
        lifetime.end(self.process, signal.SIGKILL)

    def terminate(self):
        """Asks it to end, and gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def said(self):
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def ready_or_why(self):
        """What /readyz says."""
        return requests.get(self.health, timeout=5).text.strip()

    def metric(self, name):
        """One number of /metrics."""
        lines = requests.get(self.base + "/metrics", timeout=5).text.splitlines()
        return next(int(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))
