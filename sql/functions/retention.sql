-- Retention and erasure.

create function marketing_automation.purge_messages(older_than interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Who reads a partition for long must not hold up those who wait behind the lock that truncating needs.
set lock_timeout = '1s'
as $$
declare
    -- Hours: days differ where clocks are changed.
    span constant interval := interval '720 hours';
    partition record;
    messages bigint;
    purged bigint := 0;
begin
    if older_than is null or older_than not between interval '0' and 38 * span then
        raise exception 'older_than must be between 0 and 1140 days, not %', older_than
            using errcode = 'invalid_parameter_value', hint = 'purge_messages(''90 days'') removes those that ended before.';
    end if;
    -- A partition holds the mails of the last turn that its number had, and of earlier ones.
    for partition in
        select c.oid::regclass as name, to_timestamp(0) + span * (n.turn + 1) as until
        from generate_series(floor(extract(epoch from statement_timestamp() - 39 * span) / extract(epoch from span))::bigint,
                             floor(extract(epoch from statement_timestamp()) / extract(epoch from span))::bigint) as n (turn)
        join pg_inherits i on i.inhparent = 'marketing_automation_internal.message_log'::regclass
        join pg_class c on c.oid = i.inhrelid and c.relname =
            format('message_log_%s', marketing_automation_internal.log_bucket(to_timestamp(0) + span * n.turn))
        order by n.turn
    loop
        continue when partition.until > statement_timestamp() - older_than;
        begin
            execute format('select count(*) from %s', partition.name) into messages;
            if messages > 0 then
                execute format('truncate %s', partition.name);
                purged := purged + messages;
            end if;
        exception when lock_not_available then
            raise notice '% is in use and stays until the next time', partition.name;
        end;
    end loop;
    delete from marketing_automation_internal.attempt_log t
    where t.ended_at < statement_timestamp() - older_than
      and not exists (select from marketing_automation_internal.outbox o where o.id = t.message_id);
    -- Before their rows in message_log, which may stay for 30 days more.
    delete from marketing_automation_internal.browser_mail v where v.sent_at < statement_timestamp() - older_than;
    -- Nobody confirms what is older: see confirmable().
    delete from marketing_automation.subscription_request q where q.requested_at < statement_timestamp() - interval '30 days';
    return purged;
end $$;
comment on function marketing_automation.purge_messages(interval) is
    'API: public. Removes mails that ended longer ago than that (0 to 1140 days), by whole partitions of 30 days, so that a mail may '
    'stay 30 days more; with them their attempts. Counts and links stay. Returns how many; the mailer does this every hour where '
    'marketing_automation.message_retention is set';

create function marketing_automation_internal.holds_address(value text, needles text[]) returns boolean
language sql immutable parallel safe
return exists (select from unnest(needles) as n (needle) where position(n.needle in marketing_automation_internal.lower_case(value)) > 0);
comment on function marketing_automation_internal.holds_address(text, text[]) is
    'API: private. Whether the address of a person stands anywhere in a text; needles: how it is written';

create function marketing_automation_internal.names_address(value text, address text) returns boolean
language sql immutable parallel safe
-- ann@shop.example is no part of joann@shop.example.
return position(address in marketing_automation_internal.lower_case(value)) > 0 and
    marketing_automation_internal.lower_case(value) ~ (
    '(^|[^[:alnum:]._%+-])' || regexp_replace(address, '([^[:alnum:]])', '\\\1', 'g') || '($|[^[:alnum:].-])');
comment on function marketing_automation_internal.names_address(text, text) is
    'API: private. Whether an address, in lower case, stands by itself in a text: as whole of it, or between characters of no address';

create function marketing_automation_internal.erase_mails(mails bigint[], needles text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
begin
    with ended as (
        delete from marketing_automation_internal.outbox o where o.id = any (mails) returning o.*
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
        select e.activity_id, marketing_automation_internal.counter_period(e.created_at), count(*) from ended e
            where e.record_id is not null group by 1, 2
    )
    insert into marketing_automation_internal.message_log (id, record_id, activity_id, key, email, context, track_opens, track_clicks,
        created_at, state, attempts, finished_at, target)
    select e.id, e.record_id, e.activity_id, e.key, '', '{}', e.track_opens, e.track_clicks, e.created_at, 'suppressed', e.attempts,
        statement_timestamp(), e.target from ended e;
    update marketing_automation_internal.message_log l
    set key = case when marketing_automation_internal.holds_address(l.key, needles) then '' else l.key end,
        party = case when marketing_automation_internal.holds_address(l.party, needles) then null else l.party end,
        email = '', recipient_name = null, language = null, time_zone = null, context = '{}', smtp_reply = null, addresses = null
    where l.id = any (mails);
    update marketing_automation_internal.attempt_log t set reply = null where t.message_id = any (mails);
    delete from marketing_automation_internal.browser_mail v where v.message_id = any (mails);
    perform marketing_automation_internal.drop_files(mails);
end $$;
comment on function marketing_automation_internal.erase_mails(bigint[], text[]) is
    'API: private. Erases whom these mails were to, and ends those under way. needles: how the address is written in keys and parties';

create function marketing_automation_internal.mails_of_address(hash bytea)
    returns table (id bigint, record_id bigint, is_party boolean, is_recipient boolean)
language sql stable rows 100 set search_path = pg_catalog, pg_temp as $$
    select m.id, m.record_id, m.is_party, m.is_recipient
    from (
        select m.id, m.record_id, marketing_automation.address_hash(m.email) = mails_of_address.hash as is_recipient,
            coalesce(marketing_automation.address_hash(marketing_automation_internal.party_address(m.email, m.addresses)) = mails_of_address.hash,
                false) as is_party
        from (
            select o.id, o.record_id, o.email, o.addresses from marketing_automation_internal.outbox o
            union all
            select l.id, l.record_id, l.email, l.addresses from marketing_automation_internal.message_log l) m
        where m.email <> '') m
    where m.is_party or m.is_recipient
$$;
comment on function marketing_automation_internal.mails_of_address(bytea) is
    'API: private. The mails of an address, by its digest: is_party, those about who has it; is_recipient, those that went to it';

create function marketing_automation_internal.forget_copies(hash bytea, needles text[]) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    mails bigint[];
begin
    -- They still go to the others, or went there.
    with queued as (
        update marketing_automation_internal.outbox o set addresses = marketing_automation_internal.forgotten_copies(o.addresses, hash)
        where o.addresses is not null and marketing_automation_internal.forgotten_copies(o.addresses, hash) <> o.addresses returning o.id
    ), ended as (
        update marketing_automation_internal.message_log l set addresses = marketing_automation_internal.forgotten_copies(l.addresses, hash),
            smtp_reply = case when not marketing_automation_internal.holds_address(l.smtp_reply, needles) then l.smtp_reply end
        where l.addresses is not null and marketing_automation_internal.forgotten_copies(l.addresses, hash) <> l.addresses returning l.id
    )
    select array(select q.id from queued q union all select e.id from ended e) into mails;
    update marketing_automation_internal.outbox o set smtp_reply = null
    where o.id = any (mails) and marketing_automation_internal.holds_address(o.smtp_reply, needles);
    update marketing_automation_internal.attempt_log t set reply = null
    where t.message_id = any (mails) and marketing_automation_internal.holds_address(t.reply, needles);
    return mails;
end $$;
comment on function marketing_automation_internal.forget_copies(bytea, text[]) is
    'API: private. Erases an address from the copies of mails, which it returns, and what servers have said of it. needles: how it is written';

create function marketing_automation.forget(address text) returns table (messages bigint, records bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    hash bytea := marketing_automation.address_hash(address);
    -- Keys, parties and links may hold the address, in links percent-encoded.
    needles text[] := (
        select array[its.address, replace(its.address, '@', '%40')]
        from (select marketing_automation_internal.lower_case(trim(forget.address)) as address) its);
    whose bigint[] := '{}';
    others bigint[];
    mails bigint[] := '{}';
    more bigint[];
    their_records bigint[];
    -- For whom frequency caps have counted; the log of these mails may be gone.
    persons bytea[] := array[hash];
begin
    perform marketing_automation_internal.demand_some_address(address);
    -- From here on nothing is sent to it, whoever enrolls it again; what another session makes unseen is erased when it is claimed.
    perform marketing_automation_internal.suppress_address(address, 'forgotten');
    -- Again after the locks, as those who held them may have mailed, ended or retried.
    loop
        -- Who gets mails instead of their party does not stand for that.
        select array_agg(m.id), array_agg(distinct m.record_id) filter (where m.is_party) into more, their_records
        from marketing_automation_internal.mails_of_address(hash) m where m.is_party or m.is_recipient;
        others := array(
            select r.id from marketing_automation_internal.record r
            where r.id <> all (whose) and (
                r.id = any (their_records) or marketing_automation_internal.names_address(concat_ws(' ', r.key, r.party, r.occasion), needles[1]))
            order by r.id);
        -- Whose row it is: it enters no more, and the last record has perhaps not mailed yet.
        others := array(
            select o.id from unnest(marketing_automation_internal.records_of_same_rows(others)) as o (id)
            where o.id <> all (whose) order by o.id);
        perform marketing_automation_internal.lock_records(others);
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, blocked)
        select r.scenario_id, marketing_automation_internal.counter_period(r.entered_at), count(*)
        from marketing_automation_internal.record r where r.id = any (others) and r.blocked_at is null group by 1, 2;
        persons := persons || array(
            select marketing_automation_internal.person_hash(r.party, null) from marketing_automation_internal.record r
            where r.id = any (others) and marketing_automation_internal.holds_address(r.party, needles));
        update marketing_automation_internal.record r
        set blocked_at = coalesce(r.blocked_at, statement_timestamp()),
            key = case when marketing_automation_internal.holds_address(r.key, needles) then 'forgotten ' || r.id else r.key end,
            party = case when marketing_automation_internal.holds_address(r.party, needles) then null else r.party end,
            occasion = case when marketing_automation_internal.holds_address(r.occasion, needles) then 'forgotten ' || r.id else r.occasion end
        where r.id = any (others);
        perform marketing_automation_internal.cancel_waiting(r) from unnest(others) as o (r);
        whose := whose || others;
        more := array(
            select unnest(more) union select m.id from marketing_automation.message m where m.record_id = any (whose) and m.email <> '');
        exit when others = '{}' and more = '{}';
        perform marketing_automation_internal.erase_mails(more, needles);
        mails := mails || more;
    end loop;
    mails := array(select unnest(mails) union select m.id from marketing_automation.message m where m.record_id = any (whose));
    -- A test went to somebody else, and whose row it shows nobody knows: all of them.
    delete from marketing_automation_internal.browser_mail v using marketing_automation_internal.message_log l
    where l.record_id is null and v.message_id = l.id;
    update marketing_automation.bounce b set diagnostic = null, raw = null
    where b.address_hash = hash or marketing_automation_internal.holds_address(b.diagnostic, needles) or exists (
        select from unnest(needles) as n (needle) where position(convert_to(n.needle, 'UTF8') in b.raw) > 0);
    update marketing_automation_internal.finished_activity f set error = 'forgotten' where f.record_id = any (whose)
        and f.error is not null;
    update marketing_automation_internal.call_result c set result = 'null' where c.record_id = any (whose);
    delete from marketing_automation_internal.capped_mail m where m.message_id = any (mails) or m.person = any (persons);
    delete from marketing_automation.unsubscription u where marketing_automation_internal.lower_case(u.party) = any (needles);
    -- The digest stays, as in suppression; whose it was goes.
    update marketing_automation_internal.unsubscribed_address u set record_id = null, party = null, spares_party = false
    where u.address_hash = hash or u.record_id = any (whose) or marketing_automation_internal.lower_case(u.party) = any (needles);
    delete from marketing_automation.subscription_request q
    where marketing_automation.address_hash(q.email) = hash or marketing_automation_internal.lower_case(q.party) = any (needles);
    -- Who has left a topic has left it by this address all the same.
    delete from marketing_automation.subscription u
    where u.address_hash = hash and u.state <> 'unsubscribed'
        or u.address_hash is null and marketing_automation_internal.lower_case(u.party) = any (needles);
    update marketing_automation.subscription u set party = null
    where u.party is not null and (u.address_hash = hash or marketing_automation_internal.lower_case(u.party) = any (needles));
    delete from marketing_automation.subscription_log l
    where l.address_hash is null and marketing_automation_internal.lower_case(l.party) = any (needles);
    update marketing_automation.subscription_log l set party = null, record_id = null, user_agent = null
    where l.address_hash = hash or l.record_id = any (whose) or marketing_automation_internal.lower_case(l.party) = any (needles);
    -- Of who never had a record, the party is all that such an event says.
    delete from marketing_automation_internal.event e
    where e.record_id is null and marketing_automation_internal.lower_case(e.party) = any (needles);
    update marketing_automation_internal.event e set party = null
    where e.record_id = any (whose) and marketing_automation_internal.holds_address(e.party, needles);
    update marketing_automation_internal.event e set user_agent = null, address = null
    where e.record_id = any (whose) and (e.user_agent is not null or e.address is not null);
    update marketing_automation_internal.event_inbox e set user_agent = null, address = null where e.record_id = any (whose);
    -- The link still leads to its page; only by its digest it is not found again.
    update marketing_automation.link l set url = regexp_replace(l.url, '[?#].*$', ''),
        digest = sha256(convert_to('forgotten ' || l.id, 'UTF8'))
    where marketing_automation_internal.holds_address(l.url, needles);
    -- A row that raises stands apart again when it is read again, if it is still there.
    delete from marketing_automation_internal.poisonous_row p
    where marketing_automation_internal.holds_address(p.key, needles) or marketing_automation_internal.holds_address(p.error, needles);
    -- Who holds its status is about to write it.
    update marketing_automation.scenario_status s set last_error = 'forgotten'
    where s.scenario_id in (
        select t.scenario_id from marketing_automation.scenario_status t
        where marketing_automation_internal.holds_address(t.last_error, needles) for update skip locked);
    return query select cardinality(mails || marketing_automation_internal.forget_copies(hash, needles))::bigint, cardinality(whose)::bigint;
end $$;
comment on function marketing_automation.forget(text) is
    'API: public. Erases what is kept of a person: address, name, row and codes in mails, networks and user agents of events, keys, '
    'parties, occasions, errors and links that hold the address; nothing more is sent to it. Counts stay, and the digest in suppression. The rows of '
    'your own tables are yours to delete. Returns how many mails and records it was about';
