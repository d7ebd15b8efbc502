\set SHOW_CONTEXT never
-- Webhooks: JSON about a row, POSTed to a server that a superuser has listed.
set timezone = 'UTC';
set datestyle = 'ISO';
create role regress_hook;
create role regress_line;
create schema hooks authorization regress_hook;
select count(*) from (values ('regress_hook', 'marketer'), ('regress_line', 'marketer')) as g (role, access)
cross join lateral marketing_automation.grant_access(g.role::regrole, g.access);
create function hooks.outcomes(of_scenario text) returns table (activity text, state text, outcome text, records bigint)
language sql as $$
    select a.name, ra.state, ra.outcome, count(*)
    from marketing_automation.record_activity ra join marketing_automation.activity a on a.id = ra.activity_id
    where a.scenario_id = marketing_automation.scenario_id(of_scenario) group by a.id, 1, 2, 3 order by a.id, 2, 3
$$;
create function hooks.play() returns void language plpgsql as $$
begin
    loop
        exit when marketing_automation.process_due(1000) = 0;
    end loop;
end $$;
-- As the mailer does it, with what the target answers.
create function hooks.deliver(answer text) returns table (channel text, target text, email text) language plpgsql as $$
declare
    claimed record;
begin
    for claimed in select * from marketing_automation_internal.claim_messages(100) c order by c.id loop
        perform marketing_automation_internal.complete_messages(array[claimed.id], array[claimed.attempt],
            array[case when answer ~ '^2' then 'sent' when answer ~ '^5' then 'queued' else 'failed' end], array[answer], array[0],
            array[case when answer ~ '^2' then 'sent' when answer ~ '^5' then 'deferred' else 'failed' end],
            array[substring(answer from '^\d+')::integer], array[null], array[claimed.target], server_names => array[claimed.target]);
        return query select claimed.channel, claimed.target, claimed.email;
    end loop;
end $$;
set role regress_hook;
create table hooks.buyer (id integer primary key, name text, email text, secret text);
insert into hooks.buyer values (1, 'Ann "A" <b>', 'ann@hooks.example', 'x'), (2, null, null, 'x'), (3, 'Cid', 'cid@hooks.example', 'x');
select marketing_automation.register_model('buyer of hooks', 'hooks.buyer', key => 'self.id', party => 'self.id', email => 'self.email', recipient_name => 'self.name');
select marketing_automation.create_scenario('hooks', 'buyer of hooks') > 0 as created;
\pset format unaligned

-- Targets are for superusers, who spell them as they like.
insert into marketing_automation.webhook_target (origin) values ('https://crm.example');
reset role;
insert into marketing_automation.webhook_target (origin) values ('crm.example');
insert into marketing_automation.webhook_target (origin) values ('https://crm.example/path');
insert into marketing_automation.webhook_target (origin, secret_file) values ('https://crm.example', 'secret');
insert into marketing_automation.webhook_target (origin, role) values ('https://crm.example', 'regress_nobody');
insert into marketing_automation.webhook_target (origin, timeout) values ('https://crm.example', '2 minutes');
insert into marketing_automation.webhook_target (origin, role, is_private) values ('HTTPS://CRM.example:443/', 'regress_hook', true),
    ('http://gone.hooks:8080', null, false) returning origin;
set role regress_line;
select origin, state, role, is_signed, is_private from marketing_automation.webhook_target_status order by origin;
select * from marketing_automation.webhook_target;
set role regress_hook;
select origin, state, role, is_signed, is_private from marketing_automation.webhook_target_status order by origin;

-- What cannot be one is refused when it is written.
select marketing_automation.add_activity('hooks', 'x', action => 'webhook');
select marketing_automation.add_activity('hooks', 'x', action => 'webhok', url => 'https://crm.example/');
select marketing_automation.add_activity('hooks', 'x', action => 'call', call => '1', url => 'https://crm.example/');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/', subject => 's');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/', branch_by => 'share');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/', message_class => 'internal');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://other.example/');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example:444/');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://{{ record.name }}.example/');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example{{ record.name }}');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'ftp://crm.example/');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://me:you@crm.example/');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/{{ record.nam }}');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/', body => '{"name": "{{ record.name }}"}');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/', body => '{"name": {{ record.nam }}}');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/', body => '{"leave": {{ unsubscribe_url }}}');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/', body => 'name={{ record.name }}');
select marketing_automation.add_activity('hooks', 'x', action => 'webhook', url => 'https://crm.example/', on_event => 'webhook_failed');

-- A mail follows what was taken, another one what was not.
select marketing_automation.add_activity('hooks', 'tell', action => 'webhook', url => 'https://crm.example/hooks/{{ record.id }}?n={{ record.name }}',
    body => '{"name": {{ record.name }}, "id": {{ record.id }}, "shout": {{ record.name | default("nobody", true) | upper }}}') > 0 as added;
select marketing_automation.add_activity('hooks', 'taken', 'tell', on_event => 'webhook_delivered', action => null) > 0 as added;
select marketing_automation.add_activity('hooks', 'row', 'tell', action => 'webhook', url => 'http://gone.hooks:8080/row') > 0 as added;
select marketing_automation.add_activity('hooks', 'refused', 'row', on_event => 'webhook_failed', action => null) > 0 as added;
select marketing_automation.add_activity('hooks', 'x', 'taken', on_event => 'webhook_failed', action => null);
update marketing_automation.activity set action = null, url = null, body = null where name = 'row';
insert into marketing_automation.activity_translation (activity_id, language, body) select a.id, 'de', '{}' from marketing_automation.activity a where a.name = 'tell';
select severity, activity, message, hint from marketing_automation.check_scenario('hooks') where severity <> 'hint' order by 2, 3;
select sender, subject, html, text, regexp_replace(headers, '(preview_|amp: )\d+', '\1…', 'g') as headers from marketing_automation.preview('hooks', 'tell', '1');
select subject, text from marketing_automation.preview('hooks', 'row', '2');
select marketing_automation.send_test('hooks', 'tell', '1', 'ann@hooks.example');
select marketing_automation.run('hooks');
select activity, outcome, detail from marketing_automation.simulate('hooks', '2');
select r.activity, sum(r.mailed) as mailed, sum(r.posted) as posted, sum(r.not_sent) as not_sent, sum(r.opened) as opened
from marketing_automation.rehearse('hooks', now() + interval '1 day', opens => 1) r group by 1 order by 1 nulls first;
select marketing_automation.enroll('hooks');
select hooks.play();
select * from hooks.outcomes('hooks');
reset role;

