//! The edges of UTF-8 (RFC 3629 sections 3 and 4).

/// Bytes that are good so far, and bytes of which the first one cannot follow.
pub(crate) struct Impossible {
    pub(crate) what: &'static str,
    pub(crate) good: &'static [u8],
    pub(crate) bad: &'static [u8],
}

/// Texts in many scripts, with characters of each length.
pub(crate) const TEXTS: [(&str, &str); 7] = [
    ("an empty text", ""),
    ("ASCII", "Hello, world! \u{7f}\0"),
    ("two bytes", "Grüße, добрый день, שלום"),
    ("three bytes", "κόσμε, 世界, नमस्ते, €"),
    ("four bytes", "😀🏳️‍🌈 𝒳 𠀀"),
    ("every length", "aä€😀aä€😀aä€😀aä€😀aä€😀aä€😀aä€😀aä€😀"),
    ("combining marks and a byte order mark", "\u{feff}e\u{301}\u{20dd}"),
];

/// The first and last code point of each length, around the surrogates, and noncharacters, which
/// are code points as any.
pub(crate) const EDGES: [u32; 32] = [
    0x0, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xcfff, 0xd000, 0xd7ff, 0xe000, 0xfdd0, 0xfdef,
    0xfffd, 0xfffe, 0xffff, 0x1_0000, 0x1_fffe, 0x1_ffff, 0x2_fffe, 0x2_ffff, 0x3_0000, 0x3_fffe,
    0x3_ffff, 0x4_0000, 0xe_0001, 0xf_fffe, 0xf_ffff, 0x10_0000, 0x10_fffd, 0x10_fffe, 0x10_ffff,
];

/// Every way to leave the table.
pub(crate) fn impossible() -> Vec<Impossible> {
    let groups: [&[Row]; 6] =
        [&CONTINUATIONS, &NEVER, &OVERLONG, &SURROGATES, &BEYOND, &BROKEN_OFF];
    let rows = groups.into_iter().flatten();
    rows.map(|&(what, good, bad)| Impossible { what, good, bad }).collect()
}

type Row = (&'static str, &'static [u8], &'static [u8]);

/// Where a character has to begin.
const CONTINUATIONS: [Row; 5] = [
    ("the first continuation byte alone", b"", b"\x80"),
    ("the last continuation byte alone", b"", b"\xbf"),
    ("many continuation bytes", b"", b"\x80\xbf\x80\xbf\x80\xbf"),
    ("one continuation byte too many behind two bytes", b"\xc3\xa4", b"\xa4"),
    ("one continuation byte too many behind four bytes", b"\xf0\x9f\x98\x80", b"\x80"),
];

/// Bytes that are in no text at all.
const NEVER: [Row; 8] = [
    ("0xfe", b"", b"\xfe"),
    ("0xff", b"", b"\xff"),
    ("0xfe 0xfe 0xff 0xff", b"", b"\xfe\xfe\xff\xff"),
    ("0xc0", b"", b"\xc0 "),
    ("0xc1", b"", b"\xc1 "),
    ("0xf5", b"", b"\xf5 "),
    ("a beginning of five bytes", b"", b"\xf8\x88\x80\x80\x80"),
    ("a beginning of six bytes", b"", b"\xfc\x84\x80\x80\x80\x80"),
];

/// What a shorter sequence says.
const OVERLONG: [Row; 12] = [
    ("U+0000 in two bytes", b"", b"\xc0\x80"),
    ("U+002F in two bytes", b"", b"\xc0\xaf"),
    ("U+007F in two bytes", b"", b"\xc1\xbf"),
    ("U+0000 in three bytes", b"\xe0", b"\x80\x80"),
    ("U+002F in three bytes", b"\xe0", b"\x80\xaf"),
    ("U+07FF in three bytes", b"\xe0", b"\x9f\xbf"),
    ("U+0000 in four bytes", b"\xf0", b"\x80\x80\x80"),
    ("U+002F in four bytes", b"\xf0", b"\x80\x80\xaf"),
    ("U+FFFF in four bytes", b"\xf0", b"\x8f\xbf\xbf"),
    ("U+002F in five bytes", b"", b"\xf8\x80\x80\x80\xaf"),
    ("U+002F in six bytes", b"", b"\xfc\x80\x80\x80\x80\xaf"),
    ("U+10000 in five bytes", b"", b"\xf8\x80\x90\x80\x80"),
];

/// Halves of UTF-16, alone and in pairs (CESU-8).
const SURROGATES: [Row; 9] = [
    ("U+D800", b"\xed", b"\xa0\x80"),
    ("U+DB7F", b"\xed", b"\xad\xbf"),
    ("U+DB80", b"\xed", b"\xae\x80"),
    ("U+DBFF", b"\xed", b"\xaf\xbf"),
    ("U+DC00", b"\xed", b"\xb0\x80"),
    ("U+DF80", b"\xed", b"\xbe\x80"),
    ("U+DFFF", b"\xed", b"\xbf\xbf"),
    ("U+D800 U+DC00", b"\xed", b"\xa0\x80\xed\xb0\x80"),
    ("U+DBFF U+DFFF", b"\xed", b"\xaf\xbf\xed\xbf\xbf"),
];

/// Above U+10FFFF.
const BEYOND: [Row; 5] = [
    ("U+110000", b"\xf4", b"\x90\x80\x80"),
    ("U+13FFFF", b"\xf4", b"\xbf\xbf\xbf"),
    ("U+140000", b"", b"\xf5\x80\x80\x80"),
    ("U+1FFFFF", b"", b"\xf7\xbf\xbf\xbf"),
    ("U+7FFFFFFF", b"", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
];

/// A character that another one interrupts.
const BROKEN_OFF: [Row; 12] = [
    ("one of two bytes, then a space", b"\xc3", b" "),
    ("one of two bytes, then a character of two", b"\xdf", b"\xc3\xa4"),
    ("one of three bytes, then a space", b"\xe2", b" "),
    ("two of three bytes, then a space", b"\xe2\x82", b" "),
    ("two of three bytes, then a character of three", b"\xef\xbf", b"\xe2\x82\xac"),
    ("one of four bytes, then a space", b"\xf0", b" "),
    ("two of four bytes, then a space", b"\xf0\x9f", b" "),
    ("three of four bytes, then a space", b"\xf0\x9f\x98", b" "),
    ("three of four bytes, then the same again", b"\xf0\x9f\x98", b"\xf0\x9f\x98\x80"),
    ("three of four bytes, then 0xff", b"\xf4\x8f\xbf", b"\xff"),
    ("two of three bytes, then a NUL", b"\xed\x9f", b"\0"),
    ("one of two bytes, then 0x7f", b"\xc2", b"\x7f"),
];
