-- Experiments: an activity that branches by share and leaves a rest, which waits until one of the variants has won.

create function marketing_automation_internal.check_experiment(activity marketing_automation.activity, parent marketing_automation.activity)
    returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.check_value(activity.metric, array['opens', 'clicks', 'conversions'], 'metric',
        format('activity "%s"', activity.name), 'null: it is no experiment');
    if activity.metric is not null and activity.branch_by is distinct from 'share'
        and (activity.branch_by is not null or activity.action is distinct from 'send_email') then
        raise exception 'experiment "%" does not branch by share', activity.name using errcode = 'check_violation',
            hint = 'Give it branch_by => ''share'', and its variants shares.';
    end if;
    if activity.metric is not null and activity.branch_by is null and activity.wait_until is not null then
        raise exception 'experiment "%" waits until a condition is true', activity.name using errcode = 'check_violation',
            hint = 'Let an activity with action => null before it wait.';
    end if;
    if activity.metric is not null and activity.action is not null and activity.branch_by is not null then
        raise exception 'experiment "%" sends a mail', activity.name using errcode = 'check_violation',
            hint = 'Add an activity with action => null after it, and let that be the experiment.';
    end if;
    if activity.decide_after is not null and activity.metric is null then
        raise exception 'activity "%" has decide_after, but no metric to decide by', activity.name using errcode = 'check_violation',
            hint = 'metric is opens, clicks or conversions.';
    end if;
    if activity.decide_after <= interval '0' or activity.decide_after > interval '10 years' then
        raise exception 'decide_after of experiment "%" is %', activity.name,
                case when activity.decide_after > interval '0' then 'longer than 10 years' else 'not positive' end
            using errcode = 'check_violation', hint = 'It counts from when the first record came to it; null: until decide() is called.';
    end if;
    if parent.metric is null or activity.on_event = 'condition_not_met' or parent.branch_by is null then
        return;
    end if;
    if activity.share is null then
        raise exception 'experiment "%" would have no rest, as activity "%" takes it', parent.name, activity.name
            using errcode = 'check_violation', detail = 'Those in no variant wait at the experiment, and get the one that wins.',
                hint = 'Give it a share.';
    end if;
    if parent.metric <> 'conversions' and activity.action is distinct from 'send_email' then
        raise exception 'variant "%" of experiment "%" sends no mail, and the experiment counts %', activity.name, parent.name, parent.metric
            using errcode = 'check_violation', hint = 'Let it send one, or let the metric be conversions.';
    end if;
end $$;
comment on function marketing_automation_internal.check_experiment(marketing_automation.activity, marketing_automation.activity) is
    'API: private. Raises unless an activity is fit to be an experiment, if it is to be one, and to be a variant of its parent, if that is one';

create function marketing_automation_internal.variant_count(experiment integer)
    returns table (activity_id integer, records bigint, mailed bigint, opened bigint, clicked bigint, conversions bigint)
language sql stable rows 3 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
    select a.id, count(d.record_id), count(f.record_id) filter (where f.outcome = 'mailed'), count(f.opened_at), count(f.clicked_at),
        count(d.record_id) filter (where exists (
            select from marketing_automation.conversion c where c.record_id = d.record_id and c.at >= d.decided_at))
    from marketing_automation_internal.contenders(experiment) a
    -- Those who got it as it had won are not of the experiment.
    left join marketing_automation_internal.branch_decision d on d.parent_id = experiment and not d.by_winner
        and (d.activity_id = a.id or d.activity_id is null and a.id = experiment)
    left join marketing_automation_internal.finished_activity f on f.record_id = d.record_id
        and f.activity_id = case when a.is_mail then experiment else a.id end
    group by a.id order by a.id
$$;
comment on function marketing_automation_internal.variant_count(integer) is
    'API: private. What came of each variant of an activity that branches by share, or of its mail, of those who took it by their share';

