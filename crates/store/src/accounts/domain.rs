//! Hosted domains.

use super::changes::{batch, needs_domain};
use super::rows::{read_domain, write_domain};
use super::types::{DomainInfo, Origin, Touched};
use crate::commit::Expect;
use crate::engine::Space;
use crate::{Store, StoreError, keys};
use model::{Address, Domain};

impl Store {
    /// Hosts a domain.
    pub async fn create_domain(&self, domain: &Domain, origin: &Origin) -> Result<(), StoreError> {
        if let Some(main) = self.domain_aliases().main_of(domain.as_str()) {
            // Its accounts would never be found.
            return Err(StoreError::Invalid(format!("{domain} is an alias of {main}")));
        }
        let key = keys::domain(domain);
        let info = DomainInfo {
            domain: domain.clone(),
            catch_all: None,
            created: self.clock().now(),
        };
        let mut batch = batch();
        let taken = StoreError::AlreadyExists(domain.to_string());
        batch.expect(Space::Directory, key.clone(), Expect::Absent, taken);
        batch.put(Space::Directory, key, write_domain(&info));
        self.journal_row(
            &mut batch,
            None,
            Touched::CREATED,
            origin,
            format!("domain {domain} created"),
        );
        self.commit(batch).await
    }

    /// Sends mail for unknown names of a domain to one address, or refuses it again.
    pub async fn set_catch_all(
        &self,
        domain: &Domain,
        catch_all: Option<Address>,
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let info = self.domain(domain)?.ok_or(StoreError::NotFound("the domain"))?;
        if info.catch_all == catch_all {
            return Ok(());
        }
        let note = match &catch_all {
            Some(address) => format!("catch-all of {domain} is {address}"),
            None => format!("{domain} has no catch-all"),
        };
        let mut batch = batch();
        needs_domain(&mut batch, domain);
        batch.put(
            Space::Directory,
            keys::domain(domain),
            write_domain(&DomainInfo { catch_all, ..info }),
        );
        self.journal_row(&mut batch, None, Touched::CATCH_ALL, origin, note);
        self.commit(batch).await
    }

    /// Stops hosting a domain; [`StoreError::InUse`] while an address of it exists.
    pub async fn delete_domain(&self, domain: &Domain, origin: &Origin) -> Result<(), StoreError> {
        let mut batch = batch();
        needs_domain(&mut batch, domain);
        batch.expect(
            Space::Directory,
            keys::names_of(domain.as_str()),
            Expect::Empty,
            StoreError::InUse(format!("{domain} still has accounts, groups or aliases")),
        );
        batch.delete(Space::Directory, keys::domain(domain));
        self.journal_row(
            &mut batch,
            None,
            Touched::DELETED,
            origin,
            format!("domain {domain} deleted"),
        );
        self.commit(batch).await
    }

    /// All hosted domains, by name.
    pub fn list_domains(&self) -> Result<Vec<DomainInfo>, StoreError> {
        let rows = self.engine().snapshot().all(Space::Directory, keys::DOMAINS)?;
        rows.iter()
            .map(|(key, row)| {
                let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
                let domain = name.and_then(|name| Domain::parse(name).ok());
                let domain = domain.ok_or_else(|| StoreError::Corrupt {
                    account: None,
                    what: "domain key".into(),
                })?;
                read_domain(domain, row)
            })
            .collect()
    }

    /// One hosted domain.
    pub fn domain(&self, domain: &Domain) -> Result<Option<DomainInfo>, StoreError> {
        let row = self.engine().get(Space::Directory, &keys::domain(domain))?;
        row.map(|row| read_domain(domain.clone(), &row)).transpose()
    }

    /// Whether mail for this domain ends here.
    pub fn is_local_domain(&self, domain: &Domain) -> Result<bool, StoreError> {
        let row = self.engine().get(Space::Directory, &keys::domain(domain))?;
        Ok(row.is_some())
    }
}
