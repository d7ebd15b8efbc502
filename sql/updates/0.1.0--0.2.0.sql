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
    work text not null check (work in ('enroll', 'process', 'consent', 'leave', 'exit', 'goal', 'date', 'wait')),
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
    'consent, or whether mails may leave. Gone when it succeeds. Of sweeps (exit, goal, date, wait), whose line is in sweep: that they have said '
    'why';
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
drop function marketing_automation_internal.record_query(integer);
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

-- A model is registered with replace.
drop function marketing_automation.register_model(text, regclass, text, text, text, text, text, text, text, text);

-- A scenario is created with its title; the page of one without a title has sentences that name none.
drop function marketing_automation.create_scenario(text, text, text, boolean, text, text, boolean, boolean, boolean);
alter table marketing_automation.page_text drop constraint page_text_name_check,
    add constraint page_text_name_check check (name in (
        'title', 'question', 'question_untitled', 'which', 'this_kind', 'this_kind_untitled', 'everything', 'button', 'done', 'effect',
        'effect_untitled', 'effect_everything', 'already', 'mistake', 'again', 'leave_everything', 'resubscribed', 'resubscribed_effect',
        'resubscribed_effect_untitled', 'preferences', 'choose', 'save', 'saved', 'undo', 'pending', 'confirm', 'confirm_question',
        'confirm_button', 'confirmed', 'confirmed_effect', 'not_found', 'check_link', 'gone', 'look_in_mailbox', 'unavailable', 'try_later'));
comment on table marketing_automation.page_text is
    'API: public. Texts of the built-in pages in your own words, or in a language that is not built in (en, fr, de, es, it, nl, pt, '
    'pt-BR, pl and ar are)';
comment on column marketing_automation.page.body is
    'minijinja template of a whole HTML document. Variables: form (the built-in form, which pages other than resubscribed and confirmed '
    'must show), scenario, sender (of the mail, as in its header), language, direction (ltr or rtl), unsubscribed, everything, text (the '
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
    last_error_at timestamptz,
    failed_mails bigint[] not null default '{}'
) with (fillfactor = 50);
comment on column marketing_automation_internal.mailer.failed_mails is
    'Mails that it has claimed and that failed last, of which it may say that their mailboxes do not exist';
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
    what text not null check (what in ('exit', 'goal', 'wait')),
    began_at timestamptz,
    activity_id integer not null default 0,
    reached_at timestamptz not null default '-infinity',
    reached_record bigint not null default 0,
    batch_size integer check (batch_size > 0),
    rests_until timestamptz not null default '-infinity',
    primary key (scenario_id, what)
) with (fillfactor = 50);
comment on table marketing_automation_internal.sweep is
    'API: private. Where asking the records of a scenario, slice by slice, for their exit, their goal or what they wait for has come';
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
    is_late boolean not null default false,
    primary key (scenario_id, record_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.open_goal is
    'API: private. Records that may still reach the goal of their scenario: those that had not when they entered, have not converted, and '
    'whose window is not over';
comment on column marketing_automation_internal.open_goal.until is 'End of its window: a goal that is reached later is no conversion';
comment on column marketing_automation_internal.open_goal.is_late is
    'Whether the scenario got this goal when the record was in, and nobody has asked it yet: who has reached it by then had done so before, '
    'unless goal_at tells when';
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
        'email_bounced', 'email_not_bounced', 'condition_not_met', 'variant')),
    add constraint activity_negative_event_needs_delay check (on_event not like 'email\_not\_%' or delay is not null),
    add column wait_until text,
    add constraint activity_wait_ends check (wait_until is null or delay is not null),
    add column branch_by text check (branch_by in ('condition', 'share')),
    add column share numeric check (share > 0 and share <= 100),
    add column metric text check (metric in ('opens', 'clicks', 'conversions')),
    add column decide_after interval check (decide_after > interval '0' and decide_after <= interval '10 years'),
    add constraint activity_experiment_has_variants check (metric is null or (branch_by is not distinct from 'share' and action is null)
        or (branch_by is null and action is not distinct from 'send_email')),
    add constraint activity_variant_has_share check (on_event is distinct from 'variant' or (share is not null and action is null)),
    add constraint activity_decides_by_metric check (decide_after is null or metric is not null);
