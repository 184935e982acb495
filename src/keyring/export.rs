//! What of a keyring other programs can be told, and what they would make more of than it says.
//!
//! Every format says less than the keyring. A key is left out where the other program would take signatures
//! by it that are not taken here, unless the operator wants it all the same; every difference is told.

mod text;

pub use text::{
    Manifest, allowed_signers, argocd, argocd_appproject, flux_gitrepository, flux_secret, openpgp,
};

use super::{Authority, Key, Keyring, Material, Position, Role, Scope, Standing};
use crate::domain::{Principal, Timestamp};
use crate::signature::openpgp::Signer;
use crate::signature::{Demand, Rules, Scheme};

/// A format that keys are exported to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// OpenSSH's `allowed_signers`.
    AllowedSigners,
    /// An OpenPGP key ring.
    OpenPgp,
    /// Argo CD's ConfigMap `argocd-gpg-keys-cm`.
    ArgoCd,
    /// The part of an AppProject of Argo CD that names the keys.
    ArgoCdAppProject,
    /// A Secret of Flux.
    FluxSecret,
    /// The part of a GitRepository of Flux that names the Secret.
    FluxGitRepository,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 6] = [
        Target::AllowedSigners,
        Target::OpenPgp,
        Target::ArgoCd,
        Target::ArgoCdAppProject,
        Target::FluxSecret,
        Target::FluxGitRepository,
    ];

    /// Its word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Target::AllowedSigners => "allowed-signers",
            Target::OpenPgp => "openpgp",
            Target::ArgoCd => "argocd",
            Target::ArgoCdAppProject => "argocd-appproject",
            Target::FluxSecret => "flux-secret",
            Target::FluxGitRepository => "flux-gitrepository",
        }
    }

    const fn reads(self, scheme: Scheme) -> bool {
        match self {
            Target::AllowedSigners => matches!(scheme, Scheme::Ssh),
            Target::OpenPgp | Target::ArgoCd | Target::ArgoCdAppProject => matches!(scheme, Scheme::OpenPgp),
            Target::FluxSecret | Target::FluxGitRepository => true,
        }
    }

    /// Whether it knows from when until when a key counts, other than by the key itself.
    const fn has_windows(self) -> bool {
        matches!(self, Target::AllowedSigners)
    }
}

/// What is exported.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// For whom.
    pub target: Target,
    /// Only keys that count then.
    pub at: Timestamp,
    /// Only keys of members of this group.
    pub group: Option<&'a str>,
    /// Only this principal's keys.
    pub principal: Option<&'a str>,
    /// How signatures are judged here.
    pub rules: &'a Rules,
    /// Rules that ask more of signatures, where only those count that they accept.
    pub asked: &'a [String],
    /// Whether somebody of the keyring may not be accepted.
    pub restricted: bool,
    /// Keys of which more would be made than here come along.
    pub wider: bool,
}

/// A key that is exported.
#[derive(Clone, Debug)]
pub struct Exported<'k> {
    /// With its owner.
    pub key: &'k Key,
    /// The spans in which it counts: first and last second, both inclusive; only where the format has them.
    pub spans: Vec<(Option<i64>, Option<i64>)>,
    /// Of an OpenPGP certificate, the keys that sign.
    pub signers: Vec<Signer>,
}

/// One table or line about an authority that is exported.
#[derive(Clone, Debug)]
pub struct ExportedAuthority<'k> {
    /// The authority.
    pub authority: &'k Authority,
    /// Whom it certifies.
    pub scope: &'k Scope,
    /// As in [`Exported`].
    pub spans: Vec<(Option<i64>, Option<i64>)>,
}

/// What comes of an export before it is written.
#[derive(Clone, Debug, Default)]
pub struct Export<'k> {
    /// By owner and fingerprint.
    pub keys: Vec<Exported<'k>>,
    /// By fingerprint.
    pub authorities: Vec<ExportedAuthority<'k>>,
    /// What the other program is not told, in the same order.
    pub notes: Vec<Note>,
}

