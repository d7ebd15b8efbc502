-- How many mails of a class a person gets, whatever scenarios they are of.

create table marketing_automation.frequency_cap (
    message_class text not null,
    mails integer not null check (mails > 0),
    per interval not null check (per >= interval '1 second' and per <= interval '1 year'),
    outside text not null default 'wait' check (outside in ('wait', 'skip')),
    max_wait interval check (max_wait > interval '0' and max_wait <= interval '10 years'),
    primary key (message_class, per)
);
comment on table marketing_automation.frequency_cap is
    'API: public. At most so many mails of a class to a person, a party or else an address, in any such time. No row: as many as there are';
comment on column marketing_automation.frequency_cap.per is 'In no time of this length more than mails; 1 second to 1 year';
comment on column marketing_automation.frequency_cap.outside is
    'What becomes of a mail over the cap: wait until there is room, or skip: it is not sent, and starts no children';
comment on column marketing_automation.frequency_cap.max_wait is
    'A mail that would wait longer than this, counted from when its activity ran, is skipped at once; null: as long as it takes, or its '
    'expires_after allows';

create table marketing_automation_internal.capped_mail (
    message_id bigint not null,
    attempt integer not null,
    person bytea not null,
    message_class text collate "C" not null,
    at timestamptz not null,
    primary key (message_id, attempt)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.capped_mail is
    'API: private. Attempts of mails of classes with a frequency cap that are under way, or that the server has, or may have, taken: what the '
    'claim counts';
comment on column marketing_automation_internal.capped_mail.person is 'See person_hash()';
comment on column marketing_automation_internal.capped_mail.at is
    'When it was claimed, then when its result was known: later than when the server took it';
-- What a person has had: capped_mails().
create index capped_mail_person on marketing_automation_internal.capped_mail (person, message_class);

create table marketing_automation_internal.capped_claim (
    singleton boolean primary key default true check (singleton)
);
insert into marketing_automation_internal.capped_claim default values;
comment on table marketing_automation_internal.capped_claim is
    'API: private. One row: who claims mails while there is a frequency cap holds it, so that two that claim count each other''s. Not '
    'dumped: it means nothing in another cluster';
