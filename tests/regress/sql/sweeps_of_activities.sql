\set SHOW_CONTEXT never
-- Sweeps ask an expression of each activity: what is wrong with one of them keeps the others of its scenario from nothing.
create schema swept;
create table swept.guest (id integer primary key, due timestamptz, old integer, is_ready boolean not null default false);
insert into swept.guest select n, '2100-01-01 00:00+00', 1 from generate_series(1, 3) n;
select marketing_automation.register_model('swept', 'swept.guest', key => 'self.id');
select marketing_automation.create_scenario('swept', 'swept') > 0 as created;
select marketing_automation.add_activity('swept', n, wait_until => c, delay => '9 years', action => null) > 0 as added
from (values ('first wait', 'self.old > 1'), ('second wait', 'self.is_ready')) w (n, c);
select marketing_automation.add_activity('swept', n, at => c, action => null) > 0 as added
from (values ('first day', 'case when self.old = 1 then self.due end'), ('second day', 'self.due')) w (n, c);
select marketing_automation.run('swept');
select enrolled from marketing_automation.enroll('swept');
call marketing_automation.process_all_due();
-- It does not fit its relation any more: neither the first wait nor the first day can be asked.
alter table swept.guest drop old;
update swept.guest set is_ready = true, due = '2001-01-01 00:00+00' where id < 3;
create procedure swept.turn() language plpgsql as $$
begin
    update marketing_automation_internal.sweep w set rests_until = '-infinity' where w.scenario_id = marketing_automation.scenario_id('swept');
    set local client_min_messages = error;
    perform marketing_automation.apply_waits(), marketing_automation.apply_dates();
end $$;
call swept.turn();
call swept.turn();
select w.what, a.name as goes_on_with from marketing_automation_internal.sweep w left join marketing_automation.activity a on a.id = w.activity_id
where w.scenario_id = marketing_automation.scenario_id('swept') and w.what in ('wait', 'date') order by 1;
select s.last_error from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id('swept');
select a.name, count(*) filter (where ra.state = 'done') as done, count(*) filter (where ra.at < now()) as due
from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
where a.scenario_id = marketing_automation.scenario_id('swept') group by 1 order by 1;
-- Mended, they are asked in the turn after.
alter table swept.guest add old integer default 2;
call swept.turn();
call swept.turn();
select a.name, count(*) filter (where ra.state = 'done') as done
from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
where a.scenario_id = marketing_automation.scenario_id('swept') and a.name like '% wait' group by 1 order by 1;
select marketing_automation.stop('swept');

-- What a sweep has to say is not forgotten by an enrolling that has nothing to say about it.
create table swept.switch (fails boolean);
insert into swept.switch values (false);
create function swept.fails() returns boolean language plpgsql as $$
begin
    if (select s.fails from swept.switch s) then
        raise exception 'somebody holds it' using errcode = 'lock_not_available';
    end if;
    return false;
end $$;
select marketing_automation.create_scenario('swept ' || s, 'swept') > 0 as created from unnest(array['exit', 'goal', 'wait', 'date']) s;
select marketing_automation.add_activity('swept ' || s, 'later', delay => '9 years', action => null,
    wait_until => case s when 'wait' then 'swept.fails()' end, at => case s when 'date' then 'case when not swept.fails() then timestamptz ''2100-01-01 00:00+00'' end' end) > 0 as added
from unnest(array['exit', 'goal', 'wait', 'date']) s;
update marketing_automation.scenario set exit_condition = 'swept.fails()' where name = 'swept exit';
update marketing_automation.scenario set goal = 'swept.fails()' where name = 'swept goal';
select marketing_automation.run('swept ' || s) is not null as runs from unnest(array['exit', 'goal', 'wait', 'date']) s;
select enrolled, error from unnest(array['exit', 'goal', 'wait', 'date']) s cross join lateral marketing_automation.enroll('swept ' || s) e order by e.scenario;
call marketing_automation.process_all_due();
create procedure swept.sweep_and_enroll() language plpgsql as $$
begin
    update marketing_automation_internal.sweep w set rests_until = '-infinity';
    -- To the end of a round.
    while marketing_automation.apply_exits() + marketing_automation.apply_goals() + marketing_automation.apply_waits() + marketing_automation.apply_dates() > 0 loop
    end loop;
    perform from marketing_automation.enroll();
end $$;
create view swept.error as
    select s.name, t.last_error from marketing_automation.scenario s join marketing_automation.scenario_status t on t.scenario_id = s.id
    where s.name ~ '^swept (exit|goal|wait|date)$';
update swept.switch set fails = true;
call swept.sweep_and_enroll();
select name, last_error from swept.error order by name;
-- An exit or a goal that is asked again has nothing to say any more; of several activities each may have, so it is kept ten minutes.
update swept.switch set fails = false;
call swept.sweep_and_enroll();
select name, last_error from swept.error order by name;
update marketing_automation_internal.failed_turn t set failed_at = t.failed_at - interval '10 minutes' where t.work in ('wait', 'date');
call swept.sweep_and_enroll();
select name, last_error from swept.error order by name;
select count(*) from marketing_automation_internal.failed_turn t join marketing_automation.scenario s on s.id = t.scenario_id
where s.name ~ '^swept ';
select marketing_automation.stop('swept ' || s) from unnest(array['exit', 'goal', 'wait', 'date']) s;

-- What cannot be serialized is for the client, which tries again: whoever catches all errors raises that one.
select p.oid::regprocedure as swallows from pg_proc p
cross join lateral (
    select (select count(*) from regexp_matches(p.prosrc, 'when (\w+ or )*others\s+then', 'gi')) as catches,
        (select count(*) from regexp_matches(p.prosrc, '(is_for_the_caller|is_passing_error|is_broken_definition)\((sqlstate|code|its_code)\)', 'g')) as asks) n
where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and n.catches > n.asks
order by p.oid::regprocedure::text;
