//! Carries a schedule out, and lets everything come to rest at its end.

use super::super::fake::{Faults, Random};
use super::super::{admin, quiet};
use super::check::{self, Invariant, Violation};
use super::clock::until_crash;
use super::engines::Engines;
use super::steps::{Answer, Hidden, Numbered, Schedule, Step};
use super::world::{World, stands};
use crate::driver::LinkOrder;
use crate::driver::operate::Order;
use crate::driver::worker::Worker;
use crate::engine::Wake;
use bytes::Bytes;
use std::time::Duration;
use store::{Association, Group, LocalId};

/// Times that everybody may be asked before nobody has anything left to do.
const PATIENCE: usize = 14;

/// The processes that run: one for each connector, or none after a crash.
type Workers<'a> = Vec<Option<Worker<'a>>>;

/// Runs a schedule.
pub(super) fn run(schedule: &Schedule) -> Result<(), Violation> {
    end_of(schedule).map(drop)
}

/// The same; what both sides look like at the end.
pub(super) fn end_of(schedule: &Schedule) -> Result<Vec<String>, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(carry_out(schedule))
}

/// The lists of the first server right after the steps, with the addresses of their members.
pub(super) fn lists_after(schedule: &Schedule) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(async {
        let (mut world, engines) = World::new(schedule).await;
        let mut workers: Workers<'_> = engines.iter().map(|_| None).collect();
        for step in &schedule.steps {
            Box::pin(take(&mut world, &engines, &mut workers, *step)).await;
        }
        let members = |group: &Group| {
            let all = group.members.iter().map(|member| member.address().to_string());
            all.collect::<Vec<_>>().join(" ")
        };
        let lists = world.groups(0);
        lists
            .iter()
            .map(|group| format!("{}: {}", group.address, members(group)))
            .collect()
    })
}

async fn carry_out(schedule: &Schedule) -> Result<Vec<String>, Violation> {
    let (mut world, engines) = World::new(schedule).await;
    let mut workers: Workers<'_> = engines.iter().map(|_| None).collect();
    let mut cookies: Vec<Option<Bytes>> = vec![None; engines.len()];
    for step in &schedule.steps {
        Box::pin(take(&mut world, &engines, &mut workers, *step)).await;
        check::always(&mut world, schedule)?;
        for (site, cookie) in cookies.iter_mut().enumerate() {
            // The first one that was ever stored: the farthest back.
            if cookie.is_none() {
                *cookie = stored_cookie(&world, site);
            }
        }
    }
    calm(&mut world);
    relink(&mut world, &engines, &mut workers).await;
    let full = if world.silent { Wake::Full } else { Wake::Now };
    rest(&mut world, &engines, &mut workers, full).await?;
    if (0..engines.len()).any(|site| spares(&world, site)) {
        // That comparison took nobody who is absent for gone: it was the first after another scope.
        rest(&mut world, &engines, &mut workers, Wake::Full).await?;
    }
    check::always(&mut world, schedule)?;
    check::at_rest(&world, schedule)?;
    let end = check::picture(&world);
    if !schedule.seed.is_multiple_of(4) {
        return Ok(end);
    }
    // What no message tells is found when everything is compared.
    rest(&mut world, &engines, &mut workers, Wake::Full).await?;
    replay(&mut world, &engines, &mut workers, &cookies).await?;
    bounded(&mut world, &engines, &mut workers).await?;
    Ok(end)
}

fn stored_cookie(world: &World, site: usize) -> Option<Bytes> {
    let site = &world.sites[site];
    world.stores[site.node]
        .connector_state(site.name)
        .expect("reads")
        .cookie
}

fn spares(world: &World, site: usize) -> bool {
    let site = &world.sites[site];
    let state = world.stores[site.node].connector_state(site.name);
    state.expect("reads").spared
}

