-- Goals: who reaches what a scenario is for. Asked when a row enters (enter_rows), when an activity runs (process_records), and here, of all
-- who can still convert.

create function marketing_automation_internal.finite(amount numeric) returns numeric
language sql immutable parallel safe
return case when amount not in ('NaN', 'Infinity', '-Infinity') then amount end;
comment on function marketing_automation_internal.finite(numeric) is 'API: private. A number; null for one that is none, or has no end';

create function marketing_automation_internal.goal_moment(at timestamptz, entered_at timestamptz, now timestamptz) returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- A date comes as the midnight with which it begins.
    select case
        when at is null or at = '-infinity' then now
        when at < entered_at and at > entered_at - interval '2 days' and entered_at < timezone(d.zone, timezone(d.zone, at) + interval '1 day')
            and timezone(d.zone, at)::time = '00:00' then entered_at
        else at end
    from (select marketing_automation_internal.database_time_zone() as zone) d
$$;
comment on function marketing_automation_internal.goal_moment(timestamptz, timestamptz, timestamptz) is
    'API: private. When a record has reached its goal: by goal_at, or now if that does not tell. The midnight of the day on which it entered stands for that '
    'day, as goal_at may be a date: then it is when it entered';

create function marketing_automation_internal.credited_activities(records bigint[], times timestamptz[])
returns table (record_id bigint, activity_id integer)
language sql stable rows 20 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
    -- One statement for all: the log has 40 partitions, and to begin with them for each record took longer than to look.
    select u.id, coalesce((
            select f.activity_id from marketing_automation_internal.finished_activity f
            where f.record_id = u.id and f.clicked_at <= u.at order by f.clicked_at desc, f.activity_id desc limit 1), (
            select l.activity_id from marketing_automation_internal.message_log l
            where l.record_id = u.id and l.sent_at <= u.at and l.target is null
              and exists (select from marketing_automation_internal.finished_activity f where f.record_id = u.id and f.outcome = 'mailed')
            order by l.sent_at desc, l.id desc limit 1))
    from unnest(records, times) as u (id, at)
$$;
comment on function marketing_automation_internal.credited_activities(bigint[], timestamptz[]) is
    'API: private. The activity whose mail each of these records has clicked last before its time, or else was sent last; null: there is '
    'none';

