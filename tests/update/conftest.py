"""Fixtures: one cluster and one SMTP server for the run, a database of its own for each test."""

import pathlib
import re
import sys

import pytest
import requests.utils

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import Cluster, SmtpSink, free_port  # noqa: E402
from harness.installation import PG_CONFIG, older_servers  # noqa: E402
from harness.paths import pg_program  # noqa: E402
from release import history  # noqa: E402
from update.shop import Shop, install_releases  # noqa: E402

# Tests follow links as people do: the library's own name is a robot's.
requests.utils.default_user_agent = lambda *_: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def pytest_generate_tests(metafunc):
    if "release" in metafunc.fixturenames:
        metafunc.parametrize("release", history.releases())


def pytest_collection_modifyitems(items):
    """Leaves out the servers from which pg_upgrade does not lead to this one, whatever is in them; the layer reads the lines."""
    for item in items.copy():
        old = getattr(item, "callspec", None) and item.callspec.params.get("old_server")
        if old in older_servers() and writes_column_options(older_servers()[old]) and not writes_column_options(PG_CONFIG):
            print(f"\nleft out: {item.name}, a minor release that writes options of columns which this one does not know")
            items.remove(item)


def writes_column_options(program):
    """Whether the server of a pg_config has `pg_attver`, which minor releases since November 2026 write at each column and those before refuse."""
    return b"pg_attver" in pg_program("postgres", program).read_bytes()


@pytest.fixture(scope="session")
def sink_of_the_run():
    return SmtpSink().start()


@pytest.fixture
def sink(sink_of_the_run):
    """The SMTP server, without mails and behaving well."""
    sink_of_the_run.clear()
    yield sink_of_the_run
    sink_of_the_run.behave()


@pytest.fixture(scope="session")
def proxy_port():
    """Where the proxy of each test listens; the mails' links lead there."""
    return free_port()


@pytest.fixture(scope="session")
def cluster(sink_of_the_run, proxy_port):
    """A server with the current library, and the scripts of all releases."""
    install_releases()
    cluster = Cluster(settings={
        "marketing_automation.email_from": "Shop <shop@example.org>",
        "marketing_automation.automation_base": f"http://127.0.0.1:{proxy_port}",
        "marketing_automation.smtp_url": sink_of_the_run.url,
    }).start()  # fmt: skip
    yield cluster
    cluster.destroy()


@pytest.fixture
def database(request):
    """A name that no other test has."""
    return re.sub(r"\W+", "_", request.node.name)[-50:].strip("_")


@pytest.fixture
def shop(cluster, database, release):
    """A database in which this release runs a campaign."""
    shop = Shop.with_campaign(cluster, database, release)
    yield shop
    shop.drop()
