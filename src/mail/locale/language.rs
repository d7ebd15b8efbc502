//! Language tags: how they fall back, and which language of CLDR they mean.

use icu_datetime::provider::Baked;
use icu_datetime::provider::names::DatetimeNamesWeekdayV1;
use icu_locale_core::subtags::language;
use icu_locale_core::{Locale, locale};
use icu_provider::{
    DataIdentifierBorrowed, DataLocale, DataMarkerAttributes, DataProvider, DataRequest,
    DataResponse,
};

/// Gives the spelling by which tags are compared: `fr-ca` for `fr-CA` (BCP 47) and `fr_CA.UTF-8` (POSIX).
pub fn normalized(tag: &str) -> String {
    let tag = tag.trim();
    let end = tag.find(['.', '@']).unwrap_or(tag.len());
    tag[..end].replace('_', "-").to_ascii_lowercase()
}

/// A normalised tag and what it falls back to: `fr-ca`, `fr` and then the empty tag (RFC 4647, section 3.4).
pub fn fallbacks(tag: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(tag);
    std::iter::from_fn(move || {
        let tag = rest?;
        rest = match tag.rfind('-') {
            Some(end) => Some(&tag[..end]),
            None if tag.is_empty() => None,
            None => Some(""),
        };
        Some(tag)
    })
}

/// The language itself, without script and region, of a tag in any spelling.
pub fn primary(tag: &str) -> String {
    let mut tag = normalized(tag);
    tag.truncate(tag.find('-').unwrap_or(tag.len()));
    tag
}

/// Languages that are written from right to left (Unicode CLDR).
const RIGHT_TO_LEFT: [&str; 10] = ["ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"];

/// Tells whether a tag in any spelling is of a language that is written from right to left.
pub fn is_right_to_left(tag: &str) -> bool {
    RIGHT_TO_LEFT.contains(&primary(tag).as_str())
}

/// The language to format a text of language `text` in, for this recipient: their variant of it (`fr-CA` where the text
/// is `fr`), else the text's. English words take no French dates.
pub fn for_text<'a>(recipient: &'a str, text: &'a str) -> &'a str {
    match primary(recipient) == primary(text) {
        true => recipient,
        false => text,
    }
}

/// Reads a BCP 47 (`fr-CA`) or POSIX (`fr_CA.UTF-8`) tag; a tag that CLDR has no words for becomes English.
///
/// The step from `fr-CA` to `fr` is CLDR's own inheritance, inside ICU4X.
pub(super) fn resolve(tag: &str) -> Locale {
    let mut tag = normalized(tag);
    loop {
        if let Ok(locale) = Locale::try_from_str(&tag)
            && has_words(&locale)
        {
            return locale;
        }
        match tag.rfind('-') {
            Some(cut) => tag.truncate(cut),
            None => return locale!("en"),
        }
    }
}

/// Tells whether CLDR knows how the days of the week are called in this language.
///
/// English itself is CLDR's root for these names, so its variants (`en-GB`) would not be found.
fn has_words(locale: &Locale) -> bool {
    if locale.id.language.is_unknown() {
        return false;
    }
    if locale.id.language == language!("en") {
        return true;
    }
    let data_locale = DataLocale::from(locale);
    // "4" is the attribute of wide names in ICU4X's weekday data.
    let wide = DataMarkerAttributes::from_str_or_panic("4");
    let request = DataRequest {
        id: DataIdentifierBorrowed::for_marker_attributes_and_locale(wide, &data_locale),
        ..Default::default()
    };
    let response: Result<DataResponse<DatetimeNamesWeekdayV1>, _> = Baked.load(request);
    response.is_ok_and(|found| {
        found
            .metadata
            .locale
            .is_none_or(|resolved| !resolved.is_unknown())
    })
}
