//! Tests of LDIF: tables of RFC 2849, faults by line, bounds, and round trips.

use super::*;
use crate::message::{Modification, ModifyOperation};
use crate::{Attribute, Values};
use bytes::Bytes;
use proptest::prelude::*;

fn read(text: &str) -> Vec<Record> {
    LdifReader::new(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn written(record: &Record) -> String {
    let mut out = Vec::new();
    match record {
        Record::Entry(entry) => write_entry(&mut out, entry).unwrap(),
        Record::Change(change) => write_change(&mut out, change).unwrap(),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn content_records() {
    let text = "version: 1\n# a comment\n  that goes on\ndn: uid=alice,dc=exam\n ple,dc=test\r\nobjectClass: top\r\n\
        cn:Alice\nobjectclass: person\ndescription:: w6k=\nempty:\nspaces:   two  \n\n\n\n# between\n\ndn:: ZGM9dGVzdA==\nx: y\n#end\n\
        dn: a=b\n";
    // The last line is an attribute called "dn" of the second entry, since no empty line ends the record.
    let alice = Entry::new("uid=alice,dc=example,dc=test")
        .with("objectClass", ["top", "person"].into_iter().collect::<Values>())
        .with("cn", "Alice")
        .with("description", "é")
        .with("empty", "")
        .with("spaces", "two  ");
    let test = Entry::new("dc=test").with("x", "y").with("dn", "a=b");
    assert_eq!(read(text), [Record::Entry(alice), Record::Entry(test)]);
    assert_eq!(read(""), []);
    assert_eq!(read("version: 1\n"), []);
    assert_eq!(read("\n\n# nothing\n"), []);
}

/// The change records of RFC 2849, examples 5 to 7, shortened.
#[test]
fn change_records() {
    let text = "dn: cn=Fiona,dc=test\nchangetype: add\ncn: Fiona\nsn: Jensen\n\n\
        dn: cn=Robert,dc=test\ncontrol: 1.2.840.113556.1.4.805 true\ncontrol: 1.2.3: x\ncontrol: 1.2.4 false:: AAE=\nchangetype: delete\n\n\
        dn: cn=Paul,dc=test\nchangetype: modrdn\nnewrdn: cn=Paula\ndeleteoldrdn: 1\n\n\
        dn: ou=PD,dc=test\nchangetype: moddn\nnewrdn: ou=PD\ndeleteoldrdn: 0\nnewsuperior: ou=A,dc=test\n\n\
        dn: cn=Paula,dc=test\nchangetype: modify\nadd: postaladdress\npostaladdress: 123\n-\ndelete: description\n-\n\
        replace: tel\ntel: 1\nTEL: 2\n-\nincrement: n\nn: 1\n";
    let change = |kind, name: &str, values: &[&'static str]| Modification {
        operation: kind,
        attribute: Attribute::new(name, values.iter().copied().collect::<Values>()),
    };
    let plain = |operation| ChangeRecord {
        controls: vec![],
        operation,
    };
    let control = |oid: &str, critical, value: Option<&'static [u8]>| Control {
        oid: oid.to_owned().into(),
        critical,
        value: value.map(Bytes::from_static),
    };
    let expected = [
        plain(Operation::Add(Add {
            dn: "cn=Fiona,dc=test".into(),
            attributes: vec![Attribute::new("cn", "Fiona"), Attribute::new("sn", "Jensen")],
        })),
        ChangeRecord {
            controls: vec![
                control("1.2.840.113556.1.4.805", true, None),
                control("1.2.3", false, Some(b"x")),
                control("1.2.4", false, Some(&[0, 1])),
            ],
            operation: Operation::Delete("cn=Robert,dc=test".into()),
        },
        plain(Operation::ModifyDn(ModifyDn {
            dn: "cn=Paul,dc=test".into(),
            new_rdn: "cn=Paula".into(),
            delete_old_rdn: true,
            new_superior: None,
        })),
        plain(Operation::ModifyDn(ModifyDn {
            dn: "ou=PD,dc=test".into(),
            new_rdn: "ou=PD".into(),
            delete_old_rdn: false,
            new_superior: Some("ou=A,dc=test".into()),
        })),
        plain(Operation::Modify(Modify {
            dn: "cn=Paula,dc=test".into(),
            changes: vec![
                change(ModifyOperation::Add, "postaladdress", &["123"]),
                change(ModifyOperation::Delete, "description", &[]),
                change(ModifyOperation::Replace, "tel", &["1", "2"]),
                change(ModifyOperation::Increment, "n", &["1"]),
            ],
        })),
    ]
    .map(Record::Change);
    assert_eq!(read(text), expected);
    for record in expected {
        assert_eq!(read(&written(&record)), [record]);
    }
}

#[test]
fn faults_name_their_line() {
    for (text, line, problem) in [
        ("version: 2\n", 1, "version"),
        ("cn: x\n", 1, "dn:"),
        ("\n\ncn: x\n", 3, "dn:"),
        (" dn: x\n", 1, "space"),
        ("dn: x\n\n cn: y\n", 3, "space"),
        ("dn: x\n#c\n c\n c\ncn\n", 5, "colon"),
        ("dn: x\n: y\n", 2, "colon"),
        ("dn: x\nc n: y\n", 2, "colon"),
        ("dn: x\ncn:: *\n", 2, "base64"),
        ("dn: x\nphoto:< file:///etc/shadow\n", 2, "URL"),
        ("dn:: /w==\n", 1, "UTF-8"),
        ("dn: x\nchangetype: explode\n", 2, "changetype"),
        ("dn: x\nchangetype: delete\ncn: y\n", 3, "ends"),
        ("dn: x\nchangetype: modify\ncn: y\n", 3, "add:"),
        ("dn: x\nchangetype: modify\nadd: a\nb: c\n", 4, "another"),
        ("dn: x\nchangetype: modrdn\nnewrdn: a=b\n", 2, "deleteoldrdn"),
        (
            "dn: x\nchangetype: modrdn\nnewrdn: a=b\ndeleteoldrdn: yes\n",
            4,
            "0 or 1",
        ),
        ("dn: x\ncontrol: 1.2\ncn: y\n", 3, "changetype"),
        ("dn: x\ncontrol: 1.2 maybe\n", 2, "control"),
        ("dn: x\ncontrol: 1.2\n", 1, "changetype"),
    ] {
        let mut reader = LdifReader::new(text.as_bytes());
        let error = reader
            .find_map(Result::err)
            .unwrap_or_else(|| panic!("{text:?} was read"));
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.to_string().contains(problem), "{text:?}: {error}");
        assert!(reader.next().is_none());
    }
}

#[test]
fn a_record_is_bounded_and_the_input_is_not() {
    let record = "dn: a=b\ncn: 0123456789\n\n";
    let many = record.repeat(1000);
    assert_eq!(
        LdifReader::with_limit(many.as_bytes(), record.len())
            .filter_map(Result::ok)
            .count(),
        1000
    );
    let long = format!("dn: a=b\ncn: {}", "x".repeat(100));
    let error = LdifReader::with_limit(long.as_bytes(), 100)
        .find_map(Result::err)
        .unwrap();
    assert!(matches!(
        error,
        LdifError {
            line: 2,
            problem: Problem::TooLarge { limit: 100 }
        }
    ));
}

#[test]
fn lines_are_folded_and_unsafe_values_encoded() {
    let entry = Entry::new("dc=test").with("description", "x".repeat(200)).with(
        "cn",
        ["é", " x", "x ", ":x", "<x", "a\nb", "a:b", ""]
            .into_iter()
            .collect::<Values>(),
    );
    let text = written(&Record::Entry(entry.clone()));
    assert!(text.lines().all(|line| line.len() <= 76), "{text}");
    assert_eq!(text.matches("cn:: ").count(), 6, "{text}");
    assert!(text.contains("\ncn: a:b\ncn: \n"), "{text}");
    assert_eq!(read(&text), [Record::Entry(entry)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_entry_survives(
        dn in "\\PC{0,100}",
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..5),
    ) {
        let values: Values = values.into_iter().map(Bytes::from).collect();
        let record = Record::Entry(Entry::new(dn).with("a;x-y", values.clone()).with("b", values));
        let text = written(&record);
        prop_assert_eq!(LdifReader::new(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap(), vec![record]);
    }

    /// Nothing panics.
    #[test]
    fn any_text(text in "(dn: x\n)?([ a:#<=-]{0,4}|changetype: (add|modify|modrdn)|add: a|\n){0,8}") {
        LdifReader::new(text.as_bytes()).for_each(drop);
    }
}
