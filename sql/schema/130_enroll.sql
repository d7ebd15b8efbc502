-- Enrolling: rows of the model that the domain matches become records, their root activities wait. One statement per scenario.

create function marketing_automation.as_text(expression text) returns text
language sql immutable
-- The line break ends a comment inside the expression.
return case when expression is null then 'null::text' else '(' || expression || E'\n)::text' end;
comment on function marketing_automation.as_text(text) is 'API: private. A checked user expression, ready to stand in a query, cast to text';

create function marketing_automation.as_condition(expression text) returns text
language sql immutable
return case when expression is null then 'true' else '(' || expression || E'\n) is true' end;
comment on function marketing_automation.as_condition(text) is 'API: private. A checked boolean user expression, ready to stand in a query; null holds always';

create function marketing_automation.record_id(uuid uuid) returns bigint
language sql immutable strict parallel safe
return ('x' || substr(replace(uuid::text, '-', ''), 1, 12))::bit(48)::bigint;
comment on function marketing_automation.record_id(uuid) is 'API: public. The id inside a record''s public uuid; compare the uuid too before trusting it';

create function marketing_automation.may_choose_time(scenario marketing_automation.scenario) returns boolean
language sql stable
-- Not current_user: the functions that ask run as the extension's owner.
return pg_has_role(session_user, scenario.owner::oid, 'MEMBER');
comment on function marketing_automation.may_choose_time(marketing_automation.scenario) is
    'API: private. Whether the session''s user may run a scenario as if it were another time: its owner''s members, superusers';

