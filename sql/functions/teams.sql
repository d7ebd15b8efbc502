-- Several teams in one database. A role has to do with the scenarios whose owner it is a member of; with all others only where an
-- access says so. The markers are functions: whoever may execute one has that right, so it is granted, revoked, inherited and dumped
-- like any other. Which access has which: access.sql.

create function marketing_automation.counts_every_scenario() returns boolean
language sql immutable parallel safe return true;
comment on function marketing_automation.counts_every_scenario() is
    'API: public. Who may call it sees the numbers of every scenario, not only of those whose owner it is a member of';

create function marketing_automation.reads_every_scenario() returns boolean
language sql immutable parallel safe return true;
comment on function marketing_automation.reads_every_scenario() is
    'API: public. Who may call it sees every scenario, its records, mails and events, not only where it is a member of the owner';

create function marketing_automation.operates_every_scenario() returns boolean
language sql immutable parallel safe return true;
comment on function marketing_automation.operates_every_scenario() is
    'API: public. Who may call it enrolls, processes, blocks, cancels and retries in every scenario, not only where it is a member of '
    'the owner';

create function marketing_automation.enters_every_scenario() returns boolean
language sql immutable parallel safe return true;
comment on function marketing_automation.enters_every_scenario() is
    'API: public. Who may call it enters rows by their keys into every scenario, not only where it is a member of the owner';

create function marketing_automation_internal.has_right(caller regrole, owner_id oid, what text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- An owner that was dropped has no members. pg_read_all_data reads the tables already.
    select coalesce(pg_has_role(caller, owner_id, 'MEMBER'), false)
        or has_function_privilege(caller, case what
            when 'count' then 'marketing_automation.counts_every_scenario()'::regprocedure
            when 'read' then 'marketing_automation.reads_every_scenario()'::regprocedure
            when 'enter' then 'marketing_automation.enters_every_scenario()'::regprocedure
            when 'operate' then 'marketing_automation.operates_every_scenario()'::regprocedure end, 'execute')
        or what in ('count', 'read') and pg_has_role(caller, 'pg_read_all_data', 'USAGE')
$$;
comment on function marketing_automation_internal.has_right(regrole, oid, text) is
    'API: private. Whether a role may count, read, enter or operate scenarios of this owner; owner_id null: those of everybody';

create function marketing_automation_internal.demand_right(caller regrole, scenario marketing_automation.scenario, what text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.has_right(caller, scenario.owner_id, what) then
        raise exception 'must be a member of role %, the owner of scenario "%"', scenario.owner, scenario.name
            using errcode = 'insufficient_privilege',
                  hint = case what
                      when 'count' then 'Its members change it; the access "reports" shows the numbers of all scenarios.'
                      when 'read' then 'The access "reader" shows all scenarios.'
                      when 'enter' then 'The access "enroller" enters rows into all scenarios.'
                      else 'The access "operator" runs all scenarios.' end;
    end if;
end $$;
comment on function marketing_automation_internal.demand_right(regrole, marketing_automation.scenario, text) is
    'API: private. Raises unless a role may do that with a scenario: count, read, enter or operate';

create function marketing_automation_internal.scenario_for(caller regrole, name text, what text) returns marketing_automation.scenario
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation.scenario := marketing_automation_internal.scenario_named(name);
begin
    perform marketing_automation_internal.demand_right(caller, result, what);
    return result;
end $$;
comment on function marketing_automation_internal.scenario_for(regrole, text, text) is
    'API: private. The scenario of that name, for a role that may count, read, enter or operate it; else an error';

create function marketing_automation_internal.demand_activity(caller regrole, activity_id integer) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    -- What no activity is known of is told by whoever looks for it.
    perform marketing_automation_internal.demand_right(caller, s, 'operate')
    from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
    where a.id = demand_activity.activity_id;
end $$;
comment on function marketing_automation_internal.demand_activity(regrole, integer) is
    'API: private. Raises unless a role may operate the scenario of an activity';

create function marketing_automation_internal.demand_record(caller regrole, record uuid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    -- A record that does not exist is told by whoever looks for it.
    perform marketing_automation_internal.demand_right(caller, s, 'operate')
    from marketing_automation_internal.record r join marketing_automation.scenario s on s.id = r.scenario_id
    where r.id = marketing_automation.record_id(record) and r.uuid = record;
end $$;
comment on function marketing_automation_internal.demand_record(regrole, uuid) is
    'API: private. Raises unless a role may operate the scenario of the record of that public id';

-- Views run as their owner, and the current user is who reads. What they ask here is asked once a query and a scenario, not once a row.
create view marketing_automation_internal.reader as
select has_function_privilege('marketing_automation.reads_every_scenario()'::regprocedure, 'execute')
        or pg_has_role('pg_read_all_data', 'USAGE') as reads_every,
    has_function_privilege('marketing_automation.counts_every_scenario()'::regprocedure, 'execute')
        or pg_has_role('pg_read_all_data', 'USAGE') as counts_every;
comment on view marketing_automation_internal.reader is
    'API: private. One row: whether the current user sees the scenarios of all teams, and whether their numbers';

create view marketing_automation_internal.readable_scenario as
select s.id from marketing_automation.scenario s
where (select r.reads_every from marketing_automation_internal.reader r) or pg_has_role(s.owner_id, 'MEMBER');
comment on view marketing_automation_internal.readable_scenario is 'API: private. Scenarios that the current user may see';

create view marketing_automation_internal.readable_activity as
select a.id from marketing_automation.activity a
where a.scenario_id in (select s.id from marketing_automation_internal.readable_scenario s);
comment on view marketing_automation_internal.readable_activity is 'API: private. Activities of scenarios that the current user may see';

create view marketing_automation_internal.countable_scenario with (security_barrier) as
select s.id, s.name, s.state from marketing_automation.scenario s
where (select r.counts_every from marketing_automation_internal.reader r) or pg_has_role(s.owner_id, 'MEMBER');
comment on view marketing_automation_internal.countable_scenario is 'API: private. Scenarios whose numbers the current user may see';
