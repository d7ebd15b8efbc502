-- Counts for reports, so that no report has to read the history. Whatever statement changes the history appends here how
-- it changed the counts: a row for each activity and period, never an update, so that nobody waits for a busy counter.
-- roll_up_counters() adds the rows up now and then, by period and in total (period -infinity): whether rolled up or not, sums are
-- exact. A total is that row and the rows that are not rolled up yet; the sum of a period that of its rows.
--
-- A period is a quarter of an hour in UTC: days, months and years of every time zone in use begin at one.
-- All counts of a record's activity belong to the period in which it ended, its mail's fate and readers included, so that
-- rates compare like with like; those of a record to the period in which it entered.

create table marketing_automation_internal.activity_counter (
    activity_id integer not null,
    period timestamptz not null,
    done integer not null default 0,
    cancelled integer not null default 0,
    failed integer not null default 0,
    mailed integer not null default 0,
    sent integer not null default 0,
    not_sent integer not null default 0,
    opened integer not null default 0,
    clicked integer not null default 0,
    robot_opens integer not null default 0,
    robot_clicks integer not null default 0,
    rolled_up boolean not null default false,
    skipped integer not null default 0
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.activity_counter is
    'API: private. Changes of the counts of activities, to be summed: see activity_report. A negative number takes back what did not '
    'stay';
comment on column marketing_automation_internal.activity_counter.period is
    'counter_period() of finished_activity.finished_at, which is message.created_at too; -infinity: the sum of all periods, as far '
    'as rolled up';
comment on column marketing_automation_internal.activity_counter.skipped is
    'Records for which nothing was done: the condition was not true, the row was gone, or it had no address. Not in done';
comment on column marketing_automation_internal.activity_counter.mailed is
    'Mails queued; those that are neither sent nor not_sent are under way';
comment on column marketing_automation_internal.activity_counter.not_sent is 'Mails that failed or were suppressed';
comment on column marketing_automation_internal.activity_counter.opened is 'Mails of which an open by a person was reported';
comment on column marketing_automation_internal.activity_counter.clicked is 'Mails of which a click by a person was reported';
comment on column marketing_automation_internal.activity_counter.robot_opens is
    'Opens of mails, each of them, that are a robot''s: see event.robot';
comment on column marketing_automation_internal.activity_counter.robot_clicks is 'Clicks in mails, each of them, that are a robot''s';
create index activity_counter_activity on marketing_automation_internal.activity_counter (activity_id, period);
-- For totals and for roll_up_counters().
create index activity_counter_current on marketing_automation_internal.activity_counter (activity_id) where not rolled_up
    or period = '-infinity';

create table marketing_automation_internal.scenario_counter (
    scenario_id integer not null,
    period timestamptz not null,
    records integer not null default 0,
    blocked integer not null default 0,
    rolled_up boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.scenario_counter is
    'API: private. Changes of the counts of scenarios, to be summed: see scenario_report';
comment on column marketing_automation_internal.scenario_counter.period is
    'counter_period() of record.entered_at; -infinity: the sum of all periods, as far as rolled up';
create index scenario_counter_scenario on marketing_automation_internal.scenario_counter (scenario_id, period);
create index scenario_counter_current on marketing_automation_internal.scenario_counter (scenario_id) where not rolled_up
    or period = '-infinity';
