-- Entering again: a row becomes a record once, ever, unless its scenario has reenter_after or an occasion. Then it does so once for each
-- occasion, and not before its last journey is over: its records are numbered (run), and one of them is under way at most.

create function marketing_automation_internal.may_enter_again(scenario marketing_automation.scenario) returns boolean
language sql immutable
return (scenario).reenter_after is not null or (scenario).occasion is not null;
comment on function marketing_automation_internal.may_enter_again(marketing_automation.scenario) is
    'API: private. Whether a row may become a record of a scenario more than once';

create function marketing_automation_internal.as_occasion(occasion text) returns text
language sql immutable
return case when occasion is null then 'null::text' else format('nullif(%s, %L)', marketing_automation_internal.as_text(occasion), '') end;
comment on function marketing_automation_internal.as_occasion(text) is
    'API: private. The occasion of a scenario, ready to stand in a query: null for a row that has none';

create function marketing_automation_internal.over_at(scenario marketing_automation.scenario, last marketing_automation_internal.record)
    returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Who is held out has no activity that could end: it may convert as long as the others may.
    select greatest((last).entered_at, (last).ended_at,
        case when (last).held_out then marketing_automation_internal.after_delay((last).entered_at, scenario.goal_window, (last).time_zone) end,
        (select max(f.finished_at) from marketing_automation_internal.finished_activity f where f.record_id = (last).id))
    where not exists (select from marketing_automation_internal.waiting_activity w where w.record_id = (last).id)
$$;
comment on function marketing_automation_internal.over_at(marketing_automation.scenario, marketing_automation_internal.record) is
    'API: private. When the journey of a record was over, unless a mail of it is under way: when its last activity ran or ended; null: '
    'something waits';

create function marketing_automation_internal.reenters_at(scenario marketing_automation.scenario, last marketing_automation_internal.record)
    returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.after_delay(marketing_automation_internal.over_at(scenario, last), scenario.reenter_after,
        (last).time_zone)
$$;
comment on function marketing_automation_internal.reenters_at(marketing_automation.scenario, marketing_automation_internal.record) is
    'API: private. From when on the row of a record, its last, may enter again; null: something waits';

create function marketing_automation_internal.lock_over(scenario marketing_automation.scenario, records bigint[], now timestamptz)
    returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1
set enable_nestloop = on as $$
declare
    under_way bigint[];
begin
    -- First what a record says by itself, so that the queue, which has no index on it, is not read through at each run.
    records := array(
        select r.id from marketing_automation_internal.record r
        where r.id = any (records) and r.blocked_at is null and r.end_reason is distinct from 'entered_again'
          and marketing_automation_internal.reenters_at(scenario, r) <= now);
    if records = '{}' then
        return records;
    end if;
    under_way := array(
        select o.record_id from marketing_automation.activity a join marketing_automation_internal.outbox o on o.activity_id = a.id
        where a.scenario_id = scenario.id and o.record_id is not null);
    -- Whoever blocks a row meets this lock and sees, after it, the record that has followed. Who holds one is left for the next run.
    return array(
        select r.id from marketing_automation_internal.record r
        where r.id = any (records) and r.blocked_at is null and r.end_reason is distinct from 'entered_again' and r.id <> all (under_way)
          and marketing_automation_internal.reenters_at(scenario, r) <= now
        order by r.id for no key update skip locked);
end $$;
comment on function marketing_automation_internal.lock_over(marketing_automation.scenario, bigint[], timestamptz) is
    'API: private. Of these records, each the last of its row, those that may be followed by another one now, locked: the journey is over '
    'and reenter_after has passed, no mail is under way, it is not blocked, and no other session holds it';

create function marketing_automation_internal.rows_to_enter_again(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], now timestamptz
) returns table (key text, party text, time_zone text, email text, occasion text, run integer, last_record bigint)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
#variable_conflict use_column
begin
    return query
    with matching as materialized (
        select q.key, q.party, q.time_zone, q.email, q.occasion
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, source, keys)
            as q (key text, party text, time_zone text, email text, occasion text)
    ), counted as (
        -- The caller holds this row when he enters all.
        update marketing_automation.scenario_status s set without_occasion = m.records
        from (select count(*) as records from matching o where o.occasion is null) m
        where keys is null and scenario.occasion is not null and s.scenario_id = scenario.id and s.without_occasion <> m.records
    ), free as materialized (
        -- What a record says by itself leaves few to be looked at. A day less, as days differ between time zones.
        select m.* from matching m
        where (scenario.occasion is null or m.occasion is not null)
          and not exists (
            select from marketing_automation_internal.record r
            where r.scenario_id = scenario.id and r.key = m.key collate "C"
              and (r.blocked_at is not null or r.occasion = m.occasion collate "C"
                or r.entered_at + scenario.reenter_after - interval '1 day' > now))
    ), last as materialized (
        select f.*, l.id, coalesce(l.run, 0) + 1 as next_run
        from free f
        left join lateral (
            select r.id, r.run from marketing_automation_internal.record r
            where r.scenario_id = scenario.id and r.key = f.key collate "C" order by r.run desc limit 1) l on true
    ), over as materialized (
        select o.id from unnest(marketing_automation_internal.lock_over(scenario,
            array(select l.id from last l where l.id is not null), now)) as o (id)
    )
    select l.key, l.party, l.time_zone, l.email, l.occasion, l.next_run, l.id
    from last l left join over o on o.id = l.id
    where l.id is null or o.id is not null;
end $$;
comment on function marketing_automation_internal.rows_to_enter_again(marketing_automation.scenario, marketing_automation.model, text,
    text[], timestamptz) is
    'API: private. Rows of an entering query, in which $1 is keys, that may enter a scenario that rows enter more than once: never yet, or '
    'for another occasion and after their last journey; with the number that their record gets, and the last one, locked. Without keys: counts in '
    'scenario_status who has no occasion';
