//! The values of controls, round trip and as they look on the wire.

use model::EntryUuid;
use proptest::prelude::*;

use super::*;
use crate::Filter;

const UUID: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

fn value(control: &Control) -> &[u8] {
    control.value.as_deref().expect("a value")
}

#[test]
fn values_on_the_wire() {
    let paged = PagedResults::first(500).to_control();
    assert_eq!(value(&paged), b"\x30\x06\x02\x02\x01\xf4\x04\x00");
    let request = SyncRequest {
        mode: SyncMode::RefreshAndPersist,
        cookie: Some("c".into()),
        reload_hint: true,
    };
    assert_eq!(
        value(&request.to_control()),
        b"\x30\x09\x0a\x01\x03\x04\x01c\x01\x01\xff"
    );
    assert!(request.to_control().critical);
    let request = SyncRequest {
        mode: SyncMode::RefreshOnly,
        cookie: None,
        reload_hint: false,
    };
    assert_eq!(value(&request.to_control()), b"\x30\x03\x0a\x01\x01");
    let assertion = Assertion(Filter::Present("a".into())).to_control();
    assert_eq!(value(&assertion), b"\x87\x01a");
    assert!(assertion.critical);
    assert_eq!(
        value(&PostRead::request(&["a", "bc"])),
        b"\x30\x07\x04\x01a\x04\x02bc"
    );
    assert_eq!(Control::manage_dsa_it().value, None);
}

#[test]
fn dir_sync_by_table() {
    let request = |rights, values, max_bytes, cookie: &'static [u8]| {
        let request = DirSyncRequest {
            rights,
            values,
            max_bytes,
            cookie: Bytes::from_static(cookie),
        };
        let control = request.to_control();
        assert!(control.critical);
        value(&control).to_vec()
    };
    let (all, readable) = (DirSyncRights::Replication, DirSyncRights::ObjectSecurity);
    let (whole, incremental) = (DirSyncValues::Whole, DirSyncValues::Incremental);
    assert_eq!(
        request(all, whole, 0, b""),
        b"\x30\x08\x02\x01\x00\x02\x01\x00\x04\x00"
    );
    assert_eq!(
        request(readable, whole, 1_048_576, b"MSDS"),
        b"\x30\x0e\x02\x01\x01\x02\x03\x10\x00\x00\x04\x04MSDS"
    );
    // The flag of incremental values is the sign bit of a 32-bit number.
    assert_eq!(
        request(readable, incremental, 0, b""),
        b"\x30\x0b\x02\x04\x80\x00\x00\x01\x02\x01\x00\x04\x00"
    );
    let done = |wire: &'static [u8]| DirSyncDone::decode(&Bytes::from_static(wire));
    for (wire, more, cookie) in [
        (
            &b"\x30\x0c\x02\x01\x00\x02\x01\x00\x04\x04MSDS"[..],
            false,
            "MSDS",
        ),
        (b"\x30\x08\x02\x01\x01\x02\x01\x00\x04\x00", true, ""),
        (b"\x30\x09\x02\x02\x40\x00\x02\x01\x00\x04\x00", true, ""),
    ] {
        let cookie = Bytes::from(cookie);
        assert_eq!(done(wire), Ok(DirSyncDone { more, cookie }));
    }
    assert_eq!(done(b"\x30\x03\x02\x01\x00"), Err(DecodeError::Truncated));
    assert!(done(b"\x30\x0c\x02\x01\x00\x02\x01\x00\x04\x05MSDS").is_err());
    assert!(DirSyncDone::find(&[Control::new(DirSyncRequest::OID)]).is_err());
    assert_eq!(DirSyncDone::find(&[]), Ok(None));
    assert_eq!(Control::notification().value, None);
    assert!(Control::notification().critical && Control::show_deleted().critical);
}

#[test]
fn defaults_of_sync_messages() {
    // RFC 4533 section 2.5: refreshDone is true, refreshDeletes is false, unless said otherwise.
    let info = |wire: &'static [u8]| SyncInfo::decode(&Bytes::from_static(wire));
    assert_eq!(
        info(b"\xa1\x00"),
        Ok(SyncInfo::RefreshDelete {
            cookie: None,
            refresh_done: true
        })
    );
    assert_eq!(
        info(b"\xa2\x06\x04\x01c\x01\x01\x00"),
        Ok(SyncInfo::RefreshPresent {
            cookie: Some("c".into()),
            refresh_done: false
        })
    );
    assert_eq!(
        info(b"\xa3\x02\x31\x00"),
        Ok(SyncInfo::IdSet {
            cookie: None,
            refresh_deletes: false,
            uuids: Vec::new()
        })
    );
    assert_eq!(info(b"\x80\x01c"), Ok(SyncInfo::NewCookie("c".into())));
    assert_eq!(
        SyncDone::decode(&Bytes::from_static(b"\x30\x00")),
        Ok(SyncDone {
            cookie: None,
            refresh_deletes: false
        })
    );
}

