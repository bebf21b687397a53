//! The crate against a real Active Directory domain controller (Samba).

mod checking;
mod feed;
mod live;
mod login;
mod lookup;
mod passwords;
mod write;

use super::{clock, connect};
use directory::{Connector, ConnectorConfig};
use model::Secret;
use std::sync::Arc;
use testkit::Samba;

/// The password of everybody here.
const PASSWORD: &str = "secret of everybody";
/// Where people's homes stand.
const HOST: &str = "msDS-cloudExtensionAttribute1";

/// As the domain's administrator, who has every right.
fn config(samba: &Samba) -> ConnectorConfig {
    let mut config = ConnectorConfig::active_directory("test", vec![samba.uri()], vec![samba.people_dn()]);
    config.groups.base_dn = vec![samba.groups_dn()];
    config.bind_dn = Some(samba.administrator.dn.clone());
    config.bind_password = Some(Secret::from(samba.administrator.password.as_str()));
    config.attributes.host = Some(HOST.to_owned());
    config.domains = vec![model::Domain::parse("example.test").expect("a domain")];
    config
}

/// As an ordinary account, which may read the directory and nothing more.
fn as_reader(samba: &Samba) -> ConnectorConfig {
    let reader = "reader@service.test";
    samba
        .add(
            &samba
                .user_ldif("reader", reader, PASSWORD, "")
                .replace(&samba.people_dn(), &format!("CN=Users,{}", samba.suffix)),
        )
        .expect("an ordinary account");
    ConnectorConfig {
        bind_dn: Some(reader.to_owned()),
        bind_password: Some(Secret::from(PASSWORD)),
        ..config(samba)
    }
}

fn person(samba: &Samba, name: &str, more: &str) -> String {
    samba.user_ldif(name, &format!("{name}@example.test"), PASSWORD, more)
}

fn connector(config: ConnectorConfig) -> Arc<Connector> {
    connect(config, &clock())
}
