-- Which role has been given which access: an update gives the rights again, as it may bring new objects.

create table marketing_automation_internal.access_grant (
    role name not null,
    access text not null,
    primary key (role, access)
);
comment on table marketing_automation_internal.access_grant is
    'API: private. What grant_access() has given. Names: a dump is restored where the roles do not exist yet';
