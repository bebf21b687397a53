//! Operations with one answer.

use super::*;
use crate::CloseReason;
use crate::connection::LdapError;
use crate::control::PagedResults;
use crate::message::{
    Add, Authentication, BindResponse, Compare, ExtendedResponse, Intermediate, Modify, ModifyDn,
};
use model::Secret;

#[tokio::test]
async fn each_operation_gets_its_own_answer() {
    let (client, mut server) = pair(&options());
    let script = async {
        // All are read before any is answered, and they are answered in reverse.
        let mut requests = Vec::new();
        for _ in 0..6 {
            requests.push(server.request().await);
        }
        for request in requests.into_iter().rev() {
            let response = match request.operation {
                Request::Add(add) => {
                    assert_eq!(add.dn, "uid=a");
                    Response::Add(success())
                }
                Request::Modify(modify) => {
                    assert_eq!(modify.dn, "uid=b");
                    Response::Modify(LdapResult::new(ResultCode::AssertionFailed))
                }
                Request::Delete(dn) => {
                    assert_eq!(dn, "uid=c");
                    Response::Delete(LdapResult::new(ResultCode::Busy))
                }
                Request::ModifyDn(rename) => {
                    assert_eq!(rename.new_rdn, "uid=e");
                    Response::ModifyDn(success())
                }
                Request::Compare(_) => Response::Compare(LdapResult::new(ResultCode::CompareFalse)),
                Request::Extended(_) => Response::Extended(ExtendedResponse {
                    result: success(),
                    name: None,
                    value: Some(Bytes::from_static(b"dn:uid=a")),
                }),
                other => panic!("{other:?}"),
            };
            server
                .send_with(request.id, response, vec![Control::new("1.2.3")])
                .await;
        }
    };
    let rename = ModifyDn {
        dn: "uid=d".into(),
        new_rdn: "uid=e".into(),
        delete_old_rdn: true,
        new_superior: None,
    };
    let (add, modify, delete, modify_dn, compare, whoami, ()) = tokio::join!(
        client.add(
            Add {
                dn: "uid=a".into(),
                attributes: vec![]
            },
            &[]
        ),
        client.modify(
            Modify {
                dn: "uid=b".into(),
                changes: vec![]
            },
            &[]
        ),
        client.delete("uid=c", &[]),
        client.modify_dn(rename, &[]),
        client.compare(
            Compare {
                dn: "uid=f".into(),
                attribute: "cn".into(),
                value: "x".into()
            },
            &[]
        ),
        client.whoami(),
        script,
    );
    assert_eq!(add.unwrap().controls, [Control::new("1.2.3")]);
    let modify = modify.unwrap_err();
    assert_eq!(modify.code(), Some(ResultCode::AssertionFailed));
    assert_eq!(modify.controls(), [Control::new("1.2.3")]);
    assert!(!modify.is_transient());
    let delete = delete.unwrap_err();
    assert!(delete.code() == Some(ResultCode::Busy) && delete.is_transient());
    modify_dn.unwrap();
    assert!(!compare.unwrap());
    assert_eq!(whoami.unwrap(), "dn:uid=a");
    assert!(!client.is_closed());
}

#[tokio::test]
async fn a_slow_answer_is_abandoned_and_ignored_when_it_comes() {
    let mut options = options();
    options.operation_timeout = Duration::from_millis(50);
    let (client, mut server) = pair(&options);
    let error = client.delete("uid=a", &[]).await.unwrap_err();
    assert!(matches!(error, LdapError::TimedOut) && error.is_transient());
    let request = server.request().await;
    assert!(matches!(request.operation, Request::Delete(_)));
    let Request::Abandon(id) = server.request().await.operation else {
        panic!("an abandon")
    };
    assert_eq!(id, request.id);
    // The late answer, and one to an id that never was, disturb nobody.
    server.send(request.id, Response::Delete(success())).await;
    server
        .send(MessageId::new(4711).unwrap(), Response::Delete(success()))
        .await;
    let (second, ()) = tokio::join!(client.delete("uid=b", &[]), async {
        let request = server.request().await;
        server.send(request.id, Response::Delete(success())).await;
    });
    second.unwrap();
}

#[tokio::test]
async fn a_dropped_future_is_abandoned() {
    let (client, mut server) = pair(&options());
    let id = tokio::select! {
        _ = client.delete("uid=a", &[]) => panic!("no answer was sent"),
        request = server.request() => request.id,
    };
    assert!(matches!(server.request().await.operation, Request::Abandon(abandoned) if abandoned == id));
}

#[tokio::test]
async fn an_answer_of_another_kind_closes_the_connection() {
    let (client, mut server) = pair(&options());
    let (result, ()) = tokio::join!(client.delete("uid=a", &[]), async {
        let request = server.request().await;
        // What comes on the way to an answer is passed over.
        server
            .send(
                request.id,
                Response::Intermediate(Intermediate {
                    name: None,
                    value: None,
                }),
            )
            .await;
        server.send(request.id, Response::Add(success())).await;
    });
    assert!(matches!(result, Err(LdapError::Protocol(_))));
    assert!(matches!(client.closed().await, CloseReason::Protocol(_)));
    assert!(matches!(
        client.delete("uid=a", &[]).await,
        Err(LdapError::Closed(CloseReason::Protocol(_)))
    ));
}

