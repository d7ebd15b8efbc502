\set SHOW_CONTEXT never
set timezone = 'UTC';
-- Mails in a browser: browser_url leads to a page that is made again of what is kept of the mail.
create schema browsed;
create table browsed.reader (id integer primary key, name text, email text, language text);
insert into browsed.reader values (1, 'Ada & Co', 'ada@browsed.example', 'en'), (2, 'Zoë', 'zoe@browsed.example', 'fr'), (3, 'Max', 'max@browsed.example', 'en'),
    (4, 'Eve', 'eve@browsed.example', 'en'), (5, 'Ned', 'ned@browsed.example', 'en');
create view browsed.kept as
select l.key, l.context as logged, v.context as kept, v.sent_at
from marketing_automation_internal.message_log l left join marketing_automation_internal.browser_mail v on v.message_id = l.id
join marketing_automation.activity a on a.id = l.activity_id join marketing_automation.scenario s on s.id = a.scenario_id and s.name like 'browsed%';
create function browsed.uses() returns table (name text) language sql as $$
    select a.name from marketing_automation_internal.browser_activity b join marketing_automation.activity a on a.id = b.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id where s.name like 'browsed%' order by 1
$$;
-- Sends what is due, as a mailer does.
create function browsed.send(what text default 'sent') returns bigint language sql as $$
    select marketing_automation_internal.complete_messages(array_agg(c.id order by c.id), array_agg(c.attempt order by c.id), array_agg(what),
        array_agg('250 ok'::text), array_agg(0::double precision))
    from marketing_automation_internal.claim_messages(100, true, null, null,
        array(select s.id from marketing_automation.scenario s where s.name like 'browsed%')) c
$$;
-- The page of a mail; tokens, which are other ones each time, are left out.
create function browsed.page(of_key text, of_activity text) returns text language sql as $$
    select regexp_replace(marketing_automation.mail_by_token(marketing_automation_internal.sign_token('browser', coalesce(m.record_id, 0), m.activity_id, m.id)),
        '/([cuv])/[\w-]+', '/\1/…', 'g')
    from marketing_automation.message m join marketing_automation.activity a on a.id = m.activity_id and a.name = of_activity
    where m.key = of_key and m.record_id is not null
$$;
select count(*) > 0 as has_keys from marketing_automation.tracking_keys();
set marketing_automation.automation_base = 'https://mail.browsed.example';
select marketing_automation.register_model('browsed', 'browsed.reader', key => 'self.id', party => 'self.id', email => 'self.email', language => 'self.language');
select marketing_automation.create_scenario('browsed', 'browsed', domain => 'self.id < 5') > 0 as created;
select marketing_automation.add_activity('browsed', 'plain', subject => 'Hello', sender => 'Shop <shop@browsed.example>',
    body => '<p>{{ record.name }} <a href="https://shop.browsed.example/a">a</a></p><a href="unsubscribe">u</a>') as plain \gset
select marketing_automation.add_activity('browsed', 'news', subject => 'News & more', sender => 'Shop <shop@browsed.example>',
    body => '<p><a href="{{ browser_url }}">In a browser</a> {{ record.name }} <a href="https://shop.browsed.example/a?x=1&amp;y=2">a</a></p>
<img src="cid:logo" alt="Logo"><img src="cid:icon" alt=""><a href="unsubscribe">u</a>',
    attachments => $$select 'l.png' as name, 'image/png' as type, '\x89504e47'::bytea as content, 'logo' as cid
        union all select 'i.svg', 'text/plain', '\x89504e47', 'icon' union all select 'terms.pdf', 'application/pdf', '%PDF', null$$) as news \gset

-- What has it in its templates, is known: also by translations, snippets and variants.
select * from browsed.uses();
insert into marketing_automation.activity_translation (activity_id, language, body) values (:plain, 'fr', '<p>{{ record.name }} <a href="{{ browser_url }}">v</a> <a href="unsubscribe">u</a></p>');
select * from browsed.uses();
update marketing_automation.activity_translation set body = '<p>{{ record.name }} <a href="unsubscribe">u</a></p>' where activity_id = :plain;
insert into marketing_automation.snippet (name, body) values ('browsed_head', '<p>nothing</p>');
update marketing_automation.activity_translation set body = '{% include "browsed_head" %}{{ record.name }} <a href="unsubscribe">u</a>' where activity_id = :plain;
select * from browsed.uses();
update marketing_automation.snippet set body = '{% if true %}{% set url = browser_url %}<a href="{{ url }}">v</a>{% endif %}' where name = 'browsed_head';
select * from browsed.uses();
update marketing_automation.activity_translation set body = '<p>{{ record.name }} <a href="unsubscribe">u</a></p>' where activity_id = :plain;
select marketing_automation.create_scenario('browsed variants', 'browsed', domain => 'self.id = 5') > 0 as created;
select marketing_automation.add_activity('browsed variants', 'split', subject => 's', sender => 'Shop <shop@browsed.example>', body => '<p>A <a href="unsubscribe">u</a></p>') > 0 as added;
select marketing_automation.add_activity('browsed variants', 'split b', parent => 'split', on_event => 'variant', share => 100, subject => 't',
    body => '<html><body>B {{ record.name }} <a href="{{ browser_url }}">v</a> <a href="unsubscribe">u</a></body></html>') > 0 as added;
