//! Searches: their streams, their ends, and slow consumers.

use super::*;
use crate::connection::{LdapError, SearchItem};
use crate::message::Intermediate;
use crate::{CloseReason, Patience};

#[tokio::test]
async fn results_come_in_order_with_their_controls() {
    let (client, mut server) = pair(&options());
    let mut stream = client
        .search(everything().attributes(["cn"]).size_limit(7))
        .await
        .unwrap();
    let request = server.request().await;
    let Request::Search(search) = &request.operation else {
        panic!("a search")
    };
    assert_eq!(
        (search.size_limit, search.attributes.as_slice()),
        (7, &["cn".to_owned()][..])
    );
    server
        .send_with(request.id, entry(1), vec![Control::new("1.2.3")])
        .await;
    server
        .send(request.id, Response::SearchReference(vec!["ldap://other".into()]))
        .await;
    let intermediate = Intermediate {
        name: None,
        value: None,
    };
    server
        .send(request.id, Response::Intermediate(intermediate.clone()))
        .await;
    server
        .send_with(
            request.id,
            Response::SearchDone(success()),
            vec![Control::new("1.2.4")],
        )
        .await;
    match stream.next().await.unwrap() {
        Some(SearchItem::Entry { entry, controls }) => {
            assert_eq!(entry.dn, "uid=1,dc=test");
            assert_eq!(controls, [Control::new("1.2.3")]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        stream.next().await.unwrap(),
        Some(SearchItem::Reference(vec!["ldap://other".into()]))
    );
    assert_eq!(
        stream.next().await.unwrap(),
        Some(SearchItem::Intermediate(intermediate))
    );
    assert!(stream.outcome().is_none());
    assert_eq!(stream.next().await.unwrap(), None);
    assert_eq!(stream.outcome().unwrap().controls, [Control::new("1.2.4")]);
    assert_eq!(stream.next().await.unwrap(), None);
}

#[tokio::test]
async fn an_end_without_success_is_an_error() {
    let (client, mut server) = pair(&options());
    let (found, ()) = tokio::join!(client.search_all(everything(), 10), async {
        let request = server.request().await;
        server.send(request.id, entry(1)).await;
        server
            .send(
                request.id,
                Response::SearchDone(LdapResult::new(ResultCode::SizeLimitExceeded)),
            )
            .await;
    });
    assert_eq!(found.unwrap_err().code(), Some(ResultCode::SizeLimitExceeded));
}

#[tokio::test]
async fn one_entry_too_many_is_an_error_and_abandons() {
    let (client, mut server) = pair(&options());
    let (found, id) = tokio::join!(client.search_all(everything(), 2), async {
        let request = server.request().await;
        for number in 0..3 {
            server.send(request.id, entry(number)).await;
        }
        request.id
    });
    assert!(matches!(found, Err(LdapError::TooMany(2))));
    assert!(matches!(server.request().await.operation, Request::Abandon(abandoned) if abandoned == id));
}

#[tokio::test]
async fn a_dropped_stream_is_abandoned_after_its_request() {
    let (client, mut server) = pair(&options());
    // Both are in the writer's hands before it runs: the order on the wire must still be right.
    for _ in 0..5 {
        drop(client.search(everything()).await.unwrap());
    }
    let mut open = std::collections::HashSet::new();
    for _ in 0..10 {
        let message = server.request().await;
        match message.operation {
            Request::Search(_) => assert!(open.insert(message.id)),
            Request::Abandon(id) => assert!(open.remove(&id), "an abandon before its request"),
            other => panic!("{other:?}"),
        }
    }
    assert!(open.is_empty());
}

#[tokio::test]
async fn silence_between_results_times_out_unless_the_search_is_endless() {
    let mut options = options();
    options.operation_timeout = Duration::from_millis(50);
    let (client, mut server) = pair(&options);
    let mut stream = client.search(everything()).await.unwrap();
    let id = server.request().await.id;
    server.send(id, entry(1)).await;
    assert!(stream.next().await.unwrap().is_some());
    assert!(matches!(stream.next().await, Err(LdapError::TimedOut)));
    assert!(matches!(server.request().await.operation, Request::Abandon(abandoned) if abandoned == id));

    let request = everything().endless();
    assert_eq!(request.patience, Patience::Endless);
    let mut stream = client.search(request).await.unwrap();
    let id = server.request().await.id;
    let (item, ()) = tokio::join!(stream.next(), async {
        tokio::time::sleep(options.operation_timeout * 4).await;
        server.send(id, entry(2)).await;
    });
    assert!(item.unwrap().is_some());
}

#[tokio::test]
async fn a_connection_lost_in_a_search_gives_what_came_and_then_the_error() {
    let (client, mut server) = pair(&options());
    let mut stream = client.search(everything()).await.unwrap();
    let id = server.request().await.id;
    server.send(id, entry(1)).await;
    server.send(id, entry(2)).await;
    drop(server);
    assert!(matches!(client.closed().await, CloseReason::EndOfStream));
    assert!(stream.next().await.unwrap().is_some());
    assert!(stream.next().await.unwrap().is_some());
    assert!(matches!(
        stream.next().await,
        Err(LdapError::Closed(CloseReason::EndOfStream))
    ));
    assert!(stream.next().await.unwrap().is_none());
}

/// With nothing else to do, a slow consumer only slows its search: not one result is lost.
#[tokio::test]
async fn a_slow_consumer_alone_slows_the_server() {
    let mut options = options();
    options.search_items = 4;
    options.stall_timeout = Duration::from_millis(20);
    let (client, mut server) = pair(&options);
    let mut stream = client.search(everything()).await.unwrap();
    let id = server.request().await.id;
    let served = tokio::spawn(async move {
        // Far more than the queue and the pipe hold, so the server must wait.
        for number in 0..2000 {
            server.send(id, entry(number)).await;
        }
        server.send(id, Response::SearchDone(success())).await;
        server
    });
    tokio::time::sleep(options.stall_timeout * 5).await;
    assert!(!served.is_finished());
    for number in 0..2000 {
        let Some(SearchItem::Entry { entry, .. }) = stream.next().await.unwrap() else {
            panic!("{number}")
        };
        assert_eq!(entry.dn, format!("uid={number},dc=test"));
    }
    assert!(stream.next().await.unwrap().is_none());
    served.await.unwrap();
}

/// The queue is bounded by bytes too: a thousand items would fit, ten thousand bytes do not.
#[tokio::test]
async fn a_queue_of_large_entries_is_bounded_by_bytes() {
    let mut options = options();
    options.search_bytes = 1000;
    let (client, mut server) = pair(&options);
    let mut stream = client.search(everything()).await.unwrap();
    let id = server.request().await.id;
    let large = Response::SearchEntry(Entry::new("uid=large").with("x", Bytes::from(vec![0; 100_000])));
    let served = tokio::spawn(async move {
        for _ in 0..8 {
            server.send(id, large.clone()).await;
        }
        server.send(id, Response::SearchDone(success())).await;
        server
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        !served.is_finished(),
        "eight messages larger than the bound were all taken in"
    );
    let mut count = 0;
    while stream.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 8);
    served.await.unwrap();
}

/// With another operation waiting, the slow search is given up and the other goes on.
#[tokio::test]
async fn a_slow_consumer_does_not_hold_up_the_others() {
    let mut options = options();
    options.search_items = 2;
    options.stall_timeout = Duration::from_millis(20);
    let (client, mut server) = pair(&options);
    let mut stream = client.search(everything()).await.unwrap();
    let search = server.request().await.id;
    let whoami = tokio::spawn({
        let client = client.clone();
        async move { client.delete("uid=a", &[]).await }
    });
    let delete = server.request().await.id;
    for number in 0..10 {
        server.send(search, entry(number)).await;
    }
    server.send(delete, Response::Delete(success())).await;
    whoami.await.unwrap().unwrap();
    assert!(matches!(server.request().await.operation, Request::Abandon(id) if id == search));
    let mut taken = 0;
    let error = loop {
        match stream.next().await {
            Ok(Some(_)) => taken += 1,
            Ok(None) => panic!("a search that was given up has no good end"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LdapError::SlowConsumer) && error.is_transient());
    assert_eq!(taken, 2);
    assert!(!client.is_closed());
}

#[tokio::test]
async fn an_entry_beyond_its_limit_is_told_of_and_the_search_goes_on() {
    let mut options = options();
    options.max_message = 4096;
    options.max_entry = Some(64 * 1024);
    let (client, mut server) = pair(&options);
    let mut stream = client.search(everything()).await.unwrap();
    let id = server.request().await.id;
    let large = |octets: usize| {
        Response::SearchEntry(
            Entry::new(format!("uid={octets},dc=test")).with("jpegPhoto", Bytes::from(vec![b'x'; octets])),
        )
    };
    // The server writes while the client reads: no pipe holds so much.
    let writing = async {
        server
            .send_with(id, large(3 << 20), vec![Control::new("1.2.3")])
            .await;
        server.send(id, large(50_000)).await;
        server.send(id, Response::SearchDone(success())).await;
        server
    };
    let reading = async {
        match stream.next().await.unwrap() {
            Some(SearchItem::Oversized { dn, size, controls }) => {
                assert_eq!(
                    (dn.as_str(), controls),
                    ("uid=3145728,dc=test", vec![Control::new("1.2.3")])
                );
                assert!(size > 3 << 20);
            }
            other => panic!("{other:?}"),
        }
        // Larger than any other message may be, and within the limit of entries.
        let (entry, _) = stream.next_entry().await.unwrap().expect("an entry");
        assert_eq!(entry.get("jpegPhoto")[0].len(), 50_000);
        assert_eq!(stream.next().await.unwrap(), None);
    };
    let (mut server, ()) = tokio::join!(writing, reading);
    // Whoever takes only whole entries hears of it as an error; the connection lives on.
    let (found, ()) = tokio::join!(client.search_all(everything(), 10), async {
        let id = server.request().await.id;
        server.send(id, large(100_000)).await;
    });
    let error = found.unwrap_err();
    assert!(
        matches!(&error, LdapError::EntryTooLarge { dn, .. } if dn == "uid=100000,dc=test"),
        "{error}"
    );
    assert!(!error.is_transient() && !client.is_closed());
}
