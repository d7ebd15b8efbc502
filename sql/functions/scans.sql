-- Nothing written, nothing read: enrolling need not read the rows of a model again while all that decides who enters is as it was
-- before they were read last.

create function marketing_automation_internal.table_states(tables oid[]) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        select case when bool_and(t.is_known) then string_agg(t.state, ',' order by t.id) end
        from (
            select u.id,
                -- What this session has written, and not had counted yet, no counter knows.
                c.oid is not null and pg_stat_get_xact_tuples_inserted(u.id) + pg_stat_get_xact_tuples_updated(u.id)
                    + pg_stat_get_xact_tuples_deleted(u.id) = 0 as is_known,
                -- What truncates or rewrites a table gives it another file; what alters it writes its row in pg_class.
                concat_ws(' ', u.id, c.relfilenode, c.xmin, pg_stat_get_tuples_inserted(u.id), pg_stat_get_tuples_updated(u.id),
                    pg_stat_get_tuples_deleted(u.id)) as state
            from unnest(tables) as u (id) left join pg_class c on c.oid = u.id) t);
end $$;
comment on function marketing_automation_internal.table_states(oid[]) is
    'API: private. What tables are like, without a look at a row: the same, if nothing was written to them; null: that cannot be known';

create function marketing_automation_internal.scan_obstacle(scenario marketing_automation.scenario, of_query text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when marketing_automation_internal.may_enter_again(scenario) then 'rows enter again, by the time or an occasion'
        when not (current_setting('track_counts')::boolean and current_setting('track_activities')::boolean) or exists (
                select from pg_db_role_setting r cross join unnest(r.setconfig) c
                where c ~ '^track_(counts|activities)='
                  and r.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database())))
            then 'track_counts or track_activities is off, or a role or database has a value of its own'
        when not pg_has_role('pg_read_all_stats', 'USAGE') then 'the owner of marketing_automation does not see what other sessions do'
        else 'its domain, or its model, depends on ' || of_query end
$$;
comment on function marketing_automation_internal.scan_obstacle(marketing_automation.scenario, text) is
    'API: private. Why each run of enrolling reads the rows of a scenario''s model, though nothing was written; null: it does not. '
    'of_query: obstacle of query_dependencies() for its entering query';

create function marketing_automation_internal.settled_scenarios(scenarios integer[]) returns setof integer
language plpgsql stable rows 10 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return query
    select s.id from marketing_automation.scenario s
    where s.id = any (scenarios) and not marketing_automation_internal.may_enter_again(s)
        -- A statement of another isolation level does not see what was committed since its transaction began.
        and current_setting('transaction_isolation') in ('read committed', 'read uncommitted')
        -- Rows that stand apart are to be tried again, as is what has failed.
        and not exists (select from marketing_automation_internal.poisonous_row p where p.scenario_id = s.id)
        and not exists (select from marketing_automation_internal.failed_turn t where t.scenario_id = s.id and t.work = 'enroll');
end $$;
comment on function marketing_automation_internal.settled_scenarios(integer[]) is
    'API: private. Those of some scenarios into which a run of enrolling may leave out rows that were tried before';

create function marketing_automation_internal.entering_states(scenarios integer[]) returns table (scenario_id integer, state text)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    -- Who unsubscribes does not enter: what was added there is left out.
    leaving constant oid := 'marketing_automation.unsubscription'::regclass;
    records constant oid := 'marketing_automation_internal.record'::regclass;
    -- A choice of a topic may let somebody in.
    choices text;
