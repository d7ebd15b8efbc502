//! What is claimed, how much at once, and that each mail leaves once.

use std::time::Duration;

use super::world::World;
use crate::delivery::host::{Counts, State};
use crate::delivery::store::Share;

#[test]
fn each_due_mail_is_sent_and_recorded_once() {
    let mut world = World::with(300);
    world.turns(12);
    assert_eq!(world.database.count("sent"), 300);
    let mut ids: Vec<i64> = world
        .network
        .servers()
        .seen
        .iter()
        .map(|seen| seen.id)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..300).collect::<Vec<i64>>());
    assert_eq!(
        world.database.tables().rows[7].server.as_deref(),
        Some("main.example:587")
    );
    // Its links were stored once, and connections used again.
    assert_eq!(world.database.tables().links.len(), 1);
    assert!(world.network.servers().connected <= 2);
    let sent = Counts {
        sent: 300,
        ..Counts::default()
    };
    assert_eq!(world.shown().counts, sent);
    assert_eq!(world.shown().state, Some(State::Idle));
}

#[test]
fn claims_grow_while_leases_hold_and_two_at_most_are_in_flight() {
    let mut world = World::with(2000);
    world.turns(14);
    let claims = world.database.tables().claims.clone();
    assert_eq!(
        claims[..6],
        [4, 4, 8, 16, 32, 64],
        "twice the connections, then doubled"
    );
    assert_eq!(claims.iter().max(), Some(&500));
    let mut world = World::with(2000);
    world.network.servers().hangs = true;
    world.turns(5);
    assert_eq!(world.database.count("sending"), 8, "two claims of four");
}

/// How many connections a process has that shares these with others.
fn connections(allowed: usize, senders: usize, place: Option<usize>) -> usize {
    let mut world = World::with(100);
    if let Ok(settings) = &mut world.database.tables().settings {
        settings.smtp_connections = allowed;
    }
    world.database.tables().share = Share { senders, place };
    world.network.servers().hangs = true;
    world.turns(5);
    let connected = world.network.servers().connected;
    assert_eq!(world.database.count("sending") > 0, connected > 0);
    connected
}

#[test]
fn all_that_send_have_together_as_many_connections_as_are_allowed() {
    for (allowed, senders) in [(9, 4), (4, 4), (2, 4), (1, 3), (8, 1)] {
        let places = (0..senders).map(|place| connections(allowed, senders, Some(place)));
        assert_eq!(places.sum::<usize>(), allowed, "{allowed} of {senders}");
    }
    // The others have not heard of it yet.
    assert_eq!(connections(9, 4, None), 0);
}

#[test]
fn who_has_no_connection_claims_nothing_until_somebody_goes() {
    let mut world = World::with(3);
    let share = |senders, place| Share {
        senders,
        place: Some(place),
    };
    world.database.tables().share = share(4, 3);
    world.turns(3);
    assert_eq!(world.turn(), Duration::from_secs(1));
    assert!(world.database.tables().claims.is_empty());
    world.database.tables().share = share(2, 1);
    world.turns(3);
    assert_eq!(world.database.count("sent"), 3);
    // And gives up what it has when others come, also while it idles.
    assert_eq!(world.network.servers().left, 0);
    world.database.tables().share = share(4, 3);
    world.turns(2);
    assert_eq!(world.network.servers().left, 1);
}

#[test]
fn an_idle_engine_sleeps_until_the_next_mail_is_due() {
    let mut world = World::with(1);
    world
        .network
        .script(|_| (super::network::Word::Defer, "451 4.7.1 greylisted"));
    world.turns(3);
    assert_eq!(world.database.count("queued"), 1);
    let sleep = world.turn();
    assert_eq!(
        sleep,
        Duration::from_secs(10),
        "it is due in a minute, settings may change before"
    );
    world.pass(3600);
    world
        .network
        .script(|_| (super::network::Word::Accept, "250 ok"));
    world.turns(3);
    assert_eq!(world.database.count("sent"), 1);
}

#[test]
fn a_database_that_is_not_armed_sends_nothing() {
    let mut world = World::with(3);
    let armed = world.database.tables().settings.clone();
    world.database.tables().settings = Err("it is a copy".to_owned());
    world.turns(3);
    assert_eq!(world.database.count("queued"), 3);
    assert_eq!(world.shown().state, Some(State::Disarmed));
    assert!(
        world
            .shown()
            .error
            .as_ref()
            .unwrap()
            .contains("marketing_automation.arm()")
    );
    // It looks again at each turn, since nothing else would tell it.
    world.database.tables().settings = armed;
    world.turns(3);
    assert_eq!(world.database.count("sent"), 3);
    assert_eq!(world.shown().error, None);
}

#[test]
fn a_missing_setting_is_named_and_stops_sending() {
    let mut world = World::with(3);
    if let Ok(settings) = &mut world.database.tables().settings {
        settings.smtp_url = None;
    }
    world.turns(2);
    assert_eq!(world.shown().state, Some(State::Unconfigured));
    let error = world.shown().error.clone();
    assert_eq!(
        error.as_deref(),
        Some("marketing_automation.smtp_url is not set")
    );
    assert_eq!(world.database.count("queued"), 3);
}

#[test]
fn what_nothing_here_delivers_waits_for_somebody_who_can() {
    let mut world = World::with(2);
    world.database.tables().rows[0].channel = "pigeon";
    world.turns(3);
    let row = world.database.tables().rows[0].clone();
    assert_eq!(
        (row.state, row.reply.as_deref()),
        ("queued", Some("nothing here delivers by \"pigeon\""))
    );
    assert_eq!(world.database.tables().rows[1].state, "sent");
    assert_eq!(world.network.servers().seen.len(), 1);
}

#[test]
fn an_error_of_the_store_pauses_claiming_and_loses_nothing() {
    let mut world = World::with(4);
    world.database.tables().failing = vec!["claim"];
    assert_eq!(world.turn(), Duration::from_secs(5));
    assert_eq!(world.shown().error.as_deref(), Some("claim failed"));
    world.turns(3);
    assert_eq!(
        world.database.count("queued"),
        4,
        "it waits for five seconds"
    );
    world.pass(5);
    world.turns(3);
    assert_eq!(world.database.count("sent"), 4);
    assert_eq!(world.shown().log, ["claim failed"]);
}

#[test]
fn mails_whose_templates_or_links_cannot_be_read_are_given_back_untried() {
    for call in ["templates", "link_ids"] {
        let mut world = World::with(4);
        world.database.tables().failing = vec![call];
        world.turns(3);
        let rows = world.database.tables().rows.clone();
        assert!(
            rows.iter()
                .all(|row| (row.state, row.attempts) == ("queued", 0)),
            "{call}: {rows:?}"
        );
        assert!(world.network.servers().seen.is_empty());
        world.pass(5);
        world.turns(4);
        assert_eq!(world.database.count("sent"), 4, "{call}");
    }
}
