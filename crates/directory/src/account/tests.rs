//! Entries as OpenLDAP and Active Directory hold them, and what is read from them.

use super::time::{file_time, generalized_time};
use super::*;
use crate::config::{ConnectorConfig, EnabledConfig, EnabledKind};
use ldap::Values;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn patterns(server: ServerType, enabled: Option<EnabledConfig>) -> Patterns {
    let mut config = ConnectorConfig::openldap(
        "main",
        vec!["ldap://127.0.0.1".to_owned()],
        vec!["dc=test".to_owned()],
    );
    config.server_type = server;
    config.attributes.enabled = enabled;
    Patterns::new(&config).expect("good patterns")
}

fn entry(attributes: &[(&'static str, &[&str])]) -> Entry {
    let mut entry = Entry::new("uid=a,dc=test");
    for (name, values) in attributes {
        let values: Vec<bytes::Bytes> = values
            .iter()
            .map(|value| value.as_bytes().to_vec().into())
            .collect();
        entry = entry.with(ldap::Text::from_static(name), Values::from(values));
    }
    entry
}

const UUID: (&str, &[&str]) = ("entryUUID", &["6d0f4a1e-9b6c-4f0e-8a55-0123456789ab"]);

#[test]
fn an_openldap_entry() {
    let patterns = patterns(ServerType::Openldap, None);
    let read = |attributes: &[(&'static str, &[&str])]| {
        DirectoryAccount::read(&entry(attributes), EntryKind::Account, &patterns, NOW)
    };
    let account = read(&[
        UUID,
        ("MAIL", &["A@x.test", "second@x.test"]),
        (
            "mailLocalAddress",
            &["b@x.test", "a@x.test", "@y.test", "nonsense", "b@x.test"],
        ),
        ("mailHost", &[" store1.test "]),
        ("cn", &["Anna"]),
        ("sn", &["A"]),
        ("homingQuota", &["1000"]),
        ("entryCSN", &["20260101000000.000000Z#000000#000#000000"]),
    ])
    .expect("an account");
    let address = |text| Address::parse(text).expect(text);
    assert_eq!(account.address, address("a@x.test"));
    assert_eq!(account.aliases, [address("b@x.test"), address("second@x.test")]);
    assert_eq!(account.catch_all, [Domain::parse("y.test").expect("a domain")]);
    assert_eq!(account.host, Host::One("store1.test".to_owned()));
    assert_eq!(
        (account.display_name.as_deref(), account.quota),
        (Some("Anna"), Some(1000))
    );
    assert_eq!(account.state, AccountState::Active);
    for (attributes, problem) in [
        (&[("mail", &["a@x.test"][..])][..], "no readable entryUUID"),
        (&[UUID], "no value of mail"),
        (&[UUID, ("mail", &["nonsense"])], "is not an address"),
        (
            &[("entryUUID", &["x"]), ("mail", &["a@x.test"])],
            "no readable entryUUID",
        ),
    ] {
        let error = read(attributes).expect_err(problem).to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn an_active_directory_entry() {
    let patterns = patterns(ServerType::ActiveDirectory, None);
    let entry = entry(&[
        ("mail", &["a@x.test"]),
        (
            "proxyAddresses",
            &["SMTP:a@x.test", "smtp:b@x.test", "x500:/o=x", "sip:a@x.test"],
        ),
        ("userAccountControl", &["512"]),
    ])
    .with(
        "objectGUID",
        vec![bytes::Bytes::from_static(&[
            0x1e, 0x4a, 0x0f, 0x6d, 0x6c, 0x9b, 0x0e, 0x4f, 0x8a, 0x55, 1, 2, 3, 4, 5, 6,
        ])],
    );
    let account = DirectoryAccount::read(&entry, EntryKind::Account, &patterns, NOW).expect("an account");
    assert_eq!(account.uuid.to_string(), "6d0f4a1e-9b6c-4f0e-8a55-010203040506");
    assert_eq!(account.aliases, [Address::parse("b@x.test").expect("an address")]);
    assert_eq!(account.host, Host::None);
    assert_eq!(account.state, AccountState::Active);
}

#[test]
fn states() {
    let setting = |kind, invert| {
        Some(EnabledConfig {
            attribute: "flag".to_owned(),
            kind,
            mask: 2,
            invert,
        })
    };
    use AccountState::{Active, Disabled, Expired, Locked};
    use EnabledKind::{Bitmask, Bool, GeneralizedTime, Present};
    let state = |server, enabled, attributes: &[(&'static str, &[&str])]| {
        let patterns = patterns(server, enabled);
        AccountState::read(&entry(attributes), &patterns.map, server, NOW)
    };
    let openldap = |enabled, value: Option<&str>| match value {
        Some(value) => state(ServerType::Openldap, enabled, &[("flag", &[value])]),
        None => state(ServerType::Openldap, enabled, &[]),
    };
    for (kind, invert, value, expected) in [
        (Bool, false, Some("TRUE"), Active),
        (Bool, false, Some("false"), Disabled),
        (Bool, false, Some("?"), Disabled),
        (Bool, false, None, Active),
        (Bool, true, Some("TRUE"), Disabled),
        (Bitmask, false, Some("512"), Active),
        (Bitmask, false, Some("514"), Disabled),
        (Bitmask, false, Some("?"), Disabled),
        (Bitmask, true, Some("?"), Disabled),
        (GeneralizedTime, false, Some("20250101000000Z"), Disabled),
        (GeneralizedTime, false, Some("20990101000000Z"), Active),
        (GeneralizedTime, false, Some("?"), Disabled),
        (Present, false, Some("x"), Disabled),
        (Present, false, None, Active),
        (Present, true, Some("x"), Active),
        (Present, true, None, Disabled),
    ] {
        assert_eq!(
            openldap(setting(kind, invert), value),
            expected,
            "{kind:?} {invert} {value:?}"
        );
    }
    let plain = |attributes: &[(&'static str, &[&str])]| state(ServerType::Openldap, None, attributes);
    assert_eq!(plain(&[("pwdAccountLockedTime", &["000001010000Z"])]), Locked);
    assert_eq!(plain(&[("pwdReset", &["TRUE"])]), Expired);
    assert_eq!(
        plain(&[("homingEnabled", &["FALSE"]), ("pwdReset", &["TRUE"])]),
        Disabled
    );
    let ad = |attributes: &[(&'static str, &[&str])]| state(ServerType::ActiveDirectory, None, attributes);
    assert_eq!(ad(&[("userAccountControl", &["514"])]), Disabled);
    assert_eq!(ad(&[("accountExpires", &["9223372036854775807"])]), Active);
    assert_eq!(ad(&[("accountExpires", &["0"])]), Active);
    assert_eq!(ad(&[("accountExpires", &["132223104000000000"])]), Expired);
    assert_eq!(ad(&[("lockoutTime", &["0"])]), Active);
    assert_eq!(ad(&[("lockoutTime", &["132223104000000000"])]), Locked);
    assert_eq!(ad(&[("pwdLastSet", &["0"])]), Expired);
    // The lock's time may be over, which only the server reckons.
    let computed = "msDS-User-Account-Control-Computed";
    let lock = ("lockoutTime", &["132223104000000000"][..]);
    assert_eq!(ad(&[lock, (computed, &["0"])]), Active);
    assert_eq!(ad(&[lock, (computed, &["16"])]), Locked);
    assert_eq!(ad(&[(computed, &["8388608"])]), Expired);
}

#[test]
fn the_clock_alone_ends_an_account() {
    use AccountState::{Active, Disabled, Expired};
    let until = |server, enabled, attributes: &[(&'static str, &[&str])]| {
        let patterns = patterns(server, enabled);
        let end = super::state::until(&entry(attributes), &patterns.map, server, NOW);
        end.map(|end| (end.at.as_millis(), end.then))
    };
    let ad = |value| until(ServerType::ActiveDirectory, None, &[("accountExpires", &[value])]);
    // 2100-01-01 in 100 ns since 1601.
    assert_eq!(ad("157469184000000000"), Some((4_102_444_800_000, Expired)));
    assert_eq!(ad("132223104000000000"), None, "it is over");
    assert_eq!(ad("9223372036854775807"), None, "never");
    let setting = EnabledConfig {
        attribute: "flag".to_owned(),
        kind: EnabledKind::GeneralizedTime,
        mask: 2,
        invert: false,
    };
    let flag: &[(&'static str, &[&str])] = &[("flag", &["21000101000000Z"])];
    assert_eq!(
        until(ServerType::Openldap, Some(setting.clone()), flag),
        Some((4_102_444_800_000, Disabled))
    );
    let from_then_on = EnabledConfig {
        invert: true,
        ..setting
    };
    assert_eq!(
        until(ServerType::Openldap, Some(from_then_on), flag),
        Some((4_102_444_800_000, Active))
    );
    // Switched off already: the end changes nothing.
    let off: &[(&'static str, &[&str])] = &[
        ("userAccountControl", &["514"]),
        ("accountExpires", &["157469184000000000"]),
    ];
    assert_eq!(until(ServerType::ActiveDirectory, None, off), None);
}

#[test]
fn times() {
    for (text, seconds) in [
        ("19700101000000Z", Some(0)),
        ("20000229120000Z", Some(951_825_600)),
        ("20270115080000Z", Some(1_800_000_000)),
        ("2027011508Z", Some(1_800_000_000)),
        ("202701150800Z", Some(1_800_000_000)),
        ("20270115080000.123Z", Some(1_800_000_000)),
        ("20270115100000+0200", Some(1_800_000_000)),
        ("20270115073000-0030", Some(1_800_000_000)),
        ("000001010000Z", Some(0)),
        ("", None),
        ("20270115", None),
        ("20271315080000Z", None),
        ("20270115080000", None),
        ("20270115080000Zx", None),
        ("20270115080000+2", None),
        ("2027011508000\u{e9}Z", None),
    ] {
        assert_eq!(generalized_time(text).map(Timestamp::as_secs), seconds, "{text}");
    }
    assert_eq!(
        file_time("132223104000000000").map(Timestamp::as_secs),
        Some(1_577_836_800)
    );
    assert_eq!(file_time("x"), None);
}
