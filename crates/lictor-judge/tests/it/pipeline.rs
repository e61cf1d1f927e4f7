// SPDX-License-Identifier: Apache-2.0
//! The order of tiers, with real rules and with tiers that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lictor_api::event::{Action, Severity, Tier};
use lictor_judge::rules::Rules;
use lictor_judge::{
    Answer, Basis, Case, DefaultAction, Failure, Finding, Judge, Judgement, Limits, Outcome, Pipeline, Stage,
};

use super::{event, file, rule, set};

type Behaviour = dyn Fn(u64) -> Result<Answer, Failure> + Send + Sync;

/// A tier that does what it is told; the argument is how often it was asked before.
struct Tester {
    tier: Tier,
    asked: AtomicU64,
    behaviour: Box<Behaviour>,
}

impl Judge for Tester {
    fn tier(&self) -> Tier {
        self.tier
    }

    fn judge(&self, _: &Case, _: &[Finding], _: Instant) -> Result<Answer, Failure> {
        (self.behaviour)(self.asked.fetch_add(1, Ordering::AcqRel))
    }
}

fn tester(tier: Tier, behaviour: impl Fn(u64) -> Result<Answer, Failure> + Send + Sync + 'static) -> Arc<Tester> {
    Arc::new(Tester { tier, asked: AtomicU64::new(0), behaviour: Box::new(behaviour) })
}

fn says(tier: Tier, outcome: Outcome) -> Arc<Tester> {
    tester(tier, move |_| Ok(answer(tier, outcome)))
}

fn answer(tier: Tier, outcome: Outcome) -> Answer {
    let finding = Finding {
        tier,
        rule: format!("{tier}-model"),
        severity: Severity::High,
        reason: format!("{tier} thinks so"),
        source: None,
        tags: vec!["T1059".to_owned()],
        score: Some(0.5),
        parts: Vec::new(),
    };
    Answer { outcome, findings: vec![finding], basis: Basis::Invocation, ttl: None }
}

fn rules(rules: &[String]) -> Stage {
    Stage::inline(Arc::new(Rules::for_everybody(set(&file(rules)))), Duration::from_secs(10))
}

fn inline(judge: &Arc<Tester>) -> Stage {
    Stage::inline(Arc::<Tester>::clone(judge), Duration::from_secs(10))
}

fn limits(budget_ms: u64) -> Limits {
    Limits { budget: Duration::from_millis(budget_ms), threads: 2, waiting: 4, stuck: 2 }
}

