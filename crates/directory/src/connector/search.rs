//! One search of a lookup, tried again elsewhere when the server does not answer.

use super::pool::{Pool, Pooled, is_lost};
use super::trace::{Attempt, Trace, elapsed};
use crate::config::SearchScope;
use ldap::{Dn, Entry, Filter, LdapError, ResultCode, Scope, SearchRequest};
use model::{Clock, Unavailable};
use std::sync::Arc;

/// One for a connection that died while it was idle, one for a server that fails, one for the server after it.
const TRIES: usize = 3;

/// What to look for.
pub(super) struct Query<'a> {
    pub(super) base: &'a Dn,
    pub(super) scope: SearchScope,
    pub(super) filter: &'a Filter,
    pub(super) attributes: &'a [String],
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// No server gave any.
    Away(Unavailable),
    /// One did, and would not say, or said more than is read.
    Refused(Unavailable),
}

impl From<Failed> for Unavailable {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Away(why) | Failed::Refused(why) => why,
        }
    }
}

/// None, one or two entries, and where they come from. Two mean "more than one": the rest is not asked for.
pub(super) async fn at_most_two(
    pool: &Arc<Pool>,
    clock: &dyn Clock,
    query: &Query<'_>,
    trace: &mut Trace,
) -> Result<(Vec<Entry>, Pooled), Failed> {
    let mut last = pool.unavailable("no server answers");
    let mut was_closed = false;
    for _ in 0..TRIES {
        let start = clock.monotonic();
        let attempt = |server: String, found: Vec<String>, error: Option<String>| Attempt {
            server,
            base: query.base.to_string(),
            filter: query.filter.to_string(),
            found,
            error,
            took: elapsed(clock, start),
        };
        let pooled = match pool.service().await {
            Ok(pooled) => pooled,
            Err(why) => {
                trace.add(|| attempt(String::new(), Vec::new(), Some(why.to_string())));
                return Err(Failed::Away(why));
            }
        };
        let result = run(&pooled, query).await;
        let server = || pool.server_name(pooled.server);
        match result {
            Ok(entries) => {
                trace.add(|| {
                    attempt(
                        server(),
                        entries.iter().map(|entry| entry.dn.clone()).collect(),
                        None,
                    )
                });
                return Ok((entries, pooled));
            }
            Err(error) => {
                trace.add(|| attempt(server(), Vec::new(), Some(error.to_string())));
                last = pool.unavailable(&format!("{}: {error}", server()));
                if !is_lost(&error) && !error.is_transient() {
                    // A refusal is an answer about our rights or the base, never "no such entry".
                    return Err(Failed::Refused(last));
                }
                // A connection that the server closed while it was idle says nothing about the server; a second one
                // says that it closes every one.
                if was_closed || !matches!(error, LdapError::Closed(_)) {
                    pool.report(&pooled, &error);
                }
                was_closed |= matches!(error, LdapError::Closed(_));
            }
        }
    }
    Err(Failed::Away(last))
}

async fn run(pooled: &Pooled, query: &Query<'_>) -> Result<Vec<Entry>, LdapError> {
    let scope = match query.scope {
        SearchScope::One => Scope::OneLevel,
        SearchScope::Sub => Scope::Subtree,
    };
    let request = SearchRequest::new(query.base.to_string(), scope, query.filter.clone())
        .attributes(query.attributes.iter().cloned())
        .size_limit(2);
    let mut stream = pooled.client.search(request).await?;
    let mut entries = Vec::with_capacity(2);
    loop {
        match stream.next_entry().await {
            // References of Active Directory were passed over: referrals = "ignore".
            Ok(Some((entry, _))) => {
                entries.push(entry);
                if entries.len() == 2 {
                    return Ok(entries);
                }
            }
            Ok(None) => return Ok(entries),
            Err(error) if error.code() == Some(ResultCode::SizeLimitExceeded) && entries.len() > 1 => {
                return Ok(entries);
            }
            Err(error) => return Err(error),
        }
    }
}
