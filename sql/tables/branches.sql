-- Branches: which of its alternatives each record takes, decided once.

-- Behind the view of that name.
create table marketing_automation_internal.branch_decision (
    record_id bigint not null,
    parent_id integer not null,
    activity_id integer,
    decided_at timestamptz not null,
    primary key (record_id, parent_id)
);
-- For reports, and to ask whether records have passed.
create index branch_decision_taken on marketing_automation_internal.branch_decision (parent_id, activity_id);
comment on table marketing_automation_internal.branch_decision is
    'API: private. Which child a record takes of an activity whose children are alternatives: its primary key is why it is one; see the '
    'view branch_decision';
