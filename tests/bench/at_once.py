"""From the commit of a row of a watched table to its mail at smtp-sink, beside the same insert where nobody watches and a mail by smtp-source."""

import time

from bench import mail
from harness import wait_until

INSERTS = 100
SCENARIOS = {"one scenario": 1, "24 scenarios, of which it enters one": 24}
PAUSE = 0.1  # seconds: the worker is idle again
TIMEOUT = 30
INSERT = "insert into shop.customer values (%s, 'Zoe', 'zoe@example.org', 'Sometown', now())"
ENTER_NOBODY = "self.id < 0"
ENTER_LATER = "self.id > {rows}"


def latency(results, cluster, database, rows, port, preload):
    """Inserts rows one by one into a table of `rows`; how long each mail took to arrive."""
    key = rows
    sink = mail.Sink(port)
    preload()
    connection = cluster.connect(database)
    with connection.cursor() as cursor:
        beside = []
        for _ in range(INSERTS):
            key += 1
            beside.append(_took(cursor, sink, key, then=lambda: mail.send_by_source(port, 1)))
        for name, count in SCENARIOS.items():
            _scenarios(cluster, database, count, ENTER_LATER.format(rows=key))
            wait_until(lambda: _state(cluster, database) == "idle", 60, 0.05, "an idle worker")
            took = []
            for _ in range(INSERTS):
                time.sleep(PAUSE)
                key += 1
                took.append(_took(cursor, sink, key))
            results.spread(f"insert into {rows:,} rows → mail, {name}", took, beside, "insert, smtp-source")
            cluster.psql("select marketing_automation.stop(name) from marketing_automation.scenario where state = 'running'", dbname=database)
    connection.close()
    sink.stop()


def _scenarios(cluster, database, count, domain):
    """One that later rows enter, and so many less one that nobody enters, on a watched table."""
    for number in range(count):
        cluster.query(
            """select marketing_automation.create_scenario(%(s)s, model => 'customer', domain => %(d)s);
               select marketing_automation.add_activity(%(s)s, 'hello', subject => 'Hello {{ record.name }}', body => %(b)s);
               select marketing_automation.run(%(s)s)""",
            {"s": f"at once {count} {number}", "d": domain if number == 0 else ENTER_NOBODY, "b": "<p>Hello</p><a href='unsubscribe'>Leave</a>"},
            dbname=database,
        )
    cluster.query("select * from marketing_automation.watch('customer')", dbname=database)
    # From now on only what is written is looked at.
    cluster.psql("call marketing_automation.enroll_all()", dbname=database)


def _state(cluster, database):
    return cluster.value("select state from marketing_automation.worker_status() where database = current_database()", dbname=database)


def _took(cursor, sink, key, then=lambda: None):
    """Seconds from the insert to one mail more at the sink."""
    before = sink.count()
    started = time.monotonic()
    cursor.execute(INSERT, (key,))
    then()
    wait_until(lambda: sink.count() > before, TIMEOUT, 0.001, "the mail")
    return time.monotonic() - started
