//! Writes to OpenLDAP: the assertion control guards each, the post-read control tells what it left.

use super::lane::Lane;
use super::outcome::{same_dn, version, written};
use super::request::{self, Swap};
use super::{AttributeChange, Edit, NewEntry, Precondition, Target, Write, WriteError, Writer, Written};
use crate::placeholder;
use bytes::Bytes;
use ldap::control::Control;
use ldap::message::{Add, Compare, Modify, ModifyDn};
use ldap::{
    Attribute, Dn, Entry, LdapError, Modification, ModifyOperation, Outcome, Rdn, Request, ResultCode, Values,
};

/// How often one write is sent anew after its DN was found out, its parent written or a class added.
const TRIES: usize = 4;
/// What names an entry and its version.
pub(super) const OURS: [&str; 2] = ["entryUUID", "entryCSN"];

/// A change of an entry that is there.
enum Change<'a> {
    Modify(&'a [AttributeChange]),
    Rename(&'a Rdn, Option<&'a Dn>),
    Delete,
}

/// What was done already to make the server take a change.
#[derive(Default)]
struct Remedies {
    more: Vec<Modification>,
    parent: bool,
}

impl Writer {
    pub(super) async fn write_openldap(
        &self,
        write: &Write,
        read_back: &[String],
    ) -> Result<Written, WriteError> {
        let names = request::read_back(read_back, &OURS);
        let (target, precondition, change) = match write {
            Write::Add(new) => return self.add(new, &names).await,
            Write::Modify {
                target,
                precondition,
                changes,
            } => (target, precondition, Change::Modify(changes)),
            Write::Rename {
                target,
                precondition,
                rdn,
                new_parent,
            } => (target, precondition, Change::Rename(rdn, new_parent.as_ref())),
            Write::Delete { target, precondition } => (target, precondition, Change::Delete),
        };
        self.change(target, precondition, &change, &names).await
    }

    async fn add(&self, new: &NewEntry, names: &[String]) -> Result<Written, WriteError> {
        let dn = new.dn().to_string();
        let request = Request::Add(Add {
            dn: dn.clone(),
            attributes: new.attributes.clone(),
        });
        let mut parent_tried = false;
        loop {
            let lane = self.lanes.main().await?;
            let error = match self.send(&lane, &request, &[request::post_read(names)]).await {
                Ok((lane, outcome)) => return self.after(&lane, &outcome, None, &dn, names).await,
                Err(error) => error,
            };
            match error.code() {
                Some(ResultCode::EntryAlreadyExists) => {
                    let there = self.at(&lane, &dn, names).await.ok().flatten();
                    return Err(WriteError::AlreadyExists(there.map(Box::new)));
                }
                Some(ResultCode::NoSuchObject) if !parent_tried => {
                    parent_tried = true;
                    self.ensure_parent(&new.parent).await?;
                }
                _ => return Err(self.refused(&lane, &error)),
            }
        }
    }

