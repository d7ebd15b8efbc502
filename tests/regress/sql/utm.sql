\set SHOW_CONTEXT never
-- Parameters of a campaign, for links to the hosts of the scenario.
create schema tagged;
create table tagged.buyer (id integer primary key, name text, email text, language text);
insert into tagged.buyer values (1, 'Ada', 'ada@tagged.example', 'en'), (2, 'Bob', 'bob@tagged.example', 'fr_CA');
select marketing_automation.register_model('tagged', 'tagged.buyer', key => 'self.id', email => 'self.email', language => 'self.language');
select marketing_automation.create_scenario('tagged', 'tagged') > 0 as created;
select marketing_automation.add_activity('tagged', 'the mail', sender => 'shop@tagged.example', subject => 's', body =>
    '<a href="https://tagged.example/sale#top">Sale</a> <a href="https://www.tagged.example/of/{{ record.name }}?who={{ record.id }}">Yours</a>
    <a href="https://tagged.example/sale?utm_content=below">Below</a> <a data-no-track href="https://tagged.example/raw?a=1&amp;b=2">Raw</a>
    <a href="https://other.example/">Other</a> <a href="unsubscribe">x</a>') as mail \gset
create function tagged.links(key text) returns setof text language sql as $$
    select l[1] from marketing_automation.preview('tagged', 'the mail', key) p,
        regexp_matches(p.html, 'href="(https:[^"]*)"', 'g') with ordinality m (l, n) order by n $$;
select tagged.links('1');
select a.version from marketing_automation.activity a where a.id = :mail;
update marketing_automation.scenario set utm = 'utm_source=mail&utm_campaign={{ scenario.name }}&utm_content={{ activity.name }}&utm_term={{ party.language }}',
    utm_hosts = 'tagged.example' where name = 'tagged';
select a.version from marketing_automation.activity a where a.id = :mail;
select tagged.links('1');
select tagged.links('2');
select t.utm, t.utm_hosts from marketing_automation_internal.mail_templates(array[:mail]) t;

-- What cannot be used is refused when it is written.
create function tagged.told(utm text, hosts text) returns text language plpgsql as $$
declare
    message text;
    detail text;
    hint text;
begin
    update marketing_automation.scenario set utm = told.utm, utm_hosts = told.hosts where name = 'tagged';
    return 'no error';
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws(' | ', sqlstate, message, nullif(detail, ''), coalesce(nullif(hint, ''), 'NO HINT'));
end $$;
select tagged.told(u.utm, u.hosts) from (values (1, 'utm_source=mail', null), (2, null, 'tagged.example'), (3, 'utm_source=mail', ''),
    (4, 'utm_source=mail', 'https://tagged.example/'), (5, 'source=mail', 'tagged.example'), (6, 'utm_source={{ record.name }}', 'tagged.example'),
    (7, 'utm_source={{', 'tagged.example'), (8, 'utm_source=a&utm_source=b', 'tagged.example'),
    (9, 'utm_source={% include "no" %}', 'tagged.example')) u (n, utm, hosts) order by n;
select marketing_automation.create_scenario('tagged too', 'tagged', utm => 'utm_source=mail');

-- Clicks add up, and find their link in the body, whether or not it had the parameters then.
set client_min_messages = error;
select marketing_automation.run('tagged');
reset client_min_messages;
select enrolled from marketing_automation.enroll('tagged');
insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, link_id, method)
select gen_random_uuid(), now(), 'email_clicked', r.id, :mail, l.id, 'GET'
from marketing_automation_internal.record r
join tagged.buyer g on g.id::text = r.key
cross join lateral marketing_automation_internal.link_ids(array['https://tagged.example/sale#top', 'https://tagged.example/sale?utm_source=mail&utm_campaign=t#top',
    'https://tagged.example/sale?utm_content=below&utm_source=mail&utm_campaign=t', 'https://other.example/?utm_source=else',
    format('https://www.tagged.example/of/%s?who=%s&utm_source=mail&utm_campaign=t', g.name, g.id)]) l
where r.scenario_id = marketing_automation.scenario_id('tagged');
select "position", label, link, people, clicks from marketing_automation.link_report('tagged') order by "position" nulls last, link collate "C";
create role regress_tagged;
select marketing_automation.grant_access('regress_tagged', 'reports');
set role regress_tagged;
select "position", label, link, people, clicks from marketing_automation.link_report('tagged') order by "position" nulls last, link collate "C";
reset role;

-- It is part of the definition.
select marketing_automation.create_scenario('tagged too', 'tagged', utm => 'utm_source=mail', utm_hosts => 'a.example') > 0 as created;
select marketing_automation.create_scenario('tagged too', 'tagged', utm => 'utm_source=mail', utm_hosts => 'a.example b.example', replace => true) > 0 as created;
select marketing_automation.export_scenario('tagged too') -> 'scenario' -> 'utm_hosts' as hosts;
select change, attribute, before, after from marketing_automation.import_scenario(
    marketing_automation.export_scenario('tagged'), 'tagged too', dry_run => true) where attribute ~ 'utm' order by attribute;
select before ->> 'utm_hosts' as before, after ->> 'utm_hosts' as after from marketing_automation.definition_history
where kind = 'scenario' and name = 'tagged too' order by id;

select marketing_automation.stop('tagged');
delete from marketing_automation_internal.event where activity_id = :mail;
select marketing_automation.delete_scenario('tagged too');
select marketing_automation.revoke_access('regress_tagged', 'reports');
drop role regress_tagged;
