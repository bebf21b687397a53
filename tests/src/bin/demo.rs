//! `./demo`: the main job on real input, shown step by step; `--check` verifies and leaves.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A demonstration prints.

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;
use std::sync::mpsc;
use system_tests::{Cluster, ClusterOptions, FRONT, HOMES, steps};
use tokio::signal::unix::{SignalKind, signal};

/// A directory, a front end and two back ends; then the main job, step by step.
#[derive(Debug, Parser)]
struct Cli {
    /// Do everything without staying; exit 0 only when every step held.
    #[arg(long)]
    check: bool,
    /// The first of ten ports in a row on 127.0.0.1.
    #[arg(long, default_value_t = 10025, value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    base_port: u16,
    /// How many people live in the directory.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(40..=20_000))]
    people: u16,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // EX_USAGE, as ./demo says for its own arguments.
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    // A check takes ports that are free, so that it runs beside a demo and on a busy machine.
    let base_port = if cli.check { 0 } else { cli.base_port };
    println!(
        "starting a directory with {} people, two back ends and a front end ...",
        cli.people
    );
    let options = ClusterOptions {
        people: usize::from(cli.people),
        base_port,
        multi_home: "parallel",
    };
    let interrupt = Interrupt::install()?;
    let mut cluster = Cluster::start(&options)?;
    print_addresses(&cluster);
    let total = steps::STEPS.len();
    for (index, step) in steps::STEPS.iter().enumerate() {
        if interrupt.came() {
            println!("interrupted; nothing is left behind");
            return Ok(false);
        }
        match (step.run)(&mut cluster) {
            Ok(seen) => println!(
                "[{:>2}/{total}] ok    {}\n              {seen}",
                index + 1,
                step.title
            ),
            Err(error) => {
                println!(
                    "[{:>2}/{total}] FAILED {}\n              {error:#}",
                    index + 1,
                    step.title
                );
                println!("\n{}", cluster.log_tails());
                return Ok(false);
            }
        }
    }
    println!("\nall {total} steps held");
    if !cli.check {
        print_things_to_try(&cluster);
        interrupt.wait();
        println!("\nstopping; nothing is left behind");
    }
    Ok(true)
}

fn print_addresses(cluster: &Cluster) {
    let row = |name: &str, ports: system_tests::Ports| {
        println!(
            "  {name:<24} smtp {:<6} imap {:<6} pop3 {:<6}",
            ports.smtp, ports.imap, ports.pop3
        );
    };
    println!("\non 127.0.0.1, ports:");
    row(FRONT, cluster.front_ports);
    for (name, ports) in HOMES.iter().zip(&cluster.home_ports) {
        row(name, *ports);
    }
    println!("  {:<24} ldap {}", "directory", cluster.slapd.port);
    println!(
        "  {} with the password {}",
        cluster.slapd.root.dn, cluster.slapd.root.password
    );
    println!("\neveryone's password is their name and \"-secret\":");
    for person in cluster.people.persons.iter().take(4) {
        println!(
            "  {:<28} {:<16} lives on {}",
            person.mail, person.password, person.host
        );
    }
    println!(
        "  ... {} people and {} groups in all\n",
        cluster.people.persons.len(),
        cluster.people.groups.len()
    );
}

fn print_things_to_try(cluster: &Cluster) {
    let (front, ldap) = (cluster.front_ports, &cluster.slapd);
    let config = cluster.front.config();
    let (config, binary) = (config.display(), cluster.binary.path().display());
    println!(
        "\nthings to try:\n  \
         curl -u alice@localdomain.test:alice-secret 'imap://127.0.0.1:{imap}/INBOX;MAILINDEX=1'\n  \
         printf 'Subject: hello\\n\\nHello Bob\\n' | curl smtp://127.0.0.1:{smtp} --crlf --mail-from you@example.test --mail-rcpt bob@localdomain.test -T -\n  \
         ldapsearch -x -H {uri} -D {dn} -w {password} -b {suffix} mail=alice@localdomain.test mailHost\n  \
         {binary} route explain alice@localdomain.test --config {config}",
        imap = front.imap,
        smtp = front.smtp,
        uri = ldap.uri(),
        dn = ldap.root.dn,
        password = ldap.root.password,
        suffix = ldap.suffix,
    );
    for (home, name) in cluster.homes.iter().zip(HOMES) {
        println!(
            "  {binary} sync status --config {}   # {name}",
            home.config().display()
        );
    }
    println!("\neach server's homing.log lies beside its homing.toml");
    println!("\nCtrl-C ends it all.");
}

/// Tells when the user wants to stop. From the first moment on a signal does not end the process, for the
/// servers' folders must be removed first.
struct Interrupt(mpsc::Receiver<()>);

impl Interrupt {
    fn install() -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let _entered = runtime.enter();
        let mut signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        std::thread::spawn(move || {
            runtime.block_on(async {
                let [interrupt, terminate, hangup] = &mut signals;
                loop {
                    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
                    let _ = sender.send(());
                }
            });
        });
        Ok(Self(receiver))
    }

    fn came(&self) -> bool {
        self.0.try_recv().is_ok()
    }

    fn wait(&self) {
        let _ = self.0.recv();
    }
}
