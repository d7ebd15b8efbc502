-- Kinds of mail that people choose from, and what they have chosen.

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
