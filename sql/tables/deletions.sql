-- Triggers that wait for the commit are constraints, and these no update can replace: they are made once, after their functions.

create constraint trigger gone after delete on marketing_automation.activity deferrable initially deferred
    for each row execute function marketing_automation_internal.activity_gone();

create constraint trigger shares after insert or update of share, parent_id on marketing_automation.activity deferrable initially deferred
    for each row when (new.share is not null) execute function marketing_automation_internal.activity_shares();
