//! What is wrong with a configuration file, shown with the line it stands on.

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity, SourceCode,
};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One thing that is wrong in a file.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// The dotted path of the key, empty when the file as a whole is meant.
    pub(crate) key: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
    /// Bytes of the file that it is about.
    pub(crate) span: Option<Range<usize>>,
}

/// Everything that is wrong with a file.
#[derive(Debug)]
pub(crate) struct ConfigErrors {
    path: PathBuf,
    source: Arc<NamedSource<String>>,
    text: String,
    problems: Vec<Problem>,
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    pub(crate) fn new(path: &Path, text: &str, problems: Vec<Problem>) -> Self {
        let name = path.display().to_string();
        let source = Arc::new(NamedSource::new(name, text.to_owned()).with_language("toml"));
        Self {
            path: path.to_owned(),
            source,
            text: text.to_owned(),
            problems,
        }
    }

    /// For `--json`: a list of `{file, line, column, key, message}`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "problems": self.rows() })
    }

    /// The items of that list.
    pub(crate) fn rows(&self) -> Vec<serde_json::Value> {
        let rows = self.problems.iter().map(|problem| {
            let (line, column) = self.position(problem);
            serde_json::json!({
                "file": self.path.display().to_string(), "line": line, "column": column,
                "key": problem.key, "message": problem.message,
            })
        });
        rows.collect()
    }

    /// `file:line:column: key: message` for each problem.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.problems.iter().map(|problem| self.line(problem)).collect()
    }

    fn line(&self, problem: &Problem) -> String {
        let (line, column) = self.position(problem);
        let colon = if problem.key.is_empty() { "" } else { ": " };
        let (path, key) = (self.path.display(), &problem.key);
        format!("{path}:{line}:{column}: {key}{colon}{}", problem.message)
    }

    /// Line and column, from 1.
    fn position(&self, problem: &Problem) -> (usize, usize) {
        let start = problem
            .span
            .as_ref()
            .map_or(0, |span| span.start)
            .min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, start - line_start + 1)
    }
}

/// `file:line:column: key: message` for each problem, then the lines themselves.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
        for problem in &self.problems {
            writeln!(f, "{}", self.line(problem))?;
            if problem.span.is_some() {
                let mut snippet = String::new();
                let shown = Shown {
                    problem,
                    source: Arc::clone(&self.source),
                };
                handler.render_report(&mut snippet, &shown)?;
                // The first lines repeat the message; what is wanted is the file's own line.
                let from = snippet
                    .find("╭─")
                    .map_or(0, |at| snippet[..at].rfind('\n').map_or(0, |n| n + 1));
                f.write_str(snippet.get(from..).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// A problem as the library wants to see it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: Arc<NamedSource<String>>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Error)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, span))))
    }
}
