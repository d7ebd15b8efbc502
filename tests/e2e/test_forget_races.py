"""Who is forgotten while other sessions have something of theirs in hand."""

import threading

from harness import wait_until

KEPT = """
    select count(*) from marketing_automation.message where email <> '' or context <> '{}' or smtp_reply is not null or recipient_name is not null"""


def _forget_beside(shop, statement, email):
    """Forgets while a transaction is open that has run the statement, and waits until both are done."""
    holder = shop.connect(autocommit=False)
    holder.cursor().execute(statement)
    forgetting = threading.Thread(target=shop.query, args=("select * from marketing_automation.forget(%s)", email))
    forgetting.start()
    wait_until(lambda: shop.is_blocked() or not forgetting.is_alive(), what="forget() to wait")
    holder.commit()
    forgetting.join()


def test_a_mail_that_another_session_was_making_is_erased(shop, sink):
    shop.customers("Ada")
    shop.scenario(run=False)
    shop.activity("later", delay="1 hour")
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    shop.wait_for_message("ada@example.org", "sent")
    shop.pass_time("1 hour")
    _forget_beside(shop, "select marketing_automation.process_due()", "ada@example.org")
    wait_until(lambda: shop.value(KEPT) == 0, what="the mail to be erased")


def test_a_mail_that_another_session_was_trying_again_is_erased(shop, sink):
    sink.answer("ada@*", "550 5.7.1 no")
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    shop.wait_for_message("ada@example.org", "failed")
    _forget_beside(shop, "select marketing_automation.retry(id) from marketing_automation.message", "ada@example.org")
    wait_until(lambda: shop.value(KEPT) == 0, what="the mail to be erased")


def test_the_first_mail_to_somebody_forgotten_is_erased_when_it_is_claimed(shop, sink):
    shop.customers("Ada")
    shop.query("select marketing_automation.forget('ada@example.org')")
    shop.scenario()
    shop.tick()
    wait_until(lambda: shop.value("select count(*) from marketing_automation.message where state = 'suppressed'") == 1, what="the mail to be suppressed")
    assert shop.value("select count(*) from marketing_automation.message where email <> '' or context <> '{}' or recipient_name is not null") == 0
    assert not sink.mails
