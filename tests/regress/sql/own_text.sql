\set SHOW_CONTEXT never
set timezone = 'UTC';
-- What is shown beside the subject, and a text part that is not made from the body.
create schema worded;
create table worded.buyer (id integer primary key, name text, email text, language text, news text);
insert into worded.buyer values (1, 'Ada <3', 'ada@worded.example', 'en', 'Tea & cake'), (2, 'Bob', 'bob@worded.example', 'fr', null);
select marketing_automation.register_model('worded', 'worded.buyer', key => 'self.id', email => 'self.email', language => 'self.language');
select marketing_automation.create_scenario('worded', 'worded') > 0 as created;
create function worded.seen(activity text, key text, out preheader text, out body text, out text text) language sql as $$
    select substring(p.html from 'mso-hide:all">(.*?)(?:&#847;|</div>)'), regexp_replace(p.html, '<div style="display:none.*?</div>', '<!-- it -->'),
        replace(p.text, E'\n', '|')
    from marketing_automation.preview('worded', activity, key) p $$;
select marketing_automation.add_activity('worded', 'mail', sender => 'Shop <shop@worded.example>', subject => 's',
    body => '<body><p>Hello <a href="https://worded.example/a">you</a> <a href="unsubscribe">x</a></p></body>') as mail \gset
select * from worded.seen('mail', '1');
select marketing_automation.add_activity('worded', 'mail', sender => 'Shop <shop@worded.example>', subject => 's',
    body => '<body><p>Hello <a href="https://worded.example/a">you</a> <a href="unsubscribe">x</a></p></body>', replace => true,
    preheader => E'{{ record.news }}\n for {{ record.name }}', text => E'Dear {{ record.name }},\nhttps://worded.example/a.\n{{ unsubscribe_url }}\n') = :mail as same;
select preheader, text, version from marketing_automation.activity where id = :mail;
select * from worded.seen('mail', '1');
-- Of a row for which they print nothing there is neither.
update marketing_automation.activity set preheader = '{{ record.news }}', text = '{% if record.news %}News: {{ record.news }} {{ unsubscribe_url }}{% endif %}' where id = :mail;
select * from worded.seen('mail', '2');

-- They go with the body, in languages and in variants.
insert into marketing_automation.activity_translation (activity_id, language, body) values (:mail, 'fr', '<p>Bonjour <a href="unsubscribe">x</a></p>');
insert into marketing_automation.activity_translation (activity_id, language, preheader) values (:mail, 'fr_CA', 'Nouvelles');
update marketing_automation.activity set preheader = 'News', text = 'Plain {{ unsubscribe_url }}' where id = :mail;
update worded.buyer set language = 'fr_CA' where id = 2;
select * from worded.seen('mail', '2');
update marketing_automation.activity_translation set text = 'Simple {{ unsubscribe_url }}' where activity_id = :mail and language = 'fr';
select * from worded.seen('mail', '2');
select marketing_automation.add_activity('worded', 'same body', parent => 'mail', on_event => 'variant', share => 30, subject => 't') > 0 as added;
select marketing_automation.add_activity('worded', 'other body', parent => 'mail', on_event => 'variant', share => 30, body => '<p>Other <a href="unsubscribe">x</a></p>') > 0 as added;
select v.name, s.* from unnest(array['same body', 'other body']) with ordinality v (name, n) cross join worded.seen(v.name, '1') s order by v.n;
select t.language, t.preheader, t.text from marketing_automation.activity a cross join marketing_automation_internal.template_texts(a.id) t
where a.name = 'other body' order by 1;

-- What is wrong is refused when it is written, with its place; names, too.
create function worded.told(statement text) returns text language plpgsql as $$
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
select worded.told(format('update marketing_automation.activity set %I = %L where id = %s', c, t, :mail))
from (values (1, 'preheader', '{{'), (2, 'preheader', '{{ record.new }}'), (3, 'text', E'Hello\n {% if %}'), (4, 'text', '{{ record.nme }}'),
    (5, 'text', '{% include "worded" %}'), (6, 'preheader', '{{ record.name.shout() }}'), (7, 'text', '')) u (n, c, t) order by n;
select worded.told($$update marketing_automation.activity_translation set text = '{{ record.nme }}' where language = 'fr' and text is not null$$);
update marketing_automation.activity set text = '*|FNAME|*' where id = :mail;
select severity, activity, message, hint from marketing_automation.check_scenario('worded') where message !~ 'translated|automation|recorded' order by 1, 2, 3;
-- That of one row is wrong: its mail alone cannot be made.
update marketing_automation.activity set text = '{{ 6 / (record.id - 1) }} {{ unsubscribe_url }}' where id = :mail;
select worded.told(format($$select from marketing_automation.preview('worded', 'mail', %L, 'en')$$, k)) from unnest(array['1', '2']) k order by k;

-- A snippet that they use is theirs to keep, and is no HTML there.
insert into marketing_automation.snippet (name, body) values ('worded', '{{ record.name }} {{ unsubscribe_url }}');
update marketing_automation.activity set preheader = 'P {% include "worded" %}', text = 'T {% include "worded" %}' where id = :mail;
select * from worded.seen('mail', '1');
select worded.told($$update marketing_automation.snippet set body = '{{ record.none }}' where name = 'worded'$$);
select worded.told($$delete from marketing_automation.snippet where name = 'worded'$$);
select marketing_automation_internal.mails_without_way_out(id) from marketing_automation.scenario where name = 'worded';
update marketing_automation.snippet set body = 'nothing' where name = 'worded';
select marketing_automation_internal.mails_without_way_out(id) from marketing_automation.scenario where name = 'worded';
-- What they read of the row the mail takes along, one that is queued, too.
select marketing_automation_internal.mail_columns(:mail);
select marketing_automation.send_test('worded', 'mail', '1', 'me@worded.example') as test \gset
update marketing_automation.activity set preheader = '{{ record.news }}', text = '{{ record.name }} {{ unsubscribe_url }}' where id = :mail;
select context from marketing_automation.message where id = :test;

-- They are part of the definition.
select a ->> 'name' as activity, a ->> 'preheader' as preheader, a ->> 'text' as text, t ->> 'language' as language, t ->> 'preheader' as preheader, t ->> 'text' as text
from jsonb_array_elements(marketing_automation.export_scenario('worded') -> 'activities') a
left join jsonb_array_elements(a -> 'translations') t on true order by 1, 4;
select marketing_automation.copy_scenario('worded', 'worded too') > 0 as copied;
select count(*) from marketing_automation.import_scenario(marketing_automation.export_scenario('worded'), 'worded too');
select change, object, attribute, before, after from marketing_automation.import_scenario(jsonb_set(marketing_automation.export_scenario('worded'),
    '{activities,0,preheader}', '"New"'), 'worded too', dry_run => true);
select after ->> 'preheader' as preheader, after ->> 'text' as text from marketing_automation.definition_history
where kind = 'activity' and scenario = 'worded' and name = 'mail' and (before ->> 'preheader', before ->> 'text')
    is distinct from (after ->> 'preheader', after ->> 'text') order by id;

delete from marketing_automation.scenario where name in ('worded', 'worded too');
delete from marketing_automation.snippet where name = 'worded';
select marketing_automation.unregister_model('worded');
set client_min_messages = error;
drop schema worded cascade;
