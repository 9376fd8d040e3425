//! The trusted certificates: built-in ones, and those of a file.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use std::path::Path;
use thiserror::Error;
use ureq::tls::{Certificate, RootCerts};

/// Why a file of certificates cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaFileError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(std::io::Error),
    /// It is damaged.
    #[error("damaged PEM: {0:?}")]
    Damaged(pem::Error),
    /// It holds no certificate.
    #[error("no certificate in PEM")]
    Empty,
    /// One of its certificates cannot be used.
    #[error("certificate {number}: {error}")]
    Certificate {
        /// The position of the certificate, counted from 1.
        number: usize,
        /// The error.
        error: rustls::Error,
    },
}

/// The built-in roots, and those of `file`.
pub(crate) fn roots(file: Option<&Path>) -> Result<RootCerts, CaFileError> {
    let Some(file) = file else {
        return Ok(RootCerts::WebPki);
    };
    let pem = std::fs::read(file).map_err(CaFileError::Unreadable)?;
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.len();
    let mut roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
    // The HTTP client would silently skip certificates that it cannot use.
    let mut usable = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(CaFileError::Damaged)?;
        let number = roots.len() - built_in + 1;
        let refused = |error| CaFileError::Certificate { number, error };
        usable.add(certificate.clone()).map_err(refused)?;
        roots.push(certificate);
    }
    if usable.is_empty() {
        return Err(CaFileError::Empty);
    }
    let roots = roots.iter().map(|root| Certificate::from_der(root).to_owned());
    Ok(RootCerts::from(roots))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content: &[u8]) -> Result<RootCerts, CaFileError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        roots(Some(file.path()))
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn roots_of_a_file_come_beside_the_built_in_ones() {
        assert!(matches!(roots(None), Ok(RootCerts::WebPki)));
        let file = format!("# ours\n{}\n\n# and theirs\n{}", certificate(), certificate());
        let Ok(RootCerts::Specific(all)) = with(file.as_bytes()) else { panic!() };
        let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.len();
        assert_eq!((all.len(), built_in > 50), (built_in + 2, true));
    }

    #[test]
    fn file_that_is_missing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("none"), dir.path().to_owned()] {
            assert!(matches!(roots(Some(&path)), Err(CaFileError::Unreadable(_))));
        }
    }

    #[test]
    fn file_without_certificates_is_refused() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for content in ["", "\n\n", "no PEM at all", key] {
            assert!(matches!(with(content.as_bytes()), Err(CaFileError::Empty)), "{content}");
        }
        assert!(matches!(with(&[0, 159, 146, 150]), Err(CaFileError::Empty)));
    }

    #[test]
    fn file_with_one_bad_certificate_is_refused() {
        let cut = certificate().replace("-----END CERTIFICATE-----", "");
        assert!(matches!(with(cut.as_bytes()), Err(CaFileError::Damaged(_))));
        let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let bad = format!("{}{bad}", certificate());
        let refused = with(bad.as_bytes()).unwrap_err();
        assert!(matches!(refused, CaFileError::Certificate { number: 2, .. }), "{refused}");
    }
}
