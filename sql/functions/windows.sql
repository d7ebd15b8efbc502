-- When mails may leave: windows by the recipient's clock, and the time of day of an activity.
--
-- A moment is inside a window when the clock of that place shows a time of the window. An hour that the clock repeats belongs to it
-- both times, one that it leaves out does not exist; and a time of day that is left out has come with the first one after it.

create function marketing_automation_internal.first_moment(local timestamp, zone text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    moment timestamptz := timezone(zone, local);
begin
    if timezone(zone, moment) = local and timezone(zone, moment - interval '25 hours') = local - interval '25 hours' then
        return moment;
    end if;
    -- A clock change is near: minute by minute, as they are made on whole ones.
    return (select min(m.moment) from generate_series(moment - interval '25 hours', moment, '1 minute') as m (moment)
            where timezone(zone, m.moment) >= local);
end $$;
comment on function marketing_automation_internal.first_moment(timestamp, text) is
    'API: private. The first moment at which the clock of a time zone, which exists, shows this time or, where that is left out, a later one';

create function marketing_automation_internal.window_zone(send_window marketing_automation.send_window, zone text) returns text
language sql stable
return case when zone <> '' then marketing_automation_internal.usable_time_zone(zone)
    else coalesce((send_window).time_zone, marketing_automation_internal.database_time_zone()) end;
comment on function marketing_automation_internal.window_zone(marketing_automation.send_window, text) is
    'API: private. The time zone in which a window counts for a recipient: his, else the window''s, else the database''s';

create function marketing_automation_internal.is_open(send_window marketing_automation.send_window, zone text, moment timestamptz)
    returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(bool_or(extract(isodow from o.day) = any (send_window.days) and not exists (
            select from marketing_automation.holiday h where h.calendar = send_window.calendar and h.day = o.day)), false)
    from (select timezone(zone, moment) as local) c
    -- The day on which it opened.
    cross join lateral (
        select c.local::date where c.local::time >= send_window.opens
            and (c.local::time < send_window.closes or send_window.closes < send_window.opens)
        union all
        select c.local::date - 1 where send_window.closes < send_window.opens and c.local::time < send_window.closes) as o (day)
$$;
comment on function marketing_automation_internal.is_open(marketing_automation.send_window, text, timestamptz) is
    'API: private. Whether a moment is inside a window, by the clock of a time zone, which exists';

create function marketing_automation_internal.next_opening(send_window marketing_automation.send_window, zone text, start timestamptz)
    returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    first_day date := timezone(zone, start)::date;
    moment timestamptz := start;
begin
    if marketing_automation_internal.is_open(send_window, zone, start) then
        return start;
    end if;
    for day in 0..400 loop
        if extract(isodow from first_day + day) = any (send_window.days) then
            moment := marketing_automation_internal.first_moment(first_day + day + send_window.opens, zone);
            if moment > start and marketing_automation_internal.is_open(send_window, zone, moment) then
                return moment;
            end if;
        end if;
    end loop;
    return null;
end $$;
comment on function marketing_automation_internal.next_opening(marketing_automation.send_window, text, timestamptz) is
    'API: private. The moment itself if a window is open then, otherwise when it opens next in a time zone, which exists; null: not within '
    '400 days';

create function marketing_automation_internal.window_state(send_window marketing_automation.send_window, zone text, moment timestamptz,
    out opens_at timestamptz, out closes_at timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    local timestamp := timezone(zone, moment);
    -- Longer than any lease. In the minute before a clock change all windows are shut, so that nothing leaves at a time that was skipped
    -- to, or gone back to.
    ahead constant interval := '61 seconds';
    clock_changes boolean := timezone(zone, moment + ahead) <> local + ahead;
begin
    if not clock_changes and marketing_automation_internal.is_open(send_window, zone, moment) then
        closes_at := moment + (local::date + send_window.closes - local)
            + case when send_window.closes < send_window.opens and local::time >= send_window.opens then interval '24 hours' else '0' end;
        return;
    end if;
    opens_at := coalesce(marketing_automation_internal.next_opening(send_window, zone, moment + case when clock_changes then ahead else '0' end),
        -- It is looked at again then.
        moment + interval '400 days');
end $$;
comment on function marketing_automation_internal.window_state(marketing_automation.send_window, text, timestamptz, out timestamptz,
    out timestamptz) is
    'API: private. When a window that is shut opens; or else when it closes, exact within the next minute';

create function marketing_automation_internal.its_window(activity marketing_automation.activity) returns marketing_automation.send_window
language sql stable set search_path = pg_catalog, pg_temp as $$
    select w.* from marketing_automation.send_window w
    where activity.action = 'send_email' and w.name = coalesce(activity.send_window, (
        select coalesce(s.send_window, k.send_window) from marketing_automation.scenario s
        join marketing_automation.message_class k on k.name = coalesce(activity.message_class, s.message_class)
        where s.id = activity.scenario_id))
$$;
comment on function marketing_automation_internal.its_window(marketing_automation.activity) is
    'API: private. The window in which the mails of an activity may leave: its own, else that of its scenario, else that of its class, which '
    'the claim asks in any case; null: at any time';

create function marketing_automation_internal.its_windows(activity marketing_automation.activity)
    returns setof marketing_automation.send_window
language sql stable rows 2 set search_path = pg_catalog, pg_temp as $$
    select w.* from marketing_automation_internal.its_window(activity) w where w.name is not null
    union all
    select w.* from marketing_automation.scenario s
    join marketing_automation.message_class k on k.name = coalesce(activity.message_class, s.message_class)
    join marketing_automation.send_window w on w.name = k.send_window
    where s.id = activity.scenario_id and activity.action = 'send_email' and k.send_window <> coalesce(activity.send_window, s.send_window)
$$;
comment on function marketing_automation_internal.its_windows(marketing_automation.activity) is
    'API: private. The windows that are all to be open when a mail of an activity leaves: its own, or its scenario''s, and that of its class';

create function marketing_automation_internal.never_open_together(one marketing_automation.send_window, other marketing_automation.send_window)
    returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- Each as it is in a week of its own and in those beside it, as one that opens on Sunday may close on Monday.
    select not coalesce((
        select range_agg(tsrange(d.day + (w.its).opens, d.day + (w.its).closes
            + case when (w.its).closes < (w.its).opens then interval '1 day' else '0' end)) filter (where w.n = 1)
            && range_agg(tsrange(d.day + (w.its).opens, d.day + (w.its).closes
            + case when (w.its).closes < (w.its).opens then interval '1 day' else '0' end)) filter (where w.n = 2)
        from (values (1, one), (2, other)) as w (n, its)
        cross join lateral (select date '2024-01-01' + n as day from generate_series(-7, 13) n) d
        where extract(isodow from d.day) = any ((w.its).days)), false)
$$;
comment on function marketing_automation_internal.never_open_together(marketing_automation.send_window, marketing_automation.send_window) is
    'API: private. Whether no time of the week is in both of two windows, by one clock and whatever their holidays are';

create function marketing_automation_internal.time_to_run(activity marketing_automation.activity,
    send_window marketing_automation.send_window, zone text, start timestamptz) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    its_zone text := marketing_automation_internal.window_zone(send_window, zone);
    waits boolean := send_window.name is not null and send_window.outside = 'wait';
    first_day date := timezone(its_zone, start)::date;
    -- Where that is never inside the window, mails leave when it opens.
    at_time time := case
        when not waits or send_window.opens < send_window.closes and activity.at_time >= send_window.opens and activity.at_time < send_window.closes
            or send_window.closes < send_window.opens and (activity.at_time >= send_window.opens or activity.at_time < send_window.closes)
        then activity.at_time
        when activity.at_time is not null then send_window.opens end;
    moment timestamptz;
begin
    if at_time is null then
        return case when waits then coalesce(marketing_automation_internal.next_opening(send_window, its_zone, start), start + interval '400 days')
            else start end;
    end if;
    for day in 0..400 loop
        moment := marketing_automation_internal.first_moment(first_day + day + at_time, its_zone);
        if moment >= start and (not waits or marketing_automation_internal.is_open(send_window, its_zone, moment)) then
            return moment;
        end if;
    end loop;
    return start + interval '400 days';
end $$;
comment on function marketing_automation_internal.time_to_run(marketing_automation.activity, marketing_automation.send_window, text,
    timestamptz) is
    'API: private. When an activity that might run from start on does: at its time of day, and inside a window that lets mails wait';

create function marketing_automation_internal.put_off(activity marketing_automation.activity, records bigint[], now timestamptz)
    returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    send_window marketing_automation.send_window := marketing_automation_internal.its_window(activity);
    remaining bigint[];
begin
    if activity.at_time is null and (send_window.name is null or send_window.outside <> 'wait') then
        return records;
    end if;
    with waiting as materialized (
        select w.record_id, w.at, r.time_zone
        from unnest(records) as u (id)
        cross join lateral (
            select w.record_id, w.at from marketing_automation_internal.waiting_activity w
            -- By the primary key only: until the table is analyzed, the index of the activity's due rows looks as good, and reads them all.
            where w.record_id = u.id and w.activity_id + 0 = activity.id offset 0) w
        join marketing_automation_internal.record r on r.id = w.record_id
    ), zone as materialized (
        -- Whoever may leave now does, however long ago his time of day was.
        select z.time_zone, case when send_window.name is null or send_window.outside <> 'wait' or marketing_automation_internal.is_open(
                send_window, marketing_automation_internal.window_zone(send_window, z.time_zone), now) then now
            else marketing_automation_internal.time_to_run(activity, send_window, z.time_zone, now) end as at
        from (select distinct w.time_zone from waiting w) z
    ), due as materialized (
        select w.record_id, greatest(z.at, case when activity.at_time is not null
            then marketing_automation_internal.time_to_run(activity, send_window, w.time_zone, w.at) end) as at
        from waiting w join zone z on z.time_zone is not distinct from w.time_zone
    ), moved as (
        update marketing_automation_internal.waiting_activity w set at = d.at
        from due d where d.at > now and w.record_id = d.record_id and w.activity_id + 0 = activity.id
    )
    select coalesce(array_agg(d.record_id order by d.record_id) filter (where d.at <= now), '{}') into remaining from due d;
    return remaining;
end $$;
comment on function marketing_automation_internal.put_off(marketing_automation.activity, bigint[], timestamptz) is
    'API: private. Lets due records, which the caller has locked, wait for their time of day or the opening of their window; returns those '
    'that run now';

create function marketing_automation_internal.shut_out(mail marketing_automation_internal.outbox, moment timestamptz) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('outside send window "%s"', w.name)
    from marketing_automation.activity a
    cross join lateral marketing_automation_internal.its_windows(a) w
    where a.id = mail.activity_id and w.outside = 'skip'
      and not marketing_automation_internal.is_open(w, marketing_automation_internal.window_zone(w, mail.time_zone), moment)
    limit 1
$$;
comment on function marketing_automation_internal.shut_out(marketing_automation_internal.outbox, timestamptz) is
    'API: private. Why a mail that leaves then is skipped by its window; null: it is not';

-- What is written.

create function marketing_automation_internal.check_send_window(name text, whose text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Nobody deletes it before this is committed.
    perform from marketing_automation.send_window w where w.name = check_send_window.name for key share;
    if not found and name is not null then
        raise exception 'send window "%" of % does not exist', name, whose
            using errcode = 'undefined_object',
                  hint = marketing_automation_internal.name_hint(name, array(select w.name from marketing_automation.send_window w),
                      format('insert into marketing_automation.send_window (name, days, opens, closes) '
                          'values (%L, ''{1,2,3,4,5}'', ''09:00'', ''18:00'');', name));
    end if;
end $$;
comment on function marketing_automation_internal.check_send_window(text, text) is
    'API: private. Raises unless a window exists, or is null, and keeps it until the transaction ends';

create function marketing_automation_internal.send_window_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    user_of text;
begin
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.name <> old.name then
        user_of := coalesce(
            (select format('scenario "%s"', s.name) from marketing_automation.scenario s where s.send_window = old.name order by s.id limit 1),
            (select format('activity "%s"', a.name) from marketing_automation.activity a where a.send_window = old.name order by a.id limit 1),
            (select format('message_class "%s"', c.name) from marketing_automation.message_class c where c.send_window = old.name
             order by c.name limit 1));
        if user_of is not null then
            raise exception 'send window "%" is in use by % and cannot be %', old.name,
                replace(user_of, 'message_class', 'message class'),
                case tg_op when 'DELETE' then 'deleted' else 'renamed' end
                using errcode = 'object_in_use', detail = 'Its mails would leave at any time.',
                      hint = format('update marketing_automation.%s set send_window = null where send_window = %L;',
                          split_part(user_of, ' ', 1), old.name);
        end if;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if marketing_automation_internal.is_restoring() or marketing_automation_internal.only_renames_owner(to_jsonb(old), to_jsonb(new)) then
        return new;
    end if;
    perform marketing_automation_internal.check_value(new.outside, array['wait', 'skip'], 'outside', format('send window "%s"', new.name));
    -- How many first: a claim looks at each of them.
    if (case when new.days is null or array_ndims(new.days) <> 1 or cardinality(new.days) > 7 then true
            else not new.days <@ '{1,2,3,4,5,6,7}' or cardinality(new.days) > (select count(distinct d) from unnest(new.days) d) end) then
        raise exception 'days of send window "%" are not days of the week', new.name
            using errcode = 'check_violation', hint = 'Write numbers from 1, Monday, to 7, Sunday, each once: ''{1,2,3,4,5}''.';
    end if;
    if new.opens is null or new.closes is null then
        raise exception 'opens and closes of send window "%" must not be null', new.name
            using errcode = 'null_value_not_allowed', hint = 'Write opens 00:00 and closes 24:00 for the whole day.';
    end if;
    if new.opens = new.closes then
        raise exception 'send window "%" closes when it opens', new.name
            using errcode = 'check_violation', hint = 'Write opens 00:00 and closes 24:00 for the whole day.';
    end if;
    if (new.closes - new.opens + case when new.closes < new.opens then interval '24 hours' else '0' end) < interval '1 minute' then
        raise exception 'send window "%" is open for less than a minute', new.name
            using errcode = 'check_violation', hint = 'Let it close later.';
    end if;
    if new.time_zone is not null and not marketing_automation_internal.is_time_zone(new.time_zone) then
        raise exception 'time zone "%" of send window "%" does not exist', new.time_zone, new.name
            using errcode = 'check_violation', hint = 'See: select name from pg_timezone_names;';
    end if;
    if new.calendar is not null and not exists (select from marketing_automation.holiday h where h.calendar = new.calendar) then
        raise exception 'calendar "%" of send window "%" does not exist', new.calendar, new.name
            using errcode = 'undefined_object',
                  hint = marketing_automation_internal.name_hint(new.calendar,
                      array(select distinct h.calendar from marketing_automation.holiday h),
                      format('Give it a day first: insert into marketing_automation.holiday (calendar, day) values (%L, ''2030-12-25'');', new.calendar));
    end if;
    if marketing_automation_internal.next_opening(new, marketing_automation_internal.window_zone(new, null), statement_timestamp()) is null then
        raise exception 'send window "%" never opens', new.name
            using errcode = 'check_violation', detail = case when new.days = '{}' then 'It has no days.'
                      else 'Its calendar has all of its days within the next 400.' end,
                  hint = format('Give it days on which it opens: update marketing_automation.send_window set days = ''{1,2,3,4,5}'' where name = %L;',
                      new.name);
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.send_window_validate() is
    'API: private. A window opens, in a zone and by a calendar that exist; one that is in use stays';

create function marketing_automation_internal.send_window_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- One that is new, or gone, is used by nobody.
    if not marketing_automation_internal.is_restoring() then
        perform marketing_automation_internal.look_again_at(array(
            select n.name from new_window n join old_window o on o.name = n.name
            where (n.days, n.opens, n.closes, n.calendar, n.time_zone, n.outside)
                is distinct from (o.days, o.opens, o.closes, o.calendar, o.time_zone, o.outside)));
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.send_window_changed() is
    'API: private. Trigger: mails within a window that opens at other times are claimed anew';

create function marketing_automation_internal.holiday_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    given text[] := '{}';
    lost text[] := '{}';
    fault record;
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    if tg_op = 'INSERT' then
        given := array(select distinct n.calendar from new_day n);
    elsif tg_op = 'DELETE' then
        lost := array(select distinct o.calendar from old_day o);
    else
        given := array(select distinct n.calendar from (select n.calendar, n.day from new_day n except select o.calendar, o.day from old_day o) n);
        lost := array(select distinct o.calendar from (select o.calendar, o.day from old_day o except select n.calendar, n.day from new_day n) o);
    end if;
    select w.name, w.calendar into fault from marketing_automation.send_window w
    where w.calendar = any (lost) and not exists (select from marketing_automation.holiday h where h.calendar = w.calendar)
    order by w.name limit 1;
    if found then
        raise exception 'calendar "%" is in use by send window "%" and must keep a day', fault.calendar, fault.name
            using errcode = 'object_in_use', detail = 'Mails would leave on its days.',
                  hint = format('Give it the new days first, or: update marketing_automation.send_window set calendar = null where calendar = %L;',
                      fault.calendar);
    end if;
    select w.name into fault from marketing_automation.send_window w
    where w.calendar = any (given)
      and marketing_automation_internal.next_opening(w, marketing_automation_internal.window_zone(w, null), statement_timestamp()) is null
    order by w.name limit 1;
    if found then
        raise exception 'send window "%" would never open', fault.name
            using errcode = 'check_violation', detail = 'Its calendar would have all of its days within the next 400.',
                  hint = 'pause() stops all mails; a scenario''s are stopped by stop().';
    end if;
    perform marketing_automation_internal.look_again_at(array(
        select w.name from marketing_automation.send_window w where w.calendar = any (given || lost)));
    return null;
end $$;
comment on function marketing_automation_internal.holiday_changed() is
    'API: private. Trigger: no calendar keeps a window shut for ever, or goes while a window uses it; mails within those are claimed anew';

create trigger choose_owner before insert or update of owner, owner_id on marketing_automation.send_window
    for each row execute function marketing_automation_internal.choose_owner();

create trigger guard before insert or update or delete on marketing_automation.send_window
    for each row execute function marketing_automation_internal.guard();

create trigger validate before insert or update or delete on marketing_automation.send_window
    for each row execute function marketing_automation_internal.send_window_validate();

create trigger changed after update on marketing_automation.send_window
    referencing old table as old_window new table as new_window
    for each statement execute function marketing_automation_internal.send_window_changed();

create trigger inserted after insert on marketing_automation.holiday
    referencing new table as new_day
    for each statement execute function marketing_automation_internal.holiday_changed();

create trigger changed after update on marketing_automation.holiday
    referencing old table as old_day new table as new_day
    for each statement execute function marketing_automation_internal.holiday_changed();

create trigger deleted after delete on marketing_automation.holiday
    referencing old table as old_day
    for each statement execute function marketing_automation_internal.holiday_changed();
