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
set marketing_automation.batch_size = 0;
set marketing_automation.in_doubt = 'maybe';
set marketing_automation.nonsense = 1;
select name, context, min_val, max_val, unit from pg_settings where name like 'marketing\_automation.%' order by name;
create role regress_user;
set role regress_user;
set marketing_automation.smtp_url = 'file:///tmp';
-- PostgreSQL words this refusal, and not the same in each version.
\set VERBOSITY sqlstate
show marketing_automation.smtp_password_file;
\set VERBOSITY default
reset role;
drop role regress_user;
