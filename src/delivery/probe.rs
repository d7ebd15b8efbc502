//! Tries settings out without sending anything.

use std::sync::Arc;

use super::channel::Channel;
use super::channels::any::Any;
use super::clock::Time;
use super::configuration::Configuration;
use super::host::{Counts, Host, State};
use super::server::Server;
use super::store::Settings;

/// A server that the settings describe.
pub struct Probe(Arc<Server>);

impl Probe {
    /// Connects with TLS and AUTH as configured, and leaves.
    pub async fn greet(&self) -> Result<(), String> {
        let connection = Any.connect(&self.0).await?;
        Any.quit(connection).await;
        Ok(())
    }
}

struct Now;

impl Time for Now {
    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn date(&self) -> std::time::SystemTime {
        std::time::SystemTime::now()
    }
}

/// Nobody waits, and nothing is shown.
struct Nobody;

impl Host for Nobody {
    fn is_stopping(&self) -> bool {
        false
    }
    fn wait(&mut self, _patience: std::time::Duration) {}
    fn sleep(&mut self, _pause: std::time::Duration) {}
    fn show_state(&mut self, _state: State) {}
    fn show_error(&mut self, _error: &str) {}
    fn clear_error(&mut self) {}
    fn count(&mut self, _counts: Counts) {}
    fn log(&mut self, _message: &str) {}
    fn warn(&mut self, _message: &str) {}
}

/// The servers by their names, or why one cannot be used; an error says why nothing could be sent.
#[allow(clippy::type_complexity)]
pub fn servers(settings: &Settings) -> Result<Vec<(String, Result<Probe, String>)>, String> {
    let configuration = Configuration::build(None, settings, &(Arc::new(Now) as _), &mut Nobody)
        .map_err(|missing| missing.reason)?;
    // Nothing is said to a target of webhooks but a message.
    let servers = configuration.servers.iter();
    let usable = servers.filter(|server| server.takes(None)).map(|server| {
        let name = format!("\"{}\" ({})", server.definition.name, server.label);
        (name, Ok(Probe(Arc::clone(server))))
    });
    let faults = configuration.faults();
    let unusable = faults.map(|faults| ("of smtp_server".to_owned(), Err(faults)));
    Ok(usable.chain(unusable).collect())
}
