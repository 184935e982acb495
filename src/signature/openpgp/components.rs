//! The keys of a certificate one by one, for people who look after them.

use super::certificate::Certificate;
use super::validity::{Moments, Refusal, Standing, timestamp};
use crate::domain::Timestamp;
use crate::signature::{Rules, Trace};
use data_encoding::HEXUPPER;

/// The primary key or a subkey, and what it is worth by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentKey {
    /// Upper-case hexadecimal.
    pub fingerprint: String,
    /// The 64-bit key id, upper-case hexadecimal: an index, never an identity (O6).
    pub key_id: String,
    /// Whether it is the primary key.
    pub primary: bool,
    /// Its algorithm, `Ed25519` for example.
    pub algorithm: String,
    /// Its size where it is an RSA key, in bits.
    pub rsa_bits: Option<u32>,
    /// When it was made, by its own word.
    pub created: Timestamp,
    /// Whether it may sign data.
    pub standing: Standing,
}

impl Certificate {
    /// Each key at `now`, by the default rules and its own word: the primary key first.
    pub fn component_keys(&self, now: Timestamp) -> Vec<ComponentKey> {
        let moments = Moments::at(now.as_second());
        let rules = Rules::default();
        let keys = self.components().map(|(component, key)| {
            let life = self.judge(component, moments, &self.honoured(component), &rules, &mut Trace::off());
            ComponentKey {
                fingerprint: key.hex(),
                key_id: HEXUPPER.encode(&key.key_id()),
                primary: key.fingerprint == self.primary.fingerprint,
                algorithm: key.algorithm.to_string(),
                rsa_bits: match key.algorithm {
                    super::KeyAlgorithm::Rsa(bits) => Some(bits),
                    _ => None,
                },
                created: timestamp(key.created),
                standing: match life {
                    Ok(life) => Standing::Usable { until: life.ends.map(timestamp) },
                    Err(refusal) => refusal.into(),
                },
            }
        });
        keys.collect()
    }

    /// When the certificate as a whole ends, whatever its keys may do: when its primary key does. `None` where it
    /// never does, or nobody can tell.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        self.primary_life(now.as_second()).map(timestamp)
    }
}

impl From<Refusal> for Standing {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Revoked { reason, since, .. } => Standing::Revoked { reason, since: timestamp(since) },
            Refusal::Expired { at, .. } => Standing::Expired { at: timestamp(at) },
            Refusal::NotYetValid { from, .. } => Standing::NotYetValid { from: timestamp(from) },
            Refusal::Weak(what) => Standing::Weak { what },
            Refusal::WrongPurpose(why) => Standing::NoSigningKey { why },
        }
    }
}
