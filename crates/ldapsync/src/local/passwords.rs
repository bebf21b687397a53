//! Passwords on this side: what stands for the stored hash, and the copy of the directory's.
//!
//! A hash goes from the entry to the account within one plan, in memory. No intent, no base and no journal has it.

use super::{Copies, Local, Seen};
use crate::plan::{Digest, PasswordMove, Passwords, Plan};
use model::Secret;

impl Local {
    /// What stands for the account's own hash. None where hashes are not copied: then they are its own affair.
    pub(crate) fn password_digest(&self, hash: Option<&Secret>) -> Option<Digest> {
        hash.filter(|_| self.copies == Copies::Yes).map(digest_of)
    }

    /// The hash that a plan brings here.
    pub(super) fn copied<'a>(&self, plan: &Plan, seen: &'a Seen) -> Option<&'a Secret> {
        let copies = self.copies == Copies::Yes && plan.password == PasswordMove::TakeRemote;
        seen.hash.as_ref().filter(|_| copies)
    }

    /// The digests of both sides once the plan is carried out.
    pub(crate) fn passwords_after(&self, plan: &Plan, seen: &Seen) -> Passwords {
        let copied = self.copied(plan, seen).map(digest_of);
        Passwords {
            local: copied.or(plan.passwords.local),
            ..plan.passwords
        }
    }
}

fn digest_of(hash: &Secret) -> Digest {
    let digest = blake3::derive_key("homing password of an account 1", hash.expose());
    let mut out = [0; 16];
    // The other half is for the moment of a change, which only directories tell.
    for (to, from) in out.iter_mut().take(8).zip(digest) {
        *to = from;
    }
    Digest(out)
}
