//! What a proxy needs to know to answer hits without the database, the keys and where links lead, kept in the directory of
//! the spool: so that a start while the database is away breaks no link that was seen before.
//!
//! It is believed only until the database can be asked: keys are then replaced, links confirmed one by one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::keys::Keys;
use super::links::{Known, Links};
use crate::tracking::token::{Key, Keyring};

const FILE: &str = "known.json";
/// What was learned in so short a time before a crash may be forgotten.
const PAUSE: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
struct Content {
    keys: Vec<Key>,
    links: Vec<Known>,
}

/// The file, and what is to be kept in it.
pub struct Snapshot {
    directory: PathBuf,
    keys: Arc<Keys>,
    links: Arc<Links>,
    saved: Mutex<Saved>,
}

/// What the file has.
#[derive(Default)]
struct Saved {
    keys: Vec<Key>,
    links_learned: u64,
    failed: bool,
}

impl Snapshot {
    /// Takes what an earlier process has left in a directory, which no other process may use, into keys and links.
    pub fn restore(directory: PathBuf, keys: Arc<Keys>, links: Arc<Links>) -> Self {
        match read(&directory.join(FILE)) {
            Ok((keyring, known)) => {
                info!(
                    ?keyring,
                    links = known.len(),
                    "keys and links of the last run are known"
                );
                keys.set(keyring);
                for link in known {
                    links.remember(link);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(%error, "keys and links of the last run cannot be read"),
        }
        Self {
            directory,
            keys,
            links,
            saved: Mutex::default(),
        }
    }

    /// Saves what is new, now and then, for ever.
    pub async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PAUSE).await;
            Arc::clone(&self).save().await;
        }
    }

    /// Saves what is new.
    pub async fn save(self: Arc<Self>) {
        let _ = tokio::task::spawn_blocking(move || self.save_now()).await;
    }

    fn save_now(&self) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keyring) = self.keys.current() else {
            return;
        };
        let links_learned = self.links.learned();
        if saved.keys == keyring.keys() && saved.links_learned == links_learned {
            return;
        }
        let content = Content {
            keys: keyring.keys().to_vec(),
            links: self.links.known(),
        };
        match write(&self.directory, &content) {
            Ok(()) => {
                *saved = Saved {
                    keys: content.keys,
                    links_learned,
                    failed: false,
                }
            }
            Err(error) if !saved.failed => {
                warn!(%error, "keys and links cannot be kept for the next start");
                saved.failed = true;
            }
            Err(_) => {}
        }
    }
}

fn read(path: &Path) -> io::Result<(Keyring, Vec<Known>)> {
    // Without the parser's message, which may quote a secret.
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is not what was written");
    let content: Content = serde_json::from_slice(&fs::read(path)?).map_err(|_| damaged())?;
    let keyring = Keyring::new(content.keys).ok_or_else(damaged)?;
    Ok((keyring, content.links))
}

/// Replaces the file as a whole, or not at all.
fn write(directory: &Path, content: &Content) -> io::Result<()> {
    let path = directory.join(FILE);
    let partial = path.with_extension("part");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        // Whoever has the keys can sign tokens.
        .mode(0o600)
        .open(&partial)?;
    let mut writer = BufWriter::new(file);
    serde_json::to_writer(&mut writer, content)?;
    writer.into_inner()?.sync_all()?;
    fs::rename(&partial, &path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::proxy::database::Database;
    use crate::proxy::pools::Pools;

    fn restore(directory: &Path) -> Snapshot {
        let database = Database::parse("host=/nonexistent user=nobody").unwrap();
        let keys = Arc::new(Keys::new(Arc::new(Pools::new(&database))));
        Snapshot::restore(directory.to_owned(), keys, Arc::default())
    }

    #[tokio::test]
    async fn the_next_process_knows_the_keys_and_links_of_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let path = directory.join(FILE);

        let first = restore(directory);
        first.save_now();
        assert!(!path.exists() && !first.keys.are_known());
        first
            .keys
            .set(Keyring::new(vec![(7, [1; 32]), (8, [2; 32])]).unwrap());
        first.links.learn(3, "https://shop.example/");
        first.save_now();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );

        let second = restore(directory);
        let keyring = second.keys.current().unwrap();
        assert_eq!(keyring.keys(), [(7, [1; 32]), (8, [2; 32])]);
        assert_eq!(
            second.links.get(3, true).as_deref(),
            Some("https://shop.example/")
        );
        second.keys.set(Keyring::new(vec![(8, [2; 32])]).unwrap());
        second.save_now();
        assert_eq!(
            restore(directory).keys.current().unwrap().keys(),
            [(8, [2; 32])]
        );

        fs::write(&path, "{\"keys\":[[1,\"secret\"]],\"links\":[]}").unwrap();
        assert!(!restore(directory).keys.are_known());
        assert!(!read(&path).unwrap_err().to_string().contains("secret"));
    }
}
