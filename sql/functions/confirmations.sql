-- Double opt-in: who has asked for a topic that has to be confirmed gets a mail of a scenario over subscription_request, and confirms by the
-- button of the page to which its confirm_url leads.

create function marketing_automation_internal.request_confirmation(
    its_topic text, its_party text, its_email text, its_language text, its_source text
) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    -- Whoever types in addresses of others has one mail a day sent to each.
    insert into marketing_automation.subscription_request (topic, party, email, language, source, requested_at)
    select its_topic, its_party, trim(its_email), its_language, its_source, statement_timestamp()
    where trim(its_email) <> '' and not exists (
        select from marketing_automation.subscription_request q
        where lower(q.email collate "C") = lower(trim(its_email) collate "C") and q.topic = its_topic and q.confirmed_at is null
          and q.party is not distinct from its_party and q.requested_at > statement_timestamp() - interval '1 day')
    returning true
$$;
comment on function marketing_automation_internal.request_confirmation(text, text, text, text, text) is
    'API: private. Has a subscription asked about by mail; null: there is no address, or it has been asked within a day';

create function marketing_automation_internal.confirmable(token text, out request marketing_automation.subscription_request, out record_id bigint,
    out activity_id integer, out is_confirmed boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    its record;
begin
    select t.* into its from marketing_automation_internal.verify_token('confirmed', token) t;
    select q.* into request
    from marketing_automation_internal.record r
    join marketing_automation.scenario s on s.id = r.scenario_id
    join marketing_automation.model m on m.name = s.model and m.relation = 'marketing_automation.subscription_request'::regclass
    join marketing_automation.subscription_request q on q.id::text = r.key
    join marketing_automation.topic t on t.name = q.topic
    where r.id = its.record_id and q.requested_at > statement_timestamp() - interval '30 days'
      -- Who has left since has changed their mind, and an old mail does not change it back.
      and not exists (
        select from marketing_automation.subscription u
        where u.topic = q.topic and u.state = 'unsubscribed' and u.at > coalesce(q.confirmed_at, q.requested_at)
          and (u.party = q.party or u.address_hash = marketing_automation.address_hash(q.email)));
    if request.id is not null then
        record_id := its.record_id;
        activity_id := its.activity_id;
        is_confirmed := request.confirmed_at is not null;
    end if;
end $$;
comment on function marketing_automation_internal.confirmable(text, out marketing_automation.subscription_request, out bigint, out integer,
    out boolean) is
    'API: private. The request that a token confirms; null: it was forged, is of a test, is too old, or who asked has left since';

create function marketing_automation.confirm_page(token text) returns table (language text, title text, sender text, is_confirmed boolean)
language sql stable security definer rows 1 set search_path = pg_catalog, pg_temp set jit = off as $$
    select (c.request).language, marketing_automation_internal.topic_title((c.request).topic, (c.request).language),
        marketing_automation_internal.mailbox_of_sender(coalesce(a.sender, marketing_automation_internal.setting('email_from'))), c.is_confirmed
    from marketing_automation_internal.confirmable(token) c
    left join marketing_automation.activity a on a.id = c.activity_id
    where c.record_id is not null
    union all
    -- The link of a test (record 0) shows the page too, and confirms nothing.
    select s.language, s.name, null, false
    from marketing_automation_internal.verify_token('confirmed', token) t
    join marketing_automation.activity a on a.id = t.activity_id join marketing_automation.scenario s on s.id = a.scenario_id
    where t.record_id = 0
$$;
comment on function marketing_automation.confirm_page(text) is
    'API: proxy. What the page that confirms a subscription shows; no row for a token that confirms nothing. Changes nothing';

create function marketing_automation.confirm_by_token(token text, user_agent text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    asked record;
    its marketing_automation.subscription_request;
    hash bytea;
    returned bigint[];
begin
    select c.* into asked from marketing_automation_internal.confirmable(token) c;
    if asked.record_id is null or asked.is_confirmed then
        return false;
    end if;
    its := asked.request;
    perform marketing_automation_internal.lock_record(asked.record_id);
    returned := marketing_automation_internal.return_to_topics(array[its.topic], its.party);
    hash := marketing_automation.address_hash(its.email);
    -- Whoever reads that address has confirmed it: what the address had left before it asked is not left any more.
    perform marketing_automation_internal.set_subscription(its.topic, its.party, w.hash, 'subscribed', 'confirmed', null, asked.record_id,
        asked.activity_id, marketing_automation_internal.kept_user_agent(left(user_agent, 200)))
    from (
        select null::bytea where its.party is not null
        union all (
            select h.hash
            from (select u.address_hash from marketing_automation.subscription u
                  where u.topic = its.topic and u.party = its.party and u.address_hash is not null
                  union select hash where its.party is null or exists (
                      select from marketing_automation.subscription u where u.topic = its.topic and u.address_hash = hash)) as h (hash)
            order by h.hash)) as w (hash);
    perform marketing_automation_internal.restart_late_of_topics(returned, its.party, array[its.topic]);
    update marketing_automation.subscription_request q set confirmed_at = statement_timestamp() where q.id = its.id and q.confirmed_at is null;
    return found;
end $$;
comment on function marketing_automation.confirm_by_token(text, text) is
    'API: proxy. Confirms the subscription that a mail has asked about; whether that is news. Repeating changes nothing';
