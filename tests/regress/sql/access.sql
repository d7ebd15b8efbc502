\set SHOW_CONTEXT never
create role regress_nobody;
create role regress_proxy;
create role regress_reader;
select marketing_automation.grant_access('regress_proxy', 'tracking');
select marketing_automation.grant_access('regress_reader', 'reader');
select marketing_automation.grant_access('regress_reader', 'emperor');

set role regress_nobody;
select marketing_automation.tree('process');
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
select count(*) > 0 as records from marketing_automation.record;
select count(*) >= 0 as messages from marketing_automation.message;
select count(*) from marketing_automation.tree('process');
select * from marketing_automation_internal.tracking_key;
select marketing_automation.stop('process');
delete from marketing_automation.event;
reset role;
drop owned by regress_proxy, regress_reader, regress_nobody;
drop role regress_proxy, regress_reader, regress_nobody;
