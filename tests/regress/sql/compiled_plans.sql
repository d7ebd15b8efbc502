\set SHOW_CONTEXT never
set timezone = 'UTC';
-- No statement of ours is compiled (chapter "Just-in-Time Compilation"): that takes 10 ms and more each time, where these run for less. It
-- happens where the planner thinks a hundred times too many rows of a function. The compiler is a library that stays once it is loaded.
create schema plans;
create table plans.customer (id integer primary key, email text, name text, paid boolean not null default false);
insert into plans.customer select i, 'plans' || i || '@plans.example', 'n' || i from generate_series(1, 20) i;
create function plans.compiled() returns boolean language sql as $$
    select pg_read_file('/proc/self/maps') like '%llvmjit%'
$$;
select count(marketing_automation.register_model('plans customer', 'plans.customer', key => 'self.id', party => '''plans '' || self.id',
    email => 'self.email', recipient_name => 'self.name')) as registered;
select marketing_automation.create_scenario('plans', 'plans customer', goal => 'self.paid') > 0 as created;
select marketing_automation.add_activity('plans', 'hello', subject => 'Hello {{ record.name }}', body => '<a href="https://plans.example/">x</a>') > 0 as added;
select marketing_automation.add_activity('plans', 'other', parent => 'hello', on_event => 'variant', action => null, share => 50, subject => 'Hi',
    body => '<p>Hi</p>') > 0 as added;
select marketing_automation.add_activity('plans', 'again', parent => 'hello', on_event => 'email_clicked', subject => 'Again', body => 'b',
    condition => 'not self.paid') > 0 as added;
select marketing_automation.add_activity('plans', 'reminder', parent => 'hello', on_event => 'email_not_clicked', delay => '1 day', subject => 'Reminder', body => 'b') > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, subject)
select a.id, 'fr', 'Bonjour' from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
where s.name = 'plans' and a.name = 'hello';
select plans.compiled() as by_defining;
select count(*) > 0 as checked from marketing_automation.check_scenario('plans');
select plans.compiled() as by_checking;
begin;
-- What other tests have left may be compiled as its owner likes.
update marketing_automation.scenario set state = 'stopped' where state = 'running';
select marketing_automation.run('plans') is not null as runs;
select enrolled from marketing_automation.enroll('plans');
select plans.compiled() as by_enrolling;
do $$ begin while marketing_automation.process_due(1000) > 0 loop end loop; end $$;
select plans.compiled() as by_processing;
savepoint queued;
select count(*) > 0 as claimed from marketing_automation_internal.claim_messages(1000) c where c.email like '%@plans.example';
select plans.compiled() as by_claiming;
rollback to queued;
select marketing_automation.apply_goals() is not null as applied;
select marketing_automation.apply_exits() is not null as applied;
select marketing_automation.apply_waits() is not null as applied;
select marketing_automation.apply_events() is not null as applied;
select plans.compiled() as by_applying;
select count(*) > 0 as told from marketing_automation.tree('plans');
select plans.compiled() as by_tree;
select count(*) > 0 as told from marketing_automation.explain_record('plans', '1');
select count(*) > 0 as told from marketing_automation.simulate('plans', '1');
select plans.compiled() as by_explaining;
select count(*) as told from marketing_automation.report('plans');
select count(*) as told from marketing_automation.activity_report where scenario = 'plans';
select count(*) as told from marketing_automation.scenario_report where scenario = 'plans';
select count(*) as told from marketing_automation.variant_report('plans');
select count(*) as told from marketing_automation.uplift_report('plans');
select plans.compiled() as by_reporting;
rollback;
