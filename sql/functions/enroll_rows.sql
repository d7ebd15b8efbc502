-- Enrolling one scenario: its rows enter in one statement, in two where an expression raises for some.

create function marketing_automation_internal.root_choice(scenario_id integer) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('array_remove(array[%s]::integer[], null)', string_agg(
               -- What follows one whose condition is not true, starts when it has been asked of it.
               case when a.condition is null or exists (
                        select from marketing_automation.activity c where c.parent_id = a.id and c.on_event = 'condition_not_met') then a.id::text
                    else format('case when %s then %s end', marketing_automation_internal.as_condition(a.condition), a.id) end,
                        ', ' order by a.id))
    from marketing_automation.activity a where a.scenario_id = root_choice.scenario_id and a.parent_id is null
$$;
comment on function marketing_automation_internal.root_choice(integer) is
    'API: private. Expression over self, ready to stand in a query, for the ids of the root activities that a row starts: those '
    'whose condition holds, or that another activity follows when it does not';

create function marketing_automation_internal.entering_address(scenario marketing_automation.scenario, model marketing_automation.model)
    returns text
language sql immutable
return marketing_automation_internal.as_text(case when (scenario).topic is not null or (scenario).holdout > 0 then (model).email end);
comment on function marketing_automation_internal.entering_address(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Expression over self, ready to stand in a query, for the address of a row, which may have chosen the topic of a scenario, '
    'and decides who is held out; null where neither is asked: that raises nothing';

create function marketing_automation_internal.entering_query(scenario marketing_automation.scenario, model marketing_automation.model)
    returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Not "is true": WHERE takes null for false anyway, and an index, a partition or a semi-join is used for the bare condition only.
    select format('select %s, %s, %s, %s, %s from %s as self where %s', marketing_automation_internal.as_key(model.key, model.key_type),
        marketing_automation_internal.as_text(model.party), marketing_automation_internal.as_text(model.time_zone),
        marketing_automation_internal.entering_address(scenario, model), marketing_automation_internal.as_occasion(scenario.occasion),
        model.relation,
        marketing_automation_internal.guarded(
            format(E'(%s\n)', scenario.domain),
            marketing_automation_internal.not_poisonous(model.relation, model.key, scenario.id)))
$$;
comment on function marketing_automation_internal.entering_query(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Query for key, party, time zone, where the topic asks for it address, and occasion of the rows that the domain matches';

create function marketing_automation_internal.new_keys(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, now timestamptz
) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    again boolean := marketing_automation_internal.may_enter_again(scenario);
begin
    return array(
        select q.key
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, source, null)
            as q (key text, party text, time_zone text, email text, occasion text)
        where not again and q.key is not null
          and not exists (select from marketing_automation_internal.record r
            where r.scenario_id = scenario.id and r.key = q.key collate "C")
        union all
        select q.key from marketing_automation_internal.rows_to_enter_again(scenario, model, source, null, now) q
        where again and q.key is not null);
end $$;
comment on function marketing_automation_internal.new_keys(marketing_automation.scenario, marketing_automation.model, text, timestamptz) is
    'API: private. Keys of the rows of an entering query that may enter';

create function marketing_automation_internal.enter_rows(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], held text[], poison text[],
    now timestamptz
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    -- Conditions of roots are asked of those only who enter: of the others they were asked when these entered.
    choice text := case
        when not exists (select from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null
            and a.condition is not null) then null
        when poison is null then marketing_automation_internal.root_choice(scenario.id)
        -- These start every root activity: when it runs, its condition is asked again, and they fail alone.
        else format('case when %s = any (%L::text[]) then %L::integer[] else %s end', marketing_automation_internal.as_key(model.key, model.key_type), poison,
            array(select a.id from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null),
            marketing_automation_internal.root_choice(scenario.id)) end;
    reached text := case when scenario.goal is not null then marketing_automation_internal.guarded(
        marketing_automation_internal.as_condition(scenario.goal), case when poison is not null then format('%s <> all (%L::text[])',
            marketing_automation_internal.as_key(model.key, model.key_type), poison) end) end;
    chosen_query text := case when choice is null and reached is null then 'select null::text, null::integer[], false where false'
        else marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format('%s, %s, %s',
            marketing_automation_internal.as_key(model.key, model.key_type), coalesce(choice, 'null::integer[]'),
            coalesce(reached, 'false'))) end;
    opt_in text := (select t.opt_in from marketing_automation.topic t where t.name = scenario.topic);
    id_before bigint := (select s.last_value from marketing_automation.record_id_seq s);
    reaches_unsubscribed boolean := marketing_automation_internal.reaches_unsubscribed(scenario.id);
    again boolean := marketing_automation_internal.may_enter_again(scenario);
    original marketing_automation.scenario := case when scenario.holdout > 0 then marketing_automation_internal.original_scenario(scenario) end;
    entered bigint;
    lost bigint;
