use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::{Author, Ban, BanError, BanStore, BanTable, MAX_BANS};
use crate::state::store::{MAX_WHY, StoreError};
use crate::values::Network;
use crate::values::UnixTime;

fn at(seconds: u64) -> UnixTime {
    UnixTime::from(UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds))
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn ban(text: &str, until: u64) -> Ban {
    Ban {
        network: network(text),
        until: at(until),
        at: at(0),
        by: Author::Operator,
        why: None,
        offences: 0,
        remembered: None,
    }
}

fn is_banned(table: &BanTable, address: &str, now: u64) -> bool {
    table.find(address.parse().unwrap(), at(now)).is_some()
}

fn open(path: &Path, now: u64) -> Result<BanTable, StoreError> {
    BanTable::open(path.to_owned(), at(now))
}

#[test]
fn a_ban_holds_until_its_end_and_for_its_network_alone() {
    let table = BanTable::in_memory();
    table.put(ban("192.0.2.7", 10), at(0)).unwrap();
    table.put(ban("203.0.113.0/24", 20), at(0)).unwrap();
    table.put(ban("2001:db8:7::/64", 20), at(0)).unwrap();
    for (address, banned) in [
        ("192.0.2.7", true),
        ("192.0.2.6", false),
        ("203.0.113.0", true),
        ("203.0.113.255", true),
        ("203.0.114.0", false),
        ("2001:db8:7::", true),
        ("2001:db8:7::ffff", true),
        ("2001:db8:7:1::", false),
        ("::", false),
    ] {
        assert_eq!(is_banned(&table, address, 9), banned, "{address}");
    }
    assert!(!is_banned(&table, "192.0.2.7", 10), "until is the first moment at which it is over");
    assert_eq!((table.count(at(9)), table.count(at(10)), table.count(at(20))), (3, 2, 0));
}

#[test]
fn of_several_bans_the_longest_applies() {
    let table = BanTable::in_memory();
    for (text, until) in [("192.0.2.0/24", 20), ("192.0.2.7", 10), ("192.0.0.0/16", 15)] {
        table.put(ban(text, until), at(0)).unwrap();
    }
    let found = |now| Some(table.find("192.0.2.7".parse().unwrap(), at(now))?.network.to_string());
    assert_eq!(found(0).as_deref(), Some("192.0.2.0/24"));
    table.remove(network("192.0.2.0/24")).unwrap();
    assert_eq!(found(0).as_deref(), Some("192.0.0.0/16"));
    assert_eq!(found(15), None);
}

#[test]
fn the_latest_ban_of_a_network_replaces_earlier_ones() {
    let table = BanTable::in_memory();
    table.put(ban("192.0.2.7", 100), at(0)).unwrap();
    table.put(ban("192.0.2.7", 10), at(0)).unwrap();
    assert!(!is_banned(&table, "192.0.2.7", 10));
    assert_eq!(table.list(at(0)).len(), 1);
    assert!(table.remove(network("192.0.2.7")).is_some());
    assert!(table.remove(network("192.0.2.7")).is_none());
    assert!(table.read().v4.is_empty(), "no prefix length is left over");
}

#[test]
fn bans_are_listed_in_the_order_of_creation() {
    let table = BanTable::in_memory();
    for (text, made) in [("192.0.2.3", 2), ("192.0.2.2", 1), ("192.0.2.1", 2), ("192.0.2.4", 0)] {
        table
            .put(Ban { at: at(made), ..ban(text, if made == 0 { 5 } else { 10 }) }, at(2))
            .unwrap();
    }
    let listed: Vec<_> = table.list(at(5)).iter().map(|ban| ban.network.to_string()).collect();
    assert_eq!(listed, ["192.0.2.2", "192.0.2.1", "192.0.2.3"]);
}

#[test]
fn networks_of_bans_cover_a_64_and_have_a_bound() {
    let of = |text| Ban::network_of(network(text)).map(|network| network.to_string());
    assert_eq!(of("192.0.2.7").as_deref(), Ok("192.0.2.7"));
    assert_eq!(of("10.0.0.0/8").as_deref(), Ok("10.0.0.0/8"));
    assert_eq!(of("2001:db8::7").as_deref(), Ok("2001:db8::/64"));
    assert_eq!(of("2001:db8::/96").as_deref(), Ok("2001:db8::/64"));
    assert_eq!(of("2001::/16").as_deref(), Ok("2001::/16"));
    assert_eq!(of("::ffff:192.0.2.7").as_deref(), Ok("192.0.2.7"));
    for text in ["0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/15"] {
        assert!(matches!(of(text), Err(BanError::TooWide(_))), "{text}");
    }
    let error = of("203.0.113.7/24").unwrap_err();
    assert_eq!(
        error.to_string(),
        "for the whole network write 203.0.113.0/24, for the one address 203.0.113.7"
    );
}

