-- A safe, extension-owned schema: fail if somebody else's exists.
create schema marketing_automation;
comment on schema marketing_automation is 'Marketing campaigns: scenarios, timed e-mails, tracking';
