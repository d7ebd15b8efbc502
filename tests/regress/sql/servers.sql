\set SHOW_CONTEXT never
-- SMTP servers as rows: what is refused, and how permits are granted. (Sending through them: see tests/e2e.)
insert into marketing_automation.smtp_server (name, url) values ('bad', 'smtp://u:secret@mail.example');
insert into marketing_automation.smtp_server (name, url) values ('bad', 'http://mail.example');
insert into marketing_automation.smtp_server (name, url, password_file) values ('bad', 'smtp://u@mail.example', 'relative');
insert into marketing_automation.smtp_server (name, url, sender_domain) values ('bad', 'smtp://mail.example', 'no domain@');
insert into marketing_automation.smtp_server (name, url, sender_domain, enabled) values ('good', 'smtp://mail.example', 'Bücher.example', false)
returning sender_domain, priority, weight, connections;

-- Who may write a row has the server read files: superusers only, whatever was granted.
create role regress_servers;
select marketing_automation.grant_access('regress_servers', 'marketer');
set role regress_servers;
insert into marketing_automation.smtp_server (name, url) values ('mine', 'smtp://mail.example');
select url from marketing_automation.smtp_server;
select name, state from marketing_automation.smtp_server_status;
reset role;
grant insert on marketing_automation.smtp_server to regress_servers;
set role regress_servers;
insert into marketing_automation.smtp_server (name, url) values ('mine', 'smtp://mail.example');
reset role;
drop owned by regress_servers;
drop role regress_servers;

-- A pace: the mails of a second at once, then as time passes; what is in hand counts. In one transaction time stands still
-- for now(), not for the bucket: so it is moved by hand.
insert into marketing_automation.smtp_server (name, url, per_second, enabled) values ('paced', 'smtp://mail.example', 4, false);
select * from marketing_automation_internal.grant_send_tokens('{paced}', '{0}', 100);
update marketing_automation_internal.smtp_usage set refilled_at = statement_timestamp() + interval '1 minute' where server = 'paced';
select * from marketing_automation_internal.grant_send_tokens('{paced}', '{0}', 100);
update marketing_automation_internal.smtp_usage set refilled_at = statement_timestamp() - interval '1 hour' where server = 'paced';
select * from marketing_automation_internal.grant_send_tokens('{paced}', '{3}', 100);
update marketing_automation_internal.smtp_usage set refilled_at = statement_timestamp() - interval '1 hour' where server = 'paced';
select * from marketing_automation_internal.grant_send_tokens('{paced}', '{0}', 2);
-- Whoever has waited with all of it in hand has no more behind it.
update marketing_automation_internal.smtp_usage set refilled_at = statement_timestamp() - interval '1 hour' where server = 'paced';
select server, permits from marketing_automation_internal.grant_send_tokens('{paced}', '{4}', 100);
select tokens, statement_timestamp() - refilled_at < interval '30 minutes' as counts_from_now from marketing_automation_internal.smtp_usage
where server = 'paced';
-- Or is said to have been used in an hour, as the clock was set back.
update marketing_automation_internal.smtp_usage set tokens = 0, refilled_at = statement_timestamp() + interval '1 hour' where server = 'paced';
select server, permits > 0 as some from marketing_automation_internal.grant_send_tokens('{paced}', '{0}', 2);

-- Days are those of the database.
select timezone(marketing_automation.database_time_zone(), now())::date as today \gset
-- A ramp: by day, a missing one as the last before it, none after the last.
insert into marketing_automation.smtp_warmup values ('new', 1, 5), ('new', 3, 8);
insert into marketing_automation.smtp_server (name, url, warmup_started, enabled) values ('new', 'smtp://mail.example', date :'today', false);
select server, permits, is_spent from marketing_automation_internal.grant_send_tokens('{new}', '{0}', 4);
select server, permits, is_spent from marketing_automation_internal.grant_send_tokens('{new}', '{0}', 4);
select server, permits, is_spent, wait_seconds between 0 and 90000 as until_tomorrow from marketing_automation_internal.grant_send_tokens('{new}', '{1}', 4);
select taken_today, daily from marketing_automation_internal.smtp_allowance where server = 'new';
update marketing_automation.smtp_server set warmup_started = date :'today' - 1 where name = 'new';
select daily from marketing_automation_internal.smtp_allowance where server = 'new';
update marketing_automation.smtp_server set warmup_started = date :'today' - 3 where name = 'new';
select daily from marketing_automation_internal.smtp_allowance where server = 'new';
update marketing_automation.smtp_server set warmup_started = date :'today' + 1 where name = 'new';
select daily from marketing_automation_internal.smtp_allowance where server = 'new';
-- Yesterday's mails do not count today.
update marketing_automation.smtp_server set warmup_started = date :'today' where name = 'new';
update marketing_automation_internal.smtp_usage set day = date :'today' - 1 where server = 'new';
select server, permits, is_spent from marketing_automation_internal.grant_send_tokens('{new}', '{0}', 100);

-- The day is the same for whoever asks, and for who has no more than the right to read: these two zones never have the same one.
insert into marketing_automation.smtp_warmup values ('zone', 1, 1), ('zone', 2, 2), ('zone', 3, 3), ('zone', 4, 4);
insert into marketing_automation.smtp_server (name, url, warmup_started) values ('zone', 'smtp://mail.example', date :'today' - 1);
create role regress_servers;
select marketing_automation.grant_access('regress_servers', 'marketer');
set role regress_servers;
set timezone = 'Pacific/Kiritimati';
select allowed_today from marketing_automation.smtp_server_status where name = 'zone';
set timezone = 'Etc/GMT+12';
select allowed_today from marketing_automation.smtp_server_status where name = 'zone';
reset role;
select server, permits, is_spent from marketing_automation_internal.grant_send_tokens('{zone}', '{0}', 1);
set timezone = 'Pacific/Kiritimati';
select server, permits, is_spent, wait_seconds between 0 and 90000 as until_tomorrow
from marketing_automation_internal.grant_send_tokens('{zone}', '{0}', 4);
select taken_today, daily, today = :'today' as is_today from marketing_automation_internal.smtp_allowance where server = 'zone';
reset timezone;
delete from marketing_automation.smtp_server where name = 'zone';
drop owned by regress_servers;
drop role regress_servers;

-- How a server is doing.
update marketing_automation.smtp_server set enabled = true where name = 'new';
select marketing_automation_internal.report_server('new', 60, 'connection refused');
select state, paused_until > now() as paused, last_error from marketing_automation.smtp_server_status where name = 'new';
select marketing_automation_internal.report_server('new', null, null);
select state, paused_until, last_error from marketing_automation.smtp_server_status where name = 'new';
delete from marketing_automation.smtp_server;
delete from marketing_automation.smtp_warmup;
delete from marketing_automation_internal.smtp_usage;