begin
    with entering as materialized (
        select nextval('marketing_automation.record_id_seq') as id, q.key, q.party, q.time_zone, q.occasion, q.run, q.last_record,
            scenario.holdout > 0 and marketing_automation_internal.is_held_out(original,
                marketing_automation_internal.held_out_person(q.party, q.email, q.key)) as held_out
        from (
            select o.key, o.party, o.time_zone, o.email, o.occasion, 1 as run, null::bigint as last_record
            from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, source, keys)
                as o (key text, party text, time_zone text, email text, occasion text)
            where not again and not exists (select from marketing_automation_internal.record r
                where r.scenario_id = scenario.id and r.key = o.key collate "C")
            union all
            select o.key, o.party, o.time_zone, o.email, o.occasion, o.run, o.last_record
            from marketing_automation_internal.rows_to_enter_again(scenario, model, source, keys, now) o where again) q
        left join marketing_automation.subscription p on p.topic = scenario.topic and p.party = q.party collate "C" and p.address_hash is null
        left join marketing_automation.subscription a on a.topic = scenario.topic
            and a.address_hash = case when scenario.topic is not null then marketing_automation.address_hash(q.email) end
        where (scenario.topic is null or reaches_unsubscribed
            or marketing_automation_internal.topic_objection(scenario.topic, opt_in, p.state, a.state) is null)
          and (held is null or q.key <> all (held))
          and not exists (
                select from marketing_automation.unsubscription u
                where not reaches_unsubscribed and u.scenario_id in (0, scenario.id) and u.party = q.party collate "C")
    ), chosen as materialized (
        select q.key, q.roots, q.reached
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, chosen_query,
            case when choice is not null or reached is not null then array(select e.key from entering e) end)
            as q (key text, roots integer[], reached boolean)
    ), recorded as (
        insert into marketing_automation_internal.record (id, scenario_id, key, party, uuid, entered_at, time_zone, goal_before, held_out,
            occasion, run)
        select e.id, scenario.id, e.key, e.party, marketing_automation_internal.new_record_uuid(e.id), now, e.time_zone,
            coalesce(c.reached, false), e.held_out, e.occasion, e.run
        from entering e left join chosen c on scenario.goal is not null and c.key = e.key
        -- A hash join loses the order of the rows; in any other one they make the indexes larger, and slower to write.
        order by case when scenario.goal is not null then e.id end
    ), followed as (
        -- What might still start by its mails does not, and what is bought from now on counts for the new one.
        update marketing_automation_internal.record r set ended_at = now, end_reason = 'entered_again'
        from entering e where again and r.id = e.last_record and r.end_reason is null
    ), closed as (
        delete from marketing_automation_internal.open_goal g
        using entering e where again and g.scenario_id = scenario.id and g.record_id = e.last_record
    ), open as (
        insert into marketing_automation_internal.open_goal (scenario_id, record_id, until)
        select scenario.id, e.id, marketing_automation_internal.after_delay(now, scenario.goal_window, e.time_zone)
        from entering e left join chosen c on c.key = e.key
        where scenario.goal is not null and c.reached is not true
        order by e.id
    ), waiting as (
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        -- A microsecond between each thousand: processing begins to look where it has ended, and a million records that
        -- are due at once would leave it no place to begin.
        -- Its date is asked when it is due, for the first time now.
        select e.id, a.id, marketing_automation_internal.after_delay(now, case when a.at is null then a.delay end, e.time_zone)
            - (e.id - id_before) / 1000 * interval '1 microsecond'
        from entering e
        left join chosen c on choice is not null and c.key = e.key
        join marketing_automation.activity a on a.scenario_id = scenario.id and a.parent_id is null
            and (choice is null or a.id = any (c.roots))
        where not e.held_out
        order by case when choice is not null then e.id end
    )
    select count(*), count(*) filter (where model.time_zone is not null and e.time_zone <> ''
        and not marketing_automation_internal.is_time_zone(e.time_zone))
    into entered, lost
    from entering e;
    if lost > 0 then
        raise warning 'scenario "%": % with a time zone that does not exist', scenario.name,
            case lost when 1 then '1 row enters' else lost || ' rows enter' end
            using hint = 'Days and months of their delays count in the time zone of the database.';
    end if;
    return entered;
end $$;
comment on function marketing_automation_internal.enter_rows(marketing_automation.scenario, marketing_automation.model, text, text[],
    text[], text[], timestamptz) is
    'API: private. Enters all new rows of an entering query, in which $1 is keys, in one statement; returns how many. held: keys to '
    'leave out, null: none; poison: keys of rows for which the condition of a root activity raises, null: none';

create function marketing_automation_internal.enter_after_others(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], held text[], poison text[],
    now timestamptz
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    broken text;
    detail text;
    repeated record;
    tries integer := 0;
