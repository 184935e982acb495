//! Conformance cases C: Commits, as git's own suite has them.
