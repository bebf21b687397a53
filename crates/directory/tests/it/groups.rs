//! Members of groups: many, by DN and by name, nested, and handed out in parts.

use super::slapd::{SUFFIX, Slapd, person};
use super::{address, clock, config, connect};
use bytes::{Bytes, BytesMut};
use directory::{Connector, ConnectorConfig, EntryKind, Lookup};
use ldap::message::{Frame, Message, Request, Response, frame};
use ldap::{Entry, Filter, LdapResult, ResultCode, Scope, Values};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn user(uid: &str) -> String {
    format!("uid={uid},ou=Users,{SUFFIX}")
}

fn group(cn: &str, class: &str, more: &str) -> String {
    format!(
        "dn: cn={cn},ou=Groups,{SUFFIX}\nobjectClass: {class}\nobjectClass: extensibleObject\ncn: {cn}\n{more}\n"
    )
}

/// The local-parts of the members' addresses, sorted; `-` for one without.
async fn members(connector: &Connector, names: &[String]) -> Vec<String> {
    let found = connector.resolve_members(names).await.expect("an answer");
    let mut found: Vec<String> = found
        .members
        .into_iter()
        .map(|(_, address)| address.map_or_else(|| "-".to_owned(), |address| address.local_part().to_owned()))
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn many_members_and_some_that_do_not_exist() {
    let slapd = Slapd::start();
    let uids: Vec<String> = (0..250).map(|number| format!("p{number:03}")).collect();
    slapd.modify(&uids.iter().map(|uid| person(uid, "")).collect::<String>());
    slapd.modify(&format!(
        "dn: uid=out,ou=Elsewhere,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: out\ncn: out\nsn: out\nmail: zed@other.test\n"
    ));
    let connector = connect(config(&[&slapd]), &clock());
    let mut names: Vec<String> = uids.iter().map(|uid| user(uid)).collect();
    names.extend([
        "cn=no-member,dc=localdomain,dc=test".to_owned(),
        "cn=elsewhere,dc=no,dc=such".to_owned(),
        user("gone"),
        format!("uid=out,ou=Elsewhere,{SUFFIX}"),
        // The same person in another spelling.
        format!("UID=P001, OU=users,{SUFFIX}"),
    ]);
    let mut expected = uids;
    expected.push("zed".to_owned());
    assert_eq!(members(&connector, &names).await, expected);
    // Those who may be about to get another name are told apart; a placeholder is nobody.
    let mut dangling = connector
        .resolve_members(&names)
        .await
        .expect("an answer")
        .dangling;
    dangling.sort();
    assert_eq!(dangling, ["cn=elsewhere,dc=no,dc=such".to_owned(), user("gone")]);
    assert_eq!(members(&connector, &[]).await, Vec::<String>::new());
}

#[tokio::test]
async fn unique_members_and_login_names() {
    let slapd = Slapd::start();
    for uid in ["anna", "bert", "twin"] {
        slapd.person(uid, "");
    }
    slapd.modify(&format!(
        "dn: cn=other,ou=Users,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: twin\ncn: other\nsn: twin\nmail: other@localdomain.test\n"
    ));
    slapd.modify(&group(
        "unique",
        "groupOfUniqueNames",
        &format!(
            "mail: unique@localdomain.test\nuniqueMember: {}#'0101'B\nuniqueMember: {}\n",
            user("anna"),
            user("bert")
        ),
    ));
    slapd.modify(&group(
        "posix",
        "posixGroup",
        "gidNumber: 7\nmail: posix@localdomain.test\nmemberUid: anna\nmemberUid: twin\nmemberUid: nobody\nmemberUid: *\n",
    ));
    let found = async |class: &str, attribute: &str, name: &str| {
        let mut config = config(&[&slapd]);
        config.groups.object_class = Some(class.to_owned());
        config.attributes.members = Some(attribute.to_owned());
        let connector = connect(config, &clock());
        let lookup = connector.lookup_address(&address(name)).await;
        let Lookup::Found(group) = lookup else {
            panic!("{lookup:?}")
        };
        assert_eq!(group.kind, EntryKind::Group);
        members(&connector, &group.members).await
    };
    assert_eq!(
        found("groupOfUniqueNames", "uniqueMember", "unique@localdomain.test").await,
        ["anna", "bert"]
    );
    // Two entries have the name twin, so it is nobody's; a star is no pattern.
    assert_eq!(
        found("posixGroup", "memberUid", "posix@localdomain.test").await,
        ["anna"]
    );
}

#[tokio::test]
async fn groups_in_groups_without_going_round() {
    let slapd = Slapd::start();
    for uid in ["anna", "bert", "carl"] {
        slapd.person(uid, "");
    }
    let of = |cn: &str| format!("cn={cn},ou=Groups,{SUFFIX}");
    let holds = |members: &[String]| {
        members
            .iter()
            .map(|dn| format!("member: {dn}\n"))
            .collect::<String>()
    };
    // inner has no address and holds outer again; named has one and stays a member itself.
    slapd.modify(&group(
        "inner",
        "groupOfNames",
        &holds(&[user("bert"), of("outer"), of("inner"), of("named")]),
    ));
    slapd.modify(&group(
        "outer",
        "groupOfNames",
        &holds(&[user("anna"), user("bert"), of("inner")]),
    ));
    slapd.modify(&group(
        "named",
        "groupOfNames",
        &format!("mail: named@localdomain.test\n{}", holds(&[user("carl")])),
    ));
    let connector = connect(config(&[&slapd]), &clock());
    let names = [user("anna"), user("bert"), of("inner")];
    assert_eq!(members(&connector, &names).await, ["anna", "bert", "named"]);
}

/// A server with one group of five members, which gives two at a time as Active Directory does.
struct InParts {
    broken: bool,
}

const PARTS: [&str; 5] = [
    "uid=a,dc=t",
    "uid=b,dc=t",
    "uid=c,dc=t",
    "uid=d,dc=t",
    "uid=e,dc=t",
];

impl InParts {
    fn entries(&self, scope: Scope, filter: &Filter, attributes: &[String]) -> Vec<Entry> {
        let asks_for_group = format!("{filter}").contains("groupOfNames");
        let start = attributes.iter().find_map(|name| {
            let range = name.strip_prefix("member;range=")?;
            range.strip_suffix("-*")?.parse::<usize>().ok()
        });
        let start = match (scope, start) {
            (Scope::Base, Some(start)) if self.broken => start - 2,
            (Scope::Base, Some(start)) => start,
            _ if asks_for_group => 0,
            _ => return Vec::new(),
        };
        let end = (start + 2).min(PARTS.len());
        let name = if end == PARTS.len() {
            format!("member;range={start}-*")
        } else {
            format!("member;range={start}-{}", end - 1)
        };
        let values: Vec<Bytes> = PARTS[start..end]
            .iter()
            .map(|dn| Bytes::from_static(dn.as_bytes()))
            .collect();
        vec![
            Entry::new("cn=g,dc=t")
                .with("objectClass", "groupOfNames")
                .with("entryUUID", "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
                .with("mail", "g@example.test")
                .with("member", Values::none())
                .with(name, values),
        ]
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut buffer: Vec<u8> = Vec::new();
        loop {
            let length = match frame(&buffer, 1 << 20).expect("LDAP") {
                Frame::Complete(length) => length,
                Frame::Incomplete(_) => {
                    let mut more = [0; 4096];
                    match stream.read(&mut more).await {
                        Ok(0) | Err(_) => return,
                        Ok(count) => buffer.extend_from_slice(&more[..count]),
                    }
                    continue;
                }
            };
            let message: Vec<u8> = buffer.drain(..length).collect();
            let message = Message::<Request>::decode(Bytes::from(message)).expect("a request");
            let mut out = BytesMut::new();
            if let Request::Search(search) = &message.operation {
                for entry in self.entries(search.scope, &search.filter, &search.attributes) {
                    Message::<Response>::new(message.id, Response::SearchEntry(entry)).encode(&mut out);
                }
                let refused = search.base.contains("uid=refused");
                let code = if refused {
                    ResultCode::InsufficientAccessRights
                } else {
                    ResultCode::Success
                };
                let done = Response::SearchDone(LdapResult::new(code));
                Message::<Response>::new(message.id, done).encode(&mut out);
            }
            if stream.write_all(&out).await.is_err() {
                return;
            }
        }
    }
}

async fn in_parts<T>(broken: bool, ask: impl AsyncFnOnce(std::sync::Arc<Connector>) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("ldap://{}", listener.local_addr().expect("an address"));
    let server = async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move { InParts { broken }.serve(stream).await });
        }
    };
    let server = tokio::spawn(server);
    let mut config = ConnectorConfig::openldap("parts", vec![uri], vec!["dc=t".to_owned()]);
    config.groups.base_dn = vec!["dc=t".to_owned()];
    let answer = ask(connect(config, &clock())).await;
    server.abort();
    answer
}

