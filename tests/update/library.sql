-- The C functions of an installed version: what the library is called with, by symbol.
select p.prosrc, p.oid::regprocedure::text, array_to_string(array(select format_type(t, null) from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality u (t, n) order by n), ', '),
       format_type(p.prorettype, null), p.proretset, p.proisstrict
from pg_proc p join pg_language l on l.oid = p.prolang
where l.lanname = 'c' and p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
order by 1, 2
