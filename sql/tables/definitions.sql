-- What users define: models (record types), scenarios, their trees of activities, translations.
-- All small; validated by the triggers of functions/models.sql, scenarios.sql and activities.sql. References between them are checked there too, not by foreign
-- keys: pg_restore -j loads the tables of an extension in any order, and would lose those that came too early.

create table marketing_automation.model (
    name text primary key check (name <> ''),
    relation regclass not null,
    key text not null,
    key_type regtype not null,
    party text,
    email text,
    recipient_name text,
    language text,
    time_zone text,
    track_opens text,
    track_clicks text,
    owner name not null default current_user,
    owner_id oid not null default quote_ident(current_user)::regrole::oid
);
comment on table marketing_automation.model is
    'API: public. A record type: a table, view or foreign table and SQL expressions over the alias self. Write it with '
    'register_model()';
comment on column marketing_automation.model.relation is 'Where the rows are; follows renames';
comment on column marketing_automation.model.key is 'SQL expression over self: identifies a row, unique and not null, never changes';
comment on column marketing_automation.model.key_type is
    'Type of the key expression, so that joins back to the relation can use its index';
comment on column marketing_automation.model.party is
    'SQL expression over self: the person behind the row, the identity that unsubscribes; null: nobody';
comment on column marketing_automation.model.email is
    'SQL expression over self: where mails go (RFC 5321 mailbox); null: records of this model get no mail';
comment on column marketing_automation.model.recipient_name is 'SQL expression over self: display name of the recipient';
comment on column marketing_automation.model.language is
    'SQL expression over self: language of the recipient (BCP 47, fr-CA, or POSIX, fr_CA)';
comment on column marketing_automation.model.time_zone is
    'SQL expression over self: IANA time zone of the recipient, such as Europe/Paris';
comment on column marketing_automation.model.track_opens is
    'SQL boolean expression over self: whether opens of this recipient may be recorded; not true: no image in the mail, and no open '
    'is kept; null: yes';
comment on column marketing_automation.model.track_clicks is
    'SQL boolean expression over self: whether clicks of this recipient may be recorded; not true: links stay as written, and no '
    'click is kept; null: yes';
comment on column marketing_automation.model.owner is
    'Only members of this role may change the model; a scenario uses it only if this role is a member of the scenario''s owner';
comment on column marketing_automation.model.owner_id is
    'The role that owner named when it was written: another one of that name is not the owner. 0: there was none';

create table marketing_automation.party (
    id bigint generated always as identity primary key,
    name text not null,
    email text,
    language text,
    time_zone text,
    created_at timestamptz not null default now()
);
comment on table marketing_automation.party is
    'API: public. Default record type for people and companies; those who have their own table register it with register_model() '
    'instead';

create table marketing_automation.sale (
    id bigint generated always as identity primary key,
    party_id bigint not null,
    number text,
    state text not null default 'draft' check (state in ('draft', 'quotation', 'confirmed', 'done', 'cancelled')),
    amount numeric check (amount >= 0),
    currency text check (currency ~ '^[A-Z]{3}$'),
    sale_date date,
    created_at timestamptz not null default now()
);
comment on table marketing_automation.sale is 'API: public. Default record type for sales, mailed to their party';
comment on column marketing_automation.sale.currency is 'ISO 4217 code';
create index sale_party_id on marketing_automation.sale (party_id);

