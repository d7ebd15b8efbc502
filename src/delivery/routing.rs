//! Which server takes a mail: servers for the sender's domain come before general ones, lower priorities first, equals share by
//! weight. A server is passed over while it is out of reach, while all its connections hang, and when its warm-up allows no more
//! today; a server that merely has no token at the moment is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::Admission;
use super::server::Server;

/// A mail that finds no server is looked at again after this time at the latest: an administrator may have changed the limits.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub(super) enum Choice {
    Server(Arc<Server>, Admission),
    /// None of its servers takes it now.
    Wait(Duration),
    /// No server takes mail from this domain.
    Nobody,
}

/// Orders servers as choose() wants them.
pub(super) fn sort(servers: &mut [Arc<Server>]) {
    servers.sort_by_key(|server| rank(server));
}

fn rank(server: &Server) -> (bool, i32) {
    let definition = &server.definition;
    (definition.sender_domain.is_none(), definition.priority)
}

/// Chooses a server for a mail from `domain`, and takes a token of it.
pub(super) fn choose(servers: &[Arc<Server>], domain: Option<&str>, now: Instant) -> Choice {
    let takes = |server: &&Arc<Server>| {
        let its_domain = server.definition.sender_domain.as_deref();
        its_domain.is_none() || its_domain == domain
    };
    let candidates: Vec<&Arc<Server>> = servers.iter().filter(takes).collect();
    if candidates.is_empty() {
        return Choice::Nobody;
    }
    let answering: Vec<&Arc<Server>> = candidates
        .iter()
        .copied()
        .filter(|server| !server.is_stuck())
        .collect();
    let candidates = match answering.is_empty() {
        true => candidates,
        false => answering,
    };
    let mut wait = LONGEST_WAIT;
    for group in candidates.chunk_by(|one, other| rank(one) == rank(other)) {
        let (usable, others): (Vec<&Arc<Server>>, Vec<_>) = group.iter().partition(|server| {
            !server.is_exhausted() && server.breaker.admits_in(now) == Some(Duration::ZERO)
        });
        for server in others.iter().filter(|server| !server.is_exhausted()) {
            // While a probe is on its way, soon.
            let admits_in = server
                .breaker
                .admits_in(now)
                .unwrap_or(Duration::from_secs(1));
            wait = wait.min(admits_in);
        }
        if usable.is_empty() {
            continue;
        }
        let ready: Vec<&Arc<Server>> = usable
            .iter()
            .copied()
            .filter(|server| server.has_token())
            .collect();
        if let Some((server, admission)) = take(&ready, now) {
            return Choice::Server(server, admission);
        }
        let waits = usable.iter().map(|server| server.next_token_in(now));
        return Choice::Wait(waits.min().unwrap_or(wait).min(LONGEST_WAIT));
    }
    Choice::Wait(wait)
}

