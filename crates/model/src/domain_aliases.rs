//! Domains that are other names of a hosted domain.

use crate::{Address, Domain};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which domain stands for which: an address in an alias domain is the same address in its main domain. Cloning is
/// a reference count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DomainAliases(Arc<BTreeMap<Domain, Domain>>);

impl DomainAliases {
    /// Pairs of an alias and its main domain. A main domain that is itself an alias is not followed: the
    /// configuration refuses that.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = (Domain, Domain)>) -> Self {
        Self(Arc::new(pairs.into_iter().collect()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The main domain of an alias; none for every other domain.
    #[must_use]
    pub fn main_of(&self, domain: &str) -> Option<&Domain> {
        self.0.get(domain)
    }

    /// The domain under which things are kept.
    #[must_use]
    pub fn domain(&self, domain: Domain) -> Domain {
        self.main_of(domain.as_str()).cloned().unwrap_or(domain)
    }

    /// The same address in its main domain.
    #[must_use]
    pub fn address(&self, address: Address) -> Address {
        match self.main_of(address.domain_str()) {
            Some(main) => address.in_domain(main),
            None => address,
        }
    }

    /// The same login in its main domain, when it is an address in an alias domain; none for every other text.
    #[must_use]
    pub fn login(&self, login: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let (local, domain) = login.rsplit_once('@')?;
        let main = self.main_of(Domain::parse(domain).ok()?.as_str())?;
        Some(format!("{local}@{main}"))
    }

    /// The other names of a main domain, in order.
    pub fn aliases_of<'a>(&'a self, main: &'a str) -> impl Iterator<Item = &'a Domain> {
        let of = move |(alias, known): (&'a Domain, &Domain)| (known.as_str() == main).then_some(alias);
        self.0.iter().filter_map(of)
    }

    /// Each alias with its main domain, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Domain, &Domain)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_another_name() {
        let domain = |text: &str| Domain::parse(text).expect(text);
        let aliases = DomainAliases::new([
            (domain("old.test"), domain("new.test")),
            (domain("bücher.test"), domain("new.test")),
        ]);
        for (given, kept) in [
            ("Anna+x@OLD.test", "Anna+x@new.test"),
            ("anna@new.test", "anna@new.test"),
            ("anna@sub.old.test", "anna@sub.old.test"),
            ("\"a b\"@xn--bcher-kva.test", "a b@new.test"),
        ] {
            let address = Address::parse(given).expect(given);
            assert_eq!(aliases.address(address).as_str(), kept);
        }
        assert_eq!(
            aliases.login("anna@bücher.test").as_deref(),
            Some("anna@new.test")
        );
        for login in ["anna", "anna@new.test", "anna@", "@", ""] {
            assert_eq!(aliases.login(login), None, "{login}");
        }
        let names: Vec<&str> = aliases.aliases_of("new.test").map(Domain::as_str).collect();
        assert_eq!(names, ["old.test", "xn--bcher-kva.test"]);
        assert_eq!(aliases.aliases_of("old.test").count(), 0);
        assert_eq!(aliases.domain(domain("old.test")), domain("new.test"));
        assert!(DomainAliases::default().is_empty());
    }
}
