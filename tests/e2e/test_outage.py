"""The database away, the proxy killed: no answered hit is lost, none counts twice."""

import http.client
import json
import signal
import stat
import time

import pytest
import requests
from e2e.load import RECORDED, Readers

from harness import wait_until

# Longer than every time limit of the proxy, so that none of them runs out under way.
OUTAGE_SECONDS = 30


@pytest.fixture
def spooling(start_proxy, tmp_path):
    """Starts proxies with a spool each; a name used again is the same spool."""

    def start(name="one", **options):
        proxy = start_proxy("--spool", tmp_path / name, **options)
        if options.get("wait", True):
            # With a spool it is ready in the moment before it has reached the database.
            wait_until(lambda: requests.get(proxy.base + "/readyz").text == "ready\n", what="the proxy to reach the database")
        return proxy

    return start


def test_an_outage_of_the_database_loses_no_answered_hit(shop, cluster, spooling):
    proxy = spooling()
    with Readers(shop, [proxy.port]) as readers:
        readers.wait_for(200)
        cluster.stop("immediate")
        stopped = time.monotonic()
        # Known links and images go on being answered all the time.
        while time.monotonic() < stopped + OUTAGE_SECONDS:
            readers.wait_for(100)
        assert proxy.ready()
        cluster.start()
        wait_until(lambda: requests.get(proxy.base + "/readyz", timeout=5).text == "ready\n", what="the proxy to reach the database")
        readers.wait_for(200)
        wait_until(lambda: "marketing_tracking_spool_bytes 0" in requests.get(proxy.base + "/metrics").text, 30, what="the spool to be replayed")
    assert not any(readers.refused)
    readers.check()


def test_a_killed_proxy_loses_no_answered_hit(shop, cluster, spooling):
    proxy = spooling()
    with Readers(shop, [proxy.port]) as readers:
        readers.wait_for(200)
        # Once while the database takes the hits, once while the spool does.
        _kill(proxy)
        proxy.start()
        readers.wait_for(200)
        cluster.stop("immediate")
        readers.wait_for(200)
        _kill(proxy)
    cluster.start()
    proxy.start()
    wait_until(lambda: "marketing_tracking_spool_bytes 0" in requests.get(proxy.base + "/metrics").text, 30, what="the spool to be replayed")
    readers.check()


def test_two_proxies_share_the_work(shop, cluster, spooling):
    proxies = [spooling("one"), spooling("two")]
    with Readers(shop, [proxy.port for proxy in proxies]) as readers:
        readers.wait_for(200)
        cluster.stop("immediate")
        readers.wait_for(200)
        cluster.start()
        for proxy in proxies:
            wait_until(lambda: "marketing_tracking_spool_bytes 0" in requests.get(proxy.base + "/metrics").text, 30, what="the spools to be replayed")
        readers.wait_for(200)
    assert all(readers.answered)
    readers.check()


def test_an_unknown_link_has_to_wait_for_the_database(shop, cluster, spooling):
    proxy = spooling()
    shop.query("select marketing_automation.tracking_keys()")
    click = shop.value(
        "select marketing_automation_internal.sign_token('email_clicked', 1, 1, (select id from marketing_automation_internal.link_ids(array['https://shop.example/'])))"
    )
    opened = shop.value("select marketing_automation_internal.sign_token('email_opened', 1, 1)")
    cluster.stop("immediate")
    # Those under way when the connection broke wait for the second try.
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    connection.request("GET", f"/c/{click}")
    answer = connection.getresponse()
    assert answer.status == 503 and answer.headers["Retry-After"]
    assert requests.get(f"{proxy.base}/o/{opened}").status_code == 200
    cluster.start()
    wait_until(lambda: requests.get(f"{proxy.base}/c/{click}", allow_redirects=False).status_code == 302, 30, what="the link to work")
    wait_until(lambda: shop.events() == [("email_clicked", 1), ("email_opened", 1)], what="both in the log")


def test_a_proxy_that_is_restarted_during_an_outage_answers_what_was_known(shop, cluster, spooling, tmp_path):
    shop.query("select marketing_automation.tracking_keys()")
    [known], [unknown] = shop.query("select id from marketing_automation_internal.link_ids(array['https://shop.example/', 'https://other.example/']) order by url desc")
    first, second, other = _click(shop, 1, known), _click(shop, 2, known), _click(shop, 3, unknown)
    image = "/o/" + shop.value("select marketing_automation_internal.sign_token('email_opened', 4, 1)")
    found = (302, "https://shop.example/")
    proxy = spooling()
    assert _follow(proxy, first) == found
    _stop(proxy)
    kept = tmp_path / "one" / "known.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    cluster.stop("immediate")
    proxy.start()
    assert requests.get(proxy.base + "/readyz").text == "ready, without the database\n"
    assert _follow(proxy, second) == found
    assert _follow(proxy, other)[0] == 503
    cluster.start()
    wait_until(lambda: sorted(shop.query(RECORDED)) == [("email_clicked", 1), ("email_clicked", 2)], what="both clicks in the database")
    assert _follow(proxy, other) == (302, "https://other.example/")

    # A key that is withdrawn meanwhile works until the database says so.
    _stop(proxy)
    new = shop.value("select marketing_automation.rotate_tracking_key(valid_for => '0')")
    cluster.stop("immediate")
    proxy.start()
    assert _follow(proxy, image)[0] == 200
    cluster.start()
    wait_until(lambda: _follow(proxy, image)[0] == 404, what="the withdrawn key to be forgotten")
    wait_until(lambda: "the keys that signed them have ended" in proxy.log.read_text(), what="the hit to be refused")
    _stop(proxy)
    assert [key[0] for key in json.loads(kept.read_text())["keys"]] == [new]
    assert ("email_opened", 4) not in shop.query(RECORDED)


def _click(shop, record, link):
    return "/c/" + shop.value("select marketing_automation_internal.sign_token('email_clicked', %s, 1, %s)", record, link)


def _follow(proxy, path):
    answer = requests.get(proxy.base + path, allow_redirects=False)
    return answer.status_code, answer.headers.get("Location")


def _stop(proxy):
    proxy.process.send_signal(signal.SIGTERM)
    assert proxy.process.wait(10) == 0


def test_a_spool_in_use_is_not_shared(spooling):
    spooling("one")
    second = spooling("one", wait=False)
    wait_until(lambda: second.process.poll() is not None, what="the second proxy to end")
    assert "another process uses it" in second.log.read_text()


def test_a_full_disk_refuses_hits_and_leaves_no_files(shop, cluster, spooling, tmp_path):
    # To the proxy, files that may not grow are a full disk.
    proxy = spooling("full", shell='trap "" XFSZ; ulimit -f 0')
    shop.query("select marketing_automation.tracking_keys()")
    image = proxy.base + "/o/" + shop.value("select marketing_automation_internal.sign_token('email_opened', 1, 1)")
    wait_until(lambda: requests.get(image).status_code == 200, what="the proxy to know the key")
    cluster.stop("immediate")
    assert [requests.get(image).status_code for _ in range(5)] == [503] * 5
    assert not list((tmp_path / "full").glob("*.hits"))
    cluster.start()
    wait_until(lambda: requests.get(image).status_code == 200, 30, what="the database to take hits again")


def _kill(proxy):
    proxy.process.send_signal(signal.SIGKILL)
    proxy.process.wait()
