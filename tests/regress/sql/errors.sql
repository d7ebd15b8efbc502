-- Whoever makes a mistake is told what to write instead, and nothing about our own functions.
\set ON_ERROR_STOP 0
\set SHOW_CONTEXT always
\set VERBOSITY default
create table shop.mistake (id int primary key, name text, email text);
select marketing_automation.register_model('mistake', 'shop.mistake', key => 'self.id', email => 'self.email') \g /dev/null
select marketing_automation.create_scenario('mistakes', 'mistake') > 0 as created;
select marketing_automation.add_activity('mistakes', 'mail', subject => 's', body => '<a href="unsubscribe">b</a>') > 0 as added;

-- What PostgreSQL says of an expression, and of a row that does not fit.
select marketing_automation.register_model('wrong', 'shop.mistake', key => 'self.id', email => '1 +');
select marketing_automation.register_model('wrong', 'shop.mistake', key => 'self.id; drop table x');
select marketing_automation.register_model('wrong', 'shop.mistake', key => 'self.id', track_opens => 'self.name');
select marketing_automation.create_scenario('wrong', 'mistake', domain => 'self.nme = 1');
select marketing_automation.create_scenario('wrong', 'mistake', goal => '1');
select marketing_automation.add_activity('mistakes', 'wrong', subject => 's', body => 'b', condition => 'self.id');
select marketing_automation.register_model('wrong', 'shop.mistake', key => null);
insert into marketing_automation.robot_rule (name, kind, pattern) values ('wrong', 'user_agent', '(');
insert into marketing_automation.domain_limit (domain, per_second) values ('wrong.example', -1);
insert into marketing_automation.smtp_server (name, url, weight) values ('wrong', 'smtp://localhost', null);

-- The others, as message and hint: none is without.
create function shop.told(statement text) returns text language plpgsql as $$
declare
    message text;
    hint text;
begin
    execute statement;
    return 'no error';
exception when others then
    get stacked diagnostics message = message_text, hint = pg_exception_hint;
    return message || ' | ' || coalesce(nullif(hint, ''), 'NO HINT');
end $$;
select shop.told(s) from unnest(array[
    $$select marketing_automation.unregister_model('nowhere')$$,
    $$select marketing_automation.unregister_model('mistake')$$,
    $$select marketing_automation.create_scenario('wrong', 'nowhere')$$,
    $$select marketing_automation.create_scenario('wrong', 'mistake', language => 'xx_yy_zz_1')$$,
    $$select marketing_automation.add_activity('nowhere', 'a', subject => 's', body => 'b')$$,
    $$select marketing_automation.add_activity('mistakes', 'a', parent => 'nowhere', subject => 's', body => 'b')$$,
    $$select marketing_automation.add_activity('mistakes', 'a', subject => 's')$$,
    $$select marketing_automation.add_activity('mistakes', 'a', subject => 's', body => 'b', delay => '-1 day')$$,
    $$select marketing_automation.add_activity('mistakes', 'a', subject => 's', body => 'b', action => 'sms')$$,
    $$select marketing_automation.add_activity('mistakes', 'a', parent => 'mail', subject => 's', body => 'b', on_event => 'clicked')$$,
    $$select marketing_automation.run('nowhere')$$,
    $$select marketing_automation.stop('mistakes')$$,
    $$select marketing_automation.enroll('mistakes')$$,
    $$select marketing_automation.enroll_record('mistakes', '1')$$,
    $$select marketing_automation.process_due(0)$$,
    $$select marketing_automation.apply_events(0)$$,
    $$select marketing_automation.apply_exits(batch_size => 0)$$,
    $$select marketing_automation.preview('mistakes', 'nowhere', key => '1')$$,
    $$select marketing_automation.preview('mistakes', 'mail', key => '99')$$,
    $$select marketing_automation.preview('mistakes', 'mail', key => 'ann')$$,
    $$select marketing_automation.send_test('mistakes', 'mail', '99999999999', 'ann@shop.example')$$,
    $$select marketing_automation.simulate('mistakes', 'ann')$$,
    $$select marketing_automation.explain_record('mistakes', null)$$,
    $$select marketing_automation.is_suppressed(''), marketing_automation.suppress('')$$,
    $$select marketing_automation.unsubscribe_address(' ')$$,
    $$select marketing_automation.grant_access(null, 'marketer')$$,
    $$select marketing_automation.grant_access(4294967295::regrole, 'marketer')$$,
    $$select marketing_automation.revoke_access(null, 'marketer')$$,
    $$insert into marketing_automation.sender_permission (role, sender) values ('nobody_here', 'a@b.example')$$,
    $$update marketing_automation.scenario set owner = 'nobody_here' where name = 'mistakes'$$,
    $$insert into marketing_automation.smtp_server (name, url) values ('wrong', 'http://mail.example')$$,
    $$insert into marketing_automation.smtp_server (name, url) values ('wrong', 'smtp://:password@mail.example')$$,
    $$set marketing_automation.smtp_url = 'mail.example'$$,
    $$set marketing_automation.smtp_url = 'smtp://mail.example?starttls=yes'$$,
    $$set marketing_automation.automation_base = 'track.shop.example'$$,
    $$set marketing_automation.email_from = 'Shop hello@shop.example'$$,
    $$set marketing_automation.bounce_address = 'bounces'$$,
    $$set marketing_automation.unsubscribe_address = 'leave'$$,
    $$set marketing_automation.feedback_sender = 'x'$$,
    $$set marketing_automation.dkim_keys = 'shop.example'$$,
    $$select marketing_automation.enroll(now => 'infinity')$$,
    $$select marketing_automation.ingest_bounce('')$$,
    $$select marketing_automation.rotate_tracking_key('-1 day')$$,
    $$select marketing_automation.simulate('mistakes', '1', start => null)$$,
    $$select marketing_automation.tree('nowhere')$$,
    $$select marketing_automation.scenario_report_by('mistakes', 'week')$$,
    $$select marketing_automation.scenario_report_by('mistakes', 'day', '2026-01-01', '2020-01-01')$$,
    $$select marketing_automation.domain_report('mistakes', '2026-01-01', '2020-01-01')$$,
    $$select marketing_automation.activity_report_by('mistakes', 'nowhere', 'day')$$,
    $$select marketing_automation.link_report('mistakes', 'nowhere')$$,
    $$select marketing_automation.block('00000000-0000-0000-0000-000000000000')$$,
    $$select marketing_automation.cancel(0)$$,
    $$select marketing_automation.retry(0)$$,
    $$select marketing_automation.unsubscribe(null)$$,
    $$select marketing_automation.resubscribe(null)$$,
    $$select marketing_automation.suppress('a@b.example', 'nonsense')$$,
    $$select marketing_automation.grant_access(current_user::regrole, 'nonsense')$$,
    $$select marketing_automation.purge_messages('-1 day')$$
]) s;

delete from marketing_automation.scenario where name = 'mistakes';
select marketing_automation.unregister_model('mistake') \g /dev/null
drop function shop.told(text);
drop table shop.mistake;