begin
    -- A transaction keeps the counters that it has read.
    perform pg_stat_clear_snapshot();
    if pg_stat_get_xact_tuples_updated(leaving) + pg_stat_get_xact_tuples_deleted(leaving)
            + pg_stat_get_xact_tuples_deleted(records) > 0 then
        return;
    end if;
    choices := marketing_automation_internal.table_states(array['marketing_automation.subscription'::regclass::oid]);
    return query
    select s.id, concat_ws(E'\n', d.counters, case when s.topic is not null then choices end,
        -- The definitions, by their versions as rows: also one that was changed and changed back, or stopped and run.
        s.xmin, s.ctid, m.xmin, m.ctid,
        (select concat_ws(' ', t.xmin, t.ctid) from marketing_automation.topic t where t.name = s.topic),
        (select string_agg(concat_ws(' ', a.id, a.xmin, a.ctid), ',' order by a.id) from marketing_automation.activity a
            where a.scenario_id = s.id and a.parent_id is null),
        -- As reaches_unsubscribed(), of all at once.
        exists (
            select from marketing_automation.activity a
            join marketing_automation.message_class c on c.name = coalesce(a.message_class, s.message_class)
            where a.scenario_id = s.id and a.action = 'send_email' and not c.honors_unsubscribe))
    from marketing_automation.scenario s
    join marketing_automation.model m on m.name = s.model
    cross join (
        -- The counters: whose, and since when. They begin anew after a crash, too, which the server survives.
        select concat_ws(E'\n', b.oid, pg_postmaster_start_time(), pg_stat_get_db_stat_reset_time(b.oid),
            pg_stat_get_bgwriter_stat_reset_time(),
            marketing_automation_internal.database_time_zone(), c.relfilenode, pg_stat_get_tuples_updated(c.oid),
            pg_stat_get_tuples_deleted(c.oid),
            pg_stat_get_tuples_deleted(records)) as counters
        from pg_database b join pg_class c on c.oid = leaving
        where b.datname = current_database()) d
    where s.id = any (scenarios) and (s.topic is null or choices is not null);
end $$;
comment on function marketing_automation_internal.entering_states(integer[]) is
    'API: private. For some scenarios, all that decides who enters but the entering query and the rows of its tables. Without a row: '
    'that cannot be known, as this transaction has changed it';

create function marketing_automation_internal.scan_state(
    scenario marketing_automation.scenario, model marketing_automation.model, source text
) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its record;
    state text;
begin
    if not exists (select from marketing_automation_internal.settled_scenarios(array[scenario.id])) then
        return null;
    end if;
    select d.tables, d.tree, d.obstacle into its
    from marketing_automation_internal.query_dependencies(scenario.owner_id, model.relation, source) d;
    if marketing_automation_internal.scan_obstacle(scenario, its.obstacle) is not null then
        return null;
    end if;
    -- First, as it looks at the counters of the present.
    state := (select e.state from marketing_automation_internal.entering_states(array[scenario.id]) e);
    -- Null if either is.
    return encode(sha256(convert_to(state || E'\n' || its.tree || E'\n'
        || marketing_automation_internal.table_states(its.tables), 'UTF8')), 'hex');
end $$;
comment on function marketing_automation_internal.scan_state(marketing_automation.scenario, marketing_automation.model, text) is
    'API: private. A digest of all that decides which rows an entering query lets in, to be taken before they are read: as long as it '
    'is the same, there are no new ones. Null: that cannot be known';

create function marketing_automation_internal.may_lack_counts(since timestamptz) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- PostgreSQL counts at the end of a statement outside a transaction; no more often than each second, but within ten, if nothing
    -- follows. What follows may be a long transaction. And a procedure that commits is one statement, however long it runs.
    select exists (
        select from pg_stat_activity a
        where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start > since
          and a.backend_type not in ('autovacuum worker', 'parallel worker', 'walsender')
          and (a.xact_start < clock_timestamp() - interval '10 seconds'
            -- The job that enrolls writes no table of a model, the other one none but by a call.
            or a.xact_start > a.query_start and a.query !~* format('^\s*call\s+marketing_automation\.(enroll_all%s)\s*\(\s*\)[\s;]*$', (
                select '|process_all_due' where not exists (select from marketing_automation.activity c where c.action = 'call')))))
