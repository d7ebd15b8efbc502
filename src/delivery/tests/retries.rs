//! What happens to a mail that was not taken.

use super::network::Word;
use super::world::World;

#[test]
fn a_mail_put_off_is_tried_again_until_the_window_closes() {
    let mut world = World::with(1);
    world.network.script(|_| (Word::Defer, "450 4.2.1 later"));
    let mut attempts = 0;
    while world.database.count("failed") == 0 {
        attempts += 1;
        assert!(attempts < 20);
        world.turns(3);
        world.pass(900);
    }
    let row = world.database.tables().rows[0].clone();
    assert_eq!(row.reply.as_deref(), Some("450 4.2.1 later"));
    // The window is an hour: at 0, 900, …, 3600 seconds, and once more after it.
    assert_eq!(row.attempts, 6);
    assert_eq!(world.network.servers().seen.len(), 6);
}

#[test]
fn a_mail_in_doubt_is_sent_twice_more_and_then_held() {
    let mut world = World::with(1);
    world.network.script(|_| (Word::Doubt, "connection lost"));
    for _ in 0..6 {
        world.turns(3);
        world.pass(600);
    }
    assert_eq!(world.network.servers().seen.len(), 3);
    assert_eq!(world.database.count("in_doubt"), 1);
}

#[test]
fn attempts_that_left_no_doubt_do_not_count_as_such() {
    let mut world = World::with(1);
    world.network.script(|seen| match seen.attempt {
        1..=2 => (Word::Defer, "450 4.2.1 greylisted"),
        3 => (Word::Doubt, "connection lost"),
        _ => (Word::Accept, "250 ok"),
    });
    for _ in 0..6 {
        world.turns(3);
        world.pass(600);
    }
    assert_eq!(world.database.count("sent"), 1);
}

#[test]
fn where_doubt_is_for_a_person_the_mail_is_held_at_once() {
    let mut world = World::with(1);
    world.database.tables().policy.hold = true;
    world.network.script(|_| (Word::Doubt, "connection lost"));
    world.turns(3);
    world.pass(600);
    world.turns(3);
    assert_eq!(world.network.servers().seen.len(), 1);
    assert_eq!(world.database.count("in_doubt"), 1);
}

#[test]
fn a_session_that_ends_says_nothing_about_the_mail() {
    let mut world = World::with(3);
    // Each connection takes one mail.
    let mut taken = 0;
    world.network.script(move |_| {
        taken += 1;
        match taken % 2 {
            1 => (Word::Accept, "250 ok"),
            _ => (Word::Disconnect, "closed"),
        }
    });
    world.turns(6);
    assert_eq!(world.database.count("sent"), 3);
    let attempts: Vec<i32> = world
        .database
        .tables()
        .rows
        .iter()
        .map(|row| row.attempts)
        .collect();
    assert_eq!(attempts, [1, 1, 1]);
}

#[test]
fn results_that_cannot_be_recorded_are_kept_and_the_mails_not_sent_again() {
    let mut world = World::with(4);
    world.database.tables().failing = vec!["complete", "complete"];
    world.turns(4);
    assert_eq!(world.database.count("sending"), 4);
    world.pass(5);
    world.turns(2);
    assert_eq!(world.database.count("sending"), 4);
    world.pass(5);
    world.turns(2);
    assert_eq!(world.database.count("sent"), 4);
    assert_eq!(world.network.servers().seen.len(), 4);
}
