-- A rehearsal plays the machine on copies of scenarios (rehearsal_copy.sql): from moment to moment at which something is due, each time the
-- same functions as always, batch by batch. It goes to full minutes, as the job that processes runs once a minute, and after a moment at
-- which something happened none follows within the step that the caller has chosen.

create function marketing_automation_internal.rehearsal_batch() returns integer
language sql immutable return 10000;
comment on function marketing_automation_internal.rehearsal_batch() is
    'API: private. How many records, mails or events a rehearsal takes at once';

create function marketing_automation_internal.next_waiting(of_activity integer, first timestamptz, last timestamptz) returns timestamptz
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off
-- In the order of the index on (activity_id, at), whatever is known of the table.
set enable_sort = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
    return (select w.at from marketing_automation_internal.waiting_activity w
            where w.activity_id = of_activity and w.at between first and last order by w.at limit 1);
end $$;
comment on function marketing_automation_internal.next_waiting(integer, timestamptz, timestamptz) is
    'API: private. When the first of those who wait for an activity is due, within these times; null: nobody is';

create function marketing_automation_internal.next_mail(of_activity integer, first timestamptz, last timestamptz) returns timestamptz
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off
-- In the order of the index on (activity_id, domain_queue, due_at).
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
    return (
        select min(o.due_at)
        from (select '' as name union all select q.domain from marketing_automation_internal.domain_queue q) d
        cross join lateral (
            select o.due_at from marketing_automation_internal.outbox o
            where o.activity_id = of_activity and o.domain_queue = d.name and o.due_at between first and last and o.state = 'queued'
            order by o.due_at limit 1) o);
end $$;
comment on function marketing_automation_internal.next_mail(integer, timestamptz, timestamptz) is
    'API: private. When the first queued mail of an activity is due, within these times; null: none is';

