-- Functions of the shared library (src/extension/functions). A symbol, NAME_wrapper, is named by the SQL of every version that was
-- ever installed: it never goes away, see docs/contributing.md.

create function marketing_automation.address_hash(address text) returns bytea
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'address_hash_wrapper';
comment on function marketing_automation.address_hash(text) is
    'API: public. SHA-256 of a mail address in lower case, its domain as punycode: the key of the table suppression';

create function marketing_automation_internal.check_address(address text) returns void
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_address_wrapper';
comment on function marketing_automation_internal.check_address(text) is
    'API: private. Raises unless a mail can go to this address (RFC 5321, section 4.1.2, without quoted local parts and address '
    'literals)';

create function marketing_automation_internal.address_domain(address text) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'address_domain_wrapper';
comment on function marketing_automation_internal.address_domain(text) is
    'API: private. Domain of a mail address in lower case, as punycode: the key of the table domain_limit; null: it has none';

create function marketing_automation_internal.mail_addresses(has_recipient boolean, recipient text, cc text, bcc text, party_email text,
    party_name text) returns jsonb
language c immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'mail_addresses_wrapper';
comment on function marketing_automation_internal.mail_addresses(boolean, text, text, text, text, text) is
    'API: private. Of what the expressions of an activity have given for a row: to, name and email of who gets its mail instead of the party; party, '
    'whom the mail is about then; cc, bcc: mailboxes that get copies, each once. A JSON string says why it cannot go there. has_recipient: '
    'whether there is an expression for it, which may have given null';

create function marketing_automation_internal.check_smtp_url(url text) returns void
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_smtp_url_wrapper';
comment on function marketing_automation_internal.check_smtp_url(text) is
    'API: private. Raises, without quoting it, unless the URL is one for marketing_automation.smtp_url';

create function marketing_automation_internal.parse_bounce(raw bytea)
returns table (kind text, status text, diagnostic text, return_paths text[], message_ids text[], unsubscribe_tokens text[])
language c stable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'parse_bounce_wrapper';
comment on function marketing_automation_internal.parse_bounce(bytea) is
    'API: private. What a returned mail says by the rules of bounce_rule, unverified: kind as in the table bounce, and addresses, '
    'Message-IDs and tokens of List-Unsubscribe by which the mail may be found';

create function marketing_automation_internal.bounced_recipients(raw bytea)
returns table (address text, kind text, status text, diagnostic text)
language c stable strict parallel safe rows 2 set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'bounced_recipients_wrapper';
comment on function marketing_automation_internal.bounced_recipients(bytea) is
    'API: private. What a returned mail says of each recipient that it names, as parse_bounce() says it of the first';

create function marketing_automation_internal.check_bounce_rule(kind text, pattern text, meaning text) returns void
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_bounce_rule_wrapper';
comment on function marketing_automation_internal.check_bounce_rule(text, text, text) is
    'API: private. Raises unless it is a rule that bounce_rule can hold: says what is wrong, and what would be one';

create function marketing_automation_internal.shipped_bounce_rules() returns table (kind text, pattern text, meaning text, note text)
language c immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'shipped_bounce_rules_wrapper';
comment on function marketing_automation_internal.shipped_bounce_rules() is 'API: private. The bounce rules that this version ships';

create function marketing_automation_internal.is_extension_script() returns boolean
language c stable parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'is_extension_script_wrapper';
comment on function marketing_automation_internal.is_extension_script() is
    'API: private. Whether CREATE EXTENSION or ALTER EXTENSION … UPDATE runs: only then rows are shipped';

create function marketing_automation_internal.check_condition(owner regrole, relation regclass, expression text, what text) returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_condition_wrapper';
comment on function marketing_automation_internal.check_condition(regrole, regclass, text, text) is
    'API: private. Raises unless expression is exactly one boolean SQL expression over self that plans against relation with the '
    'rights of owner; what: its name in errors';

create function marketing_automation_internal.check_expression(owner regrole, relation regclass, expression text, what text) returns regtype
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_expression_wrapper';
comment on function marketing_automation_internal.check_expression(regrole, regclass, text, text) is
    'API: private. Raises unless expression is exactly one SQL expression over self that plans against relation with the rights of '
    'owner; returns its type';

