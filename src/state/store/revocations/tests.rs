use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::{Kind, MAX_REVOCATIONS, Revocation, RevocationStore, Revocations, RevokeError};
use crate::state::store::{MAX_VALUE, MAX_WHY, StoreError};
use crate::values::{Principal, UnixTime, UserKey};

/// A second of the test's clock.
fn at(second: u64) -> UnixTime {
    UnixTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(second))
}

fn revocation(kind: Kind, value: &str, until: u64) -> Revocation {
    Revocation { kind, value: value.to_owned(), until: at(until), at: at(0), why: None }
}

fn is_revoked(store: &Revocations, user: &str, token: &str, now: u64) -> bool {
    store.revokes(&principal(user, Some(token)), at(now))
}

fn principal(user: &str, token: Option<&str>) -> Principal {
    let (user, token_id) = (UserKey::new("main", user), token.map(Box::from));
    Principal { user, token_id, expires: SystemTime::UNIX_EPOCH }
}

fn open(path: &Path, now: u64) -> Result<Revocations, StoreError> {
    Revocations::open(path.to_owned(), at(now))
}

#[test]
fn a_user_and_a_token_are_revoked_until_their_ends() {
    let store = Revocations::in_memory();
    store.revoke(revocation(Kind::User, "ann", 100), at(0)).unwrap();
    store.revoke(revocation(Kind::Token, "t1", 50), at(0)).unwrap();
    assert!(is_revoked(&store, "ann", "t9", 99));
    assert!(!is_revoked(&store, "ann", "t9", 100));
    assert!(is_revoked(&store, "bob", "t1", 49));
    assert!(!is_revoked(&store, "bob", "t1", 50));
    assert!(!is_revoked(&store, "t1", "ann", 1), "a user is no token");
    assert!(!is_revoked(&store, "Ann", "T1", 1), "exactly");
    assert!(!store.revokes(&principal("", None), at(1)));
    assert_eq!((store.count(at(1)), store.count(at(50)), store.count(at(100))), (2, 1, 0));
}

#[test]
fn the_later_end_counts() {
    let store = Revocations::in_memory();
    for until in [50, 100, 20] {
        store.revoke(revocation(Kind::User, "ann", until), at(0)).unwrap();
    }
    assert!(is_revoked(&store, "ann", "", 99));
    assert_eq!(store.count(at(0)), 1);
}

#[test]
fn invalid_revocations_are_refused() {
    let store = Revocations::in_memory();
    let over = store.revoke(revocation(Kind::User, "ann", 10), at(10));
    assert!(matches!(over, Err(RevokeError::Over(until)) if until == at(10)));
    let mut long = revocation(Kind::User, "ann", 10);
    long.why = Some("x".repeat(MAX_WHY + 1));
    for bad in [
        revocation(Kind::Token, "", 10),
        revocation(Kind::Token, &"x".repeat(MAX_VALUE + 1), 10),
        long,
    ] {
        assert!(matches!(store.revoke(bad, at(0)), Err(RevokeError::Unbounded)));
    }
    assert_eq!(store.count(at(0)), 0);
}

#[test]
fn a_full_store_refuses_until_something_is_over() {
    assert_eq!(Revocations::in_memory().bound, MAX_REVOCATIONS);
    let store = Revocations { bound: 2, ..Revocations::in_memory() };
    store.revoke(revocation(Kind::Token, "t1", 10), at(0)).unwrap();
    store.revoke(revocation(Kind::User, "ann", 20), at(0)).unwrap();
    let third = || revocation(Kind::Token, "t3", 30);
    assert!(matches!(store.revoke(third(), at(9)), Err(RevokeError::Full)));
    store.revoke(revocation(Kind::User, "ann", 25), at(9)).unwrap();
    store.revoke(third(), at(10)).unwrap();
    assert!(is_revoked(&store, "ann", "t3", 10));
}

