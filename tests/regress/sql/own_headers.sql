\set SHOW_CONTEXT never
set timezone = 'UTC';
-- Headers that an author adds to the mails of an activity.
create schema headed;
create table headed.buyer (id integer primary key, name text, email text, note text);
insert into headed.buyer values (1, 'Ada', 'ada@headed.example', E'a\r\nBcc: all@headed.example'), (2, 'Zoë', 'zoe@headed.example', null), (0, 'Nil', 'nil@headed.example', 'x');
select marketing_automation.register_model('headed', 'headed.buyer', key => 'self.id', email => 'self.email');
select marketing_automation.create_scenario('headed', 'headed') > 0 as created;
create function headed.shown(activity text, key text) returns text language sql as $$
    select coalesce(string_agg(line, ' | ' order by n), 'none')
    from marketing_automation.preview('headed', activity, key) p, regexp_split_to_table(p.headers, E'\n(?! )') with ordinality u (line, n)
    where line ~ '^(X-|Importance|Bcc)' $$;
select marketing_automation.add_activity('headed', 'mail', sender => 'Shop <shop@headed.example>', subject => 's', body => '<p>b</p>',
    headers => '{"X-Campaign": "{{ scenario.name }}/{{ activity.name }}", "Importance": "high"}') as mail \gset
select headed.shown('mail', '1');
select marketing_automation.add_activity('headed', 'mail', sender => 'Shop <shop@headed.example>', subject => 's', body => '<p>b</p>', replace => true) = :mail as same;
select a.headers, a.version from marketing_automation.activity a where a.id = :mail;
select headed.shown('mail', '1');
-- What a row says is one line; where it says nothing there is none; what is not ASCII is encoded.
update marketing_automation.activity set headers = '{"X-Note": "{{ record.note }}", "X-Name": "{{ record.name }}"}' where id = :mail;
select headed.shown('mail', '1');
select headed.shown('mail', '2');
-- That of one row is wrong: its mail alone fails.
create function headed.told(statement text) returns text language plpgsql as $$
declare
    message text;
    detail text;
    hint text;
begin
    execute statement;
    return 'no error';
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws(' | ', sqlstate, message, detail, coalesce(nullif(hint, ''), 'NO HINT'));
end $$;
update marketing_automation.activity set headers = '{"X-Part": "{{ 6 / record.id }}"}' where id = :mail;
select headed.shown('mail', '2');
select headed.told($$select headed.shown('mail', '0')$$);
-- Names that are not the author's, what is no template, and what does not exist.
select headed.told(format('update marketing_automation.activity set headers = %L where id = %s', h, :mail)) from unnest(array[
    '[]', '"X-A"', '{"X-A": 1}', '{"": "a"}', '{"X A": "a"}', '{"X:A": "a"}', '{"X-Ä": "a"}', '{"X-A\r\nBcc": "a"}', '{"Bcc": "a"}', '{"from": "a"}', '{"List-Id": "a"}',
    '{"Content-Type": "a"}', '{"Message-ID": "a"}', '{"DKIM-Signature": "a"}', '{"Return-Path": "a"}', '{"X-A": "a", "x-a": "b"}', '{"X-A": "{{"}',
    '{"X-B": "{{ record.name }}", "X-A": "{{ record.nme }}"}', '{"X-A": "{% include ''headed'' %}"}', '{"X-A": "{{ record.name.shout() }}"}', '{}']) with ordinality u (h, n) order by n;
select headed.told(format('update marketing_automation.activity set headers = %L where id = %s',
    (select jsonb_object_agg('X-' || n, 'a') from generate_series(1, 33) n), :mail));
update marketing_automation.activity set headers = '{"X-A": "*|FNAME|*"}' where id = :mail;

-- A variant has those of its mail, or its own.
update marketing_automation.activity set headers = '{"X-A": "{{ record.note }}"}' where id = :mail;
select marketing_automation.add_activity('headed', 'other', parent => 'mail', on_event => 'variant', share => 30, subject => 't') > 0 as added;
select marketing_automation.add_activity('headed', 'others', parent => 'mail', on_event => 'variant', share => 30, headers => '{"X-B": "{{ record.name }}"}') > 0 as added;
select headed.shown('other', '1'), headed.shown('others', '1');
insert into marketing_automation.activity_translation (activity_id, language, subject) values (:mail, 'fr', 'f');
select t.language, t.headers from marketing_automation_internal.mail_templates(array[:mail]) t order by 1;
-- What they read of the row the mail takes along, one that is queued, too.
select marketing_automation_internal.mail_columns(:mail);
update marketing_automation.activity set headers = null where scenario_id = marketing_automation.scenario_id('headed');
select marketing_automation_internal.mail_columns(:mail);
select marketing_automation.send_test('headed', 'mail', '1', 'me@headed.example') as test \gset
update marketing_automation.activity set headers = '{"X-A": "{{ record.name }}"}' where id = :mail;
select context from marketing_automation.message where id = :test;

-- They are part of the definition.
select a -> 'headers' as headers from jsonb_array_elements(marketing_automation.export_scenario('headed') -> 'activities') a order by a ->> 'name';
select marketing_automation.copy_scenario('headed', 'headed too') > 0 as copied;
select count(*) from marketing_automation.import_scenario(marketing_automation.export_scenario('headed'), 'headed too');
select change, object, attribute, before, after from marketing_automation.import_scenario(jsonb_set(marketing_automation.export_scenario('headed'),
    '{activities,0,headers,X-A}', '"new"'), 'headed too', dry_run => true);
select after -> 'headers' as headers from marketing_automation.definition_history
where kind = 'activity' and scenario = 'headed' and name = 'mail' and before -> 'headers' is distinct from after -> 'headers' order by id;

delete from marketing_automation.scenario where name in ('headed', 'headed too');
select marketing_automation.unregister_model('headed');
set client_min_messages = error;
drop schema headed cascade;
