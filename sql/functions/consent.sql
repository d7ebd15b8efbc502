-- Consent: whose opens and clicks are recorded. Asked when a mail is made (process_records) and, as people change their minds,
-- again when hits are applied.

create function marketing_automation_internal.consenting_records(
    scenario marketing_automation.scenario, relation regclass, query text, records bigint[], batch_size integer, out opens bigint[],
    out clicks bigint[], out unknown bigint[], out error text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(records), batch_size);
    its record;
    failed boolean;
begin
    opens := '{}';
    clicks := '{}';
    unknown := '{}';
    while part.first is not null loop
        begin
            with its as materialized (
                select r.id, r.key from marketing_automation_internal.record r where r.id = any (records[part.first:part.last])
            ), found as materialized (
                select q.*
                from marketing_automation_internal.query_as_owner(scenario.owner_id, relation, query, array(select i.key from its i)) as q (key text,
                    opens boolean, clicks boolean)
            )
            select coalesce(array_agg(i.id) filter (where f.opens), '{}') as opens, coalesce(array_agg(i.id) filter (where f.clicks), '{}') as clicks
            into its
            from its i join found f on f.key = i.key;
            opens := opens || its.opens;
            clicks := clicks || its.clicks;
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate;
            if marketing_automation_internal.is_slow(code) then
                unknown := records[part.first:];
                return;
            end if;
            if marketing_automation_internal.is_passing_error(code) then
                raise;
            end if;
            -- The row that fails alone has not said yes.
            failed := true;
        end;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    error := null;
    code := null;
end $$;
comment on function marketing_automation_internal.consenting_records(marketing_automation.scenario, regclass, text, bigint[], integer,
    out bigint[], out bigint[], out bigint[], out text, out text) is
    'API: private. Of these records of a scenario, those whose rows consent to opens and to clicks now; a row that is gone, or of '
    'which an expression fails, does not. unknown: those of which it cannot be asked now, as the expressions are too slow, with that '
    'error. batch_size: how many to ask of at once, null: all';

create function marketing_automation_internal.unasked_scenarios(of_work text) returns integer[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(t.scenario_id), '{}') from marketing_automation_internal.failed_turn t
    -- Not later than now either: the clock may have been set back.
    where t.work = of_work
        and t.failed_at between clock_timestamp() - interval '1 minute' and clock_timestamp() + interval '1 minute'
$$;
comment on function marketing_automation_internal.unasked_scenarios(text) is
    'API: private. Scenarios that could not be asked lately for consent (their events wait), or whether their mails may leave (leave: these '
    'wait): for a minute nobody asks again';

create function marketing_automation_internal.withheld_consent(records bigint[], out no_opens bigint[], out no_clicks bigint[],
    out unknown bigint[])
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    asking integer[] := array(
        select s.id from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model
        where not (s.track_opens and s.track_clicks) or m.track_opens is not null or m.track_clicks is not null);
    unasked integer[] := marketing_automation_internal.unasked_scenarios('consent');
    scenario marketing_automation.scenario;
    model marketing_automation.model;
    part record;
    query text;
    opens bigint[];
    clicks bigint[];
    unasked_of bigint[];
    began timestamptz;
    message text;
    code text;
begin
    no_opens := '{}';
    no_clicks := '{}';
    unknown := '{}';
    if asking = '{}' then
        return;
    end if;
    for part in
        select r.scenario_id, array_agg(r.id order by r.id) as records
        from marketing_automation_internal.record r where r.id = any (withheld_consent.records) and r.scenario_id = any (asking)
        group by r.scenario_id order by r.scenario_id
    loop
        select s.* into strict scenario from marketing_automation.scenario s where s.id = part.scenario_id;
        select m.* into strict model from marketing_automation.model m where m.name = scenario.model;
        opens := part.records;
        clicks := part.records;
        if part.scenario_id = any (unasked) then
            unknown := unknown || part.records;
            continue;
        end if;
        if model.track_opens is not null or model.track_clicks is not null then
            code := null;
            began := clock_timestamp();
            begin
                perform marketing_automation_internal.begin_turn();
                perform marketing_automation_internal.turn_asks(scenario.id, 'consent');
                perform marketing_automation_internal.usable_model(scenario);
                query := marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                    concat_ws(', ', marketing_automation_internal.as_key(model.key, model.key_type),
                    marketing_automation_internal.as_condition(model.track_opens),
                        marketing_automation_internal.as_condition(model.track_clicks)));
                perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, query);
                select c.opens, c.clicks, c.unknown, c.error, c.code into opens, clicks, unasked_of, message, code
                from marketing_automation_internal.consenting_records(scenario, model.relation, query, part.records, (
                    select t.batch_size from marketing_automation_internal.failed_turn t
                    where t.scenario_id = scenario.id and t.work = 'consent')) c;
                perform marketing_automation_internal.end_turn();
            exception when others then
                get stacked diagnostics message = message_text, code = returned_sqlstate;
                if marketing_automation_internal.is_passing_error(code) and not marketing_automation_internal.is_slow(code) then
                    raise;
                end if;
                unasked_of := part.records;
                opens := '{}';
                clicks := '{}';
            end;
            if code is null then
                perform marketing_automation_internal.turn_succeeded(scenario.id, 'consent', 0, clock_timestamp() - began);
            elsif marketing_automation_internal.is_slow(code) then
                -- Of those that were asked in time it is known.
                unknown := unknown || unasked_of;
                perform marketing_automation_internal.turn_failed(scenario.id, 'consent', 0, code,
                    marketing_automation_internal.next_batch(code, cardinality(part.records),
                        cardinality(part.records) - cardinality(unasked_of)));
                perform marketing_automation_internal.note_error(scenario.id, null,
                    format('events wait, nobody knows who consents: %s', message), code);
                part.records := array(select u from unnest(part.records) u where u <> all (unasked_of));
            else
                -- Nobody can say that they agree: what they do is none of our business until the model is mended.
                -- The mailer's log is nobody's who may read the row.
                raise warning 'scenario "%" does not know who consents: %', scenario.name,
                    marketing_automation_internal.public_error(message, code) using errcode = code;
            end if;
        end if;
        no_opens := no_opens || array(
            select unnest(part.records) except select unnest(case when model.track_opens is null then part.records else opens end)
                where scenario.track_opens);
        no_clicks := no_clicks || array(
            select unnest(part.records) except select unnest(case when model.track_clicks is null then part.records else clicks end)
                where scenario.track_clicks);
    end loop;
end $$;
comment on function marketing_automation_internal.withheld_consent(bigint[], out bigint[], out bigint[], out bigint[]) is
    'API: private. Of these records, those whose opens and whose clicks must not be recorded: their scenario does not track them, or '
    'their row does not consent now. unknown: those of which it cannot be asked now, as the expressions are too slow';
