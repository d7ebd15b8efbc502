"""A rehearsal keeps nobody waiting, is seen by nobody, and sends nothing."""

import threading
import time

from harness import wait_until

NULL = {"action": None, "subject": None, "body": None}
# What would wait for the rehearsal is cancelled.
SOON = "-c statement_timeout=60s"


def test_all_goes_on_while_a_campaign_is_rehearsed(shop, sink):
    shop.customers("Ada", "Ben", "Cleo")
    shop.scenario(run=False)
    shop.activity("next", parent="hello", delay="1 hour")
    # Waits for the test in the midst of the rehearsal, and of nothing else.
    shop.activity("slow", parent="next", delay="1 day", condition="pg_advisory_xact_lock_shared(2026) is not null", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.wait_for_worker()
    shop.tick()
    wait_until(lambda: len(sink.mails) == 3, what="the mails to be sent")
    other = shop.connect(options=SOON).cursor()
    told = []

    def rehearse():
        told.extend(shop.query(
            "select sum(entered), sum(mailed), sum(skipped) from marketing_automation.rehearse('welcome', now() + interval '5 days', opens => 0)"
        ))  # fmt: skip

    holder = shop.connect(autocommit=False)
    holder.cursor().execute("select pg_advisory_xact_lock(2026)")
    rehearsal = threading.Thread(target=rehearse)
    rehearsal.start()
    # It is at the slow activity: a day after "next", which runs an hour after the mails.
    wait_until(
        lambda: shop.value("select count(*) from pg_stat_activity where query like '%%rehearse welcome%%' and wait_event = 'advisory'") == 1,
        what="the rehearsal to be in its midst",
    )
    # Who enters and what is due, the mails, definitions and people: nothing waits.
    shop.customers("Dora")
    other.execute("select * from marketing_automation.enroll()")
    other.execute("call marketing_automation.process_all_due()")
    wait_until(lambda: len(sink.mails) == 4, what="the mail of who has just entered")
    other.execute("select marketing_automation.block(uuid) from marketing_automation.record where key = '2'")
    other.execute("update marketing_automation.activity set subject = 'Other' where name = 'next'")
    other.execute("select marketing_automation.stop('welcome')")
    other.execute("select marketing_automation.draft('welcome')")
    other.execute("update marketing_automation.scenario set domain = 'self.id < 100', name = 'greeting' where name = 'welcome'")
    other.execute("select marketing_automation.create_scenario('welcome', 'customer')")
    other.execute("select count(*), sum(records) from marketing_automation.scenario_report")
    assert other.fetchone()[0] == 2
    assert rehearsal.is_alive()
    holder.rollback()
    rehearsal.join()
    # As it was when it began.
    assert told == [(0, 3, 0)]
    time.sleep(1)
    assert len(sink.mails) == 4
    assert shop.value("select count(*) from marketing_automation.scenario") == 2
    assert shop.value("select count(*) from marketing_automation.record") == 4
