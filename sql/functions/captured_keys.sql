-- Enrolling by captured keys: a scenario whose model is watched tries the rows that were written since it looked last, and no others.
--
-- What it has seen is a snapshot: a key that a transaction noted which that snapshot does not see is new to it, whenever it was written,
-- and whatever the order in which transactions commit. The snapshot is written in the transaction that tries the keys, so that what fails
-- is tried again. Keys that all scenarios have seen are deleted.

create function marketing_automation_internal.capture_obstacle(scenario marketing_automation.scenario, model marketing_automation.model,
    obstacle text, relations integer, tables oid[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        select case
            when marketing_automation_internal.may_enter_again(scenario) then 'rows enter again, by the time or an occasion'
            when obstacle is not null then 'its domain, or its model, depends on ' || obstacle
            when c.relkind not in ('r', 'p', 'v') then 'its model is of a relation whose rows are written elsewhere'
            when c.relkind = 'v' then (
                select format('its domain, or its model, reads %s, which is not among the tables that are watched',
                    min(t.id::regclass::text))
                from unnest(tables) as t (id)
                where t.id not in (
                    select r.id from marketing_automation_internal.watched_table w
                    cross join marketing_automation_internal.watched_relations(w.relation) r
                    where w.model = (capture_obstacle.model).name)
                having count(*) > 0)
            -- With more than one it may depend on rows of the same table, too.
            when relations <> 1 then 'its domain, or its model, reads other rows than the one that it is asked of' end
        from pg_class c where c.oid = (model).relation);
end $$;
comment on function marketing_automation_internal.capture_obstacle(marketing_automation.scenario, marketing_automation.model, text,
    integer, oid[]) is
    'API: private. Why a scenario must not look at written rows only, null: it may. obstacle, relations, tables: of '
    'query_dependencies() for its entering query';

create function marketing_automation_internal.capture_obstacle(scenario marketing_automation.scenario, model marketing_automation.model)
    returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select marketing_automation_internal.capture_obstacle(scenario, model, d.obstacle, d.relations, d.tables)
        from marketing_automation_internal.query_dependencies(scenario.owner_id, model.relation,
            marketing_automation_internal.entering_query(scenario, model)) d);
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
    return 'it does not enroll, see check_scenario()';
end $$;
comment on function marketing_automation_internal.capture_obstacle(marketing_automation.scenario, marketing_automation.model) is
    'API: private. The same, asked of its entering query';

create function marketing_automation_internal.captured_states(scenarios integer[])
    returns table (scenario_id integer, watches integer[], state text)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return query
    with watched as materialized (
        select w.model, array_agg(w.id order by w.id) as watches, min(o.gap) as gap, string_agg(o.state, ';' order by w.id) as state
        from marketing_automation_internal.watched_table w
        join marketing_automation.model m on m.name = w.model
        cross join marketing_automation_internal.watch_state(w, m) o
        where w.model in (select s.model from marketing_automation.scenario s where s.id = any (scenarios))
        group by w.model
    )
    select s.id, w.watches, case when w.gap is null and n.id is not null then concat_ws(E'\n', w.watches, w.state) || E'\n' || e.state end
    from marketing_automation.scenario s
    join watched w on w.model = s.model
    left join marketing_automation_internal.settled_scenarios(scenarios) n (id) on n.id = s.id
    left join marketing_automation_internal.entering_states(scenarios) e on e.scenario_id = s.id
    where s.id = any (scenarios);
end $$;
comment on function marketing_automation_internal.captured_states(integer[]) is
    'API: private. For those of some scenarios whose models are watched, all that decides who enters but the entering query and what '
    'captured keys tell of its tables. state null: all rows are to be read';

create function marketing_automation_internal.take_captured(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, may_skip boolean,
    out is_watched boolean, out is_known boolean, out keys text[]
)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    most constant integer := 100000;
    its record;
    asked record;
    now_is text;
    around text;
    before marketing_automation_internal.watched_scan;
    taken record;
