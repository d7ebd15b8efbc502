\set SHOW_CONTEXT never
-- A tree of every kind of node, processed at chosen times.
select marketing_automation.create_scenario('process', 'customer', 'self.id <= 5') > 0 as created;
select marketing_automation.add_activity('process', 'first', condition => 'self.id <> 2', action => null) > 0 as added;
select marketing_automation.add_activity('process', 'second', parent => 'first', delay => '1 hour', subject => 's', body => '{{ record.name }}') > 0 as added;
select marketing_automation.add_activity('process', 'third', parent => 'second', delay => '1 day', action => null) > 0 as added;
select marketing_automation.run('process');
select * from marketing_automation.enroll('process', '2026-03-01 12:00+00');
create view shop.progress as
    select r.key, a.name, ra.state, ra.outcome, ra.at at time zone 'UTC' as at
    from marketing_automation.record_activity ra
    join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    where s.name = 'process';
update shop.customer set email = '  ' where id = 3;
delete from shop.customer where id = 4;

select marketing_automation.process_due(now => '2026-03-01 11:59:59+00');
select marketing_automation.process_due(2, now => '2026-03-01 12:00+00');
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
select * from shop.progress order by key, name;

-- A stopped scenario keeps its work and does nothing.
select marketing_automation.stop('process');
select marketing_automation.process_due(now => '2026-03-05+00');
select marketing_automation.draft('process');
select marketing_automation.process_due(now => '2026-03-05+00');
select marketing_automation.run('process');
select marketing_automation.process_due(now => '2026-03-01 13:00+00');
select marketing_automation.process_due(now => '2026-03-01 13:00+00');

-- A record without an address starts the children of a mail at once; the others when their mail has gone.
select * from shop.progress where name <> 'first' order by key, name;
select key, email, recipient_name, language, time_zone, context ->> 'name' as name, state from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id where a.name = 'second' order by key;

-- Parameters.
select marketing_automation.process_due(0);
select marketing_automation.process_due(null);
begin;
call marketing_automation.process_all_due();
rollback;

-- A column that a condition needs is dropped: records keep waiting, the scenario says why, and goes on afterwards.
select marketing_automation.add_activity('process', 'fourth', parent => 'third', condition => 'self.score > 0', action => null) > 0 as added;
select marketing_automation.process_due(now => '2026-03-02 13:00+00');
alter table shop.customer rename score to points;
select marketing_automation.process_due(now => '2026-03-02 13:00+00');
select last_error, last_error_code from marketing_automation.scenario_status join marketing_automation.scenario s on s.id = scenario_id where s.name = 'process';
alter table shop.customer rename points to score;
select marketing_automation.process_due(now => '2026-03-02 13:00+00');
select * from shop.progress where name = 'fourth';

-- An activity that has run stays.
delete from marketing_automation.activity where name = 'second';
select marketing_automation.stop('process');
drop view shop.progress;
-- The shop as it was.
update shop.customer set email = 'customer3@shop.example' where id = 3;
insert into shop.customer (id, name, email, language, time_zone) overriding system value
values (4, 'Customer 4', 'customer4@shop.example', 'fr_CA', 'Europe/Paris');
