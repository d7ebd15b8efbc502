"""What makes receiving servers trust the mails, and what comes back when they do not."""

import base64
import contextlib
import re
import shutil
import subprocess

import dkim
import pytest

from harness import wait_until
from harness.cluster import SERVER_USER

SIGNED = {
    "From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post",
}  # fmt: skip


@pytest.fixture
def configure(cluster):
    """Sets settings of the extension for the whole server, until the test ends."""
    names = []

    def configure(**settings):
        for name, value in settings.items():
            cluster.query(f"alter system set marketing_automation.{name} = %s", (value,))
            names.append(name)
        cluster.query("select pg_reload_conf()")

    yield configure
    with contextlib.suppress(Exception):
        for name in names:
            cluster.query(f"alter system reset marketing_automation.{name}")
        cluster.query("select pg_reload_conf()")


def test_each_mail_has_a_return_path_that_leads_back_to_it(shop, sink, configure):
    configure(bounce_address="bounces@shop.example")
    shop.wait_for_worker()
    shop.customers("Ada", "Bob")
    shop.scenario()
    shop.tick()
    for mail in sink.wait_for(2):
        assert re.fullmatch(r"bounces\+[a-v0-9]+@shop\.example", mail.sender)
        assert mail.message["From"] == "Shop <shop@example.org>"
        # A server that stands between may fold the case.
        [(email,)] = shop.query(
            "select m.email from marketing_automation_internal.verify_return_path(upper(%s)) p "
            "join marketing_automation.message m using (record_id, activity_id)",
            f"<{mail.sender}>",
        )
        assert mail.recipients == [email]


def make_key(cluster, kind):
    """A key file that the server's user may read, and the TXT record of its public half."""
    path = cluster.directory / f"{kind}.pem"
    options = ["-algorithm", "ed25519"] if kind == "ed25519" else ["-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"]
    subprocess.run(["openssl", "genpkey", *options, "-out", path], check=True, capture_output=True)
    path.chmod(0o600)
    if SERVER_USER:
        shutil.chown(path, SERVER_USER, SERVER_USER)
    public = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "der"], check=True, capture_output=True)
    # RFC 8463: of Ed25519 the 32 bytes alone.
    bits = public.stdout[-32:] if kind == "ed25519" else public.stdout
    return path, f"v=DKIM1; k={kind}; p={base64.b64encode(bits).decode()}".encode()


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_verifier_of_somebody_else_accepts_the_signature(shop, sink, cluster, configure, kind):
    path, record = make_key(cluster, kind)
    configure(dkim_domain="shop.example", dkim_selector="s2026", dkim_key_file=str(path))
    shop.wait_for_worker()
    shop.customers("Zoë", email="zoe@example.org")
    shop.scenario(subject="Grüße an {{ record.name }}", body="<p>Hello  you</p>\n\n<p>é &amp; ü</p>\n \n")
    shop.tick()
    mail = sink.wait_for(1)[0]
    asked = []

    def answer(name, timeout=5):
        asked.append(name)
        return record

    assert dkim.verify(mail.raw, dnsfunc=answer)
    assert asked == [b"s2026._domainkey.shop.example."]
    signature = re.sub(r"\s", "", mail.message["DKIM-Signature"])
    signed = re.search(r"h=([^;]*);", signature)[1].split(":")
    assert {name for name in signed if signed.count(name) == 2} == SIGNED
    # What is sealed can be neither changed nor doubled.
    for name in (b"From", b"To", b"Subject", b"Date", b"Message-ID", b"List-Unsubscribe", b"List-Unsubscribe-Post", b"Reply-To"):
        assert not dkim.verify(name + b": x@example.net\r\n" + mail.raw, dnsfunc=answer), name
    assert not dkim.verify(mail.raw.replace(b"Hello", b"Hallo"), dnsfunc=answer)
    # White space may change on the way.
    assert dkim.verify(mail.raw.replace(b"\r\nSubject: ", b"\r\nSubject:\r\n  "), dnsfunc=answer)


