-- Calls: activities that run an SQL expression over their row with the rights of the scenario's owner and the right to write, in the
-- transaction in which they are done, and keep what it returns for later templates, conditions and calls.
--
-- An expression that reads results stands in a query of its own, with $2, an object of key and results, beside the keys in $1: so
-- other names mean in it what they mean without.

create function marketing_automation_internal.mentions_results(expression text) returns boolean
language sql immutable
return coalesce(expression ~ '\mrecord"?\s*\.\s*"?results\M', false);
comment on function marketing_automation_internal.mentions_results(text) is
    'API: private. Whether an expression may read the results of calls, record.results; where that is part of a text it may be wrong, which costs time';

create function marketing_automation_internal.results_of_row(key text, key_type regtype) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('(select coalesce(($2)::jsonb -> %s, ''{}'') as results) as record', marketing_automation_internal.as_key(key, key_type))
$$;
comment on function marketing_automation_internal.results_of_row(text, regtype) is
    'API: private. What stands in FROM around an expression that reads results: record, of one column, that of the row with this key in $2';

create function marketing_automation_internal.as_later_condition(expression text, key text, key_type regtype) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when marketing_automation_internal.mentions_results(expression)
        then format(E'exists (select from %s where (%s\n))', marketing_automation_internal.results_of_row(key, key_type), expression)
        else marketing_automation_internal.as_condition(expression) end
$$;
comment on function marketing_automation_internal.as_later_condition(text, text, regtype) is
    'API: private. As as_condition(), for a condition that may read results, which the query has in $2 then: see results_by_key()';

create function marketing_automation_internal.check_later_condition(scenario marketing_automation.scenario, model marketing_automation.model,
    activity marketing_automation.activity, expression text, what text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if expression is null then
        return;
    end if;
    what := format('%s of activity "%s"', what, activity.name);
    if not marketing_automation_internal.mentions_results(expression) then
        perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, expression, what);
        return;
    end if;
    perform marketing_automation_internal.check_condition_with_results(scenario.owner_id, model.relation, expression, what);
end $$;
comment on function marketing_automation_internal.check_later_condition(marketing_automation.scenario, marketing_automation.model,
    marketing_automation.activity, text, text) is
    'API: private. Raises unless the condition of an activity, or what it waits for, plans; null: there is none. what: its name';

