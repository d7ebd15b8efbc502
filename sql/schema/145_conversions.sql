-- Conversions: what a campaign was for, as the shop reports it.

create table marketing_automation.conversion (
    id bigint generated always as identity primary key,
    record_id bigint not null,
    at timestamptz not null,
    value numeric
);
comment on table marketing_automation.conversion is 'API: public. What records have brought: written by record_conversion()';
comment on column marketing_automation.conversion.value is 'In a currency of your choice, the same for a scenario; null: it has none';
create index conversion_record on marketing_automation.conversion (record_id);

create function marketing_automation.record_conversion(record uuid, value numeric default null, at timestamptz default now()) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    its_id bigint;
begin
    insert into marketing_automation.conversion (record_id, at, value)
    select r.id, coalesce(record_conversion.at, now()), record_conversion.value
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
join marketing_automation.record r on r.id = c.record_id
join marketing_automation.scenario s on s.id = r.scenario_id
group by s.name;
comment on view marketing_automation.conversion_report is 'API: public. Conversions of each scenario, of how many records, and their value';
