"""nginx, which answers from memory: what requests cost that nobody records, and a server for webhooks, which logs them."""

import contextlib
import pathlib
import socket
import tempfile

from harness import free_port, lifetime, wait_until
from harness.paths import TARGET

PROGRAM = TARGET / "packages" / "nginx" / "usr/sbin/nginx"
CONFIGURATION = pathlib.Path(__file__).parent / "nginx.conf"
POSTS = "posts"


@contextlib.contextmanager
def nginx(port=None):
    """Runs it; gives its port, and the file to which it writes the time of each webhook."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="ma-nginx-") as name:
        directory = pathlib.Path(name)
        # For its worker processes, which are nobody's.
        directory.chmod(0o755)
        configuration = directory / "nginx.conf"
        configuration.write_text(CONFIGURATION.read_text().replace("@DIRECTORY@", name).replace("@PORT@", str(port)))
        process = lifetime.spawn([PROGRAM, "-p", name, "-c", configuration], log=configuration.with_suffix(".log"))

        def stop():
            lifetime.end(process)

        lifetime.stop_at_exit(stop)
        wait_until(lambda: _listens(port), 10, what="nginx to listen")
        yield port, directory / POSTS
        lifetime.cancel_stop(stop)
        stop()


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