/// Something that a format cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The key's or authority's fingerprint.
    pub fingerprint: String,
    /// Whose.
    pub principal: Option<String>,
    /// Whether it was left out for that.
    pub left_out: bool,
    /// What it is.
    pub why: String,
}

impl Keyring {
    /// Chooses what another program is told. `accepts` says whether this principal's signatures are accepted
    /// where they are wanted.
    pub fn export<'k>(
        &'k self,
        selection: &Selection<'_>,
        accepts: &dyn Fn(&Principal) -> bool,
    ) -> Export<'k> {
        let mut out = Export::default();
        let mut keys: Vec<&Key> = self.keys().iter().collect();
        keys.sort_by_cached_key(|key| (key.principal.name.clone(), key.material.fingerprint()));
        for key in keys {
            let Principal { name, groups, .. } = &*key.principal;
            let chosen = selection.principal.is_none_or(|wanted| wanted == name)
                && selection.group.is_none_or(|wanted| groups.iter().any(|group| group == wanted));
            if !chosen || !matches!(key.standing(selection.at), Standing::Valid { .. }) || !signs(key) {
                continue;
            }
            if !accepts(&key.principal) {
                continue;
            }
            let note = |left_out: bool, why: String| Note {
                fingerprint: key.material.fingerprint(),
                principal: Some(name.clone()),
                left_out,
                why,
            };
            if !selection.target.reads(key.material.scheme()) {
                let kind = if key.material.scheme() == Scheme::Ssh { "SSH" } else { "OpenPGP" };
                out.notes.push(note(true, format!("the format has no {kind} keys")));
                continue;
            }
            let found = self.judge_key(key, selection);
            let left_out = found.hopeless || (!found.wider.is_empty() && !selection.wider);
            out.notes.extend(found.wider.into_iter().map(|why| note(left_out, why)));
            out.notes.extend(found.told.into_iter().map(|why| note(left_out, why)));
            if !left_out {
                out.keys.push(Exported { key, spans: found.spans, signers: found.signers });
            }
        }
        self.export_authorities(selection, &mut out);
        out
    }

    fn judge_key(&self, key: &Key, selection: &Selection<'_>) -> Judged {
        let mut judged = Judged::default();
        let target = selection.target;
        let end = ending(key, selection.at);
        if target.has_windows() {
            judged.spans = spans(key, end);
            if judged.spans.is_empty() {
                judged.hopeless = true;
                judged
                    .told
                    .push("it counts for less than two seconds, and the format has no such time".into());
            }
        }
        match &key.material {
            Material::OpenPgp(certificate) => {
                judged.signers = certificate.signers(selection.at);
                let primary = certificate.algorithm().weakness();
                judged.wider.extend(primary.map(|what| format!("its primary key is {what}")));
                let windows = &key.windows;
                let born = judged.signers.iter().map(|signer| signer.created).min();
                if windows.begins().is_some_and(|from| born.is_none_or(|born| born < from)) {
                    judged.wider.push("the format does not say from when it counts (`valid-from`)".into());
                }
                let dies = |end| judged.signers.iter().all(|one| one.until.is_some_and(|own| own <= end));
                if end.is_some_and(|end| !dies(end)) {
                    judged.wider.push(NO_END.into());
                }
                if windows.spans().len() > 1 {
                    judged.wider.push("the format does not say when it counts in between".into());
                }
                if judged.signers.is_empty() {
                    judged.hopeless = true;
                    judged.told.push("none of its keys signs data then".into());
                }
            }
            Material::Ssh(public) => {
                if public.algorithm() == "ssh-rsa" && public.bits() > crate::signature::ssh::MAX_RSA_BITS {
                    judged.hopeless = true;
                    judged.told.push("it is larger than what is verified here, so it never counts".into());
                }
                if !target.has_windows() {
                    if key.windows.begins().is_some() {
                        judged
                            .wider
                            .push("the format does not say from when it counts (`valid-from`)".into());
                    }
                    if end.is_some() {
                        judged.wider.push(NO_END.into());
                    }
                }
                if let Some(application) = public.application() {
                    judged.fido(key, application, selection.rules);
                }
            }
        }
        let asked = selection.asked.iter();
        judged.wider.extend(asked.map(|rule| format!("the format does not say what the rule `{rule}` asks")));
        if !(key.roles.has(Role::Commit) && key.roles.has(Role::Tag)) {
            judged.wider.push(format!("the format does not say that it signs as {} only", key.roles));
        }
        judged
    }

    /// Authorities, which only `allowed_signers` has.
    fn export_authorities<'k>(&'k self, selection: &Selection<'_>, out: &mut Export<'k>) {
        let mut authorities: Vec<&Authority> = self.authorities().iter().collect();
        // Certificates that name those people or hold those keys are refused here.
        let at = selection.at;
        let ssh = |key: &&Key| matches!(key.material, Material::Ssh(_));
        let revoked =
            self.keys().iter().filter(ssh).any(|key| key.revoked.as_ref().is_some_and(|one| one.applies(at)));
        let listed = self.parts.lists.iter().any(|list| !list.is_empty());
        let suspended = self.parts.suspended.values().any(|one| one.applies(at));
        let own: Vec<&Key> =
            self.keys().iter().filter(ssh).filter(|key| self.listed(&key.id()).is_some()).collect();
        let limited = own.iter().any(|key| {
            let signs = key.roles.has(Role::Commit) && key.roles.has(Role::Tag);
            !signs || !key.fido.is_empty() || !matches!(key.windows.at(at), Position::Inside { .. })
        });
        // Those to come end it then.
        let ends = self.keys().iter().filter(ssh).filter_map(|key| key.revoked.as_ref()?.refused_from());
        let ends = ends.chain(self.parts.suspended.values().filter_map(|one| one.at));
        let ends = ends.chain(own.iter().filter_map(|key| key.windows.ends()));
        let next = ends.filter(|from| *from > at).min();
        authorities.sort_by_cached_key(|one| one.key.fingerprint());
        for authority in authorities {
            if !matches!(authority.standing(selection.at), Standing::Valid { .. }) {
                continue;
            }
            let note = |left_out: bool, why: &str| Note {
                fingerprint: authority.key.fingerprint(),
                principal: None,
                left_out,
                why: why.to_owned(),
            };
            if selection.target != Target::AllowedSigners {
                out.notes.push(note(true, "the format has no certificates, and it is an authority"));
                continue;
            }
            for scope in &authority.scopes {
                let Position::Inside { .. } = scope.windows.at(selection.at) else { continue };
                let mut wider = Vec::new();
                if selection.principal.is_some() || selection.group.is_some() {
                    wider.push("it is an authority, and certifies others than those who were asked for");
                }
                if revoked || listed {
                    wider
                        .push("SSH keys are revoked, and nobody asks for that there when they are certified");
                }
                if suspended {
                    wider.push("people are suspended, and their certificates would be accepted");
                }
                if limited {
                    wider.push(
                        "SSH keys have ended, or have roles or demands of their own, which counts here when they are certified",
                    );
                }
                if !selection.asked.is_empty() {
                    wider.push("the format does not say what the rulesets ask of signatures");
                }
                if selection.restricted {
                    wider.push(
                        "it is an authority, and the rulesets do not accept everybody whom it certifies",
                    );
                }
                if !(scope.roles.has(Role::Commit) && scope.roles.has(Role::Tag)) {
                    wider.push("the format does not say what certified keys are for (`roles`)");
                }
                if !scope.serials.is_empty() {
                    wider.push("the format does not say which serial numbers count (`serials`)");
                }
                let demand = |demand: Option<Demand>| demand == Some(Demand::Required);
                let fido = &scope.fido;
                if demand(fido.touch) || demand(fido.user_verification) || fido.applications.is_some() {
                    wider.push("the format does not say what is asked of certified FIDO keys");
                }
                let end = earliest(
                    scope.windows.ends(),
                    authority.revoked.as_ref().and_then(|one| one.refused_from()),
                );
                let end = earliest(end, next);
                let spans: Vec<_> = scope
                    .windows
                    .spans()
                    .iter()
                    .filter_map(|span| seconds(span.from, earliest(span.until, end)))
                    .collect();
                let left_out = spans.is_empty() || (!wider.is_empty() && !selection.wider);
                out.notes.extend(wider.iter().map(|why| note(left_out, why)));
                if !left_out {
                    let told = "its certificates are taken by what they say of themselves: more than one person in one, \
                                keys that are somebody else's, and FIDO keys that were not touched, are refused \
                                here only";
                    out.notes.push(note(false, told));
                    out.authorities.push(ExportedAuthority { authority, scope, spans });
                }
            }
        }
    }
}

