-- What people choose of topics: each change in one row and one line of the log, by administrators and by recipients.

create function marketing_automation_internal.set_subscription(
    its_topic text, its_party text, its_hash bytea, new_state text, new_source text, by_role regrole default null,
    of_record bigint default null, of_activity integer default null, agent text default null
) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id bigint;
    before text;
begin
    if its_party is null and its_hash is null then
        return false;
    end if;
    insert into marketing_automation.subscription (topic, party, address_hash, state, source, at)
    select its_topic, its_party, its_hash, new_state, new_source, statement_timestamp() where new_state is not null
    on conflict do nothing;
    if not found then
        select u.id, u.state into its_id, before from marketing_automation.subscription u
        where u.topic = its_topic
          and (its_hash is null and u.address_hash is null and u.party = its_party or u.address_hash = its_hash)
        for update;
        if before is not distinct from new_state then
            return false;
        elsif new_state is null then
            delete from marketing_automation.subscription u where u.id = its_id;
        else
            update marketing_automation.subscription u
            set state = new_state, source = new_source, at = statement_timestamp(), party = coalesce(its_party, u.party) where u.id = its_id;
        end if;
    end if;
    insert into marketing_automation.subscription_log (at, topic, party, address_hash, state_before, state, source, role, record_id, activity_id,
        user_agent)
    values (statement_timestamp(), its_topic, its_party, its_hash, before, new_state, new_source,
        (select r.rolname from pg_roles r where r.oid = by_role), of_record, of_activity, agent);
    return true;
end $$;
comment on function marketing_automation_internal.set_subscription(text, text, bytea, text, text, regrole, bigint, integer, text) is
    'API: private. Has a party, or an address (its_hash is not null), choose: subscribed, pending, unsubscribed, or nothing (null); writes '
    'the log. Whether that is news. The caller holds the records that it concerns';

create function marketing_automation_internal.subscription_to(its_topic text, its_source text) returns marketing_automation.topic
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation.topic;
begin
    if its_topic is null then
        raise exception 'topic must not be null'
            using errcode = 'null_value_not_allowed', hint = 'See: select name, title from marketing_automation.topic;';
    end if;
    perform marketing_automation_internal.check_topic(its_topic, null);
    if length(its_source) > 1000 then
        raise exception 'source has more than 1,000 characters' using errcode = 'string_data_right_truncation';
    end if;
    select t.* into strict result from marketing_automation.topic t where t.name = its_topic;
    return result;
end $$;
comment on function marketing_automation_internal.subscription_to(text, text) is
    'API: private. The topic of that name, for a subscription from this source; raises what is wrong with either';

create function marketing_automation_internal.asked_state(its_topic marketing_automation.topic, confirmed boolean, its_party text, its_hash bytea)
    returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when its_topic.opt_in = 'none' or confirmed or exists (
        select from marketing_automation.subscription u
        where u.topic = its_topic.name and u.state = 'subscribed'
          and (its_hash is null and u.address_hash is null and u.party = its_party or u.address_hash = its_hash))
        then 'subscribed' else 'pending' end
$$;
comment on function marketing_automation_internal.asked_state(marketing_automation.topic, boolean, text, bytea) is
    'API: private. What a party, or an address (its_hash is not null), that asks for a topic is then: subscribed, or pending where that has to '
    'be confirmed and is not';

create function marketing_automation_internal.return_to_topics(topics text[], its_party text) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    records bigint[] := array(
        select r.id from marketing_automation_internal.record r
        join marketing_automation.scenario s on s.id = r.scenario_id and s.topic = any (topics)
        where r.party = its_party and r.blocked_at is null and r.unsubscribed_at is not null
          and not exists (select from marketing_automation.unsubscription u where u.party = r.party and u.scenario_id in (0, r.scenario_id)));
begin
    perform marketing_automation_internal.unblock_records(records);
    return records;
end $$;
comment on function marketing_automation_internal.return_to_topics(text[], text) is
    'API: private. What was cancelled as a party had left one of these topics waits again, unless it has left the scenario, too; the '
    'records, for restart_late_of_topics() when the choice is written';

