-- What comes back from recipients.

-- Behind the view of that name, which shows each team its own.
create table marketing_automation_internal.event (
    id uuid primary key,
    occurred_at timestamptz not null,
    kind text not null check (kind in ('email_opened', 'email_clicked', 'email_bounced', 'complained', 'unsubscribed', 'resubscribed',
        'blocked', 'unblocked')),
    record_id bigint,
    activity_id integer,
    link_id bigint,
    method text,
    address inet,
    user_agent text check (length(user_agent) <= 200),
    robot text,
    party text,
    scenario_id integer,
    constraint event_names_somebody check (record_id is not null or (party is not null and kind in ('unsubscribed', 'resubscribed'))),
    constraint event_of_mail_names_activity check (kind not like 'email\_%' or activity_id is not null),
    constraint event_click_names_link check ((kind = 'email_clicked') = (link_id is not null))
);
comment on table marketing_automation_internal.event is 'API: private. Opens, clicks, bounces and so on; see the view event';
-- For classify_events: the clicks in a mail, and those on its hidden link.
create index event_click on marketing_automation_internal.event (record_id, activity_id, occurred_at) where kind = 'email_clicked';
create index event_hidden_click on marketing_automation_internal.event (record_id, activity_id, occurred_at) where link_id = 0;

-- Written by record_events(), emptied by apply_events(). Without an index but for clicks: appending is what a reader waits for.
create table marketing_automation_internal.event_inbox (
    id uuid not null,
    occurred_at timestamptz not null,
    kind text not null,
    record_id bigint not null,
    activity_id integer not null,
    link_id bigint,
    method text,
    address inet,
    user_agent text,
    error text,
    error_code text,
    constraint event_inbox_error_has_code check ((error is null) = (error_code is null)),
    constraint event_inbox_hit_has_method check ((kind in ('email_opened', 'email_clicked')) = (method is not null))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.event_inbox is
    'API: private. Opens and clicks that are recorded and not yet applied, see apply_events(); clicks for as long as rules about robots '
    'look at what comes next, see click_window(); that mails were sent or bounced (email_sent, email_bounced) while another session held '
    'them. Where a mailer runs, what came in the last moment, and rows that could not be applied';
-- For apply_batch: the clicks that have waited for the rules about robots; and for classify_events the other clicks in their mails.
create index event_inbox_ripe on marketing_automation_internal.event_inbox (occurred_at) where kind = 'email_clicked' and error is null;
create index event_inbox_click on marketing_automation_internal.event_inbox (record_id, activity_id)
    where kind = 'email_clicked' and error is null;
comment on column marketing_automation_internal.event_inbox.error is
    'Why it could not be applied; such a row stays until error and error_code are set to null, which has it tried again, or it is '
    'deleted';
comment on column marketing_automation_internal.event_inbox.error_code is 'SQLSTATE of error';

create table marketing_automation_internal.event_application (
    singleton boolean primary key default true check (singleton),
    position tid not null default '(0,0)'
);

insert into marketing_automation_internal.event_application default values;
comment on table marketing_automation_internal.event_application is
    'API: private. One row: who applies a batch of the inbox holds it. Not dumped: it means nothing in another cluster';
comment on column marketing_automation_internal.event_application.position is
    'Up to where a long inbox has been applied, so that the next batch does not look again at what is deleted before it';
