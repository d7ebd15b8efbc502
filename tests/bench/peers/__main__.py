"""Peers in the same run: Tryton's marketing_automation, graphile-worker and pg-boss do the same work as this project, on the same
server, one after the other, and what arrived is counted.

BENCH_SCALE=0.1 takes a tenth of the rows. docs/benchmarks.md says what is compared with what, and keeps a run.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from bench.mail import Sink  # noqa: E402
from bench.peers import campaign, jobs, machine  # noqa: E402
from bench.result import Results  # noqa: E402
from harness import Cluster, free_port  # noqa: E402
from harness.installation import Installation, run_logged  # noqa: E402
from harness.paths import TARGET  # noqa: E402

PARTIES, MANY, JOBS = 1_000, 50_000, 50_000


def main():
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    profile = os.environ.get("BENCH_PROFILE", "release")
    # Made here, as a fresh clone has none.
    (TARGET / "bench").mkdir(parents=True, exist_ok=True)
    print(f"building in {profile} mode (some minutes the first time)", flush=True)
    log = TARGET / "bench" / "build.log"
    log.write_text("")
    Installation().use().install(run_logged(log), profile)
    sink = Sink(free_port())
    settings = {
        "marketing_automation.email_from": "Shop <shop@example.org>",
        "marketing_automation.automation_base": "http://127.0.0.1:1",
        "marketing_automation.smtp_url": f"smtp://127.0.0.1:{sink.port}",
    }
    cluster = Cluster(preload="marketing_automation", settings=settings, durable=True).start()
    results = Results("peers.json")
    about = machine.describe(cluster)
    results.keep("machine", about)
    results.note("; ".join(f"{name}: {value}" for name, value in about.items()))
    campaign.compare(results, cluster, sink, max(int(PARTIES * scale), campaign.WARM_UP), max(int(MANY * scale), campaign.WARM_UP))
    jobs.compare(results, cluster, int(JOBS * scale))
    results.save()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
