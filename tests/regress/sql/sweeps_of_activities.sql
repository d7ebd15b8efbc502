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

-- What cannot be serialized is for the client, which tries again: whoever catches all errors raises that one.
select p.oid::regprocedure as swallows from pg_proc p
cross join lateral (
    select (select count(*) from regexp_matches(p.prosrc, 'when (\w+ or )*others\s+then', 'gi')) as catches,
        (select count(*) from regexp_matches(p.prosrc, '(is_for_the_caller|is_passing_error|is_broken_definition)\((sqlstate|code|its_code)\)', 'g')) as asks) n
where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace) and n.catches > n.asks
order by p.oid::regprocedure::text;
