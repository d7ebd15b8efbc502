\set SHOW_CONTEXT never
-- A row for which the domain raises stands apart; all others enter.
create table shop.traveller (id integer primary key, code text, tz text, email text);
insert into shop.traveller select i, i::text, 'Europe/Paris', 'traveller' || i || '@shop.example' from generate_series(1, 30000) i;
update shop.traveller set tz = 'Mars/Phobos' where id in (777, 29999);
select marketing_automation.register_model('traveller', 'shop.traveller', key => 'self.id', party => 'self.email', email => 'self.email');
select marketing_automation.create_scenario('zones', 'traveller', $$(timestamptz '2026-03-01 12:00+00' at time zone self.tz) > '2026-03-01'$$) > 0 as created;
select marketing_automation.add_activity('zones', 'hello', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('zones');
select * from marketing_automation.enroll('zones', '2026-03-01 12:00+00');
select t.last_error, t.last_error_code from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id where s.name = 'zones';
select fact from marketing_automation.explain_record('zones', '777');
select regexp_replace(fact, '2026.*', '…') as fact from marketing_automation.explain_record('zones', '778') where about = 'record';
-- The others go on, once mended the row enters, and what is gone is forgotten.
insert into shop.traveller values (30001, '30001', 'Asia/Tokyo', 'visitor30001@shop.example');
update shop.traveller set tz = 'Asia/Tokyo' where id = 777;
select * from marketing_automation.enroll('zones', '2026-03-01 12:00+00');
delete from shop.traveller where id = 29999;
select * from marketing_automation.enroll('zones', '2026-03-01 12:00+00');
select count(*) from marketing_automation_internal.poisonous_row p join marketing_automation.scenario s on s.id = p.scenario_id where s.name = 'zones';
-- Nor does the place of a row matter: after it has moved.
update shop.traveller set tz = 'Mars/Phobos' where id = 15000;
select * from marketing_automation.enroll('zones', '2026-03-01 12:00+00');
vacuum full shop.traveller;
select * from marketing_automation.enroll('zones', '2026-03-01 12:00+00');
select marketing_automation.stop('zones');

-- A key or a party that raises, or is null or too long; and of whatever kind the relation is.
insert into shop.traveller values (-1, 'x', 'UTC', 'minus@shop.example');
select marketing_automation.register_model('visitor by code', 'shop.traveller', key => 'self.code::integer', email => 'self.email');
create view shop.traveller_view as select * from shop.traveller where id <= 1000;
create table shop.traveller_part (like shop.traveller) partition by range (id);
create table shop.traveller_part_1 partition of shop.traveller_part for values from (minvalue) to (500);
create table shop.traveller_part_2 partition of shop.traveller_part for values from (500) to (maxvalue);
insert into shop.traveller_part select * from shop.traveller where id <= 1000;
select marketing_automation.register_model('view by code', 'shop.traveller_view', key => 'self.code::integer', email => 'self.email');
select marketing_automation.register_model('part by code', 'shop.traveller_part', key => 'self.code::integer', email => 'self.email');
select marketing_automation.create_scenario(m, m, 'self.id <= 1000') > 0 as created from unnest(array['visitor by code', 'view by code', 'part by code']) m;
select marketing_automation.add_activity(m, 'hello', subject => 's', body => 'b') > 0 as added from unnest(array['visitor by code', 'view by code', 'part by code']) m;
select marketing_automation.run(m) from unnest(array['visitor by code', 'view by code', 'part by code']) m;
select scenario, enrolled, regexp_replace(error, 'at \(\d+,\d+\)', 'at N') as error from marketing_automation.enroll()
where scenario in ('visitor by code', 'view by code', 'part by code') order by 1;
-- They are processed, also those whose neighbour has become unreadable since.
insert into shop.traveller_part values (0, 'y', 'UTC', 'zero@shop.example');
call marketing_automation.process_all_due();
select s.name, ra.state, ra.outcome, count(*) from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id
where s.name in ('visitor by code', 'view by code', 'part by code') group by 1, 2, 3 order by 1, 2, 3;
select fact from marketing_automation.explain_record('view by code', '5') where fact like '%cannot be read%';
select marketing_automation.stop(m) from unnest(array['visitor by code', 'view by code', 'part by code']) m;

select marketing_automation.register_model('visitor by email', 'shop.traveller', key => 'self.email', party => 'case when self.id = 4 then repeat(''x'', 2000) else self.tz end');
update shop.traveller set email = null where id = 2;
update shop.traveller set email = repeat('y', 2000) where id = 3;
select marketing_automation.create_scenario('visitor by email', 'visitor by email', 'self.id between 1 and 10') > 0 as created;
select marketing_automation.add_activity('visitor by email', 'hello', condition => '10 / (self.id - 7) > -100', action => null) > 0 as added;
select marketing_automation.run('visitor by email');
select scenario, enrolled, regexp_replace(regexp_replace(error, 'at \(\d+,\d+\)', 'at N'), 'y+', 'y…') as error from marketing_automation.enroll('visitor by email');
-- A model expression that raises fails its record alone, as a condition does.
select marketing_automation.process_due();
select ra.state, ra.error, count(*) from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'visitor by email' group by 1, 2 order by 1, 2;
select marketing_automation.stop('visitor by email');