#[test]
fn the_file_is_written_whole_and_read_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.json");
    let store = open(&path, 0).unwrap();
    assert!(path.exists(), "written at once, to prove that it can be");
    let mut remark = revocation(Kind::User, "ann", 100);
    remark.why = Some("left \"the\" company".to_owned());
    store.revoke(remark, at(0)).unwrap();
    store.revoke(revocation(Kind::Token, "t1", 50), at(0)).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["revoked.json"], "no other file is left");

    let again = open(&path, 60).unwrap();
    assert!(is_revoked(&again, "ann", "t9", 60));
    assert_eq!(again.held.read().unwrap().len(), 1, "expired entries are not loaded");
    again.revoke(revocation(Kind::User, "bob", 100), at(60)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("t1"), "nor written back: {text}");
    assert!(text.contains("left \\\"the\\\" company"), "{text}");
}

#[test]
fn a_broken_file_is_refused_with_a_remedy() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.json");
    let entry = r#"{"kind":"user","value":"ann","until":"2030-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}"#;
    let broken = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        r#"{"version":2,"revocations":[]}"#.to_owned(),
        r#"{"version":1,"revocations":[],"more":1}"#.to_owned(),
        format!(r#"{{"version":1,"revocations":[{}]}}"#, entry.replace("user", "group")),
        format!(r#"{{"version":1,"revocations":[{}]}}"#, entry.replace("ann", "")),
        format!(r#"{{"version":1,"revocations":[{}]}}"#, entry.replace("2030-01", "2030-13")),
        format!(r#"{{"version":1,"revocations":[{entry}"#),
    ];
    for text in broken {
        fs::write(&path, &text).unwrap();
        let error = open(&path, 0).unwrap_err();
        assert!(matches!(error, StoreError::Broken { .. }), "{text}: {error}");
        assert!(error.to_string().contains("revoked.json is broken: "), "{error}");
        assert!(error.to_string().contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "the file is left unchanged");
    }
    fs::write(&path, format!(r#"{{"version":1,"revocations":[{entry}]}}"#)).unwrap();
    assert!(is_revoked(&open(&path, 0).unwrap(), "ann", "", 0));
}

#[test]
fn a_file_that_cannot_be_written_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let error = open(&folder.path().join("missing/revoked.json"), 0).unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
}

#[test]
fn an_unsaved_revocation_is_in_force_and_reported() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.json");
    let store = open(&path, 0).unwrap();
    let before = fs::read(&path).unwrap();
    // A folder at the path of the new file makes the write fail.
    fs::create_dir(folder.path().join("revoked.json.new")).unwrap();
    let outcome = store.revoke(revocation(Kind::User, "ann", 100), at(0));
    assert!(matches!(outcome, Err(RevokeError::Unsaved(_))), "{outcome:?}");
    assert!(is_revoked(&store, "ann", "", 1));
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_dir(folder.path().join("revoked.json.new")).unwrap();
    store.revoke(revocation(Kind::User, "bob", 100), at(1)).unwrap();
    assert!(is_revoked(&open(&path, 1).unwrap(), "ann", "", 1), "saved with the next");
}

#[test]
fn a_file_has_one_writer_and_its_entries_go_to_the_newer_process() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.json");
    let older = open(&path, 0).unwrap();
    let newer = open(&path, 0).unwrap();
    older.revoke(revocation(Kind::User, "ann", 100), at(0)).unwrap();
    let handed = older.hand_over(at(1));
    older.revoke(revocation(Kind::User, "bob", 100), at(1)).unwrap();
    assert_eq!(open(&path, 1).unwrap().count(at(2)), 1, "the older process writes no more");
    newer.adopt(handed.clone(), at(1)).unwrap();
    assert!(is_revoked(&newer, "ann", "", 2));
    older.take_back();
    older.revoke(revocation(Kind::Token, "t1", 100), at(2)).unwrap();
    assert_eq!(open(&path, 2).unwrap().count(at(2)), 3, "it writes again");

    let other = open(&folder.path().join("other.json"), 0).unwrap();
    other.revoke(revocation(Kind::User, "eve", 100), at(0)).unwrap();
    other.adopt(handed, at(1)).unwrap();
    assert_eq!(open(&folder.path().join("other.json"), 1).unwrap().count(at(2)), 2);
}
