//! Recordings: wav and flac as one channel of f32. The only door to the hound and claxon packages.
//!
//! Whole numbers are divided by the largest magnitude of their width, so that samples lie in
//! [-1, 1). Several channels become their mean. Nothing is resampled: a rate that a model does not
//! take is for whoever knows the model to refuse.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use claxon::{Block, FlacReader, FlacReaderOptions};
use hound::{SampleFormat, WavReader};

use crate::base::text::inert;

/// Largest file.
const FILE_LIMIT: u64 = 512 << 20;

/// Most samples of all channels: a few bytes of flac can stand for a long silence.
const MAX_SAMPLES: u64 = 1 << 27;

#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("is larger than 512 MiB")]
    TooLarge,
    #[error("is neither wav nor flac")]
    Kind,
    #[error("has more than {MAX_SAMPLES} samples")]
    Long,
    #[error("holds no samples")]
    Empty,
    #[error("ends before its last sample")]
    Cut,
    #[error("sample {at} is not a finite number")]
    NotFinite { at: usize },
    #[error("cannot be decoded: {0}")]
    Damaged(String),
}

/// One channel of sound. It has at least one sample, and all are finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// Samples per second.
    pub rate: u32,
    pub samples: Vec<f32>,
}

impl Audio {
    /// Reads and decodes a file.
    pub fn read(path: &Path) -> Result<Self, AudioError> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > FILE_LIMIT {
            true => Err(AudioError::TooLarge),
            false => Self::decode(&bytes),
        }
    }

    /// Decodes the bytes of a wav file (whole numbers of 8 to 32 bits, f32) or a flac file; they
    /// say themselves which it is.
    pub fn decode(bytes: &[u8]) -> Result<Self, AudioError> {
        let audio = match bytes {
            [b'R', b'I', b'F', b'F', ..] => of_wav(bytes)?,
            [b'f', b'L', b'a', b'C', ..] => of_flac(bytes)?,
            _ => return Err(AudioError::Kind),
        };
        if audio.samples.is_empty() {
            return Err(AudioError::Empty);
        }
        match audio.samples.iter().position(|sample| !sample.is_finite()) {
            Some(at) => Err(AudioError::NotFinite { at }),
            None => Ok(audio),
        }
    }
}

fn of_wav(bytes: &[u8]) -> Result<Audio, AudioError> {
    let damaged = |error: hound::Error| match error {
        hound::Error::IoError(_) => AudioError::Cut,
        other => AudioError::Damaged(inert(&other.to_string())),
    };
    let reader = WavReader::new(Cursor::new(bytes)).map_err(damaged)?;
    let spec = reader.spec();
    if u64::from(reader.len()) > MAX_SAMPLES {
        return Err(AudioError::Long);
    }
    let channels = usize::from(spec.channels);
    let mut mean = Mean::new(channels);
    match spec.sample_format {
        SampleFormat::Float => {
            for sample in reader.into_samples::<f32>() {
                mean.push(f64::from(sample.map_err(damaged)?));
            }
        }
        SampleFormat::Int => {
            let largest = magnitude(u32::from(spec.bits_per_sample));
            for sample in reader.into_samples::<i32>() {
                mean.push(f64::from(sample.map_err(damaged)?) / largest);
            }
        }
    }
    Ok(Audio { rate: spec.sample_rate, samples: mean.samples })
}

fn of_flac(bytes: &[u8]) -> Result<Audio, AudioError> {
    let damaged = |error: claxon::Error| match error {
        claxon::Error::IoError(_) => AudioError::Cut,
        other => AudioError::Damaged(inert(&other.to_string())),
    };
    let options = FlacReaderOptions { metadata_only: false, read_vorbis_comment: false };
    let mut reader = FlacReader::new_ext(Cursor::new(bytes), options).map_err(damaged)?;
    let info = reader.streaminfo();
    let channels = info.channels as usize;
    let largest = magnitude(info.bits_per_sample);
    let mut mean = Mean::new(channels);
    let mut blocks = reader.blocks();
    let mut buffer = Vec::new();
    let mut decoded = 0_u64;
    while let Some(block) = blocks.read_next_or_eof(buffer).map_err(damaged)? {
        if block.channels() as usize != channels {
            let what = format!("has {} channels after {channels}", block.channels());
            return Err(AudioError::Damaged(format!("a block {what}")));
        }
        decoded += u64::from(block.len());
        if decoded > MAX_SAMPLES {
            return Err(AudioError::Long);
        }
        push_block(&mut mean, &block, largest);
        buffer = block.into_buffer();
    }
    match info.samples {
        Some(promised) if promised > mean.samples.len() as u64 => Err(AudioError::Cut),
        _ => Ok(Audio { rate: info.sample_rate, samples: mean.samples }),
    }
}

fn push_block(mean: &mut Mean, block: &Block, largest: f64) {
    for at in 0..block.duration() {
        for channel in 0..block.channels() {
            mean.push(f64::from(block.sample(channel, at)) / largest);
        }
    }
}

/// The largest magnitude of a whole number of `bits`, as a float. At least 1.
fn magnitude(bits: u32) -> f64 {
    2_f64.powi(bits.saturating_sub(1).min(63) as i32)
}

/// The mean of channels that come one after the other.
struct Mean {
    channels: usize,
    seen: usize,
    sum: f64,
    samples: Vec<f32>,
}

impl Mean {
    fn new(channels: usize) -> Self {
        Self { channels, seen: 0, sum: 0.0, samples: Vec::new() }
    }

