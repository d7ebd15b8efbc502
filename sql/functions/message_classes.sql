-- Message classes: which one a mail has, and what follows from it.

create function marketing_automation_internal.its_class(activity marketing_automation.activity) returns marketing_automation.message_class
language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.* from marketing_automation.scenario s
    join marketing_automation.message_class c on c.name = coalesce(activity.message_class, s.message_class)
    where s.id = activity.scenario_id
$$;
comment on function marketing_automation_internal.its_class(marketing_automation.activity) is
    'API: private. The class of the mails of an activity: its own, else that of its scenario';

create function marketing_automation_internal.reaches_unsubscribed(scenario_id integer) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from marketing_automation.activity a cross join lateral marketing_automation_internal.its_class(a) c
        where a.scenario_id = reaches_unsubscribed.scenario_id and a.action = 'send_email' and not c.honors_unsubscribe)
$$;
comment on function marketing_automation_internal.reaches_unsubscribed(integer) is
    'API: private. Whether a scenario has mails for who has unsubscribed: then they enter it, too';

create function marketing_automation_internal.honors_unsubscribe(activity marketing_automation.activity) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- What sends nothing is on the way to mails of both kinds.
    select case when activity.action = 'send_email' then (marketing_automation_internal.its_class(activity)).honors_unsubscribe is not false
        else not marketing_automation_internal.reaches_unsubscribed(activity.scenario_id) end
$$;
comment on function marketing_automation_internal.honors_unsubscribe(marketing_automation.activity) is
    'API: private. Whether an activity is cancelled for who has unsubscribed';

-- What is written.

create function marketing_automation_internal.check_message_class(name text, whose text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Nobody deletes it before this is committed.
    perform from marketing_automation.message_class c where c.name = check_message_class.name for key share;
    if not found and name is not null then
        raise exception 'message class "%" of % does not exist', name, whose
            using errcode = 'undefined_object',
                  hint = marketing_automation_internal.name_hint(name, array(select c.name from marketing_automation.message_class c),
                      'See: select name from marketing_automation.message_class;');
    end if;
end $$;
comment on function marketing_automation_internal.check_message_class(text, text) is
    'API: private. Raises unless a class exists, or is null, and keeps it until the transaction ends';

create function marketing_automation_internal.message_class_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    user_of text;
begin
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.name <> old.name then
        -- As a dump is restored, the row that was changed takes the place of the shipped one.
        if marketing_automation_internal.is_restoring() then
            return old;
        end if;
        if old.name in ('marketing', 'transactional', 'internal') then
            raise exception 'message class "%" is one of the extension''s and cannot be %', old.name,
                case tg_op when 'DELETE' then 'deleted' else 'renamed' end
                using errcode = 'object_in_use', hint = 'Change what it means, or make one of your own.';
        end if;
        user_of := coalesce(
            (select format('scenario "%s"', s.name) from marketing_automation.scenario s where s.message_class = old.name order by s.id limit 1),
            (select format('activity "%s"', a.name) from marketing_automation.activity a where a.message_class = old.name order by a.id limit 1),
            (select 'a frequency cap' from marketing_automation.frequency_cap f where f.message_class = old.name limit 1));
        if user_of is not null then
            raise exception 'message class "%" is in use by % and cannot be %', old.name, user_of,
                case tg_op when 'DELETE' then 'deleted' else 'renamed' end
                using errcode = 'object_in_use', detail = 'Nobody would know to whom its mails may go.',
                      hint = case user_of when 'a frequency cap' then
                          format('delete from marketing_automation.frequency_cap where message_class = %L;', old.name)
                          else format('update marketing_automation.%s set message_class = %s where message_class = %L;',
                          split_part(user_of, ' ', 1), case when user_of like 'scenario%' then '''marketing''' else 'null' end, old.name) end;
        end if;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if new.priority not between -1000 and 1000 then
        raise exception 'priority of message class "%" is %', new.name, new.priority
            using errcode = 'check_violation', hint = 'It is a number from -1000, last, to 1000, first; 0 is that of marketing.';
    end if;
    if not marketing_automation_internal.is_restoring() then
        perform marketing_automation_internal.check_send_window(new.send_window, format('message class "%s"', new.name));
    end if;
    if not new.capped and not marketing_automation_internal.is_restoring()
        and exists (select from marketing_automation.frequency_cap f where f.message_class = new.name) then
        raise exception 'message class "%" has a frequency cap', new.name
            using errcode = 'object_in_use',
                  hint = format('delete from marketing_automation.frequency_cap where message_class = %L;', new.name);
    end if;
    new.is_shipped := new.is_shipped and tg_op = 'INSERT' and marketing_automation_internal.is_extension_script();
    if tg_op = 'INSERT' then
        -- A dump has the classes that were changed; CREATE EXTENSION has just made them as they are shipped.
        delete from marketing_automation.message_class c
        where c.name = new.name and c.is_shipped and marketing_automation_internal.is_restoring();
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.message_class_validate() is
    'API: private. A class that is shipped or in use stays; one that was changed takes the place of the shipped one when a dump is restored';

create function marketing_automation_internal.message_class_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed text[];
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    changed := array(
        select n.name from new_class n join old_class o on o.name = n.name
        where (n.honors_unsubscribe, n.bulk_headers, n.send_window) is distinct from (o.honors_unsubscribe, o.bulk_headers, o.send_window));
    if changed <> '{}' then
        perform marketing_automation_internal.follow_class(array(
            select a.id from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
            where coalesce(a.message_class, s.message_class) = any (changed)));
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.message_class_changed() is
    'API: private. Trigger: mails of a class that has come to mean something else are claimed and composed anew';

create function marketing_automation_internal.follow_class(activities integer[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_impersonal(a) from marketing_automation.activity a where a.id = any (activities) order by a.id;
    -- Compiled templates, with which the headers are known, are cached by the version.
    update marketing_automation.activity a set version = a.version + 1 where a.id = any (activities);
    perform marketing_automation_internal.revoke_claims_of('activity', u.id::text) from unnest(activities) as u (id);
    perform marketing_automation_internal.notify_mailer();
end $$;
comment on function marketing_automation_internal.follow_class(integer[]) is
    'API: private. Has the mails of activities, whose class or its meaning has changed, claimed and composed anew';

create function marketing_automation_internal.scenario_class_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.follow_class(array(
        select a.id from marketing_automation.activity a where a.scenario_id = new.id and a.message_class is null));
    return null;
end $$;
comment on function marketing_automation_internal.scenario_class_changed() is
    'API: private. Trigger: mails that have the class of their scenario are claimed and composed anew when it changes';

create function marketing_automation_internal.activity_class_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.revoke_claims_of('activity', new.id::text);
    perform marketing_automation_internal.notify_mailer();
    return null;
end $$;
comment on function marketing_automation_internal.activity_class_changed() is
    'API: private. Trigger: mails of an activity that gets another class are claimed anew; its version says that they are composed anew';

create trigger validate before insert or update or delete on marketing_automation.message_class
    for each row execute function marketing_automation_internal.message_class_validate();

create trigger changed after update on marketing_automation.message_class
    referencing old table as old_class new table as new_class
    for each statement execute function marketing_automation_internal.message_class_changed();
