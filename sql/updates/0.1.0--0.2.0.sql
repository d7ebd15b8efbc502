-- What tables need on the way from 0.1.0 to 0.2.0.

-- Who was given an access is found again under another name.
alter table marketing_automation_internal.access_grant add column role_id oid;
update marketing_automation_internal.access_grant g set role_id = r.oid from pg_catalog.pg_roles r where r.rolname = g.role;
comment on column marketing_automation_internal.access_grant.role_id is
    'The role of that name when it was given, for one that was renamed since; says nothing in another server''s copy';