create function marketing_automation_internal.check_condition_with_results(owner regrole, relation regclass, expression text, what text)
    returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_condition_with_results_wrapper';
comment on function marketing_automation_internal.check_condition_with_results(regrole, regclass, text, text) is
    'API: private. As check_condition(), for an expression that may read results of calls: record.results';

create function marketing_automation_internal.check_expression_with_results(owner regrole, relation regclass, expression text, what text)
    returns regtype
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_expression_with_results_wrapper';
comment on function marketing_automation_internal.check_expression_with_results(regrole, regclass, text, text) is
    'API: private. As check_expression(), for an expression that may read results of calls: record.results';

create function marketing_automation_internal.check_attachments(owner regrole, relation regclass, query text, what text, with_results boolean)
    returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_attachments_wrapper';
comment on function marketing_automation_internal.check_attachments(regrole, regclass, text, text, boolean) is
    'API: private. Raises unless a text is one query over self that plans as its owner and gives the columns of attachments. with_results: it '
    'reads record.results, too';

create function marketing_automation_internal.attachment_fault(names text[], types text[], cids text[], sizes bigint[], html text) returns text
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'attachment_fault_wrapper';
comment on function marketing_automation_internal.attachment_fault(text[], text[], text[], bigint[], text) is
    'API: private. Why a mail with this HTML cannot take these files along, null: it can. sizes: null for one without content';

create function marketing_automation_internal.webhook_origin(origin text) returns text
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'webhook_origin_wrapper';
comment on function marketing_automation_internal.webhook_origin(text) is
    'API: private. Scheme, host and port in the spelling by which targets of webhooks are compared; raises unless it is that';

create function marketing_automation_internal.webhook_target_of(url text) returns text
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'webhook_target_of_wrapper';
comment on function marketing_automation_internal.webhook_target_of(text) is
    'API: private. The origin of the URLs that a template makes; null: it depends on the row';

create function marketing_automation_internal.check_webhook(what text, url text, body text, language text, columns jsonb) returns text
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_webhook_wrapper';
comment on function marketing_automation_internal.check_webhook(text, text, text, text, jsonb) is
    'API: private. Raises unless the templates of a webhook compile and make JSON; gives the origin of its URL. columns: template_columns()';

create function marketing_automation_internal.preview_mail(activity_id integer, record jsonb, party text, email text,
    recipient_name text, language text, time_zone text, track_opens boolean, addresses jsonb)
returns table (sender text, subject text, html text, text text, headers text)
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'preview_mail_wrapper';
comment on function marketing_automation_internal.preview_mail(integer, jsonb, text, text, text, text, text, boolean, jsonb) is
    'API: private. Behind preview(): renders the mail of an activity for a row that the caller has read; addresses: mail_addresses()';

create function marketing_automation_internal.render_report(report jsonb, language text) returns text
language c strict stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'render_report_wrapper';
comment on function marketing_automation_internal.render_report(jsonb, text) is
    'API: private. Behind report_html(): makes the page of what report_data() has gathered';

create function marketing_automation_internal.body_links(body text) returns table (pattern text, label text)
language c strict immutable parallel safe rows 10 set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'body_links_wrapper';
comment on function marketing_automation_internal.body_links(text) is
    'API: private. The tracked links of a body, in the order in which they stand: the address as a pattern of LIKE, % where the template '
    'writes something, and the text of the link';

create function marketing_automation_internal.nearest_name(name text, names text[]) returns text
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'nearest_name_wrapper';
comment on function marketing_automation_internal.nearest_name(text, text[]) is
    'API: private. The one of the names that was probably meant, for a hint; null: none differs by so few as three letters or half '
    'of them';

create function marketing_automation_internal.name_hint(name text, names text[], otherwise text default null) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce('Perhaps you meant "' || marketing_automation_internal.nearest_name(name, names) || '".', otherwise)
$$;
comment on function marketing_automation_internal.name_hint(text, text[], text) is
    'API: private. The hint of an error about a name that does not exist: the one of the names that was probably meant, else otherwise';

