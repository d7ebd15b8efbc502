"""A database in which a released version runs a campaign, and what tests see of it."""

import contextlib
import pathlib
import shutil

from harness.paths import pg_config
from release import history
from release.scripts import update_script

HERE = pathlib.Path(__file__).parent
CAMPAIGNS = HERE / "campaigns"
NEXT = "9.9.9"
ROLES = ("update_marketer", "update_tracking", "update_reader", "update_revoked", "update_dropped")
# What is counted and compared: all that the extension has pg_dump save, and which of its rows; others an update may add.
TABLES = """
    select c.id::regclass::text, c.condition from pg_extension e cross join unnest(e.extconfig, e.extcondition) as c (id, condition)
    where e.extname = 'marketing_automation' order by 1"""
# Work leaves these as they are only while nobody works.
COLUMNS = """
    select string_agg(format('%%I', attname), ', ' order by attname) from pg_attribute
    where attrelid = %s::regclass and attnum > 0 and not attisdropped and attname <> 'log_cnt'"""


def extension_folder(server=None):
    """Where CREATE EXTENSION looks for scripts, in the installation that only this run uses, or that of another pg_config."""
    return pg_config("sharedir", server) / "extension"


def install_releases(server=None):
    """Puts the install scripts of all releases beside that of the current version, as servers that were updated have them."""
    for version in history.releases():
        shutil.copy(history.install_path(version), extension_folder(server))


def script_to_next(directory, steps):
    """With a script that leads from the current version to 9.9.9, of which there is no library: these steps, and all functions again."""
    return script(history.current_version(), NEXT, directory, steps)


@contextlib.contextmanager
def script(start, to, directory, steps=""):
    """With a script that leads from a version to another."""
    (directory / f"{start}--{to}.sql").write_text(steps + "\n")
    installed = extension_folder() / f"marketing_automation--{start}--{to}.sql"
    installed.write_text(update_script(start, to, directory))
    try:
        yield
    finally:
        installed.unlink()


def campaign(version):
    """The campaign of a release, or of the last one before it that has one: not every release changes what makes one."""
    older = [path for path in CAMPAIGNS.glob("*.sql") if history.by_number(path.stem) <= history.by_number(version)]
    return max(older, key=lambda path: history.by_number(path.stem))


class Shop:
    """One database of a cluster."""

    def __init__(self, cluster, database):
        self.cluster = cluster
        self.database = database

    @classmethod
    def create(cls, cluster, database, version):
        """Makes the database, and the extension in it as a release installs it."""
        cluster.query(f'create database "{database}"')
        shop = cls(cluster, database)
        shop.psql(f"create extension marketing_automation version '{version}'")
        return shop

    @classmethod
    def with_campaign(cls, cluster, database, version):
        """The same, with a campaign that is under way."""
        for role in ROLES:
            if not cluster.query("select 1 from pg_roles where rolname = %s", (role,)):
                cluster.query(f"create role {role} login password 'update'")
        shop = cls.create(cluster, database, version)
        shop.psql(file=campaign(version))
        cluster.query("drop role update_dropped")
        return shop

    @classmethod
    def fresh(cls, cluster, database):
        """The current version, in which roles have the rights that they have in a campaign after its update, and no others."""
        shop = cls.create(cluster, f"fresh_{database}"[:60], history.current_version())
        shop.psql("".join(f"select marketing_automation.grant_access('{role}', '{access}');" for role, access in [
            *(("update_marketer", access) for access in ("marketer", "reader", "operator", "admin")),
            ("update_tracking", "tracking"), ("update_reader", "reader")]))  # fmt: skip
        return shop

    def drop(self):
        """Removes the database."""
        self.cluster.query(f'drop database if exists "{self.database}" with (force)')

    def psql(self, sql=None, file=None, **options):
        return self.cluster.psql(sql, file, dbname=self.database, **options)

    def query(self, sql, *arguments):
        return self.cluster.query(sql, arguments or None, dbname=self.database)

    def value(self, sql, *arguments):
        return self.cluster.value(sql, arguments or None, dbname=self.database)

    def connect(self, **options):
        return self.cluster.connect(self.database, **options)

    def tracking_url(self):
        """How the proxy connects."""
        return self.cluster.url(self.database, "update_tracking", "update")

    def version(self):
        return self.value("select extversion from pg_extension where extname = 'marketing_automation'")

    def update(self, to=None):
        """As an administrator does it."""
        self.query("alter extension marketing_automation update" + (f" to '{to}'" if to else ""))

    def state(self):
        """What the mailer says that it does."""
        return self.value("select state from marketing_automation.worker_status()")

    def error(self):
        """What it says went wrong."""
        return self.value("select last_error from marketing_automation.worker_status()")

    def catalog(self):
        """All that the catalog says of the extension, as lines."""
        with open(HERE / "catalog.sql", encoding="utf-8") as file:
            return [f"{what}: {holds}" for what, holds in self.query(file.read())]

    def fates(self):
        """What became of the mail to each customer, before the update."""
        return dict(self.query("select customer, fate from shop.mail"))


class Data:
    """All rows that pg_dump would save: a checksum for each column of each table."""

    def __init__(self, connection):
        self.columns = {}
        self.sums = {}
        with connection.cursor() as cursor:
            cursor.execute(TABLES)
            self.conditions = dict(cursor.fetchall())
            # A role may be given more accesses.
            cursor.execute("select string_agg(format('(%L, %L)', role, access), ', ') from marketing_automation_internal.access_grant")
            self.conditions["marketing_automation_internal.access_grant"] = f"where (role, access) in ({cursor.fetchone()[0]})"
            for table in self.conditions:
                cursor.execute(COLUMNS, (table,))
                self.columns[table] = cursor.fetchone()[0].split(", ")
                self.sums[table] = self.read(cursor, table, self.columns[table])

    def read(self, cursor, table, columns):
        """How many rows there are, and a checksum of each column, whatever their order."""
        sums = ", ".join(f"coalesce(sum(hashtextextended(t.{column}::text, 0)::numeric), 0)" for column in columns)
        cursor.execute(f"select count(*), {sums} from only {table} t {self.conditions[table]}")
        return cursor.fetchone()

    def lost(self, connection):
        """Tables whose rows are not what they were, as far as they still have their columns."""
        lost = []
        with connection.cursor() as cursor:
            for table, before in self.sums.items():
                cursor.execute("select to_regclass(%s) is not null", (table,))
                if not cursor.fetchone()[0]:
                    lost.append(f"{table} is gone")
                    continue
                cursor.execute(COLUMNS, (table,))
                there = cursor.fetchone()[0].split(", ")
                kept = [column for column in self.columns[table] if column in there]
                now = self.read(cursor, table, kept)
                known = (before[0], *(before[1 + self.columns[table].index(column)] for column in kept))
                if now != known:
                    lost.append(f"{table}: {dict(zip(['rows', *kept], zip(known, now)))}")
        return lost
