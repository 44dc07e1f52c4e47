//! An authority of the test, and certificates for servers.

use std::sync::Arc;

use butterdock_net_protocol::Authority as OrderAuthority;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority that only a test trusts.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For an order.
    pub(crate) fn trusted(&self) -> OrderAuthority {
        OrderAuthority::Own(self.pem.clone())
    }

    /// A server of these names.
    pub(crate) fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.with(CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()))
    }

    /// A server whose certificate has expired.
    pub(crate) fn expired(&self) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.with(Ok(params))
    }

    fn with(&self, params: Result<CertificateParams, rcgen::Error>) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.expect("names").signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).expect("a pair"))
    }
}
