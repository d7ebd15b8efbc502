\set SHOW_CONTEXT never
-- What a style sheet says is written into the elements of the mails of a scenario that wants it.
create schema styled;
create table styled.buyer (id integer primary key, email text, color text);
insert into styled.buyer values (1, 'ada@styled.example', 'teal'), (2, 'bob@styled.example', null);
select marketing_automation.register_model('styled', 'styled.buyer', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('styled', 'styled') as id \gset
select marketing_automation.add_activity('styled', 'mail', sender => 'Shop <shop@styled.example>', subject => 's',
    body => '<style>p {color: {{ record.color }}} @media print {p {color: black}} .off {display: none}</style><p>a <a href="unsubscribe">x</a></p><p class="off">gone</p>') as mail \gset
select html, text from marketing_automation.preview('styled', 'mail', '1');
update marketing_automation.scenario set inline_css = true where id = :id;
select version from marketing_automation.activity where id = :mail;
select html, text from marketing_automation.preview('styled', 'mail', '1');
select html from marketing_automation.preview('styled', 'mail', '2');
-- MJML, too.
update marketing_automation.activity set body = '<mjml><mj-head><mj-style>.red {color: red}</mj-style></mj-head><mj-body><mj-section><mj-column><mj-text css-class="red">{{ record.id }} <a href="unsubscribe">x</a></mj-text></mj-column></mj-section></mj-body></mjml>' where id = :mail;
select substring(html from '<td[^>]*class="red"[^>]*>') ~ 'style="[^"]*color:red;' as styled from marketing_automation.preview('styled', 'mail', '1');
-- A mail that would have too many values fails, and is found before.
update marketing_automation.activity set body = '<style>{% for i in range(300) %}* {top: 0}{% endfor %}</style>{% for i in range(200) %}<p>a{% endfor %}<a href="unsubscribe">x</a>' where id = :mail;
select severity, activity, message from marketing_automation.check_scenario('styled') where severity = 'error';
-- It is part of the definition.
select marketing_automation.export_scenario('styled') -> 'scenario' -> 'inline_css' as inline_css;
select marketing_automation.copy_scenario('styled', 'styled too') > 0 as copied;
select inline_css from marketing_automation.scenario where name = 'styled too';
select change, object, attribute, before, after from marketing_automation.import_scenario(jsonb_set(marketing_automation.export_scenario('styled'),
    '{scenario,inline_css}', 'false'), 'styled too', dry_run => true);
select marketing_automation.create_scenario('styled too', 'styled', inline_css => true, replace => true) > 0 as replaced, inline_css
from marketing_automation.scenario where name = 'styled too';
\set VERBOSITY terse
update marketing_automation.scenario set inline_css = null where id = :id;
\set VERBOSITY default
delete from marketing_automation.scenario where name in ('styled', 'styled too');
select marketing_automation.unregister_model('styled');
set client_min_messages = error;
drop schema styled cascade;
