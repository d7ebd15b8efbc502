-- Webhooks: activities that POST JSON about a row to a server that a superuser has listed. Whether they may go there is asked when they
-- are written, and again by the claim: lists, owners and roles change.

create function marketing_automation_internal.webhook_objection(owner_id oid, target text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when t.origin is null then format('webhook target "%s" is not listed', webhook_objection.target)
        when t.role is not null and not coalesce(pg_has_role(webhook_objection.owner_id, t.role_id, 'MEMBER'), false)
            then format('webhook target "%s" is for members of role "%s"', t.origin, t.role)
        when not t.enabled then format('webhook target "%s" is disabled', t.origin) || coalesce(': ' || t.disabled_because, '')
    end
    from (select webhook_objection.target as origin) o
    left join marketing_automation.webhook_target t on t.origin = o.origin
$$;
comment on function marketing_automation_internal.webhook_objection(oid, text) is
    'API: private. Why webhooks of scenarios of this owner may not go to a target; null: they may';

create function marketing_automation_internal.check_webhook_rules(activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if activity.action = 'webhook' and activity.url is null then
        raise exception 'activity "%" is a webhook, but does not say where it goes', activity.name using errcode = 'check_violation',
            hint = 'Give it a url: url => ''https://crm.example/hooks/{{ record.id }}''.';
    end if;
    if activity.action is distinct from 'webhook' and activity.url is not null then
        raise exception 'activity "%" has a url, but its action is %', activity.name, coalesce(activity.action, 'null')
            using errcode = 'check_violation', hint = 'Write action => ''webhook''.';
    end if;
    if activity.action is distinct from 'webhook' then
        return;
    end if;
    if num_nonnulls(activity.sender, activity.reply_to, activity.subject, activity.preheader, activity.text, activity.headers, activity.attachments, activity.send_window, activity.message_class) > 0 then
        raise exception 'activity "%" is a webhook, and has %', activity.name, case when activity.sender is not null then 'a sender'
                when activity.reply_to is not null then 'a reply_to' when activity.subject is not null then 'a subject'
                when activity.preheader is not null then 'a preheader' when activity.text is not null then 'a text'
                when activity.headers is not null then 'headers' when activity.attachments is not null then 'attachments'
                when activity.send_window is not null then 'a send window' else 'a message class' end
            using errcode = 'check_violation', detail = 'Those are for mails, which go to people.',
                  hint = 'A webhook has a url, and a body in JSON; at_time says at which time of day it runs.';
    end if;
    if activity.branch_by is not null then
        raise exception 'activity "%" is a webhook and branches', activity.name using errcode = 'check_violation',
            detail = 'Which child a record takes is decided before the target has answered.',
            hint = 'Let an activity with action => null follow it, and branch there.';
    end if;
end $$;
comment on function marketing_automation_internal.check_webhook_rules(marketing_automation.activity) is
    'API: private. Raises unless the attributes of an activity fit whether it is a webhook';

create function marketing_automation_internal.check_webhook_of(scenario marketing_automation.scenario, model marketing_automation.model,
    activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    target text;
    objection text;
begin
    if activity.action is distinct from 'webhook' then
        return;
    end if;
    target := marketing_automation_internal.check_webhook(format('activity "%s"', activity.name), activity.url, activity.body,
        scenario.language, marketing_automation_internal.template_columns(model.relation, scenario.id));
    objection := marketing_automation_internal.webhook_objection(scenario.owner_id, target);
    if objection is not null then
        raise exception 'activity "%" may not send webhooks to "%"', activity.name, target using errcode = 'insufficient_privilege',
            detail = format('The %s.', objection), hint = marketing_automation_internal.webhook_hint(objection, target);
    end if;
end $$;
comment on function marketing_automation_internal.check_webhook_of(marketing_automation.scenario, marketing_automation.model,
    marketing_automation.activity) is
    'API: private. Raises unless the templates of a webhook compile, its body is JSON, and its scenario''s owner may use its target';

create function marketing_automation_internal.webhook_hint(objection text, target text) returns text
language sql immutable
return case
    when objection like '%not listed'
        then format('insert into marketing_automation.webhook_target (origin) values (%L); -- as superuser', target)
    when objection like '%members of role%'
        then format('update marketing_automation.webhook_target set role = … where origin = %L; -- as superuser', target)
    when objection is not null
        then format('update marketing_automation.webhook_target set enabled = true where origin = %L; -- as superuser', target) end;
comment on function marketing_automation_internal.webhook_hint(text, text) is
    'API: private. The statement that removes what webhook_objection() says';

create function marketing_automation_internal.webhook_target_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.is_restoring() then
        new.role_id := case when new.role is not null then coalesce((select r.oid from pg_roles r where r.rolname = new.role), 0::oid) end;
        return new;
    end if;
    new.origin := marketing_automation_internal.webhook_origin(new.origin);
    if new.secret_file !~ '^/' then
        raise exception 'secret_file of webhook target "%" must be an absolute path', new.origin using errcode = 'check_violation';
    end if;
    if new.role is null then
        new.role_id := null;
    elsif tg_op = 'INSERT' or new.role is distinct from old.role then
        new.role_id := (select r.oid from pg_roles r where r.rolname = new.role);
        if new.role_id is null then
            raise exception 'role "%" does not exist', new.role using errcode = 'undefined_object', hint = 'See: select rolname from pg_roles;';
        end if;
    end if;
    if new.enabled then
        new.disabled_at := null;
        new.disabled_because := null;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.webhook_target_validate() is
    'API: private. Trigger: an origin is spelt as origins are compared; who is named keeps the right when he is renamed';

create function marketing_automation_internal.webhook_target_guard() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Whoever writes here has files read, and lets customers' data leave for a host of their choice.
    if not (select r.rolsuper or r.oid = c.relowner from pg_roles r, pg_class c where r.rolname = current_user and c.oid = tg_relid) then
        raise exception 'must be superuser to write marketing_automation.webhook_target' using errcode = 'insufficient_privilege';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation_internal.webhook_target_guard() is 'API: private. Trigger: only superusers list targets';

create trigger guard before insert or update or delete on marketing_automation.webhook_target
    for each row execute function marketing_automation_internal.webhook_target_guard();

create trigger validate before insert or update on marketing_automation.webhook_target
    for each row execute function marketing_automation_internal.webhook_target_validate();

create function marketing_automation_internal.webhook_target_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring() then
        -- What is claimed is looked at again, and what waited may leave.
        perform marketing_automation_internal.revoke_claims_of('all', '');
        perform marketing_automation_internal.notify_mailer();
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.webhook_target_changed() is 'API: private. Trigger: the mailer looks again';

create trigger changed after insert or update or delete on marketing_automation.webhook_target
    for each statement execute function marketing_automation_internal.webhook_target_changed();

create function marketing_automation_internal.disable_targets(origins text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update marketing_automation.webhook_target t
    set enabled = false, disabled_at = statement_timestamp(), disabled_because = 'it answered 410 Gone'
    where t.origin = any (origins) and t.enabled
      -- Or one team could stop the webhooks of another by an address that is gone: many share the host of a chat.
      and (select count(distinct s.owner_id) from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
           where marketing_automation_internal.webhook_target_of(a.url) = t.origin) <= 1;
end $$;
comment on function marketing_automation_internal.disable_targets(text[]) is
    'API: private. Notes that targets want no messages any more, as they have answered 410; not of those that activities of several owners use';

create function marketing_automation_internal.start_after_refusal(records bigint[], activities integer[], at timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    children integer[];
begin
    if records is null then
        return;
    end if;
    children := marketing_automation_internal.lock_children(activities);
    perform marketing_automation_internal.write_children(array_agg(u.record_id), array_agg(c.id), array_agg(start_after_refusal.at))
    from unnest(records, activities) as u (record_id, activity_id)
    join marketing_automation.activity c on c.parent_id = u.activity_id and c.id = any (children) and c.on_event = 'webhook_failed'
    having count(*) > 0;
end $$;
comment on function marketing_automation_internal.start_after_refusal(bigint[], integer[], timestamptz) is
    'API: private. Starts what follows webhooks that have failed for good: children on webhook_failed';

create view marketing_automation.webhook_target_status with (security_barrier) as
select t.origin, case when not t.enabled then 'disabled' when u.paused_until is not null then 'out of reach' else 'ready' end as state,
       t.role, t.secret_file is not null as is_signed, t.is_private, u.paused_until, u.last_error, u.last_error_at,
       case when u.sent_until > statement_timestamp() then u.sent else 0 end as taken_today, t.disabled_at, t.disabled_because
from marketing_automation.webhook_target t
left join marketing_automation_internal.smtp_usage u on u.server = t.origin
where t.role is null or coalesce(pg_has_role(t.role_id, 'MEMBER'), false)
   or (select v.reads_every from marketing_automation_internal.reader v);
comment on view marketing_automation.webhook_target_status is
    'API: public. The targets of webhooks that you may use, and how each is doing: ready, out of reach (tried again at paused_until; its '
    'messages wait), or disabled; its last error; messages it has taken today, on the day of database_time_zone()';

create function marketing_automation_internal.webhook_health()
returns table (name text, status text, message text, hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'webhook_targets', case when count(*) filter (where not t.enabled or u.paused_until is not null) > 0 then 'warning' else 'ok' end,
        coalesce(string_agg(t.origin || ' is ' || case when t.enabled then 'out of reach: ' || coalesce(u.last_error, 'no reason given')
                else 'disabled' || coalesce(': ' || t.disabled_because, '') end, ', ' order by t.origin)
            filter (where not t.enabled or u.paused_until is not null), format('%s ready', count(*))),
        case when count(*) filter (where not t.enabled or u.paused_until is not null) > 0
            then 'select * from marketing_automation.webhook_target_status;' end
    from marketing_automation.webhook_target t
    left join marketing_automation_internal.smtp_usage u on u.server = t.origin
    having count(*) > 0
$$;
comment on function marketing_automation_internal.webhook_health() is
    'API: private. Check of health() about the targets of webhooks, where there are any';
