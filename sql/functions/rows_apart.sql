-- Rows that stand apart, so that all others enter: those for which an expression raises, and those whose key others have too.

create function marketing_automation_internal.error_in(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, part text, digests text[],
    out message text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- An aggregate reads every row, whatever it needs.
    select min(case when q.key is null then 'its key is null'
                    when octet_length(q.key) > 1000 then 'its key has more than 1,000 bytes'
                    when octet_length(q.party) > 1000 then 'its party has more than 1,000 bytes'
                    when octet_length(q.occasion) > 1000 then 'its occasion has more than 1,000 bytes' end)
    into message
    from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, format('select %s, %s, %s, %s, %s from %s as self where %s',
        marketing_automation_internal.as_key(model.key, model.key_type),
        marketing_automation_internal.as_text(case when not only_key then model.party end),
        marketing_automation_internal.as_text(case when not only_key then model.time_zone end),
        case when only_key then 'null::text' else marketing_automation_internal.entering_address(scenario, model) end,
        marketing_automation_internal.as_occasion(case when not only_key then scenario.occasion end), model.relation,
        -- The part stands outside, where it finds the rows, and inside, where it protects the domain.
        case when only_key then part
             else part || ' and ' || marketing_automation_internal.guarded(format(E'(%s\n)', scenario.domain), part) end),
        digests) as q (key text, party text, time_zone text, email text, occasion text);
    if only_key then
        message := null;
    end if;
    code := case when message is not null then '23514' end;
exception when others then
    get stacked diagnostics message = message_text, code = returned_sqlstate;
    -- Not told by its class: what a value names (a text search configuration, a relation) may not exist, for one row.
    if marketing_automation_internal.is_passing_error(code) then
        raise;
    end if;
end $$;
comment on function marketing_automation_internal.error_in(marketing_automation.scenario, marketing_automation.model, boolean, text,
    text[], out text, out text) is
    'API: private. The error that domain, key, party or occasion raises for some row of a part of the relation, null: none does. A key that '
    'is null or too long counts as one. only_key: that the key raises, whatever the domain says. part: condition over self, in which $1 is digests';

create function marketing_automation_internal.block_count(relation regclass) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        with recursive part as (
            select c.oid, c.relkind from pg_class c where c.oid = relation
            union
            select c.oid, c.relkind from part p join pg_inherits i on i.inhparent = p.oid join pg_class c on c.oid = i.inhrelid
        )
        select case when bool_and(p.relkind in ('r', 'p', 'm')) then
            greatest(max(pg_relation_size(p.oid)) / current_setting('block_size')::bigint, 1) end
        from part p);
end $$;
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
    'API: private. Whether domain, key, party or occasion raises for all of eight rows here and there: then it is not worth looking for single '
    'ones';

