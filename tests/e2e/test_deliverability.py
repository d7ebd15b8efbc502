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
            "select m.email from marketing_automation.verify_return_path(upper(%s)) p "
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
