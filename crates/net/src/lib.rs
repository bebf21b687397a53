//! Sockets and what surrounds them: the ground under every protocol.
//!
//! Owns listeners with their limits and access rules, TLS loading and reload, the PROXY protocol, name
//! resolution, the line stream, the relay, the list of sessions, metrics, the order to drain, space that sessions
//! share, and caches on an injected clock.
//!
//! Never knows a verb of any protocol, and never decides who may log in.
//!
//! Follows RFC 8446 and RFC 8314 (TLS), RFC 3207 section 4.2 (nothing survives from before the handshake),
//! RFC 6761 section 6.3 (localhost), haproxy's PROXY protocol 1 and 2.

mod access;
mod budget;
mod cache;
mod config;
mod connection;
mod dns;
mod line;
mod listener;
mod metrics;
mod network;
pub mod proxy_protocol;
mod relay;
mod sessions;
mod shutdown;
mod tls;
mod trace;

pub use access::{Access, AccessRule};
pub use budget::{Budget, Share};
pub use cache::{Cached, TtlCache};
pub use config::{
    CertificateConfig, ClientName, ClientTlsConfig, ListenerConfig, TlsConfig, TlsMode,
    check_certificate_names,
};
pub use connection::{Connection, ServerStream, is_exhausted};
pub use dns::{DnsError, Resolver};
pub use line::{LinePolicy, LineStream, ReadError};
pub use listener::{Accepted, BindError, Inherited, Listener, ListenerControl, Rest};
pub use metrics::{Counter, Gauge, Histogram, Metric, Metrics};
pub use network::{Network, NetworkError};
pub use relay::{Leg, Relay, RelayEnd, RelayReport, Watch};
pub use sessions::{
    NewSession, Session, SessionEnd, SessionFilter, SessionId, SessionLimits, SessionRow, Sessions, TooMany,
};
pub use shutdown::{Shutdown, ShutdownTrigger};
pub use tls::{Alpn, ClientTls, ServerTls, TlsBindings, TlsError};
pub use trace::{fresh_nonce, fresh_random, new_trace_id};
