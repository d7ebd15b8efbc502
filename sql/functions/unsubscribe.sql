-- Unsubscribing and its undo, by administrators and by recipients.

create function marketing_automation_internal.scenario_left(caller regrole, scenario text) returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if scenario is not null then
        return (marketing_automation_internal.scenario_for(caller, scenario, 'operate')).id;
    end if;
    -- It is the mail of all teams, as with a suppressed address.
    if not has_function_privilege(caller, 'marketing_automation.suppress(text, text, text)', 'execute') then
        raise exception 'must have the access "admin" or "operator" to decide about the mail of all scenarios'
            using errcode = 'insufficient_privilege', hint = 'Name a scenario of yours as the second argument.';
    end if;
    return 0;
end $$;
comment on function marketing_automation_internal.scenario_left(regrole, text) is
    'API: private. The id of the scenario that a party leaves or comes back to, 0: every one (null). Raises unless the role '
    'may decide that';

create function marketing_automation_internal.unsubscribe(caller regrole, party text, scenario text)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_scenario integer := marketing_automation_internal.scenario_left(caller, scenario);
begin
    perform marketing_automation_internal.demand_party(party);
    insert into marketing_automation.unsubscription (party, scenario_id, created_at)
    values (unsubscribe.party, its_scenario, statement_timestamp())
    on conflict do nothing;
    if found then
        insert into marketing_automation_internal.event (id, occurred_at, kind, party, scenario_id)
        values (gen_random_uuid(), statement_timestamp(), 'unsubscribed', unsubscribe.party, its_scenario);
    end if;
end $$;
comment on function marketing_automation_internal.unsubscribe(regrole, text, text) is 'API: private. Behind unsubscribe()';

create function marketing_automation.unsubscribe(party text, scenario text default null)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unsubscribe(text, text) is
    'API: public. Unsubscribes a party from a scenario, or from every one (null), also those to come: none of its records enters, '
    'what falls due is cancelled, queued mails are suppressed. party: value of the model''s party expression, as text';

