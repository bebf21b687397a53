//! The other front ends with the same keys: each tells the others of logouts.
//!
//! A front end that starts, or could not reach another one, tells it everything it knows and hears everything in
//! return; from then on only what is new. Nobody waits for one that is away, so a logout is not known there until it
//! is back. docs/design/0014 says why it is done this way.

use super::body::Outgoing;
use super::keys::SessionKeys;
use super::logins::Logins;
use super::logouts::{MAX_TEXT, Tidings};
use super::page;
use super::reply::Fault;
use super::service::{Exchange, HttpProxy};
use crate::dial::Dialer;
use bytes::Bytes;
use directory::HomeRef;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::{Clock, Protocol, Secret};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Tells tidings from anything else that is sealed with the same keys.
const PURPOSE: &[u8] = b"homing-http-logouts-2";
/// What a front end shows before its tidings are read.
const SCHEME: &str = "Homing";
/// How long one exchange may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(15);
/// How long a logout, and the first requests after a start, wait for the others.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest sealed text: base64, with a nonce and a tag.
const MAX_SEALED: usize = MAX_TEXT.div_ceil(3) * 4 + 64;

/// How far a neighbour has been told.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    told: u64,
    /// It has been tried.
    tried: bool,
    /// The last try failed.
    away: bool,
}

/// What the talk with one of them needs.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) keys: Arc<SessionKeys>,
    pub(super) logins: Arc<Logins>,
    pub(super) dialer: Arc<Dialer>,
    pub(super) clock: Arc<dyn Clock>,
    /// What requests are addressed to; the neighbour's own name when none.
    pub(super) host: Option<String>,
}

/// The other front ends, as one configuration names them. The talks go on from one configuration to the next.
pub(super) struct Neighbours {
    talks: Arc<Talks>,
    /// How many configurations there were before.
    number: u64,
    /// Whom to talk to once this is the configuration in force.
    next: Mutex<Option<(Vec<HomeRef>, Means)>>,
}

impl Neighbours {
    /// Keeps in step with these from now on.
    pub(super) fn start(homes: &[HomeRef], means: &Means) -> Self {
        let talks = Arc::new(Talks::default());
        talks.follow(0, homes, means);
        Self {
            talks,
            number: 0,
            next: Mutex::new(None),
        }
    }

    /// Keeps in step with these instead, once somebody is served by the new configuration: it may come to nothing.
    pub(super) fn renewed(&self, homes: Vec<HomeRef>, means: Means) -> Self {
        Self {
            talks: Arc::clone(&self.talks),
            number: self.number + 1,
            next: Mutex::new(Some((homes, means))),
        }
    }

    fn talks(&self) -> &Talks {
        if let Some((homes, means)) = self.next.lock().take() {
            self.talks.follow(self.number, &homes, &means);
        }
        &self.talks
    }

    /// Waits until each of them has heard of this logout, or is known to be away.
    pub(super) async fn hear_of(&self, number: u64) {
        let heard = |standing: &Standing| standing.away || standing.told >= number;
        self.talks().wait(heard).await;
    }

    /// Waits, right after a start, until the others have told what they know.
    pub(super) async fn have_spoken(&self) {
        self.talks().wait(|standing| standing.tried).await;
    }

    /// Whoever speaks may be one that was away: those are tried again at once.
    fn has_spoken(&self) {
        self.talks().spoke.notify_waiters();
    }
}

/// The talks that go on. What is under way ends when this is dropped.
#[derive(Default)]
struct Talks {
    all: Mutex<Followed>,
    /// One of them has spoken to us.
    spoke: Arc<Notify>,
}

#[derive(Default)]
struct Followed {
    /// Of which configuration.
    number: u64,
    talks: Vec<Followee>,
}

struct Followee {
    home: HomeRef,
    standing: watch::Receiver<Standing>,
    _ends: DropGuard,
}

impl Talks {
    /// Talks to these and to no others. Who was in step is waited for no more than before.
    fn follow(&self, number: u64, homes: &[HomeRef], means: &Means) {
        let mut all = self.all.lock();
        // A connection from before a reload may speak last.
        if number < all.number {
            return;
        }
        let before = std::mem::take(&mut all.talks);
        all.number = number;
        for home in homes {
            let known = before.iter().find(|followee| followee.home == *home);
            let known = known.map(|followee| *followee.standing.borrow());
            let (standing, watched) = watch::channel(known.unwrap_or_default());
            let talk = Talk {
                home: home.clone(),
                means: means.clone(),
                spoke: Arc::clone(&self.spoke),
                standing,
            };
            let ends = CancellationToken::new();
            let ended = ends.clone();
            tokio::spawn(async move { ended.run_until_cancelled(talk.keep_in_step()).await });
            all.talks.push(Followee {
                home: home.clone(),
                standing: watched,
                _ends: ends.drop_guard(),
            });
        }
    }

    fn standings(&self) -> Vec<watch::Receiver<Standing>> {
        let all = self.all.lock();
        all.talks.iter().map(|talk| talk.standing.clone()).collect()
    }

