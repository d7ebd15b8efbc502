//! What `--check` says.

use std::fmt::Display;
use std::process::ExitCode;

/// What was found out, one line each.
#[derive(Debug, Default)]
pub struct Report {
    pub lines: Vec<String>,
    pub failed: bool,
}

impl Report {
    /// Notes how something went; gives what came of it.
    pub fn note<T>(&mut self, what: &str, outcome: Result<T, impl Display>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.lines.push(format!("ok      {what}"));
                Some(value)
            }
            Err(error) => {
                self.failed = true;
                self.lines.push(format!("FAILED  {what}: {error}"));
                None
            }
        }
    }

    /// Prints it; gives what the program ends with.
    #[must_use]
    pub fn print(&self) -> ExitCode {
        for line in &self.lines {
            println!("{line}");
        }
        match self.failed {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }
}
