//! A test CA, and servers with certificates signed by it.

use super::{LIMITS, Peer, Server, get, ok};
use cron_engine::Failure;
use cron_io::{Client, ClientOptions};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::NamedTempFile;

static CAS: AtomicUsize = AtomicUsize::new(0);

/// A CA with its certificate in a PEM file.
pub(crate) struct Ca {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) file: NamedTempFile,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        // Issuers are looked up by name, so each CA has its own.
        let number = CAS.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("CA {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A server with a certificate for `host`, after `alter`.
    pub(crate) fn serves(
        &self,
        host: &str,
        alter: impl FnOnce(&mut CertificateParams),
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Server {
        Server::with_tls(self.config(host, alter), script)
    }

    /// The configuration of a server with a certificate for `host`, after `alter`.
    pub(crate) fn config(
        &self,
        host: &str,
        alter: impl FnOnce(&mut CertificateParams),
    ) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        alter(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        config(vec![certificate.der().clone()], &key)
    }

    /// A server that answers with `{}`, with a certificate as above.
    pub(crate) fn answers(&self, host: &str, alter: impl FnOnce(&mut CertificateParams)) -> Server {
        self.serves(host, alter, |peer| peer.answer_all(&ok("{}")))
    }

    /// A client that trusts this CA.
    pub(crate) fn client(&self) -> Client {
        let cacertfile = Some(self.file.path().to_owned());
        Client::new(&ClientOptions { connections: 8, cacertfile }).unwrap()
    }

    /// Fetches from the server with a client that trusts this CA.
    pub(crate) fn get(&self, server: &Server) -> Result<Vec<u8>, Failure> {
        get(&self.client(), &format!("https://user:password@{}", server.address), &LIMITS)
    }
}

/// The configuration of a server with this certificate chain.
pub(crate) fn config(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap()
}
