\set SHOW_CONTEXT never
-- Watched tables: a run of enrolling tries the rows that were written since the last one, and reads no others.
create schema wat;
create table wat.person (id integer primary key, mail text, wants boolean default true);
insert into wat.person (id, mail) select i, 'p' || i || '@wat.example' from generate_series(1, 3) i;
select marketing_automation.register_model('wat_person', 'wat.person', key => 'self.id', party => 'self.mail', email => 'self.mail') \gset
create function wat.create(name text, domain text, model text default 'wat_person') returns void language sql as $$
    select marketing_automation.create_scenario(name, model, domain), marketing_automation.add_activity(name, 'a', action => null),
        marketing_automation.run(name);
$$;
-- A turn of this scenario alone, as enroll_all() takes it.
create function wat.look(name text default 'wat_written') returns text language plpgsql as $$
declare
    result record;
begin
    select e.enrolled, e.error into result
    from marketing_automation.enroll_next(array(select s.name from marketing_automation.scenario s where s.name <> look.name)) e;
    return concat_ws(' ', (select case when s.last_scanned_at = s.last_enrolled_at then 'read all:' else 'by keys:' end
        from marketing_automation.scenario_status s where s.scenario_id = marketing_automation.scenario_id(name)), result.enrolled, result.error);
end $$;
create function wat.captured() returns table (table_id bigint, keys text) language sql as $$
    select dense_rank() over (order by c.watch_id), coalesce(array_to_string(c.keys, ' '), 'all') from marketing_automation_internal.captured_keys c order by 1, 2
$$;
select wat.create('wat_written', 'self.wants'), wat.create('wat_now', 'self.wants and now() > ''2000-01-01'''),
    wat.create('wat_others', 'exists (select from wat.person o where o.id <> self.id)'), wat.create('wat_again', 'self.wants') \gset
update marketing_automation.scenario set reenter_after = '1 day' where name = 'wat_again';
-- The last three go on as before: what their domains look at is not only the row.
select * from marketing_automation.watch('wat_person');
select t.tgrelid::regclass as relation, regexp_replace(t.tgname, '\d+', 'ID') as name, t.tgenabled, d.deptype, pg_get_triggerdef(t.oid) ~ 'capture_keys' as captures
from pg_trigger t left join pg_depend d on d.objid = t.oid and d.refobjid = (select oid from pg_extension where extname = 'marketing_automation')
where t.tgrelid = 'wat.person'::regclass and not t.tgisinternal order by 2;
select wat.look();
select wat.look();

-- What is written is noted, in the transaction that writes it.
insert into wat.person values (4, 'p4@wat.example', true), (5, 'p5@wat.example', false);
begin;
insert into wat.person values (6, 'p6@wat.example');
rollback;
begin;
savepoint s;
insert into wat.person values (7, 'p7@wat.example');
rollback to s;
insert into wat.person values (8, 'p8@wat.example');
commit;
select * from wat.captured();
select wat.look();
select wat.look();
-- Of a key that changes both, of others one.
update wat.person set id = 50, wants = true where id = 5;
update wat.person set mail = mail where id in (1, 2);
delete from wat.person where id = 3;
select count(*) filter (where keys ~ '50 5|5 50') as both, count(*) filter (where keys in ('1 2', '2 1')) as one_each from wat.captured();
select wat.look();
merge into wat.person p using (values (50, 'm50@wat.example'), (60, 'm60@wat.example')) v (id, mail) on p.id = v.id
    when matched then update set mail = v.mail when not matched then insert (id, mail) values (v.id, v.mail);
insert into wat.person values (60, 'p60@wat.example'), (61, 'p61@wat.example') on conflict (id) do update set mail = excluded.mail;
copy wat.person (id, mail) from program 'echo 62,p62@wat.example' (format csv);
select wat.look();
-- All that has been seen is forgotten, when a run is over.
do $$ begin perform marketing_automation_internal.forget_captured_keys(); end $$;
select * from wat.captured();

