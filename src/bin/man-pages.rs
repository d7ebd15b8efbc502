//! Writes the manual page of a program, made of its options: `man-pages marketing-mailer >marketing-mailer.8`. For packages; not installed.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;
use marketing_automation::{mailer, proxy};

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let command = match name.as_str() {
        "marketing-mailer" => mailer::options::Options::command().name("marketing-mailer"),
        "marketing-tracking-proxy" => {
            proxy::options::Options::command().name("marketing-tracking-proxy")
        }
        _ => {
            eprintln!("man-pages: name marketing-mailer or marketing-tracking-proxy");
            return ExitCode::FAILURE;
        }
    };
    let man = Man::new(command)
        .section("8")
        .manual("marketing_automation");
    let mut page = Vec::new();
    let written = man
        .render(&mut page)
        .and_then(|()| io::stdout().write_all(&page));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("man-pages: {error}");
            ExitCode::FAILURE
        }
    }
}