create function marketing_automation_internal.variant_rate(experiment integer, metric text)
    returns table (activity_id integer, records bigint, mailed bigint, opened bigint, clicked bigint, conversions bigint, part bigint,
        whole bigint, rate numeric)
language sql stable rows 3 set search_path = pg_catalog, pg_temp as $$
    select c.*, m.part, m.whole, marketing_automation_internal.rate(m.part, m.whole)
    from marketing_automation_internal.variant_count(experiment) c
    cross join lateral (select case metric when 'opens' then c.opened when 'clicks' then c.clicked else c.conversions end,
        case when metric = 'conversions' then c.records else c.mailed end) as m (part, whole)
$$;
comment on function marketing_automation_internal.variant_rate(integer, text) is
    'API: private. Variants as those of variant_count(), and the rate of a metric: opens and clicks of mails, conversions of records';

create function marketing_automation_internal.leading_variant(experiment marketing_automation.activity) returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    -- Told from counters, as this is asked with each batch: nothing can lead while one of them has not been tried.
    if experiment.metric <> 'conversions' and experiment.branch_by is not null and exists (
            select from marketing_automation_internal.alternatives(experiment.id) a where not exists (
                select from marketing_automation_internal.activity_counter t where t.activity_id = a.id and t.mailed > 0)) then
        return null;
    end if;
    return (
        select r.activity_id from marketing_automation_internal.variant_rate(experiment.id, experiment.metric) r
        where not exists (select from marketing_automation_internal.variant_rate(experiment.id, experiment.metric) o where o.whole = 0)
        -- Of several, the one that was added first.
        order by r.part::double precision / r.whole desc, r.activity_id limit 1);
end $$;
comment on function marketing_automation_internal.leading_variant(marketing_automation.activity) is
    'API: private. The variant of an experiment with the highest rate; null while one of them has nobody to count';

create function marketing_automation_internal.give_winner(experiment marketing_automation.activity, winner integer, batch_size integer,
    now timestamptz) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set random_page_cost = 1 as $$
declare
    children integer[] := marketing_automation_internal.lock_children(array[experiment.id]);
    records bigint[];
begin
    if winner <> all (children) then
        return 0;
    end if;
    with rest as materialized (
        -- Whoever decides about children holds the parent's row.
        select d.record_id
        from marketing_automation_internal.branch_decision d
        cross join lateral (
            select f.record_id from marketing_automation_internal.finished_activity f
            where f.record_id = d.record_id and f.activity_id = experiment.id for no key update skip locked) parent
        where d.parent_id = experiment.id and d.activity_id is null limit batch_size
    ), given as (
        update marketing_automation_internal.branch_decision d set activity_id = winner, decided_at = give_winner.now, by_winner = true
        from rest r where d.record_id = r.record_id and d.parent_id = experiment.id and d.activity_id is null
        returning d.record_id
    )
    select array_agg(g.record_id) into records from given g;
    if records is null then
        return 0;
    end if;
    perform marketing_automation_internal.write_children(records, array_fill(winner, array[cardinality(records)]),
        array_fill(give_winner.now, array[cardinality(records)]));
    return cardinality(records);
end $$;
comment on function marketing_automation_internal.give_winner(marketing_automation.activity, integer, integer, timestamptz) is
    'API: private. Lets records that wait at an experiment, batch_size of them at most, take the variant that has won; how many';

create function marketing_automation_internal.run_experiments(caller regrole, every boolean, batch_size integer, now timestamptz,
    only_of integer[] default null) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    experiment marketing_automation.activity;
    its marketing_automation_internal.experiment;
    winner integer;
    given integer;
