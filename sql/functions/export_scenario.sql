-- Scenarios as JSON: kept with the shop's code, compared, taken from one server to another, copied. These functions run as their caller,
-- like the statements that he could write himself: policies and triggers decide what he may see and change.

create function marketing_automation.export_scenario(scenario text) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    its_id integer := marketing_automation.scenario_id(scenario);
    result jsonb;
begin
    with recursive node as (
        select a.id, array[a.id] as path from marketing_automation.activity a where a.scenario_id = its_id and a.parent_id is null
        union all
        select a.id, n.path || a.id from node n join marketing_automation.activity a on a.parent_id = n.id
    )
    select jsonb_build_object('format', 1,
        'scenario', to_jsonb(s) - array['id', 'state', 'owner', 'owner_id', 'created_at'],
        'model', (select to_jsonb(m) - array['owner', 'owner_id', 'key_type'] from marketing_automation.model m where m.name = s.model),
        'activities', coalesce((
            select jsonb_agg(to_jsonb(a) - array['id', 'scenario_id', 'parent_id', 'version']
                || jsonb_build_object('parent', p.name, 'translations', coalesce((
                    select jsonb_agg(to_jsonb(t) - 'activity_id' order by t.language)
                    from marketing_automation.activity_translation t where t.activity_id = a.id), '[]')) order by n.path)
            from node n join marketing_automation.activity a on a.id = n.id
            left join marketing_automation.activity p on p.id = a.parent_id), '[]'))
    into result from marketing_automation.scenario s where s.id = its_id;
    -- Who sees only its numbers does not see its row.
    if result is null then
        raise exception 'must be a member of the owner of scenario "%"', scenario using errcode = 'insufficient_privilege';
    end if;
    return result;
end $$;
comment on function marketing_automation.export_scenario(text) is
    'API: public. The definition of a scenario as JSON: itself, its activities in the order of the tree, their translations, and, to be '
    'compared with, its model. Without ids, owner and state, so that the same scenario is the same text on every server; see '
    'import_scenario(). jsonb_pretty() makes a file of it';

create function marketing_automation.import_scenario(definition jsonb, name text default null, dry_run boolean default false)
    returns table (change text, object text, attribute text, before text, after text)
language plpgsql set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
#variable_conflict use_column
declare
    wanted constant jsonb := definition -> 'scenario';
    its_name constant text := coalesce(import_scenario.name, wanted ->> 'name');
    its_model constant text := wanted ->> 'model';
    its_id integer;
    item record;
    identity jsonb;
    attributes jsonb;
    present jsonb;
    -- What each kind of them is, and by what it is found, which the index of that relation has: see identity.
    relations constant regclass[] := '{marketing_automation.scenario,marketing_automation.activity,marketing_automation.activity_translation}';
    fixed constant text[] := '{"id state owner owner_id created_at", "id scenario_id parent_id version", activity_id}';
    found_by constant text[] := array[$i$t.name = $1 ->> 'name'$i$,
        $i$t.scenario_id = ($1 ->> 'scenario_id')::integer and t.name = $1 ->> 'name'$i$,
        $i$t.activity_id = ($1 ->> 'activity_id')::integer and t.language = $1 ->> 'language'$i$];
    relation regclass;
    is_it text;
    own text[];
    changed text[];
    id_of_activity integer;
    changes jsonb := '[]';
