-- Anniversaries, for dates of the row: birthdays, contracts, first orders.

create function marketing_automation.anniversary(day date, zone text default null, at_time time default '00:00',
    lasts interval default '1 day') returns timestamptz
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    its_zone text := marketing_automation_internal.usable_time_zone(zone);
    local timestamp := timezone(its_zone, marketing_automation.assumed_now());
    candidate date;
begin
    if lasts is null or lasts <= interval '0' or lasts > interval '300 days' then
        raise exception 'an anniversary cannot last %', coalesce(lasts::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'lasts is longer than 0 and at most 300 days; leave it away for the day itself.';
    end if;
    if day is null or at_time is null or not isfinite(day) then
        return null;
    end if;
    -- The day itself is none, and of 29 February it is 28 February where there is no other, as with day + interval '1 year'.
    for year in greatest(extract(year from local - lasts)::integer, extract(year from day)::integer + 1)
            .. greatest(extract(year from local)::integer, extract(year from day)::integer) + 1 loop
        candidate := day + make_interval(years => year - extract(year from day)::integer);
        if candidate + lasts > local then
            return marketing_automation_internal.first_moment(candidate + at_time, its_zone);
        end if;
    end loop;
    return null;
end $$;
comment on function marketing_automation.anniversary(date, text, time, interval) is
    'API: public. The next anniversary of a day after assumed_now(), in a time zone (null or unknown: that of the database), at a time of day. '
    'It is the next one until lasts (1 day: the day itself) has passed since its day began, so that who is late on it is not a year too '
    'early. Of 29 February it is 28 February in a year without. Null for a null or infinite day. For at of an activity, and occasion';
