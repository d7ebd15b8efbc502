-- Rows of a model, found again by their keys.

create function marketing_automation_internal.key_operator(key_type regtype) returns text
-- plpgsql keeps the plan: making it took 2 ms of each batch.
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
    with recursive type as (
        select t.oid, t.typtype, t.typbasetype from pg_type t where t.oid = key_type
        union all
        select t.oid, t.typtype, t.typbasetype from type d join pg_type t on t.oid = d.typbasetype where d.typtype = 'd'
    )
    -- A type of an extension has an operator of its own, which the search_path does not find: "=" would be that of text, which no
    -- index on the key knows. Types that share an operator class (varchar, enums, arrays) share its operator, in pg_catalog.
    select coalesce((
        select format('operator(%I.%s)', n.nspname, o.oprname)
        from type t
        join pg_opclass c on c.opcintype = t.oid and c.opcdefault
        join pg_am m on m.oid = c.opcmethod and m.amname in ('btree', 'hash')
        join pg_amop a on a.amopfamily = c.opcfamily and a.amoplefttype = t.oid and a.amoprighttype = t.oid
            and a.amopstrategy = case m.amname when 'btree' then 3 else 1 end
        join pg_operator o on o.oid = a.amopopr
        join pg_namespace n on n.oid = o.oprnamespace
        where t.typtype <> 'd'
        order by m.amname limit 1), '='));
end $$;
comment on function marketing_automation_internal.key_operator(regtype) is
    'API: private. How to write the equality of a key''s type: that of its default operator class';

create function marketing_automation_internal.digest() returns text
language sql immutable
return $$pg_catalog.hashtextextended((self.*)::text, 0)::text$$;
comment on function marketing_automation_internal.digest() is 'API: private. Expression over self: a hash of the row, whatever it holds';

create function marketing_automation_internal.not_poisonous(relation regclass, key text, scenario_id integer default null) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        select case
            when count(*) = 0 then null
            when bool_or(p.place = '') then format('%s <> all (%L::text[])', marketing_automation_internal.digest(), array_agg(p.digest))
            else format('case when self.ctid = any (%L::tid[]) then %s <> all (%L::text[]) else true end', array_agg(p.place),
                marketing_automation_internal.digest(), array_agg(p.digest)) end
        from marketing_automation_internal.poisonous_row p
        where p.scenario_id = not_poisonous.scenario_id
           or p.raises_key and exists (
                select from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model
                where s.id = p.scenario_id and m.relation = not_poisonous.relation and m.key = not_poisonous.key));
end $$;
comment on function marketing_automation_internal.not_poisonous(regclass, text, integer) is
    'API: private. Condition over self that leaves out the poisonous rows of a scenario and those whose key raises, null: there are '
    'none. It must be true before anything else is looked at';

create function marketing_automation_internal.guarded(condition text, guard text) returns text
language sql immutable
-- Not "and": the planner decides which side of that comes first.
return case when guard is null then condition else format('case when %s then %s end', guard, condition) end;
comment on function marketing_automation_internal.guarded(text, text) is
    'API: private. A condition that is looked at only where guard holds; a null guard holds always';

create function marketing_automation_internal.key_condition(relation regclass, key text, key_type regtype) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    -- The type by its catalog name: as SQL spells it, character would be character(1).
    return (
        select marketing_automation_internal.guarded(
            format(E'(%s\n) %s any (($1)::%I.%I[])', key, marketing_automation_internal.key_operator(key_type), n.nspname, t.typname),
            marketing_automation_internal.not_poisonous(relation, key))
        from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = key_type);
end $$;
comment on function marketing_automation_internal.key_condition(regclass, text, regtype) is
    'API: private. Condition over self for the rows whose keys are in $1 (text[]), in a form that uses the index on the key';

create function marketing_automation_internal.key_query(relation regclass, key text, key_type regtype, columns text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        select format('select %s from %s as self where %s', columns, relation,
            marketing_automation_internal.key_condition(relation, key, key_type)));
end $$;
comment on function marketing_automation_internal.key_query(regclass, text, regtype, text) is
    'API: private. Query for the rows whose keys are in $1 (text[])';

create function marketing_automation_internal.canonical_key(scenario marketing_automation.scenario, key text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
begin
    model := marketing_automation_internal.usable_model(scenario);
    return coalesce((
        select q.key
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                marketing_automation_internal.as_key(model.key, model.key_type)), array[key]) as q (key text)
        limit 1), key);
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
    -- Whoever asks meets the error again where it can be told.
    return key;
end $$;
comment on function marketing_automation_internal.canonical_key(marketing_automation.scenario, text) is
    'API: private. A key as records have it: 7 for 007 of a bigint; the text itself while no row has it';

create function marketing_automation_internal.key_fault(scenario marketing_automation.scenario, key text,
    out message text, out hint text, out code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
begin
    -- As its owner, since a type may have code of somebody.
    perform from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, (
        select format('select (($1)::%I.%I[])[1] is null', n.nspname, t.typname)
        from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = model.key_type), array[key]) as q (is_null boolean);
exception when data_exception or check_violation then
    message := format('key "%s" is no %s', key, format_type(model.key_type, null));
    hint := format('The key of model "%s" is %s of %s.', model.name, model.key, model.relation);
    code := sqlstate;
end $$;
comment on function marketing_automation_internal.key_fault(marketing_automation.scenario, text, out text, out text, out text) is
    'API: private. Why a text is no value of the type of a model''s key; nulls: it is one';

create function marketing_automation_internal.demand_key(scenario marketing_automation.scenario, key text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    fault record;
begin
    perform marketing_automation_internal.demand_some_key(key);
    fault := marketing_automation_internal.key_fault(scenario, key);
    if fault.message is not null then
        raise exception using message = fault.message, errcode = fault.code, hint = fault.hint;
    end if;
end $$;
comment on function marketing_automation_internal.demand_key(marketing_automation.scenario, text) is
    'API: private. Raises unless a text is a value of the type of a model''s key; null: it is none';

create function marketing_automation_internal.refresh_key_type(scenario marketing_automation.scenario) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    model marketing_automation.model;
begin
    select m.* into strict model from marketing_automation.model m where m.name = scenario.model;
    if marketing_automation_internal.check_expression(scenario.owner_id, model.relation, model.key, 'key') = model.key_type then
        return false;
    end if;
    -- Finding the type is what the trigger does.
    update marketing_automation.model m set key_type = m.key_type where m.name = model.name;
    -- Whoever asks tries again, and would without end.
    return exists (select from marketing_automation.model m where m.name = model.name and m.key_type <> model.key_type);
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
    -- Whatever is wrong with the key, there is an error about it already.
    return false;
end $$;
comment on function marketing_automation_internal.refresh_key_type(marketing_automation.scenario) is
    'API: private. Whether the key was found to have another type than it was registered with, because its column was retyped '
    '(integer to bigint): keys cast to the old type would not all fit';
