\set SHOW_CONTEXT never
-- One record in ten thousand whose condition raises fails alone, in the call that runs the others.
create table shop.thing (id integer primary key, divisor integer not null);
insert into shop.thing select i, case when i = 500 then 0 else 1 end from generate_series(1, 10000) i;
select marketing_automation.register_model('thing', 'shop.thing', key => 'self.id');
select marketing_automation.create_scenario('poison', 'thing') > 0 as created;
select marketing_automation.add_activity('poison', 'start', action => null) > 0 as added;
select marketing_automation.add_activity('poison', 'divide', parent => 'start', condition => '1 / self.divisor > 0', action => null) > 0 as added;
select marketing_automation.run('poison');
select * from marketing_automation.enroll('poison', '2026-03-01 12:00+00');
select marketing_automation.process_due(10000, '2026-03-01 12:00+00'), marketing_automation.process_due(10000, '2026-03-01 12:00+00');
select a.name, ra.state, ra.outcome, ra.error, ra.error_code, count(*), min(r.key) as key
from marketing_automation.record_activity ra
join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.activity a on a.id = ra.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'poison'
group by 1, 2, 3, 4, 5 order by 1, 2;
select marketing_automation.process_due(10000, '2026-03-02 12:00+00');
-- Several rows of one key: that record fails, whatever its activity would do.
create table shop.label (id integer, text text);
insert into shop.label select i, 'label' from generate_series(1, 100) i;
select marketing_automation.register_model('label', 'shop.label', key => 'self.id');
select marketing_automation.create_scenario('labels', 'label') > 0 as created;
select marketing_automation.add_activity('labels', 'stick', action => null) > 0 as added;
select marketing_automation.run('labels');
select * from marketing_automation.enroll('labels', '2026-03-01 12:00+00');
insert into shop.label values (7, 'twice');
select marketing_automation.process_due(now => '2026-03-01 12:00+00');
select ra.state, ra.error, ra.error_code, count(*), min(r.key) as key
from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'labels' group by 1, 2, 3 order by 1;
select marketing_automation.stop('labels');
-- An error that a function chooses to raise, of whatever class, does not hold up other scenarios.
create function shop.sulk() returns boolean language plpgsql as $$ begin raise 'sulking' using errcode = 'XX000'; end $$;
create function shop.busy() returns boolean language plpgsql as $$ begin raise 'busy' using errcode = '55P03'; end $$;
select marketing_automation.create_scenario('sulk', 'thing', 'self.id <= 2') > 0 as created;
select marketing_automation.add_activity('sulk', 'first', action => null) > 0 as added;
select marketing_automation.add_activity('sulk', 'second', parent => 'first', condition => 'shop.sulk()', action => null) > 0 as added;
select marketing_automation.add_activity('sulk', 'third', parent => 'first', condition => 'shop.busy()', action => null) > 0 as added;
select marketing_automation.create_scenario('innocent', 'thing', 'self.id <= 2') > 0 as created;
select marketing_automation.add_activity('innocent', 'only', action => null) > 0 as added;
select marketing_automation.run('sulk'), marketing_automation.run('innocent');
select * from marketing_automation.enroll('sulk', '2026-03-01 12:00+00');
select * from marketing_automation.enroll('innocent', '2026-03-01 12:01+00');
call marketing_automation.process_all_due();
select s.name, a.name, ra.state, ra.error_code, count(*) from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name in ('sulk', 'innocent')
group by 1, 2, 3, 4 order by 1, 2;
select marketing_automation.stop('sulk'), marketing_automation.stop('innocent');
select marketing_automation.stop('poison');

-- A condition of a root activity is asked when a row enters, of rows that are in already too: the one for which it raises
-- enters, and fails when the activity runs; the others start it or do not.
select marketing_automation.create_scenario('root', 'thing') > 0 as created;
select marketing_automation.add_activity('root', 'divide', condition => '1 / self.divisor > 0 and self.id % 2 = 0', action => null, delay => '1 hour') > 0 as added;
select marketing_automation.add_activity('root', 'all', action => null) > 0 as added;
select marketing_automation.run('root');
select * from marketing_automation.enroll('root', '2026-03-01 12:00+00');
insert into shop.thing values (10001, 1), (10002, 1);
select * from marketing_automation.enroll('root', '2026-03-01 12:00+00');
select at, activity, outcome, detail from marketing_automation.simulate('root', '500', start => '2026-03-01 12:00+00');
select marketing_automation.process_due(20000, '2026-03-01 13:00+00'), marketing_automation.process_due(20000, '2026-03-01 13:00+00');
select a.name, ra.state, ra.outcome, ra.error_code, count(*), min(r.key::integer) as key
from marketing_automation.record_activity ra
join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.activity a on a.id = ra.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'root'
group by 1, 2, 3, 4 order by 1, 2;
-- One that raises for each row is not the rows' fault; nor is a domain that raises.
update shop.thing set divisor = 0;
insert into shop.thing values (10003, 0);
select * from marketing_automation.enroll('root');
update marketing_automation.activity set condition = null where name = 'divide' and parent_id is null;
update marketing_automation.scenario set domain = '1 / self.divisor > 0' where name = 'root';
select * from marketing_automation.enroll('root');
update marketing_automation.scenario set domain = 'self.divisor > 0' where name = 'root';
select * from marketing_automation.enroll('root');
select marketing_automation.stop('root');
