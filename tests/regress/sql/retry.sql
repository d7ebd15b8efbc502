\set SHOW_CONTEXT never
-- A failed activity runs again when it is told to.
create table shop.part (id integer primary key, divisor integer not null);
insert into shop.part values (1, 0), (2, 1), (3, 0), (4, 0), (5, 0), (6, 0);
select marketing_automation.register_model('part', 'shop.part', key => 'self.id', email => '''part@shop.example''');
select marketing_automation.create_scenario('retry', 'part') > 0 as created;
select marketing_automation.add_activity('retry', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('retry', 'silent', parent => 'mail', on_event => 'email_not_opened', condition => '1 / self.divisor > 0', delay => '1 day', action => null) > 0 as added;
select marketing_automation.add_activity('retry', 'opened', parent => 'mail', on_event => 'email_opened', condition => '1 / self.divisor > 0', action => null) > 0 as added;
select marketing_automation.add_activity('retry', 'after', parent => 'silent', action => null) > 0 as added;
select marketing_automation.run('retry');
select * from marketing_automation.enroll('retry', '2026-03-01 12:00+00');
create view shop.retrial as
    select r.key, a.name, ra.state, ra.outcome, ra.error, ra.error_code, r.uuid, r.id as record_id, a.id as activity_id
    from marketing_automation.record_activity ra
    join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'retry';
create function pg_temp.retry(of_key text, of_name text) returns void language sql as $$
    select marketing_automation.retry(ra) from marketing_automation.record_activity ra
    join shop.retrial t on t.record_id = ra.record_id and t.activity_id = ra.activity_id where t.key = of_key and t.name = of_name $$;
create function pg_temp.open(of_key text) returns void language sql as $$
    select marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'],
        array[marketing_automation_internal.sign_token('email_opened', t.record_id, t.activity_id)], array[now()], array['GET'], array[null::inet], array[null::text])
    from shop.retrial t where t.key = of_key and t.name = 'mail' $$;
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
create temporary table sent as select * from marketing_automation_internal.claim_messages(100);
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array_agg('sent'::text), array_agg('250 ok'::text), array_agg(0::double precision)) from sent;
select marketing_automation.process_due(now => now() + interval '1 day');
select key, name, state, outcome, error, error_code from shop.retrial where name <> 'mail' order by key, name;

-- Still broken: fails again. Only what failed can run again.
select pg_temp.retry('1', 'silent');
select key, name, state, outcome, error from shop.retrial where key = '1' and name <> 'mail' order by name;
select pg_temp.retry('1', 'silent');
select marketing_automation.process_due();
select key, name, state, error from shop.retrial where key = '1' and name <> 'mail' order by name;
select pg_temp.retry('2', 'silent');
select marketing_automation.retry(null::marketing_automation.record_activity);

-- Mended: runs, and its children start. All that failed at once, as one would do it.
update shop.part set divisor = 1;
-- Meanwhile 3 was blocked, 4 and 5 were opened: what waits to miss the event must not run any more.
select marketing_automation.block(uuid) from shop.retrial where key = '3' and name = 'mail';
select pg_temp.open(key) from unnest(array['4', '5']) key;
select public.events_applied() as applied;
update shop.part set divisor = 0 where id = 5;
select marketing_automation.process_due();
update shop.part set divisor = 1 where id = 5;
select key, name, state, outcome from shop.retrial where key in ('4', '5') and name = 'opened' order by key, name;
select count(marketing_automation.retry(a)) as retried
from marketing_automation.record_activity a
where a.state = 'failed' and a.record_id in (select t.record_id from shop.retrial t);
call marketing_automation.process_all_due();
select key, name, state, outcome, error from shop.retrial where name <> 'mail' order by key, name;

-- Invariants: nothing both waits and is finished.
select count(*) from marketing_automation_internal.waiting_activity join marketing_automation_internal.finished_activity using (record_id, activity_id);
select marketing_automation.stop('retry');
drop view shop.retrial cascade;
