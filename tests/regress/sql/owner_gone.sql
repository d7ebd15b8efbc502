\set SHOW_CONTEXT never
-- An owner is the role that was meant, whatever roles are called later; a dump has names.
create role regress_pia;
create table shop.client (id integer primary key, email text);
insert into shop.client values (1, 'one@shop.example');
grant usage on schema shop to regress_pia;
grant select on shop.client to regress_pia;
select marketing_automation.grant_access('regress_pia', 'marketer');
set role regress_pia;
select marketing_automation.register_model('client', 'shop.client', key => 'self.id', party => 'current_user', email => 'self.email');
select marketing_automation.create_scenario('pia', 'client') > 0 as created;
select marketing_automation.add_activity('pia', 'root', action => null) > 0 as added;
select marketing_automation.run('pia');
select marketing_automation.create_scenario('pias orders', 'client', occasion => 'self.email') > 0 as created;
select marketing_automation.add_activity('pias orders', 'later', action => null, delay => '1 day') > 0 as added;
select marketing_automation.run('pias orders');
insert into marketing_automation.snippet (name, body) values ('pias', 'x');
reset role;
-- Names that do not exist are refused, and the id follows the name, whoever writes it.
update marketing_automation.scenario set owner = 'regress_nobody' where name = 'pia';
update marketing_automation.scenario set owner_id = 10 where name = 'pia';
select s.owner, s.owner_id = 'regress_pia'::regrole as is_hers from marketing_automation.scenario s where s.name = 'pia';

-- Renamed, she goes on.
alter role regress_pia rename to regress_paula;
select scenario, enrolled, error from marketing_automation.enroll('pia');
select r.party from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('pia');
set role regress_paula;
select marketing_automation.stop('pia'), marketing_automation.draft('pia'), marketing_automation.run('pia');
-- What a dump would say of owners is her new name, once what is due has run.
call marketing_automation.process_all_due();
reset role;
select 'scenario' as kind, s.owner from marketing_automation.scenario s where s.name = 'pia'
union all select 'model', m.owner from marketing_automation.model m join marketing_automation.scenario s on s.model = m.name where s.name = 'pia'
union all select 'snippet', s.owner from marketing_automation.snippet s where s.name = 'pias';

-- Another role of the old name gets nothing, not even when she is gone.
create role regress_pia;
select marketing_automation.grant_access('regress_pia', 'marketer');
set role regress_pia;
select marketing_automation.stop('pia');
update marketing_automation.snippet set body = 'y' where name = 'pias';
insert into marketing_automation.snippet (name, language, body) values ('pias', 'fr', 'y');
select marketing_automation.preview('pia', 'root', '1');
reset role;
insert into shop.client values (2, 'two@shop.example');
select scenario, enrolled, error from marketing_automation.enroll('pias orders');
drop owned by regress_paula;
drop role regress_paula;
set role regress_pia;
select marketing_automation.stop('pia');
reset role;
select scenario, enrolled, error from marketing_automation.enroll('pia');
-- What cannot be asked is told once, and why.
select about, fact from marketing_automation.explain_record('pias orders', '1') where about = 'record' and fact !~ '^entered';
select marketing_automation.stop('pias orders');
select marketing_automation.stop('pia');
select marketing_automation.draft('pia'), marketing_automation.run('pia');

-- Restored where the role does not exist: everything else is kept. It is loaded as pg_dump writes it.
\set QUIET on
\o /dev/null
select string_agg(format('insert into marketing_automation.scenario (name, model, owner, owner_id, state) values (%L, %L, %L, 10, %L);', 'restored', 'client', 'regress_elsewhere', 'running'), '') as load \gset
\o
set check_function_bodies = off;
:load
reset check_function_bodies;
select s.owner, s.owner_id, s.state from marketing_automation.scenario s where s.name = 'restored';
select scenario, enrolled, error from marketing_automation.enroll('restored');
-- Who makes the role says so, and it is that one.
create role regress_elsewhere;
grant usage on schema shop to regress_elsewhere;
grant select on shop.client to regress_elsewhere;
update marketing_automation.model set owner = 'regress_elsewhere' where name = 'client';
update marketing_automation.scenario set owner = owner where owner = 'regress_elsewhere';
select scenario, enrolled, error from marketing_automation.enroll('restored');
select marketing_automation.stop('restored');
