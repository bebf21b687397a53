//! A home that is down, that hangs, and that comes back.

use super::{on_cluster, person, recipient, send};
use crate::front::{Front, Home, Options};
use crate::login::{Answer, WAYS, expect};
use anyhow::{Context, Result, ensure};
use system_tests::steps::eventually;
use system_tests::{Cluster, HOMES};

/// A front end with short deadlines before the cluster's homes.
fn impatient(cluster: &Cluster) -> Result<Front> {
    let homes: Vec<Home<'_>> = HOMES
        .iter()
        .zip(&cluster.home_ports)
        .map(|(name, ports)| Home { name, ports: *ports })
        .collect();
    Front::start(&cluster.slapd, &cluster.people, &homes, Options::default())
}

#[test]
fn a_dead_home_is_try_later_for_its_people_only() -> Result<()> {
    on_cluster(|cluster| {
        let front = impatient(cluster)?;
        both_served(cluster, &front)?;
        cluster.homes[1].kill()?;
        first_only(cluster, &front)?;
        cluster.homes[1].restart()?;
        eventually("the dead home is used again", || {
            Ok(both_served(cluster, &front).is_ok())
        })
    })
}

#[test]
fn a_hanging_home_is_as_good_as_dead() -> Result<()> {
    on_cluster(|cluster| {
        let front = impatient(cluster)?;
        both_served(cluster, &front)?;
        // The kernel still takes connections for it; nobody ever answers.
        cluster.homes[1].child().context("it runs")?.freeze();
        first_only(cluster, &front)?;
        cluster.homes[1].child().context("it runs")?.thaw();
        eventually("the home is used again", || {
            Ok(both_served(cluster, &front).is_ok())
        })
    })
}

/// alice lives on the first home, bob on the second.
fn both_served(cluster: &Cluster, front: &Front) -> Result<()> {
    for uid in ["alice", "bob"] {
        let person = person(cluster, uid)?;
        expect(front.read(), &person.mail, &person.password, Answer::Accepted)?;
        let reply = send(front.ports.smtp, &person.mail, "served")?;
        ensure!(reply.code == 250, "{uid}: {reply:?}");
    }
    Ok(())
}

fn first_only(cluster: &Cluster, front: &Front) -> Result<()> {
    let (alice, bob) = (person(cluster, "alice")?, person(cluster, "bob")?);
    // More often than a home may fail before it counts as down: the answer stays the same.
    for _ in 0..3 {
        for way in WAYS {
            let answer = way.try_login(front.read(), &bob.mail, &bob.password)?;
            ensure!(answer == Answer::Later, "{way:?}: {answer:?}");
        }
        let reply = recipient(front.ports.smtp, &bob.mail)?;
        ensure!(
            reply.code == 451 && reply.enhanced() == Some("4.4.1"),
            "{reply:?}"
        );
        // A wrong password is still found wrong at the edge.
        expect(front.read(), &bob.mail, "wrong", Answer::Refused)?;
        expect(front.read(), &alice.mail, &alice.password, Answer::Accepted)?;
    }
    let reply = send(front.ports.smtp, &alice.mail, "the other home works")?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}
