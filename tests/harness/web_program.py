"""A program that answers over HTTP, in a temporary directory of its own."""

import pathlib
import shutil
import tempfile

import requests

from . import lifetime


class WebProgram:
    """Runs until the program that started it ends; what it prints goes to `log`."""

    def __init__(self, name, health, detached=False):
        self.name = name
        self.health = health
        self.detached = detached
        self.process = None
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"ma-{name}-", dir="/tmp"))
        self.log = self.directory / f"{name}.log"

    def spawn(self, command, environment=None, wait=True):
        """Starts it; with `wait`, returns when `health` answers with success."""
        lifetime.stop_at_exit(self.stop)
        self.directory.mkdir(exist_ok=True)
        self.process = lifetime.spawn(command, log=self.log, env=environment, detached=self.detached)
        if wait:
            lifetime.wait_until(self.ready, 30, what=f"the {self.name} to be ready")
        return self

    def stop(self):
        """Stops it and forgets its files."""
        lifetime.cancel_stop(self.stop)
        lifetime.end(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def leave_running(self):
        """Lets a detached one outlive this program."""
        lifetime.cancel_stop(self.stop)

    def ready(self):
        """Whether it runs and says that it is well."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the {self.name} ended:\n{self.log.read_text(errors='replace')[-4000:]}")
        try:
            return requests.get(self.health, timeout=2).ok
        except requests.RequestException:
            return False
