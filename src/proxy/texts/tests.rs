use super::*;

const OF_SCENARIO: [Text; 6] = [
    Text::Question,
    Text::ThisKind,
    Text::Effect,
    Text::ResubscribedEffect,
    Text::ConfirmQuestion,
    Text::ConfirmedEffect,
];

#[test]
fn every_language_names_the_scenario_where_it_must_and_nowhere_else() {
    for texts in &TEXTS {
        for text in Text::ALL {
            let words = texts.text(*text);
            let expected = usize::from(OF_SCENARIO.contains(text));
            assert_eq!(words.matches("{}").count(), expected, "{words}");
            assert!(
                !words.is_empty() && !words.replace("{}", "").contains(['{', '<', '&']),
                "{words}"
            );
        }
    }
}

#[test]
fn the_database_accepts_each_text_and_no_other() {
    let schema = include_str!("../../../sql/tables/tracking.sql");
    let (_, check) = schema
        .split_once("create table marketing_automation.page_text")
        .unwrap();
    let (_, names) = check.split_once("name in (").unwrap();
    let (names, _) = names.split_once(')').unwrap();
    let accepted: Vec<&str> = names
        .split(',')
        .map(|name| name.trim().trim_matches('\''))
        .collect();
    let known: Vec<&str> = Text::ALL.iter().map(|text| text.name()).collect();
    assert_eq!(accepted, known);
}
