-- Dates of the row: an activity with "at" is due at a date that its row has, moved by its delay. It is asked when the activity is due, for the
-- first time when it starts: who is too early waits for it, so that nothing runs at a date that has moved. Dates that have become earlier
-- are found by a sweep of all who wait.

create function marketing_automation_internal.check_date(scenario marketing_automation.scenario, model marketing_automation.model,
    activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_type regtype;
begin
    if activity.at is null then
        return;
    end if;
    its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, activity.at,
        format('at of activity "%s"', activity.name));
    if its_type <> 'timestamptz'::regtype then
        raise exception 'at of activity "%" is %, not a timestamp with time zone', activity.name, its_type
            using errcode = 'datatype_mismatch', detail = 'A date or a time without a zone is another moment in each place.',
                  hint = case when its_type in ('date'::regtype, 'timestamp'::regtype)
                      then format('Say where: timezone(''Europe/Paris'', (%s)::timestamp).', activity.at)
                      else 'Write an expression of type timestamptz, such as self.trial_ends_at.' end;
    end if;
end $$;
comment on function marketing_automation_internal.check_date(marketing_automation.scenario, marketing_automation.model,
    marketing_automation.activity) is
    'API: private. Raises unless the date of an activity plans, and is a timestamp with time zone; null: it has none';

create function marketing_automation_internal.has_dates(of_scenario integer) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from marketing_automation.activity a where a.scenario_id = of_scenario and a.at is not null)
$$;
comment on function marketing_automation_internal.has_dates(integer) is 'API: private. Whether an activity of a scenario is due at a date of the row';

create function marketing_automation_internal.date_query(activity marketing_automation.activity, model marketing_automation.model)
    returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format(E'%s, (%s\n)',
        marketing_automation_internal.as_key(model.key, model.key_type), activity.at))
$$;
comment on function marketing_automation_internal.date_query(marketing_automation.activity, marketing_automation.model) is
    'API: private. Query, to run as the scenario''s owner, for key and date of the rows whose keys are in $1 (text[])';

create function marketing_automation_internal.due_date(day timestamptz, delay interval, zone text) returns timestamptz
language sql stable
-- What never comes is no date; nor is what no delay can be added to, as that would raise, and keep all others from being asked.
return case when day between '4000-01-01 00:00+00 BC' and '200000-01-01 00:00+00' then marketing_automation_internal.after_delay(day, delay, zone) end;
comment on function marketing_automation_internal.due_date(timestamptz, interval, text) is
    'API: private. When an activity is due by a date of its row; null: there is none';

create function marketing_automation_internal.wait_for_date(activity marketing_automation.activity, scenario marketing_automation.scenario,
    relation regclass, records bigint[], now timestamptz, out remaining bigint[], out undated bigint[], out expired bigint[])
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    model marketing_automation.model := (select m from marketing_automation.model m where m.name = scenario.model);
    query text := marketing_automation_internal.date_query(activity, model);
begin
    with its as materialized (
        select r.id, r.key, r.time_zone from marketing_automation_internal.record r
        where r.id = any (records) and r.blocked_at is null and r.end_reason is null
    ), dated as materialized (
        select i.id, marketing_automation_internal.due_date(q.day, activity.delay, i.time_zone) as at, i.time_zone
        from marketing_automation_internal.query_as_owner(scenario.owner_id, relation, query, array(select i.key from its i))
            as q (key text, day timestamptz)
        join its i on i.key = q.key
    ), moved as (
        update marketing_automation_internal.waiting_activity w set at = d.at
        from dated d where d.at > now and w.record_id = d.id and w.activity_id + 0 = activity.id
        returning w.record_id
    )
    select array(select u.id from unnest(records) as u (id) where not exists (select from moved m where m.record_id = u.id) order by u.id),
        array(select d.id from dated d where d.at is null),
        array(select d.id from dated d
            where activity.expires_after is not null
              and marketing_automation_internal.after_delay(d.at, activity.expires_after, d.time_zone) <= now)
    into remaining, undated, expired;
end $$;
comment on function marketing_automation_internal.wait_for_date(marketing_automation.activity, marketing_automation.scenario, regclass, bigint[],
    timestamptz, out bigint[], out bigint[], out bigint[]) is
    'API: private. Lets due records, which the caller has locked, wait for the date that their rows have now, if that is to come. Returns the '
    'others, and of them those without a date (undated), and those whose date was longer ago than expires_after (expired)';

create function marketing_automation_internal.with_date_as_goal(scenario marketing_automation.scenario, date text)
    returns marketing_automation.scenario
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    scenario.goal := format(E'(%s\n) is not null', date);
    scenario.goal_at := date;
    scenario.goal_value := null;
    return scenario;
end $$;
comment on function marketing_automation_internal.with_date_as_goal(marketing_automation.scenario, text) is
    'API: private. A scenario whose goal is that a row has a date, so that records_for_whom() asks for whom there is one, and when that is';