create function marketing_automation_internal.find_poisonous_rows(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, inout reached text,
    out apart marketing_automation_internal.poisonous_row[], out cut text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    blocks bigint := marketing_automation_internal.block_count(model.relation);
    -- Those that are known already are neither looked for nor at.
    unknown text := marketing_automation_internal.not_poisonous(model.relation, model.key, scenario.id);
    block marketing_automation_internal.search;
    part marketing_automation_internal.search;
    place text;
    digests text[];
    error text;
    its_code text;
    key text;
    raises_key boolean;
    -- Where an earlier turn had come: block, how many, and within one block the hash of a row, how many.
    since text[] := string_to_array(reached, ' ');
begin
    apart := '{}';
    if reached is null and marketing_automation_internal.most_rows_raise(scenario, model, only_key, blocks) then
        return;
    end if;
    block := marketing_automation_internal.start_search(coalesce(blocks, 1), since[2]::bigint, coalesce(since[1]::bigint, 1));
    while block.first is not null and cardinality(apart) < 1000 loop
        place := concat_ws(' and ', coalesce(unknown, 'true'),
            case when blocks is not null then format('self.ctid >= ''(%s,0)''::tid and self.ctid < ''(%s,0)''::tid', block.first - 1,
                block.last) end);
        if since[3] is null then
            select e.message, e.code into error, its_code
            from marketing_automation_internal.error_in(scenario, model, only_key, place, null) e;
        end if;
        if (error is not null or since[3] is not null) and block.first = block.last then
            digests := array(
                select distinct q.digest
                from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                    format('select %s from %s as self where %s', marketing_automation_internal.digest(), model.relation, place), null)
                    as q (digest text)
                where since[3] is null or q.digest >= since[3] order by 1);
            place := format('%s and %s = any ($1)', place, marketing_automation_internal.digest());
            part := marketing_automation_internal.start_search(cardinality(digests), since[4]::bigint);
            since := null;
            while part.first is not null and cardinality(apart) < 1000 loop
                select e.message, e.code into error, its_code
                from marketing_automation_internal.error_in(scenario, model, only_key, place, digests[part.first:part.last]) e;
                if error is not null and part.first = part.last then
                    key := null;
                    raises_key := false;
                    begin
                        key := (
                            select min(q.key) from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                                format('select %s from %s as self where %s',
                                    marketing_automation_internal.as_key(model.key, model.key_type), model.relation, place),
                                array[digests[part.first]]) as q (key text));
                    exception when others then
                        if marketing_automation_internal.is_passing_error(sqlstate) then
                            raise;
                        end if;
                        raises_key := true;
                    end;
                    apart := apart || array(
                        select row(scenario.id, digests[part.first], q.place, key, raises_key, error, its_code)
                            ::marketing_automation_internal.poisonous_row
                        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                            format('select distinct %s from %s as self where %s',
                                case when blocks is null then $q$''::text$q$ else 'self.ctid::text' end, model.relation, place),
                            array[digests[part.first]]) as q (place text));
                end if;
                part := marketing_automation_internal.next_part(part, error is not null);
            end loop;
            part := null;
            -- Its rows have been looked at, each by itself.
            error := coalesce(error, 'found');
        end if;
        block := marketing_automation_internal.next_part(block, error is not null);
    end loop;
    reached := null;
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) or not marketing_automation_internal.is_passing_error(sqlstate) then
        raise;
    end if;
    get stacked diagnostics cut = message_text, code = returned_sqlstate;
    reached := concat_ws(' ', block.first, block.last - block.first + 1, digests[part.first], part.last - part.first + 1);
    if block.first is null or part.first is null and block.first = block.last and since[3] is not null then
        -- It had not begun, or not gone on.
        reached := array_to_string(since, ' ');
    end if;
end $$;
comment on function marketing_automation_internal.find_poisonous_rows(marketing_automation.scenario, marketing_automation.model, boolean,
    text, out marketing_automation_internal.poisonous_row[], out text, out text) is
    'API: private. Rows that are not known yet for which domain, key, party or occasion raises; not all of them when they are a thousand, none if '
    'most raise. Blocks of the table are searched, then rows of a block; without blocks, for what is no table, rows alone. reached: from '
    'where on (null: the beginning), and where its time was over (cut and code: that error), null: all has been searched';

create function marketing_automation_internal.set_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, apart marketing_automation_internal.poisonous_row[]
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into marketing_automation_internal.poisonous_row select a.* from unnest(apart) a
    on conflict on constraint poisonous_row_pkey do update
    set key = excluded.key, raises_key = excluded.raises_key, error = excluded.error, error_code = excluded.error_code;
    begin
        if (select count(*) from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id) < 1000 then
            perform from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                format('select true from %s as self where %s limit 1', model.relation,
                    marketing_automation_internal.not_poisonous(model.relation, model.key, scenario.id)), null) as q (is_there boolean);
            if found then
                return cardinality(apart);
            end if;
        end if;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) or not marketing_automation_internal.is_passing_error(sqlstate) then
            raise;
        end if;
        -- What was found in time is kept.
        return cardinality(apart);
    end;
    delete from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id;
    return 0;
end $$;
comment on function marketing_automation_internal.set_apart(marketing_automation.scenario, marketing_automation.model,
    marketing_automation_internal.poisonous_row[]) is
    'API: private. Remembers these rows, and returns how many; 0: they are so many, or all, that it is not the fault of single rows';

create function marketing_automation_internal.set_rows_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, inout reached text, out apart integer,
    out cut text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its record;
begin
    apart := 0;
    if not has_table_privilege(scenario.owner_id, model.relation, 'SELECT') then
        -- Rights on columns are no right to look at the whole row, nor at where it is.
        reached := null;
        return;
    end if;
    select f.* into its from marketing_automation_internal.find_poisonous_rows(scenario, model, only_key, reached) f;
    reached := its.reached;
    cut := its.cut;
    code := its.code;
    if its.apart <> '{}' then
        apart := marketing_automation_internal.set_apart(scenario, model, its.apart);
    end if;
end $$;
comment on function marketing_automation_internal.set_rows_apart(marketing_automation.scenario, marketing_automation.model, boolean,
    text, out integer, out text, out text) is
    'API: private. Finds and remembers the rows for which domain, key, party or occasion raises (only_key: the key), and how many that are; 0: '
    'none, or so many, or all, that it is not the fault of single rows. reached, cut, code: as those of find_poisonous_rows()';