-- Many rows of a statement, or of a transaction: all are read.
insert into wat.person select i, 'q' || i || '@wat.example' from generate_series(1000, 10999) i;
select wat.look();
insert into wat.person select i, 'q' || i || '@wat.example' from generate_series(20000, 30000) i;
select count(*) from marketing_automation_internal.captured_keys where keys is null;
select wat.look();
begin;
insert into wat.person select i, 'q' || i || '@wat.example' from generate_series(40000, 49999) i;
insert into wat.person values (50000, 'q@wat.example');
insert into wat.person values (50001, 'q@wat.example');
savepoint s;
insert into wat.person values (50002, 'q@wat.example');
rollback to s;
insert into wat.person values (50003, 'q@wat.example');
commit;
select count(*) - 1 as more_than_before from marketing_automation_internal.captured_keys where keys is null;
select wat.look();
select wat.look();
delete from wat.person where id >= 1000;
do $$ begin perform marketing_automation_internal.forget_captured_keys(); end $$;
select wat.look();

-- What a trigger cannot see ends in reading all rows: the table is rewritten, the trigger was disabled, a definition has changed.
alter table wat.person add column born timestamptz default clock_timestamp();
select wat.look(), wat.look();
create function wat.replace(part text, by text, out done text) language plpgsql as $$
begin
    execute (select string_agg(format('alter table wat.person %s trigger %I', by, t.tgname), '; ') from pg_trigger t
        where t.tgrelid = 'wat.person'::regclass and not t.tgisinternal and t.tgname ~ part);
    done := by;
end $$;
select wat.replace('insert', 'disable');
insert into wat.person (id, mail) values (70, 'p70@wat.example');
select wat.replace('insert', 'enable');
select wat.look(), wat.look();
select wat.replace('update', 'disable');
-- Then it is read as a table that nobody watches is: when the counters say that something was written.
select pg_stat_force_next_flush() as now \gset
select wat.look(), wat.look();
select regexp_replace(message, '\d+', 'ID') as message, regexp_replace(hint, '\d+', 'ID') as hint, status from marketing_automation.health() where name = 'watch';
select regexp_replace(message, '\d+', 'ID') as message, hint from marketing_automation.check_scenario('wat_written') where message ~ 'watched';
select * from marketing_automation.watch('wat_person') where scenario = 'wat_written';
select wat.look(), wat.look();
select message, hint, status from marketing_automation.health() where name = 'watch';
select message, hint from marketing_automation.check_scenario('wat_now') where message ~ 'watched';
select marketing_automation.stop('wat_written'), marketing_automation.draft('wat_written'), marketing_automation.run('wat_written') \gset
select wat.look(), wat.look();
update marketing_automation.scenario set domain = 'self.id < 1000' where name = 'wat_written';
select wat.look(), wat.look();
-- So does a column that is gone or has another name, and no statement fails.
alter table wat.person rename column id to number;
insert into wat.person (number, mail) values (71, 'p71@wat.example');
select * from wat.captured() where keys = 'all';
alter table wat.person rename column number to id;
select wat.look(), wat.look();

-- Rows that others undo, or that are not to be found, harm nothing; nor does one for which the domain raises.
update marketing_automation.scenario set domain = '100 / self.id > 0' where name = 'wat_written';
select wat.look(), wat.look();
insert into wat.person (id, mail) values (0, 'p0@wat.example'), (72, 'p72@wat.example');
\set VERBOSITY terse
select wat.look();
delete from wat.person where id = 0;
select wat.look();
select wat.look(), wat.look();
\set VERBOSITY default