-- plan_cache_mode: what works on batches has force_custom_plan, with which functions that user SQL calls for each row would plan their
-- statements for each.
create function marketing_automation_internal.query_as_owner(owner regrole, relation regclass, query text, keys text[]) returns setof record
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp set plan_cache_mode = auto
    as 'MODULE_PATHNAME', 'query_as_owner';
comment on function marketing_automation_internal.query_as_owner(regrole, regclass, text, text[]) is
    'API: private. Runs one query, $1 = keys, with the rights of owner, read-only, search_path = pg_catalog; with query_with_results() and '
    'call_as_owner() the only place where user SQL runs';

create function marketing_automation_internal.query_with_results(owner regrole, relation regclass, query text, keys text[], results jsonb)
    returns setof record
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp set plan_cache_mode = auto
    as 'MODULE_PATHNAME', 'query_with_results';
comment on function marketing_automation_internal.query_with_results(regrole, regclass, text, text[], jsonb) is
    'API: private. As query_as_owner(), with $2 = results';

create function marketing_automation_internal.call_as_owner(owner regrole, relation regclass, query text, keys text[], results jsonb)
    returns setof record
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp set plan_cache_mode = auto
    as 'MODULE_PATHNAME', 'call_as_owner';
comment on function marketing_automation_internal.call_as_owner(regrole, regclass, text, text[], jsonb) is
    'API: private. As query_with_results(), but not read-only: functions in the query may write, with the rights of owner';

create function marketing_automation_internal.plan_as_owner(owner regrole, relation regclass, query text) returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'plan_as_owner_wrapper';
comment on function marketing_automation_internal.plan_as_owner(regrole, regclass, text) is
    'API: private. Plans a query over $1 (text[]) as its owner without running it: an error says why it would not run';

create function marketing_automation_internal.expected_rows(owner regrole, relation regclass, query text) returns double precision
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'expected_rows_wrapper';
comment on function marketing_automation_internal.expected_rows(regrole, regclass, text) is
    'API: private. How many rows the planner expects of a query without parameters, planned as its owner';

create function marketing_automation_internal.tables_read_whole(owner regrole, relation regclass, query text) returns oid[]
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'tables_read_whole_wrapper';
comment on function marketing_automation_internal.tables_read_whole(regrole, regclass, text) is
    'API: private. The tables that a query without parameters, planned as its owner, reads from one end to the other';

create function marketing_automation_internal.query_dependencies(owner regrole, relation regclass, query text)
    returns table (tables oid[], tree text, obstacle text, relations integer, views oid[])
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'query_dependencies_wrapper';
comment on function marketing_automation_internal.query_dependencies(regrole, regclass, text) is
    'API: private. On what the rows of a query without parameters depend, when it runs as its owner: the tables that it may read, views and '
    'partitions resolved; its analysed tree; the first thing but tables, null: nothing else; how many relations it names; and the views';

create function marketing_automation_internal.selected_key_column(owner regrole, relation regclass, query text) returns text
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'selected_key_column_wrapper';
comment on function marketing_automation_internal.selected_key_column(regrole, regclass, text) is
    'API: private. The column of relation that a query selects, which is planned as its owner; null: it selects another expression, or one of '
    'a type whose text depends on settings';

create function marketing_automation_internal.capture_keys() returns trigger
-- Of no settings of its own: it runs no SQL, and changing them takes longer than all the rest.
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'capture_keys';
comment on function marketing_automation_internal.capture_keys() is
    'API: private. Trigger of a watched table: notes in captured_keys the keys of the rows that were written. Two arguments: the id in '
    'watched_table, and the column that is the key. Never fails, nor waits';

create function marketing_automation_internal.database_time_zone() returns text
language c stable parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'database_time_zone_wrapper';
comment on function marketing_automation_internal.database_time_zone() is
    'API: private. The time zone of the database, whatever the session has set';

create function marketing_automation_internal.is_time_zone(name text) returns boolean
language c stable strict parallel restricted as 'MODULE_PATHNAME', 'is_time_zone_wrapper';
comment on function marketing_automation_internal.is_time_zone(text) is 'API: private. Whether PostgreSQL knows a time zone of this name';

