\set SHOW_CONTEXT never
-- Held out: who enters, gets no mail as whichever row, and is compared with the others by the goal.
create schema apart;
create table apart.guest (id integer primary key, person text, email text, has_bought boolean not null default false);
-- Each person has two rows.
insert into apart.guest select i, 'person ' || i / 2, 'guest' || i || '@apart.example' from generate_series(2, 2001) i;
select count(marketing_automation.register_model('apart guest', 'apart.guest', key => 'self.id', party => 'self.person', email => 'self.email')) as registered;
\set VERBOSITY terse
select marketing_automation.create_scenario('apart', 'apart guest', holdout => 20);
select marketing_automation.create_scenario('apart', 'apart guest', goal => 'self.has_bought', holdout => 101);
\set VERBOSITY default
select marketing_automation.create_scenario('apart', 'apart guest', goal => 'self.has_bought', domain => 'self.id <= 1800', goal_value => '10', holdout => 20) > 0 as created;
select count(marketing_automation.add_activity('apart', name, parent, condition => condition, delay => delay, subject => 's', body => 'b')) as added
from (values ('hello', null, null, null), ('again', 'hello', null, null), ('later', null, 'self.id > 0', interval '1 day')) a (name, parent, condition, delay);
select marketing_automation.run('apart') is not null as runs;
create view apart.record as
    select r.* from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('apart');
-- Some by themselves, the others with all: the second row of a person, too.
update apart.guest set has_bought = true where id in (2, 3);
begin;
select marketing_automation.enroll_records('apart', array(select id::text from apart.guest where id <= 1800 and id % 2 = 0)) as entered;
select enrolled from marketing_automation.enroll('apart');
do $$ begin
    while marketing_automation.process_due(1000, now() + interval '2 days') > 0 loop end loop;
    perform marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(10000) c;
    while marketing_automation.process_due(1000, now() + interval '4 days') > 0 loop end loop;
end $$;
commit;
-- Within five standard deviations of a fifth of 900 people.
select count(distinct party) filter (where held_out) between 120 and 240 as a_fifth, count(*) = 1799 as all_in from apart.record;
select count(*) as torn from (select party from apart.record group by party having count(distinct held_out) > 1) p;
select count(*) filter (where r.held_out) as held_out, count(*) filter (where not r.held_out) > 2000 as others
from marketing_automation.message m join apart.record r on r.id = m.record_id;
select count(*) as activities from marketing_automation.record_activity a join apart.record r on r.id = a.record_id where r.held_out;
-- Whatever is done to them.
select count(marketing_automation.block(r.uuid)) = count(*) as blocked from (select * from apart.record r where r.held_out limit 5) r;
select count(marketing_automation.unblock(r.uuid)) = count(*) as unblocked from apart.record r where r.blocked_at is not null;
update marketing_automation.scenario set holdout = 0 where name = 'apart';
select count(marketing_automation.stop('apart')), count(marketing_automation.draft('apart')), count(marketing_automation.run('apart'));
begin;
select marketing_automation.add_activity('apart', 'news', subject => 's', body => 'b') > 0 as added;
update marketing_automation.scenario set domain = 'true' where name = 'apart';
select enrolled from marketing_automation.enroll('apart');
do $$ begin
    while marketing_automation.process_due(1000, now() + interval '9 days') > 0 loop end loop;
end $$;
select count(*) as mails from marketing_automation.message m join apart.record r on r.id = m.record_id where r.held_out;
commit;

-- Their goal is measured as that of others; of who had reached it before it is not.
update apart.guest g set has_bought = case when r.held_out then g.id % 10 = 0 else g.id % 4 = 0 end from apart.record r where r.key = g.id::text and not r.goal_before;
select marketing_automation.apply_goals('apart') = count(*) as looked_at from apart.record where not goal_before;
select mailed + held_out = 1998 as all_others, held_out_conversions > 0 and mailed_conversions > held_out_conversions as both,
    mailed_rate = round(mailed_conversions::numeric / mailed, 4) as mailed_rate, held_out_rate = round(held_out_conversions::numeric / held_out, 4) as held_out_rate,
    mailed_value = round(10.0 * mailed_conversions / mailed, 4) as value, uplift_low < uplift and uplift < uplift_high and uplift_low > 0 as surely