#[test]
fn broken_sync_values() {
    let state = |wire: &'static [u8]| SyncState::decode(&Bytes::from_static(wire));
    let short = b"\x30\x14\x0a\x01\x01\x04\x0f123456789012345";
    assert!(state(short).is_err());
    assert_eq!(
        state(b"\x30\x03\x0a\x01\x04"),
        Err(DecodeError::Invalid("an unknown sync state"))
    );
    let info = |wire: &'static [u8]| SyncInfo::decode(&Bytes::from_static(wire));
    assert_eq!(
        info(b"\xa3\x05\x31\x03\x04\x01x"),
        Err(DecodeError::Invalid("a syncUUID that is not 16 octets"))
    );
    assert_eq!(info(b"\xa1\x00\x00"), Err(DecodeError::TrailingBytes));
    let without_value = [Control::new(SyncState::OID)];
    assert!(
        SyncState::find(&without_value).is_err(),
        "a control without its value is not an absent one"
    );
    assert_eq!(SyncState::find(&[]), Ok(None));
}

#[test]
fn other_intermediates_are_not_sync_info() {
    let other = crate::message::Intermediate {
        name: Some("1.2.3".into()),
        value: Some("x".into()),
    };
    assert_eq!(SyncInfo::from_intermediate(&other), Ok(None));
}

#[test]
fn password_policy_by_table() {
    let table: &[(&[u8], Option<PasswordPolicyWarning>, Option<PasswordPolicyError>)] = &[
        (b"\x30\x00", None, None),
        (
            b"\x30\x03\x81\x01\x01",
            None,
            Some(PasswordPolicyError::AccountLocked),
        ),
        (
            b"\x30\x05\xa0\x03\x81\x01\x02",
            Some(PasswordPolicyWarning::GraceLoginsRemaining(2)),
            None,
        ),
        (
            b"\x30\x09\xa0\x04\x80\x02\x02\x58\x81\x01\x00",
            Some(PasswordPolicyWarning::TimeBeforeExpiration(600)),
            Some(PasswordPolicyError::PasswordExpired),
        ),
        (
            b"\x30\x03\x81\x01\x63",
            None,
            Some(PasswordPolicyError::Unknown(99)),
        ),
    ];
    for (wire, warning, error) in table {
        let found = PasswordPolicy::decode(&Bytes::copy_from_slice(wire));
        assert_eq!(
            found,
            Ok(PasswordPolicy {
                warning: *warning,
                error: *error
            }),
            "{wire:02x?}"
        );
    }
    assert!(PasswordPolicy::decode(&Bytes::from_static(b"\x30\x05\xa0\x03\x80\x01\xff")).is_err());
}

#[test]
fn a_post_read_entry_is_found() {
    let control = Control::new(PostRead::OID).with_value(Bytes::from_static(
        b"\x64\x12\x04\x03a=b\x30\x0b\x30\x09\x04\x02cn1\x03\x04\x01x",
    ));
    let found = PostRead::find(std::slice::from_ref(&control))
        .expect("valid")
        .expect("there");
    assert_eq!(found.0.dn, "a=b");
    assert_eq!(found.0.first_str("cn"), Some("x"));
    assert_eq!(PreRead::find(&[control]), Ok(None));
}

fn cookie() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

fn uuid() -> impl Strategy<Value = EntryUuid> {
    any::<[u8; 16]>().prop_map(EntryUuid::from_bytes)
}

fn sync_info() -> impl Strategy<Value = SyncInfo> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|c| SyncInfo::NewCookie(c.into())),
        (cookie(), any::<bool>())
            .prop_map(|(cookie, refresh_done)| SyncInfo::RefreshDelete { cookie, refresh_done }),
        (cookie(), any::<bool>())
            .prop_map(|(cookie, refresh_done)| SyncInfo::RefreshPresent { cookie, refresh_done }),
        (cookie(), any::<bool>(), prop::collection::vec(uuid(), 0..20)).prop_map(
            |(cookie, refresh_deletes, uuids)| SyncInfo::IdSet {
                cookie,
                refresh_deletes,
                uuids
            }
        ),
    ]
}

proptest! {
    #[test]
    fn sync_info_round_trips(info in sync_info()) {
        prop_assert_eq!(SyncInfo::from_intermediate(&info.to_intermediate()), Ok(Some(info)));
    }

    #[test]
    fn sync_controls_round_trip(cookie in cookie(), uuid in uuid(), flag: bool) {
        let kind = if flag { SyncStateKind::Add } else { SyncStateKind::Delete };
        let mode = if flag { SyncMode::RefreshOnly } else { SyncMode::RefreshAndPersist };
        let state = SyncState { kind, uuid, cookie: cookie.clone() };
        let done = SyncDone { cookie: cookie.clone(), refresh_deletes: flag };
        let request = SyncRequest { mode, cookie, reload_hint: flag };
        let controls = [request.to_control(), state.to_control(), done.to_control()];
        prop_assert_eq!(SyncRequest::find(&controls), Ok(Some(request)));
        prop_assert_eq!(SyncState::find(&controls), Ok(Some(state)));
        prop_assert_eq!(SyncDone::find(&controls), Ok(Some(done)));
    }

    #[test]
    fn paged_results_round_trip(size in 0..=i32::MAX as u32, cookie in prop::collection::vec(any::<u8>(), 0..300)) {
        let paged = PagedResults { size, cookie: cookie.into() };
        prop_assert_eq!(PagedResults::find(&[paged.to_control()]), Ok(Some(paged)));
    }
}

#[test]
fn kinds_of_sync_state_round_trip() {
    use SyncStateKind::{Add, Delete, Modify, Present};
    for kind in [Present, Add, Modify, Delete] {
        let state = SyncState {
            kind,
            uuid: EntryUuid::from_bytes(UUID),
            cookie: None,
        };
        assert_eq!(SyncState::find(&[state.to_control()]), Ok(Some(state)));
    }
}
