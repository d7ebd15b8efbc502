//! Files that mails take along.

use super::world::World;
use crate::mail::attachment::File;

impl World {
    /// Gives a mail a file of a size in MB, whose content is one of the others with the same digest.
    fn attach(&self, mail: i64, megabytes: u64, digest: Option<u8>) {
        let file = File {
            name: Some("a.pdf".to_owned()),
            content_type: Some("application/pdf".to_owned()),
            cid: None,
            size: digest.map(|_| megabytes << 20),
        };
        let mut tables = self.database.tables();
        tables.files.entry(mail).or_default().push((file, digest));
    }
}

#[test]
fn a_content_of_many_mails_is_fetched_once() {
    let mut world = World::with(10);
    (0..10).for_each(|mail| world.attach(mail, 9, Some(7)));
    world.turns(4);
    assert_eq!(world.database.count("sent"), 10);
    assert_eq!(world.database.tables().fetched, [7]);
}

#[test]
fn large_files_are_fetched_in_parts_and_all_mails_leave() {
    let mut world = World::with(20);
    (0..20).for_each(|mail| world.attach(mail, 9, Some(mail as u8)));
    world.turns(1);
    // Three times 9 MB fit into 32.
    assert_eq!(world.database.tables().fetched.len(), 3);
    world.turns(30);
    assert_eq!(world.database.count("sent"), 20);
    // None was tried and given up for want of room.
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
fn what_cannot_be_taken_along_fails_that_mail_alone() {
    let mut world = World::with(4);
    world.attach(0, 1, Some(1));
    world.attach(1, 1, None);
    (0..2).for_each(|_| world.attach(2, 6, Some(2)));
    world.turns(4);
    assert_eq!(world.database.count("sent"), 2);
    assert_eq!(world.database.count("failed"), 2);
    let reply = |mail: usize| world.database.tables().rows[mail].reply.clone().unwrap();
    assert_eq!(reply(1), "attachment \"a.pdf\" has no content");
    assert_eq!(reply(2), "its attachments have more than 10 MB together");
}

#[test]
fn without_the_database_files_are_waited_for() {
    let mut world = World::with(2);
    world.attach(1, 1, Some(1));
    world.database.tables().failing.push("contents");
    world.turns(1);
    assert_eq!(world.database.count("sent"), 0);
    world.pass(10);
    world.turns(4);
    assert_eq!(world.database.count("sent"), 2);
}
