-- Rules of delivery: which addresses get nothing, how fast mail goes to a domain, whether any goes at all; and what came back.

create table marketing_automation.suppression (
    address_hash bytea primary key check (octet_length(address_hash) = 32),
    reason text not null check (reason in ('hard_bounce', 'manual', 'complaint', 'forgotten')),
    since timestamptz not null default now(),
    detail text
);
comment on table marketing_automation.suppression is
    'API: public. Addresses that get no mail from any scenario, checked when the mailer claims. Only digests: the list survives the erasure of the person';
comment on column marketing_automation.suppression.address_hash is 'address_hash(address)';
comment on column marketing_automation.suppression.reason is
    'hard_bounce: the mailbox does not exist; manual: somebody said so; complaint: the recipient marked a mail as spam; forgotten: erased on request';
comment on column marketing_automation.suppression.detail is 'Such as the reply that said so; without the address';

create table marketing_automation.domain_limit (
    domain text collate "C" primary key,
    per_second double precision not null check (per_second = 0 or per_second between 0.0001 and 100000),
    burst integer check (burst between 1 and 100000)
);
comment on table marketing_automation.domain_limit is
    'API: public. How many mails go to a recipient domain, such as gmail.com; looked at when the mailer claims, so changes count at once';
comment on column marketing_automation.domain_limit.domain is 'What stands after the @ of addresses; in lower case, internationalised ones as punycode';
comment on column marketing_automation.domain_limit.per_second is 'Mails a second in the long run; 0: none for now';
comment on column marketing_automation.domain_limit.burst is 'Mails at once after a quiet time; null: those of one second, one at least';

create table marketing_automation.domain_bucket (
    domain text collate "C" primary key,
    tokens double precision not null,
    refilled_at timestamptz not null
) with (fillfactor = 50);
comment on table marketing_automation.domain_bucket is
    'API: private. Lanes of the outbox: one for each domain that has or had a limit, with its token bucket. Rows stay, so that no mail waits in a lane that nobody looks at';
comment on column marketing_automation.domain_bucket.tokens is 'Mails that might have been claimed at refilled_at; no more than the burst count';

create view marketing_automation.domain_budget as
select b.domain as lane,
       case when l.domain is not null
            then least(f.burst, b.tokens + l.per_second * greatest(extract(epoch from statement_timestamp() - b.refilled_at), 0)) end as tokens,
       case when l.per_second = 0 then 'infinity'
            when b.tokens < f.worthwhile then b.refilled_at + make_interval(secs => (f.worthwhile - b.tokens) / l.per_second) end as ready_at
from marketing_automation.domain_bucket b
left join marketing_automation.domain_limit l on l.domain = b.domain
cross join lateral (select case l.per_second when 0 then 0 else coalesce(l.burst, ceil(l.per_second)) end as burst) d
-- The mailer need not wake up for each mail: those of a tenth of a second are worth a claim.
cross join lateral (select d.burst, least(d.burst, greatest(l.per_second / 10, 1)) as worthwhile) f;
comment on view marketing_automation.domain_budget is
    'API: private. Mails that may be claimed now in each lane, null without a limit, and from when a claim is worthwhile, null: now';

create table marketing_automation.sending_pause (
    singleton boolean primary key default true check (singleton),
    since timestamptz not null default now(),
    paused_by text not null default session_user,
    reason text
);
comment on table marketing_automation.sending_pause is 'API: public. A row while nothing is sent: see pause() and resume()';

create table marketing_automation.bounce (
    digest bytea primary key check (octet_length(digest) = 32),
    received_at timestamptz not null,
    kind text not null check (kind in ('hard', 'soft', 'delayed', 'delivered', 'complaint', 'auto_reply', 'unknown')),
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
    'hard: the mailbox does not exist; soft: not delivered for a reason that may pass; delayed: a server goes on trying; delivered; complaint: marked as spam; '
    'auto_reply: somebody is away; unknown: anything else';
comment on column marketing_automation.bounce.status is 'Enhanced status code (RFC 3463)';
comment on column marketing_automation.bounce.message_id is 'Mail that it is about; null: none was found';
comment on column marketing_automation.bounce.address_hash is 'address_hash() of that mail''s recipient';
comment on column marketing_automation.bounce.raw is 'The beginning of a mail that was not understood or whose message was not found, for a person to look at';
-- Soft bounces of an address.
create index bounce_soft on marketing_automation.bounce (address_hash, received_at) where kind = 'soft';