comment on column marketing_automation.activity.on_event is
    'What the recipient must do (email_opened, email_clicked) or leave undone until the delay is over (email_not_opened, '
    'email_not_clicked), or what must happen to the mail (email_bounced, email_not_bounced); condition_not_met: runs instead of its '
    'parent, when the condition of that was not true; variant: it does not run, its texts take the place of those of its parent''s mail for '
    'its share; null: simply follows';
comment on column marketing_automation.activity.condition is
    'SQL boolean expression over self; unless it is true, nothing is done and no child starts but those on condition_not_met. After an '
    'activity that branches by condition it is asked when that runs, and not again';
comment on column marketing_automation.activity.wait_until is
    'SQL boolean expression over self: it runs as soon as that is true; when its delay is over, and it is not, nothing is done, as if its '
    'condition were not true. null: it waits for its delay only';
comment on column marketing_automation.activity.branch_by is
    'condition or share: its children are alternatives, of which each record takes one, decided when this activity runs, for good: the first '
    'whose condition is true, in the order in which they were added, or one by its share; one without takes the rest. null: each child is '
    'asked by itself';
comment on column marketing_automation.activity.share is
    'Per cent of the people for whom its parent has run that take this one, by a hash of parent and party or key: of an alternative, or of a '
    'variant. Fixed once records have passed';
comment on column marketing_automation.activity.metric is
    'opens, clicks or conversions: it is an experiment, of what it branches to by share, or of the variants of its mail. Who is in none of '
    'their shares waits until the variant with the highest rate has won, and takes that; null: it is none';
comment on column marketing_automation.activity.decide_after is
    'How long after the first record has come to an experiment it is decided; null: when decide() is called';
create index activity_experiment on marketing_automation.activity (id) where metric is not null;
create index activity_variant on marketing_automation.activity (parent_id) where on_event = 'variant';
create table marketing_automation_internal.branch_decision (
    record_id bigint not null,
    parent_id integer not null,
    activity_id integer,
    decided_at timestamptz not null,
    by_winner boolean not null default false,
    primary key (record_id, parent_id)
);
-- For reports, and to ask whether records have passed.
create index branch_decision_taken on marketing_automation_internal.branch_decision (parent_id, activity_id);
comment on table marketing_automation_internal.branch_decision is
    'API: private. Which child a record takes of an activity whose children are alternatives, or which variant of its mail: its primary key is '
    'why it is one; see the view branch_decision';
comment on column marketing_automation_internal.branch_decision.activity_id is
    'Null: it takes none, or gets the mail as it is, or waits for the winner of an experiment';
comment on column marketing_automation_internal.branch_decision.by_winner is
    'Whether it takes the winner of an experiment as such, and not by its share';

create table marketing_automation_internal.experiment (
    activity_id integer primary key,
    began_at timestamptz,
    winner_id integer,
    decided_at timestamptz,
    decided_by name,
    constraint experiment_winner_is_decided check ((winner_id is null) = (decided_at is null))
);
comment on table marketing_automation_internal.experiment is
    'API: private. Experiments that have begun or are decided: one row holds the winner, for good. See variant_report()';
comment on column marketing_automation_internal.experiment.began_at is 'When the first record came to it; null: none had when it was decided';
comment on column marketing_automation_internal.experiment.winner_id is 'The variant that has won; null: not decided';
comment on column marketing_automation_internal.experiment.decided_by is 'Who called decide(); null: decided by its metric';

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
    capped boolean not null default true,
    send_window text,
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
comment on column marketing_automation.message_class.capped is 'Whether frequency_cap may hold for it';
comment on column marketing_automation.message_class.send_window is
    'Name of the window in which its mails may leave, beside that of their scenario or activity; null: at any time';
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

