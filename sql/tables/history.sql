-- Who has changed which definition, when, and what.

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
