"""A throw-away PostgreSQL cluster."""

import contextlib
import getpass
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import psycopg2

from . import lifetime
from .paths import has_extension, pg_program

# `postgres` refuses to run as root, so root lends it the account that Debian's package made.
SERVER_USER = "postgres" if os.geteuid() == 0 else None

# Quick for tests, which need no durability; a benchmark passes `durable=True`.
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}

# What `create_database` copies.
TEMPLATE = "with_extension"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 60,
    "max_worker_processes": 24,
    "log_line_prefix": "%m [%p] %b %q%u@%d ",
    "log_min_messages": "info",
    "lc_messages": "C",
    "timezone": "UTC",
    "cron.use_background_workers": "on",  # without it pg_cron would have to log in
    "cron.log_statement": "off",
}


class Cluster:
    """One cluster in a short temporary directory, on a free port; the socket is in there too.

    Who may use the socket is trusted and must be of the same account or root, as the directory is
    private; over TCP a role needs its password. A `detached` one can be left running. Unless told what to
    `preload`, it is the extension, with pg_cron where the server has that. `server`: the pg_config of another one than that in use.
    """

    superuser = "postgres"

    def __init__(
        self,
        preload=None,
        cron_database="postgres",
        settings=None,
        durable=False,
        detached=False,
        port=None,
        backup_of=None,
        backup_options=(),
        server=None,
        initdb_options=(),
        environment=None,
    ):
        self.server = server
        self.environment = environment or {}
        self.detached = detached
        self.port = port or lifetime.free_port()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ma-pg-", dir="/tmp"))
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.process = None
        self._connections = []
        if preload is None:
            preload = "pg_cron,marketing_automation" if has_extension("pg_cron", server) else "marketing_automation"
        self._settings = {
            **SETTINGS,
            **({} if durable else FORGETFUL),
            "port": self.port,
            "unix_socket_directories": self.directory,
            "shared_preload_libraries": preload,
            "cron.database_name": cron_database,
            **(settings or {}),
        }
        if SERVER_USER:
            shutil.chown(self.directory, SERVER_USER, SERVER_USER)
        lifetime.stop_at_exit(self.destroy)
        if backup_of is not None:
            self._copy(backup_of, backup_options)
            return
        self._initdb(initdb_options)
        # pg_cron connects to its database as soon as the server is up, so it must be there before.
        if cron_database != "postgres":
            self._single_user(f'create database "{cron_database}"')

    @classmethod
    def of_backup(cls, original, *options):
        """A copy of a running cluster by pg_basebackup with these options, not started."""
        return cls(backup_of=original, backup_options=options)

    @classmethod
    def by_pg_upgrade(cls, original, **options):
        """A new cluster with all that a stopped one holds, by pg_upgrade, not started."""
        cluster = cls(**options)
        old, new = (pg_program("pg_upgrade", each.server).parent for each in (original, cluster))
        try:
            cluster._run(
                new / "pg_upgrade", "--old-bindir", old, "--new-bindir", new, "--old-datadir", original.data,
                "--new-datadir", cluster.data, "--username", cls.superuser, "--old-port", original.port, "--new-port", cluster.port,
                "--socketdir", cluster.directory,
                cwd=cluster.directory,
            )  # fmt: skip
        except RuntimeError as error:
            logs = (log.read_text(errors="replace") for log in cluster.data.glob("pg_upgrade_output.d/*/log/pg_upgrade_dump*.log"))
            reasons = [text.partition("pg_restore: error:")[2] for text in logs]
            raise RuntimeError("\n".join([str(error), *filter(None, reasons)])) from error
        return cluster

    # -- life ---------------------------------------------------------------------------------

    def start(self):
        """Starts the server and returns when it answers."""
        with open(self.log, "ab"):
            pass
        self.process = lifetime.spawn(
            [pg_program("postgres", self.server), "-D", self.data],
            log=self.log,
            # An administrator may want it: no backtrace reaches a client for all that.
            env={"RUST_BACKTRACE": "1", **self.environment},
            user=SERVER_USER,
            detached=self.detached,
            death_signal=signal.SIGQUIT,
        )
        lifetime.wait_until(self._answers, 60, what="the server to start")
        return self

    def stop(self, mode="fast"):
        """Stops the server: `fast` or `immediate`."""
        self._close_connections()
        lifetime.end(self.process, {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode], 60)
        self.process = None

    def kill(self):
        """Kills every process of the server with SIGKILL, as a power failure would."""
        self._close_connections()
        # So that it starts no other one meanwhile.
        os.kill(self.process.pid, signal.SIGSTOP)
        children = self.children()
        for pid in [*children, self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        # They are nobody's children now; a server does not start while one of them has the shared memory.
        lifetime.wait_until(lambda: not any(map(_runs, children)), 60, what="the server's processes to be gone")
        self.process = None

    def restart(self, mode="fast"):
        """Stops and starts the server."""
        self.stop(mode)
        return self.start()

    def destroy(self):
        """Stops the server and removes its files."""
        lifetime.cancel_stop(self.destroy)
        if self.process is not None:
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def leave_running(self):
        """Lets a detached server outlive this program; who stops it removes `directory` too."""
        self._close_connections()
        lifetime.cancel_stop(self.destroy)

    def owner(self):
        """User and group that the server's files belong to."""
        status = self.data.stat()
        return status.st_uid, status.st_gid

    def children(self):
        """Process ids of the server's children."""
        if self.process is None:
            return []
        listing = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []

    # -- use ----------------------------------------------------------------------------------

    def create_database(self, name):
        """Makes a database that has the extension.

        It is a copy of one that is made once, which takes a third of what CREATE EXTENSION does; only that a copy may not send is taken back.
        """
        if not self.query("select true from pg_database where datname = %s", (TEMPLATE,)):
            # A template from the first moment, as no mailer connects to one.
            self.query(f"create database {TEMPLATE} is_template true")
            self.query("create extension marketing_automation", dbname=TEMPLATE)
        self.query(f'create database "{name}" template {TEMPLATE} strategy file_copy')
        self.query("select marketing_automation.arm()", dbname=name)

    def connect(self, dbname="postgres", user=None, autocommit=True, **options):
        """A psycopg2 connection over the socket."""
        connection = psycopg2.connect(
            host=str(self.directory), port=self.port, dbname=dbname, user=user or self.superuser, **options
        )
        connection.autocommit = autocommit
        self._connections.append(connection)
        return connection

    def query(self, sql, arguments=None, dbname="postgres", user=None):
        """Runs one statement in a connection of its own; a list of tuples, or None without rows."""
        connection = self.connect(dbname, user)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()
            self._connections.remove(connection)

    def value(self, sql, arguments=None, dbname="postgres", user=None):
        """The first column of the first row, or None."""
        rows = self.query(sql, arguments, dbname, user)
        return rows[0][0] if rows else None

    def psql(self, sql=None, file=None, dbname="postgres", user=None, options=()):
        """Runs psql as a user would, stopping at the first error, and returns what it printed."""
        command = [*self.psql_command(dbname, user), "-X", "-q", "-v", "ON_ERROR_STOP=1", *options]
        if file is not None:
            command += ["-f", str(file)]
        run = subprocess.run(command, input=sql or "", capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(f"psql: {run.stderr.strip()}")
        return run.stdout

    def psql_command(self, dbname="postgres", user=None):
        """The command line that brings a person to this server."""
        return [
            str(pg_program("psql", self.server)), "-h", str(self.directory), "-p", str(self.port),
            "-U", user or self.superuser, "-d", dbname,
        ]  # fmt: skip

    def url(self, dbname, user, password):
        """A connection URL over TCP."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{dbname}"

    def set(self, **settings):
        """Writes settings (`__` stands for a dot; None resets) and makes the server read them."""
        connection = self.connect()
        with connection.cursor() as cursor:
            for name, value in settings.items():
                name = name.replace("__", ".")
                if value is None:
                    cursor.execute(f"alter system reset {name}")
                else:
                    cursor.execute(f"alter system set {name} = %s", (str(value),))
            loaded = self._loaded(cursor)
            cursor.execute("select pg_reload_conf()")
            # By then every process has been told.
            lifetime.wait_until(lambda: self._loaded(cursor) != loaded, what="the settings to be read")
        connection.close()

    @staticmethod
    def _loaded(cursor):
        """When this session has read the settings."""
        cursor.execute("select pg_conf_load_time()")
        return cursor.fetchone()

    @contextlib.contextmanager
    def having(self, **settings):
        """With these settings, written as by `set`, and without them afterwards."""
        self.set(**settings)
        try:
            yield
        finally:
            self.set(**dict.fromkeys(settings))

    def log_text(self):
        """All that the server has logged."""
        return self.log.read_text(errors="replace")

    # -- inside -------------------------------------------------------------------------------

    def _initdb(self, options):
        self._run(
            pg_program("initdb", self.server), "-D", self.data, "-U", self.superuser, "--no-instructions", "--no-sync",
            "--encoding=UTF8", "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256", *options,
        )  # fmt: skip
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            for name, value in self._settings.items():
                quoted = str(value).replace("'", "''")
                conf.write(f"{name} = '{quoted}'\n")

    def _copy(self, original, options):
        self._run(
            pg_program("pg_basebackup", self.server), "-h", original.directory, "-p", original.port, "-U", original.superuser,
            "-D", self.data, "--checkpoint=fast", "--no-sync", *options,
        )  # fmt: skip
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"port = {self.port}\nunix_socket_directories = '{self.directory}'\n")

    def _single_user(self, sql):
        self._run(
            pg_program("postgres", self.server), "--single", "-D", self.data, "-c", "shared_preload_libraries=", "postgres",
            stdin=sql + "\n",
        )  # fmt: skip

    def _run(self, *command, stdin="", cwd="/"):
        identity = {"user": SERVER_USER, "group": SERVER_USER, "extra_groups": []} if SERVER_USER else {}
        run = subprocess.run(
            [str(part) for part in command], input=stdin, capture_output=True, text=True, cwd=cwd, **identity
        )
        if run.returncode != 0:
            raise RuntimeError(f"{command[0]}: {run.stdout}{run.stderr}")

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the server did not start:\n{self.log_text()[-4000:]}")
        try:
            return self.query("select true")
        except psycopg2.OperationalError:
            return False

    def _close_connections(self):
        for connection in self._connections:
            connection.close()
        self._connections.clear()


def server_account():
    """The account that the server runs as."""
    return SERVER_USER or getpass.getuser()


def _runs(pid):
    """Whether there is a process of that id that has not ended, collected or not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
