//! The same work with the library `ldap3`: one connection for searches, as a program that uses it well would.

use super::homing::{Meter, at_once};
use super::{Answer, Job};
use anyhow::{Context, Result, ensure};
use ldap3::{Ldap, LdapConnAsync, Scope, SearchEntry, drive};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// Where and as whom.
struct Place {
    uri: String,
    base: String,
    bind_dn: String,
    bind_password: String,
}

impl Place {
    fn of(job: &Job) -> Result<Self> {
        let text = |pointer: &str| {
            let found = job.connector.pointer(pointer).and_then(serde_json::Value::as_str);
            found.map(str::to_owned).with_context(|| format!("no {pointer}"))
        };
        Ok(Self {
            uri: text("/uris/0")?,
            base: text("/accounts/base_dn/0")?,
            bind_dn: text("/bind_dn")?,
            bind_password: text("/bind_password")?,
        })
    }

    async fn connect(&self) -> Result<Ldap> {
        let (connection, ldap) = LdapConnAsync::new(&self.uri).await?;
        drive!(connection);
        Ok(ldap)
    }

    async fn connect_as_reader(&self) -> Result<Ldap> {
        let mut ldap = self.connect().await?;
        ldap.simple_bind(&self.bind_dn, &self.bind_password)
            .await?
            .success()?;
        Ok(ldap)
    }
}

/// One entry by its address; its DN.
async fn find(mut ldap: Ldap, base: &str, address: &str) -> Result<String> {
    let filter = crate::directory::filter(address);
    let attributes = crate::directory::ATTRIBUTES.to_vec();
    let (entries, _) = ldap
        .search(base, Scope::Subtree, &filter, attributes)
        .await?
        .success()?;
    ensure!(entries.len() == 1, "{address}: {} entries", entries.len());
    let entry = entries.into_iter().next().context("an entry")?;
    Ok(SearchEntry::construct(entry).dn)
}

pub(super) async fn lookups(job: &Job, window: usize, span: Duration) -> Result<Answer> {
    let place = Place::of(job)?;
    let ldap = place.connect_as_reader().await?;
    let (base, addresses) = (Arc::new(place.base), Arc::new(job.addresses.clone()));
    let count = addresses.len();
    let look_up = move |index: usize| {
        let (ldap, base, addresses) = (ldap.clone(), Arc::clone(&base), Arc::clone(&addresses));
        async move {
            let address = addresses.get(index).context("an address")?;
            find(ldap, &base, address).await.map(drop)
        }
    };
    look_up(0).await?;
    let meter = Meter::start()?;
    let done = at_once(window, span, count, look_up).await?;
    meter.answer(done)
}

/// As many connections to bind on as there are workers.
pub(super) async fn binds(job: &Job, window: usize, span: Duration) -> Result<Answer> {
    let place = Place::of(job)?;
    let ldap = place.connect_as_reader().await?;
    let mut idle = Vec::new();
    for _ in 0..window {
        idle.push(place.connect().await?);
    }
    let idle = Arc::new(Mutex::new(idle));
    let next = Arc::new(AtomicUsize::new(0));
    let (base, addresses) = (Arc::new(place.base), Arc::new(job.addresses.clone()));
    let password = Arc::new(job.password.clone());
    let log_in = move |_| {
        let (ldap, idle, base) = (ldap.clone(), Arc::clone(&idle), Arc::clone(&base));
        let (addresses, password) = (Arc::clone(&addresses), Arc::clone(&password));
        let index = next.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        async move {
            let address = addresses.get(index).context("an address")?;
            let dn = find(ldap, &base, address).await?;
            let mut connection = idle.lock().await.pop().context("a connection")?;
            connection.simple_bind(&dn, &password).await?.success()?;
            idle.lock().await.push(connection);
            Ok(())
        }
    };
    log_in(0).await?;
    let meter = Meter::start()?;
    let done = at_once(window, span, job.addresses.len(), log_in).await?;
    meter.answer(done)
}
