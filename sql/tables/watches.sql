-- Watched tables: triggers on them note the keys of rows that were written, so that enrolling need not read the others.

create table marketing_automation_internal.watched_table (
    id integer generated always as identity primary key,
    model text not null,
    relation regclass not null,
    model_relation regclass not null,
    key text not null,
    key_column text not null,
    constraint watched_table_once unique (model, relation)
);
comment on table marketing_automation_internal.watched_table is
    'API: private. Tables whose written rows are noted for a model, see watch(). Their triggers have the id and key_column as arguments';
comment on column marketing_automation_internal.watched_table.relation is 'The table, with its partitions and what inherits from it; follows renames';
comment on column marketing_automation_internal.watched_table.model_relation is
    'What the model was of when this was written: the table itself, or a view that reads it';
comment on column marketing_automation_internal.watched_table.key is 'The key of the model when this was written: if it is another one, others are to be noted';
comment on column marketing_automation_internal.watched_table.key_column is 'The column that is the key of the model, or of the row of the view';

-- Written by whoever writes a watched table: without an index, and in rows so short that nothing is stored out of line. Heap, as a trigger in
-- C appends to it.
create table marketing_automation_internal.captured_keys (
    watch_id integer not null,
    xid xid8 not null,
    keys text[]
) using heap with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.captured_keys is
    'API: private. Keys of the rows of watched tables that transactions have written. Not dumped, as xid means nothing elsewhere';
comment on column marketing_automation_internal.captured_keys.xid is
    'The transaction: which ones a run of enrolling has not seen yet, a snapshot tells';
comment on column marketing_automation_internal.captured_keys.keys is 'Null: any row may have been written';

create table marketing_automation_internal.watched_scan (
    scenario_id integer primary key,
    seen pg_snapshot not null,
    digest text not null,
    scanned_at timestamptz not null,
    relations oid[],
    surroundings text,
    constraint watched_scan_has_both check ((relations is null) = (surroundings is null))
) with (fillfactor = 50);
comment on table marketing_automation_internal.watched_scan is
    'API: private. Scenarios that enroll by captured keys: what each has seen. Without a row a scenario reads all rows of its model. Not dumped';
comment on column marketing_automation_internal.watched_scan.seen is 'What was committed in this snapshot, it has tried';
comment on column marketing_automation_internal.watched_scan.digest is
    'A digest of all that decides who enters but the rows: once it is another one, all are read';
comment on column marketing_automation_internal.watched_scan.scanned_at is 'When all rows were read last';
comment on column marketing_automation_internal.watched_scan.relations is 'The tables and views of the entering query';
comment on column marketing_automation_internal.watched_scan.surroundings is
    'A digest of what an unchanged digest follows from, without a look at the query. Null: the query is to be analysed at the next run';
