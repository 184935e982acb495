//! Making a state that may be taken over the keyring's files.

use super::super::gate::{Gate, Snapshot};
use super::super::keyring_changes::record_of;
use super::super::locate::Located;
use super::super::operators::{Operator, operator};
use super::super::reload::Announced;
use super::super::source_state;
use super::{Cause, SourceError};
use crate::audit::{KeyringAuthor, KeyringSourceEntry, RepositoryEntry, rfc3339_ms};
use crate::config::{Config, TrustedSource};
use crate::domain::{ObjectId, text};
use crate::keyring::{Author, ChangeOptions, ChangeRecord, Origin, Purpose, Taken, take};
use crate::store::TakenMark;

/// The action of its changes, on record.
const ACTION: &str = "source";

impl Gate {
    /// Makes the keyring's files what the commit holds, and puts that on record.
    pub(super) fn take_state(
        &self,
        snapshot: &Snapshot,
        source: &TrustedSource,
        located: &Located,
        commit: ObjectId,
        on_record: Option<TakenMark>,
        cause: &Cause<'_>,
    ) -> Result<(), SourceError> {
        let config = &snapshot.config;
        let now = Gate::now();
        let state = source_state::read(located.repository.objects(), &commit, config, source, now)
            .map_err(|fault| SourceError::State { commit, fault })?;
        let origin = Origin {
            repository_id: located.reference.id.0.clone(),
            repository: source.repository.clone(),
            reference: source.reference.to_string(),
            path: source.path.clone(),
            rulesets_path: source.rulesets.clone(),
        };
        let rulesets = state.rulesets.len() as u64;
        let marker = Taken::new(&origin, &commit.to_string(), &state.files, state.rulesets);
        let digest = Taken::digest_of(&marker.text()?);
        self.store.check_writable()?;
        let process = operator(rustix::process::geteuid().as_raw(), None);
        let (who, said) = match cause {
            Cause::Accepted { reason, by } => (by, Some(text::escape(reason.as_bytes()))),
            Cause::Seen | Cause::Restored => (&process, None),
        };
        if !matches!(cause, Cause::Restored)
            && located.repository.resolve(&source.reference)?.value != Some(commit)
        {
            return Err(SourceError::Ref("moving"));
        }
        let mark = TakenMark {
            repository_id: origin.repository_id.clone(),
            repository: origin.repository,
            reference: origin.reference,
            path: origin.path,
            rulesets: origin.rulesets_path,
            commit: commit.to_string(),
            state: digest.clone(),
            at: rfc3339_ms(now),
        };
        self.source_seen.last().under_way = Some(digest.clone());
        let taken = self.replace(config, &state.files, &marker, who, cause).and_then(|keyring| {
            let entry = KeyringSourceEntry {
                repository: RepositoryEntry::from(&located.reference),
                reference: text::escape(source.reference.as_bytes()),
                commit: commit.to_string(),
                commit_before: on_record.as_ref().map(|mark| mark.commit.clone()),
                how: cause.how(),
                by: KeyringAuthor {
                    login: None,
                    uid: who.uid,
                    account: who.account.clone(),
                    session: who.session.clone(),
                    signer: None,
                },
                reason: said,
                keyring,
                rulesets,
                state: digest,
            };
            Ok(self.store.take(on_record, mark, entry, now)?)
        });
        // Only what is on record as well is in force.
        self.source_seen.last().under_way = None;
        taken?;
        tracing::info!(%commit, how = cause.how().name(), "the keyring was taken over from its source");
        self.reload_found();
        Ok(())
    }

    /// Replaces the files; gives the digest of the keyring that they are then.
    fn replace(
        &self,
        config: &Config,
        files: &std::collections::BTreeMap<String, String>,
        marker: &Taken,
        who: &Operator,
        cause: &Cause<'_>,
    ) -> Result<String, SourceError> {
        let record = |change: &ChangeRecord| {
            let record = record_of(change, Some((who, Gate::now())), None);
            self.live.announce(Announced {
                before: change.keyring_before.clone(),
                after: change.keyring_after.clone(),
                principals: change.principals.clone(),
            });
            self.store.append(record).map(|_| ()).map_err(|error| error.to_string())
        };
        let mut reason = format!(
            "{} {} at {}, {}",
            marker.repository,
            marker.reference,
            marker.commit,
            cause.how().name()
        );
        if let Cause::Accepted { reason: why, .. } = cause {
            reason.push_str(&format!(": {why}"));
        }
        let purpose = Purpose {
            action: ACTION,
            local: false,
            by: Author { login: None, uid: who.uid, signer: None },
            reason: Some(reason.chars().take(500).collect()),
            at: Gate::now(),
        };
        let options =
            ChangeOptions { purpose, dry_run: false, urgent: false, recorder: Some(&record), signer: None };
        let done = take(&config.keyring, files, marker, &options)?;
        Ok(done.keyring.digest().to_owned())
    }
}
