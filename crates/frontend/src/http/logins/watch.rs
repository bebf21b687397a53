//! The task of one login, from its check to its end.

use super::{Key, Login, Logins, Logout};
use net::{Metric, Metrics, Session, SessionEnd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often a login is looked at.
const TICK: Duration = Duration::from_secs(5);

const ENDED: Metric = Metric {
    name: "homing_proxy_sessions_ended_total",
    help: "Relayed sessions that have ended, by protocol, home and reason.",
};

/// The task of one login: waits for its end.
pub(super) struct Watch {
    pub(super) session: Session,
    pub(super) login: Arc<Login>,
    pub(super) logins: Weak<Logins>,
    pub(super) key: Key,
    pub(super) expires: Option<Duration>,
    pub(super) metrics: Metrics,
}

impl Watch {
    pub(super) async fn run(self) {
        let why = loop {
            tokio::select! {
                end = self.session.ended() => break end.as_str(),
                () = self.login.logged_out.cancelled() => break "logged out",
                () = tokio::time::sleep(TICK) => {
                    if let Some(why) = self.look() {
                        break why;
                    }
                }
            }
        };
        let login = &self.login;
        if let Some(logins) = self.logins.upgrade() {
            logins.remove(&mut logins.table.lock(), &self.key, login);
            // Whoever is kicked has to log in again; a browser would send the cookie for ever.
            if let (Some(ticket), Some(SessionEnd::Kicked)) = (login.ticket, self.session.ending()) {
                logins.have_ended(&[Logout {
                    given_up: login.clock.now().as_secs(),
                    ..ticket
                }]);
            }
        }
        login.winds_down.cancel();
        if why == SessionEnd::Drained.as_str() {
            // Answers that are on their way may arrive. The deadline is the listener's.
            while login.running.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        login.cut.cancel();
        self.tell(why);
    }

    /// Why it is over; none while it goes on.
    fn look(&self) -> Option<&'static str> {
        let login = &self.login;
        let (up, down) = (&login.up, &login.down);
        self.session
            .count(up.load(Ordering::Relaxed), down.load(Ordering::Relaxed));
        if self.expires.is_some_and(|end| login.clock.monotonic() >= end) {
            return Some("expired");
        }
        let is_over = match self.logins.upgrade() {
            Some(logins) => logins.retire_if_idle(&self.key, login),
            None => login.running.load(Ordering::Acquire) == 0,
        };
        is_over.then_some("idle")
    }

    fn tell(&self, why: &str) {
        let about = self.session.about();
        let home = about.home.as_deref().unwrap_or("-");
        let labels = [("protocol", "http"), ("home", home), ("reason", why)];
        self.metrics.counter(ENDED, &labels).add(1);
        let (up, down) = (&self.login.up, &self.login.down);
        tracing::info!(
            protocol = "http", trace = %about.trace, client = %about.client, account = %about.account, home,
            up = up.load(Ordering::Relaxed), down = down.load(Ordering::Relaxed),
            seconds = self.session.age().as_secs(), end = why, "session ended"
        );
    }
}