select * from browsed.uses();

-- A preview shows that there is one, and without a proxy there is none.
select p.html, p.text from marketing_automation.preview('browsed variants', 'split b', '5') p;
set marketing_automation.automation_base = '';
select p.html from marketing_automation.preview('browsed variants', 'split b', '5') p;
set marketing_automation.automation_base = 'https://mail.browsed.example';
-- Webhooks and pages have no such address.
\set VERBOSITY terse
select marketing_automation.add_activity('browsed', 'hook', action => 'webhook', url => 'https://a.browsed.example/', body => '{"a": {{ browser_url }}}');
\set VERBOSITY default

-- What such mails were made of is kept once they have been sent; of others nothing more than ever, nor of those that failed.
select marketing_automation.run(s.name) from marketing_automation.scenario s where s.name like 'browsed%';
select e.enrolled from marketing_automation.enroll('browsed') e;
select e.enrolled from marketing_automation.enroll('browsed variants') e;
call marketing_automation.process_all_due();
select browsed.page('1', 'news') as not_claimed;
select marketing_automation.cancel(m.id) from marketing_automation.message m where m.email = 'max@browsed.example' and m.activity_id = :news;
select browsed.send();
select k.key, k.logged, k.kept, k.sent_at is not null as is_kept from browsed.kept k order by 1, 4;
select marketing_automation.send_test('browsed', 'news', '2', 'me@browsed.example', language => 'en') as test \gset
select marketing_automation_internal.link_ids(array['https://shop.browsed.example/a?x=1&y=2']) is not null as has_link;

-- The page: links are those of the mail, its picture is in it, and it has a head.
select browsed.page('1', 'news');
select browsed.page('5', 'split');
select browsed.page('1', 'plain') as of_others;
select browsed.page('3', 'news') as of_a_cancelled_one;
select marketing_automation_internal.verify_token('email_clicked', (regexp_match(page, '/c/([\w-]+)'))[1])::text
        = format('(%s,%s,%s)', m.record_id, m.activity_id, (select l.id from marketing_automation.link l where l.url = 'https://shop.browsed.example/a?x=1&y=2')) as clicks,
    marketing_automation_internal.verify_token('unsubscribed', (regexp_match(page, '/u/([\w-]+)'))[1])::text = format('(%s,%s,)', m.record_id, m.activity_id) as leaves,
    marketing_automation_internal.verify_token('browser', (regexp_match(page, '/v/([\w-]+)'))[1])::text = format('(%s,%s,%s)', m.record_id, m.activity_id, m.id) as shows
from marketing_automation.message m
cross join lateral marketing_automation.mail_by_token(marketing_automation_internal.sign_token('browser', m.record_id, m.activity_id, m.id)) page
where m.activity_id = :news and m.key = '1';
select f.key, count(*) filter (where o.cid is not null) as pictures, count(*) as files
from marketing_automation_internal.outbox_file o join marketing_automation.message f on f.id = o.message_id where f.activity_id = :news group by 1 order by 1;

-- Whose tokens are others'.
select t.what, marketing_automation.mail_by_token(t.token) is null as refused
from marketing_automation.message m, marketing_automation.message o, lateral (values
    (1, 'another mail''s', marketing_automation_internal.sign_token('browser', m.record_id, m.activity_id, o.id)),
    (2, 'another record''s', marketing_automation_internal.sign_token('browser', o.record_id, m.activity_id, m.id)),
    (3, 'another activity''s', marketing_automation_internal.sign_token('browser', m.record_id, :plain, m.id)),
    (4, 'of a click', marketing_automation_internal.sign_token('email_clicked', m.record_id, m.activity_id, m.id)),
    (5, 'without a mail', marketing_automation_internal.sign_token('browser', m.record_id, m.activity_id)),
    (6, 'forged', 'A' || marketing_automation_internal.sign_token('browser', m.record_id, m.activity_id, m.id)),
    (7, 'empty', ''), (8, 'long', repeat('A', 100000))) t (n, what, token)
