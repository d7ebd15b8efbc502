-- Settings are checked when they are set.
set marketing_automation.automation_base = 'https://track.example/path';
set marketing_automation.automation_base = 'ftp://track.example';
set marketing_automation.automation_base = 'track.example';
set marketing_automation.automation_base = 'https://track.example:8443';
set marketing_automation.smtp_url = 'gopher://mail.example';
set marketing_automation.smtp_url = 'smtp://user:secret@mail.example';
set marketing_automation.smtp_url = 'file://relative/dir';
set marketing_automation.smtp_url = 'smtp://user@mail.example:587?tls=required';
set marketing_automation.smtp_url = 'file:///var/mail/out';
set marketing_automation.smtp_url = '';
set marketing_automation.bounce_address = 'Shop <bounces@shop.example>';
set marketing_automation.bounce_address = 'a-very-long-mailbox@shop.example';
set marketing_automation.bounce_address = 'bounces@shop.example';
set marketing_automation.unsubscribe_address = 'a-very-long-mailbox@shop.example';
set marketing_automation.unsubscribe_address = 'leave@shop.example';
set marketing_automation.feedback_sender = 'shop';
set marketing_automation.feedback_sender = 'shop.example:mail';
set marketing_automation.feedback_sender = 'shop.example';
set marketing_automation.provider_headers = 'postmark, mailgun';
set marketing_automation.provider_headers = 'postmark, SendGrid';
reset marketing_automation.provider_headers;
set marketing_automation.staging_mailbox = 'Shop <staging@shop.example>';
set marketing_automation.staging_mailbox = 'staging';
set marketing_automation.staging_mailbox = '';
select count(*) from marketing_automation.health() where name = 'staging';
set marketing_automation.staging_mailbox = 'staging@shop.example';
select status, message, hint from marketing_automation.health() where name = 'staging';
begin;
select marketing_automation.arm();
rollback;
reset marketing_automation.staging_mailbox;
set marketing_automation.dkim_keys = 'shop.example s2026';
set marketing_automation.dkim_keys = 'shop.example s2026 key.pem';
set marketing_automation.dkim_keys = 'shop.example s2026 /etc/a.pem, Shop.example s2027 /etc/b.pem';
set marketing_automation.dkim_keys = 'shop.example s2026 /etc/a.pem, other.example s2026 /etc/b.pem';
set marketing_automation.batch_size = 0;
set marketing_automation.in_doubt = 'maybe';
set marketing_automation.nonsense = 1;
select name, context, min_val, max_val, unit from pg_settings where name like 'marketing\_automation.%' order by name;
-- A sender whose mails another domain signs.
set marketing_automation.dkim_domain = 'main.example';
\o /dev/null
select marketing_automation.create_scenario('settings_signed', model => 'party', domain => 'false');
\o
select marketing_automation.add_activity('settings_signed', 'own', sender => 'Shop <news@mail.shop.example>', subject => 's',
    body => 'b') is not null as added;
select marketing_automation.add_activity('settings_signed', 'default', sender => 'news@main.example', subject => 's',
    body => 'b') is not null as added;
select marketing_automation.add_activity('settings_signed', 'foreign', sender => 'news@third.example', subject => 's',
    body => 'b') is not null as added;
delete from marketing_automation.scenario where name = 'settings_signed';
reset marketing_automation.dkim_domain;
reset marketing_automation.dkim_keys;
create role regress_user;
set role regress_user;
set marketing_automation.smtp_url = 'file:///tmp';
-- PostgreSQL words this refusal, and not the same in each version.
\set VERBOSITY sqlstate
show marketing_automation.smtp_password_file;
\set VERBOSITY default
reset role;
drop role regress_user;
