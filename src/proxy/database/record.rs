//! Records hits, a batch at a time.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

use super::error::DatabaseError;
use super::session::Session;
use crate::proxy::hit::{Answer, Hit};

/// For a batch; more than the server's own limit, so that this ends only what the server did not. Twice this is less than
/// the time limit of a request.
const RECORD_TIMEOUT: Duration = Duration::from_secs(4);

const RECORD: &str = "select n, known, location from marketing_automation.record_events($1, $2, $3, $4, $5, $6, $7, $8)";
const IS_STANDBY: &str = "select pg_catalog.pg_is_in_recovery()";

/// Prepares the statement that hits are recorded with.
pub(super) async fn prepare(client: &Client) -> Result<Statement, Error> {
    let types = [
        Type::UUID_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TIMESTAMPTZ_ARRAY,
        Type::TEXT_ARRAY,
        Type::INET_ARRAY,
        Type::TEXT_ARRAY,
        Type::INT4_ARRAY,
    ];
    client.prepare_typed(RECORD, &types).await
}

/// The hits of a batch as the arrays that record_events() takes.
struct Columns<'a> {
    ids: Vec<Uuid>,
    kinds: Vec<&'static str>,
    tokens: Vec<&'a str>,
    times: Vec<SystemTime>,
    methods: Vec<&'static str>,
    addresses: Vec<Option<IpAddr>>,
    user_agents: Vec<Option<&'a str>>,
    /// The positions, from 1, of hits whose answers are asked for.
    asked: Vec<i32>,
}

impl<'a> Columns<'a> {
    fn with_capacity(hits: usize) -> Self {
        Self {
            ids: Vec::with_capacity(hits),
            kinds: Vec::with_capacity(hits),
            tokens: Vec::with_capacity(hits),
            times: Vec::with_capacity(hits),
            methods: Vec::with_capacity(hits),
            addresses: Vec::with_capacity(hits),
            user_agents: Vec::with_capacity(hits),
            asked: Vec::new(),
        }
    }

    fn push(&mut self, hit: &'a Hit) {
        self.ids.push(hit.id);
        self.kinds.push(hit.kind.name());
        self.tokens.push(&hit.token);
        self.times.push(hit.occurred_at);
        self.methods.push(hit.method.name());
        self.addresses.push(hit.address);
        self.user_agents.push(hit.user_agent.as_deref());
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.ids,
            &self.kinds,
            &self.tokens,
            &self.times,
            &self.methods,
            &self.addresses,
            &self.user_agents,
            &self.asked,
        ]
    }
}

impl Session {
    /// Records no hits: meets the same locks and rights as recording some. A standby is told by a question, as each attempt that it
    /// refuses would be an error in its log.
    pub async fn probe(&self) -> Result<(), DatabaseError> {
        let asked = self.client.query_typed_one(IS_STANDBY, &[]);
        let row = timeout(RECORD_TIMEOUT, asked)
            .await
            .map_err(|_| DatabaseError::Timeout)??;
        if row.try_get(0)? {
            return Err(DatabaseError::Standby);
        }
        self.record([].into_iter()).await.map(drop)
    }

    /// Records hits in one transaction, each with whether it need only be kept, because its answer is known already; the
    /// answers are in the order of the hits. They are durable when this returns. After a timeout they may be recorded all
    /// the same, and the session is of no more use.
    pub async fn record<'a>(
        &self,
        hits: impl ExactSizeIterator<Item = (&'a Hit, bool)>,
    ) -> Result<Vec<Answer>, DatabaseError> {
        let mut columns = Columns::with_capacity(hits.len());
        let mut answers = Vec::with_capacity(hits.len());
        for (hit, known) in hits {
            columns.push(hit);
            answers.push(known.then(Answer::kept));
            if !known {
                columns
                    .asked
                    .push(i32::try_from(answers.len()).unwrap_or(i32::MAX));
            }
        }
        let rows = timeout(
            RECORD_TIMEOUT,
            self.client.query(&self.record, &columns.parameters()),
        )
        .await
        .map_err(|_| DatabaseError::Timeout)??;
        for row in &rows {
            let n = usize::try_from(row.try_get::<_, i32>(0)?).unwrap_or_default();
            let answer = Answer {
                known: row.try_get(1)?,
                location: row.try_get(2)?,
            };
            if let Some(slot) = n.checked_sub(1).and_then(|index| answers.get_mut(index)) {
                *slot = Some(answer);
            }
        }
        let hits = answers.len();
        let complete: Option<Vec<Answer>> = answers.into_iter().collect();
        complete.ok_or(DatabaseError::Answers {
            rows: rows.len(),
            hits,
        })
    }
}
