-- Conversions: what a campaign was for, as the shop reports it, or as processing sees it by the scenario's goal.

create table marketing_automation.conversion (
    id bigint generated always as identity primary key,
    record_id bigint not null,
    scenario_id integer not null,
    at timestamptz not null check (isfinite(at)),
    -- One that is no number would be the sum of its scenario for ever.
    value numeric check (value not in ('NaN', 'Infinity', '-Infinity')),
    source text not null default 'reported' check (source in ('reported', 'goal')),
    activity_id integer
);
comment on table marketing_automation.conversion is
    'API: public. What records have brought: written by record_conversion(), and once when the scenario''s goal is reached';
comment on column marketing_automation.conversion.at is 'When it happened; of a goal without goal_at: when it was seen to hold';
comment on column marketing_automation.conversion.source is
    'reported: by record_conversion(); goal: by the scenario''s goal, at most once a record';
comment on column marketing_automation.conversion.value is 'In a currency of your choice, the same for a scenario; null: it has none';
comment on column marketing_automation.conversion.activity_id is
    'The activity that it is credited to: whose mail was clicked last before it, else sent last; null: there was none';
create index conversion_record on marketing_automation.conversion (record_id);
create unique index conversion_goal on marketing_automation.conversion (record_id) where source = 'goal';
-- For the sums of a scenario.
create index conversion_scenario on marketing_automation.conversion (scenario_id) include (record_id, value);
