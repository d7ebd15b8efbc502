-- Who owns what, and which role has been given which access: an update gives the rights again, as it may bring new objects.

create table marketing_automation_internal.access_grant (
    role name not null,
    access text not null,
    role_id oid,
    primary key (role, access)
);
comment on table marketing_automation_internal.access_grant is
    'API: private. What grant_access() has given. Names: a dump is restored where the roles do not exist yet';
comment on column marketing_automation_internal.access_grant.role_id is
    'The role of that name when it was written, for one that was renamed since; null: there was none';

create table marketing_automation_internal.name_lock (
    kind text not null,
    name text not null,
    primary key (kind, name)
);
comment on table marketing_automation_internal.name_lock is
    'API: private. One row for each name of a snippet, page or text that was ever written: whoever gives the name an owner holds it. '
    'Not dumped: it says nothing';
