//! Facts about Active Directory, as Samba's domain controller shows them.

use super::wire::{Wire, below, set};
use bytes::Bytes;
use ldap::control::{DirSyncDone, DirSyncRequest, DirSyncRights, DirSyncValues};
use ldap::message::{Message, Response, Search};
use ldap::{Entry, LdapResult, ResultCode};
use testkit::Samba;

const PASSWORD: &str = "secret of everybody";

/// A domain with `anna` and `bert`, who is in the group `team`.
fn domain() -> Samba {
    let samba = Samba::start("").expect("a domain controller");
    for name in ["anna", "bert"] {
        let entry = samba.user_ldif(name, &format!("{name}@example.test"), PASSWORD, "");
        samba.add(&entry).expect("a person");
    }
    let team = samba.group_ldif("team", "team@example.test", &[samba.user_dn("bert")]);
    samba.add(&team).expect("a group");
    samba
}

async fn wire(samba: &Samba) -> Wire {
    let who = &samba.administrator;
    Wire::open(samba.port, &who.dn, &who.password).await
}

struct Told {
    entries: Vec<Entry>,
    result: LdapResult,
    cookie: Option<Bytes>,
}

impl Told {
    /// The names of the entries, without where they are.
    fn names(&self) -> Vec<String> {
        let name = |entry: &Entry| {
            let dn = entry.dn.to_string();
            dn.split(',').next().unwrap_or_default().to_owned()
        };
        self.entries.iter().map(name).collect()
    }
}

/// All that DirSync has since a cookie.
async fn ask(wire: &mut Wire, search: &Search, cookie: &Bytes) -> Told {
    let mut told = Told {
        entries: Vec::new(),
        result: LdapResult::new(ResultCode::Success),
        cookie: Some(cookie.clone()),
    };
    loop {
        let request = DirSyncRequest {
            rights: DirSyncRights::Replication,
            values: DirSyncValues::Whole,
            max_bytes: 0,
            cookie: told.cookie.clone().unwrap_or_default(),
        };
        let all = wire.search(search.clone(), vec![request.to_control()]).await;
        let mut more = false;
        for Message {
            operation, controls, ..
        } in all
        {
            match operation {
                Response::SearchEntry(entry) => told.entries.push(entry),
                Response::SearchDone(result) => {
                    let done = DirSyncDone::find(&controls).expect("readable");
                    more = done.as_ref().is_some_and(|done| done.more);
                    (told.result, told.cookie) = (result, done.map(|done| done.cookie));
                }
                _ => {}
            }
        }
        if !more {
            return told;
        }
    }
}

/// What changed of these attributes since the cookie, which becomes the new one.
async fn since(wire: &mut Wire, search: &Search, cookie: &mut Bytes) -> Told {
    let told = ask(wire, search, cookie).await;
    assert_eq!(told.result.code, ResultCode::Success, "{:?}", told.result);
    *cookie = told.cookie.clone().expect("a cookie");
    told
}

async fn change(wire: &mut Wire, dn: &str, attribute: &str, value: &str) {
    wire.send(set(dn, attribute, value), vec![]).await;
    match wire.next().await.operation {
        Response::Modify(result) => assert_eq!(result.code, ResultCode::Success, "{result:?}"),
        other => panic!("{other:?}"),
    }
}

// Fact 11.
#[tokio::test]
async fn dir_sync_wants_the_whole_domain_and_tells_of_what_was_asked_for() {
    let samba = domain();
    let (mut feed, mut editor) = (wire(&samba).await, wire(&samba).await);
    let nothing = Bytes::new();
    // The base is the naming context.
    let people = samba.people_dn();
    let refused = ask(&mut feed, &below(&people, "(objectClass=*)", &["mail"]), &nothing).await;
    assert_ne!(refused.result.code, ResultCode::Success, "{:?}", refused.result);
    // A cookie that is none.
    let domain = |filter: &str, attributes: &[&str]| below(&samba.suffix, filter, attributes);
    let mails = domain("(objectClass=user)", &["mail"]);
    let bad = Bytes::from_static(b"nothing of the kind");
    let refused = ask(&mut feed, &mails, &bad).await;
    assert_eq!(refused.result.code, ResultCode::UnavailableCriticalExtension);

    // An attribute that was not asked for makes no event.
    let mut cookie = Bytes::new();
    let all = since(&mut feed, &mails, &mut cookie).await;
    assert!(all.names().contains(&"CN=anna".to_owned()), "{:?}", all.names());
    change(&mut editor, &samba.user_dn("anna"), "displayName", "Anna").await;
    assert_eq!(
        since(&mut feed, &mails, &mut cookie).await.names(),
        Vec::<String>::new()
    );
    change(&mut editor, &samba.user_dn("anna"), "mail", "anne@example.test").await;
    let told = since(&mut feed, &mails, &mut cookie).await;
    assert_eq!(told.names(), ["CN=anna"]);
    // Of the entry it tells what changed, and no more.
    assert!(
        told.entries[0].first("displayName").is_none(),
        "{:?}",
        told.entries[0]
    );

    // A filter is about the whole object, not about what changed of it: a filter on an attribute that did not change
    // selects, and who no longer matches is not told of at all.
    let named = domain("(displayName=Anna)", &["mail", "displayName"]);
    let mut cookie = Bytes::new();
    since(&mut feed, &named, &mut cookie).await;
    change(&mut editor, &samba.user_dn("anna"), "mail", "anna@example.test").await;
    assert_eq!(since(&mut feed, &named, &mut cookie).await.names(), ["CN=anna"]);
    change(&mut editor, &samba.user_dn("anna"), "displayName", "Other").await;
    assert_eq!(
        since(&mut feed, &named, &mut cookie).await.names(),
        Vec::<String>::new(),
        "so the scope is not the server's business"
    );
}

