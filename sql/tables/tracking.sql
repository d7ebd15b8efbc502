-- What tracking is ruled by: where links lead, the keys that sign tokens, the pages that recipients see, and what is a robot.

create table marketing_automation.link (
    id bigint generated always as identity primary key,
    digest bytea not null unique check (octet_length(digest) = 32),
    url text not null
);
comment on table marketing_automation.link is
    'API: public. Web addresses that mails point to, each stored once; never deleted, so that old mails keep '
    'working. forget() cuts off what stands behind ? and # of those that hold an address';
comment on column marketing_automation.link.digest is 'SHA-256 of url: an address may be longer than an index entry can be';

-- What tracking is ruled by: the keys that sign its tokens, the pages that recipients see.
create table marketing_automation_internal.tracking_key (
    id smallint primary key check (id between 0 and 255),
    secret bytea not null check (octet_length(secret) = 32),
    created_at timestamptz not null unique,
    valid_until timestamptz
);
comment on table marketing_automation_internal.tracking_key is
    'API: private. Secrets that sign tracking tokens; the newest signs, all valid ones verify. Dumped, so that links in sent mails '
    'survive a restore';
comment on column marketing_automation_internal.tracking_key.id is 'First byte of every token';
comment on column marketing_automation_internal.tracking_key.valid_until is 'From then on its links lead nowhere; null: for ever';

create table marketing_automation.page (
    name text not null check (name in ('unsubscribe', 'unsubscribed', 'resubscribed', 'preferences', 'confirm', 'confirmed')),
    language text not null default '' check (language ~ '^([A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*)?$'),
    body text not null,
    owner name not null default current_user,
    owner_id oid not null default quote_ident(current_user)::regrole::oid,
    primary key (name, language)
);
comment on table marketing_automation.page is
    'API: public. Pages of your own around unsubscribing, instead of the built-in ones; the proxy notices within seconds';
comment on column marketing_automation.page.name is
    'unsubscribe: what a link in a mail opens; unsubscribed: what follows; resubscribed: after the undo; preferences: where topics are '
    'chosen; confirm: what the link to confirm a subscription opens; confirmed: what follows';
comment on column marketing_automation.page.language is
    'BCP 47 or POSIX language tag, fr falls in for fr-CA; empty: for all languages without a page of their own';
comment on column marketing_automation.page.owner is 'Only members of this role may change the page of this name, in any language';
comment on column marketing_automation.page.owner_id is
    'The role that owner named when it was written: another one of that name is not the owner. 0: there was none';
comment on column marketing_automation.page.body is
    'minijinja template of a whole HTML document. Variables: form (the built-in form, which pages other than resubscribed and confirmed '
    'must show), scenario, sender (of the mail, as in its header), language, direction (ltr or rtl), unsubscribed, everything, text (the '
    'built-in texts by name). Scripts do not run in it';

create table marketing_automation.page_text (
    language text not null check (language ~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$'),
    name text not null check (name in (
        'title', 'question', 'question_untitled', 'which', 'this_kind', 'this_kind_untitled', 'everything', 'button', 'done', 'effect',
        'effect_untitled', 'effect_everything', 'already', 'mistake', 'again', 'leave_everything', 'resubscribed', 'resubscribed_effect',
        'resubscribed_effect_untitled', 'preferences', 'choose', 'save', 'saved', 'undo', 'pending', 'confirm', 'confirm_question',
        'confirm_button', 'confirmed', 'confirmed_effect', 'not_found', 'check_link', 'gone', 'look_in_mailbox', 'unavailable', 'try_later')),
    text text not null check (text <> '' and length(text) <= 1000),
    owner name not null default current_user,
    owner_id oid not null default quote_ident(current_user)::regrole::oid,
    primary key (language, name)
);
comment on table marketing_automation.page_text is
    'API: public. Texts of the built-in pages in your own words, or in a language that is not built in (en, fr, de, es, it, nl, pt, '
    'pt-BR, pl and ar are)';
comment on column marketing_automation.page_text.name is 'Which text: see docs/tracking.md';
comment on column marketing_automation.page_text.owner is 'Only members of this role may change the text of this name, in any language';
comment on column marketing_automation.page_text.owner_id is
    'The role that owner named when it was written: another one of that name is not the owner. 0: there was none';
comment on column marketing_automation.page_text.text is 'Plain text; {} stands for the title of the scenario';

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
    'API: public. By what an open or click is known to be a robot''s; change it, then have the past judged again by '
    'reclassify_events()';
comment on column marketing_automation.robot_rule.kind is
    'method: HTTP method is pattern; user_agent: matches the regular expression pattern, whatever the case; network: comes from the '
    'network pattern (CIDR); burst: that many links of one mail within that time; speed: within that time of sending; hidden_link: '
    'within that time of a click on the hidden link of its mail';
comment on column marketing_automation.robot_rule.note is 'Why, and where that is documented';
comment on column marketing_automation.robot_rule.is_shipped is
    'As the extension has shipped it; false once you have changed it, and then dumped';
