//! What serves the repositories, and so what vouches for the pusher (N18).

/// What serves the repositories. Exactly one is configured, and only what that one says counts: never "the
/// first variable that is set", because whoever can set another one could pose as somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// A bare repository behind sshd. The forced command or `environment=` of `authorized_keys` sets
    /// `GATE_USER` for each key.
    Sshd,
    /// A bare repository behind sshd that exposes what the client logged in with: the key itself is looked
    /// up in the keyring.
    SshdKey,
    /// git-http-backend behind a web server that authenticates.
    GitHttpBackend,
    /// gitolite.
    Gitolite,
    /// Gitea.
    Gitea,
    /// Forgejo, which kept Gitea's variables.
    Forgejo,
    /// GitLab, by Gitaly's custom hooks.
    GitLab,
    /// GitHub Enterprise Server.
    Ghes,
    /// soft-serve.
    SoftServe,
    /// Bitbucket Data Center, by its hook scripts.
    BitbucketDc,
    /// github.com, by its webhooks.
    GitHub,
    /// Gogs, by its webhooks.
    Gogs,
    /// bitbucket.org, by its webhooks.
    BitbucketCloud,
}

impl ServerKind {
    /// Those that run hooks.
    pub const ALL: &'static [ServerKind] = &[
        ServerKind::Sshd,
        ServerKind::SshdKey,
        ServerKind::GitHttpBackend,
        ServerKind::Gitolite,
        ServerKind::Gitea,
        ServerKind::Forgejo,
        ServerKind::GitLab,
        ServerKind::Ghes,
        ServerKind::SoftServe,
        ServerKind::BitbucketDc,
    ];

    /// Those that run none: they have accounts, and tell of a push afterwards.
    pub const REMOTE: &'static [ServerKind] =
        &[ServerKind::GitHub, ServerKind::Gogs, ServerKind::BitbucketCloud];

    /// Every kind that has accounts, which principals may list.
    pub fn with_accounts() -> impl Iterator<Item = ServerKind> + Clone {
        let all = ServerKind::ALL.iter().chain(ServerKind::REMOTE).copied();
        all.filter(|kind| kind.has_accounts())
    }

    /// The one environment variable that carries the pusher; for [`ServerKind::SshdKey`] the one that names
    /// the file. Where no hooks are run there is none.
    pub const fn variable(self) -> &'static str {
        match self {
            ServerKind::Sshd => "GATE_USER",
            ServerKind::SshdKey => "SSH_USER_AUTH",
            ServerKind::GitHttpBackend => "REMOTE_USER",
            ServerKind::Gitolite => "GL_USER",
            ServerKind::Gitea | ServerKind::Forgejo => "GITEA_PUSHER_NAME",
            ServerKind::GitLab => "GL_USERNAME",
            ServerKind::Ghes => "GITHUB_USER_LOGIN",
            ServerKind::SoftServe => "SOFT_SERVE_USERNAME",
            ServerKind::BitbucketDc => "BB_USER_NAME",
            ServerKind::GitHub | ServerKind::Gogs | ServerKind::BitbucketCloud => "",
        }
    }

    /// What else the server says about the pusher. It goes on record.
    pub const fn details(self) -> &'static [&'static str] {
        match self {
            ServerKind::Sshd | ServerKind::SshdKey | ServerKind::GitHttpBackend => &[],
            ServerKind::GitHub | ServerKind::Gogs | ServerKind::BitbucketCloud => &[],
            ServerKind::Gitolite => &["GL_TID"],
            ServerKind::Gitea | ServerKind::Forgejo => &[
                "GITEA_PUSHER_ID",
                "GITEA_KEY_ID",
                "GITEA_DEPLOY_KEY_ID",
                "GITEA_ACTIONS_TASK_ID",
                "GITEA_PUSH_TRIGGER",
            ],
            ServerKind::GitLab => &["GL_ID", "GL_PROTOCOL"],
            ServerKind::Ghes => &["GITHUB_PUBLIC_KEY_FINGERPRINT", "GITHUB_VIA"],
            ServerKind::SoftServe => &["SOFT_SERVE_PUBLIC_KEY"],
            ServerKind::BitbucketDc => &["BB_USER_PERMISSION", "BB_HOOK_TRIGGER_ID"],
        }
    }

    /// Whether a pusher has an account there, which a principal may list.
    pub const fn has_accounts(self) -> bool {
        !matches!(self, ServerKind::SshdKey)
    }

    /// How an account is listed by its number instead of its name, for example, where the server tells one.
    pub const fn id_example(self) -> Option<&'static str> {
        match self {
            ServerKind::GitLab => Some("#user-42"),
            ServerKind::Gitea | ServerKind::Forgejo | ServerKind::Gogs => Some("#17"),
            // Their hooks tell none, their webhooks do.
            ServerKind::GitHub | ServerKind::Ghes => Some("#583231"),
            ServerKind::BitbucketDc => Some("#42"),
            ServerKind::BitbucketCloud => Some("#{0a1b2c3d-...}"),
            _ => None,
        }
    }

    /// What an operator should look at when the server does not say who pushes.
    pub const fn hint(self) -> &'static str {
        match self {
            ServerKind::Sshd => {
                "let `command=` or `environment=` of each key in `authorized_keys` set it; pushes that do not come \
                 through sshd have none"
            }
            ServerKind::SshdKey => {
                "write `ExposeAuthInfo yes` in `sshd_config`; pushes that do not come through sshd have none"
            }
            ServerKind::GitHttpBackend => {
                "let the web server ask for a login where git-receive-pack is reached, and pass the name on"
            }
            ServerKind::Gitolite => {
                "gitolite sets it for pushes that come through gitolite-shell; without a login over HTTP, and by \
                 `gitolite push` on the server, there is none"
            }
            ServerKind::GitLab => "Gitaly sets it for custom hooks; pushes without a user have none",
            ServerKind::GitHub | ServerKind::Gogs | ServerKind::BitbucketCloud => {
                "it runs no hooks; its webhooks say who pushed"
            }
            ServerKind::Gitea
            | ServerKind::Forgejo
            | ServerKind::Ghes
            | ServerKind::SoftServe
            | ServerKind::BitbucketDc => {
                "the server sets it for its hooks; is it the server that is configured?"
            }
        }
    }

    /// The word used in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            ServerKind::Sshd => "sshd",
            ServerKind::SshdKey => "sshd-key",
            ServerKind::GitHttpBackend => "git-http-backend",
            ServerKind::Gitolite => "gitolite",
            ServerKind::Gitea => "gitea",
            ServerKind::Forgejo => "forgejo",
            ServerKind::GitLab => "gitlab",
            ServerKind::Ghes => "ghes",
            ServerKind::SoftServe => "soft-serve",
            ServerKind::BitbucketDc => "bitbucket-dc",
            ServerKind::GitHub => "github",
            ServerKind::Gogs => "gogs",
            ServerKind::BitbucketCloud => "bitbucket-cloud",
        }
    }
}
