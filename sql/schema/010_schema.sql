do $$ begin
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception 'marketing_automation needs a database in UTF8, this one is in %', current_setting('server_encoding')
            using errcode = 'feature_not_supported', hint = 'Names, templates and mails are Unicode: create the database with encoding ''UTF8''.';
    end if;
end $$;

-- A safe, extension-owned schema: fail if somebody else's exists.
create schema marketing_automation;
comment on schema marketing_automation is 'Marketing campaigns: scenarios, timed e-mails, tracking';
