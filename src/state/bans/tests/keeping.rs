//! When and how bans are written to their file.

use super::*;
use crate::journal::Journal;

fn in_file(folder: &TempDir) -> Arc<Bans> {
    let terms = config::BanRules { file: Some(folder.path().join("bans.json")), ..terms() };
    let now = Now { instant: Instant::now(), moment: UnixTime::now() };
    Arc::new(Bans::open(Some(&terms), &[], now).unwrap())
}

fn saved(folder: &TempDir) -> usize {
    let table = BanTable::open(folder.path().join("bans.json"), UnixTime::now()).unwrap();
    table.count(UnixTime::now())
}

/// Waits until the file is written. The clock is paused during the write, so a second is enough.
async fn until_saved(folder: &TempDir) {
    for _ in 0..1000 {
        if saved(folder) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("nothing is saved");
}

fn strike_out(bans: &Bans, address: &str) {
    for _ in 0..3 {
        bans.strike(ip(address), offence(), Now::read());
    }
}

#[tokio::test(start_paused = true)]
async fn bans_are_saved_a_second_later_and_at_shutdown() {
    let folder = TempDir::new().unwrap();
    let bans = in_file(&folder);
    let stopping = CancellationToken::new();
    let keeper = tokio::spawn(Arc::clone(&bans).keep(Journal::default(), stopping.clone()));
    strike_out(&bans, "192.0.2.1");
    assert_eq!(saved(&folder), 0, "a strike writes nothing");
    strike_out(&bans, "192.0.2.2");
    tokio::time::sleep(Duration::from_millis(999)).await;
    assert_eq!(saved(&folder), 0);
    until_saved(&folder).await;
    assert_eq!(saved(&folder), 2, "all bans in one write");
    strike_out(&bans, "192.0.2.3");
    stopping.cancel();
    keeper.await.unwrap();
    assert_eq!(saved(&folder), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_save_is_retried() {
    let folder = TempDir::new().unwrap();
    let bans = in_file(&folder);
    let stopping = CancellationToken::new();
    let keeper = tokio::spawn(Arc::clone(&bans).keep(Journal::default(), stopping.clone()));
    let blocked = folder.path().join("bans.json.new");
    fs::create_dir(&blocked).unwrap();
    strike_out(&bans, "192.0.2.1");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(bans.is_banned(ip("192.0.2.1"), UnixTime::now()).is_some());
    assert_eq!(saved(&folder), 0);
    fs::remove_dir(&blocked).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    until_saved(&folder).await;
    stopping.cancel();
    keeper.await.unwrap();
}