create function marketing_automation.time_or_now(at timestamptz, scenario_name text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not isfinite(at) then
        raise exception 'now must be finite, not %', at using errcode = 'invalid_parameter_value';
    end if;
    if at is not null
        and not (select r.rolsuper from pg_roles r where r.rolname = session_user)
        and not exists (
            select from marketing_automation.scenario s
            where (scenario_name is null or s.name = scenario_name) and marketing_automation.may_choose_time(s)) then
        raise exception 'only members of its owner may choose the time of %', case when scenario_name is null then 'a scenario' else format('scenario "%s"', scenario_name) end
            using errcode = 'insufficient_privilege', hint = 'Leave "now" null.';
    end if;
    -- Not statement_timestamp(): that stands still while a procedure runs for an hour.
    return coalesce(at, clock_timestamp());
end $$;
comment on function marketing_automation.time_or_now(timestamptz, text) is
    'API: private. The time that a run of one scenario, or of all, assumes: the given one for those who may choose it for any of them, else now';

create function marketing_automation.is_broken_definition(code text) returns boolean
language sql immutable
-- Syntax error or access rule violation, but for missing rights (PostgreSQL, appendix A): a name that is gone, a type that changed.
return left(code, 2) = '42' and code <> '42501';
comment on function marketing_automation.is_broken_definition(text) is
    'API: private. Whether an SQLSTATE means that an expression does not fit its relation any more';

create function marketing_automation.note_error(scenario_id integer, activity_id integer, message text, code text) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    insert into marketing_automation.scenario_status as s (scenario_id, last_error, last_error_code, last_error_at, last_error_activity_id)
    values (scenario_id, message, code, statement_timestamp(), activity_id)
    on conflict on constraint scenario_status_pkey do update
    set last_error = excluded.last_error, last_error_code = excluded.last_error_code, last_error_at = excluded.last_error_at,
        last_error_activity_id = excluded.last_error_activity_id
    where (s.last_error, s.last_error_code) is distinct from (excluded.last_error, excluded.last_error_code)
    returning true;
$$;
comment on function marketing_automation.note_error(integer, integer, text, text) is
    'API: private. Keeps why a scenario does not enroll (activity_id null), or one of its activities does not run; null if that was known before';

create function marketing_automation.forget_error(scenario_id integer, activity_id integer, now timestamptz) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update marketing_automation.scenario_status s
    set last_error = null, last_error_code = null, last_error_at = null, last_error_activity_id = null
    where s.scenario_id = $1 and s.last_error is not null
      and (s.last_error_activity_id is not distinct from $2
           -- What could not run is not there any more.
           or $2 is null and not exists (
                select from marketing_automation.waiting_activity w where w.activity_id = s.last_error_activity_id and w.at <= $3));
$$;
comment on function marketing_automation.forget_error(integer, integer, timestamptz) is
    'API: private. After a run without error: forgets that of enrolling (activity_id null), or of that activity';

create function marketing_automation.lock_scenario(scenario_id integer) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    -- A row of ours, not an advisory lock: that any role could take, and keep everybody from working.
    insert into marketing_automation.scenario_status (scenario_id) values (scenario_id) on conflict do nothing;
    select from marketing_automation.scenario_status s where s.scenario_id = $1 for update;
$$;
comment on function marketing_automation.lock_scenario(integer) is
    'API: private. Makes enrolling into a scenario and changes of its tree wait for each other, until the transaction ends';

create function marketing_automation.root_choice(scenario_id integer) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('array_remove(array[%s]::integer[], null)', string_agg(
               case when a.condition is null then a.id::text
                    else format('case when %s then %s end', marketing_automation.as_condition(a.condition), a.id) end, ', ' order by a.id))
    from marketing_automation.activity a where a.scenario_id = root_choice.scenario_id and a.parent_id is null
$$;
comment on function marketing_automation.root_choice(integer) is
    'API: private. Expression over self, ready to stand in a query, for the ids of the root activities that a row starts: those whose condition holds';

create function marketing_automation.poisonous_keys(
    scenario marketing_automation.scenario, model marketing_automation.model, keys text[]
) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    half integer := cardinality(keys) / 2;
    found_first text[];
begin
    begin
        perform from marketing_automation.query_as_owner(scenario.owner,
            marketing_automation.key_query(model.relation, model.key, model.key_type, marketing_automation.root_choice(scenario.id)), keys) as q (roots integer[]);
        return '{}';
    exception when others then
        if marketing_automation.is_passing_error(sqlstate) or marketing_automation.is_broken_definition(sqlstate) then
            raise;
        end if;
    end;
    if half = 0 then
        return keys;
    end if;
    found_first := marketing_automation.poisonous_keys(scenario, model, keys[:half]);
    -- The first thousand are enough to know that it is not the fault of single rows.
    return found_first || case when cardinality(found_first) < 1000 then marketing_automation.poisonous_keys(scenario, model, keys[half + 1:]) end;
end $$;
comment on function marketing_automation.poisonous_keys(marketing_automation.scenario, marketing_automation.model, text[]) is
    'API: private. Of these keys, those of rows for which the condition of a root activity raises an error; not all of them when they are a thousand';

create function marketing_automation.entering_query(
    scenario marketing_automation.scenario, model marketing_automation.model, columns text
) returns text
language sql immutable set search_path = pg_catalog, pg_temp
return format('select %s from %s as self where %s', columns, model.relation, marketing_automation.as_condition(scenario.domain));
comment on function marketing_automation.entering_query(marketing_automation.scenario, marketing_automation.model, text) is
    'API: private. Query for the rows that the domain matches';

create function marketing_automation.enter_rows(
    scenario marketing_automation.scenario, model marketing_automation.model, roots text, poison text[], now timestamptz
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    source text := marketing_automation.entering_query(scenario, model, concat_ws(', ',
        marketing_automation.as_text(model.key), marketing_automation.as_text(model.party), roots));
    id_before bigint := (select s.last_value from marketing_automation.record_id_seq s);
    entered bigint;
begin
    with entering as materialized (
        select nextval('marketing_automation.record_id_seq') as id, q.key, q.party, q.roots
        from marketing_automation.query_as_owner(scenario.owner, source, poison) as q (key text, party text, roots integer[])
        where not exists (select from marketing_automation.record r where r.scenario_id = scenario.id and r.key = q.key collate "C")
          and not exists (
                select from marketing_automation.unsubscription u where u.scenario_id in (0, scenario.id) and u.party = q.party collate "C")
    ), recorded as (
        insert into marketing_automation.record (id, scenario_id, key, party, uuid, entered_at)
        select e.id, scenario.id, e.key, e.party, marketing_automation.new_record_uuid(e.id), now from entering e
    ), waiting as (
        insert into marketing_automation.waiting_activity (record_id, activity_id, at)
        -- A microsecond between each thousand: processing begins to look where it has ended, and a million records that
        -- are due at once would leave it no place to begin.
        select e.id, a.id, now + coalesce(a.delay, interval '0') - (e.id - id_before) / 1000 * interval '1 microsecond'
        from entering e
        join marketing_automation.activity a on a.scenario_id = scenario.id and a.parent_id is null and a.id = any (e.roots)
    )
    select count(*) into entered from entering;
    return entered;
end $$;
comment on function marketing_automation.enter_rows(marketing_automation.scenario, marketing_automation.model, text, text[], timestamptz) is
    'API: private. Enters all new matching rows in one statement; returns how many. roots: expression for the ids of the root activities that a row starts, in which $1 is poison';

create function marketing_automation.enroll_one(scenario marketing_automation.scenario, now timestamptz) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
-- The planner takes query_as_owner for a thousand rows, and nested loops over a million would take hours.
set enable_nestloop = off
set jit = off
as $$
declare
    model marketing_automation.model;
    choice text;
    keys text[];
    poison text[];
    entered bigint;
begin
    -- A second caller waits here and then sees what the first one entered; the unique constraint is only the net.
    perform marketing_automation.lock_scenario(scenario.id);
    select s.* into scenario from marketing_automation.scenario s where s.id = scenario.id and s.state = 'running';
    if not found then
        return 0;
    end if;
    model := marketing_automation.usable_model(scenario);
    -- All that its activities will need, too: nobody enters a campaign that could not mail them.
    perform marketing_automation.plan_as_owner(scenario.owner, format('select %s from %s as self',
        string_agg(marketing_automation.as_text(p.expression), ', '), model.relation)) from marketing_automation.model_parts(model) p;
    if not exists (select from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null) then
        -- A row enters once, ever: one that entered now would miss whatever is added.
        return 0;
    end if;
    choice := marketing_automation.root_choice(scenario.id);
    begin
        entered := marketing_automation.enter_rows(scenario, model, choice, '{}', now);
    exception when others then
        if marketing_automation.is_passing_error(sqlstate) or marketing_automation.is_broken_definition(sqlstate)
            or not exists (select from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null and a.condition is not null) then
            raise;
        end if;
        keys := array(
            select q.key from marketing_automation.query_as_owner(scenario.owner,
                marketing_automation.entering_query(scenario, model, marketing_automation.as_text(model.key)), null) as q (key text)
            where q.key is not null);
        poison := marketing_automation.poisonous_keys(scenario, model, keys);
        -- What is wrong with all rows, or with very many, is the scenario's fault.
        if cardinality(poison) not between 1 and least(999, cardinality(keys) - 1) then
            raise;
        end if;
    end;
    if poison is not null then
        -- These start every root activity: when it runs, its condition is asked again, and they fail alone.
        entered := marketing_automation.enter_rows(scenario, model, format('case when %s = any ($1) then %L::integer[] else %s end',
            marketing_automation.as_text(model.key),
            array(select a.id from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null), choice), poison, now);
    end if;
    if entered >= 10000 then
        -- Processing may begin before autovacuum has looked, and without statistics each batch would read all that waits.
        analyze marketing_automation.waiting_activity;
    end if;
    if entered > 0 then
        insert into marketing_automation.scenario_tally (scenario_id, period, records)
        values (scenario.id, marketing_automation.tally_period(now), entered);
    end if;
    return entered;
end $$;
comment on function marketing_automation.enroll_one(marketing_automation.scenario, timestamptz) is
    'API: private. Enters all new matching rows of one scenario in one statement, in two where the condition of a root activity raises for some; returns how many';

create function marketing_automation.enroll(scenario_name text default null, now timestamptz default null)
returns table (scenario text, enrolled bigint, error text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario;
    at timestamptz;
    model text;
    code text;
    detail text;
    broken text;
begin
    if scenario_name is not null then
        chosen := marketing_automation.scenario_named(scenario_name);
        if chosen.state <> 'running' then
            raise exception 'scenario "%" is %, only a running one enrolls', chosen.name, chosen.state
                using errcode = 'object_not_in_prerequisite_state', hint = format(case chosen.state when 'stopped' then 'select marketing_automation.draft(%1$L), marketing_automation.run(%1$L);'
                                                 else 'select marketing_automation.run(%1$L);' end, chosen.name);
        end if;
    end if;
    at := marketing_automation.time_or_now(now, scenario_name);
    for chosen in
        select s.* from marketing_automation.scenario s
        where s.state = 'running' and (scenario_name is null or s.name = scenario_name)
          and (now is null or marketing_automation.may_choose_time(s))
        order by s.id
    loop
        scenario := chosen.name;
        enrolled := 0;
        error := null;
        begin
            enrolled := marketing_automation.enroll_one(chosen, at);
            -- The row is there, and locked: see lock_scenario().
            update marketing_automation.scenario_status s set last_enrolled_at = at where s.scenario_id = chosen.id;
            perform marketing_automation.forget_error(chosen.id, null, at);
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate, detail = pg_exception_detail,
                broken = constraint_name;
            model := format('of model "%s"', chosen.model);
            error := case broken
                when 'record_enters_once' then format('key %s is not unique: %s', model, substring(detail from '=\(\d+, (.*)\) '))
                when 'record_has_key' then format('key %s is null in some row', model)
                when 'record_key_is_short' then format('key %s has more than 1,000 bytes in some row', model)
                when 'record_party_is_short' then format('party %s has more than 1,000 bytes in some row', model)
                else coalesce(case when marketing_automation.is_broken_definition(code) then marketing_automation.definition_error(chosen) end, error) end;
            raise warning 'scenario "%" did not enroll: %', chosen.name, error using errcode = code;
            perform marketing_automation.note_error(chosen.id, null, error, code);
        end;
        return next;
    end loop;
end $$;
comment on function marketing_automation.enroll(text, timestamptz) is
    'API: public. Enters every row that a running scenario''s domain matches and that is not in it yet (all running scenarios, or one by name). '
    'An error in one is returned and kept in scenario_status, and the others still run. now: time to assume instead of the present (tests, simulations); '
    'only scenarios of whose owner the session''s user is a member run then';
