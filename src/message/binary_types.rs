//! Types of binary messages, by the bytes that their files begin with. The bytes are asked for at their places, not
//! somewhere near the beginning as some readers accept them: a JSON text that holds them must not pass.

/// A type of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryType {
    /// AV1 images.
    Avif,
    /// Windows bitmaps.
    Bmp,
    /// FLAC audio.
    Flac,
    /// GIF images.
    Gif,
    /// RFC 1952.
    Gzip,
    /// HEIC images.
    Heic,
    /// JPEG images.
    Jpeg,
    /// MP3 audio.
    Mp3,
    /// MPEG-4 audio and video.
    Mp4,
    /// RFC 3533.
    Ogg,
    /// PDF documents.
    Pdf,
    /// PNG images.
    Png,
    /// TIFF images.
    Tiff,
    /// WAVE audio.
    Wav,
    /// `WebM`, and Matroska.
    Webm,
    /// WebP images (RFC 9649).
    Webp,
    /// ZIP archives, and office documents in them.
    Zip,
    /// RFC 8878.
    Zstd,
}

/// Bytes, each at its offset.
type Magic = &'static [(usize, &'static [u8])];

impl BinaryType {
    /// The type of which the file begins with each of these bytes, or with another of the alternatives.
    fn magics(self) -> &'static [Magic] {
        match self {
            Self::Avif => &[&[(0, b"\0"), (4, b"ftypavif")], &[(0, b"\0"), (4, b"ftypavis")]],
            Self::Bmp => &[&[(0, b"BM"), (6, b"\0\0\0\0")]],
            Self::Flac => &[&[(0, b"fLaC")]],
            Self::Gif => &[&[(0, b"GIF87a")], &[(0, b"GIF89a")]],
            Self::Gzip => &[&[(0, b"\x1f\x8b\x08")]],
            Self::Heic => &[
                &[(0, b"\0"), (4, b"ftypheic")],
                &[(0, b"\0"), (4, b"ftypheix")],
                &[(0, b"\0"), (4, b"ftypmif1")],
            ],
            Self::Jpeg => &[&[(0, b"\xff\xd8\xff")]],
            Self::Mp3 => &[
                &[(0, b"ID3\x02")],
                &[(0, b"ID3\x03")],
                &[(0, b"ID3\x04")],
                &[(0, b"\xff\xfb")],
                &[(0, b"\xff\xf3")],
                &[(0, b"\xff\xf2")],
            ],
            Self::Mp4 => &[
                &[(0, b"\0"), (4, b"ftypiso")],
                &[(0, b"\0"), (4, b"ftypmp4")],
                &[(0, b"\0"), (4, b"ftypavc1")],
                &[(0, b"\0"), (4, b"ftypdash")],
                &[(0, b"\0"), (4, b"ftypM4")],
            ],
            Self::Ogg => &[&[(0, b"OggS\0")]],
            Self::Pdf => &[&[(0, b"%PDF-")]],
            Self::Png => &[&[(0, b"\x89PNG\r\n\x1a\n")]],
            Self::Tiff => &[&[(0, b"II*\0")], &[(0, b"MM\0*")]],
            Self::Wav => &[&[(0, b"RIFF"), (8, b"WAVE")]],
            Self::Webm => &[&[(0, b"\x1a\x45\xdf\xa3")]],
            Self::Webp => &[&[(0, b"RIFF"), (8, b"WEBP")]],
            Self::Zip => &[&[(0, b"PK\x03\x04")], &[(0, b"PK\x05\x06")]],
            Self::Zstd => &[&[(0, b"\x28\xb5\x2f\xfd")]],
        }
    }

    /// Whether `payload` begins as a file of this type.
    pub(super) fn begins(self, payload: &[u8]) -> bool {
        let has = |&(offset, bytes): &(usize, &[u8])| {
            payload.get(offset..).is_some_and(|rest| rest.starts_with(bytes))
        };
        self.magics().iter().any(|magic| magic.iter().all(has))
    }
}

#[cfg(test)]
mod tests {
    use super::BinaryType::{
        self, Avif, Bmp, Flac, Gif, Gzip, Heic, Jpeg, Mp3, Mp4, Ogg, Pdf, Png, Tiff, Wav, Webm,
        Webp, Zip, Zstd,
    };

    const ALL: [BinaryType; 18] = [
        Avif, Bmp, Flac, Gif, Gzip, Heic, Jpeg, Mp3, Mp4, Ogg, Pdf, Png, Tiff, Wav, Webm, Webp,
        Zip, Zstd,
    ];

    /// Beginnings of files that other programs wrote.
    #[test]
    fn files_have_their_type_alone() {
        for (file, expected) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], Png),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Jpeg),
            (b"GIF89a\x01\0\x01\0", Gif),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Webp),
            (b"RIFF\x24\0\0\0WAVEfmt ", Wav),
            (b"\0\0\0\x1cftypavif\0\0\0\0", Avif),
            (b"\0\0\0\x18ftypheic\0\0\0\0", Heic),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", Mp4),
            (b"\0\0\0\x18ftypmp42\0\0\0\0", Mp4),
            (b"BM\x46\0\0\0\0\0\0\0\x36", Bmp),
            (b"II*\0\x08\0\0\0", Tiff),
            (b"%PDF-1.7\n", Pdf),
            (b"PK\x03\x04\x14\0", Zip),
            (b"\x1f\x8b\x08\0\0\0\0\0", Gzip),
            (b"\x28\xb5\x2f\xfd\x04\0", Zstd),
            (b"ID3\x04\0\0\0\0", Mp3),
            (b"\xff\xfb\x90\x64", Mp3),
            (b"OggS\0\x02\0\0", Ogg),
            (b"fLaC\0\0\0\x22", Flac),
            (b"\x1a\x45\xdf\xa3\x9f\x42", Webm),
        ] {
            let types: Vec<_> = ALL.into_iter().filter(|one| one.begins(file)).collect();
            assert_eq!(types, [expected]);
            assert!(serde_json::from_slice::<serde_json::Value>(file).is_err());
        }
    }

    /// Texts that hold the bytes at other places, where some readers look for them.
    #[test]
    fn texts_have_no_type() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "{\"a\":\"%PDF-1.7\"}",
            " %PDF-1.7",
            "  [\"ftypisom\"]",
            "42[\"ftypmp42\",{\"a\":1}]",
            "[1,\"ftypavif\"]",
            "BM, and more",
            "ID3 tags",
            "GIF",
            "RIFF",
            "PK",
            "false",
            "\u{89}PNG\r\n\u{1a}\n",
        ] {
            assert!(!ALL.into_iter().any(|one| one.begins(text.as_bytes())), "{text}");
        }
    }
}
