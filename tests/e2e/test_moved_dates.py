"""Mails whose date moves while they wait in the queue: whoever claims, processes, asks dates, edits, deletes and blocks meanwhile, each record runs
its activity once, and nothing is claimed at a date that has moved."""

import psycopg2
import pytest
from e2e.at_once import run_at_once

NULL = {"action": None, "subject": None, "body": None}

# Nobody sends: who claims gives back, so that the same mails are asked for their date again and again. Dates stand still during a claim, as
# what is moved then is met by the next look only. Who is blocked during one (16 to 20) is not asked, as the mailer is told to give that claim back.
CLAIM = """
    alter table shop.customer add begins_at timestamptz not null default now() - interval '1 hour';
    create table shop.claimed_too_early (key text not null);
    create table shop.taken_back (record_id bigint not null);
    create procedure shop.claim() language plpgsql as $$
    declare
        ids bigint[];
        attempts integer[];
    begin
        perform pg_advisory_xact_lock(1);
        select array_agg(c.id), array_agg(c.attempt) into ids, attempts from marketing_automation_internal.claim_messages(5) c;
        insert into shop.claimed_too_early
        select o.key from marketing_automation_internal.outbox o join shop.customer c on c.id::text = o.key
        where o.id = any (ids) and c.begins_at > now() and c.id <= 15;
        perform marketing_automation_internal.complete_messages(ids, attempts, array_fill('released'::text, array[coalesce(cardinality(ids), 0)]),
            array_fill(null::text, array[coalesce(cardinality(ids), 0)]), array_fill(0::double precision, array[coalesce(cardinality(ids), 0)])) where ids <> '{}';
    end $$;
    create procedure shop.live() language plpgsql as $$
    begin
        perform pg_advisory_xact_lock(1);
        update shop.customer c set begins_at = now() + case when random() < 0.5 then interval '1 hour' else interval '-1 hour' end
        where c.id = any (array(select (random() * 20)::integer from generate_series(1, 5)));
        update marketing_automation_internal.sweep set rests_until = '-infinity' where ctid = any (array(
            select s.ctid from marketing_automation_internal.sweep s for update skip locked));
        -- What was given back, or another session held, is due again at once.
        update marketing_automation_internal.outbox set due_at = now() where ctid = any (array(
            select o.ctid from marketing_automation_internal.outbox o where o.state = 'queued' for update skip locked));
    end $$;
    create function shop.keep() returns trigger language plpgsql as $$
    begin
        insert into shop.taken_back values (old.record_id);
        return null;
    end $$;
    create trigger keep after delete on marketing_automation_internal.outbox for each row execute function shop.keep();
"""

# Each finds what must not be. A record that is blocked has its mail in the log.
VIOLATIONS = {
    "a mail was claimed at a date that has moved": "select count(*) from shop.claimed_too_early",
    "waits for what has run": """
        select count(*) from marketing_automation_internal.waiting_activity w
        join marketing_automation_internal.finished_activity f using (record_id, activity_id)""",
    "neither waits nor has run": """
        select count(*) from marketing_automation.record r join marketing_automation.activity a on a.scenario_id = r.scenario_id and a.name = 'hello'
        where not exists (select from marketing_automation_internal.waiting_activity w where (w.record_id, w.activity_id) = (r.id, a.id))
          and not exists (select from marketing_automation_internal.finished_activity f where (f.record_id, f.activity_id) = (r.id, a.id))""",
    "two mails, or none, of what has run": """
        select count(*) from marketing_automation_internal.finished_activity f
        where f.outcome = 'mailed' and (
            select count(*) from marketing_automation.message m where (m.record_id, m.activity_id) = (f.record_id, f.activity_id)) <> 1""",
    "a mail of what waits": """
        select count(*) from marketing_automation_internal.outbox o join marketing_automation_internal.waiting_activity w using (record_id, activity_id)""",
    "decided for what waits": """
        select count(*) from marketing_automation.branch_decision d
        join marketing_automation_internal.waiting_activity w on (w.record_id, w.activity_id) = (d.record_id, d.parent_id)""",
    "the counter differs": """
        select abs((select count(*) from marketing_automation_internal.finished_activity f where f.outcome = 'mailed')
            - (select coalesce(sum(c.mailed), 0) from marketing_automation_internal.activity_counter c
               where not c.rolled_up or c.period = '-infinity'))""",
}