begin
    for experiment in
        select a.* from marketing_automation.activity a
        join marketing_automation.scenario s on s.id = a.scenario_id and s.state = 'running'
            and (every or pg_has_role(caller, s.owner_id, 'MEMBER')) and (only_of is null or s.id = any (only_of))
        where a.metric is not null order by a.id
    loop
        -- One session at a time, and nobody waits for one that stays open.
        perform from marketing_automation.activity a where a.id = experiment.id for no key update skip locked;
        continue when not found;
        select e.* into its from marketing_automation_internal.experiment e where e.activity_id = experiment.id;
        if not found then
            insert into marketing_automation_internal.experiment (activity_id, began_at)
            select experiment.id, min(d.decided_at) from marketing_automation_internal.branch_decision d where d.parent_id = experiment.id
            having count(*) > 0
            returning * into its;
            continue when not found;
        end if;
        if its.winner_id is null and its.began_at + experiment.decide_after <= now then
            winner := marketing_automation_internal.leading_variant(experiment);
            update marketing_automation_internal.experiment e set winner_id = winner, decided_at = run_experiments.now
            where e.activity_id = experiment.id and winner is not null returning e.* into its;
        end if;
        if its.winner_id is not null then
            given := case when experiment.branch_by is null
                then marketing_automation_internal.give_winning_variant(experiment, its.winner_id, batch_size, now)
                else marketing_automation_internal.give_winner(experiment, its.winner_id, batch_size, now) end;
            if given > 0 then
                return given;
            end if;
        end if;
    end loop;
    return 0;
end $$;
comment on function marketing_automation_internal.run_experiments(regrole, boolean, integer, timestamptz, integer[]) is
    'API: private. Decides experiments whose time has come, of all running scenarios or of those of whose owner the caller is a member, and '
    'lets one batch of those who wait at one that is decided take its winner; returns how many these are. '
    'only_of: scenarios, for rehearse(); null: all of these';

