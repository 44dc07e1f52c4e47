//! Whose certificates are trusted.

use butterdock_net_protocol::{Authority, Cause, Line};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The certificates of the authorities.
///
/// # Errors
/// There is none.
pub(crate) fn certificates(authority: &Authority) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let (all, none) = match authority {
        // Those that cannot be read do not prevent the others.
        Authority::System => (rustls_native_certs::load_native_certs().certs, Cause::NoAuthorities),
        Authority::Own(text) => {
            let wrong = |why: &str| Cause::Order(Line::of(&format!("the certificates of the own authority: {why}")));
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
            let read = read.map_err(|error| wrong(&error.to_string()))?;
            (read, wrong("there is none in the file"))
        }
    };
    let usable = |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    let all: Vec<_> = all.into_iter().filter(usable).collect();
    if all.is_empty() { Err(none) } else { Ok(all) }
}
