do $$ begin
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception 'marketing_automation needs a database in UTF8, this one is in %', current_setting('server_encoding')
            using errcode = 'feature_not_supported',
                hint = 'Names, templates and mails are Unicode: create the database with encoding ''UTF8''.';
    end if;
end $$;

-- The extension makes and owns both schemas: it fails if somebody else's exists.
create schema marketing_automation;
comment on schema marketing_automation is
    'Marketing campaigns: scenarios, timed e-mails, tracking. What people use; grant_access() says who';

create schema marketing_automation_internal;
comment on schema marketing_automation_internal is
    'Marketing campaigns: what the machine needs. No access includes anything in it, and any version may change it';
