"""A disk that is full: what is begun is undone as a whole, and when there is room again everything goes on, each mail once."""

import pathlib
import shutil
import subprocess
import tempfile
from collections import Counter

import psycopg2
import pytest
from e2e.shop import TABLES, Shop

from harness import wait_until
from harness.cluster import TEMPLATE, server_account

# Of what the template takes, so that it fits; and room for mails.
SPARE = 24 << 20
CROWD = 10000
ADDRESSES = 200


class SmallDisk:
    """A file system of its own for one database."""

    def __init__(self, size):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ma-disk-", dir="/tmp"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.directory], check=True)
        shutil.chown(self.directory, server_account())

    def fill(self):
        """Leaves no room at all."""
        with open(self.directory / "ballast", "wb", buffering=0) as ballast:
            for piece in (1 << 20, 4096):
                try:
                    while True:
                        ballast.write(bytes(piece))
                except OSError:
                    pass

    def make_room(self):
        (self.directory / "ballast").unlink()

    def remove(self):
        subprocess.run(["umount", "--lazy", self.directory], check=True)
        self.directory.rmdir()


@pytest.fixture(params=["worker", "mailer"])
def small(request, sink):
    """A shop in a database on a small disk, whose mails a worker sends, or a mailer."""
    cluster = request.getfixturevalue("cluster" if request.param == "worker" else "bare_cluster")
    # It makes the template, unless there is one.
    cluster.create_database("disk_template")
    cluster.query("drop database disk_template with (force)")
    disk = SmallDisk(cluster.value("select pg_database_size(%s)", (TEMPLATE,)) + SPARE)
    database = f"disk_{request.param}"
    shop = Shop(cluster, database)
    try:
        cluster.query(f"create tablespace {database} location '{disk.directory}'")
        cluster.query(f'create database "{database}" template {TEMPLATE} tablespace {database} strategy file_copy')
        cluster.query("select marketing_automation.arm()", dbname=database)
        shop.psql(TABLES.format(database=database, role=shop.marketer, tracking=shop.tracking))
        if request.param == "mailer":
            request.getfixturevalue("start_mailer")(shop)
        yield shop, disk
    finally:
        shop.drop()
        cluster.query(f"drop tablespace if exists {database}")
        disk.remove()


@pytest.mark.mounts
def test_a_full_disk_loses_and_doubles_nothing(small, sink):
    shop, disk = small
    shop.scenario()
    sink.delay(0.02)
    shop.crowd(ADDRESSES)
    shop.query("select * from marketing_automation.enroll()")
    assert shop.value("select marketing_automation.process_due()") == ADDRESSES
    # Others without an address, so many that what is made of them does not fit into the pages that are there.
    shop.query("insert into shop.customer (id, name) select n, 'c' || n from generate_series(%s, %s) n", ADDRESSES + 1, CROWD)
    shop.query("select * from marketing_automation.enroll()")
    sink.wait_for(20)
    # In the middle of the mails.
    disk.fill()
    with pytest.raises(psycopg2.errors.DiskFull):
        shop.query("create table shop.large as select repeat(md5(n::text), 100) from generate_series(1, 10000) n")
    waiting = shop.value("select count(*) from marketing_automation_internal.waiting_activity")
    assert waiting == CROWD - ADDRESSES
    processed = 0
    try:
        while True:
            done = shop.value("select marketing_automation.process_due(1000)")
            processed += done
            if not done:
                break
    except psycopg2.errors.DiskFull:
        pass
    # As a whole, or not at all.
    assert shop.value("select count(*) from marketing_automation_internal.waiting_activity") == waiting - processed
    assert shop.value("select count(*) from marketing_automation.record_activity where state = 'done'") == ADDRESSES + processed
    disk.make_room()
    sink.delay(0)
    shop.tick()
    wait_until(lambda: Counter(shop.messages().values()) == {"sent": ADDRESSES}, 120, what="all mails to be recorded")
    assert shop.query("select state, count(*), count(distinct record_id) from marketing_automation.record_activity group by 1") == [
        ("done", CROWD, CROWD)
    ]
    # What could not be recorded was in doubt, and sent again under its name; nothing else left twice.
    twice = [email for email, count in Counter(mail.recipients[0] for mail in sink.mails).items() if count > 1]
    doubted = {email for (email,) in shop.query(
        "select m.email from marketing_automation.delivery_attempt a join marketing_automation.message m on m.id = a.message_id where a.state = 'in_doubt'")}  # fmt: skip
    assert set(twice) <= doubted
    assert len({mail.message["Message-ID"] for mail in sink.mails}) == ADDRESSES
