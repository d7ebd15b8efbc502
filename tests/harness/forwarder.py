"""A TCP forwarder that can be cut: the network between two programs."""

import select
import socket
import threading

from . import lifetime


class Forwarder:
    """Forwards connections to a port of 127.0.0.1. While it is cut, bytes go nowhere and nobody is told, as when a cable is pulled."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._is_cut = threading.Event()
        self._is_closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()
        lifetime.stop_at_exit(self.close)

    def cut(self):
        """Lets nothing through, neither what is open nor what is new."""
        self._is_cut.set()

    def mend(self):
        """Lets new connections through; what was open stays silent."""
        self._is_cut.clear()

    def close(self):
        """Ends all."""
        lifetime.cancel_stop(self.close)
        self._is_closed.set()
        self._listener.close()

    def _accept(self):
        while not self._is_closed.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(near,), daemon=True).start()

    def _forward(self, near):
        if self._is_cut.is_set():
            self._is_closed.wait()
            return
        far = socket.create_connection(("127.0.0.1", self._target))
        other = {near: far, far: near}
        while not self._is_closed.is_set():
            readable, _, _ = select.select([near, far], [], [], 0.05)
            if self._is_cut.is_set():
                # For ever: the two ends find out by themselves.
                self._is_closed.wait()
                break
            for end in readable:
                try:
                    data = end.recv(65536)
                    other[end].sendall(data)
                except OSError:
                    data = b""
                if not data:
                    near.close()
                    far.close()
                    return
        near.close()
        far.close()
