//! What follows from a refusal, by what it is about.

use super::network::Word;
use super::world::World;
use crate::smtp::Step;

/// A reply with a recipient in it, as Postfix writes it; for the life of the test.
fn naming(id: i64, reply: &str) -> &'static str {
    let email = format!("reader-{id}@example.net");
    Box::leak(reply.replace("{}", &email).into_boxed_str())
}

#[test]
fn a_row_of_refusals_that_names_each_recipient_is_about_us_and_suppresses_nobody() {
    for reply in [
        "550 5.1.1 <{}>: Recipient address rejected: User unknown in virtual mailbox table",
        "554 5.7.1 <{}>: Relay access denied",
    ] {
        let mut world = World::with(300);
        world
            .network
            .script(move |seen| (Word::Say(Step::RcptTo), naming(seen.id, reply)));
        world.turns(20);
        assert_eq!(world.database.count("failed"), 0, "{reply}");
        assert!(world.database.tables().dead_mailboxes.is_empty());
        assert!(world.network.servers().seen.len() < 30);
        let error = world.shown().error.clone().unwrap();
        assert!(error.contains("refused with the same reply"), "{error}");
        // Once it is mended all are sent.
        world.network.script(|_| (Word::Accept, "250 ok"));
        for _ in 0..4 {
            world.pass(60);
            world.turns(12);
        }
        assert_eq!(world.database.count("sent"), 300);
    }
}

#[test]
fn a_few_dead_mailboxes_are_judged_when_nothing_more_is_to_be_said() {
    let mut world = World::with(3);
    world.network.script(|seen| {
        let reply = naming(seen.id, "550 5.1.1 <{}>: no such user");
        (Word::Say(Step::RcptTo), reply)
    });
    world.turns(6);
    assert_eq!(world.database.count("failed"), 3);
    assert_eq!(world.database.tables().dead_mailboxes.len(), 3);
}

#[test]
fn a_refused_sender_holds_up_nobody_else() {
    let mut world = World::with(106);
    // One bad sender with a hundred mails, which come first.
    for row in &mut world.database.tables().rows[100..] {
        row.activity = 2;
    }
    world.network.script(|seen| match seen.id {
        0..100 => (
            Word::Say(Step::MailFrom),
            "550 5.7.1 not allowed to send as news1",
        ),
        _ => (Word::Accept, "250 ok"),
    });
    world.turns(60);
    assert_eq!(world.database.count("sent"), 6);
    assert_eq!(world.database.count("queued"), 100);
    let tried: Vec<i32> = {
        let tables = world.database.tables();
        let rows = tables
            .rows
            .iter()
            .filter(|row| row.attempts > 0 && row.state == "queued");
        rows.map(|row| row.attempts).collect()
    };
    assert!(
        (1..=2).contains(&tried.len()),
        "{tried:?}: one, and what the other connection had"
    );
    let error = world.shown().error.clone().unwrap();
    assert!(
        error.starts_with("message ") && error.contains(" from news1@shop.example: "),
        "{error}"
    );
    // The next probe is another mail, and once one passes all do.
    world.pass(1);
    world.turns(6);
    assert_eq!(world.network.servers().seen.len(), 6 + tried.len() + 1);
    world.network.script(|_| (Word::Accept, "250 ok"));
    for _ in 0..4 {
        world.pass(60);
        world.turns(30);
    }
    assert_eq!(world.database.count("sent"), 106);
    assert_eq!(world.shown().error, None);
}

#[test]
fn a_session_that_ends_at_a_recipient_lets_his_domain_rest() {
    let mut world = World::with(300);
    for (number, row) in world.database.tables().rows.iter_mut().enumerate() {
        if number % 2 == 1 {
            row.email = format!("reader-{number}@other.example");
        }
    }
    world.network.script(|seen| match seen.id % 2 {
        0 => (
            Word::Say(Step::RcptTo),
            "421 4.7.0 try again later, closing connection",
        ),
        _ => (Word::Accept, "250 ok"),
    });
    world.turns(20);
    assert_eq!(world.database.count("sent"), 150);
    let connected = world.network.servers().connected;
    assert!(connected < 10, "{connected} connections");
    assert!(world.network.servers().seen.len() < 150 + 10);
}

#[test]
fn a_server_that_ends_every_session_rests_itself() {
    let mut world = World::with(300);
    for (number, row) in world.database.tables().rows.iter_mut().enumerate() {
        row.email = format!("reader@d{number}.example");
    }
    world
        .network
        .script(|_| (Word::Say(Step::RcptTo), "421 4.3.2 not now"));
    world.turns(20);
    assert!(world.network.servers().seen.len() < 10);
    assert_eq!(world.database.count("queued"), 300);
    assert!(world.database.tables().reports[0].contains("away"));
}

#[test]
fn a_row_of_mails_put_off_slows_their_domain_and_no_other() {
    let mut world = World::with(400);
    for (number, row) in world.database.tables().rows.iter_mut().enumerate() {
        if number % 4 == 0 {
            row.email = format!("reader-{number}@other.example");
        }
    }
    world.network.script(|seen| match seen.id % 4 {
        0 => (Word::Accept, "250 ok"),
        _ => (Word::Say(Step::RcptTo), "450 4.7.1 too fast"),
    });
    world.turns(20);
    assert_eq!(world.database.count("sent"), 100);
    let refused = world.network.servers().seen.len() - 100;
    assert!((10..15).contains(&refused), "{refused}");
    // Greylisting looks at each recipient: all are tried.
    let mut world = World::with(100);
    world
        .network
        .script(|_| (Word::Say(Step::RcptTo), "450 4.2.0 greylisted"));
    world.turns(12);
    assert_eq!(world.network.servers().seen.len(), 100);
}
