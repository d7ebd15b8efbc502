"""The benchmark: each stage beside the raw thing of the same shape, run in the same minutes.

Absolute figures differ from machine to machine, so what counts is the ratio. Every rate is taken
from what was found to have arrived afterwards. BENCH_SCALE=0.1 takes a tenth of the rows. BENCH_STAGES=mail measures sending only,
BENCH_STAGES=webhooks webhooks and BENCH_STAGES=tracking clicks and opens, each of a tenth of the rows that are there otherwise;
BENCH_STAGES=features what features of a campaign add, and BENCH_STAGES=at_once how long a mail takes from the commit of its row, which nothing
else measures.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench import at_once, backlog, database, features, mail, tracking, webhooks  # noqa: E402
from bench.result import Results  # noqa: E402
from harness import Cluster, free_port  # noqa: E402
from harness.installation import Installation, run_logged  # noqa: E402
from harness.paths import TARGET  # noqa: E402

DATABASE = "bench"
ALL = ""
STAGES = (ALL, "mail", "webhooks", "tracking", "features", "at_once")


def main():
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    stages = os.environ.get("BENCH_STAGES", ALL)
    if stages not in STAGES:
        sys.exit(f"BENCH_STAGES is {stages!r}, not one of: {', '.join(name for name in STAGES if name != ALL)}")
    mails = int(100_000 * scale)
    rows = mails if stages in ("mail", "webhooks", "tracking") else 10 * mails
    # Made here, as a fresh clone has none.
    (TARGET / "bench").mkdir(parents=True, exist_ok=True)
    print("building in release mode (some minutes the first time)", flush=True)
    log = TARGET / "bench" / "build.log"
    log.write_text("")
    Installation().use().install(run_logged(log), "release")
    results = Results()
    smtp_port, proxy_port = free_port(), free_port()
    settings = {
        "marketing_automation.email_from": "Shop <shop@example.org>",
        "marketing_automation.automation_base": f"http://127.0.0.1:{proxy_port}",
        "marketing_automation.smtp_url": f"smtp://127.0.0.1:{smtp_port}",
    }
    # Not preloaded yet, so that no worker runs beside what is measured.
    cluster = Cluster(preload="", settings=settings, durable=True).start()
    cluster.query(f"create database {DATABASE}")
    database.prepare(cluster, DATABASE, rows, mails)

    def preload():
        cluster.stop()
        with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write("shared_preload_libraries = 'marketing_automation'\n")
        cluster.start()

    if stages in ("features", "at_once"):
        cluster.psql("select marketing_automation.stop(name) from marketing_automation.scenario", dbname=DATABASE)
    if stages == "features":
        features.per_mail(results, cluster, DATABASE, mails // 5)
        features.sweep(results, cluster, DATABASE, rows)
        features.cap(results, cluster, DATABASE, rows, mails // 5)
        results.save()
        return
    if stages == "at_once":
        at_once.latency(results, cluster, DATABASE, rows, smtp_port, preload)
        results.save()
        return
    if stages != ALL:
        mail.queue_for_worker(cluster, DATABASE)
    else:
        database.enroll(results, cluster, DATABASE, rows)
        database.enroll_keys(results, cluster, DATABASE, rows)
        database.rescan(results, cluster, DATABASE, rows)
        database.process(results, cluster, DATABASE, mails)
        database.call(results, cluster, DATABASE, mails)
        # BENCH_SCALE=5: a million.
        backlog.health(results, cluster, 2 * mails)

    webhooks_port = webhooks.queue(cluster, DATABASE) if stages in (ALL, "webhooks") else None
    if stages == "webhooks":
        preload()
    else:
        mail.queue(cluster, DATABASE)
    if stages in (ALL, "mail"):
        mail.send(results, cluster, DATABASE, mails, smtp_port, preload)
    elif stages == "tracking":
        mail.send_unmeasured(cluster, DATABASE, mails, smtp_port, preload)
    if webhooks_port:
        webhooks.deliver(results, cluster, DATABASE, mails, webhooks_port)
    if stages in (ALL, "tracking"):
        tracking.hits(results, cluster, DATABASE, proxy_port)
    results.save()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
