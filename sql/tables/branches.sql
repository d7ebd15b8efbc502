-- Branches: which of its alternatives each record takes, decided once.

-- Behind the view of that name.
create table marketing_automation_internal.branch_decision (
    record_id bigint not null,
    parent_id integer not null,
    activity_id integer,
    decided_at timestamptz not null,
    by_winner boolean not null default false,
    primary key (record_id, parent_id)
);
-- For reports, and to ask whether records have passed.
create index branch_decision_taken on marketing_automation_internal.branch_decision (parent_id, activity_id);
comment on table marketing_automation_internal.branch_decision is
    'API: private. Which child a record takes of an activity whose children are alternatives, or which variant of its mail: its primary key is '
    'why it is one; see the view branch_decision';
comment on column marketing_automation_internal.branch_decision.activity_id is
    'Null: it takes none, or gets the mail as it is, or waits for the winner of an experiment';
comment on column marketing_automation_internal.branch_decision.by_winner is
    'Whether it takes the winner of an experiment as such, and not by its share';

create table marketing_automation_internal.experiment (
    activity_id integer primary key,
    began_at timestamptz,
    winner_id integer,
    decided_at timestamptz,
    decided_by name,
    constraint experiment_winner_is_decided check ((winner_id is null) = (decided_at is null))
);
comment on table marketing_automation_internal.experiment is
    'API: private. Experiments that have begun or are decided: one row holds the winner, for good. See variant_report()';
comment on column marketing_automation_internal.experiment.began_at is 'When the first record came to it; null: none had when it was decided';
comment on column marketing_automation_internal.experiment.winner_id is 'The variant that has won; null: not decided';
comment on column marketing_automation_internal.experiment.decided_by is 'Who called decide(); null: decided by its metric';
