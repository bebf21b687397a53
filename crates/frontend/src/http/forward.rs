//! A request on its way to its home: the credential, the connection, the deadline, one more try.

use super::body::{Download, Moves, Outgoing, Upload};
use super::connection::Door;
use super::forwarded::{self, Told};
use super::headers;
use super::logins::InUse;
use super::pool::Lease;
use super::reply::Fault;
use super::service::{HttpProxy, Visit};
use crate::dial::{Caller, Named};
use crate::failure::Failure;
use crate::home_key::HomeKey;
use crate::login::{Claims, Introduction};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, VIA};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use model::{Protocol, Secret};
use net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::sasl::encode_base64;

/// What sending came to, when there is no answer.
enum Unsent {
    /// Nothing has left: the request is as good as new.
    Whole(Box<Request<Upload>>),
    /// The connection was closed by the home before a word of an answer.
    Closed(Failure),
    /// It is over.
    Fault(Fault),
}

/// For whom a request is sent.
pub(super) struct Asking<'a> {
    pub(super) visit: &'a Visit,
    pub(super) login: &'a InUse,
    pub(super) moves: &'a Moves,
    pub(super) shutdown: &'a Shutdown,
}

impl HttpProxy {
    /// The request as the home sees it, without the credential: that one is made when there is room to send it.
    pub(super) fn compose(&self, parts: &Parts, visit: &Visit, body: Upload) -> Request<Upload> {
        let mut fields = parts.headers.clone();
        headers::clean_request(&mut fields);
        // The body's own length is written, if it has one.
        fields.remove(CONTENT_LENGTH);
        forwarded::tell(
            &mut fields,
            &Told {
                client: visit.peer.client,
                local: visit.peer.local,
                host: &visit.target.host,
                secure: visit.secure,
                version: version(parts.version),
                server_name: &self.gate.context.server_name,
            },
        );
        headers::introduce(&mut fields, &visit.target.host, visit.peer.trace);
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = Uri::from(visit.target.path.clone());
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = fields;
        request
    }

    /// The Authorization field for the home: an assertion of this very request, or what the client has shown.
    fn key_for(&self, visit: &Visit, login: &InUse) -> Result<Secret, Fault> {
        let login = login.login();
        let target = self.gate.context.dialer.target(login.home(), Protocol::Http);
        let claims = Claims::new(&visit.peer);
        let who = Introduction {
            protocol: Protocol::Http,
            peer: &visit.peer,
            claims: &claims,
            hops: claims.next_hop()?,
        };
        let name = format!("{}:{}", target.host, target.port);
        let fault = |cause: &str| Failure::LoginMode {
            home: name.clone(),
            cause: cause.to_owned(),
        };
        match self.gate.key_for(&target, &name, login.admitted(), &who)? {
            HomeKey::Bearer(token) => Ok(Secret::new([b"Bearer ", token.expose()].concat())),
            HomeKey::Password(password) => {
                let address = login.address().as_str();
                // RFC 7617 section 2: the colon ends the name.
                if address.contains(':') {
                    return Err(fault("HTTP Basic has no way to write a colon in a name").into());
                }
                let pair = Secret::new([address.as_bytes(), b":", password.expose()].concat());
                Ok(format!("Basic {}", encode_base64(pair.expose())).into())
            }
            _ => Err(fault("HTTP has no login on behalf of another").into()),
        }
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn ask(
        &self,
        lease: &mut Lease,
        request: Request<Upload>,
        asking: &Asking<'_>,
    ) -> Result<Response<Incoming>, Fault> {
        let caller = Caller {
            peer: &asking.visit.peer,
            shutdown: asking.shutdown,
            // The connection will carry other clients' requests too.
            named: Named::Ours,
        };
        let again = repeatable(&request);
        let kept = lease.reuse();
        if !kept {
            self.connect(lease, caller).await?;
        }
        let request = match self.send(lease, request, asking).await {
            Ok(response) => return Ok(response),
            // A kept connection that the home was just closing says nothing about the home.
            Err(Unsent::Whole(request)) if kept => *request,
            Err(Unsent::Closed(_)) if kept && again.is_some() => match again {
                Some(request) => request,
                None => return Err(Fault::Own("the request cannot be repeated")),
            },
            // The client hears of it, and may ask again.
            Err(Unsent::Closed(failure)) if kept => return Err(failure.into()),
            Err(unsent) => return Err(self.give_up(lease, unsent)),
        };
        self.connect(lease, caller).await?;
        let sent = self.send(lease, request, asking).await;
        sent.map_err(|unsent| self.give_up(lease, unsent))
    }

    async fn connect(&self, lease: &mut Lease, caller: Caller<'_>) -> Result<(), Fault> {
        tokio::select! {
            connected = lease.connect(caller) => Ok(connected?),
            () = caller.shutdown.drained() => Err(Failure::ShuttingDown.into()),
        }
    }

    fn give_up(&self, lease: &Lease, unsent: Unsent) -> Fault {
        let fault = match unsent {
            Unsent::Whole(_) => Fault::Failure(Failure::Protocol {
                home: lease.name().to_owned(),
                cause: "it closed the connection".to_owned(),
            }),
            Unsent::Closed(failure) => failure.into(),
            Unsent::Fault(fault) => fault,
        };
        if let Fault::Failure(failure) = &fault {
            lease.report(failure);
        }
        fault
    }

    /// One attempt, with a credential of its own: an assertion is good for a minute and for one use, and there may
    /// have been a queue.
    async fn send(
        &self,
        lease: &mut Lease,
        mut request: Request<Upload>,
        asking: &Asking<'_>,
    ) -> Result<Response<Incoming>, Unsent> {
        let name = lease.name().to_owned();
        let moves = asking.moves;
        let key = self.key_for(asking.visit, asking.login).map_err(Unsent::Fault)?;
        headers::show(request.headers_mut(), &key);
        let Some(sender) = lease.sender() else {
            return Err(Unsent::Fault(Fault::Own("there is no connection")));
        };
        let sent = sender.try_send_request(request);
        let sent = match in_time(sent, moves, self.limits.home_timeout).await {
            Some(sent) => sent,
            None => return Err(Unsent::Fault(Failure::Timeout(name).into())),
        };
        let error = match sent {
            Ok(response) => return Ok(response),
            Err(mut error) => match error.take_message() {
                Some(request) => return Err(Unsent::Whole(Box::new(request))),
                None => error.into_error(),
            },
        };
        if let Some(fault) = moves.fault() {
            return Err(Unsent::Fault(fault));
        }
        let failure = Failure::Protocol {
            home: name,
            cause: error.to_string(),
        };
        Err(
            match error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
                true => Unsent::Closed(failure),
                false => Unsent::Fault(failure.into()),
            },
        )
    }

