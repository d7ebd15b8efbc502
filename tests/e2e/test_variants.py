"""Variants of a mail: whoever processes and sends, each reader gets one of them, the one that was decided on, in his language."""

import threading

import psycopg2

from harness import Mailer, wait_until

READERS = 1200
DECISIONS = """
    select r.key, coalesce(v.name, 'hello'), d.by_winner from marketing_automation.branch_decision d
    join marketing_automation.record r on r.id = d.record_id left join marketing_automation.activity v on v.id = d.activity_id"""


def variants(shop, share):
    """Two texts of the mail "hello", the second translated."""
    for name in ("one", "two"):
        shop.activity(name, parent="hello", on_event="variant", share=share, action=None, subject=f"{name} {{{{ record.name }}}}", body=None)
    shop.query(
        "insert into marketing_automation.activity_translation (activity_id, language, subject)"
        " select id, 'fr', 'deux {{ record.name }}' from marketing_automation.activity where name = 'two'"
    )


def got(sink):
    """[(name, variant)] of what has arrived."""
    words = {"one": "one", "two": "two", "deux": "two", "hello": "hello"}
    return [(name, words[word]) for word, name in (mail.subject.split() for mail in sink.mails)]


def processing(shop, stop, errors):
    """Sessions that process in small batches until `stop`."""

    def work():
        connection = shop.connect()
        with connection.cursor() as cursor:
            while not stop.is_set():
                try:
                    cursor.execute("select marketing_automation.process_due(40)")
                except psycopg2.Error as error:
                    errors.append(error)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    return threads


def test_each_reader_gets_the_variant_that_was_decided_on_whoever_sends(shop, sink):
    shop.crowd(READERS)
    shop.query("update shop.customer set language = case when id % 2 = 0 then 'fr' else 'en' end")
    shop.scenario(run=False, subject="hello {{ record.name }}", metric="opens")
    variants(shop, 10)
    shop.query("select marketing_automation.run('welcome')")
    stop, errors = threading.Event(), []
    threads = processing(shop, stop, errors)
    mailer = Mailer(shop.mailer_url(), "beside").start()
    try:
        shop.query("select * from marketing_automation.enroll()")
        wait_until(lambda: shop.value("select count(*) from marketing_automation.branch_decision") == READERS, 60, what="all to be decided on")
        tried = shop.value("select count(*) from marketing_automation.branch_decision where activity_id is not null")
        assert 0 < tried < READERS / 2
        wait_until(lambda: len(sink.mails) == tried, 60, what="the mails of those who try")
        shop.query("select marketing_automation.decide('welcome', 'hello', 'two')")
        wait_until(lambda: len(sink.mails) == READERS, 60, what="all mails")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        mailer.stop()
    assert not errors, errors
    names = dict(shop.query("select id::text, name from shop.customer"))
    decided = {names[key]: variant for key, variant, _ in shop.query(DECISIONS)}
    received = got(sink)
    assert len(received) == len(dict(received)) == READERS
    assert dict(received) == decided
    assert all(variant == "two" for key, variant, by_winner in shop.query(DECISIONS) if by_winner)
    french = {mail.subject.split()[1] for mail in sink.mails if mail.subject.startswith("deux")}
    assert french == {name for name, variant in decided.items() if variant == "two" and int(name[1:]) % 2 == 0}


def test_a_changed_text_of_a_variant_or_of_its_mail_is_in_the_next_mail(shop, sink):
    shop.customers("Ann")
    shop.scenario(run=False, subject="hello {{ record.name }}", body="<p>old <a href='unsubscribe'>leave</a></p>")
    shop.activity("one", parent="hello", on_event="variant", share=100, action=None, subject="one {{ record.name }}", body=None)
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()
    wait_until(lambda: len(sink.mails) == 1, what="the first mail")
    shop.query("update marketing_automation.activity set body = '<p>new <a href=''unsubscribe''>leave</a></p>' where name = 'hello'")
    shop.customers("Bob")
    shop.tick()
    wait_until(lambda: len(sink.mails) == 2, what="the second mail")
    shop.query("update marketing_automation.activity set subject = 'uno {{ record.name }}' where name = 'one'")
    shop.customers("Cy")
    shop.tick()
    wait_until(lambda: len(sink.mails) == 3, what="the third mail")
    assert [(mail.subject, mail.text.split()[0]) for mail in sink.mails] == [("one Ann", "old"), ("one Bob", "new"), ("uno Cy", "new")]
