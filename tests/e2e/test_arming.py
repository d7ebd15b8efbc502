"""Physical copies of a server, and what they may send."""

import shutil

import pytest
from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, wait_until

DATABASE = "shop"
STATUS = "select state, last_error from marketing_automation.worker_status()"


@pytest.fixture
def primary(sink):
    """A server of its own, with a mail that waits and cannot be sent."""
    sink.refuse()
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink) | {"wal_level": "replica"}).start()
    cluster.query(f"create database {DATABASE}")
    shop = Shop(cluster, DATABASE)
    shop.psql(TABLES.format(database=DATABASE, role=shop.marketer, tracking=shop.tracking))
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    yield shop
    cluster.destroy()


def copy_of(shop, *options, settings=()):
    """A base backup of the server, not started, on another port."""
    copy = Cluster.of_backup(shop.cluster, *options)
    with open(copy.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.writelines(f"{line}\n" for line in settings)
    return copy


def wait_until_disarmed(cluster, reason):
    """Waits until the server says that it is disarmed, and why."""
    wait_until(
        lambda: cluster.query(f"select true from ({STATUS}) s where state = 'disarmed' and last_error like '%{reason}%'", dbname=DATABASE),
        what=f"the server to be disarmed: {reason}",
    )


def wait_until_sent(cluster, sink):
    """Waits until the mail has been sent, once."""
    wait_until(
        lambda: cluster.query("select true from marketing_automation.message where state = 'sent'", dbname=DATABASE),
        60, what="the mail to be sent",
    )  # fmt: skip
    assert len(sink.mails) == 1


def test_a_restart_needs_nothing_and_a_copy_is_disarmed_until_arm(primary, sink):
    copy = copy_of(primary)
    copy.start()
    wait_until_disarmed(copy, "the server was restored from a backup")
    copy.restart()
    wait_until_disarmed(copy, "its data directory is a copy")
    assert copy.log_text().count("not armed to send") == 2  # once for each start
    primary.cluster.kill()
    primary.cluster.start()
    assert primary.value("select marketing_automation.is_armed()")
    primary.cluster.stop()

    sink.start()
    copy.query("select marketing_automation.arm(resend => true)", dbname=DATABASE)
    wait_until_sent(copy, sink)
    copy.restart()
    assert copy.value("select marketing_automation.is_armed()", dbname=DATABASE)
    copy.destroy()


def test_a_data_directory_that_was_moved_is_disarmed(primary):
    cluster = primary.cluster
    cluster.stop()
    moved = cluster.data.with_name("moved")
    cluster.data.rename(moved)
    cluster.data = moved
    cluster.start()
    wait_until_disarmed(cluster, "its data directory was moved here from")


def test_a_point_in_time_branch_is_disarmed(primary, sink):
    branch = copy_of(primary, settings=["restore_command = 'false'", "recovery_target = 'immediate'", "recovery_target_action = 'promote'"])
    (branch.data / "recovery.signal").touch()
    shutil.chown(branch.data / "recovery.signal", *branch.owner())
    sink.start()
    branch.start()
    wait_until_disarmed(branch, "the server was restored from a backup")
    branch.destroy()


@pytest.mark.parametrize("setting", ["on", "off"])
def test_after_a_failover_the_setting_decides(primary, sink, setting):
    standby = copy_of(primary, "--write-recovery-conf", settings=[f"marketing_automation.arm_after_failover = {setting}"])
    standby.start()
    primary.cluster.stop()
    sink.start()
    standby.query("select pg_promote()")
    if setting == "off":
        wait_until_disarmed(standby, "its data directory is a copy")
        standby.query("select marketing_automation.arm(resend => true)", dbname=DATABASE)
    wait_until_sent(standby, sink)
    assert standby.log_text().count("sends from here after a failover") == (setting == "on")
    # It is the server now.
    standby.restart()
    assert standby.value("select marketing_automation.is_armed()", dbname=DATABASE)
    standby.destroy()
