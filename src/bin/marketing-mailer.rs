//! `marketing-mailer`: log and signals around [`marketing_automation::mailer`].

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use marketing_automation::delivery::pool::THREADS;
use marketing_automation::mailer::check::check;
use marketing_automation::mailer::options::Options;
use marketing_automation::mailer::status::Shared;
use marketing_automation::mailer::{run, serve};
use marketing_automation::program::log;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

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
        eprintln!("marketing-mailer: {error}");
        ExitCode::FAILURE
    })
}

fn start(options: &Options) -> Result<ExitCode, String> {
    if options.check {
        return Ok(check(options).print());
    }
    // Without addresses of recipients.
    log::start(
        options.log.unwrap_or_default(),
        options.log_format.unwrap_or_default(),
    );
    let settings = options.settings().map_err(|error| error.to_string())?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        // For name resolution.
        .max_blocking_threads(4)
        .thread_name("sender")
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    let shared = Arc::new(Shared::default());
    if let Some(listen) = &settings.listen {
        runtime.block_on(serve(listen, Arc::clone(&shared)))?;
    }
    let asked = Arc::clone(&shared);
    let waiting = runtime.block_on(async move {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            asked.stop();
        });
        std::io::Result::Ok(())
    });
    waiting.map_err(|error| format!("cannot wait for signals: {error}"))?;
    let ended = run(&settings, &shared, runtime.handle());
    // A plain drop waits for whatever runs, such as a name server that does not answer.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}
