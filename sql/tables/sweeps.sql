-- Sweeps: where asking all records of a scenario has come. Small, and not dumped: a round begins again.

create table marketing_automation_internal.sweep (
    scenario_id integer not null,
    what text not null check (what in ('exit', 'goal', 'date', 'wait')),
    began_at timestamptz,
    activity_id integer not null default 0,
    reached_at timestamptz not null default '-infinity',
    reached_record bigint not null default 0,
    batch_size integer check (batch_size > 0),
    rests_until timestamptz not null default '-infinity',
    primary key (scenario_id, what)
) with (fillfactor = 50);
comment on table marketing_automation_internal.sweep is
    'API: private. Where asking the records of a scenario, slice by slice, for their exit, their goal, their dates or what they wait for has come';
comment on column marketing_automation_internal.sweep.began_at is 'When the round began; null: none is under way';
comment on column marketing_automation_internal.sweep.activity_id is
    'Records that wait for an earlier activity than this one have been asked, and of this one those that wait until reached_at';
comment on column marketing_automation_internal.sweep.reached_record is
    'Records up to this one have been asked; of exits and dates: of those that wait until reached_at';
comment on column marketing_automation_internal.sweep.batch_size is
    'So many records at most in the next slice, as more of them took too long; null: as many as wanted';
comment on column marketing_automation_internal.sweep.rests_until is 'No round begins before';
