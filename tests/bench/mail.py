"""Mails through the worker to Postfix's smtp-sink, beside its own smtp-source."""

import os
import re
import subprocess
import time

from bench.memory import Watch
from harness import lifetime, wait_until
from harness.paths import TARGET

POSTFIX = TARGET / "packages" / "postfix"
SIZE = 8000


class Sink:
    """smtp-sink, which counts the mails that it takes and throws them away."""

    def __init__(self, port):
        self._log = TARGET / "bench" / "smtp-sink.log"
        self._log.unlink(missing_ok=True)
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._process = lifetime.spawn(
            [POSTFIX / "usr/sbin/smtp-sink", "-c", *user, f"127.0.0.1:{port}", "1024"],
            log=self._log,
            env=_environment(),
        )
        lifetime.stop_at_exit(self.stop)
        time.sleep(0.5)

    def stop(self):
        """Ends it."""
        lifetime.cancel_stop(self.stop)
        lifetime.end(self._process)

    def count(self):
        """How many mails it has taken: the last number of its running counter."""
        with open(self._log, "rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - 40, 0))
            numbers = re.findall(rb"(\d+)", log.read().rstrip().rpartition(b"\r")[2])
        return int(numbers[-1]) if numbers else 0


def send(results, cluster, database, mails, port):
    """Starts the server with its worker, on a queue of `mails`; and smtp-source on the same sink."""
    sink = Sink(port)
    reference = [_source(sink, port, mails)]
    before = sink.count()
    cluster.start()
    pid = wait_until(
        lambda: cluster.value(
            "select pid from marketing_automation.worker_status() where database = current_database()", dbname=database
        ),
        30, 0.005, "the worker",
    )  # fmt: skip
    with Watch(pid) as watch:
        wait_until(lambda: sink.count() > before, 60, 0.002, "the first mail")
        started, first = time.monotonic(), sink.count()
        wait_until(lambda: sink.count() - before >= mails, 1200, 0.05, "all mails at the sink")
        seconds = time.monotonic() - started
        arrived = sink.count() - first
        wait_until(
            lambda: cluster.value("select count(*) from marketing_automation.message where state = 'sent'", dbname=database) == mails,
            60, 0.2, "all mails to be recorded as sent",
        )  # fmt: skip
    assert sink.count() - before == mails, f"{sink.count() - before} mails arrived, not {mails}"
    reference.append(_source(sink, port, mails))
    sink.stop()
    results.rate(f"send {mails:,} mails of {SIZE:,} bytes", arrived / seconds, sum(reference) / len(reference), "smtp-source -d -s 16")
    results.memory("the worker", watch.before, watch.peak)


def _source(sink, port, mails):
    before = sink.count()
    started = time.monotonic()
    subprocess.run(
        [POSTFIX / "usr/sbin/smtp-source", "-d", "-s", "16", "-l", str(SIZE), "-m", str(mails),
         "-f", "shop@example.org", "-t", "c@example.org", f"127.0.0.1:{port}"],
        check=True, env={**os.environ, **_environment()},
    )  # fmt: skip
    seconds = time.monotonic() - started
    wait_until(lambda: sink.count() - before == mails, 30, what="smtp-source's mails at the sink")
    return mails / seconds


def _environment():
    return {"LD_LIBRARY_PATH": str(POSTFIX / "usr/lib/postfix")}
