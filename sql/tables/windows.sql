-- When mails may leave: windows of the day and week, and the calendars of days on which they stay shut.

create table marketing_automation.send_window (
    name text primary key check (name <> ''),
    days integer[] not null default '{1,2,3,4,5,6,7}',
    opens time not null default '00:00',
    closes time not null default '24:00',
    calendar text,
    time_zone text,
    outside text not null default 'wait' check (outside in ('wait', 'skip')),
    owner name not null default current_user,
    owner_id oid not null default quote_ident(current_user)::regrole::oid
);
comment on table marketing_automation.send_window is
    'API: public. When mails of the scenarios and activities that name it may leave, by the clock of the recipient';
comment on column marketing_automation.send_window.days is
    'Days of the week on which it opens, 1 is Monday and 7 Sunday (ISO 8601)';
comment on column marketing_automation.send_window.opens is 'From when, by the clock of the recipient''s time zone';
comment on column marketing_automation.send_window.closes is
    'Until when, that moment excluded; earlier than opens: on the day after the one on which it opened';
comment on column marketing_automation.send_window.calendar is 'On the days that holiday has under this name it does not open; null: on none';
comment on column marketing_automation.send_window.time_zone is
    'IANA time zone for recipients of whom none is known; null: that of the database';
comment on column marketing_automation.send_window.outside is
    'What becomes of a mail that finds it shut: wait for the next opening, or skip: it is not sent, and starts no children';
comment on column marketing_automation.send_window.owner is
    'Only members of this role may change the window; every scenario may use it';
comment on column marketing_automation.send_window.owner_id is
    'The role that owner named when it was written: another one of that name is not the owner. 0: there was none';

create table marketing_automation.holiday (
    calendar text not null check (calendar <> ''),
    day date not null check (isfinite(day)),
    primary key (calendar, day)
);
comment on table marketing_automation.holiday is 'API: public. Days on which the windows with this calendar do not open';
