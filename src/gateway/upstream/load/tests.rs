use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::queue::Waiting;
use super::{
    LEAST_QUEUE, Need, NotQueued, Permits, REPORT_INTERVAL, ServerLoad, WaitEnd, WaitQueue,
};
use crate::config::ServerBounds;

fn bounds(max_connections: usize, max_handshakes: usize) -> ServerBounds {
    let some = |most: usize| (most < usize::MAX).then_some(most);
    ServerBounds { max_connections: some(max_connections), max_handshakes: some(max_handshakes) }
}

fn servers(queue: &Arc<WaitQueue>, each: &[ServerBounds]) -> Vec<Arc<ServerLoad>> {
    let server = |bounds: &ServerBounds| {
        let load = ServerLoad::new(queue);
        load.bound(1, *bounds);
        load
    };
    each.iter().map(server).collect()
}

fn one(bounds: ServerBounds) -> (Arc<WaitQueue>, Arc<ServerLoad>) {
    let queue = Arc::<WaitQueue>::default();
    let load = servers(&queue, &[bounds]).remove(0);
    (queue, load)
}

fn enter(queue: &Arc<WaitQueue>, need: Need, servers: &[Arc<ServerLoad>]) -> Waiting {
    queue.enter(need, servers, None).unwrap()
}

fn poll(waiting: &mut Waiting) -> Option<WaitEnd> {
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(waiting).poll(&mut cx) {
        Poll::Ready(end) => Some(end),
        Poll::Pending => None,
    }
}

fn served(waiting: &mut Waiting) -> Option<Permits> {
    match poll(waiting) {
        None => None,
        Some(WaitEnd::Permits(_, permits)) => Some(permits),
        Some(end) => panic!("{end:?}"),
    }
}

fn is_idle(load: &Arc<ServerLoad>) -> bool {
    let shown = load.shown();
    (shown.live, shown.handshakes, shown.waiting) == (0, 0, 0)
}

#[test]
fn without_bounds_nothing_waits() {
    let (_, load) = one(ServerBounds::default());
    let held: Vec<_> = (0..1000).map(|_| load.take(Need::Handshake).unwrap()).collect();
    let shown = load.shown();
    assert_eq!((shown.live, shown.handshakes, shown.waiting), (1000, 1000, 0));
    assert_eq!((shown.max_connections, shown.max_handshakes), (None, None));
    drop(held);
    assert!(is_idle(&load));
}

#[test]
fn permits_go_to_those_that_wait_in_their_order() {
    let (queue, load) = one(bounds(usize::MAX, 2));
    let mut held: Vec<_> = (0..2).map(|_| load.take(Need::Handshake).unwrap()).collect();
    assert!(load.take(Need::Handshake).is_none());
    let [mut first, mut second, mut third] =
        [0; 3].map(|_| enter(&queue, Need::Handshake, &[Arc::clone(&load)]));
    assert_eq!(load.shown().waiting, 3);
    assert!(served(&mut first).is_none());
    held.pop();
    let permits = served(&mut first).expect("the first has it");
    assert!(served(&mut second).is_none());
    drop(second);
    assert_eq!(load.shown().waiting, 1, "one that leaves frees its position at once");
    drop(permits);
    assert!(load.take(Need::Handshake).is_none(), "it was handed over");
    assert!(served(&mut third).is_some());
    assert!(load.shown().waiting == 0);
}

#[test]
fn a_handshake_that_was_answered_leaves_its_session_in_the_count() {
    let (queue, load) = one(bounds(2, 1));
    let Permits { load: session, handshake } = load.take(Need::Handshake).unwrap();
    let mut waiting = enter(&queue, Need::Handshake, &[Arc::clone(&load)]);
    drop(handshake);
    let Permits { load: second, handshake } = served(&mut waiting).unwrap();
    drop(handshake);
    assert!(load.take(Need::Handshake).is_none() && load.take(Need::Plain).is_none());
    assert_eq!((load.live(), load.shown().handshakes), (2, 0));
    let mut waiting = enter(&queue, Need::Plain, &[Arc::clone(&load)]);
    drop(session);
    assert!(served(&mut waiting).is_some());
    drop(second);
}

