"""What makes receiving servers trust the mails, and what comes back when they do not."""

import contextlib
import re

import pytest


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
