//! Servers in memory, which answer as a test says.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use crate::delivery::channel::{Answer, Channel};
use crate::delivery::compose;
use crate::delivery::diagnostic::Diagnostic;
use crate::delivery::job::{Call, Job, Prepared, ReadyMail};
use crate::delivery::outcome::Outcome;
use crate::delivery::server::Server;
use crate::smtp::{Scope, Step, judge};

/// A message that a server has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: i64,
    pub(super) attempt: i32,
    pub(super) server: String,
}

/// What a server says to a message: its word and a reply.
pub(super) type Script = Box<dyn FnMut(&Seen) -> (Word, &'static str) + Send>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Accept,
    Doubt,
    Disconnect,
    Defer,
    Refuse,
    /// This message alone.
    Reject,
    /// Nothing for so many seconds.
    Overload(u64),
    /// What its reply means at this step.
    Say(Step),
}

pub(super) struct Servers {
    pub(super) seen: Vec<Seen>,
    pub(super) connected: usize,
    /// Connections that were closed in good order.
    pub(super) left: usize,
    /// Servers that cannot be reached.
    pub(super) down: HashSet<&'static str>,
    /// While it is set, what has been handed over waits for its answer.
    pub(super) hangs: bool,
    pub(super) script: Script,
}

#[derive(Clone)]
pub(super) struct Network {
    servers: Arc<Mutex<Servers>>,
    answered: Arc<Notify>,
}

impl Network {
    pub(super) fn new() -> Self {
        Network {
            servers: Arc::new(Mutex::new(Servers {
                seen: Vec::new(),
                connected: 0,
                left: 0,
                down: HashSet::new(),
                hangs: false,
                script: Box::new(|_| (Word::Accept, "250 2.0.0 ok")),
            })),
            answered: Arc::default(),
        }
    }

    pub(super) fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap()
    }

    /// Answers to all that waits.
    pub(super) fn answer(&self) {
        self.servers().hangs = false;
        self.answered.notify_waiters();
    }

    pub(super) fn script(
        &self,
        script: impl FnMut(&Seen) -> (Word, &'static str) + Send + 'static,
    ) {
        self.servers().script = Box::new(script);
    }

    /// How many messages a server has seen.
    pub(super) fn seen_by(&self, server: &str) -> usize {
        let servers = self.servers();
        servers
            .seen
            .iter()
            .filter(|seen| seen.server == server)
            .count()
    }
}

impl Channel for Network {
    type Connection = String;
    type Message = (i64, i32);

    fn takes(&self, channel: &str) -> bool {
        matches!(channel, "mail" | "webhook")
    }

    fn prepare(&self, job: &Job) -> Result<Prepared, Outcome> {
        match job.mail.target {
            None => compose::render(job).map(Prepared::Mail),
            Some(_) => Ok(Prepared::Webhook(Call {
                path: "/".to_owned(),
                body: "{}".to_owned(),
            })),
        }
    }

    fn compose(&self, ready: &ReadyMail, date: SystemTime) -> Result<(i64, i32), Outcome> {
        if ready.job.mail.target.is_none() {
            compose::compose(ready, date)?;
        }
        Ok((ready.job.mail.id, ready.job.mail.attempt))
    }

    async fn connect(&self, server: &Server) -> Result<String, String> {
        let mut servers = self.servers();
        if servers.down.contains(server.definition.name.as_str()) {
            return Err("connection refused".to_owned());
        }
        servers.connected += 1;
        Ok(server.definition.name.clone())
    }

    fn is_open(&self, _server: &String) -> bool {
        true
    }

    async fn deliver(
        &self,
        _server: &Server,
        server: &mut String,
        (id, attempt): &(i64, i32),
    ) -> Answer {
        let seen = Seen {
            id: *id,
            attempt: *attempt,
            server: server.clone(),
        };
        let answered = self.answered.notified();
        let hangs = {
            let mut servers = self.servers();
            servers.seen.push(seen.clone());
            servers.hangs
        };
        if hangs {
            answered.await;
        }
        let (word, reply) = (self.servers().script)(&seen);
        let reply = Diagnostic::reply(reply.to_owned());
        match word {
            Word::Accept => Answer::Accepted(reply),
            Word::Doubt => Answer::InDoubt(reply),
            Word::Disconnect => Answer::Disconnected(reply),
            Word::Defer => Answer::Deferred(reply),
            Word::Refuse => Answer::Refused(reply),
            Word::Reject => Answer::Rejected(reply),
            Word::Overload(seconds) => Answer::Overloaded(Diagnostic {
                retry_after: Some(Duration::from_secs(seconds)),
                ..reply
            }),
            Word::Say(step) => {
                let verdict = judge(step, reply.code.unwrap_or_default(), &reply.text);
                let reply = Diagnostic {
                    verdict: Some(verdict),
                    ..reply
                };
                match verdict.scope {
                    Scope::Server | Scope::Session => Answer::Unavailable(reply),
                    _ if verdict.is_final => Answer::Refused(reply),
                    _ => Answer::Deferred(reply),
                }
            }
        }
    }

    async fn quit(&self, _server: String) {
        self.servers().left += 1;
    }
}
