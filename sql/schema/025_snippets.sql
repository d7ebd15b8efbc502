-- Pieces that templates share; checked by 117_validate_snippets.sql.

create sequence marketing_automation.snippet_version_seq;
create table marketing_automation.snippet (
    name text not null constraint snippet_name_is_simple check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$'),
    language text not null default '' check (language = '' or language ~ '^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$'),
    body text not null,
    owner regrole not null default quote_ident(current_user)::regrole,
    version bigint not null default 0,
    primary key (name, language)
);
alter sequence marketing_automation.snippet_version_seq owned by marketing_automation.snippet.version;
comment on table marketing_automation.snippet is
    'API: public. Pieces that templates share, by name: {% include "footer" %}, {% extends "layout" %}, {% import "macros" as m %}. A changed one takes effect in the mails that are rendered from then on';
comment on column marketing_automation.snippet.language is
    'Language tag of a translation; empty: the default. A text takes the translation in its own language, in the recipient''s variant of it';
comment on column marketing_automation.snippet.body is 'minijinja template; escaped as the template that uses it is';
comment on column marketing_automation.snippet.owner is 'Only members of this role may change it; every scenario may use it';
comment on column marketing_automation.snippet.version is 'Raised by each change; the mailer forgets its compiled templates by it';
