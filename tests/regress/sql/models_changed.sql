\set SHOW_CONTEXT never
-- What happens to the relation of a model afterwards: renamed, retyped, a column dropped.
create schema depot;
create table depot.crate (id integer primary key, label text, email text);
insert into depot.crate select i, 'crate ' || i, 'crate@shop.example' from generate_series(1, 3) i;
select marketing_automation.register_model('crate', 'depot.crate', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('crates', 'crate', 'self.label like ''crate%''') > 0 as created;
select marketing_automation.add_activity('crates', 'first', action => null) > 0 as added;
select marketing_automation.add_activity('crates', 'second', parent => 'first', condition => 'self.label is not null', action => null) > 0 as added;
select marketing_automation.create_scenario('bystander', 'customer', 'self.id = 1') > 0 as created;
select marketing_automation.add_activity('bystander', 'first', action => null) > 0 as added;
select marketing_automation.run('crates'), marketing_automation.run('bystander');
create view shop.crates as
    select r.key, a.name, ra.state, ra.outcome, ra.error from marketing_automation.record_activity ra
    join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'crates';
create view shop.status as
    select s.name, t.last_error, t.last_error_code, a.name as last_error_activity
    from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id and s.name in ('crates', 'bystander')
    left join marketing_automation.activity a on a.id = t.last_error_activity_id;
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
select scenario, enrolled, error from marketing_automation.enroll('bystander', '2026-03-01 12:00+00');

-- Relation and schema are renamed: nothing happens.
alter table depot.crate rename to "Big crate";
alter schema depot rename to "My depot";
select relation from marketing_automation.model where name = 'crate';
insert into "My depot"."Big crate" values (4, 'crate 4', 'crate@shop.example');
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
select marketing_automation.process_due(now => '2026-03-01 12:00+00');

-- A column is dropped that enrolling and an activity need: both say which expression is broken, and do nothing.
alter table "My depot"."Big crate" rename label to inscription;
select scenario, enrolled, error from marketing_automation.enroll() order by 1;
select * from shop.status order by name;
select marketing_automation.process_due(now => '2026-03-01 12:00+00'), marketing_automation.process_due(now => '2026-03-01 12:00+00');
select * from shop.status order by name;
select name, state, count(*) from shop.crates group by 1, 2 order by 1, 2;
-- It cannot be started like that either; stopping always works.
select marketing_automation.stop('crates'), marketing_automation.draft('crates');
select marketing_automation.run('crates');
-- Mended.
update marketing_automation.scenario set domain = 'self.inscription like ''crate%''' where name = 'crates';
select marketing_automation.run('crates');
update marketing_automation.activity set condition = 'self.inscription is not null' where name = 'second' and condition like '%label%';
select marketing_automation.run('crates');
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
select * from shop.status order by name;
select scenario, enrolled, error from marketing_automation.enroll() order by 1;
select * from shop.status order by name;
select name, state, count(*) from shop.crates group by 1, 2 order by 1, 2;

-- A column is dropped that the model itself needs: registering it again mends it.
insert into "My depot"."Big crate" values (5, 'crate 5', 'crate@shop.example');
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
alter table "My depot"."Big crate" drop column email;
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
select * from shop.status order by name;
select marketing_automation.register_model('crate', '"My depot"."Big crate"', key => 'self.id', party => 'self.id');
select marketing_automation.process_due(now => '2026-03-01 12:00+00'), marketing_automation.process_due(now => '2026-03-01 12:00+00');
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
select * from shop.status order by name;

-- The key is retyped: those found by the old type, and those that only the new one holds.
alter table "My depot"."Big crate" alter id type bigint;
insert into "My depot"."Big crate" values (6, 'crate 6'), (6000000000, 'crate 6000000000');
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
select key_type from marketing_automation.model where name = 'crate';
call marketing_automation.process_all_due(now => '2026-03-01 12:00+00');
select key_type from marketing_automation.model where name = 'crate';
select * from shop.crates where key like '6%' order by 1, 2;
alter table "My depot"."Big crate" alter id type text;
insert into "My depot"."Big crate" values ('seven', 'crate seven');
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
call marketing_automation.process_all_due(now => '2026-03-01 12:00+00');
select * from shop.crates where key = 'seven' order by 1, 2;
select * from shop.crates where state = 'failed';

-- The key's expression may change only if it does not work any more.
select marketing_automation.register_model('crate', '"My depot"."Big crate"', key => 'self.inscription', party => 'self.id');
alter table "My depot"."Big crate" rename id to number;
select marketing_automation.register_model('crate', '"My depot"."Big crate"', key => 'self.number', party => 'self.number');
insert into "My depot"."Big crate" values ('eight', 'crate eight');
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
call marketing_automation.process_all_due(now => '2026-03-01 12:00+00');
select name, state, count(*) from shop.crates group by 1, 2 order by 1, 2;

-- Another relation in its place.
drop table "My depot"."Big crate";
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');
create table "My depot".box (number text primary key, inscription text);
insert into "My depot".box values ('1', 'crate 1'), ('nine', 'crate nine');
select marketing_automation.register_model('crate', '"My depot".box', key => 'self.number', party => 'self.number');
select scenario, enrolled, error from marketing_automation.enroll('crates', '2026-03-01 12:00+00');

-- In use: by whom.
select marketing_automation.unregister_model('crate');
select marketing_automation.stop('crates'), marketing_automation.stop('bystander');
drop view shop.crates, shop.status;
