\set SHOW_CONTEXT never
-- Changing a scenario that runs: what takes effect when, and what is refused.
create table shop.member (id integer primary key, name text, email text, level integer not null default 1);
insert into shop.member select i, 'member ' || i, 'member' || i || '@shop.example' from generate_series(1, 3) i;
select marketing_automation.register_model('member', 'shop.member', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('changes', 'member', 'self.id <= 2', unsubscribable => true) > 0 as created;
select marketing_automation.add_activity('changes', 'mail', subject => 'old', body => '{{ record.level }}') > 0 as added;
select marketing_automation.add_activity('changes', 'later', delay => '1 day', action => null) > 0 as added;
select marketing_automation.add_activity('changes', 'unused', parent => 'later', action => null) > 0 as added;
create view shop.change as
    select r.key, a.name, ra.state, ra.outcome, ra.at at time zone 'UTC' as at
    from marketing_automation.record_activity ra
    join marketing_automation.record r on r.id = ra.record_id
    join marketing_automation.activity a on a.id = ra.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'changes';
create function pg_temp.activity(of_name text) returns integer language sql as $$
    select a.id from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'changes' where a.name = of_name $$;

-- Counts: what the domain matches of a draft, what has entered of the others.
select records, blocked from marketing_automation.record_count('changes');
select marketing_automation.run('changes');
select records, blocked from marketing_automation.record_count('changes');
select * from marketing_automation.enroll('changes', '2026-03-01 12:00+00');
select marketing_automation.block(r.uuid) from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'changes' where r.key = '2';
select records, blocked from marketing_automation.record_count('changes');

-- Domain: the next enrolling. Who is in stays in.
update marketing_automation.scenario set domain = 'self.id > 2' where name = 'changes';
select * from marketing_automation.enroll('changes', '2026-03-01 13:00+00');
select records, blocked from marketing_automation.record_count('changes');
-- Templates: mails that are queued, too. Their row is that of the moment when the activity ran.
select marketing_automation.process_due(now => '2026-03-01 13:00+00');
update marketing_automation.activity set subject = 'new' where id = pg_temp.activity('mail');
select t.subject, m.key, m.context ->> 'level' as level from marketing_automation.message m
join marketing_automation_internal.mail_templates(array[pg_temp.activity('mail')]) t on t.activity_id = m.activity_id order by 2;
-- Delay: those who start later. Condition: whenever it runs next; of a root activity also who starts it.
update marketing_automation.activity set delay = '2 days' where id = pg_temp.activity('later');
insert into shop.member values (4, 'member 4', null, 3);
select * from marketing_automation.enroll('changes', '2026-03-01 13:00+00');
update marketing_automation.activity set condition = 'self.level > 2' where id = pg_temp.activity('later');
insert into shop.member values (6, 'member 6', null, 2);
select * from marketing_automation.enroll('changes', '2026-03-01 13:00+00');
select key, state, at from shop.change where name = 'later' order by 1;
call marketing_automation.process_all_due(now => '2026-03-02 13:00+00');
select key, name, state, outcome from shop.change where name = 'later' order by 1;

-- What some wait for cannot become something else: nothing of the tree, once records have entered.
update marketing_automation.activity set parent_id = pg_temp.activity('mail') where id = pg_temp.activity('later');
update marketing_automation.activity set parent_id = pg_temp.activity('mail'), on_event = 'email_opened' where id = pg_temp.activity('unused');
update marketing_automation.activity set action = null where id = pg_temp.activity('mail');
select marketing_automation.add_activity('changes', 'opened', parent => 'mail', on_event => 'email_opened', action => null) > 0 as added;
update marketing_automation.activity set on_event = 'email_clicked' where id = pg_temp.activity('opened');
update marketing_automation.scenario set model = 'customer' where name = 'changes';
update marketing_automation.activity set name = 'read' where id = pg_temp.activity('opened');

-- Deleting: an activity that nobody waits for or has run, with what follows it; no other.
delete from marketing_automation.activity where id = pg_temp.activity('read');
delete from marketing_automation.activity where id = pg_temp.activity('later');
delete from marketing_automation.activity where id = pg_temp.activity('mail');
select marketing_automation.add_activity('changes', 'branch', parent => 'mail', action => null) > 0 as added;
select marketing_automation.add_activity('changes', 'twig', parent => 'branch', subject => 's', body => 'b') > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, subject) values (pg_temp.activity('twig'), 'fr', 's');
delete from marketing_automation.activity where id = pg_temp.activity('branch');
select name from marketing_automation.activity where scenario_id = (select id from marketing_automation.scenario where name = 'changes') order by id;
-- A scenario that nobody has entered goes with all of it; no other.
delete from marketing_automation.scenario where name = 'changes';

-- Adding: for those who come to its parent later; a root for those who enter later.
select marketing_automation.add_activity('changes', 'follow-up', parent => 'mail', delay => '1 day', action => null) > 0 as added;
select marketing_automation.add_activity('changes', 'second root', action => null) > 0 as added;
insert into shop.member values (5, 'member 5', null, 2);
select * from marketing_automation.enroll('changes', '2026-03-03 13:00+00');
call marketing_automation.process_all_due(now => '2026-03-03 13:00+00');
select key, name, state, at from shop.change where name in ('follow-up', 'second root') order by 1, 2;

-- By plain update as by function: only draft, running, stopped, and round again. Waiting work and queued mails are kept meanwhile.
select name, state, count(*) from shop.change where state = 'waiting' group by 1, 2 order by 1;
update marketing_automation.scenario set state = 'draft' where name = 'changes';
update marketing_automation.scenario set state = 'stopped' where name = 'changes';
update marketing_automation.scenario set state = 'running' where name = 'changes';
select * from marketing_automation.enroll('changes');
call marketing_automation.process_all_due(now => '2026-04-01 13:00+00');
select count(*) from marketing_automation_internal.claim_messages(10);
select records, blocked from marketing_automation.record_count('changes');
update marketing_automation.scenario set state = 'draft' where name = 'changes';
-- A draft again: its domain counts, though records have entered.
select records, blocked from marketing_automation.record_count('changes');
call marketing_automation.process_all_due(now => '2026-04-01 13:00+00');
select name, state, count(*) from shop.change where state = 'waiting' group by 1, 2 order by 1;
update marketing_automation.scenario set state = 'running' where name = 'changes';
select * from marketing_automation.enroll('changes', '2026-04-01 13:00+00');
call marketing_automation.process_all_due(now => '2026-04-01 13:00+00');
select name, state, count(*) from shop.change where name in ('follow-up', 'later') group by 1, 2 order by 1, 2;
select count(*) from marketing_automation_internal.claim_messages(10);

-- What it consists of is checked when it starts, as its model may have changed since each part was written.
select marketing_automation.stop('changes');
select marketing_automation.create_scenario('unchecked', 'member') > 0 as created;
select marketing_automation.add_activity('unchecked', 'picky', condition => 'self.level > 1', action => null) > 0 as added;
update marketing_automation.scenario set model = 'customer' where name = 'unchecked';
select marketing_automation.run('unchecked');
update marketing_automation.scenario set model = 'member' where name = 'unchecked';
select marketing_automation.run('unchecked');
update marketing_automation.scenario set model = 'customer' where name = 'unchecked';
select marketing_automation.stop('unchecked');
delete from marketing_automation.scenario where name = 'unchecked';
drop view shop.change;
