//! The command line, the configuration's mistakes and the exit codes, against
//! the built program.

use crate::process::{output, polypy};

#[test]
fn version_is_data() {
    let (code, stdout, stderr) = output(&mut polypy(&["--version"]));
    assert_eq!(code, 0);
    assert_eq!(stdout, format!("polypy {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(stderr, "");
}

#[test]
fn help_names_commands_examples_and_exit_codes() {
    let (code, stdout, _) = output(&mut polypy(&["--help"]));
    assert_eq!(code, 0);
    for text in [
        "run",
        "sim",
        "check-config",
        "polypy run --demo",
        "78 ",
        "130 ",
    ] {
        assert!(stdout.contains(text), "{text}");
    }
}

#[test]
fn long_help_of_run_names_every_key_with_its_variable() {
    let (code, stdout, _) = output(&mut polypy(&["run", "--help"]));
    assert_eq!(code, 0);
    // Lines are wrapped, so words are compared.
    let words: std::collections::HashSet<&str> = stdout
        .split(|c: char| c.is_whitespace() || "[]=<>".contains(c))
        .collect();
    for key in polypy::config::KEYS {
        let flag = format!("--{}", key.flag());
        assert!(words.contains(flag.as_str()), "{flag}");
        assert!(words.contains(key.env().as_str()), "{}", key.env());
    }
}

#[test]
fn short_help_of_run_is_short() {
    let (_, stdout, _) = output(&mut polypy(&["run", "-h"]));
    assert!(stdout.contains("--demo"));
    assert!(stdout.contains("HTTP_PORT"));
    assert!(!stdout.contains("--pool-pong-deadline"));
}

#[test]
fn nothing_typed_is_a_question_for_help() {
    let (code, stdout, stderr) = output(&mut polypy(&[]));
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("Usage: polypy"));
}

#[test]
fn an_unknown_flag_is_a_usage_error_with_a_suggestion() {
    let (code, _, stderr) = output(&mut polypy(&["run", "--http-prot", "1"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("--http-port"), "{stderr}");
}

#[test]
fn an_unknown_command_is_a_usage_error_with_a_suggestion() {
    for (typed, meant) in [("rn", "run"), ("smi", "sim"), ("check", "check-config")] {
        let (code, _, stderr) = output(&mut polypy(&[typed]));
        assert_eq!(code, 2);
        assert!(stderr.contains(&format!("'{meant}'")), "{stderr}");
    }
}

#[test]
fn a_number_below_zero_hides_no_other_mistake() {
    let (code, _, stderr) = output(&mut polypy(&[
        "check-config",
        "--sim-seed",
        "-1",
        "--http-port",
        "99999",
    ]));
    assert_eq!(code, 78);
    for line in [
        "sim.seed: must be a whole number from 0 on, not \"-1\" (flag --sim-seed)",
        "http.port: must be a whole number from 0 to 65535, not \"99999\" (flag --http-port)",
        "2 mistakes in the configuration",
    ] {
        assert!(
            stderr.lines().any(|found| found == line),
            "{line}\n{stderr}"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_entered_is_passed_over_and_a_file_that_cannot_be_read_is_not() {
    let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("a home");
    drop(std::fs::remove_dir_all(&home));
    std::fs::create_dir_all(&home).unwrap();
    // Nobody enters a link to itself, whatever his rights.
    std::os::unix::fs::symlink(".config", home.join(".config")).unwrap();
    let check = || {
        let mut command = polypy(&["check-config"]);
        output(command.env("HOME", &home))
    };
    let (code, _, stderr) = check();
    assert_eq!(code, 0, "{stderr}");
    std::fs::remove_file(home.join(".config")).unwrap();
    std::fs::create_dir_all(home.join(".config/polypy/polypy.toml")).unwrap();
    let (code, _, stderr) = check();
    assert_eq!(code, 78);
    assert!(stderr.contains("file: cannot be read: "), "{stderr}");
}

#[test]
fn check_config_names_all_mistakes_at_once() {
    let mut command = polypy(&["check-config", "--log-format", "xml"]);
    command
        .env("HTTP_PORT", "70000")
        .env("POLYPY_POOL__TARQET", "1");
    let (code, stdout, stderr) = output(&mut command);
    assert_eq!((code, stdout.as_str()), (78, ""));
    for line in [
        "http.port: must be a whole number from 0 to 65535, not \"70000\" (environment HTTP_PORT)",
        "POLYPY_POOL__TARQET: unknown key, did you mean POLYPY_POOL__TARGET? (environment POLYPY_POOL__TARQET)",
        "log.format: must be auto, text or json, not \"xml\" (flag --log-format)",
        "3 mistakes in the configuration",
    ] {
        assert!(
            stderr.lines().any(|found| found == line),
            "{line}\n{stderr}"
        );
    }
}

#[test]
fn run_refuses_what_check_config_refuses() {
    let (code, _, stderr) = output(&mut polypy(&["run", "--demo", "--http-port", "http"]));
    assert_eq!(code, 78);
    assert!(stderr.contains("http.port: "), "{stderr}");
    assert!(stderr.contains("(flag --http-port)"), "{stderr}");
}

#[test]
fn keys_that_contradict_each_other_are_named_with_their_origin() {
    let (code, _, stderr) = output(&mut polypy(&["check-config", "--pool-cap", "100"]));
    assert_eq!(code, 78);
    assert!(
        stderr.contains("pool.cap: must be at least pool.target (200), not 100 (flag --pool-cap)"),
        "{stderr}"
    );
}

#[test]
fn a_missing_file_that_was_asked_for_is_a_mistake() {
    let (code, _, stderr) = output(&mut polypy(&["check-config", "--config", "no/such.toml"]));
    assert_eq!(code, 78);
    assert!(stderr.contains("file: cannot be read: "), "{stderr}");
    assert!(stderr.contains("no/such.toml"), "{stderr}");
}

#[test]
fn of_a_place_that_cannot_be_looked_at_nobody_says_that_there_is_no_file() {
    // What the system says of a folder that is somebody else's, it says of such a name as well.
    let place = format!("/{}", "x".repeat(300));
    let mut command = polypy(&["check-config"]);
    command.env("XDG_CONFIG_HOME", &place);
    let (code, stdout, stderr) = output(&mut command);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    let told = format!("whether there is {place}/polypy/polypy.toml is not known");
    assert!(stderr.contains(&told), "{stderr}");
    assert!(
        stderr.contains("passed over: File name too long"),
        "{stderr}"
    );
    let verdict = "what could be read of the configuration is valid; no file was read";
    assert!(stderr.ends_with(&format!("{verdict}\n")), "{stderr}");
}

#[test]
fn blanks_and_commas_alone_do_not_mean_everything() {
    let mut command = polypy(&["check-config"]);
    command.env("POLYPY_MARKETS__TAGS", ", ,");
    let (code, _, stderr) = output(&mut command);
    assert_eq!(code, 78, "{stderr}");
    assert!(
        stderr.contains("markets.tags: has nothing but blanks and commas"),
        "{stderr}"
    );
    assert!(
        stderr.contains("(environment POLYPY_MARKETS__TAGS)"),
        "{stderr}"
    );
}

#[test]
fn a_script_with_mistakes_is_refused_with_its_file_and_lines() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.toml");
    let text = "[[step]]\nat = \"1s\"\nfault = \"stall_asse\"\n\n[[step]]\nat = 3\n";
    std::fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap();
    for command in [
        &["sim", "--markets=5", "--script", name][..],
        &["run", "--demo", "--http-port=0", "--script", name],
    ] {
        let (code, stdout, stderr) = output(&mut polypy(command));
        assert_eq!((code, stdout.as_str()), (78, ""), "{stderr}");
        assert!(stderr.contains("faults.toml"), "{stderr}");
        assert!(stderr.contains("line 3: fault: no fault"), "{stderr}");
        assert!(stderr.contains("line 6: at: "), "{stderr}");
        assert!(stderr.contains("line 5: fault: missing"), "{stderr}");
    }
}

#[test]
fn what_a_file_says_cannot_steer_the_terminal() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile.toml");
    let text = "[http]\n\"po\\u001b[2Jrt\" = 1\nhost = \"\\u001b[31m\"\n\\u001b";
    std::fs::write(&file, text).unwrap();
    let mut command = polypy(&["check-config", "--config"]);
    command.arg(&file).env("POLYPY_\u{1b}[2J", "1");
    let (code, _, stderr) = output(&mut command);
    assert_eq!(code, 78);
    assert!(stderr.contains("\\u{1b}[2J"), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
}

#[test]
fn check_config_prints_values_with_their_origin() {
    let mut command = polypy(&["check-config", "--print", "--enable-http"]);
    command.env("HTTP_PORT", "9090").env("LOG_LEVEL", "WARNING");
    let (code, stdout, stderr) = output(&mut command);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let line = |start: &str| {
        let found = stdout.lines().find(|line| line.starts_with(start));
        let words = found.expect(start).split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("http.enabled"),
        "http.enabled = true # flag --enable-http"
    );
    assert_eq!(
        line("http.port"),
        "http.port = 9090 # environment HTTP_PORT"
    );
    assert_eq!(
        line("log.level"),
        "log.level = \"warn\" # environment LOG_LEVEL"
    );
    assert_eq!(line("pool.target"), "pool.target = 200 # default");
    assert_eq!(stdout.lines().count(), polypy::config::KEYS.len());
}

#[test]
fn the_example_file_is_valid_and_changes_nothing() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../polypy.example.toml");
    let print = |args: &[&str]| {
        let (code, stdout, stderr) = output(&mut polypy(args));
        assert_eq!(code, 0, "{stderr}");
        let values = stdout.lines().map(|line| line.split("  #").next());
        values
            .map(|value| value.unwrap().trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        print(&["check-config", "--print", "--config", example]),
        print(&["check-config", "--print"])
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let program = env!("CARGO_BIN_EXE_polypy");
    let script = format!("'{program}' check-config --print | head -n 1; echo ${{PIPESTATUS[0]}}");
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.ends_with("\n0\n"), "{stdout}");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_has_its_own_code() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = polypy(&["check-config", "--print"]);
    let status = command.stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(74));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_is_closed_is_not_taken_for_written() {
    let run = |redirection: &str| {
        let program = env!("CARGO_BIN_EXE_polypy");
        let script = format!("exec '{program}' check-config --print {redirection}");
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &script]).env_clear();
        shell.status().unwrap().code()
    };
    assert_eq!(run(">&-"), Some(74));
    assert_eq!(run(">/dev/null"), Some(0));
}

#[test]
fn a_proxy_of_the_environment_is_taken_and_its_password_not_shown() {
    let mut command = polypy(&["check-config", "--print"]);
    command
        .env("HTTPS_PROXY", "http://user:secret@proxy:3128")
        .env("NO_PROXY", "localhost,.svc,10.0.0.0/8");
    let (code, printed, said) = output(&mut command);
    assert_eq!(code, 0, "{said}");
    let line = "venue.proxy = \"http://user:***@proxy:3128\"";
    assert!(printed.contains(line), "{printed}");
    assert!(!printed.contains("secret") && !said.contains("secret"));

    // curl and Go read the lower-case names, too; what is written in full counts more.
    let printed_with = |variables: &[(&str, &str)]| {
        let mut command = polypy(&["check-config", "--print"]);
        let (code, printed, said) = output(command.envs(variables.iter().copied()));
        assert_eq!(code, 0, "{said}");
        printed
    };
    let lower = printed_with(&[("https_proxy", "low:1"), ("no_proxy", "a.example")]);
    assert!(lower.contains("venue.proxy = \"http://low:1\""), "{lower}");
    assert!(lower.contains("venue.no_proxy = \"a.example\""), "{lower}");
    let both = printed_with(&[("https_proxy", "low:1"), ("HTTPS_PROXY", "high:1")]);
    assert!(both.contains("venue.proxy = \"http://high:1\""), "{both}");
    let other = printed_with(&[("http_port", "1"), ("log_level", "x")]);
    assert!(other.contains("http.port = 8080"), "{other}");

    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-certificate.pem");
    std::fs::write(&file, "nothing").unwrap();
    let flag = format!("--venue-ca-file={}", file.display());
    let (code, _, said) = output(&mut polypy(&["run", &flag]));
    assert_eq!(code, 78, "{said}");
    assert!(
        said.contains("venue.ca_file") && said.contains("no certificate"),
        "{said}"
    );
}

#[test]
fn what_run_would_refuse_is_refused_by_the_check() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let script = folder.join("no-faults.toml");
    std::fs::write(&script, "[[fault]]\nkind = \"no_such_fault\"\n").unwrap();
    let script = format!("--script={}", script.display());
    for (flags, named) in [
        (&["--script=no/such.toml"][..], "no/such.toml"),
        (&[&script], "no-faults.toml"),
        (&["--sim-playback=no/such.jsonl"], "no/such.jsonl"),
        (&["--enable-http", "--http-tcp=false"], "http.unix_socket"),
    ] {
        for command in ["check-config", "run"] {
            let mut arguments = vec![command];
            if command == "run" && !flags[0].contains("http") {
                arguments.push("--demo");
            }
            arguments.extend(flags);
            let (code, _, said) = output(&mut polypy(&arguments));
            assert_eq!(code, 78, "{arguments:?}: {said}");
            assert!(said.contains(named), "{arguments:?}: {said}");
        }
    }
    // With a file to listen at there is no need of TCP, nor without a server.
    let socket = ["--enable-http", "--http-tcp=false", "--http-unix-socket=a"];
    for flags in [&socket[..], &["--http-tcp=false"]] {
        let arguments: Vec<_> = std::iter::once(&"check-config").chain(flags).collect();
        let arguments: Vec<_> = arguments.into_iter().copied().collect();
        let (code, _, said) = output(&mut polypy(&arguments));
        assert_eq!(code, 0, "{arguments:?}: {said}");
    }
}

#[test]
fn man_pages_and_completions_have_what_the_help_has() {
    let folder = std::env::temp_dir().join(format!("polypy-generate-{}", std::process::id()));
    let name = folder.to_str().unwrap();
    let (code, stdout, stderr) = output(&mut polypy(&["generate", name, "--date=2026-11-30"]));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", ""));
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let page = read("man/polypy-run.1").replace("\\-", "-");
    let version = env!("CARGO_PKG_VERSION");
    let title = format!(".TH polypy-run 1 2026-11-30 \"polypy {version}\" PolyPy");
    assert!(page.contains(&title), "{page:.200}");
    let (bash, zsh) = (read("completions/polypy.bash"), read("completions/_polypy"));
    let fish = read("completions/polypy.fish");
    for key in polypy::config::KEYS {
        let flag = format!("--{}", key.flag());
        let at = page.find(&format!("\\fB{flag}\\fR")).expect(key.name);
        assert!(page[at..].contains(&key.env()), "{flag} says what it is");
        assert!(bash.contains(&flag) && zsh.contains(&flag), "{flag}");
        assert!(fish.contains(&key.flag()), "{flag}");
    }
    // Neither what is hidden nor former names.
    assert!(!folder.join("man/polypy-generate.1").exists());
    assert!(!page.contains("lifecycle-max-markets"));
    std::fs::remove_dir_all(folder).unwrap();
    let (code, _, stderr) = output(&mut polypy(&["generate", "/dev/null/a"]));
    assert_eq!(code, 74);
    assert!(
        stderr.contains("/dev/null/a cannot be written to"),
        "{stderr}"
    );
}
