//! What a process that must stop leaves behind.

use std::thread;
use std::time::Duration;

use super::world::World;
use crate::delivery::host::State;

#[test]
fn it_gives_back_what_waits_and_waits_for_what_is_with_a_server() {
    let mut world = World::with(4);
    world.network.servers().hangs = true;
    world.turns(2);
    assert_eq!(world.network.servers().seen.len(), 2);
    world.engine.give_back();
    world.network.answer();
    world.run_tasks();
    world.engine.drain();
    let rows = world.database.tables().rows.clone();
    let sent = rows
        .iter()
        .filter(|row| (row.state, row.attempts) == ("sent", 1))
        .count();
    let untried = rows
        .iter()
        .filter(|row| (row.state, row.attempts) == ("queued", 0))
        .count();
    assert_eq!((sent, untried), (2, 2));
}

#[test]
fn what_a_server_does_not_answer_in_time_stays_in_doubt() {
    let mut world = World::with(4);
    world.network.servers().hangs = true;
    world.turns(2);
    let World { engine, clock, .. } = &mut world;
    thread::scope(|scope| {
        let stopping = scope.spawn(|| engine.drain());
        while !stopping.is_finished() {
            clock.advance(Duration::from_secs(1));
        }
    });
    assert_eq!(
        world.database.count("sending"),
        2,
        "for whoever comes next: it is in doubt"
    );
    assert_eq!(world.database.count("queued"), 2);
}

#[test]
fn while_the_sql_is_of_another_version_what_was_claimed_ends_and_nothing_else_begins() {
    let mut world = World::with(8);
    world.network.servers().hangs = true;
    world.turns(2);
    world.network.answer();
    world.run_tasks();
    let claimed = world.database.count("sending");
    world.engine.finish("run ALTER EXTENSION".to_owned());
    assert_eq!(world.database.count("sent"), claimed);
    world.engine.finish("run ALTER EXTENSION".to_owned());
    assert_eq!(world.database.count("sent"), claimed);
    assert_eq!(world.shown().state, Some(State::Outdated));
    assert_eq!(world.shown().log, ["run ALTER EXTENSION"]);
}

#[test]
fn another_session_begins_when_nothing_is_in_flight() {
    let mut world = World::with(4);
    world.network.servers().hangs = true;
    world.turns(2);
    world.database.tables().session_settings = Some("smtp_connections=3".to_owned());
    world.engine.tick(true);
    assert!(!world.engine.may_be_replaced());
    world.network.answer();
    world.run_tasks();
    world.turn();
    assert!(world.engine.may_be_replaced());
    world.database.queue(1);
    world.turns(2);
    assert_eq!(world.database.count("queued"), 1, "nothing new is claimed");
}

#[test]
fn what_others_had_in_flight_is_taken_back_before_the_first_claim() {
    let mut world = World::with(2);
    world.database.tables().rows[0].state = "sending";
    world.database.tables().rows[0].attempts = 1;
    world.turns(3);
    assert_eq!(world.database.count("sent"), 2);
    assert_eq!(world.database.tables().rows[0].attempts, 2);
}
