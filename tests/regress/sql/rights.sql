\set SHOW_CONTEXT never
-- Several teams in one database: nobody writes what is another's, nor what means everybody.
create role regress_ann;
create role regress_bob;
create role regress_otto;
create role regress_web noinherit;
grant regress_ann, regress_otto to regress_web;
create table shop.lodger (id integer primary key, name text, email text);
insert into shop.lodger select n, 'Lodger ' || n, 'lodger' || n || '@shop.example' from generate_series(1, 3) n;
grant usage on schema shop to regress_ann;
grant select on shop.lodger to regress_ann;
select count(*) from (values ('regress_ann', 'marketer'), ('regress_bob', 'marketer'), ('regress_ann', 'admin'), ('regress_bob', 'admin'),
    ('regress_otto', 'operator')) as g (role, access)
cross join lateral marketing_automation.grant_access(g.role::regrole, g.access);

set session authorization regress_ann;
select marketing_automation.register_model('lodger', 'shop.lodger', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('guests', 'lodger') > 0 as created;
insert into marketing_automation.snippet (name, body) values ('imprint', '<p>Ann</p>');
select marketing_automation.add_activity('guests', 'later', delay => '30 days', subject => 's', body => '{% include "imprint" %}') > 0 as added;
select marketing_automation.run('guests');
select * from marketing_automation.enroll('guests');
reset session authorization;

-- Ids are given by the database: 0 would be every scenario, another one may come to be somebody else's.
select marketing_automation.unsubscribe('4711');
set session authorization regress_bob;
insert into marketing_automation.scenario (id, name, model) overriding system value values (0, 'zero', 'party');
insert into marketing_automation.scenario (id, name, model) overriding system value values (1000000, 'far', 'party');
update marketing_automation.scenario set id = default where name = 'guests';
reset session authorization;
\set VERBOSITY terse
insert into marketing_automation.scenario (id, name, model) overriding system value values (0, 'zero', 'party');
insert into marketing_automation.activity (id, scenario_id, name, action) overriding system value
values (-1, marketing_automation.scenario_id('guests'), 'minus', null);
\set VERBOSITY default
select count(*) from marketing_automation.unsubscription where scenario_id = 0 and party = '4711';
select marketing_automation.resubscribe('4711');

-- Who owns a snippet, a page or a text of one, owns it in all languages.
set session authorization regress_bob;
insert into marketing_automation.snippet (name, language, body) values ('imprint', 'en', '<p>Bob</p>');
insert into marketing_automation.snippet (name, body) values ('bobs', '<p>Bob</p>');
update marketing_automation.snippet set name = 'imprint', language = 'en' where name = 'bobs';
insert into marketing_automation.page (name, body) values ('resubscribed', 'Welcome back');
insert into marketing_automation.page_text (language, name, text) values ('de', 'button', 'Ja');
set session authorization regress_ann;
insert into marketing_automation.page (name, language, body) values ('resubscribed', 'fr', 'Ann');
update marketing_automation.page_text set text = 'Nein' where name = 'button';
insert into marketing_automation.page_text (language, name, text) values ('fr', 'button', 'Oui');
delete from marketing_automation.page;
insert into marketing_automation.snippet (name, language, body) values ('imprint', 'fr', '<p>Anne</p>');
reset session authorization;
insert into marketing_automation.snippet (name, language, body) values ('imprint', 'de', '<p>Anna</p>');
select language, owner from marketing_automation.snippet where name = 'imprint' order by 1;
update marketing_automation.snippet set owner = 'regress_bob' where name = 'imprint' and language = 'de';
select language, owner from marketing_automation.snippet where name = 'imprint' order by 1;
update marketing_automation.snippet set owner = 'regress_ann' where name = 'imprint' and language = '';

-- Who chooses the time is who calls, also after SET ROLE; and a function that runs as its owner calls as its owner.
set session authorization regress_otto;
select marketing_automation.process_due(now => '2099-01-01');
set session authorization regress_web;
set role regress_otto;
select marketing_automation.process_due(now => '2099-01-01');
select * from marketing_automation.enroll('guests', now => '2099-01-01');
reset role;
reset session authorization;
set role regress_ann;
select marketing_automation.process_due(now => now() + interval '31 days') as processed;
select marketing_automation.pause('by Ann');
reset role;
select paused_by from marketing_automation.sending_pause;
select marketing_automation.resume();

-- A superuser's expression never runs as a superuser on a relation of somebody else, who may replace it.
create schema regress_bob authorization regress_bob;
set role regress_bob;
create table regress_bob.lead (id integer primary key, email text);
insert into regress_bob.lead values (1, 'lead@shop.example');
create function regress_bob.reads_as() returns text language sql stable as $$ select current_user::text $$;
create view regress_bob.leads as select l.id, l.email, 'nobody'::text as reads_as from regress_bob.lead l;
reset role;
select marketing_automation.register_model('lead', 'regress_bob.leads', key => 'self.id', party => 'self.reads_as', email => 'self.email');
select marketing_automation.create_scenario('leads', 'lead', domain => 'self.reads_as <> ''postgres''') > 0 as created;
select marketing_automation.add_activity('leads', 'call', condition => 'self.reads_as <> ''postgres''', action => null) > 0 as added;
select marketing_automation.run('leads');
set role regress_bob;
create or replace view regress_bob.leads as select l.id, l.email, regress_bob.reads_as() as reads_as from regress_bob.lead l;
reset role;
select * from marketing_automation.enroll('leads');
select marketing_automation.process_due() > 0 as processed;
select r.party, ra.outcome from marketing_automation.record r
join marketing_automation.record_activity ra on ra.record_id = r.id where r.scenario_id = marketing_automation.scenario_id('leads');
select marketing_automation.stop('leads');
drop schema regress_bob cascade;

drop table shop.lodger;
select marketing_automation.stop('guests');
delete from marketing_automation.page;
delete from marketing_automation.page_text;
delete from marketing_automation.snippet where name = 'bobs';
update marketing_automation.snippet set owner = 'postgres' where name = 'imprint';
