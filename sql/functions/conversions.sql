-- Conversions that the shop reports, and their sums. Those by a goal are written by process_records.sql and goals.sql.

create function marketing_automation_internal.record_conversion(caller regrole, record uuid, value numeric, at timestamptz)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id bigint;
begin
    if value in ('NaN', 'Infinity', '-Infinity') then
        raise exception 'value must be a finite number, not %', value
            using errcode = 'invalid_parameter_value', hint = 'Leave it away where nothing is known of it.';
    end if;
    if not isfinite(at) then
        raise exception 'at must be a time, not %', at using errcode = 'invalid_parameter_value', hint = 'Leave it away for the present.';
    end if;
    perform marketing_automation_internal.demand_record(caller, record);
    insert into marketing_automation.conversion (record_id, scenario_id, at, value, activity_id)
    select r.id, r.scenario_id, coalesce(record_conversion.at, now()), record_conversion.value,
        (select a.activity_id from marketing_automation_internal.credited_activities(array[r.id],
            array[coalesce(record_conversion.at, now())]) a)
    from marketing_automation_internal.record r
    where r.id = marketing_automation.record_id(record) and r.uuid = record
    returning conversion.id into its_id;
    if its_id is null then
        raise exception 'record "%" does not exist', record
            using errcode = 'undefined_object', hint = 'See: select uuid from marketing_automation.record where key = …;';
    end if;
    return its_id;
end $$;
comment on function marketing_automation_internal.record_conversion(regrole, uuid, numeric, timestamptz) is
    'API: private. Behind record_conversion()';

create function marketing_automation.record_conversion(record uuid, value numeric default null, at timestamptz default now())
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.record_conversion(uuid, numeric, timestamptz) is
    'API: public. Keeps that a record has done what its scenario is for, and what that is worth; returns the id of the conversion. '
    'Each call is a conversion of its own';

create view marketing_automation.conversion_report with (security_barrier) as
select s.name as scenario, count(*) as conversions, count(distinct c.record_id) as records, sum(c.value) as value
from marketing_automation.conversion c
join marketing_automation_internal.countable_scenario s on s.id = c.scenario_id
group by s.name;
comment on view marketing_automation.conversion_report is
    'API: public. Conversions of each scenario, of how many records, and their value';
