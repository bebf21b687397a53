//! The containers of the layout: written when they are missing, never changed when they are there.

use super::{WriteError, Writer};
use bytes::Bytes;
use ldap::message::Add;
use ldap::{Attribute, Ava, Dn, LdapError, Request, ResultCode, Values};
use model::Domain;

/// Deeper trees are a mistake in the configuration.
const MAX_DEPTH: usize = 32;

impl Writer {
    /// Writes what is missing of the tree that accounts and groups of this domain are created in.
    pub async fn ensure_tree(&self, domain: &Domain) -> Result<(), WriteError> {
        for dn in self.vocabulary.places(domain) {
            self.ensure_parent(&dn).await?;
        }
        Ok(())
    }

    /// Writes this entry and those above it, as far as they are missing: a naming context, organizations,
    /// organizational units. Somebody else may do the same at the same time.
    pub async fn ensure_parent(&self, dn: &Dn) -> Result<(), WriteError> {
        let lane = self.lanes.main().await?;
        let Some(context) = lane.facts.context_of(dn) else {
            return Err(WriteError::Refused {
                code: ResultCode::NoSuchObject,
                text: format!("{dn} is in no naming context of the server"),
            });
        };
        let mut missing = Vec::new();
        let mut at = dn.clone();
        while self
            .at(&lane, &at.to_string(), &["1.1".to_owned()])
            .await?
            .is_none()
        {
            missing.push(at.clone());
            if at == *context || missing.len() >= MAX_DEPTH {
                break;
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
        // From the top down.
        for dn in missing.into_iter().rev() {
            let request = Request::Add(Add {
                dn: dn.to_string(),
                attributes: container(&dn)?,
            });
            match self.send(&lane, &request, &[]).await {
                Ok(_) => {
                    tracing::info!(connector = %self.connector.name(), %dn, "a container was missing and is written")
                }
                // Somebody was faster, and theirs is as good.
                Err(LdapError::Result(outcome)) if outcome.result.code == ResultCode::EntryAlreadyExists => {}
                Err(error) => return Err(self.refused(&lane, &error)),
            }
        }
        Ok(())
    }
}

/// What a container with this DN consists of.
fn container(dn: &Dn) -> Result<Vec<Attribute>, WriteError> {
    let unknown = || WriteError::Refused {
        code: ResultCode::NoSuchObject,
        text: format!("{dn} does not exist, and only dc, o, ou, l and c entries are written by themselves"),
    };
    let [part] = dn.rdn().map(ldap::Rdn::parts).unwrap_or_default() else {
        return Err(unknown());
    };
    let value = |part: &Ava| Bytes::copy_from_slice(part.value());
    let mut attributes = Vec::with_capacity(3);
    let classes: &[&'static str] = match part.attribute().to_ascii_lowercase().as_str() {
        "dc" => {
            // RFC 2247 section 4: an object that has another class of its own carries dcObject beside it.
            attributes.push(Attribute::new("o", Values::one(Bytes::from(domain_of(dn)))));
            &["top", "organization", "dcObject"]
        }
        "o" => &["top", "organization"],
        "ou" => &["top", "organizationalUnit"],
        "l" => &["top", "locality"],
        "c" => &["top", "country"],
        _ => return Err(unknown()),
    };
    let classes: Vec<Bytes> = classes
        .iter()
        .map(|class| Bytes::from_static(class.as_bytes()))
        .collect();
    attributes.insert(0, Attribute::new("objectClass", Values::from(classes)));
    attributes.push(Attribute::new(part.attribute(), Values::one(value(part))));
    Ok(attributes)
}

/// `example.test` for `dc=example,dc=test`.
fn domain_of(dn: &Dn) -> String {
    let labels: Vec<&str> = dn.rdns().iter().filter_map(|rdn| rdn.value("dc")).collect();
    labels.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_by_table() {
        let shown = |dn: &str| {
            let dn = Dn::parse(dn).expect("a DN");
            container(&dn).ok().map(|attributes| {
                let values = |attribute: &Attribute| {
                    let values: Vec<_> = attribute
                        .values
                        .iter()
                        .map(|v| String::from_utf8_lossy(v))
                        .collect();
                    format!("{}={}", attribute.name, values.join("+"))
                };
                attributes.iter().map(values).collect::<Vec<_>>().join(" ")
            })
        };
        for (dn, expected) in [
            (
                "dc=localdomain,dc=test",
                Some("objectClass=top+organization+dcObject o=localdomain.test dc=localdomain"),
            ),
            (
                "o=localdomain,dc=localdomain,dc=test",
                Some("objectClass=top+organization o=localdomain"),
            ),
            (
                "ou=a\\,b,dc=test",
                Some("objectClass=top+organizationalUnit ou=a,b"),
            ),
            ("cn=Users,dc=test", None),
            ("ou=a+l=b,dc=test", None),
            ("", None),
        ] {
            assert_eq!(shown(dn).as_deref(), expected, "{dn}");
        }
    }
}
