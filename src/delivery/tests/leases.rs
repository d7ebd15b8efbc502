//! A claim is good for a second, and for nobody who has been blocked since.

use std::time::Duration;

use super::world::World;
use crate::delivery::clock::Time;

#[test]
fn a_mail_that_waits_longer_than_its_lease_is_given_back_untried() {
    let mut world = World::with(4);
    world.network.servers().hangs = true;
    world.turn();
    // The id of its link comes first.
    world.turn();
    assert_eq!(
        world.network.servers().seen.len(),
        2,
        "one for each connection"
    );
    world.pass(1);
    world.turn();
    world.pass(1);
    world.turn();
    // They were claimed again, which looks again at who must get nothing.
    assert_eq!(world.database.tables().claimed, [0, 1, 2, 3, 2, 3]);
    assert_eq!(world.network.servers().seen.len(), 2);
    world.network.answer();
    world.run_tasks();
    world.turns(5);
    assert_eq!(world.database.count("sent"), 4);
    assert_eq!(world.network.servers().seen.len(), 4);
    assert!(
        world
            .database
            .tables()
            .rows
            .iter()
            .all(|row| row.attempts == 1)
    );
}

#[test]
fn a_block_after_the_claim_keeps_the_mail_from_leaving() {
    let mut world = World::with(4);
    world.network.servers().hangs = true;
    world.turns(2);
    assert_eq!(world.network.servers().seen.len(), 2);
    // One that waits for a connection, and one that the server has already.
    world.database.block(3);
    world.database.block(0);
    world.network.answer();
    world.run_tasks();
    world.turns(5);
    let states: Vec<&str> = world
        .database
        .tables()
        .rows
        .iter()
        .map(|row| row.state)
        .collect();
    assert_eq!(states, ["sent", "sent", "sent", "suppressed"]);
    assert!(world.network.servers().seen.iter().all(|seen| seen.id != 3));
}

#[test]
fn an_unsubscription_before_the_claim_is_the_claims_business() {
    let mut world = World::with(2);
    world.database.block(1);
    world.turns(3);
    let states: Vec<&str> = world
        .database
        .tables()
        .rows
        .iter()
        .map(|row| row.state)
        .collect();
    assert_eq!(states, ["sent", "suppressed"]);
}

#[test]
fn a_process_that_hears_of_no_revocation_learns_that_nothing_leaves_within_a_second() {
    let mut world = World::with(1);
    world.database.deafen();
    world.turns(3);
    assert_eq!(world.database.count("sent"), 1);
    world.database.queue(100);
    for _ in 0..4 {
        world.engine.tick(false);
        // A machine that is so loaded that rendering takes longer than the lease.
        world.pass(2);
        world.run_tasks();
    }
    world.turn();
    assert_eq!(world.database.count("sent"), 1);
    // Leases are longer now, and it asks.
    assert!(world.database.tables().confirmations > 0);
}

#[test]
fn a_mail_does_not_leave_after_its_window_has_closed() {
    let mut world = World::with(4);
    let closes_at = world.clock.now() + Duration::from_millis(500);
    for row in &mut world.database.tables().rows {
        row.closes_at = Some(closes_at);
    }
    world.network.servers().hangs = true;
    world.turns(2);
    assert_eq!(world.network.servers().seen.len(), 2);
    // Well within the lease of a second.
    world.clock.advance(Duration::from_millis(500));
    world.network.answer();
    world.run_tasks();
    world.turns(5);
    let left: Vec<(&str, i32)> = world.database.tables().rows[2..]
        .iter()
        .map(|row| (row.state, row.attempts))
        .collect();
    assert_eq!(left, [("queued", 0), ("queued", 0)]);
    assert_eq!(world.network.servers().seen.len(), 2);
}
