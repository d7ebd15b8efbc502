"""The layers that run inside or against a server."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

from harness import Cluster, lifetime
from harness.paths import PG_CONFIG, ROOT, TARGET, pg_config
from layers.layer import Failed
from layers.source import PROXY

REGRESS = ROOT / "tests" / "regress"
SUDO = () if os.geteuid() == 0 else ("sudo",)


def server(log):
    """#[pg_test]s, by `cargo pgrx test` in a cluster of its own."""
    # cargo-pgrx installs by sudo only when the server is to run as somebody else.
    may_install = os.geteuid() != 0 and os.access(pg_config("pkglibdir"), os.W_OK)
    runas = () if may_install else ("--runas", "postgres")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ma-t-", dir="/tmp"))
    directory.chmod(0o755 if may_install else 0o1777)

    def clean():
        for pid_file in directory.glob("*/postmaster.pid"):
            subprocess.run([*SUDO, "kill", "-QUIT", pid_file.read_text().split()[0]], check=False)
        subprocess.run([*SUDO, "rm", "-rf", directory], check=False)

    lifetime.stop_at_exit(clean)
    try:
        log.cargo_test("cargo", "pgrx", "test", "pg15", *runas, "--pgdata", directory)
    finally:
        lifetime.cancel_stop(clean)
        clean()


def regress(log):
    """pg_regress: tests/regress/sql/NAME.sql against tests/regress/expected/NAME.out."""
    names = _regress_names()
    if not names:
        raise Failed(f"no test in {REGRESS}/sql")
    _install(log)
    output = TARGET / "regress"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    cluster = Cluster(cron_database="regression").start()
    try:
        status, text = log.run(
            pg_config("pgxs").parent / "../test/regress/pg_regress",
            f"--bindir={pg_config('bindir')}", f"--inputdir={REGRESS}", f"--outputdir={output}",
            f"--host={cluster.directory}", f"--port={cluster.port}", f"--user={cluster.superuser}",
            "--dbname=regression", "--use-existing", *names,
            must_pass=False,
        )  # fmt: skip
    finally:
        cluster.destroy()
    verdicts = re.findall(r"^(?:test )?.*\.\.\. (ok|FAILED)", text, re.M)
    log.count(verdicts.count("ok"), verdicts.count("FAILED"))
    differences = output / "regression.diffs"
    if differences.exists():
        log.note(differences.read_text(errors="replace"))
        log.failures.append(differences.read_text(errors="replace"))
    if status != 0 and not log.failed:
        raise Failed(f"pg_regress ended with {status}")


def e2e(log):
    """pytest over tests/e2e: a real cluster, a real SMTP socket, the real proxy."""
    _install(log)
    log.run("cargo", "build", *PROXY, "--bin", "marketing-tracking-proxy")
    # Without these web servers the test of them fails, and no other.
    log.run(".ci/setup", "e2e", must_pass=False)
    status, text = log.run(
        "/usr/bin/python3", "-B", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--durations=10", "--tb=short",
        *shlex.split(os.environ.get("E2E", "")), "tests/e2e",
        must_pass=False,
    )  # fmt: skip
    summary = text.strip().splitlines()[-1]
    number = {what: int(count) for count, what in re.findall(r"(\d+) (passed|failed|error|skipped)", summary)}
    log.count(number.get("passed", 0), number.get("failed", 0) + number.get("error", 0), number.get("skipped", 0))
    if status != 0 and not log.failed:
        raise Failed(f"pytest ended with {status}: {summary}")


_installed = False


def _install(log):
    """Installs the plain debug build: the one that `cargo pgrx test` leaves behind holds tests.*."""
    global _installed
    if not _installed:
        log.run("cargo", "pgrx", "install", "--pg-config", PG_CONFIG, *(("--sudo",) if SUDO else ()))
        _installed = True


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