async fn look_up_in_parts(broken: bool) -> Lookup {
    in_parts(broken, async |connector| {
        connector.lookup_address(&address("g@example.test")).await
    })
    .await
}

/// One refused member is a matter of its group: were it one of the server, no other object would be looked at.
#[tokio::test]
async fn a_member_that_the_server_refuses() {
    let names: Vec<String> = ["uid=a,dc=t", "uid=refused,dc=t"].map(str::to_owned).into();
    let found = in_parts(false, async |connector| connector.resolve_members(&names).await).await;
    let found = found.expect("an answer");
    let why = found.unusable.expect("a reason");
    assert!(why.contains("insufficientAccessRights"), "{why}");
    assert_eq!(found.members, []);
}

#[tokio::test]
async fn members_beyond_a_referral_and_many_of_one_name() {
    let slapd = Slapd::start();
    slapd.person("anna", "");
    slapd.modify(&format!(
        "dn: ou=away,{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\nou: away\n\
         ref: ldap://127.0.0.1:9/ou=away,{SUFFIX}\n"
    ));
    for number in 0..9 {
        slapd.modify(&format!(
            "dn: cn=same{number},ou=Users,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: same\ncn: same{number}\nsn: s\n\
             mail: same{number}@localdomain.test\n"
        ));
    }
    let connector = connect(config(&[&slapd]), &clock());
    let beyond = format!("uid=x,ou=away,{SUFFIX}");
    let found = connector.resolve_members(&[user("anna"), beyond.clone()]).await;
    let found = found.expect("an answer");
    assert_eq!((found.members.len(), found.dangling), (1, vec![beyond]));
    assert_eq!(found.unusable, None);
    let names = ["same", "anna"].map(str::to_owned);
    assert_eq!(members(&connector, &names).await, ["anna"], "nine are nobody");
}

#[tokio::test]
async fn a_group_in_parts_is_read_to_its_end_or_not_at_all() {
    match look_up_in_parts(false).await {
        Lookup::Found(group) => assert_eq!(group.members, PARTS),
        other => panic!("{other:?}"),
    }
    let broken = look_up_in_parts(true).await;
    assert!(matches!(broken, Lookup::Unavailable(_)), "{broken:?}");
}
