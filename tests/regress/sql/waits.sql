\set SHOW_CONTEXT never
-- Waiting until a condition is true, for a time at most: asked in a sweep, and when the time is over.
set timezone = 'UTC';
set datestyle = 'ISO';
create schema waits;
create table waits.cart (id integer primary key, email text, is_paid boolean not null default false, amount numeric not null default 1);
insert into waits.cart select i, 'c' || i || '@waits.example' from generate_series(1, 20) i;
select count(marketing_automation.register_model('waits cart', 'waits.cart', key => 'self.id', email => 'self.email')) as registered;
select marketing_automation.create_scenario('waits', 'waits cart', domain => 'self.id <= 10') > 0 as created;
select marketing_automation.add_activity('waits', 'pay', action => null, wait_until => 'self.is_paid', delay => '3 days', condition => 'self.amount > 0') > 0 as pay,
    marketing_automation.add_activity('waits', 'thanks', 'pay', subject => 's', body => 'b') > 0 as thanks,
    marketing_automation.add_activity('waits', 'reminder', 'pay', on_event => 'condition_not_met', subject => 's', body => 'b') > 0 as reminder;
select marketing_automation.run('waits') is not null as runs;
create function waits.play(until timestamptz) returns void language plpgsql as $$
begin
    while marketing_automation.process_due(300, until) > 0 loop end loop;
end $$;
create view waits.state as
    select c.id as cart, a.name, ra.state, ra.outcome, ra.finished_at - r.entered_at < '1 hour' as at_once
    from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
    join waits.cart c on c.id::text = r.key
    join marketing_automation.activity a on a.id = ra.activity_id where a.scenario_id = marketing_automation.scenario_id('waits');
begin;
select enrolled from marketing_automation.enroll('waits', now => now());
update waits.cart set is_paid = true where id in (1, 2, 3);
update waits.cart set amount = 0 where id = 3;
select waits.play(now() + interval '1 minute');
select name, state, count(*) from waits.state group by 1, 2 order by 1, 2;
-- Whoever has paid goes on, and stays on that way: even if the money goes back.
select marketing_automation.apply_waits('waits', 3, now => now() + interval '1 minute');
update waits.cart set is_paid = false;
select marketing_automation.apply_waits('waits', now => now() + interval '2 minutes');
select waits.play(now() + interval '2 minutes');
select * from waits.state where cart <= 4 order by cart, name;
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('waits', '4');
-- Paid between the last sweep and the end of the time: asked when it is due.
update waits.cart set is_paid = true where id = 5;
select waits.play(now() + interval '4 days');
select * from waits.state where cart in (4, 5) order by cart, name;
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('waits', '4');
select tree from marketing_automation.tree('waits');
commit;
select activity, outcome, at, detail from marketing_automation.simulate('waits', '4', start => '2030-01-01 12:00+00');
select activity, outcome, at, detail from marketing_automation.simulate('waits', '5', start => '2030-01-01 12:00+00');

-- Nothing runs for who is blocked, or in a scenario that is stopped; a row that raises waits, and fails when its time is over.
update marketing_automation.scenario set domain = 'self.id > 10' where name = 'waits';
update marketing_automation.activity set wait_until = '1 / (self.id - 12) > -1 and self.is_paid' where name = 'pay' and scenario_id = marketing_automation.scenario_id('waits');
update waits.cart set is_paid = true where id > 10 and id <> 14;
begin;
select enrolled from marketing_automation.enroll('waits', now => now());
select marketing_automation.block(r.uuid) from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('waits') and r.key = '11';
select marketing_automation.stop('waits');
select marketing_automation.apply_waits('waits', now => now() + interval '1 minute');
select marketing_automation.draft('waits'), marketing_automation.run('waits');
select marketing_automation.apply_waits('waits', now => now() + interval '1 minute');
select * from waits.state where cart in (11, 12, 13, 14) order by cart, name;
select waits.play(now() + interval '4 days');
select * from waits.state where cart in (11, 12, 13, 14) order by cart, name;
rollback;

-- A shut window: it waits until that opens, and is asked again.
insert into marketing_automation.send_window (name, opens, closes, time_zone) values ('waits', '09:00', '17:00', 'UTC');
select marketing_automation.create_scenario('waits open', 'waits cart', domain => 'self.id = 1', send_window => 'waits') > 0 as created;
select marketing_automation.add_activity('waits open', 'pay', wait_until => 'self.is_paid', delay => '3 days', subject => 's', body => 'b') > 0 as pay;
select marketing_automation.run('waits open') is not null as runs;
begin;
update waits.cart set is_paid = true where id = 1;
select enrolled from marketing_automation.enroll('waits open', now => '2030-01-01 20:00+00');
select marketing_automation.apply_waits('waits open', now => '2030-01-01 21:00+00');
select count(*) as ran from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
where a.scenario_id = marketing_automation.scenario_id('waits open') and ra.state = 'done';
select marketing_automation.apply_waits('waits open', now => '2030-01-02 10:00+00');
select ra.outcome, ra.finished_at from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
where a.scenario_id = marketing_automation.scenario_id('waits open');
rollback;

-- What cannot be.
\set VERBOSITY default
select marketing_automation.add_activity('waits', 'x', action => null, wait_until => 'self.is_paid');
select marketing_automation.add_activity('waits', 'x', action => null, wait_until => 'self.is_paid', delay => '1 day', at_time => '10:00');
select marketing_automation.add_activity('waits', 'x', 'thanks', on_event => 'email_not_opened', action => null, wait_until => 'self.is_paid', delay => '1 day');
select marketing_automation.add_activity('waits', 'x', action => null, wait_until => 'self.is_payed', delay => '1 day');
select marketing_automation.add_activity('waits', 'x', action => null, wait_until => 'self.amount', delay => '1 day');
select a ->> 'wait_until' as wait_until from marketing_automation.export_scenario('waits') e cross join lateral jsonb_array_elements(e -> 'activities') a where a ->> 'name' = 'pay';
-- A column is gone: what waits stays, and the scenario says why.
select enrolled from marketing_automation.enroll('waits');
update marketing_automation_internal.sweep set rests_until = '-infinity' where scenario_id = marketing_automation.scenario_id('waits') and what = 'wait';
alter table waits.cart rename is_paid to was_paid;
\set VERBOSITY terse
select marketing_automation.apply_waits();
select count(*) as waiting from waits.state where state = 'waiting';
select last_error from marketing_automation.scenario_status where scenario_id = marketing_automation.scenario_id('waits');
-- What follows the unmet condition of a mail waits for that condition, and not for the mail.
select marketing_automation.create_scenario('waits mail', 'waits cart', domain => 'self.id = 11') > 0 as created;
select marketing_automation.add_activity('waits mail', 'offer', delay => '1 day', condition => 'self.amount > 100', subject => 's', body => 'b') > 0 as offer,
    marketing_automation.add_activity('waits mail', 'instead', 'offer', on_event => 'condition_not_met', action => null) > 0 as instead,
    marketing_automation.add_activity('waits mail', 'after', 'offer', action => null) > 0 as after;
select marketing_automation.run('waits mail') is not null as runs;
select enrolled from marketing_automation.enroll('waits mail');
select fact from marketing_automation.explain_record('waits mail', '11') where about ~ 'instead|after';
select count(marketing_automation.stop(s)) as stopped from unnest(array['waits', 'waits open', 'waits mail']) s;
select marketing_automation.delete_scenario('waits open');
select marketing_automation.delete_send_window('waits');
\set VERBOSITY terse
drop schema waits cascade;
