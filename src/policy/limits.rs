//! Counted budgets (N23). Over one of them is a refusal with figures, never an outage.

/// How much one push may bring. The defaults leave room for every push that people make by hand, and
/// for the first push of a large history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ref updates in one push.
    pub refs: usize,
    /// Commits that one ruleset has to judge in one push.
    pub commits: usize,
    /// Parents of one commit.
    pub parents: usize,
    /// Size of one commit or tag object, bytes.
    pub object_bytes: usize,
    /// Size of all judged commits and tags of one push together, bytes.
    pub push_bytes: u64,
    /// Size of one commit or tag message, bytes.
    pub message_bytes: usize,
    /// Annotated tags that point at annotated tags.
    pub tag_depth: usize,
    /// Violations shown to the pusher and kept in the record; the rest are counted.
    pub violations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            refs: 5_000,
            commits: 100_000,
            parents: 64,
            object_bytes: 1 << 20,
            push_bytes: 512 << 20,
            message_bytes: 64 << 10,
            tag_depth: 4,
            violations: 50,
        }
    }
}
