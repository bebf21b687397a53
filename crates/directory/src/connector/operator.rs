//! One connection for an administrator's command: opened, used, closed; no pool, no cache.

use super::identity::{Identity, options};
use crate::config::{ConnectorConfig, Referrals};
use ldap::ldif::{ChangeRecord, Operation};
use ldap::{Client, ConnectOptions, LdapError, LdapUri, ResultCode};
use model::ConfigProblem;

/// As whom the connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// The service identity.
    Read,
    /// The identity that writes.
    Write,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration must be corrected first.
    #[error("{}", .0.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect::<Vec<_>>().join("; "))]
    Config(Vec<ConfigProblem>),
    /// What the last server that was tried had to say.
    #[error("{server}: {error}")]
    Server {
        /// The server.
        server: String,
        /// Its answer, or the lack of one.
        error: LdapError,
    },
}

/// A connection with an identity, and the way to other servers where a change belongs.
pub struct Operator {
    client: Client,
    server: String,
    others: Vec<ConnectOptions>,
    identity: Identity,
    referrals: Referrals,
}

impl Operator {
    /// Connects to the first server of the connector that answers. A server that refuses the identity ends it:
    /// the others hold the same entries.
    pub async fn open(config: &ConnectorConfig, rights: Rights) -> Result<Self, OpenError> {
        let problems = config.check();
        if !problems.is_empty() {
            return Err(OpenError::Config(problems));
        }
        let identity = match rights {
            Rights::Read => Identity::new(config),
            Rights::Write => Identity::for_writes(config),
        };
        let identity = identity.map_err(|problem| OpenError::Config(vec![problem]))?;
        let others = options(config).map_err(OpenError::Config)?;
        let mut last = OpenError::Config(Vec::new());
        for options in &others {
            let server = options.uri.to_string();
            match connect(options, &identity).await {
                Ok(client) => {
                    return Ok(Self {
                        client,
                        server,
                        others,
                        identity,
                        referrals: config.referrals,
                    });
                }
                Err(error) if error.is_transient() => last = OpenError::Server { server, error },
                Err(error) => return Err(OpenError::Server { server, error }),
            }
        }
        Err(last)
    }

    /// The connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The server that it leads to.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Makes a change, on the server where it belongs when the connector says so.
    pub async fn apply(&self, change: ChangeRecord) -> Result<(), LdapError> {
        let Err(error) = apply(&self.client, change.clone()).await else {
            return Ok(());
        };
        let result = match error.result() {
            Some(result) if result.code == ResultCode::Referral => result,
            _ => return Err(error),
        };
        if self.referrals == Referrals::Ignore {
            return Err(error);
        }
        // RFC 4511 section 4.1.10: any one of them will do. Credentials go to servers of ours only, and a second
        // referral is an error, so that two servers cannot send us to and fro.
        for text in &result.referrals {
            let Some((uri, dn)) = target(text) else { continue };
            let Some(options) = self.others.iter().find(|options| options.uri == uri) else {
                continue;
            };
            let client = connect(options, &self.identity).await?;
            return apply(&client, renamed(change, dn)).await;
        }
        Err(error)
    }
}

async fn connect(options: &ConnectOptions, identity: &Identity) -> Result<Client, LdapError> {
    let client = Client::connect(options).await?;
    identity.bind(&client).await?;
    Ok(client)
}

async fn apply(client: &Client, change: ChangeRecord) -> Result<(), LdapError> {
    let controls = change.controls;
    match change.operation {
        Operation::Add(add) => client.add(add, &controls).await,
        Operation::Delete(dn) => client.delete(dn, &controls).await,
        Operation::Modify(modify) => client.modify(modify, &controls).await,
        Operation::ModifyDn(modify_dn) => client.modify_dn(modify_dn, &controls).await,
    }
    .map(|_| ())
}

/// The server of a referral and the DN that it names the entry by, if it does.
pub(super) fn target(text: &str) -> Option<(LdapUri, Option<String>)> {
    let start = text.find("://")? + 3;
    let rest = text.get(start..)?;
    let end = start + rest.find(['/', '?']).unwrap_or(rest.len());
    let uri = LdapUri::parse(text.get(..end)?).ok()?;
    let dn = text.get(end..)?.strip_prefix('/').unwrap_or_default();
    let dn = decoded(dn.split('?').next().unwrap_or_default())?;
    Some((uri, (!dn.is_empty()).then_some(dn)))
}

/// RFC 3986 section 2.1.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

/// RFC 4511 section 4.1.10: a DN in the referral takes the place of the one in the request.
fn renamed(mut change: ChangeRecord, dn: Option<String>) -> ChangeRecord {
    let Some(new) = dn else { return change };
    match &mut change.operation {
        Operation::Add(add) => add.dn = new,
        Operation::Delete(dn) => *dn = new,
        Operation::Modify(modify) => modify.dn = new,
        Operation::ModifyDn(modify_dn) => modify_dn.dn = new,
    }
    change
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn targets_of_referrals() {
        let show = |text| target(text).map(|(uri, dn)| (uri.to_string(), dn));
        let found = |uri: &str, dn: Option<&str>| Some((uri.to_owned(), dn.map(str::to_owned)));
        assert_eq!(show("ldap://a.test"), found("ldap://a.test:389", None));
        assert_eq!(show("ldap://a.test/??sub"), found("ldap://a.test:389", None));
        assert_eq!(
            show("ldap://a.test:1389/uid=x%20y,dc=t?mail"),
            found("ldap://a.test:1389", Some("uid=x y,dc=t"))
        );
        for wrong in [
            "",
            "http://a.test/",
            "ldap://a.test/%zz",
            "ldap://a.test/%c3",
            "ldap:///dc=t",
        ] {
            assert_eq!(show(wrong), None, "{wrong}");
        }
    }
}