fn case() -> Case {
    Case::new(event(r#"{"kind":"exec","process":{"exe":"/bin/sh","cmdline":"sh"},"exec":{"path":"/bin/sh"}}"#))
}

fn judge(stages: Vec<Stage>, default_action: DefaultAction) -> Judgement {
    Pipeline::new(stages, default_action).unwrap().judge(&case())
}

fn asked(judgement: &Judgement) -> Vec<Tier> {
    judgement.asked.iter().map(|asked| asked.tier).collect()
}

#[test]
fn what_rules_settle_no_later_tier_sees() {
    for (action, expected) in [("deny", Action::Deny), ("allow", Action::Allow)] {
        let later = says(Tier::Classifier, if action == "deny" { Outcome::Allow } else { Outcome::Deny });
        let judgement = judge(vec![rules(&[rule("a", action, "true")]), inline(&later)], DefaultAction::Hold);
        assert_eq!((judgement.action, judgement.tier, judgement.decided), (expected, Tier::Rules, true));
        assert_eq!((judgement.rule.as_deref(), judgement.source.as_deref()), (Some("a"), Some("r.yaml:3:5")));
        assert!(judgement.cacheable && judgement.basis == Basis::Object);
        assert_eq!(later.asked.load(Ordering::Acquire), 0);
    }
}

#[test]
fn the_model_is_asked_in_doubt_and_after_an_escalation_only() {
    let check = |action: &str, classifier: Outcome, llm: Outcome, expected: (Action, Tier, bool), asked_llm: u64| {
        let (classifier, llm) = (says(Tier::Classifier, classifier), says(Tier::Llm, llm));
        let judgement =
            judge(vec![rules(&[rule("a", action, "true")]), inline(&classifier), inline(&llm)], DefaultAction::Deny);
        let got = (judgement.action, judgement.tier, judgement.decided);
        assert_eq!(got, expected, "{action}: {judgement:#?}");
        assert_eq!(llm.asked.load(Ordering::Acquire), asked_llm, "{action}");
    };
    use Outcome::{Allow, Deny, Pass};
    check("alert", Allow, Deny, (Action::Alert, Tier::Rules, true), 0);
    check("alert", Deny, Allow, (Action::Deny, Tier::Classifier, true), 0);
    check("alert", Pass, Deny, (Action::Deny, Tier::Llm, true), 1);
    // The model finds nothing: that frees nothing.
    check("alert", Pass, Allow, (Action::Deny, Tier::Llm, false), 1);
    check("escalate", Allow, Deny, (Action::Deny, Tier::Llm, true), 1);
    check("escalate", Allow, Allow, (Action::Deny, Tier::Llm, false), 1);
    check("escalate", Allow, Pass, (Action::Deny, Tier::Llm, false), 1);
    check("escalate", Deny, Allow, (Action::Deny, Tier::Classifier, true), 0);
}

#[test]
fn without_a_model_the_classifier_answers_an_escalation() {
    let classifier = says(Tier::Classifier, Outcome::Allow);
    let judgement = judge(vec![rules(&[rule("a", "escalate", "true")]), inline(&classifier)], DefaultAction::Deny);
    assert_eq!((judgement.action, judgement.tier, judgement.decided), (Action::Allow, Tier::Classifier, true));
}

#[test]
fn without_rules_that_match_a_benign_execution_goes_on() {
    let (classifier, llm) = (says(Tier::Classifier, Outcome::Allow), says(Tier::Llm, Outcome::Deny));
    let judgement =
        judge(vec![rules(&[rule("a", "deny", "false")]), inline(&classifier), inline(&llm)], DefaultAction::Deny);
    assert_eq!((judgement.action, judgement.tier), (Action::Allow, Tier::Classifier));
    assert_eq!(asked(&judgement), [Tier::Rules, Tier::Classifier]);
    assert_eq!(judgement.verdict().score, Some(0.5));
    assert!(judgement.cacheable && judgement.basis == Basis::Invocation);
}

#[test]
fn the_default_action_applies_when_no_tier_decides() {
    for (default, action) in [
        (DefaultAction::Allow, Action::Allow),
        (DefaultAction::Deny, Action::Deny),
        (DefaultAction::Hold, Action::Hold),
    ] {
        let judgement = judge(vec![rules(&[rule("a", "deny", "false")])], default);
        // The same question has the same answer, unless a person gives it.
        assert_eq!((judgement.action, judgement.decided), (action, false));
        assert_eq!(judgement.cacheable, default != DefaultAction::Hold);
        assert_eq!(judgement.reason, format!("no tier decided, so the default action applies: {action}"));
        let judgement = judge(vec![rules(&[rule("a", "alert", "true")])], default);
        let expected = if action == Action::Allow { Action::Alert } else { action };
        assert_eq!((judgement.action, judgement.severity), (expected, Some(Severity::High)));
    }
    assert_eq!(judge(Vec::new(), DefaultAction::Deny).action, Action::Deny);
}

#[test]
fn a_panic_is_a_failure_of_its_tier() {
    for threads in [false, true] {
        let broken = tester(Tier::Classifier, |_| panic!("index out of bounds"));
        let stage = if threads { Stage::threads(broken, limits(5_000)).unwrap() } else { inline(&broken) };
        let pipeline = Pipeline::new(vec![rules(&[rule("a", "deny", "false")]), stage], DefaultAction::Deny).unwrap();
        for _ in 0..5 {
            let judgement = pipeline.judge(&case());
            assert_eq!((judgement.action, judgement.decided, judgement.cacheable), (Action::Deny, false, false));
            assert_eq!(judgement.asked[1].failure, Some(Failure::Broken("index out of bounds".to_owned())));
            assert!(judgement.reason.contains("it broke: index out of bounds"), "{}", judgement.reason);
        }
        let counts = &pipeline.counts()[1].1;
        assert_eq!((counts.asked, counts.broken), (5, 5));
    }
}

#[test]
fn a_tier_that_hangs_is_abandoned_replaced_and_bounded() {
    let running = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&running);
    let hanging = tester(Tier::Classifier, move |asked| {
        // The first four hang until the test ends, the others answer.
        if asked < 4 {
            inside.fetch_add(1, Ordering::AcqRel);
            std::thread::sleep(Duration::from_secs(3));
            inside.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(answer(Tier::Classifier, Outcome::Allow))
    });
    let stage = Stage::threads(Arc::<Tester>::clone(&hanging), limits(100)).unwrap();
    let pipeline = Pipeline::new(vec![stage], DefaultAction::Deny).unwrap();
    let begin = Instant::now();
    for number in 0..4 {
        let judgement = pipeline.judge(&case());
        assert_eq!(judgement.asked[0].failure, Some(Failure::Late), "{number}");
        assert_eq!(judgement.action, Action::Deny);
    }
    // Two were replaced; with two more that hang there is nobody left.
    assert_eq!(pipeline.stuck(), [(Tier::Classifier, 4)]);
    let judgement = pipeline.judge(&case());
    assert!(matches!(judgement.asked[0].failure, Some(Failure::Unavailable(_))), "{:?}", judgement.asked);
    assert!(begin.elapsed() < Duration::from_millis(2_500), "{:?}", begin.elapsed());
    assert_eq!(running.load(Ordering::Acquire), 4);
    // They come back, and with them the tier.
    let recovered = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        pipeline.judge(&case()).action == Action::Allow
    });
    assert!(recovered);
    let all_back = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        pipeline.stuck() == [(Tier::Classifier, 0)]
    });
    assert!(all_back);
    let counts = &pipeline.counts()[0].1;
    assert_eq!(counts.late, 4);
    assert!(counts.unavailable >= 1 && counts.allowed >= 1);
    assert_eq!(counts.asked, counts.late + counts.unavailable + counts.allowed + counts.overload);
    assert_eq!(counts.latency_us.iter().map(|(_, count)| count).sum::<u64>(), counts.asked);
}