    /// The home's answer as the client sees it.
    pub(super) fn relay(
        &self,
        lease: Lease,
        login: InUse,
        response: Response<Incoming>,
        door: &Arc<Door>,
    ) -> Result<Response<Outgoing>, Fault> {
        let home = lease.name().to_owned();
        let (mut head, body) = response.into_parts();
        // The login was accepted here: the user can do nothing about it (and must not be asked for the password).
        if head.status == StatusCode::UNAUTHORIZED {
            let failure = Failure::HomeRefusedLogin {
                home,
                text: "401".to_owned(),
            };
            lease.report(&failure);
            return Err(failure.into());
        }
        if head.status.is_informational() {
            let cause = format!("{} was not asked for", head.status);
            let failure = Failure::Protocol { home, cause };
            lease.report(&failure);
            return Err(failure.into());
        }
        lease.is_well();
        headers::clean_response(&mut head.headers);
        self.sign(&mut head.headers);
        let is_event_stream = is_event_stream(&head.headers);
        let taking = door.taking(login.login().cut.clone());
        let download = Download::new(body, lease, login, door.config.idle(), is_event_stream, taking);
        let mut response = Response::new(Outgoing::home(download));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// RFC 9110 section 7.6.3.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        let name = &self.gate.context.server_name;
        if let Ok(value) = HeaderValue::try_from(format!("1.1 {name}")) {
            headers.append(VIA, value);
        }
    }
}

/// The same request once more, if the home may get it twice (RFC 9110 section 9.2.2) and nothing of it is used up.
fn repeatable(request: &Request<Upload>) -> Option<Request<Upload>> {
    use hyper::body::Body as _;
    let method = request.method();
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if !safe || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(Upload::none());
    *again.method_mut() = method.clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

/// Waits for as long as something moves. While it is the client's turn, the client's own deadline counts.
async fn in_time<T>(sent: impl Future<Output = T>, moves: &Moves, limit: Duration) -> Option<T> {
    let mut sent = std::pin::pin!(sent);
    let mut seen = moves.octets();
    let mut deadline = Instant::now() + limit;
    loop {
        tokio::select! {
            sent = &mut sent => return Some(sent),
            () = tokio::time::sleep_until(deadline) => {
                let now = moves.octets();
                if now == seen && !moves.is_clients_turn() {
                    return None;
                }
                seen = now;
                deadline = Instant::now() + limit;
            }
        }
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.and_then(|kind| kind.get(..17))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    }
}
