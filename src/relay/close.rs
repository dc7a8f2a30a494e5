//! stub
#[derive(Debug, Clone, Copy)]
pub struct CloseFrame {
    pub code: Option<u16>,
}
#[derive(Debug, Clone, Copy)]
pub enum ControlOpcode {
    Ping,
    Close,
}
pub struct ControlFrame(Vec<u8>);
impl ControlFrame {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
pub fn control_frame(_: super::Endpoint, _: ControlOpcode, _: &[u8], _: [u8; 4]) -> ControlFrame {
    ControlFrame(vec![])
}
pub fn close_payload(_: Option<u16>, _: &str) -> ControlFrame {
    ControlFrame(vec![])
}
