-- The page on which recipients choose topics, by the token of the link that unsubscribes: who may leave may choose. Compiling a query that looks
-- into all partitions of the log takes longer than a reader waits (measured: 0.7 s, against 0.02 s without).

create function marketing_automation_internal.chooser(token text, out record_id bigint, out activity_id integer, out party text,
    out address_hash bytea, out language text, out topic text, out email text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select r.id, t.activity_id, r.party, marketing_automation_internal.mailed_address(r.id, t.activity_id), (
            select m.language from marketing_automation_internal.message_log m where m.record_id = r.id and m.activity_id = t.activity_id limit 1),
        (select s.topic from marketing_automation.scenario s where s.id = coalesce(r.scenario_id, (
            select a.scenario_id from marketing_automation.activity a where a.id = t.activity_id))), (
            select m.email from marketing_automation_internal.message_log m where m.record_id = r.id and m.email <> '' and m.target is null
                and not coalesce(m.addresses ? 'party', false)
            order by (m.activity_id = t.activity_id) is true desc, m.created_at desc limit 1)
    from marketing_automation_internal.verify_token('unsubscribed', token) t
    left join marketing_automation_internal.record r on r.id = t.record_id
    where r.id is not null or t.record_id = 0
$$;
comment on function marketing_automation_internal.chooser(text, out bigint, out integer, out text, out bytea, out text, out text,
    out text) is
    'API: private. Who a token lets choose topics, the language in which their mail was, its topic and its address; record_id null: nobody, or the link of a '
    'test';

create function marketing_automation.preferences(token text)
returns table (topic text, title text, is_wanted boolean, is_pending boolean, is_own boolean)
language sql stable security definer rows 20 set search_path = pg_catalog, pg_temp set jit = off as $$
    select t.name, w.title, marketing_automation_internal.topic_objection(t.name, t.opt_in, p.state, a.state) is null,
        coalesce('pending' in (p.state, a.state) and 'unsubscribed' not in (coalesce(p.state, ''), coalesce(a.state, ''))
            and marketing_automation_internal.topic_objection(t.name, t.opt_in, p.state, a.state) is not null, false),
        coalesce(t.name = c.topic, false)
    from marketing_automation_internal.chooser(token) c
    cross join marketing_automation.topic t
    cross join lateral (select marketing_automation_internal.topic_title(t.name, c.language)) as w (title)
    left join marketing_automation.subscription p on p.topic = t.name and p.party = c.party and p.address_hash is null
    left join marketing_automation.subscription a on a.topic = t.name and a.address_hash = c.address_hash
    -- Of a test there is a record of nobody, and the page can be looked at.
    where c.activity_id is not null and (c.record_id is null or coalesce(c.party, c.address_hash::text) is not null)
    order by w.title, t.name
$$;
comment on function marketing_automation.preferences(text) is
    'API: proxy. The topics that the recipient of a mail may choose, in the language of the mail: whether they get it, whether they have '
    'asked for it and not confirmed, and whether the mail is about it. No row for a token that is malformed, forged or unknown, and for whom '
    'nothing is known by. Changes nothing';

create function marketing_automation_internal.set_choice(
    its_topic text, its_party text, its_hash bytea, new_state text, of_record bigint, of_activity integer, agent text
) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    select coalesce(bool_or(marketing_automation_internal.set_subscription(its_topic, w.party, w.hash, new_state, 'page', null, of_record,
        of_activity, agent)), false)
    from (
        select its_party, null::bytea where its_party is not null
        union all (
            select its_party, h.hash
            from (select u.address_hash from marketing_automation.subscription u
                  where u.topic = its_topic and u.party = its_party and u.address_hash is not null
                  union
                  -- Who comes as a party needs it of the address only where that has chosen otherwise.
                  select its_hash where new_state = 'unsubscribed' or its_party is null or exists (
                      select from marketing_automation.subscription u where u.topic = its_topic and u.address_hash = its_hash)) as h (hash)
            where h.hash is not null order by h.hash)) as w (party, hash)
$$;
comment on function marketing_automation_internal.set_choice(text, text, bytea, text, bigint, integer, text) is
    'API: private. Has a recipient choose of a topic on a page: as a party, with all addresses that it has chosen by, and by that of the mail. '
    'Whether that is news';

create function marketing_automation.choose_by_token(token text, shown text[], wanted text[], user_agent text) returns text[]
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    who record;
    choice record;
    agent text := marketing_automation_internal.kept_user_agent(left(user_agent, 200));
    changed text[] := '{}';
    returned bigint[];
begin
    select c.* into who from marketing_automation_internal.chooser(token) c;
    if who.record_id is null then
        return changed;
    end if;
    -- The record, and those that come back, before what is chosen: as whoever leaves.
    perform marketing_automation_internal.lock_record(who.record_id);
    returned := marketing_automation_internal.return_to_topics(array(
        select p.topic from marketing_automation.preferences(token) p join marketing_automation.topic t on t.name = p.topic and t.opt_in = 'none'
        where p.topic = any (shown) and p.topic = any (wanted) and not p.is_wanted), who.party);
    for choice in
        select p.topic, p.topic = any (wanted) as is_wanted, t.opt_in
        from marketing_automation.preferences(token) p join marketing_automation.topic t on t.name = p.topic
        where p.topic = any (shown) and (p.topic = any (wanted)) <> (p.is_wanted or p.is_pending)
        order by p.topic
    loop
        if marketing_automation_internal.set_choice(choice.topic, who.party, who.address_hash, case
                when not choice.is_wanted then 'unsubscribed' when choice.opt_in = 'double' then 'pending' else 'subscribed' end,
                who.record_id, who.activity_id, agent) then
            changed := changed || choice.topic;
            if choice.is_wanted and choice.opt_in = 'double' then
                perform marketing_automation_internal.request_confirmation(choice.topic, who.party, who.email, who.language, 'page');
            end if;
        end if;
    end loop;
    perform marketing_automation_internal.restart_late_of_topics(returned, who.party, shown);
    return changed;
end $$;
comment on function marketing_automation.choose_by_token(text, text[], text[], text) is
    'API: proxy. Has the recipient of a mail want these of the topics that a page has shown, and not the others of them; what it has not shown '
    'stays, and nothing else is left. A topic that has to be confirmed becomes pending. Returns the topics for which this is news';

create function marketing_automation.undo_choice_by_token(token text, topics text[], user_agent text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    who record;
    returned bigint[];
begin
    select c.* into who from marketing_automation_internal.chooser(token) c;
    if who.record_id is null then
        return;
    end if;
    perform marketing_automation_internal.lock_record(who.record_id);
    returned := marketing_automation_internal.return_to_topics(undo_choice_by_token.topics, who.party);
    perform marketing_automation_internal.undo_choice(t.name, who.party, who.address_hash, who.record_id, who.activity_id,
        marketing_automation_internal.kept_user_agent(left(user_agent, 200)))
    from (select t.name from marketing_automation.topic t where t.name = any (undo_choice_by_token.topics) order by t.name) t;
    perform marketing_automation_internal.restart_late_of_topics(returned, who.party, undo_choice_by_token.topics);
end $$;
comment on function marketing_automation.undo_choice_by_token(text, text[], text) is
    'API: proxy. Takes back what the recipient of a mail has chosen last of these topics, on a page: it becomes what it was before, and who had '
    'not confirmed has not now';