begin
    if jsonb_typeof(definition) is distinct from 'object' or definition ->> 'format' is distinct from '1'
        or jsonb_typeof(wanted) is distinct from 'object' or coalesce(its_name, '') = ''
        or jsonb_typeof(definition -> 'activities') is distinct from 'array'
        or exists (select from jsonb_array_elements(definition -> 'activities') a
            where jsonb_typeof(a) <> 'object' or coalesce(a ->> 'name', '') = ''
               or jsonb_typeof(coalesce(a -> 'translations', '[]')) <> 'array')
    then
        raise exception 'this is no definition of a scenario' using errcode = 'invalid_parameter_value',
            detail = 'It is an object with "format": 1, an object "scenario" that has a name, and an array "activities", each with a name.',
            hint = 'select marketing_automation.export_scenario(name) makes one.';
    end if;
    if exists (select from jsonb_array_elements(definition -> 'activities') a group by a ->> 'name' having count(*) > 1)
        or exists (select from jsonb_array_elements(definition -> 'activities') a
            cross join lateral jsonb_array_elements(coalesce(a -> 'translations', '[]')) t
            group by a ->> 'name', t ->> 'language' having count(*) > 1 or coalesce(t ->> 'language', '') = '')
    then
        raise exception 'a definition says once what an activity is, and once what it is in a language' using errcode = 'invalid_parameter_value',
            detail = 'Two activities have one name, two translations of one have one language, or a translation has none.',
            hint = 'Leave one of them out, or give it another name.';
    end if;
    if not exists (select from marketing_automation.model m where m.name = its_model) then
        raise exception 'model "%" does not exist here', its_model using errcode = 'undefined_object',
            hint = coalesce((select format('select marketing_automation.register_model(%L, %L%s);', its_model, definition -> 'model' ->> 'relation',
                    string_agg(format(', %I => %L', m.key, m.value), '' order by m.key))
                from jsonb_each_text(case when jsonb_typeof(definition -> 'model') = 'object' then definition -> 'model' else '{}' end) m
                where m.key not in ('name', 'relation') and m.value is not null
                having definition #>> '{model,relation}' is not null and count(*) > 0),
                'See: select name from marketing_automation.model;');
    end if;
    -- As demand_writing() says it, which only the extension's own functions may call.
    if dry_run and current_setting('transaction_read_only') = 'on' then
        raise exception 'a dry run writes what it rolls back, which %',
                case when pg_is_in_recovery() then 'a standby cannot' else 'this transaction may not' end
            using errcode = 'read_only_sql_transaction', hint = case when pg_is_in_recovery()
                then 'select sender_host, sender_port from pg_stat_wal_receiver; -- call it there, on the primary'
                else 'begin read write; -- then call it again' end;
    end if;
    begin
        -- Who does not see its row would be told that its name is taken.
        if not exists (select from marketing_automation.scenario s where s.name = its_name) then
            perform marketing_automation.scenario_id(its_name);
            raise exception 'must be a member of the owner of scenario "%"', its_name using errcode = 'insufficient_privilege';
        end if;
    exception when undefined_object then
        null;
    end;
    begin
        for item in
            select 0 as n, 0::bigint as of, format('scenario "%s"', its_name) as object, null::text as activity, null::text as parent,
                false as names_parent, wanted || jsonb_build_object('name', its_name) as attributes
            union all
            select 1, a.n, format('activity "%s"', a.part ->> 'name'), a.part ->> 'name', a.part ->> 'parent', a.part ? 'parent',
                a.part - array['parent', 'translations']
            from jsonb_array_elements(definition -> 'activities') with ordinality a (part, n)
            union all
            select 2, a.n, format('activity "%s" in language "%s"', a.part ->> 'name', t ->> 'language'), a.part ->> 'name', null, false, t
            from jsonb_array_elements(definition -> 'activities') with ordinality a (part, n)
            cross join lateral jsonb_array_elements(coalesce(a.part -> 'translations', '[]')) t
            order by 1, 2
        loop
            relation := relations[item.n + 1];
            is_it := found_by[item.n + 1];
            own := array(select c.attname from pg_attribute c where c.attrelid = relation and c.attnum > 0 and not c.attisdropped
                and c.attname <> all (string_to_array(fixed[item.n + 1], ' ')) order by c.attnum);
            if exists (select from jsonb_object_keys(item.attributes) k where k <> all (own)) then
                raise exception '% has no attribute "%" here', item.object,
                    (select k from jsonb_object_keys(item.attributes) k where k <> all (own) order by 1 limit 1)
                    using errcode = 'undefined_column', hint = format('It has: %s.', array_to_string(own, ', '));
            end if;
            attributes := item.attributes;
            begin
                execute format('select from jsonb_populate_record(null::%s, $1)', relation) using attributes;
            exception when data_exception then
                raise exception '% cannot be imported: %', item.object, sqlerrm using errcode = sqlstate,
                    hint = 'export_scenario() shows how a value is written.';
            end;
            -- By what it is found, which is also what a new row is given besides.
            identity := case item.n when 0 then jsonb_build_object('name', its_name)
                when 1 then jsonb_build_object('scenario_id', its_id, 'name', item.activity) else null end;
            if item.n = 1 then
                select a.id into id_of_activity from marketing_automation.activity a where a.scenario_id = its_id and a.name = item.parent;
                if item.parent is not null and id_of_activity is null then
                    raise exception 'activity "%" names a parent "%", which is not before it', item.activity, item.parent
                        using errcode = 'undefined_object', hint = 'Activities stand in the order of the tree, parents before their children.';
                end if;
                if item.names_parent then
                    attributes := attributes || jsonb_build_object('parent_id', id_of_activity);
                    own := own || 'parent_id'::text;
                end if;
            elsif item.n = 2 then
                select a.id into strict id_of_activity from marketing_automation.activity a where a.scenario_id = its_id and a.name = item.activity;
                identity := jsonb_build_object('activity_id', id_of_activity, 'language', attributes -> 'language');
            end if;
            execute format('select to_jsonb(t) from %s t where %s', relation, is_it) into present using identity;
            if present is null then
                attributes := attributes || identity;
                execute format('insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $1)', relation,
                    (select string_agg(quote_ident(k), ', ' order by k) from jsonb_object_keys(attributes) k)) using attributes;
                changes := changes || jsonb_build_object('change', 'create', 'object', item.object);
            else
                -- As the row would have them: '1 day' and '24 hours' are told from each other, '1 day' and '1 days' are not.
                execute format('select to_jsonb(jsonb_populate_record(t, $2)) from %s t where %s', relation, is_it)
                    into attributes using identity, attributes;
                changed := array(select o.name from unnest(own) with ordinality o (name, n)
                    where attributes -> o.name is distinct from present -> o.name order by o.n);
                if changed <> '{}' then
                    execute format('update %1$s t set %2$s from jsonb_populate_record(null::%1$s, $2) r where %3$s', relation,
                        (select string_agg(format('%1$I = r.%1$I', c), ', ') from unnest(changed) c), is_it) using identity, attributes;
                    changes := changes || (select jsonb_agg(jsonb_build_object('change', 'change', 'object', item.object,
                        'attribute', case c when 'parent_id' then 'parent' else c end,
                        'before', case c when 'parent_id' then (select a.name from marketing_automation.activity a
                            where a.id = (present ->> 'parent_id')::integer) else present ->> c end,
                        'after', case c when 'parent_id' then item.parent else attributes ->> c end)) from unnest(changed) c);
                end if;
            end if;
            if item.n = 0 then
                select s.id into strict its_id from marketing_automation.scenario s where s.name = its_name;
            end if;
        end loop;
        -- What is here only may have been for people already: it is named, and stays.
        changes := changes || coalesce((
            select jsonb_agg(jsonb_build_object('change', 'only here', 'object', o.object) order by o.object)
            from (select format('activity "%s"', a.name) from marketing_automation.activity a where a.scenario_id = its_id
                    and not exists (select from jsonb_array_elements(definition -> 'activities') d where d ->> 'name' = a.name)
                  union all
                  select format('activity "%s" in language "%s"', a.name, t.language)
                  from marketing_automation.activity a join marketing_automation.activity_translation t on t.activity_id = a.id
                  join jsonb_array_elements(definition -> 'activities') d on d ->> 'name' = a.name
                  where a.scenario_id = its_id and not exists (
                      select from jsonb_array_elements(coalesce(d -> 'translations', '[]')) k where k ->> 'language' = t.language)) o (object)), '[]');
        if dry_run then
            raise exception 'undone' using errcode = 'MA001';
        end if;
    exception when sqlstate 'MA001' then
        null;
    end;
    return query select c.change, c.object, c.attribute, c.before, c.after
        from jsonb_to_recordset(changes) c (change text, object text, attribute text, before text, after text);
end $$;
comment on function marketing_automation.import_scenario(jsonb, text, boolean) is
    'API: public. Makes a scenario what a definition by export_scenario() says, and returns what that changed: create, change (attribute, '
    'before, after), or only here: what the definition lacks, which stays. No row: it was so already. What it does not mention stays, too. '
    'A new scenario is a draft of the caller''s. name: another name than the definition''s. dry_run: tells all of it, errors too, and '
    'changes nothing';

create function marketing_automation.copy_scenario(scenario text, new_name text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    definition constant jsonb := marketing_automation.export_scenario(scenario);
begin
    if coalesce(new_name, '') = '' then
        raise exception 'a copy needs a name' using errcode = 'invalid_parameter_value',
            hint = format('select marketing_automation.copy_scenario(%L, %L);', scenario, scenario || ', copy');
    end if;
    if exists (select from marketing_automation.scenario s where s.name = new_name) then
        raise exception 'scenario "%" exists already', new_name using errcode = 'duplicate_object', hint = format(
            'To make it what "%s" is: select * from marketing_automation.import_scenario(marketing_automation.export_scenario(%L), name => %L);',
            scenario, scenario, new_name);
    end if;
    perform from marketing_automation.import_scenario(definition, new_name);
    return marketing_automation.scenario_id(new_name);
end $$;
comment on function marketing_automation.copy_scenario(text, text) is
    'API: public. A draft of another name with the same definition, activities and translations, owned by the caller; returns its id';
