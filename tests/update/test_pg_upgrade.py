"""A new major version of PostgreSQL: pg_upgrade with a campaign that is under way.

Both servers are of one version here, which pg_upgrade can do as well: what is ours in it is the same.
"""

from harness import Cluster, wait_until
from release import history
from update.shop import Data, Shop, install_releases


def test_pg_upgrade_keeps_version_data_and_rights_and_sends_nothing_until_it_is_armed(sink, database, release):
    settings = {
        "marketing_automation.email_from": "Shop <shop@example.org>",
        "marketing_automation.automation_base": "http://127.0.0.1:1",
        "marketing_automation.smtp_url": sink.url,
    }
    install_releases()
    old = Cluster(settings=settings).start()
    try:
        before = Shop.with_campaign(old, database, release)
        wait_until(lambda: before.state() == "outdated", what="the mailer to leave the data alone")
        # Which the mailer does as soon as the two are of one version.
        before.query("select marketing_automation.apply_events()")
        connection, catalog = before.connect(), before.catalog()
        data = Data(connection)
        old.stop()
        new = Cluster.by_pg_upgrade(old, settings=settings)
        try:
            assert not sink.mails
            after = Shop(new.start(), database)
            assert after.version() == release
            connection = after.connect()
            assert len(data.sums) > 80 and not data.lost(connection)
            connection.close()
            assert set(after.catalog()) ^ set(catalog) == set()
            after.update()
            wait_until(lambda: after.state() == "disarmed", what="the mailer to see that this is a copy")
            assert after.version() == history.current_version() and not sink.mails
            after.query("select marketing_automation.arm()")
            sink.wait_for(17)
        finally:
            new.destroy()
    finally:
        old.destroy()
