-- Rows of a model: found again by their keys; and rows for which an expression raises, which stand apart.

create function marketing_automation_internal.key_operator(key_type regtype) returns text
-- plpgsql keeps the plan: making it took 2 ms of each batch.
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when count(*) = 0 then null
        when bool_or(p.place = '') then format('%s <> all (%L::text[])', marketing_automation_internal.digest(), array_agg(p.digest))
        else format('case when self.ctid = any (%L::tid[]) then %s <> all (%L::text[]) else true end', array_agg(p.place),
            marketing_automation_internal.digest(), array_agg(p.digest)) end
    from marketing_automation_internal.poisonous_row p
    where p.scenario_id = not_poisonous.scenario_id
       or p.raises_key and exists (
            select from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model
            where s.id = p.scenario_id and m.relation = not_poisonous.relation and m.key = not_poisonous.key)
$$;
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
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- The type by its catalog name: as SQL spells it, character would be character(1).
    select marketing_automation_internal.guarded(
        format(E'(%s\n) %s any (($1)::%I.%I[])', key, marketing_automation_internal.key_operator(key_type), n.nspname, t.typname),
        marketing_automation_internal.not_poisonous(relation, key))
    from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = key_type
$$;
comment on function marketing_automation_internal.key_condition(regclass, text, regtype) is
    'API: private. Condition over self for the rows whose keys are in $1 (text[]), in a form that uses the index on the key';

