\set SHOW_CONTEXT never
-- Every kind of relation and of key is a record type: its rows enter, are found again by an index, and get their mail.
create schema stock;
create table stock.item (id bigint primary key, code uuid not null unique, slug text not null unique, label text, email text);
insert into stock.item
select i, md5(i::text)::uuid, 'slug-' || i, 'item ' || i, 'item' || i || '@shop.example' from generate_series(1, 5000) i;
create table stock.shipment (id bigint, day date, label text, email text, primary key (id, day)) partition by range (day);
create table stock.shipment_2025 partition of stock.shipment for values from ('2025-01-01') to ('2026-01-01');
create table stock.shipment_2026 partition of stock.shipment for values from ('2026-01-01') to ('2027-01-01');
insert into stock.shipment select i, '2025-12-01'::date + i % 60, 'shipment ' || i, 'shipment' || i || '@shop.example' from generate_series(1, 5000) i;
create view stock.item_view as select i.id as number, i.label, i.email from stock.item i;
create materialized view stock.item_copy as select * from stock.item_view;
create unique index on stock.item_copy (number);
-- A composite key: an index on the same expression.
create table stock.line (order_id uuid, line smallint, label text, email text);
insert into stock.line select md5((i / 5)::text)::uuid, i % 5, 'line ' || i, 'line' || i || '@shop.example' from generate_series(1, 5000) i;
create unique index on stock.line ((order_id::text || '/' || line::text));
create extension postgres_fdw;
create server elsewhere foreign data wrapper postgres_fdw;
do $$ begin
    execute format('alter server elsewhere options (host %L, port %L, dbname %L)',
        split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
end $$;
create user mapping for current_user server elsewhere;
create foreign table stock.item_elsewhere (id bigint, label text, email text) server elsewhere options (schema_name 'stock', table_name 'item');
create extension file_fdw;
create server files foreign data wrapper file_fdw;
create foreign table stock.item_file (id bigint, label text, email text) server files options (program 'echo "1,item 1,item1@shop.example"; echo "2,item 2,item2@shop.example"', format 'csv');
analyze stock.item, stock.shipment, stock.item_copy, stock.line;

create table stock.kind (name text primary key, relation regclass, key text);
insert into stock.kind values
    ('bigint', 'stock.item', 'self.id'),
    ('uuid', 'stock.item', 'self.code'),
    ('text', 'stock.item', 'self.slug'),
    ('composite', 'stock.line', 'self.order_id::text || ''/'' || self.line::text'),
    ('partitioned', 'stock.shipment', 'self.id'),
    ('view', 'stock.item_view', 'self.number'),
    ('materialised', 'stock.item_copy', 'self.number'),
    ('foreign', 'stock.item_elsewhere', 'self.id'),
    ('file', 'stock.item_file', 'self.id');
select count(*) as models from stock.kind k cross join lateral marketing_automation.register_model('kind ' || k.name, k.relation, key => k.key, party => k.key, email => 'self.email');
select name, key_type from marketing_automation.model where name like 'kind %' order by name;
select count(marketing_automation.create_scenario('kind ' || name, 'kind ' || name, 'self.label ~ ''^(item|line|shipment) [12]$''')) as scenarios from stock.kind;
select count(marketing_automation.add_activity('kind ' || name, 'hello', condition => 'self.label ~ '' [12]$''', subject => '{{ record.label }}', body => 'b')) as activities from stock.kind;
select count(*) as running from stock.kind k cross join lateral marketing_automation.run('kind ' || k.name);
select scenario, enrolled, error from marketing_automation.enroll(now => '2026-03-01 12:00+00') where scenario like 'kind %' order by 1;
call marketing_automation.process_all_due(now => '2026-03-01 12:00+00');
select s.name, m.email, m.context ->> 'label' as label, ra.state, ra.outcome
from marketing_automation.record_activity ra
join marketing_automation.activity a on a.id = ra.activity_id
join marketing_automation.scenario s on s.id = a.scenario_id and s.name like 'kind %'
left join marketing_automation.message m on m.record_id = ra.record_id order by 1, 2;

-- How the planner finds the rows of these keys again; of a file nothing better is to be had.
create function stock.found_by(activity integer) returns text language plpgsql as $$
declare
    keys text[] := array(select r.key from marketing_automation.record r
        join marketing_automation.activity a on a.scenario_id = r.scenario_id and a.id = activity);
    plan json;
begin
    execute 'explain (verbose, format json) ' || replace(marketing_automation_internal.record_query(activity), '$1', quote_literal(keys) || '::text[]') into plan;
    return (
        with recursive node as (
            select plan -> 0 -> 'Plan' as n
            union all
            select c.n from node cross join lateral json_array_elements(node.n -> 'Plans') c (n)
        )
        select string_agg(distinct case when n ->> 'Node Type' ~ '^(Index|Bitmap)' then 'index'
                                        when n ->> 'Remote SQL' like '%= ANY%' then 'remote condition'
                                        else n ->> 'Node Type' end, ', ')
        from node where n ->> 'Node Type' like '%Scan%' and n ->> 'Node Type' <> 'Subquery Scan');
end $$;
select s.name, stock.found_by(a.id) from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id and s.name like 'kind %' order by 1;
select count(*) as stopped from stock.kind k cross join lateral marketing_automation.stop('kind ' || k.name);

-- No kind of record: what holds no rows, and what others cannot see.
create temporary table passing (id bigint);
create type stock.shape as (id bigint);
select marketing_automation.register_model('kind none', 'passing', key => 'self.id');
select marketing_automation.register_model('kind none', 'stock.shape', key => 'self.id');
create sequence stock.counter;
select marketing_automation.register_model('kind none', 'stock.counter', key => 'self.last_value');
drop table passing;
