//! Who the client is: its greeting, what a trusted front end before us says of it, and what the homes are told.
//!
//! XCLIENT and XFORWARD are announced to, and believed from, the listener's trusted networks only. From anybody
//! else they are unknown commands, so that no home ever hears such a claim.

use super::routing::Standing;
use crate::config::SmtpProxyConfig;
use crate::failure::Failure;
use crate::login::{Claims, client_port};
use model::{Peer, TlsState};
use net::{Connection, Network};
use std::net::{IpAddr, SocketAddr};
use wire::smtp::ClientClaims;
use wire::transport;

/// The client's name, and how it said it.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) esmtp: bool,
}

/// What is known of the client besides its socket.
#[derive(Debug)]
pub(super) struct Client {
    /// The client, or whom a trusted front end named by XCLIENT.
    pub(super) peer: Peer,
    /// The peer as it connected, before any claim about who it stands for.
    connected: Peer,
    /// Whether claims are believed.
    pub(super) trusted: bool,
    pub(super) hello: Option<Hello>,
    /// What XCLIENT said of the session.
    session: Claims,
    /// XCLIENT, whose HELO stands for the client's own.
    taken_over: Option<ClientClaims>,
    /// XFORWARD's attributes, for the next transaction.
    forwarded: ClientClaims,
}

impl Client {
    pub(super) fn new(peer: Peer, trusted: bool) -> Self {
        Self {
            session: Claims::new(&peer),
            connected: peer.clone(),
            peer,
            trusted,
            hello: None,
            taken_over: None,
            forwarded: ClientClaims::default(),
        }
    }

    /// RFC 3207 section 4.2: what was said in the clear was said by anybody.
    pub(super) fn encrypted(&mut self) {
        let peer = Peer {
            tls: TlsState::Encrypted,
            ..self.connected.clone()
        };
        *self = Self::new(peer, self.trusted);
    }

    /// XCLIENT: the session is the named client's from now on, and begins again.
    pub(super) fn take_over(&mut self, claims: ClientClaims) {
        self.hello = None;
        self.forwarded = ClientClaims::default();
        if let Some(addr) = claims.addr {
            // The port that is known belongs to whoever speaks for this client.
            self.peer.client = SocketAddr::new(addr.to_canonical(), 0);
        }
        if let Some(port) = claims.port {
            self.peer.client.set_port(port);
        }
        if let Some(session) = &claims.session {
            self.session.take_session(&mut self.peer, session);
        }
        // A count can only fall, whatever is said.
        self.session.limit_hops(claims.ttl.unwrap_or(u8::MAX));
        self.session.take_tls(claims.tls);
        self.taken_over = Some(claims);
    }

    /// Whether the client may relay: by where it is, or by the certificate that it has shown itself. A certificate
    /// says nothing about somebody whom its holder names, nor does an address about somebody who has none.
    pub(super) fn standing(&self, config: &SmtpProxyConfig, connection: &Connection) -> Standing {
        // Whom no PROXY header names has no address, in whatever network.
        let is_in =
            |address: IpAddr| !address.is_unspecified() && Network::any_contains(&config.relay_from, address);
        let may = match &self.taken_over {
            Some(named) => named.addr.is_some_and(is_in),
            None => {
                is_in(self.peer.client.ip()) || connection.holds_certificate_of(&config.relay_certificates)
            }
        };
        match may {
            true => Standing::MayRelay,
            false => Standing::Stranger,
        }
    }

    /// XFORWARD: attributes for the next transaction; several commands add up.
    pub(super) fn forward(&mut self, claims: ClientClaims) {
        let known = std::mem::take(&mut self.forwarded);
        self.forwarded = over(claims, known);
    }

    /// The transaction is over, and XFORWARD with it.
    pub(super) fn forget_forwarded(&mut self) {
        self.forwarded = ClientClaims::default();
    }

    /// The name that goes into the Received field.
    pub(super) fn helo(&self) -> &str {
        let own = self.hello.as_ref().map(|hello| hello.name.as_str());
        let named = self.taken_over.as_ref().and_then(|named| named.helo.as_deref());
        named.or(own).unwrap_or("unknown")
    }

    /// Whether nobody before us has named another client.
    pub(super) fn is_itself(&self) -> bool {
        self.taken_over.is_none()
    }

    pub(super) fn is_esmtp(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.esmtp)
    }

    /// What XCLIENT tells a home; a failure when the session has passed too many front ends.
    pub(super) fn as_client(&self) -> Result<ClientClaims, Failure> {
        let proto = if self.is_esmtp() { "ESMTP" } else { "SMTP" };
        let (name, named_proto) = match &self.taken_over {
            Some(named) => (named.name.clone(), named.proto.clone()),
            None => (None, None),
        };
        Ok(ClientClaims {
            name,
            addr: Some(self.peer.client.ip()),
            port: client_port(&self.peer),
            proto: Some(named_proto.unwrap_or_else(|| proto.to_owned())),
            helo: Some(self.helo().to_owned()),
            session: Some(self.session.session.clone()),
            ttl: Some(self.session.next_hop()?),
            tls: self.session.tls,
            forward: self.session.tls.map(transport::forward),
            ..ClientClaims::default()
        })
    }

    /// What XFORWARD tells a home: what a trusted front end before us has said, else what we see.
    pub(super) fn as_origin(&self) -> ClientClaims {
        let mut seen = ClientClaims {
            ttl: None,
            ident: Some(self.peer.trace.to_string()),
            source: Some("REMOTE".to_owned()),
            ..self.as_client().unwrap_or_default()
        };
        // RFC 3848: XFORWARD has no other word for it.
        if self.session.tls == Some(TlsState::Encrypted) && seen.proto.as_deref() == Some("ESMTP") {
            seen.proto = Some("ESMTPS".to_owned());
        }
        over(self.forwarded.clone(), seen)
    }
}

/// The first claims where they say something, else the second. The port goes with its address: half of each is nobody.
fn over(first: ClientClaims, second: ClientClaims) -> ClientClaims {
    let port = match first.addr {
        Some(_) => first.port,
        None => first.port.or(second.port),
    };
    ClientClaims {
        name: first.name.or(second.name),
        addr: first.addr.or(second.addr),
        port,
        proto: first.proto.or(second.proto),
        helo: first.helo.or(second.helo),
        ident: first.ident.or(second.ident),
        source: first.source.or(second.source),
        session: first.session.or(second.session),
        ttl: first.ttl.or(second.ttl),
        tls: first.tls.or(second.tls),
        forward: first.forward.or(second.forward),
    }
}
