-- What a rehearsal works on: copies of scenarios, with their records as they are. The machine locks, moves and deletes rows of these and
-- of nobody else, so that a rehearsal of minutes keeps nobody waiting, and no row of the scenario itself is touched.

create function marketing_automation_internal.copied_columns(relation regclass, prefix text, left_out text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select string_agg(concat(prefix, quote_ident(a.attname)), ', ' order by a.attnum) from pg_attribute a
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and a.attname <> all (left_out)
$$;
comment on function marketing_automation_internal.copied_columns(regclass, text, text[]) is
    'API: private. The columns of a table, each after the prefix, but for those that a copy of its rows has of its own';

create function marketing_automation_internal.is_sampled(person text, sample numeric) returns boolean
language sql immutable parallel safe
return abs(hashtextextended(person, 0) % 10000) < round(sample * 100);
comment on function marketing_automation_internal.is_sampled(text, numeric) is
    'API: private. Whether a person, by its party or else its key, is among the so many per cent that a rehearsal plays: the same ones in '
    'all scenarios';

create function marketing_automation_internal.sampled_domain(scenario marketing_automation.scenario, model marketing_automation.model,
    sample numeric) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Written out, as the owner may call no function of this schema.
    select case when sample = 100 then scenario.domain
        else format(E'(%s\n) and abs(hashtextextended(coalesce(%s, %s), 0) %% 10000) < %s', scenario.domain,
            marketing_automation_internal.as_text(model.party), marketing_automation_internal.as_key(model.key, model.key_type),
            round(sample * 100)) end
$$;
comment on function marketing_automation_internal.sampled_domain(marketing_automation.scenario, marketing_automation.model, numeric) is
    'API: private. The domain of a scenario, for those rows whose person is_sampled()';

create function marketing_automation_internal.copy_definition(original marketing_automation.scenario, copy_name text, sample numeric)
    returns integer
language plpgsql set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
declare
    model marketing_automation.model := marketing_automation_internal.usable_model(original);
    copy_id integer := nextval(pg_get_serial_sequence('marketing_automation.scenario', 'id'));
    its record;
begin
    insert into marketing_automation_internal.rehearsed_scenario (scenario_id, original_id) values (copy_id, original.id);
    insert into marketing_automation.scenario overriding system value
    select c.* from jsonb_populate_record(null::marketing_automation.scenario, to_jsonb(original) || jsonb_build_object('id', copy_id,
        'name', copy_name, 'state', 'draft',
        'domain', marketing_automation_internal.sampled_domain(original, model, sample))) c;
    -- Parents before their children.
    for its in
        select a.*, p.name as parent from marketing_automation_internal.activity_tree(original.id) t
        join marketing_automation.activity a on a.id = t.activity_id
        left join marketing_automation.activity p on p.id = a.parent_id order by t.ordinal
    loop
        insert into marketing_automation.activity overriding system value
        select c.* from jsonb_populate_record(null::marketing_automation.activity, to_jsonb(its) || jsonb_build_object(
            'id', nextval(pg_get_serial_sequence('marketing_automation.activity', 'id')), 'scenario_id', copy_id, 'parent_id', (
                select a.id from marketing_automation.activity a where a.scenario_id = copy_id and a.name = its.parent))) c;
    end loop;
    insert into marketing_automation_internal.rehearsed_activity (activity_id, original_id)
    select b.id, a.id from marketing_automation.activity a
    join marketing_automation.activity b on b.scenario_id = copy_id and b.name = a.name where a.scenario_id = original.id;
    -- Whoever left this scenario stays away from it.
    insert into marketing_automation.unsubscription (party, scenario_id, created_at)
    select u.party, copy_id, u.created_at from marketing_automation.unsubscription u where u.scenario_id = original.id;
    insert into marketing_automation_internal.unsubscribed_address (address_hash, scenario_id, created_at, record_id, party, spares_party)
    select u.address_hash, copy_id, u.created_at, u.record_id, u.party, u.spares_party
    from marketing_automation_internal.unsubscribed_address u where u.scenario_id = original.id;
    update marketing_automation.scenario s set state = 'running' where s.id = copy_id;
    return copy_id;
end $$;
comment on function marketing_automation_internal.copy_definition(marketing_automation.scenario, text, numeric) is
    'API: private. A running copy of a scenario and its activities, without translations, for a sample of its rows; its id. For '
    'rehearse(), which rolls it back';

create function marketing_automation_internal.copy_records(original marketing_automation.scenario, copy_id integer, sample numeric)
    returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    record_columns text := marketing_automation_internal.copied_columns('marketing_automation_internal.record', 'r.',
        '{id,scenario_id,uuid}');
    waiting_columns text := marketing_automation_internal.copied_columns('marketing_automation_internal.waiting_activity', 'w.',
        '{record_id,activity_id}');
    finished_columns text := marketing_automation_internal.copied_columns('marketing_automation_internal.finished_activity', 'f.',
        '{record_id,activity_id}');
    mail_columns text := marketing_automation_internal.copied_columns('marketing_automation_internal.outbox', 'o.',
        '{id,record_id,activity_id,state,attempts,mailer}');
    conversion_columns text := marketing_automation_internal.copied_columns('marketing_automation.conversion', 'c.',
        '{id,record_id,scenario_id,activity_id}');
    copied bigint;
begin
    execute format($query$
        with its as materialized (
            select r.id as old_id, nextval('marketing_automation.record_id_seq') as id
            from marketing_automation_internal.record r
            where r.scenario_id = $1 and ($3 = 100 or marketing_automation_internal.is_sampled(coalesce(r.party, r.key), $3))
        ), activity as materialized (
            select a.id as old_id, b.id from marketing_automation.activity a
            join marketing_automation.activity b on b.scenario_id = $2 and b.name = a.name where a.scenario_id = $1
        ), records as (
            insert into marketing_automation_internal.record (id, scenario_id, uuid, %s)
            select i.id, $2, marketing_automation_internal.new_record_uuid(i.id), %s
            from its i join marketing_automation_internal.record r on r.id = i.old_id
        ), open as (
            insert into marketing_automation_internal.open_goal (scenario_id, record_id, until)
            select $2, i.id, g.until from its i
            join marketing_automation_internal.open_goal g on g.scenario_id = $1 and g.record_id = i.old_id
        ), waiting as materialized (
            select i.old_id, i.id, a.id as activity_id, w from its i
            join marketing_automation_internal.waiting_activity w on w.record_id = i.old_id join activity a on a.old_id = w.activity_id
        ), waits as (
            insert into marketing_automation_internal.waiting_activity (record_id, activity_id, %s)
            select t.id, t.activity_id, %s from waiting t cross join lateral (select (t.w).*) w
        ), under_way as materialized (
            select i.old_id, i.id, a.id as activity_id, o from its i
            join activity a on true
            join marketing_automation_internal.outbox o on o.activity_id = a.old_id and o.record_id = i.old_id
            where o.state in ('queued', 'sending')
        ), mails as (
            insert into marketing_automation_internal.outbox (id, record_id, activity_id, %s)
            select nextval('marketing_automation_internal.message_id_seq'), u.id, u.activity_id, %s
            from under_way u cross join lateral (select (u.o).*) o
        ), finished as (
            -- Of those only for whom something is to come.
            insert into marketing_automation_internal.finished_activity (record_id, activity_id, %s)
            select t.id, a.id, %s
            from (select t.old_id, t.id from waiting t union select u.old_id, u.id from under_way u) t
            join marketing_automation_internal.finished_activity f on f.record_id = t.old_id join activity a on a.old_id = f.activity_id
        ), results as (
            insert into marketing_automation_internal.call_result (record_id, activity_id, result)
            select i.id, a.id, c.result
            from its i join marketing_automation_internal.call_result c on c.record_id = i.old_id join activity a on a.old_id = c.activity_id
        ), decisions as (
            insert into marketing_automation_internal.branch_decision (record_id, parent_id, activity_id, decided_at, by_winner)
            select i.id, p.id, a.id, d.decided_at, d.by_winner
            from its i
            join marketing_automation_internal.branch_decision d on d.record_id = i.old_id
            join activity p on p.old_id = d.parent_id
            left join activity a on a.old_id = d.activity_id
        ), experiments as (
            insert into marketing_automation_internal.experiment (activity_id, began_at, winner_id, decided_at, decided_by)
            select a.id, e.began_at, w.id, e.decided_at, e.decided_by
            from marketing_automation_internal.experiment e
            join activity a on a.old_id = e.activity_id
            left join activity w on w.old_id = e.winner_id
        ), converted as (
            insert into marketing_automation.conversion (record_id, scenario_id, %s)
            select i.id, $2, %s from its i join marketing_automation.conversion c on c.record_id = i.old_id where c.source = 'goal'
        )
        select count(*) from its$query$,
        replace(record_columns, 'r.', ''), record_columns, replace(waiting_columns, 'w.', ''), waiting_columns,
        replace(mail_columns, 'o.', ''), mail_columns, replace(finished_columns, 'f.', ''), finished_columns,
        replace(conversion_columns, 'c.', ''), conversion_columns)
    into copied using original.id, copy_id, sample;
    return copied;
end $$;
comment on function marketing_automation_internal.copy_records(marketing_automation.scenario, integer, numeric) is
    'API: private. Gives the copy of a scenario the records of the sample as they are now: what waits, the mails under way, '
    'what branches have decided, the open goals; how many';
