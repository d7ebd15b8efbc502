-- Frequency caps: in no time of the length of a cap does a person get more mails than it allows. The claim counts, under the lock of
-- capped_claim: what is under way, what was taken, and what may have been, which is known by its result only.

create function marketing_automation_internal.person_hash(party text, email text) returns bytea
language sql immutable
return case when party is not null then sha256(convert_to('party ' || party, 'UTF8')) else marketing_automation.address_hash(email) end;
comment on function marketing_automation_internal.person_hash(text, text) is
    'API: private. Whom a mail counts for: the digest of its party, or of its address if there is none';

create function marketing_automation_internal.precedence(message_class marketing_automation.message_class,
    scenario marketing_automation.scenario) returns integer
language sql immutable
return (message_class).priority * 10000 + (scenario).priority;
comment on function marketing_automation_internal.precedence(marketing_automation.message_class, marketing_automation.scenario) is
    'API: private. What has more of it goes first: by the class, and within it by the scenario';

create function marketing_automation_internal.cap_in_words(cap marketing_automation.frequency_cap) returns text
language sql stable set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
    select format('frequency cap: %s mail%s of class "%s" in %s', cap.mails, case when cap.mails = 1 then '' else 's' end, cap.message_class,
        cap.per)
$$;
comment on function marketing_automation_internal.cap_in_words(marketing_automation.frequency_cap) is
    'API: private. Why a mail waits or is skipped, for people';

create function marketing_automation_internal.capped_mails(mails bigint[], moment timestamptz)
    returns table (id bigint, waits_until timestamptz, reason text, skips boolean)
language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
#variable_conflict use_column
begin
    if mails is null or not exists (select from marketing_automation.frequency_cap) then
        return;
    end if;
    return query
    with candidate as materialized (
        select o.id, o.created_at, o.time_zone, o.person, o.message_class, o.expires_after,
            -- Who gets the last place.
            row_number() over (partition by o.person, o.message_class order by o.precedence desc, o.id) as place
        from (
            select o.id, o.created_at, o.time_zone, marketing_automation_internal.person_hash(o.party,
                    marketing_automation_internal.party_address(o.email, o.addresses)) as person, k.name as message_class,
                a.expires_after, marketing_automation_internal.precedence(k, s) as precedence
            from unnest(mails) as u (id)
            join marketing_automation_internal.outbox o on o.id = u.id and o.record_id is not null and o.target is null
            join marketing_automation.activity a on a.id = o.activity_id
            join marketing_automation.scenario s on s.id = a.scenario_id
            join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
            where exists (select from marketing_automation.frequency_cap f where f.message_class = k.name)) o
    ), counted as materialized (
        -- Each by itself, as a join with all of them would be quadratic wherever it is taken for one of few rows.
        select c.*, (
            select array_agg(t.at order by t.at desc)
            from (
                select case when o.id is null then least(m.at, moment) else moment end as at
                from marketing_automation_internal.capped_mail m
                -- What is under way leaves now, or may.
                left join marketing_automation_internal.outbox o on o.id = m.message_id and o.state = 'sending' and o.attempts = m.attempt
                where m.person = c.person and m.message_class = c.message_class offset 0) t) as times
        from candidate c
    ), wait as materialized (
        -- The mail that has to be that old before one more may leave, of those that are there and those that leave before it in this claim.
        select c.id, c.created_at, c.time_zone, c.expires_after, f as cap,
            case when f.mails < c.place then moment else c.times[(f.mails - c.place + 1)::integer] end + f.per as until
        from counted c
        join marketing_automation.frequency_cap f on f.message_class = c.message_class
    ), longest as (
        select distinct on (w.id) w.id, w.until, w.cap,
            (w.cap).outside = 'skip' or w.until > w.created_at + (w.cap).max_wait
                or w.expires_after is not null
                    and w.until >= marketing_automation_internal.after_delay(w.created_at, w.expires_after, w.time_zone) as skips
        from wait w where w.until > moment
        order by w.id, w.until desc, (w.cap).per desc
    ), skipped as (
        select distinct on (w.id) w.id, w.cap from wait w
        where w.until > moment and ((w.cap).outside = 'skip' or w.until > w.created_at + (w.cap).max_wait)
        order by w.id, (w.cap).per
    )
    select l.id, l.until, marketing_automation_internal.cap_in_words(coalesce(s.cap, l.cap)),
        coalesce(l.skips, false) or s.id is not null
    from longest l left join skipped s on s.id = l.id;
