//! `max_connections`.

use super::support::{Gateway, RawUpstream, Request, Session, eventually, valid_answer};

#[test]
fn a_full_gateway_answers_503_until_a_session_ends() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server("max_connections = 1").start();
    let mut session = Session::open(&gateway, &upstream);
    let refused = gateway.expect_refusal(&Request::upgrade("/ws"), 503, "capacity");
    assert_eq!(refused.only("retry-after"), Some("5"));
    upstream.received_nothing();
    session.prove_alive();
    session.close(1000, "");

    // The slot comes back with the session's task, a moment after its last byte.
    eventually(|| {
        let mut client = gateway.connect();
        client.send_request(&Request::upgrade("/ws"));
        let mut application = upstream.accept_unless(&mut client)?;
        let request = application.read_head();
        application.send(valid_answer(&request, "").as_bytes());
        Some(client.read_head().status())
    })
    .map_or_else(|| panic!("no slot"), |status| assert_eq!(status, 101));
}
