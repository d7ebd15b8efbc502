//! Tries run_as_owner within a server.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    const STATE: &str = "select current_user || ' ' || current_setting('search_path') || ' ' || current_setting('transaction_read_only')";

    fn set_up() {
        Spi::run(
            "create role test_owner;
             create schema test_shop;
             create table test_shop.t (id integer);
             insert into test_shop.t values (1);
             grant usage on schema test_shop to test_owner;
             grant select on test_shop.t to test_owner",
        )
        .expect("set up");
    }

    fn query_as_owner(query: &str) -> Result<Option<String>, spi::Error> {
        Spi::get_one_with_args::<String>(
            "select q.x from marketing_automation_internal.query_as_owner('test_owner', 'test_shop.t', $1, null) as q (x text)",
            &[query.into()],
        )
    }

    #[pg_test]
    fn the_query_runs_as_owner_and_everything_is_as_before_afterwards() {
        set_up();
        let before = Spi::get_one::<String>(STATE);
        let inside = query_as_owner(STATE);
        assert_eq!(
            inside,
            Ok(Some("test_owner pg_catalog, pg_temp on".to_owned()))
        );
        assert_eq!(Spi::get_one::<String>(STATE), before);
    }

    #[pg_test]
    fn a_call_may_write_as_its_owner_and_everything_is_as_before_afterwards() {
        set_up();
        Spi::run(
            "create table test_shop.made (by name, number jsonb);
             grant select, insert on test_shop.made to test_owner;
             create function test_shop.make(number jsonb) returns text language sql as
                 'insert into test_shop.made values (current_user, number) returning by'",
        )
        .expect("set up");
        let call = |function: &str| {
            Spi::get_one_with_args::<String>(
                &format!(
                    "select q.x from marketing_automation_internal.{function}('test_owner', 'test_shop.t', $1, null, '7') as q (x text)"
                ),
                &["select test_shop.make($2) from test_shop.t".into()],
            )
        };
        let before = Spi::get_one::<String>(STATE);
        assert_eq!(call("call_as_owner"), Ok(Some("test_owner".to_owned())));
        assert_eq!(Spi::get_one::<String>(STATE), before);
        assert_eq!(
            Spi::get_one::<String>("select by || ' ' || number from test_shop.made"),
            Ok(Some("test_owner 7".to_owned()))
        );
        // What is asked and not called stays read-only.
        Spi::run(
            "do $$
             begin
                 perform from marketing_automation_internal.query_with_results('test_owner', 'test_shop.t',
                     'select test_shop.make($2) from test_shop.t', null, '7') as q (x text);
                 raise exception 'it could write';
             exception when read_only_sql_transaction then null;
             end $$",
        )
        .expect("refused");
    }

    #[pg_test]
    fn everything_is_as_before_after_an_error_too() {
        set_up();
        Spi::run(
            "do $$
             declare before text := current_user || current_setting('search_path') || current_setting('transaction_read_only');
             begin
                 begin
                     perform from marketing_automation_internal.query_as_owner('test_owner', 'test_shop.t', 'select 1 / (id - 1) from test_shop.t', null) as q (x integer);
                     raise exception 'no error';
                 exception when division_by_zero then null;
                 end;
                 if before <> current_user || current_setting('search_path') || current_setting('transaction_read_only') then
                     raise exception 'something was left behind';
                 end if;
             end $$",
        )
        .expect("state restored");
    }

    #[pg_test(error = "query_as_owner: unexpected type of row")]
    fn a_row_of_another_type_is_refused() {
        set_up();
        query_as_owner("select 1").expect("unreachable");
    }

    #[pg_test(error = "SELECT is not allowed in a non-volatile function")]
    fn the_query_cannot_write() {
        set_up();
        query_as_owner("with d as (delete from test_shop.t returning id) select id::text from d")
            .expect("unreachable");
    }

    /// Makes `test_shop.write()` of `body`, which a query of the owner may call.
    fn set_up_function(body: &str) {
        set_up();
        Spi::run(&format!(
            "grant insert on test_shop.t to test_owner;
             create function test_shop.write() returns text language plpgsql as $f$ begin {body} return 'written'; end $f$"
        ))
        .expect("set up function");
    }

    #[pg_test(error = "cannot execute INSERT in a read-only transaction")]
    fn a_function_that_the_query_calls_cannot_write() {
        set_up_function("insert into test_shop.t values (2);");
        query_as_owner("select test_shop.write()").expect("unreachable");
    }

    #[pg_test(error = "cannot execute INSERT in a read-only transaction")]
    fn nor_after_an_error_that_it_caught() {
        set_up_function(
            "begin perform 1 / 0; exception when division_by_zero then null; end;
             insert into test_shop.t values (2);",
        );
        query_as_owner("select test_shop.write()").expect("unreachable");
    }

    #[pg_test(error = "transaction read-write mode must be set before any query")]
    fn nor_make_the_transaction_writable() {
        set_up_function(
            "perform set_config('transaction_read_only', 'off', true);
             insert into test_shop.t values (2);",
        );
        query_as_owner("select test_shop.write()").expect("unreachable");
    }

    #[pg_test]
    fn the_caller_may_write_again_afterwards_and_after_a_write_that_was_refused() {
        set_up_function("insert into test_shop.t values (2);");
        query_as_owner("select set_config('transaction_read_only', 'on', false)").expect("query");
        Spi::run("insert into test_shop.t values (3)").expect("writable after a query");
        Spi::run(
            "do $$ begin
                 begin
                     perform from marketing_automation_internal.query_as_owner('test_owner', 'test_shop.t', 'select test_shop.write()', null) as q (x text);
                     raise exception 'no error';
                 exception when read_only_sql_transaction then
                     insert into test_shop.t values (4);
                 end;
                 insert into test_shop.t values (5);
             end $$",
        )
        .expect("writable after an error");
        assert_eq!(
            Spi::get_one::<String>("select string_agg(id::text, ' ' order by id) from test_shop.t"),
            Ok(Some("1 3 4 5".to_owned()))
        );
    }
}
