//! The right source for a connector: the one place that chooses.

use super::active_directory::ActiveDirectory;
use super::limited::Limited;
use super::{ChangeSource, ContentSync};
use crate::account::wanted;
use crate::config::ServerType;
use crate::connector::Connector;
use crate::patterns::EntryKind;
use ldap::control::DirSyncRights;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The change feed of all accounts and groups of the connector, by its `server_type`: Content Sync, or DirSync
/// and what stands in for it. Connects to nothing yet.
#[must_use]
pub fn open(connector: &Arc<Connector>) -> Box<dyn ChangeSource> {
    open_as(connector, None)
}

/// The same under a replica id, 1 to 999, which OpenLDAP writes into its log. Active Directory knows none.
#[must_use]
pub fn open_as(connector: &Arc<Connector>, replica: Option<u16>) -> Box<dyn ChangeSource> {
    let mut attributes = all_attributes(connector);
    // For whoever has to know when a password became another one.
    attributes.extend(connector.password_stamps());
    source(connector, attributes, DirSyncRights::Replication, replica)
}

/// The same with these attributes only. A consumer on an edge host asks Active Directory for what an ordinary
/// account may see, for the right to replicate shows secret attributes too.
pub(crate) fn open_for(
    connector: &Arc<Connector>,
    attributes: BTreeSet<String>,
    rights: DirSyncRights,
) -> Box<dyn ChangeSource> {
    source(connector, attributes, rights, None)
}

fn source(
    connector: &Arc<Connector>,
    attributes: BTreeSet<String>,
    rights: DirSyncRights,
    replica: Option<u16>,
) -> Box<dyn ChangeSource> {
    let connector = Arc::clone(connector);
    let most = connector.config().max_results;
    let source: Box<dyn ChangeSource> = match connector.config().server_type {
        ServerType::Openldap => Box::new(ContentSync::of(connector, attributes).under(replica)),
        ServerType::ActiveDirectory => Box::new(ActiveDirectory::new(connector, attributes, rights)),
    };
    Limited::to(most, source)
}

pub(super) fn all_attributes(connector: &Connector) -> BTreeSet<String> {
    let patterns = connector.patterns();
    let mut attributes: BTreeSet<String> = wanted(patterns, EntryKind::Account).into_iter().collect();
    attributes.extend(wanted(patterns, EntryKind::Group));
    attributes
}
