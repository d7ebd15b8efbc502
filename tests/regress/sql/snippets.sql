\set SHOW_CONTEXT never
-- Pieces that templates share.
select marketing_automation.create_scenario('shared', 'customer') > 0 as created;
-- Checked when written: syntax, snippets that do not exist, circles, names that are computed.
insert into marketing_automation.snippet (name, body) values ('footer', E'<p>\n{% if x %}</p>');
insert into marketing_automation.snippet (name, body) values ('footer', '{{ 1 | nope }}');
insert into marketing_automation.snippet (name, body) values ('footer', '{% include "address" %}');
insert into marketing_automation.snippet (name, body) values ('footer', '{% include x %}');
insert into marketing_automation.snippet (name, body) values ('footer', E'{{ record.name }}\n<mj-section><mj-colum>x</mj-colum></mj-section>');
insert into marketing_automation.snippet (name, body) values ('footer', '<mj-text colour="red">x</mj-text>');
insert into marketing_automation.snippet (name, body) values ('footer', '<mj-include path="./footer.mjml" />');
\set VERBOSITY terse
insert into marketing_automation.snippet (name, body) values ('a/b', '');
\set VERBOSITY default
insert into marketing_automation.snippet (name, language, body) values ('footer', 'fr', '<p>Au revoir</p>');
insert into marketing_automation.snippet (name, body) values ('footer', '<p>Bye, {{ record.name }}</p>');
insert into marketing_automation.snippet (name, body) values ('layout', '<html><body>{% block content %}{% endblock %}{% include "footer" %}</body></html>');
update marketing_automation.snippet set body = '{% include "layout" %}' where name = 'footer' and language = '';

select marketing_automation.add_activity('shared', 'mail', subject => 's', body => '{% include "foter" %}');
select marketing_automation.add_activity('shared', 'mail', subject => 's', body => '{% extends "layout" %}{% block content %}<p>Hello</p>{% endblock %}') > 0 as added;

-- Who uses it must still work; deleting it is an error that names the users.
update marketing_automation.snippet set body = '<p>{{ record.nmae }}</p>' where name = 'footer' and language = '';
delete from marketing_automation.snippet where name = 'footer';
update marketing_automation.snippet set name = 'bottom' where name = 'footer' and language = '';
delete from marketing_automation.snippet where name = 'footer' and language = 'fr';
select name, language, version > 0 as numbered from marketing_automation.snippet order by 1, 2;
select body as before, version from marketing_automation.snippet where name = 'footer' \gset
update marketing_automation.snippet set body = '<p>Goodbye</p>' where name = 'footer';
select version > :version as raised from marketing_automation.snippet where name = 'footer';

-- Everybody may use it, members of its owner change it.
create role regress_snippets;
select marketing_automation.grant_access('regress_snippets', 'marketer');
set role regress_snippets;
update marketing_automation.snippet set body = 'x' where name = 'footer';
insert into marketing_automation.snippet (name, body) values ('mine', 'x');
select marketing_automation.create_scenario('sharing too', 'party') > 0 as created;
select marketing_automation.add_activity('sharing too', 'mail', subject => 's', body => '{% include "footer" %}{% include "mine" %}{% include "nowhere" ignore missing %}') > 0 as added;
reset role;
delete from marketing_automation.snippet where name = 'mine';

delete from marketing_automation.scenario where name in ('shared', 'sharing too');
delete from marketing_automation.snippet;
drop owned by regress_snippets;
drop role regress_snippets;
