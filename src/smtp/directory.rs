//! Writes mails to files, for trying things out and for tests.
//!
//! lettre's file transport names files by chance and writes them in place; here the name is the Message-ID, so a mail
//! that is sent again replaces itself, and a reader never sees half a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{SendError, SendErrorKind};
use crate::mail::message::Mail;

/// Longest file name that is made of a Message-ID, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// A directory that exists.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, SendError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Directory {
                path: path.to_owned(),
            }),
            Ok(_) => Err(SendError::connection(format!(
                "{} is no directory",
                path.display()
            ))),
            Err(error) => Err(SendError::connection(format!(
                "directory {}: {error}",
                path.display()
            ))),
        }
    }

    pub(super) async fn write(&self, mail: &Mail) -> Result<String, SendError> {
        let name = format!("{}.eml", file_name(&mail.message_id));
        let hidden = self.path.join(format!(".{name}.part"));
        match write_and_rename(&hidden, &self.path.join(&name), &mail.bytes) {
            Ok(()) => Ok(format!("250 written to {name}")),
            Err(error) => {
                let message = format!("file {name} in {}: {error}", self.path.display());
                Err(SendError::new(SendErrorKind::Transient, message))
            }
        }
    }
}

fn write_and_rename(hidden: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // `create_new` follows no symbolic link out of the directory.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(hidden)
        .and_then(|mut file: File| file.write_all(bytes));
    let result = written.and_then(|()| fs::rename(hidden, path));
    if result.is_err() {
        // What is left is hidden, and the next attempt removes it first.
        let _ = fs::remove_file(hidden);
    }
    result
}

/// Makes a file name that stays inside the directory: letters, digits and `._@+-`, not beginning with a dot.
fn file_name(message_id: &str) -> String {
    let safe: String = message_id
        .chars()
        .take(MAX_NAME_BYTES)
        .enumerate()
        .map(|(at, c)| match c {
            '.' if at == 0 => '_',
            c if c.is_ascii_alphanumeric() || "._@+-".contains(c) => c,
            _ => '_',
        })
        .collect();
    match safe.is_empty() {
        true => "_".to_owned(),
        false => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_inside_the_directory() {
        for (id, name) in [
            ("m1.a2@example.org", "m1.a2@example.org"),
            ("../../etc/passwd@x", "_._.._etc_passwd@x"),
            ("..", "_."),
            ("", "_"),
            ("a\0b\\c:é", "a_b_c__"),
        ] {
            assert_eq!(file_name(id), name);
        }
        assert_eq!(file_name(&"x".repeat(999)).len(), MAX_NAME_BYTES);
    }
}
