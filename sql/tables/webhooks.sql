-- Targets of webhooks: nothing is POSTed to what a superuser has not listed. Before the tables of mails: the worker reads it before
-- smtp_server, and DROP EXTENSION locks tables in the order in which they were made.

create table marketing_automation.webhook_target (
    origin text primary key,
    secret_file text,
    role name,
    role_id oid,
    is_private boolean not null default false,
    connections integer not null default 8 check (connections between 1 and 200),
    timeout interval not null default '10 seconds' check (timeout between interval '100 milliseconds' and interval '60 seconds'),
    enabled boolean not null default true,
    disabled_at timestamptz,
    disabled_because text
);
comment on table marketing_automation.webhook_target is
    'API: public. Servers to which webhooks may go, for superusers: messages of customers leave for there, and files of the server are read. '
    'Others see webhook_target_status';
comment on column marketing_automation.webhook_target.origin is 'Scheme, host and port, as https://crm.example or http://hooks.internal:8080';
comment on column marketing_automation.webhook_target.secret_file is
    'File whose first line is the secret that signs (standard-webhooks.com): whsec_ and 24 to 64 bytes in base64; readable by the server''s '
    'operating system user only; null: nothing is signed';
comment on column marketing_automation.webhook_target.role is
    'Scenarios whose owner is a member of this role may use it; null: all';
comment on column marketing_automation.webhook_target.role_id is
    'The role that was named when it was written: another one of that name may not. 0: there was none; null: all may';
comment on column marketing_automation.webhook_target.is_private is
    'Whether its host may be at a loopback or private address; link-local ones, where clouds keep secrets, are never used';
comment on column marketing_automation.webhook_target.connections is 'Connections at most, each reused for many messages';
comment on column marketing_automation.webhook_target.timeout is 'How long it may take to connect and to answer, in all';
comment on column marketing_automation.webhook_target.enabled is
    'Whether messages go there; an answer 410 Gone sets it to false: then they fail at once, until somebody sets it to true';
comment on column marketing_automation.webhook_target.disabled_at is 'When an answer has disabled it';
comment on column marketing_automation.webhook_target.disabled_because is 'That answer';
