"""Fixtures: one cluster and one SMTP server for the run, a fresh shop for each test."""

import pathlib
import sys

import pytest
import requests.utils

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from e2e.shop import Shop, sending_to  # noqa: E402
from harness import Cluster, Mailer, Proxy, SmtpSink, free_port, postfix  # noqa: E402
from harness.paths import has_extension, has_tls  # noqa: E402

CRON_DATABASE = "cron_shop"
# They take a minute and more: where several processes share the files, these must not be the last.
LONGEST = ("test_crash.py", "test_concurrency.py", "test_operation.py")

# Tests follow links as people do: the library's own name is a robot's.
requests.utils.default_user_agent = lambda *_: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(what): left out on a server that does not have this extension, or tls")
    config.addinivalue_line("markers", "mounts: left out where this program may not mount accounts for Postfix over the system's")


def has(what):
    return has_tls() if what == "tls" else has_extension(what)


def pytest_collection_modifyitems(config, items):
    """Leaves out what this server cannot run; the layer reads the lines. Puts the longest first."""
    lacking = {item: mark.args[0] for item in items for mark in item.iter_markers("needs") if not has(mark.args[0])}
    if not postfix.can_run():
        lacking |= {item: "root" for item in items if item.get_closest_marker("mounts")}
    for item, extension in lacking.items():
        print(f"\nleft out: {item.name} needs {extension}")
    items[:] = sorted((item for item in items if item not in lacking), key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def proxy_port():
    """Where the proxy of each test listens; the mails' links lead there."""
    return free_port()


@pytest.fixture(scope="session")
def sink_of_the_run():
    return SmtpSink().start()


@pytest.fixture
def sink(sink_of_the_run):
    """The SMTP server, without mails and behaving well."""
    sink_of_the_run.clear()
    yield sink_of_the_run
    sink_of_the_run.behave()
    if sink_of_the_run._listener is None:
        sink_of_the_run.start()


@pytest.fixture(scope="session")
def cluster(sink_of_the_run, proxy_port):
    """A server that preloads pg_cron and the extension."""
    cluster = Cluster(
        cron_database=CRON_DATABASE,
        settings=sending_to(sink_of_the_run, f"http://127.0.0.1:{proxy_port}"),
    ).start()
    yield cluster
    if cluster.process is not None:
        cluster.destroy()


@pytest.fixture
def shop(cluster, sink, request):
    """A database of its own with the extension and a table of customers."""
    if cluster.process is None or cluster.process.poll() is not None:
        cluster.start()
    shop = Shop.create(cluster, request.node.name)
    yield shop
    shop.drop()


@pytest.fixture
def start_proxy(shop):
    """Starts proxies on that database, or another one, each on a port of its own."""
    started = []

    def start(*arguments, database=None, wait=True, shell=None, **environment):
        proxy = Proxy(database or shop.tracking_url(), arguments=arguments, environment=environment, shell=shell)
        started.append(proxy)
        return proxy.start(wait)

    yield start
    for proxy in started:
        proxy.stop()


@pytest.fixture(scope="session")
def bare_cluster(sink_of_the_run):
    """A server that preloads nothing: what is sent, a mailer sends."""
    cluster = Cluster(preload="", settings=sending_to(sink_of_the_run)).start()
    yield cluster
    if cluster.process is not None:
        cluster.destroy()


@pytest.fixture
def bare_shop(bare_cluster, sink, request):
    """A shop on that server."""
    if bare_cluster.process is None or bare_cluster.process.poll() is not None:
        bare_cluster.start()
    shop = Shop.create(bare_cluster, request.node.name)
    yield shop
    shop.drop()


@pytest.fixture
def start_mailer():
    """Starts mailers of a shop."""
    started = []

    def start(shop, name="mailer-1", *arguments, wait=True, port=None, **environment):
        mailer = Mailer(shop.mailer_url(port), name, arguments=arguments, environment=environment)
        started.append(mailer)
        return mailer.start(wait)

    yield start
    for mailer in started:
        mailer.stop()


@pytest.fixture
def proxy(shop, cluster, proxy_port):
    """The proxy on that database, as a role that may only record."""
    proxy = Proxy(shop.tracking_url(), port=proxy_port).start()
    yield proxy
    # Shown of a test that failed.
    print(proxy.log.read_text(errors="replace")[-4000:])
    proxy.stop()
