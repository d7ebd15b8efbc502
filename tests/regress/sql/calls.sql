\set SHOW_CONTEXT never
-- Calls: an SQL expression with the right to write, in the transaction in which its activity is done; what it returns is kept.
set timezone = 'UTC';
set datestyle = 'ISO';
create role regress_cal;
create role regress_mia;
create schema calls authorization regress_cal;
select marketing_automation.grant_access('regress_cal', 'marketer');
set role regress_cal;
create table calls.customer (id integer primary key, name text, email text, divisor integer not null default 1);
create table calls.voucher (code text primary key, customer_id integer not null, made_by name not null default current_user);
insert into calls.customer select i, 'Customer ' || i, 'c' || i || '@calls.example' from generate_series(1, 1000) i;
create function calls.make_voucher(of_customer integer, percent integer) returns calls.voucher language sql as $$
    insert into calls.voucher (code, customer_id) values ('V' || percent || '-' || of_customer, of_customer) returning *
$$;
select marketing_automation.register_model('buyer of calls', 'calls.customer', key => 'self.id', party => 'self.id', email => 'self.email', recipient_name => 'self.name');
reset role;
create function calls.send_all() returns void language sql as $$
    select marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempt), array_agg('sent'::text), array_agg('250 ok'::text),
        array_agg(0::double precision)) from marketing_automation_internal.claim_messages(100000) c having count(*) > 0
$$;
create function calls.play() returns void language plpgsql as $$
begin
    loop
        exit when marketing_automation.process_due(1000) = 0;
    end loop;
end $$;
create function calls.outcomes(of_scenario text) returns table (activity text, state text, outcome text, error text, error_code text, records bigint)
language sql as $$
    select a.name, ra.state, ra.outcome, ra.error, ra.error_code, count(*)
    from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
    where a.scenario_id = marketing_automation.scenario_id(of_scenario) group by a.id, 1, 2, 3, 4, 5 order by a.id, 2, 3, 4
$$;

-- A voucher is made, mailed in the next step, and read by conditions after it.
set role regress_cal;
select marketing_automation.create_scenario('voucher', 'buyer of calls', domain => 'self.id <= 3') > 0 as created;
select marketing_automation.add_activity('voucher', 'make', action => 'call', call => 'calls.make_voucher(self.id, 10)') > 0 as added;
select marketing_automation.add_activity('voucher', 'tell', 'make', subject => 'Your {{ results.make.code }}',
    body => '<p>{{ record.name }}: {{ results.make.code }}</p>') > 0 as added;
select marketing_automation.add_activity('voucher', 'second', 'make', action => null, condition => 'record.results #>> ''{make,code}'' = ''V10-2''') > 0 as added;
select marketing_automation.add_activity('voucher', 'not the second', 'second', 'condition_not_met', action => 'call',
    call => '(record.results -> ''make'' ->> ''code'') || ''!'' || self.name') > 0 as added;
