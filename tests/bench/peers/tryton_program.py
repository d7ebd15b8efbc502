"""Runs in Tryton's Python: a task for each line of its input, and a line with how long it took for each that it has done.

`python tryton_program.py CONFIGURATION DATABASE`
"""

import json
import sys
import time

from trytond import config

config.update_etc(sys.argv[1])

from trytond.pool import Pool  # noqa: E402
from trytond.transaction import Transaction  # noqa: E402

DATABASE = sys.argv[2]


def parties(pool, count):
    Party = pool.get("party.party")
    Party.create(
        [
            {"name": f"Customer {n}", "contact_mechanisms": [("create", [{"type": "email", "value": f"c{n}@example.org"}])]}
            for n in range(1, count + 1)
        ]
    )


def scenario(pool, name, domain, steps, subject, body):
    Scenario, Activity = pool.get("marketing.automation.scenario"), pool.get("marketing.automation.activity")
    (parent,) = Scenario.create([{"name": name, "model": "party.party", "domain": json.dumps(domain)}])
    Scenario.run([parent])
    for step in range(1, steps + 1):
        (parent,) = Activity.create(
            [
                {
                    "name": f"{name} {step}", "parent": str(parent), "action": "send_email",
                    "email_title": subject, "email_template": body,
                }
            ]
        )  # fmt: skip


def enroll(pool):
    """As the cron task "Trigger Marketing Scenarios"."""
    pool.get("marketing.automation.scenario").trigger()


def process(pool):
    """As the cron task "Process Marketing Activity", which queues what is due for the worker."""
    pool.get("marketing.automation.record.activity").process()


def stop(pool, name):
    Scenario = pool.get("marketing.automation.scenario")
    Scenario.stop(Scenario.search([("name", "=", name)]))


def main():
    tasks = {task.__name__: task for task in (parties, scenario, enroll, process, stop)}
    pool = Pool(DATABASE)
    with Transaction().start(DATABASE, 0, readonly=True):
        pool.init()
    for line in sys.stdin:
        arguments = json.loads(line)
        task = tasks[arguments.pop("task")]
        started = time.monotonic()
        with Transaction().start(DATABASE, 0, context={"_skip_warnings": True}):
            task(pool, **arguments)
        print(json.dumps({"seconds": time.monotonic() - started}), flush=True)


if __name__ == "__main__":
    main()