/// Takes a token of one of these servers: of one to be probed, else by smooth weighted round robin, as nginx does it. A server that
/// comes back has missed no turns that it would have to catch up with.
fn take(ready: &[&Arc<Server>], now: Instant) -> Option<(Arc<Server>, Admission)> {
    let mut order: Vec<(bool, i64, &Arc<Server>)> = ready
        .iter()
        .map(|server| {
            let weight = i64::from(server.definition.weight);
            (
                !server.breaker.is_tripped(),
                -server.advance(weight),
                *server,
            )
        })
        .collect();
    order.sort_by_key(|(is_healthy, turn, _)| (*is_healthy, *turn));
    let total: i64 = ready
        .iter()
        .map(|server| i64::from(server.definition.weight))
        .sum();
    order.into_iter().find_map(|(_, _, server)| {
        // Two mails may have looked at once.
        let admission = server.breaker.admit(now)?;
        if !server.take_token() {
            if admission == Admission::Probe {
                server.breaker.cancel_probe();
            }
            return None;
        }
        server.advance(-total);
        Some((Arc::clone(server), admission))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::server::definition::{Definition, Kind};
    use crate::delivery::tests::clock::clock;

    fn server(name: &str, sender_domain: Option<&str>, priority: i32, weight: i32) -> Arc<Server> {
        Arc::new(
            Server::new(
                Definition {
                    kind: Kind::Mail,
                    name: name.to_owned(),
                    url: format!("smtp://{name}.example"),
                    password: None,
                    token_file: None,
                    sender_domain: sender_domain.map(str::to_owned),
                    priority,
                    weight,
                    connections: 1,
                    timeout: Duration::from_secs(1),
                    limited: false,
                },
                &clock(),
            )
            .unwrap(),
        )
    }

    fn limited(name: &str, priority: i32) -> Arc<Server> {
        let mut server = server(name, None, priority, 1);
        Arc::get_mut(&mut server).unwrap().definition.limited = true;
        server
    }

    fn chosen(servers: &[Arc<Server>], domain: &str, now: Instant) -> String {
        match choose(servers, Some(domain), now) {
            Choice::Server(server, _) => server.definition.name.clone(),
            Choice::Wait(_) => "wait".to_owned(),
            Choice::Nobody => "nobody".to_owned(),
        }
    }

    #[test]
    fn the_senders_domain_then_priority_then_reach_decide() {
        let mut servers = [
            server("backup", None, 2, 1),
            server("general", None, 1, 1),
            server("news", Some("news.example"), 9, 1),
        ];
        sort(&mut servers);
        let now = Instant::now();
        assert_eq!(chosen(&servers, "news.example", now), "news");
        assert_eq!(chosen(&servers, "shop.example", now), "general");
        servers[0].breaker.trip("down".to_owned(), Instant::now());
        assert_eq!(chosen(&servers, "news.example", now), "general");
        servers[1].breaker.trip("down".to_owned(), Instant::now());
        assert_eq!(chosen(&servers, "news.example", now), "backup");
        servers[2].breaker.trip("down".to_owned(), Instant::now());
        assert_eq!(chosen(&servers, "news.example", now), "wait");
        // The pauses are over: one mail probes the best, the others go elsewhere meanwhile.
        let later = now + Duration::from_secs(100);
        assert_eq!(chosen(&servers, "news.example", later), "news");
        assert_eq!(chosen(&servers, "news.example", later), "general");
        servers[0].breaker.accepted(Admission::Probe);
        assert_eq!(chosen(&servers, "news.example", later), "news");
        assert_eq!(chosen(&servers[..1], "shop.example", later), "nobody");
    }

    #[test]
    fn equals_share_by_weight_also_after_one_was_away() {
        let servers = [server("big", None, 1, 3), server("small", None, 1, 1)];
        let count = |mails: usize| {
            let now = Instant::now();
            let names: Vec<String> = (0..mails).map(|_| chosen(&servers, "x", now)).collect();
            names.iter().filter(|name| *name == "big").count()
        };
        assert_eq!(count(400), 300);
        servers[0].breaker.trip("down".to_owned(), Instant::now());
        assert_eq!(count(400), 0);
        let later = Instant::now() + Duration::from_secs(100);
        assert_eq!(chosen(&servers, "x", later), "big");
        servers[0].breaker.accepted(Admission::Probe);
        assert!((299..=301).contains(&count(400)));
    }

    #[test]
    fn a_token_is_waited_for_and_an_exhausted_day_passed_over() {
        let servers = [limited("warming", 1), server("old", None, 2, 1)];
        let now = Instant::now();
        servers[0].refill(2, false, Duration::from_secs(1));
        assert_eq!(chosen(&servers, "x", now), "warming");
        assert_eq!(chosen(&servers, "x", now), "warming");
        let wait = |servers: &[Arc<Server>]| match choose(servers, None, now) {
            Choice::Wait(wait) => wait.as_secs(),
            _ => panic!("chosen"),
        };
        assert_eq!(wait(&servers), 1);
        assert_eq!(wait(&servers), 2);
        servers[0].refill(0, true, Duration::from_secs(1));
        assert_eq!(chosen(&servers, "x", now), "old");
        servers[0].return_token();
        assert_eq!(chosen(&servers, "x", now), "warming");
        assert_eq!(wait(&servers[..1]), LONGEST_WAIT.as_secs());
    }
}
