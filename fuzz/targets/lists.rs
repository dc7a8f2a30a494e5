//! Arbitrary bytes as a list file: it is read, or each line that is shown says what is wrong. What was
//! read decides as a look at each of its networks does.

#![no_main]

use std::net::IpAddr;
use std::path::Path;

use framewall::firewall::{BadList, List, Rules, Why};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match List::parse(bytes) {
        Ok(list) => check_rules(&list),
        Err(BadList::Lines { first, more }) => {
            assert!(!first.is_empty() && first.len() <= 5 && (more == 0 || first.len() == 5));
            for bad in first {
                let told = bad.to_string();
                assert!(bad.line > 0 && told.len() < 400, "{told}");
                assert!(told.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{told}");
            }
        }
        Err(BadList::TooLong) => panic!("{} bytes have so many lines", bytes.len()),
    }
});

fn check_rules(list: &List) {
    let mut builder = Rules::builder();
    builder.file(Path::new("list"), list).expect("within the bounds");
    let rules = builder.build();
    assert!(rules.len() <= list.len() && rules.is_empty() == list.is_empty());
    // A look at each network for each of them takes its time.
    for (network, _) in list.iter().take(64) {
        assert_eq!(network, network.trunc());
        check(&rules, list, network.network());
        check(&rules, list, network.broadcast());
    }
    check(&rules, list, [0; 16].into());
    check(&rules, list, [255; 4].into());
}

fn check(rules: &Rules, list: &List, ip: IpAddr) {
    let ip = ip.to_canonical();
    let covering = list.iter().filter(|(network, _)| network.contains(&ip));
    let longest = covering.map(|(network, _)| network).max_by_key(|network| network.prefix_len());
    let verdict = rules.judge(ip);
    assert_eq!(verdict.is_denied(), longest.is_some());
    match verdict.why {
        Why::Unlisted => assert_eq!(longest, None),
        Why::Entry(entry) => {
            assert_eq!(Some(entry.network), longest);
            let said = (entry.network, entry.position);
            assert!(list.iter().any(|listed| listed == said), "{said:?}");
        }
        other => panic!("{other:?}"),
    }
}
