"""When things end: nothing that was started outlives the program that started it."""

import atexit
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time

_stops = []
_claims = []
# Below those that Linux gives to outgoing connections.
_PORTS = (10240, 32768)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def stop_at_exit(stop):
    """Calls `stop` when the program ends, last registered first; also after Ctrl-C and SIGTERM."""
    if not _stops:
        atexit.register(_stop_all)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(1))
    _stops.append(stop)


def cancel_stop(stop):
    """Takes back a `stop_at_exit`: the thing has been stopped already, or is to stay."""
    if stop in _stops:
        _stops.remove(stop)


def _stop_all():
    while _stops:
        try:
            _stops.pop()()
        except Exception as error:  # the others must be stopped all the same
            print(f"while stopping: {error}", file=sys.stderr)


def spawn(command, *, log, env=None, user=None, detached=False, death_signal=signal.SIGTERM):
    """Starts a server process whose output goes to the file `log`.

    It gets a session of its own, so that Ctrl-C in the terminal reaches only this program, which
    then stops its parts in order. If this program is killed outright, the kernel sends
    `death_signal` to the process, unless it is `detached`. Only the main thread may call this:
    the kernel's notice comes when the starting thread ends.
    """

    def before_exec():
        if not detached:
            _libc.prctl(_PR_SET_PDEATHSIG, death_signal)

    identity = {}
    if user is not None:
        identity = {"user": user, "group": user, "extra_groups": []}
    with open(log, "ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd="/",
            start_new_session=True,
            preexec_fn=before_exec,
            **identity,
        )


def end(process, number=signal.SIGTERM, seconds=15):
    """Ends a process that `spawn` started: `number` first, SIGKILL when that does not help."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port():
    """A TCP port of 127.0.0.1 that nobody uses now, and that stays this program's until it ends.

    Whatever listens there may stop and start again meanwhile. So no other run gets the port, which a socket with that name shows, and no
    outgoing connection, as those have higher ones.
    """
    while True:
        port = random.randrange(*_PORTS)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0marketing_automation port {port}")
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


def wait_until(predicate, timeout=60, interval=0.05, what=None):
    """Calls `predicate` until its answer is true, and returns that answer.

    The longer it has waited, the less often it asks, as most questions cost a connection to a server: each `interval` seconds at first, then
    after another twentieth of the time, each quarter of a second at last.

    Raises TimeoutError after `timeout` seconds, with the last answer and `what` was waited for.
    """
    started = time.monotonic()
    while True:
        answer = predicate()
        if answer:
            return answer
        waited = time.monotonic() - started
        if waited > timeout:
            waited_for = what or getattr(predicate, "__doc__", None) or "the condition"
            raise TimeoutError(f"{waited_for}: not within {timeout} s; last answer {answer!r}")
        time.sleep(max(interval, min(waited / 20, 0.25)))