    async fn wait(&self, enough: impl Fn(&Standing) -> bool) {
        let in_step = async {
            loop {
                let standings = self.standings();
                let mut replaced = false;
                for mut standing in standings {
                    replaced |= standing.wait_for(&enough).await.is_err();
                }
                // A reload has begun the talks anew.
                if !replaced {
                    return;
                }
            }
        };
        let _ = timeout(PATIENCE, in_step).await;
    }
}

/// The talk with one front end.
struct Talk {
    home: HomeRef,
    means: Means,
    spoke: Arc<Notify>,
    standing: watch::Sender<Standing>,
}

impl Talk {
    async fn keep_in_step(self) {
        let mut newest = self.means.logins.logouts().watch();
        let mut told = None;
        let mut pause = FIRST_PAUSE;
        loop {
            newest.borrow_and_update();
            match self.tell(told).await {
                Ok(reached) => {
                    if told.is_none() {
                        tracing::info!(front_end = %self.home, "told of logouts, and heard of its own");
                    }
                    (told, pause) = (Some(reached), FIRST_PAUSE);
                    self.standing.send_replace(Standing {
                        told: reached,
                        tried: true,
                        away: false,
                    });
                    // Also what came meanwhile: it was marked as seen before.
                    if newest.changed().await.is_err() {
                        return;
                    }
                }
                Err(cause) => {
                    if !self.standing.borrow().away {
                        tracing::warn!(front_end = %self.home, cause, "it cannot be told of logouts");
                    }
                    told = None;
                    self.standing.send_modify(|standing| {
                        (standing.tried, standing.away) = (true, true);
                    });
                    let _ = timeout(pause, self.spoke.notified()).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    /// Tells what is new, or everything, and takes what it gets back. The number of the newest that was told.
    async fn tell(&self, told: Option<u64>) -> Result<u64, String> {
        let logouts = self.means.logins.logouts();
        let (reached, news) = logouts.since(told.unwrap_or(0));
        if told == Some(reached) {
            return Ok(reached);
        }
        let tidings = Tidings {
            wants_all: told.is_none(),
            logouts: news,
        };
        let answer = timeout(LIMIT, self.exchange(&tidings)).await;
        let answer = answer.map_err(|_| "no answer in time".to_owned())??;
        self.means.logins.have_ended(&answer.logouts);
        Ok(reached)
    }

    async fn exchange(&self, tidings: &Tidings) -> Result<Tidings, String> {
        let sealed = self.means.keys.seal(PURPOSE, &Secret::new(tidings.encode()));
        let sealed = sealed.ok_or("there is no key")?;
        let dialled = self.means.dialer.dial_bare(&self.home, Protocol::Http).await;
        let dialled = dialled.map_err(|failure| failure.to_string())?;
        let host = self.means.host.as_deref().unwrap_or(&dialled.target.host);
        let pass = self.means.keys.pass(self.means.clock.now());
        let request = Request::post(page::LOGOUTS)
            .header(HOST, host)
            .header(AUTHORIZATION, format!("{SCHEME} {pass}"))
            .header(CONTENT_TYPE, "text/plain")
            .body(Full::new(Bytes::from(sealed)));
        let request = request.map_err(|error| error.to_string())?;
        let made = http1::handshake(TokioIo::new(dialled.connection)).await;
        let (mut sender, connection) = made.map_err(|error| error.to_string())?;
        // It ends with the sender.
        tokio::spawn(connection);
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response.status(), host));
        }
        let body = Limited::new(response.into_body(), MAX_SEALED).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        opened(&self.means.keys, &body)
            .ok_or_else(|| "its answer cannot be read: is it of another version?".to_owned())
    }
}

/// What to look for.
fn refusal(status: StatusCode, host: &str) -> String {
    let why = match status.as_u16() {
        // It knew the pass, and not what came with it.
        400 => "it cannot read what is said: it is of another version, and all front ends must be of one"
            .to_owned(),
        404 => "it must have the same session_keys, and a clock that agrees".to_owned(),
        413 => "its bounds are those of another version".to_owned(),
        421 => format!("it takes no requests for {host}; its `hosts` must be the same as here"),
        500..=599 => "something between here and there, or there, is out of order".to_owned(),
        _ => "it must be an HTTP listener of a front end".to_owned(),
    };
    format!("it answers {status}; {why}")
}

fn opened(keys: &SessionKeys, sealed: &[u8]) -> Option<Tidings> {
    let text = keys.open(PURPOSE, std::str::from_utf8(sealed).ok()?.trim_ascii())?;
    Tidings::decode(text.expose())
}

impl HttpProxy {
    /// Another front end tells of logouts. For everybody without the keys there is no such page.
    pub(super) async fn hear(
        &self,
        exchange: &Exchange<'_>,
        body: Incoming,
    ) -> Result<Response<Outgoing>, Fault> {
        let shown = exchange.parts.headers.get(AUTHORIZATION);
        let pass = shown
            .and_then(|shown| shown.to_str().ok()?.strip_prefix(SCHEME))
            .map(str::trim_start);
        let now = self.gate.context.clock.now();
        if !pass.is_some_and(|pass| self.keys.is_pass(pass, now)) {
            return Ok(page::text(StatusCode::NOT_FOUND, "There is no such page."));
        }
        let whole = Limited::new(body, MAX_SEALED).collect();
        let whole = timeout(self.limits.body_timeout, whole).await;
        let whole = whole.map_err(|_| Fault::Slow)?.map_err(|_| Fault::TooLarge)?;
        let tidings = opened(&self.keys, &whole.to_bytes());
        let tidings = tidings.ok_or(Fault::Malformed("this cannot be opened"))?;
        self.logins.have_ended(&tidings.logouts);
        self.neighbours.has_spoken();
        let back = match tidings.wants_all {
            true => self.logins.logouts().since(0).1,
            false => Vec::new(),
        };
        let back = Tidings {
            wants_all: false,
            logouts: back,
        };
        let sealed = self.keys.seal(PURPOSE, &Secret::new(back.encode()));
        let sealed = sealed.ok_or(Fault::Own("there is no key"))?;
        Ok(page::text(StatusCode::OK, &sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::logouts::Logouts;
    use tokio::time::Instant;

    /// Somebody at this point, and nobody who would change it.
    fn followee(name: &str, standing: Standing) -> (watch::Sender<Standing>, Followee) {
        let (sender, standing) = watch::channel(standing);
        let followee = Followee {
            home: HomeRef::parse(name).expect("a name"),
            standing,
            _ends: CancellationToken::new().drop_guard(),
        };
        (sender, followee)
    }

    fn of(followees: Vec<Followee>) -> Neighbours {
        let talks = Talks::default();
        talks.all.lock().talks = followees;
        Neighbours {
            talks: Arc::new(talks),
            number: 0,
            next: Mutex::new(None),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_one_that_is_away_nor_for_ever() {
        let standing = |told, tried, away| Standing { told, tried, away };
        for (stands, logout, start) in [
            (standing(7, true, false), Duration::ZERO, Duration::ZERO),
            (standing(6, true, true), Duration::ZERO, Duration::ZERO),
            (standing(6, true, false), PATIENCE, Duration::ZERO),
            (standing(0, false, false), PATIENCE, PATIENCE),
        ] {
            let (_sender, one) = followee("front2", stands);
            let (_other, two) = followee("front3", standing(9, true, false));
            let neighbours = of(vec![one, two]);
            let begin = Instant::now();
            neighbours.hear_of(7).await;
            assert_eq!(begin.elapsed(), logout, "{stands:?}");
            let begin = Instant::now();
            neighbours.have_spoken().await;
            assert_eq!(begin.elapsed(), start, "{stands:?}");
        }
        let alone = of(Vec::new());
        let begin = Instant::now();
        alone.hear_of(1).await;
        alone.have_spoken().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_reload_begins_with_what_is_known_once_it_is_in_force() {
        let (_dir, clock, keys) = crate::http::keys::tests::scratch();
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("logouts");
        let logouts = Logouts::load(&path, clock.clone(), &net::Metrics::default()).expect("none yet");
        let homes = directory::Homes::new(Vec::new(), &net::ClientTlsConfig::default()).expect("none");
        let means = Means {
            keys: Arc::new(keys),
            logins: Logins::new(clock.clone(), logouts).expect("randomness"),
            dialer: Arc::new(Dialer::new(
                Arc::new(homes),
                net::Resolver::system(),
                clock.clone(),
            )),
            clock,
            host: None,
        };
        let known = Standing {
            told: 5,
            tried: true,
            away: true,
        };
        let (kept, one) = followee("127.0.0.1:1", known);
        let before = of(vec![one]);
        let list = |names: &[&str]| {
            let homes = names.iter().map(|name| HomeRef::parse(name).expect("a name"));
            homes.collect::<Vec<_>>()
        };
        let after = before.renewed(list(&["127.0.0.1:1", "127.0.0.1:2"]), means.clone());
        let dropped = before.renewed(Vec::new(), means.clone());
        assert!(
            !kept.is_closed() && before.talks().standings().len() == 1,
            "not in force yet"
        );
        let standings = after.talks().standings();
        let first = *standings.first().expect("two").borrow();
        assert!(first.tried && first.away && first.told == 5, "{first:?}");
        assert!(standings.len() == 2 && !standings.last().expect("two").borrow().tried);
        assert!(kept.is_closed(), "the talk from before is over");
        drop(dropped);
        // A connection from before the reload speaks once more.
        *before.next.lock() = Some((Vec::new(), means));
        assert_eq!(before.talks().standings().len(), 2);
    }

    #[test]
    fn a_refusal_says_what_to_look_for() {
        for (status, word) in [
            (404, "session_keys"),
            (421, "mail.example.test"),
            (503, "out of order"),
            (200, "listener"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let text = refusal(status, "mail.example.test");
            assert!(text.contains(word) && text.contains(status.as_str()), "{text}");
        }
    }
}
