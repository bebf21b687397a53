//! Writes to Active Directory, which has neither assertion nor post-read: the entry is read before, every value is
//! compared and swapped by the change itself, and the entry is read after.

use super::lane::Lane;
use super::openldap::renamed;
use super::outcome::{version, written};
use super::request::{self, Swap};
use super::{AttributeChange, NewEntry, Precondition, Target, Write, WriteError, Writer, Written};
use ldap::message::{Add, Modify, ModifyDn};
use ldap::{Attribute, Dn, Entry, Filter, LdapError, Rdn, Request, ResultCode, Scope, SearchRequest, Values};
use model::EntryUuid;

/// What names an entry and its version.
const OURS: [&str; 2] = ["objectGUID", "uSNChanged"];
/// The login name, which must be unique.
const ACCOUNT_NAME: &str = "sAMAccountName";

/// MS-ADTS section 3.1.1.3.1.2.4: an object named by what never changes.
fn by_guid(uuid: EntryUuid) -> String {
    format!("<GUID={uuid}>")
}

impl Writer {
    pub(super) async fn write_active_directory(
        &self,
        write: &Write,
        read_back: &[String],
    ) -> Result<Written, WriteError> {
        let names = request::read_back(read_back, &OURS);
        match write {
            Write::Add(new) => self.ad_add(new, &names).await,
            Write::Modify {
                target,
                precondition,
                changes,
            } => self.ad_modify(target, precondition, changes, &names).await,
            Write::Rename {
                target,
                precondition,
                rdn,
                new_parent,
            } => {
                self.ad_rename(target, precondition, rdn, new_parent.as_ref(), &names)
                    .await
            }
            Write::Delete { target, precondition } => self.ad_delete(target, precondition, &names).await,
        }
    }

    /// The entry as it is, after the check that it is still the one that was planned on.
    async fn ad_present(
        &self,
        lane: &Lane,
        target: &Target,
        precondition: &Precondition,
        more: &[String],
    ) -> Result<Entry, WriteError> {
        let host = self.connector.patterns().map.host.as_deref();
        let mut names = request::read_back(more, &OURS);
        names.extend(host.map(str::to_owned));
        let entry = self
            .ad_read(lane, target.uuid, &names)
            .await?
            .ok_or(WriteError::NoSuchObject)?;
        request::host_holds(&entry, precondition, host).map_err(WriteError::NotMine)?;
        match &precondition.csn {
            Some(seen) if version(&entry).as_ref() != Some(seen) => Err(WriteError::Stale),
            _ => Ok(entry),
        }
    }

    async fn ad_read(
        &self,
        lane: &Lane,
        uuid: EntryUuid,
        names: &[String],
    ) -> Result<Option<Entry>, WriteError> {
        self.at(lane, &by_guid(uuid), names).await
    }

    /// The entry after a write that took place.
    async fn ad_after(&self, lane: &Lane, uuid: EntryUuid, names: &[String]) -> Result<Written, WriteError> {
        let unreadable = || self.unreadable(&by_guid(uuid));
        match self.ad_read(lane, uuid, names).await {
            Ok(Some(entry)) => written(entry, Some(uuid)).ok_or_else(unreadable),
            Ok(None) => Err(unreadable()),
            Err(error) => Err(error.but_done()),
        }
    }

    async fn ad_add(&self, new: &NewEntry, names: &[String]) -> Result<Written, WriteError> {
        let lane = self.lanes.main().await?;
        let dn = new.dn().to_string();
        let mut request = Add {
            dn: dn.clone(),
            attributes: new.attributes.clone(),
        };
        let mut parent_tried = false;
        let mut taken = account_name(&request.attributes).map(super::account_names);
        loop {
            if let Some(candidates) = &mut taken {
                let Some(free) = self.free_name(&lane, candidates).await? else {
                    return Err(too_many_namesakes());
                };
                set(&mut request.attributes, ACCOUNT_NAME, free);
            }
            let error = match self.send(&lane, &Request::Add(request.clone()), &[]).await {
                Ok((lane, _)) => {
                    let read = self.at(&lane, &dn, names).await.map_err(WriteError::but_done)?;
                    return read
                        .and_then(|entry| written(entry, None))
                        .ok_or_else(|| self.unreadable(&dn));
                }
                Err(error) => error,
            };
            match error.code() {
                Some(ResultCode::EntryAlreadyExists) => match self.at(&lane, &dn, names).await? {
                    Some(there) => return Err(WriteError::AlreadyExists(Some(Box::new(there)))),
                    // Somebody took the login name between the look and the write: the next one, then.
                    None if taken.is_some() => {}
                    None => return Err(WriteError::AlreadyExists(None)),
                },
                Some(ResultCode::NoSuchObject) if !parent_tried => {
                    parent_tried = true;
                    self.ensure_parent(&new.parent).await?;
                }
                _ => return Err(self.refused(&lane, &error)),
            }
        }
    }

