// SPDX-License-Identifier: Apache-2.0
//! What many events say together: sessions, process trees, what was touched, what was denied most. Nothing is told that
//! no event says.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use lictor_api::alert::ChainLink;
use lictor_api::control::Mode;
use lictor_api::event::{Action, Event, Kind, ProcessOp, Tier, Verdict};
use lictor_api::view::{
    Evidence, Overview, ProcessNode, ProcessState, SessionRow, TimelineBucket, TopDenial, Touched, TouchedAddress,
    TouchedFile, TouchedProgram, VerdictBucket,
};
use lictor_engine::policy;
use lictor_judge::counters::RuleCounts;

/// Buckets of a time line.
const BUCKETS: i64 = 60;
const TOP: usize = 20;
const TOUCHED: usize = 1000;
/// A process starts others that start others; the tree that is shown goes so deep, what is below is shown there.
const DEPTH: usize = 64;

fn time_of(event: &Event) -> Option<Timestamp> {
    event.time.parse().ok()
}

/// Equal parts of a time, and which part something falls into.
struct Buckets {
    start: Timestamp,
    width_ms: i64,
    count: usize,
}

impl Buckets {
    fn new(start: Timestamp, end: Timestamp) -> Buckets {
        let span_ms = (end.as_millisecond() - start.as_millisecond()).max(0);
        let width_ms = (span_ms / BUCKETS + 1).max(1000);
        let count = usize::try_from(span_ms / width_ms + 1).unwrap_or(1);
        Buckets { start, width_ms, count }
    }

    fn of(&self, time: Timestamp) -> Option<usize> {
        let ms = time.as_millisecond() - self.start.as_millisecond();
        usize::try_from(ms.div_euclid(self.width_ms)).ok().filter(|bucket| *bucket < self.count)
    }

    /// When each begins.
    fn times(&self) -> impl Iterator<Item = String> {
        (0..self.count as i64).map(|bucket| {
            let begin = self.start.checked_add(SignedDuration::from_millis(bucket * self.width_ms));
            format!("{:.3}", begin.unwrap_or(self.start))
        })
    }
}

pub(super) fn overview<'e>(
    events: impl DoubleEndedIterator<Item = &'e Event> + Clone,
    since: Timestamp,
    now: Timestamp,
) -> Overview {
    let wanted = events.filter(|event| time_of(event).is_some_and(|time| time >= since));
    let first = wanted.clone().filter_map(time_of).min().unwrap_or(now);
    let buckets = Buckets::new(first.max(since), now);
    let mut verdicts: Vec<VerdictBucket> =
        buckets.times().map(|time| VerdictBucket { time, ..VerdictBucket::default() }).collect();
    let mut denials: HashMap<String, TopDenial> = HashMap::new();
    let mut lost = 0;
    for event in wanted {
        lost += event.lost.as_ref().map_or(0, |lost| lost.count);
        let Some(verdict) = &event.verdict else { continue };
        if let Some(bucket) = time_of(event).and_then(|time| buckets.of(time)) {
            let bucket = &mut verdicts[bucket];
            *match verdict.action {
                Action::Allow => &mut bucket.allow,
                Action::Deny => &mut bucket.deny,
                Action::Alert => &mut bucket.alert,
                Action::Kill => &mut bucket.kill,
                Action::Hold => &mut bucket.hold,
            } += 1;
        }
        if event.is_denied() {
            let rule = verdict.rule.clone().unwrap_or_else(|| verdict.tier.to_string());
            let denial = denials.entry(rule.clone()).or_insert_with(|| TopDenial {
                rule,
                count: 0,
                last: String::new(),
                example_event: String::new(),
            });
            denial.count += 1;
            denial.last.clone_from(&event.time);
            denial.example_event.clone_from(&event.id);
        }
    }
    let mut top_denials: Vec<TopDenial> = denials.into_values().collect();
    top_denials.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.rule.cmp(&other.rule)));
    top_denials.truncate(TOP);
    Overview { verdicts, top_denials, sessions: 0, alerts_open: None, lost }
}