    fn push(&mut self, sample: f64) {
        self.sum += sample;
        self.seen += 1;
        if self.seen == self.channels {
            self.samples.push((self.sum / self.channels as f64) as f32);
            (self.seen, self.sum) = (0, 0.0);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hound::{WavSpec, WavWriter};
    use proptest::prelude::*;

    use super::*;

    fn spec(channels: u16, bits: u16, sample_format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate: 16_000, bits_per_sample: bits, sample_format }
    }

    /// A wav file of 16 bits and one channel.
    pub fn plain_wav(rate: u32, samples: &[i16]) -> Vec<u8> {
        let spec = WavSpec { sample_rate: rate, ..spec(1, 16, SampleFormat::Int) };
        wav(spec, samples.iter().copied())
    }

    fn wav<S: hound::Sample>(spec: WavSpec, samples: impl IntoIterator<Item = S>) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut out, spec).unwrap();
        samples.into_iter().for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        out.into_inner()
    }

    /// 16 samples of one channel at 16 bits, written by hand after the published format: stream
    /// information, then one frame with verbatim samples.
    fn flac(samples: [i16; 16]) -> Vec<u8> {
        let crc = |bytes: &[u8], bits: u32, polynomial: u32| {
            let (top, mask) = (1_u32 << (bits - 1), (1_u64 << bits) as u32 - 1);
            bytes.iter().fold(0_u32, |mut crc, &byte| {
                crc ^= u32::from(byte) << (bits - 8);
                for _ in 0..8 {
                    crc = if crc & top == 0 { crc << 1 } else { (crc << 1) ^ polynomial };
                }
                crc & mask
            })
        };
        let mut out = b"fLaC\x80\x00\x00\x22".to_vec();
        out.extend([0, 16, 0, 16, 0, 0, 0, 0, 0, 0]);
        // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples.
        let packed = (16_000_u64 << 44) | (15 << 36) | 16;
        out.extend(packed.to_be_bytes());
        out.extend([0; 16]);
        // Sync, fixed blocks; size in 8 bits, rate from the stream; mono, 16 bits; number 0.
        let mut frame = vec![0xFF, 0xF8, 0x60, 0x08, 0x00, 15];
        frame.push(crc(&frame, 8, 0x07) as u8);
        frame.push(0x02);
        for sample in samples {
            frame.extend(sample.to_be_bytes());
        }
        frame.extend((crc(&frame, 16, 0x8005) as u16).to_be_bytes());
        out.extend(frame);
        out
    }

    #[test]
    fn every_width_of_wav_gives_the_same_samples() {
        let wanted = Audio { rate: 16_000, samples: vec![0.0, 0.5, -1.0, -0.25] };
        let numbers = [0, 64, -128, -32];
        for bits in [8, 16, 24, 32] {
            let scaled = numbers.iter().map(|n| n << (bits - 8));
            let file = wav(spec(1, bits, SampleFormat::Int), scaled);
            assert_eq!(Audio::decode(&file).unwrap(), wanted, "{bits} bits");
        }
        let file = wav(spec(1, 32, SampleFormat::Float), wanted.samples.clone());
        assert_eq!(Audio::decode(&file).unwrap(), wanted);
    }

    #[test]
    fn channels_become_their_mean() {
        let file = wav(spec(2, 16, SampleFormat::Int), [16384_i16, 0, -32768, 16384]);
        assert_eq!(Audio::decode(&file).unwrap().samples, [0.25, -0.25]);
    }

    #[test]
    fn flac_gives_what_was_written_and_a_changed_byte_is_an_error() {
        let samples: [i16; 16] = std::array::from_fn(|n| (n as i16 - 8) * 4096);
        let file = flac(samples);
        let audio = Audio::decode(&file).unwrap();
        assert_eq!(audio.rate, 16_000);
        assert_eq!(audio.samples, samples.map(|n| f32::from(n) / 32768.0));
        for at in 42..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 0x10;
            assert!(Audio::decode(&changed).is_err(), "byte {at}");
        }
        for length in [0, 4, 20, 42, file.len() - 1] {
            assert!(Audio::decode(&file[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn what_is_no_sound_is_told() {
        assert!(matches!(Audio::decode(b"OggS"), Err(AudioError::Kind)));
        let empty = wav::<i16>(spec(1, 16, SampleFormat::Int), []);
        assert!(matches!(Audio::decode(&empty), Err(AudioError::Empty)));
        let whole = wav(spec(1, 16, SampleFormat::Int), [1_i16, 2, 3]);
        assert!(matches!(Audio::decode(&whole[..whole.len() - 2]), Err(AudioError::Cut)));
        let infinite = wav(spec(1, 32, SampleFormat::Float), [0.0, f32::INFINITY]);
        assert!(matches!(Audio::decode(&infinite), Err(AudioError::NotFinite { at: 1 })));
        let mut long = whole;
        let data = long.windows(4).position(|name| name == b"data").unwrap();
        long[data + 4..data + 8].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
        assert!(matches!(Audio::decode(&long), Err(AudioError::Long)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn changed_bytes_are_an_error_or_finite_samples(
            is_wav in any::<bool>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = match is_wav {
                true => wav(spec(2, 24, SampleFormat::Int), 0..40),
                false => flac(std::array::from_fn(|n| n as i16)),
            };
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                if let Ok(audio) = Audio::decode(bytes) {
                    prop_assert!(audio.samples.len() <= MAX_SAMPLES as usize);
                    prop_assert!(audio.samples.iter().all(|sample| sample.is_finite()));
                }
            }
        }
    }
}
