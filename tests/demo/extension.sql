-- What the administrator does once: the extension, and a role for each kind of work.
create extension pg_cron;
create extension marketing_automation;

create role marketing login;
grant usage on schema shop to marketing;
grant select on all tables in schema shop to marketing;
select marketing_automation.grant_access('marketing', 'marketer');

create role tracking login password :'tracking_password';
select marketing_automation.grant_access('tracking', 'tracking');

create role mailer login password :'mailer_password';
select marketing_automation.grant_access('mailer', 'mailer');
