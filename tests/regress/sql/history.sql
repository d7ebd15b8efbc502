\set SHOW_CONTEXT never
-- Who has changed which definition, and what; seen by who owns it.
create schema past;
create table past.guest (id integer primary key, email text);
create role regress_past_ann;
create role regress_past_bob;
create role regress_past_person in role regress_past_ann;
select count(marketing_automation.grant_access(r::regrole, 'marketer')) from unnest(array['regress_past_ann', 'regress_past_bob']) r;
grant usage on schema past to regress_past_ann, regress_past_bob;
grant select on past.guest to regress_past_ann, regress_past_bob;
create function past.campaign(name text) returns void language plpgsql as $$ begin
    perform marketing_automation.register_model(name || ' model', 'past.guest', key => 'self.id', email => 'self.email');
    perform marketing_automation.create_scenario(name, name || ' model');
    perform marketing_automation.add_activity(name, 'mail', subject => 'one', body => '<p>b</p>', delay => '1 day');
    perform marketing_automation.add_activity(name, 'later', parent => 'mail', action => null);
end $$;
grant usage on schema past to public;
-- As a connection of a pool does: the role is set, the login is another.
set role regress_past_ann;
select past.campaign('past ann');
insert into marketing_automation.activity_translation (activity_id, language, subject)
select a.id, 'fr', 'un' from marketing_automation.activity a where a.name = 'mail' and a.scenario_id = marketing_automation.scenario_id('past ann');
insert into marketing_automation.snippet (name, language, body) values ('past_foot', '', 'x'), ('past_foot', 'fr', 'y');
insert into marketing_automation.send_window (name, opens) values ('past hours', '09:00');
set role regress_past_bob;
select past.campaign('past bob');
set role regress_past_person;
-- What is not different is no change, nor is what follows from one.
update marketing_automation.activity set delay = '1 day' where name = 'mail' and scenario_id = marketing_automation.scenario_id('past ann');
update marketing_automation.activity set subject = 'two', delay = null, version = 7
where name = 'mail' and scenario_id = marketing_automation.scenario_id('past ann');
set client_min_messages = error;
select marketing_automation.run('past ann');
reset client_min_messages;
update marketing_automation.scenario set name = 'past anna' where name = 'past ann';
select marketing_automation.delete_translation('past anna', 'mail', 'fr');
insert into marketing_automation.activity_translation (activity_id, language, subject)
select a.id, 'de', 'eins' from marketing_automation.activity a where a.name = 'mail' and a.scenario_id = marketing_automation.scenario_id('past anna');
select marketing_automation.delete_snippet('past_foot');
-- What was deleted with it is told by what it belonged to.
select marketing_automation.stop('past anna'), marketing_automation.draft('past anna');
select marketing_automation.delete_activity('past anna', 'later');
select marketing_automation.delete_scenario('past anna');
reset role;
insert into marketing_automation.holiday values ('past', '2030-12-25');
insert into marketing_automation.topic (name) values ('past news');
insert into marketing_automation.topic_translation values ('past news', 'fr', 'Nouvelles');
update marketing_automation.topic set opt_in = 'double' where name = 'past news';
delete from marketing_automation.topic where name = 'past news';
-- A transaction that is rolled back has changed nothing.
begin;
update marketing_automation.holiday set day = '2030-12-26' where calendar = 'past';
rollback;
delete from marketing_automation.holiday where calendar = 'past';
create view past.history as
    select row_number() over (order by h.id) as n, regexp_replace(h.role, '^postgres$', 'the superuser') as who, h.kind, h.name, h.scenario, h.change, h.before, h.after
    from marketing_automation.definition_history h where h.name like 'past%' or h.scenario like 'past%';
select n, replace(who, 'regress_', '') as who, kind, name, scenario, change from past.history order by n;
select kind, name, before, after from past.history where change = 'change' order by n;
select kind, name, before ->> 'subject' as subject, before ->> 'body' as body, before ->> 'parent' as parent, after from past.history
where change = 'delete' and kind in ('activity', 'activity_translation', 'snippet') order by n;
select before ->> 'domain' as domain, before #>> '{activities,0,name}' as activity, before #>> '{activities,0,translations,0,subject}' as translation
from past.history where change = 'delete' and kind = 'scenario';
select kind, name, before is null as nothing_before, after ->> 'parent' as parent from past.history where change = 'create' and scenario like 'past bob%' order by n;

-- Own ones, and what is of all; a role that was dropped sees nothing, nor one that has its name.
create function past.seen() returns text language sql as $$
    select string_agg(distinct coalesce(substring(coalesce(h.scenario, h.name) from 'past (?:ann|bob)'), h.kind), ' '
        order by coalesce(substring(coalesce(h.scenario, h.name) from 'past (?:ann|bob)'), h.kind))
    from marketing_automation.definition_history h where h.name like 'past%' or h.scenario like 'past%'
$$;
set role regress_past_ann;
select past.seen();
insert into marketing_automation.definition_history (at, role, kind, name, change) values (now(), 'somebody', 'scenario', 'x', 'create');
delete from marketing_automation.definition_history;
set role regress_past_bob;
select past.seen();
reset role;
set client_min_messages = error;
select marketing_automation.delete_scenario('past bob');
reset client_min_messages;
select marketing_automation.unregister_model(m) from unnest(array['past ann model', 'past bob model']) m;
delete from marketing_automation.send_window where name = 'past hours';
select count(marketing_automation.revoke_access(r::regrole, 'marketer')) from unnest(array['regress_past_ann', 'regress_past_bob']) r;
drop owned by regress_past_ann, regress_past_bob;
drop role regress_past_person, regress_past_ann, regress_past_bob;
create role regress_past_ann;
select marketing_automation.grant_access('regress_past_ann', 'marketer');
set role regress_past_ann;
select past.seen();
reset role;
select marketing_automation.revoke_access('regress_past_ann', 'marketer');
drop role regress_past_ann;
-- Kept until it is purged.
select marketing_automation.purge_definition_history(null);
select marketing_automation.purge_definition_history('-1 day');
update marketing_automation.definition_history set at = at - interval '3 years' where name = 'past news';
select marketing_automation.purge_definition_history('2 years');
select count(*) from marketing_automation.definition_history where name = 'past news';
