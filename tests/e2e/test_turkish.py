"""A database in Turkish, where the small letter of I is no i: names, addresses and settings mean what they mean everywhere."""

import shutil
import subprocess
import tempfile

from e2e.shop import TABLES, Shop, sending_to

from harness import Cluster, wait_until
from harness.cluster import server_account


def test_a_database_in_turkish_runs_a_campaign(sink, monkeypatch):
    locales = tempfile.mkdtemp(prefix="ma-locale-", dir="/tmp")
    cluster = None
    try:
        # It warns of what the C library does not take from it.
        subprocess.run(["localedef", "--inputfile=tr_TR", "--charmap=UTF-8", f"{locales}/tr_TR.UTF-8"], check=False, capture_output=True)
        subprocess.run(["chmod", "-R", "a+rX", locales], check=True)
        shutil.chown(locales, server_account())
        with monkeypatch.context() as patch:
            patch.setenv("LOCPATH", locales)
            cluster = Cluster(preload="marketing_automation", settings=sending_to(sink), initdb_options=("--locale=tr_TR.UTF-8",)).start()
        cluster.query("create database shop")
        shop = Shop(cluster, "shop")
        shop.psql(TABLES.format(database="shop", role=shop.marketer, tracking=shop.tracking))
        assert shop.query("select lower('I') = 'i', upper('i') = 'I'") == [(False, False)]
        shop.query("select marketing_automation.suppress('IVAN@EXAMPLE.ORG')")
        for number, (name, email, language) in enumerate((("Ivan", "ivan@example.org", "it"), ("INES", "INES@EXAMPLE.ORG", "IT"), ("IŞIK", "isik@example.org", "tr-TR")), 1):
            shop.query("insert into shop.customer (id, name, email, language) values (%s, %s, %s, %s)", number, name, email, language)
        body = '<mjml><mj-body><mj-section><mj-column><mj-text>I <A HREF="UNSUBSCRIBE">{{ record.name }}</A></mj-text></mj-column></mj-section></mj-body></mjml>'
        shop.scenario("ISTANBUL", mail=False, run=False)
        shop.activity("TITLE", scenario="ISTANBUL", subject="I {{ record.name | lower }}", body=body)
        shop.query("select marketing_automation.run('ISTANBUL')", user=shop.marketer)
        shop.tick()
        wait_until(lambda: sorted(shop.messages().values()) == ["sent", "sent", "suppressed"], 60, what=f"two mails and none to who is suppressed: {shop.messages()}")
        assert shop.messages()["ivan@example.org"] == "suppressed"
        assert {mail.message["Subject"] for mail in sink.mails} == {"I ines", "I işik"}
        assert all("/u/" in mail.html and "List-Unsubscribe" in mail.message for mail in sink.mails)
        assert shop.query("select name from marketing_automation.health() where status = 'error'") == []
        # One address is one, however it is spelt: who may send as it, who is asked about and forgotten, who has asked for a topic.
        shop.query("insert into marketing_automation.sender_permission (role, sender) values (%s, 'INFO@BILGI.EXAMPLE')", shop.marketer)
        for sender in ("info@bilgi.example", "Info@Bilgi.example"):
            assert shop.query("select marketing_automation_internal.may_send_as(%s::regrole, %s)", f'"{shop.marketer}"', sender) == [(True,)]
        shop.query("insert into marketing_automation.topic (name, opt_in) values ('NEWS', 'double')")
        for address in ("ipek@example.org", "IPEK@EXAMPLE.ORG", "Ipek@example.org"):
            shop.query("select marketing_automation.subscribe_address(%s, 'NEWS')", address)
        assert shop.value("select count(*) from marketing_automation.subscription_request") == 1
        shop.query("select marketing_automation.unsubscribe('party INES@EXAMPLE.ORG'), marketing_automation.unsubscribe('INES@EXAMPLE.ORG')")
        shop.query("select marketing_automation.forget('ines@example.org')")
        assert shop.query("select party from marketing_automation.unsubscription") == [("party INES@EXAMPLE.ORG",)]
    finally:
        if cluster:
            cluster.destroy()
        shutil.rmtree(locales)
