\set SHOW_CONTEXT never
-- A goal that raises for a row, where no root has a condition: all rows enter, and what raises is that row's.
create schema raising;
create table raising.guest (id integer primary key, spent integer);
insert into raising.guest select n, n - 3 from generate_series(1, 6) n;
select marketing_automation.register_model('raising', 'raising.guest', key => 'self.id', party => 'self.id');
select marketing_automation.create_scenario('raising', 'raising', goal => '10 / self.spent > 5') > 0 as created;
select marketing_automation.add_activity('raising', 'raising first', action => null) > 0 as added;
select marketing_automation.run('raising');
select scenario, enrolled, error from marketing_automation.enroll('raising');
select r.key, r.goal_before from marketing_automation.record r where r.scenario_id = marketing_automation.scenario_id('raising') order by 1;
call marketing_automation.process_all_due();
select r.key, ra.state, ra.outcome, ra.error from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id and a.name = 'raising first'
join marketing_automation.record r on r.id = ra.record_id order by 1;
-- One by whose occasion it cannot be told what it enters for stands apart beside it.
select marketing_automation.create_scenario('raising twice', 'raising', goal => '10 / self.spent > 5', occasion => '(10 / (self.spent - 1))::text') > 0 as created;
select marketing_automation.add_activity('raising twice', 'raising second', action => null) > 0 as added;
select marketing_automation.run('raising twice');
select scenario, enrolled, error from marketing_automation.enroll('raising twice');
select marketing_automation.stop(s) from unnest(array['raising', 'raising twice']) s;
-- Whose activity a number means is not told to who may not see it.
create role regress_ray;
select marketing_automation.grant_access('regress_ray', 'marketer');
grant usage on schema raising to regress_ray;
grant select on raising.guest to regress_ray;
set role regress_ray;
select marketing_automation.register_model('ray', 'raising.guest', key => 'self.id');
select marketing_automation.create_scenario('ray', 'ray') > 0 as created;
create function pg_temp.follow(other integer) returns text language plpgsql as $$
begin
    insert into marketing_automation.activity (scenario_id, name, parent_id, action) values (marketing_automation.scenario_id('ray'), 'after another', other, null);
exception when others then
    return replace(sqlerrm, other::text, '…');
end $$;
reset role;
select a.id as other from marketing_automation.activity a where a.name = 'raising first' \gset
set role regress_ray;
select pg_temp.follow(:other), pg_temp.follow(0);
reset role;
