//! What a server can do, from its root DSE, and which classes and attributes it knows.

use super::vocabulary::Schema;
use ldap::extended::{END_TRANSACTION, START_TRANSACTION};
use ldap::{Client, Dn, Entry, Filter, LdapError, Scope, SearchRequest};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A server as it describes itself (RFC 4512 section 5.1).
pub(super) struct Facts {
    pub(super) transactions: bool,
    pub(super) contexts: Vec<Dn>,
    subschema: String,
    schema: OnceCell<Arc<Schema>>,
}

impl Facts {
    pub(super) async fn read(client: &Client) -> Result<Self, LdapError> {
        let names = ["supportedExtension", "namingContexts", "subschemaSubentry"];
        let root = base(client, "", &names).await?;
        Ok(Self {
            // RFC 5805 section 4 wants the control listed too; OpenLDAP lists the operations only.
            transactions: [START_TRANSACTION, END_TRANSACTION]
                .into_iter()
                .all(|oid| root.strings("supportedExtension").any(|known| known == oid)),
            contexts: root
                .strings("namingContexts")
                .filter_map(|text| Dn::parse(text).ok())
                .filter(|dn| !dn.is_root())
                .collect(),
            subschema: root
                .first_str("subschemaSubentry")
                .unwrap_or("cn=Subschema")
                .to_owned(),
            schema: OnceCell::new(),
        })
    }

    /// Asks for nothing, to hear that the server answers.
    pub(super) async fn look(client: &Client) -> Result<(), LdapError> {
        // RFC 4511 section 4.5.1.8: no attributes.
        base(client, "", &["1.1"]).await.map(drop)
    }

    /// The naming context that holds this entry.
    pub(super) fn context_of(&self, dn: &Dn) -> Option<&Dn> {
        let holds = |context: &&Dn| *context == dn || dn.is_below(context);
        self.contexts
            .iter()
            .filter(holds)
            .max_by_key(|context| context.rdns().len())
    }

    /// The schema; read once for each connection, because it is large.
    pub(super) async fn schema(&self, client: &Client) -> Result<Arc<Schema>, LdapError> {
        let read = async {
            let found = base(client, &self.subschema, &["objectClasses", "attributeTypes"]).await?;
            Ok(Arc::new(Schema::read(&found)))
        };
        self.schema.get_or_try_init(|| read).await.cloned()
    }
}

async fn base(client: &Client, dn: &str, attributes: &[&str]) -> Result<Entry, LdapError> {
    let request = SearchRequest::new(dn, Scope::Base, Filter::Present("objectClass".to_owned()))
        .attributes(attributes.iter().map(|name| (*name).to_owned()));
    let mut found = client.search_all(request, 1).await?;
    Ok(found.pop().unwrap_or_default())
}
