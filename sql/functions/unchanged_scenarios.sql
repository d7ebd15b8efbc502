-- Runs of enrolling for which there is nothing to do: one look says so of all scenarios of watched models, without one at their queries.
--
-- When a scenario's query has been analysed twice with the same outcome, a digest is kept of what that follows from: definitions,
-- counters, triggers, and the rows of the catalog of the relations that the query names. As long as that is the same, captured keys tell
-- all that may be new; and of rows that were written, one query asks the domains of all scenarios of a model. What that finds, or where
-- it fails, is for a turn of the scenario, which asks more. So an error here costs time, and no row.

create function marketing_automation_internal.relation_states(relations oid[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        -- A policy may be for other roles than it was for, without a change of its own.
        select case when not bool_or(c.relrowsecurity) then concat_ws(E'\n',
                -- The query may have a date that PostgreSQL computed as it read it: 'today'.
                (now() at time zone marketing_automation_internal.database_time_zone())::date,
                string_agg(concat_ws(' ', c.oid, c.xmin, c.ctid, n.xmin, r.xmin), ',' order by c.oid),
                (select string_agg(concat_ws(' ', a.attrelid, a.attnum, a.xmin), ',' order by a.attrelid, a.attnum) from pg_attribute a
                    -- A partition has the columns of the table that it is one of.
                    where a.attrelid = any (relations) and a.attnum > 0 and not exists (
                        select from pg_inherits i where i.inhrelid = a.attrelid and i.inhparent = any (relations)))) end
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        left join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
        where c.oid = any (relations));
end $$;
comment on function marketing_automation_internal.relation_states(oid[]) is
    'API: private. What follows from tables and views for a query of them: as long as it is the same, the query is the same when it is '
    'analysed again. Null: that cannot be known';

create function marketing_automation_internal.surroundings(state text, relations text) returns text
language sql immutable
-- Null if either is.
return encode(sha256(convert_to(state || E'\n' || relations, 'UTF8')), 'hex');
comment on function marketing_automation_internal.surroundings(text, text) is
    'API: private. As kept in watched_scan, of captured_states() and relation_states()';

create function marketing_automation_internal.unchanged_scenarios(caller regrole)
    returns table (id integer, owner_id oid, model text, watches integer[], surroundings text, is_written boolean)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return query
    with candidate as materialized (
        select s.id, s.owner_id::oid as owner_id, s.model, z.seen, z.relations, z.surroundings
        from marketing_automation.scenario s
        join marketing_automation.model m on m.name = s.model
        join marketing_automation_internal.watched_scan z on z.scenario_id = s.id
        join marketing_automation.scenario_status t on t.scenario_id = s.id
        where s.state = 'running' and (caller is null or pg_has_role(caller, s.owner_id, 'MEMBER'))
          and z.surroundings is not null and z.scanned_at between clock_timestamp() - interval '1 hour' and clock_timestamp()
          -- What there is to say, or to forget, is for a turn.
          and t.last_error is null
          -- As usable_model() asks.
          and exists (select from pg_roles r where r.oid = s.owner_id) and exists (select from pg_roles r where r.oid = m.owner_id)
          and pg_has_role(m.owner_id, s.owner_id, 'MEMBER')
    ), looked_at as materialized (
        select r.relations, marketing_automation_internal.relation_states(r.relations) as state
        from (select distinct c.relations from candidate c) r
    ), noted as materialized (
        select distinct k.watch_id, k.xid from marketing_automation_internal.captured_keys k
    )
    select c.id, c.owner_id, c.model, s.watches, c.surroundings,
        exists (select from noted k where k.watch_id = any (s.watches) and not pg_visible_in_snapshot(k.xid, c.seen))
    from candidate c
    join looked_at l on l.relations = c.relations
    join marketing_automation_internal.captured_states(array(select o.id from candidate o)) s on s.scenario_id = c.id
    where c.surroundings = marketing_automation_internal.surroundings(s.state, l.state)
    order by c.id;
end $$;
comment on function marketing_automation_internal.unchanged_scenarios(regrole) is
    'API: private. Running scenarios of watched models of which all that decides who enters is as it was when all rows were read, but '
    'rows that may have been written (is_written). caller: only scenarios of whose owner this role is a member, null: any';

create function marketing_automation_internal.scenarios_to_enter(scenarios integer[], keys text[]) returns integer[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    model marketing_automation.model;
    its record;
    found_keys text[];
    found_by integer[];
    is_refused boolean := false;
begin
    -- All of one moment, as a scenario or its model may have been given to somebody else since it was looked at.
    select min(s.owner_id::oid)::regrole as owner, (array_agg(m))[1] as model, string_agg(
            format('case when %s then %s end', marketing_automation_internal.as_condition(s.domain), s.id), ', ' order by s.id) as domains,
        count(distinct s.owner_id) = 1 and count(distinct m.name) = 1 and bool_and(pg_has_role(m.owner_id, s.owner_id, 'MEMBER')) as is_of_one
    into its
    from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model where s.id = any (scenarios);
    if its.is_of_one is not true then
        return scenarios;
    end if;
    model := its.model;
    -- If they end the connection, that is said to be the fault of the first one: it stays apart from now on, and the others find out.
    perform marketing_automation_internal.turn_asks(scenarios[1], 'enroll');
    begin
        select array_agg(q.key), array_agg(i.id) into found_keys, found_by
        from marketing_automation_internal.query_as_owner(its.owner, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                format('%s, array_remove(array[%s]::integer[], null)',
                    marketing_automation_internal.as_key(model.key, model.key_type), its.domains)),
            keys) as q (key text, ids integer[])
        cross join unnest(q.ids) as i (id);
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        is_refused := true;
    end;
    if is_refused then
        return scenarios;
    end if;
    return array(
        select distinct f.id from unnest(found_keys, found_by) as f (key, id)
        where not exists (
            select from marketing_automation_internal.record r where r.scenario_id = f.id and r.key = f.key collate "C"));
end $$;
comment on function marketing_automation_internal.scenarios_to_enter(integer[], text[]) is
    'API: private. Those of some scenarios, of one owner and model, whose domains match a row with one of these keys that is not in '
    'them; all, if that raises, or they are of different ones by now. In a turn that the caller has begun';

create function marketing_automation_internal.try_captured(scenarios integer[], watches integer[]) returns integer[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    most constant integer := 10000;
    taken record;
    to_enter integer[] := '{}';
    passed integer[];
begin
    -- In one statement: what is noted as seen is what its snapshot sees. A key that one of them has not seen is tried for all.
    with unseen as materialized (
        select k.keys from marketing_automation_internal.captured_keys k
        where k.watch_id = any (watches) and exists (
            select from marketing_automation_internal.watched_scan z
            where z.scenario_id = any (scenarios) and not pg_visible_in_snapshot(k.xid, z.seen))
    )
    select pg_current_snapshot() as snapshot, exists (select from unseen u where u.keys is null) as is_any_row,
        array(select distinct k.key from unseen u cross join unnest(u.keys) as k (key) limit most + 1) as keys
    into taken;
    if taken.is_any_row or cardinality(taken.keys) > most then
        return '{}';
    end if;
    if taken.keys <> '{}' then
        to_enter := marketing_automation_internal.scenarios_to_enter(scenarios, taken.keys);
    end if;
    with noted as (
        update marketing_automation_internal.watched_scan z set seen = taken.snapshot
        where z.scenario_id = any (scenarios) and z.scenario_id <> all (to_enter)
        returning z.scenario_id
    )
    select coalesce(array_agg(n.scenario_id), '{}') into passed from noted n;
    return passed;
end $$;
comment on function marketing_automation_internal.try_captured(integer[], integer[]) is
    'API: private. Tries captured keys of these watched tables for scenarios, of one owner and model, which the caller has locked; '
    'returns those into which no row enters, which have seen them then';

create function marketing_automation_internal.pass_over(caller regrole, only_written boolean, but integer[] default '{}')
    returns table (scenario text)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    its record;
    free integer[];
    passed integer[] := '{}';
    limit_of_time text := marketing_automation_internal.setting('expression_timeout');
begin
    -- Everybody waits for it, the scenarios of other teams are held meanwhile, and for what takes longer each has a turn of its own.
    if limit_of_time::interval not between interval '1 millisecond' and interval '1 second' then
        perform set_config('marketing_automation.expression_timeout', '1s', true);
    end if;
    perform marketing_automation_internal.begin_turn();
    for its in
        select u.owner_id, u.model, u.watches, u.is_written, array_agg(u.id order by u.id) as ids,
            array_agg(u.surroundings order by u.id) as surroundings
        from marketing_automation_internal.unchanged_scenarios(caller) u
        where (u.is_written or not only_written) and u.id <> all (but)
        group by u.owner_id, u.model, u.watches, u.is_written
    loop
        free := array(
            select t.scenario_id from marketing_automation.scenario_status t where t.scenario_id = any (its.ids)
            for no key update skip locked);
        if its.is_written then
            -- Another session may have enrolled it before it was locked, with another outcome.
            free := array(
                select z.scenario_id from marketing_automation_internal.watched_scan z
                join unnest(its.ids, its.surroundings) as u (id, surroundings) on u.id = z.scenario_id and u.surroundings = z.surroundings
                where z.scenario_id = any (free));
            continue when free = '{}';
            free := marketing_automation_internal.try_captured(free, its.watches);
        end if;
        passed := passed || free;
    end loop;
    perform marketing_automation_internal.end_turn();
    perform set_config('marketing_automation.expression_timeout', limit_of_time, true);
    return query
    with noted as (
        update marketing_automation.scenario_status t set last_enrolled_at = clock_timestamp(), last_scan_took = null
        where t.scenario_id = any (passed)
        returning t.scenario_id
    )
    select s.name from marketing_automation.scenario s join noted n on n.scenario_id = s.id order by s.id;
end $$;
comment on function marketing_automation_internal.pass_over(regrole, boolean, integer[]) is
    'API: private. Notes that a run of enrolling has found nothing to enter into scenarios of watched models, which it returns: those '
    'that no other session holds, of which nothing but rows has changed, and into which no row that was written enters. caller: as '
    'that of unchanged_scenarios(); only_written: only scenarios that have not seen all captured keys; but: none of these. Their expressions have a '
    'second together';

