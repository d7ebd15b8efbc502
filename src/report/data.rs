//! The numbers of a report, as the SQL function `report_data()` gathers them.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    pub(super) name: String,
    /// What recipients see as the scenario's name.
    pub(super) title: Option<String>,
    pub(super) state: String,
    /// Days, as ISO 8601; null: no limit.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    /// When the report was made, in the session's time zone.
    pub(super) now: String,
    pub(super) records: i64,
    pub(super) blocked: i64,
    pub(super) held_out: i64,
    pub(super) conversions: i64,
    /// Decimal numbers are text: they have more digits than a double.
    pub(super) value: Option<String>,
    /// Activities, parents before their children.
    pub(super) mails: Vec<Mail>,
    pub(super) links: Vec<Link>,
    /// How many links are not among them.
    pub(super) links_left: i64,
    pub(super) domains: Domains,
    /// Whole hours since sending, first opens, first clicks.
    pub(super) hours: Vec<(i64, i64, i64)>,
    pub(super) cohorts: Vec<Cohort>,
    pub(super) cohorts_left: i64,
    pub(super) comparisons: Vec<Comparison>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Mail {
    pub(super) name: String,
    pub(super) parent: Option<String>,
    /// 1 for a root.
    pub(super) depth: u32,
    pub(super) on_event: Option<String>,
    /// An interval as PostgreSQL writes it.
    pub(super) delay: Option<String>,
    /// Whether it sends an e-mail.
    pub(super) sends: bool,
    pub(super) done: i64,
    pub(super) skipped: i64,
    /// Null: the report is about some days, and waiting is about now.
    pub(super) waiting: Option<i64>,
    pub(super) cancelled: i64,
    pub(super) failed: i64,
    pub(super) under_way: i64,
    pub(super) sent: i64,
    pub(super) not_sent: i64,
    pub(super) opened: i64,
    pub(super) clicked: i64,
    pub(super) returned: i64,
    pub(super) unsubscribed: i64,
    pub(super) complaints: i64,
    pub(super) conversions: i64,
    pub(super) value: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) mail: String,
    /// The text of the link, for who may read it.
    pub(super) label: Option<String>,
    pub(super) link: String,
    pub(super) people: i64,
    pub(super) clicks: i64,
    pub(super) share: Option<f64>,
    pub(super) robots: i64,
}

/// Recipient domains over days, weeks or months.
#[derive(Debug, Deserialize)]
pub(super) struct Domains {
    /// `day`, `week` or `month`.
    pub(super) unit: String,
    /// The first day of each period.
    pub(super) starts: Vec<String>,
    pub(super) rows: Vec<Domain>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Domain {
    /// Null: addresses that were erased.
    pub(super) domain: Option<String>,
    /// Whether it is the sum of all domains that have no row.
    pub(super) others: bool,
    pub(super) sent: i64,
    pub(super) opened: i64,
    pub(super) failed: i64,
    pub(super) returned: i64,
    pub(super) complaints: i64,
    pub(super) deferrals: i64,
    /// By period: mails that were taken, and mails that were not, or came back.
    pub(super) taken: Vec<i64>,
    pub(super) lost: Vec<i64>,
}

/// Those who entered in one week.
#[derive(Debug, Deserialize)]
pub(super) struct Cohort {
    /// Its Monday.
    pub(super) week: String,
    pub(super) entered: i64,
    pub(super) mailed: i64,
    pub(super) in_1: i64,
    pub(super) in_7: i64,
    pub(super) in_30: i64,
    pub(super) value: Option<String>,
}

/// Groups that were drawn by lot, and how they differ.
#[derive(Debug, Deserialize)]
pub(super) struct Comparison {
    /// The activity that it is about; null: the whole scenario.
    pub(super) about: Option<String>,
    /// What is counted: `opens`, `clicks` or `conversions`.
    pub(super) metric: String,
    pub(super) groups: Vec<Group>,
    pub(super) effects: Vec<Effect>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    /// Null: `kind` says it.
    pub(super) name: Option<String>,
    /// `mailed`, `held_out` or `rest`.
    pub(super) kind: Option<String>,
    pub(super) people: i64,
    /// Of how many the metric is true; null: they are not compared.
    pub(super) reached: Option<i64>,
    /// Whether the experiment is decided for it.
    #[serde(default)]
    pub(super) winner: bool,
}

/// A difference of shares with its 95 % interval, each between -1 and 1.
#[derive(Debug, Deserialize)]
pub(super) struct Effect {
    /// The group that it is about, where there are more than two.
    pub(super) name: Option<String>,
    pub(super) difference: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}
