//! Zstandard, written piece by piece: a stream of frames, each made in memory, so that a full disk is an
//! error and nothing worse. Any other program of the format reads it.

use std::io::{self, Read, Write};

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// How much goes into one frame.
const FRAME: usize = 4 << 20;

/// Compresses what is written into it.
pub(super) struct Writer<W: Write> {
    out: W,
    piece: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) const fn new(out: W) -> Self {
        Self { out, piece: Vec::new() }
    }

    fn frame(&mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            let frame = compress_to_vec(self.piece.as_slice(), CompressionLevel::Fastest);
            self.out.write_all(&frame)?;
            self.piece.clear();
        }
        Ok(())
    }

    /// Writes what is left and gives the stream back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.frame()?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FRAME - self.piece.len();
        let part = &bytes[..bytes.len().min(room)];
        self.piece.extend_from_slice(part);
        if self.piece.len() == FRAME {
            self.frame()?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decompresses what is read through it. A stream that ends within a frame is an error.
pub(super) struct Reader<R: Read> {
    state: State<R>,
}

enum State<R: Read> {
    Between(R),
    Within(Box<StreamingDecoder<Ahead<R>, ruzstd::decoding::FrameDecoder>>),
    Over,
}

/// A stream of which the first byte has been read already.
struct Ahead<R: Read> {
    first: Option<u8>,
    rest: R,
}

impl<R: Read> Read for Ahead<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match (self.first, into.first_mut()) {
            (Some(byte), Some(slot)) => {
                *slot = byte;
                self.first = None;
                Ok(1)
            }
            _ => self.rest.read(into),
        }
    }
}

impl<R: Read> Reader<R> {
    pub(super) const fn new(from: R) -> Self {
        Self { state: State::Between(from) }
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the compressed data is damaged: {why}"))
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Ok(0),
                State::Between(mut rest) => {
                    let mut first = [0];
                    if rest.read(&mut first)? == 0 {
                        return Ok(0);
                    }
                    let ahead = Ahead { first: Some(first[0]), rest };
                    let decoder = StreamingDecoder::new(ahead)
                        .map_err(|_| damaged("what should be a frame of Zstandard is none"))?;
                    self.state = State::Within(Box::new(decoder));
                }
                State::Within(mut decoder) => {
                    let read = decoder
                        .read(into)
                        .map_err(|_| damaged("a block is cut short or has been changed"))?;
                    if read > 0 {
                        self.state = State::Within(decoder);
                        return Ok(read);
                    }
                    let frame = &decoder.decoder;
                    let sums = (frame.get_checksum_from_data(), frame.get_calculated_checksum());
                    if sums.0.is_some() && sums.0 != sums.1 {
                        return Err(damaged("a checksum is wrong"));
                    }
                    self.state = State::Between(decoder.into_inner().rest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Reader::new(bytes).read_to_end(&mut text).map(|_| text)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let line = b"{\"n\":41,\"id\":\"w-7\",\"status\":\"active\"}\n";
        for size in [0, 1, 1000, FRAME - 1, FRAME, FRAME + 1] {
            let text: Vec<u8> = line.iter().copied().cycle().take(size).collect();
            let bytes = packed(&text);
            assert!(size < 1000 || bytes.len() < size / 4, "{size} became {}", bytes.len());
            assert!(unpacked(&bytes).unwrap() == text, "{size}");
        }
    }

    #[test]
    fn a_stream_cut_anywhere_or_changed_is_an_error() {
        let text: Vec<u8> = (0..3000u32).flat_map(|n| format!("{n},").into_bytes()).collect();
        let bytes = packed(&text);
        for cut in 1..bytes.len() {
            assert!(unpacked(&bytes[..cut]).is_err(), "{cut} of {}", bytes.len());
        }
        let mut unnoticed = 0;
        for at in (0..bytes.len()).step_by(7) {
            let mut other = bytes.clone();
            other[at] ^= 0x10;
            unnoticed += usize::from(unpacked(&other).is_ok_and(|read| read != text));
        }
        assert_eq!(unnoticed, 0);
    }
}