where m.activity_id = :news and m.key = '1' and o.activity_id = :news and o.key = '2' and o.record_id is not null order by t.n;
select marketing_automation.mail_by_token(null) is null as refused;

-- A test shows itself.
update marketing_automation_internal.outbox o set state = 'sending', attempts = 1 where o.id = :test;
select marketing_automation_internal.complete_messages(array[:test], array[1], array['sent'], array['250 ok'], array[0]);
select count(*) as shown from marketing_automation.mail_by_token(marketing_automation_internal.sign_token('browser', 0, :news, :test)) p where p ~ 'Zoë';

-- Templates as they are now; what does not fit them any more is not shown.
update marketing_automation.activity set body = replace(body, 'In a browser', 'Mended') where id = :news;
select browsed.page('2', 'news') ~ 'Mended' as mended;
alter table browsed.reader add column born date;
update marketing_automation.activity set body = body || '{{ record.born }}' where id = :news;
select browsed.page('2', 'news') as lacks_a_column;
update marketing_automation.activity set body = replace(body, '{{ record.born }}', 'https://new.browsed.example <a href="https://new.browsed.example/">new</a>') where id = :news;
select browsed.page('2', 'news') ~ '<a href="https://new.browsed.example/">' as without_an_id;
-- Without consent to clicks links are as they were written.
update marketing_automation_internal.message_log l set track_clicks = false where l.activity_id = :news and l.key = '2';
select browsed.page('2', 'news') ~ 'href="https://shop.browsed.example/a\?x=1&amp;y=2"' as as_written;

-- It is of what is kept of a person; who is forgotten is gone, and so are the pictures.
select m ->> 'activity' as activity, m -> 'context' as context, m #>> '{attachments,0,name}' as picture
from jsonb_array_elements(marketing_automation.export_person('zoe@browsed.example') -> 'messages') m order by 1;
select f.messages from marketing_automation.forget('zoe@browsed.example') f;
select browsed.page('2', 'news') as forgotten;
select count(*) as kept from browsed.kept k where k.key = '2' and k.sent_at is not null;
select count(*) as pictures from marketing_automation_internal.outbox_file o join marketing_automation.message m on m.id = o.message_id
where m.activity_id = :news and m.key = '2' and m.record_id is not null;

-- What has expired is shown no more, and dropped with its pictures.
update marketing_automation_internal.browser_mail v set sent_at = now() - interval '20 days' from marketing_automation.message m
where m.id = v.message_id and m.activity_id = :news and m.key = '1';
select browsed.page('1', 'news') is not null as shown;
set marketing_automation.browser_url_validity = '19d';
select browsed.page('1', 'news') is not null as shown;
select marketing_automation_internal.drop_browser_mails();
select k.key, count(k.sent_at) as kept from browsed.kept k group by 1 order by 1;
select count(*) as pictures from marketing_automation_internal.outbox_file o join marketing_automation.message m on m.id = o.message_id
where m.activity_id = :news and m.key = '1' and m.record_id is not null;
reset marketing_automation.browser_url_validity;
-- purge_messages() drops what is older, too.
update marketing_automation_internal.browser_mail v set sent_at = now() - interval '20 days' from marketing_automation.message m
where m.id = v.message_id and m.activity_id = :news and m.key = '4';
select marketing_automation.purge_messages('19 days') = 0 as nothing_else;
select k.key, count(k.sent_at) as kept from browsed.kept k group by 1 order by 1;
-- The test of an activity that has been deleted.
select marketing_automation.add_activity('browsed', 'last', subject => 's', sender => 'Shop <shop@browsed.example>', body => '{{ browser_url }}<a href="unsubscribe">u</a>') as last \gset
select marketing_automation.send_test('browsed', 'last', '1', 'me@browsed.example') as test \gset
update marketing_automation_internal.outbox o set attempts = 1, first_attempt_at = now() where o.id = :test;
select marketing_automation.mail_by_token(marketing_automation_internal.sign_token('browser', 0, :last, :test)) ~ '/v/' as shown;
select marketing_automation.delete_activity('browsed', 'last');
select marketing_automation.mail_by_token(marketing_automation_internal.sign_token('browser', 0, :last, :test)) is null as gone;
delete from marketing_automation_internal.outbox o where o.id = :test;

-- What is left, and files of what was cancelled.
update marketing_automation_internal.browser_mail v set sent_at = now() - interval '2 years';
select marketing_automation_internal.drop_browser_mails();
select marketing_automation_internal.sweep_files();
select count(*) as files from marketing_automation_internal.outbox_file o join marketing_automation.message m on m.id = o.message_id where m.activity_id = :news;
