//! Compiles templates when they are written, so that a mistake is the author's error and not a failed mail.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::delivery::dkim::{parse_keys, signing_domain};
use crate::extension::settings;
use crate::extension::snippets::snippets;
use crate::mail::campaign::Hosts;
use crate::mail::dkim::is_aligned;
use crate::mail::message;
use crate::mail::template::{
    self, CampaignSource, Columns, Names, PageTemplate, Part, Remark, TemplateError, Texts,
    Undefined,
};

pub(super) fn report(
    level: PgLogLevel,
    code: PgSqlErrorCode,
    message: String,
    detail: String,
    hint: Option<&str>,
) {
    let report = ErrorReport::new(code, message, "check_templates").set_detail(detail);
    match hint {
        Some(hint) => report.set_hint(hint),
        None => report,
    }
    .report(level);
}

/// Raises what a template does wrong, and warns of what it may do wrong.
pub(super) fn judge(what: &str, checked: Result<Vec<Undefined>, TemplateError>) {
    let undefined = match checked {
        Ok(undefined) => undefined,
        Err(error) if error.lacks_snippet => {
            return report(
                PgLogLevel::ERROR,
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("{what} uses a snippet that does not exist"),
                error.to_string(),
                Some("Snippets are rows of marketing_automation.snippet."),
            );
        }
        Err(error) => {
            let hint = error.hint.as_deref().unwrap_or(
                "Templates are minijinja (Jinja2): {{ record.column }}, {% if … %} … {% endif %}.",
            );
            return report(
                PgLogLevel::ERROR,
                PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
                format!("{what} does not compile"),
                error.to_string(),
                Some(hint),
            );
        }
    };
    let (guarded, certain): (Vec<_>, Vec<_>) =
        undefined.into_iter().partition(|found| found.is_guarded);
    let detail = |undefined: &[Undefined]| {
        let lines: Vec<String> = undefined
            .iter()
            .map(|found| found.error.to_string())
            .collect();
        lines.join("\n")
    };
    if let Some(first) = certain.first() {
        let hint = first.hint.as_deref().unwrap_or(
            "Where it may be missing, say so: {{ record.column | default('…') }}, {% if record.column is defined %}.",
        );
        report(
            PgLogLevel::ERROR,
            PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
            format!("{what} uses what does not exist"),
            detail(&certain),
            Some(hint),
        );
    }
    if let Some(first) = guarded.first() {
        report(
            PgLogLevel::WARNING,
            PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
            format!("{what} asks for what does not exist"),
            detail(&guarded),
            first.hint.as_deref(),
        );
    }
}

/// Warns of what works, and is hardly meant.
pub(super) fn warn(what: &str, remarks: Vec<Remark>) {
    if remarks.is_empty() {
        return;
    }
    let lines: Vec<String> = remarks
        .iter()
        .map(|remark| remark.error.to_string())
        .collect();
    let mut hints: Vec<&str> = remarks
        .iter()
        .filter_map(|remark| remark.error.hint.as_deref())
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    hints.retain(|hint| seen.insert(*hint));
    report(
        PgLogLevel::WARNING,
        PgSqlErrorCode::ERRCODE_WARNING,
        format!("{what} may not be what you mean"),
        lines.join("\n"),
        Some(&hints.join("\n")),
    );
}

fn texts(sender: Option<&str>, subject: Option<&str>, body: Option<&str>) -> Texts {
    Texts {
        sender: sender.map(str::to_owned),
        subject: subject.map(str::to_owned),
        body: body.map(str::to_owned),
        ..Texts::default()
    }
}

pub(super) fn names(columns: Option<pgrx::JsonB>) -> Option<Names> {
    columns.map(|columns| Names::new(&columns.0))
}

/// The hint for a page that no better one is known for.
const A_PAGE: &str = "A page is a minijinja (Jinja2) template of a whole HTML document: \
    <!doctype html><html lang=\"{{ language }}\" dir=\"{{ direction }}\">… {{ form }} …";

