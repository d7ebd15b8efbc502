-- Watching tables: triggers on them, and on all that inherits from them, note the keys of rows that were written.
--
-- Statements have triggers with transition tables, one for each table that a statement may name: of a partitioned table, its partitions
-- too. What replication applies fires no trigger of statements, and triggers of rows only where they are there for replicas: so each
-- table has one of these, which does nothing otherwise. Of a view, its tables are watched, and deletions count, too.

create function marketing_automation_internal.watched_relations(relation regclass) returns table (id oid)
language plpgsql stable rows 10 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return query
    with recursive tree (id) as (
        select c.oid from pg_class c where c.oid = watched_relations.relation
        union
        select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.id
    )
    select t.id from tree t;
end $$;
comment on function marketing_automation_internal.watched_relations(regclass) is
    'API: private. A table, and all that inherits from it, partitions among them';

create function marketing_automation_internal.watch_triggers(watch marketing_automation_internal.watched_table)
    returns table (relation oid, name name, definition text, what text, trigger_id oid, version text)
language plpgsql stable rows 3 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return query
    select c.oid, n.name, format(
            'create trigger %I after %s for each %s execute function marketing_automation_internal.capture_keys(%L, %L)',
            n.name, format(k.event, c.oid::regclass), k.level, watch.id, watch.key_column),
        case when t.oid is null then 'missing'
             when t.tgfoid <> 'marketing_automation_internal.capture_keys()'::regprocedure or t.tgtype <> k.type
                or (t.tgnewtable is null) <> (k.type not in (4, 16)) or (t.tgoldtable is null) <> (k.type not in (8, 16))
                or t.tgqual is not null or t.tgattr::text <> ''
                or t.tgargs <> convert_to(watch.id::text, getdatabaseencoding()::name) || '\x00'
                    || convert_to(watch.key_column, getdatabaseencoding()::name) || '\x00' then 'another one'
             when t.tgenabled not in ('A', case when k.level = 'row' then 'R' else 'O' end) then 'disabled' end,
        t.oid, concat_ws(' ', c.oid, c.relfilenode, t.oid, t.xmin)
    from marketing_automation_internal.watched_relations(watch.relation) r
    join pg_class c on c.oid = r.id
    -- As in pg_trigger: 1 row, 4 insert, 8 delete, 16 update.
    join (values (4, 'insert', 'insert on %s referencing new table as new_rows', 'statement'),
                 (16, 'update', 'update on %s referencing old table as old_rows new table as new_rows', 'statement'),
                 (8, 'delete', 'delete on %s referencing old table as old_rows', 'statement'),
                 (21, 'row', 'insert or update on %s', 'row'),
                 (29, 'row', 'insert or update or delete on %s', 'row'))
        as k (type, suffix, event, level)
        on (k.level = 'statement' or c.relkind <> 'p')
            and k.type <> all (case when watch.relation = watch.model_relation then array[8, 29] else array[21] end)
    cross join lateral (select format('marketing_automation_%s_%s', watch.id, k.suffix)::name) as n (name)
    left join pg_trigger t on t.tgrelid = c.oid and t.tgname = n.name and not t.tgisinternal;
end $$;
comment on function marketing_automation_internal.watch_triggers(marketing_automation_internal.watched_table) is
    'API: private. The triggers that watching a table takes, by relation and name. what: missing, disabled or another one, null: it is '
    'there. version differs after every change of the trigger, and after the table was truncated or rewritten';

create function marketing_automation_internal.watch_state(
    watch marketing_automation_internal.watched_table, model marketing_automation.model, out gap text, out state text
)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
            when model.relation <> watch.model_relation then
                format('the model is of %s, and %s is watched', model.relation, watch.model_relation)
            when model.key <> watch.key then 'the model has another key since it is watched'
            when count(*) = 0 then 'the table is gone'
            else min(format('trigger %I of %s is %s', t.name, t.relation::regclass, t.what)) filter (where t.what is not null) end,
        string_agg(t.version, ',' order by t.relation, t.name)
    from marketing_automation_internal.watch_triggers(watch) t
$$;
comment on function marketing_automation_internal.watch_state(marketing_automation_internal.watched_table, marketing_automation.model,
    out text, out text) is
    'API: private. gap: why rows may have been written unnoticed, null: none. state: differs once that may have been so meanwhile';

create function marketing_automation_internal.drop_watch(watch marketing_automation_internal.watched_table) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its record;
begin
    -- Wherever they are: on a partition that was detached, too.
    for its in
        select t.tgname, t.tgrelid::regclass as relation from pg_trigger t
        where t.tgfoid = 'marketing_automation_internal.capture_keys()'::regprocedure and not t.tgisinternal
          and substring(t.tgargs from 1 for position('\x00'::bytea in t.tgargs) - 1)
            = convert_to(watch.id::text, getdatabaseencoding()::name)
        order by t.tgrelid, t.tgname
    loop
        execute format('drop trigger %I on %s', its.tgname, its.relation);
    end loop;
    delete from marketing_automation_internal.watched_table w where w.id = watch.id;