create function marketing_automation_internal.restart_late_of_topics(returned bigint[], its_party text, topics text[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.restart_late(returned, its_party,
        array(select s.id from marketing_automation.scenario s where s.topic = any (topics)));
$$;
comment on function marketing_automation_internal.restart_late_of_topics(bigint[], text, text[]) is
    'API: private. As restart_late(), of the scenarios of these topics';

create function marketing_automation_internal.subscribe(
    caller regrole, party text, topic text, source text, confirmed boolean, address text, language text
) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its marketing_automation.topic := marketing_automation_internal.subscription_to(topic, source);
    new_state text;
    returned bigint[];
begin
    perform marketing_automation_internal.demand_party(party);
    if address is not null then
        perform marketing_automation_internal.demand_address(address);
    end if;
    new_state := marketing_automation_internal.asked_state(its, confirmed, party, null);
    if new_state = 'subscribed' then
        -- Records first, as whoever leaves by a mail holds the record before the subscription.
        returned := marketing_automation_internal.return_to_topics(array[its.name], party);
    end if;
    perform marketing_automation_internal.set_subscription(its.name, subscribe.party, u.address_hash, new_state,
        coalesce(source, 'subscribe()'), caller)
    from (select null::bytea union all (
        select u.address_hash from marketing_automation.subscription u
        where u.party = subscribe.party and u.topic = its.name and u.address_hash is not null order by 1)) as u (address_hash);
    if new_state = 'subscribed' then
        perform marketing_automation_internal.restart_late_of_topics(returned, party, array[its.name]);
    elsif new_state = 'pending' then
        perform marketing_automation_internal.request_confirmation(its.name, party, address, language, coalesce(source, 'subscribe()'));
    end if;
    return new_state;
end $$;
comment on function marketing_automation_internal.subscribe(regrole, text, text, text, boolean, text, text) is 'API: private. Behind subscribe()';

create function marketing_automation.subscribe(
    party text, topic text, source text default null, confirmed boolean default false, address text default null, language text default null
) returns text
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.subscribe(text, text, text, boolean, text, text) is
    'API: public. Subscribes a party to a topic; so do the addresses by which it had left it. Returns the state: subscribed, or pending where '
    'the topic has to be confirmed (opt_in double). party: value of the model''s party expression, as text; source: where that comes from, '
    'for the log; confirmed: you have the confirmation, as of people whom you import; address, language: where and how a mail asks for it, null: '
    'none does; an address to which no mail can go is an error';

create function marketing_automation_internal.unsubscribe_from(caller regrole, party text, topic text, source text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_party(party);
    return marketing_automation_internal.set_subscription((marketing_automation_internal.subscription_to(topic, source)).name, party, null,
        'unsubscribed', coalesce(source, 'unsubscribe_from()'), caller);
end $$;
comment on function marketing_automation_internal.unsubscribe_from(regrole, text, text, text) is 'API: private. Behind unsubscribe_from()';

create function marketing_automation.unsubscribe_from(party text, topic text, source text default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unsubscribe_from(text, text, text) is
    'API: public. Unsubscribes a party from a topic: none of its records enters a scenario of the topic, what falls due in one is cancelled, '
    'queued mails are suppressed. source: where that comes from, for the log. Whether this is news';

create function marketing_automation_internal.subscribe_address(
    caller regrole, address text, topic text, source text, confirmed boolean, language text
) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    hash bytea := marketing_automation_internal.left_address(address);
    its marketing_automation.topic := marketing_automation_internal.subscription_to(topic, source);
    new_state text;
begin
    new_state := marketing_automation_internal.asked_state(its, confirmed, null, hash);
    perform marketing_automation_internal.set_subscription(its.name, null, hash, new_state, coalesce(source, 'subscribe_address()'), caller);
    if new_state = 'pending' then
        perform marketing_automation_internal.request_confirmation(its.name, null, address, language, coalesce(source, 'subscribe_address()'));
    end if;
    return new_state;
end $$;
comment on function marketing_automation_internal.subscribe_address(regrole, text, text, text, boolean, text) is
    'API: private. Behind subscribe_address()';

create function marketing_automation.subscribe_address(
    address text, topic text, source text default null, confirmed boolean default false, language text default null
) returns text
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.subscribe_address(text, text, text, boolean, text) is
    'API: public. As subscribe(), for an address, whichever rows have it: of people who have no party, or have left by it. Only its digest is '
    'kept, but for a mail that asks for confirmation. What their parties have left they have left all the same';

create function marketing_automation_internal.unsubscribe_address_from(caller regrole, address text, topic text, source text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    hash bytea := marketing_automation_internal.left_address(address);
begin
    return marketing_automation_internal.set_subscription((marketing_automation_internal.subscription_to(topic, source)).name, null, hash,
        'unsubscribed', coalesce(source, 'unsubscribe_address_from()'), caller);
end $$;
comment on function marketing_automation_internal.unsubscribe_address_from(regrole, text, text, text) is
    'API: private. Behind unsubscribe_address_from()';

create function marketing_automation.unsubscribe_address_from(address text, topic text, source text default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unsubscribe_address_from(text, text, text) is
    'API: public. As unsubscribe_from(), for an address, whichever rows have it: its mails are suppressed from the commit on. Only its digest '
    'is kept. Whether this is news';

create function marketing_automation_internal.leave_topic(
    its_topic text, its_party text, its_hash bytea, of_record bigint, of_activity integer, agent text
) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    -- The party first, then the address by which it leaves, as whoever comes back takes them.
    select coalesce(bool_or(marketing_automation_internal.set_subscription(its_topic, w.party, w.hash, 'unsubscribed', 'page', null, of_record,
        of_activity, agent)), false)
    from (select its_party, null::bytea where its_party is not null
          union all select its_party, its_hash where its_hash is not null) as w (party, hash)
    where its_topic is not null
$$;
comment on function marketing_automation_internal.leave_topic(text, text, bytea, bigint, integer, text) is
    'API: private. Has a party leave a topic, and the address to which its mail went: a recipient, on a page. Whether that is news';

create function marketing_automation_internal.undo_choice(
    its_topic text, its_party text, its_hash bytea, of_record bigint, of_activity integer, agent text, only_of text default null
) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    -- From another source, so that it is not taken back in its turn when a browser repeats it.
    select coalesce(bool_or(marketing_automation_internal.set_subscription(u.topic, u.party, u.address_hash, u.state_before, 'page, taken back',
        null, of_record, of_activity, agent)), false)
    from (select u.topic, u.party, u.address_hash, l.state_before
          from marketing_automation.subscription u
          cross join lateral (
              select l.source, l.state_before from marketing_automation.subscription_log l
              where l.topic = u.topic and l.address_hash is not distinct from u.address_hash
                and (u.address_hash is not null or l.party = u.party)
              order by l.id desc limit 1) l
          where u.topic = its_topic and (u.party = its_party or u.address_hash = its_hash) and l.source = 'page'
            and (only_of is null or u.state = only_of)
          order by u.address_hash nulls first) u
$$;
comment on function marketing_automation_internal.undo_choice(text, text, bytea, bigint, integer, text, text) is
    'API: private. Takes back what was chosen on a page last: party and addresses have chosen what they had before; who had not confirmed has '
    'not now. only_of: only what is in this state, null: whatever it is. Whether there was something to take back';