STEPS = {
    "claim": ["call shop.claim()"],
    "process": ["select marketing_automation.process_due(5)"],
    "process in one": ["begin; select marketing_automation.process_due(5); select marketing_automation.process_due(5); commit"],
    "dates": ["select marketing_automation.apply_dates('welcome')", "select marketing_automation.apply_dates()"],
    "edit": ["update marketing_automation.activity set at = 'self.begins_at + interval ''1 second''' where name = 'hello'",
             "update marketing_automation.activity set at = 'self.begins_at' where name = 'hello'"],
    # The first two are refused at any time, as one of them waits or has run; the last one is not, unless somebody waits for it.
    "delete": ["delete from marketing_automation.activity where name = 'hello'",
               "delete from marketing_automation.activity where name = 'question'",
               "select marketing_automation.add_activity('welcome', 'more', delay => '1 hour', action => null, replace => true)",
               "delete from marketing_automation.activity where name = 'more'"],
    "block": [f"select marketing_automation.{step}(r.uuid) from (select uuid from marketing_automation.record where key::integer > 15 order by random() limit 1) r"
              for step in ("block", "unblock")],
    "forget": ["select marketing_automation.forget('c' || 1 + (random() * 3)::integer || '@example.org')"],
    "live": ["call shop.live()"],
}  # fmt: skip


@pytest.mark.parametrize("beside", [["process", "edit", "delete"], ["process in one", "block", "forget"]], ids=" and ".join)
@pytest.mark.parametrize("child", ["variant", None], ids=["variants", "alternatives"])
def test_a_mail_whose_date_moves_is_taken_back_whole_whoever_is_beside(bare_shop, beside, child):
    shop = bare_shop
    shop.psql(CLAIM)
    shop.crowd(20)
    shop.scenario(run=False, at="self.begins_at", **({} if child else {"branch_by": "share"}))
    shop.activity("question", parent="hello", share=50, **({"on_event": child, "subject": "Is it?", "body": None} if child else NULL))
    if not child:
        shop.activity("rest", parent="hello", **NULL)
    shop.query("select marketing_automation.run('welcome')")
    shop.tick()

    def is_told(error):
        # A deletion is refused; who asks for one scenario is told after a second that somebody is at it.
        return isinstance(error, psycopg2.errors.ObjectInUse) or (
            isinstance(error, psycopg2.errors.LockNotAvailable) and "for more than a second" in str(error))  # fmt: skip

    run_at_once(shop, ["claim", "claim", "dates", *beside, "live", "live"], STEPS, lambda cursor, statement: cursor.execute(statement), is_told, 2)
    assert shop.value("select count(*) from shop.taken_back") > 0
    assert {what: count for what, sql in VIOLATIONS.items() if (count := shop.value(sql))} == {}
    # Nothing was lost: at last each of those who are not blocked has its mail in the queue.
    shop.query("update shop.customer set begins_at = now() - interval '1 hour'")
    shop.query("update marketing_automation_internal.sweep set rests_until = '-infinity'")
    shop.query("select marketing_automation.apply_dates('welcome')")
    shop.tick()
    assert {what: count for what, sql in VIOLATIONS.items() if (count := shop.value(sql))} == {}
    assert shop.value("""
        select count(*) from marketing_automation.record r where r.blocked_at is null and not exists (
            select from marketing_automation.message m where m.record_id = r.id)""") == 0  # fmt: skip