// Fact 11: a child may be told of before its parent. The order is as good as any; with so many pairs one of them is the
// wrong way round.
#[tokio::test]
async fn dir_sync_does_not_tell_causes_first() {
    let samba = domain();
    let mut feed = wire(&samba).await;
    let all = below(
        &samba.suffix,
        "(|(objectClass=user)(objectClass=organizationalUnit))",
        &["name"],
    );
    let mut cookie = Bytes::new();
    since(&mut feed, &all, &mut cookie).await;
    let mut ldif = String::new();
    for number in 0..24 {
        let (name, branch) = (
            format!("p{number}"),
            format!("OU=p{number},{}", samba.people_dn()),
        );
        ldif.push_str(&format!("dn: {branch}\nobjectClass: organizationalUnit\n\n"));
        let person = samba.user_ldif(&name, &format!("{name}@example.test"), PASSWORD, "");
        ldif.push_str(&person.replace(&samba.user_dn(&name), &format!("CN={name},{branch}")));
        ldif.push('\n');
    }
    samba.add(&ldif).expect("branches with somebody in each");
    let told = since(&mut feed, &all, &mut cookie).await.names();
    let place = |name: String| told.iter().position(|one| *one == name).expect("told");
    let before = |number: &i32| place(format!("CN=p{number}")) < place(format!("OU=p{number}"));
    assert!((0..24).any(|number| before(&number)), "{told:?}");
}

// Facts 1 and 2, which hold of Samba as of slapd.
#[tokio::test]
async fn what_follows_from_a_change_is_silent() {
    let samba = domain();
    let (mut feed, mut editor) = (wire(&samba).await, wire(&samba).await);
    let all = below(
        &samba.suffix,
        "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit))",
        &["cn", "mail", "member", "memberOf", "name"],
    );
    let mut cookie = Bytes::new();
    since(&mut feed, &all, &mut cookie).await;
    // The group is told, and the person whose memberOf follows is not.
    let team = format!("CN=team,{}", samba.groups_dn());
    samba
        .modify(&format!(
            "dn: {team}\nchangetype: modify\nadd: member\nmember: {}\n\n",
            samba.user_dn("anna")
        ))
        .expect("a member");
    assert_eq!(since(&mut feed, &all, &mut cookie).await.names(), ["CN=team"]);
    // The renamed member is told, and the group that names her is not, though it does name her.
    samba
        .modify(&format!(
            "dn: {}\nchangetype: modrdn\nnewrdn: CN=anne\ndeleteoldrdn: 1\n\n",
            samba.user_dn("anna")
        ))
        .expect("a rename");
    assert_eq!(since(&mut feed, &all, &mut cookie).await.names(), ["CN=anne"]);
    let members = samba
        .search(&team, "(objectClass=group)", &["member"])
        .expect("a group");
    assert!(members.contains("CN=anne"), "{members}");
    // A branch: one message, for the branch.
    let people = samba.people_dn();
    let branch = format!("dn: OU=Branch,{people}\nobjectClass: organizationalUnit\n\n");
    samba.add(&branch).expect("a branch");
    samba
        .modify(&format!(
            "dn: CN=anne,{people}\nchangetype: modrdn\nnewrdn: CN=anne\ndeleteoldrdn: 1\n\
             newsuperior: OU=Branch,{people}\n\n"
        ))
        .expect("a move");
    since(&mut feed, &all, &mut cookie).await;
    change_name(&mut editor, &format!("OU=Branch,{people}"), "OU=Crew").await;
    assert_eq!(since(&mut feed, &all, &mut cookie).await.names(), ["OU=Crew"]);
}

async fn change_name(wire: &mut Wire, dn: &str, rdn: &str) {
    let rename = ldap::message::ModifyDn {
        dn: dn.to_owned(),
        new_rdn: rdn.to_owned(),
        delete_old_rdn: true,
        new_superior: None,
    };
    wire.send(ldap::message::Request::ModifyDn(rename), vec![]).await;
    match wire.next().await.operation {
        Response::ModifyDn(result) => assert_eq!(result.code, ResultCode::Success, "{result:?}"),
        other => panic!("{other:?}"),
    }
}
