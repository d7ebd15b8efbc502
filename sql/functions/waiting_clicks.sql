-- Clicks that wait in the inbox, until the rules about robots can look at what has followed them: see classify_events().

create function marketing_automation_internal.click_window() returns interval
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- A second more, as what is on its way to the inbox came before what is there. A rule of hours would keep a campaign waiting: of such
    -- a one the log is right in the end, and what a click had started before stays.
    select case when count(*) > 0 then least(max(first.within), interval '5 minutes') + interval '1 second' end
    from (select distinct on (r.kind) r.within from marketing_automation.robot_rule r
          where r.is_enabled and r.kind in ('burst', 'hidden_link') order by r.kind, r.name) first
$$;
comment on function marketing_automation_internal.click_window() is
    'API: private. How long a click waits in the inbox, since the rules about robots that are enabled look at the clicks of its mail before '
    'and after it; null: no such rule is, and none waits';

create function marketing_automation_internal.ripe_clicks(since timestamptz, until timestamptz, skipped integer, wanted integer,
    unasked integer[]) returns tid[]
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- In the order of the index, whatever is known of the table: another plan reads the whole inbox. What is off makes plans look so dear,
-- those of functions called here too, that they would be compiled.
set enable_sort = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
    select array(
        select i.ctid from marketing_automation_internal.event_inbox i
        where i.kind = 'email_clicked' and i.error is null and i.occurred_at between since and until
          and (unasked = '{}' or not exists (
              select from marketing_automation_internal.record r where r.id = i.record_id and r.scenario_id = any (unasked)))
        order by i.occurred_at offset skipped limit wanted)
$$;
comment on function marketing_automation_internal.ripe_clicks(timestamptz, timestamptz, integer, integer, integer[]) is
    'API: private. Clicks of the inbox from then to then, in order, but for those of scenarios of which nobody can ask now';

create function marketing_automation_internal.free_clicks(since timestamptz, until timestamptz, wanted integer, unasked integer[],
    with_strays boolean, inout skipped integer, inout held boolean, out known tid[], out strays tid[])
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    hits tid[];
    free record;
begin
    known := '{}';
    strays := '{}';
    -- Much that others hold is not to keep us for long.
    for round in 1..20 loop
        exit when cardinality(known) + cardinality(strays) >= wanted;
        hits := marketing_automation_internal.ripe_clicks(since, until, skipped, wanted - cardinality(known) - cardinality(strays), unasked);
        exit when hits = '{}';
        if skipped = 0 then
            perform marketing_automation_internal.set_queue_cursor('click', 0, '', i.occurred_at)
            from marketing_automation_internal.event_inbox i where i.ctid = hits[1];
        end if;
        skipped := skipped + cardinality(hits);
        select f.* into free from marketing_automation_internal.free_hits(hits) f;
        known := known || free.known;
        strays := strays || case when with_strays then free.unknown end;
        held := held or cardinality(free.known) + case when with_strays then cardinality(free.unknown) else 0 end < cardinality(hits);
    end loop;
end $$;
comment on function marketing_automation_internal.free_clicks(timestamptz, timestamptz, integer, integer[], boolean, integer, boolean) is
    'API: private. At most wanted clicks of the inbox that came from then to then, locked as by free_hits(). skipped: how many there are '
    'before them that have been looked at; held: whether others hold some';

create function marketing_automation_internal.next_click() returns double precision
language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
    select extract(epoch from min(i.occurred_at) + marketing_automation_internal.click_window() - clock_timestamp())::double precision
    from marketing_automation_internal.event_inbox i
    where i.kind = 'email_clicked' and i.error is null
      and i.occurred_at > statement_timestamp() - marketing_automation_internal.click_window()
$$;
comment on function marketing_automation_internal.next_click() is
    'API: private. In how many seconds the first click that waits is to be judged; null: none waits';
