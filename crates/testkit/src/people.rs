//! People and groups for a directory, the same ones every time.

use std::fmt::Write;

/// A person with an account.
#[derive(Debug, Clone)]
pub struct Person {
    /// `uid`, and the local-part of the address.
    pub uid: String,
    /// `mail`
    pub mail: String,
    /// `givenName`
    pub given_name: String,
    /// `sn`
    pub surname: String,
    /// The host that holds the mail.
    pub host: String,
    /// In clear text, as the directory of a test may hold it.
    pub password: String,
}

/// A group of people.
#[derive(Debug, Clone)]
pub struct Group {
    /// `cn`, and the local-part of the address.
    pub name: String,
    /// `mail`
    pub mail: String,
    /// The members' `uid`s.
    pub members: Vec<String>,
}

/// A whole organisation.
#[derive(Debug, Clone)]
pub struct People {
    /// The suffix, for example `dc=localdomain,dc=test`.
    pub suffix: String,
    /// Where accounts stand.
    pub users_dn: String,
    /// Where groups stand.
    pub groups_dn: String,
    /// The people; the first ones have well-known names.
    pub persons: Vec<Person>,
    /// The groups.
    pub groups: Vec<Group>,
}

const GIVEN: [&str; 20] = [
    "Alice", "Bob", "Carol", "David", "Erika", "Frank", "Grete", "Hanna", "Ivan", "Julia", "Karim", "Lena",
    "Mateo", "Nadia", "Oskar", "Paula", "Quentin", "Rosa", "Sven", "Tamar",
];
const SURNAMES: [&str; 16] = [
    "Abel", "Brandt", "Conti", "Dumas", "Ekström", "Fischer", "García", "Horváth", "Ivanov", "Jansen",
    "Kowalski", "Larsen", "Müller", "Novák", "O'Brien", "Petrov",
];

impl People {
    /// `count` people of `domain`, dealt out to `hosts` in turn, and a group for every 25 of them.
    #[must_use]
    pub fn generate(domain: &str, count: usize, hosts: &[&str]) -> Self {
        let suffix = domain
            .split('.')
            .map(|label| format!("dc={label}"))
            .collect::<Vec<_>>()
            .join(",");
        let first_label = domain.split('.').next().unwrap_or(domain);
        let organization = format!("o={first_label},{suffix}");
        let persons: Vec<Person> = (0..count).map(|index| person(index, domain, hosts)).collect();
        let groups = persons
            .chunks(25)
            .enumerate()
            .map(|(index, members)| group(index, domain, members))
            .collect();
        Self {
            users_dn: format!("ou=Users,{organization}"),
            groups_dn: format!("ou=Groups,{organization}"),
            suffix,
            persons,
            groups,
        }
    }

    /// The person with this `uid`.
    #[must_use]
    pub fn find(&self, uid: &str) -> Option<&Person> {
        self.persons.iter().find(|person| person.uid == uid)
    }

    /// The people that live on this host.
    pub fn on_host<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Person> {
        self.persons.iter().filter(move |person| person.host == host)
    }

    /// The DN of a person.
    #[must_use]
    pub fn dn(&self, uid: &str) -> String {
        format!("uid={uid},{}", self.users_dn)
    }

    /// LDIF of one person.
    #[must_use]
    pub fn person_ldif(&self, person: &Person) -> String {
        let mut ldif = format!("dn: {}\n", self.dn(&person.uid));
        for class in ["inetOrgPerson", "inetLocalMailRecipient", "homingAccount"] {
            let _ = writeln!(ldif, "objectClass: {class}");
        }
        let name = format!("{} {}", person.given_name, person.surname);
        for (attribute, value) in [
            ("uid", &person.uid),
            ("cn", &name),
            ("displayName", &name),
            ("givenName", &person.given_name),
            ("sn", &person.surname),
            ("mail", &person.mail),
            ("mailHost", &person.host),
            ("userPassword", &person.password),
        ] {
            let _ = writeln!(ldif, "{}", ldif_line(attribute, value));
        }
        ldif.push('\n');
        ldif
    }

    /// LDIF of everything below the base tree.
    #[must_use]
    pub fn ldif(&self) -> String {
        let mut ldif: String = self
            .persons
            .iter()
            .map(|person| self.person_ldif(person))
            .collect();
        for group in &self.groups {
            let _ = write!(
                ldif,
                "dn: cn={},{}\nobjectClass: groupOfNames\nobjectClass: homingGroup\n",
                group.name, self.groups_dn
            );
            let _ = writeln!(ldif, "cn: {}\nmail: {}", group.name, group.mail);
            for member in &group.members {
                let _ = writeln!(ldif, "member: {}", self.dn(member));
            }
            ldif.push('\n');
        }
        ldif
    }
}

/// Plain where it may be, base64 where it must (RFC 2849).
fn ldif_line(attribute: &str, value: &str) -> String {
    use base64::Engine;
    if value.is_ascii() {
        format!("{attribute}: {value}")
    } else {
        format!(
            "{attribute}:: {}",
            base64::engine::general_purpose::STANDARD.encode(value)
        )
    }
}

fn person(index: usize, domain: &str, hosts: &[&str]) -> Person {
    let given = GIVEN.get(index % GIVEN.len()).copied().unwrap_or("Alice");
    let surname = SURNAMES
        .get((index / GIVEN.len() + index) % SURNAMES.len())
        .copied()
        .unwrap_or("Abel");
    // The first of each name has it to itself; later ones get a number.
    let uid = match index / GIVEN.len() {
        0 => given.to_lowercase(),
        round => format!("{}{round}", given.to_lowercase()),
    };
    Person {
        mail: format!("{uid}@{domain}"),
        given_name: given.to_owned(),
        surname: surname.to_owned(),
        host: hosts
            .get(index % hosts.len().max(1))
            .copied()
            .unwrap_or_default()
            .to_owned(),
        password: format!("{uid}-secret"),
        uid,
    }
}

fn group(index: usize, domain: &str, members: &[Person]) -> Group {
    let name = format!("team{}", index + 1);
    Group {
        mail: format!("{name}@{domain}"),
        name,
        members: members.iter().map(|person| person.uid.clone()).collect(),
    }
}