create function marketing_automation_internal.close_goals(of_scenario integer, records bigint[], times timestamptz[], amounts numeric[],
    now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
    with reached as (
        -- Of who has not by then, or enters later, it is asked again.
        delete from marketing_automation_internal.open_goal g
        using unnest(records, times, amounts) as u (record_id, at, amount)
        join marketing_automation_internal.record r on r.id = u.record_id
        where g.scenario_id = of_scenario and g.record_id = u.record_id and coalesce(u.at, close_goals.now) <= close_goals.now
          and r.entered_at <= close_goals.now
        returning g.record_id, g.until, u.amount, r.entered_at, g.is_late and u.at is null as before,
            marketing_automation_internal.goal_moment(u.at, r.entered_at, close_goals.now) as at
    ), before as (
        update marketing_automation_internal.record r set goal_before = true from reached c where c.before and r.id = c.record_id
    ), converted as (
        insert into marketing_automation.conversion (record_id, scenario_id, at, value, source, activity_id)
        select c.record_id, of_scenario, c.at, marketing_automation_internal.finite(c.amount), 'goal', a.activity_id
        from reached c
        left join marketing_automation_internal.credited_activities(array(select o.record_id from reached o), array(select o.at from reached o)) a
            on a.record_id = c.record_id
        where c.at between c.entered_at and c.until and not c.before order by c.record_id
        on conflict (record_id) where source = 'goal' do nothing
        returning record_id
    )
    select count(*) from converted
$$;
comment on function marketing_automation_internal.close_goals(integer, bigint[], timestamptz[], numeric[], timestamptz) is
    'API: private. Writes the conversions of records, which the caller has locked, that have reached the goal of a scenario at these times, '
    'null: now; how many. One before entering or after the window is none, nor one whose time is not known, of who was in before the scenario had its goal '
    'and is asked for the first time; nobody asks again';

create function marketing_automation_internal.goal_slice(scenario marketing_automation.scenario, its marketing_automation_internal.sweep,
    batch_size integer, now timestamptz, out asked integer, out code text)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    slice record;
    answer record;
    locked bigint[];
begin
    select count(*) as records, max(g.record_id) as reached,
        -- Who has no time to tell cannot have reached it in time when that is over.
        -- Who enters later, at an assumed time, is asked later.
        coalesce(array_agg(g.record_id) filter (
            where g.entered_at <= now and (g.until >= now or scenario.goal_at is not null)), '{}') as asked,
        coalesce(array_agg(g.record_id) filter (where g.until < now), '{}') as over, bool_or(g.is_late) as late
    into slice
    from (select g.record_id, g.until, g.is_late from marketing_automation_internal.open_goal g
          where g.scenario_id = scenario.id and g.record_id > its.reached_record order by g.record_id limit batch_size) o
    -- One by one: as a join it may read the records of everybody.
    cross join lateral (
        select o.record_id, o.until, o.is_late, r.entered_at from marketing_automation_internal.record r where r.id = o.record_id offset 0) g;
    asked := slice.records;
    if asked = 0 then
        return;
    end if;
    select a.* into answer from marketing_automation_internal.ask_slice(scenario, 'goal', 'goal', scenario.goal, slice.asked) a;
    code := answer.code;
    if code is not null then
        return;
    end if;
    update marketing_automation_internal.sweep s set reached_record = slice.reached
    where s.scenario_id = scenario.id and s.what = 'goal';
    if answer.holds <> '{}' or slice.over <> '{}' then
        -- Whoever writes a conversion holds the record.
        locked := array(
            select r.id from marketing_automation_internal.record r
            where r.id = any (answer.holds || slice.over) order by r.id for no key update skip locked);
        perform marketing_automation_internal.close_goals(scenario.id, array_agg(u.id), array_agg(u.at), array_agg(u.amount), now)
        from unnest(answer.holds, answer.times, answer.amounts) as u (id, at, amount) where u.id = any (locked)
        having count(*) > 0;
        if scenario.goal_ends_journey then
            perform marketing_automation_internal.end_journeys(array_agg(u.id order by u.id), 'goal_reached', now)
            from unnest(answer.holds, answer.times) as u (id, at)
            where u.id = any (locked) and coalesce(u.at, now) <= now
            having count(*) > 0;
        end if;
        delete from marketing_automation_internal.open_goal g
        where g.scenario_id = scenario.id and g.record_id = any (slice.over) and g.record_id = any (locked);
    end if;
    if slice.late then
        -- From now on it is known when they reach it.
        update marketing_automation_internal.open_goal g set is_late = false
        where g.scenario_id = scenario.id and g.record_id = any (slice.asked) and g.record_id <> all (answer.holds || answer.raises) and g.is_late;
    end if;
end $$;
comment on function marketing_automation_internal.goal_slice(marketing_automation.scenario, marketing_automation_internal.sweep, integer,
    timestamptz, out integer, out text) is
    'API: private. Asks the goal of a scenario of the next batch_size records that can still convert, writes their conversions, ends their '
    'journeys where the goal does that, and forgets whose window is over; how many were looked at, 0: none is left. code: of an error '
    'that passes; the next slice is the same then';

create function marketing_automation_internal.apply_goals(caller regrole, scenario text, batch_size integer, now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.run_sweep(caller, 'goal', scenario, batch_size, now)
$$;
comment on function marketing_automation_internal.apply_goals(regrole, text, integer, timestamptz) is 'API: private. Behind apply_goals()';

create function marketing_automation.apply_goals(scenario text default null, batch_size integer default 10000, now timestamptz default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.apply_goals(text, integer, timestamptz) is
    'API: public. Asks goals of records that can still convert, and writes the conversions of those who have reached them: of one scenario, '
    'all of them; or the next batch_size (1 to 100000) of the scenario whose turn it is, each once a minute at most. Returns how many were '
    'looked at, 0: none is left for now. process_all_due() does this. now: as that of enroll()';