async fn take<'a>(
    world: &mut World,
    engines: &'a Engines,
    workers: &mut Workers<'a>,
    Numbered { number, step }: Numbered,
) {
    world.server.lock().random = Random((u64::from(number) << 8) | 0x55);
    match step {
        Step::There(who, edit) => world.edit_there(number, who, edit),
        Step::Here(who, edit) => world.edit_here(number, who, edit).await,
        Step::Round {
            on,
            wake,
            crash,
            faults,
        } => {
            world.silent |= faults.lose_one;
            world.server.lock().faults = faults;
            let on = usize::from(on);
            // To compare everything with a server that lags is somebody's decision, for a restored directory.
            let lags = {
                let server = world.server.lock();
                server.is_lagging() || server.is_about_to_go()
            };
            let wake = if lags { Wake::Now } else { wake };
            let worker = alive(engines, workers, on).await;
            world.crash.arm(crash);
            let lives = until_crash(&world.crash, Box::pin(worker.round(wake)))
                .await
                .is_some();
            world.server.lock().faults = Faults::default();
            after(world, workers, (on, number), lives).await;
        }
        Step::Listen { on, crash } => {
            let on = usize::from(on);
            if let Some(worker) = workers[on].as_mut() {
                world.crash.arm(crash);
                let lives = until_crash(&world.crash, Box::pin(listen(worker)))
                    .await
                    .is_some();
                after(world, workers, (on, number), lives).await;
            }
        }
        Step::Restart(on) => workers[usize::from(on)] = None,
        Step::Link { on, who, order } => {
            let on = usize::from(on);
            let all = links(world, on);
            let chosen = all.get(usize::from(who) % all.len().max(1));
            let objects = chosen.map(|link| link.local).into_iter().collect();
            change_links(world, alive(engines, workers, on).await, (order, objects)).await;
        }
        Step::Rename(on) => {
            let on = usize::from(on);
            workers[on] = None;
            // Another name is another scope: the next comparison spares whoever is absent, and the one after it does not.
            world.silent = true;
            if engines.rename(on) {
                let node = world.sites[on].node;
                world
                    .homes
                    .rename(node, &world.stores[node], &world.server.lock());
            }
        }
        Step::Answer(answer) => {
            world.edited_there |= matches!(answer, Answer::Edited | Answer::Deleted);
            world.server.lock().answers.push_back(answer);
        }
        Step::HangUp => world.server.lock().hang_up(),
        Step::LoseLog => world.server.lock().lose_log(),
        Step::LoseCookie(_) if world.server.lock().is_lagging() => {}
        Step::LoseCookie(on) => lose_cookie(world, workers, usize::from(on)).await,
        // Without a cookie nobody knows how far a server must have come.
        Step::FailOverIn { .. } if (0..world.sites.len()).any(|on| stored_cookie(world, on).is_none()) => {}
        Step::FailOver(_) if (0..world.sites.len()).any(|on| stored_cookie(world, on).is_none()) => {}
        Step::Apart(_) if (0..world.sites.len()).any(|on| stored_cookie(world, on).is_none()) => {}
        Step::FailOver(behind) => world.server.lock().fail_over(behind.into()),
        Step::FailOverIn { looks, behind } => {
            world.server.lock().fail_over_in(looks.into(), behind.into());
        }
        Step::Apart(behind) => world.server.lock().fall_apart(behind.into()),
        Step::Killed(forgets) => world.server.lock().kill(forgets.into()),
        Step::CatchUp => world.server.lock().catch_up(),
        Step::Hide(what) => {
            // Nobody is told of what changes while it is hidden.
            world.silent = true;
            world.server.lock().hidden = what;
        }
        Step::Later(seconds) => world.clock.advance(Duration::from_secs(seconds.into())),
    }
}

async fn alive<'w, 'a>(engines: &'a Engines, workers: &'w mut Workers<'a>, on: usize) -> &'w mut Worker<'a> {
    if workers[on].is_none() {
        let loaded = Worker::load(engines.of(on)).await;
        workers[on] = Some(loaded.expect("the store reads"));
    }
    workers[on].as_mut().expect("just loaded")
}

