\set SHOW_CONTEXT never
-- What comes back, applied. (How reports are read: see src/mail/bounce.)
create table shop.addressee (id integer primary key, email text);
insert into shop.addressee select n, 'reader' || n || '@bounce.example' from generate_series(1, 9) n;
select marketing_automation.register_model('addressee', 'shop.addressee', key => 'self.id', party => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('bounces', 'addressee', unsubscribable => true) > 0 as created;
select marketing_automation.add_activity('bounces', 'mail', subject => 's', body => 'b') > 0 as added;
select marketing_automation.add_activity('bounces', 'call', parent => 'mail', on_event => 'email_bounced', delay => '1 hour', action => null) > 0 as added;
select marketing_automation.add_activity('bounces', 'arrived', parent => 'mail', on_event => 'email_not_bounced', delay => '1 day', action => null) > 0 as added;
select marketing_automation.add_activity('bounces', 'later', parent => 'mail', on_event => 'email_not_bounced', action => null);
select marketing_automation.run('bounces');
select * from marketing_automation.enroll('bounces');
call marketing_automation.process_all_due();
create temporary table claimed as select * from marketing_automation_internal.claim_messages(100);
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array_agg(case when email like 'reader8@%' then 'failed' else 'sent' end),
    array_agg(case when email like 'reader8@%' then '550 5.1.1 <reader8@bounce.example>: no such user' else '250 ok' end), array_agg(0::double precision)) from claimed;
create view shop.state as
    select r.key, m.state, r.blocked_at is not null as blocked, s.reason,
           (select string_agg(a.name || ' ' || case when ra.state = 'waiting' then 'waiting' else ra.outcome end, ', ' order by a.id)
            from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id and a.parent_id is not null
            where ra.record_id = r.id) as children
    from marketing_automation.record r
    join marketing_automation.scenario c on c.id = r.scenario_id and c.name = 'bounces'
    join marketing_automation.message m on m.record_id = r.id
    left join marketing_automation.suppression s on s.address_hash = marketing_automation.address_hash(m.email);
select * from shop.state where key = '1';

-- A report as a mail server writes it: to the signed return path, or with the Message-ID of what it returns.
create function shop.report(key text, action text, status text, by_path boolean default true, note text default '') returns bytea language sql as $$
    select convert_to(format(E'From: MAILER-DAEMON@mx.bounce.example\nTo: %s\nSubject: Undelivered Mail (%s)\nMIME-Version: 1.0\n'
        'Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\n'
        'Reporting-MTA: dns; mx.bounce.example\n\nFinal-Recipient: rfc822; reader%s@bounce.example\nAction: %s\nStatus: %s\n'
        'Diagnostic-Code: smtp; 550 %s <reader%s@bounce.example> refused\n\n--x\nContent-Type: text/rfc822-headers\n\nMessage-ID: <%s>\n\n--x--\n',
        case when by_path then marketing_automation_internal.sign_return_path('bounces@shop.example', r.id, a.id) else 'bounces@shop.example' end, note,
        key, report.action, status, status, key, case when by_path then 'lost@elsewhere.example' else r.uuid || '.' || a.id || '@track.shop.example' end), 'UTF8')
    from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'bounces'
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
    where r.key = report.key
$$;
create function shop.ingest(raw bytea) returns table (kind text, status text, found boolean) language sql as $$
    select i.kind, i.status, i.message is not null from marketing_automation.ingest_bounce(raw) i $$;

-- The mailbox does not exist: suppressed, the positive side starts, the other is cancelled. Told twice, it happens once.
select * from shop.ingest(shop.report('1', 'failed', '5.1.1'));
select * from shop.ingest(shop.report('1', 'failed', '5.1.1'));
select * from shop.ingest(shop.report('1', 'failed', '5.1.1', note => 'again'));
select * from shop.state where key = '1';
select kind, count(*) from marketing_automation.event e join marketing_automation.record r on r.id = e.record_id
join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'bounces' group by 1;
select kind, status, diagnostic, raw is null as without_raw from marketing_automation.bounce where diagnostic like '%reader1@%' limit 1;
select detail from marketing_automation.suppression where address_hash = marketing_automation.address_hash('reader1@bounce.example');
-- By Message-ID.
select * from shop.ingest(shop.report('2', 'failed', '5.1.1', by_path => false));
-- Bounced for another reason, and not yet bounced.
select * from shop.ingest(shop.report('3', 'failed', '5.7.1'));
select * from shop.ingest(shop.report('4', 'delayed', '4.4.1'));
select * from shop.state where key in ('2', '3', '4') order by key;

-- Soft ones suppress when there are too many of different mails.
set marketing_automation.soft_bounce_limit = 2;
select * from shop.ingest(shop.report('3', 'failed', '5.2.2'));
select * from shop.state where key = '3';
update marketing_automation_internal.message_log set email = 'Reader3@bounce.example' where email = 'reader5@bounce.example';
select * from shop.ingest(shop.report('5', 'failed', '5.2.2'));
select * from shop.state where key = '3';
reset marketing_automation.soft_bounce_limit;

-- A complaint: suppressed, blocked, unsubscribed.
select i.* from marketing_automation.record r
join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'bounces'
join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
cross join lateral shop.ingest(convert_to(format(E'To: abuse@shop.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=x\n\n--x\n'
    'Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Mail-From: <%s>\n\n--x--\n',
    marketing_automation_internal.sign_return_path('bounces@shop.example', r.id, a.id)), 'UTF8')) i