/// Newest first.
pub(super) fn sessions<'e>(events: impl Iterator<Item = &'e Event>) -> Vec<SessionRow> {
    /// Pid and start time.
    type Running = HashSet<(u32, Option<u64>)>;
    let mut rows: HashMap<&str, (SessionRow, Running)> = HashMap::new();
    for event in events {
        let Some(id) = &event.session else { continue };
        let (row, running) = rows.entry(id).or_insert_with(|| (first_of(id, event), HashSet::new()));
        row.events += 1;
        row.denied += u64::from(event.is_denied());
        row.ended = Some(event.time.clone());
        if row.command.is_none() && event.kind == Kind::Exec && !event.is_denied() {
            row.command = event.process.cmdline.clone().or_else(|| event.process.args.as_ref().map(|it| it.join(" ")));
        }
        row.user = row.user.take().or_else(|| event.process.uid.map(|uid| format!("uid {uid}")));
        row.agent = row.agent.take().or_else(|| event.agent.clone());
        // Which mode it is, only a denial shows.
        row.mode = row.mode.or_else(|| mode(event));
        // What a file extends is named by some of its denials; the file itself by the others.
        if (row.policy.is_none() || row.profile.is_some())
            && let Some((policy, profile)) = policy_of(event)
            && (row.policy.is_none() || profile.is_none())
        {
            (row.policy, row.profile) = (Some(policy), profile);
        }
        if let Some(pid) = event.process.pid {
            let key = (pid, event.process.start_time);
            if event.process_event.as_ref().is_some_and(|it| it.op == ProcessOp::Exit) {
                running.remove(&key);
            } else {
                running.insert(key);
            }
        }
    }
    let mut rows: Vec<SessionRow> = rows.into_values().map(|(row, _)| row).collect();
    rows.sort_by(|one, other| other.started.cmp(&one.started).then_with(|| other.id.cmp(&one.id)));
    rows
}

fn first_of(id: &str, event: &Event) -> SessionRow {
    SessionRow {
        id: id.to_owned(),
        agent: event.agent.clone(),
        mode: None,
        started: event.time.clone(),
        ended: None,
        user: None,
        command: None,
        tasks: 0,
        events: 0,
        denied: 0,
        policy: None,
        profile: None,
    }
}

fn mode(event: &Event) -> Option<Mode> {
    let verdict = event.verdict.as_ref().filter(|_| event.is_denied())?;
    Some(if verdict.enforced == Some(false) { Mode::Monitor } else { Mode::Enforce })
}

/// The file of the policy, and the built-in profile, if it is one. What all of them extend names none.
fn policy_of(event: &Event) -> Option<(String, Option<String>)> {
    let verdict = event.verdict.as_ref().filter(|verdict| verdict.tier == Tier::Policy)?;
    let (file, ..) = place(verdict.source.as_deref()?)?;
    match file.strip_prefix("builtin:") {
        Some(profile) if !policy::BUILTIN.contains(&profile) => None,
        Some(profile) => Some(("built-in".to_owned(), Some(profile.to_owned()))),
        None => Some((file.to_owned(), None)),
    }
}

/// `FILE:LINE:COLUMN`
pub(super) fn place(source: &str) -> Option<(&str, u32)> {
    let mut parts = source.rsplitn(3, ':');
    let _column: u32 = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    parts.next().map(|file| (file, line))
}

