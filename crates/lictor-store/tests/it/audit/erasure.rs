// SPDX-License-Identifier: Apache-2.0
//! After an erasure no byte of the person's data is in any file, and the chain still verifies.

use std::fs;

use lictor_store::audit::{Actor, Audit, Copies, Entry, EventFiles, Kind, Options, Person, Request, page};

use super::*;

const ALICE: u32 = 3_000_054_321;
const BOB: u32 = 3_000_054_322;
const SECRET: &str = "/srv/secret-of-alice";

fn erase_request(subject: &str, by_name: bool) -> Request {
    Request { subject: subject.into(), by_name, by: Actor::User(0) }
}

/// Every file below `dir` that holds `needle`.
fn holders(dir: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holders(&path, needle));
        } else if fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle.as_bytes()) {
            found.push(path);
        }
    }
    found
}

fn event_line(uid: u32, path: &str) -> String {
    serde_json::to_string(&*denied(uid, path)).unwrap() + "\n"
}

fn fill(audit: &Audit) {
    for round in 0..20 {
        for uid in [ALICE, BOB] {
            let path = if uid == ALICE { SECRET } else { "/srv/of-bob" };
            assert!(audit.append(Entry::of_event(&denied(uid, path)).unwrap()));
        }
        let by_alice = Entry::new(Kind::VerdictSet).with("round", round).by(&Actor::User(ALICE));
        assert!(audit.append(by_alice.about(lictor_store::audit::Subject::Uid(BOB), "of bob too".into())));
        audit.flush(PATIENCE).unwrap();
    }
}

#[test]
fn no_byte_of_the_person_stays_and_the_chain_verifies() {
    let state = folder();
    let dir = state.path().join("audit");
    let events = [state.path().join("events.1.jsonl"), state.path().join("events.jsonl")];
    for file in &events {
        fs::write(file, event_line(ALICE, SECRET) + &event_line(BOB, "/srv/of-bob") + &event_line(0, "/x")).unwrap();
    }
    let audit = Audit::open(&dir, quick()).unwrap();
    fill(&audit);
    let sealed = check(&dir);
    assert!(sealed.ok && sealed.texts == 80, "{sealed:?}");
    assert!(holders(&dir, SECRET).is_empty() && holders(&dir, "alice").is_empty(), "in clear nowhere");
    let uid = ALICE.to_string();
    assert!(holders(&dir, &uid).iter().all(|path| path.parent().unwrap().ends_with("subjects")));
    assert_eq!(holders(state.path(), SECRET).len(), 2);
    let texts: Vec<String> = page(&dir, None, 200, |record| record.kind == "verdict")
        .unwrap()
        .items
        .iter()
        .flat_map(|shown| &shown.personal)
        .filter(|personal| personal.subject.as_deref() == Some("uid:3000054321"))
        .map(|personal| personal.id.clone())
        .collect();

    let copies = EventFiles::new(events.to_vec());
    let erased = audit.erase(&erase_request(&format!("uid:{ALICE}"), false), &[&copies]).unwrap();
    assert_eq!((erased.texts, erased.others), (40, 0), "{erased:?}");
    assert_eq!(erased.copies, [("event files".to_owned(), 2)]);
    assert!(holders(state.path(), SECRET).is_empty());
    assert_eq!(holders(state.path(), &uid), Vec::<PathBuf>::new());
    let report = check(&dir);
    assert!(report.ok, "{:#?}", said(&report));
    // The erasures' own entries name the actor, uid 0.
    assert_eq!((report.texts, report.erased), (42, 40), "{report:?}");
    let states = page(&dir, None, 10, |record| record.kind == "erasure").unwrap().items;
    let states: Vec<&str> = states.iter().filter_map(|shown| shown.data["state"].as_str()).collect();
    assert_eq!(states, ["done", "begun"]);
    for line in fs::read_to_string(&events[0]).unwrap().lines() {
        assert!(line.contains("/srv/of-bob") || line.contains("/x"));
    }

    // The same person again: another key, another random name; the chain goes on over a restart.
    fill(&audit);
    drop(audit);
    let audit = Audit::open(&dir, quick()).unwrap();
    let report = check(&dir);
    assert!(report.ok && report.erased == 40, "{:#?}", said(&report));
    assert!(holders(&dir.join("subjects"), &texts[0]).is_empty());
    audit.erase(&erase_request(&uid, false), &[]).unwrap();
    let report = check(&dir);
    assert!(report.ok && report.erased == 80, "{:#?}", said(&report));
}

#[test]
fn what_others_did_that_tells_of_the_person_goes_too() {
    let dir = folder();
    let audit = Audit::open(dir.path(), quick()).unwrap();
    let needle = "token-of-carol";
    for path in ["/srv/plain", "/srv/token-of-carol/x", "/srv/token-of-carolus"] {
        audit.append(Entry::of_event(&denied(BOB, path)).unwrap());
    }
    audit.append(Entry::new(Kind::Login).by(&Actor::Token(needle.into())));
    audit.flush(PATIENCE).unwrap();
    let erased = audit.erase(&erase_request(&format!("token:{needle}"), true), &[]).unwrap();
    assert_eq!((erased.texts, erased.others), (1, 1), "{erased:?}");
    let report = check(dir.path());
    assert!(report.ok && report.erased == 2, "{:#?}", said(&report));
    let left: String = page(dir.path(), None, 50, |_| true)
        .unwrap()
        .items
        .iter()
        .flat_map(|shown| &shown.personal)
        .filter_map(|personal| personal.text.as_ref().map(ToString::to_string))
        .collect();
    assert!(left.contains("/srv/plain") && left.contains("carolus") && !left.contains("carol/x"), "{left}");
}

struct Failing;

impl Copies for Failing {
    fn name(&self) -> &str {
        "event store"
    }

    fn erase(&self, _: &Person) -> Result<u64, String> {
        Err("the disk is gone".into())
    }
}

#[test]
fn an_erasure_that_was_interrupted_goes_on() {
    let dir = folder();
    let audit = Audit::open(dir.path(), quick()).unwrap();
    fill(&audit);
    let error = audit.erase(&erase_request(&ALICE.to_string(), false), &[&Failing]).unwrap_err().to_string();
    assert!(error.contains("event store") && error.contains("the disk is gone"), "{error}");
    // The key went first: nothing can be read any more. The person is still known, so that it can be finished.
    assert_eq!(holders(dir.path(), &ALICE.to_string()).len(), 1);
    drop(audit);
    let audit = Audit::open(dir.path(), quick()).unwrap();
    let done = audit.resume(&[]).unwrap();
    assert_eq!(done.len(), 1, "{done:?}");
    assert!(holders(dir.path(), &ALICE.to_string()).is_empty());
    assert!(audit.resume(&[]).unwrap().is_empty());
    let report = check(dir.path());
    assert!(report.ok && report.erased == 40, "{:#?}", said(&report));
}

#[test]
fn nobody_is_erased_by_a_word_that_nobody_has() {
    let dir = folder();
    let audit = Audit::open(dir.path(), Options::default()).unwrap();
    audit.append(Entry::of_event(&denied(BOB, "/x")).unwrap());
    audit.flush(PATIENCE).unwrap();
    let error = audit.erase(&erase_request("no-such-user-here", false), &[]).unwrap_err().to_string();
    assert!(error.contains("no-such-user-here") && error.contains("uid:3000054322"), "{error}");
}