-- Nothing that is for people keeps it: who has no address, is suppressed, has a cap. It is told when it is tried again, too.
select marketing_automation.suppress('cid@hooks.example', 'manual');
insert into marketing_automation.frequency_cap (message_class, mails, per) values ('marketing', 1, '1 day');
select * from hooks.deliver('500 Internal Server Error');
select key, email, channel, target, state, attempts, smtp_reply from marketing_automation.message where target = 'https://crm.example' order by id;
set role regress_hook;
select about, regexp_replace(split_part(fact, '; ', 1), '\d{4}-[-0-9:+ ]+', '… ', 'g') as fact from marketing_automation.explain_record('hooks', '3')
where about ~ 'tell|taken' and fact ~ 'webhook|starts';
reset role;
select * from hooks.deliver('204 No Content');
select hooks.play();
select * from hooks.outcomes('hooks');
select count(*) from marketing_automation_internal.capped_mail m join marketing_automation.message g on g.id = m.message_id
where g.target = 'https://crm.example';
delete from marketing_automation.frequency_cap where message_class = 'marketing' and per = '1 day';
select marketing_automation.unsuppress('cid@hooks.example');

-- A target that is gone is disabled: what waits for it fails at once, and what follows that runs.
update marketing_automation_internal.outbox set due_at = due_at + interval '1 hour' where target = 'http://gone.hooks:8080' and key <> '1';
select * from hooks.deliver('410 Gone');
select origin, state, disabled_at is not null as is_noted, disabled_because from marketing_automation.webhook_target_status order by origin;
select status, message, hint from marketing_automation.health() where name = 'webhook_targets';
update marketing_automation_internal.outbox set due_at = due_at - interval '1 hour' where target = 'http://gone.hooks:8080';
select * from hooks.deliver('200 OK');
select hooks.play();
select * from hooks.outcomes('hooks');
select key, target, state, attempts, smtp_reply from marketing_automation.message where target = 'http://gone.hooks:8080' order by id;
set role regress_hook;
select about, regexp_replace(split_part(fact, '; ', 1), '\d{4}-[-0-9:+ ]+', '… ', 'g') as fact from marketing_automation.explain_record('hooks', '3')
where about ~ 'row|refused';
select * from marketing_automation.tree('hooks');
select severity, activity, message, hint from marketing_automation.check_scenario('hooks') where severity = 'error' order by 2, 3;
reset role;
update marketing_automation.webhook_target set enabled = true where origin = 'http://gone.hooks:8080' returning enabled, disabled_at, disabled_because;

-- Nor may who is no member of its role any more; who is renamed is the same.
alter role regress_hook rename to regress_hooks;
select message, hint from marketing_automation.check_scenario('hooks') where severity = 'error' order by 1;
alter role regress_hooks rename to regress_hook;
insert into hooks.buyer values (4, 'Dan', null, 'x');
update marketing_automation.webhook_target set role = 'regress_line' where origin = 'https://crm.example';
select message, hint from marketing_automation.check_scenario('hooks') where severity = 'error' order by 1;
select enrolled, error from marketing_automation.enroll('hooks');
select hooks.play();
select * from hooks.deliver('200 OK');
select state, smtp_reply from marketing_automation.message where key = '4' and target is not null order by id;
update marketing_automation.webhook_target set role = null where origin = 'https://crm.example';

-- It is in the definition that is exported, and a message that failed can be sent once more.
select a ->> 'name' as name, a ->> 'action' as action, a ->> 'url' as url, a ->> 'on_event' as on_event
from jsonb_array_elements(marketing_automation.export_scenario('hooks') -> 'activities') with ordinality as x (a, n) order by n;
set role regress_hook;
select marketing_automation.copy_scenario('hooks', 'hooks again') > 0 as copied;
select count(*) from marketing_automation.import_scenario(marketing_automation.export_scenario('hooks')) i;
reset role;

-- One that several teams use is not disabled: the answer may be about the address of one of them.
create schema lines authorization regress_line;
set role regress_line;
create table lines.buyer (id integer primary key);
select marketing_automation.register_model('buyer of lines', 'lines.buyer', key => 'self.id');
select marketing_automation.create_scenario('lines', 'buyer of lines') > 0 as created;
select marketing_automation.add_activity('lines', 'row', action => 'webhook', url => 'http://gone.hooks:8080/line') > 0 as added;
reset role;
select marketing_automation.retry(min(m.id)) from marketing_automation.message m where m.target = 'http://gone.hooks:8080' and m.state = 'failed';
select * from hooks.deliver('410 Gone');
select origin, state, disabled_because from marketing_automation.webhook_target_status where origin = 'http://gone.hooks:8080';
select marketing_automation.retry(min(m.id)) from marketing_automation.message m where m.target = 'http://gone.hooks:8080' and m.state = 'failed';
select * from hooks.deliver('200 OK');
select marketing_automation.stop('hooks');
delete from marketing_automation.webhook_target;
select count(*) from marketing_automation.health() where name = 'webhook_targets';