const NO_END: &str =
    "the format does not say when it ends (`valid-until`, `revoked` or a suspension in the future)";

/// Whether it signs anything at all that git knows.
fn signs(key: &Key) -> bool {
    key.roles.has(Role::Commit) || key.roles.has(Role::Tag)
}

#[derive(Default)]
struct Judged {
    spans: Vec<(Option<i64>, Option<i64>)>,
    signers: Vec<Signer>,
    /// What the other program would take more than is taken here for.
    wider: Vec<String>,
    told: Vec<String>,
    /// It cannot be written.
    hopeless: bool,
}

impl Judged {
    /// What is asked of a FIDO key: nobody else asks it.
    fn fido(&mut self, key: &Key, application: &str, rules: &Rules) {
        let allowed = key.fido.applications.as_ref().unwrap_or(&rules.fido_applications);
        if !allowed.iter().any(|pattern| super::fido::application_matches(pattern, application)) {
            self.hopeless = true;
            self.told
                .push("it was made for an application that is not allowed here, so it never counts".into());
        }
        if key.fido.touch.unwrap_or(rules.touch) == Demand::Required {
            self.wider.push("a touch is asked for here, and nobody asks for it there".into());
        }
        if key.fido.user_verification.unwrap_or(rules.user_verification) == Demand::Required {
            self.wider.push("a PIN or a finger is asked for here, and nobody asks for it there".into());
        }
    }
}

