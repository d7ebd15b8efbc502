-- What would a campaign do to servers and people? The machine itself plays it, on copies of its scenarios and at assumed times, in a
-- subtransaction that is rolled back; what is told is counted before that.

create function marketing_automation_internal.rehearsal_report(copies integer[], names text[], start timestamptz, new_records bigint,
    new_mails bigint, new_conversions bigint, sample numeric) returns jsonb
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
    with copy as (
        select c.id, c.name, c.n from unnest(copies, names) with ordinality as c (id, name, n)
    ), fact as (
        -- What happened when, to how many.
        select r.entered_at as at, c.n, null::integer as activity_id, case when r.held_out then 'held_out' else 'entered' end as what,
            null as reason, count(*) as records
        from copy c join marketing_automation_internal.record r on r.scenario_id = c.id
        where r.id > new_records group by 1, 2, 4
        union all
        select greatest(v.at, start), c.n, null, 'converted', null, count(*)
        from copy c join marketing_automation.conversion v on v.scenario_id = c.id
        where v.id > new_conversions group by 1, 2
        union all
        select greatest(k.at, start), c.n, a.id, case when f.state in ('cancelled', 'failed') then f.state else 'skipped' end,
            case when f.state = 'failed' then 'error ' || f.error_code else f.outcome end, count(*)
        from copy c join marketing_automation.activity a on a.scenario_id = c.id
        join marketing_automation_internal.finished_activity f on f.activity_id = a.id
        left join marketing_automation_internal.finished_activity p on f.outcome = 'event_arrived' and p.record_id = f.record_id
            and p.activity_id = a.parent_id
        cross join lateral (
            -- What an event has cancelled ended in the present.
            select coalesce(marketing_automation_internal.event_time(p, a.on_event),
                case when f.finished_at = statement_timestamp() then f.at else f.finished_at end) as at) k
        where f.outcome not in ('mailed', 'posted', 'executed') and (f.record_id > new_records or k.at >= start)
        group by 1, 2, 3, 4, 5
        union all
        select m.finished_at, c.n, a.id, case when m.sent_at is null then 'not_sent' when m.target is null then 'mailed' else 'posted' end,
            case when m.sent_at is null then m.smtp_reply end, count(*)
        from copy c join marketing_automation.activity a on a.scenario_id = c.id
        join marketing_automation_internal.message_log m on m.activity_id = a.id
        where m.id > new_mails group by 1, 2, 3, 4, 5
        union all
        select w.at, c.n, a.id, 'put_off', null, sum(w.waits)
        from copy c join marketing_automation.activity a on a.scenario_id = c.id
        join marketing_automation_internal.rehearsed_wait w on w.activity_id = a.id group by 1, 2, 3
        union all
        select e.at, c.n, a.id, e.what, null, count(*)
        from copy c join marketing_automation.activity a on a.scenario_id = c.id
        join marketing_automation_internal.finished_activity f on f.activity_id = a.id
        cross join lateral (values ('opened', f.opened_at), ('clicked', f.clicked_at)) as e (what, at)
        where e.at >= start group by 1, 2, 3, 4
    ), day as (
        select timezone(z.zone, f.at)::date as day, f.n, f.activity_id, f.what, f.reason, sum(f.records) as records,
            case when f.what = 'mailed' then date_trunc('hour', timezone(z.zone, f.at)) end as hour
        from fact f cross join (select marketing_automation_internal.database_time_zone() as zone) z
        group by 1, 2, 3, 4, 5, hour
    ), reason as (
        select d.day, d.n, d.activity_id, jsonb_object_agg(d.reason, round(d.records * 100 / sample) order by d.reason) as reasons
        from (select d.day, d.n, d.activity_id, d.reason, sum(d.records) as records from day d
              where d.reason is not null group by 1, 2, 3, 4) d
        group by 1, 2, 3
    ), line as (
        select d.day, d.n, d.activity_id, jsonb_object_agg(d.what, round(d.records * 100 / sample)) as counts,
            round(max(d.busiest) * 100 / sample) as busiest
        from (select d.day, d.n, d.activity_id, d.what, sum(d.records) as records,
                  max(d.records) filter (where d.hour is not null) as busiest
              from day d group by 1, 2, 3, 4) d
        group by 1, 2, 3
    )
    select coalesce(jsonb_agg(l.counts || jsonb_build_object('day', l.day, 'scenario', c.name, 'activity', a.name,
        'busiest_hour', l.busiest, 'reasons', r.reasons) order by l.day, l.n, t.ordinal nulls first), '[]')
    from line l
    join copy c on c.n = l.n
    left join marketing_automation.activity a on a.id = l.activity_id
    left join lateral (
        select t.ordinal from marketing_automation_internal.activity_tree(c.id) t where t.activity_id = l.activity_id) t on true
    left join reason r on r.day = l.day and r.n = l.n and r.activity_id = l.activity_id
