//! What is asked of signatures by FIDO keys (S5).

use crate::signature::{Demand, Fido, Rules};

/// What one entry asks of FIDO signatures; what it leaves out, `[signatures]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FidoDemands {
    /// Whether somebody has to touch the authenticator.
    pub touch: Option<Demand>,
    /// Whether the authenticator has to know who it was.
    pub user_verification: Option<Demand>,
    /// The applications that keys may be made for: exact, or with a final `*`.
    pub applications: Option<Vec<String>>,
}

impl FidoDemands {
    /// Whether the entry says anything.
    pub fn is_empty(&self) -> bool {
        *self == FidoDemands::default()
    }

    /// What a signature lacks. `excused` is whether a certificate says that no
    /// touch is needed, for a key that a certificate vouches for; it counts only where the demand is
    /// `any`, and without it such a key has to be touched, as OpenSSH has it.
    pub(super) fn lacks(&self, seen: &Fido, excused: Option<bool>, rules: &Rules) -> Option<Lack> {
        let allowed = self.applications.as_ref().unwrap_or(&rules.fido_applications);
        if !allowed.iter().any(|name| application_matches(name, &seen.application)) {
            let application = crate::domain::text::escape_short(seen.application.as_bytes(), 60);
            let why = format!(
                "the key was made for the application `{application}`, which is not among those allowed"
            );
            let remedy = "using a key for one that is: `ssh-keygen -t ed25519-sk` makes one for `ssh:`";
            return Some(Lack { why, remedy });
        }
        let word = |set: bool| if set { "yes" } else { "no" };
        let flags = format!(
            "the authenticator says user present: {}, user verified: {}",
            word(seen.user_present),
            word(seen.user_verified)
        );
        let touch = self.touch.unwrap_or(rules.touch) == Demand::Required || excused == Some(false);
        if touch && !seen.user_present {
            let why = format!("{flags}, and a touch is required");
            let remedy = "and touch the authenticator; it does not ask for that with a key made with `no-touch-required`";
            return Some(Lack { why, remedy });
        }
        let verification = self.user_verification.unwrap_or(rules.user_verification) == Demand::Required;
        if verification && !(seen.user_verified && seen.user_present) {
            let why = format!("{flags}, and a PIN or a finger is required");
            let remedy = "using a key made with `ssh-keygen -O verify-required`, which asks for one";
            return Some(Lack { why, remedy });
        }
        None
    }
}

/// What a FIDO signature lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// What was seen, and what is asked.
    pub(super) why: String,
    /// How to sign so that it counts, behind "sign again, ".
    pub(super) remedy: &'static str,
}

/// Whether a name is the pattern, or begins with what stands before its final `*`.
pub(super) fn application_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => name.starts_with(stem),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(user_present: bool, user_verified: bool) -> Fido {
        Fido { application: "ssh:".into(), user_present, user_verified, counter: 1 }
    }

    fn demands(touch: Option<Demand>, user_verification: Option<Demand>) -> FidoDemands {
        FidoDemands { touch, user_verification, applications: None }
    }

    #[test]
    fn f003_f004_what_the_entry_asks_wins_over_the_default() {
        let strict = Rules::default();
        let lax = Rules { touch: Demand::Any, ..Rules::default() };
        let (any, required) = (Some(Demand::Any), Some(Demand::Required));
        let lacks = |demands: FidoDemands, seen: Fido, rules: &Rules| demands.lacks(&seen, None, rules);
        let lack = lacks(demands(None, None), seen(false, false), &strict).unwrap();
        assert!(lack.why.contains("user present: no") && lack.remedy.contains("touch the authenticator"));
        assert_eq!(lacks(demands(None, None), seen(true, false), &strict), None);
        assert_eq!(lacks(demands(None, None), seen(false, false), &lax), None);
        assert_eq!(lacks(demands(any, None), seen(false, false), &strict), None);
        assert!(lacks(demands(required, None), seen(false, false), &lax).is_some());
        assert!(lacks(demands(None, required), seen(true, false), &strict).is_some());
        assert_eq!(lacks(demands(None, required), seen(true, true), &strict), None);
        assert!(lacks(demands(any, required), seen(false, true), &strict).is_some(), "0x04 without 0x01");
    }

    #[test]
    fn f005_applications_are_exact_or_begin_so() {
        for (pattern, name, wanted) in [
            ("ssh:*", "ssh:", true),
            ("ssh:*", "ssh:git", true),
            ("ssh:*", "webauthn.example", false),
            ("ssh:", "ssh:git", false),
            ("ssh:git", "ssh:git", true),
            ("*", "anything", true),
        ] {
            assert_eq!(application_matches(pattern, name), wanted, "{pattern} {name}");
        }
        let only = FidoDemands { applications: Some(vec!["ssh:git".into()]), ..FidoDemands::default() };
        assert!(only.lacks(&seen(true, true), None, &Rules::default()).is_some());
    }

    #[test]
    fn a_certificates_excuse_counts_only_where_any_is_asked() {
        let rules = Rules::default();
        let any = demands(Some(Demand::Any), None);
        assert!(demands(None, None).lacks(&seen(false, false), Some(true), &rules).is_some());
        assert!(any.lacks(&seen(false, false), Some(false), &rules).is_some());
        assert_eq!(any.lacks(&seen(false, false), Some(true), &rules), None);
        assert_eq!(any.lacks(&seen(true, false), Some(false), &rules), None);
    }
}
