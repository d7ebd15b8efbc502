//! Passwords and keys, read from files that nobody else can use.

use std::fmt;
use std::path::Path;

use crate::secret_file;

/// A password or a key; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl Secret {
    /// Reads a file, unless others can use it too.
    pub fn read(path: &str) -> Result<Self, String> {
        let mode = secret_file::too_open(Path::new(path)).map_err(|error| error.to_string())?;
        if mode.is_some() {
            return Err(format!(
                "others than its owner can use it; {}",
                secret_file::MODE
            ));
        }
        std::fs::read_to_string(path)
            .map(Secret)
            .map_err(|error| error.to_string())
    }

    /// The first line, which is all that counts in a password file.
    pub fn first_line(&self) -> Self {
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
        assert_eq!(read(0o600).unwrap().first_line().0, "secret");
        assert!(read(0o644).unwrap_err().contains("must be 0600"));
        fs::remove_file(&path).unwrap();
        assert!(Secret::read(path.to_str().unwrap()).is_err());
    }
}
