-- All that the catalog says of the extension, a line for each fact: what it is about, and what holds. Nothing in it depends on OIDs,
-- nor on the order in which columns were added.
with extension as (
    select e.* from pg_extension e where e.extname = 'marketing_automation'
), member as (
    select d.classid, d.objid from pg_depend d join extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
    where d.deptype = 'e'
), relation as (
    select c.* from pg_class c
    where c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
), attribute as (
    select a.*, r.oid::regclass::text as relation, r.relkind from relation r
    join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped where r.relkind not in ('i', 'I')
), routine as (
    select p.* from pg_proc p
    where p.pronamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
), acl as (
    select 'schema ' || n.nspname as what, coalesce(n.nspacl, acldefault('n', n.nspowner)) as acl from pg_namespace n
    where n.nspname in ('marketing_automation', 'marketing_automation_internal')
    union all
    select 'relation ' || r.oid::regclass, coalesce(r.relacl, acldefault(case r.relkind when 'S' then 's'::"char" else 'r' end, r.relowner)) from relation r
    union all
    select 'column ' || a.relation || '.' || a.attname, a.attacl from attribute a
    union all
    select 'routine ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)) from routine p
), initial as (
    select pg_describe_object(i.classoid, i.objoid, i.objsubid) as what, i.initprivs from pg_init_privs i
    where exists (select from member m where m.classid = i.classoid and m.objid = i.objoid)
)
select 'member ' || i.type || ' ' || i.identity as what, '' as is from member m cross join pg_identify_object(m.classid, m.objid, 0) i
union all
select 'relation ' || r.oid::regclass,
       concat_ws(', ', r.relkind, r.relpersistence, r.relowner::regrole, array_to_string(r.reloptions, ' '), r.relrowsecurity, r.relreplident,
                 pg_get_partkeydef(r.oid), pg_get_expr(r.relpartbound, r.oid),
                 (select string_agg(i.inhparent::regclass::text, ' ') from pg_inherits i where i.inhrelid = r.oid))
from relation r
union all
select 'column ' || a.relation || '.' || a.attname,
       concat_ws(', ', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end, pg_get_expr(d.adbin, d.adrelid),
                 nullif(a.attidentity, ''), nullif(a.attgenerated, ''), a.attstorage, nullif(a.attcompression, ''), a.attcollation::regcollation,
                 nullif(a.attstattarget, -1),
                 -- Minor releases note an OID there.
                 (select string_agg(o, ' ') from unnest(a.attoptions) o where o not like 'pg\_attver=%'))
from attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
union all
select 'column order of ' || v.relation, string_agg(v.attname, ' ' order by v.attnum) from attribute v where v.relkind = 'v' group by v.relation
union all
select 'routine ' || p.oid::regprocedure, p.proowner::regrole || ' ' || pg_get_functiondef(p.oid) from routine p
union all
select 'view ' || r.oid::regclass, pg_get_viewdef(r.oid) from relation r where r.relkind = 'v'
union all
select 'trigger ' || t.tgname || ' on ' || r.oid::regclass, concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid))
from relation r join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
union all
select 'constraint ' || c.conname || ' on ' || coalesce(r.oid::regclass::text, ''), pg_get_constraintdef(c.oid) || ' ' || c.convalidated
from relation r join pg_constraint c on c.conrelid = r.oid
union all
select 'index ' || i.indexrelid::regclass, pg_get_indexdef(i.indexrelid) || concat_ws(', ', '', i.indisvalid, i.indisreplident, i.indisclustered)
from relation r join pg_index i on i.indexrelid = r.oid
union all
select 'rule ' || u.rulename || ' on ' || r.oid::regclass, pg_get_ruledef(u.oid) from relation r join pg_rewrite u on u.ev_class = r.oid where u.rulename <> '_RETURN'
union all
select 'policy ' || p.polname || ' on ' || r.oid::regclass,
       concat_ws(', ', p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, r.oid), pg_get_expr(p.polwithcheck, r.oid))
from relation r join pg_policy p on p.polrelid = r.oid
union all
select 'statistics ' || s.stxname, pg_get_statisticsobjdef(s.oid) from relation r join pg_statistic_ext s on s.stxrelid = r.oid
union all
select 'sequence ' || r.oid::regclass,
       concat_ws(', ', format_type(s.seqtypid, null), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle,
                 (select d.refobjid::regclass || '.' || a.attname from pg_depend d
                  join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                  where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')))
from relation r join pg_sequence s on s.seqrelid = r.oid
union all
select 'type ' || format_type(t.oid, null), concat_ws(', ', t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
       (select string_agg(e.enumlabel, ' ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid))
from pg_type t where t.typtype in ('d', 'e', 'r') and t.typnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
union all
select 'comment on ' || pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description
from pg_description d
where exists (select from member m where m.classid = d.classoid and m.objid = d.objoid)
   or d.classoid = 'pg_class'::regclass and d.objoid in (select r.oid from relation r)
   or d.classoid = 'pg_trigger'::regclass and d.objoid in (select t.oid from pg_trigger t join relation r on r.oid = t.tgrelid)
   or d.classoid = 'pg_constraint'::regclass and d.objoid in (select c.oid from pg_constraint c join relation r on r.oid = c.conrelid)
   or d.classoid = 'pg_extension'::regclass and d.objoid = (select e.oid from extension e)
union all
select 'right on ' || a.what, concat_ws(' ', coalesce(nullif(x.grantee, 0)::regrole::text, 'PUBLIC'), x.privilege_type, x.is_grantable, 'by', x.grantor::regrole)
from acl a cross join aclexplode(a.acl) x
union all
select 'initial right on ' || i.what, concat_ws(' ', coalesce(nullif(x.grantee, 0)::regrole::text, 'PUBLIC'), x.privilege_type)
from initial i cross join aclexplode(i.initprivs) x
union all
select 'dump of ' || c.relation::regclass, c.condition
from extension e cross join unnest(e.extconfig, e.extcondition) as c (relation, condition)
union all
select 'extension', concat_ws(', ', e.extversion, e.extowner::regrole, e.extnamespace::regnamespace, e.extrelocatable) from extension e
order by 1, 2
