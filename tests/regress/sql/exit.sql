\set SHOW_CONTEXT never
set datestyle = 'ISO';
-- An exit condition: checked when written; once it is true the journey ends, whether an activity is due, a mail is about to leave, or the
-- record only waits.
create schema parting;
create table parting.guest (id integer primary key, email text, has_left boolean not null default false, divisor integer not null default 1);
insert into parting.guest select i, 'guest' || i || '@parting.example' from generate_series(1, 8) i;
select marketing_automation.register_model('parting guest', 'parting.guest', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('parting', 'parting guest', exit_condition => 'self.left');
select marketing_automation.create_scenario('parting', 'parting guest', exit_condition => 'self.divisor');
select marketing_automation.create_scenario('parting', 'parting guest', exit_condition => '1 / self.divisor > 0 and self.has_left -- gone') > 0 as created;
update marketing_automation.scenario set exit_condition = 'true; drop table parting.guest' where name = 'parting';
select count(marketing_automation.add_activity('parting', name, parent, on_event, null, delay, action, subject => 's', body => 'b')) as added
from (values ('hello', null, null, null, 'send_email'),
             ('opened', 'hello', 'email_opened', interval '1 hour', null),
             ('silent', 'hello', 'email_not_opened', interval '2 days', null),
             ('week', null, null, interval '7 days', 'send_email')) a (name, parent, on_event, delay, action);
select marketing_automation.run('parting');
create view parting.progress as
    select r.key, a.name, ra.state, ra.outcome, r.id as record_id, a.id as activity_id, r.uuid, r.end_reason, r.ended_at
    from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'parting';
create view parting.mail as
    select m.key, a.name, m.state, m.smtp_reply from marketing_automation.message m
    join marketing_automation.activity a on a.id = m.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'parting';
create procedure parting.work(at timestamptz) language plpgsql as $$ begin
    while marketing_automation.process_due(3, at) > 0 loop end loop;
end $$;
create procedure parting.send() language plpgsql as $$ begin
    perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(1000) c;
end $$;

-- Due: who has left gets nothing, and what waits goes with it. Who raises fails alone.
begin;
select enrolled from marketing_automation.enroll('parting', '2026-03-01 12:00+00');
update parting.guest set has_left = true where id = 1;
update parting.guest set divisor = 0 where id = 2;
call parting.work('2026-03-01 12:00+00');
select name, state, outcome, string_agg(key, ',' order by key) as keys from parting.progress group by 1, 2, 3 order by 1, 2, 3;
select key, ended_at at time zone 'UTC' as ended_at, end_reason from parting.progress where end_reason is not null order by name;
-- About to leave: the claim asks once more. Who raises then gets nothing, and stays in.
update parting.guest set has_left = true where id = 3;
update parting.guest set divisor = 0 where id = 4;
call parting.send();
select state, smtp_reply, string_agg(key, ',' order by key) as keys from parting.mail group by 1, 2 order by 1, 2;
select name, state, outcome, string_agg(key, ',' order by key) as keys from parting.progress where key in ('3', '4') group by 1, 2, 3 order by 1, 2, 3;
commit;
update parting.guest set divisor = 1;

-- Only waiting: the sweep finds them, in slices, once.
update parting.guest set has_left = true where id in (5, 6);
select marketing_automation.apply_exits('parting', 2) > 0 as asked;
select name, state, outcome, string_agg(key, ',' order by key) as keys from parting.progress where key in ('5', '6') group by 1, 2, 3 order by 1, 2, 3;
select regexp_replace(fact, '\d{4}-\S+ \S+', 'then', 'g') as fact, about from marketing_automation.explain_record('parting', '5');
select * from marketing_automation.tree('parting');
-- A failed activity of who has left meanwhile is cancelled instead of running again.
update parting.guest set has_left = true where id = 2;
select marketing_automation.apply_exits('parting') > 0 as asked;
select count(marketing_automation.retry(ra)) as retried from marketing_automation.record_activity ra
join parting.progress p on p.record_id = ra.record_id and p.activity_id = ra.activity_id where p.state = 'failed' and p.key = '2';
select name, state, outcome from parting.progress where key = '2' order by 1;
-- Whatever the row is later, and whatever readers do: it has ended.
update parting.guest set has_left = false;
select marketing_automation.apply_exits('parting') > 0 as asked;
select marketing_automation_internal.mark_events(array[p.record_id], array[p.activity_id], array['email_opened'], array[now()]) is not null as marked
from parting.progress p where p.key = '5' and p.name = 'hello';
call parting.work('2026-04-01 12:00+00');
select key, name, state, outcome from parting.progress where key in ('1', '3', '5', '6') order by 1, 2;
-- A journey told before.
update parting.guest set has_left = (id = 8);
select activity, outcome, detail from marketing_automation.simulate('parting', '8', start => '2026-03-01 12:00+00');
select activity, outcome from marketing_automation.simulate('parting', '7', start => '2026-03-01 12:00+00');
-- About to leave, asked of two things: whoever has arrived gets no mail though the other cannot be asked, and is a conversion; the others
-- wait, and nobody asks again at once.
begin;
create table parting.worker (id integer primary key, email text, done boolean not null default false);
insert into parting.worker select i, 'worker' || i || '@parting.example' from generate_series(1, 3) i;
create function parting.boom(integer) returns boolean language sql as 'select false';
select marketing_automation.register_model('parting worker', 'parting.worker', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('parting both', 'parting worker', goal => 'self.done', goal_ends_journey => true,
    exit_condition => 'parting.boom(self.id)') > 0 as created;
select marketing_automation.create_scenario('parting quick', 'parting worker') > 0 as created;
select count(marketing_automation.add_activity(s, 'hello', subject => 's', body => 'b')) from unnest(array['parting both', 'parting quick']) s;
select count(marketing_automation.run(s)) from unnest(array['parting both', 'parting quick']) s;
select enrolled from marketing_automation.enroll('parting both', now());
select enrolled from marketing_automation.enroll('parting quick', now());
call parting.work(now());
update parting.worker set done = true where id = 1;
drop function parting.boom(integer);
call parting.send();
create view parting.waiting as
    select s.name, m.key, m.state, m.smtp_reply, o.due_at > now() as waits from marketing_automation.message m
    join marketing_automation.activity a on a.id = m.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.model = 'parting worker'
    left join marketing_automation_internal.outbox o on o.id = m.id and o.state = 'queued';
select * from parting.waiting order by 1, 2;
select r.key from marketing_automation.conversion c join marketing_automation_internal.record r on r.id = c.record_id
where c.scenario_id = marketing_automation.scenario_id('parting both');
select last_error, last_error_code from marketing_automation.scenario_status t where t.scenario_id = marketing_automation.scenario_id('parting both');
update marketing_automation_internal.outbox o set due_at = now() where o.state = 'queued' and o.activity_id in (
    select a.id from marketing_automation.activity a where a.scenario_id = marketing_automation.scenario_id('parting both'));
select marketing_automation_internal.next_due() is distinct from now() as later;
update marketing_automation_internal.failed_turn t set failed_at = failed_at + interval '50 seconds' where t.scenario_id = marketing_automation.scenario_id('parting both');
call parting.send();
select * from parting.waiting where name = 'parting both' order by 2;
-- One that is slow costs others a second, whatever its own limit is, and then nothing for a minute.
create function parting.boom(integer) returns boolean language sql as 'select pg_sleep(20) is null';
delete from marketing_automation_internal.failed_turn t where t.scenario_id = marketing_automation.scenario_id('parting both');
set local marketing_automation.expression_timeout = 0;
call parting.send();
select * from parting.waiting where name = 'parting both' order by 2;
select work, slow, batch_size from marketing_automation_internal.failed_turn t where t.scenario_id = marketing_automation.scenario_id('parting both');
select last_error, last_error_code from marketing_automation.scenario_status t where t.scenario_id = marketing_automation.scenario_id('parting both');
-- Quick again, one of them is asked, then twice as many.
create or replace function parting.boom(integer) returns boolean language sql as 'select false';
update marketing_automation_internal.failed_turn t set failed_at = failed_at - interval '1 day' where t.scenario_id = marketing_automation.scenario_id('parting both');
update marketing_automation_internal.outbox o set due_at = now() where o.state = 'queued' and o.activity_id in (
    select a.id from marketing_automation.activity a where a.scenario_id = marketing_automation.scenario_id('parting both'));
call parting.send();
select state, count(*) from parting.waiting where name = 'parting both' group by 1 order by 1;
-- A sweep: of those that wait until one moment, too, so many at a time. What was too slow is asked again of fewer records.
select marketing_automation.add_activity('parting quick', 'later', delay => '1 day', action => null) > 0 as added;
insert into parting.worker select i from generate_series(4, 20) i;
select enrolled from marketing_automation.enroll('parting quick', now());
select u, w.records[1] = min(w.records[1]) over () as first, cardinality(w.records)
from marketing_automation.activity a cross join unnest(array[0, 10]) u
cross join lateral (
    select r.id from marketing_automation_internal.record r where r.scenario_id = a.scenario_id and r.key::integer > 3 order by r.id limit 1) r
cross join lateral marketing_automation_internal.waiting_slice(a.scenario_id, a.id, case u when 0 then '-infinity' else now() + interval '1 day' end, r.id - 1 + u, 10) w
where a.scenario_id = marketing_automation.scenario_id('parting quick') and a.name = 'later' order by 1;
create function parting.nap(double precision) returns boolean language sql as 'select pg_sleep($1) is null';
update marketing_automation.scenario set exit_condition = 'parting.nap(20)' where name = 'parting quick';
create view parting.sweep as
    select w.batch_size, w.reached_record = 0 as at_start, w.began_at is null as over, w.rests_until > now() as rests
    from marketing_automation_internal.sweep w where w.scenario_id = marketing_automation.scenario_id('parting quick');
set local marketing_automation.expression_timeout = '50ms';
select marketing_automation.apply_exits('parting quick');
select * from parting.sweep;
reset marketing_automation.expression_timeout;
update marketing_automation.scenario set exit_condition = 'not parting.nap(0) and self.id = 20' where name = 'parting quick';
select marketing_automation.apply_exits('parting quick') >= 17 as all;
select r.key, r.end_reason from marketing_automation_internal.record r
where r.scenario_id = marketing_automation.scenario_id('parting quick') and r.end_reason is not null;
rollback;
-- A condition that no longer plans lets nobody run, and says so by name.
alter table parting.guest rename has_left to gone;
select marketing_automation.apply_exits('parting');
call parting.work(now() + interval '3 days');
select last_error, last_error_code from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id and s.name = 'parting';
update marketing_automation.scenario set exit_condition = null where name = 'parting';
select marketing_automation.apply_exits('parting');
select marketing_automation.stop('parting');
\set VERBOSITY terse
drop schema parting cascade;
