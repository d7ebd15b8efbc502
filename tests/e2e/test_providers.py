"""What providers POST to the proxy of mails that they were given: judged as what comes back by mail."""

import json
import socket
import subprocess

import pytest
import requests

from harness import free_port, wait_until
from harness.paths import TARGET
from harness.proxy import BINARY

from e2e.providers import ALL, TOPIC, Brevo, Mailgun, Postmark, SendGrid, Ses

SUPPRESSED = "select coalesce(array_agg(c.name order by c.name), '{}') from shop.customer c where marketing_automation.is_suppressed(c.email)"
BOUNCES = "select b.kind, count(*)::integer from marketing_automation.bounce b group by b.kind order by b.kind"
NAMES = ("Ada", "Bob", "Cyd", "Dan", "Eve")


@pytest.fixture
def mails(shop, sink, cluster):
    """Mails that were sent through providers, by names of customers."""
    with cluster.having(marketing_automation__provider_headers="sendgrid, postmark, brevo"):
        shop.customers(*NAMES)
        shop.scenario()
        shop.tick()
        sink.wait_for(len(NAMES))
        for name in NAMES:
            shop.wait_for_message(f"{name.lower()}@example.org", "sent")
    shop.query(f"select marketing_automation.grant_access('{shop.tracking}', 'bounces')")
    return {name: sink.to(f"{name.lower()}@example.org")[0] for name in NAMES}


@pytest.fixture(params=ALL, ids=lambda provider: provider.name)
def provider(request, tmp_path):
    return request.param(tmp_path)


def _metrics(proxy, provider):
    found = {}
    for line in requests.get(proxy.base + "/metrics").text.splitlines():
        if line.startswith(f'marketing_tracking_provider_events_total{{provider="{provider.name}"'):
            found[line.split('result="')[1].split('"')[0]] = int(line.split()[-1])
    return found


def test_what_providers_tell_has_the_effects_of_what_comes_back_by_mail(shop, mails, provider, start_proxy):
    proxy = start_proxy(*provider.options)
    events = [provider.event("hard", mails["Ada"]), provider.event("complaint", mails["Bob"]), provider.event("delayed", mails["Dan"])]
    # SES tells of nobody who leaves.
    leaves = provider.name != "ses"
    if leaves:
        events.append(provider.event("unsubscribe", mails["Cyd"]))
    events.append(provider.event("other", mails["Eve"]))
    # Twice, as when the first answer was lost.
    answers = provider.post(proxy, *events) + provider.post(proxy, *events)
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["events"] for answer in answers) == 2 * len(events)
    assert sum(answer.json()["recorded"] for answer in answers) == 2 * (len(events) - 1)
    assert shop.messages() == {
        "ada@example.org": "bounced", "bob@example.org": "sent", "cyd@example.org": "sent", "dan@example.org": "sent", "eve@example.org": "sent"
    }
    assert shop.value(SUPPRESSED) == ["Ada", "Bob"]
    assert shop.query(BOUNCES) == [("complaint", 1), ("delayed", 1), ("hard", 1)] + [("unsubscribe", 1)] * leaves
    assert dict(shop.events()) == {"blocked": 1 + leaves, "complained": 1, "email_bounced": 1, **({"unsubscribed": 1} if leaves else {})}
    blocked = "select array_agg(c.name order by c.name) from marketing_automation.record r join shop.customer c on c.id::text = r.key where r.blocked_at is not null"
    assert shop.value(blocked) == ["Bob"] + ["Cyd"] * leaves
    assert shop.value("select status from marketing_automation.bounce where kind = 'hard'") == "5.1.1"
    # All were found, so that no mail of a person is kept.
    assert shop.value("select count(*) from marketing_automation.bounce where raw is not null or message_id is null") == 0
    counted = {"hard": 2, "complaint": 2, "delayed": 2, "ignored": 2, **({"unsubscribe": 2} if leaves else {})}
    assert _metrics(proxy, provider) == counted
    assert "@example.org" not in proxy.log.read_text()


def test_who_leaves_by_a_provider_has_left_as_by_the_link(shop, mails, tmp_path, start_proxy):
    provider = Mailgun(tmp_path)
    proxy = start_proxy(*provider.options)
    # The mail itself is kept no longer.
    shop.query("delete from marketing_automation_internal.message_log")
    [answer] = provider.post(proxy, provider.event("unsubscribe", mails["Cyd"]))
    assert answer.json() == {"events": 1, "recorded": 1}
    party = shop.value("select r.party from marketing_automation.record r join shop.customer c on c.id::text = r.key where c.name = 'Cyd'")
    left = shop.query("select kind, party from marketing_automation.event where kind = 'unsubscribed'")
    assert left == [("unsubscribed", party)]
    assert shop.value("select count(*) from marketing_automation.unsubscription") == (1 if party else 0)


