-- E-mails: outbox holds those under way, message_log those that ended; message unites the two.

create sequence marketing_automation.message_id_seq;
create table marketing_automation.outbox (
    id bigint primary key,
    record_id bigint,
    activity_id integer not null,
    key text collate "C" not null,
    party text collate "C",
    email text not null,
    recipient_name text,
    language text,
    time_zone text,
    context jsonb not null,
    track_opens boolean not null default true,
    track_clicks boolean not null default true,
    created_at timestamptz not null,
    state text not null default 'queued' check (state in ('queued', 'sending', 'in_doubt')),
    attempts integer not null default 0 check (attempts >= 0),
    due_at timestamptz not null,
    lane text collate "C" not null default '',
    first_attempt_at timestamptz,
    smtp_reply text,
    constraint outbox_sending_was_attempted check (state = 'queued' or attempts > 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter sequence marketing_automation.message_id_seq owned by marketing_automation.outbox.id;
comment on table marketing_automation.outbox is 'API: private. E-mails under way; see the view message';
comment on column marketing_automation.outbox.record_id is 'Null: a test by send_test(), which counts nowhere';
comment on column marketing_automation.outbox.context is 'The row as JSON when the activity ran: what templates see as record';
comment on column marketing_automation.outbox.track_opens is 'Whether scenario and recipient agreed to it when the activity ran: the mail has an image';
comment on column marketing_automation.outbox.track_clicks is 'Whether scenario and recipient agreed to it when the activity ran: links lead by way of the proxy';
comment on column marketing_automation.outbox.state is
    'queued: waits for due_at; sending: claimed by the mailer; in_doubt: in flight when the mailer died, held for a person (marketing_automation.in_doubt)';
comment on column marketing_automation.outbox.attempts is 'Deliveries tried, never counted back but for claims given back untried; fences late results: a result counts only for the attempt that it belongs to';
comment on column marketing_automation.outbox.due_at is 'Not before';
comment on column marketing_automation.outbox.lane is
    'Recipient domain if that has or had a limit (see domain_bucket), so that mails waiting for it are in nobody''s way; empty otherwise, and before the first claim that sees it';
comment on column marketing_automation.outbox.first_attempt_at is 'From when marketing_automation.retry_window counts';
comment on column marketing_automation.outbox.smtp_reply is 'What the server or the network said at the last attempt';
-- For claim_messages: the due mails of one activity and lane. Not partial on state, so that claiming is a HOT update.
create index outbox_due on marketing_automation.outbox (activity_id, lane, due_at);
-- For claim_messages: tests, which do not wait for their scenario to run.
create index outbox_test on marketing_automation.outbox (due_at) where record_id is null;

create function marketing_automation.log_bucket(at timestamptz) returns smallint
language sql immutable
return (floor(extract(epoch from at) / (30 * 86400)) % 40)::smallint;
comment on function marketing_automation.log_bucket(timestamptz) is 'API: private. Partition of message_log, 0 to 39: each takes what ends in 30 days, and again after 1200 days';

create table marketing_automation.message_log (
    id bigint not null,
    record_id bigint,
    activity_id integer not null,
    key text collate "C" not null,
    party text collate "C",
    email text not null,
    recipient_name text,
    language text,
    time_zone text,
    context jsonb not null,
    track_opens boolean not null default true,
    track_clicks boolean not null default true,
    created_at timestamptz not null,
    state text not null check (state in ('sent', 'failed', 'suppressed', 'bounced')),
    attempts integer not null,
    finished_at timestamptz not null,
    sent_at timestamptz,
    smtp_reply text,
    server text,
    bucket smallint not null default marketing_automation.log_bucket(statement_timestamp()),
    primary key (id, bucket),
    constraint message_log_sent_has_time check ((state in ('sent', 'bounced')) = (sent_at is not null))
) partition by list (bucket);
-- All mails of a record; the language of the unsubscribe page.
create index message_log_record on marketing_automation.message_log (record_id);
comment on table marketing_automation.message_log is 'API: private. E-mails that ended; see the view message';
comment on column marketing_automation.message_log.bucket is 'log_bucket() of the time when it was written: what is old goes with its partition, see purge_messages()';

-- All partitions are there from the beginning and are used in turn: tables made later would not belong to the extension.
do $$ begin
    for bucket in 0..39 loop
        execute format('create table marketing_automation.message_log_%s partition of marketing_automation.message_log for values in (%s)', bucket, bucket);
        execute format('comment on table marketing_automation.message_log_%s is %L', bucket, 'API: private. Partition of message_log');
    end loop;
end $$;

create view marketing_automation.message as
select o.id, o.record_id, o.activity_id, o.key, o.party, o.email, o.recipient_name, o.language, o.time_zone, o.context,
       case when o.state = 'queued' and o.attempts > 0 then 'deferred' else o.state end as state,
       o.attempts, o.created_at, nullif(o.due_at, 'infinity') as next_attempt_at, null::timestamptz as sent_at, o.smtp_reply, null::text as server,
       o.track_opens, o.track_clicks
from marketing_automation.outbox o
union all
select l.id, l.record_id, l.activity_id, l.key, l.party, l.email, l.recipient_name, l.language, l.time_zone, l.context, l.state,
       l.attempts, l.created_at, null, l.sent_at, l.smtp_reply, l.server, l.track_opens, l.track_clicks
from marketing_automation.message_log l;
comment on view marketing_automation.message is
    'API: public. The e-mail log, one row a mail. State: queued (not tried yet), sending, deferred (tried, and tried again at next_attempt_at), in_doubt (held), '
    'then sent, failed, suppressed or bounced. record_id null: a test by send_test()';
comment on column marketing_automation.message.next_attempt_at is 'When a queued or deferred mail is sent at the earliest';
comment on column marketing_automation.message.smtp_reply is 'What the server or the network said at the last attempt';
comment on column marketing_automation.message.server is 'The SMTP server that took it';
comment on column marketing_automation.message.track_opens is 'Whether it has an image by which opens are recorded';
comment on column marketing_automation.message.track_clicks is 'Whether its links are such that clicks are recorded';

-- Nearly all mails are taken at the first attempt, and message_log says all about that one. All other attempts are rows here.
create table marketing_automation.attempt_log (
    message_id bigint not null,
    attempt integer not null,
    ended_at timestamptz not null,
    state text not null check (state in ('sent', 'deferred', 'failed', 'in_doubt')),
    code smallint check (code between 200 and 599),
    status text check (status ~ '^[245]\.\d{1,3}\.\d{1,3}$'),
    reply text,
    server text,
    primary key (message_id, attempt)
);
comment on table marketing_automation.attempt_log is
    'API: private. Attempts to deliver, but for those that sent a mail at once; see the view delivery_attempt';

create view marketing_automation.delivery_attempt as
select t.message_id, t.attempt, t.ended_at, t.state, t.code, t.status, t.reply, t.server
from marketing_automation.attempt_log t
union all
select l.id, l.attempts, l.sent_at, 'sent', substring(l.smtp_reply from '^([2-5]\d\d)\M')::smallint,
       substring(l.smtp_reply from '^[2-5]\d\d[ -]([245]\.\d{1,3}\.\d{1,3})\M'), l.smtp_reply, l.server
from marketing_automation.message_log l
where l.attempts = 1 and l.sent_at is not null;
comment on view marketing_automation.delivery_attempt is
    'API: public. Every attempt to deliver a mail and how it ended: sent, deferred (tried again), failed (for good) or in_doubt (nobody knows whether the server took it)';
comment on column marketing_automation.delivery_attempt.code is 'SMTP reply code (RFC 5321, 4.2.3); null: the server said nothing';
comment on column marketing_automation.delivery_attempt.status is 'Enhanced status code (RFC 3463), where the server gave one';
comment on column marketing_automation.delivery_attempt.server is 'The SMTP server, as host:port, or the directory as file:///…';

create table marketing_automation.link (
    id bigint generated always as identity primary key,
    digest bytea not null unique check (octet_length(digest) = 32),
    url text not null
);
comment on table marketing_automation.link is 'API: public. Web addresses that mails point to, each stored once; never deleted, so that old mails keep working';
comment on column marketing_automation.link.digest is 'SHA-256 of url: an address may be longer than an index entry can be';

-- Sending is armed for one database on one server. Deliberately not dumped: a restored copy must not send by itself.
create table marketing_automation.armed (
    singleton boolean primary key default true check (singleton),
    system_identifier bigint not null,
    database oid not null,
    data_directory text not null,
    inode bigint not null,
    born timestamptz,
    machine bytea,
    armed_at timestamptz not null default now(),
    armed_by text not null default session_user
);
comment on table marketing_automation.armed is
    'API: private. The server and the database in it that may send; none or another one: the mailer stays disarmed until arm()';
comment on column marketing_automation.armed.inode is 'Of the file PG_VERSION in the data directory, as born, the time of its creation';
comment on column marketing_automation.armed.machine is 'Digest of the machine''s id, where it has one';

create table marketing_automation.origin (
    system_identifier bigint not null,
    database oid not null,
    primary key (system_identifier, database)
);
comment on table marketing_automation.origin is
    'API: public. Where this data was armed. Dumped: a row of another database here means that a copy was restored, by whatever route, and disarms it';