-- A partitioned table: a statement may name it, or a partition.
create table wat.sale (id bigint, day date, primary key (id, day)) partition by range (day);
create table wat.sale_1 partition of wat.sale for values from ('2026-01-01') to ('2026-02-01');
create table wat.sale_2 partition of wat.sale for values from ('2026-02-01') to ('2026-03-01');
select marketing_automation.register_model('wat_sale', 'wat.sale', key => 'self.id::text') \gset
select wat.create('wat_sales', 'true', 'wat_sale') \gset
select * from marketing_automation.watch('wat_sale');
select wat.look('wat_sales'), wat.look('wat_sales');
insert into wat.sale values (1, '2026-01-05'), (2, '2026-02-05');
insert into wat.sale_1 values (3, '2026-01-05');
update wat.sale set day = '2026-02-01' where id = 1;
select keys from wat.captured() where table_id = 2;
select wat.look('wat_sales');
create table wat.sale_3 partition of wat.sale for values from ('2026-03-01') to ('2026-04-01');
insert into wat.sale_3 values (4, '2026-03-05');
select wat.look('wat_sales');
select regexp_replace(message, '\d+_insert', 'ID_insert') as message, hint from marketing_automation.health() where name = 'watch';
select * from marketing_automation.watch('wat_sale');
select wat.look('wat_sales'), wat.look('wat_sales');
insert into wat.sale_3 values (5, '2026-03-05');
select wat.look('wat_sales');
-- What replication applies.
set session_replication_role = replica;
insert into wat.sale values (6, '2026-03-05'), (7, '2026-01-05');
update wat.sale_3 set id = 8 where id = 5;
reset session_replication_role;
select wat.look('wat_sales'), wat.look('wat_sales');

-- Another key, another table, another name.
select marketing_automation.register_model('wat_renamed', 'wat.sale', key => 'self.id') \gset
select * from marketing_automation.watch('wat_renamed');
update marketing_automation.model set name = 'wat_orders' where name = 'wat_renamed';
select marketing_automation.register_model('wat_orders', 'wat.sale', key => 'self.id::text') \gset
select message, hint from marketing_automation.health() where name = 'watch';
select marketing_automation.unregister_model('wat_orders');
select marketing_automation.unwatch('wat_orders');
select marketing_automation.unregister_model('wat_orders');
select marketing_automation.unwatch('wat_orders');

-- A view: the tables that it reads, each with the column that is the key of its row.
create table wat.account (id integer primary key, mail text);
create table wat.booking (id integer primary key, account integer, amount integer);
create view wat.customer as
    select a.id, a.mail, (select sum(b.amount) from wat.booking b where b.account = a.id) as amount from wat.account a;
select marketing_automation.register_model('wat_customer', 'wat.customer', key => 'self.id') \gset
select wat.create('wat_good', 'self.amount > 100', 'wat_customer'), wat.create('wat_few', 'self.amount is null', 'wat_customer'),
    wat.create('wat_elsewhere', 'not exists (select from wat.person p where p.id = self.id)', 'wat_customer') \gset
insert into wat.account select i, 'a' || i || '@wat.example' from generate_series(1, 5) i;
insert into wat.booking select i, i, 10 from generate_series(1, 4) i;
select marketing_automation.watch('wat_customer');
select marketing_automation.watch('wat_customer', tables => '{"wat.account": "id", "booking": "account"}');
select marketing_automation.watch('wat_customer', tables => '{"wat.account": "id", "wat.booking": "acount"}');
select marketing_automation.watch('wat_customer', tables => '{"wat.account": "id", "wat.booking": 1}');
select marketing_automation.watch('wat_customer', tables => '["wat.account"]');
select marketing_automation.watch('wat_customer', tables => '{"wat.account": "id", "wat.customer": "id"}');
select marketing_automation.watch('wat_person', tables => '{"wat.person": "id"}');
select * from marketing_automation.watch('wat_customer', tables => '{"wat.account": "id"}');
select * from marketing_automation.watch('wat_customer', tables => '{"wat.account": "id", "wat.booking": "account"}');
select wat.look('wat_good'), wat.look('wat_good'), wat.look('wat_few'), wat.look('wat_few');
-- What is inserted, changed from one row to another, and deleted.
insert into wat.booking values (10, 1, 200);
select wat.look('wat_good'), wat.look('wat_few');
insert into wat.booking values (11, 2, 500);
update wat.booking set account = 3 where id = 11;
select wat.look('wat_good'), wat.look('wat_few');
update wat.booking set account = 3 where id = 4;
delete from wat.booking where id = 2;
select wat.look('wat_good'), wat.look('wat_few');
insert into wat.account values (6, 'a6@wat.example');
select wat.look('wat_good'), wat.look('wat_few');
set session_replication_role = replica;
delete from wat.booking where account = 1;
reset session_replication_role;
select wat.look('wat_few'), wat.look('wat_elsewhere');
create or replace view wat.customer as
    select a.id, a.mail, (select sum(b.amount) * 100 from wat.booking b where b.account = a.id) as amount from wat.account a;
