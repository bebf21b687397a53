//! What keeps the house in order, in Rust: `cargo xtask CHECK`. The same checks run in `cargo test -p xtask`.
//!
//! Owns the level table of the crates, the tidy rules, the licence and ban list, the table of RFCs, and the
//! freshness of generated documentation. Changes nothing but with `docs --write`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command for developers; it prints.

mod docs;
mod fuzz;
mod layers;
mod licences;
mod metadata;
mod proof;
mod rfcs;
mod simulate;
mod source;
mod tidy;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks of the house rules.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every check below.
    Check,
    /// Each crate depends only on what the table of ARCHITECTURE.md allows.
    Layers,
    /// Head comments, file sizes, unsafe code, words that do not belong here.
    Tidy,
    /// Every dependency has a permissive licence and none is banned.
    Licences,
    /// docs/rfcs.tsv agrees with the RFCs that the code cites.
    Rfcs,
    /// Every test that docs/proof-*.md name exists.
    Proof,
    /// Every fuzz target has its body, its entry, and a test that runs it.
    Fuzz,
    /// The generated reference pages are fresh; `--write` makes them so.
    Docs {
        /// Write the pages instead of comparing them.
        #[arg(long)]
        write: bool,
    },
    /// Runs many schedules of the simulation of synchronisation: `cargo xtask simulate --seeds 100000`.
    Simulate {
        /// How many schedules.
        #[arg(long, default_value_t = 20_000)]
        seeds: u64,
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        start: u64,
    },
}

/// The root of the checkout.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

fn main() -> ExitCode {
    let root = root();
    let command = Cli::parse().command;
    if let Command::Simulate { seeds, start } = command {
        return match simulate::run(&root, seeds, start) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("xtask: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let result = match command {
        // Done above.
        Command::Simulate { .. } => Ok(Vec::new()),
        Command::Check => [
            layers::check(&root),
            tidy::check(&root),
            licences::check(&root),
            rfcs::check(&root),
            proof::check(&root),
            fuzz::check(&root),
            docs::check(&root),
        ]
        .into_iter()
        .try_fold(Vec::new(), |mut all, found| {
            all.extend(found?);
            Ok(all)
        }),
        Command::Layers => layers::check(&root),
        Command::Tidy => tidy::check(&root),
        Command::Licences => licences::check(&root),
        Command::Rfcs => rfcs::check(&root),
        Command::Proof => proof::check(&root),
        Command::Fuzz => fuzz::check(&root),
        Command::Docs { write: true } => docs::write(&root).map(|()| Vec::new()),
        Command::Docs { write: false } => docs::check(&root),
    };
    match result {
        Ok(problems) if problems.is_empty() => {
            println!("in order");
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            eprintln!("{} to mend", problems.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_in_order(problems: anyhow::Result<Vec<String>>) {
        let problems = problems.expect("the check runs");
        assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    }

    #[test]
    fn layers_hold() {
        assert_in_order(layers::check(&root()));
    }

    #[test]
    fn tree_is_tidy() {
        assert_in_order(tidy::check(&root()));
    }

    #[test]
    fn fuzz_targets_are_whole() {
        assert_in_order(fuzz::check(&root()));
    }

    #[test]
    fn licences_are_permissive() {
        assert_in_order(licences::check(&root()));
    }

    #[test]
    fn rfc_table_is_true() {
        assert_in_order(rfcs::check(&root()));
    }

    #[test]
    fn promises_have_their_tests() {
        assert_in_order(proof::check(&root()));
    }

    #[test]
    fn generated_docs_are_fresh() {
        assert_in_order(docs::check(&root()));
    }
}
