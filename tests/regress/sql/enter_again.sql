\set SHOW_CONTEXT never
set datestyle = 'ISO';
-- Entering again: not before the last journey is over and reenter_after has passed, once for each occasion, never two at a time.
create schema return;
create table return.guest (id integer primary key, person text, email text, wanted boolean not null default true, purchase text,
    bought_at timestamptz, divisor integer not null default 1);
insert into return.guest (id, person, email) select i, 'person ' || i, 'guest' || i || '@return.example' from generate_series(1, 6) i;
select count(marketing_automation.register_model('return guest', 'return.guest', key => 'self.id', party => 'self.person', email => 'self.email')) as registered;
select marketing_automation.create_scenario('return', 'return guest', reenter_after => '-1 day');
select marketing_automation.create_scenario('return', 'return guest', reenter_after => '11 years');
select marketing_automation.create_scenario('return', 'return guest', occasion => 'self.nothing');
select marketing_automation.create_scenario('return', 'return guest', occasion => 'self.bought_at');
select marketing_automation.create_scenario('return', 'return guest', occasion => 'self.id, self.person');
select marketing_automation.create_scenario('return', 'return guest', domain => 'self.wanted', reenter_after => '10 days', goal => 'self.bought_at is not null',
    goal_at => 'self.bought_at', goal_value => '10') > 0 as created;
select count(marketing_automation.add_activity('return', name, parent, on_event, null, delay, subject => 's', body => '<a href="unsubscribe">leave</a>')) as added
from (values ('hello', null, null, null), ('later', 'hello', null, interval '3 days'), ('opened', 'hello', 'email_opened', null)) a (name, parent, on_event, delay);
select marketing_automation.run('return') is not null as runs;
create view return.record as
    select s.name as scenario, r.key, r.run, r.occasion, r.entered_at at time zone 'UTC' as entered_at, r.ended_at at time zone 'UTC' as ended_at, r.end_reason,
        r.blocked_at is not null as blocked, r.id, r.uuid, r.goal_before
    from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name like 'return%';
create view return.activity as
    select r.scenario, r.key, r.run, a.name, ra.state, ra.outcome, ra.finished_at, r.id as record_id, a.id as activity_id
    from marketing_automation.record_activity ra join return.record r on r.id = ra.record_id join marketing_automation.activity a on a.id = ra.activity_id;
-- Nobody has two journeys under way.
create view return.torn as
    select r.scenario, r.key from return.record r
    where exists (select from marketing_automation_internal.waiting_activity w where w.record_id = r.id)
       or exists (select from marketing_automation_internal.outbox o where o.record_id = r.id)
    group by 1, 2 having count(*) > 1;
create procedure return.work(name text, at timestamptz, sends boolean default true) language plpgsql as $$ begin
    perform from marketing_automation.enroll(name, at);
    while marketing_automation.process_due(1000, at) > 0 loop end loop;
    if sends then
        perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
            array_agg(0::double precision), now => at) from marketing_automation_internal.claim_messages(1000) c;
    end if;
    while marketing_automation.process_due(1000, at) > 0 loop end loop;
    if exists (select from return.torn) then
        raise 'two journeys of a row';
    end if;
end $$;

