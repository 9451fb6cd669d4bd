//! What the engine says about a statement, before and after running it.

/// What a statement would do, without running it (`chdb_query_analysis_v1`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Analysis {
    /// Size of this struct, which tells the engine how much to fill.
    pub(super) struct_size: u32,
    /// Executable statements in the text; 0 when it does not parse.
    pub(super) statements: u32,
    pub(super) flags: u32,
    pub(super) class: u32,
}

impl Analysis {
    /// An analysis for the engine to fill; until then of no class.
    pub(super) fn unknown() -> Self {
        let struct_size = u32::try_from(size_of::<Self>()).unwrap_or_default();
        Self { struct_size, class: u32::MAX, ..Self::default() }
    }

    /// Only reads: SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK.
    pub(super) fn is_read(self) -> bool {
        self.class == 0 && self.statements > 0
    }

    /// Session or server control (SET, USE, SYSTEM, KILL, ATTACH, …), or writing outside the engine
    /// (INTO OUTFILE, INSERT INTO FUNCTION).
    pub(super) fn is_control(self) -> bool {
        self.class == 3
    }
}

/// What a statement did, as the engine counts it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    pub(super) read_rows: u64,
    pub(super) read_bytes: u64,
    pub(super) written_rows: u64,
    pub(super) written_bytes: u64,
    pub(super) result_rows: u64,
    pub(super) result_bytes: u64,
    pub(super) elapsed_seconds: f64,
}

impl Stats {
    /// Adds the numbers of a further piece of the same statement.
    pub(super) fn add(&mut self, other: Self) {
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.written_rows += other.written_rows;
        self.written_bytes += other.written_bytes;
        self.result_rows += other.result_rows;
        self.result_bytes += other.result_bytes;
        self.elapsed_seconds += other.elapsed_seconds;
    }
}

/// One finished result: its bytes and numbers.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    pub(super) stats: Stats,
}
