\set SHOW_CONTEXT never
-- What a value names may not exist: that is the fault of its row, and not of the expression.
create table shop.linguist (id integer primary key, language text, body text, named text, email text);
insert into shop.linguist select i, 'english', 'cats and dogs', 'pg_class', 'reader' || i || '@shop.example' from generate_series(1, 3000) i;
update shop.linguist set language = 'klingon' where id = 777;
select marketing_automation.register_model('linguist', 'shop.linguist', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('tongues', 'linguist', $$to_tsvector(self.language::regconfig, self.body) @@ 'cat'$$) > 0 as created;
select marketing_automation.add_activity('tongues', 'start', action => null, condition => 'self.named::regclass is not null') > 0 as added;
select marketing_automation.add_activity('tongues', 'later', parent => 'start', action => null, condition => 'self.named::regrole is null') > 0 as added;
update shop.linguist set named = 'no_such_relation' where id = 888;
select marketing_automation.run('tongues');
select * from marketing_automation.enroll('tongues');
select t.last_error_code from marketing_automation.scenario_status t join marketing_automation.scenario s on s.id = t.scenario_id where s.name = 'tongues';
call marketing_automation.process_all_due();
select a.name, ra.state, ra.error_code, min(ra.error) as error, count(*) from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'tongues'
group by 1, 2, 3 order by 1, 2;
-- Nor is a row's value told to who may not see the row, whatever the class of the error.
create role regress_turn_reports;
select marketing_automation.grant_access('regress_turn_reports', 'reader');
set role regress_turn_reports;
select fact from marketing_automation.explain_record('tongues', '777') where about = 'record';
reset role;
-- By their keys they are told from each other likewise.
insert into shop.linguist values (4001, 'english', 'cats', 'pg_class'), (4002, 'romulan', 'cats', 'pg_class'), (4003, 'english', 'cats', 'nothing');
select marketing_automation.enroll_records('tongues', array['4001', '4002', '4003']);
select marketing_automation.enroll_record('tongues', '4002');
-- An expression that is broken itself stops the scenario, and says so by its name.
alter table shop.linguist rename column body to words;
select scenario, enrolled, error from marketing_automation.enroll('tongues');
select marketing_automation.stop('tongues');
alter table shop.linguist rename column words to body;

-- Rows that have the same key stand apart, all others enter.
create table shop.basket (id integer, owner text);
insert into shop.basket select i, 'owner' || i from generate_series(1, 3000) i;
insert into shop.basket values (5, 'another'), (7, 'owner7'), (7, 'third');
create view shop.basket_view as select * from shop.basket;
select marketing_automation.register_model(m, r::regclass, key => 'self.id') from (values ('basket', 'shop.basket'), ('basket view', 'shop.basket_view')) v (m, r);
select marketing_automation.create_scenario(m, m, 'true') > 0 as created from unnest(array['basket', 'basket view']) m;
select marketing_automation.add_activity(m, 'start', action => null) > 0 as added from unnest(array['basket', 'basket view']) m;
select marketing_automation.run(m) from unnest(array['basket', 'basket view']) m;
select scenario, enrolled, error from marketing_automation.enroll() where scenario like 'basket%' order by 1;
select fact from marketing_automation.explain_record('basket', '5') where about = 'record';
select scenario, enrolled, error from marketing_automation.enroll('basket');
delete from shop.basket where owner = 'another';
update shop.basket set owner = 'fourth' where owner = 'third';
select scenario, enrolled, error from marketing_automation.enroll() where scenario like 'basket%' order by 1;
delete from shop.basket where owner = 'fourth' or ctid = (select min(ctid) from shop.basket where owner = 'owner7');
select scenario, enrolled, error from marketing_automation.enroll() where scenario like 'basket%' order by 1;
select s.name, count(*) from marketing_automation_internal.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name like 'basket%' group by 1 order by 1;
select marketing_automation.stop(m) from unnest(array['basket', 'basket view']) m;

-- The search for rows that raise has no more time than the turn, and keeps what it has found.
create table shop.dozer (id integer primary key, email text);
insert into shop.dozer select generate_series(1, 24);
create function shop.doze(id integer) returns integer language plpgsql as $$ begin
    if id % 3 = 0 then perform pg_catalog.pg_sleep(0.02); raise exception 'row % snores', id; end if; return id; end $$;
select marketing_automation.register_model('dozer', 'shop.dozer', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('dozing', 'dozer', 'shop.doze(self.id) > 0') > 0 as created;
select marketing_automation.add_activity('dozing', 'start', action => null) > 0 as added;
select marketing_automation.run('dozing');
set marketing_automation.expression_timeout = '130ms';
set client_min_messages = error;
select enrolled, error from marketing_automation.enroll('dozing');
select t.slow, t.searched_to is not null as goes_on
from marketing_automation_internal.failed_turn t join marketing_automation.scenario s on s.id = t.scenario_id and s.name = 'dozing';
create function shop.turns_of(scenario text) returns table (turns integer, enrolled bigint) language plpgsql as $$
begin
    for turn in 1..100 loop
        turns := turn;
        enrolled := (select e.enrolled from marketing_automation.enroll(scenario) e);
        exit when enrolled > 0;
    end loop;
    return next;
end $$;
select t.turns > 2 as in_turns, t.enrolled from shop.turns_of('dozing') t;
select count(*) from marketing_automation_internal.failed_turn t join marketing_automation.scenario s on s.id = t.scenario_id and s.name = 'dozing';
select count(*) from marketing_automation_internal.poisonous_row p join marketing_automation.scenario s on s.id = p.scenario_id and s.name = 'dozing';
-- So do the condition of a root, which is looked for among the new rows, and those of a batch.
update marketing_automation.scenario set domain = 'true' where name = 'dozing';
update marketing_automation.activity a set condition = 'shop.doze(self.id) > 0' from marketing_automation.scenario s where s.id = a.scenario_id and s.name = 'dozing';
insert into shop.dozer select generate_series(101, 124);
set marketing_automation.expression_timeout = '30s';
select enrolled from marketing_automation.enroll('dozing');
set marketing_automation.expression_timeout = '130ms';
select marketing_automation.process_due() between 0 and 31 as cut;
select t.work, t.slow, t.batch_size between 1 and 31 as smaller from marketing_automation_internal.failed_turn t join marketing_automation.scenario s on s.id = t.scenario_id and s.name = 'dozing';
do $$ begin for turn in 1..100 loop
    exit when not exists (select from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id
        join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'dozing');
    perform marketing_automation.process_due();
end loop; end $$;
select ra.state, count(*) from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name = 'dozing'
group by 1 order by 1;
reset client_min_messages;
reset marketing_automation.expression_timeout;
select marketing_automation.stop('dozing');
select marketing_automation.revoke_access('regress_turn_reports', 'reader');
drop role regress_turn_reports;

-- A simulation has one limit for all that it asks, as a turn has: each of these conditions by itself is quick enough.
select marketing_automation.create_scenario('slow steps', 'linguist', 'self.id = 1') > 0 as created;
select marketing_automation.add_activity('slow steps', 'step 1', action => null, condition => 'pg_sleep(0.2) is not null') > 0 as added;
select count(marketing_automation.add_activity('slow steps', 'step ' || n, parent => 'step ' || n - 1, action => null, condition => 'pg_sleep(0.2) is not null')) as added
from generate_series(2, 4) n;
begin;
set local marketing_automation.expression_timeout = '500ms';
select activity, outcome from marketing_automation.simulate('slow steps', '1');
rollback;
-- What comes after in the transaction has a limit of its own.
begin;
select activity, outcome from marketing_automation.simulate('slow steps', '1');
select current_setting('marketing_automation.turn', true) as turn;
rollback;
select marketing_automation.delete_scenario('slow steps');

-- So have explaining a row, checking a scenario, starting it, and a report of many drafts.
select count(marketing_automation.create_scenario('slow draft ' || n, 'linguist', 'self.id = 1 and pg_sleep(0.2) is not null')) as created from generate_series(1, 4) n;
create function shop.napping(row_id integer) returns text language plpgsql as $$ begin perform pg_sleep(0.2); return 'row' || row_id || '@shop.example'; end $$;
select marketing_automation.register_model('napping', 'shop.linguist', key => 'self.id', party => 'shop.napping(self.id)', email => 'shop.napping(self.id)');
select marketing_automation.create_scenario('napping', 'napping', 'self.id = 1 and shop.napping(self.id) is not null', unsubscribable => false) > 0 as created;
select count(marketing_automation.add_activity('napping', 'mail ' || n, subject => 'x', body => '<p>x</p>')) as added from generate_series(1, 12) n;
set client_min_messages = error;
begin;
set local marketing_automation.expression_timeout = '500ms';
select count(records) between 1 and 2 as some from marketing_automation.scenario_report where scenario like 'slow draft%';
select records from marketing_automation.record_count('slow draft 4');
select bool_or(fact like '%expressions took longer than 0.5 s (53400)') as cut from marketing_automation.explain_record('napping', '1');
select distinct severity, message from marketing_automation.check_scenario('napping') where severity = 'error';
select clock_timestamp() as began \gset
select marketing_automation.run('napping');
select clock_timestamp() - :'began' < '3 s' as in_time;
rollback;
reset client_min_messages;
select marketing_automation.delete_scenario('slow draft ' || n) from generate_series(1, 4) n;
select marketing_automation.delete_scenario('napping');
select marketing_automation.unregister_model('napping');