$$;
comment on function marketing_automation_internal.rehearsal_report(integer[], text[], timestamptz, bigint, bigint, bigint, numeric) is
    'API: private. What has happened in a rehearsal, a JSON object for each day, scenario and activity, counts for all rows where a sample '
    'was played. new_records, new_mails, new_conversions: the highest ids before it';

create function marketing_automation_internal.check_rehearsal(caller regrole, scenario_names text[], until timestamptz, sample numeric,
    opens numeric, clicks numeric, start timestamptz, step interval, max_time interval) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    its_name text;
    readable text[];
begin
    if coalesce(cardinality(scenario_names), 0) not between 1 and 100 or array_position(scenario_names, null) is not null then
        raise exception 'scenario_names must be names of 1 to 100 scenarios' using errcode = 'invalid_parameter_value',
            hint = 'For instance array[''welcome'', ''newsletter''].';
    end if;
    foreach its_name in array scenario_names loop
        if not exists (select from marketing_automation.scenario s where s.name = its_name) then
            readable := array(
                select s.name from marketing_automation.scenario s
                where marketing_automation_internal.has_right(caller, s.owner_id, 'read') order by s.id);
            raise exception 'scenario "%" does not exist', its_name using errcode = 'undefined_object',
                hint = marketing_automation_internal.name_hint(its_name, readable, 'See: select name from marketing_automation.scenario;');
        end if;
    end loop;
    if start is null or not isfinite(start) then
        raise exception 'start must be a time, not %', coalesce(start::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for now.';
    end if;
    if until is null or not isfinite(until) or until <= start then
        raise exception 'until must be a time after start, not %', coalesce(until::text, 'null')
            using errcode = 'invalid_parameter_value', detail = format('The rehearsal starts at %s.', start),
                  hint = 'For instance now() + interval ''7 days''.';
    end if;
    if until > start + interval '3 years' then
        raise exception 'a rehearsal plays 3 years at most' using errcode = 'invalid_parameter_value',
            detail = format('It starts at %s, and until is %s.', start, until),
                  hint = 'Choose an earlier until.';
    end if;
    if sample is null or sample not between 0.01 and 100 then
        raise exception 'sample must be a percentage from 0.01 to 100, not %', coalesce(sample::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for all rows; 1 plays one person in a hundred.';
    end if;
    if opens is null or opens not between 0 and 1 or clicks is null or clicks not between 0 and 1 then
        raise exception '% must be a share from 0 to 1, not %',
            case when opens is null or opens not between 0 and 1 then 'opens' else 'clicks' end,
            coalesce(case when opens is null or opens not between 0 and 1 then opens else clicks end::text, 'null')
            using errcode = 'invalid_parameter_value', hint = '0.3 means three mails in ten.';
    end if;
    if step is null or step not between interval '1 minute' and interval '1 day' then
        raise exception 'step must be an interval from 1 minute to 1 day, not %', coalesce(step::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for an hour.';
    end if;
    if max_time is null or max_time not between interval '1 millisecond' and interval '1 day' then
        raise exception 'max_time must be an interval up to 1 day, not %', coalesce(max_time::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for 5 minutes.';
    end if;
end $$;
comment on function marketing_automation_internal.check_rehearsal(regrole, text[], timestamptz, numeric, numeric, numeric, timestamptz,
    interval, interval) is
    'API: private. Raises, naming it, for what rehearse() cannot work with';

create function marketing_automation_internal.demand_few_rows(originals marketing_automation.scenario[], sample numeric) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    max_rows constant bigint := 1000000;
    original marketing_automation.scenario;
    copied marketing_automation.scenario;
    model marketing_automation.model;
    its bigint;
    rows bigint := 0;
begin
    foreach original in array originals loop
        model := marketing_automation_internal.usable_model(original);
        select c.* into strict copied from jsonb_populate_record(original,
            jsonb_build_object('domain', marketing_automation_internal.sampled_domain(original, model, sample))) c;
        perform marketing_automation_internal.begin_turn();
        begin
            select q.rows into its
            from marketing_automation_internal.query_as_owner(original.owner_id, model.relation, format('select count(*) from (%s) q',
                marketing_automation_internal.entering_query(copied, model)), null) as q (rows bigint);
            rows := rows + its;
        exception when others then
            -- The fault of a row, which stands apart when the others enter.
            if marketing_automation_internal.is_passing_error(sqlstate) then
                raise;
            end if;
        end;
        perform marketing_automation_internal.end_turn();
    end loop;
    if rows > max_rows then
        raise exception 'a rehearsal plays % rows at most, not %', max_rows, rows using errcode = 'program_limit_exceeded',
            hint = format('Rehearse a part of the people: sample => %s.', trim_scale(greatest(trunc(sample * max_rows / rows, 2), 0.01)));
    end if;
end $$;
comment on function marketing_automation_internal.demand_few_rows(marketing_automation.scenario[], numeric) is
    'API: private. Raises, with a sample that would fit, when more rows may enter scenarios than a rehearsal plays';

create function marketing_automation_internal.rehearse(caller regrole, scenario_names text[], until timestamptz, sample numeric,
    opens numeric, clicks numeric, start timestamptz, step interval, max_time interval)
returns table (day date, scenario text, activity text, entered bigint, held_out bigint, mailed bigint, busiest_hour bigint, posted bigint, put_off bigint,
    not_sent bigint, skipped bigint, cancelled bigint, failed bigint, opened bigint, clicked bigint, converted bigint, reasons jsonb)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    deadline timestamptz := clock_timestamp() + max_time;
    messages text := current_setting('client_min_messages');
    names text[];
    originals marketing_automation.scenario[] := '{}';
    original marketing_automation.scenario;
    copies integer[] := '{}';
    began constant timestamptz := marketing_automation_internal.full_minute(start);
    new_records bigint;
    new_mails bigint;
    new_conversions bigint;
    told jsonb;
    sees boolean := true;
    problem record;
    problems jsonb;
    message text;
    code text;
    -- Nobody else can have, or wait for, a name with the number of this process.
    mark constant text := format(' (rehearsal %s)', pg_backend_pid());
begin
    perform marketing_automation_internal.demand_writing('rehearse()');
    perform marketing_automation_internal.check_rehearsal(caller, scenario_names, until, sample, opens, clicks, start, step, max_time);
    select array_agg(n.name order by n.first) into names
    from (select u.name, min(u.n) as first from unnest(scenario_names) with ordinality u (name, n) group by u.name) n;
    for n in 1..cardinality(names) loop
        original := marketing_automation_internal.scenario_for(caller, names[n], 'read');
        originals := originals || original;
        sees := sees and marketing_automation_internal.sees_rows(caller, original.id);
        perform marketing_automation_internal.usable_model(original);
        if not exists (select from marketing_automation.activity a where a.scenario_id = original.id and a.parent_id is null) then
            raise exception 'scenario "%" has no activity yet: nobody enters before it has one', original.name
                using errcode = 'object_not_in_prerequisite_state',
                      hint = format('select marketing_automation.add_activity(%L, …);', original.name);
        end if;
        if start < now() and exists (select from marketing_automation_internal.record r where r.scenario_id = original.id) then
            raise exception 'scenario "%" has records, which go on from now: its rehearsal cannot start in the past', original.name
                using errcode = 'invalid_parameter_value', detail = format('start is %s.', start), hint = 'Leave start away for now.';
        end if;
        perform marketing_automation_internal.warn_of_present('domain', original.name, original.domain);
        perform marketing_automation_internal.warn_of_present('exit condition', original.name, original.exit_condition);
        perform marketing_automation_internal.warn_of_present('occasion', original.name, original.occasion);
        perform marketing_automation_internal.warn_of_present('goal', original.name, original.goal);
        perform marketing_automation_internal.warn_of_present_in_activities(original.id);
    end loop;
    begin
        -- What the machine tells while it works would name the copies.
        perform set_config('client_min_messages', 'error', true);
        perform marketing_automation_internal.assume_time(began);
        perform marketing_automation_internal.demand_few_rows(originals, sample);
        foreach original in array originals loop
            copies := copies || marketing_automation_internal.copy_definition(original, original.name || mark, sample);
            perform marketing_automation_internal.copy_records(original, copies[cardinality(copies)], sample);
        end loop;
        new_conversions := nextval('marketing_automation.conversion_id_seq');
        new_records := nextval('marketing_automation.record_id_seq');
        new_mails := nextval('marketing_automation_internal.message_id_seq');
        perform marketing_automation_internal.play_rehearsal(copies, array_to_string(names, ', '), began, until, sample, opens, clicks,
            step, deadline, messages);
        told := marketing_automation_internal.rehearsal_report(copies, names, began, new_records, new_mails, new_conversions, sample);
        select jsonb_agg(jsonb_build_object('scenario', c.name, 'error', e.error, 'code', e.code, 'quotes', e.quotes) order by c.n)
        into problems
        from unnest(copies, names) with ordinality c (id, name, n)
        join marketing_automation.scenario_status s on s.scenario_id = c.id
        cross join lateral (
            select s.last_error as error, s.last_error_code as code, true as quotes union all
            select p.message, p.code, false from marketing_automation_internal.poisonous_summary(c.id, false) p) e
        where e.error is not null;
        raise exception 'rehearsed' using errcode = 'MA001';
    exception
        when sqlstate 'MA001' then
            null; -- All that was written is gone; what was told is kept.
        when others then
            get stacked diagnostics message = message_text, code = returned_sqlstate;
            if marketing_automation_internal.is_for_the_caller(code) or code = '54000' then
                raise;
            end if;
            raise exception using errcode = code, message = coalesce(case when sees then replace(message, mark, '')
                else marketing_automation_internal.public_error(message, code) end, '');
    end;
    for problem in select * from jsonb_to_recordset(problems) as p (scenario text, error text, code text, quotes boolean) loop
        raise warning 'scenario "%": %', problem.scenario, replace(case when sees or not problem.quotes then problem.error
            else marketing_automation_internal.public_error(problem.error, problem.code) end, mark, '') using errcode = problem.code;
    end loop;
    return query
        select t.day, t.scenario, t.activity, coalesce(t.entered, 0), coalesce(t.held_out, 0), coalesce(t.mailed, 0),
            coalesce(t.busiest_hour, 0), coalesce(t.posted, 0), coalesce(t.put_off, 0), coalesce(t.not_sent, 0), coalesce(t.skipped, 0), coalesce(t.cancelled, 0),
            coalesce(t.failed, 0), coalesce(t.opened, 0), coalesce(t.clicked, 0), coalesce(t.converted, 0), t.reasons
        from jsonb_array_elements(told) with ordinality e (item, n)
        cross join lateral jsonb_to_record(e.item) as t (day date, scenario text, activity text, entered bigint, held_out bigint,
            mailed bigint, busiest_hour bigint, posted bigint, put_off bigint, not_sent bigint, skipped bigint, cancelled bigint, failed bigint,
            opened bigint, clicked bigint, converted bigint, reasons jsonb)
        order by e.n;
end $$;
comment on function marketing_automation_internal.rehearse(regrole, text[], timestamptz, numeric, numeric, numeric, timestamptz, interval,
    interval) is 'API: private. Behind rehearse()';

create function marketing_automation.rehearse(scenario_names text[], until timestamptz, sample numeric default 100,
    opens numeric default 0.3, clicks numeric default 0.05, start timestamptz default now(), step interval default '1 hour',
    max_time interval default '5 minutes')
returns table (day date, scenario text, activity text, entered bigint, held_out bigint, mailed bigint, busiest_hour bigint, posted bigint, put_off bigint,
    not_sent bigint, skipped bigint, cancelled bigint, failed bigint, opened bigint, clicked bigint, converted bigint, reasons jsonb)
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.rehearse(text[], timestamptz, numeric, numeric, numeric, timestamptz, interval, interval) is
    'API: public. What scenarios would do together until then: a line for each day (of the database''s time zone) and activity, and one '
    'without activity for who enters and converts. Plays all rows, or a sample of so many per cent of the people, whose counts are '
    'scaled to all; those in a scenario already go on. opens, clicks: shares of the mails, by a hash and so the same each time. start: '
    'the time to begin at; step: moments nearer to each other than this are played as one; max_time: an error after that. posted: webhooks; put_off: '
    'waits of activities and mails for their time of day, window or turn; not_sent, skipped, cancelled, failed: why is in reasons. '
    'Changes and sends nothing, but needs a transaction that may write, so no standby';

create function marketing_automation_internal.rehearse(caller regrole, scenario_name text, until timestamptz, sample numeric,
    opens numeric, clicks numeric, start timestamptz, step interval, max_time interval)
returns table (day date, scenario text, activity text, entered bigint, held_out bigint, mailed bigint, busiest_hour bigint, posted bigint, put_off bigint,
    not_sent bigint, skipped bigint, cancelled bigint, failed bigint, opened bigint, clicked bigint, converted bigint, reasons jsonb)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return query select r.* from marketing_automation_internal.rehearse(caller, array[scenario_name], until, sample, opens, clicks,
        start, step, max_time) r;
end $$;
comment on function marketing_automation_internal.rehearse(regrole, text, timestamptz, numeric, numeric, numeric, timestamptz, interval,
    interval) is 'API: private. Behind rehearse() of one scenario';

create function marketing_automation.rehearse(scenario_name text, until timestamptz, sample numeric default 100,
    opens numeric default 0.3, clicks numeric default 0.05, start timestamptz default now(), step interval default '1 hour',
    max_time interval default '5 minutes')
returns table (day date, scenario text, activity text, entered bigint, held_out bigint, mailed bigint, busiest_hour bigint, posted bigint, put_off bigint,
    not_sent bigint, skipped bigint, cancelled bigint, failed bigint, opened bigint, clicked bigint, converted bigint, reasons jsonb)
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.rehearse(text, timestamptz, numeric, numeric, numeric, timestamptz, interval, interval) is
    'API: public. What one scenario would do until then: as rehearse() of an array';
