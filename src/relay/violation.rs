//! stub
#[derive(Debug, Clone)]
pub struct Violation {
    pub rule: Rule,
    pub sender: super::Endpoint,
    pub frame_offset: u64,
    pub offset: u64,
    pub header: Header,
}
#[derive(Debug, Clone, Copy)]
pub struct Rule;
impl Rule {
    pub fn reason(self) -> crate::refusal::Reason {
        crate::refusal::Reason::FrameProtocol
    }
    pub fn section(self) -> &'static str {
        ""
    }
    pub fn text(self) -> &'static str {
        ""
    }
}
#[derive(Debug, Clone)]
pub struct Header;
impl Header {
    pub fn hex(&self) -> String {
        String::new()
    }
    pub fn as_bytes(&self) -> &[u8] {
        &[]
    }
}
impl std::fmt::Display for Header {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