#[test]
fn plain_requests_do_not_wait_for_handshakes() {
    let (queue, load) = one(bounds(3, 1));
    let _held = load.take(Need::Handshake).unwrap();
    let mut handshake = enter(&queue, Need::Handshake, &[Arc::clone(&load)]);
    let page = load.take(Need::Plain).expect("it needs no permit of a handshake");
    let _other = load.take(Need::Plain).unwrap();
    let mut plain = enter(&queue, Need::Plain, &[Arc::clone(&load)]);
    assert!(served(&mut plain).is_none());
    drop(page);
    assert!(served(&mut plain).is_some(), "the handshake before it cannot use the place");
    assert!(served(&mut handshake).is_none());
}

#[test]
fn a_request_leaves_all_servers_with_the_first_place() {
    let queue = Arc::<WaitQueue>::default();
    let both = servers(&queue, &[bounds(1, usize::MAX), bounds(1, usize::MAX)]);
    let held: Vec<_> = both.iter().map(|load| load.take(Need::Plain).unwrap()).collect();
    let mut any = enter(&queue, Need::Plain, &both);
    let mut second = enter(&queue, Need::Plain, &both[1..]);
    assert_eq!([both[0].shown().waiting, both[1].shown().waiting], [1, 2]);
    let [first_held, second_held] = held.try_into().unwrap();
    drop(first_held);
    assert_eq!([both[0].shown().waiting, both[1].shown().waiting], [0, 1]);
    drop(second_held);
    assert!(served(&mut second).is_some());
    // It was handed over and never taken.
    drop(any);
    any = enter(&queue, Need::Plain, &both[..1]);
    assert!(served(&mut any).is_some());
}

#[test]
fn a_changed_bound_holds_at_once() {
    let (queue, load) = one(bounds(usize::MAX, 1));
    let mut held = vec![load.take(Need::Handshake).unwrap()];
    let mut waiting: Vec<_> =
        (0..3).map(|_| enter(&queue, Need::Handshake, &[Arc::clone(&load)])).collect();
    load.bound(2, bounds(usize::MAX, 3));
    held.extend(waiting.iter_mut().filter_map(served));
    assert_eq!((held.len(), load.shown().waiting), (3, 1), "two more were served");
    load.bound(3, bounds(usize::MAX, 1));
    load.bound(2, bounds(usize::MAX, 9));
    held.truncate(1);
    assert!(served(&mut waiting[2]).is_none(), "one is in flight");
    held.clear();
    assert!(served(&mut waiting[2]).is_some());
    load.bound(4, ServerBounds::default());
    assert!((0..9).all(|_| load.take(Need::Handshake).is_some()));
}

#[test]
fn the_smallest_bounds_of_one_configuration_hold() {
    let (_, load) = one(bounds(9, 9));
    for (generation, live, handshakes, wanted) in [
        (2, 5, usize::MAX, (Some(5), None)),
        (2, 7, 3, (Some(5), Some(3))),
        (1, 1, 1, (Some(5), Some(3))),
        (3, usize::MAX, 8, (None, Some(8))),
    ] {
        load.bound(generation, bounds(live, handshakes));
        let shown = load.shown();
        assert_eq!((shown.max_connections, shown.max_handshakes), wanted);
    }
}

#[test]
fn the_queue_is_bounded_by_the_servers_that_a_request_waits_for() {
    let queue = Arc::<WaitQueue>::default();
    let both = servers(&queue, &[bounds(usize::MAX, 1), bounds(usize::MAX, 200)]);
    let _held: Vec<_> = both.iter().map(|load| load.take(Need::Handshake).unwrap()).collect();
    both[1].bound(2, bounds(0, 200));
    let mut waiting = Vec::new();
    for _ in 0..LEAST_QUEUE {
        waiting.push(enter(&queue, Need::Handshake, &both[..1]));
    }
    let more = |servers: &[Arc<ServerLoad>]| queue.enter(Need::Handshake, servers, None);
    assert_eq!(more(&both[..1]).unwrap_err(), NotQueued::Full);
    for _ in 0..2000 {
        waiting.push(more(&both).unwrap());
    }
    assert_eq!(more(&both).unwrap_err(), NotQueued::Full, "1000 of one and 2000 of the other");
    let ticket = waiting.pop().unwrap().ticket();
    assert!(more(&both).is_ok());
    assert!(queue.enter(Need::Handshake, &both, Some(ticket)).is_ok(), "it has waited");
}

