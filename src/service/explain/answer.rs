//! What an explanation consists of.

use crate::domain::{ObjectId, ObjectKind, Principal, Timestamp};
use crate::service::beside::Beside;
use crate::service::differences::Difference;
use crate::signature::{Check, Finding, KeyId, SignatureStatus};
use std::sync::Arc;

/// Where the time of the receipt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// As if it came in now.
    Now,
    /// As whoever asked has said.
    Given,
    /// From the gate's record.
    Recorded,
}

impl Receipt {
    /// The word used in output.
    pub const fn name(self) -> &'static str {
        match self {
            Receipt::Now => "now",
            Receipt::Given => "given",
            Receipt::Recorded => "recorded",
        }
    }
}

/// What is wrong with an object, whatever its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFault {
    /// Stable code such as `obj.nul`.
    pub code: &'static str,
    /// The same for people, escaped.
    pub why: String,
}

/// Somebody whom an object names: a claim. All escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Of the line `author`, `committer` or `tagger`.
    pub role: &'static str,
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

/// What an annotated tag points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: ObjectId,
    /// Its kind, as the tag claims.
    pub kind: ObjectKind,
    /// The name that the tag was made for, escaped.
    pub name: String,
}

/// A ruleset that judges the ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covering {
    /// Its name.
    pub name: String,
    /// `enforce` or `evaluate`.
    pub enforcement: &'static str,
}

/// The reasoning. Everything in it that comes from an object, a key or a program is escaped.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Which object.
    pub object: ObjectId,
    /// Commit or tag.
    pub kind: ObjectKind,
    /// The ref that was named.
    pub reference: Option<String>,
    /// The rulesets that judge it; empty without a configuration or a ref.
    pub covering: Vec<Covering>,
    /// What is wrong with the object itself, or with where it stands.
    pub fault: Option<ObjectFault>,
    /// Whom it names.
    pub people: Vec<Person>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// For tags.
    pub target: Option<Target>,
    /// `openpgp`, `ssh` or `x509`, by the BEGIN line.
    pub format: Option<&'static str>,
    /// The key that signed, or the one that the signature names.
    pub key: Option<KeyId>,
    /// Key algorithm and digest, of a verified signature.
    pub algorithm: Option<String>,
    /// The fingerprint under which the keyring holds the key.
    pub entry: Option<String>,
    /// The owner of that key; a proof only if the object is accepted.
    pub principal: Option<Arc<Principal>>,
    /// The time that the object claims, seconds since the epoch.
    pub claimed: Option<i64>,
    /// The time inside the signature, where it has one.
    pub signed: Option<Timestamp>,
    /// When it was received, or is taken to be.
    pub received: Timestamp,
    /// How that is known.
    pub receipt: Receipt,
    /// Why the record was not asked, where there is one.
    pub unrecorded: Option<String>,
    /// The clock.
    pub now: Timestamp,
    /// The steps, in their order. Where the object is not accepted at least one of them failed.
    pub checks: Vec<Check>,
    /// The signature's verdict; `None` where the object's fault kept it from being looked at.
    pub status: Option<SignatureStatus>,
    /// What is odd and stops nothing.
    pub findings: Vec<Finding>,
    /// What git says.
    pub git: Beside,
    /// Why git says something else.
    pub difference: Option<Difference>,
}

impl Explanation {
    /// Whether the object is signed by a principal of the keyring and nothing is wrong with it.
    pub fn accepted(&self) -> bool {
        self.fault.is_none() && matches!(self.status, Some(SignatureStatus::Verified(_)))
    }

    /// One word for the verdict.
    pub fn status_name(&self) -> &'static str {
        match (&self.fault, &self.status) {
            (Some(ObjectFault { code: TAG_NAME, .. }), _) => "wrong-name",
            (Some(ObjectFault { code: TOO_LARGE, .. }), _) => "too-large",
            (Some(_), _) | (None, None) => "malformed-object",
            (None, Some(status)) => status.name(),
        }
    }

    /// The reason code, where there is one.
    pub fn code(&self) -> Option<&'static str> {
        match (&self.fault, &self.status) {
            (Some(fault), _) => Some(fault.code),
            (None, Some(SignatureStatus::Malformed { code, .. })) => Some(code),
            _ => None,
        }
    }

    /// The verdict as a phrase.
    pub fn phrase(&self) -> String {
        match (&self.fault, &self.status) {
            (Some(fault), _) => fault.why.clone(),
            (None, Some(status)) => status.to_string(),
            (None, None) => "not judged".to_owned(),
        }
    }
}

/// The code of a tag under another name.
pub(super) const TAG_NAME: &str = "tag.name";
/// The code of an object that is not read.
pub(super) const TOO_LARGE: &str = "obj.too_large";
