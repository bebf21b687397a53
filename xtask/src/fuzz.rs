//! The fuzz targets are a workspace of their own, which the tests do not build. What can go wrong there is kept small:
//! a target is a line that calls a body, and the body is built and run by the tests of the crate that owns the decoder.
//! This check compares the two sides.

use crate::source::{Source, files};
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    Ok(judge(&files(root)?))
}

/// The whole of a target, after its head comment.
fn whole(name: &str) -> String {
    format!(
        "#![no_main]\n\n#[path = \"../bodies/{name}.rs\"]\nmod body;\n\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));\n"
    )
}

fn judge(files: &[Source]) -> Vec<String> {
    let stem = |path: &str, folder: &str| -> Option<String> {
        let name = path.strip_prefix(folder)?.strip_suffix(".rs")?;
        (!name.contains('/')).then(|| name.to_owned())
    };
    let named = |folder: &str| -> BTreeSet<String> {
        let stems = files.iter().filter_map(|file| stem(&file.path, folder));
        stems.collect()
    };
    let (targets, mut bodies) = (named("fuzz/fuzz_targets/"), named("fuzz/bodies/"));
    // What the tests make of the seeds.
    bodies.remove("mutations");
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| &file.text);
    let mut problems = Vec::new();
    for name in targets.union(&bodies) {
        let mut expect = |there: bool, what: &str| {
            if !there {
                problems.push(format!("fuzz target {name}: {what}"));
            }
        };
        let target = text(&format!("fuzz/fuzz_targets/{name}.rs"));
        expect(
            target.is_some_and(|target| target.ends_with(&whole(name))),
            "fuzz/fuzz_targets has no file that is a call of its body and nothing more",
        );
        let body = text(&format!("fuzz/bodies/{name}.rs"));
        expect(
            body.is_some_and(|body| body.contains("pub(crate) fn run(data: &[u8])")),
            "fuzz/bodies has no `pub(crate) fn run(data: &[u8])` of that name",
        );
        let manifest = text("fuzz/Cargo.toml");
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        expect(
            manifest.is_some_and(|manifest| manifest.contains(&path)),
            "fuzz/Cargo.toml has no [[bin]] for it",
        );
        let (path, call) = (format!("fuzz/bodies/{name}.rs\"]"), format!("{name}::run)"));
        let tested = files
            .iter()
            .filter(|file| file.path.starts_with("crates/"))
            .any(|file| file.text.contains(&path) && file.text.contains(&call));
        expect(tested, "no test runs its body over its seeds");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_all_its_parts() {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let all = [
            source("fuzz/fuzz_targets/a.rs", &format!("//! A.\n{}", whole("a"))),
            source("fuzz/bodies/a.rs", "pub(crate) fn run(data: &[u8]) {}"),
            source("fuzz/bodies/mutations.rs", ""),
            source("fuzz/Cargo.toml", "path = \"fuzz_targets/a.rs\""),
            source(
                "crates/x/tests/it/mutated.rs",
                "#[path = \"../fuzz/bodies/a.rs\"] mod a; each(\"a\", 1, a::run);",
            ),
        ];
        assert_eq!(judge(&all), Vec::<String>::new());
        for missing in [0, 1, 3, 4] {
            let mut all: Vec<&Source> = all.iter().collect();
            all.remove(missing);
            let all: Vec<Source> = all.iter().map(|file| source(&file.path, &file.text)).collect();
            assert_eq!(judge(&all).len(), 1, "{missing}");
        }
    }
}
