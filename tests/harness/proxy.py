"""The tracking proxy, as the real program."""

import pathlib
import shutil
import tempfile

import requests

from . import lifetime
from .paths import TARGET

BINARY = "marketing-tracking-proxy"


class Proxy:
    """Runs the proxy on a free port of 127.0.0.1 until the program ends."""

    def __init__(self, database_url, profile="debug", port=None, detached=False, arguments=(), environment=None):
        self.port = port or lifetime.free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.detached = detached
        self.process = None
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ma-proxy-", dir="/tmp"))
        self.log = self.directory / "proxy.log"
        self._command = [TARGET / profile / BINARY, "--listen", f"127.0.0.1:{self.port}", *arguments]
        # The URL holds a password, and a command line is readable by everybody.
        self._environment = dict(environment or {})
        self.set_database(database_url)

    def set_database(self, url):
        """Sets the connection URL that the next `start` uses."""
        self._environment["MARKETING_TRACKING_DATABASE_URL"] = url or ""

    def start(self, wait=True):
        """Starts the proxy; with `wait`, returns when it says that it is ready."""
        lifetime.stop_at_exit(self.stop)
        self.directory.mkdir(exist_ok=True)
        self.process = lifetime.spawn(
            self._command, log=self.log, env=self._environment, detached=self.detached
        )
        if wait:
            lifetime.wait_until(self.ready, 30, what="the proxy to be ready")
        return self

    def stop(self):
        """Stops the proxy."""
        lifetime.cancel_stop(self.stop)
        lifetime.end(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def leave_running(self):
        """Lets a detached proxy outlive this program."""
        lifetime.cancel_stop(self.stop)

    def ready(self):
        """Whether the proxy can serve: it runs and reaches its database."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the proxy ended:\n{self.log.read_text(errors='replace')[-4000:]}")
        try:
            return requests.get(self.base + "/readyz", timeout=2).ok
        except requests.RequestException:
            return False
