//! A case: what one end sends, what of it arrives at the other, and how the session ends.

use super::agreement::Agreement;
use super::drive::Direction;
use super::support::Frame;

/// Masks are left out: the drive sets them as the sender should.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The family's number, the group's, and the place in it.
    pub(crate) id: String,
    pub(crate) what: String,
    /// Sent first, and arrives byte for byte.
    pub(crate) crosses: Vec<Frame>,
    /// Sent behind that; not one byte of it arrives.
    pub(crate) stays: Vec<Part>,
    pub(crate) end: End,
    pub(crate) writes: Writes,
    /// What the ends agreed on; `None`: no extension.
    pub(crate) agreed: Option<Agreement>,
    /// The one direction that it is driven in; `None`: both.
    pub(crate) only: Option<Direction>,
}

/// One frame of what must not arrive, or as much of it as is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Whole(Frame),
    /// Masked where it must not be, or the other way round.
    WrongMask(Frame),
    /// With this length field and extended length.
    Length(Frame, u8, Vec<u8>),
    /// The first two bytes; the rest is withheld.
    Start(Frame),
    /// The header and this many bytes of the payload; the rest is withheld.
    Begun(Frame, usize),
}

/// How the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It does not: frames still go both ways, and the test closes it.
    Open,
    /// The last of what crosses is a Close, which the other end answers.
    Closed,
    /// The sender is told this code and reason, the other end that it is over.
    Refused(u16, &'static str),
    /// The same, but the other end has the beginning of the frame already: its connection is cut.
    Cut(u16, &'static str),
}

/// How the bytes are cut into writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    Together,
    FrameWise,
    /// So many bytes a write.
    Chops(usize),
}

/// What RFC 6455 section 7.4.1 calls a protocol error.
pub(crate) const PROTOCOL: End = End::Refused(1002, "frame.protocol");
/// Text that is not UTF-8.
pub(crate) const UTF8: End = End::Refused(1007, "frame.utf8");

impl Case {
    fn new(what: impl Into<String>, crosses: Vec<Frame>, stays: Vec<Part>, end: End) -> Self {
        let (id, what) = (String::new(), what.into());
        let (writes, agreed, only) = (Writes::Together, None, None);
        Self { id, what, crosses, stays, end, writes, agreed, only }
    }

    /// Frames that are in order.
    pub(crate) fn passes(what: impl Into<String>, frames: impl Into<Vec<Frame>>) -> Self {
        Self::new(what, frames.into(), Vec::new(), End::Open)
    }

    /// Frames that end with a Close, and what its sender sends nevertheless.
    pub(crate) fn closes(
        what: impl Into<String>,
        frames: impl Into<Vec<Frame>>,
        late: Vec<Part>,
    ) -> Self {
        Self::new(what, frames.into(), late, End::Closed)
    }

    /// Frames that are in order, then one that breaks the protocol.
    pub(crate) fn refused(
        what: impl Into<String>,
        before: impl Into<Vec<Frame>>,
        bad: impl Into<Part>,
    ) -> Self {
        Self::new(what, before.into(), vec![bad.into()], PROTOCOL)
    }

    /// The same with more behind the offence, which nobody reads.
    pub(crate) fn then(mut self, more: impl Into<Part>) -> Self {
        self.stays.push(more.into());
        self
    }

    pub(crate) fn ending(self, end: End) -> Self {
        Self { end, ..self }
    }

    pub(crate) fn written(self, writes: Writes) -> Self {
        Self { writes, ..self }
    }

    pub(crate) fn agreeing(self, agreed: Agreement) -> Self {
        Self { agreed: Some(agreed), ..self }
    }

    pub(crate) fn only(self, direction: Direction) -> Self {
        Self { only: Some(direction), ..self }
    }

    pub(crate) fn directions(&self) -> Vec<Direction> {
        let both = vec![Direction::ToUpstream, Direction::ToClient];
        self.only.map_or(both, |only| vec![only])
    }

    /// How often it is driven: once in each of its directions and, if it is in order and not
    /// compressed, through an echo.
    pub(crate) fn runs(&self) -> usize {
        self.directions().len() + usize::from(self.is_valid() && self.agreed.is_none())
    }

    /// Whether it is the same as another, however they are written.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.what == other.what
            && (self.end, self.only) == (other.end, other.only)
            && self.crosses == other.crosses
            && self.stays == other.stays
    }

    pub(crate) fn is_valid(&self) -> bool {
        matches!(self.end, End::Open | End::Closed)
    }
}

impl From<Frame> for Part {
    fn from(frame: Frame) -> Self {
        Self::Whole(frame)
    }
}

impl Part {
    /// Its bytes on the wire from a sender that masks, or from one that does not.
    pub(crate) fn encode(&self, masks: bool) -> Vec<u8> {
        match self {
            Self::Whole(frame) => frame.clone().masked(masks).encode(),
            Self::WrongMask(frame) => frame.clone().masked(!masks).encode(),
            Self::Length(frame, length, extended) => {
                frame.clone().masked(masks).encode_with(*length, extended)
            }
            Self::Start(frame) => frame.clone().masked(masks).encode()[..2].to_vec(),
            Self::Begun(frame, sent) => {
                let mut bytes = frame.clone().masked(masks).encode();
                bytes.truncate(bytes.len() - frame.payload.len() + sent);
                bytes
            }
        }
    }
}

/// Numbers the cases of a group.
pub(crate) fn group(number: &str, cases: impl IntoIterator<Item = Case>) -> Vec<Case> {
    let numbered = |(index, case)| Case { id: format!("{number}.{}", index + 1), ..case };
    cases.into_iter().enumerate().map(numbered).collect()
}

/// Each case three times: all in one write, a write a frame, a write a byte.
pub(crate) fn every_way(cases: impl IntoIterator<Item = Case>) -> Vec<Case> {
    let ways = [Writes::Together, Writes::FrameWise, Writes::Chops(1)];
    let each = |case: Case| ways.map(|way| case.clone().written(way));
    cases.into_iter().flat_map(each).collect()
}