/// When a key that counts at `at` stops to: by its last window, a revocation or a suspension to come.
fn ending(key: &Key, at: Timestamp) -> Option<Timestamp> {
    let revoked = key.revoked.as_ref().and_then(|revoked| revoked.refused_from());
    let suspended = key.suspended.as_ref().and_then(|suspended| suspended.at);
    let future = [revoked, suspended].into_iter().flatten().filter(|from| *from > at).min();
    earliest(key.windows.ends(), future)
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn spans(key: &Key, end: Option<Timestamp>) -> Vec<(Option<i64>, Option<i64>)> {
    let spans = key.windows.spans().iter();
    spans.filter_map(|span| seconds(span.from, earliest(span.until, end))).collect()
}

/// The first and the last second inside of a span. `None` where OpenSSH has no words for it: it wants the last
/// one to be later than the first, and no time before 1970.
fn seconds(from: Option<Timestamp>, until: Option<Timestamp>) -> Option<(Option<i64>, Option<i64>)> {
    let ceiling = |time: Timestamp| {
        let second = time.as_millisecond().div_euclid(1000);
        if time > Timestamp::from_second(second).unwrap_or(Timestamp::MAX) { second + 1 } else { second }
    };
    let from = from.map(ceiling).filter(|second| *second > 0);
    let last = until.map(|until| ceiling(until) - 1);
    match (from, last) {
        (_, Some(last)) if last <= from.unwrap_or(0) => None,
        span => Some(span),
    }
}
