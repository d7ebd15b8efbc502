-- Who may send as whom: nobody is restricted before there is a row.

create table marketing_automation.sender_permission (
    role name not null,
    sender text not null check (sender <> ''),
    role_id oid not null default 0,
    primary key (role, sender)
);
comment on table marketing_automation.sender_permission is
    'API: public. Which role may send as which address or domain. Without a row anybody may send as anybody; with one, a scenario''s mails '
    'leave only if a role that its owner is a member of may send as their sender, or if they have no sender of their own';
comment on column marketing_automation.sender_permission.role is 'Scenarios whose owner is a member of this role may';
comment on column marketing_automation.sender_permission.sender is
    'An address, anna@shop.example, or a domain, shop.example, which stands for each address in it, and for none of its subdomains';
comment on column marketing_automation.sender_permission.role_id is
    'The role that was named when it was written: another one of that name may not. 0: there was none';
