//! What the address rules cost with a million prefixes: `cargo bench --bench firewall`.
//!
//! Each row builds its rules anew. Lookups are of random addresses, half of them listed; the best of
//! a few rounds is shown: the others only measure who else used the machine. Memory is counted by the
//! rules themselves and, where there is `/proc`, as the growth of the resident set.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use framewall::firewall::{Action, List, Rules};
use ipnet::IpNet;

const PREFIXES: usize = 1_000_000;
const LOOKUPS: u32 = 1_000_000;
const ROUNDS: usize = 5;
/// What a million prefixes may take.
const MOST_BYTES: usize = 64 << 20;

fn main() {
    println!("{:22} {:>9} {:>9} {:>9} {:>10}", "", "build ms", "B/prefix", "RSS MiB", "ns/lookup");
    row("IPv4, 70% /32, 20% /24", v4);
    row("IPv6, 70% /128, 20% /64", v6);
    let mut noise = Noise(7);
    file("a million IPv4 lines", &text(&mut noise, v4));
    file("a million IPv6 lines", &text(&mut noise, v6));
}

fn row(name: &str, network: fn(&mut Noise) -> IpNet) {
    let mut noise = Noise(1);
    let networks: Vec<_> = (0..PREFIXES).map(|_| network(&mut noise)).collect();
    let before = resident();
    let begun = Instant::now();
    let rules = build(&networks);
    let took = begun.elapsed();
    let grown = resident().saturating_sub(before);
    assert!(
        rules.bytes() <= MOST_BYTES && grown <= MOST_BYTES,
        "{grown} bytes are more than 64 MiB"
    );
    let mut ips: Vec<_> = (0..LOOKUPS / 2).map(|_| network(&mut noise).addr()).collect();
    ips.extend((0..LOOKUPS / 2).map(|_| networks[noise.below(PREFIXES)].addr()));
    let best = (0..ROUNDS).map(|_| lookups(&rules, &ips)).min().unwrap_or_default();
    println!(
        "{name:22} {:>9} {:>9} {:>9} {:>10}",
        took.as_millis(),
        rules.bytes() / rules.len(),
        grown >> 20,
        best.as_nanos()
    );
}

fn build(networks: &[IpNet]) -> Rules {
    let mut builder = Rules::builder();
    builder.list(Action::Deny, "firewall.deny", networks).expect("within the bounds");
    builder.build()
}

/// The mean of a round.
fn lookups(rules: &Rules, ips: &[IpAddr]) -> Duration {
    let begun = Instant::now();
    let denied = ips.iter().filter(|ip| rules.judge(black_box(**ip)).is_denied()).count();
    let mean = begun.elapsed() / LOOKUPS;
    assert!(black_box(denied) >= ips.len() / 2);
    mean
}

fn file(name: &str, text: &str) {
    let best = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        let list = List::parse(black_box(text.as_bytes())).expect("a good list");
        let parsed = begun.elapsed();
        let mut builder = Rules::builder();
        builder.file(Path::new("list.txt"), &list).expect("within the bounds");
        black_box(builder.build());
        (begun.elapsed(), parsed)
    });
    let (all, parsed) = best.min().unwrap_or_default();
    println!("{name}: {} ms, of which {} ms parsing", all.as_millis(), parsed.as_millis());
}

fn text(noise: &mut Noise, network: fn(&mut Noise) -> IpNet) -> String {
    (0..PREFIXES).fold(String::new(), |mut text, _| {
        let network = network(noise);
        let _ = if network.prefix_len() == network.max_prefix_len() {
            writeln!(text, "{}", network.addr())
        } else {
            writeln!(text, "{network}")
        };
        text
    })
}

fn v4(noise: &mut Noise) -> IpNet {
    let length = [32, 32, 32, 32, 32, 32, 32, 24, 24, 16][noise.below(10)];
    let address = Ipv4Addr::from_bits((noise.next() >> 32) as u32);
    IpNet::new(address.into(), length).expect("a length").trunc()
}

fn v6(noise: &mut Noise) -> IpNet {
    let length = [128, 128, 128, 128, 128, 128, 128, 64, 64, 48][noise.below(10)];
    let bits = u128::from(noise.next()) << 64 | u128::from(noise.next());
    let address = Ipv6Addr::from(0x2000 << 112 | bits >> 3);
    IpNet::new(address.into(), length).expect("a length").trunc()
}

/// Bytes of the resident set; 0 where it is not known.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

/// A small generator that is the same everywhere (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("less than the bound")
    }
}