/// The processes of a session by who started whom. `events`: oldest first.
pub(super) fn tree(events: &[Event], over: bool) -> Vec<ProcessNode> {
    let mut nodes: Vec<ProcessNode> = Vec::new();
    let mut places: HashMap<(u32, Option<u64>), usize> = HashMap::new();
    for event in events {
        let Some(pid) = event.process.pid else { continue };
        let at = *places.entry((pid, event.process.start_time)).or_insert_with(|| {
            nodes.push(first_seen(event, pid));
            nodes.len() - 1
        });
        learn(&mut nodes[at], event);
    }
    if over {
        // Whether its last words were lost or it was ended with its session: it does not run.
        nodes.iter_mut().for_each(|node| node.state = ProcessState::Exited);
    }
    // A pid is used again: the parent is the one of that pid that started last before the child.
    let mut of_pid: HashMap<u32, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        of_pid.entry(node.pid).or_default().push(at);
    }
    let parent = |at: usize| -> Option<usize> {
        let child = &nodes[at];
        let candidates = of_pid.get(&child.ppid?)?.iter().copied().filter(|other| *other != at);
        candidates
            .filter(|other| match (nodes[*other].start_time, child.start_time) {
                (Some(parent), Some(child)) => parent <= child,
                _ => *other < at,
            })
            .max_by_key(|other| (nodes[*other].start_time, *other))
    };
    let parents: Vec<Option<usize>> = (0..nodes.len()).map(parent).collect();
    grow(nodes, &parents)
}

/// Puts each node below its parent; what is deeper than [`DEPTH`] is put beside its parent there.
fn grow(nodes: Vec<ProcessNode>, parents: &[Option<usize>]) -> Vec<ProcessNode> {
    let mut depths = vec![0usize; nodes.len()];
    let mut homes = vec![None; nodes.len()];
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    // Parents start before their children, so that each parent's depth is known; equal times keep the events' order.
    order.sort_by_key(|at| (nodes[*at].start_time, *at));
    let mut placed = vec![false; nodes.len()];
    for at in &order {
        placed[*at] = true;
        let Some(parent) = parents[*at].filter(|parent| placed[*parent]) else { continue };
        if depths[parent] < DEPTH {
            (depths[*at], homes[*at]) = (depths[parent] + 1, Some(parent));
        } else {
            (depths[*at], homes[*at]) = (depths[parent], homes[parent]);
        }
    }
    let mut nodes: Vec<Option<ProcessNode>> = nodes.into_iter().map(Some).collect();
    let mut roots = Vec::new();
    // Children first: a node moves into its parent when all of its own are in it.
    for at in order.into_iter().rev() {
        let Some(mut node) = nodes[at].take() else { continue };
        node.children.reverse();
        match homes[at].and_then(|home: usize| nodes[home].as_mut()) {
            Some(home) => home.children.push(node),
            None => roots.push(node),
        }
    }
    roots.reverse();
    roots
}

fn first_seen(event: &Event, pid: u32) -> ProcessNode {
    ProcessNode {
        pid,
        start_time: event.process.start_time,
        ppid: None,
        exe: None,
        args: None,
        cwd: None,
        uid: None,
        state: ProcessState::Running,
        exit_code: None,
        denied: 0,
        started: event.time.clone(),
        ended: None,
        children: Vec::new(),
    }
}

fn learn(node: &mut ProcessNode, event: &Event) {
    fn newer<T: Clone>(known: &mut Option<T>, told: &Option<T>) {
        if told.is_some() {
            known.clone_from(told);
        }
    }
    let process = &event.process;
    newer(&mut node.exe, &process.exe);
    newer(&mut node.args, &process.args);
    newer(&mut node.cwd, &process.cwd);
    newer(&mut node.uid, &process.uid);
    // Who adopts an orphan did not start it.
    node.ppid = node.ppid.or(process.ppid);
    node.denied += u64::from(event.is_denied());
    if let Some(exit) = event.process_event.as_ref().filter(|it| it.op == ProcessOp::Exit) {
        node.state = ProcessState::Exited;
        node.exit_code = exit.code;
        node.ended = Some(event.time.clone());
    }
}

