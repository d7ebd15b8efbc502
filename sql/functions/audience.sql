-- Who sees what is in a row: members of the scenario's owner, with whose rights it is read, and who may read the relation anyway, all
-- of its rows. Others see that there is something, when, and how it went.

create view marketing_automation_internal.row_filter as
with recursive behind as (
    -- reader: as whom it is read, null: as whoever reads the first one
    select m.relation::oid as relation, m.relation::oid as id, null::oid as reader from marketing_automation.model m
    union
    select b.relation, d.refobjid, case when exists (select from unnest(v.reloptions) o where o ~ '^security_invoker=(t|y|on|1)')
        then b.reader else v.relowner end
    from behind b
    join pg_class v on v.oid = b.id and v.relkind = 'v'
    join pg_rewrite w on w.ev_class = v.oid
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
)
select b.relation, c.relowner as owner_id, c.relforcerowsecurity as forced, b.reader is null as by_reader
from behind b
join pg_class c on c.oid = b.id
left join pg_roles r on r.oid = b.reader
where (c.relrowsecurity or c.relkind = 'v' and exists (select from unnest(c.reloptions) o where o ~ '^security_barrier=(t|y|on|1)'))
  and (b.reader is null
    or not (r.rolsuper or r.rolbypassrls) and (c.relforcerowsecurity or not pg_has_role(r.oid, c.relowner, 'USAGE')));
comment on view marketing_automation_internal.row_filter is
    'API: private. What hides rows of models'' relations, at any depth of views: row security, and views that are security barriers. '
    'by_reader: from whoever reads, but for members of owner_id unless forced; else from everybody';

create view marketing_automation_internal.hidden_relation as
select f.relation from marketing_automation_internal.row_filter f
where not f.by_reader
   or not (select r.rolsuper or r.rolbypassrls from pg_roles r where r.rolname = current_user)
      and (f.forced or not pg_has_role(f.owner_id, 'USAGE'));
comment on view marketing_automation_internal.hidden_relation is
    'API: private. Relations of models of which the current user may not see all rows, whatever else it may';

create view marketing_automation_internal.open_activity as
select a.id
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id
left join marketing_automation.model m on m.name = s.model
where pg_has_role(s.owner_id, 'MEMBER')
   or has_table_privilege(m.relation, 'SELECT')
      and m.relation::oid not in (select h.relation from marketing_automation_internal.hidden_relation h);
comment on view marketing_automation_internal.open_activity is
    'API: private. Activities of which the current user may see contents of the rows that they have read. Views compare with an array of '
    'them, which is made once a query: asked row by row it made reading a log cost seconds';

create function marketing_automation_internal.sees_rows(caller regrole, scenario_id integer) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
begin
    return (
        select coalesce(pg_has_role(caller, s.owner_id, 'MEMBER'), false)
            or coalesce(has_table_privilege(caller, m.relation, 'SELECT'), false)
                and not exists (
                    select from marketing_automation_internal.row_filter f join pg_roles r on r.oid = caller
                    where f.relation = m.relation
                      and (not f.by_reader
                        or not (r.rolsuper or r.rolbypassrls) and (f.forced or not pg_has_role(caller, f.owner_id, 'USAGE'))))
        from marketing_automation.scenario s left join marketing_automation.model m on m.name = s.model
        where s.id = sees_rows.scenario_id);
end $$;
comment on function marketing_automation_internal.sees_rows(regrole, integer) is 'API: private. Behind sees_rows()';

create function marketing_automation.sees_rows(scenario_id integer) returns boolean
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.sees_rows(integer) is
    'API: public. Whether you may see contents of the rows of a scenario: as a member of its owner, or since you may read all rows of the '
    'relation of its model';
