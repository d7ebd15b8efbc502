"""marketing-mailer where the database, the way to it or the clock is not as usual."""

import os
import pathlib
import shutil
import subprocess

import pytest
from e2e.shop import TABLES, Shop, sending_to

from harness import Clock, Cluster, Mailer, wait_until


def shop_of(cluster):
    """A shop on a server of the test's own."""
    cluster.query("create database shop")
    shop = Shop(cluster, "shop")
    shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
    return shop


@pytest.mark.parametrize("seconds", (-3600, 3600))
def test_a_clock_that_is_wrong_by_an_hour_changes_nothing_but_the_date(bare_shop, sink, start_mailer, seconds):
    start_mailer(bare_shop, **Clock(seconds).environment)
    bare_shop.customers("Ada", "Bob", "Cyd")
    # One is due, one in half an hour, and one has expired half an hour ago.
    bare_shop.scenario(expires_after="1 hour")
    bare_shop.query("select * from marketing_automation.enroll()")
    session = bare_shop.connect(autocommit=False)
    with session, session.cursor() as cursor:
        cursor.execute("select marketing_automation.process_due(100)")
        cursor.execute("update marketing_automation_internal.outbox set due_at = now() + interval '30 minutes' where email like 'bob@%'")
        cursor.execute("update marketing_automation_internal.outbox set created_at = now() - interval '90 minutes' where email like 'cyd@%'")
    session.close()
    bare_shop.wait_for_message("ada@example.org", "sent")
    bare_shop.wait_for_message("cyd@example.org", "suppressed")
    mail = sink.to("ada@example.org")[0]
    assert abs(mail.message["Date"].datetime.timestamp() - mail.at - seconds) < 600
    # What the database has recorded is by its own clock.
    assert bare_shop.value("select abs(extract(epoch from now() - sent_at)) < 600 from marketing_automation.message where email like 'ada@%'")
    assert [mail.recipients for mail in sink.mails] == [["ada@example.org"]]
    bare_shop.query("update marketing_automation_internal.outbox set due_at = now()")
    bare_shop.wait_for_message("bob@example.org", "sent")


def test_a_mailer_at_a_standby_says_so_and_sends_when_it_is_promoted(sink):
    primary = Cluster(preload="", settings=sending_to(sink)).start()
    shop = shop_of(primary)
    shop.mailer_url()
    # A role of which the standby knows.
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    standby = Cluster.of_backup(primary, "--write-recovery-conf")
    mailer = Mailer(standby.start().url("shop", shop.mailing, "mailing"))
    try:
        mailer.start(wait=False)
        wait_until(lambda: "the server is a standby, or was set read-only" in mailer.said(), what="the mailer to say so")
        wait_until(lambda: mailer.ready_or_why() == "the database is away", what="it to be not ready")
        assert mailer.check()[0] == 1 and "standby" in mailer.check()[1]
        primary.stop()
        standby.query("select pg_promote()")
        wait_until(lambda: "select marketing_automation.arm()" in mailer.said(), 60, what="it to say what a copy needs")
        assert sink.mails == [] and mailer.process.poll() is None
        standby.query("select marketing_automation.arm(resend => true)", dbname="shop")
        sink.wait_for(1, 60)
    finally:
        mailer.stop()
        standby.destroy()
        primary.destroy()


def signed(directory, name, authority=None):
    """A key and a certificate for a name; without an authority it is one."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
    request = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", key]
    if authority is None:
        request += ["-x509", "-days", "1", "-addext", "keyUsage=keyCertSign", "-out", certificate]
        subprocess.run(request, check=True, capture_output=True)
        return certificate
    asked = subprocess.run(request, check=True, capture_output=True).stdout
    extensions = directory / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
    subprocess.run(
        ["openssl", "x509", "-req", "-days", "1", "-CA", authority, "-CAkey", authority.with_suffix(".key"), "-CAcreateserial",
         "-extfile", extensions, "-out", certificate],
        input=asked, check=True, capture_output=True,
    )  # fmt: skip
    return certificate


@pytest.mark.needs("tls")
def test_tls_to_the_database_is_verified_by_an_authority_of_ones_own(sink, tmp_path):
    authority, other = signed(tmp_path, "authority"), signed(tmp_path, "other")
    signed(tmp_path, "localhost", authority)
    cluster = Cluster(preload="", settings=sending_to(sink))
    for name in ("localhost.key", "localhost.pem"):
        copy = pathlib.Path(shutil.copy(tmp_path / name, cluster.directory))
        copy.chmod(0o600)
        os.chown(copy, *cluster.owner())
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"ssl = on\nssl_cert_file = '{cluster.directory}/localhost.pem'\nssl_key_file = '{cluster.directory}/localhost.key'\n")
    shop = shop_of(cluster.start())
    url = shop.mailer_url()
    by_name = url.replace("127.0.0.1", "localhost")
    try:
        for address, mode, root, verdict in (
            (by_name, "verify-full", authority, None),
            # The certificate is for a name.
            (url, "verify-full", authority, "not valid for name"),
            (url, "verify-ca", authority, None),
            (by_name, "verify-full", other, "UnknownIssuer"),
            (by_name, "verify-ca", other, "UnknownIssuer"),
            (by_name, "verify-full", tmp_path / "nothing.pem", "nothing.pem"),
            (url, "require", None, None),
        ):
            root = f"&sslrootcert={root}" if root else ""
            mailer = Mailer(f"{address}?sslmode={mode}{root}")
            code, said = mailer.check()
            mailer.stop()
            assert code == (verdict is not None) and (verdict or "ok      connect") in said, (mode, root, said)
        mailer = Mailer(f"{by_name}?sslmode=verify-full&sslrootcert={authority}").start()
        shop.customers("Ada")
        shop.scenario()
        shop.tick()
        sink.wait_for(1)
        assert shop.value("select s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where a.usename = %s", shop.mailing)
        # Over a network that is cut off and comes back it is verified again.
        cluster.restart()
        shop.customers("Bob")
        shop.tick()
        sink.wait_for(2, 60)
        mailer.stop()
    finally:
        cluster.destroy()
