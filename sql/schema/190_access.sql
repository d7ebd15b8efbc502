-- Who may do what. Nothing is granted to PUBLIC; grant_access() gives a role what its job needs.

create function marketing_automation.grant_access(role regrole, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    tables text;
    functions text;
    signature text;
begin
    if role is null then
        raise exception 'role must not be null' using errcode = 'null_value_not_allowed';
    end if;
    case access
    when 'tracking' then
        functions := 'tracking_keys|record_events|page_sources|unsubscribe_page|unsubscribe_by_token|resubscribe_by_token';
    when 'bounces' then
        functions := 'ingest_bounce';
    when 'reader' then
        tables := 'model|party|sale|scenario|scenario_status|scenario_report|activity_report|activity|activity_translation|snippet|page|page_text|robot_rule|robot_hit|conversion|conversion_report|record|record_activity|unsubscription|suppression|message|delivery_attempt|link|event|domain_limit|sending_pause|smtp_server_status';
        functions := 'tree|explain_record|simulate|activity_count|record_count|activity_tree|activity_named|nearest_name|percentage|scenario_report_by|activity_report_by|reported_records|rate|sparkline|scenario_named|worker_status|is_armed|record_id|is_suppressed|address_hash';
    when 'operator' then
        functions := 'enroll|process_due|process_all_due|apply_events|worker_status|is_armed|schedule_jobs|unschedule_jobs|require_pg_cron|job_name|block|unblock|unsubscribe|resubscribe|reclassify_events|record_conversion|retry|cancel|suppress|unsuppress|is_suppressed|pause|resume';
    when 'marketer' then
        perform marketing_automation.grant_access(role, 'reader');
        perform marketing_automation.grant_access(role, 'operator');
        tables := null;
        functions := 'register_model|unregister_model|create_scenario|add_activity|run|stop|draft|set_state|require_membership|require_scenario_membership|is_restoring'
            '|preview|render_preview|mail_templates|send_test|mailed_activity|mail_row|queue_test|check_address|query_as_member|usable_model|key_query|as_text|as_condition';
        execute format('grant insert, update, delete on marketing_automation.model, marketing_automation.party, marketing_automation.sale, '
            'marketing_automation.scenario, marketing_automation.activity, marketing_automation.activity_translation, marketing_automation.snippet, '
            'marketing_automation.page, marketing_automation.page_text, marketing_automation.robot_rule to %s', role);
    else
        raise exception 'access "%" does not exist', access
            using errcode = 'invalid_parameter_value', hint = 'It is tracking, bounces, reader, operator or marketer.';
    end case;
    execute format('grant usage on schema marketing_automation to %s', role);
    if tables is not null then
        execute format('grant select on %s to %s',
            (select string_agg(format('marketing_automation.%I', t), ', ') from unnest(string_to_array(tables, '|')) t), role);
    end if;
    for signature in
        select p.oid::regprocedure from pg_proc p
        where p.pronamespace = 'marketing_automation'::regnamespace and p.proname = any (string_to_array(functions, '|'))
    loop
        execute format('grant execute on routine %s to %s', signature, role);
    end loop;
end $$;
comment on function marketing_automation.grant_access(regrole, text) is
    'API: public. Grants a role what a job needs: tracking (the proxy), bounces (what hands returned mails in), reader (reports), operator (pg_cron job), marketer (defines and runs campaigns, reads and operates)';

revoke all on all tables in schema marketing_automation from public;
revoke all on all sequences in schema marketing_automation from public;
revoke all on all routines in schema marketing_automation from public;
revoke all on schema marketing_automation from public;

-- What pg_dump saves: all data; of the models, those that this script did not insert.
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
select pg_extension_config_dump('marketing_automation.record', '');
select pg_extension_config_dump('marketing_automation.record_id_seq', '');
select pg_extension_config_dump('marketing_automation.waiting_activity', '');
select pg_extension_config_dump('marketing_automation.finished_activity', '');
select pg_extension_config_dump('marketing_automation.activity_tally', '');
select pg_extension_config_dump('marketing_automation.scenario_tally', '');
select pg_extension_config_dump('marketing_automation.unsubscription', '');
select pg_extension_config_dump('marketing_automation.outbox', '');
select pg_extension_config_dump('marketing_automation.message_id_seq', '');
do $$ begin
    for bucket in 0..39 loop
        perform pg_extension_config_dump(format('marketing_automation.message_log_%s', bucket)::regclass, '');
    end loop;
end $$;
select pg_extension_config_dump('marketing_automation.suppression', '');
select pg_extension_config_dump('marketing_automation.attempt_log', '');
select pg_extension_config_dump('marketing_automation.domain_limit', '');
select pg_extension_config_dump('marketing_automation.domain_bucket', '');
select pg_extension_config_dump('marketing_automation.sending_pause', '');
select pg_extension_config_dump('marketing_automation.bounce', '');
select pg_extension_config_dump('marketing_automation.smtp_server', '');
select pg_extension_config_dump('marketing_automation.smtp_warmup', '');
select pg_extension_config_dump('marketing_automation.smtp_usage', '');
select pg_extension_config_dump('marketing_automation.link', '');
select pg_extension_config_dump('marketing_automation.origin', '');
select pg_extension_config_dump('marketing_automation.link_id_seq', '');
select pg_extension_config_dump('marketing_automation.event', '');
select pg_extension_config_dump('marketing_automation.event_inbox', '');
select pg_extension_config_dump('marketing_automation.tracking_key', '');
select pg_extension_config_dump('marketing_automation.page', '');
select pg_extension_config_dump('marketing_automation.page_text', '');
select pg_extension_config_dump('marketing_automation.robot_rule', 'where not is_shipped');
select pg_extension_config_dump('marketing_automation.conversion', '');
select pg_extension_config_dump('marketing_automation.conversion_id_seq', '');
