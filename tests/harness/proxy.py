"""The tracking proxy, as the real program."""

from . import lifetime
from .paths import TARGET
from .web_program import WebProgram

BINARY = "marketing-tracking-proxy"


class Proxy(WebProgram):
    """Runs the proxy on a free port of 127.0.0.1, or where `listen` says, until the program ends.

    `shell`: what a shell does, such as setting limits, before it becomes the proxy.
    """

    def __init__(self, database_url, profile="debug", port=None, listen=None, detached=False, arguments=(), environment=None, shell=None):
        self.port = port or lifetime.free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        super().__init__("proxy", self.base + "/readyz", detached)
        self._command = [TARGET / profile / BINARY, "--listen", listen or f"127.0.0.1:{self.port}", *arguments]
        if shell:
            self._command = ["sh", "-c", f'{shell}; exec "$@"', "sh", *self._command]
        # The URL holds a password, and a command line is readable by everybody.
        self._environment = dict(environment or {})
        self.set_database(database_url)

    def set_database(self, url):
        """Sets the connection URL that the next `start` uses."""
        self._environment["MARKETING_TRACKING_DATABASE_URL"] = url or ""

    def start(self, wait=True):
        """Starts the proxy; with `wait`, returns when it reaches its database."""
        return self.spawn(self._command, self._environment, wait)
