use super::*;

fn locale(language: &str) -> Locale {
    Locale::new(language, "Europe/Brussels")
}

/// Replaces the no-break spaces that CLDR uses, so that expectations can be read.
fn plain(text: Result<String, String>) -> String {
    text.unwrap().replace(['\u{a0}', '\u{202f}'], " ")
}

#[test]
fn languages_fall_back_to_their_parent_and_then_to_english() {
    for (tag, expected) in [
        ("fr-CA", "24 nov. 2026"),
        ("fr_CA.UTF-8", "24 nov. 2026"),
        ("fr-XX-nonsense!", "24 nov. 2026"),
        ("de", "24.11.2026"),
        ("nl", "24 nov 2026"),
        ("ja", "2026/11/24"),
        ("zh-Hant-TW", "2026年11月24日"),
        ("pt_BR", "24 de nov. de 2026"),
        ("en-GB", "24 Nov 2026"),
        ("", "Nov 24, 2026"),
        ("xx", "Nov 24, 2026"),
        ("not a language", "Nov 24, 2026"),
        ("und", "Nov 24, 2026"),
        ("tlh", "Nov 24, 2026"),
    ] {
        assert_eq!(
            plain(locale(tag).format_date("2026-11-24", None)),
            expected,
            "{tag}"
        );
    }
}

#[test]
fn dates_have_four_lengths() {
    let english = locale("en");
    for (format, expected) in [
        ("short", "11/24/26"),
        ("medium", "Nov 24, 2026"),
        ("long", "November 24, 2026"),
        ("full", "Tuesday, November 24, 2026"),
    ] {
        assert_eq!(
            plain(english.format_date("2026-11-24", Some(format))),
            expected
        );
    }
    let error = english
        .format_date("2026-11-24", Some("dd.MM."))
        .unwrap_err();
    assert!(error.contains("short, medium, long, full"), "{error}");
}

#[test]
fn points_in_time_move_to_the_recipients_zone() {
    let french = locale("fr");
    assert_eq!(
        plain(french.format_datetime("2026-11-24T05:37:09.123456+00:00", None)),
        "24 nov. 2026, 06:37"
    );
    // Summer time, and the day changes.
    assert_eq!(
        plain(french.format_date("2026-06-30T23:30:00+00:00", None)),
        "1 juil. 2026"
    );
    // Local already.
    assert_eq!(
        plain(french.format_datetime("2026-11-24 05:37:09", None)),
        "24 nov. 2026, 05:37"
    );
    assert_eq!(
        plain(french.format_datetime("2026-11-24", Some("short"))),
        "24/11/2026 00:00"
    );
    assert_eq!(
        plain(Locale::new("fr", "").format_datetime("2026-11-24 05:37:09+02", None)),
        "24 nov. 2026, 03:37"
    );
}

#[test]
fn bad_dates_are_errors() {
    let english = locale("en");
    for value in [
        "",
        "tomorrow",
        "2026-13-01",
        "2026-02-30",
        "infinity",
        "0044-03-15 BC",
        "12",
    ] {
        assert!(english.format_date(value, None).is_err(), "{value}");
        assert!(english.format_datetime(value, None).is_err(), "{value}");
    }
}

#[test]
fn an_unknown_zone_fails_no_mail() {
    let nowhere = Locale::new("en", "Europe/Atlantis");
    assert_eq!(
        plain(nowhere.format_datetime("2026-11-24T05:37:09+00:00", None)),
        plain(Locale::new("en", "").format_datetime("2026-11-24T05:37:09+00:00", None))
    );
    assert!(nowhere.format_date("2026-11-24", None).is_ok());
}

