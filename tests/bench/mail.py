"""Mails through the worker and through marketing-mailer to Postfix's smtp-sink, beside its own smtp-source."""

import contextlib
import os
import re
import resource
import subprocess
import time

from bench import processor
from bench.database import BODY
from bench.memory import Watch
from harness import Mailer, lifetime, wait_until
from harness.paths import TARGET

POSTFIX = TARGET / "packages" / "postfix"
SIZE = 8000
MAILERS = {"one marketing-mailer": 1, "two marketing-mailers": 2}
WORKER = "the worker"
# What database.process() has queued.
ITS_SCENARIO = "some"


class Sink:
    """smtp-sink, which counts the mails that it takes and throws them away."""

    def __init__(self, port):
        self.port = port
        self._log = TARGET / "bench" / "smtp-sink.log"
        self._log.unlink(missing_ok=True)
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._process = lifetime.spawn(
            [POSTFIX / "usr/sbin/smtp-sink", "-c", *user, f"127.0.0.1:{port}", "1024"],
            log=self._log,
            env=_environment(),
        )
        self.pid = self._process.pid
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


def queue_for_worker(cluster, database):
    """As database.process() does, unmeasured."""
    cluster.query("select * from marketing_automation.enroll(%s)", (ITS_SCENARIO,), dbname=database)
    cluster.psql("call marketing_automation.process_all_due()", dbname=database)


def queue(cluster, database):
    """Fills a queue for each way of sending, of scenarios that do not run yet: as many mails as are queued for the worker."""
    cluster.query("select marketing_automation.stop(%s)", (ITS_SCENARIO,), dbname=database)
    for name in MAILERS:
        cluster.query(
            """select marketing_automation.create_scenario(%(s)s, model => 'some_customer');
               select marketing_automation.add_activity(%(s)s, 'hello', subject => 'Hello {{ record.name }}', body => %(b)s);
               select marketing_automation.run(%(s)s)""",
            {"s": name, "b": BODY},
            dbname=database,
        )
        cluster.query("select * from marketing_automation.enroll(%s)", (name,), dbname=database)
        cluster.psql("call marketing_automation.process_all_due()", dbname=database)
        cluster.query("select marketing_automation.stop(%s)", (name,), dbname=database)
    cluster.query("create role sender login password 'sender'; select marketing_automation.grant_access('sender', 'mailer')", dbname=database)
    cluster.query("vacuum analyze", dbname=database)


def send(results, cluster, database, mails, port, preload):
    """Sends a queue of `mails` by one mailer, by two, and by the worker, which `preload` starts; and as many by smtp-source before and
    after each."""
    sink = Sink(port)
    rates = {}
    reference = [_source(results, sink, port, mails)]
    for name, count in MAILERS.items():
        url = cluster.url(database, "sender", "sender")
        with contextlib.ExitStack() as stack:
            mailers = [Mailer(url, f"mailer-{number}", profile="release").start() for number in range(count)]
            for mailer in mailers:
                stack.callback(mailer.stop)
            processes = {f"mailer {number}": mailer.process.pid for number, mailer in enumerate(mailers, 1)}
            sessions = cluster.query("select pid from pg_stat_activity where usename = 'sender'", dbname=database)
            processes |= {f"session {number}": pid for number, (pid,) in enumerate(sessions, 1)}
            with Watch(mailers[0].process.pid) as watch:
                rates[name] = _send(results, cluster, database, mails, sink, name, processes)
        results.memory("a marketing-mailer", watch.before, watch.peak)
        reference.append(_source(results, sink, port, mails))
    preload()
    worker = wait_until(
        lambda: cluster.value("select pid from marketing_automation.worker_status() where database = current_database()", dbname=database),
        30, 0.005, "the worker",
    )  # fmt: skip
    with Watch(worker) as watch:
        rates[WORKER] = _send(results, cluster, database, mails, sink, ITS_SCENARIO, {"worker": worker})
    results.memory("the worker", watch.before, watch.peak)
    reference.append(_source(results, sink, port, mails))
    sink.stop()
    for number, (name, rate) in enumerate(rates.items()):
        beside = (reference[number] + reference[number + 1]) / 2
        results.rate(f"send {mails:,} mails of {SIZE:,} bytes, {name}", rate, beside, "smtp-source -d -s 16")
    for name in MAILERS:
        results.rate(f"{name} beside the worker", rates[name], rates[WORKER], "the worker")


def send_unmeasured(cluster, database, mails, port, preload):
    """Sends what is queued for the worker; the links of mails are made then."""
    sink = Sink(port)
    preload()
    cluster.query("select marketing_automation.draft(%(s)s), marketing_automation.run(%(s)s)", {"s": ITS_SCENARIO}, dbname=database)
    wait_until(lambda: sink.count() >= mails, 1200, 0.2, "all mails at the sink")
    sink.stop()


def _send(results, cluster, database, mails, sink, scenario, processes):
    """Lets a scenario's mails leave; how many arrived in a second, from the first to the last."""
    before = sink.count()
    processes = {**processes, "smtp-sink": sink.pid}
    spent = processor.times(processes)
    cluster.query("select marketing_automation.draft(%(s)s), marketing_automation.run(%(s)s)", {"s": scenario}, dbname=database)
    wait_until(lambda: sink.count() > before, 60, 0.002, "the first mail")
    started, first = time.monotonic(), sink.count()
    wait_until(lambda: sink.count() - before >= mails, 1200, 0.05, "all mails at the sink")
    seconds = time.monotonic() - started
    arrived = sink.count() - first
    spent = processor.since(spent, processes)
    wait_until(
        lambda: cluster.value(
            "select count(*) from marketing_automation_internal.message_log l join marketing_automation.activity a on a.id = l.activity_id "
            "join marketing_automation.scenario s on s.id = a.scenario_id where s.name = %s and l.state = 'sent'",
            (scenario,), dbname=database,
        ) == mails,
        60, 0.2, "all mails to be recorded as sent",
    )  # fmt: skip
    assert sink.count() - before == mails, f"{sink.count() - before} mails arrived, not {mails}"
    processor.note(results, "a mail", mails, seconds, spent)
    return max(arrived, 1) / seconds


def _cpu_of_children():
    """Seconds of processor time of the programs that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def send_by_source(port, mails):
    """Sends mails by Postfix's smtp-source, which renders nothing, over up to 16 connections."""
    subprocess.run(
        [POSTFIX / "usr/sbin/smtp-source", "-d", "-s", str(min(16, mails)), "-l", str(SIZE), "-m", str(mails),
         "-f", "shop@example.org", "-t", "c@example.org", f"127.0.0.1:{port}"],
        check=True, env={**os.environ, **_environment()},
    )  # fmt: skip


def _source(results, sink, port, mails):
    """Sends as many mails by smtp-source; how many a second."""
    before = sink.count()
    spent = {"smtp-source": -_cpu_of_children(), "smtp-sink": -processor.time(sink.pid)}
    started = time.monotonic()
    send_by_source(port, mails)
    seconds = time.monotonic() - started
    wait_until(lambda: sink.count() - before == mails, 30, what="smtp-source's mails at the sink")
    spent["smtp-source"] += _cpu_of_children()
    spent["smtp-sink"] += processor.time(sink.pid)
    processor.note(results, "a mail", mails, seconds, spent)
    return mails / seconds


def _environment():
    return {"LD_LIBRARY_PATH": str(POSTFIX / "usr/lib/postfix")}
