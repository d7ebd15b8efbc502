-- What could not be done, and waits for its next turn or for somebody to mend it. Small, and not dumped: it is found again.

create table marketing_automation_internal.poisonous_row (
    scenario_id integer not null,
    digest text not null,
    place text not null,
    key text,
    raises_key boolean not null,
    error text not null,
    error_code text not null,
    primary key (scenario_id, digest, place)
);
comment on table marketing_automation_internal.poisonous_row is
    'API: private. Rows for which domain, key or party of a scenario raises an error: they stand apart, so that all others enter';
comment on column marketing_automation_internal.poisonous_row.digest is 'Hash of the row as text: a row that has changed is another one';
comment on column marketing_automation_internal.poisonous_row.place is
    'Where the row is in its table (ctid), to compare few digests; empty: it is in no table of this database';
comment on column marketing_automation_internal.poisonous_row.key is 'Its key as text; null: the key raises, or is null';
comment on column marketing_automation_internal.poisonous_row.raises_key is
    'Whether the key raises: then nobody may look at it, not even to find another row';

create table marketing_automation_internal.failed_turn (
    scenario_id integer not null,
    work text not null check (work in ('enroll', 'process', 'consent', 'leave', 'exit', 'goal', 'date', 'wait')),
    activity_id integer not null default 0,
    failed_at timestamptz,
    slow boolean not null,
    batch_size integer check (batch_size > 0),
    searched_to text,
    primary key (scenario_id, work, activity_id),
    check ((work = 'process') = (activity_id <> 0)),
    check (failed_at is not null or not slow and batch_size is not null)
);
comment on table marketing_automation_internal.failed_turn is
    'API: private. What failed at its last turn, and goes to the end of the line: enrolling, processing an activity, asking for '
    'consent, or whether mails may leave. Gone when it succeeds. Of sweeps (exit, goal, date, wait), whose line is in sweep: that they have said '
    'why';
comment on column marketing_automation_internal.failed_turn.failed_at is 'When it failed; null: the last turn succeeded';
comment on column marketing_automation_internal.failed_turn.slow is 'Whether it ran out of time, or waited too long for a lock';
comment on column marketing_automation_internal.failed_turn.batch_size is
    'So many records at most next time, as more of them took too long; null: as many as wanted';
comment on column marketing_automation_internal.failed_turn.searched_to is
    'Where the search for rows that raise had come when its time was over: a block of the table, how many are tried, within one block the '
    'hash of a row, how many are tried. The next turn goes on there. Null: there was no search, or it was through';

create type marketing_automation_internal.search as (
    first bigint,
    last bigint,
    failing_to bigint,
    total bigint
);
comment on type marketing_automation_internal.search is
    'API: private. Where a search for what raises is: the part that is tried, up to where a larger part has raised, and how many there '
    'are; see start_search()';
