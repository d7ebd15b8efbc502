//! `/healthz`, `/readyz` and `/metrics`: for whoever runs a mailer.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shown;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use super::status::{Shared, Status};
use crate::delivery::host::State;
use crate::program::listener::{Listen, Listener};

/// All states, for a gauge of each.
const STATES: [State; 7] = [
    State::Starting,
    State::Idle,
    State::Sending,
    State::Unconfigured,
    State::Outdated,
    State::Disarmed,
    State::Paused,
];

/// Why it sends nothing now, though it should; None: all is well, or somebody wants it so.
fn obstacle(status: &Status) -> Option<String> {
    if !status.is_connected {
        return Some("the database is away".to_owned());
    }
    match status.state {
        State::Idle | State::Sending => None,
        state => Some(state.name().to_owned()),
    }
}

async fn ready(Shown(shared): Shown<Arc<Shared>>) -> impl IntoResponse {
    let status = shared.status();
    match obstacle(&status) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(obstacle) => {
            // Without the error: it may name hosts and users.
            (StatusCode::SERVICE_UNAVAILABLE, format!("{obstacle}\n"))
        }
    }
}

fn render(status: &Status) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, i64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: i64| [(String::new(), value)];
    let counts = status.counts;
    for (name, help, value) in [
        ("sent", "Mails that a server took.", counts.sent),
        ("failed", "Mails that were given up.", counts.failed),
        (
            "retried",
            "Attempts after which a mail is tried again.",
            counts.retried,
        ),
    ] {
        metric(
            &format!("marketing_mailer_{name}_total"),
            "counter",
            help,
            &one(value),
        );
    }
    metric(
        "marketing_mailer_database_up",
        "gauge",
        "Whether it is connected to the database.",
        &one(status.is_connected.into()),
    );
    metric(
        "marketing_mailer_state",
        "gauge",
        "1 for the state that it is in.",
        &STATES.map(|state| {
            let label = format!("{{state=\"{}\"}}", state.name());
            (label, i64::from(state == status.state))
        }),
    );
    text
}

async fn metrics(Shown(shared): Shown<Arc<Shared>>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        render(&shared.status()),
    )
}

fn app(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

/// Listens, and answers until the process ends; an error says why it cannot listen.
pub async fn serve(listen: &Listen, shared: Arc<Shared>) -> Result<(), String> {
    let listener = Listener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    tracing::info!(listen = %listener.address(), "answering /healthz, /readyz and /metrics");
    tokio::spawn(listener.serve(app(shared), None, std::future::pending()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::host::Counts;

    #[test]
    fn a_mailer_is_ready_while_it_could_send() {
        let mut status = Status {
            state: State::Idle,
            error: Some("user secret at host".to_owned()),
            counts: Counts {
                sent: 3,
                failed: 2,
                retried: 1,
            },
            is_connected: true,
        };
        assert_eq!(obstacle(&status), None);
        let text = render(&status);
        for line in [
            "marketing_mailer_sent_total 3",
            "marketing_mailer_retried_total 1",
            "marketing_mailer_state{state=\"idle\"} 1",
            "marketing_mailer_state{state=\"paused\"} 0",
            "marketing_mailer_database_up 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        assert!(!text.contains("secret"));
        status.state = State::Disarmed;
        assert_eq!(obstacle(&status).as_deref(), Some("disarmed"));
        status.is_connected = false;
        assert_eq!(obstacle(&status).as_deref(), Some("the database is away"));
    }
}
