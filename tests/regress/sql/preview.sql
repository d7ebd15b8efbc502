\set SHOW_CONTEXT never
-- The mail as it would be, without sending or storing anything.
select marketing_automation.create_scenario('shown', 'customer', 'false') > 0 as created;
insert into marketing_automation.snippet (name, language, body) values ('bye', '', '<p><a href="unsubscribe">Leave</a></p>'), ('bye', 'fr', '<p><a href="unsubscribe">Partir</a></p>');
select marketing_automation.add_activity('shown', 'mail', sender => 'Shop <shop@shop.example>', subject => 'Hello {{ record.name }}',
    body => E'<html><body>\n<h1>Hello {{ party.name }}</h1>\n<p><a href="https://shop.example/?a=1&amp;b=2">Shop</a> costs {{ 1234.5 | format_currency("EUR") }}</p>\n{% include "bye" %}\n</body></html>') > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, body)
select id, 'fr', '<p>Bonjour {{ party.name }}, {{ 1234.5 | format_number(2) }}</p>{% include "bye" %}' from marketing_automation.activity where name = 'mail' and sender is not null;
select marketing_automation.add_activity('shown', 'after', parent => 'mail', action => null) > 0 as added;

select sender, subject from marketing_automation.preview('shown', 'mail', '2');
select html from marketing_automation.preview('shown', 'mail', '2', 'en') \g (format=unaligned tuples_only=on)
select text from marketing_automation.preview('shown', 'mail', '2', 'en') \g (format=unaligned tuples_only=on)
select line from marketing_automation.preview('shown', 'mail', '2', 'en') p, regexp_split_to_table(p.headers, E'\n') line
where line !~ '^(Date|Content|Message-ID|Feedback|MIME| |\t)' order by 1;
select subject, regexp_replace(text, E'\u202f|\u00a0', '_', 'g') as text from marketing_automation.preview('shown', 'mail', '2', 'fr_CA') \g (format=unaligned tuples_only=on)

select count(*) from marketing_automation.link where url like 'https://shop.example/?a=1%';
select count(*) from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id where a.name = 'mail' and a.sender is not null;

-- Named errors.
select * from marketing_automation.preview('shown', 'after', '2');
select * from marketing_automation.preview('shown', 'mail', '999');
update marketing_automation.activity set body = '<p>{{ record.name | format_date }}</p>' where name = 'mail' and sender is not null;
select * from marketing_automation.preview('shown', 'mail', '2', 'en');
-- A row that gets no mail for want of an address is shown all the same.
update shop.customer set email = null where id = 2;
select subject from marketing_automation.preview('shown', 'mail', '2', 'fr');
update shop.customer set email = 'customer2@shop.example' where id = 2;

-- Members of the owner only.
create role regress_previewer;
select marketing_automation.grant_access('regress_previewer', 'marketer');
select marketing_automation.grant_access('regress_previewer', 'admin');
set role regress_previewer;
select * from marketing_automation.preview('shown', 'mail', '2');
insert into marketing_automation.party (name, email) values ('Zoë', 'zoe@shop.example') returning id as zoe \gset
select marketing_automation.create_scenario('of previewer', 'party') > 0 as created;
select marketing_automation.add_activity('of previewer', 'mail', subject => 'Hi {{ party.name }}', body => 'b{% include "bye" %}') > 0 as added;
-- The model party is the superuser's: its rows are read by the scenario's owner.
select subject from marketing_automation.preview('of previewer', 'mail', :'zoe');
reset role;

delete from marketing_automation.party where id = :zoe;
delete from marketing_automation.scenario where name in ('shown', 'of previewer');
delete from marketing_automation.snippet;
drop owned by regress_previewer;
drop role regress_previewer;
