"""An installation of the server of PG_CONFIG that only this run uses, with the extension in it.

The programs, libraries and share files of a PostgreSQL server find each other by their relative paths,
so a copy of them runs. What is installed on the machine stays as it is, and two runs at once, or an
install in between, change nothing under each other's servers.
"""

import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import lifetime
from .paths import IN_USE, ROOT, TARGET, ask

PG_CONFIG = os.environ.get("PG_CONFIG", "")
FETCHED = TARGET / "servers"
INSTALLATIONS = TARGET / "installations"
# Where they are when the server's account may not read what is below target/.
ELSEWHERE, PREFIX = pathlib.Path("/var/tmp"), "ma-server-"
# Not copied: what only building and just-in-time compiling need, and an extension of ours that the machine may have.
LEFT_OUT = ("bitcode", "pgxs", "*.a", "marketing_automation*", "marketing-*")


class Installation:
    """The copy, removed when this program ends unless it is told to `keep` it; `original`: the pg_config of another server than PG_CONFIG."""

    def __init__(self, original=PG_CONFIG):
        if not original:
            raise RuntimeError("no server to copy: start this by make")
        _sweep()
        self.original = original
        self.version = server_version(original)
        self.directory = _make_directory(f"{self.version}-")
        self._lock = _hold(self.directory)
        lifetime.stop_at_exit(self.remove)
        self.pg_config = self._copy_server()

    def install(self, run, profile):
        """Builds the extension and the proxy in `debug` or `release` mode and installs them; `run` runs a command."""
        server = {"PG": str(self.version), "PGRX_HOME": str(TARGET / "pgrx" / str(self.version))}
        run([".ci/setup", "build"], {**server, "PG_CONFIG": str(self.original)})
        run([".ci/install"], {**server, "PG_CONFIG": str(self.pg_config), "PROFILE": profile, "DESTDIR": ""})

    def use(self):
        """Makes this the server of every Cluster, here and in programs that this one starts."""
        os.environ[IN_USE] = str(self.pg_config)
        return self

    def pgrx_home(self):
        """A PGRX_HOME by which pgrx installs into this copy, and finds its programs."""
        (self.directory / "config.toml").write_text(f'[configs]\npg{self.version} = "{self.pg_config}"\n')
        return self.directory

    def keep(self):
        """Lets it outlive this program; who removes it removes `directory`."""
        lifetime.cancel_stop(self.remove)
        (self.directory / "lock").unlink()

    def remove(self):
        """Removes the copy."""
        lifetime.cancel_stop(self.remove)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _copy_server(self):
        bindir = pathlib.Path(ask(self.original, "bindir"))
        if FETCHED in bindir.parents:
            # With the libraries that lie beside it in the package that it came in.
            prefix = FETCHED / bindir.relative_to(FETCHED).parts[0]
            folders = [prefix]
        else:
            folders = [bindir, *(pathlib.Path(ask(self.original, what)) for what in ("pkglibdir", "sharedir"))]
            prefix = pathlib.Path(os.path.commonpath(folders))
        server = self.directory / "server"
        for folder in folders:
            shutil.copytree(
                folder, server / folder.relative_to(prefix), symlinks=True, dirs_exist_ok=True,
                copy_function=_link_or_copy, ignore=shutil.ignore_patterns(*LEFT_OUT),
            )  # fmt: skip
        return server / bindir.relative_to(prefix) / "pg_config"


def server_version(program=PG_CONFIG):
    """The major version of the server of a pg_config."""
    return int(re.match(r"PostgreSQL (\d+)", ask(program, "version"))[1])


def older_servers():
    """The pg_config of each version before that of PG_CONFIG, as far as they are there: Debian 12's, and those that were fetched."""
    known = {15: pathlib.Path("/usr/lib/postgresql/15/bin/pg_config"), **{version: FETCHED / str(version) / "pg_config" for version in (16, 17)}}
    return {version: program for version, program in known.items() if version < server_version() and program.exists()}


def pg_regress():
    """The program that compares with golden files; it is a client, so that one of another version does too."""
    there = "pgxs/src/test/regress/pg_regress"
    for folder in (pathlib.Path(ask(PG_CONFIG, "pkglibdir")), *pathlib.Path("/usr/lib/postgresql").glob("*/lib")):
        if (folder / there).exists():
            return folder / there
    raise RuntimeError("no pg_regress: install postgresql-server-dev-15")


def _link_or_copy(source, target):
    """A hard link to a file that is ours alone, a copy of what is installed on the machine."""
    if FETCHED in pathlib.Path(source).parents:
        try:
            os.link(source, target)
            return
        except OSError:  # another file system
            pass
    shutil.copy2(source, target)


def _make_directory(prefix):
    """Below target/ where the server's account may read that, else among the temporary directories."""
    INSTALLATIONS.mkdir(parents=True, exist_ok=True)
    readable = os.geteuid() != 0 or all(
        folder.stat().st_mode & 0o001 for folder in (INSTALLATIONS, *INSTALLATIONS.resolve().parents)
    )
    directory = pathlib.Path(
        tempfile.mkdtemp(prefix=prefix, dir=INSTALLATIONS)
        if readable
        else tempfile.mkdtemp(prefix=PREFIX + prefix, dir=ELSEWHERE)
    )
    directory.chmod(0o755)
    return directory


def _hold(directory):
    """A lock that ends with this program, however it ends; it has its name only once it is held."""
    lock = open(directory / "lock.new", "w", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(directory / "lock.new", directory / "lock")
    return lock


def _sweep():
    """Removes what programs that were killed outright have left."""
    for lock in (*INSTALLATIONS.glob("*/lock"), *ELSEWHERE.glob(f"{PREFIX}*/lock")):
        if lock.lstat().st_uid != os.geteuid():
            continue
        with open(lock, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(lock.parent, ignore_errors=True)


def run_logged(log):
    """For `install`: runs a command from the project's root, with its output in the file `log`."""

    def run(command, environment):
        with open(log, "a", encoding="utf-8") as output:
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, **environment},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"the build failed; see {log}\n" + "\n".join(log.read_text().splitlines()[-20:]))

    return run