#[test]
fn a_queue_that_is_full_is_a_failure_at_once() {
    let slow = tester(Tier::Classifier, |_| {
        std::thread::sleep(Duration::from_millis(400));
        Ok(answer(Tier::Classifier, Outcome::Allow))
    });
    let limits = Limits { budget: Duration::from_secs(10), threads: 1, waiting: 1, stuck: 0 };
    let pipeline = Pipeline::new(vec![Stage::threads(slow, limits).unwrap()], DefaultAction::Deny).unwrap();
    let failures = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let judgement = pipeline.judge(&case());
                if matches!(judgement.asked[0].failure, Some(Failure::Overload(_))) {
                    failures.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
    });
    let counts = &pipeline.counts()[0].1;
    assert_eq!(counts.asked, 6);
    assert!(counts.overload >= 3 && counts.allowed >= 1, "{counts:?}");
    assert_eq!(counts.overload, failures.load(Ordering::Acquire) as u64);
}

#[test]
fn a_tier_that_answers_late_in_the_callers_thread_has_not_answered() {
    let slow = tester(Tier::Classifier, |_| {
        std::thread::sleep(Duration::from_millis(60));
        Ok(answer(Tier::Classifier, Outcome::Allow))
    });
    let stage = Stage::inline(slow, Duration::from_millis(10));
    let judgement = judge(vec![stage], DefaultAction::Deny);
    assert_eq!((judgement.action, judgement.asked[0].failure.clone()), (Action::Deny, Some(Failure::Late)));
}