begin;
-- The journey lasts until its last activity has run; a mail that is under way is part of it, and who is not in the domain stays out.
call return.work('return', '2016-03-01 12:00+00', sends => false);
call return.work('return', '2016-03-13 12:00+00');
select scenario, run, count(*) as records from return.record group by 1, 2 order by 1, 2;
call return.work('return', '2016-03-16 12:00+00');
call return.work('return', '2016-03-26 11:59+00');
select run, count(*) as records from return.record group by 1 order by 1;
update return.guest set wanted = false where id = 5;
call return.work('return', '2016-03-26 12:00+00');
select key, run, entered_at, ended_at, end_reason from return.record where key in ('1', '5') order by 1, 2;
select count(*) filter (where run = 2) as again, count(*) filter (where run > 2) as more from return.record;
-- An opened mail of the journey before starts nothing.
select count(marketing_automation_internal.mark_events(array[a.record_id], array[a.activity_id], array['email_opened'], array['2016-03-26 13:00+00'::timestamptz])) as marked
from return.activity a where a.key = '1' and a.name = 'hello';
call return.work('return', '2016-03-26 13:00+00');
select run, name, state, outcome from return.activity where key = '1' order by run, name;
select about, regexp_replace(fact, '[0-9]{4}-\S+ \S+', 'then', 'g') as fact from marketing_automation.explain_record('return', '1');
select * from marketing_automation.tree('return');
-- Rehearsed.
select at at time zone 'UTC' as at, activity, outcome, detail from marketing_automation.simulate('return', '1', start => '2016-07-01 12:00+00');
-- The goal is asked anew: what is bought in the second journey converts that one, once.
update return.guest set bought_at = '2016-03-26 18:00+00' where id = 2;
select marketing_automation.apply_goals('return', now => '2016-03-27 12:00+00') as looked_at;
select r.key, r.run, c.value from marketing_automation.conversion c join return.record r on r.id = c.record_id;
select key, run, goal_before from return.record where key = '2' order by run;
-- Who leaves, by whichever mail, enters no more; who comes back does.
select count(marketing_automation.block(r.uuid)) as blocked from return.record r where r.key = '3' and r.run = 1;
select run, blocked from return.record where key = '3' order by run;
call return.work('return', '2016-05-01 12:00+00');
call return.work('return', '2016-05-11 12:00+00');
select key, max(run) as run from return.record group by key order by key;
select count(marketing_automation.unblock(r.uuid)) as unblocked from return.record r where r.key = '3' and r.run = 2;
select run, blocked from return.record where key = '3' order by run;
call return.work('return', '2016-05-11 13:00+00');
call return.work('return', '2016-06-01 13:00+00');
select key, max(run) as run from return.record where key = '3' group by key;
-- One row, at once.
select marketing_automation.enroll_record('return', '1', '2016-06-01 12:00+00') as too_early;
update return.guest set wanted = true where id = 5;
select marketing_automation.enroll_record('return', '5', '2016-06-01 12:00+00') as entered;
select marketing_automation.enroll_record('return', '5', '2016-06-01 12:00+00') as again;
-- What is kept of a person, and what goes.
select e.item ->> 'key' as key, e.item -> 'run' as run, jsonb_array_length(e.item -> 'activities') as activities
from jsonb_array_elements(marketing_automation.export_person('guest5@return.example') -> 'records') e (item);
select records from marketing_automation.forget('guest5@return.example');
select run, blocked from return.record where key = '5' order by run;
rollback;

-- Whose journey is not over costs no look into the queue, which has no index on the record; once it is, the queue is read.
create view return.queue_scan as
    select t.seq_scan + coalesce(t.idx_scan, 0) as scans from pg_stat_xact_all_tables t
    where t.relid = 'marketing_automation_internal.outbox'::regclass;
begin;
update marketing_automation.scenario set reenter_after = '1 day' where name = 'return';
call return.work('return', '2016-03-01 12:00+00');
select scans as before from return.queue_scan \gset
select enrolled, error from marketing_automation.enroll('return', '2016-03-03 13:00+00');
select scans = :before as is_left_alone from return.queue_scan;
call return.work('return', '2016-03-04 12:00+00');
select scans as before from return.queue_scan \gset
select enrolled, error from marketing_automation.enroll('return', '2016-03-06 12:00+00');
select scans > :before as is_read from return.queue_scan;
rollback;

