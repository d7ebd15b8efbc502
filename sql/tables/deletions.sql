-- A trigger that waits for the commit is a constraint, and that no update can replace: it is made once, after its function.

create constraint trigger gone after delete on marketing_automation.activity deferrable initially deferred
    for each row execute function marketing_automation_internal.activity_gone();
