-- When windows change, or other ones are chosen: mails that are claimed, or wait for an opening, are looked at again.

create function marketing_automation_internal.look_again(activities integer[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
begin
    if activities = '{}' then
        return;
    end if;
    perform marketing_automation_internal.revoke_claims_of('activity', a.id::text) from unnest(activities) as a (id);
    -- Those that wait for an opening: the claim says which still do. Deferred ones wait for their next attempt.
    update marketing_automation_internal.outbox o set due_at = clock_timestamp()
    where o.ctid = any (array(
        select q.ctid from marketing_automation_internal.outbox q
        where q.activity_id = any (activities) and q.state = 'queued' and q.attempts = 0 and q.due_at > clock_timestamp()
          and q.record_id is not null
        for update skip locked));
    perform marketing_automation_internal.notify_mailer();
end $$;
comment on function marketing_automation_internal.look_again(integer[]) is
    'API: private. Lets the mailer claim mails of these activities anew, claimed ones and those that wait for their window';

create function marketing_automation_internal.look_again_at(windows text[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.look_again(array(
        select a.id from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
        join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
        where a.action = 'send_email' and (coalesce(a.send_window, s.send_window) = any (windows) or k.send_window = any (windows))))
$$;
comment on function marketing_automation_internal.look_again_at(text[]) is
    'API: private. Lets the mailer claim anew what leaves within windows that have changed';

create function marketing_automation_internal.send_window_chosen() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring() then
        perform marketing_automation_internal.look_again(array(
            select a.id from marketing_automation.activity a
            where a.action = 'send_email' and case tg_table_name when 'activity' then a.id = new.id
                else a.scenario_id = new.id and a.send_window is null end));
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.send_window_chosen() is
    'API: private. Trigger: mails of an activity, or of a scenario, that has another window, or none any more, are claimed anew';

create trigger send_window after update of send_window on marketing_automation.scenario
    for each row when (new.send_window is distinct from old.send_window) execute function marketing_automation_internal.send_window_chosen();

create trigger send_window after update of send_window on marketing_automation.activity
    for each row when (new.send_window is distinct from old.send_window) execute function marketing_automation_internal.send_window_chosen();
