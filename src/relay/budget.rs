//! stub
#[derive(Debug)]
pub struct HoldBudget;
impl HoldBudget {
    pub fn new(_: usize) -> Self {
        Self
    }
}
