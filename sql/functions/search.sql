-- Searching for what raises: a batch fails as a whole, and single ones of it are at fault. They are found by trying parts of it, halved
-- while they raise and doubled while they do not; what a part that does not raise has done stays done. Whoever searches runs this loop:
--
--     part := start_search(n);
--     while part.first is not null loop
--         try what is from part.first to part.last; what raises and is single is at fault
--         part := next_part(part, failed);
--     end loop;

create function marketing_automation_internal.start_search(total bigint, size bigint default null, first bigint default 1)
    returns marketing_automation_internal.search
language sql immutable
return case when start_search.first <= total
    then row(start_search.first, least(start_search.first + coalesce(size, total) - 1, total), 0, total)::marketing_automation_internal.search
    end;
comment on function marketing_automation_internal.start_search(bigint, bigint, bigint) is
    'API: private. The part to try first, of the numbers first to total; all of it, or so many as size says. Null: there are none';

create function marketing_automation_internal.next_part(part marketing_automation_internal.search, failed boolean)
    returns marketing_automation_internal.search
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    size bigint := part.last - part.first + 1;
begin
    if failed and size > 1 then
        part.failing_to := part.last;
        part.last := part.first + size / 2 - 1;
        return part;
    end if;
    part.first := part.last + 1;
    if part.first > part.total then
        return null;
    end if;
    if failed or part.first > part.failing_to then
        part.failing_to := 0;
        size := size * 2;
    else
        -- What raises as a whole, and not in its first half, raises in its second.
        size := (part.failing_to - part.first + 2) / 2;
    end if;
    part.last := least(part.first + size - 1, part.total);
    return part;
end $$;
comment on function marketing_automation_internal.next_part(marketing_automation_internal.search, boolean) is
    'API: private. The part to try next, after one that failed or did not; null: all have been tried';