create function marketing_automation_internal.begin_turn() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'begin_turn_wrapper';
comment on function marketing_automation_internal.begin_turn() is
    'API: private. From here on what query_as_owner() runs has expression_timeout together, until end_turn(), or until the transaction '
    'or its part that is rolled back ends';

create function marketing_automation_internal.begin_statement_turn() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'begin_statement_turn_wrapper';
comment on function marketing_automation_internal.begin_statement_turn() is
    'API: private. As begin_turn(); all that one statement of the client begins so share one limit: a view that calls for each scenario';

create function marketing_automation_internal.turn_asks(scenario_id integer, work text, activity_id integer default 0) returns void
language c volatile strict parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'turn_asks_wrapper';
comment on function marketing_automation_internal.turn_asks(integer, text, integer) is
    'API: private. Says whose expressions the turn asks from here on, and what for, as turn_ended() takes it: called if they end the '
    'connection, past their time';

create function marketing_automation_internal.end_turn() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'end_turn_wrapper';
comment on function marketing_automation_internal.end_turn() is 'API: private. Ends the turn that began last; one around it goes on';

create function marketing_automation_internal.turn_left() returns double precision
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'turn_left_wrapper';
comment on function marketing_automation_internal.turn_left() is
    'API: private. The share of its time that the turn has left, 0 to 1; null: it has no limit';

create function marketing_automation_internal.assume_time(at timestamptz) returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'assume_time_wrapper';
comment on function marketing_automation_internal.assume_time(timestamptz) is
    'API: private. Sets the time that assumed_now() gives, for the rest of the transaction or of its part that is rolled back; null: '
    'the present';

create function marketing_automation_internal.time_was_asked() returns boolean
language c volatile parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'time_was_asked_wrapper';
comment on function marketing_automation_internal.time_was_asked() is
    'API: private. Whether assumed_now() was called in this session since this was asked last: what does not call it is the same at any '
    'assumed time';

create function marketing_automation.assumed_now() returns timestamptz
language c stable parallel restricted as 'MODULE_PATHNAME', 'assumed_now_wrapper';
comment on function marketing_automation.assumed_now() is
    'API: public. The time that enroll(now), process_due(now) and simulate(start) assume, otherwise now(): for expressions, so that a '
    'campaign of birthdays can be rehearsed';

create function marketing_automation_internal.revoke_claims_of(kind text, key text) returns void
language c volatile strict parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'revoke_claims_of_wrapper';
comment on function marketing_automation_internal.revoke_claims_of(text, text) is
    'API: private. When the current transaction commits, no claimed mail of this record, party, address (its hash in hexadecimal '
    'digits), activity, or all, leaves any more: it must be claimed again';

create function marketing_automation_internal.queue_cursor(queue text, activity_id integer, domain_queue text) returns timestamptz
language c stable parallel restricted strict set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'queue_cursor_wrapper';
comment on function marketing_automation_internal.queue_cursor(text, integer, text) is
    'API: private. When the first row of this queue was due that this process found when it looked last; -infinity: it has not '
    'looked yet. Where the next look begins: before it are rows that have been taken already, and at most some that were committed '
    'late';

create function marketing_automation_internal.set_queue_cursor(queue text, activity_id integer, domain_queue text, at timestamptz)
    returns timestamptz
language c volatile parallel unsafe strict set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'set_queue_cursor_wrapper';
comment on function marketing_automation_internal.set_queue_cursor(text, integer, text, timestamptz) is
    'API: private. Remembers at for queue_cursor(), and returns it';

create function marketing_automation_internal.this_data_directory()
returns table (path text, inode bigint, born timestamptz, machine_id text, started_as text)
language c stable parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'this_data_directory_wrapper';
comment on function marketing_automation_internal.this_data_directory() is
    'API: private. Where the server''s data are, inode number and time of creation (where the file system knows it) of the file '
    'PG_VERSION, which is never written again and which no copy can keep, the machine''s id (machine-id(5), where there is one), and '
    'whether the server was started as primary, standby or restored';

create function marketing_automation_internal.setting(name text) returns text
language c stable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'setting_wrapper';
comment on function marketing_automation_internal.setting(text) is 'API: private. Value of marketing_automation.NAME, as SHOW gives it';

