-- What comes back: bounces and complaints, and refusals that say the same at once.

create function marketing_automation_internal.named_mails(return_paths text[], message_ids text[], unsubscribe_tokens text[])
returns table (record_id bigint, activity_id integer, kind integer, place bigint)
language sql stable rows 1 set search_path = pg_catalog, pg_temp set jit = off as $$
    -- A signed return path, a Message-ID with the record's random uuid, or the signed token of List-Unsubscribe, which stays
    -- where a relay has rewritten the other two: nobody else can name the mail.
    select p.record_id, p.activity_id, 0, u.n
    from unnest(return_paths) with ordinality as u (address, n)
    cross join lateral marketing_automation_internal.verify_return_path(u.address) p
    union all
    select r.id, i.parts[2]::integer, 1, i.n
    from (select regexp_match(lower(u.id), '^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.(\d{1,9})@') as parts, u.n
          from unnest(message_ids) with ordinality as u (id, n)) i
    join marketing_automation_internal.record r on r.id = marketing_automation.record_id(i.parts[1]::uuid) and r.uuid = i.parts[1]::uuid
    union all
    select v.record_id, v.activity_id, 2, u.n
    from unnest(unsubscribe_tokens) with ordinality as u (token, n)
    cross join lateral marketing_automation_internal.verify_token('unsubscribed', u.token) v
$$;
comment on function marketing_automation_internal.named_mails(text[], text[], text[]) is
    'API: private. The mails that these return paths, Message-IDs or tokens of List-Unsubscribe name, those that prove most first by '
    'kind, then place; none of them need be kept any more';

create function marketing_automation_internal.mail_of_bounce(
    return_paths text[], message_ids text[], unsubscribe_tokens text[], under_way boolean
) returns table (message_id bigint, email text, state text, addresses jsonb)
language plpgsql stable rows 1 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
#variable_conflict use_column
begin
    return query
    with mail as materialized (
        select n.record_id, n.activity_id, n.kind, n.place from marketing_automation_internal.named_mails(return_paths, message_ids,
            unsubscribe_tokens) n
    )
    select m.id, m.email, m.state, m.addresses
    from mail f
    cross join lateral (
        select l.id, l.email, l.state, l.addresses from marketing_automation_internal.message_log l
        where not under_way and l.record_id = f.record_id and l.activity_id = f.activity_id
        union all
        select o.id, o.email, o.state, o.addresses from marketing_automation_internal.outbox o
        where under_way and o.attempts > 0 and o.record_id = f.record_id and o.activity_id = f.activity_id) m
    order by f.kind, f.place limit 1;
end $$;
comment on function marketing_automation_internal.mail_of_bounce(text[], text[], text[], boolean) is
    'API: private. The mail that one of these return paths, Message-IDs or tokens of List-Unsubscribe belongs to, none if they prove '
    'nothing: among those that ended, or those under way';

create function marketing_automation_internal.bounced_mailboxes(raw bytea, email text, addresses jsonb, said text)
    returns table (address text, kind text, status text, diagnostic text, is_copy boolean)
language sql stable rows 2 set search_path = pg_catalog, pg_temp as $$
    with mailbox as (
        select bounced_mailboxes.email as address, false as is_copy
        union all select c.address, true from marketing_automation_internal.copies_of(bounced_mailboxes.addresses) c
    ), named as materialized (
        select m.address, r.kind, r.status, r.diagnostic, m.is_copy, r.n
        from marketing_automation_internal.bounced_recipients(raw) with ordinality r (address, kind, status, diagnostic, n)
        join mailbox m on marketing_automation.address_hash(m.address) = marketing_automation.address_hash(r.address)
    )
    select b.address, b.kind, b.status, b.diagnostic, b.is_copy from (
        select * from named
        union all
        -- Notices in prose have no field for it.
        select m.address, null, null, null, m.is_copy, 0 from mailbox m
        where not exists (select from named)
          and position(marketing_automation_internal.lower_case(m.address) in marketing_automation_internal.lower_case(said)) > 0) b
    order by b.is_copy, b.n, b.address
$$;
comment on function marketing_automation_internal.bounced_mailboxes(bytea, text, jsonb, text) is
    'API: private. Which mailboxes of a mail a returned one names, and what it says of each, the recipient first, then copies; none: it '
    'names nobody. said: its diagnostic, for those of which no field tells';

