//! Telling whoever holds sessions and credentials that an account is not what it was.

use crate::plan::{Credentials, Hazard, Op, Plan};
use directory::{AccountEventKind, Connector};
use model::{Address, EntryUuid};
use std::sync::Arc;

/// What the rest of the process hears of accounts.
#[derive(Clone)]
pub(crate) struct Sessions {
    /// The entry changed in some way: remembered credentials are not good any more.
    pub(crate) changed: Arc<dyn Fn(EntryUuid) + Send + Sync>,
    /// Its sessions are not good any more.
    pub(crate) ended: Arc<dyn Fn(EntryUuid, Option<Address>, AccountEventKind) + Send + Sync>,
}

impl Sessions {
    /// Those of a connector.
    pub(crate) fn of(connector: &Arc<Connector>) -> Self {
        let (changed, ended) = (Arc::clone(connector), Arc::clone(connector));
        Self {
            changed: Arc::new(move |uuid| changed.credentials_changed(uuid)),
            ended: Arc::new(move |uuid, address, kind| ended.publish_account_event(uuid, address, kind)),
        }
    }

    /// Tells what a plan, which is durable now, means for sessions.
    pub(super) fn applied(&self, plan: &Plan) {
        let address = || Address::parse(&plan.subject).ok();
        if let Some(kind) = plan.ops.iter().find_map(meaning) {
            (self.ended)(plan.uuid, address(), kind);
        }
        if plan.credentials == Credentials::Changed {
            (self.ended)(plan.uuid, address(), AccountEventKind::PasswordChanged);
        }
    }
}

fn meaning(op: &Op) -> Option<AccountEventKind> {
    match (op, op.hazard()) {
        (Op::Remove { .. }, _) => Some(AccountEventKind::Deleted),
        (Op::MoveAway { to }, _) => Some(AccountEventKind::MovedAway { to: to.clone() }),
        (_, Some(Hazard::Disable)) => Some(AccountEventKind::Disabled),
        _ => None,
    }
}