#[tokio::test]
async fn an_empty_password_is_never_sent() {
    let (client, mut server) = pair(&options());
    for dn in ["", "uid=a,dc=test"] {
        let error = client.bind_simple(dn, &Secret::from(""), &[]).await.unwrap_err();
        assert!(matches!(error, LdapError::EmptyPassword) && !error.is_transient());
    }
    drop(client);
    assert!(matches!(server.request().await.operation, Request::Unbind));
}

#[tokio::test]
async fn a_bind_has_the_connection_for_itself() {
    let (client, mut server) = pair(&options());
    let mut stream = client.search(everything()).await.unwrap();
    let search = server.request().await.id;
    let binding = tokio::spawn({
        let client = client.clone();
        async move { client.bind_simple("uid=a", &Secret::from("p"), &[]).await }
    });
    // While the search is open, no bind comes: what comes is the abandon, and only then the bind.
    tokio::task::yield_now().await;
    server.send(search, entry(1)).await;
    assert!(stream.next().await.unwrap().is_some());
    drop(stream);
    assert!(matches!(server.request().await.operation, Request::Abandon(id) if id == search));
    let bind = server.request().await;
    let Request::Bind(asked) = bind.operation else {
        panic!("a bind")
    };
    assert_eq!(asked.name, "uid=a");
    assert!(matches!(asked.authentication, Authentication::Simple(password) if password.expose() == b"p"));
    // An operation started now waits for the bind's answer.
    let next = tokio::spawn({
        let client = client.clone();
        async move { client.whoami().await }
    });
    tokio::task::yield_now().await;
    let mut refused = LdapResult::new(ResultCode::InvalidCredentials);
    refused.diagnostic = "data 533\n".to_owned();
    let response = BindResponse {
        result: refused,
        server_sasl_credentials: None,
    };
    server.send(bind.id, Response::Bind(response)).await;
    let error = binding.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ResultCode::InvalidCredentials));
    assert!(error.to_string().ends_with("data 533\\n"), "{error}");
    let request = server.request().await;
    assert!(matches!(request.operation, Request::Extended(_)));
    let answer = ExtendedResponse {
        result: success(),
        name: None,
        value: None,
    };
    server.send(request.id, Response::Extended(answer)).await;
    assert_eq!(next.await.unwrap().unwrap(), "");
}

#[tokio::test]
async fn a_bind_given_up_closes_the_connection() {
    let mut options = options();
    options.operation_timeout = Duration::from_millis(50);
    let (client, mut server) = pair(&options);
    let error = client.bind_external().await.unwrap_err();
    assert!(matches!(error, LdapError::TimedOut));
    assert!(matches!(client.closed().await, CloseReason::BindInterrupted));
    let request = server.request().await;
    assert!(matches!(
        request.operation,
        Request::Bind(bind) if matches!(&bind.authentication, Authentication::Sasl { mechanism, .. } if mechanism == "EXTERNAL")
    ));
    assert!(server.next().await.is_none());
}

#[tokio::test]
async fn more_operations_than_allowed_wait_for_their_turn() {
    let mut options = options();
    options.max_pending = 2;
    let (client, mut server) = pair(&options);
    let started: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.delete("uid=a", &[]).await })
        })
        .collect();
    for _ in 0..10 {
        let (first, second) = (server.request().await, server.request().await);
        server.send(first.id, Response::Delete(success())).await;
        server.send(second.id, Response::Delete(success())).await;
    }
    for operation in started {
        operation.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn pages_follow_each_other() {
    let (client, mut server) = pair(&options());
    let script = async {
        for (expected, next) in [("", "two"), ("two", "three"), ("three", "")] {
            let request = server.request().await;
            let control = request.controls.last().unwrap();
            assert!(control.critical && control.oid == PagedResults::OID);
            let page = PagedResults::find(&request.controls).unwrap().unwrap();
            assert_eq!((page.size, &*page.cookie), (2, expected.as_bytes()));
            server.send(request.id, entry(1)).await;
            server
                .send(request.id, Response::SearchReference(vec!["ldap://other".into()]))
                .await;
            server.send(request.id, entry(2)).await;
            let page = PagedResults {
                size: 0,
                cookie: next.into(),
            };
            server
                .send_with(
                    request.id,
                    Response::SearchDone(success()),
                    vec![page.to_control()],
                )
                .await;
        }
    };
    let taken = async {
        let mut paged = client.search_paged(everything(), 2).await.unwrap();
        let mut count = 0;
        while paged.next_entry().await.unwrap().is_some() {
            count += 1;
        }
        assert!(paged.next().await.unwrap().is_none());
        count
    };
    let (count, ()) = tokio::join!(taken, script);
    assert_eq!(count, 6);
}