-- Frequency caps, and what goes first.
alter table marketing_automation.scenario add column priority integer not null default 0 check (priority between -1000 and 1000);
comment on column marketing_automation.scenario.priority is
    'Of mails of one class, those of scenarios with more are processed and sent first, and get the last place under a frequency cap';
create table marketing_automation.frequency_cap (
    message_class text not null,
    mails integer not null check (mails > 0),
    per interval not null check (per >= interval '1 second' and per <= interval '1 year'),
    outside text not null default 'wait' check (outside in ('wait', 'skip')),
    max_wait interval check (max_wait > interval '0' and max_wait <= interval '10 years'),
    primary key (message_class, per)
);
comment on table marketing_automation.frequency_cap is
    'API: public. At most so many mails of a class to a person, a party or else an address, in any such time. No row: as many as there are';
comment on column marketing_automation.frequency_cap.per is 'In no time of this length more than mails; 1 second to 1 year';
comment on column marketing_automation.frequency_cap.outside is
    'What becomes of a mail over the cap: wait until there is room, or skip: it is not sent, and starts no children';
comment on column marketing_automation.frequency_cap.max_wait is
    'A mail that would wait longer than this, counted from when its activity ran, is skipped at once; null: as long as it takes, or its '
    'expires_after allows';

create table marketing_automation_internal.capped_mail (
    message_id bigint not null,
    attempt integer not null,
    person bytea not null,
    message_class text collate "C" not null,
    at timestamptz not null,
    primary key (message_id, attempt)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.capped_mail is
    'API: private. Attempts of mails of classes with a frequency cap that are under way, or that the server has, or may have, taken: what the '
    'claim counts';
comment on column marketing_automation_internal.capped_mail.person is 'See person_hash()';
comment on column marketing_automation_internal.capped_mail.at is
    'When it was claimed, then when its result was known: later than when the server took it';
-- What a person has had: capped_mails().
create index capped_mail_person on marketing_automation_internal.capped_mail (person, message_class);

create table marketing_automation_internal.capped_claim (
    singleton boolean primary key default true check (singleton)
);
insert into marketing_automation_internal.capped_claim default values;
comment on table marketing_automation_internal.capped_claim is
    'API: private. One row: who claims mails while there is a frequency cap holds it, so that two that claim count each other''s. Not '
    'dumped: it means nothing in another cluster';
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
create index subscription_request_email on marketing_automation.subscription_request (lower(email collate "C"), topic);
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
    'topic or its title, class of mails, frequency cap, robot rule, or permission to send. Kept until purge_definition_history()';
comment on column marketing_automation.definition_history.role is 'Who made it: the role as which the session worked, whatever functions it called';
comment on column marketing_automation.definition_history.kind is 'The table that has the definition';
comment on column marketing_automation.definition_history.name is 'Its name; of a translation with the language, of a holiday with the day';
comment on column marketing_automation.definition_history.scenario is
    'Of a scenario, an activity or a translation: the name that the scenario had; null for others';
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
    add constraint sweep_what_check check (what in ('exit', 'goal', 'date', 'wait'));
comment on table marketing_automation_internal.sweep is
    'API: private. Where asking the records of a scenario, slice by slice, for their exit, their goal, their dates or what they wait for has come';
comment on column marketing_automation_internal.sweep.reached_record is
    'Records up to this one have been asked; of exits and dates: of those that wait until reached_at';
-- Rehearsals: what rehearse() notes while it plays. Always empty for everybody else, as all of it is rolled back; not dumped.

create table marketing_automation_internal.rehearsed_event (
    at timestamptz not null,
    record_id bigint not null,
    activity_id integer not null,
    kind text not null,
    primary key (at, record_id, activity_id, kind)
);
comment on table marketing_automation_internal.rehearsed_event is
    'API: private. Opens and clicks that a rehearsal assumes, from when their mail was sent on';

create table marketing_automation_internal.rehearsed_wait (
    activity_id integer not null,
    at timestamptz not null,
    waits bigint not null
);
comment on table marketing_automation_internal.rehearsed_wait is
    'API: private. How often a rehearsal has put an activity, or its mail, off to a later moment';

create table marketing_automation_internal.rehearsed_scenario (
    scenario_id integer primary key,
    original_id integer not null
);
comment on table marketing_automation_internal.rehearsed_scenario is
    'API: private. Of which scenario a rehearsal plays a copy: who is held out is found by its id';

create table marketing_automation_internal.rehearsed_activity (
    activity_id integer primary key,
    original_id integer not null
);
comment on table marketing_automation_internal.rehearsed_activity is
    'API: private. Of which activity one of a rehearsal is a copy: who takes which share is found by its id';
-- Who sees other teams' definitions, as a reader does, may neither change nor lock them.
create policy changed on marketing_automation.scenario as restrictive for update using (pg_has_role(owner_id, 'MEMBER')) with check (true);
comment on policy changed on marketing_automation.scenario is 'Changed, and locked, are scenarios whose owner the role is a member of';
create policy changed on marketing_automation.activity as restrictive for update using (
    scenario_id in (select s.id from marketing_automation.scenario s where pg_has_role(s.owner_id, 'MEMBER'))) with check (true);
comment on policy changed on marketing_automation.activity is 'Of scenarios whose owner the role is a member of';
create policy changed on marketing_automation.activity_translation as restrictive for update using (
    activity_id in (
        select a.id from marketing_automation.activity a join marketing_automation.scenario s on s.id = a.scenario_id
        where pg_has_role(s.owner_id, 'MEMBER'))) with check (true);
comment on policy changed on marketing_automation.activity_translation is 'Of scenarios whose owner the role is a member of';
-- Calls.
alter table marketing_automation.activity
    drop constraint activity_on_event_check,
    drop constraint activity_action_check,
    add column call text,
    add constraint activity_on_event_check check (on_event in ('email_opened', 'email_not_opened', 'email_clicked', 'email_not_clicked',
        'email_bounced', 'email_not_bounced', 'condition_not_met', 'call_failed', 'variant')),
    add constraint activity_action_check check (action in ('send_email', 'call')),
    add constraint activity_call_is_what_it_does check ((action is not distinct from 'call') = (call is not null)),
    add constraint activity_call_does_not_branch check (call is null or branch_by is null);
comment on column marketing_automation.activity.on_event is
    'What the recipient must do (email_opened, email_clicked) or leave undone until the delay is over (email_not_opened, '
    'email_not_clicked), or what must happen to the mail (email_bounced, email_not_bounced); condition_not_met: runs instead of its '
    'parent, when the condition of that was not true; call_failed: runs when its parent, which calls, has failed; variant: '
    'it does not run, its texts take the place of those of its parent''s mail for its share; null: simply follows';
comment on column marketing_automation.activity.action is 'send_email; call, see the column call; or null for a node that only branches';
comment on column marketing_automation.activity.call is
    'SQL expression over self that an activity with the action call runs as the scenario''s owner, with the right to write, in the transaction in '
    'which the activity is done; what it returns is kept as jsonb: results.NAME in templates, record.results in later expressions';
create table marketing_automation_internal.call_result (
    record_id bigint not null,
    activity_id integer not null,
    result jsonb not null,
    primary key (record_id, activity_id)
);
comment on table marketing_automation_internal.call_result is
    'API: private. What the expressions of activities that call have returned for records; in the transaction in which the activity is done. '
    'See record_activity.result';
comment on column marketing_automation_internal.call_result.result is 'JSON null: the expression was null, or returns nothing';
drop function marketing_automation_internal.template_columns(regclass);
-- Nothing written, nothing read.
alter table marketing_automation.scenario_status
    add column last_scanned_at timestamptz,
    add column scanned_state text,
    add column last_scan_took interval;
comment on column marketing_automation.scenario_status.last_scanned_at is
    'When the rows of the model were read last: runs of enrolling after it, up to last_enrolled_at, found that nothing had been written';
comment on column marketing_automation.scenario_status.scanned_state is
    'A digest of all that decided who enters, before that: while it is the same, nothing is read. Null: the next run reads';
comment on column marketing_automation.scenario_status.last_scan_took is
    'How long the last run took that read the rows and found none to enter, as the run before it had read them, too; null: it did not';
-- What a server has taken is counted apart from the tokens that its limits hand out.
alter table marketing_automation_internal.smtp_usage add column sent_until timestamptz, add column sent integer not null default 0;
comment on column marketing_automation_internal.smtp_usage.sent_until is 'The end of the day, by the database''s time zone, whose mails sent counts';
drop function marketing_automation_internal.complete_messages(bigint[], integer[], text[], text[], double precision[], text[], integer[], text[],
    text[], timestamptz);

comment on column marketing_automation.smtp_server.warmup_started is
    'First day of the ramp in smtp_warmup, in the time zone of the database; null: no ramp';
-- Where replies go.
alter table marketing_automation.activity add column reply_to text;
comment on column marketing_automation.activity.reply_to is
    'Template of the mailboxes that replies go to, commas between several; null, or where it gives none: to the sender';
alter table marketing_automation.activity_translation
    add column reply_to text,
    drop constraint activity_translation_translates,
    add constraint activity_translation_translates check (coalesce(sender, subject, body, reply_to) is not null);
-- Parameters of a campaign.
alter table marketing_automation.scenario
    add column utm text,
    add column utm_hosts text,
    add constraint scenario_utm_has_hosts check ((utm is null) = (utm_hosts is null));
comment on column marketing_automation.scenario.utm is
    'Template of parameters, utm_source=shop&utm_campaign={{ scenario.name }}, that links of its mails get: before the fragment, but for those '
    'that a link has; null: links lead where they are written';
comment on column marketing_automation.scenario.utm_hosts is
    'Hosts, with commas or spaces between them, whose links get utm, each with those below it';
-- Text beside the subject, and a text part of its own.
alter table marketing_automation.activity add column preheader text, add column text text;
comment on column marketing_automation.activity.preheader is
    'Template of a line that mail programs show beside the subject, and not in the mail; not HTML. It goes with the body: see text';
comment on column marketing_automation.activity.text is
    'Template of the plain-text alternative, not HTML; null: it is made from the body, with which it goes: a translation or a variant that has '
    'a body of its own has a text of its own, or none';
alter table marketing_automation.activity_translation
    add column preheader text,
    add column text text,
    drop constraint activity_translation_translates,
    add constraint activity_translation_translates check (coalesce(sender, subject, body, reply_to, preheader, text) is not null);
-- Headers of an author's own.
alter table marketing_automation.activity add column headers jsonb;
comment on column marketing_automation.activity.headers is
    'Headers to add to its mails, an object of names and templates, such as {"X-Campaign": "{{ scenario.name }}"}; one that prints nothing is left out';
-- Style sheets in the elements.
alter table marketing_automation.scenario add column inline_css boolean not null default false;
comment on column marketing_automation.scenario.inline_css is
    'Whether what <style> says of elements is written into them, too, for programs that show a mail without its style sheets';
-- Webhooks.
create table marketing_automation.webhook_target (
    origin text primary key,
    secret_file text,
    role name,
    role_id oid,
    is_private boolean not null default false,
    connections integer not null default 8 check (connections between 1 and 200),
    timeout interval not null default '10 seconds' check (timeout between interval '100 milliseconds' and interval '60 seconds'),
    enabled boolean not null default true,
    disabled_at timestamptz,
    disabled_because text
);
comment on table marketing_automation.webhook_target is
    'API: public. Servers to which webhooks may go, for superusers: messages of customers leave for there, and files of the server are read. '
    'Others see webhook_target_status';
comment on column marketing_automation.webhook_target.origin is 'Scheme, host and port, as https://crm.example or http://hooks.internal:8080';
comment on column marketing_automation.webhook_target.secret_file is
    'File whose first line is the secret that signs (standard-webhooks.com): whsec_ and 24 to 64 bytes in base64; readable by the server''s '
    'operating system user only; null: nothing is signed';
comment on column marketing_automation.webhook_target.role is
    'Scenarios whose owner is a member of this role may use it; null: all';
comment on column marketing_automation.webhook_target.role_id is
    'The role that was named when it was written: another one of that name may not. 0: there was none; null: all may';
comment on column marketing_automation.webhook_target.is_private is
    'Whether its host may be at a loopback or private address; link-local ones, where clouds keep secrets, are never used';
comment on column marketing_automation.webhook_target.connections is 'Connections at most, each reused for many messages';
comment on column marketing_automation.webhook_target.timeout is 'How long it may take to connect and to answer, in all';
comment on column marketing_automation.webhook_target.enabled is
    'Whether messages go there; an answer 410 Gone sets it to false: then they fail at once, until somebody sets it to true';
comment on column marketing_automation.webhook_target.disabled_at is 'When an answer has disabled it';
comment on column marketing_automation.webhook_target.disabled_because is 'That answer';

alter table marketing_automation.activity
    drop constraint activity_on_event_check,
    drop constraint activity_action_check,
    add column url text,
    add constraint activity_on_event_check check (on_event in ('email_opened', 'email_not_opened', 'email_clicked', 'email_not_clicked', 'email_bounced',
        'email_not_bounced', 'condition_not_met', 'call_failed', 'webhook_delivered', 'webhook_failed', 'variant')),
    add constraint activity_action_check check (action in ('send_email', 'call', 'webhook')),
    add constraint activity_webhook_has_url check ((action is not distinct from 'webhook') = (url is not null)),
    add constraint activity_webhook_does_not_branch check (url is null or branch_by is null);
comment on column marketing_automation.activity.on_event is
    'What the recipient must do (email_opened, email_clicked) or leave undone until the delay is over (email_not_opened, '
    'email_not_clicked), or what must happen to the mail (email_bounced, email_not_bounced); condition_not_met: runs instead of its '
    'parent, when the condition of that was not true; call_failed: runs when its parent, which calls, has failed; '
    'webhook_delivered, webhook_failed: when the target of its parent has taken the webhook, or will not; variant: '
    'it does not run, its texts take the place of those of its parent''s mail for its share; null: simply follows';
comment on column marketing_automation.activity.action is 'send_email; call, see the column call; webhook, see url; or null for a node that only branches';
comment on column marketing_automation.activity.url is
    'Template of the address that an activity with the action webhook POSTs to, of a server in webhook_target: scheme, host and port are written out';
comment on column marketing_automation.activity.body is
    'minijinja template of the HTML (escaped) or MJML (begins with <mjml) body; of a webhook, of JSON: an expression writes a JSON value; null: the row';
alter table marketing_automation_internal.outbox
    drop constraint outbox_channel_is_known,
    add column target text collate "C",
    add constraint outbox_channel_is_known check (channel in ('mail', 'webhook')),
    add constraint outbox_webhook_has_target check ((channel = 'webhook') = (target is not null));
comment on column marketing_automation_internal.outbox.channel is 'Which way it goes: mail, webhook';
comment on column marketing_automation_internal.outbox.target is
    'Of a webhook: the origin of its URL, a row of webhook_target. Its email is the address of the row, if it has one, and gets nothing';
alter table marketing_automation_internal.message_log add column target text collate "C";
comment on column marketing_automation_internal.message_log.target is 'As in outbox; null: a mail';
alter table marketing_automation_internal.finished_activity
    drop constraint finished_activity_outcome_check,
    add constraint finished_activity_outcome_check check (outcome in
        ('executed', 'mailed', 'posted', 'no_address', 'condition_not_met', 'row_missing', 'opposite_executed', 'event_arrived', 'blocked',
            'goal_reached', 'exited', 'entered_again', 'no_date', 'expired', 'error'));
-- Watched tables.
create table marketing_automation_internal.watched_table (
    id integer generated always as identity primary key,
    model text not null,
    relation regclass not null,
    model_relation regclass not null,
    key text not null,
    key_column text not null,
    constraint watched_table_once unique (model, relation)
);
comment on table marketing_automation_internal.watched_table is
    'API: private. Tables whose written rows are noted for a model, see watch(). Their triggers have the id and key_column as arguments';
comment on column marketing_automation_internal.watched_table.relation is 'The table, with its partitions and what inherits from it; follows renames';
comment on column marketing_automation_internal.watched_table.model_relation is
    'What the model was of when this was written: the table itself, or a view that reads it';
comment on column marketing_automation_internal.watched_table.key is 'The key of the model when this was written: if it is another one, others are to be noted';
comment on column marketing_automation_internal.watched_table.key_column is 'The column that is the key of the model, or of the row of the view';

-- Written by whoever writes a watched table: without an index, and in rows so short that nothing is stored out of line. Heap, as a trigger in
-- C appends to it.
create table marketing_automation_internal.captured_keys (
    watch_id integer not null,
    xid xid8 not null,
    keys text[]
) using heap with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.captured_keys is
    'API: private. Keys of the rows of watched tables that transactions have written. Not dumped, as xid means nothing elsewhere';
comment on column marketing_automation_internal.captured_keys.xid is
    'The transaction: which ones a run of enrolling has not seen yet, a snapshot tells';
comment on column marketing_automation_internal.captured_keys.keys is 'Null: any row may have been written';

create table marketing_automation_internal.watched_scan (
    scenario_id integer primary key,
    seen pg_snapshot not null,
    digest text not null,
    scanned_at timestamptz not null,
    relations oid[],
    surroundings text,
    constraint watched_scan_has_both check ((relations is null) = (surroundings is null))
) with (fillfactor = 50);
comment on table marketing_automation_internal.watched_scan is
    'API: private. Scenarios that enroll by captured keys: what each has seen. Without a row a scenario reads all rows of its model. Not dumped';
comment on column marketing_automation_internal.watched_scan.seen is 'What was committed in this snapshot, it has tried';
comment on column marketing_automation_internal.watched_scan.digest is
    'A digest of all that decides who enters but the rows: once it is another one, all are read';
comment on column marketing_automation_internal.watched_scan.scanned_at is 'When all rows were read last';
comment on column marketing_automation_internal.watched_scan.relations is 'The tables and views of the entering query';
comment on column marketing_automation_internal.watched_scan.surroundings is
    'A digest of what an unchanged digest follows from, without a look at the query. Null: the query is to be analysed at the next run';

-- Access tokens.
comment on column marketing_automation.smtp_server.url is
    'As marketing_automation.smtp_url: smtp://[user@]host[:port][?tls=required|opportunistic|none][&auth=xoauth2|oauthbearer][&ca=/file.pem], '
    'smtps://… or file:///directory';
comment on column marketing_automation.smtp_server.password_file is
    'File whose first line is the password of the user in url, or, with auth=, an access token; readable by the server''s operating '
    'system user only';
-- Attachments of mails.
create table marketing_automation_internal.file_content (
    digest bytea primary key check (octet_length(digest) = 32),
    content bytea not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- Files are compressed already.
alter table marketing_automation_internal.file_content alter column content set storage external;
comment on table marketing_automation_internal.file_content is
    'API: private. Contents of attachments of mails under way, each once; see outbox_file';
comment on column marketing_automation_internal.file_content.digest is 'SHA-256 of content';

create table marketing_automation_internal.outbox_file (
    message_id bigint not null,
    place integer not null,
    name text,
    type text,
    cid text,
    size bigint,
    digest bytea,
    primary key (message_id, place)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.outbox_file is
    'API: private. Attachments of mails in the outbox, as the query of the activity has given them; what is wrong with them the mailer says';
comment on column marketing_automation_internal.outbox_file.place is 'Their order in a mail, from 1';
comment on column marketing_automation_internal.outbox_file.size is 'Bytes; null: the query gave no content';
comment on column marketing_automation_internal.outbox_file.digest is
    'Its content in file_content; null: there is none, or more than a mail can take along';
-- For drop_contents(): which mails have a content.
create index outbox_file_content on marketing_automation_internal.outbox_file (digest);
alter table marketing_automation.activity
    add column attachments text,
    add constraint activity_attachments_are_of_mail check (attachments is null or action is not distinct from 'send_email');
comment on column marketing_automation.activity.attachments is
    'SQL query over self that gives the files of a mail: name, type (a media type), content (bytea), and cid, if the HTML shows it as cid:…; asked '
    'as the scenario''s owner when the mail is made. 20 files and 10 MB at most; one without content fails that mail';

-- Mails in a browser.
create table marketing_automation_internal.browser_activity (
    activity_id integer primary key
);
comment on table marketing_automation_internal.browser_activity is
    'API: private. Activities and variants in whose templates browser_url is: see note_browser_use()';

create table marketing_automation_internal.browser_mail (
    message_id bigint primary key,
    bucket smallint not null,
    sent_at timestamptz not null,
    context jsonb not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table marketing_automation_internal.browser_mail is
    'API: private. What mails with a browser_url were made of, for as long as that shows them; the rest is in message_log';
comment on column marketing_automation_internal.browser_mail.bucket is 'Of its row in message_log';
comment on column marketing_automation_internal.browser_mail.context is 'As in outbox';
-- For drop_browser_mails(): the oldest.
create index browser_mail_sent on marketing_automation_internal.browser_mail (sent_at);
-- Other recipients, and copies.
alter table marketing_automation.activity
    add column recipient text,
    add column cc text,
    add column bcc text,
    add constraint activity_addresses_are_of_mail check (num_nonnulls(recipient, cc, bcc) = 0 or action is not distinct from 'send_email');
comment on column marketing_automation.activity.recipient is
    'SQL expression over self: the mailbox that the mail goes to instead of the address of the row, as ann@shop.example or Ann <ann@shop.example>; '
    'null: to the row''s; a row for which it is null gets no mail. Of classes of which nobody unsubscribes and without list headers, as are cc and bcc';
comment on column marketing_automation.activity.cc is
    'SQL expression over self: mailboxes with commas between them that get a copy, and stand in the header; 10 with those of bcc. What is opened and '
    'clicked of its mails is not tracked, as nobody knows by whom';
comment on column marketing_automation.activity.bcc is 'As cc, of copies that the header does not show';
alter table marketing_automation_internal.outbox add column addresses jsonb;
comment on column marketing_automation_internal.outbox.addresses is
    'Null: it goes to its party and to nobody else. party: name and email of the row, where email is another''s, who gets it instead; cc, bcc: '
    'mailboxes that get copies';
alter table marketing_automation_internal.message_log add column addresses jsonb;
comment on column marketing_automation_internal.message_log.addresses is 'As in outbox';
drop function marketing_automation_internal.mail_of_bounce(text[], text[], text[], boolean);
drop function marketing_automation_internal.mail_row(marketing_automation.activity, text);
drop function marketing_automation_internal.render_preview(integer, jsonb, text, text, text, text, text, boolean);
