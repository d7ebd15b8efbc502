//! Which language of CLDR a recipient's language tag means.

use icu_datetime::provider::Baked;
use icu_datetime::provider::names::DatetimeNamesWeekdayV1;
use icu_locale_core::subtags::language;
use icu_locale_core::{Locale, locale};
use icu_provider::{
    DataIdentifierBorrowed, DataLocale, DataMarkerAttributes, DataProvider, DataRequest,
    DataResponse,
};

/// Reads a BCP 47 (`fr-CA`) or POSIX (`fr_CA.UTF-8`) tag; a tag that CLDR has no words for becomes English.
///
/// The step from `fr-CA` to `fr` is CLDR's own inheritance, inside ICU4X.
pub(super) fn resolve(tag: &str) -> Locale {
    let tag = tag.trim();
    let end = tag.find(['.', '@']).unwrap_or(tag.len());
    let mut tag = tag[..end].replace('_', "-");
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
