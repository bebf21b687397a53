//! The server: configuration in, running services out, in an order that can be read from top to bottom.
//!
//! Builds every part as a value, binds every listener, binds the admin socket last, runs, and on SIGTERM or
//! SIGINT drains with a deadline. SIGHUP has the configuration read again while sessions go on. Holds no logic of mail or directories.

mod auth;
mod front;
mod handover;
mod parts;
mod pinned;
mod running;
mod services;

pub(crate) use handover::inherited;
pub(crate) use parts::check;

use crate::cli::Failure;
use crate::config::Config;
use crate::logging::LogLevel;
use admin::{Admin, AdminSocket, NeedsRestart, ReloadRefused, ReloadRequest, Reloaded};
use ldapsync::SyncEngine;
use net::{Inherited, Shutdown, ShutdownTrigger};
use parts::Parts;
use running::Running;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Maintenance, Origin, Store, StoreError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Between two rounds of housekeeping.
const MAINTENANCE: Duration = Duration::from_secs(300);

/// Runs the server until it is asked to stop.
pub(crate) async fn run(config: Config, level: LogLevel, inherited: Inherited) -> Result<(), Failure> {
    crate::process::prepare();
    let (trigger, shutdown) = Shutdown::new();
    let beside_another = handover::may_run_beside_another(&config, &inherited);
    let mut parts = Parts::build(&config)?;
    parts.front.inherited = Arc::new(inherited);
    if let Some(store) = &parts.store {
        host_domains(store, &config).await?;
    }
    let (server_name, admin_socket) = (config.server_name.clone(), config.admin_socket());
    let (mut running, bound) = Running::bind(config, parts, level, shutdown.clone()).await?;
    for address in running.parts.front.inherited.close_the_rest() {
        tracing::warn!(%address, "a socket was handed over that no listener names; it is closed");
    }
    let socket = bind_admin(&admin_socket, beside_another).await?;
    let (reload, requests) = mpsc::channel(1);
    let admin = Arc::new(Admin {
        server_name: server_name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        store: running.parts.store.clone(),
        passwords: running.parts.passwords.clone(),
        sync: running.parts.sync.clone(),
        current: running.current(),
        sessions: running.parts.front.sessions.clone(),
        metrics: running.parts.front.metrics.clone(),
        reload,
        shutdown: shutdown.clone(),
    });
    running.start(bound);
    // Before anybody is told that we are ready: a signal that nobody handles would kill the process.
    let mut signals = Signals::new()?;
    tracing::info!(server_name, admin_socket = %admin_socket.display(), "ready");
    crate::process::tell_ready();
    for engine in &running.parts.sync {
        running.tasks.spawn(Arc::clone(engine).run(shutdown.token()));
    }
    if let Some(store) = &running.parts.store {
        let engines = running.parts.sync.clone();
        running
            .tasks
            .spawn(maintain(store.clone(), engines, shutdown.clone()));
    }
    running.tasks.spawn(socket.run(admin, shutdown));
    let ended = serve(&mut running, &mut signals, requests).await;
    if ended.is_ok() {
        handover::linger(&running, &trigger, &mut signals).await;
    }
    let store = running.parts.store.clone();
    stop(trigger, running).await;
    if let Some(store) = store {
        store
            .close()
            .await
            .map_err(|error| Failure::Refused(format!("the store did not close well: {error}")))?;
    }
    tracing::info!("stopped");
    ended
}

/// Until SIGTERM, SIGINT or a panic. SIGHUP and the admin API have the configuration read again.
async fn serve(
    running: &mut Running,
    signals: &mut Signals,
    mut requests: mpsc::Receiver<ReloadRequest>,
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => {
                tracing::info!("SIGTERM: stopping");
                return Ok(());
            }
            _ = signals.interrupt.recv() => {
                tracing::info!("SIGINT: stopping");
                return Ok(());
            }
            _ = signals.hangup.recv() => {
                // The log has the outcome.
                let _ = reload(running).await;
            }
            Some(answer) = requests.recv() => {
                let outcome = reload(running).await;
                // Whoever asked may have gone.
                let _ = answer.send(outcome);
            }
            () = panicked(&mut running.tasks) => {
                return Err(Failure::Temporary("a part of the server failed; see its log".to_owned()));
            }
        }
    }
}

