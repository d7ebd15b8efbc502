//! Webhooks among mails: each to its target, with its own breaker.

use std::time::Duration;

use super::network::Word;
use super::world::World;
use crate::delivery::host::State;
use crate::delivery::server::definition::Definition;
use crate::delivery::store::ServerRow;

const CRM: &str = "https://crm.example";
const GONE: &str = "https://gone.example";

impl World {
    /// Adds a row to webhook_target.
    fn add_target(&self, origin: &str) {
        if let Ok(settings) = &mut self.database.tables().settings {
            let timeout = Duration::from_secs(10);
            settings.targets.push(ServerRow {
                definition: Definition::of_target(origin.to_owned(), false, 2, timeout),
                password_file: None,
            });
        }
    }

    /// Makes webhooks of the first rows.
    fn post(&self, rows: usize, target: &'static str) {
        for row in &mut self.database.tables().rows[..rows] {
            (row.channel, row.target) = ("webhook", Some(target));
        }
    }
}

#[test]
fn webhooks_go_to_their_target_and_mails_to_servers() {
    let mut world = World::with(10);
    world.add_target(CRM);
    world.add_target(GONE);
    world.post(4, CRM);
    world.turns(4);
    assert_eq!(world.database.count("sent"), 10);
    assert_eq!(world.network.seen_by(CRM), 4);
    assert_eq!(world.network.seen_by(GONE), 0);
    assert_eq!(world.network.seen_by("smtp_url"), 6);
}

#[test]
fn a_target_that_was_listed_since_is_known_at_once() {
    let mut world = World::with(0);
    world.turns(2);
    world.add_target(CRM);
    world.database.queue(3);
    world.post(3, CRM);
    world.turns(4);
    assert_eq!(world.database.count("sent"), 3);
}

#[test]
fn what_has_changed_about_a_target_counts_for_the_next_claim() {
    let mut world = World::with(0);
    world.add_target(CRM);
    world.turns(2);
    if let Ok(settings) = &mut world.database.tables().settings {
        settings.targets[0].definition.connections = 0;
    }
    world.database.queue(3);
    world.post(3, CRM);
    world.pass(2);
    world.turns(4);
    assert_eq!(world.database.count("sent"), 0);
}

#[test]
fn what_has_no_target_here_is_tried_again() {
    let mut world = World::with(2);
    world.post(1, CRM);
    world.turns(4);
    assert_eq!(world.database.count("sent"), 1);
    let row = world.database.tables().rows[0].clone();
    assert_eq!((row.state, row.attempts), ("queued", 1));
    assert!(row.reply.unwrap().contains("cannot be used here"));
}

#[test]
fn a_target_that_asks_for_a_pause_gets_one_and_mails_go_on() {
    let mut world = World::with(30);
    world.add_target(CRM);
    world.post(20, CRM);
    world.network.script(|seen| match seen.server == CRM {
        true => (Word::Overload(300), "429 Too Many Requests"),
        false => (Word::Accept, "250 ok"),
    });
    world.turns(12);
    assert_eq!(world.database.count("sent"), 10);
    let tried = world.network.seen_by(CRM);
    // What was on its way when the first answer came.
    assert!((1..=2).contains(&tried), "{tried}");
    world.pass(290);
    world.turns(4);
    assert_eq!(world.network.seen_by(CRM), tried);
    world.network.script(|_| (Word::Accept, "204 No Content"));
    for _ in 0..10 {
        world.pass(120);
        world.turns(4);
    }
    assert_eq!(world.database.count("sent"), 30);
}

#[test]
fn while_no_mail_server_answers_webhooks_go_on_and_it_says_paused() {
    let mut world = World::with(10);
    world.add_target(CRM);
    world.post(5, CRM);
    world.network.servers().down.insert("smtp_url");
    world.turns(12);
    assert_eq!(world.database.count("sent"), 5);
    assert_eq!(world.network.seen_by(CRM), 5);
    assert_eq!(world.shown().state, Some(State::Paused));
    world.network.servers().down.clear();
    for _ in 0..5 {
        world.pass(60);
        world.turns(6);
    }
    assert_eq!(world.database.count("sent"), 10);
    assert_eq!(world.shown().state, Some(State::Idle));
}

#[test]
fn twenty_that_are_refused_alike_fail_and_the_next_is_tried() {
    let mut world = World::with(30);
    world.add_target(CRM);
    world.post(30, CRM);
    world.network.script(|_| (Word::Reject, "404 Not Found"));
    world.turns(8);
    world.pass(2);
    world.turns(8);
    assert_eq!(world.database.count("failed"), 30);
    assert!(world.database.tables().dead_mailboxes.is_empty());
}
