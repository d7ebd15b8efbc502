\set SHOW_CONTEXT never
-- What a campaign has brought: each conversion counts, each record once.
select marketing_automation.create_scenario('conversions', 'customer', domain => 'self.id in (5, 6)') > 0 as created;
select marketing_automation.add_activity('conversions', 'only', action => null) > 0 as added;
select marketing_automation.run('conversions');
select enrolled from marketing_automation.enroll('conversions');
create view shop.converting as
    select r.key, r.id, r.uuid from marketing_automation.record r join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'conversions';
select marketing_automation.record_conversion(uuid, 12.50, '2026-03-01 12:00+00') > 0 as recorded from shop.converting;
select marketing_automation.record_conversion(uuid) > 0 as recorded from shop.converting where key = '5';
select marketing_automation.record_conversion('00000000-0001-8000-8000-000000000000');
select marketing_automation.record_conversion(null);
-- What has no sum, and no place in time, would spoil the report of its scenario.
select marketing_automation.record_conversion(uuid, 'NaN') from shop.converting where key = '5';
select marketing_automation.record_conversion(uuid, '-Infinity') from shop.converting where key = '5';
select marketing_automation.record_conversion(uuid, 1, 'infinity') from shop.converting where key = '5';
select x.key, c.value, c.at <= now() as past from marketing_automation.conversion c join shop.converting x on x.id = c.record_id order by x.key, c.id;
select * from marketing_automation.conversion_report where scenario = 'conversions';
select marketing_automation.stop('conversions');
drop view shop.converting;
