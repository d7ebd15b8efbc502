"""A mailer or a library of another version than the SQL sends nothing, and says what to do."""

import pathlib
import shutil

import pytest
from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, Mailer, wait_until
from harness.mailer import BINARY
from harness.other_version import NEWEST, OLDEST, VERSION, of_version
from harness.paths import TARGET, pg_config

# What each says of SQL of this version.
MAILERS = {
    OLDEST: "install marketing-mailer of that version and restart it",
    NEWEST: "run ALTER EXTENSION marketing_automation UPDATE in the database",
}
LIBRARIES = {OLDEST: "restart the server with the library of that version", NEWEST: "run ALTER EXTENSION marketing_automation UPDATE"}


@pytest.mark.parametrize("version", MAILERS)
def test_a_mailer_older_or_newer_than_the_sql_refuses(bare_shop, sink, start_mailer, tmp_path, version):
    bare_shop.customers("Ada")
    bare_shop.scenario()
    bare_shop.tick()
    other = Mailer(bare_shop.mailer_url(), "other", program=of_version(TARGET / "debug" / BINARY, version, tmp_path))
    said = f"the extension is {VERSION}, this mailer {version}: {MAILERS[version]}"
    try:
        other.start(wait=False)
        assert other.process.wait(20) == 1
        assert said in other.said()
        code, checked = other.check()
        assert code == 1 and "FAILED  connect to" in checked and said in checked
    finally:
        other.stop()
    # It has claimed nothing, and the database knows no such mailer.
    assert bare_shop.messages() == {"ada@example.org": "queued"} and sink.mails == []
    assert bare_shop.query("select * from marketing_automation.mailer_status()") == []
    start_mailer(bare_shop)
    sink.wait_for(1)


@pytest.mark.parametrize("version", LIBRARIES)
def test_a_worker_older_or_newer_than_the_sql_sends_nothing(sink, tmp_path, version):
    cluster = Cluster(preload="marketing_automation", settings=sending_to(sink))
    libraries = pathlib.Path(cluster.directory, "libraries")
    libraries.mkdir()
    libraries.chmod(0o755)
    of_version(pg_config("pkglibdir") / "marketing_automation.so", version, libraries)
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"dynamic_library_path = '{libraries}:$libdir'\n")
    try:
        cluster.start().query("create database shop")
        shop = Shop(cluster, "shop")
        shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
        wait_until(lambda: shop.value("select state from marketing_automation.worker_status()") == "outdated", what="the worker to notice")
        shop.customers("Ada")
        shop.scenario()
        shop.tick()
        error = shop.value("select last_error from marketing_automation.worker_status()")
        assert error == f"nothing is sent: the extension is {VERSION}, this library {version}: {LIBRARIES[version]}"
        assert error in cluster.log_text()
        assert shop.messages() == {"ada@example.org": "queued"} and sink.mails == []
        # With the library of that version.
        cluster.stop()
        shutil.rmtree(libraries)
        cluster.start()
        sink.wait_for(1)
    finally:
        cluster.destroy()