where r.key = '6';
select * from shop.state where key = '6';
select count(*) from marketing_automation.unsubscription u join marketing_automation.scenario s on s.id = u.scenario_id and s.name = 'bounces' where u.party = '6';

-- It may come back before we have recorded that it went, and later than ingest_bounce() waits.
insert into shop.addressee values (10, 'reader10@bounce.example');
select enrolled from marketing_automation.enroll('bounces');
call marketing_automation.process_all_due();
create temporary table early as select * from marketing_automation_internal.claim_messages(100);
select * from shop.ingest(shop.report('10', 'failed', '5.1.1'));
select * from shop.state where key = '10';
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array['sent'], array['250 ok'], array[0::double precision]) from early;
select * from shop.state where key = '10';

-- A relay has rewritten envelope and Message-ID: the signed token of List-Unsubscribe is still there. That of a click proves nothing.
create function shop.rewritten(key text, token_of text) returns bytea language sql as $$
    select convert_to(format(E'To: abuse@shop.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=x\n\n--x\n'
        'Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Mail-From: <0100@relay.example>\n\n--x\n'
        'Content-Type: message/rfc822\n\nMessage-ID: <0100@relay.example>\nList-Unsubscribe: <https://track.shop.example/u/%s>\n\nx\n--x--\n',
        marketing_automation_internal.sign_token(token_of, r.id, a.id, case token_of when 'email_clicked' then 1 end)), 'UTF8')
    from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'bounces'
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
    where r.key = rewritten.key
$$;
select * from shop.ingest(shop.rewritten('5', 'email_clicked'));
select * from shop.ingest(shop.rewritten('5', 'unsubscribed'));
select * from shop.state where key = '5';

-- A provider says that somebody has left, and names the mail as a bounce would.
insert into shop.addressee values (11, 'reader11@bounce.example');
select enrolled from marketing_automation.enroll('bounces');
call marketing_automation.process_all_due();
create temporary table told as select * from marketing_automation_internal.claim_messages(100);
select marketing_automation_internal.complete_messages(array_agg(id), array_agg(attempt), array['sent'], array['250 ok'], array[0::double precision]) from told;
create function shop.left(key text, activity text default null) returns bytea language sql as $$
    select convert_to(format(E'Content-Type: multipart/report; report-type=feedback-report; boundary=x\n\n--x\n'
        'Content-Type: message/feedback-report\n\nFeedback-Type: unsubscribe\n\n--x\n'
        'Content-Type: text/rfc822-headers\n\nMessage-ID: <%s.%s@track.shop.example>\n--x--\n', r.uuid, coalesce(activity, a.id::text)), 'UTF8')
    from marketing_automation.record r
    join marketing_automation.scenario s on s.id = r.scenario_id and s.name = 'bounces'
    join marketing_automation.activity a on a.scenario_id = s.id and a.name = 'mail'
    where r.key = "left".key
$$;
select * from shop.ingest(replace(convert_from(shop.left('11'), 'UTF8'), 'Message-ID: <', 'Message-ID: <0')::bytea);
select * from shop.state where key = '11';
select * from shop.ingest(shop.left('11'));
select * from shop.state where key = '11';
select count(*) from marketing_automation.unsubscription u join marketing_automation.scenario s on s.id = u.scenario_id and s.name = 'bounces' where u.party = '11';

-- What proves nothing touches nobody, and is kept for a person.
select * from shop.ingest(convert_to(replace(convert_from(shop.report('7', 'failed', '5.1.1'), 'UTF8'), 'bounces+', 'bounces+0'), 'UTF8'));
select * from shop.ingest(convert_to(regexp_replace(convert_from(shop.report('7', 'failed', '5.1.1', by_path => false), 'UTF8'), '-[0-9a-f]{12}\.', '-000000000000.'), 'UTF8'));
select * from shop.ingest('not a mail');
select * from shop.ingest('\x00ff00');
select * from shop.state where key = '7';
select kind, diagnostic, octet_length(raw) > 0 as kept from marketing_automation.bounce where message_id is null order by kind, diagnostic collate "C";
select marketing_automation.ingest_bounce('');

-- A server that says so at once.
select marketing_automation_internal.record_dead_mailboxes(array(select m.id from marketing_automation.message m where m.email = 'reader8@bounce.example'));
select * from shop.state where key = '8';

-- Of a forgotten person no bounce tells, and one that comes later does no harm.
select * from shop.ingest(shop.report('9', 'delayed', '4.4.1'));
select records from marketing_automation.forget('reader9@bounce.example');
select records from marketing_automation.forget('reader7@bounce.example');
select * from shop.ingest(shop.report('9', 'failed', '5.1.1'));
select count(*) from marketing_automation.bounce where diagnostic like '%reader9%' or diagnostic like '%reader7%' or position('reader7'::bytea in raw) > 0;
select state from shop.state where key = '9';

-- Who hands returned mails in may do nothing else.
create role regress_bounces;
select marketing_automation.grant_access('regress_bounces', 'bounces');
set role regress_bounces;
select kind from marketing_automation.ingest_bounce('a letter');
select * from marketing_automation.bounce;
reset role;
drop owned by regress_bounces;
drop role regress_bounces;
select marketing_automation.stop('bounces');
drop view shop.state;
drop function shop.rewritten, shop.report, shop.ingest;
