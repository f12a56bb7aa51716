//! Where a value came from, and what is wrong with it.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written. Later variants outrank earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The table of keys.
    Default,
    /// What `--demo` sets, for lack of anything said.
    Demo,
    /// The Rust program of which this one is a part.
    Program,
    /// A TOML file.
    File {
        /// Which one.
        path: PathBuf,
        /// Line, from one.
        line: usize,
    },
    /// A TOML file of which no line is to blame.
    WholeFile {
        /// Which one.
        path: PathBuf,
    },
    /// The environment.
    Environment {
        /// The variable.
        variable: String,
    },
    /// The command line.
    Flag {
        /// The flag, with its dashes.
        flag: String,
    },
    /// The overlay, which is set while the program runs.
    Overlay {
        /// The file that it was read from; `None` where it was handed over.
        file: Option<PathBuf>,
    },
}

impl Source {
    /// The layer's name, which says nothing of where its files are.
    pub fn layer(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Demo => "demo",
            Self::Program => "program",
            Self::File { .. } | Self::WholeFile { .. } => "file",
            Self::Environment { .. } => "environment",
            Self::Flag { .. } => "flag",
            Self::Overlay { .. } => "overlay",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Demo | Self::Program | Self::Overlay { file: None } => f.write_str(self.layer()),
            Self::File { path, line } => {
                write!(f, "{} line {line}", one_line(&path.to_string_lossy()))
            }
            Self::WholeFile { path } => {
                write!(f, "{}", one_line(&path.to_string_lossy()))
            }
            Self::Environment { variable } => write!(f, "environment {}", one_line(variable)),
            Self::Flag { flag } => write!(f, "flag {flag}"),
            Self::Overlay { file: Some(file) } => {
                write!(f, "overlay {}", one_line(&file.to_string_lossy()))
            }
        }
    }
}

/// Something that a person has to correct. Displays as `key: reason (source)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason} ({source_of_value})", one_line(key))]
pub struct Mistake {
    /// The key, or what was written in its place.
    pub key: String,
    /// What is wrong, and what would be right.
    pub reason: String,
    /// Where it was written.
    pub source_of_value: Source,
}

impl Mistake {
    pub(super) fn new(key: impl Into<String>, reason: impl Into<String>, source: &Source) -> Self {
        Self {
            key: key.into(),
            reason: reason.into(),
            source_of_value: source.clone(),
        }
    }
}

/// Text of unknown origin, without what would move a terminal's cursor.
fn one_line(text: &str) -> impl fmt::Display {
    text.escape_debug()
}

/// Every mistake of a configuration, found in one reading. Displays one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// `None` when there is nothing to correct.
    pub(super) fn of(mistakes: Vec<Mistake>) -> Option<Self> {
        Some(Self { mistakes }).filter(|error| !error.mistakes.is_empty())
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// The mistakes, in the order of the layers.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
