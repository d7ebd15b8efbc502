-- Adding up the counters: see tables/counters.sql.

create function marketing_automation_internal.counter_sums(period timestamptz, rolled_up boolean) returns setof timestamptz
language sql immutable parallel safe
begin atomic
    -- What is rolled up is in the total already, and the total in itself.
    select unnest(case when rolled_up then array[period] else array[period, '-infinity'] end);
end;
comment on function marketing_automation_internal.counter_sums(timestamptz, boolean) is
    'API: private. To which sums roll_up_counters() adds a row: a new one to that of its period and to the total';

create function marketing_automation_internal.roll_up_counters(threshold integer default 100) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
begin
    -- Rows that another session merges are left to it: each row is added to exactly one sum, and nobody waits.
    if exists (select from marketing_automation_internal.activity_counter t where not t.rolled_up offset threshold - 1) then
        with fresh as materialized (
            select t.ctid, t.activity_id, t.period from marketing_automation_internal.activity_counter t
                where not t.rolled_up for update skip locked
        ), earlier as materialized (
            select t.ctid
            from (select f.activity_id, f.period from fresh f union select f.activity_id, '-infinity' from fresh f) k
            join marketing_automation_internal.activity_counter t on t.activity_id = k.activity_id and t.period = k.period
            where t.rolled_up for update of t skip locked
        ), taken as (
            delete from marketing_automation_internal.activity_counter t
            where t.ctid = any (array(select f.ctid from fresh f union all select e.ctid from earlier e))
            returning t.*
        )
        insert into marketing_automation_internal.activity_counter
            (activity_id, period, done, cancelled, failed, mailed, sent, not_sent, opened, clicked, robot_opens, robot_clicks, rolled_up,
             skipped)
        select t.activity_id, p.period, sum(t.done), sum(t.cancelled), sum(t.failed), sum(t.mailed), sum(t.sent), sum(t.not_sent),
               sum(t.opened), sum(t.clicked), sum(t.robot_opens), sum(t.robot_clicks), true, sum(t.skipped)
        from taken t cross join lateral marketing_automation_internal.counter_sums(t.period,
            t.rolled_up) p (period) group by t.activity_id, p.period;
    end if;
    if exists (select from marketing_automation_internal.scenario_counter t where not t.rolled_up offset threshold - 1) then
        with fresh as materialized (
            select t.ctid, t.scenario_id, t.period from marketing_automation_internal.scenario_counter t
                where not t.rolled_up for update skip locked
        ), earlier as materialized (
            select t.ctid
            from (select f.scenario_id, f.period from fresh f union select f.scenario_id, '-infinity' from fresh f) k
            join marketing_automation_internal.scenario_counter t on t.scenario_id = k.scenario_id and t.period = k.period
            where t.rolled_up for update of t skip locked
        ), taken as (
            delete from marketing_automation_internal.scenario_counter t
            where t.ctid = any (array(select f.ctid from fresh f union all select e.ctid from earlier e))
            returning t.*
        )
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, records, blocked, rolled_up)
        select t.scenario_id, p.period, sum(t.records), sum(t.blocked), true
        from taken t cross join lateral marketing_automation_internal.counter_sums(t.period,
            t.rolled_up) p (period) group by t.scenario_id, p.period;
    end if;
end $$;
comment on function marketing_automation_internal.roll_up_counters(integer) is
    'API: private. Adds up the rows of each period, and of all, once there are as many new ones as the threshold. Changes no sum';
