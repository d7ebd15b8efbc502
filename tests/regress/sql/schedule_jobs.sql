\set SHOW_CONTEXT never
-- pg_cron is not installed yet: the error says what to do. Then jobs are made, replaced and removed.
select * from marketing_automation.schedule_jobs();
create role regress_operator;
select marketing_automation.grant_access('regress_operator', 'operator');
set role regress_operator;
select * from marketing_automation.schedule_jobs();
reset role;
create extension pg_cron;
grant usage on schema cron to regress_operator;
select * from marketing_automation.schedule_jobs();
select jobname, schedule, command, database from cron.job order by jobname;
-- health() looks at them by what they call.
select name, status, hint from marketing_automation.health() where name like '%\_job';
select count(cron.unschedule(jobid)) from cron.job where command like '%process%';
select name, message, hint from marketing_automation.health() where name = 'process_job';
select * from marketing_automation.schedule_jobs(enroll => '0 6 * * *');
select jobname, schedule from cron.job order by jobname;
select * from marketing_automation.schedule_jobs(process => 'sometimes');
select marketing_automation.unschedule_jobs();
select marketing_automation.unschedule_jobs();
select count(*) from cron.job;
-- Those of an operator are the operator's.
set role regress_operator;
select job, schedule from marketing_automation.schedule_jobs();
reset role;
select jobname, username from cron.job order by jobname;
select marketing_automation.unschedule_jobs();
set role regress_operator;
select marketing_automation.unschedule_jobs();
reset role;
drop extension pg_cron;
drop owned by regress_operator;
drop role regress_operator;
-- It lives in another database: the hint is what to run there.
\connect postgres
create extension marketing_automation;
\set SHOW_CONTEXT never
select marketing_automation.schedule_jobs();
select marketing_automation.unschedule_jobs();
drop extension marketing_automation;
\connect regression