end $$;
comment on function marketing_automation_internal.drop_watch(marketing_automation_internal.watched_table) is
    'API: private. Drops the triggers of a watched table';

create function marketing_automation_internal.tables_to_watch(model marketing_automation.model) returns text
language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- Of a partitioned table, itself.
    select coalesce(jsonb_object_agg(t.id::regclass, 'COLUMN')::text, '{"shop.customer": "id"}')
    from marketing_automation_internal.query_dependencies(model.owner_id, model.relation,
        format(E'select (%s\n) from %s as self', model.key, model.relation)) d
    cross join unnest(d.tables) as t (id)
    where not exists (select from pg_inherits i where i.inhrelid = t.id and i.inhparent = any (d.tables))
$$;
comment on function marketing_automation_internal.tables_to_watch(marketing_automation.model) is
    'API: private. An example of the tables of watch(), for a view';

create function marketing_automation_internal.demand_watchable(caller regrole, model marketing_automation.model, watched regclass)
    returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    its record;
begin
    for its in
        select c.oid::regclass as name, c.relkind, c.relpersistence, c.relowner
        from marketing_automation_internal.watched_relations(watched) r
        join pg_class c on c.oid = r.id order by c.oid <> watched, c.oid
    loop
        if its.relkind not in ('r', 'p') or its.relpersistence = 't' then
            raise exception 'model "%" cannot be watched: % is a %', model.name, its.name, case
                    when its.relpersistence = 't' then 'temporary table' when its.relkind = 'f' then 'foreign table'
                    when its.relkind = 'm' then 'materialized view' else 'view' end
                using errcode = 'wrong_object_type', detail = 'Its rows are written elsewhere, where no trigger of it sees them.',
                      hint = case when its.relkind = 'v' and its.name = model.relation
                          then format('Name the column of each of its tables that is the key of its row: '
                              'select * from marketing_automation.watch(%L, tables => %L);',
                              model.name, marketing_automation_internal.tables_to_watch(model))
                          else 'Leave it: enroll_all() reads its rows. Or, where they are written: '
                              'select marketing_automation.enroll_record(SCENARIO, KEY);' end;
        end if;
        if not pg_has_role(caller, its.relowner, 'MEMBER') then
            raise exception 'must be a member of role %, the owner of %, to watch model "%"',
                    pg_get_userbyid(its.relowner), its.name, model.name
                using errcode = 'insufficient_privilege', detail = 'Watching it puts triggers on it, and that is for its owner.',
                      hint = format('As somebody who is: select * from marketing_automation.watch(%L);', model.name);
        end if;
    end loop;
end $$;
comment on function marketing_automation_internal.demand_watchable(regrole, marketing_automation.model, regclass) is
    'API: private. Raises unless a role may put triggers on a table of a model, and its partitions, and these can have them';

create function marketing_automation_internal.model_to_watch(caller regrole, name text) returns marketing_automation.model
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
begin
    select m.* into model from marketing_automation.model m where m.name = model_to_watch.name for no key update;
    if not found then
        raise exception 'model "%" does not exist', name
            using errcode = 'undefined_object', hint = marketing_automation_internal.name_hint(name,
            array(select m.name from marketing_automation.model m), 'See: select name from marketing_automation.model;');
    end if;
    if not coalesce(pg_has_role(caller, model.owner_id, 'MEMBER'), false)
        and not (select r.rolsuper from pg_roles r where r.oid = caller) then
        raise exception 'must be a member of role %, the owner of model "%"', model.owner, name using errcode = 'insufficient_privilege',
            hint = 'Its members say whether what is written to its table is noted.';
    end if;
    return model;
end $$;
comment on function marketing_automation_internal.model_to_watch(regrole, text) is
    'API: private. A model, for a member of its owner who changes whether it is watched, and holds it';