#[test]
fn a_tier_that_speaks_for_another_has_not_answered() {
    let liar = tester(Tier::Classifier, |_| Ok(answer(Tier::Rules, Outcome::Allow)));
    let judgement = judge(vec![rules(&[rule("a", "deny", "false")]), inline(&liar)], DefaultAction::Deny);
    assert_eq!(judgement.action, Action::Deny);
    assert_eq!(judgement.asked[1].failure, Some(Failure::Invalid("a finding in the name of rules".to_owned())));
    let nonsense = tester(Tier::Classifier, |_| {
        let mut answer = answer(Tier::Classifier, Outcome::Allow);
        answer.findings[0].score = Some(f64::NAN);
        Ok(answer)
    });
    assert!(matches!(judge(vec![inline(&nonsense)], DefaultAction::Deny).asked[0].failure, Some(Failure::Invalid(_))));
    // What may allow for good has its place before the others, and once.
    let rules_like = says(Tier::Rules, Outcome::Allow);
    let order =
        Pipeline::new(vec![inline(&says(Tier::Classifier, Outcome::Pass)), inline(&rules_like)], DefaultAction::Deny);
    assert_eq!(
        order.err().unwrap().to_string(),
        "`rules` cannot be asked after `classifier`: the order is rules, classifier, llm"
    );
    assert!(Pipeline::new(vec![inline(&rules_like), inline(&rules_like)], DefaultAction::Deny).is_err());
}

#[test]
fn a_model_cannot_make_its_answer_hold_for_more_than_it_saw() {
    let modest =
        tester(Tier::Classifier, |_| Ok(Answer { basis: Basis::Object, ..answer(Tier::Classifier, Outcome::Allow) }));
    assert_eq!(judge(vec![inline(&modest)], DefaultAction::Deny).basis, Basis::Invocation);
}

#[test]
fn a_failing_tier_frees_nothing_and_stops_nothing_stricter() {
    let failing = |tier| tester(tier, |_| Err(Failure::Unavailable("no model".to_owned())));
    // The classifier fails: the model is not asked for that.
    let llm = says(Tier::Llm, Outcome::Deny);
    let judgement = judge(
        vec![rules(&[rule("a", "deny", "false")]), inline(&failing(Tier::Classifier)), inline(&llm)],
        DefaultAction::Hold,
    );
    assert_eq!((judgement.action, judgement.decided, llm.asked.load(Ordering::Acquire)), (Action::Hold, false, 0));
    assert!(judgement.reason.contains("classifier: it is not available: no model"), "{}", judgement.reason);
    // The rules fail: a later tier still denies.
    let judgement = judge(
        vec![inline(&failing(Tier::Rules)), inline(&says(Tier::Classifier, Outcome::Deny))],
        DefaultAction::Allow,
    );
    assert_eq!((judgement.action, judgement.tier, judgement.cacheable), (Action::Deny, Tier::Classifier, false));
    // The rules fail: nobody knows what they would have said, so nothing is cleared.
    let judgement = judge(
        vec![inline(&failing(Tier::Rules)), inline(&says(Tier::Classifier, Outcome::Allow))],
        DefaultAction::Hold,
    );
    assert_eq!((judgement.action, judgement.decided), (Action::Hold, false));
    // More scrutiny was wanted and not to be had.
    let judgement = judge(
        vec![
            rules(&[rule("a", "escalate", "true")]),
            inline(&says(Tier::Classifier, Outcome::Allow)),
            inline(&failing(Tier::Llm)),
        ],
        DefaultAction::Hold,
    );
    assert_eq!((judgement.action, judgement.decided), (Action::Hold, false));
}

#[test]
fn a_verdict_says_who_and_why() {
    let alert = rule("noted", "alert", "true").replace("action", "tags: [T1, x]\n    action");
    let deny = rule("no", "deny", "true").replace("action", "tags: [T2, x]\n    action");
    let judgement = judge(vec![rules(&[alert, deny])], DefaultAction::Allow);
    let verdict = judgement.verdict();
    assert_eq!((verdict.action, verdict.tier, verdict.rule.as_deref()), (Action::Deny, Tier::Rules, Some("no")));
    assert_eq!((verdict.tags, verdict.also), (vec!["T2".into(), "x".into(), "T1".into()], vec!["noted".to_owned()]));
    assert_eq!((verdict.severity, verdict.reason.as_deref()), (Some(Severity::High), Some("about no")));
    assert!(verdict.latency_us.is_some() && !judgement.permits());
}
