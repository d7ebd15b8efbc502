-- Classes of mails: what being unsubscribed, list headers and the order of sending mean for each.

create table marketing_automation.message_class (
    name text primary key check (name <> ''),
    honors_unsubscribe boolean not null default true,
    bulk_headers boolean not null default true,
    capped boolean not null default true,
    send_window text,
    priority integer not null default 0 check (priority between -1000 and 1000),
    note text,
    is_shipped boolean not null default false
);
comment on table marketing_automation.message_class is
    'API: public. Classes of mails: marketing, transactional, internal, and your own. A scenario has one, an activity may have another';
comment on column marketing_automation.message_class.honors_unsubscribe is
    'Whether who has unsubscribed, from the scenario or from everything, gets no mail of this class. What is suppressed or blocked gets '
    'none of any';
comment on column marketing_automation.message_class.bulk_headers is
    'Whether its mails have the headers of a mailing list: Precedence, List-Id, List-Unsubscribe and List-Unsubscribe-Post';
comment on column marketing_automation.message_class.capped is 'Whether frequency_cap may hold for it';
comment on column marketing_automation.message_class.send_window is
    'Name of the window in which its mails may leave, beside that of their scenario or activity; null: at any time';
comment on column marketing_automation.message_class.priority is
    'Classes with more are processed and sent before those with less';
comment on column marketing_automation.message_class.note is 'What it is for';
comment on column marketing_automation.message_class.is_shipped is
    'As the extension has shipped it; false once you have changed it, and then dumped';
