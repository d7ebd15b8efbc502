\set SHOW_CONTEXT never
-- What users write runs with the rights of the scenario's owner, whoever enrolls: here a superuser, as pg_cron would.
create role regress_marketer;
create role regress_other;
select marketing_automation.grant_access('regress_marketer', 'marketer');
select marketing_automation.grant_access('regress_other', 'marketer');
create schema secret;
create table secret.salary (id integer, amount integer);
insert into secret.salary values (1, 1000);
create schema attic;
grant usage, create on schema attic to regress_marketer;
grant usage on schema shop to regress_marketer;
grant select on shop.customer to regress_marketer;

set role regress_marketer;
create table attic.diary (entry text);
create function attic.write() returns boolean language plpgsql as $$
begin insert into attic.diary values (current_user); return true; end $$;
create function attic.escalate() returns boolean language plpgsql as $$
begin execute 'alter role regress_marketer superuser'; return true; end $$;
create function attic.become() returns boolean language plpgsql as $$
begin execute 'set role postgres'; return true; end $$;
create function attic.reset_role() returns boolean language plpgsql as $$
begin execute 'reset role'; execute 'reset session authorization'; return true; end $$;
create function attic.peek() returns boolean language plpgsql as $$
begin return exists (select from secret.salary); end $$;
create function attic.temporary() returns boolean language plpgsql as $$
begin create temporary table trap (x integer); return true; end $$;
create function attic.writable() returns boolean language plpgsql as $$
begin perform set_config('transaction_read_only', 'off', false); insert into attic.diary values (current_user); return true; end $$;
create function attic.sequence() returns boolean language plpgsql as $$
begin perform nextval('attic.counter'); return true; end $$;
create sequence attic.counter;
create function attic.who() returns boolean language plpgsql as $$
begin raise notice 'runs as %, search_path %', current_user, current_setting('search_path'); return true; end $$;

-- Reading what the owner may not read is found when the domain is written.
select marketing_automation.register_model('customers', 'shop.customer', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('direct', 'customers', 'exists (select from secret.salary)');
select marketing_automation.create_scenario('who', 'customers', 'self.id = 1 and attic.who()') > 0 as created;
select marketing_automation.create_scenario('write', 'customers', 'attic.write()') > 0 as created;
select marketing_automation.create_scenario('escalate', 'customers', 'attic.escalate()') > 0 as created;
select marketing_automation.create_scenario('become', 'customers', 'attic.become()') > 0 as created;
select marketing_automation.create_scenario('reset', 'customers', 'attic.reset_role()') > 0 as created;
select marketing_automation.create_scenario('peek', 'customers', 'attic.peek()') > 0 as created;
select marketing_automation.create_scenario('temporary', 'customers', 'attic.temporary()') > 0 as created;
select marketing_automation.create_scenario('writable', 'customers', 'attic.writable()') > 0 as created;
select marketing_automation.create_scenario('sequence', 'customers', 'attic.sequence()') > 0 as created;
select count(marketing_automation.add_activity(s, 'root', action => null)) as added from unnest(array['who', 'write', 'escalate', 'become', 'reset', 'peek', 'temporary', 'writable', 'sequence']) s;
select marketing_automation.run(s) from unnest(array['who', 'write', 'escalate', 'become', 'reset', 'peek', 'temporary', 'writable', 'sequence']) s;
reset role;

set client_min_messages = error;
select * from marketing_automation.enroll() order by scenario;
reset client_min_messages;
select marketing_automation.enroll('who');
select * from attic.diary;
select rolsuper from pg_roles where rolname = 'regress_marketer';
select current_user = session_user as still_myself, current_setting('transaction_read_only') as read_only;
create table attic.after_all (x integer);
select s.name, t.last_error_code from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id
where t.last_error is not null and s.owner = 'regress_marketer' order by 1;
select marketing_automation.stop(name) from marketing_automation.scenario where state = 'running' order by name;

-- Conditions and model expressions run so too.
set role regress_marketer;
select marketing_automation.create_scenario('condition', 'customers', 'self.id = 1') > 0 as created;
select marketing_automation.add_activity('condition', 'write', condition => 'attic.write()', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('condition', 'start', action => null) > 0 as added;
select marketing_automation.add_activity('condition', 'peek', parent => 'start', condition => 'attic.peek()', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('condition');
select marketing_automation.enroll('condition');
select marketing_automation.delete_activity('condition', 'write');
select marketing_automation.enroll('condition');
reset role;
call marketing_automation.process_all_due();
select ra.state, ra.error_code, ra.error from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id where a.name = 'peek';

-- Only members of the owner change a scenario, its activities or a model, or make one that runs as another.
set role regress_other;
update marketing_automation.scenario set domain = 'true' where name = 'who';
select marketing_automation.run('who');
select marketing_automation.add_activity('who', 'mine', subject => 's', body => 'b');
update marketing_automation.activity set condition = 'true' where name = 'start' and scenario_id = marketing_automation.scenario_id('condition');
select marketing_automation.delete_scenario('who');
update marketing_automation.model set email = 'null' where name = 'customers';
select marketing_automation.register_model('customers', 'marketing_automation.party', key => 'self.id');
insert into marketing_automation.scenario (name, model, owner) values ('trojan', 'party', 'postgres');
insert into marketing_automation.model (name, relation, key, key_type, owner) values ('trojan', 'marketing_automation.party', 'self.id', 'text', 'postgres');
select marketing_automation.create_scenario('fine', 'party') > 0 as created;
update marketing_automation.scenario set owner = 'postgres' where name = 'fine';
select * from marketing_automation_internal.query_as_owner('postgres', 'shop.customer', 'select 1', null) as q (x integer);
select marketing_automation.enroll(now => '2026-01-01');
reset role;

-- A model whose owner has fewer rights than the scenario's would lend them those rights.
select marketing_automation.create_scenario('lent', 'customers');
-- An activity cannot be planted in a scenario that does not exist yet.
set role regress_other;
insert into marketing_automation.activity (scenario_id, name, subject, body) values (4711, 'planted', 's', 'b');
insert into marketing_automation.model (name, relation, key, key_type) values ('sale', 'marketing_automation.party', 'self.id', 'text');
reset role;

-- Only a superuser's restore skips the checks.
set session authorization regress_other;
set check_function_bodies = off;
select marketing_automation.create_scenario('unchecked', 'party', 'true; select 1');
reset check_function_bodies;
reset session authorization;

-- The owner lost a right: its next run says so. Row security of the source holds for the owner.
select marketing_automation.run('who') from marketing_automation.scenario where name = 'who' and state = 'draft';
select marketing_automation.draft('who'), marketing_automation.run('who');
revoke select on shop.customer from regress_marketer;
select scenario, enrolled, error from marketing_automation.enroll('who');
grant select on shop.customer to regress_marketer;
alter table shop.customer enable row level security;
create policy all_but_first on shop.customer for select to regress_marketer using (id > 1);
update marketing_automation.scenario set domain = 'true' where name = 'who';
select scenario, enrolled, error from marketing_automation.enroll('who');
alter table shop.customer disable row level security;
drop policy all_but_first on shop.customer;
select marketing_automation.stop(name) from marketing_automation.scenario where state = 'running' order by name;
drop owned by regress_marketer, regress_other;
drop schema secret, attic cascade;