create function marketing_automation_internal.refuse_to_wait(relation regclass, who text, again text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'somebody has held % for more than two seconds', relation
        using errcode = 'lock_not_available', detail = format('Who %s, and all others wait behind.', who),
              hint = 'Again, when there is less to do: ' || again;
end $$;
comment on function marketing_automation_internal.refuse_to_wait(regclass, text, text) is
    'API: private. Raises that a table is in use. who: what was to be done with it, and for whom that waits; again: the statement to '
    'repeat';

create function marketing_automation_internal.watch_table(
    caller regrole, model marketing_automation.model, watched regclass, its_column text
) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
    watch marketing_automation_internal.watched_table;
    noted text;
    its record;
begin
    perform marketing_automation_internal.demand_watchable(caller, model, watched);
    noted := marketing_automation_internal.selected_key_column(model.owner_id, watched,
        format(E'select (%s\n) from %s as self', coalesce('self.' || quote_ident(its_column), model.key), watched));
    if noted is null then
        raise exception 'model "%" cannot be watched: its key % is no column that a trigger could note', model.name,
                case when its_column is null then model.key else format('of %s, %s,', watched, its_column) end
            using errcode = 'feature_not_supported',
                  detail = 'It takes a column of the types smallint, integer, bigint, oid, numeric, uuid, text, varchar or char.',
                  hint = format('alter table %s add column campaign_key text generated always as (…) stored; -- and a model with that key',
                      watched);
    end if;
    insert into marketing_automation_internal.watched_table as w (model, relation, model_relation, key, key_column)
    values (model.name, watched, model.relation, model.key, noted)
    on conflict on constraint watched_table_once do update
    set model_relation = excluded.model_relation, key = excluded.key, key_column = excluded.key_column
    returning w.* into watch;
    for its in
        select t.* from marketing_automation_internal.watch_triggers(watch) t where t.what is not null order by t.relation, t.name
    loop
        if its.trigger_id is not null then
            execute format('drop trigger %I on %s', its.name, its.relation::regclass);
        end if;
        execute its.definition;
        -- It goes with the extension, without CASCADE.
        execute format('alter trigger %I on %s depends on extension marketing_automation', its.name, its.relation::regclass);
        if its.name like '%\_row' then
            execute format('alter table only %s enable replica trigger %I', its.relation::regclass, its.name);
        end if;
    end loop;
exception when lock_not_available then
    perform marketing_automation_internal.refuse_to_wait(watched, 'puts a trigger on a table waits for all who write it',
        format('select * from marketing_automation.watch(%L);', model.name));
end $$;
comment on function marketing_automation_internal.watch_table(regrole, marketing_automation.model, regclass, text) is
    'API: private. Puts the triggers on a table of a model that note which of its rows are written; those that are there stay. '
    'its_column: of a table of a view; null: that of the key';

create function marketing_automation_internal.watched_by(model marketing_automation.model, tables jsonb)
    returns table (watched regclass, its_column text)
language plpgsql stable rows 3 set search_path = pg_catalog, pg_temp as $$
declare
    is_view boolean := (select c.relkind = 'v' from pg_class c where c.oid = model.relation);
    its record;
begin
    if tables is null then
        -- Again, to mend what is missing.
        return query select w.relation, w.key_column from marketing_automation_internal.watched_table w
            where is_view and w.model = watched_by.model.name and w.model_relation = watched_by.model.relation;
        if not found then
            return query select model.relation, null::text;
        end if;
        return;
    end if;
    if not is_view then
        raise exception 'model "%" is no view: it is watched itself', model.name
            using errcode = 'invalid_parameter_value', hint = format('select * from marketing_automation.watch(%L);', model.name);
    end if;
    if jsonb_typeof(tables) <> 'object' or tables = '{}'
        or exists (select from jsonb_each(tables) t where jsonb_typeof(t.value) <> 'string') then
        raise exception 'tables of model "%" must be an object of tables and columns', model.name
            using errcode = 'invalid_parameter_value',
                  hint = format('select * from marketing_automation.watch(%L, tables => %L);', model.name,
                      marketing_automation_internal.tables_to_watch(model));
    end if;
    for its in select t.key, t.value, to_regclass(t.key) as relation from jsonb_each_text(tables) t order by t.key loop
        if its.relation is null then
            raise exception 'table "%" does not exist', its.key
                using errcode = 'undefined_table', hint = 'Write its schema, as in public.orders: names are looked up in pg_catalog only.';
        end if;
        if not exists (
                select from pg_attribute a
                where a.attrelid = its.relation and a.attname = its.value and a.attnum > 0 and not a.attisdropped) then
            raise exception 'column "%" of % does not exist', its.value, its.relation
                using errcode = 'undefined_column', hint = marketing_automation_internal.name_hint(its.value, array(
                    select a.attname::text from pg_attribute a where a.attrelid = its.relation and a.attnum > 0 and not a.attisdropped),
                    'It is the column that holds the key of the view''s row.');
        end if;
        watched := its.relation;
        its_column := its.value;
        return next;
    end loop;
end $$;
comment on function marketing_automation_internal.watched_by(marketing_automation.model, jsonb) is
    'API: private. The tables to watch for a model, and the column of each, null: its key; tables: as that of watch()';

create function marketing_automation_internal.watch(caller regrole, model text, tables jsonb) returns table (scenario text, obstacle text)
language plpgsql rows 10 set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.model;
    its record;
    watched oid[] := '{}';
begin
    perform marketing_automation_internal.reach_definitions();
    chosen := marketing_automation_internal.model_to_watch(caller, model);
    if not exists (select from pg_class c where c.oid = chosen.relation) then
        raise exception 'the table of model "%" is gone', model
            using errcode = 'undefined_table', hint = format('select marketing_automation.unregister_model(%L);', model);
    end if;
    for its in select w.* from marketing_automation_internal.watched_by(chosen, tables) w order by w.watched loop
        perform marketing_automation_internal.watch_table(caller, chosen, its.watched, its.its_column);
        watched := watched || its.watched::oid;
    end loop;
    -- What the model was of before, or what is not named any more.
    perform marketing_automation_internal.drop_watch(w) from marketing_automation_internal.watched_table w
    where w.model = watch.model and w.relation::oid <> all (watched);
    delete from marketing_automation_internal.watched_scan s using marketing_automation.scenario c
    where c.id = s.scenario_id and c.model = watch.model;
    return query
    select s.name, marketing_automation_internal.capture_obstacle(s, chosen)
    from marketing_automation.scenario s
    where s.model = chosen.name and pg_has_role(caller, s.owner_id, 'MEMBER') order by s.name;
end $$;
comment on function marketing_automation_internal.watch(regrole, text, jsonb) is 'API: private. Behind watch()';

create function marketing_automation.watch(model text, tables jsonb default null) returns table (scenario text, obstacle text)
language c volatile rows 10 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.watch(text, jsonb) is
    'API: public. Puts triggers on the table of a model, and on its partitions, that note the keys of rows that are inserted or '
    'updated, so that enroll_all() need look at no others. For members of the owners of model and table; waits two seconds at most for '
    'those who write the table. Again: mends what is missing, as on a new partition. tables: for a model of a view, the tables that it '
    'reads, each with the column that is the key of the view''s row, {"shop.customer": "id", "shop.order": "customer_id"}. A row for '
    'each of your scenarios of the model; obstacle: why it goes on reading all rows, null: it does not';

create function marketing_automation_internal.unwatch(caller regrole, model text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
    chosen marketing_automation.model := marketing_automation_internal.model_to_watch(caller, model);
begin
    perform marketing_automation_internal.drop_watch(w) from marketing_automation_internal.watched_table w where w.model = unwatch.model;
    if not found then
        raise exception 'model "%" is not watched', model
            using errcode = 'undefined_object', hint = format('select * from marketing_automation.watch(%L);', model);
    end if;
    delete from marketing_automation_internal.watched_scan s using marketing_automation.scenario c
    where c.id = s.scenario_id and c.model = chosen.name;
exception when lock_not_available then
    perform marketing_automation_internal.refuse_to_wait(chosen.relation, 'drops a trigger of a table waits for all who use it',
        format('select marketing_automation.unwatch(%L);', model));
end $$;
comment on function marketing_automation_internal.unwatch(regrole, text) is 'API: private. Behind unwatch()';

create function marketing_automation.unwatch(model text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unwatch(text) is
    'API: public. Drops the triggers that watch() has put on the table of a model: enroll_all() reads its rows again when something '
    'was written. For members of the model''s owner; waits two seconds at most for those who use the table';

create function marketing_automation_internal.watch_health(out name text, out status text, out message text, out hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'watch', case when count(g.gap) > 0 or s.bytes > 64000000 then 'warning' else 'ok' end,
        case when count(g.gap) > 0 then
                string_agg(format('model "%s" is read in full at each run: %s', w.model, g.gap), '; ' order by w.model)
                filter (where g.gap is not null)
             when s.bytes > 64000000 then
                format('%s of captured keys wait to be tried, or have been and are kept by an old snapshot', pg_size_pretty(s.bytes))
             when count(w.id) = 0 then 'no model is watched'
             else format('watched: %s', string_agg(format('"%s"', w.model), ', ' order by w.model)) end,
        case when count(g.gap) > 0 then string_agg(case
                when not m.is_known then format('select marketing_automation.unwatch(%L);', w.model)
                else format('select * from marketing_automation.watch(%L);', w.model) end, ' ' order by w.model)
                filter (where g.gap is not null)
             when s.bytes > 64000000 then 'call marketing_automation.enroll_all();' end
    from (select pg_relation_size('marketing_automation_internal.captured_keys') as bytes) s
    left join marketing_automation_internal.watched_table w on true
    left join marketing_automation.model d on d.name = w.model
    cross join lateral (select exists (select from pg_class c where c.oid = d.relation)) as m (is_known)
    left join lateral marketing_automation_internal.watch_state(w, d) g on w.id is not null
    group by s.bytes
$$;
comment on function marketing_automation_internal.watch_health(out text, out text, out text, out text) is
    'API: private. Check of health() about watched tables';
