//! The server: configuration in, running services out, in an order that can be read from top to bottom.
//!
//! Builds every part as a value, binds every listener, binds the admin socket last, runs, and on SIGTERM or
//! SIGINT drains with a deadline. Holds no logic of mail or directories.

mod auth;
mod parts;
mod services;

pub(crate) use parts::check;

use crate::cli::Failure;
use crate::config::Config;
use admin::{Admin, AdminSocket};
use net::{ServerTls, Shutdown, ShutdownTrigger};
use parts::Parts;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Maintenance, Origin, Store, StoreError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

/// Between two rounds of housekeeping.
const MAINTENANCE: Duration = Duration::from_secs(300);

/// Runs the server until it is asked to stop.
pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    crate::process::prepare();
    let (trigger, shutdown) = Shutdown::new();
    let parts = Parts::build(&config)?;
    if let Some(store) = &parts.store {
        host_domains(store, &config).await?;
    }
    let bound = services::bind(&config, &parts).await?;
    let socket = bind_admin(&config.admin_socket()).await?;
    let admin = Arc::new(Admin {
        server_name: config.server_name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        store: parts.store.clone(),
        passwords: parts.passwords.clone(),
        maps: parts.maps.clone(),
        connectors: parts.connectors.clone(),
        sync: parts.sync.clone(),
        homes: Arc::clone(&parts.dialer),
        services: bound.iter().map(|service| service.handle()).collect(),
        shutdown: shutdown.clone(),
    });
    for service in &bound {
        let handle = service.handle();
        tracing::info!(service = handle.name(), address = %handle.address(), "listening");
    }
    // Before anybody is told that we are ready: a signal that nobody handles would kill the process.
    let mut signals = Signals::new()?;
    tracing::info!(server_name = config.server_name, admin_socket = %config.admin_socket().display(), "ready");
    crate::process::tell_ready();
    let mut tasks = JoinSet::new();
    for engine in &parts.sync {
        tasks.spawn(Arc::clone(engine).run(shutdown.token()));
    }
    for driver in parts.live {
        tasks.spawn(driver.run(shutdown.clone()));
    }
    for service in bound {
        tasks.spawn(service.run(shutdown.clone()));
    }
    if let Some(store) = &parts.store {
        tasks.spawn(maintain(store.clone(), shutdown.clone()));
    }
    tasks.spawn(socket.run(admin, shutdown));
    let ended = tokio::select! {
        () = signals.stop(parts.tls.as_ref()) => Ok(()),
        () = panicked(&mut tasks) => Err(Failure::Temporary("a part of the server failed; see its log".to_owned())),
    };
    stop(trigger, tasks, Duration::from_secs(config.drain_timeout)).await;
    if let Some(store) = parts.store {
        store
            .close()
            .await
            .map_err(|error| Failure::Refused(format!("the store did not close well: {error}")))?;
    }
    tracing::info!("stopped");
    ended
}

/// Returns when a part has panicked. Its service would be gone while the process looks well: it is better to stop
/// in order and be started again.
async fn panicked(tasks: &mut JoinSet<()>) {
    loop {
        match tasks.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(%error, "a part of the server panicked: stopping");
                return;
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// A domain that the file names is hosted here; one that it no longer names stays until it is deleted by hand.
async fn host_domains(store: &Store, config: &Config) -> Result<(), Failure> {
    let named = config.domain.iter().map(|domain| &domain.name);
    for domain in named.chain(config.connector.iter().flat_map(|connector| &connector.domains)) {
        match store.create_domain(domain, &Origin::System).await {
            Ok(()) => tracing::info!(%domain, "the domain is hosted here from now on"),
            Err(StoreError::AlreadyExists(_)) => {}
            Err(error) => return Err(Failure::Refused(format!("domain {domain}: {error}"))),
        }
    }
    Ok(())
}

async fn bind_admin(path: &Path) -> Result<AdminSocket, Failure> {
    AdminSocket::bind(path).await.map_err(|error| {
        let text = format!("admin socket {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::NotPermitted(text),
            _ => Failure::Refused(text),
        }
    })
}

/// Erases what has outlived its retention, in bounded pieces.
async fn maintain(store: Store, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(MAINTENANCE) => {}
        }
        match store.maintain().await {
            Ok(done) if done != Maintenance::default() => tracing::info!(?done, "housekeeping"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "housekeeping failed; it is tried again"),
        }
    }
}

/// The signals that the server obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |kind| {
            let failed =
                |error: std::io::Error| Failure::Refused(format!("cannot wait for signals: {error}"));
            signal(kind).map_err(failed)
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Until SIGTERM or SIGINT. SIGHUP does not end the server: it reads the certificate again.
    async fn stop(&mut self, tls: Option<&ServerTls>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return tracing::info!("SIGTERM: stopping"),
                _ = self.interrupt.recv() => return tracing::info!("SIGINT: stopping"),
                _ = self.hangup.recv() => reload(tls),
            }
        }
    }
}

fn reload(tls: Option<&ServerTls>) {
    match tls.map(ServerTls::reload) {
        Some(Ok(())) => {
            tracing::info!("SIGHUP: the certificate has been read again; other keys need a restart")
        }
        Some(Err(error)) => {
            tracing::error!(%error, "SIGHUP: the new certificate cannot be used, the old one stays")
        }
        None => tracing::info!("SIGHUP: there is no certificate to read again; other keys need a restart"),
    }
}

/// Lets everything finish within the drain timeout and ends what has not by then.
async fn stop(trigger: ShutdownTrigger, mut tasks: JoinSet<()>, drain: Duration) {
    trigger.request(drain);
    // A little more than the sessions have, so that they can say goodbye.
    let deadline = drain + Duration::from_secs(2);
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(deadline, all).await.is_err() {
        tracing::warn!("sessions were still open at the end of drain_timeout and have been cut off");
    }
    tasks.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_panic_stops_the_server() {
        let mut tasks = JoinSet::new();
        tasks.spawn(async {});
        let quiet = tokio::time::timeout(Duration::from_millis(50), panicked(&mut tasks)).await;
        assert!(quiet.is_err(), "a part may end");
        tasks.spawn(async { panic!("on purpose") });
        panicked(&mut tasks).await;
    }
}
