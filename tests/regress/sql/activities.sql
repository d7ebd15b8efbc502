\set SHOW_CONTEXT never
-- The rules of the tree.
-- The ids differ with what has run before, so no message that shows one is printed with its detail.
select marketing_automation.create_scenario('tree', 'customer') as tree, marketing_automation.create_scenario('other', 'customer') as other \gset
select marketing_automation.add_activity('tree', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('tree', 'branch', parent => 'mail', action => null) > 0 as added;
select marketing_automation.add_activity('other', 'elsewhere', subject => 's', body => 'b') > 0 as added;

select marketing_automation.add_activity('tree', 'bad', parent => 'nobody', subject => 's', body => 'b');
select marketing_automation.add_activity('nowhere', 'bad', subject => 's', body => 'b');
\set VERBOSITY terse
select marketing_automation.add_activity('tree', 'mail', subject => 's', body => 'b');
\set VERBOSITY default
select marketing_automation.add_activity('tree', 'bad', parent => 'mail', on_event => 'email_not_opened', subject => 's', body => 'b');
\set VERBOSITY terse
select marketing_automation.add_activity('tree', 'bad', parent => 'mail', on_event => 'email_eaten', subject => 's', body => 'b');
\set VERBOSITY default
select marketing_automation.add_activity('tree', 'bad', on_event => 'email_opened', subject => 's', body => 'b');
select marketing_automation.add_activity('tree', 'bad', parent => 'branch', on_event => 'email_opened', subject => 's', body => 'b');
select marketing_automation.add_activity('tree', 'bad', parent => 'mail', delay => '-1 day', subject => 's', body => 'b');
select marketing_automation.add_activity('tree', 'bad', parent => 'mail', subject => 's');
select marketing_automation.add_activity('tree', 'bad', parent => 'mail', body => 'b');
\set VERBOSITY terse
select marketing_automation.add_activity('tree', 'bad', parent => 'mail', action => 'send_pigeon', subject => 's', body => 'b');
\set VERBOSITY default
select marketing_automation.add_activity('tree', 'bad', condition => 'self.skore > 1', subject => 's', body => 'b');
select marketing_automation.add_activity('tree', 'bad', condition => 'true) or (true', subject => 's', body => 'b') > 0 as no_rule_broken;
delete from marketing_automation.activity where name = 'bad';

select marketing_automation.add_activity('tree', 'leaf', parent => 'branch', action => null) > 0 as added;
update marketing_automation.activity set parent_id = (select id from marketing_automation.activity where name = 'leaf') where name = 'mail';
update marketing_automation.activity set parent_id = id where name = 'mail';
update marketing_automation.activity set parent_id = (select id from marketing_automation.activity where name = 'elsewhere') where name = 'leaf';
update marketing_automation.activity set scenario_id = (select id from marketing_automation.scenario where name = 'other') where name = 'leaf';
select marketing_automation.add_activity('tree', 'opened', parent => 'mail', on_event => 'email_opened', action => null) > 0 as added;
update marketing_automation.activity set action = null where name = 'mail';
select name, on_event, delay, action from marketing_automation.activity where scenario_id in (:tree, :other) order by name;

-- Changed templates raise the version, by which they are cached.
update marketing_automation.activity set subject = 'S' where name = 'mail';
insert into marketing_automation.activity_translation (activity_id, language, subject)
select id, 'fr', 'T' from marketing_automation.activity where name = 'mail';
update marketing_automation.activity set delay = '1 day' where name = 'mail';
select version from marketing_automation.activity where name = 'mail';
\set VERBOSITY terse
insert into marketing_automation.activity_translation (activity_id, language)
select id, 'de' from marketing_automation.activity where name = 'mail';
insert into marketing_automation.activity_translation (activity_id, language, subject)
select id, 'klingon!', 'x' from marketing_automation.activity where name = 'mail';
\set VERBOSITY default

select marketing_automation.tree('tree');
delete from marketing_automation.scenario where name in ('tree', 'other');
select count(*) from marketing_automation.activity where scenario_id in (:tree, :other);