pub(super) fn touched(events: &[Event]) -> Touched {
    let mut files: BTreeMap<&str, TouchedFile> = BTreeMap::new();
    let mut network: BTreeMap<(&str, Option<u16>, &str), TouchedAddress> = BTreeMap::new();
    let mut programs: BTreeMap<&str, TouchedProgram> = BTreeMap::new();
    for event in events {
        let denied = u64::from(event.is_denied());
        if let Some(file) = &event.file {
            for path in [&file.path, &file.to].into_iter().flatten() {
                let entry = files.entry(path).or_insert_with(|| TouchedFile {
                    path: path.clone(),
                    ops: Vec::new(),
                    count: 0,
                    denied: 0,
                });
                if !entry.ops.contains(&file.op) {
                    entry.ops.push(file.op);
                }
                entry.count += 1;
                entry.denied += denied;
            }
        }
        if let Some(it) = &event.network
            && let Some(address) = it.domain.as_ref().or(it.address.as_ref())
        {
            let entry = network.entry((address, it.port, it.op.as_str())).or_insert_with(|| TouchedAddress {
                address: address.clone(),
                port: it.port,
                op: it.op,
                count: 0,
                denied: 0,
            });
            entry.count += 1;
            entry.denied += denied;
        }
        if let Some(path) = event.exec.as_ref().and_then(|exec| exec.path.as_ref()) {
            let entry =
                programs.entry(path).or_insert_with(|| TouchedProgram { path: path.clone(), count: 0, denied: 0 });
            entry.count += 1;
            entry.denied += denied;
        }
    }
    fn most<T>(all: impl Iterator<Item = T>, key: impl Fn(&T) -> (u64, u64)) -> Vec<T> {
        let mut all: Vec<T> = all.collect();
        all.sort_by_key(|it| std::cmp::Reverse(key(it)));
        all.truncate(TOUCHED);
        all
    }
    Touched {
        files: most(files.into_values(), |it| (it.denied, it.count)),
        network: most(network.into_values(), |it| (it.denied, it.count)),
        programs: most(programs.into_values(), |it| (it.denied, it.count)),
    }
}

pub(super) fn timeline(events: &[Event]) -> Vec<TimelineBucket> {
    let times = || events.iter().filter_map(time_of);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Vec::new() };
    let buckets = Buckets::new(first, last);
    let mut line: Vec<TimelineBucket> =
        buckets.times().map(|time| TimelineBucket { time, ..TimelineBucket::default() }).collect();
    for event in events {
        if let Some(bucket) = time_of(event).and_then(|time| buckets.of(time)) {
            line[bucket].events += 1;
            line[bucket].denied += u64::from(event.is_denied());
        }
    }
    line
}

/// The process and those that it descends from, oldest first, as the event tells.
pub(super) fn chain(event: &Event) -> Vec<ChainLink> {
    let process = &event.process;
    let parent = process.parent.iter();
    let mut chain: Vec<ChainLink> = process
        .ancestors
        .iter()
        .rev()
        .chain(parent)
        .map(|it| ChainLink {
            pid: it.pid,
            exe: it.exe.clone(),
            cmdline: it.cmdline.clone().or_else(|| it.args.as_ref().map(|args| args.join(" "))),
        })
        .collect();
    if process.pid.is_some() || process.exe.is_some() {
        chain.push(ChainLink { pid: process.pid, exe: process.exe.clone(), cmdline: process.cmdline.clone() });
    }
    chain
}

/// What each tier said, as far as the verdict keeps it.
pub(super) fn evidence(event: &Event) -> Vec<Evidence> {
    let Some(verdict) = &event.verdict else { return Vec::new() };
    let mut all = vec![Evidence {
        tier: verdict.tier,
        outcome: outcome(verdict),
        detail: verdict.reason.clone().or_else(|| verdict.rule.clone()).unwrap_or_default(),
    }];
    all.extend(verdict.also.iter().map(|rule| Evidence {
        tier: Tier::Rules,
        outcome: "matched too".to_owned(),
        detail: rule.clone(),
    }));
    if let Some(score) = verdict.score {
        all.push(Evidence {
            tier: Tier::Classifier,
            outcome: format!("{score:.3}"),
            detail: "the probability that this is malicious".to_owned(),
        });
    }
    all
}

fn outcome(verdict: &Verdict) -> String {
    match verdict.enforced {
        Some(false) => format!("{} (not enforced)", verdict.action),
        _ => verdict.action.to_string(),
    }
}

