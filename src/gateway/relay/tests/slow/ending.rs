//! Sessions that are ending while a peer is slow, or does not answer: they get the time that they need,
//! and no more than the gateway allows them.

use std::time::SystemTime;

use super::*;

/// A session whose client sent a Close, and whose application goes on sending without an answer.
struct Flooded {
    slow: Slow,
    began: Instant,
    flood: tokio::task::JoinHandle<()>,
}

impl Flooded {
    fn start(lines: &str, lease: Lease) -> Self {
        let (near, far) = small_sockets();
        let close = frame(Client, 0x88, &1000_u16.to_be_bytes());
        // In the socket before the session begins.
        SockRef::from(&far).send(&close).unwrap();
        // Much of the flood is read at once.
        let application = UnixStream::pair().unwrap();
        let client = (Transport::Unix(near), Peer::new(Client, far));
        let mut slow = Slow::run(lines, lease, client, application);
        let mut app = std::mem::replace(&mut slow.app, Peer::new(Upstream, tokio::io::empty()));
        let flood = tokio::spawn(async move {
            let bytes = frame(Upstream, 0x82, &[7; 10_000]);
            while app.stream.write_all(&bytes).await.is_ok() {}
        });
        Self { slow, began: Instant::now(), flood }
    }

    /// The client reads so many bytes a second, until the session ends; an hour at most.
    async fn last(&mut self, rate: usize) -> Duration {
        while self.slow.cause().is_none() && self.began.elapsed() < 3600 * SECOND {
            self.slow.client.read_slowly(rate, 1).await;
        }
        let (reason, by, _) = self.slow.cause().expect("the session ended");
        assert_eq!((reason, by), (Reason::Closed, Some(Client)), "the first cause counts");
        self.flood.abort();
        self.began.elapsed()
    }
}

/// What the client gets is what was on its way when the answer was due, and then a Close.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_answer_a_close_is_cut() {
    for rate in [SLOWLY, 20_000, 200_000] {
        let mut flooded = Flooded::start("", Lease::default());
        let lasted = flooded.last(rate).await;
        assert!(lasted < 120 * SECOND, "{lasted:?} at {rate}");
        let Flooded { mut slow, .. } = flooded;
        while slow.client.read(1 << 20).await {}
        assert_eq!(slow.client.got.last().map(|got| got.0), Some(8), "at {rate}");
        let most = 10 * rate + 512 * 1024;
        let got: usize = slow.client.got.iter().map(|(_, length)| length).sum();
        assert!(got < most, "{got} at {rate}");
    }
}

/// As long as it is given more time because it goes on taking.
const SLOWLY: usize = 4_000;

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_given_time_after_its_close() {
    let lasted = Flooded::start("", Lease::default()).last(SLOWLY).await;
    assert!(lasted > 32 * SECOND, "or the tests below prove nothing: {lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_ending_does_not_outlast_a_kick() {
    for after in [2, 11, 18] {
        let mut flooded = Flooded::start("", Lease::default());
        flooded.slow.client.read_slowly(SLOWLY, after).await;
        flooded.slow.expect_open();
        flooded.slow.mailbox.stop(Reason::SessionKicked);
        let lasted = flooded.last(SLOWLY).await;
        assert!(lasted < (after + 14) * SECOND, "{lasted:?}, kicked after {after} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_ending_does_not_outlast_its_lifetime() {
    let lasted = Flooded::start("max_lifetime = \"15s\"", Lease::default()).last(SLOWLY).await;
    assert!(lasted < 29 * SECOND, "{lasted:?}");
}

/// By the wall clock, which no test turns.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_ending_does_not_outlast_its_token() {
    let expires = Some(SystemTime::now() + Duration::from_millis(100));
    let mut flooded = Flooded::start("", Lease { expires, renewal: None });
    std::thread::sleep(Duration::from_millis(200));
    let lasted = flooded.last(SLOWLY).await;
    assert!(lasted < 14 * SECOND, "{lasted:?}");
}

/// A reader that takes a little again and again does not hold what it was sent for ever.
#[tokio::test(start_paused = true)]
async fn a_close_ends_within_a_bound_for_the_slowest_reader() {
    let (near, far) = UnixStream::pair().unwrap();
    // Room comes in small steps, each of them in time.
    SockRef::from(&near).set_send_buffer_size(4 * 1024).unwrap();
    let client = (Transport::Unix(near), Peer::new(Client, far));
    let mut slow = Slow::run("", Lease::default(), client, UnixStream::pair().unwrap());
    slow.app.say(0x82, &vec![7; 140_000]).await;
    slow.app.say(0x88, &1000_u16.to_be_bytes()).await;
    let began = Instant::now();
    while slow.cause().is_none() && began.elapsed() < 3600 * SECOND {
        slow.client.read_slowly(330, 1).await;
    }
    let lasted = began.elapsed();
    assert!(lasted > 200 * SECOND && lasted < 320 * SECOND, "{lasted:?}");
}

/// A client gets a hint with the gateway's own Close, and nobody gets one with another Close.
#[tokio::test(start_paused = true)]
async fn only_the_client_is_told_when_to_come_back() {
    let length = |text: &str| vec![(8, 2 + text.len())];
    let hint = "retry_hint = \"7s..7s\"";
    for (lines, reason, text) in [
        (hint, Reason::Shutdown, "shutdown retry=7s"),
        (hint, Reason::LifetimeOver, "lifetime.over retry=7s"),
        (hint, Reason::SessionKicked, "session.kicked"),
        ("", Reason::Shutdown, "shutdown"),
    ] {
        let mut slow = Slow::with(lines).await;
        slow.mailbox.stop(reason);
        slow.rest(1).await;
        assert_eq!(slow.client.got, length(text));
        assert_eq!(slow.app.got, length(reason.name()));
    }
    let mut slow = Slow::with(hint).await;
    slow.client.say(0x88, &1001_u16.to_be_bytes()).await;
    slow.rest(15).await;
    assert_eq!((slow.client.got, slow.app.got), (length(""), length("")));
}

/// Each within its bounds, and not all at once.
#[tokio::test(start_paused = true)]
async fn sessions_that_began_together_end_one_after_the_other() {
    let mut ends = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut slow = Slow::with("max_lifetime = \"1000s jitter 50%\"").await;
        let began = Instant::now();
        while slow.client.got.is_empty() && began.elapsed() < 3600 * SECOND {
            slow.rest(1).await;
        }
        assert_eq!(slow.client.got, [(8, 2 + "lifetime.over".len())]);
        ends.insert(began.elapsed().as_secs());
    }
    assert!(ends.first() >= Some(&500) && ends.last() <= Some(&1001), "{ends:?}");
    assert!(ends.len() > 10, "{ends:?}");
}
