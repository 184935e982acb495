//! Which repository of a forge is which (N3): a configured name belongs to the id that was seen first under it,
//! and keeps to it when the forge's repository is renamed.

use super::Store;
use super::deliveries::time;
use super::error::{StoreError, sql};
use super::sql as q;
use crate::domain::Timestamp;
use rusqlite::params;

/// What is known about a repository of a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeRepositoryEntry {
    /// The source.
    pub source: String,
    /// The forge's own id.
    pub id: String,
    /// The configured name that it has here.
    pub name: String,
    /// When it was first seen.
    pub seen: Timestamp,
}

/// What became of [`Store::pin_forge_repository`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// It was so already.
    Known,
    /// It is known from now on.
    New,
    /// The id was known under another configured name, and has this one now.
    Renamed {
        /// The name before.
        from: String,
    },
    /// The name belongs to another id: the forge has another repository in its place. Nothing was changed.
    Taken {
        /// The id that the name belongs to.
        by: String,
    },
}

impl Store {
    /// Notes that the repository `id` of a forge is the configured one called `name`. Nearly always that is known,
    /// and nothing is written.
    pub fn pin_forge_repository(
        &self,
        source: &str,
        id: &str,
        name: &str,
        at: Timestamp,
    ) -> Result<Pinned, StoreError> {
        if self.forge_repository_name(source, id)?.as_deref() == Some(name) {
            return Ok(Pinned::Known);
        }
        let (source, id, name) = (source.to_owned(), id.to_owned(), name.to_owned());
        self.write(move |txn| {
            let known: Option<String> = txn.value(q::FORGE_REPOSITORY, params![source, id])?;
            if known.as_deref() == Some(&name) {
                return Ok(Pinned::Known);
            }
            if let Some(by) = txn.value(q::FORGE_REPOSITORY_NAMED, params![source, name])? {
                return Ok(Pinned::Taken { by });
            }
            match known {
                Some(from) => {
                    txn.run(q::NAME_FORGE_REPOSITORY, params![source, id, name])?;
                    Ok(Pinned::Renamed { from })
                }
                None => {
                    txn.run(q::ADD_FORGE_REPOSITORY, params![source, id, name, at.as_millisecond()])?;
                    Ok(Pinned::New)
                }
            }
        })
    }

    /// The configured name that the repository `id` of a forge was seen under.
    pub fn forge_repository_name(&self, source: &str, id: &str) -> Result<Option<String>, StoreError> {
        let reader = self.reader()?;
        let step = "find the repository of a forge";
        let mut statement = reader.prepare_cached(q::FORGE_REPOSITORY).map_err(sql(step))?;
        let mut rows = statement.query(params![source, id]).map_err(sql(step))?;
        match rows.next().map_err(sql(step))? {
            Some(row) => Ok(Some(row.get(0).map_err(sql(step))?)),
            None => Ok(None),
        }
    }

    /// Forgets which repository `id` of a forge was, after somebody said that another one may take its name. What
    /// was recorded about it stays. `false` where it was not known.
    pub fn forget_forge_repository(&self, source: &str, id: &str) -> Result<bool, StoreError> {
        let (source, id) = (source.to_owned(), id.to_owned());
        self.write(move |txn| {
            let known: Option<String> = txn.value(q::FORGE_REPOSITORY, params![source, id])?;
            txn.run(q::DROP_FORGE_REPOSITORY, params![source, id])?;
            Ok(known.is_some())
        })
    }

    /// All repositories of forges that were ever seen, sorted by source and name.
    pub fn forge_repositories(&self) -> Result<Vec<ForgeRepositoryEntry>, StoreError> {
        let step = "list the repositories of forges";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(q::LIST_FORGE_REPOSITORIES).map_err(sql(step))?;
        let mut rows = statement.query([]).map_err(sql(step))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(sql(step))? {
            all.push(ForgeRepositoryEntry {
                source: row.get(0).map_err(sql(step))?,
                id: row.get(1).map_err(sql(step))?,
                name: row.get(2).map_err(sql(step))?,
                seen: time(row.get(3).map_err(sql(step))?)?,
            });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Mode;

    #[test]
    fn n03_a_name_keeps_to_its_repository_and_a_repository_to_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Mode::ReadWrite).unwrap();
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let pin = |source, id, name| store.pin_forge_repository(source, id, name, at).unwrap();
        assert_eq!(pin("github", "5", "acme/infra"), Pinned::New);
        assert_eq!(pin("github", "5", "acme/infra"), Pinned::Known);
        // Somebody deleted it, and made another one in its place.
        assert_eq!(pin("github", "9", "acme/infra"), Pinned::Taken { by: "5".to_owned() });
        assert_eq!(store.forge_repository_name("github", "9").unwrap(), None);
        assert_eq!(pin("gitlab", "9", "acme/infra"), Pinned::New, "another forge");
        // It was renamed, and the configuration followed.
        assert_eq!(pin("github", "5", "acme/platform"), Pinned::Renamed { from: "acme/infra".to_owned() });
        assert_eq!(pin("github", "9", "acme/infra"), Pinned::New);
        assert_eq!(pin("github", "9", "acme/platform"), Pinned::Taken { by: "5".to_owned() });
        let all = store.forge_repositories().unwrap();
        let all: Vec<_> =
            all.iter().map(|one| (one.source.as_str(), one.id.as_str(), one.name.as_str())).collect();
        let expected =
            [("github", "9", "acme/infra"), ("github", "5", "acme/platform"), ("gitlab", "9", "acme/infra")];
        assert_eq!(all, expected);
        assert!(store.forget_forge_repository("github", "5").unwrap());
        assert!(!store.forget_forge_repository("github", "5").unwrap());
        assert_eq!(pin("github", "11", "acme/platform"), Pinned::New);
    }
}
