\set SHOW_CONTEXT never
-- arm() in a copy with mails that wait: it says what would be sent again, and asks.
create schema archive;
create table archive.reader (id integer primary key, email text not null);
insert into archive.reader select i, format('reader%s@archive.example', i) from generate_series(1, 5) i;
begin;
-- What other tests left is none of this one's.
update marketing_automation.scenario set state = 'stopped' where state = 'running';
delete from marketing_automation_internal.outbox;
delete from marketing_automation_internal.message_log;
select marketing_automation.register_model('reader', 'archive.reader', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('news', 'reader') > 0 as created;
select marketing_automation.add_activity('news', 'first', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('news', 'second', parent => 'first', delay => '1 day', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('news');
select * from marketing_automation.enroll('news');
-- One after the other: which three are taken is known.
update marketing_automation_internal.waiting_activity w set at = w.at - make_interval(mins => 9 - r.key::integer)
from marketing_automation_internal.record r where r.id = w.record_id and r.scenario_id = marketing_automation.scenario_id('news');
select marketing_automation.process_due(3);
update marketing_automation_internal.outbox set created_at = '2026-03-01 12:00+00';
update marketing_automation_internal.waiting_activity set at = '2026-03-02 12:00+00';
update marketing_automation_internal.record set blocked_at = now()
where key = '1' and scenario_id = marketing_automation.scenario_id('news');
-- Where it is armed there is no question.
select marketing_automation.arm();
savepoint armed;
select marketing_automation.arm(resend => false);
rollback to armed;
update marketing_automation_internal.armed set data_directory = '/elsewhere';
select marketing_automation.is_armed();
savepoint asked;
set timezone = 'UTC';
select marketing_automation.arm();
rollback to asked;
-- Nothing is said of activities where none is due.
set timezone = 'UTC';
delete from marketing_automation_internal.waiting_activity;
select marketing_automation.arm();
rollback to asked;
-- They are sent.
select marketing_automation.arm(resend => true);
select marketing_automation.is_armed(), (select count(*) from marketing_automation.message where activity_id in (
    select id from marketing_automation.activity where scenario_id = marketing_automation.scenario_id('news'))) as mails;
rollback to asked;
-- They count as sent, but for those of who has left, and their journeys go on.
select marketing_automation.arm(resend => false);
select m.key, m.state, m.attempts, m.smtp_reply from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id and a.scenario_id = marketing_automation.scenario_id('news') order by m.key::integer;
select a.name, r.state, r.outcome, count(*) from marketing_automation.record_activity r
join marketing_automation.activity a on a.id = r.activity_id and a.scenario_id = marketing_automation.scenario_id('news') group by 1, 2, 3 order by 1, 2;
-- Rows of another database arrive where a mailer is at work: nothing is claimed from then on.
insert into marketing_automation_internal.outbox (id, activity_id, key, email, context, created_at, due_at)
select 0, id, '', 'nobody@archive.example', '{}', now(), now() from marketing_automation.activity
where scenario_id = marketing_automation.scenario_id('news') and name = 'first';
savepoint claimed;
select email from marketing_automation_internal.claim_messages(10);
rollback to claimed;
insert into marketing_automation.origin (system_identifier, database) values (1, 1);
select email from marketing_automation_internal.claim_messages(10);
rollback;
-- A copy in which nothing waits is asked nothing.
begin;
delete from marketing_automation_internal.outbox;
delete from marketing_automation_internal.waiting_activity;
update marketing_automation_internal.armed set data_directory = '/elsewhere';
select marketing_automation.arm();
select marketing_automation.is_armed();
rollback;
drop schema archive cascade;
