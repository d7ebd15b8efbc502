//! The servers of the configuration, and those of earlier ones that still have mails.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::delivery::breaker::Transition;
use crate::delivery::channel::Channel;
use crate::delivery::host::Host;
use crate::delivery::outcome::Delivered;
use crate::delivery::server::Server;
use crate::delivery::store::Store;
use crate::mail::addresses_in_text;

impl<S: Store, C: Channel, H: Host> Engine<S, C, H> {
    pub(super) fn servers(&self) -> &[Arc<Server>] {
        self.configuration
            .as_ref()
            .map_or(&[], |configuration| &configuration.servers)
    }

    pub(super) fn is_any_away(&self) -> bool {
        let now = self.now();
        let is_away = |server: &Arc<Server>| server.is_away() || server.rests.has_resting(now);
        self.servers().iter().any(is_away)
    }

    /// Keeps the servers that are none of ours any more until their last mail has ended.
    pub(super) fn retire(&mut self, former: Vec<Arc<Server>>) {
        self.retired.extend(former);
        let mut retired = std::mem::take(&mut self.retired);
        let is_current =
            |server: &Arc<Server>| self.servers().iter().any(|one| Arc::ptr_eq(one, server));
        retired.retain(|server| !is_current(server) && server.queue.is_busy());
        self.retired = retired;
    }

    /// Takes back the mails whose leases expired while they waited for a connection.
    pub(super) fn take_expired(&mut self) {
        let servers = self.servers().iter().chain(&self.retired);
        let expired: Vec<Delivered> = servers.flat_map(|server| server.take_expired()).collect();
        self.delivered.extend(expired);
    }

    /// Mails at servers that get no others now: they may hang there for minutes, and nobody else must wait for them.
    pub(super) fn hanging(&self) -> usize {
        let servers = self.servers().iter();
        servers
            .filter(|server| server.is_away())
            .chain(&self.retired)
            .map(|server| server.queue.busy())
            .sum()
    }

    /// Reports which servers are away or back. Mails of a server that is away go to other servers, or were given back.
    pub(super) fn report_servers(&mut self) {
        for server in self.servers().to_vec() {
            if let Some(is_stuck) = server.stuck_transition() {
                let patience = server.definition.timeout;
                let reason = format!(
                    "all connections to {} have waited for a reply for {} s",
                    server.label,
                    patience.as_secs()
                );
                if is_stuck || !server.breaker.is_tripped() {
                    self.report_server(&server, is_stuck.then_some((reason, patience)));
                }
            }
            match server.breaker.take_transition() {
                Some(Transition::Tripped { reason, pause }) => {
                    self.report_server(&server, Some((reason, pause)));
                }
                Some(Transition::Recovered) => self.report_server(&server, None),
                None => {}
            }
        }
    }

    /// Notes why a server is left alone for a while, or that it is back.
    fn report_server(&mut self, server: &Server, away: Option<(String, Duration)>) {
        let name = &server.definition.name;
        let away = away.map(|(reason, pause)| (addresses_in_text::without(&reason), pause));
        let noted = away
            .as_ref()
            .map(|(reason, pause)| (pause.as_secs_f64(), reason.as_str()));
        let noted = self.store.report_server(name, noted);
        self.checked(noted);
        if let Some((reason, _)) = away {
            let several = self.servers().len() > 1;
            self.note_error(match several {
                true => format!("server \"{name}\": {reason}"),
                false => reason,
            });
        }
    }
}