create function marketing_automation_internal.mark_bounced(message_ids bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    mails record;
    records bigint[];
    activities integer[];
begin
    select l.* into mails from marketing_automation_internal.lock_mails(
        array(select m.record_id from marketing_automation_internal.message_log m
              where m.id = any (message_ids) and m.record_id is not null order by m.id),
        array(select m.activity_id from marketing_automation_internal.message_log m
              where m.id = any (message_ids) and m.record_id is not null order by m.id)) l;
    update marketing_automation_internal.message_log m set state = 'bounced' where m.id = any (message_ids) and m.state = 'sent';
    with bounced as (
        -- One id per mail: it bounces once, however often we are told.
        select md5('email_bounced ' || m.id)::uuid as id, m.record_id, m.activity_id,
            (m.record_id, m.activity_id) in (select * from unnest(mails.held_records, mails.held_activities)) as is_ours
        from marketing_automation_internal.message_log m where m.id = any (message_ids) and m.record_id is not null
    ), noted as (
        -- What another session holds is left to who applies events, as bounces of others must not wait for it.
        insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id)
        select b.id, statement_timestamp(), 'email_bounced', b.record_id, b.activity_id from bounced b where not b.is_ours
    ), fresh as (
        insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id)
        select b.id, statement_timestamp(), 'email_bounced', b.record_id, b.activity_id from bounced b where b.is_ours
        on conflict do nothing
        returning event.record_id, event.activity_id
    )
    select array_agg(f.record_id), array_agg(f.activity_id) into records, activities from fresh f;
    if records is not null then
        perform marketing_automation_internal.mark_events(records, activities,
            array_fill('email_bounced'::text, array[cardinality(records)]),
                                                 array_fill(statement_timestamp(), array[cardinality(records)]));
    end if;
end $$;
comment on function marketing_automation_internal.mark_bounced(bigint[]) is
    'API: private. These mails did not arrive: email_bounced starts its children and cancels the opposite ones';

create function marketing_automation_internal.complain(mail_id bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_record marketing_automation_internal.record := marketing_automation_internal.lock_record(
        (select m.record_id from marketing_automation_internal.message_log m where m.id = mail_id));
begin
    insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id)
    select md5('complained ' || m.id)::uuid, statement_timestamp(), 'complained', m.record_id, m.activity_id
    from marketing_automation_internal.message_log m where m.id = mail_id
    on conflict do nothing;
    if its_record.id is not null then
        perform marketing_automation.block(its_record.uuid);
    end if;
end $$;
comment on function marketing_automation_internal.complain(bigint) is
    'API: private. The recipient of this mail marked it as spam: its record is blocked, as if they had unsubscribed';

