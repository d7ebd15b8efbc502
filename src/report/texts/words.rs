//! Which words a report has.

use serde::Serialize;

/// All words in one language. `{}` stands for a value.
#[derive(Debug, Serialize)]
pub(in crate::report) struct Texts {
    /// BCP 47.
    pub(in crate::report) language: &'static str,
    pub(in crate::report) report: &'static str,
    /// When the report was made.
    pub(in crate::report) as_of: &'static str,
    /// The period of a report on all there is.
    pub(in crate::report) whole: &'static str,
    /// A period without an end.
    pub(in crate::report) from_date: &'static str,
    /// A period without a beginning.
    pub(in crate::report) until_date: &'static str,
    pub(in crate::report) draft: &'static str,
    pub(in crate::report) running: &'static str,
    pub(in crate::report) stopped: &'static str,
    pub(in crate::report) entered: &'static str,
    /// Records of those who have left, or were blocked.
    pub(in crate::report) blocked: &'static str,
    /// Records that get no mail, to compare with.
    pub(in crate::report) held_out: &'static str,
    pub(in crate::report) conversions: &'static str,
    pub(in crate::report) value: &'static str,
    pub(in crate::report) mails: &'static str,
    /// Which activity this one follows.
    pub(in crate::report) after: &'static str,
    /// By how much later it runs.
    pub(in crate::report) later: &'static str,
    pub(in crate::report) if_opened: &'static str,
    pub(in crate::report) if_not_opened: &'static str,
    pub(in crate::report) if_clicked: &'static str,
    pub(in crate::report) if_not_clicked: &'static str,
    pub(in crate::report) if_returned: &'static str,
    pub(in crate::report) if_not_returned: &'static str,
    pub(in crate::report) if_not_met: &'static str,
    pub(in crate::report) if_call_failed: &'static str,
    pub(in crate::report) if_webhook_delivered: &'static str,
    pub(in crate::report) if_webhook_failed: &'static str,
    /// Of an activity that is another text of the mail of its parent.
    pub(in crate::report) variant_of: &'static str,
    pub(in crate::report) sent: &'static str,
    pub(in crate::report) opened: &'static str,
    pub(in crate::report) clicked: &'static str,
    pub(in crate::report) converted: &'static str,
    pub(in crate::report) returned: &'static str,
    pub(in crate::report) unsubscribed: &'static str,
    pub(in crate::report) complaints: &'static str,
    pub(in crate::report) waiting: &'static str,
    pub(in crate::report) skipped: &'static str,
    pub(in crate::report) cancelled: &'static str,
    pub(in crate::report) failed: &'static str,
    pub(in crate::report) not_sent: &'static str,
    pub(in crate::report) under_way: &'static str,
    pub(in crate::report) done: &'static str,
    /// Mails that were given up, or came back.
    pub(in crate::report) lost: &'static str,
    pub(in crate::report) links: &'static str,
    pub(in crate::report) link: &'static str,
    pub(in crate::report) mail: &'static str,
    pub(in crate::report) people: &'static str,
    pub(in crate::report) clicks: &'static str,
    pub(in crate::report) share: &'static str,
    pub(in crate::report) robots: &'static str,
    pub(in crate::report) domains: &'static str,
    pub(in crate::report) domain: &'static str,
    pub(in crate::report) others: &'static str,
    /// Addresses that were erased.
    pub(in crate::report) no_domain: &'static str,
    pub(in crate::report) deferred: &'static str,
    pub(in crate::report) day: &'static str,
    pub(in crate::report) week: &'static str,
    pub(in crate::report) month: &'static str,
    /// The highest value of a chart, and when.
    pub(in crate::report) most: &'static str,
    pub(in crate::report) hours: &'static str,
    pub(in crate::report) hour: &'static str,
    /// After how many hours half of those who open a mail have done so.
    pub(in crate::report) half: &'static str,
    pub(in crate::report) cohorts: &'static str,
    pub(in crate::report) mailed: &'static str,
    pub(in crate::report) in_1_day: &'static str,
    pub(in crate::report) in_7_days: &'static str,
    pub(in crate::report) in_30_days: &'static str,
    /// What was brought about, by comparing with those who were held out.
    pub(in crate::report) effect: &'static str,
    /// Of the variants at an activity.
    pub(in crate::report) comparison: &'static str,
    pub(in crate::report) group: &'static str,
    /// Those in no variant, who wait for the winner or have taken it.
    pub(in crate::report) rest: &'static str,
    /// The name of a variant that has won.
    pub(in crate::report) winner: &'static str,
    pub(in crate::report) difference: &'static str,
    /// In which the difference lies, with a probability of 95 %.
    pub(in crate::report) interval: &'static str,
    pub(in crate::report) chance: &'static str,
    pub(in crate::report) clear: &'static str,
    /// What opens the table behind a chart.
    pub(in crate::report) numbers: &'static str,
    pub(in crate::report) nothing: &'static str,
    /// How many rows a table leaves out.
    pub(in crate::report) more: &'static str,
    /// A number as per cent.
    pub(in crate::report) percent: &'static str,
}