create function marketing_automation_internal.decide(caller regrole, scenario text, experiment text, winner text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    chosen marketing_automation.scenario := marketing_automation_internal.scenario_named(scenario);
    its marketing_automation.activity;
    its_winner integer;
    state marketing_automation_internal.experiment;
begin
    perform marketing_automation_internal.demand_member(caller, chosen, 'decide an experiment of');
    select a.* into strict its from marketing_automation.activity a
    where a.id = marketing_automation_internal.activity_named(chosen, experiment);
    if its.metric is null then
        raise exception 'activity "%" is no experiment', experiment using errcode = 'object_not_in_prerequisite_state',
            hint = coalesce('Experiments of the scenario are: ' || (
                select string_agg(a.name, ', ' order by a.id) from marketing_automation.activity a
                where a.scenario_id = chosen.id and a.metric is not null) || '.', 'An activity with a metric is one.');
    end if;
    select a.id into its_winner from marketing_automation_internal.contenders(its.id) v join marketing_automation.activity a on a.id = v.id
    where a.name = winner;
    if its_winner is null then
        raise exception 'activity "%" is no variant of experiment "%"', winner, experiment using errcode = 'undefined_object',
            hint = coalesce('Its variants are: ' || (
                select string_agg(a.name, ', ' order by a.id) from marketing_automation_internal.contenders(its.id) v
                join marketing_automation.activity a on a.id = v.id) || '.', 'Add them: activities with a share that follow it.');
    end if;
    -- Processing decides under this lock.
    perform from marketing_automation.activity a where a.id = its.id for no key update;
    select e.* into state from marketing_automation_internal.experiment e where e.activity_id = its.id;
    if state.winner_id is not null then
        raise exception 'experiment "%" was decided for "%" %', experiment, (
                select a.name from marketing_automation.activity a where a.id = state.winner_id),
            marketing_automation_internal.moment(state.decided_at)
            using errcode = 'object_not_in_prerequisite_state', detail = 'It is decided once.',
                hint = format('select * from marketing_automation.variant_report(%L);', scenario);
    end if;
    insert into marketing_automation_internal.experiment as e (activity_id, began_at, winner_id, decided_at, decided_by)
    values (its.id, state.began_at, its_winner, clock_timestamp(), (select r.rolname from pg_roles r where r.oid = caller))
    on conflict on constraint experiment_pkey do update
        set winner_id = excluded.winner_id, decided_at = excluded.decided_at, decided_by = excluded.decided_by;
end $$;
comment on function marketing_automation_internal.decide(regrole, text, text, text) is 'API: private. Behind decide()';

create function marketing_automation.decide(scenario text, experiment text, winner text) returns void
language c volatile as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.decide(text, text, text) is
    'API: public. Decides an experiment for one of its variants, by their names: who waits at it, and who comes from then on, takes that. '
    'Once: an error when it was decided before. For members of the scenario''s owner';

create function marketing_automation_internal.variant_report(caller regrole, scenario text, metric text)
    returns table (experiment text, variant text, share numeric, records bigint, mailed bigint, opened bigint, clicked bigint,
        conversions bigint, metric_used text, rate numeric, difference numeric, difference_low numeric, difference_high numeric, winner boolean)
language plpgsql stable rows 5 set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    perform marketing_automation_internal.check_value(variant_report.metric, array['opens', 'clicks', 'conversions'], 'metric', 'variant_report()',
        'null: that of each experiment');
    return query
    with split as materialized (
        select p.id, p.name, p.metric is not null as is_experiment, e.winner_id,
            coalesce(variant_report.metric, p.metric, case when s.goal is not null then 'conversions' else 'clicks' end) as metric
        from marketing_automation_internal.scenario_for(caller, variant_report.scenario, 'count') s
        cross join lateral marketing_automation_internal.activity_tree(s.id) t
        join marketing_automation.activity p on p.id = t.activity_id and (p.branch_by = 'share'
            or exists (select from marketing_automation_internal.variants(p.id)))
        left join marketing_automation_internal.experiment e on e.activity_id = p.id
    ), variant as materialized (
        select p.id as experiment_id, r.* from split p cross join lateral marketing_automation_internal.variant_rate(p.id, p.metric) r
    )
    select p.name, a.name, c.share, v.records, v.mailed, v.opened, v.clicked, v.conversions, p.metric, v.rate, d.difference, d.low, d.high,
        v.activity_id = p.winner_id
    from split p join variant v on v.experiment_id = p.id join marketing_automation.activity a on a.id = v.activity_id
    join marketing_automation_internal.contenders(p.id) c on c.id = v.activity_id
    left join lateral (
        select o.part, o.whole from variant o where o.experiment_id = p.id and o.activity_id <> v.activity_id and o.whole > 0
        order by o.part::double precision / o.whole desc, o.activity_id limit 1) best on true
    left join lateral marketing_automation_internal.rate_difference(v.part, v.whole, best.part, best.whole) d on true
    union all
    select p.name, null, 100 - (select sum(a.share) from marketing_automation_internal.contenders(p.id) a), (
            select count(*) from marketing_automation_internal.branch_decision d
            where d.parent_id = p.id and (d.activity_id is null or d.by_winner)),
        null, null, null, null, p.metric, null, null, null, null, null
    from split p where p.is_experiment
    order by 1, 2 nulls last;
end $$;
comment on function marketing_automation_internal.variant_report(regrole, text, text) is 'API: private. Behind variant_report()';

create function marketing_automation.variant_report(scenario text, metric text default null)
    returns table (experiment text, variant text, share numeric, records bigint, mailed bigint, opened bigint, clicked bigint,
        conversions bigint, metric_used text, rate numeric, difference numeric, difference_low numeric, difference_high numeric, winner boolean)
language c stable rows 5 as 'MODULE_PATHNAME', 'call_with_caller';
comment on function marketing_automation.variant_report(text, text) is
    'API: public. What came of each variant after activities that branch by share, and of mails that have variants: records that took it '
    'by their share, mailed, who has '
    'opened and clicked its mail, who has converted since; the rate of the metric between 0 and 1, and by how much that is above the best of the '
    'others, with its 95 % interval: one that holds 0 may be chance. winner: whether the experiment is decided for it. Without a variant: '
    'the rest, who wait or have taken the winner. metric: opens, clicks or conversions; null: that of each experiment, else conversions where '
    'the scenario has a goal, clicks where it has none';
