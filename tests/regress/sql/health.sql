\set SHOW_CONTEXT never
-- health(): each fault is told by its own check, with the statement that helps. (The worker's states: see tests/e2e; pg_cron's jobs: schedule_jobs.)
create schema clinic;
create view clinic.sick as
    select name, status, hint from marketing_automation.health()
    where status <> 'ok' and name !~ '^(worker|.*job.*)$' and name <> 'retention';
begin;
-- What other tests left is none of this one's.
delete from marketing_automation_internal.waiting_activity;
delete from marketing_automation_internal.outbox;
delete from marketing_automation_internal.event_inbox;
update marketing_automation.scenario_status set (last_error, last_error_code, last_error_at, last_error_activity_id) = row (null, null, null, null);
select * from clinic.sick;
select name, status from marketing_automation.health() where name = 'retention';

create table clinic.patient (id integer primary key, email text not null);
insert into clinic.patient select i, format('patient%s@clinic.example', i) from generate_series(1, 3) i;
select marketing_automation.register_model('patient', 'clinic.patient', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('checkup', 'patient') > 0 as created;
select marketing_automation.add_activity('checkup', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.run('checkup');
select * from marketing_automation.enroll('checkup');
-- Due, and nobody processes.
update marketing_automation_internal.waiting_activity set at = now() - interval '20 minutes';
select * from clinic.sick;
update marketing_automation_internal.waiting_activity set at = now() - interval '2 hours';
select name, status, message like 'the oldest has been due for 02:0%, in scenario "checkup"' as tells from marketing_automation.health() where name = 'due_activities';
select marketing_automation.process_due();
-- Queued, and nobody sends: by reason.
update marketing_automation_internal.outbox set due_at = now() - interval '2 hours';
select * from clinic.sick;
insert into marketing_automation.domain_limit (domain, per_second) values ('clinic.example', 0);
update marketing_automation_internal.outbox set domain_queue = 'clinic.example';
select name, status, message ~ '^the oldest has waited for 02:0\d:\d\d for the limit of its domain$' as tells
from marketing_automation.health() where name = 'queued_mails_limited';
select * from clinic.sick;
select marketing_automation.stop('checkup');
select name, message ~ '^the oldest has waited for 02:0\d:\d\d for its scenario to run again$' as tells
from marketing_automation.health() where name = 'queued_mails_stopped';
select * from clinic.sick;
update marketing_automation_internal.outbox set state = 'in_doubt', attempts = 1, due_at = 'infinity';
select name, status, message, hint from marketing_automation.health() where name = 'mails_in_doubt';
select marketing_automation.pause('spring clean');
select name, status, message ~ 'spring clean$' as tells, hint from marketing_automation.health() where name = 'pause';
select marketing_automation.draft('checkup');
select marketing_automation.run('checkup');
delete from marketing_automation.domain_limit where domain = 'clinic.example';
update marketing_automation_internal.outbox set state = 'queued', due_at = now() - interval '2 hours';
select name, status, message ~ '^the oldest has waited for 02:0\d:\d\d: sending is paused$' as tells
from marketing_automation.health() where name = 'queued_mails_paused';
select name, label, round(value / 7200) as value from marketing_automation.metric
where name = 'marketing_automation_backlog_seconds' and value > 0 order by label;
select marketing_automation.resume();
delete from marketing_automation_internal.outbox;
-- A failing scenario, by name and code: the message may hold values of rows.
insert into marketing_automation.scenario_status (scenario_id, last_error, last_error_code, last_error_at)
values (marketing_automation.scenario_id('checkup'), 'invalid input syntax for type integer: "secret"', '22P02', '2026-03-01 12:00+00')
on conflict (scenario_id) do update set (last_error, last_error_code, last_error_at) = row (excluded.last_error, excluded.last_error_code, excluded.last_error_at);
select name, status, message, hint from marketing_automation.health() where name = 'scenarios';
insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, method, error, error_code)
values (gen_random_uuid(), now(), 'email_opened', 1, 1, 'GET', 'broken', 'XX000');
select name, status, message, hint from marketing_automation.health() where name = 'events';
delete from marketing_automation_internal.event_inbox;
insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, method)
values (gen_random_uuid(), now() - interval '20 minutes', 'email_opened', 1, 1, 'GET');
select name, status, message like 'the oldest of those to be applied is of 20%' as tells, hint from marketing_automation.health() where name = 'events';
update marketing_automation_internal.tracking_key set valid_until = now() + interval '1 day';
select name, status, message like 'the last key ends at 20%' as tells, hint from marketing_automation.health() where name = 'tracking_key';
update marketing_automation_internal.tracking_key set valid_until = '2001-01-01';
select name, status, message, hint from marketing_automation.health() where name = 'tracking_key';
-- Servers: one of two, then both.
insert into marketing_automation.smtp_server (name, url) values ('clinic one', 'smtp://127.0.0.1:1'), ('clinic two', 'smtp://127.0.0.1:2');
select marketing_automation_internal.report_server('clinic one', 60, 'connection refused');
select name, status, message, hint from marketing_automation.health() where name = 'servers';
select marketing_automation_internal.report_server('clinic two', 60, 'connection refused');
select name, status, message from marketing_automation.health() where name = 'servers';
-- SQL and library of different versions.
update pg_extension set extversion = '0.0.9' where extname = 'marketing_automation';
select name, status, replace(message, marketing_automation_internal.library_version(), 'THIS') as message, hint
from marketing_automation.health() where name = 'versions';
-- Mails that should have been purged, and a partition that is not there.
set marketing_automation.message_retention = '90d';
select name, status from marketing_automation.health() where name in ('partitions', 'retention') order by name;
insert into marketing_automation_internal.message_log (id, activity_id, key, email, context, created_at, state, attempts, finished_at, bucket)
values (0, 0, '', '', '{}', now(), 'failed', 1, now(), marketing_automation_internal.log_bucket(now() - interval '150 days'));
select name, status, message, hint from marketing_automation.health() where name = 'partitions';
alter table marketing_automation_internal.message_log detach partition marketing_automation_internal.message_log_7;
select name, status, message, hint from marketing_automation.health() where name = 'partitions';

-- The same as numbers.
select name, scenario, label, value from marketing_automation.metric
where scenario = 'checkup' or label in ('tracking_key', 'scenarios', 'pause') order by name, scenario, label;
-- Enough for monitoring, and no more.
create role regress_monitor;
select marketing_automation.grant_access('regress_monitor', 'monitor');
grant select on clinic.sick to regress_monitor;
grant usage on schema clinic to regress_monitor;
set role regress_monitor;
select count(*) > 10 as checks from marketing_automation.health();
select count(*) > 10 as numbers from marketing_automation.metric;
select * from marketing_automation.scenario_status;
rollback;
drop schema clinic cascade;
