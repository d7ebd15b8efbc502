\set SHOW_CONTEXT never
set timezone = 'UTC';
-- A rehearsal holds out the people, and gives each the branch and the variant, that the scenario itself will.
create schema played;
create table played.guest (id integer primary key, person text, email text);
insert into played.guest select i, case when i % 3 <> 0 then 'person ' || i / 2 end, 'guest' || i || '@played.example' from generate_series(1, 600) i;
select count(marketing_automation.register_model('played guest', 'played.guest', key => 'self.id', party => 'self.person', email => 'self.email')) as registered;
select marketing_automation.create_scenario('played', 'played guest', holdout => 30, goal => 'self.id < 0') > 0 as created;
select count(marketing_automation.add_activity('played', name, parent, on_event, action => action, subject => subject, body => subject, share => share, branch_by => branch_by)) as added
from (values ('split', null, null, null, null, null, 'share'), ('third', 'split', null, 'send_email', 's', 33, null), ('fifth', 'split', null, 'send_email', 's', 20, null),
             ('rest', 'split', null, 'send_email', 's', null, null), ('short', 'rest', 'variant', null, 't', 40, null), ('long', 'rest', 'variant', null, 'u', 30, null))
    a (name, parent, on_event, action, subject, share, branch_by);
-- One whose shares are tried before the winner goes to all others.
select marketing_automation.add_activity('played', 'trial', action => null, branch_by => 'share', metric => 'clicks', decide_after => '2 days') > 0 as added;
select count(marketing_automation.add_activity('played', name, 'trial', subject => name, body => name, share => 25)) as added from (values ('red'), ('blue')) a (name);
-- Ids that none of the copies will have by chance.
select nextval(pg_get_serial_sequence('marketing_automation.scenario', 'id')) > 0 as scenario, count(nextval(pg_get_serial_sequence('marketing_automation.activity', 'id'))) as activities
from generate_series(1, 17) n;
create function played.choices(of_scenario integer) returns table (key text, held_out boolean, parent text, child text) language sql as $$
    select r.key, r.held_out, p.name, a.name
    from marketing_automation_internal.record r
    left join marketing_automation_internal.branch_decision d on d.record_id = r.id
    left join marketing_automation.activity p on p.id = d.parent_id
    left join marketing_automation.activity a on a.id = d.activity_id
    where r.scenario_id = of_scenario
$$;
-- What is rehearsed, key by key, as rehearse() plays it.
begin;
select marketing_automation_internal.copy_definition(s, 'played (copy)', 100) as copy_id from marketing_automation.scenario s where s.name = 'played' \gset
select marketing_automation_internal.rehearse_entering(:copy_id, now()) is not null as entered;
do $$ begin while marketing_automation.process_due(1000) > 0 loop end loop; end $$;
select jsonb_agg(to_jsonb(c)) as rehearsed from played.choices(:copy_id) c \gset
rollback;
create temporary table rehearsed as select * from jsonb_to_recordset(:'rehearsed') as c (key text, held_out boolean, parent text, child text);
create temporary table report as
select activity, sum(entered) as entered, sum(held_out) as held_out, sum(mailed) as mailed
from marketing_automation.rehearse('played', now() + interval '1 day', opens => 0, clicks => 0) group by activity;
select count(*) as left_over from marketing_automation_internal.rehearsed_scenario full join marketing_automation_internal.rehearsed_activity on true;
-- And what comes of it.
select marketing_automation.run('played') is not null as runs;
select enrolled from marketing_automation.enroll('played');
do $$ begin while marketing_automation.process_due(1000) > 0 loop end loop; end $$;
create temporary table real as select * from played.choices(marketing_automation.scenario_id('played'));
select (select count(*) from real) = (select count(*) from rehearsed) as as_many, count(*) as others
from (select * from real except select * from rehearsed) d;
select count(distinct key) filter (where held_out) > 100 as some_held_out, count(*) filter (where child in ('third', 'fifth', 'rest')) > 300 as shared_out,
    count(distinct child) as children, count(*) filter (where parent = 'trial' and child is null) > 100 as wait_for_the_winner from real;
-- The report tells the same numbers.
select r.activity, r.entered = c.entered as entered, r.held_out = c.held_out as held_out from report r
cross join (select count(distinct key) filter (where not held_out) as entered, count(distinct key) filter (where held_out) as held_out from real) c where r.activity is null;
select r.activity, r.mailed = c.mails as mailed from report r
join (select child, count(*) as mails from real where child in ('third', 'fifth', 'red', 'blue', 'rest') group by child) c on c.child = r.activity order by 1;
select marketing_automation.stop('played');