end $$;
comment on function marketing_automation_internal.capped_mails(bigint[], timestamptz) is
    'API: private. Of these mails, which are all that leave at a moment, those over a frequency cap: until when each waits, at least, why, '
    'and whether it is skipped instead. null, tests, mails of other classes: none';

create function marketing_automation_internal.count_capped(mails bigint[], moment timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1
-- A cap that is new has written of everybody who was mailed: statistics from before would have all of it read for each batch.
set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    with leaving as materialized (
        select o.id, o.attempts + (o.state = 'queued')::integer as attempts, marketing_automation_internal.person_hash(o.party,
                    marketing_automation_internal.party_address(o.email, o.addresses)) as person,
            k.name as message_class
        from unnest(mails) as u (id)
        join marketing_automation_internal.outbox o on o.id = u.id and o.record_id is not null
        join marketing_automation.activity a on a.id = o.activity_id
        join marketing_automation.scenario s on s.id = a.scenario_id
        join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
        where exists (select from marketing_automation.frequency_cap f where f.message_class = k.name)
    ), cap as (
        select f.message_class, max(f.per) as per from marketing_automation.frequency_cap f group by f.message_class
    ), over as (
        -- What counts no more, of the same people; so the table does not grow with time.
        delete from marketing_automation_internal.capped_mail m
        where m.ctid = any (array(
            select o.ctid from (select distinct l.person, l.message_class from leaving l) l
            join cap c on c.message_class = l.message_class
            join marketing_automation_internal.capped_mail o on o.person = l.person and o.message_class = l.message_class
                and o.at + c.per < moment
            -- A result may still come for what is under way. A rehearsal removes nothing: it would hold up who claims.
            where moment <= clock_timestamp() and not exists (select from marketing_automation_internal.outbox b
                where b.id = o.message_id and b.state = 'sending' and b.attempts = o.attempt)))
    )
    insert into marketing_automation_internal.capped_mail (message_id, attempt, person, message_class, at)
    select l.id, l.attempts, l.person, l.message_class, moment from leaving l
    on conflict on constraint capped_mail_pkey do update set at = excluded.at;
end $$;
comment on function marketing_automation_internal.count_capped(bigint[], timestamptz) is
    'API: private. Counts attempts that begin, of mails of classes with a frequency cap';

create function marketing_automation_internal.settle_capped(ids bigint[], attempts integer[], states text[], results text[], moment timestamptz)
    returns void
language sql set search_path = pg_catalog, pg_temp set random_page_cost = 1
-- As count_capped().
set enable_hashjoin = off set enable_mergejoin = off
as $$
    with result as materialized (
        select r.id, r.attempt, r.state = 'sent' or coalesce(r.result, r.state) = 'in_doubt' as counts
        from unnest(ids, attempts, states, results) as r (id, attempt, state, result)
    ), counted as (
        update marketing_automation_internal.capped_mail m set at = moment
        from result r where r.counts and m.message_id = r.id and m.attempt = r.attempt
    )
    delete from marketing_automation_internal.capped_mail m
    using result r where not r.counts and m.message_id = r.id and m.attempt = r.attempt
$$;
comment on function marketing_automation_internal.settle_capped(bigint[], integer[], text[], text[], timestamptz) is
    'API: private. What the results of attempts are for frequency caps: what was taken, or may have been, counts from now; what was not, '
    'counts no more';

-- What is written.

create function marketing_automation_internal.frequency_cap_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    perform marketing_automation_internal.check_message_class(new.message_class, 'a frequency cap');
    if not (select c.capped from marketing_automation.message_class c where c.name = new.message_class) then
        raise exception 'mails of class "%" are not capped', new.message_class
            using errcode = 'object_not_in_prerequisite_state', detail = 'Who has caused such a mail waits for it.',
                  hint = format('update marketing_automation.message_class set capped = true where name = %L;', new.message_class);
    end if;
    perform marketing_automation_internal.check_value(new.outside, array['wait', 'skip'], 'outside',
        format('the frequency cap of class "%s"', new.message_class));
    if new.mails < 1 then
        raise exception 'frequency cap of class "%" is of % mails', new.message_class, new.mails
            using errcode = 'check_violation', hint = 'At least 1; to send none: select marketing_automation.pause(); or stop the scenarios.';
    end if;
    if new.per < interval '1 second' or new.per > interval '1 year' then
        raise exception 'frequency cap of class "%" is per %', new.message_class, new.per
            using errcode = 'check_violation', hint = 'per is 1 second to 1 year, such as ''1 day'' or ''7 days''.';
    end if;
    if new.max_wait <= interval '0' or new.max_wait > interval '10 years' then
        raise exception 'max_wait of the frequency cap of class "%" is %', new.message_class, new.max_wait
            using errcode = 'check_violation', hint = 'Leave it null for no limit; outside => ''skip'' is for who waits for nothing.';
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.frequency_cap_validate() is
    'API: private. Trigger: a cap is of a class that may be capped, and lets mails through';

create function marketing_automation_internal.frequency_cap_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        -- What waits may have room now. What is put off by its window or a limit is put off again.
        update marketing_automation_internal.outbox o set due_at = statement_timestamp()
        from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
        where a.id = o.activity_id and coalesce(a.message_class, s.message_class) = old.message_class
          and o.state = 'queued' and o.attempts = 0 and o.due_at > statement_timestamp();
        perform marketing_automation_internal.notify_mailer();
    end if;
    if tg_op = 'DELETE' then
        delete from marketing_automation_internal.capped_mail m
        where not exists (select from marketing_automation.frequency_cap f where f.message_class = m.message_class);
        return null;
    end if;
    -- What has been sent before it was made, or made longer, counts, too.
    insert into marketing_automation_internal.capped_mail (message_id, attempt, person, message_class, at)
    select l.id, l.attempts, marketing_automation_internal.person_hash(l.party,
                    marketing_automation_internal.party_address(l.email, l.addresses)), new.message_class, l.at
    from (
        select m.id, m.attempts, m.party, m.email, m.addresses, m.activity_id, m.sent_at as at from marketing_automation_internal.message_log m
        -- A log of years has partitions that none of this is in.
        where m.bucket = any (array(select distinct marketing_automation_internal.log_bucket(statement_timestamp() - d)
                from generate_series(0, ceil(extract(epoch from new.per) / 86400)::integer + 1) n cross join lateral make_interval(days => n) d))
          and m.sent_at + new.per > statement_timestamp() and m.record_id is not null and m.email <> '' and m.target is null
        union all
        select o.id, o.attempts, o.party, o.email, o.addresses, o.activity_id, statement_timestamp() from marketing_automation_internal.outbox o
        where o.state = 'sending' and o.record_id is not null and o.target is null) l
    join marketing_automation.activity a on a.id = l.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    where coalesce(a.message_class, s.message_class) = new.message_class
    on conflict on constraint capped_mail_pkey do nothing;
    return null;
end $$;
comment on function marketing_automation_internal.frequency_cap_changed() is
    'API: private. Trigger: mails that were sent before there was a cap count, those of a class that has none any more are forgotten, and what '
    'waits is looked at again when a cap is changed or goes';

create trigger validate before insert or update on marketing_automation.frequency_cap
    for each row execute function marketing_automation_internal.frequency_cap_validate();

create trigger changed after insert or update on marketing_automation.frequency_cap
    for each row execute function marketing_automation_internal.frequency_cap_changed();

create trigger deleted after delete on marketing_automation.frequency_cap
    for each row execute function marketing_automation_internal.frequency_cap_changed();
