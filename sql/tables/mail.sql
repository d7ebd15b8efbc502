-- E-mails: outbox holds those under way, message_log those that ended; message unites the two.

create sequence marketing_automation_internal.message_id_seq;

create table marketing_automation_internal.outbox (
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
    domain_queue text collate "C" not null default '',
    first_attempt_at timestamptz,
    smtp_reply text,
    channel text not null default 'mail' constraint outbox_channel_is_known check (channel in ('mail', 'webhook')),
    mailer integer,
    target text collate "C",
    addresses jsonb,
    constraint outbox_webhook_has_target check ((channel = 'webhook') = (target is not null)),
    constraint outbox_sending_was_attempted check (state = 'queued' or attempts > 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
alter sequence marketing_automation_internal.message_id_seq owned by marketing_automation_internal.outbox.id;
comment on table marketing_automation_internal.outbox is 'API: private. E-mails under way; see the view message';
comment on column marketing_automation_internal.outbox.record_id is 'Null: a test by send_test(), which counts nowhere';
comment on column marketing_automation_internal.outbox.context is 'The row as JSON when the activity ran: what templates see as record';
comment on column marketing_automation_internal.outbox.track_opens is
    'Whether scenario and recipient agreed to it when the activity ran: the mail has an image';
comment on column marketing_automation_internal.outbox.track_clicks is
    'Whether scenario and recipient agreed to it when the activity ran: links lead by way of the proxy';
comment on column marketing_automation_internal.outbox.state is
    'queued: waits for due_at; sending: claimed by the mailer; in_doubt: in flight when the mailer died, held for a person '
    '(marketing_automation.in_doubt)';
comment on column marketing_automation_internal.outbox.attempts is
    'Deliveries tried, never counted back but for claims given back untried; fences late results: a result counts only for the '
    'attempt that it belongs to';
comment on column marketing_automation_internal.outbox.due_at is 'Not before';
comment on column marketing_automation_internal.outbox.domain_queue is
    'Recipient domain if that has or had a limit (see domain_queue), so that mails waiting for it are in nobody''s way; empty '
    'otherwise, and before the first claim that sees it';
comment on column marketing_automation_internal.outbox.first_attempt_at is 'From when marketing_automation.retry_window counts';
comment on column marketing_automation_internal.outbox.channel is 'Which way it goes: mail, webhook';
comment on column marketing_automation_internal.outbox.target is
    'Of a webhook: the origin of its URL, a row of webhook_target. Its email is the address of the row, if it has one, and gets nothing';
comment on column marketing_automation_internal.outbox.addresses is
    'Null: it goes to its party and to nobody else. party: name and email of the row, where email is another''s, who gets it instead; cc, bcc: '
    'mailboxes that get copies';
comment on column marketing_automation_internal.outbox.mailer is
    'The marketing-mailer that claimed it last, of the table mailer; null: the worker';
comment on column marketing_automation_internal.outbox.smtp_reply is 'What the server or the network said at the last attempt';
-- For claim_messages: the due mails of one activity and domain queue. Not partial on state, so that claiming is a HOT update.
create index outbox_due on marketing_automation_internal.outbox (activity_id, domain_queue, due_at);
-- For claim_messages: tests, which do not wait for their scenario to run.
create index outbox_test on marketing_automation_internal.outbox (due_at) where record_id is null;

create table marketing_automation_internal.file_content (
    digest bytea primary key check (octet_length(digest) = 32),
    content bytea not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- Files are compressed already.
alter table marketing_automation_internal.file_content alter column content set storage external;
comment on table marketing_automation_internal.file_content is
    'API: private. Contents of attachments of mails under way, each once; see outbox_file';
comment on column marketing_automation_internal.file_content.digest is 'SHA-256 of content';

create table marketing_automation_internal.outbox_file (
    message_id bigint not null,
    place integer not null,
    name text,
    type text,
    cid text,
    size bigint,
    digest bytea,
    primary key (message_id, place)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.outbox_file is
    'API: private. Attachments of mails in the outbox, as the query of the activity has given them; what is wrong with them the mailer says';
comment on column marketing_automation_internal.outbox_file.place is 'Their order in a mail, from 1';
comment on column marketing_automation_internal.outbox_file.size is 'Bytes; null: the query gave no content';
comment on column marketing_automation_internal.outbox_file.digest is
    'Its content in file_content; null: there is none, or more than a mail can take along';
-- For drop_contents(): which mails have a content.
create index outbox_file_content on marketing_automation_internal.outbox_file (digest);

create table marketing_automation_internal.message_log (
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
    bucket smallint not null default marketing_automation_internal.log_bucket(statement_timestamp()),
    target text collate "C",
    addresses jsonb,
    primary key (id, bucket),
    constraint message_log_sent_has_time check ((state in ('sent', 'bounced')) = (sent_at is not null))
) partition by list (bucket);
-- All mails of a record; the language of the unsubscribe page.
create index message_log_record on marketing_automation_internal.message_log (record_id);
comment on table marketing_automation_internal.message_log is 'API: private. E-mails that ended; see the view message';
comment on column marketing_automation_internal.message_log.target is 'As in outbox; null: a mail';
comment on column marketing_automation_internal.message_log.addresses is 'As in outbox';
comment on column marketing_automation_internal.message_log.bucket is
    'log_bucket() of the time when it was written: what is old goes with its partition, see purge_messages()';

-- All partitions are there from the beginning and are used in turn: tables made later would not belong to the extension.
do $$ begin
    for bucket in 0..39 loop
        execute format('create table marketing_automation_internal.message_log_%s
            partition of marketing_automation_internal.message_log for values in (%s)', bucket, bucket);
        execute format('comment on table marketing_automation_internal.message_log_%s is %L', bucket,
            'API: private. Partition of message_log');
    end loop;
end $$;

-- Nearly all mails are taken at the first attempt, and message_log says all about that one. All other attempts are rows here.
create table marketing_automation_internal.attempt_log (
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
comment on table marketing_automation_internal.attempt_log is
    'API: private. Attempts to deliver, but for those that sent a mail at once; see the view delivery_attempt';

create table marketing_automation_internal.browser_activity (
    activity_id integer primary key
);
comment on table marketing_automation_internal.browser_activity is
    'API: private. Activities and variants in whose templates browser_url is: see note_browser_use()';

create table marketing_automation_internal.browser_mail (
    message_id bigint primary key,
    bucket smallint not null,
    sent_at timestamptz not null,
    context jsonb not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.browser_mail is
    'API: private. What mails with a browser_url were made of, for as long as that shows them; the rest is in message_log';
comment on column marketing_automation_internal.browser_mail.bucket is 'Of its row in message_log';
comment on column marketing_automation_internal.browser_mail.context is 'As in outbox';
-- For drop_browser_mails(): the oldest.
create index browser_mail_sent on marketing_automation_internal.browser_mail (sent_at);

create table marketing_automation.bounce_rule (
    kind text not null,
    pattern text not null,
    meaning text not null,
    is_enabled boolean not null default true,
    note text,
    is_shipped boolean not null default false,
    primary key (kind, pattern),
    constraint bounce_rule_fits_kind check (case kind
        when 'status' then meaning in ('dead', 'unclear')
        when 'reply' then meaning in ('dead', 'dead_after_data', 'dead_domain', 'alive')
        when 'step' then meaning in ('before_recipient', 'after_data', 'remote')
        when 'notice' then meaning in ('failed', 'delayed', 'delivered')
        when 'subject' then meaning in ('auto_reply', 'personal_reply')
        else false end)
);
comment on table marketing_automation.bounce_rule is
    'API: public. By which codes and words replies of mail servers and returned mails are judged; see docs/mail.md. Holds for what '
    'comes from now on, in the mailer within a minute or after a reload';
comment on column marketing_automation.bounce_rule.kind is
    'What is looked at. status: enhanced status code (RFC 3463); reply: what a server replied, at once or in its report; step: at '
    'which step of the dialogue; notice: subject and beginning of what mail servers write in prose; subject: the beginning of the '
    'subject of any mail';
comment on column marketing_automation.bounce_rule.pattern is
    'status: a code, or all that begin alike, as 5.0.%. Otherwise words in this order: case, accents, apostrophes, punctuation and '
    'numbers do not count, % stands for the rest of a word, or between words for up to some others of the same sentence';
comment on column marketing_automation.bounce_rule.meaning is
    'dead: mailbox or domain do not exist; dead_after_data: that too, also where the server had seen the mail; dead_domain: the domain '
    'does not exist, by who looked it up; unclear: the words decide; alive: it is about mail, sender or moment, whatever else is said; '
    'before_recipient, after_data, remote: what the server knew when it replied, or that it is another one; failed, delayed, '
    'delivered: what the notice says; auto_reply, personal_reply: a program or a person answers';
comment on column marketing_automation.bounce_rule.note is 'Why';
comment on column marketing_automation.bounce_rule.is_shipped is
    'As the extension has shipped it, and replaced by its updates; false once you have changed it, and then dumped';
