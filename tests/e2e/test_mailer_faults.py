"""What goes wrong around marketing-mailer: each mail is accounted for, and none leaves twice but in doubt."""

import os
import signal
import time
from collections import Counter

from harness import Forwarder, wait_until


def test_the_claims_of_a_mailer_that_dies_are_taken_back_at_once(bare_shop, sink, start_mailer):
    bare_shop.customers("Ada", "Bob")
    sink.hang("data", "ada@*")
    bare_shop.scenario()
    dying = start_mailer(bare_shop, "dying")
    bare_shop.tick()
    wait_until(lambda: len(sink.to("ada@example.org")) == 1 and bare_shop.messages().get("bob@example.org") is not None, what="the mail to be with the server")
    other = start_mailer(bare_shop, "other")
    dying.kill()
    sink.behave()
    wait_until(lambda: set(bare_shop.messages().values()) == {"sent"}, what="the other to send it")
    assert other.process.poll() is None
    states = bare_shop.query("select state from marketing_automation.delivery_attempt where state = 'in_doubt'")
    assert states
    assert bare_shop.value("select state from marketing_automation.mailer_status() where name = 'dying'") == "lost"


def test_a_mailer_that_comes_back_under_its_name_takes_its_claims_back(bare_shop, sink, start_mailer):
    bare_shop.setting("in_doubt", "hold")
    bare_shop.customers("Ada")
    sink.hang("data")
    bare_shop.scenario()
    mailer = start_mailer(bare_shop)
    bare_shop.tick()
    sink.wait_for(1)
    mailer.kill()
    sink.behave()
    start_mailer(bare_shop)
    bare_shop.wait_for_message("ada@example.org", "in_doubt")
    assert len(sink.mails) == 1


def test_the_network_to_the_database_is_cut_in_the_middle_of_a_mail(bare_shop, sink, start_mailer):
    forwarder = Forwarder(bare_shop.cluster.port)
    bare_shop.customers("Ada")
    sink.delay(2)
    bare_shop.scenario()
    mailer = start_mailer(bare_shop, port=forwarder.port)
    before = sink.connections
    bare_shop.tick()
    wait_until(lambda: sink.connections > before, what="the mailer to be with the server")
    forwarder.cut()
    sink.wait_for(1)
    bare_shop.customers("Bob")
    bare_shop.tick()
    forwarder.mend()
    # What it sent while it was cut off is no longer in doubt when it is back, and what waited is sent.
    wait_until(lambda: set(bare_shop.messages().values()) == {"sent"} and len(bare_shop.messages()) == 2, 90, what="both to be sent")
    assert Counter(mail.recipients[0] for mail in sink.mails) == {"ada@example.org": 1, "bob@example.org": 1}
    assert "connected to the database again" in mailer.said()
    forwarder.close()


def test_what_was_cut_off_is_held_until_its_mailer_is_back_and_knows(bare_shop, sink, start_mailer):
    bare_shop.setting("in_doubt", "hold")
    forwarder = Forwarder(bare_shop.cluster.port)
    bare_shop.customers("Ada", "Bob", "Cyd")
    sink.delay(1)
    sink.answer_data("bob@*", "550 5.1.1 no such user")
    sink.answer_data("cyd@*", "450 4.2.0 later")
    bare_shop.scenario()
    start_mailer(bare_shop, port=forwarder.port)
    bare_shop.tick()
    # All three are with the server, which has not answered.
    sink.wait_for(3)
    forwarder.cut()
    # As the server does when it notices, after twenty seconds.
    bare_shop.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", bare_shop.mailing)
    start_mailer(bare_shop, "other")
    wait_until(lambda: list(bare_shop.messages().values()) == ["in_doubt"] * 3, what="all to be held")
    bare_shop.customers("Dan")
    bare_shop.tick()
    bare_shop.wait_for_message("dan@example.org", "sent")
    assert list(bare_shop.messages().values()) == ["in_doubt"] * 3 + ["sent"] and len(sink.mails) == 4
    forwarder.mend()
    said = {"ada@example.org": "sent", "bob@example.org": "failed", "cyd@example.org": "deferred", "dan@example.org": "sent"}
    wait_until(lambda: bare_shop.messages() == said, 60, what="the mailer to tell what became of them")
    assert Counter(mail.recipients[0] for mail in sink.mails) == dict.fromkeys(said, 1)
    attempts = bare_shop.query(
        "select m.email, a.state, a.code from marketing_automation.delivery_attempt a join marketing_automation.message m on m.id = a.message_id "
        "where m.email not like 'dan%%' order by m.email"
    )
    assert attempts == [("ada@example.org", "sent", 250), ("bob@example.org", "failed", 550), ("cyd@example.org", "deferred", 450)]
    sink.behave()
    bare_shop.query("update marketing_automation_internal.outbox set due_at = now()")
    bare_shop.wait_for_message("cyd@example.org", "sent")
    forwarder.close()