def test_without_a_usable_key_nothing_leaves_unsigned(shop, sink, cluster, configure):
    path, _ = make_key(cluster, "ed25519")
    path.chmod(0o644)
    configure(dkim_domain="shop.example", dkim_selector="s2026")
    shop.wait_for_worker()
    shop.customers("Ada")
    shop.scenario()
    shop.tick()

    def wait_for_error(error):
        wait_until(
            lambda: error in (shop.value("select last_error from marketing_automation.worker_status() "
                                         "where database = current_database()") or ""),
            what=f"the worker to say {error}",
        )  # fmt: skip

    wait_for_error("marketing_automation.dkim_key_file is not set")
    configure(dkim_key_file=str(path))
    wait_for_error("its mode must be 0600")
    path.chmod(0o600)
    path.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    configure()
    wait_for_error("its key is neither RSA")
    assert sink.mails == [] and shop.messages() == {"ada@example.org": "queued"}
    path, record = make_key(cluster, "ed25519")
    configure(dkim_key_file=str(path))
    assert dkim.verify(sink.wait_for(1)[0].raw, dnsfunc=lambda name, timeout=5: record)


def test_each_sender_is_signed_for_by_its_own_domain(shop, sink, cluster, configure):
    shop_key, shop_record = make_key(cluster, "rsa")
    other_key, other_record = make_key(cluster, "ed25519")
    configure(
        dkim_domain="shop.example", dkim_selector="s2026", dkim_key_file=str(shop_key),
        dkim_keys=f"other.example o1 {other_key}", feedback_sender="shop-2026",
    )  # fmt: skip
    shop.wait_for_worker()
    shop.customers("Ada")
    shop.scenario("one", sender="News <news@shop.example>")
    shop.scenario("Zwei Welten", sender="News <news@mail.other.example>")
    shop.tick()
    records = {b"s2026._domainkey.shop.example.": shop_record, b"o1._domainkey.other.example.": other_record}
    found = {}
    for mail in sink.wait_for(2):
        assert dkim.verify(mail.raw, dnsfunc=lambda name, timeout=5: records.get(name))
        signature = re.search(r"d=([^;]+);", mail.message["DKIM-Signature"])[1]
        found[signature] = mail.message
    assert set(found) == {"shop.example", "other.example"}
    assert found["shop.example"]["List-Id"] == "<one.127.0.0.1>"
    assert re.fullmatch(r"<zwei-welten-[0-9a-f]{8}\.127\.0\.0\.1>", found["other.example"]["List-Id"])
    assert re.fullmatch(r"\d+:one:marketing:shop-2026", found["shop.example"]["Feedback-ID"])


def leaving_mails(address):
    """The mail that a List-Unsubscribe asks for, as five programs write it."""
    to = f"To: {address}"
    return [
        f"From: Ada <ada@gmail.example>\n{to}\nSubject: unsubscribe\nContent-Type: text/plain; charset=UTF-8\n\n"
        "This message was automatically generated by Gmail.\n",
        # Sent in the background, with nothing in it, and the case of the address folded on the way.
        f"From: bob@icloud.example\nTo: <{address.upper()}>\nAuto-Submitted: auto-generated\nSubject: unsubscribe\n\n",
        f"From: Eve <eve@outlook.example>\n{to}\nSubject: Re: unsubscribe\nContent-Type: multipart/alternative; boundary=b\n\n"
        "--b\nContent-Type: text/plain\n\nPlease remove me.\n--b\nContent-Type: text/html\n\n<p>Please remove me.</p>\n--b--\n",
        # An alias hides the address in the field To.
        f"Delivered-To: {address}\nFrom: fay@corp.example\nTo: Shop <leave@shop.example>\nSubject: =?utf-8?q?D=C3=A9part?=\n\n",
        # A mailbox that takes no extension: the token stands in the subject.
        f"From: gil@x.example\nTo: leave@shop.example\nSubject: unsubscribe {re.search(r'[+](.+)@', address)[1]}\n\n",
    ]


def test_one_leaves_by_mail_as_programs_write_it(shop, sink, configure):
    configure(unsubscribe_address="leave@shop.example", bounce_address="bounces@shop.example")
    shop.wait_for_worker()
    names = ["Ada", "Bob", "Eve", "Fay", "Gil", "Hal"]
    shop.customers(*names)
    shop.scenario(body='<p>Hello</p><a href="unsubscribe">leave</a>')
    shop.tick()
    mails = {mail.recipients[0]: mail for mail in sink.wait_for(len(names))}
    for number, name in enumerate(names[:5]):
        mail = mails[f"{name.lower()}@example.org"]
        ways = mail.message["List-Unsubscribe"]
        by_url, by_mail = re.fullmatch(r"<(https?://[^>]+)>,\s+<mailto:([^?]+)\?subject=unsubscribe>", ways).groups()
        assert "/u/" in by_url and re.fullmatch(r"leave\+[a-v0-9]+@shop\.example", by_mail)
        raw = leaving_mails(by_mail)[number].encode()
        for _ in range(2):
            [(kind, found)] = shop.query("select kind, message is not null from marketing_automation.ingest_bounce(%s)", raw)
            assert (kind, found) == ("unsubscribe", True)
    # Neither a return path's token nor a changed one leaves.
    hal = mails["hal@example.org"]
    by_mail = re.search(r"mailto:([^?]+)", hal.message["List-Unsubscribe"])[1]
    token = re.search(r"[+](.+)@", by_mail)[1]
    changed = by_mail.replace(token, token[:-9] + ("0" if token[-9] != "0" else "1") + token[-8:])
    for address in [hal.sender.replace("bounces+", "leave+"), changed]:
        for raw in leaving_mails(address):
            assert shop.value("select kind from marketing_automation.ingest_bounce(%s)", raw.encode()) in ("unknown", "auto_reply")
    assert shop.query("select p.name from marketing_automation.record r join shop.customer p on p.id::text = r.key "
                      "where r.blocked_at is null") == [("Hal",)]  # fmt: skip
    assert shop.value("select count(*) from marketing_automation.event where kind = 'unsubscribed'") == 5


