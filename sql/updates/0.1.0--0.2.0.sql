-- What tables need on the way from 0.1.0 to 0.2.0.

-- Who was given an access is found again under another name.
alter table marketing_automation_internal.access_grant add column role_id oid;
update marketing_automation_internal.access_grant g set role_id = r.oid from pg_catalog.pg_roles r where r.rolname = g.role;
comment on column marketing_automation_internal.access_grant.role_id is
    'The role of that name when it was given, for one that was renamed since; says nothing in another server''s copy';
-- Words and codes by which bounces are judged, which were part of the library.
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