    /// The first login name that nobody has.
    async fn free_name(
        &self,
        lane: &Lane,
        candidates: &mut impl Iterator<Item = String>,
    ) -> Result<Option<String>, WriteError> {
        let top = &self.connector.patterns().top;
        let context = lane.facts.context_of(top).unwrap_or(top).to_string();
        for name in candidates {
            let filter = Filter::Equality {
                attribute: ACCOUNT_NAME.to_owned(),
                value: name.clone().into(),
            };
            let request = SearchRequest::new(context.as_str(), Scope::Subtree, filter);
            if self
                .at_most_one(lane, request, &["1.1".to_owned()])
                .await?
                .is_none()
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    async fn ad_modify(
        &self,
        target: &Target,
        precondition: &Precondition,
        changes: &[AttributeChange],
        names: &[String],
    ) -> Result<Written, WriteError> {
        let lane = self.lanes.main().await?;
        let replaced = request::replaced(changes);
        let current = self.ad_present(&lane, target, precondition, &replaced).await?;
        let modifications = request::modifications(changes, &current, Swap::Compare);
        if modifications.is_empty() {
            return self
                .ad_after(&lane, target.uuid, names)
                .await
                .map_err(WriteError::but_not_done);
        }
        let request = Request::Modify(Modify {
            dn: by_guid(target.uuid),
            changes: modifications,
        });
        match self.send(&lane, &request, &[]).await {
            Ok((lane, _)) => self.ad_after(&lane, target.uuid, names).await,
            Err(error) => Err(self
                .ad_refused(&lane, target, precondition, changes, &error)
                .await),
        }
    }

    /// Whether a refusal means that the values were not as they should have been. Members that are there already,
    /// or not there, are answered with 68 and 53, other values with 20 and 16.
    async fn ad_refused(
        &self,
        lane: &Lane,
        target: &Target,
        precondition: &Precondition,
        changes: &[AttributeChange],
        error: &LdapError,
    ) -> WriteError {
        let about_values = matches!(
            error.code(),
            Some(
                ResultCode::NoSuchAttribute
                    | ResultCode::AttributeOrValueExists
                    | ResultCode::EntryAlreadyExists
                    | ResultCode::UnwillingToPerform
                    | ResultCode::NoSuchObject
            )
        );
        if !about_values {
            return self.refused(lane, error);
        }
        let touched: Vec<String> = changes.iter().map(|change| change.attribute.clone()).collect();
        match self.ad_present(lane, target, precondition, &touched).await {
            Ok(entry) if request::contradicts(changes, &entry) => WriteError::Stale,
            Ok(_) => match error.code() {
                Some(ResultCode::NoSuchAttribute | ResultCode::AttributeOrValueExists) => WriteError::Stale,
                _ => self.refused(lane, error),
            },
            Err(error) => error,
        }
    }

    async fn ad_rename(
        &self,
        target: &Target,
        precondition: &Precondition,
        rdn: &Rdn,
        parent: Option<&Dn>,
        names: &[String],
    ) -> Result<Written, WriteError> {
        let lane = self.lanes.main().await?;
        let mut tried = false;
        loop {
            let current = self.ad_present(&lane, target, precondition, &[]).await?;
            let new = renamed(&current.dn, rdn, parent);
            if let (Some(new), Ok(old)) = (&new, Dn::parse(&current.dn))
                && new.to_string() == old.to_string()
            {
                return self
                    .ad_after(&lane, target.uuid, names)
                    .await
                    .map_err(WriteError::but_not_done);
            }
            // By the DN of a moment ago: Samba (4.17) renames nothing that is named by its GUID.
            let request = Request::ModifyDn(ModifyDn {
                dn: current.dn.clone(),
                new_rdn: rdn.to_string(),
                delete_old_rdn: true,
                new_superior: parent.map(ToString::to_string),
            });
            let error = match self.send(&lane, &request, &[]).await {
                Ok((lane, _)) => return self.ad_after(&lane, target.uuid, names).await,
                Err(error) => error,
            };
            match (error.code(), parent) {
                (Some(ResultCode::EntryAlreadyExists), _) => {
                    let there = match new {
                        Some(dn) => self.at(&lane, &dn.to_string(), names).await.ok().flatten(),
                        None => None,
                    };
                    return Err(WriteError::AlreadyExists(there.map(Box::new)));
                }
                (Some(ResultCode::NoSuchObject | ResultCode::Other), Some(parent)) if !tried => {
                    tried = true;
                    self.ensure_parent(parent).await?;
                }
                // Somebody has moved it in between.
                (Some(ResultCode::NoSuchObject), None) if !tried => tried = true,
                _ => return Err(self.refused(&lane, &error)),
            }
        }
    }

    async fn ad_delete(
        &self,
        target: &Target,
        precondition: &Precondition,
        names: &[String],
    ) -> Result<Written, WriteError> {
        let lane = self.lanes.main().await?;
        let entry = self.ad_present(&lane, target, precondition, names).await?;
        match self
            .send(&lane, &Request::Delete(by_guid(target.uuid)), &[])
            .await
        {
            Ok(_) => Ok(Written {
                uuid: target.uuid,
                dn: entry.dn.clone(),
                csn: None,
                entry,
            }),
            Err(error) if error.code() == Some(ResultCode::NoSuchObject) => Err(WriteError::NoSuchObject),
            Err(error) => Err(self.refused(&lane, &error)),
        }
    }
}

fn account_name(attributes: &[Attribute]) -> Option<&str> {
    let attribute = attributes
        .iter()
        .find(|attribute| attribute.name.as_str().eq_ignore_ascii_case(ACCOUNT_NAME))?;
    std::str::from_utf8(attribute.values.first()?).ok()
}

fn set(attributes: &mut [Attribute], name: &str, value: String) {
    for attribute in attributes {
        if attribute.name.as_str().eq_ignore_ascii_case(name) {
            attribute.values = Values::one(value.clone().into());
        }
    }
}

fn too_many_namesakes() -> WriteError {
    WriteError::Refused {
        code: ResultCode::EntryAlreadyExists,
        text: format!("every {ACCOUNT_NAME} that could be made of this address is taken"),
    }
}
