//! One process takes over from another: its sockets at the start, and at the end the time that its sessions still have.

use super::Signals;
use super::running::Running;
use crate::cli::Failure;
use crate::config::Config;
use net::{Inherited, ShutdownTrigger};
use std::time::Duration;

/// Between two looks whether anybody is still there.
const LOOK: Duration = Duration::from_millis(200);

/// The listening sockets that systemd, or whoever started us in its way, has bound (sd_listen_fds(3)). To be asked
/// once, before there are threads: it changes the environment.
pub(crate) fn inherited() -> Result<Inherited, Failure> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed.len() {
        let socket = handed.take_tcp_listener(index);
        let socket = socket.map_err(|error| {
            Failure::Refused(format!(
                "the socket number {index} that was handed over (LISTEN_FDS): {error}"
            ))
        })?;
        sockets.extend(socket);
    }
    Ok(Inherited::new(sockets))
}

/// Whether another process may serve beside this one now: both have the same sockets, and no store is in the way.
pub(super) fn may_run_beside_another(config: &Config, inherited: &Inherited) -> bool {
    let mut listeners = config.listeners().into_iter().flat_map(|(_, all)| all).peekable();
    let shared = listeners.peek().is_some()
        && listeners.all(|listener| listener.reuse_port || inherited.has(listener.address));
    shared && !config.holds_accounts()
}

/// Lets nobody new in, and leaves those who are there alone for `linger`, until they have gone by themselves, or until
/// the server is asked to stop once more.
pub(super) async fn linger(running: &Running, trigger: &ShutdownTrigger, signals: &mut Signals) {
    let linger = running.linger();
    if linger.is_zero() {
        return;
    }
    trigger.close();
    tracing::info!(seconds = linger.as_secs(), "no longer listening; sessions go on");
    let all_gone = async {
        while running.has_sessions() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = all_gone => tracing::info!("the last session has ended"),
        () = tokio::time::sleep(linger) => tracing::info!("the time of the sessions is over"),
        () = signals.stop() => {}
    }
}