def test_an_address_in_utf8_gets_its_mail_and_an_international_domain_its_ascii_name(shop, sink):
    shop.customers("Zoë", email="zoë@bücher.example")
    shop.scenario()
    shop.tick()
    mail = sink.wait_for(1)[0]
    assert mail.recipients == ["zoë@xn--bcher-kva.example"]
    assert "zoë@xn--bcher-kva.example".encode() in mail.raw


HOSTILE = [
    "x\r\nBcc: all@evil.example",
    "x\nBcc: all@evil.example\n\nbody",
    "x\rBcc: all@evil.example",
    "x\u2028Bcc: all@evil.example",
    "x\x85Bcc: all@evil.example",
    "=?utf-8?q?x=0D=0ABcc:_all@evil.example?=",
    '"><x@y>, <all@evil.example>',
    "Ж" * 3000,
    "long" * 3000,
    "a b " * 3000,
]


def test_no_field_can_add_a_header_or_a_recipient(shop, sink):
    """Names, subjects and senders from rows, and the scenario's name: each mail leaves as one mail to one, or fails."""
    shop.query("create table shop.hostile (id integer primary key, address text, text text)")
    shop.query(f'grant select on shop.hostile to "{shop.marketer}"')
    shop.query(
        "insert into shop.hostile select n, 'h' || n || '@example.org', t from unnest(%s) with ordinality as u (t, n)", HOSTILE
    )
    # The address itself too, and an address that hides in the name of the sender.
    shop.query("insert into shop.hostile select id + 100, 'h' || text, 'ok' from shop.hostile")
    shop.query(
        "select marketing_automation.register_model('hostile', 'shop.hostile', key => 'self.id', email => 'self.address', "
        "recipient_name => 'self.text')"
    )
    scenario = "Жx: y;\tz\u2028 <all@evil.example>" + "n" * 100
    shop.query("select marketing_automation.create_scenario(%s, model => 'hostile')", scenario)
    shop.query(
        "select marketing_automation.add_activity(%s, 'plain', subject => '{{ record.text }}', body => '<p>{{ record.text }}</p>')",
        scenario,
    )
    shop.query(
        "select marketing_automation.add_activity(%s, 'sender', sender => '{{ record.text }} <shop@example.org>', subject => 's', body => 'b')",
        scenario,
    )
    shop.query("select marketing_automation.run(%s)", scenario)
    shop.tick()
    # A name or an address of thousands of characters fails its activity, before there is a mail.
    ended = (
        "select (select count(*) from marketing_automation.message where state in ('sent', 'failed')) "
        "+ (select count(*) from marketing_automation.record_activity where state = 'failed')"
    )
    wait_until(lambda: shop.value(ended) == 4 * len(HOSTILE), 60, what="all mails to end")
    assert shop.value("select count(*) from marketing_automation.message where state = 'sent'") == len(sink.mails) > 5
    allowed = {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Precedence", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id",
        "Feedback-ID", "MIME-Version", "Content-Type",
    }  # fmt: skip
    for mail in sink.mails:
        assert len(mail.recipients) == 1 and "evil" not in mail.recipients[0]
        names = mail.message.keys()
        assert set(names) <= allowed and len(names) == len(set(names)), names
        assert mail.sender == "shop@example.org"
        assert [address.addr_spec for address in mail.message["To"].addresses] == mail.recipients
        assert [address.addr_spec for address in mail.message["From"].addresses] == ["shop@example.org"]
        assert all(len(line) <= 998 for line in mail.raw.split(b"\r\n"))