select marketing_automation.run('voucher');
reset role;
select tree from marketing_automation.tree('voucher');
select severity, activity, message, hint from marketing_automation.check_scenario('voucher') where message !~ 'unsubscribe|recorded';
-- A simulation says so, and calls nothing; a rehearsal calls, and takes it back.
select activity, outcome, detail from marketing_automation.simulate('voucher', '1');
select activity, sum(entered) as entered, sum(mailed) as mailed, sum(failed) as failed
from marketing_automation.rehearse('voucher', now() + interval '1 day', opens => 0, clicks => 0) group by 1 order by 1 nulls first;
select count(*) from calls.voucher;
select count(*) from marketing_automation_internal.call_result;
begin;
select enrolled from marketing_automation.enroll('voucher');
select calls.play();
rollback;
select count(*) from calls.voucher;
select enrolled from marketing_automation.enroll('voucher');
select calls.play();
-- As the owner, whoever processes.
select code, customer_id, made_by from calls.voucher order by code;
select r.key, a.name, ra.state, ra.outcome, ra.result from marketing_automation.record_activity ra
join marketing_automation.record r on r.id = ra.record_id and r.scenario_id = marketing_automation.scenario_id('voucher')
join marketing_automation.activity a on a.id = ra.activity_id order by r.key, a.id;
select m.key, m.context from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
where a.scenario_id = marketing_automation.scenario_id('voucher') order by m.key;
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('voucher', '1');
select tree from marketing_automation.tree('voucher');
select subject, text from marketing_automation.preview('voucher', 'tell', '2');
select severity, activity, message from marketing_automation.check_scenario('voucher') where message !~ 'unsubscribe|recorded';
-- What is queued takes along what its templates begin to use.
update marketing_automation.activity set subject = 's', body = '<p>b</p>' where name = 'tell' and scenario_id = marketing_automation.scenario_id('voucher');
update marketing_automation.scenario set domain = 'self.id <= 4' where name = 'voucher';
select enrolled from marketing_automation.enroll('voucher');
select calls.play();
select m.context from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
where m.key = '4' and a.scenario_id = marketing_automation.scenario_id('voucher');
update marketing_automation.activity set subject = '{{ results.make.code }}' where name = 'tell' and scenario_id = marketing_automation.scenario_id('voucher');
select m.context from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
where m.key = '4' and a.scenario_id = marketing_automation.scenario_id('voucher');
select calls.send_all();
-- Who sees only numbers, or may not read the rows, sees no results.
create role regress_noa;
select marketing_automation.grant_access('regress_noa', 'reader');
set role regress_noa;
select count(*), count(ra.result) from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id where a.name = 'make';
select fact ~ 'its call returned what is for who may read the row' as hidden from marketing_automation.explain_record('voucher', '1') where about ~ 'make';
set role regress_cal;
-- As JSON, to another scenario, and the same again.
select marketing_automation.copy_scenario('voucher', 'voucher, again') > 0 as copied;
select a.name, a.action, a.call from marketing_automation.activity a where a.scenario_id = marketing_automation.scenario_id('voucher, again') order by a.id;
select * from marketing_automation.import_scenario(marketing_automation.export_scenario('voucher'), name => 'voucher, again');
select marketing_automation.add_activity('voucher, again', 'make', action => 'call', call => 'calls.make_voucher(self.id, 20)', replace => true) > 0 as replaced;
select change, object, attribute, before, after from marketing_automation.import_scenario(marketing_automation.export_scenario('voucher'), name => 'voucher, again', dry_run => true);
select marketing_automation.delete_scenario('voucher, again');
select marketing_automation.stop('voucher');

