//! Making the keyring's directory what somebody else's files say, all at once.

use super::change::{ChangeOptions, Changed, broken, change};
use super::edit::EditError;
use super::{Sources, is_name};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the principals' files exactly `files`: the names of principals, and what their files hold.
///
/// # Errors
/// See [`EditError`]; nothing was changed then. [`EditError::Refused`] where a revocation or suspension that is
/// in force would be gone: what is to take it away has to hold it first.
pub fn take(
    sources: &Sources,
    files: &BTreeMap<String, String>,
    options: &ChangeOptions<'_>,
) -> Result<Changed<()>, EditError> {
    let dry = ChangeOptions {
        purpose: options.purpose.clone(),
        dry_run: true,
        urgent: options.urgent,
        recorder: None,
    };
    let (mut seen, tried) = once(sources, files, &dry, None)?;
    let (_, lost) = tried.keyring.with_revocations_from(sources);
    if lost > 0 {
        return Err(EditError::Refused(format!(
            "it lacks {lost} revocations or suspensions that are in force; add them to it first"
        )));
    }
    // Under the lock it must still be what was looked at: somebody may have revoked a key meanwhile.
    let (again, done) = once(sources, files, options, Some(std::mem::take(&mut seen)))?;
    drop(again);
    Ok(done)
}

fn once(
    sources: &Sources,
    files: &BTreeMap<String, String>,
    options: &ChangeOptions<'_>,
    wanted: Option<String>,
) -> Result<(String, Changed<()>), EditError> {
    let mut seen = String::new();
    let done = change(sources, options, |draft| {
        seen = draft.keyring.digest().to_owned();
        if wanted.is_some_and(|wanted| wanted != seen) {
            return Err(EditError::Invalid("the keyring changed meanwhile".to_owned()));
        }
        let names = draft.keyring.files().iter().map(|(name, _)| name.clone());
        let there: BTreeSet<String> = names.filter(|name| is_name(name)).collect();
        for name in there.iter().filter(|name| !files.contains_key(*name)) {
            draft.remove(name)?;
        }
        for (name, text) in files {
            if there.contains(name) {
                *draft.document(name)? = text.parse().map_err(|_| broken(name))?;
            } else {
                draft.create(name, text)?;
            }
        }
        Ok(())
    })?;
    Ok((seen, done))
}