from marketing_automation.uplift_report('apart');
select key from apart.record where held_out and not goal_before and blocked_at is null order by id limit 1 \gset
select count(*) filter (where about = 'record' and fact like '%is held out: no activity starts, only its goal is measured') as told,
    count(*) filter (where fact = 'never starts: the record is held out') as never from marketing_automation.explain_record('apart', :'key');
select activity, outcome, detail from marketing_automation.simulate('apart', :'key');
select tree ~ ', \d+ held out$' as counted from marketing_automation.tree('apart') limit 1;
-- Who is no party is known by the address, whatever its spelling; a row without either by its key.
select marketing_automation.register_model('apart address', 'apart.guest', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('apart address', 'apart address', goal => 'self.has_bought', holdout => 20) > 0 as created;
select marketing_automation.add_activity('apart address', 'hello', action => null) > 0 as added;
select marketing_automation.run('apart address') is not null as runs;
update apart.guest g set email = case when id % 100 = 0 then null when id % 100 = 2 then '' when id % 2 = 0 then 'Pair' || id / 2 || '@apart.example' else ' pair' || id / 2 || '@APART.example ' end;
select marketing_automation.enroll_records('apart address', array(select id::text from apart.guest where id % 3 = 0)) as entered;
select enrolled from marketing_automation.enroll('apart address');
select count(distinct lower(trim(g.email))) filter (where r.held_out) between 120 and 280 as a_fifth,
    count(*) filter (where coalesce(g.email, '') = '' and r.held_out) between 1 and 30 as by_key
from marketing_automation.record r join apart.guest g on g.id::text = r.key where r.scenario_id = marketing_automation.scenario_id('apart address');
select count(*) as torn from (
    select lower(trim(g.email)) from marketing_automation.record r join apart.guest g on g.id::text = r.key
    where r.scenario_id = marketing_automation.scenario_id('apart address') and g.email <> '' group by 1 having count(distinct r.held_out) > 1) p;
select bool_and(r.held_out = (s.outcome = 'held_out')) as as_simulated from marketing_automation.record r
cross join lateral (select s.outcome from marketing_automation.simulate('apart address', r.key) s limit 1) s
where r.scenario_id = marketing_automation.scenario_id('apart address') and r.key::integer < 60;
-- One whose address raises stands apart, and all others enter.
update marketing_automation.model set email = 'case when self.id = 3001 then (1 / (self.id - 3001))::text else self.email end' where name = 'apart address';
insert into apart.guest (id, person, email) values (3001, null, 'a@apart.example'), (3002, null, 'b@apart.example');
select enrolled, error from marketing_automation.enroll('apart address');
delete from apart.guest where id = 3001;
select enrolled, error from marketing_automation.enroll('apart address');
select count(marketing_automation.stop('apart address')) as stopped;
delete from marketing_automation_internal.open_goal g where g.scenario_id = marketing_automation.scenario_id('apart address');
-- Newcombe's own examples, as published; and where there is nobody to compare with.
select * from marketing_automation_internal.rate_difference(56, 70, 48, 80);
select * from marketing_automation_internal.rate_difference(9, 10, 3, 10);
select * from marketing_automation_internal.rate_difference(0, 10, 0, 10);
select * from marketing_automation_internal.rate_difference(1, 10, 0, 0);
select count(marketing_automation.stop('apart')) as stopped;
-- What is dropped here is asked nothing by others.
delete from marketing_automation_internal.open_goal g where g.scenario_id = marketing_automation.scenario_id('apart');
\set VERBOSITY terse
drop schema apart cascade;
