//! The modules that a log directive may name: those in which something is logged.
//!
//! A directive for another one would match nothing, and nobody would learn it. What
//! stands below a module is not checked.

/// Each crate of this program that logs, with its modules that do.
pub(super) const LOG_TARGETS: &[(&str, &[&str])] = &[
    (
        "polypy",
        &[
            "app", "demo", "limits", "logging", "recorded", "run", "runtime", "secrets", "signals",
            "sim", "systemd",
        ],
    ),
    ("polypy_api", &["component", "door", "hub", "read"]),
    (
        "polypy_archive",
        &[
            "checkpoints",
            "files",
            "flight",
            "recorder",
            "stall",
            "writer",
            "writer_losses",
        ],
    ),
    // Logs nothing so far.
    ("polypy_core", &[]),
    (
        "polypy_http",
        &[
            "accept",
            "builder",
            "connection",
            "market_list",
            "reply",
            "responder",
            "server",
            "socket",
        ],
    ),
    (
        "polypy_net",
        &[
            "audit",
            "batch",
            "clob",
            "connection",
            "gamma",
            "lifecycle",
            "pool",
            "recycler",
            "rest",
            "task",
            "wire",
        ],
    ),
    (
        "polypy_sim",
        &[
            "delivery",
            "disturbance",
            "fault_set",
            "feed",
            "listed",
            "player",
            "reading",
            "server",
            "sim",
            "socket",
            "world",
        ],
    ),
    (
        "polypy_workers",
        &["manager", "offline", "router", "worker"],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;

    /// The modules of a crate that have a line for the log.
    fn logging(source: &Path) -> BTreeSet<String> {
        let mut modules = BTreeSet::new();
        let mut folders = vec![source.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let below = path.strip_prefix(source).unwrap().to_str().unwrap();
                if below.contains("test") || below.contains("fake") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let module = below.split('/').next().unwrap().trim_end_matches(".rs");
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod").next().unwrap();
                let levels = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
                let logs = levels.iter().any(|level| code.contains(level));
                if logs && !["lib", "main"].contains(&module) {
                    modules.insert(module.to_owned());
                }
            }
        }
        modules
    }

    #[test]
    fn every_module_that_logs_may_be_named() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = BTreeMap::new();
        for (name, _) in LOG_TARGETS {
            let folder = match *name {
                "polypy" => "polypy-bin".to_owned(),
                name => name.replace('_', "-"),
            };
            found.insert(*name, logging(&root.join(folder).join("src")));
        }
        let listed: BTreeMap<_, BTreeSet<_>> = LOG_TARGETS
            .iter()
            .map(|(name, modules)| {
                let modules = modules.iter().map(|module| (*module).to_owned());
                (*name, modules.collect())
            })
            .collect();
        assert_eq!(listed, found, "LOG_TARGETS lists the modules that log");
    }
}