/// What hit a rule.
#[derive(Default)]
pub(super) struct Hits<'e> {
    hits: u64,
    last: &'e str,
    sessions: HashSet<&'e str>,
    users: HashSet<u32>,
    programs: HashSet<&'e str>,
}

impl<'e> Hits<'e> {
    pub(super) fn add(&mut self, event: &'e Event) {
        self.hits += 1;
        self.last = &event.time;
        self.sessions.extend(event.session.as_deref());
        self.users.extend(event.process.uid);
        self.programs.extend(event.process.exe.as_deref());
    }

    pub(super) fn counts(&self) -> RuleCounts {
        RuleCounts {
            hits: self.hits,
            faults: 0,
            last_hit: Some(self.last.to_owned()).filter(|last| !last.is_empty()),
            sessions: self.sessions.len() as u64,
            users: self.users.len() as u64,
            programs: self.programs.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(lines: &str) -> Vec<Event> {
        lines.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    const RUN: &str = r#"
{"id":"1","time":"2026-01-02T03:00:00Z","kind":"exec","session":"s-1","agent":"a","process":{"pid":10,"start_time":100,"ppid":1,"exe":"/bin/bash","cmdline":"bash x.sh","uid":7},"exec":{"path":"/bin/bash"},"verdict":{"action":"allow","tier":"policy","source":"builtin:default:3:4"}}
{"id":"2","time":"2026-01-02T03:00:01Z","kind":"file","session":"s-1","process":{"pid":11,"start_time":200,"ppid":10,"exe":"/bin/cat"},"file":{"op":"read","path":"/etc/shadow"},"verdict":{"action":"deny","tier":"policy","rule":"a.files.deny[0]"}}
{"id":"3","time":"2026-01-02T03:00:02Z","kind":"process","session":"s-1","process":{"pid":11,"start_time":200,"ppid":10},"process_event":{"op":"exit","code":1},"verdict":{"action":"allow","tier":"policy"}}
{"id":"4","time":"2026-01-02T03:01:00Z","kind":"network","session":"s-1","process":{"pid":11,"start_time":900,"ppid":10},"network":{"op":"connect","address":"10.0.0.1","port":443},"verdict":{"action":"allow","tier":"policy","also":["r"],"score":0.5}}
{"id":"5","time":"2026-01-02T03:01:01Z","kind":"lost","lost":{"count":9,"reason":"full"}}
"#;

    #[test]
    fn a_tree_tells_who_started_whom_even_when_a_pid_is_used_again() {
        let tree = tree(&events(RUN), false);
        let [bash] = tree.as_slice() else { panic!("{tree:?}") };
        assert_eq!((bash.pid, bash.state, bash.children.len()), (10, ProcessState::Running, 2));
        let [first, second] = bash.children.as_slice() else { panic!() };
        assert_eq!((first.denied, first.state, first.exit_code), (1, ProcessState::Exited, Some(1)));
        assert_eq!((second.pid, second.denied, second.state), (11, 0, ProcessState::Running));
    }

    #[test]
    fn a_tree_without_end_is_shown_without_recursion_to_death() {
        let line =
            |pid: u32| format!(r#"{{"kind":"exec","session":"s","process":{{"pid":{pid},"ppid":{}}}}}"#, pid - 1);
        let chain: Vec<String> = (2..20_000).map(line).collect();
        let tree = tree(&events(&chain.join("\n")), true);
        fn count(nodes: &[ProcessNode]) -> (usize, usize) {
            let below: Vec<_> = nodes.iter().map(|node| count(&node.children)).collect();
            (
                nodes.len() + below.iter().map(|it| it.0).sum::<usize>(),
                below.iter().map(|it| it.1 + 1).max().unwrap_or(0),
            )
        }
        assert_eq!(count(&tree), (19_998, DEPTH + 1));
        // Its own parent, or a ring of them, is in no event that the kernel made; a recording can hold anything.
        let ring = r#"{"kind":"exec","process":{"pid":1,"ppid":2}}
{"kind":"exec","process":{"pid":2,"ppid":1}}
{"kind":"exec","process":{"pid":3,"ppid":3}}"#;
        assert_eq!(count(&super::tree(&events(ring), true)).0, 3);
    }

    #[test]
    fn a_session_is_told_by_its_events() {
        let rows = sessions(events(RUN).iter());
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.id.as_str(), row.events, row.denied), ("s-1", 4, 1));
        assert_eq!((row.command.as_deref(), row.user.as_deref()), (Some("bash x.sh"), Some("uid 7")));
        assert_eq!((row.policy.as_deref(), row.profile.as_deref()), (Some("built-in"), Some("default")));
        assert_eq!((row.mode, row.ended.as_deref()), (Some(Mode::Enforce), Some("2026-01-02T03:01:00Z")));
    }

    #[test]
    fn a_session_names_its_own_policy_and_not_what_that_extends() {
        let shown = |sources: &[&str]| {
            let line = |source| {
                format!(
                    r#"{{"kind":"file","session":"s","verdict":{{"action":"deny","tier":"policy","source":"{source}"}}}}"#
                )
            };
            let lines: Vec<String> = sources.iter().map(line).collect();
            let row = sessions(events(&lines.join("\n")).iter()).remove(0);
            (row.policy, row.profile)
        };
        let (base, profile, file) = ("builtin:base:9:5", "builtin:codex:4:1", "/etc/lictor/policy.yaml:3:7");
        assert_eq!(shown(&[base]), (None, None));
        assert_eq!(shown(&[base, profile]), (Some("built-in".into()), Some("codex".into())));
        assert_eq!(shown(&[profile, file, base, profile]), (Some("/etc/lictor/policy.yaml".into()), None));
    }

    #[test]
    fn an_overview_counts_what_is_in_its_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let all = events(RUN);
        let shown = overview(all.iter(), at("2026-01-02T03:00:01Z"), at("2026-01-02T03:02:00Z"));
        let sum = |of: fn(&VerdictBucket) -> u64| shown.verdicts.iter().map(of).sum::<u64>();
        assert_eq!((sum(|it| it.allow), sum(|it| it.deny), shown.lost), (2, 1, 9));
        assert_eq!(shown.top_denials.len(), 1);
        assert_eq!(
            (shown.top_denials[0].rule.as_str(), shown.top_denials[0].example_event.as_str()),
            ("a.files.deny[0]", "2")
        );
        assert!(shown.verdicts.len() <= BUCKETS as usize + 1);
        let empty = overview([].iter(), at("2026-01-02T03:00:01Z"), at("2026-01-02T03:02:00Z"));
        assert_eq!((empty.verdicts.len(), empty.top_denials.len()), (1, 0));
    }

    #[test]
    fn what_was_touched_is_counted_and_the_denied_come_first() {
        let touched = touched(&events(RUN));
        assert_eq!((touched.files[0].path.as_str(), touched.files[0].denied), ("/etc/shadow", 1));
        assert_eq!((touched.network[0].port, touched.programs[0].path.as_str()), (Some(443), "/bin/bash"));
        let line = timeline(&events(RUN));
        assert_eq!((line.iter().map(|it| it.events).sum::<u64>(), line.iter().map(|it| it.denied).sum()), (5, 1));
    }

    #[test]
    fn evidence_is_what_the_verdict_says() {
        let told = evidence(&events(RUN)[3]);
        let told: Vec<_> = told.iter().map(|it| format!("{} {}", it.tier, it.outcome)).collect();
        assert_eq!(told, ["policy allow", "rules matched too", "classifier 0.500"]);
        assert!(evidence(&events(RUN)[4]).is_empty());
    }

    #[test]
    fn a_place_is_read_from_its_end() {
        assert_eq!(place("/etc/a:b.yaml:9:14"), Some(("/etc/a:b.yaml", 9)));
        assert_eq!(place("builtin:default:3:4"), Some(("builtin:default", 3)));
        assert_eq!(place("nowhere"), None);
    }
}
