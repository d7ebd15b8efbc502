-- Definitions, and small tables with what has happened: each team sees its own. The extension, which owns them, is not asked. What
-- batches work on has no policy: there are views over it.

alter table marketing_automation.scenario enable row level security;
create policy own on marketing_automation.scenario using (
    pg_has_role(owner_id, 'MEMBER')
    or (select has_function_privilege('marketing_automation.reads_every_scenario()'::regprocedure, 'execute')
            or pg_has_role('pg_read_all_data', 'USAGE'))) with check (true);
comment on policy own on marketing_automation.scenario is
    'Scenarios whose owner the role is a member of, or all for who reads every scenario. Who may write which: the trigger guard';

alter table marketing_automation.activity enable row level security;
create policy own on marketing_automation.activity using (
    scenario_id in (select s.id from marketing_automation.scenario s)) with check (true);
comment on policy own on marketing_automation.activity is 'Of the scenarios that the role sees';

alter table marketing_automation.activity_translation enable row level security;
create policy own on marketing_automation.activity_translation using (
    activity_id in (select a.id from marketing_automation.activity a)) with check (true);
comment on policy own on marketing_automation.activity_translation is 'Of the scenarios that the role sees';

alter table marketing_automation.conversion enable row level security;
create policy own on marketing_automation.conversion using (scenario_id in (select s.id from marketing_automation.scenario s));
comment on policy own on marketing_automation.conversion is 'Of the scenarios that the role sees';

-- 0, all scenarios, is not a team's.
alter table marketing_automation.unsubscription enable row level security;
create policy own on marketing_automation.unsubscription using (
    (select has_function_privilege('marketing_automation.reads_every_scenario()'::regprocedure, 'execute')
            or pg_has_role('pg_read_all_data', 'USAGE'))
    or scenario_id in (select s.id from marketing_automation.scenario s));
comment on policy own on marketing_automation.unsubscription is 'Of the scenarios that the role sees; of all scenarios for who sees all';

-- What an expression raises may quote a row: such errors are for who may read the row.
alter table marketing_automation.scenario_status enable row level security;
create policy quotes_no_row on marketing_automation.scenario_status for select using (
    scenario_id in (select s.id from marketing_automation.scenario s)
    and (last_error_code is null or left(last_error_code, 2) in ('42', '40', '53', '55', '57', '58')
        or marketing_automation.sees_rows(scenario_id)));
comment on policy quotes_no_row on marketing_automation.scenario_status is
    'Of the scenarios that the role sees. Rows whose last error may quote a row of the model are for who sees_rows() only';

-- Everybody who may read these reads all; but who may write a column of them may lock rows, and would keep other teams waiting.
alter table marketing_automation.model enable row level security;
create policy every on marketing_automation.model using (true) with check (true);
comment on policy every on marketing_automation.model is 'All teams'' models are seen. Who may write which: the trigger guard';
create policy own on marketing_automation.model as restrictive for update using (pg_has_role(owner_id, 'MEMBER')) with check (true);
comment on policy own on marketing_automation.model is 'Changed, and locked, are models whose owner the role is a member of';
alter table marketing_automation.snippet enable row level security;
create policy every on marketing_automation.snippet using (true) with check (true);
comment on policy every on marketing_automation.snippet is 'All teams'' snippets are seen. Who may write which: the trigger guard';
create policy own on marketing_automation.snippet as restrictive for update using (pg_has_role(owner_id, 'MEMBER')) with check (true);
comment on policy own on marketing_automation.snippet is 'Changed, and locked, are snippets whose owner the role is a member of';
alter table marketing_automation.send_window enable row level security;
create policy every on marketing_automation.send_window using (true) with check (true);
comment on policy every on marketing_automation.send_window is 'All teams'' windows are seen. Who may write which: the trigger guard';
create policy own on marketing_automation.send_window as restrictive for update using (pg_has_role(owner_id, 'MEMBER')) with check (true);
comment on policy own on marketing_automation.send_window is 'Changed, and locked, are windows whose owner the role is a member of';

-- Own ones, and what is of all teams.
alter table marketing_automation.definition_history enable row level security;
create policy own on marketing_automation.definition_history using (
    owner_id is null or pg_has_role(owner_id, 'MEMBER')
    or (select has_function_privilege('marketing_automation.reads_every_scenario()'::regprocedure, 'execute')
            or pg_has_role('pg_read_all_data', 'USAGE')));
comment on policy own on marketing_automation.definition_history is
    'Of definitions whose owner the role is a member of, and of what no team owns; all for who reads every scenario';

-- Who sees other teams' definitions, as a reader does, may neither change nor lock them.
create policy changed on marketing_automation.scenario as restrictive for update using (pg_has_role(owner_id, 'MEMBER')) with check (true);
comment on policy changed on marketing_automation.scenario is 'Changed, and locked, are scenarios whose owner the role is a member of';
create policy changed on marketing_automation.activity as restrictive for update using (
    scenario_id in (select s.id from marketing_automation.scenario s where pg_has_role(s.owner_id, 'MEMBER'))) with check (true);
comment on policy changed on marketing_automation.activity is 'Of scenarios whose owner the role is a member of';
create policy changed on marketing_automation.activity_translation as restrictive for update using (
    activity_id in (
        select a.id from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
        where pg_has_role(s.owner_id, 'MEMBER'))) with check (true);
comment on policy changed on marketing_automation.activity_translation is 'Of scenarios whose owner the role is a member of';
