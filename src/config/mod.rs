//! The configuration: one TOML file in, a checked and immutable [`Config`] out, or every error of
//! the file at its place. It reads the file and the files that it names, and nothing else.

mod host;
mod model;
mod origin;
mod path;

pub use host::HostPattern;
pub use model::{
    Auth, Certificate, ClientAuth, Compression, Config, Log, LogFormat, Origins, ProxyProtocol,
    Route, Server, Tls, TlsVersion, Upstream, WebSocket,
};
pub use origin::{Origin, OriginError, is_host, split_port};
pub use path::{PathError, PathPattern, canonical_path};
