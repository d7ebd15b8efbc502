-- Mails in a browser: what browser_url leads to, rendered again from what is kept of a mail.

create function marketing_automation_internal.note_browser_use(activities integer[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    activity marketing_automation.activity;
begin
    delete from marketing_automation_internal.browser_activity b
    where not exists (select from marketing_automation.activity a where a.id = b.activity_id);
    for activity in
        select a.* from marketing_automation.activity a
        where a.action = 'send_email' and a.id in (
            select marketing_automation_internal.sending_activity(v) from marketing_automation.activity v where v.id = any (activities))
    loop
        -- Mails that were sent before keep what they have.
        if marketing_automation_internal.use_browser_url(marketing_automation_internal.mail_texts(activity)) then
            insert into marketing_automation_internal.browser_activity (activity_id)
            select activity.id union select v.id from marketing_automation_internal.variants(activity.id) v
            on conflict do nothing;
        else
            delete from marketing_automation_internal.browser_activity b
            where b.activity_id = activity.id
                or b.activity_id in (select v.id from marketing_automation_internal.variants(activity.id) v);
        end if;
    end loop;
end $$;
comment on function marketing_automation_internal.note_browser_use(integer[]) is
    'API: private. Notes which of these activities, and of the variants of each, have browser_url in their templates, translations or '
    'snippets: what their mails are made of is kept when they have been sent';

create function marketing_automation_internal.shown_until(sent_at timestamptz) returns timestamptz
language sql stable
return sent_at + marketing_automation_internal.setting('browser_url_validity')::interval;
comment on function marketing_automation_internal.shown_until(timestamptz) is
    'API: private. Until when the browser_url of a mail that was sent at that time shows it';

create function marketing_automation_internal.drop_browser_mails() returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    slice constant integer := 5000;
    dropped bigint[];
begin
    with expired as (
        delete from marketing_automation_internal.browser_mail v
        where v.ctid = any (array(
            select o.ctid from marketing_automation_internal.browser_mail o
            where o.sent_at < statement_timestamp() - marketing_automation_internal.setting('browser_url_validity')::interval
            order by o.sent_at limit slice for update skip locked))
        returning v.message_id
    )
    select array_agg(e.message_id) into dropped from expired e;
    perform marketing_automation_internal.drop_files(dropped) where dropped is not null;
end $$;
comment on function marketing_automation_internal.drop_browser_mails() is
    'API: private. Drops what mails were made of whose browser_url has expired, and their pictures; a part of them where they are many';

create function marketing_automation_internal.mail_for_browser(message_id bigint, record_id bigint, activity_id integer)
    returns table (id bigint, party text, email text, recipient_name text, language text, time_zone text, context jsonb, track_clicks boolean,
        is_shared boolean)
language sql stable rows 1 set search_path = pg_catalog, pg_temp as $$
    select l.id, l.party, marketing_automation_internal.party_address(l.email, l.addresses),
        marketing_automation_internal.party_name(l.recipient_name, l.addresses), l.language, l.time_zone, v.context, l.track_clicks, l.addresses is not null
    from marketing_automation_internal.browser_mail v
    join marketing_automation_internal.message_log l on l.id = v.message_id and l.bucket = v.bucket
    where v.message_id = mail_for_browser.message_id and marketing_automation_internal.shown_until(v.sent_at) > statement_timestamp()
      and l.activity_id = mail_for_browser.activity_id and coalesce(l.record_id, 0) = mail_for_browser.record_id
    union all
    -- Its reader may be quicker than its result, and of a mail in doubt nobody knows whether it has one.
    select o.id, o.party, marketing_automation_internal.party_address(o.email, o.addresses),
        marketing_automation_internal.party_name(o.recipient_name, o.addresses), o.language, o.time_zone, o.context, o.track_clicks, o.addresses is not null
    from marketing_automation_internal.outbox o
    where o.id = mail_for_browser.message_id and marketing_automation_internal.shown_until(o.first_attempt_at) > statement_timestamp()
      and o.activity_id = mail_for_browser.activity_id and coalesce(o.record_id, 0) = mail_for_browser.record_id
$$;
comment on function marketing_automation_internal.mail_for_browser(bigint, bigint, integer) is
    'API: private. What a mail was made of that its browser_url shows, or may have to show in a moment; no row: it shows nothing any more. '
    'record_id: 0 of a test; is_shared: others than its party got it';

create function marketing_automation_internal.pictures_for_browser(of_message bigint, out cids text[], out pictures text[])
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(p.cid order by p.place), '{}'), coalesce(array_agg(format('data:%s;base64,%s', p.type,
        translate(encode(c.content, 'base64'), E'\n', '')) order by p.place), '{}')
    from (
        select f.place, f.cid, f.digest, lower(f.type) as type, sum(f.size) over (order by f.place) as bytes
        from marketing_automation_internal.outbox_file f where f.message_id = of_message and f.cid is not null) p
    join marketing_automation_internal.file_content c on c.digest = p.digest
    -- Each reader gets all of them at once, also who takes them slowly.
    where p.type ~ '^image/[a-z0-9.+-]+$' and p.bytes <= 2 * 1024 * 1024
$$;
comment on function marketing_automation_internal.pictures_for_browser(bigint) is
    'API: private. Pictures that the HTML of a mail shows by their cids, as data URLs: in their order as many as have 2 MB together';

create function marketing_automation.mail_by_token(token text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    shown text;
begin
    select marketing_automation_internal.render_for_browser(m.id, t.record_id, t.activity_id,
        marketing_automation_internal.template_of(t.record_id, t.activity_id), m.context, m.party, m.email, m.recipient_name, m.language,
        m.time_zone, m.track_clicks, m.is_shared, p.cids, p.pictures) into shown
    from marketing_automation_internal.verify_token('browser', mail_by_token.token) t
    cross join lateral marketing_automation_internal.mail_for_browser(t.link_id, t.record_id, t.activity_id) m
    cross join lateral marketing_automation_internal.pictures_for_browser(m.id) p
    limit 1;
    return shown;
exception when others then
    if marketing_automation_internal.is_passing_error(sqlstate) then
        raise;
    end if;
    -- Its templates have changed so that they cannot be rendered from what the mail was made of.
    return null;
end $$;
comment on function marketing_automation.mail_by_token(text) is
    'API: proxy. The HTML of the mail that the token of its browser_url names, rendered once more by its templates as they are now, from what it '
    'was made of; without the image that tells of opens. null: the token is malformed or forged, marketing_automation.browser_url_validity is '
    'over, what the mail was made of has been erased, or its templates do not fit that any more';
