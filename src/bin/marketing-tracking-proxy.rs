//! `marketing-tracking-proxy`: log and signals around [`marketing_automation::proxy`].

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use marketing_automation::program::log;
use marketing_automation::program::tls::Tls;
use marketing_automation::proxy::check::check;
use marketing_automation::proxy::options::Options;
use marketing_automation::proxy::{Settings, serve};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

/// glibc's takes a third of the processor time of a mail.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Options::parse().with_file() {
        Ok(options) => start(&options),
        Err(error) => Err(error.to_string()),
    };
    outcome.unwrap_or_else(|error| {
        // Also when there is no log yet.
        eprintln!("marketing-tracking-proxy: {error}");
        ExitCode::FAILURE
    })
}

fn start(options: &Options) -> Result<ExitCode, String> {
    let threads = match options.threads() {
        Ok(threads) => threads,
        // The report will say it.
        Err(_) if options.check => 1,
        Err(error) => return Err(error.to_string()),
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    if options.check {
        return Ok(runtime.block_on(check(options)).print());
    }
    runtime.block_on(run(options))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(options: &Options) -> Result<(), String> {
    // Without tokens, addresses or user agents.
    log::start(
        options.log.unwrap_or_default(),
        options.log_format.unwrap_or_default(),
    );
    let settings: Settings = options.settings().map_err(|error| error.to_string())?;
    let stop = stop_signal().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let hangup = signal(SignalKind::hangup())
        .map_err(|error| format!("cannot wait for signals: {error}"))?;
    tokio::spawn(reload(hangup, settings.tls.clone()));
    serve(settings, stop)
        .await
        .map_err(|error| error.to_string())
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

/// Reads the certificate again at each SIGHUP, which would end the process without TLS.
async fn reload(mut hangup: Signal, tls: Option<Arc<Tls>>) {
    while hangup.recv().await.is_some() {
        match tls.as_ref().map(|tls| tls.reload()) {
            Some(Ok(())) => info!("the certificate was read again"),
            Some(Err(error)) => {
                error!(%error, "the certificate was not read again, the old one stays")
            }
            None => info!("there is nothing to read again on SIGHUP: no certificate"),
        }
    }
}
