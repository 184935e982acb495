//! What a key may be used for.

use std::fmt;

/// A use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// To sign commits.
    Commit,
    /// To sign tags, those that a merge carries among them.
    Tag,
    /// To log in for pushes, where the server is `sshd-key`.
    Push,
}

impl Role {
    /// All of them, in the order of files and output.
    pub const ALL: [Role; 3] = [Role::Commit, Role::Tag, Role::Push];

    pub(super) const WORDS: &'static [(&'static str, Role)] =
        &[("commit", Role::Commit), ("tag", Role::Tag), ("push", Role::Push)];

    /// The word in keyring files and output.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Commit => "commit",
            Role::Tag => "tag",
            Role::Push => "push",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The roles of a key: never none. A file that says nothing means all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Default for Roles {
    fn default() -> Self {
        Roles(Role::ALL.to_vec())
    }
}

impl Roles {
    /// Those; `None` where that is none.
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Option<Self> {
        let mut all: Vec<Role> = roles.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        (!all.is_empty()).then_some(Roles(all))
    }

    /// Whether the key may be used for it.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether nothing is ruled out.
    pub fn is_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }

    /// The words, in their order.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|role| role.name()).collect()
    }

    /// Why what has these roles does not count for another one. `what` is the entry that says so.
    pub(super) fn lack(&self, what: &str, role: Role) -> String {
        format!("its {what} has the roles {} and not `{role}`", self.quoted())
    }

    fn quoted(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|role| format!("`{role}`")).collect();
        names.join(", ")
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_one_order_and_are_never_none() {
        assert_eq!(Roles::of([]), None);
        let two = Roles::of([Role::Push, Role::Commit, Role::Push]).unwrap();
        assert_eq!(two.to_string(), "commit, push");
        assert!(!two.has(Role::Tag) && !two.is_all());
        assert!(Roles::default().is_all());
        assert_eq!(
            two.lack("keyring entry", Role::Tag),
            "its keyring entry has the roles `commit`, `push` and not `tag`"
        );
    }
}
