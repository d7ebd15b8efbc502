-- Branches: the children of an activity that are alternatives. Which one a record takes is decided when that activity runs
-- (process_records), kept in branch_decision, and never asked again: who starts children starts the one that was decided.

create function marketing_automation_internal.hash_point(text) returns integer
language sql immutable
return ('x' || substr(md5($1), 1, 7))::bit(28)::integer % 10000;
comment on function marketing_automation_internal.hash_point(text) is
    'API: private. Where a text falls by its hash, from 0 to 9999: hundredths of a per cent';

create function marketing_automation_internal.share_point(parent_id integer, person text) returns integer
language sql immutable
-- Not as the hold-out of a scenario, whose number may be that of the activity: they would not be independent.
return marketing_automation_internal.hash_point('share/' || parent_id || '/' || person);
comment on function marketing_automation_internal.share_point(integer, text) is
    'API: private. Where a person, by its party or else its key, falls among the shares of an activity''s children';

create function marketing_automation_internal.original_activity(of_activity integer) returns integer
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select c.original_id from marketing_automation_internal.rehearsed_activity c where c.activity_id = of_activity), of_activity)
$$;
comment on function marketing_automation_internal.original_activity(integer) is
    'API: private. The id by which an activity shares people out: of a rehearsal''s copy that of the activity itself, so that both share out '
    'the same';

create function marketing_automation_internal.alternatives(of_parent integer)
returns table (id integer, condition text, share numeric, is_otherwise boolean)
language sql stable rows 3 set search_path = pg_catalog, pg_temp as $$
    select c.id, c.condition, c.share, c.condition is null and c.share is null
    from marketing_automation.activity c where c.parent_id = of_parent and c.on_event is null
$$;
comment on function marketing_automation_internal.alternatives(integer) is
    'API: private. The children of an activity of which each record takes one, if it branches: in order of id. is_otherwise: it is for '
    'the rest';

create function marketing_automation_internal.condition_choice(activity marketing_automation.activity) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when activity.branch_by is distinct from 'condition' or count(*) = 0 then 'null::integer'
        when count(a.condition) = 0 then max(a.id)::text
        else format('case %s else %s end', string_agg(format('when %s then %s',
                    marketing_automation_internal.as_later_condition(a.condition, m.key, m.key_type), a.id), ' '
                order by a.id) filter (where a.condition is not null),
            coalesce((max(a.id) filter (where a.is_otherwise))::text, 'null::integer')) end
    from marketing_automation_internal.alternatives(activity.id) a
    join marketing_automation.scenario s on s.id = activity.scenario_id
    join marketing_automation.model m on m.name = s.model
$$;
comment on function marketing_automation_internal.condition_choice(marketing_automation.activity) is
    'API: private. Expression over self, ready to stand in a query, for the first child of an activity whose condition is true, else the '
    'one for the rest; null: it branches otherwise, or none is';

create function marketing_automation_internal.share_choice(activity marketing_automation.activity, out ids integer[], out bounds numeric[],
    out winner integer)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select array_agg(a.id order by a.is_otherwise, a.id), coalesce(array_agg(a.bound order by a.id) filter (where not a.is_otherwise), '{}'),
        case when activity.metric is not null and count(*) > 0 then (
            select e.winner_id from marketing_automation_internal.experiment e where e.activity_id = activity.id) end
    from (select a.*, 100 * sum(a.share) over (order by a.id) as bound from marketing_automation_internal.alternatives(activity.id) a) a
    where activity.branch_by = 'share'
$$;
comment on function marketing_automation_internal.share_choice(marketing_automation.activity, out integer[], out numeric[],
    out integer) is
    'API: private. The children of an activity that branches by share, the one for the rest last, and the points below which each begins '
    'no more: width_bucket() of a share_point() and these, plus 1, is the place of the one that it takes. winner: of an '
    'experiment that is decided';