create function marketing_automation_internal.repeated_keys(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[]
) returns text[]
language sql set search_path = pg_catalog, pg_temp as $$
    select array(
        select q.key
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, source, keys)
            as q (key text, party text, time_zone text, email text, occasion text)
        -- Who has entered may do so again, or not.
        where not exists (select from marketing_automation_internal.record r
            where r.scenario_id = scenario.id and r.key = q.key collate "C" and not marketing_automation_internal.may_enter_again(scenario))
        group by q.key having count(*) > 1 limit 1000)
$$;
comment on function marketing_automation_internal.repeated_keys(marketing_automation.scenario, marketing_automation.model, text, text[]) is
    'API: private. Keys of an entering query, in which $1 is keys, that several rows have and no record keeps out, a thousand at most';

create function marketing_automation_internal.set_repetitions_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, source text
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    keys text[] := marketing_automation_internal.repeated_keys(scenario, model, source, null);
    place text := case when marketing_automation_internal.block_count(model.relation) is null then $q$''::text$q$ else 'self.ctid::text' end;
begin
    if cardinality(keys) not between 1 and 999 or not has_table_privilege(scenario.owner_id, model.relation, 'SELECT') then
        return 0;
    end if;
    delete from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id and p.key = any (keys) and p.error_code = '23505';
    return marketing_automation_internal.set_apart(scenario, model, array(
        select row(scenario.id, q.digest, q.place, q.key, false, 'several rows of the model have its key', '23505')
            ::marketing_automation_internal.poisonous_row
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format('distinct %s, %s, %s',
                marketing_automation_internal.digest(), place, marketing_automation_internal.as_key(model.key, model.key_type))), keys)
            as q (digest text, place text, key text)));
end $$;
comment on function marketing_automation_internal.set_repetitions_apart(marketing_automation.scenario, marketing_automation.model, text) is
    'API: private. Finds and remembers the rows of an entering query whose key others have too, and returns how many; 0: none, or so '
    'many that it is not the fault of single rows';

create function marketing_automation_internal.release_rows(scenario marketing_automation.scenario, model marketing_automation.model)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    apart marketing_automation_internal.poisonous_row;
    by_place boolean := marketing_automation_internal.block_count(model.relation) is not null;
    part text;
    message text;
begin
    if not exists (select from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id) then
        return;
    end if;
    -- What has changed is another row.
    delete from marketing_automation_internal.poisonous_row p
    where p.scenario_id = scenario.id and not exists (
        select from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            format('select distinct %1$s, %2$s from %3$s as self where %4$s and %1$s = any ($1)', marketing_automation_internal.digest(),
                case when by_place then 'self.ctid::text' else $q$''::text$q$ end, model.relation,
                case when by_place then format('self.ctid = any (%L::tid[])', array(
                    select o.place from marketing_automation_internal.poisonous_row o where o.scenario_id = scenario.id and o.place <> ''))
                    else 'true' end),
            array(select o.digest from marketing_automation_internal.poisonous_row o where o.scenario_id = scenario.id))
            as q (digest text, place text)
        where q.digest = p.digest and q.place = p.place);
    delete from marketing_automation_internal.poisonous_row p
    where p.scenario_id = scenario.id and p.error_code = '23505' and p.key <> all (
        marketing_automation_internal.repeated_keys(scenario, model,
            marketing_automation_internal.entering_keys_query(scenario, model),
            array(select o.key from marketing_automation_internal.poisonous_row o
                where o.scenario_id = scenario.id and o.error_code = '23505')));
    -- The others may raise as slowly as before: some of them at each turn, in whatever order.
    for apart in
        select p.* from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id and p.error_code <> '23505'
        order by random()
    loop
        exit when marketing_automation_internal.turn_left() < 0.75;
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
    'API: private. Forgets the poisonous rows that have changed, are gone, or raise no error any more, as far as a quarter of the turn '
    'allows';

create function marketing_automation_internal.poisonous_summary(scenario_id integer, with_keys boolean, out message text, out code text)
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
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
    into message, code
    from (select p.*, row_number() over (order by p.key, p.place, p.digest) as nth
          from marketing_automation_internal.poisonous_row p where p.scenario_id = poisonous_summary.scenario_id) p
    having count(*) > 0;
end $$;
comment on function marketing_automation_internal.poisonous_summary(integer, boolean, out text, out text) is
    'API: private. How many rows of a scenario stand apart, and why the first one does, null: none. with_keys: which; not for the log';
