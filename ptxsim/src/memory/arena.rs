//! Shared and local memory: bytes that belong to one block while it runs, with their shadow.

/// Bytes and their shadow, aligned to 64.
pub(crate) struct Arena {
    data: Vec<Line>,
    shadow: Vec<u8>,
    bytes: usize,
}

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line(#[allow(dead_code, reason = "only looked at through a pointer")] [u8; 64]);

impl Arena {
    /// So many bytes, unwritten.
    pub fn new(bytes: usize) -> Arena {
        Arena { data: vec![Line([0; 64]); bytes.div_ceil(64)], shadow: vec![0; bytes.div_ceil(64) * 16], bytes }
    }

    /// Size in bytes.
    #[inline(always)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes.
    #[inline(always)]
    pub fn data(&mut self) -> *mut u8 {
        self.data.as_mut_ptr() as *mut u8
    }

    /// The shadow, one byte for four.
    #[inline(always)]
    pub fn shadow(&mut self) -> *mut u8 {
        self.shadow.as_mut_ptr()
    }

    /// Makes all bytes unwritten; what they hold is not zero, so that a kernel which relies on it goes wrong.
    pub fn forget(&mut self) {
        self.shadow.fill(0);
        self.data.fill(Line([0xcd; 64]));
    }
}