#[test]
fn a_wait_ends_without_its_servers_and_with_the_gateway() {
    let queue = Arc::<WaitQueue>::default();
    let both = servers(&queue, &[bounds(0, 1), bounds(0, 1)]);
    let mut first = enter(&queue, Need::Handshake, &both[..1]);
    let mut any = enter(&queue, Need::Handshake, &both);
    both[0].dismiss();
    assert!(matches!(poll(&mut first), Some(WaitEnd::Dismissed)));
    assert!(poll(&mut any).is_none(), "the second is left");
    assert_eq!([both[0].shown().waiting, both[1].shown().waiting], [0, 1]);
    both[1].remove();
    assert!(both[1].is_removed());
    assert!(matches!(poll(&mut any), Some(WaitEnd::Dismissed)));
    // Its position is older than that of others.
    let mut other = enter(&queue, Need::Handshake, &both[..1]);
    let mut again = queue.enter(Need::Handshake, &both, Some(any.ticket())).unwrap();
    both[0].bound(2, bounds(1, 1));
    assert!(served(&mut other).is_none());
    let permits = served(&mut again);
    queue.stop();
    assert!(permits.is_some() && matches!(poll(&mut other), Some(WaitEnd::Stopping)));
    let refused = queue.enter(Need::Plain, &both, None).unwrap_err();
    assert_eq!(refused, NotQueued::Stopping);
}

#[test]
fn refusals_are_reported_once_per_interval() {
    let (_, load) = one(bounds(1, 1));
    let start = Instant::now();
    assert_eq!(load.refused(start), Some(0));
    for _ in 0..5 {
        assert_eq!(load.refused(start + REPORT_INTERVAL / 2), None);
    }
    assert_eq!(load.refused(start + REPORT_INTERVAL), Some(5));
    assert_eq!(load.refused(start + REPORT_INTERVAL * 2), Some(0));
}

#[derive(Debug, Clone)]
enum Step {
    /// A request for these of three servers: it takes a place at the first that has one, or waits.
    Arrive {
        need: bool,
        servers: [bool; 3],
    },
    Release(usize),
    /// The handshake is answered, and the session goes on.
    Answer(usize),
    Leave(usize),
    Bound {
        server: usize,
        live: usize,
        handshakes: usize,
    },
    Dismiss(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let arrive = || {
        (any::<bool>(), any::<[bool; 3]>())
            .prop_map(|(need, servers)| Step::Arrive { need, servers })
    };
    let bound = (0..3_usize, 0..5_usize, 0..4_usize)
        .prop_map(|(server, live, handshakes)| Step::Bound { server, live, handshakes });
    let step = prop_oneof![
        5 => arrive(),
        4 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Answer),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => bound,
        1 => (0..3_usize).prop_map(Step::Dismiss),
    ];
    prop::collection::vec(step, 0..200)
}

/// A request that waits, as the test knows it.
struct Asked {
    need: Need,
    servers: Vec<usize>,
    waiting: Waiting,
}