/// Reads the configuration again and logs what came of it.
async fn reload(running: &mut Running) -> Result<Reloaded, ReloadRefused> {
    match running.reload().await {
        Ok(reloaded) => {
            let changed: Vec<&str> = reloaded
                .changed
                .iter()
                .map(|changed| changed.key.as_str())
                .collect();
            tracing::info!(?changed, "the configuration has been read again");
            for NeedsRestart { key, why } in &reloaded.needs_restart {
                tracing::warn!(key, why, "this key holds only after a restart");
            }
            Ok(reloaded)
        }
        Err(failure) => {
            let problems = match &failure {
                Failure::Config(errors) => errors.lines(),
                other => vec![other.to_string()],
            };
            for problem in &problems {
                tracing::error!(
                    problem,
                    "the configuration was not read again; nothing has changed"
                );
            }
            Err(ReloadRefused {
                text: problems.join("\n"),
                problems: match &failure {
                    Failure::Config(errors) => errors.rows(),
                    _ => Vec::new(),
                },
            })
        }
    }
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

/// A domain that the file names is hosted here; one that it no longer names stays until it is deleted by hand. On an
/// error the aliases are as they were.
async fn host_domains(store: &Store, config: &Config) -> Result<(), Failure> {
    for (index, section) in config.domain.iter().enumerate() {
        for alias in &section.aliases {
            give_up_domain(store, alias).await.map_err(|why| {
                let message = format!("{alias} cannot become an alias of {}: {why}", section.name);
                config.fault(&format!("domain.{index}.aliases"), message)
            })?;
        }
    }
    let before = store.domain_aliases();
    store.set_domain_aliases(config.domain_aliases());
    let named = config.domain.iter().map(|domain| &domain.name);
    for domain in named.chain(config.connector.iter().flat_map(|connector| &connector.domains)) {
        match store.create_domain(domain, &Origin::System).await {
            Ok(()) => tracing::info!(%domain, "the domain is hosted here from now on"),
            Err(StoreError::AlreadyExists(_)) => {}
            Err(error) => {
                store.set_domain_aliases(before);
                return Err(Failure::Refused(format!("domain {domain}: {error}")));
            }
        }
    }
    Ok(())
}

/// A domain that becomes another name of another one must hold nothing.
async fn give_up_domain(store: &Store, domain: &model::Domain) -> Result<(), String> {
    match store.domain(domain).map_err(|error| error.to_string())? {
        None => Ok(()),
        Some(info) if info.catch_all.is_some() => Err("it has a catch-all; remove that first".to_owned()),
        Some(_) => {
            let deleted = store.delete_domain(domain, &Origin::System).await;
            deleted.map_err(|error| error.to_string())?;
            tracing::info!(%domain, "the empty domain is an alias from now on");
            Ok(())
        }
    }
}

async fn bind_admin(path: &Path, beside_another: bool) -> Result<AdminSocket, Failure> {
    let bound = match beside_another {
        true => AdminSocket::take_over(path),
        false => AdminSocket::bind(path).await,
    };
    bound.map_err(|error| {
        let text = format!("admin socket {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::NotPermitted(text),
            _ => Failure::Refused(text),
        }
    })
}

/// Erases what has outlived its retention, in bounded pieces.
async fn maintain(store: Store, engines: Vec<Arc<SyncEngine>>, shutdown: Shutdown) {
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
        for engine in &engines {
            match engine.prune_conflicts().await {
                Ok(0) => {}
                Ok(pruned) => {
                    tracing::info!(connector = engine.name(), pruned, "old conflicts are forgotten")
                }
                Err(error) => {
                    tracing::warn!(connector = engine.name(), %error, "old conflicts cannot be forgotten");
                }
            }
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
}

impl Signals {
    /// SIGTERM or SIGINT.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM again: stopping"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    }
}

/// Lets everything finish within the drain timeout and ends what has not by then.
async fn stop(trigger: ShutdownTrigger, running: Running) {
    let drain = running.drain();
    trigger.request(drain);
    running.stop_live(drain);
    let mut tasks = running.tasks;
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
