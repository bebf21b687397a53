//! Connections that write: the identity for writes, its own record of which server answers, and where a
//! referral leads.

use super::health::Health;
use super::identity::{Identity, options};
use super::pool::{is_lost, jitter};
use super::{Connector, operator};
use crate::config::{ConnectorConfig, Referrals};
use ldap::{Client, ConnectOptions, LdapError, LdapUri};
use model::{Clock, ConfigProblem, Unavailable};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Opens connections with the identity for writes. Certificates and passwords are read from their files each
/// time, for a connection is made seldom and they may have been renewed.
pub(crate) struct WriteConnections {
    config: ConnectorConfig,
    uris: Vec<LdapUri>,
    health: Mutex<Health>,
    /// What failed last: what is said while no server is to be tried yet.
    last_failure: Mutex<Option<String>>,
    clock: Arc<dyn Clock>,
}

/// A connection that may write.
#[derive(Clone)]
pub(crate) struct Writing {
    pub(crate) client: Client,
    pub(crate) server: usize,
}

/// Where a referral leads: one of our servers, and the DN that it names the entry by, if it does.
pub(crate) struct Referred {
    pub(crate) server: usize,
    pub(crate) dn: Option<String>,
}

impl Connector {
    /// What opens connections for writes. Connects to nothing yet.
    pub(crate) fn write_connections(&self) -> Result<WriteConnections, Vec<ConfigProblem>> {
        WriteConnections::new(self.config.clone(), Arc::clone(&self.clock))
    }
}

impl WriteConnections {
    fn new(config: ConnectorConfig, clock: Arc<dyn Clock>) -> Result<Self, Vec<ConfigProblem>> {
        let uris: Vec<LdapUri> = options(&config)?.into_iter().map(|options| options.uri).collect();
        Identity::for_writes(&config).map_err(|problem| vec![problem])?;
        let retry = Duration::from_secs(config.retry_interval);
        Ok(Self {
            health: Mutex::new(Health::new(uris.len(), retry)),
            last_failure: Mutex::new(None),
            uris,
            config,
            clock,
        })
    }

    pub(crate) fn config(&self) -> &ConnectorConfig {
        &self.config
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A connection to the first server that answers.
    pub(crate) async fn connect(&self) -> Result<Writing, Unavailable> {
        let candidates = self.health.lock().candidates(self.clock.monotonic());
        let mut last = match self.last_failure.lock().as_deref() {
            Some(last) => format!("every server failed a moment ago; {last}"),
            None => "every server failed a moment ago".to_owned(),
        };
        for server in candidates {
            match self.connect_to(server).await {
                Ok(writing) => {
                    self.health.lock().succeeded(server);
                    return Ok(writing);
                }
                Err(why) => last = why.0,
            }
        }
        Err(Unavailable(last))
    }

    /// A connection to this server.
    pub(crate) async fn connect_to(&self, server: usize) -> Result<Writing, Unavailable> {
        let failed = |what: String| {
            let why = format!("{}: {what}", self.server_name(server));
            self.failed(server, &why);
            self.unavailable(&why)
        };
        let all = options(&self.config).map_err(|problems| failed(first(&problems)))?;
        let identity = Identity::for_writes(&self.config).map_err(|problem| failed(first(&[problem])))?;
        let Some(options) = all.get(server) else {
            return Err(self.unavailable("no such server"));
        };
        match open(options, &identity).await {
            Ok(client) => Ok(Writing { client, server }),
            Err(error) => {
                if !is_lost(&error) {
                    // It refuses the identity for writes; a wrong password must not be tried ten times a second.
                    tracing::error!(connector = %self.config.name, server = %self.server_name(server), %error, "the identity for writes is refused");
                }
                Err(failed(error.to_string()))
            }
        }
    }

    /// One more connection to a server that works. Whatever comes of it, what is known of the server stays as it is.
    pub(crate) async fn connect_beside(&self, server: usize) -> Result<Client, String> {
        let all = options(&self.config).map_err(|problems| first(&problems))?;
        let identity = Identity::for_writes(&self.config).map_err(|problem| first(&[problem]))?;
        let options = all.get(server).ok_or("no such server")?;
        open(options, &identity).await.map_err(|error| error.to_string())
    }

    /// The server did not answer, for this reason.
    pub(crate) fn failed(&self, server: usize, why: &str) {
        *self.last_failure.lock() = Some(why.to_owned());
        self.health
            .lock()
            .failed(server, self.clock.monotonic(), jitter());
    }

    /// Whether an earlier server should be used again. Asks it in the background when it is time to; the next
    /// caller hears of the result.
    pub(crate) fn is_current(&self, server: usize) -> bool {
        self.health.lock().current() == server
    }

    /// Looks at an earlier server when it is time to.
    pub(crate) fn probe_earlier(self: &Arc<Self>) {
        let Some(server) = self.health.lock().due_probe(self.clock.monotonic()) else {
            return;
        };
        let connections = Arc::clone(self);
        // Bounded: at most one probe for each server and interval, and each has the connection's deadlines.
        tokio::spawn(async move {
            if connections.connect_to(server).await.is_ok() {
                let now = connections.clock.monotonic();
                connections.health.lock().probe_succeeded(server, now);
            }
        });
    }

    /// Where to go on, when the connector follows referrals of writes and one of these leads to a server of ours.
    pub(crate) fn referred(&self, referrals: &[String]) -> Option<Referred> {
        if self.config.referrals == Referrals::Ignore {
            return None;
        }
        // RFC 4511 section 4.1.10: any one of them will do. Credentials go to servers of ours only.
        referrals.iter().find_map(|text| {
            let (uri, dn) = operator::target(text)?;
            let server = self.uris.iter().position(|known| *known == uri)?;
            Some(Referred { server, dn })
        })
    }

    pub(crate) fn server_name(&self, server: usize) -> String {
        self.uris
            .get(server)
            .map_or_else(String::new, ToString::to_string)
    }

    pub(crate) fn unavailable(&self, why: &str) -> Unavailable {
        Unavailable(format!("connector {}: {why}", self.config.name))
    }
}

async fn open(options: &ConnectOptions, identity: &Identity) -> Result<Client, LdapError> {
    let client = Client::connect(options).await?;
    identity.bind(&client).await?;
    Ok(client)
}

fn first(problems: &[ConfigProblem]) -> String {
    problems
        .first()
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .unwrap_or_default()
}
