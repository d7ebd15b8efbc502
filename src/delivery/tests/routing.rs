//! Which server takes a mail, seen from the engine.

use super::network::Word;
use super::world::World;

#[test]
fn the_next_server_takes_over_while_the_first_is_away() {
    let mut world = World::with(20);
    world.add_server("first", 1, false);
    world.add_server("second", 2, false);
    world.network.servers().down.insert("first");
    world.turns(8);
    assert_eq!(world.network.seen_by("second"), 20);
    assert!(
        world
            .shown()
            .error
            .as_ref()
            .unwrap()
            .starts_with("server \"first\": ")
    );
    world.network.servers().down.clear();
    world.pass(5);
    world.database.queue(20);
    world.turns(8);
    assert_eq!(world.database.count("sent"), 40);
    assert!(
        world.network.seen_by("first") >= 10,
        "{}",
        world.network.seen_by("first")
    );
}

#[test]
fn equal_servers_share() {
    let mut world = World::with(40);
    world.add_server("one", 1, false);
    world.add_server("two", 1, false);
    world.turns(8);
    assert_eq!(
        (world.network.seen_by("one"), world.network.seen_by("two")),
        (20, 20)
    );
}

#[test]
fn a_limited_server_takes_as_many_as_it_has_tokens() {
    let mut world = World::with(10);
    world.add_server("slow", 1, true);
    world.database.tables().tokens = 3;
    world.turns(8);
    assert_eq!(world.database.count("sent"), 3);
    assert_eq!(world.database.count("queued"), 7);
    world.database.tables().tokens = 2;
    world.pass(2);
    world.turns(4);
    assert_eq!(world.database.count("sent"), 5);
}

#[test]
fn what_all_servers_refuse_for_now_waits_and_keeps_its_tokens_spent() {
    let mut world = World::with(2);
    world.add_server("slow", 1, true);
    world.database.tables().tokens = 2;
    world.network.script(|_| (Word::Defer, "450 4.2.1 later"));
    world.turns(5);
    assert_eq!(world.network.servers().seen.len(), 2);
    assert_eq!(world.database.count("queued"), 2);
    world.pass(3600);
    world.turns(3);
    assert_eq!(world.network.servers().seen.len(), 2, "there is no token");
}

#[test]
fn a_server_removed_from_the_table_gets_nothing_more() {
    let mut world = World::with(4);
    world.add_server("old", 1, false);
    world.turns(4);
    assert_eq!(world.network.seen_by("old"), 4);
    if let Ok(settings) = &mut world.database.tables().settings {
        settings.servers.clear();
    }
    world.add_server("new", 1, false);
    world.database.queue(4);
    world.engine.tick(true);
    world.run_tasks();
    world.turns(4);
    assert_eq!(
        (world.network.seen_by("old"), world.network.seen_by("new")),
        (4, 4)
    );
}
