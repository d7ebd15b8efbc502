//! What tells this server from a physical copy of it, and how it was started, so that a copy sends nothing before `arm()`.

use std::ffi::CStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

/// As what the server was started. Promotion does not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// As it was stopped, or crashed.
    Primary,
    Standby,
    /// From a backup, or to recover up to a point in time.
    Restored,
}

impl Start {
    /// PostgreSQL's own order of precedence (xlogrecovery.c): the files say what is to happen, and are gone when it has.
    fn of(data: &Path) -> Self {
        let has = |name: &str| data.join(name).exists();
        if has("standby.signal") {
            Start::Standby
        } else if has("recovery.signal") || has("backup_label") {
            Start::Restored
        } else {
            Start::Primary
        }
    }

    fn name(self) -> &'static str {
        match self {
            Start::Primary => "primary",
            Start::Standby => "standby",
            Start::Restored => "restored",
        }
    }
}

/// 2000-01-01 in Unix time.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// Set in the postmaster; the other processes are forked from it.
static START: OnceLock<Start> = OnceLock::new();

/// Looks how the server is started; only while the postmaster preloads libraries.
pub(super) fn init() {
    START.get_or_init(|| Start::of(&data_directory()));
}

fn data_directory() -> std::path::PathBuf {
    // SAFETY: a C string that is set before any library is loaded.
    let data = unsafe { CStr::from_ptr(pg_sys::DataDir) };
    Path::new(&*data.to_string_lossy()).to_owned()
}

/// The data directory and what copying it changes.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // The macro wants the row written out.
fn this_data_directory() -> Result<
    TableIterator<
        'static,
        (
            name!(path, String),
            name!(inode, i64),
            name!(born, Option<TimestampWithTimeZone>),
            name!(machine_id, Option<String>),
            name!(started_as, &'static str),
        ),
    >,
    std::io::Error,
> {
    let path = data_directory();
    let version = std::fs::metadata(path.join("PG_VERSION"))?;
    let born = version
        .created()
        .ok()
        .and_then(|born| born.duration_since(UNIX_EPOCH + POSTGRES_EPOCH).ok())
        .and_then(|born| i64::try_from(born.as_micros()).ok())
        .and_then(|born| TimestampWithTimeZone::try_from(born).ok());
    let machine_id = std::fs::read_to_string("/etc/machine-id").ok();
    let machine_id = machine_id
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty());
    let start = START.get().copied().unwrap_or(Start::Primary);
    Ok(TableIterator::once((
        path.to_string_lossy().into_owned(),
        version.ino().cast_signed(),
        born,
        machine_id,
        start.name(),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_files_tell_how_a_server_starts() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let touch = |name: &str| std::fs::write(data.join(name), "").unwrap();
        assert_eq!(Start::of(data), Start::Primary);
        touch("backup_label");
        assert_eq!(Start::of(data), Start::Restored);
        // pg_basebackup -R
        touch("standby.signal");
        assert_eq!(Start::of(data), Start::Standby);
        // Both: a standby.
        touch("recovery.signal");
        assert_eq!(Start::of(data), Start::Standby);
        std::fs::remove_file(data.join("standby.signal")).unwrap();
        assert_eq!(Start::of(data), Start::Restored);
    }
}
