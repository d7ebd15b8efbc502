-- Sending is armed for one database on one server. Deliberately not dumped: a restored copy must not send by itself.

create table marketing_automation_internal.armed (
    singleton boolean primary key default true check (singleton),
    system_identifier bigint not null,
    database oid not null,
    data_directory text not null,
    inode bigint not null,
    born timestamptz,
    machine bytea,
    armed_at timestamptz not null default now(),
    armed_by text not null default current_user
);
comment on table marketing_automation_internal.armed is
    'API: private. The server and the database in it that may send; none or another one: the mailer stays disarmed until arm()';
comment on column marketing_automation_internal.armed.inode is
    'Of the file PG_VERSION in the data directory, as born, the time of its creation';
comment on column marketing_automation_internal.armed.machine is 'Digest of the machine''s id, where it has one';

create table marketing_automation.origin (
    system_identifier bigint not null,
    database oid not null,
    primary key (system_identifier, database)
);
comment on table marketing_automation.origin is
    'API: public. Where this data was armed. Dumped: a row of another database here means that a copy was restored, by whatever '
    'route, and disarms it';

-- Rules of delivery: which addresses get nothing, how fast mail goes to a domain, whether any goes at all; and what came back.
create table marketing_automation.suppression (
    address_hash bytea primary key check (octet_length(address_hash) = 32),
    reason text not null check (reason in ('hard_bounce', 'manual', 'complaint', 'forgotten')),
    since timestamptz not null default now(),
    detail text
);
comment on table marketing_automation.suppression is
    'API: public. Addresses that get no mail from any scenario, checked when the mailer claims. Only digests: the list survives the '
    'erasure of the person';
comment on column marketing_automation.suppression.address_hash is 'address_hash(address)';
comment on column marketing_automation.suppression.reason is
    'hard_bounce: the mailbox does not exist; manual: somebody said so; complaint: the recipient marked a mail as spam; forgotten: '
    'erased on request';
comment on column marketing_automation.suppression.detail is 'Such as the reply that said so; without the address';

create table marketing_automation.domain_limit (
    domain text collate "C" primary key,
    per_second double precision not null check (per_second = 0 or per_second between 0.0001 and 100000),
    burst integer check (burst between 1 and 100000)
);
comment on table marketing_automation.domain_limit is
    'API: public. How many mails go to a recipient domain, such as gmail.com; looked at when the mailer claims, so changes count at '
    'once';
comment on column marketing_automation.domain_limit.domain is
    'What stands after the @ of addresses; in lower case, internationalised ones as punycode';
comment on column marketing_automation.domain_limit.per_second is 'Mails a second in the long run; 0: none for now';
comment on column marketing_automation.domain_limit.burst is 'Mails at once after a quiet time; null: those of one second, one at least';

create table marketing_automation_internal.domain_queue (
    domain text collate "C" primary key,
    tokens double precision not null,
    refilled_at timestamptz not null
) with (fillfactor = 50);
comment on table marketing_automation_internal.domain_queue is
    'API: private. Lanes of the outbox: one for each domain that has or had a limit, with its token bucket. Rows stay, so that no '
    'mail waits in a domain_queue that nobody looks at';
comment on column marketing_automation_internal.domain_queue.tokens is
    'Mails that might have been claimed at refilled_at; no more than the burst count';

create table marketing_automation.sending_pause (
    singleton boolean primary key default true check (singleton),
    since timestamptz not null default now(),
    paused_by text not null default current_user,
    reason text
);
comment on table marketing_automation.sending_pause is 'API: public. A row while nothing is sent: see pause() and resume()';

create table marketing_automation.bounce (
    digest bytea primary key check (octet_length(digest) = 32),
    received_at timestamptz not null,
    kind text not null check (kind in ('hard', 'soft', 'delayed', 'delivered', 'complaint', 'auto_reply', 'unsubscribe', 'unknown')),
    status text,
    diagnostic text,
    message_id bigint,
    address_hash bytea,
    raw bytea,
    constraint bounce_of_mail_names_address check ((message_id is null) = (address_hash is null))
);
comment on table marketing_automation.bounce is 'API: public. What came back, one row a mail given to ingest_bounce()';
comment on column marketing_automation.bounce.digest is 'SHA-256 of the mail: the same mail twice is one bounce';
comment on column marketing_automation.bounce.kind is
    'hard: the mailbox does not exist; soft: not delivered for a reason that may pass; delayed: a server goes on trying; delivered; '
    'complaint: marked as spam; auto_reply: somebody is away; unsubscribe: a reader leaves by mail; unknown: anything else';
