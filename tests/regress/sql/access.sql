\set SHOW_CONTEXT never
select marketing_automation.create_scenario('readable', 'party') > 0 as created;
create role regress_nobody;
create role regress_proxy;
create role regress_reader;
select marketing_automation.grant_access('regress_proxy', 'tracking');
select marketing_automation.grant_access('regress_reader', 'reader');
select marketing_automation.grant_access('regress_reader', 'emperor');

set role regress_nobody;
select marketing_automation.tree('readable');
select * from marketing_automation.record;
reset role;

-- The proxy's role may call these functions and nothing else.
select p.proname from pg_proc p
where p.pronamespace = 'marketing_automation'::regnamespace and has_function_privilege('regress_proxy', p.oid, 'execute') order by 1;
select c.relname from pg_class c
where c.relnamespace = 'marketing_automation'::regnamespace and c.relkind in ('r', 'v', 'S')
  and (has_table_privilege('regress_proxy', c.oid, 'select, insert, update, delete, truncate, references, trigger'));
set role regress_proxy;
select count(*) > 0 as keys from marketing_automation.tracking_keys();
select n, known from marketing_automation.record_events(array[gen_random_uuid()], array['email_opened'], array['x'], array[now()], array['GET'], array[null]::inet[], array[null]::text[]);
select * from marketing_automation_internal.tracking_key;
select marketing_automation_internal.sign_token('unsubscribed', 1, 1);
select * from marketing_automation.enroll();
reset role;

-- A reader reads, but not the keys, and changes nothing.
set role regress_reader;
select count(*) >= 0 as records from marketing_automation.record;
select count(*) >= 0 as messages from marketing_automation.message;
select * from marketing_automation.tree('readable');
select * from marketing_automation_internal.tracking_key;
select marketing_automation.stop('readable');
delete from marketing_automation.event;
reset role;

-- What was given is taken back, but for what another access gives too.
select marketing_automation.grant_access('regress_reader', 'operator');
select marketing_automation.revoke_access('regress_reader', 'marketer');
select marketing_automation.revoke_access('regress_nobody', 'reader');
select marketing_automation.revoke_access(0::oid::regrole, 'reader');
select marketing_automation.revoke_access(null, 'reader');
create view pg_temp.may as select
    has_schema_privilege('regress_reader', 'marketing_automation', 'usage') as uses,
    has_table_privilege('regress_reader', 'marketing_automation.record', 'select') as reads,
    has_function_privilege('regress_reader', 'marketing_automation.worker_status()', 'execute') as asks,
    has_function_privilege('regress_reader', 'marketing_automation.block(uuid)', 'execute') as blocks;
select * from pg_temp.may;
select marketing_automation.revoke_access('regress_reader', 'operator');
select * from pg_temp.may;
select marketing_automation.revoke_access('regress_reader', 'reader');
select * from pg_temp.may;
-- Under another name, too.
select marketing_automation.grant_access('regress_reader', 'reader');
alter role regress_reader rename to regress_renamed;
select marketing_automation.revoke_access('regress_renamed', 'reader');
alter role regress_renamed rename to regress_reader;
select * from pg_temp.may;
-- A marketer's rights on columns too.
select marketing_automation.grant_access('regress_reader', 'marketer');
select marketing_automation.revoke_access('regress_reader', 'marketer');
select a.attrelid::regclass, a.attname, x.privilege_type from pg_attribute a cross join lateral aclexplode(a.attacl) x where x.grantee = 'regress_reader'::regrole;
select c.oid::regclass::text from pg_class c cross join lateral aclexplode(c.relacl) x where x.grantee = 'regress_reader'::regrole
union all select p.oid::regprocedure::text from pg_proc p cross join lateral aclexplode(p.proacl) x where x.grantee = 'regress_reader'::regrole;
drop owned by regress_proxy, regress_reader, regress_nobody;
drop role regress_proxy, regress_reader, regress_nobody;
delete from marketing_automation.scenario where name = 'readable';
