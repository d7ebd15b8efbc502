"""The layer that runs everything in the Makefile from a fresh clone."""

import os
import re
import shutil
import subprocess

from harness.paths import IN_USE, ROOT, TARGET

# In a folder that stays the same, so that what cargo has built for it is of use to the next run.
CLONE = TARGET / "fresh" / "clone"
DESTDIR = TARGET / "fresh" / "root"
# How each target is run in a short form; what tests itself is not run from here but for the lightest.
COMMANDS = {
    "help": (),
    "setup": (),
    "build": (),
    "install": (f"DESTDIR={DESTDIR}",),
    "package": (),
    "test": ("TESTS=format",),
    "test-regress": ("REGRESS=install",),
    "test-regress-accept": ("NAME=install",),
    "update-script": (),
    "bench": ("BENCH_SCALE=0.01",),
    "doc": (),
    "demo": ("KEEP=1",),
    "demo-stop": (),
    "clean": (),
}
# These run in this very run, or on the day of a release.
ELSEWHERE = {"release-freeze", "test-format", "test-lint", "test-unit", "test-server", "test-e2e", "test-update", "test-makefile"}


def makefile(log):
    """Each target of the Makefile does what it says where nothing has been made before."""
    _clone()
    # As from a shell, on the default server.
    make = ("env", "-u", "PG", "-u", "PG_CONFIG", "-u", "MAKEFLAGS", "-u", IN_USE, "make", "--no-print-directory", "-C", CLONE)
    for target, arguments in COMMANDS.items():
        log.check(*make, target, *arguments, environment={"CARGO_TARGET_DIR": str(CLONE / "target")})
    listed = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    _expect(log, listed == COMMANDS.keys() | ELSEWHERE, f"run or excused is not what the Makefile has: {listed}")
    installed = {path.name for path in DESTDIR.rglob("*") if path.is_file()}
    wanted = {"marketing_automation.so", "marketing_automation.control", "marketing-tracking-proxy"}
    _expect(log, wanted <= installed, f"installed were only {installed}")
    _expect(log, not (CLONE / "target" / "installations").exists(), "make clean has left something")
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=CLONE, capture_output=True, text=True, check=True).stdout
    _expect(log, not changed, f"the clone was changed:\n{changed}")


def _expect(log, holds, otherwise):
    log.count(int(holds), int(not holds))
    if not holds:
        log.note(otherwise)
        log.failures.append(otherwise)


def _clone():
    """A clone with the changes that are not committed yet, and the build artifacts of this one, which only save time."""
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
