"""The layers that run inside or against a server."""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
from collections import Counter

from harness import Cluster, lifetime
from harness.installation import Installation, pg_regress, server_version
from harness.paths import ROOT, TARGET, has_extension, pg_config
from layers import file_queue
from layers.layer import Failed, Log

REGRESS = ROOT / "tests" / "regress"
# Three processes keep two cores busy (98 %). Tests that are named run one after the other, unless this is set.
E2E_AT_ONCE = os.environ.get("E2E_AT_ONCE", "")
SUDO = () if os.geteuid() == 0 else ("sudo",)
# What some golden files need besides the extension; not every server has it.
NEEDS = {"schedule_jobs": ("pg_cron",), "model_kinds": ("postgres_fdw", "file_fdw")}


def server(log):
    """#[pg_test]s, by `cargo pgrx test` in a cluster and an installation of its own."""
    runas = ("--runas", "postgres") if os.geteuid() == 0 else ()
    feature = f"pg{server_version()}"
    # First, as the build is not to depend on the place of this run's installation.
    log.run("cargo", "test", "--no-run", "--no-default-features", "--features", f"{feature} pg_test")
    installation = Installation()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ma-t-", dir="/tmp"))
    directory.chmod(0o1777 if runas else 0o755)

    def clean():
        for pid_file in directory.glob("*/postmaster.pid"):
            subprocess.run([*SUDO, "kill", "-QUIT", pid_file.read_text().split()[0]], check=False)
        subprocess.run([*SUDO, "rm", "-rf", directory], check=False)

    lifetime.stop_at_exit(clean)
    try:
        log.cargo_test(
            "cargo", "pgrx", "test", feature, *shlex.split(os.environ.get("SERVER", "")), "--no-default-features",
            *runas, "--pgdata", directory, environment={"PGRX_HOME": str(installation.pgrx_home())},
        )  # fmt: skip
    finally:
        lifetime.cancel_stop(clean)
        clean()
        installation.remove()


def regress(log):
    """pg_regress: tests/regress/sql/NAME.sql against tests/regress/expected/NAME.out; the first of both halves is `install`."""
    _install(log)
    chosen = os.environ.get("REGRESS", "").split() or _regress_names()
    # It makes the extension, and the shop that all others work on.
    if "install" not in chosen:
        chosen.insert(0, "install")
    names = [name for name in chosen if all(has_extension(extension) for extension in NEEDS.get(name, ()))]
    for name in sorted(set(chosen) - set(names)):
        log.leave_out(f"{name} needs {' and '.join(NEEDS[name])}")
    output = TARGET / "regress" / f"pg{server_version()}"
    shutil.rmtree(output, ignore_errors=True)
    first, *others = names
    # Two halves beside each other take 55 % of the time; the named ones stay together.
    shares = [names] if "REGRESS" in os.environ else [[first, *others[half::2]] for half in range(2)]
    logs = [log] if len(shares) == 1 else [Log(log.path.with_suffix(f".{number}.log")) for number in range(1, len(shares) + 1)]
    with contextlib.ExitStack() as clusters:
        started = []
        for each, share in zip(logs, shares):
            # What enrolls there is the test.
            cluster = Cluster(cron_database="regression", settings={"marketing_automation.enroll_on_commit": "off"}).start()
            clusters.callback(cluster.destroy)
            started.append(_pg_regress(each, cluster, output / str(len(started) + 1), share))
        for each, (running, directory) in zip(logs, started):
            _count_golden_files(each, *running.wait(must_pass=False), directory / "regression.diffs")
    for each in logs if len(logs) > 1 else []:
        log.add(each)


def _pg_regress(log, cluster, output, names):
    """Starts the golden tests of these names in a cluster."""
    output.mkdir(parents=True)
    running = log.start(
        pg_regress(),
        f"--bindir={pg_config('bindir')}", f"--inputdir={REGRESS}", f"--outputdir={output}",
        f"--host={cluster.directory}", f"--port={cluster.port}", f"--user={cluster.superuser}",
        "--dbname=regression", "--use-existing", *names,
    )  # fmt: skip
    return running, output


def _count_golden_files(log, status, text, differences):
    """Counts golden tests by what pg_regress printed."""
    # As it prints them before PostgreSQL 16, and since.
    verdicts = re.findall(r"^test .*\.\.\. (ok|FAILED)|^(ok|not ok) \d", text, re.M)
    passed = sum("ok" in verdict for verdict in verdicts)
    log.count(passed, len(verdicts) - passed)
    if differences.exists():
        log.note(differences.read_text(errors="replace"))
        log.failures.append(differences.read_text(errors="replace"))
    if status != 0 and not log.failed:
        raise Failed(f"pg_regress ended with {status}")


def e2e(log):
    """pytest over tests/e2e: a real cluster, a real SMTP socket, the real proxy."""
    _install(log)
    # Without these web servers the test of them fails, and no other.
    log.run(".ci/setup", "e2e", must_pass=False)
    options = os.environ.get("E2E", "")
    _pytest(log, "tests/e2e", options, int(E2E_AT_ONCE or (1 if options else 3)))


def update(log):
    """pytest over tests/update: from each released version to this one, and from this one to the next."""
    _install(log)
    _pytest(log, "tests/update", os.environ.get("UPDATE", ""))


def _pytest(log, folder, options, at_once=1):
    """Runs pytest, or several that share the files of the folder; each of those has a log and a cluster of its own."""
    command = ["/usr/bin/python3", "-B", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--durations=10", "--tb=short", *shlex.split(options), folder]
    if at_once == 1:
        _count(log, *log.run(*command, must_pass=False))
        return
    with tempfile.TemporaryDirectory(prefix="ma-queue-") as queue:
        environment = {file_queue.VARIABLE: queue, "PYTHONPATH": str(ROOT / "tests")}
        logs = [Log(log.path.with_suffix(f".{number}.log")) for number in range(1, at_once + 1)]
        log.note(f"several at once: {', '.join(each.path.name for each in logs)}")
        for each, running in [(each, each.start(*command, "-p", file_queue.__name__, environment=environment)) for each in logs]:
            _count(each, *running.wait(must_pass=False))
            log.add(each)


def _count(log, status, text):
    """Counts the tests of a pytest by what it printed."""
    summary = text.strip().splitlines()[-1]
    for reason in re.findall(r"^left out: (.*)$", text, re.M):
        log.leave_out(reason)
    number = Counter({what: int(count) for count, what in re.findall(r"(\d+) (passed|failed|error|skipped|xfailed|xpassed)", summary)})
    log.count(number["passed"], number["failed"] + number["error"], number["skipped"] + number["xfailed"] + number["xpassed"])
    if status != 0 and not log.failed:
        raise Failed(f"pytest ended with {status}: {summary}")


_installation = None


def _install(log):
    """Installs the plain debug build, once for all layers: the one of `cargo pgrx test` holds tests.*."""
    global _installation
    if _installation is None:
        _installation = Installation().use()
        _installation.install(lambda command, environment: log.run(*command, environment=environment), "debug")


def _regress_names():
    """The order of tests/regress/schedule (`test: a b`) where there is one, else by name."""
    schedule = REGRESS / "schedule"
    if not schedule.exists():
        return sorted(path.stem for path in (REGRESS / "sql").glob("*.sql"))
    names = []
    for line in schedule.read_text().splitlines():
        if line.startswith("test:"):
            names += line.removeprefix("test:").split()
    return names