    async fn change(
        &self,
        target: &Target,
        precondition: &Precondition,
        change: &Change<'_>,
        names: &[String],
    ) -> Result<Written, WriteError> {
        let lane = self.lanes.main().await?;
        let mut dn = target.dn.clone();
        let mut remedies = Remedies::default();
        let host = self.connector.patterns().map.host.as_deref();
        let guard = request::assertion(target.uuid, precondition, host);
        for _ in 0..TRIES {
            let (sent, mut controls) = match self
                .request(&lane, target, precondition, change, &mut dn, &remedies)
                .await?
            {
                Some(request) => (request, request::conditions(guard.clone())),
                None => return self.unchanged(&lane, target, precondition, &dn, names).await,
            };
            controls.push(match change {
                Change::Delete => request::pre_read(names),
                _ => request::post_read(names),
            });
            let error = match self.send(&lane, &sent, &controls).await {
                Ok((_, outcome)) if matches!(change, Change::Delete) => {
                    return Ok(Self::deleted(&outcome, target.uuid, &dn));
                }
                Ok((lane, outcome)) => {
                    return self.after(&lane, &outcome, Some(target.uuid), &dn, names).await;
                }
                Err(error) => error,
            };
            let entry = match error.code() {
                // RFC 4528 section 3: the entry is not as it was asserted to be; which part of it, a look tells.
                Some(ResultCode::AssertionFailed | ResultCode::NoSuchObject) => {
                    self.present(&lane, target, precondition, &dn, &[]).await?
                }
                Some(ResultCode::NoSuchAttribute | ResultCode::AttributeOrValueExists) => {
                    self.present(&lane, target, precondition, &dn, &[]).await?;
                    return Err(WriteError::Stale);
                }
                Some(ResultCode::EntryAlreadyExists) => {
                    return Err(WriteError::AlreadyExists(
                        self.in_the_way(&lane, &dn, change, names).await,
                    ));
                }
                Some(ResultCode::ObjectClassViolation) => {
                    self.remedy(&lane, target, &dn, change, &mut remedies, &error)
                        .await?;
                    continue;
                }
                _ => return Err(self.refused(&lane, &error)),
            };
            if !same_dn(&entry.dn, &dn) {
                dn = entry.dn;
                continue;
            }
            match (change, error.code()) {
                (Change::Rename(_, Some(parent)), Some(ResultCode::NoSuchObject)) if !remedies.parent => {
                    remedies.parent = true;
                    self.ensure_parent(parent).await?;
                }
                (_, Some(ResultCode::AssertionFailed)) => return Err(WriteError::Stale),
                _ => return Err(self.refused(&lane, &error)),
            }
        }
        // It moves as fast as we look: whoever moves it has changed it.
        Err(WriteError::Stale)
    }

    /// The request, or none when there is nothing to change.
    async fn request(
        &self,
        lane: &Lane,
        target: &Target,
        precondition: &Precondition,
        change: &Change<'_>,
        dn: &mut String,
        remedies: &Remedies,
    ) -> Result<Option<Request>, WriteError> {
        Ok(Some(match change {
            Change::Delete => Request::Delete(dn.clone()),
            Change::Rename(rdn, parent) => {
                if renamed(dn, rdn, *parent).is_some_and(|new| same_spelling(&new, dn)) {
                    return Ok(None);
                }
                Request::ModifyDn(ModifyDn {
                    dn: dn.clone(),
                    new_rdn: rdn.to_string(),
                    delete_old_rdn: true,
                    new_superior: parent.map(ToString::to_string),
                })
            }
            Change::Modify(changes) => {
                let replaced = request::replaced(changes);
                let mut current = Entry::default();
                if !replaced.is_empty() {
                    current = self.present(lane, target, precondition, dn, &replaced).await?;
                    dn.clone_from(&current.dn);
                }
                let changes = self.with_placeholder(lane, dn, changes).await;
                let mut changes = request::modifications(&changes, &current, Swap::Whole);
                if changes.is_empty() {
                    return Ok(None);
                }
                changes.extend(remedies.more.iter().cloned());
                Request::Modify(Modify {
                    dn: dn.clone(),
                    changes,
                })
            }
        }))
    }

    /// Reads the entry and checks the conditions again, for a refusal that can have several causes.
    pub(super) async fn present(
        &self,
        lane: &Lane,
        target: &Target,
        precondition: &Precondition,
        dn: &str,
        more: &[String],
    ) -> Result<Entry, WriteError> {
        let host = self.connector.patterns().map.host.as_deref();
        let mut names = request::read_back(more, &OURS);
        names.extend(host.map(str::to_owned));
        let entry = self
            .look(lane, target.uuid, dn, &names)
            .await?
            .ok_or(WriteError::NoSuchObject)?;
        request::host_holds(&entry, precondition, host).map_err(WriteError::NotMine)?;
        match &precondition.csn {
            Some(seen) if version(&entry).as_ref() != Some(seen) => Err(WriteError::Stale),
            _ => Ok(entry),
        }
    }

