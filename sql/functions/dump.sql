-- What pg_dump saves: all data; of the models, those that the extension did not ship.

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
select pg_extension_config_dump('marketing_automation.send_window', '');
select pg_extension_config_dump('marketing_automation.holiday', '');
select pg_extension_config_dump('marketing_automation_internal.record', '');
select pg_extension_config_dump('marketing_automation.record_id_seq', '');
select pg_extension_config_dump('marketing_automation_internal.open_goal', '');
select pg_extension_config_dump('marketing_automation_internal.waiting_activity', '');
select pg_extension_config_dump('marketing_automation_internal.finished_activity', '');
select pg_extension_config_dump('marketing_automation_internal.activity_counter', '');
select pg_extension_config_dump('marketing_automation_internal.scenario_counter', '');
select pg_extension_config_dump('marketing_automation.unsubscription', '');
select pg_extension_config_dump('marketing_automation_internal.unsubscribed_address', '');
select pg_extension_config_dump('marketing_automation_internal.outbox', '');
select pg_extension_config_dump('marketing_automation_internal.message_id_seq', '');

do $$ begin
    for bucket in 0..39 loop
        perform pg_extension_config_dump(format('marketing_automation_internal.message_log_%s', bucket)::regclass, '');
    end loop;
end $$;
select pg_extension_config_dump('marketing_automation.suppression', '');
select pg_extension_config_dump('marketing_automation.sender_permission', '');
select pg_extension_config_dump('marketing_automation_internal.attempt_log', '');
select pg_extension_config_dump('marketing_automation.domain_limit', '');
select pg_extension_config_dump('marketing_automation_internal.domain_queue', '');
select pg_extension_config_dump('marketing_automation.sending_pause', '');
select pg_extension_config_dump('marketing_automation.bounce', '');
select pg_extension_config_dump('marketing_automation.bounce_rule', 'where not is_shipped');
select pg_extension_config_dump('marketing_automation.smtp_server', '');
select pg_extension_config_dump('marketing_automation.smtp_warmup', '');
select pg_extension_config_dump('marketing_automation_internal.smtp_usage', '');
select pg_extension_config_dump('marketing_automation.link', '');
select pg_extension_config_dump('marketing_automation.origin', '');
select pg_extension_config_dump('marketing_automation.link_id_seq', '');
select pg_extension_config_dump('marketing_automation_internal.event', '');
select pg_extension_config_dump('marketing_automation_internal.event_inbox', '');
select pg_extension_config_dump('marketing_automation_internal.tracking_key', '');
select pg_extension_config_dump('marketing_automation.page', '');
select pg_extension_config_dump('marketing_automation.page_text', '');
select pg_extension_config_dump('marketing_automation.robot_rule', 'where not is_shipped');
select pg_extension_config_dump('marketing_automation.conversion', '');
select pg_extension_config_dump('marketing_automation.conversion_id_seq', '');
select pg_extension_config_dump('marketing_automation_internal.access_grant', '');
