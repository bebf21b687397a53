//! The long part of a session: bytes both ways, one log line, and the numbers.

use crate::dial::Dialer;
use crate::farewell::Order;
use directory::HomeRef;
use net::{LineStream, Metric, Metrics, NewSession, Relay, RelayReport, Session, SessionEnd, Watch};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

const ENDED: Metric = Metric {
    name: "homing_proxy_sessions_ended_total",
    help: "Relayed sessions that have ended, by protocol, home and reason.",
};
pub(crate) const BYTES: Metric = Metric {
    name: "homing_proxy_bytes_total",
    help: "Octets relayed, by protocol, home and direction.",
};

/// A client and its home, both past the login.
pub(crate) struct Handover {
    pub(crate) client: LineStream,
    pub(crate) home: LineStream,
    pub(crate) watch: Option<Box<dyn Watch>>,
    pub(crate) session: Session,
    pub(crate) idle: Duration,
    pub(crate) metrics: Metrics,
    /// Asks the home to end the session.
    pub(crate) dialer: Arc<Dialer>,
}

impl Handover {
    /// The relay to its end. The future holds nothing of the login.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send + 'static {
        let dialer = Arc::clone(&self.dialer);
        self.run_until_told(move |about, why| ask_home(&dialer, about, why))
    }

    /// The same for a session that has somebody else to say goodbye: `farewell` hears once that the session is to end, and
    /// says whether a goodbye can be expected.
    pub(crate) fn run_until_told<F>(self, farewell: F) -> impl Future<Output = ()> + Send + 'static
    where
        F: FnOnce(&NewSession, SessionEnd) -> bool + Send + Unpin + 'static,
    {
        let relay = Relay::new(self.client, self.home, self.idle, self.session);
        Relaying {
            relay: match self.watch {
                Some(watch) => relay.watched(watch),
                None => relay,
            },
            metrics: self.metrics,
            farewell: Some(farewell),
        }
    }
}

/// The home says goodbye in its own words, where it can.
fn ask_home(dialer: &Arc<Dialer>, about: &NewSession, why: SessionEnd) -> bool {
    let Some(Ok(home)) = about.home.as_deref().map(HomeRef::parse) else {
        return false;
    };
    let trace = about.trace;
    // The home in this process has heard by itself.
    dialer.is_local(&home, about.protocol) || dialer.ask_to_end(&home, Order { trace, why })
}

/// Written by hand: an `async fn` would hold the relay twice, and tens of thousands of these wait.
struct Relaying<F> {
    relay: Relay,
    metrics: Metrics,
    /// None once it has heard that the session is to end.
    farewell: Option<F>,
}

impl<F> Future for Relaying<F>
where
    F: FnOnce(&NewSession, SessionEnd) -> bool + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.relay).poll(cx);
        if polled.is_pending()
            && let Some(why) = this.relay.told()
            && let Some(farewell) = this.farewell.take()
            && farewell(this.relay.session().about(), why)
        {
            this.relay.await_farewell();
        }
        let report = ready!(polled);
        this.finish(&report);
        Poll::Ready(())
    }
}

impl<F> Relaying<F> {
    fn finish(&self, report: &RelayReport) {
        let session = self.relay.session();
        let about = session.about();
        let protocol = about.protocol.to_string();
        let home = about.home.as_deref().unwrap_or("-");
        let why = report.end.as_str();
        let ended = [("protocol", protocol.as_str()), ("home", home), ("reason", why)];
        self.metrics.counter(ENDED, &ended).add(1);
        for (direction, bytes) in [("up", report.bytes_up), ("down", report.bytes_down)] {
            let labels = [
                ("protocol", protocol.as_str()),
                ("home", home),
                ("direction", direction),
            ];
            self.metrics.counter(BYTES, &labels).add(bytes);
        }
        tracing::info!(
            protocol, trace = %about.trace, client = %about.client, account = %about.account, home,
            up = report.bytes_up, down = report.bytes_down, seconds = session.age().as_secs(), end = ?report.end,
            "session ended"
        );
    }
}
