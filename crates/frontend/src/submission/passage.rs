//! The way between a client and its home after the login: the relay on one side, the guard in the middle.

use super::guard::{Guard, MAX_COMMAND, Turn};
use super::reply;
use bytes::Bytes;
use net::{Connection, LinePolicy, LineStream, ReadError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The longest reply line of a home.
const MAX_LINE: usize = 4096;
/// Octets of a message taken at once.
const CHUNK: usize = 32 * 1024;
/// How long either side may take to read what is queued for it.
const STALLED: Duration = Duration::from_secs(300);
/// The relay ends sessions that are idle; this only has to be longer.
const LONG: Duration = Duration::from_secs(2 * 86_400);

/// The part of a session between the relay and the home.
pub(super) struct Passage {
    client: LineStream,
    home: LineStream,
    guard: Guard,
}

/// What happened.
enum Event {
    /// A line of the client; none for one that is too long.
    Command(Option<Bytes>),
    Octets(Bytes),
    HomeLine(Bytes),
    ClientGone,
    HomeGone,
    /// The session has to end, and nobody waits for an answer.
    Told,
}

impl Passage {
    /// A passage to this home, and its near end, for the relay.
    pub(super) fn new(home: LineStream, guard: Guard) -> (LineStream, Self) {
        let (near, far) = Connection::pair();
        let (connection, leftover) = home.into_parts();
        let passage = Self {
            client: LineStream::new(far, MAX_COMMAND).with_policy(LinePolicy::AcceptLf),
            home: LineStream::with_leftover(connection, leftover, MAX_LINE).with_policy(LinePolicy::AcceptLf),
            guard,
        };
        (LineStream::new(near, MAX_LINE), passage)
    }

    /// Passes on what may be passed on, until one side is gone or the session is told to end.
    pub(super) async fn run(mut self, mut told: oneshot::Receiver<()>) {
        let mut client_open = true;
        loop {
            let event = self.next(client_open, &mut told).await;
            let mut out = Vec::new();
            match event {
                Event::Command(line) => {
                    self.guard.command(line.as_deref(), &mut out);
                    self.home.write(&out);
                }
                Event::Octets(octets) => {
                    let taken = self.guard.octets(&octets, &mut out);
                    self.client.unread(octets.get(taken..).unwrap_or_default());
                    self.home.write(&out);
                }
                Event::HomeLine(line) => {
                    if let Err(error) = self.guard.home_line(&line, &mut out) {
                        tracing::warn!(%error, "a session is ended");
                        break;
                    }
                    self.client.write(&out);
                }
                // RFC 5321 section 3.8: so that it is not the client's message that has failed.
                Event::Told => {
                    reply::session_ends().encode(&mut out);
                    self.client.write(&out);
                    break;
                }
                Event::ClientGone => client_open = false,
                Event::HomeGone => break,
            }
            // What the home still owes, a client may want to hear after its last word.
            if !client_open && !self.guard.is_owed() {
                break;
            }
            if self.home.flush(STALLED).await.is_err() || self.client.flush(STALLED).await.is_err() {
                break;
            }
        }
        self.client.close(STALLED).await;
        self.home.close(STALLED).await;
    }

    async fn next(&mut self, client_open: bool, told: &mut oneshot::Receiver<()>) -> Event {
        let turn = self.guard.turn();
        let between = turn == Turn::Command && !self.guard.is_owed();
        let (client, home) = (&mut self.client, &mut self.home);
        tokio::select! {
            // First: a client that never pauses is told, too.
            biased;
            _ = told, if between => Event::Told,
            event = heard(client, turn), if client_open && turn != Turn::Wait => event,
            line = home.read_line(LONG) => match line {
                Ok(line) => Event::HomeLine(line),
                Err(_) => Event::HomeGone,
            },
        }
    }
}

/// The client's next word.
async fn heard(client: &mut LineStream, turn: Turn) -> Event {
    let octets = match turn {
        Turn::Command | Turn::Wait => {
            return match client.read_line(LONG).await {
                Ok(line) => Event::Command(Some(line)),
                Err(ReadError::LineTooLong) => Event::Command(None),
                Err(_) => Event::ClientGone,
            };
        }
        Turn::Data => client.read_some(CHUNK, LONG).await,
        Turn::Chunk(left) => {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            client.read_some(most, LONG).await
        }
    };
    octets.map_or(Event::ClientGone, Event::Octets)
}