/// A process that died leaves its commits to the store, which carries them out or not before the next one looks. After an
/// odd step it is the machine that died: nobody else there lives on, and what was not synced is gone.
async fn after(world: &World, workers: &mut Workers<'_>, (on, number): (usize, u16), lives: bool) {
    world.crash.arm(None);
    if lives {
        return;
    }
    workers[on] = None;
    quiet().await;
    if !number.is_multiple_of(2) {
        let node = world.sites[on].node;
        for (worker, site) in workers.iter_mut().zip(&world.sites) {
            if site.node == node {
                *worker = None;
            }
        }
        world.stores[node].lose_power().await.expect("a store in memory");
    }
    for store in &world.stores {
        let state = store.connector_state("fence").expect("reads");
        store.put_connector_state("fence", &state).await.expect("stored");
    }
}

async fn lose_cookie(world: &World, workers: &mut Workers<'_>, on: usize) {
    workers[on] = None;
    let (store, name) = (&world.stores[world.sites[on].node], world.sites[on].name);
    let mut state = store.connector_state(name).expect("reads");
    state.cookie = None;
    store.put_connector_state(name, &state).await.expect("stored");
}

/// What the open feed has, and then the journal.
async fn listen(worker: &mut Worker<'_>) {
    loop {
        let event = tokio::select! {
            biased;
            event = worker.next_event() => event,
            () = quiet() => break,
        };
        worker.live(event).await;
    }
    worker.journal().await;
}

/// The links of accounts.
fn links(world: &World, on: usize) -> Vec<Association> {
    let site = &world.sites[on];
    let all = world.stores[site.node].list_associations(site.name, None, 256);
    let mut all = all.expect("reads");
    let movable = |local: LocalId| match local {
        LocalId::Account(id) => world.stores[site.node]
            .account(id)
            .expect("reads")
            .is_some_and(|account| !stands(account.address.local_part())),
        LocalId::Group(_) => false,
    };
    all.retain(|link| movable(link.local));
    all
}

async fn change_links(
    world: &mut World,
    worker: &mut Worker<'_>,
    (order, objects): (LinkOrder, Vec<LocalId>),
) {
    // What was told of them meanwhile is not told again.
    world.silent = true;
    let by = admin();
    worker
        .obey(Order::Links { order, objects, by })
        .await
        .expect("changed");
}

/// Nobody stays unlinked.
async fn relink<'a>(world: &mut World, engines: &'a Engines, workers: &mut Workers<'a>) {
    for on in 0..engines.len() {
        let held = links(world, on)
            .into_iter()
            .filter(|link| link.data.state.is_held());
        let held: Vec<LocalId> = held.map(|link| link.local).collect();
        if !held.is_empty() {
            change_links(
                world,
                alive(engines, workers, on).await,
                (LinkOrder::Relink, held),
            )
            .await;
        }
    }
}

/// No more faults.
fn calm(world: &mut World) {
    world.crash.arm(None);
    let mut server = world.server.lock();
    server.catch_up();
    server.hidden = Hidden::Nothing;
    server.answers.clear();
    server.faults = Faults::default();
}

/// How much was written on both sides so far: links do not count, they are nobody's data.
fn written(world: &World) -> (u64, Vec<usize>) {
    let changes = |store: &store::Store| check::changes(store).len();
    (
        world.server.lock().writes,
        world.stores.iter().map(changes).collect(),
    )
}

/// Every connector in turn until none of them has anything to do.
async fn rest<'a>(
    world: &mut World,
    engines: &'a Engines,
    workers: &mut Workers<'a>,
    first: Wake,
) -> Result<(), Violation> {
    let mut wake = first;
    let mut still = 0;
    for _ in 0..PATIENCE {
        world.clock.advance(Duration::from_secs(3700));
        let before = written(world);
        for (on, engine) in engines.iter().enumerate() {
            let worker = alive(engines, workers, on).await;
            if let Some(hash) = engine.status().guard.hash {
                world.approved = true;
                worker.approve(&hash).await.expect("kept");
            }
            worker.round(wake).await;
            listen(worker).await;
            if let Some(error) = engine.status().error {
                // A feed that was cut off before says so once.
                still = 0;
                if wake == Wake::Full && !error.contains("ended") && !error.contains("away") {
                    return Err(
                        Invariant::Convergence.broken(format!("a round without faults failed: {error}"))
                    );
                }
            }
        }
        let held = engines.iter().any(|engine| engine.status().guard.hash.is_some());
        let failed = engines.iter().any(|engine| engine.status().error.is_some());
        still = if written(world) == before && !held && !failed {
            still + 1
        } else {
            0
        };
        wake = if first == Wake::Full && still < 1 {
            Wake::Full
        } else {
            Wake::Now
        };
        if still == 2 {
            return counted(world, engines);
        }
    }
    let errors: Vec<_> = engines.iter().map(|engine| engine.status().error).collect();
    Err(Invariant::NoPingPong.broken(format!("no rest after {PATIENCE} rounds; {errors:?}")))
}

