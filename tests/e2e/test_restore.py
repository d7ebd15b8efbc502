"""Restoring a dump piece by piece, by whoever may do each; and copies by replication."""

import re
import subprocess

import pytest
from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, wait_until
from harness.paths import ROOT, pg_program

COUNTS = """
    select (select count(*) from marketing_automation.scenario), (select count(*) from marketing_automation.activity),
           (select count(*) from marketing_automation.record), (select count(*) from marketing_automation.message),
           (select count(*) from marketing_automation.record_activity), (select count(*) from shop.customer),
           (select string_agg(md5(secret), ' ' order by id) from marketing_automation_internal.tracking_key)"""


@pytest.fixture(scope="module")
def archive(sink_of_the_run, tmp_path_factory):
    """A dump of a shop with a campaign under way; and its counts."""
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink_of_the_run) | {"wal_level": "logical"}).start()
    cluster.query("create database shop")
    shop = Shop(cluster, "shop")
    shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
    shop.customers("Ada", "Bob")
    shop.scenario(run=False)
    shop.activity("later", parent="hello", delay="1 day")
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    wait_until(lambda: set(shop.messages().values()) == {"sent"}, what="both mails to be sent")
    shop.query("select marketing_automation.pause()")
    shop.customers("Cleo")
    shop.tick()
    path = tmp_path_factory.mktemp("archive") / "dump"
    subprocess.run(
        [pg_program("pg_dump"), "-h", cluster.directory, "-p", str(cluster.port), "-U", "postgres", "-Fd", "-j2", "-f", path, "shop"], check=True
    )
    counts = shop.query(COUNTS)
    yield cluster, path, counts
    cluster.destroy()


@pytest.fixture
def copy(archive, request):
    """An empty database, in a cluster that has the roles of the dump unless the test is about their absence."""
    cluster, path, counts = archive
    name = request.node.name[-40:]
    cluster.query(f'create database "{name}"')
    yield Copy(cluster, name, path, counts)
    cluster.query(f'drop database "{name}" with (force)')


def documented_grants():
    """The statement in docs/operations.md that gives the accesses again."""
    return re.search(r'psql shop\s+-c "(select marketing_automation\.grant_access\([^"]*access_grant[^"]*)"', (ROOT / "docs/operations.md").read_text())[1]


