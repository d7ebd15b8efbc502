-- What tracking is ruled by: the keys that sign its tokens, the pages that recipients see.

create table marketing_automation.tracking_key (
    id smallint primary key check (id between 0 and 255),
    secret bytea not null check (octet_length(secret) = 32),
    created_at timestamptz not null unique,
    valid_until timestamptz
);
comment on table marketing_automation.tracking_key is
    'API: private. Secrets that sign tracking tokens; the newest signs, all valid ones verify. Dumped, so that links in sent mails survive a restore';
comment on column marketing_automation.tracking_key.id is 'First byte of every token';
comment on column marketing_automation.tracking_key.valid_until is 'From then on its links lead nowhere; null: for ever';

create view marketing_automation.valid_tracking_key as
select k.id, k.secret, row_number() over (order by k.created_at desc) as position
from marketing_automation.tracking_key k
where k.valid_until is null or k.valid_until > statement_timestamp();
comment on view marketing_automation.valid_tracking_key is 'API: private. The keys that verify; position 1 signs';

create function marketing_automation.rotate_tracking_key(valid_for interval default null) returns smallint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_id smallint;
begin
    if valid_for < interval '0' then
        raise exception 'valid_for must not be negative, but is %', valid_for using errcode = 'invalid_parameter_value';
    end if;
    -- Two at once would take the same id.
    lock table marketing_automation.tracking_key in share row exclusive mode;
    delete from marketing_automation.tracking_key k where k.valid_until <= clock_timestamp();
    update marketing_automation.tracking_key k
    set valid_until = least(k.valid_until, clock_timestamp() + valid_for)
    where valid_for is not null;
    select i.id into new_id
    from generate_series(0, 255) as i (id)
    where not exists (select from marketing_automation.tracking_key k where k.id = i.id)
    -- Not one that was in use just now, of which proxies may still have the old secret.
    order by i.id < coalesce((select k.id from marketing_automation.tracking_key k order by k.created_at desc limit 1), 0), i.id
    limit 1;
    if not found then
        raise exception 'all 256 tracking keys are in use' using errcode = 'configuration_limit_exceeded',
            hint = 'Set valid_until of old ones in marketing_automation.tracking_key; those that have ended make room.';
    end if;
    insert into marketing_automation.tracking_key (id, secret, created_at)
    values (new_id,
            -- Two random uuids hashed: 244 bits from the server's strong random source (PostgreSQL has no random bytes of its own).
            sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')),
            -- The newest signs, even if the clock was set back.
            greatest(clock_timestamp(), (select max(k.created_at) + interval '1 microsecond' from marketing_automation.tracking_key k)));
    return new_id;
end $$;
comment on function marketing_automation.rotate_tracking_key(interval) is
    'API: public. Makes a new key, with which the links of mails are signed from then on (the mailer notices within a minute), and returns its id. '
    'Links signed with the old keys work for valid_for more; null: for ever. 0 ends them at once, as is needed only when a secret has leaked';

create function marketing_automation.tracking_keys() returns table (id smallint, secret bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from marketing_automation.valid_tracking_key) then
        -- Two at once: the second waits here, and then has a second key, which does no harm.
        perform marketing_automation.rotate_tracking_key();
    end if;
    return query select k.id, k.secret from marketing_automation.valid_tracking_key k order by k.position;
end $$;
comment on function marketing_automation.tracking_keys() is
    'API: proxy. Keys that sign and verify tracking tokens, the signing one first; makes one where there is none, or all have ended';

create table marketing_automation.page (
    name text not null check (name in ('unsubscribe', 'unsubscribed', 'resubscribed')),
    language text not null default '' check (language ~ '^([A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*)?$'),
    body text not null,
    primary key (name, language)
);
comment on table marketing_automation.page is
    'API: public. Pages of your own around unsubscribing, instead of the built-in ones; the proxy notices within seconds';
comment on column marketing_automation.page.name is
    'unsubscribe: what a link in a mail opens; unsubscribed: what follows; resubscribed: after the undo';
comment on column marketing_automation.page.language is 'BCP 47 or POSIX language tag, fr falls in for fr-CA; empty: for all languages without a page of their own';
comment on column marketing_automation.page.body is
    'minijinja template of a whole HTML document. Variables: form (the built-in form, which pages other than resubscribed must show), scenario, language, '
    'direction (ltr or rtl), unsubscribed, everything, text (the built-in texts by name). Scripts do not run in it';