/// Raises unless a page's template compiles and, if it needs one, shows the form.
#[pg_extern(sql = false)]
fn check_page(what: &str, body: &str, needs_form: bool) {
    let mut advice = None;
    let detail = match PageTemplate::compile(body) {
        Err(error) => {
            let detail = error.to_string();
            advice = error.hint;
            detail
        }
        Ok(page) if needs_form && !page.shows_form() => {
            "It has no {{ form }}, without which nobody could unsubscribe.".to_owned()
        }
        Ok(_) => return,
    };
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
        format!("template of {what} cannot be used"),
        "check_page",
    )
    .set_detail(detail)
    .set_hint(advice.unwrap_or_else(|| A_PAGE.to_owned()))
    .report(PgLogLevel::ERROR);
}

/// The tracked links of a body, in the order in which they stand.
#[pg_extern(sql = false)]
fn body_links(
    body: &str,
) -> TableIterator<'static, (name!(pattern, String), name!(label, String))> {
    let links = template::body_links(body).into_iter();
    TableIterator::new(links.map(|link| (link.pattern, link.label)))
}

/// Raises with part, line and column unless the templates compile. Null parts are not looked at.
#[pg_extern(sql = false)]
fn check_templates(
    what: &str,
    sender: Option<&str>,
    subject: Option<&str>,
    body: Option<&str>,
    language: &str,
    columns: Option<pgrx::JsonB>,
) -> Result<(), spi::Error> {
    // Of one without expressions every mail would fail alike.
    if let Some(sender) = sender
        && template::is_constant(sender)
        && let Err(error) = message::check_sender(sender)
    {
        report(
            PgLogLevel::ERROR,
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("sender of {what} is no mailbox"),
            error.to_string(),
            Some("Write Shop <news@shop.example> or news@shop.example."),
        );
    }
    let texts = texts(sender, subject, body);
    let checked = template::check(&texts, language, &snippets()?, names(columns).as_ref());
    let what = format!("template of {what}");
    judge(&what, checked);
    let parts = [
        (Part::Sender, sender),
        (Part::Subject, subject),
        (Part::Body, body),
    ];
    let remarks = parts
        .into_iter()
        .filter_map(|(part, text)| Some(template::remarks(part, None, text?)))
        .flatten();
    warn(&what, remarks.collect());
    if let Some(domain) = sender.and_then(message::sender_domain) {
        warn_of_foreign_signature(&what, &domain);
    }
    Ok(())
}

/// The part of a column.
fn part(column: &str) -> Part {
    Part::of_column(column).unwrap_or_else(|| error!("templates have no part {column:?}"))
}

/// Raises as [`check_templates`] unless the template of one part compiles and may give what the part is.
#[pg_extern(sql = false)]
fn check_part(
    what: &str,
    column: &str,
    text: &str,
    language: &str,
    columns: Option<pgrx::JsonB>,
) -> Result<(), spi::Error> {
    let part = part(column);
    if part == Part::ReplyTo
        && template::is_constant(text)
        && let Err(error) = message::check_reply_to(text)
    {
        report(
            PgLogLevel::ERROR,
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("reply_to of {what} is no list of mailboxes"),
            error.to_string(),
            Some(
                "Write Help <help@shop.example>, with commas between several; null: replies go to the sender.",
            ),
        );
    }
    let checked = template::check(
        &Texts::only(part, text),
        language,
        &snippets()?,
        names(columns).as_ref(),
    );
    let what = format!("template of {what}");
    judge(&what, checked);
    warn(&what, template::remarks(part, None, text));
    Ok(())
}

/// Raises unless what the links of a scenario's mails get, and the hosts that get it, are such.
#[pg_extern(sql = false)]
fn check_campaign(what: &str, utm: &str, hosts: &str, language: &str) {
    if let Err(reason) = Hosts::parse(hosts) {
        return report(
            PgLogLevel::ERROR,
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("utm_hosts of {what} is no list of hosts"),
            format!("{reason}."),
            Some(
                "Write the hosts of your sites, each stands for those below it, too: shop.example, other.example.",
            ),
        );
    }
    let campaign = CampaignSource {
        utm: utm.to_owned(),
        hosts: hosts.to_owned(),
        language: language.to_owned(),
    };
    if let Err(error) = template::check_campaign(&campaign) {
        report(
            PgLogLevel::ERROR,
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("utm of {what} cannot be used"),
            error.to_string(),
            error.hint.as_deref().or(Some(
                "It is a template without snippets: utm_source=shop&utm_campaign={{ scenario.name }}.",
            )),
        );
    }
}

