\set SHOW_CONTEXT never
-- Scenarios as JSON: exported, imported, compared, copied.
create schema staged;
create table staged.guest (id integer primary key, name text, email text);
create role regress_staged;
grant usage on schema staged to regress_staged;
grant select on staged.guest to regress_staged;
select marketing_automation.grant_access('regress_staged', 'marketer');
set role regress_staged;
select marketing_automation.register_model('staged guest', 'staged.guest', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('staged', 'staged guest', 'self.id > 0', unsubscribable => true, title => 'News of ours') > 0 as created;
select marketing_automation.add_activity('staged', 'hello', subject => 'Hello', body => '<p>{{ record.name }}</p>') > 0 as added;
select marketing_automation.add_activity('staged', 'later', parent => 'hello', on_event => 'email_not_opened', delay => '3 days 02:00', condition => 'self.id > 1', subject => 'Still there?', body => 'b') > 0 as added;
select marketing_automation.add_activity('staged', 'and then', parent => 'later', action => null) > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, subject) select id, 'fr', 'Bonjour' from marketing_automation.activity where name = 'hello' and scenario_id = marketing_automation.scenario_id('staged');
-- What every server writes alike.
set intervalstyle = 'iso_8601';
select jsonb_pretty(jsonb_build_object('scenario', d -> 'scenario' ->> 'title', 'model', d -> 'model' ->> 'relation', 'activities', (
    select jsonb_agg(jsonb_build_array(a -> 'name', a -> 'parent', a -> 'delay', a -> 'translations') order by n) from jsonb_array_elements(d -> 'activities') with ordinality x (a, n))))
from marketing_automation.export_scenario('staged') d;
reset intervalstyle;
create temporary table file as select marketing_automation.export_scenario('staged') as definition;
-- It is so already.
select * from marketing_automation.import_scenario((select definition from file));
-- Another name; then the same again.
select * from marketing_automation.import_scenario((select definition from file), name => 'staged too');
select * from marketing_automation.import_scenario((select definition from file), name => 'staged too');
select state, owner, title from marketing_automation.scenario where name = 'staged too';
select marketing_automation.export_scenario('staged too') = jsonb_set(definition, '{scenario,name}', '"staged too"') as is_the_same from file;
select marketing_automation.copy_scenario('staged', 'staged three') > 0 as copied;
select marketing_automation.export_scenario('staged three') = jsonb_set(definition, '{scenario,name}', '"staged three"') as is_the_same from file;
-- A difference: told first, then made.
update file set definition = jsonb_set(jsonb_set(jsonb_set(jsonb_set(definition, '{scenario,domain}', '"self.id > 5"'), '{activities,1,delay}', '"4 days"'), '{activities,0,translations}',
    '[{"language": "de", "subject": "Hallo"}]'), '{activities,2}', '{"name": "something else", "parent": "later", "action": null}');
select * from marketing_automation.import_scenario((select definition from file), dry_run => true);
select domain from marketing_automation.scenario where name = 'staged';
select * from marketing_automation.import_scenario((select definition from file));
select * from marketing_automation.import_scenario((select definition from file));
select a.name, p.name as parent, a.delay from marketing_automation.activity a left join marketing_automation.activity p on p.id = a.parent_id where a.scenario_id = marketing_automation.scenario_id('staged') order by a.id;
-- What it does not mention stays; what is written in another way is the same.
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "staged", "model": "staged guest"}, "activities": [{"name": "hello"}, {"name": "later", "delay": "96 hours"}]}') where change <> 'only here';
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "staged", "model": "staged guest"}, "activities": [{"name": "hello"}, {"name": "later", "parent": "hello", "delay": "4 days 00:00:00"}]}') where change <> 'only here';
-- A running one keeps its rules: what they refuse, this does, and nothing is done by halves.
select marketing_automation.run('staged');
select * from marketing_automation.import_scenario((select jsonb_set(jsonb_set(definition, '{scenario,title}', '"Other news"'), '{scenario,model}', '"party"') from file));
select * from marketing_automation.import_scenario((select jsonb_set(jsonb_set(definition, '{scenario,title}', '"Third news"'), '{activities,0,subject}', '"{{ nobody }}"') from file));
select title from marketing_automation.scenario where name = 'staged';
-- Bad input.
select * from marketing_automation.import_scenario(null);
select * from marketing_automation.import_scenario('[]');
select * from marketing_automation.import_scenario('{"format": 2, "scenario": {"name": "x"}, "activities": []}');
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "staged guest"}, "activities": [{}]}');
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "no such"}, "model": {"name": "no such", "relation": "shop.x", "key": "self.id", "email": "self.\"E\" || ''''", "party": null}, "activities": []}');
-- The hint lists what there is, which grows.
\set VERBOSITY terse
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "staged guest", "domian": "true"}, "activities": []}');
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "staged guest", "owner": "postgres"}, "activities": []}');
\set VERBOSITY default
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "staged guest", "domain": "self.nothing"}, "activities": []}');
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "staged guest"}, "activities": [{"name": "a", "parent": "b", "action": null}, {"name": "b", "action": null}]}');
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "no such"}, "model": 5, "activities": []}');
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "staged guest"}, "activities": [{"name": "a", "action": null}, {"name": "a", "action": null}]}');
select * from marketing_automation.import_scenario('{"format": 1, "scenario": {"name": "x", "model": "staged guest"}, "activities": [{"name": "a", "subject": "s", "body": "b", "translations": [{"subject": "t"}]}]}');
insert into marketing_automation.activity_translation (activity_id, subject) select id, 's' from marketing_automation.activity where name = 'hello' and scenario_id = marketing_automation.scenario_id('staged');
select count(*) from marketing_automation.scenario where name = 'x';
select marketing_automation.copy_scenario('staged', 'staged too');
select marketing_automation.copy_scenario('staged', '');
select marketing_automation.export_scenario('stagd');
-- Of others nothing is seen, and nothing changed.
reset role;
create role regress_staged_other;
select marketing_automation.grant_access('regress_staged_other', 'marketer');
grant select on file to regress_staged_other;
set role regress_staged_other;
select marketing_automation.export_scenario('staged');
select * from marketing_automation.import_scenario((select definition from file));
select * from marketing_automation.import_scenario((select definition from file), name => 'staged elsewhere');
reset role;
select marketing_automation.stop('staged'), marketing_automation.draft('staged');
delete from marketing_automation.scenario where name like 'staged%';
delete from marketing_automation.model where name = 'staged guest';
select marketing_automation.revoke_access('regress_staged', 'marketer'), marketing_automation.revoke_access('regress_staged_other', 'marketer');
drop schema staged cascade;
drop table file;
drop role regress_staged, regress_staged_other;
