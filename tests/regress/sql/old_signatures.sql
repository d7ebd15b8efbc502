\set SHOW_CONTEXT never
-- The signatures of 0.1.0, by place and without types, mean one function, as calls with fewer and with more arguments do.
select marketing_automation.create_scenario('by place', 'party', 'false', false, 'en', null, false, true, true) > 0 as all_nine;
select marketing_automation.add_activity('by place', 'eleven', null, null, null, '1 hour', null, null, null, null, null) > 0 as all_eleven;
select marketing_automation.add_activity('by place', 'typed', null::text, null::text, null::text, interval '1 hour', null::text, null::text, null::text, null::text,
    null::interval) > 0 as typed;
select marketing_automation.add_activity('by place', 'mail', null, null, null, '1 hour', 'send_email', null, 's', '<p>x</p>') > 0 as ten;
select marketing_automation.add_activity('by place', 'hour', null, null, null, '1 hour', null, null, null, null, null, '12:00') > 0 as twelve;
select marketing_automation.create_scenario('by ten', 'party', 'false', false, 'en', null, false, true, true, 'Title') > 0 as ten;
select s.language, a.name, a.action, a.delay, a.at_time from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
where s.name = 'by place' order by a.id;
select marketing_automation.delete_scenario('by place'), marketing_automation.delete_scenario('by ten');
select marketing_automation.register_model('by place', 'marketing_automation.party', 'self.id', null, null, null, null, null, null, null);
select marketing_automation.register_model('by place', 'marketing_automation.party', 'self.id', 'self.id', null, null, '''fr''');
select marketing_automation.register_model('by place', 'marketing_automation.party', 'self.id', null, null, null, null, null, null, null, false);
select m.party, m.language from marketing_automation.model m where m.name = 'by place';
select marketing_automation.unregister_model('by place');
