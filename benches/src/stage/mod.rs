//! The stage: one directory, our servers and the peer's, with the same people and the same mail.
//!
//! Everything listens on loopback in scratch folders on the same file system and ends with the stage. Both
//! sides check `{SSHA}` hashes, so that hashing does not decide.

mod cast;
mod homing;
mod peer;

pub(crate) use cast::{Cast, Who, salted_sha1};
pub(crate) use peer::SETTINGS as DOVECOT_SETTINGS;

use crate::client::{Dialect, Login};
use crate::load::{Load, Until, Work, drive};
use crate::null_home::NullHome;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr};
use testkit::{Dovecot, Homing, HomingBinary, Slapd, SlapdOptions};

/// One of the two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Peer,
}

/// Which server of a side is loaded and whose CPU time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The server that holds the mail.
    BackEnd,
    /// The front end, before a home that answers at once.
    FrontEnd,
    /// The front end with the back end behind it; both count.
    Cluster,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Imap,
    Pop3,
    /// SMTP at ours. The peer has no SMTP for mail from outside and gets LMTP.
    Smtp,
    Lmtp,
}

/// How large the mailboxes are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Messages in the one large mailbox.
    pub(crate) big: u64,
    /// Messages of each mailbox that is read from.
    pub(crate) read: u64,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cast: Cast,
    pub(crate) sizes: Sizes,
    ours_back: Homing,
    ours_ports: homing::Ports,
    ours_front: Homing,
    peer_back: Dovecot,
    peer_front: Dovecot,
    /// The version of each, as they print it.
    pub(crate) versions: [String; 2],
    // Dropped last: what the servers above depend on.
    slapd: Slapd,
    _null_home: NullHome,
}

impl Stage {
    /// Starts all servers and fills the mailboxes.
    pub(crate) fn start(
        binary: &HomingBinary,
        sizes: Sizes,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Self> {
        let cast = Cast::new();
        let null_home = NullHome::start()?;
        let options = SlapdOptions {
            suffix: cast.people.suffix.clone(),
            port: 0,
        };
        let slapd =
            Slapd::start(binary, &options, &cast.people.ldif()).context("the directory does not start")?;
        let ours_ports = homing::Ports::free()?;
        let ours_back = homing::back_end(binary, ours_ports, &slapd, &cast)?;
        let ours_front = homing::front_end(binary, ours_ports, &slapd, &cast, &null_home)?;
        let peer_back = peer::back_end(&cast)?;
        let peer_front = peer::front_end(&cast, &peer_back, &null_home)?;
        let stage = Self {
            versions: [binary.run(&["--version"])?.trim().to_owned(), peer::version()?],
            cast,
            sizes,
            ours_back,
            ours_ports,
            ours_front,
            peer_back,
            peer_front,
            slapd,
            _null_home: null_home,
        };
        for side in [Side::Ours, Side::Peer] {
            drive(runtime, stage.fill(side)).with_context(|| {
                let words = stage.last_words(side);
                format!("filling the mailboxes of {side:?}; its last words:\n{words}")
            })?;
        }
        Ok(stage)
    }

    /// The address and dialect of a service.
    pub(crate) fn address(&self, side: Side, place: Place, port: Port) -> (SocketAddr, Dialect) {
        let ours = &self.ours_ports;
        let (number, dialect) = match (side, place) {
            (Side::Ours, Place::BackEnd) => match port {
                Port::Imap => (ours.imap, Dialect::Smtp),
                Port::Pop3 => (ours.pop3, Dialect::Smtp),
                Port::Smtp => (ours.smtp, Dialect::Smtp),
                Port::Lmtp => (ours.lmtp, Dialect::Lmtp),
            },
            (Side::Ours, _) => match port {
                Port::Imap => (ours.front_imap, Dialect::Smtp),
                Port::Pop3 => (ours.front_pop3, Dialect::Smtp),
                Port::Smtp | Port::Lmtp => (ours.front_smtp, Dialect::Smtp),
            },
            (Side::Peer, place) => {
                let peer = match place {
                    Place::BackEnd => &self.peer_back,
                    Place::FrontEnd | Place::Cluster => &self.peer_front,
                };
                match port {
                    Port::Imap => (peer.imap, Dialect::Smtp),
                    Port::Pop3 => (peer.pop3, Dialect::Smtp),
                    Port::Smtp | Port::Lmtp => (peer.lmtp, Dialect::Lmtp),
                }
            }
        };
        (SocketAddr::from((Ipv4Addr::LOCALHOST, number)), dialect)
    }

    /// The leaders of the process groups whose CPU time and memory count.
    pub(crate) fn processes(&self, side: Side, place: Place) -> Result<Vec<u32>> {
        let (back, front) = match side {
            Side::Ours => (self.ours_back.child(), self.ours_front.child()),
            Side::Peer => (Some(self.peer_back.child()), Some(self.peer_front.child())),
        };
        let wanted = match place {
            Place::BackEnd => vec![back],
            Place::FrontEnd => vec![front],
            Place::Cluster => vec![back, front],
        };
        wanted
            .into_iter()
            .map(|child| child.map(testkit::Child::id).context("a server is not running"))
            .collect()
    }

    /// The leaders of all process groups of the stage, the directory's too.
    pub(crate) fn everything(&self) -> Result<Vec<u32>> {
        let mut all = self.processes(Side::Ours, Place::Cluster)?;
        all.extend(self.processes(Side::Peer, Place::Cluster)?);
        all.extend(self.slapd.child().map(testkit::Child::id));
        Ok(all)
    }

    /// What the servers of a side have logged, for an error message.
    pub(crate) fn last_words(&self, side: Side) -> String {
        let logs = match side {
            Side::Ours => [&self.ours_back, &self.ours_front]
                .map(|server| std::fs::read_to_string(server.log()).unwrap_or_default()),
            Side::Peer => [self.peer_back.log(), self.peer_front.log()],
        };
        let tail = |text: &String| {
            let lines: Vec<&str> = text.lines().collect();
            lines
                .get(lines.len().saturating_sub(8)..)
                .unwrap_or_default()
                .join("\n")
        };
        logs.iter().map(tail).collect::<Vec<_>>().join("\n")
    }

    /// Small messages for the large mailbox, and messages of 4 KiB for those that are read from.
    async fn fill(&self, side: Side) -> Result<()> {
        let (address, dialect) = self.address(side, Place::BackEnd, Port::Lmtp);
        let big = self.cast.logins(Who::Big);
        let load = |logins: std::sync::Arc<[Login]>, size, connections, round| Load {
            work: Work::Deliver { dialect, size },
            target: address.into(),
            logins,
            connections,
            round,
        };
        // The first message makes the mailbox, and Dovecot cannot make one from several processes at once.
        load(big.clone(), 1024, 1, u64::MAX >> 28)
            .run(Until::Count(1), || Ok(()))
            .await?;
        let connections = 8;
        load(big, 1024, connections, u64::MAX >> 30)
            .run(Until::Count(self.sizes.big.div_ceil(connections as u64)), || {
                Ok(())
            })
            .await?;
        // Every worker goes round all readers, so each of them gets as many as there are steps.
        let readers = self.cast.logins(Who::Readers);
        let connections = readers.len();
        load(readers.clone(), 4096, 1, u64::MAX >> 27)
            .run(Until::Count(connections as u64), || Ok(()))
            .await?;
        load(readers, 4096, connections, u64::MAX >> 29)
            .run(Until::Count(self.sizes.read), || Ok(()))
            .await?;
        Ok(())
    }
}
