//! Where the payloads of real forges are. They are not kept here, because others wrote them.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The directory that `COUNTERSIGN_WEBHOOKS` names, or the one beside the repository. Where there is none, that is said
/// past the test harness, which shows nothing of a test that ends well.
pub(crate) fn directory() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("COUNTERSIGN_WEBHOOKS") {
        assert!(Path::new(&named).is_dir(), "COUNTERSIGN_WEBHOOKS names no directory");
        return Some(named.into());
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/webhooks");
    if beside.is_dir() {
        return Some(beside);
    }
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: the payloads of real forges are not here; name their directory in COUNTERSIGN_WEBHOOKS"
    );
    None
}