select wat.look('wat_good'), wat.look('wat_good');
-- Called again it mends what is missing.
alter table wat.booking disable trigger all;
select regexp_replace(message, '\d+_', 'ID_') as message, status from marketing_automation.health() where name = 'watch' and message ~ 'wat_customer';
select * from marketing_automation.watch('wat_customer') where scenario = 'wat_good';
select status from marketing_automation.health() where name = 'watch';
select w.relation, w.key_column from marketing_automation_internal.watched_table w where w.model = 'wat_customer' order by 1;
select marketing_automation.unwatch('wat_customer');
select count(*) from pg_trigger t where t.tgrelid in ('wat.account'::regclass, 'wat.booking'::regclass) and not t.tgisinternal;

-- What cannot be watched.
select marketing_automation.watch('wat_persn');
select marketing_automation.watch(null);
create view wat.adult as select * from wat.person;
create materialized view wat.kept as select * from wat.person;
create foreign data wrapper wat_wrapper;
create server wat_server foreign data wrapper wat_wrapper;
create table wat.mixed (id integer, day date) partition by range (day);
select marketing_automation.register_model('wat_mixed', 'wat.mixed', key => 'self.id') \gset
create foreign table wat.mixed_far partition of wat.mixed for values from ('2026-01-01') to ('2026-02-01') server wat_server;
create table wat.keyed (a integer, b integer, day date, name name);
select marketing_automation.register_model('wat_' || r, ('wat.' || r)::regclass, key => 'self.id') from unnest('{adult,kept}'::text[]) r \gset
select marketing_automation.register_model('wat_pair', 'wat.keyed', key => 'self.a || ''/'' || self.b'),
    marketing_automation.register_model('wat_day', 'wat.keyed', key => 'self.day'),
    marketing_automation.register_model('wat_name', 'wat.keyed', key => 'self.name'),
    marketing_automation.register_model('wat_sum', 'wat.keyed', key => '(select max(p.id) from wat.person p)') \gset
select marketing_automation.watch('wat_adult');
select marketing_automation.watch('wat_kept');
select marketing_automation.watch('wat_mixed');
select marketing_automation.watch('wat_pair');
select marketing_automation.watch('wat_day');
select marketing_automation.watch('wat_name');
select marketing_automation.watch('wat_sum');
-- Whose triggers they are.
create role wat_team;
create role wat_owner;
grant usage on schema wat to wat_team, wat_owner;
select marketing_automation.grant_access('wat_team', 'marketer') \gset
create table wat.theirs (id integer primary key);
alter table wat.theirs owner to wat_owner;
grant select on wat.theirs to wat_team;
set role wat_team;
select marketing_automation.register_model('wat_theirs', 'wat.theirs', key => 'self.id') \gset
select marketing_automation.watch('wat_theirs');
select marketing_automation.watch('wat_person');
select marketing_automation.unwatch('wat_person');
reset role;
grant wat_owner to wat_team;
set role wat_team;
select marketing_automation.watch('wat_theirs');
create trigger mine after insert on wat.theirs for each row execute function marketing_automation_internal.capture_keys('1', 'id');
reset role;
-- The owner writes, who has no rights on what is of the extension.
set role wat_owner;
insert into wat.theirs values (1);
reset role;
select count(*) from wat.captured() where keys = '1';

select marketing_automation.unwatch('wat_person');
select pg_stat_force_next_flush() as now \gset
select wat.look(), wat.look();
select count(*) from pg_trigger t where t.tgrelid = 'wat.person'::regclass and not t.tgisinternal;
drop table wat.theirs;
select * from marketing_automation.watch('wat_theirs');
select message, hint from marketing_automation.health() where name = 'watch';
select marketing_automation.unwatch('wat_theirs'), marketing_automation.unwatch('wat_sale');
select message, hint from marketing_automation.health() where name = 'watch';
do $$ begin perform marketing_automation_internal.forget_captured_keys(); end $$;
select * from wat.captured();

select marketing_automation.stop(s.name) from marketing_automation.scenario s where s.name like 'wat\_%' order by s.name \gset
