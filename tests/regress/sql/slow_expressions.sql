\set SHOW_CONTEXT never
-- Expressions have a limit of time of their own: it ends the turn of their scenario, and nobody else's.
create table shop.tortoise (id integer primary key);
insert into shop.tortoise select generate_series(1, 10);
select marketing_automation.register_model('tortoise', 'shop.tortoise', key => 'self.id');
select marketing_automation.create_scenario('slow', 'tortoise', 'pg_sleep(30) is null') > 0 as created;
select marketing_automation.create_scenario('quick', 'tortoise', 'self.id <= 3') > 0 as created;
select marketing_automation.add_activity(s, 'start', action => null) > 0 as added from unnest(array['slow', 'quick']) s;
select marketing_automation.run('slow'), marketing_automation.run('quick');
set marketing_automation.expression_timeout = '100ms';
select * from marketing_automation.enroll() where scenario in ('slow', 'quick');
select s.name, t.last_error, t.last_error_code from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id
where s.name in ('slow', 'quick') and t.last_error is not null;
select fact from marketing_automation.explain_record('quick', '1') limit 1 \gset
select :'fact' like 'entered %' as entered;
-- Whoever failed goes to the end of the line.
insert into shop.tortoise values (0);
select scenario, enrolled, error from marketing_automation.enroll() where scenario in ('slow', 'quick');
insert into shop.tortoise values (-1);
select scenario, enrolled from marketing_automation.enroll_next();
-- Of what statement_timeout of the caller leaves, expressions have half: the rest is for others, and to say so.
set marketing_automation.expression_timeout = '30s';
set statement_timeout = '4s';
set client_min_messages = error;
select scenario, enrolled, regexp_replace(error, '[0-9.]+', 'N') as error from marketing_automation.enroll('slow');
reset client_min_messages;
reset statement_timeout;
update marketing_automation.scenario set domain = 'self.id > 8' where name = 'slow';
select scenario, enrolled, error from marketing_automation.enroll('slow');
select t.work from marketing_automation_internal.failed_turn t join marketing_automation.scenario s on s.id = t.scenario_id where s.name = 'slow';

-- A slow condition is due longest, and yet the others run; of slow rows a smaller batch is tried.
update marketing_automation.scenario set domain = 'true' where name = 'slow';
select marketing_automation.add_activity('slow', 'doze', parent => 'start', condition => 'pg_sleep(0.04) is not null', action => null) > 0 as added;
select marketing_automation.add_activity('quick', 'next', parent => 'start', action => null) > 0 as added;
set marketing_automation.expression_timeout = '30s';
select scenario, enrolled, error from marketing_automation.enroll('slow', '2026-03-01 12:00+00');
select scenario, enrolled, error from marketing_automation.enroll('quick', '2026-03-01 12:01+00');
update marketing_automation_internal.waiting_activity w set at = '2026-03-01 12:00+00'
from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id where a.id = w.activity_id and s.name = 'quick';
create view shop.pace as
    select s.name as scenario, a.name as activity, ra.state, count(*) from marketing_automation.record_activity ra
    join marketing_automation.activity a on a.id = ra.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id and s.name in ('slow', 'quick') group by 1, 2, 3;
set marketing_automation.expression_timeout = '250ms';
call marketing_automation.process_all_due();
select * from shop.pace order by 1, 2, 3;
select t.work, a.name, t.slow, t.batch_size < 10 as smaller from marketing_automation_internal.failed_turn t join marketing_automation.activity a on a.id = t.activity_id and a.name = 'doze';
select t.last_error from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id where s.name = 'slow';
reset marketing_automation.expression_timeout;
select marketing_automation.stop('slow'), marketing_automation.stop('quick');
