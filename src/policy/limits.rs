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
    /// Entries of trees that are looked at for what commits and refs change, all of a push together.
    pub tree_entries: u64,
    /// Bytes of those trees.
    pub tree_bytes: u64,
    /// Size of one of them, bytes.
    pub one_tree_bytes: u64,
    /// Directories above one path.
    pub tree_depth: u64,
    /// Paths that commits and refs change, all of a push together.
    pub changed_paths: u64,
    /// Bytes of those paths.
    pub changed_path_bytes: u64,
    /// Length of one of them, bytes.
    pub one_path_bytes: u64,
    /// Blobs that are looked into, where a rule is about what files are.
    pub blobs: u64,
    /// Bytes that are read of them.
    pub blob_bytes: u64,
    /// Violations shown to the pusher and kept in the record; the rest are counted.
    pub violations: usize,
}

impl Limits {
    /// The largest commit, tag or tree that is read at all, bytes. A cap beyond it would make of a refusal an outage.
    pub const LARGEST_OBJECT: u64 = 64 << 20;
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
            tree_entries: 50_000_000,
            tree_bytes: 4 << 30,
            one_tree_bytes: Limits::LARGEST_OBJECT,
            tree_depth: 256,
            changed_paths: 1_000_000,
            changed_path_bytes: 256 << 20,
            one_path_bytes: 4096,
            blobs: 1_000_000,
            blob_bytes: 2 << 30,
            violations: 50,
        }
    }
}
