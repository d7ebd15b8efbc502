//! The version of this program, and how the SQL in a database compares with it: they are installed at different moments, and
//! each release promises only that its neighbours work together.

/// The version of the library and of the proxy.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Asks a database for the version of its SQL; no row: the extension is not there.
pub const QUESTION: &str =
    "select extversion from pg_catalog.pg_extension where extname = 'marketing_automation'";

/// How SQL of another version compares with this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    SqlIsOlder,
    SqlIsNewer,
}

/// Compares `pg_extension.extversion` with this program; None: they are of one version.
pub fn mismatch(installed: &str) -> Option<Mismatch> {
    compare(installed, VERSION)
}

fn compare(installed: &str, program: &str) -> Option<Mismatch> {
    let is_older = match (numbers(installed), numbers(program)) {
        (Some(installed), Some(program)) => installed < program,
        // What is no number cannot be compared. Then the program is to be replaced, which is right for the only case that we know
        // of: SQL of a later version, which names itself in another way.
        _ => false,
    };
    match (installed == program, is_older) {
        (true, _) => None,
        (false, true) => Some(Mismatch::SqlIsOlder),
        (false, false) => Some(Mismatch::SqlIsNewer),
    }
}

fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(compare("0.10.0", "0.10.0"), None);
        assert_eq!(compare("0.9.1", "0.10.0"), Some(Mismatch::SqlIsOlder));
        assert_eq!(compare("0.10", "0.10.1"), Some(Mismatch::SqlIsOlder));
        assert_eq!(compare("1.0.0", "0.10.0"), Some(Mismatch::SqlIsNewer));
        assert_eq!(compare("next", "0.10.0"), Some(Mismatch::SqlIsNewer));
    }
}
