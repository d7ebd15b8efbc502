-- Hot tables of the state machine. Small tables hold the waiting work (rows are deleted when done), append-only
-- ones the history; no triggers on what batches write, no foreign keys to large tables, no volatile defaults (measured: each of these
-- halves the rate or worse). Invariants between them are tested instead.

create sequence marketing_automation.record_id_seq;

-- Behind the view of that name, which shows each team its own.
create table marketing_automation_internal.record (
    id bigint primary key,
    scenario_id integer not null,
    key text collate "C"
        constraint record_has_key check (key is not null)
        -- An index entry holds 2,704 bytes at most.
        constraint record_key_is_short check (octet_length(key) <= 1000),
    party text collate "C" constraint record_party_is_short check (octet_length(party) <= 1000),
    uuid uuid not null,
    entered_at timestamptz not null,
    blocked_at timestamptz,
    time_zone text,
    unsubscribed_at timestamptz,
    ended_at timestamptz,
    end_reason text,
    goal_before boolean not null default false,
    held_out boolean not null default false,
    occasion text collate "C" constraint record_occasion_is_short check (octet_length(occasion) <= 1000),
    run integer not null default 1 constraint record_run_check check (run > 0),
    constraint record_enters_once unique (scenario_id, key, run),
    constraint record_end_reason_check check (end_reason in ('exited', 'goal_reached', 'entered_again')),
    constraint record_end_has_reason check ((ended_at is null) = (end_reason is null))
);
-- For resubscribe: the records of a party of which something was cancelled.
create index record_left on marketing_automation_internal.record (party) where blocked_at is not null or unsubscribed_at is not null;
-- For the counts of tree().
create index record_ended on marketing_automation_internal.record (scenario_id, end_reason) where end_reason is not null;
create index record_held_out on marketing_automation_internal.record (scenario_id) where held_out;
-- That no row enters twice for an occasion.
create unique index record_occasion_once on marketing_automation_internal.record (scenario_id, key, occasion) where occasion is not null;
comment on table marketing_automation_internal.record is 'API: private. Rows of models that entered scenarios; see the view record';

-- Who can still convert: a small table, from which a record goes when it has, or when its time is over.
create table marketing_automation_internal.open_goal (
    scenario_id integer not null,
    record_id bigint not null,
    until timestamptz not null,
    is_late boolean not null default false,
    primary key (scenario_id, record_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.open_goal is
    'API: private. Records that may still reach the goal of their scenario: those that had not when they entered, have not converted, and '
    'whose window is not over';
comment on column marketing_automation_internal.open_goal.until is 'End of its window: a goal that is reached later is no conversion';
comment on column marketing_automation_internal.open_goal.is_late is
    'Whether the scenario got this goal when the record was in, and nobody has asked it yet: who has reached it by then had done so before, '
    'unless goal_at tells when';

create table marketing_automation_internal.waiting_activity (
    record_id bigint not null,
    activity_id integer not null,
    at timestamptz not null,
    primary key (record_id, activity_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.waiting_activity is
    'API: private. Activities to come, one row each; see the view record_activity';
comment on column marketing_automation_internal.waiting_activity.at is 'When it is due';
-- For process_due: the due rows of one activity, in order of at.
create index waiting_activity_due on marketing_automation_internal.waiting_activity (activity_id, at);

create table marketing_automation_internal.finished_activity (
    record_id bigint not null,
    activity_id integer not null,
    state text not null check (state in ('done', 'cancelled', 'failed')),
    outcome text not null check (outcome in
        ('executed', 'mailed', 'posted', 'no_address', 'condition_not_met', 'row_missing', 'opposite_executed', 'event_arrived', 'blocked',
            'goal_reached', 'exited', 'entered_again', 'no_date', 'expired', 'error')),
    at timestamptz not null,
    finished_at timestamptz not null,
    opened_at timestamptz,
    clicked_at timestamptz,
    bounced_at timestamptz,
    error text,
    error_code text,
    primary key (record_id, activity_id),
    constraint finished_activity_outcome_fits_state check (
        state = case
            when outcome in ('opposite_executed', 'event_arrived', 'blocked', 'goal_reached', 'exited', 'entered_again',
                'no_date') then 'cancelled'
            when outcome = 'error' then 'failed'
            else 'done'
        end),
    constraint finished_activity_error_is_kept check ((outcome = 'error') = (error is not null and error_code is not null)),
    constraint finished_activity_only_mails_are_read check (outcome = 'mailed' or (opened_at is null and clicked_at is null
        and bounced_at is null))
) with (fillfactor = 90);
comment on table marketing_automation_internal.finished_activity is
    'API: private. Activities that ran, were cancelled or failed: its primary key is why an activity runs at most once for a record';
comment on column marketing_automation_internal.finished_activity.outcome is 'Why it ended as it did';
comment on column marketing_automation_internal.finished_activity.at is 'When it was due';
comment on column marketing_automation_internal.finished_activity.error_code is 'SQLSTATE of error';

create table marketing_automation_internal.call_result (
    record_id bigint not null,
    activity_id integer not null,
    result jsonb not null,
    primary key (record_id, activity_id)
);
comment on table marketing_automation_internal.call_result is
    'API: private. What the expressions of activities that call have returned for records; in the transaction in which the activity is done. '
    'See record_activity.result';
comment on column marketing_automation_internal.call_result.result is 'JSON null: the expression was null, or returns nothing';

create table marketing_automation.unsubscription (
    party text collate "C" not null,
    scenario_id integer not null,
    created_at timestamptz not null,
    primary key (party, scenario_id)
);
comment on table marketing_automation.unsubscription is
    'API: public. Parties that left a scenario, or all: none of their records enters it or is mailed by it until they come back';
comment on column marketing_automation.unsubscription.scenario_id is '0: every scenario, also those to come';

create table marketing_automation_internal.unsubscribed_address (
    address_hash bytea not null check (octet_length(address_hash) = 32),
    scenario_id integer not null,
    created_at timestamptz not null,
    record_id bigint,
    party text collate "C",
    spares_party boolean not null default false,
    primary key (address_hash, scenario_id)
);
-- For who comes back, as a record or as a party.
create index unsubscribed_address_record on marketing_automation_internal.unsubscribed_address (record_id);
create index unsubscribed_address_party on marketing_automation_internal.unsubscribed_address (party);
comment on table marketing_automation_internal.unsubscribed_address is
    'API: private. Addresses that left a scenario, or all: nothing goes there, whichever rows have them. Only digests, as the list '
    'survives the erasure of the person';
comment on column marketing_automation_internal.unsubscribed_address.scenario_id is '0: every scenario, also those to come';
comment on column marketing_automation_internal.unsubscribed_address.record_id is
    'The record whose mail it left by, and party that of it; null: by unsubscribe_address(), or forgotten';
comment on column marketing_automation_internal.unsubscribed_address.spares_party is
    'Whether other records of that party go on, as the scenario is not unsubscribable: it was left for the one record, and by this '
    'address for all parties else';
