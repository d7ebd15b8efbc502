-- Conversions: what a campaign was for, as the shop reports it, or as processing sees it by the scenario's goal.

create table marketing_automation.conversion (
    id bigint generated always as identity primary key,
    record_id bigint not null,
    scenario_id integer not null,
    at timestamptz not null check (isfinite(at)),
    -- One that is no number would be the sum of its scenario for ever.
    value numeric check (value not in ('NaN', 'Infinity', '-Infinity')),
    source text not null default 'reported' check (source in ('reported', 'goal'))
);
comment on table marketing_automation.conversion is 'API: public. What records have brought: written by record_conversion(), and once by processing when the scenario''s goal holds';
comment on column marketing_automation.conversion.at is 'When it happened; when the goal was seen to hold';
comment on column marketing_automation.conversion.source is 'reported: by record_conversion(); goal: by the scenario''s goal, at most once a record';
comment on column marketing_automation.conversion.value is 'In a currency of your choice, the same for a scenario; null: it has none';
create index conversion_record on marketing_automation.conversion (record_id);
create unique index conversion_goal on marketing_automation.conversion (record_id) where source = 'goal';
-- For the sums of a scenario.
create index conversion_scenario on marketing_automation.conversion (scenario_id) include (record_id, value);

create function marketing_automation.record_conversion(record uuid, value numeric default null, at timestamptz default now()) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    its_id bigint;
begin
    if value in ('NaN', 'Infinity', '-Infinity') then
        raise exception 'value must be a finite number, not %', value using errcode = 'invalid_parameter_value';
    end if;
    if not isfinite(at) then
        raise exception 'at must be a time, not %', at using errcode = 'invalid_parameter_value';
    end if;
    insert into marketing_automation.conversion (record_id, scenario_id, at, value)
    select r.id, r.scenario_id, coalesce(record_conversion.at, now()), record_conversion.value
    from marketing_automation.record r
    where r.id = marketing_automation.record_id(record) and r.uuid = record
    returning conversion.id into its_id;
    if its_id is null then
        raise exception 'record "%" does not exist', record
            using errcode = 'undefined_object', hint = 'See: select uuid from marketing_automation.record where key = …;';
    end if;
    return its_id;
end $$;
comment on function marketing_automation.record_conversion(uuid, numeric, timestamptz) is
    'API: public. Keeps that a record has done what its scenario is for, and what that is worth; returns the id of the conversion. Each call is a conversion of its own';

create view marketing_automation.conversion_report as
select s.name as scenario, count(*) as conversions, count(distinct c.record_id) as records, sum(c.value) as value
from marketing_automation.conversion c
join marketing_automation.scenario s on s.id = c.scenario_id
group by s.name;
comment on view marketing_automation.conversion_report is 'API: public. Conversions of each scenario, of how many records, and their value';