create table marketing_automation.page_text (
    language text not null check (language ~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$'),
    name text not null check (name in (
        'title', 'question', 'which', 'this_kind', 'everything', 'button', 'done', 'effect', 'effect_everything', 'already', 'mistake',
        'again', 'leave_everything', 'resubscribed', 'resubscribed_effect', 'not_found', 'check_link', 'unavailable', 'try_later')),
    text text not null check (text <> '' and length(text) <= 1000),
    primary key (language, name)
);
comment on table marketing_automation.page_text is
    'API: public. Texts of the built-in pages in your own words, or in a language that is not built in (en, fr, de, es, it, nl, pt, pl and ar are)';
comment on column marketing_automation.page_text.name is 'Which text: see docs/tracking.md';
comment on column marketing_automation.page_text.text is 'Plain text; {} stands for the title of the scenario';

create function marketing_automation.page_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation.is_restoring() then
        perform marketing_automation.check_page(format('page "%s"', concat_ws(' ', new.name, nullif(new.language, ''))), new.body, new.name <> 'resubscribed');
    end if;
    return new;
end $$;
comment on function marketing_automation.page_validate() is 'API: private. The template compiles, and shows the form without which nobody could unsubscribe';

create trigger validate before insert or update on marketing_automation.page
    for each row execute function marketing_automation.page_validate();

create function marketing_automation.page_sources() returns table (is_template boolean, name text, language text, source text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select true, p.name, p.language, p.body from marketing_automation.page p
    union all
    select false, t.name, t.language, t.text from marketing_automation.page_text t
$$;
comment on function marketing_automation.page_sources() is 'API: proxy. Pages and texts that replace the built-in ones';

create table marketing_automation.robot_rule (
    name text primary key check (name <> ''),
    kind text not null check (kind in ('method', 'user_agent', 'network', 'burst', 'speed', 'hidden_link')),
    pattern text,
    links integer check (links > 1),
    within interval check (within > interval '0' and within <= interval '30 days'),
    is_enabled boolean not null default true,
    note text,
    is_shipped boolean not null default false,
    constraint robot_rule_fits_kind check (
        (kind in ('method', 'user_agent', 'network')) = (pattern is not null)
        and (kind in ('burst', 'speed', 'hidden_link')) = (within is not null) and (kind = 'burst') = (links is not null))
);
comment on table marketing_automation.robot_rule is
    'API: public. By what an open or click is known to be a robot''s; change it, then have the past judged again by reclassify_events()';
comment on column marketing_automation.robot_rule.kind is
    'method: HTTP method is pattern; user_agent: matches the regular expression pattern, whatever the case; network: comes from the network pattern (CIDR); '
    'burst: that many links of one mail within that time; speed: within that time of sending; hidden_link: within that time of a click on the hidden link of its mail';
comment on column marketing_automation.robot_rule.note is 'Why, and where that is documented';
comment on column marketing_automation.robot_rule.is_shipped is 'As the extension has shipped it; false once you have changed it, and then dumped';

insert into marketing_automation.robot_rule (name, kind, pattern, links, within, is_enabled, note, is_shipped) values
    ('head', 'method', 'HEAD', null, null, true, 'Asks where a link leads without following it (RFC 9110, section 9.3.2): link checkers and scanners', true),
    ('prefetch', 'method', 'PREFETCH', null, null, true, 'Loaded in advance, before anybody has asked for it: Sec-Purpose (Fetch Standard), Purpose, X-Purpose or X-Moz says so', true),
    ('apple_mail_privacy', 'user_agent', '^mozilla/5\.0$', null, null, true,
     'Apple Mail Privacy Protection loads images through its own servers, read or not, with this bare name: support.apple.com/guide/iphone/iphf084865c7', true),
    ('crawler', 'user_agent', 'bot\M|bot/|crawl|spider|slurp|facebookexternalhit|whatsapp/|skypeuripreview|microsoftpreview|bingpreview|bitlybot|headlesschrome|phantomjs', null, null, true,
     'Crawlers and link previews, by the names that they give themselves', true),
    ('scanner', 'user_agent', 'proofpoint|mimecast|barracuda|symantec|messagelabs|trendmicro|fireeye|forcepoint|cloudmark|virustotal|urlscan|safelinks|\(compatible; ms-office', null, null, true,
     'Security products that open mails and follow their links before the recipient does, and Office, which looks at a link before it opens the browser; Outlook itself has its own name before ms-office', true),
    ('program', 'user_agent', '^(curl|wget|python|go-http-client|java/|okhttp|apache-httpclient|libwww|axios|node-fetch|ruby|php|guzzle|aiohttp|postman|powershell)', null, null, true,
     'HTTP libraries: nobody reads mails with them', true),
    ('all_links', 'burst', null, 3, '5 seconds', true, 'Nobody follows three different links of a mail in five seconds; scanners follow all', true),
    ('hidden_link', 'hidden_link', null, null, '10 seconds', true, 'No person sees the link that the setting hidden_link adds; what follows it follows all', true),
    ('at_once', 'speed', null, null, '2 seconds', false, 'Scanners at the recipient''s gate look at a mail when it arrives. Off: some people are fast, and clocks differ', true),
    ('gmail_image_proxy', 'user_agent', 'googleimageproxy', null, null, false,
     'Off: Gmail''s proxy loads an image when the mail is opened, and tells the sender that: support.google.com/mail/answer/145919', true),
    ('yahoo_image_proxy', 'user_agent', 'yahoomailproxy', null, null, false, 'Off: as Gmail''s', true);

create function marketing_automation.robot_rule_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.kind = 'user_agent' then
        -- An invalid expression is its author's error, and not that of every hit.
        perform '' ~* new.pattern;
    elsif new.kind = 'network' and masklen(new.pattern::cidr) > masklen(marketing_automation.address_prefix(new.pattern::inet)) then
        -- As of an address that is all that is known: see address_prefix().
        raise exception 'network % is narrower than what is kept of an address', new.pattern
            using errcode = 'invalid_parameter_value', hint = 'It must be at least a /24 of IPv4 or a /48 of IPv6.';
    elsif new.kind = 'method' and new.pattern not in ('GET', 'HEAD', 'POST', 'PREFETCH') then
        raise exception 'method % does not exist', new.pattern
            using errcode = 'invalid_parameter_value', hint = 'It is GET, HEAD, POST or PREFETCH.';
    end if;
    if tg_op = 'UPDATE' then
        new.is_shipped := false;
    else
        -- A dump has the rules that were changed; CREATE EXTENSION has just made them as they are shipped.
        delete from marketing_automation.robot_rule r where r.name = new.name and r.is_shipped;
    end if;
    return new;
end $$;
comment on function marketing_automation.robot_rule_validate() is 'API: private. Patterns are valid; a changed rule is no shipped one, and takes its place when a dump is restored';

create trigger validate before insert or update on marketing_automation.robot_rule
    for each row execute function marketing_automation.robot_rule_validate();
