-- Pages of the shop's own around unsubscribing.

create function marketing_automation_internal.page_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not marketing_automation_internal.is_restoring()
        and not marketing_automation_internal.only_renames_owner(to_jsonb(old), to_jsonb(new)) then
        perform marketing_automation_internal.check_page(format('page "%s"', concat_ws(' ', new.name, nullif(new.language, ''))),
            new.body, new.name not in ('resubscribed', 'confirmed'));
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.page_validate() is
    'API: private. The template compiles, and shows the form without which nobody could unsubscribe';

create trigger choose_owner before insert or update of owner, owner_id on marketing_automation.page
    for each row execute function marketing_automation_internal.choose_owner();

create trigger guard before insert or update or delete on marketing_automation.page
    for each row execute function marketing_automation_internal.guard();

create trigger lock_name before insert or update of name, owner on marketing_automation.page
    for each row execute function marketing_automation_internal.lock_name();

create trigger share_owner after update of owner on marketing_automation.page
    for each row execute function marketing_automation_internal.share_owner();

create trigger choose_owner before insert or update of owner, owner_id on marketing_automation.page_text
    for each row execute function marketing_automation_internal.choose_owner();

create trigger guard before insert or update or delete on marketing_automation.page_text
    for each row execute function marketing_automation_internal.guard();

create trigger lock_name before insert or update of name, owner on marketing_automation.page_text
    for each row execute function marketing_automation_internal.lock_name();

create trigger share_owner after update of owner on marketing_automation.page_text
    for each row execute function marketing_automation_internal.share_owner();

create trigger validate before insert or update on marketing_automation.page
    for each row execute function marketing_automation_internal.page_validate();

create function marketing_automation.page_sources() returns table (is_template boolean, name text, language text, source text)
language sql stable security definer rows 20 set search_path = pg_catalog, pg_temp as $$
    select true, p.name, p.language, p.body from marketing_automation.page p
    union all
    select false, t.name, t.language, t.text from marketing_automation.page_text t
$$;
comment on function marketing_automation.page_sources() is 'API: proxy. Pages and texts that replace the built-in ones';
