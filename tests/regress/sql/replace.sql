\set SHOW_CONTEXT never
-- A campaign file runs again and again: what is there becomes what it says.
create schema again;
create table again.guest (id integer primary key, email text);
insert into again.guest select n, 'a' || n || '@again.example' from generate_series(1, 3) n;
select marketing_automation.register_model('again guest', 'again.guest', key => 'self.id', email => 'self.email');
select marketing_automation.register_model('again other', 'again.guest', key => 'self.id');
create function again.file(subject text, delay interval) returns void language plpgsql as $$ begin
    perform marketing_automation.create_scenario('again', 'again guest', domain => 'self.id < 3', title => 'Again', goal => 'self.id = 77',
        goal_window => '1 month 3 days', replace => true);
    perform marketing_automation.add_activity('again', 'mail', subject => subject, body => '<p>b</p>', replace => true);
    perform marketing_automation.add_activity('again', 'later', parent => 'mail', delay => delay, action => null, at_time => '07:30', replace => true);
end $$;
create view again.definition as
    select a.name, p.name as parent, a.subject, a.delay, a.at_time, a.version from marketing_automation.activity a
    left join marketing_automation.activity p on p.id = a.parent_id where a.scenario_id = marketing_automation.scenario_id('again');
select again.file('one', '1 day');
select * from again.definition order by name;
insert into marketing_automation.activity_translation (activity_id, language, subject)
select id, 'fr', 'un' from marketing_automation.activity where name = 'mail' and scenario_id = marketing_automation.scenario_id('again');
select marketing_automation.add_activity('again', 'by hand', action => null) > 0 as added;
set client_min_messages = error;
select marketing_automation.run('again');
reset client_min_messages;
select enrolled from marketing_automation.enroll('again');
-- The same again writes no row: nothing is locked, compiled or claimed anew.
create temp table place as select ctid::text as place, xmin::text as writer, name from marketing_automation.scenario where name = 'again'
union all select ctid::text, xmin::text, name from marketing_automation.activity where scenario_id = marketing_automation.scenario_id('again');
set intervalstyle = 'iso_8601';
select again.file('one', '1 day');
set intervalstyle = 'sql_standard';
select again.file('one', '24 hours');
reset intervalstyle;
select p.name, a.name is not null as is_untouched from place p left join (
    select ctid::text as place, xmin::text as writer, name from marketing_automation.scenario
    union all select ctid::text, xmin::text, name from marketing_automation.activity) a on (a.place, a.writer, a.name) = (p.place, p.writer, p.name) order by 1;
select delay from again.definition where name = 'later';
-- What changes, changes in the running one; ids, translations, state, records and what was added by hand stay.
select marketing_automation.scenario_id('again') as id \gset
select marketing_automation.create_scenario('again', 'again guest', replace => true) = :id as same;
select domain, title, goal, goal_window, state from marketing_automation.scenario where name = 'again';
select again.file('two', '2 days');
select * from again.definition order by name;
select t.language, t.subject from marketing_automation.activity_translation t join marketing_automation.activity a on a.id = t.activity_id and a.scenario_id = :id;
select domain, title, goal, goal_window, state from marketing_automation.scenario where name = 'again';
select count(*) from marketing_automation.record where scenario_id = :id;
-- What its records forbid is named, and so is what is wrong; nothing is changed.
select marketing_automation.create_scenario('again', 'again other', replace => true);
select marketing_automation.create_scenario('again', 'again nobody', replace => true);
select marketing_automation.create_scenario('again', 'again guest', domain => 'self.nonsense', replace => true);
select marketing_automation.create_scenario('again', 'again guest', goal => 'true', holdout => 5, replace => true);
select marketing_automation.add_activity('again', 'later', action => null, delay => '2 days', replace => true);
select marketing_automation.add_activity('again', 'later', parent => 'nobody', action => null, replace => true);
select marketing_automation.add_activity('again', 'mail', action => null, replace => true);
select marketing_automation.add_activity('again', 'mail', subject => '{{', body => 'b', replace => true);
select * from again.definition order by name;
-- Without it, as ever; and not what belongs to others.
select marketing_automation.create_scenario('again', 'again guest');
select marketing_automation.add_activity('again', 'mail', subject => 's', body => 'b');
create role regress_again;
select marketing_automation.grant_access('regress_again', 'marketer');
set role regress_again;
select marketing_automation.create_scenario('again', 'again guest', replace => true);
select marketing_automation.add_activity('again', 'mail', subject => 's', body => 'b', replace => true);
reset role;
select marketing_automation.revoke_access('regress_again', 'marketer');
drop role regress_again;
select marketing_automation.stop('again');
-- A model likewise: what it was is told, and what its records forbid is an error.
select marketing_automation.register_model('again guest', 'again.guest', key => 'self.id', email => 'self.email', language => '''fr''', replace => true);
select marketing_automation.register_model('again guest', 'again.guest', key => 'self.id', email => 'self.email', language => '''fr''', replace => true);
select marketing_automation.register_model('again guest', 'again.guest', key => 'self.id', email => 'self.email', replace => true);
select change, before, after from marketing_automation.definition_history where kind = 'model' and name = 'again guest' order by id;
select marketing_automation.register_model('again guest', 'again.guest', key => 'self.id', replace => false);
select marketing_automation.register_model('again guest', 'again.guest', key => 'self.email', replace => true);
select marketing_automation.register_model('again guest', 'again.guest', key => 'self.nonsense', replace => true);
select marketing_automation.register_model('again third', 'again.guest', key => 'self.id', replace => false);
select key, email, language from marketing_automation.model where name like 'again%' order by name;
-- Nothing that one of them is told is forgotten, and what a scenario, an activity or a model consists of can be told.
select marketing_automation.create_scenario('again first', 'again guest', priority => 7) > 0 as created;
select marketing_automation.create_scenario('again first', 'again guest', priority => 8, replace => true) > 0 as created;
select marketing_automation.create_scenario('again first', 'again guest', priority => 1001, replace => true);
select priority from marketing_automation.scenario where name = 'again first';
select marketing_automation.delete_scenario('again first');
select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
join (values ('scenario', 'create_scenario'), ('activity', 'add_activity'), ('model', 'register_model')) f (relation, function) on f.relation = c.relname
where c.relnamespace = 'marketing_automation'::regnamespace and a.attnum > 0 and not a.attisdropped
  and a.attname not in ('id', 'state', 'owner', 'owner_id', 'created_at', 'scenario_id', 'parent_id', 'version', 'key_type')
  and not exists (select from pg_proc p where p.proname = f.function and a.attname = any (p.proargnames)) order by 1, 2;
select p.proname, a.name from pg_proc p cross join unnest(p.proargnames) a (name)
where p.pronamespace = 'marketing_automation'::regnamespace and p.proname in ('create_scenario', 'add_activity') and 'replace' = any (p.proargnames)
  and a.name not in ('scenario', 'replace') and regexp_replace(p.prosrc, '\s+', ' ', 'g') !~ format('''%1$s'', (add_activity\.)?%1$s\M', a.name);