#[test]
fn numbers_are_grouped_and_rounded() {
    assert_eq!(
        plain(locale("fr").format_number("1234567.50", None)),
        "1 234 567,50"
    );
    assert_eq!(
        plain(locale("de").format_number("-1234567.125", Some(2))),
        "-1.234.567,13"
    );
    assert_eq!(plain(locale("en").format_number("1e3", Some(1))), "1,000.0");
    assert_eq!(plain(locale("en").format_number("0.5", Some(0))), "1");
    for (value, decimals, shown) in [
        ("-0.001", Some(2), "0.00"),
        ("-0.005", Some(2), "-0.01"),
        ("-0", None, "0"),
        ("-0.5", None, "-0.5"),
        (
            "12345678901234567890123456789.123456789012345678901",
            None,
            "12,345,678,901,234,567,890,123,456,789.123456789012345678901",
        ),
    ] {
        assert_eq!(plain(locale("en").format_number(value, decimals)), shown);
    }
    assert_eq!(
        plain(locale("en-IN").format_number("12345678", None)),
        "1,23,45,678"
    );
    assert_eq!(
        plain(locale("hi").format_number("12345678", None)),
        "1,23,45,678"
    );
    for value in ["", "NaN", "Infinity", "1,5", "abc", "0x10"] {
        assert!(locale("en").format_number(value, None).is_err(), "{value}");
    }
}

#[test]
fn amounts_have_the_decimals_of_their_currency() {
    for (value, shown) in [("-0.004", "€0.00"), ("-0.006", "-€0.01"), ("-0", "€0.00")] {
        assert_eq!(plain(locale("en").format_currency(value, "EUR")), shown);
    }
    assert_eq!(
        plain(locale("fr").format_currency("1234.5", "EUR")),
        "1 234,50 €"
    );
    assert_eq!(
        plain(locale("en").format_currency("1234.5", "EUR")),
        "€1,234.50"
    );
    assert_eq!(
        plain(locale("nl").format_currency("-1234.567", "eur")),
        "€ -1.234,57"
    );
    assert_eq!(
        plain(locale("ja").format_currency("1234", "JPY")),
        "￥1,234"
    );
    assert_eq!(
        plain(locale("en").format_currency("1234.5", "JPY")),
        "¥1,235"
    );
    assert_eq!(
        plain(locale("de").format_currency("19.99", "CHF")),
        "19,99 CHF"
    );
    assert!(
        locale("en")
            .format_currency("1", "EURO")
            .unwrap_err()
            .contains("EURO")
    );
    assert!(locale("en").format_currency("one", "EUR").is_err());
}

#[test]
fn durations_are_words() {
    for (value, expected) in [
        (
            "3 days 04:05:06.789",
            "3 days, 4 hours, 5 minutes, 6 seconds",
        ),
        ("1 mon", "1 month"),
        ("1 year 2 mons", "1 year, 2 months"),
        ("-1 days -02:00:00", "-1 day, 2 hours"),
        ("1 day -01:00:00", "23 hours"),
        ("36:00:00", "1 day, 12 hours"),
        (
            "P1Y2M3DT4H5M6S",
            "1 year, 2 months, 3 days, 4 hours, 5 minutes, 6 seconds",
        ),
        ("PT90M", "1 hour, 30 minutes"),
        ("5400", "1 hour, 30 minutes"),
        ("00:00:00", "0 seconds"),
    ] {
        assert_eq!(
            plain(locale("en").format_timedelta(value, None)),
            expected,
            "{value}"
        );
    }
    assert_eq!(
        plain(locale("fr").format_timedelta("2 days", None)),
        "2 jours"
    );
    assert_eq!(
        plain(locale("de").format_timedelta("01:30:00", Some("medium"))),
        "1 Std., 30 Min."
    );
    assert_eq!(
        plain(locale("en").format_timedelta("01:30:00", Some("short"))),
        "1h 30m"
    );
}

#[test]
fn bad_durations_are_errors() {
    for value in [
        "",
        "soon",
        "3 fortnights",
        "days",
        "04:61:00",
        "1:2:3:4",
        "1 mon -40 days",
        "9223372036854775807 years",
        "1e300",
        "NaN",
        "P",
        "infinity",
    ] {
        assert!(
            locale("en").format_timedelta(value, None).is_err(),
            "{value}"
        );
    }
}