create function marketing_automation_internal.key_query(relation regclass, key text, key_type regtype, columns text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('select %s from %s as self where %s', columns, relation,
        marketing_automation_internal.key_condition(relation, key, key_type))
$$;
comment on function marketing_automation_internal.key_query(regclass, text, regtype, text) is
    'API: private. Query for the rows whose keys are in $1 (text[])';

create function marketing_automation_internal.error_in(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, part text, digests text[],
    out message text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- An aggregate reads every row, whatever it needs.
    select min(case when q.key is null then 'its key is null'
                    when octet_length(q.key) > 1000 then 'its key has more than 1,000 bytes'
                    when octet_length(q.party) > 1000 then 'its party has more than 1,000 bytes' end)
    into message
    from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, format('select %s, %s, %s from %s as self where %s',
        marketing_automation_internal.as_key(model.key, model.key_type),
        marketing_automation_internal.as_text(case when not only_key then model.party end),
        marketing_automation_internal.as_text(case when not only_key then model.time_zone end), model.relation,
        -- The part stands outside, where it finds the rows, and inside, where it protects the domain.
        case when only_key then part
             else part || ' and ' || marketing_automation_internal.guarded(format(E'(%s\n)', scenario.domain), part) end),
        digests) as q (key text, party text, time_zone text);
    if only_key then
        message := null;
    end if;
    code := case when message is not null then '23514' end;
exception when others then
    get stacked diagnostics message = message_text, code = returned_sqlstate;
    if marketing_automation_internal.is_passing_error(code) or marketing_automation_internal.is_broken_definition(code) then
        raise;
    end if;
end $$;
comment on function marketing_automation_internal.error_in(marketing_automation.scenario, marketing_automation.model, boolean, text,
    text[], out text, out text) is
    'API: private. The error that domain, key or party raises for some row of a part of the relation, null: none does. A key that '
    'is null or too long counts as one. only_key: that the key raises, whatever the domain says. part: condition over self, in which $1 is digests';

create function marketing_automation_internal.poisonous_rows(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, first_block bigint, beyond_block bigint,
    digests text[]
) returns marketing_automation_internal.poisonous_row[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    part text := coalesce(nullif(concat_ws(' and ',
        case when first_block is not null then format('self.ctid >= ''(%s,0)''::tid and self.ctid < ''(%s,0)''::tid', first_block,
            beyond_block) end,
        case when digests is not null then format('%s = any ($1)', marketing_automation_internal.digest()) end), ''), 'true');
    message text;
    code text;
    key text;
    raises_key boolean := false;
    found_first marketing_automation_internal.poisonous_row[];
    half bigint;
begin
    select e.message, e.code into message, code
    from marketing_automation_internal.error_in(scenario, model, only_key, part, digests) e;
    if message is null then
        return '{}';
    end if;
    if digests is null and beyond_block - first_block > 1 then
        half := (first_block + beyond_block) / 2;
        found_first := marketing_automation_internal.poisonous_rows(scenario, model, only_key, first_block, half, null);
        -- The first thousand are enough to know that it is not the fault of single rows.
        return found_first || case when cardinality(found_first) < 1000 then
            marketing_automation_internal.poisonous_rows(scenario, model, only_key, half, beyond_block, null) end;
    end if;
    if digests is null then
        digests := array(
            select distinct q.digest
            from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, format('select %s from %s as self where %s',
                marketing_automation_internal.digest(), model.relation, part), null)
                as q (digest text));
        return marketing_automation_internal.poisonous_rows(scenario, model, only_key, first_block, beyond_block, digests);
    end if;
    half := cardinality(digests) / 2;
    if half > 0 then
        found_first := marketing_automation_internal.poisonous_rows(scenario, model, only_key, first_block, beyond_block, digests[:half]);
        return found_first || case when cardinality(found_first) < 1000 then
            marketing_automation_internal.poisonous_rows(scenario, model, only_key, first_block, beyond_block, digests[half + 1:]) end;
    end if;
    begin
        key := (
            select min(q.key) from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                format('select %s from %s as self where %s', marketing_automation_internal.as_key(model.key, model.key_type), model.relation, part), digests)
                as q (key text));
    exception when others then
        raises_key := true;
    end;
    return array(
        select row(scenario.id, digests[1], q.place, key, raises_key, message, code)::marketing_automation_internal.poisonous_row
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, format('select distinct %s from %s as self where %s',
            case when first_block is null then '''''::text' else 'self.ctid::text' end, model.relation, part), digests) as q (place text));
end $$;
comment on function marketing_automation_internal.poisonous_rows(marketing_automation.scenario, marketing_automation.model, boolean,
    bigint, bigint, text[]) is
    'API: private. Rows for which domain, key or party raises, found by halving blocks of the table, then the rows of a block; not '
    'all of them when they are a thousand. Without blocks, for what is no table, rows alone are halved';

create function marketing_automation_internal.block_count(relation regclass) returns bigint
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive part as (
        select c.oid, c.relkind from pg_class c where c.oid = relation
        union
        select c.oid, c.relkind from part p join pg_inherits i on i.inhparent = p.oid join pg_class c on c.oid = i.inhrelid
    )
    select case when bool_and(p.relkind in ('r', 'p', 'm')) then
        greatest(max(pg_relation_size(p.oid)) / current_setting('block_size')::bigint, 1) end
    from part p
$$;
comment on function marketing_automation_internal.block_count(regclass) is
    'API: private. Blocks of a table, of its largest partition if it has some; null: it is no table, or not all of it is';

create function marketing_automation_internal.most_rows_raise(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, blocks bigint
) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    part text;
    sampled integer := 0;
begin
    if blocks < 8 then
        return false;
    end if;
    for part in
        select format(case when blocks is null then '%s = %L' else 'self.ctid = %2$L::tid' end, marketing_automation_internal.digest(), q.sample)
        from generate_series(0, 7) n
        cross join lateral marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, case
            when blocks is null then format('select %s from %s as self offset %s limit 1', marketing_automation_internal.digest(),
                model.relation, n * 100)
            else format('select self.ctid::text from %s as self where self.ctid >= ''(%s,0)''::tid limit 1', model.relation, n * blocks / 8)
            end, null) as q (sample text)
    loop
        sampled := sampled + 1;
        if (marketing_automation_internal.error_in(scenario, model, only_key, part, null)).message is null then
            return false;
        end if;
    end loop;
    return sampled = 8;
end $$;
comment on function marketing_automation_internal.most_rows_raise(marketing_automation.scenario, marketing_automation.model, boolean,
    bigint) is
    'API: private. Whether domain, key or party raises for all of eight rows here and there: then it is not worth looking for single '
    'ones';

create function marketing_automation_internal.set_rows_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    blocks bigint := marketing_automation_internal.block_count(model.relation);
    apart marketing_automation_internal.poisonous_row[];
begin
    if not has_table_privilege(scenario.owner_id, model.relation, 'SELECT') then
        -- Rights on columns are no right to look at the whole row, nor at where it is.
        return 0;
    end if;
    if marketing_automation_internal.most_rows_raise(scenario, model, only_key, blocks) then
        return 0;
    end if;
    apart := marketing_automation_internal.poisonous_rows(scenario, model, only_key, case when blocks is not null then 0 end, blocks, null);
    if cardinality(apart) not between 1 and 999 then
        return 0;
    end if;
    insert into marketing_automation_internal.poisonous_row select a.* from unnest(apart) a
    on conflict on constraint poisonous_row_pkey do update
    set key = excluded.key, raises_key = excluded.raises_key, error = excluded.error, error_code = excluded.error_code;
    perform from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
        format('select true from %s as self where %s limit 1', model.relation,
            marketing_automation_internal.not_poisonous(model.relation, model.key, scenario.id)), null) as q (is_there boolean);
    if not found then
        delete from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id;
        return 0;
    end if;
    return cardinality(apart);
end $$;
comment on function marketing_automation_internal.set_rows_apart(marketing_automation.scenario, marketing_automation.model, boolean) is
    'API: private. Finds and remembers the rows for which domain, key or party raises (only_key: the key), and returns how many; 0: '
    'none, or so many, or all, that it is not the fault of single rows';

create function marketing_automation_internal.release_rows(scenario marketing_automation.scenario, model marketing_automation.model)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    apart marketing_automation_internal.poisonous_row;
    part text;
    message text;
begin
    for apart in select p.* from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id loop
        part := concat_ws(' and ', case when apart.place <> '' then format('self.ctid = %L::tid', apart.place) end,
            format('%s = any ($1)', marketing_automation_internal.digest()));
        select e.message into message
        from marketing_automation_internal.error_in(scenario, model, apart.raises_key, part, array[apart.digest]) e;
        if message is null then
            delete from marketing_automation_internal.poisonous_row p
            where p.scenario_id = scenario.id and p.digest = apart.digest and p.place = apart.place;
        end if;
    end loop;
end $$;
comment on function marketing_automation_internal.release_rows(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Forgets the poisonous rows that have changed, are gone, or raise no error any more';

create function marketing_automation_internal.poisonous_summary(scenario_id integer, with_keys boolean, out message text, out code text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when with_keys then format('%s not enter, %s: %s',
            case count(*) when 1 then '1 row does' else count(*) || ' rows do' end,
            string_agg(case
                when p.nth > 3 then null
                when p.key is not null then 'key ' || left(p.key, 100)
                when p.place <> '' then 'at ' || p.place
                else 'without a key' end, ', ' order by p.nth) || case when count(*) > 3 then ', …' else '' end,
            min(p.error) filter (where p.nth = 1))
        else format('%s not enter', case count(*) when 1 then '1 row does' else count(*) || ' rows do' end) end,
        min(p.error_code) filter (where p.nth = 1)
    from (select p.*, row_number() over (order by p.key, p.place, p.digest) as nth
          from marketing_automation_internal.poisonous_row p where p.scenario_id = poisonous_summary.scenario_id) p
    having count(*) > 0
$$;
comment on function marketing_automation_internal.poisonous_summary(integer, boolean, out text, out text) is
    'API: private. How many rows of a scenario stand apart, and why the first one does, null: none. with_keys: which; not for the log';
