\set SHOW_CONTEXT never
-- Times at the end of what there is: a team that writes them stops neither others nor its own other rows.
create role regress_far;
create schema far;
grant usage on schema far to regress_far;
select marketing_automation.grant_access('regress_far', 'marketer');
create table far.guest (id integer primary key, email text, day timestamptz, bought timestamptz);
grant select on far.guest to regress_far;
insert into far.guest values (1, 'far1@shop.example', '294276-12-31 23:00+00', '4713-01-01 00:00+00 BC'), (2, 'far2@shop.example', '2100-01-01 00:00+00', null);
set role regress_far;
select marketing_automation.register_model('far guest', 'far.guest', key => 'self.id', party => 'self.id', email => 'self.email');

-- The time of a run: what is written at it is added to by whatever works for all.
select marketing_automation.create_scenario('far mail', 'far guest') > 0 as created;
select marketing_automation.add_activity('far mail', 'far letter', subject => 's', body => '<p>x</p>', expires_after => '10 years') > 0 as added;
select marketing_automation.run('far mail');
select * from marketing_automation.enroll('far mail', now => '294270-01-01 00:00+00');
select marketing_automation.process_due(now => '294270-01-01 00:00+00');
select marketing_automation.apply_exits(now => '4713-01-01 00:00+00 BC');
select marketing_automation.enroll_record('far mail', '1', '0001-01-01 00:00+00 BC');
select enrolled from marketing_automation.enroll('far mail', now => '9999-12-31 00:00+00');
select marketing_automation.process_due(now => '9999-12-31 00:00+00');
reset role;
select state from marketing_automation_internal.outbox o join marketing_automation.activity a on a.id = o.activity_id and a.name = 'far letter' order by o.key;
-- The claim goes on for all.
select count(*) from marketing_automation_internal.claim_messages(100) c join marketing_automation.activity a on a.id = c.activity_id and a.name = 'far letter';

-- A date of a row to which no delay can be added is none, and those of others are asked.
set role regress_far;
select marketing_automation.create_scenario('far date', 'far guest') > 0 as created;
select marketing_automation.add_activity('far date', 'far day', at => 'self.day', delay => '1 day', action => null) > 0 as added;
select marketing_automation.run('far date');
select enrolled from marketing_automation.enroll('far date');
reset role;
update marketing_automation_internal.waiting_activity w set at = now() + interval '1 year' from marketing_automation.activity a where a.id = w.activity_id and a.name = 'far day';
update far.guest set day = '2001-01-01 00:00+00' where id = 2;
set role regress_far;
select marketing_automation.apply_dates('far date');
select last_error from marketing_automation.scenario_status where scenario_id = marketing_automation.scenario_id('far date');
select marketing_automation.process_due();
select r.key, ra.state, ra.outcome from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'far day'
join marketing_automation.record r on r.id = ra.record_id order by 1;

-- A goal that was reached at a time from which its day cannot be told: asked before mails leave, it stops neither its own nor those of others.
reset role;
alter database regression set timezone = 'America/New_York';
insert into far.guest values (3, 'far3@shop.example', null, null);
set role regress_far;
select marketing_automation.create_scenario('far goal', 'far guest', goal => 'self.bought is not null', goal_at => 'self.bought', goal_ends_journey => true) > 0 as created;
select marketing_automation.add_activity('far goal', 'far offer', subject => 's', body => '<p>x</p>') > 0 as added;
select marketing_automation.run('far goal');
update marketing_automation.scenario set domain = 'self.id > 1' where name = 'far goal';
select enrolled from marketing_automation.enroll('far goal');
select marketing_automation.process_due();
reset role;
update far.guest set bought = '4714-11-24 00:00+00 BC' where id = 2;
select c.record_id is not null as leaves, r.key from marketing_automation_internal.claim_messages(100) c
join marketing_automation.record r on r.id = c.record_id and r.scenario_id = marketing_automation.scenario_id('far goal') order by 2;
select r.key, r.end_reason from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('far goal') order by 1;
alter database regression reset timezone;
select marketing_automation.stop(s) from unnest(array['far mail', 'far date', 'far goal']) s;
delete from marketing_automation_internal.outbox o using marketing_automation.activity a where a.id = o.activity_id and a.name like 'far %';
