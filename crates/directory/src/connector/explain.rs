//! Lookups that tell what they did, for an administrator who wonders.

use super::{Attempt, Connector, Trace};
use crate::account::Lookup;
use model::Address;

impl Connector {
    /// [`Connector::lookup_address`] with each search that it made.
    pub async fn explain_address(&self, address: &Address) -> (Lookup, Vec<Attempt>) {
        let mut trace = Trace::On(Vec::new());
        let lookup = self.find_address(address, &mut trace).await.into_lookup();
        (lookup, trace.take())
    }

    /// [`Connector::lookup_login`] with each search that it made.
    pub async fn explain_login(&self, login: &str) -> (Lookup, Vec<Attempt>) {
        let mut trace = Trace::On(Vec::new());
        let lookup = self.find_login(login, &[], &mut trace).await.into_lookup();
        (lookup, trace.take())
    }

    /// The template that finds an address, with its default filled in.
    #[must_use]
    pub fn address_pattern(&self) -> String {
        crate::patterns::texts(&self.config, &self.patterns.map).0
    }

    /// The template that finds a login, with its default filled in.
    #[must_use]
    pub fn login_pattern(&self) -> String {
        crate::patterns::texts(&self.config, &self.patterns.map).1
    }
}