-- Values of all kinds; null; nothing; and a call on the results of calls.
create function calls.nothing() returns void language sql as '';
select marketing_automation.create_scenario('values', 'buyer of calls', domain => 'self.id = 1') > 0 as created;
select count(marketing_automation.add_activity('values', name, parent, action => 'call', call => call)) as added
from (values ('number', null, '12.50'), ('text', 'number', '''x'''), ('null', 'text', 'null'), ('void', 'null', 'calls.nothing()'),
    ('row', 'void', 'row(self.id, self.name)'), ('array', 'row', 'array[self.id, 2]'), ('json', 'array', '''{"a": [1]}''::jsonb'),
    ('all', 'json', 'record.results -> ''json'' || jsonb_build_object(''n'', record.results -> ''number'')')) a (name, parent, call);
select marketing_automation.run('values');
select enrolled from marketing_automation.enroll('values');
select calls.play();
select a.name, ra.result from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
where a.scenario_id = marketing_automation.scenario_id('values') order by a.id;
select marketing_automation.stop('values');

-- What raises for one record fails for that one alone, and leaves nothing; the rest of the batch goes through.
create function calls.divide(of_customer integer) returns numeric language plpgsql as $$
declare divisor integer;
begin
    insert into calls.voucher (code, customer_id) values ('D' || of_customer, of_customer);
    select c.divisor into divisor from calls.customer c where c.id = of_customer;
    return 100.0 / divisor;
end $$;
update calls.customer set divisor = 0 where id in (7, 500, 1000);
select marketing_automation.create_scenario('divide', 'buyer of calls') > 0 as created;
select marketing_automation.add_activity('divide', 'call', action => 'call', call => 'calls.divide(self.id)') > 0 as added;
select marketing_automation.add_activity('divide', 'then', 'call', action => null) > 0 as added;
select marketing_automation.add_activity('divide', 'failed', 'call', 'call_failed', delay => '1 hour', action => null) > 0 as added;
select marketing_automation.run('divide');
reset role;
select enrolled from marketing_automation.enroll('divide');
select about, fact from marketing_automation.explain_record('divide', '9') where about ~ '(then|failed)$';
select marketing_automation.process_due(1000);
select calls.play();
select * from calls.outcomes('divide');
select count(*), count(*) filter (where customer_id in (7, 500, 1000)) as of_failed from calls.voucher where code ~ '^D';
select count(*) from marketing_automation_internal.call_result c join marketing_automation.activity a on a.id = c.activity_id
where a.scenario_id = marketing_automation.scenario_id('divide');
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('divide', '7');
select about, regexp_replace(fact, '\d{4}-[-0-9 :+]+', '… ', 'g') as fact from marketing_automation.explain_record('divide', '8');
-- Again, for one of them, as long as it fails; then it has never failed.
select count(marketing_automation.retry(ra)) as retried from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
where r.scenario_id = marketing_automation.scenario_id('divide') and r.key = '7' and ra.state = 'failed';
select count(*) as waits from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'failed'
where r.scenario_id = marketing_automation.scenario_id('divide') and r.key = '7';
select calls.play();
select count(*) as waits from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'failed'
where r.scenario_id = marketing_automation.scenario_id('divide') and r.key = '7';
update calls.customer set divisor = 4 where id = 7;
select count(marketing_automation.retry(ra)) as retried from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
where r.scenario_id = marketing_automation.scenario_id('divide') and r.key = '7' and ra.state = 'failed';
select calls.play();
select a.name, ra.state, ra.result from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
join marketing_automation.activity a on a.id = ra.activity_id where r.scenario_id = marketing_automation.scenario_id('divide') and r.key = '7' order by a.id;
select count(*) from calls.voucher where code = 'D7';
select marketing_automation.stop('divide');

-- Never more than the owner: whatever a function tries fails that record, and leaves nothing.
set role regress_cal;
create table calls.deferred (id integer primary key);
create function calls.at_commit() returns trigger language plpgsql as $$
begin
    insert into calls.voucher (code, customer_id) values ('commit ' || current_user, 0);
    return null;
end $$;
create constraint trigger late after insert on calls.deferred deferrable initially deferred for each row execute function calls.at_commit();
create function calls.try(what integer) returns text language plpgsql as $$
begin
    case what
        when 1 then set local role regress_mia;
        when 2 then set local session authorization default;
        when 3 then commit;
        when 4 then create temporary table fooled (id integer);
        when 5 then insert into calls.deferred values (5);
        when 6 then insert into calls_other.secret values ('taken');
        when 7 then perform set_config('search_path', 'calls', false), set_config('transaction_read_only', 'on', false);
        when 8 then return repeat('x', 20000);
        when 9 then alter table calls.customer add column stolen text;
        when 10 then return current_user || ' ' || current_setting('search_path') || ' ' || current_setting('transaction_read_only')
            || ' ' || current_setting('plan_cache_mode');
        when 11 then delete from calls.customer where id = 11;
        when 12 then prepare transaction 'fooled';
        else return 'idle';
    end case;
    return 'done';
end $$;
reset role;
create schema calls_other;
create table calls_other.secret (value text);
set role regress_cal;
select marketing_automation.create_scenario('hostile', 'buyer of calls', domain => 'self.id <= 13') > 0 as created;
select marketing_automation.add_activity('hostile', 'try', action => 'call', call => 'calls.try(self.id)') > 0 as added;
select marketing_automation.run('hostile');
reset role;
select enrolled from marketing_automation.enroll('hostile');
select calls.play();
select r.key, ra.state, ra.error_code, ra.error, ra.result from marketing_automation.record_activity ra join marketing_automation.record r on r.id = ra.record_id
where r.scenario_id = marketing_automation.scenario_id('hostile') order by r.key::integer;
select current_user = session_user as is_me, current_setting('search_path') as search_path, (select count(*) from calls_other.secret) as taken,
    (select count(*) from calls.deferred) as deferred, (select count(*) from calls.voucher where code ~ 'commit') as at_commit,
    (select count(*) from pg_class where relname = 'fooled') as temporary, (select count(*) from calls.customer where id = 11) as left_of_11;
select marketing_automation.stop('hostile');
-- The expression itself is one, whose functions the owner may call; a condition beside it stays read-only.
create function calls_other.secret_voucher() returns text language sql as $$ insert into calls_other.secret values ('called') returning value $$;
revoke execute on function calls_other.secret_voucher() from public;
grant usage on schema calls_other to regress_cal;
set role regress_cal;
\set VERBOSITY terse
select marketing_automation.create_scenario('wrong', 'buyer of calls', domain => 'self.id <= 2') > 0 as created;
select marketing_automation.add_activity('wrong', 'a', action => 'call');
select marketing_automation.add_activity('wrong', 'a', action => null, call => 'calls.nothing()');
select marketing_automation.add_activity('wrong', 'a', action => 'calls', call => 'calls.nothing()');
select marketing_automation.add_activity('wrong', 'a', action => 'call', call => 'calls_other.secret_voucher()');
select marketing_automation.add_activity('wrong', 'a', action => 'call', call => 'calls.no_such(self.id)');
select marketing_automation.add_activity('wrong', 'a', action => 'call', call => 'self.id; delete from calls.customer');
select marketing_automation.add_activity('wrong', 'a', action => 'call', call => 'generate_series(1, 2)');
select marketing_automation.add_activity('wrong', 'a', action => 'call', call => 'count(*)');
select marketing_automation.add_activity('wrong', 'a', action => 'call', call => 'record.results ->> ''a''');
select marketing_automation.add_activity('wrong', 'a', action => null, condition => 'record.results is not null');
select marketing_automation.add_activity('wrong', 'a', action => 'call', call => 'self.id', branch_by => 'share');
select marketing_automation.add_activity('wrong', 'a', subject => '{{ results.make }}', body => 'b');
select marketing_automation.add_activity('wrong', 'a', action => 'call', call => 'self.id') > 0 as added;
select marketing_automation.add_activity('wrong', 'b', 'a', 'email_opened', action => null);
select marketing_automation.add_activity('wrong', 'b', 'a', subject => '{{ results.b }}', body => 'b');
select marketing_automation.add_activity('wrong', 'b', 'a', action => null, condition => 'record.result is null');
select marketing_automation.add_activity('wrong', 'b', 'a', action => null, condition => 'record.results ->> ''a''');
select marketing_automation.add_activity('wrong', 'b', 'a', action => 'call', call => 'count(record.results)');
select marketing_automation.add_activity('wrong', 'b', 'a', 'call_failed', subject => '{{ results.a }}', body => '{{ results["a"] }}') > 0 as added;
select marketing_automation.add_activity('wrong', 'c', 'b', 'call_failed', action => null);
update marketing_automation.activity set action = null, call = null where name = 'a' and scenario_id = marketing_automation.scenario_id('wrong');
update marketing_automation.scenario set goal = 'record.results is not null' where name = 'wrong';
select marketing_automation.delete_activity('wrong', 'a');
select marketing_automation.add_activity('wrong', 'a', action => null) > 0 as added;
select marketing_automation.add_activity('wrong', 'sly', 'a', action => null, condition => '(calls.make_voucher(self.id, 99)).code is not null') > 0 as added;
select marketing_automation.run('wrong');
reset role;
select enrolled from marketing_automation.enroll('wrong');
select calls.play();
select * from calls.outcomes('wrong');
select count(*) from calls.voucher where code ~ 'V99';
select marketing_automation.stop('wrong');
\set VERBOSITY default
-- A superuser's scenario over somebody's table: with the rights of that one, and with nobody's functions as a superuser.
select marketing_automation.register_model('buyer of all', 'calls.customer', key => 'self.id');
select marketing_automation.create_scenario('of all', 'buyer of all', domain => 'self.id = 10') > 0 as created;
select marketing_automation.add_activity('of all', 'who', action => 'call', call => 'calls.try(self.id)') > 0 as added;
select marketing_automation.run('of all');
select enrolled from marketing_automation.enroll('of all');
select calls.play();
select ra.state, ra.result from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'who';
select marketing_automation.stop('of all');
create table calls_other.own (id integer primary key);
insert into calls_other.own values (1);
select marketing_automation.register_model('own of all', 'calls_other.own', key => 'self.id');
select marketing_automation.create_scenario('own of all', 'own of all') > 0 as created;
select marketing_automation.add_activity('own of all', 'lent', action => 'call', call => 'calls.try(self.id)');
create function calls_other.lent(of_own integer) returns text language plpgsql as $$ begin return calls.try(of_own + 9); end $$;
select marketing_automation.add_activity('own of all', 'lent', action => 'call', call => 'calls_other.lent(self.id)') > 0 as added;
select marketing_automation.run('own of all');
select enrolled from marketing_automation.enroll('own of all');
select calls.play();
select * from calls.outcomes('own of all');
select marketing_automation.stop('own of all');

-- Too slow: it waits, and goes on when it is not. What has been called is done.
set role regress_cal;
create function calls.nap(of_customer integer) returns text language plpgsql as $$
begin
    insert into calls.voucher (code, customer_id) values ('N' || of_customer, of_customer);
    if (select c.divisor from calls.customer c where c.id = of_customer) = 9 then
        perform pg_sleep(60);
    end if;
    return 'slept';
end $$;
update calls.customer set divisor = 9 where id = 20;
select marketing_automation.create_scenario('nap', 'buyer of calls', domain => 'self.id between 20 and 24') > 0 as created;
select marketing_automation.add_activity('nap', 'nap', action => 'call', call => 'calls.nap(self.id)') > 0 as added;
select marketing_automation.run('nap');
reset role;
select enrolled from marketing_automation.enroll('nap');
set marketing_automation.expression_timeout = '300ms';
select marketing_automation.process_due(1000);
select s.last_error, s.last_error_code from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id('nap');
select (select count(*) from calls.voucher where code ~ '^N') = (select count(*) from marketing_automation_internal.call_result c
    join marketing_automation.activity a on a.id = c.activity_id where a.name = 'nap') as as_many;
reset marketing_automation.expression_timeout;
update calls.customer set divisor = 1 where id = 20;
select calls.play();
select * from calls.outcomes('nap');
select count(*) from calls.voucher where code ~ '^N';
select s.last_error from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id('nap');
-- What it calls may be dropped: the scenario says so, nobody fails.
update marketing_automation.scenario set domain = 'self.id between 20 and 25' where name = 'nap';
select enrolled from marketing_automation.enroll('nap');
drop function calls.nap(integer);
select marketing_automation.process_due();
select s.last_error, s.last_error_code from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id('nap');
update marketing_automation.activity set call = '''rested''' where name = 'nap';
select calls.play();
select * from calls.outcomes('nap');
select marketing_automation.stop('nap');

-- A function that says what only PostgreSQL should holds up nobody else.
set role regress_cal;
create function calls.lie(of_customer integer) returns text language plpgsql as $$
begin raise 'could not serialize access' using errcode = '40001'; end $$;
select marketing_automation.create_scenario('lie', 'buyer of calls', domain => 'self.id = 50') > 0 as created;
select marketing_automation.add_activity('lie', 'lie', action => 'call', call => 'calls.lie(self.id)') > 0 as added;
select marketing_automation.create_scenario('harmless', 'buyer of calls', domain => 'self.id = 50') > 0 as created;
select marketing_automation.add_activity('harmless', 'call', action => 'call', call => '''done''') > 0 as added;
select marketing_automation.run('lie'), marketing_automation.run('harmless');
reset role;
select enrolled from marketing_automation.enroll('lie');
select enrolled from marketing_automation.enroll('harmless');
select calls.play();
select 'lie' as scenario, * from calls.outcomes('lie') union all select 'harmless', * from calls.outcomes('harmless');
select s.last_error, s.last_error_code from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id('lie');
select marketing_automation.stop('lie'), marketing_automation.stop('harmless');

-- It finds its activity done, and may do with its record what its owner may.
set role regress_cal;
create function calls.leave(of_scenario integer, of_key text) returns text language sql as $$
    select string_agg(a.name || ' ' || ra.state, ', ' order by a.id) || left(marketing_automation.block(r.uuid)::text, 0)
    from marketing_automation.record r join marketing_automation.record_activity ra on ra.record_id = r.id
    join marketing_automation.activity a on a.id = ra.activity_id where r.scenario_id = of_scenario and r.key = of_key group by r.id, r.uuid
$$;
select marketing_automation.create_scenario('leave', 'buyer of calls', domain => 'self.id = 30') > 0 as created;
select marketing_automation.add_activity('leave', 'call', action => 'call', call => format('calls.leave(%s, self.id::text)', marketing_automation.scenario_id('leave'))) > 0 as added;
select marketing_automation.add_activity('leave', 'next', 'call', action => null, delay => '1 day') > 0 as added;
select marketing_automation.run('leave');
reset role;
select enrolled from marketing_automation.enroll('leave');
select calls.play();
select * from calls.outcomes('leave');
select c.result from marketing_automation_internal.call_result c join marketing_automation.activity a on a.id = c.activity_id
where a.scenario_id = marketing_automation.scenario_id('leave');
select marketing_automation.stop('leave');

-- Waiting, and branching, on results.
set role regress_cal;
select marketing_automation.create_scenario('score', 'buyer of calls', domain => 'self.id between 41 and 46') > 0 as created;
select marketing_automation.add_activity('score', 'score', action => 'call', call => 'self.id % 3') > 0 as added;
select marketing_automation.add_activity('score', 'split', 'score', action => null, branch_by => 'condition') > 0 as added;
select count(marketing_automation.add_activity('score', name, parent, condition => condition, action => null, wait_until => wait, delay => delay)) as added
from (values ('two', 'split', 'record.results ->> ''score'' = ''2''', null, null), ('else', 'split', null, null, null),
    ('waits', 'else', null, '(record.results ->> ''score'')::integer = 1', interval '1 day')) a (name, parent, condition, wait, delay);
select marketing_automation.run('score');
reset role;
select enrolled from marketing_automation.enroll('score');
select calls.play();
select marketing_automation.apply_waits('score');
select calls.play();
select * from calls.outcomes('score');
select marketing_automation.stop('score');

-- Whoever is forgotten, with what was made for him.
select (marketing_automation.export_person('c1@calls.example') #> '{records,0,activities,0}') - 'at' - 'finished_at' as exported;
select records > 0 as forgotten from marketing_automation.forget('c1@calls.example');
select distinct c.result from marketing_automation_internal.call_result c join marketing_automation.record r on r.id = c.record_id
where r.key = '1' and r.scenario_id = marketing_automation.scenario_id('voucher');
-- What is kept is what is done.
select count(*) from marketing_automation_internal.call_result c
full join (
    select f.record_id, f.activity_id from marketing_automation_internal.finished_activity f
    join marketing_automation.activity a on a.id = f.activity_id and a.action = 'call' where f.outcome = 'executed') f
    on f.record_id = c.record_id and f.activity_id = c.activity_id
where f.record_id is null or c.record_id is null;