create function marketing_automation_internal.restart_late(unblocked bigint[], its_party text, scenarios integer[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
begin
    -- Batches that were open when the records were unblocked have cancelled more, and have ended, as the deletion waited for them.
    perform marketing_automation_internal.restart_cancelled(unblocked);
    -- Of what somebody else holds by now the next batch decides, or who blocks it has decided. To wait for it here, after the
    -- unsubscription, would be the wrong order.
    perform marketing_automation_internal.unblock_records(array(
        select r.id from marketing_automation_internal.record r
        where r.party = its_party and r.unsubscribed_at is not null and r.blocked_at is null
          and (scenarios is null or r.scenario_id = any (scenarios))
        order by r.id for no key update skip locked));
end $$;
comment on function marketing_automation_internal.restart_late(bigint[], text, integer[]) is
    'API: private. What was cancelled for a party in the moment in which it came back waits again: after its unsubscription is deleted, '
    'or its choice of a topic changed, for the records that were unblocked before, and for others, of these scenarios or of all (null)';

create function marketing_automation_internal.resubscribe(caller regrole, party text, scenario text)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_scenario integer := nullif(marketing_automation_internal.scenario_left(caller, scenario), 0);
    unblocked bigint;
    records bigint[];
begin
    if party is null then
        raise exception 'party must not be null'
            using errcode = 'null_value_not_allowed', hint = 'It is what the party expression of the model gives for the person, as text.';
    end if;
    if its_scenario is not null and exists (
        select from marketing_automation.unsubscription u where u.party = resubscribe.party and u.scenario_id = 0) then
        raise exception 'party "%" is unsubscribed from everything', party
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Resubscribe it to everything first: select marketing_automation.resubscribe(%L);', party);
    end if;
    -- Records first, as whoever leaves by a mail holds the record before the unsubscription.
    records := array(
        select r.id from marketing_automation_internal.record r
        where r.party = resubscribe.party and (r.blocked_at is not null or r.unsubscribed_at is not null)
          and (its_scenario is null or r.scenario_id = its_scenario));
    unblocked := marketing_automation_internal.unblock_records(records);
    with gone as (
        delete from marketing_automation.unsubscription u
        where u.party = resubscribe.party and (its_scenario is null or u.scenario_id = its_scenario)
        returning u.scenario_id
    )
    insert into marketing_automation_internal.event (id, occurred_at, kind, party, scenario_id)
    select gen_random_uuid(), statement_timestamp(), 'resubscribed', resubscribe.party, g.scenario_id from gone g;
    perform marketing_automation_internal.restart_late(records, resubscribe.party,
        case when its_scenario is not null then array[its_scenario] end);
    perform marketing_automation_internal.return_address(null, its_scenario, null, resubscribe.party);
    return unblocked;
end $$;
comment on function marketing_automation_internal.resubscribe(regrole, text, text) is 'API: private. Behind resubscribe()';

create function marketing_automation.resubscribe(party text, scenario text default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.resubscribe(text, text) is
    'API: public. Takes back every unsubscription of a party, or that from one scenario: its records may enter again, and its '
    'blocked ones are unblocked; so do the addresses that left as this party''s. Returns how many were unblocked';

-- By the token of a mail.
create function marketing_automation.unsubscribe_page(token text)
returns table (known boolean, language text, scenario text, has_party boolean, unsubscribed boolean, everything boolean)
language sql security definer rows 1 set search_path = pg_catalog, pg_temp as $$
    select r.id is not null or s.id is not null,
           (select m.language from marketing_automation_internal.message_log m where m.record_id = t.record_id
               and m.activity_id = t.activity_id limit 1),
           case when s.topic is not null then marketing_automation_internal.topic_title(s.topic, (
                   select m.language from marketing_automation_internal.message_log m where m.record_id = t.record_id
                       and m.activity_id = t.activity_id limit 1))
               else coalesce(s.title, s.name) end, r.party is not null or h.address_hash is not null,
           exists (
                select from marketing_automation_internal.record o
                where o.scenario_id = r.scenario_id and o.key = r.key and o.blocked_at is not null) or exists (
                select from marketing_automation.unsubscription u where u.party = r.party and u.scenario_id in (0, r.scenario_id))
               or marketing_automation_internal.has_left(h.address_hash, r.scenario_id, r.party),
           exists (select from marketing_automation.unsubscription u where u.party = r.party and u.scenario_id = 0)
               or marketing_automation_internal.has_left(h.address_hash, 0, r.party)
    from (select 1) as one
    left join marketing_automation_internal.verify_token('unsubscribed', token) t on true
    left join marketing_automation_internal.record r on r.id = t.record_id
    -- The link of a test (record 0) shows the page too, and unsubscribes nobody.
    left join marketing_automation.activity a on t.record_id = 0 and a.id = t.activity_id
    left join marketing_automation.scenario s on s.id = coalesce(r.scenario_id, a.scenario_id)
    left join lateral marketing_automation_internal.mailed_address(r.id, t.activity_id) h (address_hash) on r.id is not null
$$;
comment on function marketing_automation.unsubscribe_page(text) is
    'API: proxy. What the unsubscribe page shows; known is false for a token that is malformed, forged or unknown; has_party: whether it is '
    'known who leaves, a party or an address, so that they can leave everything. Changes nothing';

create function marketing_automation_internal.mailbox_of_sender(sender text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when mailbox_of_sender.sender !~ '[{}]' then mailbox_of_sender.sender
        else marketing_automation_internal.sender_address(mailbox_of_sender.sender) end
$$;
comment on function marketing_automation_internal.mailbox_of_sender(text) is
    'API: private. The mailbox that mails with this template as sender have, or its address if only the name depends on the row; null: '
    'it depends on the row';

create function marketing_automation.unsubscribe_origin(token text) returns table (title text, sender text)
language sql stable security definer rows 1 set search_path = pg_catalog, pg_temp as $$
    select case when s.topic is not null then marketing_automation_internal.topic_title(s.topic, l.tag) else s.title end,
        marketing_automation_internal.mailbox_of_sender(coalesce((
                select t.sender from marketing_automation.activity_translation t
                where t.activity_id = a.id and t.sender is not null
                  and lower(replace(t.language, '_', '-') collate "C") in (l.tag, split_part(l.tag, '-', 1))
                order by length(t.language) desc limit 1),
            a.sender, marketing_automation_internal.setting('email_from')))
    from marketing_automation_internal.verify_token('unsubscribed', token) t
    join marketing_automation.activity a on a.id = t.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    cross join lateral (
        select lower(replace(max(m.language), '_', '-') collate "C") as tag from marketing_automation_internal.message_log m
        where m.record_id = t.record_id and m.activity_id = t.activity_id) l
$$;
comment on function marketing_automation.unsubscribe_origin(text) is
    'API: proxy. Of the mail that a token was in: the title of its topic, or else of its scenario, and its sender where that does not depend on the row. No '
    'row for a token that is malformed or forged, and for an activity that is gone';

create function marketing_automation.unsubscribe_by_token(token text, everything boolean, user_agent text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    verified record;
    leaving marketing_automation_internal.record;
    address bytea;
    is_news boolean;
    address_is_news boolean;
    topic_is_news boolean;
    its_topic text;
begin
    select t.* into verified from marketing_automation_internal.verify_token('unsubscribed', token) t;
    leaving := marketing_automation_internal.lock_record(verified.record_id);
    -- A test's link (record 0) goes where the real one will, and unsubscribes nobody.
    if leaving.id is not null then
        is_news := marketing_automation_internal.block_record(leaving);
        its_topic := (select s.topic from marketing_automation.scenario s where s.id = leaving.scenario_id);
        if everything and leaving.party is not null then
            insert into marketing_automation.unsubscription (party, scenario_id, created_at)
            values (leaving.party, 0, statement_timestamp())
            on conflict do nothing;
            is_news := is_news or found;
        end if;
        address := marketing_automation_internal.mailed_address(leaving.id, verified.activity_id);
        address_is_news := marketing_automation_internal.leave_address(address,
            array[leaving.scenario_id] || case when everything then array[0] end, leaving.id, leaving.party,
            not (select s.unsubscribable from marketing_automation.scenario s where s.id = leaving.scenario_id));
        topic_is_news := marketing_automation_internal.leave_topic(its_topic, leaving.party, address, leaving.id, verified.activity_id,
            marketing_automation_internal.kept_user_agent(left(user_agent, 200)));
        if is_news or address_is_news or topic_is_news then
            insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, user_agent, party, scenario_id)
            select gen_random_uuid(), statement_timestamp(), 'unsubscribed', leaving.id, verified.activity_id,
                marketing_automation_internal.kept_user_agent(left(user_agent, 200)), leaving.party,
                   case when everything and coalesce(leaving.party, address::text) is not null then 0
                       when leaving.party is not null and s.unsubscribable then s.id end
            from marketing_automation.scenario s where s.id = leaving.scenario_id;
        end if;
    end if;
    return (select l.url from marketing_automation.link l where l.id = verified.link_id);
end $$;
comment on function marketing_automation.unsubscribe_by_token(text, boolean, text) is
    'API: proxy. Blocks the record that the token names, and unsubscribes its party where the scenario is unsubscribable, or from '
    'everything; from its topic; the address to which its mail went, too. Repeating changes nothing. Returns the page that the '
    'mail''s author wants shown afterwards';

create function marketing_automation.resubscribe_by_token(token text, user_agent text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    verified record;
    returning_one marketing_automation_internal.record;
    scenarios integer[];
    others bigint[];
    address bytea;
    its_topic text;
begin
    select t.* into verified from marketing_automation_internal.verify_token('unsubscribed', token) t;
    select r.* into returning_one from marketing_automation_internal.record r where r.id = verified.record_id;
    its_topic := (select s.topic from marketing_automation.scenario s where s.id = returning_one.scenario_id);
    -- With the party its other records come back, but for those that were blocked themselves.
    address := marketing_automation_internal.mailed_address(returning_one.id, verified.activity_id);
    -- Null: all.
    scenarios := case when not exists (
            select from marketing_automation.unsubscription u where u.party = returning_one.party and u.scenario_id = 0) then array(
        select s.id from marketing_automation.scenario s where s.id = returning_one.scenario_id or s.topic = its_topic) end;
    others := array(
        select r.id from marketing_automation_internal.record r
        where r.party = returning_one.party and r.id <> returning_one.id and r.blocked_at is null and r.unsubscribed_at is not null
          and (scenarios is null or r.scenario_id = any (scenarios)));
    perform marketing_automation_internal.unblock_records(others || returning_one.id);
    with gone as (
        delete from marketing_automation.unsubscription u
        where u.party = returning_one.party and u.scenario_id in (0, returning_one.scenario_id)
        returning u.scenario_id
    )
    insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, user_agent, party, scenario_id)
    select gen_random_uuid(), statement_timestamp(), 'resubscribed', returning_one.id, verified.activity_id,
        marketing_automation_internal.kept_user_agent(left(user_agent, 200)), returning_one.party, g.scenario_id
    from gone g;
    perform marketing_automation_internal.return_address(
        address, returning_one.scenario_id, returning_one.id, returning_one.party);
    perform marketing_automation_internal.undo_choice(its_topic, returning_one.party, address, returning_one.id, verified.activity_id,
        marketing_automation_internal.kept_user_agent(left(user_agent, 200)), 'unsubscribed');
    perform marketing_automation_internal.restart_late(others || returning_one.id, returning_one.party, scenarios);
end $$;
comment on function marketing_automation.resubscribe_by_token(text, text) is
    'API: proxy. The undo of unsubscribe_by_token(), for the recipient: unblocks the record, and resubscribes its party and the '
    'address to the scenario, its topic, and everything';