#[test]
fn invalid_bans_are_refused() {
    let table = BanTable::in_memory();
    assert_eq!(table.put(ban("192.0.2.7", 10), at(10)), Err(BanError::Over(at(10))));
    let long = Ban { why: Some("x".repeat(MAX_WHY + 1)), ..ban("192.0.2.7", 10) };
    assert_eq!(table.put(long, at(0)), Err(BanError::LongWhy));
    let part = ban("2001:db8::7", 10);
    assert_eq!(table.put(part, at(0)), Err(BanError::Part(network("2001:db8::7"))));
    assert_eq!(table.list(at(0)), []);
}

#[test]
fn a_full_table_removes_expired_bans_then_refuses() {
    assert_eq!(BanTable::in_memory().bound, MAX_BANS);
    let table = BanTable { bound: 3, ..BanTable::in_memory() };
    let remembered = |text, until, to| Ban { remembered: Some(at(to)), ..ban(text, until) };
    table.put(remembered("192.0.2.1", 10, 100), at(0)).unwrap();
    table.put(remembered("192.0.2.2", 20, 30), at(0)).unwrap();
    table.put(ban("192.0.2.3", 40), at(0)).unwrap();
    assert_eq!(table.put(ban("192.0.2.4", 50), at(9)), Err(BanError::Full));
    assert_eq!(table.read().full_until, Some(at(10)), "no sweep before then");
    table.put(ban("192.0.2.3", 45), at(9)).unwrap();
    table.put(ban("192.0.2.4", 50), at(30)).unwrap();
    let known = |text| table.known(network(text)).is_some();
    assert!(known("192.0.2.1") && !known("192.0.2.2"), "the forgotten entry is removed");
    table.put(ban("192.0.2.5", 50), at(30)).unwrap();
    assert!(!known("192.0.2.1"), "a remembered entry makes room");
    assert_eq!(table.put(ban("192.0.2.6", 60), at(44)), Err(BanError::Full));
    table.remove(network("192.0.2.4")).unwrap();
    table.put(ban("192.0.2.6", 60), at(44)).unwrap();
    assert_eq!(table.count(at(44)), 3);
}

#[test]
fn a_full_table_is_not_looked_through_for_each_ban() {
    let table = BanTable { bound: 1, ..BanTable::in_memory() };
    table.put(ban("192.0.2.1", 40), at(0)).unwrap();
    assert_eq!(table.put(ban("192.0.2.2", 60), at(0)), Err(BanError::Full));
    table.write().full_until = Some(at(50));
    assert_eq!(table.put(ban("192.0.2.2", 60), at(49)), Err(BanError::Full), "no sweep yet");
    // Replacing an entry clears the estimate: an operator shortened this ban.
    table.put(ban("192.0.2.1", 45), at(41)).unwrap();
    table.put(ban("192.0.2.2", 60), at(45)).unwrap();
}

#[test]
fn a_hundred_thousand_bans_take_a_look_up_a_length() {
    let table = BanTable::in_memory();
    let count = u32::try_from(MAX_BANS).unwrap();
    for number in 0..count {
        let address: IpAddr = match number % 2 {
            0 => Ipv4Addr::from_bits(number).into(),
            _ => Ipv6Addr::from_bits(u128::from(number) << 64).into(),
        };
        let network = Ban::network_of(address.into()).unwrap();
        table.put(Ban { network, ..ban("192.0.2.1", 10) }, at(0)).unwrap();
    }
    assert_eq!(table.put(ban("192.0.2.1", 10), at(0)), Err(BanError::Full));
    let held = table.read();
    assert_eq!((held.v4.len(), held.v6.len()), (1, 1));
    assert_eq!((held.v4[&32], held.v6[&64]), (MAX_BANS / 2, MAX_BANS / 2));
    drop(held);
    assert!(is_banned(&table, "0.0.0.2", 9) && !is_banned(&table, "0.0.0.1", 9));
}

#[test]
fn the_file_is_written_when_it_is_saved_and_read_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bans.json");
    let table = open(&path, 0).unwrap();
    assert!(path.exists(), "written at once, to prove that it can be");
    assert!(!table.is_unsaved());
    let remark = Ban { why: Some("scans \"us\"".to_owned()), ..ban("203.0.113.0/24", 100) };
    table.put(remark.clone(), at(0)).unwrap();
    table.put(ban("192.0.2.7", 10), at(0)).unwrap();
    let past = Ban { offences: 2, remembered: Some(at(200)), ..ban("192.0.2.8", 10) };
    table.put(past.clone(), at(0)).unwrap();
    assert!(table.is_unsaved());
    assert_eq!(open(&path, 0).unwrap().count(at(0)), 0);
    table.save(at(0)).unwrap();
    assert!(!table.is_unsaved());

    let again = open(&path, 60).unwrap();
    assert_eq!(again.list(at(60)), [remark]);
    assert_eq!(again.known(network("192.0.2.8")), Some(past), "its offences are remembered");
    assert_eq!(again.known(network("192.0.2.7")), None, "expired entries are not loaded");
    again.remove(network("203.0.113.0/24")).unwrap();
    again.save(at(200)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "{\n  \"version\": 1,\n  \"bans\": []\n}\n", "nor written back");
}

