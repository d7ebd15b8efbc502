-- Rehearsals: what rehearse() notes while it plays. Always empty for everybody else, as all of it is rolled back; not dumped.

create table marketing_automation_internal.rehearsed_event (
    at timestamptz not null,
    record_id bigint not null,
    activity_id integer not null,
    kind text not null,
    primary key (at, record_id, activity_id, kind)
);
comment on table marketing_automation_internal.rehearsed_event is
    'API: private. Opens and clicks that a rehearsal assumes, from when their mail was sent on';

create table marketing_automation_internal.rehearsed_wait (
    activity_id integer not null,
    at timestamptz not null,
    waits bigint not null
);
comment on table marketing_automation_internal.rehearsed_wait is
    'API: private. How often a rehearsal has put an activity, or its mail, off to a later moment';

create table marketing_automation_internal.rehearsed_scenario (
    scenario_id integer primary key,
    original_id integer not null
);
comment on table marketing_automation_internal.rehearsed_scenario is
    'API: private. Of which scenario a rehearsal plays a copy: who is held out is found by its id';

create table marketing_automation_internal.rehearsed_activity (
    activity_id integer primary key,
    original_id integer not null
);
comment on table marketing_automation_internal.rehearsed_activity is
    'API: private. Of which activity one of a rehearsal is a copy: who takes which share is found by its id';
