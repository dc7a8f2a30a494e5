//! The messages of one type: their number, kinds, sizes, rates and shape.

use super::shape::Shape;

/// The messages of one type.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) count: u64,
    pub(super) text: u64,
    pub(super) binary: u64,
    pub(super) least: u64,
    pub(super) most: u64,
    pub(super) bytes: u64,
    /// Of all sessions together.
    peak: Peak,
    pub(super) most_in_second: u32,
    pub(super) most_in_minute: u32,
    /// Of one session.
    pub(super) session_second: u32,
    pub(super) session_minute: u32,
    /// Whether the rates of a session are not known.
    pub(super) uncounted: bool,
    /// The shape of those that are JSON.
    pub(super) shape: Shape,
}

/// The number of messages in the present second and minute, each counted from the begin of the observation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Peak {
    second: u64,
    in_second: u32,
    minute: u64,
    in_minute: u32,
}

impl Peak {
    /// Counts a message; returns the numbers of its second and its minute. One that another worker saw a moment before
    /// counts for the present second.
    pub(super) fn add(&mut self, second: u64) -> (u32, u32) {
        let minute = second / 60;
        if self.second < second {
            (self.second, self.in_second) = (second, 0);
        }
        if self.minute < minute {
            (self.minute, self.in_minute) = (minute, 0);
        }
        self.in_second = self.in_second.saturating_add(1);
        self.in_minute = self.in_minute.saturating_add(1);
        (self.in_second, self.in_minute)
    }
}

impl Group {
    /// Counts a message. `of_session` has the numbers of its session in its second and its minute.
    pub(super) fn add(
        &mut self,
        binary: bool,
        size: u64,
        second: u64,
        of_session: Option<(u32, u32)>,
    ) {
        self.least = if self.count == 0 { size } else { self.least.min(size) };
        self.most = self.most.max(size);
        self.bytes = self.bytes.saturating_add(size);
        self.count += 1;
        self.text += u64::from(!binary);
        self.binary += u64::from(binary);
        let (in_second, in_minute) = self.peak.add(second);
        self.most_in_second = self.most_in_second.max(in_second);
        self.most_in_minute = self.most_in_minute.max(in_minute);
        match of_session {
            Some((in_second, in_minute)) => {
                self.session_second = self.session_second.max(in_second);
                self.session_minute = self.session_minute.max(in_minute);
            }
            None => self.uncounted = true,
        }
    }
}
