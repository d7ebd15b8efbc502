"""What comes back: refusals at once, and returned mails."""

import functools
import http.client
import os
import pathlib
import re
import smtplib
import subprocess

import pytest
import requests

from harness import free_port, wait_until
from harness.postfix import Postfix

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANUAL = ROOT / "docs" / "mail.md"
SAMPLE = ROOT / "src" / "mail" / "bounce" / "samples" / "postfix_user_unknown.eml"

TOKEN = "0123456789abcdef0123456789abcdef"
# What the manual's script for the proxy has where a test needs its own.
SAMPLES = {"url": "http://127.0.0.1:8080/bounce", "file": "/etc/postfix/bounce-authorization", "database": "dbname=shop"}
SUPPRESSED = "select array_agg(c.name order by c.name) from shop.customer c where marketing_automation.is_suppressed(c.email)"


def test_only_a_mailbox_that_does_not_exist_is_suppressed_at_once(shop, sink):
    shop.customers("Ada", "Bob", "Cyd")
    sink.answer("ada@*", "550 5.1.1 <ada@example.org>: no such user")
    sink.answer("bob@*", "550 5.7.1 <bob@example.org>: no such user for the likes of you")
    shop.scenario(run=False)
    shop.activity("call", parent="hello", on_event="email_bounced", action=None, subject=None, body=None)
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    shop.wait_for_message("ada@example.org", "failed")
    shop.wait_for_message("bob@example.org", "failed")
    shop.wait_for_message("cyd@example.org", "sent")
    wait_until(lambda: shop.value(SUPPRESSED) == ["Ada"], what="the address to be suppressed")
    assert shop.events() == [("email_bounced", 1)]
    assert shop.value(
        "select r.key from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'call' "
        "join marketing_automation.record r on r.id = ra.record_id where ra.state = 'waiting'"
    ) == shop.value("select id::text from shop.customer where name = 'Ada'")
    sink.behave()
    shop.scenario("again")
    shop.tick()
    wait_until(lambda: len(sink.mails) == 3, what="the others to get the next mail")
    assert sink.to("ada@example.org") == []


@pytest.fixture
def returned(shop, sink, cluster):
    """The report of a mail server that Ada's mail did not arrive."""
    with cluster.having(marketing_automation__bounce_address="bounces@shop.example"):
        shop.customers("Ada")
        shop.scenario()
        shop.tick()
        [mail] = sink.wait_for(1)
        shop.wait_for_message("ada@example.org", "sent")
    assert mail.sender.startswith("bounces+") and mail.sender.endswith("@shop.example")
    shop.query(f"select marketing_automation.grant_access('{shop.tracking}', 'bounces')")
    return SAMPLE.read_bytes().replace(b"bounces+0abcdefghijk@shop.example", mail.sender.encode())


@pytest.fixture
def start(start_proxy, tmp_path):
    """Starts proxies that take returned mails."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    return functools.partial(start_proxy, "--bounce-token-file", tmp_path / "token")


def _script(number, directory, **replaced):
    """Writes one of the manual's scripts, with other names in it."""
    text = re.findall(r"^```sh\n(#!/bin/sh\n.*?)^```", MANUAL.read_text(), re.M | re.S)[number]
    for old, new in replaced.items():
        assert SAMPLES[old] in text
        text = text.replace(SAMPLES[old], str(new))
    script = directory / f"ingest-bounce-{number}"
    new = script.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o755)
    # At once: Postfix tries again each second, and a file that has just been emptied ends well, so that the report passes for delivered.
    new.rename(script)
    return script


def _deliver(script, mail, **environment):
    """What the script tells the mail server."""
    return subprocess.run([script], input=mail, env={**os.environ, **environment}, stderr=subprocess.DEVNULL).returncode


def test_the_pipe_that_the_manual_shows_takes_what_comes_back(shop, returned, cluster, tmp_path):
    # Larger than what fits into an argument, and anything but text.
    report = returned + bytes(range(256)) * 2000
    assert _deliver(_script(0, tmp_path, database=cluster.url("nowhere", shop.tracking, "tracking")), report) == 75
    assert _deliver(_script(0, tmp_path, database=shop.tracking_url()), report) == 0
    assert shop.messages() == {"ada@example.org": "bounced"}
    assert shop.value(SUPPRESSED) == ["Ada"]


def _configuration(first):
    """The manual's lines for Postfix that begin so."""
    return next(text for text in re.findall(r"^```\w*\n(.*?)^```$", MANUAL.read_text(), re.M | re.S) if text.startswith(first))


@pytest.mark.mounts
def test_a_real_postfix_runs_the_pipe_that_the_manual_shows(shop, returned, cluster, tmp_path):
    master = _configuration("ingest-bounce unix")
    postfix = Postfix(_configuration("recipient_delimiter"), master, {"bounces": 5153})
    # Its account may not enter the test's own directory.
    script = _script(0, postfix.directory, database=cluster.url("nowhere", shop.tracking, "tracking"))
    postfix.replace("/usr/local/bin/ingest-bounce", script)
    try:
        postfix.start()
        sender = re.search(rb"bounces\+\S+?@shop\.example", returned)[0].decode()
        # As it is before this server notes where it delivers it: seen there already, it would be a loop.
        report = re.sub(rb"^Delivered-To: .*\r?\n", b"", returned, flags=re.M)
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=60) as client:
            client.sendmail("", [sender], report)
        wait_until(lambda: "status=deferred" in postfix.log_text(), what="Postfix to keep the report while there is no database")
        _script(0, postfix.directory, database=shop.tracking_url())
        wait_until(lambda: shop.messages() == {"ada@example.org": "bounced"}, what="the report to be taken")
        wait_until(lambda: "status=sent (delivered via ingest-bounce service)" in postfix.log_text(), what="Postfix to be content")
        assert shop.value(SUPPRESSED) == ["Ada"]
    finally:
        print(postfix.log_text())
        postfix.stop()


