//! A terminal that tests can look at and type into: tmux.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::PATIENCE;

/// A terminal with a shell in it, gone when the test is over.
pub(crate) struct Terminal {
    server: String,
}

impl Terminal {
    /// One of 80 columns and 24 lines. `None`, and it is said, where tmux is not to be had
    /// and need not be.
    #[expect(clippy::print_stderr, reason = "says why a test is left out")]
    pub(crate) fn open() -> Option<Self> {
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        if Command::new("tmux").arg("-V").output().is_err() {
            let is_required = std::env::var("POLYPY_TMUX").is_ok_and(|value| value == "required");
            assert!(
                !is_required,
                "tmux is required and not there: apt-get install tmux"
            );
            eprintln!("skipped: tmux is not installed (apt-get install tmux)");
            return None;
        }
        let number = OPENED.fetch_add(1, Ordering::SeqCst);
        let terminal = Self {
            server: format!("polypy-{}-{number}", std::process::id()),
        };
        let path = format!("PATH={}", std::env::var("PATH").unwrap_or_default());
        let size = ["new-session", "-d", "-x", "80", "-y", "24"];
        let shell = ["env", "-i", &path, "TERM=screen", "PS1=prompt>", "sh"];
        terminal.tmux(&[&size[..], &shell].concat());
        terminal.until("a prompt", |screen| screen.contains("prompt>"));
        Some(terminal)
    }

    /// Asks tmux.
    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.server, "-f", "/dev/null"]);
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What stands on the screen.
    pub(crate) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What tmux knows of the terminal, `alternate_on` for one.
    pub(crate) fn is(&self, what: &str) -> bool {
        let flag = self.tmux(&["display-message", "-p", &format!("#{{{what}}}")]);
        flag.trim() == "1"
    }

    /// Waits until the screen is like this.
    pub(crate) fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_it(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "never: {what}\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types text, letter by letter.
    pub(crate) fn text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Presses a key by tmux's name for it.
    pub(crate) fn key(&self, name: &str) {
        self.tmux(&["send-keys", name]);
    }

    /// Types a command and has the shell run it.
    pub(crate) fn run(&self, command: &str) {
        self.text(command);
        self.key("Enter");
    }

    /// Sends a signal to what the shell runs.
    pub(crate) fn signal(&self, name: &str) {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        let children = children.unwrap();
        let child = children
            .split_whitespace()
            .next()
            .expect("the shell runs something");
        let mut kill = Command::new("kill");
        assert!(
            kill.args([&format!("-{name}"), child])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// The shell has the terminal again, as it was: its lines, its echo, its cursor.
    pub(crate) fn is_given_back(&self) {
        self.until("the shell's own screen", |_| !self.is("alternate_on"));
        self.key("Enter");
        self.run("stty -a; echo end-of-$((1+1))");
        let shown = self.until("an echo", |screen| screen.contains("end-of-2"));
        for mode in ["icanon", "echo", "isig", "opost", "icrnl"] {
            let is_on = shown.split_whitespace().any(|word| word == mode);
            assert!(is_on, "no {mode}:\n{shown}");
        }
        assert!(self.is("cursor_flag"), "the cursor is hidden");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        // It may have ended already.
        drop(command.args(["-L", &self.server, "kill-server"]).output());
    }
}