create table marketing_automation.scenario (
    -- 0 stands for every scenario in unsubscription and event.
    id integer generated always as identity primary key check (id > 0),
    name text not null unique check (name <> ''),
    title text check (title <> ''),
    model text not null,
    domain text not null default 'true',
    state text not null default 'draft' check (state in ('draft', 'running', 'stopped')),
    unsubscribable boolean not null default false,
    language text not null default 'en' check (language ~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$'),
    track_opens boolean not null default true,
    track_clicks boolean not null default true,
    owner name not null default current_user,
    created_at timestamptz not null default now(),
    goal text,
    goal_ends_journey boolean not null default false,
    owner_id oid not null default quote_ident(current_user)::regrole::oid,
    exit_condition text,
    goal_window interval not null default '30 days' check (goal_window > interval '0' and goal_window <= interval '10 years'),
    goal_at text,
    goal_value text,
    holdout numeric not null default 0 check (holdout between 0 and 100),
    send_window text,
    topic text,
    message_class text not null default 'marketing',
    priority integer not null default 0 check (priority between -1000 and 1000),
    reenter_after interval check (reenter_after >= interval '0' and reenter_after <= interval '10 years'),
    occasion text,
    utm text,
    utm_hosts text,
    inline_css boolean not null default false,
    constraint scenario_journey_ends_with_goal check (goal is not null or not goal_ends_journey),
    constraint scenario_goal_parts_need_goal check (goal is not null or (goal_at is null and goal_value is null)),
    constraint scenario_holdout_needs_goal check (goal is not null or holdout = 0),
    constraint scenario_utm_has_hosts check ((utm is null) = (utm_hosts is null))
);
comment on table marketing_automation.scenario is
    'API: public. A campaign: rows of the model that match the domain enter once and live its tree of activities';
comment on column marketing_automation.scenario.title is
    'How recipients know this kind of mail: the name that unsubscribe pages show; null: name';
comment on column marketing_automation.scenario.domain is 'SQL boolean expression over self: which rows of the model enter';
comment on column marketing_automation.scenario.state is
    'draft -> running -> stopped -> draft. Only running scenarios enroll, process and mail; a stopped one keeps its waiting work';
comment on column marketing_automation.scenario.unsubscribable is
    'Whether unsubscribing keeps the party out of this scenario for ever, in all its records';
comment on column marketing_automation.scenario.language is
    'Language that its activities are written in (BCP 47 or POSIX tag); what is not translated is sent in it, with dates and numbers '
    'to match';
comment on column marketing_automation.scenario.track_opens is
    'Whether opens are recorded, of recipients who agree (track_opens of the model); if not, its mails have no image';
comment on column marketing_automation.scenario.track_clicks is
    'Whether clicks are recorded, of recipients who agree (track_clicks of the model); if not, links in its mails stay as written';
comment on column marketing_automation.scenario.owner is
    'Role with whose rights all expressions (domain, goal, conditions, model) run; only its members may change the scenario';
comment on column marketing_automation.scenario.owner_id is
    'The role that owner named when it was written: another one of that name is not the owner. 0: there was none';
comment on column marketing_automation.scenario.goal is
    'SQL boolean expression over self. Asked when a row enters: who has reached it then never converts; later when an activity runs, and '
    'of all who can still convert, time and again: the first time that it is true is a conversion of the record; null: none';
comment on column marketing_automation.scenario.goal_window is
    'How long after entering the goal counts, for who enters from now on; days and months in the recipient''s time zone';
comment on column marketing_automation.scenario.goal_at is
    'SQL expression over self, timestamptz: when the goal was reached; null: when it was seen to hold';
comment on column marketing_automation.scenario.goal_value is
    'SQL expression over self, a number: what reaching the goal is worth; null: nothing';
comment on column marketing_automation.scenario.holdout is
    'Per cent of the people who enter that get no mail, so that their conversions tell what would have happened without; see '
    'uplift_report(). Fixed once records have entered';
comment on column marketing_automation.scenario.exit_condition is
    'SQL boolean expression over self, asked when an activity is due, before a mail leaves, and of all who wait, time and again: once it '
    'is true, the journey of the record ends; null: never';
comment on column marketing_automation.scenario.goal_ends_journey is
    'Whether nothing more runs for a record that has reached the goal, and no mail leaves, queued or not';
comment on column marketing_automation.scenario.send_window is 'Name of the window in which its mails may leave; null: at any time';
comment on column marketing_automation.scenario.topic is
    'Name of the topic that its mails are about: they go to who has not left it, or has asked for it; null: none';
comment on column marketing_automation.scenario.message_class is
    'Class of its mails, but of those whose activity has another: a name in message_class';
comment on column marketing_automation.scenario.priority is
    'Of mails of one class, those of scenarios with more are processed and sent first, and get the last place under a frequency cap';
comment on column marketing_automation.scenario.reenter_after is
    'How long after its journey has ended a row enters again, if the domain is true for it then; days and months in the recipient''s time '
    'zone. Null: once, ever, or, with an occasion, at once for another one';
comment on column marketing_automation.scenario.occasion is
    'SQL expression over self, taken as text: what a row enters for, once for each, such as a year or an order; a row that has none (null or '
    'empty) waits. Fixed once records have entered. Null: rows enter for no occasion';

comment on column marketing_automation.scenario.inline_css is
    'Whether what <style> says of elements is written into them, too, for programs that show a mail without its style sheets';
comment on column marketing_automation.scenario.utm is
    'Template of parameters, utm_source=shop&utm_campaign={{ scenario.name }}, that links of its mails get: before the fragment, but for those '
    'that a link has; null: links lead where they are written';
comment on column marketing_automation.scenario.utm_hosts is
    'Hosts, with commas or spaces between them, whose links get utm, each with those below it';

create table marketing_automation.scenario_status (
    scenario_id integer primary key,
    last_enrolled_at timestamptz,
    last_error text,
    last_error_code text check (last_error_code ~ '^[0-9A-Z]{5}$'),
    last_error_at timestamptz,
    last_error_activity_id integer,
    without_occasion bigint not null default 0,
    last_scanned_at timestamptz,
    scanned_state text,
    last_scan_took interval,
    check ((last_error is null) = (last_error_at is null) and (last_error is null) = (last_error_code is null)),
    check (last_error_activity_id is null or last_error is not null)
);
comment on table marketing_automation.scenario_status is 'API: public. How the last runs of each scenario went';
comment on column marketing_automation.scenario_status.last_error is
    'Why the scenario does not enroll, or an activity does not run: gone when it does';
comment on column marketing_automation.scenario_status.last_error_at is 'Since when it is that';
comment on column marketing_automation.scenario_status.last_error_code is 'SQLSTATE of last_error';
comment on column marketing_automation.scenario_status.last_error_activity_id is 'Activity that does not run; null: enrolling failed';
comment on column marketing_automation.scenario_status.without_occasion is
    'Rows that the domain matched at the last run of enrolling and that wait, as they had no occasion';
comment on column marketing_automation.scenario_status.last_scanned_at is
    'When the rows of the model were read last: runs of enrolling after it, up to last_enrolled_at, found that nothing had been written';
comment on column marketing_automation.scenario_status.scanned_state is
    'A digest of all that decided who enters, before that: while it is the same, nothing is read. Null: the next run reads';
comment on column marketing_automation.scenario_status.last_scan_took is
    'How long the last run took that read the rows and found none to enter, as the run before it had read them, too; null: it did not';

create table marketing_automation.activity (
    id integer generated always as identity primary key check (id > 0),
    scenario_id integer not null,
    name text not null check (name <> ''),
    parent_id integer,
    on_event text check (on_event in ('email_opened', 'email_not_opened', 'email_clicked', 'email_not_clicked', 'email_bounced',
        'email_not_bounced', 'condition_not_met', 'call_failed', 'webhook_delivered', 'webhook_failed', 'variant')),
    condition text,
    delay interval,
    action text default 'send_email' check (action in ('send_email', 'call', 'webhook')),
    sender text,
    subject text,
    body text,
    expires_after interval check (expires_after > interval '0' and expires_after <= interval '10 years'),
    version integer not null default 1,
    at_time time,
    send_window text,
    message_class text,
    wait_until text,
    branch_by text check (branch_by in ('condition', 'share')),
    share numeric check (share > 0 and share <= 100),
    metric text check (metric in ('opens', 'clicks', 'conversions')),
    decide_after interval check (decide_after > interval '0' and decide_after <= interval '10 years'),
    unique (scenario_id, name),
    at text,
    call text,
    reply_to text,
    preheader text,
    text text,
    headers jsonb,
    url text,
    attachments text,
    recipient text,
    cc text,
    bcc text,
    constraint activity_delay_check check (delay between case when at is null then interval '0' else interval '-10 years' end
        and interval '10 years'),
    constraint activity_event_needs_parent check (on_event is null or parent_id is not null),
    constraint activity_negative_event_needs_delay check (on_event not like 'email\_not\_%' or delay is not null),
    constraint activity_mail_needs_subject_and_body check (action is distinct from 'send_email'
        or (subject is not null and body is not null)),
    constraint activity_call_is_what_it_does check ((action is not distinct from 'call') = (call is not null)),
    constraint activity_call_does_not_branch check (call is null or branch_by is null),
    constraint activity_webhook_has_url check ((action is not distinct from 'webhook') = (url is not null)),
    constraint activity_webhook_does_not_branch check (url is null or branch_by is null),
    constraint activity_attachments_are_of_mail check (attachments is null or action is not distinct from 'send_email'),
    constraint activity_addresses_are_of_mail check (num_nonnulls(recipient, cc, bcc) = 0 or action is not distinct from 'send_email'),
    constraint activity_wait_ends check (wait_until is null or delay is not null),
    constraint activity_experiment_has_variants check (metric is null or (branch_by is not distinct from 'share' and action is null)
        or (branch_by is null and action is not distinct from 'send_email')),
    constraint activity_variant_has_share check (on_event is distinct from 'variant' or (share is not null and action is null)),
    constraint activity_decides_by_metric check (decide_after is null or metric is not null),
    constraint activity_is_not_its_own_parent check (parent_id <> id)
);
comment on table marketing_automation.activity is 'API: public. A node of a scenario''s tree: when, under which condition, which action';
comment on column marketing_automation.activity.parent_id is 'Activity that this one follows; null: a root, started by enrolling';
comment on column marketing_automation.activity.on_event is
    'What the recipient must do (email_opened, email_clicked) or leave undone until the delay is over (email_not_opened, '
    'email_not_clicked), or what must happen to the mail (email_bounced, email_not_bounced); condition_not_met: runs instead of its '
    'parent, when the condition of that was not true; call_failed: runs when its parent, which calls, has failed; '
    'webhook_delivered, webhook_failed: when the target of its parent has taken the webhook, or will not; variant: '
    'it does not run, its texts take the place of those of its parent''s mail for its share; null: simply follows';
comment on column marketing_automation.activity.condition is
    'SQL boolean expression over self; unless it is true, nothing is done and no child starts but those on condition_not_met. After an '
    'activity that branches by condition it is asked when that runs, and not again';
comment on column marketing_automation.activity.delay is
    'How long after its start (enrolling, parent''s mail taken, event) it runs; null: at once. A change is for those who start later. With '
    'at: how long after that date, or, negative, before it';
comment on column marketing_automation.activity.at is
    'SQL expression over self, timestamptz: the date from which delay counts, instead of from its start. Asked again when it is due: a later '
    'one lets it wait, without one (null) it is cancelled; an earlier one is found by apply_dates()';
comment on column marketing_automation.activity.action is 'send_email; call, see the column call; webhook, see url; or null for a node that only branches';
comment on column marketing_automation.activity.call is
    'SQL expression over self that an activity with the action call runs as the scenario''s owner, with the right to write, in the transaction in '
    'which the activity is done; what it returns is kept as jsonb: results.NAME in templates, record.results in later expressions';
comment on column marketing_automation.activity.sender is 'Template of the From mailbox; null: marketing_automation.email_from';
comment on column marketing_automation.activity.reply_to is
    'Template of the mailboxes that replies go to, commas between several; null, or where it gives none: to the sender';
comment on column marketing_automation.activity.preheader is
    'Template of a line that mail programs show beside the subject, and not in the mail; not HTML. It goes with the body: see text';
comment on column marketing_automation.activity.text is
    'Template of the plain-text alternative, not HTML; null: it is made from the body, with which it goes: a translation or a variant that has '
    'a body of its own has a text of its own, or none';
comment on column marketing_automation.activity.headers is
    'Headers to add to its mails, an object of names and templates, such as {"X-Campaign": "{{ scenario.name }}"}; one that prints nothing is left out';
comment on column marketing_automation.activity.attachments is
    'SQL query over self that gives the files of a mail: name, type (a media type), content (bytea), and cid, if the HTML shows it as cid:…; asked '
    'as the scenario''s owner when the mail is made. 20 files and 10 MB at most; one without content fails that mail';
comment on column marketing_automation.activity.recipient is
    'SQL expression over self: the mailbox that the mail goes to instead of the address of the row, as ann@shop.example or Ann <ann@shop.example>; '
    'null: to the row''s; a row for which it is null gets no mail. Of classes of which nobody unsubscribes and without list headers, as are cc and bcc';
comment on column marketing_automation.activity.cc is
    'SQL expression over self: mailboxes with commas between them that get a copy, and stand in the header; 10 with those of bcc. What is opened and '
    'clicked of its mails is not tracked, as nobody knows by whom';
comment on column marketing_automation.activity.bcc is 'As cc, of copies that the header does not show';
comment on column marketing_automation.activity.url is
    'Template of the address that an activity with the action webhook POSTs to, of a server in webhook_target: scheme, host and port are written out';
comment on column marketing_automation.activity.subject is 'minijinja template, not HTML-escaped';
comment on column marketing_automation.activity.body is
    'minijinja template of the HTML (escaped) or MJML (begins with <mjml) body; of a webhook, of JSON: an expression writes a JSON value; null: the row';
comment on column marketing_automation.activity.expires_after is
    'How long after the activity ran its mail is still worth sending: one that a limit, a retry or a stop has held longer ends as '
    'suppressed, and starts no children; null: always. With at: it does not run, and starts no children, so long after it was due';
comment on column marketing_automation.activity.version is
    'Raised by each change of templates or translations, or of what the scenario gives to them; compiled templates are cached by it';
comment on column marketing_automation.activity.at_time is
    'Time of day, by the recipient''s clock, at which it runs: the first one after its delay; null: as soon as that is over';
comment on column marketing_automation.activity.send_window is
    'Name of the window in which its mails may leave; null: that of the scenario';
comment on column marketing_automation.activity.message_class is 'Class of its mails: a name in message_class; null: that of the scenario';
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
create index activity_parent_id on marketing_automation.activity (parent_id);
-- For each batch: is there one to decide?
create index activity_experiment on marketing_automation.activity (id) where metric is not null;
-- For each claim: which mails have variants?
create index activity_variant on marketing_automation.activity (parent_id) where on_event = 'variant';

create table marketing_automation.activity_translation (
    activity_id integer not null,
    language text not null check (language ~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$'),
    sender text,
    subject text,
    body text,
    reply_to text,
    preheader text,
    text text,
    primary key (activity_id, language),
    constraint activity_translation_translates check (coalesce(sender, subject, body, reply_to, preheader, text) is not null)
);
comment on table marketing_automation.activity_translation is
    'API: public. Templates of an activity in another language; what is null falls back, part by part: fr_CA, fr, the activity';
comment on column marketing_automation.activity_translation.language is 'BCP 47 or POSIX language tag: fr, fr-CA, fr_CA';

-- Pieces that templates share; checked by functions/snippets.sql.
create sequence marketing_automation.snippet_version_seq;

create table marketing_automation.snippet (
    name text not null constraint snippet_name_is_simple check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$'),
    language text not null default '' check (language = '' or language ~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$'),
    body text not null,
    owner name not null default current_user,
    version bigint not null default 0,
    owner_id oid not null default quote_ident(current_user)::regrole::oid,
    primary key (name, language)
);
alter sequence marketing_automation.snippet_version_seq owned by marketing_automation.snippet.version;
comment on table marketing_automation.snippet is
    'API: public. Pieces that templates share, by name: {% include "footer" %}, {% extends "layout" %}, {% import "macros" as m %}. '
    'A changed one takes effect in the mails that are rendered from then on';
comment on column marketing_automation.snippet.language is
    'Language tag of a translation; empty: the default. A text takes the translation in its own language, in the recipient''s '
    'variant of it';
comment on column marketing_automation.snippet.body is 'minijinja template; escaped as the template that uses it is';
comment on column marketing_automation.snippet.owner is
    'Only members of this role may change the snippet of this name, in any language; every scenario may use it';
comment on column marketing_automation.snippet.owner_id is
    'The role that owner named when it was written: another one of that name is not the owner. 0: there was none';
comment on column marketing_automation.snippet.version is 'Raised by each change; the mailer forgets its compiled templates by it';
