\set SHOW_CONTEXT never
select marketing_automation.create_scenario('enroll', 'customer', 'self.score > 0', unsubscribable => true) > 0 as created;
select marketing_automation.add_activity('enroll', 'all', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('enroll', 'some', condition => 'self.id <= 2', delay => '1 hour', action => null) > 0 as added;
select marketing_automation.add_activity('enroll', 'child', parent => 'some', action => null) > 0 as added;
update shop.customer set score = 0 where id = 6;
insert into marketing_automation.unsubscription (party, scenario_id, created_at)
select '5', id, '2026-01-01' from marketing_automation.scenario where name = 'enroll';

-- Nobody enters a draft; one error does not keep the others from running.
select * from marketing_automation.enroll();
select marketing_automation.run('enroll');
select marketing_automation.create_scenario('broken', 'customer', '1 / (self.score - 1) > 0') > 0 as created;
select marketing_automation.add_activity('broken', 'root', action => null) > 0 as added;
select marketing_automation.run('broken');
select * from marketing_automation.enroll(now => '2026-03-01 12:00+00');
select s.name, last_error, last_error_code from marketing_automation.scenario_status join marketing_automation.scenario s on s.id = scenario_id
where last_error is not null;
delete from marketing_automation.scenario where name = 'broken';

-- Each matching row has entered once, with the roots whose condition holds.
select r.key, r.party, r.entered_at at time zone 'UTC' as entered_at, r.blocked_at, marketing_automation.record_id(r.uuid) = r.id as uuid_carries_id,
       array_agg(a.name || ' ' || (w.at - r.entered_at) order by a.name) as waiting
from marketing_automation.record r
join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'enroll'
join marketing_automation_internal.waiting_activity w on w.record_id = r.id
join marketing_automation.activity a on a.id = w.activity_id
group by r.key, r.party, r.entered_at, r.blocked_at, r.uuid, r.id order by r.key;
select substr(uuid::text, 15, 1) as version, count(distinct uuid) = count(*) as distinct_uuids from marketing_automation.record group by 1;

-- Again: nobody enters twice; who matches now does.
select * from marketing_automation.enroll('enroll');
update shop.customer set score = 1 where id = 6;
select * from marketing_automation.enroll('enroll');
select marketing_automation.record_count('enroll');

-- A key that is not unique or null is an error of that scenario, and changes nothing.
create view shop.twice as select 1 as id union all select 1;
create view shop.nothing as select null::int as id;
select marketing_automation.register_model('twice', 'shop.twice', key => 'self.id');
select marketing_automation.register_model('nothing', 'shop.nothing', key => 'self.id');
select marketing_automation.create_scenario('twice', 'twice') > 0 as created;
select marketing_automation.create_scenario('nothing', 'nothing') > 0 as created;
select count(marketing_automation.add_activity(s, 'root', action => null)) as added from unnest(array['twice', 'nothing']) s;
select marketing_automation.run('twice'), marketing_automation.run('nothing');
select * from marketing_automation.enroll() where scenario in ('twice', 'nothing');

-- The relation is dropped: the next run says so.
drop view shop.twice;
select scenario, enrolled, regexp_replace(error, '\d+', 'N') from marketing_automation.enroll('twice');
delete from marketing_automation.scenario where name in ('twice', 'nothing');
select marketing_automation.unregister_model('twice'), marketing_automation.unregister_model('nothing');
drop view shop.nothing;
select marketing_automation.stop('enroll');
