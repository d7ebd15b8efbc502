\set SHOW_CONTEXT never
set datestyle = 'ISO';
set timezone = 'UTC';
set intervalstyle = 'postgres';
-- Dates of the row: an activity is due at them, before or after, and at no date that has moved.
create schema trial;
create table trial.account (id integer primary key, email text, zone text, ends_at timestamptz, ends_on date, divisor integer not null default 1);
insert into trial.account (id, email, zone, ends_at) select i, 'account' || i || '@trial.example', 'Europe/Paris', '2016-03-20 12:00+00' from generate_series(1, 6) i;
select count(marketing_automation.register_model('trial account', 'trial.account', key => 'self.id', party => 'self.id', email => 'self.email', time_zone => 'self.zone')) as registered;
select marketing_automation.create_scenario('trial', 'trial account') > 0 as created;
-- Checked when written.
select marketing_automation.add_activity('trial', 'x', action => null, at => 'self.ends_on');
select marketing_automation.add_activity('trial', 'x', action => null, at => 'self.email');
select marketing_automation.add_activity('trial', 'x', action => null, at => 'self.ended');
select marketing_automation.add_activity('trial', 'x', action => null, at => 'self.ends_at, 1');
select marketing_automation.add_activity('trial', 'x', action => null, delay => '-1 day');
select marketing_automation.add_activity('trial', 'x', action => null, at => 'self.ends_at', delay => '-11 years');
select marketing_automation.add_activity('trial', 'soon', at => 'case when 1 / self.divisor > 0 then self.ends_at end', delay => '-3 days', subject => 's', body => '<a href="unsubscribe">leave</a>') > 0 as added;
select marketing_automation.add_activity('trial', 'over', action => null, at => 'self.ends_at', expires_after => '2 days') > 0 as added;
select marketing_automation.add_activity('trial', 'after', parent => 'over', action => null, at => 'self.ends_at', delay => '1 day', at_time => '09:00') > 0 as added;
-- Without it, its delay would be negative.
update marketing_automation.activity set at = null where name = 'soon' and scenario_id = marketing_automation.scenario_id('trial');
select marketing_automation.run('trial') is not null as runs;
create view trial.activity as
    select r.key, a.name, ra.state, ra.outcome, ra.at at time zone 'UTC' as at, ra.finished_at at time zone 'UTC' as finished_at, ra.error
    from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name like 'trial%' join marketing_automation.activity a on a.id = ra.activity_id;
create procedure trial.work(moment timestamptz, enrolls boolean default true) language plpgsql as $$ begin
    if enrolls then
        perform from marketing_automation.enroll('trial', moment);
    end if;
    while marketing_automation.process_due(2, moment) > 0 loop end loop;
end $$;

begin;
update trial.account set ends_at = null where id = 2;
update trial.account set divisor = 0 where id = 5;
-- First asked when they start: who has no date is cancelled, and counted; who raises fails alone; the others wait.
call trial.work('2016-03-01 12:00+00');
select key, name, state, outcome, at, error from trial.activity order by key, name;
select * from marketing_automation.tree('trial');
select about, regexp_replace(fact, '^(done|cancelled|failed) [0-9]\S+ \S+?([,:])', '\1 then\2') as fact from marketing_automation.explain_record('trial', '2') where about <> 'record';
-- Later: waits on. None any more: cancelled. Earlier: found by the sweep. Moved within the wait: at the new date.
update trial.account set ends_at = '2016-04-20 12:00+00' where id = 1;
update trial.account set ends_at = null where id = 3;
update trial.account set ends_at = '2016-03-10 12:00+00' where id = 4;
call trial.work('2016-03-08 12:00+00');
select key, name, state, at from trial.activity where key = '4' order by name;
select marketing_automation.apply_dates('trial', now => '2016-03-08 12:00+00') as asked;
select key, name, state, at from trial.activity where key in ('1', '4') order by key, name;
call trial.work('2016-03-08 12:00+00');
select key, name, state, outcome, at, finished_at from trial.activity where key = '4' order by name;
-- Not too long ago, and too long ago.
call trial.work('2016-03-11 12:00+00');
call trial.work('2016-03-23 12:00+00');
select key, name, state, outcome, at, finished_at from trial.activity order by key, name;
select regexp_replace(fact, '^(done|cancelled|failed|waits until|due since) [0-9]\S+ \S+?([,:])', '\1 then\2') as fact, about from marketing_automation.explain_record('trial', '6') where about ~ 'over|after';
-- Mails have left for those whose date it was, and for nobody else.
select m.key from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id and a.scenario_id = marketing_automation.scenario_id('trial') order by 1;
-- Told before.
select at, activity, outcome, detail from marketing_automation.simulate('trial', '1', start => '2016-03-01 12:00+00');
select activity, outcome, detail from marketing_automation.simulate('trial', '1', start => '2016-05-01 12:00+00');
-- Kept with the definition.
select marketing_automation.copy_scenario('trial', 'trial copy') > 0 as copied;
select a.name, a.at, a.delay from marketing_automation.activity a where a.scenario_id = marketing_automation.scenario_id('trial copy') order by a.name;
rollback;

-- Whatever becomes of the dates: what has run did so at the date that the row had then, and once.
begin;
update marketing_automation.activity set expires_after = null where scenario_id = marketing_automation.scenario_id('trial');
create table trial.violation (what text, key text);
do $$
declare
    moment timestamptz := '2016-03-01 12:00+00';
