\set SHOW_CONTEXT never
-- Whose scenario it is may choose the time; who only operates may not.
create role regress_owner;
create role regress_operator;
create role regress_friend in role regress_owner;
select marketing_automation.grant_access(r, 'marketer') from unnest(array['regress_owner', 'regress_friend']::regrole[]) r;
select marketing_automation.grant_access('regress_operator', 'operator');
set role regress_owner;
select marketing_automation.create_scenario('mine', 'party', 'self.name = ''Time''') > 0 as created;
select marketing_automation.add_activity('mine', 'first', delay => '1 day', action => null) > 0 as added;
select marketing_automation.add_activity('mine', 'second', parent => 'first', delay => '1 day', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('mine');
reset role;
select marketing_automation.create_scenario('theirs', 'party', 'self.name = ''Time''') > 0 as created;
select marketing_automation.add_activity('theirs', 'first', delay => '1 day', action => null) > 0 as added;
select marketing_automation.run('theirs');
insert into marketing_automation.party (name, email) values ('Time', 'time@shop.example');
select now() + interval '1 year' as later \gset

-- An operator: neither for one scenario nor for all.
set session authorization regress_operator;
select * from marketing_automation.enroll('theirs', :'later');
select * from marketing_automation.enroll(now => :'later');
select marketing_automation.process_due(now => :'later');
call marketing_automation.process_all_due(now => :'later');
-- What somebody becomes for a moment does not count, the session's user does.
reset session authorization;
set session authorization regress_friend;
select * from marketing_automation.enroll('theirs', :'later');
select * from marketing_automation.enroll('mine', 'infinity');
select * from marketing_automation.enroll('nothing', :'later');
-- For all means: for one's own.
select * from marketing_automation.enroll(now => :'later');
reset session authorization;
select * from marketing_automation.enroll('theirs', :'later');
set session authorization regress_friend;
select marketing_automation.process_due(now => :'later'), marketing_automation.process_due(now => :'later'::timestamptz + interval '1 day');
select marketing_automation.process_due(now => :'later'::timestamptz + interval '1 day');
call marketing_automation.process_all_due(now => :'later'::timestamptz + interval '2 days');
reset session authorization;
select s.name, a.name, ra.state, ra.at - :'later' as due_after from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name in ('mine', 'theirs')
order by 1, 2;
-- A mail of the future leaves now: nobody could wait for it.
select m.due_at <= now() as due, m.created_at - :'later' as created_after from marketing_automation_internal.outbox m
join marketing_automation.activity a on a.id = m.activity_id and a.name = 'second' where m.email = 'time@shop.example';
-- A superuser: everything.
call marketing_automation.process_all_due(now => :'later'::timestamptz + interval '2 days');
select s.name, a.name, ra.state from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'theirs';
select marketing_automation.stop('mine'), marketing_automation.stop('theirs');
update marketing_automation.scenario set owner = 'postgres' where name = 'mine';
delete from marketing_automation.party where name = 'Time';
drop owned by regress_owner, regress_operator, regress_friend;
drop role regress_friend, regress_owner, regress_operator;
