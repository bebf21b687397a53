//! The name of an entry whose address changed here.

use super::outcome::Plan;
use super::parking::is_parked_name;
use super::remote_op::RemoteOp;
use crate::field::Field;
use ldap::Dn;
use model::Address;

impl Plan {
    /// Lets the entry's name follow a new address, part by part, as far as it was made from the old one: an RDN or
    /// a parent that somebody chose otherwise stays. `dn_of` is where the configuration would put an address.
    pub(crate) fn follow_address(&mut self, current: &str, dn_of: impl Fn(&Address) -> Option<Dn>) {
        let change = self.remote.iter().find_map(|op| match op {
            RemoteOp::Set {
                field: Field::Address,
                was,
                values,
                ..
            } => Some((was.to_addresses().next()?, values.to_addresses().next()?)),
            _ => None,
        });
        let Some((was, now)) = change else { return };
        let names = Dn::parse(current).ok().zip(dn_of(&was)).zip(dn_of(&now));
        if let Some(((mut current, before), after)) = names {
            // A name for a moment is nobody's choice: it stands for the one before.
            if let (true, Some(parent), Some(rdn)) = (
                is_parked_name(self.uuid, &current),
                current.parent(),
                before.rdn(),
            ) {
                let was = parent.child(rdn.clone());
                let same = was.key() == after.key();
                if same {
                    self.remote.insert(0, RemoteOp::Rename { rdn: name_of(&was) });
                    return;
                }
                current = was;
            }
            self.remote.splice(0..0, follow(&current, &before, &after));
        }
    }
}

fn name_of(dn: &Dn) -> String {
    let rdn = dn.rdn().cloned().into_iter().collect();
    Dn::from_rdns(rdn).to_string()
}

fn follow(current: &Dn, before: &Dn, after: &Dn) -> Vec<RemoteOp> {
    let rdn = |dn: &Dn| dn.rdn().map(|rdn| Dn::from_rdns(vec![rdn.clone()]));
    let same = |one: &Option<Dn>, other: &Option<Dn>| match (one, other) {
        (Some(one), Some(other)) => one.key() == other.key(),
        (None, None) => true,
        _ => false,
    };
    // The part that was made from the old address and is to be another one.
    let next = |part: &dyn Fn(&Dn) -> Option<Dn>| {
        let (now, was, wanted) = (part(current), part(before), part(after));
        wanted.filter(|wanted| same(&now, &was) && !same(&now, &Some(wanted.clone())))
    };
    let rename = next(&rdn).map(|rdn| RemoteOp::Rename { rdn: rdn.to_string() });
    let parent = next(&Dn::parent).map(|parent| RemoteOp::Move {
        parent: parent.to_string(),
    });
    rename.into_iter().chain(parent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Values;
    use crate::merge::Cause;
    use model::EntryUuid;

    #[test]
    fn a_name_follows_the_address_as_far_as_it_was_made_from_it() {
        for (current, from, to, expected) in [
            ("uid=a,ou=x,dc=one", "a@one", "b@one", "~ rename to uid=b"),
            ("UID=A, ou=x,dc=one", "a@one", "b@one", "~ rename to uid=b"),
            ("uid=a,ou=x,dc=one", "a@one", "a@two", "~ move below ou=x,dc=two"),
            (
                "uid=a,ou=x,dc=one",
                "a@one",
                "b@two",
                "~ rename to uid=b, ~ move below ou=x,dc=two",
            ),
            // Chosen by somebody.
            (
                "uid=u17,ou=x,dc=one",
                "a@one",
                "b@two",
                "~ move below ou=x,dc=two",
            ),
            ("uid=a,ou=boss,dc=one", "a@one", "b@two", "~ rename to uid=b"),
            ("uid=a,ou=x,dc=one", "a@one", "A@one", ""),
            ("not a name", "a@one", "b@one", ""),
        ] {
            let address = |text: &str| Address::parse(&format!("{text}.test")).expect("an address");
            let uuid = EntryUuid::from_bytes([1; 16]);
            let mut plan = Plan::nothing(uuid, String::new(), None);
            plan.remote.push(RemoteOp::Set {
                field: Field::Address,
                was: Values::addresses([&address(from)]),
                values: Values::addresses([&address(to)]),
                cause: Cause::Changed,
            });
            plan.follow_address(current, |address| {
                let domain = address.domain().to_string();
                let domain = domain.trim_end_matches(".test");
                Dn::parse(&format!("uid={},ou=x,dc={domain}", address.local_part())).ok()
            });
            plan.remote.pop();
            let told: Vec<String> = plan.remote.iter().map(ToString::to_string).collect();
            assert_eq!(told.join(", "), expected, "{current} {from} {to}");
        }
    }
}
