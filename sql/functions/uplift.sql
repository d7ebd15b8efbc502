-- Uplift: what a scenario has brought about, by comparing those who were mailed with those who were held out.

create function marketing_automation_internal.is_held_out(scenario marketing_automation.scenario, person text) returns boolean
language sql immutable
-- By a hash, so that all rows of a person share it, whichever enters first.
return marketing_automation_internal.hash_point((scenario).id || '/' || person) < 100 * (scenario).holdout;
comment on function marketing_automation_internal.is_held_out(marketing_automation.scenario, text) is
    'API: private. Whether a person, see held_out_person(), gets no mail of a scenario, to compare with';

create function marketing_automation_internal.original_scenario(scenario marketing_automation.scenario) returns marketing_automation.scenario
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    scenario.id := coalesce((select c.original_id from marketing_automation_internal.rehearsed_scenario c where c.scenario_id = scenario.id),
        scenario.id);
    return scenario;
end $$;
comment on function marketing_automation_internal.original_scenario(marketing_automation.scenario) is
    'API: private. A scenario with the id by which it holds people out: of a rehearsal''s copy that of the scenario itself, so that both hold '
    'out the same';

create function marketing_automation_internal.held_out_person(party text, email text, key text) returns text
language sql immutable
return coalesce(party, encode(marketing_automation.address_hash(nullif(trim(email), '')), 'hex'), key);
comment on function marketing_automation_internal.held_out_person(text, text, text) is
    'API: private. What is the same for all rows of a person, as far as these tell: for is_held_out()';

create function marketing_automation_internal.wilson(part bigint, whole bigint, out low double precision, out high double precision)
language sql immutable strict set search_path = pg_catalog, pg_temp
-- The 95 % interval of Wilson, with z = 1.96: also right for few, and for none. nullif(): a plan may divide before it asks where.
as $$
    select (p + 1.9208 / n - d) / (1 + 3.8416 / n), (p + 1.9208 / n + d) / (1 + 3.8416 / n)
    from (select part::double precision / nullif(whole, 0) as p, nullif(whole, 0)::double precision as n) s
    cross join lateral (select 1.96 * sqrt(p * (1 - p) / n + 0.9604 / (n * n)) as d) t
    where whole > 0
$$;
comment on function marketing_automation_internal.wilson(bigint, bigint, out double precision, out double precision) is
    'API: private. The 95 % interval of a rate; null: of nothing';

create function marketing_automation_internal.rate_difference(part bigint, whole bigint, other_part bigint, other_whole bigint,
    out difference numeric, out low numeric, out high numeric)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- Newcombe, Statistics in Medicine 17 (1998), method 10.
    select round((p - q)::numeric, 4), round((p - q - sqrt((p - w.low) ^ 2 + (o.high - q) ^ 2))::numeric, 4),
           round((p - q + sqrt((w.high - p) ^ 2 + (q - o.low) ^ 2))::numeric, 4)
    from (select part::double precision / nullif(whole, 0) as p, other_part::double precision / nullif(other_whole, 0) as q) r
    cross join lateral marketing_automation_internal.wilson(part, whole) w
    cross join lateral marketing_automation_internal.wilson(other_part, other_whole) o
$$;
comment on function marketing_automation_internal.rate_difference(bigint, bigint, bigint, bigint, out numeric, out numeric, out numeric) is
    'API: private. One rate less another, with the 95 % interval of that';

create function marketing_automation_internal.uplift_report(caller regrole, scenario text)
    returns table (mailed bigint, held_out bigint, mailed_conversions bigint, held_out_conversions bigint, mailed_rate numeric,
        held_out_rate numeric, mailed_value numeric, held_out_value numeric, uplift numeric, uplift_low numeric, uplift_high numeric)
language sql stable rows 10 set search_path = pg_catalog, pg_temp as $$
    with entered as (
        select count(*) filter (where not r.held_out) as mailed, count(*) filter (where r.held_out) as held_out
        from marketing_automation_internal.scenario_for(caller, uplift_report.scenario, 'count') s
        join marketing_automation_internal.record r on r.scenario_id = s.id and not r.goal_before
    ), converted as (
        select count(*) filter (where not r.held_out) as mailed, count(*) filter (where r.held_out) as held_out,
            sum(c.value) filter (where not r.held_out) as mailed_value, sum(c.value) filter (where r.held_out) as held_out_value
        from marketing_automation_internal.scenario_for(caller, uplift_report.scenario, 'count') s
        join marketing_automation.conversion c on c.scenario_id = s.id and c.source = 'goal'
        join marketing_automation_internal.record r on r.id = c.record_id
    )
    select e.mailed, e.held_out, c.mailed, c.held_out, marketing_automation_internal.rate(c.mailed, e.mailed),
        marketing_automation_internal.rate(c.held_out, e.held_out), round(c.mailed_value / nullif(e.mailed, 0), 4),
        round(c.held_out_value / nullif(e.held_out, 0), 4), d.difference, d.low, d.high
    from entered e cross join converted c
    left join lateral marketing_automation_internal.rate_difference(c.mailed, e.mailed, c.held_out, e.held_out) d on true
$$;
comment on function marketing_automation_internal.uplift_report(regrole, text) is 'API: private. Behind uplift_report()';

create function marketing_automation.uplift_report(scenario text)
    returns table (mailed bigint, held_out bigint, mailed_conversions bigint, held_out_conversions bigint, mailed_rate numeric,
        held_out_rate numeric, mailed_value numeric, held_out_value numeric, uplift numeric, uplift_low numeric, uplift_high numeric)
language c stable rows 10 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.uplift_report(text) is
    'API: public. What the mails of a scenario with a holdout have brought about: records that were mailed and that were held out (without '
    'those that had reached the goal before), how many of each have reached the goal, their share between 0 and 1, the value of the goal '
    'for each record, and the difference of the shares with its 95 % interval: one that holds 0 may be chance';
