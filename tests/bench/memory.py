"""Private memory of a process while it works."""

import pathlib
import re
import threading


class Watch:
    """Samples RssAnon of a process: what it allocated, without the server's shared buffers that it touched."""

    def __init__(self, pid):
        self._status = pathlib.Path(f"/proc/{pid}/status")
        self._done = threading.Event()
        self.before = self.peak = self._read()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _sample(self):
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self._read())

    def _read(self):
        try:
            found = re.search(r"RssAnon:\s+(\d+) kB", self._status.read_text())
        except (FileNotFoundError, ProcessLookupError):
            found = None
        return int(found[1]) if found else 0