create function marketing_automation_internal.wait_again(mails bigint[], dates timestamptz[], now timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
begin
    with mail as materialized (
        select o.id, o.record_id, o.activity_id, u.at, f.finished_at
        from unnest(mails, dates) as u (id, at)
        join marketing_automation_internal.outbox o on o.id = u.id and o.state = 'queued' and o.attempts = 0
        cross join lateral (
            select f.finished_at from marketing_automation_internal.finished_activity f
            where f.record_id = o.record_id and f.activity_id = o.activity_id and f.outcome in ('mailed', 'posted') for no key update skip locked) f
    ), taken as (
        delete from marketing_automation_internal.outbox o using mail m where o.id = m.id
    ), undone as (
        delete from marketing_automation_internal.finished_activity f using mail m
        where f.record_id = m.record_id and f.activity_id = m.activity_id
    ), undecided as (
        delete from marketing_automation_internal.branch_decision d using mail m
        where d.record_id = m.record_id and d.parent_id = m.activity_id
    ), waiting as (
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        select m.record_id, m.activity_id, m.at from mail m order by m.record_id
        on conflict do nothing
    )
    insert into marketing_automation_internal.activity_counter (activity_id, period, done, mailed)
    select m.activity_id, marketing_automation_internal.counter_period(m.finished_at), -count(*), -count(*) from mail m group by 1, 2;
    -- What another session holds is asked again.
    update marketing_automation_internal.outbox o set due_at = wait_again.now + interval '5 seconds'
    where o.id = any (mails) and o.state = 'queued' and o.attempts = 0;
end $$;
comment on function marketing_automation_internal.wait_again(bigint[], timestamptz[], timestamptz) is
    'API: private. Takes queued mails back, which the caller has locked, whose activity has come to be due at a later date: it waits for that as '
    'if it had not run. What was attempted before stays in the queue until then';

create function marketing_automation_internal.date_slice(scenario marketing_automation.scenario, its marketing_automation_internal.sweep,
    batch_size integer, now timestamptz, out asked integer, out code text)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    slice record;
    answer record;
    activity marketing_automation.activity;
    send_window marketing_automation.send_window;
begin
    select w.* into slice
    from marketing_automation_internal.waiting_slice(scenario.id, its.activity_id, its.reached_at, its.reached_record, batch_size, true) w;
    asked := coalesce(cardinality(slice.records), 0);
    if asked = 0 then
        return;
    end if;
    select a.* into strict activity from marketing_automation.activity a where a.id = slice.of_activity;
    send_window := marketing_automation_internal.its_window(activity);
    -- Rows that raise fail when their activity runs.
    scenario := marketing_automation_internal.with_date_as_goal(scenario, activity.at);
    select a.* into answer
    from marketing_automation_internal.ask_slice(scenario, 'date', format('at of activity "%s"', activity.name), scenario.goal, slice.records,
        activity.id) a;
    code := answer.code;
    if code is not null then
        return;
    end if;
    update marketing_automation_internal.sweep s
    set activity_id = slice.of_activity, reached_at = slice.reached, reached_record = slice.reached_record
    where s.scenario_id = scenario.id and s.what = 'date';
    -- Earlier ones alone: a later date is met when it is due. Who waits for a window or a time of day goes on to do so.
    with dated as materialized (
        select r.id, case when d.at > now or activity.at_time is null and (send_window.name is null or send_window.outside <> 'wait') then d.at
            else marketing_automation_internal.time_to_run(activity, send_window, r.time_zone, now) end as at
        from unnest(answer.holds, answer.times) as u (id, day)
        join marketing_automation_internal.record r on r.id = u.id
        cross join lateral (select marketing_automation_internal.due_date(u.day, activity.delay, r.time_zone) offset 0) as d (at)
    )
    update marketing_automation_internal.waiting_activity w set at = d.at
    from dated d
    where w.record_id = d.id and w.activity_id = activity.id and w.at > d.at
      and w.ctid = any (array(
        select o.ctid from marketing_automation_internal.waiting_activity o
        where o.activity_id = activity.id and o.record_id = any (slice.records) and o.at > now and isfinite(o.at) for update skip locked));
end $$;
comment on function marketing_automation_internal.date_slice(marketing_automation.scenario, marketing_automation_internal.sweep, integer,
    timestamptz, out integer, out text) is
    'API: private. Asks the dates of the next records that wait for an activity that has one, batch_size of them at most, and lets those whose '
    'date has become earlier wait until then; how many were asked, 0: none is left. code: of an error that passes; the next slice is the '
    'same then';

create function marketing_automation_internal.apply_dates(caller regrole, scenario text, batch_size integer, now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.run_sweep(caller, 'date', scenario, batch_size, now)
$$;
comment on function marketing_automation_internal.apply_dates(regrole, text, integer, timestamptz) is 'API: private. Behind apply_dates()';

create function marketing_automation.apply_dates(scenario text default null, batch_size integer default 10000, now timestamptz default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.apply_dates(text, integer, timestamptz) is
    'API: public. Asks the dates (at) of activities of the records that wait for them, and lets those whose date has become earlier wait '
    'until then: of one scenario, all of them; or the next batch_size (1 to 100000) of the running scenario whose turn it is, each once a '
    'minute at most. Returns how many were asked, 0: none is left for now. process_all_due() does this. now: as that of enroll()';
