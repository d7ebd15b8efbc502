-- Revocations: commits that forbid mails which are claimed already. From then on such a mail does not leave before it is
-- claimed again: see src/delivery/revocation.rs.

create function marketing_automation_internal.revoke_claims() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    case tg_table_name
    when 'record' then
        perform marketing_automation_internal.revoke_claims_of('record', new.id::text);
    when 'unsubscription' then
        perform marketing_automation_internal.revoke_claims_of('party', new.party);
    when 'subscription' then
        -- Who is not subscribed any more, where that is needed, may have been the only one.
        if tg_op = 'DELETE' then
            new := old;
        end if;
        if new.address_hash is null then
            perform marketing_automation_internal.revoke_claims_of('party', new.party);
        else
            perform marketing_automation_internal.revoke_claims_of('address', encode(new.address_hash, 'hex'));
        end if;
    when 'suppression', 'unsubscribed_address' then
        perform marketing_automation_internal.revoke_claims_of('address', encode(new.address_hash, 'hex'));
    when 'scenario' then
        perform marketing_automation_internal.revoke_claims_of('activity', a.id::text) from marketing_automation.activity a
            where a.scenario_id = new.id;
    when 'sending_pause' then
        perform marketing_automation_internal.revoke_claims_of('all', '');
    end case;
    return null;
end $$;
comment on function marketing_automation_internal.revoke_claims() is
    'API: private. Trigger: what was written may forbid mails that are claimed';

create trigger revoke_claims after insert on marketing_automation.unsubscription
    for each row execute function marketing_automation_internal.revoke_claims();

create trigger revoke_claims after insert or update on marketing_automation_internal.unsubscribed_address
    for each row execute function marketing_automation_internal.revoke_claims();

create trigger revoke_claims after insert or update of state on marketing_automation.subscription
    for each row when (new.state <> 'subscribed') execute function marketing_automation_internal.revoke_claims();

create trigger revoke_deleted after delete on marketing_automation.subscription
    for each row when (old.state = 'subscribed') execute function marketing_automation_internal.revoke_claims();

create trigger revoke_claims after insert on marketing_automation.suppression
    for each row execute function marketing_automation_internal.revoke_claims();

create trigger revoke_claims after update of state on marketing_automation.scenario
    for each row when (new.state <> 'running') execute function marketing_automation_internal.revoke_claims();

create trigger revoke_topic after update of topic on marketing_automation.scenario
    for each row when (new.topic is distinct from old.topic and new.topic is not null)
    execute function marketing_automation_internal.revoke_claims();

create trigger revoke_claims after insert on marketing_automation.sending_pause
    for each row execute function marketing_automation_internal.revoke_claims();

-- Not when a record is unblocked.
create trigger revoke_claims after update of blocked_at on marketing_automation_internal.record
    for each row when (new.blocked_at is not null) execute function marketing_automation_internal.revoke_claims();

-- A record that another one of its row follows has no mail under way.
create trigger revoke_ended after update of end_reason on marketing_automation_internal.record
    for each row when (new.end_reason <> 'entered_again') execute function marketing_automation_internal.revoke_claims();
