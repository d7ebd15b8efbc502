"""The proxy as a program: options, signals, TLS, logs, and readers behind other proxies."""

import http.client
import json
import select
import signal
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from harness import free_port, self_signed, wait_until
from harness.proxy import BINARY
from harness.paths import TARGET

PROGRAM = TARGET / "debug" / BINARY


@pytest.fixture
def image(shop):
    """The path of an open image."""
    shop.query("select marketing_automation.tracking_keys()")
    return "/o/" + shop.value("select marketing_automation_internal.sign_token('email_opened', 1, 1)")


def test_tls_with_a_certificate_that_is_replaced_while_it_runs(start_proxy, tmp_path, image):
    first = self_signed(tmp_path, "IP:127.0.0.1")
    proxy = start_proxy("--tls-certificate", str(tmp_path / "chain.pem"), "--tls-key", str(tmp_path / "key.pem"), wait=False)

    def shown():
        try:
            return ssl.get_server_certificate(("127.0.0.1", proxy.port)).strip()
        except OSError:
            return None

    def answer():
        try:
            return requests.get(f"https://127.0.0.1:{proxy.port}{image}", verify=tmp_path / "chain.pem").status_code
        except requests.RequestException:
            return None

    wait_until(lambda: answer() == 200, what="an image over TLS")
    assert shown() == first.strip()
    second = self_signed(tmp_path, "IP:127.0.0.1")
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: shown() == second.strip(), what="the new certificate")
    assert answer() == 200
    (tmp_path / "key.pem").write_text("nonsense")
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old one stays" in proxy.log.read_text(), what="the log to say that it stays")
    assert answer() == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{proxy.port}/healthz")


def test_sigterm_lets_a_request_under_way_finish(shop, start_proxy, image):
    proxy = start_proxy()
    connection = shop.connect(autocommit=False)
    connection.cursor().execute("lock marketing_automation_internal.event_inbox")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(requests.get, proxy.base + image)
        wait_until(lambda: shop.value("select count(*) from pg_locks where not granted") > 0, what="the hit to wait for the lock")
        proxy.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in proxy.log.read_text(), what="the proxy to stop")
        connection.rollback()
        assert waiting.result().status_code == 200
    assert proxy.process.wait(10) == 0
    wait_until(lambda: shop.events() == [("email_opened", 1)], what="the open in the log")


def test_a_reader_behind_our_proxies_is_known_by_network_only_and_not_for_long(shop, start_proxy, image):
    proxy = start_proxy("--trusted-proxies", "127.0.0.0/8,10.0.0.0/8")
    holder = shop.connect(autocommit=False)
    # Hits of a mail that nobody knows wait for who holds this row.
    holder.cursor().execute("select from marketing_automation_internal.event_application for update")
    requests.get(proxy.base + image, headers={"X-Forwarded-For": "1.2.3.4, 198.51.100.77, 10.1.1.1", "User-Agent": "reader 1.2"})
    assert shop.query("select address::text, user_agent from marketing_automation_internal.event_inbox") == [("198.51.100.0/24", "reader 1.2")]
    requests.get(proxy.base + image, headers={"DNT": "1", "Purpose": "prefetch"})
    holder.rollback()
    wait_until(lambda: shop.events() == [("email_opened", 2)], what="the opens in the log")
    assert shop.query("select address, user_agent, method, robot from marketing_automation.event order by occurred_at") == [
        (None, "reader 1.0", "GET", None),
        (None, None, "PREFETCH", "prefetch"),
    ]


def test_nobody_else_is_believed(cluster, shop, start_proxy, image):
    # The log keeps an address then, so that it does not matter whether the open has been applied yet.
    with cluster.having(marketing_automation__hit_details="full"):
        proxy = start_proxy()
        answer = requests.get(proxy.base + image, headers={"X-Forwarded-For": "198.51.100.77", "X-Request-Id": "mine"})
        assert answer.headers["X-Request-Id"] != "mine"
        assert shop.query("""
            select address::text from marketing_automation_internal.event_inbox where kind = 'email_opened'
            union all select address::text from marketing_automation.event where kind = 'email_opened'""") == [("127.0.0.0/24",)]


def test_the_log_is_json_and_names_no_person(start_proxy, image):
    proxy = start_proxy("--log-format", "json", "--log", "debug", "--trusted-proxies", "127.0.0.1/32")
    requests.get(proxy.base + image, headers={"X-Request-Id": "r-1", "X-Forwarded-For": "198.51.100.77", "User-Agent": "personal agent"})
    wait_until(lambda: "r-1" in proxy.log.read_text(), what="the request in the log")
    text = proxy.log.read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    answered = [entry for entry in entries if entry.get("request_id") == "r-1"]
    assert [(entry["route"], entry["status"], entry["level"]) for entry in answered] == [("open", 200, "DEBUG")]
    for secret in (image[3:], "198.51.100", "personal agent", "tracking@"):
        assert secret not in text


def test_requests_that_are_too_long_are_refused(start_proxy):
    proxy = start_proxy()
    for request, status in (
        (b"GET /o/" + b"A" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, 431)),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"A" * 60_000 + b"\r\n\r\n", (431,)),
        # All cookies of a shop on whose domain the links are.
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: " + b"A" * 30_000 + b"\r\n\r\n", (200,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no http\r\n\r\n", (400,)),
        (b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", (400,)),
    ):
        with socket.create_connection(("127.0.0.1", proxy.port), 10) as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status in status, request[:40]
    assert requests.get(proxy.base + "/healthz").status_code == 200


