//! The listener's certificate: read at the start, and again when it changes.

use crate::domain::text;
use crate::service::Gate;
use rustls::ServerConfig;
use rustls::crypto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsAcceptor;

/// What connections are accepted with.
pub(super) struct Tls {
    acceptor: Mutex<TlsAcceptor>,
    /// Digest of the certificate that was tried last, and what came of it.
    tried: Mutex<(Vec<u8>, Option<String>)>,
}

impl Tls {
    /// With the certificate that is there now; `None` where the listener speaks in the clear.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn start(gate: &Gate) -> Option<Result<Self, String>> {
        let keys = gate.listener_keys()?;
        let read = keys.and_then(|keys| {
            let acceptor = acceptor(&keys.certificate, keys.key.expose())?;
            Ok(Tls { acceptor: Mutex::new(acceptor), tried: Mutex::new((keys.certificate, None)) })
        });
        Some(read)
    }

    /// What the next connection is accepted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the certificate again. A bad one changes nothing, and is told once.
    pub(super) fn look(&self, gate: &Gate) {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = match gate.listener_keys() {
            Some(keys) => keys,
            None => {
                Err("[daemon.tls] was taken out of the configuration: restart the daemon for that".to_owned())
            }
        };
        let taken = match keys {
            // The key belongs to the certificate, and changes with it.
            Ok(keys) if keys.certificate == tried.0 && tried.1.is_none() => return,
            Ok(keys) => {
                let made = acceptor(&keys.certificate, keys.key.expose());
                made.map(|acceptor| (acceptor, keys.certificate))
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok((acceptor, certificate)) => {
                *self.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = acceptor;
                *tried = (certificate, None);
                gate.certificate_read(None);
                tracing::info!("the listener's new certificate is in use");
            }
            Err(error) => {
                if tried.1.as_ref() != Some(&error) {
                    tracing::error!(%error, "the listener's new certificate cannot be used, and the one before stays");
                    gate.certificate_read(Some(error.clone()));
                    tried.1 = Some(error);
                }
            }
        }
    }
}

fn acceptor(certificate: &[u8], key: &[u8]) -> Result<TlsAcceptor, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is not PEM: {}", plain(&error.to_string())))?;
    if chain.is_empty() {
        return Err("there is no certificate in the file".to_owned());
    }
    // Its text could quote the key.
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| "the key is not a private key in PEM".to_owned())?;
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| plain(&error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("certificate and key cannot be used: {}", plain(&error.to_string())))?;
    let mut config = config;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn plain(message: &str) -> String {
    text::escape_short(message.as_bytes(), 300)
}
