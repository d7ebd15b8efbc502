\set SHOW_CONTEXT never
-- A scenario's report as a page.
create schema paged;
create table paged.reader (id integer primary key, email text, bought boolean not null default false);
insert into paged.reader select n, 'reader' || n || case when n = 2 then '@Far.paged.example' else '@near.paged.example' end from generate_series(1, 3) n;
select marketing_automation.register_model('paged reader', 'paged.reader', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('paged', 'paged reader', title => 'News & <b>more</b>') > 0 as created;
select marketing_automation.add_activity('paged', 'letter', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('paged', 'second "one"', parent => 'letter', on_event => 'email_opened', delay => '1 day', subject => 's', body => 'b') > 0 as added;
set timezone = 'UTC';

-- Without its style, and without when it was made.
create function paged.page(language text, from_date date default null, to_date date default null) returns text language sql as $$
    select regexp_replace(regexp_replace(p, '<style>.*</style>', '<style>…</style>'), '[^·>]*(</p>\s*<dl class="figures">)', ' now\1')
    from marketing_automation.report_html('paged', from_date, to_date, language) p $$;
\pset format unaligned
-- A draft's domain is not asked.
select (regexp_matches(paged.page('en'), '<dd>[^<]*</dd>', 'g'))[1] as number limit 2;

select marketing_automation.run('paged');
begin;
select enrolled from marketing_automation.enroll('paged', '2026-01-06 12:00+00');
update marketing_automation_internal.record r set entered_at = '2026-01-06 12:00+00' where r.scenario_id = marketing_automation.scenario_id('paged');
update marketing_automation_internal.waiting_activity w set at = '2026-01-06 12:00+00' from marketing_automation_internal.record r
where r.id = w.record_id and r.scenario_id = marketing_automation.scenario_id('paged');
select marketing_automation.process_due(now => '2026-01-06 12:00+00');
with claimed as (
    update marketing_automation_internal.outbox o set state = 'sending', attempts = 1
    from marketing_automation.activity a where a.id = o.activity_id and a.scenario_id = marketing_automation.scenario_id('paged')
    returning o.id, o.attempts, o.key)
select marketing_automation_internal.complete_messages(array_agg(c.id), array_agg(c.attempts), array_agg(case when c.key = '2' then 'failed' else 'sent' end),
    array_agg('250 ok'::text), array_agg(0::double precision), now => '2026-01-06 12:10+00') from claimed c;
insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, link_id, method)
select gen_random_uuid(), '2026-01-06 15:00+00', 'email_clicked', r.id, a.id, l.id, 'GET'
from marketing_automation_internal.record r
join marketing_automation.activity a on a.scenario_id = r.scenario_id and a.name = 'letter'
cross join marketing_automation_internal.link_ids(array['https://paged.example/order/4711?<script>=1']) l
where r.scenario_id = marketing_automation.scenario_id('paged') and r.key = '1';
update marketing_automation_internal.finished_activity f set opened_at = '2026-01-06 15:00+00', clicked_at = '2026-01-06 15:00+00'
from marketing_automation_internal.record r
where r.id = f.record_id and r.scenario_id = marketing_automation.scenario_id('paged') and r.key = '1';
insert into marketing_automation_internal.activity_counter (activity_id, period, opened, clicked)
select a.id, '2026-01-06 15:00+00', 1, 1 from marketing_automation.activity a
where a.scenario_id = marketing_automation.scenario_id('paged') and a.name = 'letter';
select count(marketing_automation.record_conversion(r.uuid, 10.50, '2026-01-07 10:00+00')) as reported from marketing_automation_internal.record r
where r.scenario_id = marketing_automation.scenario_id('paged') and r.key = '1';
commit;
select paged.page('en');
-- The numbers of the page are those of the reports.
select d.data ->> 'records' as records, d.data #>> '{mails,0,sent}' as sent, d.data #>> '{mails,0,conversions}' as conversions,
    (select sum(r.sent) from marketing_automation.domain_report('paged') r) as by_domain,
    (select sum((r ->> 'sent')::integer) from jsonb_array_elements(d.data #> '{domains,rows}') r) as on_page,
    (select sum(t.opened) from marketing_automation.timing_report('paged') t) = (select sum((h ->> 1)::integer) from jsonb_array_elements(d.data -> 'hours') h) as same_hours
from marketing_automation_internal.report_data(current_user::regrole, 'paged', null, null) as d (data);
-- Another language, other days, and many domains, of which the last row has the sum.
select (regexp_matches(paged.page('ar_EG', '2026-01-07', '2026-01-31'), '<html[^>]*>|<h2[^>]*>[^<]*</h2>|<p>[^<]*</p>', 'g'))[1] as line;
select r ->> 'domain' as domain, r ->> 'others' as others, r ->> 'sent' as sent, r -> 'taken' as taken, r -> 'lost' as lost
from jsonb_array_elements(marketing_automation_internal.report_domains(current_user::regrole, 'paged', null, null, 1) -> 'rows') r;

\pset format aligned
-- The same for a terminal; and long conditions of the tree.
select * from marketing_automation.report('paged');
update marketing_automation.activity set condition = E'self.email like \'%@near.paged.example\'\n    and self.bought is not true and self.id < 1000000'
where name = 'second "one"' and scenario_id = marketing_automation.scenario_id('paged');
select * from marketing_automation.tree('paged');

-- Who sees numbers sees the page.
create role regress_paged_reports;
create role regress_paged_marketer;
select marketing_automation.grant_access('regress_paged_reports', 'reports'), marketing_automation.grant_access('regress_paged_marketer', 'marketer');
set role regress_paged_reports;
select marketing_automation.report_html('paged') like '%<!doctype html>%' as shown;
set role regress_paged_marketer;
select marketing_automation.report_html('paged');
reset role;
select marketing_automation.revoke_access('regress_paged_reports', 'reports'), marketing_automation.revoke_access('regress_paged_marketer', 'marketer');
drop role regress_paged_reports, regress_paged_marketer;
-- Bad input.
select marketing_automation.report_html('pagd');
select marketing_automation.report_html(null);
select marketing_automation.report_html('paged', '2026-01-06', '2026-01-05');
select marketing_automation.report_html('paged', '-infinity');
select marketing_automation.report_html('paged', language => '"><script>') like '%<html lang="en" dir="ltr">%' as english;
select marketing_automation_internal.render_report('{"name": 1}', 'en');
-- Links to it, for who has one: only where that is asked for, and for a time.
select marketing_automation.report_link('paged');
set marketing_automation.report_links = on;
set marketing_automation.automation_base = '';
select marketing_automation.report_link('paged');
set marketing_automation.automation_base = 'https://track.paged.example';
select count(*) > 0 as has_keys from marketing_automation.tracking_keys();
select marketing_automation.report_link('paged') ~ '^https://track.paged.example/r/[A-Za-z0-9_-]{26,56}$' as link;
select marketing_automation.report_link('paged', '-1 day');
select marketing_automation.report_link('paged', '2 years');
select marketing_automation.report_link('paged', null);
select marketing_automation.report_by_token(split_part(marketing_automation.report_link('paged'), '/r/', 2), 'de') like '%<html lang="de"%' as shown;
select t.what, marketing_automation.report_by_token(t.token, 'en') is null as refused
from (select extract(epoch from now())::bigint as at, marketing_automation.scenario_id('paged') as id) s
cross join lateral (values (1, 'expired', marketing_automation_internal.sign_token('report', s.at - 1, s.id)),
    (2, 'another purpose', marketing_automation_internal.sign_token('unsubscribed', s.at + 999, s.id)),
    (3, 'no such scenario', marketing_automation_internal.sign_token('report', s.at + 999, 2000000000)),
    (4, 'malformed', 'AAAA')) t (n, what, token) order by t.n;
set marketing_automation.report_links = off;
select marketing_automation.report_by_token(marketing_automation_internal.sign_token('report', extract(epoch from now())::bigint + 999,
    marketing_automation.scenario_id('paged')), 'en') is null as refused;
reset marketing_automation.report_links;
reset marketing_automation.automation_base;
select marketing_automation.stop('paged');
reset timezone;
drop schema paged cascade;
