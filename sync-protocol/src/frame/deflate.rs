//! Bodies are deflated where that makes them smaller. What a peer declares about the length is checked against what
//! deflate can do before anything is allocated for it.

use super::codec::{DecodeError, Reader};
use crate::limits::BODY_BYTES_MAX;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output, create_comp_flags_from_zip_params,
};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Shorter bodies are not worth deflating.
const WORTH_IT_FROM: usize = 120;
const LEVEL: i32 = 6;
/// Raw deflate, without a zlib header.
const WINDOW_BITS: i32 = -15;
/// "Filtered": short matches among figures are chance, and cost more than the figures themselves.
const STRATEGY: i32 = 1;
/// New Huffman codes after so many bytes: one column of figures has other frequent bytes than the next, and a table of
/// codes costs less than using the wrong one.
const BLOCK_BYTES: usize = 8 * 1024;
/// Two bits can stand for a match of 258 bytes, and never for more.
const RATIO_MAX: usize = 1032;

/// `None` where it gains nothing.
pub(super) fn deflate(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < WORTH_IT_FROM {
        return None;
    }
    let flags = create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, STRATEGY);
    let mut compressor = CompressorOxide::new(flags);
    let mut deflated = Vec::with_capacity(body.len() / 2);
    let last = (body.len() - 1) / BLOCK_BYTES;
    for (at, block) in body.chunks(BLOCK_BYTES).enumerate() {
        let flush = if at == last { TDEFLFlush::Finish } else { TDEFLFlush::Sync };
        let (status, _) = compress_to_output(&mut compressor, block, flush, |bytes| {
            deflated.extend_from_slice(bytes);
            true
        });
        if !matches!(status, TDEFLStatus::Okay | TDEFLStatus::Done) {
            debug_assert!(false, "deflating into memory can't fail, but said {status:?}");
            return None;
        }
    }
    (deflated.len() + 3 < body.len()).then_some(deflated)
}

/// Reads the declared length and the deflated rest.
pub(super) fn inflate(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let declared = reader.bounded("body length", BODY_BYTES_MAX as u64)?;
    let length = usize::try_from(declared).map_err(|error| DecodeError::invalid("body length", error))?;
    let deflated = reader.rest();
    if length > deflated.len().saturating_mul(RATIO_MAX) {
        return Err(DecodeError::invalid("body length", "more than so few bytes can inflate to"));
    }
    let mut body = vec![0; length];
    let mut decompressor = Box::<DecompressorOxide>::default();
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut decompressor, deflated, &mut body, 0, flags);
    if status != TINFLStatus::Done || written != length {
        let reason = format!("{written} of {length} declared bytes, then {status:?}");
        return Err(DecodeError::invalid("deflated body", reason));
    }
    if read < deflated.len() {
        return Err(DecodeError::Trailing { extra: deflated.len() - read });
    }
    Ok(body)
}
