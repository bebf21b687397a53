//! What an administrator should look at, as `homing service status` lists it.

use super::Admin;
use frontend::HomeState;
use std::time::Duration;
use store::DiskState;

/// How long a directory may take to answer when somebody asks for the status.
const PROBE: Duration = Duration::from_secs(2);

/// One line a problem; none when all is well.
pub(super) async fn list(admin: &Admin) -> Vec<String> {
    let mut problems = directories(admin).await;
    problems.extend(admin.store().ok().and_then(|store| disk(store.disk())));
    problems.extend(sync(admin));
    problems.extend(maps(admin));
    problems.extend(homes(admin));
    problems
}

fn disk(disk: DiskState) -> Option<String> {
    if disk.is_read_only {
        let text = "store: a write has failed, and nothing is written before a restart; see the log, and look at the disk";
        return Some(text.to_owned());
    }
    let mib = |octets: u64| octets >> 20;
    let free = disk.free.filter(|_| !disk.takes_mail())?;
    Some(format!(
        "store: {} MiB are free on its disk, and new mail is refused below {} ([store] free_space_reserve)",
        mib(free),
        mib(disk.reserve)
    ))
}

async fn directories(admin: &Admin) -> Vec<String> {
    let mut problems = Vec::new();
    for connector in &admin.current.load_full().connectors {
        let why = match tokio::time::timeout(PROBE, connector.service()).await {
            Ok(Ok(_)) => continue,
            Ok(Err(why)) => why.to_string(),
            Err(_) => format!("no answer within {} s", PROBE.as_secs()),
        };
        problems.push(format!("directory {} is unavailable: {why}", connector.name()));
    }
    problems
}

fn sync(admin: &Admin) -> Vec<String> {
    let mut problems = Vec::new();
    for engine in &admin.sync {
        let (name, status) = (engine.name(), engine.status());
        if let Some(error) = &status.error {
            problems.push(format!("sync {name}: {error}"));
        }
        if status.set_aside > 0 {
            let count = status.set_aside;
            problems.push(format!(
                "sync {name}: {count} objects are set aside; see homing sync quarantine"
            ));
        }
        if status.guard.held > 0 {
            problems.push(format!(
                "sync {name}: the guard holds destructive changes; see homing sync status"
            ));
        }
    }
    problems
}

/// Services share maps, so that each is named once.
fn maps(admin: &Admin) -> Vec<String> {
    let mut problems = Vec::new();
    let current = admin.current.load_full();
    for map in current.maps.iter().flat_map(|(_, maps)| maps.maps()) {
        let text = map.problem().map(|why| format!("user map {}: {why}", map.name()));
        problems.extend(text.filter(|text| !problems.contains(text)));
    }
    problems
}

fn homes(admin: &Admin) -> Vec<String> {
    let line = |home: &frontend::HomeStatus| {
        let state = if home.state == HomeState::Down {
            "down"
        } else {
            "suspect"
        };
        format!(
            "home {} is {state}: {}",
            home.home,
            home.reason.as_deref().unwrap_or("-")
        )
    };
    let current = admin.current.load_full();
    current.homes.failing_homes().iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_takes_no_mail_is_a_problem() {
        let state = |is_read_only, free| DiskState {
            is_read_only,
            free,
            reserve: 256 << 20,
        };
        assert_eq!(disk(state(false, Some(256 << 20))), None);
        assert_eq!(disk(state(false, None)), None, "in memory");
        let full = disk(state(false, Some(100 << 20))).expect("a problem");
        assert!(
            full.contains("100 MiB are free") && full.contains("below 256 "),
            "{full}"
        );
        let failed = disk(state(true, Some(1 << 40))).expect("a problem");
        assert!(failed.contains("a write has failed"), "{failed}");
    }
}
