-- Counts for reports, so that no report has to read the history. Whatever statement changes the history appends here how
-- it changed the counts: a row for each activity and period, never an update, so that nobody waits for a busy counter.
-- merge_tallies() adds the rows up now and then, by period and in total (period -infinity): what is merged or not, sums are
-- exact. A total is that row and the rows that are not merged yet; the sum of a period that of its rows.
--
-- A period is a quarter of an hour in UTC: days, months and years of every time zone in use begin at one.
-- All counts of a record's activity belong to the period in which it ended, its mail's fate and readers included, so that
-- rates compare like with like; those of a record to the period in which it entered.

create function marketing_automation.tally_period(at timestamptz) returns timestamptz
language sql immutable parallel safe
return date_bin('15 minutes', at, '2000-01-01 00:00+00');
comment on function marketing_automation.tally_period(timestamptz) is 'API: private. Beginning of the period in which a moment is counted';

create table marketing_automation.activity_tally (
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
    merged boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation.activity_tally is
    'API: private. Changes of the counts of activities, to be summed: see activity_report. A negative number takes back what did not stay';
comment on column marketing_automation.activity_tally.period is 'tally_period() of finished_activity.finished_at, which is message.created_at too; -infinity: the sum of all periods, as far as merged';
comment on column marketing_automation.activity_tally.mailed is 'Mails queued; those that are neither sent nor not_sent are under way';
comment on column marketing_automation.activity_tally.not_sent is 'Mails that failed or were suppressed';
comment on column marketing_automation.activity_tally.opened is 'Mails of which an open by a person was reported';
comment on column marketing_automation.activity_tally.clicked is 'Mails of which a click by a person was reported';
comment on column marketing_automation.activity_tally.robot_opens is 'Opens of mails, each of them, that are a robot''s: see event.robot';
comment on column marketing_automation.activity_tally.robot_clicks is 'Clicks in mails, each of them, that are a robot''s';
create index activity_tally_activity on marketing_automation.activity_tally (activity_id, period);
-- For totals and for merge_tallies().
create index activity_tally_current on marketing_automation.activity_tally (activity_id) where not merged or period = '-infinity';

create table marketing_automation.scenario_tally (
    scenario_id integer not null,
    period timestamptz not null,
    records integer not null default 0,
    blocked integer not null default 0,
    merged boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation.scenario_tally is 'API: private. Changes of the counts of scenarios, to be summed: see scenario_report';
comment on column marketing_automation.scenario_tally.period is 'tally_period() of record.entered_at; -infinity: the sum of all periods, as far as merged';
create index scenario_tally_scenario on marketing_automation.scenario_tally (scenario_id, period);
create index scenario_tally_current on marketing_automation.scenario_tally (scenario_id) where not merged or period = '-infinity';

create function marketing_automation.tally_sums(period timestamptz, merged boolean) returns setof timestamptz
language sql immutable parallel safe
begin atomic
    -- What was merged is in the total already, and the total in itself.
    select unnest(case when merged then array[period] else array[period, '-infinity'] end);
end;
comment on function marketing_automation.tally_sums(timestamptz, boolean) is 'API: private. To which sums merge_tallies() adds a row: a new one to that of its period and to the total';

create function marketing_automation.merge_tallies(threshold integer default 100) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    -- Rows that another session merges are left to it: each row is added to exactly one sum, and nobody waits.
    if exists (select from marketing_automation.activity_tally t where not t.merged offset threshold - 1) then
        with fresh as materialized (
            select t.ctid, t.activity_id, t.period from marketing_automation.activity_tally t where not t.merged for update skip locked
        ), earlier as materialized (
            select t.ctid
            from (select f.activity_id, f.period from fresh f union select f.activity_id, '-infinity' from fresh f) k
            join marketing_automation.activity_tally t on t.activity_id = k.activity_id and t.period = k.period
            where t.merged for update of t skip locked
        ), taken as (
            delete from marketing_automation.activity_tally t
            where t.ctid = any (array(select f.ctid from fresh f union all select e.ctid from earlier e))
            returning t.*
        )
        insert into marketing_automation.activity_tally
            (activity_id, period, done, cancelled, failed, mailed, sent, not_sent, opened, clicked, robot_opens, robot_clicks, merged)
        select t.activity_id, p.period, sum(t.done), sum(t.cancelled), sum(t.failed), sum(t.mailed), sum(t.sent), sum(t.not_sent),
               sum(t.opened), sum(t.clicked), sum(t.robot_opens), sum(t.robot_clicks), true
        from taken t cross join lateral marketing_automation.tally_sums(t.period, t.merged) p (period) group by t.activity_id, p.period;
    end if;
    if exists (select from marketing_automation.scenario_tally t where not t.merged offset threshold - 1) then
        with fresh as materialized (
            select t.ctid, t.scenario_id, t.period from marketing_automation.scenario_tally t where not t.merged for update skip locked
        ), earlier as materialized (
            select t.ctid
            from (select f.scenario_id, f.period from fresh f union select f.scenario_id, '-infinity' from fresh f) k
            join marketing_automation.scenario_tally t on t.scenario_id = k.scenario_id and t.period = k.period
            where t.merged for update of t skip locked
        ), taken as (
            delete from marketing_automation.scenario_tally t
            where t.ctid = any (array(select f.ctid from fresh f union all select e.ctid from earlier e))
            returning t.*
        )
        insert into marketing_automation.scenario_tally (scenario_id, period, records, blocked, merged)
        select t.scenario_id, p.period, sum(t.records), sum(t.blocked), true
        from taken t cross join lateral marketing_automation.tally_sums(t.period, t.merged) p (period) group by t.scenario_id, p.period;
    end if;
end $$;
comment on function marketing_automation.merge_tallies(integer) is
    'API: private. Adds up the rows of each period, and of all, once there are as many new ones as the threshold. Changes no sum';
