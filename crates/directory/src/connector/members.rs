//! Who the members of a group are: from DNs to lasting identities and addresses.

use super::Connector;
use crate::account::{entry_uuid, wanted};
use crate::patterns::EntryKind;
use ldap::{Client, Filter, LdapError, ResultCode, Scope, SearchRequest};
use model::{Address, EntryUuid, Unavailable};
use tokio::task::JoinSet;

/// Look-ups under way at once on the shared connection.
const AT_ONCE: usize = 16;

impl Connector {
    /// Reads the entry of each DN. One that does not exist is left out: a placeholder, a deleted person. One
    /// without an address is named without one, because it may get one later. The order is not kept.
    pub async fn resolve_members(
        &self,
        dns: &[String],
    ) -> Result<Vec<(EntryUuid, Option<Address>)>, Unavailable> {
        let client = self.service().await?;
        let attributes = wanted(self.patterns(), EntryKind::Account);
        let mail = &self.patterns().map.mail;
        let mut found = Vec::with_capacity(dns.len());
        for part in dns.chunks(AT_ONCE) {
            let mut running = JoinSet::new();
            for dn in part {
                running.spawn(one(client.clone(), dn.clone(), attributes.clone(), mail.clone()));
            }
            while let Some(answer) = running.join_next().await {
                let answer = answer.map_err(|error| Unavailable(error.to_string()))?;
                found.extend(answer.map_err(|error| Unavailable(error.to_string()))?);
            }
        }
        Ok(found)
    }
}

async fn one(
    client: Client,
    dn: String,
    attributes: Vec<String>,
    mail: String,
) -> Result<Option<(EntryUuid, Option<Address>)>, LdapError> {
    let request =
        SearchRequest::new(dn, Scope::Base, Filter::Present("objectClass".to_owned())).attributes(attributes);
    let entries = match client.search_all(request, 1).await {
        Ok(entries) => entries,
        Err(error) => {
            return match error.code() {
                Some(ResultCode::NoSuchObject | ResultCode::InvalidDnSyntax) => Ok(None),
                _ => Err(error),
            };
        }
    };
    Ok(entries.first().and_then(|entry| {
        let address = entry.strings(&mail).find_map(|text| Address::parse(text).ok());
        Some((entry_uuid(entry)?, address))
    }))
}