/// What a status says is what the links say: the guard's share and the look at an empty directory go by it.
fn counted(world: &World, engines: &Engines) -> Result<(), Violation> {
    for (site, engine) in world.sites.iter().zip(engines.iter()) {
        let kept = world.stores[site.node].link_sums(site.name).expect("reads");
        let (told, living) = (engine.status().linked, kept.map_or(0, |sums| sums.living));
        Invariant::Convergence.holds(told == living, || {
            format!(
                "{} says that {told} objects are linked, and {living} are",
                site.name
            )
        })?;
    }
    Ok(())
}

/// From the farthest cookie and with new processes: nothing is written.
async fn replay<'a>(
    world: &mut World,
    engines: &'a Engines,
    workers: &mut Workers<'a>,
    cookies: &[Option<Bytes>],
) -> Result<(), Violation> {
    for (on, cookie) in cookies.iter().enumerate() {
        workers[on] = None;
        let (store, name) = (&world.stores[world.sites[on].node], world.sites[on].name);
        let mut state = store.connector_state(name).expect("reads");
        if cookie.is_some() {
            state.cookie.clone_from(cookie);
        }
        store.put_connector_state(name, &state).await.expect("stored");
    }
    for wake in [Wake::Now, Wake::Full, Wake::Full] {
        let before = written(world);
        for on in 0..engines.len() {
            let worker = alive(engines, workers, on).await;
            worker.round(wake).await;
            listen(worker).await;
        }
        let after = written(world);
        // Before the first comparison of everything, silent changes may be news.
        if before != after {
            return Err(Invariant::Idempotence.broken(format!(
                "a replay wrote: {before:?}, then {after:?}: {:?}",
                world
                    .stores
                    .iter()
                    .map(|store| check::changes(store).pop())
                    .collect::<Vec<_>>()
            )));
        }
    }
    Ok(())
}

/// So many differences, at most so many writes.
async fn bounded<'a>(
    world: &mut World,
    engines: &'a Engines,
    workers: &mut Workers<'a>,
) -> Result<(), Violation> {
    let names: Vec<u8> = (1..=2).collect();
    // What waits in quarantine is a difference too, and an edit may end it: a name for a moment, the name, the address,
    // and before them whatever could be written while the name was in somebody's way.
    let rows = |site: &super::world::Site| {
        let rows = world.stores[site.node].quarantine_after(site.name, None, 256);
        rows.expect("reads").len()
    };
    let waiting = 4 * world.sites.iter().map(rows).sum::<usize>();
    let before = written(world);
    for who in &names {
        world.edit_there(900 + u16::from(*who), *who * 5 + 1, super::steps::There::Name);
    }
    for on in 0..engines.len() {
        let worker = alive(engines, workers, on).await;
        worker.round(Wake::Now).await;
        listen(worker).await;
    }
    let after = written(world);
    let there = after.0 - before.0;
    let most = match world.shape {
        // Drift is repaired there, one write for each.
        super::steps::Shape::ToLdap => names.len() as u64,
        _ => 0,
    } + waiting as u64;
    let here = after
        .1
        .iter()
        .zip(&before.1)
        .map(|(after, before)| after - before);
    if there > most || here.clone().any(|here| here > names.len() + waiting) {
        let here: Vec<usize> = here.collect();
        return Err(Invariant::WorkBound.broken(format!(
            "{} differences: {there} writes there, {here:?} here",
            names.len()
        )));
    }
    Ok(())
}
