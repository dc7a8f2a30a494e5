//! What it answers to a request that it refuses, and that the log says the same.

use serde_json::Value;

use super::super::{Request, Response, eventually};
use super::Gateway;

impl Gateway {
    /// The answer to `bytes` on a connection of their own, which must end behind it, or when the client ends it
    /// where the answer keeps it open.
    pub fn answer_to(&self, bytes: &[u8]) -> Response {
        let mut client = self.connect();
        client.send(bytes);
        let response = client.read_response();
        if !response.says_close() {
            client.half_close();
        }
        client.expect_eof();
        response
    }

    /// The refusal of `request`: its status, its reason, a whole problem body, and a record of it.
    #[track_caller]
    pub fn expect_refusal(&self, request: &Request, status: u16, reason: &str) -> Response {
        let response = self.answer_to(&request.bytes());
        self.check_refusal(&response, status, reason);
        response
    }

    /// `response` is this refusal, and the log says the same.
    #[track_caller]
    pub fn check_refusal(&self, response: &Response, status: u16, reason: &str) {
        assert_eq!(response.status(), status, "{response:?}");
        let problem = response.problem().unwrap_or_else(|| panic!("no problem: {response:?}"));
        assert_eq!(problem["reason"], reason);
        assert_eq!(problem["status"], status);
        for member in ["type", "title", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        let record = self.wait_for_record(|record| {
            record["event"] == "refused" && record["request_id"] == problem["request_id"]
        });
        assert_eq!(record["reason"], reason);
    }

    /// The answer to a head that may not parse as HTTP: the HTTP library may refuse it barely, and
    /// the log has the reason all the same.
    #[track_caller]
    pub fn expect_bare_refusal(&self, bytes: &[u8], status: u16, reason: &str) {
        let before = self.refusals(reason).len();
        let response = self.answer_to(bytes);
        assert_eq!(response.status(), status, "{response:?}");
        if response.problem().is_some() {
            self.check_refusal(&response, status, reason);
        }
        eventually(|| (self.refusals(reason).len() > before).then_some(()))
            .unwrap_or_else(|| panic!("no record of the refusal: {:?}", self.log_records()));
    }

    fn refusals(&self, reason: &str) -> Vec<Value> {
        let mut records = self.log_records();
        records.retain(|record| record["event"] == "refused" && record["reason"] == reason);
        records
    }
}
