//! Secrets, which are never shown.

use super::ForgeKind;
use std::fmt;

/// Bytes that nobody may read in a log: not shown by `Debug`, not comparable with `==`.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes as they are; an empty secret is none.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty()).then_some(Secret(bytes))
    }

    /// The bytes, for computing with.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is done with a webhook's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// It is the key of an HMAC over the body.
    Hmac,
    /// GitLab sends it along, as it is.
    Token,
    /// It is the key of Standard Webhooks, written `whsec_…`: id, time and body are signed.
    Signing,
}

impl SecretKind {
    /// The word used in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            SecretKind::Hmac => "hmac",
            SecretKind::Token => "token",
            SecretKind::Signing => "signing",
        }
    }

    /// Reads the word used in configuration.
    pub fn parse(name: &str) -> Option<Self> {
        [SecretKind::Hmac, SecretKind::Token, SecretKind::Signing]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Why a secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// This forge has no such secrets.
    #[error("{} has no secrets of the kind `{}`", .0.name(), .1.name())]
    Kind(ForgeKind, SecretKind),
    /// Not of the form that Standard Webhooks gives its keys.
    #[error("a signing secret is `whsec_` and the base64 of 24 to 64 bytes")]
    Signing,
    /// What cannot be sent in a header can never be received in one.
    #[error("a secret token is visible ASCII, without a space at either end")]
    Token,
}

/// What a source's deliveries are authenticated with. Several of a kind are one secret and those that it
/// replaces or will be replaced by: any one of them does.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    pub(super) hmac: Vec<Secret>,
    pub(super) tokens: Vec<Secret>,
    pub(super) signing: Vec<Secret>,
}

impl Secrets {
    /// None at all; nothing is authentic then.
    pub fn new() -> Self {
        Self::default()
    }

    /// The kind that `secret` has where the configuration does not say: the one kind of its forge, and for
    /// GitLab what its form tells.
    pub fn usual_kind(forge: ForgeKind, secret: &Secret) -> SecretKind {
        match forge {
            ForgeKind::GitLab if secret.expose().starts_with(PREFIX) => SecretKind::Signing,
            ForgeKind::GitLab => SecretKind::Token,
            ForgeKind::Generic => SecretKind::Signing,
            _ => SecretKind::Hmac,
        }
    }

    /// Adds one.
    ///
    /// # Errors
    /// The forge has no such secrets, or this one has not the form of its kind.
    pub fn add(&mut self, forge: ForgeKind, kind: SecretKind, secret: &Secret) -> Result<(), SecretError> {
        let gitlab = forge == ForgeKind::GitLab;
        let fits = match kind {
            SecretKind::Hmac => !gitlab && forge != ForgeKind::Generic,
            SecretKind::Token => gitlab,
            SecretKind::Signing => gitlab || forge == ForgeKind::Generic,
        };
        if !fits {
            return Err(SecretError::Kind(forge, kind));
        }
        match kind {
            SecretKind::Hmac => self.hmac.push(secret.clone()),
            SecretKind::Token => {
                let bytes = secret.expose();
                let ends = [bytes.first(), bytes.last()];
                if !bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) || ends.contains(&Some(&b' ')) {
                    return Err(SecretError::Token);
                }
                self.tokens.push(secret.clone());
            }
            SecretKind::Signing => self.signing.push(signing_key(secret)?),
        }
        Ok(())
    }

    /// Whether a delivery that is not signed is believed by its token, although signed ones are expected.
    pub fn token_beside_signing(&self) -> bool {
        !self.tokens.is_empty() && !self.signing.is_empty()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hmac.is_empty() && self.tokens.is_empty() && self.signing.is_empty()
    }
}

const PREFIX: &[u8] = b"whsec_";

fn signing_key(text: &Secret) -> Result<Secret, SecretError> {
    let base64 = text.expose().strip_prefix(PREFIX).ok_or(SecretError::Signing)?;
    let key = data_encoding::BASE64.decode(base64).map_err(|_| SecretError::Signing)?;
    // A short key can be found by trying.
    if !(24..=64).contains(&key.len()) {
        return Err(SecretError::Signing);
    }
    Secret::new(key).ok_or(SecretError::Signing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new(b"hunter2".to_vec()).unwrap();
        let mut secrets = Secrets::new();
        secrets.add(ForgeKind::GitHub, SecretKind::Hmac, &secret).unwrap();
        assert!(!format!("{secret:?} {secrets:?}").contains("hunter2"));
        assert!(Secret::new(Vec::new()).is_none());
    }

    #[test]
    fn each_forge_has_its_kinds() {
        let any = Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec()).unwrap();
        for forge in ForgeKind::ALL {
            let kinds = [SecretKind::Hmac, SecretKind::Token, SecretKind::Signing];
            let taken = kinds.map(|kind| Secrets::new().add(*forge, kind, &any).is_ok());
            let expected = match forge {
                ForgeKind::GitLab => [false, true, true],
                ForgeKind::Generic => [false, false, true],
                _ => [true, false, false],
            };
            assert_eq!(taken, expected, "{forge:?}");
            assert!(Secrets::new().add(*forge, Secrets::usual_kind(*forge, &any), &any).is_ok());
        }
    }

    #[test]
    fn a_signing_secret_has_one_form() {
        for wrong in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
            "whsec_c2hvcnQ=",
            "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let Some(secret) = Secret::new(wrong.as_bytes().to_vec()) else { continue };
            let added = Secrets::new().add(ForgeKind::GitLab, SecretKind::Signing, &secret);
            assert_eq!(added, Err(SecretError::Signing), "{wrong:?}");
        }
        for wrong in ["a\n", " a", "a ", "ä"] {
            let secret = Secret::new(wrong.as_bytes().to_vec()).unwrap();
            let added = Secrets::new().add(ForgeKind::GitLab, SecretKind::Token, &secret);
            assert_eq!(added, Err(SecretError::Token), "{wrong:?}");
        }
    }
}
