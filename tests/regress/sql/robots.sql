\set SHOW_CONTEXT never
-- The shipped rules, against a labelled set of user agents as they were seen in logs and are documented:
-- support.apple.com/guide/iphone/iphf084865c7 (Apple), support.google.com/mail/answer/145919 (Gmail), developers.google.com/search/docs/crawling-indexing
-- (Googlebot), developers.facebook.com/docs/sharing/webmasters/web-crawlers (Facebook), learn.microsoft.com/defender-office-365 (Office), curl.se, go.dev.
create table shop.agent (label text, robot boolean, name text);
insert into shop.agent values
    ('Firefox', false, 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'),
    ('Chrome', false, 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'),
    ('Edge', false, 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0'),
    ('Safari, iPhone', false, 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1'),
    ('Apple Mail, unprotected', false, 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)'),
    ('Thunderbird', false, 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0'),
    ('Outlook', false, 'Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Trident/7.0; .NET4.0C; Microsoft Outlook 16.0.5000)'),
    ('Outlook, with add-ons', false, 'Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; .NET4.0C; .NET4.0E; Microsoft Outlook 16.0.9029; ms-office; MSOffice 16)'),
    ('Outlook 2010', false, 'Microsoft Office/14.0 (Windows NT 6.1; Microsoft Outlook 14.0.5128; Pro; ms-office; MSOffice 14)'),
    ('Android, a phone named Cubot', false, 'Mozilla/5.0 (Linux; Android 10; CUBOT_X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36'),
    ('Gmail''s image proxy', false, 'Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)'),
    ('Yahoo''s image proxy', false, 'YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html'),
    ('not told', false, null),
    ('Apple Mail Privacy Protection', true, 'Mozilla/5.0'),
    ('Googlebot', true, 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'),
    ('Bingbot', true, 'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/140.0.0.0 Safari/537.36'),
    ('Facebook', true, 'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)'),
    ('Gmail, in advance', true, 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0'),
    ('Slack''s image proxy', true, 'Slack-ImgProxy (+https://api.slack.com/robots)'),
    ('Slack', true, 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)'),
    ('WhatsApp', true, 'WhatsApp/2.23.20.0 A'),
    ('Skype', true, 'Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5'),
    ('Barracuda', true, 'Mozilla/5.0 (compatible; Barracuda Sentinel)'),
    ('Headless Chrome', true, 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36'),
    ('Bing''s preview', true, 'Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b'),
    ('Office, before the browser opens', true, 'Mozilla/4.0 (compatible; ms-office; MSOffice 16)'),
    ('curl', true, 'curl/8.14.1'),
    ('Python', true, 'python-requests/2.32.5'),
    ('Go', true, 'Go-http-client/2.0'),
    ('Java', true, 'Java/17.0.12');
select marketing_automation.create_scenario('robots', 'customer', domain => 'self.id in (1, 2)') > 0 as created;
select marketing_automation.add_activity('robots', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('robots', 'opened', parent => 'mail', on_event => 'email_opened', action => null) > 0 as added;
select marketing_automation.add_activity('robots', 'clicked', parent => 'mail', on_event => 'email_clicked', action => null) > 0 as added;
select marketing_automation.run('robots');
select enrolled from marketing_automation.enroll('robots');
call marketing_automation.process_all_due();
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array_agg('sent'::text), array_agg('250 ok'::text), array_agg(0::double precision)) > 0 as sent
from marketing_automation_internal.claim_messages(100) c where c.activity_id in (select a.id from marketing_automation.activity a where a.name = 'mail');
create view shop.mail as
    select r.id as record_id, r.key, a.id as activity_id from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'robots'
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail';
create view shop.read as
    select m.key, f.opened_at is not null as opened, f.clicked_at is not null as clicked,
           (select string_agg(a.name, ', ' order by a.name) from marketing_automation_internal.waiting_activity w join marketing_automation.activity a on a.id = w.activity_id
            where w.record_id = m.record_id) as waiting
    from shop.mail m join marketing_automation_internal.finished_activity f on f.record_id = m.record_id and f.activity_id = m.activity_id;
create procedure shop.hit(key text, kind text, at timestamptz, agent text, method text default 'GET', link text default null, address inet default null) language sql as $$
    select marketing_automation.record_events(array[gen_random_uuid()], array[hit.kind],
        array[marketing_automation_internal.sign_token(hit.kind, m.record_id, m.activity_id, case when hit.link = 'hidden' then 0 when hit.link is not null then (select u.id from marketing_automation_internal.link_ids(array[hit.link]) u) end)],
        -- Clicks have waited for what follows them.
        array[at - case when kind = 'email_clicked' and at > now() - interval '15 seconds' then interval '30 seconds' else '0' end], array[method], array[address], array[agent])
    from shop.mail m where m.key = hit.key;
    select marketing_automation.apply_events();
$$;
set marketing_automation.hit_details = full;
update marketing_automation.robot_rule set is_enabled = true where kind in ('burst', 'hidden_link');
-- Each name as its label says; no robot has opened the mail.
do $$ declare a shop.agent; begin
    for a in select * from shop.agent where robot loop call shop.hit('1', 'email_opened', now(), a.name); end loop;
end $$;
select * from shop.read order by key;
do $$ declare a shop.agent; begin
    for a in select * from shop.agent where not robot loop call shop.hit('1', 'email_opened', now(), a.name); end loop;
end $$;
select a.label, a.robot, e.robot as rule from shop.agent a join marketing_automation.event e on e.user_agent is not distinct from a.name
where e.record_id in (select record_id from shop.mail) order by a.robot, a.label collate "C";
select * from shop.read order by key;

-- A person clicks; a HEAD is none, nor are three links within seconds, of which the first was taken for a person's.
call shop.hit('2', 'email_clicked', now() - interval '1 minute', 'Firefox', 'HEAD', 'https://a.example/1');
select * from shop.read where key = '2';
call shop.hit('2', 'email_clicked', now(), 'Firefox', 'GET', 'https://a.example/1');
select * from shop.read where key = '2';
call shop.hit('2', 'email_clicked', now(), 'Firefox', 'GET', 'https://a.example/1');
call shop.hit('2', 'email_clicked', now(), 'Firefox', 'GET', 'https://a.example/2');
select robot, count(*) from marketing_automation.event where record_id in (select record_id from shop.mail where key = '2') group by 1 order by 1;
call shop.hit('2', 'email_clicked', now(), 'Firefox', 'GET', 'https://a.example/3');
select robot, count(*) from marketing_automation.event where record_id in (select record_id from shop.mail where key = '2') group by 1 order by 1;
select robot, opened, clicked from marketing_automation.robot_hit where activity_id in (select activity_id from shop.mail) order by robot;
-- The same is in the reports, each hit, beside the mails that people have read.
select activity, sent, opened, clicked, robot_opens, robot_clicks from marketing_automation.activity_report where scenario = 'robots' and activity = 'mail';
select * from marketing_automation.tree('robots');

-- Who follows the hidden link is a robot, and so is what came in the same moment, before and after; a person comes later.
begin;
create table shop.seen as select id from marketing_automation.event;
call shop.hit('2', 'email_clicked', '2026-01-01 12:00:00', 'Firefox', 'GET', 'https://a.example/1');
call shop.hit('2', 'email_clicked', '2026-01-01 12:00:05', 'Firefox', 'GET', 'hidden');
call shop.hit('2', 'email_opened', '2026-01-01 12:00:06', 'Firefox');
call shop.hit('2', 'email_opened', '2026-01-01 12:01:00', 'Firefox');
select occurred_at, kind, link_id = 0 as hidden, robot from marketing_automation.event where id not in (select id from shop.seen) order by occurred_at;
update marketing_automation.robot_rule set is_enabled = false where kind = 'hidden_link';
select * from marketing_automation.reclassify_events('2026-01-01');
select occurred_at, kind, link_id = 0 as hidden, robot from marketing_automation.event where id not in (select id from shop.seen) order by occurred_at;
rollback;

-- A click in the middle of nine seconds has two others within five, before and after: no five seconds hold all three.
begin;
create table shop.seen as select id from marketing_automation.event;
call shop.hit('2', 'email_clicked', '2026-01-01 12:00:00', 'Firefox', 'GET', 'https://a.example/1');
call shop.hit('2', 'email_clicked', '2026-01-01 12:00:04.5', 'Firefox', 'GET', 'https://a.example/2');
call shop.hit('2', 'email_clicked', '2026-01-01 12:00:09', 'Firefox', 'GET', 'https://a.example/3');
call shop.hit('2', 'email_clicked', '2026-01-01 12:01:00', 'Firefox', 'GET', 'https://a.example/1');
call shop.hit('2', 'email_clicked', '2026-01-01 12:01:00', 'Firefox', 'GET', 'https://a.example/2');
call shop.hit('2', 'email_clicked', '2026-01-01 12:01:05', 'Firefox', 'GET', 'https://a.example/3');
call shop.hit('2', 'email_clicked', '2026-01-01 12:01:07', 'Firefox', 'GET', 'https://a.example/3');
select occurred_at, coalesce(robot, 'person') as judged from marketing_automation.event where id not in (select id from shop.seen)
order by occurred_at, 2;
rollback;

-- A rule of one's own, and one less; the past is judged again, and what was a person's has its effect.
call shop.hit('2', 'email_opened', now(), 'Office scanner 7', address => '192.0.2.77');
insert into marketing_automation.robot_rule (name, kind, pattern) values ('our office', 'network', '192.0.2.0/24');
select * from marketing_automation.reclassify_events('-infinity');
select robot, user_agent from marketing_automation.event where user_agent = 'Office scanner 7';
delete from marketing_automation.robot_rule where name = 'our office';
call shop.hit('2', 'email_opened', now(), 'curl/1');
update marketing_automation.robot_rule set is_enabled = false where name in ('program', 'head');
select robots, people > 0 as of_people from marketing_automation.reclassify_events('-infinity');
select robot_opens, robot_clicks from marketing_automation.activity_report where scenario = 'robots' and activity = 'mail';
select robot, count(*) from marketing_automation.event where record_id in (select record_id from shop.mail) group by 1 order by 1;
-- Judging a long past again takes no more room than it has: many hits that look the same.
begin;
insert into marketing_automation.event (id, occurred_at, kind, record_id, activity_id, method, user_agent)
select gen_random_uuid(), now(), 'email_opened', m.record_id, m.activity_id, 'GET', 'curl/2' from shop.mail m, generate_series(1, 10000);
update marketing_automation.robot_rule set is_enabled = true where name = 'program';
set local work_mem = '256kB';
set local temp_file_limit = '20MB';
select robots > 20000 as robots, people from marketing_automation.reclassify_events('-infinity');
rollback;
-- By default little is kept, after all of it has been looked at: a verdict by what is gone stands for as long as its rule does.
insert into marketing_automation.robot_rule (name, kind, pattern) values ('our office', 'network', '192.0.2.0/24');
create table shop.seen as select id from marketing_automation.event;
create procedure shop.details(details text) language plpgsql as $$ begin
    perform set_config('marketing_automation.hit_details', details, false);
    call shop.hit('1', 'email_opened', now(), 'Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A) Chrome/126.0.6478.71 Mobile [FBAN/FB4A;FBCR/Carrier]', address => '192.0.2.77');
    call shop.hit('1', 'email_opened', now(), 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) Mobile/15E148', address => '203.0.113.9');
    call shop.hit('1', 'email_opened', now(), 'Testbot/1.2.3', address => '2001:db8:1:2::3');
    call shop.hit('1', 'email_clicked', now(), 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0)', 'PREFETCH', 'https://a.example/1');
end $$;
create view shop.kept as select robot, method, address, user_agent from marketing_automation.event e where id not in (select id from shop.seen)
    order by robot collate "C", method, user_agent collate "C", address;
show marketing_automation.hit_details;
reset marketing_automation.hit_details;
show marketing_automation.hit_details;
begin;
call shop.details('full');
select * from shop.kept;
rollback;
begin;
call shop.details('reduced');
select * from shop.kept;
rollback;
call shop.details('none');
select * from shop.kept;
select * from marketing_automation.reclassify_events('-infinity');
select * from shop.kept;
update marketing_automation.robot_rule set is_enabled = false where name = 'our office';
select * from marketing_automation.reclassify_events('-infinity');
select * from shop.kept;
delete from marketing_automation.robot_rule where name = 'our office';
-- Only what was changed is dumped, and takes the place of what is shipped.
select name, is_enabled from marketing_automation.robot_rule where not is_shipped order by name;
alter table marketing_automation.robot_rule disable trigger validate;
update marketing_automation.robot_rule set is_enabled = is_enabled or name in ('program', 'head', 'hidden_link'), is_shipped = true;
alter table marketing_automation.robot_rule enable trigger validate;
insert into marketing_automation.robot_rule (name, kind, pattern, is_enabled) values ('crawler', 'user_agent', 'bot', false);
select name, pattern, is_enabled, is_shipped from marketing_automation.robot_rule where name = 'crawler';
insert into marketing_automation.robot_rule (name, kind, pattern) values ('bad', 'user_agent', '(');
insert into marketing_automation.robot_rule (name, kind, pattern) values ('bad', 'network', 'everywhere');
insert into marketing_automation.robot_rule (name, kind, pattern) values ('bad', 'burst', '3');
-- Nor are rules that could never apply.
insert into marketing_automation.robot_rule (name, kind, pattern) values ('bad', 'network', '192.0.2.77');
insert into marketing_automation.robot_rule (name, kind, pattern) values ('bad', 'network', '2001:db8:1:2::/64');
insert into marketing_automation.robot_rule (name, kind, pattern) values ('bad', 'method', 'head');
update marketing_automation.robot_rule set is_enabled = false where kind in ('burst', 'hidden_link');
select marketing_automation.stop('robots');
drop procedure shop.hit, shop.details;
drop view shop.kept;
drop table shop.seen;
drop view shop.read;
drop view shop.mail;
drop table shop.agent;

-- A pattern that may take any time would hold up the events of all.
insert into marketing_automation.robot_rule (name, kind, pattern) values ('mirror', 'user_agent', '^(a*)(a*)(a*)\2\1b$');
insert into marketing_automation.robot_rule (name, kind, pattern) values ('ahead', 'user_agent', '(?=.*(?=.*(?=.*c)))');
insert into marketing_automation.robot_rule (name, kind, pattern) values ('behind', 'user_agent', '(?<!a)b');
insert into marketing_automation.robot_rule (name, kind, pattern) values ('plain', 'user_agent', '\\\\1|\(?=x|(?:\d{1,3}\.)+') returning name;
delete from marketing_automation.robot_rule where name = 'plain';
