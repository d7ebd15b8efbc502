//! Files that hold a secret, such as a key, a password or a token, and who else could read them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is to be done about a file that is too open.
pub const MODE: &str = "its mode must be 0600, or 0640 when it is root's";

/// Gives the mode of a file that others can use, by the rule of PostgreSQL for `ssl_key_file`: it must be for its owner only, or
/// root's and for its group to read.
pub fn too_open(path: &Path) -> io::Result<Option<u32>> {
    let metadata = std::fs::metadata(path)?;
    let mode = metadata.mode() & 0o7777;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    Ok((mode & forbidden != 0).then_some(mode))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_use_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = |mode| {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            too_open(file.path()).unwrap()
        };
        assert_eq!(found(0o600), None);
        assert_eq!(found(0o400), None);
        for mode in [0o604, 0o620, 0o660, 0o644, 0o601] {
            assert_eq!(found(mode), Some(mode), "{mode:o}");
        }
    }
}
