"""Tryton's marketing_automation in its own Python, on the server that is measured: trytond-worker, and the tasks of trytond-cron."""

import json
import os
import signal
import subprocess
import time

from bench import database, processor
from harness import lifetime, wait_until
from harness.paths import TARGET

PYTHON = TARGET / "peers" / "python" / "bin"
FOLDER = TARGET / "bench" / "tryton"
PROGRAM = __file__.replace("tryton.py", "tryton_program.py")
DATABASE = ROLE = "tryton"
PASSWORD = "tryton"
# Genshi's words for those of our template.
BODY = database.BODY.replace("{{ record.name }}", "${record.name}")
SUBJECT = "Hello ${record.name}"

CONFIGURATION = """
[database]
uri = postgresql://{role}:{password}@127.0.0.1:{port}/
[email]
uri = smtp://127.0.0.1:{smtp}
from = Shop <shop@example.org>
[marketing]
automation_base = http://127.0.0.1:1
[queue]
worker = True
batch_size = {batch}
"""
# How many activities a task has, its default: a task is a transaction with an SMTP connection, and as many run at once as there are cores.
BATCH = 20


class Tryton:
    """One database of Tryton, one trytond-worker and one program that runs the tasks of its cron."""

    def __init__(self, cluster, sink):
        self.cluster, self.sink = cluster, sink
        self._program = self._worker = None
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._configuration = FOLDER / "trytond.conf"
        names = {"role": ROLE, "password": PASSWORD, "port": cluster.port, "smtp": sink.port, "batch": BATCH}
        self._configuration.write_text(CONFIGURATION.format(**names))
        (FOLDER / "password").write_text("administrator of nothing\n")

    def make(self, parties):
        """A database with the module, and parties that have an address."""
        self.cluster.query(f"create role {ROLE} login password '{PASSWORD}'")
        self.cluster.query(f"create database {DATABASE} owner {ROLE}")
        with open(FOLDER / "trytond-admin.log", "wb") as log:
            subprocess.run(
                [PYTHON / "trytond-admin", "-c", self._configuration, "-d", DATABASE, "-u", "marketing_automation",
                 "--activate-dependencies", "--email", "admin@example.org"],
                env={"TRYTONPASSFILE": str(FOLDER / "password")}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
            )  # fmt: skip
        self._open()
        self._ask("parties", count=parties)
        self.cluster.query("vacuum analyze", dbname=DATABASE)

    def start(self):
        """Starts its worker, with a process for each core, as is its default."""
        self._worker = lifetime.spawn(
            [PYTHON / "trytond-worker", "-c", self._configuration, "-d", DATABASE], log=FOLDER / "trytond-worker.log"
        )
        lifetime.stop_at_exit(self.stop)

    def campaign(self, name, parties, steps):
        """The seconds of Scenario.trigger(), and of all mails of so many steps from then on, with the processor time of both."""
        self._ask("scenario", name=name, domain=[["id", "<=", parties]], steps=steps, subject=SUBJECT, body=BODY)
        self.cluster.query("checkpoint")
        spent = self._spent()
        answer = self._ask("enroll")
        done = {"enroll": answer["seconds"], "enroll processor": self._spent() - spent}
        entered = self._value(
            "select count(*) from marketing_automation_record r join marketing_automation_scenario s on s.id = r.scenario "
            "where s.name = %s",
            name,
        )
        assert entered == parties, f"{entered} entered, not {parties}"
        before, spent, started = self.sink.count(), self._spent(), time.monotonic()
        for step in range(1, steps + 1):
            self._ask("process")
            wait_until(lambda: not self._value("select count(*) from ir_queue where finished_at is null"), 1800, 0.05, "Tryton's tasks")
            # smtp-sink writes how many it has taken a moment later.
            wait_until(lambda step=step: self.sink.count() - before >= step * parties, 10, 0.01, "Tryton's mails at the sink")
        done["send"] = time.monotonic() - started
        done["send processor"] = self._spent() - spent
        arrived = self.sink.count() - before
        assert arrived == steps * parties, f"{arrived} mails arrived, not {steps * parties}"
        kept = self._value(
            "select count(*) from marketing_automation_record_activity a join marketing_automation_record r on r.id = a.record "
            "join marketing_automation_scenario s on s.id = r.scenario where s.name = %s and a.state = 'done'", name,
        )  # fmt: skip
        assert kept == steps * parties, f"{kept} activities are done, not {steps * parties}"
        self._ask("stop", name=name)
        return done

    def stop(self):
        """Ends both."""
        lifetime.cancel_stop(self.stop)
        if self._worker is not None:
            # Its processes do not end with it.
            os.killpg(self._worker.pid, signal.SIGTERM)
            lifetime.end(self._worker)
        if self._program is not None:
            self._program.stdin.close()
            self._program.wait(30)
        self._worker = self._program = None

    def _spent(self):
        return sum(processor.tree(process.pid) for process in (self.cluster.process, self._worker, self._program))

    def _value(self, sql, *arguments):
        return self.cluster.value(sql, arguments or None, dbname=DATABASE)

    def _open(self):
        """The program ends by itself when this one does, as its input ends then."""
        self._log = open(FOLDER / "program.log", "wb")
        self._program = subprocess.Popen(
            [PYTHON / "python", "-B", PROGRAM, self._configuration, DATABASE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip

    def _ask(self, task, **arguments):
        print(json.dumps({"task": task, **arguments}), file=self._program.stdin, flush=True)
        answer = self._program.stdout.readline()
        if not answer:
            raise RuntimeError(f"Tryton's program has ended; see {FOLDER / 'program.log'}")
        return json.loads(answer)
