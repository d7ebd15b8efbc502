\echo Use "ALTER EXTENSION marketing_automation UPDATE TO '0.2.0'" to load this file. \quit

-- ALTER EXTENSION has written the new version before it runs this. Whoever runs the file in another way is refused.
do $$ begin
    if (select e.extversion from pg_catalog.pg_extension e where e.extname = 'marketing_automation') is distinct from '0.2.0' then
        raise exception 'this script leads from version 0.1.0 of marketing_automation to 0.2.0, and only ALTER EXTENSION runs it'
            using errcode = 'object_not_in_prerequisite_state', hint = 'ALTER EXTENSION marketing_automation UPDATE TO ''0.2.0'';';
    end if;
end $$;

-- While the update waits for a lock, others wait behind it. Without a lock_timeout of the session it gives up after some seconds
-- and changes nothing; it can be run again.
select pg_catalog.set_config('marketing_automation_update.lock_timeout', pg_catalog.current_setting('lock_timeout'), true);
select pg_catalog.set_config('lock_timeout', '5s', true) where pg_catalog.current_setting('lock_timeout') = '0';

-- What is there now: roles get what is new, and nothing back that was revoked, see functions/access.sql.
select pg_catalog.set_config('marketing_automation_update.known', pg_catalog.string_agg(k.what, ' '), true)
from (
    select n.oid::pg_catalog.text from pg_catalog.pg_namespace n where n.nspname in ('marketing_automation', 'marketing_automation_internal')
    union all
    select c.oid::pg_catalog.text from pg_catalog.pg_class c
    where c.relnamespace in ('marketing_automation'::pg_catalog.regnamespace, 'marketing_automation_internal'::pg_catalog.regnamespace)
    union all
    select p.oid::pg_catalog.text from pg_catalog.pg_proc p
    where p.pronamespace in ('marketing_automation'::pg_catalog.regnamespace, 'marketing_automation_internal'::pg_catalog.regnamespace)
    union all
    select pg_catalog.concat_ws('.', a.attrelid, a.attnum)
    from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'marketing_automation'::pg_catalog.regnamespace and c.relkind = 'r' and a.attnum > 0
    union all
    select pg_catalog.concat_ws('.', r.access, r.privilege, o.name)
    from marketing_automation_internal.access_right() r
    cross join lateral pg_catalog.unnest(pg_catalog.string_to_array(r.objects, ' ')) as o (name)
) as k (what);

-- updates/0.1.0--0.2.0.sql
-- What tables need on the way from 0.1.0 to 0.2.0.

-- Who was given an access is found again under another name.
alter table marketing_automation_internal.access_grant add column role_id oid;
update marketing_automation_internal.access_grant g set role_id = r.oid from pg_catalog.pg_roles r where r.rolname = g.role;
comment on column marketing_automation_internal.access_grant.role_id is
    'The role of that name when it was written, for one that was renamed since; null: there was none';
-- Words and codes by which bounces are judged, which were part of the library.
create table marketing_automation.bounce_rule (
    kind text not null,
    pattern text not null,
    meaning text not null,
    is_enabled boolean not null default true,
    note text,
    is_shipped boolean not null default false,
    primary key (kind, pattern),
    constraint bounce_rule_fits_kind check (case kind
        when 'status' then meaning in ('dead', 'unclear')
        when 'reply' then meaning in ('dead', 'dead_after_data', 'dead_domain', 'alive')
        when 'step' then meaning in ('before_recipient', 'after_data', 'remote')
        when 'notice' then meaning in ('failed', 'delayed', 'delivered')
        when 'subject' then meaning in ('auto_reply', 'personal_reply')
        else false end)
);
comment on table marketing_automation.bounce_rule is
    'API: public. By which codes and words replies of mail servers and returned mails are judged; see docs/mail.md. Holds for what '
    'comes from now on, in the mailer within a minute or after a reload';
comment on column marketing_automation.bounce_rule.kind is
    'What is looked at. status: enhanced status code (RFC 3463); reply: what a server replied, at once or in its report; step: at '
    'which step of the dialogue; notice: subject and beginning of what mail servers write in prose; subject: the beginning of the '
    'subject of any mail';
comment on column marketing_automation.bounce_rule.pattern is
    'status: a code, or all that begin alike, as 5.0.%. Otherwise words in this order: case, accents, apostrophes, punctuation and '
    'numbers do not count, % stands for the rest of a word, or between words for up to some others of the same sentence';
comment on column marketing_automation.bounce_rule.meaning is
    'dead: mailbox or domain do not exist; dead_after_data: that too, also where the server had seen the mail; dead_domain: the domain '
    'does not exist, by who looked it up; unclear: the words decide; alive: it is about mail, sender or moment, whatever else is said; '
    'before_recipient, after_data, remote: what the server knew when it replied, or that it is another one; failed, delayed, '
    'delivered: what the notice says; auto_reply, personal_reply: a program or a person answers';
comment on column marketing_automation.bounce_rule.note is 'Why';
comment on column marketing_automation.bounce_rule.is_shipped is
    'As the extension has shipped it, and replaced by its updates; false once you have changed it, and then dumped';
alter table marketing_automation.record add column time_zone text;
comment on column marketing_automation.record.time_zone is
    'Value of the model''s time_zone expression when it entered: where days and months of delays count, if there is such a zone; null: '
    'that of the database';

-- Rows and turns that failed.
create table marketing_automation_internal.poisonous_row (
    scenario_id integer not null,
    digest text not null,
    place text not null,
    key text,
    raises_key boolean not null,
    error text not null,
    error_code text not null,
    primary key (scenario_id, digest, place)
);
comment on table marketing_automation_internal.poisonous_row is
    'API: private. Rows for which domain, key or party of a scenario raises an error: they stand apart, so that all others enter';
comment on column marketing_automation_internal.poisonous_row.digest is 'Hash of the row as text: a row that has changed is another one';
comment on column marketing_automation_internal.poisonous_row.place is
    'Where the row is in its table (ctid), to compare few digests; empty: it is in no table of this database';
comment on column marketing_automation_internal.poisonous_row.key is 'Its key as text; null: the key raises, or is null';
comment on column marketing_automation_internal.poisonous_row.raises_key is
    'Whether the key raises: then nobody may look at it, not even to find another row';

create table marketing_automation_internal.failed_turn (
    scenario_id integer not null,
    work text not null check (work in ('enroll', 'process', 'consent', 'leave')),
    activity_id integer not null default 0,
    failed_at timestamptz,
    slow boolean not null,
    batch_size integer check (batch_size > 0),
    searched_to text,
    primary key (scenario_id, work, activity_id),
    check ((work = 'process') = (activity_id <> 0)),
    check (failed_at is not null or not slow and batch_size is not null)
);
comment on table marketing_automation_internal.failed_turn is
    'API: private. What failed at its last turn, and goes to the end of the line: enrolling, processing an activity, asking for '
    'consent, or whether mails may leave. Gone when it succeeds';
comment on column marketing_automation_internal.failed_turn.failed_at is 'When it failed; null: the last turn succeeded';
comment on column marketing_automation_internal.failed_turn.slow is 'Whether it ran out of time, or waited too long for a lock';
comment on column marketing_automation_internal.failed_turn.batch_size is
    'So many records at most next time, as more of them took too long; null: as many as wanted';
comment on column marketing_automation_internal.failed_turn.searched_to is
    'Where the search for rows that raise had come when its time was over: a block of the table, how many are tried, within one block the '
    'hash of a row, how many are tried. The next turn goes on there. Null: there was no search, or it was through';

create type marketing_automation_internal.search as (
    first bigint,
    last bigint,
    failing_to bigint,
    total bigint
);
comment on type marketing_automation_internal.search is
    'API: private. Where a search for what raises is: the part that is tried, up to where a larger part has raised, and how many there '
    'are; see start_search()';

-- Of what is done, what was skipped is counted by itself.
alter table marketing_automation_internal.activity_counter add column skipped integer not null default 0;
comment on column marketing_automation_internal.activity_counter.skipped is
    'Records for which nothing was done: the condition was not true, the row was gone, or it had no address. Not in done';
insert into marketing_automation_internal.activity_counter (activity_id, period, done, skipped)
select f.activity_id, marketing_automation_internal.counter_period(f.finished_at), -count(*), count(*)
from marketing_automation_internal.finished_activity f
where f.outcome in ('condition_not_met', 'row_missing', 'no_address')
group by 1, 2;
drop view marketing_automation.activity_report;
drop function marketing_automation.activity_count(text);
drop function marketing_automation.activity_report_by(text, text, text, date, date);

drop function marketing_automation_internal.entering_query(marketing_automation.scenario, marketing_automation.model, text);
drop function marketing_automation_internal.enter_rows(marketing_automation.scenario, marketing_automation.model, text, text[],
    timestamptz);
drop function marketing_automation_internal.process_or_fail(marketing_automation.activity, bigint[], timestamptz);
drop function marketing_automation_internal.process_records(marketing_automation.activity, bigint[], timestamptz);
drop function marketing_automation_internal.withheld_consent(bigint[]);
drop function marketing_automation_internal.apply_events_of(integer, bigint[]);
alter table marketing_automation_internal.outbox
    add column channel text not null default 'mail' constraint outbox_channel_is_known check (channel in ('mail'));
comment on column marketing_automation_internal.outbox.channel is 'Which way it goes: mail is the first one';

-- Its row has a column more.
drop function marketing_automation_internal.claim_messages(integer, boolean);
-- That a mail was sent or bounced waits in the inbox too, while another session holds the mail.
alter table marketing_automation_internal.event_inbox
    alter column method drop not null,
    add constraint event_inbox_hit_has_method check ((kind in ('email_opened', 'email_clicked')) = (method is not null));

-- A deletion looks once more when it commits. The function is replaced below.
create function marketing_automation_internal.activity_gone() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$ begin return null; end $$;
create constraint trigger gone after delete on marketing_automation.activity deferrable initially deferred
    for each row execute function marketing_automation_internal.activity_gone();

-- What was cancelled because a party had left is found when it comes back.
alter table marketing_automation.record add column unsubscribed_at timestamptz;
comment on column marketing_automation.record.unsubscribed_at is
    'When processing first cancelled something because the party had left; null: nothing was, or the party came back';
drop index marketing_automation.record_blocked;
create index record_left on marketing_automation.record (party) where blocked_at is not null or unsubscribed_at is not null;
update marketing_automation.record r set unsubscribed_at = now()
where r.blocked_at is null and exists (
    select from marketing_automation_internal.finished_activity f where f.record_id = r.id and f.outcome = 'blocked');

drop function marketing_automation_internal.classify_events(tid[]);
-- Errors of expressions may quote rows, and are told to who may read them.
drop function marketing_automation_internal.explain_entering(marketing_automation.scenario, text);
drop function marketing_automation_internal.explain_mail(marketing_automation.message);
drop function marketing_automation_internal.explain_activities(marketing_automation.scenario, bigint);
drop function marketing_automation_internal.simulate_record(marketing_automation.scenario, bigint, uuid, jsonb, timestamptz);
create function marketing_automation.sees_rows(scenario_id integer) returns boolean
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
-- Snippets name the activities that use them.
drop function marketing_automation_internal.template_user();

-- Owners by name, and which role that was: a number in a dump is whoever has it elsewhere.
drop trigger lock_name on marketing_automation.snippet;
drop trigger share_owner on marketing_automation.snippet;
drop trigger lock_name on marketing_automation.page;
drop trigger share_owner on marketing_automation.page;
drop trigger lock_name on marketing_automation.page_text;
drop trigger share_owner on marketing_automation.page_text;
do $$
declare
    its_table text;
begin
    foreach its_table in array array['model', 'scenario', 'snippet', 'page', 'page_text'] loop
        execute format('alter table marketing_automation.%I alter column owner drop default, add column owner_id oid', its_table);
        execute format('alter table marketing_automation.%I alter column owner_id type oid using owner::oid, '
            'alter column owner type name using pg_get_userbyid(owner::oid)', its_table);
        execute format('alter table marketing_automation.%I alter column owner set default current_user, '
            'alter column owner_id set default quote_ident(current_user)::regrole::oid, alter column owner_id set not null', its_table);
        execute format('comment on column marketing_automation.%I.owner_id is %L', its_table,
            'The role that owner named when it was written: another one of that name is not the owner. 0: there was none');
    end loop;
end $$;
drop function marketing_automation_internal.apply_hits(tid[]);
drop function marketing_automation_internal.apply_or_fail(tid[]);

-- Several teams. What readers and operators have, and what is an admin's now, was part of marketer: it is no news to who has it.
-- To write was to delete, too.
select pg_catalog.set_config('marketing_automation_update.included', pg_catalog.string_agg(n.what, ' '), true)
from pg_catalog.unnest(pg_catalog.string_to_array(pg_catalog.current_setting('marketing_automation_update.known'), ' ')) as k (what)
cross join lateral (
    select a.access || pg_catalog.substr(k.what, pg_catalog.strpos(k.what, '.')) from (values ('marketer'), ('admin')) as a (access)
    union all
    select 'admin.delete.' || pg_catalog.substr(k.what, 16) where k.what like 'marketer.write.%') as n (what)
where k.what ~ '^(reader|operator|marketer)\.';

-- A marketer is one of own scenarios now, and has no say in what all share. Who was given it before keeps the rights on all, by name.
insert into marketing_automation_internal.access_grant (role, access, role_id)
select g.role, n.access, g.role_id
from marketing_automation_internal.access_grant g cross join (values ('reader'), ('operator'), ('admin')) as n (access)
where g.access = 'marketer'
on conflict do nothing;
drop function marketing_automation_internal.access_right();

-- Records and events are shown by views of their names, each team its own.
do $$
declare
    others text := (
        select pg_catalog.string_agg(distinct pg_catalog.pg_describe_object(o.classid, o.objid, 0), ', ')
        from pg_catalog.pg_depend d
        left join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.objid
        cross join lateral (values (case when r.oid is null then d.classid else 'pg_catalog.pg_class'::pg_catalog.regclass end,
            coalesce(r.ev_class, d.objid))) as o (classid, objid)
        where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype = 'n'
          and d.refobjid in ('marketing_automation.record'::pg_catalog.regclass, 'marketing_automation.event'::pg_catalog.regclass)
          and d.classid in ('pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass)
          and not exists (
            select from pg_catalog.pg_depend e
            where e.classid = o.classid and e.objid = o.objid and e.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
              and e.deptype = 'e'));
begin
    if others is not null then
        raise exception 'the tables record and event become views, and other objects depend on them'
            using errcode = 'dependent_objects_still_exist', detail = others || '.', hint = 'Drop these, update, and create them again.';
    end if;
end $$;
alter sequence marketing_automation.record_id_seq owned by none;
do $$
declare
    its_column record;
begin
    for its_column in
        select a.attrelid::pg_catalog.regclass as its_table, a.attname from pg_catalog.pg_attribute a
        where a.attrelid in ('marketing_automation.record'::pg_catalog.regclass, 'marketing_automation.event'::pg_catalog.regclass)
          and a.attnum > 0 and not a.attisdropped
    loop
        execute pg_catalog.format('comment on column %s.%I is null', its_column.its_table, its_column.attname);
    end loop;
end $$;
alter table marketing_automation.record set schema marketing_automation_internal;
alter table marketing_automation.event set schema marketing_automation_internal;
comment on table marketing_automation_internal.record is 'API: private. Rows of models that entered scenarios; see the view record';
comment on table marketing_automation_internal.event is 'API: private. Opens, clicks, bounces and so on; see the view event';
drop function marketing_automation_internal.existing_record(uuid);

create function marketing_automation.reads_every_scenario() returns boolean
language sql immutable parallel safe return true;
alter table marketing_automation.scenario enable row level security;
create policy own on marketing_automation.scenario using (
    pg_has_role(owner_id, 'MEMBER')
    or (select has_function_privilege('marketing_automation.reads_every_scenario()'::regprocedure, 'execute')
            or pg_has_role('pg_read_all_data', 'USAGE'))) with check (true);
comment on policy own on marketing_automation.scenario is
    'Scenarios whose owner the role is a member of, or all for who reads every scenario. Who may write which: the trigger guard';

alter table marketing_automation.activity enable row level security;
create policy own on marketing_automation.activity using (
    scenario_id in (select s.id from marketing_automation.scenario s)) with check (true);
comment on policy own on marketing_automation.activity is 'Of the scenarios that the role sees';

alter table marketing_automation.activity_translation enable row level security;
create policy own on marketing_automation.activity_translation using (
    activity_id in (select a.id from marketing_automation.activity a)) with check (true);
comment on policy own on marketing_automation.activity_translation is 'Of the scenarios that the role sees';

alter table marketing_automation.conversion enable row level security;
create policy own on marketing_automation.conversion using (scenario_id in (select s.id from marketing_automation.scenario s));
comment on policy own on marketing_automation.conversion is 'Of the scenarios that the role sees';

-- 0, all scenarios, is not a team's.
alter table marketing_automation.unsubscription enable row level security;
create policy own on marketing_automation.unsubscription using (
    (select has_function_privilege('marketing_automation.reads_every_scenario()'::regprocedure, 'execute')
            or pg_has_role('pg_read_all_data', 'USAGE'))
    or scenario_id in (select s.id from marketing_automation.scenario s));
comment on policy own on marketing_automation.unsubscription is 'Of the scenarios that the role sees; of all scenarios for who sees all';

-- What an expression raises may quote a row: such errors are for who may read the row.
alter table marketing_automation.scenario_status enable row level security;
create policy quotes_no_row on marketing_automation.scenario_status for select using (
    scenario_id in (select s.id from marketing_automation.scenario s)
    and (last_error_code is null or left(last_error_code, 2) in ('42', '40', '53', '55', '57', '58')
        or marketing_automation.sees_rows(scenario_id)));
comment on policy quotes_no_row on marketing_automation.scenario_status is
    'Of the scenarios that the role sees. Rows whose last error may quote a row of the model are for who sees_rows() only';

-- Who may send as whom: nobody is restricted before there is a row.

create table marketing_automation.sender_permission (
    role name not null,
    sender text not null check (sender <> ''),
    role_id oid not null default 0,
    primary key (role, sender)
);
comment on table marketing_automation.sender_permission is
    'API: public. Which role may send as which address or domain. Without a row anybody may send as anybody; with one, a scenario''s mails '
    'leave only if a role that its owner is a member of may send as their sender, or if they have no sender of their own';
comment on column marketing_automation.sender_permission.role is 'Scenarios whose owner is a member of this role may';
comment on column marketing_automation.sender_permission.sender is
    'An address, anna@shop.example, or a domain, shop.example, which stands for each address in it, and for none of its subdomains';
comment on column marketing_automation.sender_permission.role_id is
    'The role that was named when it was written: another one of that name may not. 0: there was none';

-- A scenario is created with its title; the page of one without a title has sentences that name none.
drop function marketing_automation.create_scenario(text, text, text, boolean, text, text, boolean, boolean, boolean);
alter table marketing_automation.page_text drop constraint page_text_name_check,
    add constraint page_text_name_check check (name in (
        'title', 'question', 'question_untitled', 'which', 'this_kind', 'this_kind_untitled', 'everything', 'button', 'done', 'effect',
        'effect_untitled', 'effect_everything', 'already', 'mistake', 'again', 'leave_everything', 'resubscribed', 'resubscribed_effect',
        'resubscribed_effect_untitled', 'not_found', 'check_link', 'unavailable', 'try_later'));
comment on table marketing_automation.page_text is
    'API: public. Texts of the built-in pages in your own words, or in a language that is not built in (en, fr, de, es, it, nl, pt, '
    'pt-BR, pl and ar are)';
comment on column marketing_automation.page.body is
    'minijinja template of a whole HTML document. Variables: form (the built-in form, which pages other than resubscribed must '
    'show), scenario, sender (of the mail, as in its header), language, direction (ltr or rtl), unsubscribed, everything, text (the '
    'built-in texts by name). Scripts do not run in it';

-- Leaving counts for the address as well.
create table marketing_automation_internal.unsubscribed_address (
    address_hash bytea not null check (octet_length(address_hash) = 32),
    scenario_id integer not null,
    created_at timestamptz not null,
    record_id bigint,
    party text collate "C",
    spares_party boolean not null default false,
    primary key (address_hash, scenario_id)
);
-- For who comes back, as a record or as a party.
create index unsubscribed_address_record on marketing_automation_internal.unsubscribed_address (record_id);
create index unsubscribed_address_party on marketing_automation_internal.unsubscribed_address (party);
comment on table marketing_automation_internal.unsubscribed_address is
    'API: private. Addresses that left a scenario, or all: nothing goes there, whichever rows have them. Only digests, as the list '
    'survives the erasure of the person';
comment on column marketing_automation_internal.unsubscribed_address.scenario_id is '0: every scenario, also those to come';
comment on column marketing_automation_internal.unsubscribed_address.record_id is
    'The record whose mail it left by, and party that of it; null: by unsubscribe_address(), or forgotten';
comment on column marketing_automation_internal.unsubscribed_address.spares_party is
    'Whether other records of that party go on, as the scenario is not unsubscribable: it was left for the one record, and by this '
    'address for all parties else';
-- What searches for rows that raise does so in another way.
drop function marketing_automation_internal.poisonous_keys(marketing_automation.scenario, marketing_automation.model, text[]);
drop function marketing_automation_internal.consenting_records(marketing_automation.scenario, regclass, text, bigint[]);
drop function marketing_automation_internal.enroll_one(marketing_automation.scenario, timestamptz);
-- Readers leave by mail too.
alter table marketing_automation.bounce drop constraint bounce_kind_check,
    add constraint bounce_kind_check check (kind in ('hard', 'soft', 'delayed', 'delivered', 'complaint', 'auto_reply', 'unsubscribe',
                                                     'unknown'));
comment on column marketing_automation.bounce.kind is
    'hard: the mailbox does not exist; soft: not delivered for a reason that may pass; delayed: a server goes on trying; delivered; '
    'complaint: marked as spam; auto_reply: somebody is away; unsubscribe: a reader leaves by mail; unknown: anything else';

-- Patterns that may take any time are not accepted any more, and those that were written before are switched off.
update marketing_automation.robot_rule set is_enabled = false
where kind = 'user_agent' and is_enabled and regexp_replace(pattern, '\\[^1-9]', '', 'g') ~ '\\[1-9]|\(\?[=!<]';
-- Mailers on other hosts.
alter table marketing_automation_internal.outbox add column mailer integer;
comment on column marketing_automation_internal.outbox.mailer is
    'The marketing-mailer that claimed it last, of the table mailer; null: the worker';
drop function marketing_automation_internal.rescue_messages(boolean);
create table marketing_automation_internal.mailer (
    id integer primary key generated always as identity,
    name text collate "C" not null unique check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    instance uuid not null,
    role name not null,
    host text not null,
    version text not null,
    pid integer,
    backend_start timestamptz,
    since timestamptz not null,
    seen_at timestamptz not null,
    suspected_at timestamptz,
    state text not null,
    sent bigint not null default 0,
    failed bigint not null default 0,
    retried bigint not null default 0,
    last_error text,
    last_error_at timestamptz
) with (fillfactor = 50);
comment on table marketing_automation_internal.mailer is
    'API: private. Each marketing-mailer that has sent for this database; see mailer_status. Not dumped: a restored copy has none';
comment on column marketing_automation_internal.mailer.instance is 'Its process: one that connects again is still the same';
comment on column marketing_automation_internal.mailer.pid is
    'Of its session, with backend_start, as process ids are used again. A session that has ended leaves an orphan, whose claims the '
    'next claim of anybody takes back; null: it has left, or its claims were taken back';
comment on column marketing_automation_internal.mailer.since is 'When its process registered first';
comment on column marketing_automation_internal.mailer.suspected_at is
    'When another sender noticed that it is silent; of no meaning once it has been seen again';
-- It asks what becomes of mails that another server may have sent.
drop function marketing_automation.arm();

-- Clicks wait until the rules about robots have seen what follows.
comment on table marketing_automation_internal.event_inbox is
    'API: private. Opens and clicks that are recorded and not yet applied, see apply_events(); clicks for as long as rules about robots '
    'look at what comes next, see click_window(); that mails were sent or bounced (email_sent, email_bounced) while another session held '
    'them. Where a mailer runs, what came in the last moment, and rows that could not be applied';
-- For apply_batch: the clicks that have waited for the rules about robots; and for classify_events the other clicks in their mails.
create index event_inbox_ripe on marketing_automation_internal.event_inbox (occurred_at) where kind = 'email_clicked' and error is null;
create index event_inbox_click on marketing_automation_internal.event_inbox (record_id, activity_id)
    where kind = 'email_clicked' and error is null;
drop function marketing_automation_internal.apply_batch(integer);

-- Journeys end by an exit condition.
alter table marketing_automation.scenario add column exit_condition text;
comment on column marketing_automation.scenario.exit_condition is
    'SQL boolean expression over self, asked when an activity is due, before a mail leaves, and of all who wait, time and again: once it '
    'is true, the journey of the record ends; null: never';
alter table marketing_automation_internal.record
    add column ended_at timestamptz,
    add column end_reason text,
    add column goal_before boolean not null default false,
    add constraint record_end_reason_check check (end_reason in ('exited', 'goal_reached')),
    add constraint record_end_has_reason check ((ended_at is null) = (end_reason is null));
create index record_ended on marketing_automation_internal.record (scenario_id, end_reason) where end_reason is not null;
alter table marketing_automation_internal.finished_activity
    drop constraint finished_activity_outcome_check,
    drop constraint finished_activity_outcome_fits_state,
    add constraint finished_activity_outcome_check check (outcome in
        ('executed', 'mailed', 'no_address', 'condition_not_met', 'row_missing', 'opposite_executed', 'event_arrived', 'blocked',
            'goal_reached', 'exited', 'error')),
    add constraint finished_activity_outcome_fits_state check (
        state = case
            when outcome in ('opposite_executed', 'event_arrived', 'blocked', 'goal_reached', 'exited') then 'cancelled'
            when outcome = 'error' then 'failed'
            else 'done'
        end);
create table marketing_automation_internal.sweep (
    scenario_id integer not null,
    what text not null check (what in ('exit', 'goal')),
    began_at timestamptz,
    activity_id integer not null default 0,
    reached_at timestamptz not null default '-infinity',
    reached_record bigint not null default 0,
    batch_size integer check (batch_size > 0),
    rests_until timestamptz not null default '-infinity',
    primary key (scenario_id, what)
) with (fillfactor = 50);
comment on table marketing_automation_internal.sweep is
    'API: private. Where asking the records of a scenario, slice by slice, for their exit or their goal has come';
comment on column marketing_automation_internal.sweep.began_at is 'When the round began; null: none is under way';
comment on column marketing_automation_internal.sweep.activity_id is
    'Records that wait for an earlier activity than this one have been asked, and of this one those that wait until reached_at';
comment on column marketing_automation_internal.sweep.reached_record is
    'Records up to this one have been asked; of exits: of those that wait until reached_at';
comment on column marketing_automation_internal.sweep.batch_size is
    'So many records at most in the next slice, as more of them took too long; null: as many as wanted';
comment on column marketing_automation_internal.sweep.rests_until is 'No round begins before';

-- Goals that are true. Of those who are in nobody knows whether they had reached the goal before: they convert as they would have.
alter table marketing_automation.scenario
    add column goal_window interval not null default '30 days' check (goal_window > interval '0' and goal_window <= interval '10 years'),
    add column goal_at text,
    add column goal_value text,
    add constraint scenario_goal_parts_need_goal check (goal is not null or (goal_at is null and goal_value is null));
comment on column marketing_automation.scenario.goal is
    'SQL boolean expression over self. Asked when a row enters: who has reached it then never converts; later when an activity runs, and '
    'of all who can still convert, time and again: the first time that it is true is a conversion of the record; null: none';
comment on column marketing_automation.scenario.goal_window is
    'How long after entering the goal counts, for who enters from now on; days and months in the recipient''s time zone';
comment on column marketing_automation.scenario.goal_at is
    'SQL expression over self, timestamptz: when the goal was reached; null: when it was seen to hold';
comment on column marketing_automation.scenario.goal_value is
    'SQL expression over self, a number: what reaching the goal is worth; null: nothing';
comment on column marketing_automation.scenario.goal_ends_journey is
    'Whether nothing more runs for a record that has reached the goal, and no mail leaves, queued or not';
-- Who can still convert: a small table, from which a record goes when it has, or when its time is over.
create table marketing_automation_internal.open_goal (
    scenario_id integer not null,
    record_id bigint not null,
    until timestamptz not null,
    primary key (scenario_id, record_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.open_goal is
    'API: private. Records that may still reach the goal of their scenario: those that had not when they entered, have not converted, and '
    'whose window is not over';
comment on column marketing_automation_internal.open_goal.until is 'End of its window: a goal that is reached later is no conversion';
insert into marketing_automation_internal.open_goal (scenario_id, record_id, until)
select r.scenario_id, r.id, r.entered_at + s.goal_window
from marketing_automation.scenario s join marketing_automation_internal.record r on r.scenario_id = s.id
where s.goal is not null and r.entered_at + s.goal_window > now()
  and not exists (select from marketing_automation.conversion c where c.record_id = r.id and c.source = 'goal');
update marketing_automation_internal.record r set ended_at = c.at, end_reason = 'goal_reached'
from marketing_automation.conversion c join marketing_automation.scenario s on s.id = c.scenario_id and s.goal_ends_journey
where c.source = 'goal' and r.id = c.record_id;
alter table marketing_automation.conversion add column activity_id integer;
comment on table marketing_automation.conversion is
    'API: public. What records have brought: written by record_conversion(), and once when the scenario''s goal is reached';
comment on column marketing_automation.conversion.at is 'When it happened; of a goal without goal_at: when it was seen to hold';
comment on column marketing_automation.conversion.activity_id is
    'The activity that it is credited to: whose mail was clicked last before it, else sent last; null: there was none';

-- Hold-outs.
alter table marketing_automation.scenario
    add column holdout numeric not null default 0 check (holdout between 0 and 100),
    add constraint scenario_holdout_needs_goal check (goal is not null or holdout = 0);
comment on column marketing_automation.scenario.holdout is
    'Per cent of the people who enter that get no mail, so that their conversions tell what would have happened without; see '
    'uplift_report(). Fixed once records have entered';
alter table marketing_automation_internal.record add column held_out boolean not null default false;
create index record_held_out on marketing_automation_internal.record (scenario_id) where held_out;
-- When mails may leave.
create table marketing_automation.send_window (
    name text primary key check (name <> ''),
    days integer[] not null default '{1,2,3,4,5,6,7}',
    opens time not null default '00:00',
    closes time not null default '24:00',
    calendar text,
    time_zone text,
    outside text not null default 'wait' check (outside in ('wait', 'skip')),
    owner name not null default current_user,
    owner_id oid not null default quote_ident(current_user)::regrole::oid
);
comment on table marketing_automation.send_window is
    'API: public. When mails of the scenarios and activities that name it may leave, by the clock of the recipient';
comment on column marketing_automation.send_window.days is
    'Days of the week on which it opens, 1 is Monday and 7 Sunday (ISO 8601)';
comment on column marketing_automation.send_window.opens is 'From when, by the clock of the recipient''s time zone';
comment on column marketing_automation.send_window.closes is
    'Until when, that moment excluded; earlier than opens: on the day after the one on which it opened';
comment on column marketing_automation.send_window.calendar is 'On the days that holiday has under this name it does not open; null: on none';
comment on column marketing_automation.send_window.time_zone is
    'IANA time zone for recipients of whom none is known; null: that of the database';
comment on column marketing_automation.send_window.outside is
    'What becomes of a mail that finds it shut: wait for the next opening, or skip: it is not sent, and starts no children';
comment on column marketing_automation.send_window.owner is
    'Only members of this role may change the window; every scenario may use it';
comment on column marketing_automation.send_window.owner_id is
    'The role that owner named when it was written: another one of that name is not the owner. 0: there was none';

create table marketing_automation.holiday (
    calendar text not null check (calendar <> ''),
    day date not null check (isfinite(day)),
    primary key (calendar, day)
);
comment on table marketing_automation.holiday is 'API: public. Days on which the windows with this calendar do not open';

alter table marketing_automation.scenario add column send_window text;
comment on column marketing_automation.scenario.send_window is 'Name of the window in which its mails may leave; null: at any time';
alter table marketing_automation.activity add column at_time time, add column send_window text;
comment on column marketing_automation.activity.at_time is
    'Time of day, by the recipient''s clock, at which it runs: the first one after its delay; null: as soon as that is over';
comment on column marketing_automation.activity.send_window is
    'Name of the window in which its mails may leave; null: that of the scenario';
drop function marketing_automation.add_activity(text, text, text, text, text, interval, text, text, text, text, interval);

-- Branches.
alter table marketing_automation.activity
    drop constraint activity_on_event_check,
    drop constraint activity_negative_event_needs_delay,
    add constraint activity_on_event_check check (on_event in ('email_opened', 'email_not_opened', 'email_clicked', 'email_not_clicked',
        'email_bounced', 'email_not_bounced', 'condition_not_met')),
    add constraint activity_negative_event_needs_delay check (on_event not like 'email\_not\_%' or delay is not null),
    add column branch_by text check (branch_by in ('condition', 'share')),
    add column share numeric check (share > 0 and share <= 100);
comment on column marketing_automation.activity.on_event is
    'What the recipient must do (email_opened, email_clicked) or leave undone until the delay is over (email_not_opened, '
    'email_not_clicked), or what must happen to the mail (email_bounced, email_not_bounced); condition_not_met: runs instead of its '
    'parent, when the condition of that was not true; null: simply follows';
comment on column marketing_automation.activity.condition is
    'SQL boolean expression over self; unless it is true, nothing is done and no child starts but those on condition_not_met. After an '
    'activity that branches by condition it is asked when that runs, and not again';
comment on column marketing_automation.activity.branch_by is
    'condition or share: its children are alternatives, of which each record takes one, decided when this activity runs, for good: the first '
    'whose condition is true, in the order in which they were added, or one by its share; one without takes the rest. null: each child is '
    'asked by itself';
comment on column marketing_automation.activity.share is
    'Per cent of the people for whom its parent has run that take this one, by a hash of parent and party or key. Fixed once records have '
    'passed';
create table marketing_automation_internal.branch_decision (
    record_id bigint not null,
    parent_id integer not null,
    activity_id integer,
    decided_at timestamptz not null,
    primary key (record_id, parent_id)
);
-- For reports, and to ask whether records have passed.
create index branch_decision_taken on marketing_automation_internal.branch_decision (parent_id, activity_id);
comment on table marketing_automation_internal.branch_decision is
    'API: private. Which child a record takes of an activity whose children are alternatives: its primary key is why it is one; see the '
    'view branch_decision';
-- Replaced below.
create function marketing_automation_internal.activity_shares() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$ begin return null; end $$;
create constraint trigger shares after insert or update of share, parent_id on marketing_automation.activity deferrable initially deferred
    for each row when (new.share is not null) execute function marketing_automation_internal.activity_shares();

-- Everybody who may read these reads all; but who may write a column of them may lock rows, and would keep other teams waiting.
alter table marketing_automation.model enable row level security;
create policy every on marketing_automation.model using (true) with check (true);
comment on policy every on marketing_automation.model is 'All teams'' models are seen. Who may write which: the trigger guard';
create policy own on marketing_automation.model as restrictive for update using (pg_has_role(owner_id, 'MEMBER')) with check (true);
comment on policy own on marketing_automation.model is 'Changed, and locked, are models whose owner the role is a member of';
alter table marketing_automation.snippet enable row level security;
create policy every on marketing_automation.snippet using (true) with check (true);
comment on policy every on marketing_automation.snippet is 'All teams'' snippets are seen. Who may write which: the trigger guard';
create policy own on marketing_automation.snippet as restrictive for update using (pg_has_role(owner_id, 'MEMBER')) with check (true);
comment on policy own on marketing_automation.snippet is 'Changed, and locked, are snippets whose owner the role is a member of';
alter table marketing_automation.send_window enable row level security;
create policy every on marketing_automation.send_window using (true) with check (true);
comment on policy every on marketing_automation.send_window is 'All teams'' windows are seen. Who may write which: the trigger guard';
create policy own on marketing_automation.send_window as restrictive for update using (pg_has_role(owner_id, 'MEMBER')) with check (true);
comment on policy own on marketing_automation.send_window is 'Changed, and locked, are windows whose owner the role is a member of';

-- Topics.
create table marketing_automation.topic (
    name text primary key check (name <> ''),
    title text check (title <> ''),
    opt_in text not null default 'none' check (opt_in in ('none', 'double'))
);
comment on table marketing_automation.topic is
    'API: public. Kinds of mail that people leave and come back to, whichever scenarios send them: scenario.topic';
comment on column marketing_automation.topic.title is
    'How recipients know this kind of mail, on pages in languages without a title in topic_translation; null: name';
comment on column marketing_automation.topic.opt_in is
    'none: who has not left it gets its mails; double: only who has asked for it, and has confirmed that';

create table marketing_automation.topic_translation (
    topic text not null,
    language text not null check (language ~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$'),
    title text not null check (title <> ''),
    primary key (topic, language)
);
comment on table marketing_automation.topic_translation is 'API: public. Titles of topics by language';
comment on column marketing_automation.topic_translation.language is 'BCP 47 or POSIX language tag: fr, fr-CA, fr_CA';

-- One row for what a party has chosen, one for an address: that by which somebody without a party is known, or by which a party has left.
create table marketing_automation.subscription (
    id bigint generated always as identity primary key,
    topic text not null,
    party text collate "C",
    address_hash bytea check (octet_length(address_hash) = 32),
    state text not null check (state in ('pending', 'subscribed', 'unsubscribed')),
    source text not null,
    at timestamptz not null,
    constraint subscription_is_somebodys check (party is not null or address_hash is not null)
);
create unique index subscription_of_party on marketing_automation.subscription (topic, party) where address_hash is null;
create unique index subscription_of_address on marketing_automation.subscription (topic, address_hash);
-- For who comes back, or asks what is known of them.
create index subscription_party on marketing_automation.subscription (party);
comment on table marketing_automation.subscription is
    'API: public. What parties and addresses have chosen for a topic; how it came about is in subscription_log. It outlives its topic: who '
    'has left is not asked again when a topic of that name is made anew';
comment on column marketing_automation.subscription.party is
    'Who has chosen, by the party expression of models; of an address: the party as which it left, null: none that is known';
comment on column marketing_automation.subscription.address_hash is
    'Digest of an address, see address_hash(): it holds for each row that has this address. Null: the row is about the party';
comment on column marketing_automation.subscription.state is
    'pending: asked for, not confirmed yet: no mail; subscribed; unsubscribed: no mail, whatever else is known';
comment on column marketing_automation.subscription.source is 'Where the last change came from, in words: page, or what subscribe() was told';
comment on column marketing_automation.subscription.at is 'Since when it is so';

create table marketing_automation.subscription_log (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    topic text not null,
    party text collate "C",
    address_hash bytea,
    state_before text,
    state text,
    source text not null,
    role name,
    record_id bigint,
    activity_id integer,
    user_agent text
);
create index subscription_log_party on marketing_automation.subscription_log (party, topic);
create index subscription_log_address on marketing_automation.subscription_log (address_hash, topic);
comment on table marketing_automation.subscription_log is
    'API: public. Each change of a subscription, in order of id: the proof of consent. Rows are only appended';
comment on column marketing_automation.subscription_log.state_before is 'Its state before; null: there was no subscription';
comment on column marketing_automation.subscription_log.state is 'Its state from then on; null: taken back, as if nothing had been chosen';
comment on column marketing_automation.subscription_log.role is 'Who called the function; null: the recipient, on a page';
comment on column marketing_automation.subscription_log.record_id is 'The record whose mail, that of activity_id, had the link; null: none had';
comment on column marketing_automation.subscription_log.user_agent is 'Of a page, as far as settings say that it is kept';

alter table marketing_automation.scenario add column topic text;
comment on column marketing_automation.scenario.topic is
    'Name of the topic that its mails are about: they go to who has not left it, or has asked for it; null: none';
-- Classes of mails.
create table marketing_automation.message_class (
    name text primary key check (name <> ''),
    honors_unsubscribe boolean not null default true,
    bulk_headers boolean not null default true,
    priority integer not null default 0 check (priority between -1000 and 1000),
    note text,
    is_shipped boolean not null default false
);
comment on table marketing_automation.message_class is
    'API: public. Classes of mails: marketing, transactional, internal, and your own. A scenario has one, an activity may have another';
comment on column marketing_automation.message_class.honors_unsubscribe is
    'Whether who has unsubscribed, from the scenario or from everything, gets no mail of this class. What is suppressed or blocked gets '
    'none of any';
comment on column marketing_automation.message_class.bulk_headers is
    'Whether its mails have the headers of a mailing list: Precedence, List-Id, List-Unsubscribe and List-Unsubscribe-Post';
comment on column marketing_automation.message_class.priority is
    'Classes with more are processed and sent before those with less';
comment on column marketing_automation.message_class.note is 'What it is for';
comment on column marketing_automation.message_class.is_shipped is
    'As the extension has shipped it; false once you have changed it, and then dumped';
alter table marketing_automation.scenario add column message_class text not null default 'marketing';
comment on column marketing_automation.scenario.message_class is
    'Class of its mails, but of those whose activity has another: a name in message_class';
alter table marketing_automation.activity add column message_class text;
comment on column marketing_automation.activity.message_class is 'Class of its mails: a name in message_class; null: that of the scenario';
drop function marketing_automation_internal.mail_templates(integer[]);
-- Entering again.
alter table marketing_automation.scenario
    add column reenter_after interval check (reenter_after >= interval '0' and reenter_after <= interval '10 years'),
    add column occasion text;
comment on column marketing_automation.scenario.reenter_after is
    'How long after its journey has ended a row enters again, if the domain is true for it then; days and months in the recipient''s time '
    'zone. Null: once, ever, or, with an occasion, at once for another one';
comment on column marketing_automation.scenario.occasion is
    'SQL expression over self, taken as text: what a row enters for, once for each, such as a year or an order; a row that has none (null or '
    'empty) waits. Fixed once records have entered. Null: rows enter for no occasion';
alter table marketing_automation.scenario_status add column without_occasion bigint not null default 0;
comment on column marketing_automation.scenario_status.without_occasion is
    'Rows that the domain matched at the last run of enrolling and that wait, as they had no occasion';
alter table marketing_automation_internal.record
    drop constraint record_enters_once,
    drop constraint record_end_reason_check,
    add column occasion text collate "C" constraint record_occasion_is_short check (octet_length(occasion) <= 1000),
    add column run integer not null default 1 constraint record_run_check check (run > 0),
    add constraint record_enters_once unique (scenario_id, key, run),
    add constraint record_end_reason_check check (end_reason in ('exited', 'goal_reached', 'entered_again'));
create unique index record_occasion_once on marketing_automation_internal.record (scenario_id, key, occasion) where occasion is not null;
alter table marketing_automation_internal.finished_activity
    drop constraint finished_activity_outcome_check,
    drop constraint finished_activity_outcome_fits_state,
    add constraint finished_activity_outcome_check check (outcome in
        ('executed', 'mailed', 'no_address', 'condition_not_met', 'row_missing', 'opposite_executed', 'event_arrived', 'blocked',
            'goal_reached', 'exited', 'entered_again', 'no_date', 'expired', 'error')),
    add constraint finished_activity_outcome_fits_state check (
        state = case
            when outcome in ('opposite_executed', 'event_arrived', 'blocked', 'goal_reached', 'exited', 'entered_again',
                'no_date') then 'cancelled'
            when outcome = 'error' then 'failed'
            else 'done'
        end);

alter table marketing_automation.page drop constraint page_name_check,
    add constraint page_name_check check (name in ('unsubscribe', 'unsubscribed', 'resubscribed', 'preferences', 'confirm', 'confirmed'));
comment on column marketing_automation.page.name is
    'unsubscribe: what a link in a mail opens; unsubscribed: what follows; resubscribed: after the undo; preferences: where topics are '
    'chosen; confirm: what the link to confirm a subscription opens; confirmed: what follows';

-- Double opt-in.
create table marketing_automation.subscription_request (
    id bigint generated always as identity primary key,
    topic text not null,
    party text collate "C",
    email text not null constraint subscription_request_has_an_address check (email <> '' and length(email) <= 1000),
    language text,
    source text not null,
    requested_at timestamptz not null,
    confirmed_at timestamptz
);
create index subscription_request_email on marketing_automation.subscription_request (lower(email), topic);
comment on table marketing_automation.subscription_request is
    'API: public. Who has to confirm a subscription, and by which address: rows of a model of yours, whose scenario mails confirm_url. Removed '
    'after 30 days; what was confirmed is in subscription_log';
comment on column marketing_automation.subscription_request.party is 'For whom it was asked; null: for the address';
comment on column marketing_automation.subscription_request.email is 'Where the mail that asks goes: who reads it there confirms';
comment on column marketing_automation.subscription_request.confirmed_at is 'When it was confirmed; null: it was not';

-- The history of definitions.
create table marketing_automation.definition_history (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    role name not null,
    kind text not null,
    name text not null,
    scenario text,
    change text not null check (change in ('create', 'change', 'delete')),
    before jsonb,
    after jsonb,
    owner name,
    owner_id oid
);
create index definition_history_name on marketing_automation.definition_history (kind, name, id);
create index definition_history_at on marketing_automation.definition_history using brin (at);
comment on table marketing_automation.definition_history is
    'API: public. Each change of a definition: a model, scenario, activity, translation, snippet, page, text of a page, send window, holiday, '
    'topic or its title, class of mails, robot rule, or permission to send. Kept until purge_definition_history()';
comment on column marketing_automation.definition_history.role is 'Who made it: the role as which the session worked, whatever functions it called';
comment on column marketing_automation.definition_history.kind is 'The table that has the definition';
comment on column marketing_automation.definition_history.name is 'Its name; of a translation with the language, of a holiday with the day';
comment on column marketing_automation.definition_history.scenario is 'Of an activity or a translation: the name that its scenario had';
comment on column marketing_automation.definition_history.before is
    'What it was; of a change, the attributes that have changed; null: it was not there';
comment on column marketing_automation.definition_history.after is 'What it became, likewise; null: it is gone';
comment on column marketing_automation.definition_history.owner is
    'Its owner, or that of its scenario: members of that role see the row; null: it is of all teams';
comment on column marketing_automation.definition_history.owner_id is
    'The role that owner named when it was written: another one of that name is not the owner. 0: there was none';

-- Own ones, and what is of all teams.
alter table marketing_automation.definition_history enable row level security;
create policy own on marketing_automation.definition_history using (
    owner_id is null or pg_has_role(owner_id, 'MEMBER')
    or (select has_function_privilege('marketing_automation.reads_every_scenario()'::regprocedure, 'execute')
            or pg_has_role('pg_read_all_data', 'USAGE')));
comment on policy own on marketing_automation.definition_history is
    'Of definitions whose owner the role is a member of, and of what no team owns; all for who reads every scenario';
-- Dates of the row.
alter table marketing_automation.activity
    drop constraint activity_delay_check,
    add column at text,
    add constraint activity_delay_check check (delay between case when at is null then interval '0' else interval '-10 years' end
        and interval '10 years');
comment on column marketing_automation.activity.delay is
    'How long after its start (enrolling, parent''s mail taken, event) it runs; null: at once. A change is for those who start later. With '
    'at: how long after that date, or, negative, before it';
comment on column marketing_automation.activity.at is
    'SQL expression over self, timestamptz: the date from which delay counts, instead of from its start. Asked again when it is due: a later '
    'one lets it wait, without one (null) it is cancelled; an earlier one is found by apply_dates()';
comment on column marketing_automation.activity.expires_after is
    'How long after the activity ran its mail is still worth sending: one that a limit, a retry or a stop has held longer ends as '
    'suppressed, and starts no children; null: always. With at: it does not run, and starts no children, so long after it was due';
alter table marketing_automation_internal.sweep
    drop constraint sweep_what_check,
    add constraint sweep_what_check check (what in ('exit', 'goal', 'date'));
comment on table marketing_automation_internal.sweep is
    'API: private. Where asking the records of a scenario, slice by slice, for their exit, their goal or their dates has come';
comment on column marketing_automation_internal.sweep.reached_record is
    'Records up to this one have been asked; of exits and dates: of those that wait until reached_at';

-- functions/shared.sql
-- Small functions that many others use, and defaults of tables: this file runs before the tables are made.

create or replace function marketing_automation_internal.counter_period(at timestamptz) returns timestamptz
language sql immutable parallel safe
return date_bin('15 minutes', at, '2000-01-01 00:00+00');
comment on function marketing_automation_internal.counter_period(timestamptz) is
    'API: private. Beginning of the period in which a moment is counted';

create or replace function marketing_automation_internal.log_bucket(at timestamptz) returns smallint
language sql immutable
return (floor(extract(epoch from at) / (30 * 86400)) % 40)::smallint;
comment on function marketing_automation_internal.log_bucket(timestamptz) is
    'API: private. Partition of message_log, 0 to 39: each takes what ends in 30 days, and again after 1200 days';

create or replace function marketing_automation_internal.is_restoring() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- is_superuser follows SET ROLE, and no SECURITY DEFINER function. Files that pg_dump wrote are not only restored but also
    -- played before a migration: what is loaded from a dump is written by COPY or INSERT itself, and by no function.
    select not current_setting('check_function_bodies')::boolean and current_setting('is_superuser')::boolean
        and current_query() ~* '^\s*(copy|insert\s+into)\s+"?marketing_automation'
$$;
comment on function marketing_automation_internal.is_restoring() is
    'API: private. Whether a superuser loads a dump: pg_dump turns check_function_bodies off, as functions and rows may come before '
    'what they need, and writes COPY or INSERT. Nothing is compiled or looked up then; what is missing shows when it runs';

create or replace function marketing_automation_internal.check_value(value text, valid text[], what text, whose text, otherwise text default null)
    returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if value <> all (valid) then
        raise exception '% "%" of % does not exist', what, value, whose
            using errcode = 'check_violation',
                  hint = coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(value, valid) || '". ', '')
                      || format('It is %s%s.', array_to_string(valid, ', '), coalesce('; ' || otherwise, ''));
    end if;
end $$;
comment on function marketing_automation_internal.check_value(text, text[], text, text, text) is
    'API: private. Raises, with all that are valid, unless a value is one of them or null. otherwise: what null means';

create or replace function marketing_automation_internal.check_language(language text, whose text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if language !~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$' then
        raise exception 'language "%" of % is no language tag', language, whose
            using errcode = 'check_violation', hint = 'Write a BCP 47 or POSIX tag: fr, fr-CA, fr_CA.';
    end if;
end $$;
comment on function marketing_automation_internal.check_language(text, text) is 'API: private. Raises unless a language is a tag';

create or replace function marketing_automation_internal.as_text(expression text) returns text
language sql immutable
-- The line break ends a comment inside the expression.
return case when expression is null then 'null::text' else '(' || expression || E'\n)::text' end;
comment on function marketing_automation_internal.as_text(text) is
    'API: private. A checked user expression, ready to stand in a query, cast to text';

create or replace function marketing_automation_internal.as_short_text(expression text) returns text
language sql immutable
return 'left(' || marketing_automation_internal.as_text(expression) || ', 1001)';
comment on function marketing_automation_internal.as_short_text(text) is
    'API: private. As as_text(), of which whoever reads it keeps no more than shows that it has more than 1,000 characters';

create or replace function marketing_automation_internal.as_condition(expression text) returns text
language sql immutable
return case when expression is null then 'true' else '(' || expression || E'\n) is true' end;
comment on function marketing_automation_internal.as_condition(text) is
    'API: private. A checked boolean user expression, ready to stand in a query; null holds always';

create or replace function marketing_automation_internal.is_broken_definition(code text) returns boolean
language sql immutable
-- Syntax error or access rule violation, but for missing rights (PostgreSQL, appendix A): a name that is gone, a type that changed.
return left(code, 2) = '42' and code <> '42501';
comment on function marketing_automation_internal.is_broken_definition(text) is
    'API: private. Whether an SQLSTATE means that an expression does not fit its relation any more';

create or replace function marketing_automation_internal.may_quote(message text, code text) returns boolean
language sql immutable
-- Errors that pass, limits and missing rights name objects, and what is wrong with a definition names columns and types. But class 42 is also what a
-- value raises that names a relation, or a role, that does not exist: those do not begin with what is wrong.
return case
    when left(code, 2) in ('40', '53', '55', '57', '58') or code = '42501' then false
    when left(code, 2) = '42' then message !~ '^((\w+ )+of (model|scenario|activity)|model|role) "'
    else true
end;
comment on function marketing_automation_internal.may_quote(text, text) is
    'API: private. Whether an error that a user expression has raised may hold values of a row';

create or replace function marketing_automation_internal.public_error(message text, code text) returns text
language sql immutable
return case
    when not marketing_automation_internal.may_quote(message, code) then message
    when message is not null then 'its text may quote the row, and is for who may read that'
end;
comment on function marketing_automation_internal.public_error(text, text) is
    'API: private. What everybody may see of an error that a user expression has raised: its message, unless that may hold values';

create or replace function marketing_automation_internal.opposite_event(event text) returns text
language sql immutable
return case event
    when 'email_opened' then 'email_not_opened' when 'email_not_opened' then 'email_opened'
    when 'email_clicked' then 'email_not_clicked' when 'email_not_clicked' then 'email_clicked'
    when 'email_bounced' then 'email_not_bounced' when 'email_not_bounced' then 'email_bounced'
end;
comment on function marketing_automation_internal.opposite_event(text) is 'API: private. email_opened for email_not_opened and so on';

create or replace function marketing_automation_internal.state_of(outcome text) returns text
language sql immutable
return case
    when outcome in ('opposite_executed', 'event_arrived', 'blocked', 'goal_reached', 'exited', 'entered_again', 'no_date') then 'cancelled'
    when outcome = 'error' then 'failed'
    else 'done' end;
comment on function marketing_automation_internal.state_of(text) is
    'API: private. The state of an activity that has ended so: done, cancelled or failed';

create or replace function marketing_automation_internal.is_passing_error(code text) returns boolean
language sql immutable
-- Transaction rollback, resources, system errors, lock not available (PostgreSQL, appendix A): not the fault of a row,
-- trying again later can help.
return left(code, 2) in ('40', '53', '58') or code = '55P03';
comment on function marketing_automation_internal.is_passing_error(text) is
    'API: private. Whether trying again later can help, judged by SQLSTATE';

create or replace function marketing_automation_internal.is_for_the_caller(code text) returns boolean
language sql stable
-- Serialization failure: only another transaction has another snapshot. A deadlock is as good as that where clients try again anyway.
return code = '40001' or code = '40P01' and current_setting('transaction_isolation') <> 'read committed';
comment on function marketing_automation_internal.is_for_the_caller(text) is
    'API: private. Whether an error, judged by SQLSTATE, is to be raised and not kept, since it ends when the caller begins a new '
    'transaction';

-- functions/library.sql
-- Functions of the shared library (src/extension/functions). A symbol, NAME_wrapper, is named by the SQL of every version that was
-- ever installed: it never goes away, see docs/contributing.md.

create or replace function marketing_automation.address_hash(address text) returns bytea
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'address_hash_wrapper';
comment on function marketing_automation.address_hash(text) is
    'API: public. SHA-256 of a mail address in lower case, its domain as punycode: the key of the table suppression';

create or replace function marketing_automation_internal.check_address(address text) returns void
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_address_wrapper';
comment on function marketing_automation_internal.check_address(text) is
    'API: private. Raises unless a mail can go to this address (RFC 5321, section 4.1.2, without quoted local parts and address '
    'literals)';

create or replace function marketing_automation_internal.address_domain(address text) returns text
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'address_domain_wrapper';
comment on function marketing_automation_internal.address_domain(text) is
    'API: private. Domain of a mail address in lower case, as punycode: the key of the table domain_limit; null: it has none';

create or replace function marketing_automation_internal.check_smtp_url(url text) returns void
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_smtp_url_wrapper';
comment on function marketing_automation_internal.check_smtp_url(text) is
    'API: private. Raises, without quoting it, unless the URL is one for marketing_automation.smtp_url';

create or replace function marketing_automation_internal.parse_bounce(raw bytea)
returns table (kind text, status text, diagnostic text, return_paths text[], message_ids text[], unsubscribe_tokens text[])
language c stable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'parse_bounce_wrapper';
comment on function marketing_automation_internal.parse_bounce(bytea) is
    'API: private. What a returned mail says by the rules of bounce_rule, unverified: kind as in the table bounce, and addresses, '
    'Message-IDs and tokens of List-Unsubscribe by which the mail may be found';

create or replace function marketing_automation_internal.check_bounce_rule(kind text, pattern text, meaning text) returns void
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_bounce_rule_wrapper';
comment on function marketing_automation_internal.check_bounce_rule(text, text, text) is
    'API: private. Raises unless it is a rule that bounce_rule can hold: says what is wrong, and what would be one';

create or replace function marketing_automation_internal.shipped_bounce_rules() returns table (kind text, pattern text, meaning text, note text)
language c immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'shipped_bounce_rules_wrapper';
comment on function marketing_automation_internal.shipped_bounce_rules() is 'API: private. The bounce rules that this version ships';

create or replace function marketing_automation_internal.is_extension_script() returns boolean
language c stable parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'is_extension_script_wrapper';
comment on function marketing_automation_internal.is_extension_script() is
    'API: private. Whether CREATE EXTENSION or ALTER EXTENSION … UPDATE runs: only then rows are shipped';

create or replace function marketing_automation_internal.check_condition(owner regrole, relation regclass, expression text, what text) returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_condition_wrapper';
comment on function marketing_automation_internal.check_condition(regrole, regclass, text, text) is
    'API: private. Raises unless expression is exactly one boolean SQL expression over self that plans against relation with the '
    'rights of owner; what: its name in errors';

create or replace function marketing_automation_internal.check_expression(owner regrole, relation regclass, expression text, what text) returns regtype
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_expression_wrapper';
comment on function marketing_automation_internal.check_expression(regrole, regclass, text, text) is
    'API: private. Raises unless expression is exactly one SQL expression over self that plans against relation with the rights of '
    'owner; returns its type';

create or replace function marketing_automation_internal.render_preview(activity_id integer, record jsonb, party text, email text,
    recipient_name text, language text, time_zone text, track_opens boolean)
returns table (sender text, subject text, html text, text text, headers text)
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'render_preview_wrapper';
comment on function marketing_automation_internal.render_preview(integer, jsonb, text, text, text, text, text, boolean) is
    'API: private. Behind preview(): renders the mail of an activity for a row that the caller has read';

create or replace function marketing_automation_internal.render_report(report jsonb, language text) returns text
language c strict stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'render_report_wrapper';
comment on function marketing_automation_internal.render_report(jsonb, text) is
    'API: private. Behind report_html(): makes the page of what report_data() has gathered';

create or replace function marketing_automation_internal.nearest_name(name text, names text[]) returns text
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'nearest_name_wrapper';
comment on function marketing_automation_internal.nearest_name(text, text[]) is
    'API: private. The one of the names that was probably meant, for a hint; null: none differs by so few as three letters or half '
    'of them';

create or replace function marketing_automation_internal.query_as_owner(owner regrole, relation regclass, query text, keys text[]) returns setof record
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'query_as_owner';
comment on function marketing_automation_internal.query_as_owner(regrole, regclass, text, text[]) is
    'API: private. Runs one query, $1 = keys, with the rights of owner, read-only, search_path = pg_catalog; the only place where '
    'user SQL runs';

create or replace function marketing_automation_internal.plan_as_owner(owner regrole, relation regclass, query text) returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'plan_as_owner_wrapper';
comment on function marketing_automation_internal.plan_as_owner(regrole, regclass, text) is
    'API: private. Plans a query over $1 (text[]) as its owner without running it: an error says why it would not run';

create or replace function marketing_automation_internal.expected_rows(owner regrole, relation regclass, query text) returns double precision
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'expected_rows_wrapper';
comment on function marketing_automation_internal.expected_rows(regrole, regclass, text) is
    'API: private. How many rows the planner expects of a query without parameters, planned as its owner';

create or replace function marketing_automation_internal.database_time_zone() returns text
language c stable parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'database_time_zone_wrapper';
comment on function marketing_automation_internal.database_time_zone() is
    'API: private. The time zone of the database, whatever the session has set';

create or replace function marketing_automation_internal.is_time_zone(name text) returns boolean
language c stable strict parallel restricted as 'MODULE_PATHNAME', 'is_time_zone_wrapper';
comment on function marketing_automation_internal.is_time_zone(text) is 'API: private. Whether PostgreSQL knows a time zone of this name';

create or replace function marketing_automation_internal.begin_turn() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'begin_turn_wrapper';
comment on function marketing_automation_internal.begin_turn() is
    'API: private. From here on what query_as_owner() runs has expression_timeout together, until end_turn(), or until the transaction '
    'or its part that is rolled back ends';

create or replace function marketing_automation_internal.begin_statement_turn() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'begin_statement_turn_wrapper';
comment on function marketing_automation_internal.begin_statement_turn() is
    'API: private. As begin_turn(); all that one statement of the client begins so share one limit: a view that calls for each scenario';

create or replace function marketing_automation_internal.turn_asks(scenario_id integer, work text, activity_id integer default 0) returns void
language c volatile strict parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'turn_asks_wrapper';
comment on function marketing_automation_internal.turn_asks(integer, text, integer) is
    'API: private. Says whose expressions the turn asks from here on, and what for, as turn_ended() takes it: called if they end the '
    'connection, past their time';

create or replace function marketing_automation_internal.end_turn() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'end_turn_wrapper';
comment on function marketing_automation_internal.end_turn() is 'API: private. Ends the turn that began last; one around it goes on';

create or replace function marketing_automation_internal.turn_left() returns double precision
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'turn_left_wrapper';
comment on function marketing_automation_internal.turn_left() is
    'API: private. The share of its time that the turn has left, 0 to 1; null: it has no limit';

create or replace function marketing_automation_internal.assume_time(at timestamptz) returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'assume_time_wrapper';
comment on function marketing_automation_internal.assume_time(timestamptz) is
    'API: private. Sets the time that assumed_now() gives, for the rest of the transaction or of its part that is rolled back; null: '
    'the present';

create or replace function marketing_automation.assumed_now() returns timestamptz
language c stable parallel restricted as 'MODULE_PATHNAME', 'assumed_now_wrapper';
comment on function marketing_automation.assumed_now() is
    'API: public. The time that enroll(now), process_due(now) and simulate(start) assume, otherwise now(): for expressions, so that a '
    'campaign of birthdays can be rehearsed';

create or replace function marketing_automation_internal.revoke_claims_of(kind text, key text) returns void
language c volatile strict parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'revoke_claims_of_wrapper';
comment on function marketing_automation_internal.revoke_claims_of(text, text) is
    'API: private. When the current transaction commits, no claimed mail of this record, party, address (its hash in hexadecimal '
    'digits), activity, or all, leaves any more: it must be claimed again';

create or replace function marketing_automation_internal.queue_cursor(queue text, activity_id integer, domain_queue text) returns timestamptz
language c stable parallel restricted strict set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'queue_cursor_wrapper';
comment on function marketing_automation_internal.queue_cursor(text, integer, text) is
    'API: private. When the first row of this queue was due that this process found when it looked last; -infinity: it has not '
    'looked yet. Where the next look begins: before it are rows that have been taken already, and at most some that were committed '
    'late';

create or replace function marketing_automation_internal.set_queue_cursor(queue text, activity_id integer, domain_queue text, at timestamptz)
    returns timestamptz
language c volatile parallel unsafe strict set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'set_queue_cursor_wrapper';
comment on function marketing_automation_internal.set_queue_cursor(text, integer, text, timestamptz) is
    'API: private. Remembers at for queue_cursor(), and returns it';

create or replace function marketing_automation_internal.this_data_directory()
returns table (path text, inode bigint, born timestamptz, machine_id text, started_as text)
language c stable parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'this_data_directory_wrapper';
comment on function marketing_automation_internal.this_data_directory() is
    'API: private. Where the server''s data are, inode number and time of creation (where the file system knows it) of the file '
    'PG_VERSION, which is never written again and which no copy can keep, the machine''s id (machine-id(5), where there is one), and '
    'whether the server was started as primary, standby or restored';

create or replace function marketing_automation_internal.setting(name text) returns text
language c stable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'setting_wrapper';
comment on function marketing_automation_internal.setting(text) is 'API: private. Value of marketing_automation.NAME, as SHOW gives it';

create or replace function marketing_automation_internal.show_step(step text) returns void
language c volatile parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'show_step_wrapper';
comment on function marketing_automation_internal.show_step(text) is
    'API: private. Shows in pg_stat_activity what the statement that runs is at; null: the statement alone';

create or replace function marketing_automation_internal.library_version() returns text
language c stable set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'library_version_wrapper';
comment on function marketing_automation_internal.library_version() is
    'API: private. The version of the library that this session has loaded: extversion is that of the SQL';

create or replace function marketing_automation.worker_status()
returns table (database text, pid integer, state text, started_at timestamptz, sent bigint, failed bigint, retried bigint,
    last_error text, last_error_at timestamptz)
language c volatile parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'worker_status_wrapper';
comment on function marketing_automation.worker_status() is
    'API: public. The mailer of this database: idle, sending, paused (by pause(), or the SMTP server is out of reach), unconfigured, '
    'disarmed, outdated (the SQL is of another version than the library), starting, not running or not preloaded; mails sent, failed '
    'and put off since the server started; the last error';

create or replace function marketing_automation_internal.check_page(what text, body text, needs_form boolean) returns void
language c strict volatile parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_page_wrapper';
comment on function marketing_automation_internal.check_page(text, text, boolean) is
    'API: private. Raises with line and column unless the template of a page compiles and, if it needs one, shows the form; what: '
    'which page';

create or replace function marketing_automation_internal.check_templates(what text, sender text, subject text, body text, language text,
    columns jsonb) returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_templates_wrapper';
comment on function marketing_automation_internal.check_templates(text, text, text, text, text, jsonb) is
    'API: private. Raises with part, line and column unless the templates, written in language, compile and use only what is there; '
    'warns of names that they ask about in vain. what: whose they are; columns: template_columns(), null: unknown';

create or replace function marketing_automation_internal.check_snippet(name text, language text) returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_snippet_wrapper';
comment on function marketing_automation_internal.check_snippet(text, text) is
    'API: private. Raises with line and column unless the snippet compiles in this language, and uses snippets that exist and not '
    'itself';

create or replace function marketing_automation_internal.snippet_fault(sender text, subject text, body text, language text, columns jsonb) returns text
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'snippet_fault_wrapper';
comment on function marketing_automation_internal.snippet_fault(text, text, text, text, jsonb) is
    'API: private. What the snippets in the templates do wrong there, or which one is missing; null: nothing. Arguments as of '
    'check_templates()';

create or replace function marketing_automation_internal.used_snippets(sender text, subject text, body text) returns text[]
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'used_snippets_wrapper';
comment on function marketing_automation_internal.used_snippets(text, text, text) is
    'API: private. Names of the snippets that the templates use, and of those that these use, whether they exist or not';

create or replace function marketing_automation_internal.used_columns(texts text[]) returns text[]
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'used_columns_wrapper';
comment on function marketing_automation_internal.used_columns(text[]) is
    'API: private. Names of the columns of the record that templates, and the snippets that they use in any language, read; null: they '
    'may read any';

create or replace function marketing_automation_internal.verify_token(kind text, token text) returns table (record_id bigint, activity_id integer,
    link_id bigint)
language c strict stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'verify_token_wrapper';
comment on function marketing_automation_internal.verify_token(text, text) is
    'API: private. What a token says, no row if it does not verify; kind: email_opened, email_clicked or unsubscribed';

create or replace function marketing_automation_internal.verify_tokens(kinds text[], tokens text[])
    returns table (records bigint[], activities integer[], links bigint[])
language c strict stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'verify_tokens_wrapper';
comment on function marketing_automation_internal.verify_tokens(text[], text[]) is
    'API: private. One row: what the tokens say, as columns for unnest(); nulls for one that does not verify. kinds: as in '
    'verify_token(), for each token';

create or replace function marketing_automation_internal.sign_token(kind text, record_id bigint, activity_id integer, link_id bigint default null)
    returns text
language c stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'sign_token_wrapper';
comment on function marketing_automation_internal.sign_token(text, bigint, integer, bigint) is
    'API: private. Token of an URL in a mail, as the mailer signs it; kind: email_opened, email_clicked or unsubscribed. Null while '
    'there is no tracking key';

create or replace function marketing_automation_internal.verify_return_path(address text) returns table (record_id bigint, activity_id integer)
language c strict stable parallel safe rows 1 set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'verify_return_path_wrapper';
comment on function marketing_automation_internal.verify_return_path(text) is
    'API: private. The mail whose return path (see marketing_automation.bounce_address) an address is, in any case, with or without '
    'angle brackets; no row when none of the tracking keys signed it';

create or replace function marketing_automation_internal.sign_return_path(bounce_address text, record_id bigint, activity_id integer) returns text
language c strict stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'sign_return_path_wrapper';
comment on function marketing_automation_internal.sign_return_path(text, bigint, integer) is
    'API: private. Envelope sender of a mail, as the mailer makes it of marketing_automation.bounce_address. Null while there is no '
    'tracking key';

create or replace function marketing_automation_internal.new_record_uuid(record_id bigint) returns uuid
language c strict volatile parallel safe as 'MODULE_PATHNAME', 'new_record_uuid_wrapper';
comment on function marketing_automation_internal.new_record_uuid(bigint) is
    'API: private. A random public id (RFC 9562 version 8) from which record_id() reads the id, so that it needs no index of its own';

create or replace function marketing_automation_internal.notify_mailer() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'notify_mailer_wrapper';
comment on function marketing_automation_internal.notify_mailer() is
    'API: private. Wakes the mailer of this database, or has it started, when the current transaction commits';

create or replace function marketing_automation_internal.give_access_again(role text, access text) returns void
language c volatile strict parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'give_access_again_wrapper';
comment on function marketing_automation_internal.give_access_again(text, text) is
    'API: private. give_access() for the script of an update: what it grants are no initial privileges, so that pg_dump keeps them';

-- functions/teams.sql
-- Several teams in one database. A role has to do with the scenarios whose owner it is a member of; with all others only where an
-- access says so. The markers are functions: whoever may execute one has that right, so it is granted, revoked, inherited and dumped
-- like any other. Which access has which: access.sql.

create or replace function marketing_automation.counts_every_scenario() returns boolean
language sql immutable parallel safe return true;
comment on function marketing_automation.counts_every_scenario() is
    'API: public. Who may call it sees the numbers of every scenario, not only of those whose owner it is a member of';

create or replace function marketing_automation.reads_every_scenario() returns boolean
language sql immutable parallel safe return true;
comment on function marketing_automation.reads_every_scenario() is
    'API: public. Who may call it sees every scenario, its records, mails and events, not only where it is a member of the owner';

create or replace function marketing_automation.operates_every_scenario() returns boolean
language sql immutable parallel safe return true;
comment on function marketing_automation.operates_every_scenario() is
    'API: public. Who may call it enrolls, processes, blocks, cancels and retries in every scenario, not only where it is a member of '
    'the owner';

create or replace function marketing_automation.enters_every_scenario() returns boolean
language sql immutable parallel safe return true;
comment on function marketing_automation.enters_every_scenario() is
    'API: public. Who may call it enters rows by their keys into every scenario, not only where it is a member of the owner';

create or replace function marketing_automation_internal.has_right(caller regrole, owner_id oid, what text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- An owner that was dropped has no members. pg_read_all_data reads the tables already.
    select coalesce(pg_has_role(caller, owner_id, 'MEMBER'), false)
        or has_function_privilege(caller, case what
            when 'count' then 'marketing_automation.counts_every_scenario()'::regprocedure
            when 'read' then 'marketing_automation.reads_every_scenario()'::regprocedure
            when 'enter' then 'marketing_automation.enters_every_scenario()'::regprocedure
            when 'operate' then 'marketing_automation.operates_every_scenario()'::regprocedure end, 'execute')
        or what in ('count', 'read') and pg_has_role(caller, 'pg_read_all_data', 'USAGE')
$$;
comment on function marketing_automation_internal.has_right(regrole, oid, text) is
    'API: private. Whether a role may count, read, enter or operate scenarios of this owner; owner_id null: those of everybody';

create or replace function marketing_automation_internal.demand_right(caller regrole, scenario marketing_automation.scenario, what text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.has_right(caller, scenario.owner_id, what) then
        raise exception 'must be a member of role %, the owner of scenario "%"', scenario.owner, scenario.name
            using errcode = 'insufficient_privilege',
                  hint = case what
                      when 'count' then 'Its members change it; the access "reports" shows the numbers of all scenarios.'
                      when 'read' then 'The access "reader" shows all scenarios.'
                      when 'enter' then 'The access "enroller" enters rows into all scenarios.'
                      else 'The access "operator" runs all scenarios.' end;
    end if;
end $$;
comment on function marketing_automation_internal.demand_right(regrole, marketing_automation.scenario, text) is
    'API: private. Raises unless a role may do that with a scenario: count, read, enter or operate';

create or replace function marketing_automation_internal.scenario_for(caller regrole, name text, what text) returns marketing_automation.scenario
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation.scenario := marketing_automation_internal.scenario_named(name);
begin
    perform marketing_automation_internal.demand_right(caller, result, what);
    return result;
end $$;
comment on function marketing_automation_internal.scenario_for(regrole, text, text) is
    'API: private. The scenario of that name, for a role that may count, read, enter or operate it; else an error';

create or replace function marketing_automation_internal.demand_activity(caller regrole, activity_id integer) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    -- What no activity is known of is told by whoever looks for it.
    perform marketing_automation_internal.demand_right(caller, s, 'operate')
    from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
    where a.id = demand_activity.activity_id;
end $$;
comment on function marketing_automation_internal.demand_activity(regrole, integer) is
    'API: private. Raises unless a role may operate the scenario of an activity';

create or replace function marketing_automation_internal.demand_record(caller regrole, record uuid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    -- A record that does not exist is told by whoever looks for it.
    perform marketing_automation_internal.demand_right(caller, s, 'operate')
    from marketing_automation_internal.record r join marketing_automation.scenario s on s.id = r.scenario_id
    where r.id = marketing_automation.record_id(record) and r.uuid = record;
end $$;
comment on function marketing_automation_internal.demand_record(regrole, uuid) is
    'API: private. Raises unless a role may operate the scenario of the record of that public id';

-- Views run as their owner, and the current user is who reads. What they ask here is asked once a query and a scenario, not once a row.
create or replace view marketing_automation_internal.reader as
select has_function_privilege('marketing_automation.reads_every_scenario()'::regprocedure, 'execute')
        or pg_has_role('pg_read_all_data', 'USAGE') as reads_every,
    has_function_privilege('marketing_automation.counts_every_scenario()'::regprocedure, 'execute')
        or pg_has_role('pg_read_all_data', 'USAGE') as counts_every;
comment on view marketing_automation_internal.reader is
    'API: private. One row: whether the current user sees the scenarios of all teams, and whether their numbers';

create or replace view marketing_automation_internal.readable_scenario as
select s.id from marketing_automation.scenario s
where (select r.reads_every from marketing_automation_internal.reader r) or pg_has_role(s.owner_id, 'MEMBER');
comment on view marketing_automation_internal.readable_scenario is 'API: private. Scenarios that the current user may see';

create or replace view marketing_automation_internal.readable_activity as
select a.id from marketing_automation.activity a
where a.scenario_id in (select s.id from marketing_automation_internal.readable_scenario s);
comment on view marketing_automation_internal.readable_activity is 'API: private. Activities of scenarios that the current user may see';

create or replace view marketing_automation_internal.countable_scenario with (security_barrier) as
select s.id, s.name, s.state from marketing_automation.scenario s
where (select r.counts_every from marketing_automation_internal.reader r) or pg_has_role(s.owner_id, 'MEMBER');
comment on view marketing_automation_internal.countable_scenario is 'API: private. Scenarios whose numbers the current user may see';

-- functions/audience.sql
-- Who sees what is in a row: members of the scenario's owner, with whose rights it is read, and who may read the relation anyway, all
-- of its rows. Others see that there is something, when, and how it went.

create or replace view marketing_automation_internal.row_filter as
with recursive behind as (
    -- reader: as whom it is read, null: as whoever reads the first one
    select m.relation::oid as relation, m.relation::oid as id, null::oid as reader from marketing_automation.model m
    union
    select b.relation, d.refobjid, case when exists (select from unnest(v.reloptions) o where o ~ '^security_invoker=(t|y|on|1)')
        then b.reader else v.relowner end
    from behind b
    join pg_class v on v.oid = b.id and v.relkind = 'v'
    join pg_rewrite w on w.ev_class = v.oid
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
)
select b.relation, c.relowner as owner_id, c.relforcerowsecurity as forced, b.reader is null as by_reader
from behind b
join pg_class c on c.oid = b.id
left join pg_roles r on r.oid = b.reader
where (c.relrowsecurity or c.relkind = 'v' and exists (select from unnest(c.reloptions) o where o ~ '^security_barrier=(t|y|on|1)'))
  and (b.reader is null
    or not (r.rolsuper or r.rolbypassrls) and (c.relforcerowsecurity or not pg_has_role(r.oid, c.relowner, 'USAGE')));
comment on view marketing_automation_internal.row_filter is
    'API: private. What hides rows of models'' relations, at any depth of views: row security, and views that are security barriers. '
    'by_reader: from whoever reads, but for members of owner_id unless forced; else from everybody';

create or replace view marketing_automation_internal.hidden_relation as
select f.relation from marketing_automation_internal.row_filter f
where not f.by_reader
   or not (select r.rolsuper or r.rolbypassrls from pg_roles r where r.rolname = current_user)
      and (f.forced or not pg_has_role(f.owner_id, 'USAGE'));
comment on view marketing_automation_internal.hidden_relation is
    'API: private. Relations of models of which the current user may not see all rows, whatever else it may';

create or replace view marketing_automation_internal.open_activity as
select a.id
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id
left join marketing_automation.model m on m.name = s.model
where pg_has_role(s.owner_id, 'MEMBER')
   or has_table_privilege(m.relation, 'SELECT')
      and m.relation::oid not in (select h.relation from marketing_automation_internal.hidden_relation h);
comment on view marketing_automation_internal.open_activity is
    'API: private. Activities of which the current user may see contents of the rows that they have read. Views compare with an array of '
    'them, which is made once a query: asked row by row it made reading a log cost seconds';

create or replace function marketing_automation_internal.sees_rows(caller regrole, scenario_id integer) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(pg_has_role(caller, s.owner_id, 'MEMBER'), false)
        or coalesce(has_table_privilege(caller, m.relation, 'SELECT'), false)
            and not exists (
                select from marketing_automation_internal.row_filter f join pg_roles r on r.oid = caller
                where f.relation = m.relation
                  and (not f.by_reader
                    or not (r.rolsuper or r.rolbypassrls) and (f.forced or not pg_has_role(caller, f.owner_id, 'USAGE'))))
    from marketing_automation.scenario s left join marketing_automation.model m on m.name = s.model
    where s.id = sees_rows.scenario_id
$$;
comment on function marketing_automation_internal.sees_rows(regrole, integer) is 'API: private. Behind sees_rows()';

create or replace function marketing_automation.sees_rows(scenario_id integer) returns boolean
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.sees_rows(integer) is
    'API: public. Whether you may see contents of the rows of a scenario: as a member of its owner, or since you may read all rows of the '
    'relation of its model';

-- functions/views.sql
-- What people see of the tables that work is done in. Each shows what is of the reader's scenarios, or all to who reads every scenario:
-- see teams.sql. security_barrier: no function of the reader sees a row before that is known.

create or replace view marketing_automation.record with (security_barrier) as
select r.id, r.scenario_id, r.key, r.party, r.uuid, r.entered_at, r.blocked_at, r.time_zone, r.unsubscribed_at, r.ended_at,
    r.end_reason, r.goal_before, r.held_out, r.occasion, r.run
from marketing_automation_internal.record r
where (select v.reads_every from marketing_automation_internal.reader v)
   or r.scenario_id in (select s.id from marketing_automation_internal.readable_scenario s);
comment on view marketing_automation.record is
    'API: public. Rows of models that entered a scenario: once, ever, or, where it says so, again. Of your scenarios, or of all: see '
    'docs/teams.md';
comment on column marketing_automation.record.key is 'Value of the model''s key expression, as text';
comment on column marketing_automation.record.party is 'Value of the model''s party expression when it entered, as text';
comment on column marketing_automation.record.uuid is
    'Public random id (RFC 9562 version 8: 48 bits of id, 74 random bits), found through the primary key: see record_id(uuid)';
comment on column marketing_automation.record.time_zone is
    'Value of the model''s time_zone expression when it entered: where days and months of delays count, if there is such a zone; null: '
    'that of the database';
comment on column marketing_automation.record.blocked_at is 'Since when nothing more runs for this record; null: not blocked';
comment on column marketing_automation.record.unsubscribed_at is
    'When processing first cancelled something because the party had left; null: nothing was, or the party came back';

comment on column marketing_automation.record.ended_at is 'When its journey ended before its time: nothing more runs; null: it did not';
comment on column marketing_automation.record.end_reason is
    'Why: exited, the exit condition of the scenario was true; goal_reached, the goal, where it ends journeys; entered_again, its row '
    'entered again';
comment on column marketing_automation.record.goal_before is
    'Whether it had reached the goal of the scenario already when it entered: it never converts';
comment on column marketing_automation.record.held_out is
    'Whether it is held out: it starts no activity and gets no mail, and its goal is measured to compare with';
comment on column marketing_automation.record.occasion is
    'Value of the scenario''s occasion expression when it entered, as text: what it entered for; null: the scenario has none';
comment on column marketing_automation.record.run is 'How many times its row has entered the scenario, this one included';

create or replace view marketing_automation.event with (security_barrier) as
select e.id, e.occurred_at, e.kind, e.record_id, e.activity_id, e.link_id, e.method, e.address, e.user_agent, e.robot, e.party,
    e.scenario_id, (select l.url from marketing_automation.link l where l.id = e.link_id) as url
from marketing_automation_internal.event e
where (select v.reads_every from marketing_automation_internal.reader v)
   or case
        when e.activity_id is not null then e.activity_id in (select a.id from marketing_automation_internal.readable_activity a)
        when e.scenario_id is not null then e.scenario_id in (select s.id from marketing_automation_internal.readable_scenario s)
        else exists (select from marketing_automation.record r where r.id = e.record_id) end;
comment on view marketing_automation.event is
    'API: public. Log of opens, clicks, bounces and complaints, of unsubscribing and blocking, and of what took them back. Rows are '
    'added; judging marks those of robots, and forget() erases a person''s. Of your scenarios, or of all';
comment on column marketing_automation.event.id is
    'Chosen by the reporter (the proxy makes UUIDv7, RFC 9562): the same id twice is one event';
comment on column marketing_automation.event.method is
    'HTTP method of an open or click: GET, HEAD or POST; PREFETCH is a GET in advance, before anybody has asked for it';
comment on column marketing_automation.event.address is
    'Network that an open or click came from, if hit_details is full: see address_prefix()';
comment on column marketing_automation.event.user_agent is 'What hit_details leaves of it: see kept_user_agent()';
comment on column marketing_automation.event.party is 'Who was unsubscribed or resubscribed';
comment on column marketing_automation.event.scenario_id is
    'What party was unsubscribed from or resubscribed to, 0: everything; null: this record only';
comment on column marketing_automation.event.robot is
    'The rule by which it is a robot''s, which starts and counts for nothing: see robot_rule; null: a person''s';
comment on column marketing_automation.event.url is 'The address of a clicked link; null: none, or the hidden one that only robots follow';

-- A dump of a release in which these were tables is restored through them.
create or replace function marketing_automation_internal.restore_row() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_name = 'record' then
        insert into marketing_automation_internal.record
            (id, scenario_id, key, party, uuid, entered_at, blocked_at, time_zone, unsubscribed_at, ended_at, end_reason,
                goal_before, held_out, occasion, run)
        values (new.id, new.scenario_id, new.key, new.party, new.uuid, new.entered_at, new.blocked_at, new.time_zone, new.unsubscribed_at,
            new.ended_at, new.end_reason, coalesce(new.goal_before, false),
            coalesce(new.held_out, false), new.occasion, coalesce(new.run, 1));
    else
        insert into marketing_automation_internal.event
            (id, occurred_at, kind, record_id, activity_id, link_id, method, address, user_agent, robot, party, scenario_id)
        values (new.id, new.occurred_at, new.kind, new.record_id, new.activity_id, new.link_id, new.method, new.address, new.user_agent,
            new.robot, new.party, new.scenario_id);
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.restore_row() is
    'API: private. Trigger: what a superuser copies into the view record or event goes into the table behind it';

create or replace trigger restore instead of insert on marketing_automation.record
    for each row execute function marketing_automation_internal.restore_row();

create or replace trigger restore instead of insert on marketing_automation.event
    for each row execute function marketing_automation_internal.restore_row();

create or replace view marketing_automation.record_activity with (security_barrier) as
select w.record_id, w.activity_id, 'waiting'::text as state, w.at,
       null::text as outcome, null::timestamptz as finished_at, null::timestamptz as opened_at, null::timestamptz as clicked_at,
       null::timestamptz as bounced_at,
       null::text as error, null::text as error_code
from marketing_automation_internal.waiting_activity w
where (select v.reads_every from marketing_automation_internal.reader v)
   or w.activity_id in (select a.id from marketing_automation_internal.readable_activity a)
union all
select f.record_id, f.activity_id, f.state, f.at, f.outcome, f.finished_at, f.opened_at, f.clicked_at, f.bounced_at,
       case when f.error is null or f.activity_id = any (array(select a.id from marketing_automation_internal.open_activity a))
            then f.error
            -- Written out, as what a view calls its reader must be allowed to call: public_error().
            else case when left(f.error_code, 2) in ('40', '53', '55', '57', '58') or f.error_code = '42501' then f.error
                else 'its text may quote the row, and is for who may read that' end end, f.error_code
from marketing_automation_internal.finished_activity f
where (select v.reads_every from marketing_automation_internal.reader v)
   or f.activity_id in (select a.id from marketing_automation_internal.readable_activity a);
comment on view marketing_automation.record_activity is
    'API: public. State of each record for each activity: waiting, done, cancelled or failed';
comment on column marketing_automation.record_activity.error is
    'Why it failed; where that may quote the row, only for members of the scenario''s owner and who may read the model''s relation';

create or replace view marketing_automation.branch_decision with (security_barrier) as
select d.record_id, d.parent_id, d.activity_id, d.decided_at
from marketing_automation_internal.branch_decision d
where (select v.reads_every from marketing_automation_internal.reader v)
   or d.parent_id in (select a.id from marketing_automation_internal.readable_activity a);
comment on view marketing_automation.branch_decision is
    'API: public. Which of the children of an activity that branches each record takes: decided once, when that activity ran. Of your '
    'scenarios, or of all';
comment on column marketing_automation.branch_decision.parent_id is 'The activity that branches';
comment on column marketing_automation.branch_decision.activity_id is 'The child that the record takes; null: none';

create or replace view marketing_automation.message with (security_barrier) as
select u.id, u.record_id, u.activity_id, u.key, u.party, u.email, u.recipient_name, u.language, u.time_zone,
       case when u.activity_id = any (x.activities) then u.context end as context, u.state, u.attempts, u.created_at, u.next_attempt_at,
       u.sent_at,
       case when u.smtp_reply !~ '^(template|sender|recipient|subject|message)\M' or u.activity_id = any (x.activities)
            then u.smtp_reply
            else substring(u.smtp_reply from '^(?:template: )?[^:"]*') || ': its text may quote the row, and is for who may read that'
       end as smtp_reply,
       u.server, u.track_opens, u.track_clicks
from (
    select o.id, o.record_id, o.activity_id, o.key, o.party, o.email, o.recipient_name, o.language, o.time_zone, o.context,
           case when o.state = 'queued' and o.attempts > 0 then 'deferred' else o.state end as state,
           o.attempts, o.created_at, nullif(o.due_at, 'infinity') as next_attempt_at, null::timestamptz as sent_at, o.smtp_reply,
           null::text as server, o.track_opens, o.track_clicks
    from marketing_automation_internal.outbox o
    where (select v.reads_every from marketing_automation_internal.reader v)
       or o.activity_id in (select a.id from marketing_automation_internal.readable_activity a)
    union all
    select l.id, l.record_id, l.activity_id, l.key, l.party, l.email, l.recipient_name, l.language, l.time_zone, l.context, l.state,
           l.attempts, l.created_at, null, l.sent_at, l.smtp_reply, l.server, l.track_opens, l.track_clicks
    from marketing_automation_internal.message_log l
    where (select v.reads_every from marketing_automation_internal.reader v)
       or l.activity_id in (select a.id from marketing_automation_internal.readable_activity a)) as u
-- Whose contents may be seen is planned once for all partitions, and not into each of them: a look-up planned for 33 ms.
cross join (select array(select a.id from marketing_automation_internal.open_activity a) as activities offset 0) as x;
comment on view marketing_automation.message is
    'API: public. The e-mail log, one row a mail. State: queued (not tried yet), sending, deferred (tried, and tried again at '
    'next_attempt_at), in_doubt (held), then sent, failed, suppressed or bounced. record_id null: a test by send_test()';
comment on column marketing_automation.message.context is
    'The columns of the row that its templates use, as they were when the activity ran: what templates see as record. Only for members '
    'of the scenario''s owner and who may read the model''s relation; null for others';
comment on column marketing_automation.message.next_attempt_at is 'When a queued or deferred mail is sent at the earliest';
comment on column marketing_automation.message.smtp_reply is 'What the server or the network said at the last attempt';
comment on column marketing_automation.message.server is 'The SMTP server that took it';
comment on column marketing_automation.message.track_opens is 'Whether it has an image by which opens are recorded';
comment on column marketing_automation.message.track_clicks is 'Whether its links are such that clicks are recorded';

create or replace view marketing_automation.delivery_attempt with (security_barrier) as
select u.message_id, u.attempt, u.ended_at, u.state, u.code, u.status,
       case when u.is_of_network or u.activity_id = any (x.activities) then u.reply
            else substring(u.reply from '^(?:template: )?[^:"]*') || ': its text may quote the row, and is for who may read that' end as reply,
       u.server
from (
    select t.message_id, t.attempt, t.ended_at, t.state, t.code, t.status, t.reply, t.server, m.activity_id,
           t.reply !~ '^(template|sender|recipient|subject|message)\M' as is_of_network
    from marketing_automation_internal.attempt_log t
    left join lateral (
        select o.activity_id from marketing_automation_internal.outbox o where o.id = t.message_id
        union all
        select l.activity_id from marketing_automation_internal.message_log l where l.id = t.message_id
        limit 1) m on true
    where (select v.reads_every from marketing_automation_internal.reader v)
       or m.activity_id in (select a.id from marketing_automation_internal.readable_activity a)
    union all
    select l.id, l.attempts, l.sent_at, 'sent', substring(l.smtp_reply from '^([2-5]\d\d)\M')::smallint,
           substring(l.smtp_reply from '^[2-5]\d\d[ -]([245]\.\d{1,3}\.\d{1,3})\M'), l.smtp_reply, l.server, l.activity_id, true
    from marketing_automation_internal.message_log l
    where l.attempts = 1 and l.sent_at is not null
      and ((select v.reads_every from marketing_automation_internal.reader v)
        or l.activity_id in (select a.id from marketing_automation_internal.readable_activity a))) as u
cross join (select array(select a.id from marketing_automation_internal.open_activity a) as activities offset 0) as x;
comment on view marketing_automation.delivery_attempt is
    'API: public. Every attempt to deliver a mail and how it ended: sent, deferred (tried again), failed (for good) or in_doubt '
    '(nobody knows whether the server took it)';
comment on column marketing_automation.delivery_attempt.code is 'SMTP reply code (RFC 5321, 4.2.3); null: the server said nothing';
comment on column marketing_automation.delivery_attempt.status is 'Enhanced status code (RFC 3463), where the server gave one';
comment on column marketing_automation.delivery_attempt.server is 'The SMTP server, as host:port, or the directory as file:///…';

create or replace function marketing_automation.record_id(uuid uuid) returns bigint
language sql immutable strict parallel safe
return ('x' || substr(replace(uuid::text, '-', ''), 1, 12))::bit(48)::bigint;
comment on function marketing_automation.record_id(uuid) is
    'API: public. The id inside a record''s public uuid; compare the uuid too before trusting it';

-- functions/time.sql
-- Time: delays, and the time that a run assumes.

create or replace function marketing_automation_internal.usable_time_zone(zone text) returns text
language sql stable
return case when marketing_automation_internal.is_time_zone(zone) then zone else marketing_automation_internal.database_time_zone() end;
comment on function marketing_automation_internal.usable_time_zone(text) is
    'API: private. A recipient''s time zone if there is one of that name, otherwise the database''s';

create or replace function marketing_automation_internal.after_delay(start timestamptz, delay interval, zone text) returns timestamptz
language sql stable
-- Days and months are those of a calendar, and so of a place; hours are the same everywhere.
return case
    when delay is null then start
    when date_trunc('day', delay) = interval '0' then start + delay
    else timezone(marketing_automation_internal.usable_time_zone(zone),
            timezone(marketing_automation_internal.usable_time_zone(zone), start) + date_trunc('day', delay))
        + (delay - date_trunc('day', delay)) end;
comment on function marketing_automation_internal.after_delay(timestamptz, interval, text) is
    'API: private. When a delay is over: days and more count in the time zone, of the recipient or, null or unknown, of the database';

create or replace function marketing_automation_internal.asks_present(expression text) returns boolean
language sql immutable
-- Not within quotes, but for the words that a cast makes times of.
return expression ~* $$'(now|today|tomorrow|yesterday)'$$
    or regexp_replace(expression, $$'[^']*'$$, '', 'g') ~*
        ('\m((now|statement_timestamp|clock_timestamp|transaction_timestamp|timeofday)\s*\(|(current_date|current_time|current_timestamp'
            || '|localtime|localtimestamp)\M)');
comment on function marketing_automation_internal.asks_present(text) is
    'API: private. Whether an expression seems to ask for the present, which no assumed time changes';

create or replace function marketing_automation_internal.warn_of_present(what text, name text, expression text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.asks_present(expression) then
        raise warning '% of % "%" asks for the present, not for the time that is assumed', what,
            case when what in ('condition', 'at') then 'activity' else 'scenario' end, name
            using hint = 'Write marketing_automation.assumed_now() instead of now(), current_date and the like.';
    end if;
end $$;
comment on function marketing_automation_internal.warn_of_present(text, text, text) is
    'API: private. Warns under an assumed time of an expression that asks for the present; what: domain, goal, exit condition, occasion, condition or at';

create or replace function marketing_automation_internal.as_key(key text, key_type regtype) returns text
language sql immutable
-- Keys stay the same, whatever the time zone of the database becomes.
return case when key_type = 'timestamptz'::regtype
    then format(
        E'case when isfinite((%1$s\n)) and (%1$s\n) >= %2$L then timezone(%3$L, (%1$s\n))::text || %4$L else (%1$s\n)::text end',
        key, '0001-01-01 00:00+00', 'UTC', '+00')
    else marketing_automation_internal.as_text(key) end;
comment on function marketing_automation_internal.as_key(text, regtype) is
    'API: private. A model''s key, ready to stand in a query, as text that depends on no setting';

-- functions/search.sql
-- Searching for what raises: a batch fails as a whole, and single ones of it are at fault. They are found by trying parts of it, halved
-- while they raise and doubled while they do not; what a part that does not raise has done stays done. Whoever searches runs this loop:
--
--     part := start_search(n);
--     while part.first is not null loop
--         try what is from part.first to part.last; what raises and is single is at fault
--         part := next_part(part, failed);
--     end loop;

create or replace function marketing_automation_internal.start_search(total bigint, size bigint default null, first bigint default 1)
    returns marketing_automation_internal.search
language sql immutable
return case when start_search.first <= total
    then row(start_search.first, least(start_search.first + coalesce(size, total) - 1, total), 0, total)::marketing_automation_internal.search
    end;
comment on function marketing_automation_internal.start_search(bigint, bigint, bigint) is
    'API: private. The part to try first, of the numbers first to total; all of it, or so many as size says. Null: there are none';

create or replace function marketing_automation_internal.next_part(part marketing_automation_internal.search, failed boolean)
    returns marketing_automation_internal.search
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    size bigint := part.last - part.first + 1;
begin
    if failed and size > 1 then
        part.failing_to := part.last;
        part.last := part.first + size / 2 - 1;
        return part;
    end if;
    part.first := part.last + 1;
    if part.first > part.total then
        return null;
    end if;
    if failed or part.first > part.failing_to then
        part.failing_to := 0;
        size := size * 2;
    else
        -- What raises as a whole, and not in its first half, raises in its second.
        size := (part.failing_to - part.first + 2) / 2;
    end if;
    part.last := least(part.first + size - 1, part.total);
    return part;
end $$;
comment on function marketing_automation_internal.next_part(marketing_automation_internal.search, boolean) is
    'API: private. The part to try next, after one that failed or did not; null: all have been tried';

-- functions/rows.sql
-- Rows of a model, found again by their keys.

create or replace function marketing_automation_internal.key_operator(key_type regtype) returns text
-- plpgsql keeps the plan: making it took 2 ms of each batch.
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
    with recursive type as (
        select t.oid, t.typtype, t.typbasetype from pg_type t where t.oid = key_type
        union all
        select t.oid, t.typtype, t.typbasetype from type d join pg_type t on t.oid = d.typbasetype where d.typtype = 'd'
    )
    -- A type of an extension has an operator of its own, which the search_path does not find: "=" would be that of text, which no
    -- index on the key knows. Types that share an operator class (varchar, enums, arrays) share its operator, in pg_catalog.
    select coalesce((
        select format('operator(%I.%s)', n.nspname, o.oprname)
        from type t
        join pg_opclass c on c.opcintype = t.oid and c.opcdefault
        join pg_am m on m.oid = c.opcmethod and m.amname in ('btree', 'hash')
        join pg_amop a on a.amopfamily = c.opcfamily and a.amoplefttype = t.oid and a.amoprighttype = t.oid
            and a.amopstrategy = case m.amname when 'btree' then 3 else 1 end
        join pg_operator o on o.oid = a.amopopr
        join pg_namespace n on n.oid = o.oprnamespace
        where t.typtype <> 'd'
        order by m.amname limit 1), '='));
end $$;
comment on function marketing_automation_internal.key_operator(regtype) is
    'API: private. How to write the equality of a key''s type: that of its default operator class';

create or replace function marketing_automation_internal.digest() returns text
language sql immutable
return $$pg_catalog.hashtextextended((self.*)::text, 0)::text$$;
comment on function marketing_automation_internal.digest() is 'API: private. Expression over self: a hash of the row, whatever it holds';

create or replace function marketing_automation_internal.not_poisonous(relation regclass, key text, scenario_id integer default null) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when count(*) = 0 then null
        when bool_or(p.place = '') then format('%s <> all (%L::text[])', marketing_automation_internal.digest(), array_agg(p.digest))
        else format('case when self.ctid = any (%L::tid[]) then %s <> all (%L::text[]) else true end', array_agg(p.place),
            marketing_automation_internal.digest(), array_agg(p.digest)) end
    from marketing_automation_internal.poisonous_row p
    where p.scenario_id = not_poisonous.scenario_id
       or p.raises_key and exists (
            select from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model
            where s.id = p.scenario_id and m.relation = not_poisonous.relation and m.key = not_poisonous.key)
$$;
comment on function marketing_automation_internal.not_poisonous(regclass, text, integer) is
    'API: private. Condition over self that leaves out the poisonous rows of a scenario and those whose key raises, null: there are '
    'none. It must be true before anything else is looked at';

create or replace function marketing_automation_internal.guarded(condition text, guard text) returns text
language sql immutable
-- Not "and": the planner decides which side of that comes first.
return case when guard is null then condition else format('case when %s then %s end', guard, condition) end;
comment on function marketing_automation_internal.guarded(text, text) is
    'API: private. A condition that is looked at only where guard holds; a null guard holds always';

create or replace function marketing_automation_internal.key_condition(relation regclass, key text, key_type regtype) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- The type by its catalog name: as SQL spells it, character would be character(1).
    select marketing_automation_internal.guarded(
        format(E'(%s\n) %s any (($1)::%I.%I[])', key, marketing_automation_internal.key_operator(key_type), n.nspname, t.typname),
        marketing_automation_internal.not_poisonous(relation, key))
    from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = key_type
$$;
comment on function marketing_automation_internal.key_condition(regclass, text, regtype) is
    'API: private. Condition over self for the rows whose keys are in $1 (text[]), in a form that uses the index on the key';

create or replace function marketing_automation_internal.key_query(relation regclass, key text, key_type regtype, columns text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('select %s from %s as self where %s', columns, relation,
        marketing_automation_internal.key_condition(relation, key, key_type))
$$;
comment on function marketing_automation_internal.key_query(regclass, text, regtype, text) is
    'API: private. Query for the rows whose keys are in $1 (text[])';

-- functions/rows_apart.sql
-- Rows that stand apart, so that all others enter: those for which an expression raises, and those whose key others have too.

create or replace function marketing_automation_internal.error_in(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, part text, digests text[],
    out message text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- An aggregate reads every row, whatever it needs.
    select min(case when q.key is null then 'its key is null'
                    when octet_length(q.key) > 1000 then 'its key has more than 1,000 bytes'
                    when octet_length(q.party) > 1000 then 'its party has more than 1,000 bytes'
                    when octet_length(q.occasion) > 1000 then 'its occasion has more than 1,000 bytes' end)
    into message
    from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, format('select %s, %s, %s, %s, %s from %s as self where %s',
        marketing_automation_internal.as_key(model.key, model.key_type),
        marketing_automation_internal.as_text(case when not only_key then model.party end),
        marketing_automation_internal.as_text(case when not only_key then model.time_zone end),
        case when only_key then 'null::text' else marketing_automation_internal.topic_address(scenario, model) end,
        marketing_automation_internal.as_occasion(case when not only_key then scenario.occasion end), model.relation,
        -- The part stands outside, where it finds the rows, and inside, where it protects the domain.
        case when only_key then part
             else part || ' and ' || marketing_automation_internal.guarded(format(E'(%s\n)', scenario.domain), part) end),
        digests) as q (key text, party text, time_zone text, email text, occasion text);
    if only_key then
        message := null;
    end if;
    code := case when message is not null then '23514' end;
exception when others then
    get stacked diagnostics message = message_text, code = returned_sqlstate;
    -- Not told by its class: what a value names (a text search configuration, a relation) may not exist, for one row.
    if marketing_automation_internal.is_passing_error(code) then
        raise;
    end if;
end $$;
comment on function marketing_automation_internal.error_in(marketing_automation.scenario, marketing_automation.model, boolean, text,
    text[], out text, out text) is
    'API: private. The error that domain, key, party or occasion raises for some row of a part of the relation, null: none does. A key that '
    'is null or too long counts as one. only_key: that the key raises, whatever the domain says. part: condition over self, in which $1 is digests';

create or replace function marketing_automation_internal.block_count(relation regclass) returns bigint
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive part as (
        select c.oid, c.relkind from pg_class c where c.oid = relation
        union
        select c.oid, c.relkind from part p join pg_inherits i on i.inhparent = p.oid join pg_class c on c.oid = i.inhrelid
    )
    select case when bool_and(p.relkind in ('r', 'p', 'm')) then
        greatest(max(pg_relation_size(p.oid)) / current_setting('block_size')::bigint, 1) end
    from part p
$$;
comment on function marketing_automation_internal.block_count(regclass) is
    'API: private. Blocks of a table, of its largest partition if it has some; null: it is no table, or not all of it is';

create or replace function marketing_automation_internal.most_rows_raise(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, blocks bigint
) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    part text;
    sampled integer := 0;
begin
    if blocks < 8 then
        return false;
    end if;
    for part in
        select format(case when blocks is null then '%s = %L' else 'self.ctid = %2$L::tid' end, marketing_automation_internal.digest(), q.sample)
        from generate_series(0, 7) n
        cross join lateral marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, case
            when blocks is null then format('select %s from %s as self offset %s limit 1', marketing_automation_internal.digest(),
                model.relation, n * 100)
            else format('select self.ctid::text from %s as self where self.ctid >= ''(%s,0)''::tid limit 1', model.relation, n * blocks / 8)
            end, null) as q (sample text)
    loop
        sampled := sampled + 1;
        if (marketing_automation_internal.error_in(scenario, model, only_key, part, null)).message is null then
            return false;
        end if;
    end loop;
    return sampled = 8;
end $$;
comment on function marketing_automation_internal.most_rows_raise(marketing_automation.scenario, marketing_automation.model, boolean,
    bigint) is
    'API: private. Whether domain, key, party or occasion raises for all of eight rows here and there: then it is not worth looking for single '
    'ones';

create or replace function marketing_automation_internal.find_poisonous_rows(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, inout reached text,
    out apart marketing_automation_internal.poisonous_row[], out cut text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    blocks bigint := marketing_automation_internal.block_count(model.relation);
    -- Those that are known already are neither looked for nor at.
    unknown text := marketing_automation_internal.not_poisonous(model.relation, model.key, scenario.id);
    block marketing_automation_internal.search;
    part marketing_automation_internal.search;
    place text;
    digests text[];
    error text;
    its_code text;
    key text;
    raises_key boolean;
    -- Where an earlier turn had come: block, how many, and within one block the hash of a row, how many.
    since text[] := string_to_array(reached, ' ');
begin
    apart := '{}';
    if reached is null and marketing_automation_internal.most_rows_raise(scenario, model, only_key, blocks) then
        return;
    end if;
    block := marketing_automation_internal.start_search(coalesce(blocks, 1), since[2]::bigint, coalesce(since[1]::bigint, 1));
    while block.first is not null and cardinality(apart) < 1000 loop
        place := concat_ws(' and ', coalesce(unknown, 'true'),
            case when blocks is not null then format('self.ctid >= ''(%s,0)''::tid and self.ctid < ''(%s,0)''::tid', block.first - 1,
                block.last) end);
        if since[3] is null then
            select e.message, e.code into error, its_code
            from marketing_automation_internal.error_in(scenario, model, only_key, place, null) e;
        end if;
        if (error is not null or since[3] is not null) and block.first = block.last then
            digests := array(
                select distinct q.digest
                from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                    format('select %s from %s as self where %s', marketing_automation_internal.digest(), model.relation, place), null)
                    as q (digest text)
                where since[3] is null or q.digest >= since[3] order by 1);
            place := format('%s and %s = any ($1)', place, marketing_automation_internal.digest());
            part := marketing_automation_internal.start_search(cardinality(digests), since[4]::bigint);
            since := null;
            while part.first is not null and cardinality(apart) < 1000 loop
                select e.message, e.code into error, its_code
                from marketing_automation_internal.error_in(scenario, model, only_key, place, digests[part.first:part.last]) e;
                if error is not null and part.first = part.last then
                    key := null;
                    raises_key := false;
                    begin
                        key := (
                            select min(q.key) from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                                format('select %s from %s as self where %s',
                                    marketing_automation_internal.as_key(model.key, model.key_type), model.relation, place),
                                array[digests[part.first]]) as q (key text));
                    exception when others then
                        if marketing_automation_internal.is_passing_error(sqlstate) then
                            raise;
                        end if;
                        raises_key := true;
                    end;
                    apart := apart || array(
                        select row(scenario.id, digests[part.first], q.place, key, raises_key, error, its_code)
                            ::marketing_automation_internal.poisonous_row
                        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                            format('select distinct %s from %s as self where %s',
                                case when blocks is null then $q$''::text$q$ else 'self.ctid::text' end, model.relation, place),
                            array[digests[part.first]]) as q (place text));
                end if;
                part := marketing_automation_internal.next_part(part, error is not null);
            end loop;
            part := null;
            -- Its rows have been looked at, each by itself.
            error := coalesce(error, 'found');
        end if;
        block := marketing_automation_internal.next_part(block, error is not null);
    end loop;
    reached := null;
exception when others then
    if marketing_automation_internal.is_for_the_caller(sqlstate) or not marketing_automation_internal.is_passing_error(sqlstate) then
        raise;
    end if;
    get stacked diagnostics cut = message_text, code = returned_sqlstate;
    reached := concat_ws(' ', block.first, block.last - block.first + 1, digests[part.first], part.last - part.first + 1);
    if block.first is null or part.first is null and block.first = block.last and since[3] is not null then
        -- It had not begun, or not gone on.
        reached := array_to_string(since, ' ');
    end if;
end $$;
comment on function marketing_automation_internal.find_poisonous_rows(marketing_automation.scenario, marketing_automation.model, boolean,
    text, out marketing_automation_internal.poisonous_row[], out text, out text) is
    'API: private. Rows that are not known yet for which domain, key, party or occasion raises; not all of them when they are a thousand, none if '
    'most raise. Blocks of the table are searched, then rows of a block; without blocks, for what is no table, rows alone. reached: from '
    'where on (null: the beginning), and where its time was over (cut and code: that error), null: all has been searched';

create or replace function marketing_automation_internal.set_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, apart marketing_automation_internal.poisonous_row[]
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into marketing_automation_internal.poisonous_row select a.* from unnest(apart) a
    on conflict on constraint poisonous_row_pkey do update
    set key = excluded.key, raises_key = excluded.raises_key, error = excluded.error, error_code = excluded.error_code;
    begin
        if (select count(*) from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id) < 1000 then
            perform from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                format('select true from %s as self where %s limit 1', model.relation,
                    marketing_automation_internal.not_poisonous(model.relation, model.key, scenario.id)), null) as q (is_there boolean);
            if found then
                return cardinality(apart);
            end if;
        end if;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) or not marketing_automation_internal.is_passing_error(sqlstate) then
            raise;
        end if;
        -- What was found in time is kept.
        return cardinality(apart);
    end;
    delete from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id;
    return 0;
end $$;
comment on function marketing_automation_internal.set_apart(marketing_automation.scenario, marketing_automation.model,
    marketing_automation_internal.poisonous_row[]) is
    'API: private. Remembers these rows, and returns how many; 0: they are so many, or all, that it is not the fault of single rows';

create or replace function marketing_automation_internal.set_rows_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, only_key boolean, inout reached text, out apart integer,
    out cut text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its record;
begin
    apart := 0;
    if not has_table_privilege(scenario.owner_id, model.relation, 'SELECT') then
        -- Rights on columns are no right to look at the whole row, nor at where it is.
        reached := null;
        return;
    end if;
    select f.* into its from marketing_automation_internal.find_poisonous_rows(scenario, model, only_key, reached) f;
    reached := its.reached;
    cut := its.cut;
    code := its.code;
    if its.apart <> '{}' then
        apart := marketing_automation_internal.set_apart(scenario, model, its.apart);
    end if;
end $$;
comment on function marketing_automation_internal.set_rows_apart(marketing_automation.scenario, marketing_automation.model, boolean,
    text, out integer, out text, out text) is
    'API: private. Finds and remembers the rows for which domain, key, party or occasion raises (only_key: the key), and how many that are; 0: '
    'none, or so many, or all, that it is not the fault of single rows. reached, cut, code: as those of find_poisonous_rows()';

create or replace function marketing_automation_internal.repeated_keys(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[]
) returns text[]
language sql set search_path = pg_catalog, pg_temp as $$
    select array(
        select q.key
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, source, keys)
            as q (key text, party text, time_zone text, email text, occasion text)
        -- Who has entered may do so again, or not.
        where not exists (select from marketing_automation_internal.record r
            where r.scenario_id = scenario.id and r.key = q.key collate "C" and not marketing_automation_internal.may_enter_again(scenario))
        group by q.key having count(*) > 1 limit 1000)
$$;
comment on function marketing_automation_internal.repeated_keys(marketing_automation.scenario, marketing_automation.model, text, text[]) is
    'API: private. Keys of an entering query, in which $1 is keys, that several rows have and no record keeps out, a thousand at most';

create or replace function marketing_automation_internal.set_repetitions_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, source text
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    keys text[] := marketing_automation_internal.repeated_keys(scenario, model, source, null);
    place text := case when marketing_automation_internal.block_count(model.relation) is null then $q$''::text$q$ else 'self.ctid::text' end;
begin
    if cardinality(keys) not between 1 and 999 or not has_table_privilege(scenario.owner_id, model.relation, 'SELECT') then
        return 0;
    end if;
    delete from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id and p.key = any (keys) and p.error_code = '23505';
    return marketing_automation_internal.set_apart(scenario, model, array(
        select row(scenario.id, q.digest, q.place, q.key, false, 'several rows of the model have its key', '23505')
            ::marketing_automation_internal.poisonous_row
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format('distinct %s, %s, %s',
                marketing_automation_internal.digest(), place, marketing_automation_internal.as_key(model.key, model.key_type))), keys)
            as q (digest text, place text, key text)));
end $$;
comment on function marketing_automation_internal.set_repetitions_apart(marketing_automation.scenario, marketing_automation.model, text) is
    'API: private. Finds and remembers the rows of an entering query whose key others have too, and returns how many; 0: none, or so '
    'many that it is not the fault of single rows';

create or replace function marketing_automation_internal.release_rows(scenario marketing_automation.scenario, model marketing_automation.model)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    apart marketing_automation_internal.poisonous_row;
    by_place boolean := marketing_automation_internal.block_count(model.relation) is not null;
    part text;
    message text;
begin
    if not exists (select from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id) then
        return;
    end if;
    -- What has changed is another row.
    delete from marketing_automation_internal.poisonous_row p
    where p.scenario_id = scenario.id and not exists (
        select from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            format('select distinct %1$s, %2$s from %3$s as self where %4$s and %1$s = any ($1)', marketing_automation_internal.digest(),
                case when by_place then 'self.ctid::text' else $q$''::text$q$ end, model.relation,
                case when by_place then format('self.ctid = any (%L::tid[])', array(
                    select o.place from marketing_automation_internal.poisonous_row o where o.scenario_id = scenario.id and o.place <> ''))
                    else 'true' end),
            array(select o.digest from marketing_automation_internal.poisonous_row o where o.scenario_id = scenario.id))
            as q (digest text, place text)
        where q.digest = p.digest and q.place = p.place);
    delete from marketing_automation_internal.poisonous_row p
    where p.scenario_id = scenario.id and p.error_code = '23505' and p.key <> all (
        marketing_automation_internal.repeated_keys(scenario, model,
            marketing_automation_internal.entering_keys_query(scenario, model),
            array(select o.key from marketing_automation_internal.poisonous_row o
                where o.scenario_id = scenario.id and o.error_code = '23505')));
    -- The others may raise as slowly as before: some of them at each turn, in whatever order.
    for apart in
        select p.* from marketing_automation_internal.poisonous_row p where p.scenario_id = scenario.id and p.error_code <> '23505'
        order by random()
    loop
        exit when marketing_automation_internal.turn_left() < 0.75;
        part := concat_ws(' and ', case when apart.place <> '' then format('self.ctid = %L::tid', apart.place) end,
            format('%s = any ($1)', marketing_automation_internal.digest()));
        select e.message into message
        from marketing_automation_internal.error_in(scenario, model, apart.raises_key, part, array[apart.digest]) e;
        if message is null then
            delete from marketing_automation_internal.poisonous_row p
            where p.scenario_id = scenario.id and p.digest = apart.digest and p.place = apart.place;
        end if;
    end loop;
end $$;
comment on function marketing_automation_internal.release_rows(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Forgets the poisonous rows that have changed, are gone, or raise no error any more, as far as a quarter of the turn '
    'allows';

create or replace function marketing_automation_internal.poisonous_summary(scenario_id integer, with_keys boolean, out message text, out code text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when with_keys then format('%s not enter, %s: %s',
            case count(*) when 1 then '1 row does' else count(*) || ' rows do' end,
            string_agg(case
                when p.nth > 3 then null
                when p.key is not null then 'key ' || left(p.key, 100)
                when p.place <> '' then 'at ' || p.place
                else 'without a key' end, ', ' order by p.nth) || case when count(*) > 3 then ', …' else '' end,
            min(p.error) filter (where p.nth = 1))
        else format('%s not enter', case count(*) when 1 then '1 row does' else count(*) || ' rows do' end) end,
        min(p.error_code) filter (where p.nth = 1)
    from (select p.*, row_number() over (order by p.key, p.place, p.digest) as nth
          from marketing_automation_internal.poisonous_row p where p.scenario_id = poisonous_summary.scenario_id) p
    having count(*) > 0
$$;
comment on function marketing_automation_internal.poisonous_summary(integer, boolean, out text, out text) is
    'API: private. How many rows of a scenario stand apart, and why the first one does, null: none. with_keys: which; not for the log';

-- functions/turns.sql
-- Turns: scenarios and activities take turns, and whoever failed goes to the end of the line, so that the slowest one does not
-- keep all others from theirs.

create or replace function marketing_automation_internal.is_slow(code text) returns boolean
language sql immutable
return code in ('53400', '55P03');
comment on function marketing_automation_internal.is_slow(text) is
    'API: private. Whether an SQLSTATE means that expressions took too long (expression_timeout), or waited too long for a lock '
    '(expression_lock_timeout)';

create or replace function marketing_automation_internal.turn_failed(scenario_id integer, work text, activity_id integer, code text,
    batch_size integer default null, searched_to text default null)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- One session at a time: a second would wait for the row that the first has not committed. What is missed so fails again.
    if work = 'process' then
        perform from marketing_automation.activity a where a.id = turn_failed.activity_id for no key update skip locked;
    else
        perform from marketing_automation.scenario_status s where s.scenario_id = turn_failed.scenario_id for no key update skip locked;
    end if;
    if not found then
        return;
    end if;
    insert into marketing_automation_internal.failed_turn as t (scenario_id, work, activity_id, failed_at, slow, batch_size, searched_to)
    values (turn_failed.scenario_id, turn_failed.work, turn_failed.activity_id, clock_timestamp(),
        marketing_automation_internal.is_slow(code), turn_failed.batch_size, turn_failed.searched_to)
    on conflict on constraint failed_turn_pkey do update
    set failed_at = excluded.failed_at, slow = excluded.slow, batch_size = coalesce(excluded.batch_size, t.batch_size),
        searched_to = excluded.searched_to;
end $$;
comment on function marketing_automation_internal.turn_failed(integer, text, integer, text, integer, text) is
    'API: private. Sends enrolling (work enroll), an activity (process), asking for consent (consent) or whether mails may leave '
    '(leave) to the end of the line. batch_size: so many records at most next time, null: as many as before; searched_to: where the '
    'search for rows that raise goes on';

create or replace function marketing_automation_internal.next_batch(code text, tried integer, done integer) returns integer
language sql immutable
-- So that a batch of slow rows gets done some time.
return case when code = '53400' then case when done > 0 then done else greatest(tried / 8, 1) end end;
comment on function marketing_automation_internal.next_batch(text, integer, integer) is
    'API: private. How many records to try after a batch of which so many were done before its error; null: as many as before';

create or replace function marketing_automation_internal.turn_ended(scenario_id integer, work text, activity_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- As of any expressions that take too long: its turn comes last, or after a minute.
    code constant text := '53400';
    its_batch integer;
begin
    if not exists (select from marketing_automation.scenario s where s.id = turn_ended.scenario_id) then
        return;
    end if;
    if work in ('exit', 'goal', 'date') then
        -- Its first slice may have been undone.
        perform marketing_automation_internal.lock_sweep(turn_ended.scenario_id, turn_ended.work, false);
        update marketing_automation_internal.sweep s
        set began_at = null, rests_until = clock_timestamp() + interval '1 minute',
            batch_size = marketing_automation_internal.next_batch(code, coalesce(s.batch_size, 1000), 0)
        where s.ctid = any (array(
            select w.ctid from marketing_automation_internal.sweep w
            where w.scenario_id = turn_ended.scenario_id and w.what = turn_ended.work for update skip locked));
    else
        select t.batch_size into its_batch from marketing_automation_internal.failed_turn t
        where t.scenario_id = turn_ended.scenario_id and t.work = turn_ended.work and t.activity_id = turn_ended.activity_id;
        perform marketing_automation_internal.turn_failed(turn_ended.scenario_id, turn_ended.work, turn_ended.activity_id, code,
            case when turn_ended.work <> 'enroll' then
                marketing_automation_internal.next_batch(code, coalesce(its_batch, 1000), 0) end);
    end if;
    perform marketing_automation_internal.note_error(turn_ended.scenario_id, nullif(turn_ended.activity_id, 0), format(
        '%s: expressions took too long, and did not end before their connection',
        case turn_ended.work
            when 'enroll' then 'enrolling'
            when 'process' then format('activity "%s"', (select a.name from marketing_automation.activity a where a.id = turn_ended.activity_id))
            when 'consent' then 'events wait, nobody knows who consents'
            when 'leave' then 'mails wait, exit condition or goal'
            when 'exit' then 'exit condition'
            when 'date' then 'dates of activities'
            else turn_ended.work end), code);
end $$;
comment on function marketing_automation_internal.turn_ended(integer, text, integer) is
    'API: private. Called while a connection ends, which expressions of a scenario have ended since they took no cancel, or a person '
    'who saw no other way: keeps that as an error of the scenario, and sends it to the end of the line. work: enroll, process, '
    'consent, leave, exit, goal, date. Waits for no row';

create or replace function marketing_automation_internal.is_quick(took interval) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select s.max_time = interval '0' or took < s.max_time / 4
    from (select marketing_automation_internal.setting('expression_timeout')::interval as max_time) s
$$;
comment on function marketing_automation_internal.is_quick(interval) is
    'API: private. Whether expressions that took so long leave room for more within expression_timeout';

create or replace function marketing_automation_internal.turn_succeeded(scenario_id integer, work text, activity_id integer, took interval) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    is_quick boolean := marketing_automation_internal.is_quick(took);
begin
    if not exists (select from marketing_automation_internal.failed_turn) then
        return;
    end if;
    -- Not waiting for a session that notes the same.
    perform from marketing_automation_internal.failed_turn t
    where t.scenario_id = turn_succeeded.scenario_id and t.work = turn_succeeded.work and t.activity_id = turn_succeeded.activity_id
    for update skip locked;
    if not found then
        return;
    end if;
    delete from marketing_automation_internal.failed_turn t
    where t.scenario_id = turn_succeeded.scenario_id and t.work = turn_succeeded.work and t.activity_id = turn_succeeded.activity_id
      and coalesce(t.batch_size, 1000) >= 1000;
    update marketing_automation_internal.failed_turn t
    set failed_at = null, slow = false, searched_to = null, batch_size = case when is_quick then t.batch_size * 2 else t.batch_size end
    where t.scenario_id = turn_succeeded.scenario_id and t.work = turn_succeeded.work and t.activity_id = turn_succeeded.activity_id;
end $$;
comment on function marketing_automation_internal.turn_succeeded(integer, text, integer, interval) is
    'API: private. Takes it back to its place in the line; of what had been too slow, batches grow again as long as they are quick';

create or replace function marketing_automation_internal.reach_definitions() returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    lock table marketing_automation.model, marketing_automation.scenario, marketing_automation.activity in row share mode;
exception when lock_not_available then
    raise exception 'another session has locked the definitions of all scenarios for more than a second' using
        errcode = 'lock_not_available',
        detail = coalesce('It holds a lock on the whole table: ' || (
            select string_agg(format('process %s, role %s', a.pid, a.usename), '; ' order by a.pid) from pg_stat_activity a
            where a.pid in (
                select l.pid from pg_locks l
                where l.granted and l.mode in ('ExclusiveLock', 'AccessExclusiveLock') and l.relation in (
                    'marketing_automation.model'::regclass, 'marketing_automation.scenario'::regclass, 'marketing_automation.activity'::regclass))),
            'It has just ended.'),
        hint = 'A superuser may lock the table, and whoever was given the right to delete from it. select pg_terminate_backend(the process) ends it.';
end $$;
comment on function marketing_automation_internal.reach_definitions() is
    'API: private. Takes the locks by which the definitions are read, and raises if somebody who locked the whole table does not let go '
    'within a second: what works for all waits for nobody. Nothing later in the transaction waits for these tables then';

-- functions/guard.sql
-- Who may change a definition: only members of the role with whose rights its expressions run. The triggers "guard" run as the
-- writer, who may call no function of this schema: they contain all that they need.

create or replace function marketing_automation_internal.choose_owner() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.owner_id := coalesce((select r.oid from pg_roles r where r.rolname = new.owner), 0::oid);
    if new.owner_id = 0 and current_setting('is_superuser')::boolean and not current_setting('check_function_bodies')::boolean
        and current_query() ~* '^\s*(copy|insert\s+into)\s+"?marketing_automation' then
        -- A dump is loaded where the role is missing: all the rest is to be kept.
        raise warning 'role "%" does not exist, which owns % "%"', new.owner, replace(tg_table_name, '_', ' '), new.name
            using detail = 'What it owns is kept, and does not run.',
                  hint = format('Create it, and then: update marketing_automation.%I set owner = owner where owner = %L;', tg_table_name, new.owner);
    elsif new.owner_id = 0 then
        raise exception 'role "%" does not exist', new.owner using errcode = 'undefined_object';
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.choose_owner() is
    'API: private. Trigger: remembers which role the owner''s name means. A dump has names, and roles are dropped, renamed and made anew';

create or replace function marketing_automation_internal.access_grant_role() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.role_id := (select r.oid from pg_roles r where r.rolname = new.role);
    if new.role_id is null and marketing_automation_internal.is_restoring() then
        raise warning 'role "%" does not exist, which has the access "%"', new.role, new.access
            using hint = format('Create it, and then: select marketing_automation.grant_access(%L, %L);', quote_ident(new.role), new.access);
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.access_grant_role() is
    'API: private. Trigger: remembers which role the name means, also where a dump is restored, whose role_id is another server''s';

create or replace trigger role before insert or update of role, role_id on marketing_automation_internal.access_grant
    for each row execute function marketing_automation_internal.access_grant_role();

create or replace function marketing_automation_internal.only_renames_owner(old jsonb, new jsonb) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- A snippet gets a version with each change.
    select coalesce(old ->> 'owner' <> new ->> 'owner' and old - '{owner,version}'::text[] = new - '{owner,version}'::text[], false)
$$;
comment on function marketing_automation_internal.only_renames_owner(jsonb, jsonb) is
    'API: private. Whether a change of a definition says only what its owner is called by now: nothing else is to be checked, and what has '
    'come to be wrong meanwhile keeps no name';

create or replace function marketing_automation_internal.follow_renamed_grants() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- All leave their old names before they take the new ones, as names may have been exchanged. What stands under the new name already is
    -- the same role's, or that of one that is gone.
    if exists (select from marketing_automation_internal.access_grant g join pg_roles r on r.oid = g.role_id where r.rolname <> g.role) then
        with gone as (
            delete from marketing_automation_internal.access_grant g using pg_roles r where r.oid = g.role_id and r.rolname <> g.role
            returning r.rolname, g.access
        )
        insert into marketing_automation_internal.access_grant (role, access) select distinct g.rolname, g.access from gone g
        on conflict on constraint access_grant_pkey do update set role_id = excluded.role_id;
    end if;
    if exists (select from marketing_automation.sender_permission p join pg_roles r on r.oid = p.role_id where r.rolname <> p.role) then
        with gone as (
            delete from marketing_automation.sender_permission p using pg_roles r where r.oid = p.role_id and r.rolname <> p.role
            returning r.rolname, p.sender
        )
        insert into marketing_automation.sender_permission (role, sender) select distinct g.rolname, g.sender from gone g
        on conflict on constraint sender_permission_pkey do update set role_id = excluded.role_id;
    end if;
end $$;
comment on function marketing_automation_internal.follow_renamed_grants() is
    'API: private. Gives accesses and permissions to send the names that their roles have by now; none is lost';

create or replace function marketing_automation_internal.follow_renamed_roles() returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    its_table text;
    renamed record;
begin
    if not exists (
            select from (
                select m.owner, m.owner_id from marketing_automation.model m
                union all select s.owner, s.owner_id from marketing_automation.scenario s
                union all select s.owner, s.owner_id from marketing_automation.snippet s
                union all select w.owner, w.owner_id from marketing_automation.send_window w
                union all select p.owner, p.owner_id from marketing_automation.page p
                union all select p.owner, p.owner_id from marketing_automation.page_text p
                union all select g.role, g.role_id from marketing_automation_internal.access_grant g
                union all select p.role, p.role_id from marketing_automation.sender_permission p) o
            join pg_roles r on r.oid = o.owner_id and r.rolname <> o.owner) then
        return;
    end if;
    begin
        perform marketing_automation_internal.follow_renamed_grants();
    exception when others then
        raise warning 'accesses and permissions to send keep the names that their roles had: %', sqlerrm using errcode = sqlstate;
    end;
    foreach its_table in array array['model', 'scenario', 'snippet', 'send_window', 'page', 'page_text'] loop
        begin
            -- Who holds a row gets its owner's name at another time.
            for renamed in execute format($query$
                select o.ctid as at, o.name, n.rolname from marketing_automation.%I o join pg_roles n on n.oid = o.owner_id
                where n.rolname <> o.owner order by o.name for no key update of o skip locked$query$, its_table) loop
                -- One that is refused keeps no other.
                begin
                    execute format('update marketing_automation.%I t set owner = $1 where t.ctid = $2', its_table)
                        using renamed.rolname, renamed.at;
                exception when others then
                    raise warning 'owner of % "%" keeps the name that the role had: %', replace(its_table, '_', ' '), renamed.name, sqlerrm
                        using errcode = sqlstate;
                end;
            end loop;
        exception when others then
            raise warning 'owners of % keep the names that their roles had: %', replace(its_table, '_', ' '), sqlerrm using errcode = sqlstate;
        end;
    end loop;
end $$;
comment on function marketing_automation_internal.follow_renamed_roles() is
    'API: private. Gives owners, accesses and permissions to send the names that their roles have by now. '
    'PostgreSQL tells nobody when a role is renamed, and a dump with the '
    'old name would give all to nobody, or to another role that has it';

create or replace function marketing_automation_internal.guard() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- Found by name and language: who owns a name, owns it in all of them.
    has_languages boolean := tg_table_name in ('snippet', 'page', 'page_text');
    written record;
    owner oid;
    owner_name name;
begin
    if (pg_trigger_depth() > 1 or tg_op = 'DELETE') and current_user = (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = tg_relid) then
        -- A trigger of the extension follows what its writer was allowed to do, and a function that deletes has asked; its owner may be
        -- no superuser any more.
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    if has_languages and tg_op <> 'DELETE' then
        if tg_op = 'INSERT' or new.name <> old.name then
            execute format('select t.owner, t.owner_id from marketing_automation.%I t where t.name = $1 limit 1', tg_table_name)
                into owner_name, owner using new.name;
            if owner is not null then
                new.owner := owner_name;
                new.owner_id := owner;
            end if;
        end if;
    end if;
    -- What is changed, and what it becomes: both must be the writer's.
    for written in
        select o.row from (values (case when tg_op <> 'INSERT' then to_jsonb(old) end),
            (case when tg_op <> 'DELETE' then to_jsonb(new) end)) as o (row)
        where o.row is not null
    loop
        if has_languages or tg_table_name in ('model', 'scenario', 'send_window') then
            owner := written.row ->> 'owner_id';
            owner_name := written.row ->> 'owner';
        else
            select s.owner_id, s.owner into owner, owner_name from marketing_automation.scenario s
            where s.id = case tg_table_name
                when 'activity' then (written.row ->> 'scenario_id')::integer
                else (select a.scenario_id from marketing_automation.activity a
                    where a.id = (written.row ->> 'activity_id')::integer) end;
        end if;
        if owner is null then
            -- It is deleted together with what it belongs to: whoever may delete that, may delete it too. Otherwise what it belongs
            -- to may come later in the dump that a superuser loads, or in the same statement, whose rows this trigger does not see
            -- yet: a superuser goes on, and the foreign key decides.
            continue when tg_op = 'DELETE' or (select r.rolsuper from pg_roles r where r.rolname = current_user);
            raise exception '% of % does not exist',
                case tg_table_name when 'activity' then format('scenario %s', written.row ->> 'scenario_id')
                     else format('activity %s', written.row ->> 'activity_id') end,
                case tg_table_name when 'activity' then format('activity "%s"', written.row ->> 'name') else 'translation' end
                using errcode = 'foreign_key_violation';
        end if;
        if not pg_has_role(owner, 'MEMBER') then
            raise exception 'must be a member of role % to write %', owner_name,
                case tg_table_name when 'activity_translation' then format('translations of activity %s', written.row ->> 'activity_id')
                     else format('%s "%s"', replace(tg_table_name, '_', ' '), written.row ->> 'name') end
                using errcode = 'insufficient_privilege',
                      hint = case when has_languages then 'Take another name: who owns one owns it in all languages.'
                             when tg_table_name = 'send_window' then 'Make one of your own, under another name.'
                             else 'Expressions run with the rights of the owner, so only members of that role may change them.' end;
        end if;
    end loop;
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation_internal.guard() is
    'API: private. Trigger: only members of its owner change a model, scenario, window or snippet, and only members of its scenario''s owner '
    'an activity or a translation';

create or replace function marketing_automation_internal.share_owner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    execute format('update marketing_automation.%I t set owner = $1 where t.name = $2 and t.owner_id <> $3', tg_table_name)
        using new.owner, new.name, new.owner_id;
    return null;
end $$;
comment on function marketing_automation_internal.share_owner() is
    'API: private. Trigger: a snippet, page or text that gets another owner gets it in all languages';

create or replace function marketing_automation_internal.lock_name() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    other name;
begin
    insert into marketing_automation_internal.name_lock as l (kind, name) values (tg_table_name, new.name)
    on conflict on constraint name_lock_pkey do update set name = excluded.name;
    if tg_op = 'INSERT' or new.name <> old.name then
        -- What another session has committed while this one waited.
        execute format('select t.owner from marketing_automation.%I t where t.name = $1 and t.owner_id <> $2 limit 1', tg_table_name)
            into other using new.name, new.owner_id;
        if other is not null then
            raise exception 'the name "%" has just been taken by role %', new.name, other
                using errcode = 'object_in_use', hint = 'Take another name: who owns one owns it in all languages.';
        end if;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.lock_name() is
    'API: private. Trigger: two sessions that write one name in two languages follow each other, so that it gets one owner';

-- functions/windows.sql
-- When mails may leave: windows by the recipient's clock, and the time of day of an activity.
--
-- A moment is inside a window when the clock of that place shows a time of the window. An hour that the clock repeats belongs to it
-- both times, one that it leaves out does not exist; and a time of day that is left out has come with the first one after it.

create or replace function marketing_automation_internal.first_moment(local timestamp, zone text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    moment timestamptz := timezone(zone, local);
begin
    if timezone(zone, moment) = local and timezone(zone, moment - interval '25 hours') = local - interval '25 hours' then
        return moment;
    end if;
    -- A clock change is near: minute by minute, as they are made on whole ones.
    return (select min(m.moment) from generate_series(moment - interval '25 hours', moment, '1 minute') as m (moment)
            where timezone(zone, m.moment) >= local);
end $$;
comment on function marketing_automation_internal.first_moment(timestamp, text) is
    'API: private. The first moment at which the clock of a time zone, which exists, shows this time or, where that is left out, a later one';

create or replace function marketing_automation_internal.window_zone(send_window marketing_automation.send_window, zone text) returns text
language sql stable
return case when zone <> '' then marketing_automation_internal.usable_time_zone(zone)
    else coalesce((send_window).time_zone, marketing_automation_internal.database_time_zone()) end;
comment on function marketing_automation_internal.window_zone(marketing_automation.send_window, text) is
    'API: private. The time zone in which a window counts for a recipient: his, else the window''s, else the database''s';

create or replace function marketing_automation_internal.is_open(send_window marketing_automation.send_window, zone text, moment timestamptz)
    returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(bool_or(extract(isodow from o.day) = any (send_window.days) and not exists (
            select from marketing_automation.holiday h where h.calendar = send_window.calendar and h.day = o.day)), false)
    from (select timezone(zone, moment) as local) c
    -- The day on which it opened.
    cross join lateral (
        select c.local::date where c.local::time >= send_window.opens
            and (c.local::time < send_window.closes or send_window.closes < send_window.opens)
        union all
        select c.local::date - 1 where send_window.closes < send_window.opens and c.local::time < send_window.closes) as o (day)
$$;
comment on function marketing_automation_internal.is_open(marketing_automation.send_window, text, timestamptz) is
    'API: private. Whether a moment is inside a window, by the clock of a time zone, which exists';

create or replace function marketing_automation_internal.next_opening(send_window marketing_automation.send_window, zone text, start timestamptz)
    returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    first_day date := timezone(zone, start)::date;
    moment timestamptz := start;
begin
    if marketing_automation_internal.is_open(send_window, zone, start) then
        return start;
    end if;
    for day in 0..400 loop
        if extract(isodow from first_day + day) = any (send_window.days) then
            moment := marketing_automation_internal.first_moment(first_day + day + send_window.opens, zone);
            if moment > start and marketing_automation_internal.is_open(send_window, zone, moment) then
                return moment;
            end if;
        end if;
    end loop;
    return null;
end $$;
comment on function marketing_automation_internal.next_opening(marketing_automation.send_window, text, timestamptz) is
    'API: private. The moment itself if a window is open then, otherwise when it opens next in a time zone, which exists; null: not within '
    '400 days';

create or replace function marketing_automation_internal.window_state(send_window marketing_automation.send_window, zone text, moment timestamptz,
    out opens_at timestamptz, out closes_at timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    local timestamp := timezone(zone, moment);
    -- Longer than any lease. In the minute before a clock change all windows are shut, so that nothing leaves at a time that was skipped
    -- to, or gone back to.
    ahead constant interval := '61 seconds';
    clock_changes boolean := timezone(zone, moment + ahead) <> local + ahead;
begin
    if not clock_changes and marketing_automation_internal.is_open(send_window, zone, moment) then
        closes_at := moment + (local::date + send_window.closes - local)
            + case when send_window.closes < send_window.opens and local::time >= send_window.opens then interval '24 hours' else '0' end;
        return;
    end if;
    opens_at := coalesce(marketing_automation_internal.next_opening(send_window, zone, moment + case when clock_changes then ahead else '0' end),
        -- It is looked at again then.
        moment + interval '400 days');
end $$;
comment on function marketing_automation_internal.window_state(marketing_automation.send_window, text, timestamptz, out timestamptz,
    out timestamptz) is
    'API: private. When a window that is shut opens; or else when it closes, exact within the next minute';

create or replace function marketing_automation_internal.its_window(activity marketing_automation.activity) returns marketing_automation.send_window
language sql stable set search_path = pg_catalog, pg_temp as $$
    select w.* from marketing_automation.send_window w
    where activity.action = 'send_email' and w.name = coalesce(activity.send_window, (
        select s.send_window from marketing_automation.scenario s where s.id = activity.scenario_id))
$$;
comment on function marketing_automation_internal.its_window(marketing_automation.activity) is
    'API: private. The window in which the mails of an activity may leave; null: at any time';

create or replace function marketing_automation_internal.time_to_run(activity marketing_automation.activity,
    send_window marketing_automation.send_window, zone text, start timestamptz) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    its_zone text := marketing_automation_internal.window_zone(send_window, zone);
    waits boolean := send_window.name is not null and send_window.outside = 'wait';
    first_day date := timezone(its_zone, start)::date;
    -- Where that is never inside the window, mails leave when it opens.
    at_time time := case
        when not waits or send_window.opens < send_window.closes and activity.at_time >= send_window.opens and activity.at_time < send_window.closes
            or send_window.closes < send_window.opens and (activity.at_time >= send_window.opens or activity.at_time < send_window.closes)
        then activity.at_time
        when activity.at_time is not null then send_window.opens end;
    moment timestamptz;
begin
    if at_time is null then
        return case when waits then coalesce(marketing_automation_internal.next_opening(send_window, its_zone, start), start + interval '400 days')
            else start end;
    end if;
    for day in 0..400 loop
        moment := marketing_automation_internal.first_moment(first_day + day + at_time, its_zone);
        if moment >= start and (not waits or marketing_automation_internal.is_open(send_window, its_zone, moment)) then
            return moment;
        end if;
    end loop;
    return start + interval '400 days';
end $$;
comment on function marketing_automation_internal.time_to_run(marketing_automation.activity, marketing_automation.send_window, text,
    timestamptz) is
    'API: private. When an activity that might run from start on does: at its time of day, and inside a window that lets mails wait';

create or replace function marketing_automation_internal.put_off(activity marketing_automation.activity, records bigint[], now timestamptz)
    returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    send_window marketing_automation.send_window := marketing_automation_internal.its_window(activity);
    remaining bigint[];
begin
    if activity.at_time is null and (send_window.name is null or send_window.outside <> 'wait') then
        return records;
    end if;
    with waiting as materialized (
        select w.record_id, w.at, r.time_zone
        from unnest(records) as u (id)
        cross join lateral (
            select w.record_id, w.at from marketing_automation_internal.waiting_activity w
            -- By the primary key only: until the table is analyzed, the index of the activity's due rows looks as good, and reads them all.
            where w.record_id = u.id and w.activity_id + 0 = activity.id offset 0) w
        join marketing_automation_internal.record r on r.id = w.record_id
    ), zone as materialized (
        -- Whoever may leave now does, however long ago his time of day was.
        select z.time_zone, case when send_window.name is null or send_window.outside <> 'wait' or marketing_automation_internal.is_open(
                send_window, marketing_automation_internal.window_zone(send_window, z.time_zone), now) then now
            else marketing_automation_internal.time_to_run(activity, send_window, z.time_zone, now) end as at
        from (select distinct w.time_zone from waiting w) z
    ), due as materialized (
        select w.record_id, greatest(z.at, case when activity.at_time is not null
            then marketing_automation_internal.time_to_run(activity, send_window, w.time_zone, w.at) end) as at
        from waiting w join zone z on z.time_zone is not distinct from w.time_zone
    ), moved as (
        update marketing_automation_internal.waiting_activity w set at = d.at
        from due d where d.at > now and w.record_id = d.record_id and w.activity_id + 0 = activity.id
    )
    select coalesce(array_agg(d.record_id order by d.record_id) filter (where d.at <= now), '{}') into remaining from due d;
    return remaining;
end $$;
comment on function marketing_automation_internal.put_off(marketing_automation.activity, bigint[], timestamptz) is
    'API: private. Lets due records, which the caller has locked, wait for their time of day or the opening of their window; returns those '
    'that run now';

create or replace function marketing_automation_internal.shut_out(mail marketing_automation_internal.outbox, moment timestamptz) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('outside send window "%s"', w.name)
    from marketing_automation.activity a
    cross join marketing_automation_internal.its_window(a) w
    where a.id = mail.activity_id and w.outside = 'skip'
      and not marketing_automation_internal.is_open(w, marketing_automation_internal.window_zone(w, mail.time_zone), moment)
$$;
comment on function marketing_automation_internal.shut_out(marketing_automation_internal.outbox, timestamptz) is
    'API: private. Why a mail that leaves then is skipped by its window; null: it is not';

-- What is written.

create or replace function marketing_automation_internal.check_send_window(name text, whose text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Nobody deletes it before this is committed.
    perform from marketing_automation.send_window w where w.name = check_send_window.name for key share;
    if not found and name is not null then
        raise exception 'send window "%" of % does not exist', name, whose
            using errcode = 'undefined_object',
                  hint = coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(name, array(
                      select w.name from marketing_automation.send_window w)) || '".',
                      format('insert into marketing_automation.send_window (name, days, opens, closes) '
                          'values (%L, ''{1,2,3,4,5}'', ''09:00'', ''18:00'');', name));
    end if;
end $$;
comment on function marketing_automation_internal.check_send_window(text, text) is
    'API: private. Raises unless a window exists, or is null, and keeps it until the transaction ends';

create or replace function marketing_automation_internal.send_window_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    user_of text;
begin
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.name <> old.name then
        user_of := coalesce(
            (select format('scenario "%s"', s.name) from marketing_automation.scenario s where s.send_window = old.name order by s.id limit 1),
            (select format('activity "%s"', a.name) from marketing_automation.activity a where a.send_window = old.name order by a.id limit 1));
        if user_of is not null then
            raise exception 'send window "%" is in use by % and cannot be %', old.name, user_of,
                case tg_op when 'DELETE' then 'deleted' else 'renamed' end
                using errcode = 'object_in_use', detail = 'Its mails would leave at any time.',
                      hint = format('update marketing_automation.%s set send_window = null where send_window = %L;',
                          split_part(user_of, ' ', 1), old.name);
        end if;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if marketing_automation_internal.is_restoring() or marketing_automation_internal.only_renames_owner(to_jsonb(old), to_jsonb(new)) then
        return new;
    end if;
    perform marketing_automation_internal.check_value(new.outside, array['wait', 'skip'], 'outside', format('send window "%s"', new.name));
    -- How many first: a claim looks at each of them.
    if (case when new.days is null or array_ndims(new.days) <> 1 or cardinality(new.days) > 7 then true
            else not new.days <@ '{1,2,3,4,5,6,7}' or cardinality(new.days) > (select count(distinct d) from unnest(new.days) d) end) then
        raise exception 'days of send window "%" are not days of the week', new.name
            using errcode = 'check_violation', hint = 'Write numbers from 1, Monday, to 7, Sunday, each once: ''{1,2,3,4,5}''.';
    end if;
    if new.opens is null or new.closes is null then
        raise exception 'opens and closes of send window "%" must not be null', new.name
            using errcode = 'null_value_not_allowed', hint = 'Write opens 00:00 and closes 24:00 for the whole day.';
    end if;
    if new.opens = new.closes then
        raise exception 'send window "%" closes when it opens', new.name
            using errcode = 'check_violation', hint = 'Write opens 00:00 and closes 24:00 for the whole day.';
    end if;
    if (new.closes - new.opens + case when new.closes < new.opens then interval '24 hours' else '0' end) < interval '1 minute' then
        raise exception 'send window "%" is open for less than a minute', new.name
            using errcode = 'check_violation', hint = 'Let it close later.';
    end if;
    if new.time_zone is not null and not marketing_automation_internal.is_time_zone(new.time_zone) then
        raise exception 'time zone "%" of send window "%" does not exist', new.time_zone, new.name
            using errcode = 'check_violation', hint = 'See: select name from pg_timezone_names;';
    end if;
    if new.calendar is not null and not exists (select from marketing_automation.holiday h where h.calendar = new.calendar) then
        raise exception 'calendar "%" of send window "%" does not exist', new.calendar, new.name
            using errcode = 'undefined_object',
                  hint = coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(new.calendar, array(
                      select distinct h.calendar from marketing_automation.holiday h)) || '".',
                      format('Give it a day first: insert into marketing_automation.holiday (calendar, day) values (%L, ''2030-12-25'');', new.calendar));
    end if;
    if marketing_automation_internal.next_opening(new, marketing_automation_internal.window_zone(new, null), statement_timestamp()) is null then
        raise exception 'send window "%" never opens', new.name
            using errcode = 'check_violation', detail = case when new.days = '{}' then 'It has no days.'
                      else 'Its calendar has all of its days within the next 400.' end,
                  hint = format('Give it days on which it opens: update marketing_automation.send_window set days = ''{1,2,3,4,5}'' where name = %L;',
                      new.name);
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.send_window_validate() is
    'API: private. A window opens, in a zone and by a calendar that exist; one that is in use stays';

create or replace function marketing_automation_internal.look_again_at(windows text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if windows = '{}' then
        return;
    end if;
    -- What is claimed, of those that use them.
    perform marketing_automation_internal.revoke_claims_of('activity', a.id::text)
    from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
    where a.action = 'send_email' and coalesce(a.send_window, s.send_window) = any (windows);
    if found then
        perform marketing_automation_internal.notify_mailer();
    end if;
end $$;
comment on function marketing_automation_internal.look_again_at(text[]) is
    'API: private. Lets the mailer claim anew what leaves within windows that have changed';

create or replace function marketing_automation_internal.send_window_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- One that is new, or gone, is used by nobody.
    if not marketing_automation_internal.is_restoring() then
        perform marketing_automation_internal.look_again_at(array(
            select n.name from new_window n join old_window o on o.name = n.name
            where (n.days, n.opens, n.closes, n.calendar, n.time_zone, n.outside)
                is distinct from (o.days, o.opens, o.closes, o.calendar, o.time_zone, o.outside)));
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.send_window_changed() is
    'API: private. Trigger: mails within a window that opens at other times are claimed anew';

create or replace function marketing_automation_internal.holiday_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    given text[] := '{}';
    lost text[] := '{}';
    fault record;
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    if tg_op = 'INSERT' then
        given := array(select distinct n.calendar from new_day n);
    elsif tg_op = 'DELETE' then
        lost := array(select distinct o.calendar from old_day o);
    else
        given := array(select distinct n.calendar from (select n.calendar, n.day from new_day n except select o.calendar, o.day from old_day o) n);
        lost := array(select distinct o.calendar from (select o.calendar, o.day from old_day o except select n.calendar, n.day from new_day n) o);
    end if;
    select w.name, w.calendar into fault from marketing_automation.send_window w
    where w.calendar = any (lost) and not exists (select from marketing_automation.holiday h where h.calendar = w.calendar)
    order by w.name limit 1;
    if found then
        raise exception 'calendar "%" is in use by send window "%" and must keep a day', fault.calendar, fault.name
            using errcode = 'object_in_use', detail = 'Mails would leave on its days.',
                  hint = format('Give it the new days first, or: update marketing_automation.send_window set calendar = null where calendar = %L;',
                      fault.calendar);
    end if;
    select w.name into fault from marketing_automation.send_window w
    where w.calendar = any (given)
      and marketing_automation_internal.next_opening(w, marketing_automation_internal.window_zone(w, null), statement_timestamp()) is null
    order by w.name limit 1;
    if found then
        raise exception 'send window "%" would never open', fault.name
            using errcode = 'check_violation', detail = 'Its calendar would have all of its days within the next 400.',
                  hint = 'pause() stops all mails; a scenario''s are stopped by stop().';
    end if;
    perform marketing_automation_internal.look_again_at(array(
        select w.name from marketing_automation.send_window w where w.calendar = any (given || lost)));
    return null;
end $$;
comment on function marketing_automation_internal.holiday_changed() is
    'API: private. Trigger: no calendar keeps a window shut for ever, or goes while a window uses it; mails within those are claimed anew';

create or replace trigger choose_owner before insert or update of owner, owner_id on marketing_automation.send_window
    for each row execute function marketing_automation_internal.choose_owner();

create or replace trigger guard before insert or update or delete on marketing_automation.send_window
    for each row execute function marketing_automation_internal.guard();

create or replace trigger validate before insert or update or delete on marketing_automation.send_window
    for each row execute function marketing_automation_internal.send_window_validate();

create or replace trigger changed after update on marketing_automation.send_window
    referencing old table as old_window new table as new_window
    for each statement execute function marketing_automation_internal.send_window_changed();

create or replace trigger inserted after insert on marketing_automation.holiday
    referencing new table as new_day
    for each statement execute function marketing_automation_internal.holiday_changed();

create or replace trigger changed after update on marketing_automation.holiday
    referencing old table as old_day new table as new_day
    for each statement execute function marketing_automation_internal.holiday_changed();

create or replace trigger deleted after delete on marketing_automation.holiday
    referencing old table as old_day
    for each statement execute function marketing_automation_internal.holiday_changed();

-- functions/topics.sql
-- Topics: what is written is checked, and what is claimed is looked at again when a topic begins to forbid it.

create or replace function marketing_automation_internal.topic_objection(topic text, opt_in text, by_party text, by_address text) returns text
language sql stable
return case
    when by_party = 'unsubscribed' or by_address = 'unsubscribed' then format('unsubscribed from topic "%s"', topic)
    when by_party = 'subscribed' or by_address = 'subscribed' then null
    when by_party = 'pending' or by_address = 'pending' then format('subscription to topic "%s" is not confirmed', topic)
    when opt_in = 'none' then null
    else format('not subscribed to topic "%s"', topic) end;
comment on function marketing_automation_internal.topic_objection(text, text, text, text) is
    'API: private. Why a topic forbids a mail, by the states that the party and the address have chosen, null: none; null: it allows it. '
    'The one place of this rule';

create or replace function marketing_automation_internal.withheld(its_topic text, its_party text, its_hash bytea) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.topic_objection(its_topic, (
            select t.opt_in from marketing_automation.topic t where t.name = its_topic), (
            select p.state from marketing_automation.subscription p
            where p.topic = its_topic and p.party = its_party and p.address_hash is null), (
            select a.state from marketing_automation.subscription a where a.topic = its_topic and a.address_hash = its_hash))
    where its_topic is not null
$$;
comment on function marketing_automation_internal.withheld(text, text, bytea) is
    'API: private. Why a topic forbids mails to a party at an address, of which either may be null; null: it does not, or there is no topic';

create or replace function marketing_automation_internal.check_topic(name text, whose text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Nobody deletes it before this is committed.
    perform from marketing_automation.topic t where t.name = check_topic.name for key share;
    if not found and name is not null then
        raise exception 'topic "%"% does not exist', name, coalesce(' of ' || whose, '')
            using errcode = 'undefined_object',
                  hint = coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(name, array(
                      select t.name from marketing_automation.topic t)) || '".',
                      format('insert into marketing_automation.topic (name, title) values (%L, ''…'');', name));
    end if;
end $$;
comment on function marketing_automation_internal.check_topic(text, text) is
    'API: private. Raises unless a topic exists, or is null, and keeps it until the transaction ends. whose: what names it, null: a caller';

create or replace function marketing_automation_internal.topic_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    in_use_by text;
begin
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.name <> old.name then
        in_use_by := (select s.name from marketing_automation.scenario s where s.topic = old.name order by s.id limit 1);
        if in_use_by is not null then
            raise exception 'topic "%" is in use by scenario "%" and cannot be %', old.name, in_use_by,
                case tg_op when 'DELETE' then 'deleted' else 'renamed' end
                using errcode = 'object_in_use', detail = 'Its mails would go to who has left the topic.',
                      hint = case tg_op
                          when 'DELETE' then format('update marketing_automation.scenario set topic = ''another'' where topic = %L;', old.name)
                          else format('update marketing_automation.topic set title = %L where name = %L;', new.name, old.name) end;
        end if;
        if tg_op = 'UPDATE' and exists (select from marketing_automation.subscription u where u.topic = old.name) then
            raise exception 'topic "%" has subscriptions and cannot be renamed', old.name
                using errcode = 'object_in_use', detail = 'What people have chosen is kept under its name.',
                      hint = format('update marketing_automation.topic set title = %L where name = %L;', new.name, old.name);
        end if;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if not marketing_automation_internal.is_restoring() then
        perform marketing_automation_internal.check_value(new.opt_in, array['none', 'double'], 'opt_in', format('topic "%s"', new.name));
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.topic_validate() is
    'API: private. Trigger: a topic that is in use stays, and keeps the name under which people have chosen';

create or replace function marketing_automation_internal.topic_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'DELETE' then
        delete from marketing_automation.topic_translation t where t.topic = old.name;
        return null;
    end if;
    update marketing_automation.topic_translation t set topic = new.name where t.topic = old.name and new.name <> old.name;
    if new.opt_in = 'double' and old.opt_in <> 'double' then
        -- What is claimed may be for somebody who has never asked for it.
        perform marketing_automation_internal.revoke_claims_of('activity', a.id::text)
        from marketing_automation.scenario s join marketing_automation.activity a on a.scenario_id = s.id where s.topic = new.name;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.topic_changed() is
    'API: private. Trigger: titles go with their topic, and take its name; mails of a topic that has to be asked for are claimed anew';

create or replace function marketing_automation_internal.topic_translation_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring() then
        perform marketing_automation_internal.check_topic(new.topic, 'a translation');
        perform marketing_automation_internal.check_language(new.language, format('translation of topic "%s"', new.topic));
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.topic_translation_validate() is
    'API: private. Trigger: a title is of a topic that exists, in a language';

create or replace function marketing_automation_internal.topic_title(its_name text, its_language text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((
            select t.title from marketing_automation.topic_translation t
            where t.topic = its_name and lower(replace(t.language, '_', '-')) in (l.tag, split_part(l.tag, '-', 1))
            order by length(t.language) desc limit 1), (
            select t.title from marketing_automation.topic t where t.name = its_name), its_name)
    from (select lower(replace(its_language, '_', '-'))) as l (tag)
$$;
comment on function marketing_automation_internal.topic_title(text, text) is
    'API: private. What recipients know a topic as, in a language or its variant; null: in none that is known';

create or replace trigger validate before insert or update or delete on marketing_automation.topic
    for each row execute function marketing_automation_internal.topic_validate();

create or replace trigger changed after update or delete on marketing_automation.topic
    for each row execute function marketing_automation_internal.topic_changed();

create or replace trigger validate before insert or update on marketing_automation.topic_translation
    for each row execute function marketing_automation_internal.topic_translation_validate();

-- functions/message_classes.sql
-- Message classes: which one a mail has, and what follows from it.

create or replace function marketing_automation_internal.its_class(activity marketing_automation.activity) returns marketing_automation.message_class
language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.* from marketing_automation.scenario s
    join marketing_automation.message_class c on c.name = coalesce(activity.message_class, s.message_class)
    where s.id = activity.scenario_id
$$;
comment on function marketing_automation_internal.its_class(marketing_automation.activity) is
    'API: private. The class of the mails of an activity: its own, else that of its scenario';

create or replace function marketing_automation_internal.reaches_unsubscribed(scenario_id integer) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from marketing_automation.activity a cross join lateral marketing_automation_internal.its_class(a) c
        where a.scenario_id = reaches_unsubscribed.scenario_id and a.action = 'send_email' and not c.honors_unsubscribe)
$$;
comment on function marketing_automation_internal.reaches_unsubscribed(integer) is
    'API: private. Whether a scenario has mails for who has unsubscribed: then they enter it, too';

create or replace function marketing_automation_internal.honors_unsubscribe(activity marketing_automation.activity) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- What sends nothing is on the way to mails of both kinds.
    select case when activity.action = 'send_email' then (marketing_automation_internal.its_class(activity)).honors_unsubscribe is not false
        else not marketing_automation_internal.reaches_unsubscribed(activity.scenario_id) end
$$;
comment on function marketing_automation_internal.honors_unsubscribe(marketing_automation.activity) is
    'API: private. Whether an activity is cancelled for who has unsubscribed';

-- What is written.

create or replace function marketing_automation_internal.check_message_class(name text, whose text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Nobody deletes it before this is committed.
    perform from marketing_automation.message_class c where c.name = check_message_class.name for key share;
    if not found and name is not null then
        raise exception 'message class "%" of % does not exist', name, whose
            using errcode = 'undefined_object',
                  hint = coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(name, array(
                      select c.name from marketing_automation.message_class c)) || '".',
                      'See: select name from marketing_automation.message_class;');
    end if;
end $$;
comment on function marketing_automation_internal.check_message_class(text, text) is
    'API: private. Raises unless a class exists, or is null, and keeps it until the transaction ends';

create or replace function marketing_automation_internal.message_class_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    user_of text;
begin
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.name <> old.name then
        -- As a dump is restored, the row that was changed takes the place of the shipped one.
        if marketing_automation_internal.is_restoring() then
            return old;
        end if;
        if old.name in ('marketing', 'transactional', 'internal') then
            raise exception 'message class "%" is one of the extension''s and cannot be %', old.name,
                case tg_op when 'DELETE' then 'deleted' else 'renamed' end
                using errcode = 'object_in_use', hint = 'Change what it means, or make one of your own.';
        end if;
        user_of := coalesce(
            (select format('scenario "%s"', s.name) from marketing_automation.scenario s where s.message_class = old.name order by s.id limit 1),
            (select format('activity "%s"', a.name) from marketing_automation.activity a where a.message_class = old.name order by a.id limit 1));
        if user_of is not null then
            raise exception 'message class "%" is in use by % and cannot be %', old.name, user_of,
                case tg_op when 'DELETE' then 'deleted' else 'renamed' end
                using errcode = 'object_in_use', detail = 'Nobody would know to whom its mails may go.',
                      hint = format('update marketing_automation.%s set message_class = %s where message_class = %L;',
                          split_part(user_of, ' ', 1), case when user_of like 'scenario%' then '''marketing''' else 'null' end, old.name);
        end if;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if new.priority not between -1000 and 1000 then
        raise exception 'priority of message class "%" is %', new.name, new.priority
            using errcode = 'check_violation', hint = 'It is a number from -1000, last, to 1000, first; 0 is that of marketing.';
    end if;
    new.is_shipped := new.is_shipped and tg_op = 'INSERT' and marketing_automation_internal.is_extension_script();
    if tg_op = 'INSERT' then
        -- A dump has the classes that were changed; CREATE EXTENSION has just made them as they are shipped.
        delete from marketing_automation.message_class c
        where c.name = new.name and c.is_shipped and marketing_automation_internal.is_restoring();
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.message_class_validate() is
    'API: private. A class that is shipped or in use stays; one that was changed takes the place of the shipped one when a dump is restored';

create or replace function marketing_automation_internal.message_class_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed text[];
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    changed := array(
        select n.name from new_class n join old_class o on o.name = n.name
        where (n.honors_unsubscribe, n.bulk_headers) is distinct from (o.honors_unsubscribe, o.bulk_headers));
    if changed <> '{}' then
        perform marketing_automation_internal.follow_class(array(
            select a.id from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
            where coalesce(a.message_class, s.message_class) = any (changed)));
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.message_class_changed() is
    'API: private. Trigger: mails of a class that has come to mean something else are claimed and composed anew';

create or replace function marketing_automation_internal.follow_class(activities integer[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Compiled templates, with which the headers are known, are cached by the version.
    update marketing_automation.activity a set version = a.version + 1 where a.id = any (activities);
    perform marketing_automation_internal.revoke_claims_of('activity', u.id::text) from unnest(activities) as u (id);
    perform marketing_automation_internal.notify_mailer();
end $$;
comment on function marketing_automation_internal.follow_class(integer[]) is
    'API: private. Has the mails of activities, whose class or its meaning has changed, claimed and composed anew';

create or replace function marketing_automation_internal.scenario_class_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.follow_class(array(
        select a.id from marketing_automation.activity a where a.scenario_id = new.id and a.message_class is null));
    return null;
end $$;
comment on function marketing_automation_internal.scenario_class_changed() is
    'API: private. Trigger: mails that have the class of their scenario are claimed and composed anew when it changes';

create or replace function marketing_automation_internal.activity_class_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.revoke_claims_of('activity', new.id::text);
    perform marketing_automation_internal.notify_mailer();
    return null;
end $$;
comment on function marketing_automation_internal.activity_class_changed() is
    'API: private. Trigger: mails of an activity that gets another class are claimed anew; its version says that they are composed anew';

create or replace trigger validate before insert or update or delete on marketing_automation.message_class
    for each row execute function marketing_automation_internal.message_class_validate();

create or replace trigger changed after update on marketing_automation.message_class
    referencing old table as old_class new table as new_class
    for each statement execute function marketing_automation_internal.message_class_changed();

-- functions/models.sql
-- Models, and the shipped parties and sales: what is written is checked, and what depends on it follows. Definitions have three
-- triggers: "guard" runs as the writer (may they?), "validate" as the extension (does it make sense?), "cascade" afterwards.

create or replace function marketing_automation_internal.model_fixed() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if (case when tg_op <> 'INSERT' then old.name end) in ('party', 'sale') or (case when tg_op <> 'DELETE' then new.name end)
        in ('party', 'sale') then
        raise exception 'models party and sale are shipped with the extension and cannot be changed'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Register a model of another name with register_model().';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation_internal.model_fixed() is 'API: private. Nobody changes the shipped models';

create or replace function marketing_automation_internal.model_parts(model marketing_automation.model)
returns table (part text, what text, expression text, is_condition boolean)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select p.part, format('%s of model "%s"', p.part, model.name), p.expression, p.part like 'track\_%'
    from (values ('key', model.key), ('party', model.party), ('email', model.email), ('recipient_name', model.recipient_name),
                 ('language', model.language), ('time_zone', model.time_zone),
                 ('track_opens', model.track_opens), ('track_clicks', model.track_clicks)) as p (part, expression)
    where p.expression is not null
$$;
comment on function marketing_automation_internal.model_parts(marketing_automation.model) is
    'API: private. The expressions of a model, and what they are called in errors';

create or replace function marketing_automation_internal.model_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    part record;
    its_type regtype;
    users text;
    relation_class pg_class;
begin
    if tg_op = 'DELETE' then
        select string_agg(quote_ident(s.name), ', ' order by s.name) into users from marketing_automation.scenario s
            where s.model = old.name;
        if users is not null then
            raise exception 'model "%" is in use', old.name 
                using errcode = 'object_in_use', detail = format('Scenarios on it: %s.', users),
                      hint = 'Delete these before: those that have begun keep the log of their mails, and their model.';
        end if;
        return old;
    end if;
    if marketing_automation_internal.is_restoring() or marketing_automation_internal.only_renames_owner(to_jsonb(old), to_jsonb(new)) then
        return new;
    end if;
    if tg_op = 'UPDATE' and new.key is distinct from old.key then
        -- After an enrolling that is under way, whose records nobody else sees yet.
        perform marketing_automation_internal.lock_scenario_for_change(s.id) from marketing_automation.scenario s
            where s.model = old.name order by s.id;
    end if;
    if tg_op = 'UPDATE' and new.key is distinct from old.key
        and exists (select from marketing_automation_internal.record r join marketing_automation.scenario s on s.id = r.scenario_id
            where s.model = old.name) then
        begin
            perform marketing_automation_internal.check_expression(new.owner_id, new.relation, old.key, format('key of model "%s"', old.name));
            users := 'records have entered with it';
        exception when undefined_column or undefined_function or undefined_object then
            -- A column was renamed, say: no other way to find these records again than another expression.
            users := null;
        end;
        if users is not null then
            raise exception 'key of model "%" cannot change: %', old.name, users
                using errcode = 'object_in_use', hint = 'Register a new model with the other key.';
        end if;
    end if;
    if new.key is null then
        raise exception 'key of model "%" must not be null', new.name
            using errcode = 'null_value_not_allowed', hint = 'It is an expression over the row, self, by which it is found again, as in self.id.';
    end if;
    select c.* into relation_class from pg_class c where c.oid = new.relation;
    if relation_class.relkind not in ('r', 'p', 'v', 'm', 'f') then
        raise exception 'model "%" cannot be made of %, which holds no rows', new.name, new.relation
            using errcode = 'wrong_object_type', hint = 'Take a table, partitioned table, view, materialized view or foreign table.';
    end if;
    if relation_class.relpersistence = 't' then
        raise exception 'model "%" cannot be made of the temporary relation %', new.name, new.relation
            using errcode = 'wrong_object_type', detail = 'Other sessions cannot read it, and it goes when this one ends.';
    end if;
    for part in select p.* from marketing_automation_internal.model_parts(new) p loop
        if part.is_condition then
            perform marketing_automation_internal.check_condition(new.owner_id, new.relation, part.expression, part.what);
            continue;
        end if;
        its_type := marketing_automation_internal.check_expression(new.owner_id, new.relation, part.expression, part.what);
        if part.part = 'key' then
            new.key_type := its_type;
        end if;
    end loop;
    begin
        if (select t.typtype from pg_type t where t.oid = new.key_type) = 'p' then
            -- row(a, b): it plans, but a record without a type of its own is never read back from text.
            raise undefined_object;
        end if;
        perform marketing_automation_internal.plan_as_owner(new.owner_id, new.relation, marketing_automation_internal.key_query(new.relation, new.key,
            new.key_type, ''));
    exception when undefined_object or undefined_function then
        raise exception 'key of model "%" is of type %, by which rows cannot be found again', new.name, new.key_type
            using errcode = 'datatype_mismatch',
                hint = 'Use a type that has an equality operator and arrays, such as bigint, uuid or text; '
                'make several columns one text: self.a::text || ''/'' || self.b::text.';
    end;
    return new;
end $$;
comment on function marketing_automation_internal.model_validate() is
    'API: private. Checks that each expression of a model is one expression that plans against its relation; keeps models in use';

create or replace function marketing_automation_internal.model_cascade() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.name <> old.name then
        update marketing_automation.scenario s set model = new.name where s.model = old.name;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.model_cascade() is 'API: private. Scenarios follow a renamed model';

create or replace trigger fixed before insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation_internal.model_fixed();

create or replace trigger choose_owner before insert or update of owner, owner_id on marketing_automation.model
    for each row execute function marketing_automation_internal.choose_owner();

create or replace trigger guard before insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation_internal.guard();

create or replace trigger validate before insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation_internal.model_validate();

create or replace trigger cascade after update on marketing_automation.model
    for each row execute function marketing_automation_internal.model_cascade();

-- Parties and sales
create or replace function marketing_automation_internal.sale_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from marketing_automation.party p where p.id = new.party_id for key share;
    if not found and not marketing_automation_internal.is_restoring() then
        raise exception 'party % of sale does not exist', new.party_id using errcode = 'foreign_key_violation';
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.sale_validate() is 'API: private. A sale''s party exists';

create or replace function marketing_automation_internal.party_cascade() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from marketing_automation.sale s where s.party_id = old.id;
    return null;
end $$;
comment on function marketing_automation_internal.party_cascade() is 'API: private. The sales of a deleted party go with it';

create or replace trigger validate before insert or update of party_id on marketing_automation.sale
    for each row execute function marketing_automation_internal.sale_validate();

create or replace trigger cascade after delete on marketing_automation.party
    for each row execute function marketing_automation_internal.party_cascade();

-- functions/scenarios.sql
-- Scenarios: what is written is checked, and what depends on it follows. Who may write them: guard.sql.

create or replace function marketing_automation_internal.scenario_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
    starts boolean;
    defined boolean;
begin
    if tg_op = 'DELETE' then
        -- In the order of who deletes an activity.
        perform from marketing_automation.activity a where a.scenario_id = old.id order by a.id for update;
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
        if exists (select from marketing_automation_internal.record r where r.scenario_id = old.id) then
            raise exception 'scenario "%" has records and cannot be deleted', old.name
                using errcode = 'object_in_use', detail = 'Its mails would lose their log, and unsubscribing in them would stop working.',
                      hint = format('Stop it: select marketing_automation.stop(%L);', old.name);
        end if;
        return old;
    end if;
    if tg_op = 'UPDATE' and new.id <> old.id then
        raise exception 'id of scenario "%" cannot change', old.name using errcode = 'feature_not_supported';
    end if;
    perform marketing_automation_internal.check_value(new.state, array['draft', 'running', 'stopped'], 'state',
        format('scenario "%s"', new.name));
    perform marketing_automation_internal.check_language(new.language, format('scenario "%s"', new.name));
    if tg_op = 'UPDATE' and new.state <> old.state
        and (old.state, new.state) not in (('draft', 'running'), ('running', 'stopped'), ('stopped', 'draft')) then
        raise exception 'scenario "%" cannot go from % to %', old.name, old.state, new.state
            using errcode = 'object_not_in_prerequisite_state', detail = 'The order is draft, running, stopped, and back to draft.',
                  hint = format(case
                      when old.state = 'stopped' and new.state = 'running' then
                          'select marketing_automation.draft(%1$L), marketing_automation.run(%1$L);'
                      when old.state = 'draft' then 'select marketing_automation.run(%1$L), marketing_automation.stop(%1$L);'
                      else 'select marketing_automation.stop(%1$L), marketing_automation.draft(%1$L);' end, old.name);
    end if;
    if tg_op = 'UPDATE' and new.model <> old.model then
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
    end if;
    if tg_op = 'UPDATE' and new.model <> old.model
        and exists (select from marketing_automation_internal.record r where r.scenario_id = old.id)
        and exists (select from marketing_automation.model m where m.name = old.model) then
        raise exception 'model of scenario "%" cannot change: records have entered it', old.name
            using errcode = 'object_in_use', hint = 'Create another scenario on the other model.';
    end if;
    if tg_op = 'UPDATE' and new.holdout <> old.holdout then
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
        if exists (select from marketing_automation_internal.record r where r.scenario_id = old.id) then
            raise exception 'holdout of scenario "%" cannot change: records have entered it', old.name
                using errcode = 'object_in_use', detail = 'Who is held out was decided by it, and would get mail as another row.',
                      hint = 'Create another scenario.';
        end if;
    end if;
    if new.reenter_after < interval '0' or new.reenter_after > interval '10 years' then
        raise exception 'reenter_after of scenario "%" is %', new.name,
                case when new.reenter_after < interval '0' then 'negative' else 'longer than 10 years' end
            using errcode = 'check_violation', hint = 'It counts from the end of the last journey of a row; leave it null if rows enter once, ever.';
    end if;
    if tg_op = 'UPDATE' and new.occasion is distinct from old.occasion then
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
        if exists (select from marketing_automation_internal.record r where r.scenario_id = old.id) then
            raise exception 'occasion of scenario "%" cannot change: records have entered it', old.name
                using errcode = 'object_in_use', detail = 'They entered for what it was, and all of their rows would enter for what it is.',
                      hint = format('select marketing_automation.copy_scenario(%L, ''…''), and change that.', old.name);
        end if;
        update marketing_automation.scenario_status s set without_occasion = 0 where s.scenario_id = old.id and s.without_occasion <> 0;
    end if;
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    if tg_op = 'UPDATE' and (new.goal is null) <> (old.goal is null) then
        -- Who enters meanwhile does so with this goal, or is seen by scenario_regoal().
        perform marketing_automation_internal.lock_scenario_for_change(old.id);
    end if;
    if tg_op = 'INSERT' or new.send_window is distinct from old.send_window then
        perform marketing_automation_internal.check_send_window(new.send_window, format('scenario "%s"', new.name));
    end if;
    if tg_op = 'INSERT' or new.topic is distinct from old.topic then
        perform marketing_automation_internal.check_topic(new.topic, format('scenario "%s"', new.name));
    end if;
    if tg_op = 'INSERT' or new.message_class is distinct from old.message_class then
        if new.message_class is null then
            raise exception 'message_class of scenario "%" must not be null', new.name
                using errcode = 'null_value_not_allowed', hint = 'Leave it away for marketing; that of an activity may be null.';
        end if;
        perform marketing_automation_internal.check_message_class(new.message_class, format('scenario "%s"', new.name));
    end if;
    -- All that is asked of its expressions now.
    perform marketing_automation_internal.begin_turn();
    starts := new.state = 'running' and (tg_op = 'INSERT' or old.state <> 'running');
    defined := tg_op = 'INSERT' or (new.model, new.owner_id) is distinct from (old.model, old.owner_id);
    if starts or defined or (new.domain, new.goal, new.exit_condition, new.goal_at, new.goal_value, new.occasion) is distinct from (
            old.domain, old.goal, old.exit_condition, old.goal_at, old.goal_value, old.occasion) then
        perform from marketing_automation.model m where m.name = new.model for key share;
    end if;
    if starts or defined and new.state = 'running' then
        perform marketing_automation_internal.check_definition(new);
    elsif defined or (new.domain, new.goal, new.exit_condition, new.goal_at, new.goal_value, new.occasion) is distinct from (
            old.domain, old.goal, old.exit_condition, old.goal_at, old.goal_value, old.occasion) then
        -- Not the conditions: they are written one by one.
        model := marketing_automation_internal.usable_model(new);
        perform marketing_automation_internal.check_condition(new.owner_id, model.relation, c.condition,
            format('%s of scenario "%s"', c.what, new.name))
        from (values ('domain', new.domain), ('goal', new.goal), ('exit condition', new.exit_condition)) c (what, condition) where c.condition is not null;
        perform marketing_automation_internal.check_goal_parts(new, model);
        perform marketing_automation_internal.check_occasion(new, model);
    end if;
    if starts and not exists (select from marketing_automation.activity a where a.scenario_id = new.id and a.parent_id is null) then
        raise warning 'scenario "%" has no activity yet: nobody enters before it has one', new.name;
    end if;
    if starts then
        perform marketing_automation_internal.try_mails(new);
        perform marketing_automation_internal.warn_of_no_way_out(new);
        -- Its mails may have waited since it was stopped.
        perform marketing_automation_internal.notify_mailer();
    end if;
    perform marketing_automation_internal.end_turn();
    return new;
end $$;
comment on function marketing_automation_internal.scenario_validate() is
    'API: private. Order of states, existing model, a domain, a goal and an exit condition that are each one boolean expression, an occasion that is '
    'one expression; all that it consists of when it starts; keeps scenarios that have records';

create or replace function marketing_automation_internal.scenario_cascade() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from marketing_automation.activity a where a.scenario_id = old.id;
    delete from marketing_automation.unsubscription u where u.scenario_id = old.id;
    delete from marketing_automation_internal.unsubscribed_address u where u.scenario_id = old.id;
    delete from marketing_automation.scenario_status s where s.scenario_id = old.id;
    delete from marketing_automation_internal.scenario_counter t where t.scenario_id = old.id;
    delete from marketing_automation_internal.failed_turn t where t.scenario_id = old.id;
    delete from marketing_automation_internal.poisonous_row p where p.scenario_id = old.id;
    delete from marketing_automation_internal.sweep w where w.scenario_id = old.id;
    return null;
end $$;
comment on function marketing_automation_internal.scenario_cascade() is 'API: private. What belongs to a deleted scenario goes with it';

create or replace trigger choose_owner before insert or update of owner, owner_id on marketing_automation.scenario
    for each row execute function marketing_automation_internal.choose_owner();

create or replace trigger guard before insert or update or delete on marketing_automation.scenario
    for each row execute function marketing_automation_internal.guard();

create or replace trigger validate before insert or update or delete on marketing_automation.scenario
    for each row execute function marketing_automation_internal.scenario_validate();

create or replace trigger cascade after delete on marketing_automation.scenario
    for each row execute function marketing_automation_internal.scenario_cascade();

create or replace function marketing_automation_internal.scenario_begin() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring() then
        insert into marketing_automation.scenario_status (scenario_id) values (new.id) on conflict do nothing;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.scenario_begin() is
    'API: private. The row by which a scenario is locked is there from the beginning: who waits for one that another session inserts '
    'cannot skip it';

create or replace trigger begin after insert on marketing_automation.scenario
    for each row execute function marketing_automation_internal.scenario_begin();

create or replace function marketing_automation_internal.scenario_retitle() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update marketing_automation.activity a set version = a.version + 1
    where a.scenario_id = new.id and (new.name, new.language) is distinct from (old.name, old.language);
    return null;
end $$;
comment on function marketing_automation_internal.scenario_retitle() is
    'API: private. Templates see the name of their scenario and are written in its language: compiled ones are cached by the '
    'activity''s version';

create or replace trigger retitle after update of name, language on marketing_automation.scenario
    for each row execute function marketing_automation_internal.scenario_retitle();

create or replace function marketing_automation_internal.scenario_regoal() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.goal is null then
        delete from marketing_automation_internal.open_goal g where g.scenario_id = new.id;
    else
        insert into marketing_automation_internal.open_goal (scenario_id, record_id, until)
        select new.id, r.id, marketing_automation_internal.after_delay(r.entered_at, new.goal_window, r.time_zone)
        from marketing_automation_internal.record r
        where r.scenario_id = new.id and not r.goal_before
          and not exists (select from marketing_automation.conversion c where c.record_id = r.id and c.source = 'goal')
        on conflict do nothing;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.scenario_regoal() is
    'API: private. A goal that a scenario gets while records are in it may be reached by them, too; one that it loses by nobody any more';

create or replace trigger regoal after update of goal on marketing_automation.scenario
    for each row when ((new.goal is null) <> (old.goal is null)) execute function marketing_automation_internal.scenario_regoal();

create or replace trigger reclass after update of message_class on marketing_automation.scenario
    for each row when (new.message_class <> old.message_class) execute function marketing_automation_internal.scenario_class_changed();

-- functions/branches.sql
-- Branches: the children of an activity that are alternatives. Which one a record takes is decided when that activity runs
-- (process_records), kept in branch_decision, and never asked again: who starts children starts the one that was decided.

create or replace function marketing_automation_internal.hash_point(text) returns integer
language sql immutable
return ('x' || substr(md5($1), 1, 7))::bit(28)::integer % 10000;
comment on function marketing_automation_internal.hash_point(text) is
    'API: private. Where a text falls by its hash, from 0 to 9999: hundredths of a per cent';

create or replace function marketing_automation_internal.share_point(parent_id integer, person text) returns integer
language sql immutable
-- Not as the hold-out of a scenario, whose number may be that of the activity: they would not be independent.
return marketing_automation_internal.hash_point('share/' || parent_id || '/' || person);
comment on function marketing_automation_internal.share_point(integer, text) is
    'API: private. Where a person, by its party or else its key, falls among the shares of an activity''s children';

create or replace function marketing_automation_internal.alternatives(of_parent integer)
returns table (id integer, condition text, share numeric, is_otherwise boolean)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.id, c.condition, c.share, c.condition is null and c.share is null
    from marketing_automation.activity c where c.parent_id = of_parent and c.on_event is null
$$;
comment on function marketing_automation_internal.alternatives(integer) is
    'API: private. The children of an activity of which each record takes one, if it branches: in order of id. is_otherwise: it is for '
    'the rest';

create or replace function marketing_automation_internal.condition_choice(activity marketing_automation.activity) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when activity.branch_by is distinct from 'condition' or count(*) = 0 then 'null::integer'
        when count(a.condition) = 0 then max(a.id)::text
        else format('case %s else %s end', string_agg(format('when %s then %s', marketing_automation_internal.as_condition(a.condition), a.id), ' '
                order by a.id) filter (where a.condition is not null),
            coalesce((max(a.id) filter (where a.is_otherwise))::text, 'null::integer')) end
    from marketing_automation_internal.alternatives(activity.id) a
$$;
comment on function marketing_automation_internal.condition_choice(marketing_automation.activity) is
    'API: private. Expression over self, ready to stand in a query, for the first child of an activity whose condition is true, else the '
    'one for the rest; null: it branches otherwise, or none is';

create or replace function marketing_automation_internal.share_choice(activity marketing_automation.activity, out ids integer[], out bounds numeric[])
language sql stable set search_path = pg_catalog, pg_temp as $$
    select array_agg(a.id order by a.is_otherwise, a.id), coalesce(array_agg(a.bound order by a.id) filter (where not a.is_otherwise), '{}')
    from (select a.*, 100 * sum(a.share) over (order by a.id) as bound from marketing_automation_internal.alternatives(activity.id) a) a
    where activity.branch_by = 'share'
$$;
comment on function marketing_automation_internal.share_choice(marketing_automation.activity, out integer[], out numeric[]) is
    'API: private. The children of an activity that branches by share, the one for the rest last, and the points below which each begins '
    'no more: width_bucket() of a share_point() and these, plus 1, is the place of the one that it takes';

create or replace function marketing_automation_internal.check_branch(activity marketing_automation.activity, parent marketing_automation.activity,
    has_moved boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- What waits for its parent to do nothing is none of the alternatives.
    is_alternative boolean := parent.branch_by is not null and activity.on_event is distinct from 'condition_not_met';
    other text;
begin
    perform marketing_automation_internal.check_value(activity.branch_by, array['condition', 'share'], 'branch_by',
        format('activity "%s"', activity.name), 'null: each of its children is asked by itself');
    if activity.share <= 0 or activity.share > 100 then
        raise exception 'share of activity "%" is %', activity.name, case when activity.share > 100 then 'over 100' else 'not positive' end
            using errcode = 'check_violation', hint = 'It is per cent of the records for which its parent has run.';
    end if;
    if activity.share is not null and (not is_alternative or parent.branch_by <> 'share') then
        raise exception 'activity "%" has a share, but no parent that branches by share', activity.name
            using errcode = 'check_violation', hint = case when parent.id is null then
                'Add one before it: select marketing_automation.add_activity(scenario, ''split'', action => null, branch_by => ''share'');'
                else 'Children with shares follow an activity with branch_by => ''share'', on no event.' end;
    end if;
    if is_alternative and activity.on_event is not null then
        raise exception 'activity "%" waits for %, but is one of the alternatives of "%"', activity.name, activity.on_event, parent.name
            using errcode = 'check_violation', detail = 'Which of them a record takes is decided when their parent runs.',
                hint = 'Let an activity with action => null wait for the event, and branch there.';
    end if;
    if is_alternative and parent.branch_by = 'share' and activity.condition is not null then
        raise exception 'activity "%" has a condition, but "%" branches by share', activity.name, parent.name
            using errcode = 'check_violation', hint = 'Ask the condition before, of the activity that branches, or after, of what follows.';
    end if;
    if is_alternative and activity.condition is null and activity.share is null then
        select c.name into other from marketing_automation.activity c
        where c.parent_id = parent.id and c.on_event is null and c.condition is null and c.share is null and c.id <> activity.id limit 1;
        if other is not null then
            raise exception 'activities "%" and "%" are both for the rest of "%"', other, activity.name, parent.name
                using errcode = 'check_violation', hint = format('Give one of them a %s.', parent.branch_by);
        end if;
    end if;
    if has_moved and activity.on_event = 'condition_not_met' and parent.condition is null then
        raise exception 'activity "%" waits for the condition of "%" not to be met, but that has none', activity.name, parent.name
            using errcode = 'check_violation', hint = (
                select format('update marketing_automation.activity set condition = ''…'' where name = %L and scenario_id = '
                    'marketing_automation.scenario_id(%L);', parent.name, s.name) from marketing_automation.scenario s where s.id = parent.scenario_id);
    end if;
end $$;
comment on function marketing_automation_internal.check_branch(marketing_automation.activity, marketing_automation.activity, boolean) is
    'API: private. Raises unless an activity may stand under its parent, as one of its alternatives or for when its condition is not met. '
    'has_moved: whether it did not stand there, for that, before';

create or replace function marketing_automation_internal.check_branching(was marketing_automation.activity, becomes marketing_automation.activity)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    parent marketing_automation.activity;
begin
    if was.id is not null and becomes.id is not null then
        if was.branch_by is distinct from becomes.branch_by and exists (
                select from marketing_automation.activity c where c.parent_id = becomes.id) then
            raise exception 'branch_by of activity "%" cannot change: others follow it', was.name
                using errcode = 'object_in_use', detail = 'What they may say depends on it.',
                    hint = 'Add another activity that branches, and others after it.';
        end if;
        if (was.share, was.condition is null) is not distinct from (becomes.share, becomes.condition is null) then
            return;
        end if;
    end if;
    select p.* into parent from marketing_automation.activity p where p.id = coalesce(becomes.parent_id, was.parent_id);
    if parent.branch_by = 'share' and coalesce(becomes.on_event, was.on_event) is null then
        -- Nobody passes meanwhile: whoever runs it holds it.
        perform from marketing_automation.activity p where p.id = parent.id for update;
    end if;
    if parent.branch_by = 'share' and coalesce(becomes.on_event, was.on_event) is null and exists (
            select from marketing_automation_internal.branch_decision d where d.parent_id = parent.id) then
        raise exception 'the shares of activity "%" cannot change: records have passed it', parent.name using errcode = 'object_in_use',
            detail = 'What comes after would be compared with what was chosen by other shares.',
            hint = 'Copy the scenario, or add another activity that branches, and set the condition of this one to false.';
    end if;
    if becomes.id is null and exists (
            select from marketing_automation_internal.branch_decision d where d.parent_id = parent.id and d.activity_id = was.id) then
        raise exception 'activity "%" was decided on for records and cannot be deleted', was.name
            using errcode = 'object_in_use', hint = 'Set its condition to false: nobody takes it from then on.';
    end if;
end $$;
comment on function marketing_automation_internal.check_branching(marketing_automation.activity, marketing_automation.activity) is
    'API: private. Raises if a change of an activity, null before it is made and after it is deleted, would change what was decided, or '
    'the shares by which it was';

create or replace function marketing_automation_internal.activity_shares() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent record;
begin
    select p.name, sum(c.share) as shares into parent
    from marketing_automation.activity p join marketing_automation.activity c on c.parent_id = p.id
    where p.id = new.parent_id group by p.id;
    if parent.shares > 100 then
        raise exception 'the shares of the activities after "%" are % per cent together', parent.name, trim_scale(parent.shares)
            using errcode = 'check_violation', hint = 'They may be 100 at most; one without a share takes what they leave.';
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.activity_shares() is
    'API: private. Trigger: the shares of siblings are 100 at most when a transaction commits; between two of its statements they may be '
    'more';

create or replace function marketing_automation_internal.branch_faults(of_scenario integer)
    returns table (severity text, activity_id integer, activity text, message text, hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select f.severity, p.id, p.name, f.message, f.hint
    from marketing_automation.activity p
    cross join lateral (
        select count(*) as number, coalesce(sum(a.share), 0) as shares, count(a.condition) as conditions,
            count(*) filter (where a.is_otherwise) as rest
        from marketing_automation_internal.alternatives(p.id) a) c
    cross join lateral (
        select 'warning' as severity, 'it branches, and nothing follows it' as message,
            format('select marketing_automation.add_activity(scenario, name, parent => %L, %s);', p.name,
                case p.branch_by when 'share' then 'share => 50' else 'condition => …' end) as hint
        where p.branch_by is not null and c.number = 0
        union all
        select 'hint', 'whoever meets no condition of what follows it goes no further', 'Add an activity without a condition for the rest.'
        where p.branch_by = 'condition' and c.conditions > 0 and c.rest = 0
        union all
        select 'hint', format('%s per cent of those who come to it go no further', trim_scale(100 - c.shares)),
            'Add an activity without a share for the rest.'
        where p.branch_by = 'share' and c.shares > 0 and c.shares < 100 and c.rest = 0
        union all
        select 'warning', 'an activity waits for its condition not to be met, and it has none', 'Give it a condition, or delete what waits.'
        where p.condition is null and exists (
            select from marketing_automation.activity n where n.parent_id = p.id and n.on_event = 'condition_not_met')) f
    where p.scenario_id = of_scenario
$$;
comment on function marketing_automation_internal.branch_faults(integer) is
    'API: private. What may be wrong with the branches of a scenario, as check_scenario() tells it';

-- functions/activities.sql
-- Activities and their translations: the rules of the tree, and what follows a change. Who may write them: guard.sql.

create or replace function marketing_automation_internal.activity_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent marketing_automation.activity;
    scenario marketing_automation.scenario;
    model marketing_automation.model;
begin
    if tg_op = 'DELETE' then
        -- Whoever writes rows that wait for it holds it, and this deletion comes after them; what comes after the deletion meets
        -- activity_gone().
        if exists (select from marketing_automation_internal.record r where r.scenario_id = old.scenario_id)
            and (exists (select from marketing_automation_internal.waiting_activity w where w.activity_id = old.id)
                 or exists (select from marketing_automation_internal.finished_activity f where f.activity_id = old.id)) then
            raise exception 'activity "%" waits or has run for records and cannot be deleted', old.name
                using errcode = 'object_in_use', detail = 'What waits for it would be lost, and its mails would lose their log.',
                      hint = 'Set its condition to false to skip it from now on.';
        end if;
        perform marketing_automation_internal.check_branching(old, null);
        return old;
    end if;
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    if tg_op = 'INSERT' then
        new.version := 1;
    end if;
    if tg_op = 'UPDATE' then
        if (new.id, new.scenario_id) <> (old.id, old.scenario_id) then
            raise exception 'activity "%" cannot move to another scenario', old.name using errcode = 'feature_not_supported';
        end if;
        -- One more at most, whoever writes it: the last number there is would keep everybody from changing the activity.
        new.version := case when new.version > old.version then old.version + 1 else old.version end
            + ((new.action, new.sender, new.subject, new.body, new.message_class)
                is distinct from (old.action, old.sender, old.subject, old.body, old.message_class))::integer;
    end if;
    perform marketing_automation_internal.check_value(new.on_event, array['email_opened', 'email_not_opened', 'email_clicked',
        'email_not_clicked', 'email_bounced', 'email_not_bounced', 'condition_not_met'], 'event', format('activity "%s"', new.name),
        'null: it simply follows its parent');
    perform marketing_automation_internal.check_value(new.action, array['send_email'], 'action', format('activity "%s"', new.name),
        'null: it only branches');
    if new.delay < interval '0' and (new.at is null or new.delay < interval '-10 years') or new.delay > interval '10 years' then
        raise exception 'delay of activity "%" is %', new.name, case when new.delay < interval '0' and new.at is null then 'negative'
            else 'longer than 10 years' end
            using errcode = 'check_violation', hint = 'A delay counts from the start of the activity; leave it null to run at once.';
    end if;
    if new.expires_after <= interval '0' or new.expires_after > interval '10 years' then
        raise exception 'expires_after of activity "%" is %', new.name,
                case when new.expires_after > interval '0' then 'longer than 10 years' else 'not positive' end
            using errcode = 'check_violation', hint = 'It counts from when the activity runs; leave it null if its mail is never too late.';
    end if;
    if new.on_event like 'email\_not\_%' and new.delay is null then
        raise exception 'activity "%" on % needs a delay', new.name, new.on_event
            using errcode = 'check_violation',
                hint = 'The delay says how long to wait for the event before concluding that it did not happen.';
    end if;
    if new.on_event is not null and new.parent_id is null then
        raise exception 'activity "%" waits for % but has no parent that could emit it', new.name, new.on_event
            using errcode = 'check_violation', hint = case new.on_event when 'condition_not_met' then 'Give it a parent that has a condition.'
                else 'Give it a parent that sends an e-mail, or no event.' end;
    end if;
    if new.action = 'send_email' and (new.subject is null or new.body is null) then
        raise exception 'activity "%" sends an e-mail but has no %', new.name, case when new.subject is null then 'subject' else 'body' end
            using errcode = 'check_violation', hint = 'Give it one; action => null is for what only branches.';
    end if;
    if tg_op = 'INSERT' or new.send_window is distinct from old.send_window then
        perform marketing_automation_internal.check_send_window(new.send_window, format('activity "%s"', new.name));
    end if;
    if tg_op = 'INSERT' or new.message_class is distinct from old.message_class then
        perform marketing_automation_internal.check_message_class(new.message_class, format('activity "%s"', new.name));
    end if;
    select s.* into scenario from marketing_automation.scenario s where s.id = new.scenario_id for key share;
    if not found then
        raise exception 'scenario % of activity "%" does not exist', new.scenario_id, new.name using errcode = 'foreign_key_violation';
    end if;
    if tg_op = 'UPDATE' and (new.parent_id, new.on_event, new.action) is distinct from (old.parent_id, old.on_event, old.action) then
        -- Nobody enters meanwhile; and two at once could close a circle that neither sees.
        perform marketing_automation_internal.lock_scenario_for_change(new.scenario_id);
        if exists (select from marketing_automation_internal.record r where r.scenario_id = new.scenario_id) then
            raise exception '% of activity "%" cannot change: records have entered scenario "%"',
                case when new.parent_id is distinct from old.parent_id then 'parent'
                     when new.on_event is distinct from old.on_event then 'event' else 'action' end, old.name, scenario.name
                using errcode = 'object_in_use', detail = 'Some may wait for it by the old rules, and would run by the new ones.',
                      hint = 'Add another activity, and delete this one or, if it waits or has run for records, set its condition to false.';
        end if;
    end if;
    if new.parent_id is not null then
        select a.* into parent from marketing_automation.activity a where a.id = new.parent_id for key share;
        if not found then
            raise exception 'parent % of activity "%" does not exist', new.parent_id, new.name using errcode = 'foreign_key_violation';
        end if;
        if parent.scenario_id <> new.scenario_id then
            raise exception 'parent "%" of activity "%" belongs to another scenario', parent.name, new.name
                using errcode = 'check_violation';
        end if;
        if new.on_event <> 'condition_not_met' and parent.action is distinct from 'send_email' then
            raise exception 'activity "%" waits for %, which its parent "%" cannot emit', new.name, new.on_event, parent.name
                using errcode = 'check_violation', hint = 'Only a parent whose action is send_email emits that event.';
        end if;
        if tg_op = 'UPDATE' and exists (
            with recursive ancestor as (
                select new.parent_id as id
                union
                select a.parent_id from marketing_automation.activity a join ancestor using (id) where a.parent_id is not null
            )
            select from ancestor where ancestor.id = new.id) then
            raise exception 'activity "%" cannot follow "%", which follows it: a tree has no cycles', new.name, parent.name
                using errcode = 'check_violation';
        end if;
    end if;
    if tg_op = 'UPDATE' and new.action is distinct from 'send_email' and exists (
        select from marketing_automation.activity c where c.parent_id = new.id and c.on_event <> 'condition_not_met') then
        raise exception 'activity "%" must send an e-mail: children wait for its events', new.name using errcode = 'check_violation';
    end if;
    perform marketing_automation_internal.check_branch(new, parent,
        tg_op = 'INSERT' or (new.parent_id, new.on_event) is distinct from (old.parent_id, old.on_event));
    if tg_op = 'UPDATE' or parent.branch_by is not null then
        perform marketing_automation_internal.check_branching(case when tg_op = 'UPDATE' then old end, new);
    end if;
    model := marketing_automation_internal.usable_model(scenario);
    perform marketing_automation_internal.check_date(scenario, model, new);
    if new.condition is not null then
        perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, new.condition,
            format('condition of activity "%s"', new.name));
    end if;
    -- Templates that have not changed may have lost a column since: their mails say so.
    if tg_op = 'INSERT' or (new.sender, new.subject, new.body) is distinct from (old.sender, old.subject, old.body) then
        perform marketing_automation_internal.check_templates(format('activity "%s"', new.name), new.sender, new.subject, new.body,
                                                     scenario.language, marketing_automation_internal.template_columns(model.relation));
    end if;
    if tg_op = 'INSERT' or new.sender is distinct from old.sender then
        perform marketing_automation_internal.check_sender(scenario, new.sender, format('activity "%s"', new.name));
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.activity_validate() is
    'API: private. The rules of the tree, conditions that are one boolean expression, templates that compile; keeps activities that '
    'have run';

create or replace function marketing_automation_internal.activity_cascade() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from marketing_automation.activity a where a.parent_id = old.id;
    delete from marketing_automation.activity_translation t where t.activity_id = old.id;
    delete from marketing_automation_internal.activity_counter t where t.activity_id = old.id;
    delete from marketing_automation_internal.outbox o where o.record_id is null and o.activity_id = old.id;
    return null;
end $$;
comment on function marketing_automation_internal.activity_cascade() is
    'API: private. Children, translations and queued tests of a deleted activity go with it';

create or replace function marketing_automation_internal.activity_gone() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- After those who write rows for it while it was being deleted: see lock_children(). No records, no such row.
    perform from marketing_automation.scenario_status s where s.scenario_id = old.scenario_id for update;
    delete from marketing_automation_internal.waiting_activity w where w.activity_id = old.id;
    delete from marketing_automation_internal.activity_counter t where t.activity_id = old.id;
    if found then
        -- Some of them were cancelled meanwhile.
        delete from marketing_automation_internal.finished_activity f where f.activity_id = old.id;
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.activity_gone() is
    'API: private. When a deletion commits: what began to wait for the activity after it was deleted goes with it';

create or replace trigger guard before insert or update or delete on marketing_automation.activity
    for each row execute function marketing_automation_internal.guard();

create or replace trigger validate before insert or update or delete on marketing_automation.activity
    for each row execute function marketing_automation_internal.activity_validate();

create or replace trigger cascade after delete on marketing_automation.activity
    for each row execute function marketing_automation_internal.activity_cascade();

create or replace trigger reclass after update of message_class on marketing_automation.activity
    for each row when (new.message_class is distinct from old.message_class)
    execute function marketing_automation_internal.activity_class_changed();

create or replace function marketing_automation_internal.activity_translation_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.is_restoring() then
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    if tg_op <> 'DELETE' then
        if new.language is null then
            raise exception 'a translation has no language' using errcode = 'not_null_violation',
                hint = 'language is a tag such as de or pt-BR.';
        end if;
        perform marketing_automation_internal.check_language(new.language, format('translation of activity %s', new.activity_id));
        perform from marketing_automation.activity a where a.id = new.activity_id for key share;
        if not found then
            raise exception 'activity % of translation does not exist', new.activity_id using errcode = 'foreign_key_violation';
        end if;
        perform marketing_automation_internal.check_templates(format('translation of activity "%s" to %s', a.name, new.language),
            new.sender, new.subject, new.body,
                                                     new.language, marketing_automation_internal.template_columns(m.relation))
        from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id
        left join marketing_automation.model m on m.name = s.model
        where a.id = new.activity_id;
        perform marketing_automation_internal.check_sender(s, new.sender, format('translation of activity "%s" to %s', a.name, new.language))
        from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
        where a.id = new.activity_id and (tg_op = 'INSERT' or new.sender is distinct from old.sender);
    end if;
    -- The mailer caches compiled templates by the activity's version.
    update marketing_automation.activity a set version = a.version + 1
    where a.id in (case when tg_op <> 'DELETE' then new.activity_id end, case when tg_op <> 'INSERT' then old.activity_id end);
    return case when tg_op = 'DELETE' then old else new end;
end $$;
comment on function marketing_automation_internal.activity_translation_validate() is
    'API: private. Templates of a translation compile; raises the activity''s version';

create or replace trigger guard before insert or update or delete on marketing_automation.activity_translation
    for each row execute function marketing_automation_internal.guard();

create or replace trigger validate before insert or update or delete on marketing_automation.activity_translation
    for each row execute function marketing_automation_internal.activity_translation_validate();

-- functions/sender_permission.sql
-- Which role may send as whom. It is looked at when a sender is written, and again by the claim: permissions and owners change.

create or replace function marketing_automation_internal.sender_address(sender text) returns text
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    -- What follows the last < is written out, whatever the name before it becomes. Statements and comments could leave it out.
    select trim(case
        when sender !~ '[{}<>]' then sender
        when sender !~ '\{[%#]' then substring(sender from '<([^<>{}]*)>\s*$') end)
$$;
comment on function marketing_automation_internal.sender_address(text) is
    'API: private. The address that mails with this template as sender have; null: it depends on the row';

create or replace function marketing_automation_internal.may_send_as(owner_id oid, sender text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select r.rolsuper from pg_roles r where r.oid = owner_id), false) or exists (
        select from marketing_automation.sender_permission p
        where p.sender in (lower(marketing_automation_internal.sender_address(may_send_as.sender)),
                marketing_automation_internal.address_domain(marketing_automation_internal.sender_address(may_send_as.sender)))
          and coalesce(pg_has_role(owner_id, p.role_id, 'MEMBER'), false))
$$;
comment on function marketing_automation_internal.may_send_as(oid, text) is
    'API: private. Whether sender_permission lets scenarios of this owner send as this sender, once it has a row';

create or replace function marketing_automation_internal.check_sender(scenario marketing_automation.scenario, sender text, whose text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    address text := marketing_automation_internal.sender_address(sender);
begin
    if sender is null or not exists (select from marketing_automation.sender_permission)
        or marketing_automation_internal.may_send_as(scenario.owner_id, sender) then
        return;
    end if;
    if address is null then
        raise exception 'the address of the sender of % depends on the row', whose
            using errcode = 'insufficient_privilege', detail = 'Who may send as whom is ruled by sender_permission, which cannot be asked then.',
                  hint = 'Write the address out, behind a name that may be a template: {{ record.shop }} <shop@example.com>.';
    end if;
    raise exception 'role "%" may not send as "%"', scenario.owner, address
        using errcode = 'insufficient_privilege',
              detail = coalesce('It may send as ' || (
                  select string_agg(distinct p.sender, ', ') from marketing_automation.sender_permission p
                  where coalesce(pg_has_role(scenario.owner_id, p.role_id, 'MEMBER'), false)) || '.', 'It may send as nobody.'),
              hint = format('insert into marketing_automation.sender_permission (role, sender) values (%L, %L);', scenario.owner, address);
end $$;
comment on function marketing_automation_internal.check_sender(marketing_automation.scenario, text, text) is
    'API: private. Raises unless the scenario''s owner may send as this sender; null: as marketing_automation.email_from, which all may';

create or replace view marketing_automation_internal.barred_activity as
select a.id as activity_id, a.name, s.name as scenario, s.state, s.owner, min(x.sender) as sender
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id
cross join lateral (
    select a.sender union all select t.sender from marketing_automation.activity_translation t where t.activity_id = a.id) x
where (select exists (select from marketing_automation.sender_permission)) and a.action = 'send_email' and x.sender is not null
  and not marketing_automation_internal.may_send_as(s.owner_id, x.sender)
group by a.id, s.id;
comment on view marketing_automation_internal.barred_activity is
    'API: private. Activities whose sender, in some language, their scenario''s owner may not send as: their mails wait';

create or replace function marketing_automation_internal.sender_permission_role() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.role_id := coalesce((select r.oid from pg_roles r where r.rolname = new.role), 0::oid);
    if new.role_id = 0 and marketing_automation_internal.is_restoring() then
        raise warning 'role "%" does not exist, which may send as "%"', new.role, new.sender
            using hint = format('Create it, and then: update marketing_automation.sender_permission set role = role where role = %L;', new.role);
    elsif new.role_id = 0 then
        raise exception 'role "%" does not exist', new.role using errcode = 'undefined_object';
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.sender_permission_role() is
    'API: private. Trigger: remembers which role the name means when it is written; renamed later, it keeps its permission';

create or replace trigger role before insert or update of role, role_id on marketing_automation.sender_permission
    for each row execute function marketing_automation_internal.sender_permission_role();

create or replace function marketing_automation_internal.sender_permission_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    if new.sender like '%@%' then
        perform marketing_automation_internal.check_address(new.sender);
        new.sender := lower(trim(new.sender));
    else
        new.sender := marketing_automation_internal.address_domain('@' || new.sender);
        if new.sender is null then
            raise exception 'a sender is an address or a domain' using errcode = 'check_violation',
                hint = 'Write anna@shop.example, or shop.example for each address in it.';
        end if;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.sender_permission_validate() is
    'API: private. The sender is spelt as senders are compared';

create or replace trigger validate before insert or update of sender on marketing_automation.sender_permission
    for each row execute function marketing_automation_internal.sender_permission_validate();

create or replace function marketing_automation_internal.sender_permission_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    barred record;
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    for barred in
        select b.* from marketing_automation_internal.barred_activity b where b.state = 'running' order by b.scenario, b.name
    loop
        raise warning 'mails of activity "%" of scenario "%" wait: role "%" may not send as "%"', barred.name, barred.scenario, barred.owner,
            barred.sender
            using hint = format('insert into marketing_automation.sender_permission (role, sender) values (%L, %L);', barred.owner,
                coalesce(marketing_automation_internal.sender_address(barred.sender), '…'));
    end loop;
    -- What is claimed is looked at again, and what waited may leave.
    perform marketing_automation_internal.revoke_claims_of('all', '');
    perform marketing_automation_internal.notify_mailer();
    return null;
end $$;
comment on function marketing_automation_internal.sender_permission_changed() is
    'API: private. Trigger: says which running scenarios may not send any more; the mailer looks again';

create or replace trigger changed after insert or update or delete on marketing_automation.sender_permission
    for each statement execute function marketing_automation_internal.sender_permission_changed();

-- functions/snippets.sql
-- Snippets: what is written is checked together with what uses it.

create or replace function marketing_automation_internal.template_columns(relation regclass) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_object_agg(a.attname, case when t.typtype = 'c' then (
               select jsonb_object_agg(b.attname, null) from pg_attribute b
               where b.attrelid = t.typrelid and b.attnum > 0 and not b.attisdropped) end)
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
$$;
comment on function marketing_automation_internal.template_columns(regclass) is
    'API: private. The names that templates find in a row of the relation: its columns, and the attributes of those that are '
    'composite; null when it does not exist';

create or replace function marketing_automation_internal.template_user() returns table (
    activity_id integer, what text, language text, sender text, subject text, body text, relation regclass)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select a.id, format('activity "%s" of scenario "%s"', a.name, s.name), s.language, a.sender, a.subject, a.body, m.relation
    from marketing_automation.activity a
    join marketing_automation.scenario s on s.id = a.scenario_id
    left join marketing_automation.model m on m.name = s.model
    union all
    select a.id, format('translation of activity "%s" of scenario "%s" to %s', a.name, s.name, t.language), t.language, t.sender, t.subject,
        t.body, m.relation
    from marketing_automation.activity_translation t
    join marketing_automation.activity a on a.id = t.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    left join marketing_automation.model m on m.name = s.model
$$;
comment on function marketing_automation_internal.template_user() is 'API: private. All that may use snippets';

create or replace function marketing_automation_internal.snippet_number() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring() then
        new.version := nextval('marketing_automation.snippet_version_seq');
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.snippet_number() is 'API: private. Gives each change of a snippet a number of its own';

create or replace function marketing_automation_internal.snippet_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    names text[] := array_remove(array[case when tg_op <> 'INSERT' then old.name end, case when tg_op <> 'DELETE' then new.name end], null);
    faults text;
begin
    if marketing_automation_internal.is_restoring() or marketing_automation_internal.only_renames_owner(to_jsonb(old), to_jsonb(new)) then
        return null;
    end if;
    if tg_op <> 'DELETE' then
        perform marketing_automation_internal.check_snippet(new.name, new.language);
    end if;
    -- After the change, so that what is seen is what will be used.
    select string_agg(format('%s: %s', u.what, u.fault), E'\n' order by u.what) into faults
    from (
        select t.what, marketing_automation_internal.snippet_fault(t.sender, t.subject, t.body, t.language,
            marketing_automation_internal.template_columns(t.relation)) as fault
        from marketing_automation_internal.template_user() t
        where marketing_automation_internal.used_snippets(t.sender, t.subject, t.body) && names
        union all
        select distinct format('snippet "%s"', s.name), marketing_automation_internal.snippet_fault(null, null, s.body, s.language, null)
        from marketing_automation.snippet s
        where marketing_automation_internal.used_snippets(null, null, s.body) && names) u
    where u.fault is not null;
    if faults is not null and tg_op = 'INSERT' then
        raise exception 'snippet "%" does not fit what uses it', new.name using errcode = 'object_in_use', detail = faults;
    elsif faults is not null then
        raise exception 'snippet "%" is in use', old.name
            using errcode = 'object_in_use', detail = faults, hint = 'Change the templates that use it first.';
    end if;
    perform marketing_automation_internal.complete_contexts(array(
        select distinct t.activity_id from marketing_automation_internal.template_user() t
        where marketing_automation_internal.used_snippets(t.sender, t.subject, t.body) && names));
    return null;
end $$;
comment on function marketing_automation_internal.snippet_validate() is
    'API: private. A snippet compiles, uses what exists and not itself, and what uses it still works';

create or replace trigger choose_owner before insert or update of owner, owner_id on marketing_automation.snippet
    for each row execute function marketing_automation_internal.choose_owner();

create or replace trigger guard before insert or update or delete on marketing_automation.snippet
    for each row execute function marketing_automation_internal.guard();

create or replace trigger lock_name before insert or update of name, owner on marketing_automation.snippet
    for each row execute function marketing_automation_internal.lock_name();

create or replace trigger share_owner after update of owner on marketing_automation.snippet
    for each row execute function marketing_automation_internal.share_owner();

create or replace trigger number before insert or update on marketing_automation.snippet
    for each row execute function marketing_automation_internal.snippet_number();

create or replace trigger validate after insert or update or delete on marketing_automation.snippet
    for each row execute function marketing_automation_internal.snippet_validate();

-- functions/pages.sql
-- Pages of the shop's own around unsubscribing.

create or replace function marketing_automation_internal.page_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring()
        and not marketing_automation_internal.only_renames_owner(to_jsonb(old), to_jsonb(new)) then
        perform marketing_automation_internal.check_page(format('page "%s"', concat_ws(' ', new.name, nullif(new.language, ''))),
            new.body, new.name <> 'resubscribed');
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.page_validate() is
    'API: private. The template compiles, and shows the form without which nobody could unsubscribe';

create or replace trigger choose_owner before insert or update of owner, owner_id on marketing_automation.page
    for each row execute function marketing_automation_internal.choose_owner();

create or replace trigger guard before insert or update or delete on marketing_automation.page
    for each row execute function marketing_automation_internal.guard();

create or replace trigger lock_name before insert or update of name, owner on marketing_automation.page
    for each row execute function marketing_automation_internal.lock_name();

create or replace trigger share_owner after update of owner on marketing_automation.page
    for each row execute function marketing_automation_internal.share_owner();

create or replace trigger choose_owner before insert or update of owner, owner_id on marketing_automation.page_text
    for each row execute function marketing_automation_internal.choose_owner();

create or replace trigger guard before insert or update or delete on marketing_automation.page_text
    for each row execute function marketing_automation_internal.guard();

create or replace trigger lock_name before insert or update of name, owner on marketing_automation.page_text
    for each row execute function marketing_automation_internal.lock_name();

create or replace trigger share_owner after update of owner on marketing_automation.page_text
    for each row execute function marketing_automation_internal.share_owner();

create or replace trigger validate before insert or update on marketing_automation.page
    for each row execute function marketing_automation_internal.page_validate();

create or replace function marketing_automation.page_sources() returns table (is_template boolean, name text, language text, source text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select true, p.name, p.language, p.body from marketing_automation.page p
    union all
    select false, t.name, t.language, t.text from marketing_automation.page_text t
$$;
comment on function marketing_automation.page_sources() is 'API: proxy. Pages and texts that replace the built-in ones';

-- functions/counters.sql
-- Adding up the counters: see tables/counters.sql.

create or replace function marketing_automation_internal.counter_sums(period timestamptz, rolled_up boolean) returns setof timestamptz
language sql immutable parallel safe
begin atomic
    -- What is rolled up is in the total already, and the total in itself.
    select unnest(case when rolled_up then array[period] else array[period, '-infinity'] end);
end;
comment on function marketing_automation_internal.counter_sums(timestamptz, boolean) is
    'API: private. To which sums roll_up_counters() adds a row: a new one to that of its period and to the total';

create or replace function marketing_automation_internal.roll_up_counters(threshold integer default 100) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    -- Rows that another session merges are left to it: each row is added to exactly one sum, and nobody waits.
    if exists (select from marketing_automation_internal.activity_counter t where not t.rolled_up offset threshold - 1) then
        with fresh as materialized (
            select t.ctid, t.activity_id, t.period from marketing_automation_internal.activity_counter t
                where not t.rolled_up for update skip locked
        ), earlier as materialized (
            select t.ctid
            from (select f.activity_id, f.period from fresh f union select f.activity_id, '-infinity' from fresh f) k
            join marketing_automation_internal.activity_counter t on t.activity_id = k.activity_id and t.period = k.period
            where t.rolled_up for update of t skip locked
        ), taken as (
            delete from marketing_automation_internal.activity_counter t
            where t.ctid = any (array(select f.ctid from fresh f union all select e.ctid from earlier e))
            returning t.*
        )
        insert into marketing_automation_internal.activity_counter
            (activity_id, period, done, cancelled, failed, mailed, sent, not_sent, opened, clicked, robot_opens, robot_clicks, rolled_up,
             skipped)
        select t.activity_id, p.period, sum(t.done), sum(t.cancelled), sum(t.failed), sum(t.mailed), sum(t.sent), sum(t.not_sent),
               sum(t.opened), sum(t.clicked), sum(t.robot_opens), sum(t.robot_clicks), true, sum(t.skipped)
        from taken t cross join lateral marketing_automation_internal.counter_sums(t.period,
            t.rolled_up) p (period) group by t.activity_id, p.period;
    end if;
    if exists (select from marketing_automation_internal.scenario_counter t where not t.rolled_up offset threshold - 1) then
        with fresh as materialized (
            select t.ctid, t.scenario_id, t.period from marketing_automation_internal.scenario_counter t
                where not t.rolled_up for update skip locked
        ), earlier as materialized (
            select t.ctid
            from (select f.scenario_id, f.period from fresh f union select f.scenario_id, '-infinity' from fresh f) k
            join marketing_automation_internal.scenario_counter t on t.scenario_id = k.scenario_id and t.period = k.period
            where t.rolled_up for update of t skip locked
        ), taken as (
            delete from marketing_automation_internal.scenario_counter t
            where t.ctid = any (array(select f.ctid from fresh f union all select e.ctid from earlier e))
            returning t.*
        )
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, records, blocked, rolled_up)
        select t.scenario_id, p.period, sum(t.records), sum(t.blocked), true
        from taken t cross join lateral marketing_automation_internal.counter_sums(t.period,
            t.rolled_up) p (period) group by t.scenario_id, p.period;
    end if;
end $$;
comment on function marketing_automation_internal.roll_up_counters(integer) is
    'API: private. Adds up the rows of each period, and of all, once there are as many new ones as the threshold. Changes no sum';

-- functions/anniversary.sql
-- Anniversaries, for dates of the row: birthdays, contracts, first orders.

create or replace function marketing_automation.anniversary(day date, zone text default null, at_time time default '00:00',
    lasts interval default '1 day') returns timestamptz
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    its_zone text := marketing_automation_internal.usable_time_zone(zone);
    local timestamp := timezone(its_zone, marketing_automation.assumed_now());
    candidate date;
begin
    if lasts is null or lasts <= interval '0' or lasts > interval '300 days' then
        raise exception 'an anniversary cannot last %', coalesce(lasts::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'lasts is longer than 0 and at most 300 days; leave it away for the day itself.';
    end if;
    if day is null or at_time is null or not isfinite(day) then
        return null;
    end if;
    -- The day itself is none, and of 29 February it is 28 February where there is no other, as with day + interval '1 year'.
    for year in greatest(extract(year from local - lasts)::integer, extract(year from day)::integer + 1)
            .. greatest(extract(year from local)::integer, extract(year from day)::integer) + 1 loop
        candidate := day + make_interval(years => year - extract(year from day)::integer);
        if candidate + lasts > local then
            return marketing_automation_internal.first_moment(candidate + at_time, its_zone);
        end if;
    end loop;
    return null;
end $$;
comment on function marketing_automation.anniversary(date, text, time, interval) is
    'API: public. The next anniversary of a day after assumed_now(), in a time zone (null or unknown: that of the database), at a time of day. '
    'It is the next one until lasts (1 day: the day itself) has passed since its day began, so that who is late on it is not a year too '
    'early. Of 29 February it is 28 February in a year without. Null for a null or infinite day. For at of an activity, and occasion';

-- functions/define.sql
-- Verbs to define campaigns with. The tables may be written directly too: the same rules hold.

create or replace function marketing_automation.register_model(
    name text, relation regclass, key text, party text default null, email text default null,
    recipient_name text default null, language text default null, time_zone text default null,
    track_opens text default null, track_clicks text default null
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_owner name := (select m.owner from marketing_automation.model m
        where m.name = register_model.name and not pg_has_role(m.owner_id, 'MEMBER'));
begin
    -- Row security would say the same, and not whose it is.
    if its_owner is not null then
        raise exception 'must be a member of role % to write model "%"', its_owner, name
            using errcode = 'insufficient_privilege',
                  hint = 'Expressions run with the rights of the owner, so only members of that role may change them.';
    end if;
    insert into marketing_automation.model as m
        (name, relation, key, key_type, party, email, recipient_name, language, time_zone, track_opens, track_clicks)
    values (name, relation, key, 'text', party, email, recipient_name, language, time_zone, track_opens, track_clicks)
    on conflict on constraint model_pkey do update
    set relation = excluded.relation, key = excluded.key, party = excluded.party, email = excluded.email,
        recipient_name = excluded.recipient_name, language = excluded.language, time_zone = excluded.time_zone,
        track_opens = excluded.track_opens, track_clicks = excluded.track_clicks;
end $$;
comment on function marketing_automation.register_model(text, regclass, text, text, text, text, text, text, text, text) is
    'API: public. Makes the rows of a relation a record type, or redefines it. All but name and relation are SQL expressions over '
    'the alias self; track_opens and track_clicks boolean ones, null: yes';

create or replace function marketing_automation.create_scenario(
    name text, model text, domain text default 'true', unsubscribable boolean default false, language text default 'en',
    goal text default null, goal_ends_journey boolean default false,
    track_opens boolean default true, track_clicks boolean default true, title text default null,
    exit_condition text default null, goal_window interval default '30 days', goal_at text default null, goal_value text default null,
    send_window text default null, holdout numeric default 0, topic text default null, message_class text default 'marketing',
    reenter_after interval default null, occasion text default null, replace boolean default false
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    its_id integer;
begin
    if replace then
        begin
            its_id := marketing_automation.scenario_id(name);
        exception when undefined_object then
            null;
        end;
    end if;
    if its_id is not null then
        -- Who sees only its numbers does not see its row.
        if not exists (select from marketing_automation.scenario s where s.id = its_id) then
            raise exception 'must be a member of the owner of scenario "%"', name using errcode = 'insufficient_privilege';
        end if;
        perform from marketing_automation.import_scenario(jsonb_build_object('format', 1, 'activities', '[]'::jsonb, 'scenario',
            jsonb_build_object('name', name, 'title', title, 'model', model, 'domain', domain, 'unsubscribable', unsubscribable,
                'language', language, 'goal', goal, 'goal_ends_journey', goal_ends_journey, 'track_opens', track_opens,
                'track_clicks', track_clicks, 'exit_condition', exit_condition, 'goal_window', goal_window, 'goal_at', goal_at,
                'goal_value', goal_value, 'send_window', send_window, 'holdout', holdout, 'topic', topic, 'message_class', message_class,
                'reenter_after', reenter_after, 'occasion', occasion)));
        return its_id;
    end if;
    insert into marketing_automation.scenario as s
        (name, title, model, domain, unsubscribable, language, goal, goal_ends_journey, track_opens, track_clicks, exit_condition,
        goal_window, goal_at, goal_value, send_window, holdout, topic, message_class, reenter_after, occasion)
    values (create_scenario.name, create_scenario.title, create_scenario.model, create_scenario.domain, create_scenario.unsubscribable,
        create_scenario.language, create_scenario.goal, create_scenario.goal_ends_journey, create_scenario.track_opens,
        create_scenario.track_clicks, create_scenario.exit_condition, create_scenario.goal_window, create_scenario.goal_at,
        create_scenario.goal_value, create_scenario.send_window, create_scenario.holdout, create_scenario.topic,
        create_scenario.message_class, create_scenario.reenter_after, create_scenario.occasion)
    on conflict on constraint scenario_name_key do nothing
    returning s.id into its_id;
    if its_id is null then
        raise exception 'scenario "%" exists', name
            using errcode = 'unique_violation',
                  hint = format('Change it: update marketing_automation.scenario set domain = %L where name = %L;', domain, name);
    end if;
    return its_id;
end $$;
comment on function marketing_automation.create_scenario(text, text, text, boolean, text, text, boolean, boolean, boolean, text, text,
    interval, text, text, text, numeric, text, text, interval, text, boolean) is
    'API: public. Creates a draft scenario owned by the current user and returns its id. domain, goal, exit_condition: SQL boolean expressions '
    'over self; goal_at, goal_value: when the goal was reached, and what that is worth, within goal_window of entering; language: the one that its '
    'activities are written in; track_opens, track_clicks: whether they are recorded; title: what recipients know its mails as, on the page '
    'where they unsubscribe; send_window: when its mails may leave; holdout: per cent of the people who enter and get no mail, to compare with; '
    'topic: what its mails are about, which people choose; message_class: what kind they are; reenter_after: how long after its journey has ended a '
    'row enters again; occasion: SQL expression over self for what it enters, once for each; replace: one of that name becomes what these '
    'arguments say, defaults included, and keeps its state, owner and activities; what its records forbid to change is an error';

-- Dumps of 0.1.0 name this signature where they grant it. Its parameters have neither names nor defaults, so that calls by name, and
-- those that leave something away, mean the one above.
create or replace function marketing_automation.create_scenario(text, text, text, boolean, text, text, boolean, boolean, boolean) returns integer
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation.create_scenario($1, $2, $3, $4, $5, $6, $7, $8, $9, null)
$$;
comment on function marketing_automation.create_scenario(text, text, text, boolean, text, text, boolean, boolean, boolean) is
    'API: public. The signature of 0.1.0, for the grants in its dumps; call the one with more';

create or replace function marketing_automation_internal.scenario_named(name text) returns marketing_automation.scenario
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation.scenario;
begin
    select s.* into result from marketing_automation.scenario s where s.name = scenario_named.name;
    if not found then
        raise exception 'scenario "%" does not exist', name
            using errcode = 'undefined_object', hint = 'See: select name from marketing_automation.scenario;';
    end if;
    return result;
end $$;
comment on function marketing_automation_internal.scenario_named(text) is 'API: private. The scenario of that name, or an error';

create or replace function marketing_automation_internal.scenario_id(caller regrole, name text)
    returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select (marketing_automation_internal.scenario_for(caller, scenario_id.name, 'count')).id
$$;
comment on function marketing_automation_internal.scenario_id(regrole, text) is 'API: private. Behind scenario_id()';

create or replace function marketing_automation.scenario_id(name text)
    returns integer
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.scenario_id(text) is 'API: public. The id of the scenario of that name, or an error';

create or replace function marketing_automation_internal.usable_model(scenario marketing_automation.scenario) returns marketing_automation.model
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation.model;
begin
    select m.* into result from marketing_automation.model m where m.name = scenario.model;
    if not found then
        raise exception 'model "%" of scenario "%" does not exist', scenario.model, scenario.name
            using errcode = 'undefined_object',
                  detail = (select 'Models are ' || string_agg(quote_ident(m.name), ', ' order by m.name) || '.'
                      from marketing_automation.model m),
                  hint = 'Register a table or view with marketing_automation.register_model().';
    end if;
    if not exists (select from pg_class c where c.oid = result.relation) then
        raise exception 'relation of model "%" does not exist any more', result.name
            using errcode = 'undefined_table', hint = 'Register the model again with register_model(), on another relation.';
    end if;
    -- Its expressions run with the rights of the scenario's owner, so whoever writes them must have those rights already.
    if not exists (select from pg_roles r where r.oid = scenario.owner_id) then
        raise exception 'role "%", the owner of scenario "%", does not exist', scenario.owner, scenario.name
            using errcode = 'undefined_object', detail = 'A role that was made since is another one, whatever its name.',
                  hint = format('update marketing_automation.scenario set owner = ''role'' where name = %L;', scenario.name);
    end if;
    if not exists (select from pg_roles r where r.oid = result.owner_id) then
        raise exception 'role "%", the owner of model "%", does not exist', result.owner, result.name
            using errcode = 'undefined_object', detail = 'A role that was made since is another one, whatever its name.',
                  hint = format('update marketing_automation.model set owner = ''role'' where name = %L;', result.name);
    end if;
    if not pg_has_role(result.owner_id, scenario.owner_id, 'MEMBER') then
        raise exception 'model "%" belongs to %, who is no member of %, the owner of scenario "%"', result.name, result.owner,
            scenario.owner, scenario.name
            using errcode = 'insufficient_privilege',
                  hint = 'Let the owner of the scenario, or a superuser, register a model of its own.';
    end if;
    return result;
end $$;
comment on function marketing_automation_internal.usable_model(marketing_automation.scenario) is
    'API: private. The model of a scenario, or an error if it does not exist, its relation was dropped, or its owner may not write '
    'expressions that run as the scenario''s owner';

create or replace function marketing_automation_internal.check_goal_parts(scenario marketing_automation.scenario, model marketing_automation.model)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_type regtype;
begin
    if scenario.goal_at is not null then
        its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, scenario.goal_at,
            format('goal_at of scenario "%s"', scenario.name));
        if its_type not in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) then
            raise exception 'goal_at of scenario "%" is %, not a time', scenario.name, its_type
                using errcode = 'datatype_mismatch', hint = 'Write an expression of type timestamptz.';
        end if;
    end if;
    if scenario.goal_value is not null then
        its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, scenario.goal_value,
            format('goal_value of scenario "%s"', scenario.name));
        if (select t.typcategory from pg_type t where t.oid = its_type) <> 'N' or its_type in ('oid'::regtype, 'regclass'::regtype) then
            raise exception 'goal_value of scenario "%" is %, not a number', scenario.name, its_type
                using errcode = 'datatype_mismatch', hint = 'Write an expression of type numeric.';
        end if;
    end if;
end $$;
comment on function marketing_automation_internal.check_goal_parts(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Raises unless goal_at and goal_value of a scenario plan, and are a time and a number';

create or replace function marketing_automation_internal.check_occasion(scenario marketing_automation.scenario, model marketing_automation.model)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_type regtype;
begin
    if scenario.occasion is null then
        return;
    end if;
    its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, scenario.occasion,
        format('occasion of scenario "%s"', scenario.name));
    if its_type = 'timestamptz'::regtype then
        raise exception 'occasion of scenario "%" is timestamp with time zone, whose text depends on the time zone of the database', scenario.name
            using errcode = 'datatype_mismatch', detail = 'Another time zone would make other occasions of all, and rows would enter again.',
                  hint = format('Write timezone(''UTC'', %s), or the date or year that is meant.', scenario.occasion);
    end if;
end $$;
comment on function marketing_automation_internal.check_occasion(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Raises unless the occasion of a scenario plans, and is the same text whatever the settings of the database';

create or replace function marketing_automation_internal.check_definition(scenario marketing_automation.scenario, only_of integer default null)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
begin
    perform marketing_automation_internal.check_expression(scenario.owner_id, model.relation, p.expression, p.what)
    from marketing_automation_internal.model_parts(model) p where not p.is_condition;
    perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, p.expression, p.what)
    from marketing_automation_internal.model_parts(model) p where p.is_condition;
    if only_of is null then
        perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, scenario.domain,
            format('domain of scenario "%s"', scenario.name));
    end if;
    if scenario.goal is not null then
        perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, scenario.goal,
            format('goal of scenario "%s"', scenario.name));
    end if;
    perform marketing_automation_internal.check_goal_parts(scenario, model);
    perform marketing_automation_internal.check_occasion(scenario, model);
    if scenario.exit_condition is not null then
        perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, scenario.exit_condition,
            format('exit condition of scenario "%s"', scenario.name));
    end if;
    perform marketing_automation_internal.check_condition(scenario.owner_id, model.relation, a.condition,
        format('condition of activity "%s"', a.name))
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.condition is not null
              -- What is asked of its children when it branches, it needs too.
              and (only_of is null or a.id = only_of or a.on_event is null and a.parent_id = (
                  select p.id from marketing_automation.activity p where p.id = only_of and p.branch_by is not null))
          order by a.parent_id nulls first, a.id) a;
    perform marketing_automation_internal.check_date(scenario, model, a)
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.at is not null
              and a.id = coalesce(only_of, a.id) order by a.parent_id nulls first, a.id) a;
    perform marketing_automation_internal.check_mail_columns(scenario, a.id)
    from (select a.* from marketing_automation.activity a
          where a.scenario_id = scenario.id and a.action = 'send_email'
              and a.id = coalesce(only_of, a.id) order by a.parent_id nulls first, a.id) a;
end $$;
comment on function marketing_automation_internal.check_definition(marketing_automation.scenario, integer) is
    'API: private. Raises what is wrong with any expression of a scenario, or with those that one activity needs, with its name as '
    'context';

create or replace function marketing_automation_internal.definition_error(scenario marketing_automation.scenario, only_of integer default null)
    returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    message text;
    what text;
begin
    perform marketing_automation_internal.check_definition(scenario, only_of);
    return null;
exception when others then
    get stacked diagnostics message = message_text, what = pg_exception_context;
    what := split_part(what, E'\n', 1);
    return case when what ~ '^(\w+ )+of (model|scenario|activity) "' then what || ': ' || message else message end;
end $$;
comment on function marketing_automation_internal.definition_error(marketing_automation.scenario, integer) is
    'API: private. What is wrong with the first broken expression of a scenario, or of those that one activity needs, by name; null: '
    'all of them plan';

create or replace function marketing_automation_internal.named_error(scenario marketing_automation.scenario, code text, message text,
    only_of integer default null) returns text
language sql set search_path = pg_catalog, pg_temp as $$
    select coalesce(case when marketing_automation_internal.is_broken_definition(code)
        then marketing_automation_internal.definition_error(scenario, only_of) end, message)
$$;
comment on function marketing_automation_internal.named_error(marketing_automation.scenario, text, text, integer) is
    'API: private. The error that an expression of a scenario has met, or, where it does not fit its relation any more, what is wrong with '
    'which: see definition_error()';

create or replace function marketing_automation.add_activity(
    scenario text, name text, parent text default null, on_event text default null, condition text default null,
    delay interval default null, action text default 'send_email', sender text default null, subject text default null,
        body text default null,
    expires_after interval default null, at_time time default null, send_window text default null, message_class text default null,
    branch_by text default null, share numeric default null, at text default null, replace boolean default false
) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    its_scenario integer := marketing_automation.scenario_id(scenario);
    its_parent integer;
    its_id integer;
begin
    if parent is not null then
        select a.id into its_parent from marketing_automation.activity a where a.scenario_id = its_scenario and a.name = parent;
        if not found then
            raise exception 'activity "%" does not exist in scenario "%"', parent, scenario
                using errcode = 'undefined_object', hint = 'Add the parent first.';
        end if;
    end if;
    if replace and exists (select from marketing_automation.activity a where a.scenario_id = its_scenario and a.name = add_activity.name) then
        perform from marketing_automation.import_scenario(jsonb_build_object('format', 1, 'scenario', (
                select jsonb_build_object('name', s.name, 'model', s.model) from marketing_automation.scenario s where s.id = its_scenario),
            'activities', jsonb_build_array(jsonb_build_object('name', name, 'parent', parent, 'on_event', on_event, 'condition', condition,
                'delay', delay, 'action', action, 'sender', sender, 'subject', subject, 'body', body, 'expires_after', expires_after,
                'at_time', at_time, 'send_window', send_window, 'message_class', message_class,
                'branch_by', branch_by, 'share', share, 'at', at))));
        return (select a.id from marketing_automation.activity a where a.scenario_id = its_scenario and a.name = add_activity.name);
    end if;
    insert into marketing_automation.activity (scenario_id, name, parent_id, on_event, condition, delay, action, sender, subject, body,
        expires_after, at_time, send_window, message_class, branch_by, share, at)
    values (its_scenario, add_activity.name, its_parent, add_activity.on_event, add_activity.condition, add_activity.delay,
            add_activity.action, add_activity.sender, add_activity.subject, add_activity.body,
            add_activity.expires_after, add_activity.at_time, add_activity.send_window, add_activity.message_class,
            add_activity.branch_by, add_activity.share, add_activity.at)
    on conflict on constraint activity_scenario_id_name_key do nothing
    returning id into its_id;
    if its_id is null then
        raise exception 'activity "%" exists in scenario "%"', name, scenario
            using errcode = 'unique_violation',
                  hint = format('Change it: update marketing_automation.activity set subject = %L where name = %L '
                      'and scenario_id = marketing_automation.scenario_id(%L);', subject, name, scenario);
    end if;
    return its_id;
end $$;
comment on function marketing_automation.add_activity(text, text, text, text, text, interval, text, text, text, text, interval, time,
    text, text, text, numeric, text, boolean) is
    'API: public. Adds an activity to a scenario''s tree and returns its id. parent: name of the activity that it follows; at_time: the time '
    'of day at which it runs; send_window, message_class: when its mails may leave, and their class, null: as those of the scenario; '
    'branch_by: of its children each record takes one, by condition or by share; share: its per cent, after one that branches by share; '
    'at: SQL expression over self, timestamptz, the date from which delay counts; replace: one of that name '
    'becomes what these arguments say, defaults included, and keeps its translations; what its records forbid to change is an error';

-- As that of create_scenario().
create or replace function marketing_automation.add_activity(text, text, text, text, text, interval, text, text, text, text, interval) returns integer
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation.add_activity($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, null)
$$;
comment on function marketing_automation.add_activity(text, text, text, text, text, interval, text, text, text, text, interval) is
    'API: public. The signature of 0.1.0, for the grants in its dumps; call the one with a time of day';

create or replace function marketing_automation.run(scenario text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id integer := marketing_automation.scenario_id(scenario);
begin
    update marketing_automation.scenario s set state = 'running' where s.id = its_id;
    -- Who sees only its numbers does not see its row.
    if not found then
        raise exception 'must be a member of the owner of scenario "%"', scenario using errcode = 'insufficient_privilege';
    end if;
end $$;
comment on function marketing_automation.run(text) is 'API: public. Starts a draft scenario: from now on it enrolls, processes and mails';

create or replace function marketing_automation.stop(scenario text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id integer := marketing_automation.scenario_id(scenario);
begin
    update marketing_automation.scenario s set state = 'stopped' where s.id = its_id;
    -- Who sees only its numbers does not see its row.
    if not found then
        raise exception 'must be a member of the owner of scenario "%"', scenario using errcode = 'insufficient_privilege';
    end if;
end $$;
comment on function marketing_automation.stop(text) is
    'API: public. Stops a running scenario: nobody enters, its waiting activities and queued mails are kept and do not run';

create or replace function marketing_automation.draft(scenario text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id integer := marketing_automation.scenario_id(scenario);
begin
    update marketing_automation.scenario s set state = 'draft' where s.id = its_id;
    -- Who sees only its numbers does not see its row.
    if not found then
        raise exception 'must be a member of the owner of scenario "%"', scenario using errcode = 'insufficient_privilege';
    end if;
end $$;
comment on function marketing_automation.draft(text) is 'API: public. Takes a stopped scenario back to draft';

-- functions/delete.sql
-- Deleting definitions. By functions, as the right to delete from a table is the right to lock it: LOCK TABLE of one session would keep
-- all scenarios, everybody who wants to unsubscribe, and the mailer waiting.

create or replace function marketing_automation_internal.demand_owner(caller regrole, owner_id oid, owner name, what text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not coalesce(pg_has_role(caller, owner_id, 'MEMBER'), false) and not (select r.rolsuper from pg_roles r where r.oid = caller) then
        raise exception 'must be a member of role % to delete %', owner, what using errcode = 'insufficient_privilege',
            hint = 'Expressions run with the rights of the owner, so only members of that role may change them.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_owner(regrole, oid, name, text) is
    'API: private. Raises unless a role is a member of the owner of a definition; an owner that was dropped has no members but superusers';

create or replace function marketing_automation_internal.unregister_model(caller regrole, name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_owner(caller, m.owner_id, m.owner, format('model "%s"', m.name))
    from marketing_automation.model m where m.name = unregister_model.name;
    delete from marketing_automation.model m where m.name = unregister_model.name;
    if not found then
        raise exception 'model "%" does not exist', name
            using errcode = 'undefined_object', hint = 'See: select name from marketing_automation.model;';
    end if;
end $$;
comment on function marketing_automation_internal.unregister_model(regrole, text) is 'API: private. Behind unregister_model()';

create or replace function marketing_automation.unregister_model(name text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unregister_model(text) is 'API: public. Forgets a record type; an error while scenarios use it';

create or replace function marketing_automation_internal.delete_scenario(caller regrole, scenario text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
begin
    perform marketing_automation_internal.demand_owner(caller, chosen.owner_id, chosen.owner, format('scenario "%s"', chosen.name));
    delete from marketing_automation.scenario s where s.id = chosen.id;
end $$;
comment on function marketing_automation_internal.delete_scenario(regrole, text) is 'API: private. Behind delete_scenario()';

create or replace function marketing_automation.delete_scenario(scenario text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_scenario(text) is
    'API: public. Deletes a scenario with its activities; an error once it has records: stop it. For members of its owner';

create or replace function marketing_automation_internal.delete_activity(caller regrole, scenario text, activity text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
    its_id integer;
begin
    perform marketing_automation_internal.demand_owner(caller, chosen.owner_id, chosen.owner,
        format('activities of scenario "%s"', chosen.name));
    its_id := marketing_automation_internal.activity_named(chosen, activity);
    delete from marketing_automation.activity a where a.id = its_id;
end $$;
comment on function marketing_automation_internal.delete_activity(regrole, text, text) is 'API: private. Behind delete_activity()';

create or replace function marketing_automation.delete_activity(scenario text, activity text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_activity(text, text) is
    'API: public. Deletes an activity with its children and translations; an error once it waits or has run for a record: set its '
    'condition to false. For members of its scenario''s owner';

create or replace function marketing_automation_internal.delete_translation(caller regrole, scenario text, activity text, language text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
    its_id integer;
begin
    perform marketing_automation_internal.demand_owner(caller, chosen.owner_id, chosen.owner,
        format('translations of scenario "%s"', chosen.name));
    its_id := marketing_automation_internal.activity_named(chosen, activity);
    delete from marketing_automation.activity_translation t where t.activity_id = its_id and t.language = delete_translation.language;
    if not found then
        raise exception 'activity "%" has no translation "%"', activity, language using errcode = 'undefined_object',
            detail = coalesce((select 'It has ' || string_agg(t.language, ', ' order by t.language) || '.'
                from marketing_automation.activity_translation t where t.activity_id = its_id), 'It has none.');
    end if;
end $$;
comment on function marketing_automation_internal.delete_translation(regrole, text, text, text) is
    'API: private. Behind delete_translation()';

create or replace function marketing_automation.delete_translation(scenario text, activity text, language text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_translation(text, text, text) is
    'API: public. Deletes what an activity says in a language. For members of its scenario''s owner';

create or replace function marketing_automation_internal.delete_snippet(caller regrole, name text, language text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_owner(caller, s.owner_id, s.owner, format('snippet "%s"', s.name))
    from marketing_automation.snippet s where s.name = delete_snippet.name;
    delete from marketing_automation.snippet s
    where s.name = delete_snippet.name and s.language = coalesce(delete_snippet.language, s.language);
    if not found then
        raise exception 'snippet "%" does not exist%', name, case when language <> '' then format(' in language "%s"', language) else '' end
            using errcode = 'undefined_object', hint = 'See: select name, language from marketing_automation.snippet;';
    end if;
end $$;
comment on function marketing_automation_internal.delete_snippet(regrole, text, text) is 'API: private. Behind delete_snippet()';

create or replace function marketing_automation.delete_snippet(name text, language text default null) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_snippet(text, text) is
    'API: public. Deletes a snippet in one language, null: in all, empty: the one for the other languages; an error while templates use it. '
    'For members of its owner';

create or replace function marketing_automation_internal.delete_send_window(caller regrole, name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_owner(caller, w.owner_id, w.owner, format('send window "%s"', w.name))
    from marketing_automation.send_window w where w.name = delete_send_window.name;
    delete from marketing_automation.send_window w where w.name = delete_send_window.name;
    if not found then
        raise exception 'send window "%" does not exist', name
            using errcode = 'undefined_object', hint = 'See: select name from marketing_automation.send_window;';
    end if;
end $$;
comment on function marketing_automation_internal.delete_send_window(regrole, text) is 'API: private. Behind delete_send_window()';

create or replace function marketing_automation.delete_send_window(name text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.delete_send_window(text) is
    'API: public. Deletes a send window; an error while scenarios or activities use it. For members of its owner';

-- functions/mail_columns.sql
-- What a mail takes along of its row: the columns that its templates use. Others are neither asked for, so that rights on columns
-- are enough, nor kept in the log.

create or replace function marketing_automation_internal.mail_columns(activity_id integer) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select array_agg(c.attname::text order by c.attnum)
    from marketing_automation.activity a
    join marketing_automation.scenario s on s.id = a.scenario_id
    join marketing_automation.model m on m.name = s.model
    cross join lateral (
        select marketing_automation_internal.used_columns(array[a.sender, a.subject, a.body] || array(
            select p.text from marketing_automation.activity_translation t
            cross join lateral (values (t.sender), (t.subject), (t.body)) p (text)
            where t.activity_id = a.id and p.text is not null)) as names) used
    join pg_attribute c on c.attrelid = m.relation and c.attnum > 0 and not c.attisdropped
        and (used.names is null or c.attname = any (used.names))
    where a.id = mail_columns.activity_id and a.action = 'send_email'
$$;
comment on function marketing_automation_internal.mail_columns(integer) is
    'API: private. Columns of the model''s relation that templates of an activity, its translations and their snippets use; null: none';

create or replace function marketing_automation_internal.as_record(relation regclass, columns text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Sizes are looked at first: they are known without reading a value that is stored apart. Of texts that is the number of bytes, of
    -- other types what is stored, up to four times as much as their JSON. offset 0: a view's column is computed once.
    select coalesce('(select case when false then null ' || string_agg(
            -- Nothing to look at is still a part: string_agg() of nulls alone is null.
            case when c.attlen <> -1 then '' else format($size$when %1$s > %2$s then to_jsonb(format(%3$L, %1$s)) $size$, z.size, z.most,
                format('column "%s" has %%s bytes: a mail takes 64 KB of its row', replace(u.name, '%', '%%'))) end, '' order by u.n)
        || $json$else (
            select case when pg_column_size(r.json) > 32768 and octet_length(r.json::text) > 65536
                then to_jsonb(format('its columns have %s bytes together: a mail takes 64 KB of its row', octet_length(r.json::text)))
                else r.json end
            from (select to_jsonb(c.*) as json offset 0) as r) end from (select $json$
        || string_agg(format('self.%I', u.name), ', ' order by u.n) || ' offset 0) as c)',
        '''{}''::jsonb')
    from unnest(columns) with ordinality as u (name, n)
    join pg_attribute c on c.attrelid = relation and c.attname = u.name
    join pg_type t on t.oid = c.atttypid
    cross join lateral (
        select format('octet_length(c.%I)', u.name) as size, 65536 as most
        where coalesce(nullif(t.typbasetype, 0), t.oid) in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'bytea'::regtype)
        union all
        select format('pg_column_size(c.%I)', u.name), 262144
        limit 1) as z
$$;
comment on function marketing_automation_internal.as_record(regclass, text[]) is
    'API: private. Expression over self, ready to stand in a query, for these columns of the row as JSON: what templates see as record. A '
    'JSON string, and no object, says that they are too large for a mail, which mails of others must not pay for';

create or replace function marketing_automation_internal.check_mail_columns(scenario marketing_automation.scenario, activity_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    columns text[] := marketing_automation_internal.mail_columns(activity_id);
    hidden text;
begin
    perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, format('select %s from %s as self',
        marketing_automation_internal.as_record(model.relation, columns), model.relation));
exception when insufficient_privilege then
    select string_agg(quote_ident(u.name), ', ' order by u.n) into hidden from unnest(columns) with ordinality as u (name, n)
    where not has_column_privilege(scenario.owner_id, model.relation, u.name, 'SELECT');
    if hidden is null then
        raise;
    end if;
    raise exception 'mails of activity "%" use columns that role % may not read: %',
            (select a.name from marketing_automation.activity a where a.id = activity_id), scenario.owner, hidden
        using errcode = 'insufficient_privilege',
              hint = format('grant select (%s) on %s to %I;', hidden, model.relation, scenario.owner);
end $$;
comment on function marketing_automation_internal.check_mail_columns(marketing_automation.scenario, integer) is
    'API: private. Raises if the scenario''s owner may not read what mails of an activity take along';

create or replace function marketing_automation_internal.complete_contexts(activities integer[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    activity marketing_automation.activity;
    scenario marketing_automation.scenario;
    model marketing_automation.model;
    columns text[];
    keys text[];
    message text;
begin
    for activity in
        select a.* from marketing_automation.activity a where a.id = any (activities) and a.action = 'send_email' order by a.id
    loop
        columns := marketing_automation_internal.mail_columns(activity.id);
        keys := array(
            select distinct o.key from marketing_automation_internal.outbox o
            where o.activity_id = activity.id and not o.context ?& columns);
        continue when keys = '{}';
        begin
            select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
            model := marketing_automation_internal.usable_model(scenario);
            update marketing_automation_internal.outbox o set context = q.context || o.context
            from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
                    marketing_automation_internal.as_text(model.key), marketing_automation_internal.as_record(model.relation, columns))),
                keys) as q (key text, context jsonb)
            where o.activity_id = activity.id and o.key = q.key and not o.context ?& columns and jsonb_typeof(q.context) = 'object';
        exception when others then
            get stacked diagnostics message = message_text;
            raise warning 'mails of activity "%" that are queued lack columns that their templates use: %', activity.name,
                marketing_automation_internal.public_error(message, sqlstate)
                using errcode = sqlstate;
        end;
    end loop;
end $$;
comment on function marketing_automation_internal.complete_contexts(integer[]) is
    'API: private. Gives queued mails of these activities the columns that their templates use by now, read from the rows as they are; '
    'what they have they keep';

create or replace function marketing_automation_internal.templates_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed integer := case when tg_table_name = 'activity' then (to_jsonb(new) ->> 'id')::integer
        else (to_jsonb(new) ->> 'activity_id')::integer end;
    scenario marketing_automation.scenario;
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    select s.* into scenario from marketing_automation.scenario s
    join marketing_automation.activity a on a.scenario_id = s.id where a.id = changed and a.action = 'send_email';
    if found then
        perform marketing_automation_internal.check_mail_columns(scenario, changed);
        perform marketing_automation_internal.complete_contexts(array[changed]);
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.templates_changed() is
    'API: private. Trigger: the scenario''s owner may read what templates use, and queued mails get it';

create or replace trigger columns after insert or update of action, sender, subject, body on marketing_automation.activity
    for each row execute function marketing_automation_internal.templates_changed();

create or replace trigger columns after insert or update on marketing_automation.activity_translation
    for each row execute function marketing_automation_internal.templates_changed();

-- functions/enter_again.sql
-- Entering again: a row becomes a record once, ever, unless its scenario has reenter_after or an occasion. Then it does so once for each
-- occasion, and not before its last journey is over: its records are numbered (run), and one of them is under way at most.

create or replace function marketing_automation_internal.may_enter_again(scenario marketing_automation.scenario) returns boolean
language sql immutable
return (scenario).reenter_after is not null or (scenario).occasion is not null;
comment on function marketing_automation_internal.may_enter_again(marketing_automation.scenario) is
    'API: private. Whether a row may become a record of a scenario more than once';

create or replace function marketing_automation_internal.as_occasion(occasion text) returns text
language sql immutable
return case when occasion is null then 'null::text' else format('nullif(%s, %L)', marketing_automation_internal.as_text(occasion), '') end;
comment on function marketing_automation_internal.as_occasion(text) is
    'API: private. The occasion of a scenario, ready to stand in a query: null for a row that has none';

create or replace function marketing_automation_internal.over_at(scenario marketing_automation.scenario, last marketing_automation_internal.record)
    returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Who is held out has no activity that could end: it may convert as long as the others may.
    select greatest((last).entered_at, (last).ended_at,
        case when (last).held_out then marketing_automation_internal.after_delay((last).entered_at, scenario.goal_window, (last).time_zone) end,
        (select max(f.finished_at) from marketing_automation_internal.finished_activity f where f.record_id = (last).id))
    where not exists (select from marketing_automation_internal.waiting_activity w where w.record_id = (last).id)
$$;
comment on function marketing_automation_internal.over_at(marketing_automation.scenario, marketing_automation_internal.record) is
    'API: private. When the journey of a record was over, unless a mail of it is under way: when its last activity ran or ended; null: '
    'something waits';

create or replace function marketing_automation_internal.reenters_at(scenario marketing_automation.scenario, last marketing_automation_internal.record)
    returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.after_delay(marketing_automation_internal.over_at(scenario, last), scenario.reenter_after,
        (last).time_zone)
$$;
comment on function marketing_automation_internal.reenters_at(marketing_automation.scenario, marketing_automation_internal.record) is
    'API: private. From when on the row of a record, its last, may enter again; null: something waits';

create or replace function marketing_automation_internal.lock_over(scenario marketing_automation.scenario, records bigint[], now timestamptz)
    returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
set enable_nestloop = on as $$
declare
    under_way bigint[];
begin
    if records = '{}' then
        return records;
    end if;
    -- The queue has no index on the record.
    under_way := array(
        select o.record_id from marketing_automation.activity a join marketing_automation_internal.outbox o on o.activity_id = a.id
        where a.scenario_id = scenario.id and o.record_id is not null);
    -- Whoever blocks a row meets this lock and sees, after it, the record that has followed. Who holds one is left for the next run.
    return array(
        select r.id from marketing_automation_internal.record r
        where r.id = any (records) and r.blocked_at is null and r.end_reason is distinct from 'entered_again' and r.id <> all (under_way)
          and marketing_automation_internal.reenters_at(scenario, r) <= now
        order by r.id for no key update skip locked);
end $$;
comment on function marketing_automation_internal.lock_over(marketing_automation.scenario, bigint[], timestamptz) is
    'API: private. Of these records, each the last of its row, those that may be followed by another one now, locked: the journey is over '
    'and reenter_after has passed, no mail is under way, it is not blocked, and no other session holds it';

create or replace function marketing_automation_internal.rows_to_enter_again(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], now timestamptz
) returns table (key text, party text, time_zone text, email text, occasion text, run integer, last_record bigint)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    return query
    with matching as materialized (
        select q.key, q.party, q.time_zone, q.email, q.occasion
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, source, keys)
            as q (key text, party text, time_zone text, email text, occasion text)
    ), counted as (
        -- The caller holds this row when he enters all.
        update marketing_automation.scenario_status s set without_occasion = m.records
        from (select count(*) as records from matching o where o.occasion is null) m
        where keys is null and scenario.occasion is not null and s.scenario_id = scenario.id and s.without_occasion <> m.records
    ), free as materialized (
        -- What a record says by itself leaves few to be looked at. A day less, as days differ between time zones.
        select m.* from matching m
        where (scenario.occasion is null or m.occasion is not null)
          and not exists (
            select from marketing_automation_internal.record r
            where r.scenario_id = scenario.id and r.key = m.key collate "C"
              and (r.blocked_at is not null or r.occasion = m.occasion collate "C"
                or r.entered_at + scenario.reenter_after - interval '1 day' > now))
    ), last as materialized (
        select f.*, l.id, coalesce(l.run, 0) + 1 as next_run
        from free f
        left join lateral (
            select r.id, r.run from marketing_automation_internal.record r
            where r.scenario_id = scenario.id and r.key = f.key collate "C" order by r.run desc limit 1) l on true
    ), over as materialized (
        select o.id from unnest(marketing_automation_internal.lock_over(scenario,
            array(select l.id from last l where l.id is not null), now)) as o (id)
    )
    select l.key, l.party, l.time_zone, l.email, l.occasion, l.next_run, l.id
    from last l left join over o on o.id = l.id
    where l.id is null or o.id is not null;
end $$;
comment on function marketing_automation_internal.rows_to_enter_again(marketing_automation.scenario, marketing_automation.model, text,
    text[], timestamptz) is
    'API: private. Rows of an entering query, in which $1 is keys, that may enter a scenario that rows enter more than once: never yet, or '
    'for another occasion and after their last journey; with the number that their record gets, and the last one, locked. Without keys: counts in '
    'scenario_status who has no occasion';

-- functions/enroll_rows.sql
-- Enrolling one scenario: its rows enter in one statement, in two where an expression raises for some.

create or replace function marketing_automation_internal.is_held_out(scenario marketing_automation.scenario, person text) returns boolean
language sql immutable
-- By a hash, so that all rows of a person share it, whichever enters first.
return marketing_automation_internal.hash_point((scenario).id || '/' || person) < 100 * (scenario).holdout;
comment on function marketing_automation_internal.is_held_out(marketing_automation.scenario, text) is
    'API: private. Whether a person, by its party or else its key, gets no mail of a scenario, to compare with';

create or replace function marketing_automation_internal.root_choice(scenario_id integer) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('array_remove(array[%s]::integer[], null)', string_agg(
               -- What follows one whose condition is not true, starts when it has been asked of it.
               case when a.condition is null or exists (
                        select from marketing_automation.activity c where c.parent_id = a.id and c.on_event = 'condition_not_met') then a.id::text
                    else format('case when %s then %s end', marketing_automation_internal.as_condition(a.condition), a.id) end,
                        ', ' order by a.id))
    from marketing_automation.activity a where a.scenario_id = root_choice.scenario_id and a.parent_id is null
$$;
comment on function marketing_automation_internal.root_choice(integer) is
    'API: private. Expression over self, ready to stand in a query, for the ids of the root activities that a row starts: those '
    'whose condition holds, or that another activity follows when it does not';

create or replace function marketing_automation_internal.topic_address(scenario marketing_automation.scenario, model marketing_automation.model) returns text
language sql immutable
return case when (scenario).topic is null then 'null::text' else marketing_automation_internal.as_text((model).email) end;
comment on function marketing_automation_internal.topic_address(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Expression over self, ready to stand in a query, for the address that may have chosen the topic of a scenario; null '
    'without a topic: what is not asked for raises nothing';

create or replace function marketing_automation_internal.entering_query(scenario marketing_automation.scenario, model marketing_automation.model)
    returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Not "is true": WHERE takes null for false anyway, and an index, a partition or a semi-join is used for the bare condition only.
    select format('select %s, %s, %s, %s, %s from %s as self where %s', marketing_automation_internal.as_key(model.key, model.key_type),
        marketing_automation_internal.as_text(model.party), marketing_automation_internal.as_text(model.time_zone),
        marketing_automation_internal.topic_address(scenario, model), marketing_automation_internal.as_occasion(scenario.occasion),
        model.relation,
        marketing_automation_internal.guarded(
            format(E'(%s\n)', scenario.domain),
            marketing_automation_internal.not_poisonous(model.relation, model.key, scenario.id)))
$$;
comment on function marketing_automation_internal.entering_query(marketing_automation.scenario, marketing_automation.model) is
    'API: private. Query for key, party, time zone, where the topic asks for it address, and occasion of the rows that the domain matches';

create or replace function marketing_automation_internal.new_keys(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, now timestamptz
) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    again boolean := marketing_automation_internal.may_enter_again(scenario);
begin
    return array(
        select q.key
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, source, null)
            as q (key text, party text, time_zone text, email text, occasion text)
        where not again and q.key is not null
          and not exists (select from marketing_automation_internal.record r
            where r.scenario_id = scenario.id and r.key = q.key collate "C")
        union all
        select q.key from marketing_automation_internal.rows_to_enter_again(scenario, model, source, null, now) q
        where again and q.key is not null);
end $$;
comment on function marketing_automation_internal.new_keys(marketing_automation.scenario, marketing_automation.model, text, timestamptz) is
    'API: private. Keys of the rows of an entering query that may enter';

create or replace function marketing_automation_internal.enter_rows(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], held text[], poison text[],
    now timestamptz
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    -- Conditions of roots are asked of those only who enter: of the others they were asked when these entered.
    choice text := case
        when not exists (select from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null
            and a.condition is not null) then null
        when poison is null then marketing_automation_internal.root_choice(scenario.id)
        -- These start every root activity: when it runs, its condition is asked again, and they fail alone.
        else format('case when %s = any (%L::text[]) then %L::integer[] else %s end', marketing_automation_internal.as_key(model.key, model.key_type), poison,
            array(select a.id from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null),
            marketing_automation_internal.root_choice(scenario.id)) end;
    reached text := case when scenario.goal is not null then marketing_automation_internal.guarded(
        marketing_automation_internal.as_condition(scenario.goal), case when poison is not null then format('%s <> all (%L::text[])',
            marketing_automation_internal.as_key(model.key, model.key_type), poison) end) end;
    chosen_query text := case when choice is null and reached is null then 'select null::text, null::integer[], false where false'
        else marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format('%s, %s, %s',
            marketing_automation_internal.as_key(model.key, model.key_type), coalesce(choice, 'null::integer[]'),
            coalesce(reached, 'false'))) end;
    opt_in text := (select t.opt_in from marketing_automation.topic t where t.name = scenario.topic);
    id_before bigint := (select s.last_value from marketing_automation.record_id_seq s);
    reaches_unsubscribed boolean := marketing_automation_internal.reaches_unsubscribed(scenario.id);
    again boolean := marketing_automation_internal.may_enter_again(scenario);
    entered bigint;
    lost bigint;
begin
    with entering as materialized (
        select nextval('marketing_automation.record_id_seq') as id, q.key, q.party, q.time_zone, q.occasion, q.run, q.last_record,
            scenario.holdout > 0 and marketing_automation_internal.is_held_out(scenario, coalesce(q.party, q.key)) as held_out
        from (
            select o.key, o.party, o.time_zone, o.email, o.occasion, 1 as run, null::bigint as last_record
            from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, source, keys)
                as o (key text, party text, time_zone text, email text, occasion text)
            where not again and not exists (select from marketing_automation_internal.record r
                where r.scenario_id = scenario.id and r.key = o.key collate "C")
            union all
            select o.key, o.party, o.time_zone, o.email, o.occasion, o.run, o.last_record
            from marketing_automation_internal.rows_to_enter_again(scenario, model, source, keys, now) o where again) q
        left join marketing_automation.subscription p on p.topic = scenario.topic and p.party = q.party collate "C" and p.address_hash is null
        left join marketing_automation.subscription a on a.topic = scenario.topic
            and a.address_hash = case when scenario.topic is not null then marketing_automation.address_hash(q.email) end
        where (scenario.topic is null or reaches_unsubscribed or marketing_automation_internal.topic_objection(scenario.topic, opt_in, p.state, a.state) is null)
          and (held is null or q.key <> all (held))
          and not exists (
                select from marketing_automation.unsubscription u
                where not reaches_unsubscribed and u.scenario_id in (0, scenario.id) and u.party = q.party collate "C")
    ), chosen as materialized (
        select q.key, q.roots, q.reached
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, chosen_query,
            case when choice is not null or reached is not null then array(select e.key from entering e) end)
            as q (key text, roots integer[], reached boolean)
    ), recorded as (
        insert into marketing_automation_internal.record (id, scenario_id, key, party, uuid, entered_at, time_zone, goal_before, held_out,
            occasion, run)
        select e.id, scenario.id, e.key, e.party, marketing_automation_internal.new_record_uuid(e.id), now, e.time_zone,
            coalesce(c.reached, false), e.held_out, e.occasion, e.run
        from entering e left join chosen c on scenario.goal is not null and c.key = e.key
    ), followed as (
        -- What might still start by its mails does not, and what is bought from now on counts for the new one.
        update marketing_automation_internal.record r set ended_at = now, end_reason = 'entered_again'
        from entering e where again and r.id = e.last_record and r.end_reason is null
    ), closed as (
        delete from marketing_automation_internal.open_goal g
        using entering e where again and g.scenario_id = scenario.id and g.record_id = e.last_record
    ), open as (
        insert into marketing_automation_internal.open_goal (scenario_id, record_id, until)
        select scenario.id, e.id, marketing_automation_internal.after_delay(now, scenario.goal_window, e.time_zone)
        from entering e left join chosen c on c.key = e.key
        where scenario.goal is not null and c.reached is not true
    ), waiting as (
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        -- A microsecond between each thousand: processing begins to look where it has ended, and a million records that
        -- are due at once would leave it no place to begin.
        -- Its date is asked when it is due, for the first time now.
        select e.id, a.id, marketing_automation_internal.after_delay(now, case when a.at is null then a.delay end, e.time_zone)
            - (e.id - id_before) / 1000 * interval '1 microsecond'
        from entering e
        left join chosen c on c.key = e.key
        join marketing_automation.activity a on a.scenario_id = scenario.id and a.parent_id is null
            and (choice is null or a.id = any (c.roots))
        where not e.held_out
    )
    select count(*), count(*) filter (where model.time_zone is not null and e.time_zone <> ''
        and not marketing_automation_internal.is_time_zone(e.time_zone))
    into entered, lost
    from entering e;
    if lost > 0 then
        raise warning 'scenario "%": % with a time zone that does not exist', scenario.name,
            case lost when 1 then '1 row enters' else lost || ' rows enter' end
            using hint = 'Days and months of their delays count in the time zone of the database.';
    end if;
    return entered;
end $$;
comment on function marketing_automation_internal.enter_rows(marketing_automation.scenario, marketing_automation.model, text, text[],
    text[], text[], timestamptz) is
    'API: private. Enters all new rows of an entering query, in which $1 is keys, in one statement; returns how many. held: keys to '
    'leave out, null: none; poison: keys of rows for which the condition of a root activity raises, null: none';

create or replace function marketing_automation_internal.enter_after_others(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], held text[], poison text[],
    now timestamptz
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    broken text;
    detail text;
    repeated record;
    tries integer := 0;
begin
    loop
        begin
            return marketing_automation_internal.enter_rows(scenario, model, source, keys, held, poison, now);
        exception when deadlock_detected then
            -- Others enter the same rows in another order. What was entered here is undone, so they go on; but what this transaction has
            -- entered before is not.
            tries := tries + 1;
            if tries > 3 or current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
                raise;
            end if;
        when unique_violation then
            get stacked diagnostics broken = constraint_name, detail = pg_exception_detail;
            select d.key, d.run into repeated from marketing_automation_internal.run_in_detail(detail) d;
            -- Of a key that several rows of the model have there is no such record.
            if broken <> 'record_enters_once' or not exists (
                    select from marketing_automation_internal.record r
                    where r.scenario_id = scenario.id and r.key = repeated.key collate "C" and r.run = repeated.run) then
                raise;
            end if;
        end;
    end loop;
end $$;
comment on function marketing_automation_internal.enter_after_others(marketing_automation.scenario, marketing_automation.model, text,
    text[], text[], text[], timestamptz) is
    'API: private. As enter_rows(), once more when another session has entered one of the rows meanwhile';

create or replace function marketing_automation_internal.run_in_detail(detail text, out key text, out run integer)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select p.part[1], p.part[2]::integer from regexp_match(detail, '=\(\d+, (.*), (\d+)\)[^)]*$') as p (part)
$$;
comment on function marketing_automation_internal.run_in_detail(text, out text, out integer) is
    'API: private. Key and run in the detail of a violation of record_enters_once, in whatever language';

create or replace function marketing_automation_internal.enterable_model(scenario marketing_automation.scenario) returns marketing_automation.model
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    held bigint;
begin
    -- All that its activities will need, too: nobody enters a campaign that could not mail them.
    perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, format('select %s from %s as self',
        string_agg(marketing_automation_internal.as_text(p.expression), ', '), model.relation))
            from marketing_automation_internal.model_parts(model) p;
    perform from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null for key share skip locked;
    get diagnostics held = row_count;
    -- A row enters once, ever: without a root it would miss whatever is added. And when a root is being deleted, it would begin without
    -- it, or with what is gone.
    return case when held > 0
        and held = (select count(*) from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null)
        then model end;
end $$;
comment on function marketing_automation_internal.enterable_model(marketing_automation.scenario) is
    'API: private. The model of a scenario, whose root activities are locked then; null: nobody may enter now';

create or replace function marketing_automation_internal.expect_rows(scenario marketing_automation.scenario, model marketing_automation.model,
    source text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    expected double precision := marketing_automation_internal.expected_rows(scenario.owner_id, model.relation, source);
    records double precision := (select c.reltuples from pg_class c where c.oid = 'marketing_automation_internal.record'::regclass);
begin
    -- The planner takes query_as_owner() for a thousand rows. If it is a million, looking each of them up in an index takes longer
    -- than one hash of all records; if it is a hundred, hashing a hundred million records takes minutes.
    perform set_config('enable_nestloop', case when expected < records / 10 then 'on' else 'off' end, true);
end $$;
comment on function marketing_automation_internal.expect_rows(marketing_automation.scenario, marketing_automation.model, text) is
    'API: private. Has the planner look rows of an entering query up among the records, or hash the records, by how many rows the '
    'planner expects of that query; for the rest of the calling function, which sets enable_nestloop itself';

create or replace function marketing_automation_internal.enter_apart(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, now timestamptz, inout searched_to text,
    out entered bigint, out error text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    keys text[];
    its record;
    detail text;
    broken text;
    -- What has been tried against the errors so far.
    searched boolean := searched_to is not null;
    compared boolean := false;
    -- By a key that several rows have: of what is asked of rows by their keys there is more than one, too.
    is_repeated boolean;
begin
    entered := 0;
    if searched then
        -- The time of an earlier turn was over before it had found all of them.
        select a.* into its from marketing_automation_internal.set_rows_apart(scenario, model, false, searched_to) a;
        searched_to := its.reached;
        error := its.cut;
        code := its.code;
        if code is not null then
            return;
        end if;
        source := marketing_automation_internal.entering_query(scenario, model);
    end if;
    loop
        error := null;
        code := null;
        begin
            entered := marketing_automation_internal.enter_around(scenario, model, source, now);
            return;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate, detail = pg_exception_detail, broken = constraint_name;
            if marketing_automation_internal.is_for_the_caller(code) then
                raise;
            end if;
        end;
        if marketing_automation_internal.is_passing_error(code) then
            return;
        end if;
        is_repeated := broken in ('record_enters_once', 'record_pkey', 'waiting_activity_pkey', 'open_goal_pkey');
        if is_repeated and not compared then
            compared := true;
            if marketing_automation_internal.set_repetitions_apart(scenario, model, source) > 0 then
                source := marketing_automation_internal.entering_query(scenario, model);
                continue;
            end if;
        elsif not is_repeated and not searched then
            searched := true;
            select a.* into its from marketing_automation_internal.set_rows_apart(scenario, model, false, null) a;
            searched_to := its.reached;
            if its.code is not null then
                error := its.cut;
                code := its.code;
                return;
            end if;
            if its.apart > 0 then
                source := marketing_automation_internal.entering_query(scenario, model);
                continue;
            end if;
        end if;
        exit;
    end loop;
    error := marketing_automation_internal.entering_error(scenario, error, code, broken, detail);
    if broken <> '' or not exists (select from marketing_automation.activity a where a.scenario_id = scenario.id and a.parent_id is null
            and a.condition is not null) then
        return;
    end if;
    -- It is the condition of a root: rows for which that raises enter too, and fail when it runs.
    begin
        keys := marketing_automation_internal.new_keys(scenario, model, source, now);
        select e.* into its
        from marketing_automation_internal.enter_keys(scenario, model,
            marketing_automation_internal.entering_keys_query(scenario, model), keys, now) e;
        if its.poisoned + its.refused >= least(1000, cardinality(keys)) then
            -- What is wrong with all rows, or with very many, is the scenario's fault: nobody enters.
            raise exception using message = its.error, errcode = its.code;
        end if;
        entered := its.entered;
        error := case when its.stopped or its.refused > 0 then its.error end;
        code := case when its.stopped or its.refused > 0 then its.code end;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        get stacked diagnostics error = message_text, code = returned_sqlstate;
    end;
end $$;
comment on function marketing_automation_internal.enter_apart(marketing_automation.scenario, marketing_automation.model, text, timestamptz,
    text, out bigint, out text, out text) is
    'API: private. Enters all new rows of an entering query, but for those that have to stand apart, which are looked for when it raises. '
    'Returns how many, and the error that ended it; what was learnt before stays. searched_to: as reached of find_poisonous_rows()';

create or replace function marketing_automation_internal.enroll_one(scenario marketing_automation.scenario, now timestamptz, out entered bigint,
    out error text, out code text, out searched_to text)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set jit = off
as $$
declare
    model marketing_automation.model;
    source text;
begin
    entered := 0;
    -- The caller holds the scenario, so that nobody else enters all its rows; of enroll_records() see enter_around().
    select s.* into scenario from marketing_automation.scenario s where s.id = scenario.id and s.state = 'running';
    if not found then
        return;
    end if;
    model := marketing_automation_internal.enterable_model(scenario);
    if model.name is null then
        return;
    end if;
    perform marketing_automation_internal.release_rows(scenario, model);
    source := marketing_automation_internal.entering_query(scenario, model);
    -- Whatever is wrong with an expression by itself is raised by here: what is raised later is the fault of rows.
    perform marketing_automation_internal.expect_rows(scenario, model, source);
    select e.entered, e.error, e.code, e.searched_to into entered, error, code, searched_to
    from marketing_automation_internal.enter_apart(scenario, model, source, now, (
        select t.searched_to from marketing_automation_internal.failed_turn t where t.scenario_id = scenario.id and t.work = 'enroll')) e;
    if entered > 0 then
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, records)
        values (scenario.id, marketing_automation_internal.counter_period(now), entered);
    end if;
end $$;
comment on function marketing_automation_internal.enroll_one(marketing_automation.scenario, timestamptz, out bigint, out text, out text,
    out text) is
    'API: private. Enters all new matching rows of one scenario in one statement, in few where an expression raises for some; returns how '
    'many. An error of a definition is raised, one that ended it later returned. searched_to: as that of enter_apart()';

-- functions/enroll_around.sql
-- Entering all rows but those that another session enters in a transaction that stays open.

create or replace function marketing_automation_internal.held_keys(scenario_id integer, keys text[]) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(keys));
    is_held boolean;
    held text[] := '{}';
begin
    -- Somebody who holds more has his transaction waited for, at the next turn.
    while part.first is not null and cardinality(held) < 100 loop
        begin
            insert into marketing_automation_internal.record (id, scenario_id, key, uuid, entered_at, run)
            select nextval('marketing_automation.record_id_seq'), held_keys.scenario_id, u.key, gen_random_uuid(), statement_timestamp(),
                1 + coalesce((select max(r.run) from marketing_automation_internal.record r
                    where r.scenario_id = held_keys.scenario_id and r.key = u.key collate "C"), 0)
            from unnest(keys[part.first:part.last]) as u (key)
            on conflict do nothing;
            raise exception 'tried' using errcode = 'MA001';
        exception
            when sqlstate 'MA001' then
                is_held := false;
            when lock_not_available or deadlock_detected then
                is_held := true;
        end;
        if is_held and part.first = part.last then
            held := held || keys[part.first];
        end if;
        part := marketing_automation_internal.next_part(part, is_held);
    end loop;
    return held;
end $$;
comment on function marketing_automation_internal.held_keys(integer, text[]) is
    'API: private. Of these keys, those that another session enters in a transaction that is open, found by trying: nobody sees them';

create or replace function marketing_automation_internal.enter_around(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, now timestamptz
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    held text[];
begin
    begin
        return marketing_automation_internal.enter_after_others(scenario, model, source, null, null, null, now);
    exception when lock_not_available then
        null;
    end;
    held := marketing_automation_internal.held_keys(scenario.id, marketing_automation_internal.new_keys(scenario, model, source, now));
    return marketing_automation_internal.enter_after_others(scenario, model, source, null, held, null, now);
end $$;
comment on function marketing_automation_internal.enter_around(marketing_automation.scenario, marketing_automation.model, text,
    timestamptz) is
    'API: private. As enter_rows() of all rows, without those that another session enters by enroll_records() in a transaction that '
    'stays open: nobody else waits for it. The caller sets lock_timeout';

-- functions/enroll.sql
-- Enrolling: rows of the model that the domain matches become records, their root activities wait. One statement per scenario.

create or replace function marketing_automation_internal.time_or_now(caller regrole, at timestamptz, scenario_name text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not isfinite(at) then
        raise exception 'now must be finite, not %', at using errcode = 'invalid_parameter_value';
    end if;
    if at is not null
        and not (select r.rolsuper from pg_roles r where r.oid = caller)
        and not exists (
            select from marketing_automation.scenario s
            where (scenario_name is null or s.name = scenario_name) and pg_has_role(caller, s.owner_id, 'MEMBER')) then
        raise exception 'only members of its owner may choose the time of %', case when scenario_name is null then 'a scenario' else
            format('scenario "%s"', scenario_name) end
            using errcode = 'insufficient_privilege', hint = 'Leave "now" null.';
    end if;
    -- Not statement_timestamp(): that stands still while a procedure runs for an hour.
    return coalesce(at, clock_timestamp());
end $$;
comment on function marketing_automation_internal.time_or_now(regrole, timestamptz, text) is
    'API: private. The time that a run of one scenario, or of all, assumes: the given one for those who may choose it for any of '
    'them, else now';

create or replace function marketing_automation_internal.note_error(scenario_id integer, activity_id integer, message text, code text) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    -- Not waiting: a run has noted errors of other scenarios before. What is missed so is met again by the next run.
    update marketing_automation.scenario_status s
    set last_error = message, last_error_code = code, last_error_at = statement_timestamp(), last_error_activity_id = $2
    where s.scenario_id = (
            select t.scenario_id from marketing_automation.scenario_status t
            where t.scenario_id = $1 and (t.last_error, t.last_error_code) is distinct from (message, code)
            for no key update skip locked)
    returning true;
$$;
comment on function marketing_automation_internal.note_error(integer, integer, text, text) is
    'API: private. Keeps why a scenario does not enroll (activity_id null), or one of its activities does not run; null if that was '
    'known before';

create or replace function marketing_automation_internal.forget_error(scenario_id integer, activity_id integer, now timestamptz) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update marketing_automation.scenario_status s
    set last_error = null, last_error_code = null, last_error_at = null, last_error_activity_id = null
    where s.scenario_id = (
            select t.scenario_id from marketing_automation.scenario_status t
            where t.scenario_id = $1 and t.last_error is not null for no key update skip locked)
      -- What enrolling has nothing to say about.
      and not ($2 is null and s.last_error like 'events wait,%' and exists (
            select from marketing_automation_internal.failed_turn t where t.scenario_id = $1 and t.work = 'consent'))
      and (s.last_error_activity_id is not distinct from $2
           -- What could not run is not there any more.
           or $2 is null and not exists (
                select from marketing_automation_internal.waiting_activity w where w.activity_id = s.last_error_activity_id
                    and w.at <= $3));
$$;
comment on function marketing_automation_internal.forget_error(integer, integer, timestamptz) is
    'API: private. After a run without error: forgets that of enrolling (activity_id null), or of that activity';

create or replace function marketing_automation_internal.lock_scenario(scenario_id integer) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    -- A row of ours, not an advisory lock: that any role could take, and keep everybody from working.
    insert into marketing_automation.scenario_status (scenario_id) values (scenario_id) on conflict do nothing;
    -- Those who write rows that wait for an activity which is being deleted share it: see lock_children().
    select from marketing_automation.scenario_status s where s.scenario_id = $1 for no key update;
$$;
comment on function marketing_automation_internal.lock_scenario(integer) is
    'API: private. Makes enrolling into a scenario and changes of its tree wait for each other, until the transaction ends';

create or replace function marketing_automation_internal.lock_scenario_for_change(scenario_id integer) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.lock_scenario($1);
    -- Those who enter single rows share it, and with whoever enrolls all.
    select from marketing_automation.scenario_status s where s.scenario_id = $1 for update;
$$;
comment on function marketing_automation_internal.lock_scenario_for_change(integer) is
    'API: private. As lock_scenario(), for changes of the tree: nobody enters meanwhile, by enroll_records() neither';

create or replace function marketing_automation_internal.lock_scenario_soon(scenario_id integer) returns text
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform marketing_automation_internal.lock_scenario(scenario_id);
    return null;
exception when lock_not_available then
    return 'another session has been enrolling it for more than a second';
end $$;
comment on function marketing_automation_internal.lock_scenario_soon(integer) is
    'API: private. As lock_scenario(), but gives up after a second; null, or why not';

create or replace function marketing_automation_internal.skip_scenario(scenario_id integer) returns text
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    -- Of a scenario that an earlier release made.
    insert into marketing_automation.scenario_status (scenario_id)
    select $1 where not exists (select from marketing_automation.scenario_status s where s.scenario_id = $1)
    on conflict do nothing;
    perform from marketing_automation.scenario_status s where s.scenario_id = $1 for no key update skip locked;
    return case when not found then 'another session is enrolling it' end;
exception when lock_not_available then
    return 'another session is enrolling it';
end $$;
comment on function marketing_automation_internal.skip_scenario(integer) is
    'API: private. Locks a scenario as lock_scenario(), but waits for nobody; null, or why not: what another session holds, it enrolls '
    'itself, or changes';

create or replace function marketing_automation_internal.next_to_enroll(caller regrole, tried integer[]) returns marketing_automation.scenario
language sql stable set search_path = pg_catalog, pg_temp as $$
    select s.*
    from marketing_automation.scenario s
    left join marketing_automation_internal.failed_turn t on t.scenario_id = s.id and t.work = 'enroll'
    where s.state = 'running' and s.id <> all (tried)
      and (caller is null or pg_has_role(caller, s.owner_id, 'MEMBER'))
      -- Of those at the end of the line, one that is slow again is enough for a run: the next is for the others.
      and not (coalesce(t.slow, false) and exists (
            select from marketing_automation_internal.failed_turn o where o.work = 'enroll' and o.slow and o.scenario_id = any (tried)))
    order by t.failed_at nulls first, s.id
    limit 1
$$;
comment on function marketing_automation_internal.next_to_enroll(regrole, integer[]) is
    'API: private. The running scenario whose turn it is, of those that have not been tried: who failed comes last. caller: only '
    'scenarios of whose owner this role is a member, null: any';

create or replace function marketing_automation_internal.entering_error(scenario marketing_automation.scenario, message text, code text, broken text,
    detail text) returns text
language sql set search_path = pg_catalog, pg_temp as $$
    select case broken
        when 'record_enters_once' then format('key %s is not unique: %s', m.model, (marketing_automation_internal.run_in_detail(detail)).key)
        when 'record_pkey' then format('key %s is not unique', m.model)
        when 'waiting_activity_pkey' then format('key %s is not unique', m.model)
        when 'open_goal_pkey' then format('key %s is not unique', m.model)
        when 'record_has_key' then format('key %s is null in some row', m.model)
        when 'record_key_is_short' then format('key %s has more than 1,000 bytes in some row', m.model)
        when 'record_party_is_short' then format('party %s has more than 1,000 bytes in some row', m.model)
        when 'record_occasion_is_short' then format('occasion of scenario "%s" has more than 1,000 bytes in some row', scenario.name)
        else marketing_automation_internal.named_error(scenario, code, message) end
    from (select format('of model "%s"', scenario.model) as model) m
$$;
comment on function marketing_automation_internal.entering_error(marketing_automation.scenario, text, text, text, text) is
    'API: private. What an error of entering rows means, told by its message, SQLSTATE, constraint and detail';

create or replace function marketing_automation_internal.enroll_in_turn(chosen marketing_automation.scenario, at timestamptz, sees boolean,
    out enrolled bigint, out error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    code text;
    detail text;
    broken text;
    searched_to text;
begin
    perform marketing_automation_internal.begin_turn();
    perform marketing_automation_internal.turn_asks(chosen.id, 'enroll');
    perform marketing_automation_internal.show_step(format('enroll scenario "%s"', chosen.name));
    begin
        select e.entered, e.error, e.code, e.searched_to into enrolled, error, code, searched_to
        from marketing_automation_internal.enroll_one(chosen, at) e;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        get stacked diagnostics error = message_text, code = returned_sqlstate, detail = pg_exception_detail, broken = constraint_name;
        enrolled := 0;
    end;
    perform marketing_automation_internal.end_turn();
    perform marketing_automation_internal.show_step(null);
    if code is not null then
        error := marketing_automation_internal.entering_error(chosen, error, code, broken, detail);
        perform marketing_automation_internal.turn_failed(chosen.id, 'enroll', 0, code, searched_to => searched_to);
        perform marketing_automation_internal.note_error(chosen.id, null, error, code);
        if not sees then
            error := marketing_automation_internal.public_error(error, code);
        end if;
        -- Keys and other values may be addresses, and the log is not theirs.
        raise warning 'scenario "%" did not enroll: %', chosen.name, case
            when code = '23505' then format('key of model "%s" is not unique', chosen.model)
            when left(code, 2) = '23' or not marketing_automation_internal.may_quote(error, code) then error
            else regexp_replace(error, '"[^"]*"', '"…"', 'g') end using errcode = code;
        return;
    end if;
    update marketing_automation.scenario_status s set last_enrolled_at = at where s.scenario_id = chosen.id;
    perform marketing_automation_internal.turn_succeeded(chosen.id, 'enroll', 0, null);
    select p.message, p.code into error, code from marketing_automation_internal.poisonous_summary(chosen.id, true) p;
    if error is null then
        perform marketing_automation_internal.forget_error(chosen.id, null, at);
    elsif marketing_automation_internal.note_error(chosen.id, null, error, code) then
        raise warning 'scenario "%": %', chosen.name, (marketing_automation_internal.poisonous_summary(chosen.id, false)).message
            using errcode = code, hint = 'See: select * from marketing_automation.scenario_status;';
    end if;
end $$;
comment on function marketing_automation_internal.enroll_in_turn(marketing_automation.scenario, timestamptz, boolean, out bigint,
    out text) is
    'API: private. Enrolls one scenario, which the caller has locked; an error of its expressions is returned and kept. '
    'sees: whether what is returned may quote a row';

create or replace function marketing_automation_internal.demand_running(scenario marketing_automation.scenario) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if scenario.state <> 'running' then
        raise exception 'scenario "%" is %, only a running one enrolls', scenario.name, scenario.state
            using errcode = 'object_not_in_prerequisite_state', hint =
                format(case scenario.state when 'stopped' then 'select marketing_automation.draft(%1$L), marketing_automation.run(%1$L);'
                                           else 'select marketing_automation.run(%1$L);' end, scenario.name);
    end if;
end $$;
comment on function marketing_automation_internal.demand_running(marketing_automation.scenario) is
    'API: private. Raises unless rows may enter a scenario: it is running';

create or replace function marketing_automation_internal.enroll_each(caller regrole, scenario_name text, now timestamptz)
returns table (scenario text, enrolled bigint, error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario;
    at timestamptz;
    tried integer[] := '{}';
    only_of regrole := case when now is not null or not marketing_automation_internal.has_right(caller, null, 'operate') then caller end;
begin
    if scenario_name is not null then
        chosen := marketing_automation_internal.scenario_for(caller, scenario_name, 'operate');
        perform marketing_automation_internal.demand_running(chosen);
    end if;
    at := marketing_automation_internal.time_or_now(caller, now, scenario_name);
    perform marketing_automation_internal.assume_time(now);
    loop
        if scenario_name is null then
            chosen := marketing_automation_internal.next_to_enroll(only_of, tried);
        end if;
        exit when chosen.id is null;
        tried := tried || chosen.id;
        scenario := chosen.name;
        if now is not null then
            perform marketing_automation_internal.warn_of_present('domain', chosen.name, chosen.domain);
            perform marketing_automation_internal.warn_of_present('occasion', chosen.name, chosen.occasion);
        end if;
        enrolled := 0;
        -- Only who asks for this one scenario waits.
        error := case when scenario_name is null then marketing_automation_internal.skip_scenario(chosen.id)
            else marketing_automation_internal.lock_scenario_soon(chosen.id) end;
        if error is null then
            select e.enrolled, e.error into enrolled, error from marketing_automation_internal.enroll_in_turn(chosen, at,
                marketing_automation_internal.sees_rows(caller, chosen.id)) e;
        end if;
        return next;
        exit when scenario_name is not null;
    end loop;
    perform marketing_automation_internal.assume_time(null);
end $$;
comment on function marketing_automation_internal.enroll_each(regrole, text, timestamptz) is
    'API: private. What enroll() does once it has reached the definitions';

create or replace function marketing_automation_internal.enroll(caller regrole, scenario_name text, now timestamptz)
returns table (scenario text, enrolled bigint, error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.reach_definitions();
    -- A function of its own: one that has a variable of a table's type waits for the table before its first statement.
    return query select e.scenario, e.enrolled, e.error from marketing_automation_internal.enroll_each(caller, scenario_name, now) e;
end $$;
comment on function marketing_automation_internal.enroll(regrole, text, timestamptz) is 'API: private. Behind enroll()';

create or replace function marketing_automation.enroll(scenario_name text default null, now timestamptz default null)
returns table (scenario text, enrolled bigint, error text)
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll(text, timestamptz) is
    'API: public. Enters every row that a running scenario''s domain matches and that is not in it yet (all running scenarios but '
    'those that another session is enrolling, or one by name); without the access operator only scenarios of whose owner the caller '
    'is a member. An error in one is returned and kept in scenario_status, and the '
    'others still run; those that failed run last, and only one that was too slow is tried again in a run. now: time to assume instead of '
    'the present (tests, simulations); only scenarios of whose owner the caller is a member run then';

create or replace function marketing_automation_internal.enroll_one_of(caller regrole, tried text[])
    returns table (scenario text, enrolled bigint, error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario;
begin
    chosen := marketing_automation_internal.next_to_enroll(
        case when not marketing_automation_internal.has_right(caller, null, 'operate') then caller end,
        array(select s.id from marketing_automation.scenario s where s.name = any (coalesce(tried, '{}'))));
    if chosen.id is null then
        return;
    end if;
    scenario := chosen.name;
    enrolled := 0;
    error := marketing_automation_internal.skip_scenario(chosen.id);
    if error is null then
        select e.enrolled, e.error into enrolled, error from marketing_automation_internal.enroll_in_turn(chosen, clock_timestamp(),
            marketing_automation_internal.sees_rows(caller, chosen.id)) e;
    end if;
    return next;
end $$;
comment on function marketing_automation_internal.enroll_one_of(regrole, text[]) is
    'API: private. What enroll_next() does once it has reached the definitions';

create or replace function marketing_automation_internal.enroll_next(caller regrole, tried text[])
    returns table (scenario text, enrolled bigint, error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.reach_definitions();
    return query select e.scenario, e.enrolled, e.error from marketing_automation_internal.enroll_one_of(caller, tried) e;
end $$;
comment on function marketing_automation_internal.enroll_next(regrole, text[]) is 'API: private. Behind enroll_next()';

create or replace function marketing_automation.enroll_next(tried text[] default '{}') returns table (scenario text, enrolled bigint, error text)
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll_next(text[]) is
    'API: public. Like enroll(), for the one running scenario whose turn it is, of those that are not among tried; no row when all '
    'have had theirs. For those who commit between scenarios, as enroll_all() does';

create or replace procedure marketing_automation.enroll_all()
-- Where there are commits no search_path can be pinned: types are qualified, too.
language plpgsql as $$
declare
    tried pg_catalog.text[] := '{}';
    its_name pg_catalog.text;
begin
    loop
        select e.scenario into its_name from marketing_automation.enroll_next(tried) e;
        commit;
        exit when its_name is null;
        tried := pg_catalog.array_append(tried, its_name);
    end loop;
end $$;
comment on procedure marketing_automation.enroll_all() is
    'API: public. Like enroll(), committing scenario by scenario, so that what one has entered stays, and waits for no other. Not '
    'inside a transaction block. Errors are in scenario_status';

-- functions/enroll_records.sql
-- Entering rows at once, by their keys, inside the transaction of whoever has written them: an order, a registration.
--
-- Unlike enroll() this shares the lock of the scenario, with enroll() too, and two sessions meet only at the same key, by the unique
-- constraint. What an expression raises is raised or warned of, and not kept in scenario_status: others would wait for that row.

create or replace function marketing_automation_internal.entering_keys_query(
    scenario marketing_automation.scenario, model marketing_automation.model
) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- The keys stand outside, where they find the rows, and inside, where they keep the domain, which may raise, from others. In order,
    -- as two sessions may enter the same ones.
    select format('select %s, %s, %s, %s, %s from %s as self where %s and %s order by 1',
        marketing_automation_internal.as_key(model.key, model.key_type), marketing_automation_internal.as_text(model.party),
        marketing_automation_internal.as_text(model.time_zone), marketing_automation_internal.topic_address(scenario, model),
        marketing_automation_internal.as_occasion(scenario.occasion),
        model.relation, k.condition,
        marketing_automation_internal.guarded(format(E'(%s\n)', scenario.domain), k.condition))
    from marketing_automation_internal.key_condition(model.relation, model.key, model.key_type) k (condition)
$$;
comment on function marketing_automation_internal.entering_keys_query(marketing_automation.scenario, marketing_automation.model) is
    'API: private. As entering_query(), of the rows whose keys are in $1';

create or replace function marketing_automation_internal.enter_keys(
    scenario marketing_automation.scenario, model marketing_automation.model, source text, keys text[], now timestamptz,
    out entered bigint, out poisoned bigint, out refused bigint, out stopped boolean, out error text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(keys));
    failed boolean;
    poison text[];
    first_error text;
    first_code text;
    detail text;
    broken text;
begin
    entered := 0;
    poisoned := 0;
    refused := 0;
    stopped := false;
    -- The first thousand are enough to know that it is not the fault of single rows.
    while part.first is not null and poisoned + refused < 1000 loop
        begin
            entered := entered + marketing_automation_internal.enter_after_others(scenario, model, source, keys[part.first:part.last], null,
                poison, now);
            poisoned := poisoned + coalesce(cardinality(poison), 0);
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate, detail = pg_exception_detail, broken = constraint_name;
            if marketing_automation_internal.is_for_the_caller(code) then
                raise;
            end if;
            failed := true;
        end;
        if failed and marketing_automation_internal.is_passing_error(code) then
            stopped := true;
            return;
        end if;
        if failed and part.first = part.last then
            if refused = 0 then
                first_error := marketing_automation_internal.entering_error(scenario, error, code, broken, detail);
                first_code := code;
            end if;
            if poison is null and broken = '' then
                -- If it is the condition of a root, the row enters, and fails when that runs.
                poison := keys[part.first:part.last];
                continue;
            end if;
            refused := refused + 1;
        end if;
        poison := null;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    error := first_error;
    code := first_code;
end $$;
comment on function marketing_automation_internal.enter_keys(marketing_automation.scenario, marketing_automation.model, text, text[],
    timestamptz, out bigint, out bigint, out bigint, out boolean, out text, out text) is
    'API: private. Enters rows by their keys: how many have entered, how many of them for which the condition of a root raises '
    '(poisoned), how many have not, as another expression raises (refused), and the first error. stopped: an error that passes ended it';

create or replace function marketing_automation_internal.share_scenario_soon(scenario marketing_automation.scenario) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform from marketing_automation.scenario_status s where s.scenario_id = scenario.id for key share;
    if not found then
        insert into marketing_automation.scenario_status (scenario_id) values (scenario.id) on conflict do nothing;
        perform from marketing_automation.scenario_status s where s.scenario_id = scenario.id for key share;
    end if;
exception when lock_not_available then
    raise exception 'another session has been changing scenario "%" for more than a second', scenario.name
        using errcode = 'lock_not_available', hint = 'Try again when its transaction has ended; the next enroll() enters the row, too.';
end $$;
comment on function marketing_automation_internal.share_scenario_soon(marketing_automation.scenario) is
    'API: private. Makes entering rows by their keys and changes of a scenario''s tree wait for each other, until the transaction ends; '
    'raises after a second. enroll() and others who enter do not wait';

create or replace function marketing_automation_internal.enter_records(caller regrole, scenario_name text, keys text[], now timestamptz,
    out entered bigint, out refused bigint, out error text, out code text, out sees boolean)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario_name, 'enter');
    model marketing_automation.model;
    at timestamptz := marketing_automation_internal.time_or_now(caller, now, scenario_name);
    its record;
begin
    perform marketing_automation_internal.demand_running(chosen);
    if keys is null or array_position(keys, null) is not null then
        raise exception 'a key of scenario "%" is null', chosen.name
            using errcode = 'null_value_not_allowed', hint = 'Give the value of the model''s key of the row that is to enter.';
    end if;
    entered := 0;
    refused := 0;
    sees := marketing_automation_internal.sees_rows(caller, chosen.id);
    perform marketing_automation_internal.share_scenario_soon(chosen);
    perform marketing_automation_internal.begin_turn();
    model := marketing_automation_internal.enterable_model(chosen);
    if model.name is null then
        perform marketing_automation_internal.end_turn();
        raise warning 'scenario "%" has no activity that a row could start: nobody enters', chosen.name
            using hint = 'The next enroll() enters these rows, when it has one.';
        return;
    end if;
    perform marketing_automation_internal.assume_time(now);
    if now is not null then
        perform marketing_automation_internal.warn_of_present('domain', chosen.name, chosen.domain);
        perform marketing_automation_internal.warn_of_present('occasion', chosen.name, chosen.occasion);
    end if;
    select e.* into its
    from marketing_automation_internal.enter_keys(chosen, model,
        marketing_automation_internal.entering_keys_query(chosen, model), keys, at) e;
    perform marketing_automation_internal.end_turn();
    perform marketing_automation_internal.assume_time(null);
    if its.stopped then
        raise exception using message = its.error, errcode = its.code;
    end if;
    entered := its.entered;
    refused := its.refused;
    -- What is wrong with a row that has entered is told when its activity fails.
    error := case when refused > 0 then its.error end;
    code := case when refused > 0 then its.code end;
    if entered > 0 then
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, records)
        values (chosen.id, marketing_automation_internal.counter_period(at), entered);
    end if;
exception when others then
    -- What does not fit its relation any more is named, as in scenario_status.
    get stacked diagnostics error = message_text, code = returned_sqlstate;
    if not marketing_automation_internal.is_broken_definition(code) or marketing_automation_internal.definition_error(chosen) is null then
        raise;
    end if;
    raise exception 'scenario "%": %', chosen.name, marketing_automation_internal.definition_error(chosen) using errcode = code;
end $$;
comment on function marketing_automation_internal.enter_records(regrole, text, text[], timestamptz, out bigint, out bigint, out text,
    out text, out boolean) is
    'API: private. Enters rows of a running scenario by their keys. sees: whether the caller may be told an error that quotes a row';

create or replace function marketing_automation_internal.enroll_record(caller regrole, scenario text, key text, now timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result record;
begin
    perform marketing_automation_internal.reach_definitions();
    select e.* into result from marketing_automation_internal.enter_records(caller, scenario, array[key], now) e;
    if result.refused > 0 then
        raise exception 'row "%" cannot enter scenario "%": %', key, scenario, case when result.sees then result.error
                else marketing_automation_internal.public_error(result.error, result.code) end
            using errcode = result.code;
    end if;
    return result.entered > 0;
end $$;
comment on function marketing_automation_internal.enroll_record(regrole, text, text, timestamptz) is 'API: private. Behind enroll_record()';

create or replace function marketing_automation.enroll_record(scenario text, key text, now timestamptz default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll_record(text, text, timestamptz) is
    'API: public. Enters one row of a running scenario''s model, at once and within your transaction: whether it has entered by this. Not '
    'if the domain is not true for it, if it is in already (where rows enter again: if it may not yet), if its party has unsubscribed or its '
    'topic is not wanted, or if there is no such row; what an '
    'expression raises is raised. Waits for nobody but who enters the same row and, for a second, who changes the scenario. now: as that of '
    'enroll()';

create or replace function marketing_automation_internal.enroll_records(caller regrole, scenario text, keys text[], now timestamptz) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result record;
begin
    perform marketing_automation_internal.reach_definitions();
    select e.* into result from marketing_automation_internal.enter_records(caller, scenario, keys, now) e;
    if result.refused > 0 and result.refused >= least(1000, cardinality(keys)) then
        raise exception 'rows cannot enter scenario "%": %', scenario, case when result.sees then result.error
                else marketing_automation_internal.public_error(result.error, result.code) end
            using errcode = result.code;
    end if;
    if result.refused > 0 then
        -- Neither keys nor values: the log is not for them.
        raise warning 'scenario "%": % not enter, as an expression raises', scenario,
            case result.refused when 1 then '1 row does' else result.refused || ' rows do' end
            using errcode = result.code, hint = 'The next enroll() names them in scenario_status, if they match the domain.';
    end if;
    return result.entered;
end $$;
comment on function marketing_automation_internal.enroll_records(regrole, text, text[], timestamptz) is
    'API: private. Behind enroll_records()';

create or replace function marketing_automation.enroll_records(scenario text, keys text[], now timestamptz default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.enroll_records(text, text[], timestamptz) is
    'API: public. As enroll_record(), for many rows in one statement; returns how many have entered. Rows for which an expression raises '
    'are left out with a warning; it is an error if that are all of them, or a thousand';

-- functions/start_children.sql
-- Starting children: where a waiting row is written for an activity that may be deleted in the same moment.
--
-- Three places write them: enrolling for roots, processing for the children of what sends no mail, start_children() and mark_events()
-- for those of mails. Each holds the activities that it writes rows for (for key share) until it commits, and deleting one waits for
-- that, sees the rows, and refuses. The other way round nobody waits for a deletion that is open: what is being deleted gets its rows
-- all the same, under a share of the lock of its scenario, which the deletion takes when it commits, to remove them:
-- see activity_gone().

create or replace function marketing_automation_internal.lock_children(parents integer[]) returns integer[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    locked integer[] := array(
        select a.id from marketing_automation.activity a where a.parent_id = any (parents) order by a.id for key share skip locked);
    children integer[] := array(select a.id from marketing_automation.activity a where a.parent_id = any (parents));
begin
    if children <@ locked then
        return children;
    end if;
    perform from marketing_automation.scenario_status s
    where s.scenario_id in (select a.scenario_id from marketing_automation.activity a where a.id = any (parents))
    order by s.scenario_id for key share;
    return array(select a.id from marketing_automation.activity a where a.parent_id = any (parents));
end $$;
comment on function marketing_automation_internal.lock_children(integer[]) is
    'API: private. The children of activities, of which none goes before this transaction ends without what waits for it: only for '
    'these may it write waiting rows';

create or replace function marketing_automation_internal.event_time(mail marketing_automation_internal.finished_activity, event text)
    returns timestamptz
language sql immutable
return case
    when event in ('email_opened', 'email_not_opened') then (mail).opened_at
    when event in ('email_clicked', 'email_not_clicked') then (mail).clicked_at
    when event in ('email_bounced', 'email_not_bounced') then (mail).bounced_at end;
comment on function marketing_automation_internal.event_time(marketing_automation_internal.finished_activity, text) is
    'API: private. When an event, or the one that a negative event waits to miss, happened to a mail; null: not yet';

create or replace function marketing_automation_internal.write_children(records bigint[], activities integer[], times timestamptz[]) returns void
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
    with child as materialized (
        select u.record_id, u.activity_id, marketing_automation_internal.after_delay(u.at, case when a.at is null then a.delay end, r.time_zone) as at,
            case when r.blocked_at is not null then 'blocked' else r.end_reason end as obstacle
        from unnest(records, activities, times) as u (record_id, activity_id, at)
        join marketing_automation_internal.record r on r.id = u.record_id
        join marketing_automation.activity a on a.id = u.activity_id
        where not exists (
            select from marketing_automation_internal.finished_activity f
            where f.record_id = u.record_id and f.activity_id = u.activity_id)
    ), waiting as (
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        select c.record_id, c.activity_id, c.at from child c where c.obstacle is null
        on conflict do nothing
    ), cancelled as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select c.record_id, c.activity_id, 'cancelled', c.obstacle, c.at, statement_timestamp() from child c where c.obstacle is not null
        on conflict do nothing
        returning activity_id
    )
    insert into marketing_automation_internal.activity_counter (activity_id, period, cancelled)
    select c.activity_id, marketing_automation_internal.counter_period(statement_timestamp()), count(*) from cancelled c group by 1;
$$;
comment on function marketing_automation_internal.write_children(bigint[], integer[], timestamptz[]) is
    'API: private. Lets activities wait for records until their delay is over, from these times on; for a blocked record they end as what block() cancels, and '
    'unblocking takes that back; for one whose journey has ended they end as that did';

create or replace function marketing_automation_internal.start_children(records bigint[], activities integer[], times timestamptz[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    children integer[] := marketing_automation_internal.lock_children(activities);
begin
    if children = '{}' then
        return;
    end if;
    perform marketing_automation_internal.write_children(array_agg(u.record_id), array_agg(c.id),
        array_agg(u.at))
    from unnest(records, activities, times) as u (record_id, activity_id, at)
    join marketing_automation_internal.finished_activity p on p.record_id = u.record_id and p.activity_id = u.activity_id
    join marketing_automation.activity a on a.id = u.activity_id
    join marketing_automation.activity c on c.parent_id = u.activity_id and c.id = any (children)
    where c.on_event is null and (a.branch_by is null or exists (
            select from marketing_automation_internal.branch_decision d
            where d.record_id = u.record_id and d.parent_id = u.activity_id and d.activity_id = c.id))
       or c.on_event like 'email\_not\_%' and marketing_automation_internal.event_time(p, c.on_event) is null
    having count(*) > 0;
end $$;
comment on function marketing_automation_internal.start_children(bigint[], integer[], timestamptz[]) is
    'API: private. Starts what follows mails that were sent then: children without an event, of alternatives the one that was '
    'decided on, and those that wait to miss an event. The caller holds the rows of the mails in finished_activity';

create or replace function marketing_automation_internal.lock_mails(records bigint[], activities integer[], out held_records bigint[],
    out held_activities integer[], out other_records bigint[], out other_activities integer[])
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
    with mail as materialized (
        select u.record_id, u.activity_id from unnest(records, activities) as u (record_id, activity_id)
        group by u.record_id, u.activity_id
    ), locked as materialized (
        select f.record_id, f.activity_id from mail m
        join marketing_automation_internal.finished_activity f on f.record_id = m.record_id and f.activity_id = m.activity_id
        for no key update of f skip locked
    )
    select coalesce(array_agg(m.record_id) filter (where l.record_id is not null), '{}'),
           coalesce(array_agg(m.activity_id) filter (where l.record_id is not null), '{}'),
           coalesce(array_agg(m.record_id) filter (where l.record_id is null), '{}'),
           coalesce(array_agg(m.activity_id) filter (where l.record_id is null), '{}')
    from mail m left join locked l on l.record_id = m.record_id and l.activity_id = m.activity_id
$$;
comment on function marketing_automation_internal.lock_mails(bigint[], integer[], out bigint[], out integer[], out bigint[],
    out integer[]) is
    'API: private. Locks the rows of mails in finished_activity, and says which another session holds';

create or replace function marketing_automation_internal.start_or_note_children(records bigint[], activities integer[], at timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    mails record;
begin
    select l.* into mails from marketing_automation_internal.lock_mails(records, activities) l;
    perform marketing_automation_internal.start_children(mails.held_records, mails.held_activities,
        array_fill(at, array[cardinality(mails.held_records)]));
    -- The result of a mail waits for nobody; what follows is started by whoever applies events, when its row is free.
    insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id)
    select gen_random_uuid(), at, 'email_sent', u.record_id, u.activity_id
    from unnest(mails.other_records, mails.other_activities) as u (record_id, activity_id);
end $$;
comment on function marketing_automation_internal.start_or_note_children(bigint[], integer[], timestamptz) is
    'API: private. Starts the children of mails that were sent, or leaves that to who applies events where another session holds the '
    'mail';

-- functions/due_records.sql
-- What process_due() takes next of an activity, locked. It passes over what others hold, so that a transaction that stays open
-- (block(), another process_due()) keeps nobody else from what is not its own.

create or replace function marketing_automation_internal.due_records(activity marketing_automation.activity, batch_size integer, now timestamptz)
    returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- Row by row in the order of the index on (activity_id, at), whatever is known of the table: another plan locks all that is due.
set enable_sort = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    since timestamptz := marketing_automation_internal.queue_cursor('waiting', activity.id, '');
    may_end boolean := (select s.goal is not null or s.exit_condition is not null from marketing_automation.scenario s where s.id = activity.scenario_id);
begin
    return array(
        select w.record_id
        from marketing_automation_internal.waiting_activity w
        -- Whoever decides about children that wait for an event holds the parent's row.
        left join lateral (
            select f.record_id from marketing_automation_internal.finished_activity f
            where activity.on_event is not null and f.record_id = w.record_id and f.activity_id = activity.parent_id
            for no key update skip locked) parent on true
        -- Whoever writes the conversion by the goal, or that it has ended, holds the record: another batch would wait otherwise.
        left join lateral (
            select r.id from marketing_automation_internal.record r
                where may_end and r.id = w.record_id for no key update skip locked) its on true
        where w.activity_id = activity.id and w.at between since and now
          and (activity.on_event is null or parent.record_id is not null) and (not may_end or its.id is not null)
        order by w.at limit batch_size for update of w skip locked);
end $$;
comment on function marketing_automation_internal.due_records(marketing_automation.activity, integer, timestamptz) is
    'API: private. Records for which an activity is due, first those that have been due longest, at most batch_size and none that '
    'another session works on. Locks their waiting rows; of an activity on an event the parents'' rows before, where the scenario '
    'has a goal or an exit condition the records';

-- functions/process_records.sql
-- Processing one batch of one activity: the statement that decides, and the search for records whose expressions raise.

create or replace function marketing_automation_internal.as_goal_parts(scenario marketing_automation.scenario) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- Only where the goal is reached: before there may be nothing to compute with. What is no finite value counts as none.
    select case when (scenario).goal is null or (scenario).goal_at is null then 'null::timestamptz'
        else format(E'case when %s then (%s\n)::timestamptz end', marketing_automation_internal.as_condition((scenario).goal),
            (scenario).goal_at) end
        || ', ' || case when (scenario).goal is null or (scenario).goal_value is null then 'null::numeric'
        else format(E'case when %s then (%s\n)::numeric end', marketing_automation_internal.as_condition((scenario).goal),
            (scenario).goal_value) end
$$;
comment on function marketing_automation_internal.as_goal_parts(marketing_automation.scenario) is
    'API: private. Expressions over self, ready to stand in a query, for when a row has reached the goal of a scenario, and what that is worth';

create or replace function marketing_automation_internal.record_query(activity_id integer) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.key_query(m.relation, m.key, m.key_type, concat_ws(', ',
        marketing_automation_internal.as_key(m.key, m.key_type),
        -- An alternative was asked when its parent ran, and is not asked again.
        marketing_automation_internal.as_condition(case when p.branch_by is null or a.on_event is not null then a.condition end),
        marketing_automation_internal.as_record(m.relation, marketing_automation_internal.mail_columns(a.id)),
        marketing_automation_internal.as_short_text(m.email), marketing_automation_internal.as_short_text(m.recipient_name),
        marketing_automation_internal.as_short_text(m.language), marketing_automation_internal.as_short_text(m.time_zone),
        case when s.goal is null then 'false' else marketing_automation_internal.as_condition(s.goal) end,
        marketing_automation_internal.as_condition(m.track_opens), marketing_automation_internal.as_condition(m.track_clicks),
        case when s.exit_condition is null then 'false' else marketing_automation_internal.as_condition(s.exit_condition) end,
        marketing_automation_internal.as_goal_parts(s), marketing_automation_internal.condition_choice(a)))
    from marketing_automation.activity a
    left join marketing_automation.activity p on p.id = a.parent_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    join marketing_automation.model m on m.name = s.model
    where a.id = activity_id
$$;
comment on function marketing_automation_internal.record_query(integer) is
    'API: private. Query, to run as the scenario''s owner, that gives what an activity needs of the rows whose keys are in $1 '
    '(text[])';

create or replace function marketing_automation_internal.process_records(activity marketing_automation.activity, records bigint[], now timestamptz,
    query text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    scenario marketing_automation.scenario;
    relation regclass;
    -- The mailer knows no other time than the present: what is sent at an assumed time in the future leaves now.
    mail_due timestamptz := least(now, clock_timestamp());
    limited boolean := exists (select from marketing_automation.domain_limit);
    children integer[] := marketing_automation_internal.lock_children(array[activity.id]);
    honors_unsubscribe boolean := marketing_automation_internal.honors_unsubscribe(activity);
    shares record;
    processed integer;
    queued integer;
    wanted integer := cardinality(records);
    undated bigint[] := '{}';
    expired bigint[] := '{}';
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    relation := (select m.relation from marketing_automation.model m where m.name = scenario.model);
    select s.* into shares from marketing_automation_internal.share_choice(activity) s;
    if activity.on_event like 'email\_not\_%' then
        records := marketing_automation_internal.apply_events_of(activity.parent_id, records);
        wanted := cardinality(records);
    end if;
    if activity.at is not null then
        select w.remaining, w.undated, w.expired into records, undated, expired
        from marketing_automation_internal.wait_for_date(activity, scenario, relation, records, now) w;
    end if;
    with place as materialized (
        -- Row by row through the primary key. Until the table is analyzed after much has entered, a plan for all at once reads all
        -- that waits for the activity, as does the index of its due rows: + 0 is in no index.
        select w.ctid
        from unnest(records) as u (id)
        cross join lateral (
            select w.ctid from marketing_automation_internal.waiting_activity w
            where w.record_id = u.id and w.activity_id + 0 = activity.id offset 0) w
    ), taken as (
        delete from marketing_automation_internal.waiting_activity w where w.ctid = any (array(select p.ctid from place p))
        returning w.record_id, w.at
    ), live as materialized (
        select t.record_id, t.at, r.key, r.party, r.time_zone as its_zone,
               r.blocked_at is not null or exists (
                   select from marketing_automation.unsubscription u
                   where honors_unsubscribe and u.scenario_id in (0, r.scenario_id) and u.party = r.party)
                   -- That of its address is known to the claim, as with unsubscribed ones.
                   or honors_unsubscribe and scenario.topic is not null and exists (
                       select from marketing_automation.subscription u where u.topic = scenario.topic and u.party = r.party
                           and u.address_hash is null and u.state = 'unsubscribed') as blocked,
               r.end_reason, r.entered_at,
               scenario.goal_ends_journey and exists (
                   select from marketing_automation.conversion c where c.record_id = t.record_id and c.source = 'goal') as arrived
        from taken t join marketing_automation_internal.record r on r.id = t.record_id
    ), found as materialized (
        select q.*
        from marketing_automation_internal.query_as_owner(scenario.owner_id, relation, query, array(select l.key from live l where not l.blocked
            and l.end_reason is null and not l.arrived))
             as q (key text, holds boolean, context jsonb, email text, recipient_name text, language text, time_zone text, reached boolean,
                   track_opens boolean, track_clicks boolean, leaves boolean,
                   goal_at timestamptz, goal_value numeric, choice integer)
    ), decided as materialized (
        select l.record_id, l.at, l.key, l.party, l.its_zone, f.context, f.email, f.recipient_name, f.language, f.time_zone, f.reached,
               f.track_opens, f.track_clicks, b.reason, f.goal_at, f.goal_value,
               case when activity.branch_by = 'share' then shares.ids[1 + width_bucket(
                   marketing_automation_internal.share_point(activity.id, coalesce(l.party, l.key)), shares.bounds)]
                   else f.choice end as choice,
               case when l.blocked then 'blocked'
                    when l.end_reason is not null then l.end_reason
                    when l.record_id = any (undated) then 'no_date'
                    -- A goal whose time is to come is not reached yet.
                    when l.arrived or f.reached and scenario.goal_ends_journey and coalesce(f.goal_at, now) <= now then 'goal_reached'
                    when f.leaves then 'exited'
                    when f.key is null then 'row_missing'
                    when l.record_id = any (expired) then 'expired'
                    when not f.holds then 'condition_not_met'
                    when activity.action is null then 'executed'
                    when nullif(trim(f.email), '') is null then 'no_address'
                    when b.reason is not null then 'error'
                    else 'mailed' end as outcome
        from live l left join found f on f.key = l.key
        -- It costs this mail, and neither those of others nor the memory of whoever sends.
        cross join lateral (
            select case when jsonb_typeof(f.context) = 'string' then f.context #>> '{}'
                when length(f.email) > 1000 then 'its address has more than 1,000 characters'
                when length(f.recipient_name) > 1000 then 'the name of its recipient has more than 1,000 characters' end as reason) as b
    ), finished as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at, error,
            error_code)
        select d.record_id, activity.id, marketing_automation_internal.state_of(d.outcome), d.outcome, d.at, now,
            case when d.outcome = 'error' then d.reason end, case when d.outcome = 'error' then '54000' end
        from decided d
    ), branched as (
        insert into marketing_automation_internal.branch_decision (record_id, parent_id, activity_id, decided_at)
        select d.record_id, activity.id, d.choice, now
        from decided d where activity.branch_by is not null and d.outcome in ('executed', 'mailed', 'no_address')
    ), mail as (
        insert into marketing_automation_internal.outbox
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                created_at, due_at, domain_queue)
        select nextval('marketing_automation_internal.message_id_seq'), d.record_id, activity.id, d.key, d.party, trim(d.email),
               d.recipient_name, d.language,
               case when d.time_zone is not null then marketing_automation_internal.usable_time_zone(d.time_zone) end,
               d.context, d.track_opens and scenario.track_opens, d.track_clicks and scenario.track_clicks, now, mail_due,
               case when limited
                    then coalesce((select l.domain from marketing_automation.domain_limit l
                        where l.domain = marketing_automation_internal.address_domain(d.email)), '')
                    else '' end
        from decided d where d.outcome = 'mailed'
    ), reached as (
        -- Of who has not by then, it is asked again.
        delete from marketing_automation_internal.open_goal g using decided d
        where scenario.goal is not null and d.reached and coalesce(d.goal_at, now) <= now
          and g.scenario_id = scenario.id and g.record_id = d.record_id
        returning g.record_id, g.until, coalesce(nullif(d.goal_at, '-infinity'), now) as at, d.goal_value
    ), converted as (
        -- In order, as batches of other activities may convert the same records.
        insert into marketing_automation.conversion (record_id, scenario_id, at, value, source, activity_id)
        select r.record_id, scenario.id, r.at, marketing_automation_internal.finite(r.goal_value), 'goal', a.activity_id
        from reached r join live l on l.record_id = r.record_id
        left join marketing_automation_internal.credited_activities(array(select o.record_id from reached o), array(select o.at from reached o)) a
            on a.record_id = r.record_id
        where r.at between l.entered_at and r.until order by r.record_id
        on conflict (record_id) where source = 'goal' do nothing
    ), ending as (
        update marketing_automation_internal.record r set ended_at = now, end_reason = d.outcome
        from decided d
        where (scenario.goal_ends_journey or scenario.exit_condition is not null) and d.outcome in ('goal_reached', 'exited')
          and r.id = d.record_id and r.end_reason is null
    ), arriving as (
        -- What others hold will end so when it is due. That of an event belongs to who holds its parent's row.
        delete from marketing_automation_internal.waiting_activity w
        where w.ctid = any (array(
            select o.ctid from decided d join marketing_automation_internal.waiting_activity o on o.record_id = d.record_id
                and o.activity_id <> activity.id
            join marketing_automation.activity a on a.id = o.activity_id
            left join lateral (
                select f.record_id from marketing_automation_internal.finished_activity f
                where a.on_event is not null and f.record_id = o.record_id and f.activity_id = a.parent_id
                for no key update skip locked) parent on true
            where (scenario.goal_ends_journey or scenario.exit_condition is not null) and d.outcome in ('goal_reached', 'exited')
              and (a.on_event is null or parent.record_id is not null)
            for update of o skip locked))
        returning w.record_id, w.activity_id, w.at, (select d.outcome from decided d where d.record_id = w.record_id) as outcome
    ), opposite as (
        delete from marketing_automation_internal.waiting_activity w
        using decided d, marketing_automation.activity o
        where activity.on_event is not null and marketing_automation_internal.state_of(d.outcome) = 'done'
          and o.parent_id = activity.parent_id and o.on_event = marketing_automation_internal.opposite_event(activity.on_event)
          and w.record_id = d.record_id and w.activity_id = o.id
        returning w.record_id, w.activity_id, w.at, 'opposite_executed' as outcome
    ), other as (
        select * from opposite union all select * from arriving
    ), cancelled as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select o.record_id, o.activity_id, 'cancelled', o.outcome, o.at, now from other o
    ), counted as materialized (
        select count(*) as records, count(*) filter (where marketing_automation_internal.state_of(d.outcome) = 'cancelled') as cancelled,
            count(*) filter (where d.outcome = 'mailed') as mailed, count(*) filter (where d.outcome = 'error') as failed,
            count(*) filter (where d.outcome in ('condition_not_met', 'row_missing', 'no_address', 'expired')) as skipped
        from decided d
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, done, skipped, cancelled, mailed, failed)
        select activity.id, marketing_automation_internal.counter_period(now), c.records - c.cancelled - c.skipped - c.failed, c.skipped,
            c.cancelled, c.mailed, c.failed
            from counted c where c.records > 0
        union all
        select o.activity_id, marketing_automation_internal.counter_period(now), 0, 0, count(*), 0, 0 from other o group by o.activity_id
    ), unsubscribed as (
        -- By this its records are found when the party comes back. What somebody else holds is being blocked or unblocked.
        update marketing_automation_internal.record r set unsubscribed_at = now
        where r.id = any (array(
            select u.id from decided d join marketing_automation_internal.record u on u.id = d.record_id
            where d.outcome = 'blocked' and u.blocked_at is null and u.unsubscribed_at is null for no key update of u skip locked))
    ), children as (
        -- Children of a mail start when the server has taken it: see complete_messages().
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        select d.record_id, c.id, marketing_automation_internal.after_delay(now, case when c.at is null then c.delay end, d.its_zone)
        from decided d join marketing_automation.activity c on c.parent_id = activity.id and c.id = any (children)
        where case
                when d.outcome in ('executed', 'no_address') then c.on_event is null or c.on_event like 'email\_not\_%'
                when d.outcome = 'condition_not_met' then c.on_event = 'condition_not_met' end
          and (activity.branch_by is null or c.on_event is not null or c.id = d.choice)
          and not exists (select from marketing_automation_internal.finished_activity f where f.record_id = d.record_id
              and f.activity_id = c.id)
        on conflict do nothing
    )
    select c.records, c.mailed into processed, queued from counted c;
    if queued > 0 then
        perform marketing_automation_internal.notify_mailer();
    end if;
    return processed + wanted - cardinality(records);
end $$;
comment on function marketing_automation_internal.process_records(marketing_automation.activity, bigint[], timestamptz, text) is
    'API: private. Runs one activity for these records, which due_records() has locked, in one statement, but for those whose date is to '
    'come, which wait for it; how many. Raises what a user expression raises';

create or replace function marketing_automation_internal.refresh_key_type(scenario marketing_automation.scenario) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    model marketing_automation.model;
begin
    select m.* into strict model from marketing_automation.model m where m.name = scenario.model;
    if marketing_automation_internal.check_expression(scenario.owner_id, model.relation, model.key, 'key') = model.key_type then
        return false;
    end if;
    -- Finding the type is what the trigger does.
    update marketing_automation.model m set key_type = m.key_type where m.name = model.name;
    -- Whoever asks tries again, and would without end.
    return exists (select from marketing_automation.model m where m.name = model.name and m.key_type <> model.key_type);
exception when others then
    -- Whatever is wrong with the key, there is an error about it already.
    return false;
end $$;
comment on function marketing_automation_internal.refresh_key_type(marketing_automation.scenario) is
    'API: private. Whether the key was found to have another type than it was registered with, because its column was retyped '
    '(integer to bigint): keys cast to the old type would not all fit';

create or replace function marketing_automation_internal.key_raises(activity marketing_automation.activity, of_record bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    scenario marketing_automation.scenario;
    model marketing_automation.model;
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    select m.* into strict model from marketing_automation.model m where m.name = scenario.model;
    begin
        perform from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type, 'true'),
            array[(select r.key from marketing_automation_internal.record r where r.id = of_record)]) as q (is_there boolean);
        return false;
    exception when others then
        if marketing_automation_internal.is_passing_error(sqlstate) then
            raise;
        end if;
    end;
    return (marketing_automation_internal.set_rows_apart(scenario, model, true, null)).apart > 0;
end $$;
comment on function marketing_automation_internal.key_raises(marketing_automation.activity, bigint) is
    'API: private. Whether a record cannot be found since the key raises for some other row of its model: that one stands apart then, '
    'and the record can be found';

create or replace function marketing_automation_internal.fail_record(activity_id integer, record_id bigint, now timestamptz, error text, code text)
    returns void
language sql set search_path = pg_catalog, pg_temp as $$
    with taken as (
        delete from marketing_automation_internal.waiting_activity w where w.activity_id = $1 and w.record_id = $2
        returning w.at
    ), failed as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at, error,
            error_code)
        select $2, $1, 'failed', 'error', t.at, $3, $4, $5 from taken t
        on conflict do nothing
        returning record_id
    )
    insert into marketing_automation_internal.activity_counter (activity_id, period, failed)
    select $1, marketing_automation_internal.counter_period($3), 1 from failed
$$;
comment on function marketing_automation_internal.fail_record(integer, bigint, timestamptz, text, text) is
    'API: private. Has a waiting activity of a record fail, with its error kept';

create or replace function marketing_automation_internal.process_or_fail(activity marketing_automation.activity, records bigint[], now timestamptz,
    query text, out processed integer, out error text, out code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(records));
    failed boolean;
    asked_key boolean := false;
    broken text;
begin
    processed := 0;
    -- Until the poisonous records are alone; the others go through.
    while part.first is not null loop
        begin
            processed := processed
                + marketing_automation_internal.process_records(activity, records[part.first:part.last], now, query);
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate, broken = constraint_name;
            if marketing_automation_internal.is_for_the_caller(code) then
                raise;
            end if;
            failed := true;
        end;
        if failed then
            if broken = 'finished_activity_pkey' then
                error := 'several rows of the model have the key of this record';
            end if;
            if code in ('22003', '22P02') and (
                    select marketing_automation_internal.refresh_key_type(s) from marketing_automation.scenario s
                        where s.id = activity.scenario_id) then
                query := marketing_automation_internal.record_query(activity.id);
                continue;
            end if;
            if marketing_automation_internal.is_passing_error(code) then
                return;
            end if;
            if not asked_key then
                asked_key := true;
                if marketing_automation_internal.key_raises(activity, records[part.first]) then
                    query := marketing_automation_internal.record_query(activity.id);
                    continue;
                end if;
            end if;
            if part.first = part.last then
                perform marketing_automation_internal.fail_record(activity.id, records[part.first], now, error, code);
                processed := processed + 1;
            end if;
        end if;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    error := null;
    code := null;
end $$;
comment on function marketing_automation_internal.process_or_fail(marketing_automation.activity, bigint[], timestamptz, text, out integer,
    out text, out text) is
    'API: private. Like process_records, but a record whose expressions raise fails alone, with its error kept. query: record_query(). An '
    'error that passes ends it, and is returned; what was processed before stays';

-- functions/sweeps.sql
-- Sweeps: records of a scenario are asked, slice by slice, so that a transaction is short however many they are, whether something holds
-- for them that nobody tells: exits.sql, goals.sql.

create or replace function marketing_automation_internal.records_for_whom(scenario marketing_automation.scenario, condition text, records bigint[],
    out holds bigint[], out times timestamptz[], out amounts numeric[], out raises bigint[], out error text, out code text)
-- Its caller may have forbidden the planner what is right for the expressions of others.
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
set enable_bitmapscan = on as $$
declare
    model marketing_automation.model;
    query text;
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(records));
    failed boolean;
    found_now record;
begin
    holds := '{}';
    times := '{}';
    amounts := '{}';
    raises := '{}';
    if part.first is null then
        return;
    end if;
    model := marketing_automation_internal.usable_model(scenario);
    query := marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
        marketing_automation_internal.as_key(model.key, model.key_type), marketing_automation_internal.as_condition(condition),
        marketing_automation_internal.as_goal_parts(scenario)));
    -- Whatever is wrong with the expression by itself is raised by here.
    perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, query);
    while part.first is not null loop
        begin
            with its as materialized (
                select r.id, r.key from marketing_automation_internal.record r where r.id = any (records[part.first:part.last])
            )
            select coalesce(array_agg(i.id), '{}') as ids, coalesce(array_agg(q.goal_at), '{}') as times,
                coalesce(array_agg(q.goal_value), '{}') as amounts
            into found_now
            from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation, query, array(select i.key from its i))
                as q (key text, holds boolean, goal_at timestamptz, goal_value numeric)
            join its i on i.key = q.key
            where q.holds;
            holds := holds || found_now.ids;
            times := times || found_now.times;
            amounts := amounts || found_now.amounts;
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate;
            if marketing_automation_internal.is_passing_error(code) then
                if marketing_automation_internal.is_for_the_caller(code) then
                    raise;
                end if;
                return;
            end if;
            failed := true;
            if part.first = part.last then
                raises := raises || records[part.first];
            end if;
        end;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    code := null;
end $$;
comment on function marketing_automation_internal.records_for_whom(marketing_automation.scenario, text, bigint[], out bigint[],
    out timestamptz[], out numeric[], out bigint[], out text, out text) is
    'API: private. Of these records of a scenario, those for whose rows a condition holds, asked as the scenario''s owner, with what '
    'goal_at and goal_value give, and those for which it raises, with the last error. code: of an error that passes, which '
    'ended it; an error of the condition itself is raised. Its caller has begun a turn';

create or replace function marketing_automation_internal.end_objection(reason text) returns text
language sql immutable
return 'journey ended: ' || case reason when 'exited' then 'exit condition' when 'goal_reached' then 'goal reached'
    when 'entered_again' then 'entered again' end;
comment on function marketing_automation_internal.end_objection(text) is 'API: private. Why a mail does not leave after the journey has ended';

create or replace function marketing_automation_internal.end_journeys(records bigint[], reason text, at timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
    with ended as (
        update marketing_automation_internal.record r set ended_at = end_journeys.at, end_reason = reason
        where r.id = any (records) and r.end_reason is null
        returning r.id
    ), taken as (
        -- What others hold ends so when it is due. That of an event belongs to who holds its parent's row.
        delete from marketing_automation_internal.waiting_activity w
        where w.ctid = any (array(
            select o.ctid from marketing_automation_internal.waiting_activity o
            join marketing_automation.activity a on a.id = o.activity_id
            left join lateral (
                select f.record_id from marketing_automation_internal.finished_activity f
                where a.on_event is not null and f.record_id = o.record_id and f.activity_id = a.parent_id
                for no key update skip locked) parent on true
            where o.record_id = any (records) and (a.on_event is null or parent.record_id is not null)
            for update of o skip locked))
        returning w.record_id, w.activity_id, w.at
    ), cancelled as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select t.record_id, t.activity_id, 'cancelled', reason, t.at, end_journeys.at from taken t
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, cancelled)
        select t.activity_id, marketing_automation_internal.counter_period(end_journeys.at), count(*) from taken t group by 1
    )
    select count(*) from ended
$$;
comment on function marketing_automation_internal.end_journeys(bigint[], text, timestamptz) is
    'API: private. Ends the journeys of records, which the caller has locked, and cancels what waits for them; how many had '
    'not ended. Their queued mails are suppressed by the next claim, those claimed already revoked';

create or replace function marketing_automation_internal.lock_sweep(of_scenario integer, of_what text, waits boolean,
    out its marketing_automation_internal.sweep)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if waits then
        insert into marketing_automation_internal.sweep (scenario_id, what) values (of_scenario, of_what) on conflict do nothing;
        select s.* into its from marketing_automation_internal.sweep s where s.scenario_id = of_scenario and s.what = of_what for update;
        return;
    end if;
    if not exists (select from marketing_automation_internal.sweep s where s.scenario_id = of_scenario and s.what = of_what) then
        -- One session at a time: a second would wait for the row that the first has not committed.
        perform from marketing_automation.scenario_status s where s.scenario_id = of_scenario for no key update skip locked;
        if not found then
            return;
        end if;
        insert into marketing_automation_internal.sweep (scenario_id, what) values (of_scenario, of_what) on conflict do nothing;
    end if;
    select s.* into its from marketing_automation_internal.sweep s
    where s.scenario_id = of_scenario and s.what = of_what for update skip locked;
end $$;
comment on function marketing_automation_internal.lock_sweep(integer, text, boolean) is
    'API: private. Where a sweep of a scenario has come, locked, and made if it is the first. Null: another session is at it, unless waits';

create or replace function marketing_automation_internal.sweep_slice(scenario marketing_automation.scenario, of_what text, batch_size integer,
    now timestamptz, waits boolean) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its marketing_automation_internal.sweep := marketing_automation_internal.lock_sweep(scenario.id, of_what, waits);
    -- After waiting: a record that another session has entered meanwhile is not later than this.
    at timestamptz := coalesce(now, clock_timestamp());
    began timestamptz := clock_timestamp();
    size integer := least(batch_size, its.batch_size);
    next_size integer;
    slice record;
begin
    if its.scenario_id is null then
        return 0;
    end if;
    if its.began_at is null then
        update marketing_automation_internal.sweep s set began_at = began where s.scenario_id = scenario.id and s.what = of_what;
    end if;
    if of_what = 'date' then
        select d.asked, d.code into slice from marketing_automation_internal.date_slice(scenario, its, size, at) d;
    elsif of_what = 'exit' then
        select e.asked, e.code into slice from marketing_automation_internal.exit_slice(scenario, its, size, at) e;
    else
        select g.asked, g.code into slice from marketing_automation_internal.goal_slice(scenario, its, size, at) g;
    end if;
    if slice.code is not null then
        -- The round is over, and the next goes on here.
        update marketing_automation_internal.sweep s
        set began_at = null, rests_until = clock_timestamp() + interval '1 minute',
            batch_size = coalesce(marketing_automation_internal.next_batch(slice.code, slice.asked, 0), s.batch_size)
        where s.scenario_id = scenario.id and s.what = of_what;
        return 0;
    end if;
    if slice.asked = 0 then
        -- The round took some time; ten times that is for others.
        update marketing_automation_internal.sweep s
        set began_at = null, activity_id = 0, reached_at = '-infinity', reached_record = 0,
            rests_until = clock_timestamp() + greatest(interval '1 minute', least(10 * (clock_timestamp() - s.began_at), interval '1 hour'))
        where s.scenario_id = scenario.id and s.what = of_what;
    elsif its.batch_size is not null and marketing_automation_internal.is_quick(clock_timestamp() - began) then
        next_size := case when its.batch_size < batch_size then its.batch_size * 2 end;
        update marketing_automation_internal.sweep s set batch_size = next_size where s.scenario_id = scenario.id and s.what = of_what;
    end if;
    return slice.asked;
end $$;
comment on function marketing_automation_internal.sweep_slice(marketing_automation.scenario, text, integer, timestamptz, boolean) is
    'API: private. Asks the next records of a scenario for their exit, their goal or their dates, fewer than batch_size where more were too slow; how '
    'many. 0: the round is over, as all were asked, or as an error has ended it; or another session is at it, unless waits';

create or replace function marketing_automation_internal.run_sweep(caller regrole, what text, scenario text, batch_size integer, now timestamptz)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario;
    asked bigint := 0;
    slice integer;
    message text;
    code text;
begin
    if batch_size is null or batch_size not between 1 and 100000 then
        raise exception 'batch_size must be between 1 and 100000, not %', batch_size
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for 10000.';
    end if;
    if scenario is not null then
        chosen := marketing_automation_internal.scenario_for(caller, scenario, 'operate');
        perform marketing_automation_internal.time_or_now(caller, now, scenario);
        perform marketing_automation_internal.assume_time(now);
        -- A round of its own, from the beginning, after that of whoever is at it.
        perform marketing_automation_internal.lock_sweep(chosen.id, what, true);
        update marketing_automation_internal.sweep s set began_at = null, activity_id = 0, reached_at = '-infinity', reached_record = 0
        where s.scenario_id = chosen.id and s.what = run_sweep.what;
        while case what when 'exit' then chosen.exit_condition is not null when 'goal' then chosen.goal is not null
                else marketing_automation_internal.has_dates(chosen.id) end loop
            slice := marketing_automation_internal.sweep_slice(chosen, what, batch_size, now, true);
            exit when slice = 0;
            asked := asked + slice;
        end loop;
        perform marketing_automation_internal.assume_time(null);
        return asked;
    end if;
    perform marketing_automation_internal.time_or_now(caller, now, null);
    perform marketing_automation_internal.assume_time(now);
    for chosen in
        select s.* from marketing_automation.scenario s
        left join marketing_automation_internal.sweep w on w.scenario_id = s.id and w.what = run_sweep.what
        where case run_sweep.what
                when 'exit' then s.exit_condition is not null and s.state = 'running'
                when 'date' then s.state = 'running' and marketing_automation_internal.has_dates(s.id)
                else s.goal is not null and exists (
                    select from marketing_automation_internal.open_goal g where g.scenario_id = s.id) end
          and (now is null and marketing_automation_internal.has_right(caller, null, 'operate') or pg_has_role(caller, s.owner_id, 'MEMBER'))
          and (w.rests_until is null or w.rests_until <= clock_timestamp())
        order by w.rests_until nulls first, s.id
    loop
        begin
            slice := marketing_automation_internal.sweep_slice(chosen, what, batch_size, now, false);
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text, code = returned_sqlstate;
            slice := 0;
            if marketing_automation_internal.note_error(chosen.id, null, marketing_automation_internal.named_error(chosen, code,
                    format('%s: %s', what, message)), code) then
                raise warning 'scenario "%" cannot be asked for its %: %', chosen.name, what,
                    marketing_automation_internal.public_error(message, code) using errcode = code;
            end if;
            perform marketing_automation_internal.lock_sweep(chosen.id, what, false);
            update marketing_automation_internal.sweep s set rests_until = clock_timestamp() + interval '1 minute'
            where s.ctid = any (array(
                select w.ctid from marketing_automation_internal.sweep w
                where w.scenario_id = chosen.id and w.what = run_sweep.what for update skip locked));
        end;
        exit when slice > 0;
    end loop;
    perform marketing_automation_internal.assume_time(null);
    return coalesce(slice, 0);
end $$;
comment on function marketing_automation_internal.run_sweep(regrole, text, text, integer, timestamptz) is
    'API: private. Behind apply_exits(), apply_goals() and apply_dates(); what: exit, goal or date';

-- functions/dates.sql
-- Dates of the row: an activity with "at" is due at a date that its row has, moved by its delay. It is asked when the activity is due, for the
-- first time when it starts: who is too early waits for it, so that nothing runs at a date that has moved. Dates that have become earlier
-- are found by a sweep of all who wait.

create or replace function marketing_automation_internal.check_date(scenario marketing_automation.scenario, model marketing_automation.model,
    activity marketing_automation.activity) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_type regtype;
begin
    if activity.at is null then
        return;
    end if;
    its_type := marketing_automation_internal.check_expression(scenario.owner_id, model.relation, activity.at,
        format('at of activity "%s"', activity.name));
    if its_type <> 'timestamptz'::regtype then
        raise exception 'at of activity "%" is %, not a timestamp with time zone', activity.name, its_type
            using errcode = 'datatype_mismatch', detail = 'A date or a time without a zone is another moment in each place.',
                  hint = case when its_type in ('date'::regtype, 'timestamp'::regtype)
                      then format('Say where: timezone(''Europe/Paris'', (%s)::timestamp).', activity.at)
                      else 'Write an expression of type timestamptz, such as self.trial_ends_at.' end;
    end if;
end $$;
comment on function marketing_automation_internal.check_date(marketing_automation.scenario, marketing_automation.model,
    marketing_automation.activity) is
    'API: private. Raises unless the date of an activity plans, and is a timestamp with time zone; null: it has none';

create or replace function marketing_automation_internal.has_dates(of_scenario integer) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from marketing_automation.activity a where a.scenario_id = of_scenario and a.at is not null)
$$;
comment on function marketing_automation_internal.has_dates(integer) is 'API: private. Whether an activity of a scenario is due at a date of the row';

create or replace function marketing_automation_internal.date_query(activity marketing_automation.activity, model marketing_automation.model)
    returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format(E'%s, (%s\n)',
        marketing_automation_internal.as_key(model.key, model.key_type), activity.at))
$$;
comment on function marketing_automation_internal.date_query(marketing_automation.activity, marketing_automation.model) is
    'API: private. Query, to run as the scenario''s owner, for key and date of the rows whose keys are in $1 (text[])';

create or replace function marketing_automation_internal.due_date(day timestamptz, delay interval, zone text) returns timestamptz
language sql stable
-- What never comes is no date.
return case when isfinite(day) then marketing_automation_internal.after_delay(day, delay, zone) end;
comment on function marketing_automation_internal.due_date(timestamptz, interval, text) is
    'API: private. When an activity is due by a date of its row; null: there is none';

create or replace function marketing_automation_internal.wait_for_date(activity marketing_automation.activity, scenario marketing_automation.scenario,
    relation regclass, records bigint[], now timestamptz, out remaining bigint[], out undated bigint[], out expired bigint[])
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    model marketing_automation.model := (select m from marketing_automation.model m where m.name = scenario.model);
    query text := marketing_automation_internal.date_query(activity, model);
begin
    with its as materialized (
        select r.id, r.key, r.time_zone from marketing_automation_internal.record r
        where r.id = any (records) and r.blocked_at is null and r.end_reason is null
    ), dated as materialized (
        select i.id, marketing_automation_internal.due_date(q.day, activity.delay, i.time_zone) as at, i.time_zone
        from marketing_automation_internal.query_as_owner(scenario.owner_id, relation, query, array(select i.key from its i))
            as q (key text, day timestamptz)
        join its i on i.key = q.key
    ), moved as (
        update marketing_automation_internal.waiting_activity w set at = d.at
        from dated d where d.at > now and w.record_id = d.id and w.activity_id + 0 = activity.id
        returning w.record_id
    )
    select array(select u.id from unnest(records) as u (id) where not exists (select from moved m where m.record_id = u.id) order by u.id),
        array(select d.id from dated d where d.at is null),
        array(select d.id from dated d
            where activity.expires_after is not null
              and marketing_automation_internal.after_delay(d.at, activity.expires_after, d.time_zone) <= now)
    into remaining, undated, expired;
end $$;
comment on function marketing_automation_internal.wait_for_date(marketing_automation.activity, marketing_automation.scenario, regclass, bigint[],
    timestamptz, out bigint[], out bigint[], out bigint[]) is
    'API: private. Lets due records, which the caller has locked, wait for the date that their rows have now, if that is to come. Returns the '
    'others, and of them those without a date (undated), and those whose date was longer ago than expires_after (expired)';

create or replace function marketing_automation_internal.date_slice(scenario marketing_automation.scenario, its marketing_automation_internal.sweep,
    batch_size integer, now timestamptz, out asked integer, out code text)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    slice record;
    answer record;
    activity marketing_automation.activity;
    send_window marketing_automation.send_window;
begin
    select w.* into slice
    from marketing_automation_internal.waiting_slice(scenario.id, its.activity_id, its.reached_at, its.reached_record, batch_size, true) w;
    asked := coalesce(cardinality(slice.records), 0);
    if asked = 0 then
        return;
    end if;
    select a.* into strict activity from marketing_automation.activity a where a.id = slice.of_activity;
    send_window := marketing_automation_internal.its_window(activity);
    perform marketing_automation_internal.begin_turn();
    perform marketing_automation_internal.turn_asks(scenario.id, 'date');
    -- It is asked like a goal: for whom there is one, and when that is. Rows that raise fail when their activity runs.
    scenario.goal := format(E'(%s\n) is not null', activity.at);
    scenario.goal_at := activity.at;
    scenario.goal_value := null;
    select a.* into answer from marketing_automation_internal.records_for_whom(scenario, scenario.goal, slice.records) a;
    perform marketing_automation_internal.end_turn();
    code := answer.code;
    if code is not null then
        perform marketing_automation_internal.note_error(scenario.id, activity.id, format('at of activity "%s": %s', activity.name,
            answer.error), code);
        return;
    end if;
    update marketing_automation_internal.sweep s
    set activity_id = slice.of_activity, reached_at = slice.reached, reached_record = slice.reached_record
    where s.scenario_id = scenario.id and s.what = 'date';
    -- Earlier ones alone: a later date is met when it is due. Who waits for a window or a time of day goes on to do so.
    with dated as materialized (
        select r.id, case when d.at > now or activity.at_time is null and (send_window.name is null or send_window.outside <> 'wait') then d.at
            else marketing_automation_internal.time_to_run(activity, send_window, r.time_zone, now) end as at
        from unnest(answer.holds, answer.times) as u (id, day)
        join marketing_automation_internal.record r on r.id = u.id
        cross join lateral (select marketing_automation_internal.due_date(u.day, activity.delay, r.time_zone) offset 0) as d (at)
    )
    update marketing_automation_internal.waiting_activity w set at = d.at
    from dated d
    where w.record_id = d.id and w.activity_id = activity.id and w.at > d.at
      and w.ctid = any (array(
        select o.ctid from marketing_automation_internal.waiting_activity o
        where o.activity_id = activity.id and o.record_id = any (slice.records) and o.at > now for update skip locked));
end $$;
comment on function marketing_automation_internal.date_slice(marketing_automation.scenario, marketing_automation_internal.sweep, integer,
    timestamptz, out integer, out text) is
    'API: private. Asks the dates of the next records that wait for an activity that has one, batch_size of them at most, and lets those whose '
    'date has become earlier wait until then; how many were asked, 0: none is left. code: of an error that passes; the next slice is the '
    'same then';

create or replace function marketing_automation_internal.apply_dates(caller regrole, scenario text, batch_size integer, now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.run_sweep(caller, 'date', scenario, batch_size, now)
$$;
comment on function marketing_automation_internal.apply_dates(regrole, text, integer, timestamptz) is 'API: private. Behind apply_dates()';

create or replace function marketing_automation.apply_dates(scenario text default null, batch_size integer default 10000, now timestamptz default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.apply_dates(text, integer, timestamptz) is
    'API: public. Asks the dates (at) of activities of the records that wait for them, and lets those whose date has become earlier wait '
    'until then: of one scenario, all of them; or the next batch_size (1 to 100000) of the running scenario whose turn it is, each once a '
    'minute at most. Returns how many were asked, 0: none is left for now. process_all_due() does this. now: as that of enroll()';

-- functions/exits.sql
-- Exits: the journey of a record ends when the exit condition of its scenario is true. It is asked in the query of each activity that is
-- due (process_records), before a mail leaves (claim_messages), and here, of all who wait: slice by slice, so that a transaction is short
-- however many they are.

create or replace function marketing_automation_internal.waiting_slice(of_scenario integer, inout of_activity integer, inout reached timestamptz,
    inout reached_record bigint, batch_size integer, out records bigint[], dated boolean default false)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- In the order of the index on (activity_id, at), whatever is known of the table.
set enable_sort = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    began_with integer := of_activity;
begin
    for of_activity in
        select a.id from marketing_automation.activity a
        where a.scenario_id = of_scenario and a.id >= began_with and (a.at is not null or not dated) order by a.id
    loop
        if of_activity <> began_with then
            reached := '-infinity';
            reached_record := 0;
        end if;
        -- Many may wait until the same moment.
        select array_agg(w.record_id order by w.at, w.record_id), coalesce(max(w.at), reached) into records, reached
        from (select w.record_id, w.at from marketing_automation_internal.waiting_activity w
              where w.activity_id = of_activity and w.at >= reached and (w.at > reached or w.record_id > reached_record)
              order by w.at, w.record_id limit batch_size) w;
        if records is not null then
            reached_record := records[cardinality(records)];
            exit;
        end if;
    end loop;
end $$;
comment on function marketing_automation_internal.waiting_slice(integer, integer, timestamptz, bigint, integer, out bigint[], boolean) is
    'API: private. Records that wait for an activity of a scenario after reached and, until the same moment, after reached_record, '
    'batch_size of them at most; if there are none, of the next activity, and so on. Null: there are none any more. dated: only of activities that have a date';

create or replace function marketing_automation_internal.exit_slice(scenario marketing_automation.scenario, its marketing_automation_internal.sweep,
    batch_size integer, now timestamptz, out asked integer, out code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    slice record;
    answer record;
begin
    select w.* into slice
    from marketing_automation_internal.waiting_slice(scenario.id, its.activity_id, its.reached_at, its.reached_record, batch_size) w;
    asked := coalesce(cardinality(slice.records), 0);
    if asked = 0 then
        return;
    end if;
    perform marketing_automation_internal.begin_turn();
    perform marketing_automation_internal.turn_asks(scenario.id, 'exit');
    select a.* into answer from marketing_automation_internal.records_for_whom(scenario, scenario.exit_condition, slice.records) a;
    perform marketing_automation_internal.end_turn();
    code := answer.code;
    if code is not null then
        perform marketing_automation_internal.note_error(scenario.id, null, format('exit condition: %s', answer.error), code);
        return;
    end if;
    update marketing_automation_internal.sweep s
    set activity_id = slice.of_activity, reached_at = slice.reached, reached_record = slice.reached_record
    where s.scenario_id = scenario.id and s.what = 'exit';
    -- Rows that raise fail when their activity runs.
    if answer.holds <> '{}' then
        perform marketing_automation_internal.end_journeys(array(
            select r.id from marketing_automation_internal.record r
            where r.id = any (answer.holds) and r.end_reason is null and r.entered_at <= now order by r.id for no key update skip locked),
            'exited', now);
    end if;
end $$;
comment on function marketing_automation_internal.exit_slice(marketing_automation.scenario, marketing_automation_internal.sweep, integer,
    timestamptz, out integer, out text) is
    'API: private. Asks the exit condition of a scenario of the next records that wait, batch_size of them at most, and ends the journeys of '
    'those for whom it is true; how many were asked, 0: none is left. code: of an error that passes; the next slice is the same then';

create or replace function marketing_automation_internal.apply_exits(caller regrole, scenario text, batch_size integer, now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.run_sweep(caller, 'exit', scenario, batch_size, now)
$$;
comment on function marketing_automation_internal.apply_exits(regrole, text, integer, timestamptz) is 'API: private. Behind apply_exits()';

create or replace function marketing_automation.apply_exits(scenario text default null, batch_size integer default 10000, now timestamptz default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.apply_exits(text, integer, timestamptz) is
    'API: public. Asks exit conditions of records that wait, and ends the journeys of those for whom it is true: of one scenario, all of '
    'them; or the next batch_size (1 to 100000) of the running scenario whose turn it is, each once a minute at most. Returns how many '
    'were asked, 0: none is left for now. process_all_due() does this. now: as that of enroll()';

create or replace function marketing_automation_internal.leaving_mails(mails bigint[])
returns table (id bigint, objection text, waits_until timestamptz)
language plpgsql strict set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    now timestamptz := clock_timestamp();
    chosen marketing_automation.scenario;
    its record;
    answer record;
    asked bigint[];
    holds bigint[];
    locked bigint[];
    limit_of_time text := marketing_automation_internal.setting('expression_timeout');
    began timestamptz;
    time_left double precision;
    failed integer;
    message text;
    its_code text;
begin
    -- Everybody waits for it.
    if limit_of_time::interval not between interval '1 millisecond' and interval '1 second' then
        perform set_config('marketing_automation.expression_timeout', '1s', true);
    end if;
    perform marketing_automation_internal.begin_turn();
    for its in
        select r.scenario_id, c.reason, c.name, c.condition, min(t.batch_size) as batch_size, array_agg(o.id) as mails,
            array_agg(distinct r.id) as records
        from marketing_automation_internal.outbox o
        join marketing_automation_internal.record r on r.id = o.record_id
        join marketing_automation.scenario s on s.id = r.scenario_id
        left join marketing_automation_internal.failed_turn t on t.scenario_id = s.id and t.work = 'leave'
        cross join lateral (values ('exited', 'exit condition', s.exit_condition),
            ('goal_reached', 'goal', case when s.goal_ends_journey then s.goal end)) as c (reason, name, condition)
        where o.id = any (leaving_mails.mails) and r.blocked_at is null and r.end_reason is null and c.condition is not null
        group by r.scenario_id, c.reason, c.name, c.condition
        -- Another scenario is first each time, as the last may find no time left. Its goal before its exit, as when an activity is due.
        order by md5(concat(r.scenario_id, now)), r.scenario_id, c.reason desc
    loop
        time_left := marketing_automation_internal.turn_left();
        if its.scenario_id = failed or time_left = 0 then
            return query select u.id, null::text, now + interval '1 second' from unnest(its.mails) as u (id);
            continue;
        end if;
        select s.* into strict chosen from marketing_automation.scenario s where s.id = its.scenario_id;
        asked := case when its.batch_size is null then its.records else its.records[:its.batch_size] end;
        began := clock_timestamp();
        perform marketing_automation_internal.turn_asks(chosen.id, 'leave');
        begin
            select a.* into answer from marketing_automation_internal.records_for_whom(chosen, its.condition, asked) a;
            its_code := answer.code;
            message := answer.error;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics message = message_text, its_code = returned_sqlstate;
        end;
        if its_code is not null then
            failed := its.scenario_id;
            -- Nobody knows: they wait, with the error of the scenario, and leave room for others. Who had to do with what others left of
            -- the time is not to blame.
            if time_left > 0.5 or not marketing_automation_internal.is_slow(its_code) then
                perform marketing_automation_internal.note_error(chosen.id, null, marketing_automation_internal.named_error(chosen,
                    its_code, format('%s: %s', its.name, message)), its_code);
                perform marketing_automation_internal.turn_failed(chosen.id, 'leave', 0, its_code,
                    marketing_automation_internal.next_batch(its_code, cardinality(asked), 0));
                return query select u.id, null::text, now + interval '1 minute' from unnest(its.mails) as u (id);
            else
                return query select u.id, null::text, now + interval '1 second' from unnest(its.mails) as u (id);
            end if;
            continue;
        end if;
        perform marketing_automation_internal.turn_succeeded(chosen.id, 'leave', 0, clock_timestamp() - began);
        -- A goal whose time is to come is not reached yet.
        holds := array(
            select u.id from unnest(answer.holds, answer.times) as u (id, at) where its.reason = 'exited' or coalesce(u.at, now) <= now);
        locked := array(
            select r.id from marketing_automation_internal.record r
            where r.id = any (holds) and r.end_reason is null order by r.id for no key update skip locked);
        if its.reason = 'goal_reached' then
            perform marketing_automation_internal.close_goals(chosen.id, array_agg(u.id), array_agg(u.at), array_agg(u.amount), now)
            from unnest(answer.holds, answer.times, answer.amounts) as u (id, at, amount) where u.id = any (locked)
            having count(*) > 0;
        end if;
        perform marketing_automation_internal.end_journeys(locked, its.reason, now) where locked <> '{}';
        return query
            select o.id,
                case when o.record_id = any (locked) then marketing_automation_internal.end_objection(its.reason)
                    -- Of a goal it was known when its activity ran.
                    when its.reason = 'exited' and o.record_id = any (answer.raises) then its.name || ' raises an error' end,
                -- Who is held by another session may be something else when that has ended.
                case when o.record_id = any (holds) then now + interval '5 seconds'
                    when o.record_id <> all (asked) then now + interval '1 second' end
            from marketing_automation_internal.outbox o
            where o.id = any (its.mails) and (o.record_id = any (holds) or o.record_id <> all (asked)
                or its.reason = 'exited' and o.record_id = any (answer.raises));
    end loop;
    perform marketing_automation_internal.end_turn();
    perform set_config('marketing_automation.expression_timeout', limit_of_time, true);
end $$;
comment on function marketing_automation_internal.leaving_mails(bigint[]) is
    'API: private. Of these mails, which the caller has locked, those that must not leave by the exit condition of their scenario, or by a '
    'goal that ends journeys, and why; objection null: not before waits_until, as it could not be asked, or another session holds the '
    'record. All of it takes a second at most; who is too slow is not asked for a minute. Null: none is asked of';

-- functions/goals.sql
-- Goals: who reaches what a scenario is for. Asked when a row enters (enter_rows), when an activity runs (process_records), and here, of all
-- who can still convert.

create or replace function marketing_automation_internal.finite(amount numeric) returns numeric
language sql immutable parallel safe
return case when amount not in ('NaN', 'Infinity', '-Infinity') then amount end;
comment on function marketing_automation_internal.finite(numeric) is 'API: private. A number; null for one that is none, or has no end';

create or replace function marketing_automation_internal.credited_activities(records bigint[], times timestamptz[])
returns table (record_id bigint, activity_id integer)
language sql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
    -- One statement for all: the log has 40 partitions, and to begin with them for each record took longer than to look.
    select u.id, coalesce((
            select f.activity_id from marketing_automation_internal.finished_activity f
            where f.record_id = u.id and f.clicked_at <= u.at order by f.clicked_at desc, f.activity_id desc limit 1), (
            select l.activity_id from marketing_automation_internal.message_log l
            where l.record_id = u.id and l.sent_at <= u.at
              and exists (select from marketing_automation_internal.finished_activity f where f.record_id = u.id and f.outcome = 'mailed')
            order by l.sent_at desc, l.id desc limit 1))
    from unnest(records, times) as u (id, at)
$$;
comment on function marketing_automation_internal.credited_activities(bigint[], timestamptz[]) is
    'API: private. The activity whose mail each of these records has clicked last before its time, or else was sent last; null: there is '
    'none';

create or replace function marketing_automation_internal.close_goals(of_scenario integer, records bigint[], times timestamptz[], amounts numeric[],
    now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
    with reached as (
        -- Of who has not by then, or enters later, it is asked again.
        delete from marketing_automation_internal.open_goal g
        using unnest(records, times, amounts) as u (record_id, at, amount)
        join marketing_automation_internal.record r on r.id = u.record_id
        where g.scenario_id = of_scenario and g.record_id = u.record_id and coalesce(u.at, close_goals.now) <= close_goals.now
          and r.entered_at <= close_goals.now
        returning g.record_id, g.until, coalesce(nullif(u.at, '-infinity'), close_goals.now) as at, u.amount, r.entered_at
    ), converted as (
        insert into marketing_automation.conversion (record_id, scenario_id, at, value, source, activity_id)
        select c.record_id, of_scenario, c.at, marketing_automation_internal.finite(c.amount), 'goal', a.activity_id
        from reached c
        left join marketing_automation_internal.credited_activities(array(select o.record_id from reached o), array(select o.at from reached o)) a
            on a.record_id = c.record_id
        where c.at between c.entered_at and c.until order by c.record_id
        on conflict (record_id) where source = 'goal' do nothing
        returning record_id
    )
    select count(*) from converted
$$;
comment on function marketing_automation_internal.close_goals(integer, bigint[], timestamptz[], numeric[], timestamptz) is
    'API: private. Writes the conversions of records, which the caller has locked, that have reached the goal of a scenario at these times, '
    'null: now; how many. One before entering or after the window is none, and nobody asks again';

create or replace function marketing_automation_internal.goal_slice(scenario marketing_automation.scenario, its marketing_automation_internal.sweep,
    batch_size integer, now timestamptz, out asked integer, out code text)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    slice record;
    answer record;
    locked bigint[];
begin
    select count(*) as records, max(g.record_id) as reached,
        -- Who has no time to tell cannot have reached it in time when that is over.
        -- Who enters later, at an assumed time, is asked later.
        coalesce(array_agg(g.record_id) filter (
            where g.entered_at <= now and (g.until >= now or scenario.goal_at is not null)), '{}') as asked,
        coalesce(array_agg(g.record_id) filter (where g.until < now), '{}') as over
    into slice
    from (select g.record_id, g.until from marketing_automation_internal.open_goal g
          where g.scenario_id = scenario.id and g.record_id > its.reached_record order by g.record_id limit batch_size) o
    cross join lateral (
        select o.record_id, o.until, r.entered_at from marketing_automation_internal.record r where r.id = o.record_id) g;
    asked := slice.records;
    if asked = 0 then
        return;
    end if;
    perform marketing_automation_internal.begin_turn();
    perform marketing_automation_internal.turn_asks(scenario.id, 'goal');
    select a.* into answer from marketing_automation_internal.records_for_whom(scenario, scenario.goal, slice.asked) a;
    perform marketing_automation_internal.end_turn();
    code := answer.code;
    if code is not null then
        perform marketing_automation_internal.note_error(scenario.id, null, format('goal: %s', answer.error), code);
        return;
    end if;
    update marketing_automation_internal.sweep s set reached_record = slice.reached
    where s.scenario_id = scenario.id and s.what = 'goal';
    if answer.holds <> '{}' or slice.over <> '{}' then
        -- Whoever writes a conversion holds the record.
        locked := array(
            select r.id from marketing_automation_internal.record r
            where r.id = any (answer.holds || slice.over) order by r.id for no key update skip locked);
        perform marketing_automation_internal.close_goals(scenario.id, array_agg(u.id), array_agg(u.at), array_agg(u.amount), now)
        from unnest(answer.holds, answer.times, answer.amounts) as u (id, at, amount) where u.id = any (locked)
        having count(*) > 0;
        if scenario.goal_ends_journey then
            perform marketing_automation_internal.end_journeys(array_agg(u.id order by u.id), 'goal_reached', now)
            from unnest(answer.holds, answer.times) as u (id, at)
            where u.id = any (locked) and coalesce(u.at, now) <= now
            having count(*) > 0;
        end if;
        delete from marketing_automation_internal.open_goal g
        where g.scenario_id = scenario.id and g.record_id = any (slice.over) and g.record_id = any (locked);
    end if;
end $$;
comment on function marketing_automation_internal.goal_slice(marketing_automation.scenario, marketing_automation_internal.sweep, integer,
    timestamptz, out integer, out text) is
    'API: private. Asks the goal of a scenario of the next batch_size records that can still convert, writes their conversions, ends their '
    'journeys where the goal does that, and forgets whose window is over; how many were looked at, 0: none is left. code: of an error '
    'that passes; the next slice is the same then';

create or replace function marketing_automation_internal.apply_goals(caller regrole, scenario text, batch_size integer, now timestamptz) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.run_sweep(caller, 'goal', scenario, batch_size, now)
$$;
comment on function marketing_automation_internal.apply_goals(regrole, text, integer, timestamptz) is 'API: private. Behind apply_goals()';

create or replace function marketing_automation.apply_goals(scenario text default null, batch_size integer default 10000, now timestamptz default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.apply_goals(text, integer, timestamptz) is
    'API: public. Asks goals of records that can still convert, and writes the conversions of those who have reached them: of one scenario, '
    'all of them; or the next batch_size (1 to 100000) of the scenario whose turn it is, each once a minute at most. Returns how many were '
    'looked at, 0: none is left for now. process_all_due() does this. now: as that of enroll()';

-- functions/process.sql
-- Processing: due activities run, batch by batch of one activity, each batch a fixed number of statements.
--
-- Locks of a batch, none of which it waits for (docs/architecture.md has the order of all locks):
-- 1. the row of the table activity, for key share: it is not deleted meanwhile, and other sessions may run it too;
-- 2. what due_records() locks: the parents' rows in finished_activity, as whoever decides about children that wait for an event
--    holds them, so that an event and the opposite side exclude each other; the rows of waiting_activity.
--
-- What works on batches plans anew each time (plan_cache_mode): the hot tables swing between empty and millions, and a
-- plan made for the one is quadratic for the other. random_page_cost = 1, as what is read has been written lately and is
-- in memory: with the default the planner reads 100,000 waiting rows in full to find 1,000.

create or replace function marketing_automation_internal.process_activity(activity marketing_automation.activity, batch_size integer,
    now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    scenario marketing_automation.scenario;
    model marketing_automation.model;
    began timestamptz := clock_timestamp();
    query text;
    records bigint[];
    due integer;
    processed integer;
    message text;
    code text;
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    begin
        -- A definition that no longer plans (a column was dropped, rights were revoked) and errors that pass are not the
        -- fault of the records: they keep waiting, the scenario says why, and other activities go on.
        perform marketing_automation_internal.begin_turn();
        perform marketing_automation_internal.turn_asks(activity.scenario_id, 'process', activity.id);
        model := marketing_automation_internal.usable_model(scenario);
        query := marketing_automation_internal.record_query(activity.id);
        perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, query);
        perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.date_query(activity, model)) where activity.at is not null;
        records := array(select d from unnest(marketing_automation_internal.due_records(activity, batch_size, now)) d order by d);
        due := cardinality(records);
        records := marketing_automation_internal.put_off(activity, records, now);
        select p.processed + due - cardinality(records), p.error, p.code into processed, message, code
        from marketing_automation_internal.process_or_fail(activity, records, now, query) p;
        perform marketing_automation_internal.end_turn();
        if code is null then
            perform marketing_automation_internal.forget_error(activity.scenario_id, activity.id, now);
            perform marketing_automation_internal.turn_succeeded(activity.scenario_id, 'process', activity.id, clock_timestamp() - began);
            return processed;
        end if;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        get stacked diagnostics message = message_text, code = returned_sqlstate;
        processed := 0;
    end;
    if code = '42883' and marketing_automation_internal.refresh_key_type(scenario) then
        return marketing_automation_internal.process_activity(activity, batch_size, now);
    end if;
    message := marketing_automation_internal.named_error(scenario, code, format('activity "%s": %s', activity.name, message), activity.id);
    perform marketing_automation_internal.turn_failed(activity.scenario_id, 'process', activity.id, code,
        marketing_automation_internal.next_batch(code, cardinality(records), processed));
    -- Once: this is called batch by batch, and finds the same each time.
    if marketing_automation_internal.note_error(activity.scenario_id, activity.id, message, code) then
        raise warning 'scenario "%" did not process: %', scenario.name, marketing_automation_internal.public_error(message, code)
            using errcode = code;
    end if;
    return processed;
end $$;
comment on function marketing_automation_internal.process_activity(marketing_automation.activity, integer, timestamptz) is
    'API: private. Runs one batch of the due records of one activity, which the caller has locked; returns how many, those included that '
    'wait for their window from now on. An error that ended it is kept';

create or replace function marketing_automation_internal.process_batch(caller regrole, batch_size integer, now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    due record;
    assumed timestamptz := marketing_automation_internal.time_or_now(caller, now, null);
    every boolean := now is null and marketing_automation_internal.has_right(caller, null, 'operate');
    full_scan boolean;
    tried integer[] := '{}';
    processed integer;
begin
    if batch_size is null or batch_size not between 1 and 100000 then
        raise exception 'batch_size must be between 1 and 100000, not %', batch_size
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for 1000.';
    end if;
    -- Positive events start activities that may be due at once. Where a mailer runs, it has mostly done so.
    -- What applies holds its mails until this transaction ends, so not beside somebody who is at it.
    if exists (select from marketing_automation_internal.event_inbox i where i.error is null) then
        perform from marketing_automation_internal.event_application a for update skip locked;
        if found then
            perform marketing_automation_internal.apply_batch(5000);
        end if;
    end if;
    perform marketing_automation_internal.assume_time(now);
    -- First from where this session has found due records last, then from the beginning: see queue_cursor().
    <<line>>
    foreach full_scan in array array[false, true] loop
        for due in
            select a as activity, least(process_batch.batch_size, t.batch_size) as batch_size, t.failed_at is not null as failed_before
            from marketing_automation.activity a
            join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
                and (every or pg_has_role(caller, s.owner_id, 'MEMBER'))
            cross join lateral (select case when full_scan then '-infinity' else marketing_automation_internal.queue_cursor('waiting',
                a.id, '') end as at) begin
            cross join lateral (
                select w.at from marketing_automation_internal.waiting_activity w
                where w.activity_id = a.id and w.at between begin.at and assumed order by w.at limit 1) as first
            join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
            left join marketing_automation_internal.failed_turn t on t.scenario_id = s.id and t.work = 'process' and t.activity_id = a.id
            where a.id <> all (tried)
            order by t.failed_at nulls first, k.priority desc, marketing_automation_internal.set_queue_cursor('waiting', a.id, '', first.at), a.id
        loop
            tried := tried || (due.activity).id;
            -- Several sessions may run one activity, each for other records. One that is being deleted waits.
            perform from marketing_automation.activity a where a.id = (due.activity).id for key share skip locked;
            if found then
                perform marketing_automation_internal.show_step(format('process activity "%s" of scenario "%s"', (due.activity).name, (
                    select s.name from marketing_automation.scenario s where s.id = (due.activity).scenario_id)));
                processed := marketing_automation_internal.process_activity(due.activity, due.batch_size, assumed);
                perform marketing_automation_internal.show_step(null);
                if processed > 0 then
                    perform marketing_automation_internal.assume_time(null);
                    -- Once, with the last batch.
                    if now is not null and processed < due.batch_size then
                        perform marketing_automation_internal.warn_of_present('condition', (due.activity).name, (due.activity).condition);
                        perform marketing_automation_internal.warn_of_present('at', (due.activity).name, (due.activity).at);
                    end if;
                    return processed;
                end if;
                -- Of those at the end of the line, one that is slow again is enough for a run: the next is for the others.
                exit line when due.failed_before and exists (
                    select from marketing_automation_internal.failed_turn t
                    where t.work = 'process' and t.activity_id = (due.activity).id and t.slow);
            end if;
        end loop;
    end loop;
    perform marketing_automation_internal.assume_time(null);
    perform marketing_automation_internal.roll_up_counters();
    perform marketing_automation_internal.follow_renamed_roles();
    return 0;
end $$;
comment on function marketing_automation_internal.process_batch(regrole, integer, timestamptz) is
    'API: private. What process_due() does once it has reached the definitions';

create or replace function marketing_automation_internal.process_due(caller regrole, batch_size integer, now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.reach_definitions();
    return marketing_automation_internal.process_batch(caller, batch_size, now);
end $$;
comment on function marketing_automation_internal.process_due(regrole, integer, timestamptz) is 'API: private. Behind process_due()';

create or replace function marketing_automation.process_due(batch_size integer default 1000, now timestamptz default null) returns integer
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.process_due(integer, timestamptz) is
    'API: public. Runs one batch, at most batch_size records (1 to 100000) of the activity that has been due longest, of those whose class has the highest '
    'priority, and that no other session is processing; returns how many, those that are put off to their window included, 0 when nothing is left but what had '
    'failed before and was too slow again: whoever fails goes to the end of the line. now: time to assume instead of the present (tests, '
    'simulations); only scenarios of whose owner the caller is a member run then, and their mails leave at once';

create or replace procedure marketing_automation.process_all_due(batch_size integer default 1000, now timestamptz default null)
-- Where there are commits no search_path can be pinned: integer is a word of SQL and always that of pg_catalog, as not all types are.
language plpgsql as $$
declare
    processed integer;
    applied integer;
    asked pg_catalog.int8;
begin
    -- What is due earlier than it was.
    loop
        asked := marketing_automation.apply_dates(now => now);
        commit;
        exit when asked operator(pg_catalog.=) 0;
    end loop;
    loop
        processed := marketing_automation.process_due(batch_size, now);
        -- Also when nothing was done: it may hold rows that whoever applies events wants in another order.
        commit;
        continue when processed operator(pg_catalog.>) 0;
        applied := marketing_automation.apply_events(5000);
        commit;
        -- A full batch of events says that there are more; a steady stream of new ones does not keep this from ending.
        exit when applied operator(pg_catalog.<) 5000;
    end loop;
    -- What ends of those who are not due.
    loop
        asked := marketing_automation.apply_exits(now => now);
        commit;
        exit when asked operator(pg_catalog.=) 0;
    end loop;
    loop
        asked := marketing_automation.apply_goals(now => now);
        commit;
        exit when asked operator(pg_catalog.=) 0;
    end loop;
end $$;
comment on procedure marketing_automation.process_all_due(integer, timestamptz) is
    'API: public. Runs everything that is due, committing batch by batch. Not inside a transaction block. Arguments as those of '
    'process_due()';

create or replace function marketing_automation_internal.retry(caller regrole, failed marketing_automation.record_activity)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    activity marketing_automation.activity;
    failure marketing_automation_internal.finished_activity;
    its_state text;
    obsolete text;
    at timestamptz := clock_timestamp();
begin
    perform marketing_automation_internal.demand_activity(caller, failed.activity_id);
    select a.* into activity from marketing_automation.activity a where a.id = failed.activity_id;
    -- Whoever decides about the opposite side holds the parent's row.
    perform from marketing_automation_internal.finished_activity f
    where f.record_id = failed.record_id and f.activity_id in (failed.activity_id, activity.parent_id)
    order by f.activity_id for no key update;
    select f.* into failure from marketing_automation_internal.finished_activity f
    where f.record_id = failed.record_id and f.activity_id = failed.activity_id and f.state = 'failed';
    if not found then
        select ra.state into its_state from marketing_automation.record_activity ra
        where ra.record_id = failed.record_id and ra.activity_id = failed.activity_id;
        if its_state is null then
            raise exception 'record % has no activity %', failed.record_id, failed.activity_id using errcode = 'undefined_object';
        end if;
        raise exception 'activity "%" of key "%" is %, only a failed one is run again',
            activity.name, (select r.key from marketing_automation_internal.record r where r.id = failed.record_id), its_state
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Say which: select marketing_automation.retry(a) from marketing_automation.record_activity a where a.state = ''failed'';';
    end if;
    -- What would have cancelled it, had it waited meanwhile.
    select case
            when r.blocked_at is not null then 'blocked'
            when r.end_reason is not null then r.end_reason
            when activity.on_event like 'email\_not\_%' and marketing_automation_internal.event_time(p, activity.on_event) is not null
            then 'event_arrived'
        end
    into obsolete
    from marketing_automation_internal.record r
    left join marketing_automation_internal.finished_activity p on p.record_id = r.id and p.activity_id = activity.parent_id
    where r.id = failure.record_id;
    if obsolete is null then
        delete from marketing_automation_internal.finished_activity f where f.record_id = failure.record_id
            and f.activity_id = failure.activity_id;
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
            values (failure.record_id, failure.activity_id, at);
    else
        update marketing_automation_internal.finished_activity f set state = 'cancelled', outcome = obsolete, error = null,
            error_code = null
        where f.record_id = failure.record_id and f.activity_id = failure.activity_id;
    end if;
    insert into marketing_automation_internal.activity_counter (activity_id, period, failed, cancelled)
    values (failure.activity_id, marketing_automation_internal.counter_period(failure.finished_at), -1, (obsolete is not null)::integer);
end $$;
comment on function marketing_automation_internal.retry(regrole, marketing_automation.record_activity) is 'API: private. Behind retry()';

create or replace function marketing_automation.retry(failed marketing_automation.record_activity)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.retry(marketing_automation.record_activity) is
    'API: public. Runs a failed activity of a record again: it waits and is due now. Cancelled instead, if meanwhile its record was '
    'blocked, its journey has ended, or the event that it waits to miss has arrived';

-- functions/consent.sql
-- Consent: whose opens and clicks are recorded. Asked when a mail is made (process_records) and, as people change their minds,
-- again when hits are applied.

create or replace function marketing_automation_internal.consenting_records(
    scenario marketing_automation.scenario, relation regclass, query text, records bigint[], batch_size integer, out opens bigint[],
    out clicks bigint[], out unknown bigint[], out error text, out code text
)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(records), batch_size);
    its record;
    failed boolean;
begin
    opens := '{}';
    clicks := '{}';
    unknown := '{}';
    while part.first is not null loop
        begin
            with its as materialized (
                select r.id, r.key from marketing_automation_internal.record r where r.id = any (records[part.first:part.last])
            ), found as materialized (
                select q.*
                from marketing_automation_internal.query_as_owner(scenario.owner_id, relation, query, array(select i.key from its i)) as q (key text,
                    opens boolean, clicks boolean)
            )
            select coalesce(array_agg(i.id) filter (where f.opens), '{}') as opens, coalesce(array_agg(i.id) filter (where f.clicks), '{}') as clicks
            into its
            from its i join found f on f.key = i.key;
            opens := opens || its.opens;
            clicks := clicks || its.clicks;
            failed := false;
        exception when others then
            get stacked diagnostics error = message_text, code = returned_sqlstate;
            if marketing_automation_internal.is_slow(code) then
                unknown := records[part.first:];
                return;
            end if;
            if marketing_automation_internal.is_passing_error(code) then
                raise;
            end if;
            -- The row that fails alone has not said yes.
            failed := true;
        end;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
    error := null;
    code := null;
end $$;
comment on function marketing_automation_internal.consenting_records(marketing_automation.scenario, regclass, text, bigint[], integer,
    out bigint[], out bigint[], out bigint[], out text, out text) is
    'API: private. Of these records of a scenario, those whose rows consent to opens and to clicks now; a row that is gone, or of '
    'which an expression fails, does not. unknown: those of which it cannot be asked now, as the expressions are too slow, with that '
    'error. batch_size: how many to ask of at once, null: all';

create or replace function marketing_automation_internal.unasked_scenarios(of_work text) returns integer[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(t.scenario_id), '{}') from marketing_automation_internal.failed_turn t
    -- Not later than now either: the clock may have been set back.
    where t.work = of_work
        and t.failed_at between clock_timestamp() - interval '1 minute' and clock_timestamp() + interval '1 minute'
$$;
comment on function marketing_automation_internal.unasked_scenarios(text) is
    'API: private. Scenarios that could not be asked lately for consent (their events wait), or whether their mails may leave (leave: these '
    'wait): for a minute nobody asks again';

create or replace function marketing_automation_internal.withheld_consent(records bigint[], out no_opens bigint[], out no_clicks bigint[],
    out unknown bigint[])
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    asking integer[] := array(
        select s.id from marketing_automation.scenario s join marketing_automation.model m on m.name = s.model
        where not (s.track_opens and s.track_clicks) or m.track_opens is not null or m.track_clicks is not null);
    unasked integer[] := marketing_automation_internal.unasked_scenarios('consent');
    scenario marketing_automation.scenario;
    model marketing_automation.model;
    part record;
    query text;
    opens bigint[];
    clicks bigint[];
    unasked_of bigint[];
    began timestamptz;
    message text;
    code text;
begin
    no_opens := '{}';
    no_clicks := '{}';
    unknown := '{}';
    if asking = '{}' then
        return;
    end if;
    for part in
        select r.scenario_id, array_agg(r.id order by r.id) as records
        from marketing_automation_internal.record r where r.id = any (withheld_consent.records) and r.scenario_id = any (asking)
        group by r.scenario_id order by r.scenario_id
    loop
        select s.* into strict scenario from marketing_automation.scenario s where s.id = part.scenario_id;
        select m.* into strict model from marketing_automation.model m where m.name = scenario.model;
        opens := part.records;
        clicks := part.records;
        if part.scenario_id = any (unasked) then
            unknown := unknown || part.records;
            continue;
        end if;
        if model.track_opens is not null or model.track_clicks is not null then
            code := null;
            began := clock_timestamp();
            begin
                perform marketing_automation_internal.begin_turn();
                perform marketing_automation_internal.turn_asks(scenario.id, 'consent');
                perform marketing_automation_internal.usable_model(scenario);
                query := marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                    concat_ws(', ', marketing_automation_internal.as_key(model.key, model.key_type),
                    marketing_automation_internal.as_condition(model.track_opens),
                        marketing_automation_internal.as_condition(model.track_clicks)));
                perform marketing_automation_internal.plan_as_owner(scenario.owner_id, model.relation, query);
                select c.opens, c.clicks, c.unknown, c.error, c.code into opens, clicks, unasked_of, message, code
                from marketing_automation_internal.consenting_records(scenario, model.relation, query, part.records, (
                    select t.batch_size from marketing_automation_internal.failed_turn t
                    where t.scenario_id = scenario.id and t.work = 'consent')) c;
                perform marketing_automation_internal.end_turn();
            exception when others then
                get stacked diagnostics message = message_text, code = returned_sqlstate;
                if marketing_automation_internal.is_passing_error(code) and not marketing_automation_internal.is_slow(code) then
                    raise;
                end if;
                unasked_of := part.records;
                opens := '{}';
                clicks := '{}';
            end;
            if code is null then
                perform marketing_automation_internal.turn_succeeded(scenario.id, 'consent', 0, clock_timestamp() - began);
            elsif marketing_automation_internal.is_slow(code) then
                -- Of those that were asked in time it is known.
                unknown := unknown || unasked_of;
                perform marketing_automation_internal.turn_failed(scenario.id, 'consent', 0, code,
                    marketing_automation_internal.next_batch(code, cardinality(part.records),
                        cardinality(part.records) - cardinality(unasked_of)));
                perform marketing_automation_internal.note_error(scenario.id, null,
                    format('events wait, nobody knows who consents: %s', message), code);
                part.records := array(select u from unnest(part.records) u where u <> all (unasked_of));
            else
                -- Nobody can say that they agree: what they do is none of our business until the model is mended.
                -- The mailer's log is nobody's who may read the row.
                raise warning 'scenario "%" does not know who consents: %', scenario.name,
                    marketing_automation_internal.public_error(message, code) using errcode = code;
            end if;
        end if;
        no_opens := no_opens || array(
            select unnest(part.records) except select unnest(case when model.track_opens is null then part.records else opens end)
                where scenario.track_opens);
        no_clicks := no_clicks || array(
            select unnest(part.records) except select unnest(case when model.track_clicks is null then part.records else clicks end)
                where scenario.track_clicks);
    end loop;
end $$;
comment on function marketing_automation_internal.withheld_consent(bigint[], out bigint[], out bigint[], out bigint[]) is
    'API: private. Of these records, those whose opens and whose clicks must not be recorded: their scenario does not track them, or '
    'their row does not consent now. unknown: those of which it cannot be asked now, as the expressions are too slow';

-- functions/waiting_clicks.sql
-- Clicks that wait in the inbox, until the rules about robots can look at what has followed them: see classify_events().

create or replace function marketing_automation_internal.click_window() returns interval
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- A second more, as what is on its way to the inbox came before what is there. A rule of hours would keep a campaign waiting: of such
    -- a one the log is right in the end, and what a click had started before stays.
    select case when count(*) > 0 then least(max(first.within), interval '5 minutes') + interval '1 second' end
    from (select distinct on (r.kind) r.within from marketing_automation.robot_rule r
          where r.is_enabled and r.kind in ('burst', 'hidden_link') order by r.kind, r.name) first
$$;
comment on function marketing_automation_internal.click_window() is
    'API: private. How long a click waits in the inbox, since the rules about robots that are enabled look at the clicks of its mail before '
    'and after it; null: no such rule is, and none waits';

create or replace function marketing_automation_internal.ripe_clicks(since timestamptz, until timestamptz, skipped integer, wanted integer,
    unasked integer[]) returns tid[]
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- In the order of the index, whatever is known of the table: another plan reads the whole inbox. What is off makes plans look so dear,
-- those of functions called here too, that they would be compiled.
set enable_sort = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
    select array(
        select i.ctid from marketing_automation_internal.event_inbox i
        where i.kind = 'email_clicked' and i.error is null and i.occurred_at between since and until
          and (unasked = '{}' or not exists (
              select from marketing_automation_internal.record r where r.id = i.record_id and r.scenario_id = any (unasked)))
        order by i.occurred_at offset skipped limit wanted)
$$;
comment on function marketing_automation_internal.ripe_clicks(timestamptz, timestamptz, integer, integer, integer[]) is
    'API: private. Clicks of the inbox from then to then, in order, but for those of scenarios of which nobody can ask now';

create or replace function marketing_automation_internal.free_clicks(since timestamptz, until timestamptz, wanted integer, unasked integer[],
    with_strays boolean, inout skipped integer, inout held boolean, out known tid[], out strays tid[])
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    hits tid[];
    free record;
begin
    known := '{}';
    strays := '{}';
    -- Much that others hold is not to keep us for long.
    for round in 1..20 loop
        exit when cardinality(known) + cardinality(strays) >= wanted;
        hits := marketing_automation_internal.ripe_clicks(since, until, skipped, wanted - cardinality(known) - cardinality(strays), unasked);
        exit when hits = '{}';
        if skipped = 0 then
            perform marketing_automation_internal.set_queue_cursor('click', 0, '', i.occurred_at)
            from marketing_automation_internal.event_inbox i where i.ctid = hits[1];
        end if;
        skipped := skipped + cardinality(hits);
        select f.* into free from marketing_automation_internal.free_hits(hits) f;
        known := known || free.known;
        strays := strays || case when with_strays then free.unknown end;
        held := held or cardinality(free.known) + case when with_strays then cardinality(free.unknown) else 0 end < cardinality(hits);
    end loop;
end $$;
comment on function marketing_automation_internal.free_clicks(timestamptz, timestamptz, integer, integer[], boolean, integer, boolean) is
    'API: private. At most wanted clicks of the inbox that came from then to then, locked as by free_hits(). skipped: how many there are '
    'before them that have been looked at; held: whether others hold some';

create or replace function marketing_automation_internal.next_click() returns double precision
language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
    select extract(epoch from min(i.occurred_at) + marketing_automation_internal.click_window() - clock_timestamp())::double precision
    from marketing_automation_internal.event_inbox i
    where i.kind = 'email_clicked' and i.error is null
      and i.occurred_at > statement_timestamp() - marketing_automation_internal.click_window()
$$;
comment on function marketing_automation_internal.next_click() is
    'API: private. In how many seconds the first click that waits is to be judged; null: none waits';

-- functions/apply.sql
-- Applying events: what record_events() left in the inbox goes into the log and starts and cancels activities.
--
-- Whoever applies an event locks the rows of finished_activity that it is about, and only then deletes it from the inbox. So what is
-- in the inbox has not been applied by anybody else who holds these locks: processing looks there before it runs a negative side,
-- and an event that was committed before always counts. Nobody waits for these locks: what happened to mails that another session
-- holds stays in the inbox for the next look.

create or replace function marketing_automation_internal.mark_events(
    records bigint[], activities integer[], kinds text[], times timestamptz[], no_opens bigint[] default '{}'
) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    implies_open boolean := marketing_automation_internal.setting('click_implies_open');
    children integer[] := marketing_automation_internal.lock_children(activities);
    its_records bigint[];
    its_children integer[];
    its_times timestamptz[];
begin
    with mark as materialized (
        -- The first of each kind that is not marked yet.
        select u.record_id, u.activity_id, k.kind, min(u.occurred_at) as occurred_at
        from unnest(records, activities, kinds, times) as u (record_id, activity_id, kind, occurred_at)
        cross join lateral unnest(case
            when u.kind = 'email_clicked' and u.record_id <> all (no_opens) and implies_open
            then array['email_clicked', 'email_opened'] else array[u.kind] end) as k (kind)
        join marketing_automation_internal.finished_activity f on f.record_id = u.record_id and f.activity_id = u.activity_id
        where f.outcome = 'mailed'
          and marketing_automation_internal.event_time(f, k.kind) is null
        group by u.record_id, u.activity_id, k.kind
    ), marked as (
        update marketing_automation_internal.finished_activity f
        set opened_at = coalesce(f.opened_at, m.opened_at), clicked_at = coalesce(f.clicked_at, m.clicked_at),
            bounced_at = coalesce(f.bounced_at, m.bounced_at)
        from (select k.record_id, k.activity_id,
                     min(k.occurred_at) filter (where k.kind = 'email_opened') as opened_at,
                     min(k.occurred_at) filter (where k.kind = 'email_clicked') as clicked_at,
                     min(k.occurred_at) filter (where k.kind = 'email_bounced') as bounced_at
              from mark k group by k.record_id, k.activity_id) m
        where f.record_id = m.record_id and f.activity_id = m.activity_id
        returning f.activity_id, f.finished_at, m.opened_at, m.clicked_at
    ), opposite as (
        delete from marketing_automation_internal.waiting_activity w
        using mark m join marketing_automation.activity o
            on o.parent_id = m.activity_id and o.on_event = marketing_automation_internal.opposite_event(m.kind)
        where w.record_id = m.record_id and w.activity_id = o.id
        returning w.record_id, w.activity_id, w.at
    ), cancelled as (
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select o.record_id, o.activity_id, 'cancelled', 'event_arrived', o.at, statement_timestamp() from opposite o
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, opened, clicked, cancelled)
        select m.activity_id, marketing_automation_internal.counter_period(m.finished_at), count(m.opened_at), count(m.clicked_at),
            0 from marked m group by 1, 2
        union all
        select o.activity_id, marketing_automation_internal.counter_period(statement_timestamp()), 0, 0, count(*)
            from opposite o group by 1, 2
    )
    select array_agg(m.record_id), array_agg(c.id), array_agg(m.occurred_at)
    into its_records, its_children, its_times
    from mark m
    join marketing_automation.activity c on c.parent_id = m.activity_id and c.on_event = m.kind and c.id = any (children)
    where not exists (
            -- A negative side that has run closes the positive one.
            select from marketing_automation.activity o
            join marketing_automation_internal.finished_activity f on f.activity_id = o.id and f.record_id = m.record_id
                and f.state = 'done'
            where o.parent_id = m.activity_id and o.on_event = marketing_automation_internal.opposite_event(m.kind));
    if its_records is not null then
        perform marketing_automation_internal.write_children(its_records, its_children, its_times);
    end if;
end $$;
comment on function marketing_automation_internal.mark_events(bigint[], integer[], text[], timestamptz[], bigint[]) is
    'API: private. Marks activities as opened, clicked or bounced, starts their positive children, cancels the waiting opposite '
    'ones; repeating changes nothing. no_opens: records of which a click implies no open. The caller holds their rows';

create or replace function marketing_automation_internal.apply_results(results tid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    result record;
begin
    for result in
        with taken as (
            delete from marketing_automation_internal.event_inbox i where i.ctid = any (results) returning i.*
        ), bounced as (
            insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id)
            select t.id, t.occurred_at, t.kind, t.record_id, t.activity_id from taken t where t.kind = 'email_bounced'
            on conflict do nothing
            returning event.id
        )
        select t.kind, array_agg(t.record_id) as records, array_agg(t.activity_id) as activities, array_agg(t.kind) as kinds,
            array_agg(t.occurred_at) as times
        from taken t where t.kind = 'email_sent' or t.id in (select b.id from bounced b) group by t.kind
    loop
        if result.kind = 'email_sent' then
            perform marketing_automation_internal.start_children(result.records, result.activities, result.times);
        else
            perform marketing_automation_internal.mark_events(result.records, result.activities, result.kinds, result.times);
        end if;
    end loop;
end $$;
comment on function marketing_automation_internal.apply_results(tid[]) is
    'API: private. Applies that mails were sent or bounced which another session held when that was recorded. The caller holds their '
    'rows';

create or replace function marketing_automation_internal.apply_hits(hits tid[], are_known boolean default true) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    records bigint[];
    activities integer[];
    kinds text[];
    fresh tid[];
    people uuid[];
    no_opens bigint[];
    no_clicks bigint[];
    unknown bigint[];
    changes integer[];
    details text := marketing_automation_internal.setting('hit_details');
    results tid[] := array(
        select i.ctid from marketing_automation_internal.event_inbox i
        where i.ctid = any (hits) and i.kind in ('email_sent', 'email_bounced'));
begin
    if results <> '{}' then
        perform marketing_automation_internal.apply_results(results);
    end if;
    select c.no_opens, c.no_clicks, c.unknown into no_opens, no_clicks, unknown
    from marketing_automation_internal.withheld_consent(array(select distinct i.record_id from marketing_automation_internal.event_inbox i
        where i.ctid = any (hits))) c;
    if unknown <> '{}' then
        hits := array(select i.ctid from marketing_automation_internal.event_inbox i where i.ctid = any (hits)
            and i.record_id <> all (unknown));
    end if;

    with hit as (
        delete from marketing_automation_internal.event_inbox i where i.ctid = any (hits) returning i.method, i.user_agent, i.address,
            i as inbox
    ), look as (
        -- Judged by all that came, before hit_details leaves less of it.
        select marketing_automation_internal.robot_by_look(h.method, h.user_agent, h.address) as robot,
               marketing_automation_internal.kept_user_agent(h.user_agent) as user_agent,
               case when details = 'full' then h.address end as address,
               array_agg(h.inbox) as hits
        from hit h group by h.method, h.user_agent, h.address
    ), inserted as (
        insert into marketing_automation_internal.event
            (id, occurred_at, kind, record_id, activity_id, link_id, method, address, user_agent, robot)
        select h.id, h.occurred_at, h.kind, h.record_id, h.activity_id, h.link_id, h.method, l.address, l.user_agent, l.robot
        from look l cross join lateral unnest(l.hits) h
        where case h.kind when 'email_opened' then h.record_id <> all (no_opens) else h.record_id <> all (no_clicks) end
        on conflict do nothing
        returning event.ctid, event.record_id, event.activity_id, event.kind, event.robot
    )
    select array_agg(i.ctid), array_agg(i.record_id) filter (where i.robot is not null),
        array_agg(i.activity_id) filter (where i.robot is not null),
           array_agg(i.kind) filter (where i.robot is not null), array_agg(1) filter (where i.robot is not null)
    into fresh, records, activities, kinds, changes from inserted i;
    perform marketing_automation_internal.count_robots(records, activities, kinds, changes);
    people := marketing_automation_internal.classify_events(fresh);
    -- What has become a robot's is not there any more: an update moves a row. With the clicks of a mail its earlier ones are judged
    -- again, by rules that may have changed.
    perform marketing_automation_internal.mark_events(array_agg(e.record_id), array_agg(e.activity_id), array_agg(e.kind),
        array_agg(e.occurred_at), no_opens)
    from marketing_automation_internal.event e
    where are_known and (e.ctid = any (fresh) and e.robot is null or e.id = any (people) and e.record_id <> all (no_clicks))
    having count(*) > 0;
end $$;
comment on function marketing_automation_internal.apply_hits(tid[], boolean) is
    'API: private. Moves rows of the inbox into the log and applies those whose id is new there; what somebody does not consent to '
    'goes without a trace; what nobody can be asked about now stays in the inbox. The caller holds the rows of their mails; '
    'those of mails that are not known are kept in the log only, as one that appears meanwhile is not locked';

create or replace function marketing_automation_internal.apply_or_fail(hits tid[], are_known boolean default true) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    part marketing_automation_internal.search := marketing_automation_internal.start_search(cardinality(hits));
    failed boolean;
    message text;
    code text;
begin
    while part.first is not null loop
        begin
            perform marketing_automation_internal.apply_hits(hits[part.first:part.last], are_known);
            failed := false;
        exception when others then
            get stacked diagnostics message = message_text, code = returned_sqlstate;
            if marketing_automation_internal.is_passing_error(code) then
                raise;
            end if;
            failed := true;
        end;
        if failed and part.first = part.last then
            update marketing_automation_internal.event_inbox i set error = message, error_code = code where i.ctid = hits[part.first];
        end if;
        part := marketing_automation_internal.next_part(part, failed);
    end loop;
end $$;
comment on function marketing_automation_internal.apply_or_fail(tid[], boolean) is
    'API: private. Like apply_hits(), but an event that cannot be applied stays in the inbox alone, with its error';

create or replace function marketing_automation_internal.free_hits(hits tid[], out known tid[], out unknown tid[])
language sql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
    with hit as materialized (
        select i.ctid, i.record_id, i.activity_id from marketing_automation_internal.event_inbox i where i.ctid = any (hits)
    ), mail as materialized (
        select h.record_id, h.activity_id from hit h group by h.record_id, h.activity_id
    ), locked as materialized (
        select f.record_id, f.activity_id from mail m
        join marketing_automation_internal.finished_activity f on f.record_id = m.record_id and f.activity_id = m.activity_id
        for no key update of f skip locked
    ), unknown as materialized (
        select m.record_id, m.activity_id from mail m
        where not exists (
            select from marketing_automation_internal.finished_activity f where f.record_id = m.record_id and f.activity_id = m.activity_id)
    )
    -- In order of record, for whoever has to halve them.
    select coalesce(array_agg(h.ctid order by h.record_id, h.activity_id) filter (where m.is_known), '{}'),
           coalesce(array_agg(h.ctid order by h.record_id, h.activity_id) filter (where not m.is_known), '{}')
    from hit h
    join (select l.record_id, l.activity_id, true as is_known from locked l
          union all select u.record_id, u.activity_id, false from unknown u) m
        on m.record_id = h.record_id and m.activity_id = h.activity_id
$$;
comment on function marketing_automation_internal.free_hits(tid[], out tid[], out tid[]) is
    'API: private. Of these rows of the inbox, those of mails that no other session holds, whose rows in finished_activity are locked '
    'now; and those of no mail that we know, which only who holds event_application may apply';

create or replace function marketing_automation_internal.apply_batch(batch_size integer, full_scan boolean default true) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    -- Until when clicks came that are to be judged; null: none waits.
    ripe timestamptz := statement_timestamp() - marketing_automation_internal.click_window();
    since timestamptz := case when full_scan then '-infinity' else marketing_automation_internal.queue_cursor('click', 0, '') end;
    clicks record;
    looked_at integer := 0;
    position tid;
    reached tid;
    hits tid[];
    free record;
    batch tid[] := '{}';
    strays tid[] := '{}';
    is_ours boolean;
    has_begun_anew boolean := false;
    held boolean := false;
    wanted integer;
    unasked integer[] := marketing_automation_internal.unasked_scenarios('consent');
begin
    select a.position into position from marketing_automation_internal.event_application a for update skip locked;
    is_ours := found;
    if not is_ours then
        -- Somebody applies events too, or has done so in a transaction that is still open: what they hold is passed over.
        select a.position into strict position from marketing_automation_internal.event_application a;
    end if;
    reached := position;
    -- Half of the batch are clicks that have waited long enough; more, if there is not so much of the rest.
    if ripe is not null then
        select c.* into clicks
        from marketing_automation_internal.free_clicks(since, ripe, batch_size / 2, unasked, is_ours, 0, false) c;
        batch := clicks.known;
        strays := clicks.strays;
        held := clicks.held;
        looked_at := clicks.skipped;
    end if;
    -- From there to the end, and from the beginning to there. Much that others hold is not to keep us for long.
    for round in 1..20 loop
        wanted := batch_size - cardinality(batch) - cardinality(strays);
        exit when wanted <= 0;
        select array_agg(h.ctid), coalesce(max(h.ctid), reached) into hits, reached
        from (select i.ctid from marketing_automation_internal.event_inbox i
              where i.ctid > reached and (not has_begun_anew or i.ctid <= position) and i.error is null
                and (ripe is null or i.kind <> 'email_clicked')
                and (unasked = '{}' or i.kind not in ('email_opened', 'email_clicked') or not exists (
                    select from marketing_automation_internal.record r where r.id = i.record_id and r.scenario_id = any (unasked)))
              limit wanted) h;
        if hits is not null then
            select f.* into free from marketing_automation_internal.free_hits(hits) f;
            batch := batch || free.known;
            if is_ours then
                strays := strays || free.unknown;
            end if;
            held := held or cardinality(free.known) + case when is_ours then cardinality(free.unknown) else 0 end < cardinality(hits);
            exit when cardinality(batch) + cardinality(strays) >= batch_size;
        end if;
        if hits is null or cardinality(hits) < wanted then
            reached := '(0,0)';
            exit when has_begun_anew or position = '(0,0)';
            has_begun_anew := true;
        end if;
    end loop;
    wanted := batch_size - cardinality(batch) - cardinality(strays);
    if ripe is not null and wanted > 0 and looked_at >= batch_size / 2 then
        select c.* into clicks
        from marketing_automation_internal.free_clicks(since, ripe, wanted, unasked, is_ours, looked_at, held) c;
        batch := batch || clicks.known;
        strays := strays || clicks.strays;
        held := clicks.held;
    end if;
    -- At once, as the clicks of a mail are judged together.
    if batch <> '{}' then
        perform marketing_automation_internal.apply_or_fail(batch);
    end if;
    if strays <> '{}' then
        perform marketing_automation_internal.apply_or_fail(strays, are_known => false);
    end if;
    if is_ours and reached <> position then
        update marketing_automation_internal.event_application a set position = reached;
    end if;
    return case when batch || strays <> '{}' or not held then cardinality(batch || strays) end;
end $$;
comment on function marketing_automation_internal.apply_batch(integer, boolean) is
    'API: private. Applies at most batch_size events of the inbox and returns how many; null when other sessions hold all that is '
    'there. Clicks wait for click_window(). full_scan: looks for clicks from the beginning, not from where it found some last: see '
    'queue_cursor()';

create or replace function marketing_automation_internal.wait_for_event_application() returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform from marketing_automation_internal.event_application a for update;
exception when lock_not_available then
    null;
end $$;
comment on function marketing_automation_internal.wait_for_event_application() is
    'API: private. Waits for who applies events, but not longer than a second: their transaction may stay open';

create or replace function marketing_automation.apply_events(batch_size integer default 5000) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if batch_size is null or batch_size not between 1 and 100000 then
        raise exception 'batch_size must be between 1 and 100000, not %', batch_size
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for 5000.';
    end if;
    perform marketing_automation_internal.wait_for_event_application();
    return coalesce(marketing_automation_internal.apply_batch(batch_size), 0);
end $$;
comment on function marketing_automation.apply_events(integer) is
    'API: public. Applies recorded opens and clicks, at most batch_size (1 to 100000), to activities and the log; returns how many, '
    '0 when nothing is left but what other sessions hold, and clicks that wait for the rules about robots. The '
    'mailer does this within a moment, and process_due() for its own records; for databases without a mailer, or to be sure that it is done';

create or replace function marketing_automation_internal.apply_events_of(activity_id integer, records bigint[]) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    ripe timestamptz := statement_timestamp() - marketing_automation_internal.click_window();
    hits tid[];
    unripe bigint[];
begin
    select coalesce(array_agg(i.ctid order by i.record_id) filter (where not w.waits), '{}'),
        coalesce(array_agg(i.record_id) filter (where w.waits), '{}')
    into hits, unripe
    from marketing_automation_internal.event_inbox i
    cross join lateral (select coalesce(i.kind = 'email_clicked' and i.occurred_at > ripe, false) as waits) w
    where i.activity_id = apply_events_of.activity_id and i.record_id = any (records) and i.error is null;
    if hits <> '{}' then
        perform marketing_automation_internal.apply_or_fail(hits);
    end if;
    if hits <> '{}' or unripe <> '{}' then
        return array(
            select u.id from unnest(records) as u (id)
            where u.id <> all (unripe) and not exists (
                select from marketing_automation_internal.event_inbox i
                where i.ctid = any (hits) and i.record_id = u.id and i.activity_id = apply_events_of.activity_id and i.error is null)
            order by u.id);
    end if;
    return records;
end $$;
comment on function marketing_automation_internal.apply_events_of(integer, bigint[]) is
    'API: private. Applies what the inbox holds about an activity of these records, whose rows in finished_activity the caller has '
    'locked, but for clicks that wait for the rules about robots. Returns the records of which nothing is left there';

-- functions/conversions.sql
-- Conversions that the shop reports, and their sums. Those by a goal are written by process_records.sql and goals.sql.

create or replace function marketing_automation_internal.record_conversion(caller regrole, record uuid, value numeric, at timestamptz)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id bigint;
begin
    if value in ('NaN', 'Infinity', '-Infinity') then
        raise exception 'value must be a finite number, not %', value using errcode = 'invalid_parameter_value';
    end if;
    if not isfinite(at) then
        raise exception 'at must be a time, not %', at using errcode = 'invalid_parameter_value';
    end if;
    perform marketing_automation_internal.demand_record(caller, record);
    insert into marketing_automation.conversion (record_id, scenario_id, at, value, activity_id)
    select r.id, r.scenario_id, coalesce(record_conversion.at, now()), record_conversion.value,
        (select a.activity_id from marketing_automation_internal.credited_activities(array[r.id],
            array[coalesce(record_conversion.at, now())]) a)
    from marketing_automation_internal.record r
    where r.id = marketing_automation.record_id(record) and r.uuid = record
    returning conversion.id into its_id;
    if its_id is null then
        raise exception 'record "%" does not exist', record
            using errcode = 'undefined_object', hint = 'See: select uuid from marketing_automation.record where key = …;';
    end if;
    return its_id;
end $$;
comment on function marketing_automation_internal.record_conversion(regrole, uuid, numeric, timestamptz) is
    'API: private. Behind record_conversion()';

create or replace function marketing_automation.record_conversion(record uuid, value numeric default null, at timestamptz default now())
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.record_conversion(uuid, numeric, timestamptz) is
    'API: public. Keeps that a record has done what its scenario is for, and what that is worth; returns the id of the conversion. '
    'Each call is a conversion of its own';

create or replace view marketing_automation.conversion_report with (security_barrier) as
select s.name as scenario, count(*) as conversions, count(distinct c.record_id) as records, sum(c.value) as value
from marketing_automation.conversion c
join marketing_automation_internal.countable_scenario s on s.id = c.scenario_id
group by s.name;
comment on view marketing_automation.conversion_report is
    'API: public. Conversions of each scenario, of how many records, and their value';

-- functions/record_events.sql
-- Events: what the tracking proxy reports. record_events() only appends, so that a hit can be answered; apply.sql applies.

create or replace function marketing_automation_internal.address_prefix(address inet) returns inet
language sql immutable parallel safe
return network(set_masklen(address, least(masklen(address), case family(address) when 4 then 24 else 48 end)));
comment on function marketing_automation_internal.address_prefix(inet) is
    'API: private. The network that an address belongs to, which tells a data centre from a household and no person from their '
    'neighbours: /24 of IPv4, /48 of IPv6';

create or replace function marketing_automation_internal.kept_user_agent(user_agent text) returns text
language sql stable parallel safe
return case marketing_automation_internal.setting('hit_details')
    when 'full' then user_agent
    when 'reduced' then
        regexp_replace(regexp_replace(regexp_replace(user_agent,
            -- Apps append the device, the carrier and the language in brackets.
            '\s*\[[^]]*\]?', '', 'g'),
            '(Android [0-9]+)[^)]*', '\1', 'g'),
            -- 17.5.1, and Apple's 17_5_1, but not x86_64.
            '(?<=[0-9][.]|OS (X )?[0-9_]+_)[0-9]+', '0', 'g') end;
comment on function marketing_automation_internal.kept_user_agent(text) is
    'API: private. What marketing_automation.hit_details leaves of a user agent. reduced: names and major versions, neither minor '
    'versions nor models, as browsers do themselves by now (chromium.org/updates/ua-reduction)';

create or replace function marketing_automation.record_events(
    ids uuid[], kinds text[], tokens text[], occurred_at timestamptz[], methods text[], addresses inet[], user_agents text[],
    asked integer[] default null
) returns table (n integer, known boolean, location text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
    records bigint[];
    activities integer[];
    links bigint[];
begin
    if (cardinality(ids) = all (array[cardinality(kinds), cardinality(tokens), cardinality(occurred_at), cardinality(methods),
                                      cardinality(addresses), cardinality(user_agents)])) is not true then
        raise exception 'arrays of record_events() differ in length' using errcode = 'array_subscript_error';
    end if;
    if array_position(ids, null) is not null then
        raise exception 'ids of record_events() must not be null' using errcode = 'null_value_not_allowed';
    end if;
    if not '{email_opened,email_clicked}' @> kinds or array_position(kinds, null) is not null then
        raise exception 'kinds of record_events() must be email_opened or email_clicked' using errcode = 'invalid_parameter_value';
    end if;
    if not '{GET,HEAD,POST,PREFETCH}' @> methods or array_position(methods, null) is not null then
        raise exception 'methods of record_events() must be GET, HEAD, POST or PREFETCH' using errcode = 'invalid_parameter_value';
    end if;
    select v.records, v.activities, v.links into records, activities, links from marketing_automation_internal.verify_tokens(kinds,
        tokens) v;
    insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id, link_id, method, address,
        user_agent)
    -- A clock that runs ahead, or is not set, must not move what follows.
    select h.id, greatest(least(h.occurred_at, statement_timestamp()), '2000-01-01'), h.kind, h.record_id, h.activity_id, h.link_id,
        h.method,
           marketing_automation_internal.address_prefix(h.address), left(h.user_agent, 200)
    from unnest(ids, kinds, occurred_at, methods, addresses, user_agents, records, activities, links)
        as h (id, kind, occurred_at, method, address, user_agent, record_id, activity_id, link_id)
    -- A test's links work, and tell nothing.
    where h.record_id <> 0;
    if found then
        perform marketing_automation_internal.notify_mailer();
    end if;
    if asked is null or asked <> '{}' then
        return query
            select a.n, records[a.n] is not null, l.url
            from unnest(coalesce(asked, array(select generate_series(1, cardinality(ids))))) with ordinality as a (n, position)
            left join marketing_automation.link l on l.id = links[a.n]
            order by a.position;
    end if;
end $$;
comment on function marketing_automation.record_events(uuid[], text[], text[], timestamptz[], text[], inet[], text[], integer[]) is
    'API: proxy. Records a batch of opens and clicks, all arrays alike in length; apply_events() does the rest. kinds: email_opened '
    'or email_clicked; methods: GET, HEAD, POST or PREFETCH; addresses and user_agents may be null. One row for each hit that is '
    'asked for, n from 1; asked: null for all. known is false for a token that is malformed or forged, location is where a click '
    'leads. Hits of tests (record 0) are not recorded; an id seen before is ignored when it is applied';

-- functions/robots.sql
-- Robots: rules tell opens and clicks of programs from those of people.

create or replace function marketing_automation_internal.may_take_long(pattern text) returns boolean
language sql immutable
-- Without these two PostgreSQL reads a text once, from the left to the right; with them 200 letters can take hours. What is escaped is
-- left out first.
return regexp_replace(pattern, '\\[^1-9]', '', 'g') ~ '\\[1-9]|\(\?[=!<]';
comment on function marketing_automation_internal.may_take_long(text) is
    'API: private. Whether a regular expression has a back-reference or looks around, by which matching it may take any time';

create or replace function marketing_automation_internal.robot_rule_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.check_value(new.kind, array['method', 'user_agent', 'network', 'burst', 'speed', 'hidden_link'],
        'kind', format('robot rule "%s"', new.name));
    if new.kind = 'user_agent' then
        -- An invalid expression is its author's error, and not that of every hit.
        begin
            perform '' ~* new.pattern;
        exception when invalid_regular_expression then
            raise exception 'pattern of robot rule "%" is no regular expression', new.name
                using errcode = 'invalid_regular_expression', detail = sqlerrm || '.',
                      hint = 'Write a backslash before a bracket, dot, * or + that is meant as such.';
        end;
        if marketing_automation_internal.may_take_long(new.pattern) then
            if not marketing_automation_internal.is_restoring() then
                raise exception 'pattern of robot rule "%" has a back-reference or looks around', new.name
                    using errcode = 'invalid_regular_expression',
                          detail = 'Matching it may take any time, and the events of all wait for it.',
                          hint = 'Write it without \1, (?=, (?!, (?<= and (?<!, as several rules for instance.';
            end if;
            new.is_enabled := false;
        end if;
    elsif new.kind = 'network'
        and masklen(new.pattern::cidr) > masklen(marketing_automation_internal.address_prefix(new.pattern::inet)) then
        -- As of an address that is all that is known: see address_prefix().
        raise exception 'network % is narrower than what is kept of an address', new.pattern
            using errcode = 'invalid_parameter_value', hint = 'It must be at least a /24 of IPv4 or a /48 of IPv6.';
    elsif new.kind = 'method' and new.pattern not in ('GET', 'HEAD', 'POST', 'PREFETCH') then
        raise exception 'method % does not exist', new.pattern
            using errcode = 'invalid_parameter_value', hint = 'It is GET, HEAD, POST or PREFETCH.';
    end if;
    new.is_shipped := new.is_shipped and tg_op = 'INSERT' and marketing_automation_internal.is_extension_script();
    if tg_op = 'INSERT' then
        -- A dump has the rules that were changed; CREATE EXTENSION has just made them as they are shipped.
        delete from marketing_automation.robot_rule r where r.name = new.name and r.is_shipped;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.robot_rule_validate() is
    'API: private. Patterns are valid; a changed rule is no shipped one, and takes its place when a dump is restored';

create or replace trigger validate before insert or update on marketing_automation.robot_rule
    for each row execute function marketing_automation_internal.robot_rule_validate();

-- Robots: which opens and clicks are not a person's. robot_by_look() judges a hit by itself,
-- classify_events() by what else was done with its mail; when hits are applied, and again by reclassify_events().
create or replace function marketing_automation_internal.robot_by_look(method text, user_agent text, address inet) returns text
language sql stable
return (
    select min(r.name) from marketing_automation.robot_rule r
    where r.is_enabled and case r.kind
        when 'method' then robot_by_look.method = r.pattern
        when 'user_agent' then robot_by_look.user_agent ~* r.pattern
        when 'network' then robot_by_look.address <<= r.pattern::inet end);
comment on function marketing_automation_internal.robot_by_look(text, text, inet) is
    'API: private. The rule by which a single hit is a robot''s, of those that look at nothing but the hit; null: none';

create or replace function marketing_automation_internal.count_robots(records bigint[], activities integer[], kinds text[], changes integer[])
    returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    if records is null then
        return;
    end if;
    insert into marketing_automation_internal.activity_counter (activity_id, period, robot_opens, robot_clicks)
    select u.activity_id, marketing_automation_internal.counter_period(f.finished_at),
           coalesce(sum(u.change) filter (where u.kind = 'email_opened'), 0),
               coalesce(sum(u.change) filter (where u.kind = 'email_clicked'), 0)
    from unnest(records, activities, kinds, changes) as u (record_id, activity_id, kind, change)
    join marketing_automation_internal.finished_activity f on f.record_id = u.record_id and f.activity_id = u.activity_id
    group by 1, 2;
end $$;
comment on function marketing_automation_internal.count_robots(bigint[], integer[], text[], integer[]) is
    'API: private. Counts opens and clicks that are a robot''s (change 1), or not any more (-1), with their mails. Null: none. The '
    'caller holds the rows of the mails in finished_activity';

create or replace function marketing_automation_internal.classify_events(hits tid[]) returns uuid[]
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
declare
    burst marketing_automation.robot_rule;
    speed marketing_automation.robot_rule;
    trap marketing_automation.robot_rule;
    buckets smallint[];
    records bigint[];
    activities integer[];
    kinds text[];
    changes integer[];
    people uuid[];
    reach interval;
begin
    select r.* into burst from marketing_automation.robot_rule r where r.kind = 'burst' and r.is_enabled order by r.name limit 1;
    select r.* into speed from marketing_automation.robot_rule r where r.kind = 'speed' and r.is_enabled order by r.name limit 1;
    select r.* into trap from marketing_automation.robot_rule r where r.kind = 'hidden_link' and r.is_enabled order by r.name limit 1;
    -- How far apart clicks can be that decide about each other; null: none do.
    reach := greatest(burst.within, trap.within);
    if speed.name is not null then
        -- Where mails are that were sent a moment before. A day more, as the clock of a proxy may run behind.
        buckets := array(
            select distinct marketing_automation_internal.log_bucket(e.occurred_at + d)
            from marketing_automation_internal.event e cross join unnest(array[- speed.within, interval '0', interval '1 day']) d
                where e.ctid = any (hits));
    end if;
    with fresh as materialized (
        select e.ctid as place, e.* from marketing_automation_internal.event e where e.ctid = any (hits) and e.kind
            in ('email_opened', 'email_clicked')
    ), mail as (
        select f.record_id, f.activity_id, min(f.occurred_at) - reach as since, max(f.occurred_at) + reach as until
        from fresh f where f.kind = 'email_clicked' and reach is not null
        group by f.record_id, f.activity_id
    ), hit as materialized (
        select f.*, true as is_judged from fresh f where f.kind = 'email_opened' or reach is null
        union all
        -- All clicks in the same mails: only together are they a burst, or follow the hidden link. What came long before or after
        -- has nothing to do with these, however much of it there is. offset: mail by mail, however few clicks there were when
        -- the log was last analyzed.
        select c.*, c.occurred_at between m.since and m.until from mail m cross join lateral (
            select e.ctid, e.* from marketing_automation_internal.event e
            where e.record_id = m.record_id and e.activity_id = m.activity_id and e.kind = 'email_clicked'
              -- And what decides about the outermost of them.
              and e.occurred_at between m.since - reach and m.until + reach offset 0) c
        union all
        -- Clicks that wait for others in turn: they tell about these, and are judged later. Their time is asked outside, as the index on
        -- the time would find those of all mails.
        select null::tid, c.id, c.occurred_at, c.kind, c.record_id, c.activity_id, c.link_id, c.method, c.address, c.user_agent, null::text,
            null::text, null::integer, false
        from mail m cross join lateral (
            select i.* from marketing_automation_internal.event_inbox i
            where i.record_id = m.record_id and i.activity_id = m.activity_id and i.kind = 'email_clicked' and i.error is null offset 0) c
        where c.occurred_at between m.since - reach and m.until + reach
    ), near as materialized (
        -- How far from a click on the hidden link, before and after; in one pass, since both may be many.
        select h.place, h.record_id, h.activity_id, h.kind, h.link_id, h.occurred_at, h.robot, h.is_judged,
            count(*) over (partition by h.record_id, h.activity_id, h.kind) as clicks,
            h.occurred_at - max(h.occurred_at) filter (where h.link_id = 0) over (
                partition by h.record_id, h.activity_id, h.kind order by h.occurred_at) as since_trap,
            min(h.occurred_at) filter (where h.link_id = 0) over (
                partition by h.record_id, h.activity_id, h.kind order by h.occurred_at desc) - h.occurred_at as until_trap
        from hit h
    ), click as materialized (
        select h.* from near h where h.kind = 'email_clicked' and h.clicks >= burst.links
    ), reached as (
        -- From when to when there is a click on a link within the time of the rule. What overlaps is one stretch, so that
        -- stretches that hold a moment are as many as links. No join and no list of what is near: both are quadratic, and
        -- a single mail could be clicked often enough to hold up all others.
        select c.record_id, c.activity_id, min(c.occurred_at) - burst.within as since, max(c.occurred_at) + burst.within as until
        from (select c.*, count(*) filter (where c.starts) over (partition by c.record_id, c.activity_id,
            c.link_id order by c.occurred_at) as stretch
              from (select c.*, coalesce(c.occurred_at - lag(c.occurred_at) over (
                        partition by c.record_id, c.activity_id, c.link_id order by c.occurred_at) > 2 * burst.within, true) as starts
                    from click c) c) c
        group by c.record_id, c.activity_id, c.link_id, c.stretch
    ), weighed as (
        -- Each with whether it is of a burst. Carried along and not joined: how many there are is not known when this is planned.
        select m.place, m.record_id, m.activity_id, m.kind, m.link_id, m.occurred_at, m.robot, m.is_judged, m.since_trap, m.until_trap,
            m.links >= burst.links as bursts
        from (select m.*, sum(m.step) over (partition by m.record_id, m.activity_id order by m.occurred_at, m.turn) as links
              from (select null::tid as place, r.record_id, r.activity_id, null as kind, null::bigint as link_id, r.since as occurred_at,
                        null as robot, false as is_judged, null::interval as since_trap, null::interval as until_trap, 1 as turn, 1 as step
                    from reached r
                    union all
                    select c.place, c.record_id, c.activity_id, c.kind, c.link_id, c.occurred_at, c.robot, c.is_judged, c.since_trap,
                        c.until_trap, 2, 0
                    from click c
                    union all
                    select null, r.record_id, r.activity_id, null, null, r.until, null, false, null, null, 3, -1 from reached r) m) m
        where m.turn = 2
        union all
        select h.place, h.record_id, h.activity_id, h.kind, h.link_id, h.occurred_at, h.robot, h.is_judged, h.since_trap, h.until_trap, false
        from near h where (h.kind = 'email_clicked' and h.clicks >= burst.links) is not true
    ), verdict as materialized (
        select h.place, h.robot as before, coalesce(
            (select r.name from marketing_automation.robot_rule r where r.name = h.robot and r.is_enabled and r.kind
                in ('method', 'user_agent', 'network')),
            case when h.link_id = 0 then coalesce(trap.name, 'hidden_link') end,
            case when least(h.since_trap, h.until_trap) <= trap.within then trap.name
                when h.kind = 'email_opened' and trap.name is not null and exists (
                    select from marketing_automation_internal.event o
                    where o.record_id = h.record_id and o.activity_id = h.activity_id and o.link_id = 0
                      and o.occurred_at between h.occurred_at - trap.within and h.occurred_at + trap.within) then trap.name end,
            case when h.bursts then burst.name end,
            case when speed.name is not null and exists (
                select from marketing_automation_internal.message_log m
                where m.bucket = any (buckets) and m.record_id = h.record_id and m.activity_id = h.activity_id
                  and h.occurred_at < m.sent_at + speed.within) then speed.name end) as robot
        from weighed h where h.is_judged
    ), judged as (
        update marketing_automation_internal.event e set robot = v.robot
        from verdict v where e.ctid = v.place and v.robot is distinct from v.before
        returning e.id, e.record_id, e.activity_id, e.kind, (v.robot is not null)::integer - (v.before is not null)::integer as change
    )
    select array_agg(j.record_id), array_agg(j.activity_id), array_agg(j.kind), array_agg(j.change),
        coalesce(array_agg(j.id) filter (where j.change < 0), '{}')
    into records, activities, kinds, changes, people from judged j where j.change <> 0;
    perform marketing_automation_internal.count_robots(records, activities, kinds, changes);
    return people;
end $$;
comment on function marketing_automation_internal.classify_events(tid[]) is
    'API: private. Judges opens and clicks at these places in the log, whose look has been judged, by when they came, and with a '
    'click the other clicks in its mail, those that wait in the inbox too. Returns what was a robot''s until rules have changed, and has '
    'no effect yet. The caller holds '
    'the rows of their mails in finished_activity';

create or replace function marketing_automation.reclassify_events(since timestamptz) returns table (robots bigint, people bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    ids uuid[];
    were_robots uuid[];
    no_opens bigint[];
    no_clicks bigint[];
    records bigint[];
    activities integer[];
    kinds text[];
    changes integer[];
begin
    select array_agg(e.id), coalesce(array_agg(e.id) filter (where e.robot is not null), '{}') into ids, were_robots
    from marketing_automation_internal.event e where e.occurred_at >= since and e.kind in ('email_opened', 'email_clicked');
    perform from marketing_automation_internal.finished_activity f
    join (select distinct e.record_id, e.activity_id from marketing_automation_internal.event e where e.id = any (ids)) h
        on h.record_id = f.record_id and h.activity_id = f.activity_id
    order by f.record_id, f.activity_id for no key update of f;
    with look as (
        select marketing_automation_internal.robot_by_look(e.method, e.user_agent, e.address) as robot, e.robot is not null as was_robot,
            array_agg(e.id) as ids
        from marketing_automation_internal.event e where e.id = any (ids)
        group by e.method, e.user_agent, e.address, e.robot is not null
    ), seen as materialized (
        -- Without the ids of the whole group, of which a join would carry a copy with each of them.
        select u.id, l.robot, l.was_robot from look l cross join lateral unnest(l.ids) u (id)
    ), judged as (
        update marketing_automation_internal.event e set robot = l.robot
        from seen l
        where e.id = l.id and e.robot is distinct from l.robot
          -- A verdict by what hit_details has not kept stands for as long as its rule does.
          and (l.robot is not null or exists (
              select from marketing_automation.robot_rule r
              where r.name = e.robot and case r.kind when 'method' then true when 'user_agent' then e.user_agent is not null
                  when 'network' then e.address is not null end))
        returning e.record_id, e.activity_id, e.kind, (l.robot is not null)::integer - l.was_robot::integer as change
    )
    select array_agg(j.record_id), array_agg(j.activity_id), array_agg(j.kind), array_agg(j.change)
    into records, activities, kinds, changes from judged j where j.change <> 0;
    perform marketing_automation_internal.count_robots(records, activities, kinds, changes);
    perform marketing_automation_internal.classify_events(array(
        select e.ctid from marketing_automation_internal.event e where e.id = any (ids)));
    -- What turns out to be a person's has the effect that it should have had.
    select c.no_opens, c.no_clicks into no_opens, no_clicks
    from marketing_automation_internal.withheld_consent(array(
        select distinct e.record_id from marketing_automation_internal.event e where e.id = any (were_robots) and e.robot is null)) c;
    perform marketing_automation_internal.mark_events(array_agg(e.record_id), array_agg(e.activity_id), array_agg(e.kind),
        array_agg(e.occurred_at), no_opens)
    from marketing_automation_internal.event e
    where e.id = any (were_robots) and e.robot is null and case e.kind when 'email_opened' then e.record_id <> all (no_opens)
        else e.record_id <> all (no_clicks) end
    having count(*) > 0;
    return query
        select count(*) filter (where e.robot is not null and e.id <> all (were_robots)),
               count(*) filter (where e.robot is null and e.id = any (were_robots))
        from marketing_automation_internal.event e where e.id = any (ids);
end $$;
comment on function marketing_automation.reclassify_events(timestamptz) is
    'API: public. Judges opens and clicks since then again, after robot_rule has changed, by what hit_details has kept of them; '
    'returns how many turned out to be robots'' and how many people''s. The latter have their effect now; what the former have '
    'started is not taken back';

create or replace view marketing_automation.robot_hit with (security_barrier) as
select e.activity_id, e.robot, count(*) filter (where e.kind = 'email_opened') as opened,
    count(*) filter (where e.kind = 'email_clicked') as clicked
from marketing_automation_internal.event e
where e.robot is not null and ((select v.counts_every from marketing_automation_internal.reader v) or e.activity_id in (
    select a.id from marketing_automation.activity a
    where a.scenario_id in (select s.id from marketing_automation_internal.countable_scenario s)))
group by e.activity_id, e.robot;
comment on view marketing_automation.robot_hit is
    'API: public. Opens and clicks that are not counted, by activity and by the rule that said so';

-- functions/unsubscribed_addresses.sql
-- Addresses that have left: whoever leaves through a mail does so with the address that it went to, whichever other rows have that
-- address. claim_messages() asks, as it does of suppressed ones.

create or replace function marketing_automation_internal.mailed_address(of_record bigint, of_activity integer) returns bytea
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation.address_hash(coalesce((
            select m.email from marketing_automation_internal.message_log m
            where m.record_id = of_record and m.email <> ''
            order by (m.activity_id = of_activity) is true desc, m.created_at desc limit 1), (
            -- Who has a mail that is not in the log: nobody knows whether it was taken.
            select o.email from marketing_automation_internal.outbox o
            where o.activity_id = of_activity and o.record_id = of_record and o.attempts > 0 limit 1)))
$$;
comment on function marketing_automation_internal.mailed_address(bigint, integer) is
    'API: private. The digest of the address to which the mail of this activity went, or else another mail of the record; null: nothing '
    'that is kept says it';

create or replace function marketing_automation_internal.leave_address(its_hash bytea, scenarios integer[], of_record bigint, its_party text,
    spares_party boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into marketing_automation_internal.unsubscribed_address as u
        (address_hash, scenario_id, created_at, record_id, party, spares_party)
    select its_hash, s.id, statement_timestamp(), of_record, its_party, leave_address.spares_party and s.id <> 0
    from unnest(scenarios) as s (id) where its_hash is not null order by s.id
    on conflict on constraint unsubscribed_address_pkey do update
    set record_id = excluded.record_id, party = excluded.party,
        -- Of two parties with one address that have both left there is none to go on with.
        spares_party = u.spares_party and excluded.spares_party and u.party = excluded.party
    where u.spares_party and not (excluded.spares_party and u.party = excluded.party);
    return found;
end $$;
comment on function marketing_automation_internal.leave_address(bytea, integer[], bigint, text, boolean) is
    'API: private. Has an address leave these scenarios, 0 being all; whether that is news. Null: none is known';

create or replace function marketing_automation_internal.return_address(its_hash bytea, scenario_id integer, of_record bigint, its_party text)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    returned bigint;
begin
    perform from marketing_automation_internal.unsubscribed_address u
    where u.address_hash = its_hash or u.record_id = of_record or u.party = its_party
    order by u.address_hash, u.scenario_id for update;
    delete from marketing_automation_internal.unsubscribed_address u
    where (u.address_hash = its_hash or u.record_id = of_record or u.party = its_party)
      and (return_address.scenario_id is null or u.scenario_id in (0, return_address.scenario_id));
    get diagnostics returned = row_count;
    return returned;
end $$;
comment on function marketing_automation_internal.return_address(bytea, integer, bigint, text) is
    'API: private. Takes back what an address, or the addresses of a record or a party, have left: one scenario and everything, or all '
    'that they have (null); how many that were';

create or replace function marketing_automation_internal.has_left(its_hash bytea, of_scenario integer, its_party text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from marketing_automation_internal.unsubscribed_address u
        where u.address_hash = its_hash and u.scenario_id in (0, of_scenario) and (u.spares_party and u.party = its_party) is not true)
$$;
comment on function marketing_automation_internal.has_left(bytea, integer, text) is
    'API: private. Whether an address has left a scenario, or everything, for records of this party; 0: everything only';

create or replace function marketing_automation_internal.left_address(address text) returns bytea
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if address is null or trim(address) = '' then
        raise exception 'address must not be empty' using errcode = 'invalid_parameter_value';
    end if;
    return marketing_automation.address_hash(address);
end $$;
comment on function marketing_automation_internal.left_address(text) is 'API: private. The digest of an address, or an error if there is none';

create or replace function marketing_automation_internal.unsubscribe_address(caller regrole, address text, scenario text) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.leave_address(marketing_automation_internal.left_address(address),
        array[marketing_automation_internal.scenario_left(caller, scenario)], null, null, false)
$$;
comment on function marketing_automation_internal.unsubscribe_address(regrole, text, text) is 'API: private. Behind unsubscribe_address()';

create or replace function marketing_automation.unsubscribe_address(address text, scenario text default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unsubscribe_address(text, text) is
    'API: public. Unsubscribes an address from a scenario, or from every one (null), also those to come, whichever rows have it: mails to '
    'it are suppressed from the commit on. Only its digest is kept. Whether this is news';

create or replace function marketing_automation_internal.resubscribe_address(caller regrole, address text, scenario text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    hash bytea := marketing_automation_internal.left_address(address);
    its_scenario integer := nullif(marketing_automation_internal.scenario_left(caller, scenario), 0);
begin
    if its_scenario is not null and marketing_automation_internal.has_left(hash, 0, null) then
        raise exception 'the address is unsubscribed from everything'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Resubscribe it to everything first: call resubscribe_address() without a scenario.';
    end if;
    return marketing_automation_internal.return_address(hash, its_scenario, null, null) > 0;
end $$;
comment on function marketing_automation_internal.resubscribe_address(regrole, text, text) is 'API: private. Behind resubscribe_address()';

create or replace function marketing_automation.resubscribe_address(address text, scenario text default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.resubscribe_address(text, text) is
    'API: public. Takes back every unsubscription of an address, or that from one scenario. Its parties and records stay as they are: see '
    'resubscribe() and unblock(). Whether there was one';

-- functions/block.sql
-- Blocking records, and taking it back.

create or replace function marketing_automation_internal.cancel_waiting(of_record bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    loop
        with cancelled as (
            delete from marketing_automation_internal.waiting_activity w where w.record_id = of_record
            returning w.record_id, w.activity_id, w.at
        ), counters as (
            insert into marketing_automation_internal.activity_counter (activity_id, period, cancelled)
            select c.activity_id, marketing_automation_internal.counter_period(statement_timestamp()), 1 from cancelled c
        )
        insert into marketing_automation_internal.finished_activity (record_id, activity_id, state, outcome, at, finished_at)
        select c.record_id, c.activity_id, 'cancelled', 'blocked', c.at, statement_timestamp() from cancelled c;
        -- Once more: a batch that this has waited for may have started children, which its snapshot does not have.
        exit when not exists (select from marketing_automation_internal.waiting_activity w where w.record_id = of_record);
    end loop;
end $$;
comment on function marketing_automation_internal.cancel_waiting(bigint) is 'API: private. Cancels all that waits for a blocked record';

create or replace function marketing_automation_internal.lock_records(records bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    perform from marketing_automation_internal.finished_activity f where f.record_id = any (records)
    order by f.record_id, f.activity_id for no key update;
    perform from marketing_automation_internal.record r where r.id = any (records) order by r.id for no key update;
end $$;
comment on function marketing_automation_internal.lock_records(bigint[]) is
    'API: private. Locks what records have finished, in order of record and activity, and then the records';

create or replace function marketing_automation_internal.records_of_same_rows(records bigint[]) returns bigint[]
language sql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
    select array(
        select distinct o.id from marketing_automation_internal.record r
        join marketing_automation_internal.record o on o.scenario_id = r.scenario_id and o.key = r.key
        where r.id = any (records) order by o.id)
$$;
comment on function marketing_automation_internal.records_of_same_rows(bigint[]) is
    'API: private. These records and all others that their rows have in the same scenario, as it lets them enter again';

create or replace function marketing_automation_internal.lock_record(of_record bigint) returns marketing_automation_internal.record
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation_internal.record;
    locked bigint[];
    found_now bigint[];
begin
    loop
        found_now := marketing_automation_internal.records_of_same_rows(array[of_record]);
        -- Who enters the row again holds its last record meanwhile: after this lock the new one is seen.
        exit when found_now <@ locked;
        perform marketing_automation_internal.lock_records(found_now);
        locked := found_now;
    end loop;
    select r.* into result from marketing_automation_internal.record r where r.id = of_record;
    return result;
end $$;
comment on function marketing_automation_internal.lock_record(bigint) is
    'API: private. Locks what a record, and the others of its row in the scenario, have finished, in order of activity, and then the records';

create or replace function marketing_automation_internal.block_record(blocked marketing_automation_internal.record) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    is_news boolean := blocked.blocked_at is null;
    later marketing_automation_internal.record;
begin
    if is_news then
        update marketing_automation_internal.record r set blocked_at = statement_timestamp() where r.id = blocked.id;
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, blocked)
        values (blocked.scenario_id, marketing_automation_internal.counter_period(blocked.entered_at), 1);
        insert into marketing_automation_internal.event (id, occurred_at, kind, record_id)
        values (gen_random_uuid(), statement_timestamp(), 'blocked', blocked.id);
    end if;
    -- Also of a record that was blocked before the scenario became unsubscribable.
    insert into marketing_automation.unsubscription (party, scenario_id, created_at)
    select blocked.party, s.id, statement_timestamp() from marketing_automation.scenario s
    where s.id = blocked.scenario_id and s.unsubscribable and blocked.party is not null
    on conflict do nothing;
    is_news := is_news or found;
    perform marketing_automation_internal.cancel_waiting(blocked.id);
    -- By whichever mail somebody leaves: it is the last record that mails.
    select r.* into later from marketing_automation_internal.record r
    where r.scenario_id = blocked.scenario_id and r.key = blocked.key and r.run > blocked.run order by r.run desc limit 1;
    if found then
        is_news := marketing_automation_internal.block_record(later) or is_news;
    end if;
    return is_news;
end $$;
comment on function marketing_automation_internal.block_record(marketing_automation_internal.record) is
    'API: private. Blocks a record that lock_record() has locked, and the last one of its row; whether that changed anything';

create or replace function marketing_automation_internal.existing_record(caller regrole, record uuid) returns marketing_automation_internal.record
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation_internal.record;
begin
    -- Asked before anything is locked, so that who may not do this holds up no batch.
    perform marketing_automation_internal.demand_record(caller, record);
    result := marketing_automation_internal.lock_record(marketing_automation.record_id(record));
    if result.id is null or result.uuid is distinct from record then
        raise exception 'record "%" does not exist', record
            using errcode = 'undefined_object', hint = 'See: select uuid from marketing_automation.record where key = …;';
    end if;
    return result;
end $$;
comment on function marketing_automation_internal.existing_record(regrole, uuid) is
    'API: private. The record of that public id, locked, for a role that may operate its scenario; else an error';

create or replace function marketing_automation_internal.block(caller regrole, record uuid)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    blocked marketing_automation_internal.record := marketing_automation_internal.existing_record(caller, record);
begin
    perform marketing_automation_internal.block_record(blocked);
    perform marketing_automation_internal.leave_address(marketing_automation_internal.mailed_address(blocked.id, null), array[s.id], blocked.id,
        blocked.party, false)
    from marketing_automation.scenario s where s.id = blocked.scenario_id and s.unsubscribable;
end $$;
comment on function marketing_automation_internal.block(regrole, uuid) is 'API: private. Behind block()';

create or replace function marketing_automation.block(record uuid)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.block(uuid) is
    'API: public. Stops everything for a record, and its row does not enter again: what waits is cancelled, queued mails are suppressed. If '
    'its scenario is unsubscribable, its party is unsubscribed from it, and the address to which its mails went';

create or replace function marketing_automation_internal.unblock_records(records bigint[]) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    unblocked bigint;
begin
    -- One that stays blocked would keep the row from entering again.
    records := records || array(
        select r.id from marketing_automation_internal.record r
        where r.id = any (marketing_automation_internal.records_of_same_rows(records)) and r.id <> all (records)
          and (r.blocked_at is not null or r.unsubscribed_at is not null));
    perform marketing_automation_internal.lock_records(records);
    with returning_one as (
        update marketing_automation_internal.record r set blocked_at = null, unsubscribed_at = null
        from marketing_automation_internal.record b
        where r.id = any (records) and (r.blocked_at is not null or r.unsubscribed_at is not null) and b.id = r.id
        returning r.id, r.scenario_id, r.entered_at, b.blocked_at
    ), unblocked as (
        select o.id, o.scenario_id, o.entered_at from returning_one o where o.blocked_at is not null
    ), counters as (
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, blocked)
        select u.scenario_id, marketing_automation_internal.counter_period(u.entered_at), -1 from unblocked u
    ), logged as (
        insert into marketing_automation_internal.event (id, occurred_at, kind, record_id)
        select gen_random_uuid(), statement_timestamp(), 'unblocked', u.id from unblocked u
    ), taken_back as (
        delete from marketing_automation_internal.finished_activity f
        using returning_one u, marketing_automation.activity a
        where f.record_id = u.id and f.outcome = 'blocked' and a.id = f.activity_id
          -- "Not opened" is decided when the mail has been opened meanwhile.
          and not (a.on_event like 'email\_not\_%' and exists (
                select from marketing_automation_internal.finished_activity p
                where p.record_id = f.record_id and p.activity_id = a.parent_id
                  and marketing_automation_internal.event_time(p, a.on_event) is not null))
        returning f.record_id, f.activity_id, f.at, f.finished_at
    ), counted_back as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, cancelled)
        select t.activity_id, marketing_automation_internal.counter_period(t.finished_at), -1 from taken_back t
    ), waiting as (
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        select t.record_id, t.activity_id, t.at from taken_back t
    )
    select count(*) into unblocked from unblocked;
    return unblocked;
end $$;
comment on function marketing_automation_internal.unblock_records(bigint[]) is
    'API: private. Takes blocking back, also of other records of the same rows, and what was cancelled because a party had left: it waits '
    'again, for the time that it had; returns how many records were blocked';

create or replace function marketing_automation_internal.unblock(caller regrole, record uuid)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.unblock_records(array[(marketing_automation_internal.existing_record(caller, record)).id]);
end $$;
comment on function marketing_automation_internal.unblock(regrole, uuid) is 'API: private. Behind unblock()';

create or replace function marketing_automation.unblock(record uuid)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unblock(uuid) is
    'API: public. Takes block() back: what it cancelled waits again, for the time that it had. Its party stays unsubscribed if it '
    'is: see resubscribe()';

-- functions/subscriptions.sql
-- What people choose of topics: each change in one row and one line of the log, by administrators and by recipients.

create or replace function marketing_automation_internal.set_subscription(
    its_topic text, its_party text, its_hash bytea, new_state text, new_source text, by_role regrole default null,
    of_record bigint default null, of_activity integer default null, agent text default null
) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id bigint;
    before text;
begin
    if its_party is null and its_hash is null then
        return false;
    end if;
    insert into marketing_automation.subscription (topic, party, address_hash, state, source, at)
    select its_topic, its_party, its_hash, new_state, new_source, statement_timestamp() where new_state is not null
    on conflict do nothing;
    if not found then
        select u.id, u.state into its_id, before from marketing_automation.subscription u
        where u.topic = its_topic
          and case when its_hash is null then u.address_hash is null and u.party = its_party else u.address_hash = its_hash end
        for update;
        if before is not distinct from new_state then
            return false;
        elsif new_state is null then
            delete from marketing_automation.subscription u where u.id = its_id;
        else
            update marketing_automation.subscription u
            set state = new_state, source = new_source, at = statement_timestamp(), party = coalesce(its_party, u.party) where u.id = its_id;
        end if;
    end if;
    insert into marketing_automation.subscription_log (at, topic, party, address_hash, state_before, state, source, role, record_id, activity_id,
        user_agent)
    values (statement_timestamp(), its_topic, its_party, its_hash, before, new_state, new_source,
        (select r.rolname from pg_roles r where r.oid = by_role), of_record, of_activity, agent);
    return true;
end $$;
comment on function marketing_automation_internal.set_subscription(text, text, bytea, text, text, regrole, bigint, integer, text) is
    'API: private. Has a party, or an address (its_hash is not null), choose: subscribed, pending, unsubscribed, or nothing (null); writes '
    'the log. Whether that is news. The caller holds the records that it concerns';

create or replace function marketing_automation_internal.subscription_to(its_topic text, its_source text) returns marketing_automation.topic
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    result marketing_automation.topic;
begin
    if its_topic is null then
        raise exception 'topic must not be null'
            using errcode = 'null_value_not_allowed', hint = 'See: select name, title from marketing_automation.topic;';
    end if;
    perform marketing_automation_internal.check_topic(its_topic, null);
    if length(its_source) > 1000 then
        raise exception 'source has more than 1,000 characters' using errcode = 'string_data_right_truncation';
    end if;
    select t.* into strict result from marketing_automation.topic t where t.name = its_topic;
    return result;
end $$;
comment on function marketing_automation_internal.subscription_to(text, text) is
    'API: private. The topic of that name, for a subscription from this source; raises what is wrong with either';

create or replace function marketing_automation_internal.return_to_topic(its_topic text, its_party text) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.unblock_records(array(
        select r.id from marketing_automation_internal.record r
        join marketing_automation.scenario s on s.id = r.scenario_id and s.topic = its_topic
        where r.party = its_party and r.blocked_at is null and r.unsubscribed_at is not null
          and not exists (select from marketing_automation.unsubscription u where u.party = r.party and u.scenario_id in (0, r.scenario_id))))
$$;
comment on function marketing_automation_internal.return_to_topic(text, text) is
    'API: private. What was cancelled as a party had left a topic waits again, unless it has left the scenario, too';

create or replace function marketing_automation_internal.subscribe(caller regrole, party text, topic text, source text, confirmed boolean) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its marketing_automation.topic := marketing_automation_internal.subscription_to(topic, source);
    new_state text;
begin
    if party is null then
        raise exception 'party must not be null'
            using errcode = 'null_value_not_allowed', hint = 'It is what the party expression of the model gives for the person, as text.';
    end if;
    new_state := case when its.opt_in = 'none' or confirmed then 'subscribed'
        else coalesce((select u.state from marketing_automation.subscription u
            where u.topic = its.name and u.party = subscribe.party and u.address_hash is null and u.state = 'subscribed'), 'pending') end;
    if new_state = 'subscribed' then
        -- Records first, as whoever leaves by a mail holds the record before the subscription.
        perform marketing_automation_internal.return_to_topic(its.name, party);
    end if;
    perform marketing_automation_internal.set_subscription(its.name, subscribe.party, u.address_hash, new_state,
        coalesce(source, 'subscribe()'), caller)
    from (select null::bytea union all (
        select u.address_hash from marketing_automation.subscription u
        where u.party = subscribe.party and u.topic = its.name and u.address_hash is not null order by 1)) as u (address_hash);
    return new_state;
end $$;
comment on function marketing_automation_internal.subscribe(regrole, text, text, text, boolean) is 'API: private. Behind subscribe()';

create or replace function marketing_automation.subscribe(party text, topic text, source text default null, confirmed boolean default false) returns text
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.subscribe(text, text, text, boolean) is
    'API: public. Subscribes a party to a topic; so do the addresses by which it had left it. Returns the state: subscribed, or pending where '
    'the topic has to be confirmed (opt_in double). party: value of the model''s party expression, as text; source: where that comes from, '
    'for the log; confirmed: you have the confirmation, as of people whom you import';

create or replace function marketing_automation_internal.unsubscribe_from(caller regrole, party text, topic text, source text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if party is null then
        raise exception 'party must not be null'
            using errcode = 'null_value_not_allowed', hint = 'It is what the party expression of the model gives for the person, as text.';
    end if;
    return marketing_automation_internal.set_subscription((marketing_automation_internal.subscription_to(topic, source)).name, party, null,
        'unsubscribed', coalesce(source, 'unsubscribe_from()'), caller);
end $$;
comment on function marketing_automation_internal.unsubscribe_from(regrole, text, text, text) is 'API: private. Behind unsubscribe_from()';

create or replace function marketing_automation.unsubscribe_from(party text, topic text, source text default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unsubscribe_from(text, text, text) is
    'API: public. Unsubscribes a party from a topic: none of its records enters a scenario of the topic, what falls due in one is cancelled, '
    'queued mails are suppressed. source: where that comes from, for the log. Whether this is news';

create or replace function marketing_automation_internal.subscribe_address(caller regrole, address text, topic text, source text, confirmed boolean)
    returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    hash bytea := marketing_automation_internal.left_address(address);
    its marketing_automation.topic := marketing_automation_internal.subscription_to(topic, source);
    new_state text;
begin
    new_state := case when its.opt_in = 'none' or confirmed then 'subscribed'
        else coalesce((select u.state from marketing_automation.subscription u
            where u.topic = its.name and u.address_hash = hash and u.state = 'subscribed'), 'pending') end;
    perform marketing_automation_internal.set_subscription(its.name, null, hash, new_state, coalesce(source, 'subscribe_address()'), caller);
    return new_state;
end $$;
comment on function marketing_automation_internal.subscribe_address(regrole, text, text, text, boolean) is
    'API: private. Behind subscribe_address()';

create or replace function marketing_automation.subscribe_address(address text, topic text, source text default null, confirmed boolean default false)
    returns text
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.subscribe_address(text, text, text, boolean) is
    'API: public. As subscribe(), for an address, whichever rows have it: of people who have no party, or have left by it. Only its digest is '
    'kept. What their parties have left they have left all the same';

create or replace function marketing_automation_internal.unsubscribe_address_from(caller regrole, address text, topic text, source text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    hash bytea := marketing_automation_internal.left_address(address);
begin
    return marketing_automation_internal.set_subscription((marketing_automation_internal.subscription_to(topic, source)).name, null, hash,
        'unsubscribed', coalesce(source, 'unsubscribe_address_from()'), caller);
end $$;
comment on function marketing_automation_internal.unsubscribe_address_from(regrole, text, text, text) is
    'API: private. Behind unsubscribe_address_from()';

create or replace function marketing_automation.unsubscribe_address_from(address text, topic text, source text default null) returns boolean
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unsubscribe_address_from(text, text, text) is
    'API: public. As unsubscribe_from(), for an address, whichever rows have it: its mails are suppressed from the commit on. Only its digest '
    'is kept. Whether this is news';

create or replace function marketing_automation_internal.leave_topic(
    its_topic text, its_party text, its_hash bytea, of_record bigint, of_activity integer, agent text
) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    -- The party first, then the address by which it leaves, as whoever comes back takes them.
    select coalesce(bool_or(marketing_automation_internal.set_subscription(its_topic, w.party, w.hash, 'unsubscribed', 'page', null, of_record,
        of_activity, agent)), false)
    from (select its_party, null::bytea where its_party is not null
          union all select its_party, its_hash where its_hash is not null) as w (party, hash)
    where its_topic is not null
$$;
comment on function marketing_automation_internal.leave_topic(text, text, bytea, bigint, integer, text) is
    'API: private. Has a party leave a topic, and the address to which its mail went: a recipient, on a page. Whether that is news';

create or replace function marketing_automation_internal.undo_leaving_topic(
    its_topic text, its_party text, its_hash bytea, of_record bigint, of_activity integer, agent text
) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    select coalesce(bool_or(marketing_automation_internal.set_subscription(u.topic, u.party, u.address_hash, (
            select l.state_before from marketing_automation.subscription_log l
            where l.topic = u.topic and l.address_hash is not distinct from u.address_hash
              and (u.address_hash is not null or l.party = u.party)
            order by l.id desc limit 1), 'page', null, of_record, of_activity, agent)), false)
    from (select u.topic, u.party, u.address_hash from marketing_automation.subscription u
          where u.topic = its_topic and u.state = 'unsubscribed'
            and (u.party = its_party or u.address_hash = its_hash)
          order by u.address_hash nulls first) u
$$;
comment on function marketing_automation_internal.undo_leaving_topic(text, text, bytea, bigint, integer, text) is
    'API: private. Takes leave_topic() back: party and addresses have chosen what they had before; who had not confirmed has not now. '
    'Whether there was something to take back';

-- functions/unsubscribe.sql
-- Unsubscribing and its undo, by administrators and by recipients.

create or replace function marketing_automation_internal.scenario_left(caller regrole, scenario text) returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if scenario is not null then
        return (marketing_automation_internal.scenario_for(caller, scenario, 'operate')).id;
    end if;
    -- It is the mail of all teams, as with a suppressed address.
    if not has_function_privilege(caller, 'marketing_automation.suppress(text, text, text)', 'execute') then
        raise exception 'must have the access "admin" or "operator" to decide about the mail of all scenarios'
            using errcode = 'insufficient_privilege', hint = 'Name a scenario of yours as the second argument.';
    end if;
    return 0;
end $$;
comment on function marketing_automation_internal.scenario_left(regrole, text) is
    'API: private. The id of the scenario that a party leaves or comes back to, 0: every one (null). Raises unless the role '
    'may decide that';

create or replace function marketing_automation_internal.unsubscribe(caller regrole, party text, scenario text)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_scenario integer := marketing_automation_internal.scenario_left(caller, scenario);
begin
    if party is null then
        raise exception 'party must not be null'
            using errcode = 'null_value_not_allowed', hint = 'It is what the party expression of the model gives for the person, as text.';
    end if;
    insert into marketing_automation.unsubscription (party, scenario_id, created_at)
    values (unsubscribe.party, its_scenario, statement_timestamp())
    on conflict do nothing;
    if found then
        insert into marketing_automation_internal.event (id, occurred_at, kind, party, scenario_id)
        values (gen_random_uuid(), statement_timestamp(), 'unsubscribed', unsubscribe.party, its_scenario);
    end if;
end $$;
comment on function marketing_automation_internal.unsubscribe(regrole, text, text) is 'API: private. Behind unsubscribe()';

create or replace function marketing_automation.unsubscribe(party text, scenario text default null)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.unsubscribe(text, text) is
    'API: public. Unsubscribes a party from a scenario, or from every one (null), also those to come: none of its records enters, '
    'what falls due is cancelled, queued mails are suppressed. party: value of the model''s party expression, as text';

create or replace function marketing_automation_internal.resubscribe(caller regrole, party text, scenario text)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_scenario integer := nullif(marketing_automation_internal.scenario_left(caller, scenario), 0);
    unblocked bigint;
begin
    if party is null then
        raise exception 'party must not be null'
            using errcode = 'null_value_not_allowed', hint = 'It is what the party expression of the model gives for the person, as text.';
    end if;
    if its_scenario is not null and exists (
        select from marketing_automation.unsubscription u where u.party = resubscribe.party and u.scenario_id = 0) then
        raise exception 'party "%" is unsubscribed from everything', party
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Resubscribe it to everything first: select marketing_automation.resubscribe(%L);', party);
    end if;
    -- Records first, as whoever leaves by a mail holds the record before the unsubscription.
    unblocked := marketing_automation_internal.unblock_records(array(
        select r.id from marketing_automation_internal.record r
        where r.party = resubscribe.party and (r.blocked_at is not null or r.unsubscribed_at is not null)
          and (its_scenario is null or r.scenario_id = its_scenario)));
    with gone as (
        delete from marketing_automation.unsubscription u
        where u.party = resubscribe.party and (its_scenario is null or u.scenario_id = its_scenario)
        returning u.scenario_id
    )
    insert into marketing_automation_internal.event (id, occurred_at, kind, party, scenario_id)
    select gen_random_uuid(), statement_timestamp(), 'resubscribed', resubscribe.party, g.scenario_id from gone g;
    perform marketing_automation_internal.return_address(null, its_scenario, null, resubscribe.party);
    return unblocked;
end $$;
comment on function marketing_automation_internal.resubscribe(regrole, text, text) is 'API: private. Behind resubscribe()';

create or replace function marketing_automation.resubscribe(party text, scenario text default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.resubscribe(text, text) is
    'API: public. Takes back every unsubscription of a party, or that from one scenario: its records may enter again, and its '
    'blocked ones are unblocked; so do the addresses that left as this party''s. Returns how many were unblocked';

-- By the token of a mail.
create or replace function marketing_automation.unsubscribe_page(token text)
returns table (known boolean, language text, scenario text, has_party boolean, unsubscribed boolean, everything boolean)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select r.id is not null or s.id is not null,
           (select m.language from marketing_automation_internal.message_log m where m.record_id = t.record_id
               and m.activity_id = t.activity_id limit 1),
           case when s.topic is not null then marketing_automation_internal.topic_title(s.topic, (
                   select m.language from marketing_automation_internal.message_log m where m.record_id = t.record_id
                       and m.activity_id = t.activity_id limit 1))
               else coalesce(s.title, s.name) end, r.party is not null or h.address_hash is not null,
           exists (
                select from marketing_automation_internal.record o
                where o.scenario_id = r.scenario_id and o.key = r.key and o.blocked_at is not null) or exists (
                select from marketing_automation.unsubscription u where u.party = r.party and u.scenario_id in (0, r.scenario_id))
               or marketing_automation_internal.has_left(h.address_hash, r.scenario_id, r.party),
           exists (select from marketing_automation.unsubscription u where u.party = r.party and u.scenario_id = 0)
               or marketing_automation_internal.has_left(h.address_hash, 0, r.party)
    from (select 1) as one
    left join marketing_automation_internal.verify_token('unsubscribed', token) t on true
    left join marketing_automation_internal.record r on r.id = t.record_id
    -- The link of a test (record 0) shows the page too, and unsubscribes nobody.
    left join marketing_automation.activity a on t.record_id = 0 and a.id = t.activity_id
    left join marketing_automation.scenario s on s.id = coalesce(r.scenario_id, a.scenario_id)
    left join lateral marketing_automation_internal.mailed_address(r.id, t.activity_id) h (address_hash) on r.id is not null
$$;
comment on function marketing_automation.unsubscribe_page(text) is
    'API: proxy. What the unsubscribe page shows; known is false for a token that is malformed, forged or unknown; has_party: whether it is '
    'known who leaves, a party or an address, so that they can leave everything. Changes nothing';

create or replace function marketing_automation_internal.mailbox_of_sender(sender text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when mailbox_of_sender.sender !~ '[{}]' then mailbox_of_sender.sender
        else marketing_automation_internal.sender_address(mailbox_of_sender.sender) end
$$;
comment on function marketing_automation_internal.mailbox_of_sender(text) is
    'API: private. The mailbox that mails with this template as sender have, or its address if only the name depends on the row; null: '
    'it depends on the row';

create or replace function marketing_automation.unsubscribe_origin(token text) returns table (title text, sender text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case when s.topic is not null then marketing_automation_internal.topic_title(s.topic, l.tag) else s.title end,
        marketing_automation_internal.mailbox_of_sender(coalesce((
                select t.sender from marketing_automation.activity_translation t
                where t.activity_id = a.id and t.sender is not null
                  and lower(replace(t.language, '_', '-')) in (l.tag, split_part(l.tag, '-', 1))
                order by length(t.language) desc limit 1),
            a.sender, marketing_automation_internal.setting('email_from')))
    from marketing_automation_internal.verify_token('unsubscribed', token) t
    join marketing_automation.activity a on a.id = t.activity_id
    join marketing_automation.scenario s on s.id = a.scenario_id
    cross join lateral (
        select lower(replace(max(m.language), '_', '-')) as tag from marketing_automation_internal.message_log m
        where m.record_id = t.record_id and m.activity_id = t.activity_id) l
$$;
comment on function marketing_automation.unsubscribe_origin(text) is
    'API: proxy. Of the mail that a token was in: the title of its topic, or else of its scenario, and its sender where that does not depend on the row. No '
    'row for a token that is malformed or forged, and for an activity that is gone';

create or replace function marketing_automation.unsubscribe_by_token(token text, everything boolean, user_agent text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    verified record;
    leaving marketing_automation_internal.record;
    address bytea;
    is_news boolean;
    address_is_news boolean;
    topic_is_news boolean;
    its_topic text;
begin
    select t.* into verified from marketing_automation_internal.verify_token('unsubscribed', token) t;
    leaving := marketing_automation_internal.lock_record(verified.record_id);
    -- A test's link (record 0) goes where the real one will, and unsubscribes nobody.
    if leaving.id is not null then
        is_news := marketing_automation_internal.block_record(leaving);
        its_topic := (select s.topic from marketing_automation.scenario s where s.id = leaving.scenario_id);
        if everything and leaving.party is not null then
            insert into marketing_automation.unsubscription (party, scenario_id, created_at)
            values (leaving.party, 0, statement_timestamp())
            on conflict do nothing;
            is_news := is_news or found;
        end if;
        address := marketing_automation_internal.mailed_address(leaving.id, verified.activity_id);
        address_is_news := marketing_automation_internal.leave_address(address,
            array[leaving.scenario_id] || case when everything then array[0] end, leaving.id, leaving.party,
            not (select s.unsubscribable from marketing_automation.scenario s where s.id = leaving.scenario_id));
        topic_is_news := marketing_automation_internal.leave_topic(its_topic, leaving.party, address, leaving.id, verified.activity_id,
            marketing_automation_internal.kept_user_agent(left(user_agent, 200)));
        if is_news or address_is_news or topic_is_news then
            insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, user_agent, party, scenario_id)
            select gen_random_uuid(), statement_timestamp(), 'unsubscribed', leaving.id, verified.activity_id,
                marketing_automation_internal.kept_user_agent(left(user_agent, 200)), leaving.party,
                   case when everything and coalesce(leaving.party, address::text) is not null then 0
                       when leaving.party is not null and s.unsubscribable then s.id end
            from marketing_automation.scenario s where s.id = leaving.scenario_id;
        end if;
    end if;
    return (select l.url from marketing_automation.link l where l.id = verified.link_id);
end $$;
comment on function marketing_automation.unsubscribe_by_token(text, boolean, text) is
    'API: proxy. Blocks the record that the token names, and unsubscribes its party where the scenario is unsubscribable, or from '
    'everything; from its topic; the address to which its mail went, too. Repeating changes nothing. Returns the page that the mail''s author wants shown afterwards';

create or replace function marketing_automation.resubscribe_by_token(token text, user_agent text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    verified record;
    returning_one marketing_automation_internal.record;
    others bigint[];
    address bytea;
    its_topic text;
begin
    select t.* into verified from marketing_automation_internal.verify_token('unsubscribed', token) t;
    select r.* into returning_one from marketing_automation_internal.record r where r.id = verified.record_id;
    its_topic := (select s.topic from marketing_automation.scenario s where s.id = returning_one.scenario_id);
    -- With the party its other records come back, but for those that were blocked themselves.
    address := marketing_automation_internal.mailed_address(returning_one.id, verified.activity_id);
    others := array(
        select r.id from marketing_automation_internal.record r
        where r.party = returning_one.party and r.id <> returning_one.id and r.blocked_at is null and r.unsubscribed_at is not null
          and (r.scenario_id = returning_one.scenario_id
              or r.scenario_id in (select s.id from marketing_automation.scenario s where s.topic = its_topic) or exists (
              select from marketing_automation.unsubscription u where u.party = r.party and u.scenario_id = 0)));
    perform marketing_automation_internal.unblock_records(others || returning_one.id);
    with gone as (
        delete from marketing_automation.unsubscription u
        where u.party = returning_one.party and u.scenario_id in (0, returning_one.scenario_id)
        returning u.scenario_id
    )
    insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id, user_agent, party, scenario_id)
    select gen_random_uuid(), statement_timestamp(), 'resubscribed', returning_one.id, verified.activity_id,
        marketing_automation_internal.kept_user_agent(left(user_agent, 200)), returning_one.party, g.scenario_id
    from gone g;
    perform marketing_automation_internal.return_address(
        address, returning_one.scenario_id, returning_one.id, returning_one.party);
    perform marketing_automation_internal.undo_leaving_topic(its_topic, returning_one.party, address, returning_one.id, verified.activity_id,
        marketing_automation_internal.kept_user_agent(left(user_agent, 200)));
end $$;
comment on function marketing_automation.resubscribe_by_token(text, text) is
    'API: proxy. The undo of unsubscribe_by_token(), for the recipient: unblocks the record, and resubscribes its party and the '
    'address to the scenario, its topic, and everything';

-- functions/mailer.sql
-- What delivery asks of the database: short transactions around the network, see src/delivery/store.rs.

create or replace function marketing_automation_internal.rescue_messages(hold boolean, starting integer default null,
    spare_worker boolean default false) returns bigint
language sql set search_path = pg_catalog, pg_temp as $$
    with living as materialized (
        select m.id from marketing_automation_internal.mailer m
        where m.pid is not null and m.id is distinct from starting
          and not marketing_automation_internal.has_ended(m.pid, m.backend_start)
    ), dead as materialized (
        select o.id, o.attempts from marketing_automation_internal.outbox o
        where o.state = 'sending' and case when o.mailer is null then not spare_worker else o.mailer not in (select l.id from living l) end
    ), rescued as (
        update marketing_automation_internal.outbox o
        set state = case when hold then 'in_doubt' else 'queued' end,
            due_at = case when hold then 'infinity' else o.due_at end,
            smtp_reply = 'in flight when the mailer stopped'
        from dead d
        -- Of that attempt: somebody may have taken it back and claimed it again meanwhile.
        where o.id = d.id and o.attempts = d.attempts and o.state = 'sending'
        returning o.id, o.attempts, o.smtp_reply
    ), attempt as (
        insert into marketing_automation_internal.attempt_log (message_id, attempt, ended_at, state, reply)
        select r.id, r.attempts, statement_timestamp(), 'in_doubt', r.smtp_reply from rescued r
        on conflict do nothing
    )
    select count(*) from rescued;
$$;
comment on function marketing_automation_internal.rescue_messages(boolean, integer, boolean) is
    'API: private. What a sender had in flight that is at work no more is sent again under the same Message-ID, or held as in_doubt. '
    'starting: the mailer that begins, and has nothing in flight yet; spare_worker: the worker is at work';

create or replace function marketing_automation_internal.claim_messages(batch_size integer, full_scan boolean default true, claimer integer default null)
returns table (id bigint, attempt integer, record_id bigint, record_uuid uuid, activity_id integer, activity_version integer,
               email text, recipient_name text, language text, time_zone text, context jsonb, party text, age_seconds double precision,
               track_opens boolean, track_clicks boolean, channel text, closes_in double precision)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1
-- A bitmap has to be made of all that is due, when a batch is wanted.
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
    limited boolean := exists (select from marketing_automation_internal.domain_queue);
    barred integer[] := array(select b.activity_id from marketing_automation_internal.barred_activity b);
    -- Null: no scenario asks before its mails leave.
    may_leave boolean := (
        select true from marketing_automation.scenario s
        where s.state = 'running' and (s.exit_condition is not null or s.goal_ends_journey) limit 1);
    unasked integer[] := '{}';
    -- Whether some mails go before others.
    ranked boolean := (
        select min(k.priority) <> max(k.priority) from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
        join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
        where a.action = 'send_email');
    queues text[];
    tokens double precision[];
    ids bigint[];
    versions integer[];
    uuids uuid[];
    closings timestamptz[];
    looked_at integer;
begin
    perform marketing_automation_internal.rescue_orphans();
    -- Rows of a dump, or of a publication, may have come since the mailer last asked whether it is armed.
    if exists (select from marketing_automation.sending_pause) or exists (
        select from marketing_automation.origin o
        join marketing_automation_internal.armed a on (o.system_identifier, o.database) <> (a.system_identifier, a.database))
    then
        return;
    end if;
    if limited then
        perform from marketing_automation_internal.domain_queue b order by b.domain for update;
        select array_agg(b.domain_queue), array_agg(b.tokens) into queues, tokens
        from marketing_automation_internal.domain_queue_budget b where b.tokens >= 1 or b.tokens is null;
    end if;
    -- A batch of which nothing may leave is followed by the next, within bounds.
    for round in 1..20 loop
        if may_leave then
            unasked := marketing_automation_internal.unasked_scenarios('leave');
        end if;
        with domain_queue as (
            select '' as name, batch_size as quota, null::double precision as tokens
            union all
            select l.name, coalesce(floor(l.tokens)::integer, batch_size), l.tokens from unnest(queues, tokens) as l (name, tokens)
        ), queued as materialized (
            select a.id, a.version, a.scenario_id, a.expires_after, coalesce(a.send_window, s.send_window) as send_window,
                   case when k.honors_unsubscribe then s.topic end as topic, k.honors_unsubscribe, k.priority,
                   l.name as domain_queue, l.quota,
                   case when ranked then (
                       select count(*) from (
                           select from marketing_automation_internal.outbox o
                           where o.activity_id = a.id and o.domain_queue = l.name and o.due_at between first.due_at and statement_timestamp()
                             and o.state = 'queued' and o.record_id is not null
                           limit least(batch_size, l.quota)) o) end as due_mails,
                   marketing_automation_internal.set_queue_cursor('outbox', a.id, l.name, first.due_at) as first_due_at
            from marketing_automation.activity a
            join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running' and a.id <> all (barred)
                and s.id <> all (unasked)
            join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
            cross join domain_queue l
            cross join lateral (select case when full_scan then '-infinity' else marketing_automation_internal.queue_cursor('outbox',
                a.id, l.name) end as at) begin
            -- Not exists(): the planner may make it a join with all that is due.
            cross join lateral (
                select o.due_at from marketing_automation_internal.outbox o
                where o.activity_id = a.id and o.domain_queue = l.name and o.due_at between begin.at and statement_timestamp()
                  and o.state = 'queued' and o.record_id is not null
                order by o.due_at limit 1) first
        ), active as materialized (
            -- Activities with due mails share what those that go before them leave of the batch, so that a large campaign does not hold up
            -- a small one; so do queues.
            select q.*, case when q.room > 0 and q.room_in_queue > 0 then greatest(least(
                q.room / count(*) over (partition by q.priority),
                q.room_in_queue / count(*) over (partition by q.domain_queue, q.priority)), 1) else 0 end as share
            from (
                select q.*, batch_size - coalesce(sum(q.due_mails) over before, 0) as room,
                    q.quota - coalesce(sum(q.due_mails) over before_in_queue, 0) as room_in_queue
                from queued q
                window before as (order by q.priority desc range between unbounded preceding and current row exclude group),
                    before_in_queue as (partition by q.domain_queue order by q.priority desc
                        range between unbounded preceding and current row exclude group)) q
        ), due as materialized (
            select o.id, a.version, a.scenario_id, a.expires_after, a.send_window, a.topic, a.honors_unsubscribe, o.time_zone,
                a.domain_queue, a.quota,
                row_number() over (partition by a.domain_queue order by a.priority desc) as place
            from active a
            cross join lateral (
                select o.id, o.time_zone from marketing_automation_internal.outbox o
                where o.activity_id = a.id and o.domain_queue = a.domain_queue and o.due_at between a.first_due_at and statement_timestamp()
                  and o.state = 'queued' and o.record_id is not null
                order by o.due_at limit a.share for update skip locked) o
            order by a.priority desc limit batch_size
        ), test as materialized (
            -- Also of scenarios that do not run. Before the others, as somebody waits for them, and within the same limits.
            select o.*, row_number() over (partition by o.domain_queue order by o.due_at, o.id) as place
            from (select o.id, a.version, a.scenario_id, a.expires_after, l.name as domain_queue, l.quota, o.due_at
                  from marketing_automation_internal.outbox o
                  join marketing_automation.activity a on a.id = o.activity_id
                  join domain_queue l on l.name = o.domain_queue
                  where o.record_id is null and o.due_at <= statement_timestamp() and o.state = 'queued' and o.activity_id <> all (barred)
                  order by o.due_at limit batch_size for update of o skip locked) o
        ), leaving as materialized (
            select l.id, min(l.objection) as objection, max(l.waits_until) as waits_until
            from marketing_automation_internal.leaving_mails(case when may_leave then array(select d.id from due d) end) l group by l.id
        ), send_window as materialized (
            -- Once for each window and zone. Tests wait for none.
            select d.send_window as name, d.time_zone, t.opens_at, t.closes_at,
                   -- In the minute before a clock change an open one makes mails wait, too.
                   w.outside = 'skip' and not marketing_automation_internal.is_open(w,
                       marketing_automation_internal.window_zone(w, d.time_zone), statement_timestamp()) as skips
            from (select distinct u.send_window, u.time_zone from due u where u.send_window is not null) d
            join marketing_automation.send_window w on w.name = d.send_window
            cross join lateral marketing_automation_internal.window_state(w, marketing_automation_internal.window_zone(w, d.time_zone),
                statement_timestamp()) t
        ), checked as materialized (
            select d.id, d.version, coalesce(r.uuid, md5(format('test %s %s', o.id, extract(epoch from o.created_at)))::uuid) as uuid,
                d.domain_queue,
                   greatest(w.opens_at, e.waits_until) as not_before, w.closes_at,
                   -- First, as what was made while forget() ran is erased here, whatever else forbids it.
                   case when x.reason = 'forgotten' then 'address suppressed: forgotten'
                        when r.blocked_at is not null or exists (
                            select from marketing_automation.unsubscription u
                            where d.honors_unsubscribe and u.scenario_id in (0, d.scenario_id) and u.party = r.party)
                        then 'record blocked or party unsubscribed'
                        when r.end_reason is not null then marketing_automation_internal.end_objection(r.end_reason)
                        when d.expires_after is not null
                            and marketing_automation_internal.after_delay(o.created_at, d.expires_after, o.time_zone) <= statement_timestamp()
                            then 'expired'
                        when exists (
                            select from marketing_automation_internal.unsubscribed_address u
                            where d.honors_unsubscribe and u.address_hash = h.address_hash and u.scenario_id in (0, d.scenario_id)
                              and (u.spares_party and u.party = r.party) is not true and o.record_id is not null)
                        then 'address unsubscribed'
                        when d.topic is not null and marketing_automation_internal.topic_objection(d.topic, k.opt_in, p.state, n.state) is not null
                        then marketing_automation_internal.topic_objection(d.topic, k.opt_in, p.state, n.state)
                        when w.skips and coalesce(x.reason, e.objection) is null
                        then format('outside send window "%s"', w.name)
                        else coalesce('address suppressed: ' || x.reason, e.objection) end as objection,
                   case when limited and d.domain_queue = '' then (
                       select l.domain from marketing_automation.domain_limit l
                           where l.domain = marketing_automation_internal.address_domain(o.email)) end as other_lane
            from (select d.id, d.version, d.scenario_id, d.expires_after, d.domain_queue, d.send_window, d.topic, d.time_zone,
                      d.honors_unsubscribe
                  from due d
                  where d.place + (select count(*) from test t where t.domain_queue = d.domain_queue) <= d.quota
                  union all
                  select t.id, t.version, t.scenario_id, t.expires_after, t.domain_queue, null, null, null, false from test t
                  where t.place <= t.quota) d
            left join send_window w on w.name = d.send_window and w.time_zone is not distinct from d.time_zone
            join marketing_automation_internal.outbox o on o.id = d.id
            left join marketing_automation_internal.record r on r.id = o.record_id
            left join leaving e on e.id = d.id
            -- Once for all lists.
            cross join lateral (select marketing_automation.address_hash(o.email) offset 0) as h (address_hash)
            left join marketing_automation.topic k on k.name = d.topic
            left join marketing_automation.subscription p on p.topic = d.topic and p.party = r.party and p.address_hash is null
            left join marketing_automation.subscription n on n.topic = d.topic and n.address_hash = h.address_hash
            cross join lateral (select (select s.reason from marketing_automation.suppression s where s.address_hash = h.address_hash) offset 0)
                as x (reason)
        ), suppressed as (
            delete from marketing_automation_internal.outbox o using checked c where c.objection is not null and o.id = c.id
                returning o.*, c.objection
        ), logged as (
            insert into marketing_automation_internal.message_log
                (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                    created_at, state, attempts, finished_at, smtp_reply)
            -- forget() did not see what was made in that moment, or has been made again since.
            select s.id, s.record_id, s.activity_id, case when f.is_its_address then '' else s.key end,
                case when not f.is_its_party then s.party end, case when f.is_forgotten then '' else s.email end,
                case when not f.is_forgotten then s.recipient_name end, case when not f.is_forgotten then s.language end,
                case when not f.is_forgotten then s.time_zone end, case when f.is_forgotten then '{}' else s.context end,
                s.track_opens, s.track_clicks, s.created_at,
                   'suppressed', s.attempts, statement_timestamp(), s.objection
            from suppressed s
            cross join lateral (
                select o.is_forgotten, o.is_forgotten and lower(s.key) = lower(s.email) as is_its_address,
                    o.is_forgotten and coalesce(lower(s.party) = lower(s.email), false) as is_its_party
                from (select s.objection = 'address suppressed: forgotten' as is_forgotten) o) f
        ), counters as (
            insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
            select s.activity_id, marketing_automation_internal.counter_period(s.created_at), count(*) from suppressed s
            where s.record_id is not null group by 1, 2
        ), moved as (
            update marketing_automation_internal.outbox o
            set domain_queue = coalesce(c.other_lane, o.domain_queue), due_at = coalesce(c.not_before, o.due_at)
            from checked c where c.objection is null and coalesce(c.other_lane, c.not_before::text) is not null and o.id = c.id
        ), spent as (
            update marketing_automation_internal.domain_queue b set tokens = l.tokens - c.mails, refilled_at = statement_timestamp()
            from domain_queue l
            join (select c.domain_queue, count(*) as mails from checked c where c.objection is null and c.not_before is null
                and c.domain_queue <> '' group by c.domain_queue) c on c.domain_queue = l.name
            where l.tokens is not null and b.domain = l.name
        )
        select array_agg(c.id) filter (where f.is_free), array_agg(c.version) filter (where f.is_free),
            array_agg(c.uuid) filter (where f.is_free), array_agg(c.closes_at) filter (where f.is_free), count(*)
        into ids, versions, uuids, closings, looked_at
        from checked c cross join lateral (select c.objection is null and c.other_lane is null and c.not_before is null as is_free) f;
        return query
            update marketing_automation_internal.outbox o
            set state = 'sending', mailer = claimer, attempts = o.attempts + 1, first_attempt_at = coalesce(o.first_attempt_at, statement_timestamp())
            from unnest(ids, versions, uuids, closings) as c (id, version, uuid, closes_at)
            where o.id = c.id
            returning o.id, o.attempts, o.record_id, c.uuid, o.activity_id, c.version, o.email, o.recipient_name, o.language, o.time_zone,
                o.context,
                      o.party, extract(epoch from statement_timestamp() - o.first_attempt_at)::double precision, o.track_opens,
                          o.track_clicks, o.channel, extract(epoch from c.closes_at - statement_timestamp())::double precision;
        -- Asking whether they may leave takes time, too.
        exit when found or looked_at = 0 and ranked is not true
            or may_leave and clock_timestamp() > statement_timestamp() + interval '1 second';
        -- Somebody else may hold what goes before: then it leaves already.
        ranked := ranked and looked_at > 0;
    end loop;
end $$;
comment on function marketing_automation_internal.claim_messages(integer, boolean, integer) is
    'API: private. Claims at most batch_size due mails of running scenarios, by the priority of their classes, oldest first within an activity, '
    'shared fairly between activities, no more to a domain than its limit; those of blocked records, unsubscribed parties and addresses, topics that are not wanted, suppressed addresses, '
    'of ended journeys, and what has expired, end as suppressed; what finds its window shut waits for its opening, and that of which it is '
    'not known whether it may leave, for a moment or a minute. None during a pause. '
    'full_scan: looks for due mails from the beginning, not from where it '
    'found some last: see queue_cursor(). claimer: the mailer that claims, null: the worker. closes_in: seconds until its window closes, '
    'null: it has none';

create or replace function marketing_automation_internal.mail_templates(activities integer[])
returns table (activity_id integer, version integer, activity text, scenario text, own_language text, language text, sender text,
    subject text, body text, message_class text, bulk_headers boolean)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select a.id, a.version, a.name, s.name, s.language, t.language, t.sender, t.subject, t.body, k.name, k.bulk_headers
    from marketing_automation.activity a
    join marketing_automation.scenario s on s.id = a.scenario_id
    join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
    cross join lateral (
        select '' as language, a.sender, a.subject, a.body
        union all
        select o.language, o.sender, o.subject, o.body from marketing_automation.activity_translation o where o.activity_id = a.id) t
    where a.id = any (activities)
$$;
comment on function marketing_automation_internal.mail_templates(integer[]) is
    'API: private. Templates of activities, language empty for the activity''s own, then translations';

create or replace function marketing_automation_internal.link_ids(urls text[]) returns table (url text, id bigint)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    insert into marketing_automation.link (digest, url)
    select distinct sha256(convert_to(u.url, 'UTF8')), u.url from unnest(urls) as u (url)
    where not exists (select from marketing_automation.link l where l.digest = sha256(convert_to(u.url, 'UTF8')))
    on conflict do nothing;
    return query
        select l.url, l.id from unnest(urls) as u (url)
        join marketing_automation.link l on l.digest = sha256(convert_to(u.url, 'UTF8'));
end $$;
comment on function marketing_automation_internal.link_ids(text[]) is 'API: private. Ids of web addresses, new ones stored';

create or replace function marketing_automation_internal.complete_messages(
    ids bigint[], attempts integer[], states text[], replies text[], retry_seconds double precision[],
    results text[] default null, codes integer[] default null, statuses text[] default null, servers text[] default null,
    now timestamptz default null
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set random_page_cost = 1 as $$
#variable_conflict use_column
declare
    finished bigint;
    records bigint[];
    activities integer[];
    result_at timestamptz := coalesce(now, statement_timestamp());
begin
    with result as materialized (
        select u.id, u.attempt, case when u.state = 'queued' and u.result = 'in_doubt' and (
                   -- A server that takes every mail and never says so would else get it again for days. Deaths of our own do not count.
                   select count(*) from marketing_automation_internal.attempt_log a
                   where a.message_id = u.id and a.state = 'in_doubt' and a.server is not null) >= 2
               then 'in_doubt' else u.state end as state, u.reply, u.retry_after,
               coalesce(u.result, case u.state when 'queued' then 'deferred' else u.state end) as result, u.code, u.status, u.server
        from unnest(ids, attempts, states, replies, retry_seconds, results, codes, statuses, servers)
            as u (id, attempt, state, reply, retry_after, result, code, status, server)
    ), retried as (
        update marketing_automation_internal.outbox o
        set state = case r.state when 'in_doubt' then 'in_doubt' else 'queued' end,
            due_at = case r.state when 'in_doubt' then 'infinity' else statement_timestamp() + make_interval(secs => r.retry_after) end,
            -- A claim that was given back untried is no attempt.
            attempts = case r.state when 'released' then o.attempts - 1 else o.attempts end,
            smtp_reply = coalesce(r.reply, o.smtp_reply)
        from result r
        where r.state in ('queued', 'released', 'in_doubt') and o.id = r.id and o.attempts = r.attempt and o.state = 'sending'
        returning r.*
    ), ended as (
        delete from marketing_automation_internal.outbox o using result r
        where r.state in ('sent', 'failed') and o.id = r.id and o.attempts = r.attempt
          -- That it was sent counts also where rescue_messages() took it back meanwhile: it is in doubt no more.
          and (o.state = 'sending' or r.state = 'sent' and o.smtp_reply = 'in flight when the mailer stopped')
        returning o.*, r.state as ending, r.result, r.reply, r.code, r.status, r.server
    ), logged as (
        insert into marketing_automation_internal.message_log
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                created_at,
             state, attempts, finished_at, sent_at, smtp_reply, server)
        select e.id, e.record_id, e.activity_id, e.key, e.party, e.email, e.recipient_name, e.language, e.time_zone, e.context,
            e.track_opens, e.track_clicks, e.created_at,
               e.ending, e.attempts, result_at, case e.ending when 'sent' then result_at end, e.reply,
               case e.ending when 'sent' then e.server end
        from ended e
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, sent, not_sent)
        select e.activity_id, marketing_automation_internal.counter_period(e.created_at),
               count(*) filter (where e.ending = 'sent'), count(*) filter (where e.ending <> 'sent')
        from ended e where e.record_id is not null group by 1, 2
    ), attempt as (
        insert into marketing_automation_internal.attempt_log (message_id, attempt, ended_at, state, code, status, reply, server)
        select e.id, e.attempts, statement_timestamp(), e.result, e.code, e.status, e.reply, e.server
        from ended e where e.result <> 'sent' or e.attempts > 1
        union all
        select t.id, t.attempt, statement_timestamp(), t.result, t.code, t.status, t.reply, t.server
        from retried t where t.state <> 'released'
        on conflict do nothing
    )
    select count(*), array_agg(e.record_id) filter (where e.has_children), array_agg(e.activity_id) filter (where e.has_children)
    into finished, records, activities
    from (select e.record_id, e.activity_id, e.ending = 'sent' and e.record_id is not null and exists (
              select from marketing_automation.activity c where c.parent_id = e.activity_id) as has_children from ended e) e;
    if records is not null then
        perform marketing_automation_internal.start_or_note_children(records, activities, result_at);
    end if;
    -- Servers with limits were counted when they were asked for permits.
    insert into marketing_automation_internal.smtp_usage as u (server, day, taken)
    select s.server, current_date, count(*)
    from unnest(servers, states) as s (server, state)
    join marketing_automation_internal.smtp_allowance a on a.server = s.server and a.per_second is null and a.daily is null
    where s.state = 'sent'
    group by s.server order by s.server
    on conflict on constraint smtp_usage_pkey do update
    set taken = case when u.day = excluded.day then u.taken else 0 end + excluded.taken, day = excluded.day;
    -- A server that refuses at once may be quicker than we are: see ingest_bounce(), which waits for some seconds only.
    perform marketing_automation_internal.mark_bounced(array_agg(b.message_id)) from marketing_automation.bounce b
        where b.message_id = any (ids) and b.kind in ('hard', 'soft') having count(*) > 0;
    return finished;
end $$;
comment on function marketing_automation_internal.complete_messages(bigint[], integer[], text[], text[], double precision[], text[],
    integer[], text[], text[], timestamptz) is
    'API: private. Records a batch of delivery results, each only for the attempt that it belongs to. states, what becomes of the '
    'mail: sent or failed end it, queued tries again after retry_seconds, released gives an untried claim back, in_doubt holds it. '
    'results, how the attempt ended where the state does not say it: sent, deferred, failed or in_doubt; codes, statuses: SMTP reply '
    'codes and enhanced status codes (RFC 3463). A mail that a server left in doubt for the third time is held, whatever its state '
    'says. The children of sent mails start. now: assumed time of the result, for simulations';

create or replace function marketing_automation_internal.next_due() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    select nullif(least(
        -- Also when whoever could not be asked is asked again: see unasked_scenarios().
        (select min(greatest(o.due_at, l.ready_at, t.failed_at + interval '1 minute'))
         from marketing_automation.activity a
         join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
             and a.id not in (select x.activity_id from marketing_automation_internal.barred_activity x)
         left join marketing_automation_internal.failed_turn t on t.scenario_id = s.id and t.work = 'leave'
         cross join (select '' as domain_queue, null as ready_at union all select b.domain_queue, b.ready_at
             from marketing_automation_internal.domain_queue_budget b) l
         cross join lateral (
             select o.due_at from marketing_automation_internal.outbox o
             where o.activity_id = a.id and o.domain_queue = l.domain_queue and o.state = 'queued'
                 and o.record_id is not null order by o.due_at limit 1) o),
        (select min(greatest(o.due_at, b.ready_at)) from marketing_automation_internal.outbox o
         left join marketing_automation_internal.domain_queue_budget b on b.domain_queue = o.domain_queue
         where o.record_id is null and o.state = 'queued'
             and o.activity_id not in (select x.activity_id from marketing_automation_internal.barred_activity x))), 'infinity')
    where not exists (select from marketing_automation.sending_pause)
$$;
comment on function marketing_automation_internal.next_due() is
    'API: private. When the next test, or the next queued mail of a running scenario, is due and its domain''s limit leaves room for '
    'it; null: none is queued, or sending is paused';

create or replace function marketing_automation_internal.retry(caller regrole, message bigint)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_state text;
    its_activity integer;
begin
    select m.state, m.activity_id into its_state, its_activity from marketing_automation.message m where m.id = retry.message;
    perform marketing_automation_internal.demand_activity(caller, its_activity);
    if its_state in ('queued', 'deferred', 'in_doubt') then
        update marketing_automation_internal.outbox o
        set state = 'queued', due_at = clock_timestamp(), first_attempt_at = case o.state when 'queued' then o.first_attempt_at end
        where o.id = retry.message and o.state in ('queued', 'in_doubt');
    elsif its_state = 'failed' then
        with failed as (
            delete from marketing_automation_internal.message_log l where l.id = retry.message and l.state = 'failed' returning l.*
        ), counters as (
            insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
            select f.activity_id, marketing_automation_internal.counter_period(f.created_at), -1 from failed f where f.record_id is not null
        )
        insert into marketing_automation_internal.outbox
            (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
                created_at, attempts, due_at, smtp_reply)
        select f.id, f.record_id, f.activity_id, f.key, f.party, f.email, f.recipient_name, f.language, f.time_zone, f.context,
            f.track_opens, f.track_clicks, f.created_at,
               f.attempts, clock_timestamp(), f.smtp_reply
        from failed f;
        -- Its templates may have been changed so that it does not fail again.
        perform marketing_automation_internal.complete_contexts(array(
            select m.activity_id from marketing_automation.message m where m.id = retry.message));
    elsif its_state is null then
        raise exception 'message % does not exist', message
            using errcode = 'undefined_object', hint = 'See: select id, state from marketing_automation.message where email = …;';
    else
        raise exception 'message % is %, nothing is to be tried again', message, its_state
            using errcode = 'object_not_in_prerequisite_state', hint = 'Mails that failed or are in doubt are.';
    end if;
    perform marketing_automation_internal.notify_mailer();
end $$;
comment on function marketing_automation_internal.retry(regrole, bigint) is 'API: private. Behind retry()';

create or replace function marketing_automation.retry(message bigint)
    returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.retry(bigint) is
    'API: public. Sends a mail that waits now, and one that failed or is in doubt once more, its retry_window begun anew; under the '
    'same Message-ID';

create or replace function marketing_automation_internal.cancel(caller regrole, message bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.demand_activity(caller, (select m.activity_id from marketing_automation.message m
        where m.id = cancel.message));
    with cancelled as (
        delete from marketing_automation_internal.outbox o where o.id = cancel.message and o.state in ('queued', 'in_doubt') returning o.*
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
        select c.activity_id, marketing_automation_internal.counter_period(c.created_at), 1 from cancelled c where c.record_id is not null
    )
    insert into marketing_automation_internal.message_log
        (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
            created_at, state, attempts, finished_at, smtp_reply)
    select c.id, c.record_id, c.activity_id, c.key, c.party, c.email, c.recipient_name, c.language, c.time_zone, c.context, c.track_opens,
        c.track_clicks, c.created_at,
           'suppressed', c.attempts, clock_timestamp(), format('cancelled by %s', caller)
    from cancelled c;
    if not found then
        raise exception 'message % is not waiting to be sent', message
            using errcode = 'object_not_in_prerequisite_state',
                  detail = coalesce((select format('It is %s.', m.state) from marketing_automation.message m where m.id = cancel.message),
                      'It does not exist.'),
                  hint = 'See: select id from marketing_automation.message where state in (''queued'', ''in_doubt'');';
    end if;
end $$;
comment on function marketing_automation_internal.cancel(regrole, bigint) is 'API: private. Behind cancel()';

create or replace function marketing_automation.cancel(message bigint) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.cancel(bigint) is
    'API: public. Ends a mail that is queued, deferred or in doubt: it is not sent (again), and starts no children';

-- functions/mailers.sql
-- What a marketing-mailer asks of the database: the same as the worker, see mailer.sql, as a role that may call these functions and
-- nothing else. Each belongs to a session that has registered.

create or replace function marketing_automation_internal.has_ended(pid integer, backend_start timestamptz) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select not exists (select from pg_stat_get_activity(has_ended.pid) a where a.backend_start = has_ended.backend_start)
$$;
comment on function marketing_automation_internal.has_ended(integer, timestamptz) is
    'API: private. Whether a session is over: then its transaction is too. Known at once, and nobody else can have this pid and start';

create or replace function marketing_automation_internal.worker_is_at_work() returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from pg_stat_get_activity(null) a join pg_database d on d.oid = a.datid and d.datname = current_database()
        where a.backend_type = 'marketing_automation mailer')
$$;
comment on function marketing_automation_internal.worker_is_at_work() is 'API: private. Whether the worker in the server sends for this database';

create or replace function marketing_automation_internal.rescue_orphans() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- One that has not said a word for a minute, though it must every ten seconds, is cut off in a way that the server does not notice.
    if exists (select from marketing_automation_internal.mailer m where m.pid is not null
               and m.seen_at < statement_timestamp() - interval '40 seconds') then
        -- It is given time from the moment on at which that is noticed: where the clock was set forward, everybody looks silent.
        update marketing_automation_internal.mailer m set suspected_at = statement_timestamp()
        from (select s.id from marketing_automation_internal.mailer s
              where s.pid <> pg_backend_pid() and s.seen_at < statement_timestamp() - interval '40 seconds'
                and (s.suspected_at between s.seen_at and statement_timestamp()) is not true
              for update skip locked) silent
        where m.id = silent.id;
        perform pg_terminate_backend(m.pid) from marketing_automation_internal.mailer m
        where m.pid <> pg_backend_pid() and m.seen_at < statement_timestamp() - interval '1 minute'
          and m.suspected_at between m.seen_at and statement_timestamp() - interval '20 seconds'
          and not marketing_automation_internal.has_ended(m.pid, m.backend_start);
    end if;
    if exists (select from marketing_automation_internal.mailer m
               where m.pid is not null and marketing_automation_internal.has_ended(m.pid, m.backend_start)) then
        perform marketing_automation_internal.rescue_messages(marketing_automation_internal.setting('in_doubt') = 'hold', spare_worker => true);
        update marketing_automation_internal.mailer m set pid = null
        where m.pid is not null and marketing_automation_internal.has_ended(m.pid, m.backend_start);
    end if;
end $$;
comment on function marketing_automation_internal.rescue_orphans() is
    'API: private. Takes back the claims of mailers whose sessions have ended, and ends those of silent ones; part of each claim, so at '
    'once while anybody sends';

create or replace function marketing_automation_internal.extension_version() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select e.extversion from pg_extension e where e.extname = 'marketing_automation'
$$;
comment on function marketing_automation_internal.extension_version() is 'API: private. The version of the SQL';

create or replace function marketing_automation_internal.demand_version(mailer_version text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    installed text := marketing_automation_internal.extension_version();
begin
    if mailer_version is distinct from installed then
        raise exception 'the extension is %, this mailer %', installed, mailer_version
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Run ALTER EXTENSION marketing_automation UPDATE where the extension is older, or install the mailer of its version.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_version(text) is 'API: private. Raises unless a mailer is of the version of the SQL';

create or replace function marketing_automation_internal.demand_input(is_good boolean, rule text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if is_good is not true then
        raise exception '%', rule using errcode = 'invalid_parameter_value';
    end if;
end $$;
comment on function marketing_automation_internal.demand_input(boolean, text) is
    'API: private. Raises the rule unless what a mailer has said keeps to it; what is unknown does not';

create or replace function marketing_automation_internal.mailer_share(me integer, out senders integer, out place integer)
language sql volatile set search_path = pg_catalog, pg_temp as $$
    with sender as materialized (
        -- The worker is the first of all.
        select 0 as id where marketing_automation_internal.worker_is_at_work()
        union all
        select m.id from marketing_automation_internal.mailer m where m.pid is not null
    )
    select count(*)::integer, case
            when count(*) = 1 or (
                -- One that came in the future, as the clock was set back meanwhile, has not just come.
                select m.since not between statement_timestamp() - interval '2 seconds' and statement_timestamp() + interval '1 minute'
                from marketing_automation_internal.mailer m where m.id = me)
            then (count(*) filter (where s.id < me))::integer end
    from sender s
$$;
comment on function marketing_automation_internal.mailer_share(integer) is
    'API: private. How many processes send, and which place a mailer has among them, from 0 on, by which the connections of servers are '
    'shared; null: it has just come, and waits until the others, who look every second, have given up what is not theirs any more';

create or replace function marketing_automation_internal.this_mailer(to_claim boolean default false) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_id integer;
    its_version text;
begin
    select m.id, m.version into its_id, its_version
    from marketing_automation_internal.mailer m
    join pg_stat_get_activity(pg_backend_pid()) a on a.backend_start = m.backend_start
    where m.pid = pg_backend_pid();
    if its_id is null then
        raise exception 'this session has not registered as a mailer'
            using errcode = 'object_not_in_prerequisite_state',
                  detail = 'A mailer is known by its session, so that its claims are taken back when that ends.',
                  hint = 'Connect marketing-mailer to the server itself: a pooler gives each transaction another session.';
    end if;
    if to_claim then
        perform marketing_automation_internal.demand_version(its_version);
    end if;
    return its_id;
end $$;
comment on function marketing_automation_internal.this_mailer(boolean) is
    'API: private. The mailer that this session is. to_claim: it must be of the version of the SQL; to end what it has it need not';

create or replace function marketing_automation.mailer_register(name text, instance uuid, host text, version text, in_hand bigint[] default '{}')
    returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    known marketing_automation_internal.mailer;
    started timestamptz := (select a.backend_start from pg_stat_get_activity(pg_backend_pid()) a);
    another text;
begin
    perform marketing_automation_internal.demand_version(mailer_register.version);
    if (mailer_register.name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$') is not true then
        raise exception 'a mailer cannot be named "%"', mailer_register.name
            using errcode = 'invalid_parameter_value', hint = 'Use up to 63 letters, digits, dots, underscores and hyphens: --name';
    end if;
    perform marketing_automation_internal.demand_input(mailer_register.instance is not null and mailer_register.host is not null
        and in_hand is not null and array_position(in_hand, null) is null, 'a mailer says its instance, its host and what it has in hand');
    select m.name into another from marketing_automation_internal.mailer m
    where m.pid = pg_backend_pid() and m.backend_start = started and m.name <> mailer_register.name;
    if another is not null then
        raise exception 'this session is mailer "%" already', another
            using errcode = 'object_not_in_prerequisite_state', hint = 'One session is one mailer: connect once more for another.';
    end if;
    insert into marketing_automation_internal.mailer (name, instance, role, host, version, since, seen_at, state)
    values (mailer_register.name, mailer_register.instance, session_user, mailer_register.host, mailer_register.version,
        statement_timestamp(), statement_timestamp(), 'starting')
    on conflict on constraint mailer_name_key do nothing;
    -- Two that come at once: the second waits here.
    select * into known from marketing_automation_internal.mailer m where m.name = mailer_register.name for update;
    if known.pid <> pg_backend_pid() and not marketing_automation_internal.has_ended(known.pid, known.backend_start) then
        if known.instance = mailer_register.instance then
            -- Its own former session, which has not noticed yet that the network was cut.
            perform pg_terminate_backend(known.pid, 3000);
            perform pg_stat_clear_snapshot();
        end if;
        if not marketing_automation_internal.has_ended(known.pid, known.backend_start) then
            raise exception 'mailer "%" is at work already, on %', known.name, known.host
                using errcode = 'object_in_use', detail = format('It has been since %s, as role %s.', known.since, known.role),
                      hint = 'Give each mailer a name of its own: --name';
        end if;
    end if;
    if known.instance = mailer_register.instance then
        -- What was claimed for it and did not reach it: nothing of that has left.
        update marketing_automation_internal.outbox o set state = 'queued', attempts = o.attempts - 1
        where o.mailer = known.id and o.state = 'sending' and o.id <> all (in_hand);
    end if;
    update marketing_automation_internal.mailer m
    set (instance, role, host, version, pid, backend_start, seen_at, state)
        = (mailer_register.instance, session_user, mailer_register.host, mailer_register.version, pg_backend_pid(), started,
           statement_timestamp(), 'starting'),
        (since, sent, failed, retried, last_error, last_error_at)
        = (select n.* from (values (m.since, m.sent, m.failed, m.retried, m.last_error, m.last_error_at)) as n
           where m.instance = mailer_register.instance
           union all
           select statement_timestamp(), 0, 0, 0, null, null where m.instance <> mailer_register.instance)
    where m.id = known.id;
    -- The worker, if it is idle: it has connections to give up.
    perform marketing_automation_internal.notify_mailer();
    delete from marketing_automation_internal.mailer m
    where m.pid is null and m.seen_at < statement_timestamp() - interval '7 days' and m.id <> known.id;
end $$;
comment on function marketing_automation.mailer_register(text, uuid, text, text, bigint[]) is
    'API: mailer. Makes this session the mailer of that name, which no other may be. instance: its process, whose former session is '
    'ended; in_hand: what that process has claimed and not completed, anything else is given back';

create or replace function marketing_automation.mailer_unregister() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    me integer := marketing_automation_internal.this_mailer();
begin
    delete from marketing_automation_internal.mailer m
    where m.id = me and not exists (select from marketing_automation_internal.outbox o where o.state = 'sending' and o.mailer = m.id);
end $$;
comment on function marketing_automation.mailer_unregister() is 'API: mailer. Leaves without a trace, for who has only tried: --check';

create or replace function marketing_automation.mailer_settings() returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    reason text;
begin
    perform marketing_automation_internal.this_mailer(to_claim => true);
    reason := marketing_automation_internal.check_armed();
    return jsonb_build_object(
        'disarmed', reason,
        'session_settings', (
            select string_agg(s.setconfig::text, ' ' order by s.setdatabase, s.setrole) from pg_db_role_setting s
            where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
              and s.setrole in (0, (select r.oid from pg_roles r where r.rolname = session_user))),
        'settings', (
            select jsonb_object_agg(n.name, nullif(btrim(marketing_automation_internal.setting(n.name)), ''))
            from unnest(array['smtp_url', 'smtp_password_file', 'automation_base', 'email_from', 'bounce_address',
                'unsubscribe_address', 'feedback_sender', 'dkim_domain', 'dkim_selector', 'dkim_key_file', 'dkim_keys', 'in_doubt']) as n (name)),
        'numbers', (
            select jsonb_object_agg(n.name, extract(epoch from marketing_automation_internal.setting(n.name)::interval))
            from unnest(array['smtp_timeout', 'retry_window', 'message_retention']) as n (name))
            || jsonb_build_object('batch_size', marketing_automation_internal.setting('batch_size')::integer,
                'smtp_connections', marketing_automation_internal.setting('smtp_connections')::integer),
        'hidden_link', marketing_automation_internal.setting('hidden_link')::boolean,
        'servers', (
            select coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'url', s.url, 'password_file', s.password_file,
                'sender_domain', s.sender_domain, 'priority', s.priority, 'weight', s.weight, 'connections', s.connections,
                'limited', s.per_second is not null or s.warmup_started is not null) order by s.name), '[]')
            from marketing_automation.smtp_server s where s.enabled),
        'bounce_rules', (
            select coalesce(jsonb_agg(jsonb_build_array(r.kind, r.pattern, r.meaning) order by r.kind, r.pattern), '[]')
            from marketing_automation.bounce_rule r where r.is_enabled),
        -- A copy that is not armed gets no secrets.
        'keys', (
            select coalesce(jsonb_agg(jsonb_build_array(k.id, encode(k.secret, 'hex')) order by k.ordinality), '[]')
            from marketing_automation.tracking_keys() with ordinality k where reason is null));
end $$;
comment on function marketing_automation.mailer_settings() is
    'API: mailer. Settings, SMTP servers, rules for bounces, tracking keys, and why this database may not send (disarmed; null: it may)';

create or replace function marketing_automation.mailer_claim(batch_size integer, full_scan boolean)
returns table (id bigint, attempt integer, record_id bigint, record_uuid text, activity_id integer, activity_version integer,
    email text, recipient_name text, language text, time_zone text, context text, party text, age_seconds double precision,
    track_opens boolean, track_clicks boolean, channel text, snippets_version text, senders integer, place integer, closes_in double precision)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    me integer := marketing_automation_internal.this_mailer(to_claim => true);
begin
    perform marketing_automation_internal.demand_input(batch_size between 1 and 10000 and full_scan is not null,
        'a claim is of 1 to 10000 mails');
    return query
        select c.id, c.attempt, c.record_id, c.record_uuid::text, c.activity_id, c.activity_version, c.email, c.recipient_name,
            coalesce(c.language, ''), coalesce(c.time_zone, ''), c.context::text, c.party, c.age_seconds, c.track_opens, c.track_clicks,
            c.channel, (select concat_ws(' ', count(*), sum(s.version)) from marketing_automation.snippet s), k.senders, k.place, c.closes_in
        from marketing_automation_internal.claim_messages(mailer_claim.batch_size, mailer_claim.full_scan, me) c,
            marketing_automation_internal.mailer_share(me) k;
end $$;
comment on function marketing_automation.mailer_claim(integer, boolean) is
    'API: mailer. Claims mails that are due for this mailer; senders, place: see mailer_share()';

create or replace function marketing_automation.mailer_revoked(ids bigint[], attempts integer[]) returns setof bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    me integer := marketing_automation_internal.this_mailer();
begin
    return query
        select c.id from unnest(ids, attempts) as c (id, attempt)
        where exists (select from marketing_automation.sending_pause) or not exists (
            select from marketing_automation_internal.outbox o
            join marketing_automation.activity a on a.id = o.activity_id
            join marketing_automation.scenario s on s.id = a.scenario_id and (s.state = 'running' or o.record_id is null)
            join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
            left join marketing_automation_internal.record r on r.id = o.record_id
            where o.id = c.id and o.state = 'sending' and o.attempts = c.attempt and o.mailer = me
              and r.blocked_at is null
              and not exists (select from marketing_automation.unsubscription u
                  where k.honors_unsubscribe and u.scenario_id in (0, s.id) and u.party = r.party)
              and not exists (select from marketing_automation_internal.unsubscribed_address u
                  where k.honors_unsubscribe and u.address_hash = marketing_automation.address_hash(o.email) and u.scenario_id in (0, s.id)
                    and (u.spares_party and u.party = r.party) is not true and o.record_id is not null)
              and (s.topic is null or not k.honors_unsubscribe or o.record_id is null or marketing_automation_internal.withheld(s.topic, r.party,
                  marketing_automation.address_hash(o.email)) is null)
              and not exists (select from marketing_automation.suppression x
                  where x.address_hash = marketing_automation.address_hash(o.email))
              and not exists (select from marketing_automation_internal.barred_activity b where b.activity_id = a.id));
end $$;
comment on function marketing_automation.mailer_revoked(bigint[], integer[]) is
    'API: mailer. Which of these claims must not be sent any more: what has been blocked, unsubscribed, suppressed, stopped, paused or '
    'taken back since';

create or replace function marketing_automation.mailer_next_due(out seconds double precision, out pause text, out senders integer, out place integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    me integer := marketing_automation_internal.this_mailer();
begin
    -- One that has no connection claims nothing, and waits for those that may have died.
    perform marketing_automation_internal.rescue_orphans();
    select k.senders, k.place into senders, place from marketing_automation_internal.mailer_share(me) k;
    seconds := extract(epoch from marketing_automation_internal.next_due() - statement_timestamp());
    pause := marketing_automation_internal.pause_note();
end $$;
comment on function marketing_automation.mailer_next_due() is
    'API: mailer. In how many seconds the next mail is due, null: none is queued; who has paused sending; and its share of the '
    'connections, see mailer_share()';

create or replace function marketing_automation.mailer_templates(activities integer[])
returns table (activity_id integer, version integer, activity text, scenario text, own_language text, language text, sender text,
    subject text, body text, message_class text, bulk_headers boolean)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select t.* from (select marketing_automation_internal.this_mailer()) me,
        marketing_automation_internal.mail_templates(mailer_templates.activities) t
$$;
comment on function marketing_automation.mailer_templates(integer[]) is 'API: mailer. Templates of activities in all languages';

create or replace function marketing_automation.mailer_snippets() returns table (name text, language text, body text)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select s.name, s.language, s.body from (select marketing_automation_internal.this_mailer()) me, marketing_automation.snippet s
$$;
comment on function marketing_automation.mailer_snippets() is 'API: mailer. The snippets that templates include';

create or replace function marketing_automation.mailer_link_ids(urls text[]) returns table (url text, id bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    -- Readers are sent there.
    perform marketing_automation_internal.demand_input(
        not exists (select from unnest(urls) as u (url) where (u.url ~* '^https?://') is not true), 'links lead to http:// or https://');
    return query select l.url, l.id from marketing_automation_internal.link_ids(mailer_link_ids.urls) l;
end $$;
comment on function marketing_automation.mailer_link_ids(text[]) is 'API: mailer. Ids of web addresses, new ones stored';

create or replace function marketing_automation.mailer_tokens(servers text[], in_hand integer[], wanted integer)
returns table (server text, tokens integer, is_exhausted boolean, wait_seconds double precision)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    perform marketing_automation_internal.demand_input(cardinality(servers) = cardinality(in_hand) and wanted between 0 and 10000
        and 0 <= all (in_hand), 'each server has the tokens in hand beside it, and 0 to 10000 are wanted');
    -- One may have been removed since this mailer has read the settings.
    return query
        select g.server, g.permits, g.is_spent, g.wait_seconds
        from (select array_agg(u.name) as names, array_agg(u.in_hand) as in_hand from unnest(servers, in_hand) as u (name, in_hand)
              join marketing_automation.smtp_server s on s.name = u.name) k,
            marketing_automation_internal.grant_send_tokens(k.names, k.in_hand, mailer_tokens.wanted) g;
end $$;
comment on function marketing_automation.mailer_tokens(text[], integer[], integer) is
    'API: mailer. Permits for servers with a limit, out of the bucket that all senders share';

create or replace function marketing_automation.mailer_complete(ids bigint[], attempts integer[], states text[], replies text[],
    retry_seconds double precision[], results text[], codes integer[], statuses text[], servers text[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    perform marketing_automation_internal.demand_input(
        array_length(ids, 1) = all (array[array_length(attempts, 1), array_length(states, 1), array_length(replies, 1),
            array_length(retry_seconds, 1), array_length(results, 1), array_length(codes, 1), array_length(statuses, 1), array_length(servers, 1)])
        and array_position(ids, null) is null and array_position(attempts, null) is null
        and states <@ array['sent', 'failed', 'queued', 'released', 'in_doubt']
        and array_remove(results, null) <@ array['sent', 'failed', 'deferred', 'in_doubt']
        and 0 <= all (retry_seconds) and 'infinity' > all (retry_seconds),
        'a result has an id, an attempt, a state, and a pause in seconds; of each array there are as many');
    return marketing_automation_internal.complete_messages(ids, attempts, states, replies, retry_seconds, results, codes, statuses, servers);
end $$;
comment on function marketing_automation.mailer_complete(bigint[], integer[], text[], text[], double precision[], text[], integer[],
    text[], text[]) is
    'API: mailer. Records results, each for the attempt that it belongs to; the children of sent mails start';

create or replace function marketing_automation.mailer_dead_mailboxes(ids bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    perform marketing_automation_internal.record_dead_mailboxes(ids);
end $$;
comment on function marketing_automation.mailer_dead_mailboxes(bigint[]) is
    'API: mailer. Suppresses the recipients of mails that a server refused because their mailboxes do not exist';

create or replace function marketing_automation.mailer_rescue() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.rescue_messages(marketing_automation_internal.setting('in_doubt') = 'hold',
        starting => marketing_automation_internal.this_mailer(to_claim => true),
        spare_worker => marketing_automation_internal.worker_is_at_work());
end $$;
comment on function marketing_automation.mailer_rescue() is
    'API: mailer. Before the first claim: takes back what those had in flight that have ended, itself under its name included';

create or replace function marketing_automation.mailer_purge(older_than double precision) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    perform marketing_automation_internal.demand_input(older_than >= 0 and older_than < 'infinity', 'mails are removed by their age in seconds');
    -- No sooner than the setting says, whatever the mailer knows of it.
    perform marketing_automation.purge_messages(make_interval(secs => greatest(older_than, extract(epoch from r.kept)::double precision)))
    from (select nullif(marketing_automation_internal.setting('message_retention')::interval, '0') as kept) r where r.kept is not null;
end $$;
comment on function marketing_automation.mailer_purge(double precision) is
    'API: mailer. Removes mails that ended longer ago than so many seconds, where marketing_automation.message_retention says so';

create or replace function marketing_automation.mailer_report_server(name text, seconds double precision, error text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.this_mailer();
    perform marketing_automation_internal.demand_input(coalesce(seconds between 0 and 86400, true),
        'a server is left alone for a day at most');
    -- One may have been removed since this mailer has read the settings.
    if mailer_report_server.name = 'smtp_url' or exists (select from marketing_automation.smtp_server s where s.name = mailer_report_server.name)
    then
        perform marketing_automation_internal.report_server(name, seconds, left(error, 1000));
    end if;
end $$;
comment on function marketing_automation.mailer_report_server(text, double precision, text) is
    'API: mailer. That a server is left alone for some seconds, and why, or answers again';

create or replace function marketing_automation.mailer_report(state text, last_error text, sent bigint, failed bigint, retried bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    me integer := marketing_automation_internal.this_mailer();
begin
    perform marketing_automation_internal.demand_input(mailer_report.state = any (array['not running', 'starting', 'idle', 'sending',
        'unconfigured', 'outdated', 'disarmed', 'paused']) and least(mailer_report.sent, mailer_report.failed, mailer_report.retried) >= 0
        and num_nulls(mailer_report.sent, mailer_report.failed, mailer_report.retried) = 0,
        'a mailer says a state of worker_status() and counts');
    update marketing_automation_internal.mailer m
    set (state, sent, failed, retried, seen_at)
        = (mailer_report.state, mailer_report.sent, mailer_report.failed, mailer_report.retried, statement_timestamp()),
        last_error = left(mailer_report.last_error, 1000),
        last_error_at = case when m.last_error is not distinct from left(mailer_report.last_error, 1000) then m.last_error_at
            when mailer_report.last_error is not null then statement_timestamp() end
    where m.id = me;
end $$;
comment on function marketing_automation.mailer_report(text, text, bigint, bigint, bigint) is
    'API: mailer. How it is doing, for mailer_status(); counts since its process began';

create or replace function marketing_automation.mailer_status()
returns table (name text, host text, version text, role name, state text, since timestamptz, seen_at timestamptz, sent bigint,
    failed bigint, retried bigint, last_error text, last_error_at timestamptz)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select m.name, m.host, m.version, m.role,
        case when m.pid is null or marketing_automation_internal.has_ended(m.pid, m.backend_start)
             then case m.state when 'not running' then 'not running' else 'lost' end
             -- Its session will be ended by the next claim of anybody.
             when m.seen_at < statement_timestamp() - interval '1 minute' then 'lost'
             else m.state end,
        m.since, m.seen_at, m.sent, m.failed, m.retried, m.last_error, m.last_error_at
    from marketing_automation_internal.mailer m order by m.name
$$;
comment on function marketing_automation.mailer_status() is
    'API: public. Each marketing-mailer that has sent for this database within a week: state as in worker_status(), lost: its session '
    'has ended without a word, its claims are taken back; seen_at: when it last told, every ten seconds at least';

-- functions/arming.sql
-- Sending is armed for one database on one server. Copies are found by what they cannot take along: a dump has no row of
-- armed but one of origin, a TEMPLATE copy has another OID, a physical copy another data directory.

create or replace function marketing_automation_internal.this_database(out system_identifier bigint, out database oid)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.system_identifier, d.oid from pg_control_system() c, pg_database d where d.datname = current_database()
$$;
comment on function marketing_automation_internal.this_database() is
    'API: private. What tells this database from its logical copies: the cluster''s system identifier and the OID in it';

create or replace function marketing_automation_internal.write_armed() returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into marketing_automation_internal.armed as a (system_identifier, database, data_directory, inode, born, machine)
    select t.system_identifier, t.database, d.path, d.inode, d.born,
           -- machine-id(5) asks to keep the id itself to oneself.
           sha256(convert_to('marketing_automation ' || d.machine_id, 'UTF8'))
    from marketing_automation_internal.this_database() t, marketing_automation_internal.this_data_directory() d
    on conflict on constraint armed_pkey do update
    set (system_identifier, database, data_directory, inode, born, machine, armed_at, armed_by)
      = (excluded.system_identifier, excluded.database, excluded.data_directory, excluded.inode, excluded.born, excluded.machine,
         excluded.armed_at, excluded.armed_by)
$$;
comment on function marketing_automation_internal.write_armed() is
    'API: private. Makes this database on this server the one that may send';

create or replace function marketing_automation_internal.disarmed_because(on_any_server boolean default false) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case
        when exists (select from marketing_automation.origin o where (o.system_identifier, o.database) <> (t.system_identifier, t.database))
            then 'the data were restored from a dump'
        when a.singleton is null then 'it was never armed'
        when a.system_identifier <> t.system_identifier then 'it was armed as part of another database cluster'
        when a.database <> t.database then 'it is a copy of another database'
        when on_any_server then null
        when d.started_as = 'restored' and a.armed_at < pg_postmaster_start_time() then 'the server was restored from a backup'
        when (a.inode, a.born) is distinct from (d.inode, d.born) then 'its data directory is a copy'
        when a.data_directory <> d.path then format('its data directory was moved here from %s', a.data_directory)
        when a.machine <> sha256(convert_to('marketing_automation ' || d.machine_id, 'UTF8')) then 'it runs on another machine'
    end
    from marketing_automation_internal.this_database() t
    cross join marketing_automation_internal.this_data_directory() d
    left join marketing_automation_internal.armed a on true
$$;
comment on function marketing_automation_internal.disarmed_because(boolean) is
    'API: private. Why this database may not send mail; null: it may. on_any_server: whichever server of its cluster it is on';

create or replace function marketing_automation_internal.count_as_sent() returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    ids bigint[];
    attempts integer[];
    counted bigint := 0;
begin
    -- What is due becomes mails first. Their children come after this, and are mails that nobody has sent.
    while marketing_automation_internal.process_due(quote_ident(current_user)::regrole, 10000, null) > 0 loop
    end loop;
    loop
        with taken as (
            update marketing_automation_internal.outbox o
            set state = 'sending', attempts = o.attempts + 1, first_attempt_at = coalesce(o.first_attempt_at, statement_timestamp())
            where o.id in (
                select w.id from marketing_automation_internal.outbox w
                left join marketing_automation_internal.record r on r.id = w.record_id
                join marketing_automation.activity a on a.id = w.activity_id
                join marketing_automation.scenario s on s.id = a.scenario_id
                join marketing_automation.message_class k on k.name = coalesce(a.message_class, s.message_class)
                -- What would not have been sent is left to the mailer, which says why.
                where r.blocked_at is null and (not k.honors_unsubscribe or not exists (
                        select from marketing_automation.unsubscription u where u.scenario_id in (0, a.scenario_id) and u.party = r.party)
                    and (s.topic is null or w.record_id is null or marketing_automation_internal.withheld(s.topic, r.party,
                        marketing_automation.address_hash(w.email)) is null))
                limit 10000)
            returning o.id, o.attempts
        )
        select array_agg(t.id), array_agg(t.attempts) into ids, attempts from taken t;
        exit when ids is null;
        counted := counted + marketing_automation_internal.complete_messages(ids, attempts, array_fill('sent'::text, array[cardinality(ids)]),
            array_fill('counts as sent before the data were restored: arm(resend => false)'::text, array[cardinality(ids)]),
            array_fill(null::double precision, array[cardinality(ids)]));
    end loop;
    return counted;
end $$;
comment on function marketing_automation_internal.count_as_sent() is
    'API: private. Mails that wait, and those of activities that are due, end as sent, and their children start; returns how many';

create or replace function marketing_automation.arm(resend boolean default null) returns void
language plpgsql set search_path = pg_catalog, pg_temp set datestyle = 'ISO' as $$
declare
    mails bigint;
    mails_since timestamptz;
    due bigint;
    due_since timestamptz;
    last_at_work timestamptz;
begin
    if marketing_automation_internal.disarmed_because() is null then
        if not resend then
            raise exception 'this database is armed: what waits here was sent by no other'
                using errcode = 'object_not_in_prerequisite_state', hint = 'To stop sending: select marketing_automation.pause();';
        end if;
    elsif resend is null then
        select count(*), min(o.created_at) into mails, mails_since from marketing_automation_internal.outbox o;
        select count(*), min(w.at) into due, due_since
        from marketing_automation_internal.waiting_activity w
        join marketing_automation.activity a on a.id = w.activity_id and a.action = 'send_email'
        join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
        where w.at <= statement_timestamp();
        if mails + due > 0 then
            last_at_work := greatest(
                (select o.created_at from marketing_automation_internal.outbox o order by o.id desc limit 1),
                (select l.finished_at from marketing_automation_internal.message_log l order by l.id desc limit 1));
            raise exception 'another server may have sent what waits here: mails: %, activities that are due: %', mails, due
                using errcode = 'object_not_in_prerequisite_state',
                      detail = concat_ws(' ',
                          format('It is disarmed, as %s.', marketing_automation_internal.disarmed_because()),
                          format('The oldest mail has waited since %s.', date_trunc('second', mails_since)),
                          format('The oldest activity has been due since %s.', date_trunc('second', due_since)),
                          format('The newest mail that is known here is of %s: what was sent after that is not.', date_trunc('second', last_at_work))),
                      hint = 'To send them, if nobody has: select marketing_automation.arm(resend => true); to count them as sent, so that '
                          'their journeys go on: select marketing_automation.arm(resend => false);';
        end if;
    elsif not resend then
        raise notice 'mails that count as sent: %', marketing_automation_internal.count_as_sent();
    end if;
    delete from marketing_automation.origin;
    insert into marketing_automation.origin (system_identifier, database) select t.* from marketing_automation_internal.this_database() t;
    perform marketing_automation_internal.write_armed();
    perform marketing_automation_internal.notify_mailer();
end $$;
comment on function marketing_automation.arm(boolean) is
    'API: public. Allows this database on this server to send mail. A fresh CREATE EXTENSION is armed; a restored dump, a copy made '
    'with TEMPLATE, and a copy of the whole server are not until this is called. resend: whether mails that wait in such a copy, and those '
    'of activities that are due, are sent, or count as sent; null: an error says how many there are, if any';

create or replace function marketing_automation.is_armed() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.disarmed_because() is null
$$;
comment on function marketing_automation.is_armed() is 'API: public. Whether this database may send mail';

create or replace function marketing_automation_internal.check_armed() returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    reason text := marketing_automation_internal.disarmed_because();
begin
    -- A standby that was promoted: the row is of this database, and of the server that was its primary.
    if reason is not null and marketing_automation_internal.disarmed_because(on_any_server => true) is null
       and (select d.started_as from marketing_automation_internal.this_data_directory() d) = 'standby'
       and marketing_automation_internal.setting('arm_after_failover')::boolean
    then
        perform marketing_automation_internal.write_armed();
        raise log 'marketing_automation: database "%" sends from here after a failover: %', current_database(), reason;
        return null;
    end if;
    return reason;
end $$;
comment on function marketing_automation_internal.check_armed() is
    'API: private. Asked by the mailer: why this database may not send mail; null: it may. After a failover it may, if '
    'marketing_automation.arm_after_failover says so';

-- functions/revocation.sql
-- Revocations: commits that forbid mails which are claimed already. From then on such a mail does not leave before it is
-- claimed again: see src/delivery/revocation.rs.

create or replace function marketing_automation_internal.revoke_claims() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    case tg_table_name
    when 'record' then
        perform marketing_automation_internal.revoke_claims_of('record', new.id::text);
    when 'unsubscription' then
        perform marketing_automation_internal.revoke_claims_of('party', new.party);
    when 'subscription' then
        -- Who is not subscribed any more, where that is needed, may have been the only one.
        if tg_op = 'DELETE' then
            new := old;
        end if;
        if new.address_hash is null then
            perform marketing_automation_internal.revoke_claims_of('party', new.party);
        else
            perform marketing_automation_internal.revoke_claims_of('address', encode(new.address_hash, 'hex'));
        end if;
    when 'suppression', 'unsubscribed_address' then
        perform marketing_automation_internal.revoke_claims_of('address', encode(new.address_hash, 'hex'));
    when 'scenario' then
        perform marketing_automation_internal.revoke_claims_of('activity', a.id::text) from marketing_automation.activity a
            where a.scenario_id = new.id;
    when 'sending_pause' then
        perform marketing_automation_internal.revoke_claims_of('all', '');
    end case;
    return null;
end $$;
comment on function marketing_automation_internal.revoke_claims() is
    'API: private. Trigger: what was written may forbid mails that are claimed';

create or replace trigger revoke_claims after insert on marketing_automation.unsubscription
    for each row execute function marketing_automation_internal.revoke_claims();

create or replace trigger revoke_claims after insert or update on marketing_automation_internal.unsubscribed_address
    for each row execute function marketing_automation_internal.revoke_claims();

create or replace trigger revoke_claims after insert or update of state on marketing_automation.subscription
    for each row when (new.state <> 'subscribed') execute function marketing_automation_internal.revoke_claims();

create or replace trigger revoke_deleted after delete on marketing_automation.subscription
    for each row when (old.state = 'subscribed') execute function marketing_automation_internal.revoke_claims();

create or replace trigger revoke_claims after insert on marketing_automation.suppression
    for each row execute function marketing_automation_internal.revoke_claims();

create or replace trigger revoke_claims after update of state on marketing_automation.scenario
    for each row when (new.state <> 'running') execute function marketing_automation_internal.revoke_claims();

create or replace trigger revoke_topic after update of topic on marketing_automation.scenario
    for each row when (new.topic is distinct from old.topic and new.topic is not null)
    execute function marketing_automation_internal.revoke_claims();

create or replace trigger revoke_claims after insert on marketing_automation.sending_pause
    for each row execute function marketing_automation_internal.revoke_claims();

-- Not when a record is unblocked.
create or replace trigger revoke_claims after update of blocked_at on marketing_automation_internal.record
    for each row when (new.blocked_at is not null) execute function marketing_automation_internal.revoke_claims();

-- A record that another one of its row follows has no mail under way.
create or replace trigger revoke_ended after update of end_reason on marketing_automation_internal.record
    for each row when (new.end_reason <> 'entered_again') execute function marketing_automation_internal.revoke_claims();

-- functions/retention.sql
-- Retention and erasure.

create or replace function marketing_automation.purge_messages(older_than interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Who reads a partition for long must not hold up those who wait behind the lock that truncating needs.
set lock_timeout = '1s'
as $$
declare
    -- Hours: days differ where clocks are changed.
    span constant interval := interval '720 hours';
    partition record;
    messages bigint;
    purged bigint := 0;
begin
    if older_than is null or older_than not between interval '0' and 38 * span then
        raise exception 'older_than must be between 0 and 1140 days, not %', older_than
            using errcode = 'invalid_parameter_value', hint = 'purge_messages(''90 days'') removes those that ended before.';
    end if;
    -- A partition holds the mails of the last turn that its number had, and of earlier ones.
    for partition in
        select c.oid::regclass as name, to_timestamp(0) + span * (n.turn + 1) as until
        from generate_series(floor(extract(epoch from statement_timestamp() - 39 * span) / extract(epoch from span))::bigint,
                             floor(extract(epoch from statement_timestamp()) / extract(epoch from span))::bigint) as n (turn)
        join pg_inherits i on i.inhparent = 'marketing_automation_internal.message_log'::regclass
        join pg_class c on c.oid = i.inhrelid and c.relname =
            format('message_log_%s', marketing_automation_internal.log_bucket(to_timestamp(0) + span * n.turn))
        order by n.turn
    loop
        continue when partition.until > statement_timestamp() - older_than;
        begin
            execute format('select count(*) from %s', partition.name) into messages;
            if messages > 0 then
                execute format('truncate %s', partition.name);
                purged := purged + messages;
            end if;
        exception when lock_not_available then
            raise notice '% is in use and stays until the next time', partition.name;
        end;
    end loop;
    delete from marketing_automation_internal.attempt_log t
    where t.ended_at < statement_timestamp() - older_than
      and not exists (select from marketing_automation_internal.outbox o where o.id = t.message_id);
    return purged;
end $$;
comment on function marketing_automation.purge_messages(interval) is
    'API: public. Removes mails that ended longer ago than that (0 to 1140 days), by whole partitions of 30 days, so that a mail may '
    'stay 30 days more; with them their attempts. Counts and links stay. Returns how many; the mailer does this every hour where '
    'marketing_automation.message_retention is set';

create or replace function marketing_automation_internal.erase_mails(mails bigint[], needles text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    with ended as (
        delete from marketing_automation_internal.outbox o where o.id = any (mails) returning o.*
    ), counters as (
        insert into marketing_automation_internal.activity_counter (activity_id, period, not_sent)
        select e.activity_id, marketing_automation_internal.counter_period(e.created_at), count(*) from ended e
            where e.record_id is not null group by 1, 2
    )
    insert into marketing_automation_internal.message_log (id, record_id, activity_id, key, email, context, track_opens, track_clicks,
        created_at, state, attempts, finished_at)
    select e.id, e.record_id, e.activity_id, e.key, '', '{}', e.track_opens, e.track_clicks, e.created_at, 'suppressed', e.attempts,
        statement_timestamp() from ended e;
    update marketing_automation_internal.message_log l
    set key = case when lower(l.key) = any (needles) then '' else l.key end, party = case when lower(l.party) = any (needles) then null
        else l.party end,
        email = '', recipient_name = null, language = null, time_zone = null, context = '{}', smtp_reply = null
    where l.id = any (mails);
    update marketing_automation_internal.attempt_log t set reply = null where t.message_id = any (mails);
end $$;
comment on function marketing_automation_internal.erase_mails(bigint[], text[]) is
    'API: private. Erases whom these mails were to, and ends those under way. needles: how the address is written in keys and parties';

create or replace function marketing_automation.forget(address text) returns table (messages bigint, records bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    hash bytea := marketing_automation.address_hash(address);
    -- Keys, parties and links may hold the address, in links percent-encoded.
    needles text[] := array[lower(trim(address)), replace(lower(trim(address)), '@', '%40')];
    whose bigint[] := '{}';
    others bigint[];
    mails bigint[] := '{}';
    more bigint[];
    their_records bigint[];
begin
    -- From here on nothing is sent to it, whoever enrolls it again; what another session makes unseen is erased when it is claimed.
    perform marketing_automation.suppress(address, 'forgotten');
    -- Again after the locks, as those who held them may have mailed, ended or retried.
    loop
        select array_agg(m.id), array_agg(distinct m.record_id) into more, their_records
        from marketing_automation.message m where m.email <> '' and marketing_automation.address_hash(m.email) = hash;
        others := array(
            select r.id from marketing_automation_internal.record r
            where r.id <> all (whose) and (
                r.id = any (their_records) or lower(r.key) = any (needles) or lower(r.party) = any (needles))
            order by r.id);
        -- Whose row it is: it enters no more, and the last record has perhaps not mailed yet.
        others := array(
            select o.id from unnest(marketing_automation_internal.records_of_same_rows(others)) as o (id)
            where o.id <> all (whose) order by o.id);
        perform marketing_automation_internal.lock_records(others);
        insert into marketing_automation_internal.scenario_counter (scenario_id, period, blocked)
        select r.scenario_id, marketing_automation_internal.counter_period(r.entered_at), count(*)
        from marketing_automation_internal.record r where r.id = any (others) and r.blocked_at is null group by 1, 2;
        update marketing_automation_internal.record r
        set blocked_at = coalesce(r.blocked_at, statement_timestamp()),
            key = case when lower(r.key) = any (needles) then 'forgotten ' || r.id else r.key end,
            party = case when lower(r.party) = any (needles) then null else r.party end
        where r.id = any (others);
        perform marketing_automation_internal.cancel_waiting(r) from unnest(others) as o (r);
        whose := whose || others;
        more := array(
            select unnest(more) union select m.id from marketing_automation.message m where m.record_id = any (whose) and m.email <> '');
        exit when others = '{}' and more = '{}';
        perform marketing_automation_internal.erase_mails(more, needles);
        mails := mails || more;
    end loop;
    mails := array(select unnest(mails) union select m.id from marketing_automation.message m where m.record_id = any (whose));
    update marketing_automation.bounce b set diagnostic = null, raw = null
    where b.address_hash = hash or exists (
        select from unnest(needles) as n (needle)
        where position(n.needle in lower(b.diagnostic)) > 0 or position(convert_to(n.needle, 'UTF8') in b.raw) > 0);
    update marketing_automation_internal.finished_activity f set error = 'forgotten' where f.record_id = any (whose)
        and f.error is not null;
    delete from marketing_automation.unsubscription u where lower(u.party) = any (needles);
    -- The digest stays, as in suppression; whose it was goes.
    update marketing_automation_internal.unsubscribed_address u set record_id = null, party = null, spares_party = false
    where u.address_hash = hash or u.record_id = any (whose) or lower(u.party) = any (needles);
    -- Who has left a topic has left it by this address all the same.
    delete from marketing_automation.subscription u
    where u.address_hash = hash and u.state <> 'unsubscribed' or u.address_hash is null and lower(u.party) = any (needles);
    update marketing_automation.subscription u set party = null
    where u.party is not null and (u.address_hash = hash or lower(u.party) = any (needles));
    delete from marketing_automation.subscription_log l where l.address_hash is null and lower(l.party) = any (needles);
    update marketing_automation.subscription_log l set party = null, record_id = null, user_agent = null
    where l.address_hash = hash or l.record_id = any (whose) or lower(l.party) = any (needles);
    -- Of who never had a record, the party is all that such an event says.
    delete from marketing_automation_internal.event e where e.record_id is null and lower(e.party) = any (needles);
    update marketing_automation_internal.event e set party = null where e.record_id = any (whose) and lower(e.party) = any (needles);
    update marketing_automation_internal.event e set user_agent = null, address = null
    where e.record_id = any (whose) and (e.user_agent is not null or e.address is not null);
    update marketing_automation_internal.event_inbox e set user_agent = null, address = null where e.record_id = any (whose);
    -- The link still leads to its page; only by its digest it is not found again.
    update marketing_automation.link l set url = regexp_replace(l.url, '[?#].*$', ''),
        digest = sha256(convert_to('forgotten ' || l.id, 'UTF8'))
    where exists (select from unnest(needles) as n (needle) where position(n.needle in lower(l.url)) > 0);
    return query select cardinality(mails)::bigint, cardinality(whose)::bigint;
end $$;
comment on function marketing_automation.forget(text) is
    'API: public. Erases what is kept of a person: address, name, row and codes in mails, networks and user agents of events, keys, '
    'parties and links that hold the address; nothing more is sent to it. Counts stay, and the digest in suppression. The rows of '
    'your own tables are yours to delete. Returns how many mails and records it was about';

-- functions/suppression.sql
-- Addresses that get no mail: see marketing_automation.suppression, which claim_messages() asks.

create or replace function marketing_automation.suppress(address text, reason text default 'manual', detail text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- A later reason replaces an earlier one that weighs less: who clears out hard bounces must not set a complainer free.
    weights constant text[] := array['hard_bounce', 'manual', 'complaint', 'forgotten'];
begin
    if address is null or trim(address) = '' then
        raise exception 'address must not be empty' using errcode = 'invalid_parameter_value';
    end if;
    if reason is null or reason <> all (weights) then
        raise exception 'reason "%" does not exist', reason
            using errcode = 'invalid_parameter_value', hint = format('It is %s.', array_to_string(weights, ', '));
    end if;
    insert into marketing_automation.suppression as s (address_hash, reason, since, detail)
    values (marketing_automation.address_hash(address), reason, statement_timestamp(),
            -- Replies quote the address; the table must not.
            regexp_replace(detail, '\S+@\S+', '…', 'g'))
    on conflict on constraint suppression_pkey do update
    set reason = excluded.reason, since = excluded.since, detail = excluded.detail
    where array_position(weights, excluded.reason) > array_position(weights, s.reason);
    return found;
end $$;
comment on function marketing_automation.suppress(text, text, text) is
    'API: public. From its commit on nothing leaves to this address that is not with the SMTP server already. reason: hard_bounce, '
    'manual, complaint or forgotten; detail '
    'is kept without mail addresses. Whether this is news: false when the address is suppressed for that reason or one that weighs '
    'more';

create or replace function marketing_automation.unsuppress(address text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from marketing_automation.suppression s where s.address_hash = marketing_automation.address_hash(address);
    return found;
end $$;
comment on function marketing_automation.unsuppress(text) is
    'API: public. The address gets mail again, from now on; whether it was suppressed';

create or replace function marketing_automation.is_suppressed(address text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from marketing_automation.suppression s where s.address_hash = marketing_automation.address_hash(address))
$$;
comment on function marketing_automation.is_suppressed(text) is 'API: public. Whether the address gets no mail';

-- functions/limits.sql
-- Limits of recipient domains, and the pause of everything.

create or replace function marketing_automation_internal.seconds_of_refill(refilled_at timestamptz) returns double precision
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        -- More than what statements wait for each other's locks: the clock was set back. The bucket is full, or it would stay empty
        -- until the clock is there again.
        when refilled_at > statement_timestamp() + interval '1 minute' then 86400
        else greatest(extract(epoch from statement_timestamp() - refilled_at)::double precision, 0) end
$$;
comment on function marketing_automation_internal.seconds_of_refill(timestamptz) is
    'API: private. For how long a token bucket has been filling since it was last taken from; a day, if that is in the future';

create or replace view marketing_automation_internal.domain_queue_budget as
select b.domain as domain_queue,
       case when l.domain is not null
            then least(f.burst, b.tokens + l.per_second * r.seconds) end as tokens,
       case when l.per_second = 0 then 'infinity'
            when b.tokens + l.per_second * r.seconds < f.worthwhile
                then b.refilled_at + make_interval(secs => (f.worthwhile - b.tokens) / l.per_second) end as ready_at
from marketing_automation_internal.domain_queue b
left join marketing_automation.domain_limit l on l.domain = b.domain
cross join lateral (select case l.per_second when 0 then 0 else coalesce(l.burst, ceil(l.per_second)) end as burst) d
-- The mailer need not wake up for each mail: those of a tenth of a second are worth a claim.
cross join lateral (select d.burst, least(d.burst, greatest(l.per_second / 10, 1)) as worthwhile) f
cross join lateral (select marketing_automation_internal.seconds_of_refill(b.refilled_at) as seconds) r;
comment on view marketing_automation_internal.domain_queue_budget is
    'API: private. Mails that may be claimed now in each domain_queue, null without a limit, and from when a claim is worthwhile, '
    'null: now';

-- How fast mail goes: limits of domains, and the pause. What they hold back, claim_messages() does not claim.
create or replace function marketing_automation_internal.domain_limit_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    if marketing_automation_internal.address_domain('@' || new.domain) is null then
        raise exception 'domain "%" of domain_limit is none', new.domain
            using errcode = 'check_violation', hint = 'Write what stands after the @ of addresses, such as gmail.com.';
    end if;
    new.domain := marketing_automation_internal.address_domain('@' || new.domain);
    insert into marketing_automation_internal.domain_queue (domain, tokens, refilled_at)
    values (new.domain, 'infinity', statement_timestamp())
    on conflict do nothing;
    return new;
end $$;
comment on function marketing_automation_internal.domain_limit_validate() is
    'API: private. Spells the domain as addresses are compared, and makes its domain_queue before any mail can be in it';

create or replace trigger validate before insert or update on marketing_automation.domain_limit
    for each row execute function marketing_automation_internal.domain_limit_validate();

create or replace function marketing_automation_internal.pause(caller regrole, reason text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into marketing_automation.sending_pause (reason, paused_by) values (reason, caller) on conflict do nothing;
    select marketing_automation_internal.notify_mailer();
$$;
comment on function marketing_automation_internal.pause(regrole, text) is 'API: private. Behind pause()';

create or replace function marketing_automation.pause(reason text default null) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.pause(text) is
    'API: public. From its commit on, no mail leaves until resume(), but for those on their way to the server. Enrolling and '
    'processing go on';

create or replace function marketing_automation.resume() returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from marketing_automation.sending_pause;
    select marketing_automation_internal.notify_mailer();
$$;
comment on function marketing_automation.resume() is 'API: public. Ends a pause()';

create or replace function marketing_automation_internal.pause_note() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select concat_ws(': ', format('sending is paused since %s by %s', to_char(p.since, 'YYYY-MM-DD HH24:MI:SS OF'), p.paused_by), p.reason)
    from marketing_automation.sending_pause p
$$;
comment on function marketing_automation_internal.pause_note() is
    'API: private. What worker_status() says during a pause; null: there is none';

-- functions/bounce_rules.sql
-- Rules by which replies of mail servers and returned mails are judged: what is shipped, and who may say that it is.

create or replace function marketing_automation_internal.bounce_rule_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.check_bounce_rule(new.kind, new.pattern, new.meaning);
    new.is_shipped := new.is_shipped and tg_op = 'INSERT' and marketing_automation_internal.is_extension_script();
    if tg_op = 'INSERT' then
        -- A dump has the rules that were changed; CREATE EXTENSION has just made them as they are shipped.
        delete from marketing_automation.bounce_rule r where r.kind = new.kind and r.pattern = new.pattern and r.is_shipped;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.bounce_rule_validate() is
    'API: private. Rules can be applied; a changed rule is no shipped one, and takes its place when a dump is restored';

create or replace trigger validate before insert or update on marketing_automation.bounce_rule
    for each row execute function marketing_automation_internal.bounce_rule_validate();

-- A rule that was changed is no shipped one any more, and stays; the others become what this version ships.
do $$ begin
    delete from marketing_automation.bounce_rule where is_shipped;
    insert into marketing_automation.bounce_rule (kind, pattern, meaning, note, is_shipped)
    select s.kind, s.pattern, s.meaning, s.note, true from marketing_automation_internal.shipped_bounce_rules() s
    on conflict do nothing;
end $$;

-- functions/bounces.sql
-- What comes back: bounces and complaints, and refusals that say the same at once.

create or replace function marketing_automation_internal.mail_of_bounce(
    return_paths text[], message_ids text[], unsubscribe_tokens text[], under_way boolean
) returns table (message_id bigint, email text, state text)
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    return query
    with mail as materialized (
        -- A signed return path, a Message-ID with the record's random uuid, or the signed token of List-Unsubscribe, which stays
        -- where a relay has rewritten the other two: nobody else can name the mail.
        (select p.record_id, p.activity_id, 0 as kind, u.n
         from unnest(return_paths) with ordinality as u (address, n)
         cross join lateral marketing_automation_internal.verify_return_path(u.address) p)
        union all
        select r.id, i.parts[2]::integer, 1, i.n
        from (select regexp_match(lower(u.id), '^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.(\d{1,9})@') as parts, u.n
              from unnest(message_ids) with ordinality as u (id, n)) i
        join marketing_automation_internal.record r on r.id = marketing_automation.record_id(i.parts[1]::uuid) and r.uuid = i.parts[1]::uuid
        union all
        select v.record_id, v.activity_id, 2, u.n
        from unnest(unsubscribe_tokens) with ordinality as u (token, n)
        cross join lateral marketing_automation_internal.verify_token('unsubscribed', u.token) v
    )
    select m.id, m.email, m.state
    from mail f
    cross join lateral (
        select l.id, l.email, l.state from marketing_automation_internal.message_log l
        where not under_way and l.record_id = f.record_id and l.activity_id = f.activity_id
        union all
        select o.id, o.email, o.state from marketing_automation_internal.outbox o
        where under_way and o.attempts > 0 and o.record_id = f.record_id and o.activity_id = f.activity_id) m
    order by f.kind, f.n limit 1;
end $$;
comment on function marketing_automation_internal.mail_of_bounce(text[], text[], text[], boolean) is
    'API: private. The mail that one of these return paths, Message-IDs or tokens of List-Unsubscribe belongs to, none if they prove '
    'nothing: among those that ended, or those under way';

create or replace function marketing_automation_internal.mark_bounced(message_ids bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    mails record;
    records bigint[];
    activities integer[];
begin
    select l.* into mails from marketing_automation_internal.lock_mails(
        array(select m.record_id from marketing_automation_internal.message_log m
              where m.id = any (message_ids) and m.record_id is not null order by m.id),
        array(select m.activity_id from marketing_automation_internal.message_log m
              where m.id = any (message_ids) and m.record_id is not null order by m.id)) l;
    update marketing_automation_internal.message_log m set state = 'bounced' where m.id = any (message_ids) and m.state = 'sent';
    with bounced as (
        -- One id per mail: it bounces once, however often we are told.
        select md5('email_bounced ' || m.id)::uuid as id, m.record_id, m.activity_id,
            (m.record_id, m.activity_id) in (select * from unnest(mails.held_records, mails.held_activities)) as is_ours
        from marketing_automation_internal.message_log m where m.id = any (message_ids) and m.record_id is not null
    ), noted as (
        -- What another session holds is left to who applies events, as bounces of others must not wait for it.
        insert into marketing_automation_internal.event_inbox (id, occurred_at, kind, record_id, activity_id)
        select b.id, statement_timestamp(), 'email_bounced', b.record_id, b.activity_id from bounced b where not b.is_ours
    ), fresh as (
        insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id)
        select b.id, statement_timestamp(), 'email_bounced', b.record_id, b.activity_id from bounced b where b.is_ours
        on conflict do nothing
        returning event.record_id, event.activity_id
    )
    select array_agg(f.record_id), array_agg(f.activity_id) into records, activities from fresh f;
    if records is not null then
        perform marketing_automation_internal.mark_events(records, activities,
            array_fill('email_bounced'::text, array[cardinality(records)]),
                                                 array_fill(statement_timestamp(), array[cardinality(records)]));
    end if;
end $$;
comment on function marketing_automation_internal.mark_bounced(bigint[]) is
    'API: private. These mails did not arrive: email_bounced starts its children and cancels the opposite ones';

create or replace function marketing_automation_internal.complain(mail_id bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_record marketing_automation_internal.record := marketing_automation_internal.lock_record(
        (select m.record_id from marketing_automation_internal.message_log m where m.id = mail_id));
begin
    insert into marketing_automation_internal.event (id, occurred_at, kind, record_id, activity_id)
    select md5('complained ' || m.id)::uuid, statement_timestamp(), 'complained', m.record_id, m.activity_id
    from marketing_automation_internal.message_log m where m.id = mail_id
    on conflict do nothing;
    if its_record.id is not null then
        perform marketing_automation.block(its_record.uuid);
    end if;
end $$;
comment on function marketing_automation_internal.complain(bigint) is
    'API: private. The recipient of this mail marked it as spam: its record is blocked, as if they had unsubscribed';

create or replace function marketing_automation.ingest_bounce(raw bytea, out kind text, out status text, out message bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    its_digest bytea := sha256(raw);
    report record;
    mail record;
    soft_limit integer := marketing_automation_internal.setting('soft_bounce_limit');
    soft_window interval := marketing_automation_internal.setting('soft_bounce_window');
    softs integer;
begin
    if raw is null or raw = '' then
        raise exception 'raw mail must not be empty' using errcode = 'invalid_parameter_value';
    end if;
    select r.* into report from marketing_automation_internal.parse_bounce(raw) r;
    for round in 1..30 loop
        -- First among those under way: a mail that has left them is found among those that ended, while one that leaves them between
        -- two looks in the other order would be found by neither.
        select m.* into mail from marketing_automation_internal.mail_of_bounce(report.return_paths, report.message_ids,
            report.unsubscribe_tokens, under_way => true) m;
        if not found then
            select m.* into mail from marketing_automation_internal.mail_of_bounce(report.return_paths, report.message_ids,
                report.unsubscribe_tokens, under_way => false) m;
            exit;
        end if;
        -- The next server may have refused it before ours was done, or before we have recorded that; or it was taken and we do not know it.
        exit when mail.state <> 'sending';
        perform pg_sleep(0.1);
    end loop;
    insert into marketing_automation.bounce (digest, received_at, kind, status, diagnostic, message_id, address_hash, raw)
    values (its_digest, statement_timestamp(), report.kind, report.status, case when mail.email is distinct from ''
        then report.diagnostic end, mail.message_id, marketing_automation.address_hash(mail.email),
            case when mail.email = '' then null when report.kind = 'unknown' or mail.message_id is null and report.kind not in ('auto_reply', 'unsubscribe')
                then substring(raw for 65536) end)
    on conflict do nothing;
    if not found then
        select b.kind, b.status, b.message_id into kind, status, message from marketing_automation.bounce b where b.digest = its_digest;
        return;
    end if;
    kind := report.kind;
    status := report.status;
    message := mail.message_id;
    if kind = 'unsubscribe' then
        -- What its signed token may, and no more; also when the mail is kept no longer.
        perform marketing_automation.unsubscribe_by_token(report.unsubscribe_tokens[1], false, null);
    end if;
    if message is null then
        return;
    end if;
    -- The suppression before the mail, as forget() and complaints do.
    if mail.email = '' then
        -- The person has been forgotten, and is suppressed as such.
        null;
    elsif kind = 'hard' then
        perform marketing_automation.suppress(mail.email, 'hard_bounce', report.diagnostic);
    elsif kind = 'soft' and soft_limit > 0 then
        select count(distinct b.message_id) into softs from marketing_automation.bounce b
        where b.kind = 'soft' and b.address_hash = marketing_automation.address_hash(mail.email)
            and b.received_at > statement_timestamp() - soft_window;
        if softs >= soft_limit then
            perform marketing_automation.suppress(mail.email, 'hard_bounce', format('%s soft bounces, the last: %s', softs,
                report.diagnostic));
        end if;
    elsif kind = 'complaint' then
        perform marketing_automation.suppress(mail.email, 'complaint', report.diagnostic);
        perform marketing_automation_internal.complain(message);
    end if;
    if kind in ('hard', 'soft') then
        perform marketing_automation_internal.mark_bounced(array[message]);
    end if;
end $$;
comment on function marketing_automation.ingest_bounce(bytea) is
    'API: public. Takes a raw mail that came back (RFC 3464, RFC 5965, or prose), says what it is (see bounce.kind) and which mail '
    'it is about, null if none was found: hard bounces and complaints suppress the address, so do soft_bounce_limit soft ones within '
    'soft_bounce_window; a complaint blocks the record too. A mail to the address of '
    'List-Unsubscribe unsubscribes as its link does. The same mail twice counts once';

create or replace function marketing_automation_internal.record_dead_mailboxes(message_ids bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    perform marketing_automation.suppress(m.email, 'hard_bounce', m.smtp_reply)
    from marketing_automation_internal.message_log m where m.id = any (message_ids) and m.state = 'failed' and m.email <> '' order by m.id;
    perform marketing_automation_internal.mark_bounced(message_ids);
end $$;
comment on function marketing_automation_internal.record_dead_mailboxes(bigint[]) is
    'API: private. The server refused these failed mails because their mailboxes do not exist: as a hard bounce';

-- functions/servers.sql
-- SMTP servers: who may define them, what they may take, how they are doing.

create or replace function marketing_automation_internal.smtp_server_validate() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Whoever writes here has files read and their first line sent to a host of their choice.
    if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        raise exception 'must be superuser to write marketing_automation.smtp_server' using errcode = 'insufficient_privilege';
    end if;
    if marketing_automation_internal.is_restoring() then
        return new;
    end if;
    perform marketing_automation_internal.check_smtp_url(new.url);
    if new.password_file !~ '^/' then
        raise exception 'password_file of server "%" must be an absolute path', new.name using errcode = 'check_violation';
    end if;
    if new.sender_domain is not null then
        if marketing_automation_internal.address_domain('@' || new.sender_domain) is null then
            raise exception 'sender_domain "%" of server "%" is no domain', new.sender_domain, new.name using errcode = 'check_violation';
        end if;
        new.sender_domain := marketing_automation_internal.address_domain('@' || new.sender_domain);
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.smtp_server_validate() is
    'API: private. Only superusers define servers; the URL can be used, the domain is spelled as addresses are compared';

create or replace trigger validate before insert or update on marketing_automation.smtp_server
    for each row execute function marketing_automation_internal.smtp_server_validate();

create or replace view marketing_automation_internal.smtp_allowance as
select s.name as server, s.per_second, ceil(s.per_second) as burst, s.warmup_started, current_date as today,
       case when u.day = current_date then u.taken else 0 end as taken_today,
       case when s.warmup_started > current_date then 0
            when exists (select from marketing_automation.smtp_warmup w where w.server = s.name and w.day >= d.day)
            then coalesce((select w.mails from marketing_automation.smtp_warmup w where w.server = s.name
                and w.day <= d.day order by w.day desc limit 1), 0)
            end as daily,
       u.tokens + s.per_second * marketing_automation_internal.seconds_of_refill(u.refilled_at) as tokens
from marketing_automation.smtp_server s
left join marketing_automation_internal.smtp_usage u on u.server = s.name
cross join lateral (select current_date - s.warmup_started + 1 as day) d;
comment on view marketing_automation_internal.smtp_allowance is
    'API: private. What each server may take: a token bucket of one second''s mails, null if it was never used, and the mails of the '
    'day, null without a limit';

create or replace function marketing_automation_internal.grant_send_tokens(servers text[], in_hand integer[], wanted integer)
returns table (server text, permits integer, is_spent boolean, wait_seconds double precision)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    insert into marketing_automation_internal.smtp_usage (server) select s.name from unnest(servers) as s (name)
    where not exists (select from marketing_automation_internal.smtp_usage u where u.server = s.name)
    on conflict do nothing;
    perform from marketing_automation_internal.smtp_usage u where u.server = any (servers) order by u.server for update;
    return query
        with asked as materialized (
            select a.server, i.in_hand, a.per_second, a.daily, a.today, a.taken_today,
                   -- Permits in hand have left the bucket, and still count for the burst.
                   least(a.burst, coalesce(a.tokens, a.burst) + i.in_hand) as tokens,
                   a.daily - a.taken_today + i.in_hand as left_today
            from unnest(servers, in_hand) as i (server, in_hand)
            join marketing_automation_internal.smtp_allowance a on a.server = i.server
        ), granted as materialized (
            select a.*, greatest(floor(least(wanted, a.tokens, a.left_today))::integer - a.in_hand, 0) as permits
            from asked a
        ), spent as (
            update marketing_automation_internal.smtp_usage u
            set tokens = g.tokens - g.in_hand - g.permits, refilled_at = statement_timestamp(), day = g.today,
                taken = g.taken_today + g.permits
            from granted g
            where u.server = g.server and g.permits > 0
        )
        select g.server, g.permits, coalesce(g.left_today <= g.in_hand + g.permits, false),
               case when g.left_today <= g.in_hand + g.permits
                   then extract(epoch from g.today + 1 - statement_timestamp())::double precision
                    -- Those of a tenth of a second are worth a claim.
                    when g.per_second is not null then greatest(1, g.per_second / 10) / g.per_second
                    else 0 end
        from granted g;
end $$;
comment on function marketing_automation_internal.grant_send_tokens(text[], integer[], integer) is
    'API: private. Permits for limited servers, so that each has wanted in hand as far as its limits allow; is_spent: the warm-up '
    'allows no more than these today; wait_seconds: how long until there is more. A restart of the mailer loses permits in hand, and '
    'wins none';

create or replace function marketing_automation_internal.report_server(name text, seconds double precision, error text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into marketing_automation_internal.smtp_usage as u (server, paused_until, last_error, last_error_at)
    values (name, statement_timestamp() + make_interval(secs => seconds), error, case when error is not null then statement_timestamp() end)
    on conflict on constraint smtp_usage_pkey do update
    set paused_until = excluded.paused_until, last_error = coalesce(excluded.last_error, u.last_error),
        last_error_at = coalesce(excluded.last_error_at, u.last_error_at);
$$;
comment on function marketing_automation_internal.report_server(text, double precision, text) is
    'API: private. A server is left alone for some seconds, and why; nulls: it answers again';

create or replace view marketing_automation.smtp_server_status as
select s.name, case when not s.enabled then 'disabled' when u.paused_until is not null then 'out of reach' else 'ready' end as state,
       u.paused_until, u.last_error, u.last_error_at, a.taken_today, a.daily as allowed_today
from marketing_automation.smtp_server s
join marketing_automation_internal.smtp_allowance a on a.server = s.name
left join marketing_automation_internal.smtp_usage u on u.server = s.name;
comment on view marketing_automation.smtp_server_status is
    'API: public. How each server is doing: ready, out of reach (probed again at paused_until, its mails go elsewhere meanwhile) or '
    'disabled; its last error; mails it has taken today, and how many the warm-up allows, null: any '
    'number';

-- functions/tracking_keys.sql
-- The keys that sign what mails carry.

create or replace view marketing_automation_internal.valid_tracking_key as
select k.id, k.secret, row_number() over (order by k.created_at desc) as position
from marketing_automation_internal.tracking_key k
where k.valid_until is null or k.valid_until > statement_timestamp();
comment on view marketing_automation_internal.valid_tracking_key is 'API: private. The keys that verify; position 1 signs';

create or replace function marketing_automation.rotate_tracking_key(valid_for interval default null) returns smallint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_id smallint;
begin
    if valid_for < interval '0' then
        raise exception 'valid_for must not be negative, but is %', valid_for using errcode = 'invalid_parameter_value';
    end if;
    -- Two at once would take the same id.
    lock table marketing_automation_internal.tracking_key in share row exclusive mode;
    delete from marketing_automation_internal.tracking_key k where k.valid_until <= clock_timestamp();
    update marketing_automation_internal.tracking_key k
    set valid_until = least(k.valid_until, clock_timestamp() + valid_for)
    where valid_for is not null;
    select i.id into new_id
    from generate_series(0, 255) as i (id)
    where not exists (select from marketing_automation_internal.tracking_key k where k.id = i.id)
    -- Not one that was in use just now, of which proxies may still have the old secret.
    order by i.id < coalesce((select k.id from marketing_automation_internal.tracking_key k order by k.created_at desc limit 1), 0), i.id
    limit 1;
    if not found then
        raise exception 'all 256 tracking keys are in use' using errcode = 'configuration_limit_exceeded',
            hint = 'Set valid_until of old ones in marketing_automation_internal.tracking_key; those that have ended make room.';
    end if;
    insert into marketing_automation_internal.tracking_key (id, secret, created_at)
    values (new_id,
            -- Two random uuids hashed: 244 bits from the server's strong random source (PostgreSQL has no random bytes of its own).
            sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')),
            -- The newest signs, even if the clock was set back.
            greatest(clock_timestamp(), (select max(k.created_at) + interval '1 microsecond'
                from marketing_automation_internal.tracking_key k)));
    return new_id;
end $$;
comment on function marketing_automation.rotate_tracking_key(interval) is
    'API: public. Makes a new key, with which the links of mails are signed from then on (the mailer notices within a minute), and '
    'returns its id. Links signed with the old keys work for valid_for more; null: for ever. 0 ends them at once, as is needed only '
    'when a secret has leaked';

create or replace function marketing_automation_internal.restore_tracking_key() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Between CREATE EXTENSION and the rows of a dump a mailer may have made a key of its own, with which nothing was signed. Without
    -- those of the dump, the links of all mails that were ever sent would be dead.
    if marketing_automation_internal.is_restoring() then
        delete from marketing_automation_internal.tracking_key k where k.id = new.id;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.restore_tracking_key() is
    'API: private. Trigger: a key of a dump takes the place of one that the new database has made';

create or replace trigger restore before insert on marketing_automation_internal.tracking_key
    for each row execute function marketing_automation_internal.restore_tracking_key();

create or replace function marketing_automation.tracking_keys() returns table (id smallint, secret bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from marketing_automation_internal.valid_tracking_key) then
        -- Two at once: the second waits here, and then has a second key, which does no harm.
        perform marketing_automation.rotate_tracking_key();
    end if;
    return query select k.id, k.secret from marketing_automation_internal.valid_tracking_key k order by k.position;
end $$;
comment on function marketing_automation.tracking_keys() is
    'API: proxy. Keys that sign and verify tracking tokens, the signing one first; makes one where there is none, or all have ended';

-- functions/schedule.sql
-- pg_cron, where it is installed, drives enrolling and processing. It is no dependency: it may live in another database or not at all.
-- Jobs belong to who calls, so these are functions of the invoker.

create or replace function marketing_automation.require_pg_cron(instead text) returns void
-- The setting is not everybody's to read.
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- Not current_setting(), which raises where the owner of the extension is no superuser any more.
    home text := (select s.setting from pg_settings s where s.name = 'cron.database_name');
begin
    if exists (select from pg_extension where extname = 'pg_cron') then
        return;
    end if;
    if home <> current_database() then
        raise exception 'pg_cron is not in this database'
            using errcode = 'object_not_in_prerequisite_state',
                  detail = format('The setting cron.database_name says that it lives in "%s".', home),
                  hint = format(E'Connect to that database and run:\n%s', instead);
    end if;
    raise exception 'pg_cron is not installed'
        using errcode = 'object_not_in_prerequisite_state',
              hint = case when home is null
                  then 'Add pg_cron to shared_preload_libraries, set cron.database_name, restart, and run CREATE EXTENSION pg_cron. '
                       'Or let any other scheduler call marketing_automation.enroll_all() and marketing_automation.process_all_due().'
                  else 'Run CREATE EXTENSION pg_cron.' end;
end $$;
comment on function marketing_automation.require_pg_cron(text) is
    'API: public. Raises unless pg_cron is in this database. instead: statements for the hint, to run in the database where it is';

create or replace function marketing_automation.schedule_jobs(enroll text default '* * * * *', process text default '* * * * *')
returns table (job text, schedule text, command text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- A job outlives the extension, of which it is no part.
    guarded constant text := 'do $do$ begin if exists (select from pg_extension where extname = ''marketing_automation'') then %s; '
        'elsif to_regclass(''cron.job'') is not null then perform cron.unschedule(%L); end if; end $do$';
    names text[] := array[format('marketing_automation enroll %s', current_database()),
        format('marketing_automation process %s', current_database())];
    jobs text[] := array[
        [names[1], enroll, format(guarded, 'call marketing_automation.enroll_all()', names[1])],
        [names[2], process, format(guarded, 'call marketing_automation.process_all_due()', names[2])]];
begin
    perform marketing_automation.require_pg_cron((
        select string_agg(format('select cron.schedule_in_database(%L, %L, %L, %L);', jobs[i][1], jobs[i][2], jobs[i][3],
            current_database()), E'\n' order by i)
        from generate_subscripts(jobs, 1) i));
    for i in 1 .. 2 loop
        job := jobs[i][1];
        schedule := jobs[i][2];
        command := jobs[i][3];
        perform cron.schedule(job, schedule, command);
        return next;
    end loop;
end $$;
comment on function marketing_automation.schedule_jobs(text, text) is
    'API: public. Creates or replaces the two pg_cron jobs of this database, run as the current user. enroll, process: cron '
    'schedules. Without pg_cron here, the error says what to run where';

create or replace function marketing_automation.unschedule_jobs() returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    jobs text[] := array[format('marketing_automation enroll %s', current_database()),
        format('marketing_automation process %s', current_database())];
begin
    perform marketing_automation.require_pg_cron((select string_agg(format('select cron.unschedule(%L);', j), E'\n') from unnest(jobs) j));
    return (select count(cron.unschedule(c.jobid)) from cron.job c where c.jobname = any (jobs) and c.username = current_user);
end $$;
comment on function marketing_automation.unschedule_jobs() is
    'API: public. Removes the current user''s two pg_cron jobs of this database and returns how many there were';

-- functions/preview.sql
-- Trying a mail out before it goes to customers: for members of the scenario's owner, who may read its rows anyway.

create or replace function marketing_automation_internal.demand_member(caller regrole, scenario marketing_automation.scenario, purpose text)
    returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not pg_has_role(caller, scenario.owner_id, 'MEMBER') then
        raise exception 'must be a member of role % to % scenario "%"', scenario.owner, purpose, scenario.name
            using errcode = 'insufficient_privilege', hint = 'Its rows are read with the rights of that role.';
    end if;
end $$;
comment on function marketing_automation_internal.demand_member(regrole, marketing_automation.scenario, text) is
    'API: private. Raises unless a role is a member of a scenario''s owner, and so may read its rows anyway';

create or replace function marketing_automation_internal.mailed_activity(caller regrole, scenario text, activity text)
    returns marketing_automation.activity
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    its_scenario marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
    result marketing_automation.activity;
begin
    select a.* into strict result from marketing_automation.activity a
        where a.id = marketing_automation_internal.activity_named(its_scenario, activity);
    if result.action is distinct from 'send_email' then
        raise exception 'activity "%" sends no e-mail', activity using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform marketing_automation_internal.demand_member(caller, its_scenario, 'see mails of');
    return result;
end $$;
comment on function marketing_automation_internal.mailed_activity(regrole, text, text) is
    'API: private. The activity of that name that sends an e-mail, for members of its scenario''s owner; else an error';

create or replace function marketing_automation_internal.mail_row(activity marketing_automation.activity, key text)
returns table (row_key text, context jsonb, party text, email text, recipient_name text, language text, time_zone text,
    track_opens boolean, track_clicks boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    scenario marketing_automation.scenario;
    model marketing_automation.model;
begin
    select s.* into strict scenario from marketing_automation.scenario s where s.id = activity.scenario_id;
    model := marketing_automation_internal.usable_model(scenario);
    for row_key, context, party, email, recipient_name, language, time_zone, track_opens, track_clicks in
        select q.row_key, q.context, q.party, q.email, q.recipient_name, q.language,
               case when q.time_zone is not null then marketing_automation_internal.usable_time_zone(q.time_zone) end,
               q.track_opens and scenario.track_opens, q.track_clicks and scenario.track_clicks
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
                marketing_automation_internal.as_key(model.key, model.key_type),
                marketing_automation_internal.as_record(model.relation, marketing_automation_internal.mail_columns(activity.id)),
                marketing_automation_internal.as_text(model.party),
                marketing_automation_internal.as_text(model.email), marketing_automation_internal.as_text(model.recipient_name),
                marketing_automation_internal.as_text(model.language), marketing_automation_internal.as_text(model.time_zone),
                marketing_automation_internal.as_condition(model.track_opens),
                    marketing_automation_internal.as_condition(model.track_clicks))),
            array[key]) as q (row_key text, context jsonb, party text, email text, recipient_name text, language text, time_zone text,
                              track_opens boolean, track_clicks boolean)
    loop
        if jsonb_typeof(context) = 'string' then
            raise exception '%', context #>> '{}' using errcode = 'program_limit_exceeded',
                hint = 'Use a shorter column in the templates, or one of a view that shows a part of it.';
        end if;
        return next;
    end loop;
    if not found then
        raise exception 'model "%" has no row with the key "%"', model.name, key
            using errcode = 'no_data_found', hint = format('The key is %s of %s.', model.key, model.relation);
    end if;
end $$;
comment on function marketing_automation_internal.mail_row(marketing_automation.activity, text) is
    'API: private. What an activity''s templates need of one row, read as its scenario''s owner; an error if there is none';

create or replace function marketing_automation_internal.try_mails(scenario marketing_automation.scenario) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    activity marketing_automation.activity;
    its_key text;
    its_row record;
    message text;
    detail text;
begin
    begin
        select q.key into its_key from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            format('select %s from %s as self where trim(%s) <> %L limit 1', marketing_automation_internal.as_text(model.key),
                model.relation, marketing_automation_internal.as_text(model.email), ''), null) as q (key text);
    exception when others then
        -- The fault of a row, which its activity will tell.
        return;
    end;
    for activity in
        select a.* from marketing_automation.activity a
        where a.scenario_id = scenario.id and a.action = 'send_email' and its_key is not null order by a.id
    loop
        begin
            select r.* into its_row from marketing_automation_internal.mail_row(activity, its_key) r;
        exception when others then
            return;
        end;
        begin
            perform from marketing_automation_internal.render_preview(activity.id, its_row.context, its_row.party,
                nullif(trim(its_row.email), ''), its_row.recipient_name, its_row.language, its_row.time_zone, its_row.track_opens) p;
        exception when others then
            get stacked diagnostics message = message_text, detail = pg_exception_detail;
            if not marketing_automation_internal.is_passing_error(sqlstate) then
                message := coalesce(nullif(detail, ''), message);
            end if;
            -- It is logged, too, and the log has no addresses: not in what was rendered, nor as a key.
            raise warning 'mails of activity "%" may fail: %', activity.name, regexp_replace(message, '"[^"]*@[^"]*"', '"…"', 'g')
                using detail = case when its_key !~ '@' then format('That of the row with the key "%s" would.', its_key)
                          else 'That of the first row with an address would.' end,
                      hint = case when its_key !~ '@'
                          then format('select * from marketing_automation.preview(%L, %L, %L);', scenario.name, activity.name, its_key)
                          else format('select * from marketing_automation.check_scenario(%L);', scenario.name) end;
        end;
    end loop;
end $$;
comment on function marketing_automation_internal.try_mails(marketing_automation.scenario) is
    'API: private. Renders the mails of a scenario for one row that has an address, and warns of what fails';

create or replace function marketing_automation_internal.mails_without_way_out(scenario_id integer) returns text[]
language sql set search_path = pg_catalog, pg_temp as $$
    with recursive part as (
        select a.id, '' as language, a.name as mail, a.body
        from marketing_automation.activity a
        cross join lateral marketing_automation_internal.its_class(a) k
        where a.scenario_id = mails_without_way_out.scenario_id and a.action = 'send_email' and k.honors_unsubscribe
        union
        select a.id, t.language, format('%s (%s)', a.name, t.language), t.body
        from marketing_automation.activity_translation t
        join marketing_automation.activity a on a.id = t.activity_id and a.scenario_id = mails_without_way_out.scenario_id
            and a.action = 'send_email'
        cross join lateral marketing_automation_internal.its_class(a) k
        where t.body is not null and k.honors_unsubscribe
        union
        select p.id, p.language, p.mail, s.body
        from part p cross join unnest(marketing_automation_internal.used_snippets(null, null, p.body)) as u (name)
        join marketing_automation.snippet s on s.name = u.name
    )
    select array_agg(m.mail order by m.id, m.language) from (
        select p.id, p.language, p.mail from part p group by p.id, p.language, p.mail
        having not bool_or(p.body ~* 'href\s*=\s*["'']?\s*unsubscribe\s*[|"''> ]' or p.body ~ '\munsubscribe_url\M')) m
$$;
comment on function marketing_automation_internal.mails_without_way_out(integer) is
    'API: private. Activities of a scenario, and translations, whose mails have no link to unsubscribe, nor a snippet that has, of '
    'classes that one unsubscribes from; null: none';

create or replace function marketing_automation_internal.warn_of_no_way_out(scenario marketing_automation.scenario) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    mails text[];
begin
    -- Who has no proxy yet cannot link to it; and what nobody can leave needs no way out.
    if not scenario.unsubscribable and coalesce(marketing_automation_internal.setting('automation_base'), '') = '' then
        return;
    end if;
    mails := marketing_automation_internal.mails_without_way_out(scenario.id);
    if mails is not null then
        raise warning 'mails of scenario "%" have no link to unsubscribe: %', scenario.name, array_to_string(mails, ', ')
            using hint = 'Write <a href="unsubscribe">…</a> into the body. Of itself a mail offers it only in its headers.';
    end if;
end $$;
comment on function marketing_automation_internal.warn_of_no_way_out(marketing_automation.scenario) is
    'API: private. Warns of mails without a link to unsubscribe, of a scenario that can be left';

create or replace function marketing_automation_internal.send_test(caller regrole, scenario text, activity text, key text, to_address text,
    language text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_activity marketing_automation.activity := marketing_automation_internal.mailed_activity(caller, scenario, activity);
    its_id bigint;
begin
    perform marketing_automation_internal.check_address(to_address);
    insert into marketing_automation_internal.outbox
        (id, record_id, activity_id, key, party, email, recipient_name, language, time_zone, context, track_opens, track_clicks,
            created_at, due_at)
    select nextval('marketing_automation_internal.message_id_seq'), null, its_activity.id, r.row_key, r.party, trim(to_address),
        r.recipient_name,
           coalesce(send_test.language, r.language), r.time_zone, r.context, r.track_opens, r.track_clicks, clock_timestamp(),
               clock_timestamp()
    from marketing_automation_internal.mail_row(its_activity, key) r
    returning id into its_id;
    perform marketing_automation_internal.notify_mailer();
    return its_id;
end $$;
comment on function marketing_automation_internal.send_test(regrole, text, text, text, text, text) is 'API: private. Behind send_test()';

create or replace function marketing_automation.send_test(scenario text, activity text, key text, to_address text, language text default null)
    returns bigint
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.send_test(text, text, text, text, text) is
    'API: public. Sends the mail that an activity would send for the row with this key to to_address instead, its subject marked '
    '[Test]; returns the id of the message. The scenario need not run, the row need not have entered. It counts nowhere: its links '
    'work, and what is done with them is not recorded. language: instead of the row''s. For members of the scenario''s owner';

create or replace function marketing_automation_internal.preview(caller regrole, scenario text, activity text, key text, language text)
returns table (sender text, subject text, html text, text text, headers text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_activity marketing_automation.activity := marketing_automation_internal.mailed_activity(caller, scenario, activity);
begin
    return query
        select p.*
        from marketing_automation_internal.mail_row(its_activity, key) r
        cross join lateral marketing_automation_internal.render_preview(
            its_activity.id, r.context, r.party, nullif(trim(r.email), ''), r.recipient_name, coalesce(preview.language, r.language),
                r.time_zone, r.track_opens) p;
end $$;
comment on function marketing_automation_internal.preview(regrole, text, text, text, text) is 'API: private. Behind preview()';

create or replace function marketing_automation.preview(scenario text, activity text, key text, language text default null)
returns table (sender text, subject text, html text, text text, headers text)
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.preview(text, text, text, text) is
    'API: public. The mail that an activity would send now for the row with this key, entered or not: sender, subject, HTML, plain '
    'text and the header lines of the message. Nothing is stored: links are shown as they were written. language: instead of the '
    'row''s. For members of the scenario''s owner';

-- functions/check_scenario.sql
-- What is wrong with a campaign, or may be, before it sends: its definition is planned, and its mails are rendered for some rows.

create or replace function marketing_automation_internal.mail_faults(subject text, html text, plain text)
    returns table (severity text, message text, hint text)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    with link as (
        select l.part[1] as url, regexp_replace(l.part[2], '<[^>]*>', '', 'g') as label
        from regexp_matches(html, '<a\s[^<>]*?href\s*=\s*["'']([^"''<>]*)["''][^<>]*>(.*?)</a\s*>', 'gis') as l (part)
    ), fault as (
        select 'error' as severity, 'its subject is empty' as message, 'Write one that says something for every row.' as hint
        where trim(subject) = ''
        union all
        select 'warning', 'its text part is empty', 'Who reads without HTML sees nothing: write some text, pictures alone are none.'
        where trim(plain) = ''
        union all
        select 'warning', format('its HTML has %s kB, more than 102', octet_length(html) / 1000),
            'Gmail shows the beginning only, often without the link to unsubscribe: shorten it.'
        where octet_length(html) > 102400
        union all
        select 'warning', format('%s picture%s without alt', count(*), case when count(*) = 1 then '' else 's' end),
            'Write alt="…", or alt="" for a decoration: most people see the text first, some nothing else.'
        from regexp_matches(html, '<img(?=[\s/>])(?![^<>]*\salt\s*=)[^<>]*>', 'gi') i having count(*) > 0
        union all
        select distinct 'warning', format('link to %s', coalesce(nullif(quote_literal(trim(l.url)), ''''''), 'nothing')),
            'It leads nowhere: write the whole address, https://….'
        from link l where trim(l.url) in ('', '#') or l.url !~* '^\s*((https?|mailto|tel|sms|geo|webcal|cid):|unsubscribe\s*$|#)'
        union all
        select distinct 'warning', format('link to %s', quote_literal(substring(l.url from '^[^?#]*'))),
            'Recipients do not reach this address from where they are.'
        from link l
        where l.url ~* '^https?://([^/@]*@)?(localhost|127\.[0-9.]+|10\.[0-9.]+|192\.168\.[0-9.]+|\[::1\]|[^/:?#]*\.(local|localhost|test|invalid))([/:?#]|$)'
        union all
        select distinct 'hint', format('link to %s without encryption', quote_literal(substring(l.url from '^[^?#]*'))),
            'Write https:// where the site has it.'
        from link l where l.url ~* '^http://'
        union all
        select distinct 'warning', format('a link that shows %s leads to %s', shown.host, target.host),
            'Filters and careful readers take it for phishing: show words, or the address itself.'
        from link l
        cross join lateral (select lower(substring(l.label from '^\s*(?:[hH][tT][tT][pP][sS]?://|[wW][wW][wW]\.)([^/\s?#:]+)')) as host) shown
        cross join lateral (select lower(substring(l.url from '^[hH][tT][tT][pP][sS]?://([^/\s?#:]+)')) as host) target
        where regexp_replace(shown.host, '^www\.', '') <> regexp_replace(target.host, '^www\.', '')
        union all
        select 'warning', format('it shows %s', quote_literal(left(m.part[1], 40))), 
            'Perhaps a placeholder of another program: values are written {{ record.name }}.'
        from regexp_matches(subject || E'\n' || plain, '(\{\{[^}\n]*\}\}|\*\|[A-Z_:]+\|\*|%%[A-Za-z_]+%%|%recipient\.[a-z_]+%)') as m (part)
    )
    select f.severity, f.message, f.hint from fault f
$$;
comment on function marketing_automation_internal.mail_faults(text, text, text) is
    'API: private. What may be wrong with a mail as it is rendered: severity error, warning or hint';

create or replace function marketing_automation_internal.rows_to_try(scenario marketing_automation.scenario, wanted integer) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    keys text[];
    domain text;
begin
    -- Those who would enter, else anybody who has an address.
    foreach domain in array array[scenario.domain, 'true'] loop
        select array_agg(q.key) into keys from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            format(E'select %s from %s as self where (%s\n) and trim(%s) <> %L limit %s',
                marketing_automation_internal.as_text(model.key), model.relation, domain,
                marketing_automation_internal.as_text(model.email), '', wanted), null) as q (key text);
        exit when keys is not null;
    end loop;
    return coalesce(keys, '{}');
end $$;
comment on function marketing_automation_internal.rows_to_try(marketing_automation.scenario, integer) is
    'API: private. Keys of some rows with an address that its domain matches, else of any';

create or replace function marketing_automation_internal.check_mail(scenario marketing_automation.scenario, activity marketing_automation.activity,
    language text, keys text[]) returns table (severity text, message text, hint text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_key text;
    its_row record;
    mail record;
    -- Of each fault: for which row first, and for how many.
    faults jsonb := '{}';
    fault record;
    reason text;
    detail text;
begin
    foreach its_key in array keys loop
        begin
            select r.* into its_row from marketing_automation_internal.mail_row(activity, its_key) r;
            select p.* into mail from marketing_automation_internal.render_preview(activity.id, its_row.context, its_row.party,
                nullif(trim(its_row.email), ''), its_row.recipient_name, coalesce(check_mail.language, its_row.language), its_row.time_zone,
                its_row.track_opens) p;
            for fault in select f.* from marketing_automation_internal.mail_faults(mail.subject, mail.html, mail.text) f loop
                faults := jsonb_set(faults, array[fault.message], jsonb_build_object('severity', fault.severity, 'hint', fault.hint,
                    'key', coalesce(faults -> fault.message ->> 'key', its_key),
                    'rows', coalesce((faults -> fault.message ->> 'rows')::integer, 0) + 1));
            end loop;
        exception when others then
            if marketing_automation_internal.is_for_the_caller(sqlstate) then
                raise;
            end if;
            get stacked diagnostics reason = message_text, detail = pg_exception_detail;
            reason := 'it cannot be made: ' || case when marketing_automation_internal.is_passing_error(sqlstate) then reason else coalesce(nullif(detail, ''), reason) end;
            faults := jsonb_set(faults, array[reason], jsonb_build_object('severity', 'error',
                'hint', format('select * from marketing_automation.preview(%L, %L, %L);', scenario.name, activity.name, its_key),
                'key', coalesce(faults -> reason ->> 'key', its_key), 'rows', coalesce((faults -> reason ->> 'rows')::integer, 0) + 1));
        end;
    end loop;
    return query
        select f.value ->> 'severity',
            f.key || case when (f.value ->> 'rows')::integer < cardinality(keys)
                then format(' (%s of %s rows, such as that with the key "%s")', f.value ->> 'rows', cardinality(keys), f.value ->> 'key') else '' end,
            f.value ->> 'hint'
        from jsonb_each(faults) f;
end $$;
comment on function marketing_automation_internal.check_mail(marketing_automation.scenario, marketing_automation.activity, text, text[]) is
    'API: private. What is wrong with the mail of an activity, rendered for some rows, in a language (null: that of each row)';

create or replace function marketing_automation_internal.check_entering_again(scenario marketing_automation.scenario, keys text[])
    returns table (severity text, message text, hint text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(scenario);
    waiting bigint := (select s.without_occasion from marketing_automation.scenario_status s where s.scenario_id = scenario.id);
    absent bigint;
begin
    if scenario.occasion is null then
        return query select 'warning', 'rows enter again within an hour of the end of their journey, as long as the domain is true for them',
            format('update marketing_automation.scenario set reenter_after = ''30 days'' where name = %L;', scenario.name)
        where scenario.reenter_after < interval '1 hour';
        return;
    end if;
    begin
        select count(*) into absent from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                marketing_automation_internal.as_occasion(scenario.occasion)), keys) as q (occasion text) where q.occasion is null;
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        return query select 'error', format('its occasion raises an error for some row: %s', sqlerrm),
            format('update marketing_automation.scenario set occasion = … where name = %L;', scenario.name);
        return;
    end;
    return query select 'warning', case when waiting > 0 then format('at the last run %s row%s without an occasion: they wait', waiting,
                case waiting when 1 then ' was' else 's were' end)
            else format('%s of %s rows have no occasion: they wait until it is not null', absent, cardinality(keys)) end,
        'Leave them out by the domain, or give each an occasion: coalesce(…).'
    where waiting > 0 or absent > 0;
end $$;
comment on function marketing_automation_internal.check_entering_again(marketing_automation.scenario, text[]) is
    'API: private. What may be wrong with the way in which rows enter a scenario again, asked of some rows by their keys';

create or replace function marketing_automation_internal.check_scenario(caller regrole, scenario text)
    returns table (severity text, activity text, language text, message text, hint text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(check_scenario.scenario);
    most constant integer := 10;
    reason text;
    keys text[];
begin
    perform marketing_automation_internal.demand_member(caller, chosen, 'check');
    -- All that is asked of the rows, and what is computed when it is planned, has the time of one turn.
    perform marketing_automation_internal.begin_turn();
    reason := marketing_automation_internal.definition_error(chosen);
    if reason is not null then
        perform marketing_automation_internal.end_turn();
        return query select 'error', null::text, null::text, reason,
            format('Mend it, then: select * from marketing_automation.check_scenario(%L);', chosen.name);
        return;
    end if;
    begin
        keys := marketing_automation_internal.rows_to_try(chosen, most);
    exception when others then
        if marketing_automation_internal.is_for_the_caller(sqlstate) then
            raise;
        end if;
        perform marketing_automation_internal.end_turn();
        return query select 'error', null::text, null::text, format('its rows cannot be read: %s', sqlerrm),
            format('select * from marketing_automation.record_count(%L);', chosen.name);
        return;
    end;
    return query
    with mail as materialized (
        select a as activity from marketing_automation.activity a where a.scenario_id = chosen.id and a.action = 'send_email'
    ), languages as (
        -- Each mail in the language of each row, and in all languages that any mail of the scenario is translated into.
        select null::text as language
        union
        select t.language from mail m join marketing_automation.activity_translation t on t.activity_id = (m.activity).id
    ), found as (
        select f.severity, (m.activity).id as activity_id, (m.activity).name as activity, l.language, f.message, f.hint
        from mail m cross join languages l
        cross join lateral marketing_automation_internal.check_mail(chosen, m.activity, l.language, keys) f
        union all
        select 'warning', (m.activity).id, (m.activity).name, l.language, 'it is not translated',
            'insert into marketing_automation.activity_translation (activity_id, language, subject, body) values (…);'
        from mail m join languages l on l.language is not null and l.language <> chosen.language
        where not exists (select from marketing_automation.activity_translation t
            where t.activity_id = (m.activity).id and t.language = l.language)
        union all
        select case when chosen.unsubscribable then 'warning' else 'hint' end, null, u.mail, null, 'it has no link to unsubscribe',
            'Write <a href="unsubscribe">…</a> into the body. Of itself a mail offers it only in its headers.'
        from unnest(marketing_automation_internal.mails_without_way_out(chosen.id)) u (mail)
        union all
        select 'warning', null, null, null, 'it has no activity: nobody enters', format(
            'select marketing_automation.add_activity(%L, ''hello'', subject => ''…'', body => ''…'');', chosen.name)
        where not exists (select from marketing_automation.activity a where a.scenario_id = chosen.id)
        union all
        select 'hint', a.id, a.name, null, 'it runs at once for who enters after its date', format('update marketing_automation.activity '
            'set expires_after = ''2 days'' where id = %s; -- too late after that', a.id)
        from marketing_automation.activity a where a.scenario_id = chosen.id and a.at is not null and a.expires_after is null
        union all
        select 'warning', a.id, a.name, null, 'its delay may be over when the anniversary is that of the next year: then it never runs',
            'Give anniversary() a longer lasts than the delay.'
        from marketing_automation.activity a
        where a.scenario_id = chosen.id and a.at ~* 'anniversary' and a.at !~* 'lasts' and a.delay >= interval '12 hours'
        union all
        select g.severity, null, null, null, g.message, g.hint from marketing_automation_internal.check_entering_again(chosen, keys) g
        union all
        select b.severity, b.activity_id, b.activity, null, b.message, b.hint
        from marketing_automation_internal.branch_faults(chosen.id) b
        union all
        select 'hint', null, null, null, 'no row has an address: no mail was tried', 'Its mails are tried for rows of the model.'
        where keys = '{}' and exists (select from mail)
        union all
        select 'hint', null, null, null, 'opens and clicks are not recorded, and no mail can be left by a link',
            'alter system set marketing_automation.automation_base = ''https://…''; select pg_reload_conf();'
        where coalesce(marketing_automation_internal.setting('automation_base'), '') = '' and exists (select from mail)
        union all
        select 'error', s.last_error_activity_id, a.name, null, s.last_error, format('Since %s.', s.last_error_at)
        from marketing_automation.scenario_status s left join marketing_automation.activity a on a.id = s.last_error_activity_id
        where s.scenario_id = chosen.id and s.last_error is not null
    )
    -- What is so whatever the language is said once.
    select f.severity, f.activity, f.language, f.message, f.hint from found f
    where f.language is null or not exists (
        select from found o where o.language is null and o.activity_id = f.activity_id and o.message = f.message)
    order by array_position(array['error', 'warning', 'hint'], f.severity), f.activity_id nulls first, f.activity, f.language nulls first, f.message;
    perform marketing_automation_internal.end_turn();
end $$;
comment on function marketing_automation_internal.check_scenario(regrole, text) is 'API: private. Behind check_scenario()';

create or replace function marketing_automation.check_scenario(scenario text)
    returns table (severity text, activity text, language text, message text, hint text)
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.check_scenario(text) is
    'API: public. What is wrong with a scenario (error), probably is (warning), or could be better (hint), before it sends: its '
    'expressions are planned, its mails rendered for ten rows, in their languages and in all that it is translated into. No row: nothing '
    'was found. Sends and changes nothing. For members of the scenario''s owner';

-- functions/export_scenario.sql
-- Scenarios as JSON: kept with the shop's code, compared, taken from one server to another, copied. These functions run as their caller,
-- like the statements that he could write himself: policies and triggers decide what he may see and change.

create or replace function marketing_automation.export_scenario(scenario text) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    its_id integer := marketing_automation.scenario_id(scenario);
    result jsonb;
begin
    with recursive node as (
        select a.id, array[a.id] as path from marketing_automation.activity a where a.scenario_id = its_id and a.parent_id is null
        union all
        select a.id, n.path || a.id from node n join marketing_automation.activity a on a.parent_id = n.id
    )
    select jsonb_build_object('format', 1,
        'scenario', to_jsonb(s) - array['id', 'state', 'owner', 'owner_id', 'created_at'],
        'model', (select to_jsonb(m) - array['owner', 'owner_id', 'key_type'] from marketing_automation.model m where m.name = s.model),
        'activities', coalesce((
            select jsonb_agg(to_jsonb(a) - array['id', 'scenario_id', 'parent_id', 'version']
                || jsonb_build_object('parent', p.name, 'translations', coalesce((
                    select jsonb_agg(to_jsonb(t) - 'activity_id' order by t.language)
                    from marketing_automation.activity_translation t where t.activity_id = a.id), '[]')) order by n.path)
            from node n join marketing_automation.activity a on a.id = n.id
            left join marketing_automation.activity p on p.id = a.parent_id), '[]'))
    into result from marketing_automation.scenario s where s.id = its_id;
    -- Who sees only its numbers does not see its row.
    if result is null then
        raise exception 'must be a member of the owner of scenario "%"', scenario using errcode = 'insufficient_privilege';
    end if;
    return result;
end $$;
comment on function marketing_automation.export_scenario(text) is
    'API: public. The definition of a scenario as JSON: itself, its activities in the order of the tree, their translations, and, to be '
    'compared with, its model. Without ids, owner and state, so that the same scenario is the same text on every server; see '
    'import_scenario(). jsonb_pretty() makes a file of it';

create or replace function marketing_automation.import_scenario(definition jsonb, name text default null, dry_run boolean default false)
    returns table (change text, object text, attribute text, before text, after text)
language plpgsql set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
#variable_conflict use_column
declare
    wanted constant jsonb := definition -> 'scenario';
    its_name constant text := coalesce(import_scenario.name, wanted ->> 'name');
    its_model constant text := wanted ->> 'model';
    its_id integer;
    item record;
    identity jsonb;
    attributes jsonb;
    present jsonb;
    own text[];
    changed text[];
    id_of_activity integer;
    changes jsonb := '[]';
begin
    if jsonb_typeof(definition) is distinct from 'object' or definition ->> 'format' is distinct from '1'
        or jsonb_typeof(wanted) is distinct from 'object' or coalesce(its_name, '') = ''
        or jsonb_typeof(definition -> 'activities') is distinct from 'array'
        or exists (select from jsonb_array_elements(definition -> 'activities') a
            where jsonb_typeof(a) <> 'object' or coalesce(a ->> 'name', '') = ''
               or jsonb_typeof(coalesce(a -> 'translations', '[]')) <> 'array')
    then
        raise exception 'this is no definition of a scenario' using errcode = 'invalid_parameter_value',
            detail = 'It is an object with "format": 1, an object "scenario" that has a name, and an array "activities", each with a name.',
            hint = 'select marketing_automation.export_scenario(name) makes one.';
    end if;
    if exists (select from jsonb_array_elements(definition -> 'activities') a group by a ->> 'name' having count(*) > 1)
        or exists (select from jsonb_array_elements(definition -> 'activities') a
            cross join lateral jsonb_array_elements(coalesce(a -> 'translations', '[]')) t
            group by a ->> 'name', t ->> 'language' having count(*) > 1 or coalesce(t ->> 'language', '') = '')
    then
        raise exception 'a definition says once what an activity is, and once what it is in a language' using errcode = 'invalid_parameter_value',
            detail = 'Two activities have one name, two translations of one have one language, or a translation has none.';
    end if;
    if not exists (select from marketing_automation.model m where m.name = its_model) then
        raise exception 'model "%" does not exist here', its_model using errcode = 'undefined_object',
            hint = coalesce((select format('select marketing_automation.register_model(%L, %L%s);', its_model, definition -> 'model' ->> 'relation',
                    string_agg(format(', %I => %L', m.key, m.value), '' order by m.key))
                from jsonb_each_text(case when jsonb_typeof(definition -> 'model') = 'object' then definition -> 'model' else '{}' end) m
                where m.key not in ('name', 'relation') and m.value is not null
                having definition #>> '{model,relation}' is not null and count(*) > 0),
                'See: select name from marketing_automation.model;');
    end if;
    begin
        for item in
            select 0 as n, 0::bigint as of, 'marketing_automation.scenario'::regclass as relation, format('scenario "%s"', its_name) as object,
                array['id', 'state', 'owner', 'owner_id', 'created_at'] as fixed, null::text as activity, null::text as parent, false as names_parent,
                wanted || jsonb_build_object('name', its_name) as attributes
            union all
            select 1, a.n, 'marketing_automation.activity'::regclass, format('activity "%s"', a.part ->> 'name'),
                array['id', 'scenario_id', 'parent_id', 'version'], a.part ->> 'name', a.part ->> 'parent', a.part ? 'parent',
                a.part - array['parent', 'translations']
            from jsonb_array_elements(definition -> 'activities') with ordinality a (part, n)
            union all
            select 2, a.n, 'marketing_automation.activity_translation'::regclass,
                format('activity "%s" in language "%s"', a.part ->> 'name', t ->> 'language'), array['activity_id'], a.part ->> 'name', null, false, t
            from jsonb_array_elements(definition -> 'activities') with ordinality a (part, n)
            cross join lateral jsonb_array_elements(coalesce(a.part -> 'translations', '[]')) t
            order by 1, 2
        loop
            own := array(select c.attname from pg_attribute c where c.attrelid = item.relation and c.attnum > 0 and not c.attisdropped
                and c.attname <> all (item.fixed) order by c.attnum);
            if exists (select from jsonb_object_keys(item.attributes) k where k <> all (own)) then
                raise exception '% has no attribute "%" here', item.object,
                    (select k from jsonb_object_keys(item.attributes) k where k <> all (own) order by 1 limit 1)
                    using errcode = 'undefined_column', hint = format('It has: %s.', array_to_string(own, ', '));
            end if;
            attributes := item.attributes;
            -- By what it is found, which is also what a new row is given besides.
            identity := case item.n when 0 then jsonb_build_object('name', its_name)
                when 1 then jsonb_build_object('scenario_id', its_id, 'name', item.activity) else null end;
            if item.n = 1 then
                select a.id into id_of_activity from marketing_automation.activity a where a.scenario_id = its_id and a.name = item.parent;
                if item.parent is not null and id_of_activity is null then
                    raise exception 'activity "%" names a parent "%", which is not before it', item.activity, item.parent
                        using errcode = 'undefined_object', hint = 'Activities stand in the order of the tree, parents before their children.';
                end if;
                if item.names_parent then
                    attributes := attributes || jsonb_build_object('parent_id', id_of_activity);
                    own := own || 'parent_id'::text;
                end if;
            elsif item.n = 2 then
                select a.id into strict id_of_activity from marketing_automation.activity a where a.scenario_id = its_id and a.name = item.activity;
                identity := jsonb_build_object('activity_id', id_of_activity, 'language', attributes -> 'language');
            end if;
            execute format('select to_jsonb(t) from %s t where to_jsonb(t) @> $1', item.relation) into present using identity;
            if present is null then
                attributes := attributes || identity;
                execute format('insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $1)', item.relation,
                    (select string_agg(quote_ident(k), ', ' order by k) from jsonb_object_keys(attributes) k)) using attributes;
                changes := changes || jsonb_build_object('change', 'create', 'object', item.object);
            else
                -- As the row would have them: '1 day' and '24 hours' are told from each other, '1 day' and '1 days' are not.
                execute format('select to_jsonb(jsonb_populate_record(t, $2)) from %s t where to_jsonb(t) @> $1', item.relation)
                    into attributes using identity, attributes;
                changed := array(select o.name from unnest(own) with ordinality o (name, n)
                    where attributes -> o.name is distinct from present -> o.name order by o.n);
                if changed <> '{}' then
                    execute format('update %1$s t set %2$s from jsonb_populate_record(null::%1$s, $2) r where to_jsonb(t) @> $1', item.relation,
                        (select string_agg(format('%1$I = r.%1$I', c), ', ') from unnest(changed) c)) using identity, attributes;
                    changes := changes || (select jsonb_agg(jsonb_build_object('change', 'change', 'object', item.object,
                        'attribute', case c when 'parent_id' then 'parent' else c end,
                        'before', case c when 'parent_id' then (select a.name from marketing_automation.activity a
                            where a.id = (present ->> 'parent_id')::integer) else present ->> c end,
                        'after', case c when 'parent_id' then item.parent else attributes ->> c end)) from unnest(changed) c);
                end if;
            end if;
            if item.n = 0 then
                select s.id into strict its_id from marketing_automation.scenario s where s.name = its_name;
            end if;
        end loop;
        -- What is here only may have been for people already: it is named, and stays.
        changes := changes || coalesce((
            select jsonb_agg(jsonb_build_object('change', 'only here', 'object', o.object) order by o.object)
            from (select format('activity "%s"', a.name) from marketing_automation.activity a where a.scenario_id = its_id
                    and not exists (select from jsonb_array_elements(definition -> 'activities') d where d ->> 'name' = a.name)
                  union all
                  select format('activity "%s" in language "%s"', a.name, t.language)
                  from marketing_automation.activity a join marketing_automation.activity_translation t on t.activity_id = a.id
                  join jsonb_array_elements(definition -> 'activities') d on d ->> 'name' = a.name
                  where a.scenario_id = its_id and not exists (
                      select from jsonb_array_elements(coalesce(d -> 'translations', '[]')) k where k ->> 'language' = t.language)) o (object)), '[]');
        if dry_run then
            raise exception 'undone' using errcode = 'MA001';
        end if;
    exception when sqlstate 'MA001' then
        null;
    end;
    return query select c.change, c.object, c.attribute, c.before, c.after
        from jsonb_to_recordset(changes) c (change text, object text, attribute text, before text, after text);
end $$;
comment on function marketing_automation.import_scenario(jsonb, text, boolean) is
    'API: public. Makes a scenario what a definition by export_scenario() says, and returns what that changed: create, change (attribute, '
    'before, after), or only here: what the definition lacks, which stays. No row: it was so already. What it does not mention stays, too. '
    'A new scenario is a draft of the caller''s. name: another name than the definition''s. dry_run: tells all of it, errors too, and '
    'changes nothing';

create or replace function marketing_automation.copy_scenario(scenario text, new_name text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    definition constant jsonb := marketing_automation.export_scenario(scenario);
begin
    if coalesce(new_name, '') = '' then
        raise exception 'a copy needs a name' using errcode = 'invalid_parameter_value';
    end if;
    if exists (select from marketing_automation.scenario s where s.name = new_name) then
        raise exception 'scenario "%" exists already', new_name using errcode = 'duplicate_object', hint = format(
            'To make it what "%s" is: select * from marketing_automation.import_scenario(marketing_automation.export_scenario(%L), name => %L);',
            scenario, scenario, new_name);
    end if;
    perform from marketing_automation.import_scenario(definition, new_name);
    return marketing_automation.scenario_id(new_name);
end $$;
comment on function marketing_automation.copy_scenario(text, text) is
    'API: public. A draft of another name with the same definition, activities and translations, owned by the caller; returns its id';

-- functions/report.sql
-- Looking at a campaign.

create or replace function marketing_automation_internal.percentage(part bigint, whole bigint) returns text
language sql immutable
-- A mail that is held, as nobody knows whether it was taken, may be read: it was.
return case when whole > 0 then format('%s %%', trim_scale(round(100.0 * part / greatest(whole, part), 1))) else '-' end;
comment on function marketing_automation_internal.percentage(bigint, bigint) is 'API: private. "17 %", "3.2 %", or "-" of nothing';

create or replace function marketing_automation_internal.activity_tree(scenario_id integer)
returns table (activity_id integer, ordinal bigint, prefix text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive node as (
        select a.id, a.parent_id,
               row_number() over (partition by a.parent_id order by a.id) as position,
               row_number() over (partition by a.parent_id order by a.id desc) = 1 as is_last
        from marketing_automation.activity a where a.scenario_id = activity_tree.scenario_id
    ), line as (
        select n.id, array[n.position] as path, case when n.is_last then '└─ ' else '├─ ' end as prefix,
               case when n.is_last then '   ' else '│  ' end as indent
        from node n where n.parent_id is null
        union all
        select n.id, l.path || n.position, l.indent || case when n.is_last then '└─ ' else '├─ ' end,
               l.indent || case when n.is_last then '   ' else '│  ' end
        from node n join line l on l.id = n.parent_id
    )
    select l.id, row_number() over (order by l.path), l.prefix from line l order by l.path
$$;
comment on function marketing_automation_internal.activity_tree(integer) is
    'API: private. The activities of a scenario, parents before their children, and the branches to draw before their names';

create or replace function marketing_automation_internal.activity_named(scenario marketing_automation.scenario, name text) returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    result integer := (select a.id from marketing_automation.activity a where a.scenario_id = scenario.id and a.name = activity_named.name);
    names text[];
begin
    if result is null then
        names := array(select a.name from marketing_automation_internal.activity_tree(scenario.id) t
                       join marketing_automation.activity a on a.id = t.activity_id order by t.ordinal);
        raise exception 'scenario "%" has no activity "%"', scenario.name, name
            using errcode = 'undefined_object',
                  hint = coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(name, names) || '".',
                                  format('Its activities are: %s.', array_to_string(names, ', ')));
    end if;
    return result;
end $$;
comment on function marketing_automation_internal.activity_named(marketing_automation.scenario, text) is
    'API: private. The id of a scenario''s activity of that name, or an error that hints at the nearest name';

create or replace function marketing_automation_internal.activity_count(caller regrole, scenario text)
    returns table (activity_id integer, waiting bigint, done bigint, skipped bigint, cancelled bigint, failed bigint,
        mailed bigint, opened bigint, clicked bigint, under_way bigint, sent bigint, not_sent bigint, robot_opens bigint,
        robot_clicks bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with chosen as (
        select t.activity_id as id, t.ordinal
        from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
        cross join lateral marketing_automation_internal.activity_tree(s.id) t
    ), counters as (
        select t.activity_id, sum(t.done) as done, sum(t.skipped) as skipped, sum(t.cancelled) as cancelled, sum(t.failed) as failed, sum(t.mailed) as mailed,
               sum(t.opened) as opened, sum(t.clicked) as clicked, sum(t.sent) as sent, sum(t.not_sent) as not_sent,
               sum(t.robot_opens) as robot_opens, sum(t.robot_clicks) as robot_clicks
        from marketing_automation_internal.activity_counter t
        where t.activity_id in (select c.id from chosen c) and (not t.rolled_up or t.period = '-infinity') group by 1
    )
    select c.id, (select count(*) from marketing_automation_internal.waiting_activity w where w.activity_id = c.id), coalesce(t.done, 0),
        coalesce(t.skipped, 0), coalesce(t.cancelled, 0), coalesce(t.failed, 0), coalesce(t.mailed, 0),
           coalesce(t.opened, 0), coalesce(t.clicked, 0), coalesce(t.mailed - t.sent - t.not_sent, 0), coalesce(t.sent, 0),
               coalesce(t.not_sent, 0),
           coalesce(t.robot_opens, 0), coalesce(t.robot_clicks, 0)
    from chosen c
    left join counters t on t.activity_id = c.id
    order by c.ordinal
$$;
comment on function marketing_automation_internal.activity_count(regrole, text) is 'API: private. Behind activity_count()';

create or replace function marketing_automation.activity_count(scenario text)
    returns table (activity_id integer, waiting bigint, done bigint, skipped bigint, cancelled bigint, failed bigint,
        mailed bigint, opened bigint, clicked bigint, under_way bigint, sent bigint, not_sent bigint, robot_opens bigint,
        robot_clicks bigint)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.activity_count(text) is
    'API: public. Per activity of a scenario, in the order of the tree: its records by state, skipped those '
    'for which nothing was done (the condition was not true, the row was gone or had no address), and its mails: under way, sent, not '
    'sent (failed or suppressed), opened, clicked; and the opens and clicks, each of them, that were a robot''s';

create or replace function marketing_automation_internal.record_count(caller regrole, scenario text, strict boolean,
    out records bigint, out blocked bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario, 'count');
    model marketing_automation.model;
    sees boolean;
    message text;
begin
    if chosen.state <> 'draft' then
        select coalesce(sum(t.records), 0), coalesce(sum(t.blocked), 0) into records, blocked
        from marketing_automation_internal.scenario_counter t where t.scenario_id = chosen.id
            and (not t.rolled_up or t.period = '-infinity');
        return;
    end if;
    -- A report counts many drafts in one statement.
    perform marketing_automation_internal.begin_statement_turn();
    model := marketing_automation_internal.usable_model(chosen);
    select q.n, 0 into records, blocked
    from marketing_automation_internal.query_as_owner(chosen.owner_id, model.relation,
        format('select count(*) from %s as self where %s', model.relation, format(E'(%s\n)', chosen.domain)),
            null) as q (n bigint);
    perform marketing_automation_internal.end_turn();
exception when others then
    sees := marketing_automation_internal.sees_rows(caller, chosen.id);
    if strict and sees then
        raise;
    end if;
    -- The text may quote a row.
    message := case when sees then sqlerrm else marketing_automation_internal.public_error(sqlerrm, sqlstate) end;
    if strict then
        raise exception 'scenario "%" cannot be counted: %', scenario, message using errcode = sqlstate;
    end if;
    raise warning 'scenario "%" cannot be counted: %', scenario, message using errcode = sqlstate;
end $$;
comment on function marketing_automation_internal.record_count(regrole, text, boolean) is 'API: private. Behind record_count()';

create or replace function marketing_automation.record_count(scenario text, strict boolean default true, out records bigint, out blocked bigint)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.record_count(text, boolean) is
    'API: public. Records of a scenario and how many are blocked; of a draft: rows that its domain matches now. strict: a domain '
    'that does not run is an error; else a warning, and the counts are null';

create or replace function marketing_automation_internal.shortened(expression text, most integer) returns text
language sql immutable strict parallel safe
return (select case when length(o.line) > most then left(o.line, most - 1) || '…' else o.line end
        from (select btrim(regexp_replace(expression, '\s+', ' ', 'g')) as line) o);
comment on function marketing_automation_internal.shortened(text, integer) is
    'API: private. An expression on one line, of so many characters at most';

create or replace function marketing_automation_internal.tree(caller regrole, scenario text)
    returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
    with chosen as materialized (
        select s.* from marketing_automation_internal.scenario_for(caller, scenario, 'read') s
    ), printed as (
        select 0 as ordinal,
               format('%s (%s): %s record%s, %s blocked', s.name, s.state, c.records, case when c.records = 1 then '' else 's' end,
                   c.blocked)
               || coalesce(', window ' || s.send_window, '')
               || coalesce(', class ' || nullif(s.message_class, 'marketing'), '')
               || coalesce(', again after ' || s.reenter_after, '')
               || coalesce(', once for each ' || s.occasion, '')
               || (select case when count(*) > 0 then format(', %s conversion%s', count(*), case when count(*) = 1 then '' else 's' end)
                   else '' end
                          || coalesce(' worth ' || sum(v.value), '')
                   from marketing_automation.conversion v where v.scenario_id = s.id)
               || (select case when count(*) > 0 then format(', %s exited', count(*)) else '' end
                   from marketing_automation_internal.record r where r.scenario_id = s.id and r.end_reason = 'exited')
               || (select case when count(*) > 0 then format(', %s held out', count(*)) else '' end
                   from marketing_automation_internal.record r where r.scenario_id = s.id and r.held_out)
               || (select case when count(*) > 0 then format(', %s entered again', count(*)) else '' end
                   from marketing_automation_internal.record r
                   where marketing_automation_internal.may_enter_again(s) and r.scenario_id = s.id and r.run > 1)
               || coalesce((select format(', %s without an occasion', t.without_occasion)
                   from marketing_automation.scenario_status t where t.scenario_id = s.id and t.without_occasion > 0), '') as text
        from chosen s, marketing_automation_internal.record_count(caller, scenario, true) c
        union all
        select l.ordinal,
               l.prefix || n.name
               || coalesce(' [' || nullif(concat_ws(', ', replace(n.on_event, 'email_', ''), n.delay::text,
                   'date ' || marketing_automation_internal.shortened(n.at, 60),
                   'at ' || n.at_time, 'window ' || n.send_window, 'class ' || n.message_class, trim_scale(n.share) || ' %',
                   'if ' || marketing_automation_internal.shortened(n.condition, 60),
                   case when p.branch_by is not null and coalesce(n.on_event, n.condition, n.share::text) is null then 'otherwise' end,
                   'branches by ' || n.branch_by), '')
                   || ']', '')
               || ': ' || concat_ws(', ',
                   format('%s done', c.done),
                   case when c.skipped > 0 then format('%s skipped', c.skipped) end,
                   case when c.waiting > 0 then format('%s waiting', c.waiting) end,
                   case when c.cancelled > 0 then format('%s cancelled', c.cancelled) end,
                   case when c.failed > 0 then format('%s failed', c.failed) end,
                   case when n.action = 'send_email' then format('%s sent', c.sent) end,
                   case when c.under_way > 0 then format('%s under way', c.under_way) end,
                   case when c.not_sent > 0 then format('%s not sent', c.not_sent) end,
                   case when n.action = 'send_email' then format('opened %s (%s)', c.opened,
                       marketing_automation_internal.percentage(c.opened, c.sent)) end,
                   case when n.action = 'send_email' then format('clicked %s (%s)', c.clicked,
                       marketing_automation_internal.percentage(c.clicked, c.sent)) end,
                   case when c.robot_opens + c.robot_clicks > 0 then format('%s by robots', c.robot_opens + c.robot_clicks) end,
                   (select format('%s conversion%s', count(*), case when count(*) = 1 then '' else 's' end)
                    from marketing_automation.conversion v where v.scenario_id = s.id and v.activity_id = n.id having count(*) > 0))
        from chosen s
        cross join lateral marketing_automation_internal.activity_tree(s.id) l
        join marketing_automation.activity n on n.id = l.activity_id
        left join marketing_automation.activity p on p.id = n.parent_id
        join marketing_automation_internal.activity_count(caller, scenario) c on c.activity_id = n.id
    )
    select p.text from printed p order by p.ordinal
$$;
comment on function marketing_automation_internal.tree(regrole, text) is 'API: private. Behind tree()';

create or replace function marketing_automation.tree(scenario text)
    returns setof text
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.tree(text) is
    'API: public. The scenario''s tree of activities with its counts, a line each, for psql; conditions are cut after 60 characters';

-- functions/report_periods.sql
-- Reports: views for the totals, functions for days, months and years. They read the counters only.

create or replace function marketing_automation_internal.rate(part bigint, whole bigint) returns numeric
language sql immutable parallel safe
-- More were opened than sent where mails are held, as nobody knows whether they were taken.
return case when whole > 0 then round(part::numeric / greatest(whole, part), 4) end;
comment on function marketing_automation_internal.rate(bigint, bigint) is
    'API: private. Part of the whole, between 0 and 1; null: of nothing';

create or replace function marketing_automation.sparkline("values" numeric[]) returns text
language sql immutable parallel safe
-- From zero, not from the least value: a bar half as high is half as much.
return (
    select string_agg(
        case when v.value is null or v.value = 'NaN' then ' '
             when v.value <= 0 then '▁'
             when v.value = 'Infinity' then '█'
             else substr('▁▂▃▄▅▆▇█', 1 + ceil(7 * v.value / (select max(m) from unnest("values") m where m < 'Infinity'))::integer, 1)
        end, '' order by v.n)
    from unnest("values") with ordinality as v (value, n));
comment on function marketing_automation.sparkline(numeric[]) is
    'API: public. A bar for each value, ▁ for zero and less to █ for the highest, a space for null and NaN';

create or replace function marketing_automation_internal.report_periods(period text, from_date date, to_date date)
returns table (starts_on date, is_shown boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    step interval;
    first timestamp;
begin
    if period is null or period not in ('day', 'month', 'year') then
        raise exception 'a report by % is not available', coalesce(quote_literal(period), 'null')
            using errcode = 'invalid_parameter_value', hint = 'The period is ''day'', ''month'' or ''year''.';
    end if;
    if not isfinite(from_date) or not isfinite(to_date) then
        raise exception 'a report needs finite dates, not from % to %', from_date, to_date
            using errcode = 'invalid_parameter_value', hint = 'Leave one of them away for what there is on its side.';
    end if;
    if from_date > to_date then
        raise exception 'from_date % is after to_date %', from_date, to_date
            using errcode = 'invalid_parameter_value', hint = 'Exchange the two, or leave one of them away.';
    end if;
    step := ('1 ' || period)::interval;
    if from_date + 10000 * step < to_date then
        raise exception 'a report from % to % by % has more than 10,000 rows', from_date, to_date, period
            using errcode = 'program_limit_exceeded', hint = 'Ask for longer periods or fewer.';
    end if;
    first := date_trunc(period, from_date::timestamp);
    return query
        select p::date, p >= first
        -- The trend of the first period shows those before it too.
        from generate_series(first - 9 * step, to_date::timestamp, step) p;
end $$;
comment on function marketing_automation_internal.report_periods(text, date, date) is
    'API: private. The days, months or years in which from_date to to_date lie, and nine before, which are not shown. Raises if they '
    'make no report';

create or replace function marketing_automation_internal.scenario_report_by(caller regrole, scenario text, period text, from_date date, to_date date)
    returns table (starts_on date, records bigint, blocked bigint, block_rate numeric, records_trend text, block_rate_trend text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario_report_by.scenario,
        'count');
    last date := coalesce(to_date, current_date);
    first date := coalesce(from_date, least(last, (
        select min(t.period)::date from marketing_automation_internal.scenario_counter t where t.scenario_id = chosen.id
            and t.period > '-infinity')));
begin
    return query
    with span as materialized (
        select * from marketing_automation_internal.report_periods(scenario_report_by.period, first, last)
    ), counted as (
        -- In the time zone of the session, as all conversions between timestamptz and date are.
        select date_trunc(scenario_report_by.period, t.period::timestamp)::date as starts_on, sum(t.records) as records,
            sum(t.blocked) as blocked
        from marketing_automation_internal.scenario_counter t
        where t.scenario_id = chosen.id and t.period >= (select min(s.starts_on) from span s)::timestamptz
        group by 1
    ), filled as (
        select s.starts_on, s.is_shown, coalesce(c.records, 0) as records, coalesce(c.blocked, 0) as blocked,
               marketing_automation_internal.rate(c.blocked, c.records) as block_rate
        from span s left join counted c on c.starts_on = s.starts_on
    ), trended as (
        select f.*, marketing_automation.sparkline(array_agg(f.records::numeric) over last_ten) as records_trend,
               marketing_automation.sparkline(array_agg(f.block_rate) over last_ten) as block_rate_trend
        from filled f window last_ten as (order by f.starts_on rows 9 preceding)
    )
    select t.starts_on, t.records, t.blocked, t.block_rate, t.records_trend, t.block_rate_trend
    from trended t where t.is_shown order by t.starts_on;
end $$;
comment on function marketing_automation_internal.scenario_report_by(regrole, text, text, date, date) is
    'API: private. Behind scenario_report_by()';

create or replace function marketing_automation.scenario_report_by(
    scenario text, period text default 'month', from_date date default null, to_date date default null
)
    returns table (starts_on date, records bigint, blocked bigint, block_rate numeric, records_trend text, block_rate_trend text)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.scenario_report_by(text, text, date, date) is
    'API: public. A row for each day, month or year in which from_date (null: the first record) to to_date (null: today) lie, in the '
    'time zone of the session: records that entered, how many of them are blocked now, their share between 0 and 1, and trends of '
    'the ten periods that end with the row';

create or replace function marketing_automation_internal.activity_report_by(caller regrole, scenario text, activity text, period text,
    from_date date, to_date date)
    returns table (name text, starts_on date, done bigint, skipped bigint, cancelled bigint, failed bigint, sent bigint, not_sent bigint,
        opened bigint, clicked bigint, robot_opens bigint, robot_clicks bigint, open_rate numeric, click_rate numeric,
        click_through_rate numeric, done_trend text, open_rate_trend text, click_rate_trend text, click_through_rate_trend text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    its_scenario marketing_automation.scenario := marketing_automation_internal.scenario_for(caller,
        activity_report_by.scenario, 'count');
    chosen integer[] := case
        when activity_report_by.activity is null then array(select t.activity_id
            from marketing_automation_internal.activity_tree(its_scenario.id) t)
        else array[marketing_automation_internal.activity_named(its_scenario, activity_report_by.activity)] end;
    last date := coalesce(to_date, current_date);
    first date := coalesce(from_date, least(last, (
        select min(t.period)::date from marketing_automation_internal.activity_counter t where t.activity_id = any (chosen)
            and t.period > '-infinity')));
begin
    return query
    with span as materialized (
        select * from marketing_automation_internal.report_periods(activity_report_by.period, first, last)
    ), counted as (
        select t.activity_id, date_trunc(activity_report_by.period, t.period::timestamp)::date as starts_on,
               sum(t.done) as done, sum(t.skipped) as skipped, sum(t.cancelled) as cancelled, sum(t.failed) as failed, sum(t.sent) as sent,
                   sum(t.not_sent) as not_sent,
               sum(t.opened) as opened, sum(t.clicked) as clicked, sum(t.robot_opens) as robot_opens, sum(t.robot_clicks) as robot_clicks
        from marketing_automation_internal.activity_counter t
        where t.activity_id = any (chosen) and t.period >= (select min(s.starts_on) from span s)::timestamptz
        group by 1, 2
    ), filled as (
        select a.id, a.name, s.starts_on, s.is_shown, coalesce(c.done, 0) as done, coalesce(c.skipped, 0) as skipped,
               coalesce(c.cancelled, 0) as cancelled,
            coalesce(c.failed, 0) as failed,
               coalesce(c.sent, 0) as sent, coalesce(c.not_sent, 0) as not_sent, coalesce(c.opened, 0) as opened,
                   coalesce(c.clicked, 0) as clicked,
               coalesce(c.robot_opens, 0) as robot_opens, coalesce(c.robot_clicks, 0) as robot_clicks,
               marketing_automation_internal.rate(c.opened, c.sent) as open_rate, marketing_automation_internal.rate(c.clicked,
                   c.sent) as click_rate,
               marketing_automation_internal.rate(c.clicked, c.opened) as click_through_rate
        from marketing_automation.activity a cross join span s
        left join counted c on c.activity_id = a.id and c.starts_on = s.starts_on
        where a.id = any (chosen)
    ), trended as (
        select f.*, marketing_automation.sparkline(array_agg(f.done::numeric) over last_ten) as done_trend,
               marketing_automation.sparkline(array_agg(f.open_rate) over last_ten) as open_rate_trend,
               marketing_automation.sparkline(array_agg(f.click_rate) over last_ten) as click_rate_trend,
               marketing_automation.sparkline(array_agg(f.click_through_rate) over last_ten) as click_through_rate_trend
        from filled f window last_ten as (partition by f.id order by f.starts_on rows 9 preceding)
    )
    select t.name, t.starts_on, t.done, t.skipped, t.cancelled, t.failed, t.sent, t.not_sent, t.opened, t.clicked, t.robot_opens, t.robot_clicks,
        t.open_rate, t.click_rate, t.click_through_rate,
           t.done_trend, t.open_rate_trend, t.click_rate_trend, t.click_through_rate_trend
    from trended t where t.is_shown order by array_position(chosen, t.id), t.starts_on;
end $$;
comment on function marketing_automation_internal.activity_report_by(regrole, text, text, text, date, date) is
    'API: private. Behind activity_report_by()';

create or replace function marketing_automation.activity_report_by(
    scenario text, activity text default null, period text default 'month', from_date date default null, to_date date default null
)
    returns table (name text, starts_on date, done bigint, skipped bigint, cancelled bigint, failed bigint, sent bigint, not_sent bigint,
        opened bigint, clicked bigint, robot_opens bigint, robot_clicks bigint, open_rate numeric, click_rate numeric,
        click_through_rate numeric, done_trend text, open_rate_trend text, click_rate_trend text, click_through_rate_trend text)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.activity_report_by(text, text, text, date, date) is
    'API: public. As scenario_report_by, for one activity of a scenario (null: each of them, in the order of the tree). What became '
    'of a mail counts in the period in which its activity ran, what robots did with it too. Rates are between 0 and 1: open_rate and '
    'click_rate of the sent, click_through_rate of the opened';

-- The views run functions with the rights of who reads them: they call public ones only, and divide by themselves.

-- countable_scenario is a barrier already, and no other name is in it: whatever somebody asks for is chosen before the rest is counted.
create or replace view marketing_automation.scenario_report as
select s.name as scenario, s.state, c.records, c.blocked, round(c.blocked::numeric / nullif(c.records, 0), 4) as block_rate,
    t.records_trend, t.block_rate_trend,
       v.conversions, v.value as conversion_value
from marketing_automation_internal.countable_scenario s
cross join lateral marketing_automation.record_count(s.name, strict => false) c
cross join lateral marketing_automation.scenario_report_by(s.name, 'day', current_date, current_date) t
cross join lateral (select count(*) as conversions, sum(c.value) as value from marketing_automation.conversion c
    where c.scenario_id = s.id) v
order by s.name;
comment on view marketing_automation.scenario_report is
    'API: public. Each scenario''s records (of a draft: the rows that its domain matches now), how many are blocked, their share '
    'between 0 and 1; trends of the last ten days; its conversions, how many and their value';

create or replace view marketing_automation.activity_report with (security_barrier) as
select s.name as scenario, a.name as activity, c.waiting, c.done, c.skipped, c.cancelled, c.failed, c.under_way, c.sent, c.not_sent, c.opened,
    c.clicked, c.robot_opens, c.robot_clicks,
       round(c.opened::numeric / nullif(greatest(c.sent, case when c.sent > 0 then c.opened end), 0), 4) as open_rate,
       round(c.clicked::numeric / nullif(greatest(c.sent, case when c.sent > 0 then c.clicked end), 0), 4) as click_rate,
       round(c.clicked::numeric / nullif(greatest(c.opened, case when c.opened > 0 then c.clicked end), 0), 4) as click_through_rate,
       t.done_trend, t.open_rate_trend, t.click_rate_trend, t.click_through_rate_trend
from marketing_automation_internal.countable_scenario s
cross join lateral marketing_automation.activity_count(s.name) with ordinality c
join marketing_automation.activity a on a.id = c.activity_id
cross join lateral marketing_automation.activity_report_by(s.name, a.name, 'day', current_date, current_date) t
order by s.name, c.ordinality;
comment on view marketing_automation.activity_report is
    'API: public. Each activity''s records by state, its mails (under way, sent, not sent, opened, clicked), the opens and clicks, '
    'each of them, that were a robot''s, rates between 0 and 1 (opened and clicked of the sent, clicked of the opened); trends of '
    'the last ten days';

-- functions/mail_reports.sql
-- Reports that read the history itself, where sums by quarter of an hour do not tell: what was clicked, where mail does not arrive, when
-- people read, what a week's newcomers became. They cost what the scenario's history is long, and are asked for now and then.

create or replace function marketing_automation_internal.link_pattern(url text) returns text
language sql immutable strict parallel safe
-- What stands behind ? are values, but for those of a campaign; in the path numbers, ids and addresses.
return regexp_replace(regexp_replace(url, '[?#].*$', ''),
        '/([0-9]+|[0-9a-fA-F-]{16,}|[A-Za-z0-9_-]{24,}|[^/]*(@|%40)[^/]*)(?=/|$)', '/…', 'g')
    || coalesce('?' || regexp_replace(regexp_replace(substring(url from '^[^#?]*\?([^#]+)'), '(^|&)[^=&]+(?=&|$)', '\1…', 'g'),
        '(^|&)((?!utm_)[^=&]*|[^=&]*(?==[^&]*(@|%40)))=[^&]*', '\1\2=…', 'g'), '');
comment on function marketing_automation_internal.link_pattern(text) is
    'API: private. A web address without what may differ between recipients: numbers, ids and addresses in the path, values behind ? '
    'but for utm_…, and all behind #. So the addresses of one personalised link have one pattern, which names nobody';

create or replace function marketing_automation_internal.reported_activities(caller regrole, scenario text, activity text)
    returns table (id integer, name text, ordinal bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select a.id, a.name, t.ordinal
    from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
    cross join lateral marketing_automation_internal.activity_tree(s.id) t
    join marketing_automation.activity a on a.id = t.activity_id
    where reported_activities.activity is null
       or a.id = marketing_automation_internal.activity_named(s, reported_activities.activity)
$$;
comment on function marketing_automation_internal.reported_activities(regrole, text, text) is
    'API: private. An activity of a scenario that a role may count, or each of them (null), in the order of the tree';

create or replace function marketing_automation_internal.demand_dates(from_date date, to_date date, out first timestamptz, out last timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if demand_dates.from_date > demand_dates.to_date then
        raise exception 'from_date % is after to_date %', demand_dates.from_date, demand_dates.to_date
            using errcode = 'invalid_parameter_value', hint = 'Leave one of the two away for all that there is on its side.';
    end if;
    -- In the time zone of the session, as all conversions between timestamptz and date are.
    first := demand_dates.from_date;
    last := demand_dates.to_date + 1;
end $$;
comment on function marketing_automation_internal.demand_dates(date, date, out timestamptz, out timestamptz) is
    'API: private. From when, and until before when, the days from from_date to to_date last; null: no limit. Raises if they are in the '
    'wrong order';

create or replace function marketing_automation_internal.link_report(caller regrole, scenario text, activity text, from_date date, to_date date)
    returns table (activity text, link text, people bigint, clicks bigint, share numeric, robot_clicks bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with chosen as materialized (
        select * from marketing_automation_internal.reported_activities(caller, scenario, link_report.activity)
    ), hits as materialized (
        select e.activity_id, e.link_id, e.record_id, count(*) filter (where e.robot is null) as clicks,
               count(*) filter (where e.robot is not null) as robots
        from marketing_automation_internal.event e
        cross join marketing_automation_internal.demand_dates(link_report.from_date, link_report.to_date) d
        where e.kind = 'email_clicked' and e.activity_id in (select c.id from chosen c)
          and e.occurred_at >= coalesce(d.first, '-infinity') and e.occurred_at < coalesce(d.last, 'infinity')
        group by 1, 2, 3
    ), links as materialized (
        select l.id, marketing_automation_internal.link_pattern(l.url) as pattern
        from marketing_automation.link l where l.id in (select h.link_id from hits h)
    ), counted as (
        select h.activity_id, l.pattern, count(distinct h.record_id) filter (where h.clicks > 0) as people,
               sum(h.clicks)::bigint as clicks, sum(h.robots)::bigint as robots
        from hits h join links l on l.id = h.link_id group by 1, 2
    )
    select a.name, c.pattern, c.people, c.clicks,
           marketing_automation_internal.rate(c.clicks, (sum(c.clicks) over (partition by c.activity_id))::bigint), c.robots
    from counted c join chosen a on a.id = c.activity_id
    order by a.ordinal, c.clicks desc, c.robots desc, c.pattern
$$;
comment on function marketing_automation_internal.link_report(regrole, text, text, date, date) is 'API: private. Behind link_report()';

create or replace function marketing_automation.link_report(scenario text, activity text default null, from_date date default null,
    to_date date default null)
    returns table (activity text, link text, people bigint, clicks bigint, share numeric, robot_clicks bigint)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.link_report(text, text, date, date) is
    'API: public. What was clicked in the mails of an activity (null: of each), the most clicked first: link, with … for what may differ '
    'between recipients, so that personalised links add up; people who clicked it, their clicks, their share of the clicks in that '
    'mail (0 to 1), and clicks of robots; what was clicked from from_date to to_date (null: at any time)';

create or replace function marketing_automation_internal.domain_report(caller regrole, scenario text, from_date date, to_date date)
    returns table (day date, domain text, sent bigint, opened bigint, failed bigint, suppressed bigint, under_way bigint,
        deferrals bigint, hard_bounces bigint, soft_bounces bigint, complaints bigint)
-- The planner, which knows nothing of hosts, thinks of many more groups than there are: it would sort all mails, and compile for a second.
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set hash_mem_multiplier = 8
set jit = off as $$
#variable_conflict use_column
declare
    chosen integer[] := array(select r.id
        from marketing_automation_internal.reported_activities(caller, domain_report.scenario, null) r);
    first timestamptz;
    last timestamptz;
begin
    select d.first, d.last into first, last
    from marketing_automation_internal.demand_dates(domain_report.from_date, domain_report.to_date) d;
    return query
    -- The domain of each address is read in two steps, as the second one costs more and has to be done once for each host alone.
    with mail as not materialized (
        select l.id, l.record_id, l.activity_id, case when l.email like '%@%' then split_part(l.email, '@', -1) end as host, l.state,
               coalesce(l.sent_at, l.finished_at) as at
        from marketing_automation_internal.message_log l
        where l.activity_id = any (chosen) and l.record_id is not null
          and (first is null or coalesce(l.sent_at, l.finished_at) >= first) and (last is null or coalesce(l.sent_at, l.finished_at) < last)
        union all
        select o.id, o.record_id, o.activity_id, case when o.email like '%@%' then split_part(o.email, '@', -1) end, 'under_way',
               o.created_at
        from marketing_automation_internal.outbox o
        where o.activity_id = any (chosen) and o.record_id is not null
          and (first is null or o.created_at >= first) and (last is null or o.created_at < last)
    ), counted as (
        select g.day, g.host, case when g.state in ('sent', 'bounced') then g.n else 0 end as sent,
               case when g.state in ('sent', 'bounced') and g.opened then g.n else 0 end as opened,
               case g.state when 'failed' then g.n else 0 end as failed, case g.state when 'suppressed' then g.n else 0 end as suppressed,
               case g.state when 'under_way' then g.n else 0 end as under_way, 0::bigint as deferrals, 0::bigint as hard,
               0::bigint as soft, 0::bigint as complained
        from (
            select m.at::date as day, m.host, m.state, f.record_id is not null as opened, count(*) as n
            from mail m
            left join marketing_automation_internal.finished_activity f
                on f.record_id = m.record_id and f.activity_id = m.activity_id and f.opened_at is not null
            group by 1, 2, 3, 4) g
        union all
        select m.at::date, m.host, 0, 0, 0, 0, 0, count(*), 0, 0, 0
        from marketing_automation_internal.attempt_log t join mail m on m.id = t.message_id where t.state = 'deferred' group by 1, 2
        union all
        select m.at::date, m.host, 0, 0, 0, 0, 0, 0, count(distinct m.id) filter (where b.kind = 'hard'),
               count(distinct m.id) filter (where b.kind = 'soft'), count(distinct m.id) filter (where b.kind = 'complaint')
        from marketing_automation.bounce b join mail m on m.id = b.message_id group by 1, 2
    ), named as materialized (
        select h.host, marketing_automation_internal.address_domain('@' || h.host) as domain from (select distinct c.host from counted c) h
    )
    select c.day, n.domain, sum(c.sent)::bigint, sum(c.opened)::bigint, sum(c.failed)::bigint, sum(c.suppressed)::bigint,
           sum(c.under_way)::bigint, sum(c.deferrals)::bigint, sum(c.hard)::bigint, sum(c.soft)::bigint, sum(c.complained)::bigint
    from counted c left join named n on n.host = c.host
    group by 1, 2 order by 1 desc, 3 desc, 2;
end $$;
comment on function marketing_automation_internal.domain_report(regrole, text, date, date) is 'API: private. Behind domain_report()';

create or replace function marketing_automation.domain_report(scenario text, from_date date default null, to_date date default null)
    returns table (day date, domain text, sent bigint, opened bigint, failed bigint, suppressed bigint, under_way bigint,
        deferrals bigint, hard_bounces bigint, soft_bounces bigint, complaints bigint)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.domain_report(text, date, date) is
    'API: public. How a scenario''s mails fared with each recipient domain, by the day on which they were sent, or given up, or queued, '
    'in the time zone of the session; from_date, to_date: null: all that is kept. deferrals: refusals after which they were tried '
    'again; bounces and complaints: mails for which something came back. domain null: the address was erased';

create or replace function marketing_automation_internal.timing_report(caller regrole, scenario text, activity text, from_date date, to_date date)
    returns table (hours integer, opened bigint, clicked bigint, opened_until numeric, clicked_until numeric)
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
#variable_conflict use_column
declare
    chosen integer[] := array(select r.id
        from marketing_automation_internal.reported_activities(caller, timing_report.scenario, timing_report.activity) r);
    first timestamptz;
    last timestamptz;
begin
    select d.first, d.last into first, last
    from marketing_automation_internal.demand_dates(timing_report.from_date, timing_report.to_date) d;
    return query
    with mail as materialized (
        -- Clocks of other hosts may be behind; what comes after three days is one row.
        select least(greatest(floor(date_part('epoch', f.opened_at - l.sent_at) / 3600), 0), 72)::integer as opened,
               least(greatest(floor(date_part('epoch', f.clicked_at - l.sent_at) / 3600), 0), 72)::integer as clicked, count(*) as n
        from marketing_automation_internal.finished_activity f
        join marketing_automation_internal.message_log l on l.record_id = f.record_id and l.activity_id = f.activity_id
        where f.activity_id = any (chosen) and l.activity_id = any (chosen) and l.sent_at is not null
          and (first is null or l.sent_at >= first) and (last is null or l.sent_at < last)
          and (f.opened_at is not null or f.clicked_at is not null)
        group by 1, 2
    ), counted as (
        select h.hours, coalesce(o.n, 0)::bigint as opened, coalesce(c.n, 0)::bigint as clicked
        from generate_series(0, 72) h (hours)
        left join (select m.opened, sum(m.n) from mail m group by 1) o (hours, n) on o.hours = h.hours
        left join (select m.clicked, sum(m.n) from mail m group by 1) c (hours, n) on c.hours = h.hours
    )
    select c.hours, c.opened, c.clicked,
           marketing_automation_internal.rate((sum(c.opened) over so_far)::bigint, (sum(c.opened) over ())::bigint),
           marketing_automation_internal.rate((sum(c.clicked) over so_far)::bigint, (sum(c.clicked) over ())::bigint)
    from counted c where chosen <> '{}'
    window so_far as (order by c.hours) order by c.hours;
end $$;
comment on function marketing_automation_internal.timing_report(regrole, text, text, date, date) is 'API: private. Behind timing_report()';

create or replace function marketing_automation.timing_report(scenario text, activity text default null, from_date date default null,
    to_date date default null)
    returns table (hours integer, opened bigint, clicked bigint, opened_until numeric, clicked_until numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.timing_report(text, text, date, date) is
    'API: public. How many whole hours after it was sent a mail of an activity (null: of all) was first opened and first clicked; the '
    'row of 72 holds all that came later. opened_until, clicked_until: which share of them had come by the end of that hour, 0 to 1; '
    'null: there was none. Of mails that are kept in the log, and were sent from from_date to to_date (null: at any time)';

create or replace function marketing_automation_internal.cohort_report(caller regrole, scenario text, from_date date, to_date date)
    returns table (week date, entered bigint, mailed bigint, converted_in_1_day bigint, converted_in_7_days bigint,
        converted_in_30_days bigint, value_in_30_days numeric)
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
#variable_conflict use_column
declare
    its_id integer := (marketing_automation_internal.scenario_for(caller, cohort_report.scenario, 'count')).id;
    activities integer[] := array(select a.id from marketing_automation.activity a where a.scenario_id = its_id);
    first timestamptz;
    last timestamptz;
begin
    select d.first, d.last into first, last
    from marketing_automation_internal.demand_dates(cohort_report.from_date, cohort_report.to_date) d;
    return query
    with chosen as not materialized (
        -- By the quarter of an hour first: reading a date in a time zone for each record takes longer than all else.
        select r.id, r.entered_at, marketing_automation_internal.counter_period(r.entered_at) as period
        from marketing_automation_internal.record r
        where r.scenario_id = its_id and (first is null or r.entered_at >= first) and (last is null or r.entered_at < last)
    ), entered as (
        select r.period, count(*) as entered, 0::bigint as mailed from chosen r group by 1
        union all
        select r.period, 0, count(*) from chosen r
        where exists (select from marketing_automation_internal.finished_activity f
                      where f.record_id = r.id and f.activity_id = any (activities) and f.outcome = 'mailed')
        group by 1
    ), converted as (
        select date_trunc('week', r.entered_at)::date as week, r.id, bool_or(c.at < r.entered_at + interval '1 day') as in_1,
               bool_or(c.at < r.entered_at + interval '7 days') as in_7, sum(c.value) as value
        from marketing_automation.conversion c
        join chosen r on r.id = c.record_id
        where c.scenario_id = its_id and c.at >= r.entered_at and c.at < r.entered_at + interval '30 days'
        group by 1, 2
    )
    select e.week, e.entered, e.mailed, coalesce(c.in_1, 0), coalesce(c.in_7, 0), coalesce(c.in_30, 0), c.value
    from (select date_trunc('week', e.period)::date as week, sum(e.entered)::bigint as entered, sum(e.mailed)::bigint as mailed
          from entered e group by 1) e
    left join (select c.week, count(*) filter (where c.in_1) as in_1, count(*) filter (where c.in_7) as in_7, count(*) as in_30,
                      sum(c.value) as value from converted c group by 1) c on c.week = e.week
    order by 1;
end $$;
comment on function marketing_automation_internal.cohort_report(regrole, text, date, date) is 'API: private. Behind cohort_report()';

create or replace function marketing_automation.cohort_report(scenario text, from_date date default null, to_date date default null)
    returns table (week date, entered bigint, mailed bigint, converted_in_1_day bigint, converted_in_7_days bigint,
        converted_in_30_days bigint, value_in_30_days numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.cohort_report(text, date, date) is
    'API: public. What became of those who entered a scenario in the same week (of its Monday, in the time zone of the session): how many '
    'they are, how many got a mail, how many had converted within 1, 7 and 30 days of their entry, and what that is worth. Of those who '
    'entered from from_date to to_date (null: at any time)';

create or replace function marketing_automation_internal.mail_report(caller regrole, scenario text, from_date date, to_date date)
    returns table (activity text, sent bigint, bounced bigint, unsubscribed bigint, complaints bigint, conversions bigint, value numeric,
        value_per_thousand numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with chosen as materialized (
        select * from marketing_automation_internal.reported_activities(caller, scenario, null)
    ), span as materialized (
        select * from marketing_automation_internal.demand_dates(mail_report.from_date, mail_report.to_date)
    ), mail as (
        select c.activity_id, sum(c.sent)::bigint as sent from marketing_automation_internal.activity_counter c cross join span d
        where c.activity_id in (select a.id from chosen a)
          and case when d.first is null and d.last is null then not c.rolled_up or c.period = '-infinity'
                   else isfinite(c.period) and c.period >= coalesce(d.first, '-infinity') and c.period < coalesce(d.last, 'infinity') end
        group by 1
    ), said as (
        select e.activity_id, count(distinct e.record_id) filter (where e.kind = 'email_bounced') as bounced,
               count(distinct e.record_id) filter (where e.kind = 'unsubscribed') as unsubscribed,
               count(distinct e.record_id) filter (where e.kind = 'complained') as complaints
        from marketing_automation_internal.event e cross join span d
        where e.activity_id in (select a.id from chosen a) and e.kind in ('email_bounced', 'unsubscribed', 'complained')
          and e.occurred_at >= coalesce(d.first, '-infinity') and e.occurred_at < coalesce(d.last, 'infinity')
        group by 1
    ), credited as (
        -- One that was written by an earlier release says none: the mail that was clicked last before it, else the one that was sent last.
        select coalesce(c.activity_id, m.activity_id) as activity_id, count(*) as conversions, sum(c.value) as value
        from marketing_automation_internal.scenario_for(caller, scenario, 'count') s
        cross join span d
        join marketing_automation.conversion c on c.scenario_id = s.id and c.at >= coalesce(d.first, '-infinity')
            and c.at < coalesce(d.last, 'infinity')
        left join lateral (
            select f.activity_id from marketing_automation_internal.finished_activity f
            where c.activity_id is null and f.record_id = c.record_id and f.outcome = 'mailed' and f.finished_at <= c.at
            order by case when f.clicked_at <= c.at then f.clicked_at end desc nulls last, f.finished_at desc, f.activity_id desc limit 1) m on true
        group by 1
    )
    select a.name, coalesce(m.sent, 0), coalesce(s.bounced, 0), coalesce(s.unsubscribed, 0), coalesce(s.complaints, 0),
           coalesce(c.conversions, 0), c.value, round(1000 * c.value / nullif(m.sent, 0), 2)
    from chosen a
    join marketing_automation.activity definition on definition.id = a.id and definition.action = 'send_email'
    left join mail m on m.activity_id = a.id
    left join said s on s.activity_id = a.id
    left join credited c on c.activity_id = a.id
    order by a.ordinal
$$;
comment on function marketing_automation_internal.mail_report(regrole, text, date, date) is 'API: private. Behind mail_report()';

create or replace function marketing_automation.mail_report(scenario text, from_date date default null, to_date date default null)
    returns table (activity text, sent bigint, bounced bigint, unsubscribed bigint, complaints bigint, conversions bigint, value numeric,
        value_per_thousand numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.mail_report(text, date, date) is
    'API: public. What each mail of a scenario brought, in the order of the tree: sent; how many came back; recipients who left by a link '
    'in it, or marked it as spam; conversions, each credited to the mail that its record clicked last before it, else to the one that '
    'was sent last; their value, and that per thousand mails. From from_date to to_date (null: at any time): mails whose activity ran '
    'then, and what came back and was bought then';

create or replace function marketing_automation_internal.report(caller regrole, scenario text)
    returns table (activity text, waiting bigint, done bigint, sent bigint, opened text, clicked text, conversions bigint, value numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select t.prefix || a.name, c.waiting, c.done, m.sent,
           case when m.sent is not null then marketing_automation_internal.percentage(c.opened, c.sent) end,
           case when m.sent is not null then marketing_automation_internal.percentage(c.clicked, c.sent) end, m.conversions, m.value
    from marketing_automation_internal.scenario_for(caller, report.scenario, 'count') s
    cross join lateral marketing_automation_internal.activity_tree(s.id) t
    join marketing_automation.activity a on a.id = t.activity_id
    join marketing_automation_internal.activity_count(caller, report.scenario) c on c.activity_id = a.id
    left join marketing_automation_internal.mail_report(caller, report.scenario, null, null) m on m.activity = a.name
    order by t.ordinal
$$;
comment on function marketing_automation_internal.report(regrole, text) is 'API: private. Behind report()';

create or replace function marketing_automation.report(scenario text)
    returns table (activity text, waiting bigint, done bigint, sent bigint, opened text, clicked text, conversions bigint, value numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.report(text) is
    'API: public. A scenario at a glance, as wide as a terminal: the tree of its activities, records that wait and for which something was '
    'done, mails that were sent and how many of them were opened and clicked, conversions credited to each and their value; null: it '
    'sends no mail';

-- functions/uplift.sql
-- Uplift: what a scenario has brought about, by comparing those who were mailed with those who were held out.

create or replace function marketing_automation_internal.wilson(part bigint, whole bigint, out low double precision, out high double precision)
language sql immutable strict set search_path = pg_catalog, pg_temp
-- The 95 % interval of Wilson, with z = 1.96: also right for few, and for none. nullif(): a plan may divide before it asks where.
as $$
    select (p + 1.9208 / n - d) / (1 + 3.8416 / n), (p + 1.9208 / n + d) / (1 + 3.8416 / n)
    from (select part::double precision / nullif(whole, 0) as p, nullif(whole, 0)::double precision as n) s
    cross join lateral (select 1.96 * sqrt(p * (1 - p) / n + 0.9604 / (n * n)) as d) t
    where whole > 0
$$;
comment on function marketing_automation_internal.wilson(bigint, bigint, out double precision, out double precision) is
    'API: private. The 95 % interval of a rate; null: of nothing';

create or replace function marketing_automation_internal.rate_difference(part bigint, whole bigint, other_part bigint, other_whole bigint,
    out difference numeric, out low numeric, out high numeric)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- Newcombe, Statistics in Medicine 17 (1998), method 10.
    select round((p - q)::numeric, 4), round((p - q - sqrt((p - w.low) ^ 2 + (o.high - q) ^ 2))::numeric, 4),
           round((p - q + sqrt((w.high - p) ^ 2 + (q - o.low) ^ 2))::numeric, 4)
    from (select part::double precision / nullif(whole, 0) as p, other_part::double precision / nullif(other_whole, 0) as q) r
    cross join lateral marketing_automation_internal.wilson(part, whole) w
    cross join lateral marketing_automation_internal.wilson(other_part, other_whole) o
$$;
comment on function marketing_automation_internal.rate_difference(bigint, bigint, bigint, bigint, out numeric, out numeric, out numeric) is
    'API: private. One rate less another, with the 95 % interval of that';

create or replace function marketing_automation_internal.uplift_report(caller regrole, scenario text)
    returns table (mailed bigint, held_out bigint, mailed_conversions bigint, held_out_conversions bigint, mailed_rate numeric,
        held_out_rate numeric, mailed_value numeric, held_out_value numeric, uplift numeric, uplift_low numeric, uplift_high numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with entered as (
        select count(*) filter (where not r.held_out) as mailed, count(*) filter (where r.held_out) as held_out
        from marketing_automation_internal.scenario_for(caller, uplift_report.scenario, 'count') s
        join marketing_automation_internal.record r on r.scenario_id = s.id and not r.goal_before
    ), converted as (
        select count(*) filter (where not r.held_out) as mailed, count(*) filter (where r.held_out) as held_out,
            sum(c.value) filter (where not r.held_out) as mailed_value, sum(c.value) filter (where r.held_out) as held_out_value
        from marketing_automation_internal.scenario_for(caller, uplift_report.scenario, 'count') s
        join marketing_automation.conversion c on c.scenario_id = s.id and c.source = 'goal'
        join marketing_automation_internal.record r on r.id = c.record_id
    )
    select e.mailed, e.held_out, c.mailed, c.held_out, marketing_automation_internal.rate(c.mailed, e.mailed),
        marketing_automation_internal.rate(c.held_out, e.held_out), round(c.mailed_value / nullif(e.mailed, 0), 4),
        round(c.held_out_value / nullif(e.held_out, 0), 4), d.difference, d.low, d.high
    from entered e cross join converted c
    left join lateral marketing_automation_internal.rate_difference(c.mailed, e.mailed, c.held_out, e.held_out) d on true
$$;
comment on function marketing_automation_internal.uplift_report(regrole, text) is 'API: private. Behind uplift_report()';

create or replace function marketing_automation.uplift_report(scenario text)
    returns table (mailed bigint, held_out bigint, mailed_conversions bigint, held_out_conversions bigint, mailed_rate numeric,
        held_out_rate numeric, mailed_value numeric, held_out_value numeric, uplift numeric, uplift_low numeric, uplift_high numeric)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.uplift_report(text) is
    'API: public. What the mails of a scenario with a holdout have brought about: records that were mailed and that were held out (without '
    'those that had reached the goal before), how many of each have reached the goal, their share between 0 and 1, the value of the goal '
    'for each record, and the difference of the shares with its 95 % interval: one that holds 0 may be chance';

-- functions/explain_mail.sql
-- How a mail fares, told for people.

create or replace function marketing_automation_internal.mail_obstacle(message marketing_automation.message) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when exists (select from marketing_automation.sending_pause) then marketing_automation_internal.pause_note()
        when s.state <> 'running' and message.record_id is not null then format('the scenario is %s', s.state)
        when exists (select from marketing_automation_internal.barred_activity x where x.activity_id = message.activity_id) then
            format('role "%s" may not send as its sender, see sender_permission', s.owner)
        when t.opens_at is not null and message.record_id is not null then format('send window "%s" is shut until %s', v.name,
            marketing_automation_internal.moment(t.opens_at))
        when l.per_second = 0 then format('domain_limit lets no mail leave to %s', l.domain)
        when w.state in ('paused', 'unconfigured', 'disarmed', 'outdated', 'not running', 'not preloaded') then
            format('the mailer is %s, see worker_status()', w.state)
        when b.tokens < 1 then format('the limit of %s leaves no room until %s', l.domain, marketing_automation_internal.moment(b.ready_at))
    end
    from marketing_automation.worker_status() w
    left join marketing_automation.activity a on a.id = message.activity_id
    left join marketing_automation.scenario s on s.id = a.scenario_id
    left join marketing_automation.domain_limit l on l.domain = marketing_automation_internal.address_domain(message.email)
    left join marketing_automation_internal.domain_queue_budget b on b.domain_queue = l.domain
    left join marketing_automation_internal.its_window(a) v on v.name is not null
    left join lateral marketing_automation_internal.window_state(v, marketing_automation_internal.window_zone(v, message.time_zone),
        clock_timestamp()) t on v.name is not null
$$;
comment on function marketing_automation_internal.mail_obstacle(marketing_automation.message) is
    'API: private. What keeps a queued mail from being sent now, null: nothing that is known';

create or replace function marketing_automation_internal.explain_mail(message marketing_automation.message, sees boolean) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case message.state
        when 'queued' then format('its mail is queued%s',
            ': ' || marketing_automation_internal.mail_obstacle(message)) ||
            case when marketing_automation_internal.mail_obstacle(message) is not null then ''
                 when message.next_attempt_at > clock_timestamp()
                 then ', to be sent from ' || marketing_automation_internal.moment(message.next_attempt_at)
                 else ', to be sent now' end
        when 'sending' then 'its mail is being sent'
        when 'deferred' then format('its mail is deferred until %s, attempt %s: %s',
            marketing_automation_internal.moment(message.next_attempt_at), message.attempts, coalesce(message.smtp_reply, 'no reply'))
            || coalesce('; ' || marketing_automation_internal.mail_obstacle(message), '')
        when 'in_doubt' then format('nobody knows whether its mail was taken (%s): retry(%s) or cancel(%s)', message.smtp_reply,
            message.id, message.id)
        when 'sent' then 'its mail was sent ' || marketing_automation_internal.moment(message.sent_at)
        when 'bounced' then format('its mail was sent %s and came back', marketing_automation_internal.moment(message.sent_at))
        when 'failed' then 'its mail failed: ' || coalesce(case when sees or message.smtp_reply !~ '^(template|sender|recipient|subject|message)\M'
            then message.smtp_reply else substring(message.smtp_reply from '^(?:template: )?[^:"]*') end, 'no reply')
        when 'suppressed' then 'its mail was not sent: ' || coalesce(message.smtp_reply, 'suppressed')
    end
$$;
comment on function marketing_automation_internal.explain_mail(marketing_automation.message, boolean) is
    'API: private. How a mail fares, in words. sees: whether they may quote the row';

-- functions/explain_again.sql
-- Entering again, told for people: how often a row has entered, for what, and when it does so next.

create or replace function marketing_automation_internal.entered_in_words(entered marketing_automation_internal.record) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('entered %s', marketing_automation_internal.moment((entered).entered_at))
        || case when (entered).run > 1 then format(', for the %s. time', (entered).run) else '' end
        || coalesce(', for the occasion "' || left((entered).occasion, 100) || '"', '')
$$;
comment on function marketing_automation_internal.entered_in_words(marketing_automation_internal.record) is
    'API: private. When a record entered, how often its row has, and for which occasion, for people';

create or replace function marketing_automation_internal.explain_earlier(earlier marketing_automation_internal.record) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Of the last one more is told: see explain_entering().
    select marketing_automation_internal.entered_in_words(earlier) || case
        when (earlier).end_reason is not null then format('; its journey ended %s, as %s',
            marketing_automation_internal.moment((earlier).ended_at), marketing_automation_internal.end_in_words((earlier).end_reason))
        else '' end
        || coalesce((
            select '; reached the goal ' || marketing_automation_internal.moment(c.at)
            from marketing_automation.conversion c where c.record_id = (earlier).id and c.source = 'goal'), '')
    where exists (
        select from marketing_automation_internal.record r
        where r.scenario_id = (earlier).scenario_id and r.key = (earlier).key and r.run > (earlier).run)
$$;
comment on function marketing_automation_internal.explain_earlier(marketing_automation_internal.record) is
    'API: private. What a record was whose row has entered again since, for people; no row for the last one';

create or replace function marketing_automation_internal.occasion_of_row(scenario marketing_automation.scenario, model marketing_automation.model,
    key text, sees boolean, out occasion text, out error text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    message text;
    code text;
begin
    select q.occasion into occasion
    from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
        marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
            marketing_automation_internal.as_occasion(scenario.occasion)), array[key]) as q (occasion text);
exception when others then
    get stacked diagnostics message = message_text, code = returned_sqlstate;
    error := format('%s (%s)', case when sees then message else marketing_automation_internal.public_error(message, code) end, code);
end $$;
comment on function marketing_automation_internal.occasion_of_row(marketing_automation.scenario, marketing_automation.model, text, boolean,
    out text, out text) is
    'API: private. The occasion for which a row would enter a scenario now, or why it cannot be told. sees: whether that may quote the row';

create or replace function marketing_automation_internal.missing_occasion(scenario marketing_automation.scenario, model marketing_automation.model,
    key text, sees boolean) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when o.error is not null then 'its occasion raises an error: ' || o.error
        when o.occasion is null then 'it waits for an occasion, which is null' end
    from marketing_automation_internal.occasion_of_row(scenario, model, key, sees) o
$$;
comment on function marketing_automation_internal.missing_occasion(marketing_automation.scenario, marketing_automation.model, text,
    boolean) is
    'API: private. Why a row has no occasion to enter for; null: it has one';

create or replace function marketing_automation_internal.next_entry_in_words(scenario marketing_automation.scenario, model marketing_automation.model,
    last marketing_automation_internal.record, sees boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    reenters_at timestamptz;
    its record;
    then_on text := ', if the domain is true for it then';
begin
    if not marketing_automation_internal.may_enter_again(scenario) then
        return null;
    end if;
    if scenario.occasion is not null then
        select o.occasion, o.error into its from marketing_automation_internal.occasion_of_row(scenario, model, last.key, sees) o;
        if its.error is not null then
            return 'does not enter again: its occasion raises an error: ' || its.error;
        elsif its.occasion is null then
            return 'enters again when it has an occasion, which is null';
        elsif exists (select from marketing_automation_internal.record r
            where r.scenario_id = last.scenario_id and r.key = last.key and r.occasion = its.occasion collate "C") then
            return format('enters again for another occasion than "%s"', left(its.occasion, 100));
        end if;
        then_on := format(', for the occasion "%s"', left(its.occasion, 100)) || then_on;
    end if;
    reenters_at := marketing_automation_internal.reenters_at(scenario, last);
    if reenters_at is null or exists (
        select from marketing_automation.activity a join marketing_automation_internal.outbox o on o.activity_id = a.id
        where a.scenario_id = scenario.id and o.record_id = last.id) then
        return format('enters again %safter this journey', coalesce(scenario.reenter_after || ' ', '')) || then_on;
    end if;
    return case when reenters_at > clock_timestamp() then 'enters again from ' || marketing_automation_internal.moment(reenters_at) || ' on'
        else 'the next enroll() enters it again' end || then_on;
end $$;
comment on function marketing_automation_internal.next_entry_in_words(marketing_automation.scenario, marketing_automation.model,
    marketing_automation_internal.record, boolean) is
    'API: private. When the row of a record, its last, enters the scenario again, for people; null: it never does';

-- functions/report_html.sql
-- A scenario's report as a page: what the reports say, gathered as one value, from which Rust makes HTML.

create or replace function marketing_automation_internal.report_mails(caller regrole, scenario marketing_automation.scenario, from_date date,
    to_date date) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    with span as materialized (
        select * from marketing_automation_internal.demand_dates(report_mails.from_date, report_mails.to_date)
    ), counted as (
        select t.activity_id, sum(t.done) as done, sum(t.skipped) as skipped, sum(t.cancelled) as cancelled, sum(t.failed) as failed,
               sum(t.mailed) as mailed, sum(t.not_sent) as not_sent, sum(t.opened) as opened, sum(t.clicked) as clicked
        from marketing_automation.activity a
        join marketing_automation_internal.activity_counter t on t.activity_id = a.id
        cross join span d
        where a.scenario_id = (report_mails.scenario).id
          and case when d.first is null and d.last is null then not t.rolled_up or t.period = '-infinity'
                   else isfinite(t.period) and t.period >= coalesce(d.first, '-infinity') and t.period < coalesce(d.last, 'infinity') end
        group by 1
    )
    select coalesce(jsonb_agg(jsonb_build_object('name', a.name, 'parent', p.name, 'depth', length(t.prefix) / 3, 'on_event', a.on_event,
               'delay', a.delay::text, 'sends', a.action is not distinct from 'send_email', 'done', coalesce(c.done, 0),
               'skipped', coalesce(c.skipped, 0),
               -- Who waits does so now, not on some days.
               'waiting', case when d.first is null and d.last is null then (
                   select count(*) from marketing_automation_internal.waiting_activity w where w.activity_id = a.id) end,
               'cancelled', coalesce(c.cancelled, 0), 'failed', coalesce(c.failed, 0), 'sent', coalesce(m.sent, 0),
               'under_way', greatest(coalesce(c.mailed - c.not_sent - m.sent, 0), 0), 'not_sent', coalesce(c.not_sent, 0),
               'opened', coalesce(c.opened, 0), 'clicked', coalesce(c.clicked, 0), 'returned', coalesce(m.bounced, 0),
               'unsubscribed', coalesce(m.unsubscribed, 0), 'complaints', coalesce(m.complaints, 0),
               'conversions', coalesce(m.conversions, 0), 'value', m.value::text) order by t.ordinal), '[]')
    from span d
    cross join marketing_automation_internal.activity_tree((report_mails.scenario).id) t
    join marketing_automation.activity a on a.id = t.activity_id
    left join marketing_automation.activity p on p.id = a.parent_id
    left join counted c on c.activity_id = a.id
    left join marketing_automation_internal.mail_report(caller, (report_mails.scenario).name, report_mails.from_date,
        report_mails.to_date) m on m.activity = a.name
$$;
comment on function marketing_automation_internal.report_mails(regrole, marketing_automation.scenario, date, date) is
    'API: private. The activities of a scenario with their numbers, for report_data()';

create or replace function marketing_automation_internal.report_domains(caller regrole, scenario text, from_date date, to_date date, most integer)
    returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    with report as materialized (
        select * from marketing_automation_internal.domain_report(caller, report_domains.scenario, report_domains.from_date,
            report_domains.to_date)
    ), unit as materialized (
        -- Not more columns than can be told apart.
        select min(r.day) as first, max(r.day) as last,
               case when max(r.day) - min(r.day) < 62 then 'day' when max(r.day) - min(r.day) < 430 then 'week' else 'month' end as unit
        from report r
    ), period as materialized (
        select p::date as start, p::date + 1 as after, row_number() over (order by p) as n
        from unit u cross join lateral generate_series(date_trunc(u.unit, u.first::timestamp), u.last, ('1 ' || u.unit)::interval) p
        where u.first is not null
    ), ranked as (
        select r.domain, row_number() over (order by sum(r.sent + r.failed) desc, r.domain) as rank from report r group by 1
    ), row as materialized (
        select r.*, date_trunc(u.unit, r.day::timestamp)::date as start, least(k.rank, most) as rank, k.rank >= most and (
                select count(*) from ranked) > most as others
        from report r cross join unit u join ranked k on k.domain is not distinct from r.domain
    ), cell as (
        select w.rank, w.start, sum(w.sent) as taken, sum(w.failed + w.hard_bounces + w.soft_bounces) as lost from row w group by 1, 2
    ), line as (
        select w.rank, case when not bool_or(w.others) then min(w.domain) end as domain, bool_or(w.others) as others, sum(w.sent) as sent,
               sum(w.opened) as opened, sum(w.failed) as failed, sum(w.hard_bounces + w.soft_bounces) as returned,
               sum(w.complaints) as complaints, sum(w.deferrals) as deferrals
        from row w group by 1
    )
    select jsonb_build_object('unit', (select u.unit from unit u),
        'starts', (select coalesce(jsonb_agg(p.start order by p.n), '[]') from period p),
        'rows', (
            select coalesce(jsonb_agg(to_jsonb(l) - 'rank' || (
                select jsonb_build_object('taken', jsonb_agg(coalesce(c.taken, 0) order by p.n), 'lost', jsonb_agg(coalesce(c.lost, 0)
                    order by p.n))
                from period p left join cell c on c.start = p.start and c.rank = l.rank) order by l.rank), '[]')
            from line l))
$$;
comment on function marketing_automation_internal.report_domains(regrole, text, date, date, integer) is
    'API: private. The recipient domains with most mails, the last row being the sum of all others, over days, weeks or months, for '
    'report_data()';

create or replace function marketing_automation_internal.report_data(caller regrole, scenario text, from_date date, to_date date) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp set datestyle = 'ISO' set intervalstyle = 'postgres' as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, report_data.scenario, 'count');
    -- A page, not a list of all there is.
    most_links constant integer := 20;
    most_domains constant integer := 8;
    most_weeks constant integer := 26;
    first timestamptz;
    last timestamptz;
    result jsonb;
begin
    select d.first, d.last into first, last from marketing_automation_internal.demand_dates(report_data.from_date, report_data.to_date) d;
    if not isfinite(report_data.from_date) or not isfinite(report_data.to_date) then
        raise exception 'a report needs finite dates, not from % to %', report_data.from_date, report_data.to_date
            using errcode = 'invalid_parameter_value', hint = 'Leave one of them away for what there is on its side.';
    end if;
    -- Records that entered, also of a draft: what its domain matches would be asked anew by each reader.
    select jsonb_build_object('name', chosen.name, 'title', chosen.title, 'state', chosen.state, 'from', report_data.from_date,
               'to', report_data.to_date, 'now', to_char(statement_timestamp(), 'YYYY-MM-DD"T"HH24:MI:SS'),
               'records', coalesce(sum(t.records), 0), 'blocked', coalesce(sum(t.blocked), 0))
    into result
    from marketing_automation_internal.scenario_counter t
    where t.scenario_id = chosen.id
      and case when first is null and last is null then not t.rolled_up or t.period = '-infinity'
               else isfinite(t.period) and t.period >= coalesce(first, '-infinity') and t.period < coalesce(last, 'infinity') end;
    result := result || (
        select jsonb_build_object('held_out', count(*)) from marketing_automation_internal.record r
        where r.scenario_id = chosen.id and r.held_out and (first is null or r.entered_at >= first)
          and (last is null or r.entered_at < last));
    result := result || (
        select jsonb_build_object('conversions', count(*), 'value', sum(c.value)::text) from marketing_automation.conversion c
        where c.scenario_id = chosen.id and (first is null or c.at >= first) and (last is null or c.at < last));
    result := result || jsonb_build_object(
        'mails', marketing_automation_internal.report_mails(caller, chosen, report_data.from_date, report_data.to_date),
        'domains', marketing_automation_internal.report_domains(caller, chosen.name, report_data.from_date, report_data.to_date,
            most_domains));
    result := result || (
        select jsonb_build_object('links_left', greatest(count(*) - most_links, 0), 'links', coalesce(jsonb_agg(jsonb_build_object(
            'mail', l.activity, 'link', l.link, 'people', l.people, 'clicks', l.clicks, 'share', l.share, 'robots', l.robot_clicks)
            order by l.n) filter (where l.n <= most_links), '[]'))
        from (select r.*, row_number() over (order by r.clicks desc, r.robot_clicks desc, r.ordinality) as n
              from marketing_automation_internal.link_report(caller, chosen.name, null, report_data.from_date, report_data.to_date)
                  with ordinality r) l);
    result := result || (
        select jsonb_build_object('hours', coalesce(jsonb_agg(jsonb_build_array(h.hours, h.opened, h.clicked) order by h.hours), '[]'))
        from marketing_automation_internal.timing_report(caller, chosen.name, null, report_data.from_date, report_data.to_date) h);
    result := result || (
        select jsonb_build_object('cohorts_left', greatest(count(*) - most_weeks, 0), 'cohorts', coalesce(jsonb_agg(jsonb_build_object(
            'week', c.week, 'entered', c.entered, 'mailed', c.mailed, 'in_1', c.converted_in_1_day, 'in_7', c.converted_in_7_days,
            'in_30', c.converted_in_30_days, 'value', c.value_in_30_days::text) order by c.week) filter (where c.n <= most_weeks), '[]'))
        from (select r.*, row_number() over (order by r.week desc) as n
              from marketing_automation_internal.cohort_report(caller, chosen.name, report_data.from_date, report_data.to_date) r) c);
    -- Of the whole time: an experiment is drawn by lot once, and judged as a whole.
    return result || (
        select jsonb_build_object('comparisons', coalesce(jsonb_agg(jsonb_build_object('about', null, 'groups', jsonb_build_array(
                jsonb_build_object('kind', 'mailed', 'people', u.mailed, 'converted', u.mailed_conversions),
                jsonb_build_object('kind', 'held_out', 'people', u.held_out, 'converted', u.held_out_conversions)),
            'effects', case when u.uplift is null then '[]' else jsonb_build_array(
                jsonb_build_object('difference', u.uplift, 'low', u.uplift_low, 'high', u.uplift_high)) end)), '[]'))
        from marketing_automation_internal.uplift_report(caller, chosen.name) u where u.held_out > 0);
end $$;
comment on function marketing_automation_internal.report_data(regrole, text, date, date) is
    'API: private. What report_html() shows, as numbers; see src/report/data.rs';

create or replace function marketing_automation_internal.report_html(caller regrole, scenario text, from_date date, to_date date, language text)
    returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select marketing_automation_internal.render_report(
        marketing_automation_internal.report_data(caller, report_html.scenario, report_html.from_date, report_html.to_date),
        coalesce(report_html.language, 'en'))
$$;
comment on function marketing_automation_internal.report_html(regrole, text, date, date, text) is 'API: private. Behind report_html()';

create or replace function marketing_automation.report_html(scenario text, from_date date default null, to_date date default null,
    language text default 'en') returns text
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.report_html(text, date, date, text) is
    'API: public. The report of a scenario as one HTML page, with pictures and without scripts: its mails, links, recipient domains, hours '
    'until reading, weeks of entry, and the effect where records are held out. from_date, to_date: as for the reports that it is made of '
    '(null: no limit); language: BCP 47 or POSIX, one of the pages'' languages, else English. Times are in the time zone of the session';

-- functions/explain.sql
-- Why has this customer (not) got that mail: one record of a scenario, told for people.

create or replace function marketing_automation_internal.moment(at timestamptz) returns text
language sql stable parallel safe
return date_trunc('second', at)::text;
comment on function marketing_automation_internal.moment(timestamptz) is
    'API: private. A time for people: to the second, in the time zone of the session';

create or replace function marketing_automation_internal.end_in_words(reason text) returns text
language sql immutable
return case reason when 'exited' then 'the exit condition was true' when 'goal_reached' then 'the goal was reached'
    when 'entered_again' then 'its row entered again' end;
comment on function marketing_automation_internal.end_in_words(text) is 'API: private. Why a journey ended, for people';

create or replace function marketing_automation_internal.canonical_key(scenario marketing_automation.scenario, key text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
begin
    model := marketing_automation_internal.usable_model(scenario);
    return coalesce((
        select q.key
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                marketing_automation_internal.as_key(model.key, model.key_type)), array[key]) as q (key text)
        limit 1), key);
exception when others then
    -- Whoever asks meets the error again where it can be told.
    return key;
end $$;
comment on function marketing_automation_internal.canonical_key(marketing_automation.scenario, text) is
    'API: private. A key as records have it: 7 for 007 of a bigint; the text itself while no row has it';

create or replace function marketing_automation_internal.chosen_when(its_topic text, its_party text, its_hash bytea) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((
        select format(', by its %s %s (%s)', case when u.address_hash is null then 'party' else 'address' end,
            marketing_automation_internal.moment(u.at), u.source)
        from marketing_automation.subscription u
        where u.topic = its_topic and (u.party = its_party and u.address_hash is null or u.address_hash = its_hash)
        order by u.state desc, u.at limit 1), '')
$$;
comment on function marketing_automation_internal.chosen_when(text, text, bytea) is
    'API: private. Whose choice of a topic forbids mails, since when, and where it came from, for people; empty: nobody has chosen';

create or replace function marketing_automation_internal.explain_entering(scenario marketing_automation.scenario, key text, sees boolean)
    returns table (fact text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    model marketing_automation.model;
    entered marketing_automation_internal.record;
    status marketing_automation.scenario_status;
    unsubscribed_at timestamptz;
    withheld text;
    -- Mails that go on then.
    others text := (
        select string_agg(distinct format('"%s"', c.name), ', ') from marketing_automation.activity a
        cross join lateral marketing_automation_internal.its_class(a) c
        where a.scenario_id = scenario.id and a.action = 'send_email' and not c.honors_unsubscribe);
    obstacle text;
    its_party text;
    its_email text;
    its_zone text;
    row_exists boolean := false;
    matches boolean;
    message text;
    code text;
begin
    begin
        model := marketing_automation_internal.usable_model(scenario);
        select q.* into its_party, its_email, its_zone
        from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
                concat_ws(', ', marketing_automation_internal.as_text(model.party), marketing_automation_internal.as_text(model.email),
                marketing_automation_internal.as_text(model.time_zone))),
            array[key]) as q (party text, email text, time_zone text);
        row_exists := found;
        obstacle := case when not row_exists then format('model "%s" has no row with this key', model.name) end;
    exception when others then
        get stacked diagnostics message = message_text, code = returned_sqlstate;
        obstacle := format('its row cannot be read: %s (%s)', case when sees then message
            else marketing_automation_internal.public_error(message, code) end, code);
    end;
    select r.* into entered from marketing_automation_internal.record r
    where r.scenario_id = scenario.id and r.key = explain_entering.key order by r.run desc limit 1;
    select min(u.created_at) into unsubscribed_at from marketing_automation.unsubscription u
    where u.scenario_id in (0, scenario.id) and u.party = coalesce(entered.party, its_party);
    withheld := marketing_automation_internal.withheld(scenario.topic, coalesce(entered.party, its_party),
        marketing_automation.address_hash(its_email));
    select s.* into status from marketing_automation.scenario_status s where s.scenario_id = scenario.id;

    if entered.id is not null then
        fact := marketing_automation_internal.entered_in_words(entered);
        return next;
        if entered.blocked_at is not null then
            fact := format('blocked %s: nothing more runs', marketing_automation_internal.moment(entered.blocked_at));
            return next;
        elsif unsubscribed_at is not null then
            fact := format('its party unsubscribed %s: %s', marketing_automation_internal.moment(unsubscribed_at),
                coalesce('only mails of class ' || others || ' go on', 'nothing more runs'));
            return next;
        elsif withheld is not null then
            fact := withheld || marketing_automation_internal.chosen_when(scenario.topic, coalesce(entered.party, its_party),
                marketing_automation.address_hash(its_email))
                || coalesce(': only mails of class ' || others || ' go there', ': no mail of the scenario goes there');
            return next;
        end if;
        fact := coalesce((
            select 'reached the goal ' || marketing_automation_internal.moment(c.at) || coalesce(', credited to "' || a.name || '"', '')
                || case when scenario.goal_ends_journey then ': nothing more runs' else '' end
            from marketing_automation.conversion c left join marketing_automation.activity a on a.id = c.activity_id
            where c.record_id = entered.id and c.source = 'goal'),
            case when entered.goal_before then 'had reached the goal before it entered: no conversion' end, (
            select 'may reach the goal until ' || marketing_automation_internal.moment(g.until)
            from marketing_automation_internal.open_goal g where g.scenario_id = scenario.id and g.record_id = entered.id));
        if entered.held_out then
            fact := concat_ws('; ', fact, 'is held out: no activity starts, only its goal is measured');
        end if;
        if fact is not null then
            return next;
        end if;
        if entered.held_out then
            fact := case when obstacle is null then marketing_automation_internal.next_entry_in_words(scenario, model, entered, sees) end;
            if fact is not null then
                return next;
            end if;
            return;
        end if;
        if entered.end_reason is not null and not (entered.end_reason = 'goal_reached' and coalesce(fact like '%: nothing more runs', false)) then
            fact := format('its journey ended %s, as %s: nothing more runs', marketing_automation_internal.moment(entered.ended_at),
                marketing_automation_internal.end_in_words(entered.end_reason));
            return next;
        end if;
        if obstacle is not null then
            fact := obstacle;
            return next;
        end if;
        fact := marketing_automation_internal.next_entry_in_words(scenario, model, entered, sees);
        if fact is not null then
            return next;
        end if;
        if scenario.state <> 'running' then
            fact := format('the scenario is %s: what waits is kept and does not run', scenario.state);
            return next;
        end if;
    else
        obstacle := coalesce(obstacle, (
            select p.error from marketing_automation_internal.poisonous_row p
            where p.scenario_id = scenario.id and p.key = explain_entering.key and p.error_code = '23505' limit 1));
        if obstacle is null then
            begin
                select q.matches into matches
                from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
                    marketing_automation_internal.key_query(model.relation, model.key, model.key_type, format(E'(%s\n)', scenario.domain)),
                    array[key]) as q (matches boolean);
                obstacle := case when matches then null else format('the domain is %s for it', case when matches is null then 'null'
                    else 'false' end) end;
            exception when others then
                get stacked diagnostics message = message_text, code = returned_sqlstate;
                obstacle := format('the domain raises an error for it: %s (%s)', case when sees then message
                    else marketing_automation_internal.public_error(message, code) end, code);
            end;
        end if;
        if obstacle is null and scenario.occasion is not null then
            obstacle := marketing_automation_internal.missing_occasion(scenario, model, key, sees);
        end if;
        if obstacle is not null then
            fact := 'has not entered: ' || obstacle;
            return next;
        end if;
        if unsubscribed_at is not null and others is null then
            fact := format('has not entered: its party unsubscribed %s', marketing_automation_internal.moment(unsubscribed_at));
            return next;
        end if;
        if withheld is not null and others is null then
            fact := format('has not entered: %s', withheld || marketing_automation_internal.chosen_when(scenario.topic,
                coalesce(entered.party, its_party), marketing_automation.address_hash(its_email)));
            return next;
        end if;
        if scenario.state <> 'running' then
            fact := format('has not entered: the scenario is %s, only a running one enrolls', scenario.state);
            return next;
        end if;
        if obstacle is null and (unsubscribed_at is null and withheld is null or others is not null) and scenario.state = 'running' then
            fact := 'has not entered yet, the next enroll() enters it; '
                || coalesce('the last one ran ' || marketing_automation_internal.moment(status.last_enrolled_at), 'none has run');
            return next;
        end if;
    end if;
    if its_email is not null and marketing_automation.is_suppressed(its_email) then
        fact := 'its address is suppressed: no mail goes there';
        return next;
    elsif unsubscribed_at is null
        and marketing_automation_internal.has_left(marketing_automation.address_hash(its_email), scenario.id, coalesce(entered.party, its_party)) then
        fact := 'its address has unsubscribed: ' || coalesce('only mails of class ' || others || ' go there', 'no mail of the scenario goes there');
        return next;
    elsif row_exists and nullif(trim(its_email), '') is null then
        fact := 'has no e-mail address: activities that send mail go on without';
        return next;
    end if;
    if its_zone <> '' and not marketing_automation_internal.is_time_zone(its_zone) then
        fact := format('its time zone "%s" does not exist: delays count in that of the database', its_zone);
        return next;
    end if;
    -- What is said of other rows is none of this one's.
    if status.last_error is not null
        and status.last_error is distinct from (marketing_automation_internal.poisonous_summary(scenario.id, true)).message then
        fact := format('the last run of the scenario failed %s: %s (%s)',
                           marketing_automation_internal.moment(status.last_error_at), case when sees then status.last_error
                               else marketing_automation_internal.public_error(status.last_error, status.last_error_code) end,
                           status.last_error_code);
        return next;
    end if;
end $$;
comment on function marketing_automation_internal.explain_entering(marketing_automation.scenario, text, boolean) is
    'API: private. Facts about a row as a record of a scenario: entered or why not, and what keeps it from going on. sees: whether it may quote the row';

create or replace function marketing_automation_internal.explain_activities(scenario marketing_automation.scenario, of_record bigint,
    sees boolean)
returns table (activity_id integer, about text, fact text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    node record;
    its_zone text := (select r.time_zone from marketing_automation_internal.record r where r.id = of_record);
    blocked boolean := (select r.blocked_at is not null from marketing_automation_internal.record r where r.id = of_record);
    is_held_out boolean := (select r.held_out from marketing_automation_internal.record r where r.id = of_record);
    its_end text := (select r.end_reason from marketing_automation_internal.record r where r.id = of_record);
    arrived boolean := scenario.goal_ends_journey
        and exists (select from marketing_automation.conversion c where c.record_id = of_record and c.source = 'goal');
    -- Activities that will not run any more, and neither what follows them.
    dead integer[] := '{}';
    event text;
    mails bigint[] := array(select l.id from marketing_automation_internal.message_log l where l.record_id = of_record);
begin
    -- The queue has no index on the record: it is looked through only for what is not in the log.
    if exists (
        select from marketing_automation_internal.finished_activity f
        where f.record_id = of_record and f.outcome = 'mailed'
          and not exists (select from marketing_automation_internal.message_log l where l.record_id = of_record
              and l.activity_id = f.activity_id)) then
        mails := mails || array(select o.id from marketing_automation_internal.outbox o where o.record_id = of_record);
    end if;
    for node in
        select t.prefix, a, f, w.at as waits_until, m, p as parent, pf, pm, its.name as send_window,
               d.record_id is not null and d.activity_id is distinct from a.id as is_passed_over, taken.name as taken,
               case when w.at is not null then marketing_automation_internal.time_to_run(a, its, its_zone, w.at) end as runs_at,
               -- The other side of its event that ran, or whose activity it is.
               (select o.name from marketing_automation.activity o
                join marketing_automation_internal.finished_activity x on x.activity_id = o.id and x.record_id = of_record
                    and x.state = 'done'
                where o.parent_id = a.parent_id and o.on_event = marketing_automation_internal.opposite_event(a.on_event)
                order by x.finished_at limit 1) as opposite
        from marketing_automation_internal.activity_tree(scenario.id) t
        join marketing_automation.activity a on a.id = t.activity_id
        left join marketing_automation.activity p on p.id = a.parent_id
        left join marketing_automation_internal.finished_activity f on f.record_id = of_record and f.activity_id = a.id
        left join marketing_automation_internal.waiting_activity w on w.record_id = of_record and w.activity_id = a.id
        left join marketing_automation_internal.its_window(a) its on its.name is not null
        left join marketing_automation_internal.finished_activity pf on pf.record_id = of_record and pf.activity_id = a.parent_id
        left join marketing_automation.message m on m.id = any (mails) and m.activity_id = a.id
        left join marketing_automation.message pm on pm.id = any (mails) and pm.activity_id = a.parent_id
        left join marketing_automation_internal.branch_decision d on a.on_event is null and d.record_id = of_record and d.parent_id = a.parent_id
        left join marketing_automation.activity taken on taken.id = d.activity_id
        order by t.ordinal
    loop
        activity_id := (node.a).id;
        about := node.prefix || (node.a).name;
        -- What happened or must happen to the parent's mail.
        event := case (node.a).on_event when 'email_opened' then 'opened' when 'email_not_opened' then 'opened'
                                        when 'email_clicked' then 'clicked' when 'email_not_clicked' then 'clicked'
                                        when 'email_bounced' then 'returned' when 'email_not_bounced' then 'returned' end;
        fact := case
            when node.waits_until is not null and arrived then
                format('is cancelled when it is due, %s: the goal was reached', marketing_automation_internal.moment(node.waits_until))
            when node.waits_until is not null and its_end is not null then
                format('is cancelled when it is due, %s: %s', marketing_automation_internal.moment(node.waits_until),
                    marketing_automation_internal.end_in_words(its_end))
            when node.waits_until is not null then
                case when node.runs_at > clock_timestamp() then 'waits until ' || marketing_automation_internal.moment(node.runs_at)
                     when scenario.state <> 'running' then format('due since %s, runs when the scenario does',
                         marketing_automation_internal.moment(node.waits_until))
                     else format('due since %s, runs with the next process_due()',
                         marketing_automation_internal.moment(node.waits_until)) end
                || coalesce(', by send window "' || node.send_window || '"', '')
                || case when (node.a).on_event like 'email\_not\_%' and (node.pf).outcome = 'mailed' then
                    format(', unless the mail of "%s" is %s before', (node.parent).name, event) else '' end
            when (node.f).state = 'done' then
                format('done %s', marketing_automation_internal.moment((node.f).finished_at))
                || case (node.f).outcome
                    when 'mailed' then ', ' || coalesce(marketing_automation_internal.explain_mail(node.m, sees),
                        'its mail is no longer in the log')
                        || coalesce(', opened ' || marketing_automation_internal.moment((node.f).opened_at), '')
                        || coalesce(', clicked ' || marketing_automation_internal.moment((node.f).clicked_at), '')
                        || coalesce(', returned ' || marketing_automation_internal.moment((node.f).bounced_at), '')
                    when 'expired' then ', did nothing: its date was too long ago'
                    when 'no_address' then ', without a mail: the row had no address'
                    when 'condition_not_met' then ', did nothing: its condition was not true'
                    when 'row_missing' then ', did nothing: the row was gone'
                    else '' end
            when (node.f).state = 'cancelled' then
                format('cancelled %s: ', marketing_automation_internal.moment((node.f).finished_at))
                || case (node.f).outcome
                    when 'blocked' then 'the record was blocked'
                    when 'goal_reached' then 'the goal was reached'
                    when 'exited' then marketing_automation_internal.end_in_words('exited')
                    when 'no_date' then 'it had no date'
                    when 'entered_again' then marketing_automation_internal.end_in_words('entered_again')
                    when 'opposite_executed' then format('"%s" ran', node.opposite)
                    else format('the mail of "%s" was %s', (node.parent).name, event) end
            when (node.f).state = 'failed' then
                format('failed %s: %s (%s)', marketing_automation_internal.moment((node.f).finished_at), case when sees then (node.f).error
                    else marketing_automation_internal.public_error((node.f).error, (node.f).error_code) end,
                    (node.f).error_code)
            -- It has no row. Why not?
            when blocked then 'never starts: the record is blocked'
            when arrived then 'never starts: the goal was reached'
            when its_end is not null then 'never starts: ' || marketing_automation_internal.end_in_words(its_end)
            when is_held_out then 'never starts: the record is held out'
            when (node.a).parent_id is null then
                case when (node.a).condition is null then 'never starts: it was added after the record had entered'
                     else 'never starts: its condition was not true when the record entered, or it was added later' end
            when (node.a).parent_id = any (dead) then format('never starts: "%s" does not', (node.parent).name)
            when node.pf is null and event is not null and (node.a).on_event not like 'email\_not\_%' then
                format('starts when the mail of "%s" is %s', (node.parent).name, event)
            when node.pf is null and (node.parent).action = 'send_email' then format('starts when the mail of "%s" has gone',
                (node.parent).name)
            when node.pf is null and (node.a).on_event = 'condition_not_met' then
                format('starts when the condition of "%s" is not true', (node.parent).name)
            when node.pf is null then format(case when (node.parent).branch_by is null then 'starts when "%s" has run'
                else 'starts if "%s" decides on it' end, (node.parent).name)
            when (node.pf).state <> 'done' then format('never starts: "%s" %s', (node.parent).name, case (node.pf).state when 'failed'
                then 'failed' else 'was cancelled' end)
            when (node.a).on_event = 'condition_not_met' then format(case (node.pf).outcome
                when 'condition_not_met' then 'never starts: it was added after "%s" had run'
                when 'row_missing' then 'never starts: the row was gone when "%s" ran'
                else 'never starts: the condition of "%s" was true' end, (node.parent).name)
            when node.is_passed_over then format('never starts: "%s" decided on %s', (node.parent).name,
                coalesce('"' || node.taken || '"', 'none of what follows it'))
            when (node.pf).outcome = 'condition_not_met' then format('never starts: the condition of "%s" was not true', (node.parent).name)
            when (node.pf).outcome = 'expired' then format('never starts: the date of "%s" was too long ago', (node.parent).name)
            when (node.pf).outcome = 'row_missing' then format('never starts: the row was gone when "%s" ran', (node.parent).name)
            when (node.pf).outcome = 'no_address' and event is not null and (node.a).on_event not like 'email\_not\_%' then
                format('never starts: "%s" had no address to send to', (node.parent).name)
            when (node.pf).outcome = 'mailed' and (node.pm).state in ('failed', 'suppressed') then
                format('never starts: the mail of "%s" was not sent', (node.parent).name)
            when node.opposite is not null then format('never starts: "%s" ran', node.opposite)
            when (node.a).on_event like 'email\_not\_%' and case event when 'opened' then (node.pf).opened_at when 'clicked'
                then (node.pf).clicked_at else (node.pf).bounced_at end is not null then
                format('never starts: the mail of "%s" was %s', (node.parent).name, event)
            when (node.pf).outcome = 'mailed' and event is not null and (node.a).on_event not like 'email\_not\_%'
                and case event when 'opened' then (node.pf).opened_at when 'clicked' then (node.pf).clicked_at
                    else (node.pf).bounced_at end is null then
                format('starts when the mail of "%s" is %s', (node.parent).name, event)
            when (node.pm).sent_at is null and (node.pm).id is not null then
                format('starts when the mail of "%s" has gone', (node.parent).name)
            else format('never starts: it was added after "%s" had run', (node.parent).name)
        end;
        if fact like 'never starts:%' then
            dead := dead || (node.a).id;
        end if;
        return next;
    end loop;
end $$;
comment on function marketing_automation_internal.explain_activities(marketing_automation.scenario, bigint, boolean) is
    'API: private. For each activity of the tree what a record did or waits for, or why it never will. sees: whether it may quote the row';

create or replace function marketing_automation_internal.explain_record(caller regrole, scenario text, key text)
    returns table (about text, fact text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario, 'read');
    sees boolean := marketing_automation_internal.sees_rows(caller, chosen.id);
    its_key text;
begin
    if key is null then
        raise exception 'key must not be null' using errcode = 'null_value_not_allowed';
    end if;
    -- It asks several times of one row.
    perform marketing_automation_internal.begin_turn();
    its_key := marketing_automation_internal.canonical_key(chosen, key);
    return query
        select 'record'::text, e.fact from marketing_automation_internal.explain_entering(chosen, its_key, sees) e;
    return query
        select e.about, e.fact
        from marketing_automation_internal.record r
        cross join lateral (
            select 1 as part, 0::bigint as n, 'record'::text as about, f.fact from marketing_automation_internal.explain_earlier(r) f (fact)
            union all
            select 2, a.n, a.about, a.fact
            from marketing_automation_internal.explain_activities(chosen, r.id, sees) with ordinality a (activity_id, about, fact, n)) e
        where r.scenario_id = chosen.id and r.key = its_key
        order by r.run desc, e.part, e.n;
    perform marketing_automation_internal.end_turn();
end $$;
comment on function marketing_automation_internal.explain_record(regrole, text, text) is 'API: private. Behind explain_record()';

create or replace function marketing_automation.explain_record(scenario text, key text) returns table (about text, fact text)
language c stable as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.explain_record(text, text) is
    'API: public. A row of a model in a scenario, one line a fact: when it entered or why not, and for each activity of the tree '
    'what it did or waits for, why it was cancelled, failed or never starts; of a row that has entered again, the last '
    'time first. Errors that may quote the row are told to who sees_rows() only';

-- functions/simulate.sql
-- What would happen to this row? The machine itself runs, on a record of its own and at assumed times, in a subtransaction
-- that is rolled back: a second implementation would sooner or later tell something else.

create or replace function marketing_automation_internal.simulated_events(scenario marketing_automation.scenario, events jsonb)
returns table (n integer, activity_id integer, kind text, "after" interval, at timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    fields constant text[] := array['activity', 'event', 'after', 'at'];
    kinds constant text[] := array['email_opened', 'email_clicked', 'email_bounced', 'unsubscribed'];
    example constant text := '[{"activity": "hello", "event": "email_opened", "after": "2 hours"}]';
    item jsonb;
    field text;
begin
    if jsonb_typeof(events) is distinct from 'array' then
        raise exception 'events must be a JSON array' using errcode = 'invalid_parameter_value', hint = 'For instance ' || example;
    end if;
    n := 0;
    for item in select e from jsonb_array_elements(events) e loop
        n := n + 1;
        if jsonb_typeof(item) <> 'object' or not item ?& array['activity', 'event'] then
            raise exception 'event % does not say which event of which activity', n
                using errcode = 'invalid_parameter_value', hint = 'For instance ' || example;
        end if;
        field := (select k from jsonb_object_keys(item) k where k <> all (fields) limit 1);
        if field is not null then
            raise exception 'event % has an unknown field "%"', n, field
                using errcode = 'invalid_parameter_value',
                      hint = coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(field, fields) || '".',
                                      format('Its fields are: %s.', array_to_string(fields, ', ')));
        end if;
        activity_id := marketing_automation_internal.activity_named(scenario, item ->> 'activity');
        if not exists (select from marketing_automation.activity a where a.id = simulated_events.activity_id
            and a.action = 'send_email') then
            raise exception 'event % cannot happen: activity "%" sends no e-mail', n, item ->> 'activity'
                using errcode = 'invalid_parameter_value';
        end if;
        kind := item ->> 'event';
        if kind is null or kind <> all (kinds) then
            raise exception 'event % is unknown: "%"', n, kind
                using errcode = 'invalid_parameter_value',
                      hint = coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(kind, kinds) || '".',
                                      format('Events are: %s.', array_to_string(kinds, ', ')));
        end if;
        "after" := item ->> 'after';
        at := item ->> 'at';
        if ("after" is null) = (at is null) or "after" < interval '0' or not isfinite(at) then
            raise exception 'event % needs either "after", an interval since its mail was sent, or "at", a time', n
                using errcode = 'invalid_parameter_value', hint = 'For instance ' || example;
        end if;
        return next;
    end loop;
end $$;
comment on function marketing_automation_internal.simulated_events(marketing_automation.scenario, jsonb) is
    'API: private. The events of simulate() as rows; raises for what does not exist, with a hint';

create or replace function marketing_automation_internal.simulate_record(
    scenario marketing_automation.scenario, of_record bigint, record_uuid uuid, events jsonb, start timestamptz, sees boolean
) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    told jsonb := '[]';
    its_error text;
    its_code text;
    step timestamptz := start;
    -- Of the events and activities, those that have been told.
    happened integer[] := '{}';
    ended integer[] := '{}';
    due record;
    hit record;
    mail record;
    changed bigint;
    moved_to timestamptz;
    moves integer := 0;
    no_opens bigint[];
    no_clicks bigint[];
    -- Its mails come after; the queue has no index on the record.
    last_message bigint := nextval('marketing_automation_internal.message_id_seq');
begin
    loop
        select w.activity_id, w.at into due
        from marketing_automation_internal.waiting_activity w where w.record_id = of_record order by w.at, w.activity_id limit 1;
        select e.*, coalesce(e.at, m.sent_at + e."after") as occurs_at, m.email into hit
        from marketing_automation_internal.simulated_events(scenario, events) e
        join marketing_automation_internal.message_log m on m.record_id = of_record and m.activity_id = e.activity_id
        where e.n <> all (happened) and coalesce(e.at, m.sent_at + e."after") >= m.sent_at
        order by 6, e.n limit 1;
        exit when due.at is null and hit.n is null;

        if hit.occurs_at <= due.at or due.at is null then
            step := hit.occurs_at;
            happened := happened || hit.n;
            select count(f.opened_at) + count(f.clicked_at) + count(f.bounced_at) into changed
                from marketing_automation_internal.finished_activity f where f.record_id = of_record;
            if hit.kind = 'unsubscribed' then
                perform marketing_automation.block(record_uuid);
            else
                select c.no_opens, c.no_clicks into no_opens, no_clicks
                    from marketing_automation_internal.withheld_consent(array[of_record]) c;
                if of_record <> all (case hit.kind when 'email_opened' then no_opens when 'email_clicked' then no_clicks else '{}' end) then
                    perform marketing_automation_internal.mark_events(array[of_record], array[hit.activity_id], array[hit.kind],
                        array[step], no_opens);
                end if;
                if hit.kind = 'email_bounced' then
                    perform marketing_automation.suppress(hit.email, 'hard_bounce');
                end if;
            end if;
            select count(f.opened_at) + count(f.clicked_at) + count(f.bounced_at) - changed into changed
                from marketing_automation_internal.finished_activity f where f.record_id = of_record;
            told := told || jsonb_build_object('at', step, 'activity_id', hit.activity_id, 'outcome', hit.kind, 'detail',
                case hit.kind when 'unsubscribed' then 'unsubscribes: nothing more runs' when 'email_opened' then 'its mail is opened'
                              when 'email_clicked' then 'its mail is clicked' else 'its mail comes back' end
                || case when hit.kind <> 'unsubscribed' and changed = 0 then ', which changes nothing' else '' end);
        else
            step := due.at;
            if marketing_automation_internal.put_off(a, array[of_record], step) = '{}'
                from marketing_automation.activity a where a.id = due.activity_id then
                select told || jsonb_build_object('at', step, 'activity_id', due.activity_id, 'outcome', 'put_off', 'detail',
                    'waits until ' || marketing_automation_internal.moment(w.at)) into told
                from marketing_automation_internal.waiting_activity w
                where w.record_id = of_record and w.activity_id = due.activity_id;
                continue;
            end if;
            perform marketing_automation_internal.assume_time(step);
            select p.error, p.code into its_error, its_code
            from marketing_automation.activity a cross join lateral marketing_automation_internal.process_or_fail(a, array[of_record], step,
                marketing_automation_internal.record_query(a.id)) p
            where a.id = due.activity_id;
            if its_code is not null then
                raise exception using message = its_error, errcode = its_code;
            end if;
            select w.at into moved_to from marketing_automation_internal.waiting_activity w
            where w.record_id = of_record and w.activity_id = due.activity_id;
            if found then
                told := told || jsonb_build_object('at', step, 'activity_id', due.activity_id, 'outcome', 'put_off', 'detail',
                    'waits for its date, until ' || marketing_automation_internal.moment(moved_to));
                -- One that is always to come, such as tomorrow, would do so for ever.
                moves := moves + 1;
                exit when moves > 1000;
                continue;
            end if;
            -- The mail server takes every mail at once.
            update marketing_automation_internal.outbox o set state = 'sending', attempts = 1
            where o.id > last_message and o.record_id = of_record
            returning o.id, case when marketing_automation.is_suppressed(o.email) then 'its address is suppressed'
                else marketing_automation_internal.shut_out(o, step) end as objection into mail;
            if found then
                perform marketing_automation_internal.complete_messages(array[mail.id], array[1],
                    array[case when mail.objection is not null then 'failed' else 'sent' end],
                    array[mail.objection], array[0], now => step);
            end if;
        end if;

        select told || coalesce(jsonb_agg(jsonb_build_object('at', step, 'activity_id', a.id, 'outcome', f.outcome, 'detail', case f.outcome
                   when 'executed' then 'runs'
                   when 'mailed' then case when m.state = 'failed' then 'sends nothing: ' || m.smtp_reply else
                       format('sends "%s"', a.subject) end
                   when 'no_date' then 'is cancelled: it has no date'
                   when 'expired' then 'does nothing: its date was too long ago'
                   when 'no_address' then 'sends nothing: the row has no address'
                   when 'condition_not_met' then 'does nothing: its condition is not true'
                   when 'error' then format('fails: %s (%s)', case when sees then f.error
                       else marketing_automation_internal.public_error(f.error, f.error_code) end, f.error_code)
                   when 'blocked' then 'is cancelled: the record is blocked'
                   when 'goal_reached' then 'is cancelled: the goal is reached'
                   when 'exited' then 'is cancelled: the exit condition is true'
                   when 'opposite_executed' then format('is cancelled: "%s" ran', d.name)
                   when 'event_arrived' then format('is cancelled: the mail of "%s" was %s', p.name, case a.on_event
                       when 'email_not_opened' then 'opened' when 'email_not_clicked' then 'clicked' else 'returned' end)
                   end) order by a.id <> due.activity_id, a.id), '[]'),
               ended || coalesce(array_agg(a.id), '{}')
        into told, ended
        from marketing_automation_internal.finished_activity f
        join marketing_automation.activity a on a.id = f.activity_id
        left join marketing_automation.activity p on p.id = a.parent_id
        left join marketing_automation.activity d on d.id = due.activity_id
        left join marketing_automation_internal.message_log m on m.record_id = f.record_id and m.activity_id = f.activity_id
        where f.record_id = of_record and f.activity_id <> all (ended);
    end loop;

    return told || coalesce((
        select jsonb_agg(jsonb_build_object('activity_id', e.activity_id, 'outcome', 'not_started', 'detail', e.fact) order by t.ordinal)
        from marketing_automation_internal.explain_activities(scenario, of_record, sees) e
        join marketing_automation_internal.activity_tree(scenario.id) t on t.activity_id = e.activity_id
        where e.activity_id <> all (ended)), '[]') || coalesce((
        select jsonb_agg(jsonb_build_object('activity_id', e.activity_id, 'outcome', 'not_' || e.kind, 'detail',
            format('%s does not happen: its mail is %s', e.kind, case when m.sent_at is null then 'not sent'
                else 'sent later' end)) order by e.n)
        from marketing_automation_internal.simulated_events(scenario, events) e
        left join marketing_automation_internal.message_log m on m.record_id = of_record and m.activity_id = e.activity_id
        where e.n <> all (happened)), '[]');
end $$;
comment on function marketing_automation_internal.simulate_record(marketing_automation.scenario, bigint, uuid, jsonb, timestamptz,
    boolean) is
    'API: private. Runs all that waits for a record, and the events, each at its time, and tells what happens. For simulate(), which '
    'rolls it back. sees: whether that may quote the row';

create or replace function marketing_automation_internal.root_raises(
    scenario marketing_automation.scenario, model marketing_automation.model, key text
) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform from marketing_automation_internal.query_as_owner(scenario.owner_id, model.relation,
        marketing_automation_internal.key_query(model.relation, model.key, model.key_type,
            marketing_automation_internal.root_choice(scenario.id)), array[key]) as q (roots integer[]);
    return false;
exception when others then
    if marketing_automation_internal.is_passing_error(sqlstate) then
        raise;
    end if;
    return true;
end $$;
comment on function marketing_automation_internal.root_raises(marketing_automation.scenario, marketing_automation.model, text) is
    'API: private. Whether the condition of a root activity raises an error for a row';

create or replace function marketing_automation_internal.simulate_row(caller regrole, scenario text, key text, events jsonb, start timestamptz)
returns table (at timestamptz, activity text, outcome text, detail text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_for(caller, scenario, 'read');
    sees boolean := marketing_automation_internal.sees_rows(caller, chosen.id);
    model marketing_automation.model := marketing_automation_internal.usable_model(chosen);
    row record;
    row_exists boolean;
    of_record bigint;
    record_uuid uuid;
    told jsonb;
    obstacle text;
    again_at timestamptz;
    message text;
    code text;
begin
    if start is null or not isfinite(start) then
        raise exception 'start must be a time, not %', coalesce(start::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Leave it away for now.';
    end if;
    perform marketing_automation_internal.simulated_events(chosen, events);
    perform marketing_automation_internal.assume_time(start);
    if start <> now() then
        perform marketing_automation_internal.warn_of_present('domain', chosen.name, chosen.domain);
        perform marketing_automation_internal.warn_of_present('exit condition', chosen.name, chosen.exit_condition);
        perform marketing_automation_internal.warn_of_present('occasion', chosen.name, chosen.occasion);
        perform marketing_automation_internal.warn_of_present('condition', a.name, a.condition)
        from marketing_automation.activity a where a.scenario_id = chosen.id order by a.id;
    end if;
    begin
        select q.* into row
        from marketing_automation_internal.query_as_owner(chosen.owner_id, model.relation,
            marketing_automation_internal.key_query(model.relation, model.key, model.key_type, concat_ws(', ',
                marketing_automation_internal.as_key(model.key, model.key_type), marketing_automation_internal.as_text(model.party),
                -- A condition that raises an error does so when its activity runs, as for enroll_one().
                case when not marketing_automation_internal.root_raises(chosen, model, simulate_row.key)
                    then marketing_automation_internal.root_choice(chosen.id)
                     else format('%L::integer[]', array(select a.id from marketing_automation.activity a where a.scenario_id = chosen.id
                         and a.parent_id is null)) end,
                marketing_automation_internal.as_condition(chosen.domain), marketing_automation_internal.as_text(model.time_zone),
                marketing_automation_internal.topic_address(chosen, model), marketing_automation_internal.as_occasion(chosen.occasion))),
            array[simulate_row.key]) as q (key text, party text, roots integer[], matches boolean, time_zone text, email text, occasion text);
        row_exists := found;
    exception when others then
        get stacked diagnostics message = message_text, code = returned_sqlstate;
        if sees then
            raise;
        end if;
        raise exception 'row "%" cannot be simulated: %', key, marketing_automation_internal.public_error(message, code) using errcode = code;
    end;
    obstacle := case
        when not row_exists then format('model "%s" has no row with this key', model.name)
        when not row.matches then 'the domain is not true for it'
        when marketing_automation_internal.reaches_unsubscribed(chosen.id) then null
        when exists (
            select from marketing_automation.unsubscription u where u.scenario_id in (0, chosen.id) and u.party = row.party)
            then 'its party has unsubscribed'
        when chosen.occasion is not null and row.occasion is null then 'it waits for an occasion, which is null'
        else marketing_automation_internal.withheld(chosen.topic, row.party, marketing_automation.address_hash(row.email))
    end;
    perform marketing_automation_internal.assume_time(null);
    if obstacle is not null then
        at := start;
        outcome := 'not_entered';
        detail := 'does not enter: ' || obstacle;
        return next;
        return;
    end if;
    if marketing_automation_internal.is_held_out(chosen, coalesce(row.party, row.key)) then
        at := start;
        outcome := 'held_out';
        detail := 'enters and is held out: no activity starts, only its goal is measured';
        return next;
        return;
    end if;
    begin
        -- As if it had never been in the scenario.
        delete from marketing_automation_internal.record r where r.scenario_id = chosen.id and r.key = row.key;
        of_record := nextval('marketing_automation.record_id_seq');
        record_uuid := marketing_automation_internal.new_record_uuid(of_record);
        insert into marketing_automation_internal.record (id, scenario_id, key, party, uuid, entered_at, time_zone, occasion)
        values (of_record, chosen.id, row.key, row.party, record_uuid, start, row.time_zone, row.occasion);
        insert into marketing_automation_internal.waiting_activity (record_id, activity_id, at)
        select of_record, a.id, marketing_automation_internal.after_delay(start, case when a.at is null then a.delay end, row.time_zone)
        from marketing_automation.activity a where a.id = any (row.roots);
        told := marketing_automation_internal.simulate_record(chosen, of_record, record_uuid, events, start, sees);
        again_at := (select marketing_automation_internal.reenters_at(chosen, r) from marketing_automation_internal.record r
            where marketing_automation_internal.may_enter_again(chosen) and r.id = of_record and r.blocked_at is null);
        raise exception 'simulated' using errcode = 'MA001';
    exception when sqlstate 'MA001' then
        null; -- All that was written is gone; what was told is kept.
    end;
    at := start;
    outcome := 'entered';
    detail := 'enters' || coalesce(' for the occasion "' || left(row.occasion, 100) || '"', '');
    return next;
    return query
        select (t.item ->> 'at')::timestamptz, a.name, t.item ->> 'outcome', t.item ->> 'detail'
        from jsonb_array_elements(told) with ordinality t (item, n)
        join marketing_automation.activity a on a.id = (t.item ->> 'activity_id')::integer order by t.n;
    if again_at is not null then
        at := again_at;
        activity := null;
        outcome := 'enters_again';
        detail := 'enters again from then on, if the domain is true for it'
            || case when chosen.occasion is not null then ', for another occasion' else '' end;
        return next;
    end if;
end $$;
comment on function marketing_automation_internal.simulate_row(regrole, text, text, jsonb, timestamptz) is
    'API: private. What simulate() does within one limit of time';

create or replace function marketing_automation_internal.simulate(caller regrole, scenario text, key text, events jsonb, start timestamptz)
returns table (at timestamptz, activity text, outcome text, detail text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- It asks once for each activity, and a tree has many.
    perform marketing_automation_internal.begin_turn();
    return query select s.* from marketing_automation_internal.simulate_row(caller, scenario, key, events, start) s;
    perform marketing_automation_internal.end_turn();
end $$;
comment on function marketing_automation_internal.simulate(regrole, text, text, jsonb, timestamptz) is 'API: private. Behind simulate()';

create or replace function marketing_automation.simulate(scenario text, key text, events jsonb default '[]', start timestamptz default now())
returns table (at timestamptz, activity text, outcome text, detail text)
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.simulate(text, text, jsonb, timestamptz) is
    'API: public. What would happen to a row of a scenario''s model that entered it at start: a line for each activity and event, in '
    'order of time. Changes nothing, but needs a transaction that may write. The scenario need not run; every mail is taken at once; '
    'domain and conditions see the row as it is now. events: [{"activity": name, "event": "email_opened", "email_clicked", '
    '"email_bounced" (for good) or "unsubscribed", "after": interval since its mail was sent, or "at": time}, …]';

-- functions/export_person.sql
-- What is kept of a person: the counterpart of forget(), for whoever asks what you know of them (GDPR, article 15).

create or replace function marketing_automation.export_person(address text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    hash bytea := marketing_automation.address_hash(address);
    -- As in forget(): keys and parties may be addresses.
    needle text := lower(trim(address));
    mails bigint[];
    whose bigint[];
    parties text[];
begin
    if coalesce(needle, '') = '' then
        raise exception 'address must not be empty' using errcode = 'invalid_parameter_value';
    end if;
    select array_agg(m.id), array_agg(distinct m.record_id) filter (where m.record_id is not null) into mails, whose
    from marketing_automation.message m where m.email <> '' and marketing_automation.address_hash(m.email) = hash;
    select coalesce(array_agg(r.id), '{}'), coalesce(array_agg(distinct r.party) filter (where r.party is not null), '{}')
    into whose, parties
    from marketing_automation_internal.record r where r.id = any (whose) or lower(r.key) = needle or lower(r.party) = needle;
    -- All records of these rows: the last has perhaps not mailed yet.
    whose := marketing_automation_internal.records_of_same_rows(whose);
    parties := parties || needle;
    return jsonb_build_object(
        'address', trim(address),
        'records', (
            select coalesce(jsonb_agg(to_jsonb(x) - 'again' || x.again order by x.entered_at, x.scenario), '[]') from (
                select s.name as scenario, r.key, r.party, r.uuid, r.entered_at, r.blocked_at,
                    case when r.run > 1 or r.occasion is not null then jsonb_build_object('run', r.run, 'occasion', r.occasion) else '{}' end
                    as again, (
                    select coalesce(jsonb_agg(to_jsonb(y) order by y.at, y.activity), '[]') from (
                        select a.name as activity, ra.state, ra.outcome, ra.at, ra.finished_at, ra.opened_at, ra.clicked_at,
                               ra.bounced_at, ra.error
                        from marketing_automation.record_activity ra
                        left join marketing_automation.activity a on a.id = ra.activity_id
                        where ra.record_id = r.id) y) as activities
                from marketing_automation_internal.record r left join marketing_automation.scenario s on s.id = r.scenario_id
                where r.id = any (whose)) x),
        'messages', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at, x.id), '[]') from (
                select m.id, a.name as activity, m.email, m.recipient_name, m.language, m.time_zone, m.context, m.state, m.created_at,
                       m.sent_at, m.server, m.smtp_reply
                from marketing_automation.message m left join marketing_automation.activity a on a.id = m.activity_id
                where m.id = any (mails) or m.record_id = any (whose)) x),
        'events', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.occurred_at, x.kind), '[]') from (
                select e.kind, e.occurred_at, a.name as activity, l.url, e.method, e.address, e.user_agent, e.robot
                from marketing_automation_internal.event e
                left join marketing_automation.activity a on a.id = e.activity_id
                left join marketing_automation.link l on l.id = e.link_id
                where e.record_id = any (whose) or e.record_id is null and e.party = any (parties)) x),
        'conversions', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.at), '[]') from (
                select s.name as scenario, c.at, c.value, c.source
                from marketing_automation.conversion c left join marketing_automation.scenario s on s.id = c.scenario_id
                where c.record_id = any (whose)) x),
        'unsubscriptions', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at), '[]') from (
                select u.party, case u.scenario_id when 0 then 'everything' else s.name end as scenario, u.created_at
                from marketing_automation.unsubscription u left join marketing_automation.scenario s on s.id = u.scenario_id
                where u.party = any (parties)
                union all
                select null, case u.scenario_id when 0 then 'everything' else s.name end, u.created_at
                from marketing_automation_internal.unsubscribed_address u
                left join marketing_automation.scenario s on s.id = u.scenario_id
                where u.address_hash = hash) x),
        'subscriptions', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.at, x.topic), '[]') from (
                select u.topic, u.party, u.state, u.source, u.at
                from marketing_automation.subscription u where u.address_hash = hash or u.party = any (parties) or lower(u.party) = needle) x),
        'subscription_log', (
            select coalesce(jsonb_agg(to_jsonb(x) - 'id' order by x.id), '[]') from (
                select l.id, l.at, l.topic, l.party, l.state_before, l.state, l.source, l.user_agent
                from marketing_automation.subscription_log l
                where l.address_hash = hash or l.party = any (parties) or lower(l.party) = needle or l.record_id = any (whose)) x),
        'bounces', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.received_at), '[]') from (
                select b.kind, b.received_at, b.status, b.diagnostic
                from marketing_automation.bounce b where b.address_hash = hash) x),
        'suppression', (
            select to_jsonb(x) from (
                select s.reason, s.since, s.detail from marketing_automation.suppression s where s.address_hash = hash) x));
end $$;
comment on function marketing_automation.export_person(text) is
    'API: public. All that is kept of a person, found as forget() finds it: records and what ran for them, mails with what they were '
    'made of, events, conversions, what was left, what was chosen of topics, bounces, suppression. A superuser''s to call, as forget() is. The rows of your own '
    'tables are yours to add';

-- functions/revoke_access.sql
create or replace function marketing_automation.revoke_access(role regrole, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_name name := (select r.rolname from pg_roles r where r.oid = role);
    statement text;
begin
    if role is null then
        raise exception 'role must not be null' using errcode = 'null_value_not_allowed';
    end if;
    if its_name is null then
        raise exception 'role with OID % does not exist', role::oid using errcode = 'undefined_object';
    end if;
    perform marketing_automation_internal.follow_renamed_grants();
    delete from marketing_automation_internal.access_grant g where g.role = its_name and g.access = revoke_access.access;
    if not found then
        raise exception 'role "%" has no access "%"', its_name, access
            using errcode = 'undefined_object',
                  detail = coalesce((select 'It has ' || string_agg(g.access, ', ' order by g.access) || '.'
                      from marketing_automation_internal.access_grant g where g.role = its_name), 'It has none that grant_access() gave.'),
                  hint = 'Rights that somebody granted by hand are taken away by REVOKE.';
    end if;
    for statement in
        with had as (
            select r.privilege, o.name from marketing_automation_internal.access_right() r
            cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
            where r.access = revoke_access.access
        ), keeps as (
            select r.privilege, o.name
            from marketing_automation_internal.access_grant g
            join marketing_automation_internal.access_right() r on r.access = g.access
            cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
            where g.role = its_name
        ), lost as (
            select * from had except select * from keeps
        )
        select format(case l.privilege when 'execute' then 'revoke execute on routine %s from %I'
                          when 'select' then 'revoke select on %s from %I'
                          when 'delete' then 'revoke delete on %s from %I'
                          else 'revoke insert, update, delete on %s from %I' end,
                      coalesce(p.oid::regprocedure::text, c.oid::regclass::text), its_name)
        from lost l
        left join pg_proc p on l.privilege = 'execute' and p.pronamespace = 'marketing_automation'::regnamespace and p.proname = l.name
        left join pg_class c on l.privilege <> 'execute' and c.relnamespace = 'marketing_automation'::regnamespace and c.relname = l.name
        where coalesce(p.oid, c.oid) is not null
    loop
        execute statement;
    end loop;
    if not exists (select from marketing_automation_internal.access_grant g where g.role = its_name) then
        execute format('revoke usage on schema marketing_automation from %I', its_name);
    end if;
end $$;
comment on function marketing_automation.revoke_access(regrole, text) is
    'API: public. Takes back what grant_access() gave, but for what another access of the role gives too. What is owned stays: see '
    'REASSIGN OWNED';

-- functions/history.sql
-- The history of definitions. The trigger "archive" comes before "cascade", by which what belongs to a deleted definition goes with it: so
-- that is told by what it belonged to.

create or replace function marketing_automation_internal.definition_of(relation name, of_row jsonb) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Without what follows from a change, and is none.
    select of_row - array['id', 'scenario_id', 'activity_id', 'parent_id', 'version', 'key_type', 'owner_id', 'role_id', 'created_at', 'is_shipped']
        || case when relation = 'activity' then jsonb_build_object('parent', (
            select a.name from marketing_automation.activity a where a.id = (of_row ->> 'parent_id')::integer)) else '{}' end
$$;
comment on function marketing_automation_internal.definition_of(name, jsonb) is
    'API: private. What a row of a table of definitions says, as its history keeps it';

create or replace function marketing_automation_internal.parts_of(relation name, its_id integer) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('activities', jsonb_agg(marketing_automation_internal.definition_of('activity', to_jsonb(a))
            || coalesce(marketing_automation_internal.parts_of('activity', a.id), '{}') order by a.id))
    from marketing_automation.activity a where relation = 'scenario' and a.scenario_id = its_id having count(*) > 0
    union all
    select jsonb_build_object('translations', jsonb_agg(to_jsonb(t) - 'activity_id' order by t.language))
    from marketing_automation.activity_translation t where relation = 'activity' and t.activity_id = its_id having count(*) > 0
$$;
comment on function marketing_automation_internal.parts_of(name, integer) is
    'API: private. What goes with a scenario or an activity when it is deleted; null: nothing';

create or replace function marketing_automation_internal.keep_history() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    written jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
    was jsonb := case when tg_op <> 'INSERT' then marketing_automation_internal.definition_of(tg_table_name, to_jsonb(old)) end;
    becomes jsonb := case when tg_op <> 'DELETE' then marketing_automation_internal.definition_of(tg_table_name, to_jsonb(new)) end;
    its_name text := written ->> 'name';
    its_scenario marketing_automation.scenario;
begin
    if marketing_automation_internal.is_restoring() then
        return null;
    end if;
    if tg_table_name in ('activity', 'activity_translation') then
        select s.* into its_scenario from marketing_automation.scenario s
        where s.id = case tg_table_name when 'activity' then (written ->> 'scenario_id')::integer else (
            select a.scenario_id from marketing_automation.activity a where a.id = (written ->> 'activity_id')::integer) end;
        if its_scenario.id is null then
            return null;
        end if;
    end if;
    if tg_op = 'DELETE' and tg_table_name in ('scenario', 'activity') then
        was := was || coalesce(marketing_automation_internal.parts_of(tg_table_name, (written ->> 'id')::integer), '{}');
    end if;
    case
    when tg_table_name = 'activity_translation' then
        its_name := (select a.name from marketing_automation.activity a where a.id = (written ->> 'activity_id')::integer)
            || ' ' || (written ->> 'language');
    when tg_table_name in ('snippet', 'page', 'page_text') then
        its_name := concat_ws(' ', its_name, nullif(written ->> 'language', ''));
    when tg_table_name = 'holiday' then
        its_name := concat_ws(' ', written ->> 'calendar', written ->> 'day');
    when tg_table_name = 'topic_translation' then
        its_name := concat_ws(' ', written ->> 'topic', written ->> 'language');
    when tg_table_name = 'sender_permission' then
        its_name := concat_ws(' ', written ->> 'role', written ->> 'sender');
    else
    end case;
    if tg_op = 'UPDATE' then
        select jsonb_object_agg(b.key, w.value), jsonb_object_agg(b.key, b.value) into was, becomes
        from jsonb_each(becomes) b join jsonb_each(was) w on w.key = b.key and w.value <> b.value;
        if becomes is null then
            return null;
        end if;
    end if;
    insert into marketing_automation.definition_history (at, role, kind, name, scenario, change, before, after, owner)
    values (clock_timestamp(),
        -- Not current_user, which is the owner of this function, nor session_user, which stays the login role under "set role".
        case current_setting('role') when 'none' then session_user else current_setting('role') end,
        tg_table_name, its_name, its_scenario.name,
        case tg_op when 'INSERT' then 'create' when 'UPDATE' then 'change' else 'delete' end, was, becomes,
        coalesce(its_scenario.owner, written ->> 'owner'));
    return null;
end $$;
comment on function marketing_automation_internal.keep_history() is
    'API: private. Trigger: writes who has changed which definition, and what';

create or replace function marketing_automation_internal.definition_history_owner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- Also where a dump is restored, whose ids are another server's: a role that is not there sees nothing, nor does one that has its id.
    new.owner_id := case when new.owner is not null then coalesce((select r.oid from pg_roles r where r.rolname = new.owner), 0::oid) end;
    return new;
end $$;
comment on function marketing_automation_internal.definition_history_owner() is
    'API: private. Trigger: remembers which role the name of an owner means';

create or replace trigger owner before insert on marketing_automation.definition_history
    for each row execute function marketing_automation_internal.definition_history_owner();

create or replace function marketing_automation.purge_definition_history(older_than interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    purged bigint;
begin
    if older_than is null or older_than < interval '0' then
        raise exception 'older_than must not be negative, nor null'
            using errcode = 'invalid_parameter_value', hint = 'purge_definition_history(''2 years'') removes what is older.';
    end if;
    delete from marketing_automation.definition_history h where h.at < statement_timestamp() - older_than;
    get diagnostics purged = row_count;
    return purged;
end $$;
comment on function marketing_automation.purge_definition_history(interval) is
    'API: public. Removes changes of definitions that are older than that; returns how many. A superuser''s to call';

create or replace trigger archive after insert or update or delete on marketing_automation.model
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.scenario
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.activity
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.activity_translation
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.snippet
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.page
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.page_text
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.send_window
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.holiday
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.topic
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.topic_translation
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.robot_rule
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.sender_permission
    for each row execute function marketing_automation_internal.keep_history();

create or replace trigger archive after insert or update or delete on marketing_automation.message_class
    for each row execute function marketing_automation_internal.keep_history();

-- functions/health.sql
-- Is everything as it should be? One row a check, for people; numbers for monitoring: metric.sql. What costs more than some look-ups in
-- indexes does not belong here: it is asked again and again, while millions of rows wait.

create or replace function marketing_automation_internal.job_health()
returns table (name text, status text, message text, hint text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    sees boolean := (select r.rolsuper from pg_roles r where r.rolname = current_user);
    is_needed boolean := exists (select from marketing_automation.scenario s where s.state = 'running');
    -- Not current_setting(), which raises where the owner of the extension is no superuser any more.
    home text := (select s.setting from pg_settings s where s.name = 'cron.database_name');
begin
    if not exists (select from pg_extension e where e.extname = 'pg_cron') then
        return query select 'jobs', 'ok', case
                when not sees then 'whether pg_cron runs on this server is not for the owner of marketing_automation to see'
                when home is null then 'pg_cron does not run on this server'
                when home = current_database() then 'the extension pg_cron does not exist, though this is its database'
                else format('pg_cron lives in the database "%s"', home) end
            || ': due_activities says whether something else calls process_all_due()',
            case when home = current_database() then 'create extension pg_cron; select * from marketing_automation.schedule_jobs();' end;
        return;
    end if;
    if not sees then
        return query select 'jobs', 'warning', 'what pg_cron does is not for the owner of marketing_automation to see',
            format('alter role %I superuser;', current_user);
        return;
    end if;
    -- It does not come back when it was terminated, nor after a crash (pg_cron 1.4).
    return query
        select 'pg_cron', case when l.is_there then 'ok' when is_needed then 'error' else 'warning' end,
               case when l.is_there then 'its launcher runs' else 'its launcher does not run: no job is started' end,
               case when not l.is_there then 'restart the server, with pg_cron in shared_preload_libraries' end
        from (select exists (select from pg_stat_activity a where a.backend_type = 'pg_cron launcher') as is_there) l;
    -- Dynamic, as the table may not exist.
    return query execute $query$
        select kind.what || '_job',
               case when job.jobid is null or not job.active then case when $1 then 'error' else 'ok' end
                    when run.status = 'failed' then 'error'
                    when $1 and late.is_late then 'warning'
                    else 'ok' end,
               case when job.jobid is null then format('no job of pg_cron calls %s()', kind.function)
                    when not job.active then format('the job %s is not active', job.jobid)
                    when run.start_time is null then format('the job %s has never run', job.jobid)
                    else format('the job %s last ran at %s: %s', job.jobid, date_trunc('second', run.start_time), run.status) end,
               case when job.jobid is null then 'select * from marketing_automation.schedule_jobs();'
                    when not job.active then format('update cron.job set active = true where jobid = %s;', job.jobid)
                    when run.status = 'failed'
                    then format('select * from cron.job_run_details where jobid = %s order by runid desc limit 10;', job.jobid)
                    when $1 and late.is_late then format('select * from cron.job where jobid = %s;', job.jobid) end
        from (values
            ('enroll', 'enroll_all', 'marketing\_automation.enroll%'),
            ('process', 'process_all_due', 'marketing\_automation.process%')) as kind (what, function, call)
        left join lateral (
            select j.jobid, j.active, j.schedule from cron.job j
            where j.database = current_database() and j.command like '%' || kind.call
            order by j.active desc, j.jobid limit 1) job on true
        left join lateral (
            -- There is no index by job: one that ran lately is near the end.
            select d.status, d.start_time
            from (select r.jobid, r.status, r.start_time from cron.job_run_details r order by r.runid desc limit 100000) d
            where d.jobid = job.jobid and d.status <> 'starting' limit 1) run on true
        cross join lateral (
            -- A schedule of once a minute or more often, or any other. A run that takes long is none that is late.
            select run.status is distinct from 'running' and coalesce(run.start_time < statement_timestamp() -
                case when job.schedule ~ '^(\* \* \* \* \*|\d+ seconds?)$' then interval '10 minutes' else interval '25 hours' end, true)
                as is_late) late
        $query$ using is_needed;
end $$;
comment on function marketing_automation_internal.job_health() is
    'API: private. Checks of health() about the jobs of pg_cron, where it is in this database';

create or replace function marketing_automation_internal.worker_health()
returns table (name text, status text, message text, hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'worker',
           case when w.state in ('idle', 'sending') or w.state in ('not preloaded', 'not running') and m.at_work > 0 then 'ok'
                when w.state in ('starting', 'paused') then 'warning' else 'error' end,
           w.state || case when w.state in ('not preloaded', 'not running') and m.at_work > 0
               then format(': %s of marketing-mailer at work', m.at_work)
               else coalesce(': ' || case when w.state not in ('idle', 'sending', 'starting') then w.last_error end, '') end,
           case when w.state in ('not preloaded', 'not running') and m.at_work > 0 then null
               else case w.state
               when 'outdated' then 'alter extension marketing_automation update;'
               when 'disarmed' then 'select marketing_automation.arm();'
               when 'paused' then case when exists (select from marketing_automation.sending_pause)
                   then 'select marketing_automation.resume();'
                   when exists (select from marketing_automation.smtp_server)
                   then 'select * from marketing_automation.smtp_server_status;'
                   else 'show marketing_automation.smtp_url;' end
               when 'unconfigured' then 'select name, setting from pg_settings where name like ''marketing_automation.%'';'
               when 'not preloaded' then 'alter system set shared_preload_libraries = …, marketing_automation; then restart the server'
               when 'not running' then case when w.last_error ~ 'max_worker_processes'
                   then format('alter system set max_worker_processes = %s; then restart the server',
                       current_setting('max_worker_processes')::integer + 8)
                   else 'the server''s log says why the worker ended' end end
           end
    from marketing_automation.worker_status() w
    cross join (select count(*) filter (where s.state not in ('not running', 'lost')) as at_work from marketing_automation.mailer_status() s) m
    union all
    select 'mailers', case when count(*) filter (where s.state in ('unconfigured', 'disarmed', 'outdated')) > 0 then 'error'
                           when count(*) filter (where s.state in ('lost', 'paused') or s.is_silent) > 0 then 'warning' else 'ok' end,
           coalesce(string_agg(format('%s: %s', s.name, case when s.is_silent then 'silent' else s.state end), ', ' order by s.name)
               filter (where s.state in ('unconfigured', 'disarmed', 'outdated', 'lost', 'paused') or s.is_silent),
               format('%s at work', count(*) filter (where s.state <> 'not running'))),
           case when count(*) filter (where s.state in ('unconfigured', 'disarmed', 'outdated', 'lost', 'paused') or s.is_silent) > 0
               then 'select * from marketing_automation.mailer_status();' end
    from (
        select m.name, m.state, m.state not in ('not running', 'lost') and m.seen_at < statement_timestamp() - interval '30 seconds' as is_silent
        from marketing_automation.mailer_status() m
        -- Who died long ago is missed no more.
        where m.state <> 'lost' or m.seen_at > statement_timestamp() - interval '1 day') s
    having count(*) > 0
$$;
comment on function marketing_automation_internal.worker_health() is
    'API: private. Checks of health() about what sends: the worker, and each marketing-mailer where there is one';

create or replace view marketing_automation_internal.queue_state as
-- One row an activity and domain queue with mails that wait, by the index: never a look at each mail.
select a.id as activity_id, s.state as scenario_state, x.activity_id is not null as is_barred, q.domain as domain_queue, b.ready_at,
    first.due_at, first.created_at, first.attempts, coalesce(a.send_window, s.send_window) is not null as has_window
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id
left join marketing_automation_internal.barred_activity x on x.activity_id = a.id
cross join (select '' as domain union all select d.domain from marketing_automation_internal.domain_queue d) q
left join marketing_automation_internal.domain_queue_budget b on b.domain_queue = q.domain
cross join lateral (
    select o.due_at, o.created_at, o.attempts from marketing_automation_internal.outbox o
    where o.activity_id = a.id and o.domain_queue = q.domain and o.state = 'queued' and o.due_at < 'infinity'
    order by o.due_at limit 1) first;
comment on view marketing_automation_internal.queue_state is
    'API: private. The oldest mail that waits, for each activity and domain queue, and until when the limit of its domain holds it';

create or replace view marketing_automation_internal.backlog as
-- What waits, and since when: the oldest of each kind. A reason each, so that what waits by intention does not hide what does not.
select 'due_activities' as name, first.at as since, s.name as scenario
from marketing_automation.activity a
join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
cross join lateral (
    select w.at from marketing_automation_internal.waiting_activity w
    where w.activity_id = a.id and w.at <= statement_timestamp() order by w.at limit 1) first
union all
select 'queued_mails_' || case
        when q.is_barred then 'barred'
        when q.scenario_state <> 'running' then 'stopped'
        when (select count(*) > 0 from marketing_automation.sending_pause) then 'paused'
        when q.due_at > statement_timestamp() then 'window'
        when q.ready_at > statement_timestamp() then 'limited'
        when (select w.state = 'paused' from marketing_automation.worker_status() w) then 'unreachable'
        else 'ready' end, case when q.due_at > statement_timestamp() then q.created_at else q.due_at end, null
from marketing_automation_internal.queue_state q
where q.due_at <= statement_timestamp() or q.has_window and q.attempts = 0;
comment on view marketing_automation_internal.backlog is
    'API: private. What is due and has not been done, since when, by activity or queue and reason: due_activities, queued_mails_ready '
    '(nothing holds it), _window (it is shut), _limited, _paused, _unreachable (no server answers), _stopped, _barred';

create or replace function marketing_automation_internal.version_health(out name text, out status text, out message text, out hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'versions', case when v.sql = v.library and v.installed = v.library then 'ok' else 'warning' end,
           case when v.sql = v.library and v.installed = v.library then format('SQL and library are of %s', v.library)
                else format('the SQL is of %s, the library in use of %s, the installed files are of %s', v.sql, v.library, v.installed) end,
           case when v.installed <> v.library then 'restart the server' || case when v.sql <> v.installed
                    then ', then: alter extension marketing_automation update;' else '' end
                when v.sql <> v.library then 'alter extension marketing_automation update;' end
    from (
        select e.extversion as sql, marketing_automation_internal.library_version() as library, coalesce(a.default_version, 'none') as installed
        from pg_extension e left join pg_available_extensions a on a.name = e.extname
        where e.extname = 'marketing_automation') v
$$;
comment on function marketing_automation_internal.version_health() is
    'API: private. Check of health() about the versions of SQL, of the library that this session has loaded, and of the installed files';

create or replace function marketing_automation_internal.partition_health(out name text, out status text, out message text, out hint text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- By the sizes of files, which truncating makes 0. A day of grace: the mailer purges every hour.
    select 'partitions',
           case when cardinality(p.missing) > 0 then 'error' when p.overdue > 0 then 'warning' else 'ok' end,
           case when cardinality(p.missing) > 0
                then format('message_log lacks partitions: mails that end cannot be recorded (%s)', array_to_string(p.missing, ', '))
                when p.overdue > 0 then format('%s hold mails that are older than message_retention allows', p.overdue)
                else format('message_log has %s in %s of 40 partitions', pg_size_pretty(p.bytes), p.used) end,
           case when cardinality(p.missing) > 0 then (
                    select string_agg(format('alter table marketing_automation_internal.message_log attach partition '
                        'marketing_automation_internal.message_log_%s for values in (%s);', m, m), ' ') from unnest(p.missing) m)
                when p.overdue > 0 then format('select marketing_automation.purge_messages(%L);',
                    marketing_automation_internal.setting('message_retention')) end
    from (
        select array_agg(n.bucket order by n.bucket) filter (where f.bytes is null) as missing, sum(f.bytes) as bytes,
               count(*) filter (where f.bytes > 0) as used,
               count(*) filter (where f.bytes > 0 and n.until < statement_timestamp() - r.kept - interval '1 day') as overdue
        from (
            select marketing_automation_internal.log_bucket(statement_timestamp() - interval '720 hours' * n.age) as bucket,
                   to_timestamp((floor(extract(epoch from statement_timestamp()) / 2592000) - n.age + 1) * 2592000) as until
            from generate_series(0, 39) as n (age)) n
        cross join (select nullif(marketing_automation_internal.setting('message_retention')::interval, '0') as kept) r
        left join lateral (
            select pg_relation_size(c.oid) as bytes from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'marketing_automation_internal.message_log'::regclass
              and c.relname = format('message_log_%s', n.bucket)) f on true) p
$$;
comment on function marketing_automation_internal.partition_health() is
    'API: private. Check of health() about the partitions of message_log: all there, none with mails that should be purged';

create or replace function marketing_automation.health() returns table (name text, status text, message text, hint text, seconds double precision)
language sql stable security definer set search_path = pg_catalog, pg_temp
-- Its many small parts are estimated dear, and compiling them took 4 s where running them takes 10 ms.
set jit = off set datestyle = 'ISO' set intervalstyle = 'postgres' as $$
    select h.*, null::double precision from marketing_automation_internal.worker_health() h
    union all
    select h.*, null::double precision from marketing_automation_internal.version_health() h
    union all
    select h.*, null::double precision from marketing_automation_internal.job_health() h
    union all
    select 'pause', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(min(marketing_automation_internal.pause_note()), 'sending is not paused'),
           case when count(*) > 0 then 'select marketing_automation.resume();' end, null
    from marketing_automation.sending_pause
    union all
    select 'servers', case when count(*) filter (where s.state = 'out of reach') > 0 then
                        case when bool_and(s.state <> 'ready') then 'error' else 'warning' end else 'ok' end,
           coalesce(string_agg(s.name, ', ' order by s.name) filter (where s.state = 'out of reach') || ': out of reach',
               'no SMTP server is out of reach'),
           case when bool_or(s.state = 'out of reach') then 'select * from marketing_automation.smtp_server_status;' end, null
    from marketing_automation.smtp_server_status s
    union all
    select 'senders', case when bool_or(b.activity_id is not null) then 'warning' else 'ok' end,
           coalesce('mails wait, as their owner may not send as their sender: ' || string_agg(format('"%s" of "%s"', b.name, b.scenario), ', '
                   order by b.scenario, b.name) filter (where b.activity_id is not null),
               case when bool_or(p.is_ruled) then 'each running scenario may send as its senders'
                   else 'anybody may send as anybody: sender_permission has no row' end),
           case when bool_or(b.activity_id is not null) then 'select * from marketing_automation.sender_permission;' end, null
    from (select exists (select from marketing_automation.sender_permission) as is_ruled) p
    left join marketing_automation_internal.barred_activity b on b.state = 'running'
    union all
    select 'due_activities',
           case when late.since > interval '1 hour' then 'error' when late.since > interval '10 minutes' then 'warning' else 'ok' end,
           case when late.since is null then 'none is due'
                else format('the oldest has been due for %s, in scenario "%s"', date_trunc('second', late.since), late.scenario) end,
           case when late.since > interval '10 minutes' then 'call marketing_automation.process_all_due();' end,
           coalesce(extract(epoch from late.since), 0)
    from (select) one
    left join (
        select statement_timestamp() - b.since as since, b.scenario from marketing_automation_internal.backlog b
        where b.name = 'due_activities' order by b.since limit 1) late on true
    union all
    select 'queued_mails_' || r.reason,
           case when r.help is null then 'ok' when q.since > interval '1 hour' then 'error' when q.since > interval '10 minutes' then 'warning'
                else 'ok' end,
           case when q.since is null then 'none' else format(r.text, date_trunc('second', q.since)) end,
           case when q.since > interval '10 minutes' then r.help end, coalesce(extract(epoch from q.since), 0)
    from (values ('ready', 'the oldest could have left for %s', 'select * from marketing_automation.worker_status();'),
                 ('unreachable', 'the oldest has waited for %s, as no SMTP server answers',
                     'select state, last_error from marketing_automation.worker_status();'),
                 ('window', 'the oldest has waited for %s for its send window', null),
                 ('limited', 'the oldest has waited for %s for the limit of its domain', null),
                 ('paused', 'the oldest has waited for %s: sending is paused', null),
                 ('stopped', 'the oldest has waited for %s for its scenario to run again', null),
                 ('barred', 'the oldest has waited for %s: its scenario''s owner may not send as its sender', null))
        as r (reason, text, help)
    left join (
        select b.name, statement_timestamp() - min(b.since) as since from marketing_automation_internal.backlog b group by b.name) q
        on q.name = 'queued_mails_' || r.reason
    union all
    select 'mails_in_doubt', case when count(*) > 0 then 'warning' else 'ok' end,
           case when count(*) > 0 then format('%s%s are held: nobody knows whether the server took them',
               case when count(*) >= 1000 then 'at least ' end, count(*)) else 'none is held' end,
           case when count(*) > 0 then 'select id, email from marketing_automation.message where state = ''in_doubt'';' end, null
    from marketing_automation.activity a
    cross join (select '' as domain union all select d.domain from marketing_automation_internal.domain_queue d) q
    cross join lateral (
        select from marketing_automation_internal.outbox o
        where o.activity_id = a.id and o.domain_queue = q.domain and o.due_at = 'infinity' and o.state = 'in_doubt' limit 1000) held
    union all
    select 'events', case when e.failed > 0 or e.since < statement_timestamp() - interval '10 minutes' then 'warning' else 'ok' end,
           case when e.failed > 0 then format('%s opens and clicks could not be applied', e.failed)
                when e.since is not null then format('the oldest of those to be applied is of %s', e.since) else 'all are applied' end,
           case when e.failed > 0
                then 'select error, count(*) from marketing_automation_internal.event_inbox where error is not null group by error;'
                when e.since < statement_timestamp() - interval '10 minutes' then 'select marketing_automation.apply_events();' end,
           coalesce(extract(epoch from statement_timestamp() - e.since), 0)
    from (
        select count(i.error) as failed, min(i.occurred_at) filter (where i.error is null) as since
        -- Clicks that wait for the rules about robots wait by intention.
        from (select i.error, i.occurred_at from marketing_automation_internal.event_inbox i, marketing_automation_internal.click_window() w
              where (i.kind = 'email_clicked' and i.error is null and i.occurred_at > statement_timestamp() - w) is not true limit 1000) i) e
    union all
    -- Not the errors themselves: they may hold values of rows.
    select 'scenarios', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(string_agg(format('"%s" failed at %s (%s)', s.name, t.last_error_at, t.last_error_code), ', '
               order by t.last_error_at desc), 'none has failed'),
           case when count(*) > 0 then 'select * from marketing_automation.scenario_status;' end, null
    from marketing_automation.scenario_status t
    join marketing_automation.scenario s on s.id = t.scenario_id and s.state = 'running'
    where t.last_error is not null
    union all
    select 'tracking_key', case when count(*) = 0 then 'error'
                                when bool_and(k.valid_until < statement_timestamp() + interval '7 days') then 'warning' else 'ok' end,
           case when count(*) = 0 then 'no key is valid: links of mails lead nowhere'
                when bool_and(k.valid_until is not null) then format('the last key ends at %s', max(k.valid_until))
                else format('%s valid', count(*)) end,
           case when count(*) = 0 or bool_and(k.valid_until < statement_timestamp() + interval '7 days')
                then 'select marketing_automation.rotate_tracking_key();' end, null
    from marketing_automation_internal.tracking_key k where k.valid_until is null or k.valid_until > statement_timestamp()
    union all
    select 'vacuum', case when count(*) > 0 then 'warning' else 'ok' end,
           coalesce(string_agg(format('%s has %s dead rows', v.relid::regclass, v.n_dead_tup), ', ' order by v.n_dead_tup desc),
               'no table has many dead rows'),
           string_agg(format('vacuum (analyze) %s;', v.relid::regclass), ' ' order by v.n_dead_tup desc), null
    from pg_stat_user_tables v
    where v.schemaname in ('marketing_automation', 'marketing_automation_internal')
      and v.n_dead_tup > 100000 and v.n_dead_tup > v.n_live_tup
    union all
    select 'wraparound',
           case when max(age(c.relfrozenxid)) > 1500000000 then 'error' when max(age(c.relfrozenxid)) > 500000000 then 'warning'
                else 'ok' end,
           format('the oldest transaction id is %s transactions old', max(age(c.relfrozenxid))),
           case when max(age(c.relfrozenxid)) > 500000000 then 'vacuum (freeze);' end, null
    from pg_class c
    where c.relkind = 'r' and c.relnamespace in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
    union all
    select h.*, null::double precision from marketing_automation_internal.partition_health() h
    union all
    select 'retention', case when r.days is null then 'warning' else 'ok' end,
           coalesce('mails are kept for ' || r.days, 'mails are kept for ever'),
           case when r.days is null then 'alter system set marketing_automation.message_retention = ''400d''; select pg_reload_conf();' end, null
    from (select nullif(marketing_automation_internal.setting('message_retention'), '0') as days) r
$$;
comment on function marketing_automation.health() is
    'API: public. One row a check: status is ok, warning or error; message says what was found, hint is the statement that helps; '
    'seconds, where something waits, for how long the oldest has, 0: nothing does. '
    'Holds nothing of rows or mails, and costs no more than a look at an index for each activity';

-- functions/metric.sql
-- Numbers for monitoring: how it is, what waits, and what was done.

create or replace view marketing_automation.metric as
select 'marketing_automation_' || m.name as name, m.scenario, m.label, m.value::double precision as value
from (
    select x.name, null as scenario, h.name as label, x.value
    from marketing_automation.health() h
    cross join lateral (values
        ('health_status', case h.status when 'ok' then 0 when 'warning' then 1 else 2 end), ('backlog_seconds', h.seconds)) as x (name, value)
    where x.value is not null
    union all
    select 'scenario_records_total', s.name, null, coalesce(c.records, 0)
    from marketing_automation.scenario s
    cross join lateral (
        select sum(n.records) as records from marketing_automation_internal.scenario_counter n
        where n.scenario_id = s.id and (not n.rolled_up or n.period = '-infinity')) c
    where s.state <> 'draft'
    union all
    select x.name, s.name, a.name, coalesce(x.value, 0)
    from marketing_automation.scenario s
    join marketing_automation.activity a on a.scenario_id = s.id
    cross join lateral (
        select sum(n.sent) as sent, sum(n.not_sent) as not_sent, sum(n.opened) as opened, sum(n.clicked) as clicked, sum(n.failed) as failed
        from marketing_automation_internal.activity_counter n
        where n.activity_id = a.id and (not n.rolled_up or n.period = '-infinity')) c
    cross join lateral (values ('activity_sent_total', c.sent), ('activity_not_sent_total', c.not_sent),
        ('activity_opened_total', c.opened), ('activity_clicked_total', c.clicked), ('activity_failed_total', c.failed)) as x (name, value)
    where s.state <> 'draft'
    union all
    select x.name, null, null, x.value
    from marketing_automation.worker_status() w
    cross join lateral (values ('worker_sent_total', w.sent), ('worker_failed_total', w.failed), ('worker_retried_total', w.retried))
        as x (name, value)
) m;
comment on view marketing_automation.metric is
    'API: public. Numbers for monitoring, in long form: name as of a Prometheus metric; scenario; label: which check of health(), what '
    'waits, or which activity. health_status: 0 ok, 1 warning, 2 error; backlog_seconds: for how long the oldest has waited, 0: none '
    'does; worker_…: since the server started';

-- functions/dump.sql
-- What pg_dump saves: all data; of the models, those that the extension did not ship.

select pg_extension_config_dump('marketing_automation.model', $$where name not in ('party', 'sale')$$);
select pg_extension_config_dump('marketing_automation.party', '');
select pg_extension_config_dump('marketing_automation.party_id_seq', '');
select pg_extension_config_dump('marketing_automation.sale', '');
select pg_extension_config_dump('marketing_automation.sale_id_seq', '');
select pg_extension_config_dump('marketing_automation.scenario', '');
select pg_extension_config_dump('marketing_automation.scenario_id_seq', '');
select pg_extension_config_dump('marketing_automation.scenario_status', '');
select pg_extension_config_dump('marketing_automation.activity', '');
select pg_extension_config_dump('marketing_automation.activity_id_seq', '');
select pg_extension_config_dump('marketing_automation.activity_translation', '');
select pg_extension_config_dump('marketing_automation.snippet', '');
select pg_extension_config_dump('marketing_automation.snippet_version_seq', '');
select pg_extension_config_dump('marketing_automation.send_window', '');
select pg_extension_config_dump('marketing_automation.holiday', '');
select pg_extension_config_dump('marketing_automation.message_class', 'where not is_shipped');
select pg_extension_config_dump('marketing_automation_internal.record', '');
select pg_extension_config_dump('marketing_automation.record_id_seq', '');
select pg_extension_config_dump('marketing_automation_internal.open_goal', '');
select pg_extension_config_dump('marketing_automation_internal.waiting_activity', '');
select pg_extension_config_dump('marketing_automation_internal.finished_activity', '');
select pg_extension_config_dump('marketing_automation_internal.branch_decision', '');
select pg_extension_config_dump('marketing_automation_internal.activity_counter', '');
select pg_extension_config_dump('marketing_automation_internal.scenario_counter', '');
select pg_extension_config_dump('marketing_automation.unsubscription', '');
select pg_extension_config_dump('marketing_automation_internal.unsubscribed_address', '');
select pg_extension_config_dump('marketing_automation.topic', '');
select pg_extension_config_dump('marketing_automation.topic_translation', '');
select pg_extension_config_dump('marketing_automation.definition_history', '');
select pg_extension_config_dump('marketing_automation.definition_history_id_seq', '');
select pg_extension_config_dump('marketing_automation.subscription', '');
select pg_extension_config_dump('marketing_automation.subscription_id_seq', '');
select pg_extension_config_dump('marketing_automation.subscription_log', '');
select pg_extension_config_dump('marketing_automation.subscription_log_id_seq', '');
select pg_extension_config_dump('marketing_automation_internal.outbox', '');
select pg_extension_config_dump('marketing_automation_internal.message_id_seq', '');

do $$ begin
    for bucket in 0..39 loop
        perform pg_extension_config_dump(format('marketing_automation_internal.message_log_%s', bucket)::regclass, '');
    end loop;
end $$;
select pg_extension_config_dump('marketing_automation.suppression', '');
select pg_extension_config_dump('marketing_automation.sender_permission', '');
select pg_extension_config_dump('marketing_automation_internal.attempt_log', '');
select pg_extension_config_dump('marketing_automation.domain_limit', '');
select pg_extension_config_dump('marketing_automation_internal.domain_queue', '');
select pg_extension_config_dump('marketing_automation.sending_pause', '');
select pg_extension_config_dump('marketing_automation.bounce', '');
select pg_extension_config_dump('marketing_automation.bounce_rule', 'where not is_shipped');
select pg_extension_config_dump('marketing_automation.smtp_server', '');
select pg_extension_config_dump('marketing_automation.smtp_warmup', '');
select pg_extension_config_dump('marketing_automation_internal.smtp_usage', '');
select pg_extension_config_dump('marketing_automation.link', '');
select pg_extension_config_dump('marketing_automation.origin', '');
select pg_extension_config_dump('marketing_automation.link_id_seq', '');
select pg_extension_config_dump('marketing_automation_internal.event', '');
select pg_extension_config_dump('marketing_automation_internal.event_inbox', '');
select pg_extension_config_dump('marketing_automation_internal.tracking_key', '');
select pg_extension_config_dump('marketing_automation.page', '');
select pg_extension_config_dump('marketing_automation.page_text', '');
select pg_extension_config_dump('marketing_automation.robot_rule', 'where not is_shipped');
select pg_extension_config_dump('marketing_automation.conversion', '');
select pg_extension_config_dump('marketing_automation.conversion_id_seq', '');
select pg_extension_config_dump('marketing_automation_internal.access_grant', '');

-- functions/access.sql
-- Who may do what. Nothing is granted to PUBLIC, and nothing in the schema marketing_automation_internal to anybody;
-- grant_access() gives a role what its job needs.

create or replace function marketing_automation_internal.access_right() returns table (access text, scope text, privilege text, objects text)
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select a.access, case when t.about = 'shared' then 'shared' when a.access = 'marketer' then 'own' else 'every' end, t.privilege,
        t.objects
    from (values
        -- What is of a scenario: a marketer's own ones, those of the other accesses are all. The markers say so, see teams.sql.
        ('reports reader', 'scenario', 'execute', 'counts_every_scenario'),
        ('reader', 'scenario', 'execute', 'reads_every_scenario'),
        ('operator', 'scenario', 'execute', 'operates_every_scenario'),
        ('enroller operator', 'scenario', 'execute', 'enters_every_scenario'),
        ('reports reader marketer', 'scenario', 'select', 'scenario_report activity_report conversion_report robot_hit'),
        ('reports reader marketer', 'scenario', 'execute',
         'activity_count record_count scenario_report_by activity_report_by scenario_id link_report domain_report timing_report '
         'cohort_report uplift_report mail_report report_html report'),
        ('reader marketer', 'scenario', 'select',
         'scenario scenario_status activity activity_translation conversion unsubscription record record_activity branch_decision definition_history message '
         'delivery_attempt event'),
        ('reader marketer', 'scenario', 'execute', 'tree explain_record simulate export_scenario sees_rows record_id'),
        ('operator marketer', 'scenario', 'execute',
         'enroll enroll_next enroll_all process_due process_all_due apply_events apply_exits apply_goals apply_dates block unblock unsubscribe resubscribe '
         'unsubscribe_address resubscribe_address record_conversion retry cancel'),
        ('enroller operator marketer', 'scenario', 'execute', 'enroll_record enroll_records'),
        ('marketer', 'scenario', 'execute',
         'register_model unregister_model create_scenario add_activity run stop draft check_scenario import_scenario copy_scenario preview send_test'),
        ('marketer', 'scenario', 'execute', 'delete_scenario delete_activity delete_translation delete_snippet delete_send_window'),
        ('marketer', 'scenario', 'write', 'model scenario activity activity_translation snippet send_window'),
        ('monitor operator', 'scenario', 'select', 'metric'),
        ('monitor operator', 'scenario', 'execute', 'health'),
        -- What all scenarios share.
        ('reader marketer', 'shared', 'select',
         'model party sale snippet send_window holiday message_class topic topic_translation page page_text robot_rule bounce_rule '
         'domain_limit sending_pause smtp_server_status sender_permission'),
        ('reader', 'shared', 'select', 'suppression link'),
        ('reader admin', 'shared', 'select', 'subscription subscription_log'),
        ('admin', 'shared', 'select', 'definition_history'),
        ('admin', 'shared', 'select',
         'party sale holiday message_class topic topic_translation page page_text robot_rule bounce_rule domain_limit sending_pause '
         'smtp_server_status suppression sender_permission'),
        ('admin', 'shared', 'write', 'party sale holiday message_class topic topic_translation page page_text robot_rule sender_permission'),
        -- Who may delete from a table may lock it, and so stop everybody: not a team that is one of several.
        ('admin', 'shared', 'delete', 'party sale holiday message_class topic topic_translation page page_text robot_rule sender_permission'),
        ('admin operator', 'shared', 'execute', 'suppress unsuppress pause resume reclassify_events'),
        ('admin', 'shared', 'execute', 'unsubscribe resubscribe unsubscribe_address resubscribe_address'),
        ('admin operator', 'shared', 'execute', 'subscribe unsubscribe_from subscribe_address unsubscribe_address_from'),
        ('reader marketer admin operator', 'shared', 'execute', 'is_suppressed is_armed'),
        ('reader marketer admin operator monitor', 'shared', 'execute', 'worker_status mailer_status'),
        ('reader marketer admin', 'shared', 'execute', 'address_hash'),
        ('reader marketer reports', 'shared', 'execute', 'sparkline assumed_now anniversary'),
        ('operator', 'shared', 'execute', 'schedule_jobs unschedule_jobs require_pg_cron'),
        ('tracking', 'shared', 'execute',
         'tracking_keys record_events page_sources unsubscribe_page unsubscribe_origin unsubscribe_by_token resubscribe_by_token'),
        ('mailer', 'shared', 'execute',
         'mailer_register mailer_unregister mailer_settings mailer_claim mailer_revoked mailer_next_due mailer_templates mailer_snippets mailer_link_ids '
         'mailer_tokens mailer_complete mailer_dead_mailboxes mailer_rescue mailer_purge mailer_report_server mailer_report'),
        ('bounces', 'shared', 'execute', 'ingest_bounce')
    ) as t (accesses, about, privilege, objects)
    cross join lateral unnest(string_to_array(t.accesses, ' ')) as a (access)
$$;
comment on function marketing_automation_internal.access_right() is
    'API: private. What each access may do: a privilege on objects of the schema marketing_automation, by name. scope: whose rows it '
    'is about, own (of scenarios whose owner the role is a member of), every (of all scenarios), or shared (of none). docs/teams.md has '
    'the same table';

create or replace function marketing_automation_internal.give_access(role name, access text, is_update boolean default false) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    role_id oid := (select r.oid from pg_roles r where r.rolname = role);
    -- What was there when an update began, noted by its script: objects, OID.NUMBER for a column, ACCESS.PRIVILEGE.NAME for a right.
    -- What an access included then, and names itself now, is in the second.
    known text[] := string_to_array(nullif(current_setting('marketing_automation_update.known', true), ''), ' ')
        || string_to_array(current_setting('marketing_automation_update.included', true), ' ');
    statement text;
begin
    if not is_update then
        known := '{}';
        execute format('grant usage on schema marketing_automation to %I', role);
    elsif known is null then
        raise exception 'no update of the extension runs'
            using errcode = 'object_not_in_prerequisite_state', detail = 'Only the script of an update says what is new.',
                  hint = format('select marketing_automation.grant_access(%L, %L);', quote_ident(role), access);
    end if;
    for statement in
        select format('grant %s on %s to %I', g.privileges, g.object, role)
        from marketing_automation_internal.access_right() r
        cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
        left join pg_proc p on r.privilege = 'execute' and p.pronamespace = 'marketing_automation'::regnamespace and p.proname = o.name
        left join pg_class c on r.privilege <> 'execute' and c.relnamespace = 'marketing_automation'::regnamespace and c.relname = o.name
        cross join lateral (
            select coalesce(coalesce(p.oid, c.oid)::text = any (known) and concat_ws('.', r.access, r.privilege, o.name) = any (known), false)
        ) as k (is_known)
        cross join lateral (
            select r.privilege, coalesce('routine ' || p.oid::regprocedure, c.oid::regclass::text, quote_ident(o.name))
            where not k.is_known and r.privilege <> 'write'
            union all
            -- Columns. Ids are the database's to choose, but for party and sale, which people fill as they like: a chosen id could be
            -- given to another row later, and 0 means every scenario. A known table may have new columns: they are for a role that
            -- may still write others.
            select format('%s (%s)', w.privilege, string_agg(quote_ident(a.attname), ', ' order by a.attnum)), c.oid::regclass::text
            from unnest(array['insert', 'update']) as w (privilege)
            join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where r.privilege = 'write' and (a.attidentity = '' or o.name in ('party', 'sale'))
              and (not k.is_known or concat_ws('.', a.attrelid, a.attnum) <> all (known) and exists (
                    select from pg_attribute other cross join lateral aclexplode(other.attacl) x
                    where other.attrelid = c.oid and x.grantee = role_id and x.privilege_type = upper(w.privilege)))
            group by w.privilege
        ) as g (privileges, object)
        where r.access = give_access.access
        union
        -- What lay open before and lies in the other schema now is nobody's.
        select format('revoke all on %s from %I', c.oid::regclass, role)
        from pg_class c cross join lateral aclexplode(c.relacl) x
        where c.relnamespace = 'marketing_automation_internal'::regnamespace and x.grantee = role_id
        union
        -- Releases up to 0.1.0, and their dumps, gave marketers the right to delete from the tables that they write.
        select format('revoke delete on %s from %I', c.oid::regclass, role)
        from marketing_automation_internal.access_right() r
        cross join lateral unnest(string_to_array(r.objects, ' ')) as o (name)
        join pg_class c on c.relnamespace = 'marketing_automation'::regnamespace and c.relname = o.name
        cross join lateral aclexplode(c.relacl) x
        where r.access = give_access.access and r.scope = 'own' and r.privilege = 'write' and x.grantee = role_id
          and x.privilege_type = 'DELETE'
    loop
        execute statement;
    end loop;
end $$;
comment on function marketing_automation_internal.give_access(name, text, boolean) is
    'API: private. Grants what an access may do. is_update: what was not there before, so that nothing comes back that was revoked';

create or replace function marketing_automation.grant_access(role regrole, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    its_name name := (select r.rolname from pg_roles r where r.oid = role);
begin
    if role is null then
        raise exception 'role must not be null' using errcode = 'null_value_not_allowed';
    end if;
    if its_name is null then
        raise exception 'role with OID % does not exist', role::oid using errcode = 'undefined_object';
    end if;
    if not exists (select from marketing_automation_internal.access_right() r where r.access = grant_access.access) then
        raise exception 'access "%" does not exist', access
            using errcode = 'invalid_parameter_value', hint = (select format('It is one of %s.', string_agg(distinct r.access, ', '))
                from marketing_automation_internal.access_right() r);
    end if;
    -- Who had this name, and has another one, keeps what it was given.
    perform marketing_automation_internal.follow_renamed_grants();
    perform marketing_automation_internal.give_access(its_name, access);
    insert into marketing_automation_internal.access_grant as g (role, access, role_id) values (its_name, grant_access.access, grant_access.role)
    on conflict on constraint access_grant_pkey do update set role_id = excluded.role_id;
end $$;
comment on function marketing_automation.grant_access(regrole, text) is
    'API: public. Grants a role what a job needs: marketer (defines, runs and reads campaigns of its own), reports (numbers of all), '
    'reader (contents of all), operator (runs all, as a pg_cron job), enroller (an application that enters rows), admin (what all '
    'share: suppressions, pause, pages, topics, robot rules), '
    'monitor (health() and metric), tracking (the proxy), mailer (marketing-mailer), bounces (what hands returned mails in). Updates of the extension give it '
    'what is new, too. docs/teams.md says who may do what';

-- Nobody may do anything with a new object, whatever the default privileges of the database are. Nothing is revoked
-- where the object was there before: what is revoked or granted while an extension's script runs makes all privileges
-- of the object its initial ones, those of roles too, and pg_dump leaves initial ones out.
do $$
declare
    known text[] := string_to_array(current_setting('marketing_automation_update.known', true), ' ');
    statement text;
begin
    for statement in
        select format('revoke all on %s %s from %s', o.kind, o.name, case g.grantee when 0 then 'public' else quote_ident(r.rolname) end)
        from (
            select 'schema', n.oid, n.oid, n.oid::regnamespace::text, coalesce(n.nspacl, acldefault('n', n.nspowner)), n.nspowner
            from pg_namespace n
            union all
            select case c.relkind when 'S' then 'sequence' else 'table' end, c.relnamespace, c.oid, c.oid::regclass::text, c.relacl, c.relowner
            from pg_class c
            union all
            select 'routine', p.pronamespace, p.oid, p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
            from pg_proc p
        ) as o (kind, schema, id, name, acl, owner)
        cross join lateral (select distinct a.grantee from aclexplode(o.acl) a) g
        left join pg_roles r on r.oid = g.grantee
        where o.schema in ('marketing_automation'::regnamespace, 'marketing_automation_internal'::regnamespace)
          and g.grantee <> o.owner and (g.grantee = 0 or r.oid is not null) and o.id::text <> all (coalesce(known, '{}'))
    loop
        execute statement;
    end loop;
end $$;

-- A new version may have brought what an access needs. A role may have another name by now, and in a restored database other roles have
-- the ids of those that were there before: so it is found by either, and must still have what no other access gives. It has not if that
-- was revoked, or if the role was dropped and another one made with its name.
select marketing_automation_internal.give_access_again(g.role, g.access)
from (
    select distinct r.rolname::text as role, r.oid, g.access
    from marketing_automation_internal.access_grant g join pg_roles r on r.rolname = g.role or r.oid = g.role_id
) as g
where (
    -- Of those that another access of the role gives too, only if that holds for all.
    select coalesce(bool_or(own.is_held) filter (where not own.is_elsewhere), bool_or(own.is_held))
    from (
        select exists (select from aclexplode(p.proacl) a where a.grantee = g.oid) as is_held, exists (
                select from marketing_automation_internal.access_grant o
                where (o.role = g.role or o.role_id = g.oid) and o.access <> g.access
                  and concat_ws('.', o.access, 'execute', p.proname) = any (k.known)) as is_elsewhere
        from (select string_to_array(concat_ws(' ', current_setting('marketing_automation_update.known', true),
            current_setting('marketing_automation_update.included', true)), ' ') as known) k
        join pg_proc p on p.pronamespace = 'marketing_automation'::regnamespace
            and concat_ws('.', g.access, 'execute', p.proname) = any (k.known)) own);

-- seed.sql
-- What the extension ships as rows. Run by every install and every update: what people have changed or have, stays.

-- The two default record types; their names are reserved. Not "on conflict": triggers that forbid to write them run before that.
insert into marketing_automation.model (name, relation, key, key_type, party, email, recipient_name, language, time_zone)
select s.* from (values
    ('party', 'marketing_automation.party'::regclass, 'self.id', 'bigint'::regtype, 'self.id', 'self.email', 'self.name', 'self.language',
        'self.time_zone'),
    ('sale', 'marketing_automation.sale', 'self.id', 'bigint', 'self.party_id',
     '(select p.email from marketing_automation.party p where p.id = self.party_id)',
     '(select p.name from marketing_automation.party p where p.id = self.party_id)',
     '(select p.language from marketing_automation.party p where p.id = self.party_id)',
     '(select p.time_zone from marketing_automation.party p where p.id = self.party_id)')) as s (name)
where not exists (select from marketing_automation.model m where m.name = s.name);

-- A rule that was changed is no shipped one any more, and stays; one as it was shipped is replaced by its new form.
insert into marketing_automation.robot_rule (name, kind, pattern, links, within, is_enabled, note, is_shipped) values
    ('head', 'method', 'HEAD', null, null, true,
        'Asks where a link leads without following it (RFC 9110, section 9.3.2): link checkers and scanners', true),
    ('prefetch', 'method', 'PREFETCH', null, null, true,
        'Loaded in advance, before anybody has asked for it: Sec-Purpose (Fetch Standard), Purpose, X-Purpose or X-Moz says so', true),
    ('apple_mail_privacy', 'user_agent', '^mozilla/5\.0$', null, null, true,
     'Apple Mail Privacy Protection loads images through its own servers, read or not, with this bare name: support.apple.com/guide/iphone/iphf084865c7', true),
    ('crawler', 'user_agent',
        'bot\M|bot/|crawl|spider|slurp|facebookexternalhit|whatsapp/|skypeuripreview|microsoftpreview|bingpreview|bitlybot|'
        'headlesschrome|phantomjs', null, null, true,
     'Crawlers and link previews, by the names that they give themselves', true),
    ('gmail_prefetch', 'user_agent', 'chrome/42\..*edge/12\.246', null, null, true,
     'Gmail loads images in advance under the name of a browser of 2015, and again through its proxy when the mail is opened', true),
    ('slack_image_proxy', 'user_agent', 'slack-imgproxy', null, null, true,
     'Slack loads the images of a mail that is shown in a channel: api.slack.com/robots', true),
    ('scanner', 'user_agent',
        'proofpoint|mimecast|barracuda|symantec|messagelabs|trendmicro|fireeye|forcepoint|cloudmark|virustotal|urlscan|safelinks|'
        '\(compatible; ms-office', null, null, true,
     'Security products that open mails and follow their links before the recipient does, and Office, which looks at a link before '
     'it opens the browser; Outlook itself has its own name before ms-office', true),
    ('program', 'user_agent',
        '^(curl|wget|python|go-http-client|java/|okhttp|apache-httpclient|libwww|axios|node-fetch|ruby|php|guzzle|aiohttp|postman|'
        'powershell)', null, null, true,
     'HTTP libraries: nobody reads mails with them', true),
    ('all_links', 'burst', null, 3, '5 seconds', true,
        'Nobody follows three different links of a mail in five seconds; scanners follow all', true),
    ('hidden_link', 'hidden_link', null, null, '10 seconds', true,
        'No person sees the link that the setting hidden_link adds; what follows it follows all', true),
    ('at_once', 'speed', null, null, '2 seconds', false,
        'Scanners at the recipient''s gate look at a mail when it arrives. Off: some people are fast, and clocks differ', true),
    ('gmail_image_proxy', 'user_agent', 'googleimageproxy', null, null, false,
     'Off: Gmail''s proxy loads an image when the mail is opened, and tells the sender that: support.google.com/mail/answer/145919', true),
    ('yahoo_image_proxy', 'user_agent', 'yahoomailproxy', null, null, false, 'Off: as Gmail''s', true)
on conflict do nothing;

insert into marketing_automation.message_class (name, honors_unsubscribe, bulk_headers, priority, note, is_shipped) values
    ('marketing', true, true, 0, 'Mails that people may want or not: newsletters, offers, reminders', true),
    ('transactional', false, false, 100, 'Mails that somebody has caused and waits for: receipts, passwords, confirmations', true),
    ('internal', false, false, 50, 'Mails to your own people', true)
on conflict do nothing;

-- The transaction may go on: it is to find its settings as they were.
select pg_catalog.set_config('lock_timeout', pg_catalog.current_setting('marketing_automation_update.lock_timeout'), true),
       pg_catalog.set_config('marketing_automation_update.lock_timeout', '', true), pg_catalog.set_config('marketing_automation_update.known', '', true);

-- The mailer looks at the version when this commits, and goes on.
select marketing_automation_internal.notify_mailer();
