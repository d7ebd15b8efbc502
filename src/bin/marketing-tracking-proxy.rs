//! `marketing-tracking-proxy`: command line, log and signals around [`marketing_automation::proxy`].

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use marketing_automation::proxy::check::check;
use marketing_automation::proxy::listener::Listen;
use marketing_automation::proxy::spool::SpoolSettings;
use marketing_automation::proxy::{Settings, serve};
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;
use tracing_subscriber::EnvFilter;

/// Tracking proxy of the PostgreSQL extension marketing_automation: records opens and clicks, redirects, unsubscribes.
///
/// It needs a role that was granted 'tracking' (select marketing_automation.grant_access('role', 'tracking')) and
/// nothing else. Stops on SIGTERM and SIGINT after the requests under way, within 5 seconds.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen: ADDRESS:PORT or unix:/PATH
    #[arg(
        long,
        env = "MARKETING_TRACKING_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    listen: Listen,

    /// Database, as libpq connection string or URL; put a password into the environment variable, where other users
    /// cannot read it
    #[arg(long, env = "MARKETING_TRACKING_DATABASE_URL", hide_env_values = true)]
    database: String,

    /// Connections that record opens and clicks
    #[arg(long, env = "MARKETING_TRACKING_CONNECTIONS", default_value_t = 2,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=16))]
    connections: usize,

    /// Directory in which hits are kept while the database is away, one for each proxy; without it they get 503
    #[arg(long, env = "MARKETING_TRACKING_SPOOL", value_name = "DIRECTORY")]
    spool: Option<PathBuf>,

    /// Largest size of the spool, in megabytes; more hits get 503
    #[arg(
        long,
        env = "MARKETING_TRACKING_SPOOL_LIMIT",
        value_name = "MB",
        default_value_t = 1024
    )]
    spool_limit: u64,

    /// What to log: error, warn, info or debug
    #[arg(long, env = "MARKETING_TRACKING_LOG", default_value = "info")]
    log: EnvFilter,

    /// Connect, call every SQL function without effect, say what is wrong, and exit with 0 or 1
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.check {
        let report = check(&arguments.listen, &arguments.database).await;
        for line in &report.lines {
            println!("{line}");
        }
        return if report.failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    tracing_subscriber::fmt()
        .with_env_filter(arguments.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let settings = Settings {
        listen: arguments.listen,
        database: arguments.database,
        connections: arguments.connections,
        spool: arguments.spool.map(|directory| SpoolSettings {
            directory,
            limit: arguments.spool_limit.saturating_mul(1 << 20),
        }),
    };
    let outcome = match stop_signal() {
        Ok(stop) => serve(settings, stop)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(format!("cannot wait for signals: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Ready at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
