//! The crate against a real slapd.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod ad;
mod authentication;
mod checking;
mod clock_jumps;
mod domains;
mod facts;
mod faults;
mod feed;
mod file_map;
mod groups;
mod indirect;
mod keys;
mod live;
mod lookup;
mod mechanisms;
mod mutated;
mod operator;
mod oversized;
mod passwords;
mod persist;
mod proxy;
mod recheck;
mod slapd;
mod spy;
mod write;

use directory::{Connector, ConnectorConfig};
use model::{Address, Clock, ManualClock, Secret, Timestamp};
use slapd::{ROOT, ROOT_PASSWORD, SUFFIX, Slapd};
use std::sync::Arc;

fn config(servers: &[&Slapd]) -> ConnectorConfig {
    let uris = servers.iter().map(|slapd| slapd.uri()).collect();
    let mut config = ConnectorConfig::openldap("test", uris, vec![format!("ou=Users,{SUFFIX}")]);
    config.bind_dn = Some(ROOT.to_owned());
    config.bind_password = Some(Secret::from(ROOT_PASSWORD));
    config.groups.base_dn = vec![format!("ou=Groups,{SUFFIX}")];
    config.domains = vec![model::Domain::parse("localdomain.test").expect("a domain")];
    config
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)))
}

fn connect(config: ConnectorConfig, clock: &Arc<ManualClock>) -> Arc<Connector> {
    let clock: Arc<dyn Clock> = clock.clone();
    Connector::new(config, clock).expect("a good configuration")
}

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}