class Copy(Shop):
    def __init__(self, cluster, database, path, counts):
        super().__init__(cluster, database)
        self.path = path
        self.counts = counts
        self.source_marketer = Shop(cluster, "shop").marketer

    def restore(self, *options, user="postgres"):
        """Runs pg_restore, which must not complain."""
        run = subprocess.run(
            [pg_program("pg_restore"), "-h", self.cluster.directory, "-p", str(self.cluster.port), "-U", user, "-d", self.database, *options, self.path],
            capture_output=True, text=True,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr

    def check(self):
        """Everything is there, and sends nothing until it is armed."""
        assert self.query(COUNTS) == self.counts
        assert not self.value("select marketing_automation.is_armed()")
        with pytest.raises(Exception, match="another server may have sent what waits here: mails: 1, activities that are due: 0"):
            self.query("select marketing_automation.arm()")
        self.query("select marketing_automation.arm(resend => false)")
        assert self.query("select distinct state from marketing_automation.message") == [("sent",)]


def test_schema_and_data_apart(copy):
    copy.restore("--section=pre-data")
    copy.restore("--section=data", "-j4")
    copy.restore("--section=post-data", "-j4")
    copy.check()


def test_an_owner_who_is_no_superuser_restores_what_is_his(copy):
    # What an administrator does first: docs/operations.md.
    copy.cluster.query("create role shop_owner login")
    copy.query(f'alter database "{copy.database}" owner to shop_owner')
    copy.query("create extension marketing_automation")
    # A mailer makes a key, which the ones of the dump replace.
    wait_until(lambda: copy.value("select count(*) from marketing_automation_internal.tracking_key") == 1, what="the mailer to look")
    # The owner, with own tables.
    own = ("-N", "marketing_automation", "-N", "marketing_automation_internal")
    copy.restore(*own, "--no-owner", "--no-privileges", "--no-comments", user="shop_owner")
    assert copy.value("select count(*) from shop.customer", user="shop_owner") == 3
    # The administrator again, with the rows of the extension, and with the accesses, which are rights and no rows.
    copy.restore("--data-only", "-n", "marketing_automation", "-n", "marketing_automation_internal")
    copy.check()
    seen = "select name from marketing_automation.scenario"
    with pytest.raises(Exception, match="permission denied for schema"):
        copy.query(seen, user=copy.source_marketer)
    copy.query(documented_grants())
    assert copy.query(seen, user=copy.source_marketer) == [("welcome",)]
    assert copy.query("select has_function_privilege(%s, 'marketing_automation.tracking_keys()', 'execute')", copy.source_marketer) == [(False,)]
    copy.query('reassign owned by shop_owner to postgres')
    copy.query("drop owned by shop_owner")
    copy.query(f'alter database "{copy.database}" owner to postgres')
    copy.cluster.query("drop role shop_owner")


def test_where_its_roles_do_not_exist_everything_is_kept_and_nothing_runs(archive, sink):
    _, path, counts = archive
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink)).start()
    try:
        cluster.query("create database shop")
        copy = Copy(cluster, "shop", path, counts)
        copy.restore("--no-owner", "--no-privileges", "-j4")
        copy.check()
        owner = copy.value("select owner from marketing_automation.scenario")
        assert "does not exist" in copy.query("select error from marketing_automation.enroll()")[0][0]
        # The role is made, and named once more.
        cluster.query(f'create role "{owner}" login')
        copy.query(f'grant usage on schema shop to "{owner}"; grant select on shop.customer to "{owner}"')
        copy.query("update marketing_automation.model set owner = owner where name = 'customer'")
        copy.query("update marketing_automation.scenario set owner = owner")
        copy.customers("Dan")
        assert copy.query("select enrolled, error from marketing_automation.enroll()") == [(1, None)]
    finally:
        cluster.destroy()


def test_a_logical_replica_of_the_definitions_sends_nothing(copy, sink):
    source = Shop(copy.cluster, "shop")
    source.query(
        "create publication definitions for table marketing_automation.origin, marketing_automation.scenario, marketing_automation.activity,"
        " marketing_automation.model where (name = 'customer')"
    )
    source.query("select pg_create_logical_replication_slot('definitions', 'pgoutput')")
    copy.query("create extension marketing_automation")
    copy.query("create schema shop")
    copy.query("create table shop.customer (id integer primary key, name text, email text, language text, time_zone text, orders integer default 0)")
    copy.query(f'grant usage on schema shop to "{source.marketer}"; grant select on shop.customer to "{source.marketer}"')
    copy.query(
        f"create subscription definitions connection 'host={copy.cluster.directory} port={copy.cluster.port} dbname=shop user=postgres'"
        " publication definitions with (create_slot = false, slot_name = 'definitions')"
    )
    try:
        for table, rows in (("scenario", 1), ("activity", 2), ("model", 3)):
            wait_until(lambda: copy.value(f"select count(*) from marketing_automation.{table}") == rows, what=f"rows of {table} to arrive")
        wait_until(lambda: not copy.value("select marketing_automation.is_armed()"), what="the copy to know that it is one")
        copy.query("insert into shop.customer (id, name, email) values (1, 'Eve', 'eve@example.org')")
        assert copy.query("select enrolled, error from marketing_automation.enroll()") == [(1, None)]
        copy.psql("call marketing_automation.process_all_due()")
        assert copy.query("select id from marketing_automation_internal.claim_messages(10)") == []
        copy.query("select pg_reload_conf()")
        wait_until(lambda: copy.value("select state from marketing_automation.worker_status()") == "disarmed", what="the mailer to leave it alone")
        assert copy.messages() == {"eve@example.org": "queued"} and sink.to("eve@example.org") == []
    finally:
        copy.query("alter subscription definitions disable")
        copy.query("alter subscription definitions set (slot_name = none)")
        copy.query("drop subscription definitions")
        wait_until(lambda: not source.value("select active from pg_replication_slots where slot_name = 'definitions'"), what="the slot to be free")
        source.query("select pg_drop_replication_slot('definitions')")
        source.query("drop publication definitions")