proptest! {
    /// After every step: no bound is exceeded, and nobody waits for a permit that is free. Among those that wait for one
    /// server with one need, the first is served first.
    #[test]
    fn the_queue_is_exact(steps in steps()) {
        let queue = Arc::<WaitQueue>::default();
        let mut most = [(2, 1), (3, 2), (1, 1)];
        let loads = servers(&queue, &most.map(|(live, handshakes)| bounds(live, handshakes)));
        let mut held: Vec<(usize, Permits)> = Vec::new();
        let mut asked: Vec<Asked> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let before: Vec<_> = loads.iter().map(|load| load.shown()).collect();
            match step {
                Step::Arrive { need, servers } => {
                    let need = if need { Need::Handshake } else { Need::Plain };
                    let servers: Vec<_> = (0..3).filter(|server| servers[*server]).collect();
                    let taken = servers.iter().find_map(|one| Some((*one, loads[*one].take(need)?)));
                    match taken {
                        Some(taken) => held.push(taken),
                        None if servers.is_empty() => {}
                        None => {
                            let of: Vec<_> = servers.iter().map(|one| Arc::clone(&loads[*one])).collect();
                            let waiting = queue.enter(need, &of, None).unwrap();
                            asked.push(Asked { need, servers, waiting });
                        }
                    }
                }
                Step::Release(at) if !held.is_empty() => drop(held.swap_remove(at % held.len())),
                Step::Answer(at) if !held.is_empty() => {
                    let at = at % held.len();
                    held[at].1.handshake = None;
                }
                Step::Leave(at) if !asked.is_empty() => drop(asked.remove(at % asked.len())),
                Step::Bound { server, live, handshakes } => {
                    most[server] = (live, handshakes);
                    loads[server].bound(number as u64 + 2, bounds(live, handshakes));
                }
                Step::Dismiss(server) => {
                    loads[server].dismiss();
                    for one in &mut asked {
                        one.servers.retain(|one| *one != server);
                    }
                }
                _ => {}
            }
            let mut left = Vec::new();
            for mut one in asked {
                match poll(&mut one.waiting) {
                    None => left.push(one),
                    Some(WaitEnd::Permits(load, permits)) => {
                        let server = loads.iter().position(|other| Arc::ptr_eq(other, &load)).unwrap();
                        prop_assert!(one.servers.contains(&server));
                        prop_assert_eq!(permits.handshake.is_some(), one.need == Need::Handshake);
                        let passed = left.iter().find(|earlier: &&Asked| {
                            earlier.need == one.need && earlier.servers.contains(&server)
                        });
                        prop_assert!(passed.is_none(), "a later one was served before");
                        held.push((server, permits));
                    }
                    Some(end) => prop_assert!(matches!(end, WaitEnd::Dismissed) && one.servers.is_empty()),
                }
            }
            asked = left;
            for (server, load) in loads.iter().enumerate() {
                let shown = load.shown();
                let of = || held.iter().filter(|(at, _)| *at == server);
                prop_assert_eq!(shown.live, of().count());
                prop_assert_eq!(shown.handshakes, of().filter(|(_, one)| one.handshake.is_some()).count());
                let waiting = || asked.iter().filter(|one| one.servers.contains(&server));
                prop_assert_eq!(shown.waiting, waiting().count());
                let (live, handshakes) = most[server];
                prop_assert!(shown.live <= live.max(before[server].live));
                prop_assert!(shown.handshakes <= handshakes.max(before[server].handshakes));
                let is_free = shown.live < live;
                let is_free_for = |need| is_free && (need == Need::Plain || shown.handshakes < handshakes);
                prop_assert!(!waiting().any(|one| is_free_for(one.need)), "{:?}", shown);
            }
        }
        drop((held, asked));
        prop_assert!(loads.iter().all(is_idle));
    }
}

/// Tasks on several threads take, wait, give back and give up: no bound is exceeded, and no wakeup is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_lose_no_permit_and_exceed_no_bound() {
    let queue = Arc::<WaitQueue>::default();
    let loads = servers(&queue, &[bounds(4, 2), bounds(3, 3)]);
    let in_flight: Arc<[AtomicUsize; 2]> = Arc::default();
    let mut tasks = JoinSet::new();
    for task in 0..64_usize {
        let (queue, loads, in_flight) = (Arc::clone(&queue), loads.clone(), Arc::clone(&in_flight));
        tasks.spawn(async move {
            for round in 0..300_usize {
                let need = if (task + round) % 5 == 0 { Need::Plain } else { Need::Handshake };
                let of = &loads[..if task % 3 == 0 { 1 } else { 2 }];
                let taken = of.iter().find_map(|one| Some((Arc::clone(one), one.take(need)?)));
                let (load, permits) = if let Some(taken) = taken {
                    taken
                } else {
                    let mut waiting = enter(&queue, need, of);
                    if (task + round) % 7 == 0 {
                        yield_now().await;
                        drop(waiting);
                        continue;
                    }
                    match (&mut waiting).await {
                        WaitEnd::Permits(load, permits) => (load, permits),
                        end => panic!("{end:?}"),
                    }
                };
                if need == Need::Handshake {
                    let at = usize::from(Arc::ptr_eq(&load, &loads[1]));
                    let others = in_flight[at].fetch_add(1, Ordering::SeqCst);
                    assert!(others < [2, 3][at]);
                    yield_now().await;
                    in_flight[at].fetch_sub(1, Ordering::SeqCst);
                }
                drop(permits);
            }
        });
    }
    let all = async { while tasks.join_next().await.transpose().unwrap().is_some() {} };
    timeout(Duration::from_secs(60), all).await.expect("a wakeup was lost");
    assert!(loads.iter().all(is_idle));
}
