-- Topics: what is written is checked, and what is claimed is looked at again when a topic begins to forbid it.

create function marketing_automation_internal.topic_objection(topic text, opt_in text, by_party text, by_address text) returns text
language sql stable
return case
    when by_party = 'unsubscribed' or by_address = 'unsubscribed' then format('unsubscribed from topic "%s"', topic)
    when by_party = 'subscribed' or by_address = 'subscribed' then null
    when by_party = 'pending' or by_address = 'pending' then format('subscription to topic "%s" is not confirmed', topic)
    when opt_in = 'none' then null
    else format('not subscribed to topic "%s"', topic) end;
comment on function marketing_automation_internal.topic_objection(text, text, text, text) is
    'API: private. Why a topic forbids a mail, by the states that the party and the address have chosen, null: none; null: it allows it. '
    'The one place of this rule';

create function marketing_automation_internal.withheld(its_topic text, its_party text, its_hash bytea) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.topic_objection(its_topic, (
            select t.opt_in from marketing_automation.topic t where t.name = its_topic), (
            select p.state from marketing_automation.subscription p
            where p.topic = its_topic and p.party = its_party and p.address_hash is null), (
            select a.state from marketing_automation.subscription a where a.topic = its_topic and a.address_hash = its_hash))
    where its_topic is not null
$$;
comment on function marketing_automation_internal.withheld(text, text, bytea) is
    'API: private. Why a topic forbids mails to a party at an address, of which either may be null; null: it does not, or there is no topic';

create function marketing_automation_internal.check_topic(name text, whose text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Nobody deletes it before this is committed.
    perform from marketing_automation.topic t where t.name = check_topic.name for key share;
    if not found and name is not null then
        raise exception 'topic "%"% does not exist', name, coalesce(' of ' || whose, '')
            using errcode = 'undefined_object',
                  hint = marketing_automation_internal.name_hint(name, array(select t.name from marketing_automation.topic t),
                      format('insert into marketing_automation.topic (name, title) values (%L, ''…'');', name));
    end if;
end $$;
comment on function marketing_automation_internal.check_topic(text, text) is
    'API: private. Raises unless a topic exists, or is null, and keeps it until the transaction ends. whose: what names it, null: a caller';

create function marketing_automation_internal.topic_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    in_use_by text;
begin
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.name <> old.name then
        in_use_by := (select s.name from marketing_automation.scenario s where s.topic = old.name order by s.id limit 1);
        if in_use_by is not null then
            raise exception 'topic "%" is in use by scenario "%" and cannot be %', old.name, in_use_by,
                case tg_op when 'DELETE' then 'deleted' else 'renamed' end
                using errcode = 'object_in_use', detail = 'Its mails would go to who has left the topic.',
                      hint = case tg_op
                          when 'DELETE' then format('update marketing_automation.scenario set topic = ''another'' where topic = %L;', old.name)
                          else format('update marketing_automation.topic set title = %L where name = %L;', new.name, old.name) end;
        end if;
        if tg_op = 'UPDATE' and exists (select from marketing_automation.subscription u where u.topic = old.name) then
            raise exception 'topic "%" has subscriptions and cannot be renamed', old.name
                using errcode = 'object_in_use', detail = 'What people have chosen is kept under its name.',
                      hint = format('update marketing_automation.topic set title = %L where name = %L;', new.name, old.name);
        end if;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if not marketing_automation_internal.is_restoring() then
        perform marketing_automation_internal.check_value(new.opt_in, array['none', 'double'], 'opt_in', format('topic "%s"', new.name));
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.topic_validate() is
    'API: private. Trigger: a topic that is in use stays, and keeps the name under which people have chosen';

create function marketing_automation_internal.topic_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'DELETE' then
        delete from marketing_automation.topic_translation t where t.topic = old.name;
        return null;
    end if;
    update marketing_automation.topic_translation t set topic = new.name where t.topic = old.name and new.name <> old.name;
    if new.opt_in = 'double' and old.opt_in <> 'double' then
        -- What is claimed may be for somebody who has never asked for it.
        perform marketing_automation_internal.revoke_claims_of('activity', a.id::text)
        from marketing_automation.scenario s join marketing_automation.activity a on a.scenario_id = s.id where s.topic = new.name;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.topic_changed() is
    'API: private. Trigger: titles go with their topic, and take its name; mails of a topic that has to be asked for are claimed anew';

create function marketing_automation_internal.topic_translation_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring() then
        perform marketing_automation_internal.check_topic(new.topic, 'a translation');
        perform marketing_automation_internal.check_language(new.language, format('translation of topic "%s"', new.topic));
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.topic_translation_validate() is
    'API: private. Trigger: a title is of a topic that exists, in a language';

create function marketing_automation_internal.topic_title(its_name text, its_language text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((
            select t.title from marketing_automation.topic_translation t
            where t.topic = its_name and lower(replace(t.language, '_', '-') collate "C") in (l.tag, split_part(l.tag, '-', 1))
            order by length(t.language) desc limit 1), (
            select t.title from marketing_automation.topic t where t.name = its_name), its_name)
    from (select lower(replace(its_language, '_', '-') collate "C")) as l (tag)
$$;
comment on function marketing_automation_internal.topic_title(text, text) is
    'API: private. What recipients know a topic as, in a language or its variant; null: in none that is known';

create trigger validate before insert or update or delete on marketing_automation.topic
    for each row execute function marketing_automation_internal.topic_validate();

create trigger changed after update or delete on marketing_automation.topic
    for each row execute function marketing_automation_internal.topic_changed();

create trigger validate before insert or update on marketing_automation.topic_translation
    for each row execute function marketing_automation_internal.topic_translation_validate();
