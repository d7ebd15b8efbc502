//! An engine among a database, servers and a clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use super::clock::ManualClock;
use super::database::Database;
use super::network::Network;
use crate::delivery::clock::Clock;
use crate::delivery::engine::Engine;
use crate::delivery::host::{Counts, Host, State};
use crate::delivery::server::definition::{Definition, Kind};
use crate::delivery::store::ServerRow;

/// What the process shows.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) state: Option<State>,
    pub(super) error: Option<String>,
    pub(super) log: Vec<String>,
    pub(super) counts: Counts,
}

#[derive(Clone, Default)]
pub(super) struct Display(Arc<Mutex<Shown>>);

impl Host for Display {
    fn is_stopping(&self) -> bool {
        false
    }

    fn wait(&mut self, _patience: Duration) {}

    fn sleep(&mut self, _pause: Duration) {}

    fn show_state(&mut self, state: State) {
        self.0.lock().unwrap().state = Some(state);
    }

    fn show_error(&mut self, error: &str) {
        self.0.lock().unwrap().error = Some(error.to_owned());
    }

    fn clear_error(&mut self) {
        self.0.lock().unwrap().error = None;
    }

    fn count(&mut self, counts: Counts) {
        let mut shown = self.0.lock().unwrap();
        shown.counts.sent += counts.sent;
        shown.counts.failed += counts.failed;
        shown.counts.retried += counts.retried;
    }

    fn log(&mut self, message: &str) {
        self.0.lock().unwrap().log.push(message.to_owned());
    }

    fn warn(&mut self, message: &str) {
        self.log(message);
    }
}

pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) database: Database,
    pub(super) network: Network,
    pub(super) engine: Engine<Database, Network, Display>,
    display: Display,
    runtime: Runtime,
}

impl World {
    /// With so many mails due.
    pub(super) fn with(mails: usize) -> Self {
        let clock = ManualClock::new();
        let database = Database::new(&clock);
        database.queue(mails);
        let network = Network::new();
        let display = Display::default();
        // One thread, so that tasks run only while run_tasks() lets them.
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let engine = Engine::new(
            (
                database.clone(),
                display.clone(),
                Arc::clone(&clock) as Clock,
            ),
            (network.clone(), runtime.handle().clone(), Arc::new(|| {})),
            None,
        );
        World {
            clock,
            database,
            network,
            engine,
            display,
            runtime,
        }
    }

    /// Adds a row to smtp_server.
    pub(super) fn add_server(&self, name: &str, priority: i32, limited: bool) {
        if let Ok(settings) = &mut self.database.tables().settings {
            settings.servers.push(ServerRow {
                definition: Definition {
                    kind: Kind::Mail,
                    name: name.to_owned(),
                    url: format!("smtp://{name}.example"),
                    password: None,
                    token_file: None,
                    sender_domain: None,
                    priority,
                    weight: 1,
                    connections: 2,
                    timeout: Duration::ZERO,
                    limited,
                },
                password_file: None,
            });
        }
    }

    /// Lets all tasks run until each of them waits for something.
    pub(super) fn run_tasks(&self) {
        self.runtime.block_on(async {
            for _ in 0..500 {
                yield_now().await;
            }
        });
    }

    /// A turn of the loop, and what its tasks do; gives how long the engine would sleep.
    pub(super) fn turn(&mut self) -> Duration {
        let sleep = self.engine.tick(false);
        self.run_tasks();
        sleep
    }

    pub(super) fn turns(&mut self, turns: usize) {
        for _ in 0..turns {
            self.turn();
        }
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.display.0.lock().unwrap()
    }
}
