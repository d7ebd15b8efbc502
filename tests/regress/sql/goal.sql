\set SHOW_CONTEXT never
set datestyle = 'ISO';
-- A goal: checked when written, noticed while processing, one conversion a record; and where it ends the journey, nothing more runs.
create table shop.buyer (id int primary key, email text, orders int not null default 0, divisor int not null default 1);
insert into shop.buyer select i, 'buyer' || i || '@shop.example' from generate_series(1, 6) i;
select marketing_automation.register_model('buyer', 'shop.buyer', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('goal', 'buyer', goal => 'self.order > 0');
select marketing_automation.create_scenario('goal', 'buyer', goal => 'self.orders');
\set VERBOSITY terse
select marketing_automation.create_scenario('goal', 'buyer', goal_ends_journey => true);
\set VERBOSITY default
select marketing_automation.create_scenario('goal', 'buyer', goal => '10 / self.divisor > 0 and self.orders > 0 -- bought') > 0 as created;
update marketing_automation.scenario set goal = 'true; drop table shop.buyer' where name = 'goal';
select count(marketing_automation.add_activity('goal', name, parent, on_event, condition, delay, action, subject => 's', body => 'b')) as added
from (values ('mail', null, null, null, null, 'send_email'),
             ('opened', 'mail', 'email_opened', null, interval '1 hour', null),
             ('silent', 'mail', 'email_not_opened', null, interval '2 hours', null),
             ('branch', null, null, null, interval '1 hour', null),
             ('twig', 'branch', null, null, interval '1 hour', null),
             ('late', null, null, null, interval '1 day', 'send_email')) a (name, parent, on_event, condition, delay, action);
select marketing_automation.create_scenario('aimless', 'buyer') > 0 as created;
select marketing_automation.run('goal');
select enrolled from marketing_automation.enroll('goal', '2026-03-01 12:00+00');
create view shop.goal_progress as
    select r.key, r.id, r.uuid, a.id as activity_id, a.name, ra.state, ra.outcome
    from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'goal';
create view shop.goal_conversion as
    select r.key, c.at at time zone 'UTC' as at, c.value, c.source
    from marketing_automation.conversion c join marketing_automation.record r on r.id = c.record_id
    join marketing_automation.scenario s on s.id = c.scenario_id and s.name = 'goal';
create procedure shop.goal_run(at timestamptz) language plpgsql as $$
begin
    while marketing_automation.process_due(4, at) > 0 loop end loop;
end $$;

-- Does not end it: what is due runs, and however often the goal is seen to hold, that is one conversion.
update shop.buyer set orders = 1 where id in (1, 2);
call shop.goal_run('2026-03-01 12:00+00');
call shop.goal_run('2026-03-01 13:00+00');
select * from shop.goal_conversion order by key;
select name, state, outcome, count(*) from shop.goal_progress group by 1, 2, 3 order by 1, 2, 3;
select marketing_automation.record_conversion(r.uuid, 49.90, '2026-03-01 15:00+00') > 0 as recorded from shop.goal_progress r where r.key = '1' and r.name = 'mail';
select * from shop.goal_conversion order by key, at;
select * from marketing_automation.tree('goal');

select count(marketing_automation_internal.complete_messages(array[c.id], array[c.attempt], array['sent'], array['ok'], array[0], now => '2026-03-01 14:30+00')) as sent
from marketing_automation_internal.claim_messages(100) c;

-- Now it does: also for who had reached it, whatever their row is now. What follows mails that have left does not run.
update marketing_automation.scenario set goal_ends_journey = true where name = 'goal';
\set VERBOSITY terse
update marketing_automation.scenario set goal = null where name = 'goal';
\set VERBOSITY default
update shop.buyer set orders = 0 where id = 1;
update shop.buyer set orders = 1 where id in (3, 4);
-- Blocked first, so nothing is looked at; and one that cannot be looked at.
select count(marketing_automation.block(r.uuid)) as blocked from shop.goal_progress r where r.key = '4' and r.name = 'mail';
update shop.buyer set divisor = 0 where id = 5;
call shop.goal_run('2026-03-01 14:00+00');
select key, name, state, outcome from shop.goal_progress where name in ('twig', 'late') order by 2, 1;
select * from shop.goal_conversion order by key, at;
select marketing_automation.record_events(array[gen_random_uuid(), gen_random_uuid()], array['email_opened', 'email_opened'],
    array_agg(marketing_automation_internal.sign_token('email_opened', r.id, r.activity_id, null) order by r.key), array['2026-03-01 15:00+00', '2026-03-01 15:00+00']::timestamptz[],
    array['GET', 'GET'], array[null, null]::inet[], array[null, null])
from shop.goal_progress r where r.key in ('3', '6') and r.name = 'mail';
select public.events_applied() as applied;
select regexp_replace(fact, '\d{4}-\S+ \S+', 'then', 'g') as fact, about from marketing_automation.explain_record('goal', '3');
call shop.goal_run('2026-03-01 17:00+00');
select name, state, outcome, count(*), string_agg(key, ',' order by key) as keys from shop.goal_progress group by 1, 2, 3 order by 1, 2, 3;
select regexp_replace(fact, '\d{4}-\S+ \S+', 'then', 'g') as fact, about from marketing_automation.explain_record('goal', '1');

-- Reports; totals are those of the history.
select * from marketing_automation.tree('goal');
select scenario, records, conversions, conversion_value from marketing_automation.scenario_report where scenario in ('goal', 'aimless') order by 1;
select * from marketing_automation.conversion_report where scenario = 'goal';

-- Tried out beforehand: no conversion stays.
select activity, outcome, detail from marketing_automation.simulate('goal', '3', start => '2026-03-01 12:00+00');
select activity, outcome from marketing_automation.simulate('goal', '6', start => '2026-03-01 12:00+00');
select count(*) from shop.goal_conversion;

-- A goal that no longer plans stops processing, which says so by name.
alter table shop.buyer rename orders to purchases;
call shop.goal_run('2026-03-05 12:00+00');
select last_error, last_error_code from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id and s.name = 'goal';
update marketing_automation.scenario set goal = 'self.purchases > 0' where name = 'goal';
update shop.buyer set divisor = 1;
call shop.goal_run('2026-03-05 12:00+00');
select name, state, outcome, count(*), string_agg(key, ',' order by key) as keys from shop.goal_progress where name = 'late' group by 1, 2, 3 order by 1, 2, 3;
select marketing_automation.stop('goal');
drop view shop.goal_progress, shop.goal_conversion;
drop procedure shop.goal_run;
