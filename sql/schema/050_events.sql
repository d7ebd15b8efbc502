-- What comes back from recipients.

create table marketing_automation.event (
    id uuid primary key,
    occurred_at timestamptz not null,
    kind text not null check (kind in ('email_opened', 'email_clicked', 'unsubscribed', 'blocked')),
    record_id bigint not null,
    activity_id integer,
    link_id bigint,
    user_agent text check (length(user_agent) <= 200),
    constraint event_of_mail_names_activity check (kind = 'blocked' or activity_id is not null),
    constraint event_click_names_link check ((kind = 'email_clicked') = (link_id is not null))
);
comment on table marketing_automation.event is 'API: public. Append-only log of opens, clicks, unsubscribes and blocks';
comment on column marketing_automation.event.id is 'Chosen by the reporter (the proxy makes UUIDv7, RFC 9562): the same id twice is one event';