create function marketing_automation_internal.check_branch(activity marketing_automation.activity, parent marketing_automation.activity,
    has_moved boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- What waits for its parent to do nothing is none of the alternatives.
    is_alternative boolean := parent.branch_by is not null and activity.on_event is distinct from 'condition_not_met'
        and activity.on_event is distinct from 'variant';
    other text;
begin
    perform marketing_automation_internal.check_value(activity.branch_by, array['condition', 'share'], 'branch_by',
        format('activity "%s"', activity.name), 'null: each of its children is asked by itself');
    if activity.share <= 0 or activity.share > 100 then
        raise exception 'share of activity "%" is %', activity.name, case when activity.share > 100 then 'over 100' else 'not positive' end
            using errcode = 'check_violation', hint = 'It is per cent of the records for which its parent has run.';
    end if;
    if activity.share is not null and activity.on_event is distinct from 'variant' and (not is_alternative or parent.branch_by <> 'share') then
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
    if has_moved and activity.on_event = 'condition_not_met' and coalesce(parent.condition, parent.wait_until) is null then
        raise exception 'activity "%" waits for the condition of "%" not to be met, but that has none', activity.name, parent.name
            using errcode = 'check_violation', hint = (
                select format('update marketing_automation.activity set condition = ''…'' where name = %L and scenario_id = '
                    'marketing_automation.scenario_id(%L);', parent.name, s.name) from marketing_automation.scenario s where s.id = parent.scenario_id);
    end if;
end $$;
comment on function marketing_automation_internal.check_branch(marketing_automation.activity, marketing_automation.activity, boolean) is
    'API: private. Raises unless an activity may stand under its parent, as one of its alternatives or for when its condition is not met. '
    'has_moved: whether it did not stand there, for that, before';

create function marketing_automation_internal.check_branching(was marketing_automation.activity, becomes marketing_automation.activity)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    parent marketing_automation.activity;
    has_share boolean;
begin
    if was.id is not null and becomes.id is not null then
        if (was.branch_by, was.metric) is distinct from (becomes.branch_by, becomes.metric) and exists (
                select from marketing_automation.activity c where c.parent_id = becomes.id) then
            raise exception '% of activity "%" cannot change: others follow it', case when was.metric is distinct from becomes.metric
                then 'metric' else 'branch_by' end, was.name
                using errcode = 'object_in_use', detail = 'What they may say depends on it.',
                    hint = 'Add another activity that branches, and others after it.';
        end if;
        if (was.share, was.condition is null) is not distinct from (becomes.share, becomes.condition is null) then
            return;
        end if;
    end if;
    select p.* into parent from marketing_automation.activity p where p.id = coalesce(becomes.parent_id, was.parent_id);
    has_share := parent.branch_by = 'share' and coalesce(becomes.on_event, was.on_event) is null
        or coalesce(becomes.on_event, was.on_event) = 'variant';
    if has_share then
        -- Nobody passes meanwhile: whoever runs it holds it.
        perform from marketing_automation.activity p where p.id = parent.id for update;
    end if;
    if has_share and exists (
            select from marketing_automation_internal.branch_decision d where d.parent_id = parent.id) then
        raise exception 'the shares of activity "%" cannot change: records have passed it', parent.name using errcode = 'object_in_use',
            detail = 'What comes after would be compared with what was chosen by other shares.',
            hint = case when parent.branch_by is null then 'Copy the scenario, or add another activity with that mail.'
                else 'Copy the scenario, or add another activity that branches, and set the condition of this one to false.' end;
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

create function marketing_automation_internal.activity_shares() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent record;
begin
    select p.name, p.metric, sum(c.share) as shares into parent
    from marketing_automation.activity p join marketing_automation.activity c on c.parent_id = p.id
    where p.id = new.parent_id group by p.id;
    if parent.shares > 100 then
        raise exception 'the shares of the activities after "%" are % per cent together', parent.name, trim_scale(parent.shares)
            using errcode = 'check_violation', hint = 'They may be 100 at most; one without a share takes what they leave.';
    end if;
    if parent.metric is not null and parent.shares = 100 then
        raise exception 'experiment "%" leaves no rest: the shares of its variants are 100 per cent', parent.name
            using errcode = 'check_violation', detail = 'Those in no variant wait at the experiment, and get the one that wins.',
                hint = 'Try each variant with few, such as share => 10. To compare without a winner, leave metric null.';
    end if;
    return null;
end $$;
comment on function marketing_automation_internal.activity_shares() is
    'API: private. Trigger: the shares of siblings are 100 at most, those of variants less, '
    'when a transaction commits; between two of its statements they may be '
    'more';

create function marketing_automation_internal.branch_faults(of_scenario integer)
    returns table (severity text, activity_id integer, activity text, message text, hint text)
language sql stable rows 5 set search_path = pg_catalog, pg_temp as $$
    select f.severity, p.id, p.name, f.message, f.hint
    from marketing_automation.activity p
    cross join lateral (
        select count(*) as number, coalesce(sum(a.share), 0) as shares, count(a.condition) as conditions,
            count(*) filter (where a.is_otherwise) as rest
        from marketing_automation_internal.alternatives(p.id) a) c
    cross join lateral (select count(*) as number, coalesce(sum(v.share), 0) as shares from marketing_automation_internal.variants(p.id) v) v
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
        where p.branch_by = 'share' and p.metric is null and c.shares > 0 and c.shares < 100 and c.rest = 0
        union all
        select 'warning', 'it is an experiment with one variant', 'Add another, with a share, to compare it with.'
        where p.metric is not null and case when p.branch_by is null then v.number else c.number end = 1
        union all
        select 'warning', 'it is an experiment, and its mail has no variants', format(
            'select marketing_automation.add_activity(scenario, name, parent => %L, on_event => ''variant'', action => null, share => 10, subject => ''…'');',
            p.name)
        where p.metric is not null and p.branch_by is null and v.number = 0
        union all
        select 'hint', 'its mail has one variant of 100 per cent', 'Nobody gets it as it is: give the variant less, or write its text into the mail.'
        where v.number = 1 and v.shares = 100
        union all
        select 'hint', 'it is an experiment that only decide() decides', 'Set decide_after to let it be decided by its metric.'
        where p.metric is not null and p.decide_after is null
        union all
        select 'warning', format('it is an experiment by %s, which the scenario does not record', p.metric), 'Let it record them, or take another metric.'
        where exists (select from marketing_automation.scenario s where s.id = of_scenario
            and (p.metric = 'opens' and not s.track_opens or p.metric = 'clicks' and not s.track_clicks))
        union all
        select 'warning', 'an activity waits for its condition not to be met, and it has none', 'Give it a condition, or delete what waits.'
        where coalesce(p.condition, p.wait_until) is null and exists (
            select from marketing_automation.activity n where n.parent_id = p.id and n.on_event = 'condition_not_met')) f
    where p.scenario_id = of_scenario
$$;
comment on function marketing_automation_internal.branch_faults(integer) is
    'API: private. What may be wrong with the branches of a scenario, as check_scenario() tells it';