create function marketing_automation_internal.show_step(step text) returns void
language c volatile parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'show_step_wrapper';
comment on function marketing_automation_internal.show_step(text) is
    'API: private. Shows in pg_stat_activity what the statement that runs is at; null: the statement alone';

create function marketing_automation_internal.library_version() returns text
language c stable set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'library_version_wrapper';
comment on function marketing_automation_internal.library_version() is
    'API: private. The version of the library that this session has loaded: extversion is that of the SQL';

create function marketing_automation.worker_status()
returns table (database text, pid integer, state text, started_at timestamptz, sent bigint, failed bigint, retried bigint,
    last_error text, last_error_at timestamptz)
language c volatile parallel restricted set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'worker_status_wrapper';
comment on function marketing_automation.worker_status() is
    'API: public. The mailer of this database: idle, sending, paused (by pause(), or the SMTP server is out of reach), unconfigured, '
    'disarmed, outdated (the SQL is of another version than the library), starting, not running or not preloaded; mails sent, failed '
    'and put off since the server started; the last error';

create function marketing_automation_internal.check_page(what text, body text, needs_form boolean) returns void
language c strict volatile parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_page_wrapper';
comment on function marketing_automation_internal.check_page(text, text, boolean) is
    'API: private. Raises with line and column unless the template of a page compiles and, if it needs one, shows the form; what: '
    'which page';

create function marketing_automation_internal.check_templates(what text, sender text, subject text, body text, language text,
    columns jsonb) returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_templates_wrapper';
comment on function marketing_automation_internal.check_templates(text, text, text, text, text, jsonb) is
    'API: private. Raises with part, line and column unless the templates, written in language, compile and use only what is there; '
    'warns of names that they ask about in vain. what: whose they are; columns: template_columns(), null: unknown';

create function marketing_automation_internal.check_part(what text, part text, template text, language text, columns jsonb) returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_part_wrapper';
comment on function marketing_automation_internal.check_part(text, text, text, text, jsonb) is
    'API: private. Raises as check_templates() unless the template of one part compiles and may give such a part: reply_to, preheader, text';

create function marketing_automation_internal.part_fault(part text, template text, language text, columns jsonb) returns text
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'part_fault_wrapper';
comment on function marketing_automation_internal.part_fault(text, text, text, jsonb) is
    'API: private. As snippet_fault(), of the template of one part';

create function marketing_automation_internal.check_headers(what text, headers jsonb, language text, columns jsonb) returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_headers_wrapper';
comment on function marketing_automation_internal.check_headers(text, jsonb, text, jsonb) is
    'API: private. Raises as check_templates() unless headers is an object of templates whose names are of headers that an author may add';

create function marketing_automation_internal.check_campaign(what text, utm text, hosts text, language text) returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_campaign_wrapper';
comment on function marketing_automation_internal.check_campaign(text, text, text, text) is
    'API: private. Raises unless utm is a template of parameters for links, and hosts are hosts; what: whose they are';

create function marketing_automation_internal.check_snippet(name text, language text) returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'check_snippet_wrapper';
comment on function marketing_automation_internal.check_snippet(text, text) is
    'API: private. Raises with line and column unless the snippet compiles in this language, and uses snippets that exist and not '
    'itself';

create function marketing_automation_internal.snippet_fault(sender text, subject text, body text, language text, columns jsonb) returns text
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'snippet_fault_wrapper';
comment on function marketing_automation_internal.snippet_fault(text, text, text, text, jsonb) is
    'API: private. What the snippets in the templates do wrong there, or which one is missing; null: nothing. Arguments as of '
    'check_templates()';

create function marketing_automation_internal.used_snippets(sender text, subject text, body text) returns text[]
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'used_snippets_wrapper';
comment on function marketing_automation_internal.used_snippets(text, text, text) is
    'API: private. Names of the snippets that the templates use, and of those that these use, whether they exist or not';

create function marketing_automation_internal.snippets_of_templates(texts text[]) returns text[]
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'snippets_of_templates_wrapper';
comment on function marketing_automation_internal.snippets_of_templates(text[]) is
    'API: private. As used_snippets(), of any number of templates';

