//! Whether a directory has an entry, whatever it is.

use super::{Connector, Trace, search};
use crate::config::SearchScope;
use ldap::{Dn, Filter};
use model::Unavailable;
use std::time::Duration;
use tokio::time::timeout;

impl Connector {
    /// Whether any entry below these bases matches; without bases, below those of the accounts.
    pub(crate) async fn has_entry(&self, bases: &[Dn], filter: &Filter) -> Result<bool, Unavailable> {
        let bases = match bases {
            [] => self.patterns.accounts.bases.as_slice(),
            named => named,
        };
        let limit = Duration::from_secs(self.config.timeout).saturating_mul(3);
        match timeout(limit, Box::pin(self.search_for_any(bases, filter))).await {
            Ok(answer) => answer,
            Err(_) => Err(self.pool.unavailable(&format!("no answer within {limit:?}"))),
        }
    }

    async fn search_for_any(&self, bases: &[Dn], filter: &Filter) -> Result<bool, Unavailable> {
        // RFC 4511 section 4.5.1.8: no attributes.
        let attributes = ["1.1".to_owned()];
        for base in bases {
            let query = search::Query {
                base,
                scope: SearchScope::Sub,
                filter,
                attributes: &attributes,
            };
            let (found, pooled) =
                search::at_most_two(&self.pool, &*self.clock, &query, &mut Trace::Off).await?;
            if !found.is_empty() {
                return Ok(true);
            }
            let may = self.may_say_no(&pooled).await;
            may.map_err(|why| self.pool.unavailable(&why))?;
        }
        Ok(false)
    }
}
