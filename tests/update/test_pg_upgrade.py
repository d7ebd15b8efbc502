"""A new major version of PostgreSQL: pg_upgrade with a campaign that is under way.

From each older version that the machine has, with the same version of the extension, and between two servers of one version.
"""

import pytest

from harness import Cluster, wait_until
from harness.installation import Installation, older_servers, run_logged, server_version
from release import history
from update.shop import Data, Shop, install_releases


@pytest.fixture(scope="module")
def old_server(request, tmp_path_factory):
    """The pg_config of a server with the extension: of another version, or None for the one in use."""
    if request.param == server_version():
        yield None
        return
    installation = Installation(older_servers()[request.param])
    installation.install(run_logged(tmp_path_factory.mktemp("build") / "log"), "debug")
    yield installation.pg_config
    installation.remove()


def described(shop):
    """The catalog without the names of NOT NULL, which 18 gives and pg_upgrade makes up; its column says that it holds."""
    return {line for line in shop.catalog() if ": NOT NULL " not in line}


@pytest.mark.parametrize("old_server", [server_version(), *older_servers()], indirect=True, ids=lambda version: f"from_{version}")
def test_pg_upgrade_keeps_version_data_and_rights_and_sends_nothing_until_it_is_armed(sink, database, release, old_server):
    # Since 18 this is what initdb does, and pg_upgrade wants it to be the same on both sides.
    options = {"initdb_options": ("--data-checksums",), "settings": {
        "marketing_automation.email_from": "Shop <shop@example.org>",
        "marketing_automation.automation_base": "http://127.0.0.1:1",
        "marketing_automation.smtp_url": sink.url,
    }}  # fmt: skip
    for server in {old_server, None}:
        install_releases(server)
    old = Cluster(server=old_server, **options).start()
    try:
        before = Shop.with_campaign(old, database, release)
        wait_until(lambda: before.state() == "outdated", what="the mailer to leave the data alone")
        # Which the mailer does as soon as the two are of one version.
        before.query("select marketing_automation.apply_events()")
        connection, catalog = before.connect(), before.catalog()
        data = Data(connection)
        old.stop()
        new = Cluster.by_pg_upgrade(old, **options)
        try:
            assert not sink.mails
            after = Shop(new.start(), database)
            assert after.version() == release
            connection = after.connect()
            assert len(data.sums) > 80 and not data.lost(connection)
            connection.close()
            if old_server is None:
                assert set(after.catalog()) ^ set(catalog) == set()
            after.update()
            assert described(after) ^ described(Shop.fresh(new, database)) == set()
            wait_until(lambda: after.state() == "disarmed", what="the mailer to see that this is a copy")
            assert after.version() == history.current_version() and not sink.mails
            after.query("select marketing_automation.arm(resend => true)")
            sink.wait_for(17)
        finally:
            new.destroy()
    finally:
        old.destroy()