create function marketing_automation.ingest_bounce(raw bytea, out kind text, out status text, out message bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    its_digest bytea := sha256(raw);
    report record;
    mail record;
    soft_limit integer := marketing_automation_internal.setting('soft_bounce_limit');
    soft_window interval := marketing_automation_internal.setting('soft_bounce_window');
    softs integer;
    -- Whom it is about: the recipient, or one of those who get a copy.
    about record;
    is_of_copy boolean := false;
begin
    if raw is null or raw = '' then
        raise exception 'raw mail must not be empty' using errcode = 'invalid_parameter_value', hint = 'It is the whole mail, headers included, as it came.';
    end if;
    -- What comes again, as a batch does whose answer was lost, costs a look.
    select b.kind, b.status, b.message_id into kind, status, message from marketing_automation.bounce b where b.digest = its_digest;
    if found then
        return;
    end if;
    select r.* into report from marketing_automation_internal.parse_bounce(raw) r;
    for round in 1..30 loop
        -- First among those under way: a mail that has left them is found among those that ended, while one that leaves them between
        -- two looks in the other order would be found by neither.
        select m.* into mail from marketing_automation_internal.mail_of_bounce(report.return_paths, report.message_ids,
            report.unsubscribe_tokens, under_way => true) m;
        if not found then
            select m.* into mail from marketing_automation_internal.mail_of_bounce(report.return_paths, report.message_ids,
                report.unsubscribe_tokens, under_way => false) m;
            exit;
        end if;
        -- The next server may have refused it before ours was done, or before we have recorded that; or it was taken and we do not know it.
        exit when mail.state <> 'sending';
        perform pg_sleep(0.1);
    end loop;
    if mail.addresses ?| array['cc', 'bcc'] and mail.email <> '' and report.kind not in ('unknown', 'auto_reply', 'unsubscribe') then
        select b.* into about
        from marketing_automation_internal.bounced_mailboxes(raw, mail.email, mail.addresses, report.diagnostic) b limit 1;
        if found then
            is_of_copy := about.is_copy;
            mail.email := about.address;
            report.kind := coalesce(about.kind, report.kind);
            report.status := case when about.kind is null then report.status else about.status end;
            report.diagnostic := case when about.kind is null then report.diagnostic else about.diagnostic end;
        end if;
        -- Of others in the same report, that they are dead.
        perform marketing_automation_internal.suppress_address(b.address, 'hard_bounce', b.diagnostic)
        from marketing_automation_internal.bounced_mailboxes(raw, mail.email, mail.addresses, report.diagnostic) b
        where b.is_copy and b.kind = 'hard' and b.address <> mail.email;
    end if;
    insert into marketing_automation.bounce (digest, received_at, kind, status, diagnostic, message_id, address_hash, raw)
    values (its_digest, statement_timestamp(), report.kind, report.status, case when mail.email is distinct from ''
        then report.diagnostic end, mail.message_id, marketing_automation.address_hash(mail.email),
            case when mail.email = '' then null when report.kind = 'unknown' or mail.message_id is null and report.kind not in ('auto_reply', 'unsubscribe')
                then substring(raw for 65536) end)
    on conflict do nothing;
    if not found then
        select b.kind, b.status, b.message_id into kind, status, message from marketing_automation.bounce b where b.digest = its_digest;
        return;
    end if;
    kind := report.kind;
    status := report.status;
    message := mail.message_id;
    if kind = 'unsubscribe' then
        -- What the link in its mail may, and no more; also when the mail is kept no longer.
        perform marketing_automation.unsubscribe_by_token(
            marketing_automation_internal.sign_token('unsubscribed', n.record_id, n.activity_id), false, null)
        from (select m.record_id, m.activity_id from marketing_automation_internal.named_mails(report.return_paths, report.message_ids,
                  report.unsubscribe_tokens) m order by m.kind, m.place limit 1) n;
    end if;
    if message is null then
        return;
    end if;
    -- The suppression before the mail, as forget() and complaints do.
    if mail.email = '' then
        -- The person has been forgotten, and is suppressed as such.
        null;
    elsif kind = 'hard' then
        perform marketing_automation_internal.suppress_address(mail.email, 'hard_bounce', report.diagnostic);
    elsif kind = 'soft' and soft_limit > 0 then
        select count(distinct b.message_id) into softs from marketing_automation.bounce b
        where b.kind = 'soft' and b.address_hash = marketing_automation.address_hash(mail.email)
            and b.received_at > statement_timestamp() - soft_window;
        if softs >= soft_limit then
            perform marketing_automation_internal.suppress_address(mail.email, 'hard_bounce', format('%s soft bounces, the last: %s', softs,
                report.diagnostic));
        end if;
    elsif kind = 'complaint' then
        perform marketing_automation_internal.suppress_address(mail.email, 'complaint', report.diagnostic);
        -- Who gets a mail instead of its party says nothing about that.
        perform marketing_automation_internal.complain(message) where not coalesce(mail.addresses ? 'party', false) and not is_of_copy;
    end if;
    if kind in ('hard', 'soft') and not is_of_copy then
        perform marketing_automation_internal.mark_bounced(array[message]);
    end if;
end $$;
comment on function marketing_automation.ingest_bounce(bytea) is
    'API: public. Takes a raw mail that came back (RFC 3464, RFC 5965, or prose), says what it is (see bounce.kind) and which mail '
    'it is about, null if none was found; about which of several who got it, where it says so: what a copy''s mailbox did is not judged as the '
    'recipient''s. Hard bounces and complaints suppress the address, so do soft_bounce_limit soft ones within '
    'soft_bounce_window; a complaint blocks the record too. A mail to the address of '
    'List-Unsubscribe unsubscribes as its link does, and so does a report with Feedback-Type: unsubscribe. The same mail twice counts once';

create function marketing_automation_internal.record_dead_mailboxes(message_ids bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
begin
    perform marketing_automation_internal.suppress_address(m.email, 'hard_bounce', m.smtp_reply)
    from marketing_automation_internal.message_log m where m.id = any (message_ids) and m.state = 'failed' and m.email <> '' order by m.id;
    perform marketing_automation_internal.mark_bounced(message_ids);
end $$;
comment on function marketing_automation_internal.record_dead_mailboxes(bigint[]) is
    'API: private. The server refused these failed mails because their mailboxes do not exist: as a hard bounce';