def test_who_does_not_sign_is_not_believed(shop, mails, provider, start_proxy):
    proxy = start_proxy(*provider.options)
    event = provider.event("hard", mails["Ada"])
    text = json.dumps([event] if provider.batches else event)
    status = 401 if isinstance(provider, (Postmark, Brevo)) else 403
    for answer in provider.forged(proxy, text):
        assert (answer.status_code, answer.text) == (status, "")
        assert status == 403 or answer.headers["WWW-Authenticate"].endswith('realm="bounces"')
    assert shop.value("select count(*) from marketing_automation.bounce") == 0
    assert shop.value(SUPPRESSED) == []
    assert provider.send(proxy, text).status_code == 200
    assert shop.value(SUPPRESSED) == ["Ada"]


def test_others_mails_of_the_same_account_are_counted_and_not_kept(shop, mails, provider, start_proxy):
    proxy = start_proxy(*provider.options)

    class Stranger:
        recipients, sender = ["stranger@example.org"], "them@other.example"
        message = {
            "Message-ID": "<20260127.1@other.example>",
            "X-SMTPAPI": '{"unique_args": {"order": 7}}',
            "X-PM-Metadata-message-id": "",
            "X-Mailin-custom": "order 7",
        }

    [answer] = provider.post(proxy, provider.event("hard", Stranger))
    assert answer.json() == {"events": 1, "recorded": 0}
    # One that looks as ours, of a record that there is not.
    ours = mails["Ada"].message["Message-ID"].strip("<>").split("@")[0]
    unknown = "00000000-0000-4000-8000-000000000000.1"
    text = json.dumps(provider.event("hard", mails["Ada"])).replace(ours, unknown)
    if provider.name == "ses":
        text = json.dumps({**json.loads(text), "mail": {"commonHeaders": {"messageId": f"<{unknown}@x>"}}})
    assert provider.send(proxy, f"[{text}]" if provider.batches else text).json() == {"events": 1, "recorded": 1}
    assert shop.query("select kind, message_id from marketing_automation.bounce") == [("hard", None)]
    assert shop.value(SUPPRESSED) == []
    assert _metrics(proxy, provider) == {"foreign": 1, "no_mail": 1}


def test_while_the_database_is_away_the_provider_is_asked_to_try_again(shop, mails, provider, start_proxy):
    away = start_proxy(*provider.options, database=f"host=127.0.0.1 port={free_port()} user=x", wait=False)
    wait_until(lambda: _answers(away), what="the proxy without a database")
    [refused] = provider.post(away, provider.event("hard", mails["Ada"]))
    assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
    proxy = start_proxy(*provider.options)
    [taken] = provider.post(proxy, provider.event("hard", mails["Ada"]))
    assert taken.json() == {"events": 1, "recorded": 1}
    assert shop.value(SUPPRESSED) == ["Ada"]


def _answers(proxy):
    try:
        return requests.get(proxy.base + "/healthz").ok
    except requests.RequestException:
        return False


def test_what_no_provider_writes_costs_that_request_alone(shop, mails, provider, start_proxy):
    proxy = start_proxy(*provider.options)
    # What SNS carries may be anybody's text; what is around it is not.
    wrapped = isinstance(provider, (Ses, Mailgun))
    broken = {"mailgun": 406, "ses": 200}.get(provider.name, 400)
    for text, status in (
        ("[" * 100_000, broken),
        ('{"event": ' * 1000 + "1" + "}" * 1000, broken),
        ('{"event": "\\ud800"}', broken),
        ('{"timestamp": 1e99999, "event": [[], {}], "RecordType": -0.0, "eventType": {}}', 200),
        (f"[{','.join(['{}'] * 100_000)}]", 413 if provider.batches else {"ses": 200, "mailgun": 200, "postmark": 400}[provider.name]),
        (" " * (2**20 + 1), 413),
    ):
        answer = provider.send(proxy, text)
        assert answer.status_code == status, (text[:30], answer.status_code)
    if not wrapped:
        assert provider.send(proxy, "").status_code == 400
    with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        head = f"POST /bounce/{provider.name} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{"
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(20)
        assert connection.recv(100)[9:12] in (b"400", b"401", b"")
    assert shop.value("select count(*) from marketing_automation.bounce") == 0
    [answer] = provider.post(proxy, provider.event("hard", mails["Ada"]))
    assert answer.json() == {"events": 1, "recorded": 1}


def test_only_those_who_are_configured_are_there(shop, mails, tmp_path, start_proxy):
    provider = SendGrid(tmp_path)
    proxy = start_proxy(*provider.options)
    for path in ("ses", "mailgun", "postmark", "brevo", "", "sendgrid/x"):
        assert requests.post(f"{proxy.base}/bounce/{path}", "[]").status_code == 404
    assert requests.get(provider.url(proxy)).headers["Allow"] == "POST"
    metrics = requests.get(proxy.base + "/metrics").text
    assert 'requests_total{route="bounce_sendgrid",status="405"} 1' in metrics


