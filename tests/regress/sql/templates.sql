\set SHOW_CONTEXT never
-- Templates are compiled when they are written; errors name activity, part, line and column.
select marketing_automation.create_scenario('templates', 'customer') > 0 as created;
select marketing_automation.add_activity('templates', 'a', subject => 'Hello {{ record.name', body => 'b');
select marketing_automation.add_activity('templates', 'a', subject => 's', body => E'<p>\n  {% if record.score > 1 %}\n</p>');
select marketing_automation.add_activity('templates', 'a', sender => '{{ x', subject => 's', body => 'b');
select marketing_automation.add_activity('templates', 'a', subject => 's', body => '<p>{{ record.name }}</p>') > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, body)
select id, 'fr', '{% for %}' from marketing_automation.activity where name = 'a';
update marketing_automation.activity set body = '{{' where name = 'a';
select body, version from marketing_automation.activity where name = 'a';
-- What no mail can be made of is refused, though only some mails would take that branch.
select marketing_automation.add_activity('templates', 'b', subject => 's', body => E'<mjml><mj-body><mj-section><mj-column>\n'
    '<mj-text>{% if record.score > 1 %}5 < 6{% endif %}</mj-text></mj-column></mj-section></mj-body></mjml>');
-- So is an address that no row makes one.
select marketing_automation.add_activity('templates', 'b', sender => '{{ record.name }} <hello@@shop.example>', subject => 's', body => 'b');
select marketing_automation.add_activity('templates', 'b', sender => '{{ record.name }}@@shop.example', subject => 's', body => 'b');
delete from marketing_automation.scenario where name = 'templates';
