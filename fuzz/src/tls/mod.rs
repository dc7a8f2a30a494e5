//! What the TLS targets stand on: one certificate for everybody, a socket in the fuzzer's hands, and
//! who is at its other end.

mod forger;
mod honest;
mod socket;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use framewall::tls::{
    Certificate, ClientAuth, Connector, PrivateKey, Roots, ServerCertificate, ServerSettings,
    ServerTrust, Terminator, TlsClient, TlsVersion,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

pub use forger::Forger;
pub use honest::{Honest, Link, shake};
pub use socket::{Calls, Inner, Socket};

/// The longest record, in bytes: a stream keeps less than that of what came.
pub const MAX_RECORD: usize = 18_437;

/// One certificate, and everything that is made of it once.
pub struct Settings {
    /// The gateway's side towards clients.
    pub terminator: Terminator,
    /// The gateway's side towards upstreams.
    pub connector: Connector,
    roots: Arc<RootCertStore>,
    key: Arc<CertifiedKey>,
}

/// The same for all runs: making keys takes time.
pub static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::new);

impl Settings {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("a certificate");
        let chain = vec![made.cert.der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).expect("a root");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let key = Arc::new(key.expect("a key for the certificate"));

        let chain = vec![Certificate::from(made.cert.der().to_vec())];
        let trusted = Roots::new(&chain).expect("a root");
        let private = PrivateKey::from_pem(made.signing_key.serialize_pem().as_bytes());
        let private = private.expect("a key");
        let certificate = ServerCertificate::new(PathBuf::new(), chain, private).expect("a pair");
        let tls = ServerSettings {
            certificates: vec![certificate],
            min_version: TlsVersion::Tls12,
            client_auth: ClientAuth::Off,
        };
        let terminator = Terminator::new(&tls, None).expect("settings that are right");
        let client = TlsClient::new(&ServerTrust::from(trusted)).expect("roots");
        let connector = client.connector("localhost").expect("a name");
        Self { terminator, connector, roots: Arc::new(roots), key }
    }

    /// A client with the settings of the gateway's side towards upstreams.
    #[must_use]
    pub fn upstream_client(&self) -> Arc<ClientConfig> {
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(rustls::ALL_VERSIONS)
                .expect("versions")
                .with_root_certificates(Arc::clone(&self.roots))
                .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// The certificate, for servers.
    #[must_use]
    pub fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.key)))
    }

    /// A client of one version, whose handshakes are fast and never resumed: runs know nothing of
    /// each other.
    #[must_use]
    pub fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(fast())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_secret_extraction = true;
        config
    }

    /// A server of one version.
    #[must_use]
    pub fn server(&self, version: &'static SupportedProtocolVersion) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(fast())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_cert_resolver(self.resolver());
        config.enable_secret_extraction = true;
        config
    }
}

/// The name in the certificate.
#[must_use]
pub fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

/// The byte at this place of everything that either end says.
#[must_use]
pub fn pattern(at: usize) -> u8 {
    u8::try_from(at % 251).expect("less than 251")
}

/// One suite a version, one group.
fn fast() -> Arc<CryptoProvider> {
    use aws_lc_rs::{cipher_suite, kx_group};
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ];
    Arc::new(provider)
}
