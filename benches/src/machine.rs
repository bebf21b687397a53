//! What the kernel says about the machine and the servers: CPU time, stolen time, memory, the file system.
//!
//! CPU time of a server is that of all its processes, of those that ended too: a parent that has waited for a
//! child carries the child's time (proc_pid_stat(5), `cutime`), in whole clock ticks, 10 ms here. Of those that live,
//! the scheduler's own count in nanoseconds is taken: a hundred processes with 9 ms each would have used nothing.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// One line of /proc/PID/stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    id: u32,
    parent: u32,
    group: u32,
    /// Its own ticks.
    own: u64,
    /// Those of its children that have ended.
    waited: u64,
}

/// The CPU seconds that the process groups led by `leaders`, and all their descendants, have used.
pub(crate) fn cpu_seconds(leaders: &[u32]) -> Result<f64> {
    let all = processes()?;
    let members = family(&all, leaders);
    let tick = 1.0 / rustix::param::clock_ticks_per_second() as f64;
    let members = all.iter().filter(|process| members.contains(&process.id));
    Ok(members
        .map(|process| {
            // The ticks have threads that have ended, too.
            let own = (process.own as f64 * tick).max(scheduled_seconds(process.id));
            own + process.waited as f64 * tick
        })
        .sum())
}

/// What the scheduler has counted for the threads of a process; nothing where it does not say.
fn scheduled_seconds(process: u32) -> f64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return 0.0;
    };
    let nanoseconds: u64 = threads
        .filter_map(|thread| {
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    nanoseconds as f64 / 1e9
}

/// The CPU seconds of this process.
pub(crate) fn own_cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let own = parse(&text).context("/proc/self/stat is not understood")?;
    Ok((own.own + own.waited) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The CPU seconds of the children that this process has waited for.
pub(crate) fn children_cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = text
        .rsplit_once(") ")
        .context("/proc/self/stat is not understood")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| -> Result<u64> {
        let field = fields.get(index).context("/proc/self/stat is too short")?;
        Ok(field.parse()?)
    };
    // cutime and cstime.
    let ticks = number(13)? + number(14)?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Anonymous resident memory of one process in KiB: what it allocated, without program text and files.
pub(crate) fn anonymous_kib(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = kib.context("no RssAnon")?.trim().trim_end_matches(" kB");
    Ok(kib.parse()?)
}

/// The proportional set size of the same processes in KiB: shared pages count by their share.
pub(crate) fn pss_kib(leaders: &[u32]) -> Result<f64> {
    let all = processes()?;
    let mut sum = 0.0;
    for id in family(&all, leaders) {
        // A process that has just ended has no memory.
        let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        sum += text
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok())
            .unwrap_or_default();
    }
    Ok(sum)
}

/// The machine's ticks so far: those in which it worked, those stolen by the hypervisor, and all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ticks {
    pub(crate) busy: u64,
    pub(crate) stolen: u64,
    pub(crate) all: u64,
}

impl Ticks {
    /// The time in which it worked.
    pub(crate) fn busy_seconds(self) -> f64 {
        self.busy as f64 / rustix::param::clock_ticks_per_second() as f64
    }
}

/// The first line of /proc/stat.
pub(crate) fn machine_ticks() -> Result<Ticks> {
    let text = std::fs::read_to_string("/proc/stat")?;
    parse_machine(&text).context("/proc/stat is not understood")
}

fn parse_machine(text: &str) -> Option<Ticks> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    Some(Ticks {
        // User, nice and system; what the kernel does for interrupts belongs to nobody.
        busy: fields.iter().take(3).sum(),
        stolen: *fields.get(7)?,
        // Guest time is contained in user time.
        all: fields.iter().take(8).sum(),
    })
}

/// The processors' number.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The type of the file system below `path`.
pub(crate) fn file_system(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(mount, _)| path.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len())
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

fn processes() -> Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let is_process = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        if !is_process {
            continue;
        }
        // A process that ended meanwhile is in its parent's account.
        if let Some(process) = std::fs::read_to_string(path.join("stat"))
            .ok()
            .and_then(|text| parse(&text))
        {
            all.push(process);
        }
    }
    Ok(all)
}

/// The group's members and their descendants.
fn family(all: &[Process], leaders: &[u32]) -> BTreeSet<u32> {
    let mut members: BTreeSet<u32> = all
        .iter()
        .filter(|process| leaders.contains(&process.group) || leaders.contains(&process.id))
        .map(|process| process.id)
        .collect();
    loop {
        let before = members.len();
        let children = all.iter().filter(|process| members.contains(&process.parent));
        let found: Vec<u32> = children.map(|process| process.id).collect();
        members.extend(found);
        if members.len() == before {
            return members;
        }
    }
}

/// proc_pid_stat(5): the name in parentheses may hold anything, so fields are counted from its end.
fn parse(text: &str) -> Option<Process> {
    let id = text.split(' ').next()?.parse().ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Process {
        id,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        own: number(11)? + number(12)?,
        waited: number(13)? + number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let text = "17 (a) b) S 5 6 7 0 -1 4 1 2 3 4 10 20 30 40 20 0 1 0 99 1 1";
        let process = parse(text).expect("a process");
        assert_eq!(
            process,
            Process {
                id: 17,
                parent: 5,
                group: 6,
                own: 30,
                waited: 70
            }
        );
        assert_eq!(parse("17 (short) S 1"), None);
    }

    #[test]
    fn children_of_other_groups_count() {
        let process = |id, parent, group| Process {
            id,
            parent,
            group,
            own: 1,
            waited: 0,
        };
        let all = [
            process(1, 0, 1),
            process(10, 1, 10),
            process(11, 10, 10),
            process(12, 11, 12),
            process(13, 1, 13),
        ];
        assert_eq!(family(&all, &[10]), BTreeSet::from([10, 11, 12]));
    }

    #[test]
    fn stolen_time_is_the_eighth_field() {
        let ticks = parse_machine("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n").expect("ticks");
        assert_eq!((ticks.busy, ticks.stolen, ticks.all), (6, 8, 36));
    }

    #[test]
    fn this_process_is_measured() -> Result<()> {
        assert!(pss_kib(&[std::process::id()])? > 0.0);
        assert!(machine_ticks()?.all > 0);
        let scheduled = scheduled_seconds(std::process::id());
        assert!(cpu_seconds(&[std::process::id()])? >= scheduled);
        assert!(own_cpu_seconds()? >= 0.0);
        Ok(())
    }
}