def test_slow_clients_keep_nobody_waiting_and_are_cut_off(start_proxy, image):
    proxy = start_proxy()
    slow = [socket.create_connection(("127.0.0.1", proxy.port), 10) for _ in range(500)]
    for connection in slow:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")

    def are_cut_off():
        # A byte now and then, as from who wants to look alive.
        for connection in slow[:]:
            try:
                connection.sendall(b"a")
                ready, _, _ = select.select([connection], [], [], 0)
                if ready and not connection.recv(1000):
                    raise ConnectionResetError
            except OSError:
                connection.close()
                slow.remove(connection)
        assert requests.get(proxy.base + image, timeout=30).status_code == 200
        return not slow

    assert not are_cut_off()
    wait_until(are_cut_off, 30, 0.5, what="the slow connections to be closed")


def test_not_ready_before_tokens_can_be_verified(shop, start_proxy, image):
    shop.query(f'revoke execute on function marketing_automation.tracking_keys() from "{shop.tracking}"')
    proxy = start_proxy(wait=False)
    wait_until(lambda: "hits can be recorded" in proxy.log.read_text(), what="the proxy to reach the database")
    assert requests.get(proxy.base + image).status_code == 503
    assert requests.get(proxy.base + "/readyz").status_code == 503
    shop.query(f'grant execute on function marketing_automation.tracking_keys() to "{shop.tracking}"')
    wait_until(proxy.ready, what="the proxy to be ready")
    assert requests.get(proxy.base + image).status_code == 200


@pytest.mark.parametrize("limit", ["soft", "hard"])
def test_many_connections_leave_files_for_the_rest(start_proxy, cluster, image, tmp_path, limit):
    proxy = start_proxy("--spool", tmp_path, shell=f"ulimit {dict(soft='-S', hard='-H -S')[limit]} -n 80")
    reader = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    _ask(reader, image)
    others = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(100)]
    cluster.stop("immediate")
    assert [_ask(reader, image) for _ in range(3)] == [200] * 3, "spooled"
    cluster.start()
    assert "Too many open files" not in proxy.log.read_text()
    for other in others:
        other.close()


def _ask(connection, path):
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _run(*arguments, **environment):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, env=environment, timeout=30)


def test_check_says_what_is_wrong(shop, tmp_path):
    good = _run("--check", "--spool", str(tmp_path / "spool"), MARKETING_TRACKING_DATABASE_URL=shop.tracking_url())
    assert good.returncode == 0 and "FAILED" not in good.stdout, good.stdout
    for line in ("ok      options", "ok      spool in", "ok      record_events", "ok      unsubscribe_by_token"):
        assert line in good.stdout
    (tmp_path / "token").write_text("0123456789abcdef" * 2)
    (tmp_path / "token").chmod(0o644)
    bounces = _run("--check", "--bounce-token-file", tmp_path / "token", MARKETING_TRACKING_DATABASE_URL=shop.tracking_url())
    assert bounces.returncode == 1 and "permission denied for function ingest_bounce" in bounces.stdout
    assert "token has the mode 0644" in bounces.stdout and "0123456789abcdef" not in bounces.stdout
    shop.query(f"select marketing_automation.grant_access('{shop.tracking}', 'bounces')")
    (tmp_path / "token").chmod(0o600)
    bounces = _run("--check", MARKETING_TRACKING_BOUNCE_TOKEN_FILE=str(tmp_path / "token"), MARKETING_TRACKING_DATABASE_URL=shop.tracking_url())
    assert bounces.returncode == 0 and "ok      ingest_bounce" in bounces.stdout and "warning" not in bounces.stdout
    assert shop.value("select count(*) from marketing_automation.bounce") == 0
    (tmp_path / "token").write_text("short")
    short = _run("--check", "--bounce-token-file", tmp_path / "token", MARKETING_TRACKING_DATABASE_URL=shop.tracking_url())
    assert short.returncode == 1 and "--bounce-token-file" in short.stdout and "short" not in short.stdout
    shop.query(f'revoke execute on all functions in schema marketing_automation from "{shop.tracking}"')
    bad = _run("--check", MARKETING_TRACKING_DATABASE_URL=shop.tracking_url())
    assert bad.returncode == 1 and "FAILED" in bad.stdout and "permission denied for function" in bad.stdout
    assert "tracking@" not in bad.stdout + bad.stderr
    away = _run("--check", "--database", f"host=127.0.0.1 port={free_port()} user=x")
    assert away.returncode == 1 and "Connection refused" in away.stdout
    (tmp_path / "proxy.toml").write_text("database = 'host=x'\nlissten = 'unix:/x'\n")
    misspelt = _run("--check", "--config", tmp_path / "proxy.toml")
    assert misspelt.returncode == 1 and "lissten" in misspelt.stderr and "line 2" in misspelt.stderr
    assert _run("--check").returncode == 1


def test_a_file_configures_it(shop, tmp_path, image):
    port = free_port()
    (tmp_path / "proxy.toml").write_text(f'listen = "127.0.0.1:{port}"\ndatabase = "{shop.tracking_url()}"\nspool = "{tmp_path / "spool"}"\n')
    check = _run("--check", "--config", tmp_path / "proxy.toml")
    assert check.returncode == 0 and f"127.0.0.1:{port}" in check.stdout


def test_help_is_complete():
    text = _run("--help").stdout
    for option in ("config", "listen", "database", "connections", "spool", "spool-limit", "trusted-proxies", "forwarded-header",
                   "tls-certificate", "tls-key", "bounce-token-file", "ses-topics", "ses-certificate", "sendgrid-key-file", "mailgun-key-file",
                   "postmark-credential-file", "brevo-credential-file", "log", "log-format", "check"):  # fmt: skip
        assert f"--{option}" in text
    assert text.count("[env: MARKETING_TRACKING_") == 20
