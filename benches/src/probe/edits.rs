//! Edits of entries, and how long a live map takes to hear of them.

use super::homing::{Live, Meter, addresses, connector, now};
use super::{Answer, Job, Shuffle};
use anyhow::{Context, Result, ensure};
use directory::HomeRef;
use ldap::message::Modify;
use ldap::{Attribute, Client, ConnectOptions, LdapUri, Modification, ModifyOperation, Values};
use model::Secret;
use std::time::Duration;

/// Longer than any edit takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at the map; half of it is the error of a measurement.
const LOOK: Duration = Duration::from_micros(100);

/// Changes the host of people one after the other.
pub(super) async fn run(job: &Job, count: usize) -> Result<Answer> {
    let addresses = addresses(job)?;
    let first = addresses.first().context("an address")?;
    let mut meter = Meter::start()?;
    let live = Live::start(job, connector(job)?)?;
    live.filled(first, &mut meter).await?;
    let writer = writer(job).await?;
    let mut shuffle = Shuffle::new(3);
    let (mut commits, mut latencies) = (Vec::new(), Vec::new());
    for number in 0..count {
        let address = addresses
            .get(shuffle.next(addresses.len()))
            .context("an address")?;
        let host = format!("edited{number}.localdomain.test");
        let home = HomeRef::parse(&host)?;
        let dn = format!("uid={},{}", address.local_part(), job.users_dn);
        let change = Modification {
            operation: ModifyOperation::Replace,
            attribute: Attribute::new("mailHost", Values::one(host.clone().into())),
        };
        let modify = Modify {
            dn,
            changes: vec![change],
        };
        let began = now();
        writer.modify(modify, &[]).await?;
        let committed = began.elapsed();
        while live.home(address).await.as_ref() != Some(&home) {
            ensure!(began.elapsed() < PATIENCE, "{address} is not seen at {host}");
            tokio::time::sleep(LOOK).await;
        }
        let seen = began.elapsed();
        commits.push(committed.as_secs_f64() * 1000.0);
        latencies.push((seen.saturating_sub(committed)).as_secs_f64() * 1000.0);
    }
    live.stop().await?;
    let mut answer = meter.answer(count as u64)?;
    (answer.commit_millis, answer.latency_millis) = (commits, latencies);
    Ok(answer)
}

async fn writer(job: &Job) -> Result<Client> {
    let uri = job
        .connector
        .get("uris")
        .and_then(|uris| uris.get(0))
        .and_then(serde_json::Value::as_str)
        .context("no server is named")?;
    let client = Client::connect(&ConnectOptions::new(LdapUri::parse(uri)?)).await?;
    client
        .bind_simple(&job.writer_dn, &Secret::new(job.writer_password.clone()), &[])
        .await?;
    Ok(client)
}