comment on column marketing_automation.bounce.status is 'Enhanced status code (RFC 3463)';
comment on column marketing_automation.bounce.message_id is 'Mail that it is about; null: none was found';
comment on column marketing_automation.bounce.address_hash is 'address_hash() of that mail''s recipient';
comment on column marketing_automation.bounce.raw is
    'The beginning of a mail that was not understood or whose message was not found, for a person to look at';
-- Soft bounces of an address.
create index bounce_soft on marketing_automation.bounce (address_hash, received_at) where kind = 'soft';
-- For complete_messages: what came back before the result of its mail.
create index bounce_message on marketing_automation.bounce (message_id) where message_id is not null;

create table marketing_automation.smtp_server (
    name text primary key check (name <> ''),
    url text not null,
    password_file text,
    sender_domain text,
    priority integer not null default 1,
    weight integer not null default 1 check (weight between 1 and 1000),
    connections integer not null default 8 check (connections between 1 and 200),
    per_second double precision check (per_second between 0.0001 and 100000),
    warmup_started date,
    enabled boolean not null default true
);
comment on table marketing_automation.smtp_server is
    'API: public. SMTP servers that take our mail; without an enabled row, the settings smtp_url and the rest describe one. For '
    'superusers: the server''s files are read. Takes effect at a reload, or within a minute';
comment on column marketing_automation.smtp_server.url is
    'As marketing_automation.smtp_url: smtp://[user@]host[:port][?tls=required|opportunistic|none][&auth=xoauth2|oauthbearer][&ca=/file.pem], '
    'smtps://… or file:///directory';
comment on column marketing_automation.smtp_server.password_file is
    'File whose first line is the password of the user in url, or, with auth=, an access token; readable by the server''s operating '
    'system user only';
comment on column marketing_automation.smtp_server.sender_domain is
    'Domain of the From addresses that it is for, which then prefer it; null: any';
comment on column marketing_automation.smtp_server.priority is
    'Lower ones first; the next ones while those are out of reach or have used up their day';
comment on column marketing_automation.smtp_server.weight is 'Its share of the mails among servers of the same priority';
comment on column marketing_automation.smtp_server.connections is 'Connections at most, each reused for many mails';
comment on column marketing_automation.smtp_server.per_second is 'Mails a second at most; null: as fast as it goes';
comment on column marketing_automation.smtp_server.warmup_started is
    'First day of the ramp in smtp_warmup, in the time zone of the database; null: no ramp';

create table marketing_automation.smtp_warmup (
    server text not null,
    day integer not null check (day >= 1),
    mails integer not null check (mails >= 0),
    primary key (server, day)
);
comment on table marketing_automation.smtp_warmup is
    'API: public. Mails a day while a server with a new address earns its reputation: day 1 is smtp_server.warmup_started, a missing '
    'day is as the last one before it, and after the last there is no limit';

create table marketing_automation_internal.smtp_usage (
    server text primary key,
    tokens double precision,
    refilled_at timestamptz,
    day date,
    taken integer not null default 0,
    paused_until timestamptz,
    last_error text,
    last_error_at timestamptz,
    sent_until timestamptz,
    sent integer not null default 0
) with (fillfactor = 50);
comment on table marketing_automation_internal.smtp_usage is
    'API: private. What servers have taken, against their limits, and how they answer; see smtp_server_status';
comment on column marketing_automation_internal.smtp_usage.sent_until is 'The end of the day, by the database''s time zone, whose mails sent counts';

create table marketing_automation_internal.mailer (
    id integer primary key generated always as identity,
    name text collate "C" not null unique check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    instance uuid not null,
    role name not null,
    host text not null,
    version text not null,
    pid integer,
    backend_start timestamptz,
    since timestamptz not null,
    seen_at timestamptz not null,
    suspected_at timestamptz,
    state text not null,
    sent bigint not null default 0,
    failed bigint not null default 0,
    retried bigint not null default 0,
    last_error text,
    last_error_at timestamptz,
    failed_mails bigint[] not null default '{}'
) with (fillfactor = 50);
comment on column marketing_automation_internal.mailer.failed_mails is
    'Mails that it has claimed and that failed last, of which it may say that their mailboxes do not exist';
comment on table marketing_automation_internal.mailer is
    'API: private. Each marketing-mailer that has sent for this database; see mailer_status. Not dumped: a restored copy has none';
comment on column marketing_automation_internal.mailer.instance is 'Its process: one that connects again is still the same';
comment on column marketing_automation_internal.mailer.pid is
    'Of its session, with backend_start, as process ids are used again. A session that has ended leaves an orphan, whose claims the '
    'next claim of anybody takes back; null: it has left, or its claims were taken back';
comment on column marketing_automation_internal.mailer.since is 'When its process registered first';
comment on column marketing_automation_internal.mailer.suspected_at is
    'When another sender noticed that it is silent; of no meaning once it has been seen again';
