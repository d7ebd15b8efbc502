//! Passwords and keys, read from files that nobody else can use.

use std::fmt;
use std::os::unix::fs::MetadataExt;

/// A password or a key; never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl Secret {
    /// Reads a file, by the same rule as PostgreSQL reads `ssl_key_file`: it is for the owner only, or root's and for its
    /// group to read.
    pub(super) fn read(path: &str) -> Result<Self, String> {
        let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
        let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        if metadata.mode() & forbidden != 0 {
            return Err(
                "others than its owner can use it; its mode must be 0600, or 0640 when it is root's"
                    .to_owned(),
            );
        }
        std::fs::read_to_string(path)
            .map(Secret)
            .map_err(|error| error.to_string())
    }

    /// The first line, which is all that counts in a password file.
    pub(super) fn first_line(&self) -> Self {
        Secret(self.0.lines().next().unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_use_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        fs::write(&path, "secret\nanything else").unwrap();
        let read = |mode| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Secret::read(path.to_str().unwrap())
        };
        for mode in [0o600, 0o400] {
            assert_eq!(read(mode).unwrap().first_line().0, "secret");
        }
        for mode in [0o644, 0o604, 0o620, 0o660] {
            assert!(read(mode).unwrap_err().contains("must be 0600"), "{mode:o}");
        }
        fs::remove_file(&path).unwrap();
        assert!(Secret::read(path.to_str().unwrap()).is_err());
    }
}
