//! What SQL calls when a commit forbids mails: see [`crate::extension::worker::revocation`].

use pgrx::prelude::*;

use super::argument::refuse;
use crate::delivery::revocation::Subject;
use crate::extension::worker::{registry, revocation};

/// Revokes claims when, and only if, the current transaction commits.
#[pg_extern(sql = false)]
fn revoke_claims_of(kind: &str, key: &str) {
    let Some(subject) = Subject::named(kind) else {
        refuse(format!("nothing is revoked by \"{kind}\""));
    };
    if registry::preloaded() {
        revocation::revoke_on_commit(subject, key);
    }
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn the_triggers_name_every_subject_of_a_revocation_and_no_other() {
        let named = Spi::get_one::<Vec<String>>(
            "select array_agg(distinct k.parts[1]) from pg_catalog.pg_proc p
             cross join lateral regexp_matches(p.prosrc, 'revoke_claims_of\\(''([^'']*)''', 'g') as k (parts)
             where p.pronamespace = 'marketing_automation_internal'::regnamespace",
        );
        let mut known = Subject::NAMES.map(|(_, name)| name.to_owned());
        known.sort();
        assert_eq!(named, Ok(Some(known.to_vec())));
    }

    #[pg_test(error = "nothing is revoked by \"recrod\"")]
    fn a_word_that_is_no_subject_is_refused() {
        Spi::run("select marketing_automation_internal.revoke_claims_of('recrod', '1')")
            .expect("refused");
    }
}