begin
    is_watched := false;
    is_known := false;
    if not exists (select from marketing_automation_internal.watched_table w where w.model = take_captured.model.name) then
        return;
    end if;
    select s.* into its from marketing_automation_internal.captured_states(array[scenario.id]) s;
    select d.*, marketing_automation_internal.capture_obstacle(scenario, model, d.obstacle, d.relations, d.tables) as reason into asked
    from marketing_automation_internal.query_dependencies(scenario.owner_id, model.relation, source) d;
    if its.state is null or asked.reason is not null then
        delete from marketing_automation_internal.watched_scan s where s.scenario_id = scenario.id;
        return;
    end if;
    is_watched := true;
    now_is := encode(sha256(convert_to(its.state || E'\n' || asked.tree, 'UTF8')), 'hex');
    select s.* into before from marketing_automation_internal.watched_scan s where s.scenario_id = scenario.id;
    if may_skip and before.digest = now_is and before.scanned_at between clock_timestamp() - interval '1 hour' and clock_timestamp() then
        -- In one statement: what is noted as seen is what its snapshot sees.
        select pg_current_snapshot() as snapshot, count(*) > 0 as is_any, bool_or(c.keys is null) as is_all,
            array(select distinct u.key from marketing_automation_internal.captured_keys k cross join unnest(k.keys) as u (key)
                where k.watch_id = any (its.watches) and not pg_visible_in_snapshot(k.xid, before.seen) limit most + 1) as keys
        into taken
        from marketing_automation_internal.captured_keys c
        where c.watch_id = any (its.watches) and not pg_visible_in_snapshot(c.xid, before.seen);
        is_known := not taken.is_any or not taken.is_all and cardinality(taken.keys) <= most;
        if is_known then
            keys := case when taken.is_any then taken.keys end;
            around := before.surroundings;
            -- The same tree seconds later: it has no time in it but, at most, the date. Of one that has been kept, the next idle run
            -- finds out.
            if before.scanned_at < now() - interval '2 seconds' and (around is null or not taken.is_any) then
                around := marketing_automation_internal.surroundings(its.state,
                    marketing_automation_internal.relation_states(asked.tables || asked.views));
            end if;
            update marketing_automation_internal.watched_scan s
            set seen = case when taken.is_any then taken.snapshot else s.seen end, surroundings = around,
                relations = case when around is not null then asked.tables || asked.views end
            where s.scenario_id = scenario.id and (taken.is_any or s.surroundings is distinct from around);
            return;
        end if;
    end if;
    insert into marketing_automation_internal.watched_scan as s (scenario_id, seen, digest, scanned_at)
    values (scenario.id, pg_current_snapshot(), now_is, clock_timestamp())
    on conflict on constraint watched_scan_pkey do update
    set seen = excluded.seen, digest = excluded.digest, scanned_at = excluded.scanned_at, relations = null, surroundings = null;
end $$;
comment on function marketing_automation_internal.take_captured(marketing_automation.scenario, marketing_automation.model, text, boolean,
    out boolean, out boolean, out text[]) is
    'API: private. What a run of enrolling has to try of a watched model, whose scenario the caller holds. is_known: the rows with '
    'these keys, null for none, are all that may be new; otherwise all are to be read, and is_watched says whether that is noted as '
    'seen. may_skip: as that of begin_scan()';

create function marketing_automation_internal.enter_captured(
    scenario marketing_automation.scenario, model marketing_automation.model, keys text[], now timestamptz
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' set enable_nestloop = on as $$
begin
    if keys is null then
        return 0;
    end if;
    return marketing_automation_internal.enter_after_others(scenario, model,
        marketing_automation_internal.entering_keys_query(scenario, model), keys, null, null, now);
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.enter_captured(marketing_automation.scenario, marketing_automation.model, text[],
    timestamptz) is
    'API: private. Enters the new ones of the rows with these keys, null for none; returns how many. Null: that raises, so all rows '
    'are to be read, by what knows which of them it is, and whom another session enters';

create function marketing_automation_internal.forget_captured_keys() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    most constant bigint := 100000;
    watch record;
    known integer[];
begin
    for watch in
        select k.watch_id as id, w.model, sum(coalesce(cardinality(k.keys), 1)) as keys
        from marketing_automation_internal.captured_keys k left join marketing_automation_internal.watched_table w on w.id = k.watch_id
        group by k.watch_id, w.model
    loop
        -- Nobody enrolls, or one that fails each time: more is not kept, all rows will be read instead.
        if watch.keys > most then
            delete from marketing_automation_internal.watched_scan s
            where s.scenario_id in (
                select o.scenario_id from marketing_automation_internal.watched_scan o
                join marketing_automation.scenario c on c.id = o.scenario_id and c.model = watch.model for update of o skip locked);
        end if;
        -- A scenario that has seen nothing reads all rows, and sees those that were committed before; but one that is reading them now
        -- may have begun before these were. So nobody begins meanwhile, nor forgets what it has seen.
        known := array(
            select s.scenario_id from marketing_automation_internal.watched_scan s
            join marketing_automation.scenario c on c.id = s.scenario_id and c.model = watch.model for key share of s skip locked);
        continue when exists (
            select from marketing_automation.scenario c
            where c.model = watch.model and c.state = 'running' and c.id <> all (known)
              and marketing_automation_internal.skip_scenario(c.id) is not null);
        delete from marketing_automation_internal.captured_keys k
        where k.ctid = any (array(
            select o.ctid from marketing_automation_internal.captured_keys o
            where o.watch_id = watch.id and not exists (
                select from marketing_automation_internal.watched_scan s
                join marketing_automation.scenario c on c.id = s.scenario_id and c.state = 'running'
                where c.model = watch.model and not pg_visible_in_snapshot(o.xid, s.seen))
            for update skip locked));
    end loop;
end $$;
comment on function marketing_automation_internal.forget_captured_keys() is
    'API: private. Deletes captured keys that all scenarios have seen; beyond 100,000 of a model those, too, that some have not, which '
    'read all rows then';