$$;
comment on function marketing_automation_internal.may_lack_counts(timestamptz) is
    'API: private. Whether a session may have committed something since then, ten seconds ago or earlier, that no counter knows yet';

create function marketing_automation_internal.begin_scan(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, may_skip boolean
) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    state text := marketing_automation_internal.scan_state(scenario, model, source);
begin
    if may_skip and exists (
            select from marketing_automation.scenario_status s
            where s.scenario_id = scenario.id and s.scanned_state = state
              -- What is not counted, as a role may have switched it off for its session, is found by then.
              and s.last_scanned_at between clock_timestamp() - interval '1 hour' and clock_timestamp()
              and not marketing_automation_internal.may_lack_counts(s.last_scanned_at)) then
        return false;
    end if;
    update marketing_automation.scenario_status s set scanned_state = state
    where s.scenario_id = scenario.id and s.scanned_state is distinct from state;
    return true;
end $$;
comment on function marketing_automation_internal.begin_scan(marketing_automation.scenario, marketing_automation.model, text, boolean) is
    'API: private. Whether the rows of an entering query are to be read, whose scenario the caller holds; keeps what everything is like '
    'before they are. may_skip: not if nothing has changed since they were read last, within the hour';

create function marketing_automation_internal.forget_scan(scenario_id integer) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update marketing_automation.scenario_status s set scanned_state = null
    where s.scenario_id = forget_scan.scenario_id and s.scanned_state is not null;
    delete from marketing_automation_internal.watched_scan s where s.scenario_id = forget_scan.scenario_id;
$$;
comment on function marketing_automation_internal.forget_scan(integer) is
    'API: private. Has the next run of enrolling read the rows of a scenario''s model, whose scenario the caller holds';

create function marketing_automation_internal.check_scans(scenario marketing_automation.scenario)
    returns table (severity text, message text, hint text)
language plpgsql rows 2 set search_path = pg_catalog, pg_temp as $$
declare
    used marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    source text := marketing_automation_internal.entering_query(scenario, used);
    asked record;
    obstacle text;
    unwatched text;
begin
    select d.obstacle, marketing_automation_internal.capture_obstacle(scenario, used, d.obstacle, d.relations, d.tables) as of_watching
    into asked
    from marketing_automation_internal.query_dependencies(scenario.owner_id, used.relation, source) d;
    if exists (select from marketing_automation_internal.watched_table w where w.model = used.name) then
        unwatched := coalesce(asked.of_watching, (
            select min(s.gap) from marketing_automation_internal.watched_table w
            cross join marketing_automation_internal.watch_state(w, used) s
            where w.model = used.name));
        if unwatched is null then
            return;
        end if;
        return query select 'hint', format('its model is watched, and each run of enrolling may read all rows nevertheless: %s', unwatched),
            format('select * from marketing_automation.watch(%L);', used.name);
    end if;
    obstacle := marketing_automation_internal.scan_obstacle(scenario, asked.obstacle);
    return query
    select 'hint',
        format('each run of enrolling reads all of %s, %s rows, %s', t.id::regclass, to_char(c.reltuples, 'FM999,999,999,999'),
            coalesce('whether anything was written or not: ' || obstacle, 'if something was written since the last one')),
        format('An index that the domain can use, see: explain select from %s as self where %s; or enroll_record() where rows are written%s.',
            used.relation, scenario.domain, case when asked.of_watching is null then format('; or watch(%L)', used.name) end)
    from unnest(marketing_automation_internal.tables_read_whole(scenario.owner_id, used.relation, source)) as t (id)
    join pg_class c on c.oid = t.id
    where c.reltuples >= 1000000
    group by t.id, c.reltuples;
exception when others then
    -- The mails have used up the time of all expressions, which is told of them.
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
end $$;
comment on function marketing_automation_internal.check_scans(marketing_automation.scenario) is
    'API: private. Which large tables enrolling reads from one end to the other, how often, and what helps';
