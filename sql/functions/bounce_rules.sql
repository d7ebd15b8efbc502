-- Rules by which replies of mail servers and returned mails are judged: what is shipped, and who may say that it is.

create function marketing_automation_internal.bounce_rule_validate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform marketing_automation_internal.check_bounce_rule(new.kind, new.pattern, new.meaning);
    new.is_shipped := new.is_shipped and tg_op = 'INSERT' and marketing_automation_internal.is_extension_script();
    if tg_op = 'INSERT' then
        -- A dump has the rules that were changed; CREATE EXTENSION has just made them as they are shipped.
        delete from marketing_automation.bounce_rule r where r.kind = new.kind and r.pattern = new.pattern and r.is_shipped;
    end if;
    return new;
end $$;
comment on function marketing_automation_internal.bounce_rule_validate() is
    'API: private. Rules can be applied; a changed rule is no shipped one, and takes its place when a dump is restored';

create trigger validate before insert or update on marketing_automation.bounce_rule
    for each row execute function marketing_automation_internal.bounce_rule_validate();

-- A rule that was changed is no shipped one any more, and stays; the others become what this version ships.
do $$ begin
    delete from marketing_automation.bounce_rule where is_shipped;
    insert into marketing_automation.bounce_rule (kind, pattern, meaning, note, is_shipped)
    select s.kind, s.pattern, s.meaning, s.note, true from marketing_automation_internal.shipped_bounce_rules() s
    on conflict do nothing;
end $$;
