-- What is kept of a person: the counterpart of forget(), for whoever asks what you know of them (GDPR, article 15).

create function marketing_automation.export_person(address text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    hash bytea := marketing_automation.address_hash(address);
    -- As in forget(): keys, parties and occasions may hold the address.
    needle text := marketing_automation_internal.lower_case(trim(address));
    mails bigint[];
    about bigint[];
    copied bigint[];
    whose bigint[];
    parties text[];
begin
    perform marketing_automation_internal.demand_some_address(address);
    -- Of mails that they get instead of their party, or as a copy: that they got them, and not whom they are about.
    select array_agg(m.id), array_agg(m.id) filter (where m.is_party), array_agg(distinct m.record_id) filter (where m.record_id is not null and m.is_party)
    into mails, about, whose
    from marketing_automation_internal.mails_of_address(hash) m;
    select coalesce(array_agg(m.id), '{}') into copied from (
        select o.id, o.addresses from marketing_automation_internal.outbox o where o.addresses is not null
        union all
        select l.id, l.addresses from marketing_automation_internal.message_log l where l.addresses is not null) m
    where exists (select from marketing_automation_internal.copies_of(m.addresses) c where marketing_automation.address_hash(c.address) = hash);
    select coalesce(array_agg(r.id), '{}'), coalesce(array_agg(distinct r.party) filter (where r.party is not null), '{}')
    into whose, parties
    from marketing_automation_internal.record r
    where r.id = any (whose) or marketing_automation_internal.names_address(concat_ws(' ', r.key, r.party, r.occasion), needle);
    -- All records of these rows: the last has perhaps not mailed yet.
    whose := marketing_automation_internal.records_of_same_rows(whose);
    parties := parties || needle;
    return jsonb_build_object(
        'address', trim(address),
        'records', (
            select coalesce(jsonb_agg(to_jsonb(x) - 'again' || x.again order by x.entered_at, x.scenario), '[]') from (
                select s.name as scenario, r.key, r.party, r.uuid, r.entered_at, r.blocked_at,
                    case when r.run > 1 or r.occasion is not null then jsonb_build_object('run', r.run, 'occasion', r.occasion) else '{}' end
                    as again, (
                    select coalesce(jsonb_agg(case when y.result is null then to_jsonb(y) - 'result' else to_jsonb(y) end
                        order by y.at, y.activity), '[]') from (
                        select a.name as activity, ra.state, ra.outcome, ra.at, ra.finished_at, ra.opened_at, ra.clicked_at,
                               ra.bounced_at, ra.error, ra.result
                        from marketing_automation.record_activity ra
                        left join marketing_automation.activity a on a.id = ra.activity_id
                        where ra.record_id = r.id) y) as activities
                from marketing_automation_internal.record r left join marketing_automation.scenario s on s.id = r.scenario_id
                where r.id = any (whose)) x),
        'messages', (
            select coalesce(jsonb_agg(case when x.attachments is null then to_jsonb(x) - 'attachments' else to_jsonb(x) end
                order by x.created_at, x.id), '[]') from (
                select m.id, a.name as activity, case when m.is_theirs or m.id = any (mails) then m.email else trim(address) end as email,
                       case when m.is_theirs or m.id = any (mails) then m.recipient_name end as recipient_name, m.language, m.time_zone,
                       case when m.is_theirs then coalesce(v.context, m.context) end as context, m.state, m.created_at,
                       m.sent_at, m.server, case when m.is_theirs then m.smtp_reply end as smtp_reply, (
                    -- Of mails under way; of others their pictures, where they are shown in a browser.
                    select jsonb_agg(jsonb_build_object('name', f.name, 'type', f.type, 'content', encode(c.content, 'base64')) order by f.place)
                    from marketing_automation_internal.outbox_file f
                    left join marketing_automation_internal.file_content c on c.digest = f.digest
                    where f.message_id = m.id and m.is_theirs) as attachments
                from (
                    select m.*, coalesce(m.id = any (about), false) or coalesce(m.record_id = any (whose), false) as is_theirs
                    from marketing_automation.message m) m
                left join marketing_automation.activity a on a.id = m.activity_id
                left join marketing_automation_internal.browser_mail v on v.message_id = m.id
                where m.is_theirs or m.id = any (mails) or m.id = any (copied)) x),
        'events', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.occurred_at, x.kind), '[]') from (
                select e.kind, e.occurred_at, a.name as activity, l.url, e.method, e.address, e.user_agent, e.robot
                from marketing_automation_internal.event e
                left join marketing_automation.activity a on a.id = e.activity_id
                left join marketing_automation.link l on l.id = e.link_id
                where e.record_id = any (whose) or e.record_id is null and e.party = any (parties)) x),
        'conversions', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.at), '[]') from (
                select s.name as scenario, c.at, c.value, c.source
                from marketing_automation.conversion c left join marketing_automation.scenario s on s.id = c.scenario_id
                where c.record_id = any (whose)) x),
        'unsubscriptions', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at), '[]') from (
                select u.party, case u.scenario_id when 0 then 'everything' else s.name end as scenario, u.created_at
                from marketing_automation.unsubscription u left join marketing_automation.scenario s on s.id = u.scenario_id
                where u.party = any (parties)
                union all
                select null, case u.scenario_id when 0 then 'everything' else s.name end, u.created_at
                from marketing_automation_internal.unsubscribed_address u
                left join marketing_automation.scenario s on s.id = u.scenario_id
                where u.address_hash = hash) x),
        'subscriptions', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.at, x.topic), '[]') from (
                select u.topic, u.party, u.state, u.source, u.at
                from marketing_automation.subscription u where u.address_hash = hash or u.party = any (parties)
                    or marketing_automation_internal.lower_case(u.party) = needle) x),
        'subscription_log', (
            select coalesce(jsonb_agg(to_jsonb(x) - 'id' order by x.id), '[]') from (
                select l.id, l.at, l.topic, l.party, l.state_before, l.state, l.source, l.user_agent
                from marketing_automation.subscription_log l
                where l.address_hash = hash or l.party = any (parties) or l.record_id = any (whose)
                    or marketing_automation_internal.lower_case(l.party) = needle) x),
        'subscription_requests', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.requested_at, x.topic), '[]') from (
                select q.topic, q.party, q.email, q.language, q.source, q.requested_at, q.confirmed_at
                from marketing_automation.subscription_request q
                where marketing_automation_internal.lower_case(q.email) = needle
                    or marketing_automation.address_hash(q.email) = hash or q.party = any (parties)) x),
        'bounces', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.received_at), '[]') from (
                select b.kind, b.received_at, b.status, b.diagnostic
                from marketing_automation.bounce b where b.address_hash = hash) x),
        'suppression', (
            select to_jsonb(x) from (
                select s.reason, s.since, s.detail from marketing_automation.suppression s where s.address_hash = hash) x));
end $$;
comment on function marketing_automation.export_person(text) is
    'API: public. All that is kept of a person, found as forget() finds it: records and what ran for them, mails with what they were '
    'made of, events, conversions, what was left, what was chosen of topics, bounces, suppression. A superuser''s to call, as forget() is. '
    'The rows of your own '
    'tables are yours to add';
