\set SHOW_CONTEXT never
-- Bad values are named, with those that are good; the hint is the next statement.
create schema named;
create table named.guest (id integer primary key, name text not null, email text not null);
insert into named.guest values (5, 'Ada', 'ada@named.example');
select count(marketing_automation.register_model('named guest', 'named.guest', key => 'self.id', email => 'self.email', recipient_name => 'self.name')) as registered;
select marketing_automation.create_scenario('named errors', 'named guest') > 0 as created;
select marketing_automation.create_scenario('named errors', 'named guest');
select marketing_automation.create_scenario('tongue', 'customer', language => 'english language');
select marketing_automation.add_activity('named errors', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('named errors', 'mail', subject => 's', body => 'b');
select marketing_automation.add_activity('named errors', 'opened', parent => 'mail', on_event => 'opened', action => null);
select marketing_automation.add_activity('named errors', 'hook', action => 'webhook', subject => 's', body => 'b');
update marketing_automation.scenario set state = 'paused' where name = 'named errors';
insert into marketing_automation.robot_rule (name, kind, pattern) values ('odd', 'useragent', 'x');
select marketing_automation.create_scenario('orders', 'customer', domain => 'exists (select from customer)');
select marketing_automation.create_scenario('orders', 'customer', domain => 'score(self.id) > 1');
select marketing_automation.run('named errors');
select marketing_automation.stop('named errors');
select marketing_automation.run('named errors');

-- A sender that is no mailbox: refused if that of no mail is one, else found at run() with one row.
select marketing_automation.draft('named errors');
select marketing_automation.add_activity('named errors', 'sender', sender => 'Shop hello@shop.example', subject => 's', body => 'b');
select marketing_automation.add_activity('named errors', 'none', sender => 'Shop <>', subject => 's', body => 'b');
select marketing_automation.add_activity('named errors', 'sender', sender => '{{ record.name }} hello@shop.example', subject => 's', body => 'b');
select marketing_automation.add_activity('named errors', 'sender', sender => '{{ record.email }}@shop.example', subject => 's', body => 'b') > 0 as added;
set marketing_automation.email_from = 'Shop hello@shop.example';
select marketing_automation.run('named errors');
select marketing_automation.stop('named errors');

-- What pg_dump writes at the head of its files turns no check off but for what COPY and INSERT load.
set check_function_bodies = off;
select marketing_automation.register_model('unchecked key', 'shop.customer', key => 'self.id', email => 'self.email');
select m.key_type from marketing_automation.model m where m.name = 'unchecked key';
select marketing_automation.create_scenario('unchecked', 'customer', domain => 'true; select 1');
insert into marketing_automation.scenario (name, model, domain) values ('loaded', 'customer', 'true; select 1');
reset check_function_bodies;
select marketing_automation.run('loaded');
update marketing_automation.scenario set domain = 'true' where name = 'loaded';
delete from marketing_automation.scenario where name in ('loaded');
select marketing_automation.unregister_model('unchecked key');

-- Nobody brings an activity's version to its end, and a trend draws what is no number as nothing.
update marketing_automation.activity set version = 2147483647 where name = 'sender' and scenario_id = marketing_automation.scenario_id('named errors');
update marketing_automation.activity set subject = 'changed' where name = 'sender' and scenario_id = marketing_automation.scenario_id('named errors');
select a.version from marketing_automation.activity a where a.name = 'sender' and a.scenario_id = marketing_automation.scenario_id('named errors');
select marketing_automation.sparkline(array[0, 1, 'NaN', 2, null, 'Infinity']::numeric[]);

-- A refusal has no context but that of somebody else's code, and checks say what a column takes.
insert into marketing_automation.domain_limit (domain, per_second) values ('named.example', -1);
insert into marketing_automation.smtp_server (name, url, weight) values ('named', 'smtp://localhost', 0);
\set SHOW_CONTEXT errors
select marketing_automation.add_activity('named errors', 'x', on_event => 'opened', subject => 's', body => 'b');
select marketing_automation.run('no such scenario');
do $$ begin perform marketing_automation.create_scenario('named errors', model => 'party'); end $$;
\set SHOW_CONTEXT never
