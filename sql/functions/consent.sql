-- Consent: whose opens and clicks are recorded. Asked when a mail is made (process_records) and, as people change their minds,
-- again when hits are applied.

create function marketing_automation_internal.consenting_records(
    scenario marketing_automation.scenario, relation regclass, query text, records bigint[], out opens bigint[], out clicks bigint[]
)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    half integer := cardinality(records) / 2;
    code text;
    first record;
    second record;
begin
    begin
        with its as materialized (
            select r.id, r.key from marketing_automation_internal.record r where r.id = any (records)
        ), found as materialized (
            select q.*
            from marketing_automation_internal.query_as_owner(scenario.owner_id, relation, query, array(select i.key from its i)) as q (key text,
                opens boolean, clicks boolean)
        )
        select coalesce(array_agg(i.id) filter (where f.opens), '{}'), coalesce(array_agg(i.id) filter (where f.clicks), '{}')
        into opens, clicks
        from its i join found f on f.key = i.key;
        return;
    exception when others then
        get stacked diagnostics code = returned_sqlstate;
        if marketing_automation_internal.is_passing_error(code) then
            raise;
        end if;
    end;
    -- As process_or_fail() does; the row that fails alone has not said yes.
    opens := '{}';
    clicks := '{}';
    if half > 0 then
        first := marketing_automation_internal.consenting_records(scenario, relation, query, records[:half]);
        second := marketing_automation_internal.consenting_records(scenario, relation, query, records[half + 1:]);
        opens := first.opens || second.opens;
        clicks := first.clicks || second.clicks;
    end if;
end $$;
comment on function marketing_automation_internal.consenting_records(marketing_automation.scenario, regclass, text, bigint[]) is
    'API: private. Of these records of a scenario, those whose rows consent to opens and to clicks now; a row that is gone, or of '
    'which an expression fails, does not';

create function marketing_automation_internal.unasked_scenarios() returns integer[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(t.scenario_id), '{}') from marketing_automation_internal.failed_turn t
    where t.work = 'consent' and t.failed_at > clock_timestamp() - interval '1 minute'
$$;
comment on function marketing_automation_internal.unasked_scenarios() is
    'API: private. Scenarios whose expressions of consent were too slow lately: for a minute nobody asks, and their events wait';

create function marketing_automation_internal.withheld_consent(records bigint[], out no_opens bigint[], out no_clicks bigint[],
    out unknown bigint[])
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    asking integer[] := array(
        select s.id from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model
        where not (s.track_opens and s.track_clicks) or m.track_opens is not null or m.track_clicks is not null);
    unasked integer[] := marketing_automation_internal.unasked_scenarios();
    scenario marketing_automation.scenario;
    model marketing_automation.model;
    part record;
    query text;
    opens bigint[];
    clicks bigint[];
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
            begin
                perform marketing_automation_internal.usable_model(scenario);
                query := marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                    concat_ws(', ', marketing_automation_internal.as_key(model.key, model.key_type),
                    marketing_automation_internal.as_condition(model.track_opens),
                        marketing_automation_internal.as_condition(model.track_clicks)));
                perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, query);
                select c.opens, c.clicks into opens, clicks
                from marketing_automation_internal.consenting_records(scenario, model.relation, query, part.records) c;
                perform marketing_automation_internal.turn_succeeded(scenario.id, 'consent', 0, null);
            exception when others then
                get stacked diagnostics message = message_text, code = returned_sqlstate;
                if marketing_automation_internal.is_slow(code) then
                    perform marketing_automation_internal.turn_failed(scenario.id, 'consent', 0, code, null);
                    perform marketing_automation_internal.note_error(scenario.id, null,
                        format('events wait, nobody knows who consents: %s', message), code);
                    unknown := unknown || part.records;
                    continue;
                end if;
                if marketing_automation_internal.is_passing_error(code) then
                    raise;
                end if;
                -- Nobody can say that they agree: what they do is none of our business until the model is mended.
                raise warning 'scenario "%" does not know who consents: %', scenario.name, message using errcode = code;
                opens := '{}';
                clicks := '{}';
            end;
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
