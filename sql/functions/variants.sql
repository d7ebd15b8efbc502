-- Variants of one mail: children of an activity that sends, on "variant", which never run themselves. Each record gets one of them in place of
-- its parent's texts, by share, decided when the mail is queued and kept in branch_decision, as branches are; all that follows is the
-- parent's. What a variant leaves out, such as its body, is the parent's.

create function marketing_automation_internal.variants(of_mail integer) returns table (id integer, share numeric)
language sql stable rows 2 set search_path = pg_catalog, pg_temp as $$
    select v.id, v.share from marketing_automation.activity v where v.parent_id = of_mail and v.on_event = 'variant'
$$;
comment on function marketing_automation_internal.variants(integer) is 'API: private. The variants of the mail of an activity';

create function marketing_automation_internal.sending_activity(activity marketing_automation.activity) returns integer
language sql immutable
return case when activity.on_event = 'variant' then activity.parent_id else activity.id end;
comment on function marketing_automation_internal.sending_activity(marketing_automation.activity) is
    'API: private. The activity whose mail has the texts of this one: of a variant its parent, else itself';

create function marketing_automation_internal.contenders(of_activity integer) returns table (id integer, share numeric, is_mail boolean)
language sql stable rows 3 set search_path = pg_catalog, pg_temp as $$
    select a.id, a.share, false from marketing_automation.activity p cross join lateral marketing_automation_internal.alternatives(p.id) a
    where p.id = of_activity and p.branch_by is not null
    union all
    select v.id, v.share, true from marketing_automation_internal.variants(of_activity) v
    union all
    -- Its own texts, which who is in no share gets, unless that one waits for a winner.
    select p.id, 100 - sum(v.share), true
    from marketing_automation.activity p cross join lateral marketing_automation_internal.variants(p.id) v
    where p.id = of_activity and p.metric is null group by p.id having sum(v.share) < 100
$$;
comment on function marketing_automation_internal.contenders(integer) is
    'API: private. What is compared at an activity: its alternatives if it branches, the variants of its mail, and, under its own id, that mail '
    'as it is. is_mail: it is a text of the mail, and no activity of its own';

create function marketing_automation_internal.variant_choice(activity marketing_automation.activity, out ids integer[], out bounds numeric[],
    out winner integer)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select array_agg(v.id order by v.id), array_agg(v.bound order by v.id), case when activity.metric is not null and count(*) > 0 then (
            select e.winner_id from marketing_automation_internal.experiment e where e.activity_id = activity.id) end
    from (select v.id, 100 * sum(v.share) over (order by v.id) as bound from marketing_automation_internal.variants(activity.id) v) v
$$;
comment on function marketing_automation_internal.variant_choice(marketing_automation.activity, out integer[], out numeric[], out integer) is
    'API: private. As share_choice(), of the variants of a mail; ids null: it has none';

create function marketing_automation_internal.check_variant(activity marketing_automation.activity, parent marketing_automation.activity)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if parent.on_event = 'variant' then
        raise exception 'activity "%" cannot follow "%", which is a variant of a mail', activity.name, parent.name using errcode = 'check_violation',
            hint = format('What follows is the same for all variants: parent => %L.', (
                select p.name from marketing_automation.activity p where p.id = parent.parent_id));
    end if;
    if activity.on_event is distinct from 'variant' then
        if activity.action is distinct from 'send_email' and exists (select from marketing_automation_internal.variants(activity.id)) then
            raise exception 'activity "%" must send an e-mail: its mail has variants', activity.name using errcode = 'check_violation',
                hint = 'Delete them before.';
        end if;
        if activity.branch_by is not null and exists (select from marketing_automation_internal.variants(activity.id)) then
            raise exception 'activity "%" cannot branch: its mail has variants', activity.name using errcode = 'check_violation',
                hint = 'Let an activity with action => null follow it, and branch there.';
        end if;
        return;
    end if;
    if parent.action is distinct from 'send_email' or parent.branch_by is not null then
        raise exception 'activity "%" is a variant of "%", which %', activity.name, parent.name,
                case when parent.branch_by is null then 'sends no mail' else 'branches' end
            using errcode = 'check_violation', hint = case when parent.branch_by is null then 'Its parent is the activity whose mail it varies.'
                else 'Let an activity with action => null follow the mail, and branch there.' end;
    end if;
    if activity.action is not null or activity.share is null then
        raise exception 'variant "%" of the mail of "%" %', activity.name, parent.name,
                case when activity.share is null then 'has no share' else 'has an action' end
            using errcode = 'check_violation', hint = 'It has action => null and a share: per cent of those who get the mail.';
    end if;
    if num_nonnulls(activity.condition, activity.delay, activity.at, activity.at_time, activity.wait_until, activity.expires_after,
            activity.send_window, activity.message_class, activity.branch_by, activity.metric, activity.decide_after) > 0 then
        raise exception 'variant "%" of the mail of "%" says when it is sent', activity.name, parent.name using errcode = 'check_violation',
            detail = 'That, to whom and what is measured is the same for all variants.',
            hint = 'It has a sender, a reply_to, headers, a subject, and a body with preheader and text, of which what is null is as in the mail; the rest belongs to its parent.';
    end if;
end $$;
comment on function marketing_automation_internal.check_variant(marketing_automation.activity, marketing_automation.activity) is
    'API: private. Raises unless an activity is fit to be a variant of the mail of its parent, if it is to be one, and neither follows one';

