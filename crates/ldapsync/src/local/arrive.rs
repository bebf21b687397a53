//! Entries that mean nothing here yet: a situation that needs no reading, and many accounts in one commit.

use super::{Local, Seen};
use crate::plan::{Credentials, Kind, LocalState, Op, Plan, Remote, Removal, Situation};
use model::EntryUuid;
use store::{Arrival, Names, Origin, StagedAccounts, StoreError};

/// A plan that makes an account that nobody has, and nothing else.
pub(crate) fn is_arrival(plan: &Plan) -> bool {
    let alone = matches!(
        plan.ops.as_slice(),
        [Op::Create {
            kind: Kind::Account,
            state: LocalState::Active,
            ..
        }]
    );
    alone && plan.remote.is_empty() && plan.credentials != Credentials::Changed
}

impl Local {
    /// Which of these entries this side has never heard of.
    pub(crate) fn unknown(&self, arrivals: &[Arrival<'_>], names: Names) -> Result<Vec<bool>, StoreError> {
        #[cfg(test)]
        if crate::broken::is(crate::broken::Broken::ByDn) {
            return Ok(vec![false; arrivals.len()]);
        }
        // One of them may be the entry that was made for somebody who has another address by now.
        if self.unanswered_birth(|_| true)?.is_some() {
            return Ok(vec![false; arrivals.len()]);
        }
        let mut unknown = self.store.unknown(&self.connector, arrivals, names)?;
        for other in self.of_the_same_directory()? {
            for (arrival, unknown) in arrivals.iter().zip(&mut unknown) {
                *unknown = *unknown && self.store.association_by_uuid(other, arrival.uuid)?.is_none();
            }
        }
        Ok(unknown)
    }

    /// What a plan for an unknown entry depends on: the entry. The same that [`Local::situation`] reads of it.
    pub(crate) fn nobody(
        uuid: EntryUuid,
        remote: Remote,
        origin: (String, Option<String>),
    ) -> (Situation, Seen) {
        let seen = Seen::of_nobody(origin, &remote);
        let situation = Situation {
            uuid,
            name: seen.dn.clone(),
            remote,
            link: None,
            local: None,
            by_address: Vec::new(),
            by_alias: Vec::new(),
            beside: None,
            bereaved: Vec::new(),
            seen_at: None,
            removal: Removal::default(),
            rivals: Vec::new(),
        };
        (situation, seen)
    }

    /// For the rows of about so many accounts.
    pub(crate) fn staging(&self, accounts: usize) -> StagedAccounts {
        let origin = Origin::Connector(self.connector.clone());
        self.store.staging(&origin, accounts)
    }

    /// Makes the rows of a plan for which [`is_arrival`] holds.
    pub(crate) fn stage(
        &self,
        staged: &mut StagedAccounts,
        plan: &Plan,
        seen: &Seen,
    ) -> Result<(), StoreError> {
        let [Op::Create { image, state, .. }] = plan.ops.as_slice() else {
            return Err(StoreError::Invalid("no plan of one new account".into()));
        };
        let rows = self.rows(plan, seen, None);
        let new = self.account_to_create((plan, seen), image, state, rows)?;
        self.store.stage(staged, new)
    }

    /// Carries them out in one commit. In their order: whether each account came.
    pub(crate) async fn arrive(&self, staged: StagedAccounts) -> Result<Vec<bool>, StoreError> {
        let came = self.store.create_accounts(staged).await?;
        Ok(came.iter().map(Option::is_some).collect())
    }
}