    /// Nothing is sent; the conditions hold all the same.
    pub(super) async fn unchanged(
        &self,
        lane: &Lane,
        target: &Target,
        precondition: &Precondition,
        dn: &str,
        names: &[String],
    ) -> Result<Written, WriteError> {
        let entry = self.present(lane, target, precondition, dn, names).await?;
        written(entry, Some(target.uuid)).ok_or(WriteError::NoSuchObject)
    }

    async fn in_the_way(
        &self,
        lane: &Lane,
        dn: &str,
        change: &Change<'_>,
        names: &[String],
    ) -> Option<Box<Entry>> {
        let Change::Rename(rdn, parent) = change else {
            return None;
        };
        let dn = renamed(dn, rdn, *parent)?;
        self.at(lane, &dn.to_string(), names)
            .await
            .ok()
            .flatten()
            .map(Box::new)
    }

    /// What the schema asks for beside the change: the placeholder of a group that loses its last member, and the
    /// auxiliary class that allows one of our attributes.
    async fn remedy(
        &self,
        lane: &Lane,
        target: &Target,
        dn: &str,
        change: &Change<'_>,
        remedies: &mut Remedies,
        error: &LdapError,
    ) -> Result<(), WriteError> {
        let (Change::Modify(changes), true) = (change, remedies.more.is_empty()) else {
            return Err(self.refused(lane, error));
        };
        let members = self.connector.patterns().map.members.as_str();
        let removes_member = changes.iter().any(|change| {
            change.attribute.eq_ignore_ascii_case(members)
                && matches!(&change.edit, Edit::Values { remove, .. } if !remove.is_empty())
        });
        if let (true, Some(placeholder)) = (removes_member, self.placeholders(lane).into_iter().next()) {
            remedies
                .more
                .push(addition(members, vec![Bytes::from(placeholder)]));
        }
        let names = ["objectClass".to_owned()];
        let entry = self
            .look(lane, target.uuid, dn, &names)
            .await?
            .ok_or(WriteError::NoSuchObject)?;
        let schema = lane.facts.schema(&lane.client).await.ok();
        let missing: Vec<Bytes> = changes
            .iter()
            .filter_map(|change| self.vocabulary.auxiliary_class(&change.attribute, &entry))
            .filter(|class| !entry.has_object_class(class))
            .filter(|class| schema.as_ref().is_some_and(|schema| schema.has_class(class)))
            .map(|class| Bytes::from_static(class.as_bytes()))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        if !missing.is_empty() {
            remedies.more.push(addition("objectClass", missing));
        }
        if remedies.more.is_empty() {
            return Err(self.refused(lane, error));
        }
        Ok(())
    }

    /// A group that gets a member needs its placeholder no longer, and one that loses all gets it.
    async fn with_placeholder(
        &self,
        lane: &Lane,
        dn: &str,
        changes: &[AttributeChange],
    ) -> Vec<AttributeChange> {
        let members = self.connector.patterns().map.members.as_str();
        let mut changes = changes.to_vec();
        for change in &mut changes {
            if !change.attribute.eq_ignore_ascii_case(members) {
                continue;
            }
            let placeholders = self.placeholders(lane);
            match &mut change.edit {
                Edit::Replace(values) => {
                    if let (true, Some(placeholder)) = (values.is_empty(), placeholders.into_iter().next()) {
                        values.push(Bytes::from(placeholder));
                    }
                }
                Edit::Values { remove, add } if !add.is_empty() => {
                    for placeholder in placeholders {
                        let value = Bytes::from(placeholder);
                        let compare = Compare {
                            dn: dn.to_owned(),
                            attribute: members.to_owned(),
                            value: value.clone(),
                        };
                        // A placeholder that stays beside real members does no harm.
                        if lane.client.compare(compare, &[]).await.unwrap_or(false)
                            && !remove.contains(&value)
                        {
                            remove.push(value);
                        }
                    }
                }
                Edit::Values { .. } => {}
            }
        }
        changes
    }