def test_the_proxy_takes_what_comes_back(shop, returned, start):
    proxy = start()
    url, authorization = proxy.base + "/bounce", {"Authorization": f"Bearer {TOKEN}"}
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}0"}, {"Authorization": f"Basic {TOKEN}"}):
        refused = requests.post(url, returned, headers=headers)
        assert refused.status_code == 401 and refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert requests.get(url, headers=authorization).headers["Allow"] == "POST"
    assert requests.post(url, b"", headers=authorization).status_code == 400
    announced = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    announced.putrequest("POST", "/bounce")
    for name, value in {**authorization, "Content-Length": str(2**20 + 1)}.items():
        announced.putheader(name, value)
    announced.endheaders()
    assert announced.getresponse().status == 413
    assert shop.value("select count(*) from marketing_automation.bounce") == 0
    answers = [requests.post(url, returned, headers=authorization) for _ in range(2)]
    message = shop.value("select id from marketing_automation.message")
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"kind": "hard", "status": "5.1.1", "message": message})] * 2
    assert shop.messages() == {"ada@example.org": "bounced"}
    assert shop.value(SUPPRESSED) == ["Ada"]
    assert shop.value("select count(*) from marketing_automation.bounce") == 1
    stranger = requests.post(url, bytes(range(256)), headers=authorization)
    assert stranger.status_code == 200 and stranger.json() == {"kind": "unknown", "status": None, "message": None}
    assert TOKEN not in proxy.log.read_text() and "ada@" not in proxy.log.read_text()
    metrics = requests.get(proxy.base + "/metrics").text
    assert 'requests_total{route="bounce",status="401"} 3' in metrics and 'requests_total{route="bounce",status="200"} 3' in metrics


def test_the_script_that_the_manual_shows_for_the_proxy_keeps_what_cannot_be_recorded(shop, returned, start, tmp_path):
    proxy, away = start(), start(database=f"host=127.0.0.1 port={free_port()} user=x", wait=False)
    (tmp_path / "authorization").write_text(f"Authorization: Bearer {TOKEN}\n")
    wait_until(lambda: _answers(away), what="the proxy without a database")
    refused = requests.post(away.base + "/bounce", returned, headers={"Authorization": f"Bearer {TOKEN}"})
    assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
    # Longer than what the proxy takes.
    report = returned + bytes(range(256)) * 8000
    assert _deliver(_script(1, tmp_path, url=away.base + "/bounce", file=tmp_path / "authorization"), report) == 75
    assert _deliver(_script(1, tmp_path, url=proxy.base + "/bounce", file=os.devnull), report) == 75
    assert shop.messages() == {"ada@example.org": "sent"}
    assert _deliver(_script(1, tmp_path, url=proxy.base + "/bounce", file=tmp_path / "authorization"), report) == 0
    assert shop.messages() == {"ada@example.org": "bounced"}
    assert shop.value(SUPPRESSED) == ["Ada"]


def _answers(proxy):
    try:
        return requests.get(proxy.base + "/healthz").ok
    except requests.RequestException:
        return False


def no_such_user(mail):
    """What the next server says of a mail that ours took."""
    return f"""From: MAILER-DAEMON@relay.example
Subject: Undelivered
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example

Final-Recipient: rfc822; {mail.recipients[0]}
Action: failed
Status: 5.1.1

--b
Content-Type: message/rfc822

Message-ID: {mail.message["Message-ID"]}

--b--
""".encode()


def test_a_bounce_may_come_before_the_result_of_its_mail(shop, sink):
    shop.customers("Ada")
    sink.delay(1)
    shop.scenario()
    shop.tick()
    [mail] = sink.wait_for(1)
    assert shop.messages() == {"ada@example.org": "sending"}
    assert shop.value("select kind from marketing_automation.ingest_bounce(%s)", no_such_user(mail)) == "hard"
    assert shop.messages() == {"ada@example.org": "bounced"}
    assert shop.value(SUPPRESSED) == ["Ada"]


def test_a_bounce_of_a_mail_that_is_in_doubt_suppresses_its_address(shop, sink):
    shop.customers("Ada")
    sink.drop("data")
    shop.scenario()
    shop.tick()
    [mail] = sink.wait_for(1)
    shop.wait_for_message("ada@example.org", "deferred")
    sink.behave()
    assert shop.value("select message = (select id from marketing_automation.message) from marketing_automation.ingest_bounce(%s)", no_such_user(mail))
    assert shop.value(SUPPRESSED) == ["Ada"]
    shop.retry_now()
    shop.wait_for_message("ada@example.org", "suppressed")
    assert len(sink.mails) == 1