/// Warns of a sender whose mails are signed for a domain that is not the sender's.
fn warn_of_foreign_signature(what: &str, domain: &str) {
    let keys = parse_keys(&settings::dkim_keys().unwrap_or_default()).unwrap_or_default();
    let default = settings::dkim_domain();
    let by_domain = keys.iter().map(|key| key.domain.as_str());
    let Some(signing) = signing_domain(by_domain, default.as_deref(), domain) else {
        return;
    };
    if is_aligned(signing, domain) {
        return;
    }
    report(
        PgLogLevel::WARNING,
        PgSqlErrorCode::ERRCODE_WARNING,
        format!("mails of {domain} are signed for {signing}"),
        format!("{what} has a sender at {domain}; DMARC wants a signature of the sender's domain."),
        Some("Add a key for it to the setting marketing_automation.dkim_keys."),
    );
}

/// Raises unless a snippet that has been written compiles.
#[pg_extern(sql = false)]
fn check_snippet(name: &str, language: &str) -> Result<(), spi::Error> {
    let include = format!("{{% include \"{name}\" %}}");
    let texts = texts(None, None, Some(&include));
    let snippets = snippets()?;
    let checked = template::check(&texts, language, &snippets, None);
    let what = format!("snippet \"{name}\"");
    judge(&what, checked);
    let text = snippets.written(name, language).unwrap_or_default();
    warn(&what, template::remarks(Part::Body, Some(name), &text));
    Ok(())
}

/// What is wrong with templates because of the snippets that they use.
#[pg_extern(sql = false)]
fn snippet_fault(
    sender: Option<&str>,
    subject: Option<&str>,
    body: Option<&str>,
    language: &str,
    columns: Option<pgrx::JsonB>,
) -> Result<Option<String>, spi::Error> {
    fault_of(&texts(sender, subject, body), language, columns)
}

/// What is wrong with the template of one part because of the snippets that it uses.
#[pg_extern(sql = false)]
fn part_fault(
    column: &str,
    text: &str,
    language: &str,
    columns: Option<pgrx::JsonB>,
) -> Result<Option<String>, spi::Error> {
    fault_of(&Texts::only(part(column), text), language, columns)
}

fn fault_of(
    texts: &Texts,
    language: &str,
    columns: Option<pgrx::JsonB>,
) -> Result<Option<String>, spi::Error> {
    let checked = template::check(texts, language, &snippets()?, names(columns).as_ref());
    Ok(match checked {
        Err(error) => Some(error),
        Ok(undefined) => undefined
            .into_iter()
            .find(|found| found.error.snippet.is_some() && !found.is_guarded)
            .map(|found| found.error),
    }
    .filter(|error| error.lacks_snippet || error.snippet.is_some())
    .map(|error| error.to_string()))
}

/// The snippets that templates use.
#[pg_extern(sql = false)]
fn used_snippets(
    sender: Option<&str>,
    subject: Option<&str>,
    body: Option<&str>,
) -> Result<Vec<String>, spi::Error> {
    let sources = [sender, subject, body];
    Ok(snippets()?.names_in(sources.into_iter().flatten()))
}

/// As [`used_snippets`], of any number of templates.
#[pg_extern(sql = false)]
fn snippets_of_templates(texts: Vec<Option<String>>) -> Result<Vec<String>, spi::Error> {
    Ok(snippets()?.names_in(texts.iter().flatten().map(String::as_str)))
}

/// The columns of the record that templates, and snippets in them, read; None: they may read any.
#[pg_extern(sql = false)]
fn used_columns(texts: Vec<Option<String>>) -> Result<Option<Vec<String>>, spi::Error> {
    let columns = snippets()?.columns_in(texts.iter().flatten().map(String::as_str));
    Ok(match columns {
        Columns::All => None,
        Columns::Some(names) => Some(names.into_iter().collect()),
    })
}