create function marketing_automation_internal.rehearse_entering(copy_id integer, at timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    copy marketing_automation.scenario;
    its record;
begin
    select s.* into strict copy from marketing_automation.scenario s where s.id = copy_id;
    perform marketing_automation_internal.begin_turn();
    select e.* into its from marketing_automation_internal.enroll_one(copy, at, false) e;
    perform marketing_automation_internal.end_turn();
    if its.code is not null then
        raise exception using message = its.error, errcode = its.code;
    end if;
    return marketing_automation_internal.time_was_asked() or marketing_automation_internal.may_enter_again(copy);
end $$;
comment on function marketing_automation_internal.rehearse_entering(integer, timestamptz) is
    'API: private. Enters all rows that may enter the copy of a scenario now; raises where enroll() would keep the error. '
    'Whether others, or the same again, may enter at another time';

create function marketing_automation_internal.rehearse_sweeps(copy_id integer, at timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    copy marketing_automation.scenario;
    what text;
begin
    select s.* into strict copy from marketing_automation.scenario s where s.id = copy_id;
    foreach what in array array['exit', 'goal', 'date'] loop
        continue when case what when 'exit' then copy.exit_condition is null when 'goal' then copy.goal is null
            else not marketing_automation_internal.has_dates(copy_id) end;
        while marketing_automation_internal.sweep_slice(copy, what, marketing_automation_internal.rehearsal_batch(), at, true) > 0 loop
            null;
        end loop;
    end loop;
end $$;
comment on function marketing_automation_internal.rehearse_sweeps(integer, timestamptz) is
    'API: private. Asks all records of the copy of a scenario for their exit, their goal and their dates';

create function marketing_automation_internal.rehearse_events(after timestamptz, until timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set enable_seqscan = off as $$
declare
    batch record;
    reached_at timestamptz := after;
    reached_record bigint := 9223372036854775807;
    reached_activity integer := 0;
    reached_kind text := '';
begin
    loop
        select array_agg(e.at) as times, array_agg(e.record_id) as records, array_agg(e.activity_id) as activities,
            array_agg(e.kind) as kinds, count(*) as events
        into batch
        from (select e.* from marketing_automation_internal.rehearsed_event e
              where e.at <= until
                and (e.at, e.record_id, e.activity_id, e.kind) > (reached_at, reached_record, reached_activity, reached_kind)
              order by e.at, e.record_id, e.activity_id, e.kind limit marketing_automation_internal.rehearsal_batch()) e;
        exit when batch.events = 0;
        perform marketing_automation_internal.mark_events(batch.records, batch.activities, batch.kinds, batch.times);
        reached_at := batch.times[batch.events];
        reached_record := batch.records[batch.events];
        reached_activity := batch.activities[batch.events];
        reached_kind := batch.kinds[batch.events];
    end loop;
end $$;
comment on function marketing_automation_internal.rehearse_events(timestamptz, timestamptz) is
    'API: private. Has the assumed opens and clicks happen that come after a moment, until another one';

create function marketing_automation_internal.finished_in_period(of_activity integer, at timestamptz) returns bigint
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(sum(c.done + c.skipped + c.cancelled + c.failed), 0) from marketing_automation_internal.activity_counter c
    where c.activity_id = of_activity and c.period = marketing_automation_internal.counter_period(at)
$$;
comment on function marketing_automation_internal.finished_in_period(integer, timestamptz) is
    'API: private. For how many records an activity has ended within the period of a moment';

create function marketing_automation_internal.rehearse_activities(copies integer[], since timestamptz, at timestamptz, deadline timestamptz,
    inout stuck integer[], out handled bigint)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    batch_size constant integer := marketing_automation_internal.rehearsal_batch();
    activity marketing_automation.activity;
    first timestamptz;
    ended bigint;
    taken integer;
begin
    handled := 0;
    for activity in select a.* from marketing_automation.activity a where a.scenario_id = any (copies) order by a.id loop
        continue when activity.id = any (stuck);
        first := since;
        loop
            -- From where it has found due records last: what was taken is not gone from the index before the rehearsal ends.
            first := marketing_automation_internal.next_waiting(activity.id, first, at);
            exit when first is null;
            perform marketing_automation_internal.set_queue_cursor('waiting', activity.id, '', first);
            ended := marketing_automation_internal.finished_in_period(activity.id, at);
            taken := marketing_automation_internal.process_activity(activity, batch_size, at);
            if taken = 0 then
                -- Its scenario has the error by now.
                stuck := stuck || activity.id;
                exit;
            end if;
            handled := handled + taken;
            ended := taken - marketing_automation_internal.finished_in_period(activity.id, at) + ended;
            insert into marketing_automation_internal.rehearsed_wait (activity_id, at, waits)
            select activity.id, rehearse_activities.at, ended where ended > 0;
            exit when clock_timestamp() > deadline;
        end loop;
    end loop;
end $$;
comment on function marketing_automation_internal.rehearse_activities(integer[], timestamptz, timestamptz, timestamptz, inout integer[],
    out bigint) is
    'API: private. Runs all that is due by a moment of the activities of copies, and has waited since another one at the earliest; how '
    'many records. stuck: activities that do not run any more, as their expressions raise for reasons that are no row''s';

create function marketing_automation_internal.rehearse_decisions(copies integer[], at timestamptz, out handled bigint)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    copy marketing_automation.scenario;
    taken integer;
begin
    handled := 0;
    loop
        taken := marketing_automation_internal.run_experiments(null, true, marketing_automation_internal.rehearsal_batch(), at, copies);
        exit when taken = 0;
        handled := handled + taken;
    end loop;
    for copy in
        select s.* from marketing_automation.scenario s
        where s.id = any (copies) and exists (
            select from marketing_automation.activity a where a.scenario_id = s.id and a.wait_until is not null)
        order by s.id
    loop
        while marketing_automation_internal.sweep_slice(copy, 'wait', marketing_automation_internal.rehearsal_batch(), at, true) > 0 loop
            null;
        end loop;
    end loop;
end $$;
comment on function marketing_automation_internal.rehearse_decisions(integer[], timestamptz, out bigint) is
    'API: private. Decides the experiments of copies whose time has come, and lets those go on who wait for what is true now; how many have got '
    'a winner';

create function marketing_automation_internal.late_mails(copies integer[], moment timestamptz)
    returns table (activity_id integer, mails bigint)
language sql stable rows 10 set search_path = pg_catalog, pg_temp as $$
    select a.id, count(*) from marketing_automation.activity a
    join marketing_automation_internal.outbox o on o.activity_id = a.id and o.state = 'queued' and o.due_at > moment
    where a.scenario_id = any (copies) group by a.id
$$;
comment on function marketing_automation_internal.late_mails(integer[], timestamptz) is
    'API: private. How many queued mails of copies wait for a moment that is to come';

create function marketing_automation_internal.mails_due(copies integer[], first timestamptz, last timestamptz) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    select count(marketing_automation_internal.next_mail(a.id, first, last)) > 0 from marketing_automation.activity a
    where a.scenario_id = any (copies) and a.action in ('send_email', 'webhook')
$$;
comment on function marketing_automation_internal.mails_due(integer[], timestamptz, timestamptz) is
    'API: private. Whether queued mails of copies are due within these times';

create function marketing_automation_internal.rehearse_mails(copies integer[], since timestamptz, at timestamptz, opens numeric,
    clicks numeric, out sent bigint)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    late jsonb;
    batch record;
    empty integer := 0;
begin
    sent := 0;
    if not marketing_automation_internal.mails_due(copies, since, at) then
        return;
    end if;
    late := coalesce((select jsonb_object_agg(l.activity_id, l.mails) from marketing_automation_internal.late_mails(copies, at) l), '{}');
    perform marketing_automation_internal.set_queue_cursor('outbox', a.id, q.name, since)
    from marketing_automation.activity a
    cross join (select '' as name union all select d.domain from marketing_automation_internal.domain_queue d) q
    where a.scenario_id = any (copies);
    -- A claim of which nothing may leave is followed by another one; what cannot be asked whether it may leave stays.
    while empty < 2 and marketing_automation_internal.mails_due(copies, since, at) loop
        select array_agg(c.id order by c.id) as ids, array_agg(c.attempt order by c.id) as attempts,
            array_agg(c.record_id order by c.id) as records, array_agg(c.activity_id order by c.id) as activities,
            array_agg(c.track_opens order by c.id) as opens, array_agg(c.track_clicks order by c.id) as clicks, count(*)::integer as mails
        into batch
        from marketing_automation_internal.claim_messages(marketing_automation_internal.rehearsal_batch(), false, null, at, copies) c;
        if batch.mails = 0 then
            empty := empty + 1;
            continue;
        end if;
        empty := 0;
        sent := sent + batch.mails;
        perform marketing_automation_internal.complete_messages(batch.ids, batch.attempts, array_fill('sent'::text, array[batch.mails]),
            array_fill('250 ok'::text, array[batch.mails]), array_fill(0::double precision, array[batch.mails]), now => at);
        -- Who clicks, opens too. By a hash, so that the same people do so in each rehearsal.
        insert into marketing_automation_internal.rehearsed_event (at, record_id, activity_id, kind)
        select rehearse_mails.at + case when h.haste < 0.5 then interval '1 hour' when h.haste < 0.75 then interval '6 hours'
                when h.haste < 0.9 then interval '1 day' else interval '2 days' end, m.record_id, m.activity_id, k.kind
        from unnest(batch.records, batch.activities, batch.opens, batch.clicks) as m (record_id, activity_id, track_opens, track_clicks)
        join marketing_automation_internal.record r on r.id = m.record_id
        join marketing_automation.activity a on a.id = m.activity_id
        cross join lateral (
            select (hashtextextended(r.key || '/' || a.name, 1) & 1048575) / 1048576.0 as interest,
                (hashtextextended(r.key || '/' || a.name, 2) & 1048575) / 1048576.0 as haste) h
        cross join lateral (values ('email_opened', m.track_opens and h.interest < rehearse_mails.opens),
            ('email_clicked', m.track_clicks and h.interest < rehearse_mails.clicks)) as k (kind, happens)
        where k.happens;
    end loop;
    insert into marketing_automation_internal.rehearsed_wait (activity_id, at, waits)
    select l.activity_id, rehearse_mails.at, l.mails - coalesce((late ->> l.activity_id::text)::bigint, 0)
    from marketing_automation_internal.late_mails(copies, at) l
    where l.mails > coalesce((late ->> l.activity_id::text)::bigint, 0);
end $$;
comment on function marketing_automation_internal.rehearse_mails(integer[], timestamptz, timestamptz, numeric, numeric, out bigint) is
    'API: private. Has all mails of copies leave that are due by a moment, since another one at the earliest, and that may, and assumes '
    'who will open and click; how many. Nothing is sent: they are claimed, and recorded as taken by the mail server';

create function marketing_automation_internal.next_moment(copies integer[], stuck integer[], moment timestamptz, until timestamptz)
    returns timestamptz
language sql set search_path = pg_catalog, pg_temp as $$
    select least(
        (select min(least(
                case when a.id <> all (stuck)
                    then marketing_automation_internal.next_waiting(a.id, moment + interval '1 microsecond', until) end,
                marketing_automation_internal.next_mail(a.id, moment + interval '1 microsecond', until)))
         from marketing_automation.activity a where a.scenario_id = any (copies)),
        (select min(e.at) from marketing_automation_internal.rehearsed_event e where e.at > moment and e.at <= until),
        (select min(e.began_at + a.decide_after) from marketing_automation.activity a
         join marketing_automation_internal.experiment e on e.activity_id = a.id and e.winner_id is null
         where a.scenario_id = any (copies) and e.began_at + a.decide_after > moment))
$$;
comment on function marketing_automation_internal.next_moment(integer[], integer[], timestamptz, timestamptz) is
    'API: private. When something of the copies is due after a moment; null: nothing is until the end';

create function marketing_automation_internal.full_minute(at timestamptz) returns timestamptz
language sql immutable
return date_bin('1 minute', at + interval '1 minute' - interval '1 microsecond', '2000-01-01 00:00+00');
comment on function marketing_automation_internal.full_minute(timestamptz) is 'API: private. A moment, or the next full minute after it';

create function marketing_automation_internal.demand_time(deadline timestamptz, sample numeric, start timestamptz, at timestamptz,
    until timestamptz) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    played numeric := extract(epoch from at - start) / extract(epoch from until - start);
begin
    if clock_timestamp() > deadline then
        raise exception 'the rehearsal takes longer than max_time' using errcode = 'program_limit_exceeded',
            detail = format('It has come to %s, which is %s %% of the time that it plays.', marketing_automation_internal.moment(at),
                round(played * 100)),
            hint = format('Rehearse a part of the people: sample => %s. Or a shorter time, a longer step, or with a longer max_time.',
                trim_scale(greatest(round(sample * greatest(played, 0.05) / 2, 2), 0.01)));
    end if;
end $$;
comment on function marketing_automation_internal.demand_time(timestamptz, numeric, timestamptz, timestamptz, timestamptz) is
    'API: private. Raises, with a sample that would fit, when a rehearsal has taken longer than it may';

create function marketing_automation_internal.play_rehearsal(copies integer[], names text, start timestamptz, until timestamptz,
    sample numeric, opens numeric, clicks numeric, step interval, deadline timestamptz, messages text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    zone text := marketing_automation_internal.database_time_zone();
    at timestamptz := start;
    before timestamptz := '-infinity';
    mails_since timestamptz := '-infinity';
    next_look timestamptz := start;
    noticed timestamptz := clock_timestamp();
    -- Those of whom other rows, or the same again, and other exits and goals may be found at another time.
    entering integer[] := '{}';
    dated integer[] := '{}';
    stuck integer[] := '{}';
    copy_id integer;
    step_began timestamptz;
    handled bigint;
    sent bigint;
begin
    perform marketing_automation_internal.time_was_asked();
    loop
        step_began := clock_timestamp();
        perform marketing_automation_internal.assume_time(at);
        perform marketing_automation_internal.show_step(format('rehearse %s until %s, now at %s', names, until, at));
        if clock_timestamp() > noticed + interval '10 seconds' then
            noticed := clock_timestamp();
            perform set_config('client_min_messages', messages, true);
            raise notice 'rehearsed up to %', at;
            perform set_config('client_min_messages', 'error', true);
        end if;
        if at >= next_look then
            foreach copy_id in array copies loop
                if at = start or copy_id = any (entering) then
                    if marketing_automation_internal.rehearse_entering(copy_id, at) then
                        entering := array_append(array_remove(entering, copy_id), copy_id);
                        dated := array_append(array_remove(dated, copy_id), copy_id);
                    end if;
                end if;
                if at = start or copy_id = any (dated) then
                    perform marketing_automation_internal.rehearse_sweeps(copy_id, at);
                    if marketing_automation_internal.time_was_asked() then
                        dated := array_append(array_remove(dated, copy_id), copy_id);
                    end if;
                end if;
                perform marketing_automation_internal.demand_time(deadline, sample, start, at, until);
            end loop;
            next_look := timezone(zone, timezone(zone, at)::date + 1);
        end if;
        perform marketing_automation_internal.rehearse_events(before, at);
        loop
            select a.stuck, a.handled into stuck, handled
            from marketing_automation_internal.rehearse_activities(copies, before - interval '1 minute', at, deadline, stuck) a;
            handled := handled + marketing_automation_internal.rehearse_decisions(copies, at);
            sent := marketing_automation_internal.rehearse_mails(copies, mails_since, at, opens, clicks);
            perform marketing_automation_internal.demand_time(deadline, sample, start, at, until);
            exit when handled = 0 and sent = 0;
        end loop;
        -- Processing asks all copies at once.
        if marketing_automation_internal.time_was_asked() then
            dated := copies;
        end if;
        before := at;
        -- Mails are queued for the present at the latest: see process_records(). Those that could not be asked whether they may leave wait.
        if not marketing_automation_internal.mails_due(copies, mails_since, at) then
            mails_since := least(before, step_began);
        end if;
        at := least(marketing_automation_internal.next_moment(copies, stuck, at, until),
            case when entering <> '{}' or dated <> '{}' then next_look end);
        exit when at is null or at > until;
        at := least(greatest(marketing_automation_internal.full_minute(at), before + step), until);
        exit when at = before;
    end loop;
    perform marketing_automation_internal.show_step(null);
end $$;
comment on function marketing_automation_internal.play_rehearsal(integer[], text, timestamptz, timestamptz, numeric, numeric, numeric,
    interval, timestamptz, text) is
    'API: private. Plays copies of scenarios from start until the end, from moment to moment. Rows enter, and exits and goals are asked, '
    'at the start and, where they depend on the time, at each midnight. messages: the client_min_messages of who asked, to '
    'tell how far it is';
