//! The next commit, or the next tag, made in a private repository by git as this user has set it up.

use super::{Run, SelfCheck, What};
use crate::domain::{ObjectFormat, ObjectId};
use crate::service::workstation::{Workstation, said};
use std::path::Path;
use std::process::Command;

/// What git made.
pub(super) struct Made {
    /// A commit that counts as judged.
    pub(super) base: ObjectId,
    /// The commit upon it, or the tag of it.
    pub(super) next: ObjectId,
}

/// Parts of git's configuration that say how a tag is made and signed.
const ABOUT_SIGNING: [&str; 6] = ["user.", "author.", "committer.", "gpg.", "tag.", "i18n."];

impl Run<'_> {
    /// Makes it as the next one would be made; or says why git cannot sign it.
    pub(super) fn make(&self, signed: bool) -> Result<Result<Made, String>, SelfCheck> {
        let fault = |what: &str, why: String| SelfCheck(format!("{what}: {why}"));
        let id =
            |text: &str| ObjectId::parse(text.as_bytes()).map_err(|e| fault("git's answer", e.to_string()));
        let format =
            self.here.ask(&["rev-parse", "--show-object-format"]).unwrap_or_else(|_| "sha1".to_owned());
        let place = self.room.path("next.git");
        let branch = self.here.ask(&["symbolic-ref", "refs/remotes/origin/HEAD"]).ok();
        let branch = branch.as_deref().and_then(|name| name.strip_prefix("refs/remotes/origin/"));
        let mut git = self.bare();
        git.args(["init", "--quiet", "--bare", "--template=", "-b", branch.unwrap_or("main")]);
        ran(git.arg(format!("--object-format={format}")).arg(&place))
            .map_err(|why| fault("git init", why))?;
        let mut git = self.bare();
        git.arg("--git-dir").arg(&place).args(["hash-object", "-t", "tree", "-w", "--stdin"]);
        let tree = ran(&mut git).map_err(|why| fault("git hash-object", why))?;
        let mut git = self.bare();
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Base").env(format!("GIT_{role}_EMAIL"), "base@localhost");
            git.env_remove(format!("GIT_{role}_DATE"));
        }
        git.arg("--git-dir").arg(&place).args(["commit-tree", "-m", "What is there already", &tree]);
        let base = ran(&mut git).map_err(|why| fault("git commit-tree", why))?;
        let made = match &self.request.what {
            What::Commit => self.commit(&place, &base, &tree, signed),
            What::Tag(name) => self.tag(&place, name, &base, signed)?,
        };
        let made = match made {
            Ok(made) => made,
            Err(why) => return Ok(Err(why)),
        };
        let made = Made { base: id(&base)?, next: id(&made)? };
        debug_assert_eq!(made.next.format() == ObjectFormat::Sha256, format == "sha256");
        Ok(Ok(made))
    }

    /// With everything that the user and this repository have set; only what is written goes elsewhere.
    fn commit(&self, place: &Path, base: &str, tree: &str, signed: bool) -> Result<String, String> {
        let mut git = self.here.git();
        git.env("GIT_OBJECT_DIRECTORY", place.join("objects")).arg("commit-tree");
        git.args(signed.then_some("-S"));
        git.args(["-m", self.message("Would this commit be accepted?"), "-p", base, tree]);
        ran(&mut git)
    }

    /// `git tag` writes a ref, so it works in the private repository, with what is in effect here.
    fn tag(
        &self,
        place: &Path,
        name: &str,
        target: &str,
        signed: bool,
    ) -> Result<Result<String, String>, SelfCheck> {
        let listed = self.here.ask(&["config", "--list", "--null"]).map_err(SelfCheck)?;
        let about = |entry: &&str| ABOUT_SIGNING.iter().any(|part| entry.starts_with(part));
        let entries: Vec<&str> = listed.split('\0').filter(about).collect();
        let mut git = self.here.git();
        git.env("GIT_CONFIG_COUNT", entries.len().to_string());
        for (at, entry) in entries.iter().enumerate() {
            // One without a value is true.
            let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
            git.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        git.arg("--git-dir").arg(place).arg("tag").arg(if signed { "-s" } else { "-a" });
        git.args(["-m", self.message("Would this tag be accepted?"), "--", name, target]);
        if let Err(why) = ran(&mut git) {
            return Ok(Err(why));
        }
        let mut git = self.bare();
        git.arg("--git-dir").arg(place).args(["rev-parse", "--verify", &format!("refs/tags/{name}")]);
        ran(&mut git).map(Ok).map_err(|why| SelfCheck(format!("git rev-parse: {why}")))
    }

    fn message(&self, otherwise: &'static str) -> &str {
        self.request.message.unwrap_or(otherwise)
    }

    /// For git as nobody has configured it.
    fn bare(&self) -> Command {
        let mut git = Workstation::new(self.request.repo).git();
        git.env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_COUNT", "0");
        git.env_remove("GIT_CONFIG_PARAMETERS").env_remove("GIT_TEMPLATE_DIR");
        git
    }
}

/// Runs git to its end; gives its answer, or what it says.
fn ran(git: &mut Command) -> Result<String, String> {
    let output = git.output().map_err(|e| format!("git cannot be run: {e}"))?;
    if !output.status.success() {
        return Err(said(&output));
    }
    Ok(String::from_utf8_lossy(output.stdout.trim_ascii()).into_owned())
}
