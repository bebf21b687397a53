//! The values of extended operations.

use super::*;
use crate::ResultCode;

fn response(value: Option<&'static [u8]>) -> ExtendedResponse {
    ExtendedResponse {
        result: LdapResult::new(ResultCode::Success),
        name: None,
        value: value.map(Bytes::from_static),
    }
}

#[test]
fn requests_on_the_wire() {
    assert_eq!(start_tls().value, None);
    assert_eq!(who_am_i().name, WHO_AM_I);
    let id = MessageId::new(5).expect("small");
    assert_eq!(
        cancel(id).value.as_deref(),
        Some(b"\x30\x03\x02\x01\x05".as_slice())
    );
    let modify = PasswordModify {
        user_identity: Some("a=b".into()),
        old_password: None,
        new_password: Some("new".into()),
    };
    assert_eq!(
        modify.to_request().value.as_deref(),
        Some(b"\x30\x0a\x80\x03a=b\x82\x03new".as_slice())
    );
}

#[test]
fn password_modify_round_trips() {
    for (user, old, new) in [
        (None, None, None),
        (Some("uid=a"), Some("old"), None),
        (None, Some(""), Some("new")),
        (Some(""), Some("old"), Some("new")),
    ] {
        let modify = PasswordModify {
            user_identity: user.map(str::to_owned),
            old_password: old.map(Secret::from),
            new_password: new.map(Secret::from),
        };
        let value = modify.to_request().value.expect("a value");
        let found = PasswordModify::decode(&value).expect("valid");
        assert_eq!(found.user_identity.as_deref(), user);
        assert_eq!(
            found.old_password.as_ref().map(Secret::expose),
            old.map(str::as_bytes)
        );
        assert_eq!(
            found.new_password.as_ref().map(Secret::expose),
            new.map(str::as_bytes)
        );
    }
}

#[test]
fn answers_are_read() {
    // As OpenLDAP answers ldappasswd without a new password.
    let generated = PasswordModify::generated(&response(Some(b"\x30\x0a\x80\x08wAYbt.RA"))).expect("valid");
    assert_eq!(
        generated.as_ref().map(Secret::expose),
        Some(b"wAYbt.RA".as_slice())
    );
    assert!(
        PasswordModify::generated(&response(None))
            .expect("valid")
            .is_none()
    );
    assert_eq!(
        who_am_i_response(&response(Some(b"dn:cn=a"))).as_deref(),
        Ok("dn:cn=a")
    );
    assert_eq!(who_am_i_response(&response(None)).as_deref(), Ok(""));
    assert!(who_am_i_response(&response(Some(b"\xff"))).is_err());
}

#[test]
fn only_an_unsolicited_message_is_the_notice() {
    let notice = ExtendedResponse {
        result: LdapResult::new(ResultCode::Unavailable),
        name: Some(NOTICE_OF_DISCONNECTION.into()),
        value: None,
    };
    let message = Message::new(MessageId::UNSOLICITED, Response::Extended(notice.clone()));
    assert_eq!(notice_of_disconnection(&message), Some(&notice.result));
    let message = Message::new(MessageId::FIRST, Response::Extended(notice));
    assert_eq!(notice_of_disconnection(&message), None);
    let message = Message::new(MessageId::UNSOLICITED, Response::Extended(response(None)));
    assert_eq!(notice_of_disconnection(&message), None);
}
