\set SHOW_CONTEXT never
-- Days and months of a delay in every time zone that there is, every hour and a half around each change of its clocks, whatever tzdata says.
begin;
create temp table zone as
    select z.name, day as before
    from pg_timezone_names z, generate_series(timestamptz '2026-01-01 12:00+00', '2027-12-31 12:00+00', '1 day') day
    where (day at time zone z.name) - (day at time zone 'UTC') <> ((day + '24 hours') at time zone z.name) - ((day + '24 hours') at time zone 'UTC')
    union all select z.name, timestamptz '2026-06-15 12:00+00' from pg_timezone_names z;
create temp table moment as
    select z.name, z.before + n * interval '30 minutes' as at from zone z, generate_series(-60, 60, 3) n;
create temp table due as
    select m.name, m.at, d.delay, extract(hour from d.delay) = 24 as is_hours, marketing_automation_internal.after_delay(m.at, d.delay, m.name) as due,
        (m.at at time zone m.name) + d.delay as wanted
    from moment m, (values (interval '1 day'), ('2 days'), ('1 month'), ('1 year 1 month 1 day'), ('24 hours')) d (delay);
select count(distinct name) > 300 as zones, count(*) > 50000 as moments from due;
-- The clock on the recipient's wall shows the same time as many days and months later, unless it never shows that time on that day.
select count(*) as other_time from due
where not is_hours and due at time zone name <> wanted and (wanted at time zone name) at time zone name = wanted;
-- … and then the clock has gone on, by no more than a day.
select count(*) as earlier_or_far from due
where not is_hours and (due at time zone name < wanted or due at time zone name > wanted + interval '1 day');
-- Nothing is due before its delay began, and hours are hours everywhere.
select count(*) as too_early from due where due <= at;
select count(*) as no_hours from due where is_hours and due <> at + interval '24 hours';
-- No two recipients of one moment and a delay of days are further apart than the clocks of the world: 26 hours and a change.
select count(*) as apart from (select max(due) - min(due) as difference from due group by at, is_hours, delay) a where difference > interval '2 days 4 hours';
-- What the session's own time zone is changes nothing.
set local timezone = 'Pacific/Apia';
select count(*) as by_session from due where due <> marketing_automation_internal.after_delay(at, delay, name);
-- A zone that nobody knows, none and an empty one are the database's.
select count(*) as by_unknown from due, unnest(array['Mars/Phobos', '', null]) unknown
where name = 'Europe/Paris' and marketing_automation_internal.after_delay(at, delay, unknown)
    <> marketing_automation_internal.after_delay(at, delay, marketing_automation_internal.database_time_zone());
rollback;