def test_what_was_cut_off_is_held_for_a_person_when_its_mailer_never_comes_back(bare_shop, sink, start_mailer):
    bare_shop.setting("in_doubt", "hold")
    forwarder = Forwarder(bare_shop.cluster.port)
    bare_shop.customers("Ada")
    sink.delay(1)
    bare_shop.scenario()
    mailer = start_mailer(bare_shop, port=forwarder.port)
    bare_shop.tick()
    sink.wait_for(1)
    forwarder.cut()
    # It cannot tell any more what the server says.
    mailer.kill()
    bare_shop.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", bare_shop.mailing)
    start_mailer(bare_shop, "other")
    bare_shop.wait_for_message("ada@example.org", "in_doubt")
    bare_shop.customers("Bob")
    bare_shop.tick()
    bare_shop.wait_for_message("bob@example.org", "sent")
    assert len(sink.to("ada@example.org")) == 1
    bare_shop.query("select marketing_automation.retry(id) from marketing_automation.message where state = 'in_doubt'")
    bare_shop.wait_for_message("ada@example.org", "sent")
    assert len({mail.message["Message-ID"] for mail in sink.to("ada@example.org")}) == 1 and len(sink.to("ada@example.org")) == 2
    forwarder.close()


def test_a_mailer_that_is_cut_off_sends_nothing_a_second_later(bare_shop, sink, start_mailer):
    forwarder = Forwarder(bare_shop.cluster.port)
    bare_shop.setting("smtp_connections", "2")
    bare_shop.crowd(100)
    sink.delay(0.2)
    bare_shop.scenario()
    start_mailer(bare_shop, port=forwarder.port)
    bare_shop.tick()
    sink.wait_for(10)
    forwarder.cut()
    cut_at = time.time()
    time.sleep(4)
    # One on each connection was on its way.
    late = [mail for mail in sink.mails if mail.at > cut_at + 1]
    assert len(late) <= 2, [mail.at - cut_at for mail in late]
    # Now the server learns of it.
    forwarder.close()
    sink.delay(0)
    start_mailer(bare_shop, "other")
    wait_until(lambda: Counter(bare_shop.messages().values()) == {"sent": 100}, 60, what="the other to send the rest")
    twice = [email for email, count in Counter(mail.recipients[0] for mail in sink.mails).items() if count > 1]
    # At most what was with the server, or completed and not told, when the network was cut.
    doubted = {email for (email,) in bare_shop.query(
        "select m.email from marketing_automation.delivery_attempt a join marketing_automation.message m on m.id = a.message_id where a.state = 'in_doubt'")}  # fmt: skip
    assert set(twice) <= doubted


def test_a_mailer_that_is_silent_loses_its_session(bare_shop, sink, start_mailer):
    bare_shop.customers("Ada")
    sink.hang("data")
    bare_shop.scenario()
    silent = start_mailer(bare_shop, "silent")
    bare_shop.tick()
    sink.wait_for(1)
    silent.process.send_signal(signal.SIGSTOP)
    sink.behave()
    start_mailer(bare_shop, "other")
    try:
        bare_shop.query("update marketing_automation_internal.mailer set seen_at = seen_at - interval '2 minutes' where name = 'silent'")
        wait_until(lambda: set(bare_shop.messages().values()) == {"sent"}, what="the other to send its mail")
        assert bare_shop.value("select state from marketing_automation.mailer_status() where name = 'silent'") == "lost"
    finally:
        silent.process.send_signal(signal.SIGCONT)
    # Back, it registers again and is of use.
    wait_until(lambda: bare_shop.value("select state from marketing_automation.mailer_status() where name = 'silent'") == "idle", what="it to come back")


def test_the_database_is_restarted_while_mails_are_on_their_way(bare_shop, sink, start_mailer):
    bare_shop.crowd(300)
    sink.delay(0.05)
    bare_shop.scenario()
    mailer = start_mailer(bare_shop)
    bare_shop.tick()
    for mode in ("fast", "immediate"):
        arrived = len(sink.mails)
        sink.wait_for(arrived + 40)
        bare_shop.cluster.restart(mode)
    sink.delay(0)
    wait_until(lambda: Counter(bare_shop.messages().values()) == {"sent": 300}, 90, what="all to be sent")
    assert set(Counter(mail.recipients[0] for mail in sink.mails).values()) == {1}
    assert mailer.process.poll() is None


def test_sigterm_lets_the_mails_end_that_are_with_a_server(bare_shop, sink, start_mailer):
    bare_shop.crowd(100)
    sink.delay(0.3)
    bare_shop.scenario()
    mailer = start_mailer(bare_shop)
    bare_shop.tick()
    sink.wait_for(10)
    assert mailer.terminate() == 0
    states = Counter(bare_shop.messages().values())
    assert states["sent"] == len(sink.mails) and states["sent"] + states["queued"] == 100, states
    assert bare_shop.value("select count(*) from marketing_automation.delivery_attempt where state = 'in_doubt'") == 0
    assert os.path.exists(mailer.log)


def test_a_database_that_is_read_only_gets_its_mails_sent_when_it_is_not(bare_shop, sink, start_mailer):
    mailer = start_mailer(bare_shop)
    bare_shop.customers("Ada")
    bare_shop.scenario()
    bare_shop.tick()
    sink.wait_for(1)
    bare_shop.cluster.query(f'alter role "{bare_shop.mailing}" set default_transaction_read_only = on')
    # A new session says itself that it writes; what a role's settings say does not stop it.
    mailer.kill()
    start_mailer(bare_shop)
    bare_shop.customers("Bob")
    bare_shop.tick()
    sink.wait_for(2)
