\set SHOW_CONTEXT never
-- A sweep for a goal reads the records that can still convert, and no others.
create schema sifted;
create table sifted.guest (id integer primary key);
insert into sifted.guest select generate_series(1, 20000);
select count(marketing_automation.register_model('sifted guest', 'sifted.guest', key => 'self.id')) as registered;
select marketing_automation.create_scenario('sifted', 'sifted guest', domain => 'false', goal => 'self.id % 1000 = 0') > 0 as created;
select marketing_automation.add_activity('sifted', 'nothing', action => null) > 0 as added;
select marketing_automation.run('sifted') is not null as runs;
insert into marketing_automation_internal.record (id, scenario_id, key, uuid, entered_at)
select n.id, marketing_automation.scenario_id('sifted'), n.key, marketing_automation_internal.new_record_uuid(n.id), now()
from (select nextval('marketing_automation.record_id_seq') as id, g.id::text as key from sifted.guest g) n;
insert into marketing_automation_internal.open_goal (scenario_id, record_id, until)
select r.scenario_id, r.id, now() + interval '30 days' from marketing_automation_internal.record r
where r.scenario_id = marketing_automation.scenario_id('sifted') and r.key::integer % 100 = 0;
analyze marketing_automation_internal.record, marketing_automation_internal.open_goal, sifted.guest;
begin;
select coalesce(sum(r.seq_tup_read + r.idx_tup_fetch), 0) as before from pg_stat_xact_user_tables r where r.relid = 'marketing_automation_internal.record'::regclass \gset
select marketing_automation.apply_goals('sifted') as looked_at;
-- Those 200, to ask and to read what they are, and the 20 that have converted, to lock them and to write that.
select r.seq_tup_read + r.idx_tup_fetch - :before < 1000 as reads_few
from pg_stat_xact_user_tables r where r.relid = 'marketing_automation_internal.record'::regclass;
commit;
select count(*) as converted from marketing_automation.conversion where scenario_id = marketing_automation.scenario_id('sifted');
select marketing_automation.stop('sifted');
