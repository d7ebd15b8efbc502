//! What a column takes, for whoever writes something else into a table of the extension.
//!
//! PostgreSQL's own message is the name of a constraint and the row that fails it.

/// A check and its hint. Those that a trigger asks first, with a message of its own, are not here.
pub(super) const HINTS: [(&str, &str); 43] = [
    ("sale_amount_check", "amount is 0 or more."),
    (
        "sale_currency_check",
        "currency is three capital letters (ISO 4217), such as EUR.",
    ),
    (
        "sale_state_check",
        "state is draft, quotation, confirmed, done or cancelled.",
    ),
    (
        "scenario_journey_ends_with_goal",
        "goal_ends_journey needs a goal.",
    ),
    (
        "scenario_goal_parts_need_goal",
        "goal_at and goal_value need a goal.",
    ),
    (
        "scenario_holdout_needs_goal",
        "holdout needs a goal, by which those who are held out are compared.",
    ),
    (
        "scenario_utm_has_hosts",
        "utm and utm_hosts need each other.",
    ),
    ("scenario_holdout_check", "holdout is 0 to 100 per cent."),
    (
        "scenario_goal_window_check",
        "goal_window is longer than 0 and at most 10 years.",
    ),
    ("scenario_language_check", LANGUAGE),
    ("scenario_name_check", "name must not be empty."),
    (
        "scenario_title_check",
        "title must not be empty; null: people see none.",
    ),
    ("model_name_check", "name must not be empty."),
    ("activity_name_check", "name must not be empty."),
    ("activity_translation_language_check", LANGUAGE),
    (
        "activity_translation_translates",
        "A translation has a sender, a reply_to, a subject, a body, a preheader or a text.",
    ),
    ("snippet_language_check", LANGUAGE),
    (
        "snippet_name_is_simple",
        "name is 1 to 63 letters, digits, dots, hyphens and underscores, and begins with a letter, a digit or an underscore.",
    ),
    ("send_window_name_check", "name must not be empty."),
    (
        "send_window_outside_check",
        "outside is 'wait' for the next opening, or 'skip'.",
    ),
    ("message_class_name_check", "name must not be empty."),
    (
        "scenario_priority_check",
        "priority is a number from -1000, last, to 1000, first.",
    ),
    (
        "webhook_target_connections_check",
        "connections is 1 to 200.",
    ),
    (
        "webhook_target_timeout_check",
        "timeout is '100 milliseconds' to '60 seconds'.",
    ),
    ("topic_name_check", "name must not be empty."),
    (
        "topic_title_check",
        "title must not be empty; null: people see the name.",
    ),
    ("topic_translation_title_check", "title must not be empty."),
    ("holiday_calendar_check", "calendar must not be empty."),
    ("holiday_day_check", "day is a date, such as 2026-12-25."),
    (
        "domain_limit_burst_check",
        "burst is 1 to 100000 mails; null: those of a second.",
    ),
    (
        "domain_limit_per_second_check",
        "per_second is 0.0001 to 100000 mails; 0: none.",
    ),
    ("smtp_server_connections_check", "connections is 1 to 200."),
    ("smtp_server_name_check", "name must not be empty."),
    (
        "smtp_server_per_second_check",
        "per_second is 0.0001 to 100000 mails; null: as many as it takes.",
    ),
    ("smtp_server_weight_check", "weight is 1 to 1000."),
    ("smtp_warmup_day_check", "day is 1 or more: the first is 1."),
    ("smtp_warmup_mails_check", "mails is 0 or more."),
    ("page_language_check", LANGUAGE),
    ("page_text_language_check", LANGUAGE),
    ("page_text_text_check", "text is 1 to 1000 characters."),
    ("robot_rule_links_check", "links is 2 or more."),
    (
        "robot_rule_within_check",
        "within is more than nothing, and 30 days at most.",
    ),
    (
        "sender_permission_sender_check",
        "sender is an address, anna@shop.example, or a domain, shop.example.",
    ),
];

const LANGUAGE: &str = "language is a tag such as de or pt-BR.";

/// The hint for a constraint.
pub(super) fn hint(constraint: &str) -> Option<&'static str> {
    HINTS
        .iter()
        .find(|(name, _)| *name == constraint)
        .map(|(_, hint)| *hint)
}

#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use super::*;

    #[pg_test]
    fn every_hint_is_of_a_check() {
        let missing = Spi::get_one_with_args::<String>(
            "select string_agg(n, ', ') from unnest($1) n where not exists (select from pg_constraint c
             where c.conname = n and c.contype = 'c' and c.connamespace = 'marketing_automation'::regnamespace)",
            &[HINTS.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>().into()],
        );
        assert_eq!(missing, Ok(None));
    }

    #[pg_test]
    fn every_check_of_what_people_write_is_named_or_told_by_a_trigger() {
        // What triggers ask first, and what only the extension writes.
        let told = "activity_action_check activity_on_event_check activity_delay_check activity_event_needs_parent \
            activity_expires_after_check activity_is_not_its_own_parent activity_mail_needs_subject_and_body \
            activity_negative_event_needs_delay activity_branch_by_check activity_share_check \
            activity_call_is_what_it_does activity_call_does_not_branch activity_webhook_has_url activity_webhook_does_not_branch \
            activity_experiment_has_variants activity_variant_has_share \
            activity_attachments_are_of_mail activity_addresses_are_of_mail activity_wait_ends activity_metric_check activity_decide_after_check activity_experiment_branches_by_share activity_decides_by_metric \
            scenario_state_check scenario_reenter_after_check bounce_rule_fits_kind suppression_reason_check \
            suppression_address_hash_check page_name_check page_text_name_check robot_rule_kind_check robot_rule_fits_kind \
            robot_rule_name_check scenario_id_check activity_id_check conversion_at_check conversion_source_check \
            conversion_value_check message_class_priority_check frequency_cap_mails_check frequency_cap_per_check \
            frequency_cap_outside_check frequency_cap_max_wait_check topic_opt_in_check topic_translation_language_check";
        let unnamed = Spi::get_one_with_args::<String>(
            "select string_agg(c.conname, ', ') from pg_constraint c
             where c.contype = 'c' and c.connamespace = 'marketing_automation'::regnamespace
               and c.conrelid::regclass::text not in ('marketing_automation.bounce', 'marketing_automation.link',
                   'marketing_automation.sending_pause', 'marketing_automation.scenario_status', 'marketing_automation.definition_history',
                   'marketing_automation.subscription', 'marketing_automation.subscription_request')
               and c.conname <> all (string_to_array($1, ' ')) and c.conname <> all ($2)",
            &[
                told.split_whitespace().collect::<Vec<_>>().join(" ").into(),
                HINTS.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>().into(),
            ],
        );
        assert_eq!(unnamed, Ok(None));
    }
}