    /// The placeholders that a group may have: ours first, then the one of slapd's refint overlay. None when the
    /// class of groups needs none.
    fn placeholders(&self, lane: &Lane) -> Vec<String> {
        let Some(groups) = &self.connector.patterns().groups else {
            return Vec::new();
        };
        if !placeholder::is_needed(groups.object_class()) {
            return Vec::new();
        }
        let base = groups.bases.first();
        let context = base.and_then(|base| lane.facts.context_of(base));
        let mut all: Vec<String> = base
            .into_iter()
            .chain(context)
            .map(|dn| placeholder::below(dn).to_string())
            .collect();
        all.dedup();
        all
    }

    /// One request in its turn, and on the server where it belongs when it is referred to one of ours. Gives the
    /// lane that it took.
    pub(super) async fn send(
        &self,
        lane: &Lane,
        request: &Request,
        controls: &[Control],
    ) -> Result<(Lane, Outcome), LdapError> {
        let error = match self.send_to(lane, request.clone(), controls).await {
            Ok(outcome) => return Ok((lane.clone(), outcome)),
            Err(error) => error,
        };
        let referrals = match error.result() {
            Some(result) if result.code == ResultCode::Referral => &result.referrals,
            _ => return Err(error),
        };
        let Some(referred) = self.lanes.referred(referrals) else {
            return Err(error);
        };
        // A second referral is an error, so that two servers cannot send us to and fro.
        let other = match self.lanes.other(&referred).await {
            Ok(other) => other,
            Err(why) => return Err(later(&why.to_string())),
        };
        let request = match referred.dn {
            Some(dn) => with_dn(request.clone(), dn),
            None => request.clone(),
        };
        let outcome = self.send_to(&other, request, controls).await?;
        Ok((other, outcome))
    }

    async fn send_to(
        &self,
        lane: &Lane,
        request: Request,
        controls: &[Control],
    ) -> Result<Outcome, LdapError> {
        let place = self.lanes.place().await.map_err(|why| later(&why.to_string()))?;
        let client = &lane.client;
        if client.is_closed() {
            place.unused();
            return Err(later(&self.lanes.unsent(lane).await.to_string()));
        }
        let result = match request {
            Request::Add(add) => client.add(add, controls).await,
            Request::Modify(modify) => client.modify(modify, controls).await,
            Request::ModifyDn(modify_dn) => client.modify_dn(modify_dn, controls).await,
            Request::Delete(dn) => client.delete(dn, controls).await,
            _ => Err(LdapError::Protocol("not a write".to_owned())),
        };
        place.answered(result.as_ref().err());
        if result
            .as_ref()
            .map_or_else(|error| error.code().is_some(), |_| true)
        {
            lane.served();
        }
        result
    }
}

/// What stands in the way before anything is sent, in the words of a server that says "later".
fn later(why: &str) -> LdapError {
    let mut result = ldap::LdapResult::new(ResultCode::Unavailable);
    result.diagnostic = why.to_owned();
    LdapError::Result(Box::new(Outcome {
        result,
        controls: Vec::new(),
    }))
}

/// RFC 4511 section 4.1.10: a DN in the referral takes the place of the one in the request.
fn with_dn(mut request: Request, dn: String) -> Request {
    match &mut request {
        Request::Add(add) => add.dn = dn,
        Request::Modify(modify) => modify.dn = dn,
        Request::ModifyDn(modify_dn) => modify_dn.dn = dn,
        Request::Delete(old) => *old = dn,
        _ => {}
    }
    request
}

fn addition(attribute: &str, values: Vec<Bytes>) -> Modification {
    Modification::new(
        ModifyOperation::Add,
        Attribute::new(attribute, Values::from(values)),
    )
}

/// Where an entry is after a rename.
pub(super) fn renamed(dn: &str, rdn: &Rdn, parent: Option<&Dn>) -> Option<Dn> {
    let parent = match parent {
        Some(parent) => parent.clone(),
        None => Dn::parse(dn).ok()?.parent()?,
    };
    Some(parent.child(rdn.clone()))
}

/// Whether a rename would change nothing at all: a change of case is one.
fn same_spelling(new: &Dn, old: &str) -> bool {
    Dn::parse(old).is_ok_and(|old| old.to_string() == new.to_string())
}