begin
    loop
        begin
            return marketing_automation_internal.enter_rows(scenario, model, source, keys, held, poison, now);
        exception when deadlock_detected then
            -- Others enter the same rows in another order. What was entered here is undone, so they go on; but what this transaction has
            -- entered before is not.
            tries := tries + 1;
            if tries > 3 or current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
                raise;
            end if;
        when unique_violation then
            get stacked diagnostics broken = constraint_name, detail = pg_exception_detail;
            select d.key, d.run into repeated from marketing_automation_internal.run_in_detail(detail) d;
            -- Of a key that several rows of the model have there is no such record.
            if broken <> 'record_enters_once' or not exists (
                    select from marketing_automation_internal.record r
                    where r.scenario_id = scenario.id and r.key = repeated.key collate "C" and r.run = repeated.run) then
                raise;
            end if;
        end;
    end loop;
end $$;
comment on function marketing_automation_internal.enter_after_others(marketing_automation.scenario, marketing_automation.model, text,
    text[], text[], text[], timestamptz) is
    'API: private. As enter_rows(), once more when another session has entered one of the rows meanwhile';

create function marketing_automation_internal.run_in_detail(detail text, out key text, out run integer)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select p.part[1], p.part[2]::integer from regexp_match(detail, '=\(\d+, (.*), (\d+)\)[^)]*$') as p (part)
$$;
comment on function marketing_automation_internal.run_in_detail(text, out text, out integer) is
    'API: private. Key and run in the detail of a violation of record_enters_once, in whatever language';

create function marketing_automation_internal.enterable_model(scenario marketing_automation.scenario) returns marketing_automation.model
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    held bigint;
begin
    -- All that its activities will need, too: nobody enters a campaign that could not mail them.
    perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, format('select %s from %s as self',
        string_agg(marketing_automation_internal.as_text(p.expression), ', '), model.relation))
            from marketing_automation_internal.model_parts(model) p;
    perform from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null for key share skip locked;
    get diagnostics held = row_count;
    -- A row enters once, ever: without a root it would miss whatever is added. And when a root is being deleted, it would begin without
    -- it, or with what is gone.
    return case when held > 0
        and held = (select count(*) from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null)
        then model end;
end $$;
comment on function marketing_automation_internal.enterable_model(marketing_automation.scenario) is
    'API: private. The model of a scenario, whose root activities are locked then; null: nobody may enter now';