create function marketing_automation_internal.check_call(scenario marketing_automation.scenario, model marketing_automation.model,
    activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    what constant text := format('call of activity "%s"', activity.name);
begin
    if activity.call is null then
        return;
    end if;
    if marketing_automation_internal.mentions_results(activity.call) then
        perform marketing_automation_internal.check_expression_with_results(scenario.owner_id, model.relation, activity.call, what);
    else
        perform marketing_automation_internal.check_expression(scenario.owner_id, model.relation, activity.call, what);
    end if;
end $$;
comment on function marketing_automation_internal.check_call(marketing_automation.scenario, marketing_automation.model,
    marketing_automation.activity) is
    'API: private. Raises unless what an activity calls is one SQL expression over self that plans with the rights of the scenario''s owner. '
    'It is not called';

create function marketing_automation_internal.check_call_rules(activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if activity.action = 'call' and activity.call is null then
        raise exception 'activity "%" calls, but does not say what', activity.name using errcode = 'check_violation',
            hint = 'Give it call, an SQL expression over self: call => ''shop.make_voucher(self.id)''.';
    end if;
    if activity.action is distinct from 'call' and activity.call is not null then
        raise exception 'activity "%" has a call, but its action is %', activity.name, coalesce(activity.action, 'null') using errcode = 'check_violation',
            hint = 'Write action => ''call''.';
    end if;
    if activity.action = 'call' and activity.branch_by is not null then
        raise exception 'activity "%" calls and branches', activity.name using errcode = 'check_violation',
            detail = 'Which child a record takes is decided before the call has returned.',
            hint = 'Let an activity with action => null follow it, and branch there: its children''s conditions may read the result.';
    end if;
    if activity.parent_id is null and (marketing_automation_internal.mentions_results(activity.condition)
            or marketing_automation_internal.mentions_results(activity.call) or marketing_automation_internal.mentions_results(activity.wait_until)
            or marketing_automation_internal.mentions_results(activity.attachments)) then
        raise exception 'activity "%" reads record.results, but nothing has been called before it', activity.name using errcode = 'check_violation',
            hint = 'Results are there for what follows an activity with action => ''call''.';
    end if;
end $$;
comment on function marketing_automation_internal.check_call_rules(marketing_automation.activity) is
    'API: private. Raises unless what an activity calls fits its action, and it can read results';

create function marketing_automation_internal.call_query(activity marketing_automation.activity, model marketing_automation.model) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- A subquery gives an untyped literal its type, and calls once. void has no value.
    select marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format(
        E'%1$s, (select case when pg_typeof(c.result) <> ''void''::regtype then to_jsonb(c.result) end from (select (%2$s\n) as result%3$s offset 0) as c)',
        marketing_automation_internal.as_key(model.key, model.key_type), activity.call,
        case when marketing_automation_internal.mentions_results(activity.call)
            then ' from ' || marketing_automation_internal.results_of_row(model.key, model.key_type) else '' end))
$$;
comment on function marketing_automation_internal.call_query(marketing_automation.activity, marketing_automation.model) is
    'API: private. Query, to run by call_as_owner(), that calls what an activity calls for the rows whose keys are in $1, and gives key and '
    'result';

create function marketing_automation_internal.results_of(of_record bigint) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(jsonb_object_agg(a.name, c.result), '{}')
    from marketing_automation_internal.call_result c join marketing_automation.activity a on a.id = c.activity_id
    where c.record_id = of_record
$$;
comment on function marketing_automation_internal.results_of(bigint) is
    'API: private. What calls have returned for a record, by the name of the activity';

create function marketing_automation_internal.results_by_key(records bigint[]) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_object_agg(g.key, g.results) from (
        select r.key, jsonb_object_agg(a.name, c.result) as results
        from unnest(records) as u (id)
        join marketing_automation_internal.call_result c on c.record_id = u.id
        join marketing_automation.activity a on a.id = c.activity_id
        join marketing_automation_internal.record r on r.id = u.id
        group by r.id) g
$$;
comment on function marketing_automation_internal.results_by_key(bigint[]) is
    'API: private. The results of records of one scenario, an object by their keys: $2 of a query with as_later_condition()';

create function marketing_automation_internal.call_records(activity marketing_automation.activity, scenario marketing_automation.scenario,
    records bigint[], keys text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    most constant integer := 16384;
    model marketing_automation.model;
    called integer;
    longest integer;
begin
    if records = '{}' then
        return;
    end if;
    select m.* into strict model from marketing_automation.model m where m.name = scenario.model;
    with kept as (
        insert into marketing_automation_internal.call_result (record_id, activity_id, result)
        select i.id, activity.id, coalesce(q.result, 'null')
        from marketing_automation_internal.call_as_owner(scenario.owner_id, model.relation,
                marketing_automation_internal.call_query(activity, model), keys,
                case when marketing_automation_internal.mentions_results(activity.call)
                    then marketing_automation_internal.results_by_key(records) end) as q (key text, result jsonb)
        join unnest(records, keys) as i (id, key) on i.key = q.key
        returning octet_length(result::text) as size
    )
    select count(*), max(k.size) into called, longest from kept k;
    if longest > most then
        raise exception 'its result has % bytes: % at most are kept', longest, most using errcode = 'program_limit_exceeded';
    end if;
    -- Another session has deleted it since its condition was asked: whoever tries it again sees that.
    if called < cardinality(records) then
        raise exception 'its row was gone when it was called for' using errcode = 'no_data_found';
    end if;
end $$;
comment on function marketing_automation_internal.call_records(marketing_automation.activity, marketing_automation.scenario, bigint[],
    text[]) is
    'API: private. Calls what an activity calls, once for each of these records, which have these keys, and keeps the results. Raises what '
    'the call raises for any of them: nothing of it is left then';

create function marketing_automation_internal.plan_call(activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.plan_as_owner(s.owner_id, m.relation, marketing_automation_internal.call_query(activity, m))
    from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model where s.id = activity.scenario_id;
end $$;
comment on function marketing_automation_internal.plan_call(marketing_automation.activity) is
    'API: private. Raises what is wrong with what an activity calls, which it plans with the rights of its owner and does not run';

create function marketing_automation_internal.start_failed(activity marketing_automation.activity, of_record bigint, now timestamptz)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    children integer[];
begin
    if activity.action is distinct from 'call' then
        return;
    end if;
    children := marketing_automation_internal.lock_children(array[activity.id]);
    perform marketing_automation_internal.write_children(array_agg(of_record), array_agg(c.id), array_agg(now))
    from marketing_automation.activity c where c.id = any (children) and c.on_event = 'call_failed' having count(*) > 0;
end $$;
comment on function marketing_automation_internal.start_failed(marketing_automation.activity, bigint, timestamptz) is
    'API: private. Starts what follows an activity whose call has failed for a record: its children on call_failed';

create function marketing_automation_internal.mail_uses_results(activity_id integer) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from marketing_automation.activity c where c.scenario_id = a.scenario_id and c.action = 'call') and (
        select u.names is null or '' = any (u.names) or a.action = 'webhook' and a.body is null
        from marketing_automation_internal.used_columns(marketing_automation_internal.mail_texts(a)) u (names))
    from marketing_automation.activity a where a.id = mail_uses_results.activity_id
$$;
comment on function marketing_automation_internal.mail_uses_results(integer) is
    'API: private. Whether templates of an activity, its translations and their snippets may read results of calls, of which the scenario has '
    'some: its mails take them along then';

create function marketing_automation_internal.lacks_results(activity marketing_automation.activity, its_key text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive before as (
        select a.id, a.parent_id, a.action from marketing_automation.activity a where a.id = activity.parent_id
        union all
        select a.id, a.parent_id, a.action from before b join marketing_automation.activity a on a.id = b.parent_id
    )
    select marketing_automation_internal.mail_uses_results(activity.id) and exists (
        select from before b
        where b.action = 'call' and not exists (
            select from marketing_automation_internal.record r
            join marketing_automation_internal.call_result c on c.record_id = r.id and c.activity_id = b.id
            where r.scenario_id = activity.scenario_id and r.key = its_key))
$$;
comment on function marketing_automation_internal.lacks_results(marketing_automation.activity, text) is
    'API: private. Whether the mail of an activity may need the result of a call before it, which the row with this key has not had';

create function marketing_automation_internal.results_of_key(scenario_id integer, its_key text) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((
        select marketing_automation_internal.results_of(r.id) from marketing_automation_internal.record r
        where r.scenario_id = results_of_key.scenario_id and r.key = its_key order by r.run desc limit 1), '{}')
$$;
comment on function marketing_automation_internal.results_of_key(integer, text) is
    'API: private. What calls have returned for the last record of a row; an empty object: it has none, or they have not run';
