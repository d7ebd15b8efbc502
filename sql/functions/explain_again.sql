-- Entering again, told for people: how often a row has entered, for what, and when it does so next.

create function marketing_automation_internal.entered_in_words(entered marketing_automation_internal.record) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('entered %s', marketing_automation_internal.moment((entered).entered_at))
        || case when (entered).run > 1 then format(', for the %s. time', (entered).run) else '' end
        || coalesce(', for the occasion "' || left((entered).occasion, 100) || '"', '')
$$;
comment on function marketing_automation_internal.entered_in_words(marketing_automation_internal.record) is
    'API: private. When a record entered, how often its row has, and for which occasion, for people';

create function marketing_automation_internal.explain_earlier(earlier marketing_automation_internal.record) returns setof text
language sql stable rows 3 set search_path = pg_catalog, pg_temp as $$
    -- Of the last one more is told: see explain_entering().
    select marketing_automation_internal.entered_in_words(earlier) || case
        when (earlier).end_reason is not null then format('; its journey ended %s, as %s',
            marketing_automation_internal.moment((earlier).ended_at), marketing_automation_internal.end_in_words((earlier).end_reason))
        else '' end
        || coalesce((
            select '; reached the goal ' || marketing_automation_internal.moment(c.at)
            from marketing_automation.conversion c where c.record_id = (earlier).id and c.source = 'goal'), '')
    where exists (
        select from marketing_automation_internal.record r
        where r.scenario_id = (earlier).scenario_id and r.key = (earlier).key and r.run > (earlier).run)
$$;
comment on function marketing_automation_internal.explain_earlier(marketing_automation_internal.record) is
    'API: private. What a record was whose row has entered again since, for people; no row for the last one';

create function marketing_automation_internal.occasion_of_row(scenario marketing_automation.scenario, model marketing_automation.model,
    key text, sees boolean, out occasion text, out error text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    message text;
    code text;
begin
    select q.occasion into occasion
    from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
        marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
            marketing_automation_internal.as_occasion(scenario.occasion)), array[key]) as q (occasion text);
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) then
        raise;
    end if;
    get stacked diagnostics message = message_text, code = returned_sqlstate;
    error := format('%s (%s)', case when sees then message else marketing_automation_internal.public_error(message, code) end, code);
end $$;
comment on function marketing_automation_internal.occasion_of_row(marketing_automation.scenario, marketing_automation.model, text, boolean,
    out text, out text) is
    'API: private. The occasion for which a row would enter a scenario now, or why it cannot be told. sees: whether that may quote the row';

create function marketing_automation_internal.missing_occasion(scenario marketing_automation.scenario, model marketing_automation.model,
    key text, sees boolean) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when o.error is not null then 'its occasion raises an error: ' || o.error
        when o.occasion is null then 'it waits for an occasion, which is null' end
    from marketing_automation_internal.occasion_of_row(scenario, model, key, sees) o
$$;
comment on function marketing_automation_internal.missing_occasion(marketing_automation.scenario, marketing_automation.model, text,
    boolean) is
    'API: private. Why a row has no occasion to enter for; null: it has one';

create function marketing_automation_internal.next_entry_in_words(scenario marketing_automation.scenario, model marketing_automation.model,
    last marketing_automation_internal.record, sees boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    reenters_at timestamptz;
    its record;
    then_on text := ', if the domain is true for it then';
begin
    if not marketing_automation_internal.may_enter_again(scenario) then
        return null;
    end if;
    if scenario.occasion is not null then
        select o.occasion, o.error into its from marketing_automation_internal.occasion_of_row(scenario, model, last.key, sees) o;
        if its.error is not null then
            return 'does not enter again: its occasion raises an error: ' || its.error;
        elsif its.occasion is null then
            return 'enters again when it has an occasion, which is null';
        elsif exists (select from marketing_automation_internal.record r
            where r.scenario_id = last.scenario_id and r.key = last.key and r.occasion = its.occasion collate "C") then
            return format('enters again for another occasion than "%s"', left(its.occasion, 100));
        end if;
        then_on := case when sees then format(', for the occasion "%s"', left(its.occasion, 100)) else ', for another occasion' end || then_on;
    end if;
    reenters_at := marketing_automation_internal.reenters_at(scenario, last);
    if reenters_at is null or exists (
        select from marketing_automation.activity a join marketing_automation_internal.outbox o on o.activity_id = a.id
        where a.scenario_id = scenario.id and o.record_id = last.id) then
        return format('enters again %safter this journey', coalesce(scenario.reenter_after || ' ', '')) || then_on;
    end if;
    return case when reenters_at > clock_timestamp() then 'enters again from ' || marketing_automation_internal.moment(reenters_at) || ' on'
        else 'the next enroll() enters it again' end || then_on;
end $$;
comment on function marketing_automation_internal.next_entry_in_words(marketing_automation.scenario, marketing_automation.model,
    marketing_automation_internal.record, boolean) is
    'API: private. When the row of a record, its last, enters the scenario again, for people; null: it never does';
