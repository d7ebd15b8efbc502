"""Old mails go by themselves."""

from harness import wait_until


def test_the_mailer_removes_mails_that_are_older_than_the_setting(shop, cluster):
    shop.scenario(run=False)
    shop.query(
        """insert into marketing_automation_internal.message_log (id, activity_id, key, email, context, created_at, state, attempts, finished_at, bucket)
            select -age, a.id, 'k', 'a@example.org', '{}', now(), 'failed', 1, now() - age * interval '1 hour',
                   marketing_automation_internal.log_bucket(now() - age * interval '1 hour')
            from marketing_automation.activity a, unnest(array[1, 1440]) as age"""
    )
    pid = shop.wait_for_worker()
    shop.query(f"alter database \"{shop.database}\" set marketing_automation.message_retention = '10 d'")
    cluster.query("select pg_reload_conf()")
    wait_until(lambda: shop.worker() not in (None, pid), what="a mailer that knows the setting")
    wait_until(lambda: shop.query("select id from marketing_automation.message") == [(-1,)], what="the old mail to be gone")
