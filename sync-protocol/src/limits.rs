//! Every bound of the protocol in one place, with the arithmetic that ties them together checked at compile time.

/// Longest store id, in bytes.
pub const STORE_ID_BYTES_MAX: usize = 32;
/// Longest sku, in bytes.
pub const SKU_BYTES_MAX: usize = 64;
/// Longest source name, in bytes.
pub const SOURCE_BYTES_MAX: usize = 64;
/// Longest reference of a till's document, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 128;
/// Longest item name, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Longest unit of measure (`each`, `kg`), in bytes.
pub const UNIT_BYTES_MAX: usize = 16;
/// Longest reason of a movement, in bytes.
pub const REASON_BYTES_MAX: usize = 64;
/// Longest POS cursor, in bytes.
pub const CURSOR_BYTES_MAX: usize = 256;
/// Longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 72 * 1024;
/// Most barcodes of one item.
pub const GTINS_MAX: usize = 16;
/// Most lines of one till document. The largest wholesale invoice seen in practice has 1,114.
pub const LINES_MAX: usize = 10_000;

/// Longest frame as it travels, in bytes.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Longest frame body once inflated: what a decoder may allocate for bytes.
pub const BODY_BYTES_MAX: usize = 512 * 1024;
/// Most records in one batch: what a decoder may allocate for records.
pub const RECORDS_MAX: usize = 16_384;
/// Most pieces of one frame that are set aside one by one; of more only the number is kept.
pub const UNREADABLE_MAX: usize = 256;
/// A sender closes a batch once its body has reached this many bytes before compression.
pub const BATCH_BODY_TARGET: usize = 96 * 1024;
/// Most earlier boots an agent lists at hello.
pub const BOOTS_MAX: usize = 64;
/// Most trace ids carried by one batch.
pub const TRACES_MAX: usize = 8;
/// Most items of one store.
pub const ITEMS_MAX: u32 = 1 << 20;
/// Digest buckets per direction.
pub const DIGEST_BUCKETS: usize = 256;

/// The largest single history document, encoded: every field at its bound.
const DOCUMENT_BYTES_MAX: usize = 64
    + SOURCE_BYTES_MAX
    + REFERENCE_BYTES_MAX
    + REASON_BYTES_MAX
    + CURSOR_BYTES_MAX
    + LINES_MAX * LINE_BYTES_MAX;
/// One history line: item number (5) and quantity (10), plus the effect (10) where it differs.
const LINE_BYTES_MAX: usize = 25;
/// The largest item record, encoded.
const ITEM_BYTES_MAX: usize = 16 + SKU_BYTES_MAX + NAME_BYTES_MAX + UNIT_BYTES_MAX + GTINS_MAX * 10;

// A batch that is closed at the target still holds its last record, however large.
const _: () = assert!(BATCH_BODY_TARGET + DOCUMENT_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(BATCH_BODY_TARGET + ITEM_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(BATCH_BODY_TARGET + NOTE_BYTES_MAX + 16 <= FRAME_BYTES_MAX);
// A body at the target fits a frame even where compression gains nothing.
const _: () = assert!(BATCH_BODY_TARGET * 2 <= FRAME_BYTES_MAX);
// So does one document by itself, outline included.
const _: () = assert!(DOCUMENT_BYTES_MAX + 2_048 <= FRAME_BYTES_MAX);
const _: () = assert!(RECORDS_MAX <= ITEMS_MAX as usize);

/// The longest start of `text` that fits into `max` bytes and ends between characters.
pub(crate) fn clipped(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
