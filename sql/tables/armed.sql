-- Last, and at installing only: a fresh CREATE EXTENSION arms. pg_dump's scripts begin with row_security = off, which hardly anything else sets
-- (check_function_bodies would be the natural sign, but CREATE EXTENSION itself turns it off); a restore by another
-- route is found by the origin that comes with its data.

select marketing_automation.arm() where current_setting('row_security')::boolean;