def test_a_large_batch_is_recorded_as_a_whole(shop, mails, tmp_path, start_proxy):
    provider = SendGrid(tmp_path)
    proxy = start_proxy(*provider.options)
    events = [provider.event("delayed", mails["Dan"], sg_event_id=str(number)) for number in range(200)]

    def taken():
        [answer] = provider.post(proxy, *events)
        # Where there is no time for all of it, it comes again, and what was recorded costs a look.
        assert answer.status_code in (200, 503)
        return answer.status_code == 200 and answer.json()

    assert wait_until(taken, what="the batch to be taken") == {"events": 200, "recorded": 200}
    assert shop.query(BOUNCES) == [("delayed", 200)]
    assert wait_until(taken, what="the batch to be taken again") == {"events": 200, "recorded": 200}
    assert shop.query(BOUNCES) == [("delayed", 200)]


def test_a_topic_that_asks_is_shown_to_who_reads_the_log_and_nothing_is_fetched(tmp_path, start_proxy):
    provider = Ses(tmp_path)
    proxy = start_proxy(*provider.options)
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(2)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/?Action=ConfirmSubscription"
        ask = {"kind": "SubscriptionConfirmation", "Message": "You have chosen", "SubscribeURL": url, "Token": "2336412f37"}
        assert requests.post(provider.url(proxy), provider.envelope(**ask)).status_code == 200
        confirm = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
        wait_until(lambda: confirm in proxy.log.read_text(), what="the log to say how to confirm")
        assert url not in proxy.log.read_text()
        forged = {**ask, "Token": "x\ny"}
        assert requests.post(provider.url(proxy), provider.envelope(**forged)).status_code == 400
        with pytest.raises(TimeoutError):
            trap.accept()


def test_the_log_says_which_certificate_is_needed(shop, mails, tmp_path, start_proxy):
    provider = Ses(tmp_path)
    proxy = start_proxy("--ses-topics", TOPIC)
    event = json.dumps(provider.event("hard", mails["Ada"]))
    assert provider.send(proxy, event).status_code == 403
    needed = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b2c.pem"
    wait_until(lambda: needed in proxy.log.read_text(), what="the log to say which")
    assert "127.0.0.1:1/" not in proxy.log.read_text()
    assert shop.value("select count(*) from marketing_automation.bounce") == 0


def test_the_log_says_why_and_no_secret(tmp_path, start_proxy):
    provider = Mailgun(tmp_path)
    proxy = start_proxy(*provider.options)
    for _ in range(20):
        assert provider.send(proxy, '{"recipient": "ada@example.org"}', key="key-of-somebody-else-00000000000").status_code == 403
    text = proxy.log.read_text()
    assert text.count("its signature is not made with the key of the file") == 1
    assert "ada@" not in text and provider.key not in text and "key-of" not in text


def test_a_mail_has_no_header_for_anybody_unless_it_is_asked_for(shop, sink, cluster):
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    [plain] = sink.wait_for(1)
    names = ("X-SMTPAPI", "X-PM-Metadata-message-id", "X-Mailin-custom")
    assert not any(plain.message[name] for name in names)
    settings = {"marketing_automation__provider_headers": "postmark,brevo", "marketing_automation__staging_mailbox": "stage@shop.example"}
    with cluster.having(**settings):
        shop.scenario("staged")
        shop.tick()
        _, staged = sink.wait_for(2)
        # Nobody is judged by what becomes of it.
        assert staged.message["X-Mailin-custom"].startswith("staged.")
        assert staged.message["X-PM-Metadata-message-id"] == staged.message["Message-ID"].strip("<>").split("@")[0]
        assert staged.message["X-SMTPAPI"] is None


def test_what_an_author_writes_into_such_a_header_stays(shop, sink, cluster):
    with cluster.having(marketing_automation__provider_headers="postmark,brevo"):
        shop.customers("Ada")
        shop.scenario(headers=json.dumps({"x-mailin-custom": "mine"}))
        shop.tick()
        [mail] = sink.wait_for(1)
        assert mail.message.get_all("X-Mailin-custom") == ["mine"]
        assert mail.message["X-PM-Metadata-message-id"] == mail.message["Message-ID"].strip("<>").split("@")[0]


def test_check_looks_at_the_keys(shop, tmp_path):
    shop.query(f"select marketing_automation.grant_access('{shop.tracking}', 'bounces')")
    brevo, mailgun = Brevo(tmp_path), Mailgun(tmp_path)
    options = [*brevo.options, *mailgun.options]

    def check(*more):
        command = [TARGET / "debug" / BINARY, "--database", shop.tracking_url(), "--check", *options, *more]
        return subprocess.run([str(part) for part in command], capture_output=True, text=True)

    good = check()
    assert good.returncode == 0 and "ingest_bounce" in good.stdout and "warning" not in good.stdout
    (tmp_path / "brevo.secret").chmod(0o644)
    assert f"warning {tmp_path / 'brevo.secret'} has the mode 0644" in check().stdout
    half = check("--ses-topics", TOPIC)
    assert half.returncode == 0 and "warning without --ses-certificate" in half.stdout
    bad = check("--ses-certificate", brevo.options[1])
    assert bad.returncode == 1 and "--ses-certificate needs --ses-topics" in bad.stdout
