\set SHOW_CONTEXT never
-- An address of a link may hold anything of a row: it is seen by who may see contents, and of others what a template writes out.
create role regress_lina;
create role regress_lars;
create role regress_lou;
create schema linked;
create table linked.guest (id integer primary key, name text, email text, zone text, ordered text);
insert into linked.guest select n, 'name-' || n, format('guest%s@shop.example', n), case n when 3 then 'zone-of-3' end, 'order-of-' || n from generate_series(1, 3) n;
grant usage on schema linked to regress_lina, regress_lou;
grant select on linked.guest to regress_lina;
select count(*) from (values ('regress_lina', 'marketer'), ('regress_lou', 'reader'), ('regress_lars', 'reports')) as g (role, access)
cross join lateral marketing_automation.grant_access(g.role::regrole, g.access);
set role regress_lina;
select marketing_automation.register_model('linked', 'linked.guest', key => 'self.id', party => 'self.id', email => 'self.email', time_zone => 'self.zone');
select marketing_automation.create_scenario('linked', 'linked', occasion => 'self.ordered') > 0 as created;
insert into marketing_automation.snippet (name, body) values ('linked_foot', '<a href="https://linked.example/about">About</a>');
select marketing_automation.add_activity('linked', 'linked letter', subject => 's', body => '<a href="https://linked.example/of/{{ record.name }}/100%_off?utm_source=may&who={{ record.name }}">Yours</a>
    <a href="https://linked.example/sale">Sale</a> {% include "linked_foot" %} <a href="{{ record.name }}">x</a>') > 0 as added;
insert into marketing_automation.activity_translation (activity_id, language, body)
select a.id, 'fr', '<a href="https://linked.example/soldes">Soldes</a>' from marketing_automation.activity a where a.name = 'linked letter';
set client_min_messages = error;
select marketing_automation.run('linked');
select enrolled from marketing_automation.enroll('linked');
reset client_min_messages;
reset role;
insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, link_id, method)
select gen_random_uuid(), now(), 'email_clicked', r.id, a.id, l.id, 'GET'
from marketing_automation_internal.record r
join marketing_automation.activity a on a.scenario_id = r.scenario_id and a.name = 'linked letter'
join linked.guest g on g.id::text = r.key
cross join lateral marketing_automation_internal.link_ids(array[format('https://linked.example/of/%s/100%%_off?utm_source=may&who=%1$s', g.name), 'https://linked.example/sale',
    'https://linked.example/about', 'https://linked.example/soldes', format('https://elsewhere.example/%s', g.name)]) l
where r.scenario_id = marketing_automation.scenario_id('linked');

-- A member of the owner sees all, who reads every scenario the host, who sees numbers what is written out.
set role regress_lina;
select e.url, count(*) from marketing_automation.event e join marketing_automation.activity a on a.id = e.activity_id and a.name = 'linked letter' group by e.url order by e.url collate "C";
select link, label, people, clicks from marketing_automation.link_report('linked') order by link collate "C";
set role regress_lou;
select e.url, count(*) from marketing_automation.event e join marketing_automation.activity a on a.id = e.activity_id and a.name = 'linked letter' group by e.url order by e.url collate "C";
select link, label, people, clicks from marketing_automation.link_report('linked') order by link collate "C";
select count(*) from marketing_automation.link;
set role regress_lars;
select link, label, people, clicks from marketing_automation.link_report('linked') order by link collate "C";
select marketing_automation.report_html('linked') ~ '(name|order-of)-[0-9]' as names_somebody;
reset role;
-- Who has a link to the report is nobody who may see contents.
set marketing_automation.report_links = on;
set marketing_automation.automation_base = 'https://track.example';
select count(*) from marketing_automation.tracking_keys() \gset keys_
select p ~ '(name|order-of)-[0-9]' as names_somebody, p ~ 'Yours' as quotes_the_mail, p ~ 'linked.example&#x2f;of&#x2f;…&#x2f;' as shows_links
from marketing_automation.report_by_token((select split_part(marketing_automation.report_link('linked'), '/r/', 2)), 'en') p;
grant select on linked.guest to regress_lou;
set role regress_lou;
select count(*) from marketing_automation.event e where e.url ~ 'name-1';
reset role;
revoke select on linked.guest from regress_lou;

-- What a row says now is not told to who may not read it: its time zone, the occasion for which it would enter.
insert into linked.guest values (4, 'name-4', 'guest4@shop.example', null, 'order-of-4');
update linked.guest set ordered = 'other-' || ordered where id = 3;
set role regress_lou;
select regexp_replace(fact, '^entered .*?, ', 'entered …, ') as fact from marketing_automation.explain_record('linked', '3') where about = 'record';
select detail from marketing_automation.simulate('linked', '4') where outcome = 'entered';
set role regress_lina;
select regexp_replace(fact, '^entered .*?, ', 'entered …, ') as fact from marketing_automation.explain_record('linked', '3') where about = 'record';
select detail from marketing_automation.simulate('linked', '4') where outcome = 'entered';
select marketing_automation.stop('linked');
reset role;