#[test]
fn an_unchanged_table_is_not_saved_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bans.json");
    let table = open(&path, 0).unwrap();
    table.put(ban("192.0.2.7", 10), at(0)).unwrap();
    table.save(at(0)).unwrap();
    fs::remove_file(&path).unwrap();
    table.save(at(0)).unwrap();
    assert!(!path.exists());
    let memory = BanTable::in_memory();
    memory.put(ban("192.0.2.7", 10), at(0)).unwrap();
    assert!(!memory.is_unsaved());
    memory.save(at(0)).unwrap();
}

#[test]
fn a_broken_file_is_refused_with_a_remedy() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bans.json");
    let entry = r#"{"network":"192.0.2.7","until":"2030-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z","by":"operator"}"#;
    let with =
        |from: &str, to: &str| format!(r#"{{"version":1,"bans":[{}]}}"#, entry.replace(from, to));
    let broken = [
        (String::new(), "EOF"),
        (r#"{"version":1,"revocations":[]}"#.to_owned(), "unknown field"),
        (r#"{"version":2,"bans":[]}"#.to_owned(), "its version is 2, not 1"),
        (with("operator", "somebody"), "unknown variant"),
        (with("192.0.2.7", "localhost"), "write an address"),
        (with("192.0.2.7", "192.0.2.7/24"), "192.0.2.0/24"),
        (with("192.0.2.7", "0.0.0.0/0"), "too wide"),
        (with("192.0.2.7", "2001:db8::7"), "less than a /64"),
        (with("2030-01", "2030-13"), "RFC 3339"),
    ];
    for (text, what) in broken {
        fs::write(&path, &text).unwrap();
        let error = open(&path, 0).unwrap_err();
        assert!(matches!(error, StoreError::Broken { .. }), "{text}: {error}");
        let told = error.to_string();
        assert!(told.starts_with("[firewall.ban] file: ") && told.contains(what), "{told}");
        assert!(told.contains("move it away: whoever it banned can come back then"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "the file is left unchanged");
    }
    fs::write(&path, with("", "")).unwrap();
    assert!(is_banned(&open(&path, 0).unwrap(), "192.0.2.7", 0));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(open(&path, 0), Err(StoreError::Unreadable { .. })));
    let nowhere = open(&folder.path().join("missing/bans.json"), 0).unwrap_err();
    assert!(matches!(nowhere, StoreError::Unwritable { .. }));
    assert!(nowhere.to_string().starts_with("[firewall.ban] file: cannot write "), "{nowhere}");
}

#[test]
fn an_unsaved_ban_is_in_force_and_saved_with_the_next() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bans.json");
    let table = open(&path, 0).unwrap();
    let before = fs::read(&path).unwrap();
    // A folder at the path of the new file makes the write fail.
    fs::create_dir(folder.path().join("bans.json.new")).unwrap();
    table.put(ban("192.0.2.7", 10), at(0)).unwrap();
    assert!(matches!(table.save(at(0)), Err(StoreError::Unwritable { .. })));
    assert!(is_banned(&table, "192.0.2.7", 0) && table.is_unsaved());
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_dir(folder.path().join("bans.json.new")).unwrap();
    table.save(at(0)).unwrap();
    assert!(is_banned(&open(&path, 0).unwrap(), "192.0.2.7", 0));
}

#[test]
fn a_file_has_one_writer_and_its_entries_are_those_of_the_older_process() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bans.json");
    let older = open(&path, 0).unwrap();
    older.put(ban("192.0.2.7", 100), at(0)).unwrap();
    older.save(at(0)).unwrap();
    let newer = open(&path, 0).unwrap();
    // After the newer process has read the file.
    older.remove(network("192.0.2.7")).unwrap();
    older.put(ban("192.0.2.8", 100), at(0)).unwrap();

    let handed = older.hand_over(at(1));
    older.put(ban("192.0.2.9", 100), at(1)).unwrap();
    older.save(at(1)).unwrap();
    newer.adopt(handed.clone(), at(1));
    assert!(!is_banned(&newer, "192.0.2.7", 2) && is_banned(&newer, "192.0.2.8", 2));
    let written = open(&path, 1).unwrap();
    assert!(is_banned(&written, "192.0.2.8", 2), "saved before it was handed over");
    assert!(!is_banned(&written, "192.0.2.9", 2), "the older process writes no more");
    older.take_back();
    older.save(at(2)).unwrap();
    assert!(is_banned(&open(&path, 2).unwrap(), "192.0.2.9", 2), "it writes again");

    let other = open(&folder.path().join("other.json"), 0).unwrap();
    other.put(ban("198.51.100.7", 100), at(0)).unwrap();
    other.adopt(handed.clone(), at(1));
    assert!(is_banned(&other, "198.51.100.7", 2) && is_banned(&other, "192.0.2.8", 2));
    let full = BanTable { bound: 1, ..BanTable::in_memory() };
    full.put(ban("198.51.100.7", 100), at(0)).unwrap();
    full.adopt(handed, at(1));
    assert_eq!(full.count(at(2)), 1);
}