create function marketing_automation_internal.used_columns(texts text[]) returns text[]
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'used_columns_wrapper';
comment on function marketing_automation_internal.used_columns(text[]) is
    'API: private. Names of the columns of the record that templates, and the snippets that they use in any language, read, and an empty one '
    'if they read results of calls; null: they may read any';

create function marketing_automation_internal.use_browser_url(texts text[]) returns boolean
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'use_browser_url_wrapper';
comment on function marketing_automation_internal.use_browser_url(text[]) is
    'API: private. Whether templates, or the snippets that they use in any language, have browser_url in them';

create function marketing_automation_internal.render_for_browser(message_id bigint, record_id bigint, activity_id integer,
    template_id integer, record jsonb, party text, email text, recipient_name text, language text, time_zone text, track_clicks boolean,
    is_shared boolean, cids text[], pictures text[]) returns text
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'render_for_browser_wrapper';
comment on function marketing_automation_internal.render_for_browser(bigint, bigint, integer, integer, jsonb, text, text, text, text, text,
    boolean, boolean, text[], text[]) is
    'API: private. The HTML of a mail, rendered once more, without its open image; null: the activity is gone, automation_base is not set or '
    'there is no key. template_id: the activity or variant whose texts it has; pictures: data URLs, by their cids. Raises what the templates do '
    'wrong, as a link for the party alone, where is_shared says that others got it';

create function marketing_automation_internal.verify_token(kind text, token text) returns table (record_id bigint, activity_id integer,
    link_id bigint)
language c strict stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'verify_token_wrapper';
comment on function marketing_automation_internal.verify_token(text, text) is
    'API: private. What a token says, no row if it does not verify; kind: email_opened, email_clicked or unsubscribed';

create function marketing_automation_internal.verify_tokens(kinds text[], tokens text[])
    returns table (records bigint[], activities integer[], links bigint[])
language c strict stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'verify_tokens_wrapper';
comment on function marketing_automation_internal.verify_tokens(text[], text[]) is
    'API: private. One row: what the tokens say, as columns for unnest(); nulls for one that does not verify. kinds: as in '
    'verify_token(), for each token';

create function marketing_automation_internal.sign_token(kind text, record_id bigint, activity_id integer, link_id bigint default null)
    returns text
language c stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'sign_token_wrapper';
comment on function marketing_automation_internal.sign_token(text, bigint, integer, bigint) is
    'API: private. Token of an URL in a mail, as the mailer signs it; kind: email_opened, email_clicked or unsubscribed. Null while '
    'there is no tracking key';

create function marketing_automation_internal.verify_return_path(address text) returns table (record_id bigint, activity_id integer)
language c strict stable parallel safe rows 1 set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'verify_return_path_wrapper';
comment on function marketing_automation_internal.verify_return_path(text) is
    'API: private. The mail whose return path (see marketing_automation.bounce_address) an address is, in any case, with or without '
    'angle brackets; no row when none of the tracking keys signed it';

create function marketing_automation_internal.sign_return_path(bounce_address text, record_id bigint, activity_id integer) returns text
language c strict stable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'sign_return_path_wrapper';
comment on function marketing_automation_internal.sign_return_path(text, bigint, integer) is
    'API: private. Envelope sender of a mail, as the mailer makes it of marketing_automation.bounce_address. Null while there is no '
    'tracking key';

create function marketing_automation_internal.new_record_uuid(record_id bigint) returns uuid
language c strict volatile parallel safe as 'MODULE_PATHNAME', 'new_record_uuid_wrapper';
comment on function marketing_automation_internal.new_record_uuid(bigint) is
    'API: private. A random public id (RFC 9562 version 8) from which record_id() reads the id, so that it needs no index of its own';

create function marketing_automation_internal.notify_mailer() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'notify_mailer_wrapper';
comment on function marketing_automation_internal.notify_mailer() is
    'API: private. Wakes the mailer of this database, or has it started, when the current transaction commits';

create function marketing_automation_internal.give_access_again(role text, access text) returns void
language c volatile strict parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'give_access_again_wrapper';
comment on function marketing_automation_internal.give_access_again(text, text) is
    'API: private. give_access() for the script of an update: what it grants are no initial privileges, so that pg_dump keeps them';
