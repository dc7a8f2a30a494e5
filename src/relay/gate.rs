//! stub
use super::Endpoint;
use super::budget::HoldBudget;
use super::close::CloseFrame;
use super::violation::Violation;
use crate::observe::Flow;
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_frame_size: u64,
    pub max_message_size: u64,
    pub max_fragments: u32,
}
impl From<&crate::config::WebSocket> for Limits {
    fn from(w: &crate::config::WebSocket) -> Self {
        Self {
            max_frame_size: w.max_frame_size,
            max_message_size: w.max_message_size,
            max_fragments: w.max_fragments,
        }
    }
}
#[derive(Debug)]
pub struct Gate {
    bytes: u64,
}
#[derive(Debug)]
pub enum Event {
    OwnPong,
    Close(CloseFrame),
    Violation(Box<Violation>),
}
#[derive(Debug)]
pub struct Judged<'a> {
    pub consumed: usize,
    pub release: [&'a [u8]; 2],
    pub event: Option<Event>,
}
impl Gate {
    pub fn new(_: Endpoint, _: Limits, _: [u8; 8]) -> Self {
        Self { bytes: 0 }
    }
    pub fn judge<'a>(&'a mut self, input: &'a [u8], _: &HoldBudget) -> Judged<'a> {
        self.bytes += input.len() as u64;
        Judged { consumed: input.len(), release: [&[], input], event: None }
    }
    pub fn unfinished(&self) -> u64 {
        0
    }
    pub fn in_frame(&self) -> bool {
        false
    }
    pub fn message_begun(&self) -> Option<u64> {
        None
    }
    pub fn control_begun(&self) -> Option<u64> {
        None
    }
    pub fn flow(&self) -> Flow {
        Flow { bytes: self.bytes, ..Flow::default() }
    }
    pub fn activity(&self) -> u64 {
        0
    }
    pub fn closed(&self) -> bool {
        false
    }
    pub fn release_memory(&mut self) {}
}
