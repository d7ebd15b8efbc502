\set SHOW_CONTEXT never
-- The domain is exactly one boolean expression that plans; errors point into it.
select marketing_automation.create_scenario('bad', 'customer', 'true) union select (true');
select marketing_automation.create_scenario('bad', 'customer', 'true;');
select marketing_automation.create_scenario('bad', 'customer', 'true; drop table shop.customer');
select marketing_automation.create_scenario('bad', 'customer', 'true, false');
select marketing_automation.create_scenario('bad', 'customer', 'true as x');
select marketing_automation.create_scenario('bad', 'customer', 'true order by 1');
select marketing_automation.create_scenario('bad', 'customer', 'self.id from shop.customer');
select marketing_automation.create_scenario('bad', 'customer', '  ');
select marketing_automation.create_scenario('bad', 'customer', 'self.score');
select marketing_automation.create_scenario('bad', 'customer', 'self.skore > 1');
select marketing_automation.create_scenario('bad', 'customer', 'count(*) > 1');
select marketing_automation.create_scenario('bad', 'customer', 'self.name = ''unfinished');
select marketing_automation.create_scenario('bad', 'customer', '/* true');
select marketing_automation.create_scenario('bad', 'nobody');
\set VERBOSITY terse
select marketing_automation.create_scenario('', 'customer');
\set VERBOSITY default
select count(*) from marketing_automation.scenario;

-- These are fine: a comment, a subquery. Names outside pg_catalog are qualified.
select marketing_automation.create_scenario('bad', 'customer', 'exists (select from customer c where c.id = self.id)');
select marketing_automation.create_scenario('bad', 'customer', '$1 is null');
select marketing_automation.create_scenario('comment', 'customer', 'self.score > 0 -- good customers') > 0;
select marketing_automation.create_scenario('subquery', 'customer', 'exists (select from shop.customer c where c.id = self.id and c.score > 0)') > 0;
select marketing_automation.create_scenario('comment', 'customer');

-- draft -> running -> stopped -> draft, by function or by update.
select marketing_automation.record_count('comment');
select marketing_automation.stop('comment');
select marketing_automation.enroll('comment');
select marketing_automation.run('comment');
select marketing_automation.run('comment');
select marketing_automation.draft('comment');
update marketing_automation.scenario set state = 'draft' where name = 'comment';
update marketing_automation.scenario set state = 'stopped' where name = 'comment';
update marketing_automation.scenario set state = 'running' where name = 'comment';
select marketing_automation.draft('comment');
update marketing_automation.scenario set state = 'finished' where name = 'comment';
select name, state from marketing_automation.scenario order by name;
select marketing_automation.run('nothing');

-- Nobody enters one without activities, as they would miss all that is added later. One with records stays.
select marketing_automation.run('comment');
select * from marketing_automation.enroll('comment');
select marketing_automation.add_activity('comment', 'root', action => null) > 0 as added;
select * from marketing_automation.enroll('comment');
delete from marketing_automation.scenario where name = 'comment';
update marketing_automation.scenario set model = 'party' where name = 'comment';
select marketing_automation.stop('comment');
delete from marketing_automation.scenario where name = 'subquery';