create function marketing_automation_internal.expect_rows(scenario marketing_automation.scenario, model marketing_automation.model,
    source text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    expected double precision := marketing_automation_internal.expected_rows(scenario.owner_id, model.relation, source);
    records double precision := (select c.reltuples from pg_class c where c.oid = 'marketing_automation_internal.record'::regclass);
begin
    -- The planner takes query_as_owner() for a thousand rows. If it is a million, looking each of them up in an index takes longer
    -- than one hash of all records; if it is a hundred, hashing a hundred million records takes minutes.
    perform set_config('enable_nestloop', case when expected < records / 10 then 'on' else 'off' end, true);
end $$;
comment on function marketing_automation_internal.expect_rows(marketing_automation.scenario, marketing_automation.model, text) is
    'API: private. Has the planner look rows of an entering query up among the records, or hash the records, by how many rows the '
    'planner expects of that query; for the rest of the calling function, which sets enable_nestloop itself';

create function marketing_automation_internal.enter_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, now timestamptz, inout searched_to text,
    out entered bigint, out error text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    keys text[];
    its record;
    detail text;
    broken text;
    -- What has been tried against the errors so far.
    searched boolean := searched_to is not null;
    compared boolean := false;
    -- By a key that several rows have: of what is asked of rows by their keys there is more than one, too.
    is_repeated boolean;
begin
    entered := 0;
    if searched then
        -- The time of an earlier turn was over before it had found all of them.
        select a.* into its from marketing_automation_internal.set_rows_apart(scenario, model, false, searched_to) a;
        searched_to := its.reached;
        error := its.cut;
        code := its.code;
        if code is not null then
            return;
        end if;
        source := marketing_automation_internal.entering_query(scenario, model);
    end if;
    loop
        error := null;
        code := null;
        begin
            entered := marketing_automation_internal.enter_around(scenario, model, source, now);
            return;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate, detail = pg_exception_detail, broken = constraint_name;
            if marketing_automation_internal.is_for_the_caller(code) then
                raise;
            end if;
        end;
        if marketing_automation_internal.is_passing_error(code) then
            return;
        end if;
        is_repeated := broken in ('record_enters_once', 'record_pkey', 'waiting_activity_pkey', 'open_goal_pkey');
        if is_repeated and not compared then
            compared := true;
            if marketing_automation_internal.set_repetitions_apart(scenario, model, source) > 0 then
                source := marketing_automation_internal.entering_query(scenario, model);
                continue;
            end if;
        elsif not is_repeated and not searched then
            searched := true;
            select a.* into its from marketing_automation_internal.set_rows_apart(scenario, model, false, null) a;
            searched_to := its.reached;
            if its.code is not null then
                error := its.cut;
                code := its.code;
                return;
            end if;
            if its.apart > 0 then
                source := marketing_automation_internal.entering_query(scenario, model);
                continue;
            end if;
        end if;
        exit;
    end loop;
    error := marketing_automation_internal.entering_error(scenario, error, code, broken, detail);
    if broken <> '' or scenario.goal is null and not exists (
            select from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null and a.condition is not null) then
        return;
    end if;
    -- It is the condition of a root, or the goal: rows for which that raises enter too, and fail when an activity runs.
    begin
        keys := marketing_automation_internal.new_keys(scenario, model, source, now);
        select e.* into its
        from marketing_automation_internal.enter_keys(scenario, model,
            marketing_automation_internal.entering_keys_query(scenario, model), keys, now) e;
        if its.poisoned + its.refused >= least(1000, cardinality(keys)) then
            -- What is wrong with all rows, or with very many, is the scenario's fault: nobody enters.
            raise exception using message = its.error, errcode = its.code;
        end if;
        entered := its.entered;
        error := case when its.stopped or its.refused > 0 then its.error end;
        code := case when its.stopped or its.refused > 0 then its.code end;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        get stacked diagnostics error = message_text, code = returned_sqlstate;
    end;
end $$;
comment on function marketing_automation_internal.enter_apart(marketing_automation.scenario, marketing_automation.model, text, timestamptz,
    text, out bigint, out text, out text) is
    'API: private. Enters all new rows of an entering query, but for those that have to stand apart, which are looked for when it raises. '
    'Returns how many, and the error that ended it; what was learnt before stays. searched_to: as reached of find_poisonous_rows()';

create function marketing_automation_internal.count_entered(scenario_id integer, at timestamptz, entered bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if entered > 0 then
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, records)
        values (scenario_id, marketing_automation_internal.counter_period(at), entered);
    end if;
end $$;
comment on function marketing_automation_internal.count_entered(integer, timestamptz, bigint) is
    'API: private. Counts rows that have entered a scenario, for its reports';

create function marketing_automation_internal.enroll_one(scenario marketing_automation.scenario, now timestamptz, may_skip boolean,
    out entered bigint, out error text, out code text, out searched_to text, out skipped boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set jit = off
as $$
declare
    model marketing_automation.model;
    source text;
    captured record;
begin
    entered := 0;
    skipped := false;
    -- The caller holds the scenario, so that nobody else enters all its rows; of enroll_records() see enter_around().
    select s.* into scenario from marketing_automation.scenario s where s.id = scenario.id and s.state = 'running';
    if not found then
        return;
    end if;
    model := marketing_automation_internal.enterable_model(scenario);
    if model.name is null then
        return;
    end if;
    perform marketing_automation_internal.release_rows(scenario, model);
    source := marketing_automation_internal.entering_query(scenario, model);
    select c.* into captured from marketing_automation_internal.take_captured(scenario, model, source, may_skip) c;
    if captured.is_known then
        entered := marketing_automation_internal.enter_captured(scenario, model, captured.keys, now);
    end if;
    skipped := case
        when captured.is_known then entered is not null
        -- What is noted as seen is to be read.
        else not marketing_automation_internal.begin_scan(scenario, model, source, may_skip and not captured.is_watched) end;
    if captured.is_known and not skipped then
        entered := 0;
        perform marketing_automation_internal.forget_scan(scenario.id);
    end if;
    if skipped then
        perform marketing_automation_internal.count_entered(scenario.id, now, entered);
        return;
    end if;
    -- Whatever is wrong with an expression by itself is raised by here: what is raised later is the fault of rows.
    perform marketing_automation_internal.expect_rows(scenario, model, source);
    select e.entered, e.error, e.code, e.searched_to into entered, error, code, searched_to
    from marketing_automation_internal.enter_apart(scenario, model, source, now, (
        select t.searched_to from marketing_automation_internal.failed_turn t where t.scenario_id = scenario.id and t.work = 'enroll')) e;
    perform marketing_automation_internal.count_entered(scenario.id, now, entered);
end $$;
comment on function marketing_automation_internal.enroll_one(marketing_automation.scenario, timestamptz, boolean, out bigint, out text,
    out text, out text, out boolean) is
    'API: private. Enters all new matching rows of one scenario in one statement, in few where an expression raises for some; returns how '
    'many. An error of a definition is raised, one that ended it later returned. may_skip: as that of begin_scan(); skipped: no row was read but '
    'those with captured keys; '
    'searched_to: as that of enter_apart()';
