//! Groups without members: `groupOfNames` must have one (RFC 4519 section 3.5).

use super::*;
use crate::{clock, connect};
use directory::Lookup;

async fn members(writer: &Writer, group: &Written) -> Vec<String> {
    let nothing = Write::Modify {
        target: target(group),
        precondition: Precondition::default(),
        changes: Vec::new(),
    };
    let now = writer.write(&nothing, &names(&["member"])).await.expect("read");
    let mut members: Vec<String> = now.entry.strings("member").map(str::to_owned).collect();
    members.sort();
    members
}

#[tokio::test]
async fn a_placeholder_comes_and_goes_and_nobody_sees_it() {
    let slapd = Slapd::start();
    let config = config(&[&slapd]);
    let writer = writer(config.clone());
    let anna = added(&writer, "anna", &[]).await;
    let bert = added(&writer, "bert", &[]).await;
    let schema = writer.schema().await.expect("the schema");
    let staff = object(EntryKind::Group, "staff@localdomain.test");
    let new = writer.vocabulary().entry(&staff, &[], &schema).expect("an entry");
    let group = writer
        .write(&Write::Add(new.entry), &[])
        .await
        .expect("a group without members");
    let placeholder = format!("cn=no-member,ou=Groups,{SUFFIX}");
    assert_eq!(members(&writer, &group).await, [placeholder.as_str()]);
    let connector = connect(config, &clock());
    let Lookup::Found(found) = connector.lookup_address(&staff.address).await else {
        panic!("no group");
    };
    let nobody = connector.resolve_members(&found.members).await.expect("resolved");
    assert_eq!(nobody, directory::ResolvedMembers::default());
    let change = |remove: &[&Written], add: &[&Written]| {
        let values = |of: &[&Written]| of.iter().map(|one| value(&one.dn)).collect();
        modify(
            &group,
            Precondition::default(),
            AttributeChange::values("member", values(remove), values(add)),
        )
    };
    writer
        .write(&change(&[], &[&anna, &bert]), &[])
        .await
        .expect("two members");
    assert_eq!(
        members(&writer, &group).await,
        [anna.dn.as_str(), bert.dn.as_str()]
    );
    writer
        .write(&change(&[&anna], &[]), &[])
        .await
        .expect("one member");
    assert_eq!(members(&writer, &group).await, [bert.dn.as_str()]);
    let again = writer.write(&change(&[&anna], &[]), &[]).await;
    assert!(
        matches!(again, Err(WriteError::Stale)),
        "it is not there any more: {again:?}"
    );
    writer.write(&change(&[&bert], &[]), &[]).await.expect("none");
    assert_eq!(members(&writer, &group).await, [placeholder.as_str()]);
    writer.write(&change(&[], &[&bert]), &[]).await.expect("one");
    assert_eq!(members(&writer, &group).await, [bert.dn.as_str()]);
    let all_gone = modify(
        &group,
        Precondition::default(),
        AttributeChange::replace("member", Vec::new()),
    );
    writer.write(&all_gone, &[]).await.expect("none");
    assert_eq!(members(&writer, &group).await, [placeholder.as_str()]);
    // The one that slapd's refint overlay leaves goes as well.
    slapd.modify(&format!(
        "dn: {}\nchangetype: modify\nreplace: member\nmember: cn=no-member,{SUFFIX}\n",
        group.dn
    ));
    writer.write(&change(&[], &[&anna]), &[]).await.expect("one");
    assert_eq!(members(&writer, &group).await, [anna.dn.as_str()]);
}
