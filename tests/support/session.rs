//! A session through the gateway with the test at both ends.

use super::{Frame, Gateway, RawUpstream, Request, Response, Wire};

/// An accepted session: what the client writes is read at `upstream`, and the other way round.
pub struct Session {
    pub client: Wire,
    pub upstream: Wire,
    /// The head that the upstream got.
    pub request: Response,
    /// The 101 that the client got.
    pub response: Response,
}

impl Session {
    /// Opens `/ws`.
    pub fn open(gateway: &Gateway, upstream: &RawUpstream) -> Self {
        Self::open_with(gateway, upstream, &Request::upgrade("/ws"), "")
    }

    /// Opens what `request` asks for; `fields` go into the upstream's 101.
    pub fn open_with(
        gateway: &Gateway,
        upstream: &RawUpstream,
        request: &Request,
        fields: &str,
    ) -> Self {
        let mut client = gateway.connect();
        client.send_request(request);
        let (wire, request) = upstream.accept_upgrade(fields);
        let response = client.read_head();
        assert_eq!(response.status(), 101, "{response:?}");
        Self { client, upstream: wire, request, response }
    }

    /// What the log calls this session.
    pub fn request_id(&self) -> String {
        let id = self.request.only("x-request-id");
        id.expect("the upstream is told the request id").to_owned()
    }

    /// Both directions carry a message.
    pub fn prove_alive(&mut self) {
        self.client.say(Frame::text("there"));
        self.upstream.expect_frame(Frame::text("there"));
        self.upstream.say(Frame::text("and back"));
        self.client.expect_frame(Frame::text("and back"));
    }

    /// The client closes and the application agrees; both connections end in order.
    pub fn close(mut self, code: u16, reason: &str) {
        self.client.say(Frame::close(code, reason));
        self.upstream.expect_frame(Frame::close(code, reason));
        self.upstream.say(Frame::close(code, reason));
        self.client.expect_frame(Frame::close(code, reason));
        self.client.expect_end();
        self.upstream.expect_end();
    }
}
