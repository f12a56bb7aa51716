//! A real Prometheus and a real Alertmanager beside the program, as processes of
//! their own, with the files of `monitoring/`, sped up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::http;
use crate::monitoring::{self, FOLDER, sped_up};
use crate::program::Program;
use crate::tree;

/// Minutes become three seconds: fifteen seconds between two scrapes three quarters
/// of one, within which a debug build answers on a machine that others use, too.
const FASTER: u64 = 20;
/// What Grafana puts in for `$__rate_interval`: four scrapes of the configuration.
const RATE_INTERVAL: &str = "[60s]";

/// Both processes.
#[derive(Debug)]
pub struct Monitoring {
    prometheus: Program,
    alertmanager: Program,
    asked: SocketAddr,
    told: SocketAddr,
}

impl Monitoring {
    /// Starts both in a folder of their own, to scrape what answers at `target` and to
    /// notify `inbox`. `None` when one of them is not installed.
    ///
    /// # Panics
    /// When one of them does not start, or is missing where it is required.
    pub fn start(folder: &Path, target: SocketAddr, inbox: SocketAddr) -> Option<Self> {
        // Debian calls it by another name than its makers.
        let names = ["prometheus-alertmanager", "alertmanager"];
        let is_there = |name: &str| Command::new(name).arg("--version").output().is_ok();
        let alertmanager = names.into_iter().find(|name| is_there(name));
        let alertmanager = alertmanager.unwrap_or(names[0]);
        if ![alertmanager, "prometheus"]
            .into_iter()
            .all(monitoring::is_installed)
        {
            return None;
        }
        // What an earlier run left is not of this one.
        drop(std::fs::remove_dir_all(folder));
        std::fs::create_dir_all(folder.join("rules")).expect("a folder can be made");

        let file = write(folder, "alertmanager.yml", |text| {
            text.replace("localhost:5001", &inbox.to_string())
        });
        let mut command = Command::new(alertmanager);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.path={}",
                folder.join("alerts").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .arg("--cluster.listen-address=");
        let alertmanager = Program::spawn(command);
        let told = listens(&alertmanager);

        for rules in ["rules/recording.yml", "rules/alerts.yml"] {
            write(folder, rules, |text| text);
        }
        let file = write(folder, "prometheus.yml", |text| {
            let text = text.replace("localhost:8080", &target.to_string());
            text.replace("localhost:9093", &told.to_string())
        });
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("series").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .arg(format!("--query.lookback-delta={}ms", 300_000 / FASTER));
        let prometheus = Program::spawn(command);
        let asked = listens(&prometheus);
        prometheus.logs("Server is ready to receive web requests");
        Some(Self {
            prometheus,
            alertmanager,
            asked,
            told,
        })
    }

    /// What an expression comes to now: one object a series. Grafana's variables are
    /// filled in as it does.
    ///
    /// # Panics
    /// When Prometheus does not take it.
    pub async fn ask(&self, expr: &str) -> Vec<Value> {
        let expr = expr.replace("$instance", ".+");
        let expr = sped_up(&expr.replace("[$__rate_interval]", RATE_INTERVAL), FASTER);
        let path = format!("/api/v1/query?query={}", encoded(expr.trim()));
        let answer = http::get(self.asked, &path).await.expect("an answer");
        let answer = answer.json();
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        let result = answer["data"]["result"].as_array();
        result.cloned().unwrap_or_default()
    }

    /// The rules as Prometheus has them.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = http::get(self.asked, "/api/v1/rules").await;
        let answer = answer.expect("an answer").json();
        let groups = answer["data"]["groups"].as_array().cloned();
        let groups = groups.unwrap_or_default().into_iter();
        groups
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect()
    }

    /// The alerts that fire, as Alertmanager has them: name, and whether it tells
    /// someone of it (`active`) or holds it back (`suppressed`).
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn alerts(&self) -> Vec<(String, String)> {
        let answer = http::get(self.told, "/api/v2/alerts").await;
        let answer = answer.expect("an answer").json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut alerts: Vec<_> = answer
            .as_array()
            .into_iter()
            .flatten()
            .map(|alert| {
                let name = text(&alert["labels"]["alertname"]);
                (name, text(&alert["status"]["state"]))
            })
            .collect();
        alerts.sort();
        alerts
    }

    /// Stops both.
    ///
    /// # Panics
    /// When one does not end cleanly.
    pub fn stop(self) {
        self.prometheus.stop();
        self.alertmanager.stop();
    }
}

/// Writes a file of `monitoring/` into the folder, changed and sped up.
fn write(folder: &Path, name: &str, change: impl FnOnce(String) -> String) -> PathBuf {
    let text = change(tree::read(&format!("{FOLDER}/{name}")));
    let file = folder.join(name);
    std::fs::write(&file, sped_up(&text, FASTER)).expect("a file can be written");
    file
}

/// The address that either says it listens on.
fn listens(program: &Program) -> SocketAddr {
    let line = program.logs("\"Listening on\"");
    let (_, address) = line.split_once("address=").expect("an address");
    let address = address.split_whitespace().next().unwrap_or_default();
    address.parse().expect("an address")
}

/// As it stands in a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