-- By exit: the journey has ended, and the wait counts from then.
begin;
update marketing_automation.scenario set exit_condition = 'not self.wanted', domain = 'true' where name = 'return';
call return.work('return', '2016-03-01 12:00+00');
update return.guest set wanted = false where id = 1;
select marketing_automation.apply_exits('return', now => '2016-03-02 12:00+00') > 0 as asked;
update return.guest set wanted = true where id = 1;
call return.work('return', '2016-03-12 11:00+00');
call return.work('return', '2016-03-12 12:00+00');
select key, run, ended_at, end_reason from return.record where key = '1' order by run;
-- Back to once, ever.
update marketing_automation.scenario set reenter_after = null where name = 'return';
call return.work('return', '2017-03-12 12:00+00');
select count(*) filter (where run = 2) as again, count(*) filter (where run > 2) as more from return.record;
rollback;

-- Occasions: each once; who has none waits, and is counted. Held-out people stay held out.
select marketing_automation.create_scenario('return order', 'return guest', occasion => 'self.purchase', goal => 'self.bought_at is not null', holdout => 50) > 0 as created;
select marketing_automation.add_activity('return order', 'thanks', subject => 's', body => '<a href="unsubscribe">leave</a>') > 0 as added;
select severity, message from marketing_automation.check_scenario('return order') where message ~ 'occasion';
select marketing_automation.run('return order') is not null as runs;
update return.guest set purchase = 'A1' where id <= 2;
update return.guest set purchase = '' where id = 3;
begin;
call return.work('return order', '2016-03-01 12:00+00');
select key, run, occasion from return.record order by 1, 2;
select without_occasion from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id('return order');
select severity, message from marketing_automation.check_scenario('return order') where message ~ 'occasion';
select fact from marketing_automation.explain_record('return order', '3');
select outcome, detail from marketing_automation.simulate('return order', '3');
update return.guest set purchase = 'A2' where id in (2, 3, 4);
select marketing_automation.enroll_records('return order', array['1', '2', '3', '6'], '2016-04-02 12:00+00') as entered;
call return.work('return order', '2016-04-02 12:00+00');
update return.guest set purchase = 'A1';
call return.work('return order', '2016-06-01 12:00+00');
select key, array_agg(occasion order by run) as occasions from return.record group by 1 order by 1;
select count(*) as torn from (select key from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('return order')
    group by key having count(distinct held_out) > 1) t;
select without_occasion from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id('return order');
select regexp_replace(fact, '[0-9]{4}-\S+ \S+', 'then', 'g') as fact from marketing_automation.explain_record('return order', '2') where about = 'record' and fact ~ 'occasion';
-- What an occasion is cannot change once somebody has entered for one; a copy can.
savepoint kept;
update marketing_automation.scenario set occasion = 'self.id' where name = 'return order';
rollback to savepoint kept;
select marketing_automation.copy_scenario('return order', 'return copy') > 0 as copied;
select occasion, reenter_after from marketing_automation.scenario where name = 'return copy';
update marketing_automation.scenario set occasion = 'self.id' where name = 'return copy';
-- A row whose occasion raises, or is too long, stands apart; two rows with one key are no repetition of an earlier journey.
update marketing_automation.scenario set occasion = 'repeat(''x'', 992 + 10 / self.divisor)', reenter_after = '1 day' where name = 'return copy';
select marketing_automation.run('return copy') is not null as runs;
update return.guest set divisor = 0 where id = 1;
update return.guest set divisor = 10 where id > 2;
select enrolled, error from marketing_automation.enroll('return copy', '2016-06-01 12:00+00');
-- Nobody waits there any more.
select marketing_automation.process_due(1000, '2016-06-01 12:00+00') > 0 as processed;
delete from marketing_automation_internal.outbox o using return.record r where r.id = o.record_id and r.scenario = 'return copy';
alter table return.guest drop constraint guest_pkey;
update return.guest set divisor = 5;
insert into return.guest (id, person, email, divisor) select 3, 'other', 'other@return.example', 5;
select enrolled, error from marketing_automation.enroll('return copy', '2016-08-01 12:00+00');
rollback;
select count(marketing_automation.stop(name)) as stopped from marketing_automation.scenario where name like 'return%' and state = 'running';
\set VERBOSITY terse
drop schema return cascade;
