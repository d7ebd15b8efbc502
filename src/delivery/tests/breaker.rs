//! A server that is out of reach, or refuses everything, costs no mail.

use super::network::Word;
use super::world::World;
use crate::delivery::host::State;

#[test]
fn a_server_out_of_reach_costs_no_attempt_and_is_probed_by_one_mail() {
    let mut world = World::with(40);
    world.network.servers().down.insert("smtp_url");
    world.turns(4);
    let rows = world.database.tables().rows.clone();
    assert!(
        rows.iter()
            .all(|row| (row.state, row.attempts) == ("queued", 0))
    );
    assert_eq!(world.shown().state, Some(State::Paused));
    assert_eq!(world.database.tables().reports, ["smtp_url away for 1 s"]);
    let claims = world.database.tables().claims.len();
    world.turns(3);
    assert_eq!(
        world.database.tables().claims.len(),
        claims,
        "nothing is claimed meanwhile"
    );
    // Still down: the pause grows.
    world.pass(1);
    world.turns(4);
    assert_eq!(world.database.tables().claims.last(), Some(&1));
    assert_eq!(
        world.database.tables().reports.last().unwrap(),
        "smtp_url away for 2 s"
    );
    world.network.servers().down.clear();
    world.pass(2);
    world.turn();
    world.turn();
    world.turn();
    assert_eq!(
        world.database.tables().reports.last().unwrap(),
        "smtp_url back"
    );
    world.turns(10);
    assert_eq!(world.database.count("sent"), 40);
    assert_eq!(world.shown().error, None);
}

#[test]
fn a_server_that_refuses_everybody_with_the_same_words_costs_no_mail() {
    let mut world = World::with(200);
    world
        .network
        .script(|_| (Word::Refuse, "550 5.7.1 blocked"));
    world.turns(12);
    assert_eq!(world.database.count("queued"), 200);
    let tried = world.network.servers().seen.len();
    assert!(
        (20..=22).contains(&tried),
        "{tried}: twenty, and what each connection had"
    );
    assert!(
        world
            .shown()
            .error
            .as_ref()
            .unwrap()
            .contains("refused with the same reply")
    );
    world.network.script(|_| (Word::Accept, "250 ok"));
    world.pass(2);
    world.turns(12);
    assert_eq!(world.database.count("sent"), 200 - tried);
    world.pass(100);
    world.turns(4);
    assert_eq!(world.database.count("sent"), 200, "those were put off");
}

#[test]
fn refusals_of_single_recipients_end_their_mails_only() {
    let mut world = World::with(30);
    world.network.script(|seen| match seen.id {
        3 => (Word::Refuse, "550 5.1.1 no such user"),
        _ => (Word::Accept, "250 ok"),
    });
    world.turns(8);
    assert_eq!(world.database.count("sent"), 29);
    assert_eq!(world.database.tables().rows[3].state, "failed");
    assert_eq!(world.database.tables().dead_mailboxes, [3]);
}
