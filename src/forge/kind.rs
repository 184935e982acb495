//! The kinds of forges.

use crate::domain::{RefName, ServerKind};

/// What speaks: which headers authenticate a delivery, and which calls it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForgeKind {
    /// github.com, GitHub Enterprise Cloud and Server.
    GitHub,
    /// GitLab, project, group and system hooks.
    GitLab,
    /// Gitea.
    Gitea,
    /// Forgejo, which sends Gitea's headers as well.
    Forgejo,
    /// Gogs: Gitea's older form.
    Gogs,
    /// bitbucket.org.
    BitbucketCloud,
    /// Bitbucket Data Center and Server.
    BitbucketDc,
    /// Anything that can send the documented JSON, signed.
    Generic,
}

impl ForgeKind {
    /// Every kind.
    pub const ALL: &'static [ForgeKind] = &[
        ForgeKind::GitHub,
        ForgeKind::GitLab,
        ForgeKind::Gitea,
        ForgeKind::Forgejo,
        ForgeKind::Gogs,
        ForgeKind::BitbucketCloud,
        ForgeKind::BitbucketDc,
        ForgeKind::Generic,
    ];

    /// The word used in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            ForgeKind::GitHub => "github",
            ForgeKind::GitLab => "gitlab",
            ForgeKind::Gitea => "gitea",
            ForgeKind::Forgejo => "forgejo",
            ForgeKind::Gogs => "gogs",
            ForgeKind::BitbucketCloud => "bitbucket-cloud",
            ForgeKind::BitbucketDc => "bitbucket-dc",
            ForgeKind::Generic => "generic",
        }
    }

    /// The ref under which the forge shows the head of a proposal, that of another repository, too; `None`
    /// where it shows none, as for number 0.
    pub fn proposal_ref(self, number: u64) -> Option<RefName> {
        let name = match self {
            _ if number == 0 => return None,
            ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => {
                format!("refs/pull/{number}/head")
            }
            ForgeKind::GitLab => format!("refs/merge-requests/{number}/head"),
            ForgeKind::BitbucketDc => format!("refs/pull-requests/{number}/from"),
            ForgeKind::BitbucketCloud | ForgeKind::Generic => return None,
        };
        RefName::parse(name.as_bytes()).ok()
    }

    /// The kind of server whose accounts its users are, where principals can list such accounts (N18).
    ///
    /// For [`ForgeKind::GitHub`] that is github.com; an own GitHub Enterprise Server has other accounts.
    pub const fn accounts(self) -> Option<ServerKind> {
        match self {
            ForgeKind::GitHub => Some(ServerKind::GitHub),
            ForgeKind::GitLab => Some(ServerKind::GitLab),
            ForgeKind::Gitea => Some(ServerKind::Gitea),
            ForgeKind::Forgejo => Some(ServerKind::Forgejo),
            ForgeKind::BitbucketDc => Some(ServerKind::BitbucketDc),
            ForgeKind::Gogs => Some(ServerKind::Gogs),
            ForgeKind::BitbucketCloud => Some(ServerKind::BitbucketCloud),
            ForgeKind::Generic => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_proposals() {
        let shown = |kind: ForgeKind| kind.proposal_ref(7).map(|name| name.to_string());
        assert_eq!(shown(ForgeKind::GitHub).as_deref(), Some("refs/pull/7/head"));
        assert_eq!(shown(ForgeKind::GitLab).as_deref(), Some("refs/merge-requests/7/head"));
        assert_eq!(shown(ForgeKind::BitbucketDc).as_deref(), Some("refs/pull-requests/7/from"));
        assert_eq!(shown(ForgeKind::BitbucketCloud), None);
        assert_eq!(ForgeKind::GitHub.proposal_ref(0), None);
    }
}
