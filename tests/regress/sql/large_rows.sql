\set SHOW_CONTEXT never
-- What is too large for a mail costs that mail: it is known by its size before it is read, and the rest of the batch goes through.
create role regress_lara;
create schema bulk;
create domain bulk.essay as text;
create table bulk.customer (id integer primary key, email text, name text, notes text, essay bulk.essay, photo bytea, data json, facts jsonb,
    numbers bigint[], code "char", city varchar(100000));
alter table bulk.customer alter numbers set storage external, alter data set storage external;
insert into bulk.customer (id, email, name) select n, format('c%s@bulk.example', n), 'Name ' || n from generate_series(1, 12) n;
-- 100 MB that are stored as 1; what is exactly as long as may be; what is long in JSON only.
update bulk.customer set notes = repeat('x', 100000000) where id = 1;
update bulk.customer set essay = repeat('y', 65537) where id = 2;
update bulk.customer set photo = decode(repeat('ab', 65537), 'hex') where id = 3;
update bulk.customer set data = to_json(repeat('z', 300000)) where id = 4;
update bulk.customer set facts = (select jsonb_agg(md5(n::text)) from generate_series(1, 20000) n) where id = 5;
update bulk.customer set numbers = array(select n from generate_series(1, 40000) n) where id = 6;
update bulk.customer set notes = repeat('x', 40000), essay = repeat('y', 40000) where id = 7;
update bulk.customer set email = repeat('l', 2000) || '@bulk.example' where id = 8;
update bulk.customer set name = repeat('n', 2000) where id = 9;
update bulk.customer set notes = repeat('x', 64000), code = 'c' where id = 10;
update bulk.customer set facts = to_jsonb(repeat('j', 300000)) where id = 11;
grant usage on schema bulk to regress_lara;
grant select on bulk.customer to regress_lara;
select marketing_automation.grant_access('regress_lara', 'marketer');

set role regress_lara;
select marketing_automation.register_model('bulk', 'bulk.customer', key => 'self.id', party => 'self.id', email => 'self.email', recipient_name => 'self.name');
select marketing_automation.create_scenario('bulk', 'bulk') > 0 as created;
select marketing_automation.add_activity('bulk', 'bulk mail', subject => 'Hello {{ record.code }}', body =>
    '<p>{{ record.notes }}{{ record.essay }}{{ record.photo }}{{ record.data }}{{ record.facts }}{{ record.numbers }}{{ record.city }}</p><a href="unsubscribe">x</a>') > 0 as added;
-- A mail that uses nothing that could be long takes that along, too.
select marketing_automation.create_scenario('bulk numbers', 'bulk') > 0 as created;
select marketing_automation.add_activity('bulk numbers', 'numbers', subject => 's', body => '<p>Number {{ record.id }}, {{ record.code }}</p>') > 0 as added;
select p.text from marketing_automation.preview('bulk numbers', 'numbers', '10') p;
select marketing_automation.delete_scenario('bulk numbers');
select marketing_automation.run('bulk');
select scenario, enrolled, error from marketing_automation.enroll('bulk');
select marketing_automation.process_due() as processed;
select m.key::integer, octet_length(m.context::text) < 65600 as is_bounded from marketing_automation.message m
join marketing_automation.activity a on a.id = m.activity_id where a.name = 'bulk mail' order by 1;
select r.key::integer, f.state, f.error_code, f.error from marketing_automation.record_activity f
join marketing_automation.activity a on a.id = f.activity_id join marketing_automation.record r on r.id = f.record_id
where a.name = 'bulk mail' and f.outcome = 'error' order by 1;
select done, failed, mailed from marketing_automation.activity_count('bulk');

-- A preview and a test say the same, and who changes a template what it is.
select html is not null as rendered from marketing_automation.preview('bulk', 'bulk mail', '1');
select marketing_automation.send_test('bulk', 'bulk mail', '1', 'lara@bulk.example');
-- Who may not read the table is not told how long its columns are.
reset role;
create role regress_leif;
select marketing_automation.grant_access('regress_leif', 'reader');
set role regress_leif;
select f.error, count(*) from marketing_automation.record_activity f
join marketing_automation.activity a on a.id = f.activity_id where a.name = 'bulk mail' and f.outcome = 'error' group by 1 order by 1;
-- Shortened, it goes.
reset role;
update bulk.customer set notes = 'short' where id = 1;
set role regress_lara;
select marketing_automation.retry(f) from marketing_automation.record_activity f join marketing_automation.activity a on a.id = f.activity_id
join marketing_automation.record r on r.id = f.record_id where a.name = 'bulk mail' and r.key = '1';
select marketing_automation.process_due() as processed;
select m.context ->> 'notes' as notes from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id
where a.name = 'bulk mail' and m.key = '1';

select marketing_automation.stop('bulk');
reset role;
