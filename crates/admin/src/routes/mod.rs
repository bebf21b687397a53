//! The operations, one file a noun.

mod account_change;
mod accounts;
mod audit;
mod domains;
mod edits;
mod group_change;
mod groups;
mod homes;
mod inherit;
mod lines;
mod links;
mod metrics;
mod passwords;
mod plain;
mod problems;
mod reload;
mod route;
mod service;
mod sessions;
mod sync;
mod time;

use crate::{ApiError, ReloadRequests, Service};
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query};
use axum::routing::{delete, get, post, put};
use directory::{Connector, Domains, UserMaps};
use frontend::Dialer;
use ldapsync::SyncEngine;
use model::{Authenticator, Domain};
use net::{Metrics, Sessions, Shutdown};
use password::VerifyPool;
use std::collections::HashMap;
use std::sync::Arc;
use store::{Origin, Store};

/// A request is a few names and a password.
const MAX_BODY: usize = 64 << 10;

/// What the operations work on. A front end has no store and no sync.
pub struct Admin {
    /// This server's name.
    pub server_name: String,
    /// The program's version.
    pub version: &'static str,
    /// The accounts of this server; none on a front end.
    pub store: Option<Store>,
    /// Where new passwords are hashed.
    pub passwords: VerifyPool,
    /// One for each connector that synchronises.
    pub sync: Vec<Arc<SyncEngine>>,
    /// What a reload of the configuration replaces.
    pub current: Arc<ArcSwap<Current>>,
    /// Everybody who is logged in.
    pub sessions: Sessions,
    /// What the services have counted.
    pub metrics: Metrics,
    /// Where a reload is asked for.
    pub reload: ReloadRequests,
    /// Whether the process has been asked to stop.
    pub shutdown: Shutdown,
}

/// What the configuration in force consists of.
pub struct Current {
    /// The user maps of each proxy service.
    pub maps: Vec<(&'static str, Arc<UserMaps>)>,
    /// The domains that each mail proxy takes mail for.
    pub domains: Vec<(&'static str, Arc<Domains>)>,
    /// Every connector, to see whether its directory answers.
    pub connectors: Vec<Arc<Connector>>,
    /// Connects the proxies to the homes, and knows which of them have failed lately.
    pub homes: Arc<Dialer>,
    /// Every listener.
    pub services: Vec<Arc<Service>>,
    /// Who says whether a login is right; none where no accounts are held.
    pub logins: Option<Logins>,
}

/// Who says whether a login is right, and for whom a password of this server's own counts.
pub struct Logins {
    /// The chain of each domain.
    pub authenticator: Arc<dyn Authenticator>,
    /// Domains whose chain is named, and whether `local` is in it.
    pub domains: HashMap<Domain, bool>,
    /// Whether `local` is in the chain of all others.
    pub others: bool,
}

impl Logins {
    /// Whether a password of this server's own is read for accounts of this domain.
    fn reads_local(&self, domain: &str) -> bool {
        let named = Domain::parse(domain)
            .ok()
            .and_then(|domain| self.domains.get(&domain));
        *named.unwrap_or(&self.others)
    }
}

impl Admin {
    fn store(&self) -> Result<&Store, ApiError> {
        self.store
            .as_ref()
            .ok_or_else(|| ApiError::Conflict("this node holds no accounts".to_owned()))
    }
}

/// The operations as HTTP.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/v1/domains", get(domains::list).post(domains::create))
        .route("/v1/domains/{name}", delete(domains::remove))
        .route("/v1/accounts", get(accounts::list).post(accounts::create))
        .route(
            "/v1/accounts/{address}",
            get(accounts::show)
                .patch(account_change::change)
                .delete(accounts::remove),
        )
        .route("/v1/accounts/{address}/password", put(passwords::set))
        .route("/v1/accounts/{address}/password-change", post(passwords::change))
        .route("/v1/accounts/{address}/enabled", put(accounts::set_enabled))
        .route("/v1/accounts/{address}/release", post(accounts::release))
        .route("/v1/accounts/{address}/open", post(accounts::open))
        .route("/v1/accounts/{address}/undelete", post(accounts::undelete))
        .route("/v1/groups", get(groups::list).post(groups::create))
        .route(
            "/v1/groups/{address}",
            get(groups::show)
                .patch(group_change::change)
                .delete(groups::remove),
        )
        .route("/v1/groups/{address}/members", post(groups::add_member))
        .route(
            "/v1/groups/{address}/members/{member}",
            delete(groups::remove_member),
        )
        .route("/v1/sync", get(sync::status))
        .route("/v1/sync/{connector}/plan", get(sync::plan))
        .route("/v1/sync/{connector}/run", post(sync::run))
        .route("/v1/sync/{connector}/approve", post(sync::approve))
        .route("/v1/sync/{connector}/apply", post(sync::apply))
        .route("/v1/sync/{connector}/start", post(sync::start))
        .route("/v1/sync/{connector}/stop", post(sync::stop))
        .route("/v1/sync/{connector}/quarantine", get(sync::quarantine))
        .route("/v1/sync/{connector}/quarantine/retry", post(sync::retry))
        .route("/v1/sync/{connector}/quarantine/gone", post(sync::gone))
        .route("/v1/sync/{connector}/objects/{object}", get(links::explain))
        .route("/v1/sync/{connector}/conflicts", get(links::conflicts))
        .route("/v1/sync/{connector}/restore", post(links::restore))
        .route("/v1/sync/{connector}/links", get(links::list).post(links::change))
        .route("/v1/sync/{connector}/pending", get(links::pending))
        .route("/v1/audit", get(audit::list))
        .route("/v1/route/{address}", get(route::explain))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/kick", post(sessions::kick))
        .route("/v1/homes", get(homes::list))
        .route("/v1/homes/{name}", get(homes::show))
        .route("/v1/homes/{name}/drain", post(homes::drain))
        .route("/v1/homes/{name}/enable", post(homes::enable))
        .route("/metrics", get(metrics::show))
        .route("/v1/services", get(service::status))
        .route("/v1/reload", post(reload::reload))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(admin)
}

async fn unknown() -> ApiError {
    ApiError::NotFound("there is no such operation".to_owned())
}

async fn not_allowed() -> ApiError {
    ApiError::NotAllowed
}

/// Who asked, for the journal.
fn origin(caller: crate::socket::Caller) -> Origin {
    Origin::Admin(caller.name())
}

/// A JSON body whose errors are ours, with the place where it went wrong.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, ApiError> {
        let axum::Json(value) = axum::Json::<T>::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::BadRequest(plain::text(&rejection.body_text())))?;
        Ok(Self(value))
    }
}

/// A segment of the path, or a query, whose errors are ours.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, ApiError> {
        let Path(value) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::BadRequest(plain::text(&rejection.body_text())))?;
        Ok(Self(value))
    }
}

/// The part of the target after the question mark.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::BadRequest(plain::text(&rejection.body_text())))?;
        Ok(Self(value))
    }
}

/// Parses an address that came from outside.
fn address(text: &str) -> Result<model::Address, ApiError> {
    model::Address::parse(text).map_err(|error| ApiError::BadRequest(format!("{text:?}: {error}")))
}
