"""An HTTP server that takes webhooks, and misbehaves as a test says."""

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Call:
    """One request."""

    path: str
    headers: dict
    text: str

    @property
    def body(self):
        return json.loads(self.text)


class HttpTarget:
    """Answers POST by `answer(call)`, which gives a status, and headers beside it; "silence" and "endless" are what they say."""

    def __init__(self):
        self.calls = []
        self.answer = lambda call: 204
        self._lock = threading.Lock()
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                text = self.rfile.read(int(self.headers["content-length"])).decode()
                call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, text)
                with target._lock:
                    target.calls.append(call)
                answer = target.answer(call)
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                if status == "silence":
                    target._closed.wait(30)
                    self.close_connection = True
                    return
                if status == "endless":
                    self.send_response(200)
                    self.end_headers()
                    end = time.monotonic() + 30
                    try:
                        while not target._closed.is_set() and time.monotonic() < end:
                            self.wfile.write(b"x" * 65536)
                    except OSError:
                        pass
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self._closed = threading.Event()
        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def to(self, path):
        """The calls to a path."""
        with self._lock:
            return [call for call in self.calls if call.path == path]

    def close(self):
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