begin
    perform setseed(0.37);
    perform from marketing_automation.enroll('trial', moment);
    for step in 1..150 loop
        moment := moment + random() * interval '20 hours';
        update trial.account set ends_at = case when random() < 0.03 then null else moment + (random() * 20 - 5) * interval '1 day' end where random() < 0.2;
        if random() < 0.5 then
            perform marketing_automation.apply_dates('trial', 1 + (random() * 5)::integer, now => moment);
        end if;
        call trial.work(moment, false);
        insert into trial.violation
        select 'ran at a date that has moved', t.key from trial.activity t join trial.account c on c.id::text = t.key
        where t.state = 'done' and t.finished_at = moment at time zone 'UTC' and (c.ends_at is null
            or c.ends_at + case t.name when 'soon' then interval '-3 days' when 'after' then interval '1 day' else '0' end > moment);
        insert into trial.violation
        select 'was cancelled with a date', t.key from trial.activity t join trial.account c on c.id::text = t.key
        where t.outcome = 'no_date' and t.finished_at = moment at time zone 'UTC' and c.ends_at is not null;
        -- After a sweep nobody waits longer than until his date, but for a time of day.
        perform marketing_automation.apply_dates('trial', now => moment);
        insert into trial.violation
        select 'waits too long', t.key from trial.activity t join trial.account c on c.id::text = t.key
        where t.state = 'waiting' and t.name <> 'after' and c.ends_at is not null and t.at > greatest(moment, c.ends_at + case t.name when 'soon' then interval '-3 days' else '0' end) at time zone 'UTC';
    end loop;
end $$;
select what, count(*) from trial.violation group by 1;
select name, count(*) filter (where state = 'done') > 0 as ran from trial.activity group by 1 order by 1;
rollback;
select marketing_automation.stop('trial') is not null as stopped;

-- Anniversaries: the next one, all day long; of 29 February on 28 February; by the clock of the place.
begin;
create function trial.next_ones(moment timestamptz, variadic days date[]) returns table (day date, anniversary text) language plpgsql as $$ begin
    perform marketing_automation_internal.assume_time(moment);
    return query select d, (marketing_automation.anniversary(d, 'Europe/Paris', '09:00') at time zone 'Europe/Paris')::text from unnest(days) d;
    perform marketing_automation_internal.assume_time(null);
end $$;
select * from trial.next_ones('2023-02-28 22:30+00', '1990-02-28', '1992-02-29', '1990-03-01', '2023-02-28', '2024-06-01', '1990-01-01', '1990-12-31', null, 'infinity');
select * from trial.next_ones('2023-02-28 23:30+00', '1990-02-28', '1992-02-29', '1990-03-01');
select * from trial.next_ones('2024-02-28 23:30+00', '1990-02-28', '1992-02-29', '2023-02-28');
select marketing_automation_internal.assume_time('2023-05-10 12:00+00') is null as assumed;
select marketing_automation.anniversary('1990-05-08', 'UTC', lasts => '3 days') as still, marketing_automation.anniversary('1990-05-08', 'UTC', lasts => '2 days 12 hours') as over,
    marketing_automation.anniversary('1990-03-26', 'Europe/Berlin', '02:30') as left_out, marketing_automation.anniversary('1990-05-11', 'No/where') as nowhere;
select marketing_automation.anniversary('1990-05-08', lasts => '0');
rollback;
-- A birthday, each year: rehearsed for three years, whoever is late on the day is not a year too early.
begin;
alter table trial.account add born date;
update trial.account set born = case id when 1 then '1980-02-29' when 2 then '1990-12-31' else null end::date;
select marketing_automation.create_scenario('trial birthday', 'trial account', domain => 'self.born is not null',
    occasion => 'extract(year from marketing_automation.anniversary(self.born, self.zone))') > 0 as created;
select marketing_automation.add_activity('trial birthday', 'cake', at => 'marketing_automation.anniversary(self.born, self.zone, ''09:00'')', delay => '-1 day', expires_after => '3 days', action => null) > 0 as added;
select marketing_automation.run('trial birthday') is not null as runs;
do $$
declare
    moment timestamptz := '2016-01-15 03:00+00';
begin
    while moment < '2019-01-15' loop
        perform from marketing_automation.enroll('trial birthday', moment);
        while marketing_automation.process_due(1000, moment) > 0 loop end loop;
        moment := moment + interval '17 hours';
    end loop;
end $$;
select r.key, r.run, r.occasion, t.outcome, date_trunc('day', t.at) as at, t.finished_at - t.at < interval '17 hours' as in_time
from marketing_automation.record r join marketing_automation.record_activity t on t.record_id = r.id
where r.scenario_id = marketing_automation.scenario_id('trial birthday') order by 1, 2;
select activity, outcome, at, detail from marketing_automation.simulate('trial birthday', '1', start => '2016-01-15 03:00+00');
select severity, message from marketing_automation.check_scenario('trial birthday') where activity = 'cake';
update marketing_automation.activity set delay = '2 days', expires_after = null where scenario_id = marketing_automation.scenario_id('trial birthday');
select severity, message from marketing_automation.check_scenario('trial birthday') where activity = 'cake';
rollback;
\set VERBOSITY terse
drop schema trial cascade;