create function marketing_automation_internal.template_texts(of_activity integer)
    returns table (language text, sender text, subject text, body text, reply_to text, preheader text, text text, headers jsonb)
language plpgsql stable rows 3 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return query
        select '', coalesce(a.sender, p.sender), coalesce(a.subject, p.subject), coalesce(a.body, p.body),
            coalesce(a.reply_to, p.reply_to),
            -- They go with the body.
            coalesce(a.preheader, case when a.body is null then p.preheader end), coalesce(a.text, case when a.body is null then p.text end),
            coalesce(a.headers, p.headers)
        from marketing_automation.activity a left join marketing_automation.activity p on a.on_event = 'variant' and p.id = a.parent_id
        where a.id = of_activity
        union all
        -- What a variant has of its own and has not in a language is sent as it is: the mail's translation would be another variant.
        select l.language, coalesce(t.sender, case when a.sender is null then u.sender end),
            coalesce(t.subject, case when a.subject is null then u.subject end), coalesce(t.body, case when a.body is null then u.body end),
            coalesce(t.reply_to, case when a.reply_to is null then u.reply_to end),
            coalesce(t.preheader, case when coalesce(a.preheader, a.body, t.body) is null then u.preheader end),
            coalesce(t.text, case when coalesce(a.text, a.body, t.body) is null then u.text end),
            null::jsonb
        from marketing_automation.activity a left join marketing_automation.activity p on a.on_event = 'variant' and p.id = a.parent_id
        cross join lateral (
            select distinct o.language from marketing_automation.activity_translation o where o.activity_id in (a.id, p.id)) l
        left join marketing_automation.activity_translation t on t.activity_id = a.id and t.language = l.language
        left join marketing_automation.activity_translation u on u.activity_id = p.id and u.language = l.language
        where a.id = of_activity;
end $$;
comment on function marketing_automation_internal.template_texts(integer) is
    'API: private. The texts of the mail of an activity, or of a variant, language empty for its own, then translations';

create function marketing_automation_internal.template_version(of_activity integer) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select a.version + coalesce(p.version, 0)
    from marketing_automation.activity a left join marketing_automation.activity p on a.on_event = 'variant' and p.id = a.parent_id
    where a.id = of_activity
$$;
comment on function marketing_automation_internal.template_version(integer) is
    'API: private. Another number after each change of the texts of an activity, or of a variant and the mail of which it is one';

create function marketing_automation_internal.wait_for_winner(activity marketing_automation.activity, ids integer[], bounds numeric[],
    records bigint[], now timestamptz) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    shared_by integer := marketing_automation_internal.original_activity(activity.id);
    rest bigint[] := array(
        select r.id from marketing_automation_internal.record r
        where r.id = any (records) and r.blocked_at is null and r.end_reason is null
          and ids[1 + width_bucket(marketing_automation_internal.share_point(shared_by, coalesce(r.party, r.key)), bounds)] is null
          and not exists (
            select from marketing_automation_internal.branch_decision d
            where d.record_id = r.id and d.parent_id = activity.id and d.activity_id is not null));
begin
    insert into marketing_automation_internal.branch_decision (record_id, parent_id, activity_id, decided_at)
    select u.id, activity.id, null, now from unnest(rest) as u (id) order by u.id
    on conflict do nothing;
    update marketing_automation_internal.waiting_activity w set at = 'infinity' where w.record_id = any (rest) and w.activity_id + 0 = activity.id;
    return array(select u.id from unnest(records) as u (id) where u.id <> all (rest) order by u.id);
end $$;
comment on function marketing_automation_internal.wait_for_winner(marketing_automation.activity, integer[], numeric[], bigint[], timestamptz) is
    'API: private. Lets due records, which the caller has locked, that are in no share of an experiment wait for the variant that wins; '
    'returns the others. ids, bounds: those of variant_choice()';

create function marketing_automation_internal.give_winning_variant(experiment marketing_automation.activity, winner integer,
    batch_size integer, now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    given integer;
begin
    with rest as materialized (
        select w.record_id from marketing_automation_internal.waiting_activity w
        where w.activity_id = experiment.id and w.at = 'infinity' limit batch_size for update skip locked
    ), decided as (
        update marketing_automation_internal.branch_decision d set activity_id = winner, decided_at = give_winning_variant.now, by_winner = true
        from rest r where d.record_id = r.record_id and d.parent_id = experiment.id and d.activity_id is null
    ), due as (
        update marketing_automation_internal.waiting_activity w set at = give_winning_variant.now
        from rest r where w.record_id = r.record_id and w.activity_id = experiment.id
        returning w.record_id
    )
    select count(*) into given from due;
    return given;
end $$;
comment on function marketing_automation_internal.give_winning_variant(marketing_automation.activity, integer, integer, timestamptz) is
    'API: private. Lets records that wait for the variant of a mail that wins, batch_size of them at most, get the one that has; how many';

create function marketing_automation_internal.template_of(of_record bigint, of_activity integer) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Of a test there is no record.
    select coalesce((
        select d.activity_id from marketing_automation_internal.branch_decision d
        where d.record_id = of_record and d.parent_id = of_activity), of_activity)
$$;
comment on function marketing_automation_internal.template_of(bigint, integer) is
    'API: private. Whose texts the mail of an activity that has variants has for a record: the variant''s that was decided on, or its own';
