-- Time: delays, and the time that a run assumes.

create function marketing_automation.database_time_zone() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
-- As the owner, who may read what the server's files say.
return marketing_automation_internal.database_time_zone();
comment on function marketing_automation.database_time_zone() is
    'API: public. The time zone that days count in where a recipient has none, the warm-up''s too: the database''s (alter database … set '
    'timezone), otherwise the server''s, whatever the session has set';

create function marketing_automation_internal.usable_time_zone(zone text) returns text
language sql stable
return case when marketing_automation_internal.is_time_zone(zone) then zone else marketing_automation_internal.database_time_zone() end;
comment on function marketing_automation_internal.usable_time_zone(text) is
    'API: private. A recipient''s time zone if there is one of that name, otherwise the database''s';

create function marketing_automation_internal.after_delay(start timestamptz, delay interval, zone text) returns timestamptz
language sql stable
-- Days and months are those of a calendar, and so of a place; hours are the same everywhere.
return case
    when delay is null then start
    when date_trunc('day', delay) = interval '0' then start + delay
    else timezone(marketing_automation_internal.usable_time_zone(zone),
            timezone(marketing_automation_internal.usable_time_zone(zone), start) + date_trunc('day', delay))
        + (delay - date_trunc('day', delay)) end;
comment on function marketing_automation_internal.after_delay(timestamptz, interval, text) is
    'API: private. When a delay is over: days and more count in the time zone, of the recipient or, null or unknown, of the database';

create function marketing_automation_internal.asks_present(expression text) returns boolean
language sql immutable
-- Not within quotes, but for the words that a cast makes times of. age() of one time is that of today: brackets in it may hold commas.
return expression ~* $$'\s*(now|today|tomorrow|yesterday)(\s+[0-9:.]+)?\s*'$$
    or regexp_replace(expression, $$'[^']*'$$, '', 'g') ~*
        ('\m((now|statement_timestamp|clock_timestamp|transaction_timestamp|timeofday)\s*\(|(current_date|current_time|current_timestamp'
            || '|localtime|localtimestamp)\M|age\s*\(([^(),]|\(([^()]|\(([^()]|\([^()]*\))*\))*\))*\))');
comment on function marketing_automation_internal.asks_present(text) is
    'API: private. Whether an expression seems to ask for the present, which no assumed time changes';

create function marketing_automation_internal.warn_of_present(what text, name text, expression text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.asks_present(expression) then
        raise warning '% of % "%" asks for the present, not for the time that is assumed', what,
            case when what in ('condition', 'at', 'wait_until') then 'activity' else 'scenario' end, name
            using hint = 'Write marketing_automation.assumed_now() instead of now(), current_date and the like.';
    end if;
end $$;
comment on function marketing_automation_internal.warn_of_present(text, text, text) is
    'API: private. Warns under an assumed time of an expression that asks for the present; what: domain, goal, exit condition, '
    'occasion, condition, at or wait_until';

create function marketing_automation_internal.warn_of_present_in_activities(of_scenario integer) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.warn_of_present(e.what, a.name, e.expression)
    from marketing_automation.activity a
    cross join lateral (values (1, 'condition', a.condition), (2, 'at', a.at), (3, 'wait_until', a.wait_until)) e (n, what, expression)
    where a.scenario_id = of_scenario order by a.id, e.n
$$;
comment on function marketing_automation_internal.warn_of_present_in_activities(integer) is
    'API: private. The same for all expressions of a scenario''s activities';

create function marketing_automation_internal.as_key(key text, key_type regtype) returns text
language sql immutable
-- Keys stay the same, whatever the time zone of the database becomes.
return case when key_type = 'timestamptz'::regtype
    then format(
        E'case when isfinite((%1$s\n)) and (%1$s\n) >= %2$L then timezone(%3$L, (%1$s\n))::text || %4$L else (%1$s\n)::text end',
        key, '0001-01-01 00:00+00', 'UTC', '+00')
    else marketing_automation_internal.as_text(key) end;
comment on function marketing_automation_internal.as_key(text, regtype) is
    'API: private. A model''s key, ready to stand in a query, as text that depends on no setting';
